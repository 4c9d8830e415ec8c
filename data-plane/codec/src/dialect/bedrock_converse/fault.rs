//! Errors in Amazon's shape. No client speaks this dialect; it is whole all the same.

use bytes::Bytes;

use crate::fault::{FaultBody, Surface};
use crate::json::Writer;

/// A whole error body.
pub(super) fn encode(_: Surface, fault: &FaultBody<'_>) -> Bytes {
    let mut out = Writer::into(Vec::new());
    out.begin_object();
    out.field_str("message", fault.message);
    out.end_object();
    out.into_buffer().into()
}
