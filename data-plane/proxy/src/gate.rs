//! What all workers of a proxy share, built once when it starts. Below the pipeline and below `sync`.
//! Never holds anything that changes by itself but the snapshot's swap and the machines of the rooms it names.

use std::{rc::Rc, sync::Arc};

use domain::ids::{BootEpoch, ProxyId};
use runtime::{clock::Clock, health::Readiness, metrics::Registry, shutdown::Shutdown};
use tokio::sync::watch;

use crate::{
    config::{Settings, TimeoutSettings},
    spool::Spool,
    sync::Link,
    upstream,
};

/// Who this proxy is, for this life.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name in the fleet.
    pub proxy: ProxyId,
    /// Larger at each start.
    pub epoch: BootEpoch,
    /// Where it stands.
    pub region: String,
    /// The version of the program.
    pub build: &'static str,
}

/// What all workers share.
pub(crate) struct Gate {
    pub settings: Arc<Settings>,
    pub identity: Identity,
    pub clock: Arc<dyn Clock>,
    /// Snapshot, money, secrets and the controller's books.
    pub link: Link,
    pub spool: Spool,
    pub upstream: upstream::Shared,
    pub metrics: Arc<Registry>,
    pub readiness: Readiness,
    /// The end of this proxy: not of the process, which may hold several.
    pub shutdown: Shutdown,
    /// How many workers have made the first snapshot ready.
    pub primed: watch::Sender<usize>,
}

impl Gate {
    /// The timeouts in a form that a worker's connections can share.
    pub fn timeouts(&self) -> Rc<TimeoutSettings> {
        Rc::new(self.settings.timeouts.clone())
    }

    /// Milliseconds of the clock that leases are counted on.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }
}
