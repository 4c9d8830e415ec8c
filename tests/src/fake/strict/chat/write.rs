//! Writes chat completions, whole and in chunks.

use serde_json::{Value, json};

use super::super::brain::{Finish, Said, pieces};
use super::super::command::Wanted;
use super::super::json::text;
use super::super::serve::event;
use super::super::truth::Truth;
use super::super::{CREATED, Reply};

pub fn whole(reply: &Reply<'_>) -> Value {
    let choices: Vec<Value> =
        reply.answer.choices.iter().enumerate().map(|(at, said)| choice(reply, at, said)).collect();
    json!({
        "id": reply.id, "object": "chat.completion", "created": CREATED, "model": reply.model(), "choices": choices,
        "usage": usage(reply.truth), "service_tier": "default", "system_fingerprint": "fp_strict",
    })
}

fn choice(reply: &Reply<'_>, at: usize, said: &Said) -> Value {
    let mut message = json!({"role": "assistant", "content": said.text, "refusal": null, "annotations": []});
    if said.finish == Finish::Refused {
        message["refusal"] = json!(said.text);
        message["content"] = Value::Null;
    }
    if said.finish == Finish::Calls {
        let calls: Vec<Value> =
            reply.answer.calls.iter().enumerate().map(|(index, call)| tool_call(reply, at, index, call)).collect();
        message["tool_calls"] = json!(calls);
        if said.text.is_empty() {
            message["content"] = Value::Null;
        }
    }
    json!({
        "index": at, "message": message, "logprobs": logprobs(reply, &said.text), "finish_reason": reason(&said.finish),
    })
}

fn tool_call(reply: &Reply<'_>, choice: usize, index: usize, call: &Wanted) -> Value {
    json!({
        "id": id(reply, choice, index), "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    })
}

fn id(reply: &Reply<'_>, choice: usize, index: usize) -> String {
    format!("call_{}", reply.mark(choice, index))
}

fn reason(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Word(_) | Finish::Refused => "stop",
        Finish::Length => "length",
        Finish::Calls => "tool_calls",
        Finish::Blocked => "content_filter",
    }
}

fn logprobs(reply: &Reply<'_>, said: &str) -> Value {
    if reply.ask.body["logprobs"] != true {
        return Value::Null;
    }
    let content: Vec<Value> = pieces(said).into_iter().map(logprob).collect();
    json!({"content": content, "refusal": null})
}

fn logprob(piece: &str) -> Value {
    json!({"token": piece, "logprob": -0.25, "bytes": piece.as_bytes(), "top_logprobs": []})
}

/// What OpenAI counts: cached ones are part of the prompt, reasoning is part of the completion.
pub fn usage(truth: Truth) -> Value {
    json!({
        "prompt_tokens": truth.input(), "completion_tokens": truth.output(), "total_tokens": truth.input() + truth.output(),
        "prompt_tokens_details": {"cached_tokens": truth.cache_read, "audio_tokens": truth.audio_input},
        "completion_tokens_details": {
            "reasoning_tokens": truth.reasoning, "audio_tokens": truth.audio_output,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

pub fn frames(reply: &Reply<'_>) -> Vec<Vec<u8>> {
    let mut chunks: Vec<(Value, Option<&'static str>)> = Vec::new();
    for (at, said) in reply.answer.choices.iter().enumerate() {
        let begin = if said.text.is_empty() { Value::Null } else { json!("") };
        let mut delta = json!({"role": "assistant", "content": begin, "refusal": null});
        delta["at"] = json!(at);
        chunks.push((delta, None));
    }
    for (at, said) in reply.answer.choices.iter().enumerate() {
        let field = if said.finish == Finish::Refused { "refusal" } else { "content" };
        chunks.extend(
            pieces(&said.text)
                .into_iter()
                .filter(|piece| !piece.is_empty())
                .map(|piece| (json!({field: piece, "at": at}), None)),
        );
        if said.finish == Finish::Calls {
            for (index, call) in reply.answer.calls.iter().enumerate() {
                chunks.extend(call_deltas(reply, at, index, call).into_iter().map(|delta| (delta, None)));
            }
        }
        chunks.push((json!({"at": at}), Some(reason(&said.finish))));
    }
    let asks_usage = reply.ask.body["stream_options"]["include_usage"] == true;
    let mut frames: Vec<Vec<u8>> =
        chunks.into_iter().map(|(delta, finish)| chunk(reply, delta, finish, asks_usage)).collect();
    if asks_usage {
        let mut last = envelope(reply);
        last["choices"] = json!([]);
        last["usage"] = usage(reply.truth);
        frames.push(event(None, &text(&last)));
    }
    frames.push(event(None, "[DONE]"));
    frames
}

fn call_deltas(reply: &Reply<'_>, at: usize, index: usize, call: &Wanted) -> Vec<Value> {
    let first = json!({
        "index": index, "id": id(reply, at, index), "type": "function", "function": {"name": call.name, "arguments": ""},
    });
    let mut deltas = vec![json!({"tool_calls": [first], "at": at})];
    deltas.extend(
        pieces(&call.arguments)
            .into_iter()
            .map(|piece| json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}], "at": at})),
    );
    deltas
}

fn envelope(reply: &Reply<'_>) -> Value {
    let mut chunk = json!({
        "id": reply.id, "object": "chat.completion.chunk", "created": CREATED, "model": reply.model(),
        "service_tier": "default", "system_fingerprint": "fp_strict",
    });
    if reply.ask.body["stream_options"]["include_obfuscation"] != false {
        chunk["obfuscation"] = json!("xY3kQ");
    }
    chunk
}

fn chunk(reply: &Reply<'_>, mut delta: Value, finish: Option<&str>, asks_usage: bool) -> Vec<u8> {
    let at = delta.as_object_mut().and_then(|members| members.remove("at")).unwrap_or(json!(0));
    let logprobs = match delta["content"].as_str() {
        Some(piece) if !piece.is_empty() && reply.ask.body["logprobs"] == true => {
            json!({"content": [logprob(piece)], "refusal": null})
        }
        _ => Value::Null,
    };
    let mut chunk = envelope(reply);
    chunk["choices"] = json!([{"index": at, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]);
    if asks_usage {
        chunk["usage"] = Value::Null;
    }
    event(None, &text(&chunk))
}
