//! How many requests of one worker may be under way at a provider's account. Nobody counts until the provider is
//! overloaded; then there are fewer places than were taken, and one more each time that all of them were served.
//! Pure: the time is handed in. Next room: `fair`.

use std::cell::Cell;

/// There are never fewer: a provider that is overloaded by so few of ours is overloaded by others.
const LEAST: u32 = 8;
/// Milliseconds between two cuts: answers to what was sent before the first say nothing new.
const CUT_EVERY_MS: u64 = 1_000;

/// The places at one account.
#[derive(Default)]
pub(super) struct Places {
    taken: Cell<u32>,
    /// None while nobody counts.
    most: Cell<Option<u32>>,
    served: Cell<u32>,
    cut_at: Cell<Option<u64>>,
}

impl Places {
    pub fn has_room(&self) -> bool {
        self.most.get().is_none_or(|most| self.taken.get() < most)
    }

    pub fn enter(&self) {
        self.taken.set(self.taken.get().saturating_add(1));
    }

    pub fn leave(&self) {
        self.taken.set(self.taken.get().saturating_sub(1));
    }

    /// A request was answered.
    pub fn answered(&self) {
        let Some(most) = self.most.get() else { return };
        let served = self.served.get().saturating_add(1);
        if served < most {
            return self.served.set(served);
        }
        self.served.set(0);
        let is_ample = most >= self.taken.get().saturating_mul(4).max(4 * LEAST);
        self.most.set(if is_ample { None } else { Some(most + 1) });
    }

    /// The provider says that it has too much to do, or does not begin to answer.
    pub fn overloaded(&self, now_ms: u64) {
        if self.cut_at.get().is_some_and(|cut_at| now_ms.saturating_sub(cut_at) < CUT_EVERY_MS) {
            return;
        }
        self.cut_at.set(Some(now_ms));
        self.served.set(0);
        let present = self.most.get().map_or(self.taken.get(), |most| most.min(self.taken.get()));
        self.most.set(Some((present.saturating_mul(7) / 10).max(LEAST)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(places: &Places) -> u32 {
        let mut count = 0;
        while places.has_room() && count < 1_000 {
            places.enter();
            count += 1;
        }
        count
    }

    fn empty(places: &Places) {
        while places.taken.get() > 0 {
            places.leave();
        }
    }

    #[test]
    fn nobody_counts_until_there_is_too_much_to_do() {
        let places = Places::default();
        assert_eq!(fill(&places), 1_000);
        places.overloaded(5);
        assert_eq!(places.most.get(), Some(700));
        places.overloaded(900);
        assert_eq!(places.most.get(), Some(700), "the same overload");
        empty(&places);
        assert_eq!(fill(&places), 700);
        places.overloaded(1_005);
        assert_eq!(places.most.get(), Some(490));
    }

    #[test]
    fn places_come_back_one_by_one_and_end_uncounted() {
        let places = Places::default();
        (0..100).for_each(|_| places.enter());
        places.overloaded(0);
        let most = places.most.get().unwrap();
        (0..most).for_each(|_| places.answered());
        assert_eq!(places.most.get(), Some(most + 1));
        empty(&places);
        (0..10 * most).for_each(|_| places.answered());
        assert_eq!(places.most.get(), None, "nobody needs them");
    }

    #[test]
    fn a_few_are_always_let_in() {
        let places = Places::default();
        for at in 0..50 {
            places.overloaded(at * CUT_EVERY_MS);
        }
        assert_eq!(places.most.get(), Some(LEAST));
    }
}
