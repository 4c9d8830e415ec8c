//! The wire side of providers.

use std::sync::Arc;

use domain::members::Action;
use domain::providers::Provider;
use proto::admin::{self, providers_service_server::ProvidersService};
use tonic::{Request, Response, Status};

use crate::access::admit;
use crate::app::App;
use crate::error::Error;
use crate::orgs::parse_id;

/// The service.
pub struct Rpc(pub Arc<App>);

#[tonic::async_trait]
impl ProvidersService for Rpc {
    async fn list_providers(
        &self,
        request: Request<admin::ListProvidersRequest>,
    ) -> Result<Response<admin::ListProvidersResponse>, Status> {
        admit(&self.0, request.metadata(), Action::ReadCatalog).await?;
        let providers = store::providers::list(&self.0.store).await.map_err(Error::from)?;
        Ok(Response::new(admin::ListProvidersResponse {
            providers: providers.iter().map(|stored| message(stored)).collect(),
        }))
    }

    async fn get_provider_status(
        &self,
        request: Request<admin::GetProviderStatusRequest>,
    ) -> Result<Response<admin::GetProviderStatusResponse>, Status> {
        admit(&self.0, request.metadata(), Action::ReadFleet).await?;
        let endpoints = super::status::list(&self.0, &request.get_ref().provider).await?;
        Ok(Response::new(admin::GetProviderStatusResponse { endpoints }))
    }

    async fn set_provider_enabled(
        &self,
        request: Request<admin::SetProviderEnabledRequest>,
    ) -> Result<Response<admin::Provider>, Status> {
        let (caller, _) = admit(&self.0, request.metadata(), Action::ChangeCatalog).await?;
        let id = parse_id("id", &request.get_ref().id).map_err(Error::from)?;
        let (provider, revision) = super::set_enabled(&self.0, caller.actor(), &id, request.get_ref().enabled).await?;
        let note = self.0.applied(revision).await;
        Ok(Response::new(admin::Provider { revision: revision.0, note, ..message(&provider) }))
    }

    async fn test_provider(
        &self,
        request: Request<admin::TestProviderRequest>,
    ) -> Result<Response<admin::TestProviderResponse>, Status> {
        admit(&self.0, request.metadata(), Action::ChangeCatalog).await?;
        let id = parse_id("id", &request.get_ref().id).map_err(Error::from)?;
        let tested = super::test(&self.0, &id).await?;
        Ok(Response::new(admin::TestProviderResponse {
            ok: tested.ok,
            status: u32::from(tested.status),
            latency_ms: tested.latency_ms,
            detail: tested.detail,
        }))
    }
}

fn message(provider: &Provider) -> admin::Provider {
    admin::Provider {
        id: provider.id.to_string(),
        name: provider.name.clone(),
        base_url: provider.base_url.clone(),
        dialects: provider.dialects.iter().map(ToString::to_string).collect(),
        auth: provider.auth.0.clone(),
        has_credential: provider.credential_version > 0,
        regions: provider.regions.clone(),
        enabled: provider.enabled,
        revision: 0,
        note: String::new(),
        requests_per_minute: provider.limits.requests_per_minute,
        tokens_per_minute: provider.limits.tokens_per_minute,
    }
}
