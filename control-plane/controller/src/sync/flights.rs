//! What is under way to one proxy: which delta carries which names, since when, and which revisions are complete once
//! urgent deltas are acknowledged. An urgent change is told to who waits for it at once; it does not wait for the bulk
//! lane to come to its revision.

use std::collections::{BTreeMap, HashMap};

use domain::ids::Revision;

use super::rows::Name;

/// Most revisions that are followed through the urgent lane; those beyond wait for the bulk lane.
const MOST_FOLLOWED: usize = 4_096;

/// One delta that was sent and not yet answered.
struct Flight {
    sent_ms: u64,
    names: Vec<Name>,
    /// A revision is named once for each of its changes in this delta.
    revisions: Vec<Revision>,
}

/// The deltas under way to one proxy.
#[derive(Default)]
pub struct Flights {
    flying: BTreeMap<u64, Flight>,
    /// Changes that are not yet acknowledged, of revisions that consist of urgent changes only.
    left: BTreeMap<Revision, usize>,
    /// Those of them that are not yet in a delta.
    waiting: HashMap<Name, Vec<Revision>>,
}

/// What an acknowledgement says.
pub struct Landed {
    pub names: Vec<Name>,
    /// Revisions whose every change is applied now.
    pub complete: Vec<Revision>,
}

impl Flights {
    /// Follows a revision that consists of urgent changes to `names` and nothing else.
    pub fn follow(&mut self, revision: Revision, names: &[Name]) {
        if self.left.len() >= MOST_FOLLOWED || names.is_empty() {
            return;
        }
        self.left.insert(revision, names.len());
        for name in names {
            self.waiting.entry(name.clone()).or_default().push(revision);
        }
    }

    /// A delta goes out.
    pub fn sent(&mut self, nonce: u64, urgent: bool, names: &[Name], now_ms: u64) {
        let mut revisions = Vec::new();
        if urgent {
            for name in names {
                revisions.extend(self.waiting.remove(name).unwrap_or_default());
            }
        }
        self.flying.insert(nonce, Flight { sent_ms: now_ms, names: names.to_vec(), revisions });
    }

    /// A delta was answered; `None` when it is not under way.
    pub fn answered(&mut self, nonce: u64, ok: bool) -> Option<Landed> {
        let flight = self.flying.remove(&nonce)?;
        let mut complete = Vec::new();
        for revision in flight.revisions {
            if !ok {
                // It will come again in another delta, which nobody here follows.
                self.left.remove(&revision);
            } else if let Some(left) = self.left.get_mut(&revision) {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.left.remove(&revision);
                    complete.push(revision);
                }
            }
        }
        Some(Landed { names: flight.names, complete })
    }

    /// The bulk lane has come to `revision`: nothing up to there needs to be followed.
    pub fn reached(&mut self, revision: Revision) {
        self.left = self.left.split_off(&Revision(revision.0.saturating_add(1)));
        if self.left.is_empty() {
            self.waiting.clear();
        }
    }

    /// How long the oldest delta has been under way, in milliseconds.
    pub fn oldest_ms(&self, now_ms: u64) -> u64 {
        self.flying.values().map(|flight| now_ms.saturating_sub(flight.sent_ms)).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use domain::snapshot::Kind;

    use super::*;

    fn key(name: &str) -> Name {
        (Kind::Key, name.to_owned())
    }

    #[test]
    fn a_revision_is_complete_when_its_last_urgent_change_is_acknowledged() {
        let mut flights = Flights::default();
        flights.follow(Revision(7), &[key("a"), key("b")]);
        flights.sent(1, true, &[key("a")], 10);
        flights.sent(2, true, &[key("b")], 20);
        assert_eq!(flights.oldest_ms(110), 100);
        assert!(flights.answered(1, true).is_some_and(|landed| landed.complete.is_empty()));
        assert_eq!(flights.answered(2, true).map(|landed| landed.complete), Some(vec![Revision(7)]));
        assert!(flights.answered(2, true).is_none());
        assert_eq!(flights.oldest_ms(1_000), 0);
    }

    #[test]
    fn a_refused_delta_completes_nothing() {
        let mut flights = Flights::default();
        flights.follow(Revision(7), &[key("a")]);
        flights.sent(1, true, &[key("a")], 0);
        assert!(flights.answered(1, false).is_some_and(|landed| landed.complete.is_empty()));
        flights.sent(2, true, &[key("a")], 0);
        assert!(flights.answered(2, true).is_some_and(|landed| landed.complete.is_empty()));
    }

    #[test]
    fn a_bulk_delta_with_the_name_does_not_count_as_the_urgent_one() {
        let mut flights = Flights::default();
        flights.follow(Revision(7), &[key("a")]);
        flights.sent(1, false, &[key("a")], 0);
        assert!(flights.answered(1, true).is_some_and(|landed| landed.complete.is_empty()));
        flights.reached(Revision(7));
        assert!(flights.left.is_empty() && flights.waiting.is_empty());
    }
}
