//! The wire side of the audit log.

use std::sync::Arc;

use domain::ids::{OrgId, Revision};
use domain::members::Action;
use proto::admin::{self, audit_service_server::AuditService};
use tonic::{Request, Response, Status};

use crate::access::{Caller, admit};
use crate::app::App;
use crate::error::Error;
use crate::orgs::parse_id;

/// The service.
pub struct Rpc(pub Arc<App>);

#[tonic::async_trait]
impl AuditService for Rpc {
    async fn list_audit(
        &self,
        request: Request<admin::ListAuditRequest>,
    ) -> Result<Response<admin::ListAuditResponse>, Status> {
        let (caller, scope) = admit(&self.0, request.metadata(), Action::ReadAudit).await?;
        let wanted = request.get_ref();
        let org = whose(&caller, &wanted.org)?;
        if let Some(org) = org {
            store::orgs::load(&self.0.store, scope, org).await.map_err(Error::from)?;
        }
        let before = (wanted.before > 0).then_some(Revision(wanted.before));
        let limit = crate::server::page_size(wanted.limit, 100, 1_000);
        let entries = store::audit::list(&self.0.store, org, before, limit).await.map_err(Error::from)?;
        let entries = entries.into_iter().map(|entry| admin::AuditEntry {
            revision: entry.revision.0,
            at: entry.at.to_string(),
            actor: entry.actor,
            org: entry.org.map_or_else(String::new, |org| org.to_string()),
            action: entry.action,
            target: entry.target,
            detail: entry.detail,
        });
        Ok(Response::new(admin::ListAuditResponse { entries: entries.collect() }))
    }
}

/// The organisation that is asked about: an organisation's own token without a name means its own.
fn whose(caller: &Caller, text: &str) -> Result<Option<OrgId>, Error> {
    if text.is_empty() { Ok(caller.org()) } else { Ok(Some(parse_id("org", text)?)) }
}
