//! How an endpoint stands beyond what one worker has seen of it: whether its provider asked to be left alone, and what the
//! controller advises. Written under a lock, which is rare; read by every worker without one. Never chooses; `pipeline/plan`
//! does. Next rooms: `sync/observe`, which tells the controller, and `health`, the evidence of one worker.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::ids::EndpointId;
use domain::snapshot::Route;
use link::health::coolings::{Cooling, Coolings, Pool};
use link::health::view::{Measured, Met, State};
use runtime::clock::Clock;
use tokio::sync::Notify;

use crate::sheet::{Book, Sheet};

/// States as a number that workers can read.
const DEGRADED: u8 = 1;
const EJECTED: u8 = 2;

/// How one endpoint stands.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Whether there is anything to look at: all that a plain request reads. May be true for a second too long.
    is_amiss: AtomicBool,
    /// In milliseconds of the gate's clock; 0 when it does not cool.
    cools_until: AtomicU64,
    /// What the controller advises, and until when that counts.
    state: AtomicU8,
    advised_until: AtomicU64,
}

impl Standing {
    /// Whether it may be cooling or advised against: who is told yes looks closer.
    pub fn is_amiss(&self) -> bool {
        self.is_amiss.load(Relaxed)
    }

    /// How long it is still to be left alone; none when it may be asked.
    pub fn cooling(&self, now_ms: u64) -> Option<Duration> {
        let left = self.cools_until.load(Relaxed).checked_sub(now_ms).filter(|left| *left > 0);
        left.map(Duration::from_millis)
    }

    /// What the controller says of it; nothing once that is out of date.
    pub fn state(&self, now_ms: u64) -> State {
        match (self.advised_until.load(Relaxed) > now_ms, self.state.load(Relaxed)) {
            (true, DEGRADED) => State::Degraded,
            (true, EJECTED) => State::Ejected,
            _ => State::Healthy,
        }
    }
}

/// What is known of an endpoint, for whoever looks.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub state: State,
    /// Whether its provider asked to be left alone.
    pub cools: bool,
    /// What all proxies measured in the last half hour.
    pub measured: Option<Arc<Measured>>,
}

/// How all endpoints stand. Clones share it.
#[derive(Clone)]
pub struct Standings(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
    /// There is something to tell the controller at once.
    news: Notify,
}

#[derive(Default)]
struct Table {
    endpoints: HashMap<EndpointId, Known>,
    /// What this proxy was told by providers, or by the controller.
    coolings: Coolings,
    /// What it was told by providers.
    own: Coolings,
    /// What the controller says of endpoints, and until when.
    advice: HashMap<EndpointId, State>,
    advised_until: u64,
    measures: HashMap<EndpointId, Arc<Measured>>,
    /// What workers met. Separate from the endpoints: a worker knows of one before the other.
    books: HashMap<EndpointId, Book>,
}

struct Known {
    pool: Pool,
    standing: Arc<Standing>,
}

impl Standings {
    /// Nothing is known yet.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Standings {
        Standings(Arc::new(Inner { clock, table: Mutex::default(), news: Notify::new() }))
    }

    /// How the endpoint of a route stands.
    pub(crate) fn of(&self, route: &Route) -> Arc<Standing> {
        let (pool, now_ms) = (pool_of(route), self.now_ms());
        let mut table = self.lock();
        let Table { endpoints, coolings, advice, advised_until, .. } = &mut *table;
        let known = endpoints
            .entry(route.endpoint.id.clone())
            .or_insert_with(|| Known { pool: pool.clone(), standing: Arc::default() });
        known.pool = pool;
        known.refresh(coolings, now_ms);
        let state = advice.get(&route.endpoint.id).copied().filter(|_| *advised_until > now_ms);
        known.advise(state.unwrap_or_default(), *advised_until);
        known.standing.clone()
    }

    /// A provider asked to be left alone for so long.
    pub(crate) fn cool(&self, route: &Route, wait: Duration) {
        let now_ms = self.now_ms();
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let pool = pool_of(route);
        let is_news = {
            let mut table = self.lock();
            table.coolings.cool(pool.clone(), wait_ms, now_ms);
            table.refresh(now_ms);
            table.own.cool(pool, wait_ms, now_ms)
        };
        if is_news {
            tracing::info!(
                provider = %route.provider.id, model = %route.endpoint.model, wait_ms,
                "{} asks to be left alone for {wait_ms} ms", route.provider.id
            );
            self.0.news.notify_one();
        }
    }

    /// The controller says what other proxies were told.
    pub(crate) fn learn(&self, coolings: Vec<Cooling>) {
        let now_ms = self.now_ms();
        let mut table = self.lock();
        for (pool, left_ms) in coolings {
            table.coolings.cool(pool, left_ms, now_ms);
        }
        table.refresh(now_ms);
    }

    /// A sheet on which one more worker counts what it meets at an endpoint.
    pub(crate) fn sheet(&self, endpoint: &EndpointId) -> Arc<Sheet> {
        self.lock().books.entry(endpoint.clone()).or_default().sheet()
    }

    /// What all workers met since the last call.
    pub(crate) fn collect(&self) -> Vec<(EndpointId, Met)> {
        let mut table = self.lock();
        table.books.retain(|_, book| !book.is_closed());
        let met = table.books.iter_mut().map(|(endpoint, book)| (endpoint.clone(), book.collect()));
        met.filter(|(_, met)| !met.is_empty()).collect()
    }

    /// The controller advises this until further notice, and for so long at most.
    pub(crate) fn advised(&self, advice: Vec<(EndpointId, State)>, ttl: Duration) {
        let now_ms = self.now_ms();
        let mut table = self.lock();
        table.advice = advice.into_iter().collect();
        table.advised_until = now_ms.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        table.refresh(now_ms);
    }

    /// The controller says what all proxies measured.
    pub(crate) fn measured(&self, measures: Vec<Measured>) {
        let mut table = self.lock();
        for measured in measures {
            table.measures.insert(measured.endpoint.clone(), Arc::new(measured));
        }
    }

    /// What all proxies measured at an endpoint, and what is said of it; where nothing was heard, nothing is.
    pub(crate) fn shown(&self, endpoint: &EndpointId) -> Shown {
        let (now_ms, table) = (self.now_ms(), self.lock());
        let is_current = table.advised_until > now_ms;
        let state = table.advice.get(endpoint).copied().filter(|_| is_current).unwrap_or_default();
        let measured = table.measures.get(endpoint).filter(|_| is_current).cloned();
        let cools = table.endpoints.get(endpoint).is_some_and(|known| known.standing.cooling(now_ms).is_some());
        Shown { state, cools, measured }
    }

    /// What providers told this proxy, as long as it counts.
    pub(crate) fn own_coolings(&self) -> Vec<Cooling> {
        let now_ms = self.now_ms();
        self.lock().own.live(now_ms).map(|(pool, left)| (pool.clone(), left)).collect()
    }

    /// Waits until there is something to tell at once.
    pub(crate) async fn news(&self) {
        self.0.news.notified().await;
    }

    /// Forgets what is over, and endpoints that nobody serves any more. To be called every second or so.
    pub(crate) fn sweep(&self) {
        let now_ms = self.now_ms();
        let mut table = self.lock();
        table.own.sweep(now_ms);
        table.coolings.sweep(now_ms);
        table.endpoints.retain(|_, known| Arc::strong_count(&known.standing) > 1);
        table.refresh(now_ms);
    }

    /// Endpoints of which the controller says this now, for the metric.
    pub(crate) fn count(&self, state: State) -> usize {
        let (now_ms, table) = (self.now_ms(), self.lock());
        let is_current = table.advised_until > now_ms;
        table.advice.values().filter(|advised| is_current && **advised == state).count()
    }

    /// Endpoints that cool now, for the metric.
    pub(crate) fn cooling(&self) -> usize {
        let (now_ms, table) = (self.now_ms(), self.lock());
        table.endpoints.values().filter(|known| known.standing.cooling(now_ms).is_some()).count()
    }

    /// Milliseconds of the gate's clock.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    // No code panics while it holds this lock.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn refresh(&mut self, now_ms: u64) {
        for known in self.endpoints.values() {
            known.refresh(&self.coolings, now_ms);
        }
        for (endpoint, known) in &self.endpoints {
            let state = self.advice.get(endpoint).copied().filter(|_| self.advised_until > now_ms);
            known.advise(state.unwrap_or_default(), self.advised_until);
        }
    }
}

impl Known {
    fn refresh(&self, coolings: &Coolings, now_ms: u64) {
        // Mostly nothing cools, and nothing needs to be looked up.
        let until = if coolings.is_empty() { None } else { coolings.until(&self.pool, now_ms) };
        self.standing.cools_until.store(until.unwrap_or(0), Relaxed);
        self.standing.is_amiss.store(until.is_some(), Relaxed);
    }

    /// To be called after `refresh`.
    fn advise(&self, state: State, until_ms: u64) {
        let number = match state {
            State::Healthy => 0,
            State::Degraded => DEGRADED,
            State::Ejected => EJECTED,
        };
        self.standing.state.store(number, Relaxed);
        self.standing.advised_until.store(until_ms, Relaxed);
        if number > 0 {
            self.standing.is_amiss.store(true, Relaxed);
        }
    }
}

fn pool_of(route: &Route) -> Pool {
    Pool {
        provider: route.provider.id.clone(),
        credential_version: route.provider.credential_version,
        upstream_model: route.endpoint.upstream_model.clone(),
    }
}

#[cfg(test)]
mod tests {
    use runtime::clock::ManualClock;

    use super::*;
    use crate::pipeline::tests::route;

    fn standings() -> (Arc<ManualClock>, Standings) {
        let clock = Arc::new(ManualClock::at(0));
        clock.advance(Duration::from_secs(100));
        (clock.clone(), Standings::new(clock))
    }

    fn ms(clock: &ManualClock) -> u64 {
        u64::try_from(clock.monotonic().as_millis()).unwrap()
    }

    #[test]
    fn advice_is_forgotten_when_the_controller_says_no_more() {
        let (clock, standings) = standings();
        let route = route("acme", "1", "1");
        let standing = standings.of(&route);
        assert!(!standing.is_amiss());
        let advice = || vec![(route.endpoint.id.clone(), State::Ejected)];
        standings.advised(advice(), Duration::from_secs(30));
        assert!(standing.is_amiss());
        assert_eq!(standing.state(ms(&clock)), State::Ejected);
        clock.advance(Duration::from_secs(31));
        assert_eq!(standing.state(ms(&clock)), State::Healthy);
        standings.sweep();
        assert!(!standing.is_amiss());
        standings.advised(advice(), Duration::from_secs(30));
        assert_eq!(standings.shown(&route.endpoint.id).state, State::Ejected);
        standings.advised(Vec::new(), Duration::from_secs(30));
        assert!(!standing.is_amiss() && standings.shown(&route.endpoint.id).state == State::Healthy);
    }

    #[test]
    fn what_is_told_before_an_endpoint_is_known_counts_as_well() {
        let (clock, standings) = standings();
        let route = route("acme", "1", "1");
        standings.learn(vec![(pool_of(&route), 10_000)]);
        standings.advised(vec![(route.endpoint.id.clone(), State::Degraded)], Duration::from_secs(30));
        let standing = standings.of(&route);
        assert!(standing.is_amiss());
        assert_eq!(standing.cooling(ms(&clock)), Some(Duration::from_secs(10)));
        assert_eq!(standing.state(ms(&clock)), State::Degraded);
        assert!(standings.own_coolings().is_empty(), "that is for others to tell");
        clock.advance(Duration::from_secs(10));
        assert_eq!(standing.cooling(ms(&clock)), None);
        standings.sweep();
        assert!(standing.is_amiss(), "it is still advised against");
        drop(standing);
        standings.sweep();
        assert_eq!(standings.lock().endpoints.len(), 0);
    }

    #[test]
    fn what_a_provider_asks_for_is_told_at_once_and_again_while_it_counts() {
        let (clock, standings) = standings();
        let route = route("acme", "1", "1");
        let standing = standings.of(&route);
        standings.cool(&route, Duration::from_secs(30));
        assert_eq!(standing.cooling(ms(&clock)), Some(Duration::from_secs(30)));
        let told = standings.own_coolings();
        assert_eq!((told.len(), told[0].1), (1, 30_000));
        clock.advance(Duration::from_secs(20));
        assert_eq!(standings.own_coolings()[0].1, 10_000);
        clock.advance(Duration::from_secs(10));
        assert!(standings.own_coolings().is_empty());
    }
}
