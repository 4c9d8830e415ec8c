//! The numbers of `usageMetadata`, as classes that do not overlap, and back. Google counts cached tokens inside the
//! prompt, thoughts beside the candidates, and what its own tools put into the prompt beside the prompt. Never a price.

use domain::usage::TokenUsage;

use crate::json::{Value, Writer};

/// More tokens than anybody has ever used at once; a larger count is a mistake and says nothing.
const MOST: u64 = 10_000_000_000;

#[derive(Debug, Clone, Copy, Default)]
struct Numbers {
    prompt: Option<u64>,
    candidates: Option<u64>,
    total: Option<u64>,
    cached: u64,
    thoughts: u64,
    tools: u64,
    audio_input: u64,
    audio_cached: u64,
    audio_output: u64,
}

/// The tokens by class; none when there is no count at all. An explicit zero is a count.
pub(super) fn read(usage: Value<'_>) -> Option<TokenUsage> {
    let mut numbers = Numbers::default();
    for (name, value) in usage.fields() {
        let count = || value.u64().unwrap_or(0);
        match &*name {
            "promptTokenCount" => numbers.prompt = value.u64(),
            "candidatesTokenCount" => numbers.candidates = value.u64(),
            "totalTokenCount" => numbers.total = value.u64(),
            "cachedContentTokenCount" => numbers.cached = count(),
            "thoughtsTokenCount" => numbers.thoughts = count(),
            "toolUsePromptTokenCount" => numbers.tools = count(),
            "promptTokensDetails" | "toolUsePromptTokensDetails" => numbers.audio_input += audio(value),
            "cacheTokensDetails" => numbers.audio_cached = audio(value),
            "candidatesTokensDetails" => numbers.audio_output = audio(value),
            _ => {}
        }
    }
    numbers.tokens()
}

/// Tokens of sound in a list of counts by modality.
fn audio(details: Value<'_>) -> u64 {
    let is_audio = |detail: &Value<'_>| detail.get("modality").is_some_and(|modality| modality.is_text("AUDIO"));
    let counts = details.items().filter(is_audio).filter_map(|detail| detail.count("tokenCount"));
    counts.fold(0, |sum, count| sum.saturating_add(count.min(MOST)))
}

impl Numbers {
    fn tokens(&self) -> Option<TokenUsage> {
        let all = [self.prompt, self.candidates, self.total, Some(self.cached), Some(self.thoughts), Some(self.tools)];
        if all.into_iter().flatten().any(|count| count > MOST) {
            return None;
        }
        if self.prompt.is_none() && self.candidates.is_none() && self.total.is_none() {
            return None;
        }
        let beside = self.thoughts.saturating_add(self.tools);
        let rest =
            |known: Option<u64>| self.total.unwrap_or(0).saturating_sub(beside.saturating_add(known.unwrap_or(0)));
        let prompt = self.prompt.unwrap_or_else(|| rest(self.candidates));
        let mut input = prompt.saturating_add(self.tools);
        let cache_read = part(&mut input, self.cached.min(prompt));
        let audio_input = part(&mut input, self.audio_input.saturating_sub(self.audio_cached));
        let mut completion = self.candidates.unwrap_or_else(|| rest(Some(prompt)));
        let audio_output = part(&mut completion, self.audio_output);
        Some(TokenUsage {
            prompt: input,
            cache_read,
            audio_input,
            completion,
            audio_output,
            reasoning: self.thoughts,
            ..TokenUsage::default()
        })
    }
}

/// Takes a class out of what is left, so that classes never add up to more than the whole.
fn part(left: &mut u64, wanted: u64) -> u64 {
    let part = wanted.min(*left);
    *left -= part;
    part
}

/// Writes the object as Google's clients know it.
pub(super) fn write(usage: &TokenUsage, out: &mut Writer) {
    let some = |count: u64| Some(count).filter(|count| *count > 0);
    let (input, output) = (usage.prompt_total(), usage.completion_total());
    out.begin_object();
    out.field_u64("promptTokenCount", input);
    out.field_u64("candidatesTokenCount", output.saturating_sub(usage.reasoning));
    out.opt_u64("cachedContentTokenCount", some(usage.cache_read));
    out.opt_u64("thoughtsTokenCount", some(usage.reasoning));
    out.field_u64("totalTokenCount", input.saturating_add(output));
    details("promptTokensDetails", input.saturating_sub(usage.audio_input), usage.audio_input, out);
    if usage.audio_output > 0 {
        details("candidatesTokensDetails", usage.completion, usage.audio_output, out);
    }
    out.end_object();
}

fn details(name: &str, text: u64, audio: u64, out: &mut Writer) {
    out.key(name);
    out.begin_array();
    for (modality, count) in [("TEXT", text), ("AUDIO", audio)] {
        if count > 0 {
            out.begin_object();
            out.field_str("modality", modality);
            out.field_u64("tokenCount", count);
            out.end_object();
        }
    }
    out.end_array();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Tape;

    fn tokens(json: &str) -> Option<TokenUsage> {
        read(Tape::default().read(json.as_bytes()).unwrap())
    }

    #[test]
    fn t32_classes_do_not_overlap() {
        let all = tokens(
            r#"{"promptTokenCount":100,"cachedContentTokenCount":60,"candidatesTokenCount":30,"thoughtsTokenCount":7,
            "toolUsePromptTokenCount":11,"totalTokenCount":148,
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":50},{"modality":"AUDIO","tokenCount":50}],
            "cacheTokensDetails":[{"modality":"AUDIO","tokenCount":45}],
            "candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":20}]}"#,
        );
        let expected = TokenUsage {
            prompt: 46,
            cache_read: 60,
            audio_input: 5,
            completion: 10,
            audio_output: 20,
            reasoning: 7,
            ..TokenUsage::default()
        };
        assert_eq!(all, Some(expected));
        assert_eq!(expected.prompt_total() + expected.completion_total(), 148);
    }

    #[test]
    fn t36_missing_zero_and_impossible_stay_distinct() {
        assert_eq!(tokens(r#"{"trafficType":"ON_DEMAND"}"#), None);
        assert_eq!(tokens("{}"), None);
        assert_eq!(tokens(r#"{"promptTokenCount":0}"#), Some(TokenUsage::default()));
        assert_eq!(tokens(r#"{"promptTokenCount":99999999999}"#), None);
        let some =
            |prompt, completion, reasoning| Some(TokenUsage { prompt, completion, reasoning, ..TokenUsage::default() });
        assert_eq!(tokens(r#"{"promptTokenCount":15,"thoughtsTokenCount":2,"totalTokenCount":17}"#), some(15, 0, 2));
        assert_eq!(tokens(r#"{"promptTokenCount":15,"thoughtsTokenCount":2,"totalTokenCount":20}"#), some(15, 3, 2));
        assert_eq!(tokens(r#"{"totalTokenCount":20}"#), some(20, 0, 0));
        assert_eq!(tokens(r#"{"promptTokenCount":2,"cachedContentTokenCount":9}"#).unwrap().cache_read, 2);
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for seed in 0..2_000u64 {
            let number = |at: u64| (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (at * 9)) % 500 * (seed >> at & 1);
            let usage = TokenUsage {
                prompt: number(0),
                cache_read: number(1),
                completion: number(2),
                reasoning: number(3),
                audio_input: number(4),
                audio_output: number(5),
                ..TokenUsage::default()
            };
            let mut out = Writer::into(Vec::new());
            write(&usage, &mut out);
            assert_eq!(tokens(std::str::from_utf8(&out.into_buffer()).unwrap()), Some(usage));
        }
    }
}
