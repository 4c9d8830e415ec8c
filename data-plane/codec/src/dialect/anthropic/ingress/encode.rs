//! A whole answer for a client. Sealed state leaves only wrapped; nothing is in it that Anthropic's own answers do not
//! have.

use std::borrow::Cow;

use super::answer_id;
use crate::Carry;
use crate::bridge::AnswerEdits;
use crate::dialect::anthropic::finish::{self, Content};
use crate::dialect::anthropic::usage;
use crate::json::{Cursor, Kind, Nothing, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{Answer, Choice, Finish, Part, PartBody, Signature, Thought};

/// Losses of answers.
pub(super) const LOSSES: &[Loss] =
    &[Loss::Annotations, Loss::Refusal, Loss::AnswerLogprobs, Loss::AnswerMedia, Loss::AnswerChoices, Loss::AnswerPart];

pub(super) fn answer(answer: &Answer<'_>, wanted: &AnswerEdits, out: &mut Writer, losses: &mut Losses) {
    losses.note_if(answer.choices.len() > 1, Loss::AnswerChoices);
    let blocked = Choice { finish: Some(Finish::Filter), ..Choice::default() };
    let choice = answer.choices.first().unwrap_or(&blocked);
    losses.note_if(choice.logprobs.is_some(), Loss::AnswerLogprobs);
    out.begin_object();
    out.field_str("model", &wanted.public_model);
    out.field_str("id", answer_id(&answer.id, &wanted.request_id));
    out.field_str("type", "message");
    out.field_str("role", "assistant");
    out.key("content");
    out.begin_array();
    let mut content = Content::default();
    for part in &choice.parts {
        write_part(part, &wanted.carry, &mut content, out, losses);
    }
    out.end_array();
    ending(choice.finish, &choice.native, choice.stopped_at.as_deref(), content, out);
    out.key("usage");
    let tier = answer.service_tier.as_deref().map(tier);
    usage::write(&answer.usage.unwrap_or_default(), tier, out);
    out.end_object();
}

/// Anthropic's word for how a request was served.
fn tier(word: &str) -> &'static str {
    match word {
        "priority" | "fast" => "priority",
        "batch" => "batch",
        _ => "standard",
    }
}

/// Why it ended, as fields of an answer or of the delta that ends one.
pub(in crate::dialect::anthropic) fn ending(
    finish: Option<Finish>,
    native: &str,
    stopped_at: Option<&str>,
    content: Content,
    out: &mut Writer,
) {
    let word = finish.map(|finish| finish::word(finish, native, content));
    out.key("stop_reason");
    match word.as_deref() {
        Some(word) => out.string(word),
        None => out.null(),
    }
    out.key("stop_sequence");
    match stopped_at {
        Some(met) => out.string(met),
        None => out.null(),
    }
    out.key("stop_details");
    match word.as_deref() {
        Some("refusal") => out.raw(r#"{"type":"refusal","category":null,"explanation":null}"#),
        _ => out.null(),
    }
}

fn write_part(part: &Part<'_>, carry: &Carry, content: &mut Content, out: &mut Writer, losses: &mut Losses) {
    match &part.body {
        PartBody::Text { text, annotations } => {
            losses.note_if(annotations.is_some(), Loss::Annotations);
            write_text(text, out);
        }
        PartBody::Refusal(text) => {
            losses.note(Loss::Refusal);
            content.has_refusal = true;
            write_text(text, out);
        }
        PartBody::Thought(thought) => write_thought(thought, part.signature.as_ref(), carry, out),
        PartBody::ToolCall { id, name, arguments } => {
            content.has_calls = true;
            begin_call(&carried_id(id, part.signature.as_ref(), carry), name, out);
            input(arguments, out);
            out.end_object();
        }
        PartBody::Media(_) => losses.note(Loss::AnswerMedia),
        PartBody::ToolResult { .. } | PartBody::Other { .. } => losses.note(Loss::AnswerPart),
    }
}

/// A text block; none for an empty text, which no provider would take back.
fn write_text(text: &str, out: &mut Writer) {
    if !text.is_empty() {
        out.begin_object();
        out.field_str("type", "text");
        out.field_str("text", text);
        out.end_object();
    }
}

fn write_thought(thought: &Thought<'_>, signature: Option<&Signature<'_>>, carry: &Carry, out: &mut Writer) {
    if thought.is_redacted {
        if signature.is_some() {
            out.begin_object();
            out.field_str("type", "redacted_thinking");
            out.field_str("data", &wrapped(signature, carry));
            out.end_object();
        }
        return;
    }
    if signature.is_none() && thought.text.is_empty() {
        return;
    }
    out.begin_object();
    out.field_str("type", "thinking");
    out.field_str("thinking", &thought.text);
    out.field_str("signature", &wrapped(signature, carry));
    out.end_object();
}

/// Sealed state as it leaves. A thought without any gets a mark all the same: by it we know again that it is nothing that
/// Anthropic would take, and take it out.
pub(in crate::dialect::anthropic) fn wrapped(signature: Option<&Signature<'_>>, carry: &Carry) -> String {
    match signature {
        Some(Signature::Own(value) | Signature::Foreign(value)) => carry.wrap(value),
        None => carry.wrap(""),
    }
}

/// A call's id, with the call's own sealed state in it.
pub(in crate::dialect::anthropic) fn carried_id<'i>(
    id: &'i str,
    signature: Option<&Signature<'_>>,
    carry: &Carry,
) -> Cow<'i, str> {
    match signature {
        Some(Signature::Own(value) | Signature::Foreign(value)) => Cow::Owned(carry.wrap_id(id, value)),
        None => Cow::Borrowed(id),
    }
}

/// A call's block up to the value of its input.
pub(in crate::dialect::anthropic) fn begin_call(id: &str, name: &str, out: &mut Writer) {
    out.begin_object();
    out.field_str("type", "tool_use");
    out.field_str("id", id);
    out.field_str("name", name);
    out.key("input");
}

/// A call's arguments as an object. What is no object (a call that was cut, a model's slip) is kept as text within one,
/// so that nothing is lost and the answer can still be read.
pub(in crate::dialect::anthropic) fn input(arguments: &str, out: &mut Writer) {
    match arguments.trim() {
        "" => out.raw("{}"),
        arguments if is_object(arguments) => out.raw(arguments),
        arguments => {
            out.begin_object();
            out.field_str("raw_arguments", arguments);
            out.end_object();
        }
    }
}

fn is_object(text: &str) -> bool {
    let mut cursor = Cursor::strict(text.as_bytes(), true);
    cursor.kind() == Ok(Kind::Object) && cursor.skip(&mut Nothing).is_ok() && cursor.end().is_ok()
}
