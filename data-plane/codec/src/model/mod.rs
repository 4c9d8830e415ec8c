//! The canonical words: what at least two API families can say about a request and its answer, in nobody's spelling.
//! Texts borrow from the body they were read from. The names of providers are forbidden here; what only one dialect can
//! say rides along as it was written. Next rooms: the dialects' halves, which read and write these.

mod answer;
mod event;
#[cfg(test)]
pub(crate) mod fold;
mod params;
mod part;
mod request;

pub(crate) use answer::{Answer, Choice, Finish};
pub(crate) use event::{Event, Piece, Start};
pub(crate) use params::{Effort, Format, Params, Reasoning, ToolChoice};
pub(crate) use part::{CacheMark, Media, MediaKind, Part, PartBody, Signature, Source, Thought};
pub(crate) use request::{Extra, Request, Role, Tool, ToolKind, Turn};
