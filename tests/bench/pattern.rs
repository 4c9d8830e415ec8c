//! How the mock answers, as told by the model's name: `bench-json`, or `bench-200x10ms` for 200 chunks, one every 10 ms.
//! Shared by the mock and the load, so that both know what a whole stream is.

use std::time::Duration;

/// No stream of the bench is longer than this, whatever the model's name says.
const MAX_CHUNKS: u32 = 100_000;
const MAX_INTERVAL: Duration = Duration::from_secs(600);

/// A stream of equal chunks at a fixed interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    pub chunks: u32,
    pub interval: Duration,
}

impl Pattern {
    /// What a stream is when the name asks for nothing that can be understood.
    pub const DEFAULT: Self = Self { chunks: 100, interval: Duration::from_millis(10) };

    /// Reads `…bench-<chunks>x<interval>ms`; an author in front of a slash is skipped.
    pub fn of_model(model: &str) -> Option<Self> {
        let slug = model.rsplit('/').next()?;
        let (chunks, interval) = slug.strip_prefix("bench-")?.strip_suffix("ms")?.split_once('x')?;
        let chunks = chunks.parse().ok().filter(|count| (1..=MAX_CHUNKS).contains(count))?;
        let interval = interval.parse().ok().filter(|ms| *ms > 0).map(Duration::from_millis)?;
        Some(Self { chunks, interval: interval.min(MAX_INTERVAL) })
    }

    pub fn interval_ns(self) -> u64 {
        u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX)
    }

    /// How long a whole stream takes at its source.
    pub fn length(self) -> Duration {
        self.interval * self.chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_model_says_how_many_chunks_and_how_often() {
        let ten_a_second = Pattern { chunks: 200, interval: Duration::from_millis(100) };
        assert_eq!(Pattern::of_model("bench-200x100ms"), Some(ten_a_second));
        assert_eq!(Pattern::of_model("mock/bench-200x100ms"), Some(ten_a_second));
        assert_eq!(ten_a_second.length(), Duration::from_secs(20));
    }

    #[test]
    fn a_name_that_makes_no_sense_is_no_pattern() {
        for name in ["bench-json", "bench-0x10ms", "bench-10x0ms", "bench-10x", "gpt-10x10ms", "bench-999999x1ms", ""] {
            assert_eq!(Pattern::of_model(name), None, "{name}");
        }
    }
}
