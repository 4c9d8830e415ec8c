//! An organisation's own names for models: aliases, and presets in versions. Nobody else knows them.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tollgate_tests::clients::{Client, Reply};
use tollgate_tests::fake::{self, Answer, Script};
use tollgate_tests::house::{House, Setup};

use crate::openai::scripted;

async fn alias(house: &House, org: &str, name: &str, models: &[&str]) {
    let mut said = vec!["aliases", "set", name, "--org", org];
    models.iter().for_each(|model| said.extend(["--model", model]));
    assert_eq!(house.admin(&said).await, json!({"name": name, "models": models}));
}

/// Sets a preset and says which version that made.
async fn preset(house: &House, org: &str, slug: &str, content: &Value) -> u64 {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let path = house.folder().join(format!("preset-{}.json", COUNT.fetch_add(1, Ordering::Relaxed)));
    fs::write(&path, content.to_string()).expect("a file of a preset");
    let said = house.admin(&["presets", "set", slug, "--org", org, "--file", &path.display().to_string()]).await;
    assert_eq!(said["slug"], slug);
    said["version"].as_u64().unwrap()
}

async fn ask(house: &House, client: &Client, model: &str) -> Reply {
    client.chat(&scripted(model, &house.fake.script(Answer::of(1, 1)))).await
}

fn served(reply: &Reply) -> (String, String, Value) {
    let header = |name| reply.header(name).to_owned();
    (header("x-tollgate-model"), header("x-tollgate-provider"), reply.json()["model"].clone())
}

#[tokio::test]
async fn an_alias_works_everywhere_for_its_organisation_alone() {
    let house = House::up(Setup { proxies: 2, ..Setup::default() }).await;
    let (org, other) = (house.org("1.00").await, house.org("1.00").await);
    alias(&house, &org.id, "fast", &["lab/east"]).await;
    // It comes before the catalogue's own names.
    alias(&house, &org.id, "lab/west", &["lab/euro:floor"]).await;
    for client in house.clients(&org.key) {
        let reply = ask(&house, &client, "fast").await.expect(200);
        assert_eq!(served(&reply), ("lab/east".into(), "east".into(), json!("fast")));
        let reply = ask(&house, &client, "fast:nitro").await.expect(200);
        assert_eq!(served(&reply), ("lab/east".into(), "east".into(), json!("fast")));
        let reply = ask(&house, &client, "lab/west").await.expect(200);
        assert_eq!(served(&reply), ("lab/euro".into(), "euro".into(), json!("lab/west")));
    }
    let stranger = house.client(0, &other.key);
    assert_eq!(ask(&house, &stranger, "fast").await.expect(404).code(), "model_not_found");
    assert_eq!(served(&ask(&house, &stranger, "lab/west").await.expect(200)).0, "lab/west");
    // It changes and goes as it came.
    alias(&house, &org.id, "fast", &["lab/west:floor", "lab/east"]).await;
    house.admin(&["aliases", "remove", "lab/west", "--org", &org.id]).await;
    let listed = house.admin(&["aliases", "list", "--org", &org.id]).await;
    assert_eq!(listed, json!([{"name": "fast", "models": ["lab/west:floor", "lab/east"]}]));
    for client in house.clients(&org.key) {
        let reply = ask(&house, &client, "fast").await.expect(200);
        assert_eq!(served(&reply), ("lab/west".into(), "west".into(), json!("fast")));
    }
    let log = house.admin(&["audit", "list", "--org", &org.id]).await;
    let told =
        |detail: &str| log.as_array().unwrap().iter().any(|line| line["detail"].as_str().unwrap().contains(detail));
    assert!(told("alias fast for lab/east set") && told("alias lab/west for lab/euro:floor gone"), "{log}");
}

#[tokio::test]
async fn an_alias_of_several_models_tries_them_in_turn() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let [bad, good, third] = [house.solo(), house.solo(), house.solo()];
    alias(&house, &org.id, "sure", &["no/model", &bad.model, &good.model]).await;
    let client = house.client(0, &org.key);
    let tag = house.fake.script(Script::from(Answer::of(1, 1)).at(&bad.provider, fake::Reply::too_many(None)));
    let mut body = scripted("sure", &tag);
    body["models"] = json!([third.model]);
    let reply = client.chat(&body).await.expect(200);
    assert_eq!(served(&reply), (good.model.clone(), good.provider.clone(), json!(good.model)));
    // A key that may use only one of them uses that one.
    let bound = ["keys", "create", "--org", &org.id, "--name", "bound", "--allow-model", &good.model];
    let bound = house.admin(&bound).await["key"].as_str().unwrap().to_owned();
    let reply = ask(&house, &house.client(0, &bound), "sure").await.expect(200);
    assert_eq!((served(&reply).0, served(&reply).2), (good.model.clone(), json!("sure")));
    alias(&house, &org.id, "other", &[&third.model]).await;
    assert_eq!(ask(&house, &house.client(0, &bound), "other").await.expect(403).code(), "model_not_allowed");
}

#[tokio::test]
async fn a_preset_is_models_and_rules_in_versions_that_stay() {
    let house = House::lab().await;
    let (org, other) = (house.org("1.00").await, house.org("1.00").await);
    let client = house.client(0, &org.key);
    let first = json!({"models": ["lab/routed"], "provider": {"zdr": true}});
    let second = json!({"models": ["lab/routed"], "provider": {"only": ["west"]}, "timeout": 20});
    assert_eq!(preset(&house, &org.id, "mail", &first).await, 1);
    assert_eq!(preset(&house, &org.id, "mail", &second).await, 2);
    assert_eq!(preset(&house, &org.id, "mail", &second).await, 2, "the same again is no new version");
    for (name, provider, shown) in [
        ("@preset/mail", "west", "@preset/mail"),
        ("@preset/mail@1", "euro", "@preset/mail@1"),
        ("@preset/mail@2", "west", "@preset/mail@2"),
        ("lab/routed@preset/mail@1", "euro", "lab/routed"),
        ("lab/routed:floor@preset/mail", "west", "lab/routed"),
    ] {
        let reply = ask(&house, &client, name).await.expect(200);
        assert_eq!(served(&reply), ("lab/routed".into(), provider.into(), json!(shown)), "{name}");
    }
    let in_field = async |slug: Value, wish: Value| {
        let tag = house.fake.script(Answer::of(1, 1));
        let mut body = scripted("lab/routed", &tag);
        (body["preset"], body["provider"]) = (slug, wish);
        let reply = client.chat(&body).await;
        let sent =
            |word: &str| house.fake.tagged(&tag).iter().any(|it| String::from_utf8_lossy(&it.body).contains(word));
        assert!(!sent("preset") && !sent("zdr"), "the wish went to the provider");
        reply
    };
    assert_eq!(served(&in_field(json!("mail@1"), json!({})).await.expect(200)).1, "euro");
    assert_eq!(served(&in_field(json!("@preset/mail"), json!({"sort": "price"})).await.expect(200)).1, "west");
    // Nothing of the request loosens it.
    assert_eq!(
        in_field(json!("mail@1"), json!({"only": ["west"], "zdr": false})).await.expect(404).code(),
        "no_endpoints"
    );
    for (slug, named) in [(json!("nobody"), "nobody"), (json!("mail@7"), "mail@7"), (json!(7), "preset")] {
        let reply = in_field(slug, json!({})).await.expect(400);
        assert_eq!(reply.json()["error"]["param"], "preset", "{}", reply.text());
        assert!(reply.text().contains(named), "{}", reply.text());
    }
    for name in ["@preset/nobody", "@preset/mail@9", "@preset/", "lab/routed@preset/nobody"] {
        assert_eq!(ask(&house, &client, name).await.expect(404).code(), "model_not_found", "{name}");
    }
    let stranger = house.client(0, &other.key);
    assert_eq!(ask(&house, &stranger, "@preset/mail").await.expect(404).code(), "model_not_found");
    let mut listing = scripted("lab/routed", &house.fake.script(Answer::of(1, 1)));
    listing["models"] = json!(["@preset/mail"]);
    listing["provider"] = json!({"sort": "price"});
    assert_eq!(client.chat(&listing).await.expect(400).json()["error"]["param"], "models");
    // The command line shows and takes away what there is.
    assert_eq!(house.admin(&["presets", "show", "mail", "--org", &org.id]).await, second);
    assert_eq!(house.admin(&["presets", "show", "mail@1", "--org", &org.id]).await, first);
    house.admin(&["presets", "remove", "mail@2", "--org", &org.id]).await;
    assert_eq!(served(&ask(&house, &client, "@preset/mail").await.expect(200)).1, "euro");
    assert_eq!(ask(&house, &client, "@preset/mail@2").await.status, 404);
    assert_eq!(preset(&house, &org.id, "mail", &second).await, 3, "a number is not given twice");
    let listed = house.admin(&["presets", "list", "--org", &org.id]).await;
    let rows: Vec<_> = listed.as_array().unwrap().iter().map(|row| (&row["version"], &row["newest"])).collect();
    assert_eq!(rows, [(&json!(1), &json!(false)), (&json!(3), &json!(true))]);
}

#[tokio::test]
async fn names_that_cannot_be_kept_are_refused_and_odd_ones_are_told() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let refused = async |arguments: &[&str], named: &str| {
        let said = house.run(&[&["admin"], arguments, &["--org", &org.id]].concat()).await;
        assert_eq!(said.code, 1, "{arguments:?}: {}", said.stdout);
        assert!(said.stderr.contains(named), "{arguments:?}: {}", said.stderr);
    };
    refused(&["aliases", "set", "a b", "--model", "lab/plain"], "`a b` is no name").await;
    refused(&["aliases", "set", "a", "--model", "a"], "stands for itself").await;
    refused(&["aliases", "remove", "a"], "no such alias").await;
    refused(&["presets", "remove", "a"], "no such preset").await;
    refused(&["presets", "show", "a"], "no such preset").await;
    refused(&["presets", "show", "a@3"], "no such preset").await;
    let path = house.folder().join("bad-preset.json").display().to_string();
    for (content, named) in
        [(r#"{"temperature":1}"#, "temperature"), (r#"{"provider":{"only":[]}}"#, "`only` is empty")]
    {
        fs::write(&path, content).unwrap();
        refused(&["presets", "set", "a", "--file", &path], named).await;
    }
    let odd = ["admin", "aliases", "set", "soon", "--org", &org.id, "--model", "no/model"];
    let said = house.run(&odd).await;
    assert!(said.code == 0 && said.stderr.contains("model `no/model`"), "{}", said.stderr);
}
