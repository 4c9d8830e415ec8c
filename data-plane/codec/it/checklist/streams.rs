//! What is streamed, by every provider to every client.

use std::collections::BTreeSet;

use codec::StreamEnd;
use serde_json::{Value, json};

use super::{ANTHROPIC, CHAT, CLIENTS, Calls, GEMINI, RESPONSES, ask, chat_calls, named, parsed, send, streams};
use crate::edits::dialect;
use crate::fixtures;
use crate::pairs::{self, Pair};

#[test]
fn t20_calls_of_one_name_without_ids_differ_within_an_answer_and_between_answers() {
    let call = json!({"functionCall": {"name": "f", "args": {}}});
    let piece = |id: &Value, parts: Value, reason: Value| {
        format!(
            "data: {}\r\n\r\n",
            json!({"responseId": id, "candidates": [{"content": {"parts": parts}, "finishReason": reason}]})
        )
    };
    for client in [CHAT, RESPONSES, ANTHROPIC] {
        let pair = (dialect(client), dialect(GEMINI));
        let mut ids: Vec<String> = Vec::new();
        for id in ["r1", "r2"] {
            let id = json!(id);
            let stream = piece(&id, json!([call]), Value::Null) + &piece(&id, json!([call]), json!("STOP"));
            let out = String::from_utf8(pairs::stream(pair, stream.as_bytes(), 5, &pairs::edits_for(b"")).out).unwrap();
            let mut found: Vec<String> = Vec::new();
            for data in out.lines().filter_map(|line| line.strip_prefix("data: ")) {
                let Ok(event) = serde_json::from_str::<Value>(data) else { continue };
                let call = match client {
                    CHAT => event["choices"][0]["delta"]["tool_calls"][0]["id"].clone(),
                    ANTHROPIC => event["content_block"]["id"].clone(),
                    _ if event["type"] == "response.output_item.added" => event["item"]["call_id"].clone(),
                    _ => Value::Null,
                };
                found.extend(call.as_str().map(str::to_owned));
            }
            assert_eq!(found.len(), 2, "{client}: {out}");
            ids.extend(found);
        }
        let different: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(different.len(), 4, "{client}: {ids:?}");
    }
}

/// A chat stream with two calls that are written at the same time.
fn two_calls() -> String {
    let data = |delta: Value, reason: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
        format!("data: {}\n\n", json!({"id": "a", "created": 1, "choices": [choice]}))
    };
    let begin = |index: u64, id: &str| {
        let function = json!({"name": format!("name_{id}"), "arguments": ""});
        data(json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}), json!(null))
    };
    let more = |index: u64, text: &str| {
        data(json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]}), json!(null))
    };
    [
        data(json!({"role": "assistant", "content": "I look."}), json!(null)),
        begin(0, "call_a"),
        begin(1, "call_b"),
        more(0, "{\"x\""),
        more(1, "{\"y\":"),
        more(0, ":1}"),
        more(1, "2}"),
        data(json!({}), json!("tool_calls")),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat()
}

#[test]
fn t24_calls_of_one_answer_have_places_of_their_own_and_are_named_once() {
    let edits = pairs::edits_for(b"");
    let through = |pair: Pair, stream: &[u8]| {
        let passed = pairs::stream(pair, stream, 11, &edits);
        assert_eq!(passed.end, StreamEnd::Finished, "{}", named(pair));
        passed.out
    };
    for provider in CLIENTS {
        // What a family's client is told is what a family's provider tells.
        let told = through((dialect(provider), dialect(CHAT)), two_calls().as_bytes());
        for client in CLIENTS {
            let pair = (dialect(client), dialect(provider));
            let out = String::from_utf8(through(pair, &told)).unwrap();
            let events: Vec<Value> =
                out.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
            let calls = match client {
                CHAT => chat_calls(&events),
                ANTHROPIC => anthropic_calls(&events),
                RESPONSES => responses_calls(&events),
                _ => gemini_calls(&events),
            };
            let expected = [("name_call_a", json!({"x": 1})), ("name_call_b", json!({"y": 2}))];
            let expected = expected.map(|(name, arguments)| (name.to_owned(), arguments));
            assert_eq!(calls, expected, "{}: {out}", named(pair));
        }
    }
}

fn anthropic_calls(events: &[Value]) -> Calls {
    let (mut names, mut texts, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
    for event in events {
        match event["type"].as_str().unwrap() {
            "content_block_start" if event["content_block"]["type"] == "tool_use" => {
                names.push(event["content_block"]["name"].as_str().unwrap().to_owned());
                texts.push(String::new());
                blocks.push(&event["index"]);
            }
            "content_block_delta" if event["delta"]["type"] == "input_json_delta" => {
                let at = blocks.iter().position(|index| *index == &event["index"]).unwrap();
                texts[at] += event["delta"]["partial_json"].as_str().unwrap();
            }
            _ => {}
        }
    }
    assert!(blocks.len() == 2 && blocks[0] != blocks[1], "each call has a block of its own");
    parsed(names, &texts)
}

fn responses_calls(events: &[Value]) -> Calls {
    let (mut names, mut texts, mut items) = (Vec::new(), Vec::new(), Vec::new());
    for event in events {
        match event["type"].as_str().unwrap() {
            "response.output_item.added" if event["item"]["type"] == "function_call" => {
                names.push(event["item"]["name"].as_str().unwrap().to_owned());
                texts.push(String::new());
                items.push((&event["output_index"], &event["item"]["id"]));
            }
            "response.function_call_arguments.delta" => {
                let place = (&event["output_index"], &event["item_id"]);
                let at = items.iter().position(|item| *item == place).unwrap();
                texts[at] += event["delta"].as_str().unwrap();
            }
            _ => {}
        }
    }
    assert!(items.len() == 2 && items[0].0 != items[1].0 && items[0].1 != items[1].1);
    parsed(names, &texts)
}

fn gemini_calls(events: &[Value]) -> Calls {
    let parts = events.iter().filter_map(|event| event["candidates"][0]["content"]["parts"].as_array()).flatten();
    let calls = parts.filter(|part| part["functionCall"].is_object()).map(|part| &part["functionCall"]);
    calls.map(|call| (call["name"].as_str().unwrap().to_owned(), call["args"].clone())).collect()
}

#[test]
fn t33_anthropics_clients_get_whole_usage_at_the_start_and_the_true_one_at_the_end() {
    for (provider, stream) in streams() {
        let pair = (dialect(ANTHROPIC), dialect(provider));
        let passed = pairs::stream(pair, stream.as_bytes(), stream.len(), &pairs::edits_for(b""));
        assert_eq!(passed.end, StreamEnd::Finished, "{provider}");
        let out = String::from_utf8(passed.out).unwrap();
        let events: Vec<Value> =
            out.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
        let of = |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("{out}"));
        let counts = |usage: &Value| {
            ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"]
                .map(|name| usage[name].as_u64().unwrap_or_else(|| panic!("no {name} in {usage}")))
        };
        counts(&of("message_start")["message"]["usage"]);
        assert_eq!(counts(&of("message_delta")["usage"]), [10, 20, 0, 4], "{provider}");
    }
}

#[test]
fn t34_usage_of_a_stream_is_asked_for_whoever_asks() {
    for client in CLIENTS {
        let body = ask(client, if client == GEMINI { json!({}) } else { json!({"stream": true}) });
        let pair = (dialect(client), dialect(CHAT));
        let (text, _) = send(pair, &body.to_string(), true).unwrap();
        let sent: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&sent["stream"], &sent["stream_options"]),
            (&json!(true), &json!({"include_usage": true})),
            "{client}"
        );
        let (text, _) = send(pair, &ask(client, json!({})).to_string(), false).unwrap();
        assert!(!text.contains("stream_options"), "{client}: {text}");
    }
}

#[test]
fn t36_usage_that_nobody_told_is_estimated_and_not_zero_in_every_direction() {
    for (provider, stream) in streams() {
        let silent: String = stream
            .split_inclusive("\n\n")
            .filter_map(|event| {
                let at = event.find("data: ")? + "data: ".len();
                let Ok(mut data) = serde_json::from_str::<Value>(event[at..].trim()) else {
                    return Some(event.to_owned());
                };
                fn strip(value: &mut Value) {
                    let Some(fields) = value.as_object_mut() else { return };
                    ["usage", "usageMetadata"].iter().for_each(|name| drop(fields.remove(*name)));
                    fields.values_mut().for_each(strip);
                }
                strip(&mut data);
                Some(format!("{}{data}\n\n", &event[..at]))
            })
            .collect();
        for client in CLIENTS {
            let pair = (dialect(client), dialect(provider));
            let passed = pairs::stream(pair, silent.as_bytes(), silent.len(), &pairs::edits_for(b""));
            assert_eq!(passed.end, StreamEnd::Finished, "{}", named(pair));
            assert_eq!(passed.tap.usage(), None, "{}", named(pair));
            assert_eq!(passed.tap.usage_source(), domain::usage::UsageSource::Estimated, "{}", named(pair));
        }
    }
}

#[test]
fn t37_a_stream_says_the_same_however_its_events_are_framed() {
    let mut all: Vec<(&str, String)> = streams().into();
    for case in fixtures::cases(&fixtures::FAMILIES) {
        if case.is_stream && case.status == 200 && case.response.len() < 30_000 && !case.dialect.is_empty() {
            let text = String::from_utf8(case.response).unwrap().replace("\r\n", "\n");
            // Without these marks there is no telling what is a line and what is not.
            if text.lines().all(|line| {
                ["", "data", "event", ":", "id"]
                    .iter()
                    .any(|mark| line.is_empty() || (!mark.is_empty() && line.starts_with(mark)))
            }) {
                all.push((case.dialect, text));
            }
        }
    }
    assert!(all.len() >= 4);
    for (provider, stream) in &all {
        let tight = stream.lines().map(|line| line.replacen(": ", ":", 1) + "\n").collect::<String>();
        let framings = [
            ("line feeds and returns", stream.replace('\n', "\r\n")),
            ("returns", stream.replace('\n', "\r")),
            ("no spaces", tight),
            ("a byte order mark", format!("\u{feff}{stream}")),
            ("comments", stream.split_inclusive("\n\n").map(|event| format!(": ping\n\n{event}")).collect()),
            (
                "unknown fields",
                stream.split_inclusive("\n\n").map(|event| format!("retry: 5\nid: 7\n{event}")).collect(),
            ),
        ];
        for client in CLIENTS {
            let pair = (dialect(client), dialect(provider));
            let edits = pairs::edits_for(b"");
            let plain = pairs::stream(pair, stream.as_bytes(), stream.len(), &edits);
            for (how, framed) in &framings {
                for size in [1, 13, framed.len()] {
                    let passed = pairs::stream(pair, framed.as_bytes(), size, &edits);
                    assert!(passed.out == plain.out && passed.end == plain.end, "{}: {how} by {size}", named(pair));
                    assert_eq!(passed.tap.usage(), plain.tap.usage(), "{}: {how}", named(pair));
                }
            }
        }
    }
}

/// Two pieces of a text, of a thought and of a call's arguments, each cut within a letter, from each family's providers.
fn cut_within_a_letter() -> [(&'static str, Vec<Value>); 4] {
    let (first, second) = ("\u{1}", "\u{2}");
    let chat = |delta: Value| json!({"id": "a", "created": 1, "choices": [{"index": 0, "delta": delta}]});
    let call =
        |text: String| json!({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": text}}]});
    let chats = vec![
        chat(json!({"reasoning_content": first})),
        chat(json!({"reasoning_content": second})),
        chat(json!({"content": first})),
        chat(json!({"content": second})),
        chat(call(format!("{{\"a\":\"{first}"))),
        chat(call(format!("{second}\"}}"))),
        json!({"id": "a", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
    ];
    let said = |kind: &str, at: u64, text: String| json!({"type": format!("response.{kind}.delta"), "output_index": at, "delta": text});
    let item = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": ""});
    let responses = vec![
        json!({"type": "response.created", "response": {"id": "a", "created_at": 1}}),
        said("reasoning_summary_text", 0, first.into()),
        said("reasoning_summary_text", 0, second.into()),
        said("output_text", 1, first.into()),
        said("output_text", 1, second.into()),
        json!({"type": "response.output_item.added", "output_index": 2, "item": item}),
        said("function_call_arguments", 2, format!("{{\"a\":\"{first}")),
        said("function_call_arguments", 2, format!("{second}\"}}")),
        json!({"type": "response.completed", "response": {"id": "a", "status": "completed", "output": []}}),
    ];
    let begin = |at: u64, block: Value| json!({"type": "content_block_start", "index": at, "content_block": block});
    let delta = |at: u64, kind: &str, name: &str, text: String| json!({"type": "content_block_delta", "index": at, "delta": {"type": kind, name: text}});
    let end = |at: u64| json!({"type": "content_block_stop", "index": at});
    let anthropic = vec![
        json!({"type": "message_start", "message": {"id": "a"}}),
        begin(0, json!({"type": "thinking", "thinking": ""})),
        delta(0, "thinking_delta", "thinking", first.into()),
        delta(0, "thinking_delta", "thinking", second.into()),
        end(0),
        begin(1, json!({"type": "text", "text": ""})),
        delta(1, "text_delta", "text", first.into()),
        delta(1, "text_delta", "text", second.into()),
        end(1),
        begin(2, json!({"type": "tool_use", "id": "c", "name": "f", "input": {}})),
        delta(2, "input_json_delta", "partial_json", format!("{{\"a\":\"{first}")),
        delta(2, "input_json_delta", "partial_json", format!("{second}\"}}")),
        end(2),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
        json!({"type": "message_stop"}),
    ];
    let gemini = |part: Value| json!({"candidates": [{"content": {"parts": [part]}}]});
    let geminis = vec![
        gemini(json!({"text": first, "thought": true})),
        gemini(json!({"text": second, "thought": true})),
        gemini(json!({"text": first})),
        gemini(json!({"text": second})),
        gemini(json!({"functionCall": {"name": "f", "args": {"a": format!("{first}{second}")}}})),
        json!({"candidates": [{"finishReason": "STOP"}]}),
    ];
    [(CHAT, chats), (RESPONSES, responses), (ANTHROPIC, anthropic), (GEMINI, geminis)]
}

#[test]
fn t37_a_letter_that_was_cut_between_two_pieces_reaches_other_families_whole() {
    const LOST: char = '\u{fffd}';
    for (provider, events) in cut_within_a_letter() {
        let framed = |event: &Value| {
            let name = event["type"].as_str().map(|name| format!("event: {name}\n")).unwrap_or_default();
            format!("{name}data: {event}\n\n")
        };
        let stream: String = events.iter().map(framed).collect();
        // What stood for the halves, here and within a text of JSON.
        let cut = |first: &str, second: &str| stream.replace("\\u0001", first).replace("\\u0002", second);
        for client in CLIENTS.into_iter().filter(|client| *client != provider) {
            let pair = (dialect(client), dialect(provider));
            let out = |stream: &str| {
                let passed = pairs::stream(pair, stream.as_bytes(), stream.len(), &pairs::edits_for(b""));
                assert_eq!(passed.end, StreamEnd::Finished, "{}", named(pair));
                String::from_utf8(passed.out).unwrap()
            };
            let whole = out(&cut("\\ud83d", "\\ude00"));
            // Arguments are a text of JSON, in which escapes stay as they were.
            let whole = whole.replace("\\\\", "\\");
            let told = whole.matches('😀').count() + whole.matches("\\ud83d\\ude00").count();
            // Clients of Google's have to ask for thoughts.
            let is_told = told >= if client == GEMINI { 2 } else { 3 };
            assert!(is_told && !whole.contains(LOST), "{}: {whole}", named(pair));
            // A half that nothing belongs to is lost, and nothing else is.
            let lone = out(&cut("x\\ud83d", "y"));
            assert!(lone.contains(LOST) && lone.contains('x') && lone.contains('y'), "{}: {lone}", named(pair));
        }
    }
}
