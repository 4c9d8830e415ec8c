//! The laws on anything at all: bytes, nearly-JSON, schemas that nearly mean something.

use proptest::prelude::*;
use serde_json::Value as Tree;

use super::*;

/// Values as models write them: texts with all kinds of signs, numbers, lists, objects.
fn value() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::from),
        any::<i64>().prop_map(Tree::from),
        (-1_000_000..1_000_000i32).prop_map(|it| Tree::from(f64::from(it) / 8.0)),
        text().prop_map(Tree::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::from),
            prop::collection::btree_map(text(), inner, 0..5).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec![
            "a", "b", "Z", "9", " ", ",", ":", "{", "}", "[", "]", "'", "\"", "\\", "\n", "\t", "```", "//", "#", "ä",
            "😀", "true", "\u{feff}", "/*", "”",
        ]),
        0..6,
    )
    .prop_map(|parts| parts.concat())
}

/// A container: what is looked for in prose.
fn container() -> impl Strategy<Value = Tree> {
    value().prop_map(|it| if it.is_object() || it.is_array() { it } else { Tree::from(vec![it]) })
}

/// How an answer is spoilt; the meaning stays.
fn spoil(value: &Tree, how: u8) -> String {
    let plain = value.to_string();
    let pretty = serde_json::to_string_pretty(value).unwrap();
    match how {
        0 => format!("```json\n{pretty}\n```"),
        1 => format!("Here it is:\n\n{plain}\n\nAnything else?"),
        2 => format!("\u{feff}{pretty}"),
        3 => written(value, &Style { trailing: true, ..Style::default() }),
        4 => written(value, &Style { comments: true, ..Style::default() }),
        5 => written(value, &Style { python: true, ..Style::default() }),
        6 => written(value, &Style { raw_controls: true, ..Style::default() }),
        7 => format!("{plain}{plain}"),
        8 => format!("{plain}\n```json\n{pretty}\n```\n"),
        _ => format!("{plain}]"),
    }
}

#[derive(Default)]
struct Style {
    trailing: bool,
    comments: bool,
    python: bool,
    raw_controls: bool,
}

fn written(value: &Tree, style: &Style) -> String {
    let comment = if style.comments { " // so\n /* and, so */ " } else { "" };
    let end = if style.trailing { "," } else { "" };
    match value {
        Tree::Array(items) if !items.is_empty() => {
            let items: Vec<_> = items.iter().map(|item| written(item, style)).collect();
            format!("[{comment}{}{end}{comment}]", items.join(","))
        }
        Tree::Object(fields) if !fields.is_empty() => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, field)| {
                    format!("{}{comment}:{}", written(&Tree::from(name.as_str()), style), written(field, style))
                })
                .collect();
            format!("{{{comment}{}{end}{comment}}}", fields.join(","))
        }
        Tree::String(text) if style.python => {
            let inner = text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n").replace('\t', "\\t");
            format!("'{inner}'")
        }
        Tree::String(text) if style.raw_controls => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        Tree::Bool(true) if style.python => "True".to_owned(),
        Tree::Bool(false) if style.python => "False".to_owned(),
        Tree::Null if style.python => "None".to_owned(),
        other => other.to_string(),
    }
}

/// Bytes that look like JSON, Markdown and prose at once.
fn debris() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "'",
            "“",
            "”",
            "a",
            "key",
            "1",
            "-2.5e3",
            "0",
            "true",
            "None",
            " ",
            "\n",
            "```",
            "```json\n",
            "//",
            "/*",
            "*/",
            "#",
            "\\",
            "\\\"",
            "\\u00e4",
            "\u{feff}",
            "...",
            "ä",
            "{\"a\":",
            "\"b\"",
        ]),
        0..40,
    )
    .prop_map(|parts| parts.concat())
}

/// Schemas out of keywords that fit together more or less.
fn any_schema() -> impl Strategy<Value = Tree> {
    let word = prop::sample::select(vec!["a", "b", "$ref", "type"]);
    let leaf = prop_oneof![
        Just(serde_json::json!({})),
        any::<bool>().prop_map(Tree::from),
        prop::sample::select(vec!["string", "integer", "null", "object", "array", "STRING"])
            .prop_map(|it| serde_json::json!({ "type": it })),
        prop::sample::subsequence(vec!["string", "integer", "null", "object", "array"], 1..4)
            .prop_map(|it| serde_json::json!({ "type": it, "minLength": 1, "nullable": true, "format": "date-time" })),
        prop::collection::vec(value(), 1..3).prop_map(|it| serde_json::json!({ "enum": it })),
        value().prop_map(|it| serde_json::json!({ "const": it, "default": it })),
        (-5..5i64, 0..5u64).prop_map(|(low, len)| serde_json::json!({
            "minimum": low, "exclusiveMaximum": 4, "maxLength": len, "minItems": len, "maxProperties": len
        })),
        prop::sample::select(vec!["#", "#/$defs/a", "#/$defs/b", "#/properties/a", "#/nowhere"])
            .prop_map(|it| serde_json::json!({ "$ref": it, "description": "d" })),
        prop::sample::select(vec!["^a", "(?=x)", "[", "\\d+"]).prop_map(|it| serde_json::json!({ "pattern": it })),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let some = || prop::collection::vec(inner.clone(), 1..4);
        let named = || prop::collection::btree_map(word.clone(), inner.clone(), 0..4);
        prop_oneof![
            (named(), prop::collection::vec(word.clone(), 0..3), inner.clone()).prop_map(|(fields, required, rest)| {
                serde_json::json!({ "type": "object", "properties": fields, "required": required, "additionalProperties": rest })
            }),
            (named(), named()).prop_map(|(fields, defs)| serde_json::json!({ "properties": fields, "$defs": defs })),
            inner.clone().prop_map(|it| serde_json::json!({ "type": "array", "items": it, "uniqueItems": true })),
            some().prop_map(|it| serde_json::json!({ "anyOf": it })),
            some().prop_map(|it| serde_json::json!({ "oneOf": it, "type": "object" })),
            some().prop_map(|it| serde_json::json!({ "allOf": it, "title": "t" })),
            (inner.clone(), inner.clone()).prop_map(|(one, two)| serde_json::json!({ "if": one, "then": two, "not": one })),
            (inner.clone(), some()).prop_map(|(one, all)| serde_json::json!({ "contains": one, "prefixItems": all })),
            (named(), inner.clone()).prop_map(|(all, one)| serde_json::json!({ "patternProperties": all, "propertyNames": one, "dependentSchemas": all })),
        ]
    })
}

fn holds(law: fn(&[u8]) -> Result<(), laws::Broken>, data: &[u8]) -> Result<(), TestCaseError> {
    law(data).map_err(|broken| TestCaseError::fail(format!("{broken}: {}", String::from_utf8_lossy(data))))
}

fn joined(schema: &Tree, answer: &str) -> Vec<u8> {
    [schema.to_string().as_bytes(), b"\0", answer.as_bytes()].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_spoilt_answer_heals_to_the_value_that_was_meant(value in container(), how in 0u8..10) {
        let answer = spoil(&value, how);
        let wanted = Some(value);
        for ending in [Ending::Finished, Ending::Cut] {
            let healed = heal(&answer, ending, None).map(|json| serde_json::from_str::<Tree>(&json).unwrap());
            // Prose and fences may look like values themselves; then there is no healing, and never another value.
            prop_assert!(healed == wanted || healed.is_none(), "{answer}\n{healed:?}");
            if [0, 2, 3, 4, 5, 6].contains(&how) {
                prop_assert_eq!(&healed, &wanted, "{}", answer);
            }
        }
    }

    #[test]
    fn an_answer_cut_anywhere_is_never_taken_for_another(value in container(), at in any::<prop::sample::Index>()) {
        let answer = value.to_string();
        let at = at.index(answer.len());
        prop_assume!(answer.is_char_boundary(at));
        let healed = heal(&answer[..at], Ending::Cut, None);
        prop_assert!(healed.is_none(), "{:?} from {}", healed, &answer[..at]);
    }

    #[test]
    fn the_laws_of_healing_hold_for_debris(answer in debris(), schema in any_schema()) {
        holds(laws::healing, answer.as_bytes())?;
        holds(laws::healing, &joined(&schema, &answer))?;
    }

    #[test]
    fn the_laws_of_healing_hold_for_values(value in value(), schema in any_schema()) {
        holds(laws::healing, &joined(&schema, &value.to_string()))?;
    }

    #[test]
    fn the_laws_of_checking_hold(value in value(), schema in any_schema()) {
        holds(laws::checking, &joined(&schema, &value.to_string()))?;
    }

    #[test]
    fn the_laws_of_converting_hold(schema in any_schema()) {
        holds(laws::converting, schema.to_string().as_bytes())?;
    }

    #[test]
    fn what_a_looser_or_equal_schema_refuses_the_asked_one_refuses_too(value in value(), schema in any_schema()) {
        let raw = schema.to_string();
        let Ok(asked) = Schema::parse(&raw) else { return Ok(()) };
        let Ok(converted) = for_gemini(&raw) else { return Ok(()) };
        let answer = value.to_string();
        // Types that are implied and not said are the one thing that is taken as meant.
        let is_meant = converted.changed.iter().any(|change| change.keyword == "type" || change.keyword == "additionalProperties");
        if asked.check(&answer).is_ok() && !is_meant {
            let target = Schema::parse(&converted.json).unwrap();
            prop_assert_eq!(target.check(&answer), Ok(()), "{} became {} and refuses {}", raw, converted.json, answer);
        }
    }

    #[test]
    fn a_faithful_conversion_allows_what_was_asked_and_no_more(value in value(), schema in any_schema()) {
        let raw = schema.to_string();
        let Ok(asked) = Schema::parse(&raw) else { return Ok(()) };
        for convert in [for_gemini, for_anthropic] {
            let Ok(converted) = convert(&raw) else { continue };
            let target = Schema::parse(&converted.json).unwrap();
            let is_exact = converted.changed.is_empty() && asked.skipped().is_empty();
            if is_exact {
                let answer = value.to_string();
                prop_assert_eq!(asked.check(&answer).is_ok(), target.check(&answer).is_ok(), "{} became {} for {}", raw, converted.json, answer);
            }
        }
    }

    #[test]
    fn no_bytes_break_anything(data in prop::collection::vec(any::<u8>(), 0..200)) {
        holds(laws::healing, &data)?;
        holds(laws::checking, &data)?;
        holds(laws::converting, &data)?;
    }
}
