use domain::catalog::{Endpoint, Model, PriceList};
use domain::ids::{EndpointId, KeyId, OrgId, PlanId, RequestId, Revision};
use domain::keys::{Digest, Policy};
use domain::limits::{Budget, Period, Rate, Reset};
use domain::money::{Money, Price};
use domain::orgs::{BillingMode, Org};
use domain::pools::PoolId;
use domain::providers::{AuthScheme, DataPolicy, Provider};
use domain::snapshot::{Change, Content, KeyGrant, Kind, Resource};
use domain::time::Timestamp;
use domain::usage::{Intent, Outcome, Step, TokenUsage, Trail, UsageRecord, UsageSource};
use prost::Message as _;

use super::*;
use crate::sync as wire;

fn provider() -> Provider {
    Provider {
        id: "acme".parse().unwrap(),
        name: "Acme".into(),
        base_url: "https://acme.example/v1".into(),
        dialects: vec!["openai-chat".parse().unwrap(), "anthropic".parse().unwrap()],
        auth: AuthScheme("header:x-api-key".into()),
        credential_version: 3,
        regions: vec!["eu".into()],
        data_policy: DataPolicy { training: Some(false), retention_days: Some(30), zdr: None },
        limits: Default::default(),
        insecure: false,
        enabled: true,
    }
}

fn endpoint() -> Endpoint {
    let model = "acme/one".parse().unwrap();
    let provider = "acme".parse().unwrap();
    Endpoint {
        id: EndpointId::of(&model, &provider),
        model,
        provider,
        upstream_model: "one-2026".into(),
        prices: PriceList {
            version: 9,
            prompt: Some(Price::from_pico(150_000)),
            completion: Some(Price::ZERO),
            ..PriceList::default()
        },
        context_length: Some(8),
        max_output_tokens: None,
        quirks: vec!["max_completion_tokens".into()],
        enabled: true,
    }
}

fn org() -> Org {
    Org {
        id: OrgId::new(1, 2),
        slug: Some("acme".into()),
        name: "Acme".into(),
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        frozen: true,
        created_at: Timestamp::from_us(5),
        routing: read_rules(r#"{"provider":{"zdr":true,"only":["acme"]}}"#).unwrap(),
        names: read_names(
            r#"{"aliases":{"fast":["acme/one"]},"presets":{"p":{"latest":2,"kept":{"2":{"timeout":5}}}}}"#,
        )
        .unwrap(),
    }
}

fn grant() -> KeyGrant {
    KeyGrant {
        digest: Digest::of("a key"),
        id: KeyId::new(3, 4),
        org: OrgId::new(1, 2),
        policy: Policy {
            budget: Some(Budget { amount: Money::from_nano(7), reset: Reset::Weekly }),
            requests: Some(Rate { per_minute: 5, burst: 6 }),
            tokens: None,
            allow_models: vec!["acme/*".into()],
            routing: read_rules(r#"{"fallbacks":{"triggers":["timeout"],"models":["acme/one"]},"timeout":2.5}"#)
                .unwrap(),
            unknown_restrictions: 0,
        },
        expires_at: Some(Timestamp::from_us(-1)),
    }
}

fn model() -> Model {
    Model {
        id: "acme/one".parse().unwrap(),
        name: "One".into(),
        context_length: 128_000,
        max_output_tokens: Some(4096),
        input_modalities: vec!["text".into(), "image".into()],
        output_modalities: vec!["text".into()],
        supported_parameters: vec!["tools".into()],
        created: 1_700_000_000,
    }
}

fn sent(change: &Change) -> wire::Change {
    let bytes = wire::Change::from(change).encode_to_vec();
    wire::Change::decode(bytes.as_slice()).unwrap()
}

fn read(wire: wire::Change) -> Change {
    wire.try_into().unwrap()
}

fn reason(change: &Change) -> &str {
    match &change.content {
        Content::Refused(reason) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn every_kind_of_change_arrives_as_it_was_sent() {
    for resource in [
        Resource::Provider(provider()),
        Resource::Model(model()),
        Resource::Endpoint(endpoint()),
        Resource::Org(org()),
        Resource::Key(grant()),
    ] {
        let change = Change::upsert(Revision(11), resource);
        let nameless = if change.kind == Kind::Key { String::new() } else { change.name.clone() };
        assert_eq!(read(sent(&change)), Change { name: nameless, ..change.clone() });
        let removed = Change::removed(Revision(12), change.kind, change.name.clone());
        assert_eq!(read(sent(&removed)), removed);
    }
}

#[test]
fn a_plain_key_is_small_on_the_wire() {
    let plain = KeyGrant { policy: Policy::default(), expires_at: None, ..grant() };
    let change = Change::upsert(Revision(1_000_000), Resource::Key(plain));
    assert!(wire::Change::from(&change).encoded_len() <= 96, "{}", wire::Change::from(&change).encoded_len());
}

#[test]
fn a_restriction_that_is_not_known_denies_and_is_passed_on() {
    let mut newer = grant();
    newer.policy.unknown_restrictions = 1 << 40;
    let change = Change::upsert(Revision(1), Resource::Key(newer.clone()));
    let got = read(sent(&change));
    assert!(reason(&got).contains("0x10000000000"), "{got:?}");
    assert_eq!((got.kind, got.name), (Kind::Key, newer.digest.to_string()));
    // The denying form survives a cache, which writes it as a change again.
    let kept = Change {
        revision: Revision(1),
        kind: Kind::Key,
        name: newer.digest.to_string(),
        content: Content::Refused("x".into()),
    };
    let again = read(sent(&kept));
    assert!(matches!(again.content, Content::Refused(_)));
    assert_eq!(again.name, kept.name);
}

#[test]
fn rules_of_routing_bind_only_where_they_are_understood() {
    let bits = |org: Org| sent(&Change::upsert(Revision(1), Resource::Org(org))).must_understand;
    assert_eq!(bits(Org { frozen: false, ..org() }), 1 << 1);
    assert_eq!(bits(Org { routing: None, frozen: false, ..org() }), 0);
    let key = sent(&Change::upsert(Revision(1), Resource::Key(grant())));
    assert_eq!(key.must_understand & (1 << 5), 1 << 5);
    // A word of a newer controller's that this build does not know is no rule that it may pass over.
    for spoil in [r#"{"provider":{"moon":true}}"#, "?", r#"{"fallbacks":{"triggers":["eclipse"]}}"#] {
        let mut newer = key.clone();
        if let Some(wire::change::Content::Key(row)) = &mut newer.content {
            row.policy.as_mut().unwrap().routing = spoil.to_owned();
        }
        assert!(reason(&read(newer)).contains("policy.routing"), "{spoil}");
        let mut newer = sent(&Change::upsert(Revision(1), Resource::Org(org())));
        if let Some(wire::change::Content::Org(row)) = &mut newer.content {
            row.routing = spoil.to_owned();
        }
        assert!(reason(&read(newer)).contains("routing"), "{spoil}");
    }
}

#[test]
fn a_removal_is_obeyed_whatever_else_it_says() {
    let mut wire = sent(&Change::removed(Revision(3), Kind::Org, "org_x"));
    wire.must_understand = u64::MAX;
    assert_eq!(read(wire).content, Content::Removed);
}

#[test]
fn a_field_that_is_not_understood_refuses_its_resource_and_names_the_field() {
    let broken = |resource: Resource, spoil: fn(&mut wire::change::Content)| {
        let change = Change::upsert(Revision(1), resource);
        let mut message = sent(&change);
        spoil(message.content.as_mut().unwrap());
        let got = read(message);
        assert_eq!((got.kind, &got.name), (change.kind, &change.name));
        reason(&got).to_owned()
    };
    use wire::change::Content as Body;
    let at = |resource, spoil| broken(resource, spoil);
    let column = at(Resource::Endpoint(endpoint()), |body| {
        if let Body::Endpoint(row) = body {
            row.prices.insert("per_thought".into(), 1);
        }
    });
    assert!(column.contains("Endpoint") && column.contains("prices") && column.contains("per_thought"), "{column}");
    let other = at(Resource::Endpoint(endpoint()), |body| {
        if let Body::Endpoint(row) = body {
            row.model = "acme/two".into();
        }
    });
    assert!(other.contains("field id"), "{other}");
    let url = at(Resource::Provider(provider()), |body| {
        if let Body::Provider(row) = body {
            row.base_url = "http://10.1.2.3/v1".into();
        }
    });
    assert!(url.contains("base_url"), "{url}");
    let billing = at(Resource::Org(org()), |body| {
        if let Body::Org(row) = body {
            row.billing = "barter".into();
        }
    });
    assert!(billing.contains("billing") && billing.contains("barter"), "{billing}");
    let reset = at(Resource::Key(grant()), |body| {
        if let Body::Key(row) = body {
            row.policy.as_mut().unwrap().budget_reset = "hourly".into();
        }
    });
    assert!(reset.contains("budget_reset") && reset.contains("hourly"), "{reset}");
    let renamed = at(Resource::Model(model()), |body| {
        if let Body::Model(row) = body {
            row.id = "acme/two".into();
        }
    });
    assert!(renamed.contains("differ"), "{renamed}");
}

#[test]
fn an_unknown_dialect_costs_a_provider_only_that_dialect() {
    let mut message = sent(&Change::upsert(Revision(1), Resource::Provider(provider())));
    if let Some(wire::change::Content::Provider(row)) = &mut message.content {
        row.dialects = vec!["telepathy".into(), "anthropic".into()];
    }
    match read(message).content {
        Content::Upsert(Resource::Provider(row)) => assert_eq!(row.dialects, ["anthropic".parse().unwrap()]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unknown_kind_is_left_out_and_reported() {
    let mut strange = sent(&Change::upsert(Revision(1), Resource::Org(org())));
    strange.kind = "region".into();
    let read = read_changes(vec![strange, sent(&Change::upsert(Revision(1), Resource::Org(org())))]);
    assert_eq!(read.changes.len(), 1);
    assert_eq!(read.strange[0].kind, "region");
}

/// The way of a request that met trouble.
fn trail() -> Trail {
    let mut trail = Trail::new("order".into(), 3, "eu".to_owned());
    (trail.passed_over, trail.begun_ms) = (1, 4);
    let endpoint = "acme/one@other".parse().unwrap();
    trail.miss(Step { endpoint, status: 529, code: "provider_error".into(), trigger: "overload".into(), ms: 3 });
    trail
}

#[test]
fn a_way_that_cannot_be_read_in_part_is_read_as_far_as_it_goes() {
    let mut sent = wire::Trail::from(&trail());
    sent.missed.push(wire::Step { endpoint: "nowhere".into(), ..wire::Step::default() });
    sent.missed.push(wire::Step { status: 70_000, ..sent.missed[0].clone() });
    assert_eq!(Trail::from(sent), trail());
}

#[test]
fn usage_records_and_intents_arrive_as_they_were_sent() {
    let record = UsageRecord {
        request: RequestId::new(1, 2),
        org: OrgId::new(3, 4),
        key: KeyId::new(5, 6),
        budget: Some(PoolId::Budget(KeyId::new(5, 6), Period(86_400))),
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        requested_model: "one".into(),
        model: Some("acme/one".parse().unwrap()),
        provider: Some("acme".parse().unwrap()),
        endpoint: Some("acme/one@acme".parse().unwrap()),
        dialect_in: "openai-chat".into(),
        dialect_out: "openai-chat".into(),
        attempt: 2,
        upstream_id: "chatcmpl-1".into(),
        usage: TokenUsage { prompt: 1, cache_read: 2, completion: 3, ..TokenUsage::default() },
        usage_source: UsageSource::ProviderFinal,
        cost: Money::from_nano(10),
        held: Money::from_nano(20),
        written_off: Money::ZERO,
        price_version: 9,
        is_byok: false,
        outcome: Outcome::ClientLeft,
        finish_reason: "stop".into(),
        status: 200,
        streamed: true,
        started_at: Timestamp::from_us(77),
        latency_ms: 12,
        ttft_ms: Some(0),
        trail: trail(),
    };
    assert_eq!(UsageRecord::try_from(wire::UsageRecord::from(&record)), Ok(record.clone()));
    let mut negative = wire::UsageRecord::from(&record);
    negative.cost_nano = -1;
    assert_eq!(UsageRecord::try_from(negative).unwrap_err().field, "cost_nano");
    let intent = Intent {
        request: record.request,
        org: record.org,
        key: record.key,
        budget: None,
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        requested_model: "one".into(),
        held: Money::from_nano(20),
        started_at: Timestamp::from_us(77),
        streamed: false,
    };
    assert_eq!(Intent::try_from(wire::Intent::from(&intent)), Ok(intent));
}

#[test]
fn questions_and_answers_arrive_as_they_were_sent() {
    let org = OrgId::new(1, 2);
    for question in [Question::Credits, Question::Generation("req_x".into()), Question::Key(KeyId::new(3, 4))] {
        assert_eq!(Question::read(question.clone().about(org)), Ok((org, question)));
    }
    assert!(Question::read(wire::QueryRequest::default()).is_err());
    for answer in [
        Answer::NotFound,
        Answer::Credits {
            funded: Money::from_nano(4),
            refunded: Money::from_nano(1),
            used: Money::from_nano(2),
            available: Money::from_nano(1),
        },
    ] {
        assert_eq!(Answer::try_from(wire::QueryResponse::from(answer.clone())), Ok(answer));
    }
}

#[test]
fn asks_and_grants_arrive_as_they_were_sent() {
    use link::lease::{Ask, Batch, Grant, Reply, Verdict};
    let pool = PoolId::Credits(OrgId::new(1, 2));
    let ask = Ask { pool, granted_total: 10, returned_total: 3, need: 1, want: 2, rate: 4 };
    let sent = write_asks(&Batch { sequence: 7, asks: vec![ask] });
    assert_eq!((sent.sequence, Ask::try_from(sent.asks[0].clone())), (7, Ok(ask)));
    assert_eq!(Ask::try_from(wire::Ask { need: -1, ..sent.asks[0].clone() }).unwrap_err().field, "need");
    let verdicts = [Verdict::Granted, Verdict::Recalling, Verdict::Exhausted, Verdict::Unknown, Verdict::Fenced];
    let grants = verdicts.map(|verdict| Grant {
        pool,
        verdict,
        granted_total: 20,
        admit_for_ms: 5,
        direct: true,
        affordable: 6,
        not_before_ms: 7,
        limit: 8,
        remaining: 9,
        reset_ms: 10,
    });
    let reply = Reply { grants: grants.to_vec(), active_proxies: 3 };
    let mut message = wire::LeaseResponse::from(&reply);
    message.grants.push(wire::Grant { pool: pool.to_string(), ..wire::Grant::default() });
    let (read, invalid) = read_grants(message);
    assert_eq!((read, invalid.len()), (reply, 1));
    let recall = [(pool, 5)];
    assert_eq!(read_recall(&write_recall(&recall)), Ok(recall.to_vec()));
    assert_eq!(read_pool_event(&write_pool_event(&[pool])), Ok(vec![pool]));
    assert!(read_pool_event(&wire::PoolEvent { pools: vec!["credits".into()] }).is_err());
}

#[test]
fn what_proxies_met_and_what_comes_of_it_survive_the_wire() {
    use link::health::Advice;
    use link::health::buckets::Histogram;
    use link::health::coolings::Pool;
    use link::health::view::{Measured, Met, State};
    let endpoint: EndpointId = "acme/one@acme".parse().unwrap();
    let mut latency = Histogram::default();
    latency.add(17, 3);
    latency.add(90, 1);
    let orgs = vec![(OrgId::new(1, 2), 3), (OrgId::new(3, 4), 1)];
    let met = Met { attempts: 9, failures: 4, overloads: 1, shut: 50, orgs, org_count: 5, latency, ..Met::default() };
    let met = vec![(endpoint.clone(), met)];
    assert_eq!(read_met(&write_met(&met)), Ok(met.clone()));
    let mut odd = write_met(&met);
    (odd[0].failures, odd[0].shut) = (100, 900);
    let read = read_met(&odd).unwrap();
    assert_eq!((read[0].1.failures, read[0].1.shut), (9, 100), "no more can fail than was tried");
    odd[0].orgs[0].org = vec![1].into();
    assert_eq!(read_met(&odd).unwrap_err().field, "orgs");
    let pool = Pool { provider: "acme".parse().unwrap(), credential_version: 3, upstream_model: "one-1".into() };
    let measured =
        Measured { endpoint: endpoint.clone(), uptime: Some(999), latency: Some([1, 2, 3, 4]), throughput: None };
    for advice in [
        Advice::default(),
        Advice { endpoints: Some((vec![], 30_000)), ..Advice::default() },
        Advice {
            endpoints: Some((vec![(endpoint, State::Ejected)], 30_000)),
            coolings: vec![(pool, 29_000)],
            measures: vec![measured],
        },
    ] {
        assert_eq!(read_advice(&write_advice(&advice)), Ok(advice));
    }
    let mut strange = wire::Advice { ttl_ms: 1, ..wire::Advice::default() };
    strange.endpoints.push(wire::EndpointAdvice { endpoint: "acme/one@acme".into(), state: "worse".into() });
    assert_eq!(read_advice(&strange).unwrap().endpoints.unwrap().0[0].1, State::Healthy, "a word of a later build");
}
