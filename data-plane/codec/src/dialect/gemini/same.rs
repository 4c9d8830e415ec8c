//! An answer on its way to a client of the same dialect: everything passes as it is but for the model's name. The
//! provider always streams events; a client that wants an array gets their data as its elements. Learns from all of it
//! on the way. Must never pass half an event, nor an error that a provider wrote: the proxy says that in its own words.

use bytes::Bytes;

use super::answer;
use crate::bridge::{AnswerEdits, Whole};
use crate::dialect::{Framing, Pass};
use crate::drive::{self, StreamEnd};
use crate::error::Error;
use crate::fault;
use crate::frame::sse::{Frame, MAX_EVENT_BYTES, Splitter};
use crate::json::{self, NewText, Span, Tape};
use crate::loss::Losses;
use crate::patch::Edits;
use crate::receipt::Pricer;
use crate::structured::Settled;
use crate::tap::Tap;

/// A whole answer. With an error in it, the tap says so and the body is left as it is.
pub(super) fn whole(body: Bytes, wanted: &AnswerEdits) -> Result<Whole, Error> {
    let mut tape = Tape::default();
    let value = tape.read(&body).ok().filter(|value| value.is_object() || value.is_array());
    let value = value.ok_or(Error::AnswerNotJson)?;
    let mut tap = Tap::default();
    let mut edits = Edits::default();
    for element in answer::elements(value) {
        if let Some(error) = answer::failure(element) {
            tap.note_error(error);
            return Ok(Whole { body: body.clone().into(), tap, losses: Losses::default(), settled: Settled::Fits });
        }
        let place = answer::note(element, true, &mut tap);
        if let Some(place) = place.filter(|place| !json::is_string(place.of(&body), &wanted.public_model)) {
            edits.replace_with(place, |out| json::write_string(out, &wanted.public_model));
        }
    }
    Ok(Whole { body: edits.apply(&body), tap, losses: Losses::default(), settled: Settled::Fits })
}

/// The pass of one stream.
#[derive(Debug)]
pub(super) struct StreamPass {
    splitter: Splitter,
    reading: Reading,
    framing: Framing,
    /// Whether an element of the array went out.
    has_begun: bool,
    is_oversized: bool,
}

/// Everything but the bytes.
#[derive(Debug)]
struct Reading {
    /// The public model name as JSON.
    model: Box<[u8]>,
    tape: Tape,
    tap: Tap,
    /// Where the model's name stands in what was read last.
    places: Vec<Span>,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is an answer's, and may need its model's name changed.
    Pass,
    /// It says nothing that we know.
    Other,
    /// It is an error, or stands behind the end: nothing passes any more.
    Stop,
}

impl StreamPass {
    /// A pass with these edits.
    pub fn new(wanted: &AnswerEdits) -> StreamPass {
        let mut model = NewText::new();
        json::write_string(&mut model, &wanted.public_model);
        let reading =
            Reading { model: model.as_slice().into(), tape: Tape::default(), tap: Tap::default(), places: Vec::new() };
        let splitter = Splitter::new(MAX_EVENT_BYTES);
        StreamPass { splitter, reading, framing: wanted.framing, has_begun: false, is_oversized: false }
    }

    fn events(&mut self) -> Bytes {
        let mut edits = Edits::default();
        let whole = loop {
            match self.splitter.next_frame() {
                Ok(Some(frame)) => {
                    let window = self.splitter.window();
                    match self.reading.frame(window, &frame) {
                        Verdict::Pass => self.reading.edit(window, &frame, &mut edits),
                        Verdict::Other => {}
                        Verdict::Stop => break self.splitter.take_to(frame.span.start),
                    }
                }
                Ok(None) => break self.splitter.take(),
                Err(_) => {
                    self.is_oversized = true;
                    break self.splitter.take();
                }
            }
        };
        edits.apply_in_one(whole)
    }

    fn elements(&mut self) -> Bytes {
        let mut out = Vec::new();
        loop {
            match self.splitter.next_frame() {
                Ok(Some(frame)) => {
                    let window = self.splitter.window();
                    match self.reading.frame(window, &frame) {
                        Verdict::Pass => {
                            out.extend_from_slice(if self.has_begun { b",\r\n" } else { b"[" });
                            self.has_begun = true;
                            self.reading.edited(&frame.data(window), &mut out);
                        }
                        Verdict::Other => {}
                        Verdict::Stop => break,
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    self.is_oversized = true;
                    break;
                }
            }
        }
        self.splitter.take();
        out.into()
    }

    fn forward(&mut self) -> Bytes {
        match self.framing {
            Framing::Events => self.events(),
            Framing::Array => self.elements(),
        }
    }

    /// A last event that lacks its blank line passes where it is whole; a bare error is none.
    fn last_event(&mut self) -> Bytes {
        let rest = self.splitter.rest();
        if self.reading.bare(rest) || rest.is_empty() {
            return Bytes::new();
        }
        let ended = Bytes::from([rest, b"\r\n\r\n"].concat());
        let mut splitter = Splitter::new(MAX_EVENT_BYTES + 4);
        splitter.push(ended);
        let is_whole = match splitter.next_frame() {
            Ok(Some(frame)) => self.reading.tape.read(&frame.data(splitter.window())).is_ok(),
            _ => false,
        };
        if !is_whole {
            return Bytes::new();
        }
        let mut again = Splitter::new(MAX_EVENT_BYTES + 4);
        again.push(Bytes::from([self.splitter.rest(), b"\r\n\r\n"].concat()));
        self.splitter = again;
        self.forward()
    }
}

impl Pass for StreamPass {
    fn push(&mut self, chunk: Bytes, _: &mut dyn Pricer) -> Bytes {
        if !self.is_open() {
            return Bytes::new();
        }
        self.splitter.push(chunk);
        self.forward()
    }

    fn tap(&self) -> &Tap {
        &self.reading.tap
    }

    fn is_open(&self) -> bool {
        let tap = &self.reading.tap;
        !(tap.is_done() || tap.upstream_error().is_some() || self.is_oversized)
    }

    fn end(&mut self, _: &mut dyn Pricer) -> (Bytes, StreamEnd) {
        let rest = if self.is_open() { self.last_event() } else { Bytes::new() };
        let end = drive::judge(&self.reading.tap, self.is_oversized);
        if self.framing == Framing::Array && end == StreamEnd::Finished {
            let opening: &[u8] = if self.has_begun { b"" } else { b"[" };
            return ([opening, &rest, b"]"].concat().into(), end);
        }
        (rest, end)
    }
}

impl Reading {
    fn frame(&mut self, window: &[u8], frame: &Frame) -> Verdict {
        if self.tap.is_done() {
            return Verdict::Stop;
        }
        if frame.data.is_none() {
            return if self.bare(frame.span.of(window)) { Verdict::Stop } else { Verdict::Other };
        }
        let data = frame.data(window);
        self.places.clear();
        let Ok(value) = self.tape.read(&data) else { return self.other(&data) };
        for element in answer::elements(value) {
            if let Some(error) = answer::failure(element) {
                self.tap.note_error(error);
                return Verdict::Stop;
            }
            self.places.extend(answer::note(element, false, &mut self.tap));
        }
        let model = &*self.model;
        self.places.retain(|place| place.of(&data) != model);
        Verdict::Pass
    }

    /// Data that is no JSON: an end mark of those who copy OpenAI, on which Google's clients choke, or something to let
    /// through.
    fn other(&mut self, data: &[u8]) -> Verdict {
        if data.trim_ascii() == b"[DONE]" {
            self.tap.note_done();
            return Verdict::Stop;
        }
        self.tap.note_unread();
        Verdict::Other
    }

    /// Whether this is a bare error instead of an event, with which Google breaks streams off. Half of one is none.
    fn bare(&mut self, bytes: &[u8]) -> bool {
        let text = bytes.trim_ascii();
        if !text.starts_with(b"{") && !text.starts_with(b"[") {
            return false;
        }
        let is_error =
            self.tape.read(text).is_ok_and(|value| answer::elements(value).any(|it| it.get("error").is_some()));
        if is_error {
            self.tap.note_error(fault::decode(text));
        }
        is_error
    }

    /// Changes the model's name where the event stands in the window.
    fn edit(&self, window: &[u8], frame: &Frame, edits: &mut Edits) {
        if self.places.is_empty() {
            return;
        }
        match frame.data {
            Some(data) if !frame.is_split => {
                self.places.iter().for_each(|place| edits.replace(place.behind(data.start), &self.model));
            }
            // Data over several lines, which nobody sends: written anew in one.
            _ => {
                let mut data = Vec::new();
                self.edited(&frame.data(window), &mut data);
                edits.replace_with(frame.span, |out| {
                    out.extend_from_slice(b"data: ");
                    out.extend(data.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
                    out.extend_from_slice(b"\r\n\r\n");
                });
            }
        }
    }

    /// The data with the model's name changed.
    fn edited(&self, data: &[u8], out: &mut Vec<u8>) {
        let mut at = 0;
        for place in &self.places {
            out.extend_from_slice(data.get(at..place.start).unwrap_or_default());
            out.extend_from_slice(&self.model);
            at = place.end;
        }
        out.extend_from_slice(data.get(at..).unwrap_or_default());
    }
}
