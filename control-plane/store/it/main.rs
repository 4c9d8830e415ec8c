//! What the store promises, case by case, each on both engines.
//!
//! SQLite runs in a temporary folder. PostgreSQL is the server that `TOLLGATE_TEST_POSTGRES` names (a URL whose user
//! may create databases); without it only SQLite runs, and a line says so. `tests/run` always sets it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a case may stop at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "a case plays access, and says whose scope it has")]

extern crate tollgate_store as store;

#[macro_use]
mod ground;
mod samples;

mod books;
mod catalog;
mod claims;
mod credits;
mod edits;
mod fleet;
mod keys;
mod observations;
mod orgs;
mod pools;
mod rate;
mod revisions;
mod schema;
mod snapshot;
mod tokens;
mod usage;
