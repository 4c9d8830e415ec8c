//! AWS event streams (`application/vnd.amazon.eventstream`), as Bedrock answers: messages of a prelude with two lengths
//! and its checksum, headers, a payload and a checksum over all of it, found in bytes that arrive in any pieces. Bounded,
//! and checked before anything is believed. Never looks into the payload. Next rooms: the dialects' streams.

use bytes::{Bytes, BytesMut};

/// The two lengths and their checksum, in bytes.
const PRELUDE: usize = 12;
/// A checksum, in bytes.
const CHECKSUM: usize = 4;
/// A message without headers and payload, in bytes.
const LEAST: usize = PRELUDE + CHECKSUM;
/// The headers of one message at most, in bytes, as the format has it.
const HEADERS_MOST: usize = 128 * 1024;
/// The largest message that is held unless told otherwise, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Why bytes are not a stream of messages. Nothing that comes behind them can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// One message is larger than is held.
    #[error("a message is larger than {limit} bytes")]
    TooLarge { limit: usize },
    /// The lengths do not fit each other.
    #[error("a message's lengths are impossible")]
    Lengths,
    /// A checksum is wrong.
    #[error("a message's checksum is wrong")]
    Checksum,
    /// The headers cannot be read.
    #[error("a message's headers are malformed")]
    Headers,
}

/// The value of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    Bool(bool),
    Byte(i8),
    Short(i16),
    Int(i32),
    Long(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    /// Milliseconds since 1970.
    Time(i64),
    Uuid([u8; 16]),
}

/// One message, whose checksums and headers were found right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    headers: Bytes,
    /// What it carries.
    pub payload: Bytes,
}

impl Message {
    /// The headers in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        let mut rest = &self.headers[..];
        std::iter::from_fn(move || {
            let (name, value, behind) = header(rest)?;
            rest = behind;
            Some((name, value))
        })
    }

    /// The text of the first header of this name; none when there is none or it is not text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.headers().find(|(known, _)| *known == name)?.1 {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What the message is: `event`, `exception` or `error`.
    pub fn kind(&self) -> Option<&str> {
        self.text(":message-type")
    }

    /// What happened: the type of an event or of an exception, or the code of an error.
    pub fn name(&self) -> Option<&str> {
        let name = match self.kind() {
            Some("exception") => ":exception-type",
            Some("error") => ":error-code",
            _ => ":event-type",
        };
        self.text(name)
    }
}

/// Splits a stream into messages. Push, then take messages until there are none.
#[derive(Debug, Clone)]
pub struct Splitter {
    limit: usize,
    /// What is left of the last chunk, while nothing of an earlier one is held.
    chunk: Bytes,
    /// The beginning of a message whose end has not come, with everything behind it.
    held: BytesMut,
    /// What was wrong: once it is lost, a stream is not found again.
    wrong: Option<Malformed>,
}

impl Default for Splitter {
    fn default() -> Self {
        Splitter::new(MAX_MESSAGE_BYTES)
    }
}

impl Splitter {
    /// A splitter that holds at most `limit` bytes of a message.
    pub fn new(limit: usize) -> Self {
        Splitter { limit, chunk: Bytes::new(), held: BytesMut::new(), wrong: None }
    }

    /// Adds what has arrived. What comes behind something malformed is not kept.
    pub fn push(&mut self, chunk: Bytes) {
        if self.wrong.is_some() {
            return;
        }
        if self.rest().is_empty() {
            self.chunk = chunk;
        } else {
            self.hold();
            self.held.extend_from_slice(&chunk);
        }
    }

    /// The next whole message, if it has arrived. After an error there is only that error.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn next_message(&mut self) -> Result<Option<Message>, Malformed> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let found = self.find();
        if let Err(wrong) = found {
            (self.chunk, self.held) = Default::default();
            self.wrong = Some(wrong);
        }
        found
    }

    /// What has arrived of a message that has not ended.
    pub fn rest(&self) -> &[u8] {
        if self.held.is_empty() { &self.chunk } else { &self.held }
    }

    fn find(&mut self) -> Result<Option<Message>, Malformed> {
        let lengths = match self.rest().first_chunk() {
            Some(prelude) => Some(lengths(prelude, self.limit)?),
            None => None,
        };
        let Some((total, headers)) = lengths.filter(|(total, _)| *total <= self.rest().len()) else {
            // Copied, so that a waiting stream does not keep a whole read buffer.
            self.hold();
            return Ok(None);
        };
        let bytes = self.take(total);
        let (checked, checksum) = bytes.split_at(total - CHECKSUM);
        if number(checksum) != crc32fast::hash(checked) {
            return Err(Malformed::Checksum);
        }
        let message = Message {
            headers: bytes.slice(PRELUDE..PRELUDE + headers),
            payload: bytes.slice(PRELUDE + headers..total - CHECKSUM),
        };
        let read: usize = message.headers().map(|(name, value)| 2 + name.len() + value.length()).sum();
        if read == headers { Ok(Some(message)) } else { Err(Malformed::Headers) }
    }

    fn hold(&mut self) {
        let chunk = std::mem::take(&mut self.chunk);
        self.held.extend_from_slice(&chunk);
    }

    /// The next `count` bytes, which are there.
    fn take(&mut self, count: usize) -> Bytes {
        if self.held.is_empty() {
            return self.chunk.split_to(count);
        }
        if self.held.len() == count {
            return std::mem::take(&mut self.held).freeze();
        }
        // Several messages in what is held: it becomes shared bytes once, and they are slices of it.
        self.chunk = std::mem::take(&mut self.held).freeze();
        self.chunk.split_to(count)
    }
}

/// The length of a message and of its headers, in bytes.
fn lengths(prelude: &[u8; PRELUDE], limit: usize) -> Result<(usize, usize), Malformed> {
    let (lengths, checksum) = prelude.split_at(PRELUDE - CHECKSUM);
    if number(checksum) != crc32fast::hash(lengths) {
        return Err(Malformed::Checksum);
    }
    let (total, headers) = lengths.split_at(4);
    let (total, headers) = (number(total) as usize, number(headers) as usize);
    match total.checked_sub(LEAST) {
        Some(room) if headers <= room && headers <= HEADERS_MOST => {}
        _ => return Err(Malformed::Lengths),
    }
    if total > limit { Err(Malformed::TooLarge { limit }) } else { Ok((total, headers)) }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// The header that these bytes begin with, and what is behind it.
fn header(bytes: &[u8]) -> Option<(&str, Value<'_>, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length)).filter(|(name, _)| !name.is_empty())?;
    let (kind, rest) = rest.split_first()?;
    let (value, rest) = value(*kind, rest)?;
    Some((std::str::from_utf8(name).ok()?, value, rest))
}

fn value(kind: u8, bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    Some(match kind {
        0 => (Value::Bool(true), bytes),
        1 => (Value::Bool(false), bytes),
        2 => fixed(bytes, |bytes| Value::Byte(i8::from_be_bytes(bytes)))?,
        3 => fixed(bytes, |bytes| Value::Short(i16::from_be_bytes(bytes)))?,
        4 => fixed(bytes, |bytes| Value::Int(i32::from_be_bytes(bytes)))?,
        5 => fixed(bytes, |bytes| Value::Long(i64::from_be_bytes(bytes)))?,
        6 => sized(bytes).map(|(value, rest)| (Value::Bytes(value), rest))?,
        7 => {
            let (text, rest) = sized(bytes)?;
            (Value::Text(std::str::from_utf8(text).ok()?), rest)
        }
        8 => fixed(bytes, |bytes| Value::Time(i64::from_be_bytes(bytes)))?,
        9 => fixed(bytes, Value::Uuid)?,
        _ => return None,
    })
}

fn fixed<const N: usize>(bytes: &[u8], make: impl FnOnce([u8; N]) -> Value<'static>) -> Option<(Value<'_>, &[u8])> {
    bytes.split_first_chunk().map(|(value, rest)| (make(*value), rest))
}

fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

impl Value<'_> {
    /// What it takes behind its kind, in bytes.
    fn length(&self) -> usize {
        match self {
            Value::Bool(_) => 0,
            Value::Byte(_) => 1,
            Value::Short(_) => 2,
            Value::Int(_) => 4,
            Value::Long(_) | Value::Time(_) => 8,
            Value::Bytes(bytes) => 2 + bytes.len(),
            Value::Text(text) => 2 + text.len(),
            Value::Uuid(_) => 16,
        }
    }
}

#[cfg(test)]
mod tests;
