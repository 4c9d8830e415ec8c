//! What a row says of the model behind it, by name, where its id does not tell or tells wrongly. Most names mean the same
//! as in Anthropic's dialect.

use crate::dialect::Quirks;

/// Their names; the place is the bit.
pub(super) const NAMES: &[&str] = &[
    "claude",
    "nova",
    "gpt",
    "forced-tool",
    "adaptive-thinking",
    "thinks-always",
    "no-sampling",
    "no-stop",
    "no-forced-tools",
    "no-cache-points",
];

/// The id is that of a profile or a deployment, and a model of Anthropic's is behind it.
pub(super) fn is_claude(quirks: Quirks) -> bool {
    quirks.has(0)
}

/// The same for Amazon's own models, of the generation that reasons.
pub(super) fn is_nova(quirks: Quirks) -> bool {
    quirks.has(1)
}

/// The same for OpenAI's.
pub(super) fn is_gpt(quirks: Quirks) -> bool {
    quirks.has(2)
}

/// The model knows neither native structured output nor strict tools: a tool is forced whose input is the answer.
pub(super) fn forces_tool(quirks: Quirks) -> bool {
    quirks.has(3)
}

/// Thinking is said as `adaptive` with an effort; budgets are refused.
pub(super) fn thinks_adaptively(quirks: Quirks) -> bool {
    quirks.has(4) || thinks_always(quirks)
}

/// Thinking cannot be switched off, and so tools cannot be forced.
pub(super) fn thinks_always(quirks: Quirks) -> bool {
    quirks.has(5)
}

/// The model refuses temperature, top-p and top-k.
pub(super) fn refuses_sampling(quirks: Quirks) -> bool {
    quirks.has(6)
}

/// The model refuses stop sequences.
pub(super) fn refuses_stop(quirks: Quirks) -> bool {
    quirks.has(7)
}

/// The model calls tools as it likes: none can be forced.
pub(super) fn forces_nothing(quirks: Quirks) -> bool {
    quirks.has(8) || thinks_always(quirks)
}

/// The model has no prompt cache.
pub(super) fn refuses_cache_points(quirks: Quirks) -> bool {
    quirks.has(9)
}
