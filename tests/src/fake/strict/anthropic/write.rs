//! Writes messages, whole and as blocks that begin, grow and end.

use serde_json::{Value, json};

use super::super::Reply;
use super::super::brain::{Finish, Look, pieces};
use super::super::json::{raw, text};
use super::super::serve::event;
use super::super::truth::Truth;
use super::order::{redacted, signed};

/// What a message is made of.
enum Block<'a> {
    Thinking { text: &'a str, signature: String },
    Redacted { data: String },
    Text(&'a str),
    Call { id: String, name: &'a str, arguments: &'a str },
}

fn blocks<'a>(reply: &'a Reply<'_>) -> Vec<Block<'a>> {
    let answer = reply.answer;
    let ids: Vec<String> = (0..answer.calls.len()).map(|at| format!("toolu_01{}", reply.mark(0, at))).collect();
    let names: Vec<String> = answer.calls.iter().map(|call| call.name.clone()).collect();
    let model = &reply.talk.model;
    let mut blocks = Vec::new();
    if let Some(thought) = &answer.thought {
        let text = if thought.look == Look::Shown { thought.text.as_str() } else { "" };
        blocks.push(match thought.look {
            Look::Redacted => Block::Redacted { data: redacted(model, &names) },
            _ => Block::Thinking { text, signature: signed(text, model, &names) },
        });
    }
    let said = &answer.choices[0];
    if !said.text.is_empty() && !matches!(said.finish, Finish::Refused) {
        blocks.push(Block::Text(&said.text));
    }
    for (call, id) in answer.calls.iter().zip(ids) {
        blocks.push(Block::Call { id, name: &call.name, arguments: &call.arguments });
    }
    blocks
}

pub fn whole(reply: &Reply<'_>) -> Value {
    let content: Vec<Value> = blocks(reply).iter().map(block).collect();
    let mut message = message(reply, json!(content), reply.truth);
    let usage = json!(reply.truth.output());
    message["usage"]["output_tokens"] = usage;
    message["usage"]["output_tokens_details"] = json!({"thinking_tokens": reply.truth.reasoning});
    for (name, value) in stop(reply).as_object().into_iter().flatten() {
        message[name] = value.clone();
    }
    message
}

fn block(block: &Block<'_>) -> Value {
    match block {
        Block::Thinking { text, signature } => json!({"type": "thinking", "thinking": text, "signature": signature}),
        Block::Redacted { data } => json!({"type": "redacted_thinking", "data": data}),
        Block::Text(text) => json!({"type": "text", "text": text}),
        Block::Call { id, name, arguments } => {
            // A whole answer cannot hold half an object.
            let is_whole = serde_json::from_str::<Value>(arguments).is_ok();
            let input = if is_whole { raw(arguments) } else { json!({}) };
            json!({"type": "tool_use", "id": id, "name": name, "input": input, "caller": {"type": "direct"}})
        }
    }
}

fn message(reply: &Reply<'_>, content: Value, truth: Truth) -> Value {
    json!({
        "id": reply.id, "type": "message", "role": "assistant", "model": reply.model(), "content": content,
        "stop_reason": null, "stop_sequence": null, "stop_details": null,
        "usage": {
            "input_tokens": truth.prompt, "cache_creation_input_tokens": truth.cache_write + truth.cache_write_1h,
            "cache_read_input_tokens": truth.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": truth.cache_write, "ephemeral_1h_input_tokens": truth.cache_write_1h,
            },
            "output_tokens": 1, "service_tier": "standard", "inference_geo": "not_available",
        },
    })
}

/// Why it stopped.
fn stop(reply: &Reply<'_>) -> Value {
    let (reason, word) = match &reply.answer.choices[0].finish {
        Finish::Stop => ("end_turn", None),
        Finish::Word(word) => ("stop_sequence", Some(word)),
        Finish::Length => ("max_tokens", None),
        Finish::Calls => ("tool_use", None),
        Finish::Refused | Finish::Blocked => ("refusal", None),
    };
    let details = (reason == "refusal").then(
        || json!({"type": "refusal", "category": "cyber", "explanation": "The strict provider was asked to refuse."}),
    );
    json!({"stop_reason": reason, "stop_sequence": word, "stop_details": details})
}

/// One event, padded as Anthropic pads.
fn padded(data: &Value) -> Vec<u8> {
    let name = data["type"].as_str().unwrap_or_default();
    let mut text = text(data);
    let spaces = text.len() % 7 * 2;
    text.insert_str(text.len() - 1, &" ".repeat(spaces));
    event(Some(name), &text)
}

pub fn frames(reply: &Reply<'_>) -> Vec<Vec<u8>> {
    let truth = reply.truth;
    let mut frames = vec![padded(&json!({"type": "message_start", "message": message(reply, json!([]), truth)}))];
    let blocks = blocks(reply);
    for (at, block) in blocks.iter().enumerate() {
        frames.push(padded(&json!({"type": "content_block_start", "index": at, "content_block": begin(block)})));
        if at == 0 {
            frames.push(event(Some("ping"), r#"{"type": "ping"}"#));
        }
        for delta in deltas(block) {
            frames.push(padded(&json!({"type": "content_block_delta", "index": at, "delta": delta})));
        }
        frames.push(padded(&json!({"type": "content_block_stop", "index": at})));
    }
    if blocks.is_empty() {
        frames.push(event(Some("ping"), r#"{"type": "ping"}"#));
    }
    let usage = json!({
        "input_tokens": truth.prompt, "cache_creation_input_tokens": truth.cache_write + truth.cache_write_1h,
        "cache_read_input_tokens": truth.cache_read, "output_tokens": truth.output(),
        "output_tokens_details": {"thinking_tokens": truth.reasoning},
    });
    frames.push(padded(&json!({"type": "message_delta", "delta": stop(reply), "usage": usage})));
    frames.push(padded(&json!({"type": "message_stop"})));
    frames
}

fn begin(block: &Block<'_>) -> Value {
    match block {
        Block::Thinking { .. } => json!({"type": "thinking", "thinking": "", "signature": ""}),
        Block::Redacted { data } => json!({"type": "redacted_thinking", "data": data}),
        Block::Text(_) => json!({"type": "text", "text": ""}),
        Block::Call { id, name, .. } => {
            json!({"type": "tool_use", "id": id, "name": name, "input": {}, "caller": {"type": "direct"}})
        }
    }
}

fn deltas(block: &Block<'_>) -> Vec<Value> {
    match block {
        Block::Redacted { .. } => Vec::new(),
        Block::Text(text) => {
            pieces(text).into_iter().map(|piece| json!({"type": "text_delta", "text": piece})).collect()
        }
        Block::Thinking { text, signature } => {
            let mut deltas: Vec<Value> = pieces(text)
                .into_iter()
                .filter(|piece| !piece.is_empty())
                .map(|piece| json!({"type": "thinking_delta", "thinking": piece}))
                .collect();
            deltas.push(json!({"type": "signature_delta", "signature": signature}));
            deltas
        }
        Block::Call { arguments, .. } => {
            let mut deltas = vec![json!({"type": "input_json_delta", "partial_json": ""})];
            // No input at all is told by nothing more.
            if *arguments != "{}" {
                deltas.extend(
                    pieces(arguments)
                        .into_iter()
                        .map(|piece| json!({"type": "input_json_delta", "partial_json": piece})),
                );
            }
            deltas
        }
    }
}
