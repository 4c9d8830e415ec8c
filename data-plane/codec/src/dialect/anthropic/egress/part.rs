//! What messages consist of: which parts can be sent, and how they are written.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::turns::is_blank;
use crate::carry;
use crate::dialect::anthropic::call_id;
use crate::dialect::anthropic::ingress::encode::input;
use crate::error::BodyFault;
use crate::json::{Value, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{CacheMark, Media, MediaKind, Part, PartBody, Role, Signature, Source, Thought, Turn};
use crate::refusal;

/// A part and its place in the client's request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'r, 'a> {
    pub part: &'r Part<'a>,
    pub turn: usize,
    pub at: usize,
}

/// Whether a part is sent. What is left out is noted; what cannot be left out is a fault.
pub(super) fn is_sent(
    said: &Said<'_, '_>,
    turn: &Turn<'_>,
    is_own: bool,
    losses: &mut Losses,
) -> Result<bool, BodyFault> {
    let part = said.part;
    let is_thought = matches!(part.body, PartBody::Thought(_));
    losses.note_if(part.signature.is_some() && !is_thought, Loss::ReasoningSignature);
    losses.note_if(part.cache.is_some() && !takes_cache(part, is_own), Loss::CacheMark);
    match &part.body {
        PartBody::Text { .. } | PartBody::Refusal(_) if is_blank(part) && !is_own => {
            // An empty text beside others is how some dialects say that there is no text.
            losses.note_if(turn.parts.len() == 1 || !is_empty(part), Loss::EmptyPart);
            Ok(false)
        }
        PartBody::Text { annotations, .. } => {
            losses.note_if(annotations.is_some() && !is_own, Loss::Annotations);
            Ok(true)
        }
        PartBody::Refusal(_) => {
            losses.note(Loss::Refusal);
            Ok(true)
        }
        PartBody::Thought(thought) => Ok(is_thought_sent(thought, part, is_own, losses)),
        PartBody::Media(media) => {
            let is_misplaced = turn.role != Role::User && !is_own;
            let why = match block(media, is_own) {
                Err(why) => Some(why),
                Ok(_) => is_misplaced.then_some("only users can show things to the provider of this model"),
            };
            if let Some(why) = why {
                return Err(refusal::media(media, why));
            }
            losses.note_if(media.detail.as_deref().is_some_and(|detail| detail != "auto"), Loss::ImageDetail);
            let is_image = block(media, is_own).is_ok_and(|block| block.sort == "image");
            losses.note_if(media.name.is_some() && is_image, Loss::FileName);
            Ok(true)
        }
        PartBody::ToolCall { .. } => Ok(true),
        PartBody::ToolResult { content, .. } => {
            for inner in content {
                let inner = Said { part: inner, ..*said };
                is_sent(
                    &inner,
                    &Turn { at: turn.at, role: Role::User, parts: Vec::new(), name: None },
                    is_own,
                    losses,
                )?;
            }
            Ok(true)
        }
        PartBody::Other { .. } => {
            losses.note_if(!is_own, Loss::Part);
            Ok(is_own)
        }
    }
}

fn is_empty(part: &Part<'_>) -> bool {
    matches!(&part.body, PartBody::Text { text, .. } | PartBody::Refusal(text) if text.is_empty())
}

/// Whether a part can carry a mark for the cache.
fn takes_cache(part: &Part<'_>, is_own: bool) -> bool {
    is_own || !(matches!(part.body, PartBody::Thought(_) | PartBody::Other { .. }) || is_blank(part))
}

fn is_thought_sent(thought: &Thought<'_>, part: &Part<'_>, is_own: bool, losses: &mut Losses) -> bool {
    if sealed(part.signature.as_ref(), is_own).is_some() {
        return true;
    }
    match part.signature {
        Some(_) => losses.note(Loss::ReasoningSignature),
        None => losses.note_if(!thought.text.is_empty(), Loss::Reasoning),
    }
    false
}

/// A signature that may be sent: our endpoint made it, or the client got it from the same dialect directly.
fn sealed<'s>(signature: Option<&'s Signature<'_>>, is_own: bool) -> Option<&'s str> {
    match signature? {
        Signature::Own(value) => Some(value),
        Signature::Foreign(value) if is_own && !value.starts_with(carry::MARK) => Some(value),
        Signature::Foreign(_) => None,
    }
}

/// Writes one block. `path` is its name in the client's request where something may have been kept of it, to be found
/// with `find`.
pub(super) fn write<'a>(
    part: &Part<'a>,
    is_own: bool,
    path: Option<&str>,
    find: &dyn Fn(&str) -> Option<Value<'a>>,
    out: &mut Writer,
) {
    let kept = path.and_then(find);
    match &part.body {
        PartBody::Text { .. } | PartBody::Media(_) if kept.is_some() => out.raw(kept.map_or("null", |kept| kept.raw())),
        PartBody::Text { text, annotations } => {
            write_text(text, annotations.as_deref().filter(|_| is_own), part.cache, out);
        }
        PartBody::Refusal(text) => write_text(text, None, part.cache, out),
        PartBody::Thought(thought) => write_thought(thought, part, is_own, out),
        PartBody::Media(media) => {
            if let Ok(block) = block(media, is_own) {
                write_block(&block, media, part.cache, out);
            }
        }
        PartBody::ToolCall { id, name, arguments } => {
            out.begin_object();
            out.field_str("type", "tool_use");
            out.field_str("id", &call_id::taken(id));
            out.field_str("name", name);
            out.key("input");
            input(arguments, out);
            cache(part.cache, out);
            rest(kept, &["id", "name", "input"], out);
            out.end_object();
        }
        PartBody::ToolResult { id, content, is_error, .. } => {
            out.begin_object();
            out.field_str("type", "tool_result");
            out.field_str("tool_use_id", &call_id::taken(id));
            result_content(content, is_own, path, find, out);
            if *is_error {
                out.field_bool("is_error", true);
            }
            cache(part.cache, out);
            rest(kept, &["tool_use_id", "content", "is_error"], out);
            out.end_object();
        }
        PartBody::Other { raw } => out.raw(raw),
    }
}

fn result_content<'a>(
    content: &[Part<'a>],
    is_own: bool,
    path: Option<&str>,
    find: &dyn Fn(&str) -> Option<Value<'a>>,
    out: &mut Writer,
) {
    let is_written = |part: &Part<'_>| is_own || !(is_blank(part) || matches!(part.body, PartBody::Other { .. }));
    if !content.iter().any(is_written) {
        return;
    }
    out.key("content");
    out.begin_array();
    for (at, part) in content.iter().enumerate().filter(|(_, part)| is_written(part)) {
        let path = path.map(|path| format!("{path}.content[{at}]"));
        write(part, is_own, path.as_deref(), find, out);
    }
    out.end_array();
}

pub(super) fn write_text(text: &str, citations: Option<&str>, mark: Option<CacheMark>, out: &mut Writer) {
    out.begin_object();
    out.field_str("type", "text");
    out.field_str("text", text);
    out.opt_raw("citations", citations);
    cache(mark, out);
    out.end_object();
}

fn write_thought(thought: &Thought<'_>, part: &Part<'_>, is_own: bool, out: &mut Writer) {
    let Some(sealed) = sealed(part.signature.as_ref(), is_own) else { return };
    out.begin_object();
    if thought.is_redacted {
        out.field_str("type", "redacted_thinking");
        out.field_str("data", sealed);
    } else {
        out.field_str("type", "thinking");
        out.field_str("thinking", &thought.text);
        out.field_str("signature", sealed);
    }
    out.end_object();
}

/// The mark for the prompt cache.
pub(super) fn cache(mark: Option<CacheMark>, out: &mut Writer) {
    out.opt_raw(
        "cache_control",
        mark.map(|mark| match mark {
            CacheMark::Minutes => r#"{"type":"ephemeral"}"#,
            CacheMark::Hour => r#"{"type":"ephemeral","ttl":"1h"}"#,
        }),
    );
}

/// The fields of a kept object that were not written yet.
pub(super) fn rest(kept: Option<Value<'_>>, written: &[&str], out: &mut Writer) {
    let is_new = |name: &str| !matches!(name, "type" | "cache_control") && !written.contains(&name);
    for (name, value) in kept.iter().flat_map(Value::fields).filter(|(name, value)| is_new(name) && !value.is_null()) {
        out.field_raw(&name, value.raw());
    }
}

/// An image or a document as Anthropic takes it.
struct Block<'m> {
    sort: &'static str,
    source: Given<'m>,
}

enum Given<'m> {
    Base64 { mime: Cow<'m, str>, data: &'m str },
    Text(Cow<'m, str>),
    Url(&'m str),
    File(&'m str),
}

/// Media as a block; else why it cannot be one.
fn block<'m>(media: &'m Media<'_>, is_own: bool) -> Result<Block<'m>, &'static str> {
    if matches!(media.kind, MediaKind::Audio | MediaKind::Video) {
        return Err("the provider of this model takes neither sound nor video");
    }
    let mime = media.mime.as_deref().map(|mime| mime.split(';').next().unwrap_or_default().trim());
    let by_kind = |is_image: bool| if is_image { "image" } else { "document" };
    match &media.source {
        Source::Text(text) => Ok(Block { sort: "document", source: Given::Text(Cow::Borrowed(text)) }),
        Source::FileId(id) if is_own => {
            Ok(Block { sort: by_kind(media.kind == MediaKind::Image), source: Given::File(id) })
        }
        Source::FileId(_) => Err("it is a file that lies with another provider"),
        Source::Url(url) => {
            let is_image = match mime {
                Some(mime) => mime.starts_with("image/"),
                None => media.kind == MediaKind::Image && !is_pdf_address(url),
            };
            Ok(Block { sort: by_kind(is_image), source: Given::Url(url) })
        }
        Source::Inline(data) => {
            let mime = mime.filter(|mime| mime.contains('/')).or_else(|| told_by_start(data));
            inline(mime.ok_or("its media type is not given")?, data)
        }
    }
}

fn inline<'m>(mime: &'m str, data: &'m str) -> Result<Block<'m>, &'static str> {
    match mime {
        "image/jpg" => Ok(Block { sort: "image", source: Given::Base64 { mime: "image/jpeg".into(), data } }),
        mime if mime.starts_with("image/") => {
            Ok(Block { sort: "image", source: Given::Base64 { mime: mime.into(), data } })
        }
        "application/pdf" => Ok(Block { sort: "document", source: Given::Base64 { mime: mime.into(), data } }),
        mime if mime.starts_with("text/") || mime == "application/json" => {
            let text = STANDARD.decode(data).ok().and_then(|text| String::from_utf8(text).ok());
            let text = text.ok_or("it is no text, against what its media type says")?;
            Ok(Block { sort: "document", source: Given::Text(Cow::Owned(text)) })
        }
        _ => Err("the provider of this model takes no files of its media type"),
    }
}

fn is_pdf_address(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.get(path.len().saturating_sub(4)..).is_some_and(|end| end.eq_ignore_ascii_case(".pdf"))
}

/// The media type that the first bytes tell, in base64.
fn told_by_start(data: &str) -> Option<&'static str> {
    const STARTS: [(&str, &str); 5] = [
        ("JVBERi", "application/pdf"),
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("UklGR", "image/webp"),
    ];
    STARTS.iter().find(|(start, _)| data.starts_with(start)).map(|(_, mime)| *mime)
}

fn write_block(block: &Block<'_>, media: &Media<'_>, mark: Option<CacheMark>, out: &mut Writer) {
    out.begin_object();
    out.field_str("type", block.sort);
    out.key("source");
    out.begin_object();
    match &block.source {
        Given::Base64 { mime, data } => {
            out.field_str("type", "base64");
            out.field_str("media_type", mime);
            out.field_str("data", data);
        }
        Given::Text(text) => {
            out.field_str("type", "text");
            out.field_str("media_type", "text/plain");
            out.field_str("data", text);
        }
        Given::Url(url) => {
            out.field_str("type", "url");
            out.field_str("url", url);
        }
        Given::File(id) => {
            out.field_str("type", "file");
            out.field_str("file_id", id);
        }
    }
    out.end_object();
    out.opt_str("title", media.name.as_deref().filter(|_| block.sort == "document"));
    cache(mark, out);
    out.end_object();
}
