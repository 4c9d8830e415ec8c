//! The request fields that the gateway acts on. Everything else is the provider's business and passes untouched.

use crate::scan::{ActedOn, Fields, Meaning};

const fn theirs(name: &'static str, meaning: Meaning) -> ActedOn {
    ActedOn { name, meaning, own: false }
}

const fn ours(name: &'static str, meaning: Meaning) -> ActedOn {
    ActedOn { name, meaning, own: true }
}

/// The table. Of the gateway's own fields OpenAI's chat API defines none; `usage` is ours only as far as `include`.
pub static FIELDS: &Fields = &[
    theirs("model", Meaning::Model),
    theirs("messages", Meaning::Messages),
    theirs("stream", Meaning::Stream),
    theirs("stream_options", Meaning::StreamOptions),
    theirs("max_tokens", Meaning::MaxTokens),
    theirs("max_completion_tokens", Meaning::MaxCompletionTokens),
    theirs("n", Meaning::Choices { most: 128 }),
    theirs("usage", Meaning::Usage),
    theirs("response_format", Meaning::Format),
    theirs("reasoning_effort", Meaning::Extension),
    theirs("reasoning", Meaning::Extension),
    theirs("top_k", Meaning::Extension),
    theirs("top_a", Meaning::Extension),
    theirs("min_p", Meaning::Extension),
    theirs("repetition_penalty", Meaning::Extension),
    theirs("prompt_cache_key", Meaning::CacheKey),
    ours("provider", Meaning::Provider),
    ours("models", Meaning::Fallbacks),
    ours("provider_preferences", Meaning::Preference),
    ours("fallbacks", Meaning::Own),
    ours("route", Meaning::Own),
    ours("transforms", Meaning::Own),
    ours("plugins", Meaning::Own),
    ours("preset", Meaning::Preference),
    ours("session_id", Meaning::Session),
    ours("trace", Meaning::Own),
    ours("tags", Meaning::Own),
    ours("priority", Meaning::Preference),
    ours("timeout", Meaning::Preference),
    ours("debug", Meaning::Own),
    ours("include_reasoning", Meaning::Own),
    ours("providerOptions", Meaning::Preference),
];
