//! API keys: their text, what is stored of them, and what they may do.
//!
//! A key reads `tg_live_` + 10 characters of public id + 32 random characters (190 bits) + 6 characters of CRC-32, all
//! base 62. A typo never reaches a lookup; what is stored and looked up is the SHA-256 of the whole text.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::ids::{KeyId, OrgId};
use crate::limits::{Budget, Rate};
use crate::routing::Rules;
use crate::time::Timestamp;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PUBLIC: usize = 10;
const SECRET: usize = 32;
const CHECK: usize = 6;
const BODY: usize = PUBLIC + SECRET;

/// What a key is for; also what its text starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// Inference.
    Live,
    /// The admin API.
    Admin,
}

impl KeyKind {
    /// What the text starts with.
    pub fn prefix(self) -> &'static str {
        match self {
            KeyKind::Live => "tg_live_",
            KeyKind::Admin => "tg_adm_",
        }
    }
}

/// A well-formed key text. It is a secret: no Debug, no Display.
pub struct KeyText<'a> {
    text: &'a str,
}

/// Why a text cannot be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("not shaped like a key")]
    Shape,
    #[error("the checksum does not fit: a typo")]
    Checksum,
}

impl<'a> KeyText<'a> {
    /// Reads a key of one kind; anything that could not have been made by us is refused before a lookup.
    pub fn parse(kind: KeyKind, text: &'a str) -> Result<KeyText<'a>, BadKey> {
        let rest = text.strip_prefix(kind.prefix()).ok_or(BadKey::Shape)?;
        let (body, check) = rest.split_at_checked(BODY).ok_or(BadKey::Shape)?;
        if check.len() != CHECK || !rest.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(BadKey::Shape);
        }
        if checksum(body) == check.as_bytes() { Ok(KeyText { text }) } else { Err(BadKey::Checksum) }
    }

    /// The SHA-256 of the whole text.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text)
    }

    /// The part that may be shown to tell keys apart: prefix and public id.
    pub fn public_part(&self) -> &'a str {
        let end = self.text.len().saturating_sub(SECRET + CHECK);
        self.text.get(..end).unwrap_or("")
    }
}

/// Makes a key text from random bytes: `PUBLIC + SECRET` of them are used, each below 248 (see [`usable`]).
fn encode(kind: KeyKind, picks: &[u8; BODY]) -> String {
    let body: String = picks.iter().map(|pick| char::from(digit62(u32::from(*pick)))).collect();
    let check: String = checksum(&body).map(char::from).iter().collect();
    format!("{}{body}{check}", kind.prefix())
}

/// Makes a new key text; `random` hands out uniformly random bytes.
pub fn generate(kind: KeyKind, mut random: impl FnMut() -> u8) -> String {
    let mut picks = [0u8; BODY];
    for slot in &mut picks {
        // 248 = 4 × 62: bytes above it would favour the first digits.
        *slot = loop {
            let byte = random();
            if byte < 248 {
                break byte;
            }
        };
    }
    encode(kind, &picks)
}

fn digit62(value: u32) -> u8 {
    BASE62.get(usize::try_from(value % 62).unwrap_or(0)).copied().unwrap_or(b'0')
}

fn checksum(body: &str) -> [u8; CHECK] {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = [b'0'; CHECK];
    for slot in digits.iter_mut().rev() {
        *slot = digit62(rest);
        rest /= 62;
    }
    digits
}

/// The SHA-256 of a key's text: what is stored and looked up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a text.
    pub fn of(text: &str) -> Self {
        Digest(sha2::Sha256::digest(text.as_bytes()).into())
    }

    /// A digest from its bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Digest(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse_hex(text: &str) -> Option<Self> {
        let mut bytes = [0u8; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        for (slot, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *slot = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
        }
        Some(Digest(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a key may do. Many keys share one policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    pub budget: Option<Budget>,
    /// Requests per minute.
    pub requests: Option<Rate>,
    /// Tokens per minute.
    pub tokens: Option<Rate>,
    /// Patterns of model ids with `*`; empty allows every model.
    pub allow_models: Vec<String>,
    /// Where its requests may go, beside what the organisation's rules say.
    pub routing: Option<Arc<Rules>>,
    /// Restrictions that this program does not know. A key with any is refused, never waved through.
    pub unknown_restrictions: u64,
}

impl Policy {
    /// Whether the policy lets a key use this model.
    pub fn allows_model(&self, id: &str) -> bool {
        self.allow_models.is_empty() || self.allow_models.iter().any(|pattern| glob(pattern, id))
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any run of characters.
pub fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(head) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        match left.find(part) {
            Some(at) => left = left.get(at + part.len()..).unwrap_or(""),
            None => return false,
        }
    }
    true
}

/// A key as the control plane keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub id: KeyId,
    pub org: OrgId,
    pub name: String,
    pub digest: Digest,
    /// `tg_live_` and the public id, to tell keys apart on a list.
    pub hint: String,
    pub policy: Policy,
    pub expires_at: Option<Timestamp>,
    pub disabled: bool,
    pub revoked_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made(seed: u8) -> String {
        let mut state = u32::from(seed);
        generate(KeyKind::Live, || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
    }

    #[test]
    fn a_key_is_known_by_its_shape_and_checksum() {
        let text = made(7);
        assert_eq!(text.len(), 8 + 48);
        assert!(KeyText::parse(KeyKind::Live, &text).is_ok());
        assert!(KeyText::parse(KeyKind::Admin, &text).is_err());
        assert_eq!(KeyText::parse(KeyKind::Live, &text).ok().map(|key| key.public_part().len()), Some(18));
        assert!(KeyText::parse(KeyKind::Live, "").is_err());
        assert!(KeyText::parse(KeyKind::Live, "tg_live_ä").is_err());
    }

    #[test]
    fn a_digest_has_only_hexadecimal_digits() {
        // Found by fuzzing: a sign passed as the first digit of a byte.
        assert_eq!(Digest::parse_hex("2d711642b726b04401627ca9fbac32f5c8530fb190+cc4db02258717921a4881"), None);
        assert!(Digest::parse_hex(&"ab".repeat(32)).is_some());
    }

    #[test]
    fn globs_match_whole_ids() {
        for (pattern, id, fits) in [
            ("openai/*", "openai/gpt-4o", true),
            ("openai/*", "azure/gpt-4o", false),
            ("*", "a/b", true),
            ("*/gpt-*-mini", "openai/gpt-4o-mini", true),
            ("*/gpt-*-mini", "openai/gpt-4o", false),
            ("openai/gpt-4o", "openai/gpt-4o-mini", false),
            ("a*a", "a", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(glob(pattern, id), fits, "{pattern} {id}");
        }
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_noticed(seed in any::<u8>(), at in 8usize..56, other in 0usize..62) {
            let text = made(seed);
            let mut bytes = text.clone().into_bytes();
            let replacement = BASE62[other];
            prop_assume!(bytes[at] != replacement);
            bytes[at] = replacement;
            let typo = String::from_utf8(bytes).unwrap();
            prop_assert!(KeyText::parse(KeyKind::Live, &typo).is_err());
        }

        #[test]
        fn any_text_is_parsed_without_panic(text in "\\PC*") {
            let _ = KeyText::parse(KeyKind::Live, &text);
        }

        #[test]
        fn a_digest_survives_its_text(bytes in any::<[u8; 32]>()) {
            let digest = Digest::from_bytes(bytes);
            prop_assert_eq!(Digest::parse_hex(&digest.to_string()), Some(digest));
        }
    }
}
