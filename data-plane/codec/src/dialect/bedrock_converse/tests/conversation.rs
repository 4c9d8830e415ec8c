use serde_json::json;

use super::*;
use crate::json::Tape;
use crate::model::{Answer, Reasoning};

/// An answer of the model: it thinks, says something now and then, and calls a tool or two.
fn answer(round: usize) -> Value {
    let calls = (0..=round % 2).map(|at| {
        json!({"toolUse": {"toolUseId": format!("tooluse_{round}_{at}"), "name": "look", "input": {"round": round, "at": at}}})
    });
    let thought = match round % 3 {
        2 => json!({"reasoningContent": {"redactedContent": format!("c2VhbGVk{round}")}}),
        _ => {
            json!({"reasoningContent": {"reasoningText": {"text": format!("round {round}"), "signature": format!("Sig+{round}/=")}}})
        }
    };
    let text = (round % 2 == 1).then(|| json!({"text": format!("Looking, {round}.")}));
    let content: Vec<Value> = [thought].into_iter().chain(text).chain(calls).collect();
    json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "tool_use"})
}

/// The answer as a client sends it back: what it was, through a dialect that carries it all.
fn sent_back(answer: &Answer<'_>) -> Vec<Part<'static>> {
    let own = |text: &str| text.to_owned().into();
    answer.choices[0]
        .parts
        .iter()
        .map(|part| {
            let body = match &part.body {
                PartBody::Text { text, .. } => PartBody::Text { text: own(text), annotations: None },
                PartBody::Thought(thought) => {
                    let (text, is_redacted) = (own(&thought.text), thought.is_redacted);
                    PartBody::Thought(Thought { text, is_redacted, ..Thought::default() })
                }
                PartBody::ToolCall { id, name, arguments } => {
                    PartBody::ToolCall { id: own(id), name: own(name), arguments: own(arguments) }
                }
                other => panic!("{other:?}"),
            };
            let signature = part.signature.as_ref().map(|signature| match signature {
                Signature::Own(sealed) => Signature::Own(own(sealed)),
                Signature::Foreign(sealed) => Signature::Foreign(own(sealed)),
            });
            Part { body, cache: None, signature }
        })
        .collect()
}

/// Ten rounds with tools; what was answered in each, and the whole conversation.
fn ten_rounds() -> (Vec<Value>, Request<'static>) {
    let mut turns = vec![system("Look around."), user("Where is it?")];
    let mut answers = Vec::new();
    for round in 0..10 {
        let said = answer(round);
        let text = said.to_string();
        let mut tape = Tape::default();
        let decoded = DIALECT.egress.unwrap().decode(tape.read(text.as_bytes()).unwrap()).unwrap();
        let parts = sent_back(&decoded);
        let results = parts.iter().filter_map(|part| match &part.body {
            PartBody::ToolCall { id, .. } => {
                let body = PartBody::ToolResult {
                    id: id.clone(),
                    name: None,
                    content: vec![Part::text(format!("nothing in {id}"))],
                    is_error: round == 4,
                };
                Some(Part::new(body))
            }
            _ => None,
        });
        let results: Vec<_> = results.collect();
        turns.push(turn(Role::Assistant, parts));
        // Some clients give each result a turn of its own.
        match round % 2 {
            0 => turns.push(turn(Role::User, results)),
            _ => turns.extend(results.into_iter().map(|result| turn(Role::User, vec![result]))),
        }
        answers.push(said);
    }
    let mut asked = request(turns);
    asked.tools = vec![tool("look")];
    asked.params.reasoning = Some(Reasoning { enabled: Some(true), budget: Some(2_000), ..Reasoning::default() });
    asked.params.max_output = Some(16_000);
    (answers, asked)
}

#[test]
fn ten_rounds_with_tools_and_reasoning_go_back_as_they_came_and_obey_the_rules() {
    let (answers, asked) = ten_rounds();
    let (body, losses) = encode(&asked, of(CLAUDE));
    assert_eq!(losses, "");
    let messages = body["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 21);
    for (round, said) in answers.iter().enumerate() {
        assert_eq!(messages[1 + 2 * round], said["output"]["message"], "round {round}");
        let ids = |field: &str, message: &Value| -> Vec<Value> {
            let blocks = message["content"].as_array().unwrap().iter();
            blocks.filter_map(|block| Some(block.get(field)?["toolUseId"].clone())).collect()
        };
        assert_eq!(ids("toolUse", &messages[1 + 2 * round]), ids("toolResult", &messages[2 + 2 * round]));
        let failed = messages[2 + 2 * round]["content"][0]["toolResult"].get("status").is_some();
        assert_eq!(failed, round == 4);
    }
    assert_eq!(body["additionalModelRequestFields"]["thinking"]["budget_tokens"], 2_000);
}

#[test]
fn t45_the_same_conversation_goes_on_at_another_model_without_what_was_sealed() {
    let (_, mut asked) = ten_rounds();
    for part in asked.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        if let Some(Signature::Own(sealed)) = part.signature.take() {
            part.signature = Some(Signature::Foreign(sealed));
        }
    }
    for (endpoint, lost) in [
        (of(CLAUDE), "reasoning_signature, reasoning_switch"),
        (with(CLAUDE, &["adaptive-thinking"]), "reasoning_signature, reasoning_budget"),
        (of(NOVA), "reasoning_signature, reasoning_budget"),
        (of(QWEN), "tool_error, reasoning_signature, reasoning_switch"),
    ] {
        let (body, losses) = encode(&asked, endpoint);
        assert!(!body.to_string().contains("reasoningContent"));
        assert_eq!((body["messages"].as_array().map(Vec::len), losses.as_str()), (Some(21), lost));
    }
}
