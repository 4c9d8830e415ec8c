//! What OpenAI refuses about a chat request beyond names and types of fields.

use serde_json::Value;

use super::super::Checks;
use super::super::talk::Choice;
use super::read::{list, text, texts, tool_choice};

/// Letters of a call's id.
const LONGEST_ID: usize = 40;

/// What is refused beyond types and names.
pub fn check(body: &Value, checks: &mut Checks) {
    let both = !body["max_tokens"].is_null() && !body["max_completion_tokens"].is_null();
    checks.need(
        !both,
        "token_limits",
        "max_tokens",
        "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
    );
    checks.need(
        texts(&body["stop"]).len() <= 4,
        "stop",
        "stop",
        "Invalid 'stop': array too long. Expected an array with maximum length 4.",
    );
    sampling(body, checks);
    checks.need(
        body["stream_options"].is_null() || body["stream"] == true,
        "stream_options",
        "stream_options",
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
    );
    checks.need(
        body["top_logprobs"].is_null() || body["logprobs"] == true,
        "logprobs",
        "top_logprobs",
        "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
    );
    tool_rules(body, checks);
    if body["response_format"]["type"] == "json_schema" {
        let format = &body["response_format"]["json_schema"];
        names(format["name"].as_str().unwrap_or_default(), "response_format.json_schema.name", checks);
        schema_rules(format, "response_format.json_schema.schema", checks);
    }
    if body["response_format"]["type"] == "json_object" {
        let is_said = body["messages"].to_string().to_lowercase().contains("json");
        checks.need(
            is_said,
            "json_word",
            "messages",
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        );
    }
    checks.need(list(&body["messages"]).next().is_some(), "messages", "messages", "Invalid 'messages': empty array.");
    order(body, checks);
}

fn sampling(body: &Value, checks: &mut Checks) {
    for (name, least, most) in [
        ("temperature", 0.0, 2.0),
        ("top_p", 0.0, 1.0),
        ("presence_penalty", -2.0, 2.0),
        ("frequency_penalty", -2.0, 2.0),
        ("n", 1.0, 128.0),
        ("max_tokens", 1.0, f64::MAX),
        ("max_completion_tokens", 1.0, f64::MAX),
        ("top_logprobs", 0.0, 20.0),
    ] {
        let value = body[name].as_f64();
        let holds = value.is_none_or(|value| (least..=most).contains(&value));
        checks.need(holds, "range", name, &format!("Invalid '{name}': out of range."));
    }
}

fn tool_rules(body: &Value, checks: &mut Checks) {
    let tools = body["tools"].as_array();
    checks.need(
        tools.is_none_or(|tools| !tools.is_empty()),
        "tools",
        "tools",
        "Invalid 'tools': empty array. Expected an array with minimum length 1.",
    );
    for (at, tool) in list(&body["tools"]).enumerate() {
        let function = &tool["function"];
        names(function["name"].as_str().unwrap_or_default(), &format!("tools[{at}].function.name"), checks);
        strict_schema(function, "parameters", &format!("tools[{at}].function.parameters"), checks);
    }
    let choice = !body["tool_choice"].is_null() && body["tool_choice"] != "none";
    checks.need(
        !choice || tools.is_some() || body["functions"].is_array(),
        "tool_choice",
        "tool_choice",
        "'tool_choice' is only allowed when 'tools' are specified.",
    );
    checks.need(
        body["parallel_tool_calls"].is_null() || tools.is_some(),
        "parallel_tool_calls",
        "parallel_tool_calls",
        "'parallel_tool_calls' is only allowed when 'tools' are specified.",
    );
    if let Choice::Named(name) = tool_choice(&body["tool_choice"], "function") {
        let is_there = list(&body["tools"]).any(|tool| tool["function"]["name"] == name.as_str());
        checks.need(is_there, "tool_choice", "tool_choice", "The tool in 'tool_choice' is not in 'tools'.");
    }
}

/// Names of tools, and of formats.
fn names(name: &str, at: &str, checks: &mut Checks) {
    let is_good = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    checks.need(is_good, "name", at, &format!("Invalid '{at}': expected the pattern '^[a-zA-Z0-9_-]{{1,64}}$'."));
}

/// What a schema must be when it is to be kept strictly.
pub fn strict_schema(holder: &Value, field: &str, at: &str, checks: &mut Checks) {
    if holder["strict"] == true {
        closed(&holder[field], at, checks);
    }
    let schema = &holder[field];
    let is_object = schema.is_null() || schema["type"] == "object" || schema["type"].is_null();
    checks.need(
        is_object,
        "schema",
        at,
        &format!("Invalid schema for '{at}': schema must be a JSON Schema of 'type: \"object\"'."),
    );
}

/// The rules of a format with a schema.
pub fn schema_rules(format: &Value, at: &str, checks: &mut Checks) {
    checks.need(format["schema"].is_object(), "schema", at, &format!("Missing required parameter: '{at}'."));
    strict_schema(format, "schema", at, checks);
}

fn closed(schema: &Value, at: &str, checks: &mut Checks) {
    if let Some(properties) = schema["properties"].as_object() {
        checks.need(
            schema["additionalProperties"] == false,
            "strict_schema",
            at,
            &format!("Invalid schema for '{at}': 'additionalProperties' is required to be supplied and to be false."),
        );
        let required: Vec<&str> = list(&schema["required"]).filter_map(Value::as_str).collect();
        let is_full = properties.keys().all(|name| required.contains(&name.as_str()));
        checks.need(
            is_full,
            "strict_schema",
            at,
            &format!("Invalid schema for '{at}': 'required' must name every property."),
        );
        for (name, property) in properties {
            closed(property, &format!("{at}.{name}"), checks);
        }
    }
    for (name, group) in [("$defs", &schema["$defs"]), ("definitions", &schema["definitions"])] {
        for (key, definition) in group.as_object().into_iter().flatten() {
            closed(definition, &format!("{at}.{name}.{key}"), checks);
        }
    }
    if schema["items"].is_object() {
        closed(&schema["items"], &format!("{at}.items"), checks);
    }
    for (index, option) in list(&schema["anyOf"]).enumerate() {
        closed(option, &format!("{at}.anyOf[{index}]"), checks);
    }
}

/// Every call is answered before anybody else speaks.
fn order(body: &Value, checks: &mut Checks) {
    let mut open: Vec<String> = Vec::new();
    let missing =
        |open: &[String]| format!("Calls of an assistant message without tool messages behind it: {}", open.join(", "));
    for (at, message) in list(&body["messages"]).enumerate() {
        let at = format!("messages[{at}]");
        if message["role"] == "tool" {
            let id = text(&message["tool_call_id"]);
            match open.iter().position(|one| *one == id) {
                Some(found) => drop(open.remove(found)),
                None => checks.no(
                    "tool_order",
                    &at,
                    "A message with role 'tool' must answer a preceding message with 'tool_calls'.",
                ),
            }
            continue;
        }
        if !open.is_empty() {
            checks.no("tool_order", &at, &missing(&open));
            open.clear();
        }
        if message["role"] == "assistant" {
            calls(message, &at, &mut open, checks);
        }
    }
    if !open.is_empty() {
        checks.no("tool_order", "messages", &missing(&open));
    }
}

fn calls(message: &Value, at: &str, open: &mut Vec<String>, checks: &mut Checks) {
    let has_calls = list(&message["tool_calls"]).next().is_some();
    let has_content = ["content", "refusal", "audio", "function_call"].iter().any(|name| !message[*name].is_null());
    checks.need(
        has_calls || has_content,
        "empty",
        at,
        "Invalid assistant message: content, tool_calls or refusal must be set.",
    );
    checks.need(
        message["tool_calls"].as_array().is_none_or(|calls| !calls.is_empty()),
        "empty",
        at,
        &format!("Invalid '{at}.tool_calls': empty array. Expected an array with minimum length 1."),
    );
    for (index, call) in list(&message["tool_calls"]).enumerate() {
        let at = format!("{at}.tool_calls[{index}]");
        let id = text(&call["id"]);
        checks.need(
            id.len() <= LONGEST_ID,
            "id_length",
            &format!("{at}.id"),
            &format!("Invalid '{at}.id': string too long, at most {LONGEST_ID} but {}.", id.len()),
        );
        checks.need(!id.is_empty() && !open.contains(&id), "id_unique", &at, "The ids of tool calls must be unique.");
        names(call["function"]["name"].as_str().unwrap_or("custom"), &format!("{at}.function.name"), checks);
        let arguments = call["function"]["arguments"].as_str().unwrap_or("{}");
        let is_json = serde_json::from_str::<Value>(arguments).is_ok_and(|value| value.is_object());
        checks.need(
            is_json,
            "arguments",
            &format!("{at}.function.arguments"),
            "The arguments of a call must be the text of a JSON object.",
        );
        open.push(id);
    }
}
