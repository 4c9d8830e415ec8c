//! Joins a client's dialect to a provider's for one request. The only place that compares two dialects; whoever holds
//! a bridge cannot tell what is behind it: bytes that go through, edited at named places, or a translation.

use std::borrow::Cow;

use bytes::Bytes;
use domain::usage::TokenUsage;

use crate::carry::{self, Carry};
use crate::cross::{self, CrossPass};
use crate::dialect::{Dialect, Egress, Framing, Ingress, Pass, Quirks, Routed};
use crate::drive::StreamEnd;
use crate::error::{BodyFault, Error};
use crate::fault::Surface;
use crate::loss::Losses;
use crate::names::Names;
use crate::patch::Segments;
use crate::receipt::Pricer;
use crate::scan::Scan;
use crate::structured::{Expectation, Settled, Watch};
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
    /// The most tokens of answer that the endpoint gives, for dialects that must name a limit.
    pub max_output: Option<u64>,
    /// What the model takes, such as `text` and `image`; empty where nobody said.
    pub input_modalities: &'a [String],
    /// Whether a loss is a refusal.
    pub require_parameters: bool,
    pub surface: Surface,
    /// Opens what clients send back of this endpoint's sealed state.
    pub carry: &'a Carry,
}

impl<'a> RequestEdits<'a> {
    /// Nothing but the model's name.
    pub fn new(upstream_model: &'a str, carry: &'a Carry) -> RequestEdits<'a> {
        RequestEdits {
            upstream_model,
            token_limit: None,
            quirks: Quirks::default(),
            max_output: None,
            input_modalities: &[],
            require_parameters: false,
            surface: Surface::V1,
            carry,
        }
    }
}

/// What an answer gets on its way to the client.
#[derive(Debug, Clone, Default)]
pub struct AnswerEdits {
    /// The model as the caller knows it.
    pub public_model: String,
    /// Whether the client sees the piece of a stream that has only usage in it.
    pub wants_usage: bool,
    pub surface: Surface,
    pub framing: Framing,
    /// The answer's id where the provider gives none.
    pub request_id: String,
    /// Who answers, as OpenRouter's clients want to know.
    pub provider: String,
    /// Unix seconds, where the provider does not say when.
    pub created: u64,
    /// Seals the endpoint's state for clients of another dialect.
    pub carry: Carry,
    /// What is billed by the piece and known from the request alone, as [`Bridge::units`] told it.
    pub units: TokenUsage,
    /// The tokens that the request is taken for where a provider counts none: a translated answer tells what it is charged by.
    pub likely_prompt: Option<u64>,
    /// Tools' names as [`Outbound::names`] told them.
    pub names: Names,
    /// What the answer's text was promised to be.
    pub expected: Option<Expectation>,
    /// The request, for dialects whose answers repeat some of it.
    pub request: Bytes,
}

/// A request on its way to an endpoint.
#[derive(Debug)]
pub struct Outbound {
    pub body: Segments,
    pub losses: Losses,
    /// Tools' names that were changed; goes into [`AnswerEdits::names`].
    pub names: Names,
}

impl From<Segments> for Outbound {
    /// Nothing was lost.
    fn from(body: Segments) -> Outbound {
        Outbound { body, losses: Losses::default(), names: Names::default() }
    }
}

/// A whole answer for the client, and what it told.
#[derive(Debug)]
pub struct Whole {
    pub body: Segments,
    /// Has an error where the provider sent one with HTTP 200; the body is the provider's own then.
    pub tap: Tap,
    pub losses: Losses,
    /// Whether its text is what was promised about it.
    pub settled: Settled,
}

/// A way between two dialects.
#[derive(Debug, Clone, Copy)]
pub struct Bridge {
    client: &'static Dialect,
    provider: &'static Dialect,
    /// Translates even where bytes could go through.
    is_forced: bool,
}

impl Bridge {
    /// The way from a client's dialect to a provider's; none where there is none.
    pub fn between(client: &'static Dialect, provider: &'static Dialect) -> Option<Bridge> {
        let bridge = Bridge { client, provider, is_forced: false };
        (bridge.is_same() || bridge.halves().is_some()).then_some(bridge)
    }

    /// Whether bytes go through.
    pub fn is_same(&self) -> bool {
        self.client == self.provider && !self.is_forced
    }

    /// The way by canonical words, between a dialect and itself as well. The product never asks for it: laws that hold for
    /// all halves are checked on it.
    #[doc(hidden)]
    pub fn translating(client: &'static Dialect, provider: &'static Dialect) -> Option<Bridge> {
        let bridge = Bridge { client, provider, is_forced: true };
        bridge.halves().is_some().then_some(bridge)
    }

    /// What is billed by the piece and known from the request alone.
    pub fn units(&self, scan: &Scan) -> TokenUsage {
        self.provider.same.units(scan)
    }

    fn halves(&self) -> Option<(&'static dyn Ingress, &'static dyn Egress)> {
        Some((self.client.ingress?, self.provider.egress?))
    }

    /// Where behind the provider's base URL the request goes.
    pub fn route(&self, routed: &Routed<'_>) -> Cow<'static, str> {
        self.provider.route(routed)
    }

    /// The request as the endpoint gets it. `scan` is the scan of this very body by the client's dialect. A fault means
    /// that this endpoint cannot be asked so; another one may.
    pub fn request(&self, body: &Bytes, scan: &Scan, edits: &RequestEdits<'_>) -> Result<Outbound, BodyFault> {
        match self.halves() {
            // Sealed state that we carried from another endpoint means nothing to this one and has to come out.
            Some(halves) if !self.is_same() || carry::is_in(body) => {
                cross::request(halves, self.is_same(), self.provider, body, scan, edits)
            }
            _ => self.passed(body, scan, edits),
        }
    }

    /// The pass for a streamed answer.
    pub fn stream(&self, edits: &AnswerEdits) -> StreamPass {
        let pass: Box<dyn Pass> = match self.halves().filter(|_| !self.is_same()) {
            Some((ingress, egress)) => {
                let mut decoder = egress.stream();
                decoder.seed(&edits.request_id);
                let pass =
                    CrossPass::new(decoder, ingress.stream(edits), edits.names.clone()).estimating(edits.likely_prompt);
                Box::new(pass.aws_framed(egress.is_aws_framed()))
            }
            None => self.provider.same.stream(edits),
        };
        let watch = edits.expected.clone().zip(self.provider.egress);
        let watch = watch.map(|(expected, egress)| Box::new(Watch::new(egress, expected)));
        StreamPass { pass, watch, is_broken: false, sequence: 0 }
    }

    /// A whole answer as the client gets it.
    pub fn whole(&self, body: Bytes, edits: &AnswerEdits, pricer: &mut dyn Pricer) -> Result<Whole, Error> {
        match self.halves().filter(|_| !self.is_same()) {
            Some(halves) => cross::whole(halves, body, edits, pricer),
            None => self.whole_same(body, edits, pricer),
        }
    }
}

impl Bridge {
    fn passed(&self, body: &Bytes, scan: &Scan, edits: &RequestEdits<'_>) -> Result<Outbound, BodyFault> {
        let outbound = self.provider.same.request(body, scan, edits)?;
        cross::check_losses(self.provider, outbound.losses, edits)?;
        Ok(outbound)
    }

    /// Bytes pass; only where something was promised about them are they read, and only where they had to be mended are
    /// they written anew.
    fn whole_same(&self, body: Bytes, edits: &AnswerEdits, pricer: &mut dyn Pricer) -> Result<Whole, Error> {
        let (Some(expected), Some(halves)) = (&edits.expected, self.halves()) else {
            return self.provider.same.whole(body, edits, pricer);
        };
        let mut whole = self.provider.same.whole(body.clone(), edits, pricer)?;
        if whole.tap.upstream_error().is_some() {
            return Ok(whole);
        }
        whole.settled = cross::settle(halves.1, &body, expected);
        match whole.settled {
            Settled::Healed => cross::whole(halves, body, edits, pricer),
            Settled::Fits | Settled::Broken => Ok(whole),
        }
    }
}

/// The pass of one streamed answer through a bridge.
#[derive(Debug)]
pub struct StreamPass {
    pass: Box<dyn Pass>,
    /// Reads along where something was promised about the answer's text.
    watch: Option<Box<Watch>>,
    is_broken: bool,
    /// The number of the next event, after those that the client was given.
    sequence: u64,
}

impl StreamPass {
    /// Takes what came from the provider, gives what goes to the client: whole events only, so it may be nothing; the
    /// very same bytes when nothing had to change. An error the provider reports within the stream is not passed on:
    /// what stood before it is given, and the pass is open no more.
    pub fn push(&mut self, chunk: Bytes, pricer: &mut dyn Pricer) -> Bytes {
        if self.is_broken {
            return Bytes::new();
        }
        self.is_broken = self.watch.as_mut().is_some_and(|watch| watch.breaks(&chunk));
        let out = self.pass.push(chunk, pricer);
        // What says that the answer ended well must not reach the client: it has not.
        if self.is_broken {
            return Bytes::new();
        }
        self.sequence = self.pass.tap().sequence();
        out
    }

    /// The number that an event behind those given so far has, in dialects that count them: an error of ours goes on there.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What is known so far.
    pub fn tap(&self) -> &Tap {
        self.pass.tap()
    }

    /// Whether more of the upstream is of use.
    pub fn is_open(&self) -> bool {
        !self.is_broken && self.pass.is_open()
    }

    /// The provider's body has ended, well or badly, or is not wanted any more: the last bytes for the client, and how
    /// the stream ended. Call it once.
    pub fn end(&mut self, pricer: &mut dyn Pricer) -> (Bytes, StreamEnd) {
        let (rest, end) = self.pass.end(pricer);
        if self.is_broken {
            return (Bytes::new(), StreamEnd::Broken);
        }
        self.sequence = self.pass.tap().sequence();
        (rest, end)
    }
}
