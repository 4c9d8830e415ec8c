//! Admin tokens of organisations.

use domain::ids::{OrgId, OrgScope, TokenId};
use domain::keys::Digest;
use domain::members::Role;
use store::tokens::{self, Token};
use store::{Error, Written};

use crate::ground::Ground;
use crate::samples::{self, ALL, NOW};

on_both_engines!(a_token_is_found_by_its_digest_until_it_is_revoked, another_organisations_token_is_not_there);

fn token(n: u128, org: OrgId) -> Token {
    Token {
        id: TokenId::new(4_000, n),
        org,
        name: format!("token {n}"),
        role: Role::Billing,
        digest: Digest::of(&format!("token {n}")),
        hint: "tg_adm_1".into(),
        created_at: NOW,
        revoked_at: None,
    }
}

async fn a_token_is_found_by_its_digest_until_it_is_revoked(ground: &Ground) {
    let org = samples::org(1);
    let before = samples::insert_org(&ground.store, &org).await;
    let token = token(1, org.id);
    let mut edit = samples::edit(&ground.store).await;
    tokens::insert(&mut edit, ALL(), &token).await.unwrap();
    let after = edit.commit().await.unwrap();
    assert!(after > before, "an audited write is a revision, even when proxies have nothing to learn");
    assert_eq!(tokens::find(&ground.store, &token.digest).await.unwrap(), Some(token.clone()));
    assert_eq!(tokens::list(&ground.store, ALL(), org.id).await.unwrap(), std::slice::from_ref(&token));
    let mut edit = samples::edit(&ground.store).await;
    assert_eq!(tokens::revoke(&mut edit, ALL(), token.id).await.unwrap(), Written::Changed);
    assert_eq!(tokens::revoke(&mut edit, ALL(), token.id).await.unwrap(), Written::Unchanged);
    edit.commit().await.unwrap();
    assert_eq!(tokens::find(&ground.store, &token.digest).await.unwrap(), None);
    assert_eq!(tokens::load(&ground.store, ALL(), token.id).await.unwrap().revoked_at, Some(NOW));
}

async fn another_organisations_token_is_not_there(ground: &Ground) {
    let (org, other) = (samples::org(1), samples::org(2));
    samples::insert_org(&ground.store, &org).await;
    samples::insert_org(&ground.store, &other).await;
    let token = token(1, org.id);
    let stranger = OrgScope::granted(other.id);
    let mut edit = samples::edit(&ground.store).await;
    assert!(matches!(tokens::insert(&mut edit, stranger, &token).await, Err(Error::NotFound { .. })));
    tokens::insert(&mut edit, ALL(), &token).await.unwrap();
    assert!(matches!(tokens::revoke(&mut edit, stranger, token.id).await, Err(Error::NotFound { .. })));
    edit.commit().await.unwrap();
    assert!(matches!(tokens::load(&ground.store, stranger, token.id).await, Err(Error::NotFound { .. })));
    assert!(matches!(tokens::list(&ground.store, stranger, org.id).await, Err(Error::NotFound { .. })));
}
