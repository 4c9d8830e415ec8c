//! From a provider's base URL, the route of an operation and a model to what stands in a request line. Where the model is
//! part of an address, base URL or route say `{model}`; a base URL's query is kept and put before the route's own.
//! Never looks at hosts. Next room: `client`.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use domain::providers::MODEL_PLACEHOLDER;
use http::Uri;

use super::UpstreamError;

/// Routes that one target remembers ready-made.
const ROUTES: usize = 16;

/// Path and query of a request line. Clones are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route(Rc<str>);

impl Route {
    /// As it stands in a request line.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a target makes its routes of, and those that it has made.
pub(super) struct Routes {
    base_path: Box<str>,
    /// With its question mark; empty when there is none.
    base_query: Box<str>,
    known: RefCell<Vec<Known>>,
}

struct Known {
    route: Box<str>,
    /// None where the model is not part of the address.
    model: Option<Box<str>>,
    made: Route,
}

impl Known {
    fn is(&self, route: &str, model: &str) -> bool {
        *self.route == *route && self.model.as_deref().is_none_or(|known| known == model)
    }
}

impl Routes {
    /// Routes behind what stands behind the authority of a base URL; none when it cannot stand in a request line.
    pub(super) fn behind(base: &str) -> Option<Routes> {
        let at = base.find('?').unwrap_or(base.len());
        let (path, query) = base.split_at(at);
        let path = path.trim_end_matches('/');
        let is_plain = |text: &str| !text.replace(MODEL_PLACEHOLDER, "").contains(['{', '}']);
        if !is_plain(path) || query.contains(['{', '}']) || query.get(1..).is_some_and(|query| query.contains('?')) {
            return None;
        }
        let query = if query.len() > 1 { query } else { "" };
        Uri::try_from(format!("{path}/{query}")).ok()?;
        Some(Routes { base_path: path.into(), base_query: query.into(), known: RefCell::default() })
    }

    /// The way of an operation on a model.
    pub(super) fn find(&self, route: &str, model: &str) -> Result<Route, UpstreamError> {
        if let Some(known) = self.known.borrow().iter().find(|known| known.is(route, model)) {
            return Ok(known.made.clone());
        }
        let names_model = route.contains(MODEL_PLACEHOLDER) || self.base_path.contains(MODEL_PLACEHOLDER);
        let text = self.join(route, names_model.then_some(model))?;
        Uri::try_from(&*text).map_err(|_| UpstreamError::Route)?;
        let made = Route(text.into());
        let mut known = self.known.borrow_mut();
        if known.len() < ROUTES {
            let model = names_model.then(|| model.into());
            known.push(Known { route: route.into(), model, made: made.clone() });
        }
        Ok(made)
    }

    fn join(&self, route: &str, model: Option<&str>) -> Result<String, UpstreamError> {
        let (path, query) = route.split_at(route.find('?').unwrap_or(route.len()));
        let mut text = format!("{}{path}", self.base_path);
        if let Some(model) = model {
            text = text.replace(MODEL_PLACEHOLDER, &segment(model).ok_or(UpstreamError::Route)?);
        }
        text.push_str(&self.base_query);
        match query.strip_prefix('?') {
            Some(query) if !self.base_query.is_empty() => text.extend(["&", query]),
            _ => text.push_str(query),
        }
        Ok(text)
    }
}

/// A model as one segment of a path; none where it is empty or would lead elsewhere. Encoded is all that may mean
/// something in a path, with the `@` of Vertex's versions left alone.
fn segment(model: &str) -> Option<Cow<'_, str>> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte);
    match model {
        "" | "." | ".." => None,
        model if model.bytes().all(is_plain) => Some(Cow::Borrowed(model)),
        model => Some(
            model
                .bytes()
                .fold(String::new(), |mut text, byte| {
                    match is_plain(byte) {
                        true => text.push(char::from(byte)),
                        false => text.extend(['%', digit(byte >> 4), digit(byte & 15)]),
                    }
                    text
                })
                .into(),
        ),
    }
}

/// A hexadecimal digit, as addresses have them.
pub(super) fn digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or('0').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(base: &str, route: &str, model: &str) -> Result<String, UpstreamError> {
        Ok(Routes::behind(base).unwrap().find(route, model)?.as_str().to_owned())
    }

    #[test]
    fn the_addresses_of_each_provider_come_out_right() {
        for (base, way, model, expected) in [
            ("/v1", "/chat/completions", "gpt-5", "/v1/chat/completions"),
            ("/v1/", "/chat/completions", "", "/v1/chat/completions"),
            ("", "/chat/completions", "m", "/chat/completions"),
            // Azure OpenAI, by deployment and in one place for all
            (
                "/openai/deployments/{model}?api-version=2024-10-21",
                "/chat/completions",
                "my gpt",
                "/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21",
            ),
            ("/openai/v1?api-version=preview", "/responses", "m", "/openai/v1/responses?api-version=preview"),
            // Gemini, and the same at Vertex
            (
                "/v1beta",
                "/models/{model}:streamGenerateContent?alt=sse",
                "gemini-2.5-pro",
                "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
            ),
            (
                "/v1/projects/p/locations/l/publishers/google",
                "/models/{model}:generateContent",
                "gemini-2.5-pro",
                "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent",
            ),
            (
                "/v1/projects/p/locations/l/publishers/anthropic/models/{model}",
                ":streamRawPredict",
                "claude-sonnet-4@20250514",
                "/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4@20250514:streamRawPredict",
            ),
            // Bedrock: names have colons, and may be whole ARNs
            (
                "",
                "/model/{model}/converse-stream",
                "anthropic.claude-3-5-sonnet-20240620-v1:0",
                "/model/anthropic.claude-3-5-sonnet-20240620-v1%3A0/converse-stream",
            ),
            ("", "/model/{model}/converse", "arn:x/é", "/model/arn%3Ax%2F%C3%A9/converse"),
            // Both queries, the base's first
            ("/v1?key=a&b", "/x?alt=sse", "m", "/v1/x?key=a&b&alt=sse"),
            ("/v1?", "/x?alt=sse", "m", "/v1/x?alt=sse"),
        ] {
            assert_eq!(route(base, way, model).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_model_cannot_lead_elsewhere() {
        for model in ["", ".", ".."] {
            assert_eq!(route("/d/{model}", "/x", model), Err(UpstreamError::Route), "{model:?}");
        }
        assert_eq!(route("/d/{model}", "/x", "../a?b#c%2e").unwrap(), "/d/..%2Fa%3Fb%23c%252e/x");
        assert_eq!(route("/v1", "/x y", "m"), Err(UpstreamError::Route));
    }

    #[test]
    fn a_base_that_says_something_unknown_is_refused() {
        for base in ["/{deployment}", "/{model", "/v1?m={model}", "/v1?a?b", "/a b"] {
            assert!(Routes::behind(base).is_none(), "{base}");
        }
    }

    #[test]
    fn a_route_is_made_once_and_one_without_a_model_serves_all() {
        let routes = Routes::behind("/v1").unwrap();
        let made = routes.find("/x", "a").unwrap();
        assert!(Rc::ptr_eq(&made.0, &routes.find("/x", "b").unwrap().0));
        let of_model = routes.find("/{model}/x", "a").unwrap();
        assert!(Rc::ptr_eq(&of_model.0, &routes.find("/{model}/x", "a").unwrap().0));
        assert_eq!(routes.find("/{model}/x", "b").unwrap().as_str(), "/v1/b/x");
        for n in 0..2 * ROUTES {
            assert_eq!(routes.find("/{model}/x", &n.to_string()).unwrap().as_str(), format!("/v1/{n}/x"));
        }
        assert_eq!(routes.known.borrow().len(), ROUTES);
        let found = allocation_counter::measure(|| drop(routes.find("/{model}/x", "a").unwrap()));
        assert_eq!(found.count_total, 0);
    }
}
