//! Small deviations of those who serve this dialect, switched on by name on an endpoint's row.

use crate::dialect::Quirks;

/// Their names; the place is the bit.
pub(super) const NAMES: &[&str] = &["vertex", "schema-subset"];

/// The endpoint is Vertex': calls and their responses have no ids there, files need their media type, and the service
/// tier is no field of the body.
pub(super) fn is_vertex(quirks: Quirks) -> bool {
    quirks.has(0)
}

/// The endpoint knows schemas in Google's own language only, not raw JSON schemas.
pub(super) fn takes_subset(quirks: Quirks) -> bool {
    quirks.has(1)
}
