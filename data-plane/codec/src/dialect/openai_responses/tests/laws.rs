//! What holds for all recorded traffic, and for anything that looks like it.

use proptest::prelude::*;
use serde_json::map::Map;

use super::*;
use crate::cross::CrossPass;
use crate::dialect::openai_responses::same::BytesThrough;
use crate::dialect::{Dialect, Same as _};
use crate::model::PartBody;
use crate::model::fold::{self, Folded};

// ---- requests

/// What a request means, in one spelling: what the canonical words keep, and nothing of how it was written. Left out, since
/// they are the provider's own notes or hold by default: ids, statuses and phases of items, log probabilities in them,
/// summaries of sealed thoughts, thoughts without anything sealed, tools that are none.
fn meaning(request: &Json) -> Json {
    let mut request = request.as_object().unwrap().clone();
    request.insert("model".into(), json!("up"));
    request.insert("store".into(), json!(false));
    if request.get("stream") == Some(&json!(false)) {
        request.remove("stream");
    }
    if request.get("tools") == Some(&json!([])) {
        request.remove("tools");
        request.remove("tool_choice");
    }
    let mut include: Vec<Json> =
        request.remove("include").and_then(|list| list.as_array().cloned()).unwrap_or_default();
    include.push(json!("reasoning.encrypted_content"));
    include.sort_by_key(Json::to_string);
    include.dedup();
    request.insert("include".into(), include.into());
    let mut items = match request.remove("input").unwrap() {
        Json::String(text) => vec![json!({"role": "user", "content": text})],
        list => list.as_array().unwrap().clone(),
    };
    if let Some(text) = request.remove("instructions") {
        items.insert(0, json!({"role": "system", "content": text}));
    }
    let items: Vec<Json> = items.iter().filter_map(|item| item_meaning(item.as_object().unwrap())).collect();
    request.insert("input".into(), items.into());
    request.into()
}

fn item_meaning(item: &Map<String, Json>) -> Option<Json> {
    let mut item = item.clone();
    let kind = item.entry("type").or_insert(json!("message")).as_str().unwrap().to_owned();
    if ["message", "function_call", "reasoning"].contains(&&*kind) {
        ["id", "status", "phase"].iter().for_each(|name| drop(item.remove(*name)));
    }
    if kind == "reasoning" {
        item.get("encrypted_content")?;
        item.remove("content");
        item.insert("summary".into(), json!([]));
    }
    if kind == "message" {
        let word = if item["role"] == "assistant" { "output_text" } else { "input_text" };
        let parts = match &item["content"] {
            Json::String(text) => vec![json!({"type": word, "text": text})],
            parts => parts.as_array().unwrap().clone(),
        };
        let parts: Vec<Json> = parts
            .into_iter()
            .map(|mut part| {
                let fields = part.as_object_mut().unwrap();
                fields.remove("logprobs");
                if fields.get("annotations") == Some(&json!([])) {
                    fields.remove("annotations");
                }
                part
            })
            .collect();
        item.insert("content".into(), parts.into());
    }
    Some(item.into())
}

#[test]
fn t49_every_recorded_request_means_the_same_after_a_round_through_canonical_words() {
    for case in cases() {
        let Some(body) = case.request else { continue };
        let original: Json = serde_json::from_slice(&body).unwrap();
        if original.get("background").is_some() {
            assert_eq!(fault_of(original).param.as_deref(), Some("background"), "{}", case.name);
            continue;
        }
        let (sent, losses) = round(original.clone());
        assert_eq!(meaning(&sent), meaning(&original), "{}", case.name);
        // Thoughts that only the provider's store has.
        let has_stored = case.name.ends_with("tool-call-tool-result-01");
        assert_eq!(losses.to_string(), if has_stored { "reasoning" } else { "" }, "{}", case.name);
        // And once more: what was sent is a request itself.
        let (again, _) = round(sent.clone());
        assert_eq!(again, sent, "{}", case.name);
    }
}

// ---- answers

/// An answer that can be compared: raw JSON by what it says.
fn view(answer: &Answer<'_>) -> Json {
    let read = |raw: &str| serde_json::from_str::<Json>(raw).unwrap();
    let choices: Vec<Json> = answer
        .choices
        .iter()
        .map(|choice| {
            let parts: Vec<Json> = choice
                .parts
                .iter()
                .map(|part| {
                    // OpenAI seals anew each time it repeats a thought.
                    let is_sealed = part.signature.is_some();
                    match &part.body {
                        PartBody::Text { text, annotations } => json!(["text", text, annotations.as_deref().map(read)]),
                        PartBody::Other { raw } => json!(["other", read(raw)]),
                        PartBody::Thought(thought) => {
                            json!([
                                "thought",
                                thought.id,
                                thought.text,
                                thought.is_summary,
                                thought.is_redacted,
                                is_sealed
                            ])
                        }
                        body => json!(format!("{body:?}")),
                    }
                })
                .collect();
            let logprobs = choice.logprobs.as_deref().map(|raw| read(raw)["content"].clone());
            json!([parts, format!("{:?}", choice.finish), choice.native, logprobs])
        })
        .collect();
    json!([answer.id, answer.created, choices, format!("{:?}", answer.usage)])
}

fn folded(stream: &[u8], size: usize) -> Folded {
    fold::fold(&Providers, stream, size)
}

#[test]
fn a_folded_stream_is_the_whole_answer_that_its_last_event_repeats() {
    for case in streams() {
        let folded = folded(&case.response, usize::MAX);
        let last = last_response(&case.response);
        if last["status"] == "failed" {
            assert!(matches!(folded.end, StreamEnd::InBandError(_)), "{}", case.name);
            continue;
        }
        assert_eq!(folded.end, StreamEnd::Finished, "{}", case.name);
        let whole = last.to_string();
        let mut expected = answered(whole.as_bytes(), |answer| view(&answer));
        let mut found = view(&folded.answer);
        // Of three lists of tools that were fetched at once, OpenAI streamed one; no other dialect has them anyway.
        if case.name == "openai-responses/stream-text-01" {
            for view in [&mut found, &mut expected] {
                view[2][0][0].as_array_mut().unwrap().retain(|part| part[0] != "other");
            }
        }
        assert_eq!(found, expected, "{}", case.name);
        assert_eq!(folded.tap.unread(), 0, "{}", case.name);
    }
}

#[test]
fn usage_by_tap_is_usage_by_decoding() {
    for case in cases().into_iter().filter(|case| case.status == 200) {
        let edits = answer_edits(b"");
        let (tapped, decoded) = match case.is_stream {
            true => {
                let (_, _, tap) = passed(Boxed(BytesThrough.stream(&edits)), &case.response, usize::MAX);
                (tap.usage(), folded(&case.response, usize::MAX).answer.usage)
            }
            false => {
                let whole = BytesThrough.whole(Bytes::from(case.response.clone()), &edits, &mut pricer()).unwrap();
                (whole.tap.usage(), answered(&case.response, |answer| answer.usage))
            }
        };
        assert_eq!(tapped, decoded, "{}", case.name);
        let has_none = case.name.contains("background-0")
            || case.name.contains("background-tool")
            || case.name.contains("mid-stream-error");
        assert_eq!(tapped.is_none(), has_none, "{}", case.name);
    }
}

/// A pass behind a pointer.
#[derive(Debug)]
struct Boxed(Box<dyn Pass>);

impl Pass for Boxed {
    fn push(&mut self, chunk: Bytes, pricer: &mut dyn crate::receipt::Pricer) -> Bytes {
        self.0.push(chunk, pricer)
    }
    fn tap(&self) -> &crate::tap::Tap {
        self.0.tap()
    }
    fn is_open(&self) -> bool {
        self.0.is_open()
    }
    fn end(&mut self, pricer: &mut dyn crate::receipt::Pricer) -> (Bytes, StreamEnd) {
        self.0.end(pricer)
    }
}

fn cross(request: &[u8]) -> CrossPass {
    CrossPass::new(Providers.stream(), Clients.stream(&answer_edits(request)), Names::default())
}

/// What a client puts together from the events of our own half; checks their order on the way.
fn assembled(stream: &[u8]) -> Json {
    let mut output: Vec<Json> = Vec::new();
    let mut finished = None;
    for (at, (name, data)) in events(stream).into_iter().enumerate() {
        assert_eq!((&json!(name), &json!(at)), (&data["type"], &data["sequence_number"]));
        assert!(finished.is_none(), "nothing follows the end");
        let index = data["output_index"].as_u64().unwrap_or(0) as usize;
        let text = |value: &Json| value.as_str().unwrap().to_owned();
        match &*name {
            "response.created" => assert_eq!((at, &data["response"]["status"]), (0, &json!("in_progress"))),
            "response.in_progress" => assert_eq!(at, 1),
            "response.output_item.added" => {
                assert_eq!(index, output.len());
                output.push(data["item"].clone());
            }
            "response.content_part.added" => {
                let content = output[index]["content"].as_array_mut().unwrap();
                assert_eq!(data["content_index"], content.len());
                content.push(data["part"].clone());
            }
            "response.reasoning_summary_part.added" => {
                output[index]["summary"].as_array_mut().unwrap().push(data["part"].clone());
            }
            "response.output_text.delta" | "response.refusal.delta" | "response.reasoning_summary_text.delta" => {
                let (list, place, field) = match &*name {
                    "response.output_text.delta" => ("content", "content_index", "text"),
                    "response.refusal.delta" => ("content", "content_index", "refusal"),
                    _ => ("summary", "summary_index", "text"),
                };
                assert_eq!(data["item_id"], output[index]["id"]);
                let part = &mut output[index][list][data[place].as_u64().unwrap() as usize];
                part[field] = json!(text(&part[field]) + &text(&data["delta"]));
                if let Some(more) = data["logprobs"].as_array() {
                    part["logprobs"].as_array_mut().unwrap().extend(more.iter().cloned());
                }
            }
            "response.output_text.annotation.added" => {
                let part = &mut output[index]["content"][data["content_index"].as_u64().unwrap() as usize];
                let list = part["annotations"].as_array_mut().unwrap();
                assert_eq!(data["annotation_index"], list.len());
                list.push(data["annotation"].clone());
            }
            "response.function_call_arguments.delta" => {
                output[index]["arguments"] = json!(text(&output[index]["arguments"]) + &text(&data["delta"]));
            }
            "response.output_text.done" | "response.refusal.done" => {
                let field = if name.contains("refusal") { "refusal" } else { "text" };
                let part = &output[index]["content"][data["content_index"].as_u64().unwrap() as usize];
                assert_eq!(part[field], data[field]);
            }
            "response.content_part.done" => {
                let part = &output[index]["content"][data["content_index"].as_u64().unwrap() as usize];
                assert_eq!(part, &data["part"]);
            }
            "response.reasoning_summary_text.done" => assert_eq!(output[index]["summary"][0]["text"], data["text"]),
            "response.reasoning_summary_part.done" => assert_eq!(output[index]["summary"][0], data["part"]),
            "response.function_call_arguments.done" => assert_eq!(output[index]["arguments"], data["arguments"]),
            "response.output_item.done" => {
                // What the end adds to what was said: the status, what is sealed, a picture.
                for name in ["status", "encrypted_content", "result"] {
                    if let Some(value) = data["item"].get(name) {
                        output[index][name] = value.clone();
                    }
                }
                assert_eq!(output[index], data["item"]);
            }
            "response.completed" | "response.incomplete" => {
                assert_eq!(data["response"]["output"], json!(output));
                assert_eq!(name.strip_prefix("response."), data["response"]["status"].as_str());
                finished = Some(data["response"].clone());
            }
            other => panic!("{other}"),
        }
    }
    finished.unwrap_or(Json::Null)
}

#[test]
fn what_a_client_puts_together_from_our_events_is_our_whole_answer() {
    for case in streams() {
        let request = case.request.clone().unwrap_or_default();
        let (out, end, _) = passed(cross(&request), &case.response, usize::MAX);
        let client = assembled(&out);
        if end != StreamEnd::Finished {
            assert_eq!(client, Json::Null, "{}", case.name);
            continue;
        }
        let (mut whole, _) = shown(&folded(&case.response, usize::MAX).answer, &request);
        // Events cannot tell the tier.
        whole["service_tier"] = json!("default");
        assert_eq!(client, whole, "{}", case.name);
    }
}

#[test]
fn t47_streams_may_be_cut_into_any_pieces() {
    for case in streams() {
        let (whole, end, tap) = passed(cross(b""), &case.response, usize::MAX);
        // Every byte on its own, and some more sizes, of which long streams need fewer.
        let sizes: &[usize] = if case.response.len() < 20_000 { &[1, 2, 3, 7, 61, 1_000] } else { &[1, 61, 1_000] };
        for size in sizes.iter().copied() {
            let (out, cut_end, cut_tap) = passed(cross(b""), &case.response, size);
            assert!(out == whole && cut_end == end, "{} in pieces of {size}", case.name);
            assert_eq!((cut_tap.usage(), cut_tap.sequence()), (tap.usage(), tap.sequence()));
        }
        let crlf = String::from_utf8(case.response.clone()).unwrap().replace('\n', "\r\n");
        assert_eq!(passed(cross(b""), crlf.as_bytes(), 5).0, whole, "{}", case.name);
    }
}

#[test]
fn a_stream_that_breaks_off_anywhere_is_never_a_good_answer() {
    for case in streams() {
        let text = std::str::from_utf8(&case.response).unwrap();
        let finish =
            ["event: response.completed", "event: response.incomplete"].iter().find_map(|mark| text.find(mark));
        let finish = finish.unwrap_or(text.len());
        // Everywhere around the end; before it at some places, most of them in the middle of an event.
        let step = case.response.len() / 150 + 1;
        let near = finish.saturating_sub(40)..finish + 40;
        let last = case.response.len().saturating_sub(20)..case.response.len();
        let is_looked_at = |at: &usize| at.is_multiple_of(step) || near.contains(at) || last.contains(at);
        for at in (0..case.response.len()).filter(is_looked_at) {
            let prefix = &case.response[..at];
            for (out, end, _) in [
                passed(cross(b""), prefix, usize::MAX),
                passed(Boxed(BytesThrough.stream(&answer_edits(b""))), prefix, usize::MAX),
            ] {
                let has_end = |name: &str| std::str::from_utf8(&out).unwrap().contains(name);
                let is_ended = has_end("event: response.completed") || has_end("event: response.incomplete");
                match end {
                    StreamEnd::Finished => assert!(at > finish && is_ended, "{} at {at}", case.name),
                    StreamEnd::Truncated => assert!(!is_ended, "{} at {at}", case.name),
                    StreamEnd::InBandError(_) => assert!(case.name.contains("mid-stream-error") && !is_ended),
                    other => panic!("{} at {at}: {other:?}", case.name),
                }
            }
        }
    }
}

#[test]
fn every_recorded_answer_is_shown_with_all_fields_that_clients_expect() {
    const FIELDS: [&str; 32] = [
        "id",
        "object",
        "created_at",
        "completed_at",
        "status",
        "incomplete_details",
        "model",
        "previous_response_id",
        "instructions",
        "output",
        "error",
        "tools",
        "tool_choice",
        "truncation",
        "parallel_tool_calls",
        "text",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "top_logprobs",
        "temperature",
        "reasoning",
        "user",
        "usage",
        "max_output_tokens",
        "max_tool_calls",
        "store",
        "background",
        "service_tier",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
    ];
    for case in wholes() {
        let original: Json = serde_json::from_slice(&case.response).unwrap();
        let request = case.request.unwrap_or_default();
        let (shown, losses) = answered(&case.response, |answer| shown(&answer, &request));
        for name in FIELDS {
            assert!(shown.get(name).is_some(), "{}: {name}", case.name);
        }
        if original["status"] == "queued" {
            assert_eq!(shown["status"], "incomplete");
            continue;
        }
        // Some recorders took the time out; then ours stands there.
        if original["created_at"] != json!(0) {
            assert_eq!(shown["created_at"], original["created_at"], "{}", case.name);
        }
        for name in ["id", "status", "error"] {
            assert_eq!(&shown[name], original.get(name).unwrap_or(&Json::Null), "{}: {name}", case.name);
        }
        assert_eq!((&shown["model"], &shown["store"]), (&json!("public/model"), &json!(false)));
        for name in ["input_tokens", "output_tokens"] {
            assert_eq!(shown["usage"][name], original["usage"][name], "{}: {name}", case.name);
        }
        assert_eq!((&shown["usage"]["cost"], &shown["usage"]["is_byok"]), (&json!(0.000412), &json!(false)));
        assert_eq!(shown["usage"]["cost_details"], json!({"upstream_inference_cost": null}));
        // Everything that this dialect can say in another's words is there again; a provider's own items are not.
        let texts = |response: &Json| -> Vec<Json> {
            let items = response["output"].as_array().unwrap().iter();
            let of = |item: &Json| match item["type"].as_str().unwrap() {
                "message" => json!([
                    item["status"],
                    item["content"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|part| { part["text"].as_str().or(part["refusal"].as_str()).unwrap() })
                        .collect::<Vec<_>>()
                ]),
                "function_call" => json!([item["status"], item["call_id"], item["name"], item["arguments"]]),
                _ => Json::Null,
            };
            items.map(of).filter(|value| !value.is_null()).collect()
        };
        assert_eq!(texts(&shown), texts(&original), "{}", case.name);
        let has = |loss: &str| losses.to_string().contains(loss);
        let kinds = original["output"].to_string();
        assert_eq!(has("answer_part"), kinds.contains("_search_call\""), "{}", case.name);
        assert_eq!(has("annotations"), kinds.contains("file_citation\""), "{}", case.name);
    }
}

#[test]
fn what_is_sealed_comes_back_exactly_through_a_client() {
    for case in wholes() {
        let original: Json = serde_json::from_slice(&case.response).unwrap();
        let sealed = |items: &Json| -> Vec<Json> {
            let items = items.as_array().unwrap().iter();
            items.filter_map(|item| item.get("encrypted_content").cloned()).collect()
        };
        let (shown, _) = answered(&case.response, |answer| shown(&answer, b""));
        let mut input = shown["output"].as_array().unwrap().clone();
        input.push(json!({"role": "user", "content": "go on"}));
        let request = json!({"model": "m", "input": input}).to_string();
        let sent = decoded(&request, |request| {
            let (sent, losses) = foreign(request.unwrap());
            assert!(!losses.has(crate::loss::Loss::ReasoningSignature), "{}", case.name);
            sent
        });
        assert_eq!(sealed(&sent["input"]), sealed(&original["output"]), "{}", case.name);
        // To another endpoint nothing of it goes.
        let scan = DIALECT.scan(request.as_bytes()).unwrap();
        let mut tape = Tape::default();
        let other = Carry::new(b"secret", "org", "provider", "another model");
        let request = Clients.decode(tape.read(request.as_bytes()).unwrap(), &scan, &other).unwrap();
        let (sent, losses) = encoded(&request, &request_edits(&other)).unwrap();
        assert_eq!(sealed(&sent["input"]), Vec::<Json>::new());
        assert_eq!(losses.has(crate::loss::Loss::ReasoningSignature), !sealed(&original["output"]).is_empty());
    }
}

// ---- anything at all

fn corpus() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> =
        cases().into_iter().flat_map(|case| [Some(case.response), case.request]).flatten().collect();
    all.push(
        br#"{"model":"m","input":[{"type":"reasoning","summary":[{}],"encrypted_content":"tgst1_"},{"role":"user"}]}"#
            .to_vec(),
    );
    all.retain(|body| body.len() < 12_000);
    all
}

/// Runs everything that reads outside bytes.
fn read_all(body: &[u8]) {
    let dialect: &Dialect = &DIALECT;
    if let Ok(scan) = dialect.scan(body) {
        let mut tape = Tape::default();
        let carry = carry();
        let edits = request_edits(&carry);
        let _ = BytesThrough.request(&Bytes::copy_from_slice(body), &scan, &edits);
        if let Ok(request) = tape.read_strictly(body).and_then(|value| Clients.decode(value, &scan, &carry)) {
            let mut out = Writer::new(&Bytes::new());
            if Providers.encode(&request, &edits, &mut out, &mut Losses::default()).is_ok() {
                let sent = out.finish().into_bytes();
                assert!(Tape::default().read(&sent).is_ok());
            }
        }
    }
    let edits = answer_edits(body);
    drop(BytesThrough.whole(Bytes::copy_from_slice(body), &edits, &mut pricer()));
    let mut tape = Tape::default();
    if let Ok(Ok(answer)) = tape.read(body).map(|value| Providers.decode(value)) {
        let (shown, _) = shown(&answer, body);
        assert!(shown.is_object());
    }
    let (whole, end, _) = passed(cross(body), body, usize::MAX);
    let (cut, cut_end, _) = passed(cross(body), body, 13);
    assert!(whole == cut && end == cut_end);
    if end == StreamEnd::Finished {
        assembled(&whole);
    }
    // The fold stops at events that are out of order, whatever the provider sent.
    folded(body, usize::MAX);
    let same = || Boxed(BytesThrough.stream(&answer_edits(b"")));
    assert_eq!(passed(same(), body, usize::MAX).0, passed(same(), body, 13).0);
}

#[derive(Debug, Clone)]
enum Change {
    Byte(usize, u8),
    Cut(usize),
    Copy(usize, usize, usize),
    Swap(usize, usize),
}

fn changed(mut body: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let len = body.len().max(1);
        match change {
            Change::Byte(at, byte) => {
                if let Some(place) = body.get_mut(at % len) {
                    *place = *byte;
                }
            }
            Change::Cut(at) => body.truncate(at % len),
            Change::Copy(from, size, to) => {
                let from = from % len;
                let part: Vec<u8> = body.iter().skip(from).take(size % 300).copied().collect();
                let to = to % len.min(body.len() + 1);
                body.splice(to..to, part);
            }
            Change::Swap(one, other) => {
                // Whole events change places.
                let mut events: Vec<&[u8]> = body.split_inclusive(|byte| *byte == b'\n').collect();
                let count = events.len().max(1);
                if !events.is_empty() {
                    events.swap(one % count, other % count);
                }
                body = events.concat();
            }
        }
    }
    body
}

fn change() -> impl Strategy<Value = Change> {
    let marks = prop::sample::select(br#"{}[]",:0nt\e"#.to_vec());
    prop_oneof![
        (any::<usize>(), marks).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), any::<usize>(), any::<usize>()).prop_map(|(from, size, to)| Change::Copy(from, size, to)),
        (any::<usize>(), any::<usize>()).prop_map(|(one, other)| Change::Swap(one, other)),
    ]
}

#[test]
fn nothing_that_looks_like_traffic_makes_it_panic() {
    let corpus = corpus();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let strategy = (0..corpus.len(), prop::collection::vec(change(), 0..6));
    let run = runner.run(&strategy, |(at, changes)| {
        read_all(&changed(corpus[at].clone(), &changes));
        Ok(())
    });
    run.unwrap();
}
