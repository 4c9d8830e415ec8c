//! JSON as providers write it: the telling fields first, pieces of raw text where exactness counts. Values alone would
//! come out in the order of the alphabet, as no provider writes them.

use serde_json::Value;

/// What comes first in an object, in this order; everything else follows by the alphabet.
const FIRST: [&str; 14] = [
    "type",
    "sequence_number",
    "id",
    "object",
    "created",
    "created_at",
    "model",
    "role",
    "index",
    "output_index",
    "content_index",
    "name",
    "candidates",
    "choices",
];
const RAW: char = '\u{1}';

/// A value that is written as exactly this text.
pub fn raw(text: &str) -> Value {
    Value::String(format!("{RAW}{text}"))
}

/// The text of a value.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::String(text) if text.starts_with(RAW) => out.push_str(&text[RAW.len_utf8()..]),
        Value::Object(members) => {
            let rank = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| rank(name));
            for (at, (name, member)) in sorted.into_iter().enumerate() {
                out.push(if at == 0 { '{' } else { ',' });
                out.push_str(&Value::String(name.clone()).to_string());
                out.push(':');
                write(member, out);
            }
            out.push_str(if members.is_empty() { "{}" } else { "}" });
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

/// Compact, keys sorted: the same text for the same value, whoever wrote it.
pub fn canonical(value: &Value) -> String {
    // Without the feature `preserve_order` objects are sorted already; this does not depend on it.
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            let inner =
                sorted.iter().map(|(name, member)| format!("{}:{}", Value::from(name.as_str()), canonical(member)));
            format!("{{{}}}", inner.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_type_comes_first_and_raw_text_stays() {
        let value = json!({"delta": {"input": raw(r#"{"n": 1.10}"#), "type": "x"}, "type": "y", "a": [1, {}]});
        assert_eq!(text(&value), r#"{"type":"y","a":[1,{}],"delta":{"type":"x","input":{"n": 1.10}}}"#);
    }

    #[test]
    fn the_canonical_form_is_sorted() {
        let value: Value = serde_json::from_str(r#"{ "b": [ {"z":1, "y":"q"} ], "a": null }"#).unwrap();
        assert_eq!(canonical(&value), r#"{"a":null,"b":[{"y":"q","z":1}]}"#);
    }
}
