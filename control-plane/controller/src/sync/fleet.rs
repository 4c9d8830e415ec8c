//! Connected proxies, what each has applied, and the way to tell them something. In memory for this controller's own
//! streams; as rows for those of other controllers on the same database.
//! Waits for events, never polls its own. Next rooms: `connection.rs` (one proxy), `register.rs` (the rows).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use domain::ids::{BootEpoch, ProxyId, Revision};
use domain::pools::PoolId;
use domain::time::Timestamp;
use runtime::clock::Clock;
use store::Store;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::connection::{Connection, End};
use super::publisher::Published;
use super::rows::Rows;
use crate::app::App;
use crate::error::Result;
use crate::health::News;

/// Most streams at a time.
const MOST_STREAMS: usize = 4_096;
/// New streams a second.
const STREAMS_A_SECOND: u32 = 50;
/// Whole states on their way at a time.
const MOST_BASES: usize = 4;
/// How often the rows of other controllers' proxies are looked at while somebody waits for them.
const LOOK: Duration = Duration::from_millis(100);
/// A row that is older belongs to a controller that is gone.
pub const ROW_LIVES: Duration = Duration::from_secs(15);

/// The proxies of this controller.
pub struct Fleet {
    inner: Mutex<Inner>,
    /// Counts up whenever somebody connects, leaves or acknowledges.
    moved: watch::Sender<u64>,
    /// Whole states on their way.
    pub(super) bases: Arc<Semaphore>,
    /// Rows that were loaded last.
    pub(super) rows: Rows,
    /// Rows of proxies are to be written or removed.
    pub(super) unwritten: Notify,
    /// Proxies of other controllers told something that cannot wait.
    pub observed: Notify,
    elsewhere: OnceLock<Elsewhere>,
}

/// Where proxies of other controllers are found.
struct Elsewhere {
    store: Store,
    controller: String,
    clock: Arc<dyn Clock>,
    /// Those that were there when somebody looked last.
    seen: Mutex<Vec<store::fleet::Proxy>>,
}

#[derive(Default)]
struct Inner {
    /// Up to where changes were marked; none before the publisher's first look.
    published: Option<Revision>,
    streams: BTreeMap<ProxyId, Arc<Connection>>,
    /// Rows of streams that ended.
    gone: Vec<store::fleet::Proxy>,
    /// The present second, and how many streams were let in during it.
    admitted: (u64, u32),
    stopping: bool,
}

/// Why a stream was not let in.
pub enum Refused {
    /// The publisher has not looked yet, or went on meanwhile: everything up to here must be marked first.
    Behind(Box<Connection>),
    /// A newer epoch of the same proxy is connected.
    Newer,
    /// There are as many streams as there may be.
    Full,
    /// The controller stops.
    Stopping,
}

impl Default for Fleet {
    fn default() -> Self {
        Fleet {
            inner: Mutex::default(),
            moved: watch::Sender::default(),
            bases: Arc::new(Semaphore::new(MOST_BASES)),
            rows: Rows::default(),
            unwritten: Notify::new(),
            observed: Notify::new(),
            elsewhere: OnceLock::new(),
        }
    }
}

impl Fleet {
    /// How many proxies are connected, here and elsewhere; at least one, for sizing grants.
    pub fn active(&self) -> u32 {
        let here = self.lock().streams.len();
        let elsewhere = self.elsewhere.get().map_or(0, |elsewhere| elsewhere.lock().len());
        u32::try_from(here + elsewhere).unwrap_or(u32::MAX).max(1)
    }

    /// Whether a proxy is connected, here or elsewhere.
    pub fn is_connected(&self, proxy: &ProxyId) -> bool {
        let elsewhere = || self.elsewhere.get().is_some_and(|rows| rows.lock().iter().any(|row| row.proxy == *proxy));
        self.lock().streams.contains_key(proxy) || elsewhere()
    }

    /// Whether this very life of a proxy is connected, here or elsewhere.
    pub fn is_alive(&self, proxy: &ProxyId, epoch: BootEpoch) -> bool {
        let is_it = |row: &store::fleet::Proxy| row.proxy == *proxy && row.epoch == epoch;
        let here = self.lock().streams.get(proxy).is_some_and(|connection| connection.epoch == epoch);
        here || self.elsewhere.get().is_some_and(|elsewhere| elsewhere.lock().iter().any(is_it))
    }

    /// The last revision that was marked for every stream; 0 before the publisher's first look.
    pub fn head(&self) -> Revision {
        self.lock().published.unwrap_or_default()
    }

    /// The proxies of this controller, by name.
    pub fn list(&self) -> Vec<store::fleet::Proxy> {
        self.connections().iter().map(|connection| connection.row()).collect()
    }

    /// Asks a proxy for pools back, down to what it may keep. Does nothing if it is not connected here: the mark on the
    /// lease is durable, and whoever holds the stream is nudged.
    pub fn recall(&self, proxy: &ProxyId, pools: &[(PoolId, i64)]) {
        let connection = self.lock().streams.get(proxy).cloned();
        if let Some(connection) = connection.filter(|_| !pools.is_empty()) {
            connection.recall(pools);
        }
    }

    /// Tells every proxy of this controller that something happened to these pools: refusals are to be forgotten.
    pub fn pool_event(&self, pools: &[PoolId]) {
        if !pools.is_empty() {
            self.connections().iter().for_each(|connection| connection.pool_event(pools));
        }
    }

    /// There is advice for every proxy of this controller.
    pub fn advise(&self, news: News) {
        self.connections().iter().for_each(|connection| connection.advise(news));
    }

    /// Waits until every connected proxy has applied `revision`, at most for `wait`; gives the names of those that have
    /// not.
    pub async fn applied(&self, revision: Revision, wait: Duration) -> Vec<String> {
        let deadline = Instant::now() + wait;
        let mut moved = self.moved.subscribe();
        loop {
            moved.borrow_and_update();
            let mut laggards = self.laggards(revision);
            // Asked only when this controller's own are done: it costs a query.
            let elsewhere = if laggards.is_empty() { self.laggards_elsewhere(revision).await } else { None };
            let look_again = elsewhere.as_ref().is_some_and(|names| !names.is_empty());
            laggards.extend(elsewhere.unwrap_or_default());
            if laggards.is_empty() {
                return laggards;
            }
            let until = if look_again { deadline.min(Instant::now() + LOOK) } else { deadline };
            if timeout_at(until, moved.changed()).await.is_err() && Instant::now() >= deadline {
                return laggards;
            }
        }
    }

    /// Whether this life of a proxy is connected; waits a little for a stream that is just being opened.
    pub(super) async fn knows(&self, proxy: &ProxyId, epoch: BootEpoch, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        let mut moved = self.moved.subscribe();
        loop {
            moved.borrow_and_update();
            let here = self.lock().streams.get(proxy).is_some_and(|connection| connection.epoch == epoch);
            if here || self.knows_elsewhere(proxy, epoch).await {
                return true;
            }
            if timeout_at(deadline, moved.changed()).await.is_err() {
                return false;
            }
        }
    }

    /// Ends every stream and lets no new one in.
    pub fn close(&self) {
        self.lock().stopping = true;
        self.connections().iter().for_each(|connection| connection.end(End::Stopping));
    }

    /// Says where proxies of other controllers are found. Only PostgreSQL can have any.
    pub(super) fn look_elsewhere(&self, app: &App) {
        let (store, controller, clock) = (app.store.clone(), app.name.clone(), app.clock.clone());
        // The second time it is the same.
        let _ = self.elsewhere.set(Elsewhere { store, controller, clock, seen: Mutex::default() });
    }

    /// Looks at the rows of other controllers' proxies.
    pub(super) async fn rows_elsewhere(&self) -> store::Result<Vec<store::fleet::Proxy>> {
        let Some(elsewhere) = self.elsewhere.get() else { return Ok(Vec::new()) };
        let mut rows = store::fleet::list(&elsewhere.store).await?;
        let now = Timestamp::from_us(elsewhere.clock.now_us());
        rows.retain(|row| row.controller != elsewhere.controller && is_live(row, now));
        rows.retain(|row| !self.lock().streams.contains_key(&row.proxy));
        rows.clone_into(&mut *elsewhere.lock());
        Ok(rows)
    }

    /// The publisher begins at `head`.
    pub(super) fn begin(&self, head: Revision) {
        self.lock().published.get_or_insert(head);
        self.bump();
    }

    /// Whether the publisher has begun; waits a little for it.
    pub(super) async fn has_begun(&self, wait: Duration) -> bool {
        let mut moved = self.moved.subscribe();
        let begun = async {
            while self.lock().published.is_none() {
                if moved.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(wait, begun).await.is_ok()
    }

    /// Marks a page of changes for every stream.
    pub(super) fn publish(&self, published: &Published, now_ms: u64) {
        let streams: Vec<_> = {
            // From here on a new stream must have seen this page by itself.
            let mut inner = self.lock();
            inner.published = Some(published.through());
            inner.streams.values().cloned().collect()
        };
        for stream in streams {
            if published.is_too_much() { stream.resync(published.through()) } else { stream.mark(published, now_ms) }
        }
    }

    /// Whether another stream may open in this second.
    pub(super) fn admit(&self, second: u64) -> bool {
        let mut inner = self.lock();
        if inner.admitted.0 != second {
            inner.admitted = (second, 0);
        }
        inner.admitted.1 += 1;
        inner.admitted.1 <= STREAMS_A_SECOND
    }

    /// Lets a stream in, in the place of an older one of the same proxy.
    pub(super) fn connect(&self, connection: Connection) -> Result<Arc<Connection>, Refused> {
        let mut inner = self.lock();
        if inner.stopping {
            return Err(Refused::Stopping);
        }
        if inner.published.is_none_or(|published| published > connection.from()) {
            return Err(Refused::Behind(Box::new(connection)));
        }
        let present = inner.streams.get(&connection.proxy);
        if present.is_some_and(|present| present.epoch > connection.epoch) {
            return Err(Refused::Newer);
        }
        if present.is_none() && inner.streams.len() >= MOST_STREAMS {
            return Err(Refused::Full);
        }
        let connection = Arc::new(connection);
        let older = inner.streams.insert(connection.proxy.clone(), connection.clone());
        drop(inner);
        if let Some(older) = older {
            older.end(End::Replaced);
        }
        self.bump();
        Ok(connection)
    }

    /// A stream has ended.
    pub(super) fn leave(&self, connection: &Arc<Connection>) {
        let mut inner = self.lock();
        if inner.streams.get(&connection.proxy).is_some_and(|present| Arc::ptr_eq(present, connection)) {
            inner.streams.remove(&connection.proxy);
            inner.gone.push(connection.row());
        }
        drop(inner);
        self.bump();
    }

    /// Rows of the streams that ended since the last call.
    pub(super) fn take_gone(&self) -> Vec<store::fleet::Proxy> {
        std::mem::take(&mut self.lock().gone)
    }

    /// The open streams, by name of their proxies.
    pub(super) fn connections(&self) -> Vec<Arc<Connection>> {
        self.lock().streams.values().cloned().collect()
    }

    /// Somebody connected, left or acknowledged.
    pub(super) fn bump(&self) {
        self.moved.send_modify(|count| *count = count.wrapping_add(1));
        self.unwritten.notify_one();
    }

    fn laggards(&self, revision: Revision) -> Vec<String> {
        let streams = self.connections();
        let late = streams.iter().filter(|connection| !connection.has_applied(revision));
        late.map(|connection| connection.proxy.to_string()).collect()
    }

    /// The same for proxies of other controllers; none when there are none.
    async fn laggards_elsewhere(&self, revision: Revision) -> Option<Vec<String>> {
        let elsewhere = self.elsewhere.get()?;
        if elsewhere.lock().is_empty() {
            return None;
        }
        let rows = self.rows_elsewhere().await.ok()?;
        Some(rows.iter().filter(|row| row.revision < revision).map(|row| row.proxy.to_string()).collect())
    }

    async fn knows_elsewhere(&self, proxy: &ProxyId, epoch: BootEpoch) -> bool {
        let Some(elsewhere) = self.elsewhere.get() else { return false };
        let rows = store::fleet::list(&elsewhere.store).await.unwrap_or_default();
        rows.iter().any(|row| row.proxy == *proxy && row.epoch == epoch)
    }

    // No code panics while it holds this lock.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Elsewhere {
    fn lock(&self) -> MutexGuard<'_, Vec<store::fleet::Proxy>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_live(row: &store::fleet::Proxy, now: Timestamp) -> bool {
    now.since_us(row.last_seen) <= i64::try_from(ROW_LIVES.as_micros()).unwrap_or(i64::MAX)
}

/// The proxies of every controller, by name.
pub async fn everywhere(app: &App) -> Result<Vec<store::fleet::Proxy>> {
    let mut rows = app.fleet.rows_elsewhere().await?;
    rows.extend(app.fleet.list());
    rows.sort_by(|one, other| one.proxy.cmp(&other.proxy));
    Ok(rows)
}
