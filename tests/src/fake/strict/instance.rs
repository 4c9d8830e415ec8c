//! The smallest instance of a JSON schema, and whether a value is one. Knows what callers' schemas use: types, properties,
//! items, enum, const, anyOf, oneOf, allOf, $ref, bounds.

use serde_json::{Map, Value, json};

/// Refs are followed so deep; a schema that needs more never ends.
const DEEPEST: usize = 24;

/// The smallest instance.
pub fn minimal(schema: &Value) -> Value {
    instance(schema, schema, 0)
}

fn instance(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > DEEPEST || !schema.is_object() {
        return Value::Null;
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    if let Some(target) = followed(schema, root) {
        return instance(target, root, depth + 1);
    }
    for several in ["anyOf", "oneOf"] {
        if let Some(first) = schema[several].as_array().and_then(|options| options.first()) {
            return instance(first, root, depth + 1);
        }
    }
    if let Some(all) = schema["allOf"].as_array() {
        let mut merged = Map::new();
        for part in all {
            if let Value::Object(members) = instance(part, root, depth + 1) {
                merged.extend(members);
            }
        }
        return Value::Object(merged);
    }
    of_type(schema, root, depth)
}

fn of_type(schema: &Value, root: &Value, depth: usize) -> Value {
    let bound = |names: [&str; 2]| names.iter().find_map(|name| schema[*name].as_f64());
    match type_of(schema).as_str() {
        "object" => object(schema, root, depth),
        "array" => {
            let count = schema["minItems"].as_u64().unwrap_or(1).min(20);
            Value::Array((0..count).map(|_| instance(&schema["items"], root, depth + 1)).collect())
        }
        "integer" => match bound(["minimum", "maximum"]) {
            Some(bound) => json!(bound as i64),
            None => json!(1),
        },
        "number" => bound(["minimum", "maximum"]).map_or(json!(1), |bound| json!(bound)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => {
            let least = schema["minLength"].as_u64().unwrap_or(0).min(1_000);
            let text = "toll".repeat(usize::try_from(least.div_ceil(4).max(1)).expect("a small number"));
            let most = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
            json!(text.chars().take(usize::try_from(most).unwrap_or(usize::MAX)).collect::<String>())
        }
    }
}

fn object(schema: &Value, root: &Value, depth: usize) -> Value {
    let Some(properties) = schema["properties"].as_object() else { return json!({}) };
    let required: Option<Vec<&str>> =
        schema["required"].as_array().map(|names| names.iter().filter_map(Value::as_str).collect());
    let members = properties
        .iter()
        .filter(|(name, _)| required.as_ref().is_none_or(|required| required.contains(&name.as_str())))
        .map(|(name, property)| (name.clone(), instance(property, root, depth + 1)));
    Value::Object(members.collect())
}

/// In lower case, whoever wrote it; the first of several; guessed where it is missing.
fn type_of(schema: &Value) -> String {
    let named = match &schema["type"] {
        Value::Array(several) => several.first().and_then(Value::as_str),
        other => other.as_str(),
    };
    let guessed = || match schema {
        _ if schema["properties"].is_object() => "object",
        _ if schema["items"].is_object() => "array",
        _ => "string",
    };
    named.unwrap_or_else(guessed).to_lowercase()
}

fn followed<'a>(schema: &Value, root: &'a Value) -> Option<&'a Value> {
    root.pointer(schema["$ref"].as_str()?.strip_prefix('#')?)
}

/// Whether a value is an instance, as far as the words go that `minimal` knows.
pub fn is_instance(value: &Value, schema: &Value) -> bool {
    fits(value, schema, schema, 0)
}

fn fits(value: &Value, schema: &Value, root: &Value, depth: usize) -> bool {
    if depth > 2 * DEEPEST {
        return false;
    }
    if let Some(target) = followed(schema, root) {
        return fits(value, target, root, depth + 1);
    }
    let among = |name: &str| schema[name].as_array();
    schema.get("const").is_none_or(|constant| constant == value)
        && among("enum").is_none_or(|values| values.contains(value))
        && among("anyOf").is_none_or(|options| options.iter().any(|option| fits(value, option, root, depth + 1)))
        && among("oneOf").is_none_or(|options| options.iter().any(|option| fits(value, option, root, depth + 1)))
        && among("allOf").is_none_or(|parts| parts.iter().all(|part| fits(value, part, root, depth + 1)))
        && fits_type(value, schema)
        && fits_members(value, schema, root, depth)
}

fn fits_type(value: &Value, schema: &Value) -> bool {
    let is = |word: &str| match word.to_lowercase().as_str() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.as_i64().is_some() || value.as_u64().is_some(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    };
    match &schema["type"] {
        Value::String(word) => is(word) || (value.is_null() && schema["nullable"] == true),
        Value::Array(words) => words.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

fn fits_members(value: &Value, schema: &Value, root: &Value, depth: usize) -> bool {
    match value {
        Value::Object(members) => {
            let properties = schema["properties"].as_object();
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            required.into_iter().all(|name| members.contains_key(name))
                && members.iter().all(|(name, member)| match properties.and_then(|known| known.get(name)) {
                    Some(property) => fits(member, property, root, depth + 1),
                    None => schema["additionalProperties"] != false,
                })
        }
        Value::Array(items) => {
            items.len() as u64 >= schema["minItems"].as_u64().unwrap_or(0)
                && (!schema["items"].is_object()
                    || items.iter().all(|item| fits(item, &schema["items"], root, depth + 1)))
        }
        Value::String(text) => text.chars().count() as u64 >= schema["minLength"].as_u64().unwrap_or(0),
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            schema["minimum"].as_f64().is_none_or(|least| number >= least)
                && schema["maximum"].as_f64().is_none_or(|most| number <= most)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_instance_is_an_instance() {
        let schema = json!({
            "type": "object",
            "$defs": {"place": {
                "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false,
            }},
            "properties": {
                "at": {"$ref": "#/$defs/place"}, "kind": {"enum": ["b", "a"]}, "count": {"type": "integer", "minimum": 3},
                "tags": {"type": "array", "items": {"type": "string", "minLength": 6}, "minItems": 2},
                "maybe": {"type": ["string", "null"]}, "either": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
                "ratio": {"type": "NUMBER"}, "fixed": {"const": 7}, "unwanted": {"type": "string"},
            },
            "required": ["at", "kind", "count", "tags", "maybe", "either", "ratio", "fixed"], "additionalProperties": false,
        });
        let value = minimal(&schema);
        let wanted = json!({
            "at": {"city": "toll"}, "kind": "b", "count": 3, "tags": ["tolltoll", "tolltoll"], "maybe": "toll",
            "either": true, "ratio": 1, "fixed": 7,
        });
        assert_eq!(value, wanted);
        assert!(is_instance(&value, &schema));
        assert!(!is_instance(&json!({"wrong": true}), &schema));
        assert!(!is_instance(&json!([]), &schema));
    }

    #[test]
    fn a_schema_without_end_ends() {
        let schema = json!({
            "$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"]}}, "$ref": "#/$defs/n",
        });
        assert!(minimal(&schema).is_object());
    }
}
