//! Lines of the checklist of translation that concern every family alike, tried from every client to every provider. What
//! one family has for itself stands in its dialect's own tests. Here are the words in which the four families say one thing.

mod answers;
mod requests;
mod streams;

use std::collections::{BTreeMap, BTreeSet};

use codec::{BodyFault, Losses};
use serde_json::{Value, json};

use crate::edits::dialect;
use crate::pairs::{self, Pair};

const CHAT: &str = "openai-chat";
const RESPONSES: &str = "openai-responses";
const ANTHROPIC: &str = "anthropic";
const GEMINI: &str = "gemini";
/// The families of clients.
const CLIENTS: [&str; 4] = [CHAT, RESPONSES, ANTHROPIC, GEMINI];

/// Every provider that a client of this family may reach.
fn providers(client: &str) -> Vec<Pair> {
    let all: Vec<Pair> = pairs::all().into_iter().filter(|(from, _)| from.id == client).collect();
    assert!(all.len() >= 5, "{client} reaches only {} families", all.len());
    all
}

/// Those of another family.
fn foreign(client: &str) -> Vec<Pair> {
    providers(client).into_iter().filter(|(from, to)| from != to).collect()
}

fn send(pair: Pair, body: &str, is_stream: bool) -> Result<(String, Losses), BodyFault> {
    let sent = pairs::request(pair, body.as_bytes(), Some("m"), is_stream)?;
    Ok((String::from_utf8(sent.body.into_bytes().to_vec()).unwrap(), sent.losses))
}

fn sent(pair: Pair, body: &Value) -> (Value, String) {
    let (text, losses) =
        send(pair, &body.to_string(), false).unwrap_or_else(|fault| panic!("{}: {fault}", named(pair)));
    (serde_json::from_str(&text).unwrap(), losses.to_string())
}

fn named((from, to): Pair) -> String {
    format!("{} to {}", from.id, to.id)
}

/// A question in this family's words, with more fields.
fn ask(client: &str, more: Value) -> Value {
    let mut body = match client {
        RESPONSES => json!({"model": "m", "input": "x"}),
        GEMINI => json!({"contents": [{"role": "user", "parts": [{"text": "x"}]}]}),
        ANTHROPIC => json!({"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "x"}]}),
        _ => json!({"model": "m", "messages": [{"role": "user", "content": "x"}]}),
    };
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// A chat request as clients of another family would write it.
fn spoken(client: &str, chat: &Value) -> Value {
    let pair = (dialect(CHAT), dialect(client));
    sent(pair, chat).0
}

/// Where the conversation is.
fn list(body: &Value) -> &Vec<Value> {
    ["messages", "input", "contents"].iter().find_map(|name| body[name].as_array()).unwrap()
}

/// Why an answer ended, in the words of a client's family.
fn reason(client: &str, answer: &Value) -> String {
    let word = match client {
        RESPONSES => match answer["status"].as_str() {
            Some("incomplete") => &answer["incomplete_details"]["reason"],
            _ => &answer["status"],
        },
        ANTHROPIC => &answer["stop_reason"],
        GEMINI => &answer["candidates"][0]["finishReason"],
        _ => &answer["choices"][0]["finish_reason"],
    };
    word.as_str().unwrap_or_else(|| panic!("no reason in {answer}")).to_owned()
}

fn is_good(client: &str, reason: &str) -> bool {
    match client {
        RESPONSES => reason == "completed",
        ANTHROPIC => matches!(reason, "end_turn" | "tool_use" | "stop_sequence"),
        GEMINI => reason == "STOP",
        _ => matches!(reason, "stop" | "tool_calls"),
    }
}

/// An answer of a provider's as each client sees it.
fn shown(provider: &str, answer: &Value) -> BTreeMap<&'static str, Value> {
    let edits = pairs::edits_for(b"");
    let of = |client: &'static str| {
        let whole = pairs::whole((dialect(client), dialect(provider)), answer.to_string().as_bytes(), &edits).unwrap();
        assert!(whole.tap.upstream_error().is_none(), "{provider} to {client}: {answer}");
        (client, serde_json::from_slice(&whole.body.into_bytes()).unwrap())
    };
    CLIENTS.into_iter().map(of).collect()
}

/// One short streamed answer of each family's providers, with usage.
fn streams() -> [(&'static str, String); 4] {
    let data = |value: Value| format!("data: {value}\n\n");
    let event = |value: Value| format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap());
    let chunk = |delta: Value, reason: Value| {
        data(json!({"id": "a", "created": 1, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}))
    };
    let usage = json!({"prompt_tokens": 30, "completion_tokens": 4, "total_tokens": 34, "prompt_tokens_details": {"cached_tokens": 20}});
    let chat = chunk(json!({"role": "assistant", "content": "x"}), json!(null))
        + &chunk(json!({}), json!("stop"))
        + &data(json!({"id": "a", "choices": [], "usage": usage}))
        + "data: [DONE]\n\n";
    let item = json!({"type": "message", "id": "i", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "x", "annotations": []}]});
    let response = json!({"id": "a", "created_at": 1, "status": "completed", "output": [item], "usage":
        {"input_tokens": 30, "input_tokens_details": {"cached_tokens": 20}, "output_tokens": 4, "total_tokens": 34}});
    let responses = event(
        json!({"type": "response.created", "sequence_number": 0, "response": {"id": "a", "created_at": 1, "status": "in_progress", "output": []}}),
    ) + &event(
        json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": {"type": "message", "id": "i", "role": "assistant", "content": []}}),
    ) + &event(
        json!({"type": "response.output_text.delta", "sequence_number": 2, "output_index": 0, "content_index": 0, "item_id": "i", "delta": "x"}),
    ) + &event(
        json!({"type": "response.output_item.done", "sequence_number": 3, "output_index": 0, "item": item}),
    ) + &event(json!({"type": "response.completed", "sequence_number": 4, "response": response}));
    let anthropic = event(json!({"type": "message_start", "message": {"id": "a", "content": [], "usage":
            {"input_tokens": 10, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 0, "output_tokens": 1}}}))
        + &event(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}))
        + &event(json!({"type": "ping"}))
        + &event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}))
        + &event(json!({"type": "content_block_stop", "index": 0}))
        + &event(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}}))
        + &event(json!({"type": "message_stop"}));
    let gemini = data(
        json!({"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}], "responseId": "a",
        "usageMetadata": {"promptTokenCount": 30, "cachedContentTokenCount": 20, "candidatesTokenCount": 4, "totalTokenCount": 34}}),
    );
    [(CHAT, chat), (RESPONSES, responses), (ANTHROPIC, anthropic), (GEMINI, gemini)]
}

type Calls = Vec<(String, Value)>;

fn parsed(names: Vec<String>, texts: &[String]) -> Calls {
    names.into_iter().zip(texts).map(|(name, text)| (name, serde_json::from_str(text).unwrap())).collect()
}

fn chat_calls(events: &[Value]) -> Calls {
    let (mut names, mut texts, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    let deltas = events.iter().filter_map(|event| event["choices"][0]["delta"]["tool_calls"].as_array()).flatten();
    for call in deltas {
        let at = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
        if at == names.len() {
            names.push(call["function"]["name"].as_str().unwrap().to_owned());
            ids.push(call["id"].as_str().unwrap());
            texts.push(String::new());
        } else {
            assert!(at < names.len(), "places count up: {call}");
            assert_eq!((call.get("id"), call["function"].get("name")), (None, None), "named twice: {call}");
        }
        texts[at] += call["function"]["arguments"].as_str().unwrap_or_default();
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    parsed(names, &texts)
}
