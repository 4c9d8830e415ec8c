//! All SQL of Tollgate, for SQLite and PostgreSQL: one text for both engines, next to the function that uses it.
//!
//! Settings are written through an [`Edit`], money moves through a [`Posting`]; there is no other way. Rows of a tenant
//! are reached through an `OrgScope`. This room decides nothing: what may happen is the controller's business.
//!
//! | to see | read |
//! | --- | --- |
//! | how the engines differ | `engine/` |
//! | how a setting is written | `edit.rs` |
//! | how money is moved, and what is locked when | `posting/` |
//! | what the publisher reads | `revisions.rs`, `snapshot.rs` |
//! | what must always add up | `books.rs` |

pub mod audit;
pub mod books;
pub mod catalog;
pub mod claims;
pub mod credits;
mod edit;
mod engine;
mod error;
pub mod fleet;
pub mod keys;
pub mod migrations;
mod nudges;
pub mod observations;
pub mod orgs;
pub mod pools;
mod posting;
pub mod providers;
pub mod revisions;
mod seed;
pub mod snapshot;
mod store;
pub mod tokens;
pub mod usage;

pub use edit::{Edit, Written};
pub use engine::Read;
pub use error::{Error, Result};
pub use migrations::{SchemaState, migrate};
pub use nudges::{Nudge, Nudges};
pub use pools::{Charged, Lease, LeaseState, Mark, Pool, Recall, Whose};
pub use posting::{Once, Posting};
pub use seed::seed_files;
pub use store::{Installation, Store};
