//! Ids of calls that a provider gives none: each answer of one conversation has others, whole or streamed, and what a client
//! sends back finds its call again.

use std::collections::HashSet;

use codec::AnswerEdits;
use serde_json::{Value, json};

use crate::edits::dialect;
use crate::pairs;

/// The same two calls, without ids of their own; the answer has one where it is given.
fn answer(provider: &str, id: Option<&str>, is_stream: bool) -> Vec<u8> {
    let mut answer = match provider {
        "gemini" => {
            let call = json!({"functionCall":{"name":"f","args":{"a":1}}});
            json!({"candidates":[{"content":{"role":"model","parts":[call, call]},"finishReason":"STOP","index":0}]})
        }
        _ => {
            let call =
                |index: u64| json!({"index":index,"type":"function","function":{"name":"f","arguments":"{\"a\":1}"}});
            let said = if is_stream { "delta" } else { "message" };
            let said = json!({"index":0,said:{"role":"assistant","tool_calls":[call(0), call(1)]},"finish_reason":"tool_calls"});
            json!({"created":1,"model":"m","choices":[said]})
        }
    };
    if let Some(id) = id {
        let name = if provider == "gemini" { "responseId" } else { "id" };
        answer.as_object_mut().unwrap().insert(name.to_owned(), id.into());
    }
    match is_stream {
        true => format!("data: {answer}\n\n").into_bytes(),
        false => answer.to_string().into_bytes(),
    }
}

/// The ids that a client of Anthropic's gets.
fn ids(provider: &str, id: Option<&str>, request_id: &str, is_stream: bool) -> Vec<String> {
    let pair = (dialect("anthropic"), dialect(provider));
    let edits = AnswerEdits { request_id: request_id.to_owned(), ..pairs::edits_for(b"") };
    let body = answer(provider, id, is_stream);
    if !is_stream {
        let whole: Value =
            serde_json::from_slice(&pairs::whole(pair, &body, &edits).unwrap().body.into_bytes()).unwrap();
        let blocks = whole["content"].as_array().unwrap();
        return blocks.iter().map(|block| block["id"].as_str().unwrap().to_owned()).collect();
    }
    let out = String::from_utf8(pairs::stream(pair, &body, body.len(), &edits).out).unwrap();
    let events = out.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    events.filter_map(|event| Some(event["content_block"]["id"].as_str()?.to_owned())).collect()
}

#[test]
fn t20_made_up_ids_differ_between_all_answers_of_a_conversation() {
    for provider in ["gemini", "openai-chat"] {
        for is_stream in [false, true] {
            let mut all = HashSet::new();
            for (id, request) in
                [(None, "req_1"), (None, "req_2"), (Some(""), "req_3"), (Some("r1"), "req_4"), (Some("r2"), "req_4")]
            {
                let made = ids(provider, id, request, is_stream);
                assert_eq!(made.len(), 2, "{provider}");
                assert_eq!(made, ids(provider, id, request, !is_stream), "{provider}: streamed or not");
                all.extend(made);
            }
            assert_eq!(all.len(), 10, "{provider}: {all:?}");
        }
    }
}

#[test]
fn t20_made_up_ids_lead_back_to_their_calls() {
    let mut messages = vec![json!({"role":"user","content":"x"})];
    for request in ["req_1", "req_2"] {
        let made = ids("gemini", None, request, false);
        let calls = made.iter().map(|id| json!({"type":"tool_use","id":id,"name":"f","input":{"a":1}}));
        messages.push(json!({"role":"assistant","content":calls.collect::<Vec<_>>()}));
        // The client answers in the other order.
        let results = made
            .iter()
            .enumerate()
            .rev()
            .map(|(at, id)| json!({"type":"tool_result","tool_use_id":id,"content":format!("{request} {at}")}));
        messages.push(json!({"role":"user","content":results.collect::<Vec<_>>()}));
    }
    let body = json!({"model":"m","max_tokens":9,"messages":messages}).to_string();
    let pair = (dialect("anthropic"), dialect("gemini"));
    let sent = pairs::request(pair, body.as_bytes(), None, false).unwrap().body.into_bytes();
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    assert!(!sent.to_string().contains("\"id\""), "Google gave no ids and gets none: {sent}");
    for (turn, request) in [(2, "req_1"), (4, "req_2")] {
        let results = sent["contents"][turn]["parts"].as_array().unwrap();
        let outputs: Vec<&Value> = results.iter().map(|part| &part["functionResponse"]["response"]["output"]).collect();
        assert_eq!(outputs, [&json!(format!("{request} 0")), &json!(format!("{request} 1"))]);
    }
}
