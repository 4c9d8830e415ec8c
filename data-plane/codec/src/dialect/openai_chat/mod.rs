//! OpenAI's chat completions, and the many providers that speak them with small deviations. What each file does:
//! `fields` what is acted on in requests, `request` the edits on the way out, `extension` those that OpenRouter's fields need, `answer` one pass over an answer or a
//! piece of one, `usage` its numbers, `stream` and `whole` the two ways answers pass, `fault` errors; all for bytes that
//! pass. Translations are `ingress` and `egress`, with `expect`, `finish`, `media` and `thoughts` for both;
//! `citation` finds what citations name, for clients of the Responses, too.

mod answer;
pub(in crate::dialect) mod citation;
mod egress;
mod expect;
mod extension;
pub(in crate::dialect) mod fault;
mod fields;
mod finish;
mod ingress;
mod media;
mod quirks;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod thoughts;
pub(in crate::dialect) mod usage;
mod whole;

pub use fields::FIELDS;

use std::borrow::Cow;

use bytes::Bytes;

use super::{Dialect, Pass, Same};
use crate::bridge::{AnswerEdits, Outbound, RequestEdits, Whole};
use crate::error::{BodyFault, Error};
use crate::fault::Surface;
use crate::frame::sse;
use crate::json::{Cursor, Span};
use crate::patch::Edits;
use crate::receipt::{Pricer, Receipt};
use crate::same::EventPass;
use crate::scan::Scan;

/// Its name on rows.
const ID: &str = "openai-chat";

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    id: ID,
    row: ID,
    fields: FIELDS,
    quirks: quirks::NAMES,
    headers: &[],
    passing_headers: &["openai-beta"],
    route: |_| Cow::Borrowed("/chat/completions"),
    write_fault: fault::encode,
    write_in_band: fault::encode_in_band,
    write_keep_alive: |sign| sse::comment(sign.text),
    same: &BytesThrough,
    ingress: Some(&ingress::Clients),
    egress: Some(&egress::Providers),
};

/// Puts the cost into a `usage` object that stands at `place` of a body.
pub(in crate::dialect) fn write_cost(body: &[u8], place: Span, receipt: &Receipt, edits: &mut Edits) {
    if let Ok(Some(usage)) = usage::read(&mut Cursor::resume(body, place.start, 1)) {
        usage.patch(receipt, 0, edits);
    }
}

/// Who answered, for OpenRouter's clients: some refuse an answer, or a piece of one, that does not say. Only where the
/// answer is written anew; one that passes stays as its provider wrote it.
fn provider(wanted: &AnswerEdits) -> Option<&str> {
    let is_told = wanted.surface == Surface::ApiV1 && !wanted.provider.is_empty();
    is_told.then_some(&*wanted.provider)
}

/// The service tier in a word that OpenAI has for it; its clients know no others.
pub(in crate::dialect) fn service_tier(word: &str) -> Option<&str> {
    match word {
        "auto" | "default" | "flex" | "scale" | "priority" => Some(word),
        "standard" | "STANDARD" | "on_demand" => Some("default"),
        "FLEX" => Some("flex"),
        "PRIORITY" => Some("priority"),
        _ => None,
    }
}

/// From the dialect to itself.
#[derive(Debug)]
struct BytesThrough;

impl Same for BytesThrough {
    fn request(&self, body: &Bytes, scan: &Scan, wanted: &RequestEdits<'_>) -> Result<Outbound, BodyFault> {
        request::patch(body, scan, wanted)
    }

    fn stream(&self, wanted: &AnswerEdits) -> Box<dyn Pass> {
        Box::new(EventPass::new(stream::Reading::new(wanted)))
    }

    fn whole(&self, body: Bytes, wanted: &AnswerEdits, pricer: &mut dyn Pricer) -> Result<Whole, Error> {
        whole::pass(body, wanted, pricer)
    }
}

/// The event with which a good stream ends.
pub const DONE: &[u8] = b"data: [DONE]\n\n";
