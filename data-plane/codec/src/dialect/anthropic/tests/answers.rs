//! Whole answers: recorded ones are understood and shown as they were, those of other dialects get Anthropic's shape.

use domain::money::Money;
use domain::usage::TokenUsage;
use serde_json::{Value, json};

use super::*;
use crate::model::{Choice, Finish, Media, MediaKind, PartBody, Signature, Source, Thought};
use crate::receipt::Receipt;
use crate::tap::Tap;

/// An answer of a provider, given to `look`.
pub(super) fn decoded<R>(body: &[u8], look: impl FnOnce(&Answer<'_>) -> R) -> R {
    let mut tape = Tape::default();
    look(&Egress.decode(tape.read(body).unwrap()).unwrap())
}

pub(super) fn no_price(_: &TokenUsage) -> Receipt {
    Receipt { cost: Money::ZERO, is_byok: false, upstream_cost: None }
}

fn tapped(body: &[u8]) -> Tap {
    DIALECT.same.whole(Bytes::copy_from_slice(body), &answer_edits(), &mut no_price).unwrap().tap
}

/// A recorded answer with what a translation may leave out taken out: citations, and blocks of the provider's tools.
fn plain(mut answer: Value) -> Value {
    for block in answer["content"].as_array_mut().unwrap() {
        let block = block.as_object_mut().unwrap();
        block.remove("citations");
        block.remove("caller");
    }
    let sorts = ["text", "thinking", "redacted_thinking", "tool_use"];
    answer["content"].as_array_mut().unwrap().retain(|block| sorts.contains(&block["type"].as_str().unwrap()));
    answer
}

/// An answer as shown, with its sealed state opened again.
pub(super) fn opened(mut answer: Value) -> Value {
    for block in answer["content"].as_array_mut().unwrap() {
        for name in ["signature", "data"] {
            if let Some(sealed) = block[name].as_str().filter(|sealed| !sealed.is_empty()) {
                let Signature::Own(value) = carry().unwrap(sealed.to_owned().into()) else { panic!("{sealed}") };
                block[name] = json!(value);
            }
        }
    }
    answer
}

fn cases() -> Vec<fixtures::Case> {
    fixtures::cases(&["anthropic"]).into_iter().filter(|case| !case.is_stream && case.status == 200).collect()
}

#[test]
fn usage_by_the_tap_is_usage_by_reading() {
    for case in cases() {
        let usage = decoded(&case.response, |answer| answer.usage);
        let tap = tapped(&case.response);
        assert!(usage.is_some(), "{}", case.name);
        assert_eq!((tap.usage(), tap.usage_is_final()), (usage, true), "{}", case.name);
        let value: Value = serde_json::from_slice(&case.response).unwrap();
        let count = |name: &str| value["usage"][name].as_u64().unwrap_or(0);
        let usage = usage.unwrap();
        let inputs = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"].map(count);
        assert_eq!((usage.prompt_total(), usage.prompt), (inputs.iter().sum(), inputs[0]), "{}", case.name);
        assert_eq!(usage.completion_total(), count("output_tokens"), "{}", case.name);
        assert_eq!(tap.finish_reason(), value["stop_reason"].as_str().unwrap());
        assert_eq!(tap.upstream_id(), value["id"].as_str().unwrap());
    }
}

#[test]
fn recorded_answers_are_shown_as_they_were() {
    for case in cases() {
        let value: Value = serde_json::from_slice(&case.response).unwrap();
        let (shown, losses) = decoded(&case.response, shown);
        let shown = opened(shown);
        assert_eq!(shown["model"], "public/model");
        let mut expected = plain(value);
        if let Some(why) = expected["stop_details"]["explanation"].as_str().map(str::to_owned) {
            // Why a model will not is said in words, since others have no field for it.
            expected["content"].as_array_mut().unwrap().push(json!({"type":"text","text":why}));
        }
        for name in ["id", "type", "role", "content", "stop_reason", "stop_sequence"] {
            assert_eq!(shown[name], expected[name], "{}: {name}", case.name);
        }
        for name in ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"] {
            assert_eq!(
                shown["usage"][name].as_u64(),
                Some(expected["usage"][name].as_u64().unwrap_or(0)),
                "{}",
                case.name
            );
        }
        let lost = ["annotations", "refusal", "answer_part"];
        assert!(losses.iter().all(|loss| lost.contains(&loss.name())), "{}: {losses}", case.name);
    }
}

#[test]
fn recorded_errors_are_errors_also_with_status_200() {
    for case in fixtures::cases(&["anthropic", "constructed"]) {
        if case.status < 400 || !case.name.contains("anthropic") {
            continue;
        }
        let mut tape = Tape::default();
        let error = Egress.decode(tape.read(&case.response).unwrap()).unwrap_err();
        let value: Value = serde_json::from_slice(&case.response).unwrap();
        assert_eq!(error.message, value["error"]["message"].as_str().unwrap(), "{}", case.name);
        assert_eq!(error.kind.as_deref(), value["error"]["type"].as_str(), "{}", case.name);
        assert_eq!(tapped(&case.response).upstream_error(), Some(&error), "{}", case.name);
        assert_eq!(DIALECT.decode_error(&case.response), error);
    }
}

#[test]
fn t22_t23_parts_are_read_in_their_order_and_keep_what_they_are() {
    let body = br#"{"id":"msg_1","type":"message","content":[
        {"type":"thinking","thinking":"hm","signature":"s=="},{"type":"redacted_thinking","data":"d=="},
        {"type":"text","text":"a","citations":null},{"type":"text","text":"b","citations":[{"type":"char_location"}]},
        {"type":"tool_use","id":"toolu_1","name":"f","input":{}},{"type":"server_tool_use","id":"s","name":"web_search","input":{"q":1}}],
        "stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":2,"service_tier":"priority"}}"#;
    decoded(body, |answer| {
        let choice = &answer.choices[0];
        assert_eq!(
            (choice.finish, &*choice.native, answer.service_tier.as_deref()),
            (Some(Finish::ToolCalls), "tool_use", Some("priority"))
        );
        let [thought, sealed, plain, cited, call, other] = &choice.parts[..] else { panic!() };
        assert_eq!(
            (&thought.signature, &sealed.signature),
            (&Some(Signature::Own("s==".into())), &Some(Signature::Own("d==".into())))
        );
        assert!(matches!(&sealed.body, PartBody::Thought(Thought { is_redacted: true, .. })));
        assert!(matches!(&plain.body, PartBody::Text { annotations: None, .. }));
        assert!(
            matches!(&cited.body, PartBody::Text { annotations: Some(list), .. } if list == r#"[{"type":"char_location"}]"#)
        );
        assert!(matches!(&call.body, PartBody::ToolCall { arguments, .. } if arguments == "{}"));
        assert!(matches!(&other.body, PartBody::Other { raw } if raw.contains("web_search")));
    });
}

#[test]
fn t09_the_forced_tools_input_is_the_answers_text() {
    let body = |rest: &str| {
        format!(
            r#"{{"id":"1","content":[{{"type":"tool_use","id":"t","name":"tollgate_answer","input":{{"a": 1}}}}{rest}],"stop_reason":"tool_use"}}"#
        )
    };
    decoded(body("").as_bytes(), |answer| {
        let choice = &answer.choices[0];
        assert!(matches!(&choice.parts[..], [Part { body: PartBody::Text { text, .. }, .. }] if text == r#"{"a": 1}"#));
        assert_eq!((choice.finish, &*choice.native), (Some(Finish::Stop), "tool_use"));
    });
    let call = r#",{"type":"tool_use","id":"u","name":"f","input":{}}"#;
    decoded(body(call).as_bytes(), |answer| assert_eq!(answer.choices[0].finish, Some(Finish::ToolCalls)));
}

#[test]
fn t29_why_a_model_will_not_is_said_and_an_answer_without_a_reason_has_none() {
    let body =
        br#"{"id":"1","content":[],"stop_reason":"refusal","stop_details":{"type":"refusal","explanation":"no"}}"#;
    decoded(body, |answer| {
        let choice = &answer.choices[0];
        assert_eq!(choice.finish, Some(Finish::Refusal));
        assert!(matches!(&choice.parts[..], [Part { body: PartBody::Refusal(why), .. }] if why == "no"));
    });
    for (word, finish) in
        [("pause_turn", Finish::Pause), ("model_context_window_exceeded", Finish::Length), ("new", Finish::Unknown)]
    {
        let body = format!(r#"{{"content":[],"stop_reason":"{word}"}}"#);
        decoded(body.as_bytes(), |answer| {
            assert_eq!((answer.choices[0].finish, &*answer.choices[0].native), (Some(finish), word))
        });
    }
    decoded(br#"{"content":[],"stop_reason":null}"#, |answer| {
        assert_eq!((answer.choices[0].finish, answer.usage), (None, None));
        assert_eq!(shown(answer).0["stop_reason"], Value::Null);
    });
}

fn answering(parts: Vec<Part<'_>>, finish: Finish) -> Answer<'_> {
    Answer {
        choices: vec![Choice { parts, finish: Some(finish), native: "native".into(), ..Choice::default() }],
        ..Answer::default()
    }
}

#[test]
fn an_answer_of_another_dialect_gets_anthropics_shape() {
    let sealed = |text: &'static str, is_redacted| Part {
        body: PartBody::Thought(Thought { text: text.into(), is_redacted, ..Thought::default() }),
        cache: None,
        signature: Some(Signature::Own("gAAAA".into())),
    };
    let mut signed = call("call_1", "f", r#"{"a": 1}"#);
    signed.signature = Some(Signature::Own("sig/+=".into()));
    let parts = vec![
        sealed("sum", false),
        sealed("", true),
        Part::new(PartBody::Thought(Thought { text: "open".into(), ..Thought::default() })),
        Part::new(PartBody::Thought(Thought::default())),
        Part::text(""),
        Part::text("hi"),
        signed,
        call("call_2", "g", ""),
        call("call_3", "g", "{\"cut"),
    ];
    let mut answer = answering(parts, Finish::ToolCalls);
    answer.usage = Some(TokenUsage { prompt: 3, cache_read: 4, completion: 5, reasoning: 6, ..TokenUsage::default() });
    let (body, losses) = shown(&answer);
    assert!(losses.is_empty());
    let wrapped = carry().wrap("gAAAA");
    let id = carry().wrap_id("call_1", "sig/+=");
    assert_eq!(
        body,
        json!({
        "model":"public/model","id":"req_7","type":"message","role":"assistant",
        "content":[
            {"type":"thinking","thinking":"sum","signature":wrapped},
            {"type":"redacted_thinking","data":wrapped},
            {"type":"thinking","thinking":"open","signature":carry().wrap("")},
            {"type":"text","text":"hi"},
            {"type":"tool_use","id":id,"name":"f","input":{"a":1}},
            {"type":"tool_use","id":"call_2","name":"g","input":{}},
            {"type":"tool_use","id":"call_3","name":"g","input":{"raw_arguments":"{\"cut"}}],
        "stop_reason":"tool_use","stop_sequence":null,"stop_details":null,
        "usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,
            "cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},
            "output_tokens":11,"output_tokens_details":{"thinking_tokens":6},"service_tier":"standard"}})
    );
}

#[test]
fn t29_reasons_of_other_dialects_have_anthropics_words() {
    let reason = |finish, parts| shown(&answering(parts, finish)).0["stop_reason"].as_str().unwrap().to_owned();
    assert_eq!(reason(Finish::Stop, vec![]), "end_turn");
    assert_eq!(reason(Finish::Length, vec![]), "max_tokens");
    assert_eq!(reason(Finish::Filter, vec![]), "refusal");
    assert_eq!(reason(Finish::Unknown, vec![]), "native");
    assert_eq!(reason(Finish::Stop, vec![call("1", "f", "{}")]), "tool_use");
    assert_eq!(reason(Finish::Stop, vec![Part::new(PartBody::Refusal("no".into()))]), "refusal");
    assert_eq!(shown(&Answer::default()).0["stop_reason"], "refusal", "a blocked prompt has no choices");
    let mut stopped = answering(vec![], Finish::StopSequence);
    stopped.choices[0].stopped_at = Some("END".into());
    let (body, _) = shown(&stopped);
    assert_eq!((&body["stop_reason"], &body["stop_sequence"]), (&json!("stop_sequence"), &json!("END")));
}

#[test]
fn what_went_out_wrapped_comes_back_as_it_was() {
    let mut signed = call("call_1", "f", "{}");
    signed.signature = Some(Signature::Own("sig/+=".into()));
    let thought = Part {
        body: PartBody::Thought(Thought { text: "t".into(), ..Thought::default() }),
        cache: None,
        signature: Some(Signature::Own("enc+/=".into())),
    };
    let (body, _) = shown(&answering(vec![thought, signed], Finish::ToolCalls));
    let id = &body["content"][1]["id"];
    let next = json!({"model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":body["content"]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":id,"content":"r"}]}]});
    read(&next.to_string(), |request| {
        let said = &request.turns[1].parts;
        assert_eq!(said[0].signature, Some(Signature::Own("enc+/=".into())));
        assert_eq!(said[1].signature, Some(Signature::Own("sig/+=".into())));
        assert!(matches!(&said[1].body, PartBody::ToolCall { id, .. } if id == "call_1"));
        assert!(matches!(&request.turns[2].parts[0].body, PartBody::ToolResult { id, .. } if id == "call_1"));
    })
    .unwrap();
}

#[test]
fn t45_a_thought_without_a_signature_is_known_again_and_never_sent_to_anthropic() {
    let open = Part::new(PartBody::Thought(Thought { text: "hm".into(), ..Thought::default() }));
    let (body, _) = shown(&answering(vec![open, Part::text("x")], Finish::Stop));
    let next = json!({"model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":body["content"]}]});
    read(&next.to_string(), |request| {
        let said = &request.turns[1].parts;
        assert!(
            matches!(&said[0], Part { body: PartBody::Thought(thought), signature: None, .. } if thought.text == "hm")
        );
        let (sent, losses) = usual().gets(request).unwrap();
        assert_eq!(sent["messages"][1]["content"], json!([{"type":"text","text":"x"}]));
        assert_eq!(losses.to_string(), "reasoning");
    })
    .unwrap();
    assert!(crate::carry::is_in(next.to_string().as_bytes()), "so that bytes do not go through");
}

#[test]
fn media_in_an_answer_is_a_named_loss() {
    let image = Media {
        kind: MediaKind::Image,
        mime: None,
        source: Source::Inline("QUJD".into()),
        name: None,
        detail: None,
        at: String::new(),
    };
    let (body, losses) = shown(&answering(vec![Part::new(PartBody::Media(image))], Finish::Stop));
    assert_eq!((&body["content"], losses.to_string().as_str()), (&json!([]), "answer_media"));
}
