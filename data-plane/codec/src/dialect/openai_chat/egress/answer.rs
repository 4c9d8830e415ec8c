//! Reads a whole answer, with all that providers of this dialect do differently.

use std::borrow::Cow;

use domain::usage::TokenUsage;

use crate::dialect::openai_chat::thoughts::{self, Whose};
use crate::dialect::openai_chat::{finish, media, usage};
use crate::fault::{self, UpstreamError};
use crate::json::Value;
use crate::model::{Answer, Choice, Media, MediaKind, Part, PartBody, Source, Thought};

pub(super) fn decode<'a>(body: Value<'a>, seed: &str) -> Result<Answer<'a>, UpstreamError> {
    if let Some(error) = failure(body) {
        return Err(error);
    }
    let Some(list) = body.get("choices").filter(Value::is_array) else {
        return Err(UpstreamError {
            message: "the provider's answer has no choices".to_owned(),
            ..UpstreamError::default()
        });
    };
    let id = body.str("id").unwrap_or_default();
    let mut choices = Vec::new();
    for (at, choice) in list.items().enumerate() {
        if let Some(error) = choice.get("error").filter(says_something) {
            return Err(fault::decode(error.raw().as_bytes()));
        }
        choices.push(read_choice(choice, at, if id.is_empty() { seed } else { &id }));
    }
    choices.sort_by_key(|choice| choice.index);
    Ok(Answer {
        created: body.count("created").unwrap_or(0),
        choices,
        usage: tokens(body),
        service_tier: body.str("service_tier"),
        id,
    })
}

/// An error in the place of an answer, or of a piece of one.
fn failure(body: Value<'_>) -> Option<UpstreamError> {
    let is_error = body.get("error").is_some_and(|error| says_something(&error))
        || body.get("object").is_some_and(|object| object.is_text("error"));
    is_error.then(|| fault::decode(body.raw().as_bytes()))
}

/// Clients raise on errors that say something, and pass over null and empty ones.
pub(super) fn says_something(error: &Value<'_>) -> bool {
    let is_error = error.is_object() || error.is_array() || error.is_string();
    is_error && error.span().len() > 2
}

/// Usage, in Groq's second place as well.
fn tokens(body: Value<'_>) -> Option<TokenUsage> {
    body.get("usage").and_then(usage::of).or_else(|| usage::of(body.path(&["x_groq", "usage"])?))
}

fn read_choice<'a>(choice: Value<'a>, at: usize, id: &str) -> Choice<'a> {
    let index = choice.get("index").and_then(index).unwrap_or(u32::try_from(at).unwrap_or(u32::MAX));
    let mut parts = Vec::new();
    if let Some(message) = choice.get("message").or_else(|| choice.get("delta")) {
        message_parts(message, id, &mut parts);
    }
    let has = |is: fn(&PartBody<'_>) -> bool| parts.iter().any(|part| is(&part.body));
    let has_calls = has(|body| matches!(body, PartBody::ToolCall { .. }));
    let has_refusal = has(|body| matches!(body, PartBody::Refusal(_)));
    let why = reason(choice.get("finish_reason"), choice.get("native_finish_reason"), choice.get("stop_reason"));
    Choice {
        index,
        parts,
        finish: why.as_ref().map(|why| why.settle(has_calls, has_refusal)),
        native: why.as_ref().map(|why| why.native.clone()).unwrap_or_default(),
        stopped_at: why.and_then(|why| why.stopped_at),
        logprobs: choice.get("logprobs").filter(Value::is_object).map(|logprobs| logprobs.raw().into()),
    }
}

pub(super) fn index(index: Value<'_>) -> Option<u32> {
    u32::try_from(index.u64()?).ok()
}

/// Why a choice ended, as the provider says it.
pub(super) struct Reason<'a> {
    word: Cow<'a, str>,
    /// What the provider behind the provider said, where that is told.
    pub native: Cow<'a, str>,
    pub stopped_at: Option<Cow<'a, str>>,
}

impl Reason<'_> {
    pub fn settle(&self, has_calls: bool, has_refusal: bool) -> crate::model::Finish {
        finish::settle(finish::read(&self.word), has_calls, has_refusal, self.stopped_at.as_deref())
    }
}

/// None while it goes on. vLLM tells which stop sequence was met; numbers there are tokens.
pub(super) fn reason<'a>(
    finish: Option<Value<'a>>,
    native: Option<Value<'a>>,
    stop: Option<Value<'a>>,
) -> Option<Reason<'a>> {
    let text = |value: Option<Value<'a>>| value?.string().filter(|text| !text.is_empty());
    let word = text(finish)?;
    let (native, stopped_at) = (text(native), text(stop));
    Some(Reason { native: native.unwrap_or_else(|| word.clone()), word, stopped_at })
}

fn message_parts<'a>(message: Value<'a>, id: &str, parts: &mut Vec<Part<'a>>) {
    if let Some(details) = message.get("reasoning_details") {
        thoughts::read(details, Whose::Provider, parts);
    }
    if parts.is_empty() {
        let texts = ["reasoning_content", "reasoning"].into_iter().filter_map(|name| message.get(name));
        let text = texts.filter_map(text_of).find(|text| !text.is_empty());
        parts.extend(text.map(thought));
    }
    let first_text = parts.len();
    if let Some(content) = message.get("content") {
        content_parts(content, parts);
    }
    if let Some(audio) = message.get("audio").filter(Value::is_object) {
        parts.extend(audio.str("transcript").filter(|text| !text.is_empty()).map(Part::text));
        parts.extend(sound(audio).map(|media| Part::new(PartBody::Media(media))));
    }
    if let Some(list) = message.get("annotations").filter(|list| list.items().next().is_some()) {
        let texts = parts.get_mut(first_text..).unwrap_or_default();
        if let Some(PartBody::Text { annotations, .. }) =
            texts.iter_mut().map(|part| &mut part.body).find(|body| matches!(body, PartBody::Text { .. }))
        {
            *annotations = Some(list.raw().into());
        }
    }
    let refusal = message.str("refusal").filter(|text| !text.is_empty());
    parts.extend(refusal.map(|text| Part::new(PartBody::Refusal(text))));
    if let Some(images) = message.get("images") {
        parts.extend(images.items().filter_map(image).map(|media| Part::new(PartBody::Media(media))));
    }
    for call in message.get("tool_calls").into_iter().flat_map(|calls| calls.items()) {
        let part = call_part(call, id, parts.len());
        parts.push(part);
    }
    if let Some(function) = message.get("function_call").filter(Value::is_object) {
        let call = function_part(function, made_up_id(id, parts.len()).into());
        parts.push(call);
    }
}

/// A text, or the texts in a list of blocks.
fn text_of<'a>(value: Value<'a>) -> Option<Cow<'a, str>> {
    value.string().or_else(|| {
        let mut texts = value.items().filter_map(|block| block.str("text"));
        let first = texts.next()?;
        Some(texts.fold(first, |all, more| all + more))
    })
}

pub(super) fn thought<'a>(text: Cow<'a, str>) -> Part<'a> {
    Part::new(PartBody::Thought(Thought { text, ..Thought::default() }))
}

/// A string, or Mistral's blocks.
fn content_parts<'a>(content: Value<'a>, parts: &mut Vec<Part<'a>>) {
    if let Some(text) = content.string() {
        return parts.extend(Some(text).filter(|text| !text.is_empty()).map(Part::text));
    }
    for block in content.items() {
        parts.push(match read_block(block) {
            Block::Text(text) => Part::text(text),
            Block::Thinking(text) => thought(text),
            Block::Media(media) => Part::new(PartBody::Media(media)),
            Block::Other => Part::new(PartBody::Other { raw: block.raw().into() }),
        });
    }
}

/// A block of content.
pub(super) enum Block<'a> {
    Text(Cow<'a, str>),
    Thinking(Cow<'a, str>),
    Media(Media<'a>),
    Other,
}

pub(super) fn read_block<'a>(block: Value<'a>) -> Block<'a> {
    if let Some(text) = block.string() {
        return Block::Text(text);
    }
    match block.str("type").as_deref() {
        Some("text") => Block::Text(block.str("text").unwrap_or_default()),
        Some("thinking") => Block::Thinking(block.get("thinking").and_then(text_of).unwrap_or_default()),
        Some("image_url") => image(block).map_or(Block::Other, Block::Media),
        _ => Block::Other,
    }
}

pub(super) fn image<'a>(image: Value<'a>) -> Option<Media<'a>> {
    let url = image.get("image_url")?;
    let url = url.string().or_else(|| url.str("url"))?;
    Some(media::of_url(url, MediaKind::Image))
}

pub(super) fn sound<'a>(audio: Value<'a>) -> Option<Media<'a>> {
    let data = audio.str("data").filter(|data| !data.is_empty())?;
    let name = audio.str("id");
    Some(Media {
        kind: MediaKind::Audio,
        mime: None,
        source: Source::Inline(data),
        name,
        detail: None,
        at: String::new(),
    })
}

fn call_part<'a>(call: Value<'a>, answer: &str, place: usize) -> Part<'a> {
    match call.get("function") {
        Some(function) => {
            let id = call.str("id").filter(|id| !id.is_empty());
            function_part(function, id.unwrap_or_else(|| made_up_id(answer, place).into()))
        }
        None => Part::new(PartBody::Other { raw: call.raw().into() }),
    }
}

fn function_part<'a>(function: Value<'a>, id: Cow<'a, str>) -> Part<'a> {
    let name = function.str("name").unwrap_or_default();
    Part::new(PartBody::ToolCall { id, name, arguments: arguments(function) })
}

/// JSON text, or a piece of it; some providers send the object itself.
pub(super) fn piece_of_arguments<'a>(function: Value<'a>) -> Cow<'a, str> {
    match function.get("arguments") {
        Some(object) if object.is_object() => object.raw().into(),
        Some(text) => text.string().unwrap_or_default(),
        None => Cow::Borrowed(""),
    }
}

/// All of a call's arguments. Groq writes that there are none as `null`, within a text or not.
pub(super) fn arguments<'a>(function: Value<'a>) -> Cow<'a, str> {
    let arguments = piece_of_arguments(function);
    if arguments.trim() == "null" { Cow::Borrowed("") } else { arguments }
}

/// An id for a call that came without one: the same whenever the same answer is read.
pub(super) fn made_up_id(answer: &str, part: usize) -> String {
    let tail: String = answer.chars().filter(char::is_ascii_alphanumeric).collect();
    let tail = tail.get(tail.len().saturating_sub(20)..).unwrap_or_default();
    format!("call_{tail}_{part}")
}
