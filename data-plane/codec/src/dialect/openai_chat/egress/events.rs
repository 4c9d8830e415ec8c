//! Reads a streamed answer, one chunk at a time. The only thing that waits is a choice's reason to end, for one chunk:
//! some providers give it early, or twice.

use std::borrow::Cow;

use domain::usage::TokenUsage;

use super::answer::{self, Block, Reason};
use super::calls::{Balance, Call, Calls, Meant};
use crate::cross::Sink;
use crate::dialect::openai_chat::thoughts::{self, Entry, Whose};
use crate::dialect::openai_chat::usage;
use crate::dialect::{self, DecodeEvents};
use crate::fault::{self, UpstreamError};
use crate::json::{Half, Value};
use crate::model::{Event, Finish, Piece, Start};

/// One stream of a provider.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    has_begun: bool,
    /// What ids of calls are made of: the answer's id where it has one.
    seed: String,
    choices: Vec<Choice>,
}

#[derive(Debug, Default)]
struct Choice {
    index: u32,
    /// The number of the next part.
    next: u32,
    open: Option<(u32, Open)>,
    /// Of the text that is open; calls have their own.
    half: Half,
    calls: Calls,
    has_refusal: bool,
    /// The reason to end, and whether it or anything else came in this very chunk.
    ending: Option<(Finish, String, Option<String>)>,
    is_touched: bool,
    is_finished: bool,
}

/// A part that is no call and has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text,
    Refusal,
    /// Reasoning in plain text.
    Thought,
    /// Reasoning with its place in the provider's list.
    Detail(Option<u64>, thoughts::Kind),
}

/// The fields of an object that matter, found in one go; null is the same as absent.
macro_rules! fields {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $($text:literal)|+,)* }) => {
        $(#[$doc])*
        #[derive(Default)]
        struct $name<'a> {
            $($field: Option<Value<'a>>,)*
        }

        impl<'a> $name<'a> {
            fn read(object: Value<'a>) -> $name<'a> {
                let mut found = $name::default();
                for (name, value) in object.fields() {
                    let place = match &*name {
                        $($($text)|+ => &mut found.$field,)*
                        _ => continue,
                    };
                    if place.is_none() && !value.is_null() {
                        *place = Some(value);
                    }
                }
                found
            }
        }
    };
}

fields! {
    Chunk {
        id: "id",
        object: "object",
        created: "created",
        choices: "choices",
        usage: "usage",
        groq: "x_groq",
        error: "error",
    }
}

fields! {
    Piecemeal {
        index: "index",
        delta: "delta" | "message",
        finish: "finish_reason",
        native: "native_finish_reason",
        stop: "stop_reason",
        logprobs: "logprobs",
        error: "error",
    }
}

fields! {
    Delta {
        content: "content",
        refusal: "refusal",
        reasoning: "reasoning_content" | "reasoning",
        details: "reasoning_details",
        calls: "tool_calls",
        function: "function_call",
        annotations: "annotations",
        audio: "audio",
        images: "images",
    }
}

impl Chunk<'_> {
    fn usage(&self) -> Option<TokenUsage> {
        self.usage.and_then(usage::of).or_else(|| usage::of(self.groq?.get("usage")?))
    }
}

impl DecodeEvents for Decoder {
    fn frame(&mut self, name: &str, data: Value<'_>, sink: &mut Sink<'_>) -> Result<(), UpstreamError> {
        if name == "error" {
            return Err(fault::decode(data.raw().as_bytes()));
        }
        let chunk = Chunk::read(data);
        let usage = chunk.usage();
        if chunk.error.as_ref().is_some_and(answer::says_something) || is_text(chunk.object, "error") {
            if let Some(usage) = usage {
                sink.put(Event::Usage { usage, is_final: false });
            }
            return Err(fault::decode(data.raw().as_bytes()));
        }
        let choices = chunk.choices.filter(Value::is_array);
        if choices.is_none() && usage.is_none() {
            sink.unknown();
            return Ok(());
        }
        let mut is_empty = true;
        for choice in choices.into_iter().flat_map(|choices| choices.items()) {
            // Azure's first chunk is about the prompt and has neither choice nor id.
            self.begin(&chunk, sink);
            is_empty = false;
            self.choice(&Piecemeal::read(choice), sink)?;
        }
        self.flush(sink);
        if let Some(usage) = usage {
            let is_final = is_empty || self.is_finished();
            sink.put(Event::Usage { usage, is_final });
        }
        Ok(())
    }

    fn seed(&mut self, seed: &str) {
        self.seed = seed.to_owned();
    }

    fn end(&mut self, sink: &mut Sink<'_>) {
        self.choices.iter_mut().for_each(|choice| choice.finish(sink));
    }
}

impl Decoder {
    fn begin(&mut self, chunk: &Chunk<'_>, sink: &mut Sink<'_>) {
        if self.has_begun {
            return;
        }
        self.has_begun = true;
        let id = chunk.id.and_then(|id| id.string()).unwrap_or_default();
        if !id.is_empty() {
            self.seed = id.to_string();
        }
        let created = chunk.created.and_then(|created| created.u64()).unwrap_or(0);
        sink.put(Event::Begin { id, created });
    }

    /// Whether every choice has said why it ends.
    fn is_finished(&self) -> bool {
        let ended = |choice: &Choice| choice.is_finished || choice.ending.is_some();
        !self.choices.is_empty() && self.choices.iter().all(ended)
    }

    /// Ends what was to end and did not go on.
    fn flush(&mut self, sink: &mut Sink<'_>) {
        for choice in &mut self.choices {
            if !std::mem::take(&mut choice.is_touched) {
                choice.finish(sink);
            }
        }
    }

    fn choice(&mut self, piece: &Piecemeal<'_>, sink: &mut Sink<'_>) -> Result<(), UpstreamError> {
        if let Some(error) = piece.error.filter(answer::says_something) {
            return Err(fault::decode(error.raw().as_bytes()));
        }
        let index = piece.index.and_then(answer::index).unwrap_or(0);
        if index >= dialect::MOST_CHOICES {
            sink.unknown();
            return Ok(());
        }
        let at = self.choices.iter().position(|choice| choice.index == index).unwrap_or_else(|| {
            self.choices.push(Choice { index, ..Choice::default() });
            self.choices.len() - 1
        });
        let Some(choice) = self.choices.get_mut(at) else { return Ok(()) };
        if choice.is_finished {
            return Ok(());
        }
        if let Some(delta) = piece.delta {
            choice.delta(Delta::read(delta), &self.seed, sink)?;
        }
        if let Some(logprobs) = piece.logprobs.filter(Value::is_object) {
            choice.logprobs(logprobs, sink);
        }
        if piece.finish.is_some() && choice.ending.is_none() {
            choice.reason(answer::reason(piece.finish, piece.native, piece.stop), sink);
        }
        Ok(())
    }
}

/// Whether a field says just this.
fn is_text(value: Option<Value<'_>>, text: &str) -> bool {
    value.is_some_and(|value| value.is_text(text))
}

impl Choice {
    fn delta(&mut self, delta: Delta<'_>, id: &str, sink: &mut Sink<'_>) -> Result<(), UpstreamError> {
        let details = delta.details.filter(|details| details.items().next().is_some());
        match (details, delta.reasoning) {
            // They say the same, and the list has the signatures.
            (Some(details), _) => {
                for value in details.items() {
                    if let Some(entry) = thoughts::entry(value, Whose::Provider) {
                        self.detail(entry, value, sink);
                    }
                }
            }
            (None, Some(text)) => self.words(Open::Thought, text, sink),
            (None, None) => {}
        }
        match delta.content {
            Some(content) if content.is_array() => content.items().for_each(|block| self.block(block, sink)),
            Some(content) => self.words(Open::Text, content, sink),
            None => {}
        }
        if let Some(text) = delta.refusal.and_then(Value::spoken) {
            self.has_refusal = true;
            self.words(Open::Refusal, text, sink);
        }
        for citation in delta.annotations.into_iter().flat_map(|list| list.items()) {
            let part = self.part(Open::Text, sink);
            self.piece(part, Piece::Annotation(citation.raw().into()), sink);
        }
        if let Some(audio) = delta.audio {
            if let Some(text) = audio.get("transcript") {
                self.words(Open::Text, text, sink);
            }
            if let Some(sound) = answer::sound(audio) {
                self.whole(Start::Media(sound), sink);
            }
        }
        for image in delta.images.into_iter().flat_map(|list| list.items()).filter_map(answer::image) {
            self.whole(Start::Media(image), sink);
        }
        for call in delta.calls.into_iter().flat_map(|list| list.items()) {
            self.call(call, id, sink)?;
        }
        if let Some(function) = delta.function.filter(Value::is_object) {
            self.function(Some(0), "", function, id, sink)?;
        }
        Ok(())
    }

    /// A block of Mistral's content.
    fn block(&mut self, block: Value<'_>, sink: &mut Sink<'_>) {
        match answer::read_block(block) {
            Block::Text(text) if text.is_empty() => {}
            Block::Thinking(text) if text.is_empty() => {}
            Block::Text(text) => match block.get("text") {
                Some(text) => self.words(Open::Text, text, sink),
                None => self.text(Open::Text, text, sink),
            },
            Block::Thinking(text) => self.text(Open::Thought, text, sink),
            Block::Media(media) => self.whole(Start::Media(media), sink),
            Block::Other => self.whole(Start::Other { raw: block.raw().into() }, sink),
        }
    }

    fn piece(&mut self, part: u32, piece: Piece<'_>, sink: &mut Sink<'_>) {
        self.is_touched = true;
        sink.put(Event::Piece { choice: self.index, part, piece });
    }

    fn text(&mut self, kind: Open, text: Cow<'_, str>, sink: &mut Sink<'_>) {
        let part = self.part(kind, sink);
        self.piece(part, Piece::Text(text), sink);
    }

    /// A piece of text as the provider wrote it, if there is something in it.
    fn words(&mut self, kind: Open, value: Value<'_>, sink: &mut Sink<'_>) {
        let Some(value) = value.spoken() else { return };
        let part = self.part(kind, sink);
        if let Some(text) = self.half.join(value).filter(|text| !text.is_empty()) {
            self.piece(part, Piece::Text(text), sink);
        }
    }

    /// The part of this kind: the one that is open, or a new one.
    fn part(&mut self, kind: Open, sink: &mut Sink<'_>) -> u32 {
        if let Some((part, open)) = self.open
            && open == kind
        {
            return part;
        }
        let start = match kind {
            Open::Text => Start::Text,
            Open::Refusal => Start::Refusal,
            _ => Start::Thought { id: None, is_summary: false, is_redacted: false },
        };
        let part = self.start(start, sink);
        self.open = Some((part, kind));
        part
    }

    /// Begins a part; everything that is open ends before it.
    fn start(&mut self, start: Start<'_>, sink: &mut Sink<'_>) -> u32 {
        self.close(true, sink);
        let part = self.next;
        self.next += 1;
        self.is_touched = true;
        sink.put(Event::Start { choice: self.index, part, start });
        part
    }

    /// A part that comes whole.
    fn whole(&mut self, start: Start<'_>, sink: &mut Sink<'_>) {
        let part = self.start(start, sink);
        sink.put(Event::End { choice: self.index, part });
    }

    /// Ends what is open; calls that are known to go on only when `all` must.
    fn close(&mut self, all: bool, sink: &mut Sink<'_>) {
        let choice = self.index;
        if let Some((part, _)) = self.open.take() {
            if let Some(rest) = self.half.end() {
                sink.put(Event::Piece { choice, part, piece: Piece::Text(rest) });
            }
            sink.put(Event::End { choice, part });
        }
        for call in self.calls.iter_mut().filter(|call| call.is_open && (all || call.balance.is_whole())) {
            call.is_open = false;
            if let Some(rest) = call.half.end() {
                sink.put(Event::Piece { choice, part: call.part, piece: Piece::Arguments(rest) });
            }
            sink.put(Event::End { choice, part: call.part });
        }
    }

    /// An entry, with the value it was read from.
    fn detail(&mut self, entry: Entry<'_>, value: Value<'_>, sink: &mut Sink<'_>) {
        let before = match self.open {
            Some((part, Open::Detail(index, kind))) => Some((part, (index, kind))),
            _ => None,
        };
        let part = match before.filter(|(_, before)| thoughts::goes_on(Some(*before), &entry)) {
            Some((part, _)) => part,
            None => {
                let part = self.start(
                    Start::Thought {
                        id: entry.id,
                        is_summary: entry.kind == thoughts::Kind::Summary,
                        is_redacted: entry.kind == thoughts::Kind::Encrypted,
                    },
                    sink,
                );
                self.open = Some((part, Open::Detail(entry.index, entry.kind)));
                part
            }
        };
        let said = match entry.kind {
            thoughts::Kind::Text => value.get("text"),
            thoughts::Kind::Summary => value.get("summary"),
            thoughts::Kind::Encrypted => None,
        };
        if let Some(text) = said.and_then(|said| self.half.join(said)).filter(|text| !text.is_empty()) {
            self.piece(part, Piece::Text(text), sink);
        }
        if let Some(signature) = entry.signature {
            self.piece(part, Piece::Signature(signature), sink);
        }
    }

    fn call(&mut self, call: Value<'_>, answer: &str, sink: &mut Sink<'_>) -> Result<(), UpstreamError> {
        let Some(function) = call.get("function") else {
            if call.get("custom").is_some() {
                self.whole(Start::Other { raw: call.raw().into() }, sink);
            }
            return Ok(());
        };
        let id = call.str("id").unwrap_or_default();
        self.function(call.count("index"), &id, function, answer, sink)
    }

    fn function(
        &mut self,
        index: Option<u64>,
        id: &str,
        function: Value<'_>,
        answer: &str,
        sink: &mut Sink<'_>,
    ) -> Result<(), UpstreamError> {
        let name = function.str("name").unwrap_or_default();
        let place = match self.calls.meant(index, id, &name) {
            Meant::More(place) => place,
            Meant::New => {
                dialect::check_parts(self.calls.len() + 1)?;
                self.begin_call(index, id, name, answer, sink)
            }
        };
        let arguments = answer::piece_of_arguments(function);
        // Groq writes that there are none as `null`; later on it is a piece of what was begun.
        let has_begun = self.calls.get(place).is_some_and(|call| call.balance.has_begun());
        let arguments = if arguments == "null" && !has_begun { Cow::Borrowed("") } else { arguments };
        let Some(call) = self.calls.get(place).filter(|_| !arguments.is_empty()) else { return Ok(()) };
        if !call.is_open {
            return Err(UpstreamError {
                message: "the provider went on with a call that it had ended".to_owned(),
                ..UpstreamError::default()
            });
        }
        let piece = function.get("arguments").and_then(|piece| call.half.join(piece));
        let (arguments, part) = (piece.unwrap_or(arguments), call.part);
        call.balance.feed(&arguments);
        if !arguments.is_empty() {
            self.piece(part, Piece::Arguments(arguments), sink);
        }
        Ok(())
    }

    fn begin_call(
        &mut self,
        index: Option<u64>,
        id: &str,
        name: Cow<'_, str>,
        answer: &str,
        sink: &mut Sink<'_>,
    ) -> usize {
        self.close(false, sink);
        let part = self.next;
        self.next += 1;
        self.is_touched = true;
        let given: Cow<'_, str> = match id {
            "" => answer::made_up_id(answer, usize::try_from(part).unwrap_or(0)).into(),
            id => id.into(),
        };
        sink.put(Event::Start {
            choice: self.index,
            part,
            start: Start::ToolCall { id: given, name, signature: None },
        });
        let index = index.unwrap_or_else(|| self.calls.next_index());
        self.calls.push(Call {
            index,
            id: id.to_owned(),
            part,
            is_open: true,
            balance: Balance::default(),
            half: Half::default(),
        });
        self.calls.len() - 1
    }

    /// Log probabilities of the text that is open; of anything else they have no place.
    fn logprobs(&mut self, logprobs: Value<'_>, sink: &mut Sink<'_>) {
        if let Some((part, Open::Text | Open::Refusal)) = self.open {
            self.piece(part, Piece::Logprobs(logprobs.raw().into()), sink);
        }
    }

    fn reason(&mut self, reason: Option<Reason<'_>>, sink: &mut Sink<'_>) {
        let Some(reason) = reason else { return };
        let why = reason.settle(!self.calls.is_empty(), self.has_refusal);
        self.is_touched = true;
        self.ending = Some((why, reason.native.into_owned(), reason.stopped_at.map(Cow::into_owned)));
        if why == Finish::Error {
            self.finish(sink);
        }
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        let Some((finish, native, stopped_at)) = self.ending.take() else { return };
        self.close(true, sink);
        self.is_finished = true;
        sink.put(Event::Finish {
            choice: self.index,
            finish,
            native: native.into(),
            stopped_at: stopped_at.map(Cow::Owned),
        });
    }
}
