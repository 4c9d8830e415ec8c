//! Adds up what the connections saw and turns it into the one line that `load` prints.
//! Never averages: times are kept one by one and shown as quantiles.

use serde::{Deserialize, Serialize};

use super::Window;

/// Kept times of one kind; the bound is above what one core can do in the longest run and only guards the memory.
const MAX_SAMPLES: usize = 8_000_000;

/// What one connection, or all of them together, saw.
#[derive(Default)]
pub struct Tally {
    /// Requests and streams answered to the end, warming up and finishing included: what the target's CPU time is divided by.
    pub answered: u64,
    pub errors: u64,
    pub first_error: Option<String>,
    /// Ticks at which the connection was still waiting for the answer before.
    pub late: u64,
    /// Stamped chunks, warming up and finishing included.
    pub chunks: u64,
    pub chunks_in_window: u64,
    /// Streams that delivered at least one chunk.
    pub opened: u64,
    pub latencies_ns: Vec<u64>,
    pub first_chunks_ns: Vec<u64>,
    pub transits_ns: Vec<u64>,
    pub gaps_ns: Vec<u64>,
}

impl Tally {
    pub fn failed(&mut self, error: &anyhow::Error) {
        self.errors += 1;
        if self.first_error.is_none() {
            self.first_error = Some(format!("{error:#}"));
        }
    }

    pub fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.late += other.late;
        self.chunks += other.chunks;
        self.chunks_in_window += other.chunks_in_window;
        self.opened += other.opened;
        for (all, more) in [
            (&mut self.latencies_ns, other.latencies_ns),
            (&mut self.first_chunks_ns, other.first_chunks_ns),
            (&mut self.transits_ns, other.transits_ns),
            (&mut self.gaps_ns, other.gaps_ns),
        ] {
            all.extend(more);
        }
    }

    pub fn summary(self, mode: &str, window: Window) -> Summary {
        let seconds = window.seconds();
        Summary {
            mode: mode.to_owned(),
            seconds,
            answered: self.answered,
            errors: self.errors,
            first_error: self.first_error,
            late: self.late,
            rps: self.latencies_ns.len() as f64 / seconds,
            latency_us: Quantiles::of(self.latencies_ns),
            chunks: self.chunks,
            chunks_per_second: self.chunks_in_window as f64 / seconds,
            first_chunk_us: Quantiles::of(self.first_chunks_ns),
            transit_us: Quantiles::of(self.transits_ns),
            opened: self.opened,
            gap_us: Quantiles::of(self.gaps_ns),
        }
    }
}

pub fn keep(samples: &mut Vec<u64>, nanos: u64) {
    if samples.len() < MAX_SAMPLES {
        samples.push(nanos);
    }
}

/// The line that `load` prints. A kind of time that the mode does not measure is null.
#[derive(Serialize, Deserialize)]
pub struct Summary {
    pub mode: String,
    /// Length of the measured window.
    pub seconds: f64,
    /// Answered to the end, warming up and finishing included.
    pub answered: u64,
    pub errors: u64,
    pub first_error: Option<String>,
    /// Sends put off because the answer before had not come.
    pub late: u64,
    /// Whole answers a second inside the window.
    pub rps: f64,
    /// From sending to the last byte.
    pub latency_us: Option<Quantiles>,
    /// Stamped chunks, warming up and finishing included.
    pub chunks: u64,
    pub chunks_per_second: f64,
    /// From sending the request to the first stamped chunk.
    pub first_chunk_us: Option<Quantiles>,
    /// From the mock's stamp to its reading here.
    pub transit_us: Option<Quantiles>,
    /// Streams that delivered at least one chunk.
    pub opened: u64,
    /// How much later than one interval after its predecessor a chunk came.
    pub gap_us: Option<Quantiles>,
}

/// Quantiles by the nearest rank.
#[derive(Serialize, Deserialize, Clone, Copy)]
pub struct Quantiles {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

impl Quantiles {
    fn of(mut nanos: Vec<u64>) -> Option<Self> {
        nanos.sort_unstable();
        let max = *nanos.last()?;
        let micros = |nanos: u64| nanos as f64 / 1_000.0;
        let rank =
            |percent: usize| micros(nanos.get((nanos.len() * percent).div_ceil(100) - 1).copied().unwrap_or(max));
        Some(Self { p50: rank(50), p95: rank(95), p99: rank(99), max: micros(max) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks_in_microseconds() {
        let times = (1..=100).rev().map(|n| n * 1_000).collect();
        let quantiles = Quantiles::of(times).unwrap();
        assert_eq!((quantiles.p50, quantiles.p95, quantiles.p99, quantiles.max), (50.0, 95.0, 99.0, 100.0));
        let one = Quantiles::of(vec![7_000]).unwrap();
        assert_eq!((one.p50, one.max), (7.0, 7.0));
        assert!(Quantiles::of(vec![]).is_none());
    }
}
