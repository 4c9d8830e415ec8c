//! A conversation in neutral words: what every front end reads its request into, and what the brain decides from.

use serde_json::{Map, Value};

use super::base64;

/// One request.
#[derive(Debug, Clone, Default)]
pub struct Talk {
    /// As the request named it.
    pub model: String,
    pub is_stream: bool,
    /// Texts and marks.
    pub system: Vec<Part>,
    pub turns: Vec<Turn>,
    pub tools: Vec<Tool>,
    pub choice: Choice,
    /// Whether several calls may be made at once.
    pub is_parallel: bool,
    pub thinking: Thinking,
    pub format: Format,
    /// How many tokens of text at most.
    pub limit: Option<u64>,
    pub stop: Vec<String>,
    /// How many answers are wanted.
    pub choices: usize,
    /// What else was set, in OpenAI's names.
    pub params: Map<String, Value>,
    /// Whether only marked parts are cached.
    pub marks_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    User,
    Assistant,
}

#[derive(Debug, Clone)]
pub struct Turn {
    pub role: Role,
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone)]
pub enum Part {
    Text(String),
    Media(Media),
    /// A call as text of its arguments.
    Call {
        name: String,
        arguments: String,
    },
    Result {
        texts: Vec<String>,
        media: Vec<Media>,
    },
    /// Earlier reasoning that came back.
    Thought(String),
    /// Everything up to here is to be cached, for an hour or for minutes.
    Mark {
        is_hour: bool,
    },
}

/// Something that is not text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    pub kind: &'static str,
    /// Empty for a URL.
    pub mime: String,
    pub source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Bytes(usize),
    /// A URL or the id of a file.
    Place(String),
}

#[derive(Debug, Clone)]
pub struct Tool {
    pub name: String,
    pub schema: Value,
    /// Letters of its definition.
    pub size: usize,
    pub mark: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice {
    #[default]
    Auto,
    None,
    Any,
    Named(String),
}

/// Whether to reason, and how much of it to show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Thinking {
    #[default]
    Off,
    Silent,
    Shown,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub enum Format {
    #[default]
    Text,
    Json,
    Schema(Value),
}

impl Media {
    /// From a MIME type; kinds that nobody names are files.
    pub fn of(mime: &str, source: Source) -> Media {
        let mime = match mime.split(';').next().unwrap_or_default().trim() {
            "audio/mpeg" => "audio/mp3",
            "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => "audio/wav",
            other => other,
        };
        let kind = match mime.split('/').next() {
            Some("image") => "image",
            Some("audio") => "audio",
            Some("video") => "video",
            _ => "file",
        };
        Media { kind, mime: mime.to_owned(), source }
    }

    /// From a `data:` URI; anything else is a place.
    pub fn of_url(kind: &'static str, url: &str) -> Option<Media> {
        let Some(rest) = url.strip_prefix("data:") else {
            return Some(Media { kind, mime: String::new(), source: Source::Place(url.to_owned()) });
        };
        let (mime, data) = rest.split_once(";base64,")?;
        Media::of_base64(mime, data)
    }

    /// None when it is not base64.
    pub fn of_base64(mime: &str, data: &str) -> Option<Media> {
        Some(Media::of(mime, Source::Bytes(base64::decode(data)?.len())))
    }

    /// `[image image/png 70 bytes]`
    pub fn shown(&self) -> String {
        match &self.source {
            Source::Bytes(count) => format!("[{} {} {count} bytes]", self.kind, self.mime),
            Source::Place(place) => format!("[{} {place}]", self.kind),
        }
    }
}

impl Part {
    pub fn text(&self) -> Option<&str> {
        match self {
            Part::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn is_result(&self) -> bool {
        matches!(self, Part::Result { .. })
    }
}

impl Turn {
    pub fn user(parts: Vec<Part>) -> Turn {
        Turn { role: Role::User, parts }
    }

    pub fn assistant(parts: Vec<Part>) -> Turn {
        Turn { role: Role::Assistant, parts }
    }
}

/// The texts and media of a question or a result, in the order of the talk.
#[derive(Debug, Default)]
pub struct Question<'a> {
    pub texts: Vec<&'a str>,
    pub media: Vec<&'a Media>,
    /// Results that came directly before it, answered by nobody.
    pub before: Vec<&'a Part>,
    /// Results that came after it.
    pub after: Vec<&'a Part>,
}

impl Question<'_> {
    pub fn text(&self) -> String {
        self.texts.join("\n")
    }
}

impl Talk {
    /// The last thing the user said that is not a result, whatever the turns were cut into.
    pub fn question(&self) -> Question<'_> {
        let mut question = Question::default();
        let (mut unanswered, mut is_fresh) = (Vec::new(), false);
        for turn in &self.turns {
            if turn.role == Role::Assistant {
                unanswered.clear();
                is_fresh = false;
                continue;
            }
            for part in &turn.parts {
                if part.is_result() {
                    unanswered.push(part);
                    question.after.push(part);
                    is_fresh = false;
                    continue;
                }
                if !is_fresh && matches!(part, Part::Text(_) | Part::Media(_)) {
                    question = Question { before: std::mem::take(&mut unanswered), ..Question::default() };
                    is_fresh = true;
                }
                match part {
                    Part::Text(text) => question.texts.push(text),
                    Part::Media(media) => question.media.push(media),
                    _ => {}
                }
            }
        }
        question
    }

    /// Everything the user ever said.
    pub fn user_texts(&self) -> impl Iterator<Item = &str> {
        self.turns
            .iter()
            .filter(|turn| turn.role == Role::User)
            .flat_map(|turn| turn.parts.iter().filter_map(Part::text))
    }
}
