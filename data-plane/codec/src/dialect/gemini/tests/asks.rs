//! Requests to Google, from canonical words as other dialects' clients make them.

use std::borrow::Cow;

use serde_json::{Value as Json, json};

use super::*;
use crate::error::BodyFaultKind;
use crate::loss::Loss;
use crate::model::{
    Effort, Format, MediaKind, Params, Part, PartBody, Reasoning, Role, Signature, Source, Thought, Tool, ToolChoice,
    ToolKind, Turn,
};

pub fn turn(role: Role, parts: Vec<Part<'static>>) -> Turn<'static> {
    Turn { at: 0, role, parts, name: None }
}

pub fn say(role: Role, text: &'static str) -> Turn<'static> {
    turn(role, vec![Part::text(text)])
}

pub fn call(id: &'static str, name: &'static str, arguments: &'static str) -> Part<'static> {
    Part::new(PartBody::ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() })
}

pub fn result(id: &'static str, content: Vec<Part<'static>>) -> Part<'static> {
    Part::new(PartBody::ToolResult { id: id.into(), name: None, content, is_error: false })
}

pub fn signed(mut part: Part<'static>, signature: Signature<'static>) -> Part<'static> {
    part.signature = Some(signature);
    part
}

pub fn png() -> Part<'static> {
    Part::media(MediaKind::Image, Some("image/png"), Source::Inline("iVBO".into()))
}

pub fn function(name: &'static str) -> Tool<'static> {
    let schema = Some(Cow::Borrowed(
        r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"type":"string","const":"x"}}}"##,
    ));
    Tool {
        kind: ToolKind::Function { name: name.into(), description: Some("d".into()), schema, strict: None },
        cache: None,
    }
}

/// A request of another dialect's client.
pub fn request(turns: Vec<Turn<'static>>) -> Request<'static> {
    Request { from: "other", conversation: "messages", turns, ..Request::default() }
}

/// What a model is asked, and what was lost.
fn ask_of(model: &str, request: &Request<'_>) -> (Json, String) {
    let carry = carry();
    let (body, losses) = asked(request, &wanted(model, &[], &carry)).unwrap();
    (body, losses.to_string())
}

fn ask(request: &Request<'_>) -> (Json, String) {
    ask_of("gemini-2.5-flash", request)
}

fn refused(request: &Request<'_>) -> (BodyFaultKind, Option<String>) {
    let carry = carry();
    let fault = asked(request, &wanted("gemini-2.5-flash", &[], &carry)).unwrap_err();
    (fault.kind, fault.param)
}

#[test]
fn t01_system_text_goes_apart_in_its_order() {
    let (body, losses) = ask(&request(vec![
        say(Role::System, "a"),
        say(Role::Developer, "b"),
        say(Role::User, "hi"),
        say(Role::System, "c"),
    ]));
    assert_eq!(body["systemInstruction"], json!({"parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}]}));
    assert_eq!(body["contents"], json!([{"role": "user", "parts": [{"text": "hi"}]}]));
    assert_eq!(losses, "developer, system_place");
    // One rank alone loses nothing.
    let (_, losses) = ask(&request(vec![say(Role::Developer, "b"), say(Role::User, "hi")]));
    assert_eq!(losses, "");
    // There is no answer to nothing.
    let (body, losses) = ask(&request(vec![say(Role::System, "only")]));
    assert_eq!(body, json!({"contents": [{"role": "user", "parts": [{"text": "only"}]}]}));
    assert_eq!(losses, "system_place");
}

#[test]
fn t02_t03_turns_of_one_side_are_one_content_and_all_texts_survive() {
    let (body, losses) = ask(&request(vec![
        say(Role::User, "a"),
        turn(Role::User, vec![Part::text("b"), Part::text("c")]),
        say(Role::Assistant, "d"),
        say(Role::Assistant, "e"),
        say(Role::User, "f"),
    ]));
    let expected = json!([
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}]},
        {"role": "model", "parts": [{"text": "d"}, {"text": "e"}]},
        {"role": "user", "parts": [{"text": "f"}]},
    ]);
    assert_eq!((body["contents"].clone(), losses.as_str()), (expected, ""));
}

#[test]
fn t04_empty_parts_are_left_out_and_nothing_at_all_is_refused() {
    let (body, losses) = ask(&request(vec![
        turn(Role::User, vec![Part::text(""), Part::text("x")]),
        say(Role::Assistant, ""),
        say(Role::User, "y"),
    ]));
    let expected = json!([{"role": "user", "parts": [{"text": "x"}, {"text": "y"}]}]);
    assert_eq!((body["contents"].clone(), losses.as_str()), (expected, "empty_part"));
    assert_eq!(refused(&request(vec![say(Role::User, "")])), (BodyFaultKind::OutOfRange, Some("messages".into())));
}

#[test]
fn t05_the_limit_is_the_gateways_or_the_clients_and_never_above_the_models() {
    let carry = carry();
    let base = wanted("gemini-2.5-flash", &[], &carry);
    let limit = |client: Option<u64>, gateway: Option<u64>, most: Option<u64>| {
        let mut request = request(vec![say(Role::User, "hi")]);
        request.params.max_output = client;
        let edits = RequestEdits { token_limit: gateway, max_output: most, ..base };
        let (body, losses) = asked(&request, &edits).unwrap();
        (body["generationConfig"]["maxOutputTokens"].clone(), losses.to_string())
    };
    let silent = |limit: Json| (limit, String::new());
    let lowered = |limit: u64| (json!(limit), "token_limit".to_owned());
    assert_eq!(limit(None, None, Some(100)), silent(Json::Null));
    assert_eq!(limit(Some(7), None, None), silent(json!(7)));
    assert_eq!(limit(Some(7), Some(5), None), silent(json!(5)));
    assert_eq!(limit(Some(100), None, Some(100)), silent(json!(100)));
    assert_eq!(limit(None, Some(500), Some(100)), silent(json!(100)));
    // The client's limit is not lowered in silence.
    assert_eq!(limit(Some(7000), None, Some(100)), lowered(100));
    assert_eq!(limit(Some(7000), Some(5000), Some(100)), lowered(100));
}

#[test]
fn t06_t08_sampling_is_said_as_far_as_it_is_known() {
    let mut all = request(vec![say(Role::User, "hi")]);
    all.params = Params {
        temperature: Some("1.50"),
        top_p: Some("0.9"),
        top_k: Some("40"),
        min_p: Some("0.1"),
        top_a: Some("0.1"),
        frequency_penalty: Some("0.5"),
        presence_penalty: Some("-0.5"),
        repetition_penalty: Some("1.1"),
        seed: Some("42"),
        choices: Some(3),
        logprobs: Some(true),
        top_logprobs: Some(5),
        logit_bias: Some("{}"),
        verbosity: Some("low".into()),
        user: Some("u".into()),
        metadata: Some("{}"),
        prompt_cache_key: Some("k".into()),
        ..Params::default()
    };
    let (body, losses) = ask_of("gemini-3-flash", &all);
    let config = json!({"temperature": 1.50, "topP": 0.9, "topK": 40, "frequencyPenalty": 0.5, "presencePenalty": -0.5,
        "seed": 42, "candidateCount": 3, "responseLogprobs": true, "logprobs": 5});
    assert_eq!(body["generationConfig"], config);
    assert_eq!(losses, "min_p, top_a, repetition_penalty, logit_bias, verbosity, prompt_cache_key, user, metadata");
    // Models of 2025 refuse penalties, but for Vertex; none is as good as a penalty of nothing.
    let (body, losses) = ask(&all);
    assert!(body["generationConfig"].get("frequencyPenalty").is_none());
    assert!(losses.contains("frequency_penalty, presence_penalty"));
    let carry = carry();
    let (body, _) = asked(&all, &wanted("gemini-2.5-flash", &["vertex"], &carry)).unwrap();
    assert_eq!(body["generationConfig"]["presencePenalty"], -0.5);
    let mut odd = request(vec![say(Role::User, "hi")]);
    odd.params = Params {
        temperature: Some("2.5"),
        frequency_penalty: Some("0.0"),
        seed: Some("99999999999"),
        ..Params::default()
    };
    let (body, losses) = ask(&odd);
    assert_eq!(
        (body["generationConfig"].clone(), losses.as_str()),
        (json!({"temperature": 2}), "temperature_range, seed")
    );
    odd.params.choices = Some(9);
    assert_eq!(refused(&odd), (BodyFaultKind::Unsupported, Some("n".into())));
}

#[test]
fn t07_five_stop_sequences_are_taken() {
    let mut stops = request(vec![say(Role::User, "hi")]);
    stops.params.stop = ["a", "", " ", "c", "d", "e", "f"].map(Cow::Borrowed).into();
    let (body, losses) = ask(&stops);
    assert_eq!(body["generationConfig"]["stopSequences"], json!(["a", " ", "c", "d", "e"]));
    assert_eq!(losses, "stop_count");
}

#[test]
fn t09_t10_schemas_go_raw_or_as_the_endpoint_takes_them() {
    let schema = r##"{"$ref":"#/$defs/a","$defs":{"a":{"type":"object","properties":{"x":{"type":"string","pattern":"^a","not":{}}},"additionalProperties":false}}}"##;
    let mut shaped = request(vec![say(Role::User, "hi")]);
    shaped.params.format =
        Some(Format::Schema { name: Some("n".into()), description: None, schema: schema.into(), strict: Some(true) });
    shaped.tools.push(function("f"));
    let (body, losses) = ask(&shaped);
    let config = &body["generationConfig"];
    assert_eq!(
        (&config["responseMimeType"], &config["responseJsonSchema"]),
        (&json!("application/json"), &json(schema))
    );
    assert_eq!(body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"]["$defs"]["a"]["const"], "x");
    assert_eq!(losses, "");
    let carry = carry();
    let (body, losses) = asked(&shaped, &wanted("gemini-2.0-flash", &["schema-subset"], &carry)).unwrap();
    let own = &body["generationConfig"]["responseSchema"];
    assert_eq!(own["properties"]["x"]["pattern"], "^a");
    assert!(!own.to_string().contains('$') && own.get("additionalProperties").is_none());
    assert!(body["tools"][0]["functionDeclarations"][0]["parameters"]["properties"]["a"].is_object());
    assert!(losses.has(Loss::SchemaKeywords));
    // A schema that contains itself has no end in Google's language.
    shaped.params.format = Some(Format::Schema {
        name: None,
        description: None,
        schema: r##"{"properties":{"next":{"$ref":"#"}},"type":"object"}"##.into(),
        strict: None,
    });
    let fault = asked(&shaped, &wanted("gemini-2.0-flash", &["schema-subset"], &carry)).unwrap_err();
    assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::Unsupported, Some("response_format")));
    shaped.params.format = Some(Format::Json);
    assert_eq!(ask(&shaped).0["generationConfig"], json!({"responseMimeType": "application/json"}));
    shaped.params.format = Some(Format::Text);
    assert_eq!(ask(&shaped).0.get("generationConfig"), None);
}

#[test]
fn t10_a_function_that_takes_nothing_has_no_parameters_in_googles_language() {
    let mut none = request(vec![say(Role::User, "hi")]);
    for schema in [r#"{"type":"object","properties":{}}"#, r#"{"type":"object"}"#, "{}"] {
        let kind =
            ToolKind::Function { name: "f".into(), description: None, schema: Some(schema.into()), strict: None };
        none.tools = vec![Tool { kind, cache: None }];
        let carry = carry();
        let (body, _) = asked(&none, &wanted("gemini-2.0-flash", &["schema-subset"], &carry)).unwrap();
        assert_eq!(body["tools"], json!([{"functionDeclarations": [{"name": "f"}]}]));
        assert_eq!(ask(&none).0["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"], json(schema));
    }
}

#[test]
fn t13_thinking_is_asked_for_as_the_model_knows_it() {
    let reason = |model: &str, reasoning: Reasoning<'static>| {
        let mut request = request(vec![say(Role::User, "hi")]);
        request.params.reasoning = Some(reasoning);
        let (body, losses) = ask_of(model, &request);
        (body["generationConfig"]["thinkingConfig"].clone(), losses)
    };
    let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };
    let budget = |budget| Reasoning { budget: Some(budget), ..Reasoning::default() };
    let off = || Reasoning { enabled: Some(false), ..Reasoning::default() };
    let on = || Reasoning { enabled: Some(true), shown: Some(false), ..Reasoning::default() };
    let none = String::new;
    for (model, reasoning, config, losses) in [
        ("gemini-3-flash", effort(Effort::Low), json!({"thinkingLevel": "low", "includeThoughts": true}), none()),
        (
            "gemini-3-flash",
            effort(Effort::Minimal),
            json!({"thinkingLevel": "minimal", "includeThoughts": true}),
            none(),
        ),
        (
            "gemini-3.1-pro",
            effort(Effort::Minimal),
            json!({"thinkingLevel": "low", "includeThoughts": true}),
            "reasoning_effort".into(),
        ),
        (
            "gemini-3.1-pro",
            effort(Effort::Max),
            json!({"thinkingLevel": "high", "includeThoughts": true}),
            "reasoning_effort".into(),
        ),
        ("gemini-3-flash", budget(2_000), json!({"thinkingBudget": 2000, "includeThoughts": true}), none()),
        ("gemini-3-flash", off(), json!({"thinkingLevel": "minimal"}), "reasoning_switch".into()),
        ("gemini-3-flash", on(), json!({"includeThoughts": false}), none()),
        ("gemini-2.5-flash", effort(Effort::Medium), json!({"thinkingBudget": 24576, "includeThoughts": true}), none()),
        (
            "gemini-2.5-flash",
            budget(90_000),
            json!({"thinkingBudget": 24576, "includeThoughts": true}),
            "reasoning_budget".into(),
        ),
        ("gemini-2.5-flash", on(), json!({"thinkingBudget": -1, "includeThoughts": false}), none()),
        ("gemini-2.5-flash", off(), json!({"thinkingBudget": 0}), none()),
        ("gemini-2.5-flash", effort(Effort::None), json!({"thinkingBudget": 0}), none()),
        ("gemini-2.5-pro", off(), json!({"thinkingBudget": 128}), "reasoning_switch".into()),
        ("gemini-2.0-flash", effort(Effort::High), Json::Null, "reasoning_switch".into()),
        ("gemini-2.0-flash", off(), Json::Null, none()),
    ] {
        let said = format!("{model} {reasoning:?}");
        let found = reason(model, reasoning);
        // Where the model shows nothing at all there is no field for it.
        let config = if config == json!({"includeThoughts": false}) { Json::Null } else { config };
        assert_eq!(found, (config, losses), "{said}");
    }
    let summary = Reasoning { summary: Some("detailed".into()), ..effort(Effort::Low) };
    assert_eq!(reason("gemini-3-flash", summary).1, "reasoning_summary");
    let both = Reasoning { budget: Some(3_000), ..effort(Effort::Low) };
    assert_eq!(
        reason("gemini-3-flash", both.clone()),
        (json!({"thinkingLevel": "low", "includeThoughts": true}), "reasoning_budget".into())
    );
    assert_eq!(reason("gemini-2.5-flash", both).0["thinkingBudget"], 3000);
}

#[test]
fn t17_t19_tools_and_choices() {
    let mut tools = request(vec![say(Role::User, "hi")]);
    tools.tools = vec![function("f"), function("g")];
    let mut choose = |choice: Option<ToolChoice<'static>>| {
        tools.tool_choice = choice;
        ask(&tools).0["toolConfig"]["functionCallingConfig"].clone()
    };
    let names = || vec!["f".into(), "g".into()];
    assert_eq!(choose(None), Json::Null);
    assert_eq!(choose(Some(ToolChoice::Auto)), json!({"mode": "AUTO"}));
    assert_eq!(choose(Some(ToolChoice::None)), json!({"mode": "NONE"}));
    assert_eq!(choose(Some(ToolChoice::Required)), json!({"mode": "ANY"}));
    assert_eq!(choose(Some(ToolChoice::Named("g".into()))), json!({"mode": "ANY", "allowedFunctionNames": ["g"]}));
    assert_eq!(
        choose(Some(ToolChoice::Among { names: names(), required: true })),
        json!({"mode": "ANY", "allowedFunctionNames": ["f", "g"]})
    );
    assert_eq!(
        choose(Some(ToolChoice::Among { names: names(), required: false })),
        json!({"mode": "VALIDATED", "allowedFunctionNames": ["f", "g"]})
    );
    tools.parallel_tools = Some(false);
    assert_eq!(ask(&tools).1, "parallel_tool_calls");
    // All functions are one tool; strict ones are held.
    tools.parallel_tools = None;
    tools.tool_choice = None;
    if let ToolKind::Function { strict, .. } = &mut tools.tools[1].kind {
        *strict = Some(true);
    }
    let (body, losses) = ask(&tools);
    assert_eq!(body["tools"].as_array().unwrap().len(), 1);
    assert_eq!((&body["toolConfig"]["functionCallingConfig"], losses.as_str()), (&json!({"mode": "VALIDATED"}), ""));
    // A choice without tools is dropped, a tool of another provider is not.
    let mut bare = request(vec![say(Role::User, "hi")]);
    bare.tool_choice = Some(ToolChoice::Required);
    assert_eq!(ask(&bare).0.get("toolConfig"), None);
    bare.tools = vec![Tool { kind: ToolKind::Native { at: 0, name: "web_search".into(), raw: "{}" }, cache: None }];
    assert_eq!(refused(&bare), (BodyFaultKind::Unsupported, Some("tools[0]".into())));
}

#[test]
fn t18_names_that_google_does_not_take_are_told() {
    for (name, is_taken) in [
        ("get_weather", true),
        ("a.b:c-d", true),
        ("_x", true),
        ("1st", false),
        ("-x", false),
        ("", false),
        ("ä", false),
        ("a b", false),
    ] {
        assert_eq!(super::super::egress::takes_name(name), is_taken, "{name}");
    }
    assert!(!super::super::egress::takes_name(&"a".repeat(65)));
}

/// A conversation with two calls at once whose results come back in another order, with words in between.
fn parallel() -> Request<'static> {
    request(vec![
        say(Role::User, "q"),
        turn(Role::Assistant, vec![Part::text("let me see"), call("c1", "f", r#"{"a":1}"#), call("c2", "g", "")]),
        say(Role::User, "hurry"),
        turn(Role::User, vec![result("c2", vec![Part::text("two")])]),
        turn(Role::User, vec![result("c1", vec![Part::text(r#"{"n":1.0}"#)]), Part::text("well?")]),
    ])
}

#[test]
fn t21_all_results_of_a_step_are_one_content_right_behind_the_calls() {
    let (body, losses) = ask(&parallel());
    let expected = json!([
        {"role": "user", "parts": [{"text": "q"}]},
        {"role": "model", "parts": [
            {"text": "let me see"},
            {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
            {"functionCall": {"id": "c2", "name": "g", "args": {}}},
        ]},
        {"role": "user", "parts": [
            {"functionResponse": {"id": "c1", "name": "f", "response": {"n": 1.0}}},
            {"functionResponse": {"id": "c2", "name": "g", "response": {"output": "two"}}},
        ]},
        {"role": "user", "parts": [{"text": "hurry"}, {"text": "well?"}]},
    ]);
    assert_eq!((body["contents"].clone(), losses.as_str()), (expected, ""));
    // Vertex has no ids: the order alone tells results apart.
    let carry = carry();
    let (body, _) = asked(&parallel(), &wanted("gemini-2.5-flash", &["vertex"], &carry)).unwrap();
    assert_eq!(body["contents"][1]["parts"][1], json!({"functionCall": {"name": "f", "args": {"a": 1}}}));
    assert_eq!(body["contents"][2]["parts"][0]["functionResponse"], json!({"name": "f", "response": {"n": 1.0}}));
}

#[test]
fn t20_ids_that_were_made_up_are_not_sent_back() {
    let (body, _) = ask(&request(vec![
        say(Role::User, "q"),
        turn(Role::Assistant, vec![call("tgcall_resp_1", "f", "{}")]),
        turn(Role::User, vec![result("tgcall_resp_1", vec![Part::text("x")])]),
    ]));
    assert_eq!(body["contents"][1]["parts"][0], json!({"functionCall": {"name": "f", "args": {}}}));
    assert_eq!(body["contents"][2]["parts"][0]["functionResponse"]["name"], "f");
    assert_eq!(body["contents"][2]["parts"][0]["functionResponse"].get("id"), None);
}

#[test]
fn t21_results_are_objects_whatever_they_were() {
    let respond = |content: Vec<Part<'static>>, is_error: bool| {
        let result = Part::new(PartBody::ToolResult { id: "c".into(), name: Some("f".into()), content, is_error });
        let turns = vec![
            say(Role::User, "q"),
            turn(Role::Assistant, vec![call("c", "f", "{}")]),
            turn(Role::User, vec![result]),
        ];
        ask(&request(turns)).0["contents"][2]["parts"][0]["functionResponse"]["response"].clone()
    };
    assert_eq!(respond(vec![Part::text("x")], false), json!({"output": "x"}));
    assert_eq!(respond(vec![Part::text("x"), Part::text("y")], false), json!({"output": "x\ny"}));
    assert_eq!(respond(vec![Part::text("[1,2]")], false), json!({"output": [1, 2]}));
    assert_eq!(respond(vec![Part::text("7")], false), json!({"output": "7"}));
    assert_eq!(respond(vec![], false), json!({"output": ""}));
    assert_eq!(respond(vec![Part::text("no")], true), json!({"error": "no"}));
    assert_eq!(respond(vec![Part::text(r#"{"code":1}"#)], true), json!({"error": {"code": 1}}));
    assert_eq!(respond(vec![Part::text(r#"{"error":"x","code":1}"#)], true), json!({"error": "x", "code": 1}));
}

#[test]
fn t26_media_of_results_stand_inside_or_beside_and_never_vanish() {
    let pdf = || Part::media(MediaKind::File, Some("application/pdf"), Source::Inline("JVBE".into()));
    let of = |model: &str| {
        let results = vec![result("c1", vec![Part::text("see"), png(), pdf()]), result("c2", vec![png()])];
        let calls = vec![signed(call("c1", "f", "{}"), Signature::Own("s".into())), call("c2", "f", "{}")];
        let request = request(vec![say(Role::User, "q"), turn(Role::Assistant, calls), turn(Role::User, results)]);
        let (body, losses) = ask_of(model, &request);
        (body["contents"][2]["parts"].clone(), losses)
    };
    let blob = json!({"inlineData": {"mimeType": "image/png", "data": "iVBO"}});
    let document = json!({"inlineData": {"mimeType": "application/pdf", "data": "JVBE"}});
    let respond = |id: &str, text: &str| json!({"id": id, "name": "f", "response": {"output": text}});
    let (parts, losses) = of("gemini-2.5-flash");
    let expected = json!([{"functionResponse": respond("c1", "see")}, {"functionResponse": respond("c2", "")}, blob, document, blob]);
    assert_eq!((parts, losses.as_str()), (expected, "tool_media"));
    let (parts, losses) = of("gemini-3-flash");
    let (mut first, mut second) = (respond("c1", "see"), respond("c2", ""));
    first["parts"] = json!([blob]);
    second["parts"] = json!([blob]);
    let expected = json!([{"functionResponse": first}, {"functionResponse": second}, document]);
    assert_eq!((parts, losses.as_str()), (expected, "tool_media"));
}

#[test]
fn t25_t27_media_go_with_their_types() {
    let mut named = Part::media(MediaKind::File, None, Source::Inline("JVBE".into()));
    if let PartBody::Media(media) = &mut named.body {
        media.name = Some("a.pdf".into());
        media.detail = Some("high".into());
    }
    let (body, losses) = ask(&request(vec![turn(
        Role::User,
        vec![
            png(),
            named,
            Part::media(MediaKind::Audio, Some("audio/wav"), Source::Inline("UklG".into())),
            Part::media(MediaKind::Image, None, Source::Url("https://x.example/cat.jpg?w=1".into())),
            Part::media(MediaKind::Video, None, Source::Url("https://x.example/watch?v=1".into())),
            Part::media(MediaKind::File, None, Source::Text("plain".into())),
        ],
    )]));
    let expected = json!([
        {"inlineData": {"mimeType": "image/png", "data": "iVBO"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBE"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "UklG"}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x.example/cat.jpg?w=1"}},
        {"fileData": {"fileUri": "https://x.example/watch?v=1"}},
        {"inlineData": {"mimeType": "text/plain", "data": "cGxhaW4="}},
    ]);
    assert_eq!((body["contents"][0]["parts"].clone(), losses.as_str()), (expected, "image_detail, file_name"));
    let untyped =
        request(vec![turn(Role::User, vec![Part::media(MediaKind::Image, None, Source::Inline("iVBO".into()))])]);
    assert_eq!(refused(&untyped), (BodyFaultKind::Unsupported, Some("messages[0].content[1]".into())));
    let kept =
        request(vec![turn(Role::User, vec![Part::media(MediaKind::File, None, Source::FileId("file-1".into()))])]);
    assert_eq!(refused(&kept), (BodyFaultKind::Unsupported, Some("messages[0].content[1]".into())));
    let carry = carry();
    let far = request(vec![turn(
        Role::User,
        vec![Part::media(MediaKind::Video, None, Source::Url("https://x.example/v".into()))],
    )]);
    assert!(asked(&far, &wanted("gemini-2.5-flash", &["vertex"], &carry)).is_err());
}

#[test]
fn large_media_are_shared_with_the_clients_body() {
    let body = Bytes::from(format!(
        r#"{{"contents":[{{"parts":[{{"inlineData":{{"mimeType":"image/png","data":"{}"}}}}]}}]}}"#,
        "A".repeat(100_000)
    ));
    let scan = DIALECT.scan(&body).unwrap();
    let mut tape = Tape::default();
    let carry = carry();
    let request = super::super::ingress::decode(tape.read_strictly(&body).unwrap(), &scan, &carry).unwrap();
    let mut out = Writer::new(&body);
    super::super::egress::encode(&request, &wanted("m", &[], &carry), &mut out, &mut Losses::default()).unwrap();
    let segments = out.finish();
    let range = body.as_ptr_range();
    assert!(segments.parts().iter().any(|part| part.len() == 100_000 && range.contains(&part.as_ptr())));
}

#[test]
fn t44_a_signature_goes_back_on_its_very_part_and_a_stand_in_where_none_is() {
    let own = |text: &'static str| Signature::Own(text.into());
    let steps = |first: Part<'static>, second: Part<'static>| {
        request(vec![
            say(Role::User, "q"),
            turn(Role::Assistant, vec![first, second]),
            turn(Role::User, vec![result("c1", vec![]), result("c2", vec![])]),
        ])
    };
    let parts = |model: &str, request: &Request<'_>| {
        let (body, losses) = ask_of(model, request);
        let parts = body["contents"][1]["parts"].as_array().unwrap().clone();
        (parts.into_iter().map(|part| part["thoughtSignature"].clone()).collect::<Vec<_>>(), losses)
    };
    const DUMMY: &str = "skip_thought_signature_validator";
    let (c1, c2) = (|| call("c1", "f", "{}"), || call("c2", "f", "{}"));
    let real = steps(signed(c1(), own("Es+/=")), c2());
    assert_eq!(parts("gemini-3-flash", &real), (vec![json!("Es+/="), Json::Null], String::new()));
    let late = steps(c1(), signed(c2(), own("x")));
    assert_eq!(parts("gemini-3-flash", &late).0, [Json::Null, json!("x")]);
    let none = steps(c1(), c2());
    assert_eq!(parts("gemini-3-flash", &none), (vec![json!(DUMMY), Json::Null], String::new()));
    assert_eq!(parts("gemini-flash-latest", &none).0, [json!(DUMMY), Json::Null]);
    for old in ["gemini-2.5-flash", "gemini-2.0-flash", "gemma-3-27b-it"] {
        assert_eq!(parts(old, &none).0, [Json::Null, Json::Null], "{old}");
    }
    // T45: what another endpoint sealed is no signature here.
    let foreign = steps(signed(c1(), Signature::Foreign("Zm9v".into())), c2());
    assert_eq!(parts("gemini-3-flash", &foreign), (vec![json!(DUMMY), Json::Null], "reasoning_signature".into()));
    assert_eq!(parts("gemini-2.5-flash", &foreign), (vec![Json::Null, Json::Null], "reasoning_signature".into()));
}

#[test]
fn t42_t45_thoughts_go_back_where_they_are_the_endpoints_own() {
    let thought = |text: &'static str, is_redacted| {
        Part::new(PartBody::Thought(Thought { text: text.into(), is_redacted, ..Thought::default() }))
    };
    let own = || Signature::Own("s".into());
    let foreign = || Signature::Foreign("f".into());
    let (body, losses) = ask(&request(vec![
        say(Role::User, "q"),
        turn(
            Role::Assistant,
            vec![
                signed(thought("mine", false), own()),
                signed(thought("", true), own()),
                signed(thought("theirs", false), foreign()),
                thought("unsigned", false),
                signed(Part::text("answer"), own()),
            ],
        ),
    ]));
    let expected = json!([
        {"text": "mine", "thought": true, "thoughtSignature": "s"},
        {"text": "", "thoughtSignature": "s"},
        {"text": "answer", "thoughtSignature": "s"},
    ]);
    assert_eq!((body["contents"][1]["parts"].clone(), losses.as_str()), (expected, "reasoning, reasoning_signature"));
    // A client of this dialect brings its own; what we carried for another endpoint stays behind.
    let seal = Carry::new(b"s", "o", "p", "another").wrap_base64("x");
    let (body, losses) = crossed(
        &format!(
            r#"{{"contents":[{{"parts":[{{"text":"q"}}]}},{{"role":"model","parts":[
            {{"text":"shown","thought":true}},{{"text":"answer","thoughtSignature":"Rm9v"}},
            {{"text":"far","thought":true,"thoughtSignature":"{seal}"}}]}}]}}"#
        ),
        "gemini-2.5-flash",
        &[],
    );
    let expected = json!([{"text": "shown", "thought": true}, {"text": "answer", "thoughtSignature": "Rm9v"}]);
    assert_eq!(
        (body["contents"][1]["parts"].clone(), losses.to_string().as_str()),
        (expected, "reasoning, reasoning_signature")
    );
}

#[test]
fn t15_t28_marks_names_and_citations_are_told_as_lost() {
    let mut marked = Part::text("hi");
    marked.cache = Some(crate::model::CacheMark::Minutes);
    let cited = Part::new(PartBody::Text { text: "as said".into(), annotations: Some("[1]".into()) });
    let refusal = Part::new(PartBody::Refusal("I will not".into()));
    let other = Part::new(PartBody::Other { raw: "{}".into() });
    let mut spoken = turn(Role::User, vec![marked, other]);
    spoken.name = Some("Ann".into());
    let (body, losses) = ask(&request(vec![spoken, turn(Role::Assistant, vec![cited, refusal])]));
    assert_eq!(body["contents"][1]["parts"], json!([{"text": "as said"}, {"text": "I will not"}]));
    assert_eq!(losses, "cache_control, name, part, annotations, refusal");
}

#[test]
fn the_service_tier_is_said_where_it_has_a_word() {
    for (tier, quirks, said, losses) in [
        ("auto", &[][..], Json::Null, ""),
        ("default", &[], json!("standard"), ""),
        ("flex", &[], json!("flex"), ""),
        ("priority", &[], json!("priority"), ""),
        ("scale", &[], Json::Null, "service_tier"),
        ("flex", &["vertex"], Json::Null, "service_tier"),
    ] {
        let mut request = request(vec![say(Role::User, "hi")]);
        request.params.service_tier = Some(tier.into());
        let carry = carry();
        let (body, lost) = asked(&request, &wanted("gemini-3-flash", quirks, &carry)).unwrap();
        assert_eq!((body["serviceTier"].clone(), lost.to_string().as_str()), (said, losses), "{tier}");
    }
}
