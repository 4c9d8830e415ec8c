//! One part of a content. Both spellings are read; a kind of part that has no canonical word rides along as it is.

use std::borrow::Cow;

use super::content::Calls;
use super::fault::{At, flag, missing, object, objects, text, wrong};
use crate::Carry;
use crate::dialect::gemini::spelling::{camel, get};
use crate::error::BodyFault;
use crate::json::Value;
use crate::model::{Media, MediaKind, Part, PartBody, Signature, Source, Thought};

/// Names under which clients wrap what a function gave, when that is no object: Google's own, and those of its clients.
const WRAPPERS: [&str; 5] = ["output", "error", "result", "return_value", "content"];

/// What stands in a part.
#[derive(Default)]
struct Fields<'a> {
    text: Option<Value<'a>>,
    is_thought: bool,
    signature: Option<Cow<'a, str>>,
    /// Its name and value: the part's one kind of data.
    data: Option<(Cow<'a, str>, Value<'a>)>,
    detail: Option<Cow<'a, str>>,
}

pub(super) fn read<'a>(
    value: Value<'a>,
    at: At<'_>,
    calls: &mut Calls<'a>,
    carry: &Carry,
) -> Result<Part<'a>, BodyFault> {
    let fields = fields(value, at)?;
    let signature = fields.signature.map(|signature| unwrap(signature, carry));
    let body = match (&fields.data, fields.text) {
        (Some((name, data)), _) => match &**name {
            "functionCall" => call(object(*data, at.name(name))?, at.name(name), calls, carry)?,
            "functionResponse" => response(object(*data, at.name(name))?, at.name(name), calls, carry)?,
            "inlineData" | "fileData" if !fields.is_thought => {
                PartBody::Media(media(object(*data, at.name(name))?, name, at, fields.detail)?)
            }
            _ => PartBody::Other { raw: value.raw().into() },
        },
        (None, text) => {
            let said = text.map(|text| super::fault::text(text, at.name("text"))).transpose()?;
            match (said, &signature) {
                // A signature on nothing, as the last piece of a stream brings it.
                (None, Some(_)) => thought("".into(), true),
                (Some(text), Some(_)) if text.is_empty() && !fields.is_thought => thought(text, true),
                (Some(text), _) if fields.is_thought => thought(text, false),
                (Some(text), _) => PartBody::Text { text, annotations: None },
                (None, None) => PartBody::Other { raw: value.raw().into() },
            }
        }
    };
    Ok(Part { body, cache: None, signature })
}

fn thought(text: Cow<'_, str>, is_redacted: bool) -> PartBody<'_> {
    PartBody::Thought(Thought { text, is_summary: true, is_redacted, id: None })
}

fn fields<'a>(value: Value<'a>, at: At<'_>) -> Result<Fields<'a>, BodyFault> {
    let mut fields = Fields::default();
    for (name, value) in value.fields().filter(|(_, value)| !value.is_null()) {
        let name = camel(name);
        match &*name {
            "text" => fields.text = Some(value),
            "thought" => fields.is_thought = flag(value, at.name(&name))?,
            "thoughtSignature" => fields.signature = Some(text(value, at.name(&name))?),
            "mediaResolution" => fields.detail = detail(value),
            "videoMetadata" | "partMetadata" => {}
            _ => fields.data = Some((name, value)),
        }
    }
    Ok(fields)
}

/// `{"level": "MEDIA_RESOLUTION_HIGH"}`
fn detail<'a>(resolution: Value<'a>) -> Option<Cow<'a, str>> {
    let word = resolution.string().or_else(|| resolution.str("level"))?;
    let word = word.strip_prefix("MEDIA_RESOLUTION_").filter(|word| *word != "UNSPECIFIED")?;
    Some(Cow::Owned(word.to_ascii_lowercase()))
}

/// A signature as a client sends it back. Some read it as bytes and write it with the other alphabet of base64.
fn unwrap<'a>(text: Cow<'a, str>, carry: &Carry) -> Signature<'a> {
    match carry.unwrap_base64(standard_base64(&text).map_or(Cow::Borrowed(&text), Cow::Owned)) {
        Signature::Own(own) => Signature::Own(Cow::Owned(own.into_owned())),
        Signature::Foreign(_) => Signature::Foreign(text),
    }
}

/// Base64 in the usual alphabet, padded; none where it is that already.
fn standard_base64(text: &str) -> Option<String> {
    let is_usual = memchr::memchr2(b'-', b'_', text.as_bytes()).is_none();
    // One letter alone is no base64, padded or not.
    let missing = match text.len() % 4 {
        2 => 2,
        3 => 1,
        _ => 0,
    };
    if is_usual && missing == 0 {
        return None;
    }
    let mut out = String::with_capacity(text.len() + missing);
    for piece in text.split_inclusive(['-', '_']) {
        let (plain, other) = match piece.as_bytes().last() {
            Some(b'-') => (piece.strip_suffix('-'), "+"),
            Some(b'_') => (piece.strip_suffix('_'), "/"),
            _ => (None, ""),
        };
        out.push_str(plain.unwrap_or(piece));
        out.push_str(other);
    }
    out.extend(std::iter::repeat_n('=', missing));
    Some(out)
}

/// Inline data. It may be long: what it becomes in the usual alphabet is made once.
fn inline<'a>(value: Value<'a>, at: At<'_>) -> Result<Cow<'a, str>, BodyFault> {
    let data = text(value, at)?;
    Ok(standard_base64(&data).map_or(data, |usual| value.rewritten(usual)))
}

fn call<'a>(value: Value<'a>, at: At<'_>, calls: &mut Calls<'a>, carry: &Carry) -> Result<PartBody<'a>, BodyFault> {
    let name = text(get(value, "name").ok_or_else(|| missing(at.name("name")))?, at.name("name"))?;
    let arguments = match get(value, "args") {
        Some(arguments) => Cow::Borrowed(object(arguments, at.name("args"))?.raw()),
        None => Cow::Borrowed("{}"),
    };
    let id = calls.call(id(value, at, carry)?, &name);
    Ok(PartBody::ToolCall { id, name, arguments })
}

/// The id that the provider gave; none where it gave none.
fn id<'a>(value: Value<'a>, at: At<'_>, carry: &Carry) -> Result<Option<Cow<'a, str>>, BodyFault> {
    let id = get(value, "id").map(|id| text(id, at.name("id"))).transpose()?;
    Ok(id.filter(|id| !id.is_empty()).map(|id| carry.unwrap_id(id).0))
}

fn response<'a>(value: Value<'a>, at: At<'_>, calls: &mut Calls<'a>, carry: &Carry) -> Result<PartBody<'a>, BodyFault> {
    let name = text(get(value, "name").ok_or_else(|| missing(at.name("name")))?, at.name("name"))?;
    let mut content = Vec::new();
    let mut is_error = false;
    if let Some(response) = get(value, "response") {
        let (wrapper, given) = unwrapped(object(response, at.name("response"))?, &name);
        is_error = wrapper == Some("error");
        content.push(Part::text(given.string().unwrap_or(Cow::Borrowed(given.raw()))));
    }
    if let Some(parts) = get(value, "parts") {
        let at = at.name("parts");
        for (place, part) in objects(parts, at)?.into_iter().enumerate() {
            let at = at.item(place);
            let (kind, data) = ["inlineData", "fileData"]
                .into_iter()
                .find_map(|kind| Some((kind, get(part, kind)?)))
                .ok_or_else(|| wrong(at, "an object with `inlineData` or `fileData`"))?;
            content.push(Part::new(PartBody::Media(media(object(data, at.name(kind))?, kind, at, None)?)));
        }
    }
    let id = calls.response(id(value, at, carry)?, &name);
    Ok(PartBody::ToolResult { id, name: Some(name), content, is_error })
}

/// What a function gave, out of the object that a response must be: under one of the usual names alone, or beside the
/// function's own name.
fn unwrapped<'a>(response: Value<'a>, function: &str) -> (Option<&'static str>, Value<'a>) {
    let mut found = None;
    for (name, value) in response.fields() {
        match WRAPPERS.into_iter().find(|wrapper| *wrapper == name) {
            Some(wrapper) if found.is_none() => found = Some((wrapper, value)),
            None if name == "name" && value.is_text(function) => {}
            _ => return (None, response),
        }
    }
    match found {
        Some((wrapper, value)) => (Some(wrapper), value),
        None => (None, response),
    }
}

/// `at` is the place of the part that it stands in.
fn media<'a>(value: Value<'a>, kind: &str, at: At<'_>, detail: Option<Cow<'a, str>>) -> Result<Media<'a>, BodyFault> {
    let place_of_part = at.to_string();
    let at = at.name(kind);
    let field = |name: &'static str| get(value, name).map(|found| text(found, at.name(name))).transpose();
    let needed = |name: &'static str| field(name)?.ok_or_else(|| missing(at.name(name)));
    let (mime, source) = match kind {
        "inlineData" => {
            let mime = needed("mimeType")?;
            let data = get(value, "data").ok_or_else(|| missing(at.name("data")))?;
            (Some(mime), Source::Inline(inline(data, at.name("data"))?))
        }
        _ => (field("mimeType")?, place(needed("fileUri")?)),
    };
    let kind = mime.as_deref().map_or(MediaKind::File, MediaKind::of_mime);
    Ok(Media { kind, mime, source, name: field("displayName")?, detail, at: place_of_part })
}

/// Files that Google keeps mean nothing to others.
fn place(uri: Cow<'_, str>) -> Source<'_> {
    let is_googles =
        uri.starts_with("gs://") || uri.contains("generativelanguage.googleapis.com/") || !uri.contains("://");
    if is_googles { Source::FileId(uri) } else { Source::Url(uri) }
}
