//! Which fields a request may have, as tables: unknown ones, missing ones and wrong types are violations, named by the
//! place they stand in.

use serde_json::Value;

use super::Checks;

/// What a value may be.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Anything; tables of its own, or nobody's business.
    Any,
    Text,
    Number,
    Whole,
    Flag,
    /// An object with names that are the caller's.
    Map,
    /// A text out of these.
    Word(&'static [&'static str]),
    Object(&'static [Field]),
    List(&'static Kind),
    /// Objects told apart by the text of a field. A last row `*` is for texts that nobody knows.
    Tagged(&'static str, &'static [(&'static str, &'static [Field])]),
    /// The first whose JSON type fits.
    Either(&'static [Kind]),
    /// For tables that contain themselves.
    Later(fn() -> Kind),
}

/// A member of an object.
#[derive(Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub is_needed: bool,
}

pub const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, is_needed: false }
}

pub const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, is_needed: true }
}

/// How strictly a family reads.
#[derive(Clone, Copy)]
pub struct Manner {
    /// Whether null is as good as absent.
    pub nulls: bool,
    /// Whether `snake_case` is as good as `camelCase`, and one item as good as a list of it.
    pub protobuf: bool,
}

/// Checks `value` against `kind`; `at` is its place.
pub fn check(value: &Value, kind: Kind, manner: Manner, at: &str, checks: &mut Checks) {
    match kind {
        Kind::Any => {}
        Kind::Later(kind) => check(value, kind(), manner, at, checks),
        Kind::Either(kinds) => match kinds.iter().find(|kind| fits(value, **kind)) {
            Some(kind) => check(value, *kind, manner, at, checks),
            None => checks.no("type", at, &format!("Invalid type for '{at}': got {}.", name_of(value))),
        },
        Kind::List(item) => match value {
            Value::Array(items) => {
                for (index, one) in items.iter().enumerate() {
                    check(one, *item, manner, &format!("{at}[{index}]"), checks);
                }
            }
            Value::Object(_) if manner.protobuf => check(value, *item, manner, &format!("{at}[0]"), checks),
            _ => wrong(value, "an array", at, checks),
        },
        Kind::Object(fields) => object(value, fields, manner, at, checks),
        Kind::Tagged(tag, rows) => tagged(value, tag, rows, manner, at, checks),
        Kind::Word(words) => match value.as_str() {
            None => wrong(value, "a string", at, checks),
            Some(word) if !words.contains(&word) => {
                checks.no("value", at, &format!("Invalid value: '{word}'. Supported values are: {words:?}."));
            }
            Some(_) => {}
        },
        plain if fits(value, plain) => {}
        _ => wrong(value, "another type", at, checks),
    }
}

fn fits(value: &Value, kind: Kind) -> bool {
    match kind {
        Kind::Any | Kind::Later(_) => true,
        Kind::Text | Kind::Word(_) => value.is_string(),
        Kind::Number => value.is_number(),
        Kind::Whole => value.as_i64().is_some() || value.as_u64().is_some(),
        Kind::Flag => value.is_boolean(),
        Kind::Map | Kind::Object(_) | Kind::Tagged(..) => value.is_object(),
        Kind::List(_) => value.is_array(),
        Kind::Either(kinds) => kinds.iter().any(|kind| fits(value, *kind)),
    }
}

fn wrong(value: &Value, wanted: &str, at: &str, checks: &mut Checks) {
    checks.no("type", at, &format!("Invalid type for '{at}': expected {wanted}, but got {} instead.", name_of(value)));
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn object(value: &Value, fields: &[Field], manner: Manner, at: &str, checks: &mut Checks) {
    let Some(members) = value.as_object() else { return wrong(value, "an object", at, checks) };
    let place = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    for (name, member) in members {
        let known = fields.iter().find(|field| field.name == name || (manner.protobuf && snake(field.name) == *name));
        match known {
            None => checks.no("unknown_field", &place(name), &format!("Unknown parameter: '{}'.", place(name))),
            Some(_) if member.is_null() && manner.nulls => {}
            Some(field) => check(member, field.kind, manner, &place(name), checks),
        }
    }
    for field in fields.iter().filter(|field| field.is_needed) {
        let found = members.get(field.name).or_else(|| members.get(&snake(field.name)).filter(|_| manner.protobuf));
        if found.is_none_or(|member| member.is_null() && manner.nulls) {
            let at = place(field.name);
            checks.no("missing_field", &at, &format!("Missing required parameter: '{at}'."));
        }
    }
}

fn tagged(value: &Value, tag: &str, rows: &[(&str, &[Field])], manner: Manner, at: &str, checks: &mut Checks) {
    let Some(word) = value[tag].as_str() else {
        return checks.no("missing_field", at, &format!("Missing required parameter: '{at}.{tag}'."));
    };
    match rows.iter().find(|(name, _)| *name == word || *name == "*") {
        Some(("*", _)) => {}
        Some((_, fields)) => object(value, fields, manner, at, checks),
        None => checks.no("value", &format!("{at}.{tag}"), &format!("Invalid value: '{word}' for '{at}.{tag}'.")),
    }
}

/// `inlineData` as `inline_data`.
pub fn snake(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PART: &[Field] = &[may("text", Kind::Text), may("inlineData", Kind::Later(|| Kind::Object(PART)))];
    const ROOT: Kind = Kind::Object(&[must("parts", Kind::List(&Kind::Object(PART))), may("n", Kind::Whole)]);

    fn rules(value: &Value, manner: Manner) -> Vec<(String, &'static str)> {
        let mut checks = Checks::default();
        check(value, ROOT, manner, "", &mut checks);
        checks.list.into_iter().map(|violation| (violation.at, violation.rule)).collect()
    }

    #[test]
    fn every_violation_is_named_with_its_place() {
        let strict = Manner { nulls: false, protobuf: false };
        assert_eq!(rules(&json!({"parts": [{"text": "x"}], "n": 1}), strict), []);
        let bad = json!({"parts": [{"text": 1}, {"inline_data": {}}], "n": null, "x": 1});
        let found = rules(&bad, strict);
        let wanted = [
            ("n", "type"),
            ("parts[0].text", "type"),
            ("parts[1].inline_data", "unknown_field"),
            ("x", "unknown_field"),
        ];
        assert_eq!(found, wanted.map(|(at, rule)| (at.to_owned(), rule)));
        assert_eq!(rules(&json!({}), strict), [("parts".to_owned(), "missing_field")]);
    }

    #[test]
    fn protobuf_is_read_as_google_reads_it() {
        let google = Manner { nulls: true, protobuf: true };
        assert_eq!(rules(&json!({"parts": {"inline_data": {"text": "x"}}, "n": null}), google), []);
        assert_eq!(snake("functionCall"), "function_call");
    }
}
