//! What is wrong with a request, by place. Values of the fields we know must have their type; nothing of the body is
//! quoted.

use std::borrow::Cow;
use std::fmt;

use crate::error::{BodyFault, BodyFaultKind};
use crate::json::Value;

/// Where something stands, written only when something is wrong with it.
#[derive(Clone, Copy)]
pub(super) enum At<'p> {
    Root(&'p str),
    Name(&'p At<'p>, &'p str),
    Item(&'p At<'p>, usize),
}

impl At<'_> {
    pub fn name<'p>(&'p self, name: &'p str) -> At<'p> {
        At::Name(self, name)
    }

    pub fn item(&self, place: usize) -> At<'_> {
        At::Item(self, place)
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root(name) => f.write_str(name),
            At::Name(outer, name) => write!(f, "{outer}.{name}"),
            At::Item(outer, place) => write!(f, "{outer}[{place}]"),
        }
    }
}

pub(super) fn wrong(at: At<'_>, expected: &str) -> BodyFault {
    let path = at.to_string();
    BodyFault { kind: BodyFaultKind::WrongType, message: format!("`{path}` must be {expected}"), param: Some(path) }
}

pub(super) fn missing(at: At<'_>) -> BodyFault {
    let path = at.to_string();
    BodyFault { kind: BodyFaultKind::Missing, message: format!("`{path}` is required"), param: Some(path) }
}

pub(super) fn text<'a>(value: Value<'a>, at: At<'_>) -> Result<Cow<'a, str>, BodyFault> {
    value.string().ok_or_else(|| wrong(at, "a string"))
}

pub(super) fn flag(value: Value<'_>, at: At<'_>) -> Result<bool, BodyFault> {
    value.bool().ok_or_else(|| wrong(at, "true or false"))
}

/// A number, which protobuf also reads out of a string.
pub(super) fn number<'a>(value: Value<'a>, at: At<'_>) -> Result<&'a str, BodyFault> {
    let quoted = || match value.string() {
        Some(Cow::Borrowed(text)) if is_number(text) => Some(text),
        _ => None,
    };
    value.number().or_else(quoted).ok_or_else(|| wrong(at, "a number"))
}

fn is_number(text: &str) -> bool {
    let mut cursor = crate::json::Cursor::lenient(text.as_bytes());
    let starts = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    starts && cursor.number().is_ok() && cursor.end().is_ok() && !text.ends_with(char::is_whitespace)
}

/// A whole number that is not negative.
pub(super) fn count(value: Value<'_>, at: At<'_>) -> Result<u64, BodyFault> {
    let quoted = || value.string().and_then(|text| text.parse().ok());
    value.u64().or_else(quoted).ok_or_else(|| wrong(at, "a whole number, not negative"))
}

pub(super) fn object<'a>(value: Value<'a>, at: At<'_>) -> Result<Value<'a>, BodyFault> {
    if value.is_object() { Ok(value) } else { Err(wrong(at, "an object")) }
}

/// Objects of a list; one alone is a list of it.
pub(super) fn objects<'a>(value: Value<'a>, at: At<'_>) -> Result<Vec<Value<'a>>, BodyFault> {
    if !value.is_object() && !value.is_array() {
        return Err(wrong(at, "an array of objects"));
    }
    let items: Vec<Value<'a>> = super::super::spelling::list(value).collect();
    match items.iter().position(|item| !item.is_object()) {
        Some(place) => Err(wrong(at.item(place), "an object")),
        None => Ok(items),
    }
}

/// Texts of a list; one alone is a list of it.
pub(super) fn texts<'a>(value: Value<'a>, at: At<'_>) -> Result<Vec<Cow<'a, str>>, BodyFault> {
    if let Some(one) = value.string() {
        return Ok(vec![one]);
    }
    if !value.is_array() {
        return Err(wrong(at, "an array of strings"));
    }
    value.items().enumerate().map(|(place, item)| text(item, at.item(place))).collect()
}
