//! Whether a schema may go to OpenAI with `strict: true`. A schema that breaks one rule of strict mode is answered with
//! 400, so only what is known to be taken passes. Changes nothing.

use super::super::fault::Flawed;
use super::{MAX_DEPTH, read_whole};
use crate::json::{Tape, Value};

/// Limits of strict mode.
const MAX_PROPERTIES: usize = 5_000;
const MAX_ENUM_VALUES: usize = 1_000;
const MAX_LEVELS: usize = 10;
const MAX_NAMES: usize = 120_000;

const FORMATS: [&str; 9] = ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];

/// Why strict mode would refuse a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("strict mode: `{path}` {reason}")]
pub struct NotStrict {
    /// JSON pointer of the schema at fault.
    pub path: String,
    pub reason: String,
}

/// Says nothing when the schema satisfies strict mode.
pub fn strict_for_openai(raw: &str) -> Result<(), NotStrict> {
    let mut tape = Tape::default();
    let (root, _) =
        read_whole(&mut tape, raw).map_err(|fault| NotStrict { path: fault.path, reason: fault.message })?;
    let mut strict = Strict::default();
    let outcome = strict.root(root).and_then(|()| strict.schema(root, 0, 0));
    outcome.map_err(|flaw| {
        let fault = flaw.in_schema(root);
        NotStrict { path: fault.path, reason: fault.message }
    })
}

/// What is counted over the whole schema.
#[derive(Default)]
struct Strict {
    properties: usize,
    enum_values: usize,
    names: usize,
}

type Pass = Result<(), Flawed>;

fn not(value: Value<'_>, reason: &str) -> Pass {
    Err(Flawed::malformed(value.span().start, reason))
}

impl Strict {
    fn root(&self, root: Value<'_>) -> Pass {
        match root.str("type").as_deref() {
            Some("object") if root.field("anyOf").is_none() => Ok(()),
            _ => not(root, "has to be an object, and not a choice"),
        }
    }

    /// `levels` counts objects and lists; `depth` everything, for the stack.
    fn schema(&mut self, schema: Value<'_>, levels: usize, depth: usize) -> Pass {
        if levels > MAX_LEVELS || depth > MAX_DEPTH {
            return not(schema, "is nested too deeply");
        }
        if !schema.is_object() {
            return not(schema, "has to be an object");
        }
        if schema.field("$ref").is_some() {
            return self.reference(schema, depth);
        }
        if !["type", "enum", "const", "anyOf"].iter().any(|name| schema.field(name).is_some()) {
            return not(schema, "has no type");
        }
        for (name, field) in schema.fields() {
            self.keyword(&name, field, levels, depth)?;
        }
        if says(schema, "object") {
            self.object(schema)?;
        }
        if says(schema, "array") && schema.field("items").is_none() {
            return not(schema, "has no items");
        }
        Ok(())
    }

    /// The definitions of a root may stand next to its reference; nothing else may.
    fn reference(&mut self, schema: Value<'_>, depth: usize) -> Pass {
        for (name, field) in schema.fields() {
            match name.as_ref() {
                "$ref" => {}
                "$defs" | "definitions" => self.each(field, 0, depth)?,
                _ => return not(schema, "has more than a reference"),
            }
        }
        Ok(())
    }

    fn keyword(&mut self, name: &str, field: Value<'_>, levels: usize, depth: usize) -> Pass {
        match name {
            "type" => match type_names(field).all(|name| name.chars().all(|letter| letter.is_ascii_lowercase())) {
                true => Ok(()),
                false => not(field, "has a type in capitals"),
            },
            "properties" => self.each(field, levels + 1, depth),
            "$defs" | "definitions" => self.each(field, 0, depth),
            "items" => self.schema(field, levels + 1, depth + 1),
            "anyOf" => field.items().try_for_each(|item| self.schema(item, levels, depth + 1)),
            "enum" => self.values(field),
            "format" => match field.string().is_some_and(|format| FORMATS.contains(&format.as_ref())) {
                true => Ok(()),
                false => not(field, "is a format that strict mode does not know"),
            },
            "$schema"
            | "$id"
            | "$comment"
            | "title"
            | "description"
            | "required"
            | "additionalProperties"
            | "const"
            | "pattern"
            | "multipleOf"
            | "minimum"
            | "maximum"
            | "exclusiveMinimum"
            | "exclusiveMaximum"
            | "minItems"
            | "maxItems" => Ok(()),
            _ => not(field, "is a keyword that strict mode does not take"),
        }
    }

    fn each(&mut self, fields: Value<'_>, levels: usize, depth: usize) -> Pass {
        for (name, field) in fields.fields() {
            self.named(&name, field)?;
            self.schema(field, levels, depth + 1)?;
        }
        Ok(())
    }

    fn values(&mut self, field: Value<'_>) -> Pass {
        for item in field.items() {
            self.enum_values += 1;
            if item.is_object() || item.is_array() {
                return not(item, "is no plain value");
            }
            if let Some(text) = item.string() {
                self.named(&text, item)?;
            }
        }
        if self.enum_values > MAX_ENUM_VALUES { not(field, "makes too many values") } else { Ok(()) }
    }

    fn named(&mut self, name: &str, at: Value<'_>) -> Pass {
        self.names += name.len();
        if self.names > MAX_NAMES { not(at, "makes names and values too long together") } else { Ok(()) }
    }

    fn object(&mut self, schema: Value<'_>) -> Pass {
        if schema.field("additionalProperties").and_then(|it| it.bool()) != Some(false) {
            return not(schema, "has to have `additionalProperties` as false");
        }
        let Some(properties) = schema.field("properties") else { return not(schema, "has no properties") };
        let mut required: Vec<_> =
            schema.field("required").iter().flat_map(|it| it.items()).filter_map(|it| it.string()).collect();
        required.sort_unstable();
        for (name, property) in properties.fields() {
            self.properties += 1;
            if required.binary_search(&name).is_err() {
                return not(property, "has to be required");
            }
        }
        let is_declared = |name: &str| properties.field(name).is_some();
        if required.len() > MAX_PROPERTIES || self.properties > MAX_PROPERTIES {
            return not(schema, "makes too many properties");
        }
        match required.iter().all(|name| is_declared(name)) {
            true => Ok(()),
            false => not(schema, "requires a property that it has not"),
        }
    }
}

fn type_names<'a>(field: Value<'a>) -> impl Iterator<Item = std::borrow::Cow<'a, str>> {
    field.string().into_iter().chain(field.items().filter_map(|item| item.string()))
}

/// Whether the schema is, or may be, of this type.
fn says(schema: Value<'_>, name: &str) -> bool {
    schema.field("type").is_some_and(|field| type_names(field).any(|it| it == name))
}
