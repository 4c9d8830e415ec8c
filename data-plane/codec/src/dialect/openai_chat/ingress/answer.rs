//! Writes a whole answer.

use super::annotation::{self, Place};
use super::{is_legacy, reasoning_field};
use crate::bridge::AnswerEdits;
use crate::dialect::openai_chat::thoughts::{self, On, Sealed};
use crate::dialect::openai_chat::{finish, media, provider, service_tier, usage};
use crate::fault::Surface;
use crate::json::Writer;
use crate::loss::{Loss, Losses};
use crate::model::{Answer, Choice, Finish, Media, MediaKind, Part, PartBody, Signature, Source, Thought};
use crate::receipt::Receipt;

pub(super) fn encode(
    answer: &Answer<'_>,
    receipt: Option<&Receipt>,
    wanted: &AnswerEdits,
    out: &mut Writer,
    losses: &mut Losses,
) {
    out.begin_object();
    out.field_str("id", if answer.id.is_empty() { &wanted.request_id } else { &answer.id });
    out.field_str("object", "chat.completion");
    out.field_u64("created", if answer.created == 0 { wanted.created } else { answer.created });
    out.field_str("model", &wanted.public_model);
    out.opt_str("provider", provider(wanted));
    out.key("choices");
    out.begin_array();
    let mut writer = ChoiceWriter { wanted, is_legacy: is_legacy(&wanted.request), out, losses };
    for choice in &answer.choices {
        writer.choice(choice);
    }
    if answer.choices.is_empty() {
        // Nothing at all came back: the prompt was blocked.
        writer.choice(&Choice { finish: Some(Finish::Filter), ..Choice::default() });
    }
    out.end_array();
    if let (Some(tokens), Some(receipt)) = (&answer.usage, receipt) {
        out.key("usage");
        usage::write(out, tokens, receipt);
    }
    out.opt_str("service_tier", answer.service_tier.as_deref().and_then(service_tier));
    out.field_null("system_fingerprint");
    out.end_object();
}

struct ChoiceWriter<'w> {
    wanted: &'w AnswerEdits,
    is_legacy: bool,
    out: &'w mut Writer,
    losses: &'w mut Losses,
}

/// The thoughts of a choice, each with its number and its signature.
fn thoughts_of<'c, 'a>(
    choice: &'c Choice<'a>,
) -> impl Iterator<Item = (u64, &'c Thought<'a>, Option<&'c Signature<'a>>)> {
    let thoughts = choice.parts.iter().filter_map(|part| match &part.body {
        PartBody::Thought(thought) => Some((thought, part.signature.as_ref())),
        _ => None,
    });
    (0..).zip(thoughts).map(|(index, (thought, signature))| (index, thought, signature))
}

/// Seals of texts and images, which have no field of their own.
fn seals<'c>(choice: &'c Choice<'_>) -> impl Iterator<Item = (On, &'c str)> {
    let mut images = 0;
    choice.parts.iter().filter_map(move |part| {
        let on = match &part.body {
            PartBody::Text { .. } => On::Text,
            PartBody::Media(media) if is_image(media) => {
                images += 1;
                On::Image(images - 1)
            }
            _ => return None,
        };
        match &part.signature {
            Some(Signature::Own(value)) => Some((on, &**value)),
            _ => None,
        }
    })
}

/// A signature for a client: only what we can open again leaves.
pub(super) fn sealed<'s>(wanted: &'s AnswerEdits, signature: Option<&'s Signature<'_>>) -> Sealed<'s> {
    match signature {
        Some(Signature::Own(value)) => Sealed::Wrapped(&wanted.carry, value),
        _ => Sealed::None,
    }
}

impl ChoiceWriter<'_> {
    fn choice(&mut self, choice: &Choice<'_>) {
        let has_refusal = choice.parts.iter().any(|part| matches!(part.body, PartBody::Refusal(_)));
        self.out.begin_object();
        self.out.field_u64("index", u64::from(choice.index));
        self.out.key("message");
        self.message(choice);
        match &choice.logprobs {
            Some(raw) => self.out.field_raw("logprobs", raw),
            None => self.out.field_null("logprobs"),
        }
        match choice.finish {
            Some(why) => {
                let word = finish::word(why, &choice.native, has_refusal, self.is_legacy);
                self.out.field_str("finish_reason", word);
            }
            None => self.out.field_null("finish_reason"),
        }
        self.out.opt_str("native_finish_reason", Some(&*choice.native).filter(|native| !native.is_empty()));
        self.out.opt_str("stop_reason", choice.stopped_at.as_deref());
        self.out.end_object();
    }

    fn message(&mut self, choice: &Choice<'_>) {
        self.out.begin_object();
        self.out.field_str("role", "assistant");
        self.texts("content", choice, |body| match body {
            PartBody::Text { text, .. } => Some(text),
            _ => None,
        });
        self.texts("refusal", choice, |body| match body {
            PartBody::Refusal(text) => Some(text),
            _ => None,
        });
        self.thoughts(choice);
        self.annotations(choice);
        self.media(choice);
        self.calls(choice);
        self.out.end_object();
        let is_other = |part: &Part<'_>| matches!(part.body, PartBody::Other { .. } | PartBody::ToolResult { .. });
        self.losses.note_if(choice.parts.iter().any(is_other), Loss::AnswerPart);
    }

    /// All texts of a kind as one; null where there are none.
    fn texts<'c>(&mut self, name: &str, choice: &'c Choice<'_>, text: fn(&'c PartBody<'_>) -> Option<&'c str>) {
        self.out.key(name);
        let mut texts = choice.parts.iter().filter_map(|part| text(&part.body)).peekable();
        if texts.peek().is_none() {
            return self.out.null();
        }
        self.out.begin_string();
        texts.for_each(|text| self.out.text(text));
        self.out.end_string();
    }

    fn thoughts(&mut self, choice: &Choice<'_>) {
        let has_text = thoughts_of(choice).any(|(_, thought, _)| !thought.text.is_empty());
        if has_text {
            self.out.key(reasoning_field(self.wanted.surface));
            self.out.begin_string();
            thoughts_of(choice).for_each(|(_, thought, _)| self.out.text(&thought.text));
            self.out.end_string();
        } else if self.wanted.surface == Surface::ApiV1 {
            self.out.field_null("reasoning");
        }
        if has_text
            || thoughts_of(choice).any(|(_, _, signature)| signature.is_some())
            || seals(choice).next().is_some()
        {
            self.out.key("reasoning_details");
            self.out.begin_array();
            let mut next = 0;
            for (index, thought, signature) in thoughts_of(choice) {
                thoughts::write(self.out, thought, &thought.text, sealed(self.wanted, signature), index);
                next = index + 1;
            }
            for (index, (on, value)) in (next..).zip(seals(choice)) {
                thoughts::write_seal(self.out, &self.wanted.carry, value, on, index);
            }
            self.out.end_array();
        }
    }

    fn annotations(&mut self, choice: &Choice<'_>) {
        let is_cited = |part: &&Part<'_>| matches!(part.body, PartBody::Text { annotations: Some(_), .. });
        if choice.parts.iter().find(is_cited).is_none() {
            return;
        }
        self.out.key("annotations");
        self.out.begin_array();
        let mut start = 0;
        for part in &choice.parts {
            let PartBody::Text { text, annotations } = &part.body else { continue };
            let end = start + letters(text);
            if let Some(list) = annotations {
                let is_told = annotation::write_all(self.out, list, Place { start, end });
                self.losses.note_if(!is_told, Loss::Annotations);
            }
            start = end;
        }
        self.out.end_array();
    }

    fn media(&mut self, choice: &Choice<'_>) {
        let media = |part: &'_ Part<'_>| matches!(part.body, PartBody::Media(_));
        if !choice.parts.iter().any(media) {
            return;
        }
        let of_kind = |kind: MediaKind| {
            choice.parts.iter().filter_map(move |part| match &part.body {
                PartBody::Media(media) if media.kind == kind => Some(media),
                _ => None,
            })
        };
        if of_kind(MediaKind::Image).any(is_image) {
            self.out.key("images");
            self.out.begin_array();
            for (index, image) in (0..).zip(of_kind(MediaKind::Image).filter(|image| is_image(image))) {
                write_image(self.out, image, index);
            }
            self.out.end_array();
        }
        if let Some((sound, data)) = of_kind(MediaKind::Audio).find_map(|sound| Some((sound, sound_of(sound)?))) {
            self.out.key("audio");
            write_audio(self.out, sound, data, self.wanted.created);
        }
        let written = |media: &Media<'_>| is_image(media) || sound_of(media).is_some();
        let all = choice.parts.iter().all(|part| match &part.body {
            PartBody::Media(media) => written(media),
            _ => true,
        });
        let sounds = of_kind(MediaKind::Audio).count();
        self.losses.note_if(!all || sounds > 1, Loss::AnswerMedia);
    }

    fn calls(&mut self, choice: &Choice<'_>) {
        let mut calls = choice.parts.iter().filter(|part| matches!(part.body, PartBody::ToolCall { .. })).peekable();
        if calls.peek().is_none() {
            return;
        }
        if self.is_legacy {
            let mut function = calls;
            if let Some(PartBody::ToolCall { name, arguments, .. }) = function.next().map(|part| &part.body) {
                self.out.key("function_call");
                write_function(self.out, name, arguments);
            }
            return;
        }
        self.out.key("tool_calls");
        self.out.begin_array();
        for part in calls {
            let PartBody::ToolCall { id, name, arguments } = &part.body else { continue };
            self.out.begin_object();
            match &part.signature {
                Some(Signature::Own(value)) => self.out.field_str("id", &self.wanted.carry.wrap_id(id, value)),
                _ => self.out.field_str("id", id),
            }
            self.out.field_str("type", "function");
            self.out.key("function");
            write_function(self.out, name, arguments);
            self.out.end_object();
        }
        self.out.end_array();
    }
}

fn write_function(out: &mut Writer, name: &str, arguments: &str) {
    out.begin_object();
    out.field_str("name", name);
    out.field_str("arguments", if arguments.is_empty() { "{}" } else { arguments });
    out.end_object();
}

/// Whether an image has a place in an answer.
pub(super) fn is_image(media: &Media<'_>) -> bool {
    media.kind == MediaKind::Image && matches!(media.source, Source::Inline(_) | Source::Url(_))
}

/// The bytes of a sound that has a place in an answer.
pub(super) fn sound_of<'m>(media: &'m Media<'_>) -> Option<&'m str> {
    match &media.source {
        Source::Inline(data) if media.kind == MediaKind::Audio => Some(data),
        _ => None,
    }
}

pub(super) fn write_image(out: &mut Writer, image: &Media<'_>, index: u64) {
    out.begin_object();
    out.field_str("type", "image_url");
    out.key("image_url");
    out.begin_object();
    out.key("url");
    match &image.source {
        Source::Inline(data) => media::write_data_url(out, media::mime_or_usual(image), data),
        Source::Url(url) | Source::FileId(url) | Source::Text(url) => out.string(url),
    }
    out.end_object();
    out.field_u64("index", index);
    out.end_object();
}

/// A sound; what was said in it, where that is known, is the message's text.
pub(super) fn write_audio(out: &mut Writer, sound: &Media<'_>, data: &str, created: u64) {
    out.begin_object();
    out.field_str("id", sound.name.as_deref().unwrap_or("audio"));
    out.field_str("data", data);
    out.field_str("transcript", "");
    out.field_u64("expires_at", created);
    out.end_object();
}

/// How many letters a text has.
pub(super) fn letters(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}
