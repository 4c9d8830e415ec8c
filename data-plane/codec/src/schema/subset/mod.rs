//! Schemas for those who take a part of the language only. Everything kept stays as it is written, in its order; what
//! changes is listed, so that a loss has a name. Never guesses what a broken schema means: the reader refuses those
//! first. Next rooms: `gemini`, `anthropic`, `openai`, one for each target, and `from_gemini` for what its clients send.

mod anthropic;
mod flat;
mod from_gemini;
mod gemini;
mod openai;

pub use anthropic::for_anthropic;
pub use from_gemini::from_gemini;
pub use gemini::for_gemini;
pub use openai::{NotStrict, strict_for_openai};

use std::borrow::Cow;

use super::fault::{Flawed, SchemaFault, SchemaFaultKind};
use super::place::push_name;
use crate::json::{NewText, Value, write_string};

/// Nesting of what is written.
const MAX_DEPTH: usize = 64;
/// Schemas inside one that is written, after references were put in their places.
const MAX_PARTS: usize = 20_000;
/// What is written is not larger than this.
const MAX_BYTES: usize = 4 << 20;
/// Text that is gone through, with every schema counted whenever it is written: one of which nothing is written is work
/// all the same.
const MAX_WORK: usize = 32 << 20;
/// Changes that are listed.
const MAX_CHANGES: usize = 1_000;

/// A schema as a target takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    pub json: String,
    /// What is not as it was, in the order of the schema; at most a thousand places.
    pub changed: Vec<Change>,
}

impl Converted {
    /// What the target will not enforce, or enforces more strictly than was asked.
    pub fn losses(&self) -> impl Iterator<Item = &Change> {
        self.changed.iter().filter(|change| change.effect != Effect::Reworded)
    }
}

/// One keyword that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// JSON pointer of the schema that has it, with references followed.
    pub path: String,
    pub keyword: String,
    pub effect: Effect,
}

/// What a change does to the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: the same is said in other words.
    Reworded,
    /// The target may answer what was not asked for.
    Loosened,
    /// The target will not give some answers that were asked for.
    Narrowed,
}

/// JSON in the making: text that is kept, and objects and lists around it.
#[derive(Debug)]
enum Part<'a> {
    Raw(Cow<'a, str>),
    Object(Fields<'a>),
    List(Vec<Part<'a>>),
}

type Fields<'a> = Vec<(Cow<'a, str>, Part<'a>)>;

impl<'a> Part<'a> {
    fn raw(value: Value<'a>) -> Part<'a> {
        Part::Raw(Cow::Borrowed(value.raw()))
    }

    fn string(text: &str) -> Part<'a> {
        let mut out = NewText::new();
        write_string(&mut out, text);
        Part::Raw(Cow::Owned(String::from_utf8_lossy(&out).into_owned()))
    }

    fn text(&self) -> String {
        let mut out = NewText::new();
        self.write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn word(word: &'static str) -> Part<'a> {
        Part::Raw(Cow::Borrowed(word))
    }

    /// As deep as it was made, which is bounded.
    fn write(&self, out: &mut NewText) {
        match self {
            Part::Raw(text) => out.extend_from_slice(text.as_bytes()),
            Part::List(items) => {
                out.push(b'[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Part::Object(fields) => {
                out.push(b'{');
                for (place, (name, part)) in fields.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    write_string(out, name);
                    out.push(b':');
                    part.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

/// What all conversions keep while they go down: where they are, what they changed, and how much they may still write.
#[derive(Debug, Default)]
struct Journey {
    path: String,
    depth: usize,
    parts: usize,
    bytes: usize,
    work: usize,
    changed: Vec<Change>,
}

impl Journey {
    fn note(&mut self, keyword: &str, effect: Effect) {
        if self.changed.len() < MAX_CHANGES {
            let keyword = keyword.chars().take(64).collect();
            self.changed.push(Change { path: self.path.clone(), keyword, effect });
        }
    }

    /// Goes into the schema under these names; counts. Where to come back to.
    fn enter(&mut self, names: &[&str], value: Value<'_>) -> Result<usize, Flawed> {
        self.parts += 1;
        self.work = self.work.saturating_add(value.span().len());
        if self.depth >= MAX_DEPTH || self.parts > MAX_PARTS || self.work > MAX_WORK {
            return Err(too_large(value));
        }
        names.iter().try_for_each(|name| self.count(written(name), value))?;
        let here = self.path.len();
        names.iter().for_each(|name| push_name(&mut self.path, name));
        self.depth += 1;
        Ok(here)
    }

    fn leave(&mut self, here: usize) {
        self.depth = self.depth.saturating_sub(1);
        self.path.truncate(here);
    }

    /// A value that is kept as it is; counts.
    fn keep<'a>(&mut self, value: Value<'a>) -> Result<Part<'a>, Flawed> {
        self.count(value.span().len(), value)?;
        Ok(Part::raw(value))
    }

    /// A text of ours that is written in the place of `value`; counts.
    fn say<'a>(&mut self, text: &str, value: Value<'_>) -> Result<Part<'a>, Flawed> {
        self.count(written(text), value)?;
        Ok(Part::string(text))
    }

    fn count(&mut self, bytes: usize, value: Value<'_>) -> Result<(), Flawed> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_BYTES { Err(too_large(value)) } else { Ok(()) }
    }

    fn finish(self, part: &Part<'_>) -> Converted {
        Converted { json: part.text(), changed: self.changed }
    }
}

/// The bytes that a text takes in quotes, at most.
fn written(text: &str) -> usize {
    let escaped = text.bytes().filter(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\' | 0x7f)).count();
    text.len() + 5 * escaped + 2
}

fn too_large(value: Value<'_>) -> Flawed {
    Flawed {
        at: value.span().start,
        kind: SchemaFaultKind::TooLarge,
        message: "becomes too large once its references are put in their places".to_owned(),
    }
}

fn endless(at: usize) -> Flawed {
    Flawed { at, kind: SchemaFaultKind::Endless, message: "contains itself, which the target cannot say".to_owned() }
}

/// Reads the schema, and refuses a broken one.
fn read_whole<'a>(
    tape: &'a mut crate::json::Tape,
    raw: &'a str,
) -> Result<(Value<'a>, super::parse::Reading), SchemaFault> {
    let root = super::parse::read(tape, raw)?;
    let reading = super::parse::Reading::of(root)?;
    Ok((root, reading))
}

/// Keywords that say something about the schema itself or name its parts: nothing is lost without them.
fn is_silent(keyword: &str) -> bool {
    matches!(
        keyword,
        "$schema"
            | "$id"
            | "id"
            | "$anchor"
            | "$dynamicAnchor"
            | "$recursiveAnchor"
            | "$vocabulary"
            | "$comment"
            | "$defs"
            | "definitions"
            | "readOnly"
            | "writeOnly"
            | "deprecated"
            | "discriminator"
            | "externalDocs"
            | "xml"
    ) || keyword.starts_with("x-")
}

/// Whether `additionalProperties` says what is so without it.
fn is_open(value: Value<'_>) -> bool {
    value.bool() == Some(true) || value.is_object() && value.fields().next().is_none()
}
