//! What an error looks like in each family, in the words that its providers use.

use serde_json::{Value, json};

use super::words::Words;
use crate::fake::strict::Family;

/// What an error says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    OutOfMoney,
    TooLong,
    AgainstRules,
    BadKey,
}

impl Words<'_> {
    /// An error as a body.
    pub fn error(&self, status: u16, kind: Kind) -> Value {
        let (word, code, message) = match (kind, self.family) {
            (Kind::Plain, _) => (plain_word(status), None, "the fake broke"),
            (Kind::OutOfMoney, Family::Anthropic) => (
                "invalid_request_error",
                None,
                "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
            ),
            (Kind::OutOfMoney, _) => (
                "insufficient_quota",
                Some("insufficient_quota"),
                "You exceeded your current quota, please check your plan and billing details.",
            ),
            (Kind::TooLong, Family::Anthropic) => {
                ("invalid_request_error", None, "prompt is too long: 210000 tokens > 200000 maximum")
            }
            (Kind::TooLong, Family::Gemini) => (
                "invalid_request_error",
                None,
                "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
            ),
            (Kind::TooLong, _) => (
                "invalid_request_error",
                Some("context_length_exceeded"),
                "This model's maximum context length is 128000 tokens.",
            ),
            (Kind::AgainstRules, Family::Anthropic) => {
                ("invalid_request_error", None, "Output blocked by content filtering policy")
            }
            (Kind::AgainstRules, _) => (
                "invalid_request_error",
                Some("content_policy_violation"),
                "Your request was rejected by our safety system.",
            ),
            (Kind::BadKey, Family::Anthropic) => ("authentication_error", None, "invalid x-api-key"),
            (Kind::BadKey, Family::Gemini) => {
                ("API_KEY_INVALID", None, "API key not valid. Please pass a valid API key.")
            }
            (Kind::BadKey, _) => {
                ("invalid_request_error", Some("invalid_api_key"), "Incorrect API key provided: sk-x.")
            }
        };
        match self.family {
            Family::Chat | Family::Responses => {
                json!({"error": {"message": message, "type": word, "param": null, "code": code}})
            }
            Family::Anthropic => json!({
                "type": "error", "error": {"type": word, "message": message}, "request_id": "req_fake",
            }),
            Family::Gemini => {
                let reason = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": word});
                let details = if kind == Kind::BadKey { json!([reason]) } else { json!([]) };
                json!({"error": {
                    "code": status, "message": message, "status": google_word(status), "details": details,
                }})
            }
        }
    }
}

/// What OpenAI and Anthropic call an error of this status.
fn plain_word(status: u16) -> &'static str {
    match status {
        400 | 422 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    }
}

fn google_word(status: u16) -> &'static str {
    match status {
        400 | 413 | 422 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 | 529 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    }
}
