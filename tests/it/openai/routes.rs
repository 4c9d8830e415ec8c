//! Where things are: prefixes, model names, key forms, and the headers on every answer.

use serde_json::{Value, json};
use tollgate_tests::clients::Ask;
use tollgate_tests::house::House;

use super::{PREFIXES, hello, request_id};

#[tokio::test]
async fn chat_answers_under_three_prefixes() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    for prefix in PREFIXES {
        let reply =
            client.send(Ask::json(&format!("{prefix}/chat/completions"), &hello("lab/plain"))).await.expect(200);
        let body = reply.json();
        assert_eq!(body["object"], "chat.completion", "{prefix}");
        assert_eq!(body["model"], "lab/plain", "{prefix}");
        assert_eq!(body["choices"][0]["message"]["content"], "toll".repeat(8), "{prefix}");
        assert_eq!(body["choices"][0]["finish_reason"], "stop", "{prefix}");
        assert!(body.as_object().unwrap().contains_key("system_fingerprint"), "{prefix}");
        assert_eq!(body["usage"]["is_byok"], false, "{prefix}");
        assert!(body["usage"]["cost"].is_number(), "{prefix}");
        assert_eq!(body["usage"]["cost_details"]["upstream_inference_cost"], Value::Null, "{prefix}");
    }
}

#[tokio::test]
async fn a_routed_answer_says_where_it_came_from() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let reply = house.client(0, &org.key).chat(&hello("lab/plain")).await.expect(200);
    request_id(&reply);
    assert_eq!(reply.header("x-tollgate-model"), "lab/plain");
    assert_eq!(reply.header("x-tollgate-provider"), "plain");
    assert_eq!(reply.header("x-tollgate-attempts"), "1");
    let timing = reply.header("server-timing");
    let own = timing.strip_prefix("tollgate;dur=").unwrap_or_else(|| panic!("server-timing: {timing}"));
    assert!((0.0..1000.0).contains(&own.parse::<f64>().unwrap()), "{timing}");
    assert_eq!(reply.header("x-ratelimit-limit-requests"), "", "other people's limits leaked");
    assert_eq!(reply.header("openai-organization"), "", "our account leaked");
}

#[tokio::test]
async fn every_response_has_a_request_id() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let (client, stranger) = (house.client(0, &org.key), house.client(0, ""));
    let mut seen = std::collections::BTreeSet::new();
    for (ask, status) in [
        (Ask::get("/nowhere"), 404),
        (Ask::get("/v1/nothing/here"), 404),
        (Ask::get("/v1/models/nobody/nothing"), 404),
        (Ask::get("/v1/models"), 200),
        (Ask::get("/v1/chat/completions"), 405),
        (Ask::post("/v1/chat/completions", "{"), 400),
        (Ask::json("/v1/chat/completions", &hello("nobody/nothing")), 404),
    ] {
        let reply = client.send(ask.clone()).await;
        assert_eq!(reply.status, status, "{} {}: {}", ask.method, ask.path, reply.text());
        assert!(seen.insert(request_id(&reply)), "the same id twice");
        if status >= 400 {
            assert_eq!(reply.json()["error"]["request_id"], reply.header("x-request-id"), "{}", ask.path);
        }
    }
    assert!(seen.insert(request_id(&stranger.get("/v1/models").await.expect(401))));
}

#[tokio::test]
async fn a_clients_own_request_id_is_not_taken_over() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let ask = Ask::json("/v1/chat/completions", &hello("lab/plain")).header("x-request-id", "req_of_the_client");
    let reply = house.client(0, &org.key).send(ask).await.expect(200);
    assert_ne!(request_id(&reply), "req_of_the_client");
}

#[tokio::test]
async fn models_are_listed_with_their_prices() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    for prefix in PREFIXES {
        let list = client.get(&format!("{prefix}/models")).await.expect(200).json();
        let model = list["data"]
            .as_array()
            .unwrap()
            .iter()
            .find(|model| model["id"] == "lab/plain")
            .expect("lab/plain is listed")
            .clone();
        assert_eq!(model["object"], "model", "{prefix}");
        assert!(model["created"].is_i64(), "{prefix}");
        assert_eq!(model["owned_by"], "lab", "{prefix}");
        assert_eq!(model["context_length"], 2_000_000, "{prefix}");
        assert!(model["name"].is_string(), "{prefix}");
        // USD per token, as OpenRouter writes it.
        assert_eq!(model["pricing"]["prompt"], "0.000000123457", "{prefix}: {model:#}");
        assert_eq!(model["pricing"]["completion"], "0.000007000001", "{prefix}");
        assert!(model["architecture"]["input_modalities"].is_array(), "{prefix}");
        assert!(model["supported_parameters"].as_array().unwrap().contains(&json!("tools")), "{prefix}");
    }
}

#[tokio::test]
async fn a_model_is_named_raw_encoded_or_bare() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    for name in ["lab/plain", "lab%2Fplain", "lab%2fplain", "plain"] {
        let model = client.get(&format!("/v1/models/{name}")).await.expect(200).json();
        assert_eq!((&model["id"], &model["object"]), (&json!("lab/plain"), &json!("model")), "{name}");
    }
    for name in ["lab/plain", "plain"] {
        let answer = client.chat(&hello(name)).await.expect(200).json();
        assert_eq!(answer["model"], name, "the caller's own spelling");
    }
    for name in ["lab/plain", "lab%2Fplain"] {
        let list = client.get(&format!("/v1/models/{name}/endpoints")).await.expect(200).json();
        assert_eq!(list["data"]["id"], "lab/plain", "{name}");
        let endpoint = &list["data"]["endpoints"][0];
        assert_eq!(endpoint["pricing"]["prompt"], "0.000000123457", "{list:#}");
        assert!(endpoint["provider_name"].is_string(), "{list:#}");
    }
    for name in ["nobody/nothing", "nothing", "lab/plain/more"] {
        let reply = client.get(&format!("/v1/models/{name}")).await.expect(404);
        assert!(reply.json()["error"]["message"].is_string(), "{name}");
    }
}

#[tokio::test]
async fn a_model_without_a_credential_is_not_listed_and_says_why() {
    let apply = "[[providers]]\nid = \"keyless\"\nbase_url = \"http://127.0.0.1:9/v1\"\ndialects = [\"openai-chat\"]\n\
                 auth = \"bearer\"\n\n[[models]]\nid = \"keyless/model\"\ncontext_length = 1000\n\n\
                 [[models.endpoints]]\nprovider = \"keyless\"\nupstream_model = \"m\"\nprices = { prompt = \"1\", completion = \"1\" }\n\n\
                 [[models]]\nid = \"keyless/priceless\"\ncontext_length = 1000\n\n\
                 [[models.endpoints]]\nprovider = \"keyless\"\nupstream_model = \"m\"\n";
    let house = House::lab().await;
    let file = house.folder().join("keyless.toml");
    std::fs::write(&file, apply).unwrap();
    house.admin(&["apply", "-f", file.to_str().unwrap()]).await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let list = client.get("/v1/models").await.expect(200).text();
    assert!(!list.contains("keyless/"), "a model that nobody can reach is listed");
    let reply = client.chat(&hello("keyless/model")).await.expect(404);
    assert_eq!(reply.code(), "no_endpoints");
    let metadata = reply.json()["error"]["metadata"].clone();
    assert!(metadata["excluded_by"].to_string().contains("no_credential"), "{metadata}");
    let reply = client.chat(&hello("keyless/priceless")).await.expect(404);
    assert_eq!(reply.code(), "no_endpoints");
}

#[tokio::test]
async fn a_key_is_accepted_in_every_form() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let stranger = house.client(0, "");
    for (name, value) in [
        ("authorization", format!("Bearer {}", org.key)),
        ("authorization", format!("bearer {}", org.key)),
        ("x-api-key", org.key.clone()),
        ("api-key", org.key.clone()),
        ("x-goog-api-key", org.key.clone()),
    ] {
        let ask = Ask::json("/v1/chat/completions", &hello("lab/plain")).header(name, &value);
        stranger.send(ask).await.expect(200);
    }
    stranger.get(&format!("/v1/models?key={}", org.key)).await.expect(200);
    let both =
        Ask::get("/v1/models").header("authorization", &format!("Bearer {}", org.key)).header("x-api-key", &org.key);
    stranger.send(both).await.expect(200);
    let other = house.org("").await;
    let differing =
        Ask::get("/v1/models").header("authorization", &format!("Bearer {}", org.key)).header("x-api-key", &other.key);
    stranger.send(differing).await.expect(401);
}

#[tokio::test]
async fn queries_do_not_change_the_route() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    client.send(Ask::json("/v1/chat/completions?beta=true&x=%2F", &hello("lab/plain"))).await.expect(200);
    client.get("/v1/models?limit=3").await.expect(200);
}

#[tokio::test]
async fn it_says_that_it_lives_and_is_ready() {
    let house = House::lab().await;
    let stranger = house.client(0, "");
    stranger.get("/livez").await.expect(200);
    stranger.get("/readyz").await.expect(200);
    stranger.get("/metrics").await.expect(404);
    let metrics = house.metrics_text().await;
    assert!(metrics.contains("# TYPE ") && metrics.contains("tollgate_"), "{metrics}");
}
