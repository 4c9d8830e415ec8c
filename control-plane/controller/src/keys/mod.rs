//! What may happen to API keys.

pub mod rpc;

use std::sync::Arc;

use domain::audit::Actor;
use domain::faults::Fault;
use domain::ids::{KeyId, OrgId, OrgScope, Revision};
use domain::keys::{Key, KeyKind, KeyText, Policy, generate};
use domain::limits::{Budget, Rate, Reset};
use domain::money::Money;
use domain::pools::PoolId;
use domain::routing::Rules;
use domain::time::Timestamp;
use proto::admin::Limits;

use crate::app::App;
use crate::error::Result;
use crate::fault::invalid;
use crate::orgs::parse_name;

/// Most patterns of models that a key may carry, and the longest of them in bytes.
const MOST_PATTERNS: usize = 100;
const LONGEST_PATTERN: usize = 200;

/// A key whose text is known, for this once.
pub struct Made {
    pub key: Key,
    pub text: String,
    pub revision: Revision,
}

/// Makes a key of an organisation.
pub async fn create(
    app: &App,
    actor: Actor,
    scope: OrgScope,
    org: OrgId,
    name: &str,
    policy: Policy,
    expires_at: Option<Timestamp>,
) -> Result<Made> {
    let text = generate(KeyKind::Live, rand::random);
    let (ms, random) = app.fresh();
    let key = Key {
        id: KeyId::new(ms, random),
        org,
        name: parse_name("name", name)?,
        digest: domain::keys::Digest::of(&text),
        hint: hint(&text),
        policy,
        expires_at,
        disabled: false,
        revoked_at: None,
        created_at: app.now(),
    };
    let mut edit = app.store.edit(actor, app.now()).await?;
    store::orgs::load(&mut edit, scope, org).await?;
    store::keys::insert(&mut edit, scope, &key).await?;
    let revision = edit.commit().await?;
    Ok(Made { key, text, revision })
}

/// What an update may change; none leaves a thing as it is.
pub struct Change<'a> {
    pub name: Option<&'a str>,
    pub disabled: Option<bool>,
    pub policy: Option<Policy>,
    pub expires_at: Option<Option<Timestamp>>,
    pub routing: Option<Option<Arc<Rules>>>,
}

/// Changes a key.
pub async fn update(
    app: &App,
    actor: Actor,
    scope: OrgScope,
    id: KeyId,
    change: Change<'_>,
) -> Result<(Key, Revision)> {
    let mut edit = app.store.edit(actor, app.now()).await?;
    let mut key = store::keys::load(&mut edit, scope, id).await?.key;
    if let Some(name) = change.name {
        key.name = parse_name("name", name)?;
    }
    key.disabled = change.disabled.unwrap_or(key.disabled);
    let routing = change.routing.unwrap_or_else(|| key.policy.routing.clone());
    key.policy = Policy { routing, ..change.policy.unwrap_or(key.policy) };
    key.expires_at = change.expires_at.unwrap_or(key.expires_at);
    store::keys::update(&mut edit, scope, &key).await?;
    let revision = edit.commit().await?;
    app.rates.forget(id);
    // Proxies that were refused under the old limits must ask again.
    let budget = key.policy.budget.map(|budget| PoolId::Budget(id, budget.reset.period(app.now())));
    let pools: Vec<PoolId> = budget.into_iter().chain([PoolId::Requests(id), PoolId::Tokens(id)]).collect();
    app.fleet.pool_event(&pools);
    Ok((key, revision))
}

/// Makes a key stop working for good.
pub async fn revoke(app: &App, actor: Actor, scope: OrgScope, id: KeyId) -> Result<Revision> {
    let mut edit = app.store.edit(actor, app.now()).await?;
    store::keys::revoke(&mut edit, scope, id).await?;
    let revision = edit.commit().await?;
    app.rates.forget(id);
    Ok(revision)
}

/// Gives a key a new text; the old one stops working.
pub async fn rotate(app: &App, actor: Actor, scope: OrgScope, id: KeyId) -> Result<Made> {
    let text = generate(KeyKind::Live, rand::random);
    let mut edit = app.store.edit(actor, app.now()).await?;
    let digest = domain::keys::Digest::of(&text);
    let key = store::keys::rotate(&mut edit, scope, id, digest, &hint(&text)).await?.key;
    let revision = edit.commit().await?;
    Ok(Made { key, text, revision })
}

/// The part of a key's text that may be shown later.
pub fn hint(text: &str) -> String {
    let kinds = [KeyKind::Live, KeyKind::Admin];
    let parsed = kinds.iter().find_map(|kind| KeyText::parse(*kind, text).ok());
    parsed.map_or_else(String::new, |key| key.public_part().to_owned())
}

/// Reads limits as people give them; rules of routing are none of them.
pub fn parse_limits(limits: &Limits) -> Result<Policy, Fault> {
    Ok(Policy {
        budget: parse_budget(limits)?,
        requests: parse_rate("rpm", limits.rpm)?,
        tokens: parse_rate("tpm", limits.tpm)?,
        allow_models: parse_patterns(&limits.allow_models)?,
        routing: None,
        unknown_restrictions: 0,
    })
}

fn parse_budget(limits: &Limits) -> Result<Option<Budget>, Fault> {
    let Some(text) = &limits.limit else {
        let alone = limits.reset.is_empty() || limits.reset == Reset::Never.name();
        return if alone { Ok(None) } else { Err(invalid("reset", "it needs a limit to reset")) };
    };
    let amount: Money = text.parse().map_err(|error: domain::money::BadAmount| invalid("limit", error.to_string()))?;
    if amount < Money::ZERO {
        return Err(invalid("limit", "it must not be below nothing"));
    }
    let reset = if limits.reset.is_empty() { Some(Reset::Never) } else { Reset::parse(&limits.reset) };
    let reset = reset.ok_or_else(|| invalid("reset", "daily, weekly, monthly or never"))?;
    Ok(Some(Budget { amount, reset }))
}

fn parse_rate(field: &'static str, units: Option<u64>) -> Result<Option<Rate>, Fault> {
    match units {
        Some(0) => Err(invalid(field, "it must be at least 1; disable the key to stop it")),
        Some(units) if units > 1_000_000_000_000 => Err(invalid(field, "at most a trillion a minute")),
        units => Ok(units.map(Rate::per_minute)),
    }
}

fn parse_patterns(patterns: &[String]) -> Result<Vec<String>, Fault> {
    if patterns.len() > MOST_PATTERNS {
        return Err(invalid("allow_models", format!("at most {MOST_PATTERNS} patterns")));
    }
    let odd = |pattern: &&String| {
        pattern.is_empty() || pattern.len() > LONGEST_PATTERN || !pattern.bytes().all(|b| b.is_ascii_graphic())
    };
    match patterns.iter().find(odd) {
        Some(pattern) => {
            Err(invalid("allow_models", format!("`{}` is not a pattern like openai/*", pattern.escape_debug())))
        }
        None => Ok(patterns.to_vec()),
    }
}

/// Reads a time of expiry: nothing is never, and it must lie ahead.
pub fn parse_expiry(text: &str, now: Timestamp) -> Result<Option<Timestamp>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let at: Timestamp =
        text.parse().map_err(|error: domain::time::BadTime| invalid("expires_at", error.to_string()))?;
    if at <= now { Err(invalid("expires_at", "it is in the past")) } else { Ok(Some(at)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_cannot_bind_is_an_error() {
        let limits = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            parse_limits(&limits)
        };
        assert!(limits(|l| l.reset = "daily".into()).is_err());
        assert!(limits(|l| l.limit = Some("-1".into())).is_err());
        assert!(limits(|l| l.rpm = Some(0)).is_err());
        assert!(limits(|l| l.allow_models = vec![String::new()]).is_err());
        let daily = limits(|l| {
            l.limit = Some("5".into());
            l.reset = "daily".into();
        });
        assert_eq!(
            daily.unwrap().budget,
            Some(Budget { amount: Money::from_nano(5_000_000_000), reset: Reset::Daily })
        );
    }

    #[test]
    fn an_expiry_lies_ahead() {
        let now = Timestamp::from_us(1_000_000);
        assert_eq!(parse_expiry("", now).unwrap(), None);
        assert!(parse_expiry("1970-01-01T00:00:01Z", now).is_err());
        assert!(parse_expiry("1970-01-01T00:00:02Z", now).unwrap().is_some());
    }
}
