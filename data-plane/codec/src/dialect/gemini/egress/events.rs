//! A streamed answer of Google's. Parts come in pieces of text and in whole calls; which of them go together is told by
//! their kinds alone. What stands behind a reason to end is not part of the answer.

use std::borrow::Cow;

use domain::usage::TokenUsage;

use super::whole::{call_id, media};
use super::{Said, answer, said, sources};
use crate::cross::Sink;
use crate::dialect::gemini::arguments::Pieces;
use crate::dialect::gemini::{finish, logprobs};
use crate::dialect::{DecodeEvents, MOST_CHOICES};
use crate::fault::UpstreamError;
use crate::json::{Half, Value, Writer};
use crate::model::{Event, Finish, Piece, Signature, Start};

#[derive(Debug, Default)]
pub(in crate::dialect::gemini) struct Events {
    has_begun: bool,
    /// What ids of calls are made of: the answer's id where it has one.
    seed: String,
    usage: Option<TokenUsage>,
    choices: Vec<Choice>,
}

#[derive(Debug, Default)]
struct Choice {
    index: u32,
    /// The number of the part that is open, or of the next one.
    part: u32,
    open: Open,
    /// Of the text or thought that is open.
    half: Half,
    has_calls: bool,
    is_finished: bool,
}

/// The part that goes on if the next piece is of its kind.
#[derive(Debug, Default)]
enum Open {
    #[default]
    Nothing,
    Text,
    Thought,
    /// A call whose arguments come in pieces.
    Call(Pieces),
}

impl DecodeEvents for Events {
    fn frame(&mut self, _: &str, data: Value<'_>, sink: &mut Sink<'_>) -> Result<(), UpstreamError> {
        let mut is_known = false;
        for element in answer::elements(data) {
            if let Some(error) = answer::failure(element) {
                return Err(error);
            }
            is_known |= self.element(element, sink)?;
        }
        if !is_known {
            sink.unknown();
        }
        Ok(())
    }

    fn seed(&mut self, seed: &str) {
        self.seed = seed.to_owned();
    }

    fn end(&mut self, _: &mut Sink<'_>) {}
}

impl Events {
    /// False where it says nothing.
    fn element(&mut self, element: Value<'_>, sink: &mut Sink<'_>) -> Result<bool, UpstreamError> {
        let (mut is_known, mut has_candidate) = (self.begin(element, sink), false);
        for (index, candidate) in answer::candidates(element) {
            has_candidate = true;
            self.candidate(index, candidate, sink)?;
        }
        let block = answer::block(element).filter(|_| !has_candidate);
        if let Some(reason) = &block
            && let Some(choice) = choice(&mut self.choices, 0).filter(|choice| !choice.is_finished)
        {
            choice.finish(Finish::Filter, reason, sink);
        }
        is_known |= has_candidate || block.is_some();
        if let Some(usage) = answer::tokens(element) {
            is_known = true;
            let is_final = !self.choices.is_empty() && self.choices.iter().all(|choice| choice.is_finished);
            if is_final || self.usage != Some(usage) {
                self.usage = Some(usage);
                sink.put(Event::Usage { usage, is_final });
            }
        }
        Ok(is_known)
    }

    /// False where the answer had begun, or this is not how one begins.
    fn begin(&mut self, element: Value<'_>, sink: &mut Sink<'_>) -> bool {
        let is_answer =
            ["candidates", "promptFeedback", "responseId"].into_iter().any(|name| element.get(name).is_some());
        if self.has_begun || !is_answer {
            return false;
        }
        self.has_begun = true;
        let id = element.str("responseId").unwrap_or_default();
        if !id.is_empty() {
            self.seed = id.to_string();
        }
        sink.put(Event::Begin { id, created: 0 });
        true
    }

    fn candidate(&mut self, index: u32, candidate: Value<'_>, sink: &mut Sink<'_>) -> Result<(), UpstreamError> {
        let Some(choice) = choice(&mut self.choices, index) else { return Ok(()) };
        if choice.is_finished {
            sink.unknown();
            return Ok(());
        }
        for part in answer::parts(candidate) {
            choice.read(part, &self.seed, sink)?;
        }
        choice.beside(candidate, sink);
        if let Some(reason) = answer::reason(candidate) {
            choice.close(sink);
            let finish = finish::read(&reason, choice.has_calls);
            choice.finish(finish, &reason, sink);
        }
        Ok(())
    }
}

/// None for a choice that nobody can have asked for.
fn choice(choices: &mut Vec<Choice>, index: u32) -> Option<&mut Choice> {
    if index >= MOST_CHOICES {
        return None;
    }
    let at = choices.iter().position(|choice| choice.index == index).unwrap_or_else(|| {
        choices.push(Choice { index, ..Choice::default() });
        choices.len() - 1
    });
    choices.get_mut(at)
}

impl Choice {
    fn read(&mut self, value: Value<'_>, id: &str, sink: &mut Sink<'_>) -> Result<(), UpstreamError> {
        let (what, signature) = said(value);
        match what {
            Said::Nothing => {}
            Said::Text(text) => {
                if !matches!(self.open, Open::Text) {
                    self.start(Open::Text, Start::Text, sink);
                }
                self.words(value, text, sink);
                self.sign(signature, sink);
            }
            Said::Thought(text) => {
                if !matches!(self.open, Open::Thought) {
                    self.start(Open::Thought, thought(false), sink);
                }
                self.words(value, text, sink);
                self.sign(signature, sink);
            }
            Said::Seal => {
                self.start(Open::Thought, thought(true), sink);
                self.sign(signature, sink);
            }
            Said::Call(call) => self.call(call, id, signature, sink)?,
            Said::Media(found) => self.whole(Start::Media(media(found)), sink),
            Said::Other => self.whole(Start::Other { raw: value.raw().into() }, sink),
        }
        Ok(())
    }

    fn call(
        &mut self,
        call: Value<'_>,
        id: &str,
        signature: Option<Cow<'_, str>>,
        sink: &mut Sink<'_>,
    ) -> Result<(), UpstreamError> {
        if let Some(name) = call.str("name").filter(|name| !name.is_empty()) {
            let id = call_id(call, id, self.next());
            let start = Start::ToolCall { id, name, signature: signature.map(Signature::Own) };
            self.start(Open::Call(Pieces::default()), start, sink);
            self.has_calls = true;
        }
        if let Some(arguments) = call.get("args") {
            return self.arguments(arguments, sink);
        }
        let Open::Call(pieces) = &mut self.open else {
            sink.unknown();
            return Ok(());
        };
        for piece in call.get("partialArgs").iter().flat_map(Value::items) {
            pieces.add(piece).map_err(|_| UpstreamError {
                message: "the provider sent a piece of a call's arguments that fits nowhere".to_owned(),
                ..UpstreamError::default()
            })?;
        }
        if call.get("willContinue").and_then(|more| more.bool()) != Some(true) {
            self.close(sink);
        }
        Ok(())
    }

    /// Arguments that come whole.
    fn arguments(&mut self, arguments: Value<'_>, sink: &mut Sink<'_>) -> Result<(), UpstreamError> {
        if matches!(self.open, Open::Call(_)) {
            self.piece(Piece::Arguments(arguments.raw().into()), sink);
            self.open = Open::Text;
            self.close(sink);
        }
        Ok(())
    }

    /// What the candidate says beside its parts: it belongs to the text that is open.
    fn beside(&mut self, candidate: Value<'_>, sink: &mut Sink<'_>) {
        let is_text = matches!(self.open, Open::Text);
        if let Some(result) = candidate.get("logprobsResult").filter(|_| is_text) {
            self.piece(Piece::Logprobs(logprobs::read(result).into()), sink);
        }
        for (name, value) in sources(candidate) {
            let mut out = Writer::into(Vec::new());
            out.begin_object();
            out.field_raw(name, value.raw());
            out.end_object();
            let raw = Cow::Owned(String::from_utf8(out.into_buffer()).unwrap_or_default());
            match is_text {
                true => self.piece(Piece::Annotation(raw), sink),
                false => self.whole(Start::Other { raw }, sink),
            }
        }
    }

    /// The number of the next part that begins.
    fn next(&self) -> u32 {
        if matches!(self.open, Open::Nothing) { self.part } else { self.part + 1 }
    }

    fn start(&mut self, open: Open, start: Start<'_>, sink: &mut Sink<'_>) {
        self.close(sink);
        self.open = open;
        sink.put(Event::Start { choice: self.index, part: self.part, start });
    }

    /// The text of a part, behind what is kept of the piece before.
    fn words(&mut self, part: Value<'_>, text: Cow<'_, str>, sink: &mut Sink<'_>) {
        let text = part.get("text").and_then(|said| self.half.join(said)).unwrap_or(text);
        if !text.is_empty() {
            self.piece(Piece::Text(text), sink);
        }
    }

    fn piece(&self, piece: Piece<'_>, sink: &mut Sink<'_>) {
        sink.put(Event::Piece { choice: self.index, part: self.part, piece });
    }

    /// A part that comes whole.
    fn whole(&mut self, start: Start<'_>, sink: &mut Sink<'_>) {
        self.start(Open::Text, start, sink);
        self.close(sink);
    }

    /// A signature ends the part that it stands on.
    fn sign(&mut self, signature: Option<Cow<'_, str>>, sink: &mut Sink<'_>) {
        if let Some(signature) = signature {
            self.piece(Piece::Signature(Signature::Own(signature)), sink);
            self.close(sink);
        }
    }

    fn close(&mut self, sink: &mut Sink<'_>) {
        match std::mem::take(&mut self.open) {
            Open::Nothing => return,
            Open::Call(pieces) => self.piece(Piece::Arguments(pieces.text().into()), sink),
            Open::Text | Open::Thought => {
                self.half.end().into_iter().for_each(|rest| self.piece(Piece::Text(rest), sink))
            }
        }
        sink.put(Event::End { choice: self.index, part: self.part });
        self.part += 1;
    }

    fn finish(&mut self, finish: Finish, native: &str, sink: &mut Sink<'_>) {
        self.close(sink);
        self.is_finished = true;
        sink.put(Event::Finish { choice: self.index, finish, native: native.into(), stopped_at: None });
    }
}

fn thought(is_redacted: bool) -> Start<'static> {
    Start::Thought { id: None, is_summary: true, is_redacted }
}
