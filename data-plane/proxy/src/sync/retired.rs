//! Snapshots that were replaced, kept here until nobody else holds them: freeing a large one takes milliseconds, which
//! must not fall on a worker.

use std::sync::Arc;

use domain::snapshot::Snapshot;

/// More than these are let go whoever holds them: a worker that stands still must not keep every revision alive.
const KEPT: usize = 10_000;

/// See the module's head.
#[derive(Default)]
pub(super) struct Retired(std::collections::VecDeque<Arc<Snapshot>>);

impl Retired {
    /// Takes in a snapshot that was replaced.
    pub(super) fn push(&mut self, snapshot: Arc<Snapshot>) {
        self.0.push_back(snapshot);
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    /// Frees what nobody else holds.
    pub(super) fn sweep(&mut self) {
        self.0.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
