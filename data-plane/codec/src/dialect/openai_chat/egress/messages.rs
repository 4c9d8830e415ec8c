//! Writes the conversation: turns to messages. Results of tools come first in their turn, since this dialect wants them
//! right behind the calls; neighbouring turns of an assistant become one message, since all calls of one answer belong
//! together.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use super::content::{text_of, write_cache};
use crate::dialect::Quirks;
use crate::dialect::openai_chat::{ID, quirks};
use crate::error::BodyFault;
use crate::json::Writer;
use crate::loss::{Loss, Losses};
use crate::model::{Part, PartBody, Request, Role, Turn};
use crate::refusal;

/// Longest id of a call that OpenAI takes.
const ID_MOST: usize = 40;

pub(super) fn encode(
    request: &Request<'_>,
    quirks: Quirks,
    out: &mut Writer,
    losses: &mut Losses,
) -> Result<(), BodyFault> {
    let mut writer = MessageWriter { quirks, is_own: request.from == ID, out, losses, count: 0 };
    let is_one_group =
        |one: &Turn<'_>, other: &Turn<'_>| request.from != ID && one.role == other.role && one.name == other.name;
    for group in request.turns.chunk_by(is_one_group) {
        match group.first().map(|turn| turn.role) {
            Some(Role::Assistant) => writer.assistant(group)?,
            Some(Role::User) => writer.user(group)?,
            _ => group.iter().try_for_each(|turn| writer.system(turn))?,
        }
    }
    match writer.count == 0 && !writer.is_own {
        true => Err(refusal::nothing_said(request)),
        false => Ok(()),
    }
}

/// Writes one conversation.
pub(super) struct MessageWriter<'w> {
    pub quirks: Quirks,
    /// Read from this dialect: what only it can say is written back.
    pub is_own: bool,
    pub out: &'w mut Writer,
    pub losses: &'w mut Losses,
    /// Messages so far.
    pub count: usize,
}

impl MessageWriter<'_> {
    fn system(&mut self, turn: &Turn<'_>) -> Result<(), BodyFault> {
        let is_developer = turn.role == Role::Developer && !quirks::has_no_developer(self.quirks);
        self.losses.note_if(turn.role == Role::Developer && !is_developer, Loss::Developer);
        // What only another family's providers understand is no text, and no text is no message.
        let is_said = |part: &&Part<'_>| self.is_own || !matches!(part.body, PartBody::Other { .. });
        let said: Vec<&Part<'_>> = turn.parts.iter().filter(is_said).collect();
        self.losses.note_if(said.len() < turn.parts.len(), Loss::Part);
        if said.is_empty() && !self.is_own {
            return Ok(());
        }
        self.count += 1;
        self.begin(if is_developer { "developer" } else { "system" }, turn.name.as_deref());
        self.content(said.into_iter())?;
        self.out.end_object();
        Ok(())
    }

    fn user(&mut self, turns: &[Turn<'_>]) -> Result<(), BodyFault> {
        let results = turns.iter().flat_map(|turn| &turn.parts).filter(|part| is_result(part));
        let mut beside = Vec::new();
        for part in results {
            self.result(part, &mut beside)?;
        }
        for turn in turns {
            let is_own = self.is_own;
            let is_other = |part: &Part<'_>| !is_own && matches!(part.body, PartBody::Other { .. });
            let has_others = turn.parts.iter().any(is_other);
            self.losses.note_if(has_others, Loss::Part);
            let mut rest = turn.parts.iter().filter(|part| !is_result(part) && !is_other(part)).peekable();
            let has_results = turn.parts.iter().any(is_result);
            if rest.peek().is_none() && (has_results || !self.is_own) && beside.is_empty() {
                self.losses.note_if(!has_results && !has_others, Loss::EmptyPart);
                continue;
            }
            self.count += 1;
            self.begin("user", turn.name.as_deref());
            self.content(beside.drain(..).chain(rest))?;
            self.out.end_object();
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, role: &str, name: Option<&str>) {
        self.out.begin_object();
        self.out.field_str("role", role);
        if self.is_own || !quirks::has_core_fields_only(self.quirks) {
            self.out.opt_str("name", name);
        } else {
            self.losses.note_if(name.is_some(), Loss::SpeakerName);
        }
    }

    /// The message of one result. Media in it go `beside`, into the user's message behind the results.
    fn result<'p, 'a>(&mut self, part: &'p Part<'a>, beside: &mut Vec<&'p Part<'a>>) -> Result<(), BodyFault> {
        let PartBody::ToolResult { id, name, content, is_error } = &part.body else { return Ok(()) };
        self.count += 1;
        self.out.begin_object();
        self.out.field_str("role", "tool");
        self.out.field_str("tool_call_id", &self.id(id));
        self.out.opt_str("name", name.as_deref().filter(|_| self.is_own));
        self.losses.note_if(*is_error, Loss::ToolError);
        let is_kept = |part: &&Part<'_>| self.is_own || !matches!(part.body, PartBody::Media(_));
        let (kept, moved): (Vec<&Part<'_>>, Vec<&Part<'_>>) = content.iter().partition(is_kept);
        self.losses.note_if(!moved.is_empty(), Loss::ToolMedia);
        beside.extend(moved);
        let cache = part.cache.filter(|_| self.takes_marks());
        self.losses.note_if(part.cache.is_some() && cache.is_none(), Loss::CacheMark);
        let is_text = kept.iter().all(|part| text_of(part).is_some()) && !self.is_marked(&kept);
        self.out.key("content");
        if is_text && (kept.len() < 2 || !self.is_own || *is_error) {
            self.note_lost(&kept);
            self.out.begin_string();
            self.out.text(if *is_error { "Error: " } else { "" });
            self.joined(&kept);
            self.out.end_string();
        } else {
            self.list(kept.into_iter())?;
        }
        write_cache(self.out, cache);
        self.out.end_object();
        Ok(())
    }

    /// An id that the provider takes; the same one for the same call everywhere.
    pub(super) fn id<'i>(&self, id: &'i str) -> Cow<'i, str> {
        let is_nine = id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if quirks::has_nine_letter_ids(self.quirks) && !is_nine {
            return digest(id, 9).into();
        }
        match id.len() <= ID_MOST || self.is_own {
            true => Cow::Borrowed(id),
            false => format!("call_{}", digest(id, 24)).into(),
        }
    }
}

/// Letters and digits that stand for a longer id.
fn digest(id: &str, letters: usize) -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let letter = |byte: &u8| char::from(LETTERS.get(usize::from(*byte) % LETTERS.len()).copied().unwrap_or(b'A'));
    Sha256::digest(id.as_bytes()).iter().take(letters).map(letter).collect()
}

fn is_result(part: &Part<'_>) -> bool {
    matches!(part.body, PartBody::ToolResult { .. })
}
