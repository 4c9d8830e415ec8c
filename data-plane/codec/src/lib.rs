//! Reading, patching and metering of the bodies of API families. No sockets, no tokio, no clock, no prices.
//!
//! | room | what it does |
//! | --- | --- |
//! | `dialect/` | one folder per API family: its fields, its answers, its streams, its errors |
//! | `bridge.rs` | joins a client's dialect to a provider's; the only place that compares two |
//! | `same.rs` | what all dialects share when bytes go through them |
//! | `scan/`, `patch.rs` | one strict pass over a request; changes at the spans it found |
//! | `model/`, `cross.rs` | the canonical words, and the one driver of translations |
//! | `loss.rs`, `refusal.rs` | what a translation could not say, and what it refuses rather than lose |
//! | `carry.rs`, `names.rs` | sealed state that travels through foreign clients; tools' names |
//! | `json/` | reading and writing JSON without changing what is not ours |
//! | `frame/` | bytes to events, bounded |
//! | `tap.rs`, `drive.rs` | what is learnt from an answer that passes; how a stream's end is judged |
//! | `parameters.rs` | what a request asks of a model, in the catalogue's words |
//! | `receipt.rs`, `fault.rs` | what is added to answers: the cost, and errors |
//!
//! Laws: no byte sequence makes it panic; on the way from one dialect to itself every byte outside a declared edit
//! survives; what was priced is what was sent; an answer without an end is never called finished.

pub mod bridge;
mod carry;
mod cross;
pub mod dialect;
mod drive;
mod error;
pub mod fault;
#[cfg(test)]
#[path = "../it/fixtures.rs"]
#[allow(dead_code, reason = "each kind of test uses its part of it")]
mod fixtures;
pub mod frame;
mod json;
pub mod loss;
mod model;
mod names;
pub mod parameters;
pub mod patch;
pub mod receipt;
mod refusal;
mod same;
pub mod scan;
pub mod schema;
mod structured;
pub mod tap;

pub use bridge::{AnswerEdits, Bridge, Outbound, RequestEdits, StreamPass, Whole};
pub use carry::Carry;
pub use dialect::{Dialect, Framing, KeepAlive, Quirks, Routed};
pub use drive::StreamEnd;
pub use error::{BodyFault, BodyFaultKind, Error, UnknownQuirk};
pub use fault::{FaultBody, InBand, NAME_HEADER, Surface, UpstreamError};
pub use json::{NewText, Span};
pub use loss::{Loss, Losses};
pub use names::Names;
pub use patch::{Pieces, Segments};
pub use receipt::{Pricer, Receipt};
pub use scan::{Scan, scan};
pub use structured::{Expectation, Settled};
pub use tap::Tap;
