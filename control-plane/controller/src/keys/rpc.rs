//! The wire side of API keys.

use std::sync::Arc;

use domain::ids::Revision;
use domain::keys::{Key, Policy};
use domain::members::Action;
use proto::admin::{self, keys_service_server::KeysService};
use tonic::{Request, Response, Status};

use super::{Change, Made, parse_expiry, parse_limits};
use crate::access::admit;
use crate::app::App;
use crate::error::Error;
use crate::orgs::parse_id;
use crate::routing::{joined, oddities, parse_rules};

/// The service.
pub struct Rpc(pub Arc<App>);

#[tonic::async_trait]
impl KeysService for Rpc {
    async fn create_key(
        &self,
        request: Request<admin::CreateKeyRequest>,
    ) -> Result<Response<admin::CreateKeyResponse>, Status> {
        let (caller, scope) = admit(&self.0, request.metadata(), Action::CreateKey).await?;
        let wanted = request.into_inner();
        let org = parse_id("org", &wanted.org).map_err(Error::from)?;
        let limits = parse_limits(&wanted.limits.unwrap_or_default()).map_err(Error::from)?;
        let policy = Policy { routing: parse_rules(&wanted.routing).map_err(Error::from)?, ..limits };
        let expires_at = parse_expiry(&wanted.expires_at, self.0.now()).map_err(Error::from)?;
        let made = super::create(&self.0, caller.actor(), scope, org, &wanted.name, policy, expires_at).await?;
        let odd = oddities(&self.0, made.key.policy.routing.as_ref()).await?;
        let mut answer = shown_once(&self.0, made).await;
        if let Some(key) = &mut answer.key {
            key.note = joined(std::mem::take(&mut key.note), odd);
        }
        Ok(Response::new(answer))
    }

    async fn get_key(&self, request: Request<admin::GetKeyRequest>) -> Result<Response<admin::Key>, Status> {
        let (_, scope) = admit(&self.0, request.metadata(), Action::ListKeys).await?;
        let id = parse_id("id", &request.get_ref().id).map_err(Error::from)?;
        let key = store::keys::load(&self.0.store, scope, id).await.map_err(Error::from)?;
        Ok(Response::new(message(&key)))
    }

    async fn list_keys(
        &self,
        request: Request<admin::ListKeysRequest>,
    ) -> Result<Response<admin::ListKeysResponse>, Status> {
        let (_, scope) = admit(&self.0, request.metadata(), Action::ListKeys).await?;
        let wanted = request.get_ref();
        let org = parse_id("org", &wanted.org).map_err(Error::from)?;
        store::orgs::load(&self.0.store, scope, org).await.map_err(Error::from)?;
        let after =
            if wanted.after.is_empty() { None } else { Some(parse_id("after", &wanted.after).map_err(Error::from)?) };
        let limit = crate::server::page_size(wanted.limit, 1_000, 1_000);
        let page = store::keys::Page { include_revoked: wanted.include_revoked, after, limit };
        let keys = store::keys::list(&self.0.store, scope, org, page).await.map_err(Error::from)?;
        Ok(Response::new(admin::ListKeysResponse { keys: keys.iter().map(|stored| message(stored)).collect() }))
    }

    async fn update_key(&self, request: Request<admin::UpdateKeyRequest>) -> Result<Response<admin::Key>, Status> {
        let (caller, scope) = admit(&self.0, request.metadata(), Action::UpdateKey).await?;
        let wanted = request.get_ref();
        let id = parse_id("id", &wanted.id).map_err(Error::from)?;
        let policy = wanted.limits.as_ref().map(parse_limits).transpose().map_err(Error::from)?;
        let expiry = wanted.expires_at.as_deref().map(|text| parse_expiry(text, self.0.now()));
        let expires_at = expiry.transpose().map_err(Error::from)?;
        let routing = wanted.routing.as_deref().map(parse_rules).transpose().map_err(Error::from)?;
        let has_new_rules = routing.is_some();
        let change = Change { name: wanted.name.as_deref(), disabled: wanted.disabled, policy, expires_at, routing };
        let (key, revision) = super::update(&self.0, caller.actor(), scope, id, change).await?;
        let odd = if has_new_rules { oddities(&self.0, key.policy.routing.as_ref()).await? } else { String::new() };
        let key = written(&self.0, &key, revision).await;
        Ok(Response::new(admin::Key { note: joined(key.note, odd), ..key }))
    }

    async fn revoke_key(
        &self,
        request: Request<admin::RevokeKeyRequest>,
    ) -> Result<Response<admin::RevokeKeyResponse>, Status> {
        let (caller, scope) = admit(&self.0, request.metadata(), Action::RevokeKey).await?;
        let id = parse_id("id", &request.get_ref().id).map_err(Error::from)?;
        let revision = super::revoke(&self.0, caller.actor(), scope, id).await?;
        let note = self.0.applied(revision).await;
        Ok(Response::new(admin::RevokeKeyResponse { id: request.into_inner().id, revision: revision.0, note }))
    }

    async fn rotate_key(
        &self,
        request: Request<admin::RotateKeyRequest>,
    ) -> Result<Response<admin::CreateKeyResponse>, Status> {
        let (caller, scope) = admit(&self.0, request.metadata(), Action::UpdateKey).await?;
        let id = parse_id("id", &request.get_ref().id).map_err(Error::from)?;
        let made = super::rotate(&self.0, caller.actor(), scope, id).await?;
        Ok(Response::new(shown_once(&self.0, made).await))
    }
}

async fn shown_once(app: &App, made: Made) -> admin::CreateKeyResponse {
    admin::CreateKeyResponse { key: Some(written(app, &made.key, made.revision).await), text: made.text }
}

async fn written(app: &App, key: &Key, revision: Revision) -> admin::Key {
    admin::Key { revision: revision.0, note: app.applied(revision).await, ..message(key) }
}

fn message(key: &Key) -> admin::Key {
    admin::Key {
        id: key.id.to_string(),
        org: key.org.to_string(),
        name: key.name.clone(),
        hint: key.hint.clone(),
        limits: Some(limits(&key.policy)),
        expires_at: key.expires_at.map_or_else(String::new, |at| at.to_string()),
        disabled: key.disabled,
        revoked_at: key.revoked_at.map_or_else(String::new, |at| at.to_string()),
        created_at: key.created_at.to_string(),
        revision: 0,
        note: String::new(),
        routing: proto::convert::write_rules(key.policy.routing.as_ref()),
    }
}

fn limits(policy: &Policy) -> admin::Limits {
    admin::Limits {
        limit: policy.budget.map(|budget| budget.amount.to_string()),
        reset: policy.budget.map_or_else(String::new, |budget| budget.reset.name().to_owned()),
        rpm: policy.requests.map(|rate| rate.per_minute),
        tpm: policy.tokens.map(|rate| rate.per_minute),
        allow_models: policy.allow_models.clone(),
    }
}
