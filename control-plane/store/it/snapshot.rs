//! What proxies are told: by name, and everything at one revision.

use domain::ids::Revision;
use domain::keys::{Digest, Key};
use domain::orgs::Org;
use domain::snapshot::{Change, Content, Kind, Resource, Snapshot};
use store::{Store, catalog, keys, orgs, providers, revisions, snapshot};

use crate::ground::Ground;
use crate::samples::{self, ALL};

on_both_engines!(
    named_resources_come_as_they_are_now,
    a_base_is_everything_in_order_at_one_revision,
    changes_and_base_make_the_same_snapshot,
    nothing_is_a_legal_base,
);

async fn fill(store: &Store, keys_made: u128) -> Vec<Key> {
    let mut edit = samples::edit(store).await;
    for id in ["openai", "acme"] {
        providers::upsert(&mut edit, &samples::provider(id)).await.unwrap();
    }
    for id in ["openai/gpt-4o", "openai/gpt-4o-mini"] {
        catalog::upsert_model(&mut edit, &samples::model(id)).await.unwrap();
        catalog::upsert_endpoint(&mut edit, &samples::endpoint(id, "openai"), "", "").await.unwrap();
    }
    let org = samples::org(1);
    orgs::insert(&mut edit, &org).await.unwrap();
    let mut made: Vec<Key> = (0..keys_made).map(|n| samples::key(n, org.id)).collect();
    for key in made.iter_mut().step_by(3) {
        key.policy = samples::full_policy();
        key.expires_at = Some(samples::later(5));
    }
    keys::insert_many(&mut edit, ALL(), &made).await.unwrap();
    edit.commit().await.unwrap();
    made
}

async fn everything(store: &Store, page: u32) -> (Revision, Vec<Change>) {
    let mut base = snapshot::base(store).await.unwrap();
    let mut all = Vec::new();
    while let Some(changes) = base.next(page).await.unwrap() {
        assert!(!changes.is_empty() && changes.len() <= page as usize);
        all.extend(changes);
    }
    (base.revision(), all)
}

async fn named_resources_come_as_they_are_now(ground: &Ground) {
    let made = fill(&ground.store, 3).await;
    let mut edit = samples::edit(&ground.store).await;
    keys::revoke(&mut edit, ALL(), made[0].id).await.unwrap();
    keys::update(&mut edit, ALL(), &Key { disabled: true, ..made[1].clone() }).await.unwrap();
    keys::rotate(&mut edit, ALL(), made[2].id, Digest::of("next"), "x").await.unwrap();
    catalog::remove_endpoint(&mut edit, &samples::endpoint("openai/gpt-4o", "openai").id).await.unwrap();
    let second = edit.commit().await.unwrap();
    let page = revisions::changes_since(&ground.store, Revision(0), 100).await.unwrap();
    let changes = snapshot::load(&ground.store, &page.changes).await.unwrap();
    let removed: Vec<(Kind, String)> = changes
        .iter()
        .filter(|change| change.content == Content::Removed)
        .map(|change| {
            assert_eq!(change.revision, second, "a removal carries the newest revision of the name");
            (change.kind, change.name.clone())
        })
        .collect();
    assert_eq!(removed.len(), 4);
    for key in &made {
        assert!(removed.contains(&(Kind::Key, key.digest.to_string())));
    }
    let kept: Vec<&Change> = changes.iter().filter(|change| change.content != Content::Removed).collect();
    assert_eq!(kept.len(), 2 + 2 + 1 + 1 + 1);
    let rotated = kept.iter().find(|change| change.name == Digest::of("next").to_string()).unwrap();
    assert_eq!(rotated.revision, second);
    let Content::Upsert(Resource::Key(grant)) = &rotated.content else { panic!("not a key") };
    assert_eq!((grant.id, grant.org), (made[2].id, made[2].org));
    let odd = revisions::Named {
        revision: Revision(9),
        kind: Kind::Key,
        name: "not hexadecimal".into(),
        urgent: false,
        removed: false,
    };
    let gone = snapshot::load(&ground.store, &[odd]).await.unwrap();
    assert_eq!(gone[0].content, Content::Removed);
}

async fn a_base_is_everything_in_order_at_one_revision(ground: &Ground) {
    let made = fill(&ground.store, 23).await;
    let mut edit = samples::edit(&ground.store).await;
    keys::revoke(&mut edit, ALL(), made[0].id).await.unwrap();
    let head = edit.commit().await.unwrap();
    let (_, whole) = everything(&ground.store, 1_000).await;
    for page in [1, 5, 22] {
        let (revision, paged) = everything(&ground.store, page).await;
        assert_eq!(revision, head);
        assert_eq!(paged, whole, "pages of {page}");
    }
    assert!(whole.windows(2).all(|pair| pair[0].kind <= pair[1].kind));
    let keys: Vec<&String> =
        whole.iter().filter(|change| change.kind == Kind::Key).map(|change| &change.name).collect();
    assert_eq!(keys.len(), 22);
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
    // What is committed while a base is read is not in it.
    let mut base = snapshot::base(&ground.store).await.unwrap();
    base.next(1).await.unwrap();
    samples::insert_key(&ground.store, &samples::key(900, samples::org(1).id)).await;
    let mut count = 1;
    while let Some(changes) = base.next(7).await.unwrap() {
        count += changes.len();
    }
    assert_eq!(count, whole.len());
    assert_eq!(base.revision(), head);
}

async fn changes_and_base_make_the_same_snapshot(ground: &Ground) {
    let made = fill(&ground.store, 9).await;
    let mut edit = samples::edit(&ground.store).await;
    keys::revoke(&mut edit, ALL(), made[4].id).await.unwrap();
    orgs::update(&mut edit, ALL(), &Org { frozen: true, ..samples::org(1) }).await.unwrap();
    edit.commit().await.unwrap();
    let mut by_changes = Snapshot::default();
    let mut after = Revision(0);
    loop {
        let page = revisions::changes_since(&ground.store, after, 4).await.unwrap();
        let changes = snapshot::load(&ground.store, &page.changes).await.unwrap();
        by_changes = by_changes.apply(page.through, changes).0;
        after = page.through;
        if !page.more {
            break;
        }
    }
    let (revision, whole) = everything(&ground.store, 4).await;
    let by_base = Snapshot::default().apply(revision, whole).0;
    let sorted = |snapshot: &Snapshot| {
        let mut all: Vec<String> = snapshot.changes().map(|change| format!("{change:?}")).collect();
        all.sort();
        all
    };
    assert_eq!(sorted(&by_changes), sorted(&by_base));
    assert_eq!(by_changes.revision(), by_base.revision());
    assert_eq!(by_base.key_count(), 8);
}

async fn nothing_is_a_legal_base(ground: &Ground) {
    let (revision, all) = everything(&ground.store, 10).await;
    assert_eq!((revision, all.len()), (Revision(0), 0));
}
