//! Writes a streamed answer, one event at a time. Every piece is a whole chunk as clients' schemas want it: the role comes
//! first, calls are numbered by themselves, reasons and usage come last.

use std::borrow::Cow;

use bytes::Bytes;
use domain::usage::TokenUsage;

use super::annotation::{self, Place};
use super::answer::{is_image, letters, sealed, sound_of, write_audio, write_image};
use super::{is_legacy, reasoning_field};
use crate::bridge::AnswerEdits;
use crate::dialect::EncodeEvents;
use crate::dialect::openai_chat::thoughts::{self, On};
use crate::dialect::openai_chat::{DONE, finish, provider, usage};
use crate::json::{Tape, Writer};
use crate::model::{Event, Finish, Media, Piece, Signature, Start, Thought};
use crate::receipt::Receipt;

/// Room for what most chunks have behind their head.
const USUAL: usize = 192;

/// One stream on its way to a client.
#[derive(Debug)]
pub(super) struct Encoder {
    wanted: AnswerEdits,
    is_legacy: bool,
    /// Every chunk up to its choices.
    head: Vec<u8>,
    choices: Choices,
    usage: Option<(TokenUsage, Receipt)>,
}

/// The choice that was spoken of last, and the others: there is nearly always one.
#[derive(Debug, Default)]
struct Choices {
    current: Choice,
    others: Vec<Choice>,
}

#[derive(Debug, Default)]
struct Choice {
    index: u32,
    has_role: bool,
    has_refusal: bool,
    calls: u64,
    thoughts: u64,
    images: u64,
    letters: u64,
    open: Vec<Open>,
}

/// A part that has begun.
#[derive(Debug)]
struct Open {
    part: u32,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Where it starts in the message, in letters.
    Text(u64),
    Refusal,
    Thought {
        index: u64,
        thought: Thought<'static>,
    },
    Call {
        index: u64,
        has_arguments: bool,
    },
    Other,
}

impl Choices {
    fn at(&mut self, index: u32) -> &mut Choice {
        if self.current.index != index {
            match self.others.iter_mut().find(|choice| choice.index == index) {
                Some(other) => std::mem::swap(&mut self.current, other),
                None => {
                    let new = Choice { index, ..Choice::default() };
                    self.others.push(std::mem::replace(&mut self.current, new));
                }
            }
        }
        &mut self.current
    }
}

impl Choice {
    /// A chunk of this choice; its first one says who speaks.
    fn chunk(&mut self, head: &[u8], out: &mut Vec<u8>, delta: impl FnOnce(&mut Writer)) {
        self.ended(head, out, delta, |out| out.field_null("finish_reason"));
    }

    fn ended(
        &mut self,
        head: &[u8],
        out: &mut Vec<u8>,
        delta: impl FnOnce(&mut Writer),
        end: impl FnOnce(&mut Writer),
    ) {
        out.reserve(head.len() + USUAL);
        let mut writer = Writer::into(std::mem::take(out));
        writer.frame(head);
        writer.begin_object();
        writer.field_u64("index", u64::from(self.index));
        writer.key("delta");
        writer.begin_object();
        if !std::mem::replace(&mut self.has_role, true) {
            writer.field_str("role", "assistant");
        }
        delta(&mut writer);
        writer.end_object();
        end(&mut writer);
        writer.frame(b"}]}\n\n");
        *out = writer.into_buffer();
    }

    fn arguments(&mut self, is_legacy: bool, head: &[u8], number: u64, text: &str, out: &mut Vec<u8>) {
        match is_legacy {
            true if number > 0 => {}
            true => self.chunk(head, out, |out| function(out, "function_call", None, text)),
            false => self.chunk(head, out, |out| {
                call(out, number, |out| function(out, "function", None, text));
            }),
        }
    }
}

impl Encoder {
    pub fn new(wanted: &AnswerEdits) -> Encoder {
        // The request may be megabytes: it is looked at once and not kept.
        let is_legacy = is_legacy(&wanted.request);
        let wanted = AnswerEdits { request: Bytes::new(), ..wanted.clone() };
        Encoder { wanted, is_legacy, head: Vec::new(), choices: Choices::default(), usage: None }
    }

    fn begin(&mut self, id: &str, created: u64) {
        let mut out = Writer::into(Vec::with_capacity(192));
        out.frame(b"data: ");
        out.begin_object();
        out.field_str("id", if id.is_empty() { &self.wanted.request_id } else { id });
        out.field_str("object", "chat.completion.chunk");
        out.field_u64("created", if created == 0 { self.wanted.created } else { created });
        out.field_str("model", &self.wanted.public_model);
        out.opt_str("provider", provider(&self.wanted));
        out.key("choices");
        out.begin_array();
        self.head = out.into_buffer();
    }

    fn start(&mut self, index: u32, part: u32, start: &Start<'_>, out: &mut Vec<u8>) {
        let choice = self.choices.at(index);
        let kind = match start {
            Start::Text => Kind::Text(choice.letters),
            Start::Refusal => {
                choice.has_refusal = true;
                Kind::Refusal
            }
            Start::Thought { id, is_summary, is_redacted } => {
                let id = id.as_ref().map(|id| id.to_string().into());
                let thought = Thought { text: "".into(), is_summary: *is_summary, is_redacted: *is_redacted, id };
                choice.thoughts += 1;
                Kind::Thought { index: choice.thoughts - 1, thought }
            }
            Start::ToolCall { id, name, signature } => {
                let number = choice.calls;
                choice.calls += 1;
                choice.open.push(Open { part, kind: Kind::Call { index: number, has_arguments: false } });
                return self.call(index, number, (id, name, signature.as_ref()), out);
            }
            Start::Media(media) => {
                choice.open.push(Open { part, kind: Kind::Other });
                return self.media(index, media, out);
            }
            Start::Other { .. } => Kind::Other,
        };
        choice.open.push(Open { part, kind });
    }

    fn call(
        &mut self,
        index: u32,
        number: u64,
        (id, name, signature): (&str, &str, Option<&Signature<'_>>),
        out: &mut Vec<u8>,
    ) {
        let choice = self.choices.at(index);
        if self.is_legacy {
            if number == 0 {
                choice.chunk(&self.head, out, |out| function(out, "function_call", Some(name), ""));
            }
            return;
        }
        let wrapped = match signature {
            Some(Signature::Own(value)) => Some(self.wanted.carry.wrap_id(id, value)),
            _ => None,
        };
        choice.chunk(&self.head, out, |out| {
            call(out, number, |out| {
                out.field_str("id", wrapped.as_deref().unwrap_or(id));
                out.field_str("type", "function");
                function(out, "function", Some(name), "");
            });
        });
    }

    fn media(&mut self, index: u32, media: &Media<'_>, out: &mut Vec<u8>) {
        let choice = self.choices.at(index);
        if is_image(media) {
            let number = choice.images;
            choice.images += 1;
            choice.chunk(&self.head, out, |out| list(out, "images", |out| write_image(out, media, number)));
        } else if let Some(data) = sound_of(media) {
            let created = self.wanted.created;
            choice.chunk(&self.head, out, |out| {
                out.key("audio");
                write_audio(out, media, data, created);
            });
        }
    }

    fn piece(&mut self, index: u32, part: u32, piece: &Piece<'_>, out: &mut Vec<u8>) {
        let choice = self.choices.at(index);
        let Some(place) = choice.open.iter().position(|open| open.part == part) else { return };
        let Some(open) = choice.open.get_mut(place) else { return };
        match (&mut open.kind, piece) {
            (Kind::Text(_), Piece::Text(text)) => {
                choice.letters += letters(text);
                choice.chunk(&self.head, out, |out| out.field_str("content", text));
            }
            (Kind::Refusal, Piece::Text(text)) => {
                choice.chunk(&self.head, out, |out| out.field_str("refusal", text));
            }
            (Kind::Call { index: number, has_arguments }, Piece::Arguments(text)) => {
                *has_arguments |= !text.is_empty();
                let number = *number;
                choice.arguments(self.is_legacy, &self.head, number, text, out);
            }
            (Kind::Thought { .. }, Piece::Text(text)) => self.thought(index, place, text, None, out),
            (Kind::Thought { .. }, Piece::Signature(signature)) => {
                self.thought(index, place, "", Some(signature), out);
            }
            (Kind::Text(_), Piece::Signature(signature)) => self.seal(index, signature, out),
            (Kind::Text(start), Piece::Annotation(raw)) => {
                let place = Place { start: *start, end: choice.letters };
                annotation(choice, &self.head, &one_line(raw), place, out);
            }
            (Kind::Text(_) | Kind::Refusal, Piece::Logprobs(raw)) => {
                // They stand beside the delta.
                choice.ended(
                    &self.head,
                    out,
                    |_| {},
                    |out| {
                        out.field_raw("logprobs", &one_line(raw));
                        out.field_null("finish_reason");
                    },
                );
            }
            // A signature that comes after its call's id, and pieces that do not belong to their part.
            _ => {}
        }
    }

    fn thought(&mut self, index: u32, place: usize, text: &str, signature: Option<&Signature<'_>>, out: &mut Vec<u8>) {
        if text.is_empty() && !matches!(signature, Some(Signature::Own(_))) {
            return;
        }
        let choice = self.choices.at(index);
        // Out of the list while the choice writes it.
        let open = choice.open.get_mut(place).map(|open| std::mem::replace(&mut open.kind, Kind::Other));
        if let Some(Kind::Thought { index: number, thought }) = &open {
            let (field, sealed) = (reasoning_field(self.wanted.surface), sealed(&self.wanted, signature));
            choice.chunk(&self.head, out, |out| {
                if !text.is_empty() {
                    out.field_str(field, text);
                }
                list(out, "reasoning_details", |out| thoughts::write(out, thought, text, sealed, *number));
            });
        }
        if let (Some(kind), Some(back)) = (open, choice.open.get_mut(place)) {
            back.kind = kind;
        }
    }

    /// The seal of a text has its own entry among the details.
    fn seal(&mut self, index: u32, signature: &Signature<'_>, out: &mut Vec<u8>) {
        let Signature::Own(value) = signature else { return };
        let choice = self.choices.at(index);
        let number = choice.thoughts;
        choice.thoughts += 1;
        choice.chunk(&self.head, out, |out| {
            list(out, "reasoning_details", |out| {
                thoughts::write_seal(out, &self.wanted.carry, value, On::Text, number)
            });
        });
    }

    fn end(&mut self, index: u32, part: u32, out: &mut Vec<u8>) {
        let choice = self.choices.at(index);
        let Some(place) = choice.open.iter().position(|open| open.part == part) else { return };
        // Many clients read the arguments as JSON at once, so none are an empty object.
        if let Kind::Call { index: number, has_arguments: false } = choice.open.swap_remove(place).kind {
            choice.arguments(self.is_legacy, &self.head, number, "{}", out);
        }
    }

    fn finish_choice(
        &mut self,
        index: u32,
        why: Finish,
        (native, stopped_at): (&str, Option<&str>),
        out: &mut Vec<u8>,
    ) {
        let choice = self.choices.at(index);
        let word = finish::word(why, native, choice.has_refusal, self.is_legacy);
        choice.ended(
            &self.head,
            out,
            |_| {},
            |out| {
                out.field_str("finish_reason", word);
                out.opt_str("native_finish_reason", Some(native).filter(|native| !native.is_empty()));
                out.opt_str("stop_reason", stopped_at);
            },
        );
    }
}

/// JSON as a line of an event: a provider may have written it over several.
fn one_line(raw: &str) -> Cow<'_, str> {
    match raw.contains(['\n', '\r']) {
        false => Cow::Borrowed(raw),
        // Within texts they are escaped, so these stand between values.
        true => Cow::Owned(raw.replace(['\n', '\r'], " ")),
    }
}

fn list(out: &mut Writer, name: &str, inside: impl FnOnce(&mut Writer)) {
    out.key(name);
    out.begin_array();
    inside(out);
    out.end_array();
}

fn call(out: &mut Writer, number: u64, inside: impl FnOnce(&mut Writer)) {
    list(out, "tool_calls", |out| {
        out.begin_object();
        out.field_u64("index", number);
        inside(out);
        out.end_object();
    });
}

fn function(out: &mut Writer, field: &str, name: Option<&str>, arguments: &str) {
    out.key(field);
    out.begin_object();
    out.opt_str("name", name);
    out.field_str("arguments", arguments);
    out.end_object();
}

fn annotation(choice: &mut Choice, head: &[u8], raw: &str, place: Place, out: &mut Vec<u8>) {
    let mut all = Writer::into(Vec::new());
    let mut tape = Tape::default();
    if tape.read(raw.as_bytes()).is_ok_and(|citation| annotation::write(&mut all, citation, place)) {
        let all = all.into_buffer();
        let all = std::str::from_utf8(&all).unwrap_or_default();
        choice.chunk(head, out, |out| list(out, "annotations", |out| out.raw(all)));
    }
}

impl EncodeEvents for Encoder {
    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Begin { id, created } => self.begin(id, *created),
            Event::Start { choice, part, start } => self.start(*choice, *part, start, out),
            Event::Piece { choice, part, piece } => self.piece(*choice, *part, piece, out),
            Event::End { choice, part } => self.end(*choice, *part, out),
            Event::Finish { choice, finish, native, stopped_at } => {
                self.finish_choice(*choice, *finish, (native, stopped_at.as_deref()), out);
            }
            Event::Usage { .. } => {}
        }
    }

    fn usage(&mut self, usage: &TokenUsage, receipt: &Receipt) {
        self.usage = Some((*usage, *receipt));
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if let (true, Some((tokens, receipt))) = (self.wanted.wants_usage, &self.usage) {
            let mut writer = Writer::into(std::mem::take(out));
            writer.frame(&self.head);
            writer.end_array();
            writer.key("usage");
            usage::write(&mut writer, tokens, receipt);
            writer.frame(b"}\n\n");
            *out = writer.into_buffer();
        }
        out.extend_from_slice(DONE);
    }
}
