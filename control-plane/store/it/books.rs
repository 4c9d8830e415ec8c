//! The invariants: each is seen to hold over books with everything in them, and each is seen to fail when broken.

use domain::keys::{Key, Policy};
use domain::limits::{Budget, Period, Reset};
use domain::pools::PoolId;
use store::Whose;
use store::books::{self, Check};

use crate::ground::Ground;
use crate::samples::{self, ALL, EPOCH, nano, usd};

on_both_engines!(
    full_books_add_up,
    l1_legs_that_do_not_balance_are_found,
    l2_a_balance_without_its_legs_is_found,
    l3_money_from_nowhere_is_found,
    l4_money_in_the_wrong_place_is_found,
    l5_a_lost_record_is_found,
    l6_an_uncharged_record_is_found,
    l7_a_doubled_request_is_found,
    l8_an_orphan_is_found,
    l9_a_rewritten_entry_is_found,
);

pub async fn everything_adds_up(ground: &Ground) {
    let broken: Vec<Check> = failing(ground).await;
    assert!(broken.is_empty(), "{broken:?}");
}

async fn failing(ground: &Ground) -> Vec<Check> {
    let checks = books::verify(&ground.store).await.unwrap();
    let names: Vec<_> = checks.iter().map(|check| check.name).collect();
    assert_eq!(names, ["L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8", "L9"]);
    checks.into_iter().filter(|check| !check.ok).collect()
}

/// Books in which every kind of entry stands: grants, refunds, loans, returns, set-asides, charges, write-offs.
async fn filled(ground: &Ground) -> Key {
    let (org, _) = samples::funded(&ground.store, 1, usd(10)).await;
    samples::funded(&ground.store, 2, usd(20)).await;
    let budget = Some(Budget { amount: usd(3), reset: Reset::Never });
    let key = Key { policy: Policy { budget, ..Policy::default() }, ..samples::key(50, org.id) };
    samples::insert_key(&ground.store, &key).await;
    let (credits, budget) = (PoolId::Credits(org.id), PoolId::Budget(key.id, Period(0)));
    let (one, two) = (samples::proxy("edge-1"), samples::proxy("edge-2"));
    for proxy in [&one, &two] {
        samples::lend(&ground.store, credits, proxy, usd(3)).await;
        samples::lend(&ground.store, budget, proxy, usd(1)).await;
    }
    let mut records: Vec<_> = (1..=5).map(|n| samples::record(n, &key, nano(1_000))).collect();
    for record in &mut records {
        record.budget = Some(budget);
        record.written_off = nano(3);
    }
    samples::ingest(&ground.store, &one, 1, &records).await;
    let mut posting = samples::post(&ground.store).await;
    posting.pools(&[credits, budget], Whose::All(&two, EPOCH)).await.unwrap();
    posting.note("an operator's word");
    posting.refund(org.id, usd(1)).unwrap();
    posting.take_back(credits, &two, EPOCH, usd(1)).unwrap();
    posting.quarantine(credits, &two, EPOCH).unwrap();
    posting.quarantine(budget, &two, EPOCH).unwrap();
    posting.commit().await.unwrap();
    key
}

fn names(checks: &[Check]) -> Vec<&'static str> {
    checks.iter().map(|check| check.name).collect()
}

/// Breaks full books by hand and expects exactly these invariants to notice.
async fn broken_by(ground: &Ground, sql: &[&str], expected: &[&str]) {
    filled(ground).await;
    everything_adds_up(ground).await;
    for sql in sql {
        ground.break_by(sql).await;
    }
    let broken = failing(ground).await;
    assert_eq!(names(&broken), expected, "{broken:?}");
    assert!(broken.iter().all(|check| !check.detail.is_empty()));
}

async fn full_books_add_up(ground: &Ground) {
    everything_adds_up(ground).await;
    let key = filled(ground).await;
    everything_adds_up(ground).await;
    let balance = samples::balance(&ground.store, key.org).await;
    assert_eq!(balance.funded(), usd(10));
    let entries = store::credits::entries(&ground.store, ALL(), key.org, None, 99).await.unwrap();
    assert!(entries.len() >= 7, "{}", entries.len());
}

async fn l1_legs_that_do_not_balance_are_found(ground: &Ground) {
    // One leg of a write-off grows, and its balance with it: no other sum of an organisation is touched.
    let sql = [
        "update legs set amount = amount + 1 where account = 'payable:providers'",
        "update balances set amount = amount + 1 where account = 'payable:providers'",
    ];
    broken_by(ground, &sql, &["L1", "L3", "L9"]).await;
}

async fn l2_a_balance_without_its_legs_is_found(ground: &Ground) {
    let sql = [
        "update balances set amount = amount + 1 where account = 'payable:providers'",
        "update balances set amount = amount - 1 where account = 'writeoff:error_free'",
    ];
    broken_by(ground, &sql, &["L2"]).await;
}

async fn l3_money_from_nowhere_is_found(ground: &Ground) {
    let sql = ["update balances set amount = amount + 1 where account = 'writeoff:error_free'"];
    broken_by(ground, &sql, &["L2", "L3"]).await;
}

async fn l4_money_in_the_wrong_place_is_found(ground: &Ground) {
    filled(ground).await;
    let closed = samples::proxy("edge-1");
    let mut posting = samples::post(&ground.store).await;
    let pool = PoolId::Credits(samples::org(1).id);
    posting.pools(&[pool], Whose::Only(&closed, EPOCH)).await.unwrap();
    posting.release(pool, &closed, EPOCH).unwrap();
    posting.commit().await.unwrap();
    everything_adds_up(ground).await;
    for (broken, mended) in [
        (
            "update leases set granted_total = granted_total + 1 where pool like 'credits:%' and state = 'quarantined'",
            "update leases set granted_total = granted_total - 1 where pool like 'credits:%' and state = 'quarantined'",
        ),
        (
            "update leases set returned_total = returned_total + 1 where pool like 'budget:%'",
            "update leases set returned_total = returned_total - 1 where pool like 'budget:%'",
        ),
        (
            "update leases set settled_total = settled_total + 1 where state = 'closed'",
            "update leases set settled_total = settled_total - 1 where state = 'closed'",
        ),
        ("update budgets set quarantined = quarantined + 1", "update budgets set quarantined = quarantined - 1"),
    ] {
        ground.break_by(broken).await;
        assert_eq!(names(&failing(ground).await), ["L4"], "{broken}");
        ground.break_by(mended).await;
        everything_adds_up(ground).await;
    }
    // The grant of one organisation becomes another's: every account still sums up, and so does the whole.
    ground
        .break_by(
            "update entries set org_id = (select max(id) from orgs), sequence = 99 where idempotency_key = 'first:1'",
        )
        .await;
    assert_eq!(names(&failing(ground).await), ["L4", "L8", "L9"]);
}

async fn l5_a_lost_record_is_found(ground: &Ground) {
    // A free record: its loss moves no money.
    filled(ground).await;
    let key = samples::key(50, samples::org(1).id);
    samples::ingest(&ground.store, &samples::proxy("edge-1"), 6, &[samples::record(6, &key, nano(0))]).await;
    everything_adds_up(ground).await;
    ground.break_by("delete from usage where sequence = 6").await;
    let broken = failing(ground).await;
    assert_eq!(names(&broken), ["L5"], "{broken:?}");
    assert_eq!(broken[0].detail, "edge-1 7");
    ground.break_by("update marks set pruned = 1 where proxy = 'edge-1'").await;
    let broken = failing(ground).await;
    assert_eq!(broken.len(), 1, "a record lost at the end is not one that was pruned: {broken:?}");
    ground.break_by("update usage_days set requests = requests + 1").await;
    assert!(failing(ground).await[0].detail.contains("days"));
}

async fn l6_an_uncharged_record_is_found(ground: &Ground) {
    broken_by(ground, &["update usage set cost = cost + 1 where sequence = 2"], &["L6"]).await;
    ground.break_by("update usage set cost = cost - 1 where sequence = 2").await;
    everything_adds_up(ground).await;
    ground.break_by("update budgets set settled = settled + 1").await;
    assert_eq!(names(&failing(ground).await), ["L6"]);
}

async fn l7_a_doubled_request_is_found(ground: &Ground) {
    let sql = "update usage set request_id = (select min(request_id) from usage) where sequence = 3";
    broken_by(ground, &[sql], &["L7"]).await;
}

async fn l8_an_orphan_is_found(ground: &Ground) {
    let sql = "insert into legs (entry_id, line, account, amount) values ('ent_none', 0, 'writeoff:x', 0)";
    broken_by(ground, &[sql], &["L8"]).await;
    ground.break_by("delete from legs where entry_id = 'ent_none'").await;
    everything_adds_up(ground).await;
    ground.break_by("delete from postings where idempotency_key = 'first:2'").await;
    let broken = failing(ground).await;
    assert_eq!(names(&broken), ["L8"]);
    assert_eq!(broken[0].detail, "first:2");
}

async fn l9_a_rewritten_entry_is_found(ground: &Ground) {
    broken_by(ground, &["update entries set note = 'rewritten' where note <> ''"], &["L9"]).await;
    ground.break_by("update entries set note = 'an operator''s word' where note <> ''").await;
    everything_adds_up(ground).await;
    // A head that names another last entry: somebody cut the chain's end off.
    ground.break_by("update books set entries = entries - 1").await;
    assert_eq!(names(&failing(ground).await), ["L9"]);
}
