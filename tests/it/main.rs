//! The promises of Tollgate, each kept or broken in front of the whole house: real processes, real sockets, a fake
//! provider that keeps its own books. One file per noun or promise; long forms with `TOLLGATE_LONG=1`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at its first surprise, in its helpers as well"
)]

mod accounts;
mod bytes;
mod canary;
mod cli;
mod credits;
mod documents;
mod faults;
mod first_start;
mod fleet;
mod health;
mod keys;
mod limits;
mod load;
mod money;
mod names;
mod openai;
mod restart;
mod routes;
mod routing;
mod rules;
mod sdks;
mod strangers;
mod tls;
mod translate;
mod usage;
