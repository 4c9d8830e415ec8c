//! From one dialect to another by canonical words: the one driver of translated streams and whole answers. Dialects say
//! what they see and write what they are told; what is counted, priced and judged is here. Holds one frame at a time.

use bytes::Bytes;

use crate::bridge::{AnswerEdits, Outbound, RequestEdits, Whole};
use crate::dialect::{DecodeEvents, Dialect, Egress, EncodeEvents, Ingress, Pass};
use crate::drive::{self, StreamEnd};
use crate::error::{BodyFault, BodyFaultKind, Error};
use crate::fault::{self, UpstreamError};
use crate::frame::aws;
use crate::frame::sse::{Frame, MAX_EVENT_BYTES, Splitter};
use crate::json::{Tape, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{Answer, Event, Finish, Part, PartBody, Piece, Request, Start};
use crate::names::Names;
use crate::patch::Segments;
use crate::receipt::Pricer;
use crate::refusal;
use crate::scan::Scan;
use crate::structured::{Expectation, Settled};
use crate::tap::Tap;

/// The mark with which some dialects end a stream.
const DONE: &[u8] = b"[DONE]";

/// Messages, or items of a conversation, that are translated in one request.
const MOST_TURNS: u64 = 16_384;
/// Parts of all messages, those inside results of tools left out.
const MOST_PARTS: usize = 65_536;
const MOST_TOOLS: usize = 4_096;

/// Translates a request. Of one whose answer passes as it is, tools keep their names: nobody would change them back.
pub(crate) fn request(
    (ingress, egress): (&dyn Ingress, &dyn Egress),
    is_answered_as_it_is: bool,
    provider: &Dialect,
    body: &Bytes,
    scan: &Scan,
    wanted: &RequestEdits<'_>,
) -> Result<Outbound, BodyFault> {
    if scan.messages > MOST_TURNS {
        return Err(refusal::too_many(None, MOST_TURNS, "messages"));
    }
    let mut tape = Tape::default();
    let value = tape.read_strictly(body)?;
    let mut request = ingress.decode(value, scan, wanted.carry)?;
    check_size(&request)?;
    check_held(ingress, provider, &request)?;
    check_media(&request, wanted.input_modalities)?;
    let mut out = Writer::new(body);
    out.share(value.kept());
    let mut losses = Losses::default();
    let names = match is_answered_as_it_is {
        true => Names::default(),
        false => Names::change(&mut request, egress.takes_name()),
    };
    losses.note_if(!names.is_empty(), Loss::ToolName);
    egress.encode(&request, wanted, &mut out, &mut losses)?;
    check_losses(provider, losses, wanted)?;
    Ok(Outbound { body: out.finish(), losses, names })
}

/// A request is translated in one go, while others wait for their turn.
fn check_size(request: &Request<'_>) -> Result<(), BodyFault> {
    if request.turns.iter().map(|turn| turn.parts.len()).sum::<usize>() > MOST_PARTS {
        return Err(refusal::too_many(Some(request.conversation), MOST_PARTS as u64, "parts"));
    }
    if request.tools.len() > MOST_TOOLS {
        return Err(refusal::too_many(Some("tools"), MOST_TOOLS as u64, "tools"));
    }
    Ok(())
}

/// Refuses losses where the client wants none.
pub(crate) fn check_losses(provider: &Dialect, losses: Losses, wanted: &RequestEdits<'_>) -> Result<(), BodyFault> {
    // Names are changed back, so nothing is lost by them.
    let asked = losses.without(Loss::ToolName);
    if !wanted.require_parameters || asked.is_empty() {
        return Ok(());
    }
    Err(BodyFault {
        kind: BodyFaultKind::Unsupported,
        param: asked.iter().next().map(|loss| loss.name().to_owned()),
        message: format!("with `require_parameters` nothing may be lost, and {} cannot say: {asked}", provider.id),
    })
}

/// What only providers of the client's own dialect hold for it is refused everywhere else.
fn check_held(ingress: &dyn Ingress, provider: &Dialect, request: &Request<'_>) -> Result<(), BodyFault> {
    if request.from == provider.id {
        return Ok(());
    }
    refusal::held_context(request, ingress.held()).map_or(Ok(()), Err)
}

/// Media that the model does not take are refused here, since a translation would have to drop or garble them.
fn check_media(request: &Request<'_>, modalities: &[String]) -> Result<(), BodyFault> {
    if modalities.is_empty() {
        return Ok(());
    }
    request.turns.iter().try_for_each(|turn| check_parts(&turn.parts, modalities))
}

fn check_parts(parts: &[Part<'_>], modalities: &[String]) -> Result<(), BodyFault> {
    for part in parts {
        match &part.body {
            PartBody::Media(media) if !modalities.iter().any(|taken| taken == media.kind.word()) => {
                let message = format!("`{}` is {}, which the model does not take", media.at, media.kind.word());
                return Err(refusal::unsupported(&*media.at, message));
            }
            PartBody::ToolResult { content, .. } => check_parts(content, modalities)?,
            _ => {}
        }
    }
    Ok(())
}

/// Translates a whole answer.
pub(crate) fn whole(
    (ingress, egress): (&dyn Ingress, &dyn Egress),
    body: Bytes,
    wanted: &AnswerEdits,
    pricer: &mut dyn Pricer,
) -> Result<Whole, Error> {
    let mut tape = Tape::default();
    let value = tape.read(&body).ok().filter(|value| value.is_object() || value.is_array());
    let value = value.ok_or(Error::AnswerNotJson)?;
    let mut tap = Tap::default();
    let mut answer = match egress.decode_with(value, &wanted.request_id) {
        Ok(answer) => called_back(answer, &wanted.names),
        Err(error) => {
            tap.note_error(error);
            return Ok(Whole { body: body.into(), tap, losses: Losses::default(), settled: Settled::Fits });
        }
    };
    let settled = wanted.expected.as_ref().map_or(Settled::Fits, |expected| expected.settle(&mut answer));
    note_answer(&answer, &mut tap);
    answer.usage = answer.usage.or_else(|| Some(tap.booked_usage(wanted.likely_prompt?)));
    let receipt = answer.usage.as_ref().map(|usage| pricer.price(usage));
    let mut out = Writer::new(&body);
    let mut losses = Losses::default();
    ingress.encode(&answer, receipt.as_ref(), wanted, &mut out, &mut losses);
    let body: Segments = out.finish();
    Ok(Whole { body, tap, losses, settled })
}

/// Whether an answer that passes as it is has the shape that was promised.
pub(crate) fn settle(egress: &dyn Egress, body: &[u8], expected: &Expectation) -> Settled {
    let mut tape = Tape::default();
    let answer = tape.read(body).ok().and_then(|value| egress.decode(value).ok());
    answer.map_or(Settled::Fits, |mut answer| expected.settle(&mut answer))
}

/// The answer with tools' names as the client knows them.
fn called_back<'a>(mut answer: Answer<'a>, names: &Names) -> Answer<'a> {
    if !names.is_empty() {
        for part in answer.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
            if let PartBody::ToolCall { name, .. } = &mut part.body {
                *name = names.back(std::mem::take(name));
            }
        }
    }
    answer
}

fn note_answer(answer: &Answer<'_>, tap: &mut Tap) {
    tap.note_id(&answer.id);
    tap.note_created(answer.created);
    for choice in &answer.choices {
        let index = u64::from(choice.index);
        tap.note_choice(index);
        for part in &choice.parts {
            note_part(&part.body, tap);
        }
        match choice.finish {
            Some(Finish::Error) => tap.note_error(failed(&choice.native)),
            Some(_) => tap.note_finish(index, &choice.native),
            None => {}
        }
    }
    if let Some(usage) = answer.usage {
        tap.note_usage(usage, true);
    }
}

fn note_part(part: &PartBody<'_>, tap: &mut Tap) {
    match part {
        PartBody::Text { text, .. } | PartBody::Refusal(text) if text.is_empty() => {}
        PartBody::Text { text, .. } | PartBody::Refusal(text) => tap.note_content(len(text)),
        PartBody::ToolCall { name, arguments, .. } => tap.note_content(len(name) + len(arguments)),
        PartBody::Thought(thought) if thought.text.is_empty() => {}
        PartBody::Thought(thought) => tap.note_content(len(&thought.text)),
        PartBody::Media(_) | PartBody::ToolResult { .. } | PartBody::Other { .. } => tap.note_content(0),
    }
}

fn len(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

fn failed(native: &str) -> UpstreamError {
    UpstreamError {
        message: "the provider ended the answer with an error".to_owned(),
        code: (!native.is_empty()).then(|| native.chars().take(128).collect()),
        ..UpstreamError::default()
    }
}

/// Where a provider's half puts what it sees: the client's half writes it, the tap learns from it.
pub(crate) struct Sink<'s> {
    tap: &'s mut Tap,
    names: &'s Names,
    encoder: &'s mut dyn EncodeEvents,
    out: &'s mut Vec<u8>,
    pricer: &'s mut dyn Pricer,
}

impl<'s> Sink<'s> {
    /// A sink for tests of the dialects' halves.
    #[cfg(test)]
    pub fn new(
        tap: &'s mut Tap,
        names: &'s Names,
        encoder: &'s mut dyn EncodeEvents,
        out: &'s mut Vec<u8>,
        pricer: &'s mut dyn Pricer,
    ) -> Sink<'s> {
        Sink { tap, names, encoder, out, pricer }
    }

    /// One event.
    pub fn put(&mut self, mut event: Event<'_>) {
        if let Event::Start { start: Start::ToolCall { name, .. }, .. } = &mut event
            && !self.names.is_empty()
        {
            *name = self.names.back(std::mem::take(name));
        }
        match &event {
            Event::Begin { id, created } => {
                self.tap.note_id(id);
                self.tap.note_created(*created);
            }
            Event::Start { choice, start, .. } => {
                self.tap.note_choice(u64::from(*choice));
                match start {
                    Start::ToolCall { name, .. } => self.tap.note_content(len(name)),
                    Start::Media(_) | Start::Other { .. } => self.tap.note_content(0),
                    Start::Text | Start::Refusal | Start::Thought { .. } => {}
                }
            }
            Event::Piece { piece: Piece::Text(text) | Piece::Arguments(text), .. } if !text.is_empty() => {
                self.tap.note_content(len(text));
            }
            Event::Piece { .. } | Event::End { .. } => {}
            Event::Finish { finish: Finish::Error, native, .. } => return self.tap.note_error(failed(native)),
            Event::Finish { choice, native, .. } => self.tap.note_finish(u64::from(*choice), native),
            Event::Usage { usage, is_final } => {
                self.tap.note_usage(*usage, *is_final);
                let receipt = self.pricer.price(usage);
                return self.encoder.usage(usage, &receipt);
            }
        }
        self.encoder.event(&event, self.out);
    }

    /// The provider says that the stream is done: nothing that follows counts.
    pub fn done(&mut self) {
        self.tap.note_done();
    }

    /// A frame that says nothing we know.
    pub fn unknown(&mut self) {
        self.tap.note_unread();
    }
}

/// One translated stream.
#[derive(Debug)]
pub(crate) struct CrossPass {
    cutter: Cutter,
    reading: Reading,
    is_oversized: bool,
    /// What the request is taken for where the provider tells no usage.
    likely_prompt: Option<u64>,
}

/// What finds the pieces of a stream.
#[derive(Debug)]
enum Cutter {
    Events(Splitter),
    /// Amazon's frames.
    Messages(aws::Splitter),
}

/// Everything but the bytes.
#[derive(Debug)]
struct Reading {
    tape: Tape,
    decoder: Box<dyn DecodeEvents>,
    encoder: Box<dyn EncodeEvents>,
    names: Names,
    tap: Tap,
}

impl CrossPass {
    pub fn new(decoder: Box<dyn DecodeEvents>, encoder: Box<dyn EncodeEvents>, names: Names) -> CrossPass {
        let reading = Reading { tape: Tape::default(), decoder, encoder, names, tap: Tap::default() };
        CrossPass {
            cutter: Cutter::Events(Splitter::new(MAX_EVENT_BYTES)),
            reading,
            is_oversized: false,
            likely_prompt: None,
        }
    }

    /// The same pass, which tells an estimate where the provider tells no usage.
    pub fn estimating(mut self, likely_prompt: Option<u64>) -> CrossPass {
        self.likely_prompt = likely_prompt;
        self
    }

    /// The same pass for Amazon's frames, if they are what comes.
    pub fn aws_framed(mut self, is_aws_framed: bool) -> CrossPass {
        if is_aws_framed {
            self.cutter = Cutter::Messages(aws::Splitter::new(MAX_EVENT_BYTES));
        }
        self
    }

    /// A last event without its blank line counts if it is whole; a bare JSON object is an error of a provider that broke
    /// the stream off. Half an event is dropped, and the end is judged by what came before.
    fn last_frame(&mut self, out: &mut Vec<u8>, pricer: &mut dyn Pricer) {
        // Amazon's frames are whole or nothing.
        let Cutter::Events(splitter) = &self.cutter else { return };
        let rest = splitter.rest();
        let bare = rest.trim_ascii();
        if bare.starts_with(b"{") || bare.starts_with(b"[") {
            if self.reading.tape.read(bare).is_ok() {
                self.reading.tap.note_error(fault::decode(bare));
            }
            return;
        }
        let mut splitter = Splitter::new(MAX_EVENT_BYTES + 2);
        splitter.push(Bytes::from([rest, b"\n\n"].concat()));
        let Ok(Some(frame)) = splitter.next_frame() else { return };
        let data = frame.data(splitter.window());
        if data.trim_ascii() == DONE || self.reading.tape.read(&data).is_ok() {
            self.reading.frame(splitter.window(), &frame, out, pricer);
        }
    }
}

impl Reading {
    fn is_open(&self) -> bool {
        !(self.tap.is_done() || self.tap.upstream_error().is_some())
    }

    fn frame(&mut self, window: &[u8], frame: &Frame, out: &mut Vec<u8>, pricer: &mut dyn Pricer) {
        if frame.is_tail || !self.is_open() {
            return;
        }
        if frame.data.is_none() {
            return self.bare(frame.span.of(window));
        }
        let data = frame.data(window);
        let name = frame.name.map(|name| name.of(window)).unwrap_or_default();
        let name = std::str::from_utf8(name).unwrap_or_default();
        if data.trim_ascii() == DONE {
            return self.tap.note_done();
        }
        self.data(name, &data, out, pricer);
    }

    /// What is no event: comments, or a bare JSON error with which some break a stream off.
    fn bare(&mut self, bytes: &[u8]) {
        let text = bytes.trim_ascii();
        if (text.starts_with(b"{") || text.starts_with(b"[")) && self.tape.read(text).is_ok() {
            self.tap.note_error(fault::decode(text));
        }
    }

    fn message(&mut self, message: &aws::Message, out: &mut Vec<u8>, pricer: &mut dyn Pricer) {
        if !self.is_open() {
            return;
        }
        let name = message.name().unwrap_or_default();
        match message.kind() {
            Some("exception") => self.tap.note_error(fault::exception(name, &message.payload)),
            Some("error") => {
                let told = message.text(":error-message").unwrap_or_default();
                self.tap.note_error(fault::exception(name, told.as_bytes()));
            }
            _ if message.payload.is_empty() => self.tap.note_unread(),
            _ => self.data(name, &message.payload, out, pricer),
        }
    }

    fn data(&mut self, name: &str, data: &[u8], out: &mut Vec<u8>, pricer: &mut dyn Pricer) {
        let Ok(value) = self.tape.read(data) else {
            let error = match name == "error" {
                true => fault::decode(data),
                false => UpstreamError {
                    message: "the provider sent a piece that is not JSON".to_owned(),
                    ..UpstreamError::default()
                },
            };
            return self.tap.note_error(error);
        };
        let mut sink = Sink { tap: &mut self.tap, names: &self.names, encoder: &mut *self.encoder, out, pricer };
        if let Err(error) = self.decoder.frame(name, value, &mut sink) {
            self.tap.note_error(error);
        }
    }
}

impl Pass for CrossPass {
    fn push(&mut self, chunk: Bytes, pricer: &mut dyn Pricer) -> Bytes {
        if !self.is_open() {
            return Bytes::new();
        }
        let mut out = Vec::new();
        match &mut self.cutter {
            Cutter::Events(splitter) => {
                splitter.push(chunk);
                loop {
                    match splitter.next_frame() {
                        Ok(Some(frame)) => self.reading.frame(splitter.window(), &frame, &mut out, pricer),
                        Ok(None) => break,
                        Err(_) => {
                            self.is_oversized = true;
                            break;
                        }
                    }
                }
                splitter.take();
            }
            Cutter::Messages(splitter) => {
                splitter.push(chunk);
                loop {
                    match splitter.next_message() {
                        Ok(Some(message)) => self.reading.message(&message, &mut out, pricer),
                        Ok(None) => break,
                        Err(aws::Malformed::TooLarge { .. }) => {
                            self.is_oversized = true;
                            break;
                        }
                        Err(wrong) => {
                            let message = format!("the provider's stream cannot be read: {wrong}");
                            self.reading.tap.note_error(UpstreamError { message, ..UpstreamError::default() });
                            break;
                        }
                    }
                }
            }
        }
        self.reading.tap.note_sequence(self.reading.encoder.sequence());
        out.into()
    }

    fn tap(&self) -> &Tap {
        &self.reading.tap
    }

    fn is_open(&self) -> bool {
        self.reading.is_open() && !self.is_oversized
    }

    fn end(&mut self, pricer: &mut dyn Pricer) -> (Bytes, StreamEnd) {
        let mut out = Vec::new();
        if self.is_open() {
            self.last_frame(&mut out, pricer);
        }
        let Reading { decoder, encoder, names, tap, .. } = &mut self.reading;
        if tap.upstream_error().is_none() && !self.is_oversized {
            decoder.end(&mut Sink { tap, names, encoder: &mut **encoder, out: &mut out, pricer });
        }
        tap.note_sequence(encoder.sequence());
        let end = drive::judge(tap, self.is_oversized);
        if end == StreamEnd::Finished {
            if let Some(likely_prompt) = self.likely_prompt.filter(|_| !tap.usage_is_final()) {
                let usage = tap.booked_usage(likely_prompt);
                encoder.usage(&usage, &pricer.price(&usage));
            }
            encoder.finish(&mut out);
        }
        (out.into(), end)
    }
}
