//! Walks JSON text strictly without building anything: a cursor that knows the grammar and hands out spans.
//! Never allocates on the way, never looks at what a text says. Next rooms: `scan` for requests, the dialects for answers.

mod find;
mod half;
mod kept;
mod meaning;
mod out;
mod tape;
mod write;

use std::borrow::Cow;

pub(crate) use find::survey;
use find::{BLOCK, short, stops};
pub(crate) use half::Half;
pub(crate) use meaning::{meant_len, whole_number, written_count};
pub(crate) use out::Writer;
pub(crate) use tape::{Tape, Value};
pub use write::NewText;
pub(crate) use write::{is_string, write_string};

/// Nesting that is still read; a top-level object is level 1.
pub(crate) const MAX_DEPTH: u32 = 64;

/// A piece of a body: bytes `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    /// How many bytes it covers.
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether it covers nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same piece of what stands behind `base` other bytes.
    #[inline]
    pub(crate) fn behind(self, base: usize) -> Span {
        Span { start: base + self.start, end: base + self.end }
    }

    /// The bytes it covers in `body`; nothing when it does not lie in it.
    pub fn of<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        body.get(self.start..self.end).unwrap_or_default()
    }
}

/// The inside of a string, without its quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    pub span: Span,
    pub escaped: bool,
}

impl Text {
    /// With its quotes.
    pub fn quoted(&self) -> Span {
        Span { start: self.span.start.saturating_sub(1), end: self.span.end + 1 }
    }

    /// Whether this piece of `bytes` means `word`.
    #[inline]
    pub fn is(&self, word: &str, bytes: &[u8]) -> bool {
        match self.escaped {
            false => self.span.of(bytes) == word.as_bytes(),
            true => self.may_be(word) && Cursor::lenient(bytes).text(*self).is_some_and(|meant| meant == word),
        }
    }

    /// No character is longer in a text than in its escape, and none more than six times shorter.
    fn may_be(&self, word: &str) -> bool {
        (word.len()..=word.len().saturating_mul(6)).contains(&self.span.len())
    }
}

/// Where and why the text is not what the grammar wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub at: usize,
    pub kind: FlawKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlawKind {
    Expected(&'static str),
    TooDeep,
}

/// What a value is, told by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

/// Looks on while values are skipped.
pub(crate) trait Watch {
    /// A key inside a skipped value.
    #[inline]
    fn key(&mut self, _bytes: &[u8], _key: Text) {}
    /// A string value inside a skipped value.
    #[inline]
    fn string(&mut self, _bytes: &[u8], _text: Text) {}
}

/// Looks at nothing.
pub(crate) struct Nothing;

impl Watch for Nothing {}

/// A place in a JSON text.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
    /// Whether strings have to be checked for raw control characters.
    controls: bool,
}

impl<'a> Cursor<'a> {
    /// A cursor for text from inside, or from a provider: raw control characters in strings are let through.
    pub fn lenient(bytes: &'a [u8]) -> Self {
        Cursor { bytes, at: 0, depth: 0, controls: false }
    }

    /// A cursor for a client's text. `controls` says whether there is any byte below 0x20 in it at all.
    pub fn strict(bytes: &'a [u8], controls: bool) -> Self {
        Cursor { bytes, at: 0, depth: 0, controls }
    }

    /// A cursor that goes on at `at`, with `depth` levels open.
    pub fn resume(bytes: &'a [u8], at: usize, depth: u32) -> Self {
        Cursor { bytes, at, depth, controls: false }
    }

    pub fn position(&self) -> usize {
        self.at
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn flaw<T>(&self, expected: &'static str) -> Result<T, Flaw> {
        Err(Flaw { at: self.at, kind: FlawKind::Expected(expected) })
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn deeper(&mut self) -> Result<(), Flaw> {
        if self.depth >= MAX_DEPTH {
            return Err(Flaw { at: self.at, kind: FlawKind::TooDeep });
        }
        self.depth += 1;
        Ok(())
    }

    /// What comes next, after any space.
    #[inline]
    pub fn kind(&mut self) -> Result<Kind, Flaw> {
        self.space();
        Ok(match self.peek() {
            Some(b'"') => Kind::String,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't') => Kind::True,
            Some(b'f') => Kind::False,
            Some(b'n') => Kind::Null,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            _ => return self.flaw("a value"),
        })
    }

    /// Nothing but space may follow.
    pub fn end(&mut self) -> Result<(), Flaw> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { self.flaw("the end") }
    }

    /// Goes into an object. True when it has a first field, whose key comes next.
    #[inline]
    pub fn open_object(&mut self) -> Result<bool, Flaw> {
        self.space();
        if self.peek() != Some(b'{') {
            return self.flaw("an object");
        }
        self.deeper()?;
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// After a field: true when another follows, false when the object has been left.
    #[inline]
    pub fn next_field(&mut self) -> Result<bool, Flaw> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(b'}') => {
                self.at += 1;
                self.depth = self.depth.saturating_sub(1);
                Ok(false)
            }
            _ => self.flaw("a comma or the end of the object"),
        }
    }

    /// Goes into an array. True when it has a first item, which comes next.
    #[inline]
    pub fn open_array(&mut self) -> Result<bool, Flaw> {
        self.space();
        if self.peek() != Some(b'[') {
            return self.flaw("an array");
        }
        self.deeper()?;
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// After an item: true when another follows, false when the array has been left.
    #[inline]
    pub fn next_item(&mut self) -> Result<bool, Flaw> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(b']') => {
                self.at += 1;
                self.depth = self.depth.saturating_sub(1);
                Ok(false)
            }
            _ => self.flaw("a comma or the end of the array"),
        }
    }

    /// A key and its colon; the value comes next.
    #[inline]
    pub fn key(&mut self) -> Result<Text, Flaw> {
        self.space();
        if self.peek() != Some(b'"') {
            return self.flaw("a field name");
        }
        let key = self.string()?;
        if self.peek() != Some(b':') {
            self.space();
            if self.peek() != Some(b':') {
                return self.flaw("a colon");
            }
        }
        self.at += 1;
        Ok(key)
    }

    /// A string, from its opening quote to behind its closing one. Not inlined: its many callers are faster small.
    #[inline(never)]
    pub fn string(&mut self) -> Result<Text, Flaw> {
        self.space();
        if self.peek() != Some(b'"') {
            return self.flaw("a string");
        }
        let start = self.at + 1;
        match short(self.bytes, start) {
            Some(end) if !self.controls => {
                self.at = end + 1;
                Ok(Text { span: Span { start, end }, escaped: false })
            }
            _ => self.long_string(start),
        }
    }

    /// The string whose inside starts at `start`, whatever is in it. It is searched block by block, since most long
    /// texts have several escapes in each.
    #[inline(never)]
    fn long_string(&mut self, start: usize) -> Result<Text, Flaw> {
        // Up to `at` everything has been looked at: an escape may reach into the next block.
        let (mut block, mut at, mut escaped) = (start, start, false);
        while let Some(found) = stops(self.bytes, block) {
            let mut stops = found & from(at.saturating_sub(block));
            while stops != 0 {
                at = block + stops.trailing_zeros() as usize;
                if self.bytes.get(at) == Some(&b'"') {
                    return self.end_string(Span { start, end: at }, escaped);
                }
                escaped = true;
                at = self.escape(at)?;
                stops &= from(at - block);
            }
            block += BLOCK;
        }
        self.at = self.bytes.len();
        self.flaw("the end of a string")
    }

    fn end_string(&mut self, span: Span, escaped: bool) -> Result<Text, Flaw> {
        if self.controls {
            self.no_controls(span)?;
        }
        self.at = span.end + 1;
        Ok(Text { span, escaped })
    }

    /// Checks the escape whose backslash is at `at`; where the text goes on. Halves of surrogate pairs that stand
    /// alone are grammatical (RFC 8259, section 8.2): clients that cut text in mid-emoji send them.
    #[inline]
    fn escape(&mut self, at: usize) -> Result<usize, Flaw> {
        match self.bytes.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') if self.bytes.get(at + 2..at + 6).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) => {
                Ok(at + 6)
            }
            _ => {
                self.at = at;
                self.flaw("a known escape")
            }
        }
    }

    fn no_controls(&mut self, span: Span) -> Result<(), Flaw> {
        let text = span.of(self.bytes);
        if text.iter().fold(false, |found, byte| found | (*byte < 0x20)) {
            self.at = span.start + text.iter().position(|byte| *byte < 0x20).unwrap_or(0);
            return self.flaw("an escape instead of a raw control character");
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> bool {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at > start
    }

    /// A number.
    #[inline]
    pub fn number(&mut self) -> Result<Span, Flaw> {
        self.space();
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => {
                self.digits();
            }
            _ => return self.flaw("a digit"),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if !self.digits() {
                return self.flaw("a digit");
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if !self.digits() {
                return self.flaw("a digit");
            }
        }
        Ok(Span { start, end: self.at })
    }

    #[inline]
    fn word(&mut self, word: &'static str) -> Result<(), Flaw> {
        if self.bytes.get(self.at..self.at + word.len()) != Some(word.as_bytes()) {
            return self.flaw("a value");
        }
        self.at += word.len();
        Ok(())
    }

    /// A value without children, of this kind.
    #[inline]
    fn leaf(&mut self, kind: Kind) -> Result<(), Flaw> {
        match kind {
            Kind::String => self.string().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::True => self.word("true"),
            Kind::False => self.word("false"),
            Kind::Null => self.word("null"),
            Kind::Object | Kind::Array => self.flaw("a value"),
        }
    }

    /// Any value; its span. Children are shown to `watch`.
    #[inline]
    pub fn skip(&mut self, watch: &mut impl Watch) -> Result<Span, Flaw> {
        self.space();
        let start = self.at;
        let floor = self.depth;
        // One bit a level: set for objects.
        let mut objects = 0u64;
        loop {
            let opened = match self.kind()? {
                Kind::String => {
                    let text = self.string()?;
                    watch.string(self.bytes, text);
                    false
                }
                Kind::Object => {
                    let more = self.open_object()?;
                    if more {
                        objects = (objects << 1) | 1;
                        let key = self.key()?;
                        watch.key(self.bytes, key);
                    }
                    more
                }
                Kind::Array => {
                    let more = self.open_array()?;
                    if more {
                        objects <<= 1;
                    }
                    more
                }
                kind => {
                    self.leaf(kind)?;
                    false
                }
            };
            if opened {
                continue;
            }
            // A value has ended: go on in what is open, leaving as many levels as end here.
            loop {
                if self.depth == floor {
                    return Ok(Span { start, end: self.at });
                }
                if objects & 1 == 1 {
                    if self.next_field()? {
                        let key = self.key()?;
                        watch.key(self.bytes, key);
                        break;
                    }
                } else if self.next_item()? {
                    break;
                }
                objects >>= 1;
            }
        }
    }

    /// Any value, looked at by nobody; its span.
    #[inline]
    pub fn pass(&mut self) -> Result<Span, Flaw> {
        match self.kind()? {
            Kind::Object | Kind::Array => self.skip(&mut Nothing),
            kind => {
                let start = self.at;
                self.leaf(kind)?;
                Ok(Span { start, end: self.at })
            }
        }
    }

    /// A string; none when the value is something else.
    #[inline]
    pub fn string_or_pass(&mut self) -> Result<Option<Text>, Flaw> {
        if self.kind()? == Kind::String {
            return self.string().map(Some);
        }
        self.pass()?;
        Ok(None)
    }

    /// A whole number that is not negative; none when the value is something else.
    #[inline]
    pub fn count(&mut self) -> Result<Option<u64>, Flaw> {
        if self.kind()? == Kind::Number {
            return Ok(written_count(self.number()?.of(self.bytes)));
        }
        self.pass()?;
        Ok(None)
    }

    /// A field's name as text: the bytes themselves, or what they mean when there are escapes in them. A name that
    /// means no text (half a surrogate pair) stays as it is written, and so equals no name we know.
    #[inline]
    pub fn name(&self, key: Text) -> Cow<'a, [u8]> {
        if key.escaped { self.meant_name(key) } else { Cow::Borrowed(key.span.of(self.bytes)) }
    }

    #[cold]
    fn meant_name(&self, key: Text) -> Cow<'a, [u8]> {
        match serde_json::from_slice::<String>(key.quoted().of(self.bytes)) {
            Ok(text) => Cow::Owned(text.into_bytes()),
            Err(_) => Cow::Borrowed(key.span.of(self.bytes)),
        }
    }

    /// A string's meaning; none when it means no text.
    pub fn text(&self, text: Text) -> Option<Cow<'a, str>> {
        if text.escaped {
            return serde_json::from_slice(text.quoted().of(self.bytes)).ok().map(Cow::Owned);
        }
        std::str::from_utf8(text.span.of(self.bytes)).ok().map(Cow::Borrowed)
    }
}

/// The marks from this place of a block on.
#[inline]
fn from(place: usize) -> u64 {
    if place < BLOCK { u64::MAX << place } else { 0 }
}

#[cfg(test)]
mod tests;
