//! API keys.

use domain::ids::{KeyId, OrgId, OrgScope};
use domain::keys::{Digest, Key, Policy};
use domain::snapshot::Kind;
use store::keys::{self, Page};
use store::{Error, Store, Written, revisions};

use crate::ground::Ground;
use crate::samples::{self, ALL, NOW};

on_both_engines!(
    a_key_comes_back_as_it_was_written,
    many_keys_are_written_at_once,
    a_digest_belongs_to_one_key,
    keys_are_listed_by_age_in_pages,
    another_organisations_key_is_not_there,
    disabling_is_an_urgent_removal_and_enabling_brings_it_back,
    a_revoked_key_stays_revoked,
    rotation_replaces_the_digest,
    a_nul_byte_cannot_break_a_write,
);

/// The last word of the change log on each digest.
async fn log(store: &Store) -> Vec<(String, bool, bool)> {
    let page = revisions::changes_since(store, Default::default(), 1_000).await.unwrap();
    let keys = page.changes.into_iter().filter(|change| change.kind == Kind::Key);
    keys.map(|change| (change.name, change.urgent, change.removed)).collect()
}

async fn a_key_comes_back_as_it_was_written(ground: &Ground) {
    let org = samples::org(1);
    samples::insert_org(&ground.store, &org).await;
    let full = Key { policy: samples::full_policy(), expires_at: Some(samples::later(60)), ..samples::key(1, org.id) };
    let plain = samples::key(2, org.id);
    for key in [&full, &plain] {
        let revision = samples::insert_key(&ground.store, key).await;
        let stored = keys::load(&ground.store, ALL(), key.id).await.unwrap();
        assert_eq!((&stored.key, stored.revision), (key, revision));
    }
    assert_eq!(log(&ground.store).await[0], (full.digest.to_string(), false, false));
}

async fn many_keys_are_written_at_once(ground: &Ground) {
    let org = samples::org(1);
    samples::insert_org(&ground.store, &org).await;
    let many: Vec<Key> = (0..257).map(|n| samples::key(n, org.id)).collect();
    let mut edit = samples::edit(&ground.store).await;
    keys::insert_many(&mut edit, ALL(), &many).await.unwrap();
    edit.commit().await.unwrap();
    let page = Page { include_revoked: false, after: None, limit: 1_000 };
    let listed = keys::list(&ground.store, ALL(), org.id, page).await.unwrap();
    assert_eq!(listed.into_iter().map(|stored| stored.key).collect::<Vec<_>>(), many);
    assert_eq!(log(&ground.store).await.len(), 257);
}

async fn a_digest_belongs_to_one_key(ground: &Ground) {
    let org = samples::org(1);
    samples::insert_org(&ground.store, &org).await;
    samples::insert_key(&ground.store, &samples::key(1, org.id)).await;
    let twin = Key { digest: samples::key(1, org.id).digest, ..samples::key(2, org.id) };
    let mut edit = samples::edit(&ground.store).await;
    assert!(matches!(keys::insert(&mut edit, ALL(), &twin).await, Err(Error::Conflict { what: "key" })));
    drop(edit);
    let mut edit = samples::edit(&ground.store).await;
    assert!(matches!(keys::insert_many(&mut edit, ALL(), &[twin]).await, Err(Error::Conflict { what: "key" })));
    let commit = edit.commit().await;
    assert!(matches!(commit, Err(Error::Misuse { .. })), "after a failed statement an edit is over");
    let mut edit = samples::edit(&ground.store).await;
    let orphan = samples::key(3, OrgId::new(1, 404));
    assert!(matches!(keys::insert(&mut edit, ALL(), &orphan).await, Err(Error::NotFound { what: "organisation" })));
}

async fn keys_are_listed_by_age_in_pages(ground: &Ground) {
    let org = samples::org(1);
    samples::insert_org(&ground.store, &org).await;
    for n in [2, 3, 1] {
        samples::insert_key(&ground.store, &samples::key(n, org.id)).await;
    }
    let mut edit = samples::edit(&ground.store).await;
    keys::revoke(&mut edit, ALL(), samples::key(2, org.id).id).await.unwrap();
    edit.commit().await.unwrap();
    let ids = async |page: Page| -> Vec<KeyId> {
        let listed = keys::list(&ground.store, ALL(), org.id, page).await.unwrap();
        listed.iter().map(|stored| stored.id).collect()
    };
    let id = |n| samples::key(n, org.id).id;
    assert_eq!(ids(Page { include_revoked: true, after: None, limit: 2 }).await, [id(1), id(2)]);
    assert_eq!(ids(Page { include_revoked: true, after: Some(id(2)), limit: 2 }).await, [id(3)]);
    assert_eq!(ids(Page { include_revoked: false, after: None, limit: 9 }).await, [id(1), id(3)]);
}

async fn another_organisations_key_is_not_there(ground: &Ground) {
    let (org, other) = (samples::org(1), samples::org(2));
    samples::insert_org(&ground.store, &org).await;
    samples::insert_org(&ground.store, &other).await;
    let key = samples::key(1, org.id);
    samples::insert_key(&ground.store, &key).await;
    let stranger = OrgScope::granted(other.id);
    let gone = |result: Option<Error>| assert!(matches!(result, Some(Error::NotFound { .. })), "{result:?}");
    gone(keys::load(&ground.store, stranger, key.id).await.err());
    let page = Page { include_revoked: true, after: None, limit: 9 };
    gone(keys::list(&ground.store, stranger, org.id, page).await.err());
    let mut edit = samples::edit(&ground.store).await;
    gone(keys::update(&mut edit, stranger, &Key { disabled: true, ..key.clone() }).await.err());
    gone(keys::revoke(&mut edit, stranger, key.id).await.err());
    gone(keys::rotate(&mut edit, stranger, key.id, Digest::of("new"), "x").await.err());
    gone(keys::insert(&mut edit, stranger, &samples::key(2, org.id)).await.err());
}

async fn disabling_is_an_urgent_removal_and_enabling_brings_it_back(ground: &Ground) {
    let org = samples::org(1);
    samples::insert_org(&ground.store, &org).await;
    let key = samples::key(1, org.id);
    samples::insert_key(&ground.store, &key).await;
    let name = key.digest.to_string();
    for (disabled, expected) in [(true, (name.clone(), true, true)), (false, (name.clone(), false, false))] {
        let mut edit = samples::edit(&ground.store).await;
        let changed = Key { disabled, policy: samples::full_policy(), ..key.clone() };
        assert_eq!(keys::update(&mut edit, ALL(), &changed).await.unwrap(), Written::Changed);
        assert_eq!(keys::update(&mut edit, ALL(), &changed).await.unwrap(), Written::Unchanged);
        edit.commit().await.unwrap();
        assert_eq!(keys::load(&ground.store, ALL(), key.id).await.unwrap().key, changed);
        assert_eq!(log(&ground.store).await.last(), Some(&expected));
    }
    // What cannot be used is nobody's news.
    let mut edit = samples::edit(&ground.store).await;
    keys::update(&mut edit, ALL(), &Key { disabled: true, ..key.clone() }).await.unwrap();
    edit.commit().await.unwrap();
    let before = log(&ground.store).await.len();
    let mut edit = samples::edit(&ground.store).await;
    keys::update(&mut edit, ALL(), &Key { disabled: true, name: "renamed".into(), ..key }).await.unwrap();
    edit.commit().await.unwrap();
    assert_eq!(log(&ground.store).await.len(), before);
}

async fn a_revoked_key_stays_revoked(ground: &Ground) {
    let org = samples::org(1);
    samples::insert_org(&ground.store, &org).await;
    let key = samples::key(1, org.id);
    samples::insert_key(&ground.store, &key).await;
    let mut edit = samples::edit(&ground.store).await;
    assert_eq!(keys::revoke(&mut edit, ALL(), key.id).await.unwrap(), Written::Changed);
    edit.commit().await.unwrap();
    assert_eq!(log(&ground.store).await.last(), Some(&(key.digest.to_string(), true, true)));
    assert_eq!(keys::load(&ground.store, ALL(), key.id).await.unwrap().revoked_at, Some(NOW));
    let mut edit = samples::edit(&ground.store).await;
    assert_eq!(keys::revoke(&mut edit, ALL(), key.id).await.unwrap(), Written::Unchanged);
    assert!(matches!(keys::update(&mut edit, ALL(), &key).await, Err(Error::Conflict { .. })));
    let rotated = keys::rotate(&mut edit, ALL(), key.id, Digest::of("new"), "x").await;
    assert!(matches!(rotated, Err(Error::Conflict { .. })));
}

async fn rotation_replaces_the_digest(ground: &Ground) {
    let org = samples::org(1);
    samples::insert_org(&ground.store, &org).await;
    let key =
        Key { policy: Policy { allow_models: vec!["a/*".into()], ..Policy::default() }, ..samples::key(1, org.id) };
    samples::insert_key(&ground.store, &key).await;
    let next = Digest::of("the new text");
    let mut edit = samples::edit(&ground.store).await;
    let stored = keys::rotate(&mut edit, ALL(), key.id, next, "tg_live_next").await.unwrap();
    edit.commit().await.unwrap();
    assert_eq!(stored.key, Key { digest: next, hint: "tg_live_next".into(), ..key.clone() });
    assert_eq!(keys::load(&ground.store, ALL(), key.id).await.unwrap(), stored);
    let log = log(&ground.store).await;
    assert!(log.contains(&(key.digest.to_string(), true, true)));
    assert!(log.contains(&(next.to_string(), false, false)));
}

async fn a_nul_byte_cannot_break_a_write(ground: &Ground) {
    let org = samples::org(1);
    samples::insert_org(&ground.store, &org).await;
    let key = Key { name: "a\0b".into(), ..samples::key(1, org.id) };
    samples::insert_key(&ground.store, &key).await;
    assert_eq!(keys::load(&ground.store, ALL(), key.id).await.unwrap().name, "a\u{fffd}b");
}
