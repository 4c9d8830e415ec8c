//! The request fields that the gateway acts on. Everything else is the provider's business and passes untouched.

use super::{NO_REFERENCES, item};
use crate::scan::{ActedOn, Fields, Meaning};

const fn theirs(name: &'static str, meaning: Meaning) -> ActedOn {
    ActedOn { name, meaning, own: false }
}

const fn ours(name: &'static str, meaning: Meaning) -> ActedOn {
    ActedOn { name, meaning, own: true }
}

/// The table. Of the gateway's own fields this API defines none; `usage` is ours only as far as `include`.
pub static FIELDS: &Fields = &[
    theirs("model", Meaning::Model),
    theirs("input", Meaning::Items { refused: item::REFERENCE, why: NO_REFERENCES }),
    theirs("stream", Meaning::Stream),
    theirs("max_output_tokens", Meaning::MaxTokens),
    theirs("store", Meaning::Store),
    theirs(
        "previous_response_id",
        Meaning::Refused(
            "`previous_response_id` is not supported, as answers are not stored here: send the whole conversation in `input`",
        ),
    ),
    theirs(
        "conversation",
        Meaning::Refused(
            "`conversation` is not supported, as nothing is stored here: send the whole conversation in `input`",
        ),
    ),
    theirs(
        "background",
        Meaning::Refused("`background` is not supported, as answers are not stored here: wait for it or stream it"),
    ),
    theirs("usage", Meaning::Usage),
    theirs("text", Meaning::Format),
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

/// Whether a field is acted on, and so has been dealt with before a request is translated.
pub(super) fn is_known(name: &str) -> bool {
    FIELDS.iter().any(|field| field.name == name)
}
