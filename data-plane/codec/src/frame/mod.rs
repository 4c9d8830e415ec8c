//! Bytes to frames and nothing more: where one event ends and what its lines carry. Never looks into the data.

pub mod aws;
pub mod sse;
