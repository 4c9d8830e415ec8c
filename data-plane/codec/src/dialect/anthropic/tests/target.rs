//! Requests of other dialects as this one gets them: the lines of the checklist that concern it.

use serde_json::{Value, json};

use super::*;
use crate::error::BodyFaultKind;
use crate::model::{
    CacheMark, Effort, Format, MediaKind, Params, Part, PartBody, Reasoning, Signature, Source, Thought, Tool,
    ToolChoice, ToolKind,
};

fn sent(request: &Request<'_>) -> (Value, String) {
    gets(&usual(), request)
}

fn gets(endpoint: &Endpoint, request: &Request<'_>) -> (Value, String) {
    let (value, losses) = endpoint.gets(request).unwrap();
    (value, losses.to_string())
}

fn refused(request: &Request<'_>) -> BodyFault {
    usual().gets(request).unwrap_err()
}

fn saying<'a>(turns: Vec<(Role, Vec<Part<'a>>)>) -> Request<'a> {
    let turns = turns.into_iter().enumerate().map(|(at, (role, parts))| turn(at, role, parts)).collect();
    Request { turns, ..foreign() }
}

fn function<'a>(name: &'a str, schema: Option<&'a str>) -> Tool<'a> {
    let kind = ToolKind::Function {
        name: name.into(),
        description: Some("d".into()),
        schema: schema.map(Into::into),
        strict: None,
    };
    Tool { kind, cache: None }
}

fn asking<'a>(params: Params<'a>) -> Request<'a> {
    Request { params, ..foreign() }
}

fn thought<'a>(text: &'a str, signature: Option<Signature<'a>>) -> Part<'a> {
    let body = PartBody::Thought(Thought { text: text.into(), ..Thought::default() });
    Part { body, cache: None, signature }
}

#[test]
fn t01_system_text_stands_before_the_messages_in_order_and_with_its_marks() {
    let mut marked = Part::text("two");
    marked.cache = Some(CacheMark::Hour);
    let mut request = saying(vec![
        (Role::System, vec![Part::text("one"), marked]),
        (Role::Developer, vec![Part::text("three")]),
        (Role::User, vec![Part::text("hi")]),
        (Role::Assistant, vec![Part::text("hello")]),
        (Role::System, vec![Part::text("four")]),
        (Role::User, vec![Part::text("bye")]),
    ]);
    let (body, losses) = sent(&request);
    assert_eq!(
        body["system"],
        json!([
        {"type":"text","text":"one"}, {"type":"text","text":"two","cache_control":{"type":"ephemeral","ttl":"1h"}},
        {"type":"text","text":"three"}, {"type":"text","text":"four"}])
    );
    assert_eq!(body["messages"].as_array().unwrap().len(), 3);
    assert_eq!(losses, "developer, system_place");
    // A model that takes it within the conversation gets it there, behind the user and before the answer only.
    request.turns.insert(3, turn(9, Role::System, vec![Part::text("now")]));
    let (body, losses) = gets(&with(&["system-turns"]), &request);
    let roles: Vec<_> = body["messages"].as_array().unwrap().iter().map(|message| message["role"].clone()).collect();
    assert_eq!(roles, ["user", "system", "assistant", "user"]);
    assert_eq!(body["system"].as_array().unwrap().len(), 4);
    assert_eq!(losses, "developer, system_place");
    assert_eq!(sent(&foreign()).0.get("system"), None);
}

#[test]
fn system_text_alone_is_said_by_the_user() {
    let (body, losses) = sent(&saying(vec![(Role::System, vec![Part::text("do it")])]));
    assert_eq!(body["messages"], json!([{"role":"user","content":[{"type":"text","text":"do it"}]}]));
    assert_eq!((body.get("system"), &*losses), (None, "system_place"));
}

#[test]
fn t02_t03_neighbours_of_one_side_are_one_message_with_all_their_texts_in_order() {
    let (body, losses) = sent(&saying(vec![
        (Role::User, vec![Part::text("a"), Part::text("b")]),
        (Role::User, vec![Part::text("c")]),
        (Role::Assistant, vec![Part::text("d")]),
        (Role::Assistant, vec![call("1", "f", "{}")]),
        (Role::User, vec![result("1", vec![Part::text("r")])]),
    ]));
    let texts = |at: usize| -> Vec<String> {
        body["messages"][at]["content"]
            .as_array()
            .unwrap()
            .iter()
            .map(|block| block["text"].as_str().unwrap_or("-").to_owned())
            .collect()
    };
    assert_eq!(
        (texts(0), texts(1), texts(2)),
        (vec!["a".into(), "b".into(), "c".into()], vec!["d".into(), "-".into()], vec!["-".into()])
    );
    assert_eq!(losses, "");
}

#[test]
fn t04_empty_texts_are_not_sent_and_a_call_may_stand_alone() {
    let (body, losses) = sent(&saying(vec![
        (Role::User, vec![Part::text("a")]),
        (Role::Assistant, vec![Part::text(""), call("1", "f", "")]),
        (Role::User, vec![result("1", vec![Part::text("")])]),
    ]));
    assert_eq!(body["messages"][1]["content"], json!([{"type":"tool_use","id":"1","name":"f","input":{}}]));
    assert_eq!(body["messages"][2]["content"], json!([{"type":"tool_result","tool_use_id":"1"}]));
    assert_eq!(losses, "");
    let (body, losses) = sent(&saying(vec![
        (Role::User, vec![Part::text("a")]),
        (Role::Assistant, vec![Part::text("")]),
        (Role::User, vec![Part::text(" \n"), Part::text("b")]),
    ]));
    assert_eq!(
        body["messages"],
        json!([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}])
    );
    assert_eq!(losses, "empty_part");
    let fault = refused(&saying(vec![(Role::User, vec![Part::text("")])]));
    assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::OutOfRange, Some("messages")));
}

#[test]
fn t05_max_tokens_is_the_gateways_else_the_clients_else_the_catalogues() {
    let limit = |token_limit, client, max_output| {
        let endpoint = Endpoint { token_limit, max_output, ..Endpoint::default() };
        gets(&endpoint, &asking(Params { max_output: client, ..Params::default() })).0["max_tokens"].as_u64().unwrap()
    };
    assert_eq!(limit(Some(5), Some(10), Some(20)), 5);
    assert_eq!(limit(None, Some(10), Some(20)), 10);
    assert_eq!(limit(None, None, Some(20)), 20);
    assert_eq!(limit(None, None, None), 4_096);
}

#[test]
fn t06_sampling_is_brought_to_what_the_model_takes() {
    let sampling = |temperature, top_p, top_k, quirks: &'static [&'static str]| {
        let request = asking(Params { temperature, top_p, top_k, ..Params::default() });
        let (body, losses) = gets(&with(quirks), &request);
        (body.get("temperature").cloned(), body.get("top_p").cloned(), body.get("top_k").cloned(), losses)
    };
    assert_eq!(sampling(Some("0.70"), None, Some("5"), &[]), (Some(json!(0.7)), None, Some(json!(5)), String::new()));
    assert_eq!(sampling(Some("1.7"), None, None, &[]), (Some(json!(1)), None, None, "temperature_range".into()));
    assert_eq!(sampling(Some("0.5"), Some("0.9"), None, &[]), (Some(json!(0.5)), None, None, "top_p".into()));
    assert_eq!(sampling(None, Some("0.9"), None, &[]), (None, Some(json!(0.9)), None, String::new()));
    assert_eq!(
        sampling(Some("1"), Some("1"), Some("1"), &["no-sampling"]),
        (None, None, None, "temperature, top_p, top_k".into())
    );
}

#[test]
fn t06_t13_thinking_leaves_no_room_for_sampling() {
    let reasoning = Some(Reasoning { effort: Some(Effort::Low), ..Reasoning::default() });
    let params = |temperature, top_p, top_k| Params {
        temperature,
        top_p,
        top_k,
        reasoning: reasoning.clone(),
        max_output: Some(9_000),
        ..Params::default()
    };
    let (body, losses) = sent(&asking(params(Some("0.2"), Some("0.5"), Some("4"))));
    assert!(["temperature", "top_p", "top_k"].iter().all(|name| body.get(name).is_none()));
    assert_eq!(losses, "temperature, top_p, top_k");
    let (body, losses) = sent(&asking(params(Some("1.0"), None, None)));
    assert_eq!((&body["temperature"], &*losses), (&json!(1.0), ""));
    assert_eq!(sent(&asking(params(None, Some("0.97"), None))).0["top_p"], json!(0.97));
}

#[test]
fn t07_blank_stop_sequences_are_left_out() {
    let stop = |stop: Vec<std::borrow::Cow<'static, str>>| sent(&asking(Params { stop, ..Params::default() }));
    let (body, losses) = stop(vec!["END".into(), "\n\n".into()]);
    assert_eq!((&body["stop_sequences"], &*losses), (&json!(["END"]), "stop_blank"));
    assert_eq!(stop(vec![" ".into()]).0.get("stop_sequences"), None);
}

#[test]
fn t08_what_cannot_be_said_is_named_and_several_answers_are_refused() {
    let fault = refused(&asking(Params { choices: Some(2), ..Params::default() }));
    assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::Unsupported, Some("n")));
    let (_, losses) = sent(&asking(Params {
        choices: Some(1),
        seed: Some("7"),
        logprobs: Some(true),
        logit_bias: Some(r#"{"1":2}"#),
        frequency_penalty: Some("0.5"),
        presence_penalty: Some("0.1"),
        repetition_penalty: Some("1.1"),
        min_p: Some("0.1"),
        top_a: Some("0.1"),
        verbosity: Some("low".into()),
        modalities: vec!["text".into(), "audio".into()],
        metadata: Some(r#"{"a":"b"}"#),
        ..Params::default()
    }));
    assert_eq!(
        losses,
        "min_p, top_a, frequency_penalty, presence_penalty, repetition_penalty, seed, logprobs, logit_bias, verbosity, metadata, modalities"
    );
    let (_, losses) = sent(&asking(Params {
        frequency_penalty: Some("0.0"),
        presence_penalty: Some("0"),
        repetition_penalty: Some("1"),
        logprobs: Some(false),
        logit_bias: Some("{}"),
        modalities: vec!["text".into()],
        ..Params::default()
    }));
    assert_eq!(losses, "", "what changes nothing is not lost");
}

const SCHEMA: &str =
    r#"{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":false}"#;

fn shaped<'a>(format: Format<'a>) -> Request<'a> {
    asking(Params { format: Some(format), ..Params::default() })
}

fn schema() -> Format<'static> {
    Format::Schema { name: Some("n".into()), description: None, schema: SCHEMA.into(), strict: Some(true) }
}

#[test]
fn t09_a_schema_is_said_natively_or_as_a_forced_tool_and_json_mode_in_words() {
    let wanted: Value = serde_json::from_str(SCHEMA).unwrap();
    let (body, losses) = sent(&shaped(schema()));
    assert_eq!(body["output_config"], json!({"format":{"type":"json_schema","schema":wanted}}));
    assert_eq!(losses, "");
    let (body, losses) = gets(&with(&["forced-tool"]), &shaped(schema()));
    assert_eq!((&body["tools"][0]["name"], &body["tools"][0]["input_schema"]), (&json!("tollgate_answer"), &wanted));
    assert_eq!(body["tool_choice"], json!({"type":"tool","name":"tollgate_answer","disable_parallel_tool_use":true}));
    assert_eq!((body.get("output_config"), &*losses), (None, "json_schema"));
    let (body, losses) = sent(&shaped(Format::Json));
    assert!(body["system"][0]["text"].as_str().unwrap().contains("JSON"));
    assert_eq!(losses, "json_mode");
    let (body, losses) = gets(&with(&["forced-tool"]), &shaped(Format::Json));
    assert_eq!((&body["tools"][0]["input_schema"], &*losses), (&json!({"type":"object"}), ""));
    let list = Format::Schema { name: None, description: None, schema: r#"{"type":"array"}"#.into(), strict: None };
    let (body, losses) = gets(&with(&["forced-tool"]), &shaped(list));
    assert!(body["system"][0]["text"].as_str().unwrap().ends_with(r#"{"type":"array"}"#));
    assert_eq!((body.get("tools"), &*losses), (None, "json_schema"));
    assert_eq!(sent(&shaped(Format::Text)).0.get("output_config"), None);
}

#[test]
fn t09_the_forced_tool_stands_beside_the_clients_own() {
    let mut request = shaped(schema());
    request.tools = vec![function("f", None)];
    let (body, _) = gets(&with(&["forced-tool"]), &request);
    assert_eq!((body["tools"].as_array().unwrap().len(), &body["tool_choice"]), (2, &json!({"type":"any"})));
    request.tool_choice = Some(ToolChoice::None);
    assert_eq!(gets(&with(&["forced-tool"]), &request).0["tool_choice"]["name"], "tollgate_answer");
    request.tool_choice = Some(ToolChoice::Named("f".into()));
    let (body, losses) = gets(&with(&["forced-tool"]), &request);
    assert_eq!((body["tools"].as_array().unwrap().len(), &body["tool_choice"]["name"], &*losses), (1, &json!("f"), ""));
}

#[test]
fn t09_a_schema_is_brought_to_what_is_enforced_and_an_open_one_is_asked_of_a_tool() {
    let of =
        |schema: &'static str| Format::Schema { name: None, description: None, schema: schema.into(), strict: None };
    let limited = r#"{"type":"object","properties":{"a":{"type":"integer","minimum":3}},"required":["a"]}"#;
    let (body, losses) = sent(&shaped(of(limited)));
    let schema = &body["output_config"]["format"]["schema"];
    assert_eq!((&schema["additionalProperties"], schema["properties"]["a"].get("minimum")), (&json!(false), None));
    assert_eq!(losses, "json_schema_keywords");
    let open = r#"{"type":"object","additionalProperties":{"type":"string"}}"#;
    let endless = r##"{"$ref":"#/$defs/a","$defs":{"a":{"type":"object","properties":{"b":{"$ref":"#/$defs/a"}}}}}"##;
    for schema in [open, endless] {
        let (body, losses) = sent(&shaped(of(schema)));
        assert_eq!(
            (&body["tool_choice"]["name"], body.get("output_config"), &*losses),
            (&json!("tollgate_answer"), None, "json_schema"),
            "{schema}"
        );
        assert_eq!(gets(&with(&["thinks-always"]), &shaped(of(schema))).1, "json_schema");
    }
    let broken = r#"{"type":7}"#;
    assert_eq!(
        sent(&shaped(of(broken))).0["output_config"]["format"]["schema"],
        json!({"type":7}),
        "the provider says what is wrong with it"
    );
}

#[test]
fn t10_schemas_of_tools_go_as_they_are_and_say_that_they_are_objects() {
    let odd = r##"{"$defs":{"x":{"$ref":"#/$defs/x"}},"type":"object","properties":{"$ref":{"const":"#/a"}}}"##;
    let mut request = foreign();
    request.tools = vec![
        function("a", Some(odd)),
        function("b", None),
        function("c", Some("{}")),
        function("d", Some(r#" {"properties":{}}"#)),
    ];
    let (body, losses) = sent(&request);
    let schema = |at: usize| body["tools"][at]["input_schema"].clone();
    assert_eq!(schema(0), serde_json::from_str::<Value>(odd).unwrap());
    assert_eq!(
        (schema(1), schema(2), schema(3)),
        (json!({"type":"object","properties":{}}), json!({"type":"object"}), json!({"type":"object","properties":{}}))
    );
    assert_eq!(losses, "");
}

fn thinking(reasoning: Reasoning<'static>, max_output: u64, quirks: &'static [&'static str]) -> (Value, Value, String) {
    let request = asking(Params { reasoning: Some(reasoning), max_output: Some(max_output), ..Params::default() });
    let (body, losses) = gets(&with(quirks), &request);
    let field = |name: &str| body.get(name).cloned().unwrap_or_default();
    (field("thinking"), field("output_config"), losses)
}

#[test]
fn t13_efforts_become_budgets_within_the_limits() {
    let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };
    let enabled = |tokens: u64| json!({"type":"enabled","budget_tokens":tokens});
    for (asked, limit, budget) in [
        (Effort::High, 10_000, 8_000),
        (Effort::Minimal, 10_000, 1_024),
        (Effort::Max, 1_025, 1_024),
        (Effort::Max, 1_000_000, 128_000),
    ] {
        assert_eq!(thinking(effort(asked), limit, &[]), (enabled(budget), Value::Null, String::new()), "{asked:?}");
    }
    let budget = |tokens| Reasoning { budget: Some(tokens), ..Reasoning::default() };
    assert_eq!(thinking(budget(2_000), 5_000, &[]), (enabled(2_000), Value::Null, String::new()));
    assert_eq!(thinking(budget(10), 5_000, &[]), (enabled(1_024), Value::Null, "reasoning_budget".into()));
    assert_eq!(thinking(budget(9_000), 5_000, &[]), (enabled(4_999), Value::Null, "reasoning_budget".into()));
    assert_eq!(thinking(effort(Effort::High), 1_024, &[]), (Value::Null, Value::Null, "reasoning_budget".into()));
    let off = (json!({"type":"disabled"}), Value::Null, String::new());
    assert_eq!(thinking(effort(Effort::None), 5_000, &[]), off);
    assert_eq!(thinking(Reasoning { enabled: Some(false), ..Reasoning::default() }, 5_000, &[]), off);
    let on = Reasoning { enabled: Some(true), shown: Some(false), ..Reasoning::default() };
    assert_eq!(thinking(on, 4_000, &[]).0, json!({"type":"enabled","budget_tokens":2_000,"display":"omitted"}));
}

#[test]
fn t13_models_that_think_by_themselves_get_an_effort() {
    let adaptive = json!({"type":"adaptive"});
    let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };
    let quirk: &[&str] = &["adaptive-thinking"];
    assert_eq!(
        thinking(effort(Effort::XHigh), 9_000, quirk),
        (adaptive.clone(), json!({"effort":"xhigh"}), String::new())
    );
    assert_eq!(
        thinking(effort(Effort::Minimal), 9_000, quirk),
        (adaptive.clone(), json!({"effort":"low"}), "reasoning_effort".into())
    );
    let budget = Reasoning { budget: Some(7_200), ..Reasoning::default() };
    assert_eq!(thinking(budget, 9_000, quirk), (adaptive.clone(), json!({"effort":"high"}), "reasoning_budget".into()));
    assert_eq!(thinking(effort(Effort::None), 9_000, quirk).0, json!({"type":"disabled"}));
    assert_eq!(
        thinking(effort(Effort::None), 9_000, &["thinks-always"]),
        (Value::Null, Value::Null, "reasoning_switch".into())
    );
    let summed = Reasoning { summary: Some("detailed".into()), enabled: Some(true), ..Reasoning::default() };
    assert_eq!(
        thinking(summed, 9_000, quirk),
        (json!({"type":"adaptive","display":"summarized"}), Value::Null, "reasoning_summary".into())
    );
}

#[test]
fn t13_a_forced_tool_wins_over_a_budget_of_thinking() {
    let mut request = asking(Params {
        reasoning: Some(Reasoning { effort: Some(Effort::High), ..Reasoning::default() }),
        max_output: Some(9_000),
        ..Params::default()
    });
    request.tools = vec![function("f", None)];
    for choice in [ToolChoice::Required, ToolChoice::Named("f".into())] {
        request.tool_choice = Some(choice);
        let (body, losses) = sent(&request);
        assert_eq!((body.get("thinking"), &*losses), (None, "reasoning_switch"));
        assert_ne!(body["tool_choice"]["type"], "auto");
        let (body, losses) = gets(&with(&["adaptive-thinking"]), &request);
        assert_eq!((&body["thinking"]["type"], &*losses), (&json!("adaptive"), ""));
        let (body, losses) = gets(&with(&["thinks-always"]), &request);
        assert_eq!(
            (&body["thinking"]["type"], &body["tool_choice"]["type"], &*losses),
            (&json!("adaptive"), &json!("auto"), "tool_choice")
        );
    }
    request.tool_choice = Some(ToolChoice::Auto);
    assert_eq!(sent(&request).0["thinking"]["budget_tokens"], 7_200);
}

#[test]
fn t13_a_conversation_with_tools_goes_on_without_thinking_where_the_thoughts_are_missing() {
    let talk = |first: Option<Part<'static>>| {
        let mut said = first.into_iter().collect::<Vec<_>>();
        said.push(call("1", "f", "{}"));
        let mut request = saying(vec![
            (Role::User, vec![Part::text("x")]),
            (Role::Assistant, said),
            (Role::User, vec![result("1", vec![])]),
        ]);
        request.params = Params {
            reasoning: Some(Reasoning { effort: Some(Effort::High), ..Reasoning::default() }),
            max_output: Some(9_000),
            ..Params::default()
        };
        let (body, losses) = sent(&request);
        (body.get("thinking").is_some(), losses)
    };
    assert_eq!(talk(Some(thought("hm", Some(Signature::Own("s".into()))))), (true, String::new()));
    assert_eq!(talk(None), (false, "reasoning_switch".into()));
    assert_eq!(talk(Some(thought("hm", None))), (false, "reasoning, reasoning_switch".into()));
    let theirs = Some(thought("hm", Some(Signature::Foreign("s".into()))));
    assert_eq!(talk(theirs), (false, "reasoning_signature, reasoning_switch".into()));
}

#[test]
fn t15_marks_for_the_cache_stay_on_texts_tools_and_results() {
    let marked = |mut part: Part<'static>, mark| {
        part.cache = Some(mark);
        part
    };
    let mut request = saying(vec![
        (Role::User, vec![marked(Part::text("a"), CacheMark::Minutes)]),
        (Role::Assistant, vec![marked(call("1", "f", "{}"), CacheMark::Minutes)]),
        (Role::User, vec![marked(result("1", vec![marked(Part::text("r"), CacheMark::Hour)]), CacheMark::Hour)]),
    ]);
    request.tools = vec![Tool { cache: Some(CacheMark::Hour), ..function("f", None) }];
    let (body, losses) = sent(&request);
    let (short, long) = (json!({"type":"ephemeral"}), json!({"type":"ephemeral","ttl":"1h"}));
    let block = |at: usize| &body["messages"][at]["content"][0];
    assert_eq!(
        (&block(0)["cache_control"], &block(1)["cache_control"], &block(2)["cache_control"]),
        (&short, &short, &long)
    );
    assert_eq!(
        (&block(2)["content"][0]["cache_control"], &body["tools"][0]["cache_control"], &*losses),
        (&long, &long, "")
    );
}

#[test]
fn t15_the_user_or_the_cache_key_names_the_user() {
    let named = |user: Option<&'static str>, key: Option<&'static str>| {
        let params = Params { user: user.map(Into::into), prompt_cache_key: key.map(Into::into), ..Params::default() };
        let (body, losses) = sent(&asking(params));
        (body["metadata"]["user_id"].as_str().map(str::to_owned), losses)
    };
    assert_eq!(named(Some("u"), None), (Some("u".into()), String::new()));
    assert_eq!(named(None, Some("k")), (Some("k".into()), String::new()));
    assert_eq!(named(Some("u"), Some("k")), (Some("u".into()), "prompt_cache_key".into()));
    assert_eq!(named(None, None), (None, String::new()));
}

#[test]
fn t17_definitions_have_their_own_shape_and_other_providers_tools_are_refused() {
    let mut request = foreign();
    request.tools = vec![Tool {
        kind: ToolKind::Function {
            name: "f".into(),
            description: None,
            schema: Some(SCHEMA.into()),
            strict: Some(true),
        },
        cache: None,
    }];
    let (body, losses) = sent(&request);
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!((&body["tools"], &*losses), (&json!([{"name":"f","input_schema":schema,"strict":true}]), ""));
    let (body, losses) = gets(&with(&["forced-tool"]), &request);
    assert_eq!((body["tools"][0].get("strict"), &*losses), (None, "strict"));
    let limited = r#"{"type":"object","properties":{"a":{"type":"string","minLength":3}},"required":["a"]}"#;
    if let ToolKind::Function { schema, .. } = &mut request.tools[0].kind {
        *schema = Some(limited.into());
    }
    let (body, losses) = sent(&request);
    let limited: Value = serde_json::from_str(limited).unwrap();
    assert_eq!((&body["tools"], &*losses), (&json!([{"name":"f","input_schema":limited}]), "strict"));
    request.tools.push(Tool {
        kind: ToolKind::Native { at: 0, name: "web_search".into(), raw: r#"{"type":"web_search"}"# },
        cache: None,
    });
    let fault = refused(&request);
    assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::Unsupported, Some("tools[0]")));
    assert!(!fault.message.contains("web_search"));
}

#[test]
fn t18_names_are_changed_only_where_anthropic_refuses_them() {
    let takes = Egress.takes_name();
    assert!(takes("get_weather-2") && takes(&"x".repeat(64)));
    assert!(!takes("a.b") && !takes("") && !takes(&"x".repeat(65)) && !takes("ö"));
}

#[test]
fn t19_choices_keep_their_meaning() {
    let choice = |choice: Option<ToolChoice<'static>>, parallel: Option<bool>, tools: usize| {
        let mut request = foreign();
        request.tools = ["f", "g"].into_iter().take(tools).map(|name| function(name, None)).collect();
        request.tool_choice = choice;
        request.parallel_tools = parallel;
        let (body, losses) = sent(&request);
        assert_eq!(losses, "");
        (body.get("tool_choice").cloned(), body["tools"].as_array().map_or(0, Vec::len))
    };
    assert_eq!(choice(None, None, 2), (None, 2));
    assert_eq!(choice(Some(ToolChoice::Auto), None, 2), (Some(json!({"type":"auto"})), 2));
    assert_eq!(choice(Some(ToolChoice::None), Some(false), 2), (Some(json!({"type":"none"})), 2));
    assert_eq!(choice(Some(ToolChoice::Required), None, 2), (Some(json!({"type":"any"})), 2));
    assert_eq!(choice(Some(ToolChoice::Named("g".into())), None, 2), (Some(json!({"type":"tool","name":"g"})), 2));
    assert_eq!(choice(Some(ToolChoice::Required), None, 0), (None, 0), "a choice without tools says nothing");
    assert_eq!(choice(None, Some(false), 2), (Some(json!({"type":"auto","disable_parallel_tool_use":true})), 2));
    assert_eq!(
        choice(Some(ToolChoice::Required), Some(false), 2),
        (Some(json!({"type":"any","disable_parallel_tool_use":true})), 2)
    );
    assert_eq!(choice(None, Some(false), 0), (None, 0));
    let among = |required| Some(ToolChoice::Among { names: vec!["g".into()], required });
    assert_eq!(choice(among(true), None, 2), (Some(json!({"type":"tool","name":"g"})), 1));
    assert_eq!(choice(among(false), None, 2), (Some(json!({"type":"auto"})), 1));
}

#[test]
fn t20_t21_results_stand_first_in_one_message_under_the_ids_of_their_calls() {
    let mut failed = result("call.2", vec![Part::text("no")]);
    if let PartBody::ToolResult { is_error, .. } = &mut failed.body {
        *is_error = true;
    }
    let (body, losses) = sent(&saying(vec![
        (Role::User, vec![Part::text("x")]),
        (Role::Assistant, vec![call("call_1", "f", r#"{"a":1}"#), call("call.2", "f", "{}")]),
        (Role::User, vec![Part::text("and"), result("call_1", vec![Part::text("a"), Part::text("b")])]),
        (Role::User, vec![failed]),
    ]));
    let messages = body["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 3);
    let (calls, results) = (&messages[1]["content"], &messages[2]["content"]);
    assert_eq!((&calls[0]["id"], &results[0]["tool_use_id"]), (&json!("call_1"), &json!("call_1")));
    assert_eq!(calls[1]["id"], results[1]["tool_use_id"]);
    assert!(calls[1]["id"].as_str().unwrap().starts_with("call_2_"));
    assert_eq!(results[0]["content"], json!([{"type":"text","text":"a"},{"type":"text","text":"b"}]));
    assert_eq!((&results[1]["is_error"], &results[2]), (&json!(true), &json!({"type":"text","text":"and"})));
    assert_eq!(losses, "");
}

#[test]
fn t22_t23_arguments_are_an_object_whatever_the_model_wrote() {
    for (arguments, input) in [
        ("", json!({})),
        ("  ", json!({})),
        (r#"{"a":[1]}"#, json!({"a":[1]})),
        (r#"{"a":"#, json!({"raw_arguments":r#"{"a":"#})),
        ("[1]", json!({"raw_arguments":"[1]"})),
        ("{\"a\":\"\n\"}", json!({"raw_arguments":"{\"a\":\"\n\"}"})),
    ] {
        let request =
            saying(vec![(Role::User, vec![Part::text("x")]), (Role::Assistant, vec![call("1", "f", arguments)])]);
        assert_eq!(sent(&request).0["messages"][1]["content"][0]["input"], input, "{arguments}");
    }
}

#[test]
fn t25_t26_images_and_documents_are_blocks_of_their_kind() {
    let block = |part: Part<'static>| {
        let (body, losses) = sent(&saying(vec![(Role::User, vec![part])]));
        assert_eq!(losses, "");
        (
            body["messages"][0]["content"][0]["type"].as_str().unwrap().to_owned(),
            body["messages"][0]["content"][0]["source"].clone(),
        )
    };
    let inline = |data: &'static str| Source::Inline(data.into());
    let base64 = |mime: &str, data: &str| json!({"type":"base64","media_type":mime,"data":data});
    let is = |sort: &str, source: Value| (sort.to_owned(), source);
    assert_eq!(
        block(Part::media(MediaKind::Image, Some("image/png"), inline("QUJD"))),
        is("image", base64("image/png", "QUJD"))
    );
    assert_eq!(
        block(Part::media(MediaKind::Image, Some("image/jpg"), inline("QUJD"))),
        is("image", base64("image/jpeg", "QUJD"))
    );
    assert_eq!(
        block(Part::media(MediaKind::Image, None, inline("/9j/AAAA"))),
        is("image", base64("image/jpeg", "/9j/AAAA"))
    );
    assert_eq!(
        block(Part::media(MediaKind::Image, Some("application/pdf"), inline("JVBERi0="))),
        is("document", base64("application/pdf", "JVBERi0="))
    );
    assert_eq!(
        block(Part::media(MediaKind::File, None, inline("JVBERi0="))),
        is("document", base64("application/pdf", "JVBERi0="))
    );
    assert_eq!(
        block(Part::media(MediaKind::File, Some("image/webp"), inline("UklG"))),
        is("image", base64("image/webp", "UklG"))
    );
    assert_eq!(
        block(Part::media(MediaKind::File, Some("text/plain; charset=utf-8"), inline("aMOk"))),
        is("document", json!({"type":"text","media_type":"text/plain","data":"hä"}))
    );
    let url = |address: &'static str| Source::Url(address.into());
    assert_eq!(
        block(Part::media(MediaKind::Image, None, url("https://x/a.png"))),
        is("image", json!({"type":"url","url":"https://x/a.png"}))
    );
    assert_eq!(block(Part::media(MediaKind::Image, None, url("https://x/a.PDF?b"))).0, "document");
    assert_eq!(block(Part::media(MediaKind::File, None, url("https://x/a"))).0, "document");
    let shown = result("1", vec![Part::media(MediaKind::Image, Some("image/png"), inline("QUJD"))]);
    let (body, _) = sent(&saying(vec![(Role::User, vec![shown])]));
    assert_eq!(body["messages"][0]["content"][0]["content"][0]["type"], "image");
}

#[test]
fn t27_what_anthropic_cannot_carry_is_refused_and_never_vanishes() {
    let inline = || Source::Inline("QUJD".into());
    for part in [
        Part::media(MediaKind::Audio, Some("audio/wav"), inline()),
        Part::media(MediaKind::Video, None, Source::Url("https://x".into())),
        Part::media(MediaKind::File, Some("application/msword"), inline()),
        Part::media(MediaKind::File, None, inline()),
        Part::media(MediaKind::File, Some("text/plain"), Source::Inline("/w==".into())),
        Part::media(MediaKind::File, None, Source::FileId("file-1".into())),
    ] {
        let fault = refused(&saying(vec![(Role::User, vec![Part::text("x"), part.clone()])]));
        assert_eq!(fault.kind, BodyFaultKind::Unsupported);
        assert_eq!(fault.param.as_deref(), Some("messages[0].content[1]"));
        assert!(fault.message.starts_with("`messages[0].content[1]` cannot be sent: "), "{}", fault.message);
        assert!(usual().gets(&saying(vec![(Role::User, vec![result("1", vec![part])])])).is_err());
    }
    let spoken = Part::media(MediaKind::Image, Some("image/png"), inline());
    assert!(usual().gets(&saying(vec![(Role::User, vec![Part::text("x")]), (Role::Assistant, vec![spoken])])).is_err());
}

#[test]
fn t42_thoughts_go_back_exactly_and_in_order() {
    let own = |value: &'static str| Some(Signature::Own(value.into()));
    let mut sealed = thought("", own("data"));
    sealed.body = PartBody::Thought(Thought { is_redacted: true, ..Thought::default() });
    let said = vec![thought("", own("Sig+/=")), sealed, thought("second", own("s2")), Part::text("x")];
    let (body, losses) = sent(&saying(vec![(Role::User, vec![Part::text("x")]), (Role::Assistant, said)]));
    assert_eq!(
        body["messages"][1]["content"],
        json!([
        {"type":"thinking","thinking":"","signature":"Sig+/="}, {"type":"redacted_thinking","data":"data"},
        {"type":"thinking","thinking":"second","signature":"s2"}, {"type":"text","text":"x"}])
    );
    assert_eq!(losses, "");
}

#[test]
fn t45_no_other_endpoints_state_is_sent() {
    let foreign_state = || Some(Signature::Foreign("theirs".into()));
    let mut signed = call("1", "f", "{}");
    signed.signature = foreign_state();
    let (body, losses) = sent(&saying(vec![
        (Role::User, vec![Part::text("x")]),
        (Role::Assistant, vec![thought("t", foreign_state()), signed]),
    ]));
    assert!(!body.to_string().contains("theirs"));
    assert_eq!(losses, "reasoning_signature");
}

#[test]
fn clouds_have_the_model_in_the_path_and_the_version_in_the_body() {
    let mut request = foreign();
    request.stream = true;
    let (vertex, _) = gets(&with(&["vertex"]), &request);
    assert_eq!(
        (vertex.get("model"), &vertex["anthropic_version"], &vertex["stream"]),
        (None, &json!("vertex-2023-10-16"), &json!(true))
    );
    let (bedrock, _) = gets(&with(&["bedrock-invoke"]), &request);
    assert_eq!(
        (bedrock.get("model"), &bedrock["anthropic_version"], bedrock.get("stream")),
        (None, &json!("bedrock-2023-05-31"), None)
    );
    let (usual, _) = sent(&request);
    assert_eq!(
        (&usual["model"], &usual["stream"], usual.get("anthropic_version")),
        (&json!("claude"), &json!(true), None)
    );
    for (quirk, stream, route) in [
        (&[][..], true, "/messages"),
        (&["vertex"], false, "/models/{model}:rawPredict"),
        (&["vertex"], true, "/models/{model}:streamRawPredict"),
        (&["bedrock-invoke"], false, "/model/{model}/invoke"),
        (&["bedrock-invoke"], true, "/model/{model}/invoke-with-response-stream"),
    ] {
        let quirks = DIALECT.parse_quirks(quirk).unwrap();
        assert_eq!(DIALECT.route(&crate::Routed { upstream_model: "m", stream, quirks, ..Default::default() }), route);
    }
}
