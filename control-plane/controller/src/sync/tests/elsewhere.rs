//! Two controllers on one PostgreSQL database: the server that `TOLLGATE_TEST_POSTGRES` names (a URL whose user may
//! create databases; `psql` makes one for each case). Without it these are left out, and a line says so.

use std::process::Command;
use std::time::Duration;

use domain::audit::Actor;
use domain::keys::Policy;
use domain::limits::Rate;
use domain::pools::PoolId;
use proto::sync as wire;
use tonic::Code;

use super::house::{Came, Edge, House, PATIENCE};
use super::recalled_lease;
use crate::access::installation_scope;
use crate::sync::fleet::everywhere;

const SERVER: &str = "TOLLGATE_TEST_POSTGRES";

/// A database of its own, dropped at the end.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    pub fn make() -> Option<Database> {
        let Ok(server) = std::env::var(SERVER) else {
            eprintln!("{SERVER} is not set: PostgreSQL is left out");
            return None;
        };
        let database = Database { server, name: format!("tollgate_sync_{:016x}", rand::random::<u64>()) };
        database.say(&format!("create database {}", database.name));
        Some(database)
    }

    pub fn url(&self) -> String {
        let (base, _) = self.server.rsplit_once('/').unwrap();
        format!("{base}/{}", self.name)
    }

    fn say(&self, statement: &str) {
        let said = Command::new("psql").args([&self.server, "-q", "-c", statement]).status().unwrap();
        assert!(said.success(), "{statement}");
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.say(&format!("drop database {} with (force)", self.name));
    }
}

/// Two controllers, and a proxy of the second one that the first one has heard of.
async fn two(database: &Database) -> (House, House, Edge) {
    let (one, other) = (House::start_on(&database.url()).await, House::start_on(&database.url()).await);
    let edge = Edge::whole(&other, "edge-1", 3).await;
    let heard = async {
        while !one.app.fleet.is_connected(&edge.id) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("the other controller's proxy was not seen");
    (one, other, edge)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_at_one_controller_waits_for_the_proxies_of_another() {
    let Some(database) = Database::make() else { return };
    let (one, _other, mut edge) = two(&database).await;
    assert_eq!(everywhere(&one.app).await.unwrap().len(), 1);
    assert_eq!(one.app.fleet.active(), 1);
    edge.acks = false;
    let org = one.org().await;
    let (keys, revision) = one.keys(org, "key", 1, &Policy::default()).await;
    let mut nonces = Vec::new();
    while !edge.knows(&keys[0], &one) {
        if let Came::Delta { nonce, .. } = edge.next().await.unwrap() {
            nonces.push(nonce);
        }
    }
    assert_eq!(one.app.fleet.applied(revision, Duration::from_millis(300)).await, ["edge-1"]);
    for nonce in nonces {
        edge.ack(nonce, "").await;
    }
    assert!(one.app.fleet.applied(revision, PATIENCE).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn recalls_and_credits_of_one_controller_reach_the_proxies_of_another() {
    let Some(database) = Database::make() else { return };
    let (one, _other, mut edge) = two(&database).await;
    let pool = recalled_lease(&one, &edge).await.to_string();
    let (mut recalled, mut told) = (false, false);
    while !(recalled && told) {
        match edge.next().await.unwrap() {
            Came::Recall(pools) => recalled |= pools == [(pool.clone(), 25)],
            Came::PoolEvent(pools) => told |= pools == [pool.clone()],
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_limits_at_one_controller_are_news_to_the_proxies_of_another() {
    let Some(database) = Database::make() else { return };
    let (one, _other, mut edge) = two(&database).await;
    let org = one.org().await;
    let (mut keys, _) = one.keys(org, "key", 1, &Policy::default()).await;
    let mut key = keys.remove(0);
    key.policy.requests = Some(Rate::per_minute(60));
    let mut edit = one.app.store.edit(Actor::Root, one.app.now()).await.unwrap();
    store::keys::update(&mut edit, installation_scope(), &key).await.unwrap();
    edit.commit().await.unwrap();
    let event = Came::PoolEvent(vec![PoolId::Requests(key.id).to_string()]);
    while edge.next().await.unwrap() != event {}
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_handed_out_by_any_controller() {
    let Some(database) = Database::make() else { return };
    let (one, _other, _edge) = two(&database).await;
    let boot_key = runtime::seal::BootKey::generate().public_key().to_vec();
    let request = |boot_epoch| wire::SecretsRequest {
        proxy_id: "edge-1".to_owned(),
        boot_epoch,
        boot_key: boot_key.clone().into(),
        providers: vec!["nobody".to_owned()],
    };
    let mut client = one.client().await;
    assert!(client.secrets(request(3)).await.unwrap().into_inner().secrets.is_empty());
    assert_eq!(client.secrets(request(4)).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_controllers_proxy_met_the_other_controller_knows() {
    let Some(database) = Database::make() else { return };
    let (one, other, mut edge) = two(&database).await;
    let cooling = |left_ms| wire::Cooling {
        provider: "acme".to_owned(),
        credential_version: 1,
        upstream_model: "m".to_owned(),
        left_ms,
    };
    let begun = std::time::Instant::now();
    edge.observe(wire::Observations { coolings: vec![cooling(60_000)], ..wire::Observations::default() }).await;
    let cools = |house: &House| house.app.health.coolings(crate::health::now_ms(&house.app));
    let known = async {
        while cools(&one).is_empty() || cools(&other).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.expect("the other controller was not told");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let left = cools(&one)[0].1;
    assert!((55_000..=60_000).contains(&left), "{left}");
}
