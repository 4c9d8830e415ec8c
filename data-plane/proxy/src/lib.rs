//! The data plane: serves inference from the snapshot it holds, with money it was lent. Knows no SQL and no admin API.
//!
//! | room | what it does |
//! | --- | --- |
//! | `start` | puts the rooms together, and takes them apart in order |
//! | `server/` | sockets, timeouts, paths; everything about a connection that is not one inference request |
//! | `pipeline/` | one inference request: authenticate, plan, admit, attempt, relay, settle |
//! | `offers` | what a snapshot has to sell, made ready for a worker |
//! | `health`, `sheet`, `standing` | what one worker, and all proxies, know of how an endpoint does |
//! | `purse` | a key's pools as a worker touches them |
//! | `gate`, `worker` | what all workers share, and what one has to itself |
//! | `alarm`, `connection`, `framing`, `stall` | coarse timers, and the state of one client's connection |
//! | `reuse`, `ink` | places for the state of requests and for short texts, used again |
//! | `gather` | several short writes as one |
//! | `upstream/` | connections to providers |
//! | `spool/` | intents and terminals on disk |
//! | `sync/` | the link to the controller |
//!
//! Invariants: a request sees one snapshot; nothing is spent that was not held; every admitted request ends in exactly
//! one usage record; a client always gets an error that it can parse.

mod alarm;
pub mod config;
mod connection;
mod error;
mod fair;
mod framing;
mod gate;
mod gather;
mod health;
mod ink;
mod odds;
mod offers;
mod pipeline;
mod purse;
mod reuse;
mod rolling;
mod server;
mod sheet;
pub mod spool;
mod stall;
mod standing;
mod start;
pub mod sync;
mod telemetry;
pub mod upstream;
mod worker;

pub use config::Settings;
pub use error::Error;
pub use gate::Identity;
pub use start::{Ended, Running, start};

/// What the rooms of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
