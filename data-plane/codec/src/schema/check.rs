//! Holds an answer against a schema. The work is measured: a schema whose alternatives multiply stops at a limit and is
//! reported as not checked, instead of keeping a core busy. Messages name places and what the schema asks, and quote
//! nothing of the answer: a field is named only when the schema names it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::decimal::Decimal;
use super::likeness::likeness;
use super::parse::Schema;
use super::place::push_name;
use super::rule::{Count, Limit, ListRule, NumberRule, ObjectRule, Rule, RuleId, TextRule};
use crate::json::{Cursor, Kind, Tape, Value};

/// Answers with more values than this are not checked; the places of one fill 32 MiB.
const MAX_VALUES: usize = 1 << 20;
/// Steps that every check may take, those for each byte of the answer, and most of all. A step takes some 30 ns; honest
/// answers take one or two for each byte.
const STEPS: u64 = 500_000;
const STEPS_PER_BYTE: u64 = 16;
const MAX_STEPS: u64 = 8_000_000;
/// Rules inside rules. An answer is 64 levels deep at most.
const MAX_DEPTH: u32 = 256;

/// How an answer is not what the schema asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}, at `{path}` of the answer")]
pub struct Mismatch {
    pub kind: MismatchKind,
    /// JSON pointer into the answer; empty for the whole of it. Names that the schema does not know are `*`.
    pub path: String,
    /// What is wrong, without a full stop. Quotes the schema at most, never the answer.
    pub reason: String,
}

impl Mismatch {
    /// Whether nobody can say that the answer is wrong: it was too much to check.
    pub fn is_unchecked(&self) -> bool {
        self.kind == MismatchKind::Unchecked
    }
}

/// What a mismatch means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MismatchKind {
    /// The answer is not JSON at all.
    NotJson,
    /// It is JSON, and not what the schema asks for.
    NotAllowed,
    /// Nobody can say: checking would be too much work.
    Unchecked,
}

impl Schema {
    /// Whether `answer` is JSON that the schema allows.
    pub fn check(&self, answer: &str) -> Result<(), Mismatch> {
        let whole = |kind, reason: &str| Mismatch { kind, path: String::new(), reason: reason.to_owned() };
        if !is_json(answer) {
            return Err(whole(MismatchKind::NotJson, "is not valid JSON"));
        }
        if answer.bytes().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count() > MAX_VALUES {
            return Err(whole(MismatchKind::Unchecked, "is too large to be checked"));
        }
        let mut tape = Tape::default();
        let Ok(value) = tape.read(answer.as_bytes()) else {
            return Err(whole(MismatchKind::NotJson, "is not valid JSON"));
        };
        let steps = STEPS.saturating_add((answer.len() as u64).saturating_mul(STEPS_PER_BYTE)).min(MAX_STEPS);
        let mut check = Check { rules: &self.rules, steps, depth: 0, path: Vec::new() };
        check.rule(0, value).map_err(|miss| check.mismatch(miss))
    }
}

/// Whether a text is one JSON value, to the letter.
pub(super) fn is_json(text: &str) -> bool {
    let mut cursor = Cursor::strict(text.as_bytes(), true);
    cursor.pass().is_ok() && cursor.end().is_ok()
}

/// Why a value does not pass.
enum Miss {
    /// With the reason.
    Not(String),
    /// With what there was too much of.
    Unchecked(&'static str),
}

type Pass = Result<(), Miss>;

fn not(reason: impl Into<String>) -> Pass {
    Err(Miss::Not(reason.into()))
}

/// A step on the way into the answer.
enum Step<'s> {
    Known(&'s str),
    Other,
    Item(usize),
}

struct Check<'s> {
    rules: &'s [Rule],
    /// Left to be taken.
    steps: u64,
    depth: u32,
    /// Where the value is; left standing when one does not pass.
    path: Vec<Step<'s>>,
}

impl<'s> Check<'s> {
    fn mismatch(&self, miss: Miss) -> Mismatch {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Known(name) => push_name(&mut path, name),
                Step::Other => push_name(&mut path, "*"),
                Step::Item(place) => push_name(&mut path, &place.to_string()),
            }
        }
        match miss {
            Miss::Not(reason) => Mismatch { kind: MismatchKind::NotAllowed, path, reason },
            Miss::Unchecked(reason) => Mismatch { kind: MismatchKind::Unchecked, path, reason: reason.to_owned() },
        }
    }

    fn work(&mut self, steps: u64) -> Pass {
        self.steps = match self.steps.checked_sub(steps) {
            Some(left) => left,
            None => return Err(Miss::Unchecked("takes too much work to be checked")),
        };
        Ok(())
    }

    fn rule(&mut self, id: RuleId, value: Value<'_>) -> Pass {
        self.work(1)?;
        let Some(rule) = self.rules.get(id) else { return Ok(()) };
        if self.depth >= MAX_DEPTH {
            return Err(Miss::Unchecked("is nested too deeply to be checked"));
        }
        self.depth += 1;
        let passed = self.all_of(rule, value);
        self.depth -= 1;
        passed
    }

    fn all_of(&mut self, rule: &'s Rule, value: Value<'_>) -> Pass {
        if rule.never {
            return not("is something that the schema does not allow");
        }
        if rule.is_nullable && value.is_null() {
            return Ok(());
        }
        if let Some(types) = rule.types.filter(|types| !types.has(value)) {
            return not(format!("is not of type {}", types.list()));
        }
        self.values(&rule.values, value)?;
        match value.kind() {
            Kind::Number => rule.number.iter().try_for_each(|number| self.number(number, value))?,
            Kind::String => rule.text.iter().try_for_each(|text| self.text(text, value))?,
            Kind::Array => rule.list.iter().try_for_each(|list| self.list(list, value))?,
            Kind::Object => rule.object.iter().try_for_each(|object| self.object(object, value))?,
            _ => {}
        }
        self.combined(rule, value)
    }

    fn values(&mut self, allowed: &[BTreeSet<String>], value: Value<'_>) -> Pass {
        if allowed.is_empty() {
            return Ok(());
        }
        self.work(1 + value.span().len() as u64)?;
        let likeness = likeness(value);
        match allowed.iter().all(|values| values.contains(&likeness)) {
            true => Ok(()),
            false => not("is not one of the allowed values"),
        }
    }

    /// What is asked by way of other rules for the same value.
    fn combined(&mut self, rule: &'s Rule, value: Value<'_>) -> Pass {
        for id in rule.reference.iter().chain(&rule.all) {
            self.rule(*id, value)?;
        }
        if let Some(any) = &rule.any
            && self.passing(any, value, 1)? == 0
        {
            return not(format!("matches none of the {} alternatives", any.len()));
        }
        if let Some(one) = &rule.one {
            match self.passing(one, value, 2)? {
                0 => return not(format!("matches none of the {} alternatives", one.len())),
                1 => {}
                _ => return not("matches more than one alternative where it may match one"),
            }
        }
        if let Some(id) = rule.not
            && self.passes(id, value)?
        {
            return not("matches what the schema rules out");
        }
        let Some(condition) = &rule.condition else { return Ok(()) };
        let next = if self.passes(condition.when, value)? { condition.then } else { condition.otherwise };
        next.map_or(Ok(()), |id| self.rule(id, value))
    }

    /// Whether a value passes; only too much work is an error.
    fn passes(&mut self, id: RuleId, value: Value<'_>) -> Result<bool, Miss> {
        let here = self.path.len();
        match self.rule(id, value) {
            Ok(()) => Ok(true),
            Err(Miss::Not(_)) => {
                self.path.truncate(here);
                Ok(false)
            }
            Err(unchecked) => Err(unchecked),
        }
    }

    /// How many of these pass, up to `enough`.
    fn passing(&mut self, ids: &[RuleId], value: Value<'_>, enough: usize) -> Result<usize, Miss> {
        let mut count = 0;
        for id in ids {
            count += usize::from(self.passes(*id, value)?);
            if count >= enough {
                break;
            }
        }
        Ok(count)
    }

    fn number(&mut self, rule: &NumberRule, value: Value<'_>) -> Pass {
        self.work(1 + value.span().len() as u64)?;
        let Some(number) = Decimal::read(value.raw()) else { return Ok(()) };
        for (limit, bound) in &rule.limits {
            let order = number.against(bound);
            let (is_kept, asked) = match limit {
                Limit::AtLeast => (order.is_ge(), "is below the minimum"),
                Limit::Above => (order.is_gt(), "is not above the exclusive minimum"),
                Limit::AtMost => (order.is_le(), "is above the maximum"),
                Limit::Below => (order.is_lt(), "is not below the exclusive maximum"),
            };
            if !is_kept {
                return not(asked);
            }
        }
        match rule.divisors.iter().all(|divisor| divisor.divides(&number)) {
            true => Ok(()),
            false => not("is not a multiple of what the schema asks"),
        }
    }

    fn text(&mut self, rule: &TextRule, value: Value<'_>) -> Pass {
        self.work(1 + value.span().len() as u64 / 16)?;
        let text = value.string().unwrap_or_default();
        self.counted(rule.length, "characters", || text.chars().count())?;
        let Some(pattern) = &rule.pattern else { return Ok(()) };
        self.work(pattern.work(&text))?;
        if pattern.matches(&text) { Ok(()) } else { not("does not match the pattern") }
    }

    fn counted(&self, asked: Count, of: &str, count: impl FnOnce() -> usize) -> Pass {
        if asked.least.is_none() && asked.most.is_none() {
            return Ok(());
        }
        match asked.off(count() as u64) {
            None => Ok(()),
            Some((off, limit)) => not(format!("has {off} than {limit} {of}")),
        }
    }

    fn list(&mut self, rule: &'s ListRule, value: Value<'_>) -> Pass {
        // Items are at least two bytes each, and counted for every rule anew.
        self.work(1 + value.span().len() as u64 / 8)?;
        self.counted(rule.length, "items", || value.items().count())?;
        if rule.is_unique {
            self.unique(value)?;
        }
        let mut contained = 0;
        for (place, item) in value.items().enumerate() {
            self.work(1)?;
            self.path.push(Step::Item(place));
            if let Some(id) = rule.first.get(place).copied().or(rule.rest) {
                self.rule(id, item)?;
            }
            if let Some(id) = rule.contains {
                contained += usize::from(self.passes(id, item)?);
            }
            self.path.pop();
        }
        match rule.contains {
            None => Ok(()),
            Some(_) => {
                let asked = Count { least: rule.contained.least.or(Some(1)), ..rule.contained };
                self.counted(asked, "items of the kind that the schema asks for", || contained)
            }
        }
    }

    fn unique(&mut self, value: Value<'_>) -> Pass {
        self.work(value.span().len() as u64)?;
        let mut seen = BTreeSet::new();
        match value.items().all(|item| seen.insert(likeness(item))) {
            true => Ok(()),
            false => not("has the same item twice"),
        }
    }

    fn object(&mut self, rule: &'s ObjectRule, value: Value<'_>) -> Pass {
        // Names with escapes in them are read anew for every rule.
        self.work(1 + value.span().len() as u64 / 16)?;
        let mut names: Vec<Cow<'_, str>> = value.fields().map(|(name, _)| name).collect();
        self.work(2 * names.len() as u64)?;
        names.sort_unstable();
        // Readers differ on which of the two they take, so nothing can be said about such an object.
        if names.windows(2).any(|pair| matches!(pair, [one, two] if one == two)) {
            return not("has a field twice");
        }
        self.counted(rule.length, "fields", || names.len())?;
        self.present(rule, &names)?;
        for (name, field) in value.fields() {
            self.field(rule, &name, field)?;
        }
        let is_there = |name: &str| names.binary_search_by(|it| it.as_ref().cmp(name)).is_ok();
        for (name, id) in &rule.then {
            self.work(looked_up(name))?;
            if is_there(name) {
                self.rule(*id, value)?;
            }
        }
        Ok(())
    }

    /// Whether all fields are there that have to be.
    fn present(&mut self, rule: &ObjectRule, names: &[Cow<'_, str>]) -> Pass {
        let is_there = |name: &str| names.binary_search_by(|it| it.as_ref().cmp(name)).is_ok();
        self.all_present(&rule.required, is_there)?;
        for (name, needed) in &rule.needs {
            self.work(looked_up(name))?;
            if is_there(name) {
                self.all_present(needed, is_there)?;
            }
        }
        Ok(())
    }

    fn all_present(&mut self, required: &[String], is_there: impl Fn(&str) -> bool) -> Pass {
        for name in required {
            self.work(looked_up(name))?;
            if !is_there(name) {
                let mut pointer = String::new();
                push_name(&mut pointer, name);
                return not(format!("lacks the required field `{}`", pointer.trim_start_matches('/')));
            }
        }
        Ok(())
    }

    fn field(&mut self, rule: &'s ObjectRule, name: &str, field: Value<'_>) -> Pass {
        self.work(looked_up(name))?;
        if let Some(names) = rule.names {
            self.work(1 + name.len() as u64 / 4)?;
            let written = serde_json::to_string(name).unwrap_or_default();
            let mut tape = Tape::default();
            if let Ok(name) = tape.read(written.as_bytes())
                && !self.passes(names, name)?
            {
                return not("has a field whose name the schema does not allow");
            }
        }
        let known = rule.fields.get_key_value(name);
        self.path.push(known.map_or(Step::Other, |(name, _)| Step::Known(name)));
        if let Some((_, id)) = known {
            self.rule(*id, field)?;
        }
        let mut is_rest = known.is_none();
        for (pattern, id) in &rule.patterns {
            self.work(1)?;
            let Some(pattern) = pattern else {
                is_rest = false;
                continue;
            };
            self.work(pattern.work(name))?;
            if pattern.matches(name) {
                is_rest = false;
                self.rule(*id, field)?;
            }
        }
        if let Some(id) = rule.rest.filter(|_| is_rest) {
            if self.rules.get(id).is_some_and(|rule| rule.never) {
                self.path.pop();
                return not("has a field that the schema does not know");
            }
            self.rule(id, field)?;
        }
        self.path.pop();
        Ok(())
    }
}

/// The work of looking for a name among others.
fn looked_up(name: &str) -> u64 {
    1 + name.len() as u64 / 16
}
