//! Whole answers: from providers, to clients, and through.

use serde_json::{Value as Json, json};

use super::asks::{call, png, signed};
use super::*;
use crate::bridge::Bridge;
use crate::error::Error;
use crate::fault::UpstreamError;
use crate::model::{Answer, Choice, Finish, Part, PartBody, Signature, Thought};

/// Reads an answer and lets the test look at it.
fn read<T>(body: impl AsRef<[u8]>, look: impl FnOnce(&Answer<'_>) -> T) -> Result<T, UpstreamError> {
    let mut tape = Tape::default();
    super::super::egress::decode(tape.read(body.as_ref()).unwrap(), "").map(|answer| look(&answer))
}

/// What a client gets, and what was lost.
fn written(answer: &Answer<'_>, request: &str) -> (Json, String) {
    let mut out = Writer::new(&Bytes::new());
    let mut losses = Losses::default();
    super::super::ingress::encode(answer, &edits(request), &mut out, &mut losses);
    (json(out.finish().into_bytes()), losses.to_string())
}

fn of(parts: Vec<Part<'_>>) -> Answer<'_> {
    let choice = Choice { parts, finish: Some(Finish::Stop), native: "end_turn".into(), ..Choice::default() };
    Answer { choices: vec![choice], ..Answer::default() }
}

fn same() -> Bridge {
    Bridge::between(&DIALECT, &DIALECT).unwrap()
}

#[test]
fn every_recorded_answer_passes_with_nothing_changed_but_the_models_name() {
    for case in cases().into_iter().filter(|case| !case.is_stream && case.status == 200) {
        let whole = same().whole(case.response.clone(), &edits(""), &mut no_price).unwrap();
        let out = whole.body.into_bytes();
        let mut expected = json(&case.response);
        let mut elements: Vec<&mut Json> = match &mut expected {
            Json::Array(items) => items.iter_mut().collect(),
            one => vec![one],
        };
        for element in elements.iter_mut().filter(|element| element.get("modelVersion").is_some()) {
            element["modelVersion"] = json!("lab/public");
        }
        assert_eq!(json(&out), expected, "{}", case.name);
        // Byte for byte: the old name put back gives the old bytes.
        let old = json(&case.response);
        let old = if old.is_array() { &old[0]["modelVersion"] } else { &old["modelVersion"] };
        if let Some(old) = old.as_str() {
            let back = String::from_utf8(out.to_vec()).unwrap().replace("\"lab/public\"", &format!("\"{old}\""));
            assert_eq!(back, std::str::from_utf8(&case.response).unwrap(), "{}", case.name);
        }
    }
}

#[test]
fn an_answer_of_that_name_already_is_the_very_same_bytes() {
    let body = Bytes::from_static(br#"{"candidates":[],"modelVersion":"lab/public"}"#);
    let whole = same().whole(body.clone(), &edits(""), &mut no_price).unwrap();
    assert_eq!(whole.body.into_bytes().as_ptr(), body.as_ptr());
}

#[test]
fn usage_by_the_tap_is_usage_by_decoding() {
    let mut met = 0;
    for case in cases().into_iter().filter(|case| !case.is_stream && case.status == 200) {
        let tap = same().whole(case.response.clone(), &edits(""), &mut no_price).unwrap().tap;
        let Ok((usage, finish, id)) = read(&case.response, |answer| {
            let first = answer.choices.first().map(|choice| choice.native.to_string());
            (answer.usage, first.unwrap_or_default(), answer.id.to_string())
        }) else {
            assert_eq!(case.name, "basic-01", "only what is no answer is refused");
            continue;
        };
        assert_eq!(tap.usage(), usage, "{}", case.name);
        assert!(tap.usage_is_final() && usage.is_some(), "{}", case.name);
        assert_eq!((tap.finish_reason().as_ref(), tap.upstream_id()), (&*finish, &*id), "{}", case.name);
        met += 1;
    }
    assert!(met > 20 || root().is_none());
}

#[test]
fn every_recorded_answer_says_the_same_to_a_client_of_the_same_family() {
    for case in cases().into_iter().filter(|case| !case.is_stream && case.status == 200 && case.name != "basic-01") {
        read(&case.response, |answer| {
            let (out, losses) = written(answer, THOUGHTFUL);
            let said = json(&case.response);
            let first = if said.is_array() { folded(said.as_array().unwrap()) } else { said.clone() };
            let expected = &first["candidates"][0];
            let found = &out["candidates"][0];
            if first.get("candidates").is_some() {
                assert_eq!(texts(found), texts(expected), "{}", case.name);
                assert_eq!(found["finishReason"], expected["finishReason"], "{}", case.name);
            } else {
                assert_eq!(found["finishReason"], first["promptFeedback"]["blockReason"], "{}", case.name);
            }
            let has_sources = expected.get("groundingMetadata").is_some();
            let has_tools = case.name.starts_with("server-tools");
            let expected = if has_sources {
                "annotations"
            } else if has_tools {
                "answer_part"
            } else {
                ""
            };
            assert_eq!(losses, expected, "{}", case.name);
            assert_eq!(
                (&out["modelVersion"], &out["usageMetadata"]["totalTokenCount"]),
                (&json!("lab/public"), &first["usageMetadata"]["totalTokenCount"]),
                "{}",
                case.name
            );
        })
        .unwrap();
    }
}

/// Pieces of a list as one answer.
pub fn folded(pieces: &[Json]) -> Json {
    let mut all = pieces.last().cloned().unwrap();
    let parts: Vec<Json> = pieces
        .iter()
        .flat_map(|piece| piece["candidates"][0]["content"]["parts"].as_array().cloned().unwrap_or_default())
        .collect();
    all["candidates"][0]["content"]["parts"] = json!(parts);
    all
}

/// What a candidate says: texts, thoughts, calls and media, pieces put together.
pub fn texts(candidate: &Json) -> Vec<(String, String)> {
    let mut said: Vec<(String, String)> = Vec::new();
    for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
        let (kind, text) = if let Some(text) = part["text"].as_str() {
            (if part["thought"] == true { "thought" } else { "text" }, text.to_owned())
        } else if part["functionCall"].is_object() {
            let call = &part["functionCall"];
            (if call["args"].is_null() { "call {}" } else { "call" }, format!("{} {}", call["name"], call["args"]))
        } else if part["inlineData"].is_object() {
            ("media", part["inlineData"].to_string())
        } else {
            continue;
        };
        if text.is_empty() {
            continue;
        }
        match said.last_mut().filter(|(last, _)| last == kind && !kind.starts_with("call")) {
            Some((_, all)) => all.push_str(&text),
            None => said.push((kind.to_owned(), text)),
        }
    }
    said
}

#[test]
fn t30_reasons_are_read_with_the_calls_in_mind() {
    let finish = |reason: &str, parts: &str| {
        let body = format!(r#"{{"candidates":[{{"content":{{"parts":[{parts}]}},"finishReason":"{reason}"}}]}}"#);
        read(body, |answer| (answer.choices[0].finish, answer.choices[0].native.to_string())).unwrap()
    };
    let call = r#"{"functionCall":{"name":"f"}}"#;
    assert_eq!(finish("STOP", call), (Some(Finish::ToolCalls), "STOP".into()));
    assert_eq!(finish("STOP", r#"{"text":"x"}"#).0, Some(Finish::Stop));
    assert_eq!(finish("MAX_TOKENS", call).0, Some(Finish::Length));
    assert_eq!(finish("SAFETY", "").0, Some(Finish::Filter));
    assert_eq!(finish("MALFORMED_FUNCTION_CALL", "").0, Some(Finish::Error));
    assert_eq!(finish("SOMETHING_NEW", call), (Some(Finish::Unknown), "SOMETHING_NEW".into()));
    assert_eq!(finish("", "").0, None);
    assert_eq!(finish("FINISH_REASON_UNSPECIFIED", "").0, None);
}

#[test]
fn t30_a_blocked_prompt_is_a_valid_answer() {
    let body = r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":31},"responseId":"r"}"#;
    read(body, |answer| {
        assert_eq!(answer.choices.len(), 1);
        assert_eq!(
            (answer.choices[0].finish, &*answer.choices[0].native),
            (Some(Finish::Filter), "PROHIBITED_CONTENT")
        );
        assert_eq!(answer.usage.unwrap().prompt, 31);
        let (out, _) = written(answer, "");
        assert_eq!(
            out["candidates"],
            json!([{"content": {"role": "model"}, "finishReason": "PROHIBITED_CONTENT", "index": 0}])
        );
    })
    .unwrap();
    let tap = same().whole(Bytes::from_static(body.as_bytes()), &edits(""), &mut no_price).unwrap().tap;
    assert!(tap.all_finished() && !tap.has_output() && tap.upstream_error().is_none());
    assert!(read(r#"{"promptFeedback":{},"usageMetadata":{}}"#, |_| ()).is_err());
    assert!(read("{}", |_| ()).is_err());
}

#[test]
fn t41_errors_with_status_200_are_errors() {
    for body in [
        r#"{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#,
        r#"[{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}]"#,
        r#"{"response":{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}}"#,
        r#"[{"candidates":[{"content":{"parts":[{"text":"x"}]}}]},{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}]"#,
    ] {
        let error = read(body, |_| ()).unwrap_err();
        assert_eq!(
            (error.message.as_str(), error.status, error.kind.as_deref()),
            ("overloaded", Some(503), Some("UNAVAILABLE")),
            "{body}"
        );
        let whole = same().whole(Bytes::from_static(body.as_bytes()), &edits(""), &mut no_price).unwrap();
        assert_eq!(whole.tap.upstream_error(), Some(&error), "{body}");
        assert_eq!(whole.body.into_bytes(), body);
    }
    for body in ["", "<html>", "7", "{\"candidates\":["] {
        let body = Bytes::from_static(body.as_bytes());
        assert_eq!(same().whole(body, &edits(""), &mut no_price).unwrap_err(), Error::AnswerNotJson);
    }
    for case in cases().into_iter().filter(|case| case.status != 200) {
        let error = DIALECT.decode_error(&case.response);
        assert!(!error.message.is_empty() && error.kind.is_some(), "{}", case.name);
        assert_eq!(error.status.map(u64::from), Some(case.status), "{}", case.name);
    }
}

#[test]
fn t35_an_envelope_is_opened() {
    let body = r#"{"response":{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3},"modelVersion":"up","responseId":"r"},"traceId":"t"}"#;
    assert_eq!(read(body, |answer| (answer.id.to_string(), answer.usage.unwrap().prompt)).unwrap(), ("r".into(), 3));
    let whole = same().whole(Bytes::from_static(body.as_bytes()), &edits(""), &mut no_price).unwrap();
    assert_eq!(whole.tap.usage().unwrap().prompt, 3);
    assert_eq!(json(whole.body.into_bytes())["response"]["modelVersion"], "lab/public");
}

#[test]
fn t20_calls_without_ids_get_some_that_differ() {
    let body = |id: &str| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"a"}},{{"functionCall":{{"name":"f"}}}},{{"functionCall":{{"name":"f"}}}},{{"functionCall":{{"name":"f","id":"given"}}}}]}},"finishReason":"STOP"}}]{id}}}"#
        )
    };
    let ids = |body: String| {
        read(body, |answer| {
            let parts = answer.choices[0].parts.iter();
            parts
                .filter_map(|part| match &part.body {
                    PartBody::ToolCall { id, arguments, .. } => {
                        assert_eq!(arguments, "{}");
                        Some(id.to_string())
                    }
                    _ => None,
                })
                .collect::<Vec<_>>()
        })
        .unwrap()
    };
    assert_eq!(ids(body(r#","responseId":"a/B-1_""#)), ["tgcall_aB-1__1", "tgcall_aB-1__2", "given"]);
    let unnamed = ids(body(""));
    assert!(unnamed[0].starts_with("tgcall_") && unnamed[0] != unnamed[1]);
    assert_eq!(unnamed, ids(body("")), "the same answer has the same ids");
}

#[test]
fn t28_sources_are_kept_with_the_text() {
    let body = r#"{"candidates":[{"content":{"parts":[{"text":"a"},{"executableCode":{"code":"1"}},{"text":"b"}]},"finishReason":"STOP",
        "groundingMetadata":{"groundingChunks":[]},"citationMetadata":{"citations":[1]},"urlContextMetadata":{}}]}"#;
    read(body, |answer| {
        let parts = &answer.choices[0].parts;
        assert!(matches!(&parts[1].body, PartBody::Other { raw } if raw.starts_with("{\"executableCode\"")));
        let PartBody::Text { annotations: Some(list), .. } = &parts[2].body else { panic!("no sources") };
        assert_eq!(
            json(list.as_bytes()),
            json!([{"citationMetadata": {"citations": [1]}}, {"groundingMetadata": {"groundingChunks": []}}])
        );
    })
    .unwrap();
}

#[test]
fn answers_of_other_dialects_are_written_as_google_would() {
    let thought = |text: &'static str, is_redacted| {
        Part::new(PartBody::Thought(Thought { text: text.into(), is_redacted, ..Thought::default() }))
    };
    let own = || Signature::Own("sealed".into());
    let answer = || {
        let mut answer = of(vec![
            signed(thought("hm", false), own()),
            signed(thought("", false), own()),
            signed(thought("", true), own()),
            Part::text("hello"),
            png(),
            signed(call("toolu_1", "f", r#"{"a":1}"#), own()),
            call("toolu_2", "g", r#"{"cut":"#),
        ]);
        answer.choices[0].finish = Some(Finish::ToolCalls);
        answer.usage =
            Some(TokenUsage { prompt: 5, cache_read: 3, completion: 2, reasoning: 1, ..TokenUsage::default() });
        answer
    };
    let seal = carry().wrap_base64("sealed");
    let (out, losses) = written(&answer(), THOUGHTFUL);
    let said = json!([
        {"text": "hello"},
        {"inlineData": {"mimeType": "image/png", "data": "iVBO"}},
        {"functionCall": {"id": "toolu_1", "name": "f", "args": {"a": 1}}, "thoughtSignature": seal},
        {"functionCall": {"id": "toolu_2", "name": "g", "args": {"arguments": "{\"cut\":"}}},
    ]);
    let mut with_thoughts = vec![
        json!({"text": "hm", "thought": true, "thoughtSignature": seal}),
        json!({"text": "", "thought": true, "thoughtSignature": seal}),
        json!({"thought": true, "thoughtSignature": seal}),
    ];
    with_thoughts.extend(said.as_array().unwrap().clone());
    assert_eq!((&out["candidates"][0]["content"]["parts"], losses.as_str()), (&json!(with_thoughts), ""));
    assert_eq!(out["candidates"][0]["finishReason"], "STOP");
    assert_eq!(out["responseId"], "req_1");
    assert_eq!(out["usageMetadata"]["promptTokenCount"], 8);
    // Whoever did not ask for thoughts has the answer as its first part.
    assert_eq!(written(&answer(), "{}").0["candidates"][0]["content"]["parts"], said);
    // What comes back is what went out.
    let history =
        json!({"contents": [{"role": "user", "parts": [{"text": "q"}]}, out["candidates"][0]["content"]]}).to_string();
    decoded(&history, |request| {
        let parts = &request.turns[1].parts;
        let thoughts: Vec<_> = parts
            .iter()
            .filter_map(|part| match &part.body {
                PartBody::Thought(thought) => {
                    Some((thought.text.to_string(), thought.is_redacted, part.signature.clone()))
                }
                _ => None,
            })
            .collect();
        assert_eq!(
            thoughts,
            [
                ("hm".into(), false, Some(own())),
                (String::new(), false, Some(own())),
                (String::new(), true, Some(own()))
            ]
        );
        assert_eq!(parts[5].signature, Some(own()));
    })
    .unwrap();
}

#[test]
fn t08_each_of_several_answers_has_its_number() {
    let mut answer = of(vec![Part::text("a")]);
    answer.choices.push(Choice {
        index: 1,
        parts: vec![Part::text("b")],
        finish: Some(Finish::Length),
        ..Choice::default()
    });
    answer.choices[1].logprobs = Some(r#"{"content":[{"token":"b","logprob":-1}]}"#.into());
    let (out, _) = written(&answer, "");
    assert_eq!(out["candidates"][1]["index"], 1);
    assert_eq!(out["candidates"][1]["finishReason"], "MAX_TOKENS");
    assert_eq!(out["candidates"][1]["logprobsResult"]["chosenCandidates"][0]["token"], "b");
    read(out.to_string(), |back| {
        assert_eq!(back.choices.iter().map(|choice| choice.index).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(json(back.choices[1].logprobs.as_deref().unwrap())["content"][0]["logprob"], -1);
    })
    .unwrap();
    // A number that is not said is the place in the list.
    read(r#"{"candidates":[{"content":{}},{"content":{}}]}"#, |answer| assert_eq!(answer.choices.len(), 2)).unwrap();
}
