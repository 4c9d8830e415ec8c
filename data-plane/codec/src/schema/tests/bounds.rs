//! Under pressure: nothing here may take long, much memory or much of the stack, whatever is sent.

use std::time::{Duration, Instant};

use super::*;

/// Far above what any of these takes, even on a busy machine without optimisation, and far below what they would take if
/// the work multiplied.
const SOON: Duration = Duration::from_secs(20);

/// Runs with a stack of the size that threads of a server have, and within a time.
fn bounded<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let begin = Instant::now();
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap();
    let result = thread.join().unwrap();
    assert!(begin.elapsed() < SOON, "{name} took {:?}", begin.elapsed());
    result
}

/// Definitions that each name the next one twice: 60 of them make 2⁶⁰ ways.
fn doubling(keyword: &str, count: usize) -> String {
    let defs: String = (0..count)
        .map(|at| {
            let next = at + 1;
            format!(r##""d{at}":{{"{keyword}":[{{"$ref":"#/$defs/d{next}"}},{{"$ref":"#/$defs/d{next}"}}]}},"##)
        })
        .collect();
    format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{defs}"d{count}":{{"type":"string"}}}}}}"##)
}

#[test]
fn alternatives_that_multiply_end_as_not_checked() {
    for keyword in ["anyOf", "oneOf", "allOf"] {
        let answer = if keyword == "anyOf" { "1" } else { "\"a\"" };
        let outcome = bounded(keyword, move || schema(&doubling(keyword, 60)).check(answer));
        assert_eq!(outcome.unwrap_err().kind, MismatchKind::Unchecked, "{keyword}");
    }
}

#[test]
fn references_that_multiply_are_too_large_for_gemini() {
    let defs: String = (0..60)
        .map(|at| {
            let next = at + 1;
            format!(r##""d{at}":{{"type":"object","properties":{{"l":{{"$ref":"#/$defs/d{next}"}},"r":{{"$ref":"#/$defs/d{next}"}}}}}},"##)
        })
        .collect();
    let raw = format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{defs}"d60":{{"type":"string"}}}}}}"##);
    let copy = raw.clone();
    assert_eq!(bounded("gemini", move || for_gemini(&raw)).unwrap_err().kind, SchemaFaultKind::TooLarge);
    assert!(bounded("anthropic", move || for_anthropic(&copy)).is_ok());
    assert_eq!(bounded("all of", || for_gemini(&doubling("allOf", 25))).unwrap().json, r#"{"type":"string"}"#);
}

#[test]
fn a_long_chain_of_references_does_not_use_up_the_stack() {
    let defs: String = (0..15_000).map(|at| format!(r##""d{at}":{{"$ref":"#/$defs/d{}"}},"##, at + 1)).collect();
    let raw = format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{defs}"d15000":{{}}}}}}"##);
    let outcome = bounded("chain", {
        let raw = raw.clone();
        move || schema(&raw).check("1")
    });
    assert_eq!(outcome.unwrap_err().kind, MismatchKind::Unchecked);
    for convert in [for_gemini, for_anthropic] {
        let raw = raw.clone();
        drop(bounded("convert", move || convert(&raw)));
    }
}

#[test]
fn the_deepest_answers_and_schemas_fit_on_the_stack() {
    let list = r##"{"items":{"anyOf":[{"type":"string"},{"allOf":[{"oneOf":[{"$ref":"#"}]}]}]}}"##;
    let outcome = bounded("lists", || schema(list).check(&("[".repeat(64) + &"]".repeat(64))));
    assert!(outcome.is_ok() || outcome.unwrap_err().kind == MismatchKind::Unchecked);
    let deep = (0..31).fold("{}".to_owned(), |inner, _| format!(r#"{{"properties":{{"a":{inner}}}}}"#));
    for convert in [for_gemini, for_anthropic, from_gemini] {
        let deep = deep.clone();
        assert!(bounded("deep", move || convert(&deep)).is_ok());
    }
    let defs: String = (0..500)
        .map(|at| format!(r##""d{at}":{{"type":"object","properties":{{"n":{{"$ref":"#/$defs/d{}"}}}}}},"##, at + 1))
        .collect();
    let raw = format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{defs}"d500":{{"type":"string"}}}}}}"##);
    assert_eq!(bounded("nested", move || for_gemini(&raw)).unwrap_err().kind, SchemaFaultKind::TooLarge);
}

#[test]
fn large_schemas_are_refused_or_read_in_time() {
    let fault =
        bounded("parts", || Schema::parse(&format!(r#"{{"anyOf":[{}{{}}]}}"#, "{},".repeat(50_000)))).unwrap_err();
    assert_eq!(fault.kind, SchemaFaultKind::TooLarge);
    let fault = bounded("bytes", || Schema::parse(&format!(r#"{{"title":"{}"}}"#, "x".repeat(2 << 20)))).unwrap_err();
    assert_eq!(fault.kind, SchemaFaultKind::TooLarge);
    let wide: String = (0..15_000).map(|at| format!(r##""p{at}":{{"$ref":"#/$defs/d{at}"}},"##)).collect();
    let defs: String = (0..4_000).map(|at| format!(r#""d{at}":{{"type":"string"}},"#)).collect();
    let wide: String = wide.split_inclusive(',').take(4_000).collect();
    let raw = format!(r##"{{"type":"object","properties":{{{wide}"z":{{}}}},"$defs":{{{defs}"z":{{}}}}}}"##);
    for convert in [for_gemini, for_anthropic, from_gemini] {
        let raw = raw.clone();
        assert!(bounded("wide", move || convert(&raw)).is_ok());
    }
    let keywords: String = (0..60_000).map(|at| format!(r#""k{at}":0,"#)).collect();
    let raw = format!(r#"{{{keywords}"type":"string"}}"#);
    let converted = bounded("keywords", move || for_gemini(&raw)).unwrap();
    assert!(converted.changed.len() <= 1_000);
}

#[test]
fn large_answers_are_checked_in_time_or_not_at_all() {
    let list = r#"{"type":"array","uniqueItems":true,"items":{"enum":[1,2,3,"a"]}}"#;
    let answer = format!("[{}1]", "1,".repeat(100_000));
    assert_eq!(bounded("twice", move || schema(list).check(&answer)).unwrap_err().kind, MismatchKind::NotAllowed);
    let answer = format!("[{}1]", "1,".repeat(2_000_000));
    assert_eq!(bounded("values", move || schema("true").check(&answer)).unwrap_err().kind, MismatchKind::Unchecked);
    let answer = format!("{}1", "1".repeat(1_000_000));
    assert!(bounded("digits", move || schema(r#"{"multipleOf":7919,"minimum":3}"#).check(&answer)).is_err());
    // Matching is linear, and as long as it may be it is done.
    let raw = r#"{"pattern":"^(a+)+$"}"#;
    let answer = format!("\"{}b\"", "a".repeat(100_000));
    assert_eq!(bounded("pattern", move || schema(raw).check(&answer)).unwrap_err().kind, MismatchKind::NotAllowed);
    let heavy = r#"{"pattern":"(a|b)*a(a|b){400}c"}"#;
    let answer = format!("\"{}\"", "ab".repeat(500_000));
    assert!(bounded("heavy", move || schema(heavy).check(&answer)).is_err());
}

#[test]
fn many_rules_for_one_large_value_end_as_not_checked() {
    for (rule, answer) in [
        (r#"{"minItems":9999999}"#, format!("[{}1]", "1,".repeat(20_000))),
        (r#"{"minLength":9999999}"#, format!("\"{}\"", "\\n".repeat(20_000))),
        (
            r#"{"minProperties":9999999}"#,
            format!("{{{}\"\":1}}", (0..5_000).map(|at| format!("\"{at}\":1,")).collect::<String>()),
        ),
        (r#"{"enum":[1]}"#, format!("\"{}\"", "x".repeat(40_000))),
        (r#"{"minimum":1e-9}"#, format!("-{}", "1".repeat(40_000))),
        (r#"{"pattern":"^(a|b)*c$"}"#, format!("\"{}\"", "ab".repeat(20_000))),
        (r#"{"propertyNames":{"const":1}}"#, format!("{{\"{}\":1}}", "x".repeat(40_000))),
        (r#"{"uniqueItems":true}"#, format!("[{}1]", "1,".repeat(20_000))),
        (r#"{"contains":{"const":2}}"#, format!("[{}1]", "1,".repeat(20_000))),
    ] {
        let raw = format!(r#"{{"anyOf":[{}{rule}]}}"#, format!("{rule},").repeat(9_000));
        let outcome = bounded(rule, move || schema(&raw).check(&answer));
        assert!(outcome.unwrap_err().is_unchecked(), "{rule}");
    }
}

/// A schema with this one under `#/x-shared`, which thousands of properties refer to.
fn referred(shared: &str) -> String {
    let properties: String = (0..3_000).map(|at| format!(r##""p{at}":{{"$ref":"#/x-shared"}},"##)).collect();
    format!(r##"{{"type":"object","properties":{{{properties}"z":{{}}}},"x-shared":{shared}}}"##)
}

#[test]
fn what_references_multiply_counts_whether_it_is_a_value_or_a_name() {
    let named = |name: &str| format!(r#"{{"type":"object","properties":{{"{name}":{{}}}}}}"#);
    for shared in [named(&"x".repeat(900_000)), named(&r"\u0001".repeat(150_000)), named(&r"\u0061".repeat(150_000))] {
        for convert in [for_gemini, for_anthropic] {
            let raw = referred(&shared);
            assert_eq!(bounded("names", move || convert(&raw)).unwrap_err().kind, SchemaFaultKind::TooLarge);
        }
    }
    let properties: String = (0..3_000).map(|at| format!(r##""p{at}":{{"$ref":"#a"}},"##)).collect();
    let name = "x".repeat(900_000);
    let raw = format!(
        r##"{{"type":"object","properties":{{{properties}"z":{{}}}},"$defs":{{"{name}":{{"$anchor":"a","type":"string"}}}}}}"##
    );
    assert_eq!(bounded("pointers", move || for_anthropic(&raw)).unwrap_err().kind, SchemaFaultKind::TooLarge);
}

#[test]
fn what_references_multiply_and_nobody_writes_is_work_all_the_same() {
    let text = r"\u0061".repeat(150_000);
    for shared in [
        format!(r#"{{"enum":[{}1]}}"#, "1,".repeat(450_000)),
        format!(r#"{{"type":"string","format":"{text}"}}"#),
        format!(r#"{{"type":"string","{text}":1}}"#),
        format!(r#"{{"type":"object","required":["{text}"]}}"#),
    ] {
        let raw = referred(&shared);
        assert_eq!(bounded("work", move || for_gemini(&raw)).unwrap_err().kind, SchemaFaultKind::TooLarge);
    }
    // What many honest schemas look like: one large part that a few others use.
    let shared: String = (0..500).map(|at| format!(r#""f{at}":{{"type":"string","title":"F"}},"#)).collect();
    let raw = format!(
        r##"{{"type":"object","properties":{{"a":{{"$ref":"#/$defs/x"}},"b":{{"$ref":"#/$defs/x"}}}},"$defs":{{"x":{{"type":"object","properties":{{{shared}"z":{{}}}}}}}}}}"##
    );
    assert!(for_gemini(&raw).is_ok() && for_anthropic(&raw).is_ok());
}

#[test]
fn references_to_the_end_of_a_long_list_are_quick() {
    let refs = r##"{"$ref":"#/x/249999"},"##.repeat(19_000);
    let raw = format!(r#"{{"anyOf":[{refs}true],"x":[{}{{}}]}}"#, "0,".repeat(249_999));
    assert!(bounded("list", move || Schema::parse(&raw)).is_ok());
}

#[test]
fn what_depends_on_fields_that_are_not_there_is_work_all_the_same() {
    let each = |count: usize, value: &str| (0..count).map(|at| format!(r#""k{at}":{value},"#)).collect::<String>();
    let patterns: String = (0..15_000).map(|at| format!(r#""(?=k{at})":true,"#)).collect();
    for (keyword, fields, answer) in [
        ("dependentRequired", each(40_000, "[]"), "{}"),
        ("dependentSchemas", each(15_000, "true"), "{}"),
        ("patternProperties", patterns, r#"{"a":1}"#),
    ] {
        let raw = format!(r#"{{"items":{{"{keyword}":{{{}}}}}}}"#, fields.trim_end_matches(','));
        let answer = format!("[{}1]", format!("{answer},").repeat(100_000));
        let outcome = bounded(keyword, move || schema(&raw).check(&answer));
        assert!(outcome.unwrap_err().is_unchecked(), "{keyword}");
    }
}

#[test]
fn long_names_are_work_for_every_rule_that_reads_them() {
    let name = r"\u0061".repeat(100_000);
    let raw = format!(r#"{{"anyOf":[{}false]}}"#, r#"{"required":["x"]},"#.repeat(9_000));
    let outcome = bounded("escaped", move || schema(&raw).check(&format!(r#"{{"{name}":1}}"#)));
    assert!(outcome.unwrap_err().is_unchecked());
}

#[test]
fn healing_takes_time_that_grows_with_the_answer_and_not_with_its_square() {
    let size = 1 << 17;
    for piece in [
        "{", "[", "{\"", "[\"", "{'", "{\"a\":", "[[", "{/*", "{#", "{//", "```", "```{", "```[1", "{a", "{a:", "[1,",
        "[1 ", "{ ", "\\\"", "{\\\"", "[1]", "{}", "“", "{“", "[[a", "{a b", "[true ", "``` \"", "}", "[{", "[x/*",
        "[ #\r",
    ] {
        let answer = piece.repeat(size / piece.len());
        for (ending, raw) in [(Ending::Finished, None), (Ending::Cut, Some("{\"type\":\"object\"}"))] {
            let answer = answer.clone();
            let healed = bounded(piece, move || heal(&answer, ending, raw.map(schema).as_ref()).map(|json| json.len()));
            assert!(healed.is_none_or(|len| len < 2 * size));
        }
    }
}
