use serde_json::json;

use super::*;
use crate::error::BodyFaultKind;
use crate::model::Format;

#[test]
fn t01_system_text_stands_apart_in_order_and_with_its_marks() {
    let developer = turn(Role::Developer, vec![Part::text("Be kind.")]);
    let parts = vec![Part::text("Be brief."), marked(Part::text("Be exact."), CacheMark::Hour)];
    let (body, losses) = encode(&request(vec![turn(Role::System, parts), developer, user("Hi")]), of(CLAUDE));
    assert_eq!(
        body["system"],
        json!([
            {"text": "Be brief."},
            {"text": "Be exact."},
            {"cachePoint": {"type": "default", "ttl": "1h"}},
            {"text": "Be kind."},
        ])
    );
    assert_eq!(losses, "developer");
    let (body, losses) = encode(&request(vec![user("Hi"), system("Now rhyme."), assistant("Ho")]), of(CLAUDE));
    assert_eq!(body["system"], json!([{"text": "Now rhyme."}]));
    assert_eq!(losses, "system_place");
    let (body, losses) = encode(&request(vec![system("Say hi.")]), of(CLAUDE));
    assert_eq!(body, json!({"messages": [{"role": "user", "content": [{"text": "Say hi."}]}]}));
    assert_eq!(losses, "system_place");
    let (body, losses) = encode(&request(vec![system(" "), user("Hi")]), of(CLAUDE));
    assert!(body.get("system").is_none() && losses == "empty_part");
}

#[test]
fn t02_sides_take_turns_and_the_user_begins() {
    let turns = vec![assistant("Welcome."), user("a"), user("b"), assistant("c"), assistant("d"), user("e")];
    assert_eq!(
        messages(&request(turns), of(NOVA)),
        json!([
            {"role": "user", "content": [{"text": "(continued)"}]},
            {"role": "assistant", "content": [{"text": "Welcome."}]},
            {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
            {"role": "assistant", "content": [{"text": "c"}, {"text": "d"}]},
            {"role": "user", "content": [{"text": "e"}]},
        ])
    );
}

#[test]
fn t03_t04_every_text_survives_in_order_and_blank_ones_are_left_out() {
    let parts = vec![Part::text("a"), Part::text(" \n"), Part::text("b\n"), Part::text("")];
    let turns = vec![turn(Role::User, parts), assistant(""), user("c")];
    let (body, losses) = encode(&request(turns), of(CLAUDE));
    let expected = json!([{"role": "user", "content": [{"text": "a"}, {"text": "b\n"}, {"text": "c"}]}]);
    assert_eq!(body["messages"], expected);
    assert_eq!(losses, "empty_part");
    let mut turns = vec![user("x"), turn(Role::Assistant, vec![Part::text(""), call("1", "f", "{}")])];
    turns.push(turn(Role::User, vec![result("1", vec![Part::text("y")], false)]));
    let (body, losses) = encode(&request(turns), of(CLAUDE));
    assert_eq!(body["messages"][1]["content"], json!([{"toolUse": {"toolUseId": "1", "name": "f", "input": {}}}]));
    assert_eq!(losses, "");
    let fault = try_encode(&request(vec![user(" ")]), of(CLAUDE)).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("messages"));
}

#[test]
fn t05_a_limit_comes_from_the_gateway_or_the_client_or_for_claude_from_the_catalogue() {
    let mut asked = request(vec![user("Hi")]);
    let most = |request: &Request<'_>, endpoint| encode(request, endpoint).0["inferenceConfig"]["maxTokens"].as_u64();
    let catalogue = |model| Endpoint { max_output: Some(64_000), ..of(model) };
    assert_eq!(most(&asked, catalogue(CLAUDE)), Some(64_000));
    assert_eq!(most(&asked, catalogue(NOVA)), None);
    assert_eq!(most(&asked, of(CLAUDE)), None);
    asked.params.max_output = Some(100);
    assert_eq!(most(&asked, catalogue(CLAUDE)), Some(100));
    assert_eq!(most(&asked, Endpoint { token_limit: Some(9), ..catalogue(NOVA) }), Some(9));
}

#[test]
fn t06_sampling_is_what_the_model_takes() {
    let sampled = |temperature, top_p, top_k| {
        let mut asked = request(vec![user("Hi")]);
        (asked.params.temperature, asked.params.top_p, asked.params.top_k) = (temperature, top_p, top_k);
        asked
    };
    let all = sampled(Some("0.70"), Some("0.9"), Some("40"));
    for (asked, endpoint, inference, additional, lost) in [
        (&all, of(CLAUDE), json!({"temperature": 0.70}), json!({"top_k": 40}), "top_p"),
        (&all, of(NOVA), json!({"temperature": 0.70, "topP": 0.9}), json!({"inferenceConfig": {"topK": 40}}), ""),
        (&all, of(QWEN), json!({"temperature": 0.70, "topP": 0.9}), Value::Null, "top_k"),
        (&all, with(CLAUDE, &["no-sampling"]), Value::Null, Value::Null, "temperature, top_p, top_k"),
        (&sampled(Some("1.8"), None, None), of(CLAUDE), json!({"temperature": 1}), Value::Null, "temperature_range"),
        (&sampled(None, Some("0.5"), None), of(CLAUDE), json!({"topP": 0.5}), Value::Null, ""),
    ] {
        let (body, losses) = encode(asked, endpoint);
        assert_eq!((&body["inferenceConfig"], &body["additionalModelRequestFields"]), (&inference, &additional));
        assert_eq!(losses, lost);
    }
}

#[test]
fn t07_stop_sequences_are_sent_and_the_one_that_is_met_is_asked_for() {
    let mut asked = request(vec![user("Hi")]);
    asked.params.stop = vec!["END".into(), "\n".into(), "".into()];
    let (body, losses) = encode(&asked, of(CLAUDE));
    assert_eq!(body["inferenceConfig"]["stopSequences"], json!(["END"]));
    assert_eq!(body["additionalModelResponseFieldPaths"], json!(["/stop_sequence", "/delta/stop_sequence"]));
    assert_eq!(losses, "stop_blank");
    let (body, _) = encode(&asked, of(NOVA));
    assert_eq!(body["inferenceConfig"]["stopSequences"], json!(["END", "\n"]));
    assert!(body.get("additionalModelResponseFieldPaths").is_none());
    let (body, losses) = encode(&asked, with(GPT, &["no-stop"]));
    assert!(body.get("inferenceConfig").is_none() && losses == "stop");
}

#[test]
fn t08_what_cannot_be_said_is_named_or_refused() {
    let mut asked = request(vec![user("Hi")]);
    let params = &mut asked.params;
    (params.frequency_penalty, params.presence_penalty, params.repetition_penalty) =
        (Some("0"), Some("0.0"), Some("1"));
    (params.logprobs, params.top_logprobs, params.choices) = (Some(false), Some(0), Some(1));
    params.logit_bias = Some("{}");
    assert_eq!(encode(&asked, of(CLAUDE)).1, "", "what changes nothing is no loss");
    let params = &mut asked.params;
    (params.seed, params.min_p, params.logprobs) = (Some("1"), Some("0.1"), Some(true));
    params.frequency_penalty = Some("0.5");
    assert_eq!(encode(&asked, of(CLAUDE)).1, "min_p, frequency_penalty, seed, logprobs");
    asked.params.choices = Some(2);
    assert_eq!(try_encode(&asked, of(CLAUDE)).unwrap_err().param.as_deref(), Some("n"));
}

fn shaped(format: Format<'static>) -> Request<'static> {
    let mut asked = request(vec![user("Hi")]);
    asked.params.format = Some(format);
    asked
}

const SCHEMA: &str =
    r#"{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":false}"#;

fn schema(schema: &'static str) -> Format<'static> {
    Format::Schema { name: Some("made".into()), description: None, schema: schema.into(), strict: Some(true) }
}

#[test]
fn t09_a_schema_is_native_or_a_forced_tool_or_said_in_words() {
    let (body, losses) = encode(&shaped(schema(SCHEMA)), of(CLAUDE));
    let native =
        json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": SCHEMA, "name": "made"}}}});
    assert_eq!((&body["outputConfig"], losses.as_str()), (&native, ""));

    let (body, losses) = encode(&shaped(schema(SCHEMA)), of(NOVA));
    assert_eq!(losses, "");
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"tool": {"name": "tollgate_answer"}}));
    let spec = &body["toolConfig"]["tools"][0]["toolSpec"];
    assert_eq!(spec["inputSchema"]["json"], serde_json::from_str::<Value>(SCHEMA).unwrap());

    let mut with_tools = shaped(schema(SCHEMA));
    with_tools.tools = vec![tool("f")];
    let (body, _) = encode(&with_tools, of(NOVA));
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"any": {}}));
    assert_eq!(body["toolConfig"]["tools"].as_array().map(Vec::len), Some(2));

    for (asked, endpoint, lost) in [
        (shaped(schema(SCHEMA)), of(LLAMA), "json_schema"),
        (shaped(schema(r#"{"type":"array"}"#)), of(NOVA), "json_schema"),
        (shaped(Format::Json), of(CLAUDE), "json_mode"),
    ] {
        let (body, losses) = encode(&asked, endpoint);
        assert!(body["system"][0]["text"].as_str().unwrap().starts_with("Answer with one JSON"));
        assert!(losses == lost && body.get("toolConfig").is_none() && body.get("outputConfig").is_none());
    }
    assert!(encode(&shaped(Format::Text), of(NOVA)).0.get("toolConfig").is_none());
}

#[test]
fn t10_schemas_of_tools_are_carried_untouched_but_say_that_they_are_objects() {
    let with_schema = |schema| {
        let mut asked = request(vec![user("Hi")]);
        let kind = ToolKind::Function { name: "f".into(), description: Some(" ".into()), schema, strict: None };
        asked.tools = vec![Tool { kind, cache: None }];
        let (body, _) = encode(&asked, of(CLAUDE));
        body["toolConfig"]["tools"][0]["toolSpec"].clone()
    };
    let full = r##"{"$defs":{"a":{"type":"string"}},"type":"object","properties":{"x":{"$ref":"#/$defs/a"}}}"##;
    let as_value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(with_schema(Some(full.into())), json!({"name": "f", "inputSchema": {"json": as_value(full)}}));
    assert_eq!(with_schema(None)["inputSchema"]["json"], json!({"type": "object", "properties": {}}));
    assert_eq!(with_schema(Some(" { } ".into()))["inputSchema"]["json"], json!({"type": "object"}));
    let untyped = with_schema(Some(r#"{"properties":{"type":{"type":"string"}}}"#.into()));
    assert_eq!(untyped["inputSchema"]["json"], json!({"type": "object", "properties": {"type": {"type": "string"}}}));
}

#[test]
fn t15_marks_for_the_cache_are_elements_of_their_own_behind_what_they_mark() {
    let turns = || {
        let inner = vec![marked(Part::text("22 C"), CacheMark::Minutes)];
        vec![
            turn(Role::System, vec![marked(Part::text("s"), CacheMark::Minutes)]),
            turn(Role::User, vec![marked(Part::text("u"), CacheMark::Minutes), Part::text("v")]),
            turn(Role::Assistant, vec![marked(call("1", "f", "{}"), CacheMark::Hour)]),
            turn(Role::User, vec![Part::text("w"), result("1", inner, false)]),
        ]
    };
    let mut asked = request(turns());
    asked.tools = vec![tool("f"), Tool { cache: Some(CacheMark::Hour), ..tool("g") }];
    let (body, losses) = encode(&asked, of(CLAUDE));
    let (point, hour) =
        (json!({"cachePoint": {"type": "default"}}), json!({"cachePoint": {"type": "default", "ttl": "1h"}}));
    assert_eq!(losses, "");
    assert_eq!(body["system"], json!([{"text": "s"}, point]));
    assert_eq!(body["toolConfig"]["tools"][2], hour);
    assert_eq!(body["messages"][0]["content"], json!([{"text": "u"}, point, {"text": "v"}]));
    assert_eq!(body["messages"][1]["content"][1], hour);
    let result = json!({"toolResult": {"toolUseId": "1", "content": [{"text": "22 C"}]}});
    assert_eq!(body["messages"][2]["content"], json!([result, point, {"text": "w"}]));

    let (body, losses) = encode(&asked, of(NOVA));
    assert_eq!(body["messages"][1]["content"][1], point, "an hour is more than Nova gives");
    assert_eq!((body["toolConfig"]["tools"].as_array().map(Vec::len), losses.as_str()), (Some(2), "cache_control"));
    for endpoint in [of(QWEN), with(CLAUDE, &["no-cache-points"])] {
        let (body, losses) = encode(&asked, endpoint);
        assert!(!body.to_string().contains("cachePoint") && losses == "cache_control");
    }
    let blank = turn(Role::User, vec![marked(Part::text(""), CacheMark::Minutes), Part::text("x")]);
    let (body, losses) = encode(&request(vec![blank]), of(CLAUDE));
    assert_eq!((&body["messages"][0]["content"], losses.as_str()), (&json!([{"text": "x"}]), "cache_control"));
    let twice = vec![marked(Part::text("x"), CacheMark::Minutes), marked(Part::text(""), CacheMark::Hour)];
    let (body, _) = encode(&request(vec![turn(Role::User, twice)]), of(CLAUDE));
    assert_eq!(body["messages"][0]["content"], json!([{"text": "x"}, hour]));
}

#[test]
fn t25_t26_t27_media_are_sent_by_format_or_refused_with_their_place() {
    let parts = vec![
        Part::text("Look."),
        inline(MediaKind::Image, "image/jpeg"),
        file("Q3 report.pdf"),
        file("q3 report.pdf"),
        media(MediaKind::File, "text/plain", Source::Text("plain".into())),
        inline(MediaKind::Audio, "audio/wav"),
        inline(MediaKind::Video, "video/mp4"),
    ];
    let (body, losses) = encode(&request(vec![turn(Role::User, parts)]), of(NOVA));
    let bytes = |kind: &str, format: &str| json!({kind: {"format": format, "source": {"bytes": "AAAA"}}});
    let document = |name: &str, format: &str, bytes: &str| json!({"document": {"format": format, "name": name, "source": {"bytes": bytes}}});
    assert_eq!(
        body["messages"][0]["content"],
        json!([
            {"text": "Look."},
            bytes("image", "jpeg"),
            document("Q3 report", "pdf", "JVBERi0="),
            document("q3 report (2)", "pdf", "JVBERi0="),
            document("document", "txt", "cGxhaW4="),
            bytes("audio", "wav"),
            bytes("video", "mp4"),
        ])
    );
    assert_eq!(losses, "");
    let alone = messages(&request(vec![turn(Role::User, vec![file("a.pdf")])]), of(CLAUDE));
    assert_eq!(alone[0]["content"][0], json!({"text": "a"}), "a document is not sent without a text");
    for (part, role) in [
        (media(MediaKind::Image, "image/png", Source::Url("https://example.org/a.png".into())), Role::User),
        (media(MediaKind::Image, "image/png", Source::Url("s3://bucket/a.png".into())), Role::User),
        (media(MediaKind::File, "application/pdf", Source::FileId("file-1".into())), Role::User),
        (inline(MediaKind::Image, "image/tiff"), Role::User),
        (inline(MediaKind::Image, "image/png"), Role::Assistant),
        (inline(MediaKind::Image, "image/png"), Role::System),
    ] {
        let fault =
            try_encode(&request(vec![user("x"), turn(role, vec![Part::text("y"), part])]), of(CLAUDE)).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("messages[0].content[1]"));
        assert!(fault.message.starts_with("`messages[0].content[1]` cannot be sent: "), "{}", fault.message);
        assert_eq!(fault.kind, BodyFaultKind::Unsupported);
    }
}

#[test]
fn tiers_and_metadata_pass_where_bedrock_has_them() {
    let asked = |tier: &'static str, metadata| {
        let mut asked = request(vec![user("Hi")]);
        (asked.params.service_tier, asked.params.metadata) = (Some(tier.into()), metadata);
        encode(&asked, of(CLAUDE))
    };
    let (body, losses) = asked("flex", Some(r#"{"team":"a b","n\u0061me":"x@y"}"#));
    assert_eq!(body["serviceTier"], json!({"type": "flex"}));
    assert_eq!((&body["requestMetadata"], losses.as_str()), (&json!({"team": "a b", "name": "x@y"}), ""));
    let (body, losses) = asked("auto", Some("{}"));
    assert!(body.get("serviceTier").is_none() && body.get("requestMetadata").is_none() && losses.is_empty());
    for metadata in [r#"{"a":"größe"}"#, r#"{"a":1}"#, r#"{"":"a"}"#, "[]"] {
        assert_eq!(asked("scale", Some(metadata)).1, "service_tier, metadata");
    }
}

#[test]
fn speakers_refusals_citations_and_unknown_things_are_named_when_they_are_lost() {
    let named = Turn { name: Some("ann".into()), ..user("Hi") };
    let cited = Part::new(PartBody::Text { text: "a".into(), annotations: Some("[{}]".into()) });
    let refused = Part::new(PartBody::Refusal("no".into()));
    let other = Part::new(PartBody::Other { raw: "{}".into() });
    let turns = vec![named, turn(Role::Assistant, vec![cited, refused, other]), user("x")];
    let (body, losses) = encode(&request(turns), of(CLAUDE));
    assert_eq!(body["messages"][1]["content"], json!([{"text": "a"}, {"text": "no"}]));
    assert_eq!(losses, "name, part, annotations, refusal");
}

#[test]
fn a_large_image_is_shared_with_the_clients_request_and_not_copied() {
    let body = Bytes::from(format!("\"{}\"", "A".repeat(100_000)));
    let data = std::str::from_utf8(&body[1..100_001]).unwrap();
    let shown = Media {
        kind: MediaKind::Image,
        mime: Some("image/png".into()),
        source: Source::Inline(data.into()),
        name: None,
        detail: None,
        at: String::new(),
    };
    let parts = vec![Part::new(PartBody::Media(shown))];
    let turns = vec![Turn { at: 0, role: Role::User, parts, name: None }];
    let asked = Request { from: "elsewhere", turns, ..Request::default() };
    let carry = Carry::default();
    let mut out = Writer::new(&body);
    let egress = DIALECT.egress.unwrap();
    egress.encode(&asked, &RequestEdits::new(CLAUDE, &carry), &mut out, &mut Losses::default()).unwrap();
    let sent = out.finish();
    assert!(sent.parts().iter().any(|part| part.as_ptr() == data.as_ptr() && part.len() == data.len()));
}
