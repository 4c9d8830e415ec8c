//! Providers, models, endpoints and prices.

use domain::catalog::{Endpoint, Model, PriceList};
use domain::ids::Revision;
use domain::money::Price;
use domain::providers::Provider;
use domain::snapshot::Kind;
use store::{Error, Written, catalog, providers, revisions};

use crate::ground::Ground;
use crate::samples;

on_both_engines!(
    a_provider_comes_back_as_it_was_written,
    a_credential_is_replaced_in_the_order_of_versions,
    a_model_keeps_its_birthday,
    other_prices_are_another_version_and_old_ones_stay,
    the_catalogue_is_removed_from_the_leaves,
    taking_something_out_of_routing_is_urgent,
);

async fn a_provider_comes_back_as_it_was_written(ground: &Ground) {
    let provider = samples::provider("acme");
    let mut edit = samples::edit(&ground.store).await;
    assert_eq!(providers::upsert(&mut edit, &provider).await.unwrap(), Written::Created);
    assert_eq!(providers::upsert(&mut edit, &provider).await.unwrap(), Written::Unchanged);
    let changed = Provider { insecure: true, regions: vec![], ..provider.clone() };
    assert_eq!(providers::upsert(&mut edit, &changed).await.unwrap(), Written::Changed);
    let revision = edit.commit().await.unwrap();
    let stored = providers::load(&ground.store, &provider.id).await.unwrap();
    assert_eq!((&stored.provider, stored.revision), (&changed, revision));
    assert_eq!(providers::list(&ground.store).await.unwrap(), [stored]);
    let nobody = "nobody".parse().unwrap();
    assert!(matches!(providers::load(&ground.store, &nobody).await, Err(Error::NotFound { .. })));
}

async fn a_credential_is_replaced_in_the_order_of_versions(ground: &Ground) {
    let provider = samples::provider("acme");
    let mut edit = samples::edit(&ground.store).await;
    providers::upsert(&mut edit, &provider).await.unwrap();
    providers::set_credential(&mut edit, &provider.id, 1, b"sealed one").await.unwrap();
    let again = providers::set_credential(&mut edit, &provider.id, 1, b"late").await;
    assert!(matches!(again, Err(Error::Conflict { what: "credential version" })));
    providers::set_credential(&mut edit, &provider.id, 2, b"sealed two").await.unwrap();
    edit.commit().await.unwrap();
    let credential = providers::credential(&ground.store, &provider.id).await.unwrap().unwrap();
    assert_eq!((credential.version, credential.sealed.as_slice()), (2, b"sealed two".as_slice()));
    let mut edit = samples::edit(&ground.store).await;
    let written = providers::upsert(&mut edit, &Provider { credential_version: 9, ..provider.clone() }).await;
    assert_eq!(written.unwrap(), Written::Unchanged, "the row keeps its own credential");
    let renamed = Provider { name: "renamed".into(), ..provider.clone() };
    providers::upsert(&mut edit, &renamed).await.unwrap();
    edit.commit().await.unwrap();
    assert_eq!(providers::load(&ground.store, &provider.id).await.unwrap().credential_version, 2);
    assert!(providers::credential(&ground.store, &provider.id).await.unwrap().is_some());
}

async fn a_model_keeps_its_birthday(ground: &Ground) {
    let model = samples::model("openai/gpt-4o");
    let mut edit = samples::edit(&ground.store).await;
    assert_eq!(catalog::upsert_model(&mut edit, &model).await.unwrap(), Written::Created);
    let later = Model { created: model.created + 5, ..model.clone() };
    assert_eq!(catalog::upsert_model(&mut edit, &later).await.unwrap(), Written::Unchanged);
    let larger = Model { context_length: 1, max_output_tokens: None, ..later };
    assert_eq!(catalog::upsert_model(&mut edit, &larger).await.unwrap(), Written::Changed);
    edit.commit().await.unwrap();
    let stored = catalog::load_model(&ground.store, &model.id).await.unwrap();
    assert_eq!(stored, Model { created: model.created, ..larger });
    assert_eq!(catalog::list_models(&ground.store).await.unwrap(), [stored]);
}

async fn other_prices_are_another_version_and_old_ones_stay(ground: &Ground) {
    let endpoint = samples::endpoint("openai/gpt-4o", "openai");
    let mut edit = samples::edit(&ground.store).await;
    let without = catalog::upsert_endpoint(&mut edit, &endpoint, "list", "2026-11-01").await;
    assert!(matches!(without, Err(Error::Conflict { .. })), "its model and provider come first: {without:?}");
    drop(edit);
    let mut edit = samples::edit(&ground.store).await;
    providers::upsert(&mut edit, &samples::provider("openai")).await.unwrap();
    catalog::upsert_model(&mut edit, &samples::model("openai/gpt-4o")).await.unwrap();
    let created = catalog::upsert_endpoint(&mut edit, &endpoint, "list", "2026-11-01").await.unwrap();
    assert_eq!(created, Written::Created);
    let first = edit.commit().await.unwrap();

    let mut edit = samples::edit(&ground.store).await;
    let same = catalog::upsert_endpoint(&mut edit, &endpoint, "list", "2026-11-01").await.unwrap();
    assert_eq!(same, Written::Unchanged);
    let quirk = Endpoint { quirks: vec![], ..endpoint.clone() };
    assert_eq!(catalog::upsert_endpoint(&mut edit, &quirk, "list", "2026-11-01").await.unwrap(), Written::Changed);
    edit.commit().await.unwrap();
    let listed = catalog::load_endpoint(&ground.store, &endpoint.id).await.unwrap();
    assert_eq!(listed.prices.version, first.0, "the same prices keep their name");

    let mut edit = samples::edit(&ground.store).await;
    let dearer = PriceList { prompt: Some(Price::from_pico(999)), ..endpoint.prices.clone() };
    let dearer = Endpoint { prices: dearer, ..quirk };
    catalog::upsert_endpoint(&mut edit, &endpoint, "list", "2026-11-02").await.unwrap();
    assert_eq!(catalog::upsert_endpoint(&mut edit, &dearer, "list", "2026-11-02").await.unwrap(), Written::Changed);
    let second = edit.commit().await.unwrap();
    let listed = catalog::load_endpoint(&ground.store, &endpoint.id).await.unwrap();
    let expected = PriceList { version: second.0, ..dearer.prices.clone() };
    assert_eq!((&listed.endpoint.prices, listed.price_date.as_str()), (&expected, "2026-11-02"));
    let old = catalog::prices(&ground.store, &endpoint.id, first.0).await.unwrap();
    assert_eq!(old, PriceList { version: first.0, ..endpoint.prices });
    assert!(matches!(catalog::prices(&ground.store, &endpoint.id, 77).await, Err(Error::NotFound { .. })));
}

async fn the_catalogue_is_removed_from_the_leaves(ground: &Ground) {
    let endpoint = samples::endpoint("openai/gpt-4o", "openai");
    let mut edit = samples::edit(&ground.store).await;
    providers::upsert(&mut edit, &samples::provider("openai")).await.unwrap();
    catalog::upsert_model(&mut edit, &samples::model("openai/gpt-4o")).await.unwrap();
    catalog::upsert_endpoint(&mut edit, &endpoint, "", "").await.unwrap();
    let first = edit.commit().await.unwrap();
    let mut edit = samples::edit(&ground.store).await;
    assert!(matches!(providers::remove(&mut edit, &endpoint.provider).await, Err(Error::Conflict { .. })));
    assert!(matches!(catalog::remove_model(&mut edit, &endpoint.model).await, Err(Error::Conflict { .. })));
    catalog::remove_endpoint(&mut edit, &endpoint.id).await.unwrap();
    catalog::remove_model(&mut edit, &endpoint.model).await.unwrap();
    providers::remove(&mut edit, &endpoint.provider).await.unwrap();
    edit.commit().await.unwrap();
    let page = revisions::changes_since(&ground.store, first, 10).await.unwrap();
    assert_eq!(page.changes.iter().filter(|change| change.removed).count(), 3);
    assert!(catalog::list_endpoints(&ground.store).await.unwrap().is_empty());
    let prices = catalog::prices(&ground.store, &endpoint.id, first.0).await;
    assert!(prices.is_ok(), "receipts still name these prices");
}

async fn taking_something_out_of_routing_is_urgent(ground: &Ground) {
    let endpoint = samples::endpoint("openai/gpt-4o", "openai");
    let mut edit = samples::edit(&ground.store).await;
    providers::upsert(&mut edit, &samples::provider("openai")).await.unwrap();
    catalog::upsert_model(&mut edit, &samples::model("openai/gpt-4o")).await.unwrap();
    catalog::upsert_endpoint(&mut edit, &endpoint, "", "").await.unwrap();
    edit.commit().await.unwrap();
    let mut after = Revision(1);
    for enabled in [false, true] {
        let mut edit = samples::edit(&ground.store).await;
        let written = providers::set_enabled(&mut edit, &endpoint.provider, enabled).await.unwrap();
        assert_eq!(written, Written::Changed);
        let changed = Endpoint { enabled, ..endpoint.clone() };
        catalog::upsert_endpoint(&mut edit, &changed, "", "").await.unwrap();
        let revision = edit.commit().await.unwrap();
        let page = revisions::changes_since(&ground.store, after, 10).await.unwrap();
        let seen: Vec<_> = page.changes.iter().map(|change| (change.kind, change.urgent, change.removed)).collect();
        assert_eq!(seen, [(Kind::Endpoint, !enabled, false), (Kind::Provider, !enabled, false)]);
        after = revision;
    }
}
