//! Whole answers of providers, and what they have in common with the events of a stream: items and ends.

use std::borrow::Cow;

use crate::dialect::openai_responses::{item, same, seal, usage};
use crate::fault::UpstreamError;
use crate::json::Value;
use crate::model::{Answer, Choice, Finish, Media, MediaKind, Part, PartBody, Source, Thought};

/// Stands between the parts of a thought's text, which is one text in all other dialects.
pub(super) const BETWEEN: &str = "\n\n";

/// Reads a whole answer.
pub(super) fn read(response: Value<'_>) -> Result<Answer<'_>, UpstreamError> {
    if let Some(error) = same::failure(response) {
        return Err(error);
    }
    let mut choice = Choice::default();
    for item in response.get("output").into_iter().flat_map(|output| output.items()) {
        parts(item, &mut choice.parts, &mut choice.logprobs);
    }
    let has = |wanted: fn(&PartBody<'_>) -> bool| choice.parts.iter().any(|part| wanted(&part.body));
    let has_call = has(|body| matches!(body, PartBody::ToolCall { .. }));
    let has_refusal = has(|body| matches!(body, PartBody::Refusal(_)));
    if let Some((finish, native)) = end(response, "", has_call, has_refusal) {
        choice.finish = Some(finish);
        choice.native = native;
    }
    Ok(Answer {
        id: response.str("id").unwrap_or_default(),
        created: response.count("created_at").unwrap_or(0),
        choices: vec![choice],
        usage: usage::tokens(response),
        service_tier: response.str("service_tier"),
    })
}

/// Why a response ended, and the provider's word for it; `event` as for [`same::end_word`].
pub(super) fn end<'v>(
    response: Value<'v>,
    event: &str,
    has_call: bool,
    has_refusal: bool,
) -> Option<(Finish, Cow<'v, str>)> {
    let reason = || response.path(&["incomplete_details", "reason"]).and_then(|why| why.string());
    let native = same::end_word(response.str("status"), reason, event)?;
    let finish = match &*native {
        "completed" if has_refusal => Finish::Refusal,
        "completed" if has_call => Finish::ToolCalls,
        "completed" => Finish::Stop,
        "max_output_tokens" => Finish::Length,
        "content_filter" => Finish::Filter,
        _ => Finish::Unknown,
    };
    Some((finish, native))
}

/// The parts that an item of an output is.
pub(super) fn parts<'a>(item: Value<'a>, parts: &mut Vec<Part<'a>>, logprobs: &mut Option<Cow<'a, str>>) {
    match item.str("type").unwrap_or_default().as_ref() {
        item::MESSAGE => {
            for content in item.get("content").into_iter().flat_map(|content| content.items()) {
                parts.push(words(content));
                if let Some(object) = content.get("logprobs").and_then(logprobs_object) {
                    *logprobs = Some(joined_logprobs(logprobs.take(), object));
                }
            }
        }
        item::REASONING => parts.extend(reasoning(item)),
        item::CALL => parts.push(call(item)),
        _ => parts.push(native(item)),
    }
}

fn words(content: Value<'_>) -> Part<'_> {
    match content.str("type").unwrap_or_default().as_ref() {
        "output_text" => Part::new(PartBody::Text {
            text: content.str("text").unwrap_or_default(),
            annotations: annotations(content).map(|list| list.raw().into()),
        }),
        "refusal" => Part::new(PartBody::Refusal(content.str("refusal").unwrap_or_default())),
        _ => Part::new(PartBody::Other { raw: content.raw().into() }),
    }
}

/// Citations, if there is any.
pub(super) fn annotations(content: Value<'_>) -> Option<Value<'_>> {
    content.get("annotations").filter(|list| list.items().next().is_some())
}

/// A list of log probabilities as OpenAI's chat writes them; none when it is empty.
pub(super) fn logprobs_object(list: Value<'_>) -> Option<Cow<'static, str>> {
    list.items().next().map(|_| Cow::Owned(format!(r#"{{"content":{},"refusal":null}}"#, list.raw())))
}

/// Those of two texts, one behind the other. Both were written by [`logprobs_object`].
fn joined_logprobs<'a>(before: Option<Cow<'a, str>>, more: Cow<'a, str>) -> Cow<'a, str> {
    let Some(before) = before else { return more };
    // An answer may have thousands of texts: one string grows.
    let mut joined = before.into_owned();
    joined.truncate(joined.strip_suffix(r#"],"refusal":null}"#).map_or(0, str::len));
    joined.push(',');
    joined.push_str(more.strip_prefix(r#"{"content":["#).unwrap_or_default());
    Cow::Owned(joined)
}

/// A thought; none where the item says nothing and has nothing sealed in it.
pub(super) fn reasoning(item: Value<'_>) -> Option<Part<'_>> {
    let sealed = item.str("encrypted_content").filter(|sealed| !sealed.is_empty());
    let (summary, whole) = (texts(item, "summary"), texts(item, "content"));
    let text = match (summary.is_empty(), whole.is_empty()) {
        (_, true) => summary,
        (true, false) => whole.clone(),
        (false, false) => Cow::Owned([&*summary, &*whole].join(BETWEEN)),
    };
    if text.is_empty() && sealed.is_none() {
        return None;
    }
    let is_redacted = text.is_empty();
    let signature = sealed.map(|sealed| seal::with_id(item.str("id").as_deref(), sealed));
    let thought = Thought { is_summary: !is_redacted && whole.is_empty(), is_redacted, text, id: item.str("id") };
    Some(Part { body: PartBody::Thought(thought), cache: None, signature })
}

fn texts<'a>(item: Value<'a>, name: &str) -> Cow<'a, str> {
    let list = item.get(name).into_iter().flat_map(|list| list.items());
    list.filter_map(|part| part.str("text")).filter(|text| !text.is_empty()).fold(
        Cow::Borrowed(""),
        |mut joined, text| {
            if joined.is_empty() {
                return text;
            }
            joined.to_mut().push_str(BETWEEN);
            joined.to_mut().push_str(&text);
            joined
        },
    )
}

/// Who is called, by the call's own id; providers that have none give the item's.
pub(super) fn call_head(item: Value<'_>) -> (Cow<'_, str>, Cow<'_, str>) {
    let id = item.str("call_id").filter(|id| !id.is_empty()).or_else(|| item.str("id"));
    (id.unwrap_or_default(), item.str("name").unwrap_or_default())
}

fn call(item: Value<'_>) -> Part<'_> {
    let (id, name) = call_head(item);
    Part::new(PartBody::ToolCall { id, name, arguments: item.str("arguments").unwrap_or_default() })
}

/// A provider's own item: a picture, or what only this dialect can say.
fn native(item: Value<'_>) -> Part<'_> {
    match picture(item) {
        Some(media) => Part::new(PartBody::Media(media)),
        None => Part::new(PartBody::Other { raw: item.raw().into() }),
    }
}

/// The picture that was made.
pub(super) fn picture(item: Value<'_>) -> Option<Media<'_>> {
    let data = item.get("type").filter(|kind| kind.is_text(item::IMAGE)).and_then(|_| item.str("result"))?;
    let format = item.str("output_format").unwrap_or("png".into());
    let mime = Some(Cow::Owned(format!("image/{format}")));
    Some(Media {
        kind: MediaKind::Image,
        mime,
        source: Source::Inline(data),
        name: None,
        detail: None,
        at: String::new(),
    })
}
