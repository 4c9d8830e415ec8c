//! A schema as Gemini's `Schema` says it: references are put in their places, and keywords that it does not know are
//! left out and listed. The field for raw JSON schemas is the better way wherever a model has it; this is for the others.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::super::fault::{Flawed, SchemaFault};
use super::super::place::Places;
use super::flat::{Flat, Follow};
use super::{Converted, Effect, Fields, Journey, Part, is_open, read_whole};
use crate::json::{Kind, Tape, Value};

/// Keywords whose values go over as they are.
const KEPT: [&str; 13] = [
    "pattern",
    "title",
    "description",
    "default",
    "example",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
];
/// What each type's keywords are, for a choice of types.
const OF_NUMBER: [&str; 2] = ["minimum", "maximum"];
const OF_STRING: [&str; 4] = ["minLength", "maxLength", "pattern", "enum"];
const OF_ARRAY: [&str; 3] = ["items", "minItems", "maxItems"];
const OF_OBJECT: [&str; 5] = ["properties", "required", "propertyOrdering", "minProperties", "maxProperties"];

/// The schema for Gemini's `responseSchema` and `parameters`. A schema that contains itself is refused with
/// [`SchemaFaultKind::Endless`](super::super::SchemaFaultKind::Endless): it can only go as raw JSON schema.
pub fn for_gemini(raw: &str) -> Result<Converted, SchemaFault> {
    let mut tape = Tape::default();
    let (root, _) = read_whole(&mut tape, raw)?;
    let follow = Follow { places: Places::new(root), open: vec![root.span().start] };
    let mut writer = Writer { follow, journey: Journey::default() };
    let part = writer.schema(&[root]).map_err(|flaw| flaw.in_schema(root))?;
    Ok(writer.journey.finish(&Part::Object(part)))
}

struct Writer<'a> {
    follow: Follow<'a>,
    journey: Journey,
}

/// What a schema says of types.
struct Types<'a> {
    /// Without null.
    names: Vec<Cow<'a, str>>,
    is_nullable: bool,
    /// Null is one of what is listed or chosen from, not only let through.
    has_null: bool,
}

impl Types<'_> {
    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|it| it.eq_ignore_ascii_case(name))
    }

    /// Whether a keyword speaks of values that cannot come.
    fn rule_out(&self, keyword: &str) -> bool {
        let owners = speaks_of(keyword);
        !self.names.is_empty() && !owners.is_empty() && !owners.iter().any(|owner| self.has(owner))
    }
}

impl<'a> Writer<'a> {
    /// One value's schemas as one.
    fn schema(&mut self, schemas: &[Value<'a>]) -> Result<Fields<'a>, Flawed> {
        let mark = self.follow.open.len();
        let flat = self.follow.flatten(schemas, &mut self.journey)?;
        let fields = self.written(&flat);
        self.follow.open.truncate(mark);
        fields
    }

    fn written(&mut self, flat: &Flat<'a>) -> Result<Fields<'a>, Flawed> {
        if flat.is_never {
            self.journey.note("false", Effect::Loosened);
            return Ok(Vec::new());
        }
        let mut types = self.types(flat);
        let mut fields: Fields<'a> = Vec::new();
        for (name, value) in &flat.keywords {
            self.keyword(name, *value, flat, &types, &mut fields)?;
        }
        let choices = self.choices(flat, &mut types)?;
        self.finish(fields, choices, types)
    }

    fn types(&mut self, flat: &Flat<'a>) -> Types<'a> {
        let said = flat.get("type");
        let all: Vec<Cow<'a, str>> =
            said.iter().flat_map(|it| it.string().into_iter().chain(it.items().filter_map(|it| it.string()))).collect();
        let is_null = |name: &Cow<'a, str>| name.eq_ignore_ascii_case("null");
        let has_null = all.iter().any(is_null) || said.is_none() && listed(flat).any(|it| it.is_null());
        let is_nullable = has_null || flat.is_true("nullable");
        let mut names: Vec<_> = all.into_iter().filter(|name| !is_null(name)).collect();
        if is_nullable && said.is_some_and(|it| it.is_array()) {
            self.journey.note("type", Effect::Reworded);
        }
        if said.is_none() {
            names.extend(implied(flat).map(Cow::Borrowed));
        }
        Types { names, is_nullable, has_null }
    }

    /// One keyword that stands for itself.
    fn keyword(
        &mut self,
        name: &str,
        value: Value<'a>,
        flat: &Flat<'a>,
        types: &Types<'a>,
        fields: &mut Fields<'a>,
    ) -> Result<(), Flawed> {
        match name {
            "properties" => self.properties(flat, fields)?,
            "required" => self.required(flat, fields)?,
            // Marks the place; what comes there is known at the end.
            "anyOf" | "oneOf" if fields.iter().any(|(name, _)| name == "anyOf") => {}
            "anyOf" | "oneOf" => fields.push(("anyOf".into(), Part::List(Vec::new()))),
            "type" => {
                if let [only] = types.names.as_slice() {
                    fields.push(("type".into(), Part::string(only)));
                    if types.has_null {
                        fields.push(("nullable".into(), Part::word("true")));
                    }
                }
            }
            "nullable" if types.has_null => {}
            "nullable" if value.bool().is_some() => fields.push((name.to_owned().into(), self.journey.keep(value)?)),
            "enum" | "const" => self.values(name, value, flat, types, fields)?,
            "propertyOrdering" if value.is_array() => fields.push((name.to_owned().into(), self.journey.keep(value)?)),
            "format" if value.string().is_some_and(|format| knows_format(&format, types)) => {
                fields.push((name.to_owned().into(), self.journey.keep(value)?));
            }
            "items" if !value.is_array() => {
                let part = self.inside(&["items"], &[value])?;
                fields.push(("items".into(), Part::Object(part)));
            }
            "exclusiveMinimum" | "exclusiveMaximum" => {
                self.strict_limit(name, value, flat, types.has("integer"), fields)?
            }
            "examples" if flat.get("example").is_none() && value.items().next().is_some() => {
                let first = value.items().next().unwrap_or(value);
                self.journey.note(name, Effect::Reworded);
                fields.push(("example".into(), self.journey.keep(first)?));
            }
            // It lists what may come, and no more comes: closed objects are what it makes.
            "additionalProperties" if value.bool() == Some(false) => self.journey.note(name, Effect::Reworded),
            "additionalProperties" if is_open(value) => self.journey.note(name, Effect::Reworded),
            "uniqueItems" if value.bool() == Some(false) => {}
            "unevaluatedProperties" | "unevaluatedItems" if value.bool() == Some(true) => {}
            idle if types.rule_out(idle) => self.journey.note(name, Effect::Reworded),
            kept if KEPT.contains(&kept) => fields.push((name.to_owned().into(), self.journey.keep(value)?)),
            lost => self.journey.note(lost, Effect::Loosened),
        }
        Ok(())
    }

    /// Only texts can be listed, where texts may come, and none of them may be empty. `const` is a list of one.
    fn values(
        &mut self,
        name: &str,
        value: Value<'a>,
        flat: &Flat<'a>,
        types: &Types<'a>,
        fields: &mut Fields<'a>,
    ) -> Result<(), Flawed> {
        let is_const = name == "const";
        if !is_const && flat.get("const").is_some() {
            return Ok(());
        }
        let listed: Vec<Value<'a>> = if is_const { vec![value] } else { value.items().collect() };
        let texts: Vec<Value<'a>> = listed.iter().copied().filter(|it| !it.is_null()).collect();
        let is_text = |it: &Value<'a>| it.string().is_some_and(|text| !text.is_empty());
        if texts.is_empty() && !listed.is_empty() {
            // Null alone is a matter of types.
            self.journey.note(name, Effect::Reworded);
            return Ok(());
        }
        if !types.has("string") || !texts.iter().all(is_text) {
            self.journey.note(name, Effect::Loosened);
            return Ok(());
        }
        if is_const || texts.len() != listed.len() {
            self.journey.note(name, Effect::Reworded);
        }
        let parts = texts.into_iter().map(|it| self.journey.keep(it)).collect::<Result<Vec<_>, _>>()?;
        fields.push(("enum".into(), Part::List(parts)));
        Ok(())
    }

    /// For whole numbers, above 3 is at least 4.
    fn strict_limit(
        &mut self,
        name: &str,
        value: Value<'a>,
        flat: &Flat<'a>,
        is_integer: bool,
        fields: &mut Fields<'a>,
    ) -> Result<(), Flawed> {
        let (plain, step) = if name == "exclusiveMinimum" { ("minimum", 1) } else { ("maximum", -1) };
        let next = value.number().and_then(|text| text.parse::<i64>().ok()).and_then(|bound| bound.checked_add(step));
        match next {
            _ if value.bool() == Some(false) => {}
            Some(next) if is_integer && flat.get(plain).is_none() => {
                self.journey.note(name, Effect::Reworded);
                fields.push((plain.into(), Part::Raw(Cow::Owned(next.to_string()))));
            }
            _ => self.journey.note(name, Effect::Loosened),
        }
        Ok(())
    }

    /// What `anyOf` or `oneOf` leave to choose from. Null among it makes the whole nullable.
    fn choices(&mut self, flat: &Flat<'a>, types: &mut Types<'a>) -> Result<Vec<Fields<'a>>, Flawed> {
        let (name, choice) = match (flat.get("anyOf"), flat.get("oneOf")) {
            (Some(any), one) => {
                if one.is_some() {
                    self.journey.note("oneOf", Effect::Loosened);
                }
                ("anyOf", any)
            }
            (None, Some(one)) => {
                // One of them becomes any of them; most who write it mean choices that exclude each other anyway.
                self.journey.note("oneOf", Effect::Loosened);
                ("oneOf", one)
            }
            (None, None) => return Ok(Vec::new()),
        };
        let mut choices = Vec::new();
        let mut has_null = false;
        for (place, branch) in choice.items().enumerate() {
            let written = self.inside(&[name, &place.to_string()], &[branch])?;
            if says(&written, "null") {
                has_null = true;
                self.journey.note(name, Effect::Reworded);
            } else {
                choices.push(written);
            }
        }
        // Null can be chosen only where the type does not rule it out.
        if has_null && (flat.get("type").is_none() || types.is_nullable) {
            types.is_nullable = true;
            types.has_null |= choices.iter().all(|choice| !choice.is_empty());
        }
        if choices.iter().any(Vec::is_empty) {
            // A choice that allows everything, as far as it can be said, makes the others idle.
            self.journey.note(name, Effect::Loosened);
            choices.clear();
        }
        Ok(choices)
    }

    fn properties(&mut self, flat: &Flat<'a>, fields: &mut Fields<'a>) -> Result<(), Flawed> {
        let mut written: Fields<'a> = Vec::new();
        for (name, schemas) in &flat.properties {
            let part = self.inside(&["properties", name], schemas)?;
            written.push((name.clone(), Part::Object(part)));
        }
        fields.push(("properties".into(), Part::Object(written)));
        Ok(())
    }

    /// Only properties that are there can be required.
    fn required(&mut self, flat: &Flat<'a>, fields: &mut Fields<'a>) -> Result<(), Flawed> {
        let mut seen = BTreeSet::new();
        let mut required = Vec::new();
        for value in &flat.required {
            let Some(name) = value.string().filter(|name| seen.insert(name.clone())) else { continue };
            if flat.has_property(&name) {
                required.push(self.journey.keep(*value)?);
            } else {
                self.journey.note("required", Effect::Loosened);
            }
        }
        if !required.is_empty() || flat.required.is_empty() {
            fields.push(("required".into(), Part::List(required)));
        }
        Ok(())
    }

    /// Puts the type in front, and what there is to choose from behind.
    fn finish(
        &mut self,
        mut fields: Fields<'a>,
        mut choices: Vec<Fields<'a>>,
        types: Types<'a>,
    ) -> Result<Fields<'a>, Flawed> {
        let mut head: Fields<'a> = Vec::new();
        let is_only_null = types.has_null && choices.is_empty();
        if choices.len() < 2 {
            fields.retain(|(name, _)| name != "anyOf");
        }
        if let [only] = choices.as_mut_slice() {
            // One choice is none.
            let only = std::mem::take(only);
            choices.clear();
            self.absorb(only, &types, &mut fields);
        }
        let has_type = fields.iter().any(|(name, _)| name == "type");
        match types.names.as_slice() {
            [] if is_only_null => {
                head.push(("type".into(), Part::word("\"null\"")));
                head.append(&mut fields);
                return Ok(head);
            }
            [] => {}
            [only] if !has_type => {
                self.journey.note("type", Effect::Reworded);
                head.push(("type".into(), Part::string(only)));
            }
            [_] => {}
            several if choices.is_empty() => choices = self.by_type(several, &mut fields),
            _ => self.journey.note("type", Effect::Loosened),
        }
        if types.is_nullable && !fields.iter().any(|(name, _)| name == "nullable") {
            head.push(("nullable".into(), Part::word("true")));
        }
        head.append(&mut fields);
        self.with_items(&mut head);
        if !choices.is_empty() {
            let list = Part::List(choices.into_iter().map(Part::Object).collect());
            match head.iter_mut().find(|(name, _)| name == "anyOf") {
                Some((_, place)) => *place = list,
                None => head.push(("anyOf".into(), list)),
            }
        }
        Ok(head)
    }

    /// It wants to know of the items of a list, whatever they are.
    fn with_items(&mut self, fields: &mut Fields<'a>) {
        if says(fields, "array") && !fields.iter().any(|(name, _)| name == "items") {
            self.journey.note("items", Effect::Reworded);
            fields.push(("items".into(), Part::Object(Vec::new())));
        }
    }

    /// Adds what the only choice says. What stands outside of it is closer, and two types cannot both be meant.
    fn absorb(&mut self, only: Fields<'a>, types: &Types<'a>, fields: &mut Fields<'a>) {
        let type_of = |fields: &Fields<'a>| fields.iter().find(|(name, _)| name == "type").map(|(_, part)| part.text());
        let outer = type_of(fields);
        if outer.is_some() && type_of(&only).is_some_and(|inner| Some(inner) != outer) {
            return self.journey.note("type", Effect::Loosened);
        }
        for (name, part) in only {
            let is_remark = matches!(name.as_ref(), "title" | "description" | "default" | "example");
            match fields.iter().find(|(known, _)| *known == name) {
                None if name == "nullable" && outer.is_some() => {}
                None if types.rule_out(&name) => self.journey.note(&name, Effect::Reworded),
                None => fields.push((name, part)),
                Some((_, outer)) if is_remark || outer.text() == part.text() => {}
                Some(_) => self.journey.note(&name, Effect::Loosened),
            }
        }
    }

    /// A choice of types as a choice of schemas; each keyword goes to the type that it speaks of.
    fn by_type(&mut self, types: &[Cow<'a, str>], fields: &mut Fields<'a>) -> Vec<Fields<'a>> {
        self.journey.note("type", Effect::Reworded);
        let mut left = Vec::new();
        let mut choices: Vec<Fields<'a>> = types.iter().map(|it| vec![("type".into(), Part::string(it))]).collect();
        for (name, part) in std::mem::take(fields) {
            let owner = types.iter().position(|it| speaks_of(&name).iter().any(|owner| it.eq_ignore_ascii_case(owner)));
            match owner.and_then(|place| choices.get_mut(place)) {
                Some(choice) => choice.push((name, part)),
                None if name == "format" => self.journey.note("format", Effect::Loosened),
                None => left.push((name, part)),
            }
        }
        *fields = left;
        choices.iter_mut().for_each(|choice| self.with_items(choice));
        choices
    }

    fn inside(&mut self, names: &[&str], schemas: &[Value<'a>]) -> Result<Fields<'a>, Flawed> {
        let Some(first) = schemas.first() else { return Ok(Vec::new()) };
        let here = self.journey.enter(names, *first)?;
        let part = self.schema(schemas)?;
        self.journey.leave(here);
        Ok(part)
    }
}

/// Types whose values a keyword speaks of; none for keywords that speak of all.
fn speaks_of(keyword: &str) -> &'static [&'static str] {
    match keyword {
        name if OF_NUMBER.contains(&name) => &["number", "integer"],
        name if OF_STRING.contains(&name) => &["string"],
        name if OF_ARRAY.contains(&name) => &["array"],
        name if OF_OBJECT.contains(&name) => &["object"],
        _ => &[],
    }
}

/// The type of a schema that does not say it.
fn implied(flat: &Flat<'_>) -> Option<&'static str> {
    let has = |names: &[&str]| names.iter().any(|name| flat.get(name).is_some());
    if !flat.properties.is_empty() || has(&["additionalProperties", "minProperties", "maxProperties"]) {
        return Some("object");
    }
    if has(&["items", "minItems", "maxItems", "prefixItems"]) {
        return Some("array");
    }
    let mut names = listed(flat).filter(|it| !it.is_null()).map(|it| match it.kind() {
        Kind::String => Some("string"),
        Kind::Number => Some("number"),
        Kind::True | Kind::False => Some("boolean"),
        _ => None,
    });
    let first = names.next()??;
    names.all(|name| name == Some(first)).then_some(first)
}

/// The values that a schema lists.
fn listed<'a>(flat: &Flat<'a>) -> impl Iterator<Item = Value<'a>> {
    let constant = flat.get("const");
    let values = flat.get("enum").filter(|_| constant.is_none());
    constant.into_iter().chain(values.into_iter().flat_map(|it| it.items()))
}

/// Whether a schema as written is of this type.
fn says(fields: &Fields<'_>, name: &str) -> bool {
    let quoted = |text: &str| text.trim_matches('"').eq_ignore_ascii_case(name);
    fields.iter().any(|(keyword, part)| keyword == "type" && matches!(part, Part::Raw(text) if quoted(text)))
}

fn knows_format(format: &str, types: &Types<'_>) -> bool {
    match format {
        "float" | "double" => types.has("number") || types.has("integer"),
        "int32" | "int64" => types.has("integer") || types.has("number"),
        "enum" | "date-time" => types.has("string"),
        _ => false,
    }
}
