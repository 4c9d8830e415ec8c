//! How an answer is wanted. Numbers stay as the client wrote them.

use std::borrow::Cow;

/// Everything that is not said by anyone.
#[derive(Debug, Default)]
pub(crate) struct Params<'a> {
    /// Tokens of answer at most, reasoning included.
    pub max_output: Option<u64>,
    // Numbers as they were written.
    pub temperature: Option<&'a str>,
    pub top_p: Option<&'a str>,
    pub top_k: Option<&'a str>,
    pub min_p: Option<&'a str>,
    pub top_a: Option<&'a str>,
    pub frequency_penalty: Option<&'a str>,
    pub presence_penalty: Option<&'a str>,
    pub repetition_penalty: Option<&'a str>,
    pub seed: Option<&'a str>,
    pub stop: Vec<Cow<'a, str>>,
    /// How many answers; 1 unless asked.
    pub choices: Option<u64>,
    pub logprobs: Option<bool>,
    pub top_logprobs: Option<u64>,
    /// An object as it was written.
    pub logit_bias: Option<&'a str>,
    pub format: Option<Format<'a>>,
    pub reasoning: Option<Reasoning<'a>>,
    /// `low`, `medium`, `high`.
    pub verbosity: Option<Cow<'a, str>>,
    pub service_tier: Option<Cow<'a, str>>,
    /// The end user, as the client names them.
    pub user: Option<Cow<'a, str>>,
    pub prompt_cache_key: Option<Cow<'a, str>>,
    /// An object of texts, as it was written.
    pub metadata: Option<&'a str>,
    /// What the answer may consist of, such as `text`, `audio`, `image`; empty means text.
    pub modalities: Vec<Cow<'a, str>>,
}

/// What shape the answer's text has.
#[derive(Debug, Clone)]
pub(crate) enum Format<'a> {
    Text,
    /// Any JSON object.
    Json,
    Schema {
        name: Option<Cow<'a, str>>,
        description: Option<Cow<'a, str>>,
        /// A JSON schema as it was written, or as what was written means it where a dialect has another language for them.
        schema: Cow<'a, str>,
        strict: Option<bool>,
    },
}

/// How much the model is to think, and what is shown of it. At most one of effort and budget is usual; a half that knows
/// only the other one converts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reasoning<'a> {
    /// False: no thinking at all. True with nothing else: as much as the model likes.
    pub enabled: Option<bool>,
    pub effort: Option<Effort>,
    /// Tokens of thinking at most.
    pub budget: Option<u64>,
    /// Whether thoughts are shown: none where the dialect's default holds.
    pub shown: Option<bool>,
    /// The wanted kind of summary, such as `auto`.
    pub summary: Option<Cow<'a, str>>,
}

/// Words for how much to think, from none to all there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
    Max,
}

impl Effort {
    const WORDS: [(Effort, &'static str); 7] = [
        (Effort::None, "none"),
        (Effort::Minimal, "minimal"),
        (Effort::Low, "low"),
        (Effort::Medium, "medium"),
        (Effort::High, "high"),
        (Effort::XHigh, "xhigh"),
        (Effort::Max, "max"),
    ];

    pub fn parse(word: &str) -> Option<Effort> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(effort, _)| *effort)
    }

    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(effort, _)| *effort == self).map_or("medium", |(_, word)| word)
    }

    /// Tokens of thinking for this word when the answer may have `limit` tokens: OpenRouter's ratios, at least 1,024 and
    /// at most 128,000. None for no thinking at all.
    pub fn budget(self, limit: u64) -> Option<u64> {
        let tenths_of_ten = match self {
            Effort::None => return None,
            Effort::Minimal => 10,
            Effort::Low => 20,
            Effort::Medium => 50,
            Effort::High => 80,
            Effort::XHigh | Effort::Max => 95,
        };
        Some((limit / 100 * tenths_of_ten + limit % 100 * tenths_of_ten / 100).clamp(1_024, 128_000))
    }

    /// The word that comes nearest to a budget of `tokens` out of `limit`.
    pub fn of_budget(tokens: u64, limit: u64) -> Effort {
        let ladder = [Effort::Minimal, Effort::Low, Effort::Medium, Effort::High, Effort::XHigh];
        match tokens {
            0 => Effort::None,
            _ => ladder
                .into_iter()
                .find(|effort| effort.budget(limit).is_some_and(|budget| tokens <= budget))
                .unwrap_or(Effort::XHigh),
        }
    }
}

/// Whether and which tools are to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToolChoice<'a> {
    Auto,
    None,
    /// Some tool must be called.
    Required,
    /// This tool must be called.
    Named(Cow<'a, str>),
    /// Only these may be called; some must be when `required`.
    Among {
        names: Vec<Cow<'a, str>>,
        required: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_budgets_of_thinking_convert_both_ways() {
        for (effort, word) in Effort::WORDS {
            assert_eq!((Effort::parse(word), effort.word()), (Some(effort), word));
        }
        assert_eq!(Effort::High.budget(10_000), Some(8_000));
        assert_eq!(Effort::Low.budget(1_000), Some(1_024));
        assert_eq!(Effort::Max.budget(u64::MAX), Some(128_000));
        assert_eq!(Effort::None.budget(10_000), None);
        for effort in [Effort::Minimal, Effort::Low, Effort::Medium, Effort::High, Effort::XHigh] {
            assert_eq!(Effort::of_budget(effort.budget(100_000).unwrap(), 100_000), effort);
        }
        assert_eq!(Effort::of_budget(0, 100_000), Effort::None);
    }
}
