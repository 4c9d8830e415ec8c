//! Which operation a path names: one table under three prefixes. Query strings do not change it. Model ids stand in paths
//! raw, percent-encoded or bare. Never looks at a method or a header.

use codec::Surface;

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Chat,
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

impl Operation {
    /// The method it is asked with.
    pub fn method(&self) -> http::Method {
        if *self == Operation::Chat { http::Method::POST } else { http::Method::GET }
    }
}

/// Prefixes of the API, and the spelling of errors behind each.
const PREFIXES: [(&str, Surface); 3] =
    [("/v1/", Surface::V1), ("/api/v1/", Surface::ApiV1), ("/openai/v1/", Surface::V1)];

/// Fixed paths behind a prefix.
const FIXED: [(&str, Operation); 5] = [
    ("chat/completions", Operation::Chat),
    ("models", Operation::Models),
    ("key", Operation::Key),
    ("credits", Operation::Credits),
    ("generation", Operation::Generation),
];

/// The operation of a path, if there is one, and how errors on it are spelled.
pub(super) fn find(path: &str) -> (Surface, Option<Operation>) {
    for (prefix, surface) in PREFIXES {
        if let Some(rest) = path.strip_prefix(prefix) {
            return (surface, behind(rest));
        }
    }
    let operation = match path {
        "/livez" => Some(Operation::Live),
        "/readyz" => Some(Operation::Ready),
        _ => None,
    };
    (Surface::V1, operation)
}

fn behind(rest: &str) -> Option<Operation> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if let Some((_, operation)) = FIXED.iter().find(|(path, _)| *path == rest) {
        return Some(operation.clone());
    }
    let name = rest.strip_prefix("models/")?;
    // `author/endpoints` could be a model, but no author calls a model that.
    match name.strip_suffix("/endpoints") {
        Some(model) => decode(model).map(Operation::Endpoints),
        None => decode(name).map(Operation::Model),
    }
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
        for (path, surface, operation) in [
            ("/v1/chat/completions", Surface::V1, Some(Operation::Chat)),
            ("/openai/v1/chat/completions", Surface::V1, Some(Operation::Chat)),
            ("/api/v1/chat/completions", Surface::ApiV1, Some(Operation::Chat)),
            ("/v1/chat/completions/", Surface::V1, Some(Operation::Chat)),
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
            assert_eq!(find(path), (surface, operation), "{path}");
        }
    }

    #[test]
    fn parameters_are_decoded() {
        assert_eq!(parameter(Some("a=1&id=req%5F1&id=2"), "id").as_deref(), Some("req_1"));
        assert_eq!(parameter(Some("id="), "id"), None);
        assert_eq!(parameter(None, "id"), None);
    }
}
