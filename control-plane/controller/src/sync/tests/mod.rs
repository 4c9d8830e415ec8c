//! Promises of the proxy-facing side, kept over real sockets with a real database.

mod calls;
mod connection;
mod elsewhere;
pub(crate) mod house;
mod reports;
mod silence;

use std::time::Duration;

use domain::audit::Actor;
use domain::ids::{BootEpoch, Revision};
use domain::keys::Policy;
use domain::money::Money;
use domain::pools::PoolId;
use domain::snapshot::Snapshot;
use house::{Came, Edge, House, PATIENCE};
use proto::sync as wire;
use store::Whose;
use tonic::Code;

use crate::access::installation_scope;

const AT_ONCE: Duration = Duration::ZERO;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_proxy_gets_everything_and_then_what_changes() {
    let house = House::start().await;
    let org = house.org().await;
    let (before, _) = house.keys(org, "before", 3, &Policy::default()).await;
    let mut edge = Edge::whole(&house, "edge-1", 1).await;
    assert!(before.iter().all(|key| edge.knows(key, &house)));
    let (after, revision) = house.keys(org, "after", 2, &Policy::default()).await;
    edge.until(|snapshot| snapshot.revision() >= revision).await;
    assert!(after.iter().all(|key| edge.knows(key, &house)));
    assert!(house.app.fleet.applied(revision, PATIENCE).await.is_empty());
    assert_eq!(house.app.fleet.head(), revision);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_arrives_on_the_urgent_lane_and_counts_as_applied_at_once() {
    let house = House::start().await;
    let org = house.org().await;
    let (keys, _) = house.keys(org, "key", 2, &Policy::default()).await;
    let mut edge = Edge::whole(&house, "edge-1", 1).await;
    let revision = house.revoke(&keys[0]).await;
    assert_eq!(edge.next().await.unwrap(), Came::Delta { nonce: 1, urgent: true, changes: 1 });
    assert!(!edge.knows(&keys[0], &house) && edge.knows(&keys[1], &house));
    assert!(edge.replica.snapshot().revision() < revision, "the urgent lane does not move the revision");
    assert!(house.app.fleet.applied(revision, PATIENCE).await.is_empty());
    edge.until(|snapshot| snapshot.revision() >= revision).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_resumes_from_what_it_has() {
    let house = House::start().await;
    let org = house.org().await;
    let (old, _) = house.keys(org, "old", 600, &Policy::default()).await;
    let first = Edge::whole(&house, "edge-1", 1).await;
    let had = first.replica.snapshot().clone();
    drop(first);
    house.revoke(&old[7]).await;
    let (new, revision) = house.keys(org, "new", 1, &Policy::default()).await;
    let mut second = Edge::connect(&house, "edge-1", 2, had).await;
    let mut changes = 0;
    while second.replica.snapshot().revision() < revision {
        match second.next().await.unwrap() {
            Came::Delta { changes: more, .. } => changes += more,
            other => panic!("{other:?} where only deltas are due"),
        }
    }
    assert_eq!(changes, 2);
    assert!(second.knows(&new[0], &house) && !second.knows(&old[7], &house));
    assert_eq!(second.replica.snapshot().key_count(), 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_another_database_starts_over() {
    let house = House::start().await;
    house.org().await;
    let (strange, _) = Snapshot::default().apply(Revision(1_000), Vec::new());
    let mut edge = Edge::connect(&house, "edge-1", 1, strange).await;
    // A replica takes an older state only by force; here it is enough that one is due.
    edge.replica = link::replica::Replica::new(Snapshot::default());
    assert_eq!(edge.next().await.unwrap(), Came::Resync);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_delta_brings_a_whole_state() {
    let house = House::start().await;
    let org = house.org().await;
    let mut edge = Edge::whole(&house, "edge-1", 1).await;
    edge.acks = false;
    let (_, revision) = house.keys(org, "key", 1, &Policy::default()).await;
    let Came::Delta { nonce, .. } = edge.next().await.unwrap() else { panic!("a delta is due") };
    edge.replica = link::replica::Replica::new(Snapshot::default());
    edge.ack(nonce, "it looks insane").await;
    assert_eq!(edge.next().await.unwrap(), Came::Resync);
    assert!(edge.replica.snapshot().revision() >= revision);
    assert!(house.app.fleet.applied(revision, PATIENCE).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_proxy_gets_two_bulk_frames_and_every_revocation() {
    let house = House::start().await;
    let org = house.org().await;
    let mut edge = Edge::whole(&house, "edge-1", 1).await;
    edge.acks = false;
    let (keys, revision) = house.keys(org, "key", 2_000, &Policy::default()).await;
    for nonce in [1, 2] {
        assert_eq!(edge.next().await.unwrap(), Came::Delta { nonce, urgent: false, changes: 256 });
    }
    house.revoke(&keys[3]).await;
    assert_eq!(edge.next().await.unwrap(), Came::Delta { nonce: 3, urgent: true, changes: 1 });
    assert_eq!(house.app.fleet.applied(revision, AT_ONCE).await, ["edge-1"]);
    edge.acks = true;
    for nonce in [1, 2, 3] {
        edge.ack(nonce, "").await;
    }
    edge.until(|snapshot| snapshot.revision() > revision).await;
    assert_eq!(edge.replica.snapshot().key_count(), 1_999);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_large_rows_is_sent_in_parts_that_fit() {
    let house = House::start().await;
    let org = house.org().await;
    let mut edge = Edge::whole(&house, "edge-1", 1).await;
    let patterns: Vec<String> = (0..100).map(|number| format!("author-{number}/some-model-name-*")).collect();
    let policy = Policy { allow_models: patterns, ..Policy::default() };
    let (keys, revision) = house.keys(org, "key", 300, &policy).await;
    // Every message's size is looked at as it comes.
    edge.until(|snapshot| snapshot.revision() >= revision).await;
    assert!(keys.iter().all(|key| edge.knows(key, &house)));
    assert!(house.app.fleet.applied(revision, PATIENCE).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_when_the_last_proxy_has_applied_it() {
    let house = House::start().await;
    let org = house.org().await;
    let mut quick = Edge::whole(&house, "quick", 1).await;
    let mut late = Edge::whole(&house, "late", 1).await;
    late.acks = false;
    let (_, revision) = house.keys(org, "key", 1, &Policy::default()).await;
    quick.until(|snapshot| snapshot.revision() >= revision).await;
    let Came::Delta { nonce, .. } = late.next().await.unwrap() else { panic!("a delta is due") };
    let short = Duration::from_millis(50);
    assert_eq!(house.app.fleet.applied(revision, short).await, ["late"]);
    let app = house.app.clone();
    let waiting = tokio::spawn(async move { app.fleet.applied(revision, PATIENCE).await });
    late.ack(nonce, "").await;
    assert!(waiting.await.unwrap().is_empty());
    let (_, next) = house.keys(org, "more", 1, &Policy::default()).await;
    quick.until(|snapshot| snapshot.revision() >= next).await;
    drop(late);
    assert!(house.app.fleet.applied(next, PATIENCE).await.is_empty(), "a proxy that left is not waited for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_life_of_a_proxy_takes_the_place_of_the_older() {
    let house = House::start().await;
    house.org().await;
    let mut old = Edge::whole(&house, "edge-1", 5).await;
    let _new = Edge::whole(&house, "edge-1", 6).await;
    assert_eq!(old.next().await.unwrap_err().code(), Code::Aborted);
    let mut late = Edge::connect(&house, "edge-1", 5, Snapshot::default()).await;
    assert_eq!(late.next().await.unwrap_err().code(), Code::FailedPrecondition);
    let epochs: Vec<BootEpoch> = house.app.fleet.list().iter().map(|row| row.epoch).collect();
    assert_eq!((epochs, house.app.fleet.active()), (vec![BootEpoch(6)], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_must_begin_with_a_hello_of_a_known_schema() {
    let house = House::start().await;
    let hello = wire::Hello { proxy_id: "edge-1".to_owned(), schema: 99, ..wire::Hello::default() };
    let ack = wire::watch_request::Message::Ack(wire::Ack::default());
    let cases = [(wire::watch_request::Message::Hello(hello), Code::FailedPrecondition), (ack, Code::InvalidArgument)];
    for (first, code) in cases {
        let first = tokio_stream::iter([wire::WatchRequest { message: Some(first) }]);
        let mut answer = house.client().await.watch(first).await.unwrap().into_inner();
        assert_eq!(answer.message().await.unwrap_err().code(), code);
    }
    assert!(house.app.fleet.list().is_empty());
}

/// Lends to a proxy, then marks the lease for recall.
async fn recalled_lease(house: &House, edge: &Edge) -> PoolId {
    let org = house.org().await;
    let pool = PoolId::Credits(org);
    let now = house.app.now();
    let store::Once::New(mut grant) = house.app.store.post_once(Actor::Root, "grant", now).await.unwrap() else {
        panic!("it is the first grant");
    };
    grant.orgs(installation_scope(), &[org]).await.unwrap();
    grant.grant(org, "test", Money::from_nano(1_000)).unwrap();
    grant.commit().await.unwrap();
    for recall in [false, true] {
        let mut posting = house.app.store.post(Actor::Task("test"), now).await.unwrap();
        posting.mark(&edge.id, edge.epoch).await.unwrap();
        posting.pools(&[pool], Whose::All(&edge.id, edge.epoch)).await.unwrap();
        if recall {
            posting.recall(pool, &edge.id, edge.epoch, Some(Money::from_nano(25))).unwrap();
        } else {
            posting.lend(pool, &edge.id, edge.epoch, Money::from_nano(100)).unwrap();
        }
        posting.commit().await.unwrap();
    }
    pool
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_reaches_the_proxy_and_is_repeated_when_it_connects_again() {
    let house = House::start().await;
    let mut edge = Edge::whole(&house, "edge-1", 1).await;
    let pool = recalled_lease(&house, &edge).await.to_string();
    let recall = Came::Recall(vec![(pool, 25)]);
    while edge.next().await.unwrap() != recall {}
    let had = edge.replica.snapshot().clone();
    drop(edge);
    let mut again = Edge::connect(&house, "edge-1", 1, had).await;
    while again.next().await.unwrap() != recall {}
}

#[tokio::test(flavor = "multi_thread")]
async fn news_of_pools_reach_every_proxy() {
    let house = House::start().await;
    let (mut one, mut two) = (Edge::whole(&house, "one", 1).await, Edge::whole(&house, "two", 1).await);
    // A grant of credits says so by itself.
    let pool = recalled_lease(&house, &one).await.to_string();
    for edge in [&mut one, &mut two] {
        let event = Came::PoolEvent(vec![pool.clone()]);
        while edge.next().await.unwrap() != event {}
    }
    let direct = PoolId::Requests(domain::ids::KeyId::new(1, 2));
    house.app.fleet.pool_event(&[direct]);
    house.app.fleet.recall(&two.id, &[(direct, 3)]);
    while two.next().await.unwrap() != Came::Recall(vec![(direct.to_string(), 3)]) {}
    while one.next().await.unwrap() != Came::PoolEvent(vec![direct.to_string()]) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_has_a_row_for_each_connected_proxy_and_none_for_one_that_left() {
    let house = House::start().await;
    let edge = Edge::whole(&house, "edge-1", 9).await;
    let rows = async |count: usize| {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        loop {
            look.tick().await;
            let rows = store::fleet::list(&house.app.store).await.unwrap();
            if rows.len() == count {
                return rows;
            }
        }
    };
    let row = tokio::time::timeout(PATIENCE, rows(1)).await.unwrap().remove(0);
    assert_eq!((row.proxy.as_str(), row.epoch, row.build.as_str()), ("edge-1", BootEpoch(9), "test"));
    assert_eq!(row.controller, house.app.name);
    drop(edge);
    tokio::time::timeout(PATIENCE, rows(0)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_stops_sends_its_proxies_away() {
    let house = House::start().await;
    let mut edge = Edge::whole(&house, "edge-1", 1).await;
    house.app.fleet.close();
    let end = edge.next().await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
    assert!(end.metadata().contains_key("retry-after-ms"));
    let mut again = Edge::connect(&house, "edge-1", 2, Snapshot::default()).await;
    assert_eq!(again.next().await.unwrap_err().code(), Code::Unavailable);
    assert!(house.tasks.join(PATIENCE).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_let_in_a_few_at_a_time() {
    let house = House::start().await;
    let second = house.app.clock.monotonic().as_secs() + 60;
    let admitted = (0..200).filter(|_| house.app.fleet.admit(second)).count();
    assert_eq!(admitted, 50);
    assert!(house.app.fleet.admit(second + 1));
}

/// How long a revocation takes to three proxies with many keys. Run by hand for the figure.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints a figure"]
async fn revocations_are_quick() {
    let house = House::start().await;
    let org = house.org().await;
    let (keys, _) = house.keys(org, "key", 20_000, &Policy::default()).await;
    let mut edges = Vec::new();
    for name in ["one", "two", "three"] {
        edges.push(Edge::whole(&house, name, 1).await);
    }
    let mut took = Vec::new();
    for key in keys.iter().take(1_000) {
        let revision = house.revoke(key).await;
        let committed = std::time::Instant::now();
        for edge in &mut edges {
            edge.until(|snapshot| snapshot.caller(&key.digest, house.app.now()).is_none()).await;
        }
        took.push(committed.elapsed());
        assert!(house.app.fleet.applied(revision, PATIENCE).await.is_empty());
    }
    took.sort();
    println!("from the commit to the third proxy: median {:?}, p99 {:?}, worst {:?}", took[500], took[990], took[999]);
    assert!(took[990] < Duration::from_millis(300));
}
