//! The wire side of the catalogue.

use std::collections::HashMap;
use std::sync::Arc;

use domain::catalog::{Endpoint, Model, PRICE_COLUMNS};
use domain::members::Action;
use domain::providers::Provider;
use proto::admin::{self, catalog_service_server::CatalogService};
use tonic::{Request, Response, Status};

use crate::access::admit;
use crate::app::App;
use crate::error::Error;

/// The service.
pub struct Rpc(pub Arc<App>);

#[tonic::async_trait]
impl CatalogService for Rpc {
    async fn list_models(
        &self,
        request: Request<admin::ListModelsRequest>,
    ) -> Result<Response<admin::ListModelsResponse>, Status> {
        admit(&self.0, request.metadata(), Action::ReadCatalog).await?;
        let models = list(&self.0).await?;
        Ok(Response::new(admin::ListModelsResponse { models }))
    }

    async fn apply(&self, request: Request<admin::ApplyRequest>) -> Result<Response<admin::ApplyResponse>, Status> {
        let (caller, scope) = admit(&self.0, request.metadata(), Action::Apply).await?;
        let wish = request.into_inner();
        let dry_run = wish.dry_run;
        let (done, revision) = super::apply(&self.0, caller.actor(), scope, wish).await?;
        let note = if dry_run { String::new() } else { self.0.applied(revision).await };
        Ok(Response::new(admin::ApplyResponse {
            created: done.created,
            changed: done.changed,
            unchanged: done.unchanged,
            removed: done.removed,
            revision: revision.0,
            note,
        }))
    }
}

async fn list(app: &App) -> Result<Vec<admin::Model>, Error> {
    let providers: HashMap<_, _> = store::providers::list(&app.store)
        .await?
        .into_iter()
        .map(|stored| (stored.provider.id.clone(), stored.provider))
        .collect();
    let mut endpoints: HashMap<_, Vec<admin::Endpoint>> = HashMap::new();
    for listed in store::catalog::list_endpoints(&app.store).await? {
        let message = endpoint(&listed, providers.get(&listed.endpoint.provider));
        endpoints.entry(listed.endpoint.model.clone()).or_default().push(message);
    }
    let models = store::catalog::list_models(&app.store).await?;
    Ok(models.iter().map(|row| model(row, endpoints.remove(&row.id).unwrap_or_default())).collect())
}

fn model(row: &Model, endpoints: Vec<admin::Endpoint>) -> admin::Model {
    admin::Model {
        id: row.id.to_string(),
        name: row.name.clone(),
        context_length: row.context_length,
        max_output_tokens: row.max_output_tokens,
        input_modalities: row.input_modalities.clone(),
        output_modalities: row.output_modalities.clone(),
        supported_parameters: row.supported_parameters.clone(),
        endpoints,
    }
}

fn endpoint(listed: &store::catalog::Listed, provider: Option<&Provider>) -> admin::Endpoint {
    let row = &listed.endpoint;
    let prices = PRICE_COLUMNS.iter().filter_map(|column| {
        let price = (column.get)(&row.prices)?;
        Some((column.name.to_owned(), column.format(price)))
    });
    admin::Endpoint {
        id: row.id.to_string(),
        provider: row.provider.to_string(),
        upstream_model: row.upstream_model.clone(),
        prices: prices.collect(),
        context_length: row.context_length,
        max_output_tokens: row.max_output_tokens,
        quirks: row.quirks.clone(),
        disabled: !row.enabled,
        price_source: listed.price_source.clone(),
        price_date: listed.price_date.clone(),
        closed_because: closed_because(row, provider).to_owned(),
    }
}

/// Why requests cannot be sent to an endpoint now; empty when they can.
fn closed_because(row: &Endpoint, provider: Option<&Provider>) -> &'static str {
    match provider {
        None => "its provider is gone",
        Some(provider) if !provider.enabled => "its provider is disabled",
        Some(_) if !row.enabled => "it is disabled",
        Some(_) if !row.prices.is_complete() => "it has no price",
        Some(provider) if !provider.can_sign() => "its provider has no credential",
        Some(provider) if !provider.dialects.iter().any(|dialect| dialect.as_str() == "openai-chat") => {
            "its provider speaks no dialect that is served yet"
        }
        Some(_) => "",
    }
}
