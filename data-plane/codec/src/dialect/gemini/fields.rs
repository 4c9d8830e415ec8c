//! The request fields that the gateway acts on. The model and whether a stream is wanted stand in the path; a model in
//! the body is edited so that both agree. Everything else is the provider's business and passes untouched.

use crate::scan::{ActedOn, Fields, Meaning};

const fn theirs(name: &'static str, meaning: Meaning) -> ActedOn {
    ActedOn { name, meaning, own: false }
}

const fn ours(name: &'static str, meaning: Meaning) -> ActedOn {
    ActedOn { name, meaning, own: true }
}

/// The table. Of the gateway's own fields generateContent defines none, and Google refuses what it does not know.
pub static FIELDS: &Fields = &[
    theirs("contents", Meaning::Contents),
    theirs("generationConfig", Meaning::GenerationConfig),
    theirs("generation_config", Meaning::GenerationConfig),
    theirs("model", Meaning::PathModel),
    theirs("usage", Meaning::Usage),
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

/// Whether a top-level field is no part of what the model is asked.
pub(super) fn is_aside(name: &str) -> bool {
    FIELDS.iter().any(|acted| acted.name == name && (acted.own || acted.meaning == Meaning::Usage))
}
