//! What this provider signs and how it knows its own again, without a memory: signatures over model, text and calls, ids
//! that say whether the call was thought about.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::base64;

/// The documented texts that stand in for a signature of a foreign call.
pub const DUMMIES: [&str; 2] = ["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"];
/// Letters of the part of an id that is ours.
const MARK: usize = 22;

fn digest(parts: &[&str]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(b"the strict provider");
    for part in parts {
        hash.update(u64::try_from(part.len()).expect("a length").to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

/// Lower-case hex digits of a digest.
pub fn hex(parts: &[&str], digits: usize) -> String {
    let text: String = digest(parts).iter().map(|byte| format!("{byte:02x}")).collect();
    text[..digits].to_owned()
}

/// A signature over these parts: base64 with everything in it that careless hands break.
pub fn signature(parts: &[&str]) -> String {
    let mut bytes = b"\x12\xfb\xff".to_vec();
    bytes.extend(digest(parts));
    bytes.extend(digest(&[&[parts, &["again"]].concat()[..]].concat()));
    base64::encode(&bytes)
}

/// The part of a call's id that is ours; says whether the call was thought about.
pub fn mark(seed: &str, at: usize, is_thought: bool) -> String {
    format!("{}{}", if is_thought { 't' } else { 'p' }, hex(&["call", seed, &at.to_string()], MARK - 1))
}

/// Whether a call with this id was made here, and if so whether it was thought about.
pub fn was_thought(id: &str, prefix: &str) -> Option<bool> {
    let mark = id.strip_prefix(prefix)?;
    let (flag, rest) = mark.split_at_checked(1)?;
    let is_ours =
        rest.len() == MARK - 1 && rest.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    match flag {
        "t" if is_ours => Some(true),
        "p" if is_ours => Some(false),
        _ => None,
    }
}

/// What the Responses dialect carries sealed: which model thought, and before what.
#[derive(Debug, PartialEq, Eq)]
pub struct Sealed {
    pub model: String,
    /// The kind of the item that follows: `function_call` or `message`.
    pub next: String,
    /// The id of the item that it stands in.
    pub id: String,
}

const SEAL: &str = "gAAAAAB";

/// Different each time for another `nonce`, as the provider's are, and always good.
pub fn seal(sealed: &Sealed, nonce: u8) -> String {
    let payload = json!([sealed.model, sealed.next, sealed.id, nonce]).to_string();
    let bytes = [payload.as_bytes(), &digest(&["seal", &payload])].concat();
    format!("{SEAL}{}", base64::encode_url(&bytes))
}

/// What was sealed here; none for anything else, and after any change.
pub fn open(text: &str) -> Option<Sealed> {
    let bytes = base64::decode(text.strip_prefix(SEAL)?)?;
    let (payload, mac) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    let payload = std::str::from_utf8(payload).ok()?;
    let is_ours = digest(&["seal", payload]) == mac && format!("{SEAL}{}", base64::encode_url(&bytes)) == text;
    let parts: Value = is_ours.then(|| serde_json::from_str(payload).ok()).flatten()?;
    let part = |at: usize| parts[at].as_str().map(str::to_owned);
    Some(Sealed { model: part(0)?, next: part(1)?, id: part(2)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(signature(&["ab", "c"]), signature(&["a", "bc"]));
        assert_eq!(signature(&["ab", "c"]), signature(&["ab", "c"]));
        assert!(signature(&[]).len() > 80);
    }

    #[test]
    fn an_id_of_ours_is_known_again() {
        assert_eq!(was_thought(&format!("call_{}", mark("s", 0, true)), "call_"), Some(true));
        assert_eq!(was_thought(&format!("call_{}", mark("s", 0, false)), "call_"), Some(false));
        for foreign in ["call_", "call_abc", "toolu_01825dXWLSoJwCst1qTsiWdb", "call_tZ0000000000000000000000"] {
            assert_eq!(was_thought(foreign, "call_"), None, "{foreign}");
        }
    }

    #[test]
    fn a_seal_opens_only_unchanged() {
        let sealed = || Sealed { model: "m".to_owned(), next: "message".to_owned(), id: "rs_1".to_owned() };
        for nonce in 0..3 {
            let text = seal(&sealed(), nonce);
            assert_eq!(open(&text), Some(sealed()));
            let changed = text.replacen('e', "f", 1);
            assert!(changed == text || open(&changed).is_none());
            assert_eq!(open(text.trim_end_matches('=')).is_none(), text.ends_with('='));
        }
    }
}
