//! Errors in Google's shape, whole and within streams, and signs of life. Everything the gateway knows beside Google's
//! four fields goes into `details`, as Google does it.

use bytes::Bytes;

use crate::dialect::{Framing, KeepAlive};
use crate::fault::{FaultBody, InBand, Surface};
use crate::json::{Tape, Writer};

/// Google's word for an HTTP status.
const WORDS: [(u16, &str); 13] = [
    (400, "INVALID_ARGUMENT"),
    (401, "UNAUTHENTICATED"),
    (402, "FAILED_PRECONDITION"),
    (403, "PERMISSION_DENIED"),
    (404, "NOT_FOUND"),
    (408, "DEADLINE_EXCEEDED"),
    (409, "ABORTED"),
    (429, "RESOURCE_EXHAUSTED"),
    (499, "CANCELLED"),
    (501, "UNIMPLEMENTED"),
    (502, "UNAVAILABLE"),
    (503, "UNAVAILABLE"),
    (504, "DEADLINE_EXCEEDED"),
];

fn word(status: u16) -> &'static str {
    match WORDS.iter().find(|(known, _)| *known == status) {
        Some((_, word)) => word,
        None if status == 529 => "UNAVAILABLE",
        None if (400..500).contains(&status) => "INVALID_ARGUMENT",
        None => "INTERNAL",
    }
}

fn write(fault: &FaultBody<'_>, out: &mut Writer) {
    out.begin_object();
    out.key("error");
    out.begin_object();
    out.field_u64("code", u64::from(fault.status));
    out.field_str("message", fault.message);
    out.field_str("status", word(fault.status));
    out.key("details");
    out.begin_array();
    out.begin_object();
    out.field_str("@type", "type.googleapis.com/google.rpc.ErrorInfo");
    out.field_str("reason", &fault.code.to_ascii_uppercase());
    out.field_str("domain", "tollgate");
    out.opt_raw("metadata", metadata(fault.metadata));
    out.end_object();
    if let Some(param) = fault.param {
        out.begin_object();
        out.field_str("@type", "type.googleapis.com/google.rpc.BadRequest");
        out.key("fieldViolations");
        out.begin_array();
        out.begin_object();
        out.field_str("field", param);
        out.field_str("description", fault.message);
        out.end_object();
        out.end_array();
        out.end_object();
    }
    out.begin_object();
    out.field_str("@type", "type.googleapis.com/google.rpc.RequestInfo");
    out.field_str("requestId", fault.request_id);
    out.end_object();
    out.end_array();
    out.end_object();
    out.end_object();
}

/// Only an object has a place.
fn metadata(given: Option<&str>) -> Option<&str> {
    let text = given?.trim();
    Tape::default().read(text.as_bytes()).ok().filter(|value| value.is_object()).map(|_| text)
}

/// A whole error body.
pub(super) fn encode(_: Surface, fault: &FaultBody<'_>) -> Bytes {
    let mut out = Writer::into(Vec::new());
    write(fault, &mut out);
    out.into_buffer().into()
}

/// The last event of a stream, or the last element of an array, which it closes.
pub(super) fn encode_in_band(_: Surface, fault: &FaultBody<'_>, at: &InBand<'_>) -> Bytes {
    let (before, behind): (&[u8], &[u8]) = match (at.framing, at.is_first) {
        (Framing::Events, _) => (b"data: ", b"\r\n\r\n"),
        (Framing::Array, true) => (b"[", b"]"),
        (Framing::Array, false) => (b",\r\n", b"]"),
    };
    let mut out = Writer::into(Vec::new());
    out.frame(before);
    write(fault, &mut out);
    out.frame(behind);
    out.into_buffer().into()
}

/// An empty line: a comment breaks Google's own client for Python. In an array, a space between elements.
pub(super) fn keep_alive(sign: &KeepAlive<'_>) -> Bytes {
    Bytes::from_static(match sign.framing {
        Framing::Events => b"\r\n",
        Framing::Array => b"\n",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const FAULT: FaultBody<'static> = FaultBody {
        status: 404,
        kind: "invalid_request_error",
        code: "no_endpoints",
        message: "no \"endpoint\"\n left",
        param: Some("model"),
        request_id: "req_1",
        metadata: Some(r#" {"excluded_by":["max_price"]} "#),
    };

    fn read(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn t41_errors_have_googles_shape_and_words() {
        let error = &read(&encode(Surface::V1, &FAULT))["error"];
        assert_eq!((&error["code"], &error["status"]), (&json!(404), &json!("NOT_FOUND")));
        assert_eq!(error["message"], "no \"endpoint\"\n left");
        assert_eq!(error["details"][0]["reason"], "NO_ENDPOINTS");
        assert_eq!(error["details"][0]["metadata"], json!({"excluded_by": ["max_price"]}));
        assert_eq!(error["details"][1]["fieldViolations"][0]["field"], "model");
        assert_eq!(error["details"][2]["requestId"], "req_1");
        for (status, expected) in
            [(402, "FAILED_PRECONDITION"), (413, "INVALID_ARGUMENT"), (500, "INTERNAL"), (529, "UNAVAILABLE")]
        {
            assert_eq!(read(&encode(Surface::V1, &FaultBody { status, ..FAULT }))["error"]["status"], expected);
        }
        for odd in ["not json", "[1]", "{\"a\":", ""] {
            let fault = FaultBody { metadata: Some(odd), param: None, ..FAULT };
            assert_eq!(read(&encode(Surface::V1, &fault))["error"]["details"][0].get("metadata"), None, "{odd}");
        }
    }

    #[test]
    fn t39_an_error_within_a_stream_ends_it_in_its_own_framing() {
        let whole = encode(Surface::V1, &FAULT);
        let event = encode_in_band(Surface::V1, &FAULT, &InBand::default());
        assert_eq!(event, [b"data: ", &*whole, b"\r\n\r\n"].concat());
        let array = InBand { framing: Framing::Array, is_first: true, ..InBand::default() };
        assert_eq!(read(&encode_in_band(Surface::V1, &FAULT, &array)), json!([read(&whole)]));
        let later = InBand { is_first: false, ..array };
        let all = [b"[{\"candidates\":[]}", &*encode_in_band(Surface::V1, &FAULT, &later)].concat();
        assert_eq!(read(&all), json!([{"candidates": []}, read(&whole)]));
    }

    #[test]
    fn signs_of_life_are_no_comments() {
        let sign = |framing| KeepAlive { text: "tollgate", framing, has_begun: true };
        assert_eq!(keep_alive(&sign(Framing::Events)), "\r\n");
        let all = [b"[1", &*keep_alive(&sign(Framing::Array)), b",2]"].concat();
        assert_eq!(read(&all), json!([1, 2]));
    }
}
