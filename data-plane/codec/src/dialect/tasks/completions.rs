//! OpenAI's old completions: chats in all but the request's `prompt` and the answer's `text`.

use bytes::Bytes;

use crate::bridge::{AnswerEdits, Outbound, RequestEdits, Whole};
use crate::dialect::{Pass, Same, openai_chat};
use crate::error::{BodyFault, Error};
use crate::receipt::Pricer;
use crate::scan::Scan;

/// From the dialect to itself.
#[derive(Debug)]
pub(super) struct Completions;

impl Same for Completions {
    fn request(&self, body: &Bytes, scan: &Scan, wanted: &RequestEdits<'_>) -> Result<Outbound, BodyFault> {
        openai_chat::DIALECT.same.request(body, scan, wanted)
    }

    fn stream(&self, wanted: &AnswerEdits) -> Box<dyn Pass> {
        openai_chat::DIALECT.same.stream(wanted)
    }

    fn whole(&self, body: Bytes, wanted: &AnswerEdits, pricer: &mut dyn Pricer) -> Result<Whole, Error> {
        openai_chat::DIALECT.same.whole(body, wanted, pricer)
    }
}
