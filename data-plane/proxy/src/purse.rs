//! A key's pools as a worker touches them: the organisation's credits, the key's budget of the present period, its
//! requests and tokens per minute. Cached per worker, so that a request needs no lock to find them.
//! Never decides whether a request may be served; `pipeline/admit.rs` does.

use std::{
    cell::{Cell as Slot, RefCell},
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use domain::{
    ids::KeyId, keys::Policy, limits::Period, money::Money, orgs::Org, pools::PoolId, routing::Rulebook,
    snapshot::Caller, time::Timestamp,
};
use link::cell::{Cell, Denied, Take};

use crate::{gate::Gate, sync::Funds, worker::Worker};

/// Keys remembered by one worker; a larger crowd is forgotten all at once and found again.
const MOST: usize = 65_536;
/// Keys unused for this long are forgotten, so that their leases go back.
const UNUSED_MS: u64 = 60_000;

/// A key with its organisation, its policy and its pools.
pub(crate) struct Purse {
    pub key: KeyId,
    pub org: Arc<Org>,
    pub policy: Arc<Policy>,
    /// The rules of the key and its organisation, where either has any.
    pub rules: Option<Rulebook>,
    pub credits: Arc<Cell>,
    pub requests: Option<Arc<Cell>>,
    pub tokens: Option<Arc<Cell>>,
    budget: RefCell<Option<Budget>>,
    used_ms: Slot<u64>,
}

/// The budget of one period.
struct Budget {
    ends: Option<Timestamp>,
    cell: Arc<Cell>,
}

impl Purse {
    fn of(caller: &Caller<'_>, funds: &Funds) -> Purse {
        let key = caller.key.id();
        Purse {
            key,
            org: caller.org.clone(),
            policy: caller.policy.clone(),
            rules: Rulebook::of(caller.policy.routing.as_ref(), caller.org.routing.as_ref()),
            credits: funds.cell(PoolId::Credits(caller.org.id)),
            requests: caller.policy.requests.map(|_| funds.cell(PoolId::Requests(key))),
            tokens: caller.policy.tokens.map(|_| funds.cell(PoolId::Tokens(key))),
            budget: RefCell::new(None),
            used_ms: Slot::new(0),
        }
    }

    fn is_of(&self, caller: &Caller<'_>) -> bool {
        Arc::ptr_eq(&self.org, caller.org) && Arc::ptr_eq(&self.policy, caller.policy)
    }

    /// The budget of the period that `now` falls into, if the key has one.
    pub fn budget(&self, now: Timestamp, funds: &Funds) -> Option<Arc<Cell>> {
        let limit = self.policy.budget?;
        let mut known = self.budget.borrow_mut();
        if let Some(budget) = known.as_ref().filter(|budget| budget.ends.is_none_or(|ends| now < ends)) {
            return Some(budget.cell.clone());
        }
        let period: Period = limit.reset.period(now);
        let cell = funds.cell(PoolId::Budget(self.key, period));
        *known = Some(Budget { ends: limit.reset.next(now), cell: cell.clone() });
        Some(cell)
    }
}

/// The purses that a worker has used lately.
#[derive(Default)]
pub(crate) struct Purses {
    known: HashMap<KeyId, Rc<Purse>, BuildHasherDefault<IdHasher>>,
}

impl Purses {
    /// The purse of a caller, as the caller's snapshot has it.
    pub fn find(&mut self, caller: &Caller<'_>, gate: &Gate, now_ms: u64) -> Rc<Purse> {
        let key = caller.key.id();
        if let Some(purse) = self.known.get(&key).filter(|purse| purse.is_of(caller)) {
            purse.used_ms.set(now_ms);
            return purse.clone();
        }
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let purse = Rc::new(Purse::of(caller, &gate.link.funds));
        purse.used_ms.set(now_ms);
        self.known.insert(key, purse.clone());
        purse
    }

    /// Forgets what was not used lately.
    pub fn tidy(&mut self, now_ms: u64) {
        self.known.retain(|_, purse| now_ms.saturating_sub(purse.used_ms.get()) < UNUSED_MS);
    }
}

/// Ids are random where it counts, so their own bits will do.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }

    fn write_u128(&mut self, id: u128) {
        self.0 = (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (id >> 64) as u64;
    }
}

/// A kind of pool, in the order in which holds are taken: money last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pool {
    Requests,
    Tokens,
    Budget,
    Credits,
}

impl Pool {
    /// Pools whose units are nano-dollars.
    pub const MONEY: [Pool; 2] = [Pool::Budget, Pool::Credits];
    const ALL: [Pool; 4] = [Pool::Requests, Pool::Tokens, Pool::Budget, Pool::Credits];
}

/// Everything one request holds. Whatever is still held when it is dropped goes back unused.
pub(crate) struct Holds {
    worker: Rc<Worker>,
    purse: Rc<Purse>,
    budget: Option<Arc<Cell>>,
    amounts: [i64; Pool::ALL.len()],
    /// When these holds are taken, on the clock of leases.
    now_ms: u64,
}

impl Holds {
    /// Nothing yet. The period of the budget is that of the request's arrival.
    pub fn of(purse: &Rc<Purse>, worker: &Rc<Worker>, arrived: Timestamp, now: Duration) -> Holds {
        let budget = purse.budget(arrived, &worker.gate.link.funds);
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        Holds { worker: worker.clone(), purse: purse.clone(), budget, amounts: [0; Pool::ALL.len()], now_ms }
    }

    fn cell(&self, pool: Pool) -> Option<&Arc<Cell>> {
        match pool {
            Pool::Requests => self.purse.requests.as_ref(),
            Pool::Tokens => self.purse.tokens.as_ref(),
            Pool::Budget => self.budget.as_ref(),
            Pool::Credits => Some(&self.purse.credits),
        }
    }

    fn place(&mut self, pool: Pool) -> &mut i64 {
        let [requests, tokens, budget, credits] = &mut self.amounts;
        match pool {
            Pool::Requests => requests,
            Pool::Tokens => tokens,
            Pool::Budget => budget,
            Pool::Credits => credits,
        }
    }

    fn add(&mut self, pool: Pool, amount: i64) {
        let place = self.place(pool);
        *place = place.saturating_add(amount);
    }

    /// Takes from what is there; `None` when only the controller can help. A pool that does not apply has enough.
    fn take_now(&mut self, pool: Pool, amount: i64) -> Option<Result<(), Denied>> {
        let taken = match self.cell(pool) {
            Some(cell) if amount > 0 => cell.take(amount, self.now_ms),
            _ => return Some(Ok(())),
        };
        match taken {
            Take::Taken { wake } => {
                if wake {
                    self.worker.gate.link.funds.wake();
                }
                self.add(pool, amount);
                Some(Ok(()))
            }
            Take::Denied(denied) => Some(Err(denied)),
            Take::Short => None,
        }
    }

    /// Takes `amount`, from the lease or, where that ran dry, from the controller.
    pub async fn take(&mut self, pool: Pool, amount: i64) -> Result<(), Denied> {
        if let Some(result) = self.take_now(pool, amount) {
            return result;
        }
        let Some(id) = self.cell(pool).map(|cell| cell.pool()) else { return Ok(()) };
        // Boxed: it is seldom needed, and every request would carry its room.
        Box::pin(self.worker.gate.link.funds.request(id, amount)).await?;
        self.add(pool, amount);
        Ok(())
    }

    /// Takes money from both pools, or from none.
    pub async fn take_money(&mut self, amount: Money) -> Result<(), (Pool, Denied)> {
        if self.take_both(amount) {
            return Ok(());
        }
        let more = Box::pin(self.extension(amount)).await?;
        self.join(more);
        Ok(())
    }

    /// Takes money from both pools if both have it right now.
    fn take_both(&mut self, amount: Money) -> bool {
        let taken = |result| matches!(result, Some(Ok(())));
        if !taken(self.take_now(Pool::Budget, amount.nano())) {
            return false;
        }
        if taken(self.take_now(Pool::Credits, amount.nano())) {
            return true;
        }
        self.give_back(Pool::Budget, amount.nano());
        false
    }

    fn give_back(&mut self, pool: Pool, amount: i64) {
        self.add(pool, -amount);
        if self.cell(pool).is_some_and(|cell| cell.put(amount)) {
            self.worker.gate.link.funds.wake();
        }
    }

    /// More money from what is there, from both pools or from none.
    pub fn extend_now(&mut self, amount: Money) -> bool {
        self.now_ms = self.worker.gate.now_ms();
        self.take_both(amount)
    }

    /// The same with the controller's help, as a value of its own that is to be joined.
    pub fn extension(&self, amount: Money) -> impl Future<Output = Result<Holds, (Pool, Denied)>> + use<> {
        let mut more = self.nothing();
        async move {
            for pool in Pool::MONEY {
                more.take(pool, amount.nano()).await.map_err(|denied| (pool, denied))?;
            }
            Ok(more)
        }
    }

    fn nothing(&self) -> Holds {
        Holds {
            worker: self.worker.clone(),
            purse: self.purse.clone(),
            budget: self.budget.clone(),
            amounts: [0; Pool::ALL.len()],
            now_ms: self.worker.gate.now_ms(),
        }
    }

    /// Adds what another value of the same request holds.
    pub fn join(&mut self, mut more: Holds) {
        for pool in Pool::ALL {
            let amount = std::mem::take(more.place(pool));
            self.add(pool, amount);
        }
    }

    /// The money that is held.
    pub fn money(&self) -> Money {
        let [_, _, _, credits] = self.amounts;
        Money::from_nano(credits)
    }

    /// The budget pool, if the key has a budget.
    pub fn budget_pool(&self) -> Option<PoolId> {
        self.budget.as_ref().map(|cell| cell.pool())
    }

    /// The request is over: `cost` was spent and `tokens` were used. An admitted request has used its turn.
    pub fn settle(mut self, cost: Money, tokens: u64) {
        let tokens = i64::try_from(tokens).unwrap_or(i64::MAX);
        let [turn, ..] = self.amounts;
        self.release([turn, tokens, cost.nano(), cost.nano()]);
    }

    /// Gives back what was not used. More than was held may have been used: then the pool is charged for the rest.
    fn release(&mut self, used: [i64; Pool::ALL.len()]) {
        let mut wake = false;
        for (pool, used) in Pool::ALL.into_iter().zip(used) {
            let rest = std::mem::take(self.place(pool)).saturating_sub(used);
            if rest != 0
                && let Some(cell) = self.cell(pool)
            {
                wake |= cell.put(rest);
            }
        }
        if wake {
            self.worker.gate.link.funds.wake();
        }
    }
}

impl Drop for Holds {
    fn drop(&mut self) {
        self.release([0; Pool::ALL.len()]);
    }
}
