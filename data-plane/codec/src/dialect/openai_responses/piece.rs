//! One pass over a whole answer, or over one event of a streamed one: what it says, and where the places are that get
//! edited. Looks at known places only, never inside content. Next rooms: `same` and `usage`.

use super::{item, usage};
use crate::json::{self, Cursor, Flaw, Kind, Span, Text};

/// What a response says. Spans are places in what was read.
#[derive(Debug, Default)]
pub(super) struct Response {
    pub id: Option<Text>,
    pub created: Option<u64>,
    /// Quotes included.
    pub model: Option<Span>,
    pub status: Option<Text>,
    /// Why it is incomplete.
    pub reason: Option<Text>,
    /// Whether it has an error that says anything.
    pub has_error: bool,
    pub usage: Option<usage::Found>,
    /// Searches of the web as some (OpenAI) count them, beside the usage.
    pub searches: Option<u64>,
    pub output: Output,
}

/// How much stands in the items of an output.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Text, reasoning, calls' names and arguments.
    pub bytes: u64,
    /// Whether there are items of a provider's own, which have no bytes that count.
    pub is_other: bool,
    /// Searches of the web. Pages that are opened and searched through are part of the search that found them.
    pub searches: u64,
}

/// What an event says.
#[derive(Debug, Default)]
pub(super) struct Event {
    pub kind: Option<Text>,
    /// Its number in the stream.
    pub number: Option<u64>,
    /// Bytes of a piece of text or arguments.
    pub delta: u64,
    pub response: Option<Box<Response>>,
    pub item: Option<Item>,
}

/// One item of an output.
#[derive(Debug, Default)]
pub(super) struct Item {
    pub kind: Option<Text>,
    /// Bytes of a call's name.
    pub name: u64,
    arguments: u64,
    input: u64,
    /// Texts and refusals in its content and its summary.
    texts: u64,
    /// What a search of the web does.
    action: Option<Text>,
}

/// Reads a whole answer.
pub(super) fn answer(body: &[u8]) -> Result<Response, Flaw> {
    let mut reading = Reading { body, cursor: Cursor::lenient(body) };
    let mut response = Response::default();
    let more = reading.cursor.open_object()?;
    reading.response(more, &mut response)?;
    reading.cursor.end()?;
    Ok(response)
}

/// Reads one event's data.
#[inline]
pub(super) fn event(data: &[u8]) -> Result<Event, Flaw> {
    let mut reading = Reading { body: data, cursor: Cursor::lenient(data) };
    let event = reading.event()?;
    reading.cursor.end()?;
    Ok(event)
}

struct Reading<'a> {
    body: &'a [u8],
    cursor: Cursor<'a>,
}

impl Reading<'_> {
    fn event(&mut self) -> Result<Event, Flaw> {
        let mut event = Event::default();
        let mut more = self.cursor.open_object()?;
        while more {
            let key = self.cursor.key()?;
            match &*self.cursor.name(key) {
                b"type" => event.kind = self.cursor.string_or_pass()?,
                b"delta" => event.delta = self.len()?,
                b"sequence_number" => event.number = self.cursor.count()?,
                b"response" => event.response = self.inner_response()?,
                b"item" => event.item = self.item()?,
                _ => drop(self.cursor.pass()?),
            }
            more = self.cursor.next_field()?;
        }
        Ok(event)
    }

    fn inner_response(&mut self) -> Result<Option<Box<Response>>, Flaw> {
        if self.cursor.kind()? != Kind::Object {
            self.cursor.pass()?;
            return Ok(None);
        }
        let mut response = Box::<Response>::default();
        let more = self.cursor.open_object()?;
        self.response(more, &mut response)?;
        Ok(Some(response))
    }

    /// The fields of an opened response; `more`: whether there are any.
    fn response(&mut self, mut more: bool, response: &mut Response) -> Result<(), Flaw> {
        while more {
            let key = self.cursor.key()?;
            match &*self.cursor.name(key) {
                b"id" => response.id = self.cursor.string_or_pass()?,
                b"created_at" => response.created = self.cursor.count()?,
                b"model" => response.model = self.cursor.string_or_pass()?.map(|model| model.quoted()),
                b"status" => response.status = self.cursor.string_or_pass()?,
                b"error" => response.has_error = self.is_error()?,
                b"incomplete_details" => response.reason = self.word_in(b"reason")?,
                b"output" => self.output(&mut response.output)?,
                b"usage" => response.usage = usage::read(&mut self.cursor)?,
                b"tool_usage" => response.searches = self.searches()?,
                _ => drop(self.cursor.pass()?),
            }
            more = self.cursor.next_field()?;
        }
        Ok(())
    }

    /// Each field of an object; anything else is passed over.
    fn object(&mut self, mut field: impl FnMut(&mut Self, &[u8]) -> Result<(), Flaw>) -> Result<bool, Flaw> {
        if self.cursor.kind()? != Kind::Object {
            self.cursor.pass()?;
            return Ok(false);
        }
        let mut more = self.cursor.open_object()?;
        while more {
            let key = self.cursor.key()?;
            let name = self.cursor.name(key);
            field(self, &name)?;
            more = self.cursor.next_field()?;
        }
        Ok(true)
    }

    /// Each item of a list; anything else is passed over.
    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Flaw>) -> Result<(), Flaw> {
        if self.cursor.kind()? != Kind::Array {
            return self.cursor.pass().map(drop);
        }
        let mut more = self.cursor.open_array()?;
        while more {
            item(self)?;
            more = self.cursor.next_item()?;
        }
        Ok(())
    }

    /// How many bytes a string means.
    fn len(&mut self) -> Result<u64, Flaw> {
        let text = self.cursor.string_or_pass()?;
        let len = text.map_or(0, |text| json::meant_len(text.span.of(self.body), text.escaped));
        Ok(u64::try_from(len).unwrap_or(u64::MAX))
    }

    /// Errors that say something: where there is none it is null, or empty.
    fn is_error(&mut self) -> Result<bool, Flaw> {
        let kind = self.cursor.kind()?;
        let span = self.cursor.pass()?;
        Ok(matches!(kind, Kind::Object | Kind::String) && span.len() > 2)
    }

    /// The string of this name in an object.
    fn word_in(&mut self, wanted: &[u8]) -> Result<Option<Text>, Flaw> {
        let mut word = None;
        self.object(|reading, name| {
            match name == wanted {
                true => word = reading.cursor.string_or_pass()?,
                false => drop(reading.cursor.pass()?),
            }
            Ok(())
        })?;
        Ok(word)
    }

    fn searches(&mut self) -> Result<Option<u64>, Flaw> {
        let mut searches = None;
        self.object(|reading, name| match name {
            b"web_search" => reading
                .object(|reading, name| {
                    match name {
                        b"num_requests" => searches = reading.cursor.count()?,
                        _ => drop(reading.cursor.pass()?),
                    }
                    Ok(())
                })
                .map(drop),
            _ => reading.cursor.pass().map(drop),
        })?;
        Ok(searches)
    }

    fn output(&mut self, output: &mut Output) -> Result<(), Flaw> {
        self.list(|reading| {
            if let Some(item) = reading.item()? {
                output.add(&item, reading.body);
            }
            Ok(())
        })
    }

    fn item(&mut self) -> Result<Option<Item>, Flaw> {
        let mut item = Item::default();
        let is_object = self.object(|reading, name| {
            match name {
                b"type" => item.kind = reading.cursor.string_or_pass()?,
                b"name" => item.name = reading.len()?,
                b"arguments" => item.arguments = reading.len()?,
                b"input" => item.input = reading.len()?,
                b"content" | b"summary" => item.texts = item.texts.saturating_add(reading.texts()?),
                b"action" => item.action = reading.word_in(b"type")?,
                _ => drop(reading.cursor.pass()?),
            }
            Ok(())
        })?;
        Ok(is_object.then_some(item))
    }

    /// Bytes of the texts in a list of parts.
    fn texts(&mut self) -> Result<u64, Flaw> {
        let mut bytes = 0u64;
        self.list(|reading| {
            let part = |reading: &mut Self, name: &[u8]| {
                match name {
                    b"text" | b"refusal" => bytes = bytes.saturating_add(reading.len()?),
                    _ => drop(reading.cursor.pass()?),
                }
                Ok(())
            };
            reading.object(part).map(drop)
        })?;
        Ok(bytes)
    }
}

impl Item {
    /// Whether it is of this sort.
    pub fn is(&self, kind: &str, body: &[u8]) -> bool {
        self.kind.is_some_and(|text| text.is(kind, body))
    }
}

impl Output {
    fn add(&mut self, item: &Item, body: &[u8]) {
        let bytes = match () {
            () if item.is(item::MESSAGE, body) || item.is(item::REASONING, body) => item.texts,
            () if item.is(item::CALL, body) => item.name.saturating_add(item.arguments),
            () => {
                self.is_other = true;
                item.input
            }
        };
        self.bytes = self.bytes.saturating_add(bytes);
        let is_search = item.is(item::SEARCH, body) && item.action.is_none_or(|action| action.is("search", body));
        if is_search {
            self.searches += 1;
        }
    }
}
