//! How endpoints do, over all proxies: what one proxy learns of a provider the others know as well.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollgate_tests::clients::{Ask, Client, Reply as Heard};
use tollgate_tests::fake::{Answer, Reply, Script};
use tollgate_tests::house::{House, Setup};
use tollgate_tests::wait;

use crate::openai::{request_id, scripted};

/// How soon every proxy must know.
const EVERYWHERE: Duration = Duration::from_secs(1);

/// Why this proxy would not ask this provider; empty when it would.
async fn excluded_by(client: &Client, model: &str, provider: &str) -> String {
    let told = client.send(Ask::json("/v1/route/explain", &json!({"model": model}))).await.expect(200).json();
    let excluded = told["excluded"].as_array().cloned().unwrap_or_default();
    let row = excluded.into_iter().find(|row| row["provider"] == provider);
    row.map(|row| row["excluded_by"].as_str().unwrap_or_default().to_owned()).unwrap_or_default()
}

async fn cools_at(client: &Client, model: &str, provider: &str) {
    wait::until_true("the proxy knows", wait::SOON, async || excluded_by(client, model, provider).await == "cooling")
        .await;
}

/// What says that all who could answer are to be left alone, and for how long at most.
#[track_caller]
fn is_refused(reply: &Heard, seconds: u64) {
    assert_eq!(reply.status, 429, "{}", reply.text());
    let error = &reply.json()["error"];
    assert_eq!(error["type"], "rate_limit_error", "{error}");
    assert!(reply.text().contains("cooling"), "{}", reply.text());
    let left: u64 = reply.header("retry-after").parse().expect("a number");
    assert!((1..=seconds).contains(&left), "{left}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_names_a_time_is_left_alone_by_every_proxy() {
    let house = House::planes(Setup { proxies: 3, ..Setup::default() }).await;
    let org = house.org("10.00").await;
    let (clients, solo) = (house.clients(&org.key), house.solo());
    let tag = house.fake.script(Script::turns([Reply::too_many(Some(30)), Answer::of(1, 1).into()]));
    let body = scripted(&solo.model, &tag);

    let first = clients[0].chat(&body).await.expect(429);
    let begun = Instant::now();
    assert_eq!(first.header("retry-after"), "30");
    for client in &clients {
        cools_at(client, &solo.model, &solo.provider).await;
    }
    let took = begun.elapsed();
    assert!(took <= EVERYWHERE, "the last proxy knew after {took:?}");

    for client in &clients {
        for _ in 0..20 {
            is_refused(&client.chat(&body).await, 30);
        }
    }
    let message = json!({"model": solo.model, "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]});
    let refused = clients[1].send(Ask::json("/v1/messages", &message)).await.expect(429).json();
    assert_eq!((&refused["type"], &refused["error"]["type"]), (&json!("error"), &json!("rate_limit_error")));
    assert_eq!(house.fake.tagged(&tag).len(), 1, "somebody asked again");

    // Only the first one was admitted.
    house.usage_of(&org.id, &request_id(&first)).await;
    assert_eq!(house.operator().await.records(&org.id).await.len(), 1);
    assert!(house.metrics_text().await.contains("tollgate_endpoints_cooling 1"));
    house.verify_ledger().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_be_asked_is_asked_at_once_while_another_cools() {
    let house = House::planes(Setup { proxies: 2, ..Setup::default() }).await;
    let org = house.org("10.00").await;
    let (clients, pair) = (house.clients(&org.key), house.pair());
    let (bad, good) = (&pair.one.0, &pair.other.0);
    let tag = house.fake.script(Script::from(Answer::of(1, 1)).at(bad, Reply::too_many(Some(300))));
    let mut body = scripted(&pair.model, &tag);
    body["provider"] = json!({"order": [bad]});
    let reply = clients[0].chat(&body).await.expect(200);
    assert_eq!((reply.header("x-tollgate-provider"), reply.header("x-tollgate-attempts")), (good.as_str(), "2"));
    for client in &clients {
        cools_at(client, &pair.model, bad).await;
        for _ in 0..10 {
            let reply = client.chat(&body).await.expect(200);
            assert_eq!(
                (reply.header("x-tollgate-provider"), reply.header("x-tollgate-attempts")),
                (good.as_str(), "1")
            );
        }
    }
    let asked = house.fake.tagged(&tag).iter().filter(|served| served.provider == *bad).count();
    assert_eq!(asked, 1);
    // A proxy that comes later is told as well.
    let mut house = house;
    house.stop_proxy(1).await;
    house.start_proxy(1).await;
    cools_at(&clients[1], &pair.model, bad).await;
    // And so is a controller that forgot: those who were told by the provider say it again.
    house.stop_controller().await;
    house.stop_proxy(1).await;
    house.start_controller().await;
    house.start_proxy(1).await;
    cools_at(&clients[1], &pair.model, bad).await;
}

#[tokio::test]
async fn a_limit_that_names_no_time_cools_nothing() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    for wait in [None, Some(1)] {
        let solo = house.solo();
        let tag = house.fake.script(Script::turns([Reply::too_many(wait), Answer::of(1, 1).into()]));
        // What is short is waited for, if the budget for repeats has something left.
        let first = client.chat(&scripted(&solo.model, &tag)).await.status;
        assert!(first == 429 || (first == 200 && wait.is_some()), "{first}");
        assert_eq!(excluded_by(&client, &solo.model, &solo.provider).await, "");
        client.chat(&scripted(&solo.model, &tag)).await.expect(200);
    }
}

#[tokio::test]
async fn a_provider_is_asked_again_when_its_time_has_passed() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let (client, solo) = (house.client(0, &org.key), house.solo());
    let tag = house.fake.script(Script::turns([Reply::too_many(Some(3)), Answer::of(1, 1).into()]));
    let body = scripted(&solo.model, &tag);
    client.chat(&body).await.expect(429);
    let begun = Instant::now();
    is_refused(&client.chat(&body).await, 3);
    wait::until_true("it may be asked", wait::SOON, async || {
        excluded_by(&client, &solo.model, &solo.provider).await.is_empty()
    })
    .await;
    assert!(begun.elapsed() >= Duration::from_millis(2_500), "{:?}", begun.elapsed());
    client.chat(&body).await.expect(200);
    assert_eq!(house.fake.tagged(&tag).len(), 2);
}

#[tokio::test]
async fn a_limit_inside_a_stream_counts_like_any_other() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let (client, pair) = (house.client(0, &org.key), house.pair());
    let (bad, good) = (&pair.one.0, &pair.other.0);
    let event = r#"data: {"error":{"message":"slow down","type":"rate_limit_error","code":429}}"#;
    let limited = Reply::Bytes {
        status: 200,
        content_type: "text/event-stream",
        headers: vec![("retry-after".to_owned(), "30".to_owned())],
        body: format!("{event}\n\n").into_bytes(),
        piece: usize::MAX,
    };
    let tag = house.fake.script(Script::from(Answer::of(1, 1)).at(bad, limited));
    let mut body = scripted(&pair.model, &tag);
    body["provider"] = json!({"order": [bad]});
    body["stream"] = json!(true);
    for _ in 0..5 {
        let told = client.stream(&body).await;
        assert_eq!(told.header("x-tollgate-provider"), *good);
        assert!(told.rest().await.is_done());
    }
    let asked = house.fake.tagged(&tag).iter().filter(|served| served.provider == *bad).count();
    assert_eq!(asked, 1, "it was asked again");
    assert_eq!(excluded_by(&client, &pair.model, bad).await, "cooling");
}

#[tokio::test]
async fn two_models_that_are_limited_at_once_are_one_account() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let state = async |model: &str| excluded_by(&client, model, "account").await;
    let limited = house.fake.script(Reply::too_many(Some(60)));
    client.chat(&scripted("lab/account-one", &limited)).await.expect(429);
    assert_eq!((state("lab/account-one").await.as_str(), state("lab/account-two").await.as_str()), ("cooling", ""));
    client.chat(&scripted("lab/account-two", &limited)).await.expect(429);
    assert_eq!(state("lab/account-three").await, "cooling");
    let tag = house.fake.script(Answer::of(1, 1));
    is_refused(&client.chat(&scripted("lab/account-three", &tag)).await, 60);
    assert_eq!(house.fake.tagged(&tag).len(), 0);
    let _: Value = client.chat(&scripted("lab/plain", &tag)).await.expect(200).json();
}

/// What this proxy was told of an endpoint.
async fn state(client: &Client, model: &str, provider: &str) -> String {
    let told = client.send(Ask::json("/v1/route/explain", &json!({"model": model}))).await.expect(200).json();
    let candidates = told["candidates"].as_array().cloned().unwrap_or_default();
    let row = candidates.into_iter().find(|row| row["provider"] == provider).expect("a candidate");
    row["state"].as_str().expect("a state").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_that_all_proxies_see_is_known_to_all_and_shown() {
    let house = House::planes(Setup { proxies: 3, ..Setup::default() }).await;
    let pair = house.pair();
    let (bad, good) = (&pair.one.0, &pair.other.0);
    let mut clients = Vec::new();
    for _ in 0..5 {
        let org = house.org("10.00").await;
        clients.push(house.clients(&org.key));
    }
    let well = house.fake.script(Answer::of(5, 20));
    let broken = house.fake.script(Script::from(Answer::of(5, 20)).at(bad, Reply::status(500)));
    let ask = async |rounds: usize, tag: &str| {
        for round in 0..rounds {
            for of_org in &clients {
                let mut body = scripted(&pair.model, tag);
                body["session_id"] = json!(format!("{tag} {round}"));
                of_org[round % 3].chat(&body).await.expect(200);
            }
        }
    };
    // A minute's requests are what a proxy's word weighs.
    ask(30, &well).await;
    let shown = async |at: usize| {
        let path = format!("/v1/models/{}/endpoints", pair.model);
        let told = clients[0][at].get(&path).await.expect(200).json();
        let rows = told["data"]["endpoints"].as_array().cloned().unwrap_or_default();
        rows.into_iter().find(|row| row["tag"] == **bad).expect("an endpoint")
    };
    let begun = Instant::now();
    let states = async || {
        let mut states = Vec::new();
        for client in &clients[0] {
            states.push(state(client, &pair.model, bad).await);
        }
        states
    };
    while states().await.iter().any(|state| state != "ejected") {
        assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", states().await);
        ask(3, &broken).await;
    }
    println!("ejected on every proxy after {:?}", begun.elapsed());
    assert_eq!(house.metrics_text().await.matches("tollgate_endpoints_ejected 1").count(), 3);
    for client in &clients[1] {
        assert_eq!(state(client, &pair.model, good).await, "healthy");
    }
    let operator = house.admin(&["providers", "status", bad]).await;
    assert_eq!((&operator[0]["provider"], &operator[0]["state"]), (&json!(bad), &json!("ejected")), "{operator}");
    assert!(operator[0]["uptime_percent"].as_f64().is_some_and(|uptime| uptime < 100.0), "{operator}");
    assert!(operator[0]["latency_p50_ms"].is_u64(), "{operator}");
    // What was measured is told twice a minute.
    wait::until_true("every proxy shows it", Duration::from_secs(45), async || {
        let mut is_there = true;
        for at in 0..3 {
            let row = shown(at).await;
            is_there &= row["uptime_last_30m"].as_f64().is_some_and(|uptime| uptime < 100.0)
                && row["latency_last_30m"]["p50"].is_u64()
                && row["status"].as_i64() < Some(0);
        }
        is_there
    })
    .await;
    house.verify_ledger().await;
}
