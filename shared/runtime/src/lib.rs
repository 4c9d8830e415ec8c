//! What every long-running Tollgate process needs, and nothing about what Tollgate sells.
//! No noun of the product lives here, no crate of ours is known here; both planes stand on this floor.
//!
//! | room | what it holds |
//! | --- | --- |
//! | [`config`] | defaults < file < environment; unknown names refused; printable without secrets |
//! | [`secret`] | `Secret`: no Debug, wiped on drop |
//! | [`seal`] | sealed envelopes: at rest under a master key, and to one proxy's boot key |
//! | [`clock`] | `Clock`, `SystemClock`, `ManualClock` |
//! | [`tasks`] | named background tasks that shutdown waits for |
//! | [`shutdown`] | signal, lame duck, drain, deadline |
//! | [`backoff`] | exponential backoff with full jitter |
//! | [`telemetry`] | logs to stderr, traces to OTLP, trace context over the wire |
//! | [`metrics`] | counters, gauges, histograms in the Prometheus text format |
//! | [`health`] | `/livez`, `/readyz`, `/metrics` on the private port |
//! | [`tls`] | rustls settings, certificates that are read again when they change |
//! | [`files`] | atomic writes, folder locks, the limit of open files |

pub mod backoff;
pub mod clock;
pub mod config;
mod error;
pub mod files;
pub mod health;
pub mod metrics;
pub mod seal;
pub mod secret;
pub mod shutdown;
pub mod tasks;
pub mod telemetry;
pub mod tls;

pub use error::Error;
pub use secret::Secret;

/// What the rooms of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
