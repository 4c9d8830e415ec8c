//! A whole answer as Google's clients read it.

use super::asks_for_thoughts;
use crate::Carry;
use crate::bridge::AnswerEdits;
use crate::dialect::gemini::{arguments, finish, logprobs, usage};
use crate::json::Writer;
use crate::loss::{Loss, Losses};
use crate::model::{Answer, Choice, Media, Part, PartBody, Signature, Source};

pub(in crate::dialect::gemini) fn encode(
    answer: &Answer<'_>,
    wanted: &AnswerEdits,
    out: &mut Writer,
    losses: &mut Losses,
) {
    let mut pen = Pen { carry: &wanted.carry, shows_thoughts: asks_for_thoughts(&wanted.request), losses };
    out.begin_object();
    out.key("candidates");
    out.begin_array();
    for choice in &answer.choices {
        pen.candidate(choice, out);
    }
    out.end_array();
    if let Some(tokens) = &answer.usage {
        out.key("usageMetadata");
        usage::write(tokens, out);
    }
    out.field_str("modelVersion", &wanted.public_model);
    out.field_str("responseId", if answer.id.is_empty() { &wanted.request_id } else { &answer.id });
    out.end_object();
}

struct Pen<'p> {
    carry: &'p Carry,
    shows_thoughts: bool,
    losses: &'p mut Losses,
}

impl Pen<'_> {
    fn candidate(&mut self, choice: &Choice<'_>, out: &mut Writer) {
        out.begin_object();
        out.key("content");
        out.begin_object();
        let parts: Vec<&Part<'_>> = choice.parts.iter().filter(|part| self.has_place(part)).collect();
        if !parts.is_empty() {
            out.key("parts");
            out.begin_array();
            parts.into_iter().for_each(|part| self.part(part, out));
            out.end_array();
        }
        out.field_str("role", "model");
        out.end_object();
        if let Some(reason) = choice.finish {
            let (word, message) = finish::write(reason, &choice.native);
            out.field_str("finishReason", word);
            out.opt_str("finishMessage", message);
        }
        out.field_u64("index", u64::from(choice.index));
        if let Some(said) = &choice.logprobs {
            logprobs::write(said, out);
        }
        out.end_object();
    }

    fn has_place(&mut self, part: &Part<'_>) -> bool {
        match &part.body {
            PartBody::Text { text, annotations } => {
                self.losses.note_if(annotations.is_some(), Loss::Annotations);
                !text.is_empty() || part.signature.is_some()
            }
            PartBody::Refusal(text) => {
                self.losses.note_if(!text.is_empty(), Loss::Refusal);
                !text.is_empty()
            }
            PartBody::Media(media) => {
                let is_kept = matches!(media.source, Source::FileId(_));
                self.losses.note_if(is_kept, Loss::AnswerMedia);
                !is_kept
            }
            PartBody::Thought(_) => self.shows_thoughts,
            PartBody::ToolCall { .. } => true,
            PartBody::ToolResult { .. } | PartBody::Other { .. } => {
                self.losses.note(Loss::AnswerPart);
                false
            }
        }
    }

    fn part(&self, part: &Part<'_>, out: &mut Writer) {
        let signature = part.signature.as_ref().map(|signature| sealed(signature, self.carry));
        let signature = signature.as_deref();
        match &part.body {
            PartBody::Text { text, .. } | PartBody::Refusal(text) => self::text(Some(text), false, signature, out),
            PartBody::Thought(thought) => {
                self::text(
                    Some(&thought.text).filter(|_| !thought.is_redacted).map(AsRef::as_ref),
                    true,
                    signature,
                    out,
                );
            }
            PartBody::ToolCall { id, name, arguments } => call(id, name, arguments, signature, out),
            PartBody::Media(media) => self::media(media, out),
            PartBody::ToolResult { .. } | PartBody::Other { .. } => {}
        }
    }
}

/// A signature as it leaves.
pub(super) fn sealed(signature: &Signature<'_>, carry: &Carry) -> String {
    let (Signature::Own(text) | Signature::Foreign(text)) = signature;
    carry.wrap_base64(text)
}

/// A part of text. One without a text is sealed reasoning of which nothing is shown.
pub(super) fn text(text: Option<&str>, is_thought: bool, signature: Option<&str>, out: &mut Writer) {
    out.begin_object();
    out.opt_str("text", text);
    if is_thought {
        out.field_bool("thought", true);
    }
    out.opt_str("thoughtSignature", signature);
    out.end_object();
}

pub(super) fn call(id: &str, name: &str, arguments: &str, signature: Option<&str>, out: &mut Writer) {
    out.begin_object();
    out.key("functionCall");
    out.begin_object();
    out.opt_str("id", Some(id).filter(|id| !id.is_empty()));
    out.field_str("name", name);
    out.key("args");
    arguments::write(arguments, out);
    out.end_object();
    out.opt_str("thoughtSignature", signature);
    out.end_object();
}

/// Files that another provider keeps have no place; the caller has left them out.
pub(super) fn media(media: &Media<'_>, out: &mut Writer) {
    let mime = media.mime.as_deref();
    out.begin_object();
    match &media.source {
        Source::Inline(data) => {
            out.key("inlineData");
            out.begin_object();
            out.field_str("mimeType", mime.unwrap_or("application/octet-stream"));
            out.field_str("data", data);
            out.end_object();
        }
        Source::Url(url) | Source::FileId(url) => {
            out.key("fileData");
            out.begin_object();
            out.opt_str("mimeType", mime);
            out.field_str("fileUri", url);
            out.end_object();
        }
        Source::Text(text) => out.field_str("text", text),
    }
    out.end_object();
}
