//! The link to the controller: what this proxy knows (`watch`, `base`, `cache`), what it may spend (`lease`), what it
//! reports (`report`), whose secrets it holds (`secrets`) and what it asks (`query`). All of it runs on the control
//! runtime; workers see one snapshot, cells, and a map of secrets. Serving goes on whatever happens here.

mod base;
mod cache;
mod lease;
mod observe;
mod query;
mod report;
mod retired;
mod secrets;
mod status;
#[cfg(test)]
mod tests;
mod watch;
mod wire;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::link::health::view::State;
use ::link::replica::Replica;
use arc_swap::ArcSwap;
use domain::snapshot::Snapshot;
use runtime::clock::Clock;
use runtime::metrics::{Counter, Kind, Registry};
use runtime::seal::BootKey;
use runtime::tasks::Tasks;
use tokio::sync::oneshot;
use tonic::transport::Endpoint;

pub use lease::Funds;
pub use query::{Credits, Queries, Unavailable};
pub use secrets::Secrets;
pub use status::Status;

use crate::config::Settings;
use crate::gate::Identity;
use crate::spool::{Replay, Spool};
use crate::standing::Standings;
use crate::telemetry::names;
use cache::Cache;
use retired::Retired;
use wire::Wire;

/// What keeps the link from being prepared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The controller's address cannot be used.
    #[error("sync_url `{url}`: {reason}")]
    Url {
        /// As it is set.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder of the snapshot cache cannot be used.
    #[error("open the snapshot cache in {}", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A metric could not be registered.
    #[error(transparent)]
    Metrics(#[from] runtime::Error),
}

/// What the rest of the proxy sees of the link. Clones share it.
#[derive(Clone)]
pub struct Link {
    /// What is served; swapped as a whole, loaded once by each request.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// What was lent.
    pub funds: Funds,
    /// Credentials at providers.
    pub secrets: Secrets,
    /// How endpoints stand.
    pub standings: Standings,
    /// The controller's books.
    pub queries: Queries,
    /// How the link stands.
    pub status: Arc<Status>,
    leaving: Arc<Mutex<Option<Leaving>>>,
}

/// What it takes to leave in order.
struct Leaving {
    spool: Spool,
    finish: report::Finish,
}

/// The link before it runs.
pub struct Driver {
    link: Link,
    identity: Identity,
    endpoint: Endpoint,
    replica: Replica,
    cache: Cache,
    force: bool,
    silence: Duration,
    interval: Duration,
    requests: Arc<Counter>,
    spool: SpoolCell,
}

/// Filled in once there is a spool to look at.
type SpoolCell = Arc<Mutex<Option<Spool>>>;

/// Reads the cache and checks the settings; blocks for as long as that takes, which for a million keys is a second.
///
/// # Errors
/// When a setting or the cache folder cannot be used. A damaged cache is no error: it is fetched anew.
pub fn prepare(
    settings: &Settings,
    identity: &Identity,
    clock: Arc<dyn Clock>,
    registry: &Registry,
) -> Result<(Link, Driver), Error> {
    let endpoint = wire::endpoint(&settings.sync_url)?;
    let folder = settings.data_dir.join("snapshot");
    let opened = Cache::open(&folder, settings.sync.cache_compact.get());
    let (cache, found) = opened.map_err(|source| Error::Cache { path: folder, source })?;
    let status = Status::new(clock.clone());
    let was_found = found.snapshot.is_some();
    let mut replica = Replica::new(found.snapshot.unwrap_or_default());
    if was_found {
        status.set_whole();
        status.set_revision(replica.snapshot().revision().0);
        tracing::info!(
            revision = %replica.snapshot().revision(),
            keys = replica.snapshot().key_count(),
            "the last good snapshot was read from the cache"
        );
    }
    if !was_found || !found.may_resume {
        replica.resync();
    }
    let refusals = registry.counter(names::LEASE_REFUSALS, "Requests that waited for a lease and were refused")?;
    let requests = registry.counter(names::LEASE_REQUESTS, "Lease calls to the controller")?;
    let link = Link {
        snapshot: Arc::new(ArcSwap::from_pointee(replica.snapshot().clone())),
        standings: Standings::new(clock.clone()),
        funds: Funds::new(clock, refusals),
        secrets: Secrets::default(),
        queries: Queries::new(settings.sync.query_timeout.get()),
        status,
        leaving: Arc::default(),
    };
    let spool = SpoolCell::default();
    register(registry, &link, &spool)?;
    let driver = Driver {
        link: link.clone(),
        identity: identity.clone(),
        endpoint,
        replica,
        cache,
        force: settings.sync.accept_shrunk_base,
        silence: watch::SILENCE,
        interval: settings.sync.report_interval.get(),
        requests,
        spool,
    };
    Ok((link, driver))
}

impl Driver {
    /// Starts everything. To be called inside the control runtime.
    pub fn start(self, spool: Spool, replay: Replay, tasks: &Tasks) {
        let Driver { link, identity, endpoint, replica, cache, force, silence, interval, requests, spool: seen } = self;
        let wire = Wire::new(&endpoint, identity);
        let Link { snapshot, funds, secrets, standings, queries, status, .. } = link.clone();
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(spool.clone());
        queries.connect(wire.clone(), status.clone());
        let (reporter, finish) = report::Reporter::new(wire.clone(), status.clone(), spool.clone(), &replay, interval);
        *link.leaving.lock().unwrap_or_else(PoisonError::into_inner) = Some(Leaving { spool, finish });
        let fetcher = secrets::Fetcher {
            secrets: secrets.clone(),
            snapshot: snapshot.clone(),
            wire: wire.clone(),
            status: status.clone(),
            key: BootKey::generate(),
        };
        let driver = lease::Driver { funds: funds.clone(), wire: wire.clone(), status: status.clone(), requests };
        let retired = Retired::default();
        let watcher = watch::Watcher {
            wire,
            status: status.clone(),
            snapshot,
            replica,
            cache,
            funds,
            secrets,
            standings: standings.clone(),
            retired,
            force,
            silence,
        };
        tasks.spawn("ready", status.become_ready());
        tasks.spawn("standings", observe::keep(standings, tasks.stopping()));
        tasks.spawn("watch", watcher.run(tasks.stopping()));
        tasks.spawn("lease", driver.run(tasks.stopping()));
        tasks.spawn("report", reporter.run(tasks.stopping()));
        tasks.spawn("secrets", fetcher.run(tasks.stopping()));
    }
}

impl Link {
    /// A link that leads nowhere, for a rehearsal: this is served, and nothing is lent.
    pub(crate) fn apart(snapshot: Snapshot, clock: Arc<dyn Clock>) -> Link {
        Link {
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            standings: Standings::new(clock.clone()),
            funds: Funds::new(clock.clone(), Arc::default()),
            secrets: Secrets::default(),
            queries: Queries::new(Duration::ZERO),
            status: Status::new(clock),
            leaving: Arc::default(),
        }
    }

    /// Leaves in order, after the workers are gone: gives leases back, writes and reports everything spooled, says that
    /// this epoch is over. What is not done by the deadline is done by the next start.
    pub async fn drain(&self, deadline: Duration) {
        let leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Leaving { spool, finish }) = leaving else { return };
        let end = tokio::time::Instant::now() + deadline;
        let closing = spool.clone();
        // Syncing is not a matter of the deadline: what was served is written whatever it takes.
        let closed = tokio::task::spawn_blocking(move || closing.close());
        let returned = tokio::time::timeout(deadline / 2, self.funds.leave());
        let (closed, returned) = tokio::join!(closed, returned);
        if closed.is_err() {
            tracing::error!("the spool could not be closed");
        }
        if returned.is_err() {
            tracing::warn!("leases were not given back in time; they come back when the spool is replayed");
        }
        let (done, told) = oneshot::channel();
        let asked = finish.send(done).await;
        if asked.is_err() || tokio::time::timeout_at(end, told).await.is_err() {
            let unreported = spool.vitals().unreported;
            tracing::warn!(unreported, "not everything was reported in time; the next start goes on with it");
        }
        let kept = tokio::task::spawn_blocking(move || spool.keep_marks()).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(%error, "the spool's marks cannot be written");
        }
    }
}

/// The numbers of this room and of the spool.
fn register(registry: &Registry, link: &Link, spool: &SpoolCell) -> Result<(), Error> {
    let level = |name, help, read: Box<dyn Fn() -> i64 + Send + Sync>| {
        registry.collect(name, help, Kind::Gauge, [], move |samples| samples.level([], read()))
    };
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let of_status = |read: fn(&Status) -> u64| -> Box<dyn Fn() -> i64 + Send + Sync> {
        let status = link.status.clone();
        Box::new(move || whole(read(&status)))
    };
    level(names::SNAPSHOT_REVISION, "Revision that is served", of_status(Status::revision))?;
    level(names::HEAD_REVISION, "Newest revision that the controller spoke of", of_status(Status::head_revision))?;
    level(
        names::CONTROLLER_CONNECTED,
        "Whether the stream to the controller stands",
        of_status(|status| u64::from(status.connected())),
    )?;
    let status = link.status.clone();
    registry.collect(
        names::SNAPSHOT_STALENESS,
        "How long nothing was heard from the controller",
        Kind::Gauge,
        [],
        move |samples| samples.number([], status.staleness().as_secs_f64()),
    )?;
    let snapshot = link.snapshot.clone();
    let keys = Box::new(move || i64::try_from(snapshot.load().key_count()).unwrap_or(i64::MAX));
    level(names::SNAPSHOT_KEYS, "Keys that are known", keys)?;
    let funds = link.funds.clone();
    let pools = Box::new(move || i64::try_from(funds.pools()).unwrap_or(i64::MAX));
    level(LEASE_POOLS, "Pools that are lent to this proxy", pools)?;
    let standings = link.standings.clone();
    let cooling = Box::new(move || i64::try_from(standings.cooling()).unwrap_or(i64::MAX));
    level(names::ENDPOINTS_COOLING, "Endpoints whose provider asked to be left alone", cooling)?;
    let of_state = |state: State| -> Box<dyn Fn() -> i64 + Send + Sync> {
        let standings = link.standings.clone();
        Box::new(move || i64::try_from(standings.count(state)).unwrap_or(i64::MAX))
    };
    level(names::ENDPOINTS_DEGRADED, "Endpoints that the fleet sees fail often", of_state(State::Degraded))?;
    level(names::ENDPOINTS_EJECTED, "Endpoints that the fleet sees hardly ever answer", of_state(State::Ejected))?;
    let of_spool = |read: fn(&crate::spool::Vitals) -> u64| -> Box<dyn Fn() -> i64 + Send + Sync> {
        let spool = spool.clone();
        Box::new(move || {
            let spool = spool.lock().unwrap_or_else(PoisonError::into_inner).clone();
            spool.map_or(0, |spool| whole(read(&spool.vitals())))
        })
    };
    level(names::SPOOL_BYTES, "Bytes of the spool's segments", of_spool(|vitals| vitals.bytes))?;
    level(SPOOL_USED, "Bytes of the spool that cannot go yet", of_spool(|vitals| vitals.used))?;
    level(names::SPOOL_CAP_BYTES, "Bytes that the spool may have", of_spool(|vitals| vitals.cap))?;
    level(SPOOL_ALARM, "Whether the spool is above 80 % of its cap", of_spool(|vitals| u64::from(vitals.alarm)))?;
    level(names::SPOOL_UNREPORTED, "Records that are not booked yet", of_spool(|vitals| vitals.unreported))?;
    level(names::SPOOL_OUTSTANDING, "Requests that are admitted and not ended", of_spool(|vitals| vitals.outstanding))?;
    level(
        names::SPOOL_ADMITTING,
        "Whether the spool lets requests be admitted",
        of_spool(|vitals| u64::from(vitals.admitting)),
    )?;
    Ok(())
}

const LEASE_POOLS: &str = "tollgate_lease_pools";
const SPOOL_USED: &str = "tollgate_spool_used_bytes";
const SPOOL_ALARM: &str = "tollgate_spool_alarm";
