//! What one connection keeps and when it is ended, with time handed in.

use domain::ids::{BootEpoch, KeyId, Revision};
use domain::pools::PoolId;
use domain::snapshot::{Kind, Refusal};
use domain::time::Timestamp;
use link::feed::{Feed, Frame};
use store::revisions::{ChangePage, Named};

use crate::sync::connection::{Connection, End, Heard, part_nonce};
use crate::sync::flights::Flights;
use crate::sync::publisher::Published;

fn connection() -> Connection {
    let now = Timestamp::from_us(1);
    let row = store::fleet::Proxy {
        proxy: "edge-1".parse().unwrap(),
        controller: "one".to_owned(),
        epoch: BootEpoch(1),
        connected_since: now,
        revision: Revision(0),
        refused: Vec::new(),
        build: String::new(),
        region: String::new(),
        last_seen: now,
    };
    Connection::new(row, Feed::new(Revision(0)), Flights::default(), Revision(0))
}

fn change(revision: u64, name: &str, urgent: bool) -> Published {
    let named =
        Named { revision: Revision(revision), kind: Kind::Endpoint, name: name.to_owned(), urgent, removed: false };
    Published::new(ChangePage { changes: vec![named], through: Revision(revision), more: false })
}

fn heard(nonce: u64, revision: u64, refused: &[&str]) -> Heard {
    let refusals = refused.iter().map(|name| Refusal {
        kind: Kind::Endpoint,
        name: (*name).to_owned(),
        reason: "unknown dialect".to_owned(),
    });
    Heard { nonce, revision: Revision(revision), refusals: refusals.collect(), ok: true }
}

fn nonces(connection: &Connection, now_ms: u64) -> Vec<u64> {
    let frames = connection.take(true, now_ms).frames;
    frames.iter().filter_map(|frame| if let Frame::Delta { nonce, .. } = frame { Some(*nonce) } else { None }).collect()
}

#[test]
fn a_proxy_that_leaves_a_delta_unanswered_for_a_minute_is_slow() {
    let connection = connection();
    connection.mark(&change(1, "a/b@c", true), 0);
    assert_eq!(nonces(&connection, 0), [1]);
    assert!(!connection.is_slow(59_999));
    assert!(connection.is_slow(60_000));
    connection.heard(heard(1, 0, &[]), Timestamp::from_us(2));
    assert!(!connection.is_slow(60_000));
}

#[tokio::test]
async fn a_proxy_that_cannot_be_told_of_all_pools_must_connect_again() {
    let connection = connection();
    let pools: Vec<PoolId> = (0..8_192).map(|number| PoolId::Tokens(KeyId::new(1, number))).collect();
    connection.pool_event(&pools);
    connection.pool_event(&pools);
    assert!(futures_util::FutureExt::now_or_never(connection.over()).is_none());
    connection.pool_event(&[PoolId::Tokens(KeyId::new(2, 0))]);
    assert_eq!(connection.over().await, End::Slow);
}

#[test]
fn news_wait_while_the_proxy_has_not_taken_the_last() {
    let connection = connection();
    let pool = PoolId::Tokens(KeyId::new(1, 1));
    connection.recall(&[(pool, 5)]);
    connection.recall(&[(pool, 3)]);
    connection.pool_event(&[pool, pool]);
    let held = connection.take(false, 0);
    assert!(held.recalls.is_empty() && held.events.is_empty());
    let taken = connection.take(true, 0);
    assert_eq!((taken.recalls, taken.events), (vec![(pool, 3)], vec![pool]));
    assert!(connection.take(true, 0).recalls.is_empty());
}

#[test]
fn a_refusal_is_shown_until_its_resource_is_applied_or_a_whole_state_is_in() {
    let connection = connection();
    let names = |connection: &Connection| {
        let refused = connection.row().refused;
        refused.into_iter().map(|refusal| refusal.name).collect::<Vec<_>>()
    };
    connection.mark(&change(1, "a/b@c", false), 0);
    assert_eq!(nonces(&connection, 100), [1]);
    connection.heard(heard(1, 1, &["a/b@c"]), Timestamp::from_us(2));
    assert_eq!(names(&connection), ["a/b@c"]);
    connection.heard(heard(0, 1, &[]), Timestamp::from_us(2));
    assert_eq!(names(&connection), ["a/b@c"], "a word about the revision says nothing about refusals");
    connection.mark(&change(2, "a/b@c", false), 200);
    assert_eq!(nonces(&connection, 300), [2]);
    connection.heard(heard(2, 2, &[]), Timestamp::from_us(3));
    assert!(names(&connection).is_empty());
    connection.mark(&change(3, "a/b@c", false), 400);
    assert_eq!(nonces(&connection, 500), [3]);
    connection.heard(heard(3, 3, &["a/b@c"]), Timestamp::from_us(4));
    connection.resync(Revision(3));
    assert!(matches!(connection.take(true, 600).frames[..], [Frame::Resync { .. }]));
    connection.heard(heard(0, 3, &["d/e@f"]), Timestamp::from_us(5));
    assert_eq!(names(&connection), ["d/e@f"]);
}

#[test]
fn a_row_is_written_once_for_each_change() {
    let connection = connection();
    assert!(connection.take_unwritten().is_some());
    assert!(connection.take_unwritten().is_none());
    connection.heard(heard(0, 7, &[]), Timestamp::from_us(9));
    let row = connection.take_unwritten().unwrap();
    assert_eq!((row.revision, row.last_seen), (Revision(7), Timestamp::from_us(9)));
}

#[test]
fn answers_that_overtake_each_other_do_not_move_a_proxy_back() {
    let connection = connection();
    connection.mark(&change(1, "a/b@c", true), 0);
    connection.mark(&change(2, "d/e@f", false), 0);
    assert_eq!(nonces(&connection, 100), [1, 2]);
    connection.heard(heard(2, 2, &[]), Timestamp::from_us(2));
    connection.heard(heard(1, 0, &[]), Timestamp::from_us(3));
    assert_eq!(connection.row().revision, Revision(2));
    connection.heard(heard(0, 1, &[]), Timestamp::from_us(4));
    assert_eq!(connection.row().revision, Revision(1), "a whole state that was forced may be older");
}

#[test]
fn a_frame_without_one_of_its_parts_brings_a_whole_state_and_a_refused_whole_state_does_not() {
    let connection = connection();
    let refused = |nonce| Heard { ok: false, ..heard(nonce, 0, &[]) };
    connection.heard(refused(0), Timestamp::from_us(2));
    connection.heard(refused(9), Timestamp::from_us(2));
    assert!(connection.take(true, 100).frames.is_empty());
    connection.heard(refused(part_nonce(9, 0)), Timestamp::from_us(3));
    assert!(matches!(connection.take(true, 200).frames[..], [Frame::Resync { .. }]));
}
