//! What happens when: events in order of time, and the post that loses, doubles and delays.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::dice::Dice;

/// Events to come.
pub struct Agenda<E> {
    times: BinaryHeap<Reverse<(u64, u64)>>,
    events: HashMap<u64, E>,
    next: u64,
}

impl<E> Agenda<E> {
    pub fn new() -> Self {
        Agenda { times: BinaryHeap::new(), events: HashMap::new(), next: 0 }
    }

    pub fn at(&mut self, time_ms: u64, event: E) {
        self.next += 1;
        self.times.push(Reverse((time_ms, self.next)));
        self.events.insert(self.next, event);
    }

    pub fn pop(&mut self) -> Option<(u64, E)> {
        let Reverse((time, number)) = self.times.pop()?;
        Some((time, self.events.remove(&number).unwrap()))
    }
}

/// How bad the network is, in thousandths of messages.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    pub lost: u64,
    pub doubled: u64,
    /// Delayed by up to two seconds, so that others overtake.
    pub slow: u64,
}

impl Weather {
    /// When a message that is sent now arrives: never, once, or several times.
    pub fn arrivals(self, now_ms: u64, dice: &mut Dice) -> Vec<u64> {
        if dice.chance(self.lost) {
            return Vec::new();
        }
        let copies = 1 + u64::from(dice.chance(self.doubled));
        (0..copies)
            .map(|_| now_ms + if dice.chance(self.slow) { 5 + dice.below(2_000) } else { 1 + dice.below(3) })
            .collect()
    }
}
