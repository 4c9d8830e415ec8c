//! Looks for one thing in the bytes of a request head, and counts them: a `content-length`. The HTTP parser drops it when there is a
//! `transfer-encoding` beside it, but a request that carries both is how requests are smuggled, and is refused.
//! Never parses anything else.

/// What is looked for at the beginning of a line.
const NAME: &[u8; 15] = b"content-length:";
/// Place in a line that cannot become the name any more.
const ELSEWHERE: u8 = u8::MAX;

/// How far a head has been looked at, over any number of pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeadScan {
    was_seen: bool,
    /// A line that is not empty has begun; empty ones may stand before the first.
    has_begun: bool,
    has_length: bool,
    /// Bytes that came while the head was not over, and perhaps some of a body.
    bytes: u32,
    /// Letters of the name that the present line begins with.
    matched: u8,
}

impl HeadScan {
    /// A head whose first byte comes next.
    pub fn begun() -> HeadScan {
        HeadScan { was_seen: true, ..HeadScan::default() }
    }

    /// Whether a head was looked at at all.
    pub fn was_seen(self) -> bool {
        self.was_seen
    }

    /// Whether it has a `content-length`.
    pub fn has_length(self) -> bool {
        self.has_length
    }

    /// How long the head is at most.
    pub fn bytes_at_most(self) -> u64 {
        u64::from(self.bytes)
    }

    /// The same after some more bytes.
    pub fn fed(mut self, bytes: &[u8]) -> HeadScan {
        self.bytes = self.bytes.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let mut rest = bytes;
        while !self.has_length {
            if self.matched == ELSEWHERE {
                let Some(end) = memchr::memchr(b'\n', rest) else { break };
                rest = rest.get(end + 1..).unwrap_or_default();
                self.matched = 0;
            }
            let Some((byte, left)) = rest.split_first() else { break };
            if self.matched == 0 && matches!(byte, b'\r' | b'\n') {
                if self.has_begun {
                    // The end of the head.
                    break;
                }
                rest = left;
                continue;
            }
            self.has_begun = true;
            match NAME.get(usize::from(self.matched)) {
                Some(letter) if byte.eq_ignore_ascii_case(letter) => {
                    self.matched += 1;
                    self.has_length = usize::from(self.matched) == NAME.len();
                    rest = left;
                }
                // The byte is looked at again: it may be the line's end.
                _ => self.matched = ELSEWHERE,
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(pieces: &[&str]) -> bool {
        pieces.iter().fold(HeadScan::begun(), |scan, piece| scan.fed(piece.as_bytes())).has_length()
    }

    #[test]
    fn a_length_is_found_wherever_it_stands() {
        for (pieces, found) in [
            (&["POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"][..], true),
            (&["POST / HTTP/1.1\r\nhost: a\r\nCONTENT-LENGTH:5\r\n\r\n"], true),
            (&["POST / HTTP/1.1\r\nhost: a\r\ncontent-", "length: 5\r\n\r\n"], true),
            (&["POST / HTTP/1.1\r\nhost: a\r", "\nc", "ontent-length: 5\r\n\r\n"], true),
            (&["POST / HTTP/1.1\nhost: a\ncontent-length: 5\n\n"], true),
            (&["POST / HTTP/1.1\r\nx-content-length: 5\r\n\r\n"], false),
            (&["POST / HTTP/1.1\r\ncontent-lengths: 5\r\n\r\n"], false),
            (&["\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n"], true),
            (&["\r", "\n\n", "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n"], true),
            (&["POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\ncontent-length: 5\r\n"], false),
            (&["POST / HTTP/1.1\r\ncontent-type: c\r\ncontent-length: 5\r\n\r\n"], true),
            (&[""], false),
        ] {
            assert_eq!(scan(pieces), found, "{pieces:?}");
        }
    }

    #[test]
    fn it_does_not_matter_where_the_pieces_are_cut() {
        let head = "POST /v1 HTTP/1.1\r\nhost: a\r\nconcontent-length: 1\r\ncontent-length: 5\r\n\r\n";
        for at in 0..head.len() {
            let (one, other) = head.split_at(at);
            assert!(scan(&[one, other]), "{at}");
        }
    }
}
