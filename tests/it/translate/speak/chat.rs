//! A client of OpenAI's chat completions.

use serde_json::{Map, Value, json};

use super::{Call, Choice, Event, Finish, Heard, Memory, Part, Told, Tongue, Tool, arguments, count, list, push, text};

pub struct Chat;

impl Tongue for Chat {
    fn path(&self, _: &str, _: bool) -> String {
        "/v1/chat/completions".to_owned()
    }

    fn headers(&self, key: &str) -> Vec<(&'static str, String)> {
        vec![("authorization", format!("Bearer {key}"))]
    }

    fn begin(&self, model: &str) -> Value {
        json!({"model": model, "messages": []})
    }

    fn system(&self, body: &mut Value, text: &str) {
        push(body, "messages", json!({"role": "system", "content": text}));
    }

    fn say(&self, body: &mut Value, parts: &[Part]) {
        let content = match parts {
            [Part::Text(text)] => json!(text),
            _ => json!(parts.iter().map(part).collect::<Vec<_>>()),
        };
        push(body, "messages", json!({"role": "user", "content": content}));
    }

    fn tools(&self, body: &mut Value, tools: &[Tool]) {
        let function = |tool: &Tool| json!({"name": tool.name, "description": "A tool", "parameters": tool.schema});
        body["tools"] = tools.iter().map(|tool| json!({"type": "function", "function": function(tool)})).collect();
    }

    fn choose(&self, body: &mut Value, choice: Choice<'_>) {
        body["tool_choice"] = match choice {
            Choice::None => json!("none"),
            Choice::Any => json!("required"),
            Choice::Named(name) => json!({"type": "function", "function": {"name": name}}),
        };
    }

    fn one_at_a_time(&self, body: &mut Value) -> bool {
        body["parallel_tool_calls"] = json!(false);
        true
    }

    fn think(&self, body: &mut Value) {
        body["reasoning_effort"] = json!("medium");
    }

    fn schema(&self, body: &mut Value, schema: &Value) {
        let named = json!({"name": "answer", "schema": schema, "strict": true});
        body["response_format"] = json!({"type": "json_schema", "json_schema": named});
    }

    fn limit(&self, body: &mut Value, tokens: u64) {
        body["max_tokens"] = json!(tokens);
    }

    fn temperature(&self, body: &mut Value, value: f64) {
        body["temperature"] = json!(value);
    }

    fn stop(&self, body: &mut Value, words: &[&str]) -> bool {
        body["stop"] = json!(words);
        true
    }

    fn stream(&self, body: &mut Value) {
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
    }

    fn fold(&self, events: &[Event]) -> Result<Value, Value> {
        fold(events)
    }

    fn hear(&self, answer: &Value) -> Heard {
        let message = &answer["choices"][0]["message"];
        assert_eq!(message["role"], "assistant", "{answer:#}");
        assert!(answer["id"].is_string() && answer["created"].is_u64(), "{answer:#}");
        assert!(message.get("content").is_some(), "content may be null but not absent: {answer:#}");
        let calls: Vec<Call> = list(&message["tool_calls"])
            .map(|call| Call {
                id: text(&call["id"]).to_owned(),
                name: text(&call["function"]["name"]).to_owned(),
                arguments: arguments(text(&call["function"]["arguments"])),
            })
            .collect();
        let finish = match text(&answer["choices"][0]["finish_reason"]) {
            "stop" if message["refusal"].is_string() => Finish::Refused,
            "stop" => Finish::Stop,
            "length" => Finish::Length,
            "tool_calls" => Finish::Calls,
            "content_filter" => Finish::Refused,
            other => panic!("finish_reason `{other}` in {answer:#}"),
        };
        Heard {
            text: text(&message["content"]).to_owned(),
            refusal: text(&message["refusal"]).to_owned(),
            thought: text(&message["reasoning_content"]).to_owned(),
            calls,
            finish,
            told: told(&answer["usage"]),
            model: text(&answer["model"]).to_owned(),
        }
    }

    fn remember(&self, body: &mut Value, answer: &Value, memory: Memory) {
        let message = &answer["choices"][0]["message"];
        let kept = match memory {
            Memory::Faithful => message.clone(),
            Memory::Forgetful => {
                let mut kept = json!({"role": "assistant", "content": message["content"]});
                if message["tool_calls"].is_array() {
                    kept["tool_calls"] = list(&message["tool_calls"])
                        .map(|call| {
                            let function = &call["function"];
                            json!({
                                "id": call["id"], "type": "function",
                                "function": {"name": function["name"], "arguments": function["arguments"]},
                            })
                        })
                        .collect();
                }
                kept
            }
        };
        push(body, "messages", kept);
    }

    fn results(&self, body: &mut Value, calls: &[Call], results: &[&str]) {
        for (call, result) in calls.iter().zip(results) {
            push(body, "messages", json!({"role": "tool", "tool_call_id": call.id, "content": result}));
        }
    }

    fn error(&self, _: u16, body: &Value) -> String {
        let error = &body["error"];
        assert!(error["type"].is_string() && error.get("code").is_some(), "{body:#}");
        error["message"].as_str().unwrap_or_else(|| panic!("no message in {body:#}")).to_owned()
    }
}

fn part(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Image(mime, data) => {
            json!({"type": "image_url", "image_url": {"url": format!("data:{mime};base64,{data}")}})
        }
        Part::Pdf(data) => {
            let file = json!({"filename": "paper.pdf", "file_data": format!("data:application/pdf;base64,{data}")});
            json!({"type": "file", "file": file})
        }
    }
}

fn told(usage: &Value) -> Told {
    let told = Told {
        input: count(&usage["prompt_tokens"], "prompt_tokens"),
        cached: usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0),
        output: count(&usage["completion_tokens"], "completion_tokens"),
        reasoning: Some(usage["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap_or(0)),
    };
    assert_eq!(usage["total_tokens"], told.input + told.output, "{usage}");
    told
}

fn fold(events: &[Event]) -> Result<Value, Value> {
    let mut whole = json!({"object": "chat.completion", "choices": []});
    let mut is_done = false;
    for event in events {
        assert!(!is_done, "an event behind [DONE]: {event:?}");
        assert_eq!(event.name, "", "chat events have no name");
        if event.data == "[DONE]" {
            is_done = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(&event.data).unwrap_or_else(|error| panic!("{error} in {event:?}"));
        if !chunk["error"].is_null() {
            let is_last = std::ptr::eq(event, events.last().expect("an event"));
            assert!(is_last, "an error is the last event, without [DONE]: {events:?}");
            return Err(chunk);
        }
        take(&mut whole, &chunk);
    }
    assert!(is_done, "no [DONE]: {events:?}");
    for choice in list(&whole["choices"]) {
        assert!(choice["finish_reason"].is_string(), "a choice without a finish: {whole:#}");
    }
    assert!(whole["usage"].is_object(), "usage was asked for: {whole:#}");
    Ok(whole)
}

fn take(whole: &mut Value, chunk: &Value) {
    assert_eq!(chunk["object"], "chat.completion.chunk", "{chunk}");
    for name in ["id", "model", "created"] {
        assert!(!chunk[name].is_null(), "no {name} in {chunk}");
        assert!(whole[name].is_null() || whole[name] == chunk[name], "another {name} in {chunk}");
        whole[name] = chunk[name].clone();
    }
    assert!(chunk["choices"].is_array(), "choices are never null: {chunk}");
    assert!(whole["usage"].is_null(), "a chunk behind the usage: {chunk}");
    if chunk["usage"].is_object() {
        whole["usage"] = chunk["usage"].clone();
    }
    for piece in list(&chunk["choices"]) {
        let at = usize::try_from(count(&piece["index"], "index")).expect("a small index");
        while list(&whole["choices"]).count() <= at {
            push(whole, "choices", json!({"index": at, "message": {"content": null}, "finish_reason": null}));
        }
        let choice = &mut whole["choices"][at];
        assert!(choice["finish_reason"].is_null(), "a delta behind the finish: {piece}");
        let delta = piece["delta"].as_object().unwrap_or_else(|| panic!("no delta in {piece}"));
        assert!(
            !choice["message"]["role"].is_null() || delta.contains_key("role"),
            "the first delta has no role: {piece}"
        );
        choice["finish_reason"] = piece["finish_reason"].clone();
        grow(&mut choice["message"], delta);
    }
}

fn grow(message: &mut Value, delta: &Map<String, Value>) {
    for (name, value) in delta {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("role", role) => message["role"] = role.clone(),
            ("tool_calls", calls) => list(calls).for_each(|call| grow_call(message, call)),
            ("reasoning_details", details) => list(details).for_each(|detail| grow_detail(message, detail)),
            (_, Value::String(piece)) => {
                let grown = format!("{}{piece}", text(&message[name]));
                message[name] = json!(grown);
            }
            (_, other) => message[name] = other.clone(),
        }
    }
}

fn grow_call(message: &mut Value, call: &Value) {
    let at = usize::try_from(count(&call["index"], "index of a call")).expect("a small index");
    let known = list(&message["tool_calls"]).count();
    if at == known {
        assert!(
            call["id"].is_string() && call["function"]["name"].is_string(),
            "a call begins without id or name: {call}"
        );
        push(
            message,
            "tool_calls",
            json!({"id": call["id"], "type": "function", "function": {"name": call["function"]["name"], "arguments": ""}}),
        );
    } else {
        assert!(at < known, "calls are counted one by one: {call}");
        assert!(call["id"].is_null() && call["function"]["name"].is_null(), "id and name come once: {call}");
    }
    let function = &mut message["tool_calls"][at]["function"];
    function["arguments"] = json!(format!("{}{}", text(&function["arguments"]), text(&call["function"]["arguments"])));
}

/// As the clients that know these details merge them: by type and index.
fn grow_detail(message: &mut Value, detail: &Value) {
    let same = |known: &Value| known["type"] == detail["type"] && known["index"] == detail["index"];
    let Some(at) = list(&message["reasoning_details"]).position(same) else {
        return push(message, "reasoning_details", detail.clone());
    };
    let known = &mut message["reasoning_details"][at];
    for (name, value) in detail.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("text" | "summary" | "data", Value::String(piece)) => {
                let grown = format!("{}{piece}", text(&known[name]));
                known[name] = json!(grown);
            }
            _ => known[name] = value.clone(),
        }
    }
}
