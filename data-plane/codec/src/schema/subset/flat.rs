//! One schema with everything that speaks of the same value put together: what it says itself, what it refers to, and
//! what all of its `allOf` say. Where two say different things of one keyword the first stands, and that is told.

use std::borrow::Cow;
use std::collections::HashMap;

use super::super::fault::Flawed;
use super::super::place::Places;
use super::{Effect, Journey, endless, is_silent};
use crate::json::Value;

/// Keywords that mean something; there are no others in a [`Flat`], so it stays small.
const KNOWN: [&str; 42] = [
    "type",
    "nullable",
    "enum",
    "const",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "title",
    "description",
    "default",
    "example",
    "examples",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "items",
    "prefixItems",
    "additionalItems",
    "contains",
    "minContains",
    "maxContains",
    "minItems",
    "maxItems",
    "uniqueItems",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "propertyOrdering",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
];
/// More of these, which nobody enforces anyway.
const UNENFORCED: [&str; 4] = ["unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef"];

/// The keywords of one value's schemas, in order.
#[derive(Default)]
pub(super) struct Flat<'a> {
    /// `properties` and `required` only mark their places.
    pub keywords: Vec<(Cow<'a, str>, Value<'a>)>,
    /// Each with all that is said of it.
    pub properties: Vec<(Cow<'a, str>, Vec<Value<'a>>)>,
    index: HashMap<Cow<'a, str>, usize>,
    pub required: Vec<Value<'a>>,
    /// One of the schemas is `false`.
    pub is_never: bool,
}

/// Follows references, and knows which are being followed.
pub(super) struct Follow<'a> {
    pub places: Places<'a>,
    /// Where the targets begin whose insides are being written.
    pub open: Vec<usize>,
}

impl<'a> Follow<'a> {
    /// Puts these schemas together. Targets that were followed stay open until the caller closes them.
    pub fn flatten(&mut self, schemas: &[Value<'a>], journey: &mut Journey) -> Result<Flat<'a>, Flawed> {
        let mut flat = Flat::default();
        let floor = self.open.len();
        for schema in schemas {
            self.add(*schema, &mut flat, journey, floor)?;
        }
        Ok(flat)
    }

    /// As deep as references in a row, which the count of parts bounds together with the depth of the schema.
    fn add(
        &mut self,
        schema: Value<'a>,
        flat: &mut Flat<'a>,
        journey: &mut Journey,
        floor: usize,
    ) -> Result<(), Flawed> {
        let here = journey.enter(&[], schema)?;
        flat.is_never |= schema.bool() == Some(false);
        // What a schema says itself comes before what it refers to: descriptions next to a reference are closer.
        for (name, field) in schema.fields() {
            match name.as_ref() {
                "$ref" | "allOf" => {}
                name if is_silent(name) => {}
                "properties" => flat.add_properties(name, field),
                "required" => {
                    flat.required.extend(field.items());
                    flat.mark(name, field);
                }
                known if KNOWN.contains(&known) || UNENFORCED.contains(&known) => {
                    flat.add_keyword(name, field, journey)
                }
                unknown => journey.note(unknown, Effect::Reworded),
            }
        }
        if let Some(reference) = schema.field("$ref") {
            self.follow(reference, flat, journey, floor)?;
        }
        for item in schema.field("allOf").iter().flat_map(Value::items) {
            self.add(item, flat, journey, floor)?;
        }
        journey.leave(here);
        Ok(())
    }

    fn follow(
        &mut self,
        at: Value<'a>,
        flat: &mut Flat<'a>,
        journey: &mut Journey,
        floor: usize,
    ) -> Result<(), Flawed> {
        let Some(target) = at.string().and_then(|reference| self.places.resolve(&reference)) else {
            // The reader has refused those already.
            return Err(endless(at.span().start));
        };
        let start = target.span().start;
        match self.open.iter().position(|open| *open == start) {
            // Said of the same value before: once is enough.
            Some(place) if place >= floor => Ok(()),
            Some(_) => Err(endless(at.span().start)),
            None => {
                self.open.push(start);
                self.add(target, flat, journey, floor)
            }
        }
    }
}

impl<'a> Flat<'a> {
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.keywords.iter().find(|(keyword, _)| keyword == name).map(|(_, value)| *value)
    }

    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).and_then(|value| value.bool()) == Some(true)
    }

    pub fn has_property(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// Keeps the place of a keyword that is put together.
    fn mark(&mut self, name: Cow<'a, str>, field: Value<'a>) {
        if self.get(&name).is_none() {
            self.keywords.push((name, field));
        }
    }

    fn add_properties(&mut self, keyword: Cow<'a, str>, field: Value<'a>) {
        self.mark(keyword, field);
        for (name, value) in field.fields() {
            let place = *self.index.entry(name.clone()).or_insert(self.properties.len());
            match self.properties.get_mut(place) {
                Some((_, all)) => all.push(value),
                None => self.properties.push((name, vec![value])),
            }
        }
    }

    fn add_keyword(&mut self, name: Cow<'a, str>, field: Value<'a>, journey: &mut Journey) {
        let is_remark = matches!(name.as_ref(), "title" | "description" | "default" | "example" | "examples");
        match self.get(&name) {
            None => self.keywords.push((name, field)),
            Some(first) if is_remark || first.raw() == field.raw() => {}
            Some(_) => journey.note(&name, Effect::Loosened),
        }
    }
}
