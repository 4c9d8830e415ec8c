use super::*;
use Effect::{Loosened, Narrowed, Reworded};

type Changes = &'static [(&'static str, &'static str, Effect)];

fn assert_converted(
    convert: fn(&str) -> Result<Converted, SchemaFault>,
    cases: &[(&'static str, &'static str, Changes)],
) {
    for (raw, json, changes) in cases {
        let converted = convert(raw).unwrap_or_else(|fault| panic!("{raw}: {fault}"));
        let changed: Vec<_> =
            converted.changed.iter().map(|it| (it.path.as_str(), it.keyword.as_str(), it.effect)).collect();
        assert_eq!(converted.json, *json, "{raw}");
        assert_eq!(changed, *changes, "{raw}");
    }
}

#[test]
fn gemini_gets_what_its_schema_knows_in_the_order_and_with_the_numbers_of_the_sender() {
    assert_converted(
        for_gemini,
        &[
            (
                r#"{"type":"object","title":"T","properties":{"z":{"type":"number","maximum":1.50e0,"minimum":-0},"a":{"type":"string","pattern":"^x$","minLength":1}},"required":["z","a"]}"#,
                r#"{"type":"object","title":"T","properties":{"z":{"type":"number","maximum":1.50e0,"minimum":-0},"a":{"type":"string","pattern":"^x$","minLength":1}},"required":["z","a"]}"#,
                &[],
            ),
            (
                r#"{"type":"OBJECT","nullable":true,"properties":{"a":{"type":"STRING"}},"propertyOrdering":["a"]}"#,
                r#"{"type":"OBJECT","nullable":true,"properties":{"a":{"type":"STRING"}},"propertyOrdering":["a"]}"#,
                &[],
            ),
            (
                r#"{"required":["a"],"anyOf":[{"type":"object","minProperties":1},{"type":"object"}],"description":"d","properties":{"a":{"type":"null"}},"type":"object"}"#,
                r#"{"required":["a"],"anyOf":[{"type":"object","minProperties":1},{"type":"object"}],"description":"d","properties":{"a":{"type":"null"}},"type":"object"}"#,
                &[],
            ),
            (
                r#"{"type":"object","properties":{},"required":[]}"#,
                r#"{"type":"object","properties":{},"required":[]}"#,
                &[],
            ),
            (
                r#"{"type":["string","null"],"description":"d"}"#,
                r#"{"type":"string","nullable":true,"description":"d"}"#,
                &[("", "type", Reworded)],
            ),
            (
                r#"{"const":"a"}"#,
                r#"{"type":"string","enum":["a"]}"#,
                &[("", "const", Reworded), ("", "type", Reworded)],
            ),
            (r#"{"type":"string","enum":["a","b"]}"#, r#"{"type":"string","enum":["a","b"]}"#, &[]),
            (
                r#"{"enum":["a",null]}"#,
                r#"{"type":"string","nullable":true,"enum":["a"]}"#,
                &[("", "enum", Reworded), ("", "type", Reworded)],
            ),
            (r#"{"type":"integer","enum":[1,2]}"#, r#"{"type":"integer"}"#, &[("", "enum", Loosened)]),
            (r#"{"type":"string","enum":["a",""]}"#, r#"{"type":"string"}"#, &[("", "enum", Loosened)]),
            (r#"{"const":1}"#, r#"{"type":"number"}"#, &[("", "const", Loosened), ("", "type", Reworded)]),
            (r#"{"const":null}"#, r#"{"type":"null"}"#, &[("", "const", Reworded)]),
            (r#"{"type":"null"}"#, r#"{"type":"null"}"#, &[]),
            (r#"{"nullable":true}"#, r#"{"nullable":true}"#, &[]),
            (
                r#"{"anyOf":[{"type":"string","minLength":1},{"type":"null"}],"title":"N","default":null}"#,
                r#"{"nullable":true,"title":"N","default":null,"type":"string","minLength":1}"#,
                &[("", "anyOf", Reworded)],
            ),
            (
                r#"{"anyOf":[{"type":"string"},{"type":"integer"}]}"#,
                r#"{"anyOf":[{"type":"string"},{"type":"integer"}]}"#,
                &[],
            ),
            (
                r#"{"oneOf":[{"type":"string"},{"type":"integer"},{"type":"null"}]}"#,
                r#"{"nullable":true,"anyOf":[{"type":"string"},{"type":"integer"}]}"#,
                &[("", "oneOf", Loosened), ("", "oneOf", Reworded)],
            ),
            (
                r#"{"type":["string","integer","null"],"minLength":2,"maximum":7,"description":"d"}"#,
                r#"{"nullable":true,"description":"d","anyOf":[{"type":"string","minLength":2},{"type":"integer","maximum":7}]}"#,
                &[("", "type", Reworded), ("", "type", Reworded)],
            ),
            (
                r#"{"type":"object","properties":{"a":{"type":"string"}},"anyOf":[{"required":["a"]},{"required":["b"]}]}"#,
                r#"{"type":"object","properties":{"a":{"type":"string"}}}"#,
                &[("/anyOf/0", "required", Loosened), ("/anyOf/1", "required", Loosened), ("", "anyOf", Loosened)],
            ),
            (
                r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a","gone","a"],"additionalProperties":false}"#,
                r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#,
                &[("", "required", Loosened), ("", "additionalProperties", Reworded)],
            ),
            (
                r#"{"type":"object","additionalProperties":{"type":"string"}}"#,
                r#"{"type":"object"}"#,
                &[("", "additionalProperties", Loosened)],
            ),
            (
                r#"{"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":10}"#,
                r#"{"type":"integer","minimum":1,"maximum":9}"#,
                &[("", "exclusiveMinimum", Reworded), ("", "exclusiveMaximum", Reworded)],
            ),
            (
                r#"{"type":"number","exclusiveMinimum":0,"multipleOf":2}"#,
                r#"{"type":"number"}"#,
                &[("", "exclusiveMinimum", Loosened), ("", "multipleOf", Loosened)],
            ),
            (r#"{"type":"string","format":"date-time"}"#, r#"{"type":"string","format":"date-time"}"#, &[]),
            (r#"{"type":"string","format":"uri"}"#, r#"{"type":"string"}"#, &[("", "format", Loosened)]),
            (r#"{"type":"array"}"#, r#"{"type":"array","items":{}}"#, &[("", "items", Reworded)]),
            (
                r#"{"type":"array","items":true,"uniqueItems":true}"#,
                r#"{"type":"array","items":{}}"#,
                &[("", "uniqueItems", Loosened)],
            ),
            (
                r#"{"type":"array","prefixItems":[{"type":"string"}],"items":{"type":"string"}}"#,
                r#"{"type":"array","items":{"type":"string"}}"#,
                &[("", "prefixItems", Loosened)],
            ),
            (
                r#"{"properties":{"a":{"type":"string"}}}"#,
                r#"{"type":"object","properties":{"a":{"type":"string"}}}"#,
                &[("", "type", Reworded)],
            ),
            (
                r#"{"$schema":"x","$comment":"c","readOnly":true,"type":"string","x-own":1,"odd":1}"#,
                r#"{"type":"string"}"#,
                &[("", "odd", Reworded)],
            ),
            (
                r#"{"type":"string","examples":["e","f"]}"#,
                r#"{"type":"string","example":"e"}"#,
                &[("", "examples", Reworded)],
            ),
            (
                r#"{"type":"object","properties":{"a":false,"b":true}}"#,
                r#"{"type":"object","properties":{"a":{},"b":{}}}"#,
                &[("/properties/a", "false", Loosened)],
            ),
            (
                r#"{"allOf":[{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]},{"properties":{"b":{"type":"null"},"a":{"minLength":1}},"required":["b"]}],"not":{}}"#,
                r#"{"type":"object","properties":{"a":{"type":"string","minLength":1},"b":{"type":"null"}},"required":["a","b"]}"#,
                &[("", "not", Loosened)],
            ),
            (r#"{"type":"string","allOf":[{"type":"integer"}]}"#, r#"{"type":"string"}"#, &[("", "type", Loosened)]),
            (
                r##"{"type":"object","properties":{"o":{"$ref":"#/$defs/O","description":"mine"},"p":{"$ref":"#/$defs/O"}},"$defs":{"O":{"type":"object","description":"its","properties":{"x":{"$ref":"#/$defs/S"}}},"S":{"type":"string"}}}"##,
                r##"{"type":"object","properties":{"o":{"description":"mine","type":"object","properties":{"x":{"type":"string"}}},"p":{"type":"object","description":"its","properties":{"x":{"type":"string"}}}}}"##,
                &[],
            ),
            // What looks like a reference among data, or is a property of that name, is none.
            (
                r##"{"type":"object","properties":{"$ref":{"type":"string","default":{"$ref":"#/no"},"example":{"$ref":"#/no"}}}}"##,
                r##"{"type":"object","properties":{"$ref":{"type":"string","default":{"$ref":"#/no"},"example":{"$ref":"#/no"}}}}"##,
                &[],
            ),
        ],
    );
}

#[test]
fn a_schema_that_contains_itself_is_not_for_gemini_nor_anthropic() {
    for raw in [
        r##"{"type":"object","properties":{"next":{"$ref":"#"}}}"##,
        r##"{"$ref":"#/$defs/N","$defs":{"N":{"type":"object","properties":{"n":{"type":"array","items":{"$ref":"#/$defs/N"}}}}}}"##,
        r##"{"type":"object","properties":{"a":{"type":"object","properties":{"b":{"$ref":"#/properties/a"}}}}}"##,
    ] {
        for convert in [for_gemini, for_anthropic] {
            assert_eq!(convert(raw).expect_err(raw).kind, SchemaFaultKind::Endless, "{raw}");
        }
        assert!(Schema::parse(raw).is_ok(), "{raw}");
    }
    // The same twice is no circle.
    let twice = r##"{"type":"object","properties":{"a":{"allOf":[{"$ref":"#/$defs/A"},{"$ref":"#/$defs/A"}]}},"$defs":{"A":{"type":"string"}}}"##;
    assert_eq!(for_gemini(twice).unwrap().json, r#"{"type":"object","properties":{"a":{"type":"string"}}}"#);
}

#[test]
fn a_broken_schema_is_refused_by_all() {
    for raw in
        ["", "{", r#"{"type":"text"}"#, r##"{"properties":{"a":{"$ref":"#/nowhere"}}}"##, r#"{"$ref":"http://x.test"}"#]
    {
        for convert in [for_gemini, for_anthropic, from_gemini] {
            assert_eq!(convert(raw).expect_err(raw), Schema::parse(raw).expect_err(raw));
        }
        assert!(strict_for_openai(raw).is_err());
    }
}

#[test]
fn what_gemini_would_not_take_from_its_clients_is_refused() {
    for (raw, path) in [
        (r#"{"max_properties":{"city":{}}}"#, "/maxProperties"),
        (r#"{"min_items":1,"minItems":"1"}"#, ""),
        (r#"{"type":"OBJECT","properties":{"a":{"any_of":"x"}}}"#, "/properties/a/anyOf"),
    ] {
        assert_eq!(from_gemini(raw).expect_err(raw).path, path, "{raw}");
    }
}

#[test]
fn anthropic_gets_closed_objects_and_no_limits() {
    assert_converted(
        for_anthropic,
        &[
            (
                r#"{"type":"object","title":"T","properties":{"a":{"type":["string","null"],"default":null},"b":{"type":"integer"}},"required":["a"],"additionalProperties":false}"#,
                r#"{"type":"object","title":"T","properties":{"a":{"type":["string","null"],"default":null},"b":{"type":"integer"}},"required":["a"],"additionalProperties":false}"#,
                &[],
            ),
            (
                r#"{"type":"object","properties":{"a":{"type":"object","properties":{}}}}"#,
                r#"{"type":"object","properties":{"a":{"type":"object","properties":{},"additionalProperties":false}},"additionalProperties":false}"#,
                &[("/properties/a", "additionalProperties", Reworded), ("", "additionalProperties", Reworded)],
            ),
            (
                r#"{"type":"object"}"#,
                r#"{"type":"object","additionalProperties":false}"#,
                &[("", "additionalProperties", Narrowed)],
            ),
            (
                r#"{"type":"object","properties":{},"additionalProperties":{"type":"string"}}"#,
                r#"{"type":"object","properties":{},"additionalProperties":false}"#,
                &[("", "additionalProperties", Narrowed)],
            ),
            (
                r#"{"type":"object","properties":{},"additionalProperties":true}"#,
                r#"{"type":"object","properties":{},"additionalProperties":false}"#,
                &[("", "additionalProperties", Reworded)],
            ),
            (
                r#"{"properties":{}}"#,
                r#"{"type":"object","properties":{},"additionalProperties":false}"#,
                &[("", "type", Reworded), ("", "additionalProperties", Reworded)],
            ),
            (
                r#"{"type":"string","minLength":1,"maxLength":9,"pattern":"x","format":"email"}"#,
                r#"{"type":"string","format":"email"}"#,
                &[("", "minLength", Loosened), ("", "maxLength", Loosened), ("", "pattern", Loosened)],
            ),
            (r#"{"type":"string","format":"color"}"#, r#"{"type":"string"}"#, &[("", "format", Loosened)]),
            (
                r#"{"type":"integer","minimum":1,"maximum":2,"multipleOf":1}"#,
                r#"{"type":"integer"}"#,
                &[("", "minimum", Loosened), ("", "maximum", Loosened), ("", "multipleOf", Loosened)],
            ),
            (
                r#"{"type":"array","items":{"type":"string"},"minItems":1}"#,
                r#"{"type":"array","items":{"type":"string"},"minItems":1}"#,
                &[],
            ),
            (
                r#"{"type":"array","items":{"type":"string"},"minItems":2,"uniqueItems":true}"#,
                r#"{"type":"array","items":{"type":"string"}}"#,
                &[("", "minItems", Loosened), ("", "uniqueItems", Loosened)],
            ),
            (r#"{"enum":["a",1,null,true],"const":"a"}"#, r#"{"enum":["a",1,null,true],"const":"a"}"#, &[]),
            (r#"{"enum":[{"a":1}]}"#, "{}", &[("", "enum", Loosened)]),
            (
                r#"{"oneOf":[{"type":"string"},{"type":"null"}]}"#,
                r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#,
                &[("", "oneOf", Loosened)],
            ),
            (r#"{"type":"string","nullable":true}"#, r#"{"type":["string","null"]}"#, &[("", "nullable", Reworded)]),
            (
                r#"{"type":["string","null"],"nullable":true}"#,
                r#"{"type":["string","null"]}"#,
                &[("", "nullable", Reworded)],
            ),
            (
                r##"{"$schema":"s","type":"object","properties":{"a":{"$ref":"#/$defs/A","description":"d"}},"$defs":{"A":{"type":"string","minLength":1},"unused":{"$ref":"#/nowhere"}}}"##,
                r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"$defs":{"A":{"type":"string"}},"additionalProperties":false}"##,
                &[
                    ("/properties/a", "description", Reworded),
                    ("/$defs/A", "minLength", Loosened),
                    ("", "additionalProperties", Reworded),
                ],
            ),
            (
                r##"{"$ref":"#/$defs/A","$defs":{"A":{"type":"null"}}}"##,
                r##"{"$ref":"#/$defs/A","$defs":{"A":{"type":"null"}}}"##,
                &[],
            ),
            (
                r#"{"type":"string","if":{},"then":{},"not":{"const":"a"}}"#,
                r#"{"type":"string"}"#,
                &[("", "if", Loosened), ("", "then", Loosened), ("", "not", Loosened)],
            ),
        ],
    );
}

#[test]
fn what_geminis_clients_send_becomes_json_schema_without_a_loss() {
    assert_converted(
        from_gemini,
        &[
            (
                r#"{"type":"OBJECT","properties":{"b":{"type":"STRING","nullable":true},"a":{"type":"ARRAY","items":{"type":"INTEGER","format":"int32"},"minItems":"1","max_items":3}},"propertyOrdering":["a","b"],"required":["a"]}"#,
                r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"integer","format":"int32"},"minItems":1,"maxItems":3},"b":{"type":["string","null"]}},"required":["a"]}"#,
                &[("/properties/b", "nullable", Reworded), ("", "propertyOrdering", Reworded)],
            ),
            (
                r#"{"type":"STRING","format":"enum","enum":["A","B"],"nullable":true}"#,
                r#"{"type":["string","null"],"enum":["A","B",null]}"#,
                &[("", "format", Reworded), ("", "nullable", Reworded)],
            ),
            (r#"{"type":"INTEGER","enum":["101","2x"]}"#, r#"{"type":"integer","enum":[101,"2x"]}"#, &[]),
            (
                r#"{"any_of":[{"type":"STRING"},{"type":"NUMBER"}],"nullable":true,"example":"x"}"#,
                r#"{"anyOf":[{"type":"string"},{"type":"number"},{"type":"null"}],"examples":["x"]}"#,
                &[("", "nullable", Reworded), ("", "example", Reworded)],
            ),
            (r#"{"type":"TYPE_UNSPECIFIED","description":"d"}"#, r#"{"description":"d"}"#, &[("", "type", Reworded)]),
            (
                r#"{"type":"object","properties":{"type":{"type":"string"}},"additionalProperties":false}"#,
                r#"{"type":"object","properties":{"type":{"type":"string"}},"additionalProperties":false}"#,
                &[],
            ),
        ],
    );
}

#[test]
fn strict_mode_is_claimed_only_where_it_is_sure() {
    let good = r##"{"$schema":"s","type":"object","additionalProperties":false,"required":["b","a"],"properties":{
        "a":{"type":["string","null"],"description":"d","pattern":"^x","format":"email"},
        "b":{"type":"array","minItems":1,"items":{"anyOf":[{"type":"integer","minimum":1},{"$ref":"#/$defs/T"},{"$ref":"#"}]}}},
        "$defs":{"T":{"type":"object","additionalProperties":false,"required":[],"properties":{}}}}"##;
    assert_eq!(strict_for_openai(good), Ok(()));
    let object = |inner: &str| {
        format!(r#"{{"type":"object","additionalProperties":false,"required":["a"],"properties":{{"a":{inner}}}}}"#)
    };
    assert_eq!(strict_for_openai(&object(r#"{"enum":["x"]}"#)), Ok(()));
    for (raw, path) in [
        (r#"{"type":"object","properties":{}}"#.to_owned(), ""),
        (r#"{"type":"object","properties":{},"additionalProperties":{}}"#.to_owned(), ""),
        (r#"{"type":"object","additionalProperties":false}"#.to_owned(), ""),
        (r#"{"type":"string"}"#.to_owned(), ""),
        (r#"{"anyOf":[{"type":"object"}],"type":"object"}"#.to_owned(), ""),
        (r##"{"$ref":"#/$defs/a","$defs":{"a":{"type":"object"}}}"##.to_owned(), ""),
        (
            r#"{"type":"object","additionalProperties":false,"properties":{"a":{"type":"null"}},"required":[]}"#
                .to_owned(),
            "/properties/a",
        ),
        (r#"{"type":"object","additionalProperties":false,"properties":{},"required":["a"]}"#.to_owned(), ""),
        (object(r#"{"type":"STRING"}"#), "/properties/a/type"),
        (object("{}"), "/properties/a"),
        (object("true"), "/properties/a"),
        (object(r#"{"type":"string","default":"x"}"#), "/properties/a/default"),
        (object(r#"{"type":"string","minLength":1}"#), "/properties/a/minLength"),
        (object(r#"{"type":"string","format":"uri"}"#), "/properties/a/format"),
        (object(r#"{"oneOf":[{"type":"string"}],"type":"string"}"#), "/properties/a/oneOf"),
        (object(r#"{"type":"array"}"#), "/properties/a"),
        (object(r##"{"$ref":"#","description":"d"}"##), "/properties/a"),
        (object(r#"{"type":"object"}"#), "/properties/a"),
        (object(r#"{"enum":[{}]}"#), "/properties/a/enum/0"),
        (object(r#"{"type":"string","nullable":true}"#), "/properties/a/nullable"),
    ] {
        assert_eq!(strict_for_openai(&raw).expect_err(&raw).path, path, "{raw}");
    }
    let nested = (0..12).fold(r#"{"type":"string"}"#.to_owned(), |inner, _| object(&inner));
    assert!(strict_for_openai(&nested).is_err());
}
