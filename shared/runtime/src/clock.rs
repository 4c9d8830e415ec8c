//! Time as an argument: whoever needs it is handed a `Clock`, so tests can hold it still.
//! This is the only room that asks the operating system what time it is.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Microseconds since 1970-01-01T00:00:00Z. May jump when the machine's clock is set.
    fn now_us(&self) -> i64;

    /// Time since some fixed moment; never goes back, and goes on while the machine is suspended.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    fn now_us(&self) -> i64 {
        let us = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => us(since),
            Err(before) => -us(before.duration()),
        }
    }

    fn monotonic(&self) -> Duration {
        // CLOCK_MONOTONIC stands still during suspend, and a lease must not outlive a laptop's lid.
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

/// A clock that moves only when told to.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_us: AtomicI64,
    monotonic_ns: AtomicU64,
}

impl ManualClock {
    /// Stands at `now_us` microseconds since 1970, with monotonic time at zero.
    #[must_use]
    pub fn at(now_us: i64) -> Self {
        Self { now_us: AtomicI64::new(now_us), monotonic_ns: AtomicU64::new(0) }
    }

    /// Sets the wall clock, as an operator or NTP would; monotonic time stays.
    pub fn set(&self, now_us: i64) {
        self.now_us.store(now_us, Ordering::SeqCst);
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, by: Duration) {
        self.now_us.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.monotonic_ns.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_us(&self) -> i64 {
        self.now_us.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.monotonic_ns.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::at(1_000);
        assert_eq!((clock.now_us(), clock.monotonic()), (1_000, Duration::ZERO));
        clock.advance(Duration::from_millis(2));
        assert_eq!((clock.now_us(), clock.monotonic()), (3_000, Duration::from_millis(2)));
        clock.set(5);
        assert_eq!((clock.now_us(), clock.monotonic()), (5, Duration::from_millis(2)));
    }

    #[test]
    fn the_system_clock_counts_microseconds_since_1970() {
        let now = SystemClock.now_us();
        let (year_2024, year_2100) = (1_704_067_200_000_000, 4_102_444_800_000_000);
        assert!((year_2024..year_2100).contains(&now), "{now}");
    }

    #[test]
    fn monotonic_time_never_goes_back() {
        let mut last = SystemClock.monotonic();
        for _ in 0..1_000 {
            let next = SystemClock.monotonic();
            assert!(next >= last);
            last = next;
        }
        assert!(last > Duration::ZERO);
    }

    #[test]
    fn clocks_can_be_shared_as_one_trait_object() {
        let clock: std::sync::Arc<dyn Clock> = std::sync::Arc::new(ManualClock::at(9));
        assert_eq!(std::thread::spawn(move || clock.now_us()).join().unwrap(), 9);
    }
}
