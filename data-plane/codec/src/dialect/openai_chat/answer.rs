//! One pass over an answer, or over one piece of a streamed answer: what it says and where the places are that get
//! edited. Only the top level's own fields count, never what stands inside content. Nothing is noted unless all of it
//! could be read. Next rooms: `stream` and `whole`.

use super::usage;
use crate::fault::{self, UpstreamError};
use crate::json::{self, Cursor, Flaw, Kind, Span, Text, Watch};
use crate::tap::Tap;

/// Whether what is read is a whole answer or a piece of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    Piece,
}

/// What an answer or a piece says. Spans are places in what was read.
#[derive(Debug, Default)]
pub(super) struct Found {
    id: Option<Text>,
    created: Option<Span>,
    pub models: Few<Span>,
    choices: Few<Choice>,
    pub usage: Option<Box<usage::Found>>,
    /// Groq's second place for usage.
    usage_apart: Option<Box<usage::Found>>,
    error: Option<Span>,
}

/// Almost always one, so the first needs no allocation.
#[derive(Debug)]
pub(super) struct Few<T> {
    first: Option<T>,
    more: Vec<T>,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Few { first: None, more: Vec::new() }
    }
}

impl<T> Few<T> {
    fn push(&mut self, item: T) {
        match self.first {
            None => self.first = Some(item),
            Some(_) => self.more.push(item),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.more)
    }

    fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

#[derive(Debug, Default)]
struct Choice {
    index: u64,
    finish: Option<Text>,
    content: Content,
}

#[derive(Debug, Default)]
struct Content {
    /// Text, tool names and arguments.
    bytes: u64,
    /// Some providers say the same reasoning under two names; the longer one counts.
    reasoning: u64,
    /// Pictures and sounds, which have no bytes that count.
    is_other: bool,
}

/// The start of a piece up to its `choices`, which is the same in all pieces of a stream for most providers: a piece
/// that starts the same needs no second reading of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    bytes: Vec<u8>,
    model: Option<Span>,
}

/// Shorter heads are not worth comparing, longer ones not worth keeping.
const HEAD_BYTES: std::ops::Range<usize> = 32..1024;

impl Head {
    fn fits(&self, body: &[u8]) -> bool {
        !self.bytes.is_empty() && body.starts_with(&self.bytes)
    }

    fn remember(&mut self, body: &[u8], end: usize, found: &Found) {
        self.bytes.clear();
        let is_plain = found.choices.is_empty()
            && found.models.more.is_empty()
            && found.usage.is_none()
            && found.usage_apart.is_none()
            && found.error.is_none();
        if is_plain && HEAD_BYTES.contains(&end) {
            self.bytes.extend_from_slice(body.get(..end).unwrap_or_default());
            self.model = found.models.first;
        }
    }
}

/// Reads a piece; `head` is kept from piece to piece, and only of pieces that could be read to their end.
pub(super) fn read_piece(body: &[u8], head: &mut Head) -> Result<Found, Flaw> {
    let mut found = Found::default();
    match piece(body, head, &mut found) {
        Ok(()) => Ok(found),
        Err(flaw) => {
            head.bytes.clear();
            Err(flaw)
        }
    }
}

#[inline]
fn piece(body: &[u8], head: &mut Head, found: &mut Found) -> Result<(), Flaw> {
    if !head.fits(body) {
        let mut cursor = Cursor::lenient(body);
        let more = cursor.open_object()?;
        return fields(cursor, body, more, Form::Piece, Some(head), found);
    }
    if let Some(model) = head.model {
        found.models.push(model);
    }
    let mut cursor = Cursor::resume(body, head.bytes.len(), 1);
    choices(&mut cursor, body, Form::Piece, found)?;
    let more = cursor.next_field()?;
    fields(cursor, body, more, Form::Piece, None, found)
}

/// Reads a whole answer.
pub(super) fn read_whole(body: &[u8]) -> Result<Found, Flaw> {
    let mut found = Found::default();
    let mut cursor = Cursor::lenient(body);
    let more = cursor.open_object()?;
    fields(cursor, body, more, Form::Whole, None, &mut found)?;
    Ok(found)
}

fn fields(
    mut cursor: Cursor<'_>,
    body: &[u8],
    mut more: bool,
    form: Form,
    mut head: Option<&mut Head>,
    found: &mut Found,
) -> Result<(), Flaw> {
    while more {
        let key = cursor.key()?;
        match &*cursor.name(key) {
            b"choices" => {
                if let Some(head) = head.take() {
                    head.remember(body, cursor.position(), found);
                }
                choices(&mut cursor, body, form, found)?;
            }
            b"id" => found.id = cursor.string_or_pass()?,
            b"model" => {
                if let Some(model) = cursor.string_or_pass()? {
                    found.models.push(model.quoted());
                }
            }
            b"created" => found.created = Some(cursor.pass()?),
            b"usage" => {
                if let Some(usage) = usage::read(&mut cursor)? {
                    found.usage = Some(usage);
                }
            }
            b"x_groq" => found.usage_apart = inner_usage(&mut cursor)?,
            b"error" => found.error = error(&mut cursor)?,
            _ => {
                cursor.pass()?;
            }
        }
        more = cursor.next_field()?;
    }
    cursor.end()
}

fn inner_usage(cursor: &mut Cursor<'_>) -> Result<Option<Box<usage::Found>>, Flaw> {
    let mut found = None;
    if cursor.kind()? != Kind::Object {
        cursor.pass()?;
        return Ok(found);
    }
    let mut more = cursor.open_object()?;
    while more {
        let key = cursor.key()?;
        if &*cursor.name(key) == b"usage" {
            found = usage::read(cursor)?;
        } else {
            cursor.pass()?;
        }
        more = cursor.next_field()?;
    }
    Ok(found)
}

/// An error that says something: clients raise on those, and pass over null and empty ones.
fn error(cursor: &mut Cursor<'_>) -> Result<Option<Span>, Flaw> {
    let kind = cursor.kind()?;
    let span = cursor.pass()?;
    let says = match kind {
        Kind::Object | Kind::String | Kind::Array => span.len() > 2,
        _ => false,
    };
    Ok(says.then_some(span))
}

fn choices(cursor: &mut Cursor<'_>, body: &[u8], form: Form, found: &mut Found) -> Result<(), Flaw> {
    if cursor.kind()? != Kind::Array {
        cursor.pass()?;
        return Ok(());
    }
    let mut more = cursor.open_array()?;
    while more {
        let choice = choice(cursor, body, form)?;
        found.choices.push(choice);
        more = cursor.next_item()?;
    }
    Ok(())
}

fn choice(cursor: &mut Cursor<'_>, body: &[u8], form: Form) -> Result<Choice, Flaw> {
    let mut choice = Choice::default();
    if cursor.kind()? != Kind::Object {
        cursor.pass()?;
        return Ok(choice);
    }
    let mut more = cursor.open_object()?;
    while more {
        let key = cursor.key()?;
        match &*cursor.name(key) {
            b"index" => choice.index = cursor.count()?.unwrap_or(0),
            // Old completions have their text here.
            b"text" => choice.content.bytes += text_bytes(cursor, body, &[])?,
            b"delta" if form == Form::Piece => choice.content = content(cursor, body)?,
            b"message" if form == Form::Whole => choice.content = content(cursor, body)?,
            b"finish_reason" => choice.finish = cursor.string_or_pass()?.filter(|reason| !reason.span.is_empty()),
            _ => {
                cursor.pass()?;
            }
        }
        more = cursor.next_field()?;
    }
    Ok(choice)
}

fn content(cursor: &mut Cursor<'_>, body: &[u8]) -> Result<Content, Flaw> {
    let mut content = Content::default();
    if cursor.kind()? != Kind::Object {
        cursor.pass()?;
        return Ok(content);
    }
    let mut more = cursor.open_object()?;
    while more {
        let key = cursor.key()?;
        match &*cursor.name(key) {
            b"content" | b"refusal" => content.bytes += text_bytes(cursor, body, &[b"text"])?,
            b"reasoning_content" | b"reasoning" => {
                content.reasoning = content.reasoning.max(text_bytes(cursor, body, &[b"text"])?);
            }
            b"tool_calls" | b"function_call" => {
                content.bytes += text_bytes(cursor, body, &[b"arguments", b"name", b"input"])?;
            }
            b"audio" => {
                content.is_other |= cursor.kind()? == Kind::Object;
                content.bytes += text_bytes(cursor, body, &[b"transcript"])?;
            }
            b"images" => content.is_other |= memchr::memchr(b'{', cursor.pass()?.of(body)).is_some(),
            _ => {
                cursor.pass()?;
            }
        }
        more = cursor.next_field()?;
    }
    Ok(content)
}

/// Bytes of a string, or of the strings under `keys` inside a list or object.
fn text_bytes(cursor: &mut Cursor<'_>, body: &[u8], keys: &'static [&'static [u8]]) -> Result<u64, Flaw> {
    if cursor.kind()? == Kind::String {
        return cursor.string().map(|text| meant_bytes(body, text));
    }
    let mut count = Count { keys, counts: false, bytes: 0 };
    cursor.skip(&mut count)?;
    Ok(count.bytes)
}

fn meant_bytes(body: &[u8], text: Text) -> u64 {
    u64::try_from(json::meant_len(text.span.of(body), text.escaped)).unwrap_or(u64::MAX)
}

struct Count {
    keys: &'static [&'static [u8]],
    counts: bool,
    bytes: u64,
}

impl Watch for Count {
    fn key(&mut self, bytes: &[u8], key: Text) {
        self.counts = self.keys.contains(&key.span.of(bytes));
    }

    fn string(&mut self, bytes: &[u8], text: Text) {
        if self.counts {
            self.bytes += meant_bytes(bytes, text);
        }
    }
}

impl Found {
    /// Whether usage is all it brings: such a piece is shown only to those who asked.
    pub fn is_usage_only(&self) -> bool {
        self.usage.is_some() && self.choices.is_empty()
    }

    /// The error it reports instead of content, or ends with.
    pub fn failure(&self, body: &[u8]) -> Option<UpstreamError> {
        if self.error.is_some() {
            return Some(fault::decode(body));
        }
        let is_failed = |choice: &Choice| choice.finish.is_some_and(|reason| reason.span.of(body) == b"error");
        self.choices.iter().any(is_failed).then(|| UpstreamError {
            message: "the provider ended the answer with an error".to_owned(),
            ..UpstreamError::default()
        })
    }

    /// Tells the tap everything; true when the usage in it is the final one.
    pub fn note(&self, body: &[u8], form: Form, tap: &mut Tap) -> bool {
        let cursor = Cursor::lenient(body);
        if tap.upstream_id().is_empty()
            && let Some(id) = self.id.and_then(|id| cursor.text(id))
        {
            tap.note_id(&id);
        }
        if tap.created() == 0
            && let Some(created) = self.created.and_then(|created| json::whole_number(created.of(body)))
        {
            tap.note_created(created);
        }
        for choice in self.choices.iter() {
            let content = &choice.content;
            tap.note_choice(choice.index);
            if content.is_other || content.bytes + content.reasoning > 0 {
                tap.note_content(content.bytes.saturating_add(content.reasoning));
            }
            if let Some(reason) = choice.finish.and_then(|reason| cursor.text(reason)) {
                tap.note_finish(choice.index, &reason);
            }
        }
        let is_final = form == Form::Whole || self.choices.is_empty() || tap.all_finished();
        let usage = self.usage.as_ref().and_then(|usage| usage.tokens());
        if let Some(usage) = usage.or_else(|| self.usage_apart.as_ref()?.tokens()) {
            tap.note_usage(usage, is_final);
        }
        is_final
    }
}
