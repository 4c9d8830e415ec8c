//! A whole answer.

use std::borrow::Cow;

use domain::usage::TokenUsage;

use super::Part;

/// What a model answered.
#[derive(Debug, Default)]
pub(crate) struct Answer<'a> {
    /// The provider's id; empty when it gave none.
    pub id: Cow<'a, str>,
    /// Unix seconds; 0 when the provider does not say.
    pub created: u64,
    /// In the order of their indices. None at all where the prompt was blocked: `Finish::Filter` is said by an empty choice.
    pub choices: Vec<Choice<'a>>,
    /// None when the provider did not say.
    pub usage: Option<TokenUsage>,
    pub service_tier: Option<Cow<'a, str>>,
}

/// One of the answers that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Choice<'a> {
    pub index: u32,
    /// In the order in which the model made them.
    pub parts: Vec<Part<'a>>,
    /// None when the provider did not say why it ended, which is no good end.
    pub finish: Option<Finish>,
    /// The provider's own word for that.
    pub native: Cow<'a, str>,
    /// The stop sequence that was met.
    pub stopped_at: Option<Cow<'a, str>>,
    /// Log probabilities as OpenAI's chat writes them: a JSON object.
    pub logprobs: Option<Cow<'a, str>>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    /// A stop sequence was met.
    StopSequence,
    /// The limit of tokens, or of the context.
    Length,
    ToolCalls,
    /// Safety, recitation, forbidden content.
    Filter,
    /// The model itself will not.
    Refusal,
    /// The provider's own tools need another turn: not finished, to be sent again.
    Pause,
    /// The provider says that the answer failed.
    Error,
    /// A word that nobody here knows; shown as it is where that is possible, never as a good end of another kind.
    Unknown,
}
