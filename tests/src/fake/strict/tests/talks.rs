//! Conversations: all families say the same, whole and streamed, and carry their own answers on.

use serde_json::{Value, json};

use super::super::serve::Body;
use super::*;

#[test]
fn all_families_say_the_same() {
    for path in TALKS {
        let (seen, out) = good(path, &plain(path, "Hello !tag one"));
        assert_eq!(said(path, &whole(&out)), "you said: Hello !tag one", "{path}");
        assert_eq!(seen.tag, "one");
        assert!(seen.truth.prompt > 0 && seen.truth.completion > 0 && seen.truth.reasoning == 0);
    }
}

#[test]
fn ten_rounds_of_tools_and_thoughts_go_through() {
    for path in TALKS {
        let question = |round: usize| {
            format!(
                "round {round} call get_weather({{\"city\":\"A{round}\"}}) call get_weather({{\"city\":\"B{round}\"}})"
            )
        };
        let mut body = with_tools(path, thinking(path, &plain(path, &question(0))));
        for round in 0..10 {
            let (_, out) = good(path, &body);
            let results = [format!("sunny {round}"), format!("rainy {round}")];
            let results: Vec<&str> = results.iter().map(String::as_str).collect();
            body = carried_on(path, &body, &whole(&out), &results, None);
            let (seen, out) = good(path, &body);
            assert_eq!(said(path, &whole(&out)), format!("results: sunny {round} | rainy {round}"), "{path}");
            assert!(seen.truth.reasoning > 0, "{path}");
            assert_eq!(seen.dummies, 0);
            body = carried_on(path, &body, &whole(&out), &[], Some(&question(round + 1)));
        }
    }
}

/// What a stream says in the end, by family: its text, its calls and its usage.
fn folded(path: &str, events: &[Value]) -> (String, Vec<String>, Value) {
    let mut text = String::new();
    let mut calls: Vec<String> = Vec::new();
    let mut usage = Value::Null;
    for event in events {
        match path {
            CHAT => {
                let delta = &event["choices"][0]["delta"];
                text += delta["content"].as_str().unwrap_or_default();
                for call in delta["tool_calls"].as_array().into_iter().flatten() {
                    if call["id"].is_string() {
                        calls.push(String::new());
                    }
                    *calls.last_mut().unwrap() += call["function"]["arguments"].as_str().unwrap();
                }
                if event["usage"].is_object() {
                    usage = event["usage"].clone();
                }
            }
            RESPONSES => match event["type"].as_str().unwrap() {
                "response.output_text.delta" => text += event["delta"].as_str().unwrap(),
                "response.function_call_arguments.done" => calls.push(event["arguments"].as_str().unwrap().to_owned()),
                "response.completed" => usage = event["response"]["usage"].clone(),
                _ => {}
            },
            MESSAGES => match event["type"].as_str().unwrap() {
                "content_block_start" if event["content_block"]["type"] == "tool_use" => calls.push(String::new()),
                "content_block_delta" => {
                    text += event["delta"]["text"].as_str().unwrap_or_default();
                    if let Some(piece) = event["delta"]["partial_json"].as_str() {
                        *calls.last_mut().unwrap() += piece;
                    }
                }
                "message_delta" => usage = event["usage"].clone(),
                _ => {}
            },
            _ => {
                for part in event["candidates"][0]["content"]["parts"].as_array().into_iter().flatten() {
                    if part["thought"] != true {
                        text += part["text"].as_str().unwrap_or_default();
                    }
                    if part["functionCall"].is_object() {
                        calls.push(part["functionCall"]["args"].to_string());
                    }
                }
                usage = event["usageMetadata"].clone();
            }
        }
    }
    (text, calls, usage)
}

fn streamed(path: &'static str, body: &Value) -> (&'static str, Value) {
    match path {
        GENERATE => (STREAM, body.clone()),
        CHAT => (CHAT, with(&with(body, "/stream", json!(true)), "/stream_options", json!({"include_usage": true}))),
        other => (other, with(body, "/stream", json!(true))),
    }
}

#[test]
fn a_stream_says_what_the_whole_says() {
    for path in TALKS {
        for text in [
            "Grüße aus 東京, a longer text than one piece",
            r#"call get_weather({"city":"Grüße"}) call get_weather({"city":"b"})"#,
        ] {
            let body = with_tools(path, thinking(path, &plain(path, text)));
            let (at, stream) = streamed(path, &body);
            let (seen, out) = good(at, &stream);
            assert!(seen.is_stream);
            let (said_whole, calls, usage) = folded(path, &events(&out));
            let (_, unary) = good(path, &body);
            let unary = whole(&unary);
            assert_eq!(said_whole, said(path, &unary), "{path}");
            let wanted: &[&str] =
                if text.contains("call") { &[r#"{"city":"Grüße"}"#, r#"{"city":"b"}"#] } else { &[] };
            assert_eq!(calls, wanted, "{path}");
            let told = if path == GENERATE { &unary["usageMetadata"] } else { &unary["usage"] };
            for (name, value) in usage.as_object().unwrap() {
                assert_eq!(&told[name], value, "{path}: {name}");
            }
        }
    }
}

#[test]
fn responses_count_their_events() {
    let body = with_tools(RESPONSES, thinking(RESPONSES, &plain(RESPONSES, r#"call get_weather({"city":"x"})"#)));
    let (_, out) = good(RESPONSES, &with(&body, "/stream", json!(true)));
    let events = events(&out);
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], at);
    }
    let names: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["response.created", "response.in_progress", "response.output_item.added"]);
    assert_eq!(names.last(), Some(&"response.completed"));
}

#[test]
fn structured_output_is_an_instance() {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false});
    for path in TALKS {
        for (text, wanted) in
            [("x", r#"{"city":"toll"}"#), ("!badjson", r#"{"city":"toll""#), ("!mismatch", r#"{"wrong":true}"#)]
        {
            let body = plain(path, text);
            let format = json!({"type": "json_schema", "name": "place", "schema": schema, "strict": true});
            let body = match path {
                CHAT => with(
                    &body,
                    "/response_format",
                    json!({"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": true}}),
                ),
                RESPONSES => with(&body, "/text", json!({"format": format})),
                MESSAGES => with(&body, "/output_config", json!({"format": {"type": "json_schema", "schema": schema}})),
                _ => with(
                    &body,
                    "/generationConfig",
                    json!({"responseMimeType": "application/json", "responseJsonSchema": schema}),
                ),
            };
            assert_eq!(said(path, &whole(&good(path, &body).1)), wanted, "{path}");
        }
    }
}

#[test]
fn usage_is_told_in_each_familys_way() {
    let command =
        "!usage prompt=100,cache_read=20,cache_write=30,cache_write_1h=40,completion=50,reasoning=7,audio_input=3";
    let tell = |path| {
        let (seen, out) = good(path, &plain(path, command));
        (seen.truth, whole(&out))
    };
    let (truth, answer) = tell(CHAT);
    let usage = &answer["usage"];
    assert_eq!((truth.prompt, truth.audio_input), (170, 3));
    assert_eq!((usage["prompt_tokens"].as_u64(), usage["completion_tokens"].as_u64()), (Some(193), Some(57)));
    assert_eq!(usage["prompt_tokens_details"], json!({"cached_tokens": 20, "audio_tokens": 3}));
    let (truth, answer) = tell(MESSAGES);
    let usage = &answer["usage"];
    assert_eq!((truth.prompt, truth.cache_write_1h), (103, 40));
    assert_eq!(
        (
            usage["input_tokens"].as_u64(),
            usage["cache_creation_input_tokens"].as_u64(),
            usage["output_tokens"].as_u64()
        ),
        (Some(103), Some(70), Some(57))
    );
    let (truth, answer) = tell(GENERATE);
    let usage = &answer["usageMetadata"];
    assert_eq!(truth.completion, 50);
    assert_eq!(
        (
            usage["promptTokenCount"].as_u64(),
            usage["candidatesTokenCount"].as_u64(),
            usage["thoughtsTokenCount"].as_u64()
        ),
        (Some(193), Some(50), Some(7))
    );
    let (truth, answer) = tell(RESPONSES);
    assert_eq!(truth.prompt, 173);
    assert_eq!(answer["usage"]["output_tokens_details"]["reasoning_tokens"], 7);
}

#[test]
fn media_is_shown_with_its_size() {
    let pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let url = format!("data:image/png;base64,{pixel}");
    for (path, place, content) in [
        (
            CHAT,
            "/messages/0/content",
            json!([{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": url}}]),
        ),
        (
            RESPONSES,
            "/input",
            json!([{"role": "user", "content": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": url}]}]),
        ),
        (
            MESSAGES,
            "/messages/0/content",
            json!([{"type": "text", "text": "see"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": pixel}}]),
        ),
        (
            GENERATE,
            "/contents/0/parts",
            json!([{"text": "see"}, {"inlineData": {"mimeType": "image/png", "data": pixel}}]),
        ),
    ] {
        let (_, out) = good(path, &with(&plain(path, ""), place, content));
        assert_eq!(said(path, &whole(&out)), "you said: see [image image/png 70 bytes]", "{path}");
    }
}

#[test]
fn bad_endings_are_as_commanded() {
    for path in TALKS {
        let (at, body) = streamed(path, &plain(path, "!cut !slow 3 !split 5"));
        let (_, out) = good(at, &body);
        assert!(out.is_cut && out.slow.as_millis() == 3 && out.split == Some(5));
        let (at, body) = streamed(path, &plain(path, "a text of some length !inband"));
        let (_, out) = good(at, &body);
        let Body::Stream(frames) = &out.body else { panic!("no stream") };
        let text = String::from_utf8(frames.concat()).unwrap();
        let marks = match path {
            CHAT => ["\"error\":{", "[DONE]"],
            RESPONSES => ["event: error", "response.failed"],
            MESSAGES => ["event: error", "overloaded_error"],
            _ => ["\"error\":{", "UNAVAILABLE"],
        };
        assert!(marks.iter().all(|mark| text.contains(mark)), "{text}");
        let finish = |command: &str| {
            let (_, out) = good(path, &plain(path, command));
            let answer = whole(&out);
            match path {
                CHAT => answer["choices"][0]["finish_reason"].as_str().unwrap().to_owned(),
                RESPONSES => answer["incomplete_details"]["reason"].as_str().unwrap_or("completed").to_owned(),
                MESSAGES => answer["stop_reason"].as_str().unwrap().to_owned(),
                _ => answer["candidates"][0]["finishReason"].as_str().unwrap_or("none").to_owned(),
            }
        };
        let wanted = match path {
            CHAT => ["length", "stop", "content_filter"],
            RESPONSES => ["max_output_tokens", "completed", "content_filter"],
            MESSAGES => ["max_tokens", "refusal", "refusal"],
            _ => ["MAX_TOKENS", "SAFETY", "none"],
        };
        assert_eq!([finish("!length"), finish("!refuse"), finish("!block")], wanted);
    }
}

#[test]
fn a_stream_of_gemini_is_an_array_without_alt_sse() {
    let path = STREAM.trim_end_matches("?alt=sse");
    let (_, out) = good(path, &plain(GENERATE, "hello there"));
    let Body::Stream(frames) = &out.body else { panic!("no stream") };
    let array: Vec<Value> = serde_json::from_slice(&frames.concat()).unwrap();
    assert_eq!(array.last().unwrap()["candidates"][0]["finishReason"], "STOP");
    let (_, out) = good(STREAM, &plain(GENERATE, "hello there"));
    let Body::Stream(frames) = &out.body else { panic!("no stream") };
    assert!(frames.iter().all(|frame| frame.ends_with(b"\r\n\r\n")));
}
