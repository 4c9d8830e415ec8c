//! Where requests would go under other rules: the figures of `routes simulate` are those that one works out by hand.

use serde_json::{Value, json};
use tollgate_tests::actors::Org;
use tollgate_tests::fake::{Answer, Reply, Script};
use tollgate_tests::house::{House, Said, new_folder};

use crate::openai::{request_id, scripted};

const COUNT: usize = 3;

/// Runs `routes simulate` for an organisation's requests of the last hour.
async fn simulated(house: &House, policy: &Value, more: &[&str]) -> Said {
    let folder = new_folder();
    let file = folder.path().join("policy.json");
    std::fs::write(&file, policy.to_string()).unwrap();
    let fixed = ["admin", "routes", "simulate", "--policy", file.to_str().unwrap()];
    house.run(&[&fixed, more].concat()).await
}

async fn figures(house: &House, policy: &Value, more: &[&str]) -> Value {
    let said = simulated(house, policy, &[&["--json"], more].concat()).await;
    assert_eq!(said.code, 0, "{policy}: {}", said.stderr);
    serde_json::from_str(&said.stdout).unwrap()
}

/// An organisation with a few requests to the cheapest of the three providers; each has 2,000 tokens. Says also when the
/// first began.
async fn spent(house: &House) -> (Org, String) {
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let tag = house.fake.script(Answer::of(1_400, 600));
    for _ in 0..COUNT {
        let mut body = scripted("lab/routed", &tag);
        body["provider"] = json!({"only": ["east"]});
        let reply = client.chat(&body).await.expect(200);
        house.usage_of(&org.id, &request_id(&reply)).await;
    }
    let records = house.operator().await.records(&org.id).await;
    assert_eq!(records.len(), COUNT);
    (org, records.last().unwrap().started_at.clone())
}

#[tokio::test]
async fn other_rules_cost_what_one_works_out_by_hand() {
    let house = House::lab().await;
    let (org, since) = spent(&house).await;
    let period = ["--org", &org.id, "--since", &since];
    for (policy, would_cost) in [
        // 6,000 tokens at 1, 2 and 3 dollars for a million; 36, 9 and 4 of 49 are drawn, or 9 and 4 of 13.
        (json!({}), "0.008081633"),
        (json!({"provider": {"ignore": ["east"]}}), "0.013846154"),
        (json!({"provider": {"zdr": true}}), "0.012000000"),
        (json!({"provider": {"order": ["west"]}}), "0.018000000"),
        (json!({"provider": {"sort": "price"}}), "0.006000000"),
    ] {
        let told = figures(&house, &policy, &period).await;
        assert_eq!((&told["requests"], &told["cost"]), (&json!(COUNT), &json!("0.006000000")), "{policy}: {told:#}");
        assert_eq!(told["would_cost"], would_cost, "{policy}: {told:#}");
        assert_eq!((&told["without_endpoint"], &told["availability"]), (&json!(0), &json!(1.0)), "{policy}: {told:#}");
        let models = told["models"].as_array().unwrap();
        assert_eq!((models.len(), &models[0]["model"]), (1, &json!("lab/routed")), "{told:#}");
        assert_eq!(models[0]["would_cost"], would_cost, "{told:#}");
    }
    let none = figures(&house, &json!({"provider": {"only": ["nobody"]}}), &period).await;
    assert_eq!((&none["without_endpoint"], &none["would_be_available"]), (&json!(COUNT), &json!(0.0)), "{none:#}");
    let other = figures(&house, &json!({}), &[&period[..], &["--model", "lab/plain"]].concat()).await;
    assert_eq!((&other["requests"], &other["models"]), (&json!(0), &json!([])), "{other:#}");
    let yesterday = figures(&house, &json!({}), &["--org", &org.id]).await;
    assert_eq!(yesterday["requests"], 0, "{yesterday:#}");
    let shown = simulated(&house, &json!({}), &period).await.stdout;
    assert!(shown.contains("WOULD_COST") && shown.contains("lab/routed") && shown.contains("0.008081633"), "{shown}");
}

#[tokio::test]
async fn a_chance_of_an_answer_comes_from_what_endpoints_did() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let pair = house.pair();
    let (bad, good) = (&*pair.one.0, &*pair.other.0);
    let tag = house.fake.script(Script::from(Answer::of(10, 10)).at(bad, Reply::status(500)));
    let mut body = scripted(&pair.model, &tag);
    body["provider"] = json!({"order": [bad]});
    let reply = house.client(0, &org.key).chat(&body).await.expect(200);
    assert_eq!(reply.header("x-tollgate-attempts"), "2");
    house.usage_of(&org.id, &request_id(&reply)).await;
    let since = house.operator().await.records(&org.id).await[0].started_at.clone();
    for (policy, would_be_available) in [
        (json!({}), 1.0),
        (json!({"provider": {"only": [bad]}}), 0.0),
        (json!({"provider": {"order": [bad], "allow_fallbacks": false}}), 0.0),
        (json!({"provider": {"only": [good]}}), 1.0),
    ] {
        let told = figures(&house, &policy, &["--org", &org.id, "--since", &since]).await;
        assert_eq!((&told["availability"], &told["requests"]), (&json!(1.0), &json!(1)), "{policy}: {told:#}");
        assert_eq!(told["would_be_available"], would_be_available, "{policy}: {told:#}");
    }
}

#[tokio::test]
async fn rules_that_nobody_knows_are_refused_by_name() {
    let house = House::lab().await;
    let org = house.org("").await;
    for (policy, more, named) in [
        (json!({"provider": {"ordre": ["east"]}}), vec![], "ordre"),
        (json!({"fallback": {}}), vec![], "fallback"),
        (json!({"provider": {"sort": "luck"}}), vec![], "policy"),
        (json!([]), vec![], "policy"),
        (json!({}), vec!["--model", "lab/unheard"], "lab/unheard"),
        (json!({}), vec!["--since", "yesterday"], "since"),
        (json!({}), vec!["--since", "2026-11-22T00:00:00Z", "--until", "2026-11-21T00:00:00Z"], "until"),
        (json!({}), vec!["--org", "org_00000000000000000000000000"], "organisation"),
    ] {
        let said = simulated(&house, &policy, &more).await;
        assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{policy}: {}", said.stderr);
        assert!(said.stderr.contains(named), "{policy}: {}", said.stderr);
    }
    let said = simulated(&house, &json!({"timeout": 5}), &["--org", &org.id]).await;
    assert!(said.code == 0 && said.stderr.contains("`timeout` has no part"), "{}", said.stderr);
}

#[tokio::test]
async fn an_organisation_is_told_of_its_own_requests_alone() {
    let house = House::lab().await;
    let (org, since) = spent(&house).await;
    let other = house.org("1.00").await;
    let operator = house.operator().await;
    let (own, stranger) = (operator.token(&org.id, "owner").await, operator.token(&other.id, "owner").await);
    let told = figures(&house, &json!({}), &["--since", &since, "--token", &own]).await;
    assert_eq!(told["requests"], COUNT, "{told:#}");
    let told = figures(&house, &json!({}), &["--since", &since, "--token", &stranger]).await;
    assert_eq!(told["requests"], 0, "{told:#}");
    let said = simulated(&house, &json!({}), &["--org", &org.id, "--token", &stranger]).await;
    assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{}", said.stderr);
    // The operator is told of everybody's.
    let told = figures(&house, &json!({}), &["--since", &since]).await;
    assert!(told["requests"].as_u64().unwrap() >= COUNT as u64, "{told:#}");
}
