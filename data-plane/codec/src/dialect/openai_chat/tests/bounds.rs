//! Requests and streams that are made to be slow are not: each of these took minutes, or had no bound.

use serde_json::json;

use super::*;
use crate::dialect::openai_chat::thoughts::put_seals;
use crate::drive::StreamEnd;
use crate::model::fold::fold;
use crate::model::{MediaKind, Part, PartBody, Signature, Source, Thought};

#[test]
fn thousands_of_tools_among_many_names_are_offered_at_once() {
    let named = |name: String| json!({"type": "function", "function": {"name": name}});
    let tools: Vec<Value> = (0..4_096).map(|number| named(format!("t{number}"))).collect();
    let mut names: Vec<Value> = (0..60_000).map(|number| named(format!("o{number}"))).collect();
    names.extend([named("t7".to_owned()), named("t4095".to_owned())]);
    let choice = json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": names}});
    let fields = format!(r#""tools":{},"tool_choice":{choice}"#, json!(tools));
    let (sent, _) =
        sent_from(OTHER, &body(r#"[{"role":"user","content":"x"}]"#, &fields), &["no-allowed-tools"]).unwrap();
    let offered: Vec<&Value> = sent["tools"].as_array().unwrap().iter().map(|tool| &tool["function"]["name"]).collect();
    assert_eq!(offered, ["t7", "t4095"]);
}

#[test]
fn thousands_of_seals_find_their_images_and_the_last_text() {
    let most = 32_768;
    let seal = |id: String| {
        let thought = Thought { is_redacted: true, id: Some(id.clone().into()), ..Thought::default() };
        Part { signature: Some(Signature::Own(id.into())), ..Part::new(PartBody::Thought(thought)) }
    };
    let image = || Part::media(MediaKind::Image, None, Source::Inline("AAAA".into()));
    let mut parts = vec![Part::text("first"), Part::text("last")];
    parts.extend((0..most).map(|_| image()));
    parts.extend((0..=most).rev().map(|number| seal(format!("seal_of_image_{number}"))));
    parts.push(seal("seal_of_text".to_owned()));
    put_seals(&mut parts);
    let own = |text: String| Some(Signature::Own(text.into()));
    assert_eq!(parts.len(), most + 2);
    assert_eq!((&parts[0].signature, &parts[1].signature), (&None, &own("seal_of_text".to_owned())));
    assert!((0..most).all(|number| parts[number + 2].signature == own(format!("seal_of_image_{number}"))));
}

fn streamed(deltas: impl Iterator<Item = Value>) -> (usize, StreamEnd) {
    let chunk = |choice: Value| format!("data: {}\n\n", json!({"id": "c", "choices": [choice]}));
    let stream: String = deltas.map(chunk).collect();
    let folded = fold(DIALECT.egress.unwrap(), stream.as_bytes(), stream.len());
    (folded.answer.choices.iter().map(|choice| choice.parts.len()).sum(), folded.end)
}

#[test]
fn choices_that_nobody_can_have_asked_for_are_passed_over() {
    let choice = |index: u32| json!({"index": index, "delta": {"content": "x"}, "finish_reason": "stop"});
    assert_eq!(streamed((0..2_000).chain([u32::MAX]).map(choice)), (128, StreamEnd::Finished));
}

#[test]
fn a_provider_has_at_most_a_thousand_calls_in_an_answer() {
    let call = |index: u64| {
        let call = json!({"index": index, "id": format!("c{index}"), "function": {"name": "f", "arguments": "{}"}});
        json!({"index": 0, "delta": {"tool_calls": [call]}})
    };
    let end = || json!({"index": 0, "delta": {}, "finish_reason": "tool_calls"});
    assert_eq!(streamed((0..1_024).map(call).chain([end()])), (1_024, StreamEnd::Finished));
    let (_, end) = streamed((0..1_025).map(call).chain([end()]));
    assert!(matches!(end, StreamEnd::InBandError(_)), "{end:?}");
    // A number beyond all is none to count on from.
    let unnumbered =
        json!({"index": 0, "delta": {"tool_calls": [{"id": "d", "function": {"name": "f", "arguments": "{}"}}]}});
    let (calls, _) = streamed([call(u64::MAX), unnumbered].into_iter());
    assert_eq!(calls, 2);
}
