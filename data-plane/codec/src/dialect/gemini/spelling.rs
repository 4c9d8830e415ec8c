//! Protobuf's manners in JSON, which Google's clients rely on: a field has two spellings, and one item is as good as a
//! list of it.

use std::borrow::Cow;

use crate::json::Value;

/// The field of this name, given as `camelCase`, in either spelling; null is the same as absent.
pub(super) fn get<'a>(value: Value<'a>, camel: &str) -> Option<Value<'a>> {
    value.fields().find(|(name, value)| !value.is_null() && is_spelled(name, camel)).map(|(_, value)| value)
}

fn is_spelled(name: &str, camel: &str) -> bool {
    name == camel || (name.contains('_') && self::camel(Cow::Borrowed(name)) == camel)
}

/// A name as `camelCase`.
pub(super) fn camel(name: Cow<'_, str>) -> Cow<'_, str> {
    if !name.get(1..).is_some_and(|rest| rest.contains('_')) {
        return name;
    }
    let mut out = String::with_capacity(name.len());
    let mut is_next = false;
    for letter in name.chars() {
        match letter {
            '_' if !out.is_empty() => is_next = true,
            letter if is_next => {
                out.push(letter.to_ascii_uppercase());
                is_next = false;
            }
            letter => out.push(letter),
        }
    }
    Cow::Owned(out)
}

/// Items of a list; one object alone is a list of it.
pub(super) fn list<'a>(value: Value<'a>) -> impl Iterator<Item = Value<'a>> {
    value.is_object().then_some(value).into_iter().chain(value.items())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Tape;

    #[test]
    fn both_spellings_and_lone_items_are_read() {
        for (name, expected) in [
            ("inline_data", "inlineData"),
            ("inlineData", "inlineData"),
            ("parameters_json_schema", "parametersJsonSchema"),
            ("_responseJsonSchema", "_responseJsonSchema"),
            ("text", "text"),
            ("a_", "a"),
            ("", ""),
        ] {
            assert_eq!(camel(name.into()), expected);
        }
        let mut tape = Tape::default();
        let body = br#"{"topP":null,"top_p":1,"parts":{"text":"x"},"many":[1,2]}"#;
        let value = tape.read(body).unwrap();
        assert_eq!(get(value, "topP").and_then(|value| value.number()), Some("1"));
        assert_eq!(list(value.get("parts").unwrap()).count(), 1);
        assert_eq!(list(value.get("many").unwrap()).count(), 2);
        assert_eq!(list(value.get("top_p").unwrap()).count(), 0);
    }
}
