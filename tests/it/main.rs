//! The promises of Tollgate, each kept or broken in front of the whole house: real processes, real sockets, a fake
//! provider that keeps its own books. One file per noun or promise; long forms with `TOLLGATE_LONG=1`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at its first surprise, in its helpers as well"
)]

mod bytes;
mod canary;
mod cli;
mod credits;
mod documents;
mod first_start;
mod fleet;
mod keys;
mod limits;
mod load;
mod money;
mod openai;
mod restart;
mod routing;
mod sdks;
mod strangers;
mod tls;
mod translate;
