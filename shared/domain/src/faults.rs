//! Everything a client may see go wrong: one table. The dialects turn a row into their own words; the page in the docs
//! is made from it.

use std::borrow::Cow;
use std::fmt;

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// Stable, for programs: OpenAI's `code`.
    pub code: &'static str,
    /// OpenAI's `type`.
    pub kind: &'static str,
    /// HTTP status.
    pub status: u16,
    /// gRPC status code, by number.
    pub grpc: u8,
    /// Whether the same request may succeed later without anyone doing anything.
    pub retry: bool,
    /// What to do about it.
    pub advice: &'static str,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident: $code:literal $kind:literal $status:literal $grpc:literal $retry:literal $advice:literal;)*) => {
        /// The name of a public error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FaultCode { $($(#[$doc])* $name),* }

        /// Every public error, in the order of the docs.
        pub static FAULTS: &[(FaultCode, Row)] = &[$((FaultCode::$name, Row {
            code: $code, kind: $kind, status: $status, grpc: $grpc, retry: $retry, advice: $advice,
        })),*];

        impl FaultCode {
            /// This error's row.
            pub fn row(self) -> &'static Row {
                match self { $(FaultCode::$name => { static ROW: Row = Row {
                    code: $code, kind: $kind, status: $status, grpc: $grpc, retry: $retry, advice: $advice,
                }; &ROW }),* }
            }
        }
    };
}

faults! {
    /// No key, an unknown, revoked or expired one: one face for all of them.
    InvalidKey: "invalid_api_key" "authentication_error" 401 16 false "Send a valid API key, as `Authorization: Bearer tg_live_…`.";
    InsufficientCredits: "insufficient_quota" "insufficient_quota" 402 8 false "Add credits to the organisation, or ask for less.";
    KeyBudgetUsedUp: "key_limit_exceeded" "permission_error" 403 7 false "Raise the key's budget or wait for its next period.";
    ModelNotAllowed: "model_not_allowed" "permission_error" 403 7 false "Use a model that this key may use, or ask for the right.";
    OrgFrozen: "organization_frozen" "permission_error" 403 7 false "Ask the operator why the organisation is frozen.";
    Forbidden: "permission_denied" "permission_error" 403 7 false "Use a token whose role may do this.";
    ByokKeyRefused: "byok_key_refused" "permission_error" 403 7 false "The provider refused your own key: replace it.";
    UnknownModel: "model_not_found" "invalid_request_error" 404 5 false "See GET /v1/models for what this key can reach.";
    NoEndpoints: "no_endpoints" "invalid_request_error" 404 5 false "Loosen the routing preferences, or choose another model.";
    NotFound: "not_found" "invalid_request_error" 404 5 false "Check the address and the id.";
    UnknownRoute: "unknown_route" "invalid_request_error" 404 5 false "Check the address; the routes are in the documentation.";
    MethodNotAllowed: "method_not_allowed" "invalid_request_error" 405 3 false "Use the method that the documentation names for this address.";
    InvalidRequest: "invalid_request" "invalid_request_error" 400 3 false "Correct the field that `param` names.";
    Unsupported: "unsupported_parameter" "invalid_request_error" 400 3 false "Leave the field out: it is not served here.";
    BodyTooLarge: "request_too_large" "invalid_request_error" 413 3 false "Send a smaller body.";
    WrongMediaType: "unsupported_media_type" "invalid_request_error" 415 3 false "Send `content-type: application/json`.";
    RequestTimeout: "request_timeout" "invalid_request_error" 408 4 true "Send the body faster.";
    Conflict: "conflict" "invalid_request_error" 409 6 false "Something with this name exists, or it changed meanwhile.";
    RateLimited: "rate_limit_exceeded" "rate_limit_error" 429 8 true "Wait as `Retry-After` says.";
    Recalling: "credits_recalling" "rate_limit_error" 429 8 true "Credits are being collected from other proxies: try again in a second.";
    ProviderRateLimited: "provider_rate_limited" "rate_limit_error" 429 8 true "Every provider of this model is limiting us: try again later.";
    ProviderFailed: "provider_error" "provider_error" 502 14 true "Every attempt failed: try again, or choose another model.";
    ProviderRefused: "provider_refused" "provider_error" 400 3 false "The provider refused the request as it is.";
    ProviderUnavailable: "provider_unavailable" "provider_error" 503 14 true "No provider of this model can be reached: try again later.";
    ProviderTimeout: "provider_timeout" "provider_error" 504 4 true "The provider took too long: try again, or ask for less.";
    StreamCut: "stream_interrupted" "provider_error" 502 14 true "The provider stopped in mid-stream: try again. You were not charged.";
    ControlPlaneUnavailable: "control_plane_unavailable" "provider_error" 503 14 true "The gateway cannot confirm credits right now: try again shortly.";
    Overloaded: "overloaded" "provider_error" 503 14 true "The gateway is at its limits: try again shortly.";
    ShuttingDown: "shutting_down" "provider_error" 503 14 true "This proxy is leaving: try again, another one will answer.";
    Internal: "internal_error" "provider_error" 500 13 true "Tell the operator the request id.";
}

/// An error as a client will see it. Never carries an internal cause: the request id leads to that in the logs.
#[derive(Debug, Clone)]
pub struct Fault {
    pub code: FaultCode,
    /// A sentence that says what is wrong, and with what.
    pub message: Cow<'static, str>,
    /// The field of the request that is wrong, if one is.
    pub param: Option<Cow<'static, str>>,
    /// When to try again, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// A status other than the row's: a provider's own 4xx that passes through.
    pub status: Option<u16>,
    /// Further facts as a JSON object, such as `excluded_by` or `previous_errors`.
    pub metadata: Option<Box<str>>,
}

impl Fault {
    /// A fault with its message.
    pub fn new(code: FaultCode, message: impl Into<Cow<'static, str>>) -> Self {
        Fault { code, message: message.into(), param: None, retry_after_ms: None, status: None, metadata: None }
    }

    /// Names the field that is wrong.
    pub fn param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says when to try again.
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// Answers with another status than the row's.
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds facts, as the text of a JSON object.
    pub fn metadata(mut self, json: impl Into<Box<str>>) -> Self {
        self.metadata = Some(json.into());
        self
    }

    /// The HTTP status to answer with.
    pub fn http_status(&self) -> u16 {
        self.status.unwrap_or(self.code.row().status)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.row().code, self.message)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_code_of_its_own_and_an_error_status() {
        let mut seen = std::collections::BTreeSet::new();
        for (code, row) in FAULTS {
            assert!(seen.insert(row.code), "{} twice", row.code);
            assert!((400..600).contains(&row.status), "{code:?}");
            assert!((1..=16).contains(&row.grpc), "{code:?}");
            assert!(row.advice.ends_with('.'), "{code:?}");
            assert_eq!(code.row().code, row.code);
        }
    }
}
