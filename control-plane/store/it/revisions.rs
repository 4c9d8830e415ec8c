//! The change log: what was touched since a revision, never half of one.

use domain::ids::Revision;
use domain::keys::Key;
use domain::snapshot::Kind;
use store::{keys, orgs, revisions};

use crate::ground::Ground;
use crate::samples::{self, ALL};

on_both_engines!(changes_are_given_in_whole_revisions, the_last_word_on_a_resource_counts);

async fn changes_are_given_in_whole_revisions(ground: &Ground) {
    let org = samples::org(1);
    samples::insert_org(&ground.store, &org).await;
    let mut edit = samples::edit(&ground.store).await;
    let many: Vec<Key> = (0..10).map(|n| samples::key(n, org.id)).collect();
    keys::insert_many(&mut edit, ALL(), &many).await.unwrap();
    edit.commit().await.unwrap();
    samples::insert_key(&ground.store, &samples::key(10, org.id)).await;

    let none = revisions::changes_since(&ground.store, Revision(3), 5).await.unwrap();
    assert_eq!((none.changes.len(), none.through, none.more), (0, Revision(3), false));
    let ahead = revisions::changes_since(&ground.store, Revision(9), 5).await.unwrap();
    assert_eq!((ahead.through, ahead.more), (Revision(9), false), "never back");
    let mut after = Revision(0);
    let mut sizes = Vec::new();
    loop {
        let page = revisions::changes_since(&ground.store, after, 5).await.unwrap();
        sizes.push((page.changes.len(), page.through.0));
        after = page.through;
        if !page.more {
            break;
        }
    }
    assert_eq!(sizes, [(11, 2), (1, 3)], "a revision larger than the page is not cut");
    let exact = revisions::changes_since(&ground.store, Revision(0), 1).await.unwrap();
    assert_eq!((exact.changes.len(), exact.through, exact.more), (1, Revision(1), true));
}

async fn the_last_word_on_a_resource_counts(ground: &Ground) {
    let org = samples::org(1);
    let key = samples::key(1, org.id);
    let mut edit = samples::edit(&ground.store).await;
    orgs::insert(&mut edit, &org).await.unwrap();
    keys::insert(&mut edit, ALL(), &key).await.unwrap();
    keys::revoke(&mut edit, ALL(), key.id).await.unwrap();
    edit.commit().await.unwrap();
    let page = revisions::changes_since(&ground.store, Revision(0), 10).await.unwrap();
    let of_key: Vec<_> = page.changes.iter().filter(|change| change.kind == Kind::Key).collect();
    assert_eq!(of_key.len(), 1);
    assert!(of_key[0].urgent && of_key[0].removed);
}
