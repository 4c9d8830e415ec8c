//! Server-sent events as a browser would cut them, with the moment each was complete.

use std::time::Instant;

use http::HeaderMap;
use serde_json::Value;

use super::{Lost, Open};
use crate::wait;

/// One event, or one comment.
#[derive(Debug, Clone)]
pub struct Event {
    /// When its blank line was here.
    pub at: Instant,
    /// The `data:` lines, joined; none for a comment.
    pub data: Option<String>,
    /// Comment lines, without their colons.
    pub comment: Option<String>,
}

impl Event {
    pub fn is_done(&self) -> bool {
        self.data.as_deref() == Some("[DONE]")
    }

    /// The data as JSON.
    pub fn json(&self) -> Value {
        let data = self.data.as_deref().unwrap_or_else(|| panic!("{self:?} has no data"));
        serde_json::from_str(data).unwrap_or_else(|error| panic!("{error} in {data}"))
    }

    /// The text in the first choice's delta.
    pub fn content(&self) -> String {
        self.json()["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    }
}

/// How a stream ended.
#[derive(Debug, Clone)]
pub struct Told {
    pub events: Vec<Event>,
    /// Every byte of the body.
    pub raw: Vec<u8>,
    /// Whether the HTTP body ended as it should.
    pub is_clean: bool,
}

impl Told {
    /// The JSON of all events but the end mark.
    pub fn chunks(&self) -> Vec<Value> {
        self.events.iter().filter(|event| event.data.is_some() && !event.is_done()).map(Event::json).collect()
    }

    pub fn is_done(&self) -> bool {
        self.events.iter().any(Event::is_done)
    }

    /// All text of the first choice.
    pub fn content(&self) -> String {
        let texts = self.chunks();
        texts.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
    }
}

/// A stream that is being read. Dropping it hangs up.
pub struct Stream {
    open: Open,
    raw: Vec<u8>,
    seen: usize,
}

impl Stream {
    pub(super) fn new(open: Open) -> Stream {
        Stream { open, raw: Vec::new(), seen: 0 }
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.open.headers
    }

    pub fn header(&self, name: &str) -> &str {
        self.open.header(name)
    }

    /// The next event; none at the end of the body.
    pub async fn try_next(&mut self) -> Result<Option<Event>, Lost> {
        loop {
            if let Some(event) = self.cut() {
                return Ok(Some(event));
            }
            match self.open.bytes().await? {
                Some(bytes) => self.raw.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }

    /// The next event, which must come.
    pub async fn next(&mut self) -> Event {
        let next = wait::within("the next event", wait::SOON, self.try_next()).await;
        next.unwrap_or_else(|error| panic!("{error}")).expect("one more event")
    }

    /// The next event that brings text.
    pub async fn next_content(&mut self) -> Event {
        loop {
            let event = self.next().await;
            if event.data.is_some() && !event.is_done() && !event.content().is_empty() {
                return event;
            }
        }
    }

    /// Everything that is still to come.
    pub async fn rest(mut self) -> Told {
        let mut events = Vec::new();
        let is_clean = loop {
            match wait::within("the rest of a stream", wait::SOON * 2, self.try_next()).await {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        Told { events, raw: self.raw, is_clean }
    }

    fn cut(&mut self) -> Option<Event> {
        let rest = &self.raw[self.seen..];
        let lines = rest.windows(2).position(|pair| pair == b"\n\n").map(|at| (at, 2));
        let crlf = rest.windows(4).position(|four| four == b"\r\n\r\n").map(|at| (at, 4));
        let (at, gap) = lines.into_iter().chain(crlf).min()?;
        let text = String::from_utf8(rest[..at].to_vec()).expect("events in UTF-8");
        self.seen += at + gap;
        let with = |mark: &str| -> Option<String> {
            let found: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(mark)).map(trim_one).collect();
            (!found.is_empty()).then(|| found.join("\n"))
        };
        Some(Event { at: Instant::now(), data: with("data:"), comment: with(":") })
    }
}

fn trim_one(text: &str) -> &str {
    text.strip_prefix(' ').unwrap_or(text)
}
