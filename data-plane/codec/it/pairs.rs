//! Every way between two dialects, and what goes over it. Grows with `codec::dialect::DIALECTS`.

use bytes::Bytes;
use codec::dialect::DIALECTS;
use codec::{AnswerEdits, BodyFault, Bridge, Dialect, Error, Outbound, StreamEnd, Tap, Whole};

use crate::edits::{self, pricer};

pub type Pair = (&'static Dialect, &'static Dialect);

/// Client and provider of every translation, a dialect and itself included.
pub fn all() -> Vec<Pair> {
    let pairs = DIALECTS.iter().flat_map(|client| DIALECTS.iter().map(move |provider| (*client, *provider)));
    pairs.filter(|(client, provider)| Bridge::translating(client, provider).is_some()).collect()
}

/// Dialects with both halves.
pub fn dialects() -> Vec<&'static Dialect> {
    all().into_iter().filter(|(client, provider)| client == provider).map(|(client, _)| client).collect()
}

pub fn bridge((client, provider): Pair) -> Bridge {
    Bridge::translating(client, provider).unwrap()
}

/// A request of the client as its provider gets it. `model` and `is_stream` stand in the path in some dialects.
pub fn request(pair: Pair, body: &[u8], model: Option<&str>, is_stream: bool) -> Result<Outbound, BodyFault> {
    request_with(pair, body, model, is_stream, &[])
}

pub fn request_with(
    pair: Pair,
    body: &[u8],
    model: Option<&str>,
    is_stream: bool,
    quirks: &[&str],
) -> Result<Outbound, BodyFault> {
    let body = Bytes::copy_from_slice(body);
    let scan = pair.0.scan(&body)?.at(model.map(str::to_owned), is_stream);
    let mut wanted = edits::request("up", None);
    wanted.quirks = pair.1.parse_quirks(quirks).unwrap();
    bridge(pair).request(&body, &scan, &wanted)
}

/// What a request's answer is wanted like.
pub fn edits_for(request: &[u8]) -> AnswerEdits {
    AnswerEdits { request: Bytes::copy_from_slice(request), ..edits::answer("public/model", true) }
}

/// A provider's whole answer as the client gets it.
pub fn whole(pair: Pair, body: &[u8], edits: &AnswerEdits) -> Result<Whole, Error> {
    bridge(pair).whole(Bytes::copy_from_slice(body), edits, &mut pricer())
}

pub struct Streamed {
    pub out: Vec<u8>,
    pub end: StreamEnd,
    pub tap: Tap,
}

/// A provider's stream, in pieces of `size` bytes, as the client gets it.
pub fn stream(pair: Pair, bytes: &[u8], size: usize, edits: &AnswerEdits) -> Streamed {
    let mut pass = bridge(pair).stream(edits);
    let mut out = Vec::new();
    for chunk in bytes.chunks(size.max(1)) {
        if !pass.is_open() {
            break;
        }
        out.extend_from_slice(&pass.push(Bytes::copy_from_slice(chunk), &mut pricer()));
    }
    let (rest, end) = pass.end(&mut pricer());
    out.extend_from_slice(&rest);
    Streamed { out, end, tap: pass.tap().clone() }
}
