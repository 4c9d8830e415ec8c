//! The wire side of organisations: in, decide, out.

use std::sync::Arc;

use domain::ids::Revision;
use domain::members::Action;
use domain::orgs::Org;
use proto::admin::{self, orgs_service_server::OrgsService};
use tonic::{Request, Response, Status};

use super::{Change, parse_id};
use crate::access::admit;
use crate::app::App;
use crate::error::Error;
use crate::routing::{joined, oddities, parse_rules};

/// The service.
pub struct Rpc(pub Arc<App>);

#[tonic::async_trait]
impl OrgsService for Rpc {
    async fn create_org(&self, request: Request<admin::CreateOrgRequest>) -> Result<Response<admin::Org>, Status> {
        let (caller, _) = admit(&self.0, request.metadata(), Action::CreateOrg).await?;
        let wanted = request.into_inner();
        let (org, revision) = super::create(&self.0, caller.actor(), &wanted.name, &wanted.slug).await?;
        Ok(Response::new(written(&self.0, &org, revision).await))
    }

    async fn get_org(&self, request: Request<admin::GetOrgRequest>) -> Result<Response<admin::Org>, Status> {
        let (_, scope) = admit(&self.0, request.metadata(), Action::ReadOrg).await?;
        let id = parse_id("id", &request.get_ref().id).map_err(Error::from)?;
        let org = store::orgs::load(&self.0.store, scope, id).await.map_err(Error::from)?;
        Ok(Response::new(message(&org)))
    }

    async fn list_orgs(
        &self,
        request: Request<admin::ListOrgsRequest>,
    ) -> Result<Response<admin::ListOrgsResponse>, Status> {
        let (_, scope) = admit(&self.0, request.metadata(), Action::ReadOrg).await?;
        let page = request.get_ref();
        let after =
            if page.after.is_empty() { None } else { Some(parse_id("after", &page.after).map_err(Error::from)?) };
        let limit = crate::server::page_size(page.limit, 1_000, 1_000);
        let orgs = store::orgs::list(&self.0.store, scope, after, limit).await.map_err(Error::from)?;
        Ok(Response::new(admin::ListOrgsResponse { orgs: orgs.iter().map(message).collect() }))
    }

    async fn update_org(&self, request: Request<admin::UpdateOrgRequest>) -> Result<Response<admin::Org>, Status> {
        let action = match request.get_ref() {
            admin::UpdateOrgRequest { frozen: Some(_), .. } => Action::FreezeOrg,
            admin::UpdateOrgRequest { plan: Some(_), .. } => Action::SetOrgPlan,
            _ => Action::UpdateOrg,
        };
        let (caller, scope) = admit(&self.0, request.metadata(), action).await?;
        let wanted = request.get_ref();
        let id = parse_id("id", &wanted.id).map_err(Error::from)?;
        let routing = wanted.routing.as_deref().map(parse_rules).transpose().map_err(Error::from)?;
        let has_new_rules = routing.is_some();
        let plan = wanted.plan.as_deref().map(|plan| parse_id("plan", plan)).transpose().map_err(Error::from)?;
        let change = Change { name: wanted.name.as_deref(), frozen: wanted.frozen, plan, routing };
        let (org, revision) = super::update(&self.0, caller.actor(), scope, id, change).await?;
        let odd = if has_new_rules { oddities(&self.0, org.routing.as_ref()).await? } else { String::new() };
        let org = written(&self.0, &org, revision).await;
        Ok(Response::new(admin::Org { note: joined(org.note, odd), ..org }))
    }
}

async fn written(app: &App, org: &Org, revision: Revision) -> admin::Org {
    admin::Org { revision: revision.0, note: app.applied(revision).await, ..message(org) }
}

fn message(org: &Org) -> admin::Org {
    admin::Org {
        id: org.id.to_string(),
        slug: org.slug.clone().unwrap_or_default(),
        name: org.name.clone(),
        billing: org.billing.name().to_owned(),
        plan: org.plan.to_string(),
        frozen: org.frozen,
        created_at: org.created_at.to_string(),
        revision: 0,
        note: String::new(),
        routing: proto::convert::write_rules(org.routing.as_ref()),
    }
}
