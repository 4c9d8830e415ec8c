//! A streamed answer: events with a `type`, the last of which says that it is done and what was used. Images come in
//! parts, speech and transcriptions in deltas. Whole events pass as they are but for the cost.

use bytes::Bytes;

use super::{usage, whole};
use crate::bridge::AnswerEdits;
use crate::dialect::Pass;
use crate::drive::{self, StreamEnd};
use crate::fault;
use crate::frame::sse::{Frame, MAX_EVENT_BYTES, Splitter};
use crate::json::Tape;
use crate::patch::Edits;
use crate::receipt::Pricer;
use crate::tap::Tap;

/// An event may have a whole image in it, and a large one at that.
const MOST: usize = 2 * MAX_EVENT_BYTES;

/// The pass of one stream.
#[derive(Debug)]
pub(super) struct Events {
    splitter: Splitter,
    reading: Reading,
    is_oversized: bool,
}

#[derive(Debug)]
struct Reading {
    wanted: AnswerEdits,
    tape: Tape,
    tap: Tap,
    edits: Edits,
}

impl Events {
    pub fn new(wanted: &AnswerEdits) -> Events {
        let reading =
            Reading { wanted: wanted.clone(), tape: Tape::default(), tap: Tap::default(), edits: Edits::default() };
        Events { splitter: Splitter::new(MOST), reading, is_oversized: false }
    }
}

impl Pass for Events {
    fn push(&mut self, chunk: Bytes, pricer: &mut dyn Pricer) -> Bytes {
        if self.is_oversized || self.reading.tap.upstream_error().is_some() {
            return Bytes::new();
        }
        self.splitter.push(chunk);
        let whole = loop {
            match self.splitter.next_frame() {
                Ok(Some(frame)) => {
                    if !self.reading.event(self.splitter.window(), &frame, pricer) {
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

    fn tap(&self) -> &Tap {
        &self.reading.tap
    }

    fn is_open(&self) -> bool {
        !(self.reading.tap.is_done() || self.reading.tap.upstream_error().is_some() || self.is_oversized)
    }

    fn end(&mut self, pricer: &mut dyn Pricer) -> (Bytes, StreamEnd) {
        let mut out = Bytes::new();
        let rest = self.splitter.rest();
        if self.is_open() && !rest.is_empty() {
            let mut splitter = Splitter::new(MOST + 2);
            splitter.push(Bytes::from([rest, b"\n\n"].concat()));
            if let Ok(Some(frame)) = splitter.next_frame()
                && frame.data.is_some_and(|data| self.reading.tape.read(data.of(splitter.window())).is_ok())
                && self.reading.event(splitter.window(), &frame, pricer)
            {
                out = self.reading.edits.apply_in_one(splitter.take());
            }
        }
        (out, drive::judge(&self.reading.tap, self.is_oversized))
    }
}

impl Reading {
    /// Whether the event passes.
    fn event(&mut self, window: &[u8], frame: &Frame, pricer: &mut dyn Pricer) -> bool {
        if frame.is_tail || frame.data.is_none() {
            return true;
        }
        if self.tap.is_done() {
            return false;
        }
        let data = frame.data(window);
        if data.trim_ascii() == b"[DONE]" {
            self.tap.note_finish(0, "stop");
            self.tap.note_done();
            return true;
        }
        let Ok(event) = self.tape.read(&data) else {
            self.tap.note_unread();
            return true;
        };
        let kind = event.str("type").unwrap_or_default();
        let says_error = event.get("error").is_some_and(|error| error.is_object() || error.is_string());
        if says_error || kind == "error" {
            self.tap.note_error(fault::decode(&data));
            return false;
        }
        whole::note(event, &mut self.tap);
        self.tap.note_choice(0);
        let text = ["delta", "text", "audio", "b64_json"].iter().find_map(|name| event.str(name));
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            // Pictures and sounds have no bytes that count as text.
            let is_text = kind.starts_with("transcript") && kind.ends_with(".delta");
            self.tap.note_content(if is_text { u64::try_from(text.len()).unwrap_or(u64::MAX) } else { 0 });
        }
        if kind.ends_with(".completed") || kind.ends_with(".done") {
            self.last(&data, frame, window, pricer);
        }
        true
    }

    fn last(&mut self, data: &[u8], frame: &Frame, window: &[u8], pricer: &mut dyn Pricer) {
        let Ok(event) = self.tape.read(data) else { return };
        if let Some(used) = usage::billed(usage::read(event), self.wanted.units) {
            self.tap.note_usage(used, true);
        }
        self.tap.note_content(0);
        self.tap.note_finish(0, "stop");
        let mut edits = Edits::default();
        whole::edit(data, event, &self.wanted, &mut edits, &self.tap, pricer);
        let lines = frame.data_lines(window);
        if let [line] = lines.as_slice() {
            edits.relocate(|at| line.start + at);
            self.edits.absorb(&edits);
        }
    }
}
