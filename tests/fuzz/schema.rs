//! JSON schemas, the answers that are held against them, and their mending: the laws of the room, for any bytes.

use codec::schema::laws;

use crate::driver::{Corpus, drive};

const WORDS: &[&str] = &[
    "{}",
    "[]",
    "null",
    "true",
    "1e3",
    "-0",
    "\"\"",
    "\"type\":",
    "\"object\"",
    "\"array\"",
    "\"string\"",
    "\"properties\":{",
    "\"required\":[\"a\"]",
    "\"additionalProperties\":false",
    "\"items\":",
    "\"enum\":[",
    "\"const\":",
    "\"anyOf\":[",
    "\"oneOf\":[",
    "\"allOf\":[",
    "\"not\":",
    "\"$ref\":\"#/$defs/a\"",
    "\"$defs\":{\"a\":",
    "\"pattern\":\"^a+$\"",
    "\"minimum\":0",
    "\"maxItems\":2",
    "\"multipleOf\":0.1",
    "\"nullable\":true",
    "```json\n",
    "```",
    ",}",
    ",]",
    "'",
    "// x\n",
    "True",
    "None",
    "\u{0}",
    "\u{feff}",
    "\\u0000",
];

fn inputs() -> Vec<Vec<u8>> {
    [
        r##"{"type":"object","properties":{"a":{"type":"string","minLength":1},"b":{"$ref":"#/$defs/b"}},"required":["a"],"additionalProperties":false,"$defs":{"b":{"anyOf":[{"type":"integer"},{"type":"null"}]}}}"##,
        r#"{"type":"array","items":{"enum":["x","y"]},"minItems":1}"#,
        "```json\n{\"a\": 'x', \"b\": None,}\n```",
        r#"{"a":"x","b":[1,2,{"c":true}]}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

#[test]
fn any_schema_is_read_or_refused_and_any_answer_judged() {
    drive("schema", &Corpus { inputs: inputs(), words: WORDS }, |input| laws::checking(input).unwrap());
}

#[test]
fn any_answer_is_mended_without_making_anything_up() {
    drive("healing", &Corpus { inputs: inputs(), words: WORDS }, |input| laws::healing(input).unwrap());
}

#[test]
fn any_schema_is_said_to_others_or_refused() {
    drive("subset", &Corpus { inputs: inputs(), words: WORDS }, |input| laws::converting(input).unwrap());
}
