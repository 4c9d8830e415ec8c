//! Local evidence about one endpoint: whether it fails, how fast it answers, how often it may be asked again. Kept by each
//! worker for itself. Never chooses; `pipeline/plan` does. Next room: `rolling`.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use crate::{
    alarm::{Alarms, Tick},
    rolling::Rolling,
};

/// Hard failures in a row after which an endpoint is left alone for a while.
const TRIP: u32 = 5;
/// The first while, and the longest.
const OPEN_SECONDS: u64 = 5;
const OPEN_SECONDS_MOST: u64 = 300;
/// Hard failures in a row that are an outage, and how long it is remembered.
const OUTAGE: u32 = 2;
const ASIDE: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Repeats that may be saved up, in tenths.
const REPEATS_MOST: u32 = 100;

/// Local evidence about one endpoint.
#[derive(Default)]
pub(crate) struct Health {
    failures: Cell<u32>,
    trips: Cell<u32>,
    shut_until: Cell<Tick>,
    /// When it may be tried again after an outage.
    aside_until: Cell<Tick>,
    /// Milliseconds to the first output, smoothed; 0 when unknown.
    first_output_ms: Cell<u64>,
    /// Output tokens a second, smoothed; 0 when unknown.
    speed: Cell<u64>,
    /// Repeats that the budget allows, in tenths: each request adds one, each second ten.
    repeats: Cell<u32>,
    repeats_at: Cell<u32>,
    seen: RefCell<Seen>,
}

/// What was measured in the last minutes.
#[derive(Default)]
struct Seen {
    latency: Rolling,
    throughput: Rolling,
}

impl Health {
    /// Whether it failed so often lately that others should go first. Afterwards one more failure shuts it for longer.
    pub fn is_shut(&self, alarms: &Alarms) -> bool {
        self.shut_until.get() != Tick::NEVER && !alarms.is_past(self.shut_until.get())
    }

    /// Whether others should go first: it has failed more than once in a row and not answered since.
    pub fn is_aside(&self) -> bool {
        self.failures.get() >= OUTAGE
    }

    /// Whether a request may find out how an endpoint does that was set aside: one a second, once it was left alone for half
    /// a minute and is not shut. Takes the chance.
    pub fn take_probe(&self, alarms: &Alarms) -> bool {
        if !self.is_aside() || self.is_shut(alarms) || !alarms.is_past(self.aside_until.get()) {
            return false;
        }
        self.aside_until.set(alarms.at(PROBE_EVERY));
        true
    }

    /// An answer came.
    pub fn answered(&self, first_output_ms: u64, alarms: &Alarms) {
        self.failures.set(0);
        self.trips.set(0);
        self.shut_until.set(Tick::NEVER);
        self.aside_until.set(Tick::NEVER);
        smooth(&self.first_output_ms, first_output_ms.max(1));
        self.seen.borrow_mut().latency.note(first_output_ms, alarms.seconds());
    }

    /// An answer was finished.
    pub fn finished(&self, tokens: u64, ms: u64, alarms: &Alarms) {
        if tokens > 0 && ms > 0 {
            let speed = (tokens.saturating_mul(1_000) / ms).max(1);
            smooth(&self.speed, speed);
            self.seen.borrow_mut().throughput.note(speed, alarms.seconds());
        }
    }

    /// Milliseconds to the first output that this share of the answers of the last minutes needed at most; none when it was
    /// not asked lately.
    pub fn latency_at(&self, quantile: f64, alarms: &Alarms) -> Option<u64> {
        self.seen.borrow().latency.quantile(quantile, alarms.seconds())
    }

    /// Output tokens a second that this share of the answers of the last minutes had at most.
    pub fn throughput_at(&self, quantile: f64, alarms: &Alarms) -> Option<u64> {
        self.seen.borrow().throughput.quantile(quantile, alarms.seconds())
    }

    /// It failed in a way that speaks against it.
    pub fn failed(&self, alarms: &Alarms) {
        let failures = self.failures.get().saturating_add(1);
        self.failures.set(failures);
        if failures >= OUTAGE {
            self.aside_until.set(alarms.at(ASIDE));
        }
        if failures >= TRIP && !self.is_shut(alarms) {
            let seconds = (OPEN_SECONDS << self.trips.get().min(16)).min(OPEN_SECONDS_MOST);
            self.trips.set(self.trips.get().saturating_add(1));
            self.shut_until.set(alarms.at(Duration::from_secs(seconds)));
        }
    }

    pub fn first_output_ms(&self) -> u64 {
        self.first_output_ms.get()
    }

    pub fn speed(&self) -> u64 {
        self.speed.get()
    }

    /// A request was sent here for the first time: a tenth of a repeat is earned.
    pub fn earn_repeat(&self) {
        self.repeats.set((self.repeats.get() + 1).min(REPEATS_MOST));
    }

    /// Whether the budget allows to ask here once more; takes it.
    pub fn spend_repeat(&self, now_seconds: u32) -> bool {
        let passed = now_seconds.saturating_sub(self.repeats_at.replace(now_seconds));
        let left = self.repeats.get().saturating_add(passed.saturating_mul(10)).min(REPEATS_MOST);
        self.repeats.set(left.saturating_sub(if left >= 10 { 10 } else { 0 }));
        left >= 10
    }
}

/// A moving mean in which the new value weighs an eighth.
fn smooth(place: &Cell<u64>, value: u64) {
    let old = place.get();
    place.set(if old == 0 { value } else { (old * 7 + value) / 8 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_in_a_row_shut_an_endpoint_and_an_answer_opens_it() {
        let alarms = Alarms::new();
        let health = Health::default();
        for _ in 0..TRIP - 1 {
            health.failed(&alarms);
            assert!(!health.is_shut(&alarms));
        }
        health.failed(&alarms);
        assert!(health.is_shut(&alarms));
        health.answered(20, &alarms);
        assert!(!health.is_shut(&alarms));
        health.failed(&alarms);
        assert!(!health.is_shut(&alarms));
    }

    fn pass(alarms: &Alarms, time: Duration) {
        (0..=time.as_millis() / 100).for_each(|_| alarms.step());
    }

    #[test]
    fn one_failure_is_an_accident_and_two_are_an_outage() {
        let alarms = Alarms::new();
        let health = Health::default();
        health.failed(&alarms);
        assert!(!health.is_aside());
        health.failed(&alarms);
        assert!(health.is_aside() && !health.is_shut(&alarms));
        health.answered(20, &alarms);
        assert!(!health.is_aside());
    }

    #[test]
    fn after_an_outage_one_request_a_second_finds_out() {
        let alarms = Alarms::new();
        let health = Health::default();
        assert!(!health.take_probe(&alarms), "nothing is amiss");
        health.failed(&alarms);
        health.failed(&alarms);
        assert!(!health.take_probe(&alarms), "too soon");
        pass(&alarms, ASIDE);
        assert!(health.take_probe(&alarms) && !health.take_probe(&alarms));
        pass(&alarms, PROBE_EVERY);
        assert!(health.take_probe(&alarms));
        health.failed(&alarms);
        pass(&alarms, PROBE_EVERY);
        assert!(!health.take_probe(&alarms), "it failed again");
        (0..TRIP).for_each(|_| health.failed(&alarms));
        assert!(health.is_shut(&alarms));
        pass(&alarms, ASIDE);
        assert!(!health.is_shut(&alarms) && health.take_probe(&alarms));
    }

    #[test]
    fn repeats_are_a_tenth_of_requests_and_one_a_second() {
        let health = Health::default();
        assert!(!health.spend_repeat(0));
        for _ in 0..10 {
            health.earn_repeat();
        }
        assert!(health.spend_repeat(0));
        assert!(!health.spend_repeat(0));
        assert!(health.spend_repeat(1));
        assert!(!health.spend_repeat(1));
        assert!((0..20).filter(|_| health.spend_repeat(1_000)).count() == 10, "no more than ten are saved up");
    }
}
