//! The half that faces providers: `plan` decides what of a request can be said together (`shape` how the answer gets its
//! shape), `request` writes it with `turns` for the conversation and `part` for what it consists of; `decode` reads whole answers. Streams are read by
//! `decode_events`.

pub(super) mod decode;
mod part;
mod plan;
mod request;
mod shape;
mod turns;

use super::decode_events::Decoder;
use crate::bridge::RequestEdits;
use crate::dialect::{self, DecodeEvents};
use crate::error::BodyFault;
use crate::fault::UpstreamError;
use crate::json::{Value, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{Answer, Request};

/// The tool that is forced where a model knows no structured output: its input is the answer's text.
pub(super) const ANSWER_TOOL: &str = "tollgate_answer";

/// The half.
#[derive(Debug)]
pub(super) struct Egress;

impl dialect::Egress for Egress {
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
        decode::answer(answer)
    }

    fn stream(&self) -> Box<dyn DecodeEvents> {
        Box::<Decoder>::default()
    }

    fn losses(&self) -> &'static [Loss] {
        LOSSES
    }
}

/// Losses of requests.
const LOSSES: &[Loss] = &[
    Loss::Temperature,
    Loss::TemperatureRange,
    Loss::TopP,
    Loss::TopK,
    Loss::MinP,
    Loss::TopA,
    Loss::FrequencyPenalty,
    Loss::PresencePenalty,
    Loss::RepetitionPenalty,
    Loss::Seed,
    Loss::StopBlank,
    Loss::Logprobs,
    Loss::LogitBias,
    Loss::JsonMode,
    Loss::Schema,
    Loss::SchemaKeywords,
    Loss::Strict,
    Loss::ToolChoice,
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
    Loss::Metadata,
    Loss::Modalities,
    Loss::Developer,
    Loss::SystemPlace,
    Loss::FirstTurn,
    Loss::SpeakerName,
    Loss::ImageDetail,
    Loss::FileName,
    Loss::EmptyPart,
    Loss::Part,
    Loss::Field,
    Loss::Annotations,
    Loss::Refusal,
];
