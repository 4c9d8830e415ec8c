//! Writes responses, whole and as events that count up.

use serde_json::{Value, json};

use super::super::brain::{Finish, Look, Said, pieces};
use super::super::command::Wanted;
use super::super::json::text;
use super::super::serve::event;
use super::super::sign::{self, Sealed};
use super::super::truth::Truth;
use super::super::{BROKEN, CREATED, Reply};

/// A piece of the output, and how it looks before, while and after it comes.
enum Item<'a> {
    Reasoning,
    Message(&'a Said),
    Call(usize, &'a Wanted),
}

fn items<'a>(reply: &'a Reply<'_>) -> Vec<Item<'a>> {
    let mut items = Vec::new();
    if reply.is_thought() {
        items.push(Item::Reasoning);
    }
    let said = &reply.answer.choices[0];
    if said.finish != Finish::Calls || !said.text.is_empty() {
        items.push(Item::Message(said));
    }
    items.extend(reply.answer.calls.iter().enumerate().map(|(at, call)| Item::Call(at, call)));
    items
}

pub fn whole(reply: &Reply<'_>) -> Value {
    response(reply, Phase::Done)
}

/// A whole answer that failed.
pub fn failed(reply: &Reply<'_>) -> Value {
    response(reply, Phase::Failed)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Begun,
    Done,
    Failed,
}

fn response(reply: &Reply<'_>, phase: Phase) -> Value {
    let body = &reply.ask.body;
    let finish = &reply.answer.choices[0].finish;
    let (status, reason) = match (phase, finish) {
        (Phase::Begun, _) => ("in_progress", None),
        (Phase::Failed, _) => ("failed", None),
        (Phase::Done, Finish::Length) => ("incomplete", Some("max_output_tokens")),
        (Phase::Done, Finish::Blocked) => ("incomplete", Some("content_filter")),
        (Phase::Done, _) => ("completed", None),
    };
    let output: Vec<Value> =
        if phase == Phase::Done { items(reply).iter().map(|item| done(reply, item, 2)).collect() } else { Vec::new() };
    let or = |name: &str, default: Value| if body[name].is_null() { default } else { body[name].clone() };
    json!({
        "id": reply.id, "object": "response", "created_at": CREATED, "status": status, "background": false,
        "completed_at": (phase == Phase::Done && status == "completed").then_some(CREATED + 1),
        "error": (phase == Phase::Failed).then(|| json!({"code": "server_error", "message": BROKEN})),
        "frequency_penalty": 0.0, "incomplete_details": reason.map(|reason| json!({"reason": reason})),
        "instructions": body["instructions"], "max_output_tokens": body["max_output_tokens"],
        "max_tool_calls": body["max_tool_calls"], "metadata": or("metadata", json!({})), "model": reply.model(), "output": output,
        "parallel_tool_calls": or("parallel_tool_calls", json!(true)), "presence_penalty": 0.0, "previous_response_id": null,
        "prompt_cache_key": body["prompt_cache_key"],
        "reasoning": {"effort": body["reasoning"]["effort"], "summary": body["reasoning"]["summary"]},
        "safety_identifier": body["safety_identifier"], "service_tier": "default", "store": false,
        "temperature": or("temperature", json!(1.0)), "text": or("text", json!({"format": {"type": "text"}, "verbosity": "medium"})),
        "tool_choice": or("tool_choice", json!("auto")), "tools": or("tools", json!([])), "top_logprobs": 0,
        "top_p": or("top_p", json!(1.0)), "truncation": "disabled",
        "usage": if phase == Phase::Done { usage(reply.truth) } else { Value::Null }, "user": body["user"],
    })
}

fn usage(truth: Truth) -> Value {
    json!({
        "input_tokens": truth.input(), "input_tokens_details": {"cached_tokens": truth.cache_read},
        "output_tokens": truth.output(), "output_tokens_details": {"reasoning_tokens": truth.reasoning},
        "total_tokens": truth.input() + truth.output(),
    })
}

fn id(reply: &Reply<'_>, prefix: &str, at: usize) -> String {
    format!("{prefix}_{}", sign::hex(&[prefix, &reply.seed, &at.to_string()], 50))
}

fn call_id(reply: &Reply<'_>, at: usize) -> String {
    format!("call_{}", reply.mark(0, at))
}

/// The summary, where it was asked for.
fn summary(reply: &Reply<'_>) -> Option<String> {
    reply.answer.thought.as_ref().filter(|thought| thought.look == Look::Shown).map(|thought| thought.text.clone())
}

fn reasoning(reply: &Reply<'_>, summary: Option<String>, nonce: u8) -> Value {
    let mut item = json!({"id": id(reply, "rs", 0), "type": "reasoning", "summary": []});
    if let Some(text) = summary {
        item["summary"] = json!([{"type": "summary_text", "text": text}]);
    }
    let is_wanted =
        reply.ask.body["include"].as_array().is_some_and(|all| all.contains(&json!("reasoning.encrypted_content")));
    if is_wanted {
        let says_first = reply.answer.calls.is_empty() || !reply.answer.choices[0].text.is_empty();
        let next = if says_first { "message" } else { "function_call" }.to_owned();
        let sealed = Sealed { model: reply.talk.model.clone(), next, id: id(reply, "rs", 0) };
        item["encrypted_content"] = json!(sign::seal(&sealed, nonce));
    }
    item
}

fn part(said: &Said, text: &str) -> Value {
    match said.finish {
        Finish::Refused => json!({"type": "refusal", "refusal": text}),
        _ => json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text}),
    }
}

fn message(reply: &Reply<'_>, status: &str, content: Value) -> Value {
    json!({"id": id(reply, "msg", 0), "type": "message", "status": status, "role": "assistant", "content": content})
}

fn call_item(reply: &Reply<'_>, at: usize, call: &Wanted, status: &str, arguments: &str) -> Value {
    json!({
        "id": id(reply, "fc", at), "type": "function_call", "status": status, "arguments": arguments,
        "call_id": call_id(reply, at), "name": call.name,
    })
}

/// An item when it is there.
fn done(reply: &Reply<'_>, item: &Item<'_>, nonce: u8) -> Value {
    match item {
        Item::Reasoning => reasoning(reply, summary(reply), nonce),
        Item::Message(said) => {
            let is_cut = matches!(said.finish, Finish::Length | Finish::Blocked);
            message(reply, if is_cut { "incomplete" } else { "completed" }, json!([part(said, &said.text)]))
        }
        Item::Call(at, call) => call_item(reply, *at, call, "completed", &call.arguments),
    }
}

/// Events in the making; counts them.
#[derive(Default)]
struct Events {
    list: Vec<Vec<u8>>,
    next: u64,
}

impl Events {
    fn add(&mut self, name: &str, mut data: Value) {
        data["type"] = json!(name);
        data["sequence_number"] = json!(self.next);
        self.next += 1;
        self.list.push(event(Some(name), &text(&data)));
    }
}

fn begin(reply: &Reply<'_>) -> Events {
    let mut events = Events::default();
    for name in ["response.created", "response.in_progress"] {
        events.add(name, json!({"response": response(reply, Phase::Begun)}));
    }
    events
}

pub fn frames(reply: &Reply<'_>) -> Vec<Vec<u8>> {
    let mut events = begin(reply);
    for (at, item) in items(reply).iter().enumerate() {
        let begun = match item {
            Item::Reasoning => reasoning(reply, None, 0),
            Item::Message(_) => message(reply, "in_progress", json!([])),
            Item::Call(index, call) => call_item(reply, *index, call, "in_progress", ""),
        };
        let item_id = begun["id"].clone();
        events.add("response.output_item.added", json!({"output_index": at, "item": begun}));
        match item {
            Item::Reasoning => summary_events(reply, at, &item_id, &mut events),
            Item::Message(said) => message_events(said, at, &item_id, &mut events),
            Item::Call(_, call) => call_events(call, at, &item_id, &mut events),
        }
        events.add("response.output_item.done", json!({"output_index": at, "item": done(reply, item, 1)}));
    }
    let whole = response(reply, Phase::Done);
    let name = format!("response.{}", whole["status"].as_str().unwrap_or_default());
    events.add(&name, json!({"response": whole}));
    events.list
}

fn summary_events(reply: &Reply<'_>, at: usize, item_id: &Value, events: &mut Events) {
    let Some(text) = summary(reply) else { return };
    let place = json!({"item_id": item_id, "output_index": at, "summary_index": 0});
    let with = |name: &str, value: Value| {
        let mut data = place.clone();
        data[name] = value;
        data
    };
    events.add("response.reasoning_summary_part.added", with("part", json!({"type": "summary_text", "text": ""})));
    for piece in pieces(&text) {
        events.add("response.reasoning_summary_text.delta", with("delta", json!(piece)));
    }
    events.add("response.reasoning_summary_text.done", with("text", json!(text)));
    events.add("response.reasoning_summary_part.done", with("part", json!({"type": "summary_text", "text": text})));
}

fn message_events(said: &Said, at: usize, item_id: &Value, events: &mut Events) {
    let place = json!({"item_id": item_id, "output_index": at, "content_index": 0});
    let with = |name: &str, value: Value| {
        let mut data = place.clone();
        data[name] = value;
        data
    };
    let (kind, field) = if said.finish == Finish::Refused { ("refusal", "refusal") } else { ("output_text", "text") };
    events.add("response.content_part.added", with("part", part(said, "")));
    for piece in pieces(&said.text).into_iter().filter(|piece| !piece.is_empty()) {
        let mut data = with("delta", json!(piece));
        if kind == "output_text" {
            data["logprobs"] = json!([]);
            data["obfuscation"] = json!("q8Zr1");
        }
        events.add(&format!("response.{kind}.delta"), data);
    }
    events.add(&format!("response.{kind}.done"), with(field, json!(said.text)));
    events.add("response.content_part.done", with("part", part(said, &said.text)));
}

fn call_events(call: &Wanted, at: usize, item_id: &Value, events: &mut Events) {
    for piece in pieces(&call.arguments) {
        let data = json!({"item_id": item_id, "output_index": at, "delta": piece, "obfuscation": "mK2"});
        events.add("response.function_call_arguments.delta", data);
    }
    let data = json!({"item_id": item_id, "output_index": at, "arguments": call.arguments});
    events.add("response.function_call_arguments.done", data);
}

/// How a stream fails.
pub fn broken(reply: &Reply<'_>) -> Vec<Vec<u8>> {
    // Counted on from wherever the stream was broken off.
    let mut events = Events { next: (frames(reply).len() / 2) as u64, ..Events::default() };
    let error = json!({"type": "server_error", "code": "server_error", "message": BROKEN, "param": null});
    events.add("error", json!({"error": error}));
    events.add("response.failed", json!({"response": response(reply, Phase::Failed)}));
    events.list
}
