//! The controller's half of distribution, one feed per proxy and stream: which resources a proxy has not been told of.
//!
//! A set of names, never a queue: a slow proxy costs memory for distinct names only and gets the newest value once.
//! Urgent names leave at once and never wait behind bulk. The feed knows no row and no wire; the publisher loads what
//! the names stand for when a frame is made (a name without a row was removed). Next room: `replica`, at the far end.

use std::collections::BTreeSet;

use domain::ids::Revision;
use domain::snapshot::Kind;

/// Bulk changes wait until none has come for this long …
pub const QUIET_MS: u64 = 50;
/// … but never longer than this.
pub const BULK_MAX_MS: u64 = 500;
/// The most names in one frame.
pub const FRAME: usize = 256;
/// Bulk frames that may be unacknowledged.
const BULK_UNDER_WAY: usize = 2;
/// Urgent frames that may be unacknowledged; beyond it names stay in the set.
const URGENT_UNDER_WAY: usize = 8;
/// A proxy that has not acknowledged a frame for this long starts over from a base.
const LAG_MS: u64 = 60_000;
/// A proxy that has more names to hear of than this starts over from a base.
pub const DIRTY_MAX: usize = 100_000;

/// Something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Load these resources and send them under this nonce.
    Delta {
        nonce: u64,
        urgent: bool,
        /// Bulk: with this frame the proxy knows everything up to here. Urgent frames repeat the last one.
        to_revision: Revision,
        /// In the order of publication; removals of a frame are sent in the opposite order.
        names: Vec<(Kind, String)>,
    },
    /// The proxy must fetch a base; changes after this revision keep coming as deltas.
    Resync { revision: Revision },
}

/// Which lane a frame under way is on.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    nonce: u64,
    urgent: bool,
    sent_at: u64,
}

/// What one proxy has not been told of.
#[derive(Debug)]
pub struct Feed {
    urgent: BTreeSet<(Kind, String)>,
    bulk: BTreeSet<(Kind, String)>,
    /// The newest revision that was marked.
    head: Revision,
    /// Up to where the frames made so far tell everything.
    told: Revision,
    /// When the first and the last unsent bulk change came.
    bulk_since: Option<(u64, u64)>,
    under_way: Vec<UnderWay>,
    nonce: u64,
    resync: bool,
}

impl Feed {
    /// The feed of a proxy that knows everything up to `have`. A proxy that knows nothing, or too little for the change
    /// log, is told to [`Feed::resync`] next.
    pub fn new(have: Revision) -> Self {
        Feed {
            urgent: BTreeSet::new(),
            bulk: BTreeSet::new(),
            head: have,
            told: have,
            bulk_since: None,
            under_way: Vec::new(),
            nonce: 0,
            resync: false,
        }
    }

    /// A resource changed at `revision`. Urgent are changes that only take rights away.
    pub fn mark(&mut self, revision: Revision, kind: Kind, name: impl Into<String>, urgent: bool, now_ms: u64) {
        self.advance(revision, now_ms);
        let name = (kind, name.into());
        if urgent {
            self.bulk.remove(&name);
            self.urgent.insert(name);
        } else if !self.urgent.contains(&name) {
            self.bulk.insert(name);
            self.wait_for_quiet(now_ms);
        }
        if self.urgent.len() + self.bulk.len() > DIRTY_MAX {
            self.start_over();
        }
    }

    /// Revisions up to here changed nothing that proxies know beyond what was marked.
    pub fn advance(&mut self, revision: Revision, now_ms: u64) {
        if revision > self.head {
            self.head = revision;
        }
        if self.head > self.told && self.bulk_since.is_none() {
            self.wait_for_quiet(now_ms);
        }
    }

    fn wait_for_quiet(&mut self, now_ms: u64) {
        let first = self.bulk_since.map_or(now_ms, |(first, _)| first);
        self.bulk_since = Some((first, now_ms));
    }

    /// The proxy must start over: it is new, its log is gone, or it refused a frame as a whole. `head` is the newest
    /// revision that is published; everything up to it comes with the base.
    pub fn resync(&mut self, head: Revision) {
        self.head = self.head.max(head);
        self.start_over();
    }

    fn start_over(&mut self) {
        self.urgent.clear();
        self.bulk.clear();
        self.bulk_since = None;
        self.under_way.clear();
        self.told = self.head;
        self.resync = true;
    }

    /// What to send now. To be called after every mark and acknowledgement and at [`Feed::next_wake`].
    pub fn next(&mut self, now_ms: u64) -> Vec<Frame> {
        if self.is_stuck(now_ms) {
            self.start_over();
        }
        let mut frames = Vec::new();
        if std::mem::take(&mut self.resync) {
            frames.push(Frame::Resync { revision: self.head });
        }
        while !self.urgent.is_empty() && self.count(true) < URGENT_UNDER_WAY {
            let names = take_first(&mut self.urgent);
            frames.push(self.frame(true, names, now_ms));
        }
        // A bulk frame says "everything up to here", so nothing urgent may be left behind it.
        while self.urgent.is_empty() && self.is_bulk_due(now_ms) && self.count(false) < BULK_UNDER_WAY {
            let names = take_first(&mut self.bulk);
            if self.bulk.is_empty() {
                self.told = self.head;
                self.bulk_since = None;
            }
            frames.push(self.frame(false, names, now_ms));
        }
        frames
    }

    fn frame(&mut self, urgent: bool, names: Vec<(Kind, String)>, now_ms: u64) -> Frame {
        self.nonce += 1;
        self.under_way.push(UnderWay { nonce: self.nonce, urgent, sent_at: now_ms });
        Frame::Delta { nonce: self.nonce, urgent, to_revision: self.told, names }
    }

    fn count(&self, urgent: bool) -> usize {
        self.under_way.iter().filter(|frame| frame.urgent == urgent).count()
    }

    fn bulk_due_at(&self) -> Option<u64> {
        self.bulk_since.map(|(first, last)| last.saturating_add(QUIET_MS).min(first.saturating_add(BULK_MAX_MS)))
    }

    fn is_bulk_due(&self, now_ms: u64) -> bool {
        self.bulk_due_at().is_some_and(|at| at <= now_ms)
    }

    fn is_stuck(&self, now_ms: u64) -> bool {
        self.under_way.iter().any(|frame| now_ms.saturating_sub(frame.sent_at) >= LAG_MS)
    }

    /// The proxy has answered a frame; `applied` is false when it refused it as a whole.
    pub fn acked(&mut self, nonce: u64, applied: bool) {
        let known = self.under_way.iter().any(|frame| frame.nonce == nonce);
        self.under_way.retain(|frame| frame.nonce != nonce);
        if known && !applied {
            self.start_over();
        }
    }

    /// When [`Feed::next`] has something to do without anything else happening.
    pub fn next_wake(&self) -> Option<u64> {
        let bulk = self.bulk_due_at().filter(|_| self.urgent.is_empty() && self.count(false) < BULK_UNDER_WAY);
        let stuck = self.under_way.iter().map(|frame| frame.sent_at.saturating_add(LAG_MS)).min();
        let resync = self.resync.then_some(0);
        let urgent = (!self.urgent.is_empty() && self.count(true) < URGENT_UNDER_WAY).then_some(0);
        [bulk, stuck, resync, urgent].into_iter().flatten().min()
    }

    /// Names that have not been sent.
    pub fn dirty(&self) -> usize {
        self.urgent.len() + self.bulk.len()
    }
}

fn take_first(names: &mut BTreeSet<(Kind, String)>) -> Vec<(Kind, String)> {
    std::iter::from_fn(|| names.pop_first()).take(FRAME).collect()
}

#[cfg(test)]
mod tests;
