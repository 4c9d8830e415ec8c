//! The load: our own clients on hyper's connection API, one thread, always bounded in time and in number.
//! Counts only what it could read to the end and understand as the mock's answer; everything else is an error.
//! One file per mode; `ask` is what is sent and over which connection, `stamps` reads streams, `tally` adds up.

mod ask;
mod closed;
mod first;
mod idle;
mod rate;
mod stamps;
mod streams;
mod tally;

use std::net::SocketAddr;
use std::time::Duration;

pub use first::First;
pub use tally::Summary;

use crate::clock::{NANOS_PER_SECOND, now_ns};
use crate::family::Family;
use crate::limits;

/// After the end of the window, how long an open request may still take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the load does.
#[derive(clap::Subcommand)]
pub enum Mode {
    /// Closed loop: every connection asks again as soon as it was answered.
    Closed(closed::Options),
    /// A fixed number of requests a second, evenly spread.
    Rate(rate::Options),
    /// Streams, one after the other on every connection, read to the end.
    Streams(streams::Options),
    /// Many slow streams at once, held open and then left.
    Idle(idle::Options),
    /// The first requests of a proxy that has just started, and warm ones to compare them with.
    First(first::Options),
}

/// What every mode needs to know.
#[derive(clap::Args, Clone)]
pub struct Aim {
    /// Whom to ask.
    #[arg(long)]
    to: SocketAddr,
    /// The family that is asked in, and with it the route.
    #[arg(long, value_enum, default_value_t = Family::Chat)]
    family: Family,
    /// The model, and with it how the mock answers.
    #[arg(long, default_value = "bench-json")]
    model: String,
    /// The bearer key, where one is needed.
    #[arg(long, env = "BENCH_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The size of the request body.
    #[arg(long, default_value_t = 500)]
    body_bytes: usize,
    /// How long to measure, after half a second of warming up (or as long as that, if it is less).
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
}

pub async fn run(mode: Mode) -> anyhow::Result<()> {
    limits::raise_open_files();
    let line = match mode {
        Mode::Closed(options) => serde_json::to_string(&closed::run(options).await?),
        Mode::Rate(options) => serde_json::to_string(&rate::run(options).await?),
        Mode::Streams(options) => serde_json::to_string(&streams::run(options).await?),
        Mode::Idle(options) => serde_json::to_string(&idle::run(options).await?),
        Mode::First(options) => serde_json::to_string(&first::run(options).await?),
    };
    println!("{}", line?);
    Ok(())
}

/// When the measuring begins and ends; what lies before is warming up, what lies after is finishing.
#[derive(Clone, Copy)]
struct Window {
    from_ns: u64,
    until_ns: u64,
    give_up: tokio::time::Instant,
}

impl Window {
    const WARM_UP: Duration = Duration::from_millis(500);

    fn begin(seconds: f64) -> Self {
        Self::begin_after(Duration::ZERO, seconds, Duration::ZERO)
    }

    /// `start` is how long it takes until the load is whole, `tail` how long a request begun at the very end may honestly take.
    fn begin_after(start: Duration, seconds: f64, tail: Duration) -> Self {
        let measured = Duration::from_secs_f64(seconds.clamp(0.1, 600.0));
        let before = start + Self::WARM_UP.min(measured);
        let from_ns = now_ns() + nanos(before);
        Self {
            from_ns,
            until_ns: from_ns + nanos(measured),
            give_up: tokio::time::Instant::now() + before + measured + tail + PATIENCE,
        }
    }

    fn is_open(self) -> bool {
        now_ns() < self.until_ns
    }

    /// Whether something that began and ended then belongs to the measurement.
    fn holds(self, began_ns: u64, ended_ns: u64) -> bool {
        began_ns >= self.from_ns && ended_ns <= self.until_ns
    }

    fn seconds(self) -> f64 {
        (self.until_ns - self.from_ns) as f64 / NANOS_PER_SECOND as f64
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
