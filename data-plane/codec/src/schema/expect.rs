//! What the values of keywords have to be, read or refused.

use std::borrow::Cow;

use super::fault::Flawed;
use super::rule::Types;
use crate::json::Value;

pub(super) type Read<T> = Result<T, Flawed>;

pub(super) fn types(field: Value<'_>) -> Read<Option<Types>> {
    let named = |value: Value<'_>| {
        let known = value.string().and_then(|name| match name.as_ref() {
            "any" | "TYPE_UNSPECIFIED" => Some(None),
            name => Types::named(name).map(Some),
        });
        let message = "has to be null, boolean, integer, number, string, array or object, or a list of these";
        known.ok_or_else(|| Flawed::malformed(value.span().start, message))
    };
    if !field.is_array() {
        return named(field);
    }
    let mut all = Some(Types::default());
    for item in field.items() {
        all = all.zip(named(item)?).map(|(all, one)| all.or(one));
    }
    Ok(all)
}

pub(super) fn list<'a>(field: Value<'a>, keyword: &str) -> Read<impl Iterator<Item = Value<'a>> + use<'a>> {
    if !field.is_array() {
        return Err(Flawed::malformed(field.span().start, format!("has to be a list: it is `{keyword}`")));
    }
    Ok(field.items())
}

type Named<'a> = (Cow<'a, str>, Value<'a>);

pub(super) fn fields<'a>(field: Value<'a>) -> Read<impl Iterator<Item = Named<'a>> + use<'a>> {
    if !field.is_object() {
        return Err(Flawed::malformed(field.span().start, "has to be an object"));
    }
    Ok(field.fields())
}

pub(super) fn names(field: Value<'_>) -> Read<Vec<String>> {
    let fault = |at: Value<'_>| Flawed::malformed(at.span().start, "has to be a list of strings");
    // Draft 3, and people who mean well, put a boolean next to the property: it asks nothing here.
    if field.bool().is_some() {
        return Ok(Vec::new());
    }
    if !field.is_array() {
        return Err(fault(field));
    }
    field.items().map(|item| item.string().map(|name| name.into_owned()).ok_or_else(|| fault(item))).collect()
}

/// A whole number; Gemini's clients write it as a string.
pub(super) fn count(field: Value<'_>) -> Read<u64> {
    let written = || field.string().and_then(|text| text.parse().ok());
    let fault = || Flawed::malformed(field.span().start, "has to be a whole number that is not negative");
    field.u64().or_else(written).ok_or_else(fault)
}
