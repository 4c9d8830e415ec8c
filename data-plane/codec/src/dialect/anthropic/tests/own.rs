//! Requests of this very dialect: what is read, what is refused, and that nothing is lost on the way back to it.

use serde_json::{Map, Value, json};

use super::*;
use crate::error::BodyFaultKind;
use crate::model::{CacheMark, Effort, Media, PartBody, Signature, Source, ToolChoice, ToolKind};

/// A recorded request with what is said in two ways said in one: text as a list of blocks, what has a default left out.
fn plain(mut request: Value) -> Value {
    let fields = request.as_object_mut().unwrap();
    fields.remove("model");
    // Counting tokens needs no limit; asking does.
    fields.entry("max_tokens").or_insert(json!(4096));
    fields.retain(|name, value| !(value.is_null() || name == "stream" && *value == json!(false)));
    if let Some(format) = fields.remove("output_format") {
        fields.insert("output_config".to_owned(), json!({ "format": format }));
    }
    fields.get_mut("system").into_iter().for_each(blocks);
    for message in fields["messages"].as_array_mut().unwrap() {
        blocks(&mut message["content"]);
    }
    for tool in fields.get_mut("tools").into_iter().flat_map(|tools| tools.as_array_mut().unwrap()) {
        cached(tool.as_object_mut().unwrap());
    }
    request
}

fn blocks(content: &mut Value) {
    if content.is_string() {
        *content = json!([{"type": "text", "text": content}]);
    }
    for block in content.as_array_mut().unwrap() {
        let block = block.as_object_mut().unwrap();
        cached(block);
        let is_call = block["type"] == "tool_use";
        block.retain(|name, value| match name.as_str() {
            "caller" if is_call => value["type"] != "direct",
            "is_error" => *value == json!(true),
            _ => !value.is_null(),
        });
        if block["type"] == "tool_result" {
            block.get_mut("content").into_iter().for_each(blocks);
        }
    }
}

/// Five minutes are what a mark means without more words.
fn cached(object: &mut Map<String, Value>) {
    if let Some(mark) = object.get_mut("cache_control").and_then(Value::as_object_mut) {
        mark.retain(|name, value| !(name == "ttl" && value == "5m"));
    }
}

fn back(body: &str) -> (Value, Losses) {
    read(body, |request| usual().gets(request)).unwrap().unwrap()
}

#[test]
fn recorded_requests_come_back_as_they_were() {
    let cases = fixtures::cases(&FAMILY);
    for case in &cases {
        let Some(body) = &case.request else { continue };
        let text = std::str::from_utf8(body).unwrap();
        let (mut sent, losses) = back(text);
        assert!(losses.is_empty(), "{}: {losses}", case.name);
        assert_eq!(sent["model"], "claude", "{}", case.name);
        sent.as_object_mut().unwrap().remove("model");
        assert_eq!(sent, plain(serde_json::from_str(text).unwrap()), "{}", case.name);
    }
}

#[test]
fn what_only_this_dialect_knows_comes_back_too() {
    let body = json!({
        "model": "m", "max_tokens": 9000, "system": [{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}],
        "messages": [
            {"role":"user","content":[
                {"type":"search_result","title":"t","source":"u","content":[{"type":"text","text":"x"}],"citations":{"enabled":true}},
                {"type":"document","source":{"type":"content","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},"title":"d","context":"c"},
                {"type":"document","source":{"type":"file","file_id":"file_1"},"citations":{"enabled":true}},
                {"type":"image","source":{"type":"url","url":"https://x/y"},"transformations":{}},
                {"type":"container_upload","file_id":"f"}]},
            {"role":"assistant","content":[
                {"type":"thinking","thinking":"","signature":"sealed=="},
                {"type":"redacted_thinking","data":"data=="},
                {"type":"text","text":"cited","citations":[{"type":"char_location","cited_text":"a","document_index":0,"start_char_index":0,"end_char_index":1}]},
                {"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}},
                {"type":"tool_use","id":"toolu_1","name":"f","input":{"n":1},"caller":{"type":"code_execution_20260120","tool_id":"srvtoolu_1"}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","is_error":true,"toolset_name":"z","cache_control":{"type":"ephemeral"},
                "content":[{"type":"text","text":"r"},{"type":"tool_reference","tool_name":"f"},{"type":"search_result","title":"t","source":"u","content":[]}]}]},
            {"role":"system","content":[{"type":"text","text":"be brief"}],"clear_at":"x"}],
        "tools": [
            {"name":"f","input_schema":{"type":"object"},"strict":false,"defer_loading":true,"input_examples":[{"n":1}]},
            {"type":"web_search_20250305","name":"web_search","max_uses":2,"cache_control":{"type":"ephemeral"}},
            {"type":"mcp_toolset","mcp_server_name":"s"}],
        "tool_choice": {"type":"tool","name":"f","disable_parallel_tool_use":true},
        "thinking": {"type":"adaptive","display":"omitted"}, "output_config": {"effort":"xhigh","task_budget":{"type":"tokens","total":5}},
        "metadata": {"user_id":"u","other":"o"}, "service_tier": "standard_only", "container": "c", "mcp_servers": [{"type":"url"}],
        "context_management": {"edits":[]}, "cache_control": {"type":"ephemeral"}, "speed": "fast", "temperature": 1.50, "top_k": 5, "top_p": 0.3,
        "stop_sequences": [" ", "x"], "stream": true});
    let (sent, losses) = back(&body.to_string());
    assert!(losses.is_empty(), "{losses}");
    let mut expected = body.clone();
    expected["model"] = json!("claude");
    assert_eq!(sent, expected);
    let unusual = [json!({"type":"between_tools"}), json!({"type":"new","x":1})];
    for thinking in unusual {
        let body = json!({"model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"}],"thinking":thinking,"output_config":{"format":{"type":"grammar"}}});
        let (sent, _) = back(&body.to_string());
        assert_eq!((&sent["thinking"], &sent["output_config"]), (&body["thinking"], &body["output_config"]));
    }
}

#[test]
fn faults_name_the_place_as_the_client_wrote_it() {
    let fault = |field: &str, value: Value| {
        let mut body = json!({"model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"}]});
        body[field] = value;
        read(&body.to_string(), |_| ()).err().map(|fault| (fault.kind, fault.param.unwrap_or_default()))
    };
    let wrong = |path: &str| Some((BodyFaultKind::WrongType, path.to_owned()));
    let user = |content: Value| json!([{"role":"user","content":"x"}, {"role":"user","content":content}]);
    for (field, value, path) in [
        ("messages", json!(["x"]), "messages[0]"),
        ("messages", json!([{"role":7,"content":"x"}]), "messages[0].role"),
        ("messages", user(json!(7)), "messages[1].content"),
        ("messages", user(json!(null)), "messages[1].content"),
        ("messages", user(json!(["x"])), "messages[1].content[0]"),
        ("messages", user(json!([{"type":"text","text":"x"},{"type":3}])), "messages[1].content[1].type"),
        ("messages", user(json!([{"type":"text","text":["x"]}])), "messages[1].content[0].text"),
        (
            "messages",
            user(json!([{"type":"text","text":"x","cache_control":"x"}])),
            "messages[1].content[0].cache_control",
        ),
        ("messages", user(json!([{"type":"image"}])), "messages[1].content[0].source"),
        (
            "messages",
            user(json!([{"type":"image","source":{"type":"base64","media_type":"image/png","data":1}}])),
            "messages[1].content[0].source.data",
        ),
        (
            "messages",
            user(json!([{"type":"tool_use","id":"1","name":"f","input":"{}"}])),
            "messages[1].content[0].input",
        ),
        (
            "messages",
            user(json!([{"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":1}]}])),
            "messages[1].content[0].content[0].text",
        ),
        (
            "messages",
            user(json!([{"type":"tool_result","tool_use_id":"1","is_error":"no"}])),
            "messages[1].content[0].is_error",
        ),
        ("system", json!(1), "system"),
        ("system", json!([{"type":"text","text":1}]), "system[0].text"),
        ("temperature", json!("1"), "temperature"),
        ("stop_sequences", json!(["a", 1]), "stop_sequences[1]"),
        ("stop_sequences", json!("a"), "stop_sequences"),
        ("tools", json!({}), "tools"),
        ("tools", json!([{"name":"f","input_schema":"{}"}]), "tools[0].input_schema"),
        ("tools", json!([{"name":1}]), "tools[0].name"),
        ("tool_choice", json!("auto"), "tool_choice"),
        ("tool_choice", json!({"type":"auto","disable_parallel_tool_use":1}), "tool_choice.disable_parallel_tool_use"),
        ("thinking", json!({"type":"enabled","budget_tokens":"1"}), "thinking.budget_tokens"),
        ("output_config", json!({"format":{"type":"json_schema","schema":"{}"}}), "output_config.format.schema"),
        ("metadata", json!({"user_id":1}), "metadata.user_id"),
        ("service_tier", json!(1), "service_tier"),
        ("max_tokens", json!("5"), "max_tokens"),
    ] {
        assert_eq!(fault(field, value), wrong(path), "{path}");
    }
    let missing = |path: &str| Some((BodyFaultKind::Missing, path.to_owned()));
    assert_eq!(fault("messages", user(json!([{"text":"x"}]))), missing("messages[1].content[0].type"));
    assert_eq!(fault("messages", user(json!([{"type":"tool_result"}]))), missing("messages[1].content[0].tool_use_id"));
    assert_eq!(fault("tools", json!([{}])), missing("tools[0].name"));
    let odd = |path: &str| Some((BodyFaultKind::OutOfRange, path.to_owned()));
    assert_eq!(fault("messages", json!([{"role":"tool","content":"x"}])), odd("messages[0].role"));
    assert_eq!(fault("tool_choice", json!({"type":"some"})), odd("tool_choice.type"));
    assert_eq!(fault("thread", json!({"type":"create"})), Some((BodyFaultKind::Unsupported, "thread".to_owned())));
    for field in ["system", "temperature", "tools", "tool_choice", "thinking", "metadata", "stop_sequences", "thread"] {
        assert_eq!(fault(field, Value::Null), None, "{field}");
    }
    for own in ["provider", "models", "plugins", "route", "trace"] {
        let value = if own == "models" { json!(["a"]) } else { json!({"x": 1}) };
        let body = json!({"model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"}], own: value});
        assert_eq!(read(&body.to_string(), |request| request.extra.len()), Ok(0), "{own}");
    }
}

#[test]
fn a_request_is_read_in_canonical_words() {
    let body = r#"{"model":"m","max_tokens":100,"system":"be kind","stream":true,"temperature":0.50,"messages":[
        {"role":"user","content":[{"type":"text","text":"see","cache_control":{"type":"ephemeral","ttl":"1h"}},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}}]},
        {"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{"big":12345678901234567890.0}}]}],
        "tools":[{"name":"f","description":"d","input_schema":{"type":"object"},"type":"custom","cache_control":{"type":"ephemeral"}}],
        "tool_choice":{"type":"any","disable_parallel_tool_use":true},"thinking":{"type":"enabled","budget_tokens":2000},
        "output_config":{"effort":"low"},"metadata":{"user_id":"u"},"service_tier":"auto"}"#;
    read(body, |request| {
        assert_eq!((request.from, request.stream, request.turns.len()), ("anthropic", true, 3));
        assert_eq!(
            request.turns.iter().map(|turn| turn.role).collect::<Vec<_>>(),
            [Role::System, Role::User, Role::Assistant]
        );
        assert_eq!(request.turns[1].at, 0);
        let parts = &request.turns[1].parts;
        assert_eq!(parts[0].cache, Some(CacheMark::Hour));
        let PartBody::Media(Media { mime, source: Source::Inline(data), .. }) = &parts[1].body else { panic!() };
        assert_eq!((mime.as_deref(), &**data), (Some("image/png"), "QUJD"));
        // T11: numbers stay as they were written.
        let PartBody::ToolCall { arguments, .. } = &request.turns[2].parts[0].body else { panic!() };
        assert_eq!(arguments, r#"{"big":12345678901234567890.0}"#);
        assert_eq!(request.params.temperature, Some("0.50"));
        assert_eq!((&request.tool_choice, request.parallel_tools), (&Some(ToolChoice::Required), Some(false)));
        let ToolKind::Function { name, schema, .. } = &request.tools[0].kind else { panic!() };
        assert_eq!(
            (&**name, schema.as_deref(), request.tools[0].cache),
            ("f", Some(r#"{"type":"object"}"#), Some(CacheMark::Minutes))
        );
        let reasoning = request.params.reasoning.as_ref().unwrap();
        assert_eq!(
            (reasoning.enabled, reasoning.budget, reasoning.effort),
            (Some(true), Some(2_000), Some(Effort::Low))
        );
        assert_eq!(request.params.max_output, Some(100));
        assert!(request.extra.is_empty());
    })
    .unwrap();
}

#[test]
fn t15_the_users_id_is_a_cache_key_that_everybody_takes() {
    let long = "u".repeat(200);
    for (id, key) in [("short", Some("short".to_owned())), (&long, None)] {
        let body =
            json!({"model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"}],"metadata":{"user_id":id}});
        read(&body.to_string(), |request| {
            assert_eq!(request.params.user.as_deref(), Some(id));
            let told = request.params.prompt_cache_key.as_deref().unwrap();
            assert!(told.len() <= 64 && key.as_deref().is_none_or(|key| key == told));
        })
        .unwrap();
        assert_eq!(back(&body.to_string()).0["metadata"], body["metadata"]);
    }
}

#[test]
fn t17_tools_of_the_providers_own_stay_whole() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"web_search_20250305","name":"web_search"},{"name":"f","input_schema":{}},{"type":null,"name":"g"}]}"#;
    read(body, |request| {
        assert!(matches!(&request.tools[0].kind, ToolKind::Native { name, .. } if name == "web_search"));
        assert!(request.tools[1..].iter().all(|tool| matches!(tool.kind, ToolKind::Function { .. })));
    })
    .unwrap();
}

#[test]
fn t45_state_of_another_endpoint_is_taken_out_and_our_own_goes_back_exactly() {
    let (home, other) = (carry(), Carry::new(b"secret", "org", "lab", "other"));
    let body = json!({"model":"m","max_tokens":4000,"thinking":{"type":"enabled","budget_tokens":2000},"messages":[
        {"role":"user","content":"x"},
        {"role":"assistant","content":[
            {"type":"thinking","thinking":"one","signature":home.wrap("Sealed+/=")},
            {"type":"thinking","thinking":"two","signature":other.wrap("theirs")},
            {"type":"redacted_thinking","data":other.wrap("theirs")},
            {"type":"tool_use","id":other.wrap_id("call_1","theirs"),"name":"f","input":{}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":other.wrap_id("call_1","theirs"),"content":"r"}]}]});
    let (sent, losses) = back(&body.to_string());
    assert_eq!(losses.to_string(), "reasoning_signature");
    let content = &sent["messages"][1]["content"];
    assert_eq!(content[0], json!({"type":"thinking","thinking":"one","signature":"Sealed+/="}));
    assert_eq!(content[1], json!({"type":"tool_use","id":"call_1","name":"f","input":{}}));
    assert_eq!(sent["messages"][2]["content"][0]["tool_use_id"], "call_1");
    assert_eq!(sent["thinking"], json!({"type":"enabled","budget_tokens":2000}));
    let mut without = body;
    without["messages"][1]["content"][0]["signature"] = json!(other.wrap("x"));
    let (sent, losses) = back(&without.to_string());
    assert_eq!(sent.get("thinking"), None, "the last turn with tools has no thinking left");
    assert_eq!(losses.to_string(), "reasoning_signature, reasoning_switch");
    read(&without.to_string(), |request| {
        let signed = &request.turns[1].parts[0].signature;
        assert!(matches!(signed, Some(Signature::Foreign(_))), "{signed:?}");
    })
    .unwrap();
}
