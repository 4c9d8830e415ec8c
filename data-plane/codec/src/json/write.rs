//! Strings as JSON: written, and told apart from others without writing them. Nearly no name needs an escape.

use smallvec::SmallVec;

/// New text for a body. The names and costs that a usual one gets fit without an allocation.
pub type NewText = SmallVec<[u8; 128]>;

/// Writes `text` as a JSON string, quotes included.
pub(crate) fn write_string(out: &mut NewText, text: &str) {
    if is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Every str has a JSON form.
        out.extend_from_slice(serde_json::to_string(text).unwrap_or_default().as_bytes());
    }
}

/// Whether `json` is the JSON string that would be written for `text`.
pub(crate) fn is_string(json: &[u8], text: &str) -> bool {
    match json {
        [b'"', inner @ .., b'"'] if is_plain(text) => inner == text.as_bytes(),
        _ if is_plain(text) => false,
        _ => serde_json::to_string(text).is_ok_and(|written| written.as_bytes() == json),
    }
}

/// Whether a text needs no escapes.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & (byte >= 0x20) & (byte != b'"') & (byte != b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_written_as_everybody_writes_it_and_known_again() {
        let texts = ["", "plain/name-1", "\"", "back\\slash", "line\n", "\u{1}", "\u{7f}", "\u{2028}ä😀"];
        for text in texts {
            let mut out = NewText::new();
            write_string(&mut out, text);
            assert_eq!(out.as_slice(), serde_json::to_vec(text).unwrap());
            for other in texts {
                assert_eq!(is_string(&out, other), text == other);
            }
        }
        for odd in [r#""\u0070lain""#, "plain", "\"", "", "\"plain"] {
            assert!(!is_string(odd.as_bytes(), "plain"));
        }
    }
}
