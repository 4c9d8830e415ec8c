//! Streams: through, read, and written; in any pieces, cut anywhere, in both framings.

use std::borrow::Cow;

use serde_json::{Value as Json, json};

use super::answers::{folded, texts};
use super::*;
use crate::StreamEnd;
use crate::cross::{CrossPass, Sink};
use crate::dialect::{DecodeEvents as _, EncodeEvents, Pass};
use crate::model::{Event, Finish, Media, Piece, Signature, Start};
use crate::tap::Tap;

/// All of a stream in pieces of `size`, and how it ended.
fn run(mut pass: Box<dyn Pass>, stream: &[u8], size: usize) -> (Vec<u8>, StreamEnd, Tap) {
    let mut out = Vec::new();
    for piece in stream.chunks(size.max(1)) {
        if !pass.is_open() {
            break;
        }
        out.extend(pass.push(Bytes::copy_from_slice(piece), &mut no_price));
    }
    let (rest, end) = pass.end(&mut no_price);
    out.extend(rest);
    (out, end, pass.tap().clone())
}

fn same(framing: Framing) -> Box<dyn Pass> {
    DIALECT.same.stream(&AnswerEdits { framing, ..edits(THOUGHTFUL) })
}

/// From Google's events to a Google client's, by canonical words.
fn cross(framing: Framing, request: &str) -> Box<dyn Pass> {
    let edits = AnswerEdits { framing, ..edits(request) };
    let encoder = DIALECT.ingress.unwrap().stream(&edits);
    Box::new(CrossPass::new(DIALECT.egress.unwrap().stream(), encoder, Names::default()))
}

fn streams() -> Vec<Case> {
    cases().into_iter().filter(|case| case.is_stream).collect()
}

/// Sizes that cut a stream everywhere sooner or later: each byte for short ones.
fn sizes(len: usize) -> Vec<usize> {
    if len < 3_000 { (1..40).collect() } else { vec![1, 2, 3, 7, 64, 1_000, len] }
}

fn is_broken(case: &Case) -> bool {
    case.name == "gemini-stream-error-bare-json"
}

#[test]
fn t37_events_pass_unchanged_in_any_pieces_but_for_the_models_name() {
    for case in streams() {
        let stream = &case.response;
        let model = events(stream)[0]["modelVersion"].as_str().unwrap().to_owned();
        let (whole, end, _) = run(same(Framing::Events), stream, stream.len());
        for size in sizes(stream.len()) {
            let (out, again, _) = run(same(Framing::Events), stream, size);
            assert!(out == whole && again == end, "{} in pieces of {size}", case.name);
        }
        let back = String::from_utf8(whole).unwrap().replace("\"lab/public\"", &format!("\"{model}\""));
        let text = std::str::from_utf8(stream).unwrap();
        match is_broken(&case) {
            false => {
                assert_eq!(back, text, "{}", case.name);
                assert_eq!(end, StreamEnd::Finished, "{}", case.name);
            }
            true => {
                assert!(text.starts_with(&back) && back.ends_with("\r\n\r\n"));
                let StreamEnd::InBandError(error) = end else { panic!("{end:?}") };
                assert_eq!((error.status, error.kind.as_deref()), (Some(503), Some("UNAVAILABLE")));
            }
        }
    }
}

#[test]
fn t38_an_array_has_the_events_data_as_its_elements() {
    for case in streams() {
        let expected: Vec<Json> = events(&case.response)
            .into_iter()
            .map(|mut event| {
                event["modelVersion"] = json!("lab/public");
                event
            })
            .collect();
        for size in [1, 13, case.response.len()] {
            let (mut out, end, _) = run(same(Framing::Array), &case.response, size);
            if is_broken(&case) {
                assert!(matches!(end, StreamEnd::InBandError(_)));
                // The proxy's own error is the last element.
                out.extend_from_slice(b",\r\n{}]");
            }
            let mut found = json(&out);
            if is_broken(&case) {
                found.as_array_mut().unwrap().pop();
            }
            assert_eq!(found, json!(expected), "{}", case.name);
        }
    }
}

#[test]
fn t37_a_translated_stream_is_the_same_in_any_pieces() {
    for case in streams() {
        for framing in [Framing::Events, Framing::Array] {
            let whole = run(cross(framing, THOUGHTFUL), &case.response, case.response.len());
            for size in sizes(case.response.len()) {
                let pieces = run(cross(framing, THOUGHTFUL), &case.response, size);
                assert!(pieces.0 == whole.0 && pieces.1 == whole.1, "{} in pieces of {size}", case.name);
            }
            if framing == Framing::Array && !is_broken(&case) {
                assert!(json(&whole.0).is_array(), "{}", case.name);
            }
        }
    }
}

#[test]
fn no_beginning_of_a_stream_is_a_success_before_it_says_so() {
    for case in streams() {
        let stream = &case.response;
        let text = std::str::from_utf8(stream).unwrap();
        // From here on the finish is told.
        let told = text.rfind("\"finishReason\"").unwrap_or(stream.len());
        let step = if stream.len() < 3_000 { 1 } else { 97 };
        for cut in (0..stream.len()).step_by(step) {
            let begin = &stream[..cut];
            for pass in [same(Framing::Events), same(Framing::Array), cross(Framing::Events, "")] {
                let (out, end, _) = run(pass, begin, usize::MAX);
                match end {
                    StreamEnd::Finished => assert!(cut > told, "{} cut at {cut} is called finished", case.name),
                    StreamEnd::Truncated | StreamEnd::InBandError(_) => {
                        assert!(!String::from_utf8_lossy(&out).contains("\"finishReason\":\"STOP\"") || cut > told);
                    }
                    other => panic!("{} cut at {cut}: {other:?}", case.name),
                }
            }
        }
    }
}

#[test]
fn usage_and_reason_by_the_tap_are_those_by_decoding() {
    for case in streams() {
        let (_, _, through) = run(same(Framing::Events), &case.response, 50);
        let (_, _, translated) = run(cross(Framing::Events, ""), &case.response, 50);
        assert_eq!(through.usage(), translated.usage(), "{}", case.name);
        assert_eq!(through.usage_source(), translated.usage_source(), "{}", case.name);
        assert_eq!(through.finish_reason(), translated.finish_reason(), "{}", case.name);
        assert_eq!(through.upstream_id(), translated.upstream_id(), "{}", case.name);
        assert_eq!(through.has_output(), translated.has_output(), "{}", case.name);
        if !is_broken(&case) {
            // The last one counts.
            let last = events(&case.response).pop().unwrap()["usageMetadata"].clone();
            let usage = through.usage().unwrap();
            assert_eq!(
                usage.prompt_total() + usage.completion_total(),
                last["totalTokenCount"].as_u64().unwrap(),
                "{}",
                case.name
            );
        }
    }
}

/// Folds events into parts as a Google client has them.
#[derive(Debug, Default)]
struct Fold {
    parts: Vec<(u32, Json)>,
    arguments: String,
    finish: Option<(Finish, String)>,
    log: Vec<String>,
}

impl Fold {
    fn part(&mut self, number: u32) -> &mut Json {
        &mut self.parts.iter_mut().find(|(known, _)| *known == number).expect("the part is open").1
    }
}

impl EncodeEvents for Fold {
    fn event(&mut self, event: &Event<'_>, _: &mut Vec<u8>) {
        self.log.push(format!("{event:?}").split([' ', '(']).next().unwrap().to_owned());
        match event {
            Event::Start { part, start, .. } => {
                assert_eq!(*part as usize, self.parts.len(), "part numbers rise");
                let body = match start {
                    Start::Text => json!({"text": ""}),
                    Start::Thought { .. } => json!({"text": "", "thought": true}),
                    Start::ToolCall { id, name, signature } => {
                        self.arguments.clear();
                        let mut part = json!({"functionCall": {"id": id, "name": name}});
                        if let Some(Signature::Own(text)) = signature {
                            part["thoughtSignature"] = json!(text);
                        }
                        part
                    }
                    Start::Media(Media { mime, .. }) => json!({"media": mime}),
                    Start::Other { raw } => json!({"other": json(raw.as_bytes())}),
                    Start::Refusal => panic!("Google has none"),
                };
                self.parts.push((*part, body));
            }
            Event::Piece { part, piece, .. } => match piece {
                Piece::Text(text) => {
                    let all = format!("{}{text}", self.part(*part)["text"].as_str().unwrap());
                    self.part(*part)["text"] = json!(all);
                }
                Piece::Arguments(text) => self.arguments.push_str(text),
                Piece::Signature(Signature::Own(text)) => self.part(*part)["thoughtSignature"] = json!(text),
                Piece::Signature(other) => panic!("{other:?}"),
                Piece::Logprobs(_) | Piece::Annotation(_) => {}
            },
            Event::End { part, .. } => {
                let arguments = std::mem::take(&mut self.arguments);
                if self.part(*part)["functionCall"].is_object() {
                    self.part(*part)["functionCall"]["args"] = json(arguments);
                }
            }
            Event::Finish { finish, native, .. } => self.finish = Some((*finish, native.to_string())),
            Event::Begin { .. } | Event::Usage { .. } => {}
        }
    }

    fn usage(&mut self, _: &TokenUsage, _: &Receipt) {}

    fn finish(&mut self, _: &mut Vec<u8>) {}
}

/// Events of a stream, folded.
fn fold(stream: &[u8]) -> (Fold, Tap) {
    let mut fold = Fold::default();
    let mut decoder = super::super::egress::Events::default();
    let (mut tap, names, mut out) = (Tap::default(), Names::default(), Vec::new());
    let mut pricer = no_price;
    for event in events(stream) {
        let text = event.to_string();
        let mut tape = Tape::default();
        let mut sink = Sink::new(&mut tap, &names, &mut fold, &mut out, &mut pricer);
        decoder.frame("", tape.read(text.as_bytes()).unwrap(), &mut sink).unwrap();
    }
    (fold, tap)
}

/// What a Google client has in the end: its pieces put together, signatures unsealed.
fn client_view(stream: &[u8]) -> (Vec<Json>, Json) {
    let carry = carry();
    let mut parts: Vec<Json> = Vec::new();
    let pieces = events(stream);
    for piece in &pieces {
        for part in piece["candidates"][0]["content"]["parts"].as_array().into_iter().flatten() {
            let mut part = part.clone();
            if let Some(seal) = part.get("thoughtSignature").cloned() {
                let Signature::Own(text) = carry.unwrap_base64(seal.as_str().unwrap().into()) else {
                    panic!("not ours")
                };
                part["thoughtSignature"] = json!(text);
            }
            let is_text = |part: &Json| part.get("text").is_some() && part.get("functionCall").is_none();
            if part == json!({"text": ""}) {
                continue;
            }
            match parts.last_mut().filter(|last| {
                is_text(last)
                    && is_text(&part)
                    && last["thought"] == part["thought"]
                    && last.get("thoughtSignature").is_none()
            }) {
                Some(last) => {
                    last["text"] =
                        json!(format!("{}{}", last["text"].as_str().unwrap(), part["text"].as_str().unwrap()));
                    if let Some(signature) = part.get("thoughtSignature") {
                        last["thoughtSignature"] = signature.clone();
                    }
                }
                None => parts.push(part),
            }
        }
    }
    (parts, pieces.last().unwrap()["candidates"][0].clone())
}

#[test]
fn t47_a_folded_stream_is_what_the_client_sees_and_what_the_provider_said() {
    for case in streams().into_iter().filter(|case| !is_broken(case)) {
        let (fold, _) = fold(&case.response);
        let (out, end, _) = run(cross(Framing::Events, THOUGHTFUL), &case.response, 77);
        assert_eq!(end, StreamEnd::Finished, "{}", case.name);
        let (seen, last) = client_view(&out);
        let expected: Vec<Json> = fold
            .parts
            .iter()
            .map(|(_, part)| part.clone())
            .filter(|part| part.get("other").is_none())
            .map(|mut part| {
                // Sealed reasoning of which nothing is shown has no text.
                if part["text"] == "" && part["thought"] == true {
                    part.as_object_mut().unwrap().remove("text");
                }
                part
            })
            .collect();
        assert_eq!(seen, expected, "{}", case.name);
        let said = folded(&events(&case.response));
        if !case.name.starts_with("stream-parallel-tools-tool-call-02") {
            let found = json!({"content": {"parts": seen}});
            assert_eq!(texts(&found), texts(&said["candidates"][0]), "{}", case.name);
        }
        assert_eq!(last["finishReason"], said["candidates"][0]["finishReason"], "{}", case.name);
        assert_eq!(fold.finish.unwrap().1, said["candidates"][0]["finishReason"].as_str().unwrap(), "{}", case.name);
        // Order: one beginning, every part ended before the finish.
        let (begins, finishes) = (&fold.log[..1], fold.log.iter().filter(|kind| *kind == "Finish").count());
        assert_eq!((begins[0].as_str(), finishes), ("Begin", 1), "{}", case.name);
        let (starts, ends) = (
            fold.log.iter().filter(|kind| *kind == "Start").count(),
            fold.log.iter().filter(|kind| *kind == "End").count(),
        );
        assert_eq!(starts, ends, "{}", case.name);
    }
}

#[test]
fn arguments_in_pieces_become_calls() {
    let Some(case) = streams().into_iter().find(|case| case.name == "stream-parallel-tools-tool-call-02") else {
        return;
    };
    let (fold, _) = fold(&case.response);
    let calls: Vec<String> = fold
        .parts
        .iter()
        .filter(|(_, part)| part["functionCall"].is_object())
        .map(|(_, part)| format!("{} {}", part["functionCall"]["name"], part["functionCall"]["args"]))
        .collect();
    assert_eq!(
        calls,
        [
            r#""read_theme" {}"#,
            r#""read_screen" {"id":"A"}"#,
            r#""read_screen" {"id":"B"}"#,
            r#""read_screen" {"id":"C"}"#
        ]
    );
    assert_eq!(fold.finish, Some((Finish::ToolCalls, "STOP".to_owned())));
    let ids: std::collections::HashSet<String> =
        fold.parts.iter().filter_map(|(_, part)| part["functionCall"]["id"].as_str().map(str::to_owned)).collect();
    assert_eq!(ids.len(), 4);
}

fn data(piece: &str) -> String {
    format!("data: {piece}\r\n\r\n")
}

#[test]
fn t30_calls_and_their_stop_may_come_apart() {
    let stream = [
        data(
            r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":1}}}]}}],"responseId":"r"}"#,
        ),
        data(r#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"responseId":"r"}"#),
        data(r#"{"candidates":[{"content":{"parts":[{"text":"too late"}]}}]}"#),
    ]
    .concat();
    let (fold, tap) = fold(stream.as_bytes());
    assert_eq!(fold.finish, Some((Finish::ToolCalls, "STOP".to_owned())));
    assert_eq!((fold.parts.len(), tap.unread()), (1, 1));
    // For Google's clients that is a stop.
    let (out, end, _) = run(cross(Framing::Events, ""), stream.as_bytes(), 9);
    assert_eq!(end, StreamEnd::Finished);
    assert_eq!(events(&out).last().unwrap()["candidates"][0]["finishReason"], "STOP");
    let malformed = data(r#"{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL"}]}"#);
    let (_, end, _) = run(cross(Framing::Events, ""), malformed.as_bytes(), 9);
    assert!(matches!(end, StreamEnd::InBandError(error) if error.code.as_deref() == Some("MALFORMED_FUNCTION_CALL")));
}

#[test]
fn t30_a_blocked_prompt_ends_well() {
    let stream = data(
        r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":3},"modelVersion":"m","responseId":"r"}"#,
    );
    for pass in [same(Framing::Events), cross(Framing::Events, "")] {
        let (_, end, tap) = run(pass, stream.as_bytes(), 5);
        assert_eq!((end, tap.usage_is_final(), tap.has_output()), (StreamEnd::Finished, true, false));
    }
    let (out, _, _) = run(cross(Framing::Events, ""), stream.as_bytes(), 5);
    let last = events(&out).pop().unwrap();
    assert_eq!(last["candidates"], json!([{"content": {"role": "model"}, "finishReason": "SAFETY", "index": 0}]));
}

#[test]
fn t39_errors_within_a_stream_do_not_pass() {
    let good = data(r#"{"candidates":[{"content":{"parts":[{"text":"Okay"}]}}],"modelVersion":"m"}"#);
    let error = r#"{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}"#;
    for tail in [
        data(error),
        format!("{error}\r\n"),
        format!("{error}\r\n\r\n"),
        format!("[{error}]"),
        format!("event: error\n{}", data(error)),
    ] {
        for framing in [Framing::Events, Framing::Array] {
            let stream = format!("{good}{tail}{good}");
            // A bare error is known where the stream ends.
            let stream =
                if tail.contains("data:") || tail.ends_with("\r\n\r\n") { stream } else { format!("{good}{tail}") };
            for (size, pass) in
                [1, 10, 1_000].into_iter().flat_map(|size| [(size, same(framing)), (size, cross(framing, ""))])
            {
                let (out, end, _) = run(pass, stream.as_bytes(), size);
                let text = String::from_utf8(out).unwrap();
                assert!(!text.contains("slow down") && text.matches("Okay").count() == 1, "{text}");
                let StreamEnd::InBandError(found) = end else { panic!("{end:?} for {tail}") };
                assert_eq!((found.status, found.message.as_str()), (Some(429), "slow down"));
            }
        }
    }
    // Half an error, or half an event, is a cut.
    for tail in [&error[..30], "data: {\"candidates\"", "data: "] {
        let (out, end, _) = run(same(Framing::Events), format!("{good}{tail}").as_bytes(), 1_000);
        assert_eq!((String::from_utf8(out).unwrap().matches("data").count(), end), (1, StreamEnd::Truncated), "{tail}");
    }
}

#[test]
fn t35_pieces_in_an_envelope_are_read() {
    let stream = [
        data(r#"{"response":{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":9},"modelVersion":"m","responseId":"r"}}"#),
        data(r#"{"response":{"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2},"modelVersion":"m"}}"#),
    ]
    .concat();
    for pass in [same(Framing::Events), cross(Framing::Events, "")] {
        let (_, end, tap) = run(pass, stream.as_bytes(), 30);
        assert_eq!((end, tap.usage().unwrap().completion, tap.upstream_id()), (StreamEnd::Finished, 2, "r"));
    }
    let (out, _, _) = run(same(Framing::Events), stream.as_bytes(), 30);
    assert!(events(&out).iter().all(|piece| piece["response"]["modelVersion"] == "lab/public"));
}

#[test]
fn odd_frames_pass_or_are_counted() {
    let stream = format!(
        ": comment\r\n\r\n\r\ndata: not json\r\n\r\n{}data: {{\"candidates\":[],\r\ndata: \"modelVersion\":\"m\"}}\r\n\r\n{}data: [DONE]\r\n\r\n{}",
        data("{}"),
        data(r#"{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}]}"#),
        data(r#"{"candidates":[{"content":{"parts":[{"text":"behind"}]}}]}"#),
    );
    let (out, end, tap) = run(same(Framing::Events), stream.as_bytes(), 11);
    let text = String::from_utf8(out).unwrap();
    assert_eq!((end, tap.unread()), (StreamEnd::Finished, 1));
    assert!(
        text.starts_with(": comment\r\n\r\n\r\ndata: not json\r\n\r\n")
            && !text.contains("DONE")
            && !text.contains("behind")
    );
    assert!(
        text.contains("data: {\"candidates\":[],\"modelVersion\":\"lab/public\"}\r\n\r\n")
            || text.contains("data: {\"candidates\":[], \"modelVersion\":\"lab/public\"}\r\n\r\n")
    );
    let (out, _, _) = run(same(Framing::Array), stream.as_bytes(), 11);
    assert_eq!(json(&out).as_array().unwrap().len(), 3);
    let huge = format!("data: {{\"x\":\"{}\"}}\r\n\r\n", "a".repeat(17 << 20));
    let (out, end, _) = run(same(Framing::Events), huge.as_bytes(), 65_536);
    assert!(out.is_empty() && end == StreamEnd::Oversized);
}

/// What a Google client gets of these events of another dialect.
fn encoded(request: &str, events: &[Event<'_>]) -> Vec<Json> {
    let mut encoder = DIALECT.ingress.unwrap().stream(&edits(request));
    let mut out = Vec::new();
    let mut cuts = Vec::new();
    for event in events {
        match event {
            Event::Usage { usage, .. } => encoder.usage(usage, &no_price(usage)),
            event => encoder.event(event, &mut out),
        }
        cuts.push(out.len());
    }
    encoder.finish(&mut out);
    assert!(
        out.ends_with(b"\r\n\r\n") && cuts.iter().all(|cut| *cut == 0 || out[..*cut].ends_with(b"\r\n\r\n")),
        "whole frames only"
    );
    super::events(&out)
}

fn start(part: u32, start: Start<'static>) -> Event<'static> {
    Event::Start { choice: 0, part, start }
}

fn piece(part: u32, piece: Piece<'static>) -> Event<'static> {
    Event::Piece { choice: 0, part, piece }
}

fn said(part: u32, text: &'static str) -> Event<'static> {
    piece(part, Piece::Text(text.into()))
}

fn end(part: u32) -> Event<'static> {
    Event::End { choice: 0, part }
}

fn finished(finish: Finish, native: &'static str) -> Event<'static> {
    Event::Finish { choice: 0, finish, native: native.into(), stopped_at: None }
}

fn parts_of(pieces: &[Json]) -> Vec<Json> {
    pieces.iter().map(|piece| piece["candidates"][0]["content"]["parts"][0].clone()).collect()
}

fn thinking(is_redacted: bool) -> Start<'static> {
    Start::Thought { id: None, is_summary: false, is_redacted }
}

#[test]
fn t38_events_of_others_become_pieces_and_the_last_has_reason_and_usage() {
    let usage = TokenUsage { prompt: 7, completion: 3, ..TokenUsage::default() };
    let seal = || Piece::Signature(Signature::Own("sealed".into()));
    let sealed = carry().wrap_base64("sealed");
    let events = [
        Event::Begin { id: "chatcmpl-1".into(), created: 5 },
        start(0, thinking(false)),
        said(0, "Hm"),
        said(0, "m…"),
        piece(0, seal()),
        end(0),
        start(1, thinking(true)),
        piece(1, seal()),
        end(1),
        start(2, Start::Text),
        said(2, "Hel"),
        said(2, ""),
        said(2, "lo"),
        end(2),
        start(3, Start::ToolCall { id: "c1".into(), name: "f".into(), signature: None }),
        start(
            4,
            Start::ToolCall { id: "c2".into(), name: "g".into(), signature: Some(Signature::Own("sealed".into())) },
        ),
        piece(3, Piece::Arguments("{\"a\":".into())),
        piece(4, Piece::Arguments("".into())),
        piece(3, Piece::Arguments("1}".into())),
        end(3),
        end(4),
        finished(Finish::ToolCalls, "tool_calls"),
        Event::Usage { usage, is_final: true },
    ];
    let pieces = encoded(THOUGHTFUL, &events);
    let expected = [
        json!({"text": "H", "thought": true}),
        json!({"text": "mm", "thought": true}),
        json!({"text": "…", "thought": true, "thoughtSignature": sealed}),
        json!({"thought": true, "thoughtSignature": sealed}),
        json!({"text": "Hel"}),
        json!({"text": "lo"}),
        json!({"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}}),
        json!({"functionCall": {"id": "c2", "name": "g", "args": {}}, "thoughtSignature": sealed}),
        json!({"text": ""}),
    ];
    assert_eq!(parts_of(&pieces), expected);
    let last = pieces.last().unwrap();
    assert_eq!(
        (&last["candidates"][0]["finishReason"], &last["usageMetadata"]["totalTokenCount"]),
        (&json!("STOP"), &json!(10))
    );
    assert!(pieces.iter().all(|piece| piece["modelVersion"] == "lab/public" && piece["responseId"] == "chatcmpl-1"));
    assert!(pieces.iter().rev().skip(1).all(|piece| piece["candidates"][0].get("finishReason").is_none()));
    // Whoever did not ask for thoughts gets none.
    let silent = parts_of(&encoded("{}", &events));
    assert_eq!(silent[0], json!({"text": "Hel"}));
    assert!(silent.iter().all(|part| part.get("thought").is_none()));
}

#[test]
fn t23_a_call_with_broken_arguments_keeps_them() {
    let pieces = encoded(
        "",
        &[
            Event::Begin { id: Cow::Borrowed(""), created: 0 },
            start(0, Start::ToolCall { id: "c".into(), name: "f".into(), signature: None }),
            piece(0, Piece::Arguments("{\"cut".into())),
            end(0),
            finished(Finish::Length, "length"),
        ],
    );
    assert_eq!(parts_of(&pieces)[0]["functionCall"]["args"], json!({"arguments": "{\"cut"}));
    assert_eq!(pieces[1]["candidates"][0]["finishReason"], "MAX_TOKENS");
    assert_eq!(pieces[1]["responseId"], "req_1");
    assert!(pieces[1].get("usageMetadata").is_none());
}

#[test]
fn t08_t29_choices_and_odd_reasons_in_the_last_piece() {
    let with = |choice| {
        move |event: Event<'static>| match event {
            Event::Start { part, start, .. } => Event::Start { choice, part, start },
            Event::Piece { part, piece, .. } => Event::Piece { choice, part, piece },
            Event::End { part, .. } => Event::End { choice, part },
            Event::Finish { finish, native, stopped_at, .. } => Event::Finish { choice, finish, native, stopped_at },
            other => other,
        }
    };
    let mut events = vec![Event::Begin { id: "r".into(), created: 0 }];
    events.extend([start(0, Start::Text), said(0, "b"), end(0), finished(Finish::Refusal, "refusal")].map(with(1)));
    events.extend([
        start(0, Start::Refusal),
        said(0, "a"),
        piece(0, Piece::Logprobs(r#"{"content":[{"token":"a","logprob":-1}]}"#.into())),
        end(0),
        finished(Finish::Unknown, "odd"),
    ]);
    let pieces = encoded("", &events);
    assert_eq!((&pieces[0]["candidates"][0]["index"], &pieces[1]["candidates"][0]["index"]), (&json!(1), &json!(0)));
    assert_eq!(pieces[2]["candidates"][0]["logprobsResult"]["chosenCandidates"][0]["token"], "a");
    let last = &pieces[3]["candidates"];
    let told =
        |at: usize| (last[at]["index"].clone(), last[at]["finishReason"].clone(), last[at]["finishMessage"].clone());
    assert_eq!(told(0), (json!(0), json!("OTHER"), json!("odd")));
    assert_eq!(told(1), (json!(1), json!("SAFETY"), json!("refusal")));
}

#[test]
fn a_stream_in_an_array_is_one_json_text() {
    let mut encoder = DIALECT.ingress.unwrap().stream(&AnswerEdits { framing: Framing::Array, ..edits("") });
    let mut out = Vec::new();
    for event in [start(0, Start::Text), said(0, "a"), said(0, "b"), end(0), finished(Finish::Stop, "stop")] {
        encoder.event(&event, &mut out);
    }
    let open = out.clone();
    encoder.finish(&mut out);
    assert_eq!(json(&out).as_array().unwrap().len(), 3);
    // A fault closes it just as well.
    let fault = crate::FaultBody {
        status: 503,
        kind: "k",
        code: "c",
        message: "m",
        param: None,
        request_id: "r",
        metadata: None,
    };
    let at = crate::InBand { framing: Framing::Array, ..crate::InBand::default() };
    let cut = [open, DIALECT.encode_in_band(Surface::V1, &fault, &at).to_vec()].concat();
    assert_eq!(json(&cut)[2]["error"]["status"], "UNAVAILABLE");
    let mut empty = DIALECT.ingress.unwrap().stream(&AnswerEdits { framing: Framing::Array, ..edits("") });
    let mut out = Vec::new();
    empty.finish(&mut out);
    assert!(json(&out).is_array());
}
