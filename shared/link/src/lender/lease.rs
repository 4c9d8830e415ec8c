//! One lease as a row: what a proxy's boot epoch has had of one pool, and what happens to it when records come in,
//! when the proxy dies and when its spool is drained.

use domain::credits::{Account, EntryKind, Leg, transfer};
use domain::ids::{BootEpoch, OrgId, ProxyId};
use domain::money::Money;
use domain::time::Timestamp;

use super::RECALL_MS;
use crate::lease::Ask;

/// How long a proxy may admit requests on what is free, counted from its last ask.
pub const ADMIT_FOR_MS: u64 = 20 * 60_000;
/// When a silent proxy's leases are set aside: its last admission, the longest request (10 min) and some slack after
/// its last accepted ask or report.
pub const DEAD_AFTER_MS: i64 = 31 * 60_000;
/// When a set-aside lease is given back although its spool has not come.
pub const QUARANTINE_MS: i64 = 24 * 3_600_000;

/// Which account a lease's outstanding units are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaseLife {
    Live,
    /// Its proxy is thought dead.
    Quarantined,
    /// Given back; records that still come are charged to the pool. This epoch borrows again only if it says that it
    /// holds nothing of what was given back.
    Released,
}

impl LeaseLife {
    /// The word in the store.
    pub fn name(self) -> &'static str {
        match self {
            LeaseLife::Live => "live",
            LeaseLife::Quarantined => "quarantined",
            LeaseLife::Released => "released",
        }
    }

    /// The life with this word.
    pub fn parse(word: &str) -> Option<LeaseLife> {
        [LeaseLife::Live, LeaseLife::Quarantined, LeaseLife::Released].into_iter().find(|life| life.name() == word)
    }
}

/// One row: key (pool, proxy, epoch).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseState {
    pub proxy: ProxyId,
    pub epoch: BootEpoch,
    pub granted_total: i64,
    pub returned_total: i64,
    /// Charged by records of this epoch.
    pub settled_total: i64,
    /// The last batch that changed this lease.
    pub sequence: u64,
    /// What requests here typically need, a running average.
    pub typical: i64,
    /// The proxy was last told to keep nothing.
    pub direct: bool,
    /// A recall that has not been answered: how much may be kept.
    pub recall_keep: Option<i64>,
    /// When the last recall was set; 0 never.
    pub recalled_at: Timestamp,
    pub state: LeaseLife,
}

impl LeaseState {
    /// A lease without anything on it.
    pub fn new(proxy: ProxyId, epoch: BootEpoch) -> Self {
        LeaseState {
            proxy,
            epoch,
            granted_total: 0,
            returned_total: 0,
            settled_total: 0,
            sequence: 0,
            typical: 0,
            direct: false,
            recall_keep: None,
            recalled_at: Timestamp::default(),
            state: LeaseLife::Live,
        }
    }

    /// Units that are neither back nor settled.
    pub fn outstanding(&self) -> i64 {
        self.granted_total.saturating_sub(self.returned_total).saturating_sub(self.settled_total)
    }

    /// Whether the proxy says that it gave back by itself whatever the pool was given when this lease was released. Then
    /// everything else was charged, and nothing can be spent twice.
    pub(super) fn is_given_back(&self, ask: &Ask) -> bool {
        ask.returned_total >= self.returned_total
    }

    /// What a recall may still bring: nothing where the proxy keeps nothing, or is thought dead.
    pub(super) fn recallable(&self) -> i64 {
        let pending = self.recall_keep.is_some() || !self.direct;
        if pending && self.state == LeaseLife::Live { self.outstanding().max(0) } else { 0 }
    }

    /// Whether to set a recall, or to say an unanswered one again.
    pub(super) fn is_markable(&self, now: Timestamp) -> bool {
        let stale = now.since_us(self.recalled_at) >= RECALL_MS * 1_000;
        self.recallable() > 0 && (self.recall_keep.is_none() || stale)
    }

    pub(super) fn note_need(&mut self, need: i64) {
        if need > 0 {
            let average = (i128::from(self.typical) * 7 + i128::from(need)) / 8;
            self.typical = if self.typical == 0 { need } else { i64::try_from(average).unwrap_or(i64::MAX) };
        }
    }
}

/// One balanced entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: EntryKind,
    pub legs: Vec<Leg>,
}

impl Entry {
    /// A transfer, unless it moves nothing.
    pub(super) fn transfer(kind: EntryKind, from: Account, to: Account, amount: i64) -> Option<Entry> {
        (amount != 0).then(|| Entry { kind, legs: transfer(from, to, Money::from_nano(amount)).to_vec() })
    }
}

/// Where a charge was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The lease's row after it, if there is a lease.
    pub lease: Option<LeaseState>,
    pub from_leased: i64,
    pub from_quarantine: i64,
    /// More than the lease held: a charge above its hold, or a record after the lease was released. This is the only
    /// thing that can take a pool below zero.
    pub from_available: i64,
}

impl Charge {
    /// The ledger entry, for credits; none for a charge of nothing.
    pub fn entry(&self, org: OrgId) -> Option<Entry> {
        let parts = [
            (Account::Leased(org), self.from_leased),
            (Account::Quarantine(org), self.from_quarantine),
            (Account::Available(org), self.from_available),
        ];
        let mut legs: Vec<Leg> = parts
            .into_iter()
            .filter(|(_, amount)| *amount != 0)
            .map(|(account, amount)| Leg { account, amount: Money::from_nano(-amount) })
            .collect();
        let all = self.from_leased.saturating_add(self.from_quarantine).saturating_add(self.from_available);
        legs.push(Leg { account: Account::Settled(org), amount: Money::from_nano(all) });
        (all != 0).then_some(Entry { kind: EntryKind::Charge, legs })
    }
}

/// Charges what finished requests cost to the lease they ran on. What the lease does not cover comes from the pool and
/// counts as granted, so that the proxy's books, which ran into debt, come even with its next answer.
pub fn charge(lease: Option<LeaseState>, amount: i64) -> Charge {
    let amount = amount.max(0);
    let Some(mut lease) = lease else {
        return Charge { lease: None, from_leased: 0, from_quarantine: 0, from_available: amount };
    };
    let covered = amount.min(lease.outstanding().max(0));
    let beyond = amount - covered;
    lease.granted_total = lease.granted_total.saturating_add(beyond);
    lease.settled_total = lease.settled_total.saturating_add(amount);
    let (from_leased, from_quarantine) = if lease.state == LeaseLife::Live { (covered, 0) } else { (0, covered) };
    Charge { lease: Some(lease), from_leased, from_quarantine, from_available: beyond }
}

/// Marks every live lease for recall: before a refund, after a cap was lowered, on a freeze. Gives the rows that
/// changed.
pub fn recall_all(leases: &[LeaseState], now: Timestamp) -> Vec<LeaseState> {
    let marked = |lease: &LeaseState| LeaseState { recall_keep: Some(0), recalled_at: now, ..lease.clone() };
    leases.iter().filter(|lease| lease.is_markable(now)).map(marked).collect()
}

/// Units of a lease that moved from one account to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The row after it.
    pub lease: LeaseState,
    pub amount: i64,
    kind: EntryKind,
}

impl Moved {
    /// The ledger entry, for credits; none when nothing was outstanding.
    pub fn entry(&self, org: OrgId) -> Option<Entry> {
        let (from, to) = match self.kind {
            EntryKind::Quarantine => (Account::Leased(org), Account::Quarantine(org)),
            EntryKind::Release => (Account::Quarantine(org), Account::Available(org)),
            _ => (Account::Leased(org), Account::Available(org)),
        };
        Entry::transfer(self.kind, from, to, self.amount)
    }
}

fn silent_since(last_seen: Timestamp, up_since: Timestamp) -> Timestamp {
    // Time in which no controller ran does not count as the proxy's silence.
    last_seen.max(up_since)
}

/// Whether a proxy's epoch must be thought dead. `last_seen`: its last accepted ask or report; `up_since`: since when
/// a controller has been running without a break.
pub fn is_dead(last_seen: Timestamp, up_since: Timestamp, now: Timestamp) -> bool {
    now.since_us(silent_since(last_seen, up_since)) >= DEAD_AFTER_MS * 1_000
}

/// Sets a dead proxy's lease aside; none unless it is live, something is out on it, and its proxy is dead.
pub fn quarantine(lease: LeaseState, last_seen: Timestamp, up_since: Timestamp, now: Timestamp) -> Option<Moved> {
    let amount = lease.outstanding();
    if lease.state != LeaseLife::Live || amount <= 0 || !is_dead(last_seen, up_since, now) {
        return None;
    }
    let lease = LeaseState { state: LeaseLife::Quarantined, recall_keep: None, ..lease };
    Some(Moved { lease, amount, kind: EntryKind::Quarantine })
}

/// Whether a set-aside lease has waited long enough for its spool to be given back by the clock.
pub fn is_releasable(last_seen: Timestamp, up_since: Timestamp, now: Timestamp) -> bool {
    now.since_us(silent_since(last_seen, up_since)) >= (DEAD_AFTER_MS + QUARANTINE_MS) * 1_000
}

/// Ends a lease: its spool is drained, an operator declared it lost, or quarantine has lasted long enough. What was
/// outstanding goes back to the pool and counts as returned.
pub fn release(lease: LeaseState) -> Moved {
    let amount = lease.outstanding();
    let kind = if lease.state == LeaseLife::Live { EntryKind::Return } else { EntryKind::Release };
    let returned_total = lease.returned_total.saturating_add(amount);
    let lease = LeaseState { state: LeaseLife::Released, recall_keep: None, returned_total, ..lease };
    Moved { lease, amount, kind }
}
