//! Organisations.

use std::sync::Arc;

use domain::audit::Actor;
use domain::ids::{OrgId, OrgScope, Revision};
use domain::orgs::Org;
use domain::routing::Names;
use domain::snapshot::{Content, Kind, Resource};
use store::revisions::Named;
use store::{Error, Written, audit, orgs, snapshot};

use crate::ground::Ground;
use crate::samples::{self, ALL, NOW};

on_both_engines!(
    an_organisation_comes_back_as_it_was_written,
    a_slug_names_one_organisation,
    organisations_are_listed_by_age_in_pages,
    another_organisation_is_not_there,
    an_update_writes_what_differs,
    rules_of_routing_are_kept_told_and_taken_away,
);

async fn an_organisation_comes_back_as_it_was_written(ground: &Ground) {
    let mut names = Names::default();
    names.set_alias("fast", vec!["a/b".into(), "c/d".into()]).unwrap();
    let (slug, name) = (Some("acme".into()), "Äcme \u{1f600} 'x'".into());
    let org = Org { slug, frozen: true, name, names: Some(Arc::new(names)), ..samples::org(1) };
    let revision = samples::insert_org(&ground.store, &org).await;
    assert_eq!(revision, Revision(1));
    assert_eq!(orgs::load(&ground.store, ALL(), org.id).await.unwrap(), org);
    assert_eq!(orgs::find_slug(&ground.store, ALL(), "acme").await.unwrap(), Some(org.clone()));
    assert_eq!(orgs::find_slug(&ground.store, ALL(), "other").await.unwrap(), None);
    let lines = audit::list(&ground.store, Some(org.id), None, 10).await.unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].action.as_str(), lines[0].actor.as_str(), lines[0].at), ("orgs.create", "root", NOW));
}

async fn a_slug_names_one_organisation(ground: &Ground) {
    let first = Org { slug: Some("acme".into()), ..samples::org(1) };
    samples::insert_org(&ground.store, &first).await;
    let mut edit = samples::edit(&ground.store).await;
    let second = Org { slug: Some("acme".into()), ..samples::org(2) };
    let refused = orgs::insert(&mut edit, &second).await;
    assert!(matches!(refused, Err(Error::Conflict { what: "organisation slug" })), "{refused:?}");
    drop(edit);
    // Two without a slug are no conflict.
    samples::insert_org(&ground.store, &samples::org(3)).await;
    samples::insert_org(&ground.store, &samples::org(4)).await;
}

async fn organisations_are_listed_by_age_in_pages(ground: &Ground) {
    for n in [3, 1, 2] {
        samples::insert_org(&ground.store, &samples::org(n)).await;
    }
    let ids = |list: &[Org]| list.iter().map(|org| org.id).collect::<Vec<_>>();
    let id = |n: u128| samples::org(n).id;
    let first = orgs::list(&ground.store, ALL(), None, 2).await.unwrap();
    assert_eq!(ids(&first), [id(1), id(2)]);
    let rest = orgs::list(&ground.store, ALL(), Some(id(2)), 2).await.unwrap();
    assert_eq!(ids(&rest), [id(3)]);
    let own = orgs::list(&ground.store, OrgScope::granted(id(2)), None, 10).await.unwrap();
    assert_eq!(ids(&own), [id(2)], "a tenant sees itself");
}

async fn another_organisation_is_not_there(ground: &Ground) {
    let org = samples::org(1);
    samples::insert_org(&ground.store, &org).await;
    let stranger = OrgScope::granted(OrgId::new(1, 99));
    for scope in [stranger, OrgScope::granted(OrgId::new(1, 98))] {
        let refused = orgs::load(&ground.store, scope, org.id).await;
        assert!(matches!(refused, Err(Error::NotFound { what: "organisation" })));
    }
    let mut edit = samples::edit(&ground.store).await;
    let refused = orgs::update(&mut edit, stranger, &Org { frozen: true, ..org.clone() }).await;
    assert!(matches!(refused, Err(Error::NotFound { .. })));
}

async fn an_update_writes_what_differs(ground: &Ground) {
    let org = samples::org(1);
    samples::insert_org(&ground.store, &org).await;
    let mut edit = ground.store.edit(Actor::Task("test"), NOW).await.unwrap();
    assert_eq!(orgs::update(&mut edit, ALL(), &org).await.unwrap(), Written::Unchanged);
    assert_eq!(edit.commit().await.unwrap(), Revision(1), "nothing happened, so there is no new revision");
    let mut edit = ground.store.edit(Actor::Task("test"), NOW).await.unwrap();
    let frozen = Org { frozen: true, name: "renamed".into(), ..org.clone() };
    assert_eq!(orgs::update(&mut edit, ALL(), &frozen).await.unwrap(), Written::Changed);
    assert_eq!(orgs::load(&mut edit, ALL(), org.id).await.unwrap(), frozen, "an edit sees its own changes");
    assert_eq!(orgs::load(&ground.store, ALL(), org.id).await.unwrap(), org, "and nobody else does before the commit");
    edit.commit().await.unwrap();
    assert_eq!(orgs::load(&ground.store, ALL(), org.id).await.unwrap(), frozen);
    let lines = audit::list(&ground.store, None, None, 10).await.unwrap();
    assert_eq!(lines[0].action, "orgs.freeze");
    assert_eq!(lines[0].actor, "task:test");
}

async fn rules_of_routing_are_kept_told_and_taken_away(ground: &Ground) {
    let org = samples::org(1);
    samples::insert_org(&ground.store, &org).await;
    for (routing, said) in [
        (Some(samples::rules("acme")), "name org 1, routing set"),
        (Some(samples::rules("bolt")), "name org 1, routing set"),
        (None, "name org 1, routing cleared"),
    ] {
        let ruled = Org { routing, ..org.clone() };
        let mut edit = samples::edit(&ground.store).await;
        assert_eq!(orgs::update(&mut edit, ALL(), &ruled).await.unwrap(), Written::Changed);
        assert_eq!(orgs::update(&mut edit, ALL(), &ruled).await.unwrap(), Written::Unchanged);
        let revision = edit.commit().await.unwrap();
        assert_eq!(orgs::load(&ground.store, ALL(), org.id).await.unwrap(), ruled);
        let (kind, name) = (Kind::Org, org.id.to_string());
        let named = Named { revision, kind, name, urgent: false, removed: false };
        let told = snapshot::load(&ground.store, &[named]).await.unwrap().remove(0);
        assert_eq!((told.revision, told.content), (revision, Content::Upsert(Resource::Org(ruled))));
        let line = audit::list(&ground.store, Some(org.id), None, 1).await.unwrap().remove(0);
        assert_eq!((line.action.as_str(), line.detail.as_str()), ("orgs.routing", said));
    }
}
