//! Reads a chat request.

use serde_json::{Map, Value, json};

use super::super::brain::result_text;
use super::super::shape::{self, Manner};
use super::super::talk::{Choice, Format, Media, Part, Role, Source, Talk, Thinking, Tool, Turn};
use super::super::{Ask, Checks};
use super::fields::REQUEST;
use super::rules;

const MANNER: Manner = Manner { nulls: true, protobuf: false };

pub fn read(ask: &Ask<'_>, checks: &mut Checks) -> Talk {
    let body = &ask.body;
    shape::check(body, REQUEST, MANNER, "", checks);
    rules::check(body, checks);
    let mut talk = Talk {
        model: text(&body["model"]),
        is_stream: body["stream"] == true,
        choice: tool_choice(&body["tool_choice"], "function"),
        is_parallel: body["parallel_tool_calls"] != false,
        thinking: match body["reasoning_effort"].as_str() {
            None | Some("none") => Thinking::Off,
            // Never shown here.
            Some(_) => Thinking::Silent,
        },
        format: format(&body["response_format"]),
        limit: body["max_completion_tokens"].as_u64().or(body["max_tokens"].as_u64()),
        stop: texts(&body["stop"]),
        choices: usize::try_from(body["n"].as_u64().unwrap_or(1)).unwrap_or(1),
        params: params(body),
        ..Talk::default()
    };
    for tool in list(&body["tools"]) {
        let function = &tool["function"];
        let size = tool.to_string().len();
        talk.tools.push(Tool {
            name: text(&function["name"]),
            schema: function["parameters"].clone(),
            size,
            mark: None,
        });
    }
    for (at, message) in list(&body["messages"]).enumerate() {
        let at = format!("messages[{at}]");
        match message["role"].as_str() {
            Some("system" | "developer") => talk.system.extend(parts(&message["content"], &at, checks)),
            Some("user") => talk.turns.push(Turn::user(parts(&message["content"], &at, checks))),
            Some("assistant") => talk.turns.push(Turn::assistant(answer(message, &at, checks))),
            Some("tool") => {
                let texts: Vec<String> = parts(&message["content"], &at, checks)
                    .iter()
                    .filter_map(|part| part.text().map(result_text))
                    .collect();
                let result = Part::Result { texts, media: Vec::new() };
                match talk.turns.last_mut() {
                    Some(turn) if turn.role == Role::User && turn.parts.iter().all(Part::is_result) => {
                        turn.parts.push(result)
                    }
                    _ => talk.turns.push(Turn::user(vec![result])),
                }
            }
            _ => {}
        }
    }
    talk
}

fn answer(message: &Value, at: &str, checks: &mut Checks) -> Vec<Part> {
    let mut found = parts(&message["content"], at, checks);
    for call in list(&message["tool_calls"]) {
        let arguments = text(&call["function"]["arguments"]);
        found.push(Part::Call { name: text(&call["function"]["name"]), arguments });
    }
    found
}

fn parts(content: &Value, at: &str, checks: &mut Checks) -> Vec<Part> {
    if let Some(text) = content.as_str() {
        return vec![Part::Text(text.to_owned())];
    }
    let mut found = Vec::new();
    for (index, part) in list(content).enumerate() {
        let at = format!("{at}.content[{index}]");
        match part["type"].as_str() {
            Some("text") => found.push(Part::Text(text(&part["text"]))),
            Some("refusal") => found.push(Part::Text(text(&part["refusal"]))),
            _ => match media(part) {
                Some(media) => found.push(Part::Media(media)),
                None => checks.no("media", &at, "The media cannot be read: not base64 with a MIME type, and no URL."),
            },
        }
    }
    found
}

fn media(part: &Value) -> Option<Media> {
    match part["type"].as_str()? {
        "image_url" => {
            let url = part["image_url"]["url"].as_str()?;
            let media = Media::of_url("image", url)?;
            let is_url = url.starts_with("http://") || url.starts_with("https://") || url.starts_with("data:image/");
            is_url.then_some(media)
        }
        "input_audio" => {
            let audio = &part["input_audio"];
            Media::of_base64(&format!("audio/{}", audio["format"].as_str()?), audio["data"].as_str()?)
        }
        "file" => match &part["file"] {
            file if file["file_id"].is_string() => {
                Some(Media { kind: "file", mime: String::new(), source: Source::Place(text(&file["file_id"])) })
            }
            file => {
                let data = file["file_data"].as_str()?;
                // As the API wants it: a data URI, and a name with it.
                (data.starts_with("data:") && file["filename"].is_string()).then(|| Media::of_url("file", data))?
            }
        },
        _ => None,
    }
}

/// `"auto"`, or an object that names a tool; flat in the Responses dialect.
pub fn tool_choice(choice: &Value, holder: &str) -> Choice {
    match choice {
        Value::String(word) => match word.as_str() {
            "none" => Choice::None,
            "required" => Choice::Any,
            _ => Choice::Auto,
        },
        Value::Object(_) => match choice[holder]["name"].as_str().or(choice["name"].as_str()) {
            Some(name) => Choice::Named(name.to_owned()),
            None => Choice::Auto,
        },
        _ => Choice::Auto,
    }
}

fn format(format: &Value) -> Format {
    match format["type"].as_str() {
        Some("json_object") => Format::Json,
        Some("json_schema") => Format::Schema(format["json_schema"]["schema"].clone()),
        _ => Format::Text,
    }
}

fn params(body: &Value) -> Map<String, Value> {
    let names = [
        "temperature",
        "top_p",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "user",
        "n",
        "logprobs",
        "top_logprobs",
        "reasoning_effort",
        "verbosity",
        "service_tier",
        "prompt_cache_key",
        "metadata",
        "tool_choice",
        "parallel_tool_calls",
    ];
    let mut found: Map<String, Value> = names
        .iter()
        .filter(|name| !body[**name].is_null())
        .map(|name| ((*name).to_owned(), body[*name].clone()))
        .collect();
    if let Some(limit) = body["max_completion_tokens"].as_u64().or(body["max_tokens"].as_u64()) {
        found.insert("max_tokens".to_owned(), json!(limit));
    }
    if !body["stop"].is_null() {
        found.insert("stop".to_owned(), json!(texts(&body["stop"])));
    }
    found
}

pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        _ => list(value).map(text).collect(),
    }
}
