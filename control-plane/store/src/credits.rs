//! An organisation's credits as the books have them: where its money is, and every entry that moved it.
//!
//! Here it is only read; a [`crate::Posting`] writes.

use std::collections::BTreeMap;

use domain::credits::{Account, Balance, EntryKind, Leg};
use domain::ids::{EntryId, OrgId, OrgScope};
use domain::money::Money;
use domain::time::Timestamp;

use crate::edit::within;
use crate::engine::{Arg, Read, Row, args, in_list};
use crate::error::{Error, Result};

/// One entry of the ledger. Its legs sum to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: EntryId,
    pub org: OrgId,
    pub kind: EntryKind,
    pub at: Timestamp,
    pub actor: String,
    pub note: String,
    pub legs: Vec<Leg>,
}

macro_rules! entry_columns {
    () => {
        "id, org_id, kind, at, actor, note"
    };
}

const EXISTS: &str = "select id from orgs where id = $1";
const BALANCES: &str = "select account, amount from balances where org_id in";
const ENTRIES: &str =
    concat!("select ", entry_columns!(), " from entries where org_id = $1 order by sequence desc limit $2");
const ENTRIES_BEFORE: &str = concat!(
    "select ",
    entry_columns!(),
    " from entries where org_id = $1 and sequence < (select e.sequence from entries e where e.id = $3 and e.org_id = $1) \
     order by sequence desc limit $2"
);
const OF_KEY: &str =
    concat!("select ", entry_columns!(), " from entries where idempotency_key = $1 order by org_id, sequence");
const LEGS: &str = "select entry_id, account, amount from legs where entry_id in";

/// Where an organisation's money is.
pub async fn balance(read_from: impl Into<Read<'_>>, scope: OrgScope, org: OrgId) -> Result<Balance> {
    within(scope, org, "organisation")?;
    let mut from = read_from.into();
    from.one(EXISTS, args![org]).await?.ok_or(Error::NotFound { what: "organisation" })?;
    Ok(balances(&mut from, &[org]).await?.remove(&org).unwrap_or_default())
}

/// Where the money of each of these organisations is; nothing everywhere when there is no row.
pub(crate) async fn balances(from: &mut Read<'_>, orgs: &[OrgId]) -> Result<BTreeMap<OrgId, Balance>> {
    let mut found: BTreeMap<OrgId, Balance> = orgs.iter().map(|org| (*org, Balance::default())).collect();
    let values: Vec<Arg> = orgs.iter().map(Arg::from).collect();
    for row in in_list(from, BALANCES, &values, "", &[]).await? {
        let mut cells = row.cells();
        let (account, amount) = (cells.word(|text| text.parse::<Account>().ok())?, cells.take()?);
        if let Some(balance) = account.org().and_then(|org| found.get_mut(&org)) {
            set(balance, &account, amount);
        }
    }
    Ok(found)
}

fn set(balance: &mut Balance, account: &Account, amount: Money) {
    match account {
        Account::Available(_) => balance.available = amount,
        Account::Leased(_) => balance.leased = amount,
        Account::Quarantine(_) => balance.quarantined = amount,
        Account::Settled(_) => balance.settled = amount,
        Account::Refunded(_) => balance.refunded = amount,
        Account::Funding(_) | Account::WriteOff(_) | Account::Payable => {}
    }
}

/// An organisation's entries, newest first, before the one named.
pub async fn entries(
    read_from: impl Into<Read<'_>>,
    scope: OrgScope,
    org: OrgId,
    before: Option<EntryId>,
    limit: u32,
) -> Result<Vec<Entry>> {
    within(scope, org, "organisation")?;
    let mut from = read_from.into();
    let rows = match before {
        Some(before) => from.all(ENTRIES_BEFORE, args![org, limit, before]).await?,
        None => from.all(ENTRIES, args![org, limit]).await?,
    };
    with_legs(&mut from, &rows).await
}

/// What was posted under an idempotency key.
pub(crate) async fn entries_of(from: &mut Read<'_>, idempotency_key: &str) -> Result<Vec<Entry>> {
    let rows = from.all(OF_KEY, args![idempotency_key]).await?;
    with_legs(from, &rows).await
}

async fn with_legs(from: &mut Read<'_>, rows: &[Row]) -> Result<Vec<Entry>> {
    let mut entries = rows.iter().map(read).collect::<Result<Vec<Entry>>>()?;
    let ids: Vec<Arg> = entries.iter().map(|entry| Arg::from(entry.id)).collect();
    let mut legs: BTreeMap<EntryId, Vec<Leg>> = BTreeMap::new();
    for row in in_list(from, LEGS, &ids, "order by entry_id, line", &[]).await? {
        let mut cells = row.cells();
        let entry = cells.take()?;
        let account = cells.word(|text| text.parse().ok())?;
        legs.entry(entry).or_default().push(Leg { account, amount: cells.take()? });
    }
    for entry in &mut entries {
        entry.legs = legs.remove(&entry.id).unwrap_or_default();
    }
    Ok(entries)
}

fn read(row: &Row) -> Result<Entry> {
    let mut cells = row.cells();
    Ok(Entry {
        id: cells.take()?,
        org: cells.take()?,
        kind: cells.word(EntryKind::parse)?,
        at: cells.take()?,
        actor: cells.take()?,
        note: cells.take()?,
        legs: Vec::new(),
    })
}
