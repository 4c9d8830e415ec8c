//! Requests, answers and streams of Converse. There are no recordings of it: shapes are those of its documentation, and
//! frames are made here.

mod answers;
mod bounds;
mod conversation;
mod losses;
mod odd;
mod requests;
mod rules;
mod streams;
mod thoughts;
mod tools;

use bytes::Bytes;
use domain::money::Money;
use domain::usage::TokenUsage;
use serde_json::Value;

use crate::Carry;
use crate::bridge::{AnswerEdits, RequestEdits};
use crate::dialect::bedrock_converse::DIALECT;
use crate::drive::StreamEnd;
use crate::error::BodyFault;
use crate::json::Writer;
use crate::loss::Losses;
use crate::model::{
    CacheMark, Media, MediaKind, Part, PartBody, Request, Role, Signature, Source, Thought, Tool, ToolKind, Turn,
};
use crate::receipt::Receipt;

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "us.amazon.nova-2-lite-v1:0";
const GPT: &str = "openai.gpt-oss-120b-1:0";
const QWEN: &str = "qwen.qwen3-coder-30b-a3b-v1:0";
const LLAMA: &str = "us.meta.llama4-scout-17b-instruct-v1:0";

/// An endpoint, as far as it changes what is sent.
#[derive(Debug, Clone, Copy)]
struct Endpoint {
    model: &'static str,
    quirks: &'static [&'static str],
    token_limit: Option<u64>,
    max_output: Option<u64>,
}

const fn of(model: &'static str) -> Endpoint {
    Endpoint { model, quirks: &[], token_limit: None, max_output: None }
}

const fn with(model: &'static str, quirks: &'static [&'static str]) -> Endpoint {
    Endpoint { quirks, ..of(model) }
}

fn try_encode(request: &Request<'_>, endpoint: Endpoint) -> Result<(Value, Losses), BodyFault> {
    let carry = Carry::default();
    let wanted = RequestEdits {
        quirks: DIALECT.parse_quirks(endpoint.quirks).unwrap(),
        token_limit: endpoint.token_limit,
        max_output: endpoint.max_output,
        ..RequestEdits::new(endpoint.model, &carry)
    };
    let mut out = Writer::new(&Bytes::new());
    let mut losses = Losses::default();
    DIALECT.egress.unwrap().encode(request, &wanted, &mut out, &mut losses)?;
    let body = out.finish().into_bytes();
    Ok((serde_json::from_slice(&body).expect("what is sent is JSON"), losses))
}

/// What is sent, which obeys Converse's rules, and what was lost, by name.
#[track_caller]
fn encode(request: &Request<'_>, endpoint: Endpoint) -> (Value, String) {
    let (body, losses) = try_encode(request, endpoint).unwrap();
    rules::check(&body);
    (body, losses.to_string())
}

/// The messages that are sent.
#[track_caller]
fn messages(request: &Request<'_>, endpoint: Endpoint) -> Value {
    encode(request, endpoint).0["messages"].take()
}

fn request(turns: Vec<Turn<'static>>) -> Request<'static> {
    let turns = turns.into_iter().enumerate().map(|(at, turn)| Turn { at, ..turn }).collect();
    Request { from: "elsewhere", conversation: "messages", turns, ..Request::default() }
}

fn turn(role: Role, parts: Vec<Part<'static>>) -> Turn<'static> {
    Turn { at: 0, role, parts, name: None }
}

fn system(text: &'static str) -> Turn<'static> {
    turn(Role::System, vec![Part::text(text)])
}

fn user(text: &'static str) -> Turn<'static> {
    turn(Role::User, vec![Part::text(text)])
}

fn assistant(text: &'static str) -> Turn<'static> {
    turn(Role::Assistant, vec![Part::text(text)])
}

fn call(id: &'static str, name: &'static str, arguments: &'static str) -> Part<'static> {
    Part::new(PartBody::ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() })
}

fn result(id: &'static str, content: Vec<Part<'static>>, is_error: bool) -> Part<'static> {
    Part::new(PartBody::ToolResult { id: id.into(), name: None, content, is_error })
}

fn thought(text: &'static str, signature: Option<Signature<'static>>) -> Part<'static> {
    let body = PartBody::Thought(Thought { text: text.into(), ..Thought::default() });
    Part { signature, ..Part::new(body) }
}

fn redacted(sealed: &'static str) -> Part<'static> {
    let body = PartBody::Thought(Thought { is_redacted: true, ..Thought::default() });
    Part { signature: Some(Signature::Own(sealed.into())), ..Part::new(body) }
}

fn media(kind: MediaKind, mime: &'static str, source: Source<'static>) -> Part<'static> {
    Part::media(kind, Some(mime), source)
}

fn inline(kind: MediaKind, mime: &'static str) -> Part<'static> {
    media(kind, mime, Source::Inline("AAAA".into()))
}

fn file(name: &'static str) -> Part<'static> {
    let media = Media {
        kind: MediaKind::File,
        mime: Some("application/pdf".into()),
        source: Source::Inline("JVBERi0=".into()),
        name: Some(name.into()),
        detail: None,
        at: String::new(),
    };
    Part::new(PartBody::Media(media))
}

fn marked(part: Part<'static>, mark: CacheMark) -> Part<'static> {
    Part { cache: Some(mark), ..part }
}

fn tool(name: &'static str) -> Tool<'static> {
    let schema = Some(r#"{"type":"object","properties":{"x":{"type":"string"}}}"#);
    let kind = ToolKind::Function {
        name: name.into(),
        description: Some("does".into()),
        schema: schema.map(Into::into),
        strict: None,
    };
    Tool { kind, cache: None }
}

/// One frame of Amazon's event streams.
fn frame(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).unwrap());
        head.extend_from_slice(name.as_bytes());
        head.push(7);
        head.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let total = u32::try_from(16 + head.len() + payload.len()).unwrap();
    let mut out = total.to_be_bytes().to_vec();
    out.extend_from_slice(&u32::try_from(head.len()).unwrap().to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload.as_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}

fn event(name: &str, payload: &str) -> Vec<u8> {
    let headers = [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    frame(&headers, payload)
}

fn exception(name: &str, payload: &str) -> Vec<u8> {
    let headers = [(":exception-type", name), (":content-type", "application/json"), (":message-type", "exception")];
    frame(&headers, payload)
}

fn events(events: &[(&str, &str)]) -> Vec<u8> {
    events.iter().flat_map(|(name, payload)| event(name, payload)).collect()
}

#[test]
fn the_route_names_the_operation_and_leaves_the_model_to_who_sends() {
    let routed =
        |stream| crate::Routed { operation: "", upstream_model: "a/b:0", stream, quirks: crate::Quirks::default() };
    assert_eq!(DIALECT.route(&routed(false)), "/model/{model}/converse");
    assert_eq!(DIALECT.route(&routed(true)), "/model/{model}/converse-stream");
}

#[test]
fn it_is_a_target_only_and_nothing_passes_it_unread() {
    assert!(DIALECT.ingress.is_none() && DIALECT.egress.is_some_and(|egress| egress.is_aws_framed()));
    assert!(!crate::dialect::DIALECTS.iter().any(|client| client.ingress.is_some() && *client == &DIALECT));
    let mut pricer = |_: &TokenUsage| Receipt { cost: Money::ZERO, is_byok: false, upstream_cost: None };
    let mut pass = DIALECT.same.stream(&AnswerEdits::default());
    assert!(pass.push(Bytes::from_static(b"x"), &mut pricer).is_empty() && !pass.is_open());
    assert_eq!(pass.end(&mut pricer).1, StreamEnd::Truncated);
    assert!(DIALECT.same.whole(Bytes::from_static(b"{}"), &AnswerEdits::default(), &mut pricer).is_err());
}
