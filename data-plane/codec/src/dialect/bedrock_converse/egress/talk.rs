//! The conversation as Converse wants it: system text apart, user first, sides in turns, results of tools before what else
//! the user says, no blank text, a text beside each document.

use std::borrow::Cow;

use super::block::{Block, cache_point, write_text};
use super::media::{self, Names};
use super::plan::Shape;
use crate::dialect::bedrock_converse::call_id;
use crate::dialect::bedrock_converse::model::Model;
use crate::error::BodyFault;
use crate::json::Writer;
use crate::loss::{Loss, Losses};
use crate::model::{CacheMark, Media, MediaKind, Part, PartBody, Request, Role, Signature, Turn};
use crate::refusal;

/// Said by the user where a conversation begins with the assistant, which Bedrock refuses.
const FILLER: &str = "(continued)";

/// What is to be said, sorted into what is written.
#[derive(Debug)]
pub(super) struct Talk<'r> {
    system: Vec<Block<'r>>,
    messages: Vec<Message<'r>>,
}

#[derive(Debug)]
struct Message<'r> {
    is_user: bool,
    /// Results first, whatever the client's order was: they answer the calls right before.
    results: Vec<Block<'r>>,
    rest: Vec<Block<'r>>,
}

impl<'r> Talk<'r> {
    pub fn new(request: &'r Request<'_>, model: &Model<'_>, losses: &mut Losses) -> Result<Talk<'r>, BodyFault> {
        let mut sorter = Sorter { model, losses, names: Names::default() };
        let mut talk = Talk { system: Vec::new(), messages: Vec::new() };
        for turn in &request.turns {
            sorter.losses.note_if(turn.name.is_some(), Loss::SpeakerName);
            match turn.role {
                Role::System | Role::Developer => {
                    let has_said = sorter.system(turn, &mut talk.system)?;
                    sorter.losses.note_if(turn.role == Role::Developer, Loss::Developer);
                    sorter.losses.note_if(has_said && !talk.messages.is_empty(), Loss::SystemPlace);
                }
                Role::User => talk.add(sorter.message(turn)?),
                Role::Assistant => talk.add(sorter.message(turn)?),
            }
        }
        let has_changed = sorter.names.has_changed;
        losses.note_if(has_changed, Loss::FileName);
        talk.settle(request, losses)?;
        Ok(talk)
    }

    /// Neighbours of one side become one message.
    fn add(&mut self, mut message: Message<'r>) {
        if message.is_empty() {
            return;
        }
        match self.messages.last_mut() {
            Some(last) if last.is_user == message.is_user => {
                last.results.append(&mut message.results);
                last.rest.append(&mut message.rest);
            }
            _ => self.messages.push(message),
        }
    }

    fn settle(&mut self, request: &Request<'_>, losses: &mut Losses) -> Result<(), BodyFault> {
        self.drop_mere_thoughts(losses);
        if self.messages.is_empty() && !self.system.is_empty() {
            losses.note(Loss::SystemPlace);
            self.messages.push(Message::user(std::mem::take(&mut self.system)));
        }
        match self.messages.first() {
            Some(first) if !first.is_user => {
                losses.note(Loss::FirstTurn);
                self.messages.insert(0, Message::user(vec![Block::Text(Cow::Borrowed(FILLER))]));
            }
            Some(_) => {}
            None => return Err(refusal::nothing_said(request)),
        }
        self.messages.iter_mut().for_each(Message::settle);
        Ok(())
    }

    /// An assistant's message that is nothing but thoughts is taken for the beginning of an answer and refused.
    fn drop_mere_thoughts(&mut self, losses: &mut Losses) {
        let messages = std::mem::take(&mut self.messages);
        for message in messages {
            match message.is_user || !message.rest.iter().all(Block::is_thought) {
                true => self.add(message),
                false => losses.note(Loss::Reasoning),
            }
        }
    }

    /// Whether tools were called earlier: then tools must be declared.
    pub fn has_tools(&self) -> bool {
        let is_call = |block: &Block<'_>| matches!(block, Block::Call { .. });
        self.messages.iter().any(|message| !message.results.is_empty() || message.rest.iter().any(is_call))
    }

    /// Whether a budget of thinking may be given: where the model is in the midst of calling tools, or is to go on with
    /// what it began, that must have begun with what it thought.
    pub fn can_think(&self) -> bool {
        let is_in_midst = |message: &&Message<'_>| !message.is_user || !message.results.is_empty();
        let begun = self.messages.iter().rev().take_while(is_in_midst).filter(|message| !message.is_user);
        let mut begun = begun.peekable();
        begun.peek().is_none() || begun.any(|message| message.rest.first().is_some_and(Block::is_thought))
    }

    pub fn write_system(&self, shape: Shape<'_>, out: &mut Writer) {
        let words = match shape {
            Shape::Words(schema) => Some(in_words(schema)),
            _ => None,
        };
        if self.system.is_empty() && words.is_none() {
            return;
        }
        out.key("system");
        out.begin_array();
        self.system.iter().for_each(|block| block.write(out));
        if let Some(words) = words {
            write_text(&words, out);
        }
        out.end_array();
    }

    pub fn write_messages(&self, out: &mut Writer) {
        out.key("messages");
        out.begin_array();
        for message in &self.messages {
            out.begin_object();
            out.field_str("role", if message.is_user { "user" } else { "assistant" });
            out.key("content");
            out.begin_array();
            message.results.iter().chain(&message.rest).for_each(|block| block.write(out));
            out.end_array();
            out.end_object();
        }
        out.end_array();
    }
}

impl<'r> Message<'r> {
    fn user(rest: Vec<Block<'r>>) -> Message<'r> {
        Message { is_user: true, results: Vec::new(), rest }
    }

    fn is_empty(&self) -> bool {
        self.results.is_empty() && self.rest.is_empty()
    }

    /// Documents are refused without a text beside them; their names are all we can say.
    fn settle(&mut self) {
        let is_text = |block: &Block<'_>| matches!(block, Block::Text(_));
        if self.rest.iter().any(is_text) {
            return;
        }
        let names: Vec<&str> = self.rest.iter().filter_map(Block::document).collect();
        if !names.is_empty() {
            let names = names.join(", ");
            self.rest.insert(0, Block::Text(Cow::Owned(names)));
        }
    }
}

impl Block<'_> {
    fn document(&self) -> Option<&str> {
        match self {
            Block::Shown(shown) => shown.name(),
            _ => None,
        }
    }
}

/// Makes blocks of parts.
struct Sorter<'s, 'm> {
    model: &'s Model<'m>,
    losses: &'s mut Losses,
    names: Names,
}

impl Sorter<'_, '_> {
    /// Whether it said anything.
    fn system<'r>(&mut self, turn: &'r Turn<'_>, out: &mut Vec<Block<'r>>) -> Result<bool, BodyFault> {
        let before = out.len();
        for part in &turn.parts {
            match &part.body {
                PartBody::Text { text, annotations } => {
                    self.losses.note_if(annotations.is_some(), Loss::Annotations);
                    self.text(text, turn.parts.len() == 1, out);
                }
                PartBody::Media(media) => return Err(refusal::media(media, "system text can show nothing")),
                _ => self.losses.note(Loss::Part),
            }
            self.mark(part.cache, true, out);
        }
        Ok(out.len() > before)
    }

    fn message<'r>(&mut self, turn: &'r Turn<'_>) -> Result<Message<'r>, BodyFault> {
        let mut message = Message { is_user: turn.role == Role::User, results: Vec::new(), rest: Vec::new() };
        for part in &turn.parts {
            let is_thought = matches!(part.body, PartBody::Thought(_));
            self.losses.note_if(part.signature.is_some() && !is_thought, Loss::ReasoningSignature);
            if let PartBody::ToolResult { id, content, is_error, .. } = &part.body
                && message.is_user
            {
                let mut beside = Vec::new();
                let result = self.result((id, content, *is_error), &mut beside)?;
                message.results.push(result);
                // Marks have no place within a result; behind it they ask for no less.
                let mark = part.cache.or(content.iter().rev().find_map(|inner| inner.cache));
                self.mark(mark, true, &mut message.results);
                message.rest.append(&mut beside);
                continue;
            }
            self.part(turn, part, &mut message.rest)?;
            self.mark(part.cache, !is_thought, &mut message.rest);
        }
        Ok(message)
    }

    fn part<'r>(&mut self, turn: &Turn<'_>, part: &'r Part<'_>, out: &mut Vec<Block<'r>>) -> Result<(), BodyFault> {
        match &part.body {
            PartBody::Text { text, annotations } => {
                self.losses.note_if(annotations.is_some(), Loss::Annotations);
                self.text(text, turn.parts.len() == 1, out);
            }
            PartBody::Refusal(text) => {
                self.losses.note(Loss::Refusal);
                self.text(text, turn.parts.len() == 1, out);
            }
            PartBody::Media(media) if turn.role != Role::User => {
                return Err(refusal::media(media, "only users can show things to models of Bedrock"));
            }
            PartBody::Media(media) => out.push(self.shown(media)?),
            PartBody::ToolCall { id, name, arguments } if turn.role == Role::Assistant => {
                out.push(Block::Call { id: call_id::taken(id), name, arguments });
            }
            PartBody::Thought(thought) => match &part.signature {
                _ if turn.role == Role::User => self.losses.note(Loss::Reasoning),
                Some(Signature::Own(sealed)) if thought.is_redacted => out.push(Block::Redacted(sealed)),
                Some(Signature::Own(sealed)) => out.push(Block::Thought { text: &thought.text, sealed }),
                Some(Signature::Foreign(_)) => self.losses.note(Loss::ReasoningSignature),
                None => self.losses.note_if(!thought.text.is_empty(), Loss::Reasoning),
            },
            PartBody::ToolCall { .. } | PartBody::ToolResult { .. } | PartBody::Other { .. } => {
                self.losses.note(Loss::Part);
            }
        }
        Ok(())
    }

    /// Blank texts are refused. An empty one beside others is how some dialects say that there is none.
    fn text<'r>(&mut self, text: &'r str, is_alone: bool, out: &mut Vec<Block<'r>>) {
        match text.trim().is_empty() {
            true => self.losses.note_if(is_alone || !text.is_empty(), Loss::EmptyPart),
            false => out.push(Block::Text(Cow::Borrowed(text))),
        }
    }

    fn shown<'r>(&mut self, media: &'r Media<'_>) -> Result<Block<'r>, BodyFault> {
        let shown = media::shown(media, &mut self.names).map_err(|why| refusal::media(media, why))?;
        self.losses.note_if(media.detail.as_deref().is_some_and(|detail| detail != "auto"), Loss::ImageDetail);
        self.losses.note_if(media.name.is_some() && shown.kind != MediaKind::File, Loss::FileName);
        Ok(Block::Shown(shown))
    }

    /// A tool's result. What cannot stand in one stands beside it.
    fn result<'r>(
        &mut self,
        (id, parts, is_error): (&'r str, &'r [Part<'_>], bool),
        beside: &mut Vec<Block<'r>>,
    ) -> Result<Block<'r>, BodyFault> {
        let mut content = Vec::with_capacity(parts.len());
        let takes_status = self.model.knows_tools_well();
        if is_error && !takes_status {
            self.losses.note(Loss::ToolError);
            content.push(Block::Text(Cow::Borrowed("Error:")));
        }
        for part in parts {
            match &part.body {
                PartBody::Text { text, annotations } => {
                    self.losses.note_if(annotations.is_some(), Loss::Annotations);
                    self.text(text, false, &mut content);
                }
                PartBody::Media(media) => {
                    let shown = self.shown(media)?;
                    let is_sound = matches!(&shown, Block::Shown(shown) if shown.kind == MediaKind::Audio);
                    let stays = takes_status && !is_sound;
                    self.losses.note_if(!stays, Loss::ToolMedia);
                    if stays { content.push(shown) } else { beside.push(shown) }
                }
                _ => self.losses.note(Loss::Part),
            }
        }
        if content.is_empty() && is_error {
            // A failure that says nothing is refused.
            content.push(Block::Text(Cow::Borrowed("Error")));
        }
        Ok(Block::Result { id: call_id::taken(id), content, is_error: is_error && takes_status })
    }

    /// A mark for the cache behind what was just written, if there is anything and the model takes marks.
    fn mark(&mut self, mark: Option<CacheMark>, can_be_marked: bool, out: &mut Vec<Block<'_>>) {
        let Some(mark) = mark else { return };
        let is_behind = out.last().is_some_and(|last| !last.is_thought());
        if !(self.model.takes_cache_points() && can_be_marked && is_behind) {
            return self.losses.note(Loss::CacheMark);
        }
        let (mark, is_shorter) = shortened(mark, self.model);
        self.losses.note_if(is_shorter, Loss::CacheMark);
        match out.last_mut() {
            Some(Block::CachePoint(known)) if mark == CacheMark::Hour => *known = mark,
            Some(Block::CachePoint(_)) => {}
            _ => out.push(Block::CachePoint(mark)),
        }
    }
}

/// The longest that the model keeps something, and whether that is shorter than was asked.
fn shortened(mark: CacheMark, model: &Model<'_>) -> (CacheMark, bool) {
    match mark == CacheMark::Hour && !model.caches_well() {
        true => (CacheMark::Minutes, true),
        false => (mark, false),
    }
}

/// The mark behind a tool.
pub(super) fn mark_tool(mark: Option<CacheMark>, model: &Model<'_>, out: &mut Writer, losses: &mut Losses) {
    match mark {
        Some(mark) if model.caches_well() => cache_point(mark, out),
        Some(_) => losses.note(Loss::CacheMark),
        None => {}
    }
}

/// The shape of the answer, for a model that is only asked for it.
fn in_words(schema: Option<&str>) -> Cow<'static, str> {
    match schema {
        None => Cow::Borrowed("Answer with one JSON object and with nothing else."),
        Some(schema) => Cow::Owned(format!(
            "Answer with one JSON value and with nothing else. It must satisfy this JSON schema:\n{schema}"
        )),
    }
}
