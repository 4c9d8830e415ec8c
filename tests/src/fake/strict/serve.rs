//! From a request to the bytes of its answer, which is pure, and from there onto the socket.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::brain::{self, Answer};
use super::{
    Ask, BROKEN, Checks, Family, Front, Journal, Operation, Reply, Seen, Truth, Violation, command, front, other,
};
use crate::fake::lock;
use crate::fake::script::Gate;
use crate::fake::wire::{Asked, Wire, head};

/// An answer, ready to be sent.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
    /// Before a whole answer, between the events of a stream.
    pub slow: Duration,
    /// Bytes of one write.
    pub split: Option<usize>,
    /// Broken off in the middle, with its connection.
    pub is_cut: bool,
    /// Every piece waits there.
    pub gate: Option<String>,
}

#[derive(Debug)]
pub(crate) enum Body {
    Whole(Vec<u8>),
    Stream(Vec<Vec<u8>>),
}

impl Default for Body {
    fn default() -> Body {
        Body::Whole(Vec::new())
    }
}

/// What an answer adds to the journal.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub model: String,
    pub tag: String,
    pub is_stream: bool,
    pub id: String,
    pub truth: Truth,
}

const HTML: &str =
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>502 Bad Gateway</h1></body>\r\n</html>\r\n";

impl Out {
    pub fn json(status: u16, body: &Value) -> Out {
        let text = super::json::text(body);
        Out { status, content_type: "application/json", body: Body::Whole(text.into_bytes()), ..Out::default() }
    }

    fn html() -> Out {
        let body = Body::Whole(HTML.as_bytes().to_vec());
        Out { status: 502, content_type: "text/html", body, ..Out::default() }
    }
}

/// Answers one request on its connection; false when the connection is over.
pub(crate) async fn serve(wire: &mut Wire, asked: Asked, journal: &Journal) -> io::Result<bool> {
    if asked.path == "/strict/journal" {
        return show(wire, &asked, journal).await;
    }
    let sequence = journal.next.fetch_add(1, Ordering::Relaxed);
    let (seen, out) = answer(asked, sequence);
    for violation in &seen.violations {
        eprintln!("strict {}: {} at `{}`: {}", seen.family.dialect(), violation.rule, violation.at, violation.says);
    }
    let seen = Arc::new(seen);
    lock(&journal.seen).push(Arc::clone(&seen));
    let gate = out.gate.as_deref().map(|name| journal.gate(name));
    let sent = send(wire, out, gate, Some(&seen)).await;
    seen.left.store(sent.is_err(), Ordering::Release);
    sent
}

async fn show(wire: &mut Wire, asked: &Asked, journal: &Journal) -> io::Result<bool> {
    if asked.method == "DELETE" {
        lock(&journal.seen).clear();
    }
    let seen: Vec<Value> = lock(&journal.seen).iter().map(|seen| seen.json()).collect();
    let violations: Vec<Value> =
        seen.iter().flat_map(|one| one["violations"].as_array().cloned().unwrap_or_default()).collect();
    send(wire, Out::json(200, &json!({"seen": seen, "violations": violations})), None, None).await
}

/// Returns when the gate lets the next piece through; an error when the asker leaves before.
async fn pass(wire: &mut Wire, gate: Option<&Gate>) -> io::Result<()> {
    let Some(gate) = gate else { return Ok(()) };
    tokio::select! {
        () = gate.pass() => Ok(()),
        () = wire.gone() => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

async fn send(wire: &mut Wire, out: Out, gate: Option<Gate>, seen: Option<&Seen>) -> io::Result<bool> {
    let note = || seen.map(|seen| seen.pieces.fetch_add(1, Ordering::AcqRel));
    let mut headers = vec![("content-type", out.content_type)];
    headers.extend(out.headers.iter().map(|(name, value)| (*name, value.as_str())));
    match out.body {
        Body::Whole(body) => {
            tokio::time::sleep(out.slow).await;
            let length = body.len().to_string();
            headers.push(("content-length", &length));
            wire.write(&head(out.status, &headers)).await?;
            let sent = if out.is_cut { body.len() / 2 } else { body.len() };
            for piece in body[..sent].chunks(out.split.unwrap_or(usize::MAX).max(1)) {
                pass(wire, gate.as_ref()).await?;
                wire.write(piece).await?;
                note();
            }
        }
        Body::Stream(frames) => {
            headers.push(("transfer-encoding", "chunked"));
            headers.push(("cache-control", "no-cache"));
            wire.write(&head(out.status, &headers)).await?;
            let whole = if out.is_cut { frames.len() / 2 } else { frames.len() };
            for (at, frame) in frames.iter().take(whole).enumerate() {
                if at > 0 && !out.slow.is_zero() {
                    tokio::time::sleep(out.slow).await;
                }
                pass(wire, gate.as_ref()).await?;
                for piece in frame.chunks(out.split.unwrap_or(usize::MAX).max(1)) {
                    wire.write_chunk(piece).await?;
                }
                note();
            }
            if out.is_cut {
                // In the middle of an event as well.
                let next = frames.get(whole).map_or(&b""[..], |frame| &frame[..frame.len() / 2]);
                if !next.is_empty() {
                    wire.write_chunk(next).await?;
                }
            } else {
                wire.write_chunk(b"").await?;
            }
        }
    }
    Ok(!out.is_cut)
}

/// The whole of it but the socket.
pub(crate) fn answer(asked: Asked, sequence: u64) -> (Seen, Out) {
    let mut checks = Checks::default();
    let (told, out, family, operation, body) = match Ask::of(&asked) {
        None => {
            checks.no("path", &asked.path, "No provider has this path.");
            let out = Out::json(404, &json!({"error": {"message": "Invalid URL", "type": "invalid_request_error"}}));
            (Told::default(), out, Family::Chat, Operation::Talk, Value::Null)
        }
        Some(ask) => {
            let (told, out) = decided(&ask, &mut checks, sequence);
            (told, out, ask.family, ask.operation, if ask.body.is_null() { other::form_shown(&ask) } else { ask.body })
        }
    };
    let seen = Seen {
        sequence,
        family,
        operation,
        path: asked.path,
        headers: asked.headers,
        raw: asked.body,
        body,
        model: told.model,
        tag: told.tag,
        is_stream: told.is_stream,
        status: out.status,
        id: told.id,
        truth: told.truth,
        violations: checks.list,
        dummies: checks.dummies,
        left: AtomicBool::new(false),
        pieces: AtomicU64::new(0),
    };
    (seen, out)
}

fn decided(ask: &Ask<'_>, checks: &mut Checks, sequence: u64) -> (Told, Out) {
    let front = front(ask.family);
    if let Some(out) = unwelcome(ask, front, checks) {
        return (Told::default(), out);
    }
    match ask.operation {
        Operation::Talk => talk(ask, front, checks, sequence),
        _ => other::answer(ask, front, checks, sequence),
    }
}

/// What is wrong before the body is looked at.
fn unwelcome(ask: &Ask<'_>, front: &dyn Front, checks: &mut Checks) -> Option<Out> {
    let bearer = ask.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
    let key = match ask.family {
        Family::Chat | Family::Responses => bearer,
        Family::Anthropic => {
            [ask.header("x-api-key"), bearer].into_iter().find(|key| !key.is_empty()).unwrap_or_default()
        }
        Family::Gemini => {
            let header = ask.header("x-goog-api-key");
            if header.is_empty() { ask.queried("key").unwrap_or(bearer) } else { header }
        }
    };
    if ["authorization", "x-api-key", "x-goog-api-key", "api-key"].iter().any(|name| ask.header(name).contains("tg_")) {
        checks.no("client_key", "", "The caller's own key came to the provider.");
    }
    if key.is_empty() {
        checks.no("auth", "", "Incorrect API key provided.");
        let status = if ask.family == Family::Gemini { 400 } else { 401 };
        return Some(Out::json(status, &front.error(status, "API key not valid. Please pass a valid API key.", None)));
    }
    let is_form = ask.header("content-type").starts_with("multipart/form-data");
    let may_be_form = matches!(ask.operation, Operation::EditImage | Operation::Transcribe);
    if !(ask.body.is_object() || is_form && may_be_form) {
        checks.no("json", "", "We could not parse the JSON body of your request.");
    } else if !is_form && !ask.header("content-type").starts_with("application/json") {
        checks.no("content_type", "content-type", "Unsupported content type.");
    }
    refused(front, checks)
}

/// The answer to the first violation.
pub(crate) fn refused(front: &dyn Front, checks: &Checks) -> Option<Out> {
    let first = checks.list.first()?;
    Some(Out::json(400, &front.error(400, &first.says, Some(first))))
}

fn talk(ask: &Ask<'_>, front: &dyn Front, checks: &mut Checks, sequence: u64) -> (Told, Out) {
    let talk = front.read(ask, checks);
    let mut told = Told {
        model: talk.model.clone(),
        tag: command::tag(talk.user_texts()),
        is_stream: talk.is_stream,
        ..Told::default()
    };
    if let Some(out) = refused(front, checks).or_else(|| missing(&talk.model, front)) {
        return (told, out);
    }
    let answer = brain::decide(&talk);
    if let Some(out) = failed(&answer, front) {
        return (told, out);
    }
    told.id = front.id(sequence);
    told.truth = answer.truth.told(ask.family);
    let reply = Reply { ask, talk: &talk, answer: &answer, truth: told.truth, id: &told.id, seed: ask.seed() };
    let mut out = written(&reply, front);
    out.slow = answer.commands.slow;
    out.gate = answer.commands.gate.clone();
    out.split = answer.commands.split;
    out.is_cut = answer.commands.has("cut");
    out.headers = headers(ask.family, sequence);
    (told, out)
}

fn written(reply: &Reply<'_>, front: &dyn Front) -> Out {
    let is_broken = reply.answer.commands.has("inband");
    if !reply.talk.is_stream {
        return Out::json(200, &if is_broken { front.broken_whole(reply) } else { front.whole(reply) });
    }
    let mut frames = front.frames(reply);
    if is_broken {
        frames.truncate(frames.len() / 2);
        frames.extend(front.broken(reply));
    }
    Out { status: 200, content_type: front.stream_type(reply.ask), body: Body::Stream(frames), ..Out::default() }
}

/// Model names with `missing` in them are names that nobody has.
pub(crate) fn missing(model: &str, front: &dyn Front) -> Option<Out> {
    let message = format!("The model `{model}` does not exist or you do not have access to it.");
    model.contains("missing").then(|| Out::json(404, &front.error(404, &message, None)))
}

/// The error that was asked for.
pub(crate) fn failed(answer: &Answer, front: &dyn Front) -> Option<Out> {
    if answer.commands.has("html") {
        return Some(Out::html());
    }
    let status = answer.commands.error?;
    let mut out = Out::json(status, &front.error(status, BROKEN, None));
    // Whoever names a time is left alone by all: that is for those who have a model to themselves.
    if matches!(status, 429 | 503 | 529) && answer.commands.has("wait") {
        out.headers.push(("retry-after", "7".to_owned()));
    }
    Some(out)
}

/// What providers say about accounts and requests, there to be filtered.
fn headers(family: Family, sequence: u64) -> Vec<(&'static str, String)> {
    match family {
        Family::Chat | Family::Responses => vec![
            ("openai-processing-ms", "12".to_owned()),
            ("openai-version", "2020-10-01".to_owned()),
            ("x-ratelimit-limit-requests", "10000".to_owned()),
            ("x-ratelimit-remaining-requests", "9999".to_owned()),
        ],
        Family::Anthropic => vec![
            ("request-id", format!("req_strict{sequence:010}")),
            ("anthropic-organization-id", "00000000-0000-4000-8000-000000000000".to_owned()),
            ("anthropic-ratelimit-requests-limit", "4000".to_owned()),
            ("anthropic-ratelimit-requests-remaining", "3999".to_owned()),
        ],
        Family::Gemini => vec![("server-timing", "gfet4t7; dur=12".to_owned())],
    }
}

/// One event as most families frame it.
pub(crate) fn event(name: Option<&str>, data: &str) -> Vec<u8> {
    match name {
        Some(name) => format!("event: {name}\ndata: {data}\n\n").into_bytes(),
        None => format!("data: {data}\n\n").into_bytes(),
    }
}

/// The first violation as an error of OpenAI's.
pub(crate) fn openai_error(status: u16, message: &str, violation: Option<&Violation>) -> Value {
    let (kind, code) = match status {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        404 => ("invalid_request_error", Some("model_not_found")),
        429 => ("requests", Some("rate_limit_exceeded")),
        400..500 => ("invalid_request_error", None),
        _ => ("server_error", None),
    };
    let code = violation.map(|one| one.rule).or(code);
    let param = violation.map(|one| one.at.as_str()).filter(|at| !at.is_empty());
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}
