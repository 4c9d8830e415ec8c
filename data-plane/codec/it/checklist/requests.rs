//! What is asked, by every client of every provider.

use codec::{BodyFaultKind, RequestEdits};
use serde_json::{Value, json};

use super::{ANTHROPIC, CHAT, CLIENTS, GEMINI, RESPONSES, ask, foreign, list, named, providers, send, sent, spoken};
use crate::edits::{self, dialect};
use crate::pairs;

#[test]
fn t01_system_text_that_says_nothing_is_not_sent() {
    for (client, nothing) in [
        (ANTHROPIC, json!({"system": null})),
        (ANTHROPIC, json!({"system": []})),
        (ANTHROPIC, json!({"system": ""})),
        (GEMINI, json!({"systemInstruction": null})),
        (GEMINI, json!({"systemInstruction": {"parts": []}})),
        (RESPONSES, json!({"instructions": null})),
        (RESPONSES, json!({"instructions": ""})),
    ] {
        for pair in foreign(client) {
            let (body, losses) = sent(pair, &ask(client, nothing.clone()));
            for field in ["system", "systemInstruction", "instructions"] {
                assert_eq!(body.get(field), None, "{} of {nothing}", named(pair));
            }
            assert_eq!((list(&body).len(), losses.as_str()), (1, ""), "{} of {nothing}", named(pair));
        }
    }
}

#[test]
fn t01_t03_texts_of_every_client_survive_in_their_order_at_every_provider() {
    let texts = ["sys one", "sys two", "user one", "user two", "said one", "said two", "user three"];
    let block = |kind: &str, text: &str| json!({"type": kind, "text": text});
    for (client, body) in [
        (
            CHAT,
            json!({"messages": [
                {"role": "system", "content": [block("text", texts[0]), block("text", texts[1])]},
                {"role": "user", "content": [block("text", texts[2]), block("text", texts[3])]},
                {"role": "assistant", "content": [block("text", texts[4]), block("text", texts[5])]},
                {"role": "user", "content": texts[6]}]}),
        ),
        (
            RESPONSES,
            json!({"instructions": texts[0], "input": [
                {"role": "system", "content": texts[1]},
                {"role": "user", "content": [block("input_text", texts[2]), block("input_text", texts[3])]},
                {"role": "assistant", "content": [block("output_text", texts[4]), block("output_text", texts[5])]},
                {"role": "user", "content": texts[6]}]}),
        ),
        (
            ANTHROPIC,
            json!({"system": [block("text", texts[0]), block("text", texts[1])], "messages": [
                {"role": "user", "content": [block("text", texts[2]), block("text", texts[3])]},
                {"role": "assistant", "content": [block("text", texts[4]), block("text", texts[5])]},
                {"role": "user", "content": texts[6]}]}),
        ),
        (
            GEMINI,
            json!({"systemInstruction": {"parts": [{"text": texts[0]}, {"text": texts[1]}]}, "contents": [
                {"role": "user", "parts": [{"text": texts[2]}, {"text": texts[3]}]},
                {"role": "model", "parts": [{"text": texts[4]}, {"text": texts[5]}]},
                {"role": "user", "parts": [{"text": texts[6]}]}]}),
        ),
    ] {
        for pair in providers(client) {
            let (body, losses) = sent(pair, &ask(client, body.clone()));
            let whole = body.to_string();
            let conversation = json!(list(&body)).to_string();
            for text in texts {
                assert_eq!(whole.matches(text).count(), 1, "{}: {text} in {whole}", named(pair));
            }
            // System text that stands outside of the conversation stands before it.
            let place = |text: &str| conversation.find(text).map_or(0, |at| at + whole.len());
            let place = |text: &str| place(text) + whole.find(text).unwrap();
            assert!(place(texts[0]) < place(texts[1]), "{}: {whole}", named(pair));
            let said: Vec<usize> = texts[2..].iter().map(|text| conversation.find(text).unwrap()).collect();
            assert!(said.is_sorted(), "{}: {whole}", named(pair));
            assert_eq!(losses, "", "{}", named(pair));
        }
    }
}

#[test]
fn t04_a_turn_of_calls_alone_brings_no_empty_text_anywhere() {
    let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let result = json!({"role": "tool", "tool_call_id": "c1", "content": "r"});
    let tool = json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}});
    for content in [json!(null), json!("")] {
        let chat = json!({"model": "m", "tools": [tool], "messages": [{"role": "user", "content": "x"},
            {"role": "assistant", "content": content, "tool_calls": [call]}, result]});
        for client in CLIENTS {
            let body = spoken(client, &chat);
            for pair in foreign(client) {
                let (body, losses) = sent(pair, &body);
                let whole = body.to_string();
                assert!(
                    !whole.contains(r#""text":"""#) && !whole.contains(r#""content":"""#),
                    "{}: {whole}",
                    named(pair)
                );
                assert_eq!(losses, "", "{}", named(pair));
            }
        }
    }
}

#[test]
fn t09_a_schema_arrives_as_it_is_with_its_name_and_its_strictness() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false});
    for strict in [true, false] {
        let format = json!({"type": "json_schema", "json_schema": {"name": "n", "strict": strict, "schema": schema}});
        let chat = ask(CHAT, json!({"response_format": format}));
        let (flat, _) = sent((dialect(CHAT), dialect(RESPONSES)), &chat);
        assert_eq!(
            flat["text"]["format"],
            json!({"type": "json_schema", "name": "n", "strict": strict, "schema": schema})
        );
        let (back, _) = sent((dialect(RESPONSES), dialect(CHAT)), &flat);
        assert_eq!(back["response_format"], format);
        for client in CLIENTS {
            let body = spoken(client, &chat);
            for pair in providers(client) {
                let (sent, losses) = sent(pair, &body);
                let is_there = match pair.1.id {
                    CHAT => sent["response_format"]["json_schema"]["schema"] == schema,
                    RESPONSES => sent["text"]["format"]["schema"] == schema,
                    ANTHROPIC => sent["output_config"]["format"]["schema"] == schema,
                    GEMINI => sent["generationConfig"]["responseJsonSchema"] == schema,
                    // Only some of its makers' models take one.
                    _ => sent.to_string().contains("additionalProperties"),
                };
                assert!(is_there, "{}: {sent} {losses}", named(pair));
            }
        }
    }
}

#[test]
fn t11_numbers_and_cases_of_names_in_arguments_and_schemas_are_those_that_were_written() {
    const ARGUMENTS: &str = r#"{"big":12345678901234567890,"Big":1.50,"tiny":1e-400,"x":0.10}"#;
    const SCHEMA: &str =
        r#"{"type":"object","properties":{"big":{"const":98765432109876543210},"Big":{"const":2.50}}}"#;
    let escaped = json!(ARGUMENTS).to_string();
    for (client, body) in [
        (
            CHAT,
            format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":"x"}},{{"role":"assistant","content":null,"tool_calls":[{{"id":"c","type":"function","function":{{"name":"f","arguments":{escaped}}}}}]}},{{"role":"tool","tool_call_id":"c","content":"r"}}],"tools":[{{"type":"function","function":{{"name":"f","parameters":{SCHEMA}}}}}]}}"#
            ),
        ),
        (
            RESPONSES,
            format!(
                r#"{{"model":"m","input":[{{"role":"user","content":"x"}},{{"type":"function_call","call_id":"c","name":"f","arguments":{escaped}}},{{"type":"function_call_output","call_id":"c","output":"r"}}],"tools":[{{"type":"function","name":"f","strict":false,"parameters":{SCHEMA}}}]}}"#
            ),
        ),
        (
            ANTHROPIC,
            format!(
                r#"{{"model":"m","max_tokens":99,"messages":[{{"role":"user","content":"x"}},{{"role":"assistant","content":[{{"type":"tool_use","id":"c","name":"f","input":{ARGUMENTS}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"c","content":"r"}}]}}],"tools":[{{"name":"f","input_schema":{SCHEMA}}}]}}"#
            ),
        ),
        (
            GEMINI,
            format!(
                r#"{{"contents":[{{"role":"user","parts":[{{"text":"x"}}]}},{{"role":"model","parts":[{{"functionCall":{{"id":"c","name":"f","args":{ARGUMENTS}}}}}]}},{{"role":"user","parts":[{{"functionResponse":{{"id":"c","name":"f","response":{{"output":"r"}}}}}}]}}],"tools":[{{"functionDeclarations":[{{"name":"f","parametersJsonSchema":{SCHEMA}}}]}}]}}"#
            ),
        ),
    ] {
        for pair in providers(client) {
            let (text, losses) = send(pair, &body, false).unwrap();
            let plain = text.replace("\\\"", "\"");
            for part in [ARGUMENTS, r#""big":{"const":98765432109876543210}"#, r#""Big":{"const":2.50}"#] {
                assert!(plain.contains(part), "{}: no {part} in {text}", named(pair));
            }
            assert!(losses.is_empty(), "{}: {losses}", named(pair));
        }
    }
}

#[test]
fn t11_doubled_names_are_refused_wherever_bodies_are_read_and_other_cases_of_our_own_names_everywhere() {
    for (client, case) in [(CHAT, "Messages"), (RESPONSES, "Input"), (ANTHROPIC, "Max_Tokens"), (GEMINI, "Contents")] {
        let whole = ask(client, json!({})).to_string();
        let with = |more: &str| whole.replacen('{', &format!("{{{more},"), 1);
        for pair in providers(client) {
            let fault = send(pair, &with(r#""zz":{"a":1,"b":[{"c":1,"\u0063":2}]}"#), false).unwrap_err();
            assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::Repeated, Some("c")), "{}", named(pair));
        }
        let fault = dialect(client).scan(with(&format!(r#""{case}":1"#)).as_bytes()).unwrap_err();
        assert_eq!(fault.kind, BodyFaultKind::Repeated, "{client}: {case}");
    }
}

#[test]
fn t15_a_longer_conversation_begins_with_the_very_words_of_the_shorter() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}});
    let tools =
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]);
    let image = json!([{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]);
    let messages = vec![
        json!({"role": "system", "content": "Be brief."}),
        json!({"role": "user", "content": image}),
        json!({"role": "assistant", "content": null, "tool_calls": [call("call_1"), call("call_2")]}),
        json!({"role": "tool", "tool_call_id": "call_1", "content": "one"}),
        json!({"role": "tool", "tool_call_id": "call_2", "content": "two"}),
        json!({"role": "assistant", "content": "Done."}),
        json!({"role": "user", "content": "Again."}),
        json!({"role": "assistant", "content": null, "tool_calls": [call("call_3")]}),
        json!({"role": "tool", "tool_call_id": "call_3", "content": "three"}),
    ];
    for client in CLIENTS {
        for pair in providers(client) {
            let of = |count: usize| {
                let chat = json!({"model": "m", "max_tokens": 50, "messages": messages[..count], "tools": tools});
                sent(pair, &spoken(client, &chat)).0
            };
            let mut before = of(2);
            for count in [5, 7, 9] {
                let longer = of(count);
                let (shared, all) = (list(&before), list(&longer));
                assert!(shared.len() < all.len(), "{}", named(pair));
                assert_eq!(shared[..], all[..shared.len()], "{}: an earlier turn changed", named(pair));
                let around = |body: &Value| {
                    let mut body = body.as_object().unwrap().clone();
                    ["messages", "input", "contents"].iter().for_each(|name| drop(body.remove(*name)));
                    body
                };
                assert_eq!(around(&before), around(&longer), "{}", named(pair));
                before = longer;
            }
        }
    }
}

#[test]
fn t15_what_a_client_writes_anew_into_each_prompt_stays_with_its_own_family() {
    let text = "x-anthropic-billing-header: cc_version=2.1.0.abc; cc_entrypoint=cli; cch=";
    let body = |nonce: &str| {
        let system = json!([{"type": "text", "text": format!("{text}{nonce};")},
            {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]);
        ask(ANTHROPIC, json!({ "system": system }))
    };
    for pair in foreign(ANTHROPIC) {
        let (first, losses) = sent(pair, &body("00001"));
        assert!(first.to_string().contains("Be brief.") && !first.to_string().contains("cch="), "{first}");
        assert_eq!(first, sent(pair, &body("fffff")).0, "{}: the prompt is another one each time", named(pair));
        assert!(losses.split(", ").any(|loss| loss == "part"), "{}: {losses}", named(pair));
    }
    let own = (dialect(ANTHROPIC), dialect(ANTHROPIC));
    assert_eq!(
        sent(own, &body("00001")),
        (
            {
                let mut same = body("00001");
                same["model"] = json!("up");
                same["messages"][0]["content"] = json!([{"type": "text", "text": "x"}]);
                same
            },
            String::new()
        )
    );
    // Where it is all that there is, there is no system text.
    let alone = ask(ANTHROPIC, json!({"system": [{"type": "text", "text": format!("{text}1;")}]}));
    for pair in foreign(ANTHROPIC) {
        let (body, losses) = sent(pair, &alone);
        let is_without = ["system", "systemInstruction", "instructions"].iter().all(|name| body.get(name).is_none());
        assert!(is_without && list(&body).len() == 1 && losses == "part", "{}: {body} {losses}", named(pair));
    }
    // Whoever only speaks of it is heard.
    let asked = ask(
        ANTHROPIC,
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": format!("{text}1;")}]}]}),
    );
    for pair in foreign(ANTHROPIC) {
        assert!(sent(pair, &asked).0.to_string().contains("cch="), "{}", named(pair));
    }
}

#[test]
fn t17_a_tool_that_only_one_provider_has_is_refused_and_never_dropped() {
    for (client, tool) in [
        (CHAT, json!({"type": "custom", "custom": {"name": "c"}})),
        (RESPONSES, json!({"type": "web_search"})),
        (ANTHROPIC, json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 2})),
        (GEMINI, json!({"googleSearch": {}})),
    ] {
        for pair in foreign(client) {
            let body = ask(client, json!({"tools": [tool]})).to_string();
            let fault = send(pair, &body, false).expect_err(&named(pair));
            assert_eq!(
                (fault.kind, fault.param.as_deref()),
                (BodyFaultKind::Unsupported, Some("tools[0]")),
                "{}",
                named(pair)
            );
        }
        let own = (dialect(client), dialect(client));
        assert_eq!(sent(own, &ask(client, json!({"tools": [tool]}))).0["tools"][0], tool);
    }
    // A tool without a type is a function at Anthropic.
    let function = json!({"name": "f", "input_schema": {"type": "object", "properties": {}}});
    for pair in providers(ANTHROPIC) {
        let (body, losses) = sent(pair, &ask(ANTHROPIC, json!({"tools": [function]})));
        assert!(body.to_string().contains(r#""name":"f""#) && losses.is_empty(), "{}: {body} {losses}", named(pair));
    }
}

#[test]
fn t19_a_choice_without_tools_says_nothing_and_none_stays_none() {
    let tools =
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]);
    for client in CLIENTS {
        let bare = match client {
            ANTHROPIC => json!({"tool_choice": {"type": "any"}}),
            GEMINI => json!({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}),
            _ => json!({"tool_choice": "required"}),
        };
        let none = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": tools, "tool_choice": "none"});
        for pair in foreign(client) {
            let (body, _) = sent(pair, &ask(client, bare.clone()));
            for name in ["tool_choice", "toolConfig"] {
                assert_eq!(body.get(name), None, "{}", named(pair));
            }
            let (body, losses) = sent(pair, &spoken(client, &none));
            let said = match pair.1.id {
                ANTHROPIC => body["tool_choice"]["type"] == "none",
                GEMINI => body["toolConfig"]["functionCallingConfig"]["mode"] == "NONE",
                // It has no such word: the tools are left out.
                "bedrock-converse" => body.get("toolConfig").is_none(),
                _ => body["tool_choice"] == "none",
            };
            assert!(said && losses.is_empty(), "{}: {body} {losses}", named(pair));
        }
    }
    for (client, one) in [
        (CHAT, json!({"tools": tools, "parallel_tool_calls": false})),
        (
            RESPONSES,
            json!({"tools": [{"type": "function", "name": "f", "parameters": {}}], "parallel_tool_calls": false}),
        ),
    ] {
        let (body, losses) = sent((dialect(client), dialect(ANTHROPIC)), &ask(client, one));
        assert_eq!(body["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
        assert_eq!(losses, "");
    }
}

#[test]
fn t21_a_failed_result_of_several_texts_keeps_them_and_the_failure() {
    let result = json!({"type": "tool_result", "tool_use_id": "c", "is_error": true,
        "content": [{"type": "text", "text": "first"}, {"type": "text", "text": "second"}]});
    let body = ask(
        ANTHROPIC,
        json!({"messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
            {"role": "user", "content": [result, {"type": "text", "text": "beside"}]}]}),
    );
    for pair in providers(ANTHROPIC) {
        let (sent, losses) = sent(pair, &body);
        let whole = sent.to_string();
        for text in ["first", "second", "beside"] {
            assert_eq!(whole.matches(text).count(), 1, "{}: {whole}", named(pair));
        }
        let said = match pair.1.id {
            ANTHROPIC => whole.contains(r#""is_error":true"#),
            GEMINI => whole.contains(r#""response":{"error":"#),
            _ => whole.contains("Error:") && losses == "tool_error",
        };
        assert!(said, "{}: {whole} {losses}", named(pair));
    }
}

#[test]
fn t27_media_that_a_model_does_not_take_are_refused_by_the_clients_own_name_for_their_place() {
    let modalities = ["text".to_owned()];
    for (client, parts, place) in [
        (
            CHAT,
            json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}]}),
            "messages[0].content[1]",
        ),
        (
            RESPONSES,
            json!({"input": [{"role": "user", "content": [{"type": "input_text", "text": "x"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}]}]}),
            "input[0].content[1]",
        ),
        (
            ANTHROPIC,
            json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}]}]}),
            "messages[0].content[1]",
        ),
        (
            GEMINI,
            json!({"contents": [{"role": "user", "parts": [{"text": "x"},
                {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]}]}),
            "contents[0].parts[1]",
        ),
    ] {
        let body = bytes::Bytes::from(ask(client, parts).to_string());
        let scan = dialect(client).scan(&body).unwrap().at(Some("m".to_owned()), false);
        for pair in providers(client) {
            let wanted = RequestEdits { input_modalities: &modalities, ..edits::request("up", None) };
            let fault = pairs::bridge(pair).request(&body, &scan, &wanted).unwrap_err();
            assert_eq!(
                (fault.kind, fault.param.as_deref()),
                (BodyFaultKind::Unsupported, Some(place)),
                "{}",
                named(pair)
            );
        }
    }
}
