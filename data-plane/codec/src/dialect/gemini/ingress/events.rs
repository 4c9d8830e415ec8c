//! A streamed answer as Google's clients read it: a piece for each piece, calls whole, and one last piece with the
//! reasons and the usage. Google knows no piece that only says how things are, so the last one waits for the end.

use std::borrow::Cow;

use domain::usage::TokenUsage;

use super::asks_for_thoughts;
use super::whole::{call, media, sealed, text};
use crate::Carry;
use crate::bridge::AnswerEdits;
use crate::dialect::gemini::{finish, logprobs, usage};
use crate::dialect::{EncodeEvents, Framing};
use crate::json::Writer;
use crate::model::{Event, Finish, Piece, Source, Start};
use crate::receipt::Receipt;

/// Most bytes of calls' arguments that are held, since a call is written whole: more than any model writes. A call that was
/// cut off here is no object, and goes out as the text that it is.
const HELD_MOST: usize = 8 * 1024 * 1024;

#[derive(Debug)]
pub(in crate::dialect::gemini) struct Events {
    framing: Framing,
    has_begun: bool,
    public_model: String,
    /// Ours until the provider's is known.
    id: String,
    carry: Carry,
    shows_thoughts: bool,
    usage: Option<TokenUsage>,
    choices: Vec<Choice>,
    /// Bytes of arguments that came.
    held: usize,
}

#[derive(Debug)]
struct Choice {
    index: u32,
    open: Vec<(u32, Open)>,
    has_output: bool,
    finish: Option<(Finish, String)>,
}

/// A part that is open.
#[derive(Debug)]
enum Open {
    Text,
    Thought {
        /// The last letter waits for the signature: some clients drop a signature that comes on an empty text.
        held: Option<char>,
        is_redacted: bool,
    },
    Call {
        id: String,
        name: String,
        arguments: String,
        signature: Option<String>,
    },
    /// Nothing more of it is shown.
    Done,
}

impl Events {
    pub fn new(wanted: &AnswerEdits) -> Events {
        Events {
            framing: wanted.framing,
            has_begun: false,
            public_model: wanted.public_model.clone(),
            id: wanted.request_id.clone(),
            carry: wanted.carry.clone(),
            shows_thoughts: asks_for_thoughts(&wanted.request),
            usage: None,
            choices: Vec::new(),
            held: 0,
        }
    }

    fn choice(&mut self, index: u32) -> Option<&mut Choice> {
        let at = self.choices.iter().position(|choice| choice.index == index).unwrap_or_else(|| {
            self.choices.push(Choice { index, open: Vec::new(), has_output: false, finish: None });
            self.choices.len() - 1
        });
        self.choices.get_mut(at)
    }

    /// The part that is open under this number.
    fn open(&mut self, choice: u32, part: u32) -> Option<&mut Open> {
        let choice = self.choice(choice)?;
        choice.open.iter_mut().find(|(number, _)| *number == part).map(|(_, open)| open)
    }

    fn close(&mut self, choice: u32, part: u32) -> Option<Open> {
        let choice = self.choice(choice)?;
        let at = choice.open.iter().position(|(number, _)| *number == part)?;
        Some(choice.open.swap_remove(at).1)
    }

    /// A piece with one part of one candidate.
    fn part(&mut self, choice: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Writer)) {
        if let Some(choice) = self.choice(choice) {
            choice.has_output = true;
        }
        self.piece(out, |writer| {
            writer.begin_object();
            content(writer, write);
            writer.field_u64("index", u64::from(choice));
            writer.end_object();
        });
    }

    /// A piece: what `candidates` writes into the list, with everything around it.
    fn piece(&mut self, out: &mut Vec<u8>, candidates: impl FnOnce(&mut Writer)) {
        let mut writer = Writer::into(std::mem::take(out));
        writer.frame(match (self.framing, self.has_begun) {
            (Framing::Events, _) => b"data: ",
            (Framing::Array, false) => b"[",
            (Framing::Array, true) => b",\r\n",
        });
        self.has_begun = true;
        writer.begin_object();
        writer.key("candidates");
        writer.begin_array();
        candidates(&mut writer);
        writer.end_array();
        if let Some(tokens) = &self.usage {
            writer.key("usageMetadata");
            usage::write(tokens, &mut writer);
        }
        writer.field_str("modelVersion", &self.public_model);
        writer.field_str("responseId", &self.id);
        writer.end_object();
        if self.framing == Framing::Events {
            writer.frame(b"\r\n\r\n");
        }
        *out = writer.into_buffer();
    }

    fn start(&mut self, index: u32, part: u32, start: &Start<'_>, out: &mut Vec<u8>) {
        let open = match start {
            Start::Text | Start::Refusal => Open::Text,
            Start::Thought { is_redacted, .. } if self.shows_thoughts => {
                Open::Thought { held: None, is_redacted: *is_redacted }
            }
            Start::Thought { .. } | Start::Other { .. } => Open::Done,
            Start::ToolCall { id, name, signature } => Open::Call {
                id: id.to_string(),
                name: name.to_string(),
                arguments: String::new(),
                signature: signature.as_ref().map(|signature| sealed(signature, &self.carry)),
            },
            Start::Media(found) => {
                if !matches!(found.source, Source::FileId(_)) {
                    self.part(index, out, |writer| media(found, writer));
                }
                Open::Done
            }
        };
        if let Some(choice) = self.choice(index) {
            choice.open.push((part, open));
        }
    }

    fn said(&mut self, choice: u32, part: u32, said: &str, out: &mut Vec<u8>) {
        let said = match self.open(choice, part) {
            Some(Open::Text) => Cow::Borrowed(said),
            Some(Open::Thought { held, .. }) => {
                let Some(last) = said.chars().next_back() else { return };
                let before = held.replace(last);
                let shown: String = before.into_iter().chain(said.chars()).collect();
                let shown = shown.get(..shown.len() - last.len_utf8()).unwrap_or_default();
                return match shown.is_empty() {
                    true => {}
                    false => self.part(choice, out, |writer| text(Some(shown), true, None, writer)),
                };
            }
            _ => return,
        };
        if !said.is_empty() {
            self.part(choice, out, |writer| text(Some(&said), false, None, writer));
        }
    }

    fn sign(&mut self, choice: u32, part: u32, seal: String, out: &mut Vec<u8>) {
        match self.open(choice, part) {
            Some(Open::Text) => self.part(choice, out, |writer| text(Some(""), false, Some(&seal), writer)),
            Some(Open::Thought { held, is_redacted }) => {
                let rest = held.take().map(String::from).or_else(|| (!*is_redacted).then(String::new));
                self.part(choice, out, |writer| text(rest.as_deref(), true, Some(&seal), writer));
            }
            Some(Open::Call { signature, .. }) => *signature = Some(seal),
            Some(Open::Done) | None => {}
        }
    }

    fn end(&mut self, choice: u32, part: u32, out: &mut Vec<u8>) {
        match self.close(choice, part) {
            Some(Open::Thought { held: Some(last), .. }) => {
                let rest = last.to_string();
                self.part(choice, out, |writer| text(Some(&rest), true, None, writer));
            }
            Some(Open::Call { id, name, arguments, signature }) => {
                self.part(choice, out, |writer| call(&id, &name, &arguments, signature.as_deref(), writer));
            }
            _ => {}
        }
    }
}

impl EncodeEvents for Events {
    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Begin { id, .. } if !id.is_empty() => self.id = id.to_string(),
            Event::Begin { .. } | Event::Usage { .. } => {}
            Event::Start { choice, part, start } => self.start(*choice, *part, start, out),
            Event::Piece { choice, part, piece } => match piece {
                Piece::Text(said) => self.said(*choice, *part, said, out),
                Piece::Arguments(more) => {
                    self.held = self.held.saturating_add(more.len());
                    let fits = self.held <= HELD_MOST;
                    if let Some(Open::Call { arguments, .. }) = self.open(*choice, *part).filter(|_| fits) {
                        arguments.push_str(more);
                    }
                }
                Piece::Signature(signature) => {
                    let seal = sealed(signature, &self.carry);
                    self.sign(*choice, *part, seal, out);
                }
                Piece::Logprobs(said) => {
                    let index = *choice;
                    self.piece(out, |writer| {
                        writer.begin_object();
                        content(writer, |writer| text(Some(""), false, None, writer));
                        writer.field_u64("index", u64::from(index));
                        logprobs::write(said, writer);
                        writer.end_object();
                    });
                }
                Piece::Annotation(_) => {}
            },
            Event::End { choice, part } => self.end(*choice, *part, out),
            Event::Finish { choice, finish, native, .. } => {
                if let Some(choice) = self.choice(*choice) {
                    choice.finish = Some((*finish, native.to_string()));
                }
            }
        }
    }

    fn usage(&mut self, usage: &TokenUsage, _: &Receipt) {
        self.usage = Some(*usage);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        let mut choices = std::mem::take(&mut self.choices);
        choices.sort_by_key(|choice| choice.index);
        self.piece(out, |writer| choices.iter().for_each(|choice| last(choice, writer)));
        if self.framing == Framing::Array {
            out.push(b']');
        }
    }
}

/// `content` with one part.
fn content(writer: &mut Writer, part: impl FnOnce(&mut Writer)) {
    writer.key("content");
    writer.begin_object();
    writer.key("parts");
    writer.begin_array();
    part(writer);
    writer.end_array();
    writer.field_str("role", "model");
    writer.end_object();
}

/// The last piece of a candidate. One that said nothing has no parts.
fn last(choice: &Choice, writer: &mut Writer) {
    writer.begin_object();
    if choice.has_output {
        content(writer, |writer| text(Some(""), false, None, writer));
    } else {
        writer.key("content");
        writer.begin_object();
        writer.field_str("role", "model");
        writer.end_object();
    }
    if let Some((reason, native)) = &choice.finish {
        let (word, message) = finish::write(*reason, native);
        writer.field_str("finishReason", word);
        writer.opt_str("finishMessage", message);
    }
    writer.field_u64("index", u64::from(choice.index));
    writer.end_object();
}
