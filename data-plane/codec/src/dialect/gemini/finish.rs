//! Why an answer ended, in Google's words and in ours. A word that nobody knows stays what it is.

use crate::model::Finish;

const WORDS: [(&str, Finish); 20] = [
    ("STOP", Finish::Stop),
    ("MAX_TOKENS", Finish::Length),
    ("SAFETY", Finish::Filter),
    ("RECITATION", Finish::Filter),
    ("PROHIBITED_CONTENT", Finish::Filter),
    ("BLOCKLIST", Finish::Filter),
    ("SPII", Finish::Filter),
    ("LANGUAGE", Finish::Filter),
    ("MODEL_ARMOR", Finish::Filter),
    ("IMAGE_SAFETY", Finish::Filter),
    ("IMAGE_PROHIBITED_CONTENT", Finish::Filter),
    ("IMAGE_RECITATION", Finish::Filter),
    ("MALFORMED_FUNCTION_CALL", Finish::Error),
    ("MALFORMED_RESPONSE", Finish::Error),
    ("UNEXPECTED_TOOL_CALL", Finish::Error),
    ("TOO_MANY_TOOL_CALLS", Finish::Error),
    ("MISSING_THOUGHT_SIGNATURE", Finish::Error),
    ("OTHER", Finish::Unknown),
    ("NO_IMAGE", Finish::Unknown),
    ("IMAGE_OTHER", Finish::Unknown),
];

fn known(word: &str) -> Option<&'static (&'static str, Finish)> {
    WORDS.iter().find(|(known, _)| *known == word)
}

/// What Google's word means. It says `STOP` whether calls were made or not.
pub(super) fn read(word: &str, has_calls: bool) -> Finish {
    match known(word).map(|(_, finish)| *finish) {
        Some(Finish::Stop) if has_calls => Finish::ToolCalls,
        Some(finish) => finish,
        None => Finish::Unknown,
    }
}

/// Google's word, and a message where the word says less than the provider did.
pub(super) fn write(finish: Finish, native: &str) -> (&'static str, Option<&str>) {
    let message = Some(native).filter(|native| !native.is_empty());
    let own =
        |least: &'static str| known(native).filter(|(_, known)| *known == finish).map_or(least, |(word, _)| *word);
    match finish {
        Finish::Stop | Finish::StopSequence | Finish::ToolCalls => ("STOP", None),
        Finish::Length => ("MAX_TOKENS", None),
        Finish::Filter => (own("SAFETY"), None),
        Finish::Refusal => ("SAFETY", message),
        Finish::Pause | Finish::Error => ("OTHER", message),
        Finish::Unknown => match own("") {
            "" => ("OTHER", message),
            word => (word, None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t30_a_stop_with_calls_is_calls_and_calls_are_a_stop() {
        assert_eq!((read("STOP", false), read("STOP", true)), (Finish::Stop, Finish::ToolCalls));
        assert_eq!(write(Finish::ToolCalls, "tool_use"), ("STOP", None));
        for word in ["SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII"] {
            assert_eq!(read(word, true), Finish::Filter);
            assert_eq!(write(Finish::Filter, word), (word, None));
        }
        assert_eq!(read("MALFORMED_FUNCTION_CALL", true), Finish::Error);
        assert_eq!(read("MAX_TOKENS", true), Finish::Length);
    }

    #[test]
    fn t29_an_unknown_reason_is_never_a_stop() {
        assert_eq!(read("BRAND_NEW", false), Finish::Unknown);
        assert_eq!(write(Finish::Unknown, "BRAND_NEW"), ("OTHER", Some("BRAND_NEW")));
        assert_eq!(write(Finish::Unknown, "NO_IMAGE"), ("NO_IMAGE", None));
        assert_eq!(write(Finish::Unknown, ""), ("OTHER", None));
        assert_eq!(write(Finish::Refusal, "refusal"), ("SAFETY", Some("refusal")));
        assert_eq!(write(Finish::Pause, "pause_turn"), ("OTHER", Some("pause_turn")));
        assert_eq!(write(Finish::Filter, "content_filter"), ("SAFETY", None));
    }
}
