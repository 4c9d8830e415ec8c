//! The catalogue as clients see it, in the shape of the family they speak: only what the key may use and can reach through
//! that family. Lists are made once for each policy and snapshot. Never shows an endpoint without a price or a credential.

mod anthropic;
mod gemini;
mod openai;

use std::sync::Arc;

use bytes::Bytes;
use codec::Dialect;
use domain::{
    faults::{Fault, FaultCode},
    snapshot::ModelEntry,
};
use http::{Request, Response, StatusCode};
use serde::Serialize;

use super::paths;
use crate::{
    offers::{View, is_reachable},
    pipeline::{Outflow, Refusal, Visit, json},
    purse::Purse,
};

/// Whose shape a question about models is answered in: three families ask at the same address.
pub(super) fn dialect<B>(of_path: &'static Dialect, request: &Request<B>) -> &'static Dialect {
    let headers = request.headers();
    if of_path.id != "openai-chat" {
        return of_path;
    }
    if headers.contains_key("anthropic-version") {
        return paths::known("anthropic");
    }
    let has_google_key =
        headers.contains_key("x-goog-api-key") || paths::parameter(request.uri().query(), "key").is_some();
    if has_google_key { paths::known("gemini") } else { of_path }
}

/// `GET models`.
pub(super) fn list(
    visit: &Visit,
    view: &View,
    purse: &Purse,
    query: Option<&str>,
) -> Result<Response<Outflow>, Refusal> {
    let shown = || {
        let entries = view.snapshot.catalogue().models().iter();
        entries.filter(|entry| is_shown(entry, visit.dialect, purse)).map(|entry| &**entry)
    };
    let pages = (Page::of(query)?, visit.dialect.id);
    let body = match pages {
        (Page::All, id) => view.model_list(&purse.policy, (visit.dialect, visit.surface), || match id {
            "anthropic" => to_bytes(&anthropic::list(shown(), &Page::All)),
            "gemini" => to_bytes(&gemini::list(shown(), &Page::All)),
            _ => to_bytes(&openai::list(shown(), visit.surface)),
        }),
        (page, "anthropic") => to_bytes(&anthropic::list(shown(), &page)),
        (page, "gemini") => to_bytes(&gemini::list(shown(), &page)),
        (_, _) => to_bytes(&openai::list(shown(), visit.surface)),
    };
    Ok(json(visit, StatusCode::OK, body))
}

/// Which part of a list is wanted, in the words of the families that have pages.
#[derive(Debug, PartialEq, Eq)]
enum Page {
    All,
    Some { most: usize, after: Option<String>, before: Option<String> },
}

/// Most models on a page, as Anthropic and Google have it.
const PAGE_MOST: usize = 1_000;

impl Page {
    fn of(query: Option<&str>) -> Result<Page, Refusal> {
        let given = |names: &[&'static str]| {
            names
                .iter()
                .find_map(|name| Some((*name, paths::parameter(query, name).filter(|value| !value.is_empty())?)))
        };
        let (size, after, before) = (
            given(&["limit", "pageSize", "page_size"]),
            given(&["after_id", "pageToken", "page_token"]),
            given(&["before_id"]),
        );
        if size.is_none() && after.is_none() && before.is_none() {
            return Ok(Page::All);
        }
        let most = match &size {
            None => PAGE_MOST,
            Some((name, size)) => Page::size(name, size)?,
        };
        let text = |given: Option<(&str, String)>| given.map(|(_, text)| text);
        Ok(Page::Some { most, after: text(after), before: text(before) })
    }

    /// Google's clients may ask for nothing in particular, and for more than there can be.
    fn size(name: &'static str, size: &str) -> Result<usize, Refusal> {
        let size = size.parse().ok();
        let size = match name {
            "limit" => size.filter(|size| (1..=PAGE_MOST).contains(size)),
            _ => size.map(|size| if size == 0 { PAGE_MOST } else { size.min(PAGE_MOST) }),
        };
        size.ok_or_else(|| {
            let message = format!("`{name}` is the size of a page, a number from 1 to {PAGE_MOST}.");
            Fault::new(FaultCode::InvalidRequest, message).param(name).into()
        })
    }

    /// The entries of the page, and whether more follow. Entries are sorted: a page goes on behind an id also when the model
    /// of that id is gone.
    fn cut<'a>(&self, entries: impl Iterator<Item = &'a ModelEntry>) -> (Vec<&'a ModelEntry>, bool) {
        let mut entries: Vec<_> = entries.collect();
        let Page::Some { most, after, before } = self else { return (entries, false) };
        if let Some(before) = before {
            let end = entries.partition_point(|entry| entry.model.id.as_str() < before.as_str());
            let start = end.saturating_sub(*most);
            return (entries.drain(start..end).collect(), start > 0);
        }
        if let Some(after) = after {
            entries.drain(..entries.partition_point(|entry| entry.model.id.as_str() <= after.as_str()));
        }
        let has_more = entries.len() > *most;
        entries.truncate(*most);
        (entries, has_more)
    }
}

/// `GET models/{id}`.
pub(super) fn one(visit: &Visit, view: &View, purse: &Purse, name: &str) -> Result<Response<Outflow>, Refusal> {
    let entry = find(visit, view, purse, name)?;
    let body = match visit.dialect.id {
        "anthropic" => to_bytes(&anthropic::one(entry)),
        "gemini" => to_bytes(&gemini::one(entry)),
        _ => to_bytes(&openai::one(entry, visit.surface)),
    };
    Ok(json(visit, StatusCode::OK, body))
}

/// `GET models/{id}/endpoints`.
pub(super) fn endpoints(visit: &Visit, view: &View, purse: &Purse, name: &str) -> Result<Response<Outflow>, Refusal> {
    let entry = find(visit, view, purse, name)?;
    Ok(json(visit, StatusCode::OK, to_bytes(&openai::endpoints(entry, &visit.worker.gate.link.standings))))
}

fn find<'v>(visit: &Visit, view: &'v View, purse: &Purse, name: &str) -> Result<&'v Arc<ModelEntry>, Refusal> {
    let entry = view.snapshot.catalogue().model(name);
    entry.filter(|entry| is_shown(entry, visit.dialect, purse)).ok_or_else(|| {
        let shown: String = name.chars().take(100).collect();
        let message = format!("The model `{shown}` does not exist, or this key cannot reach it.");
        Fault::new(FaultCode::UnknownModel, message).param("model").into()
    })
}

fn is_shown(entry: &ModelEntry, dialect: &'static Dialect, purse: &Purse) -> bool {
    let is_reached = match dialect.id {
        // Behind these prefixes stands more than chats.
        "openai-chat" => codec::dialect::DIALECTS.iter().any(|dialect| is_reachable(entry, dialect)),
        _ => is_reachable(entry, dialect),
    };
    purse.policy.allows_model(entry.model.id.as_str()) && is_reached
}

/// What is plain data can always be written.
fn to_bytes(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

#[cfg(test)]
pub(super) mod tests {
    use domain::catalog::Model;

    use super::*;

    pub fn entry(id: &str) -> ModelEntry {
        let model = Model {
            id: id.parse().unwrap(),
            name: "One".to_owned(),
            context_length: 1_000,
            max_output_tokens: Some(100),
            input_modalities: vec!["text".to_owned(), "image".to_owned()],
            output_modalities: vec!["text".to_owned()],
            supported_parameters: vec!["tools".to_owned()],
            created: 7,
        };
        ModelEntry { model: model.into(), routes: vec![] }
    }

    #[test]
    fn a_page_begins_behind_the_last_one() {
        let entries = ["a/1", "a/2", "a/3", "a/4"].map(entry);
        let ids = |query: &str| {
            let (entries, has_more) = Page::of(Some(query)).unwrap().cut(entries.iter());
            (entries.iter().map(|entry| entry.model.id.to_string()).collect::<Vec<_>>().join(" "), has_more)
        };
        assert_eq!(ids("limit=2"), ("a/1 a/2".to_owned(), true));
        assert_eq!(ids("limit=2&after_id=a%2F2"), ("a/3 a/4".to_owned(), false));
        assert_eq!(ids("limit=2&before_id=a/4"), ("a/2 a/3".to_owned(), true));
        assert_eq!(ids("pageSize=3&pageToken=a/1"), ("a/2 a/3 a/4".to_owned(), false));
        assert_eq!(Page::of(Some("alt=json")).unwrap(), Page::All);
        assert_eq!(ids("limit=2&after_id=a/25"), ("a/3 a/4".to_owned(), false), "a model that is gone");
        assert_eq!(ids("pageSize=0&pageToken="), ("a/1 a/2 a/3 a/4".to_owned(), false), "Google's default");
        assert_eq!(ids("pageSize=5000"), ("a/1 a/2 a/3 a/4".to_owned(), false));
        for odd in ["limit=0", "limit=x", "limit=100000", "pageSize=x"] {
            assert!(Page::of(Some(odd)).is_err(), "{odd}");
        }
    }

    #[test]
    fn the_family_is_told_by_what_its_clients_send() {
        let asked = |path: &str, header: Option<&'static str>| {
            let mut request = Request::builder().uri(path);
            if let Some(name) = header {
                request = request.header(name, "x");
            }
            dialect(paths::known("openai-chat"), &request.body(()).unwrap()).id
        };
        assert_eq!(asked("/v1/models", None), "openai-chat");
        assert_eq!(asked("/v1/models", Some("anthropic-version")), paths::known("anthropic").id);
        assert_eq!(asked("/v1/models", Some("x-goog-api-key")), paths::known("gemini").id);
        assert_eq!(asked("/v1/models?key=k", None), paths::known("gemini").id);
    }
}
