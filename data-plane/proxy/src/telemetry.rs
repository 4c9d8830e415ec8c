//! The names of this plane's metrics and spans, and the counters of one worker. Labels are bounded: outcomes, status
//! classes, provider ids; never a model as the caller wrote it, an organisation or a key.
//! Counting is an atomic on a line that only this worker writes; the sum over workers is made when scraped.

use std::{cell::OnceCell, sync::Arc, time::Duration};

use domain::{
    money::Money,
    usage::{Outcome, TokenUsage, UsageRecord},
};
use runtime::metrics::{Counter, Family, Histogram, Registry};

/// Metric names.
pub(crate) mod names {
    pub const REQUESTS: &str = "tollgate_requests_total";
    pub const REFUSALS: &str = "tollgate_refusals_total";
    pub const ATTEMPTS: &str = "tollgate_attempts_total";
    pub const TOKENS: &str = "tollgate_tokens_total";
    pub const CHARGED: &str = "tollgate_charged_nano_dollars_total";
    pub const WRITTEN_OFF: &str = "tollgate_written_off_nano_dollars_total";
    pub const DURATION: &str = "tollgate_request_duration_seconds";
    pub const FIRST_OUTPUT: &str = "tollgate_time_to_first_output_seconds";
    pub const OVERHEAD: &str = "tollgate_gateway_overhead_seconds";
    pub const OPEN_CONNECTIONS: &str = "tollgate_open_connections";
    pub const OPEN_REQUESTS: &str = "tollgate_open_requests";
    // Registered by `sync` and `spool`.
    pub const SNAPSHOT_REVISION: &str = "tollgate_snapshot_revision";
    pub const HEAD_REVISION: &str = "tollgate_head_revision";
    pub const SNAPSHOT_STALENESS: &str = "tollgate_snapshot_staleness_seconds";
    pub const SNAPSHOT_KEYS: &str = "tollgate_snapshot_keys";
    pub const CONTROLLER_CONNECTED: &str = "tollgate_controller_connected";
    pub const LEASE_REQUESTS: &str = "tollgate_lease_requests_total";
    pub const LEASE_REFUSALS: &str = "tollgate_lease_refusals_total";
    pub const ENDPOINTS_COOLING: &str = "tollgate_endpoints_cooling";
    pub const ENDPOINTS_DEGRADED: &str = "tollgate_endpoints_degraded";
    pub const ENDPOINTS_EJECTED: &str = "tollgate_endpoints_ejected";
    pub const SPOOL_BYTES: &str = "tollgate_spool_bytes";
    pub const SPOOL_CAP_BYTES: &str = "tollgate_spool_cap_bytes";
    pub const SPOOL_UNREPORTED: &str = "tollgate_spool_unreported_records";
    pub const SPOOL_OUTSTANDING: &str = "tollgate_spool_open_intents";
    pub const SPOOL_ADMITTING: &str = "tollgate_spool_admitting";
}

/// Buckets of whole requests, in seconds: from a cached short answer to the longest reasoning.
const LONG_BOUNDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// Buckets of what the gateway itself adds, in seconds.
const SHORT_BOUNDS: &[f64] =
    &[0.000_02, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0];

/// Providers that are told apart; a catalogue has a few dozen.
const MAX_PROVIDERS: usize = 256;
const MAX_CODES: usize = 64;

/// How one attempt ended, for its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptResult {
    Answered,
    Refused,
    RateLimited,
    Failed,
    TimedOut,
    Unreachable,
    Cut,
}

impl AttemptResult {
    const ALL: [AttemptResult; 7] = [
        AttemptResult::Answered,
        AttemptResult::Refused,
        AttemptResult::RateLimited,
        AttemptResult::Failed,
        AttemptResult::TimedOut,
        AttemptResult::Unreachable,
        AttemptResult::Cut,
    ];

    fn word(self) -> &'static str {
        match self {
            AttemptResult::Answered => "answered",
            AttemptResult::Refused => "refused",
            AttemptResult::RateLimited => "rate_limited",
            AttemptResult::Failed => "failed",
            AttemptResult::TimedOut => "timed_out",
            AttemptResult::Unreachable => "unreachable",
            AttemptResult::Cut => "cut",
        }
    }
}

/// The counters of one provider at one worker.
pub(crate) struct AttemptCounters([Arc<Counter>; AttemptResult::ALL.len()]);

impl AttemptCounters {
    /// Counts one attempt.
    pub fn count(&self, result: AttemptResult) {
        let place = AttemptResult::ALL.iter().position(|known| *known == result);
        if let Some(counter) = place.and_then(|place| self.0.get(place)) {
            counter.increment();
        }
    }
}

/// What one worker counts.
pub(crate) struct Tally {
    requests: Family<Counter, 2>,
    by_outcome: [[OnceCell<Arc<Counter>>; CLASSES.len()]; Outcome::ALL.len()],
    refusals: Family<Counter, 1>,
    attempts: Family<Counter, 2>,
    prompt: Arc<Counter>,
    cached: Arc<Counter>,
    completion: Arc<Counter>,
    reasoning: Arc<Counter>,
    charged: Arc<Counter>,
    written_off: Arc<Counter>,
    duration: Arc<Histogram>,
    first_output: Arc<Histogram>,
    overhead: Arc<Histogram>,
}

/// Status classes as labels; the first is for a client that saw nothing.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

impl Tally {
    /// A worker's counters, added to those of the others.
    pub fn register(registry: &Registry) -> runtime::Result<Tally> {
        let tokens = registry.counters(names::TOKENS, "Tokens of charged requests, by kind.", ["kind"], 8)?;
        Ok(Tally {
            requests: registry.counters(
                names::REQUESTS,
                "Admitted requests that have ended, by outcome and status class.",
                ["outcome", "status"],
                Outcome::ALL.len() * CLASSES.len(),
            )?,
            by_outcome: Default::default(),
            refusals: registry.counters(names::REFUSALS, "Answers that were errors, by code.", ["code"], MAX_CODES)?,
            attempts: registry.counters(
                names::ATTEMPTS,
                "Attempts at providers, by result.",
                ["provider", "result"],
                MAX_PROVIDERS * AttemptResult::ALL.len(),
            )?,
            prompt: tokens.with(["prompt"]),
            cached: tokens.with(["cached"]),
            completion: tokens.with(["completion"]),
            reasoning: tokens.with(["reasoning"]),
            charged: registry.counter(names::CHARGED, "What customers were charged, in nano-dollars.")?,
            written_off: registry.counter(
                names::WRITTEN_OFF,
                "Our estimate of what providers bill for answers nobody is charged for.",
            )?,
            duration: registry.histogram(names::DURATION, "From arrival to the last byte.", LONG_BOUNDS)?,
            first_output: registry.histogram(names::FIRST_OUTPUT, "From arrival to the first output.", LONG_BOUNDS)?,
            overhead: registry.histogram(
                names::OVERHEAD,
                "What the gateway itself added before the first byte went upstream.",
                SHORT_BOUNDS,
            )?,
        })
    }

    /// The counters of a provider; to be kept, since this takes a lock.
    pub fn attempts(&self, provider: &str) -> AttemptCounters {
        AttemptCounters(AttemptResult::ALL.map(|result| self.attempts.with([provider, result.word()])))
    }

    /// Counts an answer that was an error.
    pub fn refused(&self, code: &str) {
        self.refusals.with([code]).increment();
    }

    /// Counts what the gateway added to one request.
    pub fn overhead(&self, added: Duration) {
        self.overhead.observe(added.as_secs_f64());
    }

    /// Counts an admitted request that has ended.
    pub fn ended(&self, record: &UsageRecord) {
        let outcome = Outcome::ALL.iter().position(|known| *known == record.outcome).unwrap_or(0);
        let class = usize::from(record.status / 100).min(CLASSES.len() - 1);
        if let Some(place) = self.by_outcome.get(outcome).and_then(|classes| classes.get(class)) {
            let label = CLASSES.get(class).copied().unwrap_or("none");
            place.get_or_init(|| self.requests.with([record.outcome.name(), label])).increment();
        }
        self.duration.observe(Duration::from_millis(record.latency_ms).as_secs_f64());
        if let Some(ms) = record.ttft_ms {
            self.first_output.observe(Duration::from_millis(ms).as_secs_f64());
        }
        if record.outcome.is_charged() {
            self.tokens(&record.usage);
        }
        count_money(&self.charged, record.cost);
        count_money(&self.written_off, record.written_off);
    }

    fn tokens(&self, usage: &TokenUsage) {
        self.prompt.add(usage.prompt_total());
        self.cached.add(usage.cache_read);
        self.completion.add(usage.completion_total());
        self.reasoning.add(usage.reasoning);
    }
}

fn count_money(counter: &Counter, amount: Money) {
    if let Ok(nano @ 1..) = u64::try_from(amount.nano()) {
        counter.add(nano);
    }
}
