//! What all dialects share when bytes go through them: taking our own fields out of a request, and passing a stream's
//! whole events with small edits. What an event says is read by the dialect. Must never pass half an event, nor an error
//! that a provider wrote: the proxy says that in its own words.

use std::fmt::Debug;

use bytes::Bytes;

use crate::dialect::Pass;
use crate::drive::{self, StreamEnd};
use crate::fault::UpstreamError;
use crate::frame::sse::{Frame, MAX_EVENT_BYTES, Splitter};
use crate::json::{self, NewText, Span};
use crate::patch::{self, Edits};
use crate::receipt::Pricer;
use crate::scan::{Field, Meaning, Scan};
use crate::tap::Tap;

/// Fields to put at the start of a request's object, each with its comma behind it: a scanned body has messages, and
/// they stay.
#[derive(Default)]
pub(crate) struct NewFields(NewText);

impl NewFields {
    pub fn add(&mut self, name: &str, value: impl FnOnce(&mut NewText)) {
        json::write_string(&mut self.0, name);
        self.0.push(b':');
        value(&mut self.0);
        self.0.push(b',');
    }

    /// Members of an object that stand here as JSON.
    pub fn add_members(&mut self, object: &[u8]) {
        if let Some(members) = object.get(1..object.len().saturating_sub(1)).filter(|members| !members.is_empty()) {
            self.0.extend_from_slice(members);
            self.0.push(b',');
        }
    }

    /// Notes them as an edit.
    pub fn put(self, scan: &Scan, edits: &mut Edits) {
        if !self.0.is_empty() {
            edits.insert(scan.inside, &self.0);
        }
    }
}

/// Takes out what `goes`, and of a `usage` object the switch that is ours.
pub(crate) fn remove_own(
    body: &[u8],
    scan: &Scan,
    goes: impl Fn(&Field) -> bool,
    keeps: impl Fn(&Field) -> bool,
    edits: &mut Edits,
) {
    let mut removed = 0;
    for field in scan.fields.iter().filter(|field| !keeps(field)) {
        let inner = field.member.filter(|_| field.acted.meaning == Meaning::Usage);
        if goes(field) || inner.is_some_and(|member| member.alone) {
            edits.remove(patch::removal(body, field.whole, field.ordinal, removed));
            removed += 1;
        } else if let Some(member) = inner {
            edits.remove(patch::removal(body, member.whole, member.ordinal, 0));
        }
    }
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Drop,
    /// It could not be read; it passes where it is whole.
    Unread,
    /// It is an error, or stands behind the end: nothing passes any more.
    Stop,
}

/// Where a dialect writes down what an event says and what is to be changed in it.
pub(crate) struct Notes<'n> {
    pub tap: &'n mut Tap,
    pub edits: &'n mut Edits,
    pub pricer: &'n mut dyn Pricer,
}

/// Reads the events of one stream.
pub(crate) trait ReadEvents: Debug + Send {
    /// One event's data, which stands behind `base` other bytes of what is edited. `is_error`: its name says so.
    fn event(&mut self, data: &[u8], base: usize, is_error: bool, notes: Notes<'_>) -> Verdict;
    /// The error in a bare object with which some break a stream off; none when it is no error.
    fn bare(&self, body: &[u8]) -> Option<UpstreamError>;
}

/// The pass of one stream of events.
#[derive(Debug)]
pub(crate) struct EventPass<R> {
    splitter: Splitter,
    reader: R,
    tap: Tap,
    /// Boxed, since it has room for a change of every kind and a stream waits for most of its life.
    edits: Box<Edits>,
    is_oversized: bool,
    /// Whether the last event was kept from the client, so that a late line feed of it is as well.
    is_dropping: bool,
}

impl<R: ReadEvents> EventPass<R> {
    pub fn new(reader: R) -> Self {
        EventPass {
            splitter: Splitter::new(MAX_EVENT_BYTES),
            reader,
            tap: Tap::default(),
            edits: Box::default(),
            is_oversized: false,
            is_dropping: false,
        }
    }

    fn frame(&mut self, frame: &Frame, pricer: &mut dyn Pricer) -> Verdict {
        if frame.is_tail {
            if self.is_dropping {
                self.edits.remove(frame.span);
            }
            return Verdict::Pass;
        }
        let notes = Notes { tap: &mut self.tap, edits: &mut self.edits, pricer };
        let verdict = read(&mut self.reader, self.splitter.window(), frame, notes);
        match verdict {
            Verdict::Drop => self.edits.remove(frame.span),
            Verdict::Unread => self.tap.note_unread(),
            Verdict::Pass | Verdict::Stop => {}
        }
        self.is_dropping = matches!(verdict, Verdict::Drop | Verdict::Stop);
        verdict
    }

    /// What has arrived of an event that never ended: it passes if it is whole but for its blank line.
    fn last_event(&mut self, pricer: &mut dyn Pricer) -> Bytes {
        let rest = self.splitter.rest();
        if rest.trim_ascii_start().starts_with(b"{") {
            if let Some(error) = self.reader.bare(rest) {
                self.tap.note_error(error);
            }
            return Bytes::new();
        }
        let ended = Bytes::from([rest, b"\n\n"].concat());
        let mut splitter = Splitter::new(MAX_EVENT_BYTES + 2);
        splitter.push(ended);
        let Ok(Some(frame)) = splitter.next_frame() else { return Bytes::new() };
        let notes = Notes { tap: &mut self.tap, edits: &mut self.edits, pricer };
        let verdict = match frame.data {
            Some(_) => read(&mut self.reader, splitter.window(), &frame, notes),
            None => Verdict::Drop,
        };
        match verdict {
            Verdict::Pass => self.edits.apply_in_one(splitter.take()),
            _ => Bytes::new(),
        }
    }
}

impl<R: ReadEvents> Pass for EventPass<R> {
    fn push(&mut self, chunk: Bytes, pricer: &mut dyn Pricer) -> Bytes {
        if self.is_oversized || self.tap.upstream_error().is_some() {
            return Bytes::new();
        }
        self.splitter.push(chunk);
        let whole = loop {
            match self.splitter.next_frame() {
                Ok(Some(frame)) => {
                    if self.frame(&frame, pricer) == Verdict::Stop {
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
        self.edits.apply_in_one(whole)
    }

    fn tap(&self) -> &Tap {
        &self.tap
    }

    fn is_open(&self) -> bool {
        !(self.tap.is_done() || self.tap.upstream_error().is_some() || self.is_oversized)
    }

    fn end(&mut self, pricer: &mut dyn Pricer) -> (Bytes, StreamEnd) {
        let rest = match self.is_open() {
            true => self.last_event(pricer),
            false => Bytes::new(),
        };
        (rest, drive::judge(&self.tap, self.is_oversized))
    }
}

#[inline]
fn read<R: ReadEvents>(reader: &mut R, window: &[u8], frame: &Frame, notes: Notes<'_>) -> Verdict {
    if notes.tap.is_done() {
        return Verdict::Stop;
    }
    let Some(first) = frame.data else { return Verdict::Pass };
    let is_error = frame.name.is_some_and(|name| name.of(window) == b"error");
    match frame.is_split {
        true => read_split(reader, window, frame, is_error, notes),
        false => reader.event(first.of(window), first.start, is_error, notes),
    }
}

/// Data over several lines, which nobody sends: it is read as one and edited where its parts stand.
fn read_split<R: ReadEvents>(
    reader: &mut R,
    window: &[u8],
    frame: &Frame,
    is_error: bool,
    notes: Notes<'_>,
) -> Verdict {
    let data = frame.data(window);
    let lines = frame.data_lines(window);
    let mut inner = Edits::default();
    let inside = Notes { tap: notes.tap, edits: &mut inner, pricer: notes.pricer };
    let verdict = reader.event(&data, 0, is_error, inside);
    inner.relocate(|at| place(&lines, at));
    notes.edits.absorb(&inner);
    verdict
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
