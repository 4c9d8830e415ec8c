//! Whole answers: the same usage as a plain reading, edits in the declared places only, errors with HTTP 200 told apart.

use bytes::Bytes;
use codec::{Bridge, Error, Pricer, Receipt, Whole};
use domain::money::Money;
use domain::usage::{TokenUsage, UsageSource};
use serde_json::{Value, json};

use crate::edits;
use crate::fixtures;
use crate::odd::Odd;
use crate::reference::{self, offset};

fn pricer() -> impl Pricer {
    |_: &TokenUsage| Receipt {
        cost: Money::from_nano(412_000),
        is_byok: true,
        upstream_cost: Some(Money::from_nano(9)),
    }
}

fn pass(body: &[u8]) -> Result<Whole, Error> {
    let chat = codec::dialect::find("openai-chat").unwrap();
    let edits = edits::answer("public/model", false);
    Bridge::between(chat, chat).unwrap().whole(Bytes::copy_from_slice(body), &edits, &mut pricer())
}

/// What stands between and around the values of `model` and `usage`.
fn rest(text: &str) -> String {
    let mut rest = String::new();
    let mut at = 0;
    for (name, value) in reference::fields(text).unwrap() {
        if name == "model" || name == "usage" {
            rest.push_str(&text[at..offset(text, value)]);
            at = offset(text, value) + value.len();
        }
    }
    rest + &text[at..]
}

#[test]
fn recorded_answers_are_read_and_edited_as_declared() {
    for case in fixtures::cases(&fixtures::CHAT).iter().filter(|case| !case.is_stream && case.status == 200) {
        let value: Value = serde_json::from_slice(&case.response).unwrap();
        let whole = pass(&case.response).unwrap();
        assert_eq!(whole.tap.usage(), reference::usage(&value["usage"]), "{}", case.name);
        assert_eq!(whole.tap.usage_source(), UsageSource::ProviderFinal, "{}", case.name);
        assert_eq!(whole.tap.upstream_id(), value["id"].as_str().unwrap());
        assert_eq!(whole.tap.finish_reason(), value["choices"][0]["finish_reason"].as_str().unwrap());
        assert_eq!(whole.tap.created(), value["created"].as_u64().unwrap());
        assert!(whole.tap.all_finished() && whole.tap.upstream_error().is_none(), "{}", case.name);
        assert!(whole.tap.has_output(), "{}", case.name);
        let sent = whole.body.into_bytes();
        let sent_text = std::str::from_utf8(&sent).unwrap();
        assert_eq!(rest(sent_text), rest(std::str::from_utf8(&case.response).unwrap()), "{}", case.name);
        let mut expected = value.clone();
        expected["model"] = json!("public/model");
        expected["usage"]["cost"] = json!(0.000412);
        expected["usage"]["is_byok"] = json!(true);
        expected["usage"]["cost_details"] = json!({"upstream_inference_cost": 0.000000009});
        assert_eq!(serde_json::from_str::<Value>(sent_text).unwrap(), expected, "{}", case.name);
    }
}

#[test]
fn an_error_with_status_200_is_told_apart() {
    let body = br#"{"error":{"message":"Provider returned error","code":502},"model":"up"}"#;
    let whole = pass(body).unwrap();
    let error = whole.tap.upstream_error().unwrap();
    assert_eq!((error.message.as_str(), error.status), ("Provider returned error", Some(502)));
    assert_eq!(whole.body.into_bytes(), &body[..]);
    let failed = pass(br#"{"choices":[{"index":0,"message":{"content":""},"finish_reason":"error"}]}"#).unwrap();
    assert!(failed.tap.upstream_error().is_some());
}

#[test]
fn an_answer_with_nothing_in_it_has_no_output() {
    let whole =
        pass(br#"{"choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":null}]}"#).unwrap();
    assert!(!whole.tap.has_output() && !whole.tap.has_finish());
    assert_eq!(whole.tap.usage_source(), UsageSource::None);
    let spoken = pass(br#"{"choices":[{"message":{"content":null,"audio":{"data":"QUJD","transcript":"hello you"}},"finish_reason":"stop"}]}"#).unwrap();
    assert!(spoken.tap.has_output());
    assert_eq!(spoken.tap.estimated_output_tokens(), 3);
}

#[test]
fn what_is_no_answer_is_refused() {
    for body in ["", "<html></html>", "[1]", "{", "{\"a\":1}x", "\"text\"", "null"] {
        assert_eq!(pass(body.as_bytes()).err(), Some(Error::AnswerNotJson), "{body}");
    }
    for seed in 0..5_000 {
        let mut odd = Odd::new(seed);
        let mut text = String::new();
        odd.value(&mut text, 6);
        let mut text = text.into_bytes();
        odd.spoil(&mut text);
        if let Ok(whole) = pass(&text) {
            assert!(whole.body.into_bytes().starts_with(b"{") || text.first() != Some(&b'{'));
        }
    }
}
