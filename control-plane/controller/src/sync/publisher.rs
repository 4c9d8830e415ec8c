//! One task that carries what was committed to the streams: it waits for a nudge, looks every second anyway, loads what
//! changed after the last published revision and marks it in each stream's feed. Urgent changes wait for nothing.
//! Next rooms: `connection.rs`, where marks are kept, and `stream.rs`, which sends them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::ids::{ProxyId, Revision};
use domain::limits::Budget;
use domain::pools::PoolId;
use domain::snapshot::{Change, Content, Resource};
use domain::time::Timestamp;
use link::feed::Feed;
use runtime::tasks::Tasks;
use store::Nudge;
use store::revisions::{ChangePage, Named, changes_since};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::connection::Connection;
use super::flights::Flights;
use super::rows::Name;
use crate::app::App;

/// How often to look without being nudged.
const LOOK: Duration = Duration::from_secs(1);
/// About how many changes are loaded at a time; a revision is never cut in two.
pub(super) const PAGE: u32 = 1_000;
/// A revision with more changes than this is not named to proxies: they get a whole state.
const TOO_MUCH: usize = 50_000;
/// Most changes whose rows are loaded before they are marked, for all streams at once.
const LOADED_AHEAD: usize = 1_000;
/// Most nudges that wait to be acted upon; beyond, everything is looked at.
const MOST_NUDGES: usize = 4_096;

/// Changes that are to be marked in feeds.
pub struct Published {
    changes: Vec<Named>,
    through: Revision,
    /// Revisions that consist of urgent changes only, with their names.
    urgent: BTreeMap<Revision, Vec<Name>>,
}

impl Published {
    /// A page of the change log.
    pub fn new(page: ChangePage) -> Published {
        let mut urgent: BTreeMap<Revision, Vec<Name>> = BTreeMap::new();
        for named in page.changes.iter().filter(|named| named.urgent) {
            urgent.entry(named.revision).or_default().push((named.kind, named.name.clone()));
        }
        for named in page.changes.iter().filter(|named| !named.urgent) {
            urgent.remove(&named.revision);
        }
        Published { changes: page.changes, through: page.through, urgent }
    }

    /// Up to where everything is in this page, or was before it.
    pub fn through(&self) -> Revision {
        self.through
    }

    /// Whether a whole state is cheaper than naming all this.
    pub fn is_too_much(&self) -> bool {
        self.changes.len() > TOO_MUCH
    }

    /// Marks everything after `from` in one proxy's feed.
    pub fn mark(&self, from: Revision, feed: &mut Feed, flights: &mut Flights, now_ms: u64) {
        for (revision, names) in self.urgent.iter().filter(|(revision, _)| **revision > from) {
            flights.follow(*revision, names);
        }
        for named in self.changes.iter().filter(|named| named.revision > from) {
            feed.mark(named.revision, named.kind, named.name.clone(), named.urgent, now_ms);
        }
        if self.changes.last().is_none_or(|named| named.revision < self.through) {
            feed.advance(self.through, now_ms);
        }
    }

    /// What to load before marking: all of it, or only what is urgent when anything is, so that it waits for less.
    fn to_load(&self) -> Vec<Named> {
        let hurry = self.changes.iter().any(|named| named.urgent);
        let wanted = self.changes.iter().filter(|named| named.urgent || !hurry);
        wanted.take(LOADED_AHEAD + 1).cloned().collect()
    }
}

/// Starts the publisher, the ear that hears nudges for it, and the task that looks up recalls beside it.
pub fn start(app: &Arc<App>, tasks: &Tasks) {
    if app.store.is_postgres() {
        app.fleet.look_elsewhere(app);
    }
    let (heard, recalls) = (Arc::new(Heard::default()), Arc::new(Recalls::default()));
    let (ear, to) = (app.clone(), heard.clone());
    spawn(tasks, "nudges", async move { listen(&ear, &to).await });
    let publisher = Publisher { app: app.clone(), recalls: recalls.clone(), failing: false };
    spawn(tasks, "publisher", publisher.run(heard));
    let owner = app.clone();
    spawn(tasks, "recalls", async move { recalls.run(&owner).await });
}

fn spawn(tasks: &Tasks, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    let stop = tasks.stopping();
    tasks.spawn(name, async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    });
}

/// What was heard and not yet acted upon: a set, so a thousand nudges about one thing are one.
#[derive(Default)]
struct Heard {
    nudges: Mutex<BTreeSet<Nudge>>,
    wake: Notify,
}

impl Heard {
    fn put(&self, nudge: Nudge) {
        let mut nudges = self.nudges.lock().unwrap_or_else(PoisonError::into_inner);
        if nudges.len() >= MOST_NUDGES {
            nudges.clear();
            nudges.insert(Nudge::Missed);
        }
        nudges.insert(nudge);
        drop(nudges);
        self.wake.notify_one();
    }

    fn take(&self) -> BTreeSet<Nudge> {
        std::mem::take(&mut *self.nudges.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Hears nudges for ever. A database that cannot be listened to is asked again; the publisher looks without it.
async fn listen(app: &App, heard: &Heard) {
    loop {
        if let Ok(mut nudges) = app.store.nudges().await {
            // What was said before is not heard any more.
            heard.put(Nudge::Missed);
            loop {
                heard.put(nudges.next().await);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

struct Publisher {
    app: Arc<App>,
    recalls: Arc<Recalls>,
    /// The database did not answer last time; it is said once.
    failing: bool,
}

impl Publisher {
    async fn run(mut self, heard: Arc<Heard>) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = heard.wake.notified() => {}
                _ = ticks.tick() => {}
            }
            let nudges = heard.take();
            let done = publish(&self.app).await;
            self.note(done);
            self.pass_on(nudges);
        }
    }

    /// What is not about settings.
    fn pass_on(&self, nudges: BTreeSet<Nudge>) {
        let mut pools = Vec::new();
        for nudge in nudges {
            match nudge {
                Nudge::Settings => {}
                Nudge::Observations => self.app.fleet.observed.notify_one(),
                Nudge::Credits(org) => pools.push(PoolId::Credits(org)),
                Nudge::Recall(proxy) => self.recalls.look_at([proxy]),
                // Lost events of pools heal by themselves: no refusal stands for longer than a few seconds.
                Nudge::Missed => {
                    let streams = self.app.fleet.connections();
                    self.recalls.look_at(streams.iter().map(|connection| connection.proxy.clone()));
                }
            }
        }
        self.app.fleet.pool_event(&pools);
    }

    /// Says a failure when it begins and when it ends, not at every look.
    fn note(&mut self, result: store::Result<()>) {
        let was_failing = std::mem::replace(&mut self.failing, result.is_err());
        match result {
            Ok(()) if was_failing => tracing::info!("changes are published again"),
            Err(error) if !was_failing => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "changes cannot be published now; trying again"
                );
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// Publishes everything that was committed since the last time.
async fn publish(app: &App) -> store::Result<()> {
    loop {
        let from = app.fleet.head();
        let page = changes_since(&app.store, from, PAGE).await?;
        let more = page.more;
        if page.through == from {
            return Ok(());
        }
        spread(app, Published::new(page)).await;
        if !more {
            return Ok(());
        }
    }
}

async fn spread(app: &App, published: Published) {
    let wanted = published.to_load();
    let loaded = if wanted.len() <= LOADED_AHEAD && !app.fleet.connections().is_empty() {
        // Without them the streams load for themselves.
        store::snapshot::load(&app.store, &wanted).await.unwrap_or_default()
    } else {
        Vec::new()
    };
    app.fleet.rows.renew(&published.changes, &loaded);
    app.fleet.publish(&published, now_ms(app));
    // Another controller may have changed limits; its own proxies it tells itself.
    if app.store.is_postgres() {
        app.fleet.pool_event(&pools_of(&loaded, app.now()));
    }
}

/// The pools of keys whose limits may have changed.
fn pools_of(loaded: &[Change], now: Timestamp) -> Vec<PoolId> {
    let mut pools = Vec::new();
    for change in loaded {
        let Content::Upsert(Resource::Key(grant)) = &change.content else { continue };
        let policy = &grant.policy;
        let budget = policy.budget.map(|Budget { reset, .. }| PoolId::Budget(grant.id, reset.period(now)));
        pools.extend(budget);
        pools.extend(policy.requests.map(|_| PoolId::Requests(grant.id)));
        pools.extend(policy.tokens.map(|_| PoolId::Tokens(grant.id)));
    }
    pools
}

/// The monotonic time of everything in this room.
pub(super) fn now_ms(app: &App) -> u64 {
    u64::try_from(app.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
}

/// Proxies whose leases were marked for recall; looked up beside the publisher, which must not wait for it.
#[derive(Default)]
struct Recalls {
    due: Mutex<BTreeSet<ProxyId>>,
    wake: Notify,
}

impl Recalls {
    fn look_at(&self, proxies: impl IntoIterator<Item = ProxyId>) {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).extend(proxies);
        self.wake.notify_one();
    }

    async fn run(&self, app: &App) {
        loop {
            self.wake.notified().await;
            let due = std::mem::take(&mut *self.due.lock().unwrap_or_else(PoisonError::into_inner));
            let streams = app.fleet.connections();
            for connection in streams.iter().filter(|connection| due.contains(&connection.proxy)) {
                if let Err(error) = recall(app, connection).await {
                    let proxy = &connection.proxy;
                    tracing::warn!(%proxy, error = &error as &dyn std::error::Error, "recalls cannot be read now");
                    tokio::time::sleep(LOOK).await;
                    self.look_at([connection.proxy.clone()]);
                }
            }
        }
    }
}

/// Sends a proxy the recalls that its leases are marked with.
pub(super) async fn recall(app: &App, connection: &Connection) -> store::Result<()> {
    let leases = store::pools::recalled(&app.store, &connection.proxy).await?;
    let own = leases.iter().filter(|lease| lease.epoch == connection.epoch);
    let pools: Vec<_> =
        own.filter_map(|lease| lease.recall.as_ref().map(|recall| (lease.pool, recall.keep.nano()))).collect();
    if !pools.is_empty() {
        connection.recall(&pools);
    }
    Ok(())
}
