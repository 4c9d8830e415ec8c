//! Bytes through, from the dialect to itself. Requests: the model, `store` off, a limit where the gateway sets one, our own
//! fields out. Answers: the model's public name and the cost in the usage. Nothing else changes. Must never pass an error
//! that a provider wrote; what is the same for all dialects is in `crate::same`.

use std::borrow::Cow;
use std::io::Write;

use bytes::Bytes;

use super::piece::{self, Event, Output, Response};
use super::{item, quirks, usage};
use crate::bridge::{AnswerEdits, Outbound, RequestEdits, Whole};
use crate::dialect::{Pass, Same};
use crate::error::{BodyFault, Error};
use crate::fault::{self, UpstreamError};
use crate::json::{self, Cursor, Kind, NewText, Tape, Text, Value};
use crate::loss::Losses;
use crate::patch::Edits;
use crate::receipt::Pricer;
use crate::same::{self, EventPass, NewFields, Notes, ReadEvents, Verdict};
use crate::scan::{Meaning, Scan};
use crate::structured::Settled;
use crate::tap::Tap;

/// From the dialect to itself.
#[derive(Debug)]
pub(super) struct BytesThrough;

impl Same for BytesThrough {
    fn request(&self, body: &Bytes, scan: &Scan, wanted: &RequestEdits<'_>) -> Result<Outbound, BodyFault> {
        let mut edits = Edits::default();
        let keeps_own = quirks::keeps_own(wanted.quirks);
        same::remove_own(body, scan, |field| field.acted.own, |_| keeps_own, &mut edits);
        let mut new = NewFields::default();
        if scan.model.as_deref() != Some(wanted.upstream_model) {
            let write = |out: &mut NewText| json::write_string(out, wanted.upstream_model);
            set(scan, Meaning::Model, "model", write, &mut edits, &mut new);
        }
        if scan.field(Meaning::Store).is_none_or(|field| field.kind != Kind::False) {
            set(scan, Meaning::Store, "store", |out| out.extend_from_slice(b"false"), &mut edits, &mut new);
        }
        if let Some(limit) = wanted.token_limit {
            // Writing into new text cannot fail.
            let write = |out: &mut NewText| drop(write!(out, "{limit}"));
            set(scan, Meaning::MaxTokens, "max_output_tokens", write, &mut edits, &mut new);
        }
        new.put(scan, &mut edits);
        Ok(edits.apply(body).into())
    }

    fn stream(&self, wanted: &AnswerEdits) -> Box<dyn Pass> {
        Box::new(EventPass::new(Reading { model: model(wanted) }))
    }

    fn whole(&self, body: Bytes, wanted: &AnswerEdits, pricer: &mut dyn Pricer) -> Result<Whole, Error> {
        let response = piece::answer(&body).map_err(|_| Error::AnswerNotJson)?;
        let (mut tap, mut edits) = (Tap::default(), Edits::default());
        tap.note_choice(0);
        if response.has_failed(&body) {
            note_usage(&response, &mut tap);
            tap.note_error(read_error(&body, response_error));
            return Ok(Whole { body: body.into(), tap, losses: Losses::default(), settled: Settled::Fits });
        }
        response.output.note(&mut tap);
        let mut notes = Notes { tap: &mut tap, edits: &mut edits, pricer };
        edit(&response, &body, &model(wanted), 0, &mut notes);
        note_end(&response, &body, "", notes.tap);
        Ok(Whole { body: edits.apply(&body), tap, losses: Losses::default(), settled: Settled::Fits })
    }
}

/// Puts a value where the request has the field, else in a new one.
fn set(
    scan: &Scan,
    meaning: Meaning,
    name: &str,
    write: impl FnOnce(&mut NewText),
    edits: &mut Edits,
    new: &mut NewFields,
) {
    match scan.field(meaning) {
        Some(field) => edits.replace_with(field.value, write),
        None => new.add(name, write),
    }
}

/// The public model as JSON.
fn model(wanted: &AnswerEdits) -> Box<[u8]> {
    let mut model = NewText::new();
    json::write_string(&mut model, &wanted.public_model);
    model.as_slice().into()
}

/// The error that a response says it is.
pub(super) fn failure(response: Value<'_>) -> Option<UpstreamError> {
    let says = |error: &Value<'_>| (error.is_object() || error.is_string()) && error.span().len() > 2;
    let [status, error] = response.pick(["status", "error"]);
    let has_failed = status.is_some_and(|status| status.is_text("failed") || status.is_text("cancelled"));
    match error.filter(says) {
        Some(error) => Some(said(response, error)),
        None => has_failed.then(unexplained),
    }
}

/// What an error says. Only it is read: what stands around it may be large. Some (xAI) have its code beside it.
fn said(around: Value<'_>, error: Value<'_>) -> UpstreamError {
    let said = fault::decode(error.raw().as_bytes());
    let code = around.get("code").filter(|code| error.is_string() && code.is_string());
    match code.map(|code| fault::decode(format!("{{\"code\":{}}}", code.raw()).as_bytes())) {
        Some(beside) => UpstreamError { code: beside.code, ..said },
        None => said,
    }
}

/// An answer that failed without a word.
pub(super) fn unexplained() -> UpstreamError {
    UpstreamError { message: "the provider ended the answer with an error".to_owned(), ..UpstreamError::default() }
}

/// The error in an event that is one, in either of its two shapes.
pub(super) fn event_error(event: Value<'_>) -> UpstreamError {
    let mut error = match event.get("error") {
        Some(inner) => said(event, inner),
        None => fault::decode(event.raw().as_bytes()),
    };
    // The type of the event is no type of an error.
    if error.kind.as_deref() == Some("error") {
        error.kind = None;
    }
    error
}

/// The error of a response that failed, as an event brings it.
pub(super) fn response_error(response: Value<'_>) -> UpstreamError {
    failure(response).unwrap_or_else(unexplained)
}

/// The error in something that is one: seldom, so it is read once more for that.
fn read_error(data: &[u8], said: fn(Value<'_>) -> UpstreamError) -> UpstreamError {
    Tape::default().read(data).map_or_else(|_| unexplained(), said)
}

fn note_usage(response: &Response, tap: &mut Tap) {
    if let Some(tokens) = usage::of(response) {
        tap.note_usage(tokens, true);
    }
}

/// What can be said of a response at its start: who it is, and the model's public name in it. Its places are those in
/// `body`, which stands behind `base` other bytes of what is edited.
fn edit(response: &Response, body: &[u8], model: &[u8], base: usize, notes: &mut Notes<'_>) {
    if notes.tap.upstream_id().is_empty()
        && let Some(id) = response.id.and_then(|id| Cursor::lenient(body).text(id))
    {
        notes.tap.note_id(&id);
    }
    if notes.tap.created() == 0 {
        notes.tap.note_created(response.created.unwrap_or(0));
    }
    if let Some(name) = response.model.filter(|name| name.of(body) != model) {
        notes.edits.replace(name.behind(base), model);
    }
    if let Some(found) = &response.usage {
        let tokens = usage::of(response);
        let receipt = notes.pricer.price(&tokens.unwrap_or_default());
        found.patch(&receipt, base, notes.edits);
        if let Some(tokens) = tokens {
            notes.tap.note_usage(tokens, true);
        }
    }
}

/// Why a response ended, if it has: its status, or the reason why it is incomplete.
/// `event` is the last part of the name of the event that brings it, for those who leave the status out.
pub(super) fn end_word<'v>(
    status: Option<Cow<'v, str>>,
    reason: impl FnOnce() -> Option<Cow<'v, str>>,
    event: &str,
) -> Option<Cow<'v, str>> {
    match status.as_deref().unwrap_or(event) {
        "completed" => Some(Cow::Borrowed("completed")),
        "incomplete" => Some(reason().unwrap_or(Cow::Borrowed("incomplete"))),
        _ => None,
    }
}

fn note_end(response: &Response, body: &[u8], event: &str, tap: &mut Tap) {
    let cursor = Cursor::lenient(body);
    let text = |word: Option<Text>| word.and_then(|word| cursor.text(word));
    if let Some(word) = end_word(text(response.status), || text(response.reason), event) {
        tap.note_finish(0, &word);
    }
}

impl Response {
    fn has_failed(&self, body: &[u8]) -> bool {
        let is = |word: &str| self.status.is_some_and(|status| status.is(word, body));
        self.has_error || is("failed") || is("cancelled")
    }
}

impl Output {
    fn note(&self, tap: &mut Tap) {
        if self.is_other || self.bytes > 0 {
            tap.note_content(self.bytes);
        }
    }
}

/// What is remembered from event to event.
#[derive(Debug)]
struct Reading {
    /// The public model name as JSON.
    model: Box<[u8]>,
}

impl ReadEvents for Reading {
    fn event(&mut self, data: &[u8], base: usize, is_error: bool, mut notes: Notes<'_>) -> Verdict {
        let Ok(event) = piece::event(data) else { return unread(data, is_error, notes.tap) };
        let verdict = told(&event, data, &self.model, base, is_error, &mut notes);
        // What does not pass leaves its number to what is said in its place.
        if verdict == Verdict::Pass
            && let Some(number) = event.number
        {
            notes.tap.note_sequence(number.saturating_add(1));
        }
        verdict
    }

    fn bare(&self, body: &[u8]) -> Option<UpstreamError> {
        failure(Tape::default().read(body).ok()?)
    }
}

fn told(event: &Event, data: &[u8], model: &[u8], base: usize, is_error: bool, notes: &mut Notes<'_>) -> Verdict {
    let kind = event.kind.map(|kind| kind.span.of(data)).unwrap_or_default();
    if is_error || kind == b"error" || (kind.is_empty() && is_failure(data)) {
        notes.tap.note_error(read_error(data, event_error));
        return Verdict::Stop;
    }
    if let Some(response) = &event.response {
        return lifecycle(kind, response, data, model, base, notes);
    }
    match kind.ends_with(b".delta") {
        true => note_delta(kind, event.delta, notes.tap),
        false => note_item(kind, event, data, notes.tap),
    }
    Verdict::Pass
}

fn is_failure(data: &[u8]) -> bool {
    Tape::default().read(data).is_ok_and(|event| failure(event).is_some())
}

/// Data that is no JSON: the mark with which some end their streams, an error in free text, or something to let through.
fn unread(data: &[u8], is_error: bool, tap: &mut Tap) -> Verdict {
    if data.trim_ascii() == b"[DONE]" {
        tap.note_done();
        return Verdict::Pass;
    }
    if is_error {
        tap.note_error(fault::decode(data));
        return Verdict::Stop;
    }
    Verdict::Unread
}

/// Nearly all events of a stream are pieces of something.
fn note_delta(kind: &[u8], bytes: u64, tap: &mut Tap) {
    tap.note_choice(0);
    if bytes > 0 {
        // Sounds are base64, which says nothing about tokens.
        tap.note_content(if kind == b"response.audio.delta" { 0 } else { bytes });
    }
}

/// Items say something when they are calls, and when they are a provider's own and done.
fn note_item(kind: &[u8], event: &Event, data: &[u8], tap: &mut Tap) {
    let Some(item) = &event.item else { return };
    let is = |known: &str| item.is(known, data);
    let is_call = is(item::CALL) || is(item::CUSTOM);
    match kind {
        b"response.output_item.added" if is_call => tap.note_content(item.name),
        b"response.output_item.done" if !(is_call || is(item::MESSAGE) || is(item::REASONING)) => tap.note_content(0),
        _ => {}
    }
}

/// An event that brings the response as it stands.
fn lifecycle(
    kind: &[u8],
    response: &Response,
    data: &[u8],
    model: &[u8],
    base: usize,
    notes: &mut Notes<'_>,
) -> Verdict {
    notes.tap.note_choice(0);
    if kind == b"response.failed" || response.has_failed(data) {
        note_usage(response, notes.tap);
        notes.tap.note_error(read_error(data, |event| event.get("response").map_or_else(unexplained, response_error)));
        return Verdict::Stop;
    }
    edit(response, data, model, base, notes);
    let end = match kind {
        b"response.completed" => "completed",
        b"response.incomplete" => "incomplete",
        _ => return Verdict::Pass,
    };
    note_end(response, data, end, notes.tap);
    notes.tap.note_done();
    if !notes.tap.has_output() {
        response.output.note(notes.tap);
    }
    Verdict::Pass
}
