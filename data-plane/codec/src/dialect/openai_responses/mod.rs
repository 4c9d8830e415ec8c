//! OpenAI's Responses, without its server-side state: nothing is stored, and what would need a store is refused. What each
//! file does: `fields` what is acted on in requests, `same` the bytes that go through, `piece` what answers say, `usage`
//! numbers, `ingress` the half that faces clients, `egress` the one that faces providers, `seal` a model's state inside
//! reasoning items, `fault` errors.

mod egress;
mod fault;
mod fields;
mod ingress;
mod piece;
mod quirks;
mod read;
mod same;
mod seal;
#[cfg(test)]
mod tests;
mod usage;

pub use fields::FIELDS;

use std::borrow::Cow;

use super::{Dialect, openai_chat};
use crate::frame::sse;

/// The dialect's name.
const ID: &str = "openai-responses";

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    id: ID,
    row: ID,
    fields: FIELDS,
    quirks: quirks::NAMES,
    headers: &[],
    passing_headers: &["openai-beta"],
    route: |_| Cow::Borrowed("/responses"),
    write_fault: openai_chat::fault::encode,
    write_in_band: fault::encode_in_band,
    write_keep_alive: |sign| sse::comment(sign.text),
    same: &same::BytesThrough,
    ingress: Some(&ingress::Clients),
    egress: Some(&egress::Providers),
};

/// Why items cannot be named by their ids.
const NO_REFERENCES: &str = "answers are not stored here, so items cannot be referred to: send the items themselves, as clients \
                             do when `store` is false";

/// The sorts of items in inputs and outputs that have a meaning here; all others are a provider's own.
mod item {
    pub const MESSAGE: &str = "message";
    pub const CALL: &str = "function_call";
    pub const RESULT: &str = "function_call_output";
    pub const REASONING: &str = "reasoning";
    pub const IMAGE: &str = "image_generation_call";
    pub const SEARCH: &str = "web_search_call";
    pub const CUSTOM: &str = "custom_tool_call";
    pub const REFERENCE: &str = "item_reference";
}
