//! The moves of money: credits in and out, loans to proxies and back, charges. Each changes what is loaded; the commit
//! writes it. Amounts are never negative, and neither is what is out on a lease: what a charge or a return says beyond
//! it counts as lent first, so that the books of both planes come even.

use domain::credits::{Account, EntryKind, transfer};
use domain::ids::{BootEpoch, OrgId, ProxyId};
use domain::money::Money;
use domain::pools::PoolId;
use domain::time::Timestamp;

use super::{Funds, Posting};
use crate::error::{Error, Result};
use crate::nudges::Nudge;
use crate::pools::{Charged, Lease, LeaseState, Recall};

/// The places of a pool's money.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shelf {
    Available,
    Leased,
    Quarantined,
    Settled,
}

impl Shelf {
    fn account(self, org: OrgId) -> Account {
        match self {
            Shelf::Available => Account::Available(org),
            Shelf::Leased => Account::Leased(org),
            Shelf::Quarantined => Account::Quarantine(org),
            Shelf::Settled => Account::Settled(org),
        }
    }
}

fn not_negative(amount: Money) -> Result<Money> {
    if amount < Money::ZERO { Err(Error::Misuse { what: "an amount below nothing" }) } else { Ok(amount) }
}

fn plus(sum: Money, amount: Money) -> Result<Money> {
    sum.plus(amount).ok_or(Error::Overflow { what: "a total" })
}

fn negated(amount: Money) -> Money {
    Money::from_nano(amount.nano().saturating_neg())
}

impl Posting {
    /// Gives an organisation credits; `source` says where the money came from.
    pub fn grant(&mut self, org: OrgId, source: &str, amount: Money) -> Result<()> {
        let legs = transfer(Account::Funding(super::plain(source)), Account::Available(org), not_negative(amount)?);
        self.ledger.add(org, EntryKind::Grant, &legs)?;
        self.nudges.insert(Nudge::Credits(org));
        Ok(())
    }

    /// Takes credits back that are available.
    pub fn refund(&mut self, org: OrgId, amount: Money) -> Result<()> {
        let there = self.ledger.balance(org).ok_or(Error::Misuse { what: "an organisation that is not locked" })?;
        if there.available < not_negative(amount)? {
            return Err(Error::Conflict { what: "available" });
        }
        let legs = transfer(Account::Available(org), Account::Refunded(org), amount);
        self.ledger.add(org, EntryKind::Refund, &legs)
    }

    /// Books what a provider will ask for an answer that nobody is charged for.
    pub fn write_off(&mut self, org: OrgId, why: &str, amount: Money) -> Result<()> {
        let legs = transfer(Account::Payable, Account::WriteOff(super::plain(why)), not_negative(amount)?);
        self.ledger.add(org, EntryKind::WriteOff, &legs)
    }

    /// Lends to one life of a proxy. Opens its lease, or reopens a closed one: totals go on.
    pub fn lend(&mut self, pool: PoolId, proxy: &ProxyId, epoch: BootEpoch, amount: Money) -> Result<&Lease> {
        if self.available(&pool).ok_or(NOT_LOADED)? < not_negative(amount)? {
            return Err(Error::Conflict { what: "available" });
        }
        self.open_lease(pool, proxy, epoch)?;
        let lease = self.lease(&pool, proxy, epoch)?;
        if lease.state == LeaseState::Quarantined {
            return Err(Error::Misuse { what: "a loan to a quarantined lease" });
        }
        lease.state = LeaseState::Active;
        lease.granted_total = plus(lease.granted_total, amount)?;
        self.shift(pool, Shelf::Available, Shelf::Leased, amount, EntryKind::Lease)?;
        self.touch(pool, proxy, epoch);
        self.lease(&pool, proxy, epoch).map(|lease| &*lease)
    }

    /// Books what a proxy knows to have been granted and the books do not: only a restored backup makes that so. Unlike
    /// a loan it may take the pool below nothing.
    pub fn acknowledge(
        &mut self,
        pool: PoolId,
        proxy: &ProxyId,
        epoch: BootEpoch,
        granted_total: Money,
    ) -> Result<Money> {
        self.open_lease(pool, proxy, epoch)?;
        let lease = self.lease(&pool, proxy, epoch)?;
        let more = granted_total.minus(lease.granted_total).unwrap_or(Money::ZERO);
        if more == Money::ZERO {
            return Ok(more);
        }
        if lease.state != LeaseState::Active {
            return Err(Error::Misuse { what: "a grant to a lease that is not active" });
        }
        lease.granted_total = granted_total;
        self.shift(pool, Shelf::Available, Shelf::Leased, more, EntryKind::Lease)?;
        self.touch(pool, proxy, epoch);
        Ok(more)
    }

    /// Takes back what a proxy says it returned in all, and gives what became available. An old or repeated word
    /// changes nothing. What is said beyond what is out was charged before: it moves nothing and counts as lent, too.
    pub fn take_back(
        &mut self,
        pool: PoolId,
        proxy: &ProxyId,
        epoch: BootEpoch,
        returned_total: Money,
    ) -> Result<Money> {
        let Some(lease) = self.find_lease(&pool, proxy, epoch)? else { return Ok(Money::ZERO) };
        let Some(said) = returned_total.minus(lease.returned_total).filter(|said| *said > Money::ZERO) else {
            return Ok(Money::ZERO);
        };
        let from = match lease.state {
            LeaseState::Active => Shelf::Leased,
            LeaseState::Quarantined => Shelf::Quarantined,
            // Given back already, by a decision: the proxy learns that from its next answer.
            LeaseState::Closed => return Ok(Money::ZERO),
        };
        let covered = said.min(lease.remaining());
        let beyond = said.minus(covered).ok_or(Error::Overflow { what: "a return" })?;
        lease.granted_total = plus(lease.granted_total, beyond)?;
        lease.returned_total = returned_total;
        self.shift(pool, from, Shelf::Available, covered, EntryKind::Return)?;
        self.touch(pool, proxy, epoch);
        Ok(covered)
    }

    /// What a life of a proxy was lent of a pool in all, as this posting would leave it; nothing without a lease.
    pub fn granted_total(&mut self, pool: PoolId, proxy: &ProxyId, epoch: BootEpoch) -> Result<Money> {
        Ok(self.find_lease(&pool, proxy, epoch)?.map_or(Money::ZERO, |lease| lease.granted_total))
    }

    /// Notes the sequence of the message that asked for this pool, if a lease is there.
    pub fn note_sequence(&mut self, pool: PoolId, proxy: &ProxyId, epoch: BootEpoch, sequence: u64) -> Result<()> {
        if let Some(lease) = self.find_lease(&pool, proxy, epoch)?.filter(|lease| lease.last_sequence < sequence) {
            lease.last_sequence = sequence;
            self.touch(pool, proxy, epoch);
        }
        Ok(())
    }

    /// Notes what the lender wants to remember with a lease, if one is there: what requests typically need, and whether
    /// the proxy was told to keep nothing.
    pub fn shape(
        &mut self,
        pool: PoolId,
        proxy: &ProxyId,
        epoch: BootEpoch,
        typical: Money,
        direct: bool,
    ) -> Result<()> {
        let lease = self.find_lease(&pool, proxy, epoch)?;
        if let Some(lease) = lease.filter(|lease| (lease.typical, lease.direct) != (typical, direct)) {
            (lease.typical, lease.direct) = (typical, direct);
            self.touch(pool, proxy, epoch);
        }
        Ok(())
    }

    /// Charges for use: against the lease of this life as far as it goes while it is open, else against the pool
    /// itself. What goes beyond an open lease counts as lent, so that the proxy, which ran into debt, comes even.
    pub fn charge(&mut self, pool: PoolId, proxy: &ProxyId, epoch: BootEpoch, amount: Money) -> Result<Charged> {
        let amount = not_negative(amount)?;
        let charged = match self.find_lease(&pool, proxy, epoch)?.filter(|lease| lease.state != LeaseState::Closed) {
            None => Charged { available: amount, ..Charged::default() },
            Some(lease) => {
                let covered = amount.min(lease.remaining().max(Money::ZERO));
                let beyond = amount.minus(covered).ok_or(Error::Overflow { what: "a charge" })?;
                lease.granted_total = plus(lease.granted_total, beyond)?;
                lease.settled_total = plus(lease.settled_total, amount)?;
                let part = Charged { available: beyond, ..Charged::default() };
                match lease.state {
                    LeaseState::Quarantined => Charged { quarantined: covered, ..part },
                    LeaseState::Active | LeaseState::Closed => Charged { leased: covered, ..part },
                }
            }
        };
        self.touch(pool, proxy, epoch);
        let parts = [
            (Shelf::Leased, charged.leased),
            (Shelf::Quarantined, charged.quarantined),
            (Shelf::Available, charged.available),
        ];
        for (from, amount) in parts {
            self.shift(pool, from, Shelf::Settled, amount, EntryKind::Charge)?;
        }
        Ok(charged)
    }

    /// Sets aside what a dead proxy still holds. Gives the amount.
    pub fn quarantine(&mut self, pool: PoolId, proxy: &ProxyId, epoch: BootEpoch) -> Result<Money> {
        let lease = self.lease(&pool, proxy, epoch)?;
        if lease.state != LeaseState::Active {
            return Err(Error::Conflict { what: "lease state" });
        }
        lease.state = LeaseState::Quarantined;
        let left = lease.remaining();
        self.shift(pool, Shelf::Leased, Shelf::Quarantined, left, EntryKind::Quarantine)?;
        self.touch(pool, proxy, epoch);
        Ok(left)
    }

    /// Makes a set-aside lease active again: its proxy was not dead. So it does with a closed one, on which nothing is
    /// out. Gives the amount.
    pub fn revive(&mut self, pool: PoolId, proxy: &ProxyId, epoch: BootEpoch) -> Result<Money> {
        let lease = self.lease(&pool, proxy, epoch)?;
        let left = lease.remaining();
        let is_aside = lease.state == LeaseState::Quarantined;
        if !is_aside && (lease.state == LeaseState::Active || left != Money::ZERO) {
            return Err(Error::Conflict { what: "lease state" });
        }
        lease.state = LeaseState::Active;
        if is_aside {
            self.shift(pool, Shelf::Quarantined, Shelf::Leased, left, EntryKind::Lease)?;
        }
        self.touch(pool, proxy, epoch);
        Ok(left)
    }

    /// Closes a lease: what is left on it is available again. Gives the amount.
    pub fn release(&mut self, pool: PoolId, proxy: &ProxyId, epoch: BootEpoch) -> Result<Money> {
        let lease = self.lease(&pool, proxy, epoch)?;
        let (from, kind) = match lease.state {
            LeaseState::Active => (Shelf::Leased, EntryKind::Return),
            LeaseState::Quarantined => (Shelf::Quarantined, EntryKind::Release),
            LeaseState::Closed => return Ok(Money::ZERO),
        };
        let left = lease.remaining();
        lease.returned_total = plus(lease.returned_total, left)?;
        lease.state = LeaseState::Closed;
        lease.recall = None;
        self.shift(pool, from, Shelf::Available, left, kind)?;
        self.touch(pool, proxy, epoch);
        Ok(left)
    }

    /// Marks a lease for recall down to `keep`, or clears the mark. Whoever holds the proxy's stream is told.
    pub fn recall(&mut self, pool: PoolId, proxy: &ProxyId, epoch: BootEpoch, keep: Option<Money>) -> Result<()> {
        let now = self.now;
        let lease = self.lease(&pool, proxy, epoch)?;
        let recall = keep.map(|keep| Recall { keep, at: now });
        if lease.recall != recall {
            lease.recall = recall;
            lease.recalled_at = recall.map_or(lease.recalled_at, |recall| recall.at);
            self.touch(pool, proxy, epoch);
        }
        if recall.is_some() {
            self.nudges.insert(Nudge::Recall(proxy.clone()));
        }
        Ok(())
    }

    /// What may be lent of a loaded pool.
    pub(super) fn available(&self, pool: &PoolId) -> Option<Money> {
        let loaded = self.pools.get(pool)?;
        match &loaded.funds {
            Funds::Credits => self.ledger.balance(loaded.org).map(|balance| balance.available),
            Funds::Budget { budget, state, .. } => {
                let amount = budget.map_or(0, |budget| budget.amount.nano());
                let used = [state.settled, state.leased, state.quarantined];
                Some(Money::from_nano(used.iter().fold(amount, |left, part| left.saturating_sub(part.nano()))))
            }
        }
    }

    fn open_lease(&mut self, pool: PoolId, proxy: &ProxyId, epoch: BootEpoch) -> Result<()> {
        let now = self.now;
        let loaded = self.pools.get_mut(&pool).ok_or(NOT_LOADED)?;
        let org = loaded.org;
        loaded.leases.entry((proxy.clone(), epoch)).or_insert_with(|| Lease {
            pool,
            org,
            proxy: proxy.clone(),
            epoch,
            granted_total: Money::ZERO,
            returned_total: Money::ZERO,
            settled_total: Money::ZERO,
            last_sequence: 0,
            typical: Money::ZERO,
            direct: false,
            recall: None,
            recalled_at: Timestamp::default(),
            opened_at: now,
            renewed_at: now,
            state: LeaseState::Active,
        });
        Ok(())
    }

    fn find_lease(&mut self, pool: &PoolId, proxy: &ProxyId, epoch: BootEpoch) -> Result<Option<&mut Lease>> {
        let loaded = self.pools.get_mut(pool).ok_or(NOT_LOADED)?;
        Ok(loaded.leases.get_mut(&(proxy.clone(), epoch)))
    }

    fn lease(&mut self, pool: &PoolId, proxy: &ProxyId, epoch: BootEpoch) -> Result<&mut Lease> {
        self.find_lease(pool, proxy, epoch)?.ok_or(Error::NotFound { what: "lease" })
    }

    /// Has the lease written with the commit, if there is one.
    fn touch(&mut self, pool: PoolId, proxy: &ProxyId, epoch: BootEpoch) {
        self.moved.insert((pool, proxy.clone(), epoch));
    }

    /// Moves money of a pool from one place to another.
    fn shift(&mut self, pool: PoolId, from: Shelf, to: Shelf, amount: Money, kind: EntryKind) -> Result<()> {
        let loaded = self.pools.get_mut(&pool).ok_or(NOT_LOADED)?;
        let org = loaded.org;
        match &mut loaded.funds {
            Funds::Credits => self.ledger.add(org, kind, &transfer(from.account(org), to.account(org), amount)),
            Funds::Budget { state, changed, .. } => {
                *changed = true;
                for (shelf, amount) in [(from, negated(amount)), (to, amount)] {
                    let sum = match shelf {
                        Shelf::Available => continue,
                        Shelf::Leased => &mut state.leased,
                        Shelf::Quarantined => &mut state.quarantined,
                        Shelf::Settled => &mut state.settled,
                    };
                    *sum = plus(*sum, amount)?;
                }
                Ok(())
            }
        }
    }
}

const NOT_LOADED: Error = Error::Misuse { what: "a pool that is not loaded" };
