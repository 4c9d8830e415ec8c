//! Writes the content of messages: a string where that says it all, else a list of parts; and media, which are refused where
//! leaving them out would change the answer.

use super::messages::MessageWriter;
use crate::dialect::openai_chat::{media, quirks};
use crate::error::BodyFault;
use crate::json::Writer;
use crate::loss::Loss;
use crate::model::{CacheMark, Media, MediaKind, Part, PartBody, Source, Thought};
use crate::refusal;

/// Writes a mark for the cache, if there is one.
pub(super) fn write_cache(out: &mut Writer, cache: Option<CacheMark>) {
    match cache {
        None => {}
        Some(CacheMark::Minutes) => out.field_raw("cache_control", "{\"type\":\"ephemeral\"}"),
        Some(CacheMark::Hour) => out.field_raw("cache_control", "{\"type\":\"ephemeral\",\"ttl\":\"1h\"}"),
    }
}

impl MessageWriter<'_> {
    /// Texts of several parts within one string.
    pub(super) fn joined(&mut self, parts: &[&Part<'_>]) {
        let texts = parts.iter().filter_map(|part| text_of(part));
        for (at, text) in texts.enumerate() {
            self.out.text(if at > 0 { "\n\n" } else { "" });
            self.out.text(text);
        }
    }

    pub(super) fn takes_marks(&self) -> bool {
        self.is_own || quirks::takes_cache_marks(self.quirks)
    }

    pub(super) fn is_marked(&self, parts: &[&Part<'_>]) -> bool {
        self.takes_marks() && parts.iter().any(|part| part.cache.is_some())
    }

    /// `content` of a message: a string where that says it all.
    pub(super) fn content<'p, 'a: 'p>(&mut self, parts: impl Iterator<Item = &'p Part<'a>>) -> Result<(), BodyFault> {
        let parts: Vec<&Part<'_>> = parts.collect();
        self.out.key("content");
        let alone = single_text(&parts).filter(|_| !self.is_marked(&parts));
        let all_text = parts.iter().all(|part| matches!(part.body, PartBody::Text { .. }));
        match alone {
            Some(text) => {
                self.note_lost(&parts);
                self.out.string(text);
            }
            None if all_text && (parts.is_empty() || quirks::wants_string_content(self.quirks)) => {
                self.note_lost(&parts);
                self.out.begin_string();
                self.joined(&parts);
                self.out.end_string();
            }
            None => self.list(parts.into_iter())?,
        }
        Ok(())
    }

    /// What parts bring that a plain string has no place for.
    pub(super) fn note_lost(&mut self, parts: &[&Part<'_>]) {
        for part in parts {
            self.losses.note_if(part.cache.is_some(), Loss::CacheMark);
            self.losses.note_if(part.signature.is_some(), Loss::ReasoningSignature);
            if let PartBody::Text { annotations: Some(_), .. } = &part.body {
                self.losses.note_if(!self.is_own, Loss::Annotations);
            }
        }
    }

    pub(super) fn list<'p, 'a: 'p>(&mut self, parts: impl Iterator<Item = &'p Part<'a>>) -> Result<(), BodyFault> {
        self.out.begin_array();
        for part in parts {
            self.part(part)?;
        }
        self.out.end_array();
        Ok(())
    }

    /// One part of a content list.
    pub(super) fn part(&mut self, part: &Part<'_>) -> Result<(), BodyFault> {
        let cache = part.cache.filter(|_| self.takes_marks());
        self.losses.note_if(part.cache.is_some() && cache.is_none(), Loss::CacheMark);
        self.losses.note_if(part.signature.is_some(), Loss::ReasoningSignature);
        match &part.body {
            PartBody::Text { text, annotations } => {
                self.losses.note_if(annotations.is_some() && !self.is_own, Loss::Annotations);
                self.out.begin_object();
                self.out.field_str("type", "text");
                self.out.field_str("text", text);
            }
            PartBody::Refusal(text) => {
                self.out.begin_object();
                self.out.field_str("type", "refusal");
                self.out.field_str("refusal", text);
            }
            PartBody::Media(media) => {
                self.out.begin_object();
                self.media(media)?;
            }
            PartBody::Thought(thought) => {
                if !quirks::takes_thinking_blocks(self.quirks) {
                    self.losses.note(Loss::Reasoning);
                    return Ok(());
                }
                self.out.begin_object();
                self.thinking(thought);
            }
            PartBody::Other { raw } => {
                match self.is_own && raw.starts_with('{') {
                    true => self.out.raw(raw),
                    false => self.losses.note(Loss::Part),
                }
                return Ok(());
            }
            // Calls and results stand in messages of their own.
            PartBody::ToolCall { .. } | PartBody::ToolResult { .. } => {
                self.losses.note(Loss::Part);
                return Ok(());
            }
        }
        write_cache(self.out, cache);
        self.out.end_object();
        Ok(())
    }

    pub(super) fn thinking(&mut self, thought: &Thought<'_>) {
        self.out.field_str("type", "thinking");
        self.out.key("thinking");
        self.out.begin_array();
        self.out.begin_object();
        self.out.field_str("type", "text");
        self.out.field_str("text", &thought.text);
        self.out.end_object();
        self.out.end_array();
    }

    /// The inside of a part that is not text; refused where leaving it out would change the answer.
    pub(super) fn media(&mut self, media: &Media<'_>) -> Result<(), BodyFault> {
        if let Source::Text(text) = &media.source {
            self.losses.note_if(media.name.is_some(), Loss::FileName);
            self.out.field_str("type", "text");
            self.out.field_str("text", text);
            return Ok(());
        }
        match media.kind {
            MediaKind::Image => self.address("image_url", media),
            MediaKind::Video => self.address("video_url", media),
            MediaKind::File => self.file(media),
            MediaKind::Audio => match &media.source {
                Source::Inline(data) => {
                    self.out.field_str("type", "input_audio");
                    self.out.key("input_audio");
                    self.out.begin_object();
                    self.out.field_str("data", data);
                    self.out.field_str("format", media::audio_format(media));
                    self.out.end_object();
                    Ok(())
                }
                _ => Err(refused(media)),
            },
        }
    }

    pub(super) fn address(&mut self, kind: &str, media: &Media<'_>) -> Result<(), BodyFault> {
        let detail = media.detail.as_deref().filter(|detail| self.takes_detail(detail));
        self.losses.note_if(media.detail.is_some() && detail.is_none(), Loss::ImageDetail);
        self.losses.note_if(media.name.is_some(), Loss::FileName);
        self.out.field_str("type", kind);
        self.out.key(kind);
        self.out.begin_object();
        self.out.key("url");
        match &media.source {
            Source::Inline(data) => media::write_data_url(self.out, media::mime_or_usual(media), data),
            Source::Url(url) => self.out.string(url),
            Source::FileId(_) | Source::Text(_) => return Err(refused(media)),
        }
        self.out.opt_str("detail", detail);
        self.out.end_object();
        Ok(())
    }

    /// Other words than OpenAI's own are those of another family.
    pub(super) fn takes_detail(&self, detail: &str) -> bool {
        self.is_own || matches!(detail, "low" | "high" | "auto")
    }

    pub(super) fn file(&mut self, media: &Media<'_>) -> Result<(), BodyFault> {
        let takes_urls = self.is_own || quirks::is_openrouter(self.quirks);
        if quirks::takes_document_url(self.quirks) && !matches!(media.source, Source::FileId(_)) {
            self.out.field_str("type", "document_url");
            self.out.key("document_url");
            match &media.source {
                Source::Inline(data) => media::write_data_url(self.out, media::mime_or_usual(media), data),
                Source::Url(url) | Source::FileId(url) | Source::Text(url) => self.out.string(url),
            }
            self.out.opt_str("document_name", media.name.as_deref());
            return Ok(());
        }
        self.out.field_str("type", "file");
        self.out.key("file");
        self.out.begin_object();
        match &media.source {
            Source::Inline(data) => {
                let mime = media::mime_or_usual(media);
                self.out.field_str("filename", media.name.as_deref().unwrap_or(usual_name(mime)));
                self.out.key("file_data");
                media::write_data_url(self.out, mime, data);
            }
            Source::Url(url) if takes_urls => {
                self.out.opt_str("filename", media.name.as_deref());
                self.out.field_str("file_data", url);
            }
            Source::FileId(id) if self.is_own => {
                self.out.opt_str("filename", media.name.as_deref());
                self.out.field_str("file_id", id);
            }
            _ => return Err(refused(media)),
        }
        self.out.end_object();
        Ok(())
    }
}

pub(super) fn text_of<'p>(part: &'p Part<'_>) -> Option<&'p str> {
    match &part.body {
        PartBody::Text { text, .. } => Some(text),
        _ => None,
    }
}

/// The text, where it is all there is.
pub(super) fn single_text<'p>(parts: &[&'p Part<'_>]) -> Option<&'p str> {
    match parts {
        [part] => text_of(part),
        _ => None,
    }
}

fn refused(media: &Media<'_>) -> BodyFault {
    let how = match media.source {
        Source::Inline(_) => "within the request",
        Source::Url(_) => "by address",
        Source::FileId(_) => "by an id of another provider",
        Source::Text(_) => "as text",
    };
    refusal::media(media, &format!("the provider takes no {} {how}", media.kind.word()))
}

fn usual_name(mime: &str) -> &'static str {
    match mime {
        "text/plain" => "document.txt",
        "text/csv" => "document.csv",
        "text/markdown" => "document.md",
        "text/html" => "document.html",
        "application/json" => "document.json",
        _ => "document.pdf",
    }
}
