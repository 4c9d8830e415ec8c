//! Counting tokens beforehand: exact where the provider counts, an estimate that says so elsewhere.

use serde_json::json;
use tollgate_tests::clients::Ask;
use tollgate_tests::fake::strict::Family;
use tollgate_tests::house::House;
use tollgate_tests::money::nano_of;

use super::model;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anthropics_count_is_the_providers_where_it_counts() {
    let house = House::strict().await;
    let org = house.org("5.00").await;
    let client = house.client(0, &org.key);
    let ask = |model: &str| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "12345678"}]});
        Ask::json("/v1/messages/count_tokens", &body).header("anthropic-version", "2023-06-01")
    };
    let reply = client.send(ask("strict/anthropic")).await.expect(200);
    assert_eq!(reply.json(), json!({"input_tokens": 9}));
    assert_eq!(reply.header("x-tollgate-estimated"), "");
    assert_eq!(reply.header("request-id"), reply.header("x-request-id"), "as all of Anthropic's addresses say it");
    for family in [Family::Chat, Family::Responses, Family::Gemini] {
        let reply = client.send(ask(model(family))).await.expect(200);
        let count = reply.json()["input_tokens"].as_u64().unwrap();
        assert!((1..100).contains(&count), "{count}");
        assert!(!reply.header("x-tollgate-estimated").is_empty(), "an estimate says so");
    }
    let refused = client.send(Ask::json("/v1/messages/count_tokens", &json!({"model": "strict/anthropic"}))).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn googles_count_is_the_providers_where_it_counts() {
    let house = House::strict().await;
    let org = house.org("5.00").await;
    let client = house.client(0, "");
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "12345678"}]}]});
    let ask = |model: &str| {
        Ask::json(&format!("/v1beta/models/{model}:countTokens"), &body).header("x-goog-api-key", &org.key)
    };
    let reply = client.send(ask("strict/gemini")).await.expect(200);
    assert_eq!(reply.json()["totalTokens"], 9);
    for family in [Family::Chat, Family::Responses, Family::Anthropic] {
        let reply = client.send(ask(model(family))).await.expect(200);
        let count = reply.json()["totalTokens"].as_u64().unwrap();
        assert!((1..100).contains(&count), "{count}");
        assert!(!reply.header("x-tollgate-estimated").is_empty(), "an estimate says so");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counting_is_free() {
    let house = House::strict().await;
    let org = house.org("5.00").await;
    let body = json!({"model": "strict/anthropic", "messages": [{"role": "user", "content": "12345678"}]});
    let ask = Ask::json("/v1/messages/count_tokens", &body).header("anthropic-version", "2023-06-01");
    let reply = house.client(0, &org.key).send(ask).await.expect(200);
    let record = house.usage_of(&org.id, reply.header("x-request-id")).await;
    assert_eq!(nano_of(&record["cost"]), 0, "{record:#}");
    assert_eq!(house.balance(&org.id).await.settled, 0);
}
