//! What each quirk does: a law about the request that is sent. Each law that a seeded provider is bound by is broken by
//! some client's request where the quirk is missing, and kept by every client's where it is there.

use codec::Dialect;
use serde_json::{Value, json};

use super::{CLIENTS, seed};
use crate::edits::dialect;
use crate::pairs;

type Law = fn(&Value) -> bool;

fn messages(sent: &Value) -> impl Iterator<Item = &Value> {
    sent["messages"].as_array().into_iter().flatten()
}

fn parts(sent: &Value) -> impl Iterator<Item = &Value> {
    messages(sent).flat_map(|message| message["content"].as_array().into_iter().flatten())
}

fn has_none(sent: &Value, names: &[&str]) -> bool {
    names.iter().all(|name| sent.get(name).is_none())
}

fn effort_is_of(sent: &Value, words: &[&str]) -> bool {
    sent["reasoning_effort"].as_str().is_none_or(|effort| words.contains(&effort))
}

fn ids(sent: &Value) -> impl Iterator<Item = &str> {
    let calls = messages(sent).flat_map(|message| message["tool_calls"].as_array().into_iter().flatten());
    calls
        .map(|call| &call["id"])
        .chain(messages(sent).map(|message| &message["tool_call_id"]))
        .filter_map(Value::as_str)
}

/// Laws of `openai-chat`. Those that grant something hold where it is used at all.
const CHAT: &[(&str, Law)] = &[
    ("max-completion-tokens", |sent| sent.get("max_tokens").is_none()),
    ("no-stream-options", |sent| sent.get("stream_options").is_none()),
    ("no-developer-role", |sent| messages(sent).all(|message| message["role"] != "developer")),
    ("no-json-schema", |sent| sent["response_format"]["type"] != "json_schema"),
    ("no-parallel-tools", |sent| sent.get("parallel_tool_calls").is_none()),
    ("random-seed", |sent| sent.get("seed").is_none()),
    ("tool-choice-any", |sent| sent["tool_choice"] != "required"),
    ("max-4-stops", |sent| sent["stop"].as_array().is_none_or(|stops| stops.len() <= 4)),
    ("core-fields", |sent| {
        has_none(
            sent,
            &["user", "metadata", "service_tier", "verbosity", "prompt_cache_key", "modalities", "logit_bias"],
        )
    }),
    ("document-url", |sent| parts(sent).all(|part| part["type"] != "file")),
    ("nine-letter-ids", |sent| {
        ids(sent).all(|id| id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    }),
    ("no-allowed-tools", |sent| sent["tool_choice"]["type"] != "allowed_tools"),
    ("no-reasoning-effort", |sent| sent.get("reasoning_effort").is_none()),
    ("basic-efforts", |sent| effort_is_of(sent, &["low", "medium", "high"])),
    ("low-high-max-efforts", |sent| effort_is_of(sent, &["low", "high", "max"])),
    ("none-high-efforts", |sent| effort_is_of(sent, &["none", "high"])),
    ("thinking-switch", |sent| sent["reasoning_effort"] != "none"),
    ("no-sampling", |sent| {
        let names =
            ["temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "logprobs", "top_logprobs"];
        has_none(sent, &names)
    }),
    ("no-penalties", |sent| has_none(sent, &["frequency_penalty", "presence_penalty", "logit_bias"])),
    ("no-logprobs", |sent| has_none(sent, &["logprobs", "top_logprobs", "logit_bias"])),
    ("no-stop", |sent| sent.get("stop").is_none()),
];

/// What a quirk grants: with it some client's request has this, without it none has.
const GRANTS: &[(&str, Law)] = &[
    ("extended-sampling", |sent| sent.get("top_k").is_some()),
    ("reasoning-content-back", |sent| messages(sent).any(|message| message["reasoning_content"] == "I ponder.")),
    ("thinking-blocks", |sent| parts(sent).any(|part| part["type"] == "thinking")),
    ("include-reasoning", |sent| sent.get("include_reasoning").is_some()),
    ("openrouter-fields", |sent| sent["reasoning"].is_object()),
    ("thinking-switch", |sent| sent["thinking"]["type"] == "disabled"),
    ("random-seed", |sent| sent["random_seed"] == 7),
    ("tool-choice-any", |sent| sent["tool_choice"] == "any"),
    ("document-url", |sent| parts(sent).any(|part| part["type"] == "document_url")),
    ("max-completion-tokens", |sent| sent["max_completion_tokens"] == 900),
];

/// Chat requests that turn every knob.
fn knobs() -> Vec<Value> {
    let tool = |name: &str| json!({"type":"function","function":{"name":name,"description":"It.","parameters":{"type":"object","properties":{}}}});
    let with = |fields: Value| {
        let mut request = json!({"model":"m","max_tokens":900,"messages":[{"role":"user","content":"Say it."}]});
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        request
    };
    let named = |name: &str| json!({"type":"function","function":{"name":name}});
    let schema = json!({"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{}}}});
    let history = json!([{"role":"developer","content":"Be brief."},{"role":"user","content":"And now?"},
        {"role":"assistant","content":"I look.","reasoning_content":"I ponder.","tool_calls":[{"id":"call_1","type":"function","function":{"name":"a","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"call_1","content":"rain"},{"role":"user","content":"Thanks."}]);
    let file = json!([{"role":"user","content":[{"type":"text","text":"Read."},
        {"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0="}}]}]);
    let mut all = vec![
        with(json!({"temperature":0.5,"top_p":0.9,"top_k":5,"frequency_penalty":0.1,"presence_penalty":0.1,"seed":7,
            "stop":["1","2","3","4","5"],"logprobs":true,"top_logprobs":2,"logit_bias":{"5":1},"stream":true})),
        with(json!({"user":"u","metadata":{"a":"b"},"service_tier":"flex","verbosity":"low","prompt_cache_key":"k"})),
        with(json!({"tools":[tool("a"), tool("b")],"tool_choice":"required","parallel_tool_calls":false})),
        with(
            json!({"tools":[tool("a"), tool("b")],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[named("a")]}}}),
        ),
        with(json!({"messages":history,"tools":[tool("a")]})),
        with(json!({"messages":file})),
        with(json!({"response_format":schema})),
        with(json!({"reasoning":{"effort":"high","exclude":true}})),
    ];
    for effort in ["none", "minimal", "low", "medium", "high", "xhigh", "max"] {
        all.push(with(json!({"reasoning_effort":effort})));
    }
    all
}

/// What a provider of this dialect gets of all knobs, said by each of the clients that can say them.
fn sent(provider: &'static Dialect, quirks: &[&str]) -> Vec<(String, Value)> {
    let chat = dialect("openai-chat");
    let mut all = Vec::new();
    for (nth, request) in knobs().iter().enumerate() {
        let is_stream = request["stream"] == true;
        for client in CLIENTS.map(dialect) {
            let request = request.to_string().into_bytes();
            let said = match client == chat {
                true => Some(request),
                false => pairs::request((chat, client), &request, Some("m"), is_stream)
                    .ok()
                    .map(|said| said.body.into_bytes().to_vec()),
            };
            let Some(said) = said else { continue };
            let Ok(sent) = pairs::request_with((client, provider), &said, Some("m"), is_stream, quirks) else {
                continue;
            };
            let body = serde_json::from_slice(&sent.body.into_bytes()).unwrap();
            all.push((format!("knobs {nth} said in {}", client.id), body));
        }
    }
    all
}

#[test]
fn every_seeded_quirk_of_chat_keeps_its_law_and_nothing_keeps_it_without_the_quirk() {
    let chat = dialect("openai-chat");
    for (provider, row) in seed::rows() {
        if !row.served().any(|dialect| dialect == chat) {
            continue;
        }
        for list in &row.lists {
            let quirks: Vec<&str> = list.iter().map(String::as_str).collect();
            let bodies = sent(chat, &quirks);
            assert!(bodies.len() > 40, "{provider}: {}", bodies.len());
            for quirk in quirks.iter().filter(|quirk| chat.quirks.contains(quirk)) {
                for (_, law) in CHAT.iter().filter(|(name, _)| name == quirk) {
                    let broken: Vec<_> = bodies.iter().filter(|(_, body)| !law(body)).map(|(who, _)| who).collect();
                    assert!(broken.is_empty(), "{provider}: `{quirk}` does not hold for {broken:?}");
                }
                let is_proven = CHAT.iter().chain(GRANTS).any(|(name, _)| name == quirk);
                assert!(is_proven, "nothing here says what `{quirk}` of {provider} does");
            }
        }
    }
    let plain = sent(chat, &[]);
    for (quirk, law) in CHAT {
        assert!(chat.quirks.contains(quirk), "{quirk}");
        assert!(plain.iter().any(|(_, body)| !law(body)), "the law of `{quirk}` cannot be broken");
    }
    for (quirk, grant) in GRANTS {
        let granted = sent(chat, &[quirk]);
        let had = |who: &str| plain.iter().any(|(other, body)| other == who && grant(body));
        assert!(granted.iter().any(|(who, body)| grant(body) && !had(who)), "`{quirk}` grants nothing");
    }
}

#[test]
fn efforts_come_as_near_as_the_endpoint_lets_them() {
    let chat = dialect("openai-chat");
    let asked = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    for (quirk, expected) in [
        ("basic-efforts", ["low", "low", "low", "medium", "high", "high", "high"]),
        ("low-high-max-efforts", ["low", "low", "low", "high", "high", "high", "max"]),
        ("none-high-efforts", ["none", "none", "high", "high", "high", "high", "high"]),
    ] {
        for (effort, expected) in asked.iter().zip(expected) {
            let request = json!({"model":"m","input":"x","reasoning":{"effort":effort}}).to_string();
            let pair = (dialect("openai-responses"), chat);
            let sent = pairs::request_with(pair, request.as_bytes(), None, false, &[quirk]).unwrap();
            let is_told = sent.losses.iter().any(|loss| loss.name() == "reasoning_effort");
            let body: Value = serde_json::from_slice(&sent.body.into_bytes()).unwrap();
            assert_eq!(body["reasoning_effort"], expected, "{quirk} {effort}");
            assert_eq!(is_told, *effort != expected, "{quirk} {effort}");
        }
    }
}

#[test]
fn models_of_openai_that_do_not_reason_are_not_asked_for_sealed_reasoning() {
    let responses = dialect("openai-responses");
    let asks = |quirks: &[&str]| {
        sent(responses, quirks).iter().filter(|(_, body)| body["include"].to_string().contains("encrypted")).count()
    };
    assert!(asks(&[]) > 0);
    assert_eq!(asks(&["no-encrypted-reasoning"]), 0);
    let rows = seed::rows();
    let lists = &rows["openai"].lists;
    assert!(lists.iter().any(|list| list.iter().any(|quirk| quirk == "no-encrypted-reasoning")));
    assert!(lists.iter().any(|list| list.iter().any(|quirk| quirk == "no-sampling")));
}
