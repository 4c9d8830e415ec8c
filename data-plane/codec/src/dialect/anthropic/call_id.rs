//! Ids of tool calls. Anthropic takes letters, digits, `_` and `-`; other ids are changed, the same one always to the same
//! other one, so that calls and results still belong together.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

/// Letters that stay of a changed id.
const MOST: usize = 48;

fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '-'
}

/// An id that is taken.
pub(super) fn taken(id: &str) -> Cow<'_, str> {
    if !id.is_empty() && id.chars().all(is_letter) {
        return Cow::Borrowed(id);
    }
    let mut out: String = id.chars().map(|letter| if is_letter(letter) { letter } else { '_' }).take(MOST).collect();
    out.push('_');
    for byte in Sha256::digest(id.as_bytes()).iter().take(8) {
        out.push_str(&format!("{byte:02x}"));
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t20_ids_stay_where_they_can_and_others_change_the_same_way_always() {
        for id in ["toolu_01A-b", "call_1", "7"] {
            assert_eq!(taken(id), id);
        }
        let long = "ä".repeat(500);
        let odd = ["", "a.b", "a:b", "functions.read:0", "größe", &long, " "];
        for id in odd {
            let new = taken(id);
            assert!(new.len() <= 80 && new.chars().all(is_letter) && new == taken(id), "{id} -> {new}");
            assert_eq!(taken(&new), new);
        }
        let all: std::collections::HashSet<_> = odd.iter().map(|id| taken(id)).collect();
        assert_eq!(all.len(), odd.len());
    }
}
