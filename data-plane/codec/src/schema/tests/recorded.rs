//! The schemas and answers of recorded traffic. Without the recordings these tests say so and pass.

use std::path::{Path, PathBuf};

use serde_json::Value as Tree;

use super::*;

/// Fields of requests that hold a schema.
const SCHEMAS: [&str; 8] = [
    "schema",
    "input_schema",
    "parameters",
    "responseSchema",
    "response_schema",
    "responseJsonSchema",
    "parametersJsonSchema",
    "parameters_json_schema",
];

type Convert = fn(&str) -> Result<Converted, SchemaFault>;

struct Case {
    name: String,
    request: String,
    response: Option<String>,
    stream: Option<String>,
}

fn cases() -> Vec<Case> {
    let root = match std::env::var_os("TOLLGATE_FIXTURES") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
    };
    let Ok(folders) = std::fs::read_dir(&root) else {
        println!("skipped: no recorded traffic at {}", root.display());
        return Vec::new();
    };
    let mut cases = Vec::new();
    for folder in folders.flatten().filter(|entry| entry.path().is_dir()) {
        for case in std::fs::read_dir(folder.path()).unwrap().flatten() {
            let read = |file: &str| std::fs::read_to_string(case.path().join(file)).ok();
            let Some(request) = read("request.json") else { continue };
            let name = format!("{}/{}", folder.file_name().display(), case.file_name().display());
            cases.push(Case { name, request, response: read("response.json"), stream: read("response.sse") });
        }
    }
    assert!(!cases.is_empty(), "the folder of recorded traffic has no requests in it");
    cases
}

/// All schemas in a request, as they are written there, with the field that holds each.
fn schemas(request: &str) -> Vec<(String, String)> {
    fn gather(value: crate::json::Value<'_>, found: &mut Vec<(String, String)>) {
        for (name, field) in value.fields() {
            if SCHEMAS.contains(&name.as_ref()) && field.is_object() {
                found.push((name.into_owned(), field.raw().to_owned()));
            } else {
                gather(field, found);
            }
        }
        value.items().for_each(|item| gather(item, found));
    }
    let mut found = Vec::new();
    let mut tape = crate::json::Tape::default();
    if let Ok(body) = tape.read(request.as_bytes()) {
        gather(body, &mut found);
    }
    found
}

#[test]
fn every_recorded_schema_is_read_and_converted() {
    let mut count = 0;
    for case in cases() {
        for (field, raw) in schemas(&case.request) {
            count += 1;
            let schema = Schema::parse(&raw).unwrap_or_else(|fault| panic!("{} {field}: {fault}", case.name));
            assert_eq!(schema.skipped(), [], "{}", case.name);
            for convert in [for_gemini, for_anthropic, from_gemini] {
                let converted = convert(&raw).unwrap_or_else(|fault| panic!("{} {field}: {fault}", case.name));
                assert!(Schema::parse(&converted.json).is_ok(), "{}: {}", case.name, converted.json);
            }
            assert_eq!(laws::converting(raw.as_bytes()), Ok(()), "{}", case.name);
        }
    }
    println!("{count} schemas");
    assert!(count == 0 || count > 150, "only {count}");
}

#[test]
fn a_schema_that_was_recorded_at_a_provider_goes_back_to_it_unharmed() {
    for case in cases() {
        for (field, raw) in schemas(&case.request) {
            let target: Tree = serde_json::from_str(&raw).unwrap();
            let native: Option<Convert> = match field.as_str() {
                "responseSchema" | "response_schema" => Some(for_gemini),
                "parameters" if case.name.starts_with("gemini/") => Some(for_gemini),
                "schema" if case.name.starts_with("anthropic/") => Some(for_anthropic),
                _ => None,
            };
            let Some(convert) = native else { continue };
            let converted = convert(&raw).unwrap();
            let back: Tree = serde_json::from_str(&converted.json).unwrap();
            if converted.changed.is_empty() {
                assert_eq!(back, target, "{}", case.name);
            }
            assert_eq!(converted.losses().count(), 0, "{}: {:?}", case.name, converted.changed);
        }
    }
}

#[test]
fn what_was_recorded_with_strict_mode_is_found_strict() {
    let mut count = 0;
    for case in cases().into_iter().filter(|case| case.name.starts_with("openai")) {
        let body: Tree = serde_json::from_str(&case.request).unwrap();
        for format in [&body["response_format"]["json_schema"], &body["text"]["format"]] {
            if format["strict"] == Tree::Bool(true) {
                count += 1;
                assert_eq!(strict_for_openai(&format["schema"].to_string()), Ok(()), "{}", case.name);
            }
        }
    }
    println!("{count} strict schemas");
}

/// The schema that an answer was asked to match, and the texts of the answer.
fn asked_and_answered(case: &Case) -> Option<(String, Vec<String>)> {
    let body: Tree = serde_json::from_str(&case.request).unwrap();
    let config = &body["generationConfig"];
    let places = [
        &body["response_format"]["json_schema"]["schema"],
        &body["text"]["format"]["schema"],
        &body["output_format"]["schema"],
        &body["output_config"]["format"]["schema"],
        &config["responseSchema"],
        &config["response_schema"],
        &config["responseJsonSchema"],
        // Cohere has no name around it.
        &body["response_format"]["json_schema"],
    ];
    let asked = places.into_iter().find(|it| it.is_object())?;
    let texts = match (&case.response, &case.stream) {
        (Some(response), _) => whole_texts(&serde_json::from_str(response).ok()?),
        (None, Some(stream)) => vec![streamed_text(stream)],
        (None, None) => return None,
    };
    let raw = case.response.iter().chain(&case.stream).next()?;
    let is_refusal = raw.contains(r#""refusal":""#) || raw.contains(r#""refusal": ""#) || raw.contains("refusal.delta");
    (!is_refusal).then(|| (asked.to_string(), texts.into_iter().filter(|text| !text.is_empty()).collect()))
}

fn list(value: &Tree) -> Vec<Tree> {
    value.as_array().cloned().unwrap_or_default()
}

fn gemini_text(answer: &Tree) -> String {
    let parts = list(&answer["candidates"][0]["content"]["parts"]).into_iter().filter(|part| part["thought"] != true);
    parts.filter_map(|part| part["text"].as_str().map(str::to_owned)).collect()
}

fn whole_texts(response: &Tree) -> Vec<String> {
    // Gemini's other way to stream: one list of events.
    if response.is_array() {
        return vec![list(response).iter().map(gemini_text).collect()];
    }
    let cohere = list(&response["message"]["content"]).into_iter().map(|block| block["text"].clone());
    let chat = list(&response["choices"]).into_iter().map(|choice| choice["message"]["content"].clone());
    let messages = list(&response["content"]).into_iter().map(|block| block["text"].clone());
    let responses = list(&response["output"]).into_iter().flat_map(|item| list(&item["content"]));
    let responses = responses.filter(|part| part["type"] == "output_text").map(|part| part["text"].clone());
    let texts = chat.chain(messages).chain(cohere).chain(responses).filter_map(|text| text.as_str().map(str::to_owned));
    texts.chain([gemini_text(response)]).collect()
}

fn streamed_text(stream: &str) -> String {
    let events =
        stream.lines().filter_map(|line| serde_json::from_str::<Tree>(line.strip_prefix("data:")?.trim()).ok());
    let text = events.map(|event| {
        let delta =
            if event["type"] == "response.output_text.delta" { &event["delta"] } else { &event["delta"]["text"] };
        let chat = &event["choices"][0]["delta"]["content"];
        [delta, chat].into_iter().filter_map(Tree::as_str).collect::<String>() + &gemini_text(&event)
    });
    text.collect()
}

#[test]
fn recorded_structured_answers_match_their_schemas_and_heal_to_themselves() {
    let mut count = 0;
    let all = cases();
    for case in &all {
        let Some((asked, texts)) = asked_and_answered(case) else { continue };
        let asked = schema(&asked);
        for text in texts {
            count += 1;
            assert_eq!(asked.check(&text), Ok(()), "{}", case.name);
            assert_eq!(heal(&text, Ending::Finished, Some(&asked)).as_deref(), Some(text.as_str()), "{}", case.name);
            for spoilt in [format!("```json\n{text}\n```"), format!("Sure:\n{text}"), format!("{text}}}")] {
                let healed = heal(&spoilt, Ending::Finished, Some(&asked));
                assert_eq!(healed.as_deref().map(str::trim), Some(text.trim()), "{}", case.name);
            }
        }
    }
    println!("{count} answers");
    assert!(all.is_empty() || count >= 16, "only {count}");
}
