//! The conversation: system text apart from the messages, neighbours of one side merged, results of tools before other
//! text. A request of this very dialect keeps its own order.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::part::{self, Said};
use super::request::all_kept;
use super::shape::Shape;
use crate::bridge::RequestEdits;
use crate::dialect::anthropic::ingress::{SYSTEM, part_path};
use crate::dialect::anthropic::{ID, quirks};
use crate::error::BodyFault;
use crate::json::{Value, Writer};
use crate::loss::{Loss, Losses};
use crate::model::{Part, PartBody, Request, Role, Turn};
use crate::refusal;

/// Said by the user where a conversation begins with the assistant, which Anthropic refuses.
static FILLER: Part<'static> = Part {
    body: PartBody::Text { text: Cow::Borrowed("(continued)"), annotations: None },
    cache: None,
    signature: None,
};

/// What is to be said, sorted into what is written.
#[derive(Debug)]
pub(super) struct Talk<'r, 'a> {
    request: &'r Request<'a>,
    is_own: bool,
    system: Vec<Said<'r, 'a>>,
    messages: Vec<Message<'r, 'a>>,
    /// What was kept of the places of a request of this very dialect.
    kept: HashMap<&'r str, Value<'a>>,
}

/// A tool of which there are results only.
const NAMELESS: &str = "earlier_tool";

#[derive(Debug)]
struct Message<'r, 'a> {
    role: &'static str,
    /// The turn it begins with, in the client's list.
    turn: usize,
    parts: Vec<Said<'r, 'a>>,
}

impl<'r, 'a> Talk<'r, 'a> {
    pub fn new(
        request: &'r Request<'a>,
        wanted: &RequestEdits<'_>,
        losses: &mut Losses,
    ) -> Result<Talk<'r, 'a>, BodyFault> {
        let is_own = request.from == ID;
        let kept = if is_own { all_kept(request) } else { HashMap::new() };
        let mut talk = Talk { request, is_own, system: Vec::new(), messages: Vec::new(), kept };
        let mut rest = request.turns.as_slice();
        while let Some((turn, behind)) = rest.split_first() {
            rest = behind;
            losses.note_if(turn.name.is_some(), Loss::SpeakerName);
            losses.note_if(turn.role == Role::Developer, Loss::Developer);
            let parts = said(turn, is_own, losses)?;
            match turn.role {
                Role::System | Role::Developer => talk.add_system(turn, parts, behind, wanted, losses),
                Role::User => talk.add("user", turn.at, parts),
                Role::Assistant => talk.add("assistant", turn.at, parts),
            }
        }
        talk.settle(losses)?;
        Ok(talk)
    }

    fn add(&mut self, role: &'static str, turn: usize, mut parts: Vec<Said<'r, 'a>>) {
        if parts.is_empty() {
            return;
        }
        match self.messages.last_mut() {
            Some(last) if last.role == role && !self.is_own => last.parts.append(&mut parts),
            _ => self.messages.push(Message { role, turn, parts }),
        }
    }

    /// System text stands before the conversation, unless the model takes it within: behind the user, before the answer.
    fn add_system(
        &mut self,
        turn: &Turn<'a>,
        mut parts: Vec<Said<'r, 'a>>,
        behind: &[Turn<'_>],
        wanted: &RequestEdits<'_>,
        losses: &mut Losses,
    ) {
        let is_system = |turn: &&Turn<'_>| matches!(turn.role, Role::System | Role::Developer);
        let is_answered =
            || behind.iter().find(|turn| !is_system(turn)).is_none_or(|next| next.role == Role::Assistant);
        let is_behind_user = self.messages.last().is_some_and(|last| last.role != "assistant");
        let can_stay = quirks::takes_system_turns(wanted.quirks) && is_behind_user && is_answered();
        if (self.is_own && turn.at != SYSTEM) || (can_stay && !self.is_own) {
            return self.add("system", turn.at, parts);
        }
        losses.note_if(!self.messages.is_empty() && !parts.is_empty(), Loss::SystemPlace);
        self.system.append(&mut parts);
    }

    fn settle(&mut self, losses: &mut Losses) -> Result<(), BodyFault> {
        if !self.is_own {
            for message in &mut self.messages {
                message.parts.sort_by_key(|said| !matches!(said.part.body, PartBody::ToolResult { .. }));
            }
        }
        if self.messages.is_empty() && !self.system.is_empty() {
            losses.note(Loss::SystemPlace);
            let parts = std::mem::take(&mut self.system);
            self.messages.push(Message { role: "user", turn: SYSTEM, parts });
        }
        let Some(first) = self.messages.first() else { return Err(refusal::nothing_said(self.request)) };
        if first.role == "assistant" && !self.is_own {
            losses.note(Loss::FirstTurn);
            let parts = vec![Said { part: &FILLER, turn: SYSTEM, at: 0 }];
            self.messages.insert(0, Message { role: "user", turn: SYSTEM, parts });
        }
        Ok(())
    }

    /// Tools that were called earlier, where the client names none now: without them Anthropic refuses the calls. None of
    /// them may be called again.
    pub fn write_called(&self, out: &mut Writer) {
        let called = if self.is_own { Vec::new() } else { self.called() };
        if called.is_empty() {
            return;
        }
        out.key("tools");
        out.begin_array();
        for name in called {
            out.begin_object();
            out.field_str("name", name);
            out.field_raw("input_schema", r#"{"type":"object"}"#);
            out.end_object();
        }
        out.end_array();
        out.field_raw("tool_choice", r#"{"type":"none"}"#);
    }

    /// The names of all calls, and of results whose calls are not there, each once.
    fn called(&self) -> Vec<&str> {
        let (mut called, mut known) = (Vec::new(), HashSet::new());
        for said in self.messages.iter().flat_map(|message| &message.parts) {
            let name = match &said.part.body {
                PartBody::ToolCall { name, .. } => &**name,
                PartBody::ToolResult { name, .. } if called.is_empty() => name.as_deref().unwrap_or(NAMELESS),
                _ => continue,
            };
            if known.insert(name) {
                called.push(name);
            }
        }
        called
    }

    /// Whether a budget of thinking may be given: where the model has called tools, or is to go on with what it began, its
    /// turn must begin with what it thought.
    pub fn can_think(&self) -> bool {
        let is_result = |said: &Said<'_, '_>| matches!(said.part.body, PartBody::ToolResult { .. });
        let is_thought = |message: &Message<'_, '_>| {
            message.parts.first().is_some_and(|said| matches!(said.part.body, PartBody::Thought(_)))
        };
        match self.messages.as_slice() {
            [.., last] if last.role == "assistant" => is_thought(last),
            [.., before, last] if last.parts.iter().any(is_result) => is_thought(before),
            _ => true,
        }
    }

    pub fn write_system(&self, shape: &Shape<'_>, out: &mut Writer) {
        let words = match shape {
            Shape::Words(schema) => Some(in_words(*schema)),
            _ => None,
        };
        if self.system.is_empty() && words.is_none() {
            return;
        }
        out.key("system");
        out.begin_array();
        self.system.iter().for_each(|said| self.write_part(said, out));
        if let Some(words) = words {
            part::write_text(&words, None, None, out);
        }
        out.end_array();
    }

    pub fn write_messages(&self, out: &mut Writer) {
        out.key("messages");
        out.begin_array();
        for message in &self.messages {
            out.begin_object();
            out.field_str("role", message.role);
            out.key("content");
            out.begin_array();
            message.parts.iter().for_each(|said| self.write_part(said, out));
            out.end_array();
            if self.may_have_kept() {
                let path = format!("messages[{}]", message.turn);
                part::rest(self.kept.get(&*path).copied(), &["role", "content"], out);
            }
            out.end_object();
        }
        out.end_array();
    }

    fn may_have_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    fn write_part(&self, said: &Said<'r, 'a>, out: &mut Writer) {
        let path = self.may_have_kept().then(|| part_path(said.turn, said.at));
        let find = |path: &str| -> Option<Value<'a>> { self.kept.get(path).copied() };
        part::write(said.part, self.is_own, path.as_deref(), &find, out);
    }
}

/// The parts of a turn that can be sent.
fn said<'r, 'a>(turn: &'r Turn<'a>, is_own: bool, losses: &mut Losses) -> Result<Vec<Said<'r, 'a>>, BodyFault> {
    let mut parts = Vec::with_capacity(turn.parts.len());
    for (at, part) in turn.parts.iter().enumerate() {
        let said = Said { part, turn: turn.at, at };
        if part::is_sent(&said, turn, is_own, losses)? {
            parts.push(said);
        }
    }
    Ok(parts)
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

/// Whether any part of a result or turn is text that says something.
pub(super) fn is_blank(part: &Part<'_>) -> bool {
    matches!(&part.body, PartBody::Text { text, .. } | PartBody::Refusal(text) if text.trim().is_empty())
}
