//! OpenAI's chat completions, and the many providers that speak them with small deviations. What each file does:
//! `fields` what is acted on in requests, `request` the edits on the way out, `answer` one pass over an answer or a
//! piece of one, `usage` its numbers, `stream` and `whole` the two ways answers pass, `fault` errors.

mod answer;
mod fault;
mod fields;
mod quirks;
mod request;
mod stream;
mod usage;
mod whole;

pub use fields::FIELDS;
pub(crate) use request::patch;
pub use stream::StreamPass;
pub(crate) use whole::pass;

use super::Dialect;

/// The dialect.
pub static DIALECT: Dialect = Dialect {
    id: "openai-chat",
    path: "/chat/completions",
    fields: FIELDS,
    quirks: quirks::NAMES,
    write_fault: fault::encode,
    write_in_band: fault::encode_in_band,
};

/// The event with which a good stream ends.
pub const DONE: &[u8] = b"data: [DONE]\n\n";
