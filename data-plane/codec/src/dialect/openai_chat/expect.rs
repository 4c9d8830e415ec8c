//! What a field of a request must be. Faults name the place and never what stands there.

use std::borrow::Cow;
use std::fmt::Display;

use crate::error::{BodyFault, BodyFaultKind};
use crate::json::Value;

pub(super) fn wrong(at: impl Display, expected: &str) -> BodyFault {
    BodyFault {
        kind: BodyFaultKind::WrongType,
        message: format!("`{at}` must be {expected}"),
        param: Some(at.to_string()),
    }
}

pub(super) fn out_of_range(at: impl Display, expected: &str) -> BodyFault {
    BodyFault { kind: BodyFaultKind::OutOfRange, ..wrong(at, expected) }
}

pub(super) fn missing(at: impl Display) -> BodyFault {
    BodyFault { kind: BodyFaultKind::Missing, message: format!("`{at}` is required"), param: Some(at.to_string()) }
}

pub(super) fn text<'a>(value: Value<'a>, at: impl Display) -> Result<Cow<'a, str>, BodyFault> {
    value.string().ok_or_else(|| wrong(at, "a string"))
}

/// The string under a name; null is the same as absent.
pub(super) fn opt_text<'a>(object: Value<'a>, name: &str, at: impl Display) -> Result<Option<Cow<'a, str>>, BodyFault> {
    object.get(name).map(|value| text(value, format_args!("{at}.{name}"))).transpose()
}

/// The string under a name that must be there.
pub(super) fn named_text<'a>(object: Value<'a>, name: &str, at: impl Display) -> Result<Cow<'a, str>, BodyFault> {
    let value = object.get(name).ok_or_else(|| missing(format_args!("{at}.{name}")))?;
    text(value, format_args!("{at}.{name}"))
}

pub(super) fn number<'a>(value: Value<'a>, at: impl Display) -> Result<&'a str, BodyFault> {
    value.number().ok_or_else(|| wrong(at, "a number"))
}

pub(super) fn count(value: Value<'_>, at: impl Display) -> Result<u64, BodyFault> {
    value.u64().ok_or_else(|| wrong(at, "a whole number, not negative"))
}

pub(super) fn flag(value: Value<'_>, at: impl Display) -> Result<bool, BodyFault> {
    value.bool().ok_or_else(|| wrong(at, "true or false"))
}

pub(super) fn object<'a>(value: Value<'a>, at: impl Display) -> Result<Value<'a>, BodyFault> {
    if value.is_object() { Ok(value) } else { Err(wrong(at, "an object")) }
}

pub(super) fn array<'a>(value: Value<'a>, at: impl Display) -> Result<Value<'a>, BodyFault> {
    if value.is_array() { Ok(value) } else { Err(wrong(at, "an array")) }
}
