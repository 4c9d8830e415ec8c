//! Who is asking: the key in the request's head, looked up by its digest in the snapshot. Keys are accepted in every form
//! that the families' clients send them in, on every route; several that differ are nobody.
//! Never says which of unknown, revoked or expired a key is. Next room: `arrival`.

use std::rc::Rc;

use codec::Dialect;
use domain::{
    faults::{Fault, FaultCode},
    keys::{KeyKind, KeyText},
};
use http::{HeaderMap, HeaderName, Uri, header::AUTHORIZATION};

use super::{Refusal, Visit};
use crate::{offers::View, purse::Purse};

/// Headers that hold nothing but a key.
static KEY_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// The caller's purse, or one and the same refusal for everything that is not a live key.
pub(crate) fn authenticate(visit: &Visit, view: &View, headers: &HeaderMap, uri: &Uri) -> Result<Rc<Purse>, Refusal> {
    let refused = || nobody(visit);
    let text = match key_of(headers, uri.query().filter(|_| takes_key_in_query(visit.dialect, uri.path()))) {
        Keys::One(text) => text,
        Keys::None => return Err(refused()),
        Keys::Several => {
            return Err(Refusal::new(FaultCode::InvalidKey, "The request carries several different API keys."));
        }
    };
    let digest = KeyText::parse(KeyKind::Live, text).map_err(|_| refused())?.digest();
    let caller = view.snapshot.caller(&digest, visit.started_at).ok_or_else(refused)?;
    let worker = &visit.worker;
    let now_ms = u64::try_from(visit.started.as_millis()).unwrap_or(u64::MAX);
    let purse = worker.purses.borrow_mut().find(&caller, &worker.gate, now_ms);
    visit.is_of(&purse);
    if purse.org.frozen {
        return Err(Refusal::new(FaultCode::OrgFrozen, "The organisation of this key is frozen."));
    }
    Ok(purse)
}

/// A proxy that has no snapshot yet cannot know whose key it is, and does not say that it is nobody's.
fn nobody(visit: &Visit) -> Refusal {
    let status = &visit.worker.gate.link.status;
    if status.is_ready() || status.revision() > 0 {
        return Refusal::new(FaultCode::InvalidKey, "The API key is missing or not valid.");
    }
    let message = "The gateway is starting and cannot check keys yet.";
    Fault::new(FaultCode::ControlPlaneUnavailable, message).retry_after_ms(1_000).into()
}

/// What the head of a request says about keys.
#[derive(Debug, PartialEq, Eq)]
enum Keys<'a> {
    None,
    One(&'a str),
    Several,
}

/// Google's clients send it so.
fn takes_key_in_query(dialect: &Dialect, path: &str) -> bool {
    dialect.id == "gemini" || path == "/v1/models"
}

/// The key in the headers, or in a query where it may stand.
fn key_of<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Keys<'a> {
    let bearers = headers.get_all(AUTHORIZATION).iter().filter_map(|value| bearer(value.to_str().ok()?));
    let plain = KEY_HEADERS.iter().flat_map(|name| headers.get_all(name)).filter_map(|value| value.to_str().ok());
    let query = query.into_iter().flat_map(query_keys);
    let mut found = Keys::None;
    for key in bearers.chain(plain).chain(query).map(str::trim).filter(|key| !key.is_empty()) {
        found = match found {
            Keys::None => Keys::One(key),
            Keys::One(known) if known == key => found,
            Keys::One(_) | Keys::Several => return Keys::Several,
        };
    }
    found
}

/// The token of a bearer header; another scheme is no key of ours.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim_start().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn query_keys(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter_map(|pair| pair.strip_prefix("key="))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn keys_in(query: Option<&str>, headers: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        match key_of(&map, query) {
            Keys::None => "none".to_owned(),
            Keys::One(key) => key.to_owned(),
            Keys::Several => "several".to_owned(),
        }
    }

    #[test]
    fn a_key_is_found_in_every_form() {
        for (expected, headers) in [
            ("none", &[][..]),
            ("k", &[("authorization", "Bearer k")]),
            ("k", &[("authorization", "bearer   k ")]),
            ("k", &[("x-api-key", "k")]),
            ("k", &[("api-key", "k")]),
            ("k", &[("x-goog-api-key", "k")]),
            ("k", &[("authorization", "Bearer k"), ("x-api-key", "k")]),
            ("k", &[("authorization", "Basic dXNlcg=="), ("x-api-key", "k")]),
            ("k", &[("authorization", "Bearer "), ("x-api-key", "k")]),
            ("several", &[("authorization", "Bearer k"), ("x-api-key", "other")]),
            ("several", &[("authorization", "Bearer k"), ("authorization", "Bearer other")]),
            ("none", &[("authorization", "k")]),
        ] {
            assert_eq!(keys_in(None, headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_key_in_the_query_counts_only_where_googles_clients_ask() {
        assert_eq!(keys_in(Some("a=b&key=k"), &[]), "k");
        assert_eq!(keys_in(Some("key=k"), &[("x-api-key", "other")]), "several");
        let chat = &codec::dialect::openai_chat::DIALECT;
        assert!(takes_key_in_query(chat, "/v1/models"));
        assert!(!takes_key_in_query(chat, "/v1/chat/completions"));
    }
}
