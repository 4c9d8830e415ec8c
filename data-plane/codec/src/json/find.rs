//! Searches with vector instructions, in safe code: most of the time of a scan is spent here.

use wide::u8x16;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Bytes that are looked at together.
pub(super) const BLOCK: usize = 64;

/// Marks the quotes and backslashes among the [`BLOCK`] bytes from `at`, the first in the lowest bit; none at the end.
#[inline]
pub(super) fn stops(bytes: &[u8], at: usize) -> Option<u64> {
    let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
    if let Some(block) = rest.first_chunk() {
        return Some(stops_in(block));
    }
    let mut block = [0; BLOCK];
    block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    Some(stops_in(&block))
}

/// Where a string that starts at `at` ends, when it is short and has no backslash: most have none. Word by word, since
/// the next string cannot be read before this is known, and a guessed branch is faster than a vector's answer.
#[inline]
pub(super) fn short(bytes: &[u8], at: usize) -> Option<usize> {
    let near = bytes.get(at..)?.first_chunk::<16>()?;
    for (word, before) in near.as_chunks().0.iter().zip([at, at + 8]) {
        let word = u64::from_le_bytes(*word);
        let marks = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if marks != 0 {
            let end = before + marks.trailing_zeros() as usize / 8;
            return (bytes.get(end) == Some(&b'"')).then_some(end);
        }
    }
    None
}

/// Marks the zero bytes of `word`; exact up to and including the lowest.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

#[inline]
fn stops_in(block: &[u8; BLOCK]) -> u64 {
    let parts = block.as_chunks().0.iter().rev();
    parts.fold(0, |stops, part| (stops << 16) | u64::from(marks(part)))
}

/// Marks the quotes and backslashes of a part.
#[inline]
fn marks(part: &[u8; 16]) -> u32 {
    let part = u8x16::new(*part);
    let stops = part.simd_eq(u8x16::splat(b'"')) | part.simd_eq(u8x16::splat(b'\\'));
    stops.to_bitmask()
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
