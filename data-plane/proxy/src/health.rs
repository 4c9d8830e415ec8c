//! Local evidence about one endpoint: whether it fails, how fast it answers, how often it may be asked again. Kept by each
//! worker for itself, and counted for the fleet. Never chooses; `pipeline/plan` does. Next rooms: `rolling` and `sheet`.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::Duration,
};

use domain::ids::OrgId;

use crate::{
    alarm::{Alarms, Tick},
    rolling::Rolling,
    sheet::Sheet,
};

/// Hard failures in a row after which an endpoint is left alone for a while.
const TRIP: u32 = 5;
/// The first while, and the longest.
const OPEN_SECONDS: u64 = 5;
const OPEN_SECONDS_MOST: u64 = 300;
/// Or the share of failures in the last half minute, in tenths, and the answers that are a measure of it.
const TRIP_TENTHS: u32 = 3;
const TRIP_TRIES: u32 = 20;
/// Slots of that half minute, and the seconds of one.
const SLOTS: usize = 3;
const SLOT_SECONDS: u32 = 10;
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
    lately: Cell<[Slot; SLOTS]>,
    /// When it may be tried again where others advise against it.
    probed_until: Cell<Tick>,
    /// Milliseconds to the first output, smoothed; 0 when unknown.
    first_output_ms: Cell<u64>,
    /// Output tokens a second, smoothed; 0 when unknown.
    speed: Cell<u64>,
    /// Repeats that the budget allows, in tenths: each request adds one, each second ten.
    repeats: Cell<u32>,
    repeats_at: Cell<u32>,
    seen: RefCell<Seen>,
    /// The same for the fleet.
    sheet: Arc<Sheet>,
}

/// How attempts ended in a few seconds.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// Which seconds, from the start of the clock.
    number: u32,
    tries: u32,
    failures: u32,
}

/// What was measured in the last minutes.
#[derive(Default)]
struct Seen {
    latency: Rolling,
    throughput: Rolling,
}

impl Health {
    /// Nothing is known yet; what comes is counted there as well.
    pub fn counted(sheet: Arc<Sheet>) -> Health {
        Health { sheet, ..Health::default() }
    }

    /// It is asked.
    pub fn asked(&self) {
        self.sheet.asked();
    }

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

    /// The same for one that this worker has nothing against, but others have: one request a second finds out.
    pub fn take_probe_for_others(&self, alarms: &Alarms) -> bool {
        let is_due = self.probed_until.get() == Tick::NEVER || alarms.is_past(self.probed_until.get());
        if self.is_aside() || self.is_shut(alarms) || !is_due {
            return false;
        }
        self.probed_until.set(alarms.at(PROBE_EVERY));
        true
    }

    /// An answer came.
    pub fn answered(&self, first_output_ms: u64, alarms: &Alarms) {
        self.sheet.answered(first_output_ms, self.failures.replace(0) > 0);
        // One answer among many failures opens nothing.
        if !self.note(false, alarms) {
            self.trips.set(0);
            self.shut_until.set(Tick::NEVER);
        }
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
            self.sheet.finished(speed);
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

    /// It had too much to do: that weighs, and says nothing more.
    pub fn overloaded(&self, org: Option<OrgId>) {
        self.sheet.overloaded(org);
    }

    /// It failed in a way that speaks against it, for a caller of this organisation.
    pub fn failed(&self, org: Option<OrgId>, alarms: &Alarms) {
        let failures = self.failures.get().saturating_add(1);
        self.failures.set(failures);
        self.sheet.failed(org, failures >= OUTAGE);
        if failures >= OUTAGE {
            self.aside_until.set(alarms.at(ASIDE));
        }
        let is_often = self.note(true, alarms);
        if (failures >= TRIP || is_often) && !self.is_shut(alarms) {
            let seconds = (OPEN_SECONDS << self.trips.get().min(16)).min(OPEN_SECONDS_MOST);
            self.trips.set(self.trips.get().saturating_add(1));
            self.shut_until.set(alarms.at(Duration::from_secs(seconds)));
        }
    }

    /// Counts how an attempt ended. Says whether too many of them failed lately.
    fn note(&self, fails: bool, alarms: &Alarms) -> bool {
        let number = alarms.seconds() / SLOT_SECONDS;
        let mut slots = self.lately.get();
        if let Some(slot) = slots.get_mut(number as usize % SLOTS) {
            if slot.number != number {
                *slot = Slot { number, ..Slot::default() };
            }
            slot.tries += 1;
            slot.failures += u32::from(fails);
        }
        self.lately.set(slots);
        let recent = slots.iter().filter(|slot| number - slot.number.min(number) < SLOTS as u32);
        let (tries, failures) =
            recent.fold((0, 0), |(tries, failures), slot| (tries + slot.tries, failures + slot.failures));
        tries >= TRIP_TRIES && failures * 10 > tries * TRIP_TENTHS
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
            health.failed(None, &alarms);
            assert!(!health.is_shut(&alarms));
        }
        health.failed(None, &alarms);
        assert!(health.is_shut(&alarms));
        health.answered(20, &alarms);
        assert!(!health.is_shut(&alarms));
        health.failed(None, &alarms);
        assert!(!health.is_shut(&alarms));
    }

    fn pass(alarms: &Alarms, time: Duration) {
        (0..=time.as_millis() / 100).for_each(|_| alarms.step());
    }

    #[test]
    fn one_that_fails_too_often_is_shut_even_if_it_answers_in_between() {
        let alarms = Alarms::new();
        let health = Health::default();
        let attempts = |failing: u32| {
            for at in 0..TRIP_TRIES {
                if at % 10 < failing { health.failed(None, &alarms) } else { health.answered(20, &alarms) }
            }
        };
        attempts(3);
        assert!(!health.is_shut(&alarms), "three of ten");
        pass(&alarms, Duration::from_secs(40));
        attempts(4);
        health.failed(None, &alarms);
        assert!(health.is_shut(&alarms));
        health.answered(20, &alarms);
        assert!(health.is_shut(&alarms), "one answer says little");
        pass(&alarms, Duration::from_secs(40));
        assert!(!health.is_shut(&alarms));
        health.failed(None, &alarms);
        assert!(!health.is_shut(&alarms), "what was long ago is forgotten");
    }

    #[test]
    fn one_failure_is_an_accident_and_two_are_an_outage() {
        let alarms = Alarms::new();
        let health = Health::default();
        health.failed(None, &alarms);
        assert!(!health.is_aside());
        health.failed(None, &alarms);
        assert!(health.is_aside() && !health.is_shut(&alarms));
        health.answered(20, &alarms);
        assert!(!health.is_aside());
    }

    #[test]
    fn after_an_outage_one_request_a_second_finds_out() {
        let alarms = Alarms::new();
        let health = Health::default();
        assert!(!health.take_probe(&alarms), "nothing is amiss");
        health.failed(None, &alarms);
        health.failed(None, &alarms);
        assert!(!health.take_probe(&alarms), "too soon");
        pass(&alarms, ASIDE);
        assert!(health.take_probe(&alarms) && !health.take_probe(&alarms));
        pass(&alarms, PROBE_EVERY);
        assert!(health.take_probe(&alarms));
        health.failed(None, &alarms);
        pass(&alarms, PROBE_EVERY);
        assert!(!health.take_probe(&alarms), "it failed again");
        (0..TRIP).for_each(|_| health.failed(None, &alarms));
        assert!(health.is_shut(&alarms));
        pass(&alarms, ASIDE);
        assert!(!health.is_shut(&alarms) && health.take_probe(&alarms));
    }

    #[test]
    fn what_others_advise_against_is_asked_once_a_second() {
        let alarms = Alarms::new();
        let health = Health::default();
        assert!(health.take_probe_for_others(&alarms) && !health.take_probe_for_others(&alarms));
        health.answered(20, &alarms);
        assert!(!health.take_probe_for_others(&alarms), "an answer is no reason to hurry");
        pass(&alarms, PROBE_EVERY);
        assert!(health.take_probe_for_others(&alarms));
        health.failed(None, &alarms);
        health.failed(None, &alarms);
        pass(&alarms, PROBE_EVERY);
        assert!(!health.take_probe_for_others(&alarms), "this worker has something against it itself");
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
