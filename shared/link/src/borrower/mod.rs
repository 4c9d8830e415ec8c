//! The proxy's half of lending: one borrower per proxy keeps every pool's totals, says what to ask the controller for,
//! and hands what it is given to requests that wait.
//!
//! It never waits, sends or reads a clock: a driver calls a method for each thing that happens, then takes
//! [`Borrower::finished`], then [`Borrower::tick`], and sends the batch if there is one. The counterpart is `lender`
//! for money and `rates` for rates. Between calls, workers spend from the cells without it.
//!
//! For each pool, always: `granted - returned = free + held by requests + charged`. Only the left side and `free` are
//! known here; the rest is in tickets and in the spool.

mod local;
mod pool;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use domain::pools::PoolId;

use crate::cell::{Bell, Cell, Denied, Take};
use crate::lease::{BATCH, Batch, Reply, Verdict};
use pool::{Asked, Pool, Waiter};

/// How long a request waits for an answer of the controller.
pub const ANSWER_DEADLINE_MS: u64 = 1_000;
/// How long the driver waits for an answer to a batch: less than a request waits, so that one that waited for an answer
/// that never comes can still be served from its share of a limit.
pub const CALL_DEADLINE_MS: u64 = 800;
/// How long a request waits while units are recalled from other proxies.
pub const RECALL_DEADLINE_MS: u64 = 400;
/// How often a waiting request asks again while units are recalled.
const REASK_MS: u64 = 20;
/// The longest pause between attempts to reach the controller.
const RETRY_MAX_MS: u64 = 1_000;
const RETRY_MIN_MS: u64 = 50;
/// While the controller is thought to be gone: how long a request hopes that a call under way is answered.
const PROBE_MS: u64 = 100;

/// A request that waits for units, by a number of the driver's choosing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u64);

/// What became of a waiting request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    pub waiter: WaiterId,
    pub pool: PoolId,
    pub need: i64,
    /// On `Ok` the units have been taken for the waiter; if it is gone, the driver puts `need` back into the cell.
    pub result: Result<(), Denied>,
}

struct Flight {
    sequence: u64,
    sent_at: u64,
    asked: Vec<Asked>,
}

/// Whether the controller answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Good,
    Lost { since: u64, retry_at: u64, pause: u64 },
}

/// All pools of one proxy process.
pub struct Borrower {
    bell: Arc<Bell>,
    pools: BTreeMap<PoolId, Pool>,
    /// Totals of money pools that are not in use any more: they count on for the rest of the epoch.
    totals: HashMap<PoolId, (i64, i64)>,
    waiting: HashMap<WaiterId, PoolId>,
    /// Pools that have something to ask, by when.
    queue: BTreeSet<(u64, PoolId)>,
    /// When to look at a pool again.
    timers: BTreeSet<(u64, PoolId)>,
    flight: Option<Flight>,
    sequence: u64,
    active: u32,
    reach: Reach,
    leaving: bool,
    fenced: bool,
    finished: Vec<Finished>,
}

impl Default for Borrower {
    fn default() -> Self {
        Self::new()
    }
}

impl Borrower {
    /// A borrower at the start of a boot epoch.
    pub fn new() -> Self {
        Borrower {
            bell: Arc::default(),
            pools: BTreeMap::new(),
            totals: HashMap::new(),
            waiting: HashMap::new(),
            queue: BTreeSet::new(),
            timers: BTreeSet::new(),
            flight: None,
            sequence: 0,
            active: 1,
            reach: Reach::Good,
            leaving: false,
            fenced: false,
            finished: Vec::new(),
        }
    }

    /// The cell of a pool, made when it is asked for first.
    pub fn cell(&mut self, pool: PoolId, now_ms: u64) -> Arc<Cell> {
        self.ensure(pool, now_ms).cell.clone()
    }

    /// A request needs `need` units that its cell did not have. The result comes from [`Borrower::finished`].
    pub fn wait(&mut self, waiter: WaiterId, pool: PoolId, need: i64, now_ms: u64) {
        let fenced = self.fenced;
        let taken = self.ensure(pool, now_ms).cell.take(need, now_ms);
        let result = match taken {
            Take::Taken { .. } => Some(Ok(())),
            Take::Denied(why) => Some(Err(why)),
            Take::Short if fenced => Some(Err(Denied::Fenced)),
            Take::Short => None,
        };
        if let Some(result) = result {
            self.finished.push(Finished { waiter, pool, need, result });
            return;
        }
        let is_hopeless = self.is_hopeless(now_ms);
        if let Some(row) = self.pools.get_mut(&pool) {
            let waiter = Waiter { id: waiter, need, since: now_ms };
            if is_hopeless && pool.is_money() {
                self.finished.push(row.turn_away(&waiter));
            } else {
                self.waiting.insert(waiter.id, pool);
                row.push(waiter);
            }
        }
        if self.reach != Reach::Good {
            self.serve_in_outage(pool, None, now_ms);
        }
        self.attend(pool, now_ms);
    }

    /// Whether it is known that waiting is of no use: the controller has been gone for a while and it is not time to try
    /// again, or somebody tries without an answer.
    fn is_hopeless(&self, now_ms: u64) -> bool {
        let Reach::Lost { since, retry_at, .. } = self.reach else { return false };
        let may_be_back = match &self.flight {
            Some(flight) => now_ms < flight.sent_at.saturating_add(PROBE_MS),
            None => now_ms >= retry_at,
        };
        !may_be_back && now_ms >= since.saturating_add(ANSWER_DEADLINE_MS)
    }

    /// A waiting request has gone away. Nothing happens if its result is already among the finished.
    pub fn cancel(&mut self, waiter: WaiterId) {
        if let Some(row) = self.waiting.remove(&waiter).and_then(|pool| self.pools.get_mut(&pool)) {
            row.remove(waiter);
        }
    }

    /// Hears the cells, lets time pass and, unless a batch is under way, says what to send now.
    pub fn tick(&mut self, now_ms: u64) -> Option<Batch> {
        for pool in self.bell.hear() {
            if let Some(row) = self.pools.get(&pool) {
                row.cell.seen();
                self.attend(pool, now_ms);
            }
        }
        while let Some((at, pool)) = self.timers.first().copied().filter(|(at, _)| *at <= now_ms) {
            self.timers.remove(&(at, pool));
            self.on_timer(pool, now_ms);
        }
        let may_send = match self.reach {
            Reach::Good => true,
            Reach::Lost { retry_at, .. } => now_ms >= retry_at,
        };
        if self.fenced || self.flight.is_some() || !may_send {
            return None;
        }
        self.gather(now_ms)
    }

    /// The controller's answer to the batch with this sequence. Answers to other batches than the one under way are
    /// ignored: the next one repeats every total.
    pub fn answered(&mut self, sequence: u64, reply: &Reply, now_ms: u64) {
        let Some(flight) = self.flight.take_if(|flight| flight.sequence == sequence) else { return };
        self.reach = Reach::Good;
        self.active = reply.active_proxies.max(1);
        let mut asked: BTreeMap<PoolId, Asked> = flight.asked.into_iter().map(|asked| (asked.pool, asked)).collect();
        for grant in &reply.grants {
            let Some(asked) = asked.remove(&grant.pool) else { continue };
            self.fenced |= grant.verdict == Verdict::Fenced;
            if let Some(row) = self.pools.get_mut(&grant.pool) {
                let again = row.settle(&asked, grant, flight.sent_at, now_ms, self.active, &mut self.finished);
                self.enqueue(grant.pool, again);
                self.reschedule(grant.pool, now_ms);
            }
        }
        for pool in asked.into_keys() {
            let again = self.pools.get_mut(&pool).map(|row| row.left_out(now_ms));
            self.enqueue(pool, again);
        }
        if self.fenced {
            self.deny_everyone();
        }
        self.forget_finished_waiters();
    }

    /// The batch with this sequence could not be sent, or was not answered in time. What is free stays usable until
    /// its lease lapses; rate limits fall to this proxy's share.
    pub fn lost(&mut self, sequence: u64, now_ms: u64) {
        let Some(flight) = self.flight.take_if(|flight| flight.sequence == sequence) else { return };
        let (since, pause) = match self.reach {
            Reach::Good => (now_ms, RETRY_MIN_MS),
            Reach::Lost { since, pause, .. } => (since, (pause * 2).min(RETRY_MAX_MS)),
        };
        self.reach = Reach::Lost { since, retry_at: now_ms.saturating_add(pause), pause };
        let waited_for = self.waiting.values().copied();
        let pools: BTreeSet<PoolId> = flight.asked.iter().map(|asked| asked.pool).chain(waited_for).collect();
        for pool in pools {
            self.enqueue(pool, Some(now_ms));
            self.serve_in_outage(pool, Some(since), now_ms);
            self.reschedule(pool, now_ms);
        }
    }

    /// The controller wants back what no request holds, down to `keep`.
    pub fn recalled(&mut self, pools: &[(PoolId, i64)], now_ms: u64) {
        for (pool, keep) in pools {
            self.ensure(*pool, now_ms).recall(*keep);
            self.enqueue(*pool, Some(now_ms));
        }
    }

    /// Something happened to these pools: refusals are forgotten and waiting requests ask again.
    pub fn pool_event(&mut self, pools: &[PoolId], now_ms: u64) {
        for pool in pools {
            if let Some(row) = self.pools.get_mut(pool) {
                row.forget_refusals(now_ms);
                if row.has_waiters() {
                    self.enqueue(*pool, Some(now_ms));
                }
            }
        }
    }

    /// A stream to the controller stands again: it can be asked. Events may have been missed, so every refusal is
    /// forgotten.
    pub fn connected(&mut self, now_ms: u64) {
        self.reach = Reach::Good;
        self.pools.values_mut().for_each(|row| row.forget_refusals(now_ms));
    }

    /// This proxy stops: from now on everything that is free, or becomes free, goes back.
    pub fn leaving(&mut self, now_ms: u64) {
        self.leaving = true;
        for row in self.pools.values_mut() {
            row.leave();
        }
        let pools: Vec<PoolId> = self.pools.keys().copied().collect();
        for pool in pools {
            self.attend(pool, now_ms);
        }
    }

    /// Whether a leaving proxy has nothing left and the controller knows it, or will not hear of it any more.
    pub fn is_settled(&self) -> bool {
        self.leaving && self.flight.is_none() && (self.fenced || self.pools.values().all(Pool::is_settled))
    }

    /// Whether a newer process with this proxy's name has been seen: this one should end.
    pub fn is_fenced(&self) -> bool {
        self.fenced
    }

    /// The results since the last call.
    pub fn finished(&mut self) -> Vec<Finished> {
        self.forget_finished_waiters();
        std::mem::take(&mut self.finished)
    }

    /// When `tick` has something to do without anything else happening, ms of the proxy's clock.
    pub fn next_wake(&self) -> Option<u64> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let send = self.queue.first().map(|(at, _)| *at).filter(|_| self.flight.is_none() && !self.fenced);
        let send = match self.reach {
            Reach::Good => send,
            Reach::Lost { retry_at, .. } => send.map(|at| at.max(retry_at)),
        };
        [timer, send].into_iter().flatten().min()
    }

    /// Pools that are known, and pools of which only totals are kept.
    pub fn counts(&self) -> (usize, usize) {
        (self.pools.len(), self.totals.len())
    }

    /// What the controller has granted and been given back, as this proxy knows. For tests and metrics.
    pub fn totals(&self, pool: PoolId) -> (i64, i64) {
        let live = self.pools.get(&pool).map(Pool::totals);
        live.or_else(|| self.totals.get(&pool).copied()).unwrap_or_default()
    }

    fn ensure(&mut self, pool: PoolId, now_ms: u64) -> &mut Pool {
        let (bell, totals, timers, leaving) = (&self.bell, &mut self.totals, &mut self.timers, self.leaving);
        self.pools.entry(pool).or_insert_with(|| {
            let cell = Arc::new(Cell::new(pool, bell.clone(), now_ms));
            let mut row = Pool::new(pool, cell, totals.remove(&pool), now_ms);
            if leaving {
                row.leave();
            }
            let at = row.next_look(now_ms);
            row.timer = Some(at);
            timers.insert((at, pool));
            row
        })
    }

    /// Serves waiters from what is free and queues the pool if there is anything to say about it.
    fn attend(&mut self, pool: PoolId, now_ms: u64) {
        let Some(row) = self.pools.get_mut(&pool) else { return };
        row.serve(now_ms, &mut self.finished);
        let at = row.has_reason(now_ms).then(|| row.ask_at(now_ms));
        self.enqueue(pool, at);
        self.reschedule(pool, now_ms);
    }

    fn on_timer(&mut self, pool: PoolId, now_ms: u64) {
        let is_lost = self.reach != Reach::Good;
        let Some(row) = self.pools.get_mut(&pool) else { return };
        row.timer = None;
        if is_lost {
            row.serve_in_outage(None, now_ms, self.active, &mut self.finished);
        }
        row.expire(now_ms, is_lost, &mut self.finished);
        row.look(now_ms);
        self.attend(pool, now_ms);
        self.forget_if_idle(pool, now_ms);
    }

    fn serve_in_outage(&mut self, pool: PoolId, lost_since: Option<u64>, now_ms: u64) {
        if let Some(row) = self.pools.get_mut(&pool) {
            row.serve_in_outage(lost_since, now_ms, self.active, &mut self.finished);
        }
    }

    fn gather(&mut self, now_ms: u64) -> Option<Batch> {
        let mut asks = Vec::new();
        let mut asked = Vec::new();
        while asks.len() < BATCH {
            let Some((at, pool)) = self.queue.first().copied().filter(|(at, _)| *at <= now_ms) else { break };
            self.queue.remove(&(at, pool));
            let Some(row) = self.pools.get_mut(&pool) else { continue };
            row.queued = None;
            row.serve(now_ms, &mut self.finished);
            if row.has_reason(now_ms) {
                let (ask, note) = row.ask(now_ms, self.active);
                asks.push(ask);
                asked.push(note);
            }
            self.reschedule(pool, now_ms);
        }
        if asks.is_empty() {
            return None;
        }
        self.sequence += 1;
        self.flight = Some(Flight { sequence: self.sequence, sent_at: now_ms, asked });
        Some(Batch { sequence: self.sequence, asks })
    }

    fn enqueue(&mut self, pool: PoolId, at: Option<u64>) {
        let (Some(at), Some(row)) = (at, self.pools.get_mut(&pool)) else { return };
        if row.queued.is_some_and(|queued| queued <= at) {
            return;
        }
        if let Some(later) = row.queued.replace(at) {
            self.queue.remove(&(later, pool));
        }
        self.queue.insert((at, pool));
    }

    fn reschedule(&mut self, pool: PoolId, now_ms: u64) {
        let Some(row) = self.pools.get_mut(&pool) else { return };
        let at = row.next_look(now_ms);
        if let Some(old) = row.timer.replace(at) {
            self.timers.remove(&(old, pool));
        }
        self.timers.insert((at, pool));
    }

    fn forget_if_idle(&mut self, pool: PoolId, now_ms: u64) {
        let asked = |flight: &Flight| flight.asked.iter().any(|asked| asked.pool == pool);
        let busy = self.flight.as_ref().is_some_and(asked);
        if busy || !self.pools.get(&pool).is_some_and(|row| row.is_forgettable(now_ms)) {
            return;
        }
        let Some(row) = self.pools.remove(&pool) else { return };
        match row.retire() {
            Ok(totals) => {
                if let Some(timer) = totals.timer {
                    self.timers.remove(&(timer, pool));
                }
                if pool.is_money() {
                    self.totals.insert(pool, (totals.granted, totals.returned));
                }
            }
            // Some worker still knows the cell and could put units into it.
            Err(row) => {
                self.pools.insert(pool, *row);
            }
        }
    }

    fn deny_everyone(&mut self) {
        for row in self.pools.values_mut() {
            row.deny_waiters(Denied::Fenced, &mut self.finished);
            row.cell.deny_all(Denied::Fenced, u64::MAX);
        }
    }

    fn forget_finished_waiters(&mut self) {
        for done in &self.finished {
            self.waiting.remove(&done.waiter);
        }
    }
}

#[cfg(test)]
mod tests;
