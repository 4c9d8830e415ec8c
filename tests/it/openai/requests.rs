//! What a request may be: bodies that are refused with the name of what is wrong, and bodies that pass.

use std::io::Write;

use serde_json::json;
use tollgate_tests::clients::Ask;
use tollgate_tests::house::House;

use super::hello;

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn what_is_wrong_with_a_body_is_named() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let deep = format!(r#"{{"model":"lab/plain","messages":[1],"x":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    for (body, param) in [
        (r#"{"model":"lab/plain""#.to_owned(), None),
        (r#"not json"#.to_owned(), None),
        (r#"[]"#.to_owned(), None),
        (String::new(), None),
        (deep, None),
        (r#"{"messages":[{"role":"user","content":"x"}]}"#.to_owned(), Some("model")),
        (r#"{"model":"lab/plain"}"#.to_owned(), Some("messages")),
        (r#"{"model":7,"messages":[1]}"#.to_owned(), Some("model")),
        (r#"{"model":"lab/plain","messages":"text"}"#.to_owned(), Some("messages")),
        (r#"{"model":"lab/plain","messages":[]}"#.to_owned(), Some("messages")),
        (r#"{"model":"lab/plain","messages":[1],"stream":"yes"}"#.to_owned(), Some("stream")),
        (r#"{"model":"lab/plain","messages":[1],"max_tokens":"many"}"#.to_owned(), Some("max_tokens")),
        (r#"{"model":"lab/plain","messages":[1],"max_tokens":-1}"#.to_owned(), Some("max_tokens")),
        (r#"{"model":"lab/plain","messages":[1],"n":0}"#.to_owned(), Some("n")),
        (r#"{"model":"lab/plain","messages":[1],"model":"lab/dear"}"#.to_owned(), Some("model")),
        (r#"{"model":"lab/plain","messages":[1],"mod\u0065l":"lab/dear"}"#.to_owned(), Some("model")),
        (r#"{"model":"lab/plain","messages":[1],"MODEL":"lab/dear"}"#.to_owned(), Some("MODEL")),
    ] {
        let reply = client.send(Ask::post(CHAT, body.clone())).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        let error = reply.json()["error"].clone();
        assert_eq!(error["type"], "invalid_request_error", "{body}: {error}");
        assert!(error["code"].is_string(), "{body}: {error}");
        if let Some(param) = param {
            let named = error["param"].as_str().unwrap_or_default();
            assert!(named.eq_ignore_ascii_case(param), "{body}: {error}");
        }
    }
    let bad_text = [br#"{"model":"lab/plain","messages":[1],"x":""#.as_slice(), &[0xff, 0xfe], b"\"}"].concat();
    client.send(Ask::post(CHAT, bad_text)).await.expect(400);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_in_the_callers_words() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let mut body = hello("lab/plain");
    body["messages"][0]["content"] = json!("x".repeat(33 << 20));
    let reply = client.send(Ask::json(CHAT, &body)).await.expect(413);
    assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
}

#[tokio::test]
async fn only_json_is_taken() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let reply = client.send(Ask::json(CHAT, &hello("lab/plain")).header("content-type", kind)).await.expect(415);
        assert_eq!(reply.json()["error"]["type"], "invalid_request_error", "{kind}");
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON"] {
        client.send(Ask::json(CHAT, &hello("lab/plain")).header("content-type", kind)).await.expect(200);
    }
}

#[tokio::test]
async fn compressed_bodies_are_read() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let plain = hello("lab/plain").to_string();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(plain.as_bytes()).unwrap();
    let ask = Ask::post(CHAT, gzip.finish().unwrap()).header("content-encoding", "gzip");
    let answer = client.send(ask).await.expect(200).json();
    let served = house.fake.by_id(answer["id"].as_str().unwrap());
    let sent = plain.replace("lab/plain", "plain-at-plain");
    assert_eq!(String::from_utf8_lossy(&served.body), sent);
    client.send(Ask::post(CHAT, plain.clone()).header("content-encoding", "gzip")).await.expect(400);
    client.send(Ask::post(CHAT, plain).header("content-encoding", "br")).await.expect(415);
}

#[tokio::test]
async fn headers_and_fields_that_nobody_knows_are_not_refused() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let mut body = hello("lab/plain");
    body["a_field_of_next_year"] = json!({"deep": [1, 2, 3]});
    let mut ask = Ask::json(CHAT, &body).header("openai-beta", "assistants=v2");
    for at in 0..40 {
        ask = ask.header(&format!("x-codex-{at}"), "something");
    }
    let answer = house.client(0, &org.key).send(ask).await.expect(200).json();
    let served = house.fake.by_id(answer["id"].as_str().unwrap());
    assert!(String::from_utf8_lossy(&served.body).contains("a_field_of_next_year"));
    assert_eq!(served.header("openai-beta"), "assistants=v2", "a header on the list did not pass");
    assert_eq!(served.header("x-codex-1"), "", "a header that is not on the list passed");
    assert_eq!(served.header("accept-encoding"), "identity");
    assert_eq!(served.header("authorization"), "Bearer sk-of-plain-0123456789abcdef");
    assert!(!served.head.contains(&org.key), "the caller's key went to the provider");
}

#[tokio::test]
async fn own_fields_stay_here() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let mut body = hello("lab/plain");
    for field in ["route", "session_id"] {
        body[field] = json!("x");
    }
    (body["priority"], body["timeout"]) = (json!("speed"), json!(30));
    for field in ["provider", "trace", "debug", "usage", "providerOptions", "provider_preferences"] {
        body[field] = json!({});
    }
    body["usage"] = json!({"include": true});
    for field in ["transforms", "plugins", "tags"] {
        body[field] = json!([]);
    }
    let answer = house.client(0, &org.key).send(Ask::json("/api/v1/chat/completions", &body)).await.expect(200).json();
    let served = house.fake.by_id(answer["id"].as_str().unwrap());
    let sent: serde_json::Value = serde_json::from_slice(&served.body).unwrap();
    let mut names: Vec<&str> = sent.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["max_tokens", "messages", "model"]);
}
