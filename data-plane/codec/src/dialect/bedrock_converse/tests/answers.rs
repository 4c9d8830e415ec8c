use serde_json::json;

use super::*;
use crate::fault::UpstreamError;
use crate::json::Tape;
use crate::model::{Answer, Choice, Finish};

/// What a whole answer says.
fn decoded<T>(answer: &Value, read: impl FnOnce(Answer<'_>) -> T) -> Result<T, UpstreamError> {
    let text = answer.to_string();
    let mut tape = Tape::default();
    DIALECT.egress.unwrap().decode(tape.read(text.as_bytes()).unwrap()).map(read)
}

fn answer(content: Value, stop_reason: &str) -> Value {
    json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop_reason,
        "usage": {"inputTokens": 12, "outputTokens": 5, "totalTokens": 17, "serverToolUsage": {}},
        "metrics": {"latencyMs": 802},
    })
}

fn debug(choice: &Choice<'_>) -> Vec<String> {
    choice.parts.iter().map(|part| format!("{:?}{:?}", part.body, part.signature)).collect()
}

#[test]
fn every_documented_block_is_read() {
    let content = json!([
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "EqQB"}}},
        {"reasoningContent": {"reasoningText": {"text": "unsealed"}}},
        {"reasoningContent": {"redactedContent": "c2VhbGVk"}},
        {"text": ""},
        {"text": "Hello"},
        {"citationsContent": {"content": [{"text": "a"}, {"text": "b"}], "citations": [{"title": "t"}]}},
        {"citationsContent": {"content": [{"text": "c"}], "citations": []}},
        {"toolUse": {"toolUseId": "tooluse_1", "name": "f", "input": {"x": 1.50}, "type": "tool_use"}},
        {"toolUse": {"name": "g"}},
        {"toolUse": {"toolUseId": "s", "name": "search", "input": {}, "type": "server_tool_use"}},
        {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
        {"novelty": {}},
    ]);
    let parts = decoded(&answer(content, "tool_use"), |answer| {
        assert_eq!((&*answer.id, answer.created, answer.choices.len()), ("", 0, 1));
        assert_eq!(answer.usage.map(|usage| (usage.prompt, usage.completion)), Some((12, 5)));
        assert_eq!((answer.choices[0].finish, &*answer.choices[0].native), (Some(Finish::ToolCalls), "tool_use"));
        debug(&answer.choices[0])
    });
    let thought = |text: &str, is_redacted: bool, sealed: Option<&'static str>| {
        let thought = Thought { text: text.to_owned().into(), is_redacted, ..Thought::default() };
        format!("{:?}{:?}", PartBody::Thought(thought), sealed.map(|sealed| Signature::Own(sealed.into())))
    };
    let text = |text: &str, annotations: Option<&str>| {
        let annotations = annotations.map(|raw| raw.to_owned().into());
        format!("{:?}None", PartBody::Text { text: text.to_owned().into(), annotations })
    };
    let plain = |body: PartBody<'_>| format!("{body:?}None");
    let picture = Media {
        kind: MediaKind::Image,
        mime: Some("image/png".into()),
        source: Source::Inline("AAAA".into()),
        name: None,
        detail: None,
        at: String::new(),
    };
    let server = r#"{"toolUse":{"input":{},"name":"search","toolUseId":"s","type":"server_tool_use"}}"#;
    assert_eq!(
        parts.unwrap(),
        [
            thought("hm", false, Some("EqQB")),
            thought("unsealed", false, None),
            thought("", true, Some("c2VhbGVk")),
            text("Hello", None),
            text("ab", Some(r#"[{"title":"t"}]"#)),
            text("c", None),
            plain(call("tooluse_1", "f", r#"{"x":1.5}"#).body),
            plain(call("call_8", "g", "{}").body),
            plain(PartBody::Other { raw: server.into() }),
            plain(PartBody::Media(picture)),
            plain(PartBody::Other { raw: r#"{"novelty":{}}"#.into() }),
        ]
    );
}

#[test]
fn t07_t29_t30_an_end_is_told_with_the_providers_word() {
    let text = json!([{"text": "x"}]);
    let called = json!([{"toolUse": {"toolUseId": "1", "name": "f", "input": {}}}]);
    for (content, word, finish) in [
        (&text, "end_turn", Finish::Stop),
        (&text, "max_tokens", Finish::Length),
        (&text, "guardrail_intervened", Finish::Filter),
        (&text, "malformed_tool_use", Finish::Error),
        (&text, "something_new", Finish::Unknown),
        (&called, "tool_use", Finish::ToolCalls),
        (&called, "end_turn", Finish::ToolCalls),
        (&called, "max_tokens", Finish::Length),
    ] {
        let told = decoded(&answer(content.clone(), word), |answer| {
            (answer.choices[0].finish, answer.choices[0].native.to_string())
        });
        assert_eq!(told.unwrap(), (Some(finish), word.to_owned()));
    }
    for fields in [json!({"stop_sequence": "END"}), json!({"delta": {"stop_sequence": "END"}})] {
        let mut stopped = answer(text.clone(), "stop_sequence");
        stopped["additionalModelResponseFields"] = fields;
        let told = decoded(&stopped, |answer| {
            (answer.choices[0].finish, answer.choices[0].stopped_at.as_deref().map(str::to_owned))
        });
        assert_eq!(told.unwrap(), (Some(Finish::StopSequence), Some("END".to_owned())));
    }
    let mut endless = answer(text, "x");
    endless.as_object_mut().unwrap().remove("stopReason");
    assert_eq!(decoded(&endless, |answer| answer.choices[0].finish).unwrap(), None);
}

#[test]
fn t09_the_input_of_the_forced_tool_is_the_answer() {
    let content = json!([{"toolUse": {"toolUseId": "1", "name": "tollgate_answer", "input": {"a": 1}}}]);
    let told = decoded(&answer(content, "tool_use"), |answer| (answer.choices[0].finish, debug(&answer.choices[0])));
    let text = PartBody::Text { text: r#"{"a":1}"#.into(), annotations: None };
    assert_eq!(told.unwrap(), (Some(Finish::Stop), vec![format!("{text:?}None")]));
}

#[test]
fn t36_t41_an_error_with_http_200_is_an_error_and_no_usage_is_not_zero() {
    let failed = decoded(&json!({"message": "Too many tokens"}), |_| ()).unwrap_err();
    assert_eq!(failed.message, "Too many tokens");
    let failed =
        decoded(&json!({"__type": "com.amazon.x#ThrottlingException", "Message": "slow"}), |_| ()).unwrap_err();
    assert_eq!((failed.message.as_str(), failed.code.as_deref()), ("slow", Some("ThrottlingException")));
    for odd in [json!({}), json!([]), json!({"output": {}}), json!({"output": 7})] {
        assert_eq!(decoded(&odd, |_| ()).unwrap_err().message, "the provider sent no answer");
    }
    let bare = json!({"output": {"message": {}}, "stopReason": "end_turn"});
    assert!(decoded(&bare, |answer| answer.usage.is_none() && answer.choices[0].parts.is_empty()).unwrap());
}

#[test]
fn t41_errors_of_http_are_named_by_a_header() {
    let error =
        DIALECT.decode_named_error(Some("ValidationException:http://x/"), br#"{"message":"The text is blank."}"#);
    assert_eq!((error.message.as_str(), error.code.as_deref()), ("The text is blank.", Some("ValidationException")));
    assert_eq!(DIALECT.decode_named_error(None, b"<html><title>Bad Gateway</title>").message, "Bad Gateway");
    let fault = crate::FaultBody {
        status: 400,
        kind: "t",
        code: "c",
        message: "a \"b\"",
        param: None,
        request_id: "r",
        metadata: None,
    };
    assert_eq!(DIALECT.encode_fault(crate::Surface::V1, &fault), r#"{"message":"a \"b\""}"#);
}
