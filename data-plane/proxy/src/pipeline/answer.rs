//! The heads of answers: what every one of them carries, what an answer of a model carries on top, and how a refusal is
//! said in the caller's dialect. Never decides what the answer is.

use std::rc::Rc;

use bytes::Bytes;
use codec::{FaultBody, Framing, InBand, Segments};
use domain::{faults::Fault, ids::RequestId, time::Timestamp, usage::Outcome};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONNECTION, CONTENT_TYPE,
        RETRY_AFTER, VARY,
    },
};

use super::{Outflow, Refusal, Visit, attempt::Answer, relay::Waiting, settle::Ending};
use crate::purse::Purse;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The family whose clients look for headers of their own.
const ANTHROPIC: &str = "anthropic";
const ANTHROPIC_ID: HeaderName = HeaderName::from_static("request-id");
const LOSS: HeaderName = HeaderName::from_static("x-tollgate-loss");
const HEALED: HeaderName = HeaderName::from_static("x-tollgate-healed");
const GENERATION_ID: HeaderName = HeaderName::from_static("x-generation-id");
const MODEL: HeaderName = HeaderName::from_static("x-tollgate-model");
const PROVIDER: HeaderName = HeaderName::from_static("x-tollgate-provider");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-tollgate-attempts");
const MAX_TOKENS: HeaderName = HeaderName::from_static("x-tollgate-max-tokens");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const NO: HeaderValue = HeaderValue::from_static("no");
const ORIGIN: HeaderValue = HeaderValue::from_static("origin");
/// What scripts in web pages may read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-request-id, request-id, retry-after, retry-after-ms, x-should-retry, x-generation-id, x-tollgate-model, \
     x-tollgate-provider, x-tollgate-attempts, x-tollgate-loss, x-tollgate-healed, x-tollgate-estimated, \
     x-tollgate-max-tokens, server-timing, \
     x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, \
     x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, \
     anthropic-ratelimit-requests-limit, anthropic-ratelimit-requests-remaining, anthropic-ratelimit-requests-reset, \
     anthropic-ratelimit-tokens-limit, anthropic-ratelimit-tokens-remaining, anthropic-ratelimit-tokens-reset",
);

/// The answer of a model.
pub(crate) fn respond(answer: Answer) -> Response<Outflow> {
    match answer {
        Answer::Whole { visit, ticket, whole } => {
            visit.loses(visit.losses().and(whole.losses));
            let mut headers = head(&visit, 200, visit.kind().unwrap_or(JSON));
            if visit.is_healed() {
                headers.insert(HEALED, HeaderValue::from_static("true"));
            }
            generation_id(&visit, &mut headers, whole.tap.upstream_id());
            let outcome = if whole.tap.has_failed() { Outcome::UpstreamError } else { Outcome::Finished };
            ticket.close(&Ending { outcome, tap: Some(&whole.tap), status: 200 });
            let body = match visit.trail(true) {
                Some(member) => whole.body.with_member(&member),
                None => whole.body,
            };
            response(StatusCode::OK, headers, Outflow::many(body))
        }
        Answer::Flow(relay) => {
            let mut headers = stream_head(relay.visit());
            generation_id(relay.visit(), &mut headers, relay.upstream_id());
            response(StatusCode::OK, headers, Outflow::flow(relay))
        }
        Answer::Sound(sound) => {
            let visit = sound.visit();
            let mut headers = head(visit, 200, visit.kind().unwrap_or(OCTETS));
            headers.insert(ACCEL_BUFFERING, NO);
            response(StatusCode::OK, headers, Outflow::sound(sound))
        }
    }
}

/// A stream that is committed before it has output.
pub(crate) fn committed(visit: &Rc<Visit>, waiting: Waiting) -> Response<Outflow> {
    let headers = stream_head(visit);
    response(StatusCode::OK, headers, Outflow::waiting(waiting))
}

fn stream_head(visit: &Visit) -> HeaderMap {
    let kind = if visit.framing == Framing::Array { JSON } else { EVENT_STREAM };
    let mut headers = head(visit, 200, kind);
    headers.insert(CACHE_CONTROL, NO_CACHE);
    // nginx and its kin would otherwise collect the stream before passing it on.
    headers.insert(ACCEL_BUFFERING, NO);
    headers
}

fn generation_id(visit: &Visit, headers: &mut HeaderMap, id: &str) {
    if !id.is_empty()
        && let Some(value) = visit.worker.ink.header(id.as_bytes())
    {
        headers.insert(GENERATION_ID, value);
    }
}

/// An answer of ours in JSON.
pub(crate) fn json(visit: &Visit, status: StatusCode, body: impl Into<Bytes>) -> Response<Outflow> {
    let headers = head(visit, status.as_u16(), JSON);
    response(status, headers, Outflow::one(body.into()))
}

/// An answer of ours without a body, or with a plain one.
pub(crate) fn plain(visit: &Visit, status: StatusCode, body: &'static str) -> Response<Outflow> {
    let headers = head(visit, status.as_u16(), HeaderValue::from_static("text/plain; charset=utf-8"));
    response(status, headers, Outflow::one(Bytes::from_static(body.as_bytes())))
}

/// A refusal in the caller's dialect.
pub(crate) fn refuse(visit: &Visit, refusal: &Refusal) -> Response<Outflow> {
    let status = refusal.fault.http_status();
    let text = id_text(visit.id);
    let mut body = visit.dialect.encode_fault(visit.surface, &fault_body(refusal, &text));
    if let Some(member) = visit.trail(false) {
        body = Segments::from(body).with_member(&member).into_bytes();
    }
    let mut headers = head(visit, status, JSON);
    retry_headers(&mut headers, &refusal.fault);
    visit.worker.tally.refused(refusal.fault.code.row().code);
    if !visit.span.is_disabled() {
        visit.span.record("http.response.status_code", status);
        visit.span.record("error.type", refusal.fault.code.row().code);
    }
    response(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), headers, Outflow::one(body))
}

/// A refusal as the last event of a stream.
pub(crate) fn in_band(visit: &Visit, refusal: &Refusal, place: &InBand<'_>) -> Bytes {
    let text = id_text(visit.id);
    visit.dialect.encode_in_band(visit.surface, &fault_body(refusal, &text), place)
}

fn id_text(id: RequestId) -> String {
    id.to_string()
}

fn fault_body<'a>(refusal: &'a Refusal, request_id: &'a str) -> FaultBody<'a> {
    FaultBody {
        status: refusal.fault.http_status(),
        kind: refusal.kind(),
        code: refusal.code(),
        message: &refusal.fault.message,
        param: refusal.fault.param.as_deref(),
        request_id,
        metadata: refusal.fault.metadata.as_deref(),
    }
}

fn retry_headers(headers: &mut HeaderMap, fault: &Fault) {
    let may = fault.code.row().retry;
    headers.insert(SHOULD_RETRY, HeaderValue::from_static(if may { "true" } else { "false" }));
    if let Some(ms) = fault.retry_after_ms {
        headers.insert(RETRY_AFTER, ms.div_ceil(1_000).max(1).into());
        headers.insert(RETRY_AFTER_MS, ms.into());
    }
}

/// The head of any answer. From here on the client is taken to have seen this status.
fn head(visit: &Visit, status: u16, content_type: HeaderValue) -> HeaderMap {
    let mut headers = visit.worker.spare_headers();
    headers.insert(CONTENT_TYPE, content_type);
    stamp(visit, &mut headers);
    visit.shows(status);
    headers
}

/// What every answer carries, as far as it is known by now.
pub(crate) fn stamp(visit: &Visit, headers: &mut HeaderMap) {
    let ink = &visit.worker.ink;
    if let Some(id) = ink.header(visit.id.write_text(&mut [0; RequestId::LEN]).as_bytes()) {
        if visit.dialect.row == ANTHROPIC {
            headers.insert(ANTHROPIC_ID, id.clone());
        }
        headers.insert(REQUEST_ID, id);
    }
    if !visit.losses().is_empty()
        && let Ok(losses) = HeaderValue::from_str(&visit.losses().to_string())
    {
        headers.insert(LOSS, losses);
    }
    if let Some(lane) = visit.lane() {
        headers.insert(MODEL, lane.model_header.clone());
        headers.insert(PROVIDER, lane.provider_header.clone());
        headers.insert(ATTEMPTS, small_number(visit.attempts()));
    }
    if let Some(purse) = visit.purse() {
        if let Some(timing) = timing(visit.added(), |text| ink.header(text)) {
            headers.insert(SERVER_TIMING, timing);
        }
        rate_headers(headers, purse, visit);
    }
    if let Some(limit) = visit.token_limit() {
        headers.insert(MAX_TOKENS, limit.into());
    }
    if let Some(origin) = &visit.allow_origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        headers.append(VARY, ORIGIN);
    }
    if visit.worker.is_leaving() {
        headers.insert(CONNECTION, CLOSE);
    }
}

fn response(status: StatusCode, headers: HeaderMap, body: Outflow) -> Response<Outflow> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn small_number(number: u32) -> HeaderValue {
    match number {
        1 => HeaderValue::from_static("1"),
        2 => HeaderValue::from_static("2"),
        3 => HeaderValue::from_static("3"),
        other => other.into(),
    }
}

/// `tollgate;dur=<milliseconds>` with three digits after the point.
fn timing<T>(added: std::time::Duration, done: impl FnOnce(&[u8]) -> T) -> T {
    const PREFIX: usize = "tollgate;dur=".len();
    let us = u32::try_from(added.as_micros()).unwrap_or(u32::MAX);
    let (ms, rest) = (us / 1_000, us % 1_000);
    let mut text = *b"tollgate;dur=0000000.000";
    // Written by hand: this is on every answer, and formatting would cost as much as all other headers together.
    let digits = [ms / 1_000_000, ms / 100_000, ms / 10_000, ms / 1_000, ms / 100, ms / 10, ms].map(digit);
    let decimals = [rest / 100, rest / 10, rest].map(digit);
    let skipped = digits.iter().take_while(|digit| **digit == b'0').count().min(digits.len() - 1);
    let written = digits.iter().skip(skipped).chain(b".").chain(&decimals);
    let mut end = PREFIX;
    for (place, byte) in text.iter_mut().skip(PREFIX).zip(written) {
        *place = *byte;
        end += 1;
    }
    done(text.get(..end).unwrap_or_default())
}

/// The last decimal digit of a number.
fn digit(number: u32) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or(0)
}

/// The limits of a limited key and what is left of them.
fn rate_headers(headers: &mut HeaderMap, purse: &Purse, visit: &Visit) {
    const REQUESTS: [HeaderName; 3] = [
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderName::from_static("x-ratelimit-reset-requests"),
    ];
    const TOKENS: [HeaderName; 3] = [
        HeaderName::from_static("x-ratelimit-limit-tokens"),
        HeaderName::from_static("x-ratelimit-remaining-tokens"),
        HeaderName::from_static("x-ratelimit-reset-tokens"),
    ];
    let limits = [
        (&purse.requests, purse.policy.requests, REQUESTS, ANTHROPIC_REQUESTS),
        (&purse.tokens, purse.policy.tokens, TOKENS, ANTHROPIC_TOKENS),
    ];
    for (cell, rate, [limit, remaining, reset], anthropics) in limits {
        let anthropics = (visit.dialect.row == ANTHROPIC).then_some(anthropics);
        let (Some(cell), Some(rate)) = (cell, rate) else { continue };
        // Before the controller has said anything, the bucket is as full as the policy says.
        let (left, reset_ms) = cell
            .rate(visit.worker.gate.now_ms())
            .map_or((rate.burst, 0), |view| (u64::try_from(view.remaining).unwrap_or(0), view.reset_ms));
        headers.insert(limit, rate.per_minute.into());
        headers.insert(remaining, left.into());
        if let Some(names) = anthropics {
            anthropic_rate_headers(headers, names, (rate.per_minute, left), visit.started_at.plus_us(micros(reset_ms)));
        }
        if let Ok(value) = HeaderValue::from_str(&duration(reset_ms)) {
            headers.insert(reset, value);
        }
    }
}

const ANTHROPIC_REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("anthropic-ratelimit-requests-limit"),
    HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
    HeaderName::from_static("anthropic-ratelimit-requests-reset"),
];
const ANTHROPIC_TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
    HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
    HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
];

/// The same in the names that Anthropic's clients read, with a moment in place of a duration.
fn anthropic_rate_headers(headers: &mut HeaderMap, names: [HeaderName; 3], numbers: (u64, u64), full_at: Timestamp) {
    let [limit, remaining, reset] = names;
    headers.insert(limit, numbers.0.into());
    headers.insert(remaining, numbers.1.into());
    if let Ok(value) = HeaderValue::from_str(&full_at.to_string()) {
        headers.insert(reset, value);
    }
}

fn micros(ms: u64) -> i64 {
    i64::try_from(ms.saturating_mul(1_000)).unwrap_or(i64::MAX)
}

/// As OpenAI writes durations: `6m0s`, `1.5s`, `20ms`.
fn duration(ms: u64) -> String {
    let (minutes, seconds, rest) = (ms / 60_000, ms / 1_000 % 60, ms % 1_000);
    match (minutes, seconds, rest) {
        (0, 0, rest) if rest > 0 => format!("{rest}ms"),
        (0, seconds, 0) => format!("{seconds}s"),
        (0, seconds, rest) => format!("{seconds}.{rest:03}").trim_end_matches('0').to_owned() + "s",
        (minutes, seconds, _) if minutes < 60 => format!("{minutes}m{seconds}s"),
        (minutes, seconds, _) => format!("{}h{}m{seconds}s", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use domain::faults::FaultCode;

    use super::*;

    #[test]
    fn durations_are_written_as_clients_know_them() {
        for (ms, text) in [
            (0, "0s"),
            (20, "20ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (60_000, "1m0s"),
            (360_000, "6m0s"),
            (3_661_000, "1h1m1s"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn added_time_is_in_milliseconds() {
        for (us, text) in
            [(0, "0.000"), (42, "0.042"), (12_345, "12.345"), (10_000, "10.000"), (3_600_000_007, "3600000.007")]
        {
            let timing =
                timing(std::time::Duration::from_micros(us), |text| String::from_utf8_lossy(text).into_owned());
            assert_eq!(timing, format!("tollgate;dur={text}"));
        }
    }

    #[test]
    fn clients_are_told_when_and_whether_to_come_back() {
        let mut headers = HeaderMap::new();
        retry_headers(&mut headers, &Fault::new(FaultCode::RateLimited, "slow").retry_after_ms(1_200));
        assert_eq!(
            (&headers["retry-after"], &headers["retry-after-ms"]),
            (&"2".parse().unwrap(), &"1200".parse().unwrap())
        );
        assert_eq!(headers["x-should-retry"], "true");
        let mut headers = HeaderMap::new();
        retry_headers(&mut headers, &Fault::new(FaultCode::InsufficientCredits, "none"));
        assert_eq!(headers["x-should-retry"], "false");
        assert!(!headers.contains_key("retry-after"));
    }
}
