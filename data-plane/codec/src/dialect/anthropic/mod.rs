//! Anthropic's messages, also as Google's and Amazon's clouds serve them. What each file does: `fields` what is acted on
//! in requests, `same` bytes through, `piece` one pass over an answer or an event, `usage` its numbers, `fault` errors;
//! `ingress` and `egress` are the halves, `encode_events` and `decode_events` their streams; `finish` why answers end,
//! `call_id` which ids of calls are taken, `quirks` small deviations.

mod call_id;
mod decode_events;
mod egress;
mod encode_events;
mod fault;
mod fields;
mod finish;
mod ingress;
mod piece;
mod quirks;
mod same;
#[cfg(test)]
mod tests;
mod usage;

pub use fields::FIELDS;

use super::Dialect;

/// The name on rows, and of what only this dialect can say.
const ID: &str = "anthropic";

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    id: ID,
    row: ID,
    fields: FIELDS,
    quirks: quirks::NAMES,
    headers: &[("anthropic-version", "2023-06-01")],
    passing_headers: &["anthropic-version", "anthropic-beta"],
    route: quirks::route,
    write_fault: fault::encode,
    write_in_band: fault::encode_in_band,
    write_keep_alive: fault::keep_alive,
    same: &same::BytesThrough,
    ingress: Some(&ingress::Ingress),
    egress: Some(&egress::Egress),
};
