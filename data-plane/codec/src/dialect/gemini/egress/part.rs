//! The parts of a content, one by one.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::MADE_ID;
use super::ask::Ask;
use crate::carry;
use crate::dialect::gemini::{arguments, mime};
use crate::error::BodyFault;
use crate::json::Writer;
use crate::loss::{Loss, Losses};
use crate::model::{Media, Part, PartBody, Request, Signature, Source};
use crate::refusal;

/// What Google documents for calls whose signature nobody has: made by another model, or lost by the client.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";
/// How everything that we carry begins, in base64.
const MARK_BASE64: &str = "dGdzdDFf";
/// Pictures that may stand inside the response of a function.
const RESPONSE_MEDIA: [&str; 3] = ["image/png", "image/jpeg", "image/webp"];

/// Writes parts and remembers what the next ones need.
pub(super) struct Pen<'p, 'r, 'a> {
    ask: &'p Ask<'r, 'a>,
    pub losses: &'p mut Losses,
    /// Whether the next call needs a stand-in for its signature.
    wants_stand_in: bool,
    /// The function that was called under an id, the last one if there are several.
    called: HashMap<&'r str, &'r str>,
}

impl<'p, 'r, 'a> Pen<'p, 'r, 'a> {
    pub fn new(ask: &'p Ask<'r, 'a>, losses: &'p mut Losses) -> Self {
        let request: &'r Request<'a> = ask.request;
        let calls = request.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match &part.body {
            PartBody::ToolCall { id, name, .. } => Some((&**id, &**name)),
            _ => None,
        });
        Pen { ask, losses, wants_stand_in: false, called: calls.collect() }
    }

    /// Whether a part is written at all; notes what is lost where it is not.
    pub fn has_place(&mut self, part: &Part<'_>) -> bool {
        self.losses.note_if(part.cache.is_some(), Loss::CacheMark);
        let signature = self.usable(part).is_some();
        match &part.body {
            PartBody::Text { text, annotations } => {
                self.losses.note_if(annotations.is_some(), Loss::Annotations);
                let says = !text.is_empty() || signature;
                self.losses.note_if(!says, Loss::EmptyPart);
                says
            }
            PartBody::Refusal(text) => {
                self.losses.note_if(!text.is_empty(), Loss::Refusal);
                !text.is_empty()
            }
            // Thoughts of others are not the model's own, and Google has no other place for them.
            PartBody::Thought(thought) => {
                let is_taken = signature || (self.ask.is_own && !thought.is_redacted && part.signature.is_none());
                self.losses.note_if(!is_taken, Loss::Reasoning);
                is_taken
            }
            PartBody::Other { .. } => {
                self.losses.note_if(!self.ask.is_own, Loss::Part);
                self.ask.is_own
            }
            PartBody::Media(_) | PartBody::ToolCall { .. } | PartBody::ToolResult { .. } => true,
        }
    }

    /// The signature that may be sent: the endpoint's own, or what a client of this dialect brought that is not ours.
    fn usable<'s>(&mut self, part: &'s Part<'_>) -> Option<&'s str> {
        match part.signature.as_ref()? {
            Signature::Own(text) => Some(text),
            Signature::Foreign(text) => {
                let is_carried = text.starts_with(carry::MARK) || text.starts_with(MARK_BASE64);
                let is_usable = self.ask.is_own && !is_carried && !text.is_empty();
                self.losses.note_if(!is_usable, Loss::ReasoningSignature);
                is_usable.then_some(text)
            }
        }
    }

    /// A content with these parts follows.
    pub fn begin(&mut self, parts: &[&Part<'_>]) {
        let is_signed = |part: &&Part<'_>| {
            matches!(part.body, PartBody::ToolCall { .. }) && matches!(&part.signature, Some(Signature::Own(_)))
        };
        self.wants_stand_in = self.ask.model.wants_signatures() && !parts.iter().any(is_signed);
    }

    pub fn part(&mut self, part: &Part<'_>, out: &mut Writer) -> Result<(), BodyFault> {
        let signature = self.usable(part);
        match &part.body {
            PartBody::Text { text, .. } => self::text(text, false, signature, out),
            PartBody::Refusal(text) => self::text(text, false, None, out),
            // A seal alone stood on an empty text.
            PartBody::Thought(thought) => self::text(&thought.text, !thought.is_redacted, signature, out),
            PartBody::ToolCall { id, name, arguments } => {
                let stand_in = std::mem::take(&mut self.wants_stand_in).then_some(NO_SIGNATURE);
                self.call(id, name, arguments, signature.or(stand_in), out);
            }
            PartBody::Media(media) => self.media(media, out)?,
            PartBody::Other { raw } => out.raw(raw),
            // Results have a content of their own.
            PartBody::ToolResult { .. } => {}
        }
        Ok(())
    }

    /// Ids that we made up, and all at Vertex, are not sent.
    fn id<'s>(&self, id: &'s str) -> Option<&'s str> {
        Some(id).filter(|id| !self.ask.is_vertex && !id.is_empty() && !id.starts_with(MADE_ID))
    }

    fn call(&self, id: &str, name: &str, given: &str, signature: Option<&str>, out: &mut Writer) {
        out.begin_object();
        out.key("functionCall");
        out.begin_object();
        out.opt_str("id", self.id(id));
        out.field_str("name", name);
        out.key("args");
        arguments::write(given, out);
        out.end_object();
        out.opt_str("thoughtSignature", signature);
        out.end_object();
    }

    /// The result of a function. Its name is that of the call with its id.
    pub fn result(&mut self, part: &Part<'_>, out: &mut Writer) -> Result<(), BodyFault> {
        let PartBody::ToolResult { id, name, content, is_error } = &part.body else { return Ok(()) };
        let name = name.as_deref().or_else(|| self.called.get(&**id).copied()).unwrap_or("unknown_function");
        out.begin_object();
        out.key("functionResponse");
        out.begin_object();
        out.opt_str("id", self.id(id));
        out.field_str("name", name);
        out.key("response");
        response(content, *is_error, out);
        let inside: Vec<&Media<'_>> = content.iter().filter_map(|part| self.inside(part)).collect();
        if !inside.is_empty() {
            out.key("parts");
            out.begin_array();
            inside.into_iter().try_for_each(|media| self.media(media, out))?;
            out.end_array();
        }
        out.end_object();
        out.end_object();
        Ok(())
    }

    /// What of a result stands beside it: media that may not be inside.
    pub fn beside(&mut self, part: &Part<'_>, out: &mut Writer) -> Result<(), BodyFault> {
        let PartBody::ToolResult { content, .. } = &part.body else { return Ok(()) };
        for part in content {
            self.losses.note_if(part.cache.is_some(), Loss::CacheMark);
            match &part.body {
                PartBody::Media(media) if self.inside(part).is_none() => {
                    self.losses.note(Loss::ToolMedia);
                    self.media(media, out)?;
                }
                PartBody::Text { .. } | PartBody::Refusal(_) | PartBody::Media(_) => {}
                _ => self.losses.note(Loss::Part),
            }
        }
        Ok(())
    }

    fn inside<'m, 'b>(&self, part: &'m Part<'b>) -> Option<&'m Media<'b>> {
        let PartBody::Media(media) = &part.body else { return None };
        let is_picture = media.mime.as_deref().is_some_and(|mime| RESPONSE_MEDIA.contains(&mime));
        let is_inline = matches!(media.source, Source::Inline(_));
        (self.ask.model.takes_response_parts() && is_picture && is_inline).then_some(media)
    }

    fn media(&mut self, media: &Media<'_>, out: &mut Writer) -> Result<(), BodyFault> {
        let detail = media.detail.as_deref();
        self.losses.note_if(detail.is_some_and(|detail| detail != "auto"), Loss::ImageDetail);
        self.losses.note_if(media.name.is_some(), Loss::FileName);
        let known = media.mime.as_deref().or_else(|| media.name.as_deref().and_then(mime::of_name));
        out.begin_object();
        match &media.source {
            Source::Inline(data) => blob(needed(known, media)?, data, out),
            Source::Text(text) => blob(known.unwrap_or("text/plain"), &STANDARD.encode(text.as_bytes()), out),
            Source::Url(url) => self.file(known.or_else(|| mime::of_name(url)), url, media, out)?,
            Source::FileId(uri) if self.ask.is_own => self.file(known, uri, media, out)?,
            Source::FileId(_) => {
                return Err(refusal::media(media, "it is a file that lies with another provider"));
            }
        }
        out.end_object();
        Ok(())
    }

    fn file(&self, mime: Option<&str>, uri: &str, media: &Media<'_>, out: &mut Writer) -> Result<(), BodyFault> {
        let mime = match self.ask.is_vertex {
            true => Some(needed(mime, media)?),
            false => mime,
        };
        out.key("fileData");
        out.begin_object();
        out.opt_str("mimeType", mime);
        out.field_str("fileUri", uri);
        out.end_object();
        Ok(())
    }
}

fn needed<'m>(mime: Option<&'m str>, media: &Media<'_>) -> Result<&'m str, BodyFault> {
    mime.ok_or_else(|| {
        refusal::media(media, &format!("the endpoint wants the media type of every {}", media.kind.word()))
    })
}

fn blob(mime: &str, data: &str, out: &mut Writer) {
    out.key("inlineData");
    out.begin_object();
    // A word of many clients that nobody registered.
    out.field_str("mimeType", if mime == "image/jpg" { "image/jpeg" } else { mime });
    out.field_str("data", data);
    out.end_object();
}

fn text(text: &str, is_thought: bool, signature: Option<&str>, out: &mut Writer) {
    out.begin_object();
    out.field_str("text", text);
    if is_thought {
        out.field_bool("thought", true);
    }
    out.opt_str("thoughtSignature", signature);
    out.end_object();
}

/// The object that a response must be: the function's own, or its text under Google's name for it.
fn response(content: &[Part<'_>], is_error: bool, out: &mut Writer) {
    let mut texts = content.iter().filter_map(|part| match &part.body {
        PartBody::Text { text, .. } | PartBody::Refusal(text) => Some(text.as_ref()),
        _ => None,
    });
    let first = texts.next().unwrap_or_default();
    let all = texts.fold(Cow::Borrowed(first), |mut all, text| {
        all.to_mut().push('\n');
        all.to_mut().push_str(text);
        all
    });
    match (is_error, all.is_empty()) {
        (true, _) => failed(&all, out),
        (false, true) => {
            out.begin_object();
            out.field_str("output", "");
            out.end_object();
        }
        (false, false) => arguments::write_object(&all, "output", out),
    }
}

/// That a function failed is said by the name alone.
fn failed(text: &str, out: &mut Writer) {
    let mut tape = crate::json::Tape::default();
    let value = tape.read(text.as_bytes()).ok().filter(|value| value.is_object() || value.is_array());
    match value {
        Some(value) if value.get("error").is_some() => out.raw(text),
        Some(value) => {
            out.begin_object();
            out.field_raw("error", value.raw());
            out.end_object();
        }
        None => {
            out.begin_object();
            out.field_str("error", text);
            out.end_object();
        }
    }
}
