//! Reading, patching and metering of the bodies of API families. No sockets, no tokio, no clock, no prices.
//!
//! | room | what it does |
//! | --- | --- |
//! | `dialect/` | one folder per API family: its fields, its answers, its streams, its errors |
//! | `bridge.rs` | joins a client's dialect to a provider's; the only place that compares two |
//! | `scan.rs`, `patch.rs` | one strict pass over a request; changes at the spans it found |
//! | `frame/` | bytes to events, bounded |
//! | `tap.rs`, `drive.rs` | what is learnt from an answer that passes; how a stream's end is judged |
//! | `receipt.rs`, `fault.rs` | what is added to answers: the cost, and errors |
//!
//! Laws: no byte sequence makes it panic; on the way from one dialect to itself every byte outside a declared edit
//! survives; what was priced is what was sent; an answer without an end is never called finished.

pub mod bridge;
pub mod dialect;
mod drive;
mod error;
pub mod fault;
pub mod frame;
mod json;
pub mod patch;
pub mod receipt;
pub mod scan;
pub mod tap;

pub use bridge::{AnswerEdits, Bridge, RequestEdits, StreamPass, Whole};
pub use dialect::{Dialect, Quirks};
pub use drive::StreamEnd;
pub use error::{BodyFault, BodyFaultKind, Error, UnknownQuirk};
pub use fault::{FaultBody, InBand, Surface, UpstreamError};
pub use json::{NewText, Span};
pub use patch::{Pieces, Segments};
pub use receipt::{Pricer, Receipt};
pub use scan::{Scan, scan};
pub use tap::Tap;
