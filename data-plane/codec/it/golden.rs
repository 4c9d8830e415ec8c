//! The golden matrix: every recorded request to every kind of provider, every recorded answer to every kind of client, as
//! snapshots with their losses. Recordings may not be copied into the repository, so texts are told by length and digest,
//! and long streams by their shape; what is left is what the halves themselves decide.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use codec::{Dialect, Losses};
use serde_json::Value;

use crate::fixtures::{self, Case};
use crate::pairs;

/// Fields whose short words are the dialects' own, and the values of which stay readable.
const WORDS: [&str; 31] = [
    "type",
    "role",
    "object",
    "finish_reason",
    "native_finish_reason",
    "finishReason",
    "stop_reason",
    "status",
    "reason",
    "mode",
    "effort",
    "reasoning_effort",
    "thinkingLevel",
    "detail",
    "format",
    "ttl",
    "mime_type",
    "mimeType",
    "media_type",
    "modality",
    "modalities",
    "responseModalities",
    "responseMimeType",
    "tool_choice",
    "allowedFunctionNames",
    "include",
    "truncation",
    "service_tier",
    "verbosity",
    "display",
    "model",
];
/// Fields that hold schemas or arguments: told by their digest as a whole.
const WHOLE: [&str; 10] = [
    "parameters",
    "parametersJsonSchema",
    "input_schema",
    "schema",
    "responseSchema",
    "responseJsonSchema",
    "args",
    "input",
    "metadata",
    "response",
];
/// Longest word of a dialect's own.
const WORD_MOST: usize = 32;

/// A digest that is the same on every machine.
fn digest(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    format!("{}:{hash:08x}", bytes.len())
}

fn is_word(text: &str) -> bool {
    text.len() <= WORD_MOST && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./+:".contains(&byte))
}

/// A value without anybody's text.
fn redacted(value: &Value, name: &str, is_shape: bool) -> Value {
    match value {
        Value::String(text) if WORDS.contains(&name) && is_word(text) => value.clone(),
        Value::String(_) if is_shape => "~".into(),
        Value::String(text) => format!("<{}>", digest(text.as_bytes())).into(),
        // `input` and `response` are lists and more in other places.
        Value::Object(fields) if WHOLE.contains(&name) && !fields.contains_key("object") => {
            let text = value.to_string();
            if is_shape { "{~}".into() } else { format!("{{{}}}", digest(text.as_bytes())).into() }
        }
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), redacted(value, name, is_shape))).collect()
        }
        Value::Array(items) => items.iter().map(|item| redacted(item, name, is_shape)).collect::<Vec<_>>().into(),
        Value::Number(_) if is_shape && matches!(name, "sequence_number" | "logprob" | "bytes") => "#".into(),
        value => value.clone(),
    }
}

/// One field a line, one item a line for the long lists.
fn lines(out: &mut String, value: &Value) {
    let Value::Object(fields) = redacted(value, "", false) else {
        writeln!(out, "{}", redacted(value, "", false)).unwrap();
        return;
    };
    for (name, value) in fields {
        match value {
            Value::Array(items)
                if items.len() > 1 || matches!(name.as_str(), "messages" | "contents" | "tools" | "choices") =>
            {
                writeln!(out, "{name}:").unwrap();
                items.iter().for_each(|item| writeln!(out, "  - {item}").unwrap());
            }
            value => writeln!(out, "{name}: {value}").unwrap(),
        }
    }
}

fn title(out: &mut String, dialect: &Dialect, losses: Losses) {
    writeln!(out, "== {}{}", dialect.id, if losses.is_empty() { String::new() } else { format!(" loses {losses}") })
        .unwrap();
}

/// Shapes that come again within so many lines are counted where they were.
const NEAR: usize = 3;

/// The shapes of a stream's events, alike ones counted, and a digest of everything.
fn shapes(out: &mut String, stream: &[u8]) {
    let text = String::from_utf8_lossy(stream);
    let mut seen: Vec<(String, usize)> = Vec::new();
    for event in text.split("\n\n").flat_map(|events| events.split("\r\n\r\n")).filter(|event| !event.trim().is_empty())
    {
        let shape = event.lines().map(shape_of).collect::<Vec<_>>().join(" ");
        match seen.iter_mut().rev().take(NEAR).find(|(known, _)| *known == shape) {
            Some((_, count)) => *count += 1,
            None => seen.push((shape, 1)),
        }
    }
    for (shape, count) in seen {
        let times = if count > 1 { format!(" x{count}") } else { String::new() };
        writeln!(out, "{shape}{times}").unwrap();
    }
    writeln!(out, "all of it <{}>", digest(stream)).unwrap();
}

fn shape_of(line: &str) -> String {
    let Some(data) = line.strip_prefix("data:").map(str::trim) else { return line.to_owned() };
    match serde_json::from_str::<Value>(data) {
        Ok(value) => redacted(&value, "", true).to_string(),
        Err(_) => data.to_owned(),
    }
}

fn request(case: &Case, body: &[u8]) -> String {
    let mut out = String::new();
    for pair in pairs::all().into_iter().filter(|(client, _)| client.id == case.dialect) {
        let quirks = if pair.0 == pair.1 { case.quirks() } else { &[] };
        match pairs::request_with(pair, body, case.path_model().as_deref(), case.is_stream, quirks) {
            Ok(sent) => {
                title(&mut out, pair.1, sent.losses);
                lines(&mut out, &serde_json::from_slice(&sent.body.into_bytes()).unwrap());
            }
            Err(fault) => {
                title(&mut out, pair.1, Losses::default());
                writeln!(out, "refused: {:?} {}", fault.kind, fault.param.unwrap_or_default()).unwrap();
            }
        }
    }
    out
}

fn answer(case: &Case) -> String {
    let mut out = String::new();
    let edits = pairs::edits_for(case.request.as_deref().unwrap_or_default());
    for pair in pairs::all().into_iter().filter(|(_, provider)| provider.id == case.dialect) {
        if case.is_stream {
            let streamed = pairs::stream(pair, &case.response, case.response.len(), &edits);
            title(&mut out, pair.0, Losses::default());
            shapes(&mut out, &streamed.out);
            let end = format!("{:?}", streamed.end);
            writeln!(out, "ends {}", end.split(['(', ' ', '{']).next().unwrap_or_default()).unwrap();
            continue;
        }
        let whole = pairs::whole(pair, &case.response, &edits).unwrap();
        title(&mut out, pair.0, whole.losses);
        match whole.tap.upstream_error() {
            Some(_) => writeln!(out, "an error in the place of an answer").unwrap(),
            None => lines(&mut out, &serde_json::from_slice(&whole.body.into_bytes()).unwrap()),
        }
    }
    out
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("it/snapshots")
}

#[test]
fn t47_every_recording_goes_through_every_half_as_it_did() {
    let mut names = HashSet::new();
    let mut check = |kind: &str, case: &Case, text: String| {
        let name = format!("{kind}.{}", case.name.replace('/', "."));
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(folder());
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(name.as_str(), text));
        names.insert(format!("{name}.snap"));
    };
    for case in fixtures::cases(&fixtures::FAMILIES) {
        if codec::dialect::find(case.dialect).is_none() {
            continue;
        }
        if let Some(body) = &case.request {
            check("request", &case, request(&case, body));
        }
        if case.status == 200 {
            check("answer", &case, answer(&case));
        }
    }
    if names.is_empty() {
        return;
    }
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(names.contains(&name) || name.ends_with(".new"), "{name} belongs to no recording");
    }
}

#[test]
fn no_text_of_a_recording_is_in_a_snapshot() {
    for case in fixtures::cases(&fixtures::FAMILIES) {
        if codec::dialect::find(case.dialect).is_none() {
            continue;
        }
        let mut texts = Vec::new();
        let bodies = [case.request.as_deref(), (!case.is_stream).then_some(&case.response)];
        for body in bodies.into_iter().flatten() {
            collect(&serde_json::from_slice(body).unwrap_or_default(), &mut texts);
        }
        let shown = case.request.as_deref().map(|body| request(&case, body)).unwrap_or_default()
            + &(if case.status == 200 { answer(&case) } else { String::new() });
        for text in texts.iter().filter(|text| text.len() > WORD_MOST) {
            assert!(!shown.contains(text.as_str()), "{} shows a text of {} bytes", case.name, text.len());
        }
    }
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, texts)),
        _ => {}
    }
}
