use domain::ids::{KeyId, OrgId, PlanId, Revision};
use domain::keys::{Digest, Policy};
use domain::orgs::{BillingMode, Org};
use domain::snapshot::{Change, Content, KeyGrant, Kind as Noun, Resource};
use domain::time::Timestamp;

use super::*;

fn org() -> Org {
    Org {
        id: OrgId::new(1, 1),
        slug: None,
        name: "one".into(),
        billing: BillingMode::Prepaid,
        plan: PlanId::standard(),
        frozen: false,
        created_at: Timestamp::from_us(1),
        routing: None,
        names: None,
    }
}

fn digest(n: u64) -> Digest {
    Digest::of(&n.to_string())
}

fn key(n: u64) -> Change {
    let grant = KeyGrant {
        digest: digest(n),
        id: KeyId::new(2, u128::from(n)),
        org: org().id,
        policy: Policy::default(),
        expires_at: None,
    };
    Change::upsert(Revision(n), Resource::Key(grant))
}

fn delta(urgent: bool, to_revision: u64, changes: &[Change]) -> wire::Delta {
    wire::Delta { nonce: to_revision, urgent, to_revision, changes: changes.iter().map(Into::into).collect() }
}

fn snapshot(keys: u64) -> Snapshot {
    let changes = std::iter::once(Change::upsert(Revision(1), Resource::Org(org()))).chain((1..=keys).map(key));
    Snapshot::default().apply(Revision(keys), changes.collect()).0
}

fn knows(snapshot: &Snapshot, n: u64) -> bool {
    snapshot.caller(&digest(n), Timestamp::from_us(5)).is_some()
}

fn open(folder: &Path) -> (Cache, Found) {
    Cache::open(folder, 64 << 20).unwrap()
}

/// Returns once everything that was asked for is on disk.
fn settle(cache: &Cache) -> bool {
    cache.append(&delta(true, 0, &[]), true).unwrap().blocking_recv().unwrap()
}

fn wait_for(mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_true() {
        assert!(Instant::now() < deadline, "never");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn has_base(folder: &Path, generation: u64) -> bool {
    folder.join(Kind::Base.name(generation)).exists()
}

/// A folder with a base of three keys and a log that adds a fourth and takes the first away.
fn filled(folder: &Path) {
    let (cache, found) = open(folder);
    assert!(found.snapshot.is_none());
    assert!(cache.wants_base());
    cache.rewrite(snapshot(3));
    cache.append(&delta(false, 4, &[key(4)]), false);
    let removal = Change::removed(Revision(5), Noun::Key, digest(1).to_string());
    assert_eq!(cache.append(&delta(true, 0, &[removal]), true).unwrap().blocking_recv(), Ok(true));
    wait_for(|| has_base(folder, 1));
}

#[test]
fn a_restart_knows_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let (cache, found) = open(folder.path());
    let kept = found.snapshot.unwrap();
    assert!(found.may_resume);
    assert!(!cache.wants_base());
    assert_eq!(kept.revision(), Revision(4), "an urgent change does not move it");
    assert_eq!([1, 2, 3, 4].map(|n| knows(&kept, n)), [false, true, true, true]);
    // Goes on where it was.
    cache.append(&delta(false, 6, &[key(6)]), false);
    drop(cache);
    let again = open(folder.path()).1.snapshot.unwrap();
    assert_eq!((again.revision(), knows(&again, 6), knows(&again, 1)), (Revision(6), true, false));
}

#[test]
fn a_denied_key_stays_denied_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, _) = open(folder.path());
    let refused = Change {
        revision: Revision(4),
        kind: Noun::Key,
        name: digest(1).to_string(),
        content: Content::Refused("odd".into()),
    };
    cache.rewrite(snapshot(3).apply(Revision(4), vec![refused]).0);
    wait_for(|| has_base(folder.path(), 1));
    drop(cache);
    let kept = open(folder.path()).1.snapshot.unwrap();
    assert_eq!((kept.key_count(), knows(&kept, 1), knows(&kept, 2)), (3, false, true));
}

#[test]
fn a_torn_log_costs_what_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let log = folder.path().join(Kind::Log.name(1));
    let bytes = fs::read(&log).unwrap();
    for cut in 0..bytes.len() {
        fs::write(&log, &bytes[..cut]).unwrap();
        let kept = load::load(folder.path()).snapshot.unwrap();
        assert!(knows(&kept, 2), "cut at {cut}");
        assert!(kept.revision() == Revision(3) || (kept.revision() == Revision(4) && knows(&kept, 4)));
    }
}

#[test]
fn a_spoilt_byte_never_brings_a_wrong_key_and_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    for name in [Kind::Base.name(1), Kind::Log.name(1)] {
        let path = folder.path().join(&name);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x21;
            fs::write(&path, &bytes).unwrap();
            let loaded = load::load(folder.path());
            match loaded.snapshot {
                None => assert!(!loaded.is_clean, "{name} at {at}"),
                Some(kept) => assert!(kept.key_count() <= 4 && !knows(&kept, 9), "{name} at {at}"),
            }
        }
        fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn a_damaged_base_is_replaced_by_the_one_before_it_with_all_that_came_since() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let (cache, found) = open(folder.path());
    let mut now = found.snapshot.unwrap();
    cache.append(&delta(false, 6, &[key(6)]), false);
    now = now.apply(Revision(6), vec![key(6)]).0;
    cache.rewrite(now);
    cache.append(&delta(false, 7, &[key(7)]), false);
    assert!(settle(&cache));
    wait_for(|| has_base(folder.path(), 3));
    drop(cache);
    assert_eq!(names(folder.path()).len(), 5, "two bases and three logs");
    let newest = folder.path().join(Kind::Base.name(3));
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() - 1]).unwrap();
    let (cache, found) = open(folder.path());
    let kept = found.snapshot.unwrap();
    assert_eq!([1, 2, 4, 6, 7].map(|n| knows(&kept, n)), [false, true, true, true, true]);
    assert!(!found.may_resume, "asks for a whole state all the same");
    assert!(cache.wants_base());
}

#[test]
fn two_generations_are_kept_and_older_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, _) = open(folder.path());
    for generation in 1..=4u64 {
        cache.rewrite(snapshot(generation));
        wait_for(|| has_base(folder.path(), generation));
        cache.append(&delta(false, generation + 10, &[key(generation + 10)]), false);
        assert!(settle(&cache));
    }
    let expected: Vec<String> =
        [Kind::Base, Kind::Log].into_iter().flat_map(|kind| [kind.name(3), kind.name(4)]).collect();
    wait_for(|| names(folder.path()) == expected);
}

#[test]
fn a_log_that_has_grown_asks_for_a_new_base() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, _) = Cache::open(folder.path(), 2_000).unwrap();
    cache.rewrite(snapshot(1));
    for n in 2..40 {
        assert!(!cache.wants_base() || n > 10);
        cache.append(&delta(false, n, &[key(n)]), false);
        assert!(settle(&cache));
    }
    assert!(cache.wants_base());
    cache.rewrite(snapshot(40));
    assert!(!cache.wants_base());
}

#[test]
fn a_hole_between_logs_ends_the_reading() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    for n in [6u64, 7] {
        let (cache, _) = open(folder.path());
        cache.append(&delta(false, n, &[key(n)]), false);
    }
    assert!(folder.path().join(Kind::Log.name(3)).exists());
    fs::remove_file(folder.path().join(Kind::Log.name(2))).unwrap();
    let (_, found) = open(folder.path());
    let kept = found.snapshot.unwrap();
    assert_eq!((kept.revision(), knows(&kept, 7), found.may_resume), (Revision(4), false, false));
}

#[test]
fn a_cache_that_cannot_be_kept_is_taken_away_rather_than_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let (cache, _) = open(folder.path());
    // A folder where the next log should be: it cannot be made.
    fs::create_dir(folder.path().join(Kind::Log.name(2))).unwrap();
    let removal = Change::removed(Revision(9), Noun::Key, digest(2).to_string());
    let receipt = cache.append(&delta(true, 0, &[removal]), true).unwrap();
    assert_eq!(receipt.blocking_recv(), Ok(true), "safe, since nothing is left that could bring the key back");
    assert!(cache.wants_base());
    drop(cache);
    assert!(load::load(folder.path()).snapshot.is_none());
}
