//! What one answer, or one piece of a streamed one, says: read by the way through and by the half that faces providers,
//! so that both count the same. Must never keep text of it.

use domain::usage::TokenUsage;

use super::{finish, usage};
use crate::fault::{self, UpstreamError};
use crate::json::{Span, Value, meant_len};
use crate::model::Finish;
use crate::tap::Tap;

/// The answers in what came: one, those of a list, and each out of the envelope that some put around it.
pub(super) fn elements<'a>(value: Value<'a>) -> impl Iterator<Item = Value<'a>> {
    super::spelling::list(value).map(|element| match element.get("response") {
        Some(inner) if inner.is_object() && element.get("candidates").is_none() => inner,
        _ => element,
    })
}

/// The error that it is instead of an answer.
pub(super) fn failure(element: Value<'_>) -> Option<UpstreamError> {
    let error = element.get("error")?;
    let says =
        (error.is_object() && error.fields().next().is_some()) || error.string().is_some_and(|text| !text.is_empty());
    says.then(|| fault::decode(element.raw().as_bytes()))
}

/// Why there will be no answer to this prompt.
pub(super) fn block<'a>(element: Value<'a>) -> Option<std::borrow::Cow<'a, str>> {
    let reason = element.get("promptFeedback")?.str("blockReason")?;
    let is_reason = !reason.is_empty() && !reason.ends_with("_UNSPECIFIED");
    is_reason.then_some(reason)
}

/// The candidates with their numbers: the place in the list where none is given.
pub(super) fn candidates<'a>(element: Value<'a>) -> impl Iterator<Item = (u32, Value<'a>)> {
    let list = element.get("candidates").into_iter().flat_map(|list| list.items().enumerate());
    list.filter(|(_, candidate)| candidate.is_object()).map(|(place, candidate)| {
        let index = candidate.count("index").unwrap_or(place as u64);
        (u32::try_from(index).unwrap_or(u32::MAX), candidate)
    })
}

/// Why a candidate ended; none while it goes on.
pub(super) fn reason<'a>(candidate: Value<'a>) -> Option<std::borrow::Cow<'a, str>> {
    candidate.str("finishReason").filter(|reason| !reason.is_empty() && *reason != "FINISH_REASON_UNSPECIFIED")
}

/// The parts of a candidate.
pub(super) fn parts<'a>(candidate: Value<'a>) -> impl Iterator<Item = Value<'a>> {
    candidate.path(&["content", "parts"]).into_iter().flat_map(super::spelling::list).filter(Value::is_object)
}

/// The usage it tells.
pub(super) fn tokens(element: Value<'_>) -> Option<TokenUsage> {
    element.get("usageMetadata").and_then(usage::read)
}

/// Tells the tap everything, and where the model's name stands.
pub(super) fn note(element: Value<'_>, is_whole: bool, tap: &mut Tap) -> Option<Span> {
    if tap.upstream_id().is_empty()
        && let Some(id) = element.str("responseId")
    {
        tap.note_id(&id);
    }
    let mut has_candidate = false;
    for (index, candidate) in candidates(element) {
        has_candidate = true;
        let index = u64::from(index);
        tap.note_choice(index);
        parts(candidate).for_each(|part| note_part(part, tap));
        if let Some(reason) = reason(candidate) {
            tap.note_finish(index, &reason);
            if finish::read(&reason, false) == Finish::Error {
                tap.note_failed();
            }
        }
    }
    if !has_candidate && let Some(reason) = block(element) {
        tap.note_finish(0, &reason);
    }
    if let Some(usage) = tokens(element) {
        tap.note_usage(usage, is_whole || tap.all_finished());
    }
    element.get("modelVersion").filter(Value::is_string).map(|model| model.span())
}

fn note_part(part: Value<'_>, tap: &mut Tap) {
    let mut bytes = 0;
    let mut is_other = false;
    for (name, value) in part.fields() {
        match &*name {
            "text" => bytes += text_len(value),
            "thought" | "thoughtSignature" => {}
            "functionCall" => {
                let sizes = ["args", "partialArgs"]
                    .into_iter()
                    .filter_map(|name| value.get(name))
                    .map(|args| args.span().len());
                bytes += value.get("name").map_or(0, text_len) + sizes.sum::<usize>();
            }
            _ => is_other = true,
        }
    }
    if bytes > 0 || is_other {
        tap.note_content(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

/// How long a text is in bytes once it is unescaped.
fn text_len(value: Value<'_>) -> usize {
    let raw = value.raw().as_bytes();
    match raw {
        [b'"', inner @ .., b'"'] => meant_len(inner, memchr::memchr(b'\\', inner).is_some()),
        _ => 0,
    }
}
