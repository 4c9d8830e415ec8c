//! Searches that compile to vector instructions, in safe code: most of the time of a scan is spent here.

use memchr::memchr2;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the zero bytes of `word`; exact up to and including the lowest.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// The next quote or backslash at or after `at`; the length when there is none.
///
/// Most strings are short and most text has an escape every line, so the first bytes are looked at by hand, in steps
/// that compile to a few vector instructions, before a full search is worth its start.
#[inline]
pub(super) fn stop(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let mut near = 0;
    for block in rest.as_chunks::<16>().0.iter().take(8) {
        if has_stop(block) {
            return at + near + stop_in(block);
        }
        near += 16;
    }
    match memchr2(b'"', b'\\', rest.get(near..).unwrap_or_default()) {
        Some(far) => at + near + far,
        None => bytes.len(),
    }
}

/// Whether a block has a quote or a backslash. Arithmetic rather than logic, which the compiler would take apart.
#[inline]
fn has_stop(block: &[u8; 16]) -> bool {
    let found = block.iter().fold(0u8, |found, byte| found | u8::from(*byte == b'"') | u8::from(*byte == b'\\'));
    found != 0
}

/// The first quote or backslash of a block that has one.
#[inline]
fn stop_in(block: &[u8; 16]) -> usize {
    let marks = |word: u64| zeros(word ^ (ONES * 0x22)) | zeros(word ^ (ONES * 0x5c));
    let [low, high] = block.as_chunks::<8>().0 else { return 0 };
    match marks(u64::from_le_bytes(*low)) {
        0 => 8 + (marks(u64::from_le_bytes(*high)).trailing_zeros() / 8) as usize,
        found => (found.trailing_zeros() / 8) as usize,
    }
}

/// The smallest byte and all bytes ored, in one pass that vectorises.
pub(crate) fn survey(bytes: &[u8]) -> (u8, u8) {
    let mut least = [0xffu8; 32];
    let mut union = [0u8; 32];
    let (blocks, rest) = bytes.as_chunks::<32>();
    for block in blocks {
        for ((least, union), byte) in least.iter_mut().zip(&mut union).zip(block) {
            *least = (*least).min(*byte);
            *union |= *byte;
        }
    }
    let fold = |least: u8, union: u8, byte: &u8| (least.min(*byte), union | *byte);
    let (mut low, mut all) = rest.iter().fold((0xff, 0), |(low, all), byte| fold(low, all, byte));
    for (least, union) in least.iter().zip(&union) {
        low = low.min(*least);
        all |= *union;
    }
    (low, all)
}
