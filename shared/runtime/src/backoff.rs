//! How long to wait before the next try: exponential, with full jitter, so that many clients do not come back at once.
//! Never sleeps and draws no randomness of its own.

use std::time::Duration;

/// The waiting times of one series of tries.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    tries: u32,
}

impl Backoff {
    /// The first wait is below `base`, each next bound is twice the last, none is above `cap`.
    #[must_use]
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, tries: 0 }
    }

    /// The next wait: a random part of `min(cap, base * 2^tries)`. `random` gives a number in `0.0..1.0`
    /// (`rand::random` in production, a constant in tests); anything outside is brought inside.
    pub fn next_wait(&mut self, random: impl FnOnce() -> f64) -> Duration {
        let bound = self.bound();
        self.tries = self.tries.saturating_add(1);
        let part = random();
        let part = if part.is_nan() { 1.0 } else { part.clamp(0.0, 1.0) };
        bound.mul_f64(part).min(bound)
    }

    /// The longest that the next wait can be.
    #[must_use]
    pub fn bound(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.tries).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// Tries since the start or the last reset.
    #[must_use]
    pub const fn tries(&self) -> u32 {
        self.tries
    }

    /// Starts again from `base`; to be called after a success.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_millis(100);
    const CAP: Duration = Duration::from_secs(5);

    #[test]
    fn bounds_double_up_to_the_cap() {
        let mut backoff = Backoff::new(BASE, CAP);
        let waits: Vec<u128> = (0..8).map(|_| backoff.next_wait(|| 1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn jitter_spreads_over_the_whole_bound() {
        let mut backoff = Backoff::new(BASE, CAP);
        assert_eq!(backoff.next_wait(|| 0.0), Duration::ZERO);
        assert_eq!(backoff.next_wait(|| 0.5), Duration::from_millis(100));
        assert_eq!(backoff.next_wait(|| 0.25), Duration::from_millis(100));
    }

    #[test]
    fn a_reset_starts_from_the_base_again() {
        let mut backoff = Backoff::new(BASE, CAP);
        for _ in 0..5 {
            backoff.next_wait(|| 1.0);
        }
        assert_eq!(backoff.tries(), 5);
        backoff.reset();
        assert_eq!(backoff.next_wait(|| 1.0), BASE);
    }

    #[test]
    fn endless_tries_and_wild_randomness_never_pass_the_cap() {
        let mut backoff = Backoff::new(BASE, CAP);
        for random in [f64::NAN, f64::INFINITY, -1.0, 7.0].into_iter().cycle().take(200) {
            assert!(backoff.next_wait(|| random) <= CAP);
        }
        let mut longest = Backoff::new(Duration::MAX, Duration::MAX);
        longest.next_wait(|| 0.1);
        assert_eq!(longest.bound(), Duration::MAX);
    }
}
