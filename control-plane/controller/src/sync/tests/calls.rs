//! Whole states, provider credentials and questions.

use std::time::{Duration, Instant};

use domain::audit::Actor;
use domain::catalog::DialectId;
use domain::ids::{BootEpoch, KeyId, OrgId, ProviderId, ProxyId};
use domain::keys::{Digest, Policy};
use domain::limits::{Budget, Reset};
use domain::money::Money;
use domain::pools::PoolId;
use domain::providers::{AuthScheme, DataPolicy, Provider};
use domain::snapshot::Snapshot;
use link::lease::Verdict;
use link::replica::Replica;
use proto::convert::{Answer, Question, secret_info};
use proto::sync as wire;
use runtime::seal::BootKey;
use tonic::Code;

use super::house::{Edge, House, fetch};
use crate::access::installation_scope;
use crate::credits::lend::{self, Call};
use crate::providers::binding;

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_installation_has_a_whole_state_too() {
    let house = House::start().await;
    let mut replica = Replica::new(Snapshot::default());
    fetch(&mut house.client().await, &"edge-1".parse().unwrap(), &mut replica).await;
    assert!(!replica.is_behind());
    assert_eq!(replica.snapshot().object_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_states_are_sent_to_four_proxies_at_a_time() {
    let house = House::start().await;
    let places = house.app.fleet.bases.clone().acquire_many_owned(4).await.unwrap();
    let request = || wire::BaseRequest { proxy_id: "edge-1".to_owned(), force: false };
    let refused = house.client().await.base(request()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.metadata().contains_key("retry-after-ms"));
    drop(places);
    assert!(house.client().await.base(request()).await.is_ok());
}

/// A provider with a credential.
async fn provider(house: &House, id: &str, secret: &[u8]) -> ProviderId {
    let provider = Provider {
        id: id.parse().unwrap(),
        name: id.to_owned(),
        base_url: "https://example.com/v1".to_owned(),
        dialects: vec!["openai-chat".parse::<DialectId>().unwrap()],
        auth: AuthScheme("bearer".to_owned()),
        credential_version: 0,
        regions: Vec::new(),
        data_policy: DataPolicy::default(),
        limits: Default::default(),
        insecure: false,
        enabled: true,
    };
    let sealed = house.app.seal.seal(&binding(&provider.id, 1), secret).unwrap();
    let mut edit = house.app.store.edit(Actor::Root, house.app.now()).await.unwrap();
    store::providers::upsert(&mut edit, &provider).await.unwrap();
    store::providers::set_credential(&mut edit, &provider.id, 1, &sealed).await.unwrap();
    edit.commit().await.unwrap();
    provider.id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_sealed_to_the_boot_key_of_a_connected_proxy_only() {
    let house = House::start().await;
    let provider = provider(&house, "openai", b"sk-canary").await;
    let boot_key = BootKey::generate();
    let request = |epoch: u64| wire::SecretsRequest {
        proxy_id: "edge-1".to_owned(),
        boot_epoch: epoch,
        boot_key: boot_key.public_key().to_vec().into(),
        providers: vec!["openai".to_owned(), "nobody".to_owned()],
    };
    let mut edge = Edge::whole(&house, "edge-1", 7).await;
    let answer = edge.client.secrets(request(7)).await.unwrap().into_inner();
    assert_eq!(answer.secrets.len(), 1);
    let secret = &answer.secrets[0];
    assert_eq!((secret.provider.as_str(), secret.version), ("openai", 1));
    let info = |epoch| secret_info(&edge.id, epoch, &provider, 1);
    assert_eq!(boot_key.open(&info(edge.epoch), &secret.sealed).unwrap().expose(), b"sk-canary");
    assert!(boot_key.open(&info(BootEpoch(8)), &secret.sealed).is_err());
    let refused = house.client().await.secrets(request(8)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

async fn ask(house: &House, org: OrgId, question: Question) -> Answer {
    let answer = house.client().await.query(question.about(org)).await.unwrap().into_inner();
    answer.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_answer_for_one_organisation_and_never_for_another() {
    let house = House::start().await;
    let (ours, theirs) = (house.org().await, house.org().await);
    let budget = Budget { amount: Money::from_nano(500), reset: Reset::Daily };
    let policy = Policy { budget: Some(budget), ..Policy::default() };
    let (keys, _) = house.keys(ours, "key", 1, &policy).await;
    let Answer::Credits { funded, used, .. } = ask(&house, ours, Question::Credits).await else { panic!("credits") };
    assert_eq!((funded, used), (Money::ZERO, Money::ZERO));
    let Answer::Key(key) = ask(&house, ours, Question::Key(keys[0].id)).await else { panic!("a key") };
    assert_eq!((key.name.as_str(), key.org_name.as_str()), ("key0", "Acme"));
    assert_eq!((key.usage, key.limit_remaining), (Money::ZERO, Some(Money::from_nano(500))));
    for (org, question) in [
        (theirs, Question::Key(keys[0].id)),
        (ours, Question::Key(KeyId::new(1, 1))),
        (ours, Question::Generation("req_nothing".to_owned())),
        (OrgId::new(1, 1), Question::Credits),
    ] {
        assert_eq!(ask(&house, org, question.clone()).await, Answer::NotFound, "{question:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_cannot_be_booked_is_left_out_and_the_others_are_lent() {
    let house = House::start().await;
    let orgs = [house.org().await, house.org().await, house.org().await];
    let dollar = Money::from_nano(1_000_000_000);
    for (number, org) in orgs.iter().enumerate() {
        let scope = installation_scope();
        let key = format!("first {number}");
        crate::credits::grant(&house.app, Actor::Root, scope, *org, dollar, &key, "grant").await.unwrap();
    }
    let lease = async |proxy: &str, granted_totals: &[i64]| {
        let ask = |(org, granted_total): (&OrgId, &i64)| link::lease::Ask {
            pool: PoolId::Credits(*org),
            granted_total: *granted_total,
            returned_total: 0,
            need: 100,
            want: 100,
            rate: 0,
        };
        let asks = orgs.iter().zip(granted_totals).map(ask).collect();
        let call = Call { proxy: proxy.parse().unwrap(), epoch: BootEpoch(1), sequence: 1, asks };
        lend::lease(&house.app, call).await.unwrap().grants
    };
    // What two proxies say they were lent (the books would come from a backup) is together more than can be counted.
    let first = lease("edge-1", &[0, i64::MAX, 0]).await;
    assert_eq!(first.len(), 3);
    let second = lease("edge-2", &[0, i64::MAX, 0]).await;
    let granted: Vec<_> = second.iter().map(|grant| (grant.pool, grant.verdict, grant.granted_total)).collect();
    let good = |org| (PoolId::Credits(org), Verdict::Granted, 100);
    assert_eq!(granted, [good(orgs[0]), good(orgs[2])]);
    for org in [orgs[0], orgs[2]] {
        let balance = store::credits::balance(&house.app.store, installation_scope(), org).await.unwrap();
        assert_eq!(balance.leased, Money::from_nano(200), "booked once for each proxy");
    }
}

/// How long a proxy with nothing takes to have a million keys. Run by hand: it writes 200 MB.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes a million keys"]
async fn a_million_keys_are_sent_whole() {
    const KEYS: usize = 1_000_000;
    const AT_ONCE: usize = 50_000;
    let house = House::start().await;
    let org = house.org().await;
    let like = house.key(org, "key", &Policy::default());
    for start in (0..KEYS).step_by(AT_ONCE) {
        let key = |number: usize| domain::keys::Key {
            id: KeyId::new(1, u128::try_from(number).unwrap()),
            digest: Digest::of(&number.to_string()),
            ..like.clone()
        };
        let keys: Vec<_> = (start..start + AT_ONCE).map(key).collect();
        let mut edit = house.app.store.edit(Actor::Root, house.app.now()).await.unwrap();
        store::keys::insert_many(&mut edit, installation_scope(), &keys).await.unwrap();
        edit.commit().await.unwrap();
    }
    let (mut client, id): (_, ProxyId) = (house.client().await, "edge-1".parse().unwrap());
    let sent = async |client: &mut wire::sync_service_client::SyncServiceClient<_>| {
        let request = wire::BaseRequest { proxy_id: "edge-1".to_owned(), force: false };
        let mut chunks = client.base(request).await.unwrap().into_inner();
        let mut bytes = 0;
        while let Some(part) = chunks.message().await.unwrap() {
            if let Some(wire::base_response::Message::Chunk(chunk)) = part.message {
                bytes += chunk.payload.len();
            }
        }
        bytes
    };
    let started = Instant::now();
    let bytes = sent(&mut client).await;
    let sending = started.elapsed();
    let mut replica = Replica::new(Snapshot::default());
    let started = Instant::now();
    fetch(&mut client, &id, &mut replica).await;
    println!("{bytes} bytes: sent in {sending:?}, sent and applied in {:?}", started.elapsed());
    assert_eq!(replica.snapshot().key_count(), KEYS);
    assert!(sending < Duration::from_secs(60));
}
