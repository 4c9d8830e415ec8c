use serde_json::json;

use super::*;
use crate::model::ToolChoice;

#[test]
fn t17_tools_are_declared_and_those_of_other_providers_refused() {
    let mut asked = request(vec![user("Hi")]);
    let strict = |name: &'static str, strict| {
        let kind = ToolKind::Function { name: name.into(), description: None, schema: None, strict };
        Tool { kind, cache: None }
    };
    asked.tools = vec![tool("f"), strict("g", Some(true)), strict("h", Some(false))];
    let (body, losses) = encode(&asked, of(CLAUDE));
    let tools = &body["toolConfig"]["tools"];
    let schema = json!({"type": "object", "properties": {"x": {"type": "string"}}});
    assert_eq!(tools[0], json!({"toolSpec": {"name": "f", "description": "does", "inputSchema": {"json": schema}}}));
    assert_eq!((&tools[1]["toolSpec"]["strict"], &tools[2]["toolSpec"]["strict"]), (&json!(true), &Value::Null));
    assert!(body["toolConfig"].get("toolChoice").is_none() && losses.is_empty());
    assert_eq!(encode(&asked, of(NOVA)).1, "strict");
    asked.tools.push(Tool { kind: ToolKind::Native { at: 0, name: "web_search".into(), raw: "{}" }, cache: None });
    let fault = try_encode(&asked, of(CLAUDE)).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("tools[0]"));
}

#[test]
fn t18_names_that_bedrock_refuses_are_changed_before() {
    let takes = DIALECT.egress.unwrap().takes_name();
    assert!(takes("get_weather-2") && takes(&"x".repeat(64)));
    assert!(!takes("files.read") && !takes("") && !takes(&"x".repeat(65)));
}

#[test]
fn t19_a_choice_of_tools_is_kept_or_its_loss_is_named() {
    let chosen = |choice| {
        let mut asked = request(vec![user("Hi")]);
        asked.tools = vec![tool("f"), tool("g")];
        asked.tool_choice = Some(choice);
        asked
    };
    let among = |required| ToolChoice::Among { names: vec!["g".into()], required };
    for (choice, endpoint, said, declared, lost) in [
        (ToolChoice::Auto, of(CLAUDE), json!({"auto": {}}), 2, ""),
        (ToolChoice::Required, of(CLAUDE), json!({"any": {}}), 2, ""),
        (ToolChoice::Named("g".into()), of(CLAUDE), json!({"tool": {"name": "g"}}), 2, ""),
        (ToolChoice::Named("g".into()), of(QWEN), json!({"any": {}}), 1, ""),
        (ToolChoice::Required, of(LLAMA), json!({"auto": {}}), 2, "tool_choice"),
        (ToolChoice::Named("g".into()), with(CLAUDE, &["thinks-always"]), json!({"auto": {}}), 2, "tool_choice"),
        (among(false), of(CLAUDE), json!({"auto": {}}), 1, ""),
        (among(true), of(CLAUDE), json!({"tool": {"name": "g"}}), 1, ""),
        (ToolChoice::None, of(CLAUDE), Value::Null, 0, ""),
    ] {
        let (body, losses) = encode(&chosen(choice.clone()), endpoint);
        assert_eq!(body["toolConfig"]["toolChoice"], said, "{choice:?}");
        assert_eq!(body["toolConfig"]["tools"].as_array().map_or(0, Vec::len), declared, "{choice:?}");
        assert_eq!(losses, lost, "{choice:?}");
    }
    let fault = try_encode(&chosen(ToolChoice::Named("h".into())), of(QWEN)).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("tool_choice"));
    let mut without = chosen(ToolChoice::Required);
    without.tools.clear();
    let (body, losses) = encode(&without, of(CLAUDE));
    assert!(body.get("toolConfig").is_none() && losses.is_empty(), "a choice among nothing is none");
}

#[test]
fn t19_where_tools_were_called_some_are_declared_and_none_does_not_become_auto() {
    let mut asked = request(vec![
        user("Hi"),
        turn(Role::Assistant, vec![call("1", "f", "{}")]),
        turn(Role::User, vec![result("1", vec![Part::text("ok")], false)]),
    ]);
    let (body, losses) = encode(&asked, of(CLAUDE));
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["name"], "no_tool");
    assert!(body["toolConfig"].get("toolChoice").is_none() && losses.is_empty());
    asked.tools = vec![tool("f")];
    asked.tool_choice = Some(ToolChoice::None);
    let (body, losses) = encode(&asked, of(CLAUDE));
    assert_eq!(body["toolConfig"]["tools"].as_array().map(Vec::len), Some(1));
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["name"], "no_tool");
    assert_eq!(losses, "tool_choice");
}

#[test]
fn t19_one_call_at_a_time_is_said_where_the_model_knows_it() {
    let mut asked = request(vec![user("Hi")]);
    asked.parallel_tools = Some(false);
    assert_eq!(encode(&asked, of(CLAUDE)), encode(&request(vec![user("Hi")]), of(CLAUDE)));
    asked.tools = vec![tool("f")];
    let single =
        |asked: &Request<'_>| encode(asked, of(CLAUDE)).0["additionalModelRequestFields"]["tool_choice"].take();
    assert_eq!(single(&asked), json!({"type": "auto", "disable_parallel_tool_use": true}));
    asked.tool_choice = Some(ToolChoice::Named("f".into()));
    assert_eq!(single(&asked), json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true}));
    assert_eq!(encode(&asked, of(NOVA)).1, "parallel_tool_calls");
    asked.parallel_tools = Some(true);
    assert_eq!(single(&asked), Value::Null);
}

#[test]
fn t20_t21_results_are_merged_before_the_text_and_find_their_calls() {
    let turns = vec![
        user("Hi"),
        turn(Role::Assistant, vec![Part::text("a"), call("call|1", "f", "{\"x\":1.50}"), call("2", "f", "")]),
        turn(Role::User, vec![result("call|1", vec![Part::text("one"), Part::text("more")], false)]),
        turn(Role::User, vec![Part::text("and"), result("2", vec![], true)]),
        user("so?"),
    ];
    let (body, losses) = encode(&request(turns), of(CLAUDE));
    let calls = &body["messages"][1]["content"];
    assert_eq!(calls[1]["toolUse"]["toolUseId"], body["messages"][2]["content"][0]["toolResult"]["toolUseId"]);
    assert_eq!(calls[1]["toolUse"]["input"], json!({"x": 1.50}));
    assert_eq!(body["messages"][2]["content"][0]["toolResult"]["content"], json!([{"text": "one"}, {"text": "more"}]));
    assert_eq!(
        body["messages"][2]["content"][1],
        json!({"toolResult": {"toolUseId": "2", "content": [{"text": "Error"}], "status": "error"}})
    );
    let said = body["messages"][2]["content"].as_array().unwrap();
    assert_eq!(said[2..], [json!({"text": "and"}), json!({"text": "so?"})]);
    assert_eq!((body["messages"].as_array().map(Vec::len), losses.as_str()), (Some(3), ""));
}

#[test]
fn t21_a_failure_is_said_in_words_where_there_is_no_status_and_media_stand_beside() {
    let picture = inline(MediaKind::Image, "image/png");
    let turns = || {
        vec![
            user("Hi"),
            turn(Role::Assistant, vec![call("1", "f", "{}")]),
            turn(Role::User, vec![result("1", vec![Part::text("boom"), picture.clone()], true)]),
        ]
    };
    let shown = json!({"image": {"format": "png", "source": {"bytes": "AAAA"}}});
    let (body, losses) = encode(&request(turns()), of(NOVA));
    let content = json!({"toolUseId": "1", "content": [{"text": "boom"}, shown], "status": "error"});
    assert_eq!((&body["messages"][2]["content"], losses.as_str()), (&json!([{"toolResult": content}]), ""));
    let (body, losses) = encode(&request(turns()), of(QWEN));
    let content = json!({"toolUseId": "1", "content": [{"text": "Error:"}, {"text": "boom"}]});
    assert_eq!(body["messages"][2]["content"], json!([{"toolResult": content}, shown]));
    assert_eq!(losses, "tool_error, tool_media");
}

#[test]
fn t22_t23_arguments_that_are_no_object_are_kept_within_one() {
    for (arguments, input) in [
        ("", json!({})),
        (" ", json!({})),
        (r#"{"a":[1,{"b":1e3}]}"#, json!({"a": [1, {"b": 1e3}]})),
        (r#"{"a":"cut of"#, json!({"raw_arguments": "{\"a\":\"cut of"})),
        ("[1]", json!({"raw_arguments": "[1]"})),
        ("null", json!({"raw_arguments": "null"})),
        ("{} {}", json!({"raw_arguments": "{} {}"})),
    ] {
        let asked = request(vec![user("Hi"), turn(Role::Assistant, vec![call("1", "f", arguments)])]);
        assert_eq!(messages(&asked, of(CLAUDE))[1]["content"][0]["toolUse"]["input"], input, "{arguments}");
    }
}
