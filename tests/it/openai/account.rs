//! What a key may ask about itself: its credits, its limits, one of its requests.

use tollgate_tests::clients::Ask;
use tollgate_tests::house::{House, ODD, ask_until};
use tollgate_tests::money::{Tokens, nano_of_number};

use super::{hello, request_id};

const COST: fn() -> i64 = || ODD.cost(Tokens { prompt: 12, completion: 8, ..Tokens::default() });

#[tokio::test]
async fn a_generation_is_readable_soon_by_either_id() {
    let house = House::lab().await;
    let (org, other) = (house.org("1.00").await, house.org("1.00").await);
    let client = house.client(0, &org.key);
    let reply = client.chat(&hello("lab/plain")).await.expect(200);
    let own = reply.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("x-generation-id"), own);
    for prefix in ["/v1", "/api/v1"] {
        for id in [request_id(&reply), own.clone()] {
            let ask = Ask::get(&format!("{prefix}/generation?id={id}"));
            let found = ask_until("the generation", &client, &ask, 200).await.json();
            let data = &found["data"];
            assert_eq!(data["model"], "lab/plain", "{found:#}");
            assert_eq!(nano_of_number(&data["total_cost"]), COST(), "{found:#}");
            house.client(0, &other.key).send(ask).await.expect(404);
        }
        client.get(&format!("{prefix}/generation?id=req_unknown")).await.expect(404);
        client.get(&format!("{prefix}/generation")).await.expect(400);
    }
}

#[tokio::test]
async fn credits_and_key_tell_what_was_used() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let key = house.admin(&["keys", "create", "--org", &org.id, "--name", "with a budget", "--limit", "0.5"]).await;
    let client = house.client(0, key["key"].as_str().unwrap());
    client.chat(&hello("lab/plain")).await.expect(200);
    for prefix in ["/v1", "/api/v1"] {
        let credits = tollgate_tests::wait::until("the credits", tollgate_tests::wait::SOON, async || {
            let credits = client.get(&format!("{prefix}/credits")).await.expect(200).json();
            (nano_of_number(&credits["data"]["total_usage"]) > 0).then_some(credits)
        })
        .await;
        assert_eq!(nano_of_number(&credits["data"]["total_credits"]), 1_000_000_000, "{credits}");
        assert_eq!(nano_of_number(&credits["data"]["total_usage"]), COST(), "{credits}");
        let shown = client.get(&format!("{prefix}/key")).await.expect(200).json();
        assert_eq!(nano_of_number(&shown["data"]["usage"]), COST(), "{shown:#}");
        assert_eq!(nano_of_number(&shown["data"]["limit"]), 500_000_000, "{shown:#}");
        assert_eq!(nano_of_number(&shown["data"]["limit_remaining"]), 500_000_000 - COST(), "{shown:#}");
        assert!(!shown.to_string().contains(key["key"].as_str().unwrap()), "the key's text came back");
    }
    house.client(0, "").get("/v1/credits").await.expect(401);
}
