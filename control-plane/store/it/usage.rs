//! Usage records: booked once, found again, summed per key.

use std::collections::BTreeMap;

use domain::ids::{OrgScope, RequestId};
use domain::keys::Key;
use domain::money::Money;
use domain::pools::PoolId;
use domain::time::Timestamp;
use domain::usage::{Outcome, Trail, UsageRecord};
use store::usage::{self, Booked, Query};
use store::{Error, Whose};

use crate::books::everything_adds_up;
use crate::ground::Ground;
use crate::samples::{self, ALL, EPOCH, NOW, nano, usd};

on_both_engines!(
    a_record_comes_back_as_it_was_booked,
    records_are_listed_newest_first_in_pages,
    a_record_is_found_by_either_id_within_its_organisation,
    a_key_knows_what_it_spent,
    a_batch_is_booked_whole_or_not_at_all,
    a_replayed_batch_is_stopped_by_the_mark,
    free_outcomes_are_written_off,
    organisations_with_records_are_found_one_after_the_other,
);

fn query(org: domain::ids::OrgId) -> Query {
    Query { org, key: None, since: None, before: None, limit: 100 }
}

async fn a_record_comes_back_as_it_was_booked(ground: &Ground) {
    let (org, key) = samples::funded(&ground.store, 1, usd(10)).await;
    let proxy = samples::proxy("edge-1");
    let full = samples::record(1, &key, nano(412_500));
    let bare = UsageRecord {
        model: None,
        provider: None,
        endpoint: None,
        ttft_ms: None,
        dialect_out: "".into(),
        upstream_id: String::new(),
        requested_model: "odd \0 name".into(),
        outcome: Outcome::ClientLeftEarly,
        status: 0,
        trail: Trail::default(),
        ..samples::record(2, &key, Money::ZERO)
    };
    samples::ingest(&ground.store, &proxy, 1, &[full.clone(), bare.clone()]).await;
    let listed = usage::list(&ground.store, ALL(), &query(org.id)).await.unwrap();
    let booked = |sequence: u64, record: UsageRecord| Booked {
        record,
        proxy: proxy.clone(),
        epoch: EPOCH,
        sequence,
        recorded_at: NOW,
    };
    let bare = UsageRecord { requested_model: "odd \u{fffd} name".into(), ..bare };
    assert_eq!(listed, [booked(2, bare), booked(1, full)]);
    everything_adds_up(ground).await;
}

async fn records_are_listed_newest_first_in_pages(ground: &Ground) {
    let (org, key) = samples::funded(&ground.store, 1, usd(10)).await;
    let other = samples::key(2, org.id);
    samples::insert_key(&ground.store, &other).await;
    // Three at the same moment: the request id decides.
    let at = |n: u128, key: &Key, us: i64| UsageRecord {
        started_at: Timestamp::from_us(us),
        ..samples::record(n, key, nano(1))
    };
    let records = [at(1, &key, 10), at(2, &key, 20), at(3, &other, 20), at(4, &key, 20), at(5, &key, 30)];
    samples::ingest(&ground.store, &samples::proxy("edge-1"), 1, &records).await;
    let ids = async |query: Query| -> Vec<u128> {
        let listed = usage::list(&ground.store, ALL(), &query).await.unwrap();
        listed.iter().map(|booked| booked.request.to_u128() & 0xff).collect()
    };
    assert_eq!(ids(query(org.id)).await, [5, 4, 3, 2, 1]);
    assert_eq!(ids(Query { limit: 2, ..query(org.id) }).await, [5, 4]);
    let before = Some((Timestamp::from_us(20), RequestId::new(3_000, 4)));
    assert_eq!(ids(Query { before, ..query(org.id) }).await, [3, 2, 1]);
    assert_eq!(ids(Query { since: Some(Timestamp::from_us(20)), ..query(org.id) }).await, [5, 4, 3, 2]);
    assert_eq!(ids(Query { key: Some(other.id), ..query(org.id) }).await, [3]);
    assert_eq!(ids(Query { key: Some(key.id), before, ..query(org.id) }).await, [2, 1]);
}

async fn a_record_is_found_by_either_id_within_its_organisation(ground: &Ground) {
    let (org, key) = samples::funded(&ground.store, 1, usd(10)).await;
    let (other, _) = samples::funded(&ground.store, 2, usd(10)).await;
    let silent = UsageRecord { upstream_id: String::new(), ..samples::record(2, &key, nano(1)) };
    let record = samples::record(1, &key, nano(1));
    samples::ingest(&ground.store, &samples::proxy("edge-1"), 1, &[record.clone(), silent]).await;
    for id in [record.request.to_string(), "chatcmpl-1".to_owned()] {
        let found = usage::find(&ground.store, ALL(), org.id, &id).await.unwrap();
        assert_eq!(found.map(|booked| booked.record), Some(record.clone()), "{id}");
        assert_eq!(usage::find(&ground.store, ALL(), other.id, &id).await.unwrap(), None, "{id}");
    }
    assert_eq!(usage::find(&ground.store, ALL(), org.id, "").await.unwrap(), None, "no id is nobody's id");
    let stranger = OrgScope::granted(other.id);
    let refused = usage::find(&ground.store, stranger, org.id, "chatcmpl-1").await;
    assert!(matches!(refused, Err(Error::NotFound { .. })));
    assert!(matches!(usage::list(&ground.store, stranger, &query(org.id)).await, Err(Error::NotFound { .. })));
}

async fn organisations_with_records_are_found_one_after_the_other(ground: &Ground) {
    let all = async |scope: OrgScope| {
        let mut found = Vec::new();
        while let Some(org) = usage::next_org(&ground.store, scope, found.last().copied()).await.unwrap() {
            found.push(org);
        }
        found
    };
    assert_eq!(all(ALL()).await, []);
    let (one, key) = samples::funded(&ground.store, 1, usd(10)).await;
    let (idle, _) = samples::funded(&ground.store, 2, usd(10)).await;
    let (other, others) = samples::funded(&ground.store, 3, usd(10)).await;
    let records =
        [samples::record(1, &key, nano(1)), samples::record(2, &others, nano(1)), samples::record(3, &key, nano(1))];
    samples::ingest(&ground.store, &samples::proxy("edge-1"), 1, &records).await;
    let mut expected = [one.id, other.id];
    expected.sort_by_key(ToString::to_string);
    assert_eq!(all(ALL()).await, expected);
    // Whoever may see one organisation alone is given that one.
    assert_eq!(all(OrgScope::granted(idle.id)).await, [idle.id]);
}

async fn a_key_knows_what_it_spent(ground: &Ground) {
    let (_, key) = samples::funded(&ground.store, 1, usd(10)).await;
    let at =
        |n: u128, text: &str| UsageRecord { started_at: text.parse().unwrap(), ..samples::record(n, &key, nano(10)) };
    let records = [
        at(1, "2026-11-21T00:00:00Z"),
        at(2, "2026-11-20T23:59:59.999999Z"),
        at(3, "2026-11-16T00:00:00Z"),
        at(4, "2026-11-15T12:00:00Z"),
        at(5, "2026-11-01T00:00:00Z"),
        at(6, "2026-10-31T12:00:00Z"),
    ];
    let proxy = samples::proxy("edge-1");
    samples::ingest(&ground.store, &proxy, 1, &records[..3]).await;
    samples::ingest(&ground.store, &proxy, 4, &records[3..]).await;
    let spent = usage::spent(&ground.store, ALL(), key.id, NOW).await.unwrap();
    assert_eq!((spent.daily, spent.weekly, spent.monthly, spent.total), (nano(10), nano(30), nano(50), nano(60)));
    let fresh = samples::key(9, key.org);
    samples::insert_key(&ground.store, &fresh).await;
    let none = usage::spent(&ground.store, ALL(), fresh.id, NOW).await.unwrap();
    assert_eq!(none, usage::Spent::default());
    let stranger = OrgScope::granted(samples::org(77).id);
    assert!(matches!(usage::spent(&ground.store, stranger, key.id, NOW).await, Err(Error::NotFound { .. })));
}

async fn a_batch_is_booked_whole_or_not_at_all(ground: &Ground) {
    let (org, key) = samples::funded(&ground.store, 1, usd(10)).await;
    let (pool, proxy) = (PoolId::Credits(org.id), samples::proxy("edge-1"));
    // More than one statement holds.
    let records: Vec<UsageRecord> = (1..=600).map(|n| samples::record(n, &key, nano(100))).collect();
    let mut posting = samples::post(&ground.store).await;
    posting.mark(&proxy, EPOCH).await.unwrap();
    posting.pools(&[pool], Whose::Only(&proxy, EPOCH)).await.unwrap();
    posting.usage(1, &records).await.unwrap();
    posting.charge(pool, &proxy, EPOCH, nano(60_000)).unwrap();
    posting.advance(600, [1; 32]).unwrap();
    drop(posting);
    assert!(usage::list(&ground.store, ALL(), &query(org.id)).await.unwrap().is_empty());
    assert_eq!(samples::balance(&ground.store, org.id).await.settled, Money::ZERO);
    samples::ingest(&ground.store, &proxy, 1, &records).await;
    let all = usage::list(&ground.store, ALL(), &Query { limit: 1_000, ..query(org.id) }).await.unwrap();
    let booked: BTreeMap<u64, &UsageRecord> = all.iter().map(|booked| (booked.sequence, &booked.record)).collect();
    assert_eq!(booked, (1..).zip(&records).collect());
    assert_eq!(samples::balance(&ground.store, org.id).await.settled, nano(60_000));
    let entries = store::credits::entries(&ground.store, ALL(), org.id, None, 9).await.unwrap();
    assert_eq!(entries.len(), 2, "one entry for the grant and one for the whole batch");
    everything_adds_up(ground).await;
}

async fn a_replayed_batch_is_stopped_by_the_mark(ground: &Ground) {
    let (org, key) = samples::funded(&ground.store, 1, usd(10)).await;
    let proxy = samples::proxy("edge-1");
    let records = [samples::record(1, &key, nano(5)), samples::record(2, &key, nano(5))];
    samples::ingest(&ground.store, &proxy, 1, &records).await;
    let mut posting = samples::post(&ground.store).await;
    assert_eq!(posting.mark(&proxy, EPOCH).await.unwrap().last_sequence, 2, "the caller sees it and stops");
    posting.pools(&[PoolId::Credits(org.id)], Whose::Only(&proxy, EPOCH)).await.unwrap();
    let again = posting.usage(1, &records).await;
    assert!(matches!(again, Err(Error::Conflict { what: "usage record" })), "and if it did not, the table would");
    assert!(matches!(posting.commit().await, Err(Error::Misuse { .. })));
    assert_eq!(samples::balance(&ground.store, org.id).await.settled, nano(10));
    everything_adds_up(ground).await;
}

async fn free_outcomes_are_written_off(ground: &Ground) {
    let (org, key) = samples::funded(&ground.store, 1, usd(10)).await;
    let free =
        UsageRecord { outcome: Outcome::UpstreamCut, written_off: nano(777), ..samples::record(1, &key, Money::ZERO) };
    samples::ingest(&ground.store, &samples::proxy("edge-1"), 1, &[free]).await;
    let balance = samples::balance(&ground.store, org.id).await;
    assert_eq!((balance.available, balance.settled), (usd(10), Money::ZERO));
    let entries = store::credits::entries(&ground.store, ALL(), org.id, None, 1).await.unwrap();
    let legs: Vec<String> =
        entries[0].legs.iter().map(|leg| format!("{} {}", leg.account, leg.amount.nano())).collect();
    assert_eq!(legs, ["writeoff:error_free 777", "payable:providers -777"]);
    everything_adds_up(ground).await;
}
