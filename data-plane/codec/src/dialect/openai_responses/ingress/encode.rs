//! Whole answers for clients, and the response object that whole answers and events share: every field that clients expect,
//! said or not.

use std::borrow::Cow;

use bytes::Bytes;

use super::{annotation, echo};
use crate::bridge::AnswerEdits;
use crate::carry::{Carry, MARK};
use crate::dialect::openai_chat;
use crate::dialect::openai_responses::{fault, item, seal, usage};
use crate::fault::FaultBody;
use crate::json::{Tape, Value, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{Answer, Choice, Finish, Media, MediaKind, Part, PartBody, Signature, Source, Thought};
use crate::receipt::Receipt;

/// Longest part of an answer's id that goes into the ids of its items, which may have 64 letters.
const STEM: usize = 40;

/// Everything of a response but what it says.
#[derive(Debug)]
pub(in crate::dialect::openai_responses) struct Shell {
    id: String,
    created: u64,
    model: String,
    /// What is repeated of the request.
    echo: String,
    /// The id's letters that the ids of items are made of.
    stem: String,
}

/// How far a response is, or how it ended.
#[derive(Debug, Clone)]
pub(in crate::dialect::openai_responses) enum Status<'a> {
    InProgress,
    Completed,
    /// With its reason.
    Incomplete(Cow<'a, str>),
    Failed(&'a FaultBody<'a>),
}

impl<'a> Status<'a> {
    /// How an answer that ended so is said. Whatever is no good end has a reason, since clients take an incomplete response
    /// without one for a good one.
    pub fn of(finish: Option<Finish>, native: &'a str, has_refusal: bool) -> Status<'a> {
        let or = |word: &'static str| if native.is_empty() { Cow::Borrowed(word) } else { Cow::Borrowed(native) };
        match finish {
            Some(Finish::Stop | Finish::StopSequence | Finish::ToolCalls) => Status::Completed,
            Some(Finish::Refusal) if has_refusal => Status::Completed,
            Some(Finish::Length) => Status::Incomplete("max_output_tokens".into()),
            Some(Finish::Filter | Finish::Refusal) => Status::Incomplete("content_filter".into()),
            Some(Finish::Pause) => Status::Incomplete(or("pause")),
            Some(Finish::Error) => Status::Incomplete(or("error")),
            Some(Finish::Unknown) | None => Status::Incomplete(or("unknown")),
        }
    }

    /// The word for the response.
    fn word(&self) -> &'static str {
        match self {
            Status::InProgress => "in_progress",
            Status::Completed => "completed",
            Status::Incomplete(_) => "incomplete",
            Status::Failed(_) => "failed",
        }
    }

    pub fn is_incomplete(&self) -> bool {
        matches!(self, Status::Incomplete(_))
    }
}

/// The status of an item.
pub(super) fn item_status(is_cut: bool) -> &'static str {
    if is_cut { "incomplete" } else { "completed" }
}

impl Shell {
    /// For an answer of `id`, made at `created`; the proxy's own where the provider says neither.
    pub fn new(id: &str, created: u64, wanted: &AnswerEdits) -> Shell {
        let id = if id.is_empty() { &*wanted.request_id } else { id };
        let created = if created == 0 { wanted.created } else { created };
        Shell::repeating(&wanted.request, id, created, &wanted.public_model)
    }

    /// One that repeats nothing of a request.
    pub fn bare(id: &str, created: u64, model: &str) -> Shell {
        Shell::repeating(&Bytes::new(), id, created, model)
    }

    fn repeating(request: &Bytes, id: &str, created: u64, model: &str) -> Shell {
        Shell { id: id.to_owned(), created, model: model.to_owned(), echo: echo::render(request), stem: stem(id) }
    }

    /// The same with what the provider says about itself, which comes later than the request.
    pub fn begun(&mut self, id: &str, created: u64) {
        if !id.is_empty() {
            self.id = id.to_owned();
            self.stem = stem(id);
        }
        if created != 0 {
            self.created = created;
        }
    }

    /// The id of the item at this place of the output. A thought's has our mark in it, so that it is known when it comes
    /// back without anything sealed: whoever made it did not make an item of it.
    pub fn item_id(&self, kind: &str, place: u64) -> String {
        let stem = &self.stem;
        match kind {
            item::MESSAGE => format!("msg_{stem}_{place}"),
            item::CALL => format!("fc_{stem}_{place}"),
            item::IMAGE => format!("ig_{stem}_{place}"),
            _ => format!("rs_{MARK}{stem}_{place}"),
        }
    }

    /// A call's id as clients get it: the model's, with its signature inside if it made one; made up where it gave none.
    pub fn call_id<'i>(
        &self,
        id: &'i str,
        place: u64,
        signature: Option<&Signature<'_>>,
        carry: &Carry,
    ) -> Cow<'i, str> {
        let id = if id.is_empty() { Cow::Owned(format!("call_{}_{place}", self.stem)) } else { Cow::Borrowed(id) };
        match signature {
            Some(signature) => Cow::Owned(carry.wrap_id(&id, seal::value(signature))),
            None => id,
        }
    }

    /// The whole response object.
    pub fn write(
        &self,
        out: &mut Writer,
        status: &Status<'_>,
        tier: Option<&str>,
        output: impl FnOnce(&mut Writer),
        usage: Option<&str>,
    ) {
        out.begin_object();
        out.field_str("id", &self.id);
        out.field_str("object", "response");
        out.field_u64("created_at", self.created);
        out.field_str("status", status.word());
        // The codec has no clock.
        out.field_null("completed_at");
        out.key("error");
        match status {
            Status::Failed(error) => fault::write(out, error),
            _ => out.null(),
        }
        out.key("incomplete_details");
        match status {
            Status::Incomplete(reason) => {
                out.begin_object();
                out.field_str("reason", reason);
                out.end_object();
            }
            _ => out.null(),
        }
        out.field_str("model", &self.model);
        out.key("output");
        out.begin_array();
        output(out);
        out.end_array();
        out.field_str("service_tier", tier.and_then(openai_chat::service_tier).unwrap_or("default"));
        out.field_raw("usage", usage.unwrap_or("null"));
        out.raw(&self.echo);
        out.end_object();
    }
}

/// What can stand in an item's id of an answer's: its last letters, which differ more than its first.
fn stem(id: &str) -> String {
    let letters = id.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' });
    let letters: Vec<char> = letters.collect();
    letters.iter().skip(letters.len().saturating_sub(STEM)).collect()
}

/// Usage with its cost as it stands in responses.
pub(super) fn usage_text(tokens: &domain::usage::TokenUsage, receipt: Option<&Receipt>) -> String {
    let mut out = Writer::into(Vec::with_capacity(256));
    usage::write(&mut out, tokens, receipt);
    String::from_utf8(out.into_buffer()).unwrap_or_default()
}

/// A whole answer.
pub(super) fn answer(
    answer: &Answer<'_>,
    receipt: Option<&Receipt>,
    wanted: &AnswerEdits,
    out: &mut Writer,
    losses: &mut Losses,
) {
    let shell = Shell::new(&answer.id, answer.created, wanted);
    losses.note_if(answer.choices.len() > 1, Loss::AnswerChoices);
    // No choice at all: the prompt was refused.
    let nothing = Choice { finish: Some(Finish::Filter), ..Choice::default() };
    let choice = answer.choices.first().unwrap_or(&nothing);
    let has_refusal = choice.parts.iter().any(|part| matches!(part.body, PartBody::Refusal(_)));
    let status = Status::of(choice.finish, &choice.native, has_refusal);
    let usage = answer.usage.as_ref().map(|usage| usage_text(usage, receipt));
    let mut output = Output { shell: &shell, carry: &wanted.carry, place: 0, is_cut: status.is_incomplete() };
    let write = |out: &mut Writer| output.items(choice, out, losses);
    shell.write(out, &status, answer.service_tier.as_deref(), write, usage.as_deref());
}

/// Writes the items of an output.
struct Output<'o> {
    shell: &'o Shell,
    carry: &'o Carry,
    /// Of the next item.
    place: u64,
    /// Whether the last item was cut off.
    is_cut: bool,
}

impl Output<'_> {
    fn items(&mut self, choice: &Choice<'_>, out: &mut Writer, losses: &mut Losses) {
        let mut logprobs = choice.logprobs.as_deref();
        let mut parts = choice.parts.as_slice();
        // How many parts stand behind the last one that becomes an item.
        let behind_last = choice.parts.iter().rev().take_while(|part| !is_item(part)).count();
        while let Some((first, rest)) = parts.split_first() {
            // What follows each other in words is one message.
            let words = parts.iter().take_while(|part| is_words(part)).count();
            if words > 0 {
                let (message, behind) = parts.split_at(words);
                parts = behind;
                self.message(message, &mut logprobs, behind.len() <= behind_last, out, losses);
                continue;
            }
            parts = rest;
            self.item(first, rest.len() <= behind_last, out, losses);
        }
        losses.note_if(logprobs.is_some(), Loss::AnswerLogprobs);
    }

    fn message(
        &mut self,
        parts: &[Part<'_>],
        logprobs: &mut Option<&str>,
        is_last: bool,
        out: &mut Writer,
        losses: &mut Losses,
    ) {
        let id = self.shell.item_id(item::MESSAGE, self.place);
        self.place += 1;
        out.begin_object();
        message_head(out, &id, item_status(is_last && self.is_cut));
        out.key("content");
        out.begin_array();
        for part in parts {
            losses.note_if(part.signature.is_some(), Loss::ReasoningSignature);
            match &part.body {
                PartBody::Refusal(text) => refusal(out, text),
                PartBody::Text { text, annotations } => {
                    let cite = |out: &mut Writer| {
                        let Some(list) = annotations else { return };
                        let is_told = annotation::write_all(out, list, annotation::letters(text));
                        losses.note_if(!is_told, Loss::Annotations);
                    };
                    output_text(out, text, cite, logprobs_list(logprobs.take()).as_deref());
                }
                _ => {}
            }
        }
        out.end_array();
        out.end_object();
    }

    fn item(&mut self, part: &Part<'_>, is_last: bool, out: &mut Writer, losses: &mut Losses) {
        let signature = part.signature.as_ref();
        match &part.body {
            PartBody::Thought(thought) => {
                let id = self.shell.item_id(item::REASONING, self.place);
                let Thought { is_summary, is_redacted, .. } = thought;
                let sealed = signature.map(|signature| seal::close(self.carry, *is_summary, *is_redacted, signature));
                reasoning(out, &id, &thought.text, sealed.as_deref());
            }
            PartBody::ToolCall { id, name, arguments } => {
                let item_id = self.shell.item_id(item::CALL, self.place);
                let call_id = self.shell.call_id(id, self.place, signature, self.carry);
                call(out, &item_id, &call_id, name, self::arguments(arguments), item_status(is_last && self.is_cut));
            }
            PartBody::Media(media) => match picture(media) {
                Some(data) => image(out, &self.shell.item_id(item::IMAGE, self.place), data),
                None => return losses.note(Loss::AnswerMedia),
            },
            _ => return losses.note(Loss::AnswerPart),
        }
        self.place += 1;
    }
}

fn is_words(part: &Part<'_>) -> bool {
    matches!(part.body, PartBody::Text { .. } | PartBody::Refusal(_))
}

/// Whether a part becomes an item.
fn is_item(part: &Part<'_>) -> bool {
    match &part.body {
        PartBody::Media(media) => picture(media).is_some(),
        PartBody::Other { .. } | PartBody::ToolResult { .. } => false,
        _ => true,
    }
}

/// The data of a picture that can stand in an output.
pub(super) fn picture<'m>(media: &'m Media<'_>) -> Option<&'m str> {
    match (&media.source, media.kind) {
        (Source::Inline(data), MediaKind::Image) => Some(data),
        _ => None,
    }
}

/// The list in log probabilities as OpenAI's chat writes them, on one line.
pub(super) fn logprobs_list(object: Option<&str>) -> Option<String> {
    let mut tape = Tape::default();
    let list = tape.read(object?.as_bytes()).ok()?.get("content").filter(Value::is_array)?;
    let mut out = Writer::into(Vec::new());
    out.line(list.raw());
    String::from_utf8(out.into_buffer()).ok()
}

// What items and their parts look like, in whole answers and in events.

pub(super) fn message_head(out: &mut Writer, id: &str, status: &str) {
    out.field_str("id", id);
    out.field_str("type", item::MESSAGE);
    out.field_str("status", status);
    out.field_str("role", "assistant");
}

/// `cite` writes what stands in the list of citations.
pub(super) fn output_text(out: &mut Writer, text: &str, cite: impl FnOnce(&mut Writer), logprobs: Option<&str>) {
    out.begin_object();
    out.field_str("type", "output_text");
    out.field_str("text", text);
    out.key("annotations");
    out.begin_array();
    cite(out);
    out.end_array();
    out.field_raw("logprobs", logprobs.unwrap_or("[]"));
    out.end_object();
}

pub(super) fn refusal(out: &mut Writer, text: &str) {
    out.begin_object();
    out.field_str("type", "refusal");
    out.field_str("refusal", text);
    out.end_object();
}

pub(super) fn reasoning(out: &mut Writer, id: &str, text: &str, sealed: Option<&str>) {
    out.begin_object();
    out.field_str("id", id);
    out.field_str("type", item::REASONING);
    out.key("summary");
    out.begin_array();
    if !text.is_empty() {
        summary_text(out, text);
    }
    out.end_array();
    out.opt_str("encrypted_content", sealed);
    out.end_object();
}

pub(super) fn summary_text(out: &mut Writer, text: &str) {
    out.begin_object();
    out.field_str("type", "summary_text");
    out.field_str("text", text);
    out.end_object();
}

/// A call's arguments: an object with nothing in it where there are none.
pub(super) fn arguments(text: &str) -> &str {
    if text.is_empty() { "{}" } else { text }
}

pub(super) fn call(out: &mut Writer, id: &str, call_id: &str, name: &str, text: &str, status: &str) {
    out.begin_object();
    out.field_str("id", id);
    out.field_str("type", item::CALL);
    out.field_str("status", status);
    out.field_str("arguments", text);
    out.field_str("call_id", call_id);
    out.field_str("name", name);
    out.end_object();
}

pub(super) fn image(out: &mut Writer, id: &str, data: &str) {
    out.begin_object();
    out.field_str("id", id);
    out.field_str("type", item::IMAGE);
    out.field_str("status", "completed");
    out.field_str("result", data);
    out.end_object();
}
