//! What may happen to organisations.

pub mod rpc;

use std::sync::Arc;

use domain::audit::Actor;
use domain::faults::{Fault, FaultCode};
use domain::ids::{OrgId, OrgScope, PlanId, Revision};
use domain::orgs::{BillingMode, Org};
use domain::routing::Rules;

use crate::app::App;
use crate::error::Result;
use crate::fault::invalid;

/// The longest name of anything, in bytes.
pub const LONGEST_NAME: usize = 200;

/// Makes an organisation.
pub async fn create(app: &App, actor: Actor, name: &str, slug: &str) -> Result<(Org, Revision)> {
    let (ms, random) = app.fresh();
    let org = Org {
        id: OrgId::new(ms, random),
        slug: parse_slug(slug)?,
        name: parse_name("name", name)?,
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        frozen: false,
        created_at: app.now(),
        routing: None,
        names: None,
    };
    let mut edit = app.store.edit(actor, app.now()).await?;
    store::orgs::insert(&mut edit, &org).await?;
    let revision = edit.commit().await?;
    Ok((org, revision))
}

/// What an update may change; none leaves a thing as it is.
#[derive(Default)]
pub struct Change<'a> {
    pub name: Option<&'a str>,
    pub frozen: Option<bool>,
    pub plan: Option<PlanId>,
    pub routing: Option<Option<Arc<Rules>>>,
}

/// Renames, freezes, thaws, gives another plan, or replaces the rules of routing.
pub async fn update(
    app: &App,
    actor: Actor,
    scope: OrgScope,
    id: OrgId,
    change: Change<'_>,
) -> Result<(Org, Revision)> {
    let mut edit = app.store.edit(actor, app.now()).await?;
    let mut org = store::orgs::load(&mut edit, scope, id).await?;
    if let Some(name) = change.name {
        org.name = parse_name("name", name)?;
    }
    org.frozen = change.frozen.unwrap_or(org.frozen);
    org.plan = change.plan.unwrap_or(org.plan);
    org.routing = change.routing.unwrap_or(org.routing);
    store::orgs::update(&mut edit, scope, &org).await?;
    let revision = edit.commit().await?;
    Ok((org, revision))
}

/// A name that people gave something.
pub fn parse_name(field: &'static str, text: &str) -> Result<String, Fault> {
    let name = text.trim();
    if name.is_empty() {
        return Err(invalid(field, "it must not be empty"));
    }
    if name.len() > LONGEST_NAME || name.contains('\0') || name.contains(char::is_control) {
        return Err(invalid(field, format!("at most {LONGEST_NAME} bytes, and no control characters")));
    }
    Ok(name.to_owned())
}

fn parse_slug(text: &str) -> Result<Option<String>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse::<domain::ids::ProviderId>() {
        Ok(slug) => Ok(Some(slug.to_string())),
        Err(_) => Err(invalid("slug", "letters a to z, digits and hyphens only")),
    }
}

/// An id that a request names.
pub fn parse_id<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<T, Fault>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| Fault::new(FaultCode::InvalidRequest, error.to_string()).param(field))
}
