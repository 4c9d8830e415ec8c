//! Joins a client's dialect to a provider's for one request. The only place that compares two dialects; whoever holds
//! a bridge cannot tell what is behind it. So far every way leads from a dialect to itself: bytes go through, edited
//! at named places.

use bytes::Bytes;

use crate::dialect::{Dialect, Quirks, openai_chat};
use crate::drive::StreamEnd;
use crate::error::Error;
use crate::patch::Segments;
use crate::receipt::Pricer;
use crate::scan::Scan;
use crate::tap::Tap;

/// What a request gets on its way to an endpoint. Usage for streams is switched on and our own fields are taken out
/// without being asked.
#[derive(Debug, Clone, Copy)]
pub struct RequestEdits<'a> {
    /// The endpoint's name for the model.
    pub upstream_model: &'a str,
    /// Tokens of answer at most; only where the gateway has to set a limit.
    pub token_limit: Option<u64>,
    pub quirks: Quirks,
}

/// What an answer gets on its way to the client.
#[derive(Debug, Clone)]
pub struct AnswerEdits {
    /// The model as the caller knows it.
    pub public_model: String,
    /// Whether the client sees the piece of a stream that has only usage in it.
    pub wants_usage: bool,
}

/// A whole answer for the client, and what it told.
#[derive(Debug)]
pub struct Whole {
    pub body: Segments,
    /// Has an error where the provider sent one with HTTP 200; the body is the provider's own then.
    pub tap: Tap,
}

/// A way between two dialects.
#[derive(Debug, Clone, Copy)]
pub enum Bridge {
    /// From OpenAI's chat completions to themselves.
    SameOpenAiChat,
}

impl Bridge {
    /// The way from a client's dialect to a provider's; none where there is none yet.
    pub fn between(client: &Dialect, provider: &Dialect) -> Option<Bridge> {
        (client == provider && *client == openai_chat::DIALECT).then_some(Bridge::SameOpenAiChat)
    }

    /// The request as the endpoint gets it. `scan` is the scan of this very body by the client's dialect.
    pub fn request(&self, body: &Bytes, scan: &Scan, edits: &RequestEdits<'_>) -> Segments {
        match self {
            Bridge::SameOpenAiChat => openai_chat::patch(body, scan, edits),
        }
    }

    /// The pass for a streamed answer.
    pub fn stream(&self, edits: &AnswerEdits) -> StreamPass {
        match self {
            Bridge::SameOpenAiChat => StreamPass { pass: Pass::SameOpenAiChat(openai_chat::StreamPass::new(edits)) },
        }
    }

    /// A whole answer as the client gets it.
    pub fn whole(&self, body: Bytes, edits: &AnswerEdits, pricer: &mut dyn Pricer) -> Result<Whole, Error> {
        match self {
            Bridge::SameOpenAiChat => openai_chat::pass(body, edits, pricer),
        }
    }
}

/// The pass of one streamed answer through a bridge.
#[derive(Debug, Clone)]
pub struct StreamPass {
    pass: Pass,
}

#[derive(Debug, Clone)]
enum Pass {
    SameOpenAiChat(openai_chat::StreamPass),
}

impl StreamPass {
    /// Takes what came from the provider, gives what goes to the client: whole events only, so it may be nothing; the
    /// very same bytes when nothing had to change. An error the provider reports within the stream is not passed on:
    /// what stood before it is given, and the pass is open no more.
    pub fn push(&mut self, chunk: Bytes, pricer: &mut dyn Pricer) -> Bytes {
        match &mut self.pass {
            Pass::SameOpenAiChat(pass) => pass.push(chunk, pricer),
        }
    }

    /// What is known so far.
    pub fn tap(&self) -> &Tap {
        match &self.pass {
            Pass::SameOpenAiChat(pass) => pass.tap(),
        }
    }

    /// Whether more of the upstream is of use.
    pub fn is_open(&self) -> bool {
        match &self.pass {
            Pass::SameOpenAiChat(pass) => pass.is_open(),
        }
    }

    /// The provider's body has ended, well or badly, or is not wanted any more: the last bytes for the client, and how
    /// the stream ended. Call it once.
    pub fn end(&mut self, pricer: &mut dyn Pricer) -> (Bytes, StreamEnd) {
        match &mut self.pass {
            Pass::SameOpenAiChat(pass) => pass.end(pricer),
        }
    }
}
