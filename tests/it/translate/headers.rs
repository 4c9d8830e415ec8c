//! What stands around a body, for every pair: heads of answers and of streams, limits in the caller's words, what passes
//! to a provider and what never does.

use std::io::Write;

use http::HeaderMap;
use proto::admin::Limits;
use serde_json::json;
use tollgate_tests::clients::Ask;
use tollgate_tests::fake::Reply;
use tollgate_tests::fake::strict::Family;
use tollgate_tests::house::House;

use super::{Pair, everywhere, pairs};

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().expect("a header in ASCII"))
}

/// What the strict provider says of itself and of its account.
const PROVIDERS_OWN: [&str; 4] =
    ["openai-processing-ms", "openai-version", "anthropic-organization-id", "x-ratelimit-limit-requests"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t40_heads_are_ours_and_fit_the_body_that_follows() {
    everywhere(async |pair: Pair| {
        let open = pair.house.client(0, "").open(pair.asking("hello").ask()).await;
        let headers = open.headers.clone();
        let said = |name: &str| text(&headers, name);
        assert_eq!(open.status, 200);
        assert!(said("x-request-id").starts_with("req_"), "{headers:?}");
        let is_anthropic = pair.from == Family::Anthropic;
        assert_eq!(said("request-id"), if is_anthropic { said("x-request-id") } else { "" });
        assert_eq!(said("content-encoding"), "", "{headers:?}");
        for name in PROVIDERS_OWN {
            assert_eq!(said(name), "", "the provider's {name} shows");
        }
        assert!(!said("server-timing").contains("gfe"), "{headers:?}");
        if pair.is_stream {
            assert_eq!(said("content-type").split(';').next(), Some("text/event-stream"));
            assert_eq!((said("cache-control"), said("x-accel-buffering")), ("no-cache", "no"), "{headers:?}");
            assert_eq!(said("content-length"), "", "the length of a stream is not known: {headers:?}");
            assert!(open.stream().await.rest().await.is_clean);
        } else {
            assert_eq!(said("content-type").split(';').next(), Some("application/json"));
            let body = open.whole().await.expect("the answer").body;
            assert_eq!(said("content-length"), body.len().to_string(), "the provider's length was kept");
        }
        pair.clean();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t40_limits_are_the_keys_own_whoever_answers() {
    let house = House::strict().await;
    let mut org = house.org("100.00").await;
    let limits = Limits { rpm: Some(6_000), ..Limits::default() };
    org.key = house.operator().await.key(&org.id, limits).await.text;
    for pair in pairs(&house, &org) {
        let answered = pair.asking("hello").hear().await;
        let left: u32 = answered.header("x-ratelimit-remaining-requests").parse().expect("a number");
        assert_eq!((answered.header("x-ratelimit-limit-requests"), left < 6_000), ("6000", true));
        let anthropics = answered.header("anthropic-ratelimit-requests-limit");
        assert_eq!(anthropics, if pair.from == Family::Anthropic { "6000" } else { "" });
        let failed = pair.limited("!error 429 !wait").try_hear().await.expect_err("an error was asked for");
        let seconds: u64 = failed.header("retry-after").parse().unwrap();
        assert!(failed.status == 429 && (1..=7).contains(&seconds), "{failed:?}");
        assert_eq!(failed.header("x-ratelimit-limit-requests"), "6000");
    }
}

#[tokio::test]
async fn t40_a_body_that_came_packed_all_the_same_is_not_passed_on() {
    let house = House::lab().await;
    let org = house.org("5.00").await;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(br#"{"id":"x","object":"chat.completion","choices":[]}"#).unwrap();
    let body = packed.finish().unwrap();
    let headers = vec![("content-encoding".to_owned(), "gzip".to_owned())];
    for is_stream in [false, true] {
        let content_type = if is_stream { "text/event-stream" } else { "application/json" };
        let (headers, body) = (headers.clone(), body.clone());
        let solo = house.solo();
        let tag = house.fake.script(Reply::Bytes { status: 200, content_type, headers, body, piece: usize::MAX });
        let asked = json!({
            "model": solo.model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 50,
            "stream": is_stream, "fake": tag,
        });
        let reply = house.client(0, &org.key).send(Ask::json("/v1/chat/completions", &asked)).await;
        assert_eq!((reply.status, reply.header("content-encoding")), (502, ""), "{}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t12_a_packed_request_arrives_unpacked_and_the_models_name_agrees_in_all_places() {
    everywhere(async |pair: Pair| {
        let plain = pair.asking("hello").ask();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(&plain.body).unwrap();
        let ask = Ask { body: packed.finish().unwrap().into(), ..plain }.header("content-encoding", "gzip");
        let open = pair.house.client(0, "").open(ask).await;
        let public = text(&open.headers, "x-tollgate-model").to_owned();
        let reply = open.whole().await.expect("the answer").expect(200);
        let seen = pair.last();
        assert_eq!(seen.header("content-encoding"), "");
        assert_eq!(seen.header("content-length"), seen.raw.len().to_string());
        assert_eq!(seen.header("accept-encoding"), "identity");
        // The provider's name for it, in its path or its body; the caller's name for it in the answer and its head.
        let upstream = seen.model.as_str();
        assert!(upstream.contains("strict") && !upstream.contains('/'), "{upstream}");
        match pair.to {
            Family::Gemini => assert!(seen.path.contains(&format!("/models/{upstream}:")), "{}", seen.path),
            _ => assert_eq!(seen.body["model"], upstream),
        }
        assert!(reply.text().contains(pair.model()) && !reply.text().contains(upstream), "{}", reply.text());
        assert_eq!(public, pair.model());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t14_a_family_has_its_headers_and_nobody_elses() {
    const SENT: [(&str, &str); 9] = [
        ("anthropic-beta", "interleaved-thinking-2025-05-14"),
        ("openai-beta", "assistants=v2"),
        ("x-goog-user-project", "somebodys-project"),
        ("openai-organization", "org-somebody"),
        ("cookie", "session=somebody"),
        ("proxy-authorization", "Basic c29tZWJvZHk6eA=="),
        ("x-forwarded-for", "203.0.113.7"),
        ("http-referer", "https://app.example"),
        ("anthropic-dangerous-direct-browser-access", "true"),
    ];
    everywhere(async |pair: Pair| {
        let ask = SENT.iter().fold(pair.asking("hello").ask(), |ask, (name, value)| ask.header(name, value));
        let open = pair.house.client(0, "").open(ask).await;
        assert_eq!(open.status, 200);
        open.whole().await.expect("the answer");
        let seen = pair.last();
        let key = &pair.org.key;
        assert!(seen.headers.iter().all(|(_, value)| !value.contains(key.as_str())), "the caller's key went out");
        assert!(!seen.path.contains(key.as_str()) && !seen.path.contains("key="), "{}", seen.path);
        for (name, value) in SENT {
            let is_theirs = match name {
                "anthropic-beta" => pair.from == Family::Anthropic && pair.to == Family::Anthropic,
                "openai-beta" => pair.is_same() && matches!(pair.to, Family::Chat | Family::Responses),
                _ => false,
            };
            assert_eq!(seen.header(name), if is_theirs { value } else { "" }, "{name}: {:?}", seen.headers);
        }
        // A body that we write is in the version that takes temperatures; a client's own goes on in its own.
        let version = if pair.to == Family::Anthropic { "2023-06-01" } else { "" };
        assert_eq!(seen.header("anthropic-version"), version, "{:?}", seen.headers);
    })
    .await;
}
