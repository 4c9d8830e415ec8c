//! Small deviations of models and clouds that speak this dialect, switched on by name on an endpoint's row.

use std::borrow::Cow;

use crate::dialect::{Quirks, Routed};

/// Their names; the place is the bit.
pub(super) const NAMES: &[&str] =
    &["vertex", "bedrock-invoke", "forced-tool", "adaptive-thinking", "thinks-always", "no-sampling", "system-turns"];

/// A cloud that has the model in the path and the version in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cloud {
    /// Google's.
    Vertex,
    /// Amazon's, by `InvokeModel`.
    Bedrock,
}

impl Cloud {
    pub fn of(quirks: Quirks) -> Option<Cloud> {
        match (quirks.has(0), quirks.has(1)) {
            (true, _) => Some(Cloud::Vertex),
            (false, true) => Some(Cloud::Bedrock),
            (false, false) => None,
        }
    }

    /// What it wants as version.
    pub fn version(self) -> &'static str {
        match self {
            Cloud::Vertex => "vertex-2023-10-16",
            Cloud::Bedrock => "bedrock-2023-05-31",
        }
    }

    /// Whether the body says that a stream is wanted; else the path alone does.
    pub fn takes_stream(self) -> bool {
        self == Cloud::Vertex
    }
}

/// Where a request goes. `{model}` is filled in by who sends it.
pub(super) fn route(routed: &Routed<'_>) -> Cow<'static, str> {
    Cow::Borrowed(match (Cloud::of(routed.quirks), routed.stream) {
        (None, _) => "/messages",
        (Some(Cloud::Vertex), false) => "/models/{model}:rawPredict",
        (Some(Cloud::Vertex), true) => "/models/{model}:streamRawPredict",
        (Some(Cloud::Bedrock), false) => "/model/{model}/invoke",
        (Some(Cloud::Bedrock), true) => "/model/{model}/invoke-with-response-stream",
    })
}

/// The model knows no native structured output: a tool is forced whose input is the answer. It knows no strict tools
/// either.
pub(super) fn forces_tool(quirks: Quirks) -> bool {
    quirks.has(2)
}

/// Thinking is said as `adaptive` with an effort; budgets are refused.
pub(super) fn thinks_adaptively(quirks: Quirks) -> bool {
    quirks.has(3) || thinks_always(quirks)
}

/// Thinking cannot be switched off, and so tools cannot be forced.
pub(super) fn thinks_always(quirks: Quirks) -> bool {
    quirks.has(4)
}

/// The model refuses temperature, top-p and top-k.
pub(super) fn refuses_sampling(quirks: Quirks) -> bool {
    quirks.has(5)
}

/// The model takes system text within the conversation, behind what the user said.
pub(super) fn takes_system_turns(quirks: Quirks) -> bool {
    quirks.has(6)
}
