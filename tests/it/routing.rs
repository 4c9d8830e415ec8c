//! Where a request goes: what its sender wishes of the endpoints is done, and can be seen before anything is spent.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollgate_tests::clients::{Ask, Client};
use tollgate_tests::fake::{Answer, Reply, Script};
use tollgate_tests::house::House;

use crate::openai::{request_id, scripted};

const EXPLAIN: &str = "/v1/route/explain";
const ROUTED: &str = "lab/routed";
/// Enough that the dearest of three, which comes first in 8 of 100, is drawn: it is missed once in 10^14 runs.
const DRAWS: usize = 400;

/// The providers of an explanation in their order, and those that are left out with their reasons.
type Order = (Vec<String>, Vec<(String, String)>);

async fn explained(client: &Client, body: &Value) -> Order {
    let reply = client.send(Ask::json(EXPLAIN, body)).await.expect(200);
    let (json, text) = (reply.json(), |value: &Value| value.as_str().unwrap_or_default().to_owned());
    let list = |name: &str| json[name].as_array().cloned().unwrap_or_default();
    let order = list("candidates").iter().map(|candidate| text(&candidate["provider"])).collect();
    let excluded = list("excluded").iter().map(|out| (text(&out["provider"]), text(&out["excluded_by"]))).collect();
    (order, excluded)
}

/// A body that wishes this.
fn wishing(provider: Value) -> Value {
    json!({"model": ROUTED, "provider": provider})
}

#[tokio::test]
async fn every_field_of_the_provider_object_changes_the_outcome() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let all = ["east", "euro", "west"];
    assert_eq!(explained(&client, &json!({"model": ROUTED})).await, (all.map(str::to_owned).to_vec(), vec![]));
    for (wish, order, reason) in [
        (json!({"order": ["west", "euro"]}), &["west", "euro", "east"][..], ""),
        (json!({"order": ["west"], "allow_fallbacks": false}), &["west"], "allow_fallbacks"),
        (json!({"allow_fallbacks": false}), &["east"], ""),
        (json!({"only": ["west", "euro inc"]}), &["euro", "west"], "allowed_providers"),
        (json!({"only": ["east/us-east"]}), &["east"], "allowed_providers"),
        (json!({"ignore": ["east"]}), &["euro", "west"], "ignored_providers"),
        (json!({"data_collection": "deny"}), &["euro", "west"], "data_policy:training"),
        (json!({"zdr": true}), &["euro"], "data_policy:zdr"),
        (json!({"region": "us"}), &["east", "west"], "data_region"),
        (json!({"region": ["eu", "us-west"]}), &["euro", "west"], "data_region"),
        (json!({"max_price": {"prompt": 2}}), &["east", "euro"], "max_price"),
        (json!({"max_price": {"completion": "1"}}), &["east"], "max_price"),
        (json!({"quantizations": ["fp8"]}), &[], "quantization"),
        (json!({"enforce_distillable_text": true}), &[], "distillable_text"),
        (json!({"sort": "price"}), &["east", "euro", "west"], ""),
        (json!({"sort": {"by": "price", "partition": "none"}}), &["east", "euro", "west"], ""),
    ] {
        let (kept, excluded) = explained(&client, &wishing(wish.clone())).await;
        assert_eq!(kept, order, "{wish}");
        assert!(excluded.iter().all(|(_, by)| by == reason), "{wish}: {excluded:?}");
        let sent = if wish.get("allow_fallbacks").is_some() && wish.get("order").is_none() { 1 } else { order.len() };
        assert_eq!(sent + excluded.len(), if reason.is_empty() { order.len() } else { 3 }, "{wish}: {excluded:?}");
    }
    let asking = json!({"model": ROUTED, "top_k": 5, "provider": {"require_parameters": true}});
    let (kept, excluded) = explained(&client, &asking).await;
    assert!(kept.is_empty() && excluded.iter().all(|(_, by)| by == "require_parameters"), "{excluded:?}");
    let pooled = json!({"model": "lab/west", "models": ["lab/east"], "provider": {"sort": {"by": "price", "partition": "none"}}});
    assert_eq!(explained(&client, &pooled).await.0, ["east", "west"]);
    let in_turn = json!({"model": "lab/west", "models": ["lab/east"], "provider": {"sort": "price"}});
    assert_eq!(explained(&client, &in_turn).await.0, ["west", "east"]);
}

#[tokio::test]
async fn what_is_explained_is_what_is_done() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    for wish in
        [json!({"order": ["west"]}), json!({"zdr": true}), json!({"region": "us-west"}), json!({"sort": "price"})]
    {
        let tag = house.fake.script(Answer::of(12, 8));
        let mut body = scripted(ROUTED, &tag);
        body["provider"] = wish.clone();
        let (order, _) = explained(&client, &body).await;
        assert!(house.fake.tagged(&tag).is_empty(), "an explanation called a provider");
        let reply = client.chat(&body).await.expect(200);
        assert_eq!(reply.header("x-tollgate-provider"), order[0], "{wish}");
    }
}

#[tokio::test]
async fn an_explanation_costs_nothing_and_leaves_no_record() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let reply = client.send(Ask::json(EXPLAIN, &json!({"model": ROUTED}))).await.expect(200);
    let json = reply.json();
    assert_eq!((&json["object"], &json["strategy"]), (&json!("route.explanation"), &json!("balanced")));
    let first = &json["candidates"][0];
    assert_eq!((&first["model"], &first["place"]), (&json!(ROUTED), &json!(1)));
    assert_eq!(first["pricing"], json!({"prompt": "0.000001", "completion": "0.000001", "request": "0"}));
    let chances: f64 = (0..3).map(|at| json["candidates"][at]["chance"].as_f64().unwrap()).sum();
    assert!((chances - 1.0).abs() < 1e-9 && (first["chance"].as_f64().unwrap() - 36.0 / 49.0).abs() < 1e-9, "{json}");
    let reply = client.chat(&scripted(ROUTED, &house.fake.script(Answer::of(1, 1)))).await.expect(200);
    house.usage_of(&org.id, &request_id(&reply)).await;
    let records = house.operator().await.records(&org.id).await;
    assert_eq!(records.len(), 1, "an explanation left a record: {records:?}");
    for (body, status, named) in [
        (json!({"model": "lab/none"}), 404, "lab/none"),
        (json!({"provider": {}}), 400, "model"),
        (wishing(json!({"ordre": []})), 400, "ordre"),
    ] {
        let reply = client.send(Ask::json(EXPLAIN, &body)).await.expect(status);
        assert!(reply.text().contains(named), "{}", reply.text());
    }
    house.client(0, "sk-tg-wrong").send(Ask::json(EXPLAIN, &json!({"model": ROUTED}))).await.expect(401);
}

#[tokio::test]
async fn without_a_wish_cheaper_providers_come_first_more_often() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let tag = house.fake.script(Answer::of(1, 1));
    let mut counts: HashMap<String, usize> = HashMap::new();
    for _ in 0..DRAWS {
        let reply = client.chat(&scripted(ROUTED, &tag)).await.expect(200);
        assert_eq!(reply.header("x-tollgate-attempts"), "1");
        *counts.entry(reply.header("x-tollgate-provider").to_owned()).or_default() += 1;
    }
    let count = |provider: &str| counts.get(provider).copied().unwrap_or(0);
    // 294, 73 and 33 are expected; the bounds are more than six standard deviations away.
    assert!(count("east") > 220 && count("euro") > 20 && count("west") > 1, "{counts:?}");
    assert!(count("east") < 360 && count("euro") < 130 && count("west") < 80, "{counts:?}");
}

#[tokio::test]
async fn variants_of_a_slug_choose_the_order() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let strategy = async |model: &str| {
        let reply = client.send(Ask::json(EXPLAIN, &json!({"model": model}))).await.expect(200);
        reply.json()["strategy"].as_str().unwrap().to_owned()
    };
    assert_eq!(strategy("lab/routed:nitro").await, "throughput");
    assert_eq!(strategy("lab/routed:floor").await, "price");
    assert_eq!(strategy("lab/routed:exacto").await, "exacto");
    let (kept, excluded) = explained(&client, &json!({"model": "lab/routed:free"})).await;
    assert!(kept.is_empty() && excluded.iter().all(|(_, by)| by == "max_price"), "{excluded:?}");
    let tag = house.fake.script(Answer::of(1, 1));
    let reply = client.chat(&scripted("lab/routed:floor", &tag)).await.expect(200);
    assert_eq!((reply.header("x-tollgate-provider"), &reply.json()["model"]), ("east", &json!(ROUTED)));
    client.chat(&scripted("lab/routed:unheard", &tag)).await.expect(404);
}

#[tokio::test]
async fn other_gateways_spellings_are_the_same_wishes() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    for (name, value, order) in [
        ("provider_preferences", json!({"primary": "west", "fallback": "euro"}), ["west", "euro", "east"]),
        ("providerOptions", json!({"gateway": {"order": ["euro"]}}), ["euro", "east", "west"]),
        ("priority", json!("cost"), ["east", "euro", "west"]),
    ] {
        let body = json!({"model": ROUTED, name: value});
        assert_eq!(explained(&client, &body).await.0, order, "{name}");
    }
    let near = Ask::json(EXPLAIN, &json!({"model": ROUTED})).header("x-anyapi-region-preference", "us-west");
    let reply = client.send(near).await.expect(200).json();
    assert_eq!((&reply["candidates"][0]["provider"], &reply["region"]), (&json!("west"), &json!("us-west")));
    for (name, value) in [
        ("priority", json!("both")),
        ("timeout", json!(-1)),
        ("provider_preferences", json!({"second": "a"})),
        ("providerOptions", json!({"gateway": {"sorted": 1}})),
    ] {
        let body = json!({"model": ROUTED, "messages": [{"role": "user", "content": "x"}], name: value});
        let reply = client.chat(&body).await.expect(400);
        assert_eq!(reply.json()["error"]["param"], name, "{}", reply.text());
    }
}

#[tokio::test]
async fn the_time_that_the_caller_has_is_kept_and_held_against_nobody() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let solo = house.solo();
    let tag = house.fake.script(Script::from(Answer::of(1, 1)).at(&solo.provider, Reply::Silence));
    // More often than an endpoint may fail before it is shut.
    for _ in 0..6 {
        let mut body = scripted(&solo.model, &tag);
        body["timeout"] = json!(0.3);
        let begun = Instant::now();
        let reply = client.chat(&body).await.expect(504);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert_eq!(reply.json()["error"]["type"], "provider_error", "{}", reply.text());
        let record = house.usage_of(&org.id, &request_id(&reply)).await;
        assert_eq!(record["status"], 504, "{record}");
    }
    let reply = client.send(Ask::json(EXPLAIN, &json!({"model": solo.model}))).await.expect(200);
    assert_eq!(reply.json()["candidates"][0]["set_aside"], false, "{}", reply.text());
}

#[tokio::test]
async fn a_provider_that_fails_is_set_aside_until_it_answers() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let pair = house.pair();
    let bad = &pair.one.0;
    let tag = house.fake.script(Script::from(Answer::of(1, 1)).at(bad, Reply::status(500)));
    let mut asked_in_vain = 0;
    for session in 0..60 {
        let mut body = scripted(&pair.model, &tag);
        body["session_id"] = json!(format!("{tag} {session}"));
        let reply = client.chat(&body).await.expect(200);
        assert_eq!(reply.header("x-tollgate-provider"), pair.other.0);
        asked_in_vain += reply.header("x-tollgate-attempts").parse::<usize>().unwrap() - 1;
    }
    // The cheap one would come first nearly always; each worker needs two failures to know.
    let workers = std::thread::available_parallelism().unwrap().get();
    assert!((1..=2 * workers).contains(&asked_in_vain), "asked in vain {asked_in_vain} times");
    let state = async || {
        let reply = client.send(Ask::json(EXPLAIN, &json!({"model": pair.model}))).await.expect(200).json();
        let candidate = reply["candidates"].as_array().unwrap().iter().find(|it| it["provider"] == **bad).cloned();
        (candidate.as_ref().unwrap()["set_aside"] == true, candidate.unwrap()["place"].as_u64().unwrap())
    };
    assert_eq!(state().await, (true, 2));
    // It answers again, and so it is first again wherever that was seen.
    let mut only = scripted(&pair.model, &house.fake.script(Answer::of(1, 1)));
    only["provider"] = json!({"only": [bad]});
    for _ in 0..20 {
        client.chat(&only).await.expect(200);
    }
    assert_eq!(state().await, (false, 1));
}

/// Who answers this, without a fallback.
async fn answered_by(client: &Client, ask: Ask) -> String {
    let reply = client.send(ask).await.expect(200);
    assert_eq!(reply.header("x-tollgate-attempts"), "1");
    reply.header("x-tollgate-provider").to_owned()
}

#[tokio::test]
async fn a_session_stays_with_its_provider() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let tag = house.fake.script(Answer::of(1, 1));
    let ask = |field: &str, session: &str| {
        let mut body = scripted(ROUTED, &tag);
        if field.starts_with("x-") {
            return Ask::json("/v1/chat/completions", &body).header(field, session);
        }
        body[field] = json!(session);
        Ask::json("/v1/chat/completions", &body)
    };
    let mut seen = HashMap::new();
    for session in 0..60 {
        let session = format!("{tag} {session}");
        let first = answered_by(&client, ask("session_id", &session)).await;
        for field in ["session_id", "prompt_cache_key", "x-session-id"] {
            assert_eq!(answered_by(&client, ask(field, &session)).await, first, "{field}");
        }
        *seen.entry(first).or_insert(0) += 1;
    }
    // Each session is drawn as one request is: 44, 11 and 5 are expected.
    assert!(seen.len() > 1 && seen["east"] > 25, "{seen:?}");
}

#[tokio::test]
async fn a_conversation_stays_where_its_beginning_is_in_a_cache() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let pair = house.pair();
    let tag = house.fake.script(Answer::of(1, 1));
    let talk = |opening: &str, turns: usize| {
        let mut body = scripted(&pair.model, &tag);
        let mut messages =
            vec![json!({"role": "system", "content": "Be brief."}), json!({"role": "user", "content": opening})];
        for turn in 0..turns {
            messages.push(json!({"role": "assistant", "content": format!("answer {turn}")}));
            messages.push(json!({"role": "user", "content": format!("and {turn}?")}));
        }
        body["messages"] = json!(messages);
        Ask::json("/v1/chat/completions", &body)
    };
    let mut seen = HashMap::new();
    // The dear one is drawn in 9 of 100: that none of 150 goes there happens once in 10^6 runs.
    for number in 0..150 {
        let opening = format!("{tag} {number}");
        let first = answered_by(&client, talk(&opening, 0)).await;
        assert_eq!(answered_by(&client, talk(&opening, 2)).await, first);
        *seen.entry(first).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[tokio::test]
async fn a_prompt_that_one_model_cannot_take_goes_to_the_next() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let (short, long) = (house.solo(), house.solo());
    for (code, takes_another) in
        [("context_length_exceeded", true), ("content_policy_violation", true), ("invalid_value", false)]
    {
        let error = json!({"error": {"message": "no", "type": "invalid_request_error", "code": code}}).to_string();
        let tag = house.fake.script(Script::from(Answer::of(1, 1)).at(&short.provider, Reply::json(400, &error)));
        let mut body = scripted(&short.model, &tag);
        client.chat(&body).await.expect(400);
        body["models"] = json!([long.model]);
        let reply = client.chat(&body).await.expect(if takes_another { 200 } else { 400 });
        let asked = house.fake.tagged(&tag).len();
        assert_eq!(asked, if takes_another { 3 } else { 2 }, "{code}");
        if takes_another {
            assert_eq!((reply.header("x-tollgate-model"), reply.header("x-tollgate-attempts")), (&*long.model, "2"));
        }
    }
}

#[tokio::test]
async fn who_asks_is_told_what_was_done() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    for header in
        [("x-openrouter-metadata", "enabled"), ("x-tollgate-explain", "true"), ("x-tollgate-explain", "false")]
    {
        // A pair for each: whoever fails five times in a row is asked last, whatever is wished.
        let pair = house.pair();
        let (bad, good) = (&pair.one.0, &pair.other.0);
        let tag = house.fake.script(Script::from(Answer::of(12, 8)).at(bad, Reply::status(500)));
        let ask = |is_stream: bool, wish: Value| {
            let mut body = scripted(&pair.model, &tag);
            (body["stream"], body["provider"]) = (json!(is_stream), wish);
            Ask::json("/v1/chat/completions", &body).header(header.0, header.1)
        };
        let check = |told: &Value, answered: bool| {
            assert_eq!((&told["requested"], &told["is_byok"]), (&json!(pair.model), &json!(false)), "{told}");
            assert_eq!(told["endpoints"]["total"], 2, "{told}");
            let first = &told["attempts"][0];
            let expected = (&json!(bad), &json!(500), &json!("fake_code"));
            assert_eq!((&first["provider"], &first["status"], &first["code"]), expected, "{told}");
            if answered {
                assert_eq!((&told["strategy"], &told["attempt"]), (&json!("order"), &json!(2)), "{told}");
                assert_eq!(told["attempts"][1], json!({"provider": good, "model": pair.model, "status": 200}));
                let selected = |at: usize| told["endpoints"]["available"][at]["selected"].clone();
                assert_eq!((selected(0), selected(1)), (json!(false), json!(true)), "{told}");
            }
        };
        let reply = client.send(ask(false, json!({"order": [bad]}))).await.expect(200);
        if header.1 == "false" {
            assert!(reply.json().get("openrouter_metadata").is_none());
            continue;
        }
        check(&reply.json()["openrouter_metadata"], true);
        let text = client.send(ask(true, json!({"order": [bad]}))).await.expect(200).text();
        let told: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
            .filter(|chunk: &Value| chunk.get("openrouter_metadata").is_some())
            .collect();
        assert_eq!(told.len(), 1, "{text}");
        check(&told[0]["openrouter_metadata"], true);
        assert!(text.ends_with("data: [DONE]\n\n") && told[0]["choices"] == json!([]), "{text}");
        let reply = client.send(ask(false, json!({"only": [bad]}))).await;
        assert!(reply.status >= 500, "{}", reply.text());
        check(&reply.json()["openrouter_metadata"], false);
    }
}

#[tokio::test]
async fn what_was_measured_decides_where_speed_is_wished() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let pair = house.pair();
    let (slow, fast) = (&pair.one.0, &pair.other.0);
    let answer = Answer::of(1, 10);
    let slowly = answer.clone().first_byte(Duration::from_millis(400)).every(Duration::from_millis(20));
    let script = Script::from(answer.every(Duration::from_millis(2))).at(slow, Reply::from(slowly));
    let tag = house.fake.script(script);
    for provider in [slow, fast] {
        let mut body = scripted(&pair.model, &tag);
        (body["stream"], body["provider"]) = (json!(true), json!({"only": [provider]}));
        // Each worker measures for itself: connections that are open at the same time are on all of them.
        let asks = (0..8).map(|_| {
            let (client, ask) = (house.client(0, &org.key), Ask::json("/v1/chat/completions", &body));
            tokio::spawn(async move { client.send(ask).await.expect(200) })
        });
        for reply in asks.collect::<Vec<_>>() {
            reply.await.unwrap();
        }
    }
    let order = async |provider: Value| {
        let body = json!({"model": pair.model, "provider": provider});
        explained(&client, &body).await.0
    };
    let (by_price, by_speed) = ([slow.as_str(), fast.as_str()], [fast.as_str(), slow.as_str()]);
    assert_eq!(order(json!({"sort": "price"})).await, by_price, "the slow one is the cheap one");
    assert_eq!(order(json!({"sort": "latency"})).await, by_speed);
    assert_eq!(order(json!({"sort": "throughput"})).await, by_speed);
    assert_eq!(order(json!({"preferred_max_latency": 0.2})).await, by_speed);
    assert_eq!(order(json!({"preferred_max_latency": {"p90": 30}})).await, by_price);
    assert_eq!(order(json!({"preferred_min_throughput": {"p50": 150}})).await, by_speed);
    assert_eq!(order(json!({"preferred_min_throughput": 1})).await, by_price);
}
