//! The wire side of admin tokens.

use std::sync::Arc;

use domain::members::Action;
use proto::admin::{self, tokens_service_server::TokensService};
use store::tokens::Token;
use tonic::{Request, Response, Status};

use crate::access::admit;
use crate::app::App;
use crate::error::Error;
use crate::orgs::parse_id;

/// The service.
pub struct Rpc(pub Arc<App>);

#[tonic::async_trait]
impl TokensService for Rpc {
    async fn create_token(
        &self,
        request: Request<admin::CreateTokenRequest>,
    ) -> Result<Response<admin::CreateTokenResponse>, Status> {
        let (caller, scope) = admit(&self.0, request.metadata(), Action::CreateToken).await?;
        let wanted = request.get_ref();
        let org = parse_id("org", &wanted.org).map_err(Error::from)?;
        let (token, text) = super::create(&self.0, caller.actor(), scope, org, &wanted.name, &wanted.role).await?;
        Ok(Response::new(admin::CreateTokenResponse { token: Some(message(&token)), text }))
    }

    async fn list_tokens(
        &self,
        request: Request<admin::ListTokensRequest>,
    ) -> Result<Response<admin::ListTokensResponse>, Status> {
        let (_, scope) = admit(&self.0, request.metadata(), Action::ListTokens).await?;
        let org = parse_id("org", &request.get_ref().org).map_err(Error::from)?;
        store::orgs::load(&self.0.store, scope, org).await.map_err(Error::from)?;
        let tokens = store::tokens::list(&self.0.store, scope, org).await.map_err(Error::from)?;
        Ok(Response::new(admin::ListTokensResponse { tokens: tokens.iter().map(message).collect() }))
    }

    async fn revoke_token(
        &self,
        request: Request<admin::RevokeTokenRequest>,
    ) -> Result<Response<admin::RevokeTokenResponse>, Status> {
        let (caller, scope) = admit(&self.0, request.metadata(), Action::RevokeToken).await?;
        let id = parse_id("id", &request.get_ref().id).map_err(Error::from)?;
        let revision = super::revoke(&self.0, caller.actor(), scope, id).await?;
        Ok(Response::new(admin::RevokeTokenResponse { id: request.into_inner().id, revision: revision.0 }))
    }
}

fn message(token: &Token) -> admin::Token {
    admin::Token {
        id: token.id.to_string(),
        org: token.org.to_string(),
        name: token.name.clone(),
        role: token.role.name().to_owned(),
        hint: token.hint.clone(),
        created_at: token.created_at.to_string(),
        revoked_at: token.revoked_at.map_or_else(String::new, |at| at.to_string()),
    }
}
