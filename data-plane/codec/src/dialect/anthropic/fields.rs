//! The request fields that the gateway acts on. Everything else is the provider's business and passes untouched.

use crate::scan::{ActedOn, Fields, Meaning};

const fn theirs(name: &'static str, meaning: Meaning) -> ActedOn {
    ActedOn { name, meaning, own: false }
}

const fn ours(name: &'static str, meaning: Meaning) -> ActedOn {
    ActedOn { name, meaning, own: true }
}

/// Where Google's and Amazon's clouds want the version.
pub(super) const VERSION: &str = "anthropic_version";
/// State at the provider, which no endpoint can be promised to see again.
pub(super) const THREAD: &str = "thread";

const NO_THREADS: &str = "`thread` is not supported: send the whole conversation";

/// The table. `usage` is ours only as far as `include`; the version is read where a cloud wants it in the body.
pub static FIELDS: &Fields = &[
    theirs("model", Meaning::Model),
    theirs("messages", Meaning::Messages),
    theirs("stream", Meaning::Stream),
    theirs("max_tokens", Meaning::MaxTokens),
    theirs("usage", Meaning::Usage),
    theirs("output_config", Meaning::Format),
    theirs("output_format", Meaning::Format),
    theirs(THREAD, Meaning::Refused(NO_THREADS)),
    theirs(VERSION, Meaning::Own),
    ours("provider", Meaning::Provider),
    ours("models", Meaning::Fallbacks),
    ours("fallbacks", Meaning::FallbackModels),
    ours("provider_preferences", Meaning::Preference),
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

/// Fields that a translation reads from the scan, or has no use for.
const READ: [&str; 7] = ["model", "messages", "stream", "max_tokens", "usage", THREAD, VERSION];

/// Whether a translation leaves a field alone.
pub(super) fn is_acted_on(name: &str) -> bool {
    READ.contains(&name) || FIELDS.iter().any(|field| field.own && field.name == name)
}
