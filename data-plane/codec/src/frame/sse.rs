//! Server-sent events, found in bytes that arrive in any pieces: LF, CRLF and CR line ends, a byte-order mark,
//! comments, data over several lines, all bounded. Never changes a byte. Next rooms: the dialects' streams.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

use crate::error::Error;
use crate::json::Span;

/// The largest event that is held unless told otherwise. An image or a signature comes in one event, of several megabytes.
pub const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event in the splitter's window, all its bytes with the blank line that ends it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Frame {
    pub span: Span,
    /// The first `data:` line's value; none for comments and lone blank lines.
    pub data: Option<Span>,
    /// Whether more `data:` lines follow the first.
    pub is_split: bool,
    /// The last `event:` line's value.
    pub name: Option<Span>,
    /// Whether it is the first of its stream, where a byte-order mark may stand.
    pub is_first: bool,
    /// Not an event: the line feed that belongs to the carriage return with which the event before it ended.
    pub is_tail: bool,
}

/// One event as bytes of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Everything, framing included.
    pub raw: Bytes,
    /// The data, lines joined by line feeds; none when no `data:` line was there.
    pub data: Option<Bytes>,
    /// The event's name; empty when it has none.
    pub name: Bytes,
}

/// Splits a stream into events. Push, then take frames until there are none, then take the bytes.
#[derive(Debug, Clone)]
pub struct Splitter {
    /// The last chunk, while nothing of an earlier one is held.
    chunk: Bytes,
    /// What is held of earlier chunks, with the last one behind it.
    held: BytesMut,
    reading: Reading,
}

/// How far the window has been read. All places are in the window.
#[derive(Debug, Clone)]
struct Reading {
    limit: usize,
    /// Where the event being read starts.
    event: usize,
    /// Where the line being read starts.
    line: usize,
    /// How far line ends have been looked for.
    looked: usize,
    /// Whether the byte before `looked` is a carriage return, so that a line feed now belongs to it.
    after_return: bool,
    is_first_line: bool,
    is_first_event: bool,
    data: Option<Span>,
    is_split: bool,
    name: Option<Span>,
}

impl Default for Splitter {
    fn default() -> Self {
        Splitter::new(MAX_EVENT_BYTES)
    }
}

impl Splitter {
    /// A splitter that holds at most `limit` bytes of an event.
    pub fn new(limit: usize) -> Self {
        let reading = Reading {
            limit,
            event: 0,
            line: 0,
            looked: 0,
            after_return: false,
            is_first_line: true,
            is_first_event: true,
            data: None,
            is_split: false,
            name: None,
        };
        Splitter { chunk: Bytes::new(), held: BytesMut::new(), reading }
    }

    /// Adds what has arrived.
    pub fn push(&mut self, chunk: Bytes) {
        if self.held.is_empty() && self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            self.held.extend_from_slice(&std::mem::take(&mut self.chunk));
            self.held.extend_from_slice(&chunk);
        }
    }

    /// The bytes that frames point into.
    #[inline]
    pub fn window(&self) -> &[u8] {
        if self.held.is_empty() { &self.chunk } else { &self.held }
    }

    /// The next whole event, if it has arrived.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        let window: &[u8] = if self.held.is_empty() { &self.chunk } else { &self.held };
        self.reading.next_frame(window)
    }

    /// Takes the window's bytes up to the end of the last frame, and forgets about them.
    pub fn take(&mut self) -> Bytes {
        self.take_to(self.reading.event)
    }

    /// Takes the window's bytes up to `end`, which is the start or end of a frame; the rest of the frames so far is
    /// dropped.
    pub fn take_to(&mut self, end: usize) -> Bytes {
        let read = self.reading.event;
        let mut taken = if self.held.is_empty() {
            let chunk = std::mem::take(&mut self.chunk);
            if read < chunk.len() {
                // Copied, so that a waiting stream does not keep a whole read buffer.
                self.held = BytesMut::from(chunk.get(read..).unwrap_or_default());
            }
            chunk
        } else {
            let taken = self.held.split_to(read.min(self.held.len())).freeze();
            if self.held.is_empty() {
                self.held = BytesMut::new();
            }
            taken
        };
        taken.truncate(end.min(read));
        self.reading.forget(read);
        taken
    }

    /// What has arrived of an event that has not ended.
    pub fn rest(&self) -> &[u8] {
        self.window().get(self.reading.event..).unwrap_or_default()
    }

    /// The next whole event as bytes of its own: slices of the pushed chunk where it lies in one.
    pub fn next_event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let Some(frame) = self.next_frame()? else {
                self.take();
                return Ok(None);
            };
            if !frame.is_tail {
                return Ok(Some(self.event(&frame)));
            }
        }
    }

    fn event(&mut self, frame: &Frame) -> Event {
        if !self.held.is_empty() {
            // What is held becomes shared bytes once; events are slices of them.
            self.chunk = std::mem::take(&mut self.held).freeze();
        }
        let slice = |span: Span| self.chunk.slice(span.start.min(self.chunk.len())..span.end.min(self.chunk.len()));
        let data = frame.data.map(|first| match frame.is_split {
            false => slice(first),
            true => frame.data(&self.chunk).into_owned().into(),
        });
        Event { raw: slice(frame.span), data, name: frame.name.map(slice).unwrap_or_default() }
    }
}

impl Reading {
    #[inline]
    fn next_frame(&mut self, window: &[u8]) -> Result<Option<Frame>, Error> {
        if let Some(tail) = self.line_feed_of_return(window) {
            return Ok(Some(tail));
        }
        loop {
            let Some(found) = line_end(window.get(self.looked..).unwrap_or_default()) else {
                self.looked = window.len();
                self.check(window.len().saturating_sub(self.event))?;
                return Ok(None);
            };
            let line = Span { start: self.line, end: self.looked + found };
            let mut next = line.end + 1;
            if window.get(line.end) == Some(&b'\r') {
                match window.get(next) {
                    Some(b'\n') => next += 1,
                    Some(_) => {}
                    None => self.after_return = true,
                }
            }
            self.looked = next;
            self.line = next;
            if self.end_line(window, line) {
                return self.end_event(next).map(Some);
            }
        }
    }

    /// A carriage return was the last byte of the window before: a line feed that comes now belongs to it, and to the
    /// event that it ended, if it did.
    fn line_feed_of_return(&mut self, window: &[u8]) -> Option<Frame> {
        if !self.after_return || self.looked >= window.len() {
            return None;
        }
        self.after_return = false;
        if window.get(self.looked) != Some(&b'\n') {
            return None;
        }
        let at = self.looked;
        self.looked += 1;
        self.line = self.looked;
        if self.event != at {
            return None;
        }
        self.event = self.looked;
        Some(Frame { span: Span { start: at, end: self.looked }, is_tail: true, ..Frame::default() })
    }

    fn check(&self, len: usize) -> Result<(), Error> {
        if len > self.limit { Err(Error::EventTooLarge { limit: self.limit }) } else { Ok(()) }
    }

    /// Notes what a line says; true when it was the blank one.
    #[inline]
    fn end_line(&mut self, window: &[u8], line: Span) -> bool {
        let line = content(window, line, std::mem::take(&mut self.is_first_line));
        if line.is_empty() {
            return true;
        }
        match field(window, line) {
            Field::Data(_) if self.data.is_some() => self.is_split = true,
            Field::Data(value) => self.data = Some(value),
            Field::Name(value) => self.name = Some(value),
            Field::Other => {}
        }
        false
    }

    #[inline]
    fn end_event(&mut self, end: usize) -> Result<Frame, Error> {
        let span = Span { start: self.event, end };
        self.check(span.len())?;
        self.event = end;
        Ok(Frame {
            span,
            data: self.data.take(),
            is_split: std::mem::take(&mut self.is_split),
            name: self.name.take(),
            is_first: std::mem::take(&mut self.is_first_event),
            is_tail: false,
        })
    }

    /// The first `len` bytes of the window are gone.
    fn forget(&mut self, len: usize) {
        let back = |span: Span| Span { start: span.start.saturating_sub(len), end: span.end.saturating_sub(len) };
        self.event = self.event.saturating_sub(len);
        self.line = self.line.saturating_sub(len);
        self.looked = self.looked.saturating_sub(len);
        self.data = self.data.map(back);
        self.name = self.name.map(back);
    }
}

impl Frame {
    /// The data, lines joined by line feeds.
    pub fn data<'a>(&self, window: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(first) = self.data else { return Cow::Borrowed(&[]) };
        if !self.is_split {
            return Cow::Borrowed(first.of(window));
        }
        let mut joined = Vec::with_capacity(self.span.len());
        for (at, line) in self.data_lines(window).into_iter().enumerate() {
            if at > 0 {
                joined.push(b'\n');
            }
            joined.extend_from_slice(line.of(window));
        }
        Cow::Owned(joined)
    }

    /// The values of all `data:` lines, in order.
    pub(crate) fn data_lines(&self, window: &[u8]) -> Vec<Span> {
        let mut lines = Vec::new();
        let mut at = self.span.start;
        while at < self.span.end {
            let rest = window.get(at..self.span.end).unwrap_or_default();
            let line = Span { start: at, end: at + line_end(rest).unwrap_or(rest.len()) };
            if let Field::Data(value) = field(window, content(window, line, self.is_first && at == self.span.start)) {
                lines.push(value);
            }
            at = line.end + 1;
        }
        lines
    }
}

/// Where the first line ends. Blank lines are half of all lines, and not worth a search.
#[inline]
fn line_end(bytes: &[u8]) -> Option<usize> {
    match bytes.first() {
        Some(b'\n' | b'\r') => Some(0),
        _ => memchr2(b'\n', b'\r', bytes),
    }
}

/// A line without the mark that may stand at the very start of a stream.
#[inline]
fn content(window: &[u8], line: Span, is_first: bool) -> Span {
    if is_first && line.of(window).starts_with(BOM) {
        return Span { start: line.start + BOM.len(), end: line.end };
    }
    line
}

enum Field {
    Data(Span),
    Name(Span),
    Other,
}

/// What a line is, and its value: behind the colon and one space.
#[inline]
fn field(window: &[u8], line: Span) -> Field {
    let text = line.of(window);
    let value = |skip: usize| {
        let space = usize::from(text.get(skip) == Some(&b' '));
        Span { start: line.start + skip + space, end: line.end }
    };
    match text {
        [b'd', b'a', b't', b'a', b':', ..] => Field::Data(value(5)),
        [b'e', b'v', b'e', b'n', b't', b':', ..] => Field::Name(value(6)),
        b"data" => Field::Data(Span { start: line.end, end: line.end }),
        b"event" => Field::Name(Span { start: line.end, end: line.end }),
        _ => Field::Other,
    }
}

/// A comment line as an event of its own: keeps a connection alive and is skipped by every reader.
pub fn comment(text: &str) -> Bytes {
    let clean = text.replace(['\r', '\n'], " ");
    format!(": {clean}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        for chunk in chunks {
            splitter.push(Bytes::copy_from_slice(chunk));
            while let Some(event) = splitter.next_event().unwrap() {
                if let Some(data) = event.data {
                    found.push((String::from_utf8_lossy(&event.name).into(), String::from_utf8_lossy(&data).into()));
                }
            }
        }
        found
    }

    fn pair(name: &str, data: &str) -> (String, String) {
        (name.into(), data.into())
    }

    const STREAM: &str = "\u{feff}data: one\n\n: note\n\nevent:two\ndata:2\ndata: 2b\n\ndata\n\ndata:  spaced\nid: 7\n\n\ndatax: no\n\nevent: three\nretry: 1\ndata: {\"ä\":3}\n\ndata: cut";

    fn expected() -> Vec<(String, String)> {
        vec![pair("", "one"), pair("two", "2\n2b"), pair("", ""), pair("", " spaced"), pair("three", "{\"ä\":3}")]
    }

    #[test]
    fn every_line_end_and_every_split_gives_the_same_events() {
        for line_end in ["\n", "\r\n", "\r"] {
            let text = STREAM.replace('\n', line_end);
            let bytes = text.as_bytes();
            assert_eq!(events(&[bytes]), expected());
            for at in 0..bytes.len() {
                let (head, tail) = bytes.split_at(at);
                assert_eq!(events(&[head, tail]), expected(), "{line_end:?} split at {at}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(events(&single), expected());
        }
    }

    #[test]
    fn no_byte_is_lost_or_changed() {
        for line_end in ["\n", "\r\n", "\r"] {
            let text = STREAM.replace('\n', line_end);
            for size in 1..text.len() {
                let mut splitter = Splitter::default();
                let mut out = Vec::new();
                for chunk in text.as_bytes().chunks(size) {
                    splitter.push(Bytes::copy_from_slice(chunk));
                    while splitter.next_frame().unwrap().is_some() {}
                    out.extend_from_slice(&splitter.take());
                }
                out.extend_from_slice(splitter.rest());
                assert_eq!(out, text.as_bytes());
            }
        }
    }

    #[test]
    fn events_within_a_chunk_are_slices_of_it() {
        let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\n");
        let mut splitter = Splitter::default();
        splitter.push(chunk.clone());
        splitter.next_event().unwrap().unwrap();
        let second = splitter.next_event().unwrap().unwrap();
        assert_eq!(second.data.unwrap().as_ptr(), chunk[15..].as_ptr());
    }

    #[test]
    fn an_event_without_an_end_is_refused_in_bounds() {
        let long = [b'x'; 101];
        for size in [1, 7, 101] {
            let mut splitter = Splitter::new(100);
            let mut refused = false;
            for chunk in long.chunks(size) {
                splitter.push(Bytes::copy_from_slice(chunk));
                refused |= splitter.next_frame().is_err();
            }
            assert!(refused);
        }
        let mut splitter = Splitter::new(100);
        splitter.push(Bytes::from([&long[..], b"\n\n"].concat()));
        assert!(splitter.next_frame().is_err());
    }

    #[test]
    fn a_comment_stays_on_its_line() {
        assert_eq!(comment("a\nb"), ": a b\n\n");
    }
}
