//! Every record of the period is replayed once, however many fit on a page.

use domain::ids::{BootEpoch, PlanId, RequestId};
use domain::keys::{Key, Policy};
use domain::money::Money;
use domain::orgs::BillingMode;
use domain::time::Timestamp;
use domain::usage::{Outcome, TokenUsage, Trail, UsageRecord, UsageSource};

use super::*;
use crate::access::installation_scope;
use crate::sync::tests::house::House;
use crate::usage::ingest::{Report, report};

const SINCE: i64 = 1_700_000_000_000_000;

/// A request that began so many microseconds after the start of the period.
fn record(number: u128, key: &Key, at: i64) -> UsageRecord {
    UsageRecord {
        request: RequestId::new(3_000, number),
        org: key.org,
        key: key.id,
        budget: None,
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        requested_model: "lab/one".into(),
        model: None,
        provider: None,
        endpoint: None,
        dialect_in: "openai-chat".into(),
        dialect_out: "openai-chat".into(),
        attempt: 1,
        upstream_id: String::new(),
        usage: TokenUsage::default(),
        usage_source: UsageSource::ProviderFinal,
        cost: Money::from_nano(7),
        held: Money::from_nano(7),
        written_off: Money::ZERO,
        price_version: 1,
        is_byok: false,
        outcome: Outcome::Finished,
        finish_reason: "stop".into(),
        status: 200,
        streamed: false,
        started_at: Timestamp::from_us(SINCE + at),
        latency_ms: 5,
        ttft_ms: None,
        trail: Trail::default(),
    }
}

async fn key(house: &House, text: &str) -> Key {
    let org = house.org().await;
    house.keys(org, text, 1, &Policy::default()).await.0.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_lose_nothing_and_double_nothing() {
    let house = House::start().await;
    let (one, other) = (key(&house, "one").await, key(&house, "other").await);
    // Several at the same moment, one before the period, one at its end.
    let times = [-1, 0, 1, 1, 1, 2, 9, 10];
    let keys = [&one, &other].into_iter().cycle();
    let records = (0..).zip(times.into_iter().chain([1, 1, 1])).zip(keys);
    let records = records.map(|((number, at), key)| record(number, key, at)).collect();
    let report_ =
        Report { proxy: "edge-1".parse().unwrap(), epoch: BootEpoch(1), first_sequence: 1, records, drained: false };
    report(&house.app, report_).await.unwrap();
    let wish = |org| Wish {
        rules: Arc::default(),
        since: Timestamp::from_us(SINCE),
        until: Timestamp::from_us(SINCE + 10),
        org,
        model: None,
    };
    for page in [1, 2, 3, 4, 100] {
        let all = by_pages(&house.app, installation_scope(), &wish(None), page).await.unwrap().total;
        assert_eq!((all.requests, all.cost), (9, Money::from_nano(9 * 7)), "{page}");
        let own = by_pages(&house.app, installation_scope(), &wish(Some(one.org)), page).await.unwrap().total;
        assert_eq!(own.requests, 5, "{page}");
    }
}
