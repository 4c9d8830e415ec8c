//! One pool as the proxy's worker threads see it: a handful of atomics that a request takes from and puts back to.
//!
//! No lock, no message and no allocation on the common path. A cell never decides how much to borrow and never talks
//! to anyone: when it runs low it rings a bell. Next room: `borrower`, which hears it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use domain::pools::PoolId;

use crate::reports::MOST_COST;

/// Minutes' worth of a rate limit that charges above their holds can take ahead at most.
const MOST_DEBT: i64 = 4;

/// Why units cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The pool is used up, here and everywhere.
    #[error("used up: {affordable} left, again in {retry_ms} ms (0: only after an event)")]
    Exhausted {
        /// The most that one request could have had.
        affordable: i64,
        /// When the same request may be worth another try; 0 when only an event can help (credits, a new limit).
        retry_ms: u64,
    },
    /// Units are being collected from other proxies: try again in a second.
    #[error("units are being collected from other proxies")]
    Recalling,
    /// The controller could not be asked, and what is here does not suffice.
    #[error("the controller cannot be reached")]
    Unreachable,
    /// The controller knows no such pool.
    #[error("there is no such pool")]
    Unknown,
    /// This process has been replaced by a newer one with its name.
    #[error("a newer process has taken this proxy's name")]
    Fenced,
}

/// What [`Cell::take`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// The units are the caller's. `wake`: notify the lease driver, the bell has just been rung.
    Taken { wake: bool },
    /// Not enough here, or what is here has lapsed: wait at the borrower.
    Short,
    /// Known to be pointless: the controller said so a moment ago.
    Denied(Denied),
}

/// The state of a rate limit, for answer headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateView {
    /// Units a minute.
    pub limit: i64,
    /// What is left, as far as this proxy knows.
    pub remaining: i64,
    /// How long until everything is left.
    pub reset_ms: u64,
}

/// Collects the pools that want the borrower's attention. Each is on the list at most once, so the list is bounded by
/// the number of cells.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    pools: Mutex<Vec<PoolId>>,
}

impl Bell {
    /// Notes a pool; true when the bell was silent before.
    fn ring(&self, pool: PoolId) -> bool {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(pool);
        !self.rung.swap(true, Ordering::AcqRel)
    }

    /// Who rang since the last call.
    pub(crate) fn hear(&self) -> Vec<PoolId> {
        // Silent first: whoever rings from here on wakes the driver again.
        if !self.rung.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *self.pools.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Already on the bell's list.
const RUNG: u32 = 1;
/// Whatever becomes free here goes elsewhere at once: direct mode, a recall, a lapsed chunk, a proxy that leaves, or a
/// request that waits.
const KEEPS_NOTHING: u32 = 2;
/// The last verdict was `Unknown` or `Fenced` rather than `Exhausted`.
const UNKNOWN: u32 = 4;
const FENCED: u32 = 8;

/// The units of one pool that this proxy may spend without asking.
#[derive(Debug)]
pub struct Cell {
    pool: PoolId,
    bell: Arc<Bell>,
    /// Units that belong to nobody; below zero after charges above their holds.
    free: AtomicI64,
    /// Until when free units may be taken, ms of the proxy's clock.
    admit_until: AtomicU64,
    /// Below this the bell is rung.
    low: AtomicI64,
    flags: AtomicU32,
    used_at: AtomicU64,
    last_amount: AtomicI64,
    deny_until: AtomicU64,
    /// Whether `deny_until` was a date the controller gave (1) or only our own cap on an open-ended refusal (0).
    deny_dated: AtomicU32,
    deny_affordable: AtomicI64,
    /// Below nothing for money, and before the first grant.
    limit: AtomicI64,
    remaining: AtomicI64,
    reset_at: AtomicU64,
}

impl Cell {
    pub(crate) fn new(pool: PoolId, bell: Arc<Bell>, now_ms: u64) -> Self {
        Cell {
            pool,
            bell,
            free: AtomicI64::new(0),
            admit_until: AtomicU64::new(0),
            low: AtomicI64::new(i64::MIN),
            flags: AtomicU32::new(0),
            used_at: AtomicU64::new(now_ms),
            last_amount: AtomicI64::new(0),
            deny_until: AtomicU64::new(0),
            deny_dated: AtomicU32::new(0),
            deny_affordable: AtomicI64::new(0),
            limit: AtomicI64::new(-1),
            remaining: AtomicI64::new(0),
            reset_at: AtomicU64::new(0),
        }
    }

    /// Which pool this is.
    pub fn pool(&self) -> PoolId {
        self.pool
    }

    /// Takes `amount` units (nothing needs no cover). `now_ms` is the proxy's boot clock.
    pub fn take(&self, amount: i64, now_ms: u64) -> Take {
        if amount <= 0 {
            return Take::Taken { wake: false };
        }
        if now_ms >= self.admit_until.load(Ordering::Relaxed) {
            return self.short(amount, now_ms);
        }
        let Some(left) = self.subtract(amount) else { return self.short(amount, now_ms) };
        if self.used_at.load(Ordering::Relaxed) != now_ms {
            self.used_at.store(now_ms, Ordering::Relaxed);
        }
        if self.last_amount.load(Ordering::Relaxed) != amount {
            self.last_amount.store(amount, Ordering::Relaxed);
        }
        Take::Taken { wake: left < self.low.load(Ordering::Relaxed) && self.ring() }
    }

    /// Puts units back: what a hold did not use, or, below zero, what a charge took above its hold. A debt that nothing
    /// sane can have made is cut to one that heals. True: notify the lease driver.
    pub fn put(&self, amount: i64) -> bool {
        if amount == 0 {
            return false;
        }
        let free = self.add(if self.pool.is_money() { amount.max(-MOST_COST) } else { amount });
        let goes_back = free > 0 && self.flags.load(Ordering::Relaxed) & KEEPS_NOTHING != 0;
        (goes_back || free < self.low.load(Ordering::Relaxed)) && self.ring()
    }

    /// Units that belong to nobody at this moment.
    pub fn free(&self) -> i64 {
        self.free.load(Ordering::Acquire)
    }

    /// The rate limit's state for answer headers; none before the first grant and for money.
    pub fn rate(&self, now_ms: u64) -> Option<RateView> {
        let limit = self.limit.load(Ordering::Relaxed);
        (limit >= 0).then(|| RateView {
            limit,
            remaining: self.remaining.load(Ordering::Relaxed).saturating_add(self.free().max(0)).clamp(0, limit),
            reset_ms: self.reset_at.load(Ordering::Relaxed).saturating_sub(now_ms),
        })
    }

    fn short(&self, amount: i64, now_ms: u64) -> Take {
        self.denied(amount, now_ms).map_or(Take::Short, Take::Denied)
    }

    /// The refusal that still stands for a request of this size, if one does.
    pub(crate) fn denied(&self, amount: i64, now_ms: u64) -> Option<Denied> {
        let until = self.deny_until.load(Ordering::Relaxed);
        if now_ms >= until {
            return None;
        }
        let flags = self.flags.load(Ordering::Relaxed);
        if flags & FENCED != 0 {
            return Some(Denied::Fenced);
        }
        if flags & UNKNOWN != 0 {
            return Some(Denied::Unknown);
        }
        let affordable = self.deny_affordable.load(Ordering::Relaxed).saturating_add(self.free().max(0));
        let dated = self.deny_dated.load(Ordering::Relaxed) != 0;
        let retry_ms = if dated { until - now_ms } else { 0 };
        (amount > affordable).then_some(Denied::Exhausted { affordable, retry_ms })
    }

    fn ring(&self) -> bool {
        if self.flags.load(Ordering::Relaxed) & RUNG != 0 || self.flags.fetch_or(RUNG, Ordering::AcqRel) & RUNG != 0 {
            return false;
        }
        self.bell.ring(self.pool)
    }

    /// Takes if enough is free, whatever the clock says, and tells what is left.
    pub(crate) fn subtract(&self, amount: i64) -> Option<i64> {
        let mut free = self.free.load(Ordering::Acquire);
        while free >= amount {
            let left = free - amount;
            match self.free.compare_exchange_weak(free, left, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(left),
                Err(seen) => free = seen,
            }
        }
        None
    }

    /// Takes everything above `keep` and tells how much that was.
    pub(crate) fn drain(&self, keep: i64) -> i64 {
        let keep = keep.max(0);
        let mut free = self.free.load(Ordering::Acquire);
        while free > keep {
            match self.free.compare_exchange_weak(free, keep, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return free - keep,
                Err(seen) => free = seen,
            }
        }
        0
    }

    /// Whether less is free than the borrower likes.
    pub(crate) fn is_low(&self) -> bool {
        self.free() < self.low.load(Ordering::Relaxed)
    }

    /// Adds without ringing: what the borrower itself brings.
    pub(crate) fn credit(&self, amount: i64) {
        self.add(amount);
    }

    /// Adds and tells what is free then. A rate's debt stays within a few buckets.
    fn add(&self, amount: i64) -> i64 {
        let mut free = self.free.load(Ordering::Acquire);
        loop {
            let mut sum = free.saturating_add(amount);
            let limit = self.limit.load(Ordering::Relaxed);
            if sum < free && limit >= 0 {
                sum = sum.max(limit.max(1).saturating_mul(-MOST_DEBT).min(free));
            }
            match self.free.compare_exchange_weak(free, sum, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return sum,
                Err(seen) => free = seen,
            }
        }
    }

    pub(crate) fn admit_until(&self, until_ms: u64) {
        self.admit_until.store(until_ms, Ordering::Relaxed);
    }

    pub(crate) fn set_low(&self, low: i64) {
        self.low.store(low, Ordering::Relaxed);
    }

    pub(crate) fn set_keeps_nothing(&self, yes: bool) {
        self.set_flag(KEEPS_NOTHING, yes);
    }

    /// The borrower has seen this cell: the next shortage rings again.
    pub(crate) fn seen(&self) {
        self.set_flag(RUNG, false);
    }

    fn set_flag(&self, flag: u32, yes: bool) {
        if yes {
            self.flags.fetch_or(flag, Ordering::AcqRel);
        } else {
            self.flags.fetch_and(!flag, Ordering::AcqRel);
        }
    }

    /// Remembers a refusal until `until_ms`, for requests above `affordable`.
    pub(crate) fn deny(&self, affordable: i64, until_ms: u64, dated: bool) {
        self.set_flag(UNKNOWN | FENCED, false);
        self.deny_affordable.store(affordable, Ordering::Relaxed);
        self.deny_dated.store(u32::from(dated), Ordering::Relaxed);
        self.deny_until.store(until_ms, Ordering::Relaxed);
    }

    pub(crate) fn deny_all(&self, why: Denied, until_ms: u64) {
        self.set_flag(UNKNOWN, why == Denied::Unknown);
        self.set_flag(FENCED, why == Denied::Fenced);
        self.deny_until.store(until_ms, Ordering::Relaxed);
    }

    pub(crate) fn allow(&self) {
        self.deny_until.store(0, Ordering::Relaxed);
    }

    pub(crate) fn show_rate(&self, limit: i64, remaining: i64, reset_at_ms: u64) {
        self.limit.store(limit, Ordering::Relaxed);
        self.remaining.store(remaining, Ordering::Relaxed);
        self.reset_at.store(reset_at_ms, Ordering::Relaxed);
    }

    pub(crate) fn used_at(&self) -> u64 {
        self.used_at.load(Ordering::Relaxed)
    }

    pub(crate) fn note_use(&self, amount: i64, now_ms: u64) {
        self.used_at.store(now_ms, Ordering::Relaxed);
        self.last_amount.store(amount, Ordering::Relaxed);
    }

    /// The size of the latest request.
    pub(crate) fn last_amount(&self) -> i64 {
        self.last_amount.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::KeyId;
    use std::sync::atomic::AtomicUsize;

    fn cell() -> Cell {
        Cell::new(PoolId::Requests(KeyId::new(1, 1)), Arc::default(), 0)
    }

    fn filled(units: i64) -> Cell {
        let cell = cell();
        cell.credit(units);
        cell.admit_until(1_000);
        cell
    }

    #[test]
    fn units_are_taken_while_they_last_and_while_the_lease_does() {
        let cell = filled(10);
        assert_eq!(cell.take(4, 0), Take::Taken { wake: false });
        assert_eq!(cell.take(7, 0), Take::Short);
        assert_eq!(cell.take(6, 999), Take::Taken { wake: false });
        cell.credit(5);
        assert_eq!(cell.take(1, 1_000), Take::Short, "lapsed");
        assert_eq!(cell.take(0, 5_000), Take::Taken { wake: false }, "nothing needs no cover");
    }

    #[test]
    fn the_bell_is_rung_once_until_it_is_heard() {
        let cell = filled(10);
        cell.set_low(5);
        assert_eq!(cell.take(5, 0), Take::Taken { wake: false });
        assert_eq!(cell.take(1, 0), Take::Taken { wake: true });
        assert_eq!(cell.take(1, 0), Take::Taken { wake: false });
        assert_eq!(cell.bell.hear(), [cell.pool()]);
        cell.seen();
        assert_eq!(cell.take(1, 0), Take::Taken { wake: true });
    }

    #[test]
    fn a_cell_that_keeps_nothing_rings_when_something_comes_back() {
        let cell = filled(0);
        assert!(!cell.put(5));
        cell.set_keeps_nothing(true);
        assert!(cell.put(5));
        assert_eq!(cell.drain(0), 10);
        assert_eq!(cell.drain(0), 0);
    }

    #[test]
    fn a_debt_is_carried() {
        let cell = filled(1);
        assert!(!cell.put(-3));
        assert_eq!(cell.free(), -2);
        assert_eq!(cell.drain(0), 0);
        cell.credit(3);
        assert_eq!(cell.take(1, 0), Take::Taken { wake: false });
    }

    #[test]
    fn an_absurd_charge_leaves_a_debt_that_heals() {
        let rate = filled(1);
        rate.show_rate(60, 0, 0);
        rate.put(i64::MIN);
        assert_eq!(rate.free(), -240, "four minutes of the limit");
        rate.put(-1);
        assert_eq!(rate.free(), -240);
        let money = Cell::new(PoolId::Credits(domain::ids::OrgId::new(1, 1)), Arc::default(), 0);
        money.put(i64::MIN);
        assert_eq!(money.free(), -MOST_COST, "what the books charge for it");
        for _ in 0..20_000 {
            money.put(i64::MIN);
        }
        assert_eq!(money.free(), i64::MIN, "a sum that does not fit stops at the end");
        money.credit(i64::MAX);
        money.credit(i64::MAX);
        money.credit(i64::MAX);
        assert_eq!(money.free(), i64::MAX);
    }

    #[test]
    fn a_refusal_stands_for_what_is_not_affordable_until_its_time() {
        let cell = filled(2);
        cell.deny(3, 500, true);
        assert_eq!(cell.take(6, 100), Take::Denied(Denied::Exhausted { affordable: 5, retry_ms: 400 }));
        assert_eq!(cell.take(5, 100), Take::Short, "the controller has enough for this one");
        assert_eq!(cell.take(2, 100), Take::Taken { wake: false }, "what is here is here");
        assert_eq!(cell.take(6, 500), Take::Short);
        cell.deny_all(Denied::Unknown, 800);
        assert_eq!(cell.take(1, 600), Take::Denied(Denied::Unknown));
        cell.allow();
        assert_eq!(cell.take(1, 600), Take::Short);
    }

    #[test]
    fn nothing_is_created_or_lost_by_threads_that_take_and_put() {
        const THREADS: usize = 8;
        const ROUNDS: usize = 20_000;
        let cell = filled(1_000);
        cell.set_low(300);
        let (kept, returned, wakes) = (AtomicI64::new(0), AtomicI64::new(0), AtomicUsize::new(0));
        let done = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (cell, kept, wakes, done) = (&cell, &kept, &wakes, &done);
                scope.spawn(move || {
                    let mut state = thread as u64 + 1;
                    for _ in 0..ROUNDS {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        let hold = i64::try_from(state >> 60).unwrap() + 1;
                        let charge = i64::try_from((state >> 40) & 15).unwrap();
                        match cell.take(hold, 0) {
                            Take::Taken { wake } => {
                                wakes.fetch_add(usize::from(wake), Ordering::Relaxed);
                                // Charges run above their holds at times: the difference is below zero.
                                cell.put(hold - charge);
                                kept.fetch_add(charge, Ordering::Relaxed);
                            }
                            Take::Short => {
                                kept.fetch_sub(16, Ordering::Relaxed);
                                cell.put(16);
                            }
                            Take::Denied(why) => panic!("{why}"),
                        }
                    }
                    done.fetch_add(1, Ordering::Release);
                });
            }
            scope.spawn(|| {
                while done.load(Ordering::Acquire) < THREADS {
                    returned.fetch_add(cell.drain(500), Ordering::Relaxed);
                    for _ in cell.bell.hear() {
                        cell.seen();
                    }
                }
            });
        });
        assert_eq!(cell.free() + kept.into_inner() + returned.into_inner(), 1_000);
        assert!(wakes.into_inner() > 0, "the low mark was never crossed");
    }
}
