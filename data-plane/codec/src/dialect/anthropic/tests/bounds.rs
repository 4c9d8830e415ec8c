//! Requests and streams that are made to be slow are not: each of these took minutes, or had no bound.

use serde_json::json;

use super::*;
use crate::drive::StreamEnd;
use crate::model::fold::fold;
use crate::model::{Tool, ToolChoice, ToolKind};

#[test]
fn thousands_of_tools_that_were_called_are_named_once_each() {
    let most = 32_768;
    let names: Vec<String> = (0..most).map(|number| format!("f{number}")).collect();
    let calls = names.iter().chain(&names).map(|name| call(name, name, "{}")).collect();
    let request = Request { turns: vec![turn(0, Role::Assistant, calls)], ..foreign() };
    let (body, _) = usual().gets(&request).unwrap();
    let tools = body["tools"].as_array().unwrap();
    assert_eq!((tools.len(), &tools[most - 1]["name"]), (most, &json!(names[most - 1])));
}

#[test]
fn thousands_of_tools_among_many_names_are_offered_at_once() {
    let tool = |number: usize| {
        let kind =
            ToolKind::Function { name: format!("t{number}").into(), description: None, schema: None, strict: None };
        Tool { kind, cache: None }
    };
    let names = (0..100_000).map(|number| format!("o{number}").into()).chain(["t7".into(), "t4095".into()]).collect();
    let request = Request {
        tools: (0..4_096).map(tool).collect(),
        tool_choice: Some(ToolChoice::Among { names, required: true }),
        ..foreign()
    };
    let (body, _) = usual().gets(&request).unwrap();
    let offered: Vec<&Value> = body["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    assert_eq!(offered, ["t7", "t4095"]);
}

#[test]
fn what_only_this_dialect_knows_of_thousands_of_blocks_comes_back() {
    let block = r#"{"type":"text","text":"a","x":1}"#;
    let message = |number: usize| {
        let role = if number.is_multiple_of(2) { "user" } else { "assistant" };
        format!(r#"{{"role":"{role}","content":[{block},{block}],"y":{number}}}"#)
    };
    let messages: Vec<String> = (0..10_000).map(message).collect();
    let body = format!(r#"{{"model":"m","max_tokens":9,"messages":[{}]}}"#, messages.join(","));
    let (sent, losses) = read(&body, |request| usual().gets(request)).unwrap().unwrap();
    let expected: Value = serde_json::from_str(&body).unwrap();
    assert!(sent["messages"] == expected["messages"] && losses.is_empty());
}

#[test]
fn a_provider_has_at_most_a_thousand_blocks_open_at_once() {
    let event = |data: Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap());
    let ended = |blocks: u32| {
        let block = json!({"type": "text", "text": "x"});
        let start = |index: u32| event(json!({"type": "content_block_start", "index": index, "content_block": block}));
        let mut stream = event(json!({"type": "message_start", "message": {"id": "m"}}));
        stream.extend((0..blocks).map(start));
        stream += &event(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}));
        stream += &event(json!({"type": "message_stop"}));
        fold(DIALECT.egress.unwrap(), stream.as_bytes(), stream.len())
    };
    let folded = ended(1_024);
    assert_eq!((folded.answer.choices[0].parts.len(), folded.end), (1_024, StreamEnd::Finished));
    assert!(matches!(ended(1_025).end, StreamEnd::InBandError(_)));
}
