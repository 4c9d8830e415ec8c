use super::*;
use Ending::{Cut, Finished};

fn healed(answer: &str) -> Option<String> {
    heal(answer, Finished, None)
}

#[test]
fn an_answer_with_nothing_wrong_stays_as_it_is_byte_for_byte() {
    for answer in ["{}", " {\"a\" : 1.50e0 }\n", "[1, 2]", "\"text\"", "null", "7", r#"{"a":1,"a":2}"#, r#""```json""#]
    {
        for ending in [Finished, Cut] {
            assert_eq!(heal(answer, ending, None).as_deref(), Some(answer));
            assert_eq!(heal(answer, ending, Some(&schema("true"))).as_deref(), Some(answer));
        }
    }
}

#[test]
fn what_stands_around_the_value_is_put_right() {
    for (answer, json) in [
        // Fences, prose and marks around it.
        ("```json\n{\"name\": \"Bob\"}\n```", r#"{"name": "Bob"}"#),
        ("```\n[1]\n```", "[1]"),
        ("```json {\"a\":1} ```", r#"{"a":1}"#),
        ("Here's the data:\n{\"name\": \"Charlie\", \"age\": 25}", r#"{"name": "Charlie", "age": 25}"#),
        ("Sure!\n\n```json\n{\"a\": \"```\"}\n```\nAnything {else}?", r#"{"a": "```"}"#),
        ("See [the docs](x) and {placeholder}: {\"a\":1}.", r#"{"a":1}"#),
        ("{\"a\":1}, which is right.", r#"{"a":1}"#),
        ("\u{feff}{\"a\":1}", r#"{"a":1}"#),
        ("\u{feff}{a:1}", r#"{"a":1}"#),
        ("~~~json\n{\"a\":1}\n~~~", r#"{"a":1}"#),
        ("<json>{\"a\":1}</json>", r#"{"a":1}"#),
        // Commas.
        ("{\"name\": \"David\", \"age\": 35,}", r#"{"name":"David","age":35}"#),
        ("[1,2, ]", "[1,2]"),
        ("{\"a\":1\n\"b\":2}", r#"{"a":1,"b":2}"#),
        ("[{\"a\":1} {\"a\":2}]", r#"[{"a":1},{"a":2}]"#),
        // Keys and quotes.
        ("{name: \"Eve\", age: 40}", r#"{"name":"Eve","age":40}"#),
        ("{$a_1: 1, b-c: 2, ä: 3, 4: 5}", r#"{"$a_1":1,"b-c":2,"ä":3,"4":5}"#),
        ("{'a': 'x \"y\" it\\'s', \"b\": \"it's\"}", r#"{"a":"x \"y\" it's","b":"it's"}"#),
        ("{'a': 'don't', 'b': 'x'}", r#"{"a":"don't","b":"x"}"#),
        ("{“a”: “b \"c\"”}", r#"{"a":"b \"c\""}"#),
        // Words of Python.
        ("{'ok': True, 'bad': False, 'none': None}", r#"{"ok":true,"bad":false,"none":null}"#),
        // Comments.
        ("{ // the name\n \"a\": 1, /* two\nlines */ \"b\": 2 # end\n}", r#"{"a":1,"b":2}"#),
        // Inside of strings.
        ("{\"a\": \"line one\nline\ttwo\r\n\u{1}\"}", r#"{"a":"line one\nline\ttwo\r\n\u0001"}"#),
        (r#"{"a": "C:\dir \_x \u12 \'q\'"}"#, r#"{"a":"C:\\dir \\_x \\u12 'q'"}"#),
        (r#"{"a": "// no comment, /* none */ # none",}"#, r#"{"a":"// no comment, /* none */ # none"}"#),
        // Brackets.
        ("{\"name\": \"Alice\", \"age\": 30", r#"{"name":"Alice","age":30}"#),
        ("```json\n{\"a\": [{\"b\": true}\n```", r#"{"a":[{"b":true}]}"#),
        ("{\"a\":[1,2}", r#"{"a":[1,2]}"#),
        ("[{\"a\":1]", r#"[{"a":1}]"#),
        ("{\"a\":1}}", r#"{"a":1}"#),
        ("[[1]]]", "[[1]]"),
        // The same thing twice, or wrapped up.
        ("{\"a\":1}{\"a\":1}", r#"{"a":1}"#),
        ("{\"a\":1}\n\n```json\n{\"a\": 1.0}\n```", r#"{"a": 1.0}"#),
        (r#"{\"a\": \"b\"}"#, r#"{"a": "b"}"#),
        // Numbers stay as they are written.
        ("{a: 1.50e+3, b: 12345678901234567890}", r#"{"a":1.50e+3,"b":12345678901234567890}"#),
    ] {
        assert_eq!(healed(answer).as_deref(), Some(json), "{answer}");
    }
}

#[test]
fn nothing_is_made_up() {
    for answer in [
        "",
        "no",
        "I cannot help with that.",
        // Where a value is missing, or cut.
        "{\"a\":",
        "{\"a\": }",
        "{\"a\"",
        "{\"a\": \"hel",
        "{\"a\": \"hello}",
        "{\"a\": \"hello\n}",
        "{\"a\": tru",
        "{\"a\": 1.",
        "{\"a\": -",
        "{\"a\": 1,",
        "[1,,2]",
        "[1, ...]",
        "[1, 2, ... ]",
        "{",
        "[",
        "{\"a\":[",
        "{\"a\":{",
        // Values that JSON does not have.
        "{\"a\": NaN}",
        "{\"a\": undefined}",
        "{\"a\": .5}",
        "{\"a\": 01}",
        "{\"a\": 0x1F}",
        "{\"a\": 1_000}",
        "{\"a\": 5%}",
        "{\"a\": hello}",
        "{\"a\": \"b\" + \"c\"}",
        "[\"a\" \"b\"]",
        "[1 2]",
        "(1, 2)",
        // Quotes that could end the text or not.
        "{\"a\": \"he said \"hi\" to me\"}",
        // A piece is not the whole.
        "{\"a\": {\"x\": 1}, \"b\": oops}",
        "\"a\": {\"x\": 1}, \"b\": 2",
        "{\"a\":[1,2},\"b\":3}",
        "{\"a\": [1, 2], \"b\": @}",
        // Two answers are none.
        "{\"a\":1} {\"a\":2}",
        "Either {\"a\":1} or\n```json\n{\"a\":2}\n```\n```json\n{\"a\":3}\n```",
    ] {
        assert_eq!(healed(answer), None, "{answer}");
    }
}

#[test]
fn an_answer_that_was_cut_off_is_not_closed() {
    for answer in
        ["{\"a\": 1", "{\"a\": 1 ", "{\"a\": [true", "[{\"a\":\"b\"}", "```json\n{\"a\":\"b\"\n```", "{\"a\":[1,2"]
    {
        assert!(heal(answer, Finished, None).is_some(), "{answer}");
        assert_eq!(heal(answer, Cut, None), None, "{answer}");
    }
    // What is whole in it may still be taken out.
    for (answer, json) in
        [("```json\n{\"a\":1}\n``", "{\"a\":1}"), ("{a:1} and so o", "{\"a\":1}"), ("{\"a\":[1}", "{\"a\":[1]}")]
    {
        assert_eq!(heal(answer, Cut, None).as_deref(), Some(json), "{answer}");
    }
}

#[test]
fn a_schema_says_which_value_is_meant_and_whether_it_is_right() {
    let person = schema(r#"{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}"#);
    for (answer, json) in [
        ("As said in [1] and {\"x\":1}: {\"name\":\"A\"}", Some(r#"{"name":"A"}"#)),
        (r#""{\"name\":\"A\"}""#, Some(r#"{"name":"A"}"#)),
        (r#""```json\n{name: 'A'}\n```""#, Some(r#"{"name":"A"}"#)),
        ("```python\nprint({'x': 1})\n```\n```json\n{\"name\":\"A\"}\n```", Some(r#"{"name":"A"}"#)),
        ("{name: 'A',}", Some(r#"{"name":"A"}"#)),
        ("{name: 1}", None),
        ("{}", None),
        ("[{\"name\":\"A\"}]", None),
        ("{\"name\":\"A\"} {\"name\":\"B\"}", None),
    ] {
        assert_eq!(heal(answer, Finished, Some(&person)).as_deref(), json, "{answer}");
    }
    for (raw, answer, json) in [
        (r#"{"type":"boolean"}"#, "True", Some("true")),
        (r#"{"type":"integer"}"#, "```\n42\n```", Some("42")),
        (r#"{"enum":["yes","no"]}"#, "'yes'", Some("\"yes\"")),
        (r#"{"type":"null"}"#, "None", Some("null")),
        (r#"{"enum":["yes","no"]}"#, "yes", None),
        (r#"{"type":"integer"}"#, "The answer is 42", None),
        (r#"{"type":"string"}"#, "some text", None),
    ] {
        assert_eq!(heal(answer, Finished, Some(&schema(raw))).as_deref(), json, "{answer}");
    }
}

#[test]
fn in_json_mode_the_object_is_found_among_other_brackets() {
    let object = schema(r#"{"type":"object"}"#);
    let answer = "See [1]: {\"a\":1}";
    assert_eq!(heal(answer, Finished, None), None);
    assert_eq!(heal(answer, Finished, Some(&object)).as_deref(), Some("{\"a\":1}"));
}
