//! The parts of a turn.

use std::borrow::Cow;

/// One part, with its mark for the prompt cache.
#[derive(Debug, Clone)]
pub(crate) struct Part<'a> {
    pub body: PartBody<'a>,
    /// The cache is asked to keep everything up to here.
    pub cache: Option<CacheMark>,
    /// What a model needs back with this very part to go on from it (a signature on a text or a call).
    pub signature: Option<Signature<'a>>,
}

impl<'a> Part<'a> {
    /// A part without marks.
    pub fn new(body: PartBody<'a>) -> Part<'a> {
        Part { body, cache: None, signature: None }
    }

    pub fn text(text: impl Into<Cow<'a, str>>) -> Part<'a> {
        Part::new(PartBody::Text { text: text.into(), annotations: None })
    }

    /// Media behind the first part of the first message, as tests show them to providers and clients.
    #[cfg(test)]
    pub fn media(kind: MediaKind, mime: Option<&'a str>, source: Source<'a>) -> Part<'a> {
        let at = "messages[0].content[1]".to_owned();
        Part::new(PartBody::Media(Media { kind, mime: mime.map(Into::into), source, name: None, detail: None, at }))
    }
}

/// How long a cache is asked to keep what stands before a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheMark {
    Minutes,
    Hour,
}

#[derive(Debug, Clone)]
pub(crate) enum PartBody<'a> {
    Text {
        text: Cow<'a, str>,
        /// Citations as the dialect that made them writes them: a JSON array, for a half of the same dialect.
        annotations: Option<Cow<'a, str>>,
    },
    /// The model's words for why it will not answer.
    Refusal(Cow<'a, str>),
    Media(Media<'a>),
    ToolCall {
        /// Unique in its conversation. A half whose dialect has none makes one up.
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        /// JSON text as the model wrote it, which may be cut or broken; empty means no arguments.
        arguments: Cow<'a, str>,
    },
    ToolResult {
        id: Cow<'a, str>,
        /// The tool's name; halves that know only the id look it up in earlier turns.
        name: Option<Cow<'a, str>>,
        content: Vec<Part<'a>>,
        is_error: bool,
    },
    Thought(Thought<'a>),
    /// What only the request's own dialect can say, as it was written: a half of the same dialect writes it back, any
    /// other half notes the loss of a part.
    Other {
        raw: Cow<'a, str>,
    },
}

/// Reasoning that was shown, summed up, or sealed. Its signature, if any, is the part's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Thought<'a> {
    /// Empty where the model shows none of it.
    pub text: Cow<'a, str>,
    /// The text is a summary by the provider rather than the reasoning itself.
    pub is_summary: bool,
    /// Sealed by the provider and unreadable: there is only a signature.
    pub is_redacted: bool,
    /// The item's id at its provider.
    pub id: Option<Cow<'a, str>>,
}

/// Sealed state of a model. Means something to the endpoint that made it and to nobody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signature<'a> {
    /// As the endpoint that is asked now made it; may be sent to it.
    Own(Cow<'a, str>),
    /// Made by another endpoint, or nobody knows by whom: is not sent to any other dialect.
    Foreign(Cow<'a, str>),
}

/// Something that is not text.
#[derive(Debug, Clone)]
pub(crate) struct Media<'a> {
    pub kind: MediaKind,
    /// `image/png`; none where nobody said.
    pub mime: Option<Cow<'a, str>>,
    pub source: Source<'a>,
    /// A file's name.
    pub name: Option<Cow<'a, str>>,
    /// How closely an image is looked at: `low`, `high`, `auto`.
    pub detail: Option<Cow<'a, str>>,
    /// Its place in the client's request, for error messages; empty in answers.
    pub at: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaKind {
    Image,
    Audio,
    Video,
    /// A document such as a PDF.
    File,
}

impl MediaKind {
    /// As catalogues name it.
    pub fn word(self) -> &'static str {
        match self {
            MediaKind::Image => "image",
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
            MediaKind::File => "file",
        }
    }

    /// What a media type says; documents and everything unknown are files.
    pub fn of_mime(mime: &str) -> MediaKind {
        match mime.split('/').next().unwrap_or_default() {
            "image" => MediaKind::Image,
            "audio" => MediaKind::Audio,
            "video" => MediaKind::Video,
            _ => MediaKind::File,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Source<'a> {
    /// Base64, without a prefix. Never copied while it lies in the body.
    Inline(Cow<'a, str>),
    /// The gateway does not fetch it.
    Url(Cow<'a, str>),
    /// An id at the provider that holds the file.
    FileId(Cow<'a, str>),
    /// A document that is plain text.
    Text(Cow<'a, str>),
}
