//! The house from outside: starts the product as an operator does, asks it what its users ask, and plays the providers
//! it talks to. Knows the contracts and nothing of the code behind them.
//! The promises themselves are in `it`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this library is only ever part of tests, and a test stops at its first surprise"
)]

pub mod actors;
pub mod clients;
pub mod fake;
pub mod fixtures;
pub mod house;
pub mod lexical;
pub mod money;
pub mod progress;
pub mod wait;

/// Whether the long forms are wanted: `TOLLGATE_LONG=1`, as `tests/run --long` sets it.
pub fn is_long() -> bool {
    std::env::var("TOLLGATE_LONG").is_ok_and(|value| value == "1")
}

/// How often something is done: `short` as a rule, `long` when the long forms are wanted.
pub fn rounds(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}
