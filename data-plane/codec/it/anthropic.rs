//! Anthropic's bytes through: only the declared edits are made to requests, answers and events, and clouds get what they
//! want elsewhere than in the body.

use bytes::Bytes;
use codec::{AnswerEdits, BodyFaultKind, Bridge, Dialect, Outbound, RequestEdits, StreamEnd};
use domain::usage::UsageSource;
use serde_json::{Value, json};

use crate::edits::{self, pricer};
use crate::fixtures;
use crate::odd::Odd;
use crate::reference::{self, offset};

const MODEL: &str = "public/model";

fn dialect() -> &'static Dialect {
    edits::dialect("anthropic")
}

fn bridge() -> Bridge {
    Bridge::between(dialect(), dialect()).unwrap()
}

fn sent(body: &[u8], edits: &RequestEdits<'_>) -> Outbound {
    let body = Bytes::copy_from_slice(body);
    bridge().request(&body, &dialect().scan(&body).unwrap(), edits).unwrap()
}

fn text(outbound: Outbound) -> String {
    String::from_utf8(outbound.body.into_bytes().to_vec()).unwrap()
}

/// What stands between and around the value of a top-level field.
fn around(text: &str, name: &str) -> String {
    match reference::fields(text).unwrap().into_iter().find(|(met, _)| met == name) {
        Some((_, value)) => {
            let at = offset(text, value);
            format!("{}{}", &text[..at], &text[at + value.len()..])
        }
        None => text.to_owned(),
    }
}

#[test]
fn recorded_requests_differ_in_the_models_name_only() {
    for case in fixtures::cases(&["anthropic", "anthropic-count-tokens"]) {
        let Some(body) = &case.request else { continue };
        let original = std::str::from_utf8(body).unwrap();
        let out = sent(body, &edits::request("claude-up", None));
        assert!(out.losses.is_empty() && out.names.is_empty(), "{}", case.name);
        let out = text(out);
        assert_eq!(around(&out, "model"), around(original, "model"), "{}", case.name);
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["model"], "claude-up");
        let value: Value = serde_json::from_str(original).unwrap();
        let kept = sent(body, &edits::request(value["model"].as_str().unwrap(), None)).body.into_bytes();
        assert_eq!(kept, &body[..], "{}: the same name changes nothing", case.name);
    }
}

#[test]
fn own_fields_go_limits_are_set_and_everything_else_stays() {
    let m = r#""messages":[{"role":"user","content":"x"}]"#;
    let own = r#""provider":{"only":["a"]},"models":["b"],"fallbacks":[{"model":"c"}],"plugins":[],"session_id":"s","providerOptions":{}"#;
    for (body, limit, out) in [
        (
            format!(r#"{{"model":"x", {m},"max_tokens" : 50}}"#),
            None,
            format!(r#"{{"model":"up", {m},"max_tokens" : 50}}"#),
        ),
        (
            format!(r#"{{"model":"x",{m},"max_tokens" : 50}}"#),
            Some(9),
            format!(r#"{{"model":"up",{m},"max_tokens" : 9}}"#),
        ),
        (format!(r#"{{"model":"up",{m}}}"#), Some(9), format!(r#"{{"max_tokens":9,"model":"up",{m}}}"#)),
        (
            format!(r#"{{{own},"model":"up",{m},"temperature":1.50}}"#),
            None,
            format!(r#"{{"model":"up",{m},"temperature":1.50}}"#),
        ),
        (
            format!(r#"{{"model":"up",{m},"usage":{{"include":true}},"tags":[1]}}"#),
            None,
            format!(r#"{{"model":"up",{m}}}"#),
        ),
        (format!(r#"{{"models":["b"],{m}}}"#), None, format!(r#"{{"model":"up",{m}}}"#)),
        (
            format!(r#"{{"model":"up",{m},"stream":true,"anthropic_version":"v"}}"#),
            None,
            format!(r#"{{"model":"up",{m},"stream":true,"anthropic_version":"v"}}"#),
        ),
    ] {
        assert_eq!(text(sent(body.as_bytes(), &edits::request("up", limit))), out);
    }
}

#[test]
fn clouds_get_the_version_in_the_body_and_the_model_in_the_path() {
    let m = r#""messages":[{"role":"user","content":"x"}]"#;
    let through = |quirk: &str, body: String| {
        let quirks = dialect().parse_quirks(&[quirk]).unwrap();
        text(sent(body.as_bytes(), &RequestEdits { quirks, ..edits::request("up", None) }))
    };
    assert_eq!(
        through("vertex", format!(r#"{{"model":"x",{m},"stream":true,"route":1}}"#)),
        format!(r#"{{"anthropic_version":"vertex-2023-10-16",{m},"stream":true}}"#)
    );
    assert_eq!(
        through("bedrock-invoke", format!(r#"{{"tags":1,{m},"stream":true,"model":"x"}}"#)),
        format!(r#"{{"anthropic_version":"bedrock-2023-05-31",{m}}}"#)
    );
    assert_eq!(
        through("vertex", format!(r#"{{"model":"x",{m},"anthropic_version":"theirs"}}"#)),
        format!(r#"{{{m},"anthropic_version":"theirs"}}"#)
    );
}

#[test]
fn fallbacks_are_read_and_threads_are_refused() {
    let scan = |rest: &str| dialect().scan(format!(r#"{{"model":"x","messages":[1],{rest}}}"#).as_bytes());
    assert_eq!(scan(r#""fallbacks":[{"model":"a"},{"model":"b","max_tokens":5}]"#).unwrap().fallbacks, ["a", "b"]);
    assert_eq!(scan(r#""fallbacks":"default""#).unwrap_err().kind, BodyFaultKind::WrongType);
    let fault = scan(r#""thread":{"type":"create"}"#).unwrap_err();
    assert_eq!((fault.kind, fault.param.as_deref()), (BodyFaultKind::Unsupported, Some("thread")));
    assert!(scan(r#""thread":null"#).is_ok());
}

#[test]
fn state_that_we_carried_makes_a_request_be_read_and_other_requests_pass() {
    let body = |signature: &str| {
        json!({"model":"up","max_tokens":50,"messages":[{"role":"user","content":"x"},
            {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":signature},{"type":"text","text":"y"}]},
            {"role":"user","content":"z"}]})
        .to_string()
    };
    let native = body("EqoBCkgIARAB");
    assert_eq!(text(sent(native.as_bytes(), &edits::request("up", None))), native);
    let carried = sent(body("tgst1_AAAAAAAAAAAAAAAAtheirs").as_bytes(), &edits::request("up", None));
    assert_eq!(carried.losses.to_string(), "reasoning_signature");
    assert!(!text(carried).contains("theirs"));
}

fn answer() -> AnswerEdits {
    edits::answer(MODEL, false)
}

#[test]
fn recorded_answers_differ_in_the_models_name_only() {
    for case in fixtures::cases(&["anthropic"]).iter().filter(|case| !case.is_stream && case.status == 200) {
        let original = std::str::from_utf8(&case.response).unwrap();
        let body = Bytes::copy_from_slice(&case.response);
        let whole = bridge().whole(body, &answer(), &mut pricer()).unwrap();
        assert!(whole.tap.all_finished() && whole.tap.upstream_error().is_none(), "{}", case.name);
        assert_eq!(whole.tap.usage_source(), UsageSource::ProviderFinal, "{}", case.name);
        let passed = String::from_utf8(whole.body.into_bytes().to_vec()).unwrap();
        assert_eq!(around(&passed, "model"), around(original, "model"), "{}", case.name);
        let mut expected: Value = serde_json::from_str(original).unwrap();
        expected["model"] = json!(MODEL);
        assert_eq!(serde_json::from_str::<Value>(&passed).unwrap(), expected);
        let named = original.replacen(expected_name(original), &format!("\"{MODEL}\""), 1);
        let same = Bytes::from(named);
        let whole = bridge().whole(same.clone(), &answer(), &mut pricer()).unwrap();
        assert_eq!(whole.body.parts()[0].as_ptr(), same.as_ptr(), "{}: the very same bytes", case.name);
    }
}

/// The model's name as it is written.
fn expected_name(text: &str) -> &str {
    reference::fields(text).unwrap().into_iter().find(|(name, _)| name == "model").unwrap().1
}

fn passed(stream: &[u8], size: usize) -> (String, StreamEnd) {
    let mut pass = bridge().stream(&answer());
    let mut out = Vec::new();
    for chunk in stream.chunks(size) {
        out.extend_from_slice(&pass.push(Bytes::copy_from_slice(chunk), &mut pricer()));
    }
    let (rest, end) = pass.end(&mut pricer());
    out.extend_from_slice(&rest);
    (String::from_utf8(out).unwrap(), end)
}

#[test]
fn recorded_streams_differ_in_the_models_name_only() {
    for case in fixtures::cases(&["anthropic", "constructed"]) {
        if !case.is_stream || !case.name.contains("anthropic") {
            continue;
        }
        let original = std::str::from_utf8(&case.response).unwrap();
        let start = original
            .lines()
            .find_map(|line| line.strip_prefix("data: ").filter(|data| data.contains("\"message_start\"")))
            .unwrap();
        let message = reference::fields(start).unwrap().into_iter().find(|(name, _)| name == "message").unwrap().1;
        let name = expected_name(message);
        let at = offset(original, name);
        let renamed = format!("{}\"{MODEL}\"{}", &original[..at], &original[at + name.len()..]);
        let (out, end) = passed(&case.response, 64);
        match end {
            StreamEnd::Finished => assert_eq!(out, renamed, "{}", case.name),
            StreamEnd::InBandError(_) => {
                assert_eq!(out, renamed[..renamed.find("event: error").unwrap()], "{}", case.name);
            }
            end => panic!("{}: {end:?}", case.name),
        }
        for size in [1, 7, 1000] {
            assert_eq!(passed(&case.response, size).0, out, "{} by {size}", case.name);
        }
    }
}

#[test]
fn events_with_nothing_to_change_are_the_very_same_bytes_and_names_inside_content_stay() {
    let mut pass = bridge().stream(&answer());
    let chunk = Bytes::from_static(
        b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"{\\\"model\\\":\\\"x\\\"}\",\"model\":\"x\"}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n",
    );
    let out = pass.push(chunk.clone(), &mut pricer());
    assert_eq!((out.as_ptr(), out.len()), (chunk.as_ptr(), chunk.len()));
    assert_eq!(pass.tap().estimated_output_tokens(), 4, "13 bytes of text");
    let split =
        "data: {\"type\":\"message_start\",\ndata: \"message\":{\"model\":\ndata:  \"up\",\"id\":\"msg_1\"}}\n\n";
    let (out, _) = passed(split.as_bytes(), 5);
    assert_eq!(out, split.replace("\"up\"", &format!("\"{MODEL}\"")));
}

#[test]
fn any_bytes_pass_without_a_panic_and_the_same_however_they_are_cut() {
    let pieces: [&[u8]; 16] = [
        b"data: ",
        b"\n",
        b"\r\n",
        b"\n\n",
        b"event: error\n",
        b"{\"type\":\"message_start\",\"message\":{\"id\":\"1\",\"model\":\"up\",\"usage\":{\"input_tokens\":1}}}",
        b"{\"type\":\"content_block_delta\",\"delta\":{\"text\":\"\\ud800\"}}",
        b"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{}}",
        b"{\"type\":\"message_stop\"}",
        b"{\"type\":\"error\"}",
        b"{\"message\":[{}],\"content\":[1,{}],\"delta\":7,\"usage\":[]}",
        b"{",
        b"}",
        b"\xff",
        b"[DONE]",
        b": x\n",
    ];
    for seed in 0..5_000 {
        let mut odd = Odd::new(seed);
        let stream: Vec<u8> = (0..odd.below(30)).flat_map(|_| odd.pick(&pieces).to_vec()).collect();
        let run = |size: usize| {
            let mut pass = bridge().stream(&answer());
            let mut out = Vec::new();
            for chunk in stream.chunks(size) {
                out.extend_from_slice(&pass.push(Bytes::copy_from_slice(chunk), &mut pricer()));
            }
            let (rest, end) = pass.end(&mut pricer());
            (out, rest, end, pass.tap().usage(), pass.tap().unread())
        };
        assert_eq!(run(stream.len().max(1)), run(1 + odd.below(20)), "{:?}", String::from_utf8_lossy(&stream));
    }
}
