//! A provider's stream in canonical words. Blocks become parts one by one; usage is merged from event to event; a tool
//! of the provider's own is held until it is whole, since nobody else can say it in pieces.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::egress::{ANSWER_TOOL, decode};
use super::finish;
use super::usage::{self, Numbers};
use crate::cross::Sink;
use crate::dialect::{self, DecodeEvents};
use crate::fault::{self, UpstreamError};
use crate::json::{Cursor, Half, Nothing, Value, Writer};
use crate::model::{Event, Finish, Piece, Signature, Start};

/// Reads one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    has_begun: bool,
    is_finished: bool,
    has_calls: bool,
    /// Parts that were started so far.
    parts: u32,
    open: SmallVec<[Open; 2]>,
    numbers: Numbers,
}

/// A block that has begun.
#[derive(Debug)]
struct Open {
    index: u64,
    part: u32,
    sort: Sort,
    half: Half,
}

#[derive(Debug)]
enum Sort {
    Text,
    Thought,
    /// A call, and the input that stood in its start in case no piece brings any.
    Call(Input),
    /// The forced tool, whose input is the answer's text.
    Answer(Input),
    /// What only this dialect can say, as it began, with the input that came in pieces. It has no part before it is whole.
    Other {
        raw: String,
        input: String,
    },
}

/// What is known of an input.
#[derive(Debug)]
enum Input {
    /// The input that stood in the start; empty means nothing.
    Given(String),
    InPieces,
}

impl DecodeEvents for Decoder {
    fn frame(&mut self, name: &str, data: Value<'_>, sink: &mut Sink<'_>) -> Result<(), UpstreamError> {
        if name == "error" {
            return Err(fault::decode(data.raw().as_bytes()));
        }
        let event = Frame::of(data);
        match &*event.sort {
            "content_block_delta" => self.delta(&event, sink),
            "content_block_start" => self.start(&event, sink),
            "content_block_stop" => self.stop(event.index, sink),
            "message_start" => self.begin(event.inner.unwrap_or(data), sink),
            "message_delta" => self.end_message(data, sink),
            "message_stop" => sink.done(),
            "ping" => {}
            _ if decode::is_error(data) => return Err(fault::decode(data.raw().as_bytes())),
            _ => sink.unknown(),
        }
        dialect::check_parts(self.open.len())
    }

    fn end(&mut self, _: &mut Sink<'_>) {}
}

/// What all events have, found in one walk: most events are small and many.
#[derive(Debug, Default)]
struct Frame<'a> {
    sort: Cow<'a, str>,
    index: u64,
    /// The message, block or delta.
    inner: Option<Value<'a>>,
}

impl<'a> Frame<'a> {
    fn of(data: Value<'a>) -> Frame<'a> {
        let mut frame = Frame::default();
        for (name, value) in data.fields() {
            match &*name {
                "type" => frame.sort = value.string().unwrap_or_default(),
                "index" => frame.index = value.u64().unwrap_or(0),
                "delta" | "content_block" | "message" => frame.inner = Some(value).filter(Value::is_object),
                _ => {}
            }
        }
        frame
    }
}

impl Decoder {
    fn begin(&mut self, message: Value<'_>, sink: &mut Sink<'_>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            sink.put(Event::Begin { id: message.str("id").unwrap_or_default(), created: 0 });
        }
        self.usage(message, sink);
    }

    /// Parts need something to stand in, even where a provider forgot to say that it began.
    fn ensure_begun(&mut self, sink: &mut Sink<'_>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            sink.put(Event::Begin { id: Cow::Borrowed(""), created: 0 });
        }
    }

    fn usage(&mut self, object: Value<'_>, sink: &mut Sink<'_>) {
        let Some(value) = object.get("usage") else { return };
        self.numbers.merge(usage::of(value));
        if let Some(usage) = self.numbers.tokens() {
            sink.put(Event::Usage { usage, is_final: self.is_finished });
        }
    }

    fn start(&mut self, event: &Frame<'_>, sink: &mut Sink<'_>) {
        if self.is_finished {
            return;
        }
        self.ensure_begun(sink);
        let index = event.index;
        self.stop(index, sink);
        let Some(block) = event.inner else { return };
        let sort = block.str("type").unwrap_or_default();
        match &*sort {
            "text" => self.open_text(index, block, sink),
            "thinking" => {
                let start = Start::Thought { id: None, is_summary: false, is_redacted: false };
                let part = self.open(index, Sort::Thought, start, sink);
                text(part, block.str("thinking"), sink);
                signature(part, block.str("signature"), sink);
            }
            "redacted_thinking" => {
                let start = Start::Thought { id: None, is_summary: false, is_redacted: true };
                let part = self.open(index, Sort::Thought, start, sink);
                signature(part, block.str("data"), sink);
            }
            "tool_use" => self.open_call(index, block, sink),
            _ => {
                let sort = Sort::Other { raw: block.raw().to_owned(), input: String::new() };
                self.open.push(Open { index, part: 0, sort, half: Half::default() });
            }
        }
    }

    /// Starts a part; its number.
    fn open(&mut self, index: u64, sort: Sort, start: Start<'_>, sink: &mut Sink<'_>) -> u32 {
        let part = self.next_part();
        self.open.push(Open { index, part, sort, half: Half::default() });
        sink.put(Event::Start { choice: 0, part, start });
        part
    }

    fn next_part(&mut self) -> u32 {
        let part = self.parts;
        self.parts += 1;
        part
    }

    fn open_text(&mut self, index: u64, block: Value<'_>, sink: &mut Sink<'_>) {
        let part = self.open(index, Sort::Text, Start::Text, sink);
        text(part, block.str("text"), sink);
        for citation in block.get("citations").iter().flat_map(Value::items) {
            annotation(part, citation, sink);
        }
    }

    fn open_call(&mut self, index: u64, block: Value<'_>, sink: &mut Sink<'_>) {
        let given = block.get("input").filter(|input| input.fields().next().is_some());
        let given = Input::Given(given.map(|input| input.raw().to_owned()).unwrap_or_default());
        let name = block.str("name").unwrap_or_default();
        if name == ANSWER_TOOL {
            self.open(index, Sort::Answer(given), Start::Text, sink);
            return;
        }
        self.has_calls = true;
        let id = block.str("id").unwrap_or_else(|| Cow::Owned(format!("call_{index}")));
        self.open(index, Sort::Call(given), Start::ToolCall { id, name, signature: None }, sink);
    }

    fn delta(&mut self, event: &Frame<'_>, sink: &mut Sink<'_>) {
        let Some(open) = self.open.iter_mut().find(|open| open.index == event.index) else { return };
        let part = open.part;
        let (mut sort, mut said) = (Cow::Borrowed(""), None);
        for (name, value) in event.inner.iter().flat_map(Value::fields) {
            match &*name {
                "type" => sort = value.string().unwrap_or_default(),
                "text" | "thinking" | "partial_json" | "signature" | "citation" => said = Some(value),
                _ => {}
            }
        }
        let Some(said) = said else { return sink.unknown() };
        match (&*sort, &mut open.sort) {
            ("text_delta", Sort::Text) | ("thinking_delta", Sort::Thought) => text(part, open.half.join(said), sink),
            ("signature_delta", Sort::Thought) => signature(part, said.string(), sink),
            ("citations_delta", Sort::Text) => annotation(part, said, sink),
            ("input_json_delta", sort) => {
                if let Some(piece) = open.half.join(said).filter(|piece| !piece.is_empty()) {
                    sort.input(part, piece, sink);
                }
            }
            _ => sink.unknown(),
        }
    }

    fn stop(&mut self, index: u64, sink: &mut Sink<'_>) {
        if let Some(at) = self.open.iter().position(|open| open.index == index) {
            let open = self.open.remove(at);
            self.close(open, sink);
        }
    }

    fn close(&mut self, mut open: Open, sink: &mut Sink<'_>) {
        let mut part = open.part;
        if let Some(rest) = open.half.end() {
            match &mut open.sort {
                Sort::Text | Sort::Thought => text(part, Some(rest), sink),
                sort => sort.input(part, rest, sink),
            }
        }
        match open.sort {
            Sort::Text | Sort::Thought | Sort::Call(Input::InPieces) | Sort::Answer(Input::InPieces) => {}
            Sort::Call(Input::Given(input)) => {
                let piece = Piece::Arguments(Cow::Borrowed(if input.is_empty() { "{}" } else { &input }));
                sink.put(Event::Piece { choice: 0, part, piece });
            }
            Sort::Answer(Input::Given(input)) => {
                text(part, Some(Cow::Borrowed(if input.is_empty() { "{}" } else { &input })), sink);
            }
            Sort::Other { raw, input } => {
                part = self.next_part();
                let start = Start::Other { raw: Cow::Owned(with_input(raw, &input)) };
                sink.put(Event::Start { choice: 0, part, start });
            }
        }
        sink.put(Event::End { choice: 0, part });
    }

    fn end_message(&mut self, data: Value<'_>, sink: &mut Sink<'_>) {
        self.ensure_begun(sink);
        let delta = data.get("delta").unwrap_or(data);
        let reason = delta.str("stop_reason").filter(|word| !word.is_empty() && !self.is_finished);
        self.is_finished |= reason.is_some();
        self.usage(data, sink);
        let Some(native) = reason else { return };
        for open in std::mem::take(&mut self.open) {
            self.close(open, sink);
        }
        let finish = decode::said(finish::parse(&native), self.has_calls);
        self.refusal(delta, finish, sink);
        sink.put(Event::Finish { choice: 0, finish, native, stopped_at: delta.str("stop_sequence") });
    }

    fn refusal(&mut self, delta: Value<'_>, finish: Finish, sink: &mut Sink<'_>) {
        if let Some(why) = decode::refused(delta, Some(finish)) {
            let part = self.next_part();
            sink.put(Event::Start { choice: 0, part, start: Start::Refusal });
            text(part, Some(why), sink);
            sink.put(Event::End { choice: 0, part });
        }
    }
}

impl Sort {
    /// A piece of an input, where the block has one.
    fn input(&mut self, part: u32, piece: Cow<'_, str>, sink: &mut Sink<'_>) {
        match self {
            Sort::Call(input) => {
                *input = Input::InPieces;
                sink.put(Event::Piece { choice: 0, part, piece: Piece::Arguments(piece) });
            }
            Sort::Answer(input) => {
                *input = Input::InPieces;
                text(part, Some(piece), sink);
            }
            Sort::Other { input, .. } => input.push_str(&piece),
            Sort::Text | Sort::Thought => sink.unknown(),
        }
    }
}

fn text(part: u32, text: Option<Cow<'_, str>>, sink: &mut Sink<'_>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        sink.put(Event::Piece { choice: 0, part, piece: Piece::Text(text) });
    }
}

fn signature(part: u32, sealed: Option<Cow<'_, str>>, sink: &mut Sink<'_>) {
    if let Some(sealed) = sealed.filter(|sealed| !sealed.is_empty()) {
        sink.put(Event::Piece { choice: 0, part, piece: Piece::Signature(Signature::Own(sealed)) });
    }
}

fn annotation(part: u32, citation: Value<'_>, sink: &mut Sink<'_>) {
    let piece = Piece::Annotation(Cow::Borrowed(citation.raw()));
    sink.put(Event::Piece { choice: 0, part, piece });
}

/// A block as a whole answer has it: with the input that came in pieces.
fn with_input(raw: String, input: &str) -> String {
    let mut check = Cursor::lenient(input.as_bytes());
    if input.is_empty() || check.skip(&mut Nothing).is_err() || check.end().is_err() {
        return raw;
    }
    let mut tape = crate::json::Tape::default();
    let Ok(block) = tape.read(raw.as_bytes()) else { return raw };
    let mut out = Writer::into(Vec::with_capacity(raw.len() + input.len()));
    out.begin_object();
    for (name, value) in block.fields().filter(|(name, _)| name != "input") {
        out.field_raw(&name, value.raw());
    }
    out.field_raw("input", input);
    out.end_object();
    String::from_utf8(out.into_buffer()).unwrap_or(raw)
}
