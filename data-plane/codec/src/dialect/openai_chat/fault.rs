//! Errors in OpenAI's shape, in its two spellings: OpenAI's own, and OpenRouter's with the status as code.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::value::RawValue;

use crate::fault::{FaultBody, InBand, Surface};

#[derive(Serialize)]
struct Body<'a> {
    error: ErrorObject<'a>,
}

/// The inside of `error`.
struct ErrorObject<'a> {
    surface: Surface,
    fault: &'a FaultBody<'a>,
}

impl Serialize for ErrorObject<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fault = self.fault;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("message", fault.message)?;
        map.serialize_entry("type", fault.kind)?;
        match self.surface {
            Surface::V1 => map.serialize_entry("code", fault.code)?,
            Surface::ApiV1 => map.serialize_entry("code", &fault.status)?,
        }
        map.serialize_entry("param", &fault.param)?;
        map.serialize_entry("request_id", fault.request_id)?;
        if let Some(metadata) = metadata(self.surface, fault) {
            map.serialize_entry("metadata", &metadata)?;
        }
        map.end()
    }
}

/// On OpenRouter's surface the word for the error goes into the metadata, since the code is a number there.
fn metadata(surface: Surface, fault: &FaultBody<'_>) -> Option<Box<RawValue>> {
    let given = fault.metadata.map(str::trim).filter(|text| text.starts_with('{'));
    let text = match (surface, given) {
        (Surface::V1, None) => return None,
        (Surface::V1, Some(text)) => Cow::Borrowed(text),
        (Surface::ApiV1, given) => {
            let word = serde_json::to_string(fault.code).ok()?;
            let inside = given.and_then(|text| text.strip_prefix('{')).map_or("}", str::trim_start);
            let comma = if inside.starts_with('}') { "" } else { "," };
            Cow::Owned(format!("{{\"error_code\":{word}{comma}{inside}"))
        }
    };
    RawValue::from_string(text.into_owned()).ok()
}

/// A whole error body.
pub(in crate::dialect) fn encode(surface: Surface, fault: &FaultBody<'_>) -> Bytes {
    to_bytes(&Body { error: ErrorObject { surface, fault } })
}

#[derive(Serialize)]
struct Piece<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    provider: &'a str,
    error: ErrorObject<'a>,
    choices: [FailedChoice; 1],
}

#[derive(Serialize, Default)]
struct FailedChoice {
    index: u32,
    delta: Delta,
    finish_reason: Reason,
}

#[derive(Serialize, Default)]
struct Delta {
    content: &'static str,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "lowercase")]
enum Reason {
    #[default]
    Error,
}

/// One event: OpenAI's clients raise on an object with only an error in it, OpenRouter's want a whole piece.
pub(super) fn encode_in_band(surface: Surface, fault: &FaultBody<'_>, at: &InBand<'_>) -> Bytes {
    let error = ErrorObject { surface, fault };
    let data = match surface {
        Surface::V1 => to_bytes(&Body { error }),
        Surface::ApiV1 => to_bytes(&Piece {
            id: if at.id.is_empty() { fault.request_id } else { at.id },
            object: "chat.completion.chunk",
            created: at.created,
            model: at.model,
            provider: at.provider,
            error,
            choices: [FailedChoice::default()],
        }),
    };
    [b"data: ", &*data, b"\n\n"].concat().into()
}

fn to_bytes(value: &impl Serialize) -> Bytes {
    // Plain texts and numbers always have a JSON form; the fallback is for the compiler.
    serde_json::to_vec(value).unwrap_or_else(|_| br#"{"error":{"message":"internal error"}}"#.to_vec()).into()
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
    fn each_surface_has_its_own_code() {
        let v1 = read(&encode(Surface::V1, &FAULT));
        assert_eq!(
            v1,
            json!({"error":{"message":"no \"endpoint\"\n left","type":"invalid_request_error","code":"no_endpoints",
            "param":"model","request_id":"req_1","metadata":{"excluded_by":["max_price"]}}})
        );
        let api = read(&encode(Surface::ApiV1, &FAULT));
        assert_eq!(api["error"]["code"], 404);
        assert_eq!(api["error"]["metadata"], json!({"error_code":"no_endpoints","excluded_by":["max_price"]}));
        let plain = FaultBody { metadata: None, param: None, ..FAULT };
        assert_eq!(read(&encode(Surface::V1, &plain))["error"].get("metadata"), None);
        assert_eq!(read(&encode(Surface::V1, &plain))["error"]["param"], Value::Null);
        assert_eq!(read(&encode(Surface::ApiV1, &plain))["error"]["metadata"], json!({"error_code":"no_endpoints"}));
        for odd in ["{ }", "{}", "not json", "[1]", "{\"a\":", ""] {
            let fault = FaultBody { metadata: Some(odd), ..FAULT };
            assert!(read(&encode(Surface::ApiV1, &fault)).is_object(), "{odd}");
            assert!(read(&encode(Surface::V1, &fault)).is_object(), "{odd}");
        }
    }

    #[test]
    fn an_error_within_a_stream_is_one_event_each_surface_can_read() {
        let at = InBand { id: "gen-1", model: "a/b", provider: "up", created: 17, ..InBand::default() };
        let v1 = encode_in_band(Surface::V1, &FAULT, &at);
        let data = v1.strip_prefix(b"data: ").and_then(|data| data.strip_suffix(b"\n\n")).unwrap();
        assert_eq!(read(data), read(&encode(Surface::V1, &FAULT)));
        let api = encode_in_band(Surface::ApiV1, &FAULT, &at);
        let piece = read(api.strip_prefix(b"data: ").unwrap());
        assert_eq!(piece["object"], "chat.completion.chunk");
        assert_eq!((&piece["id"], &piece["created"], &piece["model"]), (&json!("gen-1"), &json!(17), &json!("a/b")));
        assert_eq!(piece["choices"], json!([{"index":0,"delta":{"content":""},"finish_reason":"error"}]));
        assert_eq!(piece["error"]["code"], 404);
    }
}
