//! A stream of Bedrock in canonical words. Blocks become parts one by one. Only calls are announced: any other block is
//! known by its first piece, and one without pieces is none.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::egress::{ANSWER_TOOL, decode};
use super::{finish, usage};
use crate::cross::Sink;
use crate::dialect::DecodeEvents;
use crate::fault::UpstreamError;
use crate::json::{Half, Value};
use crate::model::{Event, Piece, Signature, Start};

/// Most blocks that may be open at once; a provider has one, or as many as it makes calls.
const OPEN_MOST: usize = 64;

/// Reads one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    has_begun: bool,
    is_finished: bool,
    has_usage: bool,
    has_calls: bool,
    /// Parts that were started so far.
    parts: u32,
    open: SmallVec<[Open; 2]>,
}

/// A block that has begun.
#[derive(Debug, Clone, Copy)]
struct Open {
    block: u64,
    /// Means nothing for hidden ones.
    part: u32,
    sort: Sort,
    half: Half,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Text,
    Thought,
    /// A call, and whether any of its input has come.
    Call(bool),
    /// The forced tool, whose input is the answer's text.
    Answer(bool),
    /// A picture; it is shown when it comes. The format is a place in `FORMATS`.
    Picture(usize),
    /// What Bedrock does by itself.
    Hidden,
}

/// Formats of pictures.
const FORMATS: [&str; 4] = ["png", "jpeg", "gif", "webp"];

impl DecodeEvents for Decoder {
    fn frame(&mut self, name: &str, data: Value<'_>, sink: &mut Sink<'_>) -> Result<(), UpstreamError> {
        let block = data.count("contentBlockIndex").unwrap_or(0);
        match name {
            "contentBlockDelta" if !self.is_finished => self.delta(block, data, sink),
            "contentBlockStart" if !self.is_finished => self.start(block, data, sink),
            "contentBlockStop" => self.stop(block, sink),
            "messageStart" => self.begin(sink),
            "messageStop" if !self.is_finished => self.finish(data, sink),
            "metadata" => self.usage(data, sink),
            _ => sink.unknown(),
        }
        if self.is_finished && self.has_usage {
            sink.done();
        }
        Ok(())
    }

    fn end(&mut self, _: &mut Sink<'_>) {}
}

impl Decoder {
    /// Parts need something to stand in, even where a provider forgot to say that it began.
    fn begin(&mut self, sink: &mut Sink<'_>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            sink.put(Event::Begin { id: Cow::Borrowed(""), created: 0 });
        }
    }

    fn start(&mut self, block: u64, data: Value<'_>, sink: &mut Sink<'_>) {
        self.begin(sink);
        let Some(start) = data.get("start") else { return };
        if let Some(call) = start.get("toolUse") {
            self.stop(block, sink);
            return self.call(block, call, sink);
        }
        let sort = match start.get("image") {
            Some(image) => {
                let format = image.str("format").unwrap_or_default();
                Sort::Picture(FORMATS.iter().position(|known| *known == format).unwrap_or(FORMATS.len()))
            }
            None if start.get("toolResult").is_some() => Sort::Hidden,
            // Some announce texts, with nothing in it.
            None if start.fields().next().is_none() => return,
            None => return sink.unknown(),
        };
        self.stop(block, sink);
        self.note_open(Open { block, part: 0, sort, half: Half::default() }, sink);
    }

    fn call(&mut self, block: u64, call: Value<'_>, sink: &mut Sink<'_>) {
        if decode::is_of_server(call) {
            sink.unknown();
            return self.note_open(Open { block, part: 0, sort: Sort::Hidden, half: Half::default() }, sink);
        }
        let name = call.str("name").unwrap_or_default();
        if name == ANSWER_TOOL {
            self.open_part(block, Sort::Answer(false), Start::Text, sink);
            return;
        }
        self.has_calls = true;
        let id = decode::call_id(call, usize::try_from(block).unwrap_or(usize::MAX));
        self.open_part(block, Sort::Call(false), Start::ToolCall { id, name, signature: None }, sink);
    }

    fn delta(&mut self, block: u64, data: Value<'_>, sink: &mut Sink<'_>) {
        self.begin(sink);
        let Some(delta) = data.get("delta") else { return sink.unknown() };
        let Some((name, value)) = delta.fields().find(|(_, value)| !value.is_null()) else { return sink.unknown() };
        match &*name {
            "text" => self.text(block, Sort::Text, Some(value), sink),
            "toolUse" => self.input(block, value.get("input"), sink),
            "reasoningContent" => self.thought(block, value, sink),
            "citation" => {
                let part = self.part_of(block, Sort::Text, sink);
                piece(part, Piece::Annotation(Cow::Borrowed(value.raw())), sink);
            }
            "image" => self.picture(block, value, sink),
            _ => sink.unknown(),
        }
    }

    fn text(&mut self, block: u64, sort: Sort, text: Option<Value<'_>>, sink: &mut Sink<'_>) {
        let Some(text) = text.and_then(Value::spoken) else { return };
        let part = self.part_of(block, sort, sink);
        let open = self.open.iter_mut().find(|open| open.block == block && open.sort == sort);
        if let Some(text) = open.and_then(|open| open.half.join(text)).filter(|text| !text.is_empty()) {
            piece(part, Piece::Text(text), sink);
        }
    }

    fn thought(&mut self, block: u64, content: Value<'_>, sink: &mut Sink<'_>) {
        self.text(block, Sort::Thought, content.get("text"), sink);
        if let Some(sealed) = content.str("signature").filter(|sealed| !sealed.is_empty()) {
            let part = self.part_of(block, Sort::Thought, sink);
            piece(part, Piece::Signature(Signature::Own(sealed)), sink);
        }
        if let Some(sealed) = content.str("redactedContent") {
            self.stop(block, sink);
            self.make_room(false, sink);
            let start = Start::Thought { id: None, is_summary: false, is_redacted: true };
            let part = self.start_part(start, sink);
            piece(part, Piece::Signature(Signature::Own(sealed)), sink);
            sink.put(Event::End { choice: 0, part });
        }
    }

    /// A piece of the input of a call.
    fn input(&mut self, block: u64, input: Option<Value<'_>>, sink: &mut Sink<'_>) {
        let Some(open) = self.open.iter_mut().find(|open| open.block == block) else { return sink.unknown() };
        let part = open.part;
        let input = input.and_then(|input| open.half.join(input)).filter(|input| !input.is_empty());
        let Some(input) = input else { return };
        match &mut open.sort {
            Sort::Call(has_input) => {
                *has_input = true;
                piece(part, Piece::Arguments(input), sink);
            }
            Sort::Answer(has_input) => {
                *has_input = true;
                piece(part, Piece::Text(input), sink);
            }
            Sort::Hidden => {}
            Sort::Text | Sort::Thought | Sort::Picture(_) => sink.unknown(),
        }
    }

    fn picture(&mut self, block: u64, image: Value<'_>, sink: &mut Sink<'_>) {
        let format = self.open.iter().find_map(|open| match open.sort {
            Sort::Picture(format) if open.block == block => FORMATS.get(format),
            _ => None,
        });
        let Some(media) = decode::picture(format.copied().map(Cow::Borrowed), image) else { return sink.unknown() };
        self.make_room(false, sink);
        let part = self.start_part(Start::Media(media), sink);
        sink.put(Event::End { choice: 0, part });
    }

    /// The part of a block's pieces; it begins with the first of them.
    fn part_of(&mut self, block: u64, sort: Sort, sink: &mut Sink<'_>) -> u32 {
        if let Some(open) = self.open.iter().find(|open| open.block == block && open.sort == sort) {
            return open.part;
        }
        self.stop(block, sink);
        let start = match sort {
            Sort::Thought => Start::Thought { id: None, is_summary: false, is_redacted: false },
            _ => Start::Text,
        };
        self.open_part(block, sort, start, sink)
    }

    fn open_part(&mut self, block: u64, sort: Sort, start: Start<'_>, sink: &mut Sink<'_>) -> u32 {
        self.make_room(matches!(sort, Sort::Call(_)), sink);
        let part = self.start_part(start, sink);
        self.note_open(Open { block, part, sort, half: Half::default() }, sink);
        part
    }

    fn start_part(&mut self, start: Start<'_>, sink: &mut Sink<'_>) -> u32 {
        let part = self.parts;
        self.parts += 1;
        sink.put(Event::Start { choice: 0, part, start });
        part
    }

    fn note_open(&mut self, open: Open, sink: &mut Sink<'_>) {
        if self.open.len() >= OPEN_MOST {
            let oldest = self.open.remove(0);
            close(oldest, sink);
        }
        self.open.push(open);
    }

    /// Ends what a provider forgot to end. Only calls may stand open beside each other.
    fn make_room(&mut self, for_call: bool, sink: &mut Sink<'_>) {
        let stays = |open: &Open| match open.sort {
            Sort::Call(_) => for_call,
            Sort::Picture(_) | Sort::Hidden => true,
            Sort::Text | Sort::Thought | Sort::Answer(_) => false,
        };
        for open in self.open.iter().filter(|open| !stays(open)) {
            close(*open, sink);
        }
        self.open.retain(|open| stays(open));
    }

    fn stop(&mut self, block: u64, sink: &mut Sink<'_>) {
        if let Some(at) = self.open.iter().position(|open| open.block == block) {
            let open = self.open.remove(at);
            close(open, sink);
        }
    }

    fn finish(&mut self, data: Value<'_>, sink: &mut Sink<'_>) {
        self.begin(sink);
        for open in std::mem::take(&mut self.open) {
            close(open, sink);
        }
        self.is_finished = true;
        let native = data.str("stopReason").unwrap_or_default();
        let finish = finish::parse(&native, self.has_calls);
        sink.put(Event::Finish { choice: 0, finish, native, stopped_at: decode::stopped_at(data) });
    }

    fn usage(&mut self, data: Value<'_>, sink: &mut Sink<'_>) {
        if let Some(usage) = data.get("usage").and_then(usage::read) {
            self.has_usage = true;
            sink.put(Event::Usage { usage, is_final: true });
        }
    }
}

fn piece(part: u32, piece: Piece<'_>, sink: &mut Sink<'_>) {
    sink.put(Event::Piece { choice: 0, part, piece });
}

/// Ends a part. A call without input is a call with none.
fn close(mut open: Open, sink: &mut Sink<'_>) {
    let part = open.part;
    let rest = open.half.end();
    match open.sort {
        Sort::Picture(_) | Sort::Hidden => return,
        Sort::Call(false) => piece(part, Piece::Arguments(Cow::Borrowed("{}")), sink),
        Sort::Answer(false) => piece(part, Piece::Text(Cow::Borrowed("{}")), sink),
        Sort::Call(true) => rest.into_iter().for_each(|rest| piece(part, Piece::Arguments(rest), sink)),
        _ => rest.into_iter().for_each(|rest| piece(part, Piece::Text(rest), sink)),
    }
    sink.put(Event::End { choice: 0, part });
}
