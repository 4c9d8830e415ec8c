//! A whole answer of a provider in canonical words.

use std::borrow::Cow;

use super::ANSWER_TOOL;
use crate::dialect::anthropic::{finish, usage};
use crate::fault::{self, UpstreamError};
use crate::json::Value;
use crate::model::{Answer, Choice, Finish, Part, PartBody, Signature, Thought};

pub(super) fn answer(answer: Value<'_>) -> Result<Answer<'_>, UpstreamError> {
    if is_error(answer) {
        return Err(fault::decode(answer.raw().as_bytes()));
    }
    let mut choice =
        Choice { parts: answer.get("content").iter().flat_map(Value::items).map(part).collect(), ..Choice::default() };
    let has_calls = choice.parts.iter().any(|part| matches!(part.body, PartBody::ToolCall { .. }));
    if let Some(word) = answer.str("stop_reason") {
        choice.finish = Some(said(finish::parse(&word), has_calls));
        choice.native = word;
    }
    choice.stopped_at = answer.str("stop_sequence");
    if let Some(why) = refused(answer, choice.finish) {
        choice.parts.push(Part::new(PartBody::Refusal(why)));
    }
    let usage = answer.get("usage");
    Ok(Answer {
        id: answer.str("id").unwrap_or_default(),
        created: 0,
        choices: vec![choice],
        usage: usage.and_then(|usage| usage::of(usage).tokens()),
        service_tier: usage.and_then(|usage| usage.str("service_tier")),
    })
}

/// Whether an object is an error: by its type, or since it has one in it.
pub(in crate::dialect::anthropic) fn is_error(object: Value<'_>) -> bool {
    let says = |error: Value<'_>| (error.is_object() || error.is_string()) && error.raw().len() > 2;
    object.get("type").is_some_and(|sort| sort.is_text("error")) || object.get("error").is_some_and(says)
}

/// An answer that came as the input of the forced tool ended well, and called nothing.
pub(in crate::dialect::anthropic) fn said(finish: Finish, has_calls: bool) -> Finish {
    if finish == Finish::ToolCalls && !has_calls { Finish::Stop } else { finish }
}

/// Why the model would not, in its provider's words.
pub(in crate::dialect::anthropic) fn refused<'a>(ended: Value<'a>, finish: Option<Finish>) -> Option<Cow<'a, str>> {
    let why = ended.get("stop_details")?.str("explanation")?;
    (finish == Some(Finish::Refusal) && !why.is_empty()).then_some(why)
}

fn part(block: Value<'_>) -> Part<'_> {
    let sort = block.str("type").unwrap_or_default();
    let text = |name: &str| block.str(name).unwrap_or_default();
    let mut signature = None;
    let body = match &*sort {
        "text" => PartBody::Text { text: text("text"), annotations: citations(block) },
        "thinking" => {
            signature = block.str("signature").filter(|sealed| !sealed.is_empty()).map(Signature::Own);
            PartBody::Thought(Thought { text: text("thinking"), ..Thought::default() })
        }
        "redacted_thinking" => {
            signature = block.str("data").map(Signature::Own);
            PartBody::Thought(Thought { is_redacted: true, ..Thought::default() })
        }
        "tool_use" => {
            let arguments = Cow::Borrowed(block.get("input").map_or("{}", |input| input.raw()));
            match text("name") {
                name if name == ANSWER_TOOL => PartBody::Text { text: arguments, annotations: None },
                name => PartBody::ToolCall { id: text("id"), name, arguments },
            }
        }
        _ => PartBody::Other { raw: Cow::Borrowed(block.raw()) },
    };
    Part { body, cache: None, signature }
}

/// Citations, where there are any.
fn citations(block: Value<'_>) -> Option<Cow<'_, str>> {
    let list = block.get("citations").filter(Value::is_array)?;
    list.items().next().is_some().then(|| Cow::Borrowed(list.raw()))
}
