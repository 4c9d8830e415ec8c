//! Everything a proxy knows at one revision: immutable, cheap to copy, changed only by applying changes.
//!
//! Rows may name others that are not there yet (a key before its organisation, an endpoint before its provider): they
//! are kept and count for nothing until the other arrives. A change that could not be understood puts its resource
//! into the denying form: a key is refused, anything else is absent.

mod catalogue;
mod change;
mod keys;

use std::collections::HashMap;
use std::sync::Arc;

pub use catalogue::{Catalogue, ModelEntry, Route};
pub use change::{Change, Content, KeyGrant, Kind, Refusal, Resource};
pub use keys::{KeyEntry, KeyTable};

use crate::ids::{OrgId, Revision};
use crate::keys::{Digest, Policy};
use crate::orgs::Org;
use crate::time::Timestamp;

/// All resources at one revision.
#[derive(Clone, Default)]
pub struct Snapshot {
    revision: Revision,
    catalogue: Arc<Catalogue>,
    orgs: Arc<Orgs>,
    policies: Arc<Policies>,
    keys: KeyTable,
}

/// Who a key belongs to and what it may do, borrowed from one snapshot.
pub struct Caller<'a> {
    pub key: KeyEntry,
    pub org: &'a Arc<Org>,
    pub policy: &'a Arc<Policy>,
}

/// Organisations in slots, so that a key needs four bytes to name its own. A slot without a row is an organisation
/// that some key named before it arrived, or that was removed.
#[derive(Clone, Default)]
struct Orgs {
    slots: Vec<(Revision, Option<Arc<Org>>)>,
    index: HashMap<OrgId, u32>,
}

impl Orgs {
    fn slot(&mut self, id: OrgId) -> u32 {
        *self.index.entry(id).or_insert_with(|| {
            self.slots.push((Revision::default(), None));
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        })
    }

    fn put(&mut self, id: OrgId, revision: Revision, org: Option<Arc<Org>>) {
        let slot = self.slot(id) as usize;
        if let Some(row) = self.slots.get_mut(slot).filter(|row| row.0 <= revision) {
            *row = (revision, org);
        }
    }

    fn get(&self, slot: u32) -> Option<&Arc<Org>> {
        self.slots.get(slot as usize).and_then(|row| row.1.as_ref())
    }
}

/// Policies in slots: many keys share one.
#[derive(Clone, Default)]
struct Policies {
    slots: Vec<Arc<Policy>>,
    index: HashMap<Arc<Policy>, u32>,
}

impl Policies {
    fn slot(&mut self, policy: &Policy) -> u32 {
        if let Some(slot) = self.index.get(policy) {
            return *slot;
        }
        let shared = Arc::new(policy.clone());
        let slot = u32::try_from(self.slots.len()).unwrap_or(keys::DENIED - 1).min(keys::DENIED - 1);
        self.slots.push(shared.clone());
        self.index.insert(shared, slot);
        slot
    }
}

impl Snapshot {
    /// The revision up to which all changes are in.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Models, endpoints and providers.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// How many keys are known.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// How many objects of every kind are known, for judging whether a replacement is sane.
    pub fn object_count(&self) -> usize {
        self.keys.len() + self.orgs.slots.iter().filter(|row| row.1.is_some()).count() + self.catalogue.len()
    }

    /// The organisation with this id.
    pub fn org(&self, id: OrgId) -> Option<&Arc<Org>> {
        self.orgs.index.get(&id).and_then(|slot| self.orgs.get(*slot))
    }

    /// Who this digest belongs to: none for unknown, revoked, denied and expired keys and for keys whose organisation
    /// is not there.
    pub fn caller(&self, digest: &Digest, now: Timestamp) -> Option<Caller<'_>> {
        let key = *self.keys.get(digest)?;
        if key.is_denied() || key.expires_at() <= now {
            return None;
        }
        let org = self.orgs.get(key.org_slot)?;
        let policy = self.policies.slots.get(key.policy_slot as usize)?;
        (policy.unknown_restrictions == 0).then_some(Caller { key, org, policy })
    }

    /// The snapshot after `changes`, at `revision`. Changes older than what a resource already carries are ignored.
    pub fn apply(&self, revision: Revision, changes: Vec<Change>) -> (Snapshot, Vec<Refusal>) {
        let mut next = self.clone();
        let refusals = next.absorb(revision, changes);
        (next, refusals)
    }

    /// The same on the spot, for a snapshot that is still being built: what nobody else holds is not copied.
    pub fn absorb(&mut self, revision: Revision, changes: Vec<Change>) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        let mut catalogue_changes = Vec::new();
        let mut key_changes = Vec::new();
        for change in changes {
            if let Content::Refused(reason) = &change.content {
                refusals.push(Refusal { kind: change.kind, name: change.name.clone(), reason: reason.clone() });
            }
            match change.kind {
                Kind::Provider | Kind::Model | Kind::Endpoint => catalogue_changes.push(change),
                Kind::Org => self.apply_org(change),
                Kind::Key => key_changes.extend(self.key_change(change)),
            }
        }
        if !catalogue_changes.is_empty() {
            Arc::make_mut(&mut self.catalogue).apply(catalogue_changes);
        }
        self.keys.apply(key_changes);
        self.revision = self.revision.max(revision);
        refusals
    }

    fn apply_org(&mut self, change: Change) {
        let orgs = Arc::make_mut(&mut self.orgs);
        match change.content {
            Content::Upsert(Resource::Org(org)) => orgs.put(org.id, change.revision, Some(Arc::new(org))),
            Content::Upsert(_) => {}
            Content::Removed | Content::Refused(_) => {
                if let Ok(id) = change.name.parse() {
                    orgs.put(id, change.revision, None);
                }
            }
        }
    }

    fn key_change(&mut self, change: Change) -> Option<keys::KeyChange> {
        let revision = change.revision;
        match change.content {
            Content::Upsert(Resource::Key(grant)) => {
                let org_slot = match self.orgs.index.get(&grant.org) {
                    Some(slot) => *slot,
                    None => Arc::make_mut(&mut self.orgs).slot(grant.org),
                };
                let policy_slot = match self.policies.index.get(&grant.policy) {
                    Some(slot) => *slot,
                    None => Arc::make_mut(&mut self.policies).slot(&grant.policy),
                };
                Some(keys::KeyChange::Put(KeyEntry::new(&grant, org_slot, policy_slot, revision)))
            }
            Content::Upsert(_) => None,
            Content::Removed => Digest::parse_hex(&change.name).map(|digest| keys::KeyChange::Remove(digest, revision)),
            Content::Refused(_) => {
                Digest::parse_hex(&change.name).map(|digest| keys::KeyChange::Deny(digest, revision))
            }
        }
    }

    /// Everything as changes in the order of publication: what a cache writes and a test compares.
    pub fn changes(&self) -> impl Iterator<Item = Change> + '_ {
        self.catalogue.changes().chain(self.org_changes()).chain(self.key_changes())
    }

    fn org_changes(&self) -> impl Iterator<Item = Change> + '_ {
        self.orgs.slots.iter().filter_map(|(revision, org)| {
            org.as_ref().map(|org| Change::upsert(*revision, Resource::Org(org.as_ref().clone())))
        })
    }

    fn key_changes(&self) -> impl Iterator<Item = Change> + '_ {
        let org_ids: Vec<OrgId> = {
            let mut ids = vec![OrgId::from_u128(0); self.orgs.slots.len()];
            for (id, slot) in &self.orgs.index {
                if let Some(place) = ids.get_mut(*slot as usize) {
                    *place = *id;
                }
            }
            ids
        };
        self.keys.iter().filter_map(move |entry| {
            if entry.is_denied() {
                let content = Content::Refused("kept in its denying form".to_owned());
                return Some(Change {
                    revision: entry.revision(),
                    kind: Kind::Key,
                    name: entry.digest().to_string(),
                    content,
                });
            }
            let org = *org_ids.get(entry.org_slot as usize)?;
            let policy = self.policies.slots.get(entry.policy_slot as usize)?.as_ref().clone();
            let expires_at = entry.expiry();
            let grant = KeyGrant { digest: *entry.digest(), id: entry.id(), org, policy, expires_at };
            Some(Change::upsert(entry.revision(), Resource::Key(grant)))
        })
    }
}

#[cfg(test)]
mod tests;
