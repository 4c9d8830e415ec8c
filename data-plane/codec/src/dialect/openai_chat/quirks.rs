//! Small deviations of providers that speak this dialect, switched on by name on an endpoint's row.

use crate::dialect::Quirks;

/// Their names; the place is the bit.
pub(super) const NAMES: &[&str] =
    &["max-completion-tokens", "no-stream-options", "include-reasoning", "openrouter-fields"];

/// A limit that the gateway sets goes into `max_completion_tokens`: the endpoint refuses `max_tokens`.
pub(super) fn limits_completion(quirks: Quirks) -> bool {
    quirks.has(0)
}

/// The endpoint refuses `stream_options` and sends usage without being asked.
pub(super) fn refuses_stream_options(quirks: Quirks) -> bool {
    quirks.has(1)
}

/// Whether the endpoint understands this field of ours itself, so that it stays.
pub(super) fn keeps(quirks: Quirks, name: &str) -> bool {
    quirks.has(3) || (quirks.has(2) && name == "include_reasoning")
}
