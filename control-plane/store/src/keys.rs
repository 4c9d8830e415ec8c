//! API keys. Proxies know a key by its digest, so a key that is disabled, revoked or rotated is a removal of that name.
//!
//! The text of a key never comes here. Next room: `snapshot.rs`, which publishes what is written here.

use std::ops::Deref;
use std::sync::Arc;

use domain::ids::{KeyId, OrgId, OrgScope, Revision};
use domain::keys::{Digest, Key, Policy};
use domain::limits::{Budget, Rate, Reset};
use domain::snapshot::Kind;
use serde::Serialize;

use crate::edit::{Edit, Touch, Written, within};
use crate::engine::{Arg, Bulk, Cells, Read, Row, args};
use crate::error::{Error, Result};
use crate::orgs;

/// A key with the revision of its last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub key: Key,
    pub revision: Revision,
}

impl Deref for Stored {
    type Target = Key;
    fn deref(&self) -> &Key {
        &self.key
    }
}

/// Which part of a list.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    pub include_revoked: bool,
    pub after: Option<KeyId>,
    pub limit: u32,
}

macro_rules! policy_columns {
    () => {
        "budget_nano, budget_reset, requests_per_minute, requests_burst, tokens_per_minute, tokens_burst, \
         allow_models, routing, unknown_restrictions"
    };
}
pub(crate) use policy_columns;

macro_rules! columns {
    () => {
        concat!(
            "id, org_id, name, digest, hint, ",
            policy_columns!(),
            ", expires_at, disabled, revoked_at, created_at, revision"
        )
    };
}

static INSERT: Bulk = Bulk::new(
    19,
    "insert into keys (id, org_id, name, digest, hint, budget_nano, budget_reset, requests_per_minute, \
           requests_burst, tokens_per_minute, tokens_burst, allow_models, routing, unknown_restrictions, expires_at, disabled, \
           revoked_at, created_at, revision) values",
    "",
);
const LOAD: &str = concat!("select ", columns!(), " from keys where id = $1");
const HAS_DIGEST: &str = "select id from keys where digest = $1";
const LIST: &str = concat!(
    "select ",
    columns!(),
    " from keys where org_id = $1 and id > $2 and (revoked_at is null or $3) order by id limit $4"
);
const UPDATE: &str = "update keys set name = $2, budget_nano = $3, budget_reset = $4, requests_per_minute = $5, \
    requests_burst = $6, tokens_per_minute = $7, tokens_burst = $8, allow_models = $9, routing = $10, \
    unknown_restrictions = $11, expires_at = $12, disabled = $13, revision = $14 where id = $1";
const REVOKE: &str = "update keys set revoked_at = $2, revision = $3 where id = $1";
const ROTATE: &str = "update keys set digest = $2, hint = $3, revision = $4 where id = $1";

fn read(row: &Row) -> Result<Stored> {
    let mut cells = row.cells();
    let key = Key {
        id: cells.take()?,
        org: cells.take()?,
        name: cells.take()?,
        digest: cells.take()?,
        hint: cells.take()?,
        policy: read_policy(&mut cells)?,
        expires_at: cells.maybe()?,
        disabled: cells.take()?,
        revoked_at: cells.maybe()?,
        created_at: cells.take()?,
    };
    Ok(Stored { key, revision: cells.take()? })
}

/// Reads what `policy_columns` selects.
pub(crate) fn read_policy(cells: &mut Cells<'_>) -> Result<Policy> {
    let amount = cells.maybe()?;
    let reset = cells.maybe_word(Reset::parse)?;
    Ok(Policy {
        budget: amount.map(|amount| Budget { amount, reset: reset.unwrap_or(Reset::Never) }),
        requests: read_rate(cells)?,
        tokens: read_rate(cells)?,
        allow_models: cells.list()?,
        routing: cells.json()?,
        unknown_restrictions: cells.take()?,
    })
}

fn read_rate(cells: &mut Cells<'_>) -> Result<Option<Rate>> {
    let per_minute = cells.maybe()?;
    let burst = cells.maybe()?;
    Ok(per_minute.map(|per_minute| Rate { per_minute, burst: burst.unwrap_or(per_minute) }))
}

fn policy_values(policy: &Policy) -> Result<Vec<Arg>> {
    let budget = policy.budget;
    Ok(args![
        budget.map(|budget| budget.amount),
        budget.map(|budget| budget.reset.name().to_owned()),
        policy.requests.map(|rate| rate.per_minute),
        policy.requests.map(|rate| rate.burst),
        policy.tokens.map(|rate| rate.per_minute),
        policy.tokens.map(|rate| rate.burst),
        words(&policy.allow_models)?,
        json_text(policy.routing.as_ref())?,
        policy.unknown_restrictions,
    ])
}

/// A list of words as it stands in a column.
pub(crate) fn words<T: AsRef<str>>(list: &[T]) -> Result<String> {
    let list: Vec<&str> = list.iter().map(AsRef::as_ref).collect();
    serde_json::to_string(&list).map_err(|source| Error::Corrupt { what: source.to_string() })
}

/// Something as it stands in a column of JSON.
pub(crate) fn json_text<T: Serialize>(value: Option<&Arc<T>>) -> Result<Option<String>> {
    let text = value.map(|value| serde_json::to_string(&**value)).transpose();
    text.map_err(|source| Error::Corrupt { what: source.to_string() })
}

fn row(key: &Key, revision: Revision) -> Result<Vec<Arg>> {
    let mut values = args![key.id, key.org, &key.name, key.digest, &key.hint];
    values.extend(policy_values(&key.policy)?);
    values.extend(args![key.expires_at, key.disabled, key.revoked_at, key.created_at, revision]);
    Ok(values)
}

fn works(key: &Key) -> bool {
    !key.disabled && key.revoked_at.is_none()
}

/// Adds a key.
pub async fn insert(edit: &mut Edit, scope: OrgScope, key: &Key) -> Result<()> {
    orgs::load(&mut *edit, scope, key.org).await?;
    digest_is_free(edit, &key.digest).await?;
    let values = row(key, edit.revision())?;
    INSERT.run(edit.tx(), vec![values]).await.map_err(|error| error.naming("key"))?;
    publish_new(edit, key);
    edit.audit(Some(key.org), "keys.create", key.id, format!("name {}, {}", key.name, key.hint));
    Ok(())
}

/// Adds many keys of one organisation, with one line in the audit log.
pub async fn insert_many(edit: &mut Edit, scope: OrgScope, keys: &[Key]) -> Result<()> {
    let Some(first) = keys.first() else { return Ok(()) };
    if keys.iter().any(|key| key.org != first.org) {
        return Err(Error::Misuse { what: "keys of several organisations in one insert" });
    }
    orgs::load(&mut *edit, scope, first.org).await?;
    let revision = edit.revision();
    let rows = keys.iter().map(|key| row(key, revision)).collect::<Result<Vec<_>>>()?;
    INSERT.run(edit.tx(), rows).await.map_err(|error| error.naming("key"))?;
    for key in keys {
        publish_new(edit, key);
    }
    edit.audit(Some(first.org), "keys.create", first.org, format!("{} keys", keys.len()));
    Ok(())
}

fn publish_new(edit: &mut Edit, key: &Key) {
    if works(key) {
        edit.touch(Kind::Key, key.digest, Touch::UPSERT);
    }
}

async fn digest_is_free(edit: &mut Edit, digest: &Digest) -> Result<()> {
    match edit.tx().one(HAS_DIGEST, args![digest]).await? {
        Some(_) => Err(Error::Conflict { what: "key" }),
        None => Ok(()),
    }
}

/// The key with this id.
pub async fn load(read_from: impl Into<Read<'_>>, scope: OrgScope, id: KeyId) -> Result<Stored> {
    load_from(&mut read_from.into(), scope, id).await
}

pub(crate) async fn load_from(from: &mut Read<'_>, scope: OrgScope, id: KeyId) -> Result<Stored> {
    let found = from.one(LOAD, args![id]).await?.ok_or(Error::NotFound { what: "key" })?;
    let stored = read(&found)?;
    within(scope, stored.org, "key")?;
    Ok(stored)
}

/// An organisation's keys by age.
pub async fn list(read_from: impl Into<Read<'_>>, scope: OrgScope, org: OrgId, page: Page) -> Result<Vec<Stored>> {
    within(scope, org, "organisation")?;
    let after = page.after.map_or(String::new(), |id| id.to_string());
    let values = args![org, after, page.include_revoked, page.limit];
    read_from.into().all(LIST, values).await?.iter().map(read).collect()
}

/// Changes name, policy, expiry and whether the key is disabled. Disabling is an urgent removal, enabling an upsert.
pub async fn update(edit: &mut Edit, scope: OrgScope, key: &Key) -> Result<Written> {
    let before = load(&mut *edit, scope, key.id).await?.key;
    if before.revoked_at.is_some() {
        return Err(Error::Conflict { what: "revoked key" });
    }
    let after = Key {
        name: key.name.clone(),
        policy: key.policy.clone(),
        expires_at: key.expires_at,
        disabled: key.disabled,
        ..before.clone()
    };
    if before == after {
        return Ok(Written::Unchanged);
    }
    let mut values = args![after.id, &after.name];
    values.extend(policy_values(&after.policy)?);
    values.extend(args![after.expires_at, after.disabled, edit.revision()]);
    edit.execute(UPDATE, values).await?;
    match (works(&before), works(&after)) {
        (true, false) => edit.touch(Kind::Key, after.digest, Touch::REVOKED),
        (_, true) => edit.touch(Kind::Key, after.digest, Touch::UPSERT),
        (false, false) => {}
    }
    edit.audit(Some(after.org), "keys.update", after.id, differences(&before, &after));
    Ok(Written::Changed)
}

fn differences(before: &Key, after: &Key) -> String {
    let parts = [
        (before.name != after.name, "name"),
        (before.policy.routing != after.policy.routing, "routing"),
        (has_other_limits(&before.policy, &after.policy), "limits"),
        (before.expires_at != after.expires_at, "expiry"),
        (!before.disabled && after.disabled, "disabled"),
        (before.disabled && !after.disabled, "enabled"),
    ];
    parts.iter().filter(|(differs, _)| *differs).map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

fn has_other_limits(before: &Policy, after: &Policy) -> bool {
    Policy { routing: after.routing.clone(), ..before.clone() } != *after
}

/// Ends a key for ever. The second time nothing happens.
pub async fn revoke(edit: &mut Edit, scope: OrgScope, id: KeyId) -> Result<Written> {
    let key = load(&mut *edit, scope, id).await?.key;
    if key.revoked_at.is_some() {
        return Ok(Written::Unchanged);
    }
    let (now, revision) = (edit.now(), edit.revision());
    edit.execute(REVOKE, args![id, now, revision]).await?;
    edit.touch(Kind::Key, key.digest, Touch::REVOKED);
    edit.audit(Some(key.org), "keys.revoke", id, format!("name {}, {}", key.name, key.hint));
    Ok(Written::Changed)
}

/// Gives a key a new text: the old one stops working at once.
pub async fn rotate(edit: &mut Edit, scope: OrgScope, id: KeyId, digest: Digest, hint: &str) -> Result<Stored> {
    let before = load(&mut *edit, scope, id).await?.key;
    if before.revoked_at.is_some() {
        return Err(Error::Conflict { what: "revoked key" });
    }
    digest_is_free(edit, &digest).await?;
    let revision = edit.revision();
    edit.execute(ROTATE, args![id, digest, hint, revision]).await?;
    edit.touch(Kind::Key, before.digest, Touch::REVOKED);
    let key = Key { digest, hint: hint.to_owned(), ..before };
    publish_new(edit, &key);
    edit.audit(Some(key.org), "keys.rotate", id, format!("name {}, now {hint}", key.name));
    Ok(Stored { key, revision })
}
