//! The API families: one folder each, one value each in `DIALECTS`. Adding one touches its folder and this list.
//! Must never compare two dialects; that is `bridge`.
//!
//! A dialect has up to three ways of working. `Same` passes bytes on, edited at named places. `Ingress` is the half
//! that faces clients: requests to canonical words, answers from them. `Egress` faces providers, the other way round.

pub mod anthropic;
pub mod bedrock_converse;
pub mod gemini;
pub mod openai_chat;
pub mod openai_responses;
pub mod tasks;

use std::borrow::Cow;
use std::fmt::Debug;

use bytes::Bytes;
use domain::usage::TokenUsage;

use crate::bridge::{AnswerEdits, Outbound, RequestEdits, Whole};
use crate::cross::Sink;
use crate::drive::StreamEnd;
use crate::error::{BodyFault, Error, UnknownQuirk};
use crate::fault::{self, FaultBody, InBand, Surface, UpstreamError};
use crate::json::{Value, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{Answer, Event, Request};
use crate::receipt::{Pricer, Receipt};
use crate::scan::{self, Fields, Scan};
use crate::tap::Tap;
use crate::{names, parameters};

/// Most choices of one answer: no API lets a client ask for more, so a provider's further ones are nobody's.
pub(crate) const MOST_CHOICES: u32 = 128;
/// Most parts of one choice that the reader of a stream keeps apart at once, all calls among them. It looks through them
/// for each piece.
const MOST_PARTS: usize = 1_024;

/// Ends a stream whose provider has so many parts open at once, which no answer has.
pub(crate) fn check_parts(open: usize) -> Result<(), UpstreamError> {
    if open <= MOST_PARTS {
        return Ok(());
    }
    let message = format!("the provider sent more than {MOST_PARTS} parts of an answer at once");
    Err(UpstreamError { message, ..UpstreamError::default() })
}

/// Every dialect that can be served.
pub static DIALECTS: &[&Dialect] = &[
    &openai_chat::DIALECT,
    &openai_responses::DIALECT,
    &anthropic::DIALECT,
    &gemini::DIALECT,
    &bedrock_converse::DIALECT,
    &tasks::EMBEDDINGS,
    &tasks::COMPLETIONS,
    &tasks::IMAGES,
    &tasks::AUDIO,
    &tasks::MODERATIONS,
    &tasks::RERANK,
    &tasks::GEMINI_EMBED,
    &tasks::GEMINI_COUNT,
    &tasks::ANTHROPIC_COUNT,
];

/// The dialect of a name such as `openai-chat`; none when it is not served (yet).
pub fn find(id: &str) -> Option<&'static Dialect> {
    DIALECTS.iter().copied().find(|dialect| dialect.id == id)
}

/// One API family: its names and its own ways of saying things.
#[derive(Debug)]
pub struct Dialect {
    /// The name in records.
    pub id: &'static str,
    /// The name on rows of providers that speak it, as in `domain::catalog::DIALECTS`.
    pub row: &'static str,
    /// The request fields that are acted on.
    pub fields: &'static Fields,
    /// Known small deviations of providers, by name; the place in this list is the bit in [`Quirks`].
    pub quirks: &'static [&'static str],
    /// Headers that its providers want, set where the client sent none.
    pub headers: &'static [(&'static str, &'static str)],
    /// Client headers that pass on to a provider of the same dialect.
    pub passing_headers: &'static [&'static str],
    pub(crate) route: fn(&Routed<'_>) -> Cow<'static, str>,
    pub(crate) write_fault: fn(Surface, &FaultBody<'_>) -> Bytes,
    pub(crate) write_in_band: fn(Surface, &FaultBody<'_>, &InBand<'_>) -> Bytes,
    pub(crate) write_keep_alive: fn(&KeepAlive<'_>) -> Bytes,
    pub(crate) same: &'static dyn Same,
    /// None for a dialect that is only ever a target.
    pub(crate) ingress: Option<&'static dyn Ingress>,
    /// None for a dialect that is served by providers of its own only.
    pub(crate) egress: Option<&'static dyn Egress>,
}

/// What decides where behind a provider's base URL a request goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Routed<'a> {
    /// What was asked for, as the client's family writes it: `chat/completions`. A dialect with one operation needs no look.
    pub operation: &'static str,
    pub upstream_model: &'a str,
    pub stream: bool,
    pub quirks: Quirks,
}

/// A sign of life within a stream.
#[derive(Debug, Clone, Copy)]
pub struct KeepAlive<'a> {
    /// What comments say, where the dialect has comments.
    pub text: &'a str,
    pub framing: Framing,
    /// Whether the answer itself has begun.
    pub has_begun: bool,
}

/// How a streamed answer is cut into pieces on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    #[default]
    Events,
    /// One JSON array, an element for each piece.
    Array,
}

/// Bytes pass from a client to a provider of the same dialect and back, edited at named places.
pub(crate) trait Same: Debug + Sync {
    /// The request as the provider gets it, with what its endpoint cannot be told. `scan` is the scan of this very body.
    fn request(&self, body: &Bytes, scan: &Scan, wanted: &RequestEdits<'_>) -> Result<Outbound, BodyFault>;
    /// The pass for a streamed answer.
    fn stream(&self, wanted: &AnswerEdits) -> Box<dyn Pass>;
    /// A whole answer as the client gets it.
    fn whole(&self, body: Bytes, wanted: &AnswerEdits, pricer: &mut dyn Pricer) -> Result<Whole, Error>;
    /// Whether requests may be multipart forms.
    fn takes_form(&self) -> bool {
        false
    }
    /// Whether whole answers may be something else than JSON.
    fn is_opaque(&self) -> bool {
        false
    }
    /// What is billed by the piece and known from the request alone.
    fn units(&self, _scan: &Scan) -> TokenUsage {
        TokenUsage::default()
    }
}

/// One streamed answer on its way.
pub(crate) trait Pass: Debug + Send {
    /// Takes what came from the provider, gives what goes to the client: whole events only, so it may be nothing; the
    /// very same bytes when nothing had to change.
    fn push(&mut self, chunk: Bytes, pricer: &mut dyn Pricer) -> Bytes;
    /// What is known so far.
    fn tap(&self) -> &Tap;
    /// Whether more of the upstream is of use.
    fn is_open(&self) -> bool;
    /// The provider's body has ended: the last bytes, and how it ended. Called once.
    fn end(&mut self, pricer: &mut dyn Pricer) -> (Bytes, StreamEnd);
}

/// The half that faces clients.
pub(crate) trait Ingress: Debug + Sync {
    /// Reads a request, which was scanned before. `carry` opens signatures that went out by [`EncodeEvents`] or `encode`.
    fn decode<'a>(&self, body: Value<'a>, scan: &Scan, carry: &crate::Carry) -> Result<Request<'a>, BodyFault>;
    /// Writes a whole answer. `receipt` is there when there is usage.
    fn encode(
        &self,
        answer: &Answer<'_>,
        receipt: Option<&Receipt>,
        wanted: &AnswerEdits,
        out: &mut Writer,
        losses: &mut Losses,
    );
    /// What writes a streamed answer.
    fn stream(&self, wanted: &AnswerEdits) -> Box<dyn EncodeEvents>;
    /// Fields of its requests in which its own providers hold or reach context for the client. Without it the answer would
    /// mean something else: other dialects' providers are not asked then.
    fn held(&self) -> &'static [&'static str] {
        &[]
    }
    /// Losses that writing answers can have.
    fn losses(&self) -> &'static [Loss];
}

/// Writes events for one client. What it appends is whole frames, framing included.
pub(crate) trait EncodeEvents: Debug + Send {
    /// The next event; never `Event::Usage`.
    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>);
    /// Usage as it is known now; the last one counts.
    fn usage(&mut self, usage: &TokenUsage, receipt: &Receipt);
    /// The number that the next event has, in a dialect that numbers them.
    fn sequence(&self) -> u64 {
        0
    }
    /// The answer ended well: everything that is still owed, the mark of a good end included.
    fn finish(&mut self, out: &mut Vec<u8>);
}

/// The half that faces providers.
pub(crate) trait Egress: Debug + Sync {
    /// Writes a request. A fault means that this dialect cannot serve it at all, in the client's words where possible.
    fn encode(
        &self,
        request: &Request<'_>,
        wanted: &RequestEdits<'_>,
        out: &mut Writer,
        losses: &mut Losses,
    ) -> Result<(), BodyFault>;
    /// Reads a whole answer; the error where the provider sent one with HTTP 200.
    fn decode<'a>(&self, answer: Value<'a>) -> Result<Answer<'a>, UpstreamError>;
    /// The same where providers may give neither calls nor answers an id: those that are made up differ from those of every
    /// answer that was read with another `seed`.
    fn decode_with<'a>(&self, answer: Value<'a>, _seed: &str) -> Result<Answer<'a>, UpstreamError> {
        self.decode(answer)
    }
    /// What reads a streamed answer.
    fn stream(&self) -> Box<dyn DecodeEvents>;
    /// Whether a tool may be called so; other names are changed before `encode`, and changed back in answers.
    fn takes_name(&self) -> fn(&str) -> bool {
        names::is_plain
    }
    /// Whether its streams come in frames of Amazon's instead of server-sent events.
    fn is_aws_framed(&self) -> bool {
        false
    }
    /// Losses that writing requests can have.
    fn losses(&self) -> &'static [Loss];
}

/// Reads the events of one provider.
pub(crate) trait DecodeEvents: Debug + Send {
    /// One frame whose data is JSON; `name` is its `event:` line, or empty. Unknown frames are skipped and counted with
    /// [`Sink::unknown`]. An error that the provider reports ends the stream.
    fn frame(&mut self, name: &str, data: Value<'_>, sink: &mut Sink<'_>) -> Result<(), UpstreamError>;
    /// What ids that are made up begin with where the answer has none of its own, as in [`Egress::decode_with`]; told before
    /// the first frame.
    fn seed(&mut self, _seed: &str) {}
    /// The provider's body is over: what can be told only now (parts that are still open are left open unless the provider
    /// said that the answer was finished).
    fn end(&mut self, sink: &mut Sink<'_>);
}

/// Two dialects are the same when their names are.
impl PartialEq for Dialect {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Dialect {}

impl Dialect {
    /// Reads a request body once and strictly.
    pub fn scan(&self, body: &[u8]) -> Result<Scan, BodyFault> {
        scan::scan(body, self.fields)
    }

    /// The same of a request that is only asked about: it need not have a conversation.
    pub fn scan_wishes(&self, body: &[u8]) -> Result<Scan, BodyFault> {
        scan::scan_wishes(body, self.fields)
    }

    /// Reads a multipart form once and strictly.
    pub fn scan_form(&self, body: &[u8], content_type: &str) -> Result<Scan, BodyFault> {
        tasks::scan_form(body, content_type)
    }

    /// Whether requests may be multipart forms.
    pub fn takes_form(&self) -> bool {
        self.same.takes_form()
    }

    /// Whether whole answers may be something else than JSON.
    pub fn is_opaque(&self) -> bool {
        self.same.is_opaque()
    }

    /// The media type of its streams.
    pub fn stream_type(&self) -> &'static str {
        match self.egress.is_some_and(|egress| egress.is_aws_framed()) {
            true => "application/vnd.amazon.eventstream",
            false => "text/event-stream",
        }
    }

    /// Whether it counts tokens and does nothing else.
    pub fn is_count(&self) -> bool {
        [tasks::ANTHROPIC_COUNT.id, tasks::GEMINI_COUNT.id].contains(&self.id)
    }

    /// Where behind a provider's base URL a request goes.
    pub fn route(&self, routed: &Routed<'_>) -> Cow<'static, str> {
        (self.route)(routed)
    }

    /// The quirks of an endpoint's row that are this dialect's. One that no dialect knows makes the row unusable, so that
    /// nothing is sent wrongly.
    pub fn parse_quirks<S: AsRef<str>>(&self, names: &[S]) -> Result<Quirks, UnknownQuirk> {
        names.iter().try_fold(Quirks::default(), |quirks, name| {
            let name = name.as_ref();
            match self.quirks.iter().position(|known| *known == name) {
                Some(bit) => Ok(Quirks(quirks.0 | (1u32 << bit.min(31)))),
                None if DIALECTS.iter().any(|other| other.quirks.contains(&name)) => Ok(quirks),
                None => Err(UnknownQuirk {
                    quirk: name.chars().take(64).collect(),
                    dialect: self.id,
                    known: self.quirks.join(", "),
                }),
            }
        })
    }

    /// What can be lost of a request on its way to a provider of this dialect.
    pub fn request_losses(&self) -> impl Iterator<Item = Loss> {
        // Names of tools are changed by whoever translates, for all dialects.
        let names = self.egress.map(|_| Loss::ToolName);
        self.egress.into_iter().flat_map(|egress| egress.losses()).copied().chain(names)
    }

    /// What can be lost of an answer on its way to a client of this dialect.
    pub fn answer_losses(&self) -> impl Iterator<Item = Loss> {
        self.ingress.into_iter().flat_map(|ingress| ingress.losses()).copied()
    }

    /// Whether it is translated to or from.
    pub fn translates(&self) -> bool {
        self.ingress.is_some() || self.egress.is_some()
    }

    /// What a request asks of a model, in the words of the catalogue. `scan` is the scan of this very body.
    pub fn parameters(&self, body: &[u8], scan: &Scan) -> Vec<String> {
        parameters::of(self, body, scan)
    }

    /// A whole error body.
    pub fn encode_fault(&self, surface: Surface, fault: &FaultBody<'_>) -> Bytes {
        (self.write_fault)(surface, fault)
    }

    /// An error within a stream: one event. Nothing may follow it, the mark of a good end least of all.
    pub fn encode_in_band(&self, surface: Surface, fault: &FaultBody<'_>, at: &InBand<'_>) -> Bytes {
        (self.write_in_band)(surface, fault, at)
    }

    /// What is sent while a client waits for a stream's next event. Only between events.
    pub fn encode_keep_alive(&self, keep_alive: &KeepAlive<'_>) -> Bytes {
        (self.write_keep_alive)(keep_alive)
    }

    /// Reads a provider's error body, whatever it is.
    pub fn decode_error(&self, body: &[u8]) -> UpstreamError {
        fault::decode(body)
    }

    /// The same where a header, [`fault::NAME_HEADER`], says which error it is.
    pub fn decode_named_error(&self, name: Option<&str>, body: &[u8]) -> UpstreamError {
        fault::decode_named(name.unwrap_or_default(), body)
    }
}

/// Quirks of one endpoint, checked. Means something to the dialect that parsed it only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quirks(u32);

impl Quirks {
    /// Whether the quirk at this place of the dialect's list is on.
    pub(crate) fn has(self, place: u32) -> bool {
        self.0.checked_shr(place).unwrap_or(0) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_has_a_name_that_rows_may_carry() {
        for dialect in DIALECTS {
            assert!(domain::catalog::DIALECTS.contains(&dialect.row));
            assert_eq!(find(dialect.id), Some(*dialect));
            assert!(dialect.fields.len() <= 64 && dialect.quirks.len() <= 32);
        }
        assert_eq!(find("morse"), None);
    }

    #[test]
    fn an_unknown_quirk_is_named() {
        let dialect = &openai_chat::DIALECT;
        assert!(dialect.parse_quirks(&["no-stream-options", "max-completion-tokens"]).is_ok());
        let error = dialect.parse_quirks(&["sings"]).unwrap_err();
        assert!(error.to_string().starts_with("`sings` is no quirk of openai-chat; known are "));
    }
}
