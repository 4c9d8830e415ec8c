//! The conversation for providers: turns become items, in order. Sealed thoughts stand directly before what they preceded,
//! which is where the API wants them.

use crate::dialect::openai_responses::{item, seal};
use crate::error::BodyFault;
use crate::json::{Tape, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{Format, Media, MediaKind, Part, PartBody, Request, Role, Source, Turn};
use crate::refusal;

/// Writes `instructions` and `input`.
pub(super) fn write(
    request: &Request<'_>,
    is_own: bool,
    out: &mut Writer,
    losses: &mut Losses,
) -> Result<(), BodyFault> {
    // JSON is only given to who asks for it in words, and only words of the input count.
    let wants_json = !is_own && matches!(request.params.format, Some(Format::Json));
    let turns = match instructions(&request.turns).filter(|_| !wants_json) {
        Some((text, rest)) => {
            out.field_str("instructions", text);
            rest
        }
        None => request.turns.as_slice(),
    };
    out.key("input");
    out.begin_array();
    let has_file_ids = request.from.starts_with("openai-");
    let mut items = Items { out, losses, is_own, has_file_ids, message: None, thoughts: Vec::new(), count: 0 };
    if wants_json && !request.mentions_json() {
        items.in_message(Role::System);
        text_part(Role::System, "Answer in JSON.", None, items.out);
        items.end_message();
        items.count = 0;
    }
    for turn in turns {
        items.turn(turn)?;
    }
    items.forget_thoughts();
    items.end_message();
    let is_empty = items.count == 0;
    out.end_array();
    match is_empty && !is_own {
        true => Err(refusal::nothing_said(request)),
        false => Ok(()),
    }
}

/// System text that stands first and is one text, with the turns behind it; there must be some.
fn instructions<'r, 'a>(turns: &'r [Turn<'a>]) -> Option<(&'r str, &'r [Turn<'a>])> {
    let (first, rest) = turns.split_first()?;
    let [Part { body: PartBody::Text { text, .. }, cache: None, signature: None }] = first.parts.as_slice() else {
        return None;
    };
    let is_alone = first.role == Role::System && first.name.is_none() && !rest.is_empty();
    is_alone.then_some((&**text, rest))
}

struct Items<'w> {
    out: &'w mut Writer,
    losses: &'w mut Losses,
    is_own: bool,
    /// Whether the client's ids of files mean something to these providers.
    has_file_ids: bool,
    /// Whose message is open.
    message: Option<Role>,
    /// Sealed thoughts that wait for what follows them: without it, they are refused.
    thoughts: Vec<String>,
    /// How much was said: messages, calls and results of the client's.
    count: usize,
}

impl Items<'_> {
    fn turn(&mut self, turn: &Turn<'_>) -> Result<(), BodyFault> {
        self.losses.note_if(turn.name.is_some(), Loss::SpeakerName);
        if turn.role != Role::Assistant {
            self.forget_thoughts();
        }
        for part in &turn.parts {
            self.losses.note_if(part.cache.is_some(), Loss::CacheMark);
            self.part(turn.role, part, turn.parts.len() == 1)?;
        }
        // Each turn is a message of its own, even where its neighbour has the same role.
        self.end_message();
        Ok(())
    }

    fn part(&mut self, role: Role, part: &Part<'_>, is_alone: bool) -> Result<(), BodyFault> {
        let is_thought = matches!(part.body, PartBody::Thought(_));
        self.losses.note_if(part.signature.is_some() && !is_thought, Loss::ReasoningSignature);
        match &part.body {
            PartBody::Text { text, .. } if text.is_empty() && role == Role::Assistant => {
                // An empty text beside others is how some dialects say that there is no text.
                self.losses.note_if(is_alone, Loss::EmptyPart);
            }
            PartBody::Text { text, annotations } => {
                let annotations = annotations.as_deref().filter(|_| role == Role::Assistant);
                self.losses.note_if(annotations.is_some() && !self.is_own, Loss::Annotations);
                self.in_message(role);
                text_part(role, text, annotations.filter(|_| self.is_own), self.out);
            }
            PartBody::Refusal(text) if role == Role::Assistant => {
                self.in_message(role);
                self.out.begin_object();
                self.out.field_str("type", "refusal");
                self.out.field_str("refusal", text);
                self.out.end_object();
            }
            PartBody::Refusal(text) => {
                self.in_message(role);
                text_part(role, text, None, self.out);
            }
            PartBody::Media(media) if role == Role::Assistant => {
                return Err(cannot(media, "what the model said itself"));
            }
            PartBody::Media(media) => {
                self.in_message(role);
                self.media(media, "a message")?;
            }
            PartBody::ToolCall { id, name, arguments } => {
                self.in_item();
                self.call(id, name, arguments);
            }
            PartBody::ToolResult { id, content, is_error, .. } => {
                self.in_item();
                self.result(id, content, *is_error)?;
            }
            PartBody::Thought(_) => self.thought(part),
            PartBody::Other { raw } if self.is_own => self.other(role, raw),
            PartBody::Other { .. } => self.losses.note(Loss::Part),
        }
        Ok(())
    }

    /// Goes into a message of this role.
    fn in_message(&mut self, role: Role) {
        if self.message == Some(role) {
            return;
        }
        self.in_item();
        self.message = Some(role);
        self.out.begin_object();
        self.out.field_str("type", item::MESSAGE);
        self.out.field_str("role", role_word(role));
        self.out.key("content");
        self.out.begin_array();
    }

    /// Goes to where the next item begins.
    fn in_item(&mut self) {
        self.end_message();
        self.count += 1;
        for sealed in self.thoughts.drain(..) {
            self.out.begin_object();
            self.out.field_str("type", item::REASONING);
            let (id, sealed) = seal::id_and_state(&sealed);
            // Another id than the state's own is refused, none is not.
            self.out.opt_str("id", id);
            self.out.field_raw("summary", "[]");
            self.out.field_str("encrypted_content", sealed);
            self.out.end_object();
        }
    }

    fn end_message(&mut self) {
        if self.message.take().is_some() {
            self.out.end_array();
            self.out.end_object();
        }
    }

    /// Thoughts that nothing followed have no place.
    fn forget_thoughts(&mut self) {
        self.losses.note_if(!self.thoughts.is_empty(), Loss::Reasoning);
        self.thoughts.clear();
    }

    fn thought(&mut self, part: &Part<'_>) {
        self.end_message();
        let Some(signature) = &part.signature else { return self.losses.note(Loss::Reasoning) };
        match seal::sendable(signature, self.is_own) {
            Some(sealed) => self.thoughts.push(sealed.to_owned()),
            None => self.losses.note(Loss::ReasoningSignature),
        }
    }

    fn call(&mut self, id: &str, name: &str, arguments: &str) {
        self.out.begin_object();
        self.out.field_str("type", item::CALL);
        self.out.field_str("call_id", id);
        self.out.field_str("name", name);
        self.out.field_str("arguments", if arguments.is_empty() { "{}" } else { arguments });
        self.out.end_object();
    }

    /// One text stays a text; several, or anything else, are a list.
    fn result(&mut self, id: &str, content: &[Part<'_>], is_error: bool) -> Result<(), BodyFault> {
        self.losses.note_if(is_error, Loss::ToolError);
        self.out.begin_object();
        self.out.field_str("type", item::RESULT);
        self.out.field_str("call_id", id);
        self.out.key("output");
        match content {
            [] => self.out.string(if is_error { FAILED } else { "" }),
            [Part { body: PartBody::Text { text, .. }, .. }] => {
                self.out.begin_string();
                self.out.text(if is_error { FAILED } else { "" });
                self.out.text(text);
                self.out.end_string();
            }
            parts => {
                self.out.begin_array();
                if is_error {
                    text_part(Role::User, FAILED.trim_end(), None, self.out);
                }
                for part in parts {
                    self.result_part(part)?;
                }
                self.out.end_array();
            }
        }
        self.out.end_object();
        Ok(())
    }

    fn result_part(&mut self, part: &Part<'_>) -> Result<(), BodyFault> {
        self.losses.note_if(part.cache.is_some(), Loss::CacheMark);
        match &part.body {
            PartBody::Text { text, .. } | PartBody::Refusal(text) => text_part(Role::User, text, None, self.out),
            PartBody::Media(media) => self.media(media, "a tool's result")?,
            PartBody::Other { raw } if self.is_own => self.out.raw(raw),
            _ => self.losses.note(Loss::Part),
        }
        Ok(())
    }

    /// What a client of this dialect wrote: an item, or a part of a message.
    fn other(&mut self, role: Role, raw: &str) {
        match is_message_part(raw) {
            true => self.in_message(role),
            false => self.in_item(),
        }
        self.out.raw(raw);
    }

    fn media(&mut self, media: &Media<'_>, place: &str) -> Result<(), BodyFault> {
        if matches!(media.source, Source::FileId(_)) && !self.has_file_ids {
            return Err(refusal::media(media, "it is a file that another provider holds; send its data"));
        }
        let has_name = media.kind == MediaKind::File && matches!(media.source, Source::Inline(_));
        self.losses.note_if(media.name.is_some() && !has_name, Loss::FileName);
        match (media.kind, &media.source) {
            (_, Source::Text(text)) => text_part(Role::User, text, None, self.out),
            (MediaKind::Image, source) => image(media, source, self.out),
            (MediaKind::File, source) => file(media, source, self.out),
            // The API hears nothing. A client of its own that writes this form may know of a provider that does.
            (MediaKind::Audio, Source::Inline(data)) if self.is_own => audio(media, data, self.out),
            _ => return Err(cannot(media, place)),
        }
        Ok(())
    }
}

/// Says before a tool's result that it is an error, since there is no other way to say it.
const FAILED: &str = "Error: ";

fn cannot(media: &Media<'_>, place: &str) -> BodyFault {
    let why = format!("{} cannot stand so in {place} for a provider of the Responses API", media.kind.word());
    refusal::media(media, &why)
}

/// Parts of messages have telling names; everything else that is unknown is an item.
fn is_message_part(raw: &str) -> bool {
    let mut tape = Tape::default();
    let kind = tape.read(raw.as_bytes()).ok().and_then(|value| value.str("type"));
    kind.is_some_and(|kind| kind.starts_with("input_") || kind.starts_with("output_") || kind == "computer_screenshot")
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn text_part(role: Role, text: &str, annotations: Option<&str>, out: &mut Writer) {
    out.begin_object();
    out.field_str("type", if role == Role::Assistant { "output_text" } else { "input_text" });
    out.field_str("text", text);
    out.opt_raw("annotations", annotations);
    out.end_object();
}

fn image(media: &Media<'_>, source: &Source<'_>, out: &mut Writer) {
    out.begin_object();
    out.field_str("type", "input_image");
    match source {
        Source::Url(url) => out.field_str("image_url", url),
        Source::FileId(id) => out.field_str("file_id", id),
        Source::Inline(data) | Source::Text(data) => {
            let mime = media.mime.as_deref().unwrap_or_else(|| told_by(data));
            data_url("image_url", mime, data, out);
        }
    }
    out.opt_str("detail", media.detail.as_deref());
    out.end_object();
}

/// What the first letters of a picture in base64 tell.
fn told_by(data: &str) -> &'static str {
    const STARTS: [(&str, &str); 4] =
        [("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp"), ("iVBOR", "image/png")];
    STARTS.iter().find(|(start, _)| data.starts_with(start)).map_or("image/png", |(_, mime)| mime)
}

fn file(media: &Media<'_>, source: &Source<'_>, out: &mut Writer) {
    out.begin_object();
    out.field_str("type", "input_file");
    match source {
        Source::Url(url) => out.field_str("file_url", url),
        Source::FileId(id) => out.field_str("file_id", id),
        Source::Inline(data) | Source::Text(data) => {
            let mime = media.mime.as_deref().unwrap_or("application/pdf");
            data_url("file_data", mime, data, out);
            // Data without a name is refused.
            let name = if mime == "application/pdf" { "file.pdf" } else { "file" };
            out.field_str("filename", media.name.as_deref().unwrap_or(name));
        }
    }
    out.opt_str("detail", media.detail.as_deref());
    out.end_object();
}

fn audio(media: &Media<'_>, data: &str, out: &mut Writer) {
    let format = media.mime.as_deref().and_then(|mime| mime.split_once('/')).map_or("wav", |(_, format)| format);
    let format = match format {
        "mpeg" => "mp3",
        "x-wav" | "wave" => "wav",
        other => other,
    };
    out.begin_object();
    out.field_str("type", "input_audio");
    out.key("input_audio");
    out.begin_object();
    out.field_str("data", data);
    out.field_str("format", format);
    out.end_object();
    out.end_object();
}

fn data_url(name: &str, mime: &str, data: &str, out: &mut Writer) {
    out.key(name);
    out.begin_string();
    out.text("data:");
    out.text(mime);
    out.text(";base64,");
    out.text(data);
    out.end_string();
}
