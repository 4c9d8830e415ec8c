//! What Anthropic refuses about headers, parameters, tools and schemas.

use serde_json::Value;

use super::super::shape;
use super::super::{Ask, Checks, Operation};
use super::fields::TOOL;
use super::read::{MANNER, list, schema};

/// The version that dropped the sampling parameters.
const NEWEST: &str = "2026-10-21";
const LEAST_BUDGET: u64 = 1_024;

pub fn check(ask: &Ask<'_>, checks: &mut Checks) {
    let body = &ask.body;
    version(ask, checks);
    if ask.operation == Operation::Talk {
        limits(body, checks);
    }
    sampling(body, checks);
    tools(body, checks);
    marks(body, checks);
    if let Some(schema) = schema(body) {
        output_schema(schema, "output_config.format.schema", checks);
    }
}

fn version(ask: &Ask<'_>, checks: &mut Checks) {
    match ask.header("anthropic-version") {
        "2023-06-01" => {}
        NEWEST => {
            for name in ["temperature", "top_p", "top_k"] {
                checks.need(
                    ask.body[name].is_null(),
                    "version",
                    name,
                    "Extra inputs are not permitted in version 2026-10-21",
                );
            }
            for (at, message) in list(&ask.body["messages"]).enumerate().filter(|(_, one)| one["role"] == "assistant") {
                let has = list(&message["content"]).any(|block| block["type"] == "document");
                checks.need(
                    !has,
                    "version",
                    &format!("messages.{at}.content"),
                    "Documents are not permitted in assistant messages",
                );
            }
        }
        "" => checks.no("version", "anthropic-version", "header is required"),
        _ => checks.no("version", "anthropic-version", "is not a valid version"),
    }
}

fn limits(body: &Value, checks: &mut Checks) {
    let most = body["max_tokens"].as_i64().unwrap_or(1);
    checks.need(most >= 1, "range", "max_tokens", "Input should be greater than or equal to 1");
    if body["thinking"]["type"] == "enabled" {
        let budget = body["thinking"]["budget_tokens"].as_u64().unwrap_or(0);
        checks.need(
            budget >= LEAST_BUDGET,
            "thinking_budget",
            "thinking.enabled.budget_tokens",
            "Input should be greater than or equal to 1024",
        );
        let is_below = i64::try_from(budget).is_ok_and(|budget| budget < most);
        checks.need(
            is_below,
            "thinking_budget",
            "max_tokens",
            "`max_tokens` must be greater than `thinking.budget_tokens`",
        );
        let kind = body["tool_choice"]["type"].as_str().unwrap_or("auto");
        checks.need(
            matches!(kind, "auto" | "none"),
            "thinking_choice",
            "tool_choice",
            "Thinking may not be enabled when tool_choice forces tool use.",
        );
    }
}

fn sampling(body: &Value, checks: &mut Checks) {
    for name in ["temperature", "top_p"] {
        let holds = body[name].as_f64().is_none_or(|value| (0.0..=1.0).contains(&value));
        checks.need(holds, "range", name, "range: 0..1");
    }
    if matches!(body["thinking"]["type"].as_str(), Some("enabled" | "adaptive")) {
        let is_one = body["temperature"].as_f64().is_none_or(|value| value == 1.0);
        checks.need(
            is_one,
            "thinking_sampling",
            "temperature",
            "`temperature` may only be set to 1 when thinking is enabled.",
        );
        let holds = body["top_p"].as_f64().is_none_or(|value| value >= 0.95);
        checks.need(
            holds,
            "thinking_sampling",
            "top_p",
            "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.",
        );
        checks.need(
            body["top_k"].is_null(),
            "thinking_sampling",
            "top_k",
            "`top_k` must be unset when thinking is enabled.",
        );
    }
    for (at, word) in list(&body["stop_sequences"]).enumerate() {
        let is_good = word.as_str().is_none_or(|word| !word.trim().is_empty());
        checks.need(is_good, "stop", &format!("stop_sequences.{at}"), "each stop sequence must contain non-whitespace");
    }
}

fn tools(body: &Value, checks: &mut Checks) {
    let mut known: Vec<&str> = Vec::new();
    for (at, tool) in list(&body["tools"]).enumerate() {
        let at = format!("tools.{at}");
        let name = tool["name"].as_str().unwrap_or_default();
        checks.need(!known.contains(&name), "tool_names", &at, "Tool names must be unique.");
        known.push(name);
        let is_own = tool["type"].is_null() || tool["type"] == "custom";
        if is_own {
            shape::check(tool, TOOL, MANNER, &at, checks);
            let is_good = (1..=64).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
            checks.need(
                is_good,
                "name",
                &format!("{at}.custom.name"),
                "String should match pattern '^[a-zA-Z0-9_-]{1,64}$'",
            );
            checks.need(
                tool["input_schema"]["type"] == "object",
                "schema",
                &format!("{at}.custom.input_schema.type"),
                "Field required",
            );
        }
    }
    let choice = &body["tool_choice"];
    checks.need(
        choice.is_null() || !known.is_empty(),
        "tool_choice",
        "tool_choice",
        "tool_choice may only be specified while providing tools.",
    );
    if choice["type"] == "tool" {
        let is_there = known.contains(&choice["name"].as_str().unwrap_or_default());
        checks.need(is_there, "tool_choice", "tool_choice", "Tool not found in provided tools");
    }
    let is_used = list(&body["messages"])
        .flat_map(|message| list(&message["content"]))
        .any(|block| matches!(block["type"].as_str(), Some("tool_use" | "tool_result")));
    checks.need(
        !is_used || !known.is_empty(),
        "tools",
        "tools",
        "Requests which have `tool_use` or `tool_result` blocks in `messages` must define tools.",
    );
}

/// At most four marks, the long-lived ones first.
fn marks(body: &Value, checks: &mut Checks) {
    let mut found: Vec<bool> = Vec::new();
    let mut look = |holder: &Value| {
        if let Some(cache) = holder["cache_control"].as_object() {
            found.push(cache.get("ttl").is_some_and(|ttl| ttl == "1h"));
        }
    };
    list(&body["tools"]).for_each(&mut look);
    list(&body["system"]).for_each(&mut look);
    for block in list(&body["messages"]).flat_map(|message| list(&message["content"])) {
        look(block);
        list(&block["content"]).for_each(&mut look);
    }
    look(body);
    checks.need(
        found.len() <= 4,
        "cache_marks",
        "cache_control",
        "A maximum of 4 blocks with cache_control may be provided.",
    );
    checks.need(
        found.is_sorted_by(|one, next| one >= next),
        "cache_marks",
        "cache_control",
        "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.",
    );
}

/// What structured output cannot hold to.
const UNSUPPORTED: [&str; 9] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
];

fn output_schema(schema: &Value, at: &str, checks: &mut Checks) {
    if schema["type"] == "object" || schema["properties"].is_object() {
        checks.need(
            schema["additionalProperties"] == false,
            "output_schema",
            at,
            "For 'object' type, 'additionalProperties' must be explicitly set to false",
        );
    }
    for word in UNSUPPORTED {
        checks.need(schema[word].is_null(), "output_schema", at, &format!("property '{word}' is not supported"));
    }
    checks.need(
        schema["minItems"].as_u64().is_none_or(|least| least <= 1),
        "output_schema",
        at,
        "For 'array' type, 'minItems' values other than 0 or 1 are not supported",
    );
    for group in ["properties", "$defs", "definitions"] {
        for (name, inner) in schema[group].as_object().into_iter().flatten() {
            output_schema(inner, &format!("{at}.{name}"), checks);
        }
    }
    for group in ["anyOf", "allOf"] {
        for inner in list(&schema[group]) {
            output_schema(inner, at, checks);
        }
    }
    if schema["items"].is_object() {
        output_schema(&schema["items"], &format!("{at}.items"), checks);
    }
}
