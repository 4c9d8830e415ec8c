//! The blocks that messages, system text and tools' results consist of. One block is one part, always, so that places
//! of parts are places of blocks. What this dialect alone knows of a block is kept beside it under the block's name.

use std::borrow::Cow;

use super::place::Place;
use crate::Carry;
use crate::error::BodyFault;
use crate::json::Value;
use crate::model::{CacheMark, Extra, Media, MediaKind, Part, PartBody, Signature, Source, Thought};

/// Reads blocks, and remembers what it cannot say in canonical words.
#[derive(Debug)]
pub(super) struct Blocks<'r, 'a> {
    pub carry: &'r Carry,
    pub extra: &'r mut Vec<Extra<'a>>,
}

/// The fields of each block that have canonical words, beside `type` and `cache_control`.
const TEXT: &[&str] = &["text", "citations"];
const IMAGE: &[&str] = &["source"];
const DOCUMENT: &[&str] = &["source", "title"];
const TOOL_USE: &[&str] = &["id", "name", "input", "caller"];
const TOOL_RESULT: &[&str] = &["tool_use_id", "content", "is_error"];

impl<'a> Blocks<'_, 'a> {
    /// A text, or a list of blocks.
    pub fn content(&mut self, value: Value<'a>, place: &Place<'_>) -> Result<Vec<Part<'a>>, BodyFault> {
        if let Some(text) = value.string() {
            return Ok(vec![Part::text(text)]);
        }
        if !value.is_array() {
            return Err(place.wrong_type("a string or an array"));
        }
        value.items().enumerate().map(|(at, block)| self.block(block, &place.item(at))).collect()
    }

    fn block(&mut self, block: Value<'a>, place: &Place<'_>) -> Result<Part<'a>, BodyFault> {
        let sort = place.str(place.object(block)?, "type")?;
        let mut signature = None;
        let body = match &*sort {
            "text" => self.text(block, place)?,
            "image" => self.image(block, place)?,
            "document" => self.document(block, place)?,
            "search_result" => self.found(block, place)?,
            "tool_use" => {
                let (id, inside) = self.carry.unwrap_id(place.str(block, "id")?);
                signature = inside;
                self.call(block, id, place)?
            }
            "tool_result" => self.result(block, place)?,
            "thinking" => {
                signature = self.sealed(place.opt_str(block, "signature")?);
                PartBody::Thought(Thought { text: place.str(block, "thinking")?, ..Thought::default() })
            }
            "redacted_thinking" => {
                signature = self.sealed(Some(place.str(block, "data")?));
                PartBody::Thought(Thought { is_redacted: true, ..Thought::default() })
            }
            _ => return Ok(Part::new(PartBody::Other { raw: Cow::Borrowed(block.raw()) })),
        };
        Ok(Part { body, cache: cache(block, place)?, signature })
    }

    /// A signature; none where there is none, or where we put our mark for that.
    fn sealed(&self, text: Option<Cow<'a, str>>) -> Option<Signature<'a>> {
        let signature = text.filter(|text| !text.is_empty()).map(|text| self.carry.unwrap(text));
        signature.filter(|signature| !matches!(signature, Signature::Own(value) if value.is_empty()))
    }

    fn text(&mut self, block: Value<'a>, place: &Place<'_>) -> Result<PartBody<'a>, BodyFault> {
        let citations = block.get("citations").map(|list| place.field("citations").array(list)).transpose()?;
        self.keep(block, place, TEXT);
        let annotations = citations.filter(|list| list.items().next().is_some()).map(|list| Cow::Borrowed(list.raw()));
        Ok(PartBody::Text { text: place.str(block, "text")?, annotations })
    }

    fn image(&mut self, block: Value<'a>, place: &Place<'_>) -> Result<PartBody<'a>, BodyFault> {
        let Some((mime, source)) = source(block, place)? else { return Ok(other(block)) };
        self.keep(block, place, IMAGE);
        let at = place.to_string();
        Ok(PartBody::Media(Media { kind: MediaKind::Image, mime, source, name: None, detail: None, at }))
    }

    fn document(&mut self, block: Value<'a>, place: &Place<'_>) -> Result<PartBody<'a>, BodyFault> {
        let name = place.opt_str(block, "title")?;
        if let Some(text) = text_within(block) {
            self.keep_whole(block, place);
            return Ok(PartBody::Media(file(None, Source::Text(text.into()), name, place)));
        }
        let Some((mime, source)) = source(block, place)? else { return Ok(other(block)) };
        self.keep(block, place, DOCUMENT);
        Ok(PartBody::Media(file(mime, source, name, place)))
    }

    /// What a search found, for those who know no such block: its text.
    fn found(&mut self, block: Value<'a>, place: &Place<'_>) -> Result<PartBody<'a>, BodyFault> {
        let (title, source) = (place.str(block, "title")?, place.str(block, "source")?);
        let content = block.get("content").map(joined_text).unwrap_or_default();
        self.keep_whole(block, place);
        Ok(PartBody::Text { text: format!("{title}\n{source}\n{content}").into(), annotations: None })
    }

    fn call(&mut self, block: Value<'a>, id: Cow<'a, str>, place: &Place<'_>) -> Result<PartBody<'a>, BodyFault> {
        let input = block.get("input").map(|input| place.field("input").object(input)).transpose()?;
        self.keep(block, place, TOOL_USE);
        Ok(PartBody::ToolCall {
            id,
            name: place.str(block, "name")?,
            arguments: Cow::Borrowed(input.map_or("{}", |input| input.raw())),
        })
    }

    fn result(&mut self, block: Value<'a>, place: &Place<'_>) -> Result<PartBody<'a>, BodyFault> {
        let (id, _) = self.carry.unwrap_id(place.str(block, "tool_use_id")?);
        let content = match block.get("content") {
            Some(content) => self.content(content, &place.field("content"))?,
            None => Vec::new(),
        };
        let is_error = place.opt_bool(block, "is_error")?.unwrap_or(false);
        self.keep(block, place, TOOL_RESULT);
        Ok(PartBody::ToolResult { id, name: None, content, is_error })
    }

    /// Keeps an object of which some fields have no canonical word, null ones aside.
    pub fn keep(&mut self, object: Value<'a>, place: &Place<'_>, known: &[&str]) {
        let is_known = |name: &str| matches!(name, "type" | "cache_control") || known.contains(&name);
        if object.fields().any(|(name, value)| !value.is_null() && (!is_known(&name) || is_caller(&name, value))) {
            self.keep_whole(object, place);
        }
    }

    fn keep_whole(&mut self, object: Value<'a>, place: &Place<'_>) {
        self.extra.push(Extra { name: place.to_string().into(), value: object });
    }
}

/// Who called a tool matters only where it was not the model itself.
fn is_caller(name: &str, value: Value<'_>) -> bool {
    name == "caller" && value.str("type").is_none_or(|sort| sort != "direct")
}

fn other(block: Value<'_>) -> PartBody<'_> {
    PartBody::Other { raw: Cow::Borrowed(block.raw()) }
}

fn file<'a>(
    mime: Option<Cow<'a, str>>,
    source: Source<'a>,
    name: Option<Cow<'a, str>>,
    place: &Place<'_>,
) -> Media<'a> {
    Media { kind: MediaKind::File, mime, source, name, detail: None, at: place.to_string() }
}

type Read<'a> = (Option<Cow<'a, str>>, Source<'a>);

/// Media type and source; none for a source that nobody knows.
fn source<'a>(block: Value<'a>, place: &Place<'_>) -> Result<Option<Read<'a>>, BodyFault> {
    let place = place.field("source");
    let Some(source) = block.get("source") else { return Err(place.wrong_type("an object")) };
    let sort = place.str(place.object(source)?, "type")?;
    let mime = place.opt_str(source, "media_type")?;
    Ok(Some(match &*sort {
        "base64" => (mime, Source::Inline(place.str(source, "data")?)),
        "text" => (mime, Source::Text(place.str(source, "data")?)),
        "url" => (mime, Source::Url(place.str(source, "url")?)),
        "file" => (mime, Source::FileId(place.str(source, "file_id")?)),
        _ => return Ok(None),
    }))
}

/// The text of a document that is given as blocks of text only.
fn text_within(block: Value<'_>) -> Option<String> {
    let source = block.get("source").filter(|source| source.get("type").is_some_and(|sort| sort.is_text("content")))?;
    let content = source.get("content")?;
    let is_text = |block: Value<'_>| block.get("type").is_some_and(|sort| sort.is_text("text"));
    (content.is_string() || content.items().all(is_text)).then(|| joined_text(content))
}

fn joined_text(content: Value<'_>) -> String {
    if let Some(text) = content.string() {
        return text.into_owned();
    }
    content.items().filter_map(|block| block.str("text")).collect::<Vec<_>>().join("\n")
}

/// The mark for the prompt cache.
pub(super) fn cache(object: Value<'_>, place: &Place<'_>) -> Result<Option<CacheMark>, BodyFault> {
    let Some(mark) = object.get("cache_control") else { return Ok(None) };
    let place = place.field("cache_control");
    let ttl = place.opt_str(place.object(mark)?, "ttl")?;
    Ok(Some(match ttl.as_deref() {
        Some("1h") => CacheMark::Hour,
        _ => CacheMark::Minutes,
    }))
}
