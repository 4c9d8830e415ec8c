//! Whole answers: everything that clients insist on, whatever the provider left out or said differently.

use serde_json::json;

use super::*;
use crate::model::{Answer, Choice, Finish, MediaKind, Part, PartBody, Source};
use domain::usage::UsageSource;

fn shown_to(answer: &Answer<'_>, wanted: &AnswerEdits) -> Value {
    let (mut out, mut losses) = (Writer::new(&Bytes::new()), Losses::default());
    let receipt = answer.usage.as_ref().map(|usage| pricer().price(usage));
    DIALECT.ingress.unwrap().encode(answer, receipt.as_ref(), wanted, &mut out, &mut losses);
    assert!(losses.is_empty(), "{losses}");
    serde_json::from_slice(&out.finish().into_bytes()).unwrap()
}

fn shown(answer: &Answer<'_>) -> Value {
    shown_to(answer, &edits(Surface::V1))
}

fn ended(parts: Vec<Part<'static>>, finish: Finish, native: &'static str) -> Answer<'static> {
    let choice = Choice { parts, finish: Some(finish), native: native.into(), ..Choice::default() };
    Answer { choices: vec![choice], ..Answer::default() }
}

/// What a client sees of a provider's answer.
fn translated(answer: &Value) -> (Value, crate::Tap) {
    let whole = translating().whole(Bytes::from(answer.to_string()), &edits(Surface::V1), &mut pricer()).unwrap();
    (serde_json::from_slice(&whole.body.into_bytes()).unwrap(), whole.tap)
}

fn message(message: Value, finish: &str) -> Value {
    json!({"id":"a","created":5,"choices":[{"index":0,"message":message,"finish_reason":finish}]})
}

#[test]
fn t28_citations_with_an_address_are_citations_here() {
    let parts = vec![
        Part::text("äb "),
        Part::new(PartBody::Text {
            text: "cité".into(),
            annotations: Some(r#"[{"type":"web_search_result_location","url":"https://x","title":"T","cited_text":"c"},{"type":"url_citation","url":"https://y","title":"U","start_index":1,"end_index":2}]"#.into()),
        }),
    ];
    let message = &shown(&ended(parts, Finish::Stop, "end_turn"))["choices"][0]["message"];
    let citation = |url: &str, title: &str, start: u64, end: u64| json!({"type":"url_citation","url_citation":{"url":url,"title":title,"start_index":start,"end_index":end}});
    assert_eq!(message["content"], "äb cité");
    assert_eq!(message["annotations"], json!([citation("https://x", "T", 3, 7), citation("https://y", "U", 1, 2)]));
}

#[test]
fn t28_addresses_are_found_wherever_a_citation_has_them() {
    let grounding = r#"[{"grounding":{"chunks":[{"web":{"uri":"https://x","title":"T"}},{"web":{"uri":"https://y"}}],"queries":["q"]}}]"#;
    let text = PartBody::Text { text: "said".into(), annotations: Some(grounding.into()) };
    let message = &shown(&ended(vec![Part::new(text)], Finish::Stop, ""))["choices"][0]["message"];
    let urls: Vec<_> =
        message["annotations"].as_array().unwrap().iter().map(|one| &one["url_citation"]["url"]).collect();
    assert_eq!(urls, ["https://x", "https://y"]);
}

#[test]
fn t29_reasons_to_end_have_one_word_each_and_the_native_one_stays() {
    let said = || vec![Part::text("x")];
    let refused = || vec![Part::new(PartBody::Refusal("no".into()))];
    for (parts, finish, native, word) in [
        (said(), Finish::Stop, "end_turn", "stop"),
        (said(), Finish::StopSequence, "stop_sequence", "stop"),
        (said(), Finish::Length, "model_context_window_exceeded", "length"),
        (said(), Finish::ToolCalls, "tool_use", "tool_calls"),
        (said(), Finish::Filter, "SAFETY", "content_filter"),
        (said(), Finish::Refusal, "refusal", "content_filter"),
        (refused(), Finish::Refusal, "stop", "stop"),
        (said(), Finish::Pause, "pause_turn", "pause_turn"),
        (said(), Finish::Unknown, "NEW_WORD", "NEW_WORD"),
        (said(), Finish::Unknown, "", "unknown"),
        (said(), Finish::Unknown, "stop", "unknown"),
    ] {
        let choice = &shown(&ended(parts, finish, native))["choices"][0];
        assert_eq!(
            (&choice["finish_reason"], choice["native_finish_reason"].as_str().unwrap_or_default()),
            (&json!(word), native)
        );
    }
    for (word, finish) in [
        ("stop", Finish::Stop),
        ("length", Finish::Length),
        ("model_length", Finish::Length),
        ("tool_calls", Finish::ToolCalls),
        ("function_call", Finish::ToolCalls),
        ("content_filter", Finish::Filter),
        ("insufficient_system_resource", Finish::Error),
        ("COMPLETE", Finish::Unknown),
        ("", Finish::Unknown),
    ] {
        assert_eq!(crate::dialect::openai_chat::finish::read(word), finish, "{word}");
    }
}

#[test]
fn t29_a_forced_call_ends_with_calls_and_a_refusal_is_one() {
    let call = json!({"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]});
    let (told, tap) = translated(&message(call, "stop"));
    let choice = &told["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["native_finish_reason"]), (&json!("tool_calls"), &json!("stop")));
    assert_eq!(tap.finish_reason(), "stop");
    let (told, _) = translated(&message(json!({"content":null,"refusal":"I will not"}), "stop"));
    assert_eq!(told["choices"][0]["message"]["refusal"], "I will not");
    assert_eq!(told["choices"][0]["finish_reason"], "stop");
    let mut stopped = message(json!({"content":"x"}), "stop");
    stopped["choices"][0]["stop_reason"] = json!("###");
    let (told, _) = translated(&stopped);
    assert_eq!(
        (&told["choices"][0]["finish_reason"], &told["choices"][0]["stop_reason"]),
        (&json!("stop"), &json!("###"))
    );
}

#[test]
fn t31_an_answer_has_choices_and_everything_else_that_clients_insist_on() {
    let told = shown(&Answer::default());
    assert_eq!(told["choices"][0]["finish_reason"], "content_filter", "nothing came back: the prompt was blocked");
    assert_eq!(told["choices"][0]["message"], json!({"role":"assistant","content":null,"refusal":null}));
    assert_eq!(
        (&told["id"], &told["created"], &told["object"]),
        (&json!("req_1"), &json!(1_700_000_000), &json!("chat.completion"))
    );
    assert_eq!(told.get("system_fingerprint"), Some(&Value::Null));
    assert_eq!(told["model"], "public/model");
    let several = json!({"id":"a","choices":[{"index":1,"message":{"content":"b"},"finish_reason":"stop"},{"index":0,"message":{"content":"a"},"finish_reason":"length"}]});
    let (told, _) = translated(&several);
    assert_eq!((&told["choices"][0]["message"]["content"], &told["choices"][1]["index"]), (&json!("a"), &json!(1)));
}

#[test]
fn t32_usage_goes_out_as_it_came_in_by_class() {
    let inputs = TokenUsage { prompt: 1, cache_read: 2, cache_write: 3, cache_write_1h: 4, ..TokenUsage::default() };
    let usage = TokenUsage {
        completion: 5,
        reasoning: 6,
        audio_input: 7,
        audio_output: 8,
        images: 9,
        web_searches: 10,
        ..inputs
    };
    let told = shown(&Answer { usage: Some(usage), ..ended(vec![], Finish::Stop, "") });
    assert_eq!((&told["usage"]["prompt_tokens"], &told["usage"]["completion_tokens"]), (&json!(17), &json!(19)));
    assert_eq!((&told["usage"]["total_tokens"], &told["usage"]["cost"]), (&json!(36), &json!(0.000412)));
    assert_eq!(told["usage"]["prompt_tokens_details"]["cached_tokens"], 2);
    let (_, tap) = translated(&told);
    assert_eq!(tap.usage(), Some(usage));
}

#[test]
fn t36_no_usage_is_not_zero_usage() {
    let (told, tap) = translated(&message(json!({"content":"four"}), "stop"));
    assert_eq!((told.get("usage"), tap.usage(), tap.usage_source()), (None, None, UsageSource::Estimated));
    let mut zero = message(json!({"content":"four"}), "stop");
    zero["usage"] = json!({"prompt_tokens":0,"completion_tokens":0});
    let (told, tap) = translated(&zero);
    assert_eq!((&told["usage"]["total_tokens"], tap.usage_source()), (&json!(0), UsageSource::ProviderFinal));
}

#[test]
fn t22_a_call_without_arguments_has_an_empty_object_and_t20_one_without_an_id_gets_one() {
    let calls = json!({"tool_calls":[{"function":{"name":"f"}},{"id":"","function":{"name":"f","arguments":""}},{"id":"x","function":{"name":"g","arguments":{"a":1}}}]});
    let (told, _) = translated(&message(calls.clone(), "tool_calls"));
    let (again, _) = translated(&message(calls, "tool_calls"));
    assert_eq!(told, again, "made up the same way each time");
    let calls = told["choices"][0]["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls[0]["function"]["arguments"], "{}");
    assert_eq!(calls[2]["function"]["arguments"], r#"{"a":1}"#);
    assert!(calls[0]["id"] != calls[1]["id"] && calls[0]["id"].as_str().unwrap().starts_with("call_"));
}

#[test]
fn clients_of_the_old_form_see_the_old_form() {
    let request = Bytes::from(r#"{"functions":[{"name":"f"}],"messages":[]}"#);
    let call = PartBody::ToolCall { id: "1".into(), name: "f".into(), arguments: "".into() };
    let answer = ended(vec![Part::new(call)], Finish::ToolCalls, "tool_use");
    let told = shown_to(&answer, &AnswerEdits { request, ..edits(Surface::V1) });
    assert_eq!(told["choices"][0]["message"]["function_call"], json!({"name":"f","arguments":"{}"}));
    assert_eq!(told["choices"][0]["finish_reason"], "function_call");
    let both = Bytes::from(r#"{"functions":[{"name":"f"}],"tools":[]}"#);
    let told = shown_to(&answer, &AnswerEdits { request: both, ..edits(Surface::V1) });
    assert!(told["choices"][0]["message"]["tool_calls"].is_array());
}

#[test]
fn images_and_sounds_have_their_places() {
    let media = |kind, source, mime| Part::media(kind, mime, source);
    let parts = vec![
        media(MediaKind::Image, Source::Inline("QUJD".into()), Some("image/webp")),
        media(MediaKind::Image, Source::Url("https://x/y.png".into()), None),
        media(MediaKind::Audio, Source::Inline("RUZH".into()), None),
    ];
    let told = shown(&ended(parts, Finish::Stop, ""));
    let message = &told["choices"][0]["message"];
    assert_eq!(message["images"][0]["image_url"]["url"], "data:image/webp;base64,QUJD");
    assert_eq!(message["images"][1], json!({"type":"image_url","image_url":{"url":"https://x/y.png"},"index":1}));
    assert_eq!(message["audio"]["data"], "RUZH");
    let (back, _) = translated(&told);
    assert_eq!(back["choices"][0]["message"]["images"], message["images"]);
}

#[test]
fn t41_errors_with_status_200_are_told_apart() {
    for (body, message) in [
        (json!({"error":{"message":"down","code":502}}), "down"),
        (json!({"error":"down"}), "down"),
        (json!({"object":"error","message":"down","code":"3051"}), "down"),
        (json!({"choices":[{"index":0,"message":{"content":""},"error":{"message":"down","code":502}}]}), "down"),
        (json!({"id":"x"}), "the provider's answer has no choices"),
        (message(json!({"content":""}), "error"), "the provider ended the answer with an error"),
        (
            message(json!({"content":"half"}), "insufficient_system_resource"),
            "the provider ended the answer with an error",
        ),
    ] {
        let whole = translating().whole(Bytes::from(body.to_string()), &edits(Surface::V1), &mut pricer()).unwrap();
        assert_eq!(whole.tap.upstream_error().map(|error| error.message.as_str()), Some(message), "{body}");
    }
    let fine = json!({"error":null,"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}]});
    assert!(translated(&fine).1.upstream_error().is_none());
}

#[test]
fn openrouters_clients_are_told_who_answered_where_the_answer_is_written_anew() {
    let told = |surface, provider: &str| AnswerEdits { provider: provider.to_owned(), ..edits(surface) };
    let mut whole = message(json!({"role":"assistant","content":"x"}), "stop");
    whole["model"] = json!("up");
    let chunk = "data: {\"id\":\"a\",\"model\":\"up\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n\n";
    let same = Bridge::between(&DIALECT, &DIALECT).unwrap();
    for (bridge, surface, provider, seen) in [
        (translating(), Surface::ApiV1, "a \"b\"", json!("a \"b\"")),
        (translating(), Surface::ApiV1, "", Value::Null),
        (translating(), Surface::V1, "a", Value::Null),
        (same, Surface::ApiV1, "a", Value::Null),
    ] {
        let wanted = told(surface, provider);
        let shown = bridge.whole(Bytes::from(whole.to_string()), &wanted, &mut pricer()).unwrap();
        let shown: Value = serde_json::from_slice(&shown.body.into_bytes()).unwrap();
        assert_eq!((&shown["provider"], &shown["model"]), (&seen, &json!("public/model")));
        let mut pass = bridge.stream(&wanted);
        let mut out = pass.push(Bytes::from(chunk), &mut pricer()).to_vec();
        out.extend_from_slice(&pass.end(&mut pricer()).0);
        let text = String::from_utf8(out).unwrap();
        let first: Value = serde_json::from_str(text.lines().next().unwrap().strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!((&first["provider"], &first["model"]), (&seen, &json!("public/model")), "{text}");
    }
}
