//! A provider that checks: one deterministic brain behind the wire of all four families. It refuses what the real
//! provider would refuse, in that provider's words, and keeps each violation for the test to see. Uses nothing of the
//! product; `brain` decides, the folders named after families read and write.

mod anthropic;
mod base64;
mod brain;
mod chat;
mod command;
mod gemini;
pub mod instance;
mod json;
mod other;
mod responses;
mod serve;
mod shape;
mod sign;
mod talk;
#[cfg(test)]
mod tests;
mod truth;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::lock;
use super::script::Gate;
use super::wire::Asked;
use brain::Answer;
use talk::Talk;

pub(super) use serve::serve;
pub use sign::DUMMIES;
pub use truth::Truth;

/// Who is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    Chat,
    Responses,
    Anthropic,
    Gemini,
}

impl Family {
    pub const ALL: [Family; 4] = [Family::Chat, Family::Responses, Family::Anthropic, Family::Gemini];

    /// The name of the dialect.
    pub const fn dialect(self) -> &'static str {
        match self {
            Family::Chat => "openai-chat",
            Family::Responses => "openai-responses",
            Family::Anthropic => "anthropic",
            Family::Gemini => "gemini",
        }
    }

    /// The base path of its provider.
    const fn base(self) -> &'static str {
        match self {
            Family::Chat => "/strict/openai/v1",
            Family::Responses => "/strict/responses/v1",
            Family::Anthropic => "/strict/anthropic/v1",
            Family::Gemini => "/strict/gemini/v1beta",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Talk,
    CountTokens,
    Embed,
    Image,
    EditImage,
    Speak,
    Transcribe,
    Moderate,
    Rerank,
    Complete,
}

/// A rule that a request broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// A short name, for tests that expect it or leave it out.
    pub rule: &'static str,
    /// `messages[2].content[0]`
    pub at: String,
    pub says: String,
}

/// One request as this provider saw it.
#[derive(Debug)]
pub struct Seen {
    pub sequence: u64,
    pub family: Family,
    pub operation: Operation,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub raw: Vec<u8>,
    /// Of a form: its fields, and for files name, type and size.
    pub body: Value,
    pub model: String,
    /// The name that the conversation gave itself by `!tag`.
    pub tag: String,
    pub is_stream: bool,
    /// What was answered.
    pub status: u16,
    /// The answer's own id.
    pub id: String,
    /// What the answer's usage says, each token in one class; nothing for an error.
    pub truth: Truth,
    pub violations: Vec<Violation>,
    /// What the real provider takes but answers worse for: the documented stand-ins for signatures, thoughts of the round
    /// that is going on that did not come back.
    pub dummies: usize,
    left: AtomicBool,
    pieces: AtomicU64,
}

impl Seen {
    /// Pieces of the answer's body that left so far.
    pub fn pieces(&self) -> u64 {
        self.pieces.load(Ordering::Acquire)
    }

    /// Whether the asker hung up before the answer was over.
    pub fn was_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// A header's text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(present, _)| present.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    fn json(&self) -> Value {
        let violations = self.violations.iter().map(|one| json!({"rule": one.rule, "at": one.at, "says": one.says}));
        json!({
            "sequence": self.sequence, "family": self.family.dialect(), "operation": format!("{:?}", self.operation),
            "path": self.path, "model": self.model, "tag": self.tag, "stream": self.is_stream, "status": self.status,
            "id": self.id, "body": self.body, "truth": self.truth.json(), "dummies": self.dummies,
            "violations": violations.collect::<Vec<_>>(),
        })
    }
}

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Journal {
    seen: Mutex<Vec<Arc<Seen>>>,
    /// Goes on when the rest is forgotten, so that no two answers have one id.
    next: AtomicU64,
    /// By the names that commands have for them.
    gates: Mutex<HashMap<String, Gate>>,
}

impl Journal {
    fn gate(&self, name: &str) -> Gate {
        lock(&self.gates).entry(name.to_owned()).or_default().clone()
    }
}

/// The strict provider of a running fake.
#[derive(Clone)]
pub struct Strict {
    address: SocketAddr,
    journal: Arc<Journal>,
}

impl Strict {
    pub(super) fn new(address: SocketAddr, journal: Arc<Journal>) -> Strict {
        Strict { address, journal }
    }

    /// The base URL of a family's provider.
    pub fn url(&self, family: Family) -> String {
        format!("http://{}{}", self.address, family.base())
    }

    /// Where it listens, without a path.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that was asked, in order of arrival.
    pub fn seen(&self) -> Vec<Arc<Seen>> {
        lock(&self.journal.seen).clone()
    }

    /// What was asked in the conversation that has `!tag NAME` in it.
    pub fn tagged(&self, tag: &str) -> Vec<Arc<Seen>> {
        self.seen().into_iter().filter(|seen| seen.tag == tag).collect()
    }

    /// Every rule that anybody broke.
    pub fn violations(&self) -> Vec<Violation> {
        self.seen().iter().flat_map(|seen| seen.violations.clone()).collect()
    }

    /// What was asked under this tag, which must be something, and without a violation.
    #[track_caller]
    pub fn expect_clean(&self, tag: &str) -> Vec<Arc<Seen>> {
        let seen = self.tagged(tag);
        assert!(!seen.is_empty(), "nothing arrived under the tag {tag}");
        for one in &seen {
            assert!(one.violations.is_empty(), "{tag}: {:#?} in {:#}", one.violations, one.body);
        }
        seen
    }

    /// The gate that the pieces of an answer wait at whose question has `!gate NAME` in it: speech and conversations.
    pub fn gate(&self, name: &str) -> Gate {
        self.journal.gate(name)
    }

    /// Forgets the journal, to keep long runs small.
    pub fn forget(&self) {
        lock(&self.journal.seen).clear();
    }
}

/// Violations as they are found.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub list: Vec<Violation>,
    pub dummies: usize,
}

impl Checks {
    pub fn no(&mut self, rule: &'static str, at: &str, says: &str) {
        self.list.push(Violation { rule, at: at.to_owned(), says: says.to_owned() });
    }

    /// A violation unless it is so.
    pub fn need(&mut self, holds: bool, rule: &'static str, at: &str, says: &str) {
        if !holds {
            self.no(rule, at, says);
        }
    }
}

/// A request with its path taken apart.
pub(crate) struct Ask<'a> {
    asked: &'a Asked,
    pub family: Family,
    pub operation: Operation,
    /// From the path, where the family has it there.
    pub model: Option<String>,
    /// From the path: whether the verb streams.
    pub is_stream_verb: bool,
    pub query: &'a str,
    pub body: Value,
}

impl<'a> Ask<'a> {
    /// None for a path that no provider has.
    fn of(asked: &'a Asked) -> Option<Ask<'a>> {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let (family, operation, model, is_stream_verb) = route(path)?;
        let body = serde_json::from_slice(&asked.body).unwrap_or(Value::Null);
        Some(Ask { asked, family, operation, model, is_stream_verb, query, body })
    }

    pub fn header(&self, name: &str) -> &str {
        self.asked.header(name).unwrap_or_default()
    }

    pub fn raw(&self) -> &[u8] {
        &self.asked.body
    }

    /// A value of the query.
    pub fn queried(&self, name: &str) -> Option<&str> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// Unlike for every other conversation.
    fn seed(&self) -> String {
        sign::hex(&[&String::from_utf8_lossy(self.raw())], 32)
    }
}

type Route = (Family, Operation, Option<String>, bool);

fn route(path: &str) -> Option<Route> {
    use Operation::*;
    let (provider, rest) = path.strip_prefix("/strict/")?.split_once('/')?;
    let (version, rest) = rest.split_once('/')?;
    let plain = |family, operation| Some((family, operation, None, false));
    match (provider, version, rest) {
        ("openai", "v1", "chat/completions") => plain(Family::Chat, Talk),
        ("openai", "v1", "completions") => plain(Family::Chat, Complete),
        ("openai", "v1", "embeddings") => plain(Family::Chat, Embed),
        ("openai", "v1", "images/generations") => plain(Family::Chat, Image),
        ("openai", "v1", "images/edits") => plain(Family::Chat, EditImage),
        ("openai", "v1", "audio/speech") => plain(Family::Chat, Speak),
        ("openai", "v1", "audio/transcriptions") => plain(Family::Chat, Transcribe),
        ("openai", "v1", "moderations") => plain(Family::Chat, Moderate),
        ("openai", "v1", "rerank") => plain(Family::Chat, Rerank),
        ("responses", "v1", "responses") => plain(Family::Responses, Talk),
        ("anthropic", "v1", "messages") => plain(Family::Anthropic, Talk),
        ("anthropic", "v1", "messages/count_tokens") => plain(Family::Anthropic, CountTokens),
        ("gemini", "v1" | "v1beta", rest) => {
            let (model, verb) = rest.strip_prefix("models/")?.rsplit_once(':')?;
            let (operation, is_stream) = match verb {
                "generateContent" => (Talk, false),
                "streamGenerateContent" => (Talk, true),
                "countTokens" => (CountTokens, false),
                "embedContent" | "batchEmbedContents" => (Embed, false),
                _ => return None,
            };
            Some((Family::Gemini, operation, Some(model.to_owned()), is_stream))
        }
        _ => None,
    }
}

/// Everything that an answer is written from.
pub(crate) struct Reply<'a> {
    pub ask: &'a Ask<'a>,
    pub talk: &'a Talk,
    pub answer: &'a Answer,
    /// In the family's own words.
    pub truth: Truth,
    pub id: &'a str,
    pub seed: String,
}

impl Reply<'_> {
    /// The model that answered: a dated one, as providers say it.
    pub fn model(&self) -> String {
        format!("{}-2026-09-01", self.talk.model)
    }

    pub fn is_thought(&self) -> bool {
        self.answer.thought.is_some()
    }

    /// The part of a call's id that is ours.
    pub fn mark(&self, choice: usize, at: usize) -> String {
        sign::mark(&self.seed, choice * 100 + at, self.is_thought())
    }
}

/// One family's wire.
pub(crate) trait Front: Sync {
    /// Reads a request and says what is wrong with it.
    fn read(&self, ask: &Ask<'_>, checks: &mut Checks) -> Talk;
    /// The answer's id.
    fn id(&self, sequence: u64) -> String;
    /// A whole answer.
    fn whole(&self, reply: &Reply<'_>) -> Value;
    /// A streamed answer, event by event.
    fn frames(&self, reply: &Reply<'_>) -> Vec<Vec<u8>>;
    /// How a stream says that it failed.
    fn broken(&self, reply: &Reply<'_>) -> Vec<Vec<u8>>;
    /// How a whole answer with status 200 says that it failed.
    fn broken_whole(&self, reply: &Reply<'_>) -> Value {
        let _ = reply;
        self.error(500, BROKEN, None)
    }
    /// The body of an error.
    fn error(&self, status: u16, message: &str, violation: Option<&Violation>) -> Value;
    /// `text/event-stream`, and whatever else streams are.
    fn stream_type(&self, ask: &Ask<'_>) -> &'static str {
        let _ = ask;
        "text/event-stream; charset=utf-8"
    }
}

/// When everything was created, in Unix seconds.
pub(crate) const CREATED: u64 = 1_790_000_000;
pub(crate) const BROKEN: &str = "The strict provider broke, as it was asked to.";

fn front(family: Family) -> &'static dyn Front {
    match family {
        Family::Chat => &chat::Chat,
        Family::Responses => &responses::Responses,
        Family::Anthropic => &anthropic::Anthropic,
        Family::Gemini => &gemini::Gemini,
    }
}
