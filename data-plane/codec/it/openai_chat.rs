//! The two halves of `openai-chat` on recorded traffic: what was asked is what is sent, what was answered is what is
//! shown, whole or streamed, however the bytes are cut.

use bytes::Bytes;
use codec::{Bridge, StreamEnd};
use serde_json::{Map, Value, json};

use crate::edits::{self, dialect, pricer};
use crate::fixtures::{self, Case};
use crate::reference;

fn translating() -> Bridge {
    Bridge::translating(dialect("openai-chat"), dialect("openai-chat")).unwrap()
}

/// What a request means, whatever its spelling.
fn meaning(request: &Value) -> Value {
    let mut request = request.as_object().unwrap().clone();
    // The gateway's own, and what every request gets.
    for name in ["model", "models", "provider", "transforms", "stream_options", "usage"] {
        request.remove(name);
    }
    request.retain(|_, value| !value.is_null());
    for (name, other) in [("max_completion_tokens", "max_tokens"), ("random_seed", "seed")] {
        if let Some(value) = request.remove(name) {
            request.insert(other.to_owned(), value);
        }
    }
    if request.get("stream") == Some(&json!(false)) {
        request.remove("stream");
    }
    if request.get("tool_choice") == Some(&json!("any")) {
        request.insert("tool_choice".into(), json!("required"));
    }
    if let Some(text) = request.get("stop").filter(|stop| stop.is_string()).cloned() {
        request.insert("stop".into(), json!([text]));
    }
    legacy(&mut request);
    if !request.contains_key("tools") {
        request.remove("tool_choice");
        request.remove("parallel_tool_calls");
    }
    for tool in request.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten() {
        tool["type"] = json!("function");
        usual_ttl(tool);
    }
    for message in request.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten() {
        *message = said(message);
    }
    Value::Object(request)
}

/// Functions are tools, and one call at a time.
fn legacy(request: &mut Map<String, Value>) {
    if let Some(functions) = request.remove("functions") {
        let tools: Vec<Value> = functions
            .as_array()
            .unwrap()
            .iter()
            .map(|function| json!({"type":"function","function":function}))
            .collect();
        request.insert("tools".into(), tools.into());
        request.insert("parallel_tool_calls".into(), json!(false));
        let choice = request.remove("function_call");
        request.extend(choice.map(|choice| ("tool_choice".to_owned(), choice)));
    }
}

fn said(message: &Value) -> Value {
    let mut message = message.as_object().unwrap().clone();
    message.retain(|_, value| !value.is_null() && *value != json!([]) && *value != json!(false));
    if message.get("reasoning_content") == Some(&json!("")) {
        message.remove("reasoning_content");
    }
    match message.get("content").cloned() {
        Some(Value::Array(parts)) => match &parts[..] {
            [one] if one["type"] == "text" && one.get("cache_control").is_none() => {
                message.insert("content".into(), one["text"].clone());
            }
            parts => {
                let parts: Vec<Value> = parts.iter().map(part).collect();
                message.insert("content".into(), parts.into());
            }
        },
        Some(Value::String(text)) if text.is_empty() && message["role"] == "assistant" => {
            message.remove("content");
        }
        _ => {}
    }
    for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        call.as_object_mut().unwrap().remove("index");
    }
    Value::Object(message)
}

fn part(part: &Value) -> Value {
    let mut part = part.clone();
    usual_ttl(&mut part);
    match &part["image_url"] {
        Value::String(url) => json!({"type":"image_url","image_url":{"url":url}}),
        _ => part,
    }
}

/// Five minutes are usual and need not be said.
fn usual_ttl(marked: &mut Value) {
    if marked["cache_control"]["ttl"] == "5m" {
        marked["cache_control"] = json!({"type": "ephemeral"});
    }
}

#[test]
fn every_recorded_request_is_sent_as_it_was_meant() {
    let mut sent = 0;
    for case in fixtures::cases(&fixtures::CHAT) {
        let Some(body) = case.request.clone().map(Bytes::from) else { continue };
        let chat = dialect("openai-chat");
        let Ok(scan) = chat.scan(&body) else { continue };
        let mut wanted = edits::request("up/model", None);
        wanted.quirks = chat.parse_quirks(case.quirks()).unwrap();
        let outbound =
            translating().request(&body, &scan, &wanted).unwrap_or_else(|fault| panic!("{}: {fault}", case.name));
        assert!(outbound.losses.is_empty(), "{}: {}", case.name, outbound.losses);
        let asked: Value = serde_json::from_slice(&body).unwrap();
        let told: Value = serde_json::from_slice(&outbound.body.into_bytes()).unwrap();
        assert_eq!(told["model"], "up/model");
        assert_eq!(reference::difference(&meaning(&told), &meaning(&asked)), None, "{}", case.name);
        sent += 1;
    }
    assert!(sent == 0 || sent > 80, "{sent}");
}

/// What an answer says, whatever its spelling.
fn answered(answer: &Value, is_recorded: bool) -> Value {
    let mut choices = Vec::new();
    for choice in answer["choices"].as_array().unwrap() {
        let message = &choice["message"];
        let has_calls = message["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty());
        let mut finish = choice["finish_reason"].clone();
        if is_recorded && (has_calls || message["function_call"].is_object()) && finish != "length" {
            finish = json!("tool_calls");
        }
        choices.push(json!({
            "index": choice["index"],
            "content": texts(&message["content"], "text").or(message["audio"]["transcript"].as_str().map(str::to_owned)).filter(|text| !text.is_empty()),
            "thought": thought(message),
            "refusal": message["refusal"],
            "calls": calls(message),
            "annotations": message["annotations"].as_array().filter(|list| !list.is_empty()),
            "audio": message["audio"]["data"],
            "logprobs": choice["logprobs"],
            "finish": finish,
        }));
    }
    // Some recordings have their time taken out: then ours stands there.
    let created = answer["created"].as_u64().filter(|created| *created > 0).unwrap_or(1_700_000_000);
    json!({"id": answer["id"], "created": created, "choices": choices})
}

fn texts(content: &Value, kind: &str) -> Option<String> {
    match content {
        Value::String(text) if kind == "text" => Some(text.clone()),
        Value::Array(blocks) => Some(
            blocks.iter().filter(|block| block["type"] == kind).map(|block| block["text"].as_str().unwrap()).collect(),
        ),
        _ => None,
    }
}

fn thought(message: &Value) -> Option<String> {
    let thinking = message["content"].as_array().map(|blocks| {
        blocks
            .iter()
            .filter_map(|block| block["thinking"].as_array())
            .flatten()
            .map(|part| part["text"].as_str().unwrap())
            .collect::<String>()
    });
    let summary = message["reasoning_details"].as_array().map(|details| {
        details.iter().filter_map(|entry| entry["summary"].as_str().or(entry["text"].as_str())).collect::<String>()
    });
    let plain = message["reasoning_content"].as_str().or(message["reasoning"].as_str()).map(str::to_owned);
    plain.or(summary).or(thinking).filter(|text| !text.is_empty())
}

/// A call's arguments; Groq writes none as `null`.
fn given(arguments: &Value) -> Value {
    if arguments == "null" { json!("{}") } else { arguments.clone() }
}

fn calls(message: &Value) -> Vec<Value> {
    let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
    let old = message["function_call"].as_object().map(|function| json!({"id": null, "function": function}));
    let mut all: Vec<Value> = calls
        .iter()
        .map(|call| json!([call["id"], call["function"]["name"], given(&call["function"]["arguments"])]))
        .collect();
    all.extend(old.map(|call| json!(["made up", call["function"]["name"], call["function"]["arguments"]])));
    all
}

fn whole(body: &[u8]) -> codec::Whole {
    translating().whole(Bytes::copy_from_slice(body), &edits::answer("public/model", true), &mut pricer()).unwrap()
}

#[test]
fn every_recorded_answer_is_shown_as_it_was_meant_and_costs_the_same() {
    let mut shown = 0;
    for case in fixtures::cases(&fixtures::CHAT).iter().filter(|case| !case.is_stream && case.status == 200) {
        let recorded: Value = serde_json::from_slice(&case.response).unwrap();
        let whole = whole(&case.response);
        let same = Bridge::between(dialect("openai-chat"), dialect("openai-chat")).unwrap();
        let edits = edits::answer("public/model", true);
        let passed = same.whole(Bytes::copy_from_slice(&case.response), &edits, &mut pricer()).unwrap();
        assert_eq!(whole.tap.usage(), passed.tap.usage(), "{}", case.name);
        assert_eq!(whole.tap.usage_source(), passed.tap.usage_source());
        assert_eq!(whole.tap.upstream_id(), passed.tap.upstream_id());
        assert_eq!(whole.tap.estimated_output_tokens() > 0, passed.tap.has_output(), "{}", case.name);
        let told: Value = serde_json::from_slice(&whole.body.into_bytes()).unwrap();
        let mut wanted = answered(&recorded, true);
        let mut got = answered(&told, false);
        if case.name.contains("legacy-function-call") {
            // Asked without the old fields, the call comes as a call of a tool, with an id that was made up.
            assert!(got["choices"][0]["calls"][0][0].as_str().unwrap().starts_with("call_"));
            got["choices"][0]["calls"][0][0] = json!("made up");
            wanted["choices"][0]["finish"] = json!("tool_calls");
        }
        assert_eq!(reference::difference(&got, &wanted), None, "{}", case.name);
        assert_eq!(told["object"], "chat.completion");
        assert_eq!(told["model"], "public/model");
        assert_eq!(told["system_fingerprint"], Value::Null);
        assert!(told["usage"]["cost"].is_number() && told["usage"]["total_tokens"].is_number(), "{}", case.name);
        shown += 1;
    }
    assert!(shown == 0 || shown > 40, "{shown}");
}

struct Streamed {
    out: Vec<u8>,
    end: StreamEnd,
    pass: codec::StreamPass,
}

fn stream(bytes: &[u8], size: usize) -> Streamed {
    let mut pass = translating().stream(&edits::answer("public/model", true));
    let mut out = Vec::new();
    for chunk in bytes.chunks(size) {
        out.extend_from_slice(&pass.push(Bytes::copy_from_slice(chunk), &mut pricer()));
    }
    let (rest, end) = pass.end(&mut pricer());
    out.extend_from_slice(&rest);
    Streamed { out, end, pass }
}

/// What a client puts together from a stream, as the whole answer it stands for. Everything that clients insist on is
/// checked on the way.
fn put_together(stream: &str) -> Value {
    let mut choices: Vec<Value> = Vec::new();
    let (mut id, mut created, mut usage, mut is_done) = (Value::Null, Value::Null, Value::Null, false);
    for event in stream.split("\n\n").filter(|event| !event.is_empty()) {
        let data = event.strip_prefix("data: ").unwrap();
        assert!(!is_done, "something behind the end");
        if data == "[DONE]" {
            is_done = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(data).unwrap();
        assert_eq!((&chunk["object"], &chunk["model"]), (&json!("chat.completion.chunk"), &json!("public/model")));
        assert!(chunk.get("system_fingerprint").is_none() && usage.is_null());
        (id, created) = (chunk["id"].clone(), chunk["created"].clone());
        assert!(id.is_string() && created.is_u64());
        usage = chunk["usage"].clone();
        let list = chunk["choices"].as_array().unwrap();
        assert_eq!(list.is_empty(), !usage.is_null());
        for piece in list {
            add(&mut choices, piece);
        }
    }
    choices.sort_by_key(|choice| choice["index"].as_u64());
    json!({"id": id, "created": created, "choices": choices, "usage": usage, "is_done": is_done})
}

fn add(choices: &mut Vec<Value>, piece: &Value) {
    let index = piece["index"].as_u64().unwrap();
    let delta = piece["delta"].as_object().unwrap();
    let known = choices.iter().position(|choice| choice["index"] == index);
    assert_eq!(known.is_none(), delta.get("role") == Some(&json!("assistant")), "the role comes once, and first");
    let at = known.unwrap_or_else(|| {
        choices.push(json!({"index": index, "message": {"content": null, "refusal": null}, "logprobs": null, "finish_reason": null}));
        choices.len() - 1
    });
    let choice = &mut choices[at];
    assert!(choice["finish_reason"].is_null(), "a piece behind the finish");
    choice["finish_reason"] = piece.get("finish_reason").unwrap().clone();
    if let Some(logprobs) = piece.get("logprobs") {
        match choice["logprobs"]["content"].as_array_mut() {
            None => choice["logprobs"] = logprobs.clone(),
            Some(list) => list.extend(logprobs["content"].as_array().unwrap().iter().cloned()),
        }
    }
    let message = &mut choice["message"];
    for (name, value) in delta {
        match (name.as_str(), value) {
            ("content" | "refusal" | "reasoning_content", Value::String(text)) => {
                let before = message[name].as_str().unwrap_or_default();
                message[name] = json!(format!("{before}{text}"));
            }
            ("annotations" | "reasoning_details" | "images", Value::Array(items)) => {
                let mut list = message[name].as_array().cloned().unwrap_or_default();
                list.extend(items.iter().cloned());
                message[name] = list.into();
            }
            ("tool_calls", Value::Array(items)) => items.iter().for_each(|call| add_call(message, call)),
            ("role", _) => {}
            (name, value) => panic!("{name}: {value}"),
        }
    }
}

fn add_call(message: &mut Value, call: &Value) {
    let index = call["index"].as_u64().unwrap() as usize;
    let mut list = message["tool_calls"].as_array().cloned().unwrap_or_default();
    if index == list.len() {
        assert!(call["id"].is_string() && call["function"]["name"].is_string() && call["type"] == "function");
        list.push(call.clone());
    } else {
        assert!(call.get("id").is_none() && call["function"].get("name").is_none(), "id and name come once");
        let before = list[index]["function"]["arguments"].as_str().unwrap().to_owned();
        list[index]["function"]["arguments"] = json!(before + call["function"]["arguments"].as_str().unwrap());
    }
    message["tool_calls"] = list.into();
}

#[test]
fn every_recorded_stream_is_shown_as_it_was_meant_however_it_is_cut() {
    let mut finished = 0;
    for case in fixtures::streams() {
        let one = stream(&case.response, case.response.len());
        let same = Bridge::between(dialect("openai-chat"), dialect("openai-chat")).unwrap();
        let mut passed = same.stream(&edits::answer("public/model", true));
        passed.push(Bytes::copy_from_slice(&case.response), &mut pricer());
        let (_, end) = passed.end(&mut pricer());
        assert_eq!(one.end, end, "{}", case.name);
        assert_eq!(one.pass.tap().usage(), passed.tap().usage(), "{}", case.name);
        assert_eq!(one.pass.tap().usage_source(), passed.tap().usage_source(), "{}", case.name);
        assert_eq!(one.pass.tap().upstream_id(), passed.tap().upstream_id());
        assert_eq!(one.pass.tap().has_output(), passed.tap().has_output(), "{}", case.name);
        assert_eq!(one.pass.tap().unread(), 0, "{}", case.name);
        for size in sizes(&case) {
            let cut = stream(&case.response, size);
            assert!(cut.out == one.out && cut.end == one.end, "{} in pieces of {size}", case.name);
            assert_eq!(cut.pass.tap().estimated_output_tokens(), one.pass.tap().estimated_output_tokens());
        }
        let told = put_together(std::str::from_utf8(&one.out).unwrap());
        assert_eq!(told["is_done"], json!(one.end == StreamEnd::Finished), "{}", case.name);
        if one.end == StreamEnd::Finished {
            let recorded = reference::put_together(std::str::from_utf8(&case.response).unwrap());
            let difference = reference::difference(&answered(&told, false), &answered(&recorded, true));
            assert_eq!(difference, None, "{}", case.name);
            assert_eq!(told["usage"].is_object(), one.pass.tap().usage().is_some(), "{}", case.name);
            finished += 1;
        }
    }
    assert!(finished == 0 || finished > 30, "{finished}");
}

fn sizes(case: &Case) -> Vec<usize> {
    match case.response.len() {
        0..8_000 => vec![1, 2, 3, 7, 61, 997],
        _ => vec![1, 13, 509],
    }
}

#[test]
fn t39_a_stream_cut_anywhere_is_never_shown_as_finished_before_its_finish() {
    for case in fixtures::streams() {
        let text = std::str::from_utf8(&case.response).unwrap();
        let mut at = 0;
        let step = case.response.len() / 300 + 1;
        while at < case.response.len() {
            let cut = stream(&case.response[..at], case.response.len());
            let said = reference::said(text.get(..at).unwrap_or_default());
            let out = std::str::from_utf8(&cut.out).unwrap();
            if cut.end == StreamEnd::Finished {
                assert!(said.is_finished() || !text.is_char_boundary(at), "{} cut at {at}", case.name);
                assert!(out.ends_with("data: [DONE]\n\n"));
            } else {
                assert!(!out.contains("[DONE]"), "{} cut at {at}", case.name);
                assert!(!said.is_finished(), "{} cut at {at}: {:?}", case.name, cut.end);
            }
            at += step;
        }
    }
}
