//! Reads the conversation: messages to turns, content to parts, and what came back from tools, in the old form as well.

use std::borrow::Cow;
use std::fmt::Arguments;

use super::request::{cache_mark, role};
use crate::Carry;
use crate::dialect::openai_chat::thoughts::{self, Whose};
use crate::dialect::openai_chat::{expect, media};
use crate::error::BodyFault;
use crate::json::{NewText, Value, write_string};
use crate::model::{Media, MediaKind, Part, PartBody, Signature, Source, Thought, Turn};

/// Reads `messages`.
pub(super) fn decode<'a>(messages: Value<'a>, carry: &Carry) -> Result<Vec<Turn<'a>>, BodyFault> {
    let mut reader = Reader { carry, calls: Vec::new(), answered: 0 };
    messages.items().enumerate().map(|(at, message)| reader.message(at, message)).collect()
}

struct Reader<'c> {
    carry: &'c Carry,
    /// Ids of the last message with calls, for results that do not name theirs.
    calls: Vec<String>,
    /// Results that came since.
    answered: usize,
}

/// Fields of an assistant's message that are read into parts.
const KNOWN: [&str; 12] = [
    "role",
    "content",
    "name",
    "refusal",
    "tool_calls",
    "function_call",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "annotations",
    "images",
    "cache_control",
];

/// Those of them that a message may consist of without a text.
const KNOWN_BESIDE: [&str; 4] = ["refusal", "tool_calls", "function_call", "images"];

impl Reader<'_> {
    fn message<'a>(&mut self, at: usize, message: Value<'a>) -> Result<Turn<'a>, BodyFault> {
        let place = format_args!("messages[{at}]");
        expect::object(message, place)?;
        let word = expect::named_text(message, "role", place)?;
        let Some(role) = role(&word) else {
            let roles = "`system`, `developer`, `user`, `assistant` or `tool`";
            return Err(expect::out_of_range(format_args!("{place}.role"), roles));
        };
        let mut turn = Turn { at, role, parts: Vec::new(), name: None };
        let name = expect::opt_text(message, "name", place)?;
        match &*word {
            "tool" | "function" => turn.parts.push(self.result(message, name, place)?),
            "assistant" => {
                turn.name = name;
                self.assistant(message, at, place, &mut turn.parts)?;
            }
            _ => {
                turn.name = name;
                self.content(message, place, &mut turn.parts)?;
            }
        }
        if let Some(mark) = message.get("cache_control") {
            let mark = cache_mark(mark, format_args!("{place}.cache_control"))?;
            if let Some(part) = turn.parts.last_mut() {
                part.cache = part.cache.or(mark);
            }
        }
        Ok(turn)
    }

    /// The parts of a message's `content`.
    fn content<'a>(
        &self,
        message: Value<'a>,
        place: Arguments<'_>,
        parts: &mut Vec<Part<'a>>,
    ) -> Result<(), BodyFault> {
        let Some(content) = message.get("content") else { return Ok(()) };
        if let Some(text) = content.string() {
            parts.push(Part::text(text));
            return Ok(());
        }
        if !content.is_array() {
            return Err(expect::wrong(format_args!("{place}.content"), "a string or an array of parts"));
        }
        for (at, part) in content.items().enumerate() {
            parts.push(self.part(part, format_args!("{place}.content[{at}]"))?);
        }
        Ok(())
    }

    fn part<'a>(&self, part: Value<'a>, place: Arguments<'_>) -> Result<Part<'a>, BodyFault> {
        expect::object(part, place)?;
        let kind = expect::named_text(part, "type", place)?;
        let mut signature = None;
        let body = match &*kind {
            "text" => PartBody::Text { text: expect::named_text(part, "text", place)?, annotations: None },
            "refusal" => PartBody::Refusal(expect::named_text(part, "refusal", place)?),
            "image_url" | "video_url" | "document_url" => PartBody::Media(address(part, &kind, place)?),
            "input_audio" => PartBody::Media(audio(part, place)?),
            "file" => PartBody::Media(file(part, place)?),
            "thinking" => {
                let sealed = expect::opt_text(part, "signature", place)?.filter(|sealed| !sealed.is_empty());
                signature = sealed.map(|sealed| self.carry.unwrap(sealed));
                PartBody::Thought(Thought { text: thinking(part), ..Thought::default() })
            }
            _ => PartBody::Other { raw: part.raw().into() },
        };
        let cache = match part.get("cache_control") {
            Some(mark) => cache_mark(mark, format_args!("{place}.cache_control"))?,
            None => None,
        };
        Ok(Part { body, cache, signature })
    }

    /// What a tool gave back. The old form names the function and not the call.
    fn result<'a>(
        &mut self,
        message: Value<'a>,
        name: Option<Cow<'a, str>>,
        place: Arguments<'_>,
    ) -> Result<Part<'a>, BodyFault> {
        let given = expect::opt_text(message, "tool_call_id", place)?.filter(|id| !id.is_empty());
        let known = self.calls.get(self.answered).cloned();
        self.answered += 1;
        let (id, signature) = match given {
            Some(id) => self.carry.unwrap_id(id),
            None => match known {
                Some(id) => (Cow::Owned(id), None),
                None => return Err(expect::missing(format_args!("{place}.tool_call_id"))),
            },
        };
        // A result needs no signature: the call itself has it.
        drop(signature);
        let mut content = Vec::new();
        self.content(message, place, &mut content)?;
        Ok(Part::new(PartBody::ToolResult { id, name, content, is_error: false }))
    }

    fn assistant<'a>(
        &mut self,
        message: Value<'a>,
        at: usize,
        place: Arguments<'_>,
        parts: &mut Vec<Part<'a>>,
    ) -> Result<(), BodyFault> {
        self.thoughts(message, place, parts)?;
        let first_text = parts.len();
        self.content(message, place, parts)?;
        let is_empty_text = |part: &Part<'_>| matches!(&part.body, PartBody::Text { text, .. } if text.is_empty());
        // An empty text beside calls is how many clients say that there was none.
        let is_beside = first_text > 0 || KNOWN_BESIDE.iter().any(|name| message.get(name).is_some());
        if is_beside && parts.get(first_text..).is_some_and(|text| text.iter().all(is_empty_text)) {
            parts.truncate(first_text);
        }
        if let Some(list) = message.get("annotations").filter(|list| list.items().next().is_some()) {
            annotate(parts, expect::array(list, format_args!("{place}.annotations"))?);
        }
        if let Some(refusal) = expect::opt_text(message, "refusal", place)?.filter(|text| !text.is_empty()) {
            parts.push(Part::new(PartBody::Refusal(refusal)));
        }
        if let Some(images) = message.get("images") {
            for (at, image) in expect::array(images, format_args!("{place}.images"))?.items().enumerate() {
                parts.push(self.part(image, format_args!("{place}.images[{at}]"))?);
            }
        }
        thoughts::put_seals(parts);
        self.calls(message, at, place, parts)?;
        let others = message.fields().filter(|(name, _)| !KNOWN.contains(&&**name));
        for (name, value) in others.filter(|(_, value)| !value.is_null() && value.bool() != Some(false)) {
            parts.push(Part::new(PartBody::Other { raw: member(&name, value).into() }));
        }
        Ok(())
    }

    /// Reasoning that was shown: the list where there is one, since it has the signatures, else the plain text.
    fn thoughts<'a>(
        &self,
        message: Value<'a>,
        place: Arguments<'_>,
        parts: &mut Vec<Part<'a>>,
    ) -> Result<(), BodyFault> {
        if let Some(details) = message.get("reasoning_details") {
            let details = expect::array(details, format_args!("{place}.reasoning_details"))?;
            thoughts::read(details, Whose::Client(self.carry), parts);
        }
        if !parts.is_empty() {
            return Ok(());
        }
        for name in ["reasoning_content", "reasoning"] {
            let text = expect::opt_text(message, name, place)?.filter(|text| !text.is_empty());
            if let Some(text) = text {
                parts.push(Part::new(PartBody::Thought(Thought { text, ..Thought::default() })));
                break;
            }
        }
        Ok(())
    }

    fn calls<'a>(
        &mut self,
        message: Value<'a>,
        at: usize,
        place: Arguments<'_>,
        parts: &mut Vec<Part<'a>>,
    ) -> Result<(), BodyFault> {
        let calls = message.get("tool_calls");
        let old = message.get("function_call");
        if calls.is_none() && old.is_none() {
            return Ok(());
        }
        (self.calls, self.answered) = (Vec::new(), 0);
        if let Some(list) = calls {
            let list = expect::array(list, format_args!("{place}.tool_calls"))?;
            for (nth, call) in list.items().enumerate() {
                let part = self.call(call, (at, nth), format_args!("{place}.tool_calls[{nth}]"))?;
                parts.push(part);
            }
        }
        if let Some(function) = old {
            let id = format!("call_{at}_f");
            self.calls.push(id.clone());
            parts.push(function_call(function, id.into(), None, format_args!("{place}.function_call"))?);
        }
        Ok(())
    }

    fn call<'a>(
        &mut self,
        call: Value<'a>,
        (at, nth): (usize, usize),
        place: Arguments<'_>,
    ) -> Result<Part<'a>, BodyFault> {
        expect::object(call, place)?;
        let given = expect::opt_text(call, "id", place)?.filter(|id| !id.is_empty());
        let (id, signature) = match given {
            Some(id) => self.carry.unwrap_id(id),
            None => (Cow::Owned(format!("call_{at}_{nth}")), None),
        };
        self.calls.push(id.to_string());
        match expect::opt_text(call, "type", place)?.as_deref() {
            None | Some("function") => {
                let place = format_args!("{place}.function");
                let function = call.get("function").ok_or_else(|| expect::missing(place))?;
                function_call(function, id, signature, place)
            }
            Some(_) => Ok(Part::new(PartBody::Other { raw: call.raw().into() })),
        }
    }
}

fn function_call<'a>(
    function: Value<'a>,
    id: Cow<'a, str>,
    signature: Option<Signature<'a>>,
    place: Arguments<'_>,
) -> Result<Part<'a>, BodyFault> {
    expect::object(function, place)?;
    let name = expect::named_text(function, "name", place)?;
    let arguments = match function.get("arguments") {
        None => Cow::Borrowed(""),
        // Some clients send the object itself.
        Some(object) if object.is_object() => Cow::Borrowed(object.raw()),
        Some(text) => expect::text(text, format_args!("{place}.arguments"))?,
    };
    Ok(Part { signature, ..Part::new(PartBody::ToolCall { id, name, arguments }) })
}

/// Citations belong to the text that was said.
fn annotate<'a>(parts: &mut [Part<'a>], list: Value<'a>) {
    let text = parts.iter_mut().rev().find_map(|part| match &mut part.body {
        PartBody::Text { annotations, .. } => Some(annotations),
        _ => None,
    });
    if let Some(annotations) = text {
        *annotations = Some(list.raw().into());
    }
}

/// A field of the message that only a provider of this dialect understands, as a part: it begins with its name.
fn member(name: &str, value: Value<'_>) -> String {
    let mut text = NewText::new();
    write_string(&mut text, name);
    let name = String::from_utf8_lossy(&text).into_owned();
    format!("{name}:{}", value.raw())
}

/// `image_url` and its like: an address, or an object with one.
fn address<'a>(part: Value<'a>, kind: &str, place: Arguments<'_>) -> Result<Media<'a>, BodyFault> {
    let at = format_args!("{place}.{kind}");
    let value = part.get(kind).ok_or_else(|| expect::missing(at))?;
    let (url, detail) = match value.string() {
        Some(url) => (url, None),
        None if value.is_object() => (expect::named_text(value, "url", at)?, expect::opt_text(value, "detail", at)?),
        None => return Err(expect::wrong(at, "a string or an object")),
    };
    let expected = match kind {
        "image_url" => MediaKind::Image,
        "video_url" => MediaKind::Video,
        _ => MediaKind::File,
    };
    let name = expect::opt_text(part, "document_name", place)?;
    Ok(Media { detail, name, at: place.to_string(), ..media::of_url(url, expected) })
}

fn audio<'a>(part: Value<'a>, place: Arguments<'_>) -> Result<Media<'a>, BodyFault> {
    let at = format_args!("{place}.input_audio");
    let audio = part.get("input_audio").ok_or_else(|| expect::missing(at))?;
    let audio = expect::object(audio, at)?;
    let data = expect::named_text(audio, "data", at)?;
    let format = expect::opt_text(audio, "format", at)?;
    if data.starts_with("data:") || data.starts_with("http") {
        return Ok(Media { at: place.to_string(), ..media::of_url(data, MediaKind::Audio) });
    }
    let mime = format.map(|format| Cow::Owned(format!("audio/{format}")));
    let source = Source::Inline(data);
    Ok(Media { kind: MediaKind::Audio, mime, source, name: None, detail: None, at: place.to_string() })
}

fn file<'a>(part: Value<'a>, place: Arguments<'_>) -> Result<Media<'a>, BodyFault> {
    let at = format_args!("{place}.file");
    let file = part.get("file").ok_or_else(|| expect::missing(at))?;
    let file = expect::object(file, at)?;
    let name = expect::opt_text(file, "filename", at)?;
    let mime = name.as_deref().and_then(media::mime_of_name).map(Cow::Borrowed);
    let mut media = match (expect::opt_text(file, "file_data", at)?, expect::opt_text(file, "file_id", at)?) {
        (Some(data), _) if data.starts_with("data:") || data.starts_with("http") => {
            media::of_url(data, MediaKind::File)
        }
        (Some(data), _) => bare(Source::Inline(data)),
        (None, Some(id)) => bare(Source::FileId(id)),
        (None, None) => return Err(expect::missing(format_args!("{at}.file_data"))),
    };
    if let Some(mime) = mime.filter(|_| media.mime.is_none()) {
        media.mime = Some(mime);
    }
    (media.name, media.at) = (name, place.to_string());
    Ok(media)
}

fn bare(source: Source<'_>) -> Media<'_> {
    Media { kind: MediaKind::File, mime: None, source, name: None, detail: None, at: String::new() }
}

/// Mistral's block: a list of texts, or a text.
fn thinking<'a>(part: Value<'a>) -> Cow<'a, str> {
    let Some(thinking) = part.get("thinking") else { return Cow::Borrowed("") };
    let mut texts = thinking.items().filter_map(|block| block.str("text"));
    let first = thinking.string().or_else(|| texts.next()).unwrap_or_default();
    texts.fold(first, |all, more| all + more)
}
