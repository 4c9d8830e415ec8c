//! What can be wrong with bytes that come in. Messages name places and fields, never what the body says.

/// What is wrong with a request body, as its sender should hear it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BodyFault {
    pub kind: BodyFaultKind,
    /// The field at fault, as the dialect names it.
    pub param: Option<String>,
    /// One sentence for the sender; quotes nothing of the body but names of fields that we act on.
    pub message: String,
}

/// The ways a request body can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFaultKind {
    NotUtf8,
    Malformed,
    TooDeep,
    WrongType,
    OutOfRange,
    Repeated,
    Missing,
    /// It is well said, but the endpoint cannot do it.
    Unsupported,
}

impl BodyFaultKind {
    /// The code clients see.
    pub const fn code(self) -> &'static str {
        match self {
            BodyFaultKind::NotUtf8 | BodyFaultKind::Malformed => "invalid_json",
            BodyFaultKind::TooDeep => "too_deep",
            BodyFaultKind::WrongType => "invalid_type",
            BodyFaultKind::OutOfRange => "invalid_value",
            BodyFaultKind::Repeated => "repeated_field",
            BodyFaultKind::Missing => "missing_required_parameter",
            BodyFaultKind::Unsupported => "unsupported_parameter",
        }
    }
}

/// Why bytes that should be frames or answers are neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// One event of a stream is larger than is held.
    #[error("an event is larger than {limit} bytes")]
    EventTooLarge { limit: usize },
    /// A whole answer is not one JSON object.
    #[error("the answer is not a JSON object")]
    AnswerNotJson,
}

/// A quirk on a provider's row that its dialect does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{quirk}` is no quirk of {dialect}; known are {known}")]
pub struct UnknownQuirk {
    pub quirk: String,
    pub dialect: &'static str,
    pub known: String,
}
