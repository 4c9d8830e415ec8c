//! What a schema asks, as it is checked: one rule for each place in the schema that answers are held against.
//! Plain data; rules name each other by number, since a schema may contain itself.

use std::collections::{BTreeMap, BTreeSet};

use super::decimal::{Decimal, Divisor};
use super::pattern::Pattern;
use crate::json::{Kind, Value};

/// Which rule.
pub(super) type RuleId = usize;

/// All that one place of a schema asks. What is not there is not asked.
#[derive(Debug, Default)]
pub(super) struct Rule {
    /// Nothing passes: the schema `false`.
    pub never: bool,
    pub types: Option<Types>,
    /// OpenAPI's way to let null pass whatever else is asked.
    pub is_nullable: bool,
    /// `enum` and `const`, as likenesses.
    pub values: Vec<BTreeSet<String>>,
    pub reference: Option<RuleId>,
    pub all: Vec<RuleId>,
    pub any: Option<Vec<RuleId>>,
    pub one: Option<Vec<RuleId>>,
    pub not: Option<RuleId>,
    pub condition: Option<Condition>,
    pub number: Option<Box<NumberRule>>,
    pub text: Option<Box<TextRule>>,
    pub list: Option<Box<ListRule>>,
    pub object: Option<Box<ObjectRule>>,
}

/// `if`, with what follows from it.
#[derive(Debug)]
pub(super) struct Condition {
    pub when: RuleId,
    pub then: Option<RuleId>,
    pub otherwise: Option<RuleId>,
}

#[derive(Debug, Default)]
pub(super) struct NumberRule {
    pub limits: Vec<(Limit, Decimal)>,
    pub divisors: Vec<Divisor>,
}

/// On which side of a number others have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    AtLeast,
    Above,
    AtMost,
    Below,
}

/// How many there may be.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Count {
    pub least: Option<u64>,
    pub most: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct TextRule {
    /// In code points.
    pub length: Count,
    pub pattern: Option<Pattern>,
}

#[derive(Debug, Default)]
pub(super) struct ListRule {
    pub first: Vec<RuleId>,
    pub rest: Option<RuleId>,
    pub contains: Option<RuleId>,
    pub contained: Count,
    pub length: Count,
    pub is_unique: bool,
}

#[derive(Debug, Default)]
pub(super) struct ObjectRule {
    pub fields: BTreeMap<String, RuleId>,
    /// By pattern of the name. A pattern that cannot be matched is none, and then nobody can say which fields are
    /// left for `rest`.
    pub patterns: Vec<(Option<Pattern>, RuleId)>,
    pub rest: Option<RuleId>,
    pub names: Option<RuleId>,
    pub required: Vec<String>,
    pub length: Count,
    /// When a field is there, these have to be as well.
    pub needs: Vec<(String, Vec<String>)>,
    /// When a field is there, the object has to pass this.
    pub then: Vec<(String, RuleId)>,
}

impl Rule {
    /// Rules that the same value is held against.
    pub fn same_value(&self) -> Vec<RuleId> {
        let alternatives = [&self.any, &self.one].into_iter().flatten().flatten().copied();
        let condition = self.condition.iter().flat_map(|it| [Some(it.when), it.then, it.otherwise]).flatten();
        let then = self.object.iter().flat_map(|object| object.then.iter().map(|(_, id)| *id));
        let single = self.reference.into_iter().chain(self.not);
        single.chain(self.all.iter().copied()).chain(alternatives).chain(condition).chain(then).collect()
    }

    /// Rules that values inside are held against.
    pub fn inner_values(&self) -> Vec<RuleId> {
        let list = self.list.iter().flat_map(|list| list.first.iter().copied().chain(list.rest).chain(list.contains));
        let object = self.object.iter().flat_map(|object| {
            let patterns = object.patterns.iter().map(|(_, id)| *id);
            object.fields.values().copied().chain(patterns).chain(object.rest).chain(object.names)
        });
        list.chain(object).collect()
    }
}

impl Count {
    /// Whether it is enough, or too many; nothing when it is right.
    pub fn off(&self, count: u64) -> Option<(&'static str, u64)> {
        let few = self.least.filter(|least| count < *least).map(|least| ("fewer", least));
        few.or_else(|| self.most.filter(|most| count > *most).map(|most| ("more", most)))
    }
}

/// A set of the seven types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Types(u8);

/// Names of types, in the order of their bits.
const NAMES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];
const INTEGER: u8 = 1 << 2;
const NUMBER: u8 = 1 << 3;

impl Types {
    /// The type of this name, in lower case as JSON schemas have it or in upper case as Gemini has it.
    pub fn named(name: &str) -> Option<Types> {
        let bit = NAMES.iter().position(|known| {
            *known == name || (known.eq_ignore_ascii_case(name) && name.bytes().all(|byte| byte.is_ascii_uppercase()))
        })?;
        Some(Types(1 << bit))
    }

    pub fn or(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    /// Whether a value is of one of these types.
    pub fn has(self, value: Value<'_>) -> bool {
        let bit = match value.kind() {
            Kind::Null => 1,
            Kind::True | Kind::False => 1 << 1,
            Kind::Number if self.0 & (INTEGER | NUMBER) == INTEGER => {
                return Decimal::read(value.raw()).is_some_and(|number| number.is_whole());
            }
            Kind::Number => NUMBER,
            Kind::String => 1 << 4,
            Kind::Array => 1 << 5,
            Kind::Object => 1 << 6,
        };
        self.0 & bit != 0
    }

    /// `string or null`.
    pub fn list(self) -> String {
        let named = NAMES.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| *name);
        named.collect::<Vec<_>>().join(" or ")
    }
}

/// A rule from which `next` leads back to itself. Walks with a list instead of the stack.
pub(super) fn circle(rules: &[Rule], next: impl Fn(&Rule) -> Vec<RuleId>) -> Option<RuleId> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Not,
        Open,
        Done,
    }
    let follow = |id: RuleId| rules.get(id).map(&next).unwrap_or_default();
    let mut seen = vec![Seen::Not; rules.len()];
    for start in 0..rules.len() {
        if seen.get(start) != Some(&Seen::Not) {
            continue;
        }
        let mut way = vec![(start, follow(start))];
        seen.iter_mut().skip(start).take(1).for_each(|it| *it = Seen::Open);
        while let Some((here, left)) = way.last_mut() {
            let here = *here;
            match left.pop() {
                None => {
                    seen.iter_mut().skip(here).take(1).for_each(|it| *it = Seen::Done);
                    way.pop();
                }
                Some(id) => match seen.get_mut(id) {
                    Some(Seen::Open) => return Some(id),
                    Some(it @ Seen::Not) => {
                        *it = Seen::Open;
                        way.push((id, follow(id)));
                    }
                    _ => {}
                },
            }
        }
    }
    None
}
