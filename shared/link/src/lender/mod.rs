//! The controller's half of lending money (credits and key budgets): rows in, a decision out.
//!
//! Pure: the caller loads a pool's rows inside one transaction, asks here, writes what comes back and commits. So any
//! controller may serve any proxy. Rates are next door in `rates`, since they live in memory.
//!
//! For each lease: `outstanding = granted - returned - settled`, never below zero. For each pool, at every commit:
//! available + what is outstanding on live and set-aside leases + settled (+ refunded) = funded.

mod lease;

pub use lease::{
    ADMIT_FOR_MS, Charge, DEAD_AFTER_MS, Entry, LeaseLife, LeaseState, Moved, QUARANTINE_MS, charge, is_dead,
    is_releasable, quarantine, recall_all, release,
};

use domain::credits::{Account, EntryKind};
use domain::ids::{BootEpoch, OrgId, ProxyId};
use domain::pools::PoolId;
use domain::time::Timestamp;

use crate::lease::{Ask, Grant, Verdict};

/// How long a recalled proxy keeps nothing, and how long a recall may go unanswered before it is said again.
pub const RECALL_MS: i64 = 200;
/// A proxy that has answered a recall keeps nothing for at least this long, so that requests elsewhere find what its
/// own requests give up.
const HOLD_OFF_MS: i64 = 1_000;
/// A pool is too small to share below so many typical requests, and below [`DIRECT_EACH`] for each proxy.
const DIRECT_REQUESTS: i64 = 20;
const DIRECT_EACH: i64 = 4;

/// A money pool as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoneyPool {
    pub id: PoolId,
    /// Free to be lent. For credits the balance of the account `available`; for a budget what its cap leaves over
    /// what is settled in the period and outstanding on all leases. Below zero after charges above their holds.
    pub available: i64,
    /// Nothing may be lent any more (an older period, a revoked key, a closed organisation); returns are still taken.
    pub closed: bool,
    /// The most that one grant may bring beyond what a request needs, if the operator set such a limit.
    pub max_grant: Option<i64>,
    /// Every lease with something outstanding, and the asking proxy's own even without.
    pub leases: Vec<LeaseState>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    pub proxy: ProxyId,
    pub epoch: BootEpoch,
    /// The newest boot epoch of this proxy that the controller has seen. For an epoch that has reported its spool
    /// drained, one more than that epoch: an ask of it may still be on its way, and must not be lent anything.
    pub newest_epoch: BootEpoch,
    /// The batch's sequence.
    pub sequence: u64,
}

/// What the fleet looks like at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fleet {
    /// Proxies that are alive; at least one is assumed.
    pub active: u32,
}

/// What to write and what to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The asking proxy's row as it must be now (insert or update).
    pub lease: LeaseState,
    /// Other rows that changed: they carry a recall now.
    pub marks: Vec<LeaseState>,
    /// Units that came back: leased to available.
    pub returned: i64,
    /// Units that were lent: available to leased.
    pub granted: i64,
    /// Units of a lease that was set aside for dead and is alive after all: quarantine to leased. The row is live again
    /// even where this is nothing.
    pub revived: i64,
    /// What is available after all this.
    pub available: i64,
    /// The answer.
    pub grant: Grant,
}

impl Decision {
    /// Whom to tell that units are wanted back, and how many may be kept. The mark on the lease is what counts; a lost
    /// message is said again.
    pub fn recalls(&self) -> impl Iterator<Item = (&ProxyId, BootEpoch, i64)> {
        self.marks.iter().filter_map(|lease| Some((&lease.proxy, lease.epoch, lease.recall_keep?)))
    }

    /// The ledger entries, for credits. Budgets are counters and have none.
    pub fn entries(&self, org: OrgId) -> Vec<Entry> {
        let (available, leased) = (Account::Available(org), Account::Leased(org));
        [
            Entry::transfer(EntryKind::Lease, Account::Quarantine(org), leased.clone(), self.revived),
            Entry::transfer(EntryKind::Return, leased.clone(), available.clone(), self.returned),
            Entry::transfer(EntryKind::Lease, available, leased, self.granted),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Decides one ask for money.
pub fn decide(pool: &MoneyPool, asker: &Asker, ask: &Ask, fleet: Fleet, now: Timestamp) -> Decision {
    let own = |lease: &&LeaseState| lease.proxy == asker.proxy && lease.epoch == asker.epoch;
    let lease =
        pool.leases.iter().find(own).cloned().unwrap_or_else(|| LeaseState::new(asker.proxy.clone(), asker.epoch));
    let others = pool.leases.iter().filter(|lease| !own(lease)).cloned().collect();
    let mut table = Table {
        available: pool.available,
        lease,
        others,
        marks: Vec::new(),
        returned: 0,
        granted: 0,
        revived: 0,
        active: i64::from(fleet.active.max(1)),
        now,
    };
    let verdict = table.serve(pool, asker, ask);
    table.finish(pool, verdict)
}

/// One decision in the making.
struct Table {
    available: i64,
    lease: LeaseState,
    others: Vec<LeaseState>,
    marks: Vec<LeaseState>,
    returned: i64,
    granted: i64,
    revived: i64,
    active: i64,
    now: Timestamp,
}

impl Table {
    fn serve(&mut self, pool: &MoneyPool, asker: &Asker, ask: &Ask) -> Verdict {
        let fenced = asker.epoch < asker.newest_epoch;
        if self.lease.state == LeaseLife::Released && (fenced || !self.lease.is_given_back(ask)) {
            // The pool was given what this process may still hold: it must start a new epoch.
            return Verdict::Fenced;
        }
        if asker.sequence <= self.lease.sequence {
            // A message that was overtaken or doubled: it is told the totals, and changes nothing.
            return if fenced { Verdict::Fenced } else { Verdict::Granted };
        }
        self.lease.sequence = asker.sequence;
        self.take_back(ask);
        if fenced {
            return Verdict::Fenced;
        }
        if pool.closed {
            self.settle_direct(ask, true);
            return Verdict::Unknown;
        }
        self.lend(pool, ask)
    }

    /// Brings the lease to what the proxy says has happened, moving no more than there is.
    fn take_back(&mut self, ask: &Ask) {
        if self.lease.state == LeaseLife::Quarantined {
            self.revived = self.lease.outstanding();
        }
        self.lease.state = LeaseLife::Live;
        // Only after a restore from a backup does the proxy know of grants that the books do not.
        self.move_out(ask.granted_total.saturating_sub(self.lease.granted_total).max(0));
        let back = ask.returned_total.saturating_sub(self.lease.returned_total).max(0);
        let covered = back.min(self.lease.outstanding());
        // More than is out: a charge above its hold was booked before this return. Both sides count it as lent.
        self.lease.granted_total = self.lease.granted_total.saturating_add(back - covered);
        self.lease.returned_total = self.lease.returned_total.saturating_add(back);
        self.available = self.available.saturating_add(covered);
        self.returned = self.returned.saturating_add(covered);
    }

    fn move_out(&mut self, amount: i64) {
        self.lease.granted_total = self.lease.granted_total.saturating_add(amount);
        self.available = self.available.saturating_sub(amount);
        self.granted = self.granted.saturating_add(amount);
    }

    fn lend(&mut self, pool: &MoneyPool, ask: &Ask) -> Verdict {
        // What was granted before but not seen (an answer got lost) is seen with this answer.
        let unseen = self.lease.granted_total.saturating_sub(ask.granted_total).max(0);
        let need = ask.need.max(0).saturating_sub(unseen).max(0);
        let want = ask.want.max(0).saturating_sub(unseen).max(0);
        let is_affordable = need <= self.available.saturating_add(self.recallable());
        if is_affordable {
            // What nobody can have says nothing of what requests here need, and must not make the pool look small.
            self.lease.note_need(ask.need);
        }
        let direct = self.is_direct();
        self.settle_direct(ask, direct);
        if direct {
            self.mark_everyone();
        }
        let share = self.available / (2 * self.active);
        let extra = if self.lease.direct { 0 } else { want.min(share).min(pool.max_grant.unwrap_or(i64::MAX)).max(0) };
        if need <= self.available.max(0) {
            self.move_out(need.max(extra));
            return Verdict::Granted;
        }
        self.mark_fullest(need.saturating_sub(self.available));
        if is_affordable { Verdict::Recalling } else { Verdict::Exhausted }
    }

    /// Whether the pool is too small to share, with some slack before it is shared again.
    fn is_direct(&self) -> bool {
        let all = self.others.iter().chain([&self.lease]);
        let typical = all.map(|lease| lease.typical).max().unwrap_or(0);
        let line = typical.saturating_mul(DIRECT_REQUESTS.max(DIRECT_EACH.saturating_mul(self.active)));
        let line = if self.lease.direct { line.saturating_add(line / 4) } else { line };
        let live = self.others.iter().filter(|lease| lease.state == LeaseLife::Live);
        let out = live.chain([&self.lease]).fold(0i64, |sum, lease| sum.saturating_add(lease.outstanding()));
        self.available.saturating_add(out) < line
    }

    /// Notes whether the proxy answers a recall, and whether it is to keep nothing from here on.
    fn settle_direct(&mut self, ask: &Ask, small: bool) {
        let asked_back = self.lease.recall_keep.is_some();
        if ask.want == 0 {
            self.lease.recall_keep = None;
        }
        let since_ms = self.now.since_us(self.lease.recalled_at) / 1_000;
        let held_off = (0..HOLD_OFF_MS).contains(&since_ms) && self.lease.recalled_at != Timestamp::default();
        self.lease.direct = small || asked_back || held_off;
    }

    fn mark_everyone(&mut self) {
        let due: Vec<LeaseState> = self.others.iter().filter(|lease| lease.is_markable(self.now)).cloned().collect();
        due.into_iter().for_each(|lease| self.mark(lease));
    }

    /// Recalls from the fullest leases until well over what is missing has been asked for: what they hold for
    /// requests cannot come back.
    fn mark_fullest(&mut self, missing: i64) {
        let mut live: Vec<LeaseState> = self.others.iter().filter(|lease| lease.recallable() > 0).cloned().collect();
        live.sort_by_key(|lease| std::cmp::Reverse(lease.outstanding()));
        let mut asked_for = 0i64;
        for lease in live {
            if asked_for >= missing.saturating_mul(4) {
                break;
            }
            asked_for = asked_for.saturating_add(lease.outstanding());
            if lease.is_markable(self.now) {
                self.mark(lease);
            }
        }
    }

    fn mark(&mut self, lease: LeaseState) {
        let marked = LeaseState { recall_keep: Some(0), recalled_at: self.now, ..lease };
        let same = |other: &&mut LeaseState| other.proxy == marked.proxy && other.epoch == marked.epoch;
        if let Some(slot) = self.others.iter_mut().find(same) {
            *slot = marked.clone();
        }
        self.marks.push(marked);
    }

    fn recallable(&self) -> i64 {
        self.others.iter().fold(0i64, |sum, lease| sum.saturating_add(lease.recallable()))
    }

    fn finish(self, pool: &MoneyPool, verdict: Verdict) -> Decision {
        let set_aside = |lease: &LeaseState| lease.state != LeaseLife::Released && lease.outstanding() > 0;
        let something_is_out = set_aside(&self.lease) || self.others.iter().any(set_aside);
        let dead_end = matches!(verdict, Verdict::Unknown | Verdict::Fenced);
        let grant = Grant {
            pool: pool.id,
            verdict,
            granted_total: self.lease.granted_total,
            admit_for_ms: if dead_end { 0 } else { ADMIT_FOR_MS },
            direct: self.lease.direct || dead_end,
            affordable: if dead_end { 0 } else { self.available.saturating_add(self.recallable()).max(0) },
            // While requests hold money somewhere it may come back at any time, without an event.
            not_before_ms: if verdict == Verdict::Exhausted && something_is_out { RECALL_MS.unsigned_abs() } else { 0 },
            limit: 0,
            remaining: 0,
            reset_ms: 0,
        };
        Decision {
            lease: self.lease,
            marks: self.marks,
            returned: self.returned,
            granted: self.granted,
            revived: self.revived,
            available: self.available,
            grant,
        }
    }
}

#[cfg(test)]
mod tests;
