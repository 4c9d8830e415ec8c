//! Reads a schema into rules. Every keyword is looked at where it is a keyword: a `$ref` among data, or a property of
//! that name, is none. Never recursive along references, so that no schema is too deep for the stack. Next room: `check`.

use std::collections::HashMap;

use super::check::is_json;
use super::decimal::{Decimal, Divisor};
use super::expect::{Read, count, fields, list, names, types};
use super::fault::{Flawed, SchemaFault, SchemaFaultKind};
use super::likeness::likeness;
use super::pattern::Shelf;
use super::place::{Places, locate};
use super::rule::{self, Condition, Limit, ListRule, NumberRule, ObjectRule, Rule, RuleId, TextRule};
use crate::json::{Kind, Tape, Value};

/// Longer schemas are not read; providers stop far below.
const MAX_BYTES: usize = 1 << 20;
/// Places in one schema that answers are held against.
const MAX_RULES: usize = 20_000;
/// Keywords that are told as left out.
const MAX_SKIPPED: usize = 100;

/// A schema that answers can be held against.
#[derive(Debug)]
pub struct Schema {
    pub(super) rules: Vec<Rule>,
    skipped: Vec<Skipped>,
}

/// A keyword that is in the schema and is not enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// JSON pointer of the place in the schema that has it.
    pub path: String,
    pub keyword: &'static str,
}

impl Schema {
    /// Reads a schema; says what is wrong with a bad one, and where.
    pub fn parse(raw: &str) -> Result<Schema, SchemaFault> {
        let mut tape = Tape::default();
        let root = read(&mut tape, raw)?;
        let read = Reading::of(root)?;
        let place = |(at, keyword)| Skipped { path: locate(root, at), keyword };
        Ok(Schema { rules: read.rules, skipped: read.skipped.into_iter().map(place).collect() })
    }

    /// What the schema asks and nobody enforces; at most a hundred places.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}

/// The text of a schema as a tree.
pub(super) fn read<'a>(tape: &'a mut Tape, raw: &'a str) -> Result<Value<'a>, SchemaFault> {
    let whole = |kind, message: &str| SchemaFault { path: String::new(), kind, message: message.to_owned() };
    if raw.len() > MAX_BYTES {
        return Err(whole(SchemaFaultKind::TooLarge, "is larger than 1 MiB"));
    }
    let malformed = |message| whole(SchemaFaultKind::Malformed, message);
    if !is_json(raw) {
        return Err(malformed("is not valid JSON, or nested deeper than 64 levels"));
    }
    // Which of two would be meant, its readers would not agree on.
    tape.read_strictly(raw.as_bytes()).map_err(|_| malformed("has an object in it with the same name twice"))
}

/// A schema as its reader leaves it: the rules, and where each stands.
pub(super) struct Reading {
    pub rules: Vec<Rule>,
    /// Where the text of each rule begins.
    pub starts: Vec<usize>,
    /// Where, and which keyword.
    skipped: Vec<(usize, &'static str)>,
}

impl Reading {
    pub fn of(root: Value<'_>) -> Result<Reading, SchemaFault> {
        let mut reader = Reader::new(root);
        reader.run().map_err(|flaw| flaw.in_schema(root))?;
        Ok(Reading { rules: reader.rules, starts: reader.starts, skipped: reader.skipped })
    }

    /// A rule that leads back to itself by any way, through values or not.
    pub fn recursion(&self) -> Option<RuleId> {
        rule::circle(&self.rules, |rule| {
            let mut ids = rule.same_value();
            ids.extend(rule.inner_values());
            ids
        })
    }
}

impl Flawed {
    pub fn in_schema(self, root: Value<'_>) -> SchemaFault {
        SchemaFault { path: locate(root, self.at), kind: self.kind, message: self.message }
    }
}

struct Reader<'a> {
    places: Places<'a>,
    root: Value<'a>,
    rules: Vec<Rule>,
    starts: Vec<usize>,
    /// Which rule a place has, by where it begins.
    known: HashMap<usize, RuleId>,
    /// Places that have a number and no rule yet.
    pending: Vec<(RuleId, Value<'a>)>,
    skipped: Vec<(usize, &'static str)>,
    shelf: Shelf,
}

impl<'a> Reader<'a> {
    fn new(root: Value<'a>) -> Reader<'a> {
        Reader {
            places: Places::new(root),
            root,
            rules: Vec::new(),
            starts: Vec::new(),
            known: HashMap::new(),
            pending: Vec::new(),
            skipped: Vec::new(),
            shelf: Shelf::default(),
        }
    }

    fn run(&mut self) -> Read<()> {
        self.place(self.root)?;
        while let Some((id, value)) = self.pending.pop() {
            let rule = self.rule(value)?;
            if let Some(slot) = self.rules.get_mut(id) {
                *slot = rule;
            }
        }
        match rule::circle(&self.rules, Rule::same_value) {
            None => Ok(()),
            Some(id) => Err(Flawed {
                at: self.starts.get(id).copied().unwrap_or(0),
                kind: SchemaFaultKind::Endless,
                message: "refers back to itself without going into the value".to_owned(),
            }),
        }
    }

    /// The number of the rule for this place; what it asks is read later.
    fn place(&mut self, value: Value<'a>) -> Read<RuleId> {
        let at = value.span().start;
        if let Some(id) = self.known.get(&at) {
            return Ok(*id);
        }
        let id = self.rules.len();
        if id >= MAX_RULES {
            let message = format!("makes more than {MAX_RULES} parts");
            return Err(Flawed { at, kind: SchemaFaultKind::TooLarge, message });
        }
        self.rules.push(Rule::default());
        self.starts.push(at);
        self.known.insert(at, id);
        self.pending.push((id, value));
        Ok(id)
    }

    fn rule(&mut self, value: Value<'a>) -> Read<Rule> {
        let mut rule = Rule::default();
        match value.kind() {
            Kind::True => {}
            Kind::False => rule.never = true,
            Kind::Object => {
                for (name, field) in value.fields() {
                    self.keyword(&mut rule, &name, field)?;
                }
                self.together(&mut rule, value)?;
                self.own_base(value);
            }
            _ => return Err(Flawed::malformed(value.span().start, "has to be an object, true or false")),
        }
        Ok(rule)
    }

    fn keyword(&mut self, rule: &mut Rule, name: &str, field: Value<'a>) -> Read<()> {
        match name {
            "type" => rule.types = types(field)?,
            "nullable" => rule.is_nullable = field.bool() == Some(true),
            "enum" => {
                rule.values.push(list(field, "enum")?.map(likeness).collect());
            }
            "const" => rule.values.push([likeness(field)].into()),
            "$ref" => rule.reference = Some(self.reference(field)?),
            "allOf" => rule.all = self.rules_of(field, "allOf")?,
            "anyOf" => rule.any = Some(self.rules_of(field, "anyOf")?),
            "oneOf" => rule.one = Some(self.rules_of(field, "oneOf")?),
            "not" => rule.not = Some(self.place(field)?),
            "$dynamicRef" => self.skip(field, "$dynamicRef"),
            "$recursiveRef" => self.skip(field, "$recursiveRef"),
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
                self.number(rule.number.get_or_insert_default(), name, field)?;
            }
            "minLength" | "maxLength" | "pattern" => self.text(rule.text.get_or_insert_default(), name, field)?,
            "items" | "prefixItems" | "additionalItems" | "contains" | "minContains" | "maxContains" | "minItems"
            | "maxItems" | "uniqueItems" | "unevaluatedItems" => {
                self.list(rule.list.get_or_insert_default(), name, field)?;
            }
            "properties"
            | "patternProperties"
            | "additionalProperties"
            | "propertyNames"
            | "required"
            | "minProperties"
            | "maxProperties"
            | "dependentRequired"
            | "dependentSchemas"
            | "dependencies"
            | "unevaluatedProperties" => {
                self.object(rule.object.get_or_insert_default(), name, field)?;
            }
            // Remarks, definitions, and names that mean nothing to anyone: they ask nothing.
            _ => {}
        }
        Ok(())
    }

    /// Keywords that only mean something together.
    fn together(&mut self, rule: &mut Rule, value: Value<'a>) -> Read<()> {
        if let Some(when) = value.field("if") {
            let mut branch = |name| value.field(name).map(|it| self.place(it)).transpose();
            let (then, otherwise) = (branch("then")?, branch("else")?);
            rule.condition = Some(Condition { when: self.place(when)?, then, otherwise });
        }
        // In draft 4 these two say how `minimum` and `maximum` are meant.
        let limits = rule.number.iter_mut().flat_map(|number| number.limits.iter_mut());
        for (limit, _) in limits {
            let is_strict = |name| value.field(name).and_then(|it| it.bool()) == Some(true);
            match limit {
                Limit::AtLeast if is_strict("exclusiveMinimum") => *limit = Limit::Above,
                Limit::AtMost if is_strict("exclusiveMaximum") => *limit = Limit::Below,
                _ => {}
            }
        }
        // `additionalItems` says something only behind a list of places.
        if let (Some(list), Some(rest)) = (&mut rule.list, value.field("additionalItems"))
            && value.field("items").is_some_and(|items| items.is_array())
        {
            list.rest = Some(self.place(rest)?);
        }
        Ok(())
    }

    /// A schema inside that gives itself an address: references in it are not read as relative to that.
    fn own_base(&mut self, value: Value<'a>) {
        let id = value.field("$id").filter(|_| value.span() != self.root.span());
        if let Some(id) = id.filter(|id| id.string().is_some_and(|id| !id.starts_with('#'))) {
            self.skip(id, "$id");
        }
    }

    fn skip(&mut self, field: Value<'a>, keyword: &'static str) {
        if self.skipped.len() < MAX_SKIPPED {
            self.skipped.push((field.span().start, keyword));
        }
    }

    fn reference(&mut self, field: Value<'a>) -> Read<RuleId> {
        let at = field.span().start;
        let reference = field.string().ok_or_else(|| Flawed::malformed(at, "has to be a string"))?;
        match self.places.resolve(&reference) {
            Some(target) => self.place(target),
            None => Err(Flawed {
                at,
                kind: SchemaFaultKind::Reference,
                message: "points at nothing in this schema; references are followed inside a schema only".to_owned(),
            }),
        }
    }

    fn rules_of(&mut self, field: Value<'a>, keyword: &str) -> Read<Vec<RuleId>> {
        let rules = list(field, keyword)?.map(|item| self.place(item)).collect::<Read<Vec<_>>>()?;
        if rules.is_empty() {
            return Err(Flawed::malformed(field.span().start, "has to have at least one item"));
        }
        Ok(rules)
    }

    fn number(&mut self, rule: &mut NumberRule, name: &str, field: Value<'a>) -> Read<()> {
        if field.bool().is_some() && name.starts_with("exclusive") {
            return Ok(());
        }
        let at = field.span().start;
        let number = field.number().and_then(Decimal::read);
        let number = number.ok_or_else(|| Flawed::malformed(at, "has to be a number"))?;
        let limit = match name {
            "minimum" => Limit::AtLeast,
            "maximum" => Limit::AtMost,
            "exclusiveMinimum" => Limit::Above,
            "exclusiveMaximum" => Limit::Below,
            _ => {
                if !number.is_positive() {
                    return Err(Flawed::malformed(at, "has to be above zero"));
                }
                match Divisor::new(&number) {
                    Some(divisor) => rule.divisors.push(divisor),
                    None => self.skip(field, "multipleOf"),
                }
                return Ok(());
            }
        };
        rule.limits.push((limit, number));
        Ok(())
    }

    fn text(&mut self, rule: &mut TextRule, name: &str, field: Value<'a>) -> Read<()> {
        match name {
            "minLength" => rule.length.least = Some(count(field)?),
            "maxLength" => rule.length.most = Some(count(field)?),
            _ => {
                let written = field.string();
                let written = written.ok_or_else(|| Flawed::malformed(field.span().start, "has to be a string"))?;
                rule.pattern = self.shelf.take(&written);
                if rule.pattern.is_none() {
                    self.skip(field, "pattern");
                }
            }
        }
        Ok(())
    }

    fn list(&mut self, rule: &mut ListRule, name: &str, field: Value<'a>) -> Read<()> {
        match name {
            // A list of places, as drafts before 2020-12 have it.
            "items" if field.is_array() => rule.first = self.rules_or_none(field)?,
            "items" => rule.rest = Some(self.place(field)?),
            "prefixItems" => rule.first = self.rules_of(field, "prefixItems")?,
            "contains" => rule.contains = Some(self.place(field)?),
            "minContains" => rule.contained.least = Some(count(field)?),
            "maxContains" => rule.contained.most = Some(count(field)?),
            "minItems" => rule.length.least = Some(count(field)?),
            "maxItems" => rule.length.most = Some(count(field)?),
            "uniqueItems" => rule.is_unique = field.bool() == Some(true),
            "unevaluatedItems" if field.bool() != Some(true) => self.skip(field, "unevaluatedItems"),
            _ => {}
        }
        Ok(())
    }

    fn rules_or_none(&mut self, field: Value<'a>) -> Read<Vec<RuleId>> {
        field.items().map(|item| self.place(item)).collect()
    }

    fn object(&mut self, rule: &mut ObjectRule, name: &str, field: Value<'a>) -> Read<()> {
        match name {
            "properties" => {
                for (name, value) in fields(field)? {
                    let id = self.place(value)?;
                    rule.fields.insert(name.into_owned(), id);
                }
            }
            "patternProperties" => {
                for (written, value) in fields(field)? {
                    let pattern = self.shelf.take(&written);
                    if pattern.is_none() {
                        self.skip(value, "patternProperties");
                    }
                    rule.patterns.push((pattern, self.place(value)?));
                }
            }
            "additionalProperties" => rule.rest = Some(self.place(field)?),
            "propertyNames" => rule.names = Some(self.place(field)?),
            "required" => rule.required = names(field)?,
            "minProperties" => rule.length.least = Some(count(field)?),
            "maxProperties" => rule.length.most = Some(count(field)?),
            "unevaluatedProperties" if field.bool() != Some(true) => self.skip(field, "unevaluatedProperties"),
            "unevaluatedProperties" => {}
            _ => {
                for (name, value) in fields(field)? {
                    match value.is_array() {
                        true => rule.needs.push((name.into_owned(), names(value)?)),
                        false => rule.then.push((name.into_owned(), self.place(value)?)),
                    }
                }
            }
        }
        Ok(())
    }
}
