//! Keys: what takes a right away takes it away everywhere, and soon.

use std::time::{Duration, Instant};

use proto::admin::Limits;
use serde_json::json;
use tollgate_tests::actors::{Key, Org};
use tollgate_tests::clients::{Ask, Client};
use tollgate_tests::house::{House, Setup};
use tollgate_tests::progress::Progress;
use tollgate_tests::{rounds, wait};

use crate::load::{Load, percentile};
use crate::openai::{hello, scripted};

const FIRST_REFUSAL_P99: Duration = Duration::from_millis(300);
const NO_ACCEPTANCE_AFTER: Duration = Duration::from_secs(1);

async fn status(client: &Client) -> u16 {
    client.chat(&hello("lab/plain")).await.status
}

#[tokio::test]
async fn a_new_key_works_at_once_everywhere() {
    let house = House::up(Setup { proxies: 3, ..Setup::default() }).await;
    let org = house.org("1.00").await;
    for client in house.clients(&org.key) {
        assert_eq!(status(&client).await, 200);
    }
}

#[tokio::test]
async fn a_revoked_key_stops_working_everywhere() {
    let house = House::up(Setup { proxies: 3, ..Setup::default() }).await;
    let org = house.org("1.00").await;
    let made = house.admin(&["keys", "create", "--org", &org.id, "--name", "short-lived"]).await;
    let clients = house.clients(made["key"].as_str().unwrap());
    for client in &clients {
        assert_eq!(status(client).await, 200);
    }
    let revoked = house.admin(&["keys", "revoke", made["id"].as_str().unwrap(), "--wait"]).await;
    assert_eq!(revoked["id"], made["id"]);
    assert!(revoked["revision"].as_u64().is_some_and(|revision| revision > 0), "{revoked}");
    for client in &clients {
        let reply = client.chat(&hello("lab/plain")).await.expect(401);
        assert_eq!(reply.code(), "invalid_api_key");
    }
    wait::until_true("the fleet list shows it", wait::SOON, async || {
        let fleet = house.admin(&["fleet", "list"]).await;
        fleet.as_array().unwrap().iter().all(|proxy| proxy["revision"].as_u64() >= revoked["revision"].as_u64())
    })
    .await;
    for client in house.clients(&org.key) {
        assert_eq!(status(&client).await, 200, "another key of the organisation stopped working");
    }
}

/// When each proxy first refused the key, counted from the admin's answer.
async fn refused_after(doors: &[Client], key: &Key, answered: Instant) -> Vec<Duration> {
    let watch = doors.iter().map(|door| {
        let client = door.with_key(&key.text);
        tokio::spawn(async move {
            let mut line = client.line();
            loop {
                let reply = line.send(Ask::get("/v1/key")).await.unwrap();
                let now = answered.elapsed();
                match reply.status {
                    401 => return now,
                    200 => assert!(now < NO_ACCEPTANCE_AFTER, "accepted {now:?} after the revocation"),
                    status => panic!("{status}: {}", reply.text()),
                }
            }
        })
    });
    let mut times = Vec::new();
    for task in watch.collect::<Vec<_>>() {
        times.push(task.await.unwrap());
    }
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocations_are_seen_within_moments_under_load() {
    let house = House::up(Setup { proxies: 3, ..Setup::default() }).await;
    let operator = house.operator().await;
    let org = operator.org("100.00").await;
    let count = rounds(50, 1_000);
    let mut keys = Vec::new();
    for _ in 0..count {
        keys.push(operator.key(&org.id, Limits::default()).await);
    }
    let doors = house.clients(&org.key);
    let load = Load::start(&doors, 2, |_| hello("lab/plain"));
    load.more(20).await;
    let (mut times, mut progress) = (Vec::new(), Progress::of("revocations"));
    for (at, key) in keys.iter().enumerate() {
        progress.at(at, count);
        operator.revoke(&key.id).await;
        times.extend(refused_after(&doors, key, Instant::now()).await);
    }
    let fates = load.stop().await;
    assert!(fates.iter().all(|fate| fate.status == 200), "{:?}", fates.iter().find(|fate| fate.status != 200));
    let (p50, p99, max) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99), percentile(&mut times, 1.0));
    println!(
        "{count} revocations over 3 proxies beside {} requests: first refusal p50 {p50:?}, p99 {p99:?}, max {max:?}",
        fates.len()
    );
    assert!(p99 <= FIRST_REFUSAL_P99, "p99 {p99:?}");
    assert!(max <= NO_ACCEPTANCE_AFTER, "max {max:?}");
}

#[tokio::test]
async fn a_disabled_key_comes_back_and_a_revoked_one_does_not() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    house.admin(&["keys", "disable", &org.key_id]).await;
    assert_eq!(status(&client).await, 401);
    house.admin(&["keys", "update", &org.key_id, "--enable"]).await;
    assert_eq!(status(&client).await, 200);
    house.admin(&["keys", "revoke", &org.key_id]).await;
    assert_eq!(status(&client).await, 401);
    let said = house.run(&["admin", "keys", "update", &org.key_id, "--enable"]).await;
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(status(&client).await, 401);
}

#[tokio::test]
async fn a_rotated_key_has_one_text_that_works() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let rotated = house.admin(&["keys", "rotate", &org.key_id]).await;
    assert_eq!(rotated["id"], org.key_id);
    assert_eq!(status(&house.client(0, &org.key)).await, 401);
    assert_eq!(status(&house.client(0, rotated["key"].as_str().unwrap())).await, 200);
}

/// RFC 3339, so many seconds from now.
#[expect(
    clippy::disallowed_methods,
    reason = "the product under test has a clock of its own, and it is this machine's"
)]
fn seconds_from_now(seconds: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    jiff::Timestamp::from_second(i64::try_from(now + seconds).unwrap()).unwrap().to_string()
}

/// The text of a key whose time is over.
pub async fn expired(house: &House, org: &Org) -> String {
    let made =
        house.admin(&["keys", "create", "--org", &org.id, "--name", "old", "--expires", &seconds_from_now(2)]).await;
    let text = made["key"].as_str().unwrap().to_owned();
    let client = house.client(0, &text);
    wait::until_true("the key expires", wait::SOON, async || client.get("/v1/models").await.status == 401).await;
    text
}

#[tokio::test]
async fn a_key_expires_at_its_time() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let made =
        house.admin(&["keys", "create", "--org", &org.id, "--name", "short", "--expires", &seconds_from_now(4)]).await;
    let (id, client) = (made["id"].as_str().unwrap(), house.client(0, made["key"].as_str().unwrap()));
    assert_eq!(status(&client).await, 200);
    wait::until_true("the key expires", wait::SOON, async || status(&client).await == 401).await;
    house.admin(&["keys", "update", id, "--expires", "2999-01-01T00:00:00Z"]).await;
    assert_eq!(status(&client).await, 200);
    house.admin(&["keys", "update", id, "--expires", &seconds_from_now(2)]).await;
    wait::until_true("the key expires again", wait::SOON, async || status(&client).await == 401).await;
    house.admin(&["keys", "update", id, "--expires", "never"]).await;
    assert_eq!(status(&client).await, 200);
    let past = house
        .run(&["admin", "keys", "create", "--org", &org.id, "--name", "past", "--expires", "2020-01-01T00:00:00Z"])
        .await;
    assert_eq!(past.code, 1, "a key that was never good: {past:?}");
}

#[tokio::test]
async fn a_raised_budget_is_of_use_at_once() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let made = house.admin(&["keys", "create", "--org", &org.id, "--name", "thrifty", "--limit", "0.000000001"]).await;
    let client = house.client(0, made["key"].as_str().unwrap());
    assert_eq!(status(&client).await, 403);
    house.admin(&["keys", "update", made["id"].as_str().unwrap(), "--limit", "0.50", "--reset", "monthly"]).await;
    wait::until_true("the raised budget works", Duration::from_secs(1), async || status(&client).await == 200).await;
    house.admin(&["keys", "update", made["id"].as_str().unwrap(), "--no-limits"]).await;
    assert_eq!(status(&client).await, 200);
}

#[tokio::test]
async fn a_frozen_organisation_is_refused_until_it_thaws() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    house.admin(&["orgs", "update", &org.id, "--freeze"]).await;
    assert_eq!(client.chat(&hello("lab/plain")).await.expect(403).code(), "organization_frozen");
    house.admin(&["orgs", "update", &org.id, "--thaw"]).await;
    wait::until_true("the thawed organisation is served", wait::SOON, async || status(&client).await == 200).await;
}

#[tokio::test]
async fn a_disabled_provider_gets_no_more_requests() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let solo = house.solo();
    client.chat(&hello(&solo.model)).await.expect(200);
    house.admin(&["providers", "disable", &solo.provider]).await;
    let reply = client.chat(&hello(&solo.model)).await.expect(404);
    assert_eq!(reply.code(), "no_endpoints");
    house.admin(&["providers", "enable", &solo.provider]).await;
    wait::until_true("the provider is back", wait::SOON, async || client.chat(&hello(&solo.model)).await.status == 200)
        .await;
}

#[tokio::test]
async fn a_requests_snapshot_does_not_change_under_it() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let gate = tollgate_tests::fake::Gate::default();
    let tag = house.fake.script(tollgate_tests::fake::Answer::of(12, 4).gated(&gate));
    let mut body = scripted("lab/plain", &tag);
    body["stream"] = json!(true);
    gate.let_through(1);
    let mut stream = house.client(0, &org.key).stream(&body).await;
    stream.next_content().await;
    house.admin(&["keys", "revoke", &org.key_id, "--wait"]).await;
    gate.open();
    let told = stream.rest().await;
    assert!(told.is_done() && told.is_clean, "a stream that was admitted was cut by a revocation");
}
