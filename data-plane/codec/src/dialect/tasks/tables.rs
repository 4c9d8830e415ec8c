//! The operations: their fields, their routes and what is billed by the piece.

use std::borrow::Cow;

use domain::usage::TokenUsage;

use super::Task;
use super::completions::Completions;
use crate::dialect::{Dialect, Routed, Same, anthropic, gemini, openai_chat};
use crate::scan::{ActedOn, Fields, Meaning, Scan};

const fn theirs(name: &'static str, meaning: Meaning) -> ActedOn {
    ActedOn { name, meaning, own: false }
}

const fn ours(name: &'static str, meaning: Meaning) -> ActedOn {
    ActedOn { name, meaning, own: true }
}

/// What every one of these takes of the gateway's own fields. `provider` and `models` route as they do for chats.
macro_rules! with_own {
    ($($row:expr),* $(,)?) => {
        &[
            $($row,)*
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
        ]
    };
}

/// Nobody but completions has an object of this name, whose one switch is ours.
const USAGE: ActedOn = ours("usage", Meaning::Usage);
/// What a multipart form takes of them, each part of it as a field of that name.
pub(super) static OWN: &Fields = with_own![USAGE];

static EMBEDDINGS_FIELDS: &Fields = with_own![theirs("model", Meaning::Model), theirs("input", Meaning::Input), USAGE];
static COMPLETIONS_FIELDS: &Fields = with_own![
    theirs("model", Meaning::Model),
    theirs("prompt", Meaning::Input),
    theirs("stream", Meaning::Stream),
    theirs("stream_options", Meaning::StreamOptions),
    theirs("max_tokens", Meaning::MaxTokens),
    theirs("n", Meaning::Choices { most: 128 }),
    theirs("usage", Meaning::Usage),
];
static IMAGES_FIELDS: &Fields = with_own![
    theirs("model", Meaning::Model),
    theirs("prompt", Meaning::Input),
    theirs("stream", Meaning::Stream),
    theirs("n", Meaning::Choices { most: 10 }),
    USAGE,
];
static AUDIO_FIELDS: &Fields = with_own![
    theirs("model", Meaning::Model),
    theirs("input", Meaning::Input),
    theirs("stream_format", Meaning::StreamFormat),
    USAGE,
];
static MODERATIONS_FIELDS: &Fields = with_own![theirs("model", Meaning::Model), theirs("input", Meaning::Input), USAGE];
static RERANK_FIELDS: &Fields = with_own![
    theirs("model", Meaning::Model),
    theirs("query", Meaning::Input),
    theirs("documents", Meaning::Documents),
    USAGE,
];
/// The model is in the path.
static GEMINI_FIELDS: &Fields = &[];
static COUNT_FIELDS: &Fields = with_own![theirs("model", Meaning::Model), theirs("messages", Meaning::Messages)];

fn nothing(_: &Scan) -> TokenUsage {
    TokenUsage::default()
}

static TOKENS: Task = Task {
    takes_form: false,
    units: nothing,
    is_count: false,
    is_estimated: true,
    is_opaque: false,
    repeats_model: false,
};
static COUNT: Task = Task { is_count: true, is_estimated: false, ..TOKENS };
/// Most providers have no numbers for it, since it costs nothing there.
static JUDGEMENT: Task = Task { is_estimated: false, ..TOKENS };
static GOOGLES_TOKENS: Task = Task { repeats_model: true, ..TOKENS };
static GOOGLES_COUNT: Task = Task { repeats_model: true, ..COUNT };
static PICTURES: Task =
    Task { takes_form: true, units: |scan| TokenUsage { images: scan.choices, ..TokenUsage::default() }, ..TOKENS };
static SOUND: Task = Task {
    takes_form: true,
    units: |scan| TokenUsage { characters: scan.characters, ..TokenUsage::default() },
    is_opaque: true,
    ..TOKENS
};
static COMPLETION: Completions = Completions;

/// The path behind the prefix is the path behind the base URL.
fn as_asked(routed: &Routed<'_>) -> Cow<'static, str> {
    Cow::Owned(format!("/{}", routed.operation))
}

/// The model's name is put in, encoded, by whoever knows the address.
fn of_model(routed: &Routed<'_>) -> Cow<'static, str> {
    Cow::Borrowed(match routed.operation {
        "countTokens" => "/models/{model}:countTokens",
        "embedContent" => "/models/{model}:embedContent",
        _ => "/models/{model}:batchEmbedContents",
    })
}

/// A dialect of OpenAI's family.
const fn openai(id: &'static str, fields: &'static Fields, same: &'static dyn Same) -> Dialect {
    Dialect { id, row: id, fields, route: as_asked, same, ingress: None, egress: None, ..openai_chat::DIALECT }
}

pub static EMBEDDINGS: Dialect = openai("openai-embeddings", EMBEDDINGS_FIELDS, &TOKENS);
pub static COMPLETIONS: Dialect = openai("openai-completions", COMPLETIONS_FIELDS, &COMPLETION);
pub static IMAGES: Dialect = openai("openai-images", IMAGES_FIELDS, &PICTURES);
pub static AUDIO: Dialect = openai("openai-audio", AUDIO_FIELDS, &SOUND);
pub static MODERATIONS: Dialect = openai("openai-moderations", MODERATIONS_FIELDS, &JUDGEMENT);
pub static RERANK: Dialect = openai("rerank", RERANK_FIELDS, &TOKENS);

/// Google's embeddings, one or several at once.
pub static GEMINI_EMBED: Dialect = Dialect {
    id: "gemini-embed",
    row: "gemini",
    fields: GEMINI_FIELDS,
    route: of_model,
    same: &GOOGLES_TOKENS,
    ingress: None,
    egress: None,
    ..gemini::DIALECT
};
/// How many tokens a request to Gemini would have.
pub static GEMINI_COUNT: Dialect = Dialect { id: "gemini-count", same: &GOOGLES_COUNT, ..GEMINI_EMBED };
/// How many tokens a message to Claude would have.
pub static ANTHROPIC_COUNT: Dialect = Dialect {
    id: "anthropic-count",
    row: "anthropic",
    fields: COUNT_FIELDS,
    route: as_asked,
    same: &COUNT,
    ingress: None,
    egress: None,
    ..anthropic::DIALECT
};
