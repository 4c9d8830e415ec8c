//! Texts that come in pieces and were cut between the two halves of a surrogate pair. Each half alone means no letter; this
//! keeps the first until the next piece of the same text. Never holds more than that half.

use std::borrow::Cow;

use super::Value;

/// The first half of a pair that ended the last piece of one text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Half(Option<u32>);

/// What half a pair without the other one means.
const LOST: &str = "\u{fffd}";
/// Bytes of one escape with its backslash.
const ESCAPE: usize = 6;

impl Half {
    /// What the next piece means, behind the half that is kept; none where it is no string. May be empty: then the piece was
    /// the first half of a pair.
    pub fn join<'a>(&mut self, piece: Value<'a>) -> Option<Cow<'a, str>> {
        match self.0.is_none() && !piece.is_escaped() {
            true => piece.string(),
            false => self.join_escaped(piece),
        }
    }

    /// What is left when the text ends: a half that nothing followed.
    pub fn end(&mut self) -> Option<Cow<'static, str>> {
        self.0.take().map(|_| Cow::Borrowed(LOST))
    }

    fn join_escaped<'a>(&mut self, piece: Value<'a>) -> Option<Cow<'a, str>> {
        let mut text = piece.string()?;
        let raw = piece.raw();
        let inner = raw.get(1..raw.len().saturating_sub(1)).filter(|inner| !inner.is_empty());
        let Some(inner) = inner else { return Some(text) };
        let last = last_half(inner);
        if let Some(short) = last.and_then(|_| text.strip_suffix(LOST)) {
            text = Cow::Owned(short.to_owned());
        }
        if let Some(first) = std::mem::replace(&mut self.0, last) {
            let pair = unit(inner).filter(|second| (0xdc00..0xe000).contains(second));
            let pair = pair.and_then(|second| char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)));
            text = Cow::Owned(match (pair, text.strip_prefix(LOST)) {
                (Some(letter), Some(rest)) => format!("{letter}{rest}"),
                _ => format!("{LOST}{text}"),
            });
        }
        Some(text)
    }
}

/// The first half of a pair at the end of what stands between the quotes, where nothing can follow it.
fn last_half(inner: &str) -> Option<u32> {
    let at = inner.len().checked_sub(ESCAPE)?;
    let first = unit(inner.get(at..)?).filter(|unit| (0xd800..0xdc00).contains(unit))?;
    // A backslash behind a backslash is text.
    let before = inner.as_bytes().iter().take(at).rev().take_while(|byte| **byte == b'\\').count();
    (before % 2 == 0).then_some(first)
}

/// The unit that an escape at the start of this means.
fn unit(text: &str) -> Option<u32> {
    let hex = text.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(hex, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Tape;

    /// The pieces as they go out, and what is left.
    fn pieces(raw: &[&str]) -> Vec<String> {
        let mut half = Half::default();
        let mut out = Vec::new();
        for raw in raw {
            let body = format!("\"{raw}\"");
            let mut tape = Tape::default();
            out.push(half.join(tape.read(body.as_bytes()).unwrap()).unwrap().into_owned());
        }
        out.extend(half.end().map(Cow::into_owned));
        out
    }

    #[test]
    fn a_pair_that_was_cut_is_whole_and_a_lone_half_stays_lost() {
        for (raw, expected) in [
            (&[r"a\ud83d", r"\ude00b"][..], &["a", "😀b"][..]),
            (&[r"\uD83D", r"\uDE00"], &["", "😀"]),
            (&[r"\ud83d", r"\ude00\ud83d", r"\ude00"], &["", "😀", "😀"]),
            (&[r"\ud83d", "", r"\ude00"], &["", "", "😀"]),
            (&[r"a\ud83d", "b"], &["a", "\u{fffd}b"]),
            (&[r"a\ud83d", r"\ud83d", r"\ude00"], &["a", "\u{fffd}", "😀"]),
            (&[r"a\ud83d"], &["a", "\u{fffd}"]),
            (&["a", r"\ude00"], &["a", "\u{fffd}"]),
            // No halves: text that looks like one, and a whole pair.
            (&[r"\\ud83d", r"\ude00"], &["\\ud83d", "\u{fffd}"]),
            (&[r"\\\ud83d", r"\ude00"], &["\\", "😀"]),
            (&[r"\ud83d\ude00", r"\n"], &["😀", "\n"]),
        ] {
            assert_eq!(pieces(raw), expected, "{raw:?}");
        }
    }
}
