//! Bytes through, from the dialect to itself. Requests: the model, `store` off, a limit where the gateway sets one, our own
//! fields out. Answers: the model's public name and the cost in the usage. Nothing else changes. Must never pass an error
//! that a provider wrote; what is the same for all dialects is in `crate::same`.

use std::borrow::Cow;
use std::io::Write;

use bytes::Bytes;

use super::{item, quirks, usage};
use crate::bridge::{AnswerEdits, Outbound, RequestEdits, Whole};
use crate::dialect::{Pass, Same};
use crate::error::{BodyFault, Error};
use crate::fault::{self, UpstreamError};
use crate::json::{self, Cursor, Flaw, Kind, NewText, Tape, Value};
use crate::loss::Losses;
use crate::patch::Edits;
use crate::receipt::Pricer;
use crate::same::{self, EventPass, NewFields, Notes, ReadEvents, Verdict};
use crate::scan::{Meaning, Scan};
use crate::structured::Settled;
use crate::tap::Tap;

/// The fields of an answer that say anything here. A real one has thirty.
const READ: [&str; 10] =
    ["id", "created_at", "model", "status", "error", "code", "incomplete_details", "output", "usage", "tool_usage"];

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
        Box::new(EventPass::new(Reading { tape: Tape::default(), model: model(wanted) }))
    }

    fn whole(&self, body: Bytes, wanted: &AnswerEdits, pricer: &mut dyn Pricer) -> Result<Whole, Error> {
        let mut tape = Tape::default();
        let response = tape.read_fields(&body, &READ).ok().filter(Value::is_object).ok_or(Error::AnswerNotJson)?;
        let (mut tap, mut edits) = (Tap::default(), Edits::default());
        tap.note_choice(0);
        if let Some(error) = failure(response) {
            note_usage(response, &mut tap);
            tap.note_error(error);
            return Ok(Whole { body: body.into(), tap, losses: Losses::default(), settled: Settled::Fits });
        }
        note_output(response, &mut tap);
        let mut notes = Notes { tap: &mut tap, edits: &mut edits, pricer };
        edit(response, &model(wanted), 0, &mut notes);
        note_end(response, "", notes.tap);
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

fn note_usage(response: Value<'_>, tap: &mut Tap) {
    if let Some(tokens) = usage::tokens(response) {
        tap.note_usage(tokens, true);
    }
}

/// What can be said of a response at its start: who it is, and the model's public name in it.
fn edit(response: Value<'_>, model: &[u8], base: usize, notes: &mut Notes<'_>) {
    let [id, created, name] = response.pick(["id", "created_at", "model"]);
    if notes.tap.upstream_id().is_empty()
        && let Some(id) = id.and_then(|id| id.string())
    {
        notes.tap.note_id(&id);
    }
    if notes.tap.created() == 0 {
        notes.tap.note_created(created.and_then(|created| created.u64()).unwrap_or(0));
    }
    if let Some(name) = name.filter(|name| name.is_string() && name.raw().as_bytes() != model) {
        notes.edits.replace(name.span().behind(base), model);
    }
    if let Some((found, tokens)) = usage::found(response) {
        let receipt = notes.pricer.price(&tokens.unwrap_or_default());
        found.patch(&receipt, base, notes.edits);
        if let Some(tokens) = tokens {
            notes.tap.note_usage(tokens, true);
        }
    }
}

/// Why a response ended, if it has: its status, or the reason why it is incomplete.
/// `event` is the last part of the name of the event that brings it, for those who leave the status out.
pub(super) fn end_word<'v>(response: Value<'v>, event: &str) -> Option<Cow<'v, str>> {
    let reason = || response.path(&["incomplete_details", "reason"]).and_then(|why| why.string());
    match response.str("status").as_deref().unwrap_or(event) {
        "completed" => Some(Cow::Borrowed("completed")),
        "incomplete" => Some(reason().unwrap_or(Cow::Borrowed("incomplete"))),
        _ => None,
    }
}

fn note_end(response: Value<'_>, event: &str, tap: &mut Tap) {
    if let Some(word) = end_word(response, event) {
        tap.note_finish(0, &word);
    }
}

/// How much a whole response has in it.
fn note_output(response: Value<'_>, tap: &mut Tap) {
    for item in response.get("output").into_iter().flat_map(|output| output.items()) {
        let texts = |list: &'static str, name: &'static str| {
            let list = item.get(list).into_iter().flat_map(|list| list.items());
            list.map(move |part| len(part.get(name))).sum::<u64>()
        };
        let bytes = match item.str("type").unwrap_or_default().as_ref() {
            item::MESSAGE => texts("content", "text") + texts("content", "refusal"),
            item::REASONING => texts("content", "text") + texts("summary", "text"),
            item::CALL => len(item.get("name")) + len(item.get("arguments")),
            _ => {
                tap.note_content(len(item.get("input")));
                continue;
            }
        };
        if bytes > 0 {
            tap.note_content(bytes);
        }
    }
}

fn len(text: Option<Value<'_>>) -> u64 {
    text.and_then(|text| text.string()).map_or(0, |text| u64::try_from(text.len()).unwrap_or(u64::MAX))
}

/// What is remembered from event to event.
#[derive(Debug)]
struct Reading {
    tape: Tape,
    /// The public model name as JSON.
    model: Box<[u8]>,
}

impl ReadEvents for Reading {
    fn event(&mut self, data: &[u8], base: usize, is_error: bool, mut notes: Notes<'_>) -> Verdict {
        if !is_error && let Ok(Some(delta)) = delta(data) {
            note_delta(delta, notes.tap);
            return Verdict::Pass;
        }
        let Ok(event) = self.tape.read(data) else { return unread(data, is_error, notes.tap) };
        let verdict = told(event, &self.model, base, is_error, &mut notes);
        // What does not pass leaves its number to what is said in its place.
        if verdict == Verdict::Pass {
            note_number(event.count("sequence_number"), notes.tap);
        }
        verdict
    }

    fn bare(&self, body: &[u8]) -> Option<UpstreamError> {
        failure(Tape::default().read(body).ok()?)
    }
}

fn told(event: Value<'_>, model: &[u8], base: usize, is_error: bool, notes: &mut Notes<'_>) -> Verdict {
    let kind = event.str("type").unwrap_or_default();
    if is_error || kind == "error" || (kind.is_empty() && failure(event).is_some()) {
        notes.tap.note_error(event_error(event));
        return Verdict::Stop;
    }
    match event.get("response").filter(Value::is_object) {
        Some(response) => lifecycle(&kind, response, model, base, notes),
        None => {
            note_item(&kind, event, notes.tap);
            Verdict::Pass
        }
    }
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

/// A piece of something: how many bytes, and whether they say how many tokens it is.
struct Delta {
    bytes: usize,
    is_text: bool,
    /// The number of the event.
    number: Option<u64>,
}

/// Nearly all events of a stream are such pieces, in which nothing is edited: they are read without a list of their places.
/// None for all other events.
fn delta(data: &[u8]) -> Result<Option<Delta>, Flaw> {
    let mut cursor = Cursor::lenient(data);
    let (mut kind, mut bytes, mut number) = (None, 0, None);
    let mut more = cursor.open_object()?;
    while more {
        let key = cursor.key()?;
        let is_string = cursor.kind()? == Kind::String;
        match key.span.of(data) {
            b"type" if is_string => {
                let name = cursor.string()?.span.of(data);
                if !name.ends_with(b".delta") {
                    return Ok(None);
                }
                kind = Some(name);
            }
            b"delta" if is_string => {
                let text = cursor.string()?;
                bytes = json::meant_len(text.span.of(data), text.escaped);
            }
            b"response" => return Ok(None),
            b"sequence_number" => number = cursor.count()?,
            _ => drop(cursor.pass()?),
        }
        more = cursor.next_field()?;
    }
    cursor.end()?;
    // Sounds are base64, which says nothing about tokens.
    Ok(kind.map(|kind| Delta { bytes, is_text: kind != b"response.audio.delta", number }))
}

fn note_delta(delta: Delta, tap: &mut Tap) {
    note_number(delta.number, tap);
    tap.note_choice(0);
    match (delta.bytes, delta.is_text) {
        (0, _) => {}
        (_, false) => tap.note_content(0),
        (bytes, true) => tap.note_content(u64::try_from(bytes).unwrap_or(u64::MAX)),
    }
}

/// An error of ours goes on counting where the provider was.
fn note_number(number: Option<u64>, tap: &mut Tap) {
    if let Some(number) = number {
        tap.note_sequence(number.saturating_add(1));
    }
}

/// Items say something when they are calls, and when they are a provider's own and done.
fn note_item(kind: &str, event: Value<'_>, tap: &mut Tap) {
    let Some(item) = event.get("item") else { return };
    let is_kind = |known: &str| item.get("type").is_some_and(|kind| kind.is_text(known));
    let is_call = is_kind(item::CALL) || is_kind("custom_tool_call");
    match kind {
        "response.output_item.added" if is_call => tap.note_content(len(item.get("name"))),
        "response.output_item.done" if !(is_call || is_kind(item::MESSAGE) || is_kind(item::REASONING)) => {
            tap.note_content(0)
        }
        _ => {}
    }
}

/// An event that brings the response as it stands.
fn lifecycle(kind: &str, response: Value<'_>, model: &[u8], base: usize, notes: &mut Notes<'_>) -> Verdict {
    notes.tap.note_choice(0);
    if kind == "response.failed" || failure(response).is_some() {
        note_usage(response, notes.tap);
        notes.tap.note_error(response_error(response));
        return Verdict::Stop;
    }
    edit(response, model, base, notes);
    if let Some(event @ ("completed" | "incomplete")) = kind.strip_prefix("response.") {
        note_end(response, event, notes.tap);
        notes.tap.note_done();
        if !notes.tap.has_output() {
            note_output(response, notes.tap);
        }
    }
    Verdict::Pass
}
