//! What is answered, by every provider to every client: whole answers, and errors.

use codec::dialect::DIALECTS;
use codec::{FaultBody, StreamEnd, Surface};
use serde_json::{Value, json};

use super::{ANTHROPIC, CHAT, CLIENTS, GEMINI, RESPONSES, chat_calls, is_good, reason, shown};
use crate::edits::dialect;
use crate::pairs;

#[test]
fn t29_calls_are_seen_whatever_the_reason_was() {
    let call =
        json!({"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"a\":1}"}});
    for word in ["stop", "length", "content_filter", "tool_calls", "brand_new"] {
        let answer = json!({"id": "a", "created": 1, "choices": [{"index": 0, "finish_reason": word,
            "message": {"role": "assistant", "content": "x", "tool_calls": [call]}}]});
        for (client, seen) in shown(CHAT, &answer) {
            assert!(seen.to_string().contains(r#""name":"get_weather""#), "{word} to {client}: {seen}");
            let is_called = matches!(word, "stop" | "tool_calls");
            assert_eq!(is_good(client, &reason(client, &seen)), is_called, "{word} to {client}: {seen}");
        }
    }
}

#[test]
fn t29_a_reason_that_nobody_knows_is_shown_or_odd_and_never_a_good_end() {
    for (provider, answer) in [
        (
            CHAT,
            json!({"id": "a", "choices": [{"index": 0, "finish_reason": "brand_new", "message": {"content": "x"}}]}),
        ),
        (
            RESPONSES,
            json!({"id": "a", "status": "incomplete", "incomplete_details": {"reason": "brand_new"}, "output": [
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}]}),
        ),
        (ANTHROPIC, json!({"id": "a", "content": [{"type": "text", "text": "x"}], "stop_reason": "brand_new"})),
        (ANTHROPIC, json!({"id": "a", "content": [{"type": "text", "text": "x"}], "stop_reason": "pause_turn"})),
        (GEMINI, json!({"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "BRAND_NEW"}]})),
    ] {
        for (client, seen) in shown(provider, &answer) {
            let reason = reason(client, &seen);
            assert!(!is_good(client, &reason), "{provider} to {client}: {reason}");
            assert!(seen.to_string().contains('x'), "{provider} to {client}: {seen}");
        }
    }
}

#[test]
fn t07_the_stop_sequence_that_was_met_is_told_where_there_is_a_place_for_it() {
    let answer = json!({"id": "a", "content": [{"type": "text", "text": "x"}], "stop_reason": "stop_sequence", "stop_sequence": "END"});
    for (client, seen) in shown(ANTHROPIC, &answer) {
        assert!(is_good(client, &reason(client, &seen)), "{client}: {seen}");
        match client {
            CHAT => assert_eq!(seen["choices"][0]["stop_reason"], "END"),
            ANTHROPIC => assert_eq!(seen["stop_sequence"], "END"),
            _ => {}
        }
    }
}

#[test]
fn t03_texts_around_a_call_are_all_in_the_answer_in_their_order() {
    let answer = json!({"id": "a", "stop_reason": "tool_use", "content": [{"type": "text", "text": "first"},
        {"type": "text", "text": "second"}, {"type": "tool_use", "id": "c", "name": "f", "input": {}}, {"type": "text", "text": "third"}]});
    for (client, seen) in shown(ANTHROPIC, &answer) {
        let whole = seen.to_string();
        let places =
            ["first", "second", "third"].map(|text| whole.find(text).unwrap_or_else(|| panic!("{client}: {whole}")));
        assert!(places.is_sorted(), "{client}: {whole}");
    }
}

#[test]
fn t28_an_address_that_is_cited_reaches_the_clients_of_both_of_openais_families() {
    let citation = json!({"type": "web_search_result_location", "url": "https://a", "title": "A", "cited_text": "c"});
    let source = json!({"groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}]});
    let answers = [
        (
            ANTHROPIC,
            json!({"id": "a", "stop_reason": "end_turn", "content": [{"type": "text", "text": "said", "citations": [citation]}]}),
        ),
        (
            GEMINI,
            json!({"candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": "said"}]}, "groundingMetadata": source}]}),
        ),
    ];
    for (provider, answer) in answers {
        let told = |client: &str| {
            let pair = (dialect(client), dialect(provider));
            let whole = pairs::whole(pair, answer.to_string().as_bytes(), &pairs::edits_for(b"")).unwrap();
            assert!(whole.losses.is_empty(), "{provider} to {client}: {}", whole.losses);
            serde_json::from_slice::<Value>(&whole.body.into_bytes()).unwrap()
        };
        let chat = told(CHAT)["choices"][0]["message"]["annotations"][0]["url_citation"].clone();
        let mut responses = told(RESPONSES)["output"][0]["content"][0]["annotations"][0].clone();
        assert_eq!(responses.as_object_mut().unwrap().remove("type"), Some(json!("url_citation")));
        assert_eq!(responses, chat, "{provider}");
        assert_eq!(chat, json!({"url": "https://a", "title": "A", "start_index": 0, "end_index": 4}));
    }
    let event = |value: Value| format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap());
    let anthropic = [
        json!({"type": "message_start", "message": {"id": "a", "usage": {"input_tokens": 1, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "said"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": citation}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop"}),
    ];
    let gemini = format!(
        "data: {}\n\ndata: {}\n\n",
        json!({"candidates": [{"content": {"parts": [{"text": "said"}]}}]}),
        json!({"candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": ""}]}, "groundingMetadata": source}]})
    );
    for (provider, stream) in [(ANTHROPIC, anthropic.map(event).concat()), (GEMINI, gemini)] {
        let pair = (dialect(RESPONSES), dialect(provider));
        let passed = pairs::stream(pair, stream.as_bytes(), stream.len(), &pairs::edits_for(b""));
        assert_eq!(passed.end, StreamEnd::Finished, "{provider}");
        let out = String::from_utf8(passed.out).unwrap();
        let events: Vec<Value> = out
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap())
            .collect();
        let cited = json!({"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 4});
        let added = events.iter().find(|event| event["type"] == "response.output_text.annotation.added").unwrap();
        assert_eq!(added["annotation"], cited, "{provider}");
        let ended = &events.last().unwrap()["response"]["output"][0]["content"][0]["annotations"];
        assert_eq!(*ended, json!([cited]), "{provider}");
    }
}

/// A chat answer with one call.
fn called(arguments: &str, reason: &str) -> Value {
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}});
    json!({"id": "a", "created": 1, "choices": [{"index": 0, "finish_reason": reason,
        "message": {"role": "assistant", "content": null, "tool_calls": [call]}}]})
}

#[test]
fn t22_t23_arguments_are_an_object_where_that_is_wanted_and_a_cut_one_keeps_its_text() {
    for (client, seen) in shown(CHAT, &called("", "tool_calls")) {
        let (found, expected) = match client {
            CHAT => (&seen["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], json!("{}")),
            RESPONSES => (&seen["output"][0]["arguments"], json!("{}")),
            ANTHROPIC => (&seen["content"][0]["input"], json!({})),
            _ => (&seen["candidates"][0]["content"]["parts"][0]["functionCall"]["args"], json!({})),
        };
        assert_eq!(found, &expected, "{client}: {seen}");
    }
    for (client, seen) in shown(CHAT, &called("{\"city\":\"Kö", "length")) {
        let whole = seen.to_string().replace('\\', "");
        assert!(whole.contains(r#"{"city":"Kö"#), "{client}: {whole}");
        assert!(!is_good(client, &reason(client, &seen)), "{client}: {seen}");
    }
    // A streamed call of which no piece ever came.
    let anthropic = [
        json!({"type": "message_start", "message": {"id": "a", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "c", "name": "f", "input": {}}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": ""}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop"}),
    ];
    let stream: String = anthropic.iter().map(|data| format!("data: {data}\n\n")).collect();
    let out = pairs::stream((dialect(CHAT), dialect(ANTHROPIC)), stream.as_bytes(), 9, &pairs::edits_for(b"")).out;
    let out = String::from_utf8(out).unwrap();
    let events: Vec<Value> =
        out.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    assert_eq!(chat_calls(&events), [("f".to_owned(), json!({}))], "{out}");
}

#[test]
fn t30_a_blocked_prompt_is_a_valid_answer_in_every_family_whole_and_streamed() {
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3},
        "modelVersion": "m", "responseId": "r"});
    let words = [(CHAT, "content_filter"), (RESPONSES, "content_filter"), (ANTHROPIC, "refusal"), (GEMINI, "SAFETY")];
    for (client, seen) in shown(GEMINI, &blocked) {
        let word = words.iter().find(|(id, _)| *id == client).unwrap().1;
        assert_eq!(reason(client, &seen), word, "{client}: {seen}");
        let stream = format!("data: {blocked}\r\n\r\n");
        let pair = (dialect(client), dialect(GEMINI));
        let passed = pairs::stream(pair, stream.as_bytes(), 7, &pairs::edits_for(b""));
        assert_eq!(
            (passed.end, passed.tap.usage().map(|usage| usage.prompt)),
            (StreamEnd::Finished, Some(3)),
            "{client}"
        );
        assert!(String::from_utf8(passed.out).unwrap().contains(&format!("\"{word}\"")), "{client}");
    }
}

#[test]
fn t41_an_error_has_the_envelope_of_its_family_at_every_status() {
    for dialect in DIALECTS.iter().filter(|one| CLIENTS.contains(&one.id)) {
        for (status, anthropics, googles) in [
            (400, "invalid_request_error", "INVALID_ARGUMENT"),
            (401, "authentication_error", "UNAUTHENTICATED"),
            (402, "billing_error", "FAILED_PRECONDITION"),
            (403, "permission_error", "PERMISSION_DENIED"),
            (404, "not_found_error", "NOT_FOUND"),
            (413, "request_too_large", "INVALID_ARGUMENT"),
            (429, "rate_limit_error", "RESOURCE_EXHAUSTED"),
            (500, "api_error", "INTERNAL"),
            (503, "overloaded_error", "UNAVAILABLE"),
            (504, "api_error", "DEADLINE_EXCEEDED"),
            (529, "overloaded_error", "UNAVAILABLE"),
        ] {
            let fault = FaultBody {
                status,
                kind: "a_kind",
                code: "a_code",
                message: "said",
                param: Some("top_p"),
                request_id: "req_1",
                metadata: Some(r#"{"previous_errors":["before"]}"#),
            };
            let body: Value = serde_json::from_slice(&dialect.encode_fault(Surface::V1, &fault)).unwrap();
            let error = &body["error"];
            assert_eq!(error["message"], "said", "{}", dialect.id);
            match dialect.id {
                ANTHROPIC => {
                    let found = (&body["type"], error["type"].as_str().unwrap(), &body["request_id"]);
                    assert_eq!(found, (&json!("error"), anthropics, &json!("req_1")), "{status}");
                    assert_eq!(error["details"]["previous_errors"][0], "before");
                }
                GEMINI => {
                    assert_eq!(
                        (&error["code"], error["status"].as_str().unwrap()),
                        (&json!(status), googles),
                        "{status}"
                    );
                    assert!(error["details"].to_string().contains("previous_errors"));
                }
                _ => {
                    let found = (&error["type"], &error["code"], &error["param"]);
                    assert_eq!(found, (&json!("a_kind"), &json!("a_code"), &json!("top_p")), "{status}");
                    assert_eq!(error["metadata"]["previous_errors"][0], "before");
                }
            }
        }
    }
}

#[test]
fn t46_what_binds_sealed_state_shows_nothing_of_itself() {
    let carry = codec::Carry::new(b"a provider's credential", "org", "provider", "model");
    assert_eq!(format!("{carry:?}"), "Carry");
}
