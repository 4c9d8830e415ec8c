//! What was done with a request, for callers who ask for it with a header: `openrouter_metadata` in a whole answer, in an
//! error, and in a chunk of its own before the end of a chat's stream. Costs nothing where nobody asks. Never says more of a
//! provider than the caller may see anyway.

use std::rc::Rc;

use bytes::Bytes;
use domain::routing::Trigger;
use http::{HeaderMap, HeaderName};
use serde::Serialize;

use super::judge::Miss;
use crate::offers::Lane;

static OPENROUTER: HeaderName = HeaderName::from_static("x-openrouter-metadata");
static EXPLAIN: HeaderName = HeaderName::from_static("x-tollgate-explain");
/// The end of a chat's stream.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// Longest name of a region that is kept, in bytes.
const REGION_LONGEST: usize = 64;

/// What every record remembers of the plan.
pub(super) fn way(strategy: &'static str, candidates: usize, region: Option<&str>) -> domain::usage::Trail {
    let region = region.unwrap_or_default();
    let region = region.get(..region.floor_char_boundary(REGION_LONGEST)).unwrap_or_default();
    domain::usage::Trail::new(strategy.into(), u32::try_from(candidates).unwrap_or(u32::MAX), region.to_owned())
}

/// Whether the caller asks for it.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let says = |name, words: &[&str]| {
        let said =
            |value: &http::HeaderValue| words.iter().any(|word| value.as_bytes().eq_ignore_ascii_case(word.as_bytes()));
        headers.get(name).is_some_and(said)
    };
    says(&OPENROUTER, &["enabled"]) || says(&EXPLAIN, &["true", "enabled", "1"])
}

/// What is remembered for it on the way.
pub(crate) struct Trail {
    pub requested: String,
    pub strategy: &'static str,
    /// The region that was preferred.
    pub region: Option<String>,
    /// In the order in which they would be tried.
    pub lanes: Rc<[Rc<Lane>]>,
    /// All endpoints that were looked at.
    pub total: usize,
    missed: Vec<Step>,
}

/// One attempt.
#[derive(Clone, Serialize)]
struct Step {
    provider: String,
    model: String,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// What kind of failure it was, in the words of rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<&'static str>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    requested: &'a str,
    strategy: &'static str,
    region: Option<&'a str>,
    summary: String,
    attempt: u32,
    is_byok: bool,
    endpoints: Endpoints<'a>,
    attempts: Vec<Step>,
    /// Nothing of ours changes parameters or adds stages.
    params: Nothing,
    pipeline: [Nothing; 0],
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Endpoints<'a> {
    total: usize,
    available: Vec<Available<'a>>,
}

#[derive(Serialize)]
struct Available<'a> {
    provider: &'a str,
    model: &'a str,
    selected: bool,
}

impl Trail {
    pub fn new(
        requested: &str,
        strategy: &'static str,
        region: Option<String>,
        lanes: Rc<[Rc<Lane>]>,
        total: usize,
    ) -> Trail {
        Trail { requested: requested.to_owned(), strategy, region, lanes, total, missed: Vec::new() }
    }

    /// An attempt at this endpoint failed.
    pub(super) fn miss(&mut self, lane: &Lane, miss: &Miss) {
        self.missed.push(Step {
            provider: miss.provider.to_string(),
            model: lane.route.endpoint.model.to_string(),
            status: miss.status(),
            code: Some(miss.code().to_owned()),
            trigger: miss.trigger().map(Trigger::name),
        });
    }

    /// `"openrouter_metadata":{…}`. `answered`: by whom, at which attempt.
    pub fn member(&self, answered: Option<&Lane>, attempt: u32) -> String {
        let ids = |lane: &Lane| (lane.route.provider.id.to_string(), lane.route.endpoint.model.to_string());
        let is_selected = |lane: &Lane| answered.is_some_and(|by| ids(by) == ids(lane));
        let last =
            answered.map(ids).map(|(provider, model)| Step { provider, model, status: 200, code: None, trigger: None });
        let metadata = Metadata {
            requested: &self.requested,
            strategy: self.strategy,
            region: self.region.as_deref(),
            summary: self.summary(answered, attempt),
            attempt,
            is_byok: false,
            endpoints: Endpoints {
                total: self.total,
                available: self.lanes.iter().map(|lane| available(lane, is_selected(lane))).collect(),
            },
            attempts: self.missed.iter().cloned().chain(last).collect(),
            params: Nothing {},
            pipeline: [],
        };
        // Texts, numbers and lists: it can always be written.
        format!("\"openrouter_metadata\":{}", serde_json::to_string(&metadata).unwrap_or_default())
    }

    fn summary(&self, answered: Option<&Lane>, attempt: u32) -> String {
        let (kept, total) = (self.lanes.len(), self.total);
        match answered {
            Some(lane) => {
                let provider = &lane.route.provider.id;
                format!(
                    "{provider} answered at attempt {attempt}; {kept} of {total} endpoints could serve the request."
                )
            }
            None => {
                format!("Nobody answered in {attempt} attempts; {kept} of {total} endpoints could serve the request.")
            }
        }
    }
}

fn available(lane: &Lane, selected: bool) -> Available<'_> {
    Available { provider: lane.route.provider.id.as_str(), model: lane.route.endpoint.model.as_str(), selected }
}

/// Whether these bytes are the end of a chat's stream.
pub(super) fn is_end(out: &[u8]) -> bool {
    out.ends_with(DONE)
}

/// The end of a chat's stream with a chunk before it.
pub(super) fn before_end(out: &[u8], id: &str, model: &str, created: u64, member: &str) -> Bytes {
    let before = out.strip_suffix(DONE).unwrap_or(out);
    let (id, model) = (serde_json::Value::from(id), serde_json::Value::from(model));
    let chunk = format!(
        "data: {{\"id\":{id},\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":{model},\"choices\":[],{member}}}\n\n"
    );
    [before, chunk.as_bytes(), DONE].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_to_those_who_ask() {
        let asks = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            is_wanted(&headers)
        };
        assert!(asks("x-openrouter-metadata", "enabled") && asks("x-tollgate-explain", "True"));
        assert!(!asks("x-openrouter-metadata", "disabled") && !asks("x-tollgate-explain", "no"));
        assert!(!is_wanted(&HeaderMap::new()));
    }

    #[test]
    fn a_chunk_comes_before_the_end() {
        assert!(!is_end(b"data: {}\n\n"));
        let out = b"data: {}\n\ndata: [DONE]\n\n";
        assert!(is_end(out));
        let told = before_end(out, "i\"d", "m", 7, "\"x\":1");
        let expected = "data: {}\n\ndata: {\"id\":\"i\\\"d\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\
                        \"choices\":[],\"x\":1}\n\ndata: [DONE]\n\n";
        assert_eq!(told, expected);
    }
}
