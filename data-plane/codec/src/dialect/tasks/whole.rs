//! A whole answer: JSON with the model's name and the cost edited, or anything else as it is.

use bytes::Bytes;
use domain::usage::TokenUsage;

use super::{Task, usage};
use crate::bridge::{AnswerEdits, Whole};
use crate::dialect::openai_chat;
use crate::error::Error;
use crate::fault;
use crate::json::{self, Tape, Value};
use crate::loss::Losses;
use crate::patch::{Edits, Segments};
use crate::receipt::Pricer;
use crate::structured::Settled;
use crate::tap::Tap;

/// What an answer says when it says no reason.
pub(super) const DONE: &str = "stop";

/// Reads and edits a whole answer. Sound and subtitles are no JSON and pass as they are; what they cost is known from the
/// request.
pub(super) fn pass(task: &Task, body: Bytes, wanted: &AnswerEdits, pricer: &mut dyn Pricer) -> Result<Whole, Error> {
    let mut tap = Tap::default();
    let mut tape = Tape::default();
    let answer = tape.read(&body).ok().filter(Value::is_object);
    let Some(answer) = answer else {
        if body.is_empty() || !task.is_opaque {
            return Err(Error::AnswerNotJson);
        }
        done(&mut tap, wanted, pricer);
        return Ok(Whole { body: body.into(), tap, losses: Losses::default(), settled: Settled::Fits });
    };
    if answer.get("error").is_some_and(|error| error.is_object() || error.is_string()) {
        tap.note_error(fault::decode(&body));
        return Ok(Whole { body: body.into(), tap, losses: Losses::default(), settled: Settled::Fits });
    }
    note(answer, &mut tap);
    let told = usage::read(answer).filter(|_| !task.is_count);
    let told = told.or_else(|| (!task.is_estimated).then(TokenUsage::default));
    if let Some(used) = usage::billed(told, wanted.units) {
        tap.note_usage(used, true);
    }
    tap.note_content(0);
    tap.note_finish(0, DONE);
    let mut edits = Edits::default();
    edit(&body, answer, wanted, &mut edits, &tap, pricer);
    let body: Segments = edits.apply(&body);
    Ok(Whole { body, tap, losses: Losses::default(), settled: Settled::Fits })
}

/// An answer without numbers: what was asked for was done.
fn done(tap: &mut Tap, wanted: &AnswerEdits, pricer: &mut dyn Pricer) {
    tap.note_content(0);
    if let Some(used) = usage::billed(None, wanted.units) {
        tap.note_usage(used, true);
    }
    tap.note_finish(0, DONE);
    pricer.price(&wanted.units);
}

pub(super) fn note(answer: Value<'_>, tap: &mut Tap) {
    if let Some(id) = answer.str("id") {
        tap.note_id(&id);
    }
    if let Some(created) = answer.count("created") {
        tap.note_created(created);
    }
}

/// The public model, and the cost inside a `usage` object of OpenAI's shape.
pub(super) fn edit(
    body: &[u8],
    answer: Value<'_>,
    wanted: &AnswerEdits,
    edits: &mut Edits,
    tap: &Tap,
    pricer: &mut dyn Pricer,
) {
    let model = answer.get("model").filter(Value::is_string).map(|model| model.span());
    if let Some(place) = model.filter(|place| !json::is_string(place.of(body), &wanted.public_model)) {
        edits.replace_with(place, |out| json::write_string(out, &wanted.public_model));
    }
    let receipt = pricer.price(&tap.usage().unwrap_or_default());
    if let Some(usage) = answer.get("usage").filter(Value::is_object) {
        openai_chat::write_cost(body, usage.span(), &receipt, edits);
    }
}
