//! The conversation of a request: a text, or items, each of which becomes a turn.

use std::borrow::Cow;

use crate::carry::Carry;
use crate::dialect::openai_responses::read::{self, At, Object};
use crate::dialect::openai_responses::{NO_REFERENCES, item, seal};
use crate::error::BodyFault;
use crate::json::Value;
use crate::model::{CacheMark, Media, MediaKind, Part, PartBody, Role, Source, Thought, Turn};

/// Reads `input`.
pub(super) fn turns<'a>(body: Value<'a>, carry: &Carry, turns: &mut Vec<Turn<'a>>) -> Result<(), BodyFault> {
    let Some(input) = body.get("input") else { return Err(read::missing(At::top("input"))) };
    if let Some(text) = input.string() {
        turns.push(Turn { at: 0, role: Role::User, parts: vec![Part::text(text)], name: None });
        return Ok(());
    }
    if !input.is_array() {
        return Err(read::wrong_type(At::top("input"), "a string or an array"));
    }
    for (at, value) in input.items().enumerate() {
        turns.push(turn(value, at, carry)?);
    }
    Ok(())
}

fn turn<'a>(value: Value<'a>, at: usize, carry: &Carry) -> Result<Turn<'a>, BodyFault> {
    let object = Object::of(value, At::top("input").item(at))?;
    let turn = |role, parts| Turn { at, role, parts, name: None };
    let kind = kind(&object)?;
    Ok(match &*kind {
        item::MESSAGE => turn(role(&object)?, content(&object, "content")?),
        item::CALL => turn(Role::Assistant, vec![call(&object, carry)?]),
        item::RESULT => turn(Role::User, vec![result(&object, carry)?]),
        item::REASONING => turn(Role::Assistant, vec![reasoning(&object, carry)?]),
        item::REFERENCE => return Err(read::unsupported(object.at, NO_REFERENCES)),
        other => {
            // Results are the user's side; everything else of a provider's own was made by it.
            let role =
                if other.ends_with("_output") || other.ends_with("_response") { Role::User } else { Role::Assistant };
            turn(role, vec![Part::new(PartBody::Other { raw: Cow::Borrowed(value.raw()) })])
        }
    })
}

/// What an item is; many leave that out of messages, and some of others.
fn kind<'a>(object: &Object<'a, '_>) -> Result<Cow<'a, str>, BodyFault> {
    if let Some(kind) = object.text("type")? {
        return Ok(kind);
    }
    let has = |name: &str| object.value.get(name).is_some();
    match () {
        () if has("role") => Ok(item::MESSAGE.into()),
        () if has("call_id") && has("output") => Ok(item::RESULT.into()),
        () if has("call_id") && has("arguments") => Ok(item::CALL.into()),
        () => Err(read::missing(object.at.field("type"))),
    }
}

fn role(object: &Object<'_, '_>) -> Result<Role, BodyFault> {
    Ok(match &*object.required_text("role")? {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        "developer" => Role::Developer,
        _ => {
            return Err(read::unknown_word(object.at.field("role"), "user, assistant, system, developer"));
        }
    })
}

/// The parts of a message or of a result: a text, or a list.
fn content<'a>(object: &Object<'a, '_>, name: &str) -> Result<Vec<Part<'a>>, BodyFault> {
    let at = object.at.field(name);
    let Some(content) = object.value.get(name) else { return Ok(Vec::new()) };
    if let Some(text) = content.string() {
        return Ok(vec![Part::text(text)]);
    }
    if !content.is_array() {
        return Err(read::wrong_type(at, "a string or an array"));
    }
    content.items().enumerate().map(|(index, value)| part(value, at.item(index))).collect()
}

fn part<'a>(value: Value<'a>, at: At<'_>) -> Result<Part<'a>, BodyFault> {
    let object = Object::of(value, at)?;
    let body = match &*object.required_text("type")? {
        "input_text" | "output_text" | "text" => PartBody::Text {
            text: object.required_text("text")?,
            annotations: object
                .array("annotations")?
                .filter(|list| list.items().next().is_some())
                .map(|list| list.raw().into()),
        },
        "refusal" => PartBody::Refusal(object.required_text("refusal")?),
        "input_image" => PartBody::Media(image(&object)?),
        "input_file" => PartBody::Media(file(&object)?),
        "input_audio" => PartBody::Media(audio(&object)?),
        _ => PartBody::Other { raw: value.raw().into() },
    };
    Ok(Part { body, cache: mark(value), signature: None })
}

/// A mark for the prompt cache, which this API does not define but clients of several families' models put in.
pub(super) fn mark(value: Value<'_>) -> Option<CacheMark> {
    let mark =
        value.get("cache_control").filter(|mark| mark.get("type").is_some_and(|kind| kind.is_text("ephemeral")))?;
    Some(if mark.get("ttl").is_some_and(|ttl| ttl.is_text("1h")) { CacheMark::Hour } else { CacheMark::Minutes })
}

fn image<'a>(object: &Object<'a, '_>) -> Result<Media<'a>, BodyFault> {
    let (mime, source) = match (object.text("image_url")?, object.text("file_id")?) {
        (Some(url), _) => located(url),
        (None, Some(id)) => (None, Source::FileId(id)),
        (None, None) => return Err(read::missing(object.at.field("image_url"))),
    };
    Ok(Media {
        kind: MediaKind::Image,
        mime,
        source,
        name: None,
        detail: object.text("detail")?,
        at: object.at.to_string(),
    })
}

fn file<'a>(object: &Object<'a, '_>) -> Result<Media<'a>, BodyFault> {
    let (mime, source) = match (object.text("file_data")?, object.text("file_url")?, object.text("file_id")?) {
        (Some(data), _, _) => match data.starts_with("data:") {
            true => located(data),
            false => (None, Source::Inline(data)),
        },
        (None, Some(url), _) => (None, Source::Url(url)),
        (None, None, Some(id)) => (None, Source::FileId(id)),
        (None, None, None) => return Err(read::missing(object.at.field("file_data"))),
    };
    let name = object.text("filename")?;
    // A file is a document here, whatever is in it, but for what other dialects have parts of their own for.
    let kind = mime.as_deref().map_or(MediaKind::File, MediaKind::of_mime);
    Ok(Media { kind, mime, source, name, detail: object.text("detail")?, at: object.at.to_string() })
}

fn audio<'a>(object: &Object<'a, '_>) -> Result<Media<'a>, BodyFault> {
    let at = object.at.field("input_audio");
    let inner = Object::of(object.object("input_audio")?.ok_or_else(|| read::missing(at))?, at)?;
    let mime = inner.text("format")?.map(|format| Cow::Owned(format!("audio/{format}")));
    let source = Source::Inline(inner.required_text("data")?);
    Ok(Media { kind: MediaKind::Audio, mime, source, name: None, detail: None, at: object.at.to_string() })
}

/// A URL, or the data that a data URL carries and its media type.
fn located(url: Cow<'_, str>) -> (Option<Cow<'_, str>>, Source<'_>) {
    let Some((mime, _)) = data_url(&url) else { return (None, Source::Url(url)) };
    let mime = (!mime.is_empty()).then(|| Cow::Owned(mime.to_owned()));
    match url {
        Cow::Borrowed(url) => {
            let (_, data) = data_url(url).unwrap_or_default();
            (mime, Source::Inline(Cow::Borrowed(data)))
        }
        Cow::Owned(url) => {
            let (_, data) = data_url(&url).unwrap_or_default();
            (mime, Source::Inline(Cow::Owned(data.to_owned())))
        }
    }
}

/// Media type and base64 of a data URL.
fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let head = head.strip_suffix(";base64")?;
    Some((head.split(';').next().unwrap_or_default(), data))
}

/// A call's id, and its signature inside where a model made one.
fn call<'a>(object: &Object<'a, '_>, carry: &Carry) -> Result<Part<'a>, BodyFault> {
    let id = match object.text("call_id")? {
        None => object.text("id")?,
        id => id,
    };
    let id = id.ok_or_else(|| read::missing(object.at.field("call_id")))?;
    let (id, signature) = carry.unwrap_id(id);
    let name = object.required_text("name")?;
    let arguments = object.text("arguments")?.unwrap_or_default();
    Ok(Part { body: PartBody::ToolCall { id, name, arguments }, cache: None, signature })
}

fn result<'a>(object: &Object<'a, '_>, carry: &Carry) -> Result<Part<'a>, BodyFault> {
    let (id, _) = carry.unwrap_id(object.required_text("call_id")?);
    let content = content(object, "output")?;
    let body = PartBody::ToolResult { id, name: None, content, is_error: false };
    Ok(Part { body, cache: mark(object.value), signature: None })
}

/// A thought: its summary is what clients get of any thought; the reasoning itself, where somebody shows it.
fn reasoning<'a>(object: &Object<'a, '_>, carry: &Carry) -> Result<Part<'a>, BodyFault> {
    let summary = joined(object, "summary")?;
    let whole = joined(object, "content")?;
    let thought = Thought {
        is_summary: whole.is_empty(),
        text: if whole.is_empty() { summary } else { whole },
        is_redacted: false,
        id: object.text("id")?,
    };
    Ok(seal::open(carry, thought, object.text("encrypted_content")?))
}

fn joined<'a>(object: &Object<'a, '_>, name: &str) -> Result<Cow<'a, str>, BodyFault> {
    let Some(list) = object.array(name)? else { return Ok(Cow::Borrowed("")) };
    let mut joined = Cow::Borrowed("");
    let at = object.at.field(name);
    for (index, value) in list.items().enumerate() {
        let part = Object::of(value, at.item(index))?;
        let text = part.text("text")?.unwrap_or_default();
        match joined.is_empty() {
            true => joined = text,
            false => {
                joined.to_mut().push_str(BETWEEN);
                joined.to_mut().push_str(&text);
            }
        }
    }
    Ok(joined)
}

/// Stands between the parts of a summary where it is one text.
const BETWEEN: &str = "\n\n";
