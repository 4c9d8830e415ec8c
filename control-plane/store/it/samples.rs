//! Rows that cases start from. Numbers make ids, so that two samples with one number are the same row.

use std::sync::Arc;

use domain::audit::Actor;
use domain::catalog::{Endpoint, Model, PriceList};
use domain::credits::Balance;
use domain::ids::{BootEpoch, EndpointId, KeyId, OrgId, OrgScope, PlanId, ProxyId, RequestId, Revision};
use domain::keys::{Digest, Key, Policy};
use domain::limits::{Budget, Rate, Reset};
use domain::money::{Money, Price};
use domain::orgs::{BillingMode, Org};
use domain::pools::PoolId;
use domain::providers::{AuthScheme, DataPolicy, Provider};
use domain::routing::{Fallbacks, Preferences, Rules, Trigger};
use domain::time::Timestamp;
use domain::usage::{Outcome, Step, TokenUsage, Trail, UsageRecord, UsageSource};
use store::{Edit, Once, Posting, Store, Whose, credits, keys, orgs};

/// 2026-11-21T12:00:00Z.
pub const NOW: Timestamp = Timestamp::from_us(1_795_262_400_000_000);
pub const ALL: fn() -> OrgScope = OrgScope::installation;

pub fn usd(dollars: i64) -> Money {
    Money::from_nano(dollars * 1_000_000_000)
}

pub fn nano(nano: i64) -> Money {
    Money::from_nano(nano)
}

pub fn later(seconds: i64) -> Timestamp {
    NOW.plus_us(seconds * 1_000_000)
}

pub fn proxy(name: &str) -> ProxyId {
    name.parse().unwrap()
}

pub const EPOCH: BootEpoch = BootEpoch(7);

pub fn org(n: u128) -> Org {
    Org {
        id: OrgId::new(1_000, n),
        slug: None,
        name: format!("org {n}"),
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        frozen: false,
        created_at: NOW,
        routing: None,
        names: None,
    }
}

pub fn key(n: u128, owner: OrgId) -> Key {
    Key {
        id: KeyId::new(2_000, n),
        org: owner,
        name: format!("key {n}"),
        digest: Digest::of(&format!("key {n}")),
        hint: format!("tg_live_{n}"),
        policy: Policy::default(),
        expires_at: None,
        disabled: false,
        revoked_at: None,
        created_at: NOW,
    }
}

/// Rules that name this provider alone.
pub fn rules(provider: &str) -> Arc<Rules> {
    let only = Preferences { only: Some(vec![provider.to_owned()]), zdr: Some(true), ..Preferences::default() };
    let fallbacks =
        Fallbacks { triggers: Some([Trigger::Timeout].into_iter().collect()), models: vec!["a/\"b\"".to_owned()] };
    Arc::new(Rules { provider: only, fallbacks, timeout: Some(std::time::Duration::from_millis(2_500)) })
}

pub fn full_policy() -> Policy {
    Policy {
        budget: Some(Budget { amount: usd(5), reset: Reset::Monthly }),
        requests: Some(Rate { per_minute: 60, burst: 5 }),
        tokens: Some(Rate::per_minute(100_000)),
        allow_models: vec!["openai/*".into(), "*/mini \"quoted\"".into()],
        routing: Some(rules("zdr")),
        unknown_restrictions: 4,
    }
}

pub fn provider(id: &str) -> Provider {
    Provider {
        id: id.parse().unwrap(),
        name: "A provider".into(),
        base_url: "https://provider.example/v1".into(),
        dialects: vec!["openai-chat".parse().unwrap(), "openai-embeddings".parse().unwrap()],
        auth: AuthScheme("header:x-api-key".into()),
        credential_version: 0,
        regions: vec!["eu".into(), "us".into()],
        data_policy: DataPolicy { training: Some(false), retention_days: Some(30), zdr: None },
        limits: Default::default(),
        insecure: false,
        enabled: true,
    }
}

pub fn model(id: &str) -> Model {
    Model {
        id: id.parse().unwrap(),
        name: format!("Model {id}"),
        context_length: 128_000,
        max_output_tokens: Some(16_384),
        input_modalities: vec!["text".into(), "image".into()],
        output_modalities: vec!["text".into()],
        supported_parameters: vec!["tools".into(), "temperature".into()],
        created: 1_700_000_000,
    }
}

pub fn endpoint(model: &str, provider: &str) -> Endpoint {
    let (model, provider) = (model.parse().unwrap(), provider.parse().unwrap());
    Endpoint {
        id: EndpointId::of(&model, &provider),
        model,
        provider,
        upstream_model: "upstream-name".into(),
        prices: PriceList {
            prompt: Some(Price::from_pico(150_000)),
            completion: Some(Price::from_pico(600_000)),
            cache_read: Some(Price::from_pico(75_000)),
            image: Some(Price::from_pico(40_000_000_000)),
            ..PriceList::default()
        },
        context_length: None,
        max_output_tokens: Some(8_192),
        quirks: vec!["max_completion_tokens".into()],
        enabled: true,
    }
}

pub fn record(n: u128, key: &Key, cost: Money) -> UsageRecord {
    UsageRecord {
        request: RequestId::new(3_000, n),
        org: key.org,
        key: key.id,
        budget: None,
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        requested_model: "gpt-4o-mini".into(),
        model: Some("openai/gpt-4o-mini".parse().unwrap()),
        provider: Some("openai".parse().unwrap()),
        endpoint: Some("openai/gpt-4o-mini@openai".parse().unwrap()),
        dialect_in: "openai-chat".into(),
        dialect_out: "anthropic".into(),
        attempt: 2,
        upstream_id: format!("chatcmpl-{n}"),
        usage: TokenUsage {
            prompt: 1,
            cache_read: 2,
            cache_write: 3,
            cache_write_1h: 4,
            completion: 5,
            reasoning: 6,
            audio_input: 7,
            audio_output: 8,
            images: 9,
            web_searches: 10,
            characters: 11,
        },
        usage_source: UsageSource::ProviderFinal,
        cost,
        held: nano(cost.nano() * 2),
        written_off: Money::ZERO,
        price_version: 12,
        is_byok: false,
        outcome: Outcome::Finished,
        finish_reason: "stop".into(),
        status: 200,
        streamed: true,
        started_at: NOW.plus_us(i64::try_from(n).unwrap()),
        latency_ms: 1_234,
        ttft_ms: Some(56),
        trail: trail(),
    }
}

/// The way of a request whose first attempt failed.
fn trail() -> Trail {
    let mut trail = Trail::new("order".into(), 2, "eu-west".to_owned());
    trail.begun_ms = 40;
    trail.miss(Step {
        endpoint: "openai/gpt-4o-mini@azure".parse().unwrap(),
        status: 529,
        code: "provider_error".into(),
        trigger: "overload".into(),
        ms: 38,
    });
    trail
}

pub async fn edit(store: &Store) -> Edit {
    store.edit(Actor::Root, NOW).await.unwrap()
}

pub async fn post(store: &Store) -> Posting {
    store.post(Actor::Task("test"), NOW).await.unwrap()
}

/// A posting under a key that must not have been used.
pub async fn post_new(store: &Store, key: &str) -> Posting {
    match store.post_once(Actor::Root, key, NOW).await.unwrap() {
        Once::New(posting) => posting,
        Once::Replayed(_) => panic!("`{key}` was used before"),
    }
}

pub async fn insert_org(store: &Store, org: &Org) -> Revision {
    let mut edit = edit(store).await;
    orgs::insert(&mut edit, org).await.unwrap();
    edit.commit().await.unwrap()
}

pub async fn insert_key(store: &Store, key: &Key) -> Revision {
    let mut edit = edit(store).await;
    keys::insert(&mut edit, ALL(), key).await.unwrap();
    edit.commit().await.unwrap()
}

/// An organisation with credits and a key.
pub async fn funded(store: &Store, n: u128, credits: Money) -> (Org, Key) {
    let org = org(n);
    let key = key(n, org.id);
    insert_org(store, &org).await;
    insert_key(store, &key).await;
    grant(store, org.id, credits, &format!("first:{n}")).await;
    (org, key)
}

pub async fn grant(store: &Store, org: OrgId, amount: Money, key: &str) {
    let mut posting = post_new(store, key).await;
    posting.orgs(ALL(), &[org]).await.unwrap();
    posting.grant(org, "grant", amount).unwrap();
    posting.commit().await.unwrap();
}

pub async fn lend(store: &Store, pool: PoolId, to: &ProxyId, amount: Money) {
    let mut posting = post(store).await;
    posting.mark(to, EPOCH).await.unwrap();
    posting.pools(&[pool], Whose::All(to, EPOCH)).await.unwrap();
    posting.lend(pool, to, EPOCH, amount).unwrap();
    posting.renew();
    posting.commit().await.unwrap();
}

/// Books records as the controller does, against credits and budgets.
pub async fn ingest(store: &Store, from: &ProxyId, first: u64, records: &[UsageRecord]) {
    let mut posting = post(store).await;
    posting.mark(from, EPOCH).await.unwrap();
    let mut pools: Vec<PoolId> = records.iter().map(|record| PoolId::Credits(record.org)).collect();
    pools.extend(records.iter().filter_map(|record| record.budget));
    posting.pools(&pools, Whose::Only(from, EPOCH)).await.unwrap();
    posting.usage(first, records).await.unwrap();
    for record in records {
        posting.charge(PoolId::Credits(record.org), from, EPOCH, record.cost).unwrap();
        if let Some(budget) = record.budget {
            posting.charge(budget, from, EPOCH, record.cost).unwrap();
        }
        if record.written_off > Money::ZERO {
            posting.write_off(record.org, "error_free", record.written_off).unwrap();
        }
    }
    posting.advance(first + records.len() as u64 - 1, [9; 32]).unwrap();
    posting.renew();
    posting.commit().await.unwrap();
}

pub async fn balance(store: &Store, org: OrgId) -> Balance {
    credits::balance(store, ALL(), org).await.unwrap()
}
