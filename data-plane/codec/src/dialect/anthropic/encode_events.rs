//! A streamed answer for a client, in Anthropic's order: the message's start with a complete usage object, then each
//! block with its start, deltas and stop, then what ended it with the last usage. Holds numbers, and text only of calls that a
//! provider writes side by side: one block is open at a time, and the others wait for it.

use domain::usage::TokenUsage;
use smallvec::SmallVec;

use super::finish::Content;
use super::ingress::{self, encode};
use super::usage;
use crate::Carry;
use crate::bridge::AnswerEdits;
use crate::dialect::EncodeEvents;
use crate::json::Writer;
use crate::model::{Event, Finish, Piece, Start};
use crate::receipt::Receipt;

/// Bytes of events that may wait in all. What is beyond goes out at once: clients know blocks by their numbers.
const WAITING_MOST: usize = 8 * 1024 * 1024;

/// Writes one stream.
#[derive(Debug)]
pub(super) struct Encoder {
    model: String,
    /// The answer's id where the provider gives none.
    request_id: String,
    carry: Carry,
    has_begun: bool,
    /// Blocks that were started so far.
    blocks: u32,
    open: SmallVec<[Open; 2]>,
    /// The part whose block is the open one.
    turn: Option<u32>,
    /// Bytes that wait for their turn.
    waiting: usize,
    content: Content,
    end: Option<End>,
    usage: TokenUsage,
}

/// A part that has begun.
#[derive(Debug)]
struct Open {
    part: u32,
    sort: Sort,
    /// Once it was started: texts and thoughts start with their first piece, so that none is empty.
    block: Option<Block>,
    is_signed: bool,
    /// Its events while another block is open.
    held: Vec<u8>,
    /// It is over, and waits to be told.
    has_ended: bool,
}

/// A block that a client knows of.
#[derive(Debug)]
struct Block {
    index: u32,
    /// An event with a piece of this block, up to the piece's text: nearly all events are of this kind.
    head: Box<[u8]>,
}

/// What stands behind the text of a piece.
const TAIL: &[u8] = b"\"}}\n\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Text,
    Thought,
    Redacted,
    Call,
    /// Nothing that Anthropic's answers have.
    Nothing,
}

#[derive(Debug)]
struct End {
    finish: Finish,
    native: String,
    stopped_at: Option<String>,
}

impl Encoder {
    pub fn new(wanted: &AnswerEdits) -> Encoder {
        Encoder {
            model: wanted.public_model.clone(),
            request_id: wanted.request_id.clone(),
            carry: wanted.carry.clone(),
            has_begun: false,
            blocks: 0,
            open: SmallVec::new(),
            turn: None,
            waiting: 0,
            content: Content::default(),
            end: None,
            usage: TokenUsage::default(),
        }
    }

    fn begin(&mut self, id: &str, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        frame("message_start", out, |out| {
            out.key("message");
            out.begin_object();
            out.field_str("model", &self.model);
            out.field_str("id", ingress::answer_id(id, &self.request_id));
            out.field_str("type", "message");
            out.field_str("role", "assistant");
            out.key("content");
            out.raw("[]");
            encode::ending(None, "", None, Content::default(), out);
            out.key("usage");
            usage::write(&self.usage, None, out);
            out.end_object();
        });
    }

    fn start(&mut self, part: u32, start: &Start<'_>, out: &mut Vec<u8>) {
        let sort = match start {
            Start::Text => Sort::Text,
            Start::Refusal => {
                self.content.has_refusal = true;
                Sort::Text
            }
            Start::Thought { is_redacted: true, .. } => Sort::Redacted,
            Start::Thought { .. } => Sort::Thought,
            Start::ToolCall { .. } => Sort::Call,
            Start::Media(_) | Start::Other { .. } => Sort::Nothing,
        };
        let mut open = Open { part, sort, block: None, is_signed: false, held: Vec::new(), has_ended: false };
        if let Start::ToolCall { id, name, signature } = start {
            self.content.has_calls = true;
            let id = encode::carried_id(id, signature.as_ref(), &self.carry);
            let mut held = Vec::new();
            let to = if self.must_wait(part) { &mut held } else { out };
            let index = self.block_start(to, |out| {
                encode::begin_call(&id, name, out);
                out.raw("{}");
                out.end_object();
            });
            self.waiting = self.waiting.saturating_add(held.len());
            (open.block, open.held) = (Some(Block::new(index, sort)), held);
        }
        self.open.push(open);
        self.take_turn(part);
    }

    /// Whether another block is open, and there is room to wait.
    fn must_wait(&self, part: u32) -> bool {
        self.turn.is_some_and(|turn| turn != part) && self.waiting < WAITING_MOST
    }

    /// A part that has a block is the open one if none is.
    fn take_turn(&mut self, part: u32) {
        if self.turn.is_none() && self.open.iter().any(|open| open.part == part && open.block.is_some()) {
            self.turn = Some(part);
        }
    }

    /// A piece now, or when its turn comes.
    fn piece_in_turn(&mut self, part: u32, piece: &Piece<'_>, out: &mut Vec<u8>) {
        if !self.must_wait(part) {
            self.release(part, out);
            self.piece(part, piece, out);
            return self.take_turn(part);
        }
        let Some(at) = self.open.iter().position(|open| open.part == part) else { return };
        let mut held = self.open.get_mut(at).map(|open| std::mem::take(&mut open.held)).unwrap_or_default();
        let before = held.len();
        self.piece(part, piece, &mut held);
        self.waiting = self.waiting.saturating_add(held.len() - before);
        if let Some(open) = self.open.get_mut(at) {
            open.held = held;
        }
    }

    /// What waited of a part.
    fn release(&mut self, part: u32, out: &mut Vec<u8>) {
        let Some(open) = self.open.iter_mut().find(|open| open.part == part && !open.held.is_empty()) else { return };
        let held = std::mem::take(&mut open.held);
        self.waiting = self.waiting.saturating_sub(held.len());
        out.extend_from_slice(&held);
    }

    /// A part is over; whoever waited longest is the next.
    fn end_in_turn(&mut self, part: u32, out: &mut Vec<u8>) {
        if self.must_wait(part)
            && let Some(open) = self.open.iter_mut().find(|open| open.part == part && open.block.is_some())
        {
            open.has_ended = true;
            return;
        }
        self.release(part, out);
        self.end_part(part, out);
        if self.turn.take_if(|turn| *turn == part).is_some() {
            self.next_turn(out);
        }
    }

    fn next_turn(&mut self, out: &mut Vec<u8>) {
        let block = |open: &Open| Some((open.block.as_ref()?.index, open.part, open.has_ended));
        while let Some((_, part, has_ended)) = self.open.iter().filter_map(block).min() {
            self.release(part, out);
            if !has_ended {
                self.turn = Some(part);
                return;
            }
            self.end_part(part, out);
        }
    }

    /// Starts a block, which `write` writes; its index.
    fn block_start(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Writer)) -> u32 {
        let index = self.blocks;
        self.blocks += 1;
        frame("content_block_start", out, |out| {
            out.field_u64("index", u64::from(index));
            out.key("content_block");
            write(out);
        });
        index
    }

    fn piece(&mut self, part: u32, piece: &Piece<'_>, out: &mut Vec<u8>) {
        let Some(at) = self.open.iter().position(|open| open.part == part) else { return };
        let Some(open) = self.open.get(at) else { return };
        match (open.sort, piece, &open.block) {
            (_, Piece::Text(text) | Piece::Arguments(text), _) if text.is_empty() => {}
            (Sort::Text | Sort::Thought, Piece::Text(text), Some(block)) => block.piece(text, out),
            (Sort::Call, Piece::Arguments(text), Some(block)) => block.piece(text, out),
            (Sort::Text | Sort::Thought, Piece::Text(_), None) | (Sort::Thought, Piece::Signature(_), None) => {
                let sort = open.sort;
                let index =
                    self.block_start(out, |out| out.raw(if sort == Sort::Text { EMPTY_TEXT } else { EMPTY_THOUGHT }));
                self.opened(at, Block::new(index, sort));
                self.piece(part, piece, out);
            }
            (Sort::Thought, Piece::Signature(signature), Some(block)) => {
                block.signature(&encode::wrapped(Some(signature), &self.carry), out);
                if let Some(open) = self.open.get_mut(at) {
                    open.is_signed = true;
                }
            }
            (Sort::Redacted, Piece::Signature(signature), None) => {
                let data = encode::wrapped(Some(signature), &self.carry);
                let index = self.block_start(out, |out| {
                    out.begin_object();
                    out.field_str("type", "redacted_thinking");
                    out.field_str("data", &data);
                    out.end_object();
                });
                self.opened(at, Block { index, head: Box::default() });
            }
            _ => {}
        }
    }

    fn opened(&mut self, at: usize, block: Block) {
        if let Some(open) = self.open.get_mut(at) {
            open.block = Some(block);
        }
    }

    fn end_part(&mut self, part: u32, out: &mut Vec<u8>) {
        let Some(at) = self.open.iter().position(|open| open.part == part) else { return };
        let open = self.open.remove(at);
        if let Some(block) = open.block {
            if open.sort == Sort::Thought && !open.is_signed {
                block.signature(&encode::wrapped(None, &self.carry), out);
            }
            frame("content_block_stop", out, |out| out.field_u64("index", u64::from(block.index)));
        }
    }
}

const EMPTY_TEXT: &str = r#"{"type":"text","text":""}"#;
const EMPTY_THOUGHT: &str = r#"{"type":"thinking","thinking":"","signature":""}"#;

/// One event: its name, and the same name as the type of its data.
fn frame(name: &str, out: &mut Vec<u8>, write: impl FnOnce(&mut Writer)) {
    let mut writer = Writer::into(std::mem::take(out));
    writer.frame(b"event: ");
    writer.frame(name.as_bytes());
    writer.frame(b"\ndata: ");
    writer.begin_object();
    writer.field_str("type", name);
    write(&mut writer);
    writer.end_object();
    writer.frame(b"\n\n");
    *out = writer.into_buffer();
}

/// The event of a piece up to its text.
fn head(index: u32, sort: &str, field: &str) -> Box<[u8]> {
    let head = format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":{index},\
         \"delta\":{{\"type\":\"{sort}\",\"{field}\":\""
    );
    head.into_bytes().into()
}

impl Block {
    fn new(index: u32, sort: Sort) -> Block {
        let head = match sort {
            Sort::Text => head(index, "text_delta", "text"),
            Sort::Thought => head(index, "thinking_delta", "thinking"),
            Sort::Call => head(index, "input_json_delta", "partial_json"),
            Sort::Redacted | Sort::Nothing => Box::default(),
        };
        Block { index, head }
    }

    fn signature(&self, sealed: &str, out: &mut Vec<u8>) {
        Block { index: self.index, head: head(self.index, "signature_delta", "signature") }.piece(sealed, out);
    }

    fn piece(&self, text: &str, out: &mut Vec<u8>) {
        // Most pieces are the only one of their chunk and need no escapes: exactly this room is then sent as it is.
        let room = self.head.len() + text.len() + TAIL.len();
        match out.is_empty() {
            true => out.reserve_exact(room),
            false => out.reserve(room),
        }
        out.extend_from_slice(&self.head);
        let mut writer = Writer::into(std::mem::take(out));
        writer.text(text);
        *out = writer.into_buffer();
        out.extend_from_slice(TAIL);
    }
}

impl EncodeEvents for Encoder {
    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Begin { id, .. } => self.begin(id, out),
            // There is one answer only, the first.
            Event::Start { choice: 0, part, start } => self.start(*part, start, out),
            Event::Piece { choice: 0, part, piece } => self.piece_in_turn(*part, piece, out),
            Event::End { choice: 0, part } => self.end_in_turn(*part, out),
            Event::Finish { choice: 0, finish, native, stopped_at } => {
                let stopped_at = stopped_at.as_ref().map(|met| met.to_string());
                self.end = Some(End { finish: *finish, native: native.to_string(), stopped_at });
            }
            _ => {}
        }
    }

    fn usage(&mut self, usage: &TokenUsage, _: &Receipt) {
        self.usage = *usage;
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.begin("", out);
        while let Some(part) = self.turn.or_else(|| self.open.first().map(|open| open.part)) {
            self.end_in_turn(part, out);
        }
        let end = self.end.take();
        frame("message_delta", out, |out| {
            out.key("delta");
            out.begin_object();
            let (finish, native) = end.as_ref().map_or((None, ""), |end| (Some(end.finish), &*end.native));
            let stopped_at = end.as_ref().and_then(|end| end.stopped_at.as_deref());
            encode::ending(finish, native, stopped_at, self.content, out);
            out.end_object();
            out.key("usage");
            usage::write(&self.usage, None, out);
        });
        frame("message_stop", out, |_| {});
    }
}
