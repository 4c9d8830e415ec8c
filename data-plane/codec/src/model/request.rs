//! A request: who said what, which tools there are, and how the answer is wanted.

use std::borrow::Cow;

use super::{CacheMark, Params, Part, PartBody, ToolChoice};
use crate::json::Value;

/// One request of a chat.
#[derive(Debug, Default)]
pub(crate) struct Request<'a> {
    /// The name of the dialect it was read from: what only that one can say is written by a half of the same name.
    pub from: &'static str,
    /// The field there that the conversation stands in, for error messages.
    pub conversation: &'static str,
    /// Everything that was said, in the client's order. System and developer text are turns of their own, wherever they
    /// stand; neighbours may have the same role. Halves that need alternation merge.
    pub turns: Vec<Turn<'a>>,
    pub tools: Vec<Tool<'a>>,
    pub tool_choice: Option<ToolChoice<'a>>,
    /// False: at most one call in an answer.
    pub parallel_tools: Option<bool>,
    pub params: Params<'a>,
    /// Top-level fields that have no canonical word, for a half of the same dialect. Any other half notes a loss for each.
    pub extra: Vec<Extra<'a>>,
    pub stream: bool,
}

impl Request<'_> {
    /// Whether anything that was said has the word in it: providers insist on that before they answer in JSON.
    pub fn mentions_json(&self) -> bool {
        let says = |text: &str| text.as_bytes().windows(4).any(|word| word.eq_ignore_ascii_case(b"json"));
        self.turns.iter().flat_map(|turn| &turn.parts).any(|part| match &part.body {
            PartBody::Text { text, .. } => says(text),
            _ => false,
        })
    }
}

/// A field as the client wrote it.
#[derive(Debug, Clone)]
pub(crate) struct Extra<'a> {
    pub name: Cow<'a, str>,
    pub value: Value<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    System,
    /// System text of lower rank, where a dialect knows it; else the same as system.
    Developer,
    /// The user, and results of tools.
    User,
    Assistant,
}

/// What one side said at once.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    /// Its place in the client's own list, for error messages.
    pub at: usize,
    pub role: Role,
    pub parts: Vec<Part<'a>>,
    /// The speaker's name, where a dialect has one.
    pub name: Option<Cow<'a, str>>,
}

/// A tool that may be called.
#[derive(Debug)]
pub(crate) struct Tool<'a> {
    pub kind: ToolKind<'a>,
    pub cache: Option<CacheMark>,
}

#[derive(Debug)]
pub(crate) enum ToolKind<'a> {
    Function {
        name: Cow<'a, str>,
        description: Option<Cow<'a, str>>,
        /// A JSON schema as it was written, or as what was written means it; none where the tool takes nothing.
        schema: Option<Cow<'a, str>>,
        strict: Option<bool>,
    },
    /// A tool of the provider's own (search, code, …), for a half of the same dialect. Any other half refuses the
    /// request: dropping a tool changes what the answer means.
    Native {
        /// Its place in the client's own list, for error messages.
        at: usize,
        name: Cow<'a, str>,
        raw: &'a str,
    },
}
