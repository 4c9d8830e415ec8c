//! A quantile over the last minutes: a histogram in slots of a minute each, the oldest of which is used again. Buckets grow
//! with their values, so that any value is right to about a tenth. Bounded: a few kilobytes once anything was seen.

use link::health::buckets::{BUCKETS, bucket, middle};

/// Slots, and the seconds of one.
const SLOTS: usize = 5;
const SLOT_SECONDS: u32 = 60;
/// What was seen in the last five minutes.
#[derive(Default)]
pub(crate) struct Rolling {
    slots: Vec<Slot>,
}

struct Slot {
    /// The minute it counts, from the start of the clock.
    minute: u32,
    counts: Box<[u16; BUCKETS]>,
}

impl Rolling {
    /// Counts a value.
    pub fn note(&mut self, value: u64, now_seconds: u32) {
        let minute = now_seconds / SLOT_SECONDS;
        let known = self.slots.iter().position(|slot| slot.minute == minute);
        let place = known.unwrap_or_else(|| self.begin(minute));
        let count = self.slots.get_mut(place).and_then(|slot| slot.counts.get_mut(bucket(value)));
        if let Some(count) = count {
            *count = count.saturating_add(1);
        }
    }

    /// The place of a new slot: one that is out of date, if there is one.
    fn begin(&mut self, minute: u32) -> usize {
        let fresh = Slot { minute, counts: Box::new([0; BUCKETS]) };
        let old = self.slots.iter().position(|slot| !is_recent(slot.minute, minute));
        match old.and_then(|place| self.slots.get_mut(place).map(|slot| (place, slot))) {
            Some((place, slot)) => {
                *slot = fresh;
                place
            }
            None => {
                self.slots.push(fresh);
                self.slots.len() - 1
            }
        }
    }

    /// The value that this share (from 0 to 1) of what was seen lately does not exceed; none when nothing was seen.
    pub fn quantile(&self, share: f64, now_seconds: u32) -> Option<u64> {
        let minute = now_seconds / SLOT_SECONDS;
        let recent = || self.slots.iter().filter(|slot| is_recent(slot.minute, minute));
        let at = |bucket: usize| -> u64 {
            recent().filter_map(|slot| slot.counts.get(bucket)).map(|count| u64::from(*count)).sum()
        };
        let all: u64 = (0..BUCKETS).map(at).sum();
        let wanted = ((all as f64 * share.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut sum = 0;
        (0..BUCKETS)
            .find(|bucket| {
                sum += at(*bucket);
                sum >= wanted
            })
            .map(middle)
    }
}

fn is_recent(minute: u32, now: u32) -> bool {
    now.checked_sub(minute).is_some_and(|age| (age as usize) < SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_tenth() {
        let mut rolling = Rolling::default();
        assert_eq!(rolling.quantile(0.5, 0), None);
        for value in 1..=1_000 {
            rolling.note(value, 30);
        }
        for (share, wanted) in [(0.01, 10.0), (0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (1.0, 1_000.0)] {
            let found = rolling.quantile(share, 59).unwrap() as f64;
            assert!((found - wanted).abs() <= wanted * 0.1, "{share}: {found}");
        }
    }

    #[test]
    fn what_is_old_is_forgotten_and_its_room_is_used_again() {
        let mut rolling = Rolling::default();
        for minute in 0..40 {
            rolling.note(u64::from(minute) + 1, minute * SLOT_SECONDS);
        }
        assert_eq!(rolling.slots.len(), SLOTS);
        let now = 39 * SLOT_SECONDS;
        assert!(rolling.quantile(0.0, now).is_some_and(|least| (33..=39).contains(&least)), "36 is the oldest");
        assert_eq!(rolling.quantile(1.0, now + 10 * SLOT_SECONDS), None);
    }
}
