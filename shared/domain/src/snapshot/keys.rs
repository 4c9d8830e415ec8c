//! A million keys in 72 bytes each: sorted shards, copied only where a change falls.

use std::sync::Arc;

use super::KeyGrant;
use crate::ids::{KeyId, Revision};
use crate::keys::Digest;
use crate::time::Timestamp;

const SHARDS: usize = 1024;
/// The policy slot of a key in its denying form.
pub(super) const DENIED: u32 = u32::MAX;

/// One key, packed.
#[derive(Debug, Clone, Copy)]
pub struct KeyEntry {
    digest: Digest,
    id: [u64; 2],
    revision: u64,
    /// Unix microseconds; `i64::MAX` never.
    expires_at: i64,
    pub(super) org_slot: u32,
    pub(super) policy_slot: u32,
}

impl KeyEntry {
    pub(super) fn new(grant: &KeyGrant, org_slot: u32, policy_slot: u32, revision: Revision) -> Self {
        let id = grant.id.to_u128();
        KeyEntry {
            digest: grant.digest,
            id: [(id >> 64) as u64, id as u64],
            revision: revision.0,
            expires_at: grant.expires_at.map_or(i64::MAX, Timestamp::us),
            org_slot,
            policy_slot,
        }
    }

    fn denied(digest: Digest, revision: Revision) -> Self {
        KeyEntry { digest, id: [0; 2], revision: revision.0, expires_at: 0, org_slot: u32::MAX, policy_slot: DENIED }
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        KeyId::from_u128((u128::from(self.id[0]) << 64) | u128::from(self.id[1]))
    }

    /// The key's digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The revision of the last change to this key.
    pub fn revision(&self) -> Revision {
        Revision(self.revision)
    }

    /// When the key stops working; the end of time when never.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_us(self.expires_at)
    }

    /// When the key stops working, if ever.
    pub fn expiry(&self) -> Option<Timestamp> {
        (self.expires_at != i64::MAX).then(|| self.expires_at())
    }

    /// Whether the key is refused because its last change was not understood.
    pub fn is_denied(&self) -> bool {
        self.policy_slot == DENIED
    }
}

pub(super) enum KeyChange {
    Put(KeyEntry),
    Remove(Digest, Revision),
    Deny(Digest, Revision),
}

impl KeyChange {
    fn digest(&self) -> &Digest {
        match self {
            KeyChange::Put(entry) => &entry.digest,
            KeyChange::Remove(digest, _) | KeyChange::Deny(digest, _) => digest,
        }
    }
}

type Shard = Vec<KeyEntry>;

/// Keys by digest.
#[derive(Clone)]
pub struct KeyTable {
    shards: Arc<[Arc<Shard>]>,
    len: usize,
}

impl Default for KeyTable {
    fn default() -> Self {
        let empty = Arc::new(Shard::new());
        KeyTable { shards: (0..SHARDS).map(|_| empty.clone()).collect(), len: 0 }
    }
}

fn shard_of(digest: &Digest) -> usize {
    let [a, b, ..] = digest.as_bytes();
    (usize::from(*a) << 2) | usize::from(*b >> 6)
}

/// Where in a shard a digest should stand: digests are uniform, so the next 32 bits name the place almost exactly.
fn guess(digest: &Digest, len: usize) -> usize {
    let [_, b, c, d, e, f, ..] = digest.as_bytes();
    let bits = (u64::from(*b & 0x3f) << 32)
        | (u64::from(*c) << 24)
        | (u64::from(*d) << 16)
        | (u64::from(*e) << 8)
        | u64::from(*f);
    usize::try_from((u128::from(bits) * len as u128) >> 38).unwrap_or(0).min(len.saturating_sub(1))
}

fn find(shard: &[KeyEntry], digest: &Digest) -> Result<usize, usize> {
    if shard.is_empty() {
        return Err(0);
    }
    let start = guess(digest, shard.len());
    let before = |at: usize| shard.get(at).is_some_and(|entry| entry.digest < *digest);
    // Gallop from the guess to a window that must hold the digest, then halve it.
    let (mut low, mut high, mut step) = (start, start, 1usize);
    if before(start) {
        while high < shard.len() && before(high) {
            low = high;
            high = high.saturating_add(step);
            step *= 2;
        }
    } else {
        while low > 0 && !before(low) {
            high = low + 1;
            low = low.saturating_sub(step);
            step *= 2;
        }
        high = high.max(low + 1);
    }
    let high = high.min(shard.len());
    let window = shard.get(low..high).unwrap_or(&[]);
    match window.binary_search_by(|entry| entry.digest.cmp(digest)) {
        Ok(at) => Ok(low + at),
        Err(_) => shard.binary_search_by(|entry| entry.digest.cmp(digest)),
    }
}

impl KeyTable {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The key with this digest.
    pub fn get(&self, digest: &Digest) -> Option<&KeyEntry> {
        let shard = self.shards.get(shard_of(digest))?;
        find(shard, digest).ok().and_then(|at| shard.get(at))
    }

    /// Every key, sorted by digest.
    pub fn iter(&self) -> impl Iterator<Item = &KeyEntry> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    pub(super) fn apply(&mut self, changes: Vec<KeyChange>) {
        if changes.is_empty() {
            return;
        }
        // The list of shards is copied once per batch, a shard once per batch that touches it.
        let mut shards: Vec<Arc<Shard>> = self.shards.to_vec();
        self.shards = Arc::from([]);
        for change in changes {
            let Some(shared) = shards.get_mut(shard_of(change.digest())) else { continue };
            let shard = Arc::make_mut(shared);
            let before = shard.len();
            change_shard(shard, change);
            self.len = self.len + shard.len() - before;
        }
        self.shards = shards.into();
    }
}

fn change_shard(shard: &mut Shard, change: KeyChange) {
    // Whole snapshots come sorted, so most additions belong at the end.
    let digest = *change.digest();
    let place = match shard.last() {
        Some(last) if last.digest < digest => Err(shard.len()),
        None => Err(0),
        Some(_) => find(shard, &digest),
    };
    let entry = match change {
        KeyChange::Put(entry) => Some(entry),
        KeyChange::Deny(digest, revision) => Some(KeyEntry::denied(digest, revision)),
        KeyChange::Remove(_, revision) => {
            if let Ok(at) = place
                && shard.get(at).is_some_and(|old| old.revision <= revision.0)
            {
                shard.remove(at);
            }
            None
        }
    };
    match (entry, place) {
        (Some(entry), Ok(at)) => {
            if let Some(old) = shard.get_mut(at).filter(|old| old.revision <= entry.revision) {
                *old = entry;
            }
        }
        (Some(entry), Err(at)) => shard.insert(at, entry),
        (None, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_72_bytes() {
        assert_eq!(size_of::<KeyEntry>(), 72);
    }

    #[test]
    fn every_key_is_found_and_no_other() {
        let entry = |n: u32| KeyEntry::denied(Digest::of(&format!("key {n}")), Revision(1));
        let mut table = KeyTable::default();
        table.apply((0..20_000).map(|n| KeyChange::Put(entry(n))).collect());
        assert_eq!(table.len(), 20_000);
        for n in 0..20_000 {
            assert!(table.get(&Digest::of(&format!("key {n}"))).is_some(), "{n}");
            assert!(table.get(&Digest::of(&format!("no key {n}"))).is_none(), "{n}");
        }
        let sorted = table.iter().map(|entry| *entry.digest()).collect::<Vec<_>>();
        assert!(sorted.is_sorted());
        table.apply((0..10_000).map(|n| KeyChange::Remove(Digest::of(&format!("key {n}")), Revision(2))).collect());
        assert_eq!(table.len(), 10_000);
    }
}
