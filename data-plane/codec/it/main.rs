//! The codec from outside: recorded answers of providers, and bodies odder than any client sends. Each file names the
//! promise it checks; `fixtures.rs` finds the recordings, `odd.rs` makes odd JSON, `reference.rs` is the slow and simple
//! reading that the codec is compared with.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may stop at the first surprise")]

// Inside its own package the crate goes by its package name.
extern crate tollgate_codec as codec;

mod anthropic;
mod checklist;
mod cost;
mod edits;
mod estimates;
mod faults;
mod fixtures;
mod gemini;
mod golden;
mod ids;
mod laws;
mod lines;
mod odd;
mod openai_chat;
mod pairs;
mod providers;
mod reference;
mod refusals;
mod requests;
mod responses;
mod streams;
mod wholes;
