//! The half that faces clients: `request` reads what is asked and how, `turns` what was said; `answer` writes whole
//! answers, `events` streamed ones, `annotation` the citations in both. Never talks about providers.

mod annotation;
mod answer;
mod events;
mod request;
mod turns;

pub(super) use request::reasoning;

use crate::Carry;
use crate::bridge::AnswerEdits;
use crate::dialect::{EncodeEvents, Ingress};
use crate::error::BodyFault;
use crate::fault::Surface;
use crate::json::{Cursor, Flaw, Kind, Value, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{Answer, Request};
use crate::receipt::Receipt;
use crate::scan::Scan;

/// Clients of this dialect.
#[derive(Debug)]
pub(super) struct Clients;

impl Ingress for Clients {
    fn decode<'a>(&self, body: Value<'a>, scan: &Scan, carry: &Carry) -> Result<Request<'a>, BodyFault> {
        request::decode(body, scan, carry)
    }

    fn encode(
        &self,
        answer: &Answer<'_>,
        receipt: Option<&Receipt>,
        wanted: &AnswerEdits,
        out: &mut Writer,
        losses: &mut Losses,
    ) {
        answer::encode(answer, receipt, wanted, out, losses);
    }

    fn stream(&self, wanted: &AnswerEdits) -> Box<dyn EncodeEvents> {
        Box::new(events::Encoder::new(wanted))
    }

    fn losses(&self) -> &'static [Loss] {
        &[Loss::Annotations, Loss::AnswerMedia, Loss::AnswerPart]
    }
}

/// The field for reasoning that people may read: OpenRouter's clients look for another one than everybody else's.
fn reasoning_field(surface: Surface) -> &'static str {
    match surface {
        Surface::V1 => "reasoning_content",
        Surface::ApiV1 => "reasoning",
    }
}

/// Whether a request was made with the fields for calls from before there were tools: its answer must have them as well.
fn is_legacy(request: &[u8]) -> bool {
    if memchr::memmem::find(request, b"\"functions\"").is_none() {
        return false;
    }
    legacy_fields(request).unwrap_or(false)
}

/// The same by the names of the fields: nothing is built, since a request may be megabytes.
fn legacy_fields(request: &[u8]) -> Result<bool, Flaw> {
    let mut cursor = Cursor::lenient(request);
    let (mut has_functions, mut has_tools) = (false, false);
    let mut more = cursor.open_object()?;
    while more {
        let key = cursor.key()?;
        let is_said = cursor.kind()? != Kind::Null;
        match &*cursor.name(key) {
            b"functions" => has_functions = is_said,
            b"tools" => has_tools = is_said,
            _ => {}
        }
        cursor.pass()?;
        more = cursor.next_field()?;
    }
    Ok(has_functions && !has_tools)
}
