//! The numbers that these operations report, in the classes of the books.

use domain::usage::TokenUsage;

use crate::json::Value;

/// What an answer, or the last event of a stream, says was used; none when it says nothing.
pub(super) fn read(answer: Value<'_>) -> Option<TokenUsage> {
    if let Some(usage) = answer.get("usage").filter(Value::is_object) {
        return of_usage(usage);
    }
    // Rerankings at Cohere, embeddings at Google.
    let billed = answer.path(&["meta", "billed_units"]).or_else(|| answer.path(&["meta", "tokens"]));
    let prompt = billed.and_then(|billed| billed.count("input_tokens").or_else(|| billed.count("total_tokens")));
    let metadata = || answer.get("usageMetadata")?.count("promptTokenCount");
    prompt.or_else(metadata).map(|prompt| TokenUsage { prompt, ..TokenUsage::default() })
}

/// What is billed for: tokens as they were told and pieces as they were asked for. None where nobody knows either: the
/// request is estimated then.
pub(super) fn billed(told: Option<TokenUsage>, units: TokenUsage) -> Option<TokenUsage> {
    let used = TokenUsage { images: units.images, characters: units.characters, ..told.unwrap_or_default() };
    Some(used).filter(|used| told.is_some() || *used != TokenUsage::default())
}

fn of_usage(usage: Value<'_>) -> Option<TokenUsage> {
    let input = usage.count("input_tokens").or_else(|| usage.count("prompt_tokens"));
    let output = usage.count("output_tokens").or_else(|| usage.count("completion_tokens"));
    let total = usage.count("total_tokens");
    if input.is_none() && output.is_none() && total.is_none() {
        return None;
    }
    let input = input.or(total).unwrap_or(0);
    let output = output.unwrap_or_else(|| total.unwrap_or(input).saturating_sub(input));
    let details = |names: [&str; 2]| names.into_iter().find_map(|name| usage.get(name));
    let heard = details(["input_token_details", "input_tokens_details"]).and_then(|d| d.count("audio_tokens"));
    let cached = details(["input_token_details", "input_tokens_details"]).and_then(|d| d.count("cached_tokens"));
    let spoken = details(["output_token_details", "output_tokens_details"]).and_then(|d| d.count("audio_tokens"));
    let audio_input = heard.unwrap_or(0).min(input);
    let cache_read = cached.unwrap_or(0).min(input - audio_input);
    let audio_output = spoken.unwrap_or(0).min(output);
    Some(TokenUsage {
        prompt: input - audio_input - cache_read,
        cache_read,
        audio_input,
        completion: output - audio_output,
        audio_output,
        ..TokenUsage::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Tape;

    #[test]
    fn what_nobody_told_is_no_zero() {
        let tokens = TokenUsage { prompt: 3, ..TokenUsage::default() };
        let units = TokenUsage { images: 2, ..TokenUsage::default() };
        assert_eq!(billed(None, TokenUsage::default()), None);
        assert_eq!(billed(None, units), Some(units));
        assert_eq!(billed(Some(tokens), units), Some(TokenUsage { images: 2, ..tokens }));
        assert_eq!(billed(Some(TokenUsage::default()), TokenUsage::default()), Some(TokenUsage::default()));
    }

    #[test]
    fn every_shape_of_usage_is_read() {
        let tokens = |prompt, completion| TokenUsage { prompt, completion, ..TokenUsage::default() };
        for (json, expected) in [
            (r#"{"usage":{"prompt_tokens":20,"total_tokens":20}}"#, Some(tokens(20, 0))),
            (r#"{"usage":{"input_tokens":221,"output_tokens":415,"total_tokens":636}}"#, Some(tokens(221, 415))),
            (r#"{"usage":{"total_tokens":7}}"#, Some(tokens(7, 0))),
            (
                r#"{"usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":4,"audio_tokens":10},"output_tokens":3}}"#,
                Some(TokenUsage { audio_input: 10, ..tokens(4, 3) }),
            ),
            (r#"{"usage":{"type":"duration","seconds":9}}"#, None),
            (r#"{"meta":{"billed_units":{"search_units":1}}}"#, None),
            (r#"{"meta":{"billed_units":{"input_tokens":3}}}"#, Some(tokens(3, 0))),
            (r#"{"usageMetadata":{"promptTokenCount":8}}"#, Some(tokens(8, 0))),
            (r#"{"data":[]}"#, None),
        ] {
            let mut tape = Tape::default();
            assert_eq!(read(tape.read(json.as_bytes()).unwrap()), expected, "{json}");
        }
    }
}
