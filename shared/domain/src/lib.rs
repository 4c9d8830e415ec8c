//! The nouns of Tollgate. Plain types and the rules that belong to them; no I/O, no clock, no floats.
//!
//! | noun | file | what may never be wrong about it |
//! | --- | --- | --- |
//! | ids | `ids.rs` | an id of one kind cannot be used as another |
//! | time | `time.rs` | time is handed in, never taken |
//! | money | `money.rs` | integers, checked, one rounding rule |
//! | faults | `faults.rs` | everything a client may see has one row |
//! | orgs, members, keys, limits | | who may do what, and how much of it |
//! | providers, catalog, pricing | | what is on offer and what it costs |
//! | routing | `routing/` | what a rule leaves out, no other rule brings back |
//! | usage, credits, pools | | what was used, and whose money paid |
//! | audit | `audit.rs` | no setting changes without an actor |
//! | snapshot | `snapshot/` | a change that is not understood denies, it never allows |
//!
//! Must never enter: sockets, SQL, wire messages, secrets in clear.

pub mod audit;
pub mod catalog;
pub mod credits;
pub mod faults;
pub mod ids;
pub mod keys;
pub mod limits;
pub mod members;
pub mod money;
pub mod orgs;
pub mod pools;
pub mod pricing;
pub mod providers;
pub mod routing;
pub mod snapshot;
pub mod time;
pub mod usage;
