use super::*;
use crate::catalog::{Endpoint, Model, PriceList};
use crate::ids::{EndpointId, KeyId, PlanId};
use crate::money::Price;
use crate::orgs::BillingMode;
use crate::providers::{AuthScheme, DataPolicy, Provider};

fn org(n: u128) -> Org {
    Org {
        id: OrgId::new(1, n),
        slug: None,
        name: format!("org {n}"),
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        frozen: false,
        created_at: Timestamp::from_us(1),
        routing: None,
        names: None,
    }
}

fn grant(n: u128, org: OrgId) -> KeyGrant {
    KeyGrant {
        digest: Digest::of(&n.to_string()),
        id: KeyId::new(2, n),
        org,
        policy: Policy::default(),
        expires_at: None,
    }
}

fn provider() -> Provider {
    Provider {
        id: "acme".parse().unwrap(),
        name: "Acme".into(),
        base_url: "https://acme.example/v1".into(),
        dialects: vec!["openai-chat".parse().unwrap()],
        auth: AuthScheme("bearer".into()),
        credential_version: 1,
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
        name: id.into(),
        context_length: 1000,
        max_output_tokens: None,
        input_modalities: vec!["text".into()],
        output_modalities: vec!["text".into()],
        supported_parameters: vec![],
        created: 0,
    }
}

fn endpoint(model: &str) -> Endpoint {
    let model: crate::ids::ModelId = model.parse().unwrap();
    let provider: crate::ids::ProviderId = "acme".parse().unwrap();
    Endpoint {
        id: EndpointId::of(&model, &provider),
        model,
        provider,
        upstream_model: "m".into(),
        prices: PriceList { prompt: Some(Price::ZERO), completion: Some(Price::ZERO), ..PriceList::default() },
        context_length: None,
        max_output_tokens: None,
        quirks: vec![],
        enabled: true,
    }
}

fn apply(snapshot: &Snapshot, revision: u64, resources: Vec<Resource>) -> Snapshot {
    let changes = resources.into_iter().map(|resource| Change::upsert(Revision(revision), resource)).collect();
    snapshot.apply(Revision(revision), changes).0
}

const NOW: Timestamp = Timestamp::from_us(1_000);

#[test]
fn a_key_waits_for_its_organisation() {
    let owner = org(1);
    let key = grant(1, owner.id);
    let early = apply(&Snapshot::default(), 1, vec![Resource::Key(key.clone())]);
    assert!(early.caller(&key.digest, NOW).is_none());
    let complete = apply(&early, 2, vec![Resource::Org(owner.clone())]);
    assert_eq!(complete.caller(&key.digest, NOW).unwrap().org.id, owner.id);
    assert!(early.caller(&key.digest, NOW).is_none(), "an old snapshot does not change");
}

#[test]
fn a_revoked_key_cannot_come_back_by_an_older_change() {
    let owner = org(1);
    let key = grant(1, owner.id);
    let live = apply(&Snapshot::default(), 1, vec![Resource::Org(owner), Resource::Key(key.clone())]);
    let (revoked, _) = live.apply(Revision(5), vec![Change::removed(Revision(5), Kind::Key, key.digest.to_string())]);
    assert!(revoked.caller(&key.digest, NOW).is_none());
    assert_eq!(revoked.key_count(), 0);
    let (stale, _) = live.apply(Revision(5), vec![Change::removed(Revision(0), Kind::Key, key.digest.to_string())]);
    assert!(stale.caller(&key.digest, NOW).is_some(), "an older removal is ignored");
}

#[test]
fn what_is_not_understood_denies() {
    let owner = org(1);
    let key = grant(1, owner.id);
    let live = apply(&Snapshot::default(), 1, vec![Resource::Org(owner), Resource::Key(key.clone())]);
    let refused = Change {
        revision: Revision(2),
        kind: Kind::Key,
        name: key.digest.to_string(),
        content: Content::Refused("odd".into()),
    };
    let (denied, refusals) = live.apply(Revision(2), vec![refused]);
    assert!(denied.caller(&key.digest, NOW).is_none());
    assert_eq!(refusals.len(), 1);
}

#[test]
fn expired_and_restricted_keys_are_nobody() {
    let owner = org(1);
    let mut old = grant(1, owner.id);
    old.expires_at = Some(NOW);
    let mut newer = grant(2, owner.id);
    newer.policy.unknown_restrictions = 1;
    let snapshot = apply(
        &Snapshot::default(),
        1,
        vec![Resource::Org(owner), Resource::Key(old.clone()), Resource::Key(newer.clone())],
    );
    assert!(snapshot.caller(&old.digest, NOW).is_none());
    assert!(snapshot.caller(&newer.digest, NOW).is_none());
}

#[test]
fn bare_slugs_name_a_model_only_when_one_has_it() {
    let rows = vec![
        Resource::Provider(provider()),
        Resource::Model(model("a/one")),
        Resource::Model(model("a/two")),
        Resource::Model(model("b/two")),
        Resource::Endpoint(endpoint("a/one")),
    ];
    let snapshot = apply(&Snapshot::default(), 1, rows);
    let catalogue = snapshot.catalogue();
    assert_eq!(catalogue.model("one").unwrap().routes.len(), 1);
    assert!(catalogue.model("two").is_none());
    assert!(catalogue.model("b/two").unwrap().routes.is_empty());
    assert_eq!(catalogue.models().len(), 3);
    let reachable = apply(&snapshot, 2, vec![Resource::Endpoint(endpoint("b/two"))]);
    let meant = reachable.catalogue().model("two").unwrap();
    assert_eq!(meant.model.id.as_str(), "b/two", "one of them cannot be reached");
    let both = apply(&reachable, 3, vec![Resource::Endpoint(endpoint("a/two"))]);
    assert!(both.catalogue().model("two").is_none());
}

#[test]
fn a_snapshot_is_the_fold_of_its_changes() {
    let owner = org(1);
    let rows = vec![
        Resource::Key(grant(1, owner.id)),
        Resource::Endpoint(endpoint("a/one")),
        Resource::Model(model("a/one")),
        Resource::Provider(provider()),
        Resource::Org(owner.clone()),
        Resource::Key(grant(2, owner.id)),
    ];
    let snapshot = apply(&Snapshot::default(), 3, rows);
    let changes: Vec<Change> = snapshot.changes().collect();
    assert_eq!(changes.len(), 6);
    assert!(changes.windows(2).all(|pair| pair[0].kind <= pair[1].kind), "published in order of kinds");
    let (again, _) = Snapshot::default().apply(snapshot.revision(), changes.clone());
    assert_eq!(again.changes().collect::<Vec<_>>(), changes);
    assert_eq!(again.object_count(), snapshot.object_count());
}
