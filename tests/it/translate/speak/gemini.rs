//! A client of Google's generateContent.

use serde_json::{Value, json};

use super::{Call, Choice, Event, Finish, Heard, Memory, Part, Told, Tongue, Tool, count, list, push, text};

pub struct Gemini;

impl Tongue for Gemini {
    fn path(&self, model: &str, is_stream: bool) -> String {
        if is_stream {
            format!("/v1beta/models/{model}:streamGenerateContent?alt=sse")
        } else {
            format!("/v1beta/models/{model}:generateContent")
        }
    }

    fn headers(&self, key: &str) -> Vec<(&'static str, String)> {
        vec![("x-goog-api-key", key.to_owned())]
    }

    fn begin(&self, _: &str) -> Value {
        json!({"contents": []})
    }

    fn system(&self, body: &mut Value, text: &str) {
        body["systemInstruction"] = json!({"parts": [{"text": text}]});
    }

    fn say(&self, body: &mut Value, parts: &[Part]) {
        let parts: Vec<Value> = parts.iter().map(part).collect();
        push(body, "contents", json!({"role": "user", "parts": parts}));
    }

    fn tools(&self, body: &mut Value, tools: &[Tool]) {
        let declare =
            |tool: &Tool| json!({"name": tool.name, "description": "A tool", "parametersJsonSchema": tool.schema});
        body["tools"] = json!([{"functionDeclarations": tools.iter().map(declare).collect::<Vec<_>>()}]);
    }

    fn choose(&self, body: &mut Value, choice: Choice<'_>) {
        let config = match choice {
            Choice::None => json!({"mode": "NONE"}),
            Choice::Any => json!({"mode": "ANY"}),
            Choice::Named(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
        };
        body["toolConfig"] = json!({"functionCallingConfig": config});
    }

    fn one_at_a_time(&self, _: &mut Value) -> bool {
        false
    }

    fn think(&self, body: &mut Value) {
        body["generationConfig"]["thinkingConfig"] = json!({"includeThoughts": true, "thinkingBudget": 2_000});
    }

    fn schema(&self, body: &mut Value, schema: &Value) {
        body["generationConfig"]["responseMimeType"] = json!("application/json");
        body["generationConfig"]["responseJsonSchema"] = schema.clone();
    }

    fn limit(&self, body: &mut Value, tokens: u64) {
        body["generationConfig"]["maxOutputTokens"] = json!(tokens);
    }

    fn temperature(&self, body: &mut Value, value: f64) {
        body["generationConfig"]["temperature"] = json!(value);
    }

    fn stop(&self, body: &mut Value, words: &[&str]) -> bool {
        body["generationConfig"]["stopSequences"] = json!(words);
        true
    }

    fn stream(&self, _: &mut Value) {}

    fn fold(&self, events: &[Event]) -> Result<Value, Value> {
        fold(events)
    }

    fn hear(&self, answer: &Value) -> Heard {
        let candidate = &answer["candidates"][0];
        let (mut said, mut thought, mut calls) = (String::new(), String::new(), Vec::new());
        for part in list(&candidate["content"]["parts"]) {
            let call = &part["functionCall"];
            if call.is_object() {
                assert!(call["args"].is_null() || call["args"].is_object(), "{part}");
                let arguments = if call["args"].is_object() { call["args"].clone() } else { json!({}) };
                calls.push(Call { id: text(&call["id"]).to_owned(), name: text(&call["name"]).to_owned(), arguments });
            } else if part["thought"] == true {
                thought += text(&part["text"]);
            } else {
                assert!(part["text"].is_string(), "a part that nobody knows: {part}");
                said += text(&part["text"]);
            }
        }
        let blocked = answer["promptFeedback"]["blockReason"].is_string();
        let finish = match text(&candidate["finishReason"]) {
            "STOP" if calls.is_empty() => Finish::Stop,
            // The AI SDK goes on with its tools at nothing else.
            "STOP" => Finish::Calls,
            "MAX_TOKENS" => Finish::Length,
            "SAFETY" | "PROHIBITED_CONTENT" => Finish::Refused,
            "" if blocked => Finish::Refused,
            other => panic!("finishReason `{other}` in {answer:#}"),
        };
        let told = told(&answer["usageMetadata"]);
        Heard {
            text: said,
            refusal: String::new(),
            thought,
            calls,
            finish,
            told,
            model: text(&answer["modelVersion"]).to_owned(),
        }
    }

    fn remember(&self, body: &mut Value, answer: &Value, memory: Memory) {
        let content = &answer["candidates"][0]["content"];
        let parts: Vec<Value> = match memory {
            Memory::Faithful => list(&content["parts"]).cloned().collect(),
            Memory::Forgetful => list(&content["parts"])
                .filter(|part| part["thought"] != true)
                .map(|part| match &part["functionCall"] {
                    Value::Null => json!({"text": part["text"]}),
                    call => json!({"functionCall": call}),
                })
                .collect(),
        };
        if !parts.is_empty() {
            push(body, "contents", json!({"role": "model", "parts": parts}));
        }
    }

    fn results(&self, body: &mut Value, calls: &[Call], results: &[&str]) {
        let parts = calls.iter().zip(results).map(|(call, result)| {
            let mut response = json!({"name": call.name, "response": {"output": result}});
            if !call.id.is_empty() {
                response["id"] = json!(call.id);
            }
            json!({"functionResponse": response})
        });
        let parts: Vec<Value> = parts.collect();
        push(body, "contents", json!({"role": "user", "parts": parts}));
    }

    fn error(&self, status: u16, body: &Value) -> String {
        let error = &body["error"];
        assert!(error["status"].is_string() && error["code"].is_u64(), "{body:#}");
        assert!(status == 200 || error["code"] == status, "{body:#}");
        error["message"].as_str().unwrap_or_else(|| panic!("no message in {body:#}")).to_owned()
    }
}

fn part(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({"text": text}),
        Part::Image(mime, data) => json!({"inlineData": {"mimeType": mime, "data": data}}),
        Part::Pdf(data) => json!({"inlineData": {"mimeType": "application/pdf", "data": data}}),
    }
}

fn told(usage: &Value) -> Told {
    let or = |name: &str| usage[name].as_u64().unwrap_or(0);
    let told = Told {
        input: count(&usage["promptTokenCount"], "promptTokenCount"),
        cached: or("cachedContentTokenCount"),
        output: or("candidatesTokenCount") + or("thoughtsTokenCount"),
        reasoning: Some(or("thoughtsTokenCount")),
    };
    assert_eq!(usage["totalTokenCount"], told.input + told.output, "{usage}");
    told
}

fn fold(events: &[Event]) -> Result<Value, Value> {
    let mut whole = json!({"candidates": []});
    assert!(!events.is_empty(), "an empty stream");
    for event in events {
        assert_eq!(event.name, "", "Google's events have no name");
        let chunk: Value = serde_json::from_str(&event.data).unwrap_or_else(|error| panic!("{error} in {event:?}"));
        if !chunk["error"].is_null() {
            return Err(chunk);
        }
        for name in ["usageMetadata", "modelVersion", "responseId", "promptFeedback"] {
            if !chunk[name].is_null() {
                whole[name] = chunk[name].clone();
            }
        }
        for candidate in list(&chunk["candidates"]) {
            let at = usize::try_from(candidate["index"].as_u64().unwrap_or(0)).expect("a small index");
            while list(&whole["candidates"]).count() <= at {
                push(&mut whole, "candidates", json!({"content": {"role": "model", "parts": []}, "index": at}));
            }
            let grown = &mut whole["candidates"][at];
            assert!(grown["finishReason"].is_null(), "a chunk behind the finish: {chunk}");
            list(&candidate["content"]["parts"]).for_each(|part| grow(&mut grown["content"], part));
            for name in ["finishReason", "safetyRatings", "finishMessage"] {
                if !candidate[name].is_null() {
                    grown[name] = candidate[name].clone();
                }
            }
        }
    }
    let is_over = list(&whole["candidates"]).all(|candidate| candidate["finishReason"].is_string());
    let is_there = whole["promptFeedback"].is_object() || list(&whole["candidates"]).next().is_some();
    assert!(is_over && is_there, "a stream that does not end: {events:?}");
    Ok(whole)
}

/// Texts of one kind grow together; what is signed stays a part of its own.
fn grow(content: &mut Value, part: &Value) {
    let is_plain = |part: &Value| part["text"].is_string() && part["thoughtSignature"].is_null();
    let last = content["parts"].as_array_mut().and_then(|parts| parts.last_mut());
    match last.filter(|last| is_plain(last) && is_plain(part) && last["thought"] == part["thought"]) {
        Some(last) => last["text"] = json!(format!("{}{}", text(&last["text"]), text(&part["text"]))),
        None if is_plain(part) && text(&part["text"]).is_empty() => {}
        None => push(content, "parts", part.clone()),
    }
}
