//! Mends an answer that should be JSON and is not quite: what is wrong around the values is put right, and no value is
//! ever made up. A healed answer says what the model wrote, or there is none.
//!
//! Put right: prose and code fences around the value, byte order marks, comments, commas too many (and those missing
//! where nothing else can be meant), quotes of other kinds, keys without quotes, Python's `True`, `False` and `None`,
//! control characters and unknown escapes in strings, the same value twice, JSON inside a JSON string, closing brackets
//! that are missing.
//!
//! Not put right: strings without an end (nobody can tell where it should have been), numbers that JSON does not know,
//! places where a value is missing, `...` for something left out, two different values. An answer that was cut off is
//! not closed either: what is missing there is more than brackets.
//!
//! Next rooms: `find`, which looks for the value, and `mend`, which reads it leniently.

mod find;
mod mend;

use find::Find;

use super::Schema;
use super::check::is_json;
use super::likeness::likeness;
use crate::json::Tape;

/// Values in one answer that are held against the schema; with more, nobody can say which is meant.
const MAX_CANDIDATES: usize = 8;

/// How the provider says that an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself: the model had nothing to add.
    Finished,
    /// At a limit, at a stop sequence, by a filter, or nobody knows: something may be missing.
    Cut,
}

/// The answer as the JSON that it means, matching the schema when there is one: the answer itself, byte for byte, when
/// nothing is wrong with it. None when there is no such JSON, or more than one. For JSON mode, where any object will do,
/// the schema is `{"type":"object"}`.
pub fn heal(answer: &str, ending: Ending, schema: Option<&Schema>) -> Option<String> {
    if is_json(answer) {
        return if fits(answer, schema) { Some(answer.to_owned()) } else { inner(answer, ending, schema) };
    }
    let text = answer.trim_matches(|letter: char| letter == '\u{feff}' || letter.is_whitespace());
    if is_json(text) {
        return if fits(text, schema) { Some(text.to_owned()) } else { inner(text, ending, schema) };
    }
    match mended(text, ending, schema) {
        Found::One(json) => Some(json),
        Found::Several => None,
        Found::None => quoted(text).and_then(|inner| once(&inner, ending, schema)),
    }
}

/// What a search came to.
enum Found {
    None,
    One(String),
    /// More than one, or something that should be one and cannot be mended.
    Several,
}

fn mended(text: &str, ending: Ending, schema: Option<&Schema>) -> Found {
    let find = Find { text, closes: ending == Ending::Finished, takes_scalars: schema.is_some() };
    match choose(find.whole().as_slice(), schema) {
        Found::None => {}
        found => return found,
    }
    let Some(inside) = find.inside() else { return Found::Several };
    // What stands in fences is what was meant; only where none of it fits is the rest looked at.
    for values in [inside.fenced, inside.loose] {
        match choose(&values, schema) {
            Found::None => {}
            found => return found,
        }
    }
    Found::None
}

/// The one value among these that fits.
fn choose(values: &[String], schema: Option<&Schema>) -> Found {
    if values.len() > MAX_CANDIDATES {
        return Found::Several;
    }
    let mut chosen: Option<(&String, String)> = None;
    for value in values.iter().filter(|value| fits(value, schema)) {
        let Some(same) = likeness_of(value) else { continue };
        match &chosen {
            None => chosen = Some((value, same)),
            Some((_, first)) if *first == same => {}
            Some(_) => return Found::Several,
        }
    }
    chosen.map_or(Found::None, |(value, _)| Found::One(value.clone()))
}

fn fits(json: &str, schema: Option<&Schema>) -> bool {
    match schema {
        Some(schema) => schema.check(json).is_ok(),
        None => is_json(json),
    }
}

fn likeness_of(json: &str) -> Option<String> {
    Tape::default().read(json.as_bytes()).ok().map(likeness)
}

/// JSON that a JSON string holds, when the schema wants that and not the string.
fn inner(json: &str, ending: Ending, schema: Option<&Schema>) -> Option<String> {
    let text: String = serde_json::from_str(json).ok()?;
    once(&text, ending, schema)
}

/// The text with its escapes taken back, when it looks like the inside of a string: `{\"a\":1}`.
fn quoted(text: &str) -> Option<String> {
    if !text.contains("\\\"") {
        return None;
    }
    serde_json::from_str(&format!("\"{text}\"")).ok()
}

/// Heals what was found inside; no deeper.
fn once(text: &str, ending: Ending, schema: Option<&Schema>) -> Option<String> {
    let text = text.trim();
    if is_json(text) {
        return fits(text, schema).then(|| text.to_owned());
    }
    match mended(text, ending, schema) {
        Found::One(json) => Some(json),
        Found::None | Found::Several => None,
    }
}
