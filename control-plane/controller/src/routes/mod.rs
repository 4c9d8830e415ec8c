//! Where requests would have gone under other rules: recorded requests are priced once more, page by page.
//! Reads metadata only, changes nothing and asks nobody. Next rooms: `replay`, the pure counting, and `standing`, how
//! endpoints did.

mod replay;
pub mod rpc;
mod standing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use domain::faults::Fault;
use domain::ids::{OrgId, OrgScope, RequestId, Revision};
use domain::routing::Rules;
use domain::snapshot::{Change, Resource, Snapshot};
use domain::time::Timestamp;
use store::usage::Query;

use crate::app::App;
use crate::error::Result;
use crate::fault::invalid;
use replay::{Replay, Simulation};

/// Records that are read at once.
const PAGE: u32 = 2_000;

/// What is to be simulated.
pub struct Wish {
    pub rules: Arc<Rules>,
    pub since: Timestamp,
    /// Not this moment itself.
    pub until: Timestamp,
    pub org: Option<OrgId>,
    /// As somebody named it.
    pub model: Option<String>,
}

/// Replays what the scope may see. Holds one page of records, and a few numbers for each model and endpoint.
pub async fn simulate(app: &App, scope: OrgScope, wish: &Wish) -> Result<Simulation> {
    by_pages(app, scope, wish, PAGE).await
}

async fn by_pages(app: &App, scope: OrgScope, wish: &Wish, page: u32) -> Result<Simulation> {
    let snapshot = catalogue(app).await?;
    let catalogue = snapshot.catalogue();
    let only = wish.model.as_deref().map(|name| replay::named(catalogue, name).ok_or_else(|| unknown(name)));
    let only = only.transpose()?.map(|entry| &entry.model.id);
    let mut replay = Replay::new(catalogue, wish.rules.clone(), only);
    match wish.org {
        Some(org) => {
            store::orgs::load(&app.store, scope, org).await?;
            add(app, scope, wish, (org, page), &mut replay).await?;
        }
        None => {
            let mut last = None;
            while let Some(org) = store::usage::next_org(&app.store, scope, last).await? {
                add(app, scope, wish, (org, page), &mut replay).await?;
                last = Some(org);
            }
        }
    }
    Ok(replay.end())
}

fn unknown(name: &str) -> Fault {
    invalid("model", format!("`{}` is not on offer", name.chars().take(200).collect::<String>()))
}

/// Adds an organisation's records, so many at a time.
async fn add(
    app: &App,
    scope: OrgScope,
    wish: &Wish,
    (org, limit): (OrgId, u32),
    replay: &mut Replay<'_>,
) -> Result<()> {
    let mut before = (wish.until, RequestId::from_u128(0));
    loop {
        let query = Query { org, key: None, since: Some(wish.since), before: Some(before), limit };
        let page = store::usage::list(&app.store, scope, &query).await?;
        page.iter().for_each(|booked| replay.add(booked));
        match page.last().filter(|_| u32::try_from(page.len()).is_ok_and(|count| count == limit)) {
            Some(last) => before = (last.started_at, last.request),
            None => return Ok(()),
        }
    }
}

/// What is on offer now, as proxies index it.
async fn catalogue(app: &App) -> Result<Snapshot> {
    let providers = store::providers::list(&app.store).await?.into_iter().map(|row| Resource::Provider(row.provider));
    let models = store::catalog::list_models(&app.store).await?.into_iter().map(Resource::Model);
    let endpoints = store::catalog::list_endpoints(&app.store).await?.into_iter();
    let endpoints = endpoints.map(|listed| Resource::Endpoint(listed.endpoint));
    let changes = providers.chain(models).chain(endpoints).map(|resource| Change::upsert(Revision(1), resource));
    Ok(Snapshot::default().apply(Revision(1), changes.collect()).0)
}
