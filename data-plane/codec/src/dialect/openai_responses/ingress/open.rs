//! Items of a streamed answer that are not finished, and what events look like.

use super::{annotation, encode};
use crate::dialect::openai_responses::item;
use crate::json::Writer;

/// An item that is not finished.
#[derive(Debug)]
pub(super) struct Open {
    /// The number of the answer's part that is written into it now.
    pub part: u32,
    pub place: u64,
    pub id: String,
    pub body: Body,
    /// What was said in the part that is open.
    pub text: String,
    /// Whether anything was said, held or not.
    pub has_said: bool,
    /// Whether there was room for the item when it began, so that the last event repeats it.
    pub is_held: bool,
    /// Whether more was said than is held. Nothing is held of the item from then on, or there would be a hole in it.
    pub is_over: bool,
}

#[derive(Debug)]
pub(super) enum Body {
    Message(Message),
    Thought { is_summary: bool, is_redacted: bool, sealed: Option<String> },
    Call { call_id: String, name: String },
}

#[derive(Debug, Default)]
pub(super) struct Message {
    /// The finished parts that are held, as JSON.
    pub done: Vec<String>,
    /// How many parts are finished.
    pub finished: u64,
    /// Whether there was room for the open part when it began.
    pub is_held: bool,
    /// What kind of part is open.
    pub words: Option<Words>,
    /// Log probabilities of the open part: what stands between the brackets.
    pub logprobs: String,
    /// Citations of the open part, as JSON.
    pub cited: Vec<String>,
    /// How many bytes of the open part have been counted for citations, and how many letters they are.
    counted: (usize, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    Text,
    Refusal,
}

impl Message {
    /// The place of the part that is open.
    pub fn index(&self) -> u64 {
        self.finished
    }

    /// How many letters the text of the open part has; no byte of it is counted twice.
    pub fn letters(&mut self, text: &str) -> u64 {
        let (bytes, letters) = self.counted;
        let letters = letters + text.get(bytes..).map_or(0, annotation::letters);
        self.counted = (text.len(), letters);
        letters
    }

    /// The citations of the part that ends.
    pub fn end_citations(&mut self) -> Vec<String> {
        self.counted = (0, 0);
        std::mem::take(&mut self.cited)
    }
}

impl Open {
    pub fn delta_name(&self) -> &'static str {
        match &self.body {
            Body::Message(Message { words: Some(Words::Refusal), .. }) => "response.refusal.delta",
            Body::Message(_) => "response.output_text.delta",
            Body::Thought { .. } => "response.reasoning_summary_text.delta",
            Body::Call { .. } => "response.function_call_arguments.delta",
        }
    }

    pub fn has_logprobs(&self) -> bool {
        matches!(&self.body, Body::Message(Message { words: Some(Words::Text), .. }))
    }

    /// Which item, and which part of it.
    pub fn write_place(&self, out: &mut Writer) {
        at(out, &self.id, self.place);
        match &self.body {
            Body::Message(message) => out.field_u64("content_index", message.index()),
            Body::Thought { .. } => out.field_u64("summary_index", 0),
            Body::Call { .. } => {}
        }
    }

    pub fn write_added(&self, out: &mut Writer) {
        match &self.body {
            Body::Message(_) => {
                out.begin_object();
                encode::message_head(out, &self.id, "in_progress");
                out.field_raw("content", "[]");
                out.end_object();
            }
            Body::Thought { .. } => encode::reasoning(out, &self.id, "", None),
            Body::Call { call_id, name } => encode::call(out, &self.id, call_id, name, "", "in_progress"),
        }
    }

    pub fn write_done(&self, out: &mut Writer, status: &str) {
        match &self.body {
            Body::Message(message) => {
                out.begin_object();
                encode::message_head(out, &self.id, status);
                out.key("content");
                out.begin_array();
                message.done.iter().for_each(|part| out.raw(part));
                out.end_array();
                out.end_object();
            }
            Body::Thought { sealed, .. } => encode::reasoning(out, &self.id, &self.text, sealed.as_deref()),
            Body::Call { call_id, name } => {
                encode::call(out, &self.id, call_id, name, encode::arguments(&self.text), status)
            }
        }
    }
}

pub(super) fn image_added(out: &mut Writer, id: &str) {
    out.begin_object();
    out.field_str("id", id);
    out.field_str("type", item::IMAGE);
    out.field_str("status", "in_progress");
    out.field_null("result");
    out.end_object();
}

pub(super) fn at(out: &mut Writer, id: &str, place: u64) {
    out.field_str("item_id", id);
    out.field_u64("output_index", place);
}

/// What is written, as a text of its own.
pub(super) fn text(write: impl FnOnce(&mut Writer)) -> String {
    let mut out = Writer::into(Vec::new());
    write(&mut out);
    // What a writer writes of texts is text.
    String::from_utf8(out.into_buffer()).unwrap_or_default()
}

/// One event, framing included.
pub(super) fn event(out: &mut Writer, name: &str, sequence: u64, fields: impl FnOnce(&mut Writer)) {
    out.frame(b"event: ");
    out.frame(name.as_bytes());
    out.frame(b"\ndata: ");
    out.begin_object();
    out.field_str("type", name);
    out.field_u64("sequence_number", sequence);
    fields(out);
    out.end_object();
    out.frame(b"\n\n");
}
