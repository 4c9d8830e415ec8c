//! The half that faces clients: `decode` reads requests (with `block` for what a message consists of and `place` for the
//! names of places), `encode` writes whole answers. Streams are written by `encode_events`.

mod block;
mod decode;
pub(super) mod encode;
mod place;

use super::encode_events::Encoder;
use crate::Carry;
use crate::bridge::AnswerEdits;
use crate::dialect::{self, EncodeEvents};
use crate::error::BodyFault;
use crate::json::{Value, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{Answer, Request};
use crate::receipt::Receipt;
use crate::scan::Scan;

/// The turn of a request's own system text, which stands beside its messages.
pub(super) const SYSTEM: usize = usize::MAX;

/// The half.
#[derive(Debug)]
pub(super) struct Ingress;

impl dialect::Ingress for Ingress {
    fn decode<'a>(&self, body: Value<'a>, scan: &Scan, carry: &Carry) -> Result<Request<'a>, BodyFault> {
        decode::request(body, scan, carry)
    }

    fn encode(
        &self,
        answer: &Answer<'_>,
        _: Option<&Receipt>,
        wanted: &AnswerEdits,
        out: &mut Writer,
        losses: &mut Losses,
    ) {
        encode::answer(answer, wanted, out, losses);
    }

    fn stream(&self, wanted: &AnswerEdits) -> Box<dyn EncodeEvents> {
        Box::new(Encoder::new(wanted))
    }

    fn held(&self) -> &'static [&'static str] {
        &["container", "mcp_servers"]
    }

    fn losses(&self) -> &'static [Loss] {
        encode::LOSSES
    }
}

/// The name of a part in a request of this dialect.
pub(super) fn part_path(turn: usize, part: usize) -> String {
    match turn {
        SYSTEM => format!("system[{part}]"),
        turn => format!("messages[{turn}].content[{part}]"),
    }
}

/// The name of a tool in a request of this dialect.
pub(super) fn tool_path(tool: usize) -> String {
    format!("tools[{tool}]")
}

/// The answer's id: the provider's, else the request's.
pub(super) fn answer_id<'i>(id: &'i str, wanted_id: &'i str) -> &'i str {
    if id.is_empty() { wanted_id } else { id }
}
