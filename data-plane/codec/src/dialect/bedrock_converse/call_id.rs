//! Ids of tool calls. Bedrock takes up to 64 letters, digits, `_`, `-`, `.` and `:`; other ids are changed, the same one
//! always to the same other one, so that calls and results still belong together.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

/// Letters that are taken.
const MOST: usize = 64;
/// Letters that stay of a changed id, before `_` and sixteen letters of a digest.
const KEPT: usize = 40;

fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | ':')
}

/// An id that is taken.
pub(super) fn taken(id: &str) -> Cow<'_, str> {
    if (1..=MOST).contains(&id.len()) && id.chars().all(is_letter) {
        return Cow::Borrowed(id);
    }
    let mut out: String = id.chars().map(|letter| if is_letter(letter) { letter } else { '_' }).take(KEPT).collect();
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
        for id in ["tooluse_01A-b", "functions.read:0", "7", &"x".repeat(64)] {
            assert_eq!(taken(id), id);
        }
        let (long, longer) = ("x".repeat(65), format!("{}y", "x".repeat(64)));
        let odd = ["", " ", "a/b", "a b", "größe", "call|1", &long, &longer];
        for id in odd {
            let new = taken(id);
            assert!(new.len() <= MOST && new.chars().all(is_letter) && new == taken(id), "{id} -> {new}");
            assert_eq!(taken(&new), new);
        }
        let all: std::collections::HashSet<_> = odd.iter().map(|id| taken(id)).collect();
        assert_eq!(all.len(), odd.len());
    }
}
