//! The wire side of an organisation's own names.

use std::sync::Arc;

use domain::ids::{OrgId, OrgScope, Revision};
use domain::members::Action;
use domain::routing::{Fallbacks, Rules};
use proto::admin::{self, names_service_server::NamesService};
use proto::convert::write_preset;
use tonic::{Request, Response, Status};

use super::{missing, parse_preset, refused};
use crate::access::{Caller, admit};
use crate::app::App;
use crate::error::Error;
use crate::orgs::parse_id;
use crate::routing::{joined, oddities};

/// The service.
pub struct Rpc(pub Arc<App>);

#[tonic::async_trait]
impl NamesService for Rpc {
    async fn get_names(&self, request: Request<admin::GetNamesRequest>) -> Result<Response<admin::Names>, Status> {
        let (_, scope) = admit(&self.0, request.metadata(), Action::ReadOrg).await?;
        let org: OrgId = parse_id("org", &request.get_ref().org).map_err(Error::from)?;
        let org = store::orgs::load(&self.0.store, scope, org).await.map_err(Error::from)?;
        let names = org.names.unwrap_or_default();
        let aliases =
            names.aliases().map(|(name, models)| admin::Alias { name: name.to_owned(), models: models.to_vec() });
        let presets = names.presets().map(|(slug, version, newest, preset)| admin::Preset {
            slug: slug.to_owned(),
            version,
            newest,
            content: write_preset(preset),
        });
        Ok(Response::new(admin::Names { aliases: aliases.collect(), presets: presets.collect() }))
    }

    async fn set_alias(
        &self,
        request: Request<admin::SetAliasRequest>,
    ) -> Result<Response<admin::NameWritten>, Status> {
        let (caller, scope, org) = self.admitted(&request, &request.get_ref().org).await?;
        let admin::SetAliasRequest { name, models, .. } = request.into_inner();
        let rules = naming(&models);
        let (_, revision) =
            super::change(&self.0, caller.actor(), scope, org, |names| names.set_alias(&name, models).map_err(refused))
                .await?;
        self.written(name, 0, revision, Some(rules)).await
    }

    async fn remove_alias(
        &self,
        request: Request<admin::RemoveAliasRequest>,
    ) -> Result<Response<admin::NameWritten>, Status> {
        let (caller, scope, org) = self.admitted(&request, &request.get_ref().org).await?;
        let name = request.into_inner().name;
        let (_, revision) = super::change(&self.0, caller.actor(), scope, org, |names| {
            names.remove_alias(&name).then_some(()).ok_or_else(|| missing("alias"))
        })
        .await?;
        self.written(name, 0, revision, None).await
    }

    async fn set_preset(
        &self,
        request: Request<admin::SetPresetRequest>,
    ) -> Result<Response<admin::NameWritten>, Status> {
        let (caller, scope, org) = self.admitted(&request, &request.get_ref().org).await?;
        let admin::SetPresetRequest { slug, content, .. } = request.into_inner();
        let preset = parse_preset(&content).map_err(Error::from)?;
        let mut rules = preset.rules.clone();
        rules.fallbacks.models.extend(preset.models.iter().cloned());
        let (version, revision) = super::change(&self.0, caller.actor(), scope, org, |names| {
            names.set_preset(&slug, preset).map_err(refused)
        })
        .await?;
        self.written(slug, version, revision, Some(rules)).await
    }

    async fn remove_preset(
        &self,
        request: Request<admin::RemovePresetRequest>,
    ) -> Result<Response<admin::NameWritten>, Status> {
        let (caller, scope, org) = self.admitted(&request, &request.get_ref().org).await?;
        let admin::RemovePresetRequest { slug, version, .. } = request.into_inner();
        let (_, revision) = super::change(&self.0, caller.actor(), scope, org, |names| {
            names.remove_preset(&slug, version).then_some(()).ok_or_else(|| missing("preset"))
        })
        .await?;
        self.written(slug, version.unwrap_or(0), revision, None).await
    }
}

impl Rpc {
    /// Who may change the names of this organisation.
    async fn admitted<T>(&self, request: &Request<T>, org: &str) -> Result<(Caller, OrgScope, OrgId), Status> {
        let (caller, scope) = admit(&self.0, request.metadata(), Action::UpdateOrg).await?;
        let org = parse_id("org", org).map_err(Error::from)?;
        Ok((caller, scope, org))
    }

    async fn written(
        &self,
        name: String,
        version: u32,
        revision: Revision,
        rules: Option<Rules>,
    ) -> Result<Response<admin::NameWritten>, Status> {
        let odd = oddities(&self.0, rules.map(Arc::new).as_ref()).await?;
        let note = joined(self.0.applied(revision).await, odd);
        Ok(Response::new(admin::NameWritten { name, version, revision: revision.0, note }))
    }
}

/// What names these models and says nothing else.
fn naming(models: &[String]) -> Rules {
    Rules { fallbacks: Fallbacks { models: models.to_vec(), triggers: None }, ..Rules::default() }
}
