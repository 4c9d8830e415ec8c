//! The way to a scarce upstream: the platform's account at a provider has limits that the whole fleet keeps, and a provider
//! that is overloaded gets fewer requests at a time. Who cannot go at once, and has nowhere else to go, waits in a line in
//! which organisations take turns (`line`); `places` counts what is under way.
//! One of each account and worker. Never looks at a request, and keeps nobody longer than the caller lets it.

mod line;
mod places;
mod quota;

use std::{
    cell::{Cell as Slot, OnceCell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use domain::{
    ids::{OrgId, ProviderId},
    limits::Rate,
    pools::{AccountTag, PoolId},
    providers::AccountLimits,
};
use link::cell::{Cell, Denied, Take};
use tokio::sync::{Notify, oneshot};

pub(crate) use self::{line::Class, quota::pause};
use self::{
    line::{Line, Place},
    places::Places,
};
use crate::sync::Funds;

/// The longest that anybody waits here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// What those who are sent away are told at least, and at most.
const WAIT_LEAST: Duration = Duration::from_secs(1);
const WAIT_MOST: Duration = Duration::from_secs(60);
/// How long to wait when nobody says how long.
const AGAIN: Duration = Duration::from_millis(50);

/// The way to one account.
pub(crate) struct Turnstile {
    funds: Funds,
    limits: Slot<AccountLimits>,
    requests: RefCell<Option<Pool>>,
    tokens: RefCell<Option<Pool>>,
    /// Until when nobody goes through, as the provider's answers ask for; milliseconds of the gate's clock.
    paused_until: Slot<u64>,
    places: Places,
    line: RefCell<Line>,
    /// How those who wait are called.
    calls: RefCell<HashMap<Place, oneshot::Sender<()>>>,
    /// Somebody has been called and has not gone through yet.
    is_called: Slot<bool>,
    /// A place has become free.
    freed: Notify,
    /// Milliseconds of the gate's clock when the last one who waited went through, and from one to the next, smoothed.
    passed_ms: Slot<u64>,
    pace_ms: Slot<u64>,
}

/// One limit of the account. Its cell is made with the first request: whoever has one is lent units.
struct Pool {
    id: PoolId,
    cell: OnceCell<Arc<Cell>>,
    /// What one request can have at most.
    most: i64,
}

/// What one request is thought to need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    pub org: OrgId,
    pub class: Class,
    pub tokens: u64,
    /// Milliseconds of the gate's clock.
    pub now_ms: u64,
}

/// A request that went through. Its place is free again when this is dropped.
pub(crate) struct Pass {
    turnstile: Rc<Turnstile>,
    /// Tokens that were taken from the account's pool.
    tokens: i64,
}

/// Nobody else is let through now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Crowded {
    /// When it may be worth another try.
    pub retry_after: Duration,
}

/// What came of trying to go at once.
enum Tried {
    Through(Pass),
    /// The controller has to be asked.
    Ask,
    /// There is nothing to be had for so long.
    Wait(Duration),
}

impl Turnstile {
    pub fn new(funds: Funds) -> Turnstile {
        Turnstile {
            funds,
            limits: Slot::default(),
            requests: RefCell::default(),
            tokens: RefCell::default(),
            paused_until: Slot::new(0),
            places: Places::default(),
            line: RefCell::new(Line::new()),
            calls: RefCell::default(),
            is_called: Slot::new(false),
            freed: Notify::new(),
            passed_ms: Slot::new(0),
            pace_ms: Slot::new(0),
        }
    }

    /// Keeps the limits of this provider's account from now on.
    pub fn keep(&self, provider: &ProviderId, limits: AccountLimits) {
        if self.limits.replace(limits) == limits {
            return;
        }
        let tag = AccountTag::of(provider);
        let pool = |rate: Option<Rate>, id| {
            let most = |rate: Rate| i64::try_from(rate.burst).unwrap_or(i64::MAX);
            rate.map(|rate| Pool { id, cell: OnceCell::new(), most: most(rate) })
        };
        self.requests.replace(pool(limits.requests(), PoolId::AccountRequests(tag)));
        self.tokens.replace(pool(limits.tokens(), PoolId::AccountTokens(tag)));
    }

    /// Whether the account has limits: whoever needs something then has to know the time.
    pub fn counts(&self) -> bool {
        self.limits.get().is_some()
    }

    /// Lets a request through if that takes no waiting at all.
    pub fn try_pass(self: &Rc<Self>, tokens: u64, now_ms: u64) -> Option<Pass> {
        match self.is_open().then(|| self.try_now(tokens, now_ms)) {
            Some(Tried::Through(pass)) => Some(pass),
            _ => None,
        }
    }

    /// Lets a request through that has somewhere else to go: it waits for the controller's word, but for nobody's turn.
    pub async fn pass_at_once(self: &Rc<Self>, need: Need) -> Result<Pass, Crowded> {
        if !self.is_open() {
            return Err(self.crowded());
        }
        match self.try_now(need.tokens, need.now_ms) {
            Tried::Through(pass) => Ok(pass),
            Tried::Wait(wait) => Err(Crowded { retry_after: wait.clamp(WAIT_LEAST, WAIT_MOST) }),
            Tried::Ask => {
                let _turn = Turn::called(self);
                self.ask(&need).await.map_err(|wait| Crowded { retry_after: wait.clamp(WAIT_LEAST, WAIT_MOST) })
            }
        }
    }

    /// What who is sent away is told: how long those who wait will take, at the pace of the last ones.
    pub fn crowded(&self) -> Crowded {
        let waiting = u64::try_from(self.line.borrow().len()).unwrap_or(u64::MAX);
        let ms = self.pace_ms.get().saturating_mul(waiting.saturating_add(1));
        Crowded { retry_after: Duration::from_millis(ms).clamp(WAIT_LEAST, WAIT_MOST) }
    }

    /// A request was answered.
    pub fn answered(&self) {
        self.places.answered();
    }

    /// The provider says that it has too much to do, or does not begin to answer.
    pub fn overloaded(&self, now_ms: u64) {
        self.places.overloaded(now_ms);
    }

    /// An answer tells that little is left of the account's limits: others use it as well, or we count in another way.
    pub fn pause(&self, pause: Duration, now_ms: u64) {
        let until = now_ms.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        self.paused_until.set(self.paused_until.get().max(until));
    }

    /// How long nobody goes through.
    fn paused(&self, now_ms: u64) -> Option<Duration> {
        let left = self.paused_until.get().checked_sub(now_ms).filter(|left| *left > 0 && self.counts());
        left.map(Duration::from_millis)
    }

    /// Whether nobody waits.
    fn is_open(&self) -> bool {
        !self.is_called.get() && self.line.borrow().is_empty()
    }

    fn try_now(self: &Rc<Self>, tokens: u64, now_ms: u64) -> Tried {
        if !self.places.has_room() {
            return Tried::Wait(self.crowded().retry_after);
        }
        if let Some(left) = self.paused(now_ms) {
            return Tried::Wait(left);
        }
        let requests = match self.take(&self.requests, 1, now_ms) {
            Ok(taken) => taken,
            Err(tried) => return tried,
        };
        match self.take(&self.tokens, self.tokens_of(tokens), now_ms) {
            Ok(tokens) => Tried::Through(self.through(tokens)),
            Err(tried) => {
                self.put(&self.requests, requests);
                tried
            }
        }
    }

    /// Takes units from what is there, and says how many: none where there is no limit.
    fn take(&self, pool: &RefCell<Option<Pool>>, units: i64, now_ms: u64) -> Result<i64, Tried> {
        let pool = pool.borrow();
        let Some(pool) = &*pool else { return Ok(0) };
        match self.cell(pool).take(units, now_ms) {
            Take::Taken { wake } => {
                if wake {
                    self.funds.wake();
                }
                Ok(units)
            }
            Take::Short => Err(Tried::Ask),
            Take::Denied(Denied::Unknown) => Ok(0),
            Take::Denied(denied) => Err(Tried::Wait(wait_of(denied))),
        }
    }

    fn cell<'p>(&self, pool: &'p Pool) -> &'p Arc<Cell> {
        pool.cell.get_or_init(|| self.funds.cell(pool.id))
    }

    fn put(&self, pool: &RefCell<Option<Pool>>, units: i64) {
        let pool = pool.borrow();
        if pool.as_ref().is_some_and(|pool| units != 0 && self.cell(pool).put(units)) {
            self.funds.wake();
        }
    }

    /// What is taken for a request: more than the pool ever holds at a time is charged when it is over.
    fn tokens_of(&self, tokens: u64) -> i64 {
        let tokens = i64::try_from(tokens).unwrap_or(i64::MAX);
        self.tokens.borrow().as_ref().map_or(0, |pool| tokens.clamp(1, pool.most))
    }

    fn through(self: &Rc<Self>, tokens: i64) -> Pass {
        self.places.enter();
        Pass { turnstile: self.clone(), tokens }
    }

    /// One who waited has gone through. A longer pause than anybody waits is no pace.
    fn note_pace(&self, now_ms: u64) {
        let since = now_ms.saturating_sub(self.passed_ms.replace(now_ms));
        if u128::from(since) <= PATIENCE.as_millis() {
            self.pace_ms.set((self.pace_ms.get() * 7 + since) / 8);
        }
    }

    /// Lets a request through after its turn came, and room and units are there. Dropping the future leaves the line.
    pub async fn pass(self: &Rc<Self>, need: Need) -> Result<Pass, Crowded> {
        let entered = tokio::time::Instant::now();
        let turn = self.turn(&need).await?;
        loop {
            while !self.places.has_room() {
                self.freed.notified().await;
            }
            let waited = u64::try_from(entered.elapsed().as_millis()).unwrap_or(u64::MAX);
            let need = Need { now_ms: need.now_ms.saturating_add(waited), ..need };
            match self.ask(&need).await {
                Ok(pass) => {
                    self.note_pace(need.now_ms);
                    drop(turn);
                    return Ok(pass);
                }
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// Takes units from where the lease is, or from the controller; says how long to wait where there are none.
    async fn ask(self: &Rc<Self>, need: &Need) -> Result<Pass, Duration> {
        if let Some(left) = self.paused(need.now_ms) {
            return Err(left);
        }
        let tokens = self.tokens_of(need.tokens);
        let requests = Taken::from(self, &self.requests, 1).await?;
        let taken = Taken::from(self, &self.tokens, tokens).await?;
        requests.keep();
        Ok(self.through(taken.keep()))
    }

    /// Waits in the line until it is called.
    async fn turn(self: &Rc<Self>, need: &Need) -> Result<Turn, Crowded> {
        if self.is_open() {
            return Ok(Turn::called(self));
        }
        let place = self.line.borrow_mut().enter(need.org, need.class, need.tokens.max(1));
        let place = place.map_err(|_| self.crowded())?;
        let (call, called) = oneshot::channel();
        self.calls.borrow_mut().insert(place, call);
        let waiting = Waiting { turnstile: self.clone(), place, called: Some(called) };
        waiting.over().await
    }

    /// Calls the next one. Whoever was called before has gone through or gone away.
    fn call(&self) {
        self.is_called.set(false);
        loop {
            let Some(next) = self.line.borrow_mut().next() else { return };
            let call = self.calls.borrow_mut().remove(&next);
            if call.is_some_and(|call| call.send(()).is_ok()) {
                return self.is_called.set(true);
            }
        }
    }
}

/// How long units are denied.
fn wait_of(denied: Denied) -> Duration {
    match denied {
        Denied::Exhausted { retry_ms, .. } if retry_ms > 0 => Duration::from_millis(retry_ms),
        _ => AGAIN,
    }
}

/// One who waits. Dropped, it has left the line, or passes on the call that it did not hear any more.
struct Waiting {
    turnstile: Rc<Turnstile>,
    place: Place,
    called: Option<oneshot::Receiver<()>>,
}

impl Waiting {
    async fn over(mut self) -> Result<Turn, Crowded> {
        let heard = match self.called.as_mut() {
            Some(called) => called.await.is_ok(),
            None => false,
        };
        self.called = None;
        match heard {
            true => Ok(Turn { turnstile: self.turnstile.clone() }),
            false => Err(self.turnstile.crowded()),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(mut called) = self.called.take() else { return };
        self.turnstile.calls.borrow_mut().remove(&self.place);
        let was_waiting = self.turnstile.line.borrow_mut().leave(self.place);
        if !was_waiting && called.try_recv().is_ok() {
            self.turnstile.call();
        }
    }
}

/// It is somebody's turn until this is dropped; then the next one is called.
struct Turn {
    turnstile: Rc<Turnstile>,
}

impl Turn {
    fn called(turnstile: &Rc<Turnstile>) -> Turn {
        turnstile.is_called.set(true);
        Turn { turnstile: turnstile.clone() }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turnstile.call();
    }
}

/// Units of one pool, given back unless they are kept.
struct Taken<'t> {
    turnstile: &'t Turnstile,
    pool: &'t RefCell<Option<Pool>>,
    units: i64,
}

impl<'t> Taken<'t> {
    async fn from(
        turnstile: &'t Turnstile,
        pool: &'t RefCell<Option<Pool>>,
        units: i64,
    ) -> Result<Taken<'t>, Duration> {
        let id = pool.borrow().as_ref().map(|pool| pool.id);
        let units = match id {
            None => 0,
            Some(id) => match turnstile.funds.request(id, units).await {
                Ok(()) => units,
                // The limit is gone.
                Err(Denied::Unknown) => 0,
                Err(denied) => return Err(wait_of(denied)),
            },
        };
        Ok(Taken { turnstile, pool, units })
    }

    fn keep(mut self) -> i64 {
        std::mem::take(&mut self.units)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.turnstile.put(self.pool, self.units);
    }
}

impl Pass {
    /// The request is over and has used so many tokens: what it did not use goes back, what it used beyond is charged.
    pub fn settle(mut self, used: u64) {
        let used = i64::try_from(used).unwrap_or(i64::MAX);
        self.tokens = self.tokens.saturating_sub(used);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.turnstile.put(&self.turnstile.tokens, self.tokens);
        self.turnstile.places.leave();
        self.turnstile.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use runtime::clock::ManualClock;

    use super::*;

    fn turnstile() -> Rc<Turnstile> {
        Rc::new(Turnstile::new(Funds::apart(Arc::<ManualClock>::default())))
    }

    fn need(org: u128) -> Need {
        need_of(org, Class::Normal)
    }

    fn need_of(org: u128, class: Class) -> Need {
        Need { org: OrgId::new(1, org), class, tokens: 100, now_ms: 0 }
    }

    /// All places of an overloaded account.
    async fn crowd(turnstile: &Rc<Turnstile>) -> Vec<Pass> {
        turnstile.overloaded(0);
        let mut passes = Vec::new();
        while let Ok(pass) = turnstile.pass_at_once(need(1)).await {
            passes.push(pass);
        }
        passes
    }

    async fn local(test: impl Future<Output = ()>) {
        tokio::task::LocalSet::new().run_until(test).await;
    }

    /// Lets a request wait, and says who went through when.
    fn wait(turnstile: &Rc<Turnstile>, need: Need, through: &Rc<RefCell<Vec<u128>>>) -> tokio::task::JoinHandle<()> {
        let (turnstile, through) = (turnstile.clone(), through.clone());
        tokio::task::spawn_local(async move {
            let pass = turnstile.pass(need).await;
            let org = (1..3).find(|org| OrgId::new(1, *org) == need.org);
            through.borrow_mut().push(org.unwrap_or_default());
            tokio::task::yield_now().await;
            drop(pass);
        })
    }

    #[tokio::test]
    async fn where_nothing_is_scarce_everybody_goes_at_once() {
        let turnstile = turnstile();
        let mut passes = Vec::new();
        for _ in 0..100 {
            passes.push(turnstile.pass_at_once(need(1)).await.unwrap());
        }
    }

    #[tokio::test]
    async fn one_of_few_does_not_wait_for_a_crowd() {
        local(async {
            let turnstile = turnstile();
            let places = crowd(&turnstile).await;
            let through = Rc::default();
            let mut waiting: Vec<_> = (0..40).map(|_| wait(&turnstile, need(1), &through)).collect();
            tokio::task::yield_now().await;
            waiting.push(wait(&turnstile, need(2), &through));
            tokio::task::yield_now().await;
            drop(places);
            for task in waiting {
                task.await.unwrap();
            }
            let place = through.borrow().iter().position(|org| *org == 2).unwrap();
            assert!(place <= 2, "after {place} others");
            assert_eq!(through.borrow().len(), 41, "everybody went through");
        })
        .await;
    }

    #[tokio::test]
    async fn a_class_says_who_goes_first_and_nobody_is_starved() {
        local(async {
            let turnstile = turnstile();
            let places = crowd(&turnstile).await;
            let through = Rc::default();
            let mut waiting = Vec::new();
            for _ in 0..30 {
                waiting.push(wait(&turnstile, need_of(2, Class::Low), &through));
                waiting.push(wait(&turnstile, need_of(1, Class::High), &through));
            }
            tokio::task::yield_now().await;
            drop(places);
            for task in waiting {
                task.await.unwrap();
            }
            let through = through.borrow();
            let low = through.iter().take(21).filter(|org| **org == 2).count();
            assert!((2..=4).contains(&low), "{through:?}");
        })
        .await;
    }

    #[tokio::test]
    async fn who_goes_away_keeps_nobody_from_going_on() {
        local(async {
            let turnstile = turnstile();
            let places = crowd(&turnstile).await;
            let through = Rc::default();
            let waiting: Vec<_> = (0..10).map(|_| wait(&turnstile, need(1), &through)).collect();
            tokio::task::yield_now().await;
            // The one that was called, and two that were not.
            for gone in waiting.iter().take(3) {
                gone.abort();
            }
            tokio::task::yield_now().await;
            drop(places);
            let mut served = 0;
            for task in waiting {
                served += usize::from(task.await.is_ok());
            }
            assert_eq!((served, through.borrow().len()), (7, 7));
            assert!(turnstile.is_open() && turnstile.calls.borrow().is_empty());
        })
        .await;
    }

    #[tokio::test]
    async fn nobody_goes_on_while_the_provider_says_that_little_is_left() {
        let turnstile = turnstile();
        turnstile.pause(Duration::from_secs(3), 1_000);
        assert!(turnstile.try_pass(10, 1_500).is_some(), "where we keep no limits, its 429 will do");
        turnstile.limits.set(AccountLimits { requests_per_minute: Some(10), tokens_per_minute: None });
        assert!(turnstile.try_pass(10, 1_500).is_none());
        let Err(Crowded { retry_after }) = turnstile.pass_at_once(Need { now_ms: 1_500, ..need(1) }).await else {
            panic!("nothing is left")
        };
        assert_eq!(retry_after, Duration::from_millis(2_500));
        assert!(turnstile.try_pass(10, 4_000).is_some());
    }

    #[tokio::test]
    async fn who_has_somewhere_else_to_go_does_not_wait() {
        let turnstile = turnstile();
        let _places = crowd(&turnstile).await;
        let Err(Crowded { retry_after }) = turnstile.pass_at_once(need(1)).await else { panic!("it is full") };
        assert_eq!(retry_after, WAIT_LEAST);
    }
}
