//! What is on offer, and the one way to change it: an apply. Declarative and idempotent; nothing is deleted by omission.

pub mod file;
mod parse;
pub mod rpc;
pub mod seed;

use std::collections::BTreeSet;

use domain::audit::Actor;
use domain::catalog::{Endpoint, Model, PRICE_COLUMNS};
use domain::faults::{Fault, FaultCode};
use domain::ids::{EndpointId, ModelId, OrgId, OrgScope, PlanId, ProviderId, Revision};
use domain::money::Money;
use domain::orgs::{BillingMode, Org};
use domain::providers::Provider;
use domain::time::Timestamp;
use proto::admin::ApplyRequest;
use runtime::Secret;
use store::catalog::Listed;
use store::{Edit, Written};

use crate::app::App;
use crate::error::Result;

/// A price that moves by more than this, either way, is thought a slip of the pen.
const JUMP: i64 = 10;

/// What a file asks for, checked.
pub struct Wish {
    pub providers: Vec<(Provider, Option<Secret>)>,
    pub models: Vec<Model>,
    pub endpoints: Vec<WishedEndpoint>,
    pub orgs: Vec<WishedOrg>,
    pub dry_run: bool,
    pub prune: bool,
    pub force: bool,
}

/// An endpoint and where its prices are from.
pub struct WishedEndpoint {
    pub endpoint: Endpoint,
    pub price_source: String,
    pub price_date: String,
}

/// An organisation by its slug, and what it is granted once.
pub struct WishedOrg {
    pub slug: String,
    pub name: String,
    pub credits: Option<Money>,
}

/// What an apply did, or would do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    pub created: Vec<String>,
    pub changed: Vec<String>,
    pub unchanged: Vec<String>,
    pub removed: Vec<String>,
}

impl Done {
    fn note(&mut self, what: String, written: Written) {
        match written {
            Written::Created => self.created.push(what),
            Written::Changed => self.changed.push(what),
            Written::Unchanged => self.unchanged.push(what),
        }
    }
}

/// Several requests as one: what a later one says of a row is what counts.
pub fn join(requests: impl IntoIterator<Item = ApplyRequest>) -> ApplyRequest {
    requests.into_iter().fold(ApplyRequest::default(), |mut all, one| {
        all.providers.extend(one.providers);
        all.models.extend(one.models);
        all.orgs.extend(one.orgs);
        all
    })
}

/// Refuses what must fail, before there is a database: a row with a mistake always, and an endpoint at a provider that
/// nobody knows where the installation will have nothing but `seeds` and the request.
pub fn check_early(request: &ApplyRequest, seeds: Option<seed::Seeds>) -> Result<()> {
    let wish = parse::wish(request.clone(), Timestamp::from_us(0))?;
    let Some(seeds) = seeds else { return Ok(()) };
    let named: BTreeSet<&ProviderId> = wish.providers.iter().map(|(provider, _)| &provider.id).collect();
    let endpoints = wish.endpoints.iter().map(|wished| &wished.endpoint);
    let elsewhere: Vec<&Endpoint> = endpoints.filter(|endpoint| !named.contains(&endpoint.provider)).collect();
    if elsewhere.is_empty() {
        return Ok(());
    }
    let seeded = seeds.providers()?;
    match elsewhere.into_iter().find(|endpoint| !seeded.contains(endpoint.provider.as_str())) {
        Some(endpoint) => Err(missing(endpoint, "provider", endpoint.provider.as_str()).into()),
        None => Ok(()),
    }
}

/// Makes the installation what the request says, in one edit, then grants what it promises.
pub async fn apply(app: &App, actor: Actor, scope: OrgScope, request: ApplyRequest) -> Result<(Done, Revision)> {
    let wish = parse::wish(request, app.now())?;
    let mut done = Done::default();
    let mut edit = app.store.edit(actor, app.now()).await?;
    for (provider, credential) in &wish.providers {
        put_provider(app, &mut edit, provider, credential.as_ref(), &mut done).await?;
    }
    for model in &wish.models {
        let written = store::catalog::upsert_model(&mut edit, model).await?;
        done.note(format!("model {}", model.id), written);
    }
    for wished in &wish.endpoints {
        put_endpoint(&mut edit, wished, wish.force, &mut done).await?;
    }
    let mut grants = Vec::new();
    for wished in &wish.orgs {
        let id = put_org(app, &mut edit, scope, wished, &mut done).await?;
        grants.extend(wished.credits.map(|credits| (id, &wished.slug, credits)));
    }
    if wish.prune {
        prune(&mut edit, &wish, &mut done).await?;
    }
    if wish.dry_run {
        let head = edit.revision();
        return Ok((done, Revision(head.0.saturating_sub(1))));
    }
    let revision = edit.commit().await?;
    for (org, slug, credits) in grants {
        crate::credits::grant(app, actor, scope, org, credits, &format!("apply:{slug}"), "apply").await?;
    }
    Ok((done, revision))
}

async fn put_provider(
    app: &App,
    edit: &mut Edit,
    provider: &Provider,
    credential: Option<&Secret>,
    done: &mut Done,
) -> Result<()> {
    let mut written = store::providers::upsert(edit, provider).await?;
    if let Some(secret) = credential
        && put_credential(app, edit, &provider.id, secret).await?
        && written == Written::Unchanged
    {
        written = Written::Changed;
    }
    done.note(format!("provider {}", provider.id), written);
    Ok(())
}

/// Seals a credential under the next version, unless it is the one that is there. Says whether it changed.
pub async fn put_credential(app: &App, edit: &mut Edit, provider: &ProviderId, secret: &Secret) -> Result<bool> {
    let present = store::providers::credential(&mut *edit, provider).await?;
    if let Some(row) = &present
        && let Ok(old) = app.seal.open(&crate::providers::binding(provider, row.version), &row.sealed)
        && old.matches(secret.expose())
    {
        return Ok(false);
    }
    let version = present.map_or(0, |row| row.version) + 1;
    let sealed = app.seal.seal(&crate::providers::binding(provider, version), secret.expose())?;
    store::providers::set_credential(edit, provider, version, &sealed).await?;
    Ok(true)
}

async fn put_endpoint(edit: &mut Edit, wished: &WishedEndpoint, force: bool, done: &mut Done) -> Result<()> {
    let endpoint = &wished.endpoint;
    if !force && let Some(present) = known(store::catalog::load_endpoint(&mut *edit, &endpoint.id).await)? {
        refuse_jumps(&present, wished)?;
    }
    match store::providers::load(&mut *edit, &endpoint.provider).await {
        Ok(_) => {}
        Err(store::Error::NotFound { .. }) => {
            return Err(missing(endpoint, "provider", endpoint.provider.as_str()).into());
        }
        Err(error) => return Err(error.into()),
    }
    let written = store::catalog::upsert_endpoint(edit, endpoint, &wished.price_source, &wished.price_date).await?;
    done.note(format!("endpoint {}", endpoint.id), written);
    Ok(())
}

fn missing(endpoint: &Endpoint, what: &str, name: &str) -> Fault {
    Fault::new(
        FaultCode::InvalidRequest,
        format!("endpoint {}: there is no {what} `{name}`, here or in the file", endpoint.id),
    )
    .param("models")
}

fn known<T>(loaded: store::Result<T>) -> Result<Option<T>> {
    match loaded {
        Ok(row) => Ok(Some(row)),
        Err(store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A price that jumps by more than ten times is refused unless the caller insists. The operator's first own price in the
/// place of the seed's is no jump: the seed's was never theirs.
fn refuse_jumps(present: &Listed, wished: &WishedEndpoint) -> Result<()> {
    let Err(jump) = find_jump(&present.endpoint, &wished.endpoint) else { return Ok(()) };
    if seed::is_price_source(&present.price_source)? && !seed::is_price_source(&wished.price_source)? {
        return Ok(());
    }
    Err(jump.into())
}

fn find_jump(old: &Endpoint, new: &Endpoint) -> Result<(), Fault> {
    for column in PRICE_COLUMNS {
        let (Some(before), Some(after)) = ((column.get)(&old.prices), (column.get)(&new.prices)) else { continue };
        let (low, high) = (before.pico().min(after.pico()), before.pico().max(after.pico()));
        if low > 0 && high > low.saturating_mul(JUMP) {
            let what = format!(
                "endpoint {}: the price `{}` would move from {} to {}, more than {JUMP} times; say `admin apply --force` if that is meant",
                new.id,
                column.name,
                column.format(before),
                column.format(after),
            );
            return Err(Fault::new(FaultCode::InvalidRequest, what).param("prices"));
        }
    }
    Ok(())
}

async fn put_org(app: &App, edit: &mut Edit, scope: OrgScope, wished: &WishedOrg, done: &mut Done) -> Result<OrgId> {
    let what = format!("org {}", wished.slug);
    if let Some(mut org) = store::orgs::find_slug(&mut *edit, scope, &wished.slug).await? {
        org.name.clone_from(&wished.name);
        let written = store::orgs::update(edit, scope, &org).await?;
        done.note(what, written);
        return Ok(org.id);
    }
    let (ms, random) = app.fresh();
    let org = Org {
        id: OrgId::new(ms, random),
        slug: Some(wished.slug.clone()),
        name: wished.name.clone(),
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        frozen: false,
        created_at: app.now(),
        routing: None,
        names: None,
    };
    store::orgs::insert(edit, &org).await?;
    done.note(what, Written::Created);
    Ok(org.id)
}

/// Removes catalogue rows that the wish does not name: endpoints first, then what they hung on.
async fn prune(edit: &mut Edit, wish: &Wish, done: &mut Done) -> Result<()> {
    let endpoints: BTreeSet<&EndpointId> = wish.endpoints.iter().map(|wished| &wished.endpoint.id).collect();
    for listed in store::catalog::list_endpoints(&mut *edit).await? {
        if !endpoints.contains(&listed.endpoint.id) {
            store::catalog::remove_endpoint(edit, &listed.endpoint.id).await?;
            done.removed.push(format!("endpoint {}", listed.endpoint.id));
        }
    }
    let models: BTreeSet<&ModelId> = wish.models.iter().map(|model| &model.id).collect();
    for model in store::catalog::list_models(&mut *edit).await? {
        if !models.contains(&model.id) {
            store::catalog::remove_model(edit, &model.id).await?;
            done.removed.push(format!("model {}", model.id));
        }
    }
    let providers: BTreeSet<&ProviderId> = wish.providers.iter().map(|(provider, _)| &provider.id).collect();
    for stored in store::providers::list(&mut *edit).await? {
        if !providers.contains(&stored.provider.id) {
            store::providers::remove(edit, &stored.provider.id).await?;
            done.removed.push(format!("provider {}", stored.provider.id));
        }
    }
    Ok(())
}
