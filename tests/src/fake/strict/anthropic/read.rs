//! Reads a messages request.

use serde_json::{Map, Value, json};

use super::super::brain::result_text;
use super::super::json::canonical;
use super::super::shape::{self, Manner};
use super::super::talk::{Choice, Format, Media, Part, Role, Source, Talk, Thinking, Tool, Turn};
use super::super::{Ask, Checks, Operation};
use super::{fields, order, rules};

pub const MANNER: Manner = Manner { nulls: false, protobuf: false };

pub fn read(ask: &Ask<'_>, checks: &mut Checks) -> Talk {
    let body = &ask.body;
    let is_count = ask.operation == Operation::CountTokens;
    shape::check(body, if is_count { fields::COUNT } else { fields::REQUEST }, MANNER, "", checks);
    rules::check(ask, checks);
    order::check(body, checks);
    let mut talk = Talk {
        model: text(&body["model"]),
        is_stream: body["stream"] == true,
        choice: choice(&body["tool_choice"]),
        is_parallel: body["tool_choice"]["disable_parallel_tool_use"] != true,
        thinking: thinking(&body["thinking"]),
        format: format(body),
        limit: limit(body),
        stop: list(&body["stop_sequences"]).map(text).collect(),
        choices: 1,
        params: params(body),
        marks_only: true,
        ..Talk::default()
    };
    for tool in list(&body["tools"]).filter(|tool| tool["input_schema"].is_object()) {
        let size = tool.to_string().len();
        let schema = tool["input_schema"].clone();
        talk.tools.push(Tool { name: text(&tool["name"]), schema, size, mark: mark(tool) });
    }
    talk.system = blocks(&body["system"], "system", checks);
    for (at, message) in list(&body["messages"]).enumerate() {
        let parts = blocks(&message["content"], &format!("messages.{at}"), checks);
        let role = if message["role"] == "assistant" { Role::Assistant } else { Role::User };
        talk.turns.push(Turn { role, parts });
    }
    // Automatic: as if the last block were marked.
    if let Some(is_hour) = mark(body)
        && let Some(turn) = talk.turns.last_mut()
    {
        turn.parts.push(Part::Mark { is_hour });
    }
    talk
}

/// What is left for text after a budget for thinking.
fn limit(body: &Value) -> Option<u64> {
    let budget =
        if body["thinking"]["type"] == "enabled" { body["thinking"]["budget_tokens"].as_u64().unwrap_or(0) } else { 0 };
    Some(body["max_tokens"].as_u64()?.saturating_sub(budget))
}

fn mark(holder: &Value) -> Option<bool> {
    let cache = holder["cache_control"].as_object()?;
    Some(cache.get("ttl").is_some_and(|ttl| ttl == "1h"))
}

fn blocks(content: &Value, at: &str, checks: &mut Checks) -> Vec<Part> {
    if let Some(text) = content.as_str() {
        return vec![Part::Text(text.to_owned())];
    }
    let mut found = Vec::new();
    for (index, block) in list(content).enumerate() {
        found.extend(part(block, &format!("{at}.content.{index}"), checks));
        if let Some(is_hour) = mark(block) {
            found.push(Part::Mark { is_hour });
        }
    }
    found
}

fn part(block: &Value, at: &str, checks: &mut Checks) -> Option<Part> {
    Some(match block["type"].as_str()? {
        "text" => Part::Text(text(&block["text"])),
        "thinking" => Part::Thought(text(&block["thinking"])),
        "redacted_thinking" => Part::Thought(text(&block["data"])),
        "tool_use" => Part::Call { name: text(&block["name"]), arguments: canonical(&block["input"]) },
        "image" | "document" => Part::Media(media(block, at, checks)?),
        "tool_result" => {
            let (mut texts, mut several) = (Vec::new(), Vec::new());
            for inner in blocks(&block["content"], at, checks) {
                match inner {
                    Part::Text(text) => texts.push(result_text(&text)),
                    Part::Media(media) => several.push(media),
                    _ => {}
                }
            }
            Part::Result { texts, media: several }
        }
        _ => return None,
    })
}

fn media(block: &Value, at: &str, checks: &mut Checks) -> Option<Media> {
    let source = &block["source"];
    let kind = if block["type"] == "image" { "image" } else { "file" };
    let place =
        |place: &Value| Some(Media { kind, mime: String::new(), source: Source::Place(place.as_str()?.to_owned()) });
    let found = match source["type"].as_str()? {
        "base64" => Media::of_base64(source["media_type"].as_str()?, source["data"].as_str()?),
        "text" => Some(Media::of("text/plain", Source::Bytes(source["data"].as_str()?.len()))),
        "url" => place(&source["url"]),
        "file" => place(&source["file_id"]),
        _ => Some(Media { kind, mime: String::new(), source: Source::Place("content".to_owned()) }),
    };
    if found.is_none() {
        checks.no("media", at, "Invalid base64 data");
    }
    found
}

fn choice(choice: &Value) -> Choice {
    match choice["type"].as_str() {
        Some("none") => Choice::None,
        Some("any") => Choice::Any,
        Some("tool") => Choice::Named(text(&choice["name"])),
        _ => Choice::Auto,
    }
}

fn thinking(thinking: &Value) -> Thinking {
    match thinking["type"].as_str() {
        Some("enabled" | "adaptive") if thinking["display"] == "omitted" => Thinking::Silent,
        Some("enabled" | "adaptive") => Thinking::Shown,
        _ => Thinking::Off,
    }
}

/// In either spelling.
pub fn schema(body: &Value) -> Option<&Value> {
    [&body["output_config"]["format"], &body["output_format"]]
        .into_iter()
        .map(|format| &format["schema"])
        .find(|schema| schema.is_object())
}

fn format(body: &Value) -> Format {
    schema(body).map_or(Format::Text, |schema| Format::Schema(schema.clone()))
}

fn params(body: &Value) -> Map<String, Value> {
    let names = ["temperature", "top_p", "top_k", "max_tokens", "service_tier", "metadata", "tool_choice", "thinking"];
    let mut found: Map<String, Value> = names
        .iter()
        .filter(|name| !body[**name].is_null())
        .map(|name| ((*name).to_owned(), body[*name].clone()))
        .collect();
    if !body["stop_sequences"].is_null() {
        found.insert("stop".to_owned(), body["stop_sequences"].clone());
    }
    if let Some(effort) = body["output_config"]["effort"].as_str() {
        found.insert("reasoning_effort".to_owned(), json!(effort));
    }
    found
}

pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
