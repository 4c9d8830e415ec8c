//! Google's generateContent: the front end's face.

mod fields;
mod order;
mod read;
mod write;

use serde_json::{Value, json};

use super::talk::Talk;
use super::{Ask, Checks, Front, Reply, Violation};

pub use fields::{COUNT, EMBED, EMBED_MANY, MANNER};
pub use read::{bare_model, content_parts, read as read_body};

pub struct Gemini;

impl Front for Gemini {
    fn read(&self, ask: &Ask<'_>, checks: &mut Checks) -> Talk {
        read::read(ask, &ask.body, checks)
    }

    fn id(&self, sequence: u64) -> String {
        format!("strict{sequence:016}")
    }

    fn whole(&self, reply: &Reply<'_>) -> Value {
        write::whole(reply)
    }

    fn frames(&self, reply: &Reply<'_>) -> Vec<Vec<u8>> {
        write::frames(reply)
    }

    fn broken(&self, reply: &Reply<'_>) -> Vec<Vec<u8>> {
        write::broken(reply, &self.error(503, "The model is overloaded. Please try again later.", None))
    }

    fn error(&self, status: u16, message: &str, violation: Option<&Violation>) -> Value {
        let word = match status {
            400 => "INVALID_ARGUMENT",
            401 => "UNAUTHENTICATED",
            402 => "FAILED_PRECONDITION",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            429 => "RESOURCE_EXHAUSTED",
            503 => "UNAVAILABLE",
            504 => "DEADLINE_EXCEEDED",
            _ => "INTERNAL",
        };
        let mut error = json!({"code": status, "message": message, "status": word});
        if let Some(violation) = violation.filter(|violation| !violation.at.is_empty()) {
            error["details"] = json!([{
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": violation.at, "description": violation.says}],
            }]);
        }
        json!({"error": error})
    }

    fn stream_type(&self, ask: &Ask<'_>) -> &'static str {
        if write::is_sse(ask) { "text/event-stream" } else { "application/json; charset=UTF-8" }
    }
}
