//! The completions of old: text after text.

use serde_json::{Value, json};

use super::super::brain::{self, Finish, pieces};
use super::super::json::text;
use super::super::serve::{Told, event};
use super::super::shape::Kind::{Any, Either, Flag, List, Map, Number, Object, Text, Whole};
use super::super::shape::{Kind, may, must};
use super::super::talk::{Part, Talk, Turn};
use super::super::{Ask, CREATED, Checks};
use super::{Made, check, told};

const COMPLETE: Kind = Object(&[
    must("model", Text),
    must("prompt", Either(&[Text, List(&Any)])),
    may("best_of", Whole),
    may("echo", Flag),
    may("frequency_penalty", Number),
    may("logit_bias", Map),
    may("logprobs", Whole),
    may("max_tokens", Whole),
    may("n", Whole),
    may("presence_penalty", Number),
    may("seed", Whole),
    may("stop", Either(&[Text, List(&Text)])),
    may("stream", Flag),
    may("stream_options", Object(&[may("include_usage", Flag), may("include_obfuscation", Flag)])),
    may("suffix", Text),
    may("temperature", Number),
    may("top_p", Number),
    may("user", Text),
]);

pub fn complete(ask: &Ask<'_>, checks: &mut Checks, sequence: u64) -> Made {
    check(ask, COMPLETE, checks);
    let body = &ask.body;
    let prompt = body["prompt"].as_str().map_or_else(|| body["prompt"].to_string(), str::to_owned);
    let stop = match &body["stop"] {
        Value::String(word) => vec![word.clone()],
        several => {
            several.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
        }
    };
    let talk = Talk {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        turns: vec![Turn::user(vec![Part::Text(prompt)])],
        choices: usize::try_from(body["n"].as_u64().unwrap_or(1)).unwrap_or(1),
        limit: body["max_tokens"].as_u64(),
        stop,
        ..Talk::default()
    };
    let answer = brain::decide(&talk);
    let truth = answer.truth.told(ask.family);
    let id = format!("cmpl-strict{sequence:016}");
    let told = Told { id: id.clone(), ..told(ask, &talk.model, truth) };
    let usage = json!({
        "prompt_tokens": truth.input(), "completion_tokens": truth.output(), "total_tokens": truth.input() + truth.output(),
    });
    let envelope = |choices: Value| json!({"id": id, "object": "text_completion", "created": CREATED, "model": talk.model, "choices": choices});
    let choice = |at: usize, text: &str, reason: Option<&str>| json!({"text": text, "index": at, "logprobs": null, "finish_reason": reason});
    if body["stream"] != true {
        let choices: Vec<Value> = answer
            .choices
            .iter()
            .enumerate()
            .map(|(at, said)| choice(at, &said.text, Some(reason(&said.finish))))
            .collect();
        let mut whole = envelope(json!(choices));
        whole["usage"] = usage;
        return Made::json(&whole, told);
    }
    let mut chunks = Vec::new();
    for (at, said) in answer.choices.iter().enumerate() {
        chunks.extend(pieces(&said.text).into_iter().map(|piece| envelope(json!([choice(at, piece, None)]))));
        chunks.push(envelope(json!([choice(at, "", Some(reason(&said.finish)))])));
    }
    if body["stream_options"]["include_usage"] == true {
        chunks.iter_mut().for_each(|chunk| chunk["usage"] = Value::Null);
        let mut last = envelope(json!([]));
        last["usage"] = usage;
        chunks.push(last);
    }
    let mut frames: Vec<Vec<u8>> = chunks.iter().map(|chunk| event(None, &text(chunk))).collect();
    frames.push(event(None, "[DONE]"));
    Made::stream(frames, told)
}

fn reason(finish: &Finish) -> &'static str {
    match finish {
        Finish::Length => "length",
        Finish::Refused | Finish::Blocked => "content_filter",
        _ => "stop",
    }
}
