//! Small deviations of providers that speak this dialect, switched on by name on an endpoint's row. The first four change
//! bytes that pass from the dialect to itself; the others matter to translated requests only.

use crate::dialect::Quirks;
use crate::model::Effort;

/// Their names; the place is the bit.
pub(super) const NAMES: &[&str] = &[
    "max-completion-tokens",
    "no-stream-options",
    "include-reasoning",
    "openrouter-fields",
    "extended-sampling",
    "reasoning-content-back",
    "no-developer-role",
    "no-json-schema",
    "no-parallel-tools",
    "random-seed",
    "tool-choice-any",
    "max-4-stops",
    "core-fields",
    "thinking-blocks",
    "document-url",
    "nine-letter-ids",
    "no-allowed-tools",
    "no-reasoning-effort",
    "basic-efforts",
    "no-sampling",
    "cache-marks",
    "string-content",
    "no-stop",
    "no-penalties",
    "no-logprobs",
    "low-high-max-efforts",
    "none-high-efforts",
    "thinking-switch",
];

/// A limit that the gateway sets goes into `max_completion_tokens`: the endpoint refuses `max_tokens`.
pub(super) fn limits_completion(quirks: Quirks) -> bool {
    quirks.has(0)
}

/// The endpoint refuses `stream_options` and sends usage without being asked.
pub(super) fn refuses_stream_options(quirks: Quirks) -> bool {
    quirks.has(1)
}

/// Whether the endpoint understands this field of ours itself, so that it stays.
pub(super) fn keeps(quirks: Quirks, name: &str) -> bool {
    quirks.has(3) || (quirks.has(2) && name == "include_reasoning")
}

/// `include_reasoning` shows or hides thoughts.
pub(super) fn includes_reasoning(quirks: Quirks) -> bool {
    quirks.has(2)
}

/// The endpoint understands OpenRouter's fields: `reasoning`, `reasoning_details`, `images`, marks for the cache.
pub(super) fn is_openrouter(quirks: Quirks) -> bool {
    quirks.has(3)
}

/// `top_k`, `min_p`, `top_a` and `repetition_penalty` are understood.
pub(super) fn samples_more(quirks: Quirks) -> bool {
    quirks.has(3) || quirks.has(4)
}

/// Earlier reasoning goes back as `reasoning_content` (DeepSeek and others).
pub(super) fn takes_reasoning_content(quirks: Quirks) -> bool {
    quirks.has(5)
}

/// There is no role `developer`.
pub(super) fn has_no_developer(quirks: Quirks) -> bool {
    quirks.has(6)
}

/// `response_format` knows `json_object` but no schema.
pub(super) fn has_no_json_schema(quirks: Quirks) -> bool {
    quirks.has(7)
}

/// `parallel_tool_calls` is refused.
pub(super) fn has_no_parallel_switch(quirks: Quirks) -> bool {
    quirks.has(8)
}

/// What the seed is called: Mistral says `random_seed`.
pub(super) fn seed_field(quirks: Quirks) -> &'static str {
    if quirks.has(9) { "random_seed" } else { "seed" }
}

/// The word for a tool that must be called: Mistral says `any`.
pub(super) fn required_word(quirks: Quirks) -> &'static str {
    if quirks.has(10) { "any" } else { "required" }
}

/// At most so many stop sequences.
pub(super) fn most_stops(quirks: Quirks) -> usize {
    if quirks.has(11) { 4 } else { usize::MAX }
}

/// Unknown fields are refused, and OpenAI's `user`, `metadata`, `service_tier` and the like are unknown.
pub(super) fn has_core_fields_only(quirks: Quirks) -> bool {
    quirks.has(12)
}

/// Earlier reasoning goes back as a `thinking` block of the content (Mistral).
pub(super) fn takes_thinking_blocks(quirks: Quirks) -> bool {
    quirks.has(13)
}

/// Documents go as `document_url` (Mistral).
pub(super) fn takes_document_url(quirks: Quirks) -> bool {
    quirks.has(14)
}

/// Ids of calls are nine letters or digits (Mistral).
pub(super) fn has_nine_letter_ids(quirks: Quirks) -> bool {
    quirks.has(15)
}

/// The choice cannot be narrowed to some tools; the others are left out instead.
pub(super) fn has_no_allowed_tools(quirks: Quirks) -> bool {
    quirks.has(16)
}

/// `reasoning_effort` is refused.
pub(super) fn has_no_effort(quirks: Quirks) -> bool {
    quirks.has(17)
}

/// The effort that the endpoint knows and that comes nearest to what is asked for; `is_own` where the client speaks this
/// dialect.
pub(super) fn nearest_effort(quirks: Quirks, effort: Effort, is_own: bool) -> Effort {
    match effort {
        // `low`, `medium` and `high` only: OpenAI's o-series (learn.microsoft.com, docs.rs/openai-tools), GPT-OSS, Grok 4.5.
        Effort::None | Effort::Minimal if quirks.has(18) => Effort::Low,
        Effort::XHigh | Effort::Max if quirks.has(18) => Effort::High,
        // `low`, `high` and `max` only: api-docs.deepseek.com/guides/thinking_mode maps as here; Kimi K3 knows no others.
        Effort::None | Effort::Minimal if quirks.has(25) => Effort::Low,
        Effort::Medium | Effort::XHigh if quirks.has(25) => Effort::High,
        Effort::Max if quirks.has(25) => Effort::Max,
        // `none` and `high` only: docs.mistral.ai/capabilities/reasoning/adjustable, docs.cohere.com/docs/compatibility-api.
        Effort::Minimal if quirks.has(26) => Effort::None,
        Effort::Low | Effort::Medium | Effort::XHigh | Effort::Max if quirks.has(26) => Effort::High,
        Effort::Max if !is_own => Effort::XHigh,
        effort => effort,
    }
}

/// The model samples as it likes: temperature, top-p, penalties, biases and log probabilities are refused.
pub(super) fn has_no_sampling(quirks: Quirks) -> bool {
    quirks.has(19)
}

/// `cache_control` on parts and tools is understood.
pub(super) fn takes_cache_marks(quirks: Quirks) -> bool {
    quirks.has(3) || quirks.has(20)
}

/// Content of text only must be one string.
pub(super) fn wants_string_content(quirks: Quirks) -> bool {
    quirks.has(21)
}

/// Stop sequences are refused: OpenAI's OpenAPI document says so of o3 and later ones that reason, xAI of its own that do
/// (can1357/oh-my-pi#7454).
pub(super) fn has_no_stop(quirks: Quirks) -> bool {
    quirks.has(22)
}

/// Frequency and presence penalties are refused, and biases with them: xAI (miaoxworld/NativeTavern#83), Cerebras
/// (hexdocs.pm/req_llm/cerebras).
pub(super) fn has_no_penalties(quirks: Quirks) -> bool {
    quirks.has(23) || has_no_sampling(quirks)
}

/// Log probabilities and biases are refused: console.groq.com/docs/openai; Mistral's recorded error 3051.
pub(super) fn has_no_logprobs(quirks: Quirks) -> bool {
    quirks.has(24) || has_no_sampling(quirks)
}

/// Thinking is switched off by `thinking: {"type": "disabled"}` and not by an effort: api-docs.deepseek.com,
/// docs.z.ai, and Kimi K2.6 by its schema.
pub(super) fn has_thinking_switch(quirks: Quirks) -> bool {
    quirks.has(27)
}
