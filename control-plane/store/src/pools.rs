//! Pools and the leases on them, as rows: what is lent to which life of which proxy, and up to where each is booked.
//!
//! Here it is only read; a [`crate::Posting`] changes it. Whether to lend is the lender's business, not this room's.

use domain::ids::{BootEpoch, KeyId, OrgId, OrgScope, ProxyId};
use domain::keys::Digest;
use domain::limits::{Budget, Period};
use domain::money::Money;
use domain::pools::PoolId;
use domain::time::Timestamp;

use crate::engine::{Read, Row, args};
use crate::error::Result;
use crate::keys;
use crate::store::Store;

/// A money pool with its leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    pub id: PoolId,
    pub org: OrgId,
    /// The organisation is not frozen and the key, if it is a key's, neither revoked nor disabled.
    pub live: bool,
    /// The key's budget as it is now; none for credits, and for a key that has none any more.
    pub budget: Option<Budget>,
    /// What may be lent. Below nothing when a budget was cut, or after charges above what was lent.
    pub available: Money,
    pub leased: Money,
    pub quarantined: Money,
    pub settled: Money,
    pub leases: Vec<Lease>,
}

/// What one life of one proxy was lent of one pool. Totals are cumulative and never start anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub pool: PoolId,
    pub org: OrgId,
    pub proxy: ProxyId,
    pub epoch: BootEpoch,
    pub granted_total: Money,
    pub returned_total: Money,
    pub settled_total: Money,
    /// Sequence of the last message that asked for this pool.
    pub last_sequence: u64,
    /// What requests here typically need, as the lender last said.
    pub typical: Money,
    /// The proxy was last told to keep nothing.
    pub direct: bool,
    /// A recall that was not answered yet.
    pub recall: Option<Recall>,
    /// When the last recall was set, answered or not; 0 never.
    pub recalled_at: Timestamp,
    pub opened_at: Timestamp,
    /// When this life of the proxy was last heard of.
    pub renewed_at: Timestamp,
    pub state: LeaseState,
}

impl Lease {
    /// What is out on it: neither back nor settled.
    pub fn remaining(&self) -> Money {
        let back = self.returned_total.nano().saturating_add(self.settled_total.nano());
        Money::from_nano(self.granted_total.nano().saturating_sub(back))
    }
}

/// A durable wish to have money back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recall {
    /// What the proxy may keep.
    pub keep: Money,
    pub at: Timestamp,
}

/// Where a lease's money counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// Out at a living proxy.
    Active,
    /// Out at a proxy that is thought dead.
    Quarantined,
    /// Given back; late charges go to the pool itself.
    Closed,
}

impl LeaseState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            LeaseState::Active => "active",
            LeaseState::Quarantined => "quarantined",
            LeaseState::Closed => "closed",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<LeaseState> {
        [LeaseState::Active, LeaseState::Quarantined, LeaseState::Closed].into_iter().find(|state| state.name() == word)
    }
}

/// Where a charge was taken from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Charged {
    pub leased: Money,
    pub quarantined: Money,
    /// What no open lease of this life covered: a charge above its hold, or one that came late. This is the only thing
    /// that can take a pool below nothing.
    pub available: Money,
}

/// Whose leases to load with a pool.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    /// Every open lease, and this life's in whatever state.
    All(&'a ProxyId, BootEpoch),
    /// This life's only.
    Only(&'a ProxyId, BootEpoch),
}

/// Up to where the records of one life of a proxy are booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub last_sequence: u64,
    /// Running digest of the records, as the caller computes it.
    pub digest: [u8; 32],
    /// No further record will come.
    pub drained: bool,
    pub renewed_at: Timestamp,
    /// The newest life of this proxy that is known.
    pub newest_epoch: BootEpoch,
}

/// What a key's budget counts in one period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BudgetState {
    pub settled: Money,
    pub leased: Money,
    pub quarantined: Money,
}

macro_rules! lease_select {
    () => {
        "select l.pool, l.org_id, l.proxy, l.epoch, l.granted_total, l.returned_total, l.settled_total, \
         l.last_sequence, l.typical, l.direct, l.recall_keep, l.recalled_at, l.opened_at, coalesce(m.renewed_at, l.opened_at), l.state \
         from leases l left join marks m on m.proxy = l.proxy and m.epoch = l.epoch"
    };
}
pub(crate) use lease_select;

const OF_PROXY: &str = concat!(lease_select!(), " where l.proxy = $1 and l.state <> 'closed' order by l.epoch, l.pool");
const OF_EPOCH: &str =
    concat!(lease_select!(), " where l.proxy = $1 and l.epoch = $2 and l.state <> 'closed' order by l.pool");
// `<> 'closed'` names the index of open leases, of which there are few.
const RENEWED_BEFORE: &str = concat!(
    lease_select!(),
    " where l.state <> 'closed' and l.state = 'active' and l.granted_total > l.returned_total + l.settled_total \
     and coalesce(m.renewed_at, l.opened_at) < $1 order by l.proxy, l.epoch, l.pool limit $2"
);
const USED_UP_BEFORE: &str = concat!(
    lease_select!(),
    " where l.state <> 'closed' and l.state = 'active' and l.granted_total <= l.returned_total + l.settled_total \
     and coalesce(m.renewed_at, l.opened_at) < $1 order by l.proxy, l.epoch, l.pool limit $2"
);
const QUARANTINED: &str = concat!(
    lease_select!(),
    " where l.state <> 'closed' and l.state = 'quarantined' order by l.proxy, l.epoch, l.pool limit $1"
);
const RECALLED: &str = concat!(
    lease_select!(),
    " where l.proxy = $1 and l.state <> 'closed' and l.recall_keep is not null order by l.pool"
);
const BUDGET: &str = "select settled, leased, quarantined from budgets where pool = $1";
const MARKS: &str = "select proxy, epoch, last_sequence, digest, drained, renewed_at, \
    (select max(n.epoch) from marks n where n.proxy = marks.proxy) from marks order by proxy, epoch";
const FORGET_DOWNTIME: &str = "update marks set renewed_at = renewed_at + $1";
const BEAT: &str = "insert into controllers (id, seen_at) values ($1, $2) \
    on conflict (id) do update set seen_at = excluded.seen_at";
const LAST_BEAT: &str = "select max(seen_at) from controllers";

/// Reads what `lease_select` selects.
pub(crate) fn read_lease(row: &Row) -> Result<Lease> {
    let mut cells = row.cells();
    let pool = cells.take()?;
    let org = cells.take()?;
    let proxy = cells.take()?;
    let epoch = cells.take()?;
    let granted_total = cells.take()?;
    let returned_total = cells.take()?;
    let settled_total = cells.take()?;
    let last_sequence = cells.take()?;
    let typical = cells.take()?;
    let direct = cells.take()?;
    let keep: Option<Money> = cells.maybe()?;
    let recalled_at = cells.take()?;
    Ok(Lease {
        pool,
        org,
        proxy,
        epoch,
        granted_total,
        returned_total,
        settled_total,
        last_sequence,
        typical,
        direct,
        recall: keep.map(|keep| Recall { keep, at: recalled_at }),
        recalled_at,
        opened_at: cells.take()?,
        renewed_at: cells.take()?,
        state: cells.word(LeaseState::parse)?,
    })
}

async fn leases(mut from: Read<'_>, text: &'static str, arguments: Vec<crate::engine::Arg>) -> Result<Vec<Lease>> {
    from.all(text, arguments).await?.iter().map(read_lease).collect()
}

/// A proxy's open leases: of one life, or of all when none is named.
pub async fn leases_of(
    read_from: impl Into<Read<'_>>,
    proxy: &ProxyId,
    epoch: Option<BootEpoch>,
) -> Result<Vec<Lease>> {
    match epoch {
        Some(epoch) => leases(read_from.into(), OF_EPOCH, args![proxy, epoch]).await,
        None => leases(read_from.into(), OF_PROXY, args![proxy]).await,
    }
}

/// Active leases with nothing out, of proxies that were not heard of since `before`.
pub async fn used_up_before(read_from: impl Into<Read<'_>>, before: Timestamp, limit: u32) -> Result<Vec<Lease>> {
    leases(read_from.into(), USED_UP_BEFORE, args![before, limit]).await
}

/// Active leases with something out, of proxies that were not heard of since `before`.
pub async fn leases_renewed_before(
    read_from: impl Into<Read<'_>>,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<Lease>> {
    leases(read_from.into(), RENEWED_BEFORE, args![before, limit]).await
}

/// Leases of proxies that are thought dead.
pub async fn quarantined(read_from: impl Into<Read<'_>>, limit: u32) -> Result<Vec<Lease>> {
    leases(read_from.into(), QUARANTINED, args![limit]).await
}

/// A proxy's open leases that carry a recall.
pub async fn recalled(read_from: impl Into<Read<'_>>, proxy: &ProxyId) -> Result<Vec<Lease>> {
    leases(read_from.into(), RECALLED, args![proxy]).await
}

/// What a key's budget counts in a period; zeros when nothing was spent or lent.
pub async fn budget(
    read_from: impl Into<Read<'_>>,
    scope: OrgScope,
    key: KeyId,
    period: Period,
) -> Result<BudgetState> {
    let mut from = read_from.into();
    keys::load_from(&mut from, scope, key).await?;
    match from.one(BUDGET, args![PoolId::Budget(key, period)]).await? {
        Some(row) => {
            let mut cells = row.cells();
            Ok(BudgetState { settled: cells.take()?, leased: cells.take()?, quarantined: cells.take()? })
        }
        None => Ok(BudgetState::default()),
    }
}

/// The mark of every life of every proxy.
pub async fn marks(read_from: impl Into<Read<'_>>) -> Result<Vec<(ProxyId, BootEpoch, Mark)>> {
    let rows = read_from.into().all(MARKS, args![]).await?;
    rows.iter()
        .map(|row| {
            let mut cells = row.cells();
            let (proxy, epoch) = (cells.take()?, cells.take()?);
            let last_sequence = cells.take()?;
            let digest: Digest = cells.take()?;
            let drained = cells.take()?;
            let renewed_at = cells.take()?;
            let newest_epoch = cells.take()?;
            Ok((proxy, epoch, Mark { last_sequence, digest: *digest.as_bytes(), drained, renewed_at, newest_epoch }))
        })
        .collect()
}

/// Moves every renewal by `by_us` microseconds: the time the control plane was away does not count against leases.
pub async fn forget_downtime(store: &Store, by_us: i64) -> Result<()> {
    store.engine().execute(FORGET_DOWNTIME, args![by_us]).await.map(drop)
}

/// Notes that a controller is alive.
pub async fn beat(store: &Store, controller: &str, now: Timestamp) -> Result<()> {
    store.engine().execute(BEAT, args![controller, now]).await.map(drop)
}

/// When any controller was last alive.
pub async fn last_beat(read_from: impl Into<Read<'_>>) -> Result<Option<Timestamp>> {
    match read_from.into().one(LAST_BEAT, args![]).await? {
        Some(row) => row.cells().maybe(),
        None => Ok(None),
    }
}
