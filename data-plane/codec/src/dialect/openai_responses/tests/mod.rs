//! The promises of this dialect, on recorded traffic and on what the checklist names. This file has what the others share.

mod answers;
mod bounds;
mod laws;
mod requests;

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use domain::money::Money;
use domain::usage::TokenUsage;
use serde_json::{Value as Json, json};

use super::{DIALECT, egress::Providers, ingress::Clients};
use crate::bridge::{AnswerEdits, RequestEdits};
use crate::carry::Carry;
use crate::dialect::{Egress as _, Framing, Ingress as _, Pass, Quirks};
use crate::drive::StreamEnd;
use crate::error::BodyFault;
use crate::fault::Surface;
use crate::json::{Tape, Writer};
use crate::loss::Losses;
use crate::model::{Answer, Request};
use crate::names::Names;
use crate::receipt::Receipt;

/// One recorded exchange.
struct Case {
    name: String,
    request: Option<Vec<u8>>,
    response: Vec<u8>,
    is_stream: bool,
    status: u64,
}

/// What OpenAI and xAI answered; none, with a word about it, where there are no recordings.
fn cases() -> Vec<Case> {
    let root = match std::env::var_os("TOLLGATE_FIXTURES") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
    };
    if !root.is_dir() {
        println!("skipped: no recorded traffic at {}", root.display());
        return Vec::new();
    }
    let mut cases = Vec::new();
    for folder in ["openai-responses", "xai-responses"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let read = |file: &str| fs::read(path.join(file)).ok();
            let meta: Json = serde_json::from_slice(&read("meta.json").unwrap()).unwrap();
            let stream = read("response.sse");
            cases.push(Case {
                name: format!("{folder}/{}", path.file_name().unwrap().to_string_lossy()),
                request: read("request.json"),
                is_stream: stream.is_some(),
                response: stream.or_else(|| read("response.json")).unwrap(),
                status: meta["status"].as_u64().unwrap(),
            });
        }
    }
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(cases.len() > 40);
    cases
}

fn streams() -> impl Iterator<Item = Case> {
    cases().into_iter().filter(|case| case.is_stream)
}

fn wholes() -> impl Iterator<Item = Case> {
    cases().into_iter().filter(|case| !case.is_stream && case.status == 200)
}

fn carry() -> Carry {
    Carry::new(b"secret", "org", "provider", "model")
}

fn request_edits(carry: &Carry) -> RequestEdits<'_> {
    RequestEdits {
        upstream_model: "up",
        token_limit: None,
        quirks: Quirks::default(),
        max_output: Some(32_000),
        input_modalities: &[],
        require_parameters: false,
        surface: crate::fault::Surface::V1,
        carry,
    }
}

fn answer_edits(request: &[u8]) -> AnswerEdits {
    AnswerEdits {
        public_model: "public/model".to_owned(),
        wants_usage: true,
        surface: Surface::V1,
        framing: Framing::Events,
        request_id: "req_1".to_owned(),
        created: 1_700_000_000,
        carry: carry(),
        names: Names::default(),
        request: Bytes::copy_from_slice(request),
        ..AnswerEdits::default()
    }
}

const RECEIPT: Receipt = Receipt { cost: Money::from_nano(412_000), is_byok: false, upstream_cost: None };

fn pricer() -> impl FnMut(&TokenUsage) -> Receipt {
    |_: &TokenUsage| RECEIPT
}

/// A client's request, read.
fn decoded<T>(body: &str, read: impl FnOnce(Result<Request<'_>, BodyFault>) -> T) -> T {
    let scan = match DIALECT.scan(body.as_bytes()) {
        Ok(scan) => scan,
        Err(fault) => return read(Err(fault)),
    };
    let mut tape = Tape::default();
    let value = tape.read_strictly(body.as_bytes()).unwrap();
    read(Clients.decode(value, &scan, &carry()))
}

/// What a request is wrong with: the field's path.
fn fault_of(body: Json) -> BodyFault {
    decoded(&body.to_string(), |request| request.expect_err("a fault"))
}

/// A request as a provider gets it, and what was lost.
fn encoded(request: &Request<'_>, edits: &RequestEdits<'_>) -> Result<(Json, Losses), BodyFault> {
    let mut out = Writer::new(&Bytes::new());
    let mut losses = Losses::default();
    Providers.encode(request, edits, &mut out, &mut losses)?;
    Ok((serde_json::from_slice(&out.finish().into_bytes()).unwrap(), losses))
}

/// A client's request as a provider of the same dialect gets it through canonical words.
fn round(body: Json) -> (Json, Losses) {
    decoded(&body.to_string(), |request| encoded(&request.unwrap(), &request_edits(&carry())).unwrap())
}

/// A request that came from another dialect.
fn foreign(request: Request<'_>) -> (Json, Losses) {
    let carry = carry();
    encoded(&Request { from: "another", ..request }, &request_edits(&carry)).unwrap()
}

/// A provider's whole answer, read.
fn answered<T>(body: &[u8], read: impl FnOnce(Answer<'_>) -> T) -> T {
    let mut tape = Tape::default();
    read(Providers.decode(tape.read(body).unwrap()).unwrap())
}

/// A whole answer as a client gets it.
fn shown(answer: &Answer<'_>, request: &[u8]) -> (Json, Losses) {
    let mut out = Writer::new(&Bytes::new());
    let mut losses = Losses::default();
    Clients.encode(answer, Some(&RECEIPT), &answer_edits(request), &mut out, &mut losses);
    (serde_json::from_slice(&out.finish().into_bytes()).unwrap(), losses)
}

/// What comes out of a pass, given a stream in pieces of `size` bytes.
fn passed(mut pass: impl Pass, stream: &[u8], size: usize) -> (Vec<u8>, StreamEnd, crate::tap::Tap) {
    let mut pricer = pricer();
    let mut out = Vec::new();
    for chunk in stream.chunks(size.max(1)) {
        out.extend_from_slice(&pass.push(Bytes::copy_from_slice(chunk), &mut pricer));
    }
    let (rest, end) = pass.end(&mut pricer);
    out.extend_from_slice(&rest);
    (out, end, pass.tap().clone())
}

/// The data of all events in a stream, and their names.
fn events(stream: &[u8]) -> Vec<(String, Json)> {
    let text = std::str::from_utf8(stream).unwrap();
    let event = |text: &str| {
        let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned);
        Some((line("event: ")?, serde_json::from_str(&line("data: ")?).ok()?))
    };
    text.split("\n\n").filter(|text| !text.is_empty()).filter_map(event).collect()
}

/// The response in the last event of a stream.
fn last_response(stream: &[u8]) -> Json {
    events(stream).pop().map(|(_, data)| data["response"].clone()).unwrap()
}

/// A minimal request with more fields.
fn asked(more: Json) -> Json {
    let mut body = json!({"model": "m", "input": "hello"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}
