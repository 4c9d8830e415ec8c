//! Providers and the platform's credential at each. The credential is a sealed blob: this room cannot open it, and it
//! never travels with the row. Next room: `catalog.rs`.

use std::ops::Deref;

use domain::catalog::DialectId;
use domain::ids::{ProviderId, Revision};
use domain::providers::{AccountLimits, AuthScheme, DataPolicy, Provider};
use domain::snapshot::Kind;

use crate::edit::{Edit, Touch, Written};
use crate::engine::{Arg, Read, Row, args};
use crate::error::{Error, Result};
use crate::keys::words;

/// A provider with the revision of its last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub provider: Provider,
    pub revision: Revision,
}

impl Deref for Stored {
    type Target = Provider;
    fn deref(&self) -> &Provider {
        &self.provider
    }
}

/// A sealed credential. No Debug: a sealed secret has no business in a log either.
pub struct Credential {
    pub version: u64,
    pub sealed: Vec<u8>,
}

macro_rules! columns {
    () => {
        "id, name, base_url, dialects, auth, credential_version, regions, training, retention_days, zdr, insecure, \
         enabled, revision, requests_per_minute, tokens_per_minute"
    };
}
pub(crate) use columns;

const INSERT: &str = "insert into providers (id, name, base_url, dialects, auth, credential_version, regions, training, \
    retention_days, zdr, insecure, enabled, revision, requests_per_minute, tokens_per_minute) \
    values ($1, $2, $3, $4, $5, 0, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
const UPDATE: &str = "update providers set name = $2, base_url = $3, dialects = $4, auth = $5, regions = $6, \
    training = $7, retention_days = $8, zdr = $9, insecure = $10, enabled = $11, revision = $12, \
    requests_per_minute = $13, tokens_per_minute = $14 where id = $1";
const LOAD: &str = concat!("select ", columns!(), " from providers where id = $1");
const LIST: &str = concat!("select ", columns!(), " from providers order by id");
const SET_CREDENTIAL: &str = "update providers set credential = $3, credential_version = $2, revision = $4 \
    where id = $1 and credential_version = $2 - 1";
const CREDENTIAL: &str = "select credential_version, credential from providers where id = $1";
const HAS_ENDPOINTS: &str = "select id from endpoints where provider_id = $1 limit 1";
const REMOVE: &str = "delete from providers where id = $1";

pub(crate) fn read(row: &Row) -> Result<Stored> {
    let mut cells = row.cells();
    let mut provider = Provider {
        id: cells.take()?,
        name: cells.take()?,
        base_url: cells.take()?,
        dialects: cells.list::<DialectId>()?,
        auth: AuthScheme(cells.take()?),
        credential_version: cells.take()?,
        regions: cells.list()?,
        data_policy: DataPolicy { training: cells.maybe()?, retention_days: cells.maybe()?, zdr: cells.maybe()? },
        limits: AccountLimits::default(),
        insecure: cells.take()?,
        enabled: cells.take()?,
    };
    let revision = cells.take()?;
    provider.limits = AccountLimits { requests_per_minute: cells.maybe()?, tokens_per_minute: cells.maybe()? };
    Ok(Stored { provider, revision })
}

fn values(provider: &Provider, revision: Revision) -> Result<Vec<Arg>> {
    let dialects: Vec<&str> = provider.dialects.iter().map(DialectId::as_str).collect();
    Ok(args![
        &provider.id,
        &provider.name,
        &provider.base_url,
        words(&dialects)?,
        &provider.auth.0,
        words(&provider.regions)?,
        provider.data_policy.training,
        provider.data_policy.retention_days,
        provider.data_policy.zdr,
        provider.insecure,
        provider.enabled,
        revision,
        provider.limits.requests_per_minute,
        provider.limits.tokens_per_minute,
    ])
}

async fn find(read_from: impl Into<Read<'_>>, id: &ProviderId) -> Result<Option<Stored>> {
    read_from.into().one(LOAD, args![id]).await?.as_ref().map(read).transpose()
}

/// Makes a provider's row what is given. Its credential stays what it is. Disabling is urgent.
pub async fn upsert(edit: &mut Edit, provider: &Provider) -> Result<Written> {
    let before = find(&mut *edit, &provider.id).await?.map(|stored| stored.provider);
    let version = before.as_ref().map_or(0, |before| before.credential_version);
    let after = Provider { credential_version: version, ..provider.clone() };
    if before.as_ref() == Some(&after) {
        return Ok(Written::Unchanged);
    }
    let values = values(&after, edit.revision())?;
    edit.execute(if before.is_some() { UPDATE } else { INSERT }, values).await?;
    let cut = before.as_ref().is_some_and(|before| before.enabled) && !after.enabled;
    edit.touch(Kind::Provider, &after.id, if cut { Touch::CUT } else { Touch::UPSERT });
    let (action, written) = match before {
        Some(_) => ("providers.update", Written::Changed),
        None => ("providers.create", Written::Created),
    };
    edit.audit(None, action, &after.id, format!("{}, {}", after.base_url, enabled_word(after.enabled)));
    Ok(written)
}

fn enabled_word(enabled: bool) -> &'static str {
    if enabled { "enabled" } else { "disabled" }
}

/// The provider with this id.
pub async fn load(read_from: impl Into<Read<'_>>, id: &ProviderId) -> Result<Stored> {
    find(read_from, id).await?.ok_or(Error::NotFound { what: "provider" })
}

/// Every provider by id.
pub async fn list(read_from: impl Into<Read<'_>>) -> Result<Vec<Stored>> {
    read_from.into().all(LIST, args![]).await?.iter().map(read).collect()
}

/// Takes a provider out of routing, or puts it back.
pub async fn set_enabled(edit: &mut Edit, id: &ProviderId, enabled: bool) -> Result<Written> {
    let stored = load(&mut *edit, id).await?;
    upsert(edit, &Provider { enabled, ..stored.provider }).await
}

/// Replaces the platform's credential. `version` must be the one after the present: what sealed the blob bound it in.
pub async fn set_credential(edit: &mut Edit, id: &ProviderId, version: u64, sealed: &[u8]) -> Result<()> {
    load(&mut *edit, id).await?;
    let revision = edit.revision();
    if edit.execute(SET_CREDENTIAL, args![id, version, sealed, revision]).await? != 1 {
        return Err(Error::Conflict { what: "credential version" });
    }
    edit.touch(Kind::Provider, id, Touch::UPSERT);
    edit.audit(None, "providers.credential", id, format!("version {version}"));
    Ok(())
}

/// The platform's sealed credential, if there is one.
pub async fn credential(read_from: impl Into<Read<'_>>, id: &ProviderId) -> Result<Option<Credential>> {
    let row = read_from.into().one(CREDENTIAL, args![id]).await?.ok_or(Error::NotFound { what: "provider" })?;
    let mut cells = row.cells();
    let version = cells.take()?;
    Ok(cells.maybe()?.map(|sealed| Credential { version, sealed }))
}

/// Removes a provider that no endpoint names.
pub async fn remove(edit: &mut Edit, id: &ProviderId) -> Result<()> {
    load(&mut *edit, id).await?;
    if edit.tx().one(HAS_ENDPOINTS, args![id]).await?.is_some() {
        return Err(Error::Conflict { what: "provider with endpoints" });
    }
    edit.execute(REMOVE, args![id]).await?;
    edit.touch(Kind::Provider, id, Touch::REMOVED);
    edit.audit(None, "providers.remove", id, "");
    Ok(())
}
