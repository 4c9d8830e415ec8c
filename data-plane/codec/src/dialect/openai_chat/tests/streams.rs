//! Streams: well formed whatever the provider does, and the same as the whole answer they stand for.

use serde_json::json;

use super::*;
use crate::drive::StreamEnd;
use crate::fixtures;
use crate::model::fold::{Folded, fold};
use crate::model::{Answer, Finish, Part, PartBody, Signature};
use crate::tap::Tap;
use domain::usage::UsageSource;

fn data(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

fn delta(delta: Value, finish: Option<&str>) -> String {
    data(&json!({"id":"c-1","created":9,"choices":[{"index":0,"delta":delta,"finish_reason":finish}]}))
}

fn call(call: Value) -> String {
    delta(json!({"tool_calls":[call]}), None)
}

fn folded(stream: &str) -> Folded {
    fold(DIALECT.egress.unwrap(), stream.as_bytes(), stream.len())
}

/// What a client gets.
fn shown_to(stream: &str, wanted: &AnswerEdits) -> (String, StreamEnd, Tap) {
    let mut pass = translating().stream(wanted);
    let mut out = pass.push(Bytes::copy_from_slice(stream.as_bytes()), &mut pricer()).to_vec();
    let (rest, end) = pass.end(&mut pricer());
    out.extend_from_slice(&rest);
    (String::from_utf8(out).unwrap(), end, pass.tap().clone())
}

fn chunks(shown: &str) -> Vec<Value> {
    shown.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect()
}

fn calls(answer: &Answer<'_>) -> Vec<(String, String)> {
    let parts = answer.choices.iter().flat_map(|choice| &choice.parts);
    parts
        .filter_map(|part| match &part.body {
            PartBody::ToolCall { id, arguments, .. } => Some((id.to_string(), arguments.to_string())),
            _ => None,
        })
        .collect()
}

/// The whole answer as a client sees it; what was sealed is opened, so that it is sealed once.
fn whole(mut answer: Answer<'_>) -> Value {
    for part in answer.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
        if let Some(Signature::Own(value)) = &part.signature {
            // Behind what came with it.
            let start = value.find(crate::carry::MARK).unwrap_or(0);
            part.signature = Some(match carry().unwrap(value[start..].to_owned().into()) {
                Signature::Own(value) | Signature::Foreign(value) => Signature::Own(value.into_owned().into()),
            });
        }
    }
    let (mut out, mut losses) = (Writer::new(&Bytes::new()), Losses::default());
    let receipt = answer.usage.as_ref().map(|usage| pricer().price(usage));
    DIALECT.ingress.unwrap().encode(&answer, receipt.as_ref(), &edits(Surface::V1), &mut out, &mut losses);
    serde_json::from_slice(&out.finish().into_bytes()).unwrap()
}

#[test]
fn every_recorded_stream_folded_is_what_its_client_put_together() {
    let mut checked = 0;
    for case in fixtures::streams() {
        let text = std::str::from_utf8(&case.response).unwrap();
        let direct = fold(DIALECT.egress.unwrap(), &case.response, 64);
        let (shown, end, _) = shown_to(text, &edits(Surface::V1));
        assert_eq!(direct.end, end, "{}", case.name);
        if end != StreamEnd::Finished {
            continue;
        }
        let seen = folded(&shown);
        assert_eq!(seen.end, StreamEnd::Finished, "{}", case.name);
        assert!(seen.events >= direct.events / 2 && seen.tap.unread() == 0, "{}", case.name);
        let same = whole(direct.answer) == whole(seen.answer);
        assert!(same, "{}", case.name);
        checked += 1;
    }
    assert!(checked == 0 || checked > 30, "{checked}");
}

#[test]
fn t24_calls_are_numbered_by_themselves_whatever_their_provider_does() {
    let stop = delta(json!({}), Some("tool_calls"));
    let whole = |index: Value, id: &str, arguments: &str| {
        call(json!({"index":index,"id":id,"function":{"name":"f","arguments":arguments}}))
    };
    let more = |index: Value, arguments: &str| call(json!({"index":index,"function":{"arguments":arguments}}));
    let two = [("a".to_owned(), r#"{"x":1}"#.to_owned()), ("b".to_owned(), "{}".to_owned())];
    for (name, stream) in [
        (
            "one after the other",
            [whole(0.into(), "a", ""), more(0.into(), r#"{"x""#), more(0.into(), ":1}"), whole(1.into(), "b", "{}")]
                .concat(),
        ),
        (
            "interleaved",
            [
                whole(0.into(), "a", ""),
                whole(1.into(), "b", ""),
                more(0.into(), r#"{"x""#),
                more(1.into(), "{}"),
                more(0.into(), ":1}"),
            ]
            .concat(),
        ),
        ("without numbers", [whole(Value::Null, "a", r#"{"x":1}"#), whole(Value::Null, "b", "{}")].concat()),
        ("all with the same number", [whole(0.into(), "a", r#"{"x":1}"#), whole(0.into(), "b", "{}")].concat()),
        (
            "with the id in every piece",
            [whole(0.into(), "a", r#"{"x""#), whole(0.into(), "a", ":1}"), whole(1.into(), "b", "{}")].concat(),
        ),
        ("numbered from one", [whole(1.into(), "a", r#"{"x":1}"#), whole(2.into(), "b", "{}")].concat()),
    ] {
        let stream = stream + &stop;
        let folded = folded(&stream);
        assert_eq!(calls(&folded.answer), two, "{name}");
        assert_eq!(folded.answer.choices[0].finish, Some(Finish::ToolCalls));
        let (shown, _, _) = shown_to(&stream, &edits(Surface::V1));
        for chunk in chunks(&shown) {
            for call in chunk["choices"][0]["delta"]["tool_calls"].as_array().into_iter().flatten() {
                let is_first = call["index"] == 0;
                assert!(call.get("id").is_none_or(|id| (*id == "a") == is_first), "{name}");
            }
        }
    }
    let unnamed = [whole(0.into(), "", r#"{"x":1}"#), whole(1.into(), "", "")].concat() + &stop;
    let ids = calls(&folded(&unnamed).answer);
    assert!(ids[0].0 != ids[1].0 && ids == calls(&folded(&unnamed).answer));
    assert!(shown_to(&unnamed, &edits(Surface::V1)).0.contains(r#""arguments":"{}""#), "t22");
}

#[test]
fn a_call_that_goes_on_after_its_end_is_an_error_and_never_a_broken_call() {
    let late = [
        call(json!({"index":0,"id":"a","function":{"name":"f","arguments":"{"}})),
        delta(json!({"content":"text"}), None),
        call(json!({"index":0,"function":{"arguments":"}"}})),
    ];
    assert!(matches!(folded(&late.concat()).end, StreamEnd::InBandError(_)));
}

#[test]
fn t29_a_reason_given_early_or_twice_ends_the_choice_once_and_after_everything() {
    for stream in [
        delta(json!({"content":"a"}), None)
            + &delta(json!({"content":"b"}), Some("stop"))
            + &delta(json!({"content":""}), Some("stop")),
        delta(json!({"content":"a"}), Some("stop")) + &delta(json!({"content":"b"}), Some("stop")),
        delta(json!({"content":"a"}), None) + &delta(json!({"content":"b"}), None) + &delta(Value::Null, Some("stop")),
        delta(json!({"content":"ab"}), Some("stop"))
            + &delta(json!({}), None)
            + &delta(json!({"content":"late"}), None),
    ] {
        let folded = folded(&stream);
        assert_eq!(folded.end, StreamEnd::Finished);
        assert_eq!(folded.answer.choices[0].parts.len(), 1);
        assert!(matches!(&folded.answer.choices[0].parts[0].body, PartBody::Text { text, .. } if text == "ab"));
        let (shown, _, _) = shown_to(&stream, &edits(Surface::V1));
        let reasons = chunks(&shown).iter().filter(|chunk| chunk["choices"][0]["finish_reason"].is_string()).count();
        assert_eq!(reasons, 1);
    }
}

#[test]
fn t31_the_last_chunk_has_a_delta_and_the_native_reason() {
    let stream = data(
        &json!({"id":"g","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop","native_finish_reason":"STOP"}]}),
    );
    let (shown, _, _) = shown_to(&stream, &edits(Surface::V1));
    let last = chunks(&shown).pop().unwrap();
    assert_eq!(last["choices"], json!([{"index":0,"delta":{},"finish_reason":"stop","native_finish_reason":"STOP"}]));
    // Without any content the first delta is the last one, and says who speaks.
    let (shown, _, _) = shown_to(&delta(json!({}), Some("stop")), &edits(Surface::V1));
    assert_eq!(chunks(&shown)[0]["choices"][0]["delta"], json!({"role":"assistant"}));
}

#[test]
fn t34_usage_is_read_wherever_it_stands_and_shown_to_those_who_asked() {
    let usage = json!({"prompt_tokens":3,"completion_tokens":2,"total_tokens":5});
    let text = delta(json!({"content":"x"}), None);
    let stop = delta(json!({}), Some("stop"));
    let with = |choices: Value, usage: &Value| data(&json!({"id":"c-1","choices":choices,"usage":usage}));
    let last = json!([{"index":0,"delta":{},"finish_reason":"stop"}]);
    for (name, stream) in [
        ("a chunk of its own", text.clone() + &stop + &with(json!([]), &usage)),
        ("the last chunk", text.clone() + &with(last.clone(), &usage)),
        (
            "an empty delta behind the end",
            text.clone() + &stop + &with(json!([{"index":0,"delta":{"content":""},"finish_reason":null}]), &usage),
        ),
        (
            "every chunk",
            with(json!([{"index":0,"delta":{"content":"x"}}]), &json!({"prompt_tokens":3,"completion_tokens":1}))
                + &with(last, &usage),
        ),
        (
            "groq's place",
            text.clone()
                + &data(
                    &json!({"id":"c-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"usage":usage}}),
                ),
        ),
        ("before everything", with(json!([]), &usage) + &text + &stop),
    ] {
        let (shown, end, tap) = shown_to(&stream, &edits(Surface::V1));
        assert_eq!((end, tap.usage_source()), (StreamEnd::Finished, UsageSource::ProviderFinal), "{name}");
        let last = chunks(&shown).pop().unwrap();
        assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(5)), "{name}");
        assert_eq!(last["usage"]["cost"], json!(0.000412));
        let (quiet, _, _) = shown_to(&stream, &AnswerEdits { wants_usage: false, ..edits(Surface::V1) });
        assert!(!quiet.contains("usage") && quiet.ends_with("data: [DONE]\n\n"), "{name}");
    }
    let (shown, _, tap) = shown_to(&(text + &stop), &edits(Surface::V1));
    assert!(!shown.contains("usage") && tap.usage_source() == UsageSource::Estimated);
}

#[test]
fn t38_a_stream_starts_with_the_role_and_ends_with_done() {
    let stream = delta(json!({"content":"a"}), None) + &delta(json!({"content":"b"}), Some("length"));
    let (shown, end, tap) = shown_to(&stream, &edits(Surface::V1));
    assert_eq!((end, tap.upstream_id(), tap.created()), (StreamEnd::Finished, "c-1", 9));
    let all = chunks(&shown);
    assert_eq!(
        all[0]["choices"][0],
        json!({"index":0,"delta":{"role":"assistant","content":"a"},"finish_reason":null})
    );
    assert_eq!(all[1]["choices"][0], json!({"index":0,"delta":{"content":"b"},"finish_reason":null}));
    assert!(
        all.iter()
            .all(|chunk| chunk["id"] == "c-1" && chunk["created"] == 9 && chunk["object"] == "chat.completion.chunk")
    );
    assert!(shown.ends_with("data: [DONE]\n\n"));
    // The first output is passed on at once.
    let mut pass = translating().stream(&edits(Surface::V1));
    assert!(!pass.push(Bytes::from(delta(json!({"content":"a"}), None)), &mut pricer()).is_empty());
}

#[test]
fn t39_no_finish_is_invented_and_errors_end_the_stream() {
    let text = delta(json!({"content":"x"}), None);
    let done = "data: [DONE]\n\n";
    for (name, stream, expected) in [
        ("cut", text.clone(), StreamEnd::Truncated),
        ("done without a reason", text.clone() + done, StreamEnd::Truncated),
        ("nothing", done.to_owned(), StreamEnd::Empty),
        ("finished", text.clone() + &delta(json!({}), Some("stop")), StreamEnd::Finished),
    ] {
        let (shown, end, _) = shown_to(&stream, &edits(Surface::V1));
        assert_eq!((&end, shown.contains("[DONE]")), (&expected, expected == StreamEnd::Finished), "{name}");
    }
    for (name, error) in [
        ("an object", data(&json!({"error":{"message":"down"}}))),
        (
            "with choices",
            data(&json!({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"error":{"message":"down"}})),
        ),
        ("of the choice", data(&json!({"choices":[{"index":0,"delta":{},"error":{"message":"down"}}]}))),
        ("named", "event: error\ndata: {\"message\":\"down\"}\n\n".to_owned()),
        ("named, in free text", "event: error\ndata: down\n\n".to_owned()),
        ("vLLM's", data(&json!({"object":"error","message":"down"}))),
        ("a reason", delta(json!({}), Some("error"))),
        ("bare", "{\"error\":{\"message\":\"down\"}}".to_owned()),
    ] {
        // Nothing follows a bare error: it is not even an event.
        let done = if name == "bare" { "" } else { done };
        let (shown, end, tap) = shown_to(&(text.clone() + &error + done), &edits(Surface::V1));
        assert!(matches!(end, StreamEnd::InBandError(_)), "{name}: {end:?}");
        assert!(!shown.contains("down") && !shown.contains("[DONE]") && tap.upstream_error().is_some(), "{name}");
    }
}

#[test]
fn log_probabilities_stand_beside_their_text() {
    let logprobs = json!({"content":[{"token":"x","logprob":-0.5,"bytes":[120],"top_logprobs":[]}],"refusal":null});
    let stream = data(
        &json!({"id":"c","choices":[{"index":0,"delta":{"content":"x"},"logprobs":logprobs,"finish_reason":null}]}),
    ) + &delta(json!({}), Some("stop"));
    let (shown, _, _) = shown_to(&stream, &edits(Surface::V1));
    let all = chunks(&shown);
    assert_eq!(all[1]["choices"][0], json!({"index":0,"delta":{},"logprobs":logprobs,"finish_reason":null}));
    let whole = whole(folded(&stream).answer);
    assert_eq!(whole["choices"][0]["logprobs"], logprobs);
}

#[test]
fn the_old_form_is_streamed_to_those_who_asked_in_it() {
    let request = Bytes::from(r#"{"functions":[{"name":"f"}],"messages":[]}"#);
    let wanted = AnswerEdits { request, ..edits(Surface::V1) };
    let stream = call(json!({"index":0,"id":"a","function":{"name":"f","arguments":""}}))
        + &call(json!({"index":0,"function":{"arguments":"{}"}}))
        + &delta(json!({}), Some("tool_calls"));
    let all = chunks(&shown_to(&stream, &wanted).0);
    assert_eq!(all[0]["choices"][0]["delta"]["function_call"], json!({"name":"f","arguments":""}));
    assert_eq!(all[1]["choices"][0]["delta"], json!({"function_call":{"arguments":"{}"}}));
    assert_eq!(all[2]["choices"][0]["finish_reason"], "function_call");
    let old = delta(json!({"function_call":{"name":"f","arguments":"{\"a\""}}), None)
        + &delta(json!({"function_call":{"arguments":":1}"}}), Some("function_call"));
    assert_eq!(calls(&folded(&old).answer)[0].1, r#"{"a":1}"#);
}

#[test]
fn images_sounds_and_citations_are_streamed() {
    let citation = json!({"type":"url_citation","url_citation":{"url":"u","title":"t","start_index":0,"end_index":1}});
    let image = json!({"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"},"index":0});
    let stream = delta(json!({"content":"x","annotations":[citation]}), None)
        + &delta(json!({"images":[image]}), None)
        + &delta(json!({"audio":{"id":"audio_1","transcript":"said"}}), None)
        + &delta(json!({"audio":{"data":"RUZH"}}), None)
        + &delta(json!({}), Some("stop"));
    let all = chunks(&shown_to(&stream, &edits(Surface::V1)).0);
    let deltas: Vec<&Value> = all.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    assert_eq!(deltas[1]["annotations"], json!([citation]));
    assert_eq!(deltas[2]["images"], json!([image]));
    assert_eq!(deltas[3]["content"], "said");
    assert_eq!(deltas[4]["audio"]["data"], "RUZH");
}

#[test]
fn what_a_provider_wrote_over_several_lines_goes_out_on_one() {
    let stream = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\",\"annotations\":[{\"type\":\"url_citation\",\n\
        data: \"url_citation\":{\"url\":\"u\"}}]},\"logprobs\":{\"content\":\n\
        data: []},\"finish_reason\":\"stop\"}]}\n\n";
    let (shown, end, _) = shown_to(stream, &edits(Surface::V1));
    assert_eq!(end, StreamEnd::Finished);
    assert!(shown.lines().all(|line| line.is_empty() || line.starts_with("data: ")), "{shown}");
    let all = chunks(&shown);
    assert!(all.iter().any(|chunk| chunk["choices"][0]["delta"]["annotations"][0]["url_citation"]["url"] == "u"));
    assert!(all.iter().any(|chunk| chunk["choices"][0]["logprobs"]["content"] == json!([])));
}

#[test]
fn several_answers_keep_their_numbers() {
    let piece = |index: u64, text: &str, finish: Option<&str>| {
        data(&json!({"id":"c","choices":[{"index":index,"delta":{"content":text},"finish_reason":finish}]}))
    };
    let stream = [piece(0, "a", None), piece(1, "b", None), piece(0, "c", Some("stop")), piece(1, "d", None)].concat();
    assert_eq!(folded(&stream).end, StreamEnd::Truncated);
    let stream = stream + &piece(1, "", Some("length"));
    let folded = folded(&stream);
    assert_eq!(folded.end, StreamEnd::Finished);
    let texts: Vec<_> = folded
        .answer
        .choices
        .iter()
        .map(|choice| match &choice.parts[..] {
            [Part { body: PartBody::Text { text, .. }, .. }] => (choice.index, text.to_string(), choice.finish),
            _ => panic!("one text each"),
        })
        .collect();
    assert_eq!(texts, [(0, "ac".to_owned(), Some(Finish::Stop)), (1, "bd".to_owned(), Some(Finish::Length))]);
    let (shown, _, _) = shown_to(&stream, &edits(Surface::V1));
    let roles = chunks(&shown).iter().filter(|chunk| chunk["choices"][0]["delta"]["role"] == "assistant").count();
    assert_eq!(roles, 2);
}
