//! JSON schemas: what an answer has to look like, whether it does, how a broken one is mended, and how a schema is said to
//! a provider that takes only a part of the language. Pure: never fetches a reference, never quotes an answer in a
//! message, never panics, and every piece of work has an end that its input cannot move. Next rooms: the dialects'
//! halves, which send schemas, and the end of an answer, where it is checked.
//!
//! | room | what it does |
//! | --- | --- |
//! | `parse.rs`, `expect.rs`, `rule.rs` | a schema's text becomes rules; a bad one is refused with its place |
//! | `check.rs` | an answer against the rules, with a measured amount of work |
//! | `heal/` | mends the punctuation of a broken answer; what the model did not write is never added |
//! | `subset/` | the schema as Gemini, Anthropic and OpenAI's strict mode take it, and as Gemini's clients write it |
//! | `decimal.rs`, `likeness.rs`, `pattern.rs`, `place.rs` | exact numbers, equality of values, patterns, pointers |
//! | `laws.rs` | what must hold for any bytes, as functions that a fuzzer can call |
//!
//! The language is draft 2020-12 with what older drafts and OpenAPI say otherwise (`definitions`, `dependencies`, lists
//! in `items`, `nullable`). `format` is a remark, as the standard has it. What is not enforced is told by
//! [`Schema::skipped`]: `unevaluatedProperties` and `unevaluatedItems`, dynamic references, and patterns that need
//! looking around or back, or too much memory.

mod check;
mod decimal;
mod expect;
mod fault;
mod heal;
pub mod laws;
mod likeness;
mod parse;
mod pattern;
mod place;
mod rule;
mod subset;

pub use check::{Mismatch, MismatchKind};
pub use fault::{SchemaFault, SchemaFaultKind};
pub use heal::{Ending, heal};
pub use parse::{Schema, Skipped};
pub use subset::{Change, Converted, Effect, NotStrict, for_anthropic, for_gemini, from_gemini, strict_for_openai};

#[cfg(test)]
mod tests;
