//! The half that faces Google's models: `ask` and what it calls write requests; `whole` and `events` read answers.

mod ask;
mod config;
mod contents;
mod events;
mod part;
mod tools;
mod whole;

pub(super) use ask::encode;
pub(super) use events::Events;
pub(super) use tools::takes_name;
pub(super) use whole::decode;

use std::borrow::Cow;

use super::{ID, MADE_ID, answer};
use crate::json::Value;
use crate::loss::Loss;

/// What a request can lose on its way to Google.
pub(super) const LOSSES: &[Loss] = &[
    Loss::TemperatureRange,
    Loss::MinP,
    Loss::TopA,
    Loss::FrequencyPenalty,
    Loss::PresencePenalty,
    Loss::RepetitionPenalty,
    Loss::Seed,
    Loss::StopCount,
    Loss::TokenLimit,
    Loss::LogitBias,
    Loss::SchemaKeywords,
    Loss::ParallelTools,
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
    Loss::Developer,
    Loss::SystemPlace,
    Loss::SpeakerName,
    Loss::ImageDetail,
    Loss::FileName,
    Loss::EmptyPart,
    Loss::Part,
    Loss::Field,
    Loss::Annotations,
    Loss::Refusal,
];

/// What a part of an answer is.
enum Said<'a> {
    Text(Cow<'a, str>),
    Thought(Cow<'a, str>),
    /// There is a signature and nothing that it stands on.
    Seal,
    Call(Value<'a>),
    /// `inlineData` or `fileData`.
    Media(Value<'a>),
    Other,
    Nothing,
}

/// Reads a part of an answer: what it is, and its signature.
fn said<'a>(part: Value<'a>) -> (Said<'a>, Option<Cow<'a, str>>) {
    let (mut text, mut call, mut media, mut is_other, mut is_thought, mut signature) =
        (None, None, None, false, false, None);
    for (name, value) in part.fields().filter(|(_, value)| !value.is_null()) {
        match &*name {
            "text" => text = value.string(),
            "thought" => is_thought = value.bool() == Some(true),
            "thoughtSignature" => signature = value.string().filter(|signature| !signature.is_empty()),
            "functionCall" if value.is_object() => call = Some(value),
            "inlineData" | "fileData" if value.is_object() => media = Some(value),
            "videoMetadata" | "mediaResolution" | "partMetadata" => {}
            _ => is_other = true,
        }
    }
    let what = match (call, media, text) {
        _ if is_other => Said::Other,
        (Some(call), _, _) => Said::Call(call),
        (None, Some(media), _) if !is_thought => Said::Media(media),
        (None, Some(_), _) => Said::Other,
        (None, None, text) => match (text.filter(|text| !text.is_empty()), &signature) {
            (Some(text), _) if is_thought => Said::Thought(text),
            (Some(text), _) => Said::Text(text),
            (None, Some(_)) => Said::Seal,
            (None, None) => Said::Nothing,
        },
    };
    (what, signature)
}

/// What stands beside the parts of a candidate and belongs to its text: where it comes from, as Google says it.
fn sources<'a>(candidate: Value<'a>) -> impl Iterator<Item = (&'static str, Value<'a>)> {
    const NAMES: [&str; 3] = ["citationMetadata", "groundingMetadata", "urlContextMetadata"];
    NAMES.into_iter().filter_map(move |name| {
        let value = candidate.get(name)?;
        value.fields().next().map(|_| (name, value))
    })
}

/// An id for a call that has none: the same for the same seed, which is the id of its answer or its request, and another
/// for each call of it.
fn made_id(seed: &str, call: Value<'_>, number: u32) -> String {
    let plain: String = seed
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-' || *letter == '_')
        .take(64)
        .collect();
    match plain.is_empty() {
        false => format!("{MADE_ID}{plain}_{number}"),
        // What is called tells calls of different answers apart as far as anything does.
        true => {
            let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            let hash = call.raw().bytes().fold(0xcbf2_9ce4_8422_2325, fold);
            format!("{MADE_ID}{hash:016x}_{number}")
        }
    }
}
