//! Both halves of the dialect and the way through, on recorded traffic and on cases of the checklist.

mod answers;
mod asks;
mod bounds;
mod losses;
mod odd;
mod reads;
mod streams;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value as Json;

use super::DIALECT;
use crate::bridge::{AnswerEdits, RequestEdits};
use crate::dialect::{Dialect, Framing, Quirks};
use crate::error::BodyFault;
use crate::fault::Surface;
use crate::json::{Tape, Writer};
use crate::loss::Losses;
use crate::model::Request;
use crate::receipt::Receipt;
use crate::{Carry, Names};
use domain::money::Money;
use domain::usage::TokenUsage;

/// One recorded exchange.
pub struct Case {
    pub name: String,
    /// Empty where the recording does not say.
    pub model: String,
    pub request: Option<Bytes>,
    pub response: Bytes,
    pub is_stream: bool,
    pub status: u64,
}

fn root() -> Option<PathBuf> {
    let path = match std::env::var_os("TOLLGATE_FIXTURES") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
    };
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: no recorded traffic at {}", path.display());
    None
}

/// All recorded traffic of the family; none, with a word about it, where there is none.
pub fn cases() -> Vec<Case> {
    let Some(root) = root() else { return Vec::new() };
    let mut cases = Vec::new();
    for (folder, start) in [("gemini", ""), ("constructed", "gemini-")] {
        let names = std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names.retain(|name| name.starts_with(start));
        cases.extend(names.into_iter().map(|name| case(&root.join(folder).join(&name), name)));
    }
    assert!(cases.len() > 40, "the recorded traffic is not all there");
    cases
}

fn case(folder: &Path, name: String) -> Case {
    let read = |file: &str| std::fs::read(folder.join(file)).ok().map(Bytes::from);
    let meta: Json = serde_json::from_slice(&read("meta.json").unwrap()).unwrap();
    let stream = read("response.sse");
    let is_stream = stream.is_some();
    let response = stream.or_else(|| read("response.json")).unwrap();
    Case {
        name,
        model: meta["model"].as_str().unwrap_or_default().to_owned(),
        request: read("request.json"),
        response,
        is_stream,
        status: meta["status"].as_u64().unwrap(),
    }
}

pub fn carry() -> Carry {
    Carry::new(b"secret", "org", "provider", "model")
}

/// What an endpoint with this model and these quirks is asked with.
pub fn wanted<'a>(upstream_model: &'a str, quirks: &[&str], carry: &'a Carry) -> RequestEdits<'a> {
    RequestEdits {
        upstream_model,
        token_limit: None,
        quirks: DIALECT.parse_quirks(quirks).unwrap(),
        max_output: None,
        input_modalities: &[],
        require_parameters: false,
        surface: crate::fault::Surface::V1,
        carry,
    }
}

pub fn edits(request: &str) -> AnswerEdits {
    AnswerEdits {
        public_model: "lab/public".to_owned(),
        wants_usage: true,
        surface: Surface::V1,
        framing: Framing::Events,
        request_id: "req_1".to_owned(),
        created: 7,
        carry: carry(),
        names: Names::default(),
        request: Bytes::copy_from_slice(request.as_bytes()),
        ..AnswerEdits::default()
    }
}

/// A request that asks for thoughts.
pub const THOUGHTFUL: &str = r#"{"generationConfig":{"thinkingConfig":{"includeThoughts":true}}}"#;

pub fn no_price(_: &TokenUsage) -> Receipt {
    Receipt { cost: Money::ZERO, is_byok: false, upstream_cost: None }
}

/// Reads a request and lets the test look at it.
pub fn decoded<T>(body: &str, look: impl FnOnce(Request<'_>) -> T) -> Result<T, BodyFault> {
    let scan = DIALECT.scan(body.as_bytes())?.at(Some("m".to_owned()), false);
    let mut tape = Tape::default();
    let value = tape.read_strictly(body.as_bytes())?;
    super::ingress::decode(value, &scan, &carry()).map(look)
}

/// Writes a request for a model: its body and what was lost.
pub fn asked(request: &Request<'_>, wanted: &RequestEdits<'_>) -> Result<(Json, Losses), BodyFault> {
    let mut out = Writer::new(&Bytes::new());
    let mut losses = Losses::default();
    super::egress::encode(request, wanted, &mut out, &mut losses)?;
    Ok((serde_json::from_slice(&out.finish().into_bytes()).unwrap(), losses))
}

/// From a client's request to a provider's, by canonical words.
pub fn crossed(body: &str, model: &str, quirks: &[&str]) -> (Json, Losses) {
    let carry = carry();
    decoded(body, |request| asked(&request, &wanted(model, quirks, &carry)).unwrap()).unwrap()
}

pub fn json(text: impl AsRef<[u8]>) -> Json {
    serde_json::from_slice(text.as_ref()).unwrap()
}

/// The data of each event.
pub fn events(stream: &[u8]) -> Vec<Json> {
    let text = std::str::from_utf8(stream).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(json).collect()
}

#[test]
fn the_route_has_the_model_and_the_verb_in_it() {
    let route = |model, stream| {
        let routed = crate::Routed { upstream_model: model, stream, quirks: Quirks::default(), ..Default::default() };
        DIALECT.route(&routed).into_owned()
    };
    assert_eq!(route("gemini-2.5-flash", false), "/models/gemini-2.5-flash:generateContent");
    assert_eq!(route("gemini-2.5-flash", true), "/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
    assert_eq!(route("tunedModels/my tuned?", false), "/tunedModels/my%20tuned%3F:generateContent");
    assert_eq!(route("models/x", false), "/models/x:generateContent");
    assert_eq!(crate::dialect::find("gemini"), Some(&DIALECT as &Dialect));
}
