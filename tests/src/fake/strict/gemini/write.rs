//! Writes candidates, whole, as server-sent events with CRLF, and as a JSON array.

use serde_json::{Value, json};

use super::super::brain::{Finish, Look, Said, pieces};
use super::super::json::{raw, text};
use super::super::truth::Truth;
use super::super::{Ask, Reply};
use super::order::{call_signature, text_signature};

/// Whether the stream is one of events; else it is an array.
pub fn is_sse(ask: &Ask<'_>) -> bool {
    ask.queried("alt") == Some("sse")
}

fn is_blocked(reply: &Reply<'_>) -> bool {
    reply.answer.commands.has("block")
}

fn is_bad_call(reply: &Reply<'_>) -> bool {
    reply.answer.commands.has("badargs") && !reply.answer.calls.is_empty()
}

fn thought<'a>(reply: &'a Reply<'_>) -> Option<&'a str> {
    reply.answer.thought.as_ref().filter(|thought| thought.look == Look::Shown).map(|thought| thought.text.as_str())
}

/// The calls of one step; only the first is signed.
fn calls(reply: &Reply<'_>, choice: usize) -> Vec<Value> {
    if is_bad_call(reply) {
        return Vec::new();
    }
    // Older models have no ids.
    let has_ids = !reply.talk.model.contains("-2");
    let mut parts = Vec::new();
    for (at, call) in reply.answer.calls.iter().enumerate() {
        let mut made =
            json!({"name": call.name, "args": serde_json::from_str::<Value>(&call.arguments).unwrap_or(json!({}))});
        if has_ids {
            made["id"] = json!(reply.mark(choice, at));
        }
        let signature = call_signature(&reply.talk.model, &made);
        made["args"] = raw(&call.arguments);
        let mut part = json!({"functionCall": made});
        if at == 0 {
            part["thoughtSignature"] = json!(signature);
        }
        parts.push(part);
    }
    parts
}

fn reason(reply: &Reply<'_>, finish: &Finish) -> &'static str {
    match finish {
        _ if is_bad_call(reply) => "MALFORMED_FUNCTION_CALL",
        Finish::Stop | Finish::Word(_) | Finish::Calls => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::Refused | Finish::Blocked => "SAFETY",
    }
}

fn ratings() -> Value {
    json!([{"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": true}])
}

fn envelope(reply: &Reply<'_>, candidates: Value, truth: Truth) -> Value {
    json!({
        "candidates": candidates, "usageMetadata": usage(truth), "modelVersion": reply.model(), "responseId": reply.id,
    })
}

/// What Google counts: the prompt includes what is cached, candidates exclude thoughts.
pub fn usage(truth: Truth) -> Value {
    let mut details = vec![json!({"modality": "TEXT", "tokenCount": truth.input() - truth.audio_input})];
    if truth.audio_input > 0 {
        details.push(json!({"modality": "AUDIO", "tokenCount": truth.audio_input}));
    }
    let mut usage = json!({
        "promptTokenCount": truth.input(), "totalTokenCount": truth.input() + truth.output(), "promptTokensDetails": details,
        "serviceTier": "standard",
    });
    let mut told = |name: &str, count: u64| {
        if count > 0 {
            usage[name] = json!(count);
        }
    };
    told("candidatesTokenCount", truth.completion + truth.audio_output);
    told("cachedContentTokenCount", truth.cache_read);
    told("thoughtsTokenCount", truth.reasoning);
    if truth.audio_output > 0 {
        usage["candidatesTokensDetails"] = json!([
            {"modality": "TEXT", "tokenCount": truth.completion}, {"modality": "AUDIO", "tokenCount": truth.audio_output},
        ]);
    }
    usage
}

fn blocked(reply: &Reply<'_>) -> Value {
    json!({
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": usage(reply.truth),
        "modelVersion": reply.model(), "responseId": reply.id,
    })
}

pub fn whole(reply: &Reply<'_>) -> Value {
    if is_blocked(reply) {
        return blocked(reply);
    }
    let candidates: Vec<Value> =
        reply.answer.choices.iter().enumerate().map(|(at, said)| candidate(reply, at, said)).collect();
    envelope(reply, json!(candidates), reply.truth)
}

fn candidate(reply: &Reply<'_>, at: usize, said: &Said) -> Value {
    let mut found = json!({"content": {}, "finishReason": reason(reply, &said.finish), "index": at});
    if said.finish == Finish::Refused {
        found["safetyRatings"] = ratings();
        return found;
    }
    let mut parts = Vec::new();
    if let Some(thought) = thought(reply) {
        parts.push(json!({"text": thought, "thought": true}));
    }
    if !said.text.is_empty() {
        let mut part = json!({"text": said.text});
        if reply.is_thought() && said.finish != Finish::Calls {
            part["thoughtSignature"] = json!(text_signature(&reply.talk.model));
        }
        parts.push(part);
    }
    if said.finish == Finish::Calls {
        parts.extend(calls(reply, at));
        found["finishMessage"] =
            json!(if is_bad_call(reply) { "Malformed function call" } else { "Model generated function call(s)." });
    }
    if !parts.is_empty() {
        found["content"] = json!({"parts": parts, "role": "model"});
    }
    found
}

pub fn frames(reply: &Reply<'_>) -> Vec<Vec<u8>> {
    framed(reply, &chunks(reply))
}

/// An event for each chunk, or an array of them.
fn framed(reply: &Reply<'_>, chunks: &[Value]) -> Vec<Vec<u8>> {
    if is_sse(reply.ask) {
        return chunks.iter().map(|chunk| format!("data: {}\r\n\r\n", text(chunk)).into_bytes()).collect();
    }
    let mut frames: Vec<Vec<u8>> = chunks
        .iter()
        .enumerate()
        .map(|(at, chunk)| format!("{}{}\n", if at == 0 { "[" } else { ",\r\n" }, text(chunk)).into_bytes())
        .collect();
    frames.push(b"]".to_vec());
    frames
}

fn chunks(reply: &Reply<'_>) -> Vec<Value> {
    if is_blocked(reply) {
        return vec![blocked(reply)];
    }
    let mut chunks = Vec::new();
    let so_far = Truth { completion: 0, reasoning: 0, audio_output: 0, ..reply.truth };
    for (at, said) in reply.answer.choices.iter().enumerate() {
        let mut add = |part: Value| {
            let candidate = json!({"content": {"parts": [part], "role": "model"}, "index": at});
            chunks.push(envelope(reply, json!([candidate]), so_far));
        };
        if said.finish == Finish::Refused {
            continue;
        }
        thought(reply).into_iter().flat_map(pieces).for_each(|piece| add(json!({"text": piece, "thought": true})));
        pieces(&said.text).into_iter().for_each(|piece| add(json!({"text": piece})));
        if said.finish == Finish::Calls {
            calls(reply, at).into_iter().for_each(&mut add);
        }
    }
    let last = reply.answer.choices.iter().enumerate().map(|(at, said)| {
        let mut part = json!({"text": ""});
        if reply.is_thought() && said.finish != Finish::Calls {
            part["thoughtSignature"] = json!(text_signature(&reply.talk.model));
        }
        let content = json!({"parts": [part], "role": "model"});
        let mut candidate = json!({"content": content, "finishReason": reason(reply, &said.finish), "index": at});
        if said.finish == Finish::Refused {
            candidate["content"] = json!({});
            candidate["safetyRatings"] = ratings();
        }
        candidate
    });
    let last: Vec<Value> = last.collect();
    chunks.push(envelope(reply, json!(last), reply.truth));
    chunks
}

/// How a stream fails: with a bare error that is no event at all.
pub fn broken(reply: &Reply<'_>, error: &Value) -> Vec<Vec<u8>> {
    let error = text(error);
    let frame = if is_sse(reply.ask) { format!("{error}\r\n") } else { format!(",\r\n{error}\n]") };
    vec![frame.into_bytes()]
}
