//! Drives the borrower: carries its asks to the controller, one call at a time, and what comes back to the requests
//! that wait. Decides nothing about money. Workers reach it through [`Funds`], only when a cell does not suffice.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::pools::PoolId;
use link::borrower::{Borrower, CALL_DEADLINE_MS, WaiterId};
use link::cell::{Cell, Denied};
use link::lease::Batch;
use proto::convert::{read_grants, write_asks};
use proto::sync as wire;
use runtime::clock::Clock;
use runtime::metrics::Counter;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::status::Status;
use super::wire::{Wire, traced, within};

/// The longest sleep: how often a borrower that asks for nothing is looked at.
const IDLE: Duration = Duration::from_secs(5);

type Verdict = Result<(), Denied>;

/// What the proxy was lent. Clones share it.
#[derive(Clone)]
pub struct Funds {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    next_waiter: AtomicU64,
    /// The driver has something to do.
    bell: Notify,
    refusals: Arc<Counter>,
}

struct State {
    borrower: Borrower,
    waiting: HashMap<WaiterId, oneshot::Sender<Verdict>>,
}

impl Funds {
    pub(super) fn new(clock: Arc<dyn Clock>, refusals: Arc<Counter>) -> Funds {
        let state = Mutex::new(State { borrower: Borrower::new(), waiting: HashMap::new() });
        let inner = Inner { clock, state, next_waiter: AtomicU64::new(0), bell: Notify::new(), refusals };
        Funds { inner: Arc::new(inner) }
    }

    /// Funds that nobody fills.
    #[cfg(test)]
    pub(crate) fn apart(clock: Arc<dyn Clock>) -> Funds {
        Funds::new(clock, Arc::default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.inner.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    /// The cell of a pool. Takes a lock: workers keep what they got.
    pub fn cell(&self, pool: PoolId) -> Arc<Cell> {
        self.state().borrower.cell(pool, self.now_ms())
    }

    /// The driver is to look at the cells: after `Take::Taken { wake: true }`, or a `put` that said so.
    pub fn wake(&self) {
        self.inner.bell.notify_one();
    }

    /// Waits for `need` units that the cell does not have; on `Ok` they have been taken for the caller. Dropping the
    /// future gives back what came too late.
    ///
    /// # Errors
    /// Why they cannot be had.
    pub async fn request(&self, pool: PoolId, need: i64) -> Result<(), Denied> {
        let waiter = WaiterId(self.inner.next_waiter.fetch_add(1, Ordering::Relaxed));
        let (tell, told) = oneshot::channel();
        {
            let mut state = self.state();
            state.waiting.insert(waiter, tell);
            state.borrower.wait(waiter, pool, need, self.now_ms());
            self.deliver(&mut state);
        }
        self.wake();
        let mut guard = Waiting { funds: self, waiter, pool, need, told: Some(told) };
        let result = match guard.told.as_mut() {
            Some(told) => told.await.unwrap_or(Err(Denied::Unreachable)),
            None => Err(Denied::Unreachable),
        };
        guard.told = None;
        if result.is_err() {
            self.inner.refusals.increment();
        }
        result
    }

    /// Tells those who waited; what nobody takes any more goes back into its cell.
    fn deliver(&self, state: &mut State) {
        for done in state.borrower.finished() {
            let is_gone = match state.waiting.remove(&done.waiter) {
                Some(tell) => tell.send(done.result).is_err(),
                None => true,
            };
            if is_gone && done.result.is_ok() {
                state.borrower.cell(done.pool, self.now_ms()).put(done.need);
            }
        }
    }

    fn with(&self, act: impl FnOnce(&mut Borrower, u64)) {
        let mut state = self.state();
        act(&mut state.borrower, self.now_ms());
        self.deliver(&mut state);
        drop(state);
        self.wake();
    }

    pub(super) fn recalled(&self, pools: &[(PoolId, i64)]) {
        self.with(|borrower, now| borrower.recalled(pools, now));
    }

    pub(super) fn pool_event(&self, pools: &[PoolId]) {
        self.with(|borrower, now| borrower.pool_event(pools, now));
    }

    pub(super) fn connected(&self) {
        self.with(Borrower::connected);
    }

    /// Gives everything back, and returns once the controller has it. The caller has the deadline.
    pub(super) async fn leave(&self) {
        self.with(Borrower::leaving);
        while !self.state().borrower.is_settled() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Pools in use, for metrics.
    pub(super) fn pools(&self) -> usize {
        self.state().borrower.counts().0
    }

    fn tick(&self) -> (Option<Batch>, Option<u64>) {
        let mut state = self.state();
        let batch = state.borrower.tick(self.now_ms());
        self.deliver(&mut state);
        let wake_at = state.borrower.next_wake();
        (batch, wake_at)
    }
}

/// A request that waits. Dropped, it takes itself off the list and puts back what it was given meanwhile.
struct Waiting<'a> {
    funds: &'a Funds,
    waiter: WaiterId,
    pool: PoolId,
    need: i64,
    told: Option<oneshot::Receiver<Verdict>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(mut told) = self.told.take() else { return };
        let mut state = self.funds.state();
        state.waiting.remove(&self.waiter);
        state.borrower.cancel(self.waiter);
        // A result may have been sent in the moment between.
        if let Ok(Ok(())) = told.try_recv() {
            let cell = state.borrower.cell(self.pool, self.funds.now_ms());
            drop(state);
            if cell.put(self.need) {
                self.funds.wake();
            }
        }
    }
}

type Flight = Pin<Box<dyn Future<Output = Result<wire::LeaseResponse, tonic::Status>> + Send>>;

/// Carries batches until it is told to stop.
pub(super) struct Driver {
    pub(super) funds: Funds,
    pub(super) wire: Wire,
    pub(super) status: Arc<Status>,
    pub(super) requests: Arc<Counter>,
}

impl Driver {
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut flight: Option<(u64, Flight)> = None;
        loop {
            let (batch, wake_at) = self.funds.tick();
            if let Some(batch) = batch {
                flight = Some((batch.sequence, self.send(&batch)));
            }
            let now = self.funds.now_ms();
            let sleep = wake_at.map_or(IDLE, |at| Duration::from_millis(at.saturating_sub(now))).min(IDLE);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.funds.inner.bell.notified() => {}
                () = tokio::time::sleep(sleep) => {}
                answer = landed(&mut flight) => {
                    if let Some((sequence, _)) = flight.take() {
                        self.take_in(sequence, answer);
                    }
                }
            }
        }
    }

    fn send(&self, batch: &Batch) -> Flight {
        self.requests.increment();
        let mut message = write_asks(batch);
        message.proxy_id = self.wire.proxy_id();
        message.boot_epoch = self.wire.identity().epoch.0;
        let mut client = self.wire.urgent();
        let deadline = Duration::from_millis(CALL_DEADLINE_MS);
        let span = tracing::info_span!("lease", sequence = batch.sequence, pools = batch.asks.len());
        let request = traced(&span, message);
        Box::pin(async move { within(deadline, client.lease(request)).await }.instrument(span))
    }

    fn take_in(&self, sequence: u64, answer: Result<wire::LeaseResponse, tonic::Status>) {
        match answer {
            Ok(response) => {
                self.status.answered();
                let (reply, invalid) = read_grants(response);
                if let Some(first) = invalid.first() {
                    tracing::warn!(count = invalid.len(), %first, "grants that cannot be understood are left out");
                }
                self.funds.with(|borrower, now| borrower.answered(sequence, &reply, now));
                if self.funds.state().borrower.is_fenced() && !self.status.is_fenced() {
                    self.status.set_fenced();
                    tracing::error!(
                        "the controller lends this process nothing any more: a newer one has its name, or it was \
                         thought dead; it ends and has to be started anew"
                    );
                }
            }
            Err(status) => {
                tracing::debug!(code = ?status.code(), "a lease call was not answered");
                self.funds.with(|borrower, now| borrower.lost(sequence, now));
            }
        }
    }
}

/// The answer to the call under way; never, when there is none.
async fn landed(flight: &mut Option<(u64, Flight)>) -> Result<wire::LeaseResponse, tonic::Status> {
    match flight {
        Some((_, call)) => call.as_mut().await,
        None => std::future::pending().await,
    }
}
