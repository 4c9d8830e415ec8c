//! Parsers against anything: one target per parser, each a function of bytes that panics when a promise is broken.
//! Driven on the stable toolchain by a small mutational driver. `TOLLGATE_FUZZ_SECONDS` is the time for each target,
//! `TOLLGATE_TEST_SEED` repeats a run; the seed is always printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a finding is a panic")]

mod apply_file;
mod body;
mod driver;
mod form;
mod frames;
mod key_text;
mod reply;
mod schema;
mod spool;
mod stream;
mod translate;
