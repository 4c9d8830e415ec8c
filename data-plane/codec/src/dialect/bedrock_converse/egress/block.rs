//! The blocks of which messages consist, and how each is written.

use std::borrow::Cow;

use super::media::Shown;
use crate::json::{Cursor, Kind, Nothing, Writer};
use crate::model::CacheMark;

#[derive(Debug)]
pub(super) enum Block<'r> {
    Text(Cow<'r, str>),
    Shown(Shown<'r>),
    Call {
        id: Cow<'r, str>,
        name: &'r str,
        arguments: &'r str,
    },
    Result {
        id: Cow<'r, str>,
        content: Vec<Block<'r>>,
        is_error: bool,
    },
    Thought {
        text: &'r str,
        sealed: &'r str,
    },
    Redacted(&'r str),
    /// The cache is asked to keep everything up to here.
    CachePoint(CacheMark),
}

impl Block<'_> {
    pub fn is_thought(&self) -> bool {
        matches!(self, Block::Thought { .. } | Block::Redacted(_))
    }

    pub fn write(&self, out: &mut Writer) {
        match self {
            Block::Text(text) => write_text(text, out),
            Block::Shown(shown) => shown.write(out),
            Block::Call { id, name, arguments } => within("toolUse", out, |out| {
                out.field_str("toolUseId", id);
                out.field_str("name", name);
                out.key("input");
                input(arguments, out);
            }),
            Block::Result { id, content, is_error } => within("toolResult", out, |out| {
                out.field_str("toolUseId", id);
                out.key("content");
                out.begin_array();
                content.iter().for_each(|block| block.write(out));
                out.end_array();
                if *is_error {
                    out.field_str("status", "error");
                }
            }),
            Block::Thought { text, sealed } => within("reasoningContent", out, |out| {
                out.key("reasoningText");
                out.begin_object();
                out.field_str("text", text);
                out.field_str("signature", sealed);
                out.end_object();
            }),
            Block::Redacted(sealed) => within("reasoningContent", out, |out| out.field_str("redactedContent", sealed)),
            Block::CachePoint(mark) => cache_point(*mark, out),
        }
    }
}

pub(super) fn write_text(text: &str, out: &mut Writer) {
    out.begin_object();
    out.field_str("text", text);
    out.end_object();
}

/// A mark for the cache, an element of its own.
pub(super) fn cache_point(mark: CacheMark, out: &mut Writer) {
    out.raw(match mark {
        CacheMark::Minutes => r#"{"cachePoint":{"type":"default"}}"#,
        CacheMark::Hour => r#"{"cachePoint":{"type":"default","ttl":"1h"}}"#,
    });
}

/// An object whose one field is an object.
fn within(name: &str, out: &mut Writer, write: impl FnOnce(&mut Writer)) {
    out.begin_object();
    out.key(name);
    out.begin_object();
    write(out);
    out.end_object();
    out.end_object();
}

/// A call's arguments as an object. What is no object (a call that was cut, a model's slip) is kept as text within one, so
/// that nothing is lost and the conversation can go on.
fn input(arguments: &str, out: &mut Writer) {
    match arguments.trim() {
        "" => out.raw("{}"),
        arguments if is_object(arguments) => out.raw(arguments),
        arguments => {
            out.begin_object();
            out.field_str("raw_arguments", arguments);
            out.end_object();
        }
    }
}

fn is_object(text: &str) -> bool {
    let mut cursor = Cursor::strict(text.as_bytes(), true);
    cursor.kind() == Ok(Kind::Object) && cursor.skip(&mut Nothing).is_ok() && cursor.end().is_ok()
}
