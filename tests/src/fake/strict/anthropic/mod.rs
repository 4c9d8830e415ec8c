//! Anthropic's messages: the front end's face.

mod fields;
mod order;
mod read;
mod rules;
mod write;

use serde_json::{Value, json};

use super::talk::Talk;
use super::{Ask, Checks, Front, Reply, Violation, serve};

pub struct Anthropic;

impl Front for Anthropic {
    fn read(&self, ask: &Ask<'_>, checks: &mut Checks) -> Talk {
        read::read(ask, checks)
    }

    fn id(&self, sequence: u64) -> String {
        format!("msg_strict{sequence:018}")
    }

    fn whole(&self, reply: &Reply<'_>) -> Value {
        write::whole(reply)
    }

    fn frames(&self, reply: &Reply<'_>) -> Vec<Vec<u8>> {
        write::frames(reply)
    }

    fn broken(&self, reply: &Reply<'_>) -> Vec<Vec<u8>> {
        let _ = reply;
        let error =
            json!({"type": "error", "error": {"details": null, "type": "overloaded_error", "message": "Overloaded"}});
        vec![serve::event(Some("error"), &super::json::text(&error))]
    }

    fn error(&self, status: u16, message: &str, violation: Option<&Violation>) -> Value {
        let kind = match status {
            400 | 422 => "invalid_request_error",
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            409 => "conflict_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            504 => "timeout_error",
            529 => "overloaded_error",
            _ => "api_error",
        };
        let message = match violation {
            Some(violation) if !violation.at.is_empty() => format!("{}: {message}", violation.at),
            _ => message.to_owned(),
        };
        json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_strict"})
    }
}
