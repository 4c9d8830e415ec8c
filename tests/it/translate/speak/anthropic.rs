//! A client of Anthropic's messages.

use serde_json::{Value, json};

use super::{Call, Choice, Event, Finish, Heard, Memory, Part, Told, Tongue, Tool, arguments, count, list, push, text};

pub struct Anthropic;

impl Tongue for Anthropic {
    fn path(&self, _: &str, _: bool) -> String {
        "/v1/messages".to_owned()
    }

    fn headers(&self, key: &str) -> Vec<(&'static str, String)> {
        vec![("x-api-key", key.to_owned()), ("anthropic-version", "2023-06-01".to_owned())]
    }

    fn begin(&self, model: &str) -> Value {
        json!({"model": model, "max_tokens": 8_000, "messages": []})
    }

    fn system(&self, body: &mut Value, text: &str) {
        body["system"] = json!([{"type": "text", "text": text}]);
    }

    /// Behind results, in the same turn: roles alternate here.
    fn say(&self, body: &mut Value, parts: &[Part]) {
        let content: Vec<Value> = parts.iter().map(part).collect();
        let last = body["messages"].as_array_mut().and_then(|messages| messages.last_mut());
        match last.filter(|last| last["role"] == "user") {
            Some(last) => content.into_iter().for_each(|block| push(last, "content", block)),
            None => push(body, "messages", json!({"role": "user", "content": content})),
        }
    }

    fn tools(&self, body: &mut Value, tools: &[Tool]) {
        let own = |tool: &Tool| json!({"name": tool.name, "description": "A tool", "input_schema": tool.schema});
        body["tools"] = tools.iter().map(own).collect();
    }

    fn choose(&self, body: &mut Value, choice: Choice<'_>) {
        body["tool_choice"] = match choice {
            Choice::None => json!({"type": "none"}),
            Choice::Any => json!({"type": "any"}),
            Choice::Named(name) => json!({"type": "tool", "name": name}),
        };
    }

    fn one_at_a_time(&self, body: &mut Value) -> bool {
        body["tool_choice"] = json!({"type": "auto", "disable_parallel_tool_use": true});
        true
    }

    fn think(&self, body: &mut Value) {
        body["thinking"] = json!({"type": "enabled", "budget_tokens": 2_000});
    }

    fn schema(&self, body: &mut Value, schema: &Value) {
        body["output_config"] = json!({"format": {"type": "json_schema", "schema": schema}});
    }

    fn limit(&self, body: &mut Value, tokens: u64) {
        body["max_tokens"] = json!(tokens);
    }

    fn temperature(&self, body: &mut Value, value: f64) {
        body["temperature"] = json!(value);
    }

    fn stop(&self, body: &mut Value, words: &[&str]) -> bool {
        body["stop_sequences"] = json!(words);
        true
    }

    fn stream(&self, body: &mut Value) {
        body["stream"] = json!(true);
    }

    fn fold(&self, events: &[Event]) -> Result<Value, Value> {
        fold(events)
    }

    fn hear(&self, answer: &Value) -> Heard {
        assert_eq!((text(&answer["type"]), text(&answer["role"])), ("message", "assistant"), "{answer:#}");
        let (mut said, mut thought, mut calls) = (String::new(), String::new(), Vec::new());
        for block in list(&answer["content"]) {
            match text(&block["type"]) {
                "text" => said += text(&block["text"]),
                "thinking" => {
                    assert!(block["signature"].is_string(), "thinking without a signature: {block}");
                    thought += text(&block["thinking"]);
                }
                "redacted_thinking" => assert!(block["data"].is_string(), "{block}"),
                "tool_use" => {
                    assert!(block["input"].is_object(), "{block}");
                    calls.push(Call {
                        id: text(&block["id"]).to_owned(),
                        name: text(&block["name"]).to_owned(),
                        arguments: block["input"].clone(),
                    });
                }
                other => panic!("a block of type `{other}`: {block}"),
            }
        }
        let is_id = |id: &str| {
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        };
        assert!(calls.iter().all(|call| is_id(&call.id)), "ids that the family does not have: {calls:?}");
        let finish = match text(&answer["stop_reason"]) {
            "end_turn" => Finish::Stop,
            "stop_sequence" => Finish::Word(text(&answer["stop_sequence"]).to_owned()),
            "max_tokens" => Finish::Length,
            "tool_use" => Finish::Calls,
            "refusal" => Finish::Refused,
            other => panic!("stop_reason `{other}` in {answer:#}"),
        };
        let told = told(&answer["usage"]);
        Heard {
            text: said,
            refusal: String::new(),
            thought,
            calls,
            finish,
            told,
            model: text(&answer["model"]).to_owned(),
        }
    }

    fn remember(&self, body: &mut Value, answer: &Value, memory: Memory) {
        let kept: Vec<&Value> = list(&answer["content"])
            .filter(|block| memory == Memory::Faithful || matches!(text(&block["type"]), "text" | "tool_use"))
            .collect();
        if !kept.is_empty() {
            push(body, "messages", json!({"role": "assistant", "content": kept}));
        }
    }

    fn results(&self, body: &mut Value, calls: &[Call], results: &[&str]) {
        let result =
            |(call, result): (&Call, &&str)| json!({"type": "tool_result", "tool_use_id": call.id, "content": result});
        let content: Vec<Value> = calls.iter().zip(results).map(result).collect();
        push(body, "messages", json!({"role": "user", "content": content}));
    }

    fn error(&self, _: u16, body: &Value) -> String {
        assert_eq!(body["type"], "error", "{body:#}");
        assert!(body["error"]["type"].is_string(), "{body:#}");
        body["error"]["message"].as_str().unwrap_or_else(|| panic!("no message in {body:#}")).to_owned()
    }
}

fn part(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Image(mime, data) => {
            json!({"type": "image", "source": {"type": "base64", "media_type": mime, "data": data}})
        }
        Part::Pdf(data) => {
            json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}})
        }
    }
}

fn told(usage: &Value) -> Told {
    let cached = usage["cache_read_input_tokens"].as_u64().unwrap_or(0);
    let written = usage["cache_creation_input_tokens"].as_u64().unwrap_or(0);
    Told {
        input: count(&usage["input_tokens"], "input_tokens") + cached + written,
        cached,
        output: count(&usage["output_tokens"], "output_tokens"),
        reasoning: usage["output_tokens_details"]["thinking_tokens"].as_u64(),
    }
}

fn fold(events: &[Event]) -> Result<Value, Value> {
    let mut message = Value::Null;
    let mut open: Option<(u64, Value, String)> = None;
    let mut is_over = false;
    for (at, event) in events.iter().enumerate() {
        let data: Value = serde_json::from_str(&event.data).unwrap_or_else(|error| panic!("{error} in {event:?}"));
        assert_eq!(event.name, text(&data["type"]), "the name of an event is its type, or the SDKs ignore it");
        assert!(!is_over, "an event behind message_stop: {event:?}");
        assert_eq!(at == 0, event.name == "message_start", "message_start is the first event: {event:?}");
        match event.name.as_str() {
            "ping" => {}
            "error" => return Err(data),
            "message_start" => {
                message = data["message"].clone();
                assert_eq!(message["content"], json!([]), "{message}");
                assert!(
                    message["usage"]["input_tokens"].is_u64() && message["usage"]["output_tokens"].is_u64(),
                    "{message}"
                );
            }
            "content_block_start" => {
                assert!(open.is_none(), "a block begins inside another: {event:?}");
                let index = count(&data["index"], "index");
                assert_eq!(
                    index as usize,
                    list(&message["content"]).count(),
                    "blocks are counted one by one: {event:?}"
                );
                open = Some((index, data["content_block"].clone(), String::new()));
            }
            "content_block_delta" => {
                let (index, block, json) =
                    open.as_mut().unwrap_or_else(|| panic!("a delta outside of a block: {event:?}"));
                assert_eq!(data["index"], *index, "{event:?}");
                grow(block, json, &data["delta"]);
            }
            "content_block_stop" => {
                let (index, mut block, json) = open.take().unwrap_or_else(|| panic!("no block to end: {event:?}"));
                assert_eq!(data["index"], index, "{event:?}");
                if block["type"] == "tool_use" && !json.is_empty() {
                    block["input"] = arguments(&json);
                }
                push(&mut message, "content", block);
            }
            "message_delta" => {
                assert!(open.is_none() && message["stop_reason"].is_null(), "{event:?}");
                for (name, value) in data["delta"].as_object().into_iter().flatten() {
                    message[name] = value.clone();
                }
                assert!(data["usage"]["output_tokens"].is_u64(), "usage is cumulative here: {event:?}");
                for (name, value) in
                    data["usage"].as_object().into_iter().flatten().filter(|(_, value)| !value.is_null())
                {
                    message["usage"][name] = value.clone();
                }
            }
            "message_stop" => is_over = true,
            other => panic!("an event that nobody knows: {other}"),
        }
    }
    assert!(is_over && !message["stop_reason"].is_null(), "a stream that does not end: {events:?}");
    Ok(message)
}

fn grow(block: &mut Value, json: &mut String, delta: &Value) {
    let (kind, field, piece) = match text(&delta["type"]) {
        "text_delta" => ("text", "text", text(&delta["text"])),
        "thinking_delta" => ("thinking", "thinking", text(&delta["thinking"])),
        "signature_delta" => ("thinking", "signature", text(&delta["signature"])),
        "input_json_delta" => {
            assert_eq!(block["type"], "tool_use", "{delta}");
            json.push_str(text(&delta["partial_json"]));
            return;
        }
        other => panic!("a delta that nobody knows: {other}"),
    };
    assert_eq!(block["type"], kind, "{delta}");
    let grown = format!("{}{piece}", text(&block[field]));
    block[field] = json!(grown);
}
