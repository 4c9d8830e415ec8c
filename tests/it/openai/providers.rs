//! Providers on bad days: what passes, what is tried elsewhere, and what the caller is told.

use std::time::{Duration, Instant};

use serde_json::json;
use tollgate_tests::clients::Ask;
use tollgate_tests::fake::{Answer, Ending, Reply, Script};
use tollgate_tests::house::House;

use super::{request_id, scripted, streamed};

#[tokio::test]
async fn a_refusal_of_the_request_itself_passes_with_the_providers_words() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    for status in [400, 413, 422] {
        let solo = house.solo();
        let tag = house.fake.script(Reply::error(status, "temperature must be below 2"));
        let reply = house.client(0, &org.key).chat(&scripted(&solo.model, &tag)).await.expect(status);
        assert!(
            reply.json()["error"]["message"].as_str().unwrap().contains("temperature must be below 2"),
            "{}",
            reply.text()
        );
        assert_eq!(house.fake.tagged(&tag).len(), 1, "a request that is wrong was tried again");
    }
}

#[tokio::test]
async fn a_refusal_of_our_account_is_never_the_callers_fault() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    for status in [401, 402, 403, 404] {
        let solo = house.solo();
        let tag = house.fake.script(Reply::error(status, "your key sk-abcdefghijklmnop0123456789 is bad"));
        let reply = house.client(0, &org.key).chat(&scripted(&solo.model, &tag)).await.expect(502);
        assert_eq!(reply.json()["error"]["type"], "provider_error", "{}", reply.text());
        assert!(!reply.text().contains("sk-abcdefghijklmnop0123456789"), "{}", reply.text());
    }
}

#[tokio::test]
async fn a_busy_provider_is_429_with_the_time_to_wait() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let solo = house.solo();
    let tag = house.fake.script(Reply::too_many(Some(7)));
    let reply = house.client(0, &org.key).chat(&scripted(&solo.model, &tag)).await.expect(429);
    assert_eq!(reply.json()["error"]["type"], "rate_limit_error", "{}", reply.text());
    let seconds: u64 = reply.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    let solo = house.solo();
    let tag = house.fake.script(Reply::too_many(None));
    let reply = house.client(0, &org.key).chat(&scripted(&solo.model, &tag)).await.expect(429);
    assert!(!reply.header("retry-after").is_empty());
}

#[tokio::test]
async fn whatever_a_provider_breaks_the_caller_gets_an_error_it_can_read() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let error_with_200 = Reply::json(200, r#"{"error":{"message":"I only look fine","code":500}}"#);
    for (what, reply) in [
        ("500", Reply::status(500)),
        ("529", Reply::status(529)),
        ("HTML", Reply::html_502()),
        ("an error with 200", error_with_200),
        ("no JSON with 200", Reply::json(200, "this is no JSON")),
        ("nothing with 200", Reply::json(200, "")),
        ("a reset", Reply::Reset),
        ("a hang-up", Reply::HangUp),
        ("half an answer", Answer::of(1, 1).ending(Ending::Torn).into()),
    ] {
        for is_stream in [false, true] {
            let solo = house.solo();
            let tag = house.fake.script(reply.clone());
            let body = if is_stream { streamed(&solo.model, &tag) } else { scripted(&solo.model, &tag) };
            if is_stream && what == "half an answer" {
                continue;
            }
            let reply = client.send(Ask::json("/v1/chat/completions", &body)).await;
            assert!(matches!(reply.status, 502..=504), "{what}: {} {}", reply.status, reply.text());
            let error = reply.json()["error"].clone();
            assert_eq!(error["type"], "provider_error", "{what}: {error}");
            let previous = error["metadata"]["previous_errors"].as_array().map_or(0, Vec::len);
            assert!(previous >= 1, "{what}: no previous_errors in {error}");
            assert!(!reply.text().contains("<html"), "{what}: {}", reply.text());
            let record = house.usage_of(&org.id, &request_id(&reply)).await;
            assert_eq!(
                (&record["cost"], &record["status"]),
                (&json!("0.000000000"), &json!(reply.status)),
                "{what}: {record}"
            );
        }
    }
}

#[tokio::test]
async fn a_dead_provider_is_said_soon() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    for model in ["lab/refused", "lab/black-hole"] {
        let started = Instant::now();
        let reply = client.chat(&scripted(model, "")).await;
        assert!(matches!(reply.status, 502..=504), "{model}: {} {}", reply.status, reply.text());
        assert!(started.elapsed() < Duration::from_secs(15), "{model}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn another_endpoint_answers_when_one_fails() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    for is_one_bad in [true, false] {
        for is_stream in [false, true] {
            let pair = house.pair();
            let (bad, good) = if is_one_bad { (&pair.one, &pair.other) } else { (&pair.other, &pair.one) };
            let tag = house.fake.script(Script::from(Answer::of(12, 8)).at(&bad.0, Reply::status(500)));
            let mut body = if is_stream { streamed(&pair.model, &tag) } else { scripted(&pair.model, &tag) };
            body["provider"] = json!({"order": [bad.0]});
            let reply = client.send(Ask::json("/v1/chat/completions", &body)).await.expect(200);
            assert_eq!(reply.header("x-tollgate-provider"), good.0);
            let attempts: usize = reply.header("x-tollgate-attempts").parse().unwrap();
            assert_eq!((attempts, house.fake.tagged(&tag).len()), (2, 2));
            let record = house.usage_of(&org.id, &request_id(&reply)).await;
            assert_eq!(record["attempt"], attempts, "{record}");
        }
    }
}

#[tokio::test]
async fn another_model_answers_when_the_caller_names_one() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let (bad, good) = (house.solo(), house.solo());
    let tag = house.fake.script(Script::from(Answer::of(12, 8)).at(&bad.provider, Reply::status(500)));
    let mut body = scripted(&bad.model, &tag);
    body["models"] = json!([good.model]);
    let reply = house.client(0, &org.key).send(Ask::json("/api/v1/chat/completions", &body)).await.expect(200);
    assert_eq!(reply.json()["model"], good.model, "the full id when a fallback answered");
    assert_eq!(reply.header("x-tollgate-model"), good.model);
    assert_eq!(reply.header("x-tollgate-attempts"), "2");
    let record = house.usage_of(&org.id, &request_id(&reply)).await;
    assert_eq!((&record["requested_model"], &record["model"]), (&json!(bad.model), &json!(good.model)), "{record}");
}

#[tokio::test]
async fn a_kept_connection_that_the_provider_closed_is_no_failure() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let solo = house.solo();
    let client = house.client(0, &org.key);
    let once = Answer { keeps: false, ..Answer::of(12, 8) };
    let tag = house.fake.script(once);
    for _ in 0..20 {
        let reply = client.chat(&scripted(&solo.model, &tag)).await.expect(200);
        assert_eq!(reply.header("x-tollgate-attempts"), "1");
    }
    assert_eq!(house.fake.tagged(&tag).len(), 20);
}
