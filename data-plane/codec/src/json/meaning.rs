//! What raw text means, as far as it can be told without building anything: lengths and whole numbers.

/// How many bytes the text of a raw string has once its escapes are taken back.
pub(crate) fn meant_len(raw: &[u8], escaped: bool) -> usize {
    if !escaped {
        return raw.len();
    }
    let mut len = 0;
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (step, worth) = match rest.get(at + 1) {
            Some(b'u') => (6, unicode_len(rest.get(at + 2..at + 6).unwrap_or_default())),
            _ => (2, 1),
        };
        len += at + worth;
        rest = rest.get(at + step..).unwrap_or_default();
    }
    len + rest.len()
}

/// UTF-8 bytes of one `\u` escape; each half of a pair counts two, so pairs count four.
fn unicode_len(hex: &[u8]) -> usize {
    let code = std::str::from_utf8(hex).ok().and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(0);
    match code {
        0..=0x7f => 1,
        0x80..=0x7ff | 0xd800..=0xdfff => 2,
        _ => 3,
    }
}

/// The number that these digits are; none when they are anything else, or too many.
pub(crate) fn whole_number(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

/// The count that a number says. `7.0` and `7e0` are counts as well: some providers write them so.
pub(crate) fn written_count(number: &[u8]) -> Option<u64> {
    whole_number(number).or_else(|| {
        let number: f64 = std::str::from_utf8(number).ok()?.parse().ok()?;
        let is_whole = (0.0..9.0e15).contains(&number) && number.fract() == 0.0;
        // In range, so the cast is exact.
        is_whole.then_some(number as u64)
    })
}
