//! The proxy's half of distribution: holds the snapshot and says what the next one is.
//!
//! Deltas are applied as they come; a base replaces everything, but only once it is complete and sane, and what came
//! meanwhile is applied on top. The revision never goes back, except by a base that was asked for with force. No
//! socket, no file: the caller swaps the snapshot in, writes the cache and acknowledges.

use std::collections::HashMap;

use domain::ids::Revision;
use domain::snapshot::{Change, Content, Kind, Refusal, Snapshot};

/// Above this many objects a replacement must not shrink by more than a fifth.
const SANE_FROM: usize = 1_000;

/// Changes from the controller.
#[derive(Debug, Clone)]
pub struct Delta {
    pub nonce: u64,
    /// Only takes rights away, and does not move the revision.
    pub urgent: bool,
    /// With this bulk delta everything up to here is known.
    pub to_revision: Revision,
    pub changes: Vec<Change>,
}

/// The answer to a delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    pub nonce: u64,
    /// Up to where everything is known.
    pub revision: Revision,
    /// Resources that took their denying form.
    pub refusals: Vec<Refusal>,
}

/// Why a base was not taken. The snapshot is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaseRefused {
    #[error("no base is being received")]
    NotBegun,
    #[error("a chunk or the whole does not fit its digest")]
    Digest,
    #[error("{received} objects came where {announced} were announced")]
    Incomplete { announced: u64, received: u64 },
    #[error("revision {offered} is older than {ours}")]
    Older { offered: Revision, ours: Revision },
    #[error("{after} {what} would replace {before}: more than a fifth would be lost")]
    Shrinks { what: &'static str, before: usize, after: usize },
}

/// A base in transfer.
struct Incoming {
    force: bool,
    received: u64,
    /// Thrown away unless everything fits in the end.
    built: Snapshot,
    refusals: Vec<Refusal>,
}

impl Incoming {
    fn take(&mut self, changes: Vec<Change>) {
        self.received += u64::try_from(changes.len()).unwrap_or(u64::MAX);
        // Chunk by chunk, so that a million keys are held once.
        self.refusals.extend(self.built.absorb(Revision::default(), changes));
    }
}

/// The newest change of each resource that came while a base was due, by kind and name.
type Newest = HashMap<(Kind, String), Change>;

/// The snapshot of one proxy and what it takes to get to the next.
pub struct Replica {
    snapshot: Snapshot,
    /// A base is due: until it is in, deltas are applied but do not move the revision.
    behind: bool,
    incoming: Option<Incoming>,
    meanwhile: Newest,
    /// The highest bulk revision that came meanwhile.
    meanwhile_revision: Revision,
    /// Removals that may be overtaken by older additions, until the revision has passed them.
    tombstones: HashMap<(Kind, String), Revision>,
}

impl Replica {
    /// A replica that starts from what it has: empty, or what the cache held.
    pub fn new(snapshot: Snapshot) -> Self {
        Replica {
            snapshot,
            behind: false,
            incoming: None,
            meanwhile: HashMap::new(),
            meanwhile_revision: Revision::default(),
            tombstones: HashMap::new(),
        }
    }

    /// The snapshot to serve from.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Whether changes are missing until a base is in.
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// Applies a delta. What was understood of it is in [`Replica::snapshot`] now; the rest is in its denying form.
    pub fn delta(&mut self, delta: Delta) -> Ack {
        let Delta { nonce, urgent, to_revision, mut changes } = delta;
        self.bury(&changes);
        changes.retain(|change| !self.is_buried(change));
        if self.behind {
            self.remember(&changes, urgent, to_revision);
        }
        let moves = !urgent && !self.behind;
        let revision = if moves { to_revision } else { self.snapshot.revision() };
        let (next, refusals) = self.snapshot.apply(revision, changes);
        self.snapshot = next;
        if moves {
            let reached = self.snapshot.revision();
            self.tombstones.retain(|_, removed| *removed > reached);
        }
        Ack { nonce, revision: self.snapshot.revision(), refusals }
    }

    /// A removal outlives additions that are older but come later.
    fn bury(&mut self, changes: &[Change]) {
        for change in changes.iter().filter(|change| !matches!(change.content, Content::Upsert(_))) {
            let removed = self.tombstones.entry((change.kind, change.name.clone())).or_default();
            *removed = change.revision.max(*removed);
        }
    }

    fn is_buried(&self, change: &Change) -> bool {
        if self.tombstones.is_empty() || !matches!(change.content, Content::Upsert(_)) {
            return false;
        }
        let name = (change.kind, name_of(change));
        self.tombstones.get(&name).is_some_and(|removed| *removed > change.revision)
    }

    fn remember(&mut self, changes: &[Change], urgent: bool, to_revision: Revision) {
        for change in changes {
            let slot = self.meanwhile.entry((change.kind, name_of(change))).or_insert_with(|| change.clone());
            if slot.revision <= change.revision {
                *slot = change.clone();
            }
        }
        if !urgent {
            self.meanwhile_revision = self.meanwhile_revision.max(to_revision);
        }
    }

    /// The controller says that changes are missing: a base must be fetched.
    pub fn resync(&mut self) {
        self.behind = true;
    }

    /// A base begins to arrive; one that was under way is dropped. `force` lets it be older or much smaller.
    pub fn base_begin(&mut self, force: bool) {
        self.behind = true;
        self.incoming = Some(Incoming { force, received: 0, built: Snapshot::default(), refusals: Vec::new() });
    }

    /// A chunk's changes. Without a base under way they are ignored.
    pub fn base_changes(&mut self, changes: Vec<Change>) {
        if let Some(incoming) = &mut self.incoming {
            incoming.take(changes);
        }
    }

    /// The transfer broke off; everything stays as it was.
    pub fn base_failed(&mut self) {
        self.incoming = None;
    }

    /// The base is complete: `objects` were announced, `digest_fits` says whether chunks and whole fit their digests.
    /// An empty base is a legal one: the last organisation may have been removed.
    pub fn base_end(
        &mut self,
        revision: Revision,
        objects: u64,
        digest_fits: bool,
    ) -> Result<Vec<Refusal>, BaseRefused> {
        let mut incoming = self.incoming.take().ok_or(BaseRefused::NotBegun)?;
        let (force, received) = (incoming.force, incoming.received);
        if !digest_fits {
            return Err(BaseRefused::Digest);
        }
        if received != objects {
            return Err(BaseRefused::Incomplete { announced: objects, received });
        }
        let ours = self.snapshot.revision();
        if revision < ours && !force {
            return Err(BaseRefused::Older { offered: revision, ours });
        }
        incoming.built.absorb(revision, Vec::new());
        let Incoming { built: base, mut refusals, .. } = incoming;
        if !force {
            self.check_sanity(&base)?;
        }
        let (next, more) = self.catch_up(base, force);
        refusals.extend(more);
        self.snapshot = next;
        self.behind = false;
        let reached = self.snapshot.revision();
        self.tombstones.retain(|_, removed| *removed > reached);
        Ok(refusals)
    }

    fn check_sanity(&self, base: &Snapshot) -> Result<(), BaseRefused> {
        let counts = [
            ("objects", self.snapshot.object_count(), base.object_count()),
            ("keys", self.snapshot.key_count(), base.key_count()),
        ];
        let shrinks = |(_, before, after): &(&str, usize, usize)| *before > SANE_FROM && *after < *before / 5 * 4;
        match counts.into_iter().find(shrinks) {
            Some((what, before, after)) => Err(BaseRefused::Shrinks { what, before, after }),
            None => Ok(()),
        }
    }

    /// Puts on top of the base what came after it.
    fn catch_up(&mut self, base: Snapshot, force: bool) -> (Snapshot, Vec<Refusal>) {
        let made_at = base.revision();
        let to_revision = std::mem::take(&mut self.meanwhile_revision).max(made_at);
        let mut newer: Vec<Change> =
            std::mem::take(&mut self.meanwhile).into_values().filter(|change| change.revision > made_at).collect();
        if force {
            // A forced base may go back in time; removals that it does not know of yet still stand.
            self.tombstones.retain(|_, removed| *removed > made_at);
        }
        let buried = self.tombstones.iter().filter(|(_, removed)| **removed > made_at);
        newer.extend(buried.map(|((kind, name), removed)| Change::removed(*removed, *kind, name.clone())));
        newer.sort_by_key(|change| (change.kind, change.revision));
        base.apply(to_revision, newer)
    }
}

/// A change's name; that of a key upsert is its digest, whatever the message called it.
fn name_of(change: &Change) -> String {
    match &change.content {
        Content::Upsert(resource) => resource.name(),
        Content::Removed | Content::Refused(_) => change.name.clone(),
    }
}

#[cfg(test)]
mod tests;
