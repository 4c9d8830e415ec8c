//! What came in: the client's body, bounded in size and time, decompressed, and scanned once. The bytes stay as they are
//! for every attempt. Never reads a body before its key is known to be good, except to throw it away.
//! Next room: `plan`.

use std::{io::Read, time::Duration};

use bytes::Bytes;
use codec::{Dialect, Expectation, Scan};
use domain::faults::FaultCode;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT},
    request::Parts,
};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::{Refusal, Visit, trail};
use crate::server::{Asked, EXPLAIN};

/// How long a client may take before its rate is judged.
const GRACE: Duration = Duration::from_secs(10);
/// How often the rate of a body that does not come is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Beyond this size a decompressed body is held against what was sent.
const RATIO_FLOOR: u64 = 1 << 20;
/// How many times larger than what was sent it may be.
const RATIO: u64 = 20;
/// Compressed bodies above this size are unpacked off the worker thread.
const INLINE: usize = 64 * 1024;
/// A body that is cheaper to copy than to keep where it is.
const SMALL: usize = 4 * 1024;
/// The longest name of a session.
const SESSION_MOST: usize = 256;
/// Room that is made for a body of unknown length.
const UNKNOWN_ROOM: usize = 16 * 1024;

static REGION: HeaderName = HeaderName::from_static("x-anyapi-region-preference");
static SESSION: HeaderName = HeaderName::from_static("x-session-id");
static KEEPALIVE: HeaderName = HeaderName::from_static("x-tollgate-keepalive");

/// A request as it arrived.
pub(crate) struct Arrival {
    /// The immutable original.
    pub body: Bytes,
    pub scan: Scan,
    /// What the answer's text has to be.
    pub expected: Option<Expectation>,
    /// What was asked for, as the family writes it: `chat/completions`.
    pub operation: &'static str,
    /// The content type that a multipart form goes on with: ours, since the client's could be read in two ways.
    pub form: Option<HeaderValue>,
    /// Headers that go on to a provider of the same dialect.
    pub headers: HeaderMap,
    /// The session that a header names; one in the body goes before it.
    pub session: Option<String>,
    /// A region that the client prefers.
    pub near: Option<String>,
    /// The client wants to wait for the head rather than see signs of life.
    pub no_keepalive: bool,
}

impl Arrival {
    /// The first model that is asked for, as the caller wrote it.
    pub fn requested(&self) -> &str {
        self.scan.model.as_deref().or_else(|| self.scan.fallbacks.first().map(String::as_str)).unwrap_or_default()
    }
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// Reads the body. Whatever is refused is read to its end first, since many clients look at the answer only then.
pub(crate) async fn receive(visit: &Visit, asked: Asked, head: &Parts, body: Incoming) -> Result<Arrival, Refusal> {
    let packing = match check_head(visit, &head.headers) {
        Ok(packing) => packing,
        Err(refusal) => {
            Box::pin(discard(visit, head, body)).await;
            return Err(refusal);
        }
    };
    let sent = read(visit, body).await?;
    let body = match packing {
        Packing::Plain => sent,
        packing => {
            let body = Box::pin(unpack(visit, packing, sent)).await?;
            visit.body_came();
            body
        }
    };
    let scan = match form_of(visit.dialect, &head.headers) {
        Some(kind) => visit.dialect.scan_form(&body, plain(kind)?)?,
        None if asked.operation == EXPLAIN => visit.dialect.scan_wishes(&body)?,
        None => visit.dialect.scan(&body)?.at(asked.model, asked.stream),
    };
    let form = scan.form_type().and_then(|kind| HeaderValue::from_str(kind).ok());
    let no_keepalive = head.headers.get(&KEEPALIVE).is_some_and(|value| value == "off");
    if trail::is_wanted(&head.headers) {
        visit.wants_trail();
    }
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (near, session) = (text(&REGION), text(&SESSION).filter(|session| session.len() <= SESSION_MOST));
    let headers = passing_headers(visit.dialect, &head.headers);
    let expected = Expectation::of(visit.dialect, &body, &scan);
    Ok(Arrival { body, scan, expected, operation: asked.operation, form, headers, session, near, no_keepalive })
}

fn check_head(visit: &Visit, headers: &HeaderMap) -> Result<Packing, Refusal> {
    if let Some(kind) = headers.get(CONTENT_TYPE)
        && !is_json(kind)
        && form_of(visit.dialect, headers).is_none()
    {
        let message = match visit.dialect.takes_form() {
            true => "The body must be `application/json` or `multipart/form-data`.",
            false => "The body must be `application/json`.",
        };
        return Err(Refusal::new(FaultCode::WrongMediaType, message));
    }
    let packing = packing(headers)?;
    if declared(headers).is_some_and(|length| length > visit.worker.gate.settings.limits.body.get()) {
        return Err(too_large(visit));
    }
    Ok(packing)
}

/// The content type of a multipart form, where the operation takes forms.
fn form_of<'h>(dialect: &Dialect, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
    const FORM: &[u8] = b"multipart/form-data";
    let kind = headers.get(CONTENT_TYPE).filter(|_| dialect.takes_form())?;
    kind.as_bytes().get(..FORM.len())?.eq_ignore_ascii_case(FORM).then_some(kind)
}

/// A form's content type as text. What is not ASCII in it readers would not agree on.
fn plain(kind: &HeaderValue) -> Result<&str, Refusal> {
    let refused = |_| Refusal::new(FaultCode::InvalidRequest, "The content type of a form must be in ASCII.");
    kind.to_str().map_err(refused)
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_json(kind: &HeaderValue) -> bool {
    let essence = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let tail = |n: usize| essence.len().checked_sub(n).and_then(|at| essence.get(at..)).unwrap_or_default();
    essence.eq_ignore_ascii_case(b"application/json") || tail(5).eq_ignore_ascii_case(b"+json")
}

fn packing(headers: &HeaderMap) -> Result<Packing, Refusal> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let unknown = || Refusal::new(FaultCode::WrongMediaType, "The body may be packed with gzip or zstd, once.");
    let packing = match values.next().map(|value| value.as_bytes().trim_ascii().to_ascii_lowercase()).as_deref() {
        None | Some(b"" | b"identity") => Packing::Plain,
        Some(b"gzip" | b"x-gzip") => Packing::Gzip,
        Some(b"zstd") => Packing::Zstd,
        Some(_) => return Err(unknown()),
    };
    if values.next().is_some() { Err(unknown()) } else { Ok(packing) }
}

fn too_large(visit: &Visit) -> Refusal {
    let limit = visit.worker.gate.settings.limits.body;
    Refusal::new(FaultCode::BodyTooLarge, format!("The body is larger than {} bytes.", limit.get()))
}

/// Client headers that providers may see; everything else stays here.
fn passing_headers(dialect: &Dialect, headers: &HeaderMap) -> HeaderMap {
    let mut passing = HeaderMap::new();
    for name in dialect.passing_headers {
        for value in headers.get_all(*name) {
            passing.append(HeaderName::from_static(name), value.clone());
        }
    }
    passing
}

/// Judges how fast a body comes, and wakes the reader from time to time to judge again.
struct Pace<'v> {
    visit: &'v Visit,
    begun: Duration,
    bytes: u64,
}

impl Pace<'_> {
    fn begin(visit: &Visit) -> Pace<'_> {
        Pace { visit, begun: visit.worker.gate.clock.monotonic(), bytes: 0 }
    }

    fn check(&self) -> Result<(), Refusal> {
        let timeouts = &self.visit.worker.timeouts;
        let passed = self.visit.worker.gate.clock.monotonic().saturating_sub(self.begun);
        let owed = passed.saturating_sub(GRACE).as_secs().saturating_mul(timeouts.body_rate.get());
        if passed > timeouts.body.get() || self.bytes < owed {
            return Err(Refusal::new(FaultCode::RequestTimeout, "The body came too slowly."));
        }
        Ok(())
    }

    /// The next piece of the body; none at its end.
    async fn next(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
        let alarm = self.visit.worker.alarms.alarm();
        loop {
            match alarm.limit(self.visit.worker.alarms.at(LOOK), body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    self.bytes = self.bytes.saturating_add(data.len() as u64);
                    self.check()?;
                    return Ok(Some(data));
                }
                Ok(Some(Err(_))) => return Err(Refusal::new(FaultCode::InvalidRequest, "The body was cut off.")),
                Err(_) => self.check()?,
            }
        }
    }
}

async fn read(visit: &Visit, mut body: Incoming) -> Result<Bytes, Refusal> {
    let limit = visit.worker.gate.settings.limits.body.get();
    let expected = body.size_hint().exact();
    let Some(first) = now_or_later(visit, &mut body).await? else { return Ok(Bytes::new()) };
    // Bodies that came with their head are one piece. Small ones are copied all the same, to leave the parser its buffer:
    // a new one would cost more.
    if expected == Some(first.len() as u64) {
        return Ok(if first.len() <= SMALL { Bytes::copy_from_slice(&first) } else { first });
    }
    let mut whole = room(expected, first.len());
    whole.extend_from_slice(&first);
    drop(first);
    let mut pace = Pace::begin(visit);
    pace.bytes = whole.len() as u64;
    while let Some(data) = pace.next(&mut body).await? {
        if (whole.len() + data.len()) as u64 > limit {
            drain(&mut pace, &mut body).await;
            return Err(too_large(visit));
        }
        whole.extend_from_slice(&data);
    }
    visit.body_came();
    Ok(whole.into())
}

/// Room for a body whose first `came` bytes are there: for all of it where its length is known, which the limit bounds, since
/// growing would copy it again. Pages that no byte ever comes for are not there; where not even their addresses can be had,
/// the room grows with what comes.
fn room(expected: Option<u64>, came: usize) -> Vec<u8> {
    let mut room = Vec::new();
    let length = expected.and_then(|length| usize::try_from(length).ok()).unwrap_or(UNKNOWN_ROOM);
    let made = room.try_reserve_exact(length.max(came));
    made.map_or_else(|_| Vec::with_capacity(came), |()| room)
}

/// The first piece; most bodies are there already, and then no alarm is needed.
async fn now_or_later(visit: &Visit, body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    if body.is_end_stream() {
        return Ok(None);
    }
    let ready = std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *body).poll_frame(cx))).await;
    match ready {
        std::task::Poll::Ready(None) => Ok(None),
        std::task::Poll::Ready(Some(Ok(frame))) if frame.is_data() => Ok(frame.into_data().ok()),
        std::task::Poll::Ready(Some(Err(_))) => Err(Refusal::new(FaultCode::InvalidRequest, "The body was cut off.")),
        _ => {
            let first = Pace::begin(visit).next(body).await;
            visit.body_came();
            first
        }
    }
}

/// Reads a body that is not wanted to its end, as far as that is bearable: a client that is still sending would not see
/// the answer.
pub(crate) async fn discard(visit: &Visit, head: &Parts, mut body: Incoming) {
    // A client that waits for leave to send has not sent anything, and need not.
    if body.is_end_stream() || head.headers.contains_key(EXPECT) {
        return;
    }
    let bearable = 2 * visit.worker.gate.settings.limits.body.get();
    if declared(&head.headers).is_none_or(|length| length <= bearable) {
        drain(&mut Pace::begin(visit), &mut body).await;
    }
}

async fn drain(pace: &mut Pace<'_>, body: &mut Incoming) {
    let bearable = 2 * pace.visit.worker.gate.settings.limits.body.get();
    while pace.bytes <= bearable && matches!(pace.next(body).await, Ok(Some(_))) {}
}

/// Unpacks a body. It is JSON of one caller who is known, so what it costs is bounded by the limits alone.
async fn unpack(visit: &Visit, packing: Packing, sent: Bytes) -> Result<Bytes, Refusal> {
    let limit = visit.worker.gate.settings.limits.decompressed.get();
    let result = if sent.len() <= INLINE {
        unpack_now(packing, &sent, limit)
    } else {
        match tokio::task::spawn_blocking(move || unpack_now(packing, &sent, limit)).await {
            Ok(result) => result,
            Err(_) => Err(Unpacked::Broken),
        }
    };
    result.map_err(|flaw| match flaw {
        Unpacked::TooLarge => Refusal::new(FaultCode::BodyTooLarge, "The body is too large when unpacked."),
        Unpacked::Broken => {
            Refusal::new(FaultCode::InvalidRequest, "The body is not packed as `content-encoding` says.")
        }
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Unpacked {
    TooLarge,
    Broken,
}

fn unpack_now(packing: Packing, sent: &[u8], limit: u64) -> Result<Bytes, Unpacked> {
    match packing {
        Packing::Plain => Ok(Bytes::copy_from_slice(sent)),
        Packing::Gzip => bounded(flate2::read::MultiGzDecoder::new(sent), sent.len(), limit),
        Packing::Zstd => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(sent).map_err(|_| Unpacked::Broken)?;
            bounded(decoder, sent.len(), limit)
        }
    }
}

fn bounded(reader: impl Read, sent: usize, limit: u64) -> Result<Bytes, Unpacked> {
    let most = limit.min((sent as u64).saturating_mul(RATIO).max(RATIO_FLOOR));
    let mut whole = Vec::new();
    reader.take(most + 1).read_to_end(&mut whole).map_err(|_| Unpacked::Broken)?;
    if whole.len() as u64 > most { Err(Unpacked::TooLarge) } else { Ok(whole.into()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn json_is_known_by_its_media_type() {
        for (kind, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/vnd.api+json", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("json", false),
        ] {
            assert_eq!(is_json(&HeaderValue::from_static(kind)), json, "{kind}");
        }
    }

    #[test]
    fn a_form_is_never_read_as_json() {
        let form = |kind: &[u8]| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_bytes(kind).unwrap())]);
            form_of(&codec::dialect::tasks::AUDIO, &headers).map(|kind| plain(kind).map(str::to_owned))
        };
        assert_eq!(form(b"Multipart/Form-Data; boundary=x").unwrap().unwrap(), "Multipart/Form-Data; boundary=x");
        let refused = form(b"multipart/form-data; boundary=x; y=\xe4").unwrap().unwrap_err();
        assert_eq!(refused.fault.code, FaultCode::InvalidRequest);
        assert!(form(b"application/json; boundary=x").is_none());
    }

    #[test]
    fn packed_bodies_are_unpacked_within_bounds() {
        let body = br#"{"model":"a/b"}"#.repeat(100);
        assert_eq!(unpack_now(Packing::Gzip, &gzip(&body), 1 << 20).unwrap(), body);
        assert_eq!(unpack_now(Packing::Gzip, &gzip(&body), 100), Err(Unpacked::TooLarge));
        assert_eq!(unpack_now(Packing::Gzip, b"not gzip", 100), Err(Unpacked::Broken));
        assert_eq!(unpack_now(Packing::Zstd, b"not zstd", 100), Err(Unpacked::Broken));
        let packed = ruzstd::encoding::compress_to_vec(&body[..], ruzstd::encoding::CompressionLevel::Fastest);
        assert_eq!(unpack_now(Packing::Zstd, &packed, 1 << 20).unwrap(), body);
    }

    #[test]
    fn a_bomb_is_refused_by_its_ratio() {
        let bomb = gzip(&vec![b' '; 8 << 20]);
        assert!(bomb.len() < 20_000);
        assert_eq!(unpack_now(Packing::Gzip, &bomb, 64 << 20), Err(Unpacked::TooLarge));
    }

    #[test]
    fn packing_is_named_once() {
        let mut headers = HeaderMap::new();
        assert_eq!(packing(&headers).unwrap(), Packing::Plain);
        headers.append(CONTENT_ENCODING, HeaderValue::from_static("GZIP"));
        assert_eq!(packing(&headers).unwrap(), Packing::Gzip);
        headers.append(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(packing(&headers).unwrap_err().fault.code, FaultCode::WrongMediaType);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("br"));
        assert!(packing(&headers).is_err());
    }

    #[test]
    fn only_listed_headers_go_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("openai-beta", "x"), ("authorization", "Bearer k"), ("cookie", "c"), ("x-stainless-os", "o")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let passing = passing_headers(&codec::dialect::openai_chat::DIALECT, &headers);
        assert_eq!(passing.len(), 1);
        assert_eq!(passing["openai-beta"], "x");
    }
}
