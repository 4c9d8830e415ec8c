//! A `Schema` as Gemini's clients write it, as JSON schema: types in capitals, `nullable`, counts as strings, keywords in
//! either spelling. Nothing is lost: all that Gemini says JSON schema can say as well. What is JSON schema already stays
//! as it is.

use std::borrow::Cow;

use super::super::fault::{Flawed, SchemaFault};
use super::super::parse::read;
use super::super::rule::Types;
use super::{Converted, Effect, Fields, Journey, Part, read_whole};
use crate::json::{Cursor, Tape, Value};

/// The JSON schema that says the same as a Gemini `Schema`.
pub fn from_gemini(raw: &str) -> Result<Converted, SchemaFault> {
    let mut tape = Tape::default();
    let root = read(&mut tape, raw)?;
    let mut writer = Writer { journey: Journey::default() };
    let part = writer.schema(root).map_err(|flaw| flaw.in_schema(root))?;
    let converted = writer.journey.finish(&part);
    // What Gemini would refuse is refused here: a keyword of the wrong kind, or one in both spellings.
    read_whole(&mut Tape::default(), &converted.json)?;
    Ok(converted)
}

struct Writer {
    journey: Journey,
}

type Written<'a> = Result<Part<'a>, Flawed>;

impl Writer {
    fn schema<'a>(&mut self, schema: Value<'a>) -> Written<'a> {
        if !schema.is_object() {
            return self.journey.keep(schema);
        }
        let said = |name: &str| {
            schema.fields().find(|(known, _)| plain_name(known).unwrap_or(known) == name).map(|(_, value)| value)
        };
        let is_nullable = said("nullable").and_then(|it| it.bool()) == Some(true);
        let mut fields: Fields<'a> = Vec::new();
        for (name, value) in schema.fields() {
            let name = plain_name(&name).map_or(name, Cow::Borrowed);
            let part = match name.as_ref() {
                "type" => self.types(value, is_nullable)?,
                "nullable" => None,
                "format" if value.is_text("enum") => None,
                "propertyOrdering" => None,
                "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties" => {
                    Some(self.count(value)?)
                }
                "enum" => Some(self.values(value, said("type"), is_nullable)?),
                "properties" if value.is_object() => Some(self.properties(value, said("propertyOrdering"))?),
                "items" => Some(self.inside(&["items"], value)?),
                "anyOf" if value.is_array() => Some(self.list(value, is_nullable)?),
                _ => Some(self.journey.keep(value)?),
            };
            match part {
                Some(part) if name == "example" => {
                    self.journey.note("example", Effect::Reworded);
                    fields.push(("examples".into(), Part::List(vec![part])));
                }
                Some(part) => fields.push((name, part)),
                None => self.journey.note(&name, Effect::Reworded),
            }
        }
        Ok(Part::Object(fields))
    }

    /// None when the type is not said.
    fn types<'a>(&mut self, value: Value<'a>, is_nullable: bool) -> Result<Option<Part<'a>>, Flawed> {
        let Some(name) = value.string() else { return self.journey.keep(value).map(Some) };
        if name == "TYPE_UNSPECIFIED" {
            return Ok(None);
        }
        let small = name.to_ascii_lowercase();
        let part = if Types::named(&name).is_some() && small != name.as_ref() {
            Part::string(&small)
        } else {
            self.journey.keep(value)?
        };
        Ok(Some(if is_nullable && small != "null" { Part::List(vec![part, Part::word("\"null\"")]) } else { part }))
    }

    /// A count that may stand in quotes.
    fn count<'a>(&mut self, value: Value<'a>) -> Written<'a> {
        match value.string() {
            Some(text) if text.parse::<u64>().is_ok_and(|count| count.to_string() == text) => {
                Ok(Part::Raw(Cow::Owned(text.into_owned())))
            }
            _ => self.journey.keep(value),
        }
    }

    /// Listed values stand in quotes whatever their type is; where null may come it is one of them.
    fn values<'a>(&mut self, value: Value<'a>, of: Option<Value<'a>>, is_nullable: bool) -> Written<'a> {
        if !value.is_array() {
            return self.journey.keep(value);
        }
        let kind = of.and_then(|it| it.string()).unwrap_or_default();
        let is_number = kind.eq_ignore_ascii_case("integer") || kind.eq_ignore_ascii_case("number");
        let mut parts = Vec::new();
        for item in value.items() {
            let number = item.string().filter(|text| is_number && is_one_number(text));
            parts.push(match number {
                Some(text) => Part::Raw(Cow::Owned(text.into_owned())),
                None => self.journey.keep(item)?,
            });
        }
        if is_nullable && !value.items().any(|item| item.is_null()) {
            parts.push(Part::word("null"));
        }
        Ok(Part::List(parts))
    }

    /// In the order that was asked for, since JSON schema has no other way to ask.
    fn properties<'a>(&mut self, value: Value<'a>, order: Option<Value<'a>>) -> Written<'a> {
        let order: Vec<_> = order.iter().flat_map(Value::items).filter_map(|item| item.string()).collect();
        let place: std::collections::HashMap<_, _> =
            order.iter().enumerate().map(|(at, name)| (name.as_ref(), at)).collect();
        let mut fields: Vec<_> = value.fields().collect();
        fields.sort_by_key(|(name, _)| place.get(name.as_ref()).copied().unwrap_or(usize::MAX));
        let mut written: Fields<'a> = Vec::new();
        for (name, schema) in fields {
            let part = self.inside(&["properties", &name], schema)?;
            written.push((name, part));
        }
        Ok(Part::Object(written))
    }

    /// Where null may come it is one more choice.
    fn list<'a>(&mut self, value: Value<'a>, is_nullable: bool) -> Written<'a> {
        let items = value.items().enumerate();
        let parts = items.map(|(place, item)| self.inside(&["anyOf", &place.to_string()], item));
        let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
        if is_nullable {
            parts.push(Part::Object(vec![("type".into(), Part::word("\"null\""))]));
        }
        Ok(Part::List(parts))
    }

    fn inside<'a>(&mut self, names: &[&str], schema: Value<'a>) -> Written<'a> {
        let here = self.journey.enter(names, schema)?;
        let part = self.schema(schema)?;
        self.journey.leave(here);
        Ok(part)
    }
}

/// The name in the spelling of JSON, for the keywords that have two.
fn plain_name(name: &str) -> Option<&'static str> {
    let plain = match name {
        "min_items" => "minItems",
        "max_items" => "maxItems",
        "min_length" => "minLength",
        "max_length" => "maxLength",
        "min_properties" => "minProperties",
        "max_properties" => "maxProperties",
        "any_of" => "anyOf",
        "property_ordering" => "propertyOrdering",
        "additional_properties" => "additionalProperties",

        _ => return None,
    };
    Some(plain)
}

fn is_one_number(text: &str) -> bool {
    let mut cursor = Cursor::lenient(text.as_bytes());
    cursor.number().is_ok() && cursor.end().is_ok() && !text.starts_with([' ', '\t', '\r', '\n'])
}
