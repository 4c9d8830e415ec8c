//! A client of OpenAI's Responses, without state at the provider.

use serde_json::{Value, json};

use super::{Call, Choice, Event, Finish, Heard, Memory, Part, Told, Tongue, Tool, arguments, count, list, push, text};

pub struct Responses;

impl Tongue for Responses {
    fn path(&self, _: &str, _: bool) -> String {
        "/v1/responses".to_owned()
    }

    fn headers(&self, key: &str) -> Vec<(&'static str, String)> {
        vec![("authorization", format!("Bearer {key}"))]
    }

    fn begin(&self, model: &str) -> Value {
        json!({"model": model, "input": [], "store": false, "include": ["reasoning.encrypted_content"]})
    }

    fn system(&self, body: &mut Value, text: &str) {
        body["instructions"] = json!(text);
    }

    fn say(&self, body: &mut Value, parts: &[Part]) {
        let content: Vec<Value> = parts.iter().map(part).collect();
        push(body, "input", json!({"role": "user", "content": content}));
    }

    fn tools(&self, body: &mut Value, tools: &[Tool]) {
        let flat = |tool: &Tool| json!({"type": "function", "name": tool.name, "description": "A tool", "parameters": tool.schema, "strict": false});
        body["tools"] = tools.iter().map(flat).collect();
    }

    fn choose(&self, body: &mut Value, choice: Choice<'_>) {
        body["tool_choice"] = match choice {
            Choice::None => json!("none"),
            Choice::Any => json!("required"),
            Choice::Named(name) => json!({"type": "function", "name": name}),
        };
    }

    fn one_at_a_time(&self, body: &mut Value) -> bool {
        body["parallel_tool_calls"] = json!(false);
        true
    }

    fn think(&self, body: &mut Value) {
        body["reasoning"] = json!({"effort": "medium", "summary": "auto"});
    }

    fn schema(&self, body: &mut Value, schema: &Value) {
        body["text"] = json!({"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": true}});
    }

    fn limit(&self, body: &mut Value, tokens: u64) {
        body["max_output_tokens"] = json!(tokens);
    }

    fn temperature(&self, body: &mut Value, value: f64) {
        body["temperature"] = json!(value);
    }

    fn stop(&self, _: &mut Value, _: &[&str]) -> bool {
        false
    }

    fn stream(&self, body: &mut Value) {
        body["stream"] = json!(true);
    }

    fn fold(&self, events: &[Event]) -> Result<Value, Value> {
        fold(events)
    }

    fn hear(&self, answer: &Value) -> Heard {
        assert_eq!(answer["object"], "response", "{answer:#}");
        let (mut said, mut refusal, mut thought, mut calls) = (String::new(), String::new(), String::new(), Vec::new());
        for item in list(&answer["output"]) {
            assert!(item["id"].is_string() || item["type"] == "reasoning", "an item without an id: {item}");
            match text(&item["type"]) {
                "message" => {
                    for part in list(&item["content"]) {
                        said += text(&part["text"]);
                        refusal += text(&part["refusal"]);
                    }
                }
                "reasoning" => list(&item["summary"]).for_each(|part| thought += text(&part["text"])),
                "function_call" => calls.push(Call {
                    id: text(&item["call_id"]).to_owned(),
                    name: text(&item["name"]).to_owned(),
                    arguments: arguments(text(&item["arguments"])),
                }),
                other => panic!("an item of type `{other}`: {item}"),
            }
        }
        let reason = text(&answer["incomplete_details"]["reason"]);
        let finish = match (text(&answer["status"]), reason) {
            ("incomplete", "max_output_tokens") => Finish::Length,
            ("incomplete", "content_filter") => Finish::Refused,
            ("completed", _) if !refusal.is_empty() => Finish::Refused,
            ("completed", _) if !calls.is_empty() => Finish::Calls,
            ("completed", _) => Finish::Stop,
            other => panic!("status and reason {other:?} in {answer:#}"),
        };
        let told = told(&answer["usage"]);
        Heard { text: said, refusal, thought, calls, finish, told, model: text(&answer["model"]).to_owned() }
    }

    fn remember(&self, body: &mut Value, answer: &Value, memory: Memory) {
        for item in list(&answer["output"]) {
            let kept = match (memory, text(&item["type"])) {
                (Memory::Faithful, _) => item.clone(),
                (_, "function_call") => json!({
                    "type": "function_call", "call_id": item["call_id"], "name": item["name"], "arguments": item["arguments"],
                }),
                (_, "message") => {
                    let said: String = list(&item["content"]).map(|part| text(&part["text"])).collect();
                    json!({"role": "assistant", "content": said})
                }
                _ => continue,
            };
            push(body, "input", kept);
        }
    }

    fn results(&self, body: &mut Value, calls: &[Call], results: &[&str]) {
        for (call, result) in calls.iter().zip(results) {
            push(body, "input", json!({"type": "function_call_output", "call_id": call.id, "output": result}));
        }
    }

    fn error(&self, status: u16, body: &Value) -> String {
        // In a stream it is the event `response.failed`, or `error`.
        let error =
            if status == 200 && body["response"].is_object() { &body["response"]["error"] } else { &body["error"] };
        let message = error["message"].as_str().or(body["message"].as_str());
        message.unwrap_or_else(|| panic!("no message in {body:#}")).to_owned()
    }
}

fn part(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({"type": "input_text", "text": text}),
        Part::Image(mime, data) => {
            json!({"type": "input_image", "image_url": format!("data:{mime};base64,{data}"), "detail": "auto"})
        }
        Part::Pdf(data) => {
            json!({"type": "input_file", "filename": "paper.pdf", "file_data": format!("data:application/pdf;base64,{data}")})
        }
    }
}

fn told(usage: &Value) -> Told {
    let told = Told {
        input: count(&usage["input_tokens"], "input_tokens"),
        cached: count(&usage["input_tokens_details"]["cached_tokens"], "cached_tokens"),
        output: count(&usage["output_tokens"], "output_tokens"),
        reasoning: Some(count(&usage["output_tokens_details"]["reasoning_tokens"], "reasoning_tokens")),
    };
    assert_eq!(usage["total_tokens"], told.input + told.output, "{usage}");
    told
}

/// Everything that must be in the last event again.
#[derive(Default)]
struct Growing {
    items: Vec<Value>,
    /// Of the item that is open.
    text: String,
    is_open: bool,
}

fn fold(events: &[Event]) -> Result<Value, Value> {
    let mut growing = Growing::default();
    for (at, event) in events.iter().enumerate() {
        let data: Value = serde_json::from_str(&event.data).unwrap_or_else(|error| panic!("{error} in {event:?}"));
        assert_eq!(event.name, text(&data["type"]), "the name of an event is its type");
        assert_eq!(data["sequence_number"], at, "events count up from 0: {event:?}");
        match (at, event.name.as_str()) {
            (0, name) => assert_eq!(name, "response.created"),
            (1, name) => assert_eq!(name, "response.in_progress"),
            (_, "error") => {}
            (_, "response.failed") => return Err(data),
            (_, "response.completed" | "response.incomplete") => {
                assert_eq!(at + 1, events.len(), "an event behind the last one");
                let whole = data["response"].clone();
                assert_eq!(list(&whole["output"]).count(), growing.items.len(), "items that did not stream: {whole:#}");
                for (item, whole) in growing.items.iter().zip(list(&whole["output"])) {
                    same(item, whole);
                }
                return Ok(whole);
            }
            _ => growing.take(&event.name, &data),
        }
    }
    if let Some(last) = events.last().filter(|last| last.name == "error") {
        return Err(serde_json::from_str(&last.data).expect("JSON"));
    }
    panic!("a stream that does not end: {events:?}");
}

/// But for what is sealed, which providers seal anew each time.
fn same(one: &Value, other: &Value) {
    let plain = |item: &Value| {
        let mut item = item.clone();
        if let Some(members) = item.as_object_mut() {
            members.remove("encrypted_content");
        }
        item
    };
    assert_eq!(plain(one), plain(other));
}

impl Growing {
    fn take(&mut self, name: &str, data: &Value) {
        let at = usize::try_from(count(&data["output_index"], "output_index")).expect("a small index");
        let is_delta = name.ends_with(".delta");
        match name {
            "response.output_item.added" => {
                assert!(!self.is_open && at == self.items.len(), "items come one after the other: {data}");
                self.is_open = true;
                self.text.clear();
            }
            "response.output_item.done" => {
                assert!(self.is_open && at == self.items.len(), "an item ends that did not begin: {data}");
                self.is_open = false;
                self.items.push(data["item"].clone());
            }
            "response.content_part.added" | "response.reasoning_summary_part.added" => self.text.clear(),
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                let part = &data["part"];
                let whole = part["text"].as_str().or(part["refusal"].as_str()).unwrap_or_default();
                assert_eq!(whole, self.text, "a part is its deltas: {data}");
            }
            _ if is_delta => {
                assert!(self.is_open && data["item_id"].is_string(), "a delta outside of an item: {data}");
                self.text += text(&data["delta"]);
            }
            "response.function_call_arguments.done" => assert_eq!(text(&data["arguments"]), self.text, "{data}"),
            "response.output_text.done" | "response.reasoning_summary_text.done" => {
                assert_eq!(text(&data["text"]), self.text, "{data}")
            }
            "response.refusal.done" => assert_eq!(text(&data["refusal"]), self.text, "{data}"),
            other => panic!("an event that nobody knows: {other}"),
        }
    }
}
