//! Usage records on their way to the books, both halves: what a proxy sends next, and which of it is new to the
//! controller. Sequences count from 1 within a boot epoch and have no gaps; the high-water mark is the last booked one
//! and moves in the transaction that books. The records themselves are in the spool and in the store.

/// The most records in one batch.
pub const BATCH: usize = 1_000;

/// The most that one request is charged, in nano-USD: a million dollars. More is somebody's mistake, and sums of it
/// would soon not fit; both halves cut a charge here, so that they agree.
pub const MOST_COST: i64 = 1_000_000 * 1_000_000_000;

/// What the controller does with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    /// Leave out the first `skip` records, they are booked; take the rest (there may be none).
    Take { skip: usize },
    /// Records before this batch are missing: take nothing, the answer names the mark, the proxy starts behind it.
    Gap { wanted: u64 },
}

/// Which records of a batch are new, for a proxy's epoch whose high-water mark is given.
pub fn accept(high_water_mark: u64, first_sequence: u64, len: usize) -> Accept {
    let wanted = high_water_mark.saturating_add(1);
    if first_sequence > wanted {
        return Accept::Gap { wanted };
    }
    let skip = usize::try_from(wanted - first_sequence).unwrap_or(usize::MAX);
    Accept::Take { skip: skip.min(len) }
}

/// A run of records to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub first: u64,
    pub len: usize,
}

/// A proxy's account of what has been written, sent and booked in one epoch.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    synced: u64,
    acknowledged: u64,
    under_way: bool,
}

impl Outbox {
    /// An outbox whose records up to `acknowledged` are booked already (0 for a new epoch).
    pub fn new(acknowledged: u64) -> Self {
        Outbox { synced: acknowledged, acknowledged, under_way: false }
    }

    /// Everything up to `sequence` is safe on disk. Only such records are ever sent: a crash must not un-happen what
    /// the books know.
    pub fn synced(&mut self, sequence: u64) {
        self.synced = self.synced.max(sequence);
    }

    /// The next batch, unless one is under way or there is nothing.
    #[expect(clippy::should_implement_trait, reason = "what comes next depends on answers; nobody iterates over it")]
    pub fn next(&mut self) -> Option<Span> {
        if self.under_way || self.is_empty() {
            return None;
        }
        self.under_way = true;
        let left = usize::try_from(self.synced - self.acknowledged).unwrap_or(usize::MAX);
        Some(Span { first: self.acknowledged + 1, len: left.min(BATCH) })
    }

    /// The controller's mark. It may go back when its database was restored: then records are sent again, as far as
    /// the spool still has them. A mark beyond what was sent is not believed.
    pub fn answered(&mut self, high_water_mark: u64) {
        self.under_way = false;
        if high_water_mark <= self.synced {
            self.acknowledged = high_water_mark;
        }
    }

    /// The batch under way could not be brought: it is sent again.
    pub fn lost(&mut self) {
        self.under_way = false;
    }

    /// Records up to here are safe on disk.
    pub fn synced_to(&self) -> u64 {
        self.synced
    }

    /// Records up to here may be forgotten, some time.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Whether everything that is safe is booked.
    pub fn is_empty(&self) -> bool {
        self.acknowledged >= self.synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_synced_records_are_sent_one_batch_at_a_time() {
        let mut outbox = Outbox::new(0);
        assert_eq!(outbox.next(), None);
        outbox.synced(1_500);
        assert_eq!(outbox.next(), Some(Span { first: 1, len: 1_000 }));
        assert_eq!(outbox.next(), None);
        outbox.lost();
        assert_eq!(outbox.next(), Some(Span { first: 1, len: 1_000 }));
        outbox.answered(1_000);
        assert_eq!(outbox.next(), Some(Span { first: 1_001, len: 500 }));
        outbox.answered(1_500);
        assert!(outbox.is_empty());
        assert_eq!(outbox.next(), None);
    }

    #[test]
    fn a_restored_controller_gets_what_it_lost() {
        let mut outbox = Outbox::new(0);
        outbox.synced(10);
        outbox.next();
        outbox.answered(10);
        outbox.synced(12);
        outbox.next();
        outbox.answered(4);
        assert_eq!(outbox.next(), Some(Span { first: 5, len: 8 }));
        outbox.answered(99);
        assert_eq!(outbox.acknowledged(), 4, "a mark beyond what exists is not believed");
    }

    proptest! {
        #[test]
        fn every_record_is_booked_once_whatever_is_lost_or_doubled(fates in prop::collection::vec(0u8..4, 1..200)) {
            let (mut outbox, mut mark) = (Outbox::new(0), 0u64);
            let mut booked = Vec::new();
            let mut doubled: Option<Span> = None;
            let mut book = |span: Span, mark: &mut u64| {
                if let Accept::Take { skip } = accept(*mark, span.first, span.len) {
                    let new = (span.first..).take(span.len).skip(skip);
                    booked.extend(new);
                    *mark = (*mark).max(span.first + span.len as u64 - 1);
                }
            };
            for (step, fate) in fates.iter().enumerate() {
                outbox.synced(step as u64 * 700);
                if let Some(old) = doubled.take() {
                    book(old, &mut mark);
                }
                let Some(span) = outbox.next() else { continue };
                match fate {
                    0 => outbox.lost(),
                    1 => {
                        book(span, &mut mark);
                        outbox.lost();
                    }
                    2 => {
                        book(span, &mut mark);
                        doubled = Some(span);
                        outbox.answered(mark);
                    }
                    _ => {
                        book(span, &mut mark);
                        outbox.answered(mark);
                    }
                }
            }
            while let Some(span) = outbox.next() {
                book(span, &mut mark);
                outbox.answered(mark);
            }
            prop_assert_eq!(booked, (1..=(fates.len() as u64 - 1) * 700).collect::<Vec<_>>());
        }

        #[test]
        fn a_gap_is_never_taken(mark in 0u64..50, first in 1u64..100, len in 0usize..60) {
            match accept(mark, first, len) {
                Accept::Gap { wanted } => prop_assert!(first > wanted && wanted == mark + 1),
                Accept::Take { skip } => prop_assert!(skip == len || first + skip as u64 == mark + 1),
            }
        }
    }
}
