//! Rows as messages, for the streams that name them. What the publisher loaded last is kept, so that many streams that
//! send the same change load it once.
//! Next room: `stream.rs`, which puts rows into frames.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::ids::Revision;
use domain::snapshot::{Change, Content, Kind};
use proto::sync as wire;
use store::Store;
use store::revisions::Named;

/// A resource's kind and name.
pub type Name = (Kind, String);

/// Most rows that are kept; beyond, all are forgotten and streams load for themselves.
const MOST: usize = 2_048;

/// The rows that were loaded last.
#[derive(Default)]
pub struct Rows {
    newest: Mutex<HashMap<Name, wire::Change>>,
}

impl Rows {
    /// Forgets what is about to be marked as changed, and keeps what was loaded since. Must come before the marks, or a
    /// stream could answer a mark with an older row.
    pub fn renew(&self, changed: &[Named], loaded: &[Change]) {
        let mut newest = self.lock();
        for named in changed {
            newest.remove(&(named.kind, named.name.clone()));
        }
        if newest.len() + loaded.len() > MOST {
            newest.clear();
        }
        for change in loaded.iter().take(MOST) {
            newest.insert(name_of(change), change.into());
        }
    }

    /// The present rows of `names`, in their order. What is not there is a removal, labelled `head`: a revision that
    /// was published before this call, so it is above whatever it removes and below whatever may bring it back.
    pub async fn load(&self, store: &Store, head: Revision, names: &[Name]) -> store::Result<Vec<wire::Change>> {
        let mut found = self.kept(names);
        let wanted: Vec<Named> = names
            .iter()
            .filter(|name| !found.contains_key(*name))
            .map(|(kind, name)| Named {
                revision: head,
                kind: *kind,
                name: name.clone(),
                urgent: false,
                removed: false,
            })
            .collect();
        if !wanted.is_empty() {
            for change in store::snapshot::load(store, &wanted).await? {
                found.insert(name_of(&change), (&change).into());
            }
        }
        let removed = |(kind, name): &Name| wire::Change::from(&Change::removed(head, *kind, name.clone()));
        Ok(names.iter().map(|name| found.remove(name).unwrap_or_else(|| removed(name))).collect())
    }

    fn kept(&self, names: &[Name]) -> HashMap<Name, wire::Change> {
        let newest = self.lock();
        names.iter().filter_map(|name| Some((name.clone(), newest.get(name)?.clone()))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, wire::Change>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a change is about; an addition is named by its content.
fn name_of(change: &Change) -> Name {
    match &change.content {
        Content::Upsert(resource) => (change.kind, resource.name()),
        Content::Removed | Content::Refused(_) => (change.kind, change.name.clone()),
    }
}
