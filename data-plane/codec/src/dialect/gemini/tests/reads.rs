//! Requests of clients: every recorded one, and what each field means.

use serde_json::{Value as Json, json};

use super::*;
use crate::error::BodyFaultKind;
use crate::model::{Effort, Format, MediaKind, PartBody, Role, Signature, Source, ToolChoice, ToolKind};

/// What a request means, whatever its spelling: camelCase, null as absent, lists around lone items, and defaults out.
fn meaning(value: &Json) -> Json {
    match value {
        Json::Object(fields) => {
            let mut out = serde_json::Map::new();
            for (name, value) in fields {
                if value.is_null() {
                    continue;
                }
                let name = crate::dialect::gemini::spelling::camel(name.as_str().into()).into_owned();
                out.insert(name, meaning(value));
            }
            Json::Object(out)
        }
        Json::Array(items) => Json::Array(items.iter().map(meaning).collect()),
        other => other.clone(),
    }
}

/// Brings both bodies to the common subset. What is let go of, and why:
fn canonical(body: &Json) -> Json {
    let mut body = meaning(body);
    // Lone parts are lists; a text that is no thought need not say so; base64 has one alphabet.
    let mut contents: Vec<&mut Json> = Vec::new();
    let object = body.as_object_mut().unwrap();
    for (name, value) in object.iter_mut() {
        match name.as_str() {
            "contents" => contents.extend(value.as_array_mut().unwrap()),
            "systemInstruction" => contents.push(value),
            _ => {}
        }
    }
    for content in contents {
        if content["parts"].is_object() {
            content["parts"] = json!([content["parts"]]);
        }
        for part in content["parts"].as_array_mut().unwrap() {
            let part = part.as_object_mut().unwrap();
            if part.get("thought") == Some(&json!(false)) {
                part.remove("thought");
            }
            if let Some(data) = part.get_mut("inlineData").and_then(|blob| blob.get_mut("data")) {
                *data = json!(data.as_str().unwrap().replace('-', "+").replace('_', "/"));
            }
            // A response is wrapped in Google's own word, whatever word the client had.
            if let Some(response) = part.get_mut("functionResponse").and_then(|result| result.get_mut("response"))
                && let Some(given) = ["result", "returnValue", "output"].iter().find_map(|name| response.get(name))
            {
                *response = json!({"output": given});
            }
        }
    }
    // The role of system text says nothing, and neither does an empty system text.
    let system = object.get("systemInstruction").map(|system| system["parts"].clone());
    match system {
        Some(parts) if parts == json!([{"text": ""}]) => drop(object.remove("systemInstruction")),
        Some(parts) => drop(object.insert("systemInstruction".into(), json!({ "parts": parts }))),
        None => {}
    }
    if let Some(config) = object.get_mut("generationConfig").and_then(Json::as_object_mut) {
        // Text alone is what there is without asking.
        if config.get("responseMimeType") == Some(&json!("text/plain")) {
            config.remove("responseMimeType");
        }
        if config.get("responseModalities") == Some(&json!(["TEXT"])) {
            config.remove("responseModalities");
        }
        // Google's schemas become JSON schemas: compared by the tests of the schemas.
        if config.remove("responseSchema").is_some() || config.remove("responseJsonSchema").is_some() {
            config.insert("schema".into(), json!(true));
        }
        if let Some(thinking) = config.get_mut("thinkingConfig").and_then(Json::as_object_mut) {
            if let Some(level) = thinking.get_mut("thinkingLevel") {
                *level = json!(level.as_str().unwrap().to_lowercase());
            }
            // As much as the model likes is what there is without asking.
            if thinking.get("thinkingBudget") == Some(&json!(-1)) {
                thinking.remove("thinkingBudget");
            }
            // Not to think is not to show thoughts; to show is said where it is asked for.
            if thinking.get("includeThoughts") == Some(&json!(false)) {
                thinking.remove("includeThoughts");
            }
        }
        if config.is_empty() {
            object.remove("generationConfig");
        }
    }
    for tool in object.get_mut("tools").and_then(Json::as_array_mut).into_iter().flatten() {
        for function in tool.get_mut("functionDeclarations").and_then(Json::as_array_mut).into_iter().flatten() {
            let function = function.as_object_mut().unwrap();
            if function.remove("parameters").is_some() || function.remove("parametersJsonSchema").is_some() {
                function.insert("schema".into(), json!(true));
            }
            if function.get("description") == Some(&json!("")) {
                function.remove("description");
            }
        }
    }
    body
}

#[test]
fn every_recorded_request_means_the_same_when_it_is_written_again() {
    for case in cases() {
        let Some(request) = case.request else { continue };
        let body = std::str::from_utf8(&request).unwrap();
        let (written, losses) = crossed(body, &case.model, &[]);
        assert_eq!(canonical(&written), canonical(&json(body)), "{}", case.name);
        assert!(losses.is_empty(), "{}: {losses}", case.name);
        // Once written it is written the same for ever.
        let (again, _) = crossed(&written.to_string(), &case.model, &[]);
        assert_eq!(again, written, "{}", case.name);
    }
}

fn fault(body: &str) -> (BodyFaultKind, String) {
    let fault = decoded(body, |_| ()).unwrap_err();
    (fault.kind, fault.param.unwrap())
}

#[test]
fn a_wrong_type_is_named_by_its_place() {
    use BodyFaultKind::{Missing, WrongType};
    for (body, kind, path) in [
        (r#"{"contents":[7]}"#, WrongType, "contents[0]"),
        (r#"{"contents":[{"role":7}]}"#, WrongType, "contents[0].role"),
        (r#"{"contents":[{"parts":"x"}]}"#, WrongType, "contents[0].parts"),
        (r#"{"contents":[{},{"parts":[{"text":7}]}]}"#, WrongType, "contents[1].parts[0].text"),
        (r#"{"contents":[{"parts":[{"thought":"x"}]}]}"#, WrongType, "contents[0].parts[0].thought"),
        (
            r#"{"contents":[{"parts":[{"inline_data":{"data":"eA=="}}]}]}"#,
            Missing,
            "contents[0].parts[0].inlineData.mimeType",
        ),
        (r#"{"contents":[{"parts":[{"functionCall":{}}]}]}"#, Missing, "contents[0].parts[0].functionCall.name"),
        (
            r#"{"contents":[{"parts":[{"functionCall":{"name":"f","args":[]}}]}]}"#,
            WrongType,
            "contents[0].parts[0].functionCall.args",
        ),
        (
            r#"{"contents":[{"parts":[{"functionResponse":{"name":"f","response":"x"}}]}]}"#,
            WrongType,
            "contents[0].parts[0].functionResponse.response",
        ),
        (
            r#"{"contents":[{"parts":[{"functionResponse":{"name":"f","response":{},"parts":[{"text":"x"}]}}]}]}"#,
            WrongType,
            "contents[0].parts[0].functionResponse.parts[0]",
        ),
        (
            r#"{"contents":[{}],"tools":[{"functionDeclarations":[{"description":"x"}]}]}"#,
            Missing,
            "tools[0].functionDeclarations[0].name",
        ),
        (
            r#"{"contents":[{}],"toolConfig":{"functionCallingConfig":{"allowedFunctionNames":[7]}}}"#,
            WrongType,
            "toolConfig.functionCallingConfig.allowedFunctionNames[0]",
        ),
        (r#"{"contents":[{}],"generationConfig":{"temperature":"warm"}}"#, WrongType, "generationConfig.temperature"),
        (
            r#"{"contents":[{}],"generation_config":{"stop_sequences":[7]}}"#,
            WrongType,
            "generationConfig.stopSequences[0]",
        ),
        (
            r#"{"contents":[{}],"generationConfig":{"thinkingConfig":{"thinkingBudget":"x"}}}"#,
            WrongType,
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
        (r#"{"contents":[{}],"systemInstruction":7}"#, WrongType, "systemInstruction"),
    ] {
        assert_eq!(fault(body), (kind, path.to_owned()), "{body}");
    }
}

#[test]
fn t01_system_text_is_a_turn_of_its_own() {
    let body = r#"{"system_instruction":{"parts":[{"text":"a"},{"text":"b"}]},"contents":[{"parts":[{"text":"hi"}]}]}"#;
    let roles =
        decoded(body, |request| request.turns.iter().map(|turn| (turn.role, turn.parts.len())).collect::<Vec<_>>());
    assert_eq!(roles.unwrap(), [(Role::System, 2), (Role::User, 1)]);
    for silent in [r#""""#, r#"{"parts":{"text":""}}"#, r#"{"parts":[]}"#, "null"] {
        let body = format!(r#"{{"systemInstruction":{silent},"contents":[{{"parts":[{{"text":"hi"}}]}}]}}"#);
        assert_eq!(decoded(&body, |request| request.turns.len()).unwrap(), 1, "{silent}");
    }
}

#[test]
fn t20_calls_without_ids_get_some_and_their_responses_the_same() {
    let call = |name: &str| format!(r#"{{"functionCall":{{"name":"{name}","args":{{}}}}}}"#);
    let response = |name: &str, text: &str| {
        format!(r#"{{"functionResponse":{{"name":"{name}","response":{{"result":"{text}"}}}}}}"#)
    };
    let turns = format!(
        r#"{{"role":"user","parts":[{{"text":"go"}}]}},{{"role":"model","parts":[{},{},{}]}},{{"role":"user","parts":[{},{},{}]}}"#,
        call("f"),
        call("g"),
        call("f"),
        response("f", "1"),
        response("f", "3"),
        response("g", "2"),
    );
    let ids = |body: &str| {
        decoded(body, |request| {
            let mut ids: Vec<(String, String)> = Vec::new();
            for part in request.turns.iter().flat_map(|turn| &turn.parts) {
                match &part.body {
                    PartBody::ToolCall { id, name, .. } => ids.push((id.to_string(), format!("call {name}"))),
                    PartBody::ToolResult { id, name, content, .. } => {
                        let PartBody::Text { text, .. } = &content[0].body else { panic!("a result is text") };
                        ids.push((id.to_string(), format!("{} {text}", name.as_deref().unwrap())));
                    }
                    _ => {}
                }
            }
            ids
        })
        .unwrap()
    };
    let found = ids(&format!(r#"{{"contents":[{turns}]}}"#));
    let expected = [("1", "call f"), ("2", "call g"), ("3", "call f"), ("1", "f 1"), ("3", "f 3"), ("2", "g 2")];
    let expected = expected.map(|(id, what)| (format!("{MADE}{id}"), what.to_owned()));
    assert_eq!(found, expected);
    // A longer conversation begins the same, for the caches' sake.
    let longer = format!(r#"{{"contents":[{turns},{{"role":"model","parts":[{}]}}]}}"#, call("f"));
    let longer = ids(&longer);
    assert_eq!(longer[..6], expected);
    assert_eq!(longer[6].0, format!("{MADE}4"));
    // Ids that were given are kept.
    let given = r#"{"contents":[{"role":"model","parts":[{"functionCall":{"id":"a-1","name":"f"}}]},{"parts":[{"function_response":{"id":"a-1","name":"f"}}]}]}"#;
    let given: Vec<String> = ids_only(given);
    assert_eq!(given, ["a-1", "a-1"]);
}

const MADE: &str = super::super::MADE_ID;

fn ids_only(body: &str) -> Vec<String> {
    decoded(body, |request| {
        let parts = request.turns.iter().flat_map(|turn| &turn.parts);
        let ids = parts.filter_map(|part| match &part.body {
            PartBody::ToolCall { id, .. } | PartBody::ToolResult { id, .. } => Some(id.to_string()),
            _ => None,
        });
        ids.collect()
    })
    .unwrap()
}

#[test]
fn t21_responses_are_unwrapped_and_errors_known() {
    let read = |response: &str| {
        let body =
            format!(r#"{{"contents":[{{"parts":[{{"functionResponse":{{"name":"f","response":{response}}}}}]}}]}}"#);
        decoded(&body, |request| match &request.turns[0].parts[0].body {
            PartBody::ToolResult { content, is_error, .. } => match &content[0].body {
                PartBody::Text { text, .. } => (text.to_string(), *is_error),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
        .unwrap()
    };
    for (response, text, is_error) in [
        (r#"{"output":"x"}"#, "x", false),
        (r#"{"result":{"a":1.0}}"#, r#"{"a":1.0}"#, false),
        (r#"{"name":"f","content":"x"}"#, "x", false),
        (r#"{"name":"g","content":"x"}"#, r#"{"name":"g","content":"x"}"#, false),
        (r#"{"return_value":["x"]}"#, r#"["x"]"#, false),
        (r#"{"error":"no"}"#, "no", true),
        (r#"{"error":"no","output":"x"}"#, r#"{"error":"no","output":"x"}"#, false),
        (r#"{"temperature":21}"#, r#"{"temperature":21}"#, false),
        ("{}", "{}", false),
    ] {
        assert_eq!(read(response), (text.to_owned(), is_error), "{response}");
    }
}

#[test]
fn t25_media_are_read_in_either_spelling_and_alphabet() {
    let body = r#"{"contents":[{"parts":[
        {"inline_data":{"mime_type":"image/png","data":"ab-_"}},
        {"inlineData":{"mimeType":"application/pdf","data":"abcdef","displayName":"a.pdf"}},
        {"fileData":{"fileUri":"https://x.example/v.mp4","mimeType":"video/mp4"},"videoMetadata":{"fps":1}},
        {"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}},
        {"file_data":{"file_uri":"gs://bucket/a.wav","mime_type":"audio/wav"},"mediaResolution":{"level":"MEDIA_RESOLUTION_LOW"}}
    ]}]}"#;
    decoded(body, |request| {
        let media: Vec<_> = request.turns[0]
            .parts
            .iter()
            .map(|part| match &part.body {
                PartBody::Media(media) => media.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        let kinds: Vec<_> = media.iter().map(|media| media.kind).collect();
        assert_eq!(kinds, [MediaKind::Image, MediaKind::File, MediaKind::Video, MediaKind::File, MediaKind::Audio]);
        assert!(matches!(&media[0].source, Source::Inline(data) if data == "ab+/"));
        assert!(matches!(&media[1].source, Source::Inline(data) if data == "abcdef=="));
        assert_eq!(media[1].name.as_deref(), Some("a.pdf"));
        assert!(matches!(&media[2].source, Source::Url(_)));
        assert!(matches!(&media[3].source, Source::FileId(_)));
        assert!(matches!(&media[4].source, Source::FileId(_)));
        assert_eq!(media[4].detail.as_deref(), Some("low"));
    })
    .unwrap();
}

#[test]
fn large_media_are_not_copied() {
    let data = "A".repeat(8_000);
    let body = format!(r#"{{"contents":[{{"parts":[{{"inlineData":{{"mimeType":"image/png","data":"{data}"}}}}]}}]}}"#);
    let (start, end) = (body.as_ptr() as usize, body.as_ptr() as usize + body.len());
    decoded(&body, |request| {
        let PartBody::Media(media) = &request.turns[0].parts[0].body else { panic!("no media") };
        let Source::Inline(found) = &media.source else { panic!("not inline") };
        assert!((start..end).contains(&(found.as_ptr() as usize)));
    })
    .unwrap();
}

#[test]
fn t42_t44_pieces_of_a_streamed_answer_find_together_again() {
    let carry = carry();
    let seal = carry.wrap_base64("sealed+/=");
    let url_safe = seal.replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned();
    for seal in [seal, url_safe] {
        let body = format!(
            r#"{{"contents":[
            {{"role":"user","parts":[{{"text":"q"}}]}},
            {{"role":"model","parts":[{{"text":"I thin","thought":true}}]}},
            {{"role":"model","parts":[{{"text":"k","thought":true,"thoughtSignature":"{seal}"}}]}},
            {{"role":"model","parts":[{{"text":"Hel"}}]}},
            {{"role":"model","parts":[{{"text":"lo"}}]}},
            {{"role":"model","parts":[{{"functionCall":{{"name":"f","args":{{}}}},"thoughtSignature":"{seal}"}}]}},
            {{"role":"model","parts":[{{"thought":true,"thoughtSignature":"{seal}"}}]}},
            {{"role":"model","parts":[{{"text":"","thoughtSignature":"Zm9yZWlnbg=="}}]}},
            {{"role":"model","parts":[{{"text":""}}]}},
            {{"role":"user","parts":[{{"text":"a"}},{{"text":"b"}}]}},
            {{"role":"user","parts":[{{"text":"c"}}]}},
            {{"role":"model","parts":[{{"text":""}}]}},
            {{"role":"model"}}
        ]}}"#
        );
        decoded(&body, |request| {
            let own = Some(Signature::Own("sealed+/=".into()));
            let places: Vec<_> = request.turns.iter().map(|turn| (turn.role, turn.at, turn.parts.len())).collect();
            assert_eq!(places, [(Role::User, 0, 1), (Role::Assistant, 1, 5), (Role::User, 9, 2), (Role::User, 10, 1)]);
            let parts = &request.turns[1].parts;
            let PartBody::Thought(thought) = &parts[0].body else { panic!("{:?}", parts[0]) };
            assert_eq!((&*thought.text, &parts[0].signature), ("I think", &own));
            let PartBody::Text { text, .. } = &parts[1].body else { panic!("{:?}", parts[1]) };
            assert_eq!((&**text, &parts[1].signature), ("Hello", &None));
            assert!(matches!(&parts[2].body, PartBody::ToolCall { .. }) && parts[2].signature == own);
            assert!(
                matches!(&parts[3].body, PartBody::Thought(thought) if thought.is_redacted)
                    && parts[3].signature == own
            );
            let foreign = Some(Signature::Foreign("Zm9yZWlnbg==".into()));
            assert!(
                matches!(&parts[4].body, PartBody::Thought(thought) if thought.is_redacted)
                    && parts[4].signature == foreign
            );
        })
        .unwrap();
    }
}

#[test]
fn t17_t10_tools_are_read_with_their_schemas() {
    let body = r#"{"contents":[{}],"tools":[{"codeExecution":null,"function_declarations":[
        {"name":"a","description":"d","parameters":{"type":"OBJECT","properties":{"x":{"type":"STRING","nullable":true}}}},
        {"name":"b","parameters_json_schema":{"type":"object","additionalProperties":false,"$defs":{}}},
        {"name":"c","description":""}]},{"google_search":{}},{"url_context":{"x":1}}]}"#;
    decoded(body, |request| {
        let tools: Vec<_> = request
            .tools
            .iter()
            .map(|tool| match &tool.kind {
                ToolKind::Function { name, description, schema, strict } => {
                    assert_eq!(*strict, None);
                    (name.to_string(), description.as_deref().map(str::to_owned), schema.as_deref().map(json))
                }
                ToolKind::Native { name, raw, .. } => (name.to_string(), None, Some(json(raw))),
            })
            .collect();
        let lower = json!({"type": "object", "properties": {"x": {"type": ["string", "null"]}}});
        assert_eq!(tools[0], ("a".into(), Some("d".into()), Some(lower)));
        assert_eq!(
            tools[1],
            ("b".into(), None, Some(json!({"type": "object", "additionalProperties": false, "$defs": {}})))
        );
        assert_eq!(tools[2], ("c".into(), None, None));
        assert_eq!(tools[3], ("googleSearch".into(), None, Some(json!({}))));
        assert_eq!(tools[4], ("urlContext".into(), None, Some(json!({"x": 1}))));
    })
    .unwrap();
}

#[test]
fn t19_modes_are_choices() {
    for (config, choice) in [
        (r#"{"mode":"AUTO"}"#, Some(ToolChoice::Auto)),
        (r#"{"mode":"none"}"#, Some(ToolChoice::None)),
        (r#"{"mode":"ANY"}"#, Some(ToolChoice::Required)),
        (r#"{"mode":"ANY","allowed_function_names":["f"]}"#, Some(ToolChoice::Named("f".into()))),
        (
            r#"{"mode":"ANY","allowedFunctionNames":["f","g"]}"#,
            Some(ToolChoice::Among { names: vec!["f".into(), "g".into()], required: true }),
        ),
        (
            r#"{"mode":"VALIDATED","allowedFunctionNames":["f"]}"#,
            Some(ToolChoice::Among { names: vec!["f".into()], required: false }),
        ),
        (r#"{"mode":"VALIDATED"}"#, Some(ToolChoice::Auto)),
        (r#"{"mode":"MODE_UNSPECIFIED"}"#, None),
        ("{}", None),
    ] {
        let body = format!(r#"{{"contents":[{{}}],"tool_config":{{"function_calling_config":{config}}}}}"#);
        assert_eq!(decoded(&body, |request| request.tool_choice.clone().map(owned)).unwrap(), choice, "{config}");
    }
}

fn owned(choice: ToolChoice<'_>) -> ToolChoice<'static> {
    match choice {
        ToolChoice::Auto => ToolChoice::Auto,
        ToolChoice::None => ToolChoice::None,
        ToolChoice::Required => ToolChoice::Required,
        ToolChoice::Named(name) => ToolChoice::Named(name.into_owned().into()),
        ToolChoice::Among { names, required } => {
            ToolChoice::Among { names: names.into_iter().map(|name| name.into_owned().into()).collect(), required }
        }
    }
}

#[test]
fn the_configuration_is_read_in_either_spelling() {
    let body = r#"{"contents":[{}],"generation_config":{"temperature":0.50,"top_p":"0.9","topK":40,"max_output_tokens":100,
        "candidateCount":2,"stop_sequences":["a"],"seed":-7,"presencePenalty":0.1,"frequency_penalty":0.2,
        "responseLogprobs":true,"logprobs":3,"response_mime_type":"application/json","responseModalities":["TEXT","AUDIO"],
        "speechConfig":{"languageCode":"de"},"media_resolution":"MEDIA_RESOLUTION_LOW","audioTimestamp":null},
        "safetySettings":[],"cachedContent":"cachedContents/x","labels":{"a":"b"},"serviceTier":"flex","stream":true,
        "toolConfig":{"retrievalConfig":{"languageCode":"en"}},"route":"x","models":["y"],"usage":{"include":true}}"#;
    decoded(body, |request| {
        let params = &request.params;
        assert_eq!((params.temperature, params.top_p, params.top_k), (Some("0.50"), Some("0.9"), Some("40")));
        assert_eq!(
            (params.seed, params.presence_penalty, params.frequency_penalty),
            (Some("-7"), Some("0.1"), Some("0.2"))
        );
        assert_eq!((params.max_output, params.choices, params.top_logprobs), (Some(100), Some(2), Some(3)));
        assert_eq!((params.logprobs, &*params.stop), (Some(true), &["a".into()][..]));
        assert!(matches!(params.format, Some(Format::Json)));
        assert_eq!(params.modalities, ["text", "audio"]);
        assert_eq!(params.service_tier.as_deref(), Some("flex"));
        let extras: Vec<_> = request.extra.iter().map(|extra| &*extra.name).collect();
        let expected = [
            "generationConfig.speechConfig",
            "generationConfig.mediaResolution",
            "safetySettings",
            "cachedContent",
            "labels",
            "stream",
            "toolConfig.retrievalConfig",
        ];
        assert_eq!(extras, expected);
    })
    .unwrap();
    let (written, losses) = crossed(body, "gemini-3-flash", &[]);
    assert_eq!(written["generationConfig"]["speechConfig"], json!({"languageCode": "de"}));
    assert_eq!(written["toolConfig"], json!({"retrievalConfig": {"languageCode": "en"}}));
    assert_eq!(written["cachedContent"], "cachedContents/x");
    assert!(written.get("route").is_none() && written.get("models").is_none() && written.get("usage").is_none());
    assert!(losses.is_empty(), "{losses}");
}

#[test]
fn t13_thinking_is_read_as_what_it_asks() {
    let read = |config: &str| {
        let body = format!(r#"{{"contents":[{{}}],"generationConfig":{{"thinkingConfig":{config}}}}}"#);
        decoded(&body, |request| {
            let found = request.params.reasoning.unwrap();
            (found.enabled, found.effort, found.budget, found.shown)
        })
        .unwrap()
    };
    let no = Some(false);
    assert_eq!(read(r#"{"thinkingBudget":0}"#), (Some(false), None, None, no));
    assert_eq!(read(r#"{"thinking_budget":-1,"include_thoughts":true}"#), (Some(true), None, None, Some(true)));
    assert_eq!(read(r#"{"thinkingBudget":512}"#), (None, None, Some(512), no));
    assert_eq!(read(r#"{"thinkingLevel":"LOW","includeThoughts":false}"#), (None, Some(Effort::Low), None, no));
    assert_eq!(read(r#"{"includeThoughts":true}"#), (Some(true), None, None, Some(true)));
    assert_eq!(read(r#"{"thinkingLevel":"THINKING_LEVEL_UNSPECIFIED"}"#), (None, None, None, no));
}

#[test]
fn t09_a_schema_is_read_whatever_its_language() {
    for (config, schema) in [
        (
            r#"{"responseMimeType":"application/json","responseSchema":{"type":"OBJECT","properties":{"a":{"type":"INTEGER"}}}}"#,
            json!({"type": "object", "properties": {"a": {"type": "integer"}}}),
        ),
        (
            r##"{"response_json_schema":{"$ref":"#/$defs/a","$defs":{"a":{}}}}"##,
            json!({"$ref": "#/$defs/a", "$defs": {"a": {}}}),
        ),
        (r#"{"_responseJsonSchema":{"type":"object"}}"#, json!({"type": "object"})),
    ] {
        let body = format!(r#"{{"contents":[{{}}],"generationConfig":{config}}}"#);
        decoded(&body, |request| match &request.params.format {
            Some(Format::Schema { schema: found, .. }) => assert_eq!(json(found.as_bytes()), schema),
            other => panic!("{other:?}"),
        })
        .unwrap();
    }
    let words = r#"{"contents":[{}],"generationConfig":{"responseMimeType":"text/x.enum","responseSchema":{"type":"STRING","enum":["a"]}}}"#;
    let (written, _) = crossed(words, "gemini-2.5-flash", &[]);
    assert_eq!(written["generationConfig"]["responseMimeType"], "text/x.enum");
}

#[test]
fn t11_numbers_and_names_stay_as_they_are_written() {
    let body = r#"{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{"Big":12345678901234567890123,"big":1.50}}}]}]}"#;
    decoded(body, |request| {
        let PartBody::ToolCall { arguments, .. } = &request.turns[0].parts[0].body else { panic!("no call") };
        assert_eq!(arguments, r#"{"Big":12345678901234567890123,"big":1.50}"#);
    })
    .unwrap();
    let doubled = r#"{"contents":[{"parts":[{"text":"a","text":"b"}]}]}"#;
    assert_eq!(fault(doubled).0, BodyFaultKind::Repeated);
}
