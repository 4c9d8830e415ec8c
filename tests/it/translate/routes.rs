//! Every spelling of a route, of a key and of a way to stream leads to every provider.

use serde_json::{Value, json};
use tollgate_tests::clients::{Ask, Reply};
use tollgate_tests::fake::strict::Family;
use tollgate_tests::house::House;

use super::model;

fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}]})
}

fn responses(model: &str) -> Value {
    json!({"model": model, "input": "hello", "store": false})
}

fn messages(model: &str) -> Value {
    json!({"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]})
}

fn contents(text: &str) -> Value {
    json!({"contents": [{"parts": [{"text": text}]}]})
}

fn is_hello(reply: &Reply) -> bool {
    reply.status == 200 && reply.text().contains("you said: hello")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_spelling_of_a_route_is_served() {
    let house = House::strict().await;
    let org = house.org("20.00").await;
    let client = house.client(0, &org.key);
    for to in Family::ALL {
        let id = model(to);
        let mut asks = Vec::new();
        for prefix in ["/v1", "/openai/v1", "/api/v1"] {
            asks.push(Ask::json(&format!("{prefix}/chat/completions"), &chat(id)));
            asks.push(Ask::json(&format!("{prefix}/responses"), &responses(id)));
        }
        for path in ["/v1/messages", "/anthropic/v1/messages", "/v1/messages?beta=true"] {
            asks.push(Ask::json(path, &messages(id)).header("anthropic-version", "2026-10-21"));
            asks.push(Ask::json(path, &messages(id)).header("anthropic-version", "2023-06-01"));
        }
        let encoded = id.replace('/', "%2F");
        for path in [
            format!("/v1beta/models/{id}:generateContent"),
            format!("/v1/models/{id}:generateContent"),
            format!("/gemini/v1beta/models/{id}:generateContent"),
            format!("/v1beta/models/{encoded}:generateContent"),
        ] {
            asks.push(Ask::json(&path, &contents("hello")));
        }
        for ask in asks {
            let path = ask.path.clone();
            let reply = client.send(ask).await;
            assert!(is_hello(&reply), "{path} to {}: {} {}", to.dialect(), reply.status, reply.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_place_for_a_key_is_looked_at() {
    let house = House::strict().await;
    let org = house.org("20.00").await;
    let client = house.client(0, "");
    for to in Family::ALL {
        let path = format!("/v1beta/models/{}:generateContent", model(to));
        let queried = client.send(Ask::json(&format!("{path}?key={}", org.key), &contents("hello"))).await;
        assert!(is_hello(&queried), "{}", queried.text());
        for (name, value) in [
            ("x-goog-api-key", org.key.clone()),
            ("authorization", format!("Bearer {}", org.key)),
            ("x-api-key", org.key.clone()),
        ] {
            let reply = client.send(Ask::json(&path, &contents("hello")).header(name, &value)).await;
            assert!(is_hello(&reply), "{name}: {}", reply.text());
        }
    }
    // No key of a caller ever went on.
    let leaked =
        house.fake.strict().seen().iter().any(|seen| seen.headers.iter().any(|(_, value)| value.contains(&org.key)));
    assert!(!leaked, "the caller's key went to a provider");
    assert!(house.fake.strict().seen().iter().all(|seen| !seen.path.contains(&org.key)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn googles_stream_is_an_array_where_no_events_were_asked_for() {
    let house = House::strict().await;
    let org = house.org("20.00").await;
    let client = house.client(0, "");
    for to in Family::ALL {
        for (command, is_good) in [("hello", true), ("a text of some length !inband !slow 20", false)] {
            let path = format!("/v1beta/models/{}:streamGenerateContent", model(to));
            let ask = Ask::json(&path, &contents(command)).header("x-goog-api-key", &org.key);
            let reply = client.send(ask).await.expect(200);
            assert!(reply.header("content-type").starts_with("application/json"), "{}", reply.header("content-type"));
            let array: Vec<Value> = serde_json::from_slice(&reply.body)
                .unwrap_or_else(|error| panic!("{}: {error} in {}", to.dialect(), reply.text()));
            let text: String = array
                .iter()
                .flat_map(|chunk| chunk["candidates"][0]["content"]["parts"].as_array().cloned().unwrap_or_default())
                .filter_map(|part| part["text"].as_str().map(str::to_owned))
                .collect();
            let last = array.last().expect("a chunk");
            if is_good {
                assert_eq!(text, "you said: hello", "{}", to.dialect());
                assert_eq!(last["candidates"][0]["finishReason"], "STOP", "{}", to.dialect());
            } else {
                assert!(last["error"]["code"].is_u64(), "{}: {}", to.dialect(), reply.text());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_state_is_refused_by_name() {
    let house = House::strict().await;
    let org = house.org("20.00").await;
    let client = house.client(0, &org.key);
    for to in Family::ALL {
        let mut body = responses(model(to));
        body["previous_response_id"] = json!("resp_1");
        let reply = client.send(Ask::json("/v1/responses", &body)).await.expect(400);
        let error = &reply.json()["error"];
        assert!(error["message"].as_str().unwrap().contains("previous_response_id"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_at_a_provider_unasked() {
    let house = House::strict().await;
    let org = house.org("20.00").await;
    let client = house.client(0, &org.key);
    // No word about `store`: the provider's own default would be to keep it.
    let body =
        json!({"model": model(Family::Responses), "messages": [{"role": "user", "content": "hello !tag unkept"}]});
    client.send(Ask::json("/v1/chat/completions", &body)).await.expect(200);
    assert_eq!(house.fake.strict().expect_clean("unkept")[0].body["store"], false);
}
