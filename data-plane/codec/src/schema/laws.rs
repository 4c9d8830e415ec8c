//! What holds for any bytes whatever, each law as a function of bytes that a fuzzer can call. A broken law is returned
//! and not panicked about, so that panics are findings of their own.

use super::check::is_json;
use super::{Ending, Schema, for_anthropic, for_gemini, from_gemini, heal, strict_for_openai};
use crate::json::{Kind, Tape, Value};

/// A law that does not hold, in words.
pub type Broken = &'static str;

/// Up to the first zero byte a schema, behind it an answer.
pub fn checking(data: &[u8]) -> Result<(), Broken> {
    let (schema, answer) = halves(data);
    let (Some(schema), Some(answer)) = (schema, answer) else { return Ok(()) };
    let Ok(schema) = Schema::parse(schema) else { return Ok(()) };
    match (schema.check(answer), schema.check(answer)) {
        (one, two) if one != two => Err("a check says the same whenever it is made"),
        (Ok(()), _) if !is_json(answer) => Err("what passes is JSON"),
        _ => Ok(()),
    }
}

/// An answer, or up to the first zero byte a schema and behind it an answer.
pub fn healing(data: &[u8]) -> Result<(), Broken> {
    let (before, behind) = halves(data);
    let (schema, answer) = match behind {
        Some(answer) => (before.and_then(|schema| Schema::parse(schema).ok()), answer),
        None => (None, before.unwrap_or_default()),
    };
    for ending in [Ending::Finished, Ending::Cut] {
        healed(answer, ending, schema.as_ref())?;
    }
    Ok(())
}

fn healed(answer: &str, ending: Ending, schema: Option<&Schema>) -> Result<(), Broken> {
    let Some(json) = heal(answer, ending, schema) else {
        let is_fine = is_json(answer) && schema.is_none();
        return if is_fine { Err("an answer with nothing wrong is its own healing") } else { Ok(()) };
    };
    if !is_json(&json) {
        return Err("what is healed is JSON");
    }
    if schema.is_some_and(|schema| schema.check(&json).is_err()) {
        return Err("what is healed matches the schema");
    }
    if is_json(answer) && schema.is_none_or(|schema| schema.check(answer).is_ok()) && json != answer {
        return Err("an answer with nothing wrong stays as it is");
    }
    if heal(&json, ending, schema).as_deref() != Some(json.as_str()) {
        return Err("healing again changes nothing");
    }
    let mut tape = Tape::default();
    match tape.read(json.as_bytes()) {
        Ok(value) if !is_written(value, answer) => {
            Err("no value is in the healed answer that was not in the broken one")
        }
        _ => Ok(()),
    }
}

/// Whether all texts and numbers of a value are in `answer`, apart from what stands there escaped.
fn is_written(value: Value<'_>, answer: &str) -> bool {
    match value.kind() {
        Kind::Number => answer.contains("\\u") || answer.contains(value.raw()),
        Kind::String => answer.contains('\\') || value.string().is_some_and(|text| answer.contains(text.as_ref())),
        Kind::Object => value.fields().all(|(name, field)| {
            (answer.contains('\\') || answer.contains(name.as_ref())) && is_written(field, answer)
        }),
        Kind::Array => value.items().all(|item| is_written(item, answer)),
        Kind::True | Kind::False | Kind::Null => true,
    }
}

/// A schema.
pub fn converting(data: &[u8]) -> Result<(), Broken> {
    let Ok(raw) = std::str::from_utf8(data) else { return Ok(()) };
    let is_good = Schema::parse(raw).is_ok();
    for convert in [for_gemini, for_anthropic, from_gemini] {
        let Ok(converted) = convert(raw) else { continue };
        if !is_json(&converted.json) {
            return Err("what is converted is JSON");
        }
        if is_good && Schema::parse(&converted.json).is_err() {
            return Err("a good schema stays one");
        }
    }
    if for_gemini(raw).is_ok_and(|converted| !holds(&converted.json, is_for_gemini)) {
        return Err("Gemini gets the keywords that it knows, and only names that are there are required");
    }
    if for_anthropic(raw).is_ok_and(|converted| !holds(&converted.json, is_for_anthropic)) {
        return Err("Anthropic gets closed objects and no limits");
    }
    match strict_for_openai(raw) {
        Ok(()) if !is_good => Err("a broken schema is not strict"),
        _ => Ok(()),
    }
}

fn holds(json: &str, law: fn(Value<'_>) -> bool) -> bool {
    Tape::default().read(json.as_bytes()).is_ok_and(law)
}

fn is_for_gemini(schema: Value<'_>) -> bool {
    const KNOWN: [&str; 22] = [
        "type",
        "format",
        "title",
        "description",
        "nullable",
        "enum",
        "maxItems",
        "minItems",
        "properties",
        "required",
        "minProperties",
        "maxProperties",
        "minLength",
        "maxLength",
        "pattern",
        "example",
        "anyOf",
        "propertyOrdering",
        "default",
        "items",
        "minimum",
        "maximum",
    ];
    let field = |name: &str| schema.field(name);
    let is_kind = |name: &str, kind: Kind| field(name).is_none_or(|value| value.kind() == kind);
    let is_declared = |name: Value<'_>| {
        name.string()
            .is_some_and(|name| field("properties").is_some_and(|properties| properties.field(&name).is_some()))
    };
    schema.is_object()
        && schema.fields().all(|(name, _)| KNOWN.contains(&name.as_ref()))
        && is_kind("type", Kind::String)
        && is_kind("items", Kind::Object)
        && field("enum").is_none_or(|values| values.items().all(|value| value.is_string()))
        && field("required").is_none_or(|names| names.items().all(is_declared))
        && inner_schemas(schema).into_iter().all(is_for_gemini)
}

fn is_for_anthropic(schema: Value<'_>) -> bool {
    const KNOWN: [&str; 17] = [
        "type",
        "title",
        "description",
        "default",
        "const",
        "enum",
        "required",
        "properties",
        "additionalProperties",
        "$defs",
        "definitions",
        "items",
        "anyOf",
        "allOf",
        "format",
        "minItems",
        "$ref",
    ];
    let is_closed = schema.field("additionalProperties").is_none_or(|closed| closed.bool() == Some(false));
    let is_object = match schema.field("type") {
        Some(types) => types.is_text("object") || types.items().any(|it| it.is_text("object")),
        None => schema.field("properties").is_some(),
    };
    schema.is_object()
        && schema.fields().all(|(name, _)| KNOWN.contains(&name.as_ref()))
        && is_closed
        && (!is_object || schema.field("additionalProperties").is_some())
        && inner_schemas(schema).into_iter().all(is_for_anthropic)
}

fn inner_schemas<'a>(schema: Value<'a>) -> Vec<Value<'a>> {
    let named = ["properties", "$defs", "definitions"].into_iter().filter_map(|name| schema.field(name));
    let listed = ["anyOf", "allOf"].into_iter().filter_map(|name| schema.field(name));
    let named = named.flat_map(|fields| fields.fields().map(|(_, value)| value).collect::<Vec<_>>());
    named.chain(listed.flat_map(|list| list.items())).chain(schema.field("items")).collect()
}

fn halves(data: &[u8]) -> (Option<&str>, Option<&str>) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let mut text = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
    let first = text();
    (first, text())
}
