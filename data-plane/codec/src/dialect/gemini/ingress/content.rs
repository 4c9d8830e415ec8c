//! The contents of a request as turns. A streamed answer comes back from some clients as it came: one content for each
//! piece. Those are put together again, or a thought would part from its signature.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use super::fault::{At, object, objects, text, wrong};
use super::part;
use crate::Carry;
use crate::dialect::gemini::MADE_ID;
use crate::dialect::gemini::spelling::get;
use crate::error::BodyFault;
use crate::json::Value;
use crate::model::{Part, PartBody, Role, Turn};

/// A conversation that is being read.
pub(super) struct Conversation<'a, 'c> {
    system: Option<Turn<'a>>,
    turns: Vec<Turn<'a>>,
    /// Whether the last turn is an answer whose rest may come in further contents.
    is_open: bool,
    calls: Calls<'a>,
    pub carry: &'c Carry,
}

/// Calls that wait for their responses: ids may be absent on both sides, and are made up here.
#[derive(Default)]
pub(super) struct Calls<'a> {
    /// Each call's id, and whether there is a response.
    all: Vec<(Cow<'a, str>, bool)>,
    /// The place of the first call of an id.
    by_id: HashMap<Cow<'a, str>, usize>,
    /// The places of the calls of a name that may have no response yet, in their order.
    open: HashMap<Cow<'a, str>, VecDeque<usize>>,
    made: usize,
}

impl<'a> Calls<'a> {
    /// A call, and its id.
    pub fn call(&mut self, id: Option<Cow<'a, str>>, name: &Cow<'a, str>) -> Cow<'a, str> {
        let id = id.unwrap_or_else(|| self.make());
        let place = self.all.len();
        self.all.push((id.clone(), false));
        self.by_id.entry(id.clone()).or_insert(place);
        self.open.entry(name.clone()).or_default().push_back(place);
        id
    }

    /// The id of a response: of the first call of this name that has none, where the client gives no id.
    pub fn response(&mut self, id: Option<Cow<'a, str>>, name: &str) -> Cow<'a, str> {
        let place = match &id {
            Some(id) => self.by_id.get(id).copied(),
            None => self.first_open(name),
        };
        match (place.and_then(|place| self.all.get_mut(place)), id) {
            (Some((known, is_answered)), _) => {
                *is_answered = true;
                known.clone()
            }
            (None, Some(id)) => id,
            (None, None) => self.make(),
        }
    }

    /// The place of the first call of this name that has no response.
    fn first_open(&mut self, name: &str) -> Option<usize> {
        let open = self.open.get_mut(name)?;
        let all = &self.all;
        let is_open = |place: &usize| all.get(*place).is_some_and(|(_, is_answered)| !is_answered);
        std::iter::from_fn(|| open.pop_front()).find(is_open)
    }

    /// The same conversation always gets the same ids, and a longer one begins with the same.
    fn make(&mut self) -> Cow<'a, str> {
        self.made += 1;
        Cow::Owned(format!("{MADE_ID}{}", self.made))
    }
}

impl<'a, 'c> Conversation<'a, 'c> {
    pub fn new(carry: &'c Carry) -> Conversation<'a, 'c> {
        Conversation { system: None, turns: Vec::new(), is_open: false, calls: Calls::default(), carry }
    }

    /// System text; an empty one says nothing.
    pub fn system(&mut self, value: Value<'a>, at: At<'_>) -> Result<(), BodyFault> {
        let parts = match value.string() {
            Some(text) => vec![Part::text(text)],
            None => self.parts(object(value, at)?, at)?,
        };
        let says = |part: &Part<'_>| !matches!(&part.body, PartBody::Text { text, .. } if text.is_empty());
        if parts.iter().any(says) {
            self.system = Some(Turn { at: 0, role: Role::System, parts, name: None });
        }
        Ok(())
    }

    pub fn content(&mut self, content: Value<'a>, place: usize, at: At<'_>) -> Result<(), BodyFault> {
        let role = match content.get("role") {
            None => Role::User,
            Some(role) => match &*text(role, at.name("role"))? {
                "model" => Role::Assistant,
                "system" => Role::System,
                // `function` and `tool` are old words for the user who brings results.
                _ => Role::User,
            },
        };
        let parts = self.parts(content, at)?;
        let may_go_on = role == Role::Assistant && parts.iter().all(is_piece);
        match self.turns.last_mut().filter(|_| self.is_open && may_go_on) {
            Some(last) => last.parts.extend(parts),
            None => self.turns.push(Turn { at: place, role, parts, name: None }),
        }
        self.is_open = may_go_on;
        Ok(())
    }

    fn parts(&mut self, content: Value<'a>, at: At<'_>) -> Result<Vec<Part<'a>>, BodyFault> {
        let at = at.name("parts");
        let Some(parts) = get(content, "parts") else { return Ok(Vec::new()) };
        if parts.is_string() {
            return Err(wrong(at, "an array of objects"));
        }
        let parts = objects(parts, at)?.into_iter().enumerate();
        parts.map(|(place, value)| part::read(value, at.item(place), &mut self.calls, self.carry)).collect()
    }

    /// System text first, as it is said. An answer of nothing is no turn.
    pub fn turns(mut self) -> Vec<Turn<'a>> {
        let answers = self.turns.iter_mut().filter(|turn| turn.role == Role::Assistant);
        answers.for_each(|turn| join(&mut turn.parts));
        let is_turn = |turn: &Turn<'_>| turn.role != Role::Assistant || !turn.parts.is_empty();
        self.system.into_iter().chain(self.turns.into_iter().filter(is_turn)).collect()
    }
}

/// Whether an answer that consists of such parts may come in several contents.
fn is_piece(part: &Part<'_>) -> bool {
    matches!(part.body, PartBody::Text { .. } | PartBody::Thought(_) | PartBody::ToolCall { .. })
}

/// Puts pieces of one text, and of one thought, together. A signature ends what it stands on. The last piece of a stream
/// says nothing.
fn join(parts: &mut Vec<Part<'_>>) {
    let mut joined: Vec<Part<'_>> = Vec::with_capacity(parts.len());
    let is_silent = |part: &Part<'_>| {
        part.signature.is_none() && matches!(&part.body, PartBody::Text { text, .. } if text.is_empty())
    };
    for part in parts.drain(..).filter(|part| !is_silent(part)) {
        match joined.last_mut().filter(|last| last.signature.is_none()) {
            Some(last) => {
                if let Some(part) = add(last, part) {
                    joined.push(part);
                }
            }
            None => joined.push(part),
        }
    }
    parts.append(&mut joined);
}

/// Adds a piece to the part before it; gives it back where it is another part.
fn add<'a>(last: &mut Part<'a>, part: Part<'a>) -> Option<Part<'a>> {
    match (&mut last.body, &part.body) {
        (PartBody::Text { text, .. }, PartBody::Text { text: more, .. }) => text.to_mut().push_str(more),
        (PartBody::Thought(thought), PartBody::Thought(more)) if !thought.is_redacted && !more.is_redacted => {
            thought.text.to_mut().push_str(&more.text);
        }
        _ => return Some(part),
    }
    last.signature = part.signature;
    None
}
