//! Every recorded request of a provider, said in each client's dialect, reaches the provider with all its words.

use codec::BodyFaultKind;
use serde_json::Value;

use super::{CLIENTS, RECORDED, seed};
use crate::edits::dialect;
use crate::fixtures::{self, Case};
use crate::pairs;

/// What people, models and tools said, wherever it stands; not what the model thought.
fn texts(value: &Value, name: &str, all: &mut Vec<String>) {
    const SAID: [&str; 6] = ["text", "content", "output", "instructions", "input", "refusal"];
    match value {
        Value::String(text) if SAID.contains(&name) && !text.trim().is_empty() => all.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, name, all)),
        Value::Object(fields) if value["type"] != "reasoning" && value["type"] != "thinking" => {
            let spoken =
                fields.iter().filter(|(name, _)| !matches!(name.as_str(), "tools" | "text_format" | "provider"));
            spoken.for_each(|(name, value)| texts(value, name, all));
        }
        _ => {}
    }
}

/// Names of the functions that are offered, in the old way as well.
fn functions(request: &Value) -> Vec<String> {
    let listed = |name: &str| request[name].as_array().cloned().unwrap_or_default().into_iter();
    let names = listed("tools").chain(listed("functions")).filter_map(|tool| {
        let name = tool["function"]["name"].as_str().or(tool["name"].as_str());
        name.map(str::to_owned)
    });
    names.collect()
}

/// Whether a fault is one that says what this provider cannot be asked.
fn is_told(kind: BodyFaultKind) -> bool {
    kind == BodyFaultKind::Unsupported
}

/// The recorded request of a case through every client and with every list of quirks that the provider's endpoints have;
/// how often it was sent.
fn send(case: &Case, body: &[u8], row: &seed::Row) -> usize {
    let provider = dialect(case.dialect);
    let recorded: Value = serde_json::from_slice(body).unwrap();
    let mut wanted = Vec::new();
    texts(&recorded, "", &mut wanted);
    let mut count = 0;
    for client in CLIENTS.map(dialect) {
        let said = match client == provider {
            true => body.to_vec(),
            false => match pairs::request((provider, client), body, None, case.is_stream) {
                Ok(said) => said.body.into_bytes().to_vec(),
                Err(fault) => {
                    assert!(is_told(fault.kind), "{} in {}: {fault}", case.name, client.id);
                    continue;
                }
            },
        };
        for list in &row.lists {
            let quirks: Vec<&str> = list.iter().map(String::as_str).collect();
            let outbound = match pairs::request_with((client, provider), &said, Some("m"), case.is_stream, &quirks) {
                Ok(outbound) => outbound,
                Err(fault) => {
                    assert!(is_told(fault.kind), "{} from {}: {fault}", case.name, client.id);
                    continue;
                }
            };
            let sent: Value = serde_json::from_slice(&outbound.body.into_bytes()).unwrap();
            let mut got = Vec::new();
            texts(&sent, "", &mut got);
            let got = got.join("\n");
            let missing = wanted.iter().filter(|text| !got.contains(text.as_str())).count();
            assert_eq!(missing, 0, "{} from {} with {quirks:?}", case.name, client.id);
            let offered = functions(&sent);
            // Anthropic's clients declare what was called earlier, though nothing may be called now.
            let is_inert = functions(&recorded).is_empty() && sent["tool_choice"] == "none";
            assert!(is_inert || functions(&recorded) == offered, "{} from {}: {offered:?}", case.name, client.id);
            count += 1;
        }
    }
    count
}

fn recorded(folder: &str) {
    let (_, id) = RECORDED.iter().find(|(name, _)| *name == folder).unwrap();
    let rows = seed::rows();
    let row = &rows[*id];
    let cases: Vec<Case> = fixtures::cases(&[folder]).into_iter().filter(|case| case.status == 200).collect();
    let mut sent = 0;
    for case in &cases {
        if let Some(body) = &case.request {
            sent += send(case, body, row);
        }
    }
    let requests = cases.iter().filter(|case| case.request.is_some()).count();
    assert!(sent >= requests, "{folder}: {sent} sent of {requests} recorded");
}

#[test]
fn mistral_gets_every_word_of_every_client() {
    recorded("mistral");
}

#[test]
fn groq_gets_every_word_of_every_client() {
    recorded("groq");
}

#[test]
fn xai_gets_every_word_of_every_client() {
    // Of its chats only the answers were published.
    recorded("xai-responses");
}

#[test]
fn deepseek_gets_every_word_of_every_client() {
    recorded("deepseek");
}

#[test]
fn openrouter_gets_every_word_of_every_client() {
    recorded("openrouter");
}

#[test]
fn openai_gets_every_word_of_every_client() {
    recorded("openai-chat");
}
