use super::*;

/// A schema, answers that pass, and answers that do not.
type Case = (&'static str, &'static [&'static str], &'static [&'static str]);

const CASES: &[Case] = &[
    ("true", &["1", "null", "{}"], &[]),
    ("{}", &["1", "null", r#"{"a":1,"a":2}"#], &[]),
    ("false", &[], &["1", "null", "{}"]),
    (r#"{"type":"integer"}"#, &["1", "-0", "1.0", "1e3", "12345678901234567890123"], &["1.5", "\"1\"", "null", "1e-1"]),
    (r#"{"type":"number"}"#, &["1", "1.5", "1e999"], &["\"1\"", "true"]),
    (r#"{"type":["string","null"]}"#, &["\"\"", "null"], &["1", "[]"]),
    (r#"{"type":["integer","number"]}"#, &["1.5"], &["\"1\""]),
    (r#"{"type":"STRING","nullable":true}"#, &["\"a\"", "null"], &["1"]),
    (r#"{"type":"string","nullable":false}"#, &["\"a\""], &["null"]),
    (
        r#"{"enum":["a",1,null,{"b":[1.0]}]}"#,
        &["\"a\"", "1.0", "null", r#"{"b":[1]}"#, "\"\\u0061\""],
        &["\"b\"", "2", "{}"],
    ),
    (r#"{"const":9007199254740993}"#, &["9007199254740993", "9007199254740993.0"], &["9007199254740992"]),
    (r#"{"minimum":9007199254740993}"#, &["9007199254740993", "\"a\""], &["9007199254740992"]),
    (r#"{"minimum":0,"exclusiveMaximum":1}"#, &["0", "0.999"], &["-0.1", "1", "1.0"]),
    (r#"{"maximum":1e400,"exclusiveMinimum":-1.5}"#, &["1e400", "-1.4"], &["1e401", "-1.5"]),
    (r#"{"minimum":3,"exclusiveMinimum":true}"#, &["4"], &["3"]),
    (r#"{"maximum":3,"exclusiveMaximum":false}"#, &["3"], &["4"]),
    (r#"{"multipleOf":0.01}"#, &["19.99", "0", "1e10"], &["0.001"]),
    (r#"{"minLength":2,"maxLength":3}"#, &["\"äö\"", "\"😀😀\"", "\"\\ud83d\\ude00a\"", "5"], &["\"a\"", "\"abcd\""]),
    (r#"{"pattern":"^[A-Z]{3}\\d$"}"#, &["\"ABC1\"", "7"], &["\"abc1\"", "\"ABC1x\""]),
    (r#"{"format":"email"}"#, &["\"no address\""], &[]),
    (r#"{"items":{"type":"integer"}}"#, &["[]", "[1,2]", "{}"], &["[1,\"a\"]"]),
    (r#"{"prefixItems":[{"type":"string"}],"items":false}"#, &["[]", "[\"a\"]"], &["[1]", "[\"a\",1]"]),
    (
        r#"{"items":[{"type":"string"}],"additionalItems":{"type":"null"}}"#,
        &["[\"a\",null]", "[\"a\"]"],
        &["[\"a\",1]"],
    ),
    (r#"{"items":{"type":"string"},"additionalItems":false}"#, &["[\"a\",\"b\"]"], &["[1]"]),
    (r#"{"minItems":1,"maxItems":2}"#, &["[1]", "[1,2]"], &["[]", "[1,2,3]"]),
    (r#"{"minItems":"1"}"#, &["[1]"], &["[]"]),
    (r#"{"uniqueItems":true}"#, &["[1,2]", r#"["1",1]"#], &["[1,1.0]", r#"[{"a":1,"b":2},{"b":2,"a":1}]"#]),
    (r#"{"contains":{"const":1}}"#, &["[0,1]"], &["[]", "[0]"]),
    (r#"{"contains":{"const":1},"minContains":2,"maxContains":3}"#, &["[1,1]"], &["[1]", "[1,1,1,1]"]),
    (r#"{"contains":{"const":1},"minContains":0}"#, &["[]"], &[]),
    (
        r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}"#,
        &[r#"{"a":""}"#, r#"{"\u0061":""}"#],
        &["{}", r#"{"a":1}"#, r#"{"a":"","b":1}"#, r#"{"A":""}"#, r#"{"a":"","a":""}"#],
    ),
    (r#"{"additionalProperties":{"type":"integer"}}"#, &[r#"{"x":1}"#, "{}"], &[r#"{"x":"1"}"#]),
    (
        r#"{"patternProperties":{"^n_":{"type":"number"}},"properties":{"s":{}},"additionalProperties":false}"#,
        &[r#"{"n_a":1,"s":"x"}"#],
        &[r#"{"n_a":"1"}"#, r#"{"other":1}"#],
    ),
    (r#"{"propertyNames":{"pattern":"^[a-z]+$"}}"#, &[r#"{"ab":1}"#], &[r#"{"AB":1}"#, r#"{"a\"b":1}"#]),
    (r#"{"minProperties":1,"maxProperties":2}"#, &[r#"{"a":1}"#], &["{}", r#"{"a":1,"b":1,"c":1}"#]),
    (r#"{"dependentRequired":{"a":["b"]}}"#, &["{}", r#"{"a":1,"b":1}"#], &[r#"{"a":1}"#]),
    (r#"{"dependencies":{"a":["b"],"c":{"minProperties":2}}}"#, &[r#"{"c":1,"d":1}"#], &[r#"{"a":1}"#, r#"{"c":1}"#]),
    (r#"{"dependentSchemas":{"a":{"required":["b"]}}}"#, &[r#"{"b":1}"#], &[r#"{"a":1}"#]),
    (r#"{"anyOf":[{"type":"string"},{"minimum":5}]}"#, &["\"a\"", "5"], &["4"]),
    (r#"{"oneOf":[{"type":"integer"},{"minimum":5}]}"#, &["1", "5.5"], &["5", "4.5"]),
    (r#"{"allOf":[{"minimum":1},{"maximum":2}]}"#, &["1", "2"], &["0", "3"]),
    (r#"{"not":{"type":"string"}}"#, &["1"], &["\"a\""]),
    (
        r#"{"if":{"required":["a"]},"then":{"required":["b"]},"else":{"required":["c"]}}"#,
        &[r#"{"a":1,"b":1}"#, r#"{"c":1}"#],
        &[r#"{"a":1}"#, "{}"],
    ),
    (r#"{"if":{"const":1}}"#, &["1", "2"], &[]),
    (r##"{"$ref":"#/$defs/a","maximum":5,"$defs":{"a":{"minimum":1}}}"##, &["1", "5"], &["0", "6"]),
    (
        r##"{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["next"]}"##,
        &[r#"{"next":{"next":null}}"#],
        &[r#"{"next":{"next":1}}"#, r#"{"next":{}}"#],
    ),
    (r##"{"$ref":"#thing","$defs":{"x":{"$anchor":"thing","type":"null"}}}"##, &["null"], &["1"]),
    (r##"{"$id":"https://x.test/s","$ref":"https://x.test/s#/$defs/a","$defs":{"a":{"const":1}}}"##, &["1"], &["2"]),
    // A name or a value that looks like a keyword is none.
    (
        r##"{"properties":{"$ref":{"type":"string"},"type":{"type":"integer"}}}"##,
        &[r##"{"$ref":"#/no","type":1}"##],
        &[r#"{"$ref":1}"#],
    ),
    (
        r##"{"enum":[{"$ref":"#/nowhere"}],"default":{"$ref":"x"},"examples":[{"$ref":"y"}]}"##,
        &[r##"{"$ref":"#/nowhere"}"##],
        &["{}"],
    ),
];

#[test]
fn an_answer_passes_when_the_schema_allows_it_and_not_otherwise() {
    for (raw, good, bad) in CASES {
        let schema = schema(raw);
        assert_eq!(schema.skipped(), [], "{raw}");
        for answer in *good {
            assert_eq!(schema.check(answer), Ok(()), "{raw} and {answer}");
        }
        for answer in *bad {
            let miss = schema.check(answer).expect_err(raw);
            assert_eq!(miss.kind, MismatchKind::NotAllowed, "{raw} and {answer}");
        }
    }
}

#[test]
fn what_is_no_json_never_passes() {
    let anything = schema("true");
    for answer in ["", " ", "{", "[1,]", "```json\n{}\n```", "{'a':1}", "NaN", "01", "\"a\nb\"", "1 2", "{\"a\":1}x"] {
        assert_eq!(anything.check(answer).unwrap_err().kind, MismatchKind::NotJson, "{answer}");
    }
    assert_eq!(anything.check(&"[".repeat(100)).unwrap_err().kind, MismatchKind::NotJson);
}

#[test]
fn a_mismatch_names_the_place_and_what_is_asked() {
    let raw = r#"{"type":"object","required":["list"],"additionalProperties":false,"properties":{
        "list":{"type":"array","items":{"type":"object","properties":{"a/b":{"type":"string","maxLength":3},
            "n":{"anyOf":[{"type":"integer"},{"type":"null"}]}},"additionalProperties":{"type":"boolean"}}}}}"#;
    for (answer, path, reason) in [
        ("[]", "", "is not of type object"),
        ("{}", "", "lacks the required field `list`"),
        (r#"{"list":[],"secret":1}"#, "", "has a field that the schema does not know"),
        (r#"{"list":[{"a/b":"abcd"}]}"#, "/list/0/a~1b", "has more than 3 characters"),
        (r#"{"list":[{},{"n":"x"}]}"#, "/list/1/n", "matches none of the 2 alternatives"),
        (r#"{"list":[{"secret":7}]}"#, "/list/0/*", "is not of type boolean"),
        (r#"{"list":[{},{},3]}"#, "/list/2", "is not of type object"),
    ] {
        let miss = schema(raw).check(answer).unwrap_err();
        assert_eq!((miss.path.as_str(), miss.reason.as_str()), (path, reason), "{answer}");
    }
}

#[test]
fn a_mismatch_quotes_nothing_of_the_answer() {
    for (raw, good, bad) in CASES {
        let _ = good;
        for answer in *bad {
            let marked = answer.replace("\"a\"", "\"canary\"").replace("abcd", "canary").replace("\"b\"", "\"canary\"");
            if let Err(miss) = schema(raw).check(&marked) {
                assert!(!format!("{miss} {miss:?}").contains("canary"), "{raw} and {marked}: {miss:?}");
            }
        }
    }
}

#[test]
fn a_bad_schema_is_refused_with_its_place() {
    use SchemaFaultKind::{Endless, Malformed, Reference};
    for (raw, path, kind) in [
        ("", "", Malformed),
        ("{", "", Malformed),
        ("[]", "", Malformed),
        ("7", "", Malformed),
        (r#"{"properties":{"a":{"type":"null","type":"string"}}}"#, "", Malformed),
        (r#"{"type":"text"}"#, "/type", Malformed),
        (r#"{"type":["string",1]}"#, "/type/1", Malformed),
        (r#"{"type":"Object"}"#, "/type", Malformed),
        (r#"{"properties":[]}"#, "/properties", Malformed),
        (r#"{"properties":{"a":1}}"#, "/properties/a", Malformed),
        (r#"{"properties":{"a":{"items":{"minimum":"1"}}}}"#, "/properties/a/items/minimum", Malformed),
        (r#"{"required":"a"}"#, "/required", Malformed),
        (r#"{"required":[1]}"#, "/required/0", Malformed),
        (r#"{"enum":1}"#, "/enum", Malformed),
        (r#"{"anyOf":[]}"#, "/anyOf", Malformed),
        (r#"{"anyOf":[{},[]]}"#, "/anyOf/1", Malformed),
        (r#"{"minLength":-1}"#, "/minLength", Malformed),
        (r#"{"multipleOf":0}"#, "/multipleOf", Malformed),
        (r#"{"pattern":1}"#, "/pattern", Malformed),
        (r##"{"properties":{"a":{"$ref":"#/$defs/b"}}}"##, "/properties/a/$ref", Reference),
        (r#"{"$ref":"https://elsewhere.test/s.json"}"#, "/$ref", Reference),
        (r#"{"$ref":"file:///etc/passwd"}"#, "/$ref", Reference),
        (r##"{"$ref":"#/type","type":"string"}"##, "/type", Malformed),
        (r##"{"$ref":"#"}"##, "", Endless),
        (r##"{"properties":{"a":{"allOf":[{"$ref":"#/properties/a"}]}}}"##, "/properties/a", Endless),
        (
            r##"{"$ref":"#/$defs/a","$defs":{"a":{"not":{"$ref":"#/$defs/b"}},"b":{"anyOf":[{"$ref":"#/$defs/a"}]}}}"##,
            "/$defs/a",
            Endless,
        ),
    ] {
        let fault = Schema::parse(raw).expect_err(raw);
        assert_eq!((fault.path.as_str(), fault.kind), (path, kind), "{raw}: {fault}");
        assert!(fault.to_string().starts_with("the schema "));
    }
}

#[test]
fn what_is_not_enforced_is_told() {
    for (raw, skipped) in [
        (r#"{"properties":{"a":{"pattern":"(?=x)"}}}"#, vec![("/properties/a/pattern", "pattern")]),
        (
            r#"{"unevaluatedProperties":false,"unevaluatedItems":true}"#,
            vec![("/unevaluatedProperties", "unevaluatedProperties")],
        ),
        (r##"{"items":{"$dynamicRef":"#x"}}"##, vec![("/items/$dynamicRef", "$dynamicRef")]),
        (r#"{"properties":{"x":{"$id":"inner"}}}"#, vec![("/properties/x/$id", "$id")]),
        (r#"{"multipleOf":1.23456789012345678901}"#, vec![("/multipleOf", "multipleOf")]),
        (
            r#"{"patternProperties":{"(?!x)":{}},"additionalProperties":false}"#,
            vec![("/patternProperties/(?!x)", "patternProperties")],
        ),
    ] {
        let schema = schema(raw);
        let told: Vec<_> = schema.skipped().iter().map(|it| (it.path.as_str(), it.keyword)).collect();
        assert_eq!(told, skipped, "{raw}");
        for answer in ["\"abc\"", r#"{"a":"y","zz":1}"#, "[1]", "7"] {
            assert_eq!(schema.check(answer), Ok(()), "{raw} and {answer}");
        }
    }
}
