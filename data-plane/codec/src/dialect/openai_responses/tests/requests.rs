//! The checklist's lines about requests, by their numbers: as clients of this dialect write them, and as its providers get
//! them from others.

use super::*;
use crate::error::BodyFaultKind;
use crate::loss::Loss;
use crate::model::{
    CacheMark, Effort, Format, MediaKind, Params, Part, PartBody, Reasoning, Role, Signature, Source, Thought, Tool,
    ToolChoice, ToolKind, Turn,
};

fn turn<'a>(role: Role, parts: Vec<Part<'a>>) -> Turn<'a> {
    Turn { at: 0, role, parts, name: None }
}

fn user(text: &'static str) -> Turn<'static> {
    turn(Role::User, vec![Part::text(text)])
}

fn said(turns: Vec<Turn<'_>>) -> Request<'_> {
    Request { turns, ..Request::default() }
}

fn function(name: &'static str, strict: Option<bool>) -> Tool<'static> {
    let kind = ToolKind::Function { name: name.into(), description: None, schema: None, strict };
    Tool { kind, cache: None }
}

fn refused(request: Request<'_>) -> BodyFault {
    let carry = carry();
    encoded(&Request { from: "another", ..request }, &request_edits(&carry)).expect_err("a fault")
}

#[test]
fn t01_system_text_keeps_its_place_and_its_blocks() {
    let (sent, _) = foreign(said(vec![turn(Role::System, vec![Part::text("one")]), user("hi")]));
    assert_eq!(sent["instructions"], "one");
    let blocks = vec![Part::text("one"), Part::text("two")];
    let (sent, _) =
        foreign(said(vec![turn(Role::System, blocks), turn(Role::Developer, vec![Part::text("d")]), user("hi")]));
    assert_eq!(sent.get("instructions"), None);
    let part = |text: &str| json!({"type": "input_text", "text": text});
    assert_eq!(sent["input"][0], json!({"type": "message", "role": "system", "content": [part("one"), part("two")]}));
    assert_eq!(sent["input"][1], json!({"type": "message", "role": "developer", "content": [part("d")]}));
    decoded(&asked(json!({"instructions": "i"})).to_string(), |request| {
        let request = request.unwrap();
        assert_eq!(request.turns.iter().map(|turn| turn.role).collect::<Vec<_>>(), [Role::System, Role::User]);
    });
    for nothing in [json!(null), json!("")] {
        decoded(&asked(json!({"instructions": nothing})).to_string(), |request| {
            assert_eq!(request.unwrap().turns.len(), 1);
        });
    }
}

#[test]
fn t02_neighbours_of_the_same_role_stay_apart_and_in_order() {
    let (sent, losses) = foreign(said(vec![user("a"), user("b"), turn(Role::Assistant, vec![Part::text("c")])]));
    let texts: Vec<_> = sent["input"].as_array().unwrap().iter().map(|item| &item["content"][0]["text"]).collect();
    assert_eq!(texts, ["a", "b", "c"]);
    assert_eq!(sent["input"][2]["content"][0]["type"], "output_text");
    assert!(losses.is_empty());
}

#[test]
fn t03_several_texts_survive_in_order() {
    let content = json!([{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]);
    let (sent, _) = round(json!({"model": "m", "input": [{"role": "user", "content": content}]}));
    assert_eq!(sent["input"][0]["content"], content);
}

#[test]
fn t04_a_turn_of_calls_only_has_no_empty_message() {
    let call = PartBody::ToolCall { id: "c1".into(), name: "f".into(), arguments: "".into() };
    let (sent, _) = foreign(said(vec![user("a"), turn(Role::Assistant, vec![Part::text(""), Part::new(call)])]));
    assert_eq!(sent["input"][1], json!({"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}));
    assert_eq!(sent["input"].as_array().unwrap().len(), 2);
}

#[test]
fn t05_a_limit_is_said_and_never_below_the_least_unless_the_gateway_sets_it() {
    let limited = |max_output| Request { params: Params { max_output, ..Params::default() }, ..said(vec![user("a")]) };
    assert_eq!(foreign(limited(None)).0.get("max_output_tokens"), None);
    assert_eq!(foreign(limited(Some(500))).0["max_output_tokens"], 500);
    let (sent, losses) = foreign(limited(Some(5)));
    assert_eq!((&sent["max_output_tokens"], losses.to_string()), (&json!(16), "token_limit".to_owned()));
    let carry = carry();
    let edits = RequestEdits { token_limit: Some(9), ..request_edits(&carry) };
    let (sent, losses) = encoded(&limited(Some(5)), &edits).unwrap();
    assert_eq!((&sent["max_output_tokens"], losses.is_empty()), (&json!(9), true));
}

#[test]
fn t06_sampling_numbers_stay_as_they_were_written() {
    let (sent, losses) = round(asked(json!({"temperature": 0.30, "top_p": 1})));
    assert_eq!((&sent["temperature"], &sent["top_p"]), (&json!(0.3), &json!(1)));
    assert!(losses.is_empty());
    assert_eq!(fault_of(asked(json!({"temperature": "hot"}))).param.as_deref(), Some("temperature"));
    let carry = carry();
    let quirks = DIALECT.parse_quirks(&["no-sampling"]).unwrap();
    let params = Params { temperature: Some("0.5"), top_p: Some("0.9"), ..Params::default() };
    let request = Request { params, ..said(vec![user("a")]) };
    let (sent, losses) = encoded(&request, &RequestEdits { quirks, ..request_edits(&carry) }).unwrap();
    assert_eq!(
        (sent.get("temperature"), sent.get("top_p"), losses.to_string()),
        (None, None, "temperature, top_p".to_owned())
    );
}

#[test]
fn t07_stop_sequences_are_a_named_loss_but_for_clients_of_its_own() {
    let stop = Params { stop: vec!["x".into()], ..Params::default() };
    let (sent, losses) = foreign(Request { params: stop, ..said(vec![user("a")]) });
    assert_eq!((sent.get("stop"), losses.to_string()), (None, "stop".to_owned()));
    let (sent, losses) = round(asked(json!({"stop": "x", "seed": 7, "top_k": 5})));
    assert_eq!((&sent["stop"], &sent["seed"], &sent["top_k"]), (&json!(["x"]), &json!(7), &json!(5)));
    assert!(losses.is_empty());
}

#[test]
fn t08_what_cannot_be_said_is_named_and_several_answers_are_refused() {
    let params = Params {
        top_k: Some("5"),
        min_p: Some("0.1"),
        top_a: Some("0.1"),
        frequency_penalty: Some("0.5"),
        presence_penalty: Some("0.5"),
        repetition_penalty: Some("1.1"),
        seed: Some("1"),
        logit_bias: Some(r#"{"1":5}"#),
        modalities: vec!["text".into(), "audio".into()],
        service_tier: Some("standard_only".into()),
        user: Some("u".repeat(65).into()),
        prompt_cache_key: Some("k".repeat(65).into()),
        ..Params::default()
    };
    let (sent, losses) = foreign(Request { params, ..said(vec![user("a")]) });
    assert_eq!(
        losses.to_string(),
        "top_k, min_p, top_a, frequency_penalty, presence_penalty, repetition_penalty, seed, logit_bias, prompt_cache_key, \
         service_tier, user, modalities"
    );
    assert_eq!(sent.as_object().unwrap().keys().collect::<Vec<_>>(), ["include", "input", "model", "store"]);
    let nothing = Params {
        frequency_penalty: Some("0"),
        presence_penalty: Some("0.0"),
        repetition_penalty: Some("1"),
        logit_bias: Some("{ }"),
        choices: Some(1),
        ..Params::default()
    };
    assert!(foreign(Request { params: nothing, ..said(vec![user("a")]) }).1.is_empty());
    let several = Params { choices: Some(2), ..Params::default() };
    assert_eq!(refused(Request { params: several, ..said(vec![user("a")]) }).param.as_deref(), Some("n"));
    let logprobs = Params { logprobs: Some(true), top_logprobs: Some(3), ..Params::default() };
    let (sent, losses) = foreign(Request { params: logprobs, ..said(vec![user("a")]) });
    assert_eq!(sent["include"], json!(["reasoning.encrypted_content", "message.output_text.logprobs"]));
    assert_eq!((&sent["top_logprobs"], losses.is_empty()), (&json!(3), true));
}

#[test]
fn t09_formats_of_text_keep_their_schema_and_strictness() {
    let format = json!({"type": "json_schema", "name": "n", "schema": {"type": "object", "$defs": {}}, "strict": true});
    let (sent, _) = round(asked(json!({"text": {"format": format, "verbosity": "low"}})));
    assert_eq!(sent["text"], json!({"format": format, "verbosity": "low"}));
    let schema =
        Format::Schema { name: Some("not plain!".into()), description: None, schema: "{}".into(), strict: None };
    let params = Params { format: Some(schema), ..Params::default() };
    let (sent, _) = foreign(Request { params, ..said(vec![user("a")]) });
    assert_eq!(sent["text"]["format"], json!({"type": "json_schema", "name": "response", "schema": {}}));
    let (sent, _) = foreign(Request {
        params: Params { format: Some(Format::Json), ..Params::default() },
        ..said(vec![user("a")])
    });
    assert_eq!(sent["text"], json!({"format": {"type": "json_object"}}));
    let fault = fault_of(asked(json!({"text": {"format": {"type": "yaml"}}})));
    assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::OutOfRange, Some("text.format.type")));
    let fault = fault_of(asked(json!({"text": {"format": {"type": "json_schema", "name": "n"}}})));
    assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::Missing, Some("text.format.schema")));
}

#[test]
fn t10_schemas_of_tools_pass_untouched() {
    let schema = r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/x"}},"$defs":{"x":{"const":1e400}}}"##;
    let body =
        format!(r#"{{"model":"m","input":"x","tools":[{{"type":"function","name":"f","parameters":{schema}}}]}}"#);
    decoded(&body, |request| {
        let mut out = Writer::new(&Bytes::new());
        Providers.encode(&request.unwrap(), &request_edits(&carry()), &mut out, &mut Losses::default()).unwrap();
        let sent = String::from_utf8(out.finish().into_bytes().to_vec()).unwrap();
        assert!(sent.contains(&format!("\"parameters\":{schema}")));
    });
}

#[test]
fn t11_doubled_names_are_refused_at_any_depth() {
    let body = r#"{"model":"m","input":[{"role":"user","content":"x","role":"system"}]}"#;
    let fault = Tape::default().read_strictly(body.as_bytes()).unwrap_err();
    assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::Repeated, Some("role")));
}

#[test]
fn t13_the_wish_to_think_is_said_as_an_effort() {
    let wish = |reasoning| {
        let params = Params { reasoning: Some(reasoning), max_output: Some(10_000), ..Params::default() };
        let (sent, losses) = foreign(Request { params, ..said(vec![user("a")]) });
        (sent.get("reasoning").cloned(), losses.to_string())
    };
    let none = Reasoning::default();
    assert_eq!(wish(none.clone()), (None, String::new()));
    let low = Reasoning { effort: Some(Effort::Low), ..none.clone() };
    // Other families show thoughts unasked.
    assert_eq!(wish(low), (Some(json!({"effort": "low", "summary": "auto"})), String::new()));
    let most = Reasoning { effort: Some(Effort::Max), summary: Some("detailed".into()), ..none.clone() };
    assert_eq!(wish(most), (Some(json!({"effort": "xhigh", "summary": "detailed"})), "reasoning_effort".to_owned()));
    let budget = Reasoning { budget: Some(8_000), shown: Some(true), ..none.clone() };
    assert_eq!(wish(budget), (Some(json!({"effort": "high", "summary": "auto"})), "reasoning_budget".to_owned()));
    let off = Reasoning { enabled: Some(false), ..none };
    assert_eq!(wish(off), (Some(json!({"effort": "none"})), String::new()));
    decoded(&asked(json!({"reasoning": {"effort": "max", "summary": "auto"}})).to_string(), |request| {
        let reasoning = request.unwrap().params.reasoning.unwrap();
        assert_eq!((reasoning.effort, reasoning.shown), (Some(Effort::Max), Some(true)));
    });
    let (sent, losses) = round(asked(json!({"reasoning": {"effort": "max"}})));
    assert_eq!((&sent["reasoning"], losses.is_empty()), (&json!({"effort": "max"}), true));
    assert_eq!(fault_of(asked(json!({"reasoning": {"effort": "huge"}}))).param.as_deref(), Some("reasoning.effort"));
    assert_eq!(fault_of(asked(json!({"reasoning": "high"}))).param.as_deref(), Some("reasoning"));
}

#[test]
fn t14_only_the_familys_own_header_passes() {
    assert_eq!((DIALECT.passing_headers, DIALECT.headers), (&["openai-beta"][..], &[][..]));
    let routed = crate::dialect::Routed { upstream_model: "m", stream: true, ..Default::default() };
    assert_eq!(DIALECT.route(&routed), "/responses");
}

#[test]
fn t15_marks_for_the_cache_are_a_named_loss_and_keys_are_kept() {
    let marked = |body| Part { body, cache: Some(CacheMark::Minutes), signature: None };
    let part = marked(PartBody::Text { text: "a".into(), annotations: None });
    let params = Params { prompt_cache_key: Some("k".into()), user: Some("u".into()), ..Params::default() };
    let (sent, losses) = foreign(Request { params, ..said(vec![turn(Role::User, vec![part])]) });
    assert_eq!((&sent["prompt_cache_key"], &sent["safety_identifier"]), (&json!("k"), &json!("u")));
    assert_eq!(losses.to_string(), "cache_control");
    let marked = json!([
        {"type": "input_text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "input_text", "text": "b", "cache_control": {"type": "ephemeral"}},
        {"type": "input_text", "text": "c", "cache_control": null},
    ]);
    decoded(&json!({"model": "m", "input": [{"role": "user", "content": marked}]}).to_string(), |request| {
        let marks: Vec<_> = request.unwrap().turns[0].parts.iter().map(|part| part.cache).collect();
        assert_eq!(marks, [Some(CacheMark::Hour), Some(CacheMark::Minutes), None]);
    });
    let (sent, _) = round(asked(json!({"prompt_cache_key": "k", "user": "u", "prompt_cache_retention": "24h"})));
    assert_eq!((&sent["prompt_cache_key"], &sent["prompt_cache_retention"]), (&json!("k"), &json!("24h")));
}

#[test]
fn t16_nothing_is_stored_and_what_needs_a_store_is_refused() {
    for (field, value) in [
        ("previous_response_id", json!("resp_1")),
        ("conversation", json!({"id": "conv_1"})),
        ("conversation", json!("conv_1")),
        ("background", json!(true)),
        ("prompt", json!({"id": "pmpt_1"})),
    ] {
        let fault = fault_of(asked(json!({ field: value })));
        assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::Unsupported, Some(field)), "{field}");
    }
    let items = json!([{"role": "user", "content": "x"}, {"type": "item_reference", "id": "msg_1"}]);
    let fault = fault_of(json!({"model": "m", "input": items}));
    assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::Unsupported, Some("input[1]")));
    assert!(fault.message.contains("`store` is false"));
    // Where bytes go through as well: nothing but the scan looks at them.
    let scan = |items: Json| super::super::DIALECT.scan(json!({"model": "m", "input": items}).to_string().as_bytes());
    let refused = scan(json!([{"type": "item_reference", "id": "msg_1"}])).unwrap_err();
    assert_eq!((refused.kind, refused.param.as_deref()), (BodyFaultKind::Unsupported, Some("input[0]")));
    for harmless in ["what is an item_reference?", "item_reference", "two\nlines"] {
        assert!(scan(json!([{"role": "user", "content": harmless}])).is_ok());
    }
    let escaped = br#"{"model":"m","input":[{},{"type":"item\u005freference","id":"msg_1"}]}"#;
    assert_eq!(super::super::DIALECT.scan(escaped).unwrap_err().param.as_deref(), Some("input[1]"));
    for store in [json!(null), json!(true), json!(false)] {
        let body = asked(json!({"store": store, "previous_response_id": null, "background": false}));
        let (sent, losses) = round(body);
        assert_eq!((&sent["store"], losses.is_empty()), (&json!(false), true));
    }
    assert_eq!(fault_of(asked(json!({"store": "no"}))).param.as_deref(), Some("store"));
    // Items without a type, and without an id.
    let items = json!([
        {"role": "user", "content": "x"},
        {"call_id": "c", "name": "f", "arguments": "{}"},
        {"call_id": "c", "output": "done"},
    ]);
    let (sent, _) = round(json!({"model": "m", "input": items}));
    let kinds: Vec<_> = sent["input"].as_array().unwrap().iter().map(|item| &item["type"]).collect();
    assert_eq!(kinds, ["message", "function_call", "function_call_output"]);
    assert_eq!(fault_of(json!({"model": "m", "input": [{"id": "x"}]})).param.as_deref(), Some("input[0].type"));
    // What is sealed is always asked for, but where the endpoint's row says that it must not be.
    assert_eq!(round(asked(json!({}))).0["include"], json!(["reasoning.encrypted_content"]));
    let carry = carry();
    let quirks = DIALECT.parse_quirks(&["no-encrypted-reasoning"]).unwrap();
    let edits = RequestEdits { quirks, ..request_edits(&carry) };
    assert_eq!(encoded(&said(vec![user("a")]), &edits).unwrap().0.get("include"), None);
}

#[test]
fn t17_tools_are_flat_and_those_of_providers_stay_in_their_family() {
    let tools = json!([
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true},
        {"type": "web_search", "filters": {"allowed_domains": ["a"]}},
        {"type": "custom", "name": "c", "format": {"type": "grammar"}},
    ]);
    let (sent, losses) = round(asked(json!({"tools": tools})));
    assert_eq!((&sent["tools"], losses.is_empty()), (&tools, true));
    let native = Tool { kind: ToolKind::Native { at: 0, name: "search".into(), raw: "{}" }, cache: None };
    let fault = refused(Request { tools: vec![native], ..said(vec![user("a")]) });
    assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::Unsupported, Some("tools[0]")));
    // Strictness is this API's default and nobody else's.
    let (sent, _) =
        foreign(Request { tools: vec![function("f", None), function("g", Some(true))], ..said(vec![user("a")]) });
    assert_eq!((&sent["tools"][0]["strict"], &sent["tools"][1]["strict"]), (&json!(false), &json!(true)));
    assert_eq!(sent["tools"][0]["parameters"], json!({"type": "object", "properties": {}}));
    assert_eq!(fault_of(asked(json!({"tools": [{"type": "function"}]}))).param.as_deref(), Some("tools[0].name"));
    assert_eq!(fault_of(asked(json!({"tools": [7]}))).param.as_deref(), Some("tools[0]"));
    let nested = json!({"tools": [{"type": "function", "name": "f", "parameters": "{}"}]});
    assert_eq!(fault_of(asked(nested)).param.as_deref(), Some("tools[0].parameters"));
}

#[test]
fn t18_names_of_tools_that_are_not_taken_are_changed_by_the_driver() {
    let takes = Providers.takes_name();
    assert!(takes("get_weather-2") && !takes("files.read") && !takes(&"x".repeat(65)));
}

#[test]
fn t19_choices_of_tools_cross_and_go_where_there_are_no_tools() {
    let choose = |tool_choice, tools| {
        let (sent, _) = foreign(Request {
            tool_choice: Some(tool_choice),
            tools,
            parallel_tools: Some(false),
            ..said(vec![user("a")])
        });
        (sent.get("tool_choice").cloned(), sent.get("parallel_tool_calls").cloned())
    };
    let tools = || vec![function("f", None)];
    let off = Some(json!(false));
    for (choice, word) in [(ToolChoice::Auto, "auto"), (ToolChoice::None, "none"), (ToolChoice::Required, "required")] {
        assert_eq!(choose(choice, tools()), (Some(json!(word)), off.clone()));
    }
    let named = json!({"type": "function", "name": "f"});
    assert_eq!(choose(ToolChoice::Named("f".into()), tools()).0, Some(named.clone()));
    let among = ToolChoice::Among { names: vec!["f".into()], required: true };
    let allowed = json!({"type": "allowed_tools", "mode": "required", "tools": [named]});
    assert_eq!(choose(among.clone(), tools()).0, Some(allowed.clone()));
    assert_eq!(choose(ToolChoice::Required, Vec::new()), (None, None));
    decoded(&asked(json!({"tool_choice": allowed})).to_string(), |request| {
        assert_eq!(request.unwrap().tool_choice, Some(among));
    });
    for choice in [
        json!({"type": "web_search"}),
        json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}),
    ] {
        let body = asked(json!({"tool_choice": choice, "tools": [{"type": "web_search"}]}));
        assert_eq!(round(body).0["tool_choice"], choice);
    }
    for (choice, path) in [
        (json!("any"), "tool_choice"),
        (json!(7), "tool_choice"),
        (json!({"type": "function"}), "tool_choice.name"),
        (json!({"type": "allowed_tools", "tools": [{"type": "function"}]}), "tool_choice.tools[0].name"),
        (json!({"type": "allowed_tools", "mode": "x", "tools": []}), "tool_choice.mode"),
    ] {
        assert_eq!(fault_of(asked(json!({"tool_choice": choice}))).param.as_deref(), Some(path));
    }
}

#[test]
fn t20_ids_of_calls_are_kept_and_what_travelled_in_them_is_taken_out() {
    let id = carry().wrap_id("call_1", "sealed");
    let items = json!([
        {"role": "user", "content": "x"},
        {"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": id, "output": "y"},
    ]);
    decoded(&json!({"model": "m", "input": items}).to_string(), |request| {
        let request = request.unwrap();
        let part = &request.turns[1].parts[0];
        assert!(matches!(&part.body, PartBody::ToolCall { id, .. } if id == "call_1"));
        assert_eq!(part.signature, Some(Signature::Own("sealed".into())));
        assert!(matches!(&request.turns[2].parts[0].body, PartBody::ToolResult { id, .. } if id == "call_1"));
    });
    let missing = json!([{"type": "function_call", "name": "f", "arguments": ""}]);
    assert_eq!(fault_of(json!({"model": "m", "input": missing})).param.as_deref(), Some("input[0].call_id"));
}

#[test]
fn t21_results_keep_their_parts_and_say_that_they_failed() {
    let result = |content, is_error| {
        let body = PartBody::ToolResult { id: "c".into(), name: None, content, is_error };
        let (sent, losses) = foreign(said(vec![turn(Role::User, vec![Part::new(body), Part::text("and")])]));
        assert_eq!(sent["input"][1]["content"][0]["text"], "and", "text beside a result stays");
        (sent["input"][0].clone(), losses.to_string())
    };
    let output = |output: Json| json!({"type": "function_call_output", "call_id": "c", "output": output});
    assert_eq!(result(vec![Part::text("y")], false), (output(json!("y")), String::new()));
    assert_eq!(result(Vec::new(), false).0, output(json!("")));
    assert_eq!(result(vec![Part::text("y")], true), (output(json!("Error: y")), "tool_error".to_owned()));
    let png = || Part::media(MediaKind::Image, Some("image/png"), Source::Inline("iVBOR".into()));
    let parts = json!([
        {"type": "input_text", "text": "y"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBOR"},
    ]);
    assert_eq!(result(vec![Part::text("y"), png()], false), (output(parts.clone()), String::new()));
    let items =
        json!([{"role": "user", "content": "x"}, {"type": "function_call_output", "call_id": "c", "output": parts}]);
    assert_eq!(round(json!({"model": "m", "input": items})).0["input"][1]["output"], parts);
}

#[test]
fn t22_no_arguments_are_an_empty_object() {
    let items = json!([{"role": "user", "content": "x"}, {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}]);
    assert_eq!(round(json!({"model": "m", "input": items})).0["input"][1]["arguments"], "{}");
}

#[test]
fn t23_broken_arguments_stay_as_the_model_wrote_them() {
    let items = json!([
        {"role": "user", "content": "x"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"a\":"},
    ]);
    assert_eq!(round(json!({"model": "m", "input": items})).0["input"][1]["arguments"], "{\"a\":");
}

#[test]
fn t25_images_cross_as_data_url_or_id() {
    let content = json!([
        {"type": "input_image", "image_url": "data:image/webp;base64,UklGRg==", "detail": "low"},
        {"type": "input_image", "image_url": "https://a/b.png"},
        {"type": "input_image", "file_id": "file-1"},
    ]);
    let body = json!({"model": "m", "input": [{"role": "user", "content": content}]});
    assert_eq!(round(body.clone()).0["input"][0]["content"], content);
    decoded(&body.to_string(), |request| {
        let request = request.unwrap();
        let PartBody::Media(media) = &request.turns[0].parts[0].body else { panic!() };
        assert_eq!(media.mime.as_deref(), Some("image/webp"));
        assert!(matches!(&media.source, Source::Inline(data) if data == "UklGRg=="));
        let fault = refused(Request { from: "", ..request });
        assert_eq!(fault.kind, BodyFaultKind::Unsupported, "an id of another provider's file");
    });
    let jpeg = Part::media(MediaKind::Image, None, Source::Inline("/9j/4AAQ".into()));
    let (sent, _) = foreign(said(vec![turn(Role::User, vec![jpeg])]));
    assert_eq!(sent["input"][0]["content"][0]["image_url"], "data:image/jpeg;base64,/9j/4AAQ");
    let fault = fault_of(json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_image"}]}]}));
    assert_eq!(fault.param.as_deref(), Some("input[0].content[0].image_url"));
}

#[test]
fn t26_documents_never_vanish() {
    let content = json!([
        {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"},
        {"type": "input_file", "file_url": "https://a/b.pdf"},
    ]);
    let body = json!({"model": "m", "input": [{"role": "user", "content": content}]});
    assert_eq!(round(body).0["input"][0]["content"], content);
    let pdf = Part::media(MediaKind::File, Some("application/pdf"), Source::Inline("JVBERi0=".into()));
    let plain = Part::media(MediaKind::File, Some("text/plain"), Source::Text("words".into()));
    let (sent, _) = foreign(said(vec![turn(Role::User, vec![pdf, plain])]));
    let expected = json!([
        {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERi0=", "filename": "file.pdf"},
        {"type": "input_text", "text": "words"},
    ]);
    assert_eq!(sent["input"][0]["content"], expected);
    let mut named = Part::media(MediaKind::Image, None, Source::Url("https://a".into()));
    if let PartBody::Media(media) = &mut named.body {
        media.name = Some("a.png".into());
    }
    assert_eq!(foreign(said(vec![turn(Role::User, vec![named])])).1.to_string(), "file_name");
}

#[test]
fn t27_sounds_cross_and_films_are_refused() {
    let content = json!([{"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}}]);
    let body = json!({"model": "m", "input": [{"role": "user", "content": content}]});
    assert_eq!(round(body).0["input"][0]["content"], content);
    let film = Part::media(MediaKind::Video, None, Source::Url("https://a".into()));
    let fault = refused(said(vec![turn(Role::User, vec![film])]));
    assert!(
        fault.kind == BodyFaultKind::Unsupported
            && fault.message.starts_with("`messages[0].content[1]` cannot be sent: video cannot stand so in a message")
    );
    let made = Part::media(MediaKind::Image, None, Source::Inline("iVBOR".into()));
    let fault = refused(said(vec![turn(Role::Assistant, vec![made])]));
    assert!(fault.message.contains("image cannot stand so in what the model said itself"));
    for (audio, path) in [
        (json!({"type": "input_audio"}), "input[0].content[0].input_audio"),
        (json!({"type": "input_audio", "input_audio": {"format": "mp3"}}), "input[0].content[0].input_audio.data"),
        (json!({"type": 7}), "input[0].content[0].type"),
        (json!("text"), "input[0].content[0]"),
    ] {
        let fault = fault_of(json!({"model": "m", "input": [{"role": "user", "content": [audio]}]}));
        assert_eq!(fault.param.as_deref(), Some(path));
    }
}

#[test]
fn t28_citations_go_back_to_their_own_family_only() {
    let annotations =
        json!([{"type": "url_citation", "url": "https://a", "start_index": 0, "end_index": 1, "title": "t"}]);
    let content = json!([{"type": "output_text", "text": "x", "annotations": annotations}]);
    let body =
        json!({"model": "m", "input": [{"role": "assistant", "content": content}, {"role": "user", "content": "y"}]});
    let (sent, losses) = round(body);
    assert_eq!((&sent["input"][0]["content"], losses.is_empty()), (&content, true));
    let cited = Part::new(PartBody::Text { text: "x".into(), annotations: Some("[{}]".into()) });
    let (sent, losses) = foreign(said(vec![turn(Role::Assistant, vec![cited])]));
    assert_eq!(sent["input"][0]["content"], json!([{"type": "output_text", "text": "x"}]));
    assert_eq!(losses.to_string(), "annotations");
}

fn thought(text: &'static str, signature: Option<Signature<'static>>) -> Part<'static> {
    let body = PartBody::Thought(Thought { text: text.into(), ..Thought::default() });
    Part { body, cache: None, signature }
}

#[test]
fn t42_sealed_thoughts_stand_directly_before_what_they_preceded() {
    let own = |value: &'static str| Some(Signature::Own(value.into()));
    let call = || Part::new(PartBody::ToolCall { id: "c".into(), name: "f".into(), arguments: "{}".into() });
    let (sent, losses) = foreign(said(vec![
        user("a"),
        turn(Role::Assistant, vec![thought("hm", own("s1")), Part::text("b"), thought("", own("s2")), call()]),
        turn(Role::Assistant, vec![thought("x", own("s3"))]),
        turn(Role::Assistant, vec![Part::text("c")]),
    ]));
    let kinds: Vec<_> = sent["input"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message", "reasoning", "message", "reasoning", "function_call", "reasoning", "message"]);
    assert_eq!(sent["input"][3], json!({"type": "reasoning", "summary": [], "encrypted_content": "s2"}));
    assert!(losses.is_empty());
    // With nothing behind it, it would be refused.
    let (sent, losses) = foreign(said(vec![turn(Role::Assistant, vec![thought("hm", own("s"))]), user("a")]));
    assert_eq!((sent["input"].as_array().unwrap().len(), losses.to_string()), (1, "reasoning".to_owned()));
}

#[test]
fn t45_what_others_sealed_does_not_cross() {
    let foreign_state = Some(Signature::Foreign("sig".into()));
    let turns = || vec![turn(Role::Assistant, vec![thought("hm", foreign_state.clone()), Part::text("b")]), user("a")];
    let (sent, losses) = foreign(said(turns()));
    assert_eq!((sent["input"].as_array().unwrap().len(), losses.to_string()), (2, "reasoning_signature".to_owned()));
    let (_, losses) = foreign(said(vec![turn(Role::Assistant, vec![thought("hm", None), Part::text("b")])]));
    assert_eq!(losses.to_string(), "reasoning");
    let mut call = Part::new(PartBody::ToolCall { id: "c".into(), name: "f".into(), arguments: "{}".into() });
    call.signature = foreign_state;
    assert_eq!(foreign(said(vec![turn(Role::Assistant, vec![call])])).1.to_string(), "reasoning_signature");
    // A client of this dialect sends back what its own provider sealed.
    let items = json!([
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "gAAAA"},
        {"role": "assistant", "content": "b"},
    ]);
    let (sent, losses) = round(json!({"model": "m", "input": items}));
    assert_eq!(sent["input"][0], json!({"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}));
    assert!(losses.is_empty());
}

#[test]
fn t46_state_of_another_tenant_is_not_opened() {
    let other = Carry::new(b"secret", "another org", "provider", "model");
    let items = json!([
        {"type": "reasoning", "summary": [], "encrypted_content": other.wrap("tsealed")},
        {"role": "assistant", "content": "b"},
    ]);
    let (sent, losses) = round(json!({"model": "m", "input": items}));
    assert!(losses.has(Loss::ReasoningSignature) && !sent.to_string().contains("sealed"));
}

#[test]
fn t49_what_only_this_dialect_says_is_written_back_and_is_a_loss_elsewhere() {
    let body = json!({
        "model": "m",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "x"}, {"type": "input_hologram", "z": 1}]},
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "y"},
        ],
        "include": ["web_search_call.action.sources", "message.output_text.logprobs"],
        "truncation": "auto",
        "max_tool_calls": 3,
        "new_thing": {"a": [1]},
        "stream_options": {"include_obfuscation": false},
        "provider": {"order": ["x"]},
        "plugins": [],
        "metadata": {"k": "v"},
        "service_tier": "flex",
    });
    let (sent, losses) = round(body.clone());
    assert_eq!(sent["input"][0]["content"][1], body["input"][0]["content"][1]);
    assert_eq!((&sent["input"][1], &sent["input"][2]), (&body["input"][1], &body["input"][2]));
    for name in ["truncation", "max_tool_calls", "new_thing", "metadata", "service_tier"] {
        assert_eq!(sent[name], body[name], "{name}");
    }
    assert_eq!(sent["include"].as_array().unwrap().len(), 3);
    for own in ["provider", "plugins", "stream_options"] {
        assert_eq!(sent.get(own), None);
    }
    assert!(losses.is_empty());
    decoded(&body.to_string(), |request| {
        let request = request.unwrap();
        assert_eq!(
            request.extra.iter().map(|field| &*field.name).collect::<Vec<_>>(),
            ["include", "max_tool_calls", "new_thing", "truncation"]
        );
        assert_eq!(
            request.turns.iter().map(|turn| (turn.at, turn.role)).collect::<Vec<_>>(),
            [(0, Role::User), (1, Role::Assistant), (2, Role::User)]
        );
    });
    let other = || vec![turn(Role::User, vec![Part::new(PartBody::Other { raw: "{}".into() }), Part::text("x")])];
    let field = crate::model::Extra {
        name: "top".into(),
        value: Tape::default().read(b"1").map(|_| ()).map(|()| value_of_one()).unwrap(),
    };
    let named = Turn { name: Some("n".into()), ..user("a") };
    let mute = turn(Role::Assistant, vec![Part::text("")]);
    let (_, losses) = foreign(Request {
        extra: vec![field],
        turns: other().into_iter().chain([mute, named]).collect(),
        ..Request::default()
    });
    assert_eq!(losses.to_string(), "name, empty_part, part, field");
}

/// A value that lasts.
fn value_of_one() -> crate::json::Value<'static> {
    let tape: &'static mut Tape = Box::leak(Box::default());
    tape.read(b"1").unwrap()
}

#[test]
fn every_listed_loss_of_requests_has_happened_in_these_tests() {
    // The tests above and below name them one by one; this is the list they have to make up.
    let seen = "temperature, top_p, top_k, min_p, top_a, frequency_penalty, presence_penalty, repetition_penalty, seed, stop, token_limit, \
                logit_bias, tool_error, reasoning, reasoning_signature, reasoning_effort, reasoning_budget, cache_control, \
                prompt_cache_key, service_tier, user, modalities, name, file_name, empty_part, part, field, annotations";
    let mut listed = Losses::default();
    Providers.losses().iter().for_each(|loss| listed.note(*loss));
    assert_eq!(listed.to_string(), seen);
}

#[test]
fn t09_who_wants_json_asks_for_it_in_words_of_the_input() {
    let json_of = |turns| Request {
        params: Params { format: Some(Format::Json), ..Params::default() },
        ..Request { from: "another-family", ..said(turns) }
    };
    let system = |text| turn(Role::System, vec![Part::text(text)]);
    let carry = carry();
    let sent = |request: Request<'_>| encoded(&request, &request_edits(&carry)).unwrap().0;
    let worded = sent(json_of(vec![system("Speak JSON"), user("a")]));
    assert_eq!(worded.get("instructions"), None);
    assert_eq!(worded["input"][0]["content"][0]["text"], "Speak JSON");
    assert_eq!(worded["input"].as_array().unwrap().len(), 2);
    let mute = sent(json_of(vec![system("Be brief"), user("a")]));
    assert_eq!(mute["input"][0]["content"], json!([{"type": "input_text", "text": "Answer in JSON."}]));
    assert_eq!(
        (&mute["input"][1]["content"][0]["text"], mute["input"].as_array().unwrap().len()),
        (&json!("Be brief"), 3)
    );
    // Who speaks this dialect knows its rule.
    let own = Request { from: crate::dialect::openai_responses::ID, ..json_of(vec![system("Be brief"), user("a")]) };
    assert_eq!(sent(own)["instructions"], "Be brief");
}
