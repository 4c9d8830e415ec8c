//! A schema for Anthropic's structured output: objects are closed, references stay where they are, and limits on
//! numbers, lengths and counts cannot be said. Where an object is meant to be open, nothing that the target takes means
//! the same; that is listed as narrowed, and a forced tool is the better way.

use std::collections::HashMap;

use super::super::fault::{Flawed, SchemaFault, SchemaFaultKind};
use super::super::place::{Places, locate};
use super::{Converted, Effect, Fields, Journey, Part, is_open, is_silent, read_whole};
use crate::json::{Tape, Value};

const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// The schema as Anthropic's native structured output takes it. A schema that contains itself is refused with
/// [`SchemaFaultKind::Endless`].
pub fn for_anthropic(raw: &str) -> Result<Converted, SchemaFault> {
    let mut tape = Tape::default();
    let (root, reading) = read_whole(&mut tape, raw)?;
    if let Some(id) = reading.recursion() {
        let path = locate(root, reading.starts.get(id).copied().unwrap_or(0));
        let message = "contains itself, which the target cannot say".to_owned();
        return Err(SchemaFault { path, kind: SchemaFaultKind::Endless, message });
    }
    let mut writer = Writer {
        starts: reading.starts,
        places: Places::new(root),
        definitions: definitions(root),
        journey: Journey::default(),
    };
    writer.starts.sort_unstable();
    let part = writer.schema(root).map_err(|flaw| flaw.in_schema(root))?;
    Ok(writer.journey.finish(&part))
}

struct Writer<'a> {
    /// Where the places begin that answers are held against.
    starts: Vec<usize>,
    places: Places<'a>,
    /// References to the definitions of the root, by where each begins: those that can stay.
    definitions: HashMap<usize, String>,
    journey: Journey,
}

type Written<'a> = Result<Part<'a>, Flawed>;

impl<'a> Writer<'a> {
    fn schema(&mut self, schema: Value<'a>) -> Written<'a> {
        if !schema.is_object() {
            return match schema.bool() {
                Some(true) => Ok(Part::Object(Vec::new())),
                _ => {
                    self.journey.note("false", Effect::Loosened);
                    Ok(Part::Object(Vec::new()))
                }
            };
        }
        if let Some(reference) = schema.field("$ref") {
            return self.reference(schema, reference);
        }
        let mut fields: Fields<'a> = Vec::new();
        for (name, field) in schema.fields() {
            if let Some((name, part)) = self.keyword(&name, field, schema)? {
                fields.push((name.into(), part));
            }
        }
        if is_object(schema) {
            if schema.field("type").is_none() {
                // Who names properties means an object.
                self.journey.note("type", Effect::Reworded);
                fields.insert(0, ("type".into(), Part::word("\"object\"")));
            }
            if schema.field("additionalProperties").is_none() {
                self.close(schema);
                fields.push(("additionalProperties".into(), Part::word("false")));
            }
        }
        Ok(Part::Object(fields))
    }

    /// Tells what it means that an object is closed: for one that names its properties what most people want anyway.
    fn close(&mut self, schema: Value<'a>) {
        let asked = schema.field("additionalProperties");
        let effect = match asked {
            Some(asked) if asked.bool() == Some(false) => return,
            Some(asked) if !is_open(asked) => Effect::Narrowed,
            _ if schema.field("properties").is_none() => Effect::Narrowed,
            _ => Effect::Reworded,
        };
        self.journey.note("additionalProperties", effect);
    }

    /// A reference stands alone, but for the definitions of the root. One that leads elsewhere than to those is put in
    /// its place: where it leads may look different, or be left out.
    fn reference(&mut self, schema: Value<'a>, reference: Value<'a>) -> Written<'a> {
        for (name, _) in schema.fields() {
            match name.as_ref() {
                "$ref" => {}
                "title" | "description" | "default" | "examples" => self.journey.note(&name, Effect::Reworded),
                name if is_silent(name) => {}
                name => self.journey.note(name, Effect::Loosened),
            }
        }
        let target = reference.string().and_then(|text| self.places.resolve(&text));
        let kept = target.and_then(|target| self.definitions.get(&target.span().start));
        let mut fields: Fields<'a> = match (kept, target) {
            (Some(pointer), _) => vec![("$ref".into(), self.journey.say(pointer, reference)?)],
            (None, Some(target)) => match self.inside(&[], target)? {
                Part::Object(fields) => fields,
                _ => Vec::new(),
            },
            // The reader has refused those already.
            (None, None) => Vec::new(),
        };
        for (name, field) in schema.fields() {
            if self.is_definitions(&name) {
                let part = self.definitions(&name, field)?;
                fields.push((name, part));
            }
        }
        Ok(Part::Object(fields))
    }

    /// Definitions of the root; those of schemas inside are put where they are meant.
    fn is_definitions(&self, name: &str) -> bool {
        self.journey.depth == 0 && matches!(name, "$defs" | "definitions")
    }

    /// The keyword as it goes out; none when it does not.
    fn keyword(
        &mut self,
        name: &str,
        field: Value<'a>,
        schema: Value<'a>,
    ) -> Result<Option<(&'static str, Part<'a>)>, Flawed> {
        let kept = |name: &'static str, part| Ok(Some((name, part)));
        match name {
            "type" => kept("type", self.types(field, schema)?),
            "title" => kept("title", self.journey.keep(field)?),
            "description" => kept("description", self.journey.keep(field)?),
            "default" => kept("default", self.journey.keep(field)?),
            "const" if is_plain(field) => kept("const", self.journey.keep(field)?),
            "enum" if field.items().all(is_plain) => kept("enum", self.journey.keep(field)?),
            "required" if field.is_array() => kept("required", self.journey.keep(field)?),
            "properties" => kept("properties", self.each("properties", field)?),
            "$defs" if self.is_definitions(name) => kept("$defs", self.definitions("$defs", field)?),
            "definitions" if self.is_definitions(name) => kept("definitions", self.definitions("definitions", field)?),
            "additionalProperties" if is_object(schema) => {
                self.close(schema);
                kept("additionalProperties", Part::word("false"))
            }
            "items" if !field.is_array() => {
                let part = self.inside(&["items"], field)?;
                kept("items", part)
            }
            "anyOf" => kept("anyOf", self.list("anyOf", field)?),
            "allOf" => kept("allOf", self.list("allOf", field)?),
            "oneOf" if schema.field("anyOf").is_none() => {
                self.journey.note("oneOf", Effect::Loosened);
                kept("anyOf", self.list("oneOf", field)?)
            }
            "format" if field.string().is_some_and(|format| FORMATS.contains(&format.as_ref())) => {
                kept("format", self.journey.keep(field)?)
            }
            "minItems" if matches!(field.u64(), Some(0 | 1)) => kept("minItems", self.journey.keep(field)?),
            _ => {
                self.dropped(name, field, schema);
                Ok(None)
            }
        }
    }

    fn dropped(&mut self, name: &str, field: Value<'_>, schema: Value<'_>) {
        match name {
            "nullable" | "uniqueItems" if field.bool() == Some(false) => {}
            "nullable" => {
                let effect = if schema.field("type").is_some() { Effect::Reworded } else { Effect::Narrowed };
                self.journey.note(name, effect);
            }
            "examples" | "example" => self.journey.note(name, Effect::Reworded),
            name if is_silent(name) => {}
            name => self.journey.note(name, Effect::Loosened),
        }
    }

    /// OpenAPI's `nullable` becomes one more type, and Gemini's capitals small.
    fn types(&mut self, field: Value<'a>, schema: Value<'a>) -> Written<'a> {
        let is_nullable = schema.field("nullable").and_then(|it| it.bool()) == Some(true);
        let types: Vec<_> = if field.is_array() { field.items().collect() } else { vec![field] };
        let adds_null = is_nullable && !types.iter().any(|it| it.is_text("null"));
        let mut names = types.into_iter().map(|it| self.type_name(it)).collect::<Result<Vec<_>, _>>()?;
        match names.pop() {
            Some(only) if names.is_empty() && !adds_null && !field.is_array() => Ok(only),
            last => {
                names.extend(last);
                names.extend(adds_null.then_some(Part::word("\"null\"")));
                Ok(Part::List(names))
            }
        }
    }

    fn type_name(&mut self, name: Value<'a>) -> Written<'a> {
        let small = name.string().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
        if name.is_text(&small) {
            return self.journey.keep(name);
        }
        self.journey.note("type", Effect::Reworded);
        Ok(Part::string(&small))
    }

    fn inside(&mut self, names: &[&str], schema: Value<'a>) -> Written<'a> {
        let here = self.journey.enter(names, schema)?;
        let part = self.schema(schema)?;
        self.journey.leave(here);
        Ok(part)
    }

    fn each(&mut self, keyword: &str, field: Value<'a>) -> Written<'a> {
        let mut fields: Fields<'a> = Vec::new();
        for (name, schema) in field.fields() {
            let part = self.inside(&[keyword, &name], schema)?;
            fields.push((name, part));
        }
        Ok(Part::Object(fields))
    }

    /// Only definitions that something leads to: others may be broken, and say nothing.
    fn definitions(&mut self, keyword: &str, field: Value<'a>) -> Written<'a> {
        let mut fields: Fields<'a> = Vec::new();
        for (name, schema) in field.fields() {
            let span = schema.span();
            let first = self.starts.partition_point(|start| *start < span.start);
            if self.starts.get(first).is_some_and(|start| *start < span.end) {
                let part = self.inside(&[keyword, &name], schema)?;
                fields.push((name, part));
            }
        }
        Ok(Part::Object(fields))
    }

    fn list(&mut self, keyword: &str, field: Value<'a>) -> Written<'a> {
        let schemas = field.items().enumerate();
        let parts = schemas.map(|(place, schema)| self.inside(&[keyword, &place.to_string()], schema));
        Ok(Part::List(parts.collect::<Result<_, _>>()?))
    }
}

fn definitions(root: Value<'_>) -> HashMap<usize, String> {
    let mut found = HashMap::new();
    for keyword in ["$defs", "definitions"] {
        for (name, schema) in root.field(keyword).iter().flat_map(Value::fields) {
            let name = percent_encoded(&name.replace('~', "~0").replace('/', "~1"));
            found.insert(schema.span().start, format!("#/{keyword}/{name}"));
        }
    }
    found
}

/// A name as a part of a reference.
fn percent_encoded(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        match letter {
            ' ' | '"' | '%' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' | '#' | '[' | ']' => {
                out.push_str(&format!("%{:02X}", u32::from(letter)));
            }
            letter if letter.is_control() => {
                let mut bytes = [0; 4];
                letter.encode_utf8(&mut bytes).bytes().for_each(|byte| out.push_str(&format!("%{byte:02X}")));
            }
            letter => out.push(letter),
        }
    }
    out
}

fn is_object(schema: Value<'_>) -> bool {
    let names = |field: Value<'_>| {
        let is_it = |name: Value<'_>| name.string().is_some_and(|name| name.eq_ignore_ascii_case("object"));
        is_it(field) || field.items().any(is_it)
    };
    schema.field("type").map_or_else(|| schema.field("properties").is_some(), names)
}

fn is_plain(value: Value<'_>) -> bool {
    !value.is_object() && !value.is_array()
}
