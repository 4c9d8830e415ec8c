//! Short texts for headers, written one after another into blocks that they share: a value then costs no allocation of
//! its own. A block goes when the last of its texts does, so what is kept for long should not be written here.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;

/// Room of a block, in bytes: some thirty answers.
const BLOCK: usize = 4 * 1024;

/// The texts of one worker.
#[derive(Default)]
pub(crate) struct Ink {
    block: RefCell<BytesMut>,
}

impl Ink {
    /// A text of these bytes.
    fn write(&self, text: &[u8]) -> Bytes {
        let mut block = self.block.borrow_mut();
        if block.capacity() < text.len() {
            // Takes the same block again where all its texts are gone.
            block.reserve(BLOCK.max(text.len()));
        }
        block.extend_from_slice(text);
        block.split().freeze()
    }

    /// A header of these bytes; none when they cannot stand in one.
    pub fn header(&self, text: &[u8]) -> Option<HeaderValue> {
        HeaderValue::from_maybe_shared(self.write(text)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_side_by_side_in_one_block() {
        let ink = Ink::default();
        let (one, other) = (ink.write(b"one"), ink.write(b"other"));
        assert_eq!((&one[..], &other[..]), (&b"one"[..], &b"other"[..]));
        assert_eq!(one.as_ptr().wrapping_add(one.len()), other.as_ptr());
        let long = vec![b'x'; 2 * BLOCK];
        assert_eq!(ink.write(&long), long);
    }

    #[test]
    fn what_cannot_stand_in_a_header_does_not() {
        assert!(Ink::default().header(b"a\r\nb").is_none());
    }
}
