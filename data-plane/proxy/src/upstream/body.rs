//! Bodies on their way to and from a provider: requests as the segments that the codec made, never joined, with an
//! exact length; answers as they come, driving their own connection.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::echo::EchoBody;
use super::line::{Line, Wakes};
use super::pool::Pool;
use super::{UpstreamError, line};

/// A request body.
pub(super) struct Segments {
    pieces: codec::Pieces,
    left: u64,
}

impl Segments {
    pub(super) fn new(body: codec::Segments) -> Segments {
        let left = body.len() as u64;
        Segments { pieces: body.into_iter(), left }
    }

    /// Bytes that are still to go.
    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

impl Body for Segments {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.pieces.find(|part| !part.is_empty());
        let Some(part) = next else { return Poll::Ready(None) };
        self.left = self.left.saturating_sub(part.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// An answer body. Read to its end, it gives its connection back; dropped before, it closes it.
pub enum ReplyBody {
    /// From a provider.
    Http(HttpBody),
    /// From the built-in provider.
    Echo(EchoBody),
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        match self.get_mut() {
            ReplyBody::Http(body) => body.poll_frame(cx),
            ReplyBody::Echo(body) => Poll::Ready(body.next().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Http(body) => body.line.is_none() || body.incoming.is_end_stream(),
            ReplyBody::Echo(body) => body.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Http(body) => body.incoming.size_hint(),
            ReplyBody::Echo(body) => SizeHint::with_exact(body.left()),
        }
    }
}

/// An answer that comes over a connection.
pub struct HttpBody {
    incoming: Incoming,
    /// Gone once the answer is over.
    line: Option<Line>,
    pool: Pool,
}

impl HttpBody {
    pub(super) fn new(incoming: Incoming, line: Line, pool: Pool) -> HttpBody {
        let mut body = HttpBody { incoming, line: Some(line), pool };
        body.finish_if_over();
        body
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let Some(line) = &mut self.line else { return Poll::Ready(None) };
        let incoming = &mut self.incoming;
        let polled = line.poll_with(cx, |drive, cx| {
            if let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(cx) {
                return Poll::Ready(frame.map(|frame| frame.map_err(|error| line::cut(&error))));
            }
            let is_over = drive(cx);
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(|error| line::cut(&error)))),
                Poll::Pending if is_over => Poll::Ready(Some(Err(UpstreamError::Cut))),
                Poll::Pending => Poll::Pending,
            }
        });
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                self.finish_if_over();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.line = None;
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
        }
    }

    fn finish_if_over(&mut self) {
        if self.incoming.is_end_stream() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(line) = self.line.take() {
            self.pool.give_back(line);
        }
    }
}

/// How much of an answer that nobody wants is read so that its connection can be kept: the end of a stream often lies
/// behind the last event already.
const REST_FRAMES: usize = 8;
const REST_BYTES: usize = 16 * 1024;

impl Drop for HttpBody {
    fn drop(&mut self) {
        let mut bytes = 0;
        for _ in 0..REST_FRAMES {
            if self.line.is_none() || bytes > REST_BYTES {
                break;
            }
            match self.poll_frame(&mut Wakes::nobody()) {
                Poll::Ready(Some(Ok(frame))) => bytes += frame.data_ref().map_or(0, Bytes::len),
                _ => break,
            }
        }
        // What is still here is closed with the line.
    }
}
