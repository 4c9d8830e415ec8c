//! What a translation refuses rather than lose, and what it puts in so that a provider takes a conversation: for every
//! client's dialect, at every provider's, by the client's own names of places.

use codec::{BodyFault, BodyFaultKind, Losses};
use serde_json::{Value, json};

use crate::edits::dialect;
use crate::pairs;

const PROVIDERS: [&str; 5] = ["openai-chat", "openai-responses", "anthropic", "gemini", "bedrock-converse"];
const CLIENTS: [&str; 4] = ["openai-chat", "openai-responses", "anthropic", "gemini"];

fn ask(client: &str, provider: &str, body: &Value) -> Result<(Value, Losses), BodyFault> {
    let pair = (dialect(client), dialect(provider));
    let outbound = pairs::request(pair, body.to_string().as_bytes(), Some("m"), false)?;
    Ok((serde_json::from_slice(&outbound.body.into_bytes()).unwrap(), outbound.losses))
}

/// Providers of all other dialects.
fn others(client: &str) -> impl Iterator<Item = &'static str> {
    PROVIDERS.into_iter().filter(move |provider| *provider != client)
}

/// A client's request that consists of this conversation.
fn talk(client: &str, conversation: Value) -> Value {
    match client {
        "openai-responses" => json!({"model":"m","input":conversation}),
        "gemini" => json!({"contents":conversation}),
        _ => json!({"model":"m","max_tokens":100,"messages":conversation}),
    }
}

/// The same where the user says one part behind a text.
fn shows(client: &str, part: Value) -> Value {
    let said = match client {
        "openai-responses" => json!([{"role":"user","content":[{"type":"input_text","text":"What?"},part]}]),
        "gemini" => json!([{"role":"user","parts":[{"text":"What?"},part]}]),
        _ => json!([{"role":"user","content":[{"type":"text","text":"What?"},part]}]),
    };
    talk(client, said)
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body.as_object_mut().unwrap().insert(name.to_owned(), value);
    body
}

fn hello(client: &str) -> Value {
    match client {
        "openai-responses" => talk(client, json!([{"role":"user","content":"Hi"}])),
        "gemini" => talk(client, json!([{"role":"user","parts":[{"text":"Hi"}]}])),
        _ => talk(client, json!([{"role":"user","content":"Hi"}])),
    }
}

#[test]
fn t27_context_that_a_provider_holds_is_refused_by_all_others() {
    let servers = json!([{"type":"url","url":"https://mcp.example/sse","name":"x"}]);
    for (client, name, value, spared) in [
        ("gemini", "cachedContent", json!("cachedContents/x"), json!("")),
        ("anthropic", "mcp_servers", servers, json!([])),
        ("anthropic", "container", json!("container_1"), json!(null)),
        ("anthropic", "container", json!({"skills":[{"type":"anthropic","skill_id":"xlsx"}]}), json!(null)),
    ] {
        let body = with(hello(client), name, value.clone());
        for provider in others(client) {
            let fault = ask(client, provider, &body).unwrap_err();
            assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::Unsupported, Some(name)), "{provider}");
            assert!(ask(client, provider, &with(hello(client), name, spared.clone())).is_ok(), "{provider}");
        }
        let (sent, losses) = ask(client, client, &body).unwrap();
        assert_eq!((&sent[name], losses.is_empty()), (&value, true), "{client} itself");
    }
    let snake = with(hello("gemini"), "cached_content", json!("cachedContents/x"));
    assert_eq!(ask("gemini", "openai-chat", &snake).unwrap_err().kind, BodyFaultKind::Unsupported);
}

#[test]
fn t27_media_are_refused_by_their_place_in_the_clients_own_words() {
    let sound = "UklGRg==";
    let held = json!({"type":"image","source":{"type":"file","file_id":"file_1"}});
    let chat_file = json!({"type":"file","file":{"file_id":"file-1"}});
    let chat_sound = json!({"type":"input_audio","input_audio":{"data":sound,"format":"wav"}});
    let tune = json!({"inlineData":{"mimeType":"audio/wav","data":sound}});
    let film = json!({"inlineData":{"mimeType":"video/mp4","data":"AAAA"}});
    let kept = json!({"fileData":{"mimeType":"image/png","fileUri":"gs://b/a.png"}});
    let response_sound = json!({"type":"input_audio","input_audio":{"data":sound,"format":"wav"}});
    let response_file = json!({"type":"input_file","file_id":"file-1"});
    for (client, part, providers, place) in [
        (
            "anthropic",
            held,
            &["openai-chat", "openai-responses", "gemini", "bedrock-converse"][..],
            "messages[0].content[1]",
        ),
        ("openai-chat", chat_file, &["anthropic", "gemini", "bedrock-converse"], "messages[0].content[1]"),
        ("openai-chat", chat_sound, &["anthropic", "openai-responses"], "messages[0].content[1]"),
        ("gemini", tune, &["anthropic", "openai-responses"], "contents[0].parts[1]"),
        ("gemini", film, &["anthropic", "openai-responses"], "contents[0].parts[1]"),
        ("gemini", kept, &["anthropic", "openai-chat", "openai-responses", "bedrock-converse"], "contents[0].parts[1]"),
        ("openai-responses", response_sound, &["anthropic"], "input[0].content[1]"),
        (
            "openai-responses",
            response_file,
            &["anthropic", "gemini", "bedrock-converse", "openai-chat"],
            "input[0].content[1]",
        ),
    ] {
        for provider in providers {
            let fault = ask(client, provider, &shows(client, part.clone())).unwrap_err();
            let told = (fault.kind, fault.param.as_deref());
            assert_eq!(told, (BodyFaultKind::Unsupported, Some(place)), "{client} to {provider}: {fault}");
            assert!(fault.message.starts_with(&format!("`{place}`")), "{fault}");
        }
    }
    let result = json!([{"role":"user","content":"Hi"},
        {"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"x"},
            {"type":"image","source":{"type":"file","file_id":"file_1"}}]}]}]);
    let fault = ask("anthropic", "gemini", &talk("anthropic", result)).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("messages[2].content[0].content[1]"));
}

#[test]
fn t27_tools_of_providers_own_are_refused_by_their_place() {
    for (client, plain, own) in [
        (
            "openai-chat",
            json!({"type":"function","function":{"name":"f"}}),
            json!({"type":"custom","custom":{"name":"c"}}),
        ),
        ("openai-responses", json!({"type":"function","name":"f"}), json!({"type":"web_search"})),
        (
            "anthropic",
            json!({"name":"f","input_schema":{"type":"object"}}),
            json!({"type":"web_search_20250305","name":"web_search"}),
        ),
        ("gemini", json!({"functionDeclarations":[{"name":"f"},{"name":"g"}]}), json!({"googleSearch":{}})),
    ] {
        let body = with(hello(client), "tools", json!([plain, own]));
        for provider in others(client) {
            let fault = ask(client, provider, &body).unwrap_err();
            let told = (fault.kind, fault.param.as_deref());
            assert_eq!(told, (BodyFaultKind::Unsupported, Some("tools[1]")), "{client} to {provider}: {fault}");
        }
        assert!(ask(client, client, &body).is_ok());
    }
}

#[test]
fn a_request_of_which_nothing_is_left_is_refused_at_every_provider() {
    let unknown = json!([{"role":"user","content":[{"type":"odd","x":1}]}]);
    for (client, conversation, place) in [
        ("openai-chat", unknown.clone(), "messages"),
        ("anthropic", unknown, "messages"),
        ("gemini", json!([{"role":"user","parts":[{}]}]), "contents"),
        ("gemini", json!([{"role":"user"}]), "contents"),
        ("openai-responses", json!([{"type":"odd_call","x":1}]), "input"),
        ("openai-responses", json!([{"role":"user","content":[{"type":"input_odd"}]}]), "input"),
    ] {
        let body = talk(client, conversation);
        for provider in others(client) {
            let fault = ask(client, provider, &body).unwrap_err();
            let told = (fault.kind, fault.param.as_deref());
            assert_eq!(told, (BodyFaultKind::OutOfRange, Some(place)), "{client} to {provider}: {fault}");
        }
    }
    // Beside something that is said, it is a loss.
    let beside = json!([{"role":"user","content":"Hi"},{"role":"user","content":[{"type":"odd"}]}]);
    for provider in others("anthropic") {
        let (_, losses) = ask("anthropic", provider, &talk("anthropic", beside.clone())).unwrap();
        assert_eq!(losses.to_string(), "part", "{provider}");
    }
}

#[test]
fn an_assistants_empty_text_that_is_left_out_is_a_loss() {
    let beside = |said: Value| json!([{"role":"user","content":"Hi"}, said, {"role":"user","content":"And?"}]);
    for (client, said) in [
        ("openai-chat", json!({"role":"assistant","content":""})),
        ("openai-responses", json!({"role":"assistant","content":[{"type":"output_text","text":""}]})),
        ("anthropic", json!({"role":"assistant","content":""})),
    ] {
        for provider in others(client).filter(|provider| *provider != "openai-chat") {
            let (_, losses) = ask(client, provider, &talk(client, beside(said.clone()))).unwrap();
            assert_eq!(losses.to_string(), "empty_part", "{client} to {provider}");
        }
    }
}

/// A history with two calls and their results, without any tools.
fn history(client: &str) -> Value {
    let conversation = match client {
        "openai-chat" => json!([{"role":"user","content":"Hi"},
            {"role":"assistant","content":null,"tool_calls":[
                {"id":"c1","type":"function","function":{"name":"weather","arguments":"{}"}},
                {"id":"c2","type":"function","function":{"name":"files.read","arguments":"{}"}},
                {"id":"c3","type":"function","function":{"name":"weather","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"c1","content":"rain"},{"role":"tool","tool_call_id":"c2","content":"x"},
            {"role":"tool","tool_call_id":"c3","content":"sun"}]),
        "openai-responses" => json!([{"role":"user","content":"Hi"},
            {"type":"function_call","call_id":"c1","name":"weather","arguments":"{}"},
            {"type":"function_call","call_id":"c2","name":"files.read","arguments":"{}"},
            {"type":"function_call_output","call_id":"c1","output":"rain"},
            {"type":"function_call_output","call_id":"c2","output":"x"}]),
        _ => json!([{"role":"user","parts":[{"text":"Hi"}]},
            {"role":"model","parts":[{"functionCall":{"name":"weather","args":{}}},{"functionCall":{"name":"files.read","args":{}}}]},
            {"role":"user","parts":[{"functionResponse":{"name":"weather","response":{"output":"rain"}}},
                {"functionResponse":{"name":"files.read","response":{"output":"x"}}}]}]),
    };
    talk(client, conversation)
}

#[test]
fn calls_in_a_history_without_tools_are_declared_where_a_provider_wants_that() {
    for client in ["openai-chat", "openai-responses", "gemini"] {
        let (sent, losses) = ask(client, "anthropic", &history(client)).unwrap();
        let names: Vec<&str> =
            sent["tools"].as_array().unwrap().iter().filter_map(|tool| tool["name"].as_str()).collect();
        let called = sent["messages"][1]["content"].as_array().unwrap();
        let other = called.iter().filter_map(|block| block["name"].as_str()).find(|name| *name != "weather").unwrap();
        assert_eq!(names, ["weather", other], "{client}");
        assert_eq!(sent["tools"][0]["input_schema"], json!({"type":"object"}));
        assert_eq!(sent["tool_choice"], json!({"type":"none"}), "nobody offered them");
        assert_eq!(losses.iter().map(|loss| loss.name()).collect::<Vec<_>>(), ["tool_name"], "{client}");
        let (sent, _) = ask(client, "bedrock-converse", &history(client)).unwrap();
        assert_eq!(sent["toolConfig"]["tools"].as_array().unwrap().len(), 1, "{client}");
    }
    // Nothing is put in where nobody called, or where tools are given.
    assert_eq!(ask("openai-chat", "anthropic", &hello("openai-chat")).unwrap().0.get("tools"), None);
    let given = with(history("openai-chat"), "tools", json!([{"type":"function","function":{"name":"clock"}}]));
    let (sent, _) = ask("openai-chat", "anthropic", &given).unwrap();
    assert_eq!((sent["tools"][0]["name"].as_str(), sent.get("tool_choice")), (Some("clock"), None));
    assert_eq!(sent["tools"].as_array().unwrap().len(), 1);
}

#[test]
fn t18_a_name_that_only_openai_takes_is_shortened_and_changed_back_at_every_other_provider() {
    let long = "x".repeat(80);
    let tool = json!([{"type":"function","function":{"name":long}}]);
    let body = with(hello("openai-chat"), "tools", tool);
    for provider in others("openai-chat") {
        let pair = (dialect("openai-chat"), dialect(provider));
        let sent = pairs::request(pair, body.to_string().as_bytes(), None, false).unwrap();
        assert_eq!(sent.losses.to_string(), "tool_name", "{provider}");
        let text = String::from_utf8(sent.body.into_bytes().to_vec()).unwrap();
        let at = text.find(&"x".repeat(50)).unwrap_or_else(|| panic!("{provider}: {text}"));
        let name = &text[at..at + text[at..].find('"').unwrap()];
        assert!(name.len() <= 64 && name != long, "{provider}: {name}");
        let answer = match provider {
            "anthropic" => {
                json!({"stop_reason":"tool_use","content":[{"type":"tool_use","id":"c","name":name,"input":{}}]})
            }
            "bedrock-converse" => {
                json!({"stopReason":"tool_use","output":{"message":{"content":[{"toolUse":{"toolUseId":"c","name":name,"input":{}}}]}}})
            }
            "gemini" => {
                json!({"candidates":[{"finishReason":"STOP","content":{"parts":[{"functionCall":{"name":name,"args":{}}}]}}]})
            }
            _ => {
                json!({"status":"completed","output":[{"type":"function_call","call_id":"c","name":name,"arguments":"{}"}]})
            }
        };
        let edits = codec::AnswerEdits { names: sent.names, ..pairs::edits_for(b"") };
        let whole = pairs::whole(pair, answer.to_string().as_bytes(), &edits).unwrap();
        let told: Value = serde_json::from_slice(&whole.body.into_bytes()).unwrap();
        assert_eq!(told["choices"][0]["message"]["tool_calls"][0]["function"]["name"], long, "{provider}");
    }
}

#[test]
fn a_conversation_that_begins_with_the_assistant_gets_a_users_turn_before_it() {
    for client in CLIENTS {
        let conversation = match client {
            "gemini" => json!([{"role":"model","parts":[{"text":"Hello."}]},{"role":"user","parts":[{"text":"Hi"}]}]),
            _ => json!([{"role":"assistant","content":"Hello."},{"role":"user","content":"Hi"}]),
        };
        for provider in ["anthropic", "bedrock-converse"].into_iter().filter(|provider| *provider != client) {
            let (sent, losses) = ask(client, provider, &talk(client, conversation.clone())).unwrap();
            let roles: Vec<_> = sent["messages"].as_array().unwrap().iter().map(|message| &message["role"]).collect();
            assert_eq!(roles, ["user", "assistant", "user"], "{client} to {provider}");
            assert_eq!(sent["messages"][0]["content"][0]["text"], "(continued)");
            assert_eq!(losses.to_string(), "first_turn", "{client} to {provider}");
        }
    }
}

#[test]
fn a_request_that_nobody_can_mean_is_not_translated() {
    let message = json!({"role":"user","content":"x"});
    let parts = json!([{"role":"user","content":vec![json!({"type":"text","text":"x"}); 65_537]}]);
    let tool =
        |at: usize| json!({"type":"function","function":{"name":format!("t.{at}"),"parameters":{"type":"object"}}});
    let tools: Vec<Value> = (0..4_097).map(tool).collect();
    let many = |count: usize| talk("openai-chat", vec![message.clone(); count].into());
    for (body, param) in [
        (many(16_385), None),
        (talk("openai-chat", parts), Some("messages")),
        (json!({"model":"m","messages":[message],"tools":tools}), Some("tools")),
    ] {
        for provider in others("openai-chat") {
            let fault = ask("openai-chat", provider, &body).unwrap_err();
            assert_eq!(
                (fault.kind, fault.param.as_deref()),
                (BodyFaultKind::OutOfRange, param),
                "{provider}: {}",
                fault.message
            );
        }
    }
    assert!(ask("openai-chat", "anthropic", &many(16_384)).is_ok());
}
