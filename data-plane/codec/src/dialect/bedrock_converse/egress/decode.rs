//! A whole answer of Bedrock in canonical words.

use std::borrow::Cow;

use super::ANSWER_TOOL;
use crate::dialect::bedrock_converse::{finish, usage};
use crate::fault::{self, UpstreamError};
use crate::json::Value;
use crate::model::{Answer, Choice, Media, MediaKind, Part, PartBody, Signature, Source, Thought};

pub(super) fn answer(answer: Value<'_>) -> Result<Answer<'_>, UpstreamError> {
    let Some(message) = answer.path(&["output", "message"]) else {
        let error = fault::decode(answer.raw().as_bytes());
        return Err(match error.message.is_empty() && error.code.is_none() {
            true => UpstreamError { message: "the provider sent no answer".to_owned(), ..UpstreamError::default() },
            false => error,
        });
    };
    let blocks = message.get("content");
    let mut choice = Choice {
        parts: blocks
            .iter()
            .flat_map(Value::items)
            .enumerate()
            .map(|(at, block)| part(at, block))
            .filter(says)
            .collect(),
        stopped_at: stopped_at(answer),
        ..Choice::default()
    };
    let has_calls = choice.parts.iter().any(|part| matches!(part.body, PartBody::ToolCall { .. }));
    if let Some(word) = answer.str("stopReason") {
        choice.finish = Some(finish::parse(&word, has_calls));
        choice.native = word;
    }
    Ok(Answer {
        id: Cow::Borrowed(""),
        created: 0,
        choices: vec![choice],
        usage: answer.get("usage").and_then(usage::read),
        service_tier: answer.get("serviceTier").and_then(|tier| tier.str("type")),
    })
}

/// The stop sequence that was met, at the place of a whole answer or of a stream.
pub(in crate::dialect::bedrock_converse) fn stopped_at(ended: Value<'_>) -> Option<Cow<'_, str>> {
    let fields = ended.get("additionalModelResponseFields")?;
    fields.str("stop_sequence").or_else(|| fields.get("delta")?.str("stop_sequence"))
}

/// A call of a tool that Bedrock runs itself is none of the client's.
pub(in crate::dialect::bedrock_converse) fn is_of_server(call: Value<'_>) -> bool {
    call.get("type").is_some_and(|sort| sort.is_text("server_tool_use"))
}

/// A call's id; made up where there is none.
pub(in crate::dialect::bedrock_converse) fn call_id(call: Value<'_>, at: usize) -> Cow<'_, str> {
    call.str("toolUseId").filter(|id| !id.is_empty()).unwrap_or_else(|| Cow::Owned(format!("call_{at}")))
}

/// A picture that the model made.
pub(in crate::dialect::bedrock_converse) fn picture<'a>(
    format: Option<Cow<'a, str>>,
    image: Value<'a>,
) -> Option<Media<'a>> {
    let data = image.path(&["source", "bytes"])?.string()?;
    Some(Media {
        kind: MediaKind::Image,
        mime: format.map(|format| Cow::Owned(format!("image/{format}"))),
        source: Source::Inline(data),
        name: None,
        detail: None,
        at: String::new(),
    })
}

fn part(at: usize, block: Value<'_>) -> Part<'_> {
    let mut signature = None;
    let known = match block.fields().find(|(_, value)| !value.is_null()) {
        Some((name, value)) => match &*name {
            "text" => value.string().map(|text| PartBody::Text { text, annotations: None }),
            "toolUse" if !is_of_server(value) => Some(call(at, value)),
            "reasoningContent" => thought(value, &mut signature),
            "citationsContent" => Some(cited(value)),
            "image" => picture(value.str("format"), value).map(PartBody::Media),
            _ => None,
        },
        None => None,
    };
    Part { body: known.unwrap_or(PartBody::Other { raw: Cow::Borrowed(block.raw()) }), cache: None, signature }
}

/// Some models have empty texts between their calls.
fn says(part: &Part<'_>) -> bool {
    match &part.body {
        PartBody::Text { text, annotations } => !text.is_empty() || annotations.is_some(),
        PartBody::Thought(thought) => !thought.text.is_empty() || part.signature.is_some(),
        _ => true,
    }
}

fn call(at: usize, call: Value<'_>) -> PartBody<'_> {
    let arguments = Cow::Borrowed(call.get("input").map_or("{}", |input| input.raw()));
    match call.str("name").unwrap_or_default() {
        name if name == ANSWER_TOOL => PartBody::Text { text: arguments, annotations: None },
        name => PartBody::ToolCall { id: call_id(call, at), name, arguments },
    }
}

fn thought<'a>(content: Value<'a>, signature: &mut Option<Signature<'a>>) -> Option<PartBody<'a>> {
    if let Some(sealed) = content.str("redactedContent") {
        *signature = Some(Signature::Own(sealed));
        return Some(PartBody::Thought(Thought { is_redacted: true, ..Thought::default() }));
    }
    let told = content.get("reasoningText")?;
    *signature = told.str("signature").filter(|sealed| !sealed.is_empty()).map(Signature::Own);
    Some(PartBody::Thought(Thought { text: told.str("text").unwrap_or_default(), ..Thought::default() }))
}

fn cited(content: Value<'_>) -> PartBody<'_> {
    let texts = content.get("content").into_iter().flat_map(|texts| texts.items().collect::<Vec<_>>());
    let mut texts = texts.filter_map(|text| text.str("text"));
    let first = texts.next().unwrap_or_default();
    let text = texts.fold(first, |before, more| Cow::Owned(before.into_owned() + &more));
    let citations = content.get("citations").filter(|list| list.items().next().is_some());
    PartBody::Text { text, annotations: citations.map(|list| Cow::Borrowed(list.raw())) }
}
