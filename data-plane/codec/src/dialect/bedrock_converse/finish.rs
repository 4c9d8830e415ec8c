//! Why answers end: Bedrock's words and the canonical ones.

use crate::model::Finish;

const WORDS: [(&str, Finish); 11] = [
    ("end_turn", Finish::Stop),
    ("stop_sequence", Finish::StopSequence),
    ("max_tokens", Finish::Length),
    ("model_context_window_exceeded", Finish::Length),
    ("tool_use", Finish::ToolCalls),
    ("content_filtered", Finish::Filter),
    ("guardrail_intervened", Finish::Filter),
    ("refusal", Finish::Refusal),
    ("pause_turn", Finish::Pause),
    ("malformed_model_output", Finish::Error),
    ("malformed_tool_use", Finish::Error),
];

/// What a provider's word means for an answer with or without calls of the client's tools. Some models end an answer with
/// calls as if it were said all there is; and an answer that came as the input of a forced tool called nothing.
pub(super) fn parse(word: &str, has_calls: bool) -> Finish {
    let said = WORDS.iter().find(|(known, _)| *known == word).map_or(Finish::Unknown, |(_, finish)| *finish);
    match said {
        Finish::Stop if has_calls => Finish::ToolCalls,
        Finish::ToolCalls if !has_calls => Finish::Stop,
        said => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t29_every_documented_reason_is_known_and_an_unknown_one_is_no_good_end() {
        for (word, finish) in [
            ("end_turn", Finish::Stop),
            ("tool_use", Finish::Stop),
            ("max_tokens", Finish::Length),
            ("stop_sequence", Finish::StopSequence),
            ("guardrail_intervened", Finish::Filter),
            ("content_filtered", Finish::Filter),
            ("malformed_model_output", Finish::Error),
            ("malformed_tool_use", Finish::Error),
            ("model_context_window_exceeded", Finish::Length),
            ("tired", Finish::Unknown),
            ("", Finish::Unknown),
        ] {
            assert_eq!(parse(word, false), finish, "{word}");
        }
        for (word, finish) in [
            ("end_turn", Finish::ToolCalls),
            ("tool_use", Finish::ToolCalls),
            ("max_tokens", Finish::Length),
            ("malformed_tool_use", Finish::Error),
        ] {
            assert_eq!(parse(word, true), finish, "{word}");
        }
    }
}
