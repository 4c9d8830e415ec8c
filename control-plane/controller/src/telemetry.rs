//! The names of this plane's metrics. Labels are closed sets.

use std::sync::Arc;

use link::lease::{Grant, Verdict};
use runtime::metrics::{Counter, Registry};

/// The counters of this plane.
pub struct Metrics {
    booked: Arc<Counter>,
    granted: Arc<Counter>,
    refused: Arc<Counter>,
    recalling: Arc<Counter>,
    pub verify_failures: Arc<Counter>,
    pub task_failures: Arc<Counter>,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> Result<Metrics, runtime::Error> {
        Ok(Metrics {
            booked: registry.counter("tollgate_usage_records_booked_total", "Usage records booked.")?,
            granted: registry.counter("tollgate_lease_asks_granted_total", "Asks of proxies that were granted.")?,
            refused: registry.counter("tollgate_lease_asks_refused_total", "Asks of proxies that were refused.")?,
            recalling: registry
                .counter("tollgate_lease_asks_recalling_total", "Asks that wait for units from other proxies.")?,
            verify_failures: registry.counter("tollgate_books_failures_total", "Checks of the books that failed.")?,
            task_failures: registry.counter("tollgate_task_failures_total", "Runs of background tasks that failed.")?,
        })
    }

    /// Counts booked records.
    pub fn booked(&self, records: usize) {
        self.booked.add(u64::try_from(records).unwrap_or(0));
    }

    /// Counts the answers of a lease call.
    pub fn grants(&self, grants: &[Grant]) {
        for grant in grants {
            match grant.verdict {
                Verdict::Granted => self.granted.increment(),
                Verdict::Recalling => self.recalling.increment(),
                Verdict::Exhausted | Verdict::Unknown | Verdict::Fenced => self.refused.increment(),
            }
        }
    }
}
