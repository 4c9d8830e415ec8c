//! The strict provider proves itself: what real clients sent to real providers breaks no rule, what breaks a rule is
//! named, and all four families say the same.

mod others;
mod recorded;
mod refusals;
mod talks;

use serde_json::{Value, json};

use super::Seen;
use super::serve::{Body, Out, answer};
use crate::fake::wire::Asked;

fn asked(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Asked {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Asked { method: "POST".to_owned(), path: path.to_owned(), headers, body: body.to_vec(), ..Asked::default() }
}

/// Asks a family as its clients do.
fn ask_at(path: &str, body: &Value) -> (Seen, Out) {
    let headers = [
        ("content-type", "application/json"),
        ("authorization", "Bearer sk-1"),
        ("x-goog-api-key", "sk-1"),
        ("anthropic-version", "2023-06-01"),
    ];
    answer(asked(path, &headers, body.to_string().as_bytes()), 0)
}

const CHAT: &str = "/strict/openai/v1/chat/completions";

const RESPONSES: &str = "/strict/responses/v1/responses";

const MESSAGES: &str = "/strict/anthropic/v1/messages";

const GENERATE: &str = "/strict/gemini/v1beta/models/gemini-strict-3:generateContent";

const STREAM: &str = "/strict/gemini/v1beta/models/gemini-strict-3:streamGenerateContent?alt=sse";

fn whole(out: &Out) -> Value {
    match &out.body {
        Body::Whole(bytes) => serde_json::from_slice(bytes).unwrap(),
        Body::Stream(_) => panic!("a stream"),
    }
}

/// The data of every event, whatever the line ends.
fn events(out: &Out) -> Vec<Value> {
    let Body::Stream(frames) = &out.body else { panic!("no stream but {}", whole(out)) };
    let text = String::from_utf8(frames.concat()).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// A request without a fault, which is answered.
#[track_caller]
fn good(path: &str, body: &Value) -> (Seen, Out) {
    let (seen, out) = ask_at(path, body);
    assert_eq!(seen.violations, [], "{body:#}");
    assert_eq!(out.status, 200);
    (seen, out)
}

/// The rules that a request breaks; the answer must be a refusal.
#[track_caller]
fn rules(path: &str, body: &Value) -> Vec<&'static str> {
    let (seen, out) = ask_at(path, body);
    assert_eq!(out.status, 400, "{body:#}");
    seen.violations.iter().map(|one| one.rule).collect()
}

/// The same body with one place changed.
fn with(body: &Value, place: &str, value: Value) -> Value {
    let mut changed = body.clone();
    match changed.pointer_mut(place) {
        Some(found) => *found = value,
        None => {
            let (parent, name) = place.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap()[name] = value;
        }
    }
    changed
}

fn plain(path: &str, text: &str) -> Value {
    match path {
        CHAT => json!({"model": "m", "messages": [{"role": "user", "content": text}]}),
        RESPONSES => json!({"model": "m", "input": text, "store": false, "include": ["reasoning.encrypted_content"]}),
        MESSAGES => json!({"model": "m", "max_tokens": 4_000, "messages": [{"role": "user", "content": text}]}),
        _ => json!({"contents": [{"role": "user", "parts": [{"text": text}]}]}),
    }
}

fn weather() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
}

fn with_tools(path: &str, body: Value) -> Value {
    let tool = |schema: &str| json!({"name": "get_weather", "description": "Weather", schema: weather()});
    match path {
        CHAT => with(&body, "/tools", json!([{"type": "function", "function": tool("parameters")}])),
        RESPONSES => {
            let flat = with(&tool("parameters"), "/type", json!("function"));
            with(&body, "/tools", json!([flat]))
        }
        MESSAGES => with(&body, "/tools", json!([tool("input_schema")])),
        _ => with(&body, "/tools", json!([{"functionDeclarations": [tool("parametersJsonSchema")]}])),
    }
}

fn thinking(path: &str, body: &Value) -> Value {
    match path {
        CHAT => with(body, "/reasoning_effort", json!("low")),
        RESPONSES => with(body, "/reasoning", json!({"effort": "low", "summary": "auto"})),
        MESSAGES => with(body, "/thinking", json!({"type": "enabled", "budget_tokens": 1_024})),
        _ => with(body, "/generationConfig", json!({"thinkingConfig": {"includeThoughts": true}})),
    }
}

/// The text of a whole answer.
fn said(path: &str, answer: &Value) -> String {
    let texts = |list: &Value, field: &str| -> String {
        list.as_array()
            .into_iter()
            .flatten()
            .filter(|part| part["thought"] != true)
            .filter_map(|part| part[field].as_str())
            .collect()
    };
    match path {
        CHAT => answer["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned(),
        RESPONSES => answer["output"].as_array().unwrap().iter().map(|item| texts(&item["content"], "text")).collect(),
        MESSAGES => texts(&answer["content"], "text"),
        _ => texts(&answer["candidates"][0]["content"]["parts"], "text"),
    }
}

/// The conversation as a good client carries it on: what was answered goes back as it was, the calls with results.
fn carried_on(path: &str, body: &Value, answer: &Value, results: &[&str], next: Option<&str>) -> Value {
    let mut body = body.clone();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    match path {
        CHAT => {
            let message = &answer["choices"][0]["message"];
            let messages = body["messages"].as_array_mut().unwrap();
            messages.push(message.clone());
            for (call, result) in list(&message["tool_calls"]).iter().zip(results) {
                messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": result}));
            }
            messages.extend(next.map(|text| json!({"role": "user", "content": text})));
        }
        RESPONSES => {
            let mut input = match &body["input"] {
                Value::String(text) => vec![json!({"role": "user", "content": text})],
                other => list(other),
            };
            input.extend(list(&answer["output"]));
            let calls = list(&answer["output"]).into_iter().filter(|item| item["type"] == "function_call");
            for (call, result) in calls.zip(results) {
                input.push(json!({"type": "function_call_output", "call_id": call["call_id"], "output": result}));
            }
            input.extend(next.map(|text| json!({"role": "user", "content": text})));
            body["input"] = json!(input);
        }
        MESSAGES => {
            let messages = body["messages"].as_array_mut().unwrap();
            messages.push(json!({"role": "assistant", "content": answer["content"]}));
            let calls = list(&answer["content"]).into_iter().filter(|block| block["type"] == "tool_use");
            let mut content: Vec<Value> = calls
                .zip(results)
                .map(|(call, result)| json!({"type": "tool_result", "tool_use_id": call["id"], "content": result}))
                .collect();
            content.extend(next.map(|text| json!({"type": "text", "text": text})));
            if !content.is_empty() {
                messages.push(json!({"role": "user", "content": content}));
            }
        }
        _ => {
            let content = &answer["candidates"][0]["content"];
            let contents = body["contents"].as_array_mut().unwrap();
            contents.push(content.clone());
            let calls = list(&content["parts"]).into_iter().filter(|part| part["functionCall"].is_object());
            let mut parts: Vec<Value> = calls
                .zip(results)
                .map(|(part, result)| {
                    let call = &part["functionCall"];
                    json!({"functionResponse": {"id": call["id"], "name": call["name"], "response": {"output": result}}})
                })
                .collect();
            parts.extend(next.map(|text| json!({"text": text})));
            if !parts.is_empty() {
                contents.push(json!({"role": "user", "parts": parts}));
            }
        }
    }
    body
}

const TALKS: [&str; 4] = [CHAT, RESPONSES, MESSAGES, GENERATE];
