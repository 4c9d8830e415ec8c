//! Changes named places of a body and leaves every other byte alone. Small bodies are copied once into one piece, large
//! ones become pieces that share the original. Must never know what it changes; that is the dialects' business.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::json::{NewText, Span};

/// Up to this size one copy is cheaper than sending pieces.
const COPY_BYTES: usize = 16 * 1024;

/// A body in pieces, in order; most bodies are one piece, which needs no allocation.
#[derive(Debug, Clone)]
pub struct Segments(Parts);

#[derive(Debug, Clone)]
enum Parts {
    One(Bytes),
    Many(Vec<Bytes>),
}

impl Segments {
    /// Length of all pieces, in bytes.
    pub fn len(&self) -> usize {
        self.parts().iter().map(Bytes::len).sum()
    }

    /// Whether there is no byte in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces.
    pub fn parts(&self) -> &[Bytes] {
        match &self.0 {
            Parts::One(part) => std::slice::from_ref(part),
            Parts::Many(parts) => parts,
        }
    }

    /// A JSON object with one more member at its end, which is `"name":value`; anything else stays as it is.
    #[must_use]
    pub fn with_member(self, member: &str) -> Segments {
        let body = self.into_bytes();
        let end = body.trim_ascii_end();
        let Some(inner) = end.strip_suffix(b"}").filter(|inner| inner.trim_ascii_start().starts_with(b"{")) else {
            return body.into();
        };
        let comma: &[u8] = if inner.trim_ascii_end().ends_with(b"{") { b"" } else { b"," };
        Bytes::from([inner, comma, member.as_bytes(), b"}", body.get(end.len()..).unwrap_or_default()].concat()).into()
    }

    /// All in one piece; copies when there are several.
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Parts::One(part) => part,
            Parts::Many(parts) => parts.concat().into(),
        }
    }
}

impl Default for Segments {
    fn default() -> Self {
        Bytes::new().into()
    }
}

impl From<Bytes> for Segments {
    fn from(body: Bytes) -> Self {
        Segments(Parts::One(body))
    }
}

impl From<Vec<Bytes>> for Segments {
    fn from(parts: Vec<Bytes>) -> Self {
        Segments(Parts::Many(parts))
    }
}

impl IntoIterator for Segments {
    type Item = Bytes;
    type IntoIter = Pieces;
    fn into_iter(self) -> Pieces {
        match self.0 {
            Parts::One(part) => Pieces { one: Some(part), many: Vec::new().into_iter() },
            Parts::Many(parts) => Pieces { one: None, many: parts.into_iter() },
        }
    }
}

/// The pieces of a body, one after the other.
#[derive(Debug, Default)]
pub struct Pieces {
    one: Option<Bytes>,
    many: std::vec::IntoIter<Bytes>,
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.one.take().or_else(|| self.many.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = usize::from(self.one.is_some()) + self.many.len();
        (len, Some(len))
    }
}

impl ExactSizeIterator for Pieces {}

/// Changes to one body. Places do not overlap; several insertions at one place keep their order.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    cuts: SmallVec<[Cut; 4]>,
    /// The new texts, one after the other.
    text: NewText,
    unsorted: bool,
}

/// `gone` is replaced by `text[from..to]`.
#[derive(Debug, Clone, Copy)]
struct Cut {
    gone: Span,
    from: usize,
    to: usize,
}

impl Edits {
    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        self.cuts.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.cuts.clear();
        self.text.clear();
        self.unsorted = false;
    }

    /// Puts what `write` writes in the place of `gone`.
    pub fn replace_with(&mut self, gone: Span, write: impl FnOnce(&mut NewText)) {
        let from = self.text.len();
        write(&mut self.text);
        self.unsorted |= self.cuts.last().is_some_and(|last| last.gone.start > gone.start);
        self.cuts.push(Cut { gone, from, to: self.text.len() });
    }

    /// Puts `text` in the place of `gone`.
    pub fn replace(&mut self, gone: Span, text: &[u8]) {
        self.replace_with(gone, |out| out.extend_from_slice(text));
    }

    /// Takes `gone` out.
    pub fn remove(&mut self, gone: Span) {
        self.replace(gone, b"");
    }

    /// Puts `text` before the byte at `at`.
    pub fn insert(&mut self, at: usize, text: &[u8]) {
        self.insert_with(at, |out| out.extend_from_slice(text));
    }

    /// Puts what `write` writes before the byte at `at`.
    pub fn insert_with(&mut self, at: usize, write: impl FnOnce(&mut NewText)) {
        self.replace_with(Span { start: at, end: at }, write);
    }

    /// Where things go when `found` maps places in what was read to places in what is sent.
    pub(crate) fn relocate(&mut self, found: impl Fn(usize) -> usize) {
        for cut in &mut self.cuts {
            let start = found(cut.gone.start);
            let end = if cut.gone.is_empty() { start } else { found(cut.gone.end.saturating_sub(1)) + 1 };
            cut.gone = Span { start, end };
        }
    }

    /// Moves the changes of `other` to the end of these.
    pub(crate) fn absorb(&mut self, other: &Edits) {
        for cut in &other.cuts {
            self.replace(cut.gone, other.text.get(cut.from..cut.to).unwrap_or_default());
        }
    }

    fn sort(&mut self) {
        if self.unsorted {
            self.cuts.sort_by_key(|cut| cut.gone.start);
            self.unsorted = false;
        }
    }

    /// The changed body; the very same one when there is nothing to change.
    pub fn apply(&mut self, body: &Bytes) -> Segments {
        if body.len() <= COPY_BYTES || self.cuts.is_empty() {
            return self.apply_in_one(body.clone()).into();
        }
        self.sort();
        let text = Bytes::from(std::mem::take(&mut self.text).into_vec());
        let mut parts = Vec::with_capacity(2 * self.cuts.len() + 1);
        let mut add = |part: Bytes| {
            if !part.is_empty() {
                parts.push(part);
            }
        };
        let mut at = 0;
        for cut in self.cuts.drain(..) {
            add(piece(body, at, cut.gone.start));
            add(piece(&text, cut.from, cut.to));
            at = at.max(cut.gone.end);
        }
        add(piece(body, at, body.len()));
        Segments(Parts::Many(parts))
    }

    /// The same, always in one piece of exactly its size.
    pub fn apply_in_one(&mut self, body: Bytes) -> Bytes {
        if self.cuts.is_empty() {
            return body;
        }
        self.sort();
        let gone: usize = self.cuts.iter().map(|cut| cut.gone.len()).sum();
        let mut out = Vec::with_capacity((body.len() + self.text.len()).saturating_sub(gone));
        let mut at = 0;
        for cut in &self.cuts {
            out.extend_from_slice(body.get(at..cut.gone.start).unwrap_or_default());
            out.extend_from_slice(self.text.get(cut.from..cut.to).unwrap_or_default());
            at = at.max(cut.gone.end);
        }
        out.extend_from_slice(body.get(at..).unwrap_or_default());
        self.clear();
        out.into()
    }
}

fn piece(body: &Bytes, start: usize, end: usize) -> Bytes {
    let end = end.min(body.len());
    if start >= end { Bytes::new() } else { body.slice(start..end) }
}

/// What is taken out with a field so that an object stays well formed: the field and one comma beside it.
///
/// `removed_before` tells how many of the fields before it are taken out as well. With a field left standing before
/// it, the comma before goes; else the comma behind.
pub(crate) fn removal(body: &[u8], whole: Span, ordinal: usize, removed_before: usize) -> Span {
    let is_space = |byte: u8| matches!(byte, b' ' | b'\n' | b'\t' | b'\r');
    if ordinal > removed_before {
        let before = body.get(..whole.start).unwrap_or_default();
        let comma = before.iter().rposition(|byte| !is_space(*byte)).unwrap_or(whole.start);
        return Span { start: comma, end: whole.end };
    }
    let behind = body.get(whole.end..).unwrap_or_default();
    match behind.iter().position(|byte| !is_space(*byte)) {
        Some(at) if behind.get(at) == Some(&b',') => Span { start: whole.start, end: whole.end + at + 1 },
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: usize, end: usize) -> Span {
        Span { start, end }
    }

    #[test]
    fn nothing_to_change_gives_the_very_same_bytes() {
        let body = Bytes::from(vec![b'x'; 100_000]);
        let out = Edits::default().apply(&body);
        assert_eq!(out.parts().len(), 1);
        assert_eq!(out.parts()[0].as_ptr(), body.as_ptr());
    }

    #[test]
    fn places_may_come_in_any_order_and_size_does_not_matter() {
        for pad in [0, COPY_BYTES] {
            let body = Bytes::from([&b"0123456789"[..], &vec![b'.'; pad]].concat());
            let mut edits = Edits::default();
            edits.replace(span(8, 9), b"eight");
            edits.remove(span(0, 2));
            edits.insert(5, b"a");
            edits.insert(5, b"b");
            let out = edits.apply(&body);
            assert_eq!(out.len(), 10 - 3 + 5 + 2 + pad);
            assert!(out.into_bytes().starts_with(b"234ab567eight9"));
        }
    }

    #[test]
    fn a_member_is_added_to_an_object_and_to_nothing_else() {
        for (body, expected) in [
            (r#"{"a":1}"#, r#"{"a":1,"m":2}"#),
            ("{ }\n", "{ \"m\":2}\n"),
            ("{\"a\":{}} ", "{\"a\":{},\"m\":2} "),
            ("[{}]", "[{}]"),
            ("}", "}"),
            ("", ""),
        ] {
            assert_eq!(Segments::from(Bytes::from(body)).with_member(r#""m":2"#).into_bytes(), expected);
        }
    }

    #[test]
    fn large_bodies_are_not_copied() {
        let body = Bytes::from(vec![b'x'; 1_000_000]);
        let mut edits = Edits::default();
        edits.insert(10, b"new");
        let out = edits.apply(&body);
        assert_eq!(out.parts()[0].as_ptr(), body.as_ptr());
        assert_eq!(out.parts()[2].as_ptr(), body[10..].as_ptr());
    }
}
