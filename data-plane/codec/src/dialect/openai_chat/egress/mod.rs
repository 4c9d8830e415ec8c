//! The half that faces providers: `request` writes what is asked and how, `messages` with `content` and `assistant` what
//! was said; `answer` reads whole answers, `events` streamed ones, `calls` keeps calls apart that come in pieces. Small
//! deviations of providers are `quirks`. Never talks about clients.

mod answer;
mod assistant;
mod calls;
mod content;
mod events;
mod messages;
mod request;

pub(super) use request::write_reasoning;

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
        request::encode(request, wanted, out, losses)
    }

    fn decode<'a>(&self, answer: Value<'a>) -> Result<Answer<'a>, UpstreamError> {
        answer::decode(answer, "")
    }

    fn decode_with<'a>(&self, answer: Value<'a>, seed: &str) -> Result<Answer<'a>, UpstreamError> {
        answer::decode(answer, seed)
    }

    fn stream(&self) -> Box<dyn DecodeEvents> {
        Box::new(events::Decoder::default())
    }

    fn losses(&self) -> &'static [Loss] {
        LOSSES
    }
}

/// Some happen only at providers with a quirk.
const LOSSES: &[Loss] = &[
    Loss::Temperature,
    Loss::TopP,
    Loss::TopK,
    Loss::MinP,
    Loss::TopA,
    Loss::FrequencyPenalty,
    Loss::PresencePenalty,
    Loss::RepetitionPenalty,
    Loss::Stop,
    Loss::StopCount,
    Loss::Logprobs,
    Loss::LogitBias,
    Loss::Schema,
    Loss::ToolChoice,
    Loss::ParallelTools,
    Loss::ToolError,
    Loss::ToolMedia,
    Loss::Reasoning,
    Loss::ReasoningSignature,
    Loss::ReasoningEffort,
    Loss::ReasoningBudget,
    Loss::ReasoningSummary,
    Loss::ReasoningSwitch,
    Loss::Verbosity,
    Loss::CacheMark,
    Loss::CacheKey,
    Loss::ServiceTier,
    Loss::User,
    Loss::Metadata,
    Loss::Modalities,
    Loss::Developer,
    Loss::SpeakerName,
    Loss::ImageDetail,
    Loss::FileName,
    Loss::EmptyPart,
    Loss::Part,
    Loss::Field,
    Loss::Annotations,
];
