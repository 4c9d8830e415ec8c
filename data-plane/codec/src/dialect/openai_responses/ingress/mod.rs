//! The half that faces clients: requests in, answers out, whole or as events. Must never know who answers.

mod annotation;
mod decode;
mod echo;
mod encode;
mod events;
mod input;
mod open;

pub(super) use encode::{Shell, Status};

use crate::bridge::AnswerEdits;
use crate::carry::Carry;
use crate::dialect::{EncodeEvents, Ingress};
use crate::error::BodyFault;
use crate::json::{Value, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{Answer, Request};
use crate::receipt::Receipt;
use crate::scan::Scan;

/// Clients of this dialect.
#[derive(Debug)]
pub(super) struct Clients;

impl Ingress for Clients {
    fn decode<'a>(&self, body: Value<'a>, scan: &Scan, carry: &Carry) -> Result<Request<'a>, BodyFault> {
        decode::request(body, scan, carry)
    }

    fn encode(
        &self,
        answer: &Answer<'_>,
        receipt: Option<&Receipt>,
        wanted: &AnswerEdits,
        out: &mut Writer,
        losses: &mut Losses,
    ) {
        encode::answer(answer, receipt, wanted, out, losses);
    }

    fn stream(&self, wanted: &AnswerEdits) -> Box<dyn EncodeEvents> {
        Box::new(events::Events::new(wanted))
    }

    fn losses(&self) -> &'static [Loss] {
        &[
            Loss::Annotations,
            Loss::AnswerLogprobs,
            Loss::AnswerMedia,
            Loss::AnswerChoices,
            Loss::AnswerPart,
            Loss::ReasoningSignature,
        ]
    }
}
