//! What the halves promise, on recorded traffic and on requests and answers of other dialects. Bytes through are tested
//! from outside.

mod answers;
mod any;
mod bounds;
#[allow(dead_code, reason = "shared with the tests from outside, which use more of it")]
use crate::fixtures;
mod losses;
mod own;
mod streams;
mod target;

use bytes::Bytes;
use serde_json::Value;

use super::egress::Egress;
use super::ingress::Ingress;
use super::{DIALECT, FIELDS};
use crate::bridge::{AnswerEdits, RequestEdits};
use crate::dialect::{Egress as _, Framing, Ingress as _};
use crate::error::BodyFault;
use crate::fault::Surface;
use crate::json::{Tape, Writer};
use crate::loss::Losses;
use crate::model::{Answer, Part, PartBody, Request, Role, Turn};
use crate::names::Names;
use crate::{Carry, scan};

const FAMILY: [&str; 2] = ["anthropic", "anthropic-count-tokens"];

fn carry() -> Carry {
    Carry::new(b"secret", "org", "lab", "model")
}

/// A request read by this dialect's ingress half, given to `look`.
fn read<R>(body: &str, look: impl FnOnce(&Request<'_>) -> R) -> Result<R, BodyFault> {
    let scan = scan(body.as_bytes(), FIELDS)?;
    let mut tape = Tape::default();
    let request = Ingress.decode(tape.read_strictly(body.as_bytes())?, &scan, &carry())?;
    Ok(look(&request))
}

/// What was written. It is always JSON; nothing is shown of what is grammatical and means no text or number, since bodies
/// with half an emoji in them pass as they are.
fn json(text: &[u8]) -> Value {
    Tape::default().read(text).unwrap();
    serde_json::from_slice(text).unwrap_or_default()
}

/// What an endpoint is, as far as the egress half cares.
#[derive(Default)]
struct Endpoint {
    quirks: &'static [&'static str],
    token_limit: Option<u64>,
    max_output: Option<u64>,
}

impl Endpoint {
    /// A request as this endpoint gets it.
    fn gets(&self, request: &Request<'_>) -> Result<(Value, Losses), BodyFault> {
        let carry = carry();
        let wanted = RequestEdits {
            upstream_model: "claude",
            token_limit: self.token_limit,
            quirks: DIALECT.parse_quirks(self.quirks).unwrap(),
            max_output: self.max_output,
            input_modalities: &[],
            require_parameters: false,
            surface: crate::fault::Surface::V1,
            carry: &carry,
        };
        let mut out = Writer::new(&Bytes::new());
        let mut losses = Losses::default();
        Egress.encode(request, &wanted, &mut out, &mut losses)?;
        Ok((json(&out.finish().into_bytes()), losses))
    }
}

fn usual() -> Endpoint {
    Endpoint::default()
}

fn with(quirks: &'static [&'static str]) -> Endpoint {
    Endpoint { quirks, ..Endpoint::default() }
}

/// A request of another dialect, in which a user says something.
fn foreign<'a>() -> Request<'a> {
    Request {
        from: "openai-chat",
        conversation: "messages",
        turns: vec![turn(0, Role::User, vec![Part::text("hello")])],
        ..Request::default()
    }
}

fn turn(at: usize, role: Role, parts: Vec<Part<'_>>) -> Turn<'_> {
    Turn { at, role, parts, name: None }
}

fn call<'a>(id: &'a str, name: &'a str, arguments: &'a str) -> Part<'a> {
    Part::new(PartBody::ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() })
}

fn result<'a>(id: &'a str, content: Vec<Part<'a>>) -> Part<'a> {
    Part::new(PartBody::ToolResult { id: id.into(), name: None, content, is_error: false })
}

fn answer_edits() -> AnswerEdits {
    AnswerEdits {
        public_model: "public/model".to_owned(),
        wants_usage: false,
        surface: Surface::V1,
        framing: Framing::Events,
        request_id: "req_7".to_owned(),
        created: 0,
        carry: carry(),
        names: Names::default(),
        request: Bytes::new(),
        ..AnswerEdits::default()
    }
}

/// An answer as a client of this dialect gets it.
fn shown(answer: &Answer<'_>) -> (Value, Losses) {
    let mut out = Writer::new(&Bytes::new());
    let mut losses = Losses::default();
    Ingress.encode(answer, None, &answer_edits(), &mut out, &mut losses);
    (json(&out.finish().into_bytes()), losses)
}
