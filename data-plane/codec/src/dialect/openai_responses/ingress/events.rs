//! Streamed answers for clients: named events with rising numbers. Text goes out as it comes; besides, the API demands that
//! it be repeated at the end of its part, of its item and of the response, so this half alone holds an answer's text, once,
//! up to [`HELD_MOST`].

use std::borrow::Cow;

use domain::usage::TokenUsage;

use super::annotation;
use super::encode::{self, Shell, Status};
use super::open::{self, Body, Message, Open, Words, at, event};
use crate::bridge::AnswerEdits;
use crate::carry::Carry;
use crate::dialect::EncodeEvents;
use crate::dialect::openai_responses::{item, seal};
use crate::json::Writer;
use crate::model::{Event, Finish, Piece, Signature, Start};
use crate::receipt::Receipt;

/// Most bytes of an answer that are held for repetition, as they are written at the end: more than any model writes in one.
/// What comes beyond still goes out as it comes; at the end its item is repeated as far as it was held, and called
/// incomplete. An item that begins when there is no room is not repeated in the last event; of those, only the names of
/// the calls that are open are held.
const HELD_MOST: usize = 8 * 1024 * 1024;
/// What an item takes beside what is said in it: its ids, the names of its fields, and its place in lists.
const ITEM: usize = 384;
/// The same for a part of a message.
const PART: usize = 128;

/// Writes one stream.
#[derive(Debug)]
pub(super) struct Events {
    shell: Shell,
    carry: Carry,
    has_begun: bool,
    sequence: u64,
    /// The place of the next item in the output.
    place: u64,
    /// What has been begun and not ended, in order. Several calls may be open at once, nothing else.
    open: Vec<Open>,
    /// A call whose part has ended: whether it was cut off is known when the next event comes.
    ended: Option<Open>,
    /// The finished items as JSON, each with its place.
    output: Vec<(u64, String)>,
    held: usize,
    has_refusal: bool,
    usage: Option<String>,
    end: Option<Status<'static>>,
}

impl Events {
    pub fn new(wanted: &AnswerEdits) -> Events {
        Events {
            shell: Shell::new("", 0, wanted),
            carry: wanted.carry.clone(),
            has_begun: false,
            sequence: 0,
            place: 0,
            open: Vec::new(),
            ended: None,
            output: Vec::new(),
            held: 0,
            has_refusal: false,
            usage: None,
            end: None,
        }
    }

    fn begin(&mut self, id: &str, created: u64, out: &mut Writer) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        self.shell.begun(id, created);
        for name in ["response.created", "response.in_progress"] {
            let sequence = self.next();
            event(out, name, sequence, |out| {
                out.key("response");
                self.shell.write(out, &Status::InProgress, None, |_| {}, None);
            });
        }
    }

    fn next(&mut self) -> u64 {
        let next = self.sequence;
        self.sequence += 1;
        next
    }

    fn start(&mut self, part: u32, start: &Start<'_>, out: &mut Writer) {
        match start {
            Start::Text => self.words(part, Words::Text, out),
            Start::Refusal => self.words(part, Words::Refusal, out),
            Start::Thought { is_summary, is_redacted, .. } => {
                let body = Body::Thought { is_summary: *is_summary, is_redacted: *is_redacted, sealed: None };
                self.item(part, item::REASONING, body, out);
            }
            Start::ToolCall { id, name, signature } => {
                let call_id = self.shell.call_id(id, self.place, signature.as_ref(), &self.carry).into_owned();
                self.item(part, item::CALL, Body::Call { call_id, name: name.to_string() }, out);
            }
            Start::Media(media) => {
                if let Some(data) = encode::picture(media) {
                    self.end_message(false, out);
                    self.image(data, out);
                }
            }
            Start::Other { .. } => {}
        }
    }

    /// Words go into the message that is open, or into a new one.
    fn words(&mut self, part: u32, words: Words, out: &mut Writer) {
        self.has_refusal |= words == Words::Refusal;
        let is_open = |open: &Open| matches!(open.body, Body::Message(_));
        if !self.open.last().is_some_and(is_open) {
            self.item(part, item::MESSAGE, Body::Message(Message::default()), out);
        }
        let is_full = self.open.last().is_some_and(|open| open.is_over);
        let (fits, sequence) = (!is_full && self.hold(PART), self.next());
        let Some(Open { body: Body::Message(message), id, place, part: now, is_over, .. }) = self.open.last_mut()
        else {
            return;
        };
        *now = part;
        *is_over |= !fits;
        (message.words, message.is_held) = (Some(words), fits);
        event(out, "response.content_part.added", sequence, |out| {
            at(out, id, *place);
            out.field_u64("content_index", message.index());
            out.key("part");
            match words {
                Words::Text => encode::output_text(out, "", |_| {}, None),
                Words::Refusal => encode::refusal(out, ""),
            }
        });
    }

    /// A new item. A message ends where anything else begins.
    fn item(&mut self, part: u32, kind: &str, body: Body, out: &mut Writer) {
        self.end_message(false, out);
        let (place, id) = (self.place, self.shell.item_id(kind, self.place));
        self.place += 1;
        let names = match &body {
            Body::Call { call_id, name } => written_len(call_id) + written_len(name),
            Body::Message(_) | Body::Thought { .. } => 0,
        };
        let is_held = self.hold(ITEM + names);
        let open = Open { part, place, id, body, text: String::new(), has_said: false, is_held, is_over: !is_held };
        let sequence = self.next();
        event(out, "response.output_item.added", sequence, |out| {
            out.field_u64("output_index", place);
            out.key("item");
            open.write_added(out);
        });
        self.open.push(open);
    }

    fn image(&mut self, data: &str, out: &mut Writer) {
        let (place, id) = (self.place, self.shell.item_id(item::IMAGE, self.place));
        self.place += 1;
        for (name, data) in [("response.output_item.added", None), ("response.output_item.done", Some(data))] {
            let sequence = self.next();
            event(out, name, sequence, |out| {
                out.field_u64("output_index", place);
                out.key("item");
                match data {
                    Some(data) => encode::image(out, &id, data),
                    None => open::image_added(out, &id),
                }
            });
        }
        if self.hold(ITEM + written_len(data)) {
            self.output.push((place, open::text(|out| encode::image(out, &id, data))));
        }
    }

    /// Whether there is room for so many bytes more; if there is, it is taken.
    fn hold(&mut self, bytes: usize) -> bool {
        let fits = self.held.saturating_add(bytes) <= HELD_MOST;
        self.held += if fits { bytes } else { 0 };
        fits
    }

    /// The same for more of an open item, which is over where there is none.
    fn hold_in(&mut self, at: usize, bytes: usize) -> bool {
        let is_over = self.open.get(at).is_none_or(|open| open.is_over);
        let fits = !is_over && self.hold(bytes);
        if let Some(open) = self.open.get_mut(at) {
            open.is_over |= !fits;
        }
        fits
    }

    fn piece(&mut self, part: u32, piece: &Piece<'_>, out: &mut Writer) {
        let Some(at) = self.open.iter().position(|open| open.part == part) else { return };
        match piece {
            Piece::Text(text) | Piece::Arguments(text) => self.said(at, text, out),
            Piece::Signature(signature) => self.sealed(at, signature),
            Piece::Logprobs(raw) => self.logprobs(at, raw, out),
            Piece::Annotation(raw) => self.cited(at, raw, out),
        }
    }

    fn said(&mut self, at: usize, text: &str, out: &mut Writer) {
        if text.is_empty() {
            return;
        }
        let fits = self.hold_in(at, written_len(text));
        let Some(open) = self.open.get_mut(at) else { return };
        let is_first = !std::mem::replace(&mut open.has_said, true);
        if matches!(open.body, Body::Thought { .. }) && is_first {
            let sequence = self.sequence;
            self.sequence += 1;
            event(out, "response.reasoning_summary_part.added", sequence, |out| {
                open.write_place(out);
                out.key("part");
                encode::summary_text(out, "");
            });
        }
        if fits {
            open.text.push_str(text);
        }
        let sequence = self.sequence;
        self.sequence += 1;
        event(out, open.delta_name(), sequence, |out| {
            open.write_place(out);
            out.field_str("delta", text);
            if open.has_logprobs() {
                out.field_raw("logprobs", "[]");
            }
        });
    }

    fn sealed(&mut self, at: usize, signature: &Signature<'_>) {
        let Some(Open { body: Body::Thought { is_summary, is_redacted, sealed }, .. }) = self.open.get_mut(at) else {
            return;
        };
        let closed = seal::close(&self.carry, *is_summary, *is_redacted, signature);
        let before = sealed.take().map_or(0, |before| written_len(&before));
        self.held = self.held.saturating_sub(before);
        let fits = self.hold_in(at, written_len(&closed));
        if let Some(Open { body: Body::Thought { sealed, .. }, .. }) = self.open.get_mut(at).filter(|_| fits) {
            *sealed = Some(closed);
        }
    }

    /// They come behind the text they belong to, which has gone out: so they go out with no text.
    fn logprobs(&mut self, at: usize, raw: &str, out: &mut Writer) {
        let Some(list) = encode::logprobs_list(Some(raw)) else { return };
        let inside = list.trim_start_matches('[').trim_end_matches(']').trim();
        if inside.is_empty() || !self.open.get(at).is_some_and(Open::has_logprobs) {
            return;
        }
        let (fits, sequence) = (self.hold_in(at, inside.len() + 1), self.next());
        let Some(open) = self.open.get_mut(at) else { return };
        event(out, open.delta_name(), sequence, |out| {
            open.write_place(out);
            out.field_str("delta", "");
            out.field_raw("logprobs", &list);
        });
        if let Body::Message(message) = &mut open.body
            && fits
        {
            if !message.logprobs.is_empty() {
                message.logprobs.push(',');
            }
            message.logprobs.push_str(inside);
        }
    }

    /// What the text said so far is taken from, as far as it has an address.
    fn cited(&mut self, at: usize, raw: &str, out: &mut Writer) {
        let Some(Open { body: Body::Message(message), text, .. }) = self.open.get_mut(at) else { return };
        if message.words != Some(Words::Text) {
            return;
        }
        let letters = message.letters(text);
        for one in annotation::read(raw, letters) {
            let (fits, sequence) = (self.hold_in(at, one.len() + 1), self.next());
            let Some(open) = self.open.get_mut(at) else { return };
            let Body::Message(message) = &open.body else { return };
            let number = u64::try_from(message.cited.len()).unwrap_or(u64::MAX);
            event(out, "response.output_text.annotation.added", sequence, |out| {
                open.write_place(out);
                out.field_u64("annotation_index", number);
                out.field_raw("annotation", &one);
            });
            if let Body::Message(message) = &mut open.body
                && fits
            {
                message.cited.push(one);
            }
        }
    }

    fn end_part(&mut self, part: u32, out: &mut Writer) {
        let Some(at) = self.open.iter().position(|open| open.part == part) else { return };
        match self.open.get(at).map(|open| &open.body) {
            Some(Body::Message(_)) => self.end_words(out),
            Some(Body::Thought { .. }) => {
                let open = self.open.remove(at);
                self.end_thought(open, out);
            }
            Some(Body::Call { .. }) => self.ended = Some(self.open.remove(at)),
            None => {}
        }
    }

    /// The part of a message that is open ends; the message stays open for more.
    fn end_words(&mut self, out: &mut Writer) {
        let (first, second) = (self.sequence, self.sequence + 1);
        let Some(Open { body: Body::Message(message), id, place, text, .. }) = self.open.last_mut() else { return };
        let Some(words) = message.words.take() else { return };
        self.sequence += 2;
        let logprobs = format!("[{}]", std::mem::take(&mut message.logprobs));
        let cited = message.end_citations();
        let (name, field) = match words {
            Words::Text => ("response.output_text.done", "text"),
            Words::Refusal => ("response.refusal.done", "refusal"),
        };
        let write = |out: &mut Writer| match words {
            Words::Text => {
                let cite = |out: &mut Writer| cited.iter().for_each(|one| out.raw(one));
                encode::output_text(out, text, cite, Some(&logprobs));
            }
            Words::Refusal => encode::refusal(out, text),
        };
        event(out, name, first, |out| {
            at(out, id, *place);
            out.field_u64("content_index", message.index());
            out.field_str(field, text);
            if words == Words::Text {
                out.field_raw("logprobs", &logprobs);
            }
        });
        event(out, "response.content_part.done", second, |out| {
            at(out, id, *place);
            out.field_u64("content_index", message.index());
            out.key("part");
            write(out);
        });
        if message.is_held {
            message.done.push(open::text(write));
        }
        message.finished += 1;
        text.clear();
    }

    /// The message that is open ends, if there is one.
    fn end_message(&mut self, is_cut: bool, out: &mut Writer) {
        let is_message = |open: &Open| matches!(open.body, Body::Message(_));
        let Some(at) = self.open.iter().position(is_message) else { return };
        self.end_words(out);
        let open = self.open.remove(at);
        self.done(&open, is_cut, out);
    }

    fn end_thought(&mut self, open: Open, out: &mut Writer) {
        if open.has_said {
            let sequence = self.next();
            event(out, "response.reasoning_summary_text.done", sequence, |out| {
                open.write_place(out);
                out.field_str("text", &open.text);
            });
            let sequence = self.next();
            event(out, "response.reasoning_summary_part.done", sequence, |out| {
                open.write_place(out);
                out.key("part");
                encode::summary_text(out, &open.text);
            });
        }
        self.done(&open, false, out);
    }

    fn end_call(&mut self, is_cut: bool, out: &mut Writer) {
        let Some(mut open) = self.ended.take() else { return };
        let Body::Call { name, .. } = &open.body else { return };
        if !open.has_said {
            open.text = "{}".to_owned();
            let sequence = self.sequence;
            self.sequence += 1;
            event(out, open.delta_name(), sequence, |out| {
                open.write_place(out);
                out.field_str("delta", "{}");
            });
        }
        let sequence = self.sequence;
        self.sequence += 1;
        event(out, "response.function_call_arguments.done", sequence, |out| {
            open.write_place(out);
            out.field_str("name", name);
            out.field_str("arguments", &open.text);
        });
        self.done(&open, is_cut, out);
    }

    /// An item is finished: it is said, and kept for the end.
    fn done(&mut self, open: &Open, is_cut: bool, out: &mut Writer) {
        let sequence = self.next();
        let status = encode::item_status(is_cut || open.is_over);
        event(out, "response.output_item.done", sequence, |out| {
            out.field_u64("output_index", open.place);
            out.key("item");
            open.write_done(out, status);
        });
        if open.is_held {
            self.output.push((open.place, open::text(|out| open.write_done(out, status))));
        }
    }

    /// The answer has ended: everything that is open does, too.
    fn close(&mut self, finish: Finish, native: &str, out: &mut Writer) {
        let status = match Status::of(Some(finish), native, self.has_refusal) {
            Status::Incomplete(reason) => Status::Incomplete(Cow::Owned(reason.into_owned())),
            _ => Status::Completed,
        };
        // Only the last item can have been cut off.
        let is_cut = status.is_incomplete();
        self.end_call(is_cut && self.open.is_empty(), out);
        while let Some(part) = self.open.first().map(|open| open.part) {
            if matches!(self.open.first().map(|open| &open.body), Some(Body::Message(_))) {
                self.end_message(is_cut && self.open.len() == 1, out);
            } else {
                self.end_part(part, out);
                self.end_call(is_cut && self.open.is_empty(), out);
            }
        }
        self.end = Some(status);
    }
}

/// How many bytes a text takes between its quotes.
fn written_len(text: &str) -> usize {
    let more = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 1,
        0..0x20 => 5,
        _ => 0,
    };
    text.len() + text.bytes().map(more).sum::<usize>()
}

impl EncodeEvents for Events {
    fn event(&mut self, event: &Event<'_>, buffer: &mut Vec<u8>) {
        let mut out = Writer::into(std::mem::take(buffer));
        self.write(event, &mut out);
        *buffer = out.into_buffer();
    }

    fn usage(&mut self, usage: &TokenUsage, receipt: &Receipt) {
        self.usage = Some(encode::usage_text(usage, Some(receipt)));
    }

    fn finish(&mut self, buffer: &mut Vec<u8>) {
        let mut out = Writer::into(std::mem::take(buffer));
        self.begin("", 0, &mut out);
        let status = self.end.take().unwrap_or(Status::Incomplete("unknown".into()));
        let name = if status.is_incomplete() { "response.incomplete" } else { "response.completed" };
        let sequence = self.next();
        // Calls that were open at once may have ended in another order.
        self.output.sort_by_key(|(place, _)| *place);
        event(&mut out, name, sequence, |out| {
            out.key("response");
            let items = |out: &mut Writer| self.output.iter().for_each(|(_, item)| out.raw(item));
            self.shell.write(out, &status, None, items, self.usage.as_deref());
        });
        *buffer = out.into_buffer();
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl Events {
    fn write(&mut self, event: &Event<'_>, out: &mut Writer) {
        if let Event::Begin { id, created } = event {
            return self.begin(id, *created, out);
        }
        self.begin("", 0, out);
        if self.end.is_some() {
            return;
        }
        match event {
            // There is a place for one answer only.
            Event::Start { choice: 0, part, start } => {
                self.end_call(false, out);
                self.start(*part, start, out);
            }
            Event::Piece { choice: 0, part, piece } => {
                self.end_call(false, out);
                self.piece(*part, piece, out);
            }
            Event::End { choice: 0, part } => {
                self.end_call(false, out);
                self.end_part(*part, out);
            }
            Event::Finish { choice: 0, finish, native, .. } => self.close(*finish, native, out),
            _ => {}
        }
    }
}
