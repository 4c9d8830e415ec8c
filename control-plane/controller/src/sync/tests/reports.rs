//! Reports with amounts that cannot be: whatever a provider says, the records behind it are booked.

use domain::audit::Actor;
use domain::credits::Balance;
use domain::ids::{BootEpoch, OrgId, RequestId};
use domain::keys::{Key, Policy};
use domain::limits::Reset;
use domain::money::Money;
use domain::orgs::BillingMode;
use domain::pools::PoolId;
use domain::time::Timestamp;
use domain::usage::{Outcome, TokenUsage, Trail, UsageRecord, UsageSource};

use super::house::House;
use crate::access::installation_scope;
use crate::usage::ingest::{Report, report};

const DOLLAR: i64 = 1_000_000_000;
const MILLION: i64 = 1_000_000 * DOLLAR;

fn record(number: u128, key: &Key, cost: i64, written_off: i64) -> UsageRecord {
    let outcome = if written_off > 0 { Outcome::UpstreamCut } else { Outcome::Finished };
    UsageRecord {
        request: RequestId::new(3_000, number),
        org: key.org,
        key: key.id,
        budget: None,
        billing: BillingMode::Prepaid,
        plan: domain::ids::PlanId::standard(),
        requested_model: "tollgate/echo".into(),
        model: None,
        provider: None,
        endpoint: None,
        dialect_in: "openai-chat".into(),
        dialect_out: "openai-chat".into(),
        attempt: 1,
        upstream_id: String::new(),
        usage: TokenUsage { completion: if cost > DOLLAR { u64::MAX } else { 7 }, ..TokenUsage::default() },
        usage_source: UsageSource::ProviderFinal,
        cost: Money::from_nano(cost),
        held: Money::from_nano(DOLLAR),
        written_off: Money::from_nano(written_off),
        price_version: 1,
        is_byok: false,
        outcome,
        finish_reason: "stop".into(),
        status: 200,
        streamed: false,
        started_at: Timestamp::from_us(1_700_000_000_000_000),
        latency_ms: 5,
        ttft_ms: None,
        trail: Trail::default(),
    }
}

async fn key(house: &House, name: &str) -> Key {
    let org = house.org().await;
    house.keys(org, name, 1, &Policy::default()).await.0.remove(0)
}

async fn bring(house: &House, proxy: &str, first_sequence: u64, records: Vec<UsageRecord>, drained: bool) -> u64 {
    let report_ = Report { proxy: proxy.parse().unwrap(), epoch: BootEpoch(1), first_sequence, records, drained };
    report(&house.app, report_).await.unwrap()
}

async fn balance(house: &House, org: OrgId) -> Balance {
    store::credits::balance(&house.app.store, installation_scope(), org).await.unwrap()
}

async fn add_up(house: &House) {
    let checks = store::books::verify(&house.app.store).await.unwrap();
    assert!(checks.iter().all(|check| check.ok), "{checks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absurd_amount_is_cut_and_everything_behind_it_is_booked() {
    let house = House::start().await;
    let (ours, theirs) = (key(&house, "ours").await, key(&house, "theirs").await);
    let absurd = |number| record(number, &ours, i64::MAX, 0);
    let wasted = |number| record(number, &ours, 0, i64::MAX);
    let good = |number| record(number, &theirs, 3, 0);
    for proxy in ["edge-1", "edge-2"] {
        let base = if proxy == "edge-1" { 0 } else { 100 };
        let records = vec![good(base + 1), absurd(base + 2), absurd(base + 3), wasted(base + 4), good(base + 5)];
        assert_eq!(bring(&house, proxy, 1, records, false).await, 5);
    }
    assert_eq!(balance(&house, theirs.org).await.settled, Money::from_nano(4 * 3));
    assert_eq!(balance(&house, ours.org).await.settled, Money::from_nano(4 * MILLION));
    let query = store::usage::Query { org: ours.org, key: None, since: None, before: None, limit: 10 };
    let rows = store::usage::list(&house.app.store, installation_scope(), &query).await.unwrap();
    assert!(rows.iter().all(|row| row.usage.completion <= 1_000_000_000_000));
    assert!(rows.iter().all(|row| row.written_off <= Money::from_nano(1_000 * DOLLAR)));
    add_up(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_budget_that_nobody_knows_is_booked_without_it() {
    let house = House::start().await;
    let ours = key(&house, "ours").await;
    let stranger = Key { id: domain::ids::KeyId::new(9, 9), ..ours.clone() };
    let budget = PoolId::Budget(stranger.id, Reset::Never.period(Timestamp::default()));
    let records = vec![record(1, &ours, 3, 0), UsageRecord { budget: Some(budget), ..record(2, &stranger, 4, 0) }];
    assert_eq!(bring(&house, "edge-1", 1, records, false).await, 2);
    assert_eq!(balance(&house, ours.org).await.settled, Money::from_nano(7));
    let query = store::usage::Query { org: ours.org, key: None, since: None, before: None, limit: 10 };
    let rows = store::usage::list(&house.app.store, installation_scope(), &query).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.cost.nano(), row.budget)).collect::<Vec<_>>(), [(4, None), (3, None)]);
    add_up(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_sum_does_not_fit_is_booked_without_its_amounts() {
    let house = House::start().await;
    let (ours, theirs) = (key(&house, "ours").await, key(&house, "theirs").await);
    // What could ever be settled, but for two dollars.
    let (scope, most) = (installation_scope(), Money::from_nano(i64::MAX - 2 * DOLLAR));
    crate::credits::grant(&house.app, Actor::Root, scope, ours.org, most, "all", "grant").await.unwrap();
    let mut posting = house.app.store.post(Actor::Root, house.app.now()).await.unwrap();
    posting.orgs(scope, &[ours.org]).await.unwrap();
    let legs = domain::credits::transfer(
        domain::credits::Account::Available(ours.org),
        domain::credits::Account::Settled(ours.org),
        most,
    );
    posting.legs(ours.org, domain::credits::EntryKind::Charge, &legs).unwrap();
    posting.commit().await.unwrap();
    let records = vec![
        record(1, &theirs, 3, 0),
        record(2, &ours, DOLLAR, 0),
        record(3, &ours, 5 * DOLLAR, 0),
        record(4, &ours, DOLLAR / 2, 0),
        record(5, &theirs, 3, 0),
    ];
    assert_eq!(bring(&house, "edge-1", 1, records, true).await, 5);
    assert_eq!(balance(&house, theirs.org).await.settled, Money::from_nano(6));
    assert_eq!(balance(&house, ours.org).await.settled.nano(), i64::MAX - DOLLAR / 2);
    let marks = store::pools::marks(&house.app.store).await.unwrap();
    assert_eq!(marks.iter().map(|(.., mark)| (mark.last_sequence, mark.drained)).collect::<Vec<_>>(), [(5, true)]);
}
