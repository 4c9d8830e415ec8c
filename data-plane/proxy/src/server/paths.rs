//! Which operation a path names: one table under each family's prefixes. Query strings do not change it. Model ids stand
//! in paths raw, percent-encoded or bare. Never looks at a method or a header.

use codec::{Dialect, Framing, Surface};

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Something that a model does.
    Infer(Asked),
    Models,
    /// One model, by any of its names.
    Model(String),
    /// The endpoints of one model.
    Endpoints(String),
    Key,
    Credits,
    Generation,
    Live,
    Ready,
}

/// What a path says about an inference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The operation as its family writes it: `chat/completions`, `generateContent`.
    pub operation: &'static str,
    /// The model, in families that have it in the path.
    pub model: Option<String>,
    /// Whether a stream is wanted, in families that say so in the path.
    pub stream: bool,
    pub framing: Framing,
}

/// A path, read.
#[derive(Debug)]
pub(super) struct Place {
    /// Whose shapes errors have.
    pub dialect: &'static Dialect,
    pub surface: Surface,
    /// None where there is nothing.
    pub operation: Option<Operation>,
}

impl Operation {
    /// The method it is asked with.
    pub fn method(&self) -> http::Method {
        if matches!(self, Operation::Infer(_)) { http::Method::POST } else { http::Method::GET }
    }
}

/// Which operations stand behind a prefix.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shelf {
    OpenAi,
    Anthropic,
    Gemini,
}

/// Prefixes of the API, what is behind each, and the spelling of errors there.
const PREFIXES: [(&str, Shelf, Surface); 7] = [
    ("/v1/", Shelf::OpenAi, Surface::V1),
    ("/api/v1/", Shelf::OpenAi, Surface::ApiV1),
    ("/openai/v1/", Shelf::OpenAi, Surface::V1),
    ("/anthropic/v1/", Shelf::Anthropic, Surface::V1),
    ("/v1beta/", Shelf::Gemini, Surface::V1),
    ("/gemini/v1beta/", Shelf::Gemini, Surface::V1),
    ("/gemini/v1/", Shelf::Gemini, Surface::V1),
];

const CHAT: &str = "openai-chat";
const ANTHROPIC: &str = "anthropic";
const GEMINI: &str = "gemini";
const ANTHROPIC_COUNT: &str = "anthropic-count";
/// What would be done with a chat, without doing it.
pub(crate) const EXPLAIN: &str = "route/explain";
const COUNT_TOKENS: &str = "messages/count_tokens";

/// Inference behind the prefixes of OpenAI and OpenRouter, and the dialect of each.
const INFERENCE: [(&str, &str); 13] = [
    ("chat/completions", CHAT),
    (EXPLAIN, CHAT),
    ("responses", "openai-responses"),
    ("messages", ANTHROPIC),
    (COUNT_TOKENS, ANTHROPIC_COUNT),
    ("embeddings", "openai-embeddings"),
    ("completions", "openai-completions"),
    ("images/generations", "openai-images"),
    ("images/edits", "openai-images"),
    ("audio/speech", "openai-audio"),
    ("audio/transcriptions", "openai-audio"),
    ("moderations", "openai-moderations"),
    ("rerank", "rerank"),
];

/// What else stands at fixed paths there.
const FIXED: [(&str, Operation); 4] = [
    ("models", Operation::Models),
    ("key", Operation::Key),
    ("credits", Operation::Credits),
    ("generation", Operation::Generation),
];

/// What Gemini's models can be asked for, behind the last colon, the dialect of each, and whether the answer is streamed.
const VERBS: [(&str, &str, bool); 5] = [
    ("generateContent", GEMINI, false),
    ("streamGenerateContent", GEMINI, true),
    ("countTokens", "gemini-count", false),
    ("embedContent", "gemini-embed", false),
    ("batchEmbedContents", "gemini-embed", false),
];

/// Reads a path.
pub(super) fn find(path: &str, query: Option<&str>) -> Place {
    for (prefix, shelf, surface) in PREFIXES {
        if let Some(rest) = path.strip_prefix(prefix) {
            let rest = rest.strip_suffix('/').unwrap_or(rest);
            let (dialect, operation) = match shelf {
                Shelf::OpenAi => behind_openai(rest, query),
                Shelf::Anthropic => behind_anthropic(rest),
                Shelf::Gemini => behind_gemini(rest, query),
            };
            return Place { dialect: known(dialect), surface, operation };
        }
    }
    let operation = match path {
        "/livez" => Some(Operation::Live),
        "/readyz" => Some(Operation::Ready),
        _ => None,
    };
    Place { dialect: known(CHAT), surface: Surface::V1, operation }
}

/// The dialect of this name. All of them are compiled in; OpenAI's chat stands in for one that is not.
pub(super) fn known(dialect: &str) -> &'static Dialect {
    codec::dialect::find(dialect).unwrap_or(&codec::dialect::openai_chat::DIALECT)
}

fn inference(dialect: &'static str, operation: &'static str) -> (&'static str, Option<Operation>) {
    let asked = Asked { operation, model: None, stream: false, framing: Framing::Events };
    let is_served = codec::dialect::find(dialect).is_some();
    (dialect, is_served.then_some(Operation::Infer(asked)))
}

fn behind_openai(rest: &str, query: Option<&str>) -> (&'static str, Option<Operation>) {
    if let Some((operation, dialect)) = INFERENCE.iter().find(|(path, _)| *path == rest) {
        return inference(dialect, operation);
    }
    // Google's newest clients ask here as well.
    let asked = generate(rest.strip_prefix("models/").unwrap_or(rest), query);
    asked.unwrap_or_else(|| (CHAT, models(rest, true)))
}

fn behind_anthropic(rest: &str) -> (&'static str, Option<Operation>) {
    match rest {
        "messages" => inference(ANTHROPIC, "messages"),
        COUNT_TOKENS => inference(ANTHROPIC_COUNT, COUNT_TOKENS),
        rest => (ANTHROPIC, models(rest, false)),
    }
}

fn behind_gemini(rest: &str, query: Option<&str>) -> (&'static str, Option<Operation>) {
    // Some clients take an id with a slash for the whole name of a resource.
    let asked = generate(rest.strip_prefix("models/").unwrap_or(rest), query);
    asked.unwrap_or_else(|| (GEMINI, models(rest, false)))
}

/// `{model}:{verb}`.
fn generate(rest: &str, query: Option<&str>) -> Option<(&'static str, Option<Operation>)> {
    let (model, verb) = rest.rsplit_once(':')?;
    let (operation, dialect, stream) = VERBS.into_iter().find(|(known, ..)| *known == verb)?;
    codec::dialect::find(dialect)?;
    let is_sse = parameter(query, "alt").is_some_and(|alt| alt == "sse");
    let framing = if stream && !is_sse { Framing::Array } else { Framing::Events };
    let asked = Asked { operation, model: Some(decode(model)?), stream, framing };
    Some((dialect, Some(Operation::Infer(asked))))
}

fn models(rest: &str, has_account: bool) -> Option<Operation> {
    if let Some((path, operation)) = FIXED.iter().find(|(path, _)| *path == rest) {
        return (has_account || *path == "models").then(|| operation.clone());
    }
    let name = rest.strip_prefix("models/")?;
    // `author/endpoints` could be a model, but no author calls a model that.
    match name.strip_suffix("/endpoints").filter(|_| has_account) {
        Some(model) => decode(model).map(Operation::Endpoints),
        None => decode(name).map(Operation::Model),
    }
}

/// What a model of Gemini's family is asked for at a path that has no such thing; none where it is not asked for anything.
pub(super) fn unknown_verb(path: &str) -> Option<&str> {
    let (_, verb) = path.rsplit_once(':')?;
    let is_verb = !verb.is_empty() && verb.bytes().all(|byte| byte.is_ascii_alphabetic());
    (is_verb && find(path, None).dialect.id == GEMINI).then_some(verb)
}

/// Undoes percent-encoding; none when it is malformed or not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, left)) = rest.split_first() {
        rest = left;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, left) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = left;
    }
    String::from_utf8(bytes).ok()
}

/// The decoded value of a parameter in a query.
pub(super) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = query?.split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name).and_then(|(_, value)| decode(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_paths() {
        let model = |id: &str| Some(Operation::Model(id.to_owned()));
        let endpoints = |id: &str| Some(Operation::Endpoints(id.to_owned()));
        let chat = || inference(CHAT, "chat/completions").1;
        for (path, surface, operation) in [
            ("/v1/chat/completions", Surface::V1, chat()),
            ("/openai/v1/chat/completions", Surface::V1, chat()),
            ("/api/v1/chat/completions", Surface::ApiV1, chat()),
            ("/v1/chat/completions/", Surface::V1, chat()),
            ("/v1/models", Surface::V1, Some(Operation::Models)),
            ("/api/v1/models/", Surface::ApiV1, Some(Operation::Models)),
            ("/v1/models/openai/gpt-4o", Surface::V1, model("openai/gpt-4o")),
            ("/v1/models/openai%2Fgpt-4o", Surface::V1, model("openai/gpt-4o")),
            ("/v1/models/gpt-4o", Surface::V1, model("gpt-4o")),
            ("/v1/models/openai/gpt-4o/endpoints", Surface::V1, endpoints("openai/gpt-4o")),
            ("/api/v1/models/openai%2fgpt-4o/endpoints", Surface::ApiV1, endpoints("openai/gpt-4o")),
            ("/v1/models/gpt-4o/endpoints", Surface::V1, endpoints("gpt-4o")),
            ("/v1/key", Surface::V1, Some(Operation::Key)),
            ("/api/v1/credits", Surface::ApiV1, Some(Operation::Credits)),
            ("/v1/generation", Surface::V1, Some(Operation::Generation)),
            ("/anthropic/v1/models", Surface::V1, Some(Operation::Models)),
            ("/anthropic/v1/credits", Surface::V1, None),
            ("/v1beta/models", Surface::V1, Some(Operation::Models)),
            ("/v1beta/models/gpt-4o", Surface::V1, model("gpt-4o")),
            ("/livez", Surface::V1, Some(Operation::Live)),
            ("/readyz", Surface::V1, Some(Operation::Ready)),
            ("/v1", Surface::V1, None),
            ("/v2/chat/completions", Surface::V1, None),
            ("/v1/chat", Surface::V1, None),
            ("/api/v1/nothing", Surface::ApiV1, None),
            ("/v1/models/%zz", Surface::V1, None),
            ("/v1/models/%ff", Surface::V1, None),
            ("//v1/models", Surface::V1, None),
            ("/", Surface::V1, None),
        ] {
            let place = find(path, None);
            assert_eq!((place.surface, place.operation), (surface, operation), "{path}");
        }
    }

    #[test]
    fn a_model_in_the_path_may_have_slashes_and_colons() {
        let asked = |path: &str, query: Option<&str>| match find(path, query).operation {
            Some(Operation::Infer(asked)) => asked,
            other => panic!("{path}: {other:?}"),
        };
        for (path, model) in [
            ("/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro"),
            ("/v1/models/openai/gpt-4o:generateContent", "openai/gpt-4o"),
            ("/gemini/v1beta/models/openai%2Fgpt-4o%3Afloor:generateContent", "openai/gpt-4o:floor"),
            ("/v1beta/models/openai/gpt-4o:floor:generateContent", "openai/gpt-4o:floor"),
            ("/v1beta/openai/gpt-4o:generateContent", "openai/gpt-4o"),
            ("/v1/openai/gpt-4o:generateContent", "openai/gpt-4o"),
        ] {
            let asked = asked(path, None);
            assert_eq!((asked.model.as_deref(), asked.stream), (Some(model), false), "{path}");
        }
        let stream = "/v1beta/models/m:streamGenerateContent";
        assert_eq!(asked(stream, None).framing, Framing::Array);
        assert_eq!(asked(stream, Some("key=k&alt=sse")).framing, Framing::Events);
        assert!(asked(stream, None).stream);
    }

    #[test]
    fn errors_have_the_shape_of_the_family_that_was_asked() {
        for (path, dialect) in [
            ("/v1/messages", ANTHROPIC),
            ("/anthropic/v1/nothing", ANTHROPIC),
            ("/v1beta/nothing", GEMINI),
            ("/v1/models/m:generateContent", GEMINI),
            ("/v1/nothing", CHAT),
            ("/nothing", CHAT),
        ] {
            assert_eq!(find(path, None).dialect.id, dialect, "{path}");
        }
    }

    #[test]
    fn parameters_are_decoded() {
        assert_eq!(parameter(Some("a=1&id=req%5F1&id=2"), "id").as_deref(), Some("req_1"));
        assert_eq!(parameter(Some("id="), "id"), None);
        assert_eq!(parameter(None, "id"), None);
    }
}
