//! Errors within a stream: one `response.failed` event, after which nothing follows. Whole errors have the shape that all of
//! OpenAI's APIs share.

use bytes::Bytes;

use super::ingress::{Shell, Status};
use crate::fault::{FaultBody, InBand, Surface};
use crate::json::Writer;

/// One event with a whole response in it, as clients demand, and the error inside.
pub(super) fn encode_in_band(surface: Surface, fault: &FaultBody<'_>, at: &InBand<'_>) -> Bytes {
    let id = if at.id.is_empty() { fault.request_id } else { at.id };
    let shell = Shell::bare(id, at.created, at.model);
    let mut out = Writer::into(Vec::with_capacity(1024));
    out.frame(b"event: response.failed\ndata: ");
    out.begin_object();
    out.field_str("type", "response.failed");
    out.field_u64("sequence_number", at.sequence);
    if surface == Surface::ApiV1 {
        out.field_str("error_type", fault.code);
    }
    out.key("response");
    shell.write(&mut out, &Status::Failed(fault), None, |_| {}, None);
    out.end_object();
    out.frame(b"\n\n");
    out.into_buffer().into()
}

/// What stands in `response.error`.
pub(super) fn write(out: &mut Writer, fault: &FaultBody<'_>) {
    out.begin_object();
    out.field_str("code", fault.code);
    out.field_str("message", fault.message);
    out.field_str("type", fault.kind);
    out.opt_str("param", fault.param);
    out.field_str("request_id", fault.request_id);
    let metadata = fault.metadata.map(str::trim);
    out.opt_raw("metadata", metadata.filter(|text| text.starts_with('{') && is_json(text)));
    out.end_object();
}

fn is_json(text: &str) -> bool {
    crate::json::Tape::default().read(text.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn an_error_within_a_stream_is_one_failed_response() {
        let fault = FaultBody {
            status: 502,
            kind: "provider_error",
            code: "provider_unavailable",
            message: "gone\n",
            param: None,
            request_id: "req_1",
            metadata: Some(r#" {"previous_errors":[]} "#),
        };
        for (surface, id, seen) in [(Surface::V1, "resp_1", "resp_1"), (Surface::ApiV1, "", "req_1")] {
            let at = InBand { id, model: "a/b", created: 17, sequence: 9, ..InBand::default() };
            let event = encode_in_band(surface, &fault, &at);
            let data =
                event.strip_prefix(b"event: response.failed\ndata: ").and_then(|rest| rest.strip_suffix(b"\n\n"));
            let value: Value = serde_json::from_slice(data.unwrap()).unwrap();
            assert_eq!((&value["type"], &value["sequence_number"]), (&json!("response.failed"), &json!(9)));
            assert_eq!(value.get("error_type").is_some(), surface == Surface::ApiV1);
            let response = &value["response"];
            assert_eq!((&response["id"], &response["status"]), (&json!(seen), &json!("failed")));
            assert_eq!((&response["model"], &response["created_at"]), (&json!("a/b"), &json!(17)));
            assert_eq!(response["error"]["code"], "provider_unavailable");
            assert_eq!(response["error"]["metadata"], json!({"previous_errors":[]}));
            assert_eq!(response["output"], json!([]));
        }
        let odd = FaultBody { metadata: Some("{ not json"), ..fault };
        let at = InBand { id: "x", model: "a", ..InBand::default() };
        let event = encode_in_band(Surface::V1, &odd, &at);
        assert!(
            serde_json::from_slice::<Value>(event[29..].trim_ascii()).unwrap()["response"]["error"]["metadata"]
                .is_null()
        );
    }
}
