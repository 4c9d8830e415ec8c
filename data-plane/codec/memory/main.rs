//! What the codec costs in memory, counted by an allocator that knows threads apart: how often a large image is copied on
//! its way to a provider, and what a stream holds while it passes. Times are the bench's business.

#![allow(clippy::unwrap_used, reason = "tests may stop at the first surprise")]

// Inside its own package the crate goes by its package name.
extern crate tollgate_codec as codec;

#[path = "../it/edits.rs"]
mod edits;
mod images;
mod scripts;
mod streams;

use codec::Dialect;

/// The dialects that clients speak, each of which is a provider's as well.
fn clients() -> impl Iterator<Item = &'static Dialect> {
    ["openai-chat", "openai-responses", "anthropic", "gemini"].into_iter().map(edits::dialect)
}

/// The dialects that providers of chats speak.
fn providers() -> impl Iterator<Item = &'static Dialect> {
    clients().chain([edits::dialect("bedrock-converse")])
}
