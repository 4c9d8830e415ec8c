//! A streamed answer on its way to a client of the same dialect. Whole events pass as they are, but for the model's
//! name, the cost in a usage object, and a usage-only piece that nobody asked for. Learns from all of them on the way.
//! Must never pass half an event, nor an error that a provider wrote: the proxy says that in its own words.

use bytes::Bytes;
use domain::usage::TokenUsage;

use super::answer::{self, Form, Found, Head};
use crate::bridge::AnswerEdits;
use crate::drive::{self, StreamEnd};
use crate::fault::{self, UpstreamError};
use crate::frame::sse::{Frame, MAX_EVENT_BYTES, Splitter};
use crate::json::{self, NewText, Span};
use crate::patch::Edits;
use crate::receipt::Pricer;
use crate::tap::Tap;

/// The pass of one stream.
#[derive(Debug, Clone)]
pub struct StreamPass {
    splitter: Splitter,
    reading: Reading,
    is_oversized: bool,
    /// Whether the last event was kept from the client, so that a late line feed of it is as well.
    is_dropping: bool,
}

/// Everything but the bytes.
#[derive(Debug, Clone)]
struct Reading {
    /// The public model name as JSON.
    model: Box<[u8]>,
    wants_usage: bool,
    tap: Tap,
    head: Head,
    /// Boxed, since it has room for a change of every kind and a stream waits for most of its life.
    edits: Box<Edits>,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pass,
    Drop,
    /// It could not be read; it passes where it is whole.
    Unread,
    /// It is an error, or stands behind the end: nothing passes any more.
    Stop,
}

impl StreamPass {
    /// A pass with these edits.
    pub fn new(edits: &AnswerEdits) -> Self {
        let mut model = NewText::new();
        json::write_string(&mut model, &edits.public_model);
        let reading = Reading {
            model: model.as_slice().into(),
            wants_usage: edits.wants_usage,
            tap: Tap::default(),
            head: Head::default(),
            edits: Box::default(),
        };
        StreamPass { splitter: Splitter::new(MAX_EVENT_BYTES), reading, is_oversized: false, is_dropping: false }
    }

    /// What is known so far.
    pub fn tap(&self) -> &Tap {
        &self.reading.tap
    }

    /// Whether more of the upstream is of use: not after its end mark, an error, or an event too large to hold.
    pub fn is_open(&self) -> bool {
        let tap = &self.reading.tap;
        !(tap.is_done() || tap.upstream_error().is_some() || self.is_oversized)
    }

    /// Takes what came from the provider, gives what goes to the client: whole events only, so it may be nothing; the
    /// very same bytes when nothing had to change.
    pub fn push(&mut self, chunk: Bytes, pricer: &mut dyn Pricer) -> Bytes {
        if self.is_oversized || self.reading.tap.upstream_error().is_some() {
            return Bytes::new();
        }
        self.splitter.push(chunk);
        let whole = loop {
            match self.splitter.next_frame() {
                Ok(Some(frame)) => {
                    if self.event(&frame, pricer) == Verdict::Stop {
                        break self.splitter.take_to(frame.span.start);
                    }
                }
                Ok(None) => break self.splitter.take(),
                Err(_) => {
                    self.is_oversized = true;
                    break self.splitter.take();
                }
            }
        };
        self.reading.edits.apply_in_one(whole)
    }

    fn event(&mut self, frame: &Frame, pricer: &mut dyn Pricer) -> Verdict {
        if frame.is_tail {
            if self.is_dropping {
                self.reading.edits.remove(frame.span);
            }
            return Verdict::Pass;
        }
        let verdict = self.reading.event(self.splitter.window(), frame, pricer);
        match verdict {
            Verdict::Drop => self.reading.edits.remove(frame.span),
            Verdict::Unread => self.reading.tap.note_unread(),
            Verdict::Pass | Verdict::Stop => {}
        }
        self.is_dropping = matches!(verdict, Verdict::Drop | Verdict::Stop);
        verdict
    }

    /// The provider's body has ended, well or badly, or is not wanted any more: what is left for the client, and how it
    /// ended. A last event without its blank line passes if it is whole; half an event is dropped.
    pub fn end(&mut self, pricer: &mut dyn Pricer) -> (Bytes, StreamEnd) {
        let rest = match self.is_open() {
            true => self.last_event(pricer),
            false => Bytes::new(),
        };
        (rest, drive::judge(&self.reading.tap, self.is_oversized))
    }

    fn last_event(&mut self, pricer: &mut dyn Pricer) -> Bytes {
        let rest = self.splitter.rest();
        if rest.trim_ascii_start().starts_with(b"{") {
            // Not an event at all: some break a stream off with a bare error.
            if let Some(error) = answer::read_whole(rest).ok().and_then(|found| found.failure(rest)) {
                self.reading.tap.note_error(error);
            }
            return Bytes::new();
        }
        let ended = Bytes::from([rest, b"\n\n"].concat());
        let mut splitter = Splitter::new(MAX_EVENT_BYTES + 2);
        splitter.push(ended);
        let Ok(Some(frame)) = splitter.next_frame() else { return Bytes::new() };
        let verdict = match frame.data {
            Some(_) => self.reading.event(splitter.window(), &frame, pricer),
            None => Verdict::Drop,
        };
        match verdict {
            Verdict::Pass => self.reading.edits.apply_in_one(splitter.take()),
            _ => Bytes::new(),
        }
    }
}

impl Reading {
    #[inline]
    fn event(&mut self, window: &[u8], frame: &Frame, pricer: &mut dyn Pricer) -> Verdict {
        if self.tap.is_done() {
            return Verdict::Stop;
        }
        let Some(first) = frame.data else { return Verdict::Pass };
        let is_error = frame.name.is_some_and(|name| name.of(window) == b"error");
        if frame.is_split {
            return self.split_event(window, frame, is_error, pricer);
        }
        self.piece(first.of(window), first.start, is_error, pricer)
    }

    /// Data over several lines, which nobody sends: it is read as one and edited where its parts stand.
    fn split_event(&mut self, window: &[u8], frame: &Frame, is_error: bool, pricer: &mut dyn Pricer) -> Verdict {
        let data = frame.data(window);
        let lines = frame.data_lines(window);
        let outer = std::mem::take(&mut *self.edits);
        let verdict = self.piece(&data, 0, is_error, pricer);
        let mut inner = std::mem::replace(&mut *self.edits, outer);
        inner.relocate(|at| place(&lines, at));
        self.edits.absorb(&inner);
        verdict
    }

    #[inline]
    fn piece(&mut self, data: &[u8], base: usize, is_error: bool, pricer: &mut dyn Pricer) -> Verdict {
        let Ok(found) = answer::read_piece(data, &mut self.head) else {
            return self.other(data, is_error);
        };
        if let Some(error) = failure(&found, data, is_error) {
            if let Some(usage) = found.usage.as_ref().and_then(|usage| usage.tokens()) {
                self.tap.note_usage(usage, false);
            }
            self.tap.note_error(error);
            return Verdict::Stop;
        }
        let is_final = found.note(data, Form::Piece, &mut self.tap);
        if found.is_usage_only() && !self.wants_usage {
            return Verdict::Drop;
        }
        for model in found.models.iter().filter(|model| model.of(data) != &*self.model) {
            self.edits.replace(model.behind(base), &self.model);
        }
        if let Some(usage) = found.usage.as_ref().filter(|usage| is_final || usage.has_cost()) {
            let receipt = pricer.price(&usage.tokens().unwrap_or(TokenUsage::default()));
            usage.patch(&receipt, base, &mut self.edits);
        }
        Verdict::Pass
    }

    /// Data that is no piece: the end mark, an error in free text, or something to let through.
    fn other(&mut self, data: &[u8], is_error: bool) -> Verdict {
        if data.trim_ascii() == b"[DONE]" {
            self.tap.note_done();
            return Verdict::Pass;
        }
        if is_error {
            self.tap.note_error(fault::decode(data));
            return Verdict::Stop;
        }
        Verdict::Unread
    }
}

fn failure(found: &Found, data: &[u8], is_error: bool) -> Option<UpstreamError> {
    found.failure(data).or_else(|| is_error.then(|| fault::decode(data)))
}

/// Where a byte of joined data stands in the window. The line feeds between lines stand at the ends of their lines.
fn place(lines: &[Span], at: usize) -> usize {
    let mut before = 0;
    for line in lines {
        if at <= before + line.len() {
            return line.start + (at - before);
        }
        before += line.len() + 1;
    }
    lines.last().map_or(at, |line| line.end)
}
