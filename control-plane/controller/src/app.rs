//! What every call of this plane works with: built once, shared by `Arc`.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::Revision;
use domain::keys::Digest;
use domain::time::Timestamp;
use runtime::clock::Clock;
use runtime::metrics::Registry;
use runtime::seal::MasterKey;
use store::Store;

use crate::credits::rates::Rates;
use crate::health::Health;
use crate::sync::fleet::Fleet;
use crate::telemetry::Metrics;

/// The tools of this plane.
pub struct App {
    pub store: Store,
    pub seal: MasterKey,
    pub clock: Arc<dyn Clock>,
    /// Connected proxies, what they have applied, and the way to tell them something.
    pub fleet: Arc<Fleet>,
    /// How endpoints do, as proxies tell.
    pub health: Health,
    /// Rate pools: the one kind that lives in memory.
    pub rates: Rates,
    pub metrics: Metrics,
    pub registry: Arc<Registry>,
    /// This controller among others on the same database.
    pub name: String,
    pub read_your_writes: Duration,
    root: Digest,
}

/// The parts of an [`App`] that its makers choose.
pub struct Parts {
    pub store: Store,
    pub seal: MasterKey,
    pub clock: Arc<dyn Clock>,
    pub registry: Arc<Registry>,
    pub root: Digest,
    pub read_your_writes: Duration,
}

impl App {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Result<App, runtime::Error> {
        let metrics = Metrics::new(&parts.registry)?;
        let started = parts.clock.monotonic();
        Ok(App {
            store: parts.store,
            seal: parts.seal,
            fleet: Arc::new(Fleet::default()),
            health: Health::default(),
            rates: Rates::new(started),
            metrics,
            registry: parts.registry,
            name: format!("controller-{:016x}", rand::random::<u64>()),
            clock: parts.clock,
            read_your_writes: parts.read_your_writes,
            root: parts.root,
        })
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_us(self.clock.now_us())
    }

    /// What a new id is made of: unix milliseconds and randomness.
    pub fn fresh(&self) -> (u64, u128) {
        (u64::try_from(self.now().ms()).unwrap_or(0), rand::random())
    }

    /// Whether this is the digest of the root admin token.
    pub fn is_root(&self, digest: &Digest) -> bool {
        *digest == self.root
    }

    /// Waits until every connected proxy has applied `revision`, for as long as a write may wait. Says what is missing
    /// when it took longer.
    pub async fn applied(&self, revision: Revision) -> String {
        let laggards = self.fleet.applied(revision, self.read_your_writes).await;
        if laggards.is_empty() {
            return String::new();
        }
        format!("written as revision {revision}, and not yet applied by {}", laggards.join(", "))
    }
}
