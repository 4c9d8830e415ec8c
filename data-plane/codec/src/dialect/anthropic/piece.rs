//! One pass over a whole answer, or over one event of a streamed one: what it says, and where the model's name stands.
//! Looks at known places only, never inside content. Next rooms: `same`.

use super::usage::{self, Numbers};
use crate::json::{self, Cursor, Flaw, Kind, Span, Text};

/// What an event is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Sort {
    Start,
    /// The reason for the end, and the last usage.
    Delta,
    Stop,
    Error,
    /// A part, a ping, a whole answer, or something new.
    #[default]
    Other,
}

/// What an answer or an event says. Spans are places in what was read.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub sort: Sort,
    pub id: Option<Text>,
    pub model: Option<Span>,
    pub finish: Option<Text>,
    pub usage: Option<Box<Numbers>>,
    /// Text, reasoning, tools' names and arguments.
    pub bytes: u64,
    /// Parts that have no bytes that count, such as what a search found.
    pub is_other: bool,
    pub has_error: bool,
}

/// Reads one JSON object.
pub(super) fn read(body: &[u8]) -> Result<Found, Flaw> {
    let mut reading = Reading { body, cursor: Cursor::lenient(body), found: Found::default() };
    reading.top()?;
    Ok(reading.found)
}

struct Reading<'a> {
    body: &'a [u8],
    cursor: Cursor<'a>,
    found: Found,
}

impl Reading<'_> {
    fn top(&mut self) -> Result<(), Flaw> {
        let mut more = self.cursor.open_object()?;
        while more {
            let key = self.cursor.key()?;
            match &*self.cursor.name(key) {
                b"type" => self.sort()?,
                b"delta" => self.object(Reading::delta)?,
                b"content_block" => self.block()?,
                b"message" => self.object(Reading::message)?,
                b"content" => self.content()?,
                b"error" => self.found.has_error |= self.is_error()?,
                name => self.message(name)?,
            }
            more = self.cursor.next_field()?;
        }
        self.cursor.end()
    }

    /// Each field of an object; anything else is passed over.
    fn object(&mut self, field: fn(&mut Self, &[u8]) -> Result<(), Flaw>) -> Result<(), Flaw> {
        if self.cursor.kind()? != Kind::Object {
            return self.cursor.pass().map(drop);
        }
        let mut more = self.cursor.open_object()?;
        while more {
            let key = self.cursor.key()?;
            let name = self.cursor.name(key);
            field(self, &name)?;
            more = self.cursor.next_field()?;
        }
        Ok(())
    }

    fn sort(&mut self) -> Result<(), Flaw> {
        self.found.sort = match self.cursor.string_or_pass()?.map(|word| word.span.of(self.body)) {
            Some(b"message_start") => Sort::Start,
            Some(b"message_delta") => Sort::Delta,
            Some(b"message_stop") => Sort::Stop,
            Some(b"error") => Sort::Error,
            _ => Sort::Other,
        };
        Ok(())
    }

    /// Errors that say something; some providers write null where there is none.
    fn is_error(&mut self) -> Result<bool, Flaw> {
        let kind = self.cursor.kind()?;
        let span = self.cursor.pass()?;
        Ok(matches!(kind, Kind::Object | Kind::String) && span.len() > 2)
    }

    fn message(&mut self, name: &[u8]) -> Result<(), Flaw> {
        match name {
            b"id" => self.found.id = self.cursor.string_or_pass()?,
            b"model" => self.found.model = self.cursor.string_or_pass()?.map(|text| text.quoted()),
            b"usage" => self.found.usage = Some(Box::new(usage::read(&mut self.cursor)?)),
            b"stop_reason" => self.found.finish = self.cursor.string_or_pass()?.filter(|word| !word.span.is_empty()),
            _ => {
                self.cursor.pass()?;
            }
        }
        Ok(())
    }

    fn delta(&mut self, name: &[u8]) -> Result<(), Flaw> {
        match name {
            b"text" | b"thinking" | b"partial_json" => self.count(),
            b"stop_reason" => self.message(name),
            _ => self.cursor.pass().map(drop),
        }
    }

    fn content(&mut self) -> Result<(), Flaw> {
        if self.cursor.kind()? != Kind::Array {
            return self.cursor.pass().map(drop);
        }
        let mut more = self.cursor.open_array()?;
        while more {
            self.block()?;
            more = self.cursor.next_item()?;
        }
        Ok(())
    }

    fn block(&mut self) -> Result<(), Flaw> {
        self.object(|reading, name| match name {
            b"type" => {
                let word = reading.cursor.string_or_pass()?.map(|word| word.span.of(reading.body)).unwrap_or_default();
                reading.found.is_other |=
                    ![&b"text"[..], b"thinking", b"redacted_thinking", b"tool_use"].contains(&word);
                Ok(())
            }
            b"text" | b"thinking" | b"name" => reading.count(),
            b"input" => {
                let span = reading.cursor.pass()?;
                reading.add(if span.len() > 2 { span.len() } else { 0 });
                Ok(())
            }
            _ => reading.cursor.pass().map(drop),
        })
    }

    /// Counts what a string means.
    fn count(&mut self) -> Result<(), Flaw> {
        if let Some(text) = self.cursor.string_or_pass()? {
            self.add(json::meant_len(text.span.of(self.body), text.escaped));
        }
        Ok(())
    }

    fn add(&mut self, bytes: usize) {
        self.found.bytes = self.found.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}
