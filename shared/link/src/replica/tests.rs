use super::*;
use domain::ids::{KeyId, OrgId, PlanId};
use domain::keys::{Digest, Policy};
use domain::orgs::{BillingMode, Org};
use domain::snapshot::{KeyGrant, Resource};
use domain::time::Timestamp;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_us(5);

fn org(n: u128) -> Resource {
    Resource::Org(Org {
        id: OrgId::new(1, n),
        slug: None,
        name: format!("org {n}"),
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        frozen: false,
        created_at: NOW,
        routing: None,
        names: None,
    })
}

fn digest(n: u32) -> Digest {
    Digest::of(&n.to_string())
}

fn key(n: u32) -> Resource {
    let policy = Policy::default();
    Resource::Key(KeyGrant {
        digest: digest(n),
        id: KeyId::new(1, u128::from(n)),
        org: OrgId::new(1, 1),
        policy,
        expires_at: None,
    })
}

fn put(revision: u64, resource: Resource) -> Change {
    Change::upsert(Revision(revision), resource)
}

fn gone(revision: u64, n: u32) -> Change {
    Change::removed(Revision(revision), Kind::Key, digest(n).to_string())
}

fn bulk(to_revision: u64, changes: Vec<Change>) -> Delta {
    Delta { nonce: 1, urgent: false, to_revision: Revision(to_revision), changes }
}

fn urgent(changes: Vec<Change>) -> Delta {
    Delta { nonce: 2, urgent: true, to_revision: Revision(0), changes }
}

fn works(replica: &Replica, n: u32) -> bool {
    replica.snapshot().caller(&digest(n), NOW).is_some()
}

fn base(replica: &mut Replica, revision: u64, changes: Vec<Change>) -> Result<Vec<Refusal>, BaseRefused> {
    replica.base_begin(false);
    let objects = changes.len() as u64;
    replica.base_changes(changes);
    replica.base_end(Revision(revision), objects, true)
}

/// A replica at revision 10 with an organisation and keys 1 to 3.
fn at_ten() -> Replica {
    let mut replica = Replica::new(Snapshot::default());
    let rows = vec![put(1, org(1)), put(2, key(1)), put(3, key(2)), put(4, key(3))];
    base(&mut replica, 10, rows).unwrap();
    replica
}

#[test]
fn bulk_moves_the_revision_and_urgent_does_not() {
    let mut replica = at_ten();
    let ack = replica.delta(bulk(12, vec![put(11, key(4))]));
    assert_eq!((ack.nonce, ack.revision, ack.refusals.len()), (1, Revision(12), 0));
    let ack = replica.delta(urgent(vec![gone(13, 1)]));
    assert_eq!(ack.revision, Revision(12));
    assert!(!works(&replica, 1) && works(&replica, 4));
    assert_eq!(replica.delta(bulk(9, vec![])).revision, Revision(12), "never back");
}

#[test]
fn a_change_that_is_not_understood_denies_and_is_told() {
    let mut replica = at_ten();
    let refused = Change { content: Content::Refused("bits 0x4".into()), ..gone(11, 1) };
    let ack = replica.delta(bulk(11, vec![refused, put(11, key(4))]));
    assert_eq!(ack.refusals.len(), 1);
    assert_eq!(ack.revision, Revision(11));
    assert!(!works(&replica, 1) && works(&replica, 4), "the rest applies");
}

#[test]
fn what_was_revoked_stays_revoked_whatever_comes_late() {
    let mut replica = at_ten();
    replica.delta(urgent(vec![gone(13, 1)]));
    // A bulk frame that was made before the revocation.
    replica.delta(bulk(11, vec![put(11, key(1))]));
    assert!(!works(&replica, 1));
    // The same key given again, later.
    replica.delta(bulk(14, vec![put(14, key(1))]));
    assert!(works(&replica, 1));
    assert!(replica.tombstones.is_empty(), "passed revisions need none");
}

#[test]
fn a_base_replaces_everything_and_keeps_what_came_meanwhile() {
    let mut replica = at_ten();
    replica.resync();
    replica.base_begin(false);
    replica.base_changes(vec![put(1, org(1)), put(2, key(1))]);
    // While the base travels: one key goes at once, one comes, one changed before the base was made.
    assert_eq!(replica.delta(urgent(vec![gone(22, 1)])).revision, Revision(10));
    assert!(!works(&replica, 1), "a revocation counts at once");
    let ack = replica.delta(bulk(25, vec![put(24, key(7)), put(19, key(3))]));
    assert_eq!(ack.revision, Revision(10), "what is missing is missing");
    replica.base_changes(vec![put(18, key(5))]);
    assert_eq!(replica.base_end(Revision(20), 3, true), Ok(vec![]));
    assert_eq!(replica.snapshot().revision(), Revision(25));
    let present: Vec<u32> = (1..9).filter(|n| works(&replica, *n)).collect();
    assert_eq!(present, [5, 7], "2 was gone from the base, 3 as well, 1 was revoked after it");
    assert!(!replica.is_behind());
}

#[test]
fn an_incomplete_or_damaged_base_is_never_applied() {
    let mut replica = at_ten();
    replica.base_begin(false);
    replica.base_changes(vec![put(1, org(1))]);
    assert_eq!(replica.base_end(Revision(20), 2, true), Err(BaseRefused::Incomplete { announced: 2, received: 1 }));
    assert_eq!(replica.base_end(Revision(20), 0, true), Err(BaseRefused::NotBegun));
    replica.base_begin(false);
    assert_eq!(replica.base_end(Revision(20), 0, false), Err(BaseRefused::Digest));
    replica.base_begin(false);
    replica.base_failed();
    replica.base_changes(vec![put(1, org(1))]);
    assert_eq!(replica.base_end(Revision(20), 1, true), Err(BaseRefused::NotBegun));
    assert_eq!((replica.snapshot().revision(), works(&replica, 1)), (Revision(10), true));
    assert!(replica.is_behind());
}

#[test]
fn a_base_never_goes_back_unless_forced() {
    let mut replica = at_ten();
    let older = Err(BaseRefused::Older { offered: Revision(9), ours: Revision(10) });
    assert_eq!(base(&mut replica, 9, vec![]), older);
    assert!(works(&replica, 1));
    replica.base_begin(true);
    assert_eq!(replica.base_end(Revision(9), 0, true), Ok(vec![]));
    assert_eq!(replica.snapshot().revision(), Revision(9));
}

#[test]
fn empty_is_a_legal_state() {
    let mut replica = at_ten();
    assert_eq!(base(&mut replica, 11, vec![]), Ok(vec![]));
    assert_eq!(replica.snapshot().object_count(), 0);
    assert!(!works(&replica, 1));
}

#[test]
fn a_large_state_is_not_replaced_by_a_much_smaller_one_but_may_be_removed_piece_by_piece() {
    let rows = |keys: u32| -> Vec<Change> {
        std::iter::once(put(1, org(1))).chain((0..keys).map(|n| put(1, key(n)))).collect()
    };
    let mut replica = Replica::new(Snapshot::default());
    base(&mut replica, 1, rows(2_000)).unwrap();
    assert!(matches!(
        base(&mut replica, 2, rows(1_500)),
        Err(BaseRefused::Shrinks { before: 2_001, after: 1_501, .. })
    ));
    assert!(works(&replica, 1_999));
    assert_eq!(base(&mut replica, 2, rows(1_700)), Ok(vec![]));
    replica.base_begin(true);
    replica.base_changes(rows(10));
    assert_eq!(replica.base_end(Revision(3), 11, true), Ok(vec![]));
    assert_eq!(replica.snapshot().key_count(), 10);
    replica.delta(bulk(4, (0..10).map(|n| gone(4, n)).collect()));
    assert_eq!(replica.snapshot().key_count(), 0);
}

#[test]
fn a_base_of_many_chunks_arrives_whole_or_not_at_all() {
    let count = 25_010u32;
    let mut replica = Replica::new(Snapshot::default());
    replica.base_begin(false);
    replica.base_changes(vec![put(1, org(1))]);
    let chunks = |replica: &mut Replica| {
        for from in (0..count).step_by(1_000) {
            replica.base_changes((from..count.min(from + 1_000)).map(|n| put(1, key(n))).collect());
        }
    };
    chunks(&mut replica);
    assert_eq!(replica.base_end(Revision(1), u64::from(count) + 1, true), Ok(vec![]));
    assert_eq!(replica.snapshot().key_count(), 25_010);
    assert!(works(&replica, 0) && works(&replica, count - 1));
    // What was built of a damaged one is thrown away, and the next begins with nothing.
    replica.base_begin(true);
    replica.base_changes(vec![put(2, org(2)), put(2, key(count))]);
    chunks(&mut replica);
    assert_eq!(replica.base_end(Revision(2), u64::from(count) + 2, false), Err(BaseRefused::Digest));
    assert!(replica.snapshot().revision() == Revision(1) && !works(&replica, count));
    replica.base_begin(true);
    replica.base_changes(vec![put(3, org(1)), put(3, key(count))]);
    assert_eq!(replica.base_end(Revision(3), 2, true), Ok(vec![]));
    assert!(works(&replica, count) && replica.snapshot().key_count() == 1);
}

proptest! {
    /// Any order of edits, told by deltas and bases that are made at any time: in the end the replica is what the
    /// edits made, and no key works that was taken away and told.
    #[test]
    fn a_replica_is_the_fold_of_the_log(steps in prop::collection::vec((0u8..8, 0u32..5), 1..80)) {
        let mut replica = Replica::new(Snapshot::default());
        let mut rows = std::collections::BTreeMap::new();
        let (mut revision, mut dirty) = (1u64, std::collections::BTreeSet::new());
        base(&mut replica, 1, vec![put(1, org(1))]).unwrap();
        let mut travelling: Option<(u64, Vec<Change>)> = None;
        let row = |rows: &std::collections::BTreeMap<u32, (u64, bool)>, n: u32| {
            let (revision, there) = rows[&n];
            if there { put(revision, key(n)) } else { gone(revision, n) }
        };
        for (what, n) in steps {
            match what {
                0..=2 => {
                    revision += 1;
                    rows.insert(n, (revision, true));
                    dirty.insert(n);
                }
                3 => {
                    revision += 1;
                    rows.insert(n, (revision, false));
                    replica.delta(urgent(vec![row(&rows, n)]));
                    prop_assert!(!works(&replica, n));
                    dirty.remove(&n);
                }
                4 | 5 => {
                    let changes = std::mem::take(&mut dirty).into_iter().map(|n| row(&rows, n)).collect();
                    replica.delta(bulk(revision, changes));
                }
                6 if travelling.is_none() => {
                    replica.resync();
                    replica.base_begin(false);
                    let there = rows.iter().filter(|(_, (_, there))| *there).map(|(n, _)| row(&rows, *n));
                    travelling = Some((revision, std::iter::once(put(1, org(1))).chain(there).collect()));
                }
                _ => {
                    if let Some((made_at, changes)) = travelling.take() {
                        let objects = changes.len() as u64;
                        replica.base_changes(changes);
                        prop_assert_eq!(replica.base_end(Revision(made_at), objects, true), Ok(vec![]));
                    }
                }
            }
        }
        if let Some((made_at, changes)) = travelling {
            let objects = changes.len() as u64;
            replica.base_changes(changes);
            replica.base_end(Revision(made_at), objects, true).unwrap();
        }
        replica.delta(bulk(revision, dirty.into_iter().map(|n| row(&rows, n)).collect()));
        prop_assert_eq!(replica.snapshot().revision(), Revision(revision));
        for (n, (_, there)) in rows {
            prop_assert_eq!(works(&replica, n), there, "key {}", n);
        }
    }
}
