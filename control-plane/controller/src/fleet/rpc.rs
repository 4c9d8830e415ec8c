//! The wire side of the fleet.

use std::sync::Arc;
use std::time::Duration;

use domain::ids::Revision;
use domain::members::Action;
use proto::admin::{self, fleet_service_server::FleetService};
use tonic::{Request, Response, Status};

use crate::access::admit;
use crate::app::App;
use crate::error::Error;

/// The service.
pub struct Rpc(pub Arc<App>);

#[tonic::async_trait]
impl FleetService for Rpc {
    async fn list_proxies(
        &self,
        request: Request<admin::ListProxiesRequest>,
    ) -> Result<Response<admin::ListProxiesResponse>, Status> {
        admit(&self.0, request.metadata(), Action::ReadFleet).await?;
        let head = store::revisions::head(&self.0.store).await.map_err(Error::from)?;
        let rows = crate::sync::fleet::everywhere(&self.0).await?;
        Ok(Response::new(admin::ListProxiesResponse { proxies: rows.iter().map(|row| message(row, head)).collect() }))
    }

    async fn wait_for_revision(
        &self,
        request: Request<admin::WaitForRevisionRequest>,
    ) -> Result<Response<admin::WaitForRevisionResponse>, Status> {
        admit(&self.0, request.metadata(), Action::ReadOrg).await?;
        let wanted = request.get_ref();
        let timeout = if wanted.timeout_ms == 0 { 2_000 } else { wanted.timeout_ms.min(60_000) };
        let laggards = self.0.fleet.applied(Revision(wanted.revision), Duration::from_millis(u64::from(timeout))).await;
        Ok(Response::new(admin::WaitForRevisionResponse { applied: laggards.is_empty(), laggards }))
    }

    async fn get_version(
        &self,
        request: Request<admin::GetVersionRequest>,
    ) -> Result<Response<admin::GetVersionResponse>, Status> {
        admit(&self.0, request.metadata(), Action::ReadOrg).await?;
        Ok(Response::new(admin::GetVersionResponse { version: env!("CARGO_PKG_VERSION").to_owned() }))
    }
}

fn message(row: &store::fleet::Proxy, head: Revision) -> admin::Proxy {
    let refused = row.refused.iter().map(|refusal| admin::RefusedChange {
        kind: refusal.kind.name().to_owned(),
        name: refusal.name.clone(),
        reason: refusal.reason.clone(),
    });
    admin::Proxy {
        proxy: row.proxy.to_string(),
        connected_since: row.connected_since.to_string(),
        revision: row.revision.0,
        head_revision: head.0.max(row.revision.0),
        refused: refused.collect(),
        boot_epoch: row.epoch.0,
        build: row.build.clone(),
        region: row.region.clone(),
    }
}
