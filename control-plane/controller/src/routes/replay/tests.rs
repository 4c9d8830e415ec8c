//! Figures worked out by hand.

use domain::catalog::{DialectId, Endpoint, Model};
use domain::ids::{KeyId, OrgId, PlanId, ProviderId, RequestId, Revision};
use domain::money::Price;
use domain::orgs::BillingMode;
use domain::providers::{AuthScheme, DataPolicy, Provider};
use domain::snapshot::{Change, Resource, Snapshot};
use domain::time::Timestamp;
use domain::usage::{Outcome, Step, TokenUsage, Trail, UsageSource};

use super::*;

const MODEL: &str = "lab/one";
const OTHER: &str = "lab/two";

fn provider(id: &str) -> Provider {
    Provider {
        id: id.parse::<ProviderId>().unwrap(),
        name: id.to_owned(),
        base_url: "https://acme.example/v1".to_owned(),
        dialects: vec!["openai-chat".parse::<DialectId>().unwrap()],
        auth: AuthScheme("none".to_owned()),
        credential_version: 0,
        regions: vec![],
        data_policy: DataPolicy::default(),
        limits: Default::default(),
        insecure: false,
        enabled: true,
    }
}

fn model(id: &str) -> Model {
    Model {
        id: id.parse().unwrap(),
        name: id.to_owned(),
        context_length: 1_000,
        max_output_tokens: None,
        input_modalities: vec![],
        output_modalities: vec![],
        supported_parameters: vec![],
        created: 0,
    }
}

fn endpoint(model: &str, provider: &str, price: &str) -> Endpoint {
    let (model, provider) = (model.parse().unwrap(), provider.parse().unwrap());
    let price = Price::per_million(price).ok();
    Endpoint {
        id: EndpointId::of(&model, &provider),
        model,
        provider,
        upstream_model: "m".to_owned(),
        prices: PriceList { prompt: price, completion: price, ..PriceList::default() },
        context_length: None,
        max_output_tokens: None,
        quirks: vec![],
        enabled: true,
    }
}

/// One model at 1, 2 and 3 dollars for a million tokens, and another one at the dearest provider alone.
fn on_offer() -> Snapshot {
    let providers = ["cheap", "mid", "dear"].map(provider).map(Resource::Provider);
    let models = [MODEL, OTHER].map(model).map(Resource::Model);
    let endpoints = [(MODEL, "cheap", "1"), (MODEL, "mid", "2"), (MODEL, "dear", "3"), (OTHER, "dear", "10")]
        .map(|(model, at, price)| Resource::Endpoint(endpoint(model, at, price)));
    let all = providers.into_iter().chain(models).chain(endpoints);
    let (snapshot, refused) =
        Snapshot::default().apply(Revision(1), all.map(|row| Change::upsert(Revision(1), row)).collect());
    assert!(refused.is_empty());
    snapshot
}

/// A million tokens for this model, answered here.
fn answered(requested: &str, provider: &str, dollars: i64) -> UsageRecord {
    let plain = requested.split(':').next().unwrap();
    UsageRecord {
        request: RequestId::new(1, 1),
        org: OrgId::new(1, 1),
        key: KeyId::new(1, 1),
        budget: None,
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        requested_model: requested.to_owned(),
        model: plain.parse().ok(),
        provider: provider.parse().ok(),
        endpoint: format!("{plain}@{provider}").parse().ok(),
        dialect_in: "openai-chat".into(),
        dialect_out: "openai-chat".into(),
        attempt: 1,
        upstream_id: String::new(),
        usage: TokenUsage { prompt: 400_000, completion: 600_000, ..TokenUsage::default() },
        usage_source: UsageSource::ProviderFinal,
        cost: Money::from_nano(dollars * 1_000_000_000),
        held: Money::ZERO,
        written_off: Money::ZERO,
        price_version: 1,
        is_byok: false,
        outcome: Outcome::Finished,
        finish_reason: "stop".into(),
        status: 200,
        streamed: true,
        started_at: Timestamp::default(),
        latency_ms: 1_100,
        ttft_ms: Some(100),
        trail: Trail::new("balanced".into(), 3, String::new()),
    }
}

/// A request that nobody answered, after one attempt here.
fn failed(provider: &str) -> UsageRecord {
    let mut record = UsageRecord {
        model: None,
        provider: None,
        endpoint: None,
        cost: Money::ZERO,
        usage: TokenUsage::default(),
        outcome: Outcome::UpstreamError,
        status: 502,
        ttft_ms: None,
        ..answered(MODEL, provider, 0)
    };
    record.trail.miss(step(provider));
    record
}

fn step(provider: &str) -> Step {
    let endpoint = format!("{MODEL}@{provider}").parse().unwrap();
    Step { endpoint, status: 500, code: "provider_error".into(), trigger: "provider_error".into(), ms: 1 }
}

fn replayed(rules: &str, records: &[UsageRecord]) -> Simulation {
    let (snapshot, rules) = (on_offer(), proto::convert::read_rules(rules).unwrap().unwrap_or_default());
    let mut replay = Replay::new(snapshot.catalogue(), rules, None);
    records.iter().for_each(|record| replay.add(record));
    replay.end()
}

fn is_near(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() < 1e-9)
}

#[test]
fn costs_are_those_of_the_draw_among_what_is_kept() {
    let records = [answered(MODEL, "cheap", 1), answered(MODEL, "dear", 3)];
    for (rules, nano) in [
        // Two million tokens. 36 : 9 : 4 of 49 at 1, 2 and 3 dollars: 66 / 49 for each.
        ("", 2_693_877_551),
        // 9 : 4 of 13 at 2 and 3 dollars: 30 / 13 for each.
        (r#"{"provider":{"ignore":["cheap"]}}"#, 4_615_384_615),
        (r#"{"provider":{"only":["mid"]}}"#, 4_000_000_000),
        (r#"{"provider":{"order":["dear"]}}"#, 6_000_000_000),
        (r#"{"provider":{"sort":"price"}}"#, 2_000_000_000),
        (r#"{"provider":{"max_price":{"prompt":2}}}"#, 2_400_000_000),
        (r#"{"provider":{"only":["nobody"]},"fallbacks":{"models":["lab/two"]}}"#, 0),
        (r#"{"provider":{"zdr":true}}"#, 0),
    ] {
        let Simulation { total, models } = replayed(rules, &records);
        assert_eq!((total.requests, total.cost), (2, Money::from_nano(4_000_000_000)), "{rules}");
        assert_eq!(total.would_cost, Money::from_nano(nano), "{rules}");
        assert_eq!(total.without_endpoint, if nano == 0 { 2 } else { 0 }, "{rules}");
        assert_eq!(models, [(MODEL.to_owned(), total)], "{rules}");
    }
}

#[test]
fn a_model_that_keeps_no_endpoint_is_served_by_those_that_the_rules_name() {
    let rules =
        r#"{"provider":{"ignore":["cheap","mid"],"max_price":{"prompt":20}},"fallbacks":{"models":["lab/two"]}}"#;
    let both = replayed(rules, &[answered(MODEL, "cheap", 1)]);
    assert_eq!(both.total.would_cost, Money::from_nano(3_000_000_000), "the model itself comes first");
    let none = r#"{"provider":{"ignore":["cheap","mid","dear"]},"fallbacks":{"models":["lab/one"]}}"#;
    assert_eq!(replayed(none, &[answered(OTHER, "dear", 10)]).total.without_endpoint, 1);
    let other = r#"{"provider":{"only":["cheap"]},"fallbacks":{"models":["lab/one"]}}"#;
    let served = replayed(other, &[answered(OTHER, "dear", 10)]).total;
    assert_eq!((served.would_cost, served.without_endpoint), (Money::from_nano(1_000_000_000), 0));
}

#[test]
fn how_likely_an_answer_is_comes_from_what_endpoints_did() {
    // The cheap one answers half of its attempts, the dear one all of them; nobody asked the middle one, which is
    // taken to fail as often as all: 1 of 4.
    let mut second = answered(MODEL, "dear", 3);
    second.trail.miss(step("cheap"));
    let records = [answered(MODEL, "cheap", 1), second, answered(MODEL, "dear", 3)];
    let now = replayed("", &records).total;
    assert!(is_near(now.availability, 1.0) && is_near(now.would_be_available, 1.0), "{now:?}");
    let alone = replayed(r#"{"provider":{"only":["cheap"]}}"#, &records).total;
    assert!(is_near(alone.would_be_available, 0.5), "{alone:?}");
    let pair = replayed(r#"{"provider":{"ignore":["dear"]}}"#, &records).total;
    assert!(is_near(pair.would_be_available, 1.0 - 0.5 * 0.25), "{pair:?}");
    let one = replayed(r#"{"provider":{"ignore":["dear"],"allow_fallbacks":false}}"#, &records).total;
    // 4 : 1 of 5 is drawn.
    assert!(is_near(one.would_be_available, 1.0 - (0.8 * 0.5 + 0.2 * 0.25)), "{one:?}");
    assert!(is_near(replayed(r#"{"provider":{"zdr":true}}"#, &records).total.would_be_available, 0.0));
}

#[test]
fn whoever_left_or_was_at_fault_says_nothing_of_a_provider() {
    let left = UsageRecord { outcome: Outcome::ClientLeftEarly, ..failed("cheap") };
    let mut refused =
        UsageRecord { trail: Trail::new("balanced".into(), 3, String::new()), status: 400, ..failed("cheap") };
    refused.trail.miss(Step { status: 400, trigger: "".into(), ..step("cheap") });
    let mut hurried = failed("cheap");
    hurried.trail = Trail::new("balanced".into(), 3, String::new());
    hurried.trail.miss(Step { status: 504, code: "client_timeout".into(), trigger: "timeout".into(), ..step("cheap") });
    let all = replayed("", &[hurried]).total;
    assert_eq!((all.requests, all.availability, all.would_be_available), (1, None, None));
    let all = replayed("", &[refused]).total;
    assert_eq!((all.requests, all.availability, all.would_be_available), (1, None, None));
    let all = replayed("", &[left, failed("cheap"), answered(MODEL, "cheap", 1)]).total;
    assert!(is_near(all.availability, 0.5), "{all:?}");
    // Records of older proxies tell how they ended, and nothing of attempts.
    let old = UsageRecord { trail: Trail::default(), ..failed("cheap") };
    let all = replayed("", &[old]).total;
    assert_eq!((all.availability, all.would_be_available), (Some(0.0), None));
}

#[test]
fn what_is_free_stays_free_and_names_are_found() {
    let free = UsageRecord { outcome: Outcome::UpstreamCut, ..answered(MODEL, "cheap", 0) };
    let all = replayed("", &[free]).total;
    assert_eq!((all.cost, all.would_cost), (Money::ZERO, Money::ZERO));
    let gone = UsageRecord { requested_model: "lab/gone".to_owned(), model: None, ..answered(MODEL, "cheap", 1) };
    let records = [answered("lab/one:floor", "cheap", 1), answered("lab/two", "dear", 10), gone];
    let names: Vec<String> = replayed("", &records).models.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [GONE, MODEL, OTHER]);
}

#[test]
fn speed_decides_where_it_is_wished() {
    let slow = UsageRecord { ttft_ms: Some(900), ..answered(MODEL, "cheap", 1) };
    let records = [slow, answered(MODEL, "mid", 2)];
    for (sort, dollars) in [("latency", 4), ("throughput", 2), ("price", 2)] {
        let rules = format!(r#"{{"provider":{{"sort":"{sort}"}}}}"#);
        let would = replayed(&rules, &records).total.would_cost;
        assert_eq!(would, Money::from_nano(dollars * 1_000_000_000), "{sort}");
    }
}
