//! Why answers end: Anthropic's words and the canonical ones.

use std::borrow::Cow;

use crate::model::Finish;

const WORDS: [(&str, Finish); 7] = [
    ("end_turn", Finish::Stop),
    ("stop_sequence", Finish::StopSequence),
    ("max_tokens", Finish::Length),
    ("model_context_window_exceeded", Finish::Length),
    ("tool_use", Finish::ToolCalls),
    ("pause_turn", Finish::Pause),
    ("refusal", Finish::Refusal),
];

/// What a provider's word means.
pub(super) fn parse(word: &str) -> Finish {
    WORDS.iter().find(|(known, _)| *known == word).map_or(Finish::Unknown, |(_, finish)| *finish)
}

/// What an answer had in it when it ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Content {
    pub has_calls: bool,
    pub has_refusal: bool,
}

/// The word that a client reads. Some providers end an answer with calls as if it were said all there is, and clients go
/// on with their tools on one word only.
pub(super) fn word<'a>(finish: Finish, native: &'a str, content: Content) -> Cow<'a, str> {
    Cow::Borrowed(match finish {
        Finish::Stop if content.has_calls => "tool_use",
        Finish::Stop if content.has_refusal => "refusal",
        Finish::Filter => "refusal",
        Finish::Unknown | Finish::Error if !native.is_empty() => native,
        Finish::Unknown | Finish::Error => "error",
        other => WORDS.iter().find(|(_, finish)| *finish == other).map_or("end_turn", |(word, _)| word),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t29_every_reason_has_its_word_and_unknown_ones_are_shown_as_they_are() {
        for (known, finish) in WORDS.iter().filter(|(known, _)| *known != "model_context_window_exceeded") {
            assert_eq!(parse(known), *finish);
            assert_eq!(word(*finish, "native", Content::default()), *known);
        }
        assert_eq!(parse("model_context_window_exceeded"), Finish::Length);
        assert_eq!(parse("compaction"), Finish::Unknown);
        assert_eq!(word(Finish::Unknown, "compaction", Content::default()), "compaction");
        assert_eq!(word(Finish::Filter, "SAFETY", Content::default()), "refusal");
        assert_eq!(word(Finish::Stop, "stop", Content { has_refusal: true, ..Content::default() }), "refusal");
        assert_eq!(word(Finish::Stop, "stop", Content { has_calls: true, ..Content::default() }), "tool_use");
        assert_eq!(word(Finish::Length, "length", Content { has_calls: true, ..Content::default() }), "max_tokens");
    }
}
