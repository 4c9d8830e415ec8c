//! Small deviations of endpoints that speak this dialect, switched on by name on an endpoint's row. xAI needs none: what
//! differs in its recordings (ids without `resp_`, items that share an id, searches that come whole, further counts in the
//! usage) is read by everybody's rules.

use crate::dialect::Quirks;

/// Their names; the place is the bit.
pub(super) const NAMES: &[&str] = &["no-encrypted-reasoning", "openrouter-fields", "no-sampling"];

/// The endpoint refuses to be asked for sealed reasoning: models that do not reason answer so with 400.
pub(super) fn refuses_sealed_reasoning(quirks: Quirks) -> bool {
    quirks.has(0)
}

/// Whether the endpoint understands our own fields itself, so that they stay.
pub(super) fn keeps_own(quirks: Quirks) -> bool {
    quirks.has(1)
}

/// The endpoint refuses to be told how to sample: models that reason answer so with 400.
pub(super) fn refuses_sampling(quirks: Quirks) -> bool {
    quirks.has(2)
}
