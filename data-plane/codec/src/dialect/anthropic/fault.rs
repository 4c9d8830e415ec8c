//! Errors as Anthropic writes them, whole and within a stream, and the sign of life between events.

use bytes::Bytes;

use super::fields::THREAD;
use crate::dialect::KeepAlive;
use crate::fault::{FaultBody, InBand, Surface};
use crate::frame::sse;
use crate::json::{Tape, Value, Writer};

/// The word for a status.
fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// A whole error body. There is one surface only.
pub(super) fn encode(_: Surface, fault: &FaultBody<'_>) -> Bytes {
    let mut out = Writer::into(Vec::with_capacity(256));
    write(fault, &mut out);
    out.into_buffer().into()
}

/// One event; the body's own shape.
pub(super) fn encode_in_band(_: Surface, fault: &FaultBody<'_>, _: &InBand<'_>) -> Bytes {
    let mut out = Writer::into(Vec::with_capacity(256));
    out.frame(b"event: error\ndata: ");
    write(fault, &mut out);
    out.frame(b"\n\n");
    out.into_buffer().into()
}

/// Clients know `ping` within an answer; before it there is nothing for it to stand in.
pub(super) fn keep_alive(sign: &KeepAlive<'_>) -> Bytes {
    match sign.has_begun {
        true => Bytes::from_static(b"event: ping\ndata: {\"type\": \"ping\"}\n\n"),
        false => sse::comment(sign.text),
    }
}

fn write(fault: &FaultBody<'_>, out: &mut Writer) {
    out.begin_object();
    out.field_str("type", "error");
    out.key("error");
    out.begin_object();
    out.field_str("type", kind(fault.status));
    out.field_str("message", fault.message);
    details(fault, out);
    out.end_object();
    out.field_str("request_id", fault.request_id);
    out.end_object();
}

/// The metadata. The newest SDKs read `error_code` in it: they go on without a thread when they find this one.
fn details(fault: &FaultBody<'_>, out: &mut Writer) {
    let mut tape = Tape::default();
    let given = fault.metadata.and_then(|text| tape.read(text.as_bytes()).ok()).filter(Value::is_object);
    let is_thread = fault.param == Some(THREAD) && fault.status == 400;
    if given.is_none() && !is_thread {
        return;
    }
    out.key("details");
    out.begin_object();
    if is_thread {
        out.field_str("error_code", "thread_unsupported_request");
    }
    for (name, value) in given.iter().flat_map(Value::fields).filter(|(name, _)| !is_thread || name != "error_code") {
        out.field_raw(&name, value.raw());
    }
    out.end_object();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Framing;
    use serde_json::{Value, json};

    const FAULT: FaultBody<'static> = FaultBody {
        status: 404,
        kind: "invalid_request_error",
        code: "no_endpoints",
        message: "no \"endpoint\"\n left",
        param: Some("model"),
        request_id: "req_1",
        metadata: None,
    };

    fn read(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn an_error_has_the_contracts_shape_and_the_word_of_its_status() {
        for (status, word) in [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (402, "billing_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (409, "conflict_error"),
            (413, "request_too_large"),
            (415, "invalid_request_error"),
            (422, "invalid_request_error"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (502, "api_error"),
            (503, "overloaded_error"),
            (504, "api_error"),
            (529, "overloaded_error"),
        ] {
            let body = read(&encode(Surface::V1, &FaultBody { status, ..FAULT }));
            let expected =
                json!({"type":"error","error":{"type":word,"message":"no \"endpoint\"\n left"},"request_id":"req_1"});
            assert_eq!(body, expected);
        }
    }

    #[test]
    fn metadata_stands_in_the_details_and_nothing_else_does() {
        let told = FaultBody { metadata: Some(r#" {"excluded_by":["max_price"]} "#), ..FAULT };
        let details = json!({"excluded_by":["max_price"]});
        assert_eq!(read(&encode(Surface::V1, &told))["error"]["details"], details);
        for odd in ["not json", "[1]", "{\"a\":", ""] {
            let body = read(&encode(Surface::ApiV1, &FaultBody { metadata: Some(odd), ..FAULT }));
            assert_eq!(body["error"].get("details"), None, "{odd}");
        }
    }

    #[test]
    fn a_refused_thread_is_said_so_that_the_sdk_goes_on_without_one() {
        let refused = FaultBody { status: 400, param: Some("thread"), ..FAULT };
        let error = &read(&encode(Surface::V1, &refused))["error"];
        assert_eq!(
            (&error["type"], &error["details"]["error_code"]),
            (&json!("invalid_request_error"), &json!("thread_unsupported_request"))
        );
    }

    #[test]
    fn an_error_within_a_stream_is_one_named_event() {
        let at = InBand { id: "msg_1", model: "a/b", provider: "up", created: 17, ..InBand::default() };
        let event = encode_in_band(Surface::V1, &FAULT, &at);
        let data = event.strip_prefix(b"event: error\ndata: ").and_then(|rest| rest.strip_suffix(b"\n\n")).unwrap();
        assert_eq!(read(data), read(&encode(Surface::V1, &FAULT)));
    }

    #[test]
    fn t38_a_sign_of_life_is_a_ping_once_the_answer_has_begun() {
        let sign = KeepAlive { text: "tollgate", framing: Framing::Events, has_begun: false };
        assert_eq!(keep_alive(&sign), &b": tollgate\n\n"[..]);
        let ping = keep_alive(&KeepAlive { has_begun: true, ..sign });
        assert_eq!(ping, &b"event: ping\ndata: {\"type\": \"ping\"}\n\n"[..]);
    }
}
