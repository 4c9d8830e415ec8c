//! Brings an open posting to the tables: entries, legs, balances, books, budgets, leases and the mark, then commits.

use std::collections::BTreeMap;

use domain::credits::Account;
use domain::ids::{EntryId, OrgId};
use domain::pools::PoolId;

use super::ledger::{Origin, Sealed};
use super::{Funds, Posting};
use crate::engine::{Arg, Bulk, args};
use crate::error::{Error, Result};
use crate::nudges::{Nudge, announce, attach};
use crate::usage;

static ENTRIES: Bulk = Bulk::new(
    10,
    "insert into entries (id, org_id, sequence, kind, idempotency_key, actor, at, note, prev_hash, hash) values",
    "",
);
static LEGS: Bulk = Bulk::new(4, "insert into legs (entry_id, line, account, amount) values", "");
static BALANCES: Bulk = Bulk::new(
    3,
    "insert into balances (account, org_id, amount) values",
    "on conflict (account) do update set amount = balances.amount + excluded.amount",
);
static BOOKS: Bulk = Bulk::new(
    3,
    "insert into books (org_id, entries, head) values",
    "on conflict (org_id) do update set entries = excluded.entries, head = excluded.head",
);
static BUDGETS: Bulk = Bulk::new(
    7,
    "insert into budgets (pool, org_id, key_id, period, settled, leased, quarantined) values",
    "on conflict (pool) do update set settled = excluded.settled, leased = excluded.leased, \
           quarantined = excluded.quarantined",
);
static LEASES: Bulk = Bulk::new(
    14,
    "insert into leases (pool, proxy, epoch, org_id, granted_total, returned_total, settled_total, \
           last_sequence, typical, direct, recall_keep, recalled_at, opened_at, state) values",
    "on conflict (pool, proxy, epoch) do update set granted_total = excluded.granted_total, \
           returned_total = excluded.returned_total, settled_total = excluded.settled_total, \
           last_sequence = excluded.last_sequence, recall_keep = excluded.recall_keep, \
           recalled_at = excluded.recalled_at, typical = excluded.typical, direct = excluded.direct, \
           state = excluded.state",
);
const MARK: &str = "update marks set last_sequence = $3, digest = $4, drained = $5, renewed_at = $6 \
    where proxy = $1 and epoch = $2";

pub(super) async fn commit(mut posting: Posting) -> Result<Vec<EntryId>> {
    if let Some(what) = posting.misuse {
        return Err(Error::Misuse { what });
    }
    let entries = write_entries(&mut posting).await?;
    write_budgets(&mut posting).await?;
    write_leases(&mut posting).await?;
    write_mark(&mut posting).await?;
    // Last and sorted: rows that batches of several proxies may touch without a lock in common.
    usage::add_days(&mut posting.tx, &posting.days).await?;
    let nudges: Vec<Nudge> = std::mem::take(&mut posting.nudges).into_iter().collect();
    attach(&mut posting.tx, &nudges).await?;
    let on_postgres = posting.tx.is_postgres();
    posting.tx.commit().await?;
    announce(on_postgres, &posting.local, nudges);
    Ok(entries)
}

async fn write_entries(posting: &mut Posting) -> Result<Vec<EntryId>> {
    let Posting { tx, ledger, actor, now, key, note, .. } = posting;
    let origin = Origin { key: key.as_deref(), actor, at: *now, note };
    let entries = ledger.seal(origin);
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let rows = entries.iter().map(|entry| {
        args![
            entry.id,
            entry.org,
            entry.sequence,
            entry.kind.name(),
            key.clone(),
            &*actor,
            *now,
            &*note,
            entry.prev,
            entry.hash,
        ]
    });
    let rows = rows.collect();
    ENTRIES.run(tx, rows).await?;
    let legs = entries.iter().flat_map(|entry| {
        entry.legs.iter().enumerate().map(|(line, leg)| args![entry.id, line, leg.account.to_string(), leg.amount])
    });
    let legs = legs.collect();
    LEGS.run(tx, legs).await?;
    BALANCES.run(tx, balance_rows(&entries)?).await?;
    let touched: BTreeMap<OrgId, ()> = entries.iter().map(|entry| (entry.org, ())).collect();
    let books = ledger.books().filter(|(org, _)| touched.contains_key(org));
    let books = books.map(|(org, book)| args![org, book.entries, book.head]).collect();
    BOOKS.run(tx, books).await?;
    Ok(entries.into_iter().map(|entry| entry.id).collect())
}

/// What each account moved by, sorted: rows that all organisations share are locked in the same order by everyone.
fn balance_rows(entries: &[Sealed]) -> Result<Vec<Vec<Arg>>> {
    let mut moves: BTreeMap<&Account, i64> = BTreeMap::new();
    for leg in entries.iter().flat_map(|entry| &entry.legs) {
        let sum = moves.entry(&leg.account).or_default();
        *sum = sum.checked_add(leg.amount.nano()).ok_or(Error::Overflow { what: "an account" })?;
    }
    Ok(moves.into_iter().map(|(account, amount)| args![account.to_string(), account.org(), amount]).collect())
}

async fn write_budgets(posting: &mut Posting) -> Result<()> {
    let rows = posting.pools.iter().filter_map(|(id, loaded)| match &loaded.funds {
        Funds::Budget { key, period, state, changed: true, .. } => {
            Some(args![id, loaded.org, key, period, state.settled, state.leased, state.quarantined])
        }
        _ => None,
    });
    let rows = rows.collect();
    BUDGETS.run(&mut posting.tx, rows).await
}

async fn write_leases(posting: &mut Posting) -> Result<()> {
    let pools = &posting.pools;
    let find = |pool: &PoolId, proxy, epoch| pools.get(pool).and_then(|loaded| loaded.leases.get(&(proxy, epoch)));
    let leases = posting.moved.iter().filter_map(|(pool, proxy, epoch)| find(pool, proxy.clone(), *epoch));
    let rows = leases.map(|lease| {
        args![
            lease.pool,
            &lease.proxy,
            lease.epoch,
            lease.org,
            lease.granted_total,
            lease.returned_total,
            lease.settled_total,
            lease.last_sequence,
            lease.typical,
            lease.direct,
            lease.recall.map(|recall| recall.keep),
            lease.recalled_at,
            lease.opened_at,
            lease.state.name(),
        ]
    });
    let rows = rows.collect();
    LEASES.run(&mut posting.tx, rows).await
}

async fn write_mark(posting: &mut Posting) -> Result<()> {
    let Some(marked) = posting.mark.as_ref().filter(|marked| marked.changed) else { return Ok(()) };
    let mark = &marked.mark;
    let values = args![&marked.proxy, marked.epoch, mark.last_sequence, mark.digest, mark.drained, mark.renewed_at];
    posting.tx.execute(MARK, values).await.map(drop)
}
