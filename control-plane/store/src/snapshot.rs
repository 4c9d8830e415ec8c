//! What proxies are told: the present form of named resources, or everything there is at one revision.
//!
//! A resource that is not there, or a key that is disabled or revoked, is a removal. Next room: the publisher.

use std::collections::BTreeMap;

use domain::ids::Revision;
use domain::keys::Digest;
use domain::snapshot::{Change, Content, KeyGrant, Kind, Resource};

use crate::engine::{Arg, Read, Row, Tx, args, in_list};
use crate::error::{Error, Result};
use crate::keys::{policy_columns, read_policy};
use crate::revisions::{self, Named};
use crate::store::Store;
use crate::{catalog, orgs, providers};

macro_rules! providers_select {
    () => {
        concat!("select ", providers::columns!(), " from providers")
    };
}
macro_rules! models_select {
    () => {
        concat!("select ", catalog::model_columns!(), " from models")
    };
}
macro_rules! orgs_select {
    () => {
        concat!("select ", orgs::columns!(), " from orgs")
    };
}
macro_rules! keys_select {
    () => {
        concat!(
            "select digest, id, org_id, expires_at, revision, ",
            policy_columns!(),
            " from keys where not disabled and revoked_at is null"
        )
    };
}

/// How one kind of resource is found by names, and listed after a name.
struct Texts {
    named: &'static str,
    after: &'static str,
}

const fn texts(kind: Kind) -> Texts {
    match kind {
        Kind::Provider => Texts {
            named: concat!(providers_select!(), " where id in"),
            after: concat!(providers_select!(), " where id > $1 order by id limit $2"),
        },
        Kind::Model => Texts {
            named: concat!(models_select!(), " where id in"),
            after: concat!(models_select!(), " where id > $1 order by id limit $2"),
        },
        Kind::Endpoint => Texts {
            named: concat!(catalog::endpoint_select!(), " where id in"),
            after: concat!(catalog::endpoint_select!(), " where id > $1 order by id limit $2"),
        },
        Kind::Org => Texts {
            named: concat!(orgs_select!(), " where id in"),
            after: concat!(orgs_select!(), " where id > $1 order by id limit $2"),
        },
        Kind::Key => Texts {
            named: concat!(keys_select!(), " and digest in"),
            after: concat!(keys_select!(), " and digest > $1 order by digest limit $2"),
        },
    }
}

/// Reads a row of one kind, and what it is called in the table.
fn read(kind: Kind, row: &Row) -> Result<(Arg, Change)> {
    Ok(match kind {
        Kind::Provider => {
            let stored = providers::read(row)?;
            (Arg::from(&stored.provider.id), Change::upsert(stored.revision, Resource::Provider(stored.provider)))
        }
        Kind::Model => {
            let (model, revision) = catalog::read_model(row)?;
            (Arg::from(&model.id), Change::upsert(revision, Resource::Model(model)))
        }
        Kind::Endpoint => {
            let listed = catalog::read_endpoint(row)?;
            (Arg::from(&listed.endpoint.id), Change::upsert(listed.revision, Resource::Endpoint(listed.endpoint)))
        }
        Kind::Org => {
            let (org, revision) = orgs::read(row)?;
            (Arg::from(org.id), Change::upsert(revision, Resource::Org(org)))
        }
        Kind::Key => {
            let (grant, revision) = read_grant(row)?;
            (Arg::from(grant.digest), Change::upsert(revision, Resource::Key(grant)))
        }
    })
}

fn read_grant(row: &Row) -> Result<(KeyGrant, Revision)> {
    let mut cells = row.cells();
    let digest = cells.take()?;
    let id = cells.take()?;
    let org = cells.take()?;
    let expires_at = cells.maybe()?;
    let revision = cells.take()?;
    Ok((KeyGrant { digest, id, org, policy: read_policy(&mut cells)?, expires_at }, revision))
}

/// What a name of the change log is in its table; none for a name that no row could have.
fn in_table(named: &Named) -> Option<Arg> {
    match named.kind {
        Kind::Key => Digest::parse_hex(&named.name).map(Arg::from),
        _ => Some(Arg::from(named.name.as_str())),
    }
}

/// The present form of what is named, each once: rows with their own revision, removals with that of the change log.
pub async fn load(read_from: impl Into<Read<'_>>, names: &[Named]) -> Result<Vec<Change>> {
    let mut from = read_from.into();
    let mut wanted: BTreeMap<(Kind, String), &Named> = BTreeMap::new();
    for named in names {
        let newest = wanted.entry((named.kind, named.name.clone())).or_insert(named);
        if newest.revision < named.revision {
            *newest = named;
        }
    }
    let mut changes = Vec::with_capacity(wanted.len());
    for kind in Kind::ALL {
        let of_kind = wanted.values().filter(|named| named.kind == *kind);
        let values: Vec<Arg> = of_kind.filter_map(|named| in_table(named)).collect();
        let rows = in_list(&mut from, texts(*kind).named, &values, "", &[]).await?;
        for row in &rows {
            changes.push(read(*kind, row)?.1);
        }
    }
    for change in &changes {
        wanted.remove(&(change.kind, name_of(change)));
    }
    let gone = wanted.into_values().map(|named| Change::removed(named.revision, named.kind, &named.name));
    changes.extend(gone);
    Ok(changes)
}

fn name_of(change: &Change) -> String {
    match &change.content {
        Content::Upsert(resource) => resource.name(),
        Content::Removed | Content::Refused(_) => change.name.clone(),
    }
}

/// Everything at one revision, page by page. Holds a read transaction: drop it when done.
pub struct Base {
    tx: Tx,
    revision: Revision,
    kinds: std::slice::Iter<'static, Kind>,
    /// The kind being listed, and what was listed last.
    at: Option<(Kind, Arg)>,
}

/// Begins to read everything there is now.
pub async fn base(store: &Store) -> Result<Base> {
    let mut tx = store.engine().begin_snapshot().await?;
    let revision = revisions::head(&mut tx).await?;
    let mut kinds = Kind::ALL.iter();
    let at = kinds.next().map(|kind| (*kind, before_all(*kind)));
    Ok(Base { tx, revision, kinds, at })
}

fn before_all(kind: Kind) -> Arg {
    match kind {
        Kind::Key => Arg::from(&[] as &[u8]),
        _ => Arg::from(""),
    }
}

impl Base {
    /// The revision that all pages belong to.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The next page of one kind: kinds in the order of publication, keys by digest. None when all was given.
    pub async fn next(&mut self, limit: u32) -> Result<Option<Vec<Change>>> {
        if limit == 0 {
            return Err(Error::Misuse { what: "a page of nothing" });
        }
        while let Some((kind, after)) = self.at.take() {
            let rows = self.tx.all(texts(kind).after, args![after, limit]).await?;
            let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
            let mut changes = Vec::with_capacity(rows.len());
            let mut last = None;
            for row in &rows {
                let (name, change) = read(kind, row)?;
                last = Some(name);
                changes.push(change);
            }
            self.at = match last.filter(|_| full) {
                Some(last) => Some((kind, last)),
                None => self.kinds.next().map(|kind| (*kind, before_all(*kind))),
            };
            if !changes.is_empty() {
                return Ok(Some(changes));
            }
        }
        Ok(None)
    }
}
