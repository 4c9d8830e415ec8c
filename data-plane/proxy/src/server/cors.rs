//! Web pages: which may call, and what is said to those that ask first. Keys are bearers and never cookies, so a page
//! learns nothing that its own key does not allow.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    },
};

use crate::pipeline::{Outflow, Visit, stamp};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
/// What is allowed when the page did not say what it will send.
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, x-api-key, x-goog-api-key");
/// A day; browsers cut it to what they like.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");
const ANY: HeaderValue = HeaderValue::from_static("*");
const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// What to say to the page that this request comes from, if it comes from one and that one may call.
pub(super) fn allow(origins: &[String], headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    if origins.is_empty() {
        return Some(ANY);
    }
    origins.iter().any(|known| known.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

/// Whether a browser asks on behalf of a page whether it may. Some programs that look whether pages are welcome name only
/// the page.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && (headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) || headers.contains_key(ORIGIN))
}

/// The answer: what was asked for, where the page may call at all.
pub(super) fn preflight(visit: &Visit, asked: &HeaderMap) -> Response<Outflow> {
    let mut response = Response::new(Outflow::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    stamp(visit, headers);
    if visit.allow_origin.is_some() {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            asked.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned().unwrap_or(HEADERS),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        if asked.contains_key("access-control-request-private-network") {
            headers.insert(PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_may_call_as_configured() {
        let mut headers = HeaderMap::new();
        assert_eq!(allow(&[], &headers), None);
        headers.insert(ORIGIN, HeaderValue::from_static("https://app.example"));
        assert_eq!(allow(&[], &headers), Some(ANY));
        assert_eq!(allow(&["https://app.example".to_owned()], &headers).unwrap(), "https://app.example");
        assert_eq!(allow(&["https://other.example".to_owned()], &headers), None);
    }

    #[test]
    fn a_health_check_by_options_is_no_preflight() {
        let mut headers = HeaderMap::new();
        assert!(!is_preflight(&Method::OPTIONS, &headers));
        headers.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        assert!(is_preflight(&Method::OPTIONS, &headers));
        assert!(!is_preflight(&Method::GET, &headers));
        headers.remove(ACCESS_CONTROL_REQUEST_METHOD);
        headers.insert(ORIGIN, HeaderValue::from_static("https://app.example"));
        assert!(is_preflight(&Method::OPTIONS, &headers));
    }
}
