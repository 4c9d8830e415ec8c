//! Amazon Bedrock's Converse, which says many makers' models in one way. Only ever a target: no client speaks it. What
//! each file does: `egress` requests and whole answers, `decode_events` streams, `usage` numbers, `finish` why answers
//! end, `model` what the models behind it take, `quirks` where a row knows better, `call_id` which ids of calls are taken.

mod call_id;
mod decode_events;
mod egress;
mod fault;
mod finish;
mod model;
mod quirks;
mod same;
#[cfg(test)]
mod tests;
mod usage;

use std::borrow::Cow;

use bytes::Bytes;

use super::Dialect;

/// The dialect. The media type of its streams is `application/vnd.amazon.eventstream`.
pub static DIALECT: Dialect = Dialect {
    id: "bedrock-converse",
    row: "bedrock-converse",
    fields: &[],
    quirks: quirks::NAMES,
    headers: &[],
    passing_headers: &[],
    // The placeholder is filled in, percent-encoded, by who sends it.
    route: |routed| {
        Cow::Borrowed(match routed.stream {
            false => "/model/{model}/converse",
            true => "/model/{model}/converse-stream",
        })
    },
    write_fault: fault::encode,
    // No client speaks it, so nothing is ever said within its streams.
    write_in_band: |_, _, _| Bytes::new(),
    write_keep_alive: |_| Bytes::new(),
    same: &same::Unspoken,
    ingress: None,
    egress: Some(&egress::Egress),
};
