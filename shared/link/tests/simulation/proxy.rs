//! A proxy: the borrower with its cells, open requests, and a spool that loses what was not synced when it dies.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::ids::BootEpoch;
use domain::pools::PoolId;
use link::borrower::{Borrower, WaiterId};
use link::cell::{Cell, Denied, Take};
use link::lease::Batch;
use link::reports::Outbox;

use crate::books::{Life, Report, budget, credits};

/// In the order in which they are taken.
pub fn pools() -> [PoolId; 2] {
    [budget(), credits()]
}

/// A request on its way to being admitted: it has the first `stage` pools.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub hold: i64,
    pub charge: i64,
    pub lasts_ms: u64,
    pub stage: usize,
}

/// What became of a request.
pub enum Outcome {
    Admitted { ticket: u64, ends_at: u64 },
    Refused { pool: PoolId, hold: i64, why: Denied },
}

/// Charges of one life, in sequence; the last few may not be on disk yet.
#[derive(Default)]
pub struct Spool {
    records: Vec<i64>,
    pub outbox: Outbox,
    pub in_flight: bool,
    told_drained: bool,
}

impl Spool {
    pub fn flush(&mut self) {
        self.outbox.synced(self.records.len() as u64);
    }

    /// What to send next; for a life that is over, at last that it is.
    pub fn next(&mut self, over: bool) -> Option<Report> {
        if self.in_flight {
            return None;
        }
        if let Some(span) = self.outbox.next() {
            self.in_flight = true;
            let from = usize::try_from(span.first - 1).unwrap();
            let charges = self.records[from..from + span.len].to_vec();
            return Some(Report { first: span.first, charges, drained: false });
        }
        if over && !self.told_drained {
            self.in_flight = true;
            let first = self.records.len() as u64 + 1;
            return Some(Report { first, charges: Vec::new(), drained: true });
        }
        None
    }

    pub fn answered(&mut self, mark: u64, drained: bool) {
        self.in_flight = false;
        self.told_drained |= drained;
        self.outbox.answered(mark);
    }

    pub fn lost(&mut self) {
        self.in_flight = false;
        self.outbox.lost();
    }

    pub fn is_done(&self, over: bool) -> bool {
        self.outbox.is_empty() && (!over || self.told_drained)
    }
}

/// One process.
pub struct Proxy {
    pub life: Life,
    pub alive: bool,
    pub borrower: Borrower,
    pub cells: BTreeMap<PoolId, Arc<Cell>>,
    waiting: HashMap<WaiterId, Request>,
    tickets: BTreeMap<u64, Request>,
    next: u64,
    pub spool: Spool,
    /// Spools of lives before, still to be brought.
    pub old: Vec<(Life, Spool)>,
    pub wake_at: Option<u64>,
    /// Charges of finished requests of this life.
    charged: i64,
}

impl Proxy {
    pub fn new(name: &str, epoch: u64) -> Self {
        Proxy {
            life: (name.parse().unwrap(), BootEpoch(epoch)),
            alive: true,
            borrower: Borrower::new(),
            cells: BTreeMap::new(),
            waiting: HashMap::new(),
            tickets: BTreeMap::new(),
            next: 0,
            spool: Spool::default(),
            old: Vec::new(),
            wake_at: None,
            charged: 0,
        }
    }

    fn cell(&mut self, pool: PoolId, now: u64) -> Arc<Cell> {
        let borrower = &mut self.borrower;
        self.cells.entry(pool).or_insert_with(|| borrower.cell(pool, now)).clone()
    }

    /// Takes from one pool after the other, as far as it gets without waiting.
    pub fn begin(&mut self, mut request: Request, now: u64) -> Option<Outcome> {
        while let Some(pool) = pools().get(request.stage).copied() {
            match self.cell(pool, now).take(request.hold, now) {
                Take::Taken { .. } => request.stage += 1,
                Take::Denied(why) => return Some(self.refuse(request, why)),
                Take::Short => {
                    self.next += 1;
                    let waiter = WaiterId(self.next);
                    self.waiting.insert(waiter, request);
                    self.borrower.wait(waiter, pool, request.hold, now);
                    return None;
                }
            }
        }
        self.next += 1;
        self.tickets.insert(self.next, request);
        Some(Outcome::Admitted { ticket: self.next, ends_at: now + request.lasts_ms })
    }

    fn refuse(&mut self, request: Request, why: Denied) -> Outcome {
        for pool in &pools()[..request.stage] {
            self.cells[pool].put(request.hold);
        }
        Outcome::Refused { pool: pools()[request.stage], hold: request.hold, why }
    }

    /// A client hangs up while its request waits.
    pub fn hang_up(&mut self, pick: u64) {
        let mut waiters: Vec<WaiterId> = self.waiting.keys().copied().collect();
        waiters.sort_unstable();
        let Some(waiter) = waiters.get(pick as usize % waiters.len().max(1)).copied() else { return };
        let request = self.waiting.remove(&waiter).unwrap();
        self.borrower.cancel(waiter);
        for pool in &pools()[..request.stage] {
            self.cells[pool].put(request.hold);
        }
    }

    /// Carries on with every request that need not wait any longer; gives what is to be sent.
    pub fn drive(&mut self, now: u64, outcomes: &mut Vec<Outcome>) -> Option<Batch> {
        self.deliver(now, outcomes);
        loop {
            let batch = self.borrower.tick(now);
            if !self.deliver(now, outcomes) || batch.is_some() {
                return batch;
            }
        }
    }

    fn deliver(&mut self, now: u64, outcomes: &mut Vec<Outcome>) -> bool {
        let mut any = false;
        loop {
            let finished = self.borrower.finished();
            if finished.is_empty() {
                return any;
            }
            any = true;
            for done in finished {
                let Some(mut request) = self.waiting.remove(&done.waiter) else {
                    // Gone meanwhile: what was taken for it goes back.
                    if done.result.is_ok() {
                        self.cells[&done.pool].put(done.need);
                    }
                    continue;
                };
                match done.result {
                    Ok(()) => {
                        request.stage += 1;
                        outcomes.extend(self.begin(request, now));
                    }
                    Err(why) => outcomes.push(self.refuse(request, why)),
                }
            }
        }
    }

    /// A request ends: what it did not use goes back, what it cost is recorded.
    pub fn end(&mut self, ticket: u64) {
        let Some(request) = self.tickets.remove(&ticket) else { return };
        for pool in pools() {
            self.cells[&pool].put(request.hold - request.charge);
        }
        self.charged += request.charge;
        self.spool.records.push(request.charge);
    }

    /// The process dies. With its disk, what was synced survives; gives what was charged by it that nobody will know.
    pub fn crash(&mut self, keep_disk: bool) -> Option<(Life, Spool)> {
        self.alive = false;
        self.wake_at = None;
        let mut spool = std::mem::take(&mut self.spool);
        spool.records.truncate(usize::try_from(spool.outbox.synced_to()).unwrap());
        spool.lost();
        keep_disk.then(|| (self.life.clone(), spool))
    }

    pub fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.tickets.is_empty()
    }

    pub fn held(&self, pool: PoolId) -> i64 {
        let has = |request: &&Request| pools()[..request.stage].contains(&pool);
        let requests = self.tickets.values().chain(self.waiting.values());
        requests.filter(has).map(|request| request.hold).sum()
    }

    pub fn free(&self, pool: PoolId) -> i64 {
        self.cells.get(&pool).map_or(0, |cell| cell.free())
    }

    /// Nothing was created and nothing got lost here.
    pub fn verify(&self) {
        for pool in pools() {
            let (granted, returned) = self.borrower.totals(pool);
            let accounted = self.free(pool) + self.held(pool) + self.charged;
            assert_eq!(granted - returned, accounted, "{} {pool}: {granted} - {returned}", self.life.0);
        }
    }
}
