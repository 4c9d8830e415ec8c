//! What is refused, rule by rule, and what is only counted.

use serde_json::{Value, json};

use super::super::{DUMMIES, Truth, base64};
use super::*;

/// The part of an answer that must come back as it was, by family.
fn signatures(path: &str, body: &Value) -> Vec<String> {
    let find = |name: &str| -> Vec<String> {
        let mut places = Vec::new();
        pointers(body, name, String::new(), &mut places);
        places
    };
    match path {
        RESPONSES => find("encrypted_content"),
        MESSAGES => find("signature"),
        GENERATE => find("thoughtSignature"),
        _ => Vec::new(),
    }
}

fn pointers(value: &Value, name: &str, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let place = format!("{at}/{key}");
                if key == name {
                    found.push(place.clone());
                }
                pointers(member, name, place, found);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| pointers(item, name, format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

#[test]
fn a_lost_or_changed_signature_is_seen() {
    for path in [RESPONSES, MESSAGES, GENERATE] {
        let body = with_tools(
            path,
            thinking(path, &plain(path, r#"call get_weather({"city":"x"}) call get_weather({"city":"y"})"#)),
        );
        let (_, out) = good(path, &body);
        let next = carried_on(path, &body, &whole(&out), &["1", "2"], None);
        good(path, &next);
        let places = signatures(path, &next);
        assert_eq!(places.len(), 1, "{next:#}");
        let signature = next.pointer(&places[0]).unwrap().as_str().unwrap().to_owned();
        if path == GENERATE {
            // The same bytes in the other alphabet.
            good(path, &with(&next, &places[0], json!(signature.replace('+', "-").replace('/', "_"))));
        }
        let changed = signature.replacen(['A', 'e', 'b'], "Q", 1);
        assert_ne!(signature, changed);
        assert!(rules(path, &with(&next, &places[0], json!(changed))).contains(&"signature"), "{path}");
        let mut other = next.clone();
        match path {
            GENERATE => {
                let path = GENERATE.replace("strict-3", "strict-4");
                assert!(rules(&path, &other).contains(&"signature"));
            }
            _ => {
                other["model"] = json!("another");
                assert!(rules(path, &other).contains(&"signature"), "{path}");
            }
        }
    }
    // Without it at all: refused, or taken and counted.
    let lose = |path: &str, remove: &dyn Fn(&mut Value)| {
        let body = with_tools(path, thinking(path, &plain(path, r#"call get_weather({"city":"x"})"#)));
        let (_, out) = good(path, &body);
        let mut next = carried_on(path, &body, &whole(&out), &["1"], None);
        remove(&mut next);
        let (seen, _) = ask_at(path, &next);
        (seen.violations.iter().map(|one| one.rule).collect::<Vec<_>>(), seen.dummies)
    };
    let lost = lose(RESPONSES, &|body| drop(body["input"].as_array_mut().unwrap().remove(1)));
    assert_eq!(lost, (vec![], 1));
    let lost = lose(MESSAGES, &|body| drop(body["messages"][1]["content"].as_array_mut().unwrap().remove(0)));
    assert_eq!(lost, (vec!["thinking_first"], 1));
    let lost = lose(MESSAGES, &|body| {
        body["messages"][1]["content"].as_array_mut().unwrap().remove(0);
        body["thinking"] = json!({"type": "adaptive"});
    });
    assert_eq!(lost, (vec![], 1));
    let lost = lose(GENERATE, &|body| {
        let parts = body["contents"][1]["parts"].as_array_mut().unwrap();
        parts.iter_mut().for_each(|part| drop(part.as_object_mut().unwrap().remove("thoughtSignature")));
    });
    assert_eq!(lost, (vec!["signature_missing"], 0));
    let lost = lose(GENERATE, &|body| body["contents"][1]["parts"][1]["thoughtSignature"] = json!(DUMMIES[0]));
    assert_eq!(lost, (vec![], 1));
}

#[test]
fn a_stand_in_for_a_foreign_call_is_taken_and_counted() {
    let foreign = json!({
        "contents": [
            {"role": "user", "parts": [{"text": "q"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "get_weather", "args": {"city": "x"}}, "thoughtSignature": DUMMIES[1]}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "get_weather", "response": {"result": {"t": 1}}}}]},
        ],
    });
    let encoded = with(&foreign, "/contents/1/parts/0/thoughtSignature", json!(base64::encode(DUMMIES[0].as_bytes())));
    assert_eq!(good(GENERATE, &with_tools(GENERATE, encoded)).0.dummies, 1);
    let (seen, out) = good(GENERATE, &with_tools(GENERATE, foreign));
    assert_eq!(seen.dummies, 1);
    assert_eq!(said(GENERATE, &whole(&out)), r#"results: {"t":1}"#);
}

#[test]
fn every_family_refuses_in_its_own_words() {
    for path in TALKS {
        let broken = with(&plain(path, "x"), "/nonsense", json!(1));
        assert_eq!(rules(path, &broken), ["unknown_field"], "{path}");
        let (_, out) = ask_at(path, &broken);
        let error = whole(&out);
        match path {
            MESSAGES => assert_eq!(
                (&error["type"], &error["error"]["type"]),
                (&json!("error"), &json!("invalid_request_error"))
            ),
            GENERATE => assert_eq!(
                (&error["error"]["code"], &error["error"]["status"]),
                (&json!(400), &json!("INVALID_ARGUMENT"))
            ),
            _ => assert_eq!(error["error"]["param"], "nonsense"),
        }
        let (_, out) = ask_at(path, &plain(path, "!error 503"));
        assert_eq!((out.status, out.headers), (503, vec![]));
        let (seen, out) = ask_at(path, &plain(path, "!error 503 !wait"));
        assert_eq!((seen.violations.len(), out.status, seen.truth), (0, 503, Truth::default()));
        assert_eq!(out.headers, [("retry-after", "7".to_owned())]);
        let (_, out) = ask_at(path, &plain(path, "!html"));
        assert_eq!((out.status, out.content_type), (502, "text/html"));
        let (seen, out) = answer(asked(path, &[("content-type", "application/json")], b"{}"), 0);
        assert_eq!(seen.violations[0].rule, "auth");
        assert!(out.status == 401 || path == GENERATE);
        let key =
            [("content-type", "application/json"), ("authorization", "Bearer tg_live_x"), ("x-goog-api-key", "sk")];
        let (seen, _) = answer(asked(path, &key, plain(path, "x").to_string().as_bytes()), 0);
        assert_eq!(seen.violations[0].rule, "client_key");
    }
}

#[test]
fn openai_chat_refuses_what_it_must() {
    let body = with_tools(CHAT, plain(CHAT, r#"call get_weather({"city":"x"}) call get_weather({"city":"y"})"#));
    let (_, out) = good(CHAT, &body);
    let next = carried_on(CHAT, &body, &whole(&out), &["1", "2"], None);
    good(CHAT, &next);
    let mut short = next.clone();
    short["messages"].as_array_mut().unwrap().pop();
    for (rule, broken) in [
        ("tool_order", short.clone()),
        ("tool_order", with(&next, "/messages/2/tool_call_id", json!("call_other"))),
        ("arguments", with(&next, "/messages/1/tool_calls/0/function/arguments", json!("{\"a\":"))),
        ("id_length", with(&next, "/messages/1/tool_calls/0/id", json!("x".repeat(41)))),
        ("unknown_field", with(&next, "/messages/1/reasoning_content", json!("x"))),
        ("name", with(&body, "/tools/0/function/name", json!("my.tool"))),
        ("stop", with(&body, "/stop", json!(["a", "b", "c", "d", "e"]))),
        ("token_limits", with(&with(&body, "/max_tokens", json!(9)), "/max_completion_tokens", json!(9))),
        ("strict_schema", with(&body, "/tools/0/function/strict", json!(true))),
        ("type", with(&body, "/temperature", json!("hot"))),
        ("range", with(&body, "/temperature", json!(2.5))),
        ("tool_choice", with(&plain(CHAT, "x"), "/tool_choice", json!("auto"))),
        ("stream_options", with(&body, "/stream_options", json!({"include_usage": true}))),
        (
            "media",
            with(
                &body,
                "/messages/0/content",
                json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,???"}}]),
            ),
        ),
        ("missing_field", json!({"model": "m"})),
    ] {
        assert!(rules(CHAT, &broken).contains(&rule), "{rule}: {:?}", rules(CHAT, &broken));
    }
}

#[test]
fn openai_responses_refuse_what_they_must() {
    let body = with_tools(RESPONSES, thinking(RESPONSES, &plain(RESPONSES, r#"call get_weather({"city":"x"})"#)));
    let (_, out) = good(RESPONSES, &body);
    let next = carried_on(RESPONSES, &body, &whole(&out), &["1"], None);
    good(RESPONSES, &next);
    let mut moved = next.clone();
    moved["input"].as_array_mut().unwrap().swap(0, 1);
    let mut bare = next.clone();
    bare["input"][1].as_object_mut().unwrap().remove("encrypted_content");
    for (rule, broken) in [
        ("reasoning_order", moved),
        ("unsealed", bare),
        ("tool_order", with(&next, "/input/3/call_id", json!("call_other"))),
        ("item_id", with(&next, "/input/2/id", json!("call_1"))),
        (
            "content_type",
            with(&body, "/input", json!([{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}])),
        ),
        ("store", with(&body, "/store", json!(true))),
        ("stored_state", with(&body, "/previous_response_id", json!("resp_1"))),
        ("tool_choice", with(&body, "/tool_choice", json!({"type": "function", "function": {"name": "get_weather"}}))),
        ("missing_field", with(&body, "/tools/0", json!({"type": "function", "function": {"name": "x"}}))),
        ("range", with(&body, "/max_output_tokens", json!(8))),
        ("unknown_field", with(&body, "/stop", json!(["x"]))),
        ("include", with(&body, "/include", json!(["everything"]))),
    ] {
        assert!(rules(RESPONSES, &broken).contains(&rule), "{rule}: {:?}", rules(RESPONSES, &broken));
    }
}

#[test]
fn anthropic_refuses_what_it_must() {
    let body = with_tools(
        MESSAGES,
        thinking(MESSAGES, &plain(MESSAGES, r#"call get_weather({"city":"x"}) call get_weather({"city":"y"})"#)),
    );
    let (_, out) = good(MESSAGES, &body);
    let next = carried_on(MESSAGES, &body, &whole(&out), &["1", "2"], Some("and"));
    good(MESSAGES, &next);
    let mut late = next.clone();
    late["messages"][2]["content"].as_array_mut().unwrap().rotate_right(1);
    let mut short = next.clone();
    short["messages"][2]["content"].as_array_mut().unwrap().remove(0);
    for (rule, broken) in [
        ("results_first", late),
        ("tool_order", short),
        ("missing_field", json!({"model": "m", "messages": [{"role": "user", "content": "x"}]})),
        ("thinking_budget", with(&body, "/max_tokens", json!(1_024))),
        ("thinking_budget", with(&body, "/thinking/budget_tokens", json!(1_000))),
        ("thinking_choice", with(&body, "/tool_choice", json!({"type": "any"}))),
        ("thinking_sampling", with(&body, "/temperature", json!(0.5))),
        ("first_role", with(&body, "/messages/0/role", json!("assistant"))),
        ("empty_text", with(&body, "/messages/0/content", json!([{"type": "text", "text": ""}]))),
        ("empty", with(&body, "/messages/0/content", json!(""))),
        ("id", with(&next, "/messages/1/content/1/id", json!("call:1"))),
        ("name", with(&body, "/tools/0/name", json!("my.tool"))),
        ("range", with(&plain(MESSAGES, "x"), "/temperature", json!(1.5))),
        ("stop", with(&body, "/stop_sequences", json!([" "]))),
        ("type", with(&body, "/system", Value::Null)),
        ("value", with(&body, "/messages/0/role", json!("system"))),
        (
            "cache_marks",
            with(
                &body,
                "/messages/0/content",
                json!(vec![json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}); 5]),
            ),
        ),
        (
            "output_schema",
            with(&body, "/output_config", json!({"format": {"type": "json_schema", "schema": weather()}})),
        ),
    ] {
        assert!(rules(MESSAGES, &broken).contains(&rule), "{rule}: {:?}", rules(MESSAGES, &broken));
    }
    let newest = [("content-type", "application/json"), ("x-api-key", "sk"), ("anthropic-version", "2026-10-21")];
    let cold = with(&plain(MESSAGES, "x"), "/temperature", json!(0));
    let (seen, _) = answer(asked(MESSAGES, &newest, cold.to_string().as_bytes()), 0);
    assert_eq!(seen.violations.iter().map(|one| one.rule).collect::<Vec<_>>(), ["version"]);
    let (seen, _) = answer(asked(MESSAGES, &newest[..2], plain(MESSAGES, "x").to_string().as_bytes()), 0);
    assert_eq!(seen.violations[0].rule, "version");
}

#[test]
fn gemini_refuses_what_it_must() {
    let body =
        with_tools(GENERATE, plain(GENERATE, r#"call get_weather({"city":"x"}) call get_weather({"city":"y"})"#));
    let (_, out) = good(GENERATE, &body);
    let next = carried_on(GENERATE, &body, &whole(&out), &["1", "2"], None);
    good(GENERATE, &next);
    let mut split = next.clone();
    let last = split["contents"][2]["parts"].as_array_mut().unwrap().pop().unwrap();
    split["contents"].as_array_mut().unwrap().push(json!({"role": "user", "parts": [last]}));
    let subset = json!([{"functionDeclarations": [{"name": "f", "parameters": {"type": "object", "properties": {"a": {"$ref": "#/x"}}}}]}]);
    for (rule, broken) in [
        ("response_count", split),
        ("response_match", with(&next, "/contents/2/parts/0/functionResponse/name", json!("other"))),
        ("type", with(&next, "/contents/2/parts/0/functionResponse/response", json!("text"))),
        ("type", with(&next, "/contents/1/parts/0/functionCall/args", json!("{}"))),
        ("signature", with(&next, "/contents/1/parts/1/thoughtSignature", json!("x"))),
        ("role", with(&next, "/contents/0/role", json!("assistant"))),
        ("unknown_field", with(&body, "/tools", subset)),
        ("unknown_field", with(&body, "/contents/0/parts/0/nonsense", json!(1))),
        ("schema_mime", with(&body, "/generationConfig", json!({"responseJsonSchema": weather()}))),
        ("stop", with(&body, "/generationConfig", json!({"stopSequences": ["1", "2", "3", "4", "5", "6"]}))),
        ("name", with(&body, "/tools/0/functionDeclarations/0/name", json!("1/2"))),
        (
            "tool_choice",
            with(
                &body,
                "/toolConfig",
                json!({"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["get_weather"]}}),
            ),
        ),
        (
            "part_data",
            with(
                &body,
                "/contents/0/parts/0",
                json!({"text": "x", "inlineData": {"mimeType": "image/png", "data": ""}}),
            ),
        ),
    ] {
        assert!(rules(GENERATE, &broken).contains(&rule), "{rule}: {:?}", rules(GENERATE, &broken));
    }
}
