//! What is asked: every field has its place at the provider, or is missed by name.

use serde_json::{Value, json};

use super::*;
use crate::error::BodyFaultKind;
use crate::loss::Loss;

const HELLO: &str = r#"[{"role":"user","content":"hello"}]"#;
const TOOLS: &str = r#""tools":[{"type":"function","function":{"name":"a","parameters":{"type":"object"}}},{"type":"function","function":{"name":"b"}}]"#;

fn with(fields: &str) -> Value {
    sent(&body(HELLO, fields))
}

fn other(fields: &str, quirks: &[&str]) -> (Value, String) {
    let (sent, losses) = sent_from(OTHER, &body(HELLO, fields), quirks).unwrap();
    (sent, losses.to_string())
}

#[test]
fn t01_system_and_developer_text_keep_their_places() {
    let messages = r#"[{"role":"system","content":"a"},{"role":"user","content":"b"},{"role":"developer","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]},{"role":"system","content":null}]"#;
    let (all, losses) = messages_from(OTHER, messages, &[]);
    let expected = json!([{"role":"system","content":"a"},{"role":"user","content":"b"},
        {"role":"developer","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]}]);
    assert_eq!((all, losses.is_empty()), (expected, true));
    let (own, _) = messages_from(crate::dialect::openai_chat::ID, messages, &[]);
    assert_eq!(own[3], json!({"role":"system","content":""}), "a client of this dialect is taken at its word");
    let (all, losses) = messages_from(OTHER, messages, &["no-developer-role"]);
    assert_eq!((&all[2]["role"], losses.to_string().as_str()), (&json!("system"), "developer"));
}

#[test]
fn t02_calls_of_one_answer_stand_in_one_message_and_results_behind_it() {
    let call = |id: &str| {
        format!(
            r#"{{"role":"assistant","content":null,"tool_calls":[{{"id":"{id}","type":"function","function":{{"name":"a","arguments":"{{}}"}}}}]}}"#
        )
    };
    let result = |id: &str| format!(r#"{{"role":"tool","tool_call_id":"{id}","content":"r {id}"}}"#);
    let list =
        format!("[{},{},{},{},{}]", HELLO.trim_matches(['[', ']']), call("c1"), call("c2"), result("c1"), result("c2"));
    let (all, _) = messages_from(OTHER, &list, &[]);
    let roles: Vec<&str> = all.as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool"]);
    assert_eq!(all[1]["tool_calls"].as_array().unwrap().len(), 2);
    // A client of this dialect gets its messages as they were.
    let (all, _) = messages_from(crate::dialect::openai_chat::ID, &list, &[]);
    assert_eq!(all.as_array().unwrap().len(), 5);
}

#[test]
fn t03_all_texts_survive_in_order() {
    let messages = r#"[{"role":"user","content":[{"type":"text","text":"1"},{"type":"image_url","image_url":{"url":"https://x/y.png"}},{"type":"text","text":"2"},{"type":"text","text":""}]},
        {"role":"assistant","content":[{"type":"text","text":"3"},{"type":"text","text":"4"}]}]"#;
    let (all, losses) = messages_from(OTHER, messages, &[]);
    assert_eq!(all, serde_json::from_str::<Value>(messages).unwrap());
    assert!(losses.is_empty());
    let (joined, _) = messages_from(OTHER, messages, &["string-content"]);
    assert_eq!(joined[1]["content"], "3\n\n4");
    assert_eq!(joined[0]["content"].as_array().unwrap().len(), 4);
}

#[test]
fn t04_empty_content_is_said_as_the_dialect_says_it() {
    let messages = r#"[{"role":"user","content":""},
        {"role":"assistant","content":"","tool_calls":[{"id":"c","type":"function","function":{"name":"a","arguments":""}}]},
        {"role":"tool","tool_call_id":"c","content":""},{"role":"assistant","content":[]},{"role":"user"}]"#;
    let (all, losses) = messages_from(OTHER, messages, &[]);
    assert_eq!(all[0], json!({"role":"user","content":""}));
    assert_eq!(all[1]["content"], Value::Null);
    assert_eq!(all[2], json!({"role":"tool","tool_call_id":"c","content":""}));
    assert_eq!(all.as_array().unwrap().len(), 3, "an empty turn says nothing");
    assert_eq!(losses.to_string(), "empty_part");
}

#[test]
fn t05_a_limit_goes_where_the_model_takes_it_and_none_is_invented() {
    assert_eq!(with("").get("max_tokens"), None);
    assert_eq!(with(r#""max_tokens":7"#)["max_tokens"], 7);
    assert_eq!(with(r#""max_completion_tokens":7,"max_tokens":9"#)["max_tokens"], 7);
    let (sent, _) = other(r#""max_tokens":7"#, &["max-completion-tokens"]);
    assert_eq!((sent.get("max_tokens"), &sent["max_completion_tokens"]), (None, &json!(7)));
}

#[test]
fn t06_sampling_that_a_model_refuses_is_missed_by_name() {
    let fields = r#""temperature":1.50,"top_p":0.9,"top_k":40,"min_p":0.1,"top_a":0.2,"repetition_penalty":1.1,"frequency_penalty":-2,"presence_penalty":2"#;
    let (all, losses) = other(fields, &["extended-sampling"]);
    assert!(losses.is_empty() && all["temperature"] == json!(1.5) && all["top_k"] == 40);
    let (usual, losses) = other(fields, &[]);
    assert_eq!(losses, "top_k, min_p, top_a, repetition_penalty");
    assert!(usual.get("top_k").is_none() && usual["frequency_penalty"] == json!(-2));
    let (none, losses) = other(fields, &["no-sampling"]);
    assert_eq!(
        losses,
        "temperature, top_p, top_k, min_p, top_a, frequency_penalty, presence_penalty, repetition_penalty"
    );
    assert!(none.get("temperature").is_none());
    // What a client of this dialect says stays, whatever we know of the provider.
    assert_eq!(with(fields)["top_a"], json!(0.2));
}

#[test]
fn t07_stops_are_a_list_and_too_many_are_cut_by_name() {
    assert_eq!(with(r#""stop":"x""#)["stop"], json!(["x"]));
    assert_eq!(with(r#""stop":null"#).get("stop"), None);
    let five = r#""stop":["1","2"," ","4","5"]"#;
    assert_eq!(other(five, &[]), (with(five), String::new()));
    let (sent, losses) = other(five, &["max-4-stops"]);
    assert_eq!((&sent["stop"], losses.as_str()), (&json!(["1", "2", " ", "4"]), "stop_count"));
}

#[test]
fn t08_answers_seeds_and_biases_have_their_places() {
    let fields = r#""n":3,"seed":-7,"logprobs":true,"top_logprobs":2,"logit_bias":{"50256":-100}"#;
    let sent = with(fields);
    assert_eq!((&sent["n"], &sent["seed"], &sent["top_logprobs"]), (&json!(3), &json!(-7), &json!(2)));
    assert_eq!(sent["logit_bias"], json!({"50256": -100}));
    let (sent, losses) = other(fields, &["random-seed", "core-fields"]);
    assert_eq!((&sent["random_seed"], sent.get("seed"), losses.as_str()), (&json!(-7), None, "logit_bias"));
    assert_eq!(other(fields, &["no-sampling"]).1, "logprobs, logit_bias");
    assert_eq!(other(r#""n":1"#, &[]).0.get("n"), None);
}

#[test]
fn t09_json_and_schemas_are_asked_for_as_the_provider_knows_it() {
    let schema = r#""response_format":{"type":"json_schema","json_schema":{"name":"n","description":"d","strict":true,"schema":{"$defs":{"x":{}},"n":1.0}}}"#;
    assert_eq!(with(schema)["response_format"]["json_schema"]["schema"].to_string(), r##"{"$defs":{"x":{}},"n":1.0}"##);
    assert_eq!(with(schema)["response_format"]["json_schema"]["strict"], true);
    let (sent, losses) = other(schema, &["no-json-schema"]);
    assert_eq!((&sent["response_format"], losses.as_str()), (&json!({"type":"json_object"}), "json_schema"));
    assert!(sent["messages"][0]["content"].as_str().unwrap().ends_with(r#"schema: {"$defs":{"x":{}},"n":1.0}"#));
    let odd = r#""response_format":{"type":"json_schema","json_schema":{"name":"not plain","schema":{}}}"#;
    assert_eq!(other(odd, &[]).0["response_format"]["json_schema"]["name"], "response");
    let json = r#""response_format":{"type":"json_object"}"#;
    assert_eq!(with(json)["messages"], json!([{"role":"user","content":"hello"}]));
    // Providers refuse JSON mode where nobody said the word.
    assert_eq!(other(json, &[]).0["messages"][0], json!({"role":"system","content":"Answer in JSON."}));
    let said = r#"[{"role":"user","content":"as JSON please"}]"#;
    let (sent, _) = sent_from(OTHER, &body(said, json), &[]).unwrap();
    assert_eq!(sent["messages"].as_array().unwrap().len(), 1);
    assert_eq!(with(r#""response_format":{"type":"text"}"#)["response_format"], json!({"type":"text"}));
    assert_eq!(other(r#""response_format":{"type":"text"}"#, &[]).0.get("response_format"), None);
    assert_eq!(with(r#""response_format":{"type":"grammar","grammar":"x"}"#)["response_format"]["grammar"], "x");
}

#[test]
fn t10_schemas_of_tools_are_carried_untouched() {
    let tools = r##""tools":[{"type":"function","function":{"name":"a","description":"","parameters":{"$ref":"#/$defs/x", "anyOf":[ ],"additionalProperties":false,"big":12345678901234567890123},"strict":false}}]"##;
    let scan = DIALECT.scan(body(HELLO, tools).as_bytes()).unwrap();
    let text = body(HELLO, tools);
    let whole = translating()
        .request(&Bytes::from(text), &scan, &request_edits(&carry(), &[], false))
        .unwrap()
        .body
        .into_bytes();
    let whole = std::str::from_utf8(&whole).unwrap();
    assert!(whole.contains(tools.split_once("parameters").unwrap().1.split_once(",\"strict").unwrap().0), "{whole}");
}

fn request_edits<'a>(carry: &'a Carry, modalities: &'a [String], is_strict: bool) -> RequestEdits<'a> {
    RequestEdits {
        upstream_model: "up",
        token_limit: Some(99),
        quirks: Default::default(),
        max_output: None,
        input_modalities: modalities,
        require_parameters: is_strict,
        surface: crate::fault::Surface::V1,
        carry,
    }
}

#[test]
fn t11_numbers_stay_as_they_are_written_and_names_are_told_apart_by_case() {
    let fields = r#""temperature":1.50e0,"seed":12345678901234567890,"Temperature":3,"x_big":1.000000000000000000001"#;
    let text = body(HELLO, fields);
    let scan = DIALECT.scan(text.as_bytes()).unwrap();
    let sent = translating().request(&Bytes::from(text), &scan, &request_edits(&carry(), &[], false)).unwrap();
    let sent = String::from_utf8(sent.body.into_bytes().to_vec()).unwrap();
    for part in
        [r#""temperature":1.50e0"#, r#""seed":12345678901234567890"#, r#""Temperature":3"#, "1.000000000000000000001"]
    {
        assert!(sent.contains(part), "{sent}");
    }
    assert!(sent.contains(r#""max_tokens":99"#));
    let doubled = r#"{"model":"m","messages":[{"role":"user","content":"x","content":"y"}]}"#;
    let fault = sent_from(OTHER, doubled, &[]).unwrap_err();
    assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::Repeated, Some("content")));
}

#[test]
fn t13_every_spelling_of_how_much_to_think_is_understood() {
    let effort = |fields: &str| with(fields)["reasoning_effort"].clone();
    assert_eq!(effort(r#""reasoning_effort":"minimal""#), "minimal");
    assert_eq!(effort(r#""reasoning":{"effort":"high"}"#), "high");
    assert_eq!(effort(r#""reasoning":{"effort":"max"}"#), "max");
    assert_eq!(effort(r#""reasoning_effort":"low","reasoning":{"effort":"high"}"#), "high");
    assert_eq!(effort(r#""reasoning":{"enabled":false}"#), "none");
    assert_eq!(effort(r#""reasoning":{"enabled":true}"#), "medium");
    assert_eq!(effort(r#""reasoning_effort":"default""#), "default", "a word of one provider only");
    let losses = |fields: &str, quirks: &[&str]| {
        let (sent, losses) = other(fields, quirks);
        (sent.get("reasoning_effort").cloned().unwrap_or_default(), losses)
    };
    let budget = r#""max_tokens":10000,"reasoning":{"max_tokens":5000}"#;
    assert_eq!(losses(budget, &[]), (json!("medium"), "reasoning_budget".into()));
    assert_eq!(losses(r#""reasoning":{"effort":"max"}"#, &[]), (json!("xhigh"), "reasoning_effort".into()));
    assert_eq!(
        losses(r#""reasoning":{"effort":"none"}"#, &["basic-efforts"]),
        (json!("low"), "reasoning_effort".into())
    );
    assert_eq!(
        losses(r#""reasoning":{"effort":"low"}"#, &["no-reasoning-effort"]),
        (Value::Null, "reasoning_effort".into())
    );
    assert_eq!(losses(r#""reasoning":{"exclude":true}"#, &[]).1, "reasoning_switch");
    let (sent, none) = other(r#""reasoning":{"exclude":true}"#, &["include-reasoning"]);
    assert_eq!((&sent["include_reasoning"], none.as_str()), (&json!(false), ""));
    let all = r#""reasoning":{"enabled":true,"effort":"high","exclude":false,"summary":"auto"}"#;
    assert_eq!(losses(all, &[]), (json!("high"), "reasoning_summary".into()));
    let (sent, none) = other(all, &["openrouter-fields"]);
    let expected: Value = serde_json::from_str(&format!("{{{all}}}")).unwrap();
    assert_eq!((&sent["reasoning"], none.as_str()), (&expected["reasoning"], ""));
    let both = other(r#""reasoning":{"max_tokens":5000,"effort":"high"}"#, &["openrouter-fields"]);
    assert_eq!((&both.0["reasoning"], both.1.as_str()), (&json!({"max_tokens":5000}), "reasoning_effort"));
}

#[test]
fn t15_marks_for_the_cache_stay_where_they_are_understood() {
    let messages = r#"[{"role":"system","content":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}]},
        {"role":"user","content":"u","cache_control":{"type":"ephemeral"}}]"#;
    let tools = r#""tools":[{"type":"function","function":{"name":"a"},"cache_control":{"type":"ephemeral"}}]"#;
    for quirk in ["openrouter-fields", "cache-marks"] {
        let (sent, losses) = sent_from(OTHER, &body(messages, tools), &[quirk]).unwrap();
        assert!(losses.is_empty());
        assert_eq!(sent["messages"][0]["content"][0]["cache_control"], json!({"type":"ephemeral","ttl":"1h"}));
        assert_eq!(sent["messages"][1]["content"][0]["cache_control"], json!({"type":"ephemeral"}));
        assert_eq!(sent["tools"][0]["cache_control"], json!({"type":"ephemeral"}));
    }
    let (sent, losses) = sent_from(OTHER, &body(messages, tools), &[]).unwrap();
    assert_eq!(losses.to_string(), "cache_control");
    assert_eq!(sent["messages"], json!([{"role":"system","content":"s"},{"role":"user","content":"u"}]));
    let automatic = with(r#""cache_control":{"type":"ephemeral"}"#);
    assert_eq!(automatic["messages"][0]["content"][0]["cache_control"], json!({"type":"ephemeral"}));
}

#[test]
fn t17_tools_of_another_family_are_refused_and_never_dropped() {
    let tools = r#""tools":[{"type":"custom","custom":{"name":"c"}},{"type":"function","function":{"name":"a","description":"d"}}]"#;
    assert_eq!(with(tools)["tools"], serde_json::from_str::<Value>(&format!("{{{tools}}}")).unwrap()["tools"]);
    let fault = sent_from(OTHER, &body(HELLO, tools), &[]).unwrap_err();
    assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::Unsupported, Some("tools[0]")));
}

#[test]
fn t18_names_that_the_provider_does_not_take_are_changed_and_changed_back() {
    let tools = r#""tools":[{"type":"function","function":{"name":"files.read/all"}}],"tool_choice":{"type":"function","function":{"name":"files.read/all"}}"#;
    let text = body(HELLO, tools);
    let scan = DIALECT.scan(text.as_bytes()).unwrap();
    let outbound = translating().request(&Bytes::from(text), &scan, &request_edits(&carry(), &[], true)).unwrap();
    assert!(outbound.losses.is_empty() || outbound.losses.has(Loss::ToolName));
    let sent: Value = serde_json::from_slice(&outbound.body.into_bytes()).unwrap();
    let name = sent["tools"][0]["function"]["name"].as_str().unwrap().to_owned();
    assert!(crate::names::is_plain(&name));
    assert_eq!(sent["tool_choice"]["function"]["name"], name);
    let answer = format!(
        r#"{{"choices":[{{"index":0,"finish_reason":"tool_calls","message":{{"tool_calls":[{{"id":"1","type":"function","function":{{"name":"{name}","arguments":"{{}}"}}}}]}}}}]}}"#
    );
    let edits = AnswerEdits { names: outbound.names, ..edits(Surface::V1) };
    let whole = translating().whole(Bytes::from(answer), &edits, &mut pricer()).unwrap().body.into_bytes();
    let whole: Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(whole["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "files.read/all");
}

#[test]
fn t19_a_choice_of_tools_means_the_same_everywhere() {
    let choice = |choice: &str, quirks: &[&str]| {
        let (sent, losses) = other(&format!(r#"{TOOLS},"tool_choice":{choice}"#), quirks);
        assert!(losses.is_empty());
        sent
    };
    for word in [r#""auto""#, r#""none""#, r#""required""#] {
        assert_eq!(choice(word, &[])["tool_choice"].to_string(), word);
    }
    assert_eq!(choice(r#""any""#, &[])["tool_choice"], "required");
    assert_eq!(choice(r#""required""#, &["tool-choice-any"])["tool_choice"], "any");
    let named = json!({"type":"function","function":{"name":"a"}});
    assert_eq!(choice(&named.to_string(), &[])["tool_choice"], named);
    assert_eq!(choice(r#"{"type":"function","name":"a"}"#, &[])["tool_choice"], named);
    let among = json!({"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[named]}});
    assert_eq!(choice(&among.to_string(), &[])["tool_choice"], among);
    let narrowed = choice(&among.to_string(), &["no-allowed-tools"]);
    assert_eq!((&narrowed["tool_choice"], narrowed["tools"].as_array().unwrap().len()), (&json!("required"), 1));
    assert_eq!(other(r#""tool_choice":"required""#, &[]).1, "tool_choice", "a choice without tools");
    assert_eq!(other(r#""tool_choice":"none","parallel_tool_calls":false"#, &[]).0, with(""));
    assert_eq!(choice(r#""auto","parallel_tool_calls":false"#, &[])["parallel_tool_calls"], false);
    let parallel = format!(r#"{TOOLS},"parallel_tool_calls":false"#);
    assert_eq!(other(&parallel, &["no-parallel-tools"]).1, "parallel_tool_calls");
}

#[test]
fn t20_ids_of_calls_are_kept_or_made_the_same_for_call_and_result() {
    let conversation = |id: &str| {
        format!(
            r#"[{{"role":"assistant","tool_calls":[{{"id":"{id}","type":"function","function":{{"name":"a","arguments":"{{}}"}}}}]}},{{"role":"tool","tool_call_id":"{id}","content":"r"}}]"#
        )
    };
    let ids = |id: &str, quirks: &[&str]| {
        let (all, losses) = messages_from(OTHER, &conversation(id), quirks);
        assert!(losses.is_empty());
        assert_eq!(all[0]["tool_calls"][0]["id"], all[1]["tool_call_id"]);
        all[1]["tool_call_id"].as_str().unwrap().to_owned()
    };
    assert_eq!(ids("toolu_0123456789", &[]), "toolu_0123456789");
    let long = "x".repeat(200);
    assert!(ids(&long, &[]).len() <= 40 && ids(&long, &[]) != ids(&"y".repeat(200), &[]));
    assert_eq!(ids("Ah0BFgzqX", &["nine-letter-ids"]), "Ah0BFgzqX");
    let nine = ids("call_1", &["nine-letter-ids"]);
    assert!(nine.len() == 9 && nine.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_ne!(nine, ids("call_2", &["nine-letter-ids"]));
    // Without ids, calls and results still find each other.
    let (all, _) = messages_from(
        OTHER,
        r#"[{"role":"assistant","tool_calls":[{"id":"","function":{"name":"a","arguments":"{}"}},{"function":{"name":"a","arguments":"{}"}}]},{"role":"tool","tool_call_id":"","content":"1"},{"role":"tool","content":"2"}]"#,
        &[],
    );
    assert_eq!(all[0]["tool_calls"][0]["id"], all[1]["tool_call_id"]);
    assert_eq!(all[0]["tool_calls"][1]["id"], all[2]["tool_call_id"]);
    assert_ne!(all[1]["tool_call_id"], all[2]["tool_call_id"]);
}

#[test]
fn t21_results_stand_first_and_nothing_beside_them_is_lost() {
    let messages = r#"[{"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
        {"role":"tool","tool_call_id":"2","content":[{"type":"text","text":"c"},{"type":"image_url","image_url":{"url":"https://x/y.png"}}]},
        {"role":"user","content":"and?"}]"#;
    let (all, losses) = messages_from(OTHER, messages, &[]);
    assert_eq!(all[0], json!({"role":"tool","tool_call_id":"1","content":"a\n\nb"}));
    assert_eq!(all[1], json!({"role":"tool","tool_call_id":"2","content":"c"}));
    assert_eq!(all[2]["role"], "user");
    let said = all.as_array().unwrap()[2..].iter().map(ToString::to_string).collect::<String>();
    assert!(said.contains("https://x/y.png") && said.contains("and?"), "{said}");
    assert_eq!(losses.to_string(), "tool_media");
    let own: Value = serde_json::from_str(messages).unwrap();
    assert_eq!(messages_from(crate::dialect::openai_chat::ID, messages, &[]).0, own);
}

#[test]
fn t22_no_arguments_are_an_empty_object_and_t23_broken_ones_stay_as_they_are() {
    for (arguments, expected) in [("", "{}"), ("{}", "{}"), (r#"{\"a\":"#, r#"{"a":"#), ("null", "null")] {
        let messages = format!(
            r#"[{{"role":"assistant","tool_calls":[{{"id":"1","type":"function","function":{{"name":"a","arguments":"{arguments}"}}}}]}}]"#
        );
        assert_eq!(messages_from(OTHER, &messages, &[]).0[0]["tool_calls"][0]["function"]["arguments"], expected);
    }
    let object = r#"[{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"a","arguments":{"x": 1}}}]}]"#;
    assert_eq!(messages_from(OTHER, object, &[]).0[0]["tool_calls"][0]["function"]["arguments"], r#"{"x": 1}"#);
}

#[test]
fn t25_media_keep_their_address_or_their_bytes() {
    let parts = json!([
        {"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}},
        {"type":"image_url","image_url":{"url":"data:image/webp;base64,QUJD"}},
        {"type":"input_audio","input_audio":{"data":"QUJD","format":"mp3"}},
        {"type":"video_url","video_url":{"url":"https://x/y.mp4"}},
        {"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,QUJD"}},
    ]);
    let messages = json!([{"role":"user","content":parts}]).to_string();
    let (all, losses) = messages_from(OTHER, &messages, &[]);
    assert_eq!((&all[0]["content"], losses.is_empty()), (&parts, true));
}

#[test]
fn t26_a_document_goes_as_a_document_wherever_it_stood() {
    let image =
        r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:application/pdf;base64,QUJD"}}]}]"#;
    let file = json!({"type":"file","file":{"filename":"document.pdf","file_data":"data:application/pdf;base64,QUJD"}});
    assert_eq!(messages_from(OTHER, image, &[]).0[0]["content"][0], file);
    let block = json!({"type":"document_url","document_url":"data:application/pdf;base64,QUJD"});
    assert_eq!(messages_from(OTHER, image, &["document-url"]).0[0]["content"][0], block);
    let bare = r#"[{"role":"user","content":[{"type":"file","file":{"filename":"a.csv","file_data":"QUJD"}}]}]"#;
    let written = messages_from(OTHER, bare, &[]).0[0]["content"][0]["file"].clone();
    assert_eq!(written, json!({"filename":"a.csv","file_data":"data:text/csv;base64,QUJD"}));
    let address = r#"[{"role":"user","content":[{"type":"file","file":{"file_data":"https://x/a.pdf"}}]}]"#;
    assert_eq!(
        messages_from(OTHER, address, &["openrouter-fields"]).0[0]["content"][0]["file"]["file_data"],
        "https://x/a.pdf"
    );
    for held in [address, r#"[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]"#] {
        let fault = sent_from(OTHER, &body(held, ""), &[]).unwrap_err();
        assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::Unsupported, Some("messages[0].content[0]")));
        assert!(sent_from(crate::dialect::openai_chat::ID, &body(held, ""), &[]).is_ok());
    }
}

#[test]
fn t27_media_that_a_model_does_not_take_are_refused_by_their_place() {
    let messages = r#"[{"role":"user","content":"x"},{"role":"user","content":[{"type":"text","text":"t"},{"type":"input_audio","input_audio":{"data":"QUJD","format":"wav"}}]}]"#;
    let text = body(messages, "");
    let scan = DIALECT.scan(text.as_bytes()).unwrap();
    let modalities = ["text".to_owned(), "image".to_owned()];
    let (carry, text) = (carry(), Bytes::from(text));
    let fault = translating().request(&text, &scan, &request_edits(&carry, &modalities, false)).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("messages[1].content[1]"));
    assert_eq!(fault.kind, BodyFaultKind::Unsupported);
}

#[test]
fn the_old_form_of_calls_is_a_tool_like_any_other() {
    let messages = r#"[{"role":"user","content":"x"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"r"}]"#;
    let fields = r#""functions":[{"name":"f","parameters":{}}],"function_call":{"name":"f"}"#;
    let (sent, losses) = sent_from(OTHER, &body(messages, fields), &[]).unwrap();
    assert!(losses.is_empty());
    assert_eq!(sent["tools"], json!([{"type":"function","function":{"name":"f","parameters":{}}}]));
    assert_eq!(sent["tool_choice"], json!({"type":"function","function":{"name":"f"}}));
    assert_eq!(sent["parallel_tool_calls"], false);
    assert_eq!(sent["messages"][1]["tool_calls"][0]["id"], sent["messages"][2]["tool_call_id"]);
    for (word, expected) in [("none", "none"), ("auto", "auto")] {
        let (sent, _) = other(&format!(r#""functions":[{{"name":"f"}}],"function_call":"{word}""#), &[]);
        assert_eq!(sent["tool_choice"], expected);
    }
}

#[test]
fn what_only_this_dialect_knows_stays_in_it_and_is_missed_by_name_elsewhere() {
    let messages = json!([{"role":"user","name":"u1","content":[{"type":"text","text":"t"},{"type":"mystery","x":[1]}]},
        {"role":"assistant","content":"c","prefix":true,"audio":{"id":"audio_1"},"annotations":[{"type":"url_citation","url_citation":{"url":"u"}}],
         "tool_calls":[{"id":"k","type":"custom","custom":{"name":"n","input":"i"}}]}]);
    let fields = r#""prediction":{"type":"content","content":"x"},"store":false,"web_search_options":{},"provider":{"order":[]},"debug":{}"#;
    let text = body(&messages.to_string(), fields);
    let own = sent(&text);
    assert_eq!(own["messages"], messages);
    assert!(own["store"] == json!(false) && own["prediction"].is_object() && own.get("provider").is_none());
    let (foreign, losses) = sent_from(OTHER, &text, &[]).unwrap();
    assert_eq!(losses.to_string(), "part, field, annotations");
    assert_eq!(foreign["messages"][0]["name"], "u1");
    assert!(foreign.get("store").is_none());
}

#[test]
fn fields_that_the_provider_does_not_know_are_missed_by_name() {
    let fields = r#""user":"u","verbosity":"low","service_tier":"flex","prompt_cache_key":"k","metadata":{"a":"b"},"modalities":["text","audio"]"#;
    assert_eq!(
        other(fields, &["core-fields"]).1,
        "verbosity, prompt_cache_key, service_tier, user, metadata, modalities"
    );
    let (sent, losses) = other(fields, &[]);
    assert_eq!(losses, "metadata");
    assert_eq!((&sent["user"], &sent["modalities"]), (&json!("u"), &json!(["text", "audio"])));
    assert_eq!(with(fields)["metadata"], json!({"a":"b"}));
    assert_eq!(other(r#""modalities":["text"]"#, &["core-fields"]).1, "");
}

#[test]
fn wrong_types_are_told_by_their_place() {
    for (messages, fields, param) in [
        (r#"[{"role":"user","content":[{"type":7}]}]"#, "", "messages[0].content[0].type"),
        (
            r#"[{"role":"user","content":"x"},{"role":"user","content":[{"text":"x"}]}]"#,
            "",
            "messages[1].content[0].type",
        ),
        (r#"[{"role":"user","content":7}]"#, "", "messages[0].content"),
        (r#"[{"role":"user","content":[{"type":"text"}]}]"#, "", "messages[0].content[0].text"),
        (
            r#"[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]"#,
            "",
            "messages[0].content[0].image_url.url",
        ),
        (r#"[{"role":"user","content":[{"type":"file","file":{}}]}]"#, "", "messages[0].content[0].file.file_data"),
        (r#"[{"role":"robot","content":"x"}]"#, "", "messages[0].role"),
        (r#"[{"content":"x"}]"#, "", "messages[0].role"),
        ("[7]", "", "messages[0]"),
        (r#"[{"role":"tool","content":"x"}]"#, "", "messages[0].tool_call_id"),
        (r#"[{"role":"assistant","tool_calls":{}}]"#, "", "messages[0].tool_calls"),
        (
            r#"[{"role":"assistant","tool_calls":[{"id":"1","function":{"name":7}}]}]"#,
            "",
            "messages[0].tool_calls[0].function.name",
        ),
        (HELLO, r#""temperature":"hot""#, "temperature"),
        (HELLO, r#""stop":[1]"#, "stop[0]"),
        (HELLO, r#""stop":1"#, "stop"),
        (HELLO, r#""tools":{}"#, "tools"),
        (HELLO, r#""tools":[{"type":"function"}]"#, "tools[0].function"),
        (
            HELLO,
            r#""tools":[{"type":"function","function":{"name":"a","parameters":[]}}]"#,
            "tools[0].function.parameters",
        ),
        (HELLO, r#""tool_choice":"maybe""#, "tool_choice"),
        (HELLO, r#""tool_choice":7"#, "tool_choice"),
        (HELLO, r#""response_format":"json""#, "response_format"),
        (HELLO, r#""response_format":{"type":"json_schema"}"#, "response_format.json_schema"),
        (HELLO, r#""reasoning":{"max_tokens":-1}"#, "reasoning.max_tokens"),
        (HELLO, r#""parallel_tool_calls":"yes""#, "parallel_tool_calls"),
        (HELLO, r#""metadata":[]"#, "metadata"),
        (HELLO, r#""user":7"#, "user"),
    ] {
        let fault = sent_from(OTHER, &body(messages, fields), &[]).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some(param), "{messages} {fields}");
        assert!(fault.message.contains(param));
    }
}

#[test]
fn nothing_may_be_lost_where_the_client_says_so() {
    let text = Bytes::from(body(HELLO, r#""reasoning":{"summary":"auto"}"#));
    let scan = DIALECT.scan(&text).unwrap();
    let fault = translating().request(&text, &scan, &request_edits(&carry(), &[], true)).unwrap_err();
    assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::Unsupported, Some("reasoning_summary")));
}

#[test]
fn large_media_are_shared_and_not_copied() {
    let data = "A".repeat(100_000);
    let text = Bytes::from(body(
        &format!(
            r#"[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}]}}]"#
        ),
        "",
    ));
    let scan = DIALECT.scan(&text).unwrap();
    let sent = translating().request(&text, &scan, &request_edits(&carry(), &[], false)).unwrap().body;
    let copied: usize =
        sent.parts().iter().filter(|part| !text.as_ptr_range().contains(&part.as_ptr())).map(Bytes::len).sum();
    assert!(copied < 1_000, "{copied}");
}
