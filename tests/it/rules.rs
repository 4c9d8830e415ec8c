//! Rules of routing: what an organisation says binds all of its keys, a key can only narrow it, and no request gets past
//! either.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollgate_tests::clients::{Ask, Client, Reply};
use tollgate_tests::fake::{self, Answer, Script};
use tollgate_tests::house::{House, Setup};

use crate::openai::scripted;

const ROUTED: &str = "lab/routed";

/// A file with these rules.
fn file(house: &House, rules: &Value) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let path = house.folder().join(format!("rules-{}.json", COUNT.fetch_add(1, Ordering::Relaxed)));
    fs::write(&path, rules.to_string()).expect("a file of rules");
    path.display().to_string()
}

/// `admin orgs routing set`, or the same of keys.
async fn set(house: &House, noun: &str, id: &str, rules: &Value) {
    let said = house.admin(&[noun, "routing", "set", id, "--file", &file(house, rules)]).await;
    assert_eq!(&said, rules, "what was written is what is shown");
}

/// A new key with these rules.
async fn key(house: &House, org: &str, rules: &Value) -> String {
    let made = ["keys", "create", "--org", org, "--name", "ruled", "--routing", &file(house, rules)];
    house.admin(&made).await["key"].as_str().unwrap().to_owned()
}

/// The providers that may serve this, by name, and why the others may not.
async fn kept(client: &Client, body: &Value) -> (Vec<String>, Vec<String>) {
    let reply = client.send(Ask::json("/v1/route/explain", body)).await.expect(200).json();
    let list = |name: &str, field: &str| {
        let rows = reply[name].as_array().cloned().unwrap_or_default();
        let mut texts: Vec<String> = rows.iter().map(|row| row[field].as_str().unwrap().to_owned()).collect();
        texts.sort();
        texts.dedup();
        texts
    };
    (list("candidates", "provider"), list("excluded", "excluded_by"))
}

fn wishing(provider: Value) -> Value {
    json!({"model": ROUTED, "provider": provider})
}

/// The providers that were asked under this tag.
fn asked(house: &House, tag: &str) -> Vec<String> {
    house.fake.tagged(tag).iter().map(|served| served.provider.clone()).collect()
}

fn excluded_by(reply: &Reply) -> Value {
    reply.json()["error"]["metadata"]["excluded_by"].clone()
}

#[tokio::test]
async fn an_organisations_rules_bind_all_of_its_keys_and_nobody_else() {
    let house = House::lab().await;
    let (org, other) = (house.org("1.00").await, house.org("1.00").await);
    let second = house.admin(&["keys", "create", "--org", &org.id, "--name", "second"]).await;
    let second = second["key"].as_str().unwrap();
    set(&house, "orgs", &org.id, &json!({"provider": {"zdr": true}})).await;
    let tag = house.fake.script(Answer::of(1, 1));
    for key in [org.key.as_str(), second] {
        let client = house.client(0, key);
        for wish in [json!({}), json!({"zdr": false}), json!({"order": ["east"]}), json!({"sort": "price"})] {
            let expected = (vec!["euro".to_owned()], vec!["data_policy:zdr".to_owned()]);
            assert_eq!(kept(&client, &wishing(wish.clone())).await, expected, "{wish}");
            let mut body = scripted(ROUTED, &tag);
            body["provider"] = wish;
            assert_eq!(client.chat(&body).await.expect(200).header("x-tollgate-provider"), "euro");
        }
        let reply = client.chat(&scripted("lab/east", &tag)).await.expect(404);
        assert_eq!((reply.code(), excluded_by(&reply)), ("no_endpoints".into(), json!(["data_policy:zdr"])));
    }
    assert_eq!(kept(&house.client(0, &other.key), &wishing(json!({}))).await.0.len(), 3);
    // They are shown, told in the list and in the audit log, and can be taken away.
    let shown = house.admin(&["orgs", "routing", "show", &org.id]).await;
    assert_eq!(shown, json!({"provider": {"zdr": true}}));
    let log = house.admin(&["audit", "list", "--org", &org.id]).await;
    assert!(log.as_array().unwrap().iter().any(|line| line["action"] == "orgs.routing"), "{log}");
    assert_eq!(house.admin(&["orgs", "routing", "clear", &org.id]).await, Value::Null);
    assert_eq!(kept(&house.client(0, second), &wishing(json!({}))).await.0.len(), 3);
}

#[tokio::test]
async fn a_key_can_only_narrow_what_its_organisation_allows() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    set(&house, "orgs", &org.id, &json!({"provider": {"only": ["east", "euro inc"], "max_price": {"prompt": "2"}}}))
        .await;
    for (rules, wish, left) in [
        (json!({"timeout": 60}), json!({}), &["east", "euro"][..]),
        (json!({"provider": {"only": ["euro", "west"]}}), json!({}), &["euro"]),
        (json!({"provider": {"only": ["euro", "west"]}}), json!({"only": ["west", "east"]}), &[]),
        (json!({"provider": {"only": ["west"]}}), json!({}), &[]),
        (json!({"provider": {"max_price": {"prompt": "3"}}}), json!({}), &["east", "euro"]),
        (json!({"provider": {"max_price": {"prompt": "3"}}}), json!({"max_price": {"completion": 1}}), &["east"]),
        (json!({"provider": {"ignore": ["east"]}}), json!({"ignore": ["euro"]}), &[]),
        (json!({"provider": {"region": "us"}}), json!({}), &["east"]),
        (json!({"provider": {"region": "us"}}), json!({"region": ["eu", "us-west"]}), &[]),
        (json!({"provider": {"order": ["euro"], "allow_fallbacks": false}}), json!({"order": ["east"]}), &["euro"]),
        (json!({"provider": {"quantizations": ["unknown"]}}), json!({"quantizations": ["fp8"]}), &[]),
    ] {
        let client = house.client(0, &key(&house, &org.id, &rules).await);
        let (kept, excluded) = kept(&client, &wishing(wish.clone())).await;
        assert_eq!(kept, left, "{rules} {wish}");
        let mut body = scripted(ROUTED, &house.fake.script(Answer::of(1, 1)));
        body["provider"] = wish.clone();
        let reply = client.chat(&body).await.expect(if left.is_empty() { 404 } else { 200 });
        match left.is_empty() {
            true => assert_eq!(excluded_by(&reply), json!(excluded), "{rules} {wish}"),
            false => assert!(left.contains(&reply.header("x-tollgate-provider")), "{rules} {wish}"),
        }
    }
}

#[tokio::test]
async fn changed_rules_hold_everywhere_without_a_restart() {
    let house = House::up(Setup { proxies: 3, ..Setup::default() }).await;
    let org = house.org("1.00").await;
    let all = |left: &[&str]| left.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (noun, id, rules, left) in [
        ("orgs", &org.id, json!({"provider": {"only": ["east", "west"]}}), all(&["east", "west"])),
        ("keys", &org.key_id, json!({"provider": {"ignore": ["east"]}}), all(&["west"])),
        ("orgs", &org.id, json!({"provider": {"data_collection": "deny"}}), all(&["euro", "west"])),
        ("keys", &org.key_id, json!({"provider": {"zdr": true}}), all(&["euro"])),
    ] {
        set(&house, noun, id, &rules).await;
        for client in house.clients(&org.key) {
            assert_eq!(kept(&client, &wishing(json!({}))).await.0, left, "{rules}");
        }
    }
    for (noun, id) in [("orgs", &org.id), ("keys", &org.key_id)] {
        house.admin(&[noun, "routing", "clear", id]).await;
        assert_eq!(house.admin(&[noun, "routing", "show", id]).await, Value::Null);
    }
    for client in house.clients(&org.key) {
        assert_eq!(kept(&client, &wishing(json!({}))).await.0.len(), 3);
    }
}

/// Each trigger with a reply that pulls it.
fn failures() -> [(&'static str, fake::Reply); 6] {
    let said = |status: u16, code: &str| {
        let error = json!({"error": {"message": "no", "type": "invalid_request_error", "code": code}});
        fake::Reply::json(status, &error.to_string())
    };
    [
        ("rate_limit", fake::Reply::too_many(None)),
        ("overload", fake::Reply::status(503)),
        ("provider_error", fake::Reply::status(500)),
        ("timeout", fake::Reply::status(504)),
        ("context_length", said(400, "context_length_exceeded")),
        ("moderation", said(400, "content_policy_violation")),
    ]
}

#[tokio::test]
async fn triggers_decide_which_failures_reach_another_model() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let all: Vec<&str> = failures().iter().map(|(trigger, _)| *trigger).collect();
    for (trigger, failure) in failures() {
        let others: Vec<&str> = all.iter().copied().filter(|other| *other != trigger).collect();
        let (bad, good) = (house.solo(), house.solo());
        let only = key(&house, &org.id, &json!({"fallbacks": {"triggers": [trigger]}})).await;
        let rest = key(&house, &org.id, &json!({"fallbacks": {"triggers": others}})).await;
        let never = key(&house, &org.id, &json!({"fallbacks": {"triggers": []}})).await;
        let both = key(&house, &org.id, &json!({"fallbacks": {"triggers": [trigger]}})).await;
        for (key, may) in [(only, true), (rest, false), (never, false), (both, true)] {
            let tag = house.fake.script(Script::from(Answer::of(1, 1)).at(&bad.provider, failure.clone()));
            let mut body = scripted(&bad.model, &tag);
            body["models"] = json!([good.model]);
            let reply = house.client(0, &key).chat(&body).await;
            let reached = asked(&house, &tag).contains(&good.provider);
            assert_eq!((reply.status == 200, reached), (may, may), "{trigger}: {}", reply.text());
        }
    }
    // What the organisation does not allow, its keys do not either.
    let (bad, good) = (house.solo(), house.solo());
    set(&house, "orgs", &org.id, &json!({"fallbacks": {"triggers": ["rate_limit", "timeout"]}})).await;
    let client =
        house.client(0, &key(&house, &org.id, &json!({"fallbacks": {"triggers": ["timeout", "overload"]}})).await);
    for (trigger, failure) in failures().into_iter().take(4) {
        let tag = house.fake.script(Script::from(Answer::of(1, 1)).at(&bad.provider, failure));
        let mut body = scripted(&bad.model, &tag);
        body["models"] = json!([good.model]);
        assert_eq!(client.chat(&body).await.status == 200, trigger == "timeout", "{trigger}");
    }
}

#[tokio::test]
async fn endpoints_of_the_same_model_need_no_trigger() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let pair = house.pair();
    set(&house, "orgs", &org.id, &json!({"fallbacks": {"triggers": []}, "provider": {"order": [pair.one.0]}})).await;
    let tag = house.fake.script(Script::from(Answer::of(1, 1)).at(&pair.one.0, fake::Reply::status(500)));
    let reply = house.client(0, &org.key).chat(&scripted(&pair.model, &tag)).await.expect(200);
    assert_eq!((reply.header("x-tollgate-provider"), reply.header("x-tollgate-attempts")), (&*pair.other.0, "2"));
}

#[tokio::test]
async fn a_fallback_never_crosses_a_price_or_a_data_policy() {
    // A house of its own: providers fail here that others count on.
    let house = House::up(Setup::default()).await;
    let org = house.org("1.00").await;
    for (rules, bad, never) in [
        (json!({"provider": {"zdr": true}}), "euro", &["east", "west"][..]),
        (json!({"provider": {"max_price": {"prompt": 1}}}), "east", &["euro", "west"]),
        (json!({"provider": {"region": "us-west"}}), "west", &["east", "euro"]),
    ] {
        let models = json!({"models": ["lab/east", "lab/euro", "lab/west"]});
        let ruled = key(&house, &org.id, &json!({"provider": rules["provider"], "fallbacks": models})).await;
        for body in
            [json!({}), json!({"models": ["lab/west", "lab/euro", "lab/east"]}), json!({"model": format!("lab/{bad}")})]
        {
            let script = Script::from(Answer::of(1, 1)).at(bad, fake::Reply::status(500));
            let tag = house.fake.script(script);
            let mut asking = scripted(ROUTED, &tag);
            for (name, value) in body.as_object().unwrap() {
                asking[name] = value.clone();
            }
            let reply = house.client(0, &ruled).chat(&asking).await;
            let asked = asked(&house, &tag);
            assert!(reply.status >= 500 && !asked.is_empty(), "{rules}: {}", reply.text());
            assert!(!asked.iter().any(|provider| never.contains(&provider.as_str())), "{rules}: {asked:?}");
        }
    }
}

#[tokio::test]
async fn models_of_the_rules_are_tried_where_the_request_names_none() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let [bad, mine, theirs] = [house.solo(), house.solo(), house.solo()];
    set(&house, "orgs", &org.id, &json!({"fallbacks": {"models": [theirs.model]}})).await;
    let of_key = key(&house, &org.id, &json!({"fallbacks": {"models": [mine.model]}})).await;
    let bound = ["keys", "create", "--org", &org.id, "--name", "bound", "--allow-model", &bad.model];
    let bound = house.admin(&bound).await["key"].as_str().unwrap().to_owned();
    let answered = async |key: &str, models: Option<&str>| {
        let tag = house.fake.script(Script::from(Answer::of(1, 1)).at(&bad.provider, fake::Reply::too_many(None)));
        let mut body = scripted(&bad.model, &tag);
        if let Some(model) = models {
            body["models"] = json!([model]);
        }
        let reply = house.client(0, key).chat(&body).await;
        (reply.status == 200).then(|| (reply.header("x-tollgate-model").to_owned(), reply.json()["model"].clone()))
    };
    let by = |model: &str| Some((model.to_owned(), json!(model)));
    assert_eq!(answered(&org.key, None).await, by(&theirs.model), "the organisation's");
    assert_eq!(answered(&of_key, None).await, by(&mine.model), "the key's before the organisation's");
    assert_eq!(answered(&org.key, Some(&mine.model)).await, by(&mine.model), "the request's before both");
    assert_eq!(answered(&bound, None).await, None, "a model that the key may not use");
}

#[tokio::test]
async fn the_shortest_time_holds() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let solo = house.solo();
    set(&house, "orgs", &org.id, &json!({"timeout": 0.3})).await;
    let client = house.client(0, &key(&house, &org.id, &json!({"timeout": 30})).await);
    for asking in [None, Some(20)] {
        let tag = house.fake.script(Script::from(Answer::of(1, 1)).at(&solo.provider, fake::Reply::Silence));
        let mut body = scripted(&solo.model, &tag);
        if let Some(seconds) = asking {
            body["timeout"] = json!(seconds);
        }
        let begun = Instant::now();
        client.chat(&body).await.expect(504);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn rules_that_cannot_be_kept_are_refused_and_odd_ones_are_told() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    for (rules, named) in [
        (json!({"provider": {"ordre": ["east"]}}), "ordre"),
        (json!({"fallbacks": {"triggers": ["eclipse"]}}), "eclipse"),
        (json!({"provider": {"only": []}}), "`only` is empty"),
        (json!({"timeout": -1}), "timeout"),
        (json!(["zdr"]), "an object"),
    ] {
        for (noun, id) in [("orgs", &org.id), ("keys", &org.key_id)] {
            let said = house.run(&["admin", noun, "routing", "set", id, "--file", &file(&house, &rules)]).await;
            assert_eq!(said.code, 1, "{rules}: {}", said.stdout);
            assert!(said.stderr.contains(named) && said.stderr.contains("routing"), "{rules}: {}", said.stderr);
        }
    }
    assert_eq!(house.admin(&["orgs", "routing", "show", &org.id]).await, Value::Null);
    let empty = house.folder().join("empty.json");
    fs::write(&empty, " \n").unwrap();
    let said = house.run(&["admin", "orgs", "routing", "set", &org.id, "--file", &empty.display().to_string()]).await;
    assert!(said.code == 2 && said.stderr.contains("routing clear"), "{}", said.stderr);
    let odd = json!({"provider": {"ignore": ["nobody", "east"]}, "fallbacks": {"models": ["no/model", ROUTED]}});
    let said = house.run(&["admin", "keys", "routing", "set", &org.key_id, "--file", &file(&house, &odd)]).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("provider `nobody`, model `no/model`"), "{}", said.stderr);
    // Limits and rules do not replace one another.
    house.admin(&["keys", "update", &org.key_id, "--rpm", "100"]).await;
    assert_eq!(house.admin(&["keys", "routing", "show", &org.key_id]).await, odd);
    house.admin(&["keys", "routing", "clear", &org.key_id]).await;
    let keys = house.admin(&["keys", "list", "--org", &org.id]).await;
    assert_eq!((&keys[0]["rpm"], &keys[0]["routing"]), (&json!(100), &Value::Null));
}
