//! Every recorded answer of a provider, whole or streamed, as the clients of all dialects read it: text, thoughts, calls,
//! usage and why it ended are what was recorded, and what has no place is named as a loss.

use codec::{AnswerEdits, Bridge, Dialect, StreamEnd};
use domain::usage::TokenUsage;
use serde_json::{Value, json};

use super::CLIENTS;
use crate::edits::{dialect, pricer};
use crate::fixtures::{self, Case};
use crate::{pairs, reference};

/// What a reader takes from an answer.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    text: String,
    thought: String,
    /// Names and arguments.
    calls: Vec<(String, Value)>,
    finish: String,
    is_refusal: bool,
    /// All tokens of the prompt and of the answer.
    usage: Option<(u64, u64)>,
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Arguments as a value; those that are no JSON as their text.
fn arguments(text: &Value) -> Value {
    serde_json::from_str(string(text)).unwrap_or_else(|_| text.clone())
}

impl Heard {
    fn call(&mut self, name: &Value, arguments: Value) {
        self.calls.push((string(name).to_owned(), arguments));
    }

    fn count(&mut self, prompt: &[&Value], answer: &[&Value]) {
        let sum = |numbers: &[&Value]| numbers.iter().filter_map(|number| number.as_u64()).sum();
        if prompt.iter().any(|number| number.is_u64()) {
            self.usage = Some((sum(prompt), sum(answer)));
        }
    }

    fn refuse(&mut self, text: &Value) {
        self.is_refusal |= !string(text).is_empty();
        self.text.push_str(string(text));
    }
}

fn heard_chat(answer: &Value) -> Heard {
    let (mut heard, choice) = (Heard::default(), &answer["choices"][0]);
    let message = &choice["message"];
    heard.text.push_str(string(&message["content"]));
    for part in list(&message["content"]) {
        match part["type"].as_str() {
            Some("text") => heard.text.push_str(string(&part["text"])),
            Some("thinking") => list(&part["thinking"]).for_each(|text| heard.thought.push_str(string(&text["text"]))),
            _ => {}
        }
    }
    for name in ["reasoning_content", "reasoning"] {
        if heard.thought.is_empty() {
            heard.thought.push_str(string(&message[name]));
        }
    }
    heard.refuse(&message["refusal"]);
    for call in list(&message["tool_calls"]) {
        heard.call(&call["function"]["name"], arguments(&call["function"]["arguments"]));
    }
    heard.finish = string(&choice["finish_reason"]).to_owned();
    let usage = &answer["usage"];
    heard.count(&[&usage["prompt_tokens"]], &[&usage["completion_tokens"]]);
    heard
}

fn heard_responses(answer: &Value) -> Heard {
    let mut heard = Heard::default();
    for item in list(&answer["output"]) {
        match string(&item["type"]) {
            "message" => list(&item["content"]).for_each(|part| {
                heard.text.push_str(string(&part["text"]));
                heard.refuse(&part["refusal"]);
            }),
            "reasoning" => {
                let summary = list(&item["summary"]).chain(list(&item["content"]));
                summary.for_each(|part| heard.thought.push_str(string(&part["text"])));
            }
            "function_call" => heard.call(&item["name"], arguments(&item["arguments"])),
            _ => {}
        }
    }
    heard.finish = match (string(&answer["status"]), string(&answer["incomplete_details"]["reason"])) {
        ("completed", _) if !heard.calls.is_empty() => "tool_calls",
        ("completed", _) => "stop",
        (_, "max_output_tokens") => "length",
        (_, reason) => reason,
    }
    .to_owned();
    heard.count(&[&answer["usage"]["input_tokens"]], &[&answer["usage"]["output_tokens"]]);
    heard
}

fn heard_anthropic(answer: &Value) -> Heard {
    let mut heard = Heard::default();
    for part in list(&answer["content"]) {
        match string(&part["type"]) {
            "text" => heard.text.push_str(string(&part["text"])),
            "thinking" => heard.thought.push_str(string(&part["thinking"])),
            "tool_use" => heard.call(&part["name"], part["input"].clone()),
            _ => {}
        }
    }
    heard.finish = match string(&answer["stop_reason"]) {
        "end_turn" => "stop",
        "max_tokens" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        other => other,
    }
    .to_owned();
    let usage = &answer["usage"];
    let prompt = [&usage["input_tokens"], &usage["cache_read_input_tokens"], &usage["cache_creation_input_tokens"]];
    heard.count(&prompt, &[&usage["output_tokens"]]);
    heard
}

fn heard_gemini(answer: &Value) -> Heard {
    let (mut heard, candidate) = (Heard::default(), &answer["candidates"][0]);
    for part in list(&candidate["content"]["parts"]) {
        match part["thought"] == true {
            true => heard.thought.push_str(string(&part["text"])),
            false => heard.text.push_str(string(&part["text"])),
        }
        if part["functionCall"].is_object() {
            heard.call(&part["functionCall"]["name"], part["functionCall"]["args"].clone());
        }
    }
    heard.finish = match string(&candidate["finishReason"]) {
        "STOP" if !heard.calls.is_empty() => "tool_calls",
        "STOP" => "stop",
        "MAX_TOKENS" => "length",
        "SAFETY" => "content_filter",
        other => other,
    }
    .to_owned();
    let usage = &answer["usageMetadata"];
    let answer = [&usage["candidatesTokenCount"], &usage["thoughtsTokenCount"]];
    heard.count(&[&usage["promptTokenCount"]], &answer);
    heard
}

fn heard(dialect: &Dialect, answer: &Value) -> Heard {
    match dialect.id {
        "openai-chat" => heard_chat(answer),
        "openai-responses" => heard_responses(answer),
        "anthropic" => heard_anthropic(answer),
        _ => heard_gemini(answer),
    }
}

/// What a stream of this dialect stands for as a whole answer, by its own lines.
fn put_together(dialect: &Dialect, stream: &str) -> Value {
    match dialect.id {
        "openai-responses" => {
            let events = stream.lines().filter_map(|line| line.strip_prefix("data:"));
            let mut events = events.filter_map(|data| serde_json::from_str::<Value>(data.trim()).ok());
            let last = events.rfind(|event| event["response"]["output"].is_array()).unwrap();
            last["response"].clone()
        }
        _ => reference::put_together(stream),
    }
}

fn recorded(case: &Case) -> Heard {
    let provider = dialect(case.dialect);
    let text = String::from_utf8_lossy(&case.response);
    let answer = match case.is_stream {
        true => put_together(provider, &text),
        false => serde_json::from_str(&text).unwrap(),
    };
    heard(provider, &answer)
}

/// Usage in classes, by plain arithmetic on the recording; none where it has none or is of another family than chat.
fn recorded_usage(case: &Case) -> Option<TokenUsage> {
    let text = String::from_utf8_lossy(&case.response);
    match (case.dialect, case.is_stream) {
        ("openai-chat", true) => reference::said(&text).usage,
        ("openai-chat", false) => reference::usage(&serde_json::from_str::<Value>(&text).unwrap()["usage"]),
        _ => None,
    }
}

/// What must be the same. A refusal may end an answer in either of two words; where a dialect tells thoughts of another one
/// as its own, the breaks between their parts are its own too.
fn assert_heard(told: &Heard, recorded: &Heard, who: &str) {
    assert!(told.text == recorded.text, "{who}: text of {} for {} bytes", told.text.len(), recorded.text.len());
    let plain = |thought: &str| thought.split_whitespace().collect::<String>();
    let (thought, wanted) = (plain(&told.thought), plain(&recorded.thought));
    assert!(thought == wanted, "{who}: thoughts of {} for {} bytes", thought.len(), wanted.len());
    let is_same = |told: &(String, Value), recorded: &(String, Value)| {
        // Groq calls a function without any arguments by `null`.
        let is_none = recorded.1.is_null() && told.1 == json!({});
        told.0 == recorded.0 && (told.1 == recorded.1 || is_none)
    };
    assert_eq!(told.calls.len(), recorded.calls.len(), "{who}");
    assert!(told.calls.iter().zip(&recorded.calls).all(|(told, recorded)| is_same(told, recorded)), "{who}: calls");
    let is_refusal = recorded.is_refusal || recorded.finish == "content_filter";
    let is_finish = told.finish == recorded.finish || is_refusal && ["stop", "content_filter"].contains(&&*told.finish);
    assert!(is_finish, "{who}: ended by {} for {}", told.finish, recorded.finish);
}

/// What the client asked with: in Gemini's dialect thoughts are shown to those who ask for them.
fn edits(client: &Dialect) -> AnswerEdits {
    pairs::edits_for(match client.id {
        "gemini" => br#"{"contents":[],"generationConfig":{"thinkingConfig":{"includeThoughts":true}}}"#,
        _ => b"{}",
    })
}

fn whole(case: &Case, client: &'static Dialect) {
    let (provider, who) = (dialect(case.dialect), format!("{} for {}", case.name, client.id));
    let edits = edits(client);
    let whole = pairs::whole((client, provider), &case.response, &edits).unwrap();
    assert!(whole.tap.upstream_error().is_none() && whole.tap.all_finished(), "{who}");
    let usage = whole.tap.usage();
    let recorded = recorded(case);
    if let Some(wanted) = recorded_usage(case) {
        assert_eq!(usage, Some(wanted), "{who}");
    }
    let told = heard(client, &serde_json::from_slice(&whole.body.into_bytes()).unwrap());
    assert_heard(&told, &recorded, &who);
    let totals = usage.map(|usage| (usage.prompt_total(), usage.completion_total()));
    assert_eq!(told.usage, totals, "{who}");
    if client == provider {
        let same = Bridge::between(provider, provider).unwrap();
        let same = same.whole(case.response.clone().into(), &edits, &mut pricer()).unwrap();
        assert!(same.losses.is_empty() && same.tap.usage() == usage, "{who} by bytes");
        let told = heard(client, &serde_json::from_slice(&same.body.into_bytes()).unwrap());
        assert_heard(&told, &recorded, &who);
    }
}

fn stream(case: &Case, client: &'static Dialect) {
    let (provider, who) = (dialect(case.dialect), format!("{} for {}", case.name, client.id));
    let edits = edits(client);
    let streamed = pairs::stream((client, provider), &case.response, 37, &edits);
    if reference::said(&String::from_utf8_lossy(&case.response)).is_error {
        assert!(matches!(streamed.end, StreamEnd::InBandError(_)), "{who}: {:?}", streamed.end);
        return;
    }
    assert_eq!(streamed.end, StreamEnd::Finished, "{who}");
    if let Some(wanted) = recorded_usage(case) {
        assert_eq!(streamed.tap.usage(), Some(wanted), "{who}");
    }
    // Read by the other half of the client's dialect, and told in chunks.
    let chat = dialect("openai-chat");
    let read = pairs::stream((chat, client), &streamed.out, streamed.out.len(), &pairs::edits_for(b""));
    assert_eq!(read.end, StreamEnd::Finished, "{who}");
    // Some dialects have no word for not knowing.
    let usage = read.tap.usage().map(totals).filter(|usage| *usage != (0, 0));
    assert_eq!(usage, streamed.tap.usage().map(totals), "{who}");
    let recorded = recorded(case);
    let told = heard_chat(&reference::put_together(&String::from_utf8(read.out).unwrap()));
    assert_heard(&told, &recorded, &who);
    if client == provider {
        let mut pass = Bridge::between(provider, provider).unwrap().stream(&edits);
        let mut out = pass.push(case.response.clone().into(), &mut pricer()).to_vec();
        let (rest, end) = pass.end(&mut pricer());
        out.extend_from_slice(&rest);
        assert_eq!((end, pass.tap().usage()), (StreamEnd::Finished, streamed.tap.usage()), "{who} by bytes");
        let told = heard(client, &put_together(provider, &String::from_utf8(out).unwrap()));
        assert_heard(&told, &recorded, &who);
    }
}

fn totals(usage: TokenUsage) -> (u64, u64) {
    (usage.prompt_total(), usage.completion_total())
}

fn every_answer(folder: &str) {
    for case in fixtures::cases(&[folder]).iter().filter(|case| case.status == 200) {
        for client in CLIENTS.map(dialect) {
            match case.is_stream {
                true => stream(case, client),
                false => whole(case, client),
            }
        }
    }
}

#[test]
fn every_client_reads_what_mistral_answered() {
    every_answer("mistral");
}

#[test]
fn every_client_reads_what_groq_answered() {
    every_answer("groq");
}

#[test]
fn every_client_reads_what_xai_answered_in_chats() {
    every_answer("xai-chat");
}

#[test]
fn every_client_reads_what_xai_answered_in_responses() {
    every_answer("xai-responses");
}

#[test]
fn every_client_reads_what_deepseek_answered() {
    every_answer("deepseek");
}

#[test]
fn every_client_reads_what_openrouter_answered() {
    every_answer("openrouter");
}

#[test]
fn embeddings_of_mistral_pass_with_their_usage() {
    let embeddings = dialect("openai-embeddings");
    assert!(super::seed::rows()["mistral"].served().any(|dialect| dialect == embeddings));
    for case in fixtures::cases(&["mistral-embeddings"]).iter().filter(|case| case.status == 200) {
        let bridge = Bridge::between(embeddings, embeddings).unwrap();
        let whole = bridge.whole(case.response.clone().into(), &edits(embeddings), &mut pricer()).unwrap();
        let (sent, tap) = (whole.body.into_bytes(), whole.tap);
        let (told, recorded): (Value, Value) =
            (serde_json::from_slice(&sent).unwrap(), serde_json::from_slice(&case.response).unwrap());
        assert_eq!(told["data"], recorded["data"], "{}", case.name);
        assert_eq!(tap.usage().map(|usage| usage.prompt_total()), recorded["usage"]["prompt_tokens"].as_u64());
    }
}

/// The seed asks Cohere at its compatibility address, of which no recording was published. Those that were are of its own
/// API: an answer of that shape, come from a wrong address, is an error and never an empty success.
#[test]
fn answers_in_coheres_own_shape_are_not_taken_for_chats() {
    let chat = dialect("openai-chat");
    for case in fixtures::cases(&["cohere"]).iter().filter(|case| case.status == 200) {
        for client in CLIENTS.map(dialect) {
            let who = format!("{} for {}", case.name, client.id);
            let is_success = match case.is_stream {
                true => pairs::stream((client, chat), &case.response, 37, &edits(client)).end == StreamEnd::Finished,
                false => pairs::whole((client, chat), &case.response, &edits(client))
                    .is_ok_and(|whole| whole.tap.upstream_error().is_none() && whole.tap.has_finish()),
            };
            assert!(!is_success, "{who}");
        }
    }
}
