//! When two JSON values are the same: numbers by value, objects whatever the order of their fields, texts by meaning.

use super::decimal::Decimal;
use crate::json::{Kind, Value};

/// A text that equal values share and others do not.
pub(super) fn likeness(value: Value<'_>) -> String {
    let mut out = String::new();
    spell(value, &mut out);
    out
}

/// As deep as the value is, which its reader has bounded.
fn spell(value: Value<'_>, out: &mut String) {
    match value.kind() {
        Kind::Null => out.push('n'),
        Kind::True => out.push('t'),
        Kind::False => out.push('f'),
        Kind::Number => {
            out.push('#');
            if let Some(number) = Decimal::read(value.raw()) {
                number.spell(out);
            }
        }
        Kind::String => spell_text(&value.string().unwrap_or_default(), out),
        Kind::Array => {
            out.push('[');
            value.items().for_each(|item| spell(item, out));
            out.push(']');
        }
        Kind::Object => {
            let mut fields: Vec<(std::borrow::Cow<'_, str>, Value<'_>)> = value.fields().collect();
            fields.sort_by(|one, other| one.0.cmp(&other.0));
            out.push('{');
            for (name, field) in fields {
                spell_text(&name, out);
                spell(field, out);
            }
            out.push('}');
        }
    }
}

/// With its length ahead, so that no text can look like something else.
fn spell_text(text: &str, out: &mut String) {
    out.push_str(&format!("\"{}:", text.len()));
    out.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Tape;

    fn of(text: &str) -> String {
        likeness(Tape::default().read(text.as_bytes()).unwrap())
    }

    #[test]
    fn equal_values_are_alike_and_others_are_not() {
        let groups: [&[&str]; 9] = [
            &["1", "1.0", "10e-1"],
            &["\"1\""],
            &[r#"{"a":1,"b":[true,null]}"#, r#" { "b" : [ true , null ] , "\u0061" : 1.0 } "#],
            &[r#"{"a":1,"b":[null,true]}"#],
            &["[1,2]"],
            &["[12]"],
            &[r#"["a","b"]"#],
            &[r#"["a\"1:b"]"#],
            &["[]"],
        ];
        for (place, group) in groups.iter().enumerate() {
            for (other_place, other) in groups.iter().enumerate() {
                for (one, two) in group.iter().flat_map(|one| other.iter().map(move |two| (one, two))) {
                    assert_eq!(of(one) == of(two), place == other_place, "{one} and {two}");
                }
            }
        }
    }
}
