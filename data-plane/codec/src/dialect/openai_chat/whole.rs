//! A whole answer on its way to a client of the same dialect: the model's name and the cost in its usage are edited,
//! everything else stays. Must never pass on what is not an answer.

use bytes::Bytes;
use domain::usage::TokenUsage;

use super::answer::{self, Form};
use crate::bridge::{AnswerEdits, Whole};
use crate::error::Error;
use crate::json;
use crate::loss::Losses;
use crate::patch::Edits;
use crate::receipt::Pricer;
use crate::structured::Settled;
use crate::tap::Tap;

/// Reads and edits a whole answer. With an error in it, the tap says so and the body is left as it is.
pub(super) fn pass(body: Bytes, wanted: &AnswerEdits, pricer: &mut dyn Pricer) -> Result<Whole, Error> {
    let found = answer::read_whole(&body).map_err(|_| Error::AnswerNotJson)?;
    let mut tap = Tap::default();
    if let Some(error) = found.failure(&body) {
        if let Some(usage) = found.usage.as_ref().and_then(|usage| usage.tokens()) {
            tap.note_usage(usage, false);
        }
        tap.note_error(error);
        return Ok(Whole { body: body.into(), tap, losses: Losses::default(), settled: Settled::Fits });
    }
    found.note(&body, Form::Whole, &mut tap);
    let mut edits = Edits::default();
    for place in found.models.iter() {
        if !json::is_string(place.of(&body), &wanted.public_model) {
            edits.replace_with(*place, |out| json::write_string(out, &wanted.public_model));
        }
    }
    if let Some(usage) = &found.usage {
        let receipt = pricer.price(&usage.tokens().unwrap_or(TokenUsage::default()));
        usage.patch(&receipt, 0, &mut edits);
    }
    Ok(Whole { body: edits.apply(&body), tap, losses: Losses::default(), settled: Settled::Fits })
}
