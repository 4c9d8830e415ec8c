//! The checklist's lines about answers, by their numbers: as providers of this dialect give them, and as its clients see
//! those of others.

use std::borrow::Cow;

use super::*;
use crate::loss::Loss;
use crate::model::fold;
use crate::model::{Choice, Event, Finish, MediaKind, Part, PartBody, Piece, Signature, Source, Start, Thought};

/// A response as a provider would write it.
fn response(more: Json) -> Json {
    let mut body = json!({"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "up",
        "output": [], "usage": {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn message(content: Json) -> Json {
    json!({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": content})
}

fn text(text: &str) -> Json {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// A stream as a provider would write it.
fn stream(events: &[Json]) -> Vec<u8> {
    let event = |(at, data): (usize, &Json)| {
        let mut data = data.clone();
        data["sequence_number"] = json!(at);
        format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
    };
    events.iter().enumerate().map(event).collect::<String>().into_bytes()
}

fn folded(events: &[Json]) -> fold::Folded {
    fold::fold(&Providers, &stream(events), usize::MAX)
}

fn created() -> Json {
    json!({"type": "response.created", "response": {"id": "resp_1", "created_at": 1, "status": "in_progress", "output": []}})
}

fn completed(more: Json) -> Json {
    json!({"type": "response.completed", "response": response(more)})
}

/// An answer of another family.
fn answer(parts: Vec<Part<'static>>, finish: Finish) -> Answer<'static> {
    let choice = Choice { parts, finish: Some(finish), native: "native".into(), ..Choice::default() };
    let usage = TokenUsage { prompt: 4, completion: 2, ..TokenUsage::default() };
    Answer { id: "gen/1".into(), created: 9, choices: vec![choice], usage: Some(usage), service_tier: None }
}

fn call(id: &'static str, arguments: &'static str) -> Part<'static> {
    Part::new(PartBody::ToolCall { id: id.into(), name: "f".into(), arguments: arguments.into() })
}

fn thought(text: &'static str, signature: Option<&'static str>) -> Part<'static> {
    let body = PartBody::Thought(Thought { text: text.into(), is_redacted: text.is_empty(), ..Thought::default() });
    Part { body, cache: None, signature: signature.map(|value| Signature::Own(value.into())) }
}

/// Events of another family, as a client of this one gets them.
fn written(list: &[Event<'_>]) -> Vec<(String, Json)> {
    let mut encoder = super::super::ingress::Clients.stream(&answer_edits(b"{}"));
    let mut out = Vec::new();
    list.iter().for_each(|event| encoder.event(event, &mut out));
    encoder.usage(&TokenUsage { prompt: 4, completion: 2, ..TokenUsage::default() }, &RECEIPT);
    encoder.finish(&mut out);
    events(&out)
}

fn begin() -> Event<'static> {
    Event::Begin { id: "gen/1".into(), created: 9 }
}

fn start(part: u32, start: Start<'static>) -> Event<'static> {
    Event::Start { choice: 0, part, start }
}

fn piece(part: u32, piece: Piece<'_>) -> Event<'_> {
    Event::Piece { choice: 0, part, piece }
}

fn end(part: u32) -> Event<'static> {
    Event::End { choice: 0, part }
}

fn finish(finish: Finish) -> Event<'static> {
    Event::Finish { choice: 0, finish, native: "native".into(), stopped_at: None }
}

fn names(events: &[(String, Json)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.strip_prefix("response.").unwrap()).collect()
}

#[test]
fn t20_calls_without_an_id_get_one_and_signatures_travel_in_it() {
    let (shown, _) = shown(&answer(vec![call("", "{}"), call("a", "{}")], Finish::ToolCalls), b"{}");
    let ids: Vec<_> =
        shown["output"].as_array().unwrap().iter().map(|item| item["call_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["call_gen_1_0", "a"]);
    let signed = Start::ToolCall { id: "a".into(), name: "f".into(), signature: Some(Signature::Own("sig".into())) };
    let events = written(&[begin(), start(0, signed), end(0), finish(Finish::ToolCalls)]);
    let id = events[2].1["item"]["call_id"].as_str().unwrap().to_owned();
    assert_eq!(carry().unwrap_id(id.into()), ("a".into(), Some(Signature::Own("sig".into()))));
    let mut part = call("a", "{}");
    part.signature = Some(Signature::Own("sig".into()));
    let (whole, _) = super::shown(&answer(vec![part], Finish::ToolCalls), b"{}");
    assert_eq!(whole["output"][0]["call_id"], events[2].1["item"]["call_id"]);
    assert_eq!(
        answered(
            br#"{"status":"completed","output":[{"type":"function_call","id":"fc_1","name":"f","arguments":""}]}"#,
            |answer| { format!("{:?}", answer.choices[0].parts[0].body) }
        ),
        r#"ToolCall { id: "fc_1", name: "f", arguments: "" }"#
    );
}

#[test]
fn t22_a_call_without_arguments_is_an_empty_object() {
    let (shown, _) = shown(&answer(vec![call("a", "")], Finish::ToolCalls), b"{}");
    assert_eq!(shown["output"][0]["arguments"], "{}");
    let head = Start::ToolCall { id: "a".into(), name: "f".into(), signature: None };
    let events = written(&[begin(), start(0, head), end(0), finish(Finish::ToolCalls)]);
    assert_eq!(
        names(&events)[2..],
        [
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed"
        ]
    );
    assert_eq!((&events[3].1["delta"], &events[4].1["name"]), (&json!("{}"), &json!("f")));
}

#[test]
fn t23_a_call_that_was_cut_off_stays_and_is_called_incomplete() {
    let (whole, _) = shown(&answer(vec![call("a", "{}"), call("b", "{\"x\":")], Finish::Length), b"{}");
    let statuses = |response: &Json| -> Vec<Json> {
        response["output"].as_array().unwrap().iter().map(|item| item["status"].clone()).collect()
    };
    assert_eq!(statuses(&whole), ["completed", "incomplete"]);
    assert_eq!(whole["output"][1]["arguments"], "{\"x\":");
    let head = |id: &'static str| Start::ToolCall { id: id.into(), name: "f".into(), signature: None };
    let events = written(&[
        begin(),
        start(0, head("a")),
        piece(0, Piece::Arguments("{}".into())),
        end(0),
        start(1, head("b")),
        piece(1, Piece::Arguments("{\"x\":".into())),
        end(1),
        finish(Finish::Length),
    ]);
    let last = &events.last().unwrap().1["response"];
    assert_eq!(
        (statuses(last), &last["incomplete_details"]),
        (statuses(&whole), &json!({"reason": "max_output_tokens"}))
    );
}

#[test]
fn t24_calls_that_are_open_at_once_keep_their_own_places() {
    let head = |id: &'static str| Start::ToolCall { id: id.into(), name: "f".into(), signature: None };
    let arguments = |part, text: &'static str| piece(part, Piece::Arguments(text.into()));
    let events = written(&[
        begin(),
        start(0, head("a")),
        start(1, head("b")),
        arguments(0, "{\"a\""),
        arguments(1, "{\"b\""),
        arguments(0, ":1}"),
        arguments(1, ":2}"),
        end(1),
        end(0),
        finish(Finish::ToolCalls),
    ]);
    let deltas: Vec<_> = events
        .iter()
        .filter(|(name, _)| name.ends_with(".delta"))
        .map(|(_, data)| data["output_index"].as_u64().unwrap())
        .collect();
    assert_eq!(deltas, [0, 1, 0, 1]);
    let output = &events.last().unwrap().1["response"]["output"];
    assert_eq!((&output[0]["arguments"], &output[1]["arguments"]), (&json!("{\"a\":1}"), &json!("{\"b\":2}")));
    let item = |at: u64, id: &str, arguments: &str| json!({"type": "function_call", "id": "fc", "call_id": id, "name": "f", "arguments": arguments, "output_index": at});
    let event = |name: &str, at: u64, item: Json| json!({"type": format!("response.output_item.{name}"), "output_index": at, "item": item});
    let delta = |at: u64, text: &str| json!({"type": "response.function_call_arguments.delta", "output_index": at, "delta": text});
    let folded = folded(&[
        created(),
        event("added", 0, item(0, "a", "")),
        event("added", 1, item(1, "b", "")),
        delta(1, "{\"b\":"),
        delta(0, "{}"),
        delta(1, "2}"),
        event("done", 0, item(0, "a", "{}")),
        event("done", 1, item(1, "b", "{\"b\":2}")),
        completed(json!({})),
    ]);
    let bodies: Vec<_> = folded.answer.choices[0].parts.iter().map(|part| format!("{:?}", part.body)).collect();
    assert_eq!(
        bodies,
        [
            r#"ToolCall { id: "a", name: "f", arguments: "{}" }"#,
            r#"ToolCall { id: "b", name: "f", arguments: "{\"b\":2}" }"#,
        ]
    );
    assert_eq!(folded.answer.choices[0].finish, Some(Finish::ToolCalls));
}

#[test]
fn t28_citations_and_native_items_ride_along_as_they_were_written() {
    let note = json!({"type": "url_citation", "url": "https://a", "title": "t", "start_index": 0, "end_index": 1});
    let search = json!({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}});
    let cited = message(json!([{"type": "output_text", "text": "x", "annotations": [note]}]));
    let body = response(json!({"output": [search, cited]})).to_string();
    answered(body.as_bytes(), |answer| {
        let parts = &answer.choices[0].parts;
        let raw = search.to_string();
        assert!(matches!(&parts[0].body, PartBody::Other { raw: found } if **found == raw));
        let expected = json!([note]).to_string();
        assert!(matches!(&parts[1].body, PartBody::Text { annotations: Some(raw), .. } if **raw == expected));
        assert_eq!(answer.usage.map(|usage| usage.web_searches), Some(1));
        let (shown, losses) = shown(&answer, b"{}");
        assert_eq!(shown["output"][0]["content"][0]["annotations"], json!([note]));
        assert_eq!(losses.to_string(), "answer_part");
    });
    let unnamed = PartBody::Text { text: "x".into(), annotations: Some(r#"[{"document_index":1}]"#.into()) };
    let (shown, losses) = shown(&answer(vec![Part::new(unnamed)], Finish::Stop), b"{}");
    assert_eq!(
        (&shown["output"][0]["content"][0]["annotations"], losses.to_string()),
        (&json!([]), "annotations".into())
    );
}

#[test]
fn t28_citations_with_an_address_are_events_and_stand_in_what_ends() {
    let note = |text: &str| Piece::Annotation(text.to_owned().into());
    let events = written(&[
        begin(),
        start(0, Start::Text),
        piece(0, Piece::Text("né ".into())),
        end(0),
        start(1, Start::Text),
        piece(1, Piece::Text("ça".into())),
        piece(1, note(r#"{"type":"web_search_result_location","url":"https://a","title":"A\n"}"#)),
        piece(1, Piece::Text("!".into())),
        piece(
            1,
            note("{\n\"groundingMetadata\":{\"chunks\":[{\"web\":{\"uri\":\"b:\"}},{\"web\":{\"uri\":\"c:\"}}]}}"),
        ),
        piece(1, note(r#"{"type":"page_location"}"#)),
        end(1),
        finish(Finish::Stop),
    ]);
    let cited = |url: &str, title: &str, end: u64| json!({"type": "url_citation", "start_index": 0, "end_index": end, "url": url, "title": title});
    let expected = [cited("https://a", "A\n", 2), cited("b:", "", 3), cited("c:", "", 3)];
    let told: Vec<_> = events.iter().filter(|(name, _)| name == "response.output_text.annotation.added").collect();
    assert_eq!(told.len(), 3);
    for (at, (_, event)) in told.iter().enumerate() {
        assert_eq!((&event["annotation"], &event["annotation_index"]), (&expected[at], &json!(at)));
        assert_eq!((&event["output_index"], &event["content_index"]), (&json!(0), &json!(1)));
        assert_eq!(event["item_id"], events[2].1["item"]["id"]);
    }
    let part = &events.iter().rfind(|(name, _)| name == "response.content_part.done").unwrap().1["part"];
    assert_eq!(part["annotations"], json!(expected));
    let content = &events.last().unwrap().1["response"]["output"][0]["content"];
    assert_eq!((&content[0]["annotations"], &content[1]), (&json!([]), part));
}

#[test]
fn t29_every_end_has_its_own_word_and_none_is_silently_good() {
    let of = |status: &str, reason: Json, output: Json| {
        let body = response(json!({"status": status, "incomplete_details": reason, "output": output})).to_string();
        answered(body.as_bytes(), |answer| {
            let choice = &answer.choices[0];
            (choice.finish, choice.native.to_string())
        })
    };
    let reason = |word: &str| json!({ "reason": word });
    let called = json!([{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]);
    let refusal = json!([message(json!([{"type": "refusal", "refusal": "no"}]))]);
    for (found, finish, native) in [
        (of("completed", Json::Null, json!([])), Some(Finish::Stop), "completed"),
        (of("completed", Json::Null, called.clone()), Some(Finish::ToolCalls), "completed"),
        (of("completed", Json::Null, refusal), Some(Finish::Refusal), "completed"),
        (of("incomplete", reason("max_output_tokens"), called), Some(Finish::Length), "max_output_tokens"),
        (of("incomplete", reason("content_filter"), json!([])), Some(Finish::Filter), "content_filter"),
        (of("incomplete", reason("boredom"), json!([])), Some(Finish::Unknown), "boredom"),
        (of("incomplete", Json::Null, json!([])), Some(Finish::Unknown), "incomplete"),
        (of("in_progress", Json::Null, json!([])), None, ""),
    ] {
        assert_eq!(found, (finish, native.to_owned()));
    }
    let refused = || vec![Part::new(PartBody::Refusal("no".into()))];
    for (parts, finish, status, reason) in [
        (vec![Part::text("x")], Finish::Stop, "completed", None),
        (vec![Part::text("x")], Finish::StopSequence, "completed", None),
        (vec![call("a", "{}")], Finish::ToolCalls, "completed", None),
        (refused(), Finish::Refusal, "completed", None),
        (vec![Part::text("x")], Finish::Refusal, "incomplete", Some("content_filter")),
        (vec![Part::text("x")], Finish::Length, "incomplete", Some("max_output_tokens")),
        (vec![], Finish::Filter, "incomplete", Some("content_filter")),
        (vec![Part::text("x")], Finish::Pause, "incomplete", Some("native")),
        (vec![Part::text("x")], Finish::Unknown, "incomplete", Some("native")),
    ] {
        let (shown, _) = shown(&answer(parts, finish), b"{}");
        assert_eq!((shown["status"].as_str(), shown["incomplete_details"]["reason"].as_str()), (Some(status), reason));
    }
    let (unsaid, _) = shown(&Answer { choices: vec![Choice::default()], ..Answer::default() }, b"{}");
    assert_eq!((&unsaid["status"], &unsaid["incomplete_details"]["reason"]), (&json!("incomplete"), &json!("unknown")));
}

#[test]
fn t30_a_blocked_prompt_is_a_valid_answer() {
    let (shown, _) = shown(&Answer { id: "x".into(), ..Answer::default() }, b"{}");
    assert_eq!((&shown["status"], &shown["output"]), (&json!("incomplete"), &json!([])));
    assert_eq!(shown["incomplete_details"]["reason"], "content_filter");
}

#[test]
fn t32_usage_is_converted_through_classes_that_do_not_overlap() {
    let usage = TokenUsage {
        prompt: 10,
        cache_read: 20,
        cache_write: 3,
        cache_write_1h: 4,
        audio_input: 5,
        completion: 6,
        reasoning: 7,
        audio_output: 8,
        web_searches: 2,
        ..TokenUsage::default()
    };
    let (shown, _) = shown(&Answer { usage: Some(usage), ..answer(vec![Part::text("x")], Finish::Stop) }, b"{}");
    let found = &shown["usage"];
    assert_eq!(
        (&found["input_tokens"], &found["output_tokens"], &found["total_tokens"]),
        (&json!(42), &json!(21), &json!(63))
    );
    assert_eq!(found["input_tokens_details"]["cached_tokens"], 20);
    assert_eq!(found["output_tokens_details"]["reasoning_tokens"], 7);
    let mut tape = Tape::default();
    let text = shown.to_string();
    assert_eq!(super::super::usage::tokens(tape.read(text.as_bytes()).unwrap()), Some(usage));
}

proptest::proptest! {
    #[test]
    fn t50_usage_of_any_size_is_the_same_after_a_round(
        counts in proptest::array::uniform9(0u64..2_000_000)
    ) {
        let [prompt, cache_read, cache_write, cache_write_1h, audio_input, completion, reasoning, audio_output, searches] = counts;
        let usage = TokenUsage {
            prompt, cache_read, cache_write, cache_write_1h, audio_input, completion, reasoning, audio_output,
            web_searches: searches % 1_000,
            ..TokenUsage::default()
        };
        let mut out = Writer::into(b"{\"usage\":".to_vec());
        super::super::usage::write(&mut out, &usage, None);
        out.end_object();
        let text = out.into_buffer();
        let mut tape = Tape::default();
        proptest::prop_assert_eq!(super::super::usage::tokens(tape.read(&text).unwrap()), Some(usage));
    }
}

#[test]
fn t35_usage_comes_with_completed_incomplete_and_failed() {
    for (event, status) in [("completed", "completed"), ("incomplete", "incomplete"), ("failed", "failed")] {
        let last = json!({"type": format!("response.{event}"), "response": response(json!({"status": status}))});
        let folded = folded(&[created(), last]);
        assert_eq!(folded.tap.usage().map(|usage| usage.prompt), Some(5), "{event}");
        assert_eq!(matches!(folded.end, StreamEnd::InBandError(_)), event == "failed");
    }
}

#[test]
fn t36_no_usage_is_not_a_usage_of_zero() {
    for (usage, expected) in [
        (Json::Null, None),
        (json!({}), None),
        (json!({"input_tokens": 0, "output_tokens": 0}), Some(TokenUsage::default())),
        (
            json!({"input_tokens": 7, "total_tokens": 9}),
            Some(TokenUsage { prompt: 7, completion: 2, ..TokenUsage::default() }),
        ),
    ] {
        let body = response(json!({ "usage": usage })).to_string();
        assert_eq!(answered(body.as_bytes(), |answer| answer.usage), expected, "{usage}");
    }
    let (shown, _) = shown(&Answer { usage: None, ..answer(vec![], Finish::Stop) }, b"{}");
    assert_eq!(shown["usage"], Json::Null);
}

#[test]
fn t38_events_stand_in_their_order_with_rising_numbers() {
    let thinks = Start::Thought { id: None, is_summary: false, is_redacted: false };
    let events = written(&[
        begin(),
        start(0, thinks),
        piece(0, Piece::Text("hm".into())),
        piece(0, Piece::Signature(Signature::Own("sig".into()))),
        end(0),
        start(1, Start::Text),
        piece(1, Piece::Text("a".into())),
        piece(1, Piece::Text("b".into())),
        end(1),
        start(2, Start::Refusal),
        piece(2, Piece::Text("no".into())),
        end(2),
        finish(Finish::Stop),
    ]);
    assert_eq!(
        names(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "content_part.added",
            "refusal.delta",
            "refusal.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
    );
    for (at, (name, data)) in events.iter().enumerate() {
        assert_eq!((&data["sequence_number"], &data["type"]), (&json!(at), &json!(name)));
    }
    assert_eq!(events[15].1["content_index"], 1);
    let last = &events.last().unwrap().1["response"];
    assert_eq!(
        (&last["id"], &last["created_at"], &last["usage"]["cost"]),
        (&json!("gen/1"), &json!(9), &json!(0.000412))
    );
    assert_eq!(last["output"][0]["encrypted_content"].as_str().map(|text| text.starts_with("tgst1_")), Some(true));
}

#[test]
fn t38_text_goes_out_at_once() {
    let mut encoder = super::super::ingress::Clients.stream(&answer_edits(b"{}"));
    let mut sent = |event: Event<'_>| {
        let mut out = Vec::new();
        encoder.event(&event, &mut out);
        names(&events(&out)).join(" ")
    };
    assert_eq!(sent(begin()), "created in_progress");
    assert_eq!(sent(start(0, Start::Text)), "output_item.added content_part.added");
    assert_eq!(sent(piece(0, Piece::Text("a".into()))), "output_text.delta");
}

#[test]
fn t39_errors_within_streams_end_them() {
    let flat = json!({"type": "error", "code": "server_error", "message": "sorry", "param": null});
    let nested =
        json!({"type": "error", "error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "sorry"}});
    let failed = json!({"type": "response.failed", "response": response(json!({"status": "failed", "error": {"code": "server_error", "message": "sorry"}}))});
    for (event, code, kind) in
        [(flat, "server_error", None), (nested, "rate_limit_exceeded", Some("tokens")), (failed, "server_error", None)]
    {
        let text = json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "x"});
        let bytes = stream(&[created(), text, event, completed(json!({}))]);
        let folded = fold::fold(&Providers, &bytes, usize::MAX);
        let StreamEnd::InBandError(error) = folded.end else { panic!("{:?}", folded.end) };
        assert_eq!((error.message.as_str(), error.code.as_deref(), error.kind.as_deref()), ("sorry", Some(code), kind));
        let same = DIALECT.same.stream(&answer_edits(b""));
        let mut same = same;
        let out = same.push(Bytes::from(bytes), &mut pricer());
        assert!(!std::str::from_utf8(&out).unwrap().contains("sorry") && !same.is_open());
        assert_eq!(same.tap().upstream_error(), Some(&error));
    }
}

#[test]
fn t41_an_answer_that_failed_with_status_200_is_an_error() {
    for (body, message, code) in [
        (
            response(json!({"status": "failed", "error": {"code": "server_error", "message": "m"}})),
            "m",
            Some("server_error"),
        ),
        (response(json!({"status": "failed"})), "the provider ended the answer with an error", None),
        (json!({"error": {"message": "m", "code": 502}}), "m", Some("502")),
        (json!({"code": "invalid-argument", "error": "m"}), "m", Some("invalid-argument")),
    ] {
        let text = body.to_string();
        let mut tape = Tape::default();
        let error = Providers.decode(tape.read(text.as_bytes()).unwrap()).unwrap_err();
        assert_eq!((error.message.as_str(), error.code.as_deref()), (message, code));
        let whole = DIALECT.same.whole(Bytes::from(text.clone()), &answer_edits(b""), &mut pricer()).unwrap();
        assert_eq!((whole.tap.upstream_error(), whole.body.into_bytes()), (Some(&error), Bytes::from(text)));
    }
    assert!(DIALECT.same.whole(Bytes::from_static(b"<html>"), &answer_edits(b""), &mut pricer()).is_err());
}

#[test]
fn t42_thoughts_are_reasoning_items_and_come_back_with_what_was_sealed() {
    let parts = vec![thought("hm", Some("s1")), thought("", Some("s2")), thought("plain", None), Part::text("x")];
    let (shown, losses) = shown(&answer(parts, Finish::Stop), b"{}");
    assert!(losses.is_empty());
    let output = shown["output"].as_array().unwrap().clone();
    assert_eq!(output[0]["summary"], json!([{"type": "summary_text", "text": "hm"}]));
    assert_eq!(output[1]["summary"], json!([]));
    assert_eq!(output[2].get("encrypted_content"), None);
    // Even without anything sealed it is known that this is no item of the provider's own.
    assert!(crate::carry::is_in(output[2].to_string().as_bytes()));
    let body = json!({"model": "m", "input": output}).to_string();
    decoded(&body, |request| {
        let request = request.unwrap();
        let back: Vec<_> = request
            .turns
            .iter()
            .take(3)
            .map(|turn| {
                let PartBody::Thought(thought) = &turn.parts[0].body else { panic!() };
                (thought.text.to_string(), thought.is_redacted, turn.parts[0].signature.clone())
            })
            .collect();
        assert_eq!(
            back,
            [
                ("hm".to_owned(), false, Some(Signature::Own("s1".into()))),
                (String::new(), true, Some(Signature::Own("s2".into()))),
                ("plain".to_owned(), false, None),
            ]
        );
    });
}

#[test]
fn t43_reasoning_that_is_shown_whole_is_told_from_a_summary() {
    let item = |summary: Json, content: Json| json!({"type": "reasoning", "id": "rs_1", "summary": summary, "content": content, "encrypted_content": "sig"});
    let summary = |text: &str| json!({"type": "summary_text", "text": text});
    let whole = json!({"type": "reasoning_text", "text": "w"});
    for (item, text, is_summary, is_redacted) in [
        (item(json!([summary("a"), summary("b")]), Json::Null), "a\n\nb", true, false),
        (item(json!([]), json!([whole])), "w", false, false),
        (item(json!([]), json!([])), "", false, true),
    ] {
        let body = response(json!({"output": [item, message(json!([text_of("x")]))]})).to_string();
        answered(body.as_bytes(), |answer| {
            let part = &answer.choices[0].parts[0];
            let PartBody::Thought(thought) = &part.body else { panic!() };
            assert_eq!((&*thought.text, thought.is_summary, thought.is_redacted), (text, is_summary, is_redacted));
            assert_eq!(part.signature, Some(Signature::Own("rs_1:sig".into())));
        });
    }
    let delta = |index: u64, text: &str| json!({"type": "response.reasoning_summary_text.delta", "item_id": "rs_1", "output_index": 0, "summary_index": index, "delta": text});
    let done = json!({"type": "response.output_item.done", "output_index": 0, "item": item(json!([summary("a"), summary("b")]), json!([]))});
    let folded = folded(&[created(), delta(0, "a"), delta(1, "b"), done, completed(json!({}))]);
    let PartBody::Thought(thought) = &folded.answer.choices[0].parts[0].body else { panic!() };
    assert_eq!((&*thought.text, thought.is_summary), ("a\n\nb", true));
    let empty = response(json!({"output": [{"type": "reasoning", "id": "rs_1", "summary": []}]})).to_string();
    assert_eq!(
        answered(empty.as_bytes(), |answer| answer.choices[0].parts.len()),
        0,
        "nothing was said and nothing sealed"
    );
}

fn text_of(words: &str) -> Json {
    text(words)
}

#[test]
fn what_is_not_streamed_piece_by_piece_is_taken_from_its_end() {
    let item = message(json!([text("all"), {"type": "refusal", "refusal": "no"}]));
    let done = json!({"type": "response.output_item.done", "output_index": 0, "item": item});
    let call = json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{\"a\":1}"});
    let call_done = json!({"type": "response.output_item.done", "output_index": 1, "item": call});
    let text_done = json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "all"});
    let only = folded(&[completed(json!({"output": [item, call]}))]);
    let items = folded(&[created(), done, call_done.clone(), completed(json!({}))]);
    let parts = |folded: &fold::Folded| -> Vec<String> {
        assert_eq!(folded.end, StreamEnd::Finished);
        folded.answer.choices[0].parts.iter().map(|part| format!("{:?}", part.body)).collect()
    };
    assert_eq!(parts(&only), parts(&items));
    assert_eq!(parts(&only).len(), 3);
    let texts = folded(&[created(), text_done, call_done, completed(json!({}))]);
    assert_eq!(parts(&texts), [parts(&only).remove(0), parts(&only).remove(2)]);
}

#[test]
fn log_probabilities_cross_both_ways() {
    let list = json!([{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]);
    let mut part = text("a");
    part["logprobs"] = list.clone();
    let body = response(json!({"output": [message(json!([part, part]))]})).to_string();
    let both = json!([list[0], list[0]]);
    answered(body.as_bytes(), |answer| {
        let found: Json = serde_json::from_str(answer.choices[0].logprobs.as_deref().unwrap()).unwrap();
        assert_eq!(found, json!({"content": both, "refusal": null}));
    });
    let object = json!({"content": list, "refusal": null}).to_string();
    let mut whole = answer(vec![Part::text("a")], Finish::Stop);
    whole.choices[0].logprobs = Some(object.clone().into());
    let (whole, losses) = shown(&whole, b"{}");
    assert_eq!((&whole["output"][0]["content"][0]["logprobs"], losses.is_empty()), (&list, true));
    let events = written(&[
        begin(),
        start(0, Start::Text),
        piece(0, Piece::Text("a".into())),
        piece(0, Piece::Logprobs(Cow::Owned(object.clone()))),
        end(0),
        finish(Finish::Stop),
    ]);
    assert_eq!((&events[5].1["delta"], &events[5].1["logprobs"]), (&json!(""), &list));
    assert_eq!(events.last().unwrap().1["response"]["output"][0]["content"][0]["logprobs"], list);
    let mut silent = answer(vec![call("a", "{}")], Finish::ToolCalls);
    silent.choices[0].logprobs = Some(object.into());
    assert_eq!(shown(&silent, b"{}").1.to_string(), "answer_logprobs");
}

#[test]
fn pictures_are_items_and_everything_without_a_place_is_a_named_loss() {
    let media = |kind, source| Part::media(kind, None, source);
    let picture = || media(MediaKind::Image, Source::Inline("iVBOR".into()));
    let mut signed = Part::text("x");
    signed.signature = Some(Signature::Own("s".into()));
    let parts = vec![
        picture(),
        media(MediaKind::Audio, Source::Inline("QUJD".into())),
        Part::new(PartBody::Other { raw: "{}".into() }),
        signed,
    ];
    let mut several = answer(parts, Finish::Stop);
    several.choices.push(Choice { index: 1, ..Choice::default() });
    let (shown, losses) = shown(&several, b"{}");
    assert_eq!(losses.to_string(), "reasoning_signature, answer_media, answer_choices, answer_part");
    assert_eq!(
        (&shown["output"][0]["type"], &shown["output"][0]["result"]),
        (&json!("image_generation_call"), &json!("iVBOR"))
    );
    assert_eq!(shown["output"].as_array().unwrap().len(), 2);
    let PartBody::Media(drawn) = picture().body else { panic!() };
    let events = written(&[
        begin(),
        start(0, Start::Media(drawn)),
        end(0),
        start(1, Start::Other { raw: "{}".into() }),
        end(1),
        finish(Finish::Stop),
    ]);
    assert_eq!(names(&events)[2..], ["output_item.added", "output_item.done", "completed"]);
    assert_eq!(events.last().unwrap().1["response"]["output"][0], shown["output"][0]);
    let body =
        response(json!({"output": [{"type": "image_generation_call", "id": "ig_1", "result": "iVBOR"}]})).to_string();
    answered(body.as_bytes(), |answer| assert!(matches!(answer.choices[0].parts[0].body, PartBody::Media(_))));
    // Each of the listed ones has been seen here and above.
    let mut listed = Losses::default();
    Clients.losses().iter().for_each(|loss| listed.note(*loss));
    assert_eq!(
        listed.to_string(),
        "reasoning_signature, annotations, answer_logprobs, answer_media, answer_choices, answer_part"
    );
    assert!(!listed.has(Loss::Refusal));
}

#[test]
fn ids_of_items_are_short_plain_and_made_of_the_answers_id() {
    let long = Answer {
        id: format!("ä/{}", "x".repeat(300)).into(),
        ..answer(vec![thought("t", None), Part::text("x")], Finish::Stop)
    };
    let (shown, _) = shown(&long, b"{}");
    for item in shown["output"].as_array().unwrap() {
        let id = item["id"].as_str().unwrap();
        assert!(
            id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'),
            "{id}"
        );
    }
    assert_eq!(shown["id"], json!(long.id));
    let (nameless, _) =
        super::shown(&Answer { id: "".into(), created: 0, ..answer(vec![Part::text("x")], Finish::Stop) }, b"{}");
    assert_eq!((&nameless["id"], &nameless["created_at"]), (&json!("req_1"), &json!(1_700_000_000)));
    assert_eq!(nameless["output"][0]["id"], "msg_req_1_0");
}

#[test]
fn what_is_held_for_repetition_is_bounded() {
    let mut encoder = super::super::ingress::Clients.stream(&answer_edits(b"{}"));
    let mut out = Vec::new();
    encoder.event(&begin(), &mut out);
    encoder.event(&start(0, Start::Text), &mut out);
    let block = "x".repeat(1024 * 1024);
    let mut said = 0;
    for _ in 0..12 {
        out.clear();
        encoder.event(&piece(0, Piece::Text(Cow::Borrowed(&block))), &mut out);
        said += usize::from(out.len() > block.len());
    }
    assert_eq!(said, 12, "everything goes out");
    out.clear();
    encoder.event(&end(0), &mut out);
    encoder.event(&finish(Finish::Stop), &mut out);
    encoder.finish(&mut out);
    let events = events(&out);
    let item = &events.last().unwrap().1["response"]["output"][0];
    // What stands around the text takes room, too.
    assert_eq!(item["content"][0]["text"].as_str().unwrap().len(), 7 * block.len());
    assert_eq!(item["status"], "incomplete");
}
