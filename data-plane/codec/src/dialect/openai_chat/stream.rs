//! A streamed answer on its way to a client of the same dialect. Whole events pass as they are, but for the model's
//! name, the cost in a usage object, and a usage-only piece that nobody asked for. Learns from all of them on the way.
//! What is the same for all dialects is in `same`.

use domain::usage::TokenUsage;

use super::answer::{self, Form, Found, Head};
use crate::bridge::AnswerEdits;
use crate::fault::{self, UpstreamError};
use crate::json::{self, NewText};
use crate::same::{Notes, ReadEvents, Verdict};
use crate::tap::Tap;

/// What is remembered from event to event.
#[derive(Debug)]
pub(super) struct Reading {
    /// The public model name as JSON.
    model: Box<[u8]>,
    wants_usage: bool,
    head: Head,
}

impl Reading {
    pub fn new(edits: &AnswerEdits) -> Self {
        let mut model = NewText::new();
        json::write_string(&mut model, &edits.public_model);
        Reading { model: model.as_slice().into(), wants_usage: edits.wants_usage, head: Head::default() }
    }
}

impl ReadEvents for Reading {
    #[inline]
    fn event(&mut self, data: &[u8], base: usize, is_error: bool, notes: Notes<'_>) -> Verdict {
        let Ok(found) = answer::read_piece(data, &mut self.head) else {
            return other(data, is_error, notes.tap);
        };
        if let Some(error) = failure(&found, data, is_error) {
            if let Some(usage) = found.usage.as_ref().and_then(|usage| usage.tokens()) {
                notes.tap.note_usage(usage, false);
            }
            notes.tap.note_error(error);
            return Verdict::Stop;
        }
        let is_final = found.note(data, Form::Piece, notes.tap);
        if found.is_usage_only() && !self.wants_usage {
            return Verdict::Drop;
        }
        for model in found.models.iter().filter(|model| model.of(data) != &*self.model) {
            notes.edits.replace(model.behind(base), &self.model);
        }
        if let Some(usage) = found.usage.as_ref().filter(|usage| is_final || usage.has_cost()) {
            let receipt = notes.pricer.price(&usage.tokens().unwrap_or(TokenUsage::default()));
            usage.patch(&receipt, base, notes.edits);
        }
        Verdict::Pass
    }

    fn bare(&self, body: &[u8]) -> Option<UpstreamError> {
        answer::read_whole(body).ok().and_then(|found| found.failure(body))
    }
}

/// Data that is no piece: the end mark, an error in free text, or something to let through.
fn other(data: &[u8], is_error: bool, tap: &mut Tap) -> Verdict {
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

fn failure(found: &Found, data: &[u8], is_error: bool) -> Option<UpstreamError> {
    found.failure(data).or_else(|| is_error.then(|| fault::decode(data)))
}
