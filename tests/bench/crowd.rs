//! Keys by number: the same number gives the same key text everywhere, so that the stand-in control plane and the load
//! agree on a million of them without telling each other. The form is the documented one, checksum included.

use sha2::Digest;

/// Numbers from here on are keys that nobody was ever given.
pub const STRANGERS: u64 = 1 << 40;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX: &str = "tg_live_";
const BODY: usize = 42;
const CHECK: usize = 6;

/// The text of a key: prefix, public and secret part, and their CRC-32.
pub fn text(number: u64) -> String {
    let mut text = String::with_capacity(PREFIX.len() + BODY + CHECK);
    text.push_str(PREFIX);
    let mut state = number;
    text.extend((0..BODY).map(|_| digit(mixed(&mut state))));
    let sum = crc32fast::hash(text.get(PREFIX.len()..).unwrap_or_default().as_bytes());
    // Most significant digit first.
    text.extend((0..CHECK as u32).rev().map(|place| digit(u64::from(sum) / 62_u64.pow(place))));
    text
}

/// The same key with a typo: it fails at the checksum, before anybody looks it up.
pub fn with_a_typo(number: u64) -> String {
    let mut text = text(number);
    let last = text.pop();
    text.push(if last == Some('0') { '1' } else { '0' });
    text
}

/// What a proxy is told of a key.
pub fn digest(number: u64) -> [u8; 32] {
    digest_of(&text(number))
}

/// The SHA-256 of a key's text.
pub fn digest_of(text: &str) -> [u8; 32] {
    sha2::Sha256::digest(text).into()
}

fn digit(value: u64) -> char {
    DIGITS.get((value % 62) as usize).copied().map_or('0', char::from)
}

/// The next number of a well-mixed sequence (splitmix64).
fn mixed(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_documented_form_and_is_always_the_same() {
        let key = text(7);
        assert_eq!(key.len(), 56);
        assert!(key.starts_with("tg_live_") && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
        assert_eq!(key, text(7));
        assert_ne!(digest(7), digest(8));
    }

    #[test]
    fn a_typo_changes_the_checksum_and_nothing_else() {
        let (good, bad) = (text(9), with_a_typo(9));
        assert_eq!(good[..55], bad[..55]);
        assert_ne!(good, bad);
    }
}
