//! What a rehearsal plays on: a gate like the real one, with a snapshot of one customer and one free model, a spool that
//! keeps nothing, a link that leads nowhere, and numbers that nobody reads.

use std::{net::SocketAddr, sync::Arc};

use domain::{
    catalog::{Endpoint, Model, PriceList},
    ids::{EndpointId, KeyId, ModelId, OrgId, PlanId, ProviderId, Revision},
    keys::{Digest, KeyKind, Policy, generate},
    money::Price,
    orgs::{BillingMode, Org},
    providers::{AuthScheme, DataPolicy, Provider},
    snapshot::{Change, KeyGrant, Resource, Snapshot},
    time::Timestamp,
};
use runtime::metrics::Registry;
use tokio::sync::watch;

use crate::{connection::Load, gate::Gate, spool::Spool, sync::Link, worker::Worker};

/// See the module's head.
pub(super) struct Stage {
    pub gate: Arc<Gate>,
    pub load: Arc<Load>,
    /// The customer's key. It opens nothing but this stage.
    pub key: String,
}

impl Stage {
    /// A stage on which the provider is at this address; none when it cannot be had.
    pub fn set(worker: &Worker, provider: SocketAddr) -> Option<Stage> {
        let real = &worker.gate;
        let key = generate(KeyKind::Live, || 7);
        let gate = Gate {
            settings: real.settings.clone(),
            identity: real.identity.clone(),
            clock: real.clock.clone(),
            link: Link::apart(snapshot(worker, provider, &key)?, real.clock.clone()),
            spool: Spool::of_nothing(real.clock.clone()).ok()?,
            upstream: real.upstream.clone(),
            metrics: Arc::new(Registry::new()),
            readiness: real.readiness.clone(),
            shutdown: real.shutdown.clone(),
            primed: watch::Sender::new(0),
        };
        Some(Stage { gate: Arc::new(gate), load: Arc::default(), key })
    }
}

/// One organisation, one key, one model at one provider.
fn snapshot(worker: &Worker, address: SocketAddr, key: &str) -> Option<Snapshot> {
    let created_at = worker.wall(worker.gate.clock.monotonic());
    let org = Org {
        id: OrgId::new(0, 1),
        slug: None,
        name: "Rehearsal".to_owned(),
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        frozen: false,
        created_at,
        routing: None,
        names: None,
    };
    let grant = KeyGrant {
        digest: Digest::of(key),
        id: KeyId::new(0, 1),
        org: org.id,
        policy: Policy::default(),
        expires_at: None,
    };
    let provider = provider(address)?;
    let model = model(created_at)?;
    let endpoint = endpoint(&model.id, &provider.id);
    let resources = [
        Resource::Provider(provider),
        Resource::Model(model),
        Resource::Endpoint(endpoint),
        Resource::Org(org),
        Resource::Key(grant),
    ];
    let revision = Revision(1);
    let changes = resources.map(|resource| Change::upsert(revision, resource)).to_vec();
    let (snapshot, refusals) = Snapshot::default().apply(revision, changes);
    refusals.is_empty().then_some(snapshot)
}

pub(super) fn provider(address: SocketAddr) -> Option<Provider> {
    Some(Provider {
        id: "rehearsal".parse::<ProviderId>().ok()?,
        name: "Rehearsal".to_owned(),
        base_url: format!("http://{address}/v1"),
        dialects: vec![codec::dialect::openai_chat::DIALECT.id.parse().ok()?],
        auth: AuthScheme::parse("none").ok()?,
        credential_version: 0,
        regions: Vec::new(),
        data_policy: DataPolicy::default(),
        limits: Default::default(),
        insecure: false,
        enabled: true,
    })
}

pub(super) fn model(created_at: Timestamp) -> Option<Model> {
    Some(Model {
        id: "tollgate/rehearsal".parse::<ModelId>().ok()?,
        name: "Rehearsal".to_owned(),
        context_length: 1_000,
        max_output_tokens: None,
        input_modalities: vec!["text".to_owned()],
        output_modalities: vec!["text".to_owned()],
        supported_parameters: Vec::new(),
        created: created_at.seconds(),
    })
}

/// Free, so that nothing has to be borrowed for it.
fn endpoint(model: &ModelId, provider: &ProviderId) -> Endpoint {
    let free = Price::per_million("0").ok();
    Endpoint {
        id: EndpointId::of(model, provider),
        model: model.clone(),
        provider: provider.clone(),
        upstream_model: "rehearsal".to_owned(),
        prices: PriceList { prompt: free, completion: free, ..PriceList::default() },
        context_length: None,
        max_output_tokens: None,
        quirks: Vec::new(),
        enabled: true,
    }
}
