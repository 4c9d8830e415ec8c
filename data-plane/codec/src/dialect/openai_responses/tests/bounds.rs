//! Requests, answers and streams that are made to be slow or big are not: each of these took minutes, or had no bound.

use super::*;
use crate::model::fold::fold;
use crate::model::{Choice, Event, Finish, Part, PartBody, Piece, Signature, Start};

#[test]
fn a_list_of_what_to_include_is_read_once_however_often_it_is_given() {
    let most = 20_000;
    let words = vec![r#""message.output_text.logprobs""#; most].join(",");
    let again = r#","include":[]"#.repeat(most);
    let body = format!(r#"{{"model":"m","input":"x","include":[{words}]{again}}}"#);
    let scan = DIALECT.scan(br#"{"model":"m","input":"x"}"#).unwrap();
    let mut tape = Tape::default();
    // As readers do that let doubles be.
    let value = tape.read(body.as_bytes()).unwrap();
    let request = Clients.decode(value, &scan, &carry()).unwrap();
    assert_eq!((request.params.logprobs, request.extra.len()), (Some(true), 0));
}

#[test]
fn log_probabilities_of_thousands_of_texts_are_joined_in_one_string() {
    let most = 20_000;
    let token = r#"{"token":"a token of some length","logprob":-0.5,"bytes":[97,98,99],"top_logprobs":[]}"#;
    let text = format!(r#"{{"type":"output_text","text":"a","logprobs":[{token}]}}"#);
    let content = vec![text; most].join(",");
    let body = format!(r#"{{"status":"completed","output":[{{"type":"message","content":[{content}]}}]}}"#);
    answered(body.as_bytes(), |answer| {
        let logprobs: Json = serde_json::from_str(answer.choices[0].logprobs.as_deref().unwrap()).unwrap();
        assert_eq!(logprobs["content"].as_array().unwrap().len(), most);
        assert_eq!(logprobs["content"][most - 1], serde_json::from_str::<Json>(token).unwrap());
        assert!(logprobs["refusal"].is_null());
    });
}

#[test]
fn the_last_item_is_known_among_a_hundred_thousand_parts_that_are_none() {
    let other = || Part::new(PartBody::Other { raw: "{}".into() });
    let mut parts = vec![Part::text("first")];
    parts.extend((0..50_000).map(|_| other()));
    parts.push(Part::text("last"));
    parts.extend((0..50_000).map(|_| other()));
    let choice = Choice { parts, finish: Some(Finish::Length), ..Choice::default() };
    let (shown, losses) = shown(&Answer { choices: vec![choice], ..Answer::default() }, b"{}");
    let said: Vec<_> =
        shown["output"].as_array().unwrap().iter().map(|item| (&item["content"][0]["text"], &item["status"])).collect();
    assert_eq!(said, [(&json!("first"), &json!("completed")), (&json!("last"), &json!("incomplete"))]);
    assert_eq!(losses.to_string(), "answer_part");
}

#[test]
fn a_provider_has_at_most_a_thousand_calls_open_at_once() {
    let event = |data: Json| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap());
    let ended = |calls: u32| {
        let item =
            |at: u32| json!({"type": "function_call", "call_id": format!("c{at}"), "name": "f", "arguments": ""});
        let added =
            |at: u32| event(json!({"type": "response.output_item.added", "output_index": at, "item": item(at)}));
        let mut stream: String = (0..calls).map(added).collect();
        stream += &event(json!({"type": "response.completed", "response": {"id": "r", "status": "completed"}}));
        fold(&Providers, stream.as_bytes(), stream.len())
    };
    let folded = ended(1_024);
    assert_eq!((folded.answer.choices[0].parts.len(), folded.end), (1_024, StreamEnd::Finished));
    assert!(matches!(ended(1_025).end, StreamEnd::InBandError(_)));
}

/// More than the last event of a stream may have in its output.
const MOST: usize = 8 * 1024 * 1024;

/// The last event of a stream for a client, and all of its output.
fn last(list: impl Iterator<Item = Event<'static>>) -> (usize, Vec<Json>) {
    let mut encoder = Clients.stream(&answer_edits(b"{}"));
    let mut out = Vec::new();
    for event in list {
        out.clear();
        encoder.event(&event, &mut out);
    }
    out.clear();
    encoder.event(&Event::Finish { choice: 0, finish: Finish::Stop, native: "".into(), stopped_at: None }, &mut out);
    out.clear();
    encoder.finish(&mut out);
    (out.len(), last_response(&out)["output"].as_array().unwrap().clone())
}

fn start(part: u32, start: Start<'static>) -> Event<'static> {
    Event::Start { choice: 0, part, start }
}

fn said(part: u32, text: String) -> Event<'static> {
    Event::Piece { choice: 0, part, piece: Piece::Text(text.into()) }
}

fn end(part: u32) -> Event<'static> {
    Event::End { choice: 0, part }
}

#[test]
fn names_seals_and_what_stands_around_items_count_as_held() {
    let big = "x".repeat(1024 * 1024);
    let call = |id: &str, name: &str| Start::ToolCall {
        id: id.to_owned().into(),
        name: name.to_owned().into(),
        signature: None,
    };
    let thought = || Start::Thought { id: None, is_summary: false, is_redacted: true };
    let seal = |part: u32| {
        let piece = Piece::Signature(Signature::Own(big.clone().into()));
        Event::Piece { choice: 0, part, piece }
    };
    for (what, events, most_items) in [
        ("names", (0..9).flat_map(|part| [start(part, call("c", &big)), end(part)]).collect::<Vec<_>>(), 7),
        ("ids", (0..9).flat_map(|part| [start(part, call(&big, "f")), end(part)]).collect(), 7),
        ("seals", (0..9).flat_map(|part| [start(part, thought()), seal(part), end(part)]).collect(), 9),
        (
            "escapes",
            [start(0, Start::Text)].into_iter().chain((0..2).map(|_| said(0, "\u{1}".repeat(1 << 20)))).collect(),
            1,
        ),
    ] {
        let (len, output) = last(events.into_iter());
        assert!(len < MOST + 4_096, "{what}: {len}");
        assert!(output.len() <= most_items && !output.is_empty(), "{what}: {} items", output.len());
    }
}

#[test]
fn the_room_that_is_left_is_taken_by_small_items_and_parts_as_well() {
    let full = || [start(0, Start::Text), said(0, "a".repeat(MOST - 16_384)), end(0)].into_iter();
    let call = || Start::ToolCall { id: "c".into(), name: "f".into(), signature: None };
    let (len, output) = last(full().chain((1..100).flat_map(|part| [start(part, call()), end(part)])));
    assert!(len < MOST + 4_096 && (2..50).contains(&output.len()), "{len}, {}", output.len());
    let (len, output) = last(full().chain((1..1_000).flat_map(|part| [start(part, Start::Text), end(part)])));
    let parts = output[0]["content"].as_array().unwrap().len();
    assert!(len < MOST + 4_096 && (2..200).contains(&parts), "{len}, {parts}");
}

#[test]
fn a_seal_that_is_replaced_gives_its_room_back() {
    let seal = |_| {
        let piece = Piece::Signature(Signature::Own("x".repeat(1024 * 1024).into()));
        Event::Piece { choice: 0, part: 0, piece }
    };
    let thought = start(0, Start::Thought { id: None, is_summary: false, is_redacted: true });
    let (_, output) = last([thought].into_iter().chain((0..9).map(seal)).chain([end(0)]));
    assert_eq!(output[0]["type"], "reasoning");
    assert!(output[0]["encrypted_content"].as_str().unwrap().len() > 1024 * 1024);
}

#[test]
fn nothing_is_held_of_an_item_behind_what_did_not_fit() {
    let pieces = ["a".repeat(MOST - 4_096), "b".repeat(8_192), "c".to_owned()];
    let pieces = pieces.into_iter().map(|text| said(0, text));
    let words = [end(0), start(1, Start::Text), said(1, "d".to_owned()), end(1)];
    let (_, output) = last([start(0, Start::Text)].into_iter().chain(pieces).chain(words));
    let content = output[0]["content"].as_array().unwrap();
    assert_eq!((content.len(), &output[0]["status"]), (1, &json!("incomplete")));
    assert!(content[0]["text"].as_str().unwrap().bytes().all(|byte| byte == b'a'));
}
