//! What must always add up, as SQL over one moment: the invariants L1 to L9 of the ledger. Only looks; a failure is for
//! people.

use std::collections::BTreeMap;

use domain::credits::{EntryKind, Leg};
use domain::ids::{EntryId, OrgId};
use domain::keys::Digest;
use domain::time::Timestamp;

use crate::engine::{Arg, Read, Row, Tx, args, in_list};
use crate::error::Result;
use crate::posting::ledger::{Origin, hash};
use crate::store::Store;

/// One invariant and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// `L1` to `L9`.
    pub name: &'static str,
    pub promise: &'static str,
    pub ok: bool,
    /// What does not add up; empty when all does.
    pub detail: String,
}

/// A promise and the questions whose answers, one text each, are what breaks it.
struct Promise {
    name: &'static str,
    promise: &'static str,
    questions: &'static [&'static str],
}

/// How many offenders are named.
const NAMED: usize = 5;

const PROMISES: &[Promise] = &[
    Promise {
        name: "L1",
        promise: "the legs of every entry sum to nothing",
        questions: &["select entry_id from legs group by entry_id having sum(amount) <> 0 order by entry_id limit 5"],
    },
    Promise {
        name: "L2",
        promise: "every balance is the sum of its legs",
        questions: &["select account from (select account, amount from balances \
            union all select account, -amount from legs) as both_sides \
            group by account having sum(amount) <> 0 order by account limit 5"],
    },
    Promise {
        name: "L3",
        promise: "all accounts together sum to nothing",
        questions: &[
            "select 'all accounts' from (select coalesce(sum(amount), 0) as total from balances) as t where total <> 0",
        ],
    },
    Promise {
        name: "L4",
        promise: "what an organisation was given is where it is, and leases say the same as accounts and budgets",
        questions: &[
            "select org_id from (select org_id, amount from balances where org_id is not null \
             union all select e.org_id, l.amount from legs l join entries e on e.id = l.entry_id \
             where l.account like 'funding:%') as both_sides \
             group by org_id having sum(amount) <> 0 order by org_id limit 5",
            "select account from (select account, amount from balances \
             where account like 'org:%:leased' or account like 'org:%:quarantine' \
             union all select 'org:' || org_id || case when state = 'active' then ':leased' else ':quarantine' end, \
             settled_total + returned_total - granted_total from leases \
             where pool like 'credits:%' and state <> 'closed') as both_sides \
             group by account having sum(amount) <> 0 order by account limit 5",
            "select pool from (select pool, leased, quarantined from budgets \
             union all select pool, \
             case when state = 'active' then settled_total + returned_total - granted_total else 0 end, \
             case when state = 'quarantined' then settled_total + returned_total - granted_total else 0 end \
             from leases where pool like 'budget:%' and state <> 'closed') as both_sides \
             group by pool having sum(leased) <> 0 or sum(quarantined) <> 0 order by pool limit 5",
            "select pool || ' ' || proxy from leases \
             where state = 'closed' and granted_total - returned_total - settled_total <> 0 order by pool limit 5",
        ],
    },
    Promise {
        name: "L5",
        promise: "every record up to each proxy's mark is booked once, and days count as many as marks",
        questions: &[
            "select m.proxy || ' ' || cast(m.epoch as text) from marks m left join \
             (select proxy, epoch, count(*) as booked, max(sequence) as last from usage group by proxy, epoch) u \
             on u.proxy = m.proxy and u.epoch = m.epoch \
             where coalesce(u.booked, 0) + m.pruned <> m.last_sequence \
             or coalesce(u.last, m.last_sequence) <> m.last_sequence order by m.proxy limit 5",
            "select u.proxy from usage u left join marks m on m.proxy = u.proxy and m.epoch = u.epoch \
             where m.proxy is null limit 5",
            "select 'days' from (select coalesce(sum(requests), 0) as counted from usage_days) as d, \
             (select coalesce(sum(last_sequence), 0) as marked from marks) as m where counted <> marked",
        ],
    },
    Promise {
        name: "L6",
        promise: "what records cost is what was charged, per organisation and day and per budget",
        questions: &[
            "select org_id || ' day ' || cast(day as text) from \
             (select org_id, recorded_at / 86400000000 as day, cost as amount from usage \
             union all select e.org_id, e.at / 86400000000, -l.amount from legs l join entries e on e.id = l.entry_id \
             where e.kind = 'charge' and l.account like 'org:%:settled') as both_sides \
             group by org_id, day having sum(amount) <> 0 order by org_id limit 5",
            "select pool from (select budget as pool, cost as amount from usage where budget is not null \
             union all select pool, -settled from budgets) as both_sides \
             group by pool having sum(amount) <> 0 order by pool limit 5",
        ],
    },
    Promise {
        name: "L7",
        promise: "every request has at most one record",
        questions: &[
            "select request_id from usage group by request_id having count(*) > 1 order by request_id limit 5",
        ],
    },
    Promise {
        name: "L8",
        promise: "no leg without its entry, no entry without its number or its key, no refund above what was given",
        questions: &[
            "select l.entry_id from legs l left join entries e on e.id = l.entry_id where e.id is null limit 5",
            "select e.id from entries e left join legs l on l.entry_id = e.id where l.entry_id is null limit 5",
            "select e.idempotency_key from entries e left join postings p on p.idempotency_key = e.idempotency_key \
             where e.idempotency_key is not null and p.idempotency_key is null limit 5",
            "select org_id from (select org_id, count(*) as booked, max(sequence) as last from entries group by org_id) \
             as numbered where booked <> last order by org_id limit 5",
            "select org_id from (select e.org_id, \
             case when l.account like 'funding:%' then l.amount else 0 end as given, \
             case when l.account like 'org:%:refunded' then l.amount else 0 end as refunded \
             from legs l join entries e on e.id = l.entry_id) as sums \
             group by org_id having sum(given) + sum(refunded) > 0 order by org_id limit 5",
        ],
    },
];

/// Re-adds everything, over one moment.
pub async fn verify(store: &Store) -> Result<Vec<Check>> {
    let mut tx = store.engine().begin_snapshot().await?;
    let mut checks = Vec::with_capacity(PROMISES.len() + 1);
    for promise in PROMISES {
        checks.push(ask(&mut tx, promise).await?);
    }
    let broken = broken_chains(&mut tx).await?;
    checks.push(check("L9", "every entry carries the hash of the one before it", broken));
    Ok(checks)
}

async fn ask(tx: &mut Tx, promise: &Promise) -> Result<Check> {
    let mut broken = Vec::new();
    for question in promise.questions {
        for row in tx.all(*question, args![]).await? {
            broken.push(row.first::<String>()?);
        }
    }
    Ok(check(promise.name, promise.promise, broken))
}

fn check(name: &'static str, promise: &'static str, broken: Vec<String>) -> Check {
    let detail = broken.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    Check { name, promise, ok: broken.is_empty(), detail }
}

const CHAIN: &str = "select id, org_id, sequence, kind, idempotency_key, actor, at, note, prev_hash, hash from entries \
    where (org_id, sequence) > ($1, $2) order by org_id, sequence limit 500";
const CHAIN_LEGS: &str = "select entry_id, account, amount from legs where entry_id in";
const HEADS: &str = "select org_id, entries, head from books where org_id > $1 order by org_id limit 500";

/// An entry as the chain sees it.
struct Link {
    id: EntryId,
    org: OrgId,
    sequence: u64,
    kind: EntryKind,
    key: Option<String>,
    actor: String,
    at: Timestamp,
    note: String,
    prev: Digest,
    hash: Digest,
}

fn read(row: &Row) -> Result<Link> {
    let mut cells = row.cells();
    Ok(Link {
        id: cells.take()?,
        org: cells.take()?,
        sequence: cells.take()?,
        kind: cells.word(EntryKind::parse)?,
        key: cells.maybe()?,
        actor: cells.take()?,
        at: cells.take()?,
        note: cells.take()?,
        prev: cells.take()?,
        hash: cells.take()?,
    })
}

/// Walks every chain from its beginning and compares its end with the books. Names broken entries and organisations.
async fn broken_chains(tx: &mut Tx) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    let mut ends: BTreeMap<OrgId, (u64, Digest)> = BTreeMap::new();
    let mut after = args!["", 0i64];
    loop {
        let rows = tx.all(CHAIN, after).await?;
        let links = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
        let Some(last) = links.last() else { break };
        after = args![last.org, last.sequence];
        let mut legs = legs_of(tx, &links).await?;
        for link in links {
            let (sequence, head) = ends.get(&link.org).copied().unwrap_or((0, Digest::from_bytes([0; 32])));
            let own = legs.remove(&link.id).unwrap_or_default();
            if link.sequence != sequence + 1 || link.prev != head || recomputed(&link, &own) != link.hash {
                broken.push(link.id.to_string());
            }
            ends.insert(link.org, (link.sequence, link.hash));
        }
    }
    compare_heads(tx, &ends, &mut broken).await?;
    Ok(broken)
}

fn recomputed(link: &Link, legs: &[Leg]) -> Digest {
    let origin = Origin { key: link.key.as_deref(), actor: &link.actor, at: link.at, note: &link.note };
    Digest::from_bytes(hash(*link.prev.as_bytes(), link.org, link.sequence, link.kind, origin, legs))
}

async fn legs_of(tx: &mut Tx, links: &[Link]) -> Result<BTreeMap<EntryId, Vec<Leg>>> {
    let ids: Vec<Arg> = links.iter().map(|link| Arg::from(link.id)).collect();
    let mut legs: BTreeMap<EntryId, Vec<Leg>> = BTreeMap::new();
    for row in in_list(&mut Read::from(tx), CHAIN_LEGS, &ids, "order by entry_id, line", &[]).await? {
        let mut cells = row.cells();
        let entry = cells.take()?;
        let account = cells.word(|text| text.parse().ok())?;
        legs.entry(entry).or_default().push(Leg { account, amount: cells.take()? });
    }
    Ok(legs)
}

async fn compare_heads(tx: &mut Tx, ends: &BTreeMap<OrgId, (u64, Digest)>, broken: &mut Vec<String>) -> Result<()> {
    let mut after = String::new();
    loop {
        let rows = tx.all(HEADS, args![&after]).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.first()?;
        for row in &rows {
            let mut cells = row.cells();
            let org: OrgId = cells.take()?;
            let end = (cells.take()?, cells.take()?);
            if ends.get(&org).copied().unwrap_or((0, Digest::from_bytes([0; 32]))) != end {
                broken.push(org.to_string());
            }
        }
    }
}
