//! The Responses API through a bridge to itself: requests and answers keep every byte outside of the declared edits, and
//! what is learnt on the way is what a plain reading says.

use bytes::Bytes;
use codec::{BodyFaultKind, Bridge, Dialect, StreamEnd, StreamPass, Tap};
use domain::usage::{TokenUsage, UsageSource};
use serde_json::{Value, json};

use crate::edits::{self, pricer};
use crate::fixtures::{self, Case};
use crate::odd::Odd;
use crate::reference::{self, offset};

const FOLDERS: [&str; 2] = ["openai-responses", "xai-responses"];
const COST: &str = r#""cost":0.000412,"is_byok":false,"cost_details":{"upstream_inference_cost":null}"#;

fn responses() -> &'static Dialect {
    codec::dialect::find("openai-responses").unwrap()
}

fn bridge() -> Bridge {
    Bridge::between(responses(), responses()).unwrap()
}

fn sent(body: &str, limit: Option<u64>) -> String {
    let scan = responses().scan(body.as_bytes()).unwrap();
    let out =
        bridge().request(&Bytes::copy_from_slice(body.as_bytes()), &scan, &edits::request("up/m", limit)).unwrap();
    assert!(out.losses.is_empty() && out.names.is_empty());
    String::from_utf8(out.body.into_bytes().to_vec()).unwrap()
}

/// What the provider should get, made by hand: values are exchanged where they stand, new fields go first.
fn expected(body: &str) -> String {
    let fields = reference::fields(body).unwrap();
    let (mut out, mut at) = (String::new(), 0);
    for (name, value) in &fields {
        let new = match name.as_str() {
            "model" => "\"up/m\"",
            "store" => "false",
            _ => continue,
        };
        let start = offset(body, value);
        out.push_str(&body[at..start]);
        out.push_str(new);
        at = start + value.len();
    }
    out.push_str(&body[at..]);
    match fields.iter().any(|field| field.0 == "store") {
        true => out,
        false => out.replacen('{', "{\"store\":false,", 1),
    }
}

#[test]
fn recorded_requests_keep_every_byte_but_the_model_and_the_store() {
    for case in fixtures::cases(&FOLDERS) {
        let Some(body) = case.request.map(|body| String::from_utf8(body).unwrap()) else { continue };
        let value: Value = serde_json::from_str(&body).unwrap();
        match responses().scan(body.as_bytes()) {
            Ok(scan) => {
                assert_eq!(sent(&body, None), expected(&body), "{}", case.name);
                assert_eq!(scan.stream, value["stream"] == true);
                assert_eq!(scan.max_tokens, value["max_output_tokens"].as_u64());
                assert_eq!(scan.messages, value["input"].as_array().map_or(1, |items| items.len() as u64));
            }
            Err(fault) => {
                assert_eq!((fault.kind, value["background"].as_bool()), (BodyFaultKind::Unsupported, Some(true)));
            }
        }
    }
}

#[test]
fn only_declared_edits_are_made() {
    const I: &str = r#""input":"x""#;
    for (body, limit, out) in [
        (format!(r#"{{"model":"m",{I}}}"#), None, format!(r#"{{"store":false,"model":"up/m",{I}}}"#)),
        (
            format!(r#"{{ "store" : true , {I},"model":"m"}}"#),
            None,
            format!(r#"{{ "store" : false , {I},"model":"up/m"}}"#),
        ),
        (format!(r#"{{"store":null,"model":"up/m",{I}}}"#), None, format!(r#"{{"store":false,"model":"up/m",{I}}}"#)),
        (format!(r#"{{"store":false,"model":"up/m",{I}}}"#), None, format!(r#"{{"store":false,"model":"up/m",{I}}}"#)),
        (
            format!(r#"{{"store":false,"model":"up/m",{I}}}"#),
            Some(7),
            format!(r#"{{"max_output_tokens":7,"store":false,"model":"up/m",{I}}}"#),
        ),
        (
            format!(r#"{{"store":false,"model":"up/m",{I},"max_output_tokens":900}}"#),
            Some(7),
            format!(r#"{{"store":false,"model":"up/m",{I},"max_output_tokens":7}}"#),
        ),
        (
            format!(
                r#"{{"provider":{{}},"store":false,"model":"up/m",{I},"plugins":[],"usage":{{"include":true}},"z":1.0}}"#
            ),
            None,
            format!(r#"{{"store":false,"model":"up/m",{I},"z":1.0}}"#),
        ),
        (format!(r#"{{"models":["a"],{I},"store":false}}"#), None, format!(r#"{{"model":"up/m",{I},"store":false}}"#)),
    ] {
        assert_eq!(sent(&body, limit), out, "{body}");
    }
    for (body, kind, param) in [
        (r#"{"model":"m"}"#, BodyFaultKind::Missing, "input"),
        (r#"{"model":"m","input":[]}"#, BodyFaultKind::OutOfRange, "input"),
        (r#"{"model":"m","input":7}"#, BodyFaultKind::WrongType, "input"),
        (r#"{"model":"m","input":"x","store":"yes"}"#, BodyFaultKind::WrongType, "store"),
        (r#"{"model":"m","input":"x","store":true,"store":false}"#, BodyFaultKind::Repeated, "store"),
        (r#"{"model":"m","input":"x","Store":true}"#, BodyFaultKind::Repeated, "store"),
        (r#"{"model":"m","input":"x","previous_response_id":"r"}"#, BodyFaultKind::Unsupported, "previous_response_id"),
        (r#"{"model":"m","input":"x","conversation":{"id":"c"}}"#, BodyFaultKind::Unsupported, "conversation"),
        (r#"{"model":"m","input":"x","background":true}"#, BodyFaultKind::Unsupported, "background"),
    ] {
        let fault = responses().scan(body.as_bytes()).unwrap_err();
        assert_eq!((fault.kind, fault.param.as_deref()), (kind, Some(param)), "{body}");
    }
}

#[test]
fn sealed_state_that_we_carried_from_elsewhere_never_reaches_a_provider() {
    let body = r#"{"model":"m","input":[{"role":"user","content":"a"},{"type":"reasoning","summary":[],"encrypted_content":"tgst1_AAAAAAAAAAAAAAAAtsealed"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}"#;
    let scan = responses().scan(body.as_bytes()).unwrap();
    let out = bridge().request(&Bytes::from(body), &scan, &edits::request("up", None)).unwrap();
    assert_eq!(out.losses.to_string(), "reasoning_signature");
    let text = String::from_utf8(out.body.into_bytes().to_vec()).unwrap();
    assert!(!text.contains("sealed") && text.contains("\"store\":false"), "{text}");
}

/// A response with the edits that an answer gets.
fn edited(response: &str) -> String {
    let mut out = String::new();
    let mut at = 0;
    for (name, value) in reference::fields(response).unwrap() {
        let start = offset(response, value);
        let new = match name.as_str() {
            "model" => "\"public/model\"".to_owned(),
            "usage" if value.starts_with('{') => format!("{},{COST}}}", &value[..value.len() - 1]),
            _ => continue,
        };
        out.push_str(&response[at..start]);
        out.push_str(&new);
        at = start + value.len();
    }
    out + &response[at..]
}

/// Usage by plain arithmetic.
fn usage(response: &Value) -> Option<TokenUsage> {
    let number = |path: &str| response.pointer(path).and_then(Value::as_u64);
    let (input, output) = (number("/usage/input_tokens")?, number("/usage/output_tokens")?);
    let cached = number("/usage/input_tokens_details/cached_tokens").unwrap_or(0);
    let written = number("/usage/input_tokens_details/cache_write_tokens").unwrap_or(0);
    let thought = number("/usage/output_tokens_details/reasoning_tokens").unwrap_or(0);
    let counted = number("/usage/server_side_tool_usage_details/web_search_calls")
        .or(number("/tool_usage/web_search/num_requests"));
    let searches = || {
        let items = response["output"].as_array().unwrap().iter();
        items
            .filter(|item| {
                item["type"] == "web_search_call" && item["action"]["type"].as_str().is_none_or(|kind| kind == "search")
            })
            .count()
    };
    Some(TokenUsage {
        prompt: input - cached - written,
        cache_read: cached,
        cache_write: written,
        completion: output - thought,
        reasoning: thought,
        web_searches: counted.unwrap_or_else(|| searches() as u64),
        ..TokenUsage::default()
    })
}

#[test]
fn recorded_answers_are_edited_in_the_declared_places_only() {
    for case in fixtures::cases(&FOLDERS).into_iter().filter(|case| !case.is_stream && case.status == 200) {
        let text = String::from_utf8(case.response).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let whole =
            bridge().whole(Bytes::from(text.clone()), &edits::answer("public/model", true), &mut pricer()).unwrap();
        let tap = &whole.tap;
        assert_eq!(tap.usage(), usage(&value), "{}", case.name);
        assert_eq!(tap.upstream_id(), value["id"].as_str().unwrap());
        assert_eq!(tap.created(), value["created_at"].as_u64().unwrap());
        let reason = value["incomplete_details"]["reason"].as_str();
        match value["status"].as_str().unwrap() {
            "completed" => assert_eq!(tap.finish_reason(), "completed"),
            "incomplete" => assert_eq!(tap.finish_reason(), reason.unwrap_or("incomplete")),
            other => assert!(other == "queued" && !tap.has_finish()),
        }
        assert_eq!(tap.has_output(), value["status"] != "queued", "{}", case.name);
        assert_eq!(String::from_utf8(whole.body.into_bytes().to_vec()).unwrap(), edited(&text), "{}", case.name);
    }
}

struct Passed {
    out: Vec<u8>,
    end: StreamEnd,
    pass: StreamPass,
}

fn run<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Passed {
    let mut pass = bridge().stream(&edits::answer("public/model", false));
    let mut pricer = pricer();
    let mut out = Vec::new();
    for chunk in chunks {
        out.extend_from_slice(&pass.push(Bytes::copy_from_slice(chunk), &mut pricer));
    }
    let (rest, end) = pass.end(&mut pricer);
    out.extend_from_slice(&rest);
    Passed { out, end, pass }
}

fn facts(tap: &Tap) -> (String, String, Option<TokenUsage>, UsageSource, u64) {
    let (id, reason) = (tap.upstream_id().to_owned(), tap.finish_reason().to_string());
    (id, reason, tap.usage(), tap.usage_source(), tap.estimated_output_tokens())
}

fn streams() -> Vec<Case> {
    fixtures::cases(&FOLDERS).into_iter().filter(|case| case.is_stream).collect()
}

#[test]
fn recorded_streams_are_edited_in_the_declared_places_only() {
    for case in streams() {
        let text = String::from_utf8(case.response.clone()).unwrap();
        let (mut expected, mut last, mut is_error) = (String::new(), Value::Null, false);
        for event in text.split_inclusive("\n\n") {
            let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            let value: Value = serde_json::from_str(data).unwrap();
            is_error |= value["type"] == "error" || value["type"] == "response.failed";
            if is_error {
                break;
            }
            let response = reference::fields(data).unwrap().into_iter().find(|field| field.0 == "response");
            match response {
                Some((_, response)) => {
                    expected.push_str(&event.replace(response, &edited(response)));
                    last = value["response"].clone();
                }
                None => expected.push_str(event),
            }
        }
        let passed = run([&case.response[..]]);
        assert_eq!(String::from_utf8(passed.out).unwrap(), expected, "{}", case.name);
        assert_eq!(matches!(passed.end, StreamEnd::InBandError(_)), is_error, "{}: {:?}", case.name, passed.end);
        assert_eq!(passed.end == StreamEnd::Finished, !is_error);
        let tap = passed.pass.tap();
        assert_eq!(tap.upstream_id(), last["id"].as_str().unwrap());
        assert_eq!(tap.unread(), 0, "{}", case.name);
        if !is_error {
            assert_eq!((tap.usage(), tap.usage_source()), (usage(&last), UsageSource::ProviderFinal), "{}", case.name);
            assert!(tap.has_output() && !passed.pass.is_open());
            let written = last["usage"]["output_tokens"].as_u64().unwrap();
            // An estimate from what was seen, on which nothing rests where the provider counts.
            assert!(written == 0 || tap.estimated_output_tokens() <= 3 * written + 10, "{}", case.name);
        }
    }
}

#[test]
fn chunks_may_be_cut_anywhere() {
    for case in streams() {
        for line_end in ["\n", "\r\n", "\r"] {
            let text = String::from_utf8(case.response.clone()).unwrap().replace('\n', line_end);
            let bytes = text.as_bytes();
            let whole = run([bytes]);
            let single = run(bytes.chunks(1));
            assert_eq!((&single.out, &single.end), (&whole.out, &whole.end), "{} {line_end:?}", case.name);
            assert_eq!(facts(single.pass.tap()), facts(whole.pass.tap()));
            for at in (0..bytes.len()).step_by(bytes.len() / 60 + 1) {
                let (head, tail) = bytes.split_at(at);
                assert_eq!(run([head, tail]).out, whole.out, "{} {line_end:?} cut at {at}", case.name);
            }
        }
    }
}

#[test]
fn events_with_nothing_to_change_are_the_very_same_bytes() {
    let mut pass = bridge().stream(&edits::answer("public/model", true));
    let chunk = Bytes::from_static(
        b": wait\n\nevent: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"\\\"model\\\":\"}\n\n",
    );
    let out = pass.push(chunk.clone(), &mut pricer());
    assert_eq!((out.as_ptr(), out.len()), (chunk.as_ptr(), chunk.len()));
    assert_eq!(pass.tap().estimated_output_tokens(), 2);
}

#[test]
fn nothing_passes_behind_the_end_and_errors_are_kept_back() {
    let end =
        r#"data: {"type":"response.completed","response":{"id":"r","status":"completed","model":"up","output":[]}}"#;
    let passed = run([format!("{end}\n\ndata: [DONE]\n\ndata: more\n\n").as_bytes()]);
    assert_eq!(passed.end, StreamEnd::Finished);
    assert_eq!(String::from_utf8(passed.out).unwrap(), format!("{}\n\n", end.replace("\"up\"", "\"public/model\"")));
    let unended = run([end.as_bytes()]);
    assert_eq!((unended.end, unended.pass.tap().finish_reason().as_ref()), (StreamEnd::Finished, "completed"));
    for error in [
        r#"event: error
data: out of order"#,
        r#"data: {"type":"error","message":"m","code":"c"}"#,
        r#"data: {"error":{"message":"m"}}"#,
        r#"data: {"type":"response.failed","response":{"status":"failed","error":{"code":"c","message":"m"}}}"#,
        r#"data: {"type":"response.completed","response":{"status":"failed","error":{"code":"c","message":"m"}}}"#,
    ] {
        let delta = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"x\"}\n\n";
        let passed = run([format!("{delta}{error}\n\n{end}\n\n").as_bytes()]);
        assert!(matches!(passed.end, StreamEnd::InBandError(_)), "{error}");
        assert_eq!(passed.out, delta.as_bytes(), "{error}");
    }
    let bare = run([&b"data: {\"type\":\"x\"}\n\n{\"error\":{\"message\":\"broken\",\"code\":503}}"[..]]);
    assert!(matches!(bare.end, StreamEnd::InBandError(error) if error.status == Some(503)));
    assert_eq!(run([&b"data: [DONE]\n\n"[..]]).end, StreamEnd::Empty);
    assert_eq!(run([&b""[..]]).end, StreamEnd::Truncated);
}

#[test]
fn data_over_several_lines_is_edited_too() {
    let stream = "event: response.completed\ndata: {\"type\":\"response.completed\",\ndata: \"response\":{\"status\":\"completed\",\"model\":\ndata:  \"up\",\"usage\":{\"input_tokens\":1,\ndata: \"output_tokens\":2}}}\n\n";
    let passed = run([stream.as_bytes()]);
    let expected = stream.replace("\"up\"", "\"public/model\"").replace(":2}", &format!(":2,{COST}}}"));
    assert_eq!(String::from_utf8(passed.out).unwrap(), expected);
}

#[test]
fn an_error_has_the_shape_that_the_familys_clients_know() {
    let chat = codec::dialect::find("openai-chat").unwrap();
    let fault = codec::FaultBody {
        status: 429,
        kind: "rate_limit_error",
        code: "rate_limit_exceeded",
        message: "slow down",
        param: None,
        request_id: "req_1",
        metadata: None,
    };
    for surface in [codec::Surface::V1, codec::Surface::ApiV1] {
        assert_eq!(responses().encode_fault(surface, &fault), chat.encode_fault(surface, &fault));
    }
    let error: Value = serde_json::from_slice(&responses().encode_fault(codec::Surface::V1, &fault)).unwrap();
    assert_eq!(error["error"]["code"], json!("rate_limit_exceeded"));
}

#[test]
fn any_bytes_pass_without_a_panic() {
    let pieces: [&[u8]; 16] = [
        b"data: ",
        b"\n",
        b"\r\n",
        b"\n\n",
        b"[DONE]",
        b"{\"type\":\"response.output_text.delta\",\"delta\":\"\\ud800\"}",
        b"{\"type\":\"response.completed\",\"response\":{\"usage\":{},\"model\":\"\\u0075p\"}}",
        b"{\"type\":\"response.output_item.done\",\"item\":{\"type\":\"x\"}}",
        b"{\"type\":\"response.created\",\"response\":",
        b"{",
        b"}",
        b"\xff",
        b"event: error\n",
        b"event: response.completed\n",
        b"\xef\xbb\xbf",
        b": x\n",
    ];
    for seed in 0..10_000 {
        let mut odd = Odd::new(seed);
        let stream: Vec<u8> = (0..odd.below(30)).flat_map(|_| odd.pick(&pieces).to_vec()).collect();
        let whole = run([&stream[..]]);
        let cut = run(stream.chunks(1 + odd.below(20)));
        assert_eq!(whole.out, cut.out, "{:?}", String::from_utf8_lossy(&stream));
        assert_eq!((facts(whole.pass.tap()), whole.end), (facts(cut.pass.tap()), cut.end));
    }
}
