//! Rules of the house that no compiler checks: who may depend on whom, where SQL is and in which words, what comes
//! from outside, that paths named in documents exist, that every line of the checklist of translation has its test, and
//! that nothing of the machine it was written on is left in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at its first surprise, in its helpers as well"
)]

mod arrows;
mod checklist;
mod dependencies;
mod docs;
mod repository;
mod sql;
mod words;
