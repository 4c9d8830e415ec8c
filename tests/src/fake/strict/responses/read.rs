//! Reads a Responses request, and what OpenAI refuses about one.

use serde_json::{Map, Value, json};

use super::super::chat::{schema_rules, strict_schema, tool_choice};
use super::super::shape::{self, Manner};
use super::super::talk::{Choice, Format, Part, Talk, Thinking, Tool, Turn};
use super::super::{Ask, Checks};
use super::fields::REQUEST;
use super::items;

pub const MANNER: Manner = Manner { nulls: true, protobuf: false };

pub fn read(ask: &Ask<'_>, checks: &mut Checks) -> Talk {
    let body = &ask.body;
    shape::check(body, REQUEST, MANNER, "", checks);
    rules(body, checks);
    let mut talk = Talk {
        model: text(&body["model"]),
        is_stream: body["stream"] == true,
        choice: tool_choice(&body["tool_choice"], "function"),
        is_parallel: body["parallel_tool_calls"] != false,
        thinking: thinking(&body["reasoning"]),
        format: format(&body["text"]["format"]),
        limit: body["max_output_tokens"].as_u64(),
        choices: 1,
        params: params(body),
        ..Talk::default()
    };
    if let Some(instructions) = body["instructions"].as_str() {
        talk.system.push(Part::Text(instructions.to_owned()));
    }
    for tool in list(&body["tools"]).filter(|tool| tool["type"] == "function") {
        let size = tool.to_string().len();
        talk.tools.push(Tool { name: text(&tool["name"]), schema: tool["parameters"].clone(), size, mark: None });
    }
    match &body["input"] {
        Value::String(text) => talk.turns.push(Turn::user(vec![Part::Text(text.clone())])),
        input => items::read(input, &mut talk, checks),
    }
    talk
}

fn rules(body: &Value, checks: &mut Checks) {
    checks.need(body["store"] == false, "store", "store", "This provider keeps nothing: 'store' must be false.");
    for name in ["previous_response_id", "conversation", "prompt"] {
        checks.need(
            body[name].is_null(),
            "stored_state",
            name,
            &format!("'{name}' refers to stored state, of which there is none."),
        );
    }
    checks.need(body["background"] != true, "background", "background", "Background answers need stored state.");
    let limit = body["max_output_tokens"].as_i64();
    checks.need(
        limit.is_none_or(|limit| limit >= 16),
        "range",
        "max_output_tokens",
        "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16.",
    );
    for (name, most) in [("temperature", 2.0), ("top_p", 1.0), ("top_logprobs", 20.0)] {
        let holds = body[name].as_f64().is_none_or(|value| (0.0..=most).contains(&value));
        checks.need(holds, "range", name, &format!("Invalid '{name}': out of range."));
    }
    let includes = [
        "reasoning.encrypted_content",
        "message.output_text.logprobs",
        "message.input_image.image_url",
        "file_search_call.results",
        "web_search_call.results",
        "web_search_call.action.sources",
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
    ];
    for include in list(&body["include"]) {
        let is_known = include.as_str().is_some_and(|include| includes.contains(&include));
        checks.need(is_known, "include", "include", &format!("Invalid value: '{include}' for 'include'."));
    }
    for (at, tool) in list(&body["tools"]).enumerate().filter(|(_, tool)| tool["type"] == "function") {
        items::name(tool["name"].as_str().unwrap_or_default(), &format!("tools[{at}].name"), checks);
        strict_schema(tool, "parameters", &format!("tools[{at}].parameters"), checks);
    }
    if let Choice::Named(name) = tool_choice(&body["tool_choice"], "function") {
        let is_there = list(&body["tools"]).any(|tool| tool["name"] == name.as_str());
        checks.need(
            is_there,
            "tool_choice",
            "tool_choice",
            &format!("Tool choice 'function' {name} not found in 'tools' parameter."),
        );
        // Nested, as in chat, is another family's spelling.
        checks.need(
            body["tool_choice"]["function"].is_null(),
            "tool_choice",
            "tool_choice",
            "Unknown parameter: 'tool_choice.function'.",
        );
    }
    let format = &body["text"]["format"];
    if format["type"] == "json_schema" {
        items::name(format["name"].as_str().unwrap_or_default(), "text.format.name", checks);
        schema_rules(format, "text.format.schema", checks);
    }
    if format["type"] == "json_object" {
        let is_said = body["input"].to_string().to_lowercase().contains("json");
        checks.need(
            is_said,
            "json_word",
            "input",
            "The input must contain the word 'json' for 'text.format' of type 'json_object'.",
        );
    }
}

fn thinking(reasoning: &Value) -> Thinking {
    let asked = reasoning["effort"].as_str().is_some_and(|effort| effort != "none") || reasoning["summary"].is_string();
    match (asked, reasoning["summary"].is_string()) {
        (false, _) => Thinking::Off,
        (true, false) => Thinking::Silent,
        (true, true) => Thinking::Shown,
    }
}

fn format(format: &Value) -> Format {
    match format["type"].as_str() {
        Some("json_object") => Format::Json,
        Some("json_schema") => Format::Schema(format["schema"].clone()),
        _ => Format::Text,
    }
}

fn params(body: &Value) -> Map<String, Value> {
    let names = [
        "temperature",
        "top_p",
        "top_logprobs",
        "user",
        "service_tier",
        "prompt_cache_key",
        "metadata",
        "tool_choice",
        "parallel_tool_calls",
        "truncation",
    ];
    let mut found: Map<String, Value> = names
        .iter()
        .filter(|name| !body[**name].is_null())
        .map(|name| ((*name).to_owned(), body[*name].clone()))
        .collect();
    for (name, value) in [
        ("max_tokens", &body["max_output_tokens"]),
        ("reasoning_effort", &body["reasoning"]["effort"]),
        ("verbosity", &body["text"]["verbosity"]),
    ] {
        if !value.is_null() {
            found.insert(name.to_owned(), json!(value));
        }
    }
    found
}

pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
