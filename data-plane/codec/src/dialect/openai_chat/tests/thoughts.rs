//! Reasoning and its sealed state: through clients and back, and at providers that keep it in their own ways.

use serde_json::json;

use super::*;
use crate::model::{Answer, Choice, Finish, Part, PartBody, Signature, Thought};

fn thought(text: &'static str, is_summary: bool, is_redacted: bool, sealed: Option<&'static str>) -> Part<'static> {
    let thought = Thought { text: text.into(), is_summary, is_redacted, id: None };
    Part { signature: sealed.map(|value| Signature::Own(value.into())), ..Part::new(PartBody::Thought(thought)) }
}

fn call(id: &'static str, sealed: Option<&'static str>) -> Part<'static> {
    let body = PartBody::ToolCall { id: id.into(), name: "f".into(), arguments: "{}".into() };
    Part { signature: sealed.map(|value| Signature::Own(value.into())), ..Part::new(body) }
}

/// The message that a client sees, and sends back.
fn shown(parts: Vec<Part<'static>>, surface: Surface) -> Value {
    let choice = Choice { parts, finish: Some(Finish::ToolCalls), native: "tool_use".into(), ..Choice::default() };
    let answer = Answer { choices: vec![choice], ..Answer::default() };
    let (mut out, mut losses) = (Writer::new(&Bytes::new()), Losses::default());
    DIALECT.ingress.unwrap().encode(&answer, None, &edits(surface), &mut out, &mut losses);
    assert!(losses.is_empty());
    serde_json::from_slice::<Value>(&out.finish().into_bytes()).unwrap()["choices"][0]["message"].clone()
}

/// Runs `check` on the parts of an assistant's message that a client sent.
fn read(message: &Value, carry: &Carry, check: impl FnOnce(&[Part<'_>])) {
    let text = body(&json!([message]).to_string(), "");
    let scan = DIALECT.scan(text.as_bytes()).unwrap();
    let mut tape = Tape::default();
    let value = tape.read_strictly(text.as_bytes()).unwrap();
    let request = DIALECT.ingress.unwrap().decode(value, &scan, carry).unwrap();
    check(&request.turns[0].parts);
}

fn told(part: &Part<'_>) -> (String, bool, bool, Option<Signature<'static>>) {
    let PartBody::Thought(thought) = &part.body else { panic!("no thought") };
    let sealed = part.signature.as_ref().map(|sealed| match sealed {
        Signature::Own(value) => Signature::Own(value.to_string().into()),
        Signature::Foreign(value) => Signature::Foreign(value.to_string().into()),
    });
    (thought.text.to_string(), thought.is_summary, thought.is_redacted, sealed)
}

fn all() -> Vec<Part<'static>> {
    vec![
        thought("first\n", false, false, Some("EqQB+/=")),
        thought("", false, false, Some("of nothing")),
        thought("", false, true, Some("redacted")),
        thought("summed up", true, false, Some("gAAAA-_")),
        thought("plain", false, false, None),
    ]
}

#[test]
fn t42_thoughts_come_back_from_clients_exactly_and_in_order() {
    for surface in [Surface::V1, Surface::ApiV1] {
        let mut message = shown(all(), surface);
        message["content"] = json!("said");
        read(&message, &carry(), |parts| {
            let back: Vec<_> = parts.iter().take(5).map(told).collect();
            let sent: Vec<_> = all().iter().map(told).collect();
            assert_eq!(back, sent);
            assert!(matches!(&parts[5].body, PartBody::Text { text, .. } if text == "said"));
        });
    }
}

#[test]
fn t43_reasoning_is_a_plain_string_and_seals_stand_beside_it() {
    let v1 = shown(all(), Surface::V1);
    assert_eq!((&v1["reasoning_content"], v1.get("reasoning")), (&json!("first\nsummed upplain"), None));
    let api = shown(all(), Surface::ApiV1);
    assert_eq!((&api["reasoning"], api.get("reasoning_content")), (&json!("first\nsummed upplain"), None));
    let kinds: Vec<_> = api["reasoning_details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["type"].as_str().unwrap(), entry["index"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("reasoning.text", 0),
            ("reasoning.text", 1),
            ("reasoning.encrypted", 2),
            ("reasoning.summary", 3),
            ("reasoning.encrypted", 3),
            ("reasoning.text", 4)
        ]
    );
    assert!(!v1.to_string().contains("\"EqQB+/=\""), "seals leave wrapped only");
    assert_eq!(shown(vec![Part::text("x")], Surface::ApiV1)["reasoning"], Value::Null);
}

#[test]
fn t44_a_calls_seal_travels_in_its_id_and_comes_out_of_call_and_result() {
    let message = shown(vec![call("call_1", Some("a seal")), call("call_2", None)], Surface::V1);
    let id = message["tool_calls"][0]["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("call_1-") && message["tool_calls"][1]["id"] == "call_2");
    read(&message, &carry(), |parts| {
        assert!(matches!(&parts[0].body, PartBody::ToolCall { id, .. } if id == "call_1"));
        assert_eq!(parts[0].signature, Some(Signature::Own("a seal".into())));
        assert!(parts[1].signature.is_none());
    });
    read(&json!({"role":"tool","tool_call_id":id,"content":"r"}), &carry(), |parts| {
        assert!(matches!(&parts[0].body, PartBody::ToolResult { id, .. } if id == "call_1"));
    });
}

#[test]
fn t44_seals_of_texts_and_images_come_back_on_the_very_parts() {
    use crate::model::{Media, MediaKind, Source};
    let sealed = |body, value: &'static str| Part { signature: Some(Signature::Own(value.into())), ..Part::new(body) };
    let image = |data: &'static str| {
        let source = Source::Inline(data.into());
        PartBody::Media(Media {
            kind: MediaKind::Image,
            mime: Some("image/png".into()),
            source,
            name: None,
            detail: None,
            at: String::new(),
        })
    };
    let parts = vec![
        thought("t", true, false, None),
        sealed(PartBody::Text { text: "said".into(), annotations: None }, "of the text"),
        Part::new(image("QUJD")),
        sealed(image("RUZH"), "of the second image"),
    ];
    read(&shown(parts, Surface::V1), &carry(), |parts| {
        let seals: Vec<_> = parts.iter().map(|part| part.signature.clone()).collect();
        let own = |value: &'static str| Some(Signature::Own(value.into()));
        assert_eq!(seals, [None, own("of the text"), None, own("of the second image")]);
    });
}

#[test]
fn t44_the_seal_of_a_streamed_text_is_among_the_details() {
    use crate::model::{Event, Piece, Start};
    let mut encoder = DIALECT.ingress.unwrap().stream(&edits(Surface::V1));
    let mut out = Vec::new();
    let sealed = Piece::Signature(Signature::Own("of the text".into()));
    for event in [
        Event::Begin { id: "a".into(), created: 1 },
        Event::Start { choice: 0, part: 0, start: Start::Text },
        Event::Piece { choice: 0, part: 0, piece: Piece::Text("said".into()) },
        Event::Piece { choice: 0, part: 0, piece: sealed },
        Event::End { choice: 0, part: 0 },
    ] {
        encoder.event(&event, &mut out);
    }
    let text = String::from_utf8(out).unwrap();
    let chunk: Value =
        serde_json::from_str(text.trim().lines().last().unwrap().strip_prefix("data: ").unwrap()).unwrap();
    let details = chunk["choices"][0]["delta"]["reasoning_details"].clone();
    read(&json!({"role":"assistant","content":"said","reasoning_details":details}), &carry(), |parts| {
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].signature, Some(Signature::Own("of the text".into())));
    });
}

#[test]
fn t45_seals_of_another_endpoint_are_not_sent() {
    let mut message = shown(all(), Surface::V1);
    message["content"] = json!("said");
    let elsewhere = Carry::new(b"a credential", "org", "provider", "another model");
    read(&message, &elsewhere, |parts| {
        assert!(parts.iter().take(4).all(|part| matches!(part.signature, Some(Signature::Foreign(_)))));
    });
    let list = json!([{"role":"user","content":"x"}, message]).to_string();
    for (from, quirks) in
        [(OTHER, &[][..]), (OTHER, &["openrouter-fields"]), (crate::dialect::openai_chat::ID, &["openrouter-fields"])]
    {
        let text = list.replace("tgst1_", "tgst1_x");
        let (sent, losses) = messages_from(from, &text, quirks);
        assert!(losses.to_string().contains("reasoning_signature"), "{losses}");
        assert!(!sent.to_string().contains("tgst1_"), "{sent}");
    }
}

#[test]
fn t46_a_seal_is_good_for_its_organisation_only() {
    let message = shown(vec![call("call_1", Some("a seal"))], Surface::V1);
    let others =
        [Carry::new(b"a credential", "org2", "provider", "model"), Carry::new(b"x", "org", "provider", "model")];
    for other in others {
        read(&message, &other, |parts| {
            assert!(matches!(&parts[0].body, PartBody::ToolCall { id, .. } if id == "call_1"));
            assert_eq!(parts[0].signature, Some(Signature::Foreign("".into())));
        });
    }
}

#[test]
fn plain_reasoning_is_read_under_every_name() {
    for message in [
        json!({"role":"assistant","reasoning_content":"t","content":"c"}),
        json!({"role":"assistant","reasoning":"t","content":"c"}),
        json!({"role":"assistant","reasoning":"t","reasoning_details":[],"content":"c"}),
        json!({"role":"assistant","reasoning":"other","reasoning_details":[{"type":"reasoning.text","text":"t"},{"type":"unheard"}],"content":"c"}),
        json!({"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]},{"type":"text","text":"c"}]}),
    ] {
        read(&message, &carry(), |parts| {
            assert_eq!(told(&parts[0]), ("t".to_owned(), false, false, None), "{message}");
            assert_eq!(parts.len(), 2);
        });
    }
}

#[test]
fn earlier_reasoning_goes_back_where_the_provider_wants_it() {
    let messages = r#"[{"role":"assistant","reasoning_content":"t","content":"c"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]}]"#;
    let own = crate::dialect::openai_chat::ID;
    let (sent, losses) = messages_from(own, messages, &["reasoning-content-back"]);
    assert!(losses.is_empty());
    assert_eq!((&sent[0]["reasoning_content"], &sent[1]["reasoning_content"]), (&json!("t"), &json!("")));
    let (sent, losses) = messages_from(OTHER, messages, &["thinking-blocks"]);
    assert!(losses.is_empty());
    assert_eq!(sent[0]["content"][0], json!({"type":"thinking","thinking":[{"type":"text","text":"t"}]}));
    let (sent, losses) = messages_from(OTHER, messages, &["openrouter-fields"]);
    assert!(losses.is_empty());
    assert_eq!((&sent[0]["reasoning"], sent[0].get("reasoning_details")), (&json!("t"), None));
    let (sent, losses) = messages_from(OTHER, messages, &[]);
    assert_eq!((sent[0].get("reasoning_content"), losses.to_string().as_str()), (None, "reasoning"));
}

#[test]
fn what_openrouter_sealed_goes_back_to_it_as_it_was() {
    let details = json!([
        {"type":"reasoning.summary","summary":"s","format":"openai-responses-v1","index":0},
        {"type":"reasoning.encrypted","data":"gAAAA","id":"rs_1","format":"openai-responses-v1","index":0},
        {"type":"reasoning.text","text":"t","signature":"Eq","format":"anthropic-claude-v1","index":1},
        {"type":"reasoning.encrypted","data":"Ci","id":"call_1","format":"google-gemini-v1","index":2}]);
    let answer = json!({"id":"gen-1","choices":[{"index":0,"finish_reason":"stop","message":{"content":"c","reasoning":"st","reasoning_details":details}}]});
    let stream = format!(
        "data: {}\n\n",
        json!({"id":"gen-1","choices":[{"index":0,"finish_reason":"stop","delta":{"content":"c","reasoning":"st","reasoning_details":details}}]})
    );
    let bridge = translating();
    let whole = bridge.whole(Bytes::from(answer.to_string()), &edits(Surface::ApiV1), &mut pricer()).unwrap();
    let whole: Value = serde_json::from_slice(&whole.body.into_bytes()).unwrap();
    let message = &whole["choices"][0]["message"];
    let mut pass = bridge.stream(&edits(Surface::ApiV1));
    let mut streamed = pass.push(Bytes::from(stream), &mut pricer()).to_vec();
    streamed.extend_from_slice(&pass.end(&mut pricer()).0);
    let streamed: Vec<Value> = String::from_utf8(streamed)
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .flat_map(|chunk| chunk["choices"][0]["delta"]["reasoning_details"].as_array().cloned().unwrap_or_default())
        .collect();
    for details_back in [message["reasoning_details"].clone(), Value::from(streamed)] {
        // Another family's client would send the very same parts.
        let again = json!([{"role":"assistant","content":"c","reasoning_details":details_back}]).to_string();
        for from in [crate::dialect::openai_chat::ID, OTHER] {
            let (sent, losses) = messages_from(from, &again, &["openrouter-fields"]);
            assert!(losses.is_empty(), "{losses}");
            let mut expected = details.clone();
            expected[0]["format"] = json!("unknown");
            expected[0]["id"] = sent[0]["reasoning_details"][0]["id"].clone();
            assert_eq!(comparable(&sent[0]["reasoning_details"]), comparable(&expected));
        }
    }
}

/// Without what a summary has twice.
fn comparable(details: &Value) -> Vec<Value> {
    let mut list = details.as_array().unwrap().clone();
    for entry in &mut list {
        if entry["type"] == "reasoning.summary" {
            entry.as_object_mut().unwrap().remove("id");
        }
    }
    list
}
