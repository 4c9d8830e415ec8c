//! Google's generateContent, at the Gemini API and under Vertex. What each file does: `fields` what is acted on in
//! requests, `same` bytes that go through, `ingress/` what faces clients, `egress/` what faces providers, `usage` its
//! numbers, `finish` why answers end, `model` what a model takes by its name, `fault` errors and signs of life; the
//! others are small things that both halves say: spellings, schemas, arguments, log probabilities, media types.
//! Must never know what another dialect looks like.

mod answer;
mod arguments;
mod egress;
mod fault;
mod fields;
mod finish;
mod ingress;
mod logprobs;
mod mime;
mod model;
mod quirks;
mod request;
mod same;
mod schema;
mod spelling;
mod usage;

#[cfg(test)]
mod tests;

pub use fields::FIELDS;

use std::borrow::Cow;

use bytes::Bytes;

use super::{DecodeEvents, Dialect, Egress, EncodeEvents, Ingress, Pass, Routed, Same};
use crate::Carry;
use crate::bridge::{AnswerEdits, Outbound, RequestEdits, Whole};
use crate::error::{BodyFault, Error};
use crate::fault::UpstreamError;
use crate::json::{Value, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{Answer, Request};
use crate::receipt::{Pricer, Receipt};
use crate::scan::Scan;

/// The name on rows.
const ID: &str = "gemini";
/// How ids of calls begin that a provider gave none: they mean nothing to it and are not sent back.
const MADE_ID: &str = "tgcall_";

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    id: ID,
    row: ID,
    fields: FIELDS,
    quirks: quirks::NAMES,
    headers: &[],
    passing_headers: &[],
    route,
    write_fault: fault::encode,
    write_in_band: fault::encode_in_band,
    write_keep_alive: fault::keep_alive,
    same: &BytesThrough,
    ingress: Some(&Clients),
    egress: Some(&Providers),
};

/// The model stands in the path. Streams are always asked for as events, whatever framing the client wants.
fn route(routed: &Routed<'_>) -> Cow<'static, str> {
    let model = routed.upstream_model;
    let folder = if ["models/", "tunedModels/", "endpoints/"].iter().any(|known| model.starts_with(known)) {
        ""
    } else {
        "models/"
    };
    let verb = if routed.stream { ":streamGenerateContent?alt=sse" } else { ":generateContent" };
    let mut path = format!("/{folder}");
    for byte in model.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b'@' | b':' => {
                path.push(char::from(byte))
            }
            other => path.push_str(&format!("%{other:02X}")),
        }
    }
    path.push_str(verb);
    Cow::Owned(path)
}

/// From the dialect to itself.
#[derive(Debug)]
struct BytesThrough;

impl Same for BytesThrough {
    fn request(&self, body: &Bytes, scan: &Scan, wanted: &RequestEdits<'_>) -> Result<Outbound, BodyFault> {
        Ok(request::patch(body, scan, wanted).into())
    }

    fn stream(&self, wanted: &AnswerEdits) -> Box<dyn Pass> {
        Box::new(same::StreamPass::new(wanted))
    }

    fn whole(&self, body: Bytes, wanted: &AnswerEdits, _: &mut dyn Pricer) -> Result<Whole, Error> {
        same::whole(body, wanted)
    }
}

/// What Google's clients send and read.
#[derive(Debug)]
struct Clients;

impl Ingress for Clients {
    fn decode<'a>(&self, body: Value<'a>, scan: &Scan, carry: &Carry) -> Result<Request<'a>, BodyFault> {
        ingress::decode(body, scan, carry)
    }

    fn encode(
        &self,
        answer: &Answer<'_>,
        _: Option<&Receipt>,
        wanted: &AnswerEdits,
        out: &mut Writer,
        losses: &mut Losses,
    ) {
        ingress::encode(answer, wanted, out, losses);
    }

    fn stream(&self, wanted: &AnswerEdits) -> Box<dyn EncodeEvents> {
        Box::new(ingress::Events::new(wanted))
    }

    fn held(&self) -> &'static [&'static str] {
        &["cachedContent"]
    }

    fn losses(&self) -> &'static [Loss] {
        ingress::LOSSES
    }
}

/// What Google's models are asked and answer.
#[derive(Debug)]
struct Providers;

impl Egress for Providers {
    fn encode(
        &self,
        request: &Request<'_>,
        wanted: &RequestEdits<'_>,
        out: &mut Writer,
        losses: &mut Losses,
    ) -> Result<(), BodyFault> {
        egress::encode(request, wanted, out, losses)
    }

    fn decode<'a>(&self, answer: Value<'a>) -> Result<Answer<'a>, UpstreamError> {
        egress::decode(answer, "")
    }

    fn decode_with<'a>(&self, answer: Value<'a>, seed: &str) -> Result<Answer<'a>, UpstreamError> {
        egress::decode(answer, seed)
    }

    fn stream(&self) -> Box<dyn DecodeEvents> {
        Box::new(egress::Events::default())
    }

    fn takes_name(&self) -> fn(&str) -> bool {
        egress::takes_name
    }

    fn losses(&self) -> &'static [Loss] {
        egress::LOSSES
    }
}
