//! Streamed answers: recorded ones are understood however they are cut, an end without a finish is never success, and a
//! client puts together the same answer that is shown whole.

use serde_json::{Value, json};

use super::answers::{no_price, opened};
use super::*;
use crate::cross::CrossPass;
use crate::dialect::Pass;
use crate::drive::StreamEnd;
use crate::model::fold::fold;
use crate::model::{Event, Finish, Piece, Signature, Start};
use crate::tap::Tap;
use domain::usage::TokenUsage;

fn cases() -> Vec<fixtures::Case> {
    let all = fixtures::cases(&["anthropic", "constructed"]);
    all.into_iter().filter(|case| case.is_stream && case.name.contains("anthropic")).collect()
}

fn run(mut pass: Box<dyn Pass>, stream: &[u8], size: usize) -> (Vec<u8>, StreamEnd, Tap) {
    let mut out = Vec::new();
    for chunk in stream.chunks(size.max(1)) {
        out.extend_from_slice(&pass.push(Bytes::copy_from_slice(chunk), &mut no_price));
    }
    let (rest, end) = pass.end(&mut no_price);
    out.extend_from_slice(&rest);
    (out, end, pass.tap().clone())
}

fn same(stream: &[u8], size: usize) -> (Vec<u8>, StreamEnd, Tap) {
    run(DIALECT.same.stream(&answer_edits()), stream, size)
}

/// From this dialect to itself by way of canonical words.
fn translated(stream: &[u8], size: usize) -> (Vec<u8>, StreamEnd, Tap) {
    let pass = CrossPass::new(Egress.stream(), Ingress.stream(&answer_edits()), Names::default());
    run(Box::new(pass), stream, size)
}

/// What a client makes of a stream, as the SDK does it; stops at the first event out of order.
fn client(stream: &[u8]) -> Value {
    let text = std::str::from_utf8(stream).unwrap();
    let mut message = Value::Null;
    let mut inputs: Vec<String> = Vec::new();
    let mut open = Vec::new();
    let mut is_over = false;
    for event in text.split("\n\n").filter(|event| !event.is_empty()) {
        let (name, data) = event.strip_prefix("event: ").and_then(|rest| rest.split_once("\ndata: ")).unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name, "a name is its data's type");
        assert!(!is_over, "an event behind the end");
        let index = data["index"].as_u64().unwrap_or(0) as usize;
        match name {
            "message_start" => {
                assert!(message.is_null() && data["message"]["usage"]["input_tokens"].is_u64());
                message = data["message"].clone();
            }
            "content_block_start" => {
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!(content.len(), index, "blocks count up from 0");
                assert!(open.is_empty(), "a block within a block");
                content.push(data["content_block"].clone());
                inputs.push(String::new());
                open.push(index);
            }
            "content_block_delta" => {
                assert!(open.contains(&index), "a piece of a block that is not open");
                apply(&mut message["content"][index], &mut inputs[index], &data["delta"]);
            }
            "content_block_stop" => {
                open.remove(open.iter().position(|open| *open == index).unwrap());
                if !inputs[index].is_empty() {
                    message["content"][index]["input"] = serde_json::from_str(&inputs[index]).unwrap();
                }
            }
            "message_delta" => {
                assert!(open.is_empty());
                for name in ["stop_reason", "stop_sequence", "stop_details"] {
                    message[name] = data["delta"][name].clone();
                }
                message["usage"] = data["usage"].clone();
            }
            "message_stop" => is_over = true,
            other => panic!("{other}"),
        }
    }
    assert!(is_over);
    message
}

fn apply(block: &mut Value, input: &mut String, delta: &Value) {
    let mut add = |name: &str| {
        let text = format!("{}{}", block[name].as_str().unwrap(), delta[name].as_str().unwrap());
        block[name] = json!(text);
    };
    match delta["type"].as_str().unwrap() {
        "text_delta" => add("text"),
        "thinking_delta" => add("thinking"),
        "signature_delta" => add("signature"),
        "input_json_delta" => {
            assert_eq!(block["type"], "tool_use");
            input.push_str(delta["partial_json"].as_str().unwrap());
        }
        other => panic!("{other}"),
    }
}

/// Counts of the last events, by plain arithmetic.
fn counted(stream: &[u8]) -> (u64, u64) {
    let text = std::str::from_utf8(stream).unwrap();
    let mut counts = (0, 0);
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let data: Value = serde_json::from_str(data).unwrap();
        let usage = if data["usage"].is_object() { &data["usage"] } else { &data["message"]["usage"] };
        let told = |name: &str, known: u64| usage[name].as_u64().filter(|count| *count > 0).unwrap_or(known);
        counts = (told("input_tokens", counts.0), told("output_tokens", counts.1));
    }
    counts
}

#[test]
fn usage_and_end_are_the_same_by_the_tap_by_events_and_by_counting() {
    for case in cases() {
        let folded = fold(&Egress, &case.response, usize::MAX);
        let (_, end, tap) = same(&case.response, usize::MAX);
        assert_eq!(
            (tap.usage(), tap.usage_is_final()),
            (folded.answer.usage, folded.tap.usage_is_final()),
            "{}",
            case.name
        );
        assert_eq!((tap.upstream_id(), tap.finish_reason()), (folded.tap.upstream_id(), folded.tap.finish_reason()));
        assert_eq!(end, folded.end, "{}", case.name);
        let is_broken = case.name.contains("overloaded");
        assert_eq!(matches!(end, StreamEnd::InBandError(_)), is_broken, "{}", case.name);
        assert_eq!(end == StreamEnd::Finished, !is_broken, "{}", case.name);
        assert_eq!((tap.unread(), folded.tap.unread()), (0, 0), "{}", case.name);
        let usage = tap.usage().unwrap();
        assert_eq!((usage.prompt, usage.completion_total()), counted(&case.response), "{}", case.name);
    }
}

#[test]
fn streams_may_be_cut_anywhere() {
    for case in cases() {
        let (text, whole) =
            (format!("{:?}", fold(&Egress, &case.response, usize::MAX).answer), same(&case.response, usize::MAX).0);
        let shown = translated(&case.response, usize::MAX).0;
        let step = case.response.len() / 40 + 1;
        for size in (1..40).chain((40..case.response.len()).step_by(step)) {
            assert_eq!(format!("{:?}", fold(&Egress, &case.response, size).answer), text, "{} by {size}", case.name);
            assert_eq!(same(&case.response, size).0, whole, "{} by {size}", case.name);
            assert_eq!(translated(&case.response, size).0, shown, "{} by {size}", case.name);
        }
        for line_end in ["\r\n", "\r"] {
            let other = String::from_utf8(case.response.clone()).unwrap().replace('\n', line_end);
            assert_eq!(format!("{:?}", fold(&Egress, other.as_bytes(), 1).answer), text, "{} {line_end:?}", case.name);
        }
    }
}

#[test]
fn no_beginning_of_a_stream_is_taken_for_the_whole() {
    for case in cases() {
        let text = std::str::from_utf8(&case.response).unwrap();
        let delta = text.find("\"message_delta\"").map(|at| text[..at].rfind("data: ").unwrap());
        let finished = delta.map_or(usize::MAX, |at| at + text[at..].find('\n').unwrap());
        // Half an error is one already.
        let error = text.find("event: error").unwrap_or(usize::MAX);
        let step = if text.len() < 6_000 { 1 } else { text.len() / 300 };
        for cut in
            (0..text.len()).step_by(step).chain([finished.min(text.len()), finished.saturating_sub(40).min(text.len())])
        {
            for end in [same(&case.response[..cut], usize::MAX).1, translated(&case.response[..cut], usize::MAX).1] {
                match end {
                    StreamEnd::Finished => assert!(cut >= finished.saturating_sub(40), "{} cut at {cut}", case.name),
                    StreamEnd::InBandError(_) => assert!(cut >= error, "{} cut at {cut}", case.name),
                    StreamEnd::Truncated => assert!(cut < finished, "{} cut at {cut}", case.name),
                    end => panic!("{} cut at {cut}: {end:?}", case.name),
                }
            }
        }
    }
}

#[test]
fn t38_a_client_puts_together_what_is_shown_whole() {
    for case in cases() {
        let folded = fold(&Egress, &case.response, usize::MAX);
        let (out, end, _) = translated(&case.response, 37);
        if end != StreamEnd::Finished {
            assert!(!String::from_utf8(out).unwrap().contains("message_stop"), "{}", case.name);
            continue;
        }
        let (mut seen, mut whole) = (client(&out), shown(&folded.answer).0);
        // How a request was served is told with whole answers only.
        for answer in [&mut seen, &mut whole] {
            answer["usage"].as_object_mut().unwrap().remove("service_tier");
        }
        assert_eq!(opened(seen), opened(whole), "{}", case.name);
    }
}

fn events(blocks: &str, reason: &str) -> String {
    let start =
        r#"{"type":"message_start","message":{"id":"msg_1","model":"m","usage":{"input_tokens":3,"output_tokens":1}}}"#;
    let delta = format!(r#"{{"type":"message_delta","delta":{{{reason}}},"usage":{{"output_tokens":9}}}}"#);
    let all = [
        &[start][..],
        &blocks.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>(),
        &[&delta, r#"{"type":"message_stop"}"#],
    ];
    all.concat().iter().map(|data| format!("data: {data}\n\n")).collect()
}

#[test]
fn t22_a_call_without_pieces_has_an_empty_object_and_one_with_a_whole_start_has_that() {
    let blocks = r#"
        {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t0","name":"f","input":{}}}
        {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":""}}
        {"type":"content_block_stop","index":0}
        {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t1","name":"g","input":{"a":1}}}
        {"type":"content_block_stop","index":1}
        {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t2","name":"g","input":{"a":1}}}
        {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"b\""}}
        {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":":2}"}}"#;
    let folded = fold(&Egress, events(blocks, r#""stop_reason":"tool_use""#).as_bytes(), 1);
    let arguments: Vec<_> = folded.answer.choices[0]
        .parts
        .iter()
        .map(|part| match &part.body {
            crate::model::PartBody::ToolCall { arguments, .. } => arguments.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(arguments, ["{}", r#"{"a":1}"#, r#"{"b":2}"#]);
    assert_eq!((folded.end, folded.answer.choices[0].finish), (StreamEnd::Finished, Some(Finish::ToolCalls)));
}

#[test]
fn t09_the_forced_tools_input_streams_as_text() {
    let blocks = r#"
        {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t0","name":"tollgate_answer","input":{}}}
        {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}
        {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"1}"}}
        {"type":"content_block_stop","index":0}"#;
    let (out, end, tap) = translated(events(blocks, r#""stop_reason":"tool_use""#).as_bytes(), usize::MAX);
    let seen = client(&out);
    assert_eq!(
        (&seen["content"], &seen["stop_reason"]),
        (&json!([{"type":"text","text":"{\"a\":1}"}]), &json!("end_turn"))
    );
    assert_eq!((end, &**tap.finish_reason()), (StreamEnd::Finished, "tool_use"));
}

#[test]
fn tools_of_the_providers_own_come_whole_with_their_input() {
    let blocks = r#"
        {"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}
        {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"query\":"}}
        {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"\"x\"}"}}
        {"type":"content_block_stop","index":0}
        {"type":"content_block_start","index":1,"content_block":{"type":"web_search_tool_result","tool_use_id":"s","content":[]}}
        {"type":"content_block_stop","index":1}
        {"type":"content_block_start","index":2,"content_block":{"type":"text","text":"","citations":[]}}
        {"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"hi"}}
        {"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{"type":"web"}}}
        {"type":"content_block_stop","index":2}"#;
    let folded = fold(&Egress, events(blocks, r#""stop_reason":"pause_turn""#).as_bytes(), 3);
    let choice = &folded.answer.choices[0];
    let [used, found, text] = &choice.parts[..] else { panic!("{:?}", choice.parts) };
    let crate::model::PartBody::Other { raw } = &used.body else { panic!() };
    let used: Value = serde_json::from_str(raw).unwrap();
    assert_eq!(used, json!({"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"x"}}));
    assert!(matches!(&found.body, crate::model::PartBody::Other { raw } if raw.contains("web_search_tool_result")));
    assert!(
        matches!(&text.body, crate::model::PartBody::Text { text, annotations: Some(list) } if text == "hi" && list == r#"[{"type":"web"}]"#)
    );
    assert_eq!((choice.finish, &*choice.native), (Some(Finish::Pause), "pause_turn"));
}

#[test]
fn t29_a_refusal_within_a_stream_says_why() {
    let reason = r#""stop_reason":"refusal","stop_sequence":null,"stop_details":{"type":"refusal","explanation":"no"}"#;
    let folded = fold(&Egress, events("", reason).as_bytes(), 1);
    let choice = &folded.answer.choices[0];
    assert!(matches!(&choice.parts[..], [Part { body: crate::model::PartBody::Refusal(why), .. }] if why == "no"));
    assert_eq!(choice.finish, Some(Finish::Refusal));
}

#[test]
fn t33_usage_of_the_last_event_replaces_and_never_zeroes() {
    let stream = concat!(
        r#"data: {"type":"message_start","message":{"id":"1","usage":{"input_tokens":20,"cache_read_input_tokens":7,"output_tokens":1}}}"#,
        "\n\n",
        r#"data: {"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":5}}"#,
        "\n\n",
        r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":0,"cache_read_input_tokens":0,"output_tokens":9}}"#,
        "\n\n",
        r#"data: {"type":"message_stop"}"#,
        "\n\n"
    );
    let expected = TokenUsage { prompt: 20, cache_read: 7, completion: 9, ..TokenUsage::default() };
    let (out, _, tap) = translated(stream.as_bytes(), usize::MAX);
    assert_eq!((tap.usage(), tap.usage_is_final()), (Some(expected), true));
    let (_, _, passed) = same(stream.as_bytes(), usize::MAX);
    assert_eq!((passed.usage(), passed.usage_is_final()), (Some(expected), true));
    let seen = client(&out);
    assert_eq!(
        (&seen["usage"]["input_tokens"], &seen["usage"]["cache_read_input_tokens"], &seen["usage"]["output_tokens"]),
        (&json!(20), &json!(7), &json!(9))
    );
    // A client that leaves early is charged by the running count.
    let (_, end, tap) = same(&stream.as_bytes()[..150], usize::MAX);
    assert_eq!((end, tap.usage_is_final()), (StreamEnd::Truncated, false));
}

#[test]
fn errors_end_a_stream_and_are_not_passed_on() {
    let begun = r#"data: {"type":"message_start","message":{"id":"1"}}"#;
    for broken in [
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
        "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
        "data: {\"error\":{\"message\":\"Overloaded\"}}\n\n",
        "event: error\ndata: Overloaded\n\n",
        "{\"type\":\"error\",\"error\":{\"message\":\"Overloaded\"}}",
    ] {
        let stream = format!("{begun}\n\n{broken}");
        for (out, end, _) in [same(stream.as_bytes(), 1), translated(stream.as_bytes(), 1)] {
            assert!(
                matches!(&end, StreamEnd::InBandError(error) if error.message == "Overloaded"),
                "{broken}: {end:?}"
            );
            let out = String::from_utf8(out).unwrap();
            assert!(
                out.contains("message_start") && !out.contains("verloaded") && !out.contains("message_stop"),
                "{out}"
            );
        }
    }
    let (_, end, tap) = translated(
        format!("{begun}\n\ndata: {{\"type\":\"news\"}}\n\nevent: ping\ndata: {{\"type\":\"ping\"}}\n\n").as_bytes(),
        7,
    );
    assert_eq!((end, tap.unread()), (StreamEnd::Truncated, 1));
}

/// What a client sees of events of another dialect.
fn written(events: &[Event<'_>], usage: Option<TokenUsage>) -> Vec<u8> {
    let mut encoder = Ingress.stream(&answer_edits());
    let mut out = Vec::new();
    for event in events {
        encoder.event(event, &mut out);
    }
    if let Some(usage) = usage {
        encoder.usage(&usage, &no_price(&usage));
    }
    encoder.finish(&mut out);
    out
}

fn piece<'a>(part: u32, piece: Piece<'a>) -> Event<'a> {
    Event::Piece { choice: 0, part, piece }
}

fn start<'a>(part: u32, start: Start<'a>) -> Event<'a> {
    Event::Start { choice: 0, part, start }
}

fn end<'a>(part: u32) -> Event<'a> {
    Event::End { choice: 0, part }
}

fn finish<'a>(finish: Finish) -> Event<'a> {
    Event::Finish { choice: 0, finish, native: "native".into(), stopped_at: None }
}

fn begin<'a>() -> Event<'a> {
    Event::Begin { id: "chatcmpl-1".into(), created: 7 }
}

fn a_call<'a>(id: &'a str, signature: Option<Signature<'a>>) -> Start<'a> {
    Start::ToolCall { id: id.into(), name: "f".into(), signature }
}

fn thinking<'a>(is_redacted: bool) -> Start<'a> {
    Start::Thought { id: None, is_summary: false, is_redacted }
}

#[test]
fn t24_t38_events_of_other_dialects_become_blocks_in_their_order() {
    let usage = TokenUsage { prompt: 5, cache_read: 6, completion: 7, ..TokenUsage::default() };
    let own = |value: &'static str| Piece::Signature(Signature::Own(value.into()));
    let out = written(
        &[
            begin(),
            start(0, thinking(false)),
            piece(0, Piece::Text("h".into())),
            piece(0, Piece::Text("m".into())),
            piece(0, own("sealed")),
            end(0),
            start(1, thinking(true)),
            piece(1, own("data")),
            end(1),
            start(2, Start::Text),
            end(2),
            start(3, Start::Text),
            piece(3, Piece::Text("".into())),
            piece(3, Piece::Text("x\n\"".into())),
            piece(3, Piece::Logprobs("{}".into())),
            end(3),
            start(4, Start::Other { raw: "{}".into() }),
            end(4),
            start(5, a_call("call_1", Some(Signature::Own("s+".into())))),
            start(6, a_call("call_2", None)),
            piece(6, Piece::Arguments("{\"b\":".into())),
            piece(5, Piece::Arguments("{\"a\":1}".into())),
            piece(6, Piece::Arguments("2}".into())),
            end(5),
            end(6),
            Event::Start { choice: 1, part: 0, start: Start::Text },
            finish(Finish::ToolCalls),
        ],
        Some(usage),
    );
    let seen = client(&out);
    assert_eq!(
        (&seen["id"], &seen["model"], &seen["stop_reason"]),
        (&json!("chatcmpl-1"), &json!("public/model"), &json!("tool_use"))
    );
    let id = carry().wrap_id("call_1", "s+");
    assert_eq!(
        opened(seen.clone())["content"],
        json!([
        {"type":"thinking","thinking":"hm","signature":"sealed"}, {"type":"redacted_thinking","data":"data"}, {"type":"text","text":"x\n\""},
        {"type":"tool_use","id":id,"name":"f","input":{"a":1}}, {"type":"tool_use","id":"call_2","name":"f","input":{"b":2}}])
    );
    assert_eq!((&seen["usage"]["input_tokens"], &seen["usage"]["cache_read_input_tokens"]), (&json!(5), &json!(6)));
}

#[test]
fn t38_calls_side_by_side_are_told_one_after_the_other() {
    let mut out = Vec::new();
    let mut encoder = Ingress.stream(&answer_edits());
    let mut tell = |event: Event<'_>| {
        let before = out.len();
        encoder.event(&event, &mut out);
        String::from_utf8(out[before..].to_vec()).unwrap()
    };
    tell(begin());
    for part in [0, 1, 2] {
        let told = tell(start(part, a_call(["c_0", "c_1", "c_2"][part as usize], None)));
        assert_eq!(told.is_empty(), part > 0, "the first is told at once");
    }
    assert!(tell(piece(0, Piece::Arguments("{\"a\":".into()))).contains("\"index\":0"));
    for part in [2, 1] {
        assert_eq!(tell(piece(part, Piece::Arguments(format!("{{\"a\":{part}}}").into()))), "");
    }
    assert_eq!(tell(end(1)), "");
    tell(piece(0, Piece::Arguments("0}".into())));
    let rest = tell(end(0));
    assert!(rest.contains("c_1") && rest.contains("c_2"), "whoever waited is told: {rest}");
    assert!(tell(piece(2, Piece::Arguments(" ".into()))).contains("\"index\":2"), "and the last goes on at once");
    tell(finish(Finish::ToolCalls));
    encoder.finish(&mut out);
    let calls =
        |seen: &Value| seen["content"].as_array().unwrap().iter().map(|call| call["input"]["a"].clone()).collect();
    let inputs: Vec<Value> = calls(&client(&out));
    assert_eq!(inputs, [json!(0), json!(1), json!(2)]);
}

#[test]
fn calls_that_wait_for_too_long_are_told_all_the_same() {
    let mut encoder = Ingress.stream(&answer_edits());
    let mut out = Vec::new();
    for event in [begin(), start(0, a_call("c_0", None)), start(1, a_call("c_1", None))] {
        encoder.event(&event, &mut out);
    }
    let mebibyte = "x".repeat(1024 * 1024);
    for _ in 0..12 {
        encoder.event(&piece(1, Piece::Arguments(mebibyte.as_str().into())), &mut out);
    }
    assert!(out.len() > 8 * mebibyte.len(), "no more than so much is kept");
    encoder.finish(&mut out);
    assert!(out.len() > 12 * mebibyte.len(), "nothing is lost");
}

#[test]
fn t04_t39_a_stream_with_nothing_in_it_is_still_a_message() {
    let seen = client(&written(&[begin(), start(0, Start::Text), finish(Finish::Stop)], None));
    assert_eq!(
        (&seen["content"], &seen["stop_reason"], &seen["usage"]["output_tokens"]),
        (&json!([]), &json!("end_turn"), &json!(0))
    );
    let seen = client(&written(&[finish(Finish::Unknown)], None));
    assert_eq!((&seen["id"], &seen["stop_reason"]), (&json!("req_7"), &json!("native")));
    let open = [begin(), start(0, Start::Refusal), piece(0, Piece::Text("no".into())), finish(Finish::Stop)];
    let seen = client(&written(&open, None));
    assert_eq!(
        (&seen["content"][0]["text"], &seen["stop_reason"], &seen["stop_details"]["type"]),
        (&json!("no"), &json!("refusal"), &json!("refusal"))
    );
}

#[test]
fn t45_a_thought_without_a_signature_streams_with_our_mark() {
    let events = [begin(), start(0, thinking(false)), piece(0, Piece::Text("hm".into())), end(0), finish(Finish::Stop)];
    let seen = client(&written(&events, None));
    assert_eq!(seen["content"], json!([{"type":"thinking","thinking":"hm","signature":carry().wrap("")}]));
}

#[test]
fn output_is_shown_as_soon_as_it_is_there() {
    let mut encoder = Ingress.stream(&answer_edits());
    let mut out = Vec::new();
    encoder.event(&begin(), &mut out);
    assert!(out.starts_with(b"event: message_start\n") && out.ends_with(b"\n\n"));
    out.clear();
    encoder.event(&start(0, Start::Text), &mut out);
    assert!(out.is_empty(), "a text that may stay empty has not begun");
    encoder.event(&piece(0, Piece::Text("x".into())), &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
         event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n"
    );
}
