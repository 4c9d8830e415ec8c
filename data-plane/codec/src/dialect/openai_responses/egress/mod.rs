//! The half that faces providers: requests out, answers in, whole or as events. Must never know who asks.

mod answer;
mod events;
mod input;
mod request;

use crate::bridge::RequestEdits;
use crate::dialect::{DecodeEvents, Egress};
use crate::error::BodyFault;
use crate::fault::UpstreamError;
use crate::json::{Value, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{Answer, Request};

/// Providers of this dialect.
#[derive(Debug)]
pub(super) struct Providers;

impl Egress for Providers {
    fn encode(
        &self,
        request: &Request<'_>,
        wanted: &RequestEdits<'_>,
        out: &mut Writer,
        losses: &mut Losses,
    ) -> Result<(), BodyFault> {
        request::write(request, wanted, out, losses)
    }

    fn decode<'a>(&self, answer: Value<'a>) -> Result<Answer<'a>, UpstreamError> {
        answer::read(answer)
    }

    fn stream(&self) -> Box<dyn DecodeEvents> {
        Box::new(events::Events::default())
    }

    fn losses(&self) -> &'static [Loss] {
        &[
            Loss::Temperature,
            Loss::TopP,
            Loss::TopK,
            Loss::MinP,
            Loss::TopA,
            Loss::FrequencyPenalty,
            Loss::PresencePenalty,
            Loss::RepetitionPenalty,
            Loss::Seed,
            Loss::Stop,
            Loss::LogitBias,
            Loss::TokenLimit,
            Loss::ToolError,
            Loss::Reasoning,
            Loss::ReasoningSignature,
            Loss::ReasoningEffort,
            Loss::ReasoningBudget,
            Loss::CacheMark,
            Loss::CacheKey,
            Loss::ServiceTier,
            Loss::User,
            Loss::Modalities,
            Loss::SpeakerName,
            Loss::FileName,
            Loss::EmptyPart,
            Loss::Part,
            Loss::Field,
            Loss::Annotations,
        ]
    }
}
