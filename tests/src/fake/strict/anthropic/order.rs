//! What Anthropic refuses about the order of a conversation: who begins, which result follows which call, and thoughts
//! that must come back as they were signed.

use serde_json::Value;

use super::super::Checks;
use super::super::sign;
use super::read::{list, text};

pub fn check(body: &Value, checks: &mut Checks) {
    let messages: Vec<&Value> = list(&body["messages"]).collect();
    checks.need(!messages.is_empty(), "messages", "messages", "at least one message is required");
    checks.need(
        messages.first().is_none_or(|first| first["role"] == "user"),
        "first_role",
        "messages.0",
        "first message must use the \"user\" role",
    );
    let model = body["model"].as_str().unwrap_or_default();
    let mut ids: Vec<String> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let place = format!("messages.{at}");
        content(message, at + 1 == messages.len(), &place, checks);
        if message["role"] == "assistant" {
            calls(message, messages.get(at + 1).copied(), &place, &mut ids, checks);
            thoughts(message, model, &place, checks);
        } else {
            let before = at.checked_sub(1).and_then(|before| messages.get(before)).copied();
            results(message, before, &place, checks);
        }
    }
    texts(&body["system"], "system", checks);
    none_is_missing(body, &messages, checks);
    if body["thinking"]["type"] == "enabled" {
        loop_is_thought(&messages, checks);
    }
}

fn content(message: &Value, is_last: bool, at: &str, checks: &mut Checks) {
    let is_empty = match &message["content"] {
        Value::String(text) => text.is_empty(),
        Value::Array(blocks) => blocks.is_empty(),
        _ => false,
    };
    let may_be_empty = is_last && message["role"] == "assistant";
    checks.need(
        !is_empty || may_be_empty,
        "empty",
        at,
        "all messages must have non-empty content except for the optional final assistant message",
    );
    texts(&message["content"], &format!("{at}.content"), checks);
    if is_last && message["role"] == "assistant" {
        let last = message["content"].as_str().or_else(|| list(&message["content"]).last()?["text"].as_str());
        let is_trimmed = last.is_none_or(|text| text == text.trim_end());
        checks.need(is_trimmed, "trailing_space", at, "final assistant content cannot end with trailing whitespace");
    }
    for (index, block) in list(&message["content"]).enumerate() {
        let at = format!("{at}.content.{index}");
        let kind = block["type"].as_str().unwrap_or_default();
        let is_answer = matches!(kind, "tool_use" | "thinking" | "redacted_thinking");
        let is_question = matches!(kind, "tool_result" | "image");
        let is_assistant = message["role"] == "assistant";
        checks.need(
            !(is_answer && !is_assistant || is_question && is_assistant),
            "block_role",
            &at,
            &format!("`{kind}` blocks are not permitted in messages of this role"),
        );
        if kind == "tool_result" {
            texts(&block["content"], &at, checks);
        }
    }
}

fn texts(content: &Value, at: &str, checks: &mut Checks) {
    for (index, block) in list(content).enumerate() {
        let is_empty = block["type"] == "text" && block["text"].as_str().is_some_and(str::is_empty);
        checks.need(!is_empty, "empty_text", &format!("{at}.{index}"), "text content blocks must be non-empty");
        let is_blank = block["type"] == "text"
            && block["text"].as_str().is_some_and(|text| !text.is_empty() && text.trim().is_empty());
        checks.need(
            !is_blank,
            "empty_text",
            &format!("{at}.{index}"),
            "text content blocks must contain non-whitespace text",
        );
    }
}

fn ids_of<'a>(message: &'a Value, kind: &'a str, field: &'a str) -> impl Iterator<Item = String> + 'a {
    list(&message["content"]).filter(move |block| block["type"] == kind).map(move |block| text(&block[field]))
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn calls(message: &Value, next: Option<&Value>, at: &str, ids: &mut Vec<String>, checks: &mut Checks) {
    for (index, block) in list(&message["content"]).enumerate().filter(|(_, block)| block["type"] == "tool_use") {
        let at = format!("{at}.content.{index}.tool_use");
        let id = text(&block["id"]);
        checks.need(is_id(&id), "id", &format!("{at}.id"), "String should match pattern '^[a-zA-Z0-9_-]+$'");
        checks.need(!ids.contains(&id), "id_unique", &at, "`tool_use` ids must be unique");
        ids.push(id);
        let name = block["name"].as_str().unwrap_or_default();
        let is_name = (1..=200).contains(&name.len()) && is_id(name);
        checks.need(is_name, "name", &format!("{at}.name"), "String should match pattern '^[a-zA-Z0-9_-]{1,200}$'");
    }
    let answered: Vec<String> =
        next.map(|next| ids_of(next, "tool_result", "tool_use_id").collect()).unwrap_or_default();
    let missing: Vec<String> = ids_of(message, "tool_use", "id").filter(|id| !answered.contains(id)).collect();
    checks.need(
        missing.is_empty(),
        "tool_order",
        at,
        &format!("`tool_use` ids without `tool_result` blocks immediately after: {}", missing.join(", ")),
    );
}

fn results(message: &Value, before: Option<&Value>, at: &str, checks: &mut Checks) {
    let called: Vec<String> = before.map(|before| ids_of(before, "tool_use", "id").collect()).unwrap_or_default();
    let mut seen: Vec<String> = Vec::new();
    for id in ids_of(message, "tool_result", "tool_use_id") {
        checks.need(
            called.contains(&id),
            "tool_order",
            at,
            &format!("unexpected `tool_use_id` in a `tool_result` block: {id}"),
        );
        checks.need(!seen.contains(&id), "tool_order", at, &format!("more than one `tool_result` with the id {id}"));
        seen.push(id);
    }
    let kinds: Vec<bool> = list(&message["content"]).map(|block| block["type"] == "tool_result").collect();
    let is_first = kinds.is_sorted_by(|one, next| one >= next);
    checks.need(is_first, "results_first", at, "`tool_result` blocks must come first in the content of a message.");
}

/// Thoughts are what was signed: text, model and the calls that follow.
fn thoughts(message: &Value, model: &str, at: &str, checks: &mut Checks) {
    let blocks: Vec<&Value> = list(&message["content"]).collect();
    for (index, block) in blocks.iter().enumerate() {
        let at = format!("{at}.content.{index}");
        let names: Vec<String> = blocks[index + 1..]
            .iter()
            .take_while(|block| !is_thought(block))
            .filter(|block| block["type"] == "tool_use")
            .map(|block| text(&block["name"]))
            .collect();
        match block["type"].as_str() {
            Some("thinking") => {
                let signature = signed(&text(&block["thinking"]), model, &names);
                checks.need(
                    block["signature"] == signature.as_str(),
                    "signature",
                    &at,
                    "Invalid `signature` in `thinking` block",
                );
            }
            Some("redacted_thinking") => {
                let data = redacted(model, &names);
                checks.need(
                    block["data"] == data.as_str(),
                    "signature",
                    &at,
                    "Invalid `data` in `redacted_thinking` block",
                );
            }
            _ => {}
        }
    }
}

/// In the round of tools that is going on, what was thought about here should come back with its thought. With adaptive
/// thinking the provider does without, and answers worse.
fn none_is_missing(body: &Value, messages: &[&Value], checks: &mut Checks) {
    if !matches!(body["thinking"]["type"].as_str(), Some("enabled" | "adaptive")) {
        return;
    }
    let is_question =
        |message: &&Value| message["role"] == "user" && ids_of(message, "tool_result", "tool_use_id").next().is_none();
    let begin = messages.iter().rposition(is_question).unwrap_or(0);
    for message in &messages[begin..] {
        let was_thought = list(&message["content"]).any(|block| {
            block["type"] == "tool_use"
                && sign::was_thought(block["id"].as_str().unwrap_or_default(), "toolu_01") == Some(true)
        });
        if was_thought && !list(&message["content"]).any(is_thought) {
            checks.dummies += 1;
        }
    }
}

fn is_thought(block: &Value) -> bool {
    matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"))
}

/// With thinking switched on by a budget, the turn that called the tools begins with its thought.
fn loop_is_thought(messages: &[&Value], checks: &mut Checks) {
    let is_result = messages.last().is_some_and(|last| ids_of(last, "tool_result", "tool_use_id").next().is_some());
    let last = messages.iter().rposition(|message| message["role"] == "assistant");
    let Some(at) = last.filter(|_| is_result) else { return };
    let first = list(&messages[at]["content"]).next();
    let is_good = first.is_some_and(is_thought);
    checks.need(
        is_good,
        "thinking_first",
        &format!("messages.{at}.content.0.type"),
        "With `thinking` enabled, the last assistant message must start with a thinking block",
    );
}

/// The signature of a thought in front of the calls of these names. Their ids are not in it: callers may change those.
pub fn signed(text: &str, model: &str, names: &[String]) -> String {
    sign::signature(&["thinking", model, text, &names.join(" ")])
}

/// A thought that nobody may see.
pub fn redacted(model: &str, names: &[String]) -> String {
    sign::signature(&["redacted", model, &names.join(" ")])
}
