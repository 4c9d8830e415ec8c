//! One strict pass over a request body: facts that are priced and spans that are patched, found together, so what was
//! priced is what is sent. Which fields matter is the dialect's table. Must never build a tree or change a byte.
//! Here stand the words: what a field can mean, and what was found. Rooms: `pass` reads, `media` counts what is no text.
//! Next room: `patch`.
//!
//! Stricter than JSON in four ways: the top level is an object, nesting stops at 64 levels, and a field we act on may
//! appear once only and in its own spelling (names are compared after unescaping). Halves of surrogate pairs that
//! stand alone are refused only in values that are read as text; elsewhere the grammar allows them and they pass.

mod media;
mod pass;
#[cfg(test)]
mod tests;

pub use pass::{scan, scan_wishes};

use crate::dialect::tasks::Form;
use crate::json::{Kind, Span};

/// How much of each message tells a conversation from others, and what a message of the system has in it. In a text the
/// quotes would be escaped.
const OPENING_MOST: usize = 4 * 1024;
const SYSTEM_ROLES: [&[u8]; 2] = [b"\"system\"", b"\"developer\""];

/// What a field means to the gateway, and so how its value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Text: the model asked for.
    Model,
    /// Text: the model once more, where the path names it and wins.
    PathModel,
    /// True or false: whether the answer is streamed.
    Stream,
    /// True or false: whether the provider keeps the answer. It never does: the gateway answers for nothing kept elsewhere.
    Store,
    /// Object: `include_usage` in it is ours to switch on.
    StreamOptions,
    /// Object: `include` in it asks for usage (OpenRouter).
    Usage,
    /// Whole number: most tokens of answer.
    MaxTokens,
    /// Whole number: most tokens of answer, reasoning included.
    MaxCompletionTokens,
    /// Whole number from 1: how many answers.
    Choices { most: u64 },
    /// Array, not empty: the conversation.
    Messages,
    /// Array, not empty, or one object that is as good as a list of it: the conversation.
    Contents,
    /// Text or array, neither empty: what is asked, where a bare text will do.
    Input,
    /// The same, where items of one type are refused, for the reason that is given.
    Items { refused: &'static str, why: &'static str },
    /// Object: `maxOutputTokens` and `candidateCount` in it.
    GenerationConfig,
    /// Anything: what shape the answer's text is to have stands in it.
    Format,
    /// Text: the word `sse` asks for a stream.
    StreamFormat,
    /// Array: what is ranked.
    Documents,
    /// Array of text: models to try when the first fails.
    Fallbacks,
    /// Array of objects with a `model` each: models to try when the first fails.
    FallbackModels,
    /// Anything but null and false is refused, for the reason that is given.
    Refused(&'static str),
    /// Object, read when routing.
    Provider,
    /// Anything, read when routing: what other gateways have in place of `provider`.
    Preference,
    /// Text: what the sender takes for one session; taken out before the body goes upstream.
    Session,
    /// Text: requests that have the same find the provider's cache best where the last one went.
    CacheKey,
    /// Anything: a known extension of the dialect, which not every endpoint understands.
    Extension,
    /// Anything; taken out before the body goes upstream.
    Own,
}

/// A field that is acted on.
#[derive(Debug, Clone, Copy)]
pub struct ActedOn {
    pub name: &'static str,
    pub meaning: Meaning,
    /// Ours and not the dialect's: taken out before the body goes upstream.
    pub own: bool,
}

/// Every field of a dialect's requests that is acted on: at most 64.
pub type Fields = [ActedOn];

/// An acted-on field as it stands in the body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub acted: &'static ActedOn,
    /// How many fields stand before it.
    pub ordinal: usize,
    /// From the key's opening quote to the end of the value.
    pub whole: Span,
    pub value: Span,
    pub kind: Kind,
    /// A field of the value that is acted on as well: `include_usage`, `include`.
    pub member: Option<Member>,
    /// Whether the value is an object without fields.
    pub bare: bool,
}

/// A field inside an acted-on field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub ordinal: usize,
    pub whole: Span,
    pub value: Span,
    pub is_true: bool,
    /// Whether it is the only one.
    pub alone: bool,
}

/// What a request says, as far as the gateway acts on it. Keeps spans, so it is only good with its own body.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The model asked for, unescaped. None only when `fallbacks` names one.
    pub model: Option<String>,
    /// Whether a stream is wanted.
    pub stream: bool,
    /// Whether `stream_options.include_usage` is on.
    pub include_usage: bool,
    /// Whether `usage.include` is on.
    pub usage_include: bool,
    pub max_tokens: Option<u64>,
    pub max_completion_tokens: Option<u64>,
    /// How many answers are wanted.
    pub choices: u64,
    /// How many messages there are.
    pub messages: u64,
    /// Where the first two messages stand; empty where there are fewer.
    pub(crate) opening: [Span; 2],
    /// Models to try after the first, in order.
    pub fallbacks: Vec<String>,
    /// The raw value of the `provider` object.
    pub provider: Option<Span>,
    /// Bytes of the body that are not media: an upper bound for its text.
    pub text_bytes: u64,
    /// Images, sounds and files in the messages.
    pub media_parts: u64,
    /// Bytes of base64 in them.
    pub media_bytes: u64,
    /// Whether the shape of the answer's text is said.
    pub has_format: bool,
    /// Letters of a bare text that is the whole input.
    pub characters: u64,
    /// What a multipart form has on top.
    pub(crate) form: Option<Box<Form>>,
    pub(crate) fields: Vec<Field>,
    /// Just inside the body's opening brace.
    pub(crate) inside: usize,
}

impl Scan {
    /// What nothing says.
    pub(crate) fn nothing() -> Scan {
        Scan {
            model: None,
            stream: false,
            include_usage: false,
            usage_include: false,
            max_tokens: None,
            max_completion_tokens: None,
            choices: 1,
            messages: 0,
            opening: [Span::default(); 2],
            fallbacks: Vec::new(),
            provider: None,
            text_bytes: 0,
            media_parts: 0,
            media_bytes: 0,
            has_format: false,
            characters: 0,
            form: None,
            fields: Vec::new(),
            inside: 0,
        }
    }

    /// Whether the request asks to see usage in its stream.
    pub fn wants_usage(&self) -> bool {
        self.include_usage || self.usage_include
    }

    /// The smaller of the answer limits it sets.
    pub fn output_limit(&self) -> Option<u64> {
        self.max_tokens.into_iter().chain(self.max_completion_tokens).min()
    }

    /// Says what stands in the path in some dialects: the model, and whether a stream is wanted.
    #[must_use]
    pub fn at(mut self, model: Option<String>, stream: bool) -> Scan {
        self.model = model.or(self.model);
        self.stream |= stream;
        self
    }

    /// What says how to route beside `provider`: name and raw value of each field that is not null.
    pub fn preferences<'b>(&self, body: &'b [u8]) -> impl Iterator<Item = (&'static str, &'b [u8])> {
        let said = self.fields.iter().filter(|field| field.acted.meaning == Meaning::Preference);
        said.filter(|field| field.kind != Kind::Null).map(move |field| (field.acted.name, field.value.of(body)))
    }

    /// What ties this request to others of its sort, as its sender says: `session_id`, else the key of a provider's cache.
    /// Raw, and never empty.
    pub fn session<'b>(&self, body: &'b [u8]) -> Option<&'b [u8]> {
        let said = |field: &&Field| field.kind == Kind::String && field.value.len() > 2;
        let tie = |meaning| self.field(meaning).filter(said);
        Some(tie(Meaning::Session).or_else(|| tie(Meaning::CacheKey))?.value.of(body))
    }

    /// How the conversation begins: what stays the same in all its requests. That is the first message, and the one
    /// behind it where the first is the system's.
    pub fn opening<'b>(&self, body: &'b [u8]) -> [&'b [u8]; 2] {
        let [first, second] = self.opening.map(|place| place.of(body));
        let head = first.get(..OPENING_MOST).unwrap_or(first);
        let is_system = SYSTEM_ROLES.iter().any(|role| memchr::memmem::find(head, role).is_some());
        [head, if is_system { second.get(..OPENING_MOST).unwrap_or(second) } else { b"" }]
    }

    pub(crate) fn field(&self, meaning: Meaning) -> Option<&Field> {
        self.fields.iter().find(|field| field.acted.meaning == meaning)
    }
}
