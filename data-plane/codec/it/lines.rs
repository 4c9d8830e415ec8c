//! Every event of ours is on one line, however a provider writes its own: JSON over several lines is copied into no event as
//! it is. And calls without arguments, which providers write in several ways, have an empty object everywhere.

use codec::StreamEnd;
use serde_json::{Value, json};

use crate::edits::dialect;
use crate::fixtures;
use crate::pairs::{self, Pair};

/// The same stream with the JSON of each event over several `data:` lines.
fn over_lines(stream: &[u8]) -> Vec<u8> {
    let mut out = String::new();
    for line in String::from_utf8_lossy(stream).lines() {
        match line.strip_prefix("data:").and_then(|data| serde_json::from_str::<Value>(data).ok()) {
            Some(value) => {
                let pretty = serde_json::to_string_pretty(&value).unwrap();
                pretty.lines().for_each(|line| out.push_str(&format!("data: {line}\n")));
            }
            None => out.push_str(&format!("{line}\n")),
        }
    }
    out.into_bytes()
}

/// The events' data, after every line was looked at.
fn events(pair: Pair, out: &[u8]) -> Vec<Value> {
    let mut events = Vec::new();
    for line in std::str::from_utf8(out).unwrap().lines() {
        match line.strip_prefix("data: ") {
            Some("[DONE]") => {}
            Some(data) => events
                .push(serde_json::from_str(data).unwrap_or_else(|_| panic!("{} to {}: {data}", pair.1.id, pair.0.id))),
            None => assert!(
                line.is_empty() || line.starts_with("event: "),
                "{} to {}: a line of its own: {line}",
                pair.1.id,
                pair.0.id
            ),
        }
    }
    events
}

#[test]
fn what_a_provider_writes_over_several_lines_is_on_one_line_in_every_event() {
    let mut checked = 0;
    for case in fixtures::cases(&fixtures::FAMILIES).into_iter().filter(|case| case.is_stream && case.status == 200) {
        let edits = pairs::edits_for(case.request.as_deref().unwrap_or_default());
        for pair in pairs::all().into_iter().filter(|pair| pair.1.id == case.dialect && pair.0 != pair.1) {
            let size = case.response.len().max(1) * 10;
            let told = pairs::stream(pair, &case.response, size, &edits);
            let spread = pairs::stream(pair, &over_lines(&case.response), size, &edits);
            let (told_events, spread_events) = (events(pair, &told.out), events(pair, &spread.out));
            assert_eq!(spread.end == StreamEnd::Finished, told.end == StreamEnd::Finished, "{}", case.name);
            assert_eq!(spread_events.len(), told_events.len(), "{} to {}", case.name, pair.0.id);
            checked += 1;
        }
    }
    assert!(checked > 0 || fixtures::cases(&fixtures::FAMILIES).is_empty());
}

/// A chat provider's stream of one answer with these pieces.
fn chat_stream(deltas: &[Value]) -> Vec<u8> {
    let chunk = |delta: &Value, finish: Value| {
        let choice = json!({"index":0,"delta":delta,"finish_reason":finish});
        let chunk = json!({"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[choice]});
        format!("data: {chunk}\n\n")
    };
    let mut out: String = deltas.iter().map(|delta| chunk(delta, Value::Null)).collect();
    out.push_str(&chunk(&json!({}), json!("tool_calls")));
    out.push_str("data: [DONE]\n\n");
    out.into_bytes()
}

fn call(arguments: Value) -> Value {
    json!({"role":"assistant","tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":arguments}}]})
}

#[test]
fn arguments_and_extras_with_line_breaks_stay_on_one_line_for_every_client() {
    let cited = json!({"role":"assistant","content":"x","annotations":[{"type":"url_citation","url_citation":{"url":"https://x","title":"a\nb","start_index":0,"end_index":1}}]});
    for deltas in [
        vec![call(json!("{\n  \"a\": \"b\\nc\",\r\n  \"d\": [\n1,\n2]\n}"))],
        vec![call(json!("{\n")), json!({"tool_calls":[{"index":0,"function":{"arguments":"\"a\"\n:\n1}"}}]})],
        vec![call(json!("[\n1\n]"))],
        vec![call(json!({"a":{"b":1}}))],
        vec![cited],
    ] {
        for client in pairs::dialects() {
            let pair = (client, dialect("openai-chat"));
            let stream = over_lines(&chat_stream(&deltas));
            let told = pairs::stream(pair, &stream, stream.len(), &pairs::edits_for(b""));
            assert_eq!(told.end, StreamEnd::Finished);
            assert!(!events(pair, &told.out).is_empty());
        }
    }
}

/// The arguments that a client of this dialect reads out of a whole answer.
fn arguments(client: &str, answer: &Value) -> Value {
    let text = |text: &Value| serde_json::from_str(text.as_str().unwrap()).unwrap();
    match client {
        "openai-chat" => text(&answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]),
        "openai-responses" => text(&answer["output"][0]["arguments"]),
        "anthropic" => answer["content"][0]["input"].clone(),
        _ => answer["candidates"][0]["content"]["parts"][0]["functionCall"]["args"].clone(),
    }
}

#[test]
fn t25_a_call_without_arguments_has_an_empty_object_however_it_is_written() {
    for none in [json!(null), json!("null"), json!(""), json!("{}"), json!({})] {
        let message = call(none.clone());
        let choice = json!({"index":0,"message":message,"finish_reason":"tool_calls"});
        let answer = json!({"id":"a","created":1,"model":"m","choices":[choice]});
        for client in pairs::dialects() {
            let pair = (client, dialect("openai-chat"));
            let whole = pairs::whole(pair, answer.to_string().as_bytes(), &pairs::edits_for(b"")).unwrap();
            let whole: Value = serde_json::from_slice(&whole.body.into_bytes()).unwrap();
            assert_eq!(arguments(client.id, &whole), json!({}), "{none} for {}", client.id);
            let stream = chat_stream(&[call(none.clone())]);
            let told = pairs::stream(pair, &stream, stream.len(), &pairs::edits_for(b""));
            let out = String::from_utf8(told.out).unwrap();
            assert!(told.end == StreamEnd::Finished && !out.contains("\"null\""), "{none} for {}: {out}", client.id);
        }
    }
    // Within arguments that were begun, it is a value.
    let pieces = [call(json!("{\"a\":")), json!({"tool_calls":[{"index":0,"function":{"arguments":"null"}}]})];
    let last = json!({"tool_calls":[{"index":0,"function":{"arguments":"}"}}]});
    let stream = chat_stream(&[&pieces[..], &[last]].concat());
    let pair = (dialect("gemini"), dialect("openai-chat"));
    let told = pairs::stream(pair, &stream, stream.len(), &pairs::edits_for(b""));
    let calls: Vec<Value> = events(pair, &told.out)
        .iter()
        .map(|event| event["candidates"][0]["content"]["parts"][0]["functionCall"]["args"].clone())
        .filter(|args| !args.is_null())
        .collect();
    assert_eq!(calls, [json!({"a":null})]);
}
