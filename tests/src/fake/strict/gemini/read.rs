//! Reads a generateContent request.

use serde_json::{Map, Value, json};

use super::super::brain::unwrapped;
use super::super::json::canonical;
use super::super::shape::{self, snake};
use super::super::talk::{Choice, Format, Media, Part, Role, Source, Talk, Thinking, Tool, Turn};
use super::super::{Ask, Checks};
use super::fields::{MANNER, REQUEST};
use super::order;

/// A field in either spelling.
pub fn get<'a>(value: &'a Value, name: &str) -> &'a Value {
    static NULL: Value = Value::Null;
    value.get(name).or_else(|| value.get(snake(name))).unwrap_or(&NULL)
}

/// The items of a list; one item alone is a list of it.
pub fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(_) => vec![value],
        _ => Vec::new(),
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The model of a path or a field: percent signs undone, without `models/`.
pub fn bare_model(model: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = model.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail
            .get(..2)
            .and_then(|two| std::str::from_utf8(two).ok())
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match hex.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.strip_prefix("models/").unwrap_or(&text).to_owned()
}

pub fn read(ask: &Ask<'_>, body: &Value, checks: &mut Checks) -> Talk {
    shape::check(body, REQUEST, MANNER, "", checks);
    let model = bare_model(ask.model.as_deref().unwrap_or_default());
    order::check(body, &model, checks);
    let config = get(body, "generationConfig");
    let mut talk = Talk {
        model,
        is_stream: ask.is_stream_verb,
        choice: choice(get(body, "toolConfig")),
        is_parallel: true,
        thinking: thinking(get(config, "thinkingConfig")),
        format: format(config),
        limit: get(config, "maxOutputTokens").as_u64(),
        stop: list(get(config, "stopSequences")).into_iter().map(text).collect(),
        choices: usize::try_from(get(config, "candidateCount").as_u64().unwrap_or(1)).unwrap_or(1),
        params: params(body),
        ..Talk::default()
    };
    for declaration in declarations(body) {
        let schema = [get(declaration, "parametersJsonSchema"), get(declaration, "parameters")]
            .into_iter()
            .find(|schema| schema.is_object());
        let schema = schema.cloned().unwrap_or(Value::Null);
        talk.tools.push(Tool {
            name: text(&declaration["name"]),
            schema,
            size: declaration.to_string().len(),
            mark: None,
        });
    }
    talk.system = content_parts(get(body, "systemInstruction"), "systemInstruction", checks);
    for (at, content) in list(get(body, "contents")).into_iter().enumerate() {
        let parts = content_parts(content, &format!("contents[{at}]"), checks);
        let role = if content["role"] == "model" { Role::Assistant } else { Role::User };
        talk.turns.push(Turn { role, parts });
    }
    talk
}

pub fn declarations(body: &Value) -> Vec<&Value> {
    list(get(body, "tools")).into_iter().flat_map(|tool| list(get(tool, "functionDeclarations"))).collect()
}

/// The parts of one content.
pub fn content_parts(content: &Value, at: &str, checks: &mut Checks) -> Vec<Part> {
    let parts = list(get(content, "parts")).into_iter().enumerate();
    parts.filter_map(|(index, part)| read_part(part, &format!("{at}.parts[{index}]"), checks)).collect()
}

fn read_part(part: &Value, at: &str, checks: &mut Checks) -> Option<Part> {
    let (call, response) = (get(part, "functionCall"), get(part, "functionResponse"));
    if call.is_object() {
        let arguments = if call["args"].is_object() { canonical(&call["args"]) } else { "{}".to_owned() };
        return Some(Part::Call { name: text(&call["name"]), arguments });
    }
    if response.is_object() {
        let media = list(&response["parts"]).into_iter().filter_map(|inner| media(inner, at, checks)).collect();
        return Some(Part::Result { texts: vec![unwrapped(&response["response"])], media });
    }
    if let Some(said) = part["text"].as_str() {
        let is_thought = part["thought"] == true;
        // An empty text is how signatures come and go.
        return (!said.is_empty())
            .then(|| if is_thought { Part::Thought(said.to_owned()) } else { Part::Text(said.to_owned()) });
    }
    media(part, at, checks).map(Part::Media)
}

fn media(part: &Value, at: &str, checks: &mut Checks) -> Option<Media> {
    let (blob, file) = (get(part, "inlineData"), get(part, "fileData"));
    if blob.is_object() {
        let mime = get(blob, "mimeType").as_str().unwrap_or_default();
        let found = Media::of_base64(mime, blob["data"].as_str().unwrap_or_default());
        checks.need(found.is_some(), "media", at, "Base64 decoding failed for inline data.");
        checks.need(mime.contains('/'), "media", at, "Unsupported MIME type.");
        return found;
    }
    let place = get(file, "fileUri").as_str()?;
    let kind = Media::of(get(file, "mimeType").as_str().unwrap_or_default(), Source::Bytes(0)).kind;
    Some(Media { kind, mime: String::new(), source: Source::Place(place.to_owned()) })
}

fn choice(config: &Value) -> Choice {
    let calling = get(config, "functionCallingConfig");
    let names = list(get(calling, "allowedFunctionNames"));
    match (calling["mode"].as_str(), names.as_slice()) {
        (Some("NONE"), _) => Choice::None,
        (Some("ANY"), [only]) => Choice::Named(text(only)),
        (Some("ANY"), _) => Choice::Any,
        _ => Choice::Auto,
    }
}

fn thinking(config: &Value) -> Thinking {
    let level = get(config, "thinkingLevel").is_string();
    let budget = get(config, "thinkingBudget").as_i64();
    match get(config, "includeThoughts") == true {
        true if budget != Some(0) => Thinking::Shown,
        false if level || budget.is_some_and(|budget| budget != 0) => Thinking::Silent,
        _ => Thinking::Off,
    }
}

/// In any of its spellings.
pub fn response_schema(config: &Value) -> Option<&Value> {
    ["responseJsonSchema", "_responseJsonSchema", "responseSchema"]
        .into_iter()
        .map(|name| get(config, name))
        .find(|schema| schema.is_object())
}

fn format(config: &Value) -> Format {
    match response_schema(config) {
        Some(schema) => Format::Schema(schema.clone()),
        None if get(config, "responseMimeType") == "application/json" => Format::Json,
        None => Format::Text,
    }
}

fn params(body: &Value) -> Map<String, Value> {
    let config = get(body, "generationConfig");
    let names = [
        ("temperature", "temperature"),
        ("top_p", "topP"),
        ("top_k", "topK"),
        ("seed", "seed"),
        ("presence_penalty", "presencePenalty"),
        ("frequency_penalty", "frequencyPenalty"),
        ("max_tokens", "maxOutputTokens"),
        ("n", "candidateCount"),
        ("stop", "stopSequences"),
        ("logprobs", "responseLogprobs"),
        ("top_logprobs", "logprobs"),
    ];
    let mut found = Map::new();
    for (own, name) in names {
        let value = get(config, name);
        if !value.is_null() {
            found.insert(own.to_owned(), value.clone());
        }
    }
    for (own, value) in [("thinking", get(config, "thinkingConfig")), ("tool_choice", get(body, "toolConfig"))] {
        if !value.is_null() {
            found.insert(own.to_owned(), json!(value));
        }
    }
    found
}
