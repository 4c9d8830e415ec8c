//! Writes what an assistant said: one message for all neighbouring turns, with its calls, its refusal and its earlier
//! reasoning where the provider has a place for them.

use super::content::write_cache;
use super::messages::MessageWriter;
use crate::carry;
use crate::dialect::openai_chat::quirks;
use crate::dialect::openai_chat::thoughts::{self, Sealed};
use crate::error::BodyFault;
use crate::json::Tape;
use crate::loss::Loss;
use crate::model::{Media, Part, PartBody, Signature, Turn};
use crate::refusal;

impl MessageWriter<'_> {
    pub(super) fn assistant(&mut self, turns: &[Turn<'_>]) -> Result<(), BodyFault> {
        let parts: Vec<&Part<'_>> = turns.iter().flat_map(|turn| &turn.parts).collect();
        let said: Vec<&Part<'_>> = parts.iter().copied().filter(|part| self.is_said(part)).collect();
        let has_calls = parts.iter().any(|part| self.is_call(part));
        let thoughts = parts.iter().any(|part| matches!(part.body, PartBody::Thought(_)));
        let has_images = parts.iter().any(|part| matches!(part.body, PartBody::Media(_)));
        let has_others = parts.iter().any(|part| matches!(part.body, PartBody::Other { .. }));
        self.losses.note_if(has_others && !self.is_own, Loss::Part);
        if said.is_empty() && !has_calls && !has_images && !self.is_own {
            // Nothing that can be said is left: of an empty turn, or of one that was reasoning only.
            self.losses.note_if(!thoughts && !has_others, Loss::EmptyPart);
            self.note_thoughts(&parts);
            return Ok(());
        }
        self.count += 1;
        self.begin("assistant", turns.first().and_then(|turn| turn.name.as_deref()));
        match single_refusal(&said) {
            Some(text) => {
                self.out.field_null("content");
                self.out.field_str("refusal", text);
            }
            None if said.is_empty() && has_calls => self.out.field_null("content"),
            None => self.content(said.into_iter())?,
        }
        self.annotations(&parts);
        self.thoughts(&parts);
        self.images(&parts)?;
        self.calls(&parts);
        for part in &parts {
            match &part.body {
                // A field of the message itself.
                PartBody::Other { raw } if self.is_own && raw.starts_with('"') => self.out.raw(raw),
                _ => {}
            }
        }
        self.out.end_object();
        Ok(())
    }

    /// Whether a part stands in an assistant's content.
    fn is_said(&self, part: &Part<'_>) -> bool {
        match &part.body {
            PartBody::Text { .. } | PartBody::Refusal(_) => true,
            PartBody::Thought(thought) => quirks::takes_thinking_blocks(self.quirks) && !thought.text.is_empty(),
            PartBody::Other { raw } => self.is_own && !(raw.starts_with('"') || is_custom_call(raw)),
            _ => false,
        }
    }

    fn is_call(&self, part: &Part<'_>) -> bool {
        match &part.body {
            PartBody::ToolCall { .. } => true,
            PartBody::Other { raw } => self.is_own && is_custom_call(raw),
            _ => false,
        }
    }

    fn calls(&mut self, parts: &[&Part<'_>]) {
        if !parts.iter().any(|part| self.is_call(part)) {
            return;
        }
        self.out.key("tool_calls");
        self.out.begin_array();
        for part in parts {
            match &part.body {
                PartBody::Other { raw } if self.is_call(part) => self.out.raw(raw),
                PartBody::ToolCall { id, name, arguments } => {
                    self.losses.note_if(part.signature.is_some(), Loss::ReasoningSignature);
                    let cache = part.cache.filter(|_| self.takes_marks());
                    self.losses.note_if(part.cache.is_some() && cache.is_none(), Loss::CacheMark);
                    self.out.begin_object();
                    self.out.field_str("id", &self.id(id));
                    self.out.field_str("type", "function");
                    self.out.key("function");
                    self.out.begin_object();
                    self.out.field_str("name", name);
                    self.out.field_str("arguments", if arguments.is_empty() { "{}" } else { arguments });
                    self.out.end_object();
                    write_cache(self.out, cache);
                    self.out.end_object();
                }
                _ => {}
            }
        }
        self.out.end_array();
    }

    /// Citations are one list of the message.
    fn annotations(&mut self, parts: &[&Part<'_>]) {
        let list = parts.iter().find_map(|part| match &part.body {
            PartBody::Text { annotations, .. } => annotations.as_deref(),
            _ => None,
        });
        self.out.opt_raw("annotations", list.filter(|_| self.is_own));
    }

    fn images(&mut self, parts: &[&Part<'_>]) -> Result<(), BodyFault> {
        let media: Vec<&Media<'_>> = parts
            .iter()
            .filter_map(|part| match &part.body {
                PartBody::Media(media) => Some(media),
                _ => None,
            })
            .collect();
        let Some(first) = media.first() else { return Ok(()) };
        if !(self.is_own || quirks::is_openrouter(self.quirks)) {
            return Err(refusal::media(
                first,
                &format!("the provider takes no {} from an assistant", first.kind.word()),
            ));
        }
        self.out.key("images");
        self.out.begin_array();
        for media in media {
            self.out.begin_object();
            self.media(media)?;
            self.out.end_object();
        }
        self.out.end_array();
        Ok(())
    }

    /// Earlier reasoning, where the provider has a place for it.
    fn thoughts(&mut self, parts: &[&Part<'_>]) {
        if quirks::is_openrouter(self.quirks) {
            return self.details(parts);
        }
        if !quirks::takes_reasoning_content(self.quirks) {
            return self.note_thoughts(parts);
        }
        let thoughts = || parts.iter().filter(|part| matches!(part.body, PartBody::Thought(_)));
        self.losses.note_if(thoughts().any(|part| part.signature.is_some()), Loss::ReasoningSignature);
        // Some want the field wherever there are calls, be it empty.
        if thoughts().any(|part| !thought_text(part).is_empty()) || parts.iter().any(|part| self.is_call(part)) {
            self.out.key("reasoning_content");
            self.out.begin_string();
            parts.iter().for_each(|part| self.out.text(thought_text(part)));
            self.out.end_string();
        }
    }

    fn note_thoughts(&mut self, parts: &[&Part<'_>]) {
        let takes_blocks = quirks::takes_thinking_blocks(self.quirks);
        for part in parts.iter().filter(|part| matches!(part.body, PartBody::Thought(_))) {
            self.losses.note_if(part.signature.is_some(), Loss::ReasoningSignature);
            self.losses.note_if(!thought_text(part).is_empty() && !takes_blocks, Loss::Reasoning);
        }
    }

    /// OpenRouter's list. Reasoning whose seal means nothing there goes as plain text.
    fn details(&mut self, parts: &[&Part<'_>]) {
        let mut plain = Vec::new();
        let mut index = 0;
        for part in parts {
            let PartBody::Thought(thought) = &part.body else { continue };
            let sealed = match &part.signature {
                Some(Signature::Own(value)) => Sealed::Plain(value),
                Some(Signature::Foreign(value)) if self.is_own && !value.starts_with(carry::MARK) => {
                    Sealed::Plain(value)
                }
                Some(Signature::Foreign(_)) => {
                    self.losses.note(Loss::ReasoningSignature);
                    Sealed::None
                }
                None => Sealed::None,
            };
            if matches!(sealed, Sealed::None) && !self.is_own {
                plain.push(&thought.text);
                continue;
            }
            if index == 0 {
                self.out.key("reasoning_details");
                self.out.begin_array();
            }
            thoughts::write(self.out, thought, &thought.text, sealed, index);
            index += 1;
        }
        if index > 0 {
            self.out.end_array();
        }
        if plain.iter().any(|text| !text.is_empty()) {
            self.out.key("reasoning");
            self.out.begin_string();
            plain.iter().for_each(|text| self.out.text(text));
            self.out.end_string();
        }
    }
}

fn thought_text<'p>(part: &'p Part<'_>) -> &'p str {
    match &part.body {
        PartBody::Thought(thought) => &thought.text,
        _ => "",
    }
}

fn single_refusal<'p>(parts: &[&'p Part<'_>]) -> Option<&'p str> {
    match parts {
        [Part { body: PartBody::Refusal(text), .. }] => Some(text),
        _ => None,
    }
}

/// A call of a tool that takes free text: only this dialect has those.
fn is_custom_call(raw: &str) -> bool {
    let mut tape = Tape::default();
    tape.read(raw.as_bytes()).is_ok_and(|call| call.get("custom").is_some() && call.get("id").is_some())
}
