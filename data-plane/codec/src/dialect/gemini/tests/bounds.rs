//! Requests and streams that are made to be slow are not: each of these took minutes, or had no bound.

use std::fmt::Write as _;

use serde_json::json;

use super::asks::{request, turn};
use super::*;
use crate::drive::StreamEnd;
use crate::model::fold::fold;
use crate::model::{Part, PartBody, Role};

#[test]
fn an_answer_in_thousands_of_contents_is_joined_once() {
    let most = 20_000;
    let mut contents = r#"{"role":"user","parts":[{"text":"q"}]}"#.to_owned();
    for _ in 0..most {
        contents.push_str(r#",{"role":"model","parts":[{"text":"a"},{"functionCall":{"name":"f"}},{"text":"b"}]}"#);
    }
    decoded(&format!(r#"{{"contents":[{contents}]}}"#), |request| {
        assert_eq!(request.turns.len(), 2);
        let parts = &request.turns[1].parts;
        // The end of one content and the beginning of the next are one text.
        assert_eq!(parts.len(), 2 * most + 1);
        assert!(matches!(&parts[2].body, PartBody::Text { text, .. } if text == "ba"));
    })
    .unwrap();
}

#[test]
fn thousands_of_responses_find_their_calls() {
    let most = 20_000;
    let (mut calls, mut responses) = (String::new(), String::new());
    for number in 0..most {
        let comma = if number == 0 { "" } else { "," };
        // Half of them have ids, and are answered from the last to the first.
        write!(calls, r#"{comma}{{"functionCall":{{"name":"f"}}}},{{"functionCall":{{"name":"g","id":"i{number}"}}}}"#)
            .unwrap();
        let id = most - 1 - number;
        write!(
            responses,
            r#"{comma}{{"functionResponse":{{"name":"g","id":"i{id}"}}}},{{"functionResponse":{{"name":"f"}}}}"#
        )
        .unwrap();
    }
    let body =
        format!(r#"{{"contents":[{{"role":"model","parts":[{calls}]}},{{"role":"user","parts":[{responses}]}}]}}"#);
    let ids = |parts: &[Part<'_>]| -> Vec<String> {
        let id = |part: &Part<'_>| match &part.body {
            PartBody::ToolCall { id, .. } | PartBody::ToolResult { id, .. } => id.to_string(),
            other => panic!("{other:?}"),
        };
        parts.iter().map(id).collect()
    };
    decoded(&body, |request| {
        let (mut called, mut answered) = (ids(&request.turns[0].parts), ids(&request.turns[1].parts));
        assert_eq!(answered[0], format!("i{}", most - 1));
        called.sort();
        answered.sort();
        assert!(called == answered && called.windows(2).all(|pair| pair[0] != pair[1]));
    })
    .unwrap();
}

#[test]
fn an_id_that_came_twice_is_answered_twice() {
    let call = r#"{"functionCall":{"name":"f","id":"i"}}"#;
    let response = r#"{"functionResponse":{"name":"f"}}"#;
    let body = format!(
        r#"{{"contents":[{{"role":"model","parts":[{call},{call}]}},{{"role":"user","parts":[{response},{response}]}}]}}"#
    );
    decoded(&body, |request| {
        for part in &request.turns[1].parts {
            assert!(matches!(&part.body, PartBody::ToolResult { id, .. } if id == "i"));
        }
    })
    .unwrap();
}

#[test]
fn thousands_of_results_stand_in_the_order_of_their_calls() {
    let most = 32_768;
    let id = |number: usize| format!("call_{number:05}");
    let call = |number: usize| {
        Part::new(PartBody::ToolCall { id: id(number).into(), name: "f".into(), arguments: "{}".into() })
    };
    let result = |number: usize| {
        let content = vec![Part::text(number.to_string())];
        Part::new(PartBody::ToolResult { id: id(number).into(), name: None, content, is_error: false })
    };
    let mut turns = vec![turn(Role::Assistant, (0..most).map(call).collect())];
    // Each result in a turn of its own, with something said beside it.
    for number in (0..most).rev() {
        turns.push(turn(Role::User, vec![result(number), Part::text("x")]));
    }
    let carry = carry();
    let (body, _) = asked(&request(turns), &wanted("gemini-2.5-flash", &[], &carry)).unwrap();
    let results = &body["contents"].as_array().unwrap().iter().find(|content| content["role"] == "user").unwrap();
    let results = results["parts"].as_array().unwrap();
    assert_eq!(results.len(), most);
    for (number, result) in results.iter().enumerate() {
        assert_eq!(result["functionResponse"]["response"], json!({"output": number.to_string()}));
    }
}

#[test]
fn choices_that_nobody_can_have_asked_for_are_passed_over() {
    let piece = |index: u64| {
        let candidate = json!({"index": index, "content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"});
        format!("data: {}\n\n", json!({ "responseId": "r", "candidates": [candidate] }))
    };
    let stream: String = (0..2_000).chain([u64::MAX]).map(piece).collect();
    let folded = fold(DIALECT.egress.unwrap(), stream.as_bytes(), stream.len());
    assert_eq!((folded.answer.choices.len(), folded.end), (128, StreamEnd::Finished));
}
