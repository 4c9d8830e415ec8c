//! What the two halves promise. The lines of the translation checklist have their numbers in the names.

mod answers;
mod bounds;
mod losses;
mod requests;
mod streams;
mod thoughts;

use bytes::Bytes;
use domain::money::Money;
use domain::usage::TokenUsage;
use serde_json::Value;

use super::DIALECT;
use crate::bridge::{AnswerEdits, Bridge, RequestEdits};
use crate::carry::Carry;
use crate::dialect::Framing;
use crate::error::BodyFault;
use crate::fault::Surface;
use crate::json::{Tape, Writer};
use crate::loss::Losses;
use crate::names::Names;
use crate::receipt::{Pricer, Receipt};

/// The name of a dialect that is not this one.
const OTHER: &str = "another-family";

fn carry() -> Carry {
    Carry::new(b"a credential", "org", "provider", "model")
}

/// A body around these messages and fields.
fn body(messages: &str, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"model":"m","messages":{messages}{comma}{fields}}}"#)
}

/// What a provider gets of a request that came from this dialect or another one.
fn sent_from(from: &'static str, body: &str, quirks: &[&str]) -> Result<(Value, Losses), BodyFault> {
    let scan = DIALECT.scan(body.as_bytes()).unwrap();
    let (carry, mut tape, mut losses) = (carry(), Tape::default(), Losses::default());
    let mut request = DIALECT.ingress.unwrap().decode(tape.read_strictly(body.as_bytes())?, &scan, &carry)?;
    request.from = from;
    let wanted = RequestEdits {
        upstream_model: "up",
        token_limit: None,
        quirks: DIALECT.parse_quirks(quirks).unwrap(),
        max_output: Some(1_000),
        input_modalities: &[],
        require_parameters: false,
        surface: crate::fault::Surface::V1,
        carry: &carry,
    };
    let mut out = Writer::new(&Bytes::new());
    DIALECT.egress.unwrap().encode(&request, &wanted, &mut out, &mut losses)?;
    let sent = out.finish().into_bytes();
    Ok((serde_json::from_slice(&sent).unwrap(), losses))
}

/// The same from this dialect, which loses nothing.
fn sent(body: &str) -> Value {
    let (sent, losses) = sent_from(super::ID, body, &[]).unwrap();
    assert!(losses.is_empty(), "{losses}");
    sent
}

/// The messages alone.
fn messages_from(from: &'static str, messages: &str, quirks: &[&str]) -> (Value, Losses) {
    let (sent, losses) = sent_from(from, &body(messages, ""), quirks).unwrap();
    (sent["messages"].clone(), losses)
}

fn edits(surface: Surface) -> AnswerEdits {
    AnswerEdits {
        public_model: "public/model".to_owned(),
        wants_usage: true,
        surface,
        framing: Framing::Events,
        request_id: "req_1".to_owned(),
        created: 1_700_000_000,
        carry: carry(),
        names: Names::default(),
        request: Bytes::new(),
        ..AnswerEdits::default()
    }
}

fn pricer() -> impl Pricer {
    |_: &TokenUsage| Receipt { cost: Money::from_nano(412_000), is_byok: false, upstream_cost: None }
}

fn translating() -> Bridge {
    Bridge::translating(&DIALECT, &DIALECT).unwrap()
}
