//! Everything about a client's connection and path that is not one inference request: accepting, protocols, routes that
//! answer from memory, and the way into the pipeline. Never reaches a provider by itself. Next room: `pipeline`.

mod account;
mod cors;
mod generation;
mod listen;
mod models;
mod paths;
mod protocol;
mod rehearsal;
mod socket;
mod workers;

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use codec::Framing;
use domain::faults::{Fault, FaultCode};
use http::{HeaderValue, Method, Request, Response, Version, header};
use hyper::body::Incoming;

use self::paths::{Operation, unknown_verb};
use crate::{
    connection::OpenRequest,
    framing::HeadScan,
    offers::View,
    pipeline::{self, Answered, Chat, Outflow, Refusal, Visit, authenticate, json, plain, refuse},
    purse::Purse,
    reuse::Reused,
    worker::Worker,
};

pub(crate) use listen::{Listener, accept};
pub(crate) use paths::{Asked, EXPLAIN};
pub(crate) use workers::{Crew, hire};

/// An answer in the making. Chats, which are nearly everything, have places that are used again.
enum Answering {
    Chat(Reused<Chat, Answered>),
    Other(Pin<Box<dyn Future<Output = Answered>>>),
}

impl Future for Answering {
    type Output = Answered;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        match self.get_mut() {
            Answering::Chat(chat) => Pin::new(chat).poll(cx),
            Answering::Other(other) => other.as_mut().poll(cx),
        }
    }
}

/// Answers one request, whatever it is. Every answer carries a request id; every refusal is in the caller's dialect.
fn handle(worker: &Rc<Worker>, open: OpenRequest, head_scan: HeadScan, request: Request<Incoming>) -> Answering {
    let paths::Place { dialect, surface, operation } = paths::find(request.uri().path(), request.uri().query());
    let settings = &worker.gate.settings;
    let allow_origin = cors::allow(&settings.cors.origins, request.headers());
    let dialect = match operation {
        Some(Operation::Models | Operation::Model(_)) | None => models::dialect(dialect, &request),
        _ => dialect,
    };
    let asked = match &operation {
        Some(Operation::Infer(asked)) => Some(asked),
        _ => None,
    };
    let framing = asked.map_or(Framing::Events, |asked| asked.framing);
    let mut visit = Visit::begin(worker, open.connection(), (dialect, surface), framing, allow_origin);
    if asked.is_some() {
        visit.trace(request.headers());
    }
    let visit = Rc::new(visit);
    let checked = check_size(&request, head_scan, settings.limits.head.get());
    if let Err(refusal) = checked.and_then(|()| check_framing(&request, head_scan)) {
        let mut response = refuse(&visit, &refusal);
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        let answered = std::future::ready(Ok(response.map(|body| body.holding(open))));
        return Answering::Other(Box::pin(answered));
    }
    let operation = match operation {
        Some(Operation::Infer(asked)) if request.method() == Method::POST => {
            return Answering::Chat(worker.chats.start(Chat { visit, asked, open, request }));
        }
        operation => operation,
    };
    Answering::Other(Box::pin(async move {
        let response = route(&visit, operation, request).await;
        Ok(response.map(|body| body.holding(open)))
    }))
}

/// Heads over the limit. They are measured only where the bytes that came could be too many.
fn check_size<B>(request: &Request<B>, head: HeadScan, limit: u64) -> Result<(), Refusal> {
    if head.bytes_at_most() <= limit {
        return Ok(());
    }
    let refused = |status, message| Err(Fault::new(FaultCode::InvalidRequest, message).status(status).into());
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len() as u64);
    if target > limit {
        return refused(414, "The address is too long.");
    }
    let fields = request.headers().iter().map(|(name, value)| (name.as_str().len() + value.len() + 4) as u64);
    if target + fields.sum::<u64>() > limit {
        return refused(431, "The headers are too large.");
    }
    Ok(())
}

/// Framings that two programs may read differently, and attempts to leave HTTP, are refused; the connection is closed
/// after the answer, since nobody knows where the next request would begin.
fn check_framing<B>(request: &Request<B>, head: HeadScan) -> Result<(), Refusal> {
    let headers = request.headers();
    let refused = |message| Err(Refusal::new(FaultCode::InvalidRequest, message));
    if headers.contains_key(header::UPGRADE) || request.method() == Method::CONNECT {
        return refused("This server speaks nothing but HTTP: leave `upgrade` out.");
    }
    let has_length = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if request.version() == Version::HTTP_10 && has_length {
        return refused("A body needs HTTP/1.1.");
    }
    if request.version() == Version::HTTP_11
        && headers.contains_key(header::TRANSFER_ENCODING)
        && (head.has_length() || !head.was_seen())
    {
        return refused("A body has either a length or chunks.");
    }
    Ok(())
}

/// Everything but a chat.
async fn route(visit: &Rc<Visit>, operation: Option<Operation>, request: Request<Incoming>) -> Response<Outflow> {
    if cors::is_preflight(request.method(), request.headers()) {
        return cors::preflight(visit, request.headers());
    }
    let Some(operation) = operation else {
        let message = format!("There is nothing at `{}`.", shown(request.uri().path()));
        return turn_away(visit, Refusal::new(FaultCode::UnknownRoute, message), request).await;
    };
    match operation {
        Operation::Live | Operation::Ready => health(visit, &operation),
        operation if !is_asked_with(&operation, request.method()) => wrong_method(visit, &operation, request).await,
        operation => match look_up(visit, &operation, &request).await {
            Ok(response) => response,
            Err(refusal) => turn_away(visit, refusal, request).await,
        },
    }
}

fn shown(path: &str) -> String {
    path.chars().filter(|letter| !letter.is_control()).take(100).collect()
}

fn is_asked_with(operation: &Operation, method: &Method) -> bool {
    let expected = operation.method();
    *method == expected || (*method == Method::HEAD && expected == Method::GET)
}

async fn wrong_method(visit: &Visit, operation: &Operation, request: Request<Incoming>) -> Response<Outflow> {
    if let Some(verb) = unknown_verb(request.uri().path()).filter(|_| request.method() == Method::POST) {
        let message = format!("A model cannot be asked to `{}`.", shown(verb));
        return turn_away(visit, Refusal::new(FaultCode::UnknownRoute, message), request).await;
    }
    let message = format!("This address is asked with {}.", operation.method());
    let mut response = turn_away(visit, Refusal::new(FaultCode::MethodNotAllowed, message), request).await;
    let allowed = if matches!(operation, Operation::Infer(_)) { "POST, OPTIONS" } else { "GET, HEAD, OPTIONS" };
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// Refuses a request whose body nobody wants.
async fn turn_away(visit: &Visit, refusal: Refusal, request: Request<Incoming>) -> Response<Outflow> {
    let (head, body) = request.into_parts();
    pipeline::discard(visit, &head, body).await;
    refuse(visit, &refusal)
}

fn health(visit: &Visit, operation: &Operation) -> Response<Outflow> {
    if *operation == Operation::Live {
        return plain(visit, http::StatusCode::OK, "ok\n");
    }
    let (status, body) = visit.worker.gate.readiness.answer();
    json(visit, status, body)
}

/// Routes that need a key and answer from the snapshot or the books.
async fn look_up(
    visit: &Rc<Visit>,
    operation: &Operation,
    request: &Request<Incoming>,
) -> Result<Response<Outflow>, Refusal> {
    let view = visit.worker.view();
    let purse = caller(visit, &view, request)?;
    match operation {
        Operation::Models => models::list(visit, &view, &purse, request.uri().query()),
        Operation::Model(name) => models::one(visit, &view, &purse, name),
        Operation::Endpoints(name) => models::endpoints(visit, &view, &purse, name),
        Operation::Key => account::key(visit, &purse).await,
        Operation::Credits => account::credits(visit, &purse).await,
        Operation::Generation => generation::generation(visit, &purse, request.uri().query()).await,
        Operation::Infer(_) | Operation::Live | Operation::Ready => {
            Err(Refusal::new(FaultCode::UnknownRoute, "There is nothing to look up here."))
        }
    }
}

fn caller(visit: &Visit, view: &View, request: &Request<Incoming>) -> Result<Rc<Purse>, Refusal> {
    authenticate(visit, view, request.headers(), request.uri())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, headers: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::new(());
        *request.version_mut() = version;
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn large_heads_are_told_apart_from_large_bodies() {
        let seen = HeadScan::begun().fed(&[b'a'; 5_000]);
        let status =
            |request: &Request<()>| check_size(request, seen, 4_096).err().map(|refusal| refusal.fault.http_status());
        assert_eq!(status(&request(Version::HTTP_11, &[("host", "x")])), None, "the rest was a body");
        let mut long = request(Version::HTTP_11, &[]);
        *long.uri_mut() = format!("/{}", "a".repeat(4_500)).parse().unwrap();
        assert_eq!(status(&long), Some(414));
        let mut wide = request(Version::HTTP_11, &[]);
        wide.headers_mut().insert("x", HeaderValue::from_str(&"a".repeat(4_500)).unwrap());
        assert_eq!(status(&wide), Some(431));
    }

    #[test]
    fn framings_that_can_be_read_two_ways_are_refused() {
        let plain = HeadScan::begun().fed(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n");
        let both = HeadScan::begun().fed(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n");
        let chunked = [("transfer-encoding", "chunked")];
        for (version, headers, scan, accepted) in [
            (Version::HTTP_11, &[("content-length", "5")][..], plain, true),
            (Version::HTTP_11, &chunked, plain, true),
            (Version::HTTP_11, &chunked, both, false),
            (Version::HTTP_11, &chunked, HeadScan::default(), false),
            (Version::HTTP_10, &[("content-length", "5")], plain, false),
            (Version::HTTP_10, &[("content-length", "0")], plain, true),
            (Version::HTTP_10, &[], plain, true),
            (Version::HTTP_11, &[("upgrade", "websocket")], plain, false),
            (Version::HTTP_2, &[("content-length", "5")], HeadScan::default(), true),
        ] {
            let request = request(version, headers);
            assert_eq!(check_framing(&request, scan).is_ok(), accepted, "{version:?} {headers:?}");
        }
    }
}
