//! The body of an answer: nothing, a whole, or a stream that is still coming. An error after the first byte is an event in
//! the stream, and the body ends cleanly. Only where bytes of another kind pass, and nothing can be said among them, does it
//! end badly: a client must not take the half of a sound for all of it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use codec::{Pieces, Segments};
use http_body::{Body, Frame, SizeHint};

use super::{
    relay::{Relay, Step, Waiting},
    sound::Sound,
};
use crate::{connection::OpenRequest, stall::Stall};

/// The body of an answer.
pub(crate) struct Outflow {
    kind: Kind,
    /// Marks the request as being served until its last byte is handed over.
    open: Option<OpenRequest>,
    /// The stream that it goes out by, where that is not the whole connection.
    stall: Option<Stall>,
}

/// The rest of the answer will not come, and there is no other way to say so than to break off.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
pub(crate) struct BrokenOff;

enum Kind {
    Empty,
    One(Bytes),
    Many(Box<Many>),
    Waiting(Box<Waiting>),
    Flow(Box<Relay>),
    Sound(Box<Sound>),
}

/// A large answer on its way.
struct Many {
    pieces: Pieces,
    left: u64,
}

impl Outflow {
    fn of(kind: Kind) -> Outflow {
        Outflow { kind, open: None, stall: None }
    }

    /// Nothing.
    pub fn empty() -> Outflow {
        Outflow::of(Kind::Empty)
    }

    /// All of it at once.
    pub fn one(bytes: Bytes) -> Outflow {
        Outflow::of(if bytes.is_empty() { Kind::Empty } else { Kind::One(bytes) })
    }

    /// All of it in pieces.
    pub fn many(body: Segments) -> Outflow {
        match body.parts() {
            [_] | [] => Outflow::one(body.into_bytes()),
            parts => {
                let left = parts.iter().map(|part| part.len() as u64).sum();
                Outflow::of(Kind::Many(Box::new(Many { left, pieces: body.into_iter() })))
            }
        }
    }

    /// A stream whose first output is there.
    pub fn flow(relay: Box<Relay>) -> Outflow {
        Outflow::of(Kind::Flow(relay))
    }

    /// Bytes that pass as they come.
    pub fn sound(sound: Box<Sound>) -> Outflow {
        Outflow::of(Kind::Sound(sound))
    }

    /// A stream that has none yet.
    pub fn waiting(waiting: Waiting) -> Outflow {
        Outflow::of(Kind::Waiting(Box::new(waiting)))
    }

    /// Keeps the request open for as long as this body lives.
    pub fn holding(mut self, open: OpenRequest) -> Outflow {
        self.open = Some(open);
        self.stall = Stall::of_this_task();
        self
    }

    /// A piece of a stream is what came in one read, so that whoever reads at all takes it in time.
    fn note(&self, handed: bool) {
        let (Some(stall), Some(open)) = (&self.stall, &self.open) else { return };
        match handed && matches!(self.kind, Kind::Flow(_) | Kind::Waiting(_) | Kind::Sound(_)) {
            true => stall.expect_until(open.connection().next_write_due()),
            false => stall.is_over(),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let next = match &mut self.kind {
            Kind::Empty => None,
            Kind::One(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Some(bytes)
            }
            Kind::Many(many) => {
                let next = many.pieces.find(|piece| !piece.is_empty());
                many.left = many.left.saturating_sub(next.as_ref().map_or(0, |part| part.len() as u64));
                next
            }
            Kind::Flow(relay) => std::task::ready!(relay.poll_next(cx)),
            Kind::Waiting(waiting) => match std::task::ready!(waiting.poll_next(cx)) {
                Step::Comment(bytes) => Some(bytes),
                Step::Last(bytes) => {
                    self.kind = Kind::Empty;
                    Some(bytes)
                }
                Step::Flow(relay) => {
                    self.kind = Kind::Flow(relay);
                    return self.poll_next(cx);
                }
            },
            Kind::Sound(sound) => match std::task::ready!(sound.poll_next(cx)) {
                Ok(next) => next,
                Err(broken) => {
                    self.kind = Kind::Empty;
                    return Poll::Ready(Some(Err(broken)));
                }
            },
        };
        if next.is_none() {
            self.kind = Kind::Empty;
        }
        Poll::Ready(next.map(Ok))
    }
}

impl Body for Outflow {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let polled = self.poll_next(cx);
        self.note(matches!(polled, Poll::Ready(Some(_))));
        polled.map(|next| next.map(|next| next.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Many(many) => many.left == 0,
            Kind::One(_) | Kind::Waiting(_) | Kind::Flow(_) | Kind::Sound(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::One(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Many(many) => SizeHint::with_exact(many.left),
            Kind::Waiting(_) | Kind::Flow(_) | Kind::Sound(_) => SizeHint::default(),
        }
    }
}
