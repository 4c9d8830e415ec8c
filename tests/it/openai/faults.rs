//! The error table, row by row, in both spellings.

use serde_json::json;
use tollgate_tests::clients::{Ask, Reply};
use tollgate_tests::house::House;

use super::{PREFIXES, hello};

/// The error of a reply in both spellings: `/v1` has the code as a word, `/api/v1` as the status.
fn is_fault(reply: &Reply, prefix: &str, status: u16, kind: &str, code: &str) {
    assert_eq!(reply.status, status, "{prefix}: {}", reply.text());
    assert_eq!(reply.header("content-type"), "application/json", "{prefix}");
    let error = &reply.json()["error"];
    assert_eq!(error["type"], kind, "{prefix}: {error}");
    assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{prefix}: {error}");
    assert_eq!(error["request_id"], reply.header("x-request-id"), "{prefix}");
    if prefix == "/api/v1" {
        assert_eq!(error["code"], status, "{prefix}: {error}");
        assert!(error["metadata"].is_object(), "{prefix}: {error}");
    } else {
        assert_eq!(error["code"], code, "{prefix}: {error}");
        assert!(error.as_object().unwrap().contains_key("param"), "{prefix}: {error}");
    }
}

#[tokio::test]
async fn every_bad_key_has_one_and_the_same_face() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let operator = house.operator().await;
    operator.revoke(&org.key_id).await;
    let expired = crate::keys::expired(&house, &org).await;
    let last = if org.key.ends_with('a') { "b" } else { "a" };
    let typo = format!("{}{last}", &org.key[..org.key.len() - 1]);
    for prefix in PREFIXES {
        let mut bodies = std::collections::BTreeSet::new();
        for key in ["", "nonsense", "tg_live_", &typo, &org.key, &expired, house.token()] {
            let ask = Ask::json(&format!("{prefix}/chat/completions"), &hello("lab/plain"));
            let reply = house.client(0, key).send(ask).await;
            is_fault(&reply, prefix, 401, "authentication_error", "invalid_api_key");
            let mut body = reply.json();
            body["error"]["request_id"] = json!(null);
            bodies.insert(body.to_string());
        }
        assert_eq!(bodies.len(), 1, "{bodies:#?}");
    }
}

#[tokio::test]
async fn credits_used_up_is_402_and_names_what_is_affordable() {
    let house = House::lab().await;
    let empty = house.org("").await;
    let poor = house.org("0.000010000").await;
    for prefix in PREFIXES {
        let ask = Ask::json(&format!("{prefix}/chat/completions"), &hello("lab/dear"));
        let reply = house.client(0, &empty.key).send(ask.clone()).await;
        is_fault(&reply, prefix, 402, "insufficient_quota", "insufficient_quota");
        assert_eq!(reply.header("x-should-retry"), "false");
        let reply = house.client(0, &poor.key).send(ask).await;
        is_fault(&reply, prefix, 402, "insufficient_quota", "insufficient_quota");
        let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.chars().any(|letter| letter.is_ascii_digit()), "says nothing of what is affordable: {message}");
    }
}

#[tokio::test]
async fn a_model_that_is_not_there_or_not_allowed_is_said() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let limited =
        house.admin(&["keys", "create", "--org", &org.id, "--name", "some", "--allow-model", "lab/pl*"]).await;
    let limited = house.client(0, limited["key"].as_str().unwrap());
    for prefix in PREFIXES {
        let chat = format!("{prefix}/chat/completions");
        let reply = house.client(0, &org.key).send(Ask::json(&chat, &hello("nobody/nothing"))).await;
        is_fault(&reply, prefix, 404, "invalid_request_error", "model_not_found");
        let reply = limited.send(Ask::json(&chat, &hello("lab/dear"))).await;
        is_fault(&reply, prefix, 403, "permission_error", "model_not_allowed");
        assert_eq!(reply.header("x-should-retry"), "false");
        limited.send(Ask::json(&chat, &hello("lab/plain"))).await.expect(200);
    }
    let list = limited.get("/v1/models").await.expect(200).json();
    let ids: Vec<&str> = list["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str()).collect();
    assert_eq!(ids, ["lab/plain"]);
}

#[tokio::test]
async fn a_budget_used_up_is_a_permission_error() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let key = house.admin(&["keys", "create", "--org", &org.id, "--name", "small", "--limit", "0.000000001"]).await;
    for prefix in PREFIXES {
        let ask = Ask::json(&format!("{prefix}/chat/completions"), &hello("lab/dear"));
        let reply = house.client(0, key["key"].as_str().unwrap()).send(ask).await;
        is_fault(&reply, prefix, 403, "permission_error", "key_limit_exceeded");
        assert_eq!(reply.header("x-should-retry"), "false");
    }
}

#[tokio::test]
async fn a_rate_limit_has_all_its_headers() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let key =
        house.admin(&["keys", "create", "--org", &org.id, "--name", "slow", "--rpm", "5", "--tpm", "100000"]).await;
    let client = house.client(0, key["key"].as_str().unwrap());
    let mut remaining = 5;
    let refused = loop {
        let reply = client.chat(&hello("lab/plain")).await;
        assert_eq!(reply.header("x-ratelimit-limit-requests"), "5", "{reply:?}");
        assert_eq!(reply.header("x-ratelimit-limit-tokens"), "100000", "{reply:?}");
        let left: i64 = reply.header("x-ratelimit-remaining-requests").parse().unwrap();
        assert!((0..5).contains(&left) && left <= remaining, "{left} after {remaining}");
        remaining = left;
        let tokens: i64 = reply.header("x-ratelimit-remaining-tokens").parse().unwrap();
        assert!((0..=100_000).contains(&tokens));
        assert!(is_span(reply.header("x-ratelimit-reset-requests")), "{reply:?}");
        assert!(is_span(reply.header("x-ratelimit-reset-tokens")), "{reply:?}");
        if reply.status != 200 {
            break reply;
        }
    };
    is_fault(&refused, "/v1", 429, "rate_limit_error", "rate_limit_exceeded");
    let (seconds, ms): (u64, u64) =
        (refused.header("retry-after").parse().unwrap(), refused.header("retry-after-ms").parse().unwrap());
    assert!((1..=60).contains(&seconds) && ms > 0 && ms <= seconds * 1000, "{seconds} s, {ms} ms");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    assert_ne!(refused.header("x-should-retry"), "false");
    assert_eq!(house.balance(&org.id).await.quarantined, 0);
}

/// `6m0s`, `12s`, `350ms`.
fn is_span(text: &str) -> bool {
    !text.is_empty() && text.ends_with('s') && text.starts_with(|letter: char| letter.is_ascii_digit())
}

#[tokio::test]
async fn odd_heads_get_an_answer_and_not_a_dropped_connection() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let house = House::lab().await;
    let address = house.client(0, "").authority().to_owned();
    for (head, status) in [
        (format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(70_000)), "4"),
        (format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(70_000)), "431"),
        ("NONSENSE\r\n\r\n".to_owned(), "400"),
        ("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n".to_owned(), "400"),
    ] {
        let mut socket = tokio::net::TcpStream::connect(&address).await.unwrap();
        let _ = socket.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let read =
            tokio::time::timeout(tollgate_tests::wait::SOON, socket.read_to_end(&mut answer)).await.expect("an end");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let kind = head.get(..12).unwrap_or_default().to_owned();
        // Some of these end in a reset once the answer is out, since the rest of the request is never read.
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) || (read.is_err() && status != "400"),
            "{kind}: {answer}"
        );
    }
}
