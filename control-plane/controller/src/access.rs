//! Who is calling, and whether they may. The only place that turns a token into rights, and the only one that makes an
//! `OrgScope`. An organisation outside the caller's scope does not exist for it: 404, never 403.

use domain::audit::Actor;
use domain::faults::{Fault, FaultCode};
use domain::ids::{OrgId, OrgScope};
use domain::keys::{Digest, KeyKind, KeyText};
use domain::members::{Action, Reach, Role, may};
use tonic::metadata::MetadataMap;

use crate::app::App;
use crate::error::Result;

/// Who is calling.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    role: Role,
    scope: OrgScope,
    actor: Actor,
}

impl Caller {
    /// Who to name in the audit log.
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// The one organisation of this caller; none for the operator.
    pub fn org(&self) -> Option<OrgId> {
        self.scope.org()
    }
}

/// Names the caller of a request and says yes or no to `action` for it.
pub async fn admit(app: &App, metadata: &MetadataMap, action: Action) -> Result<(Caller, OrgScope)> {
    let caller = caller(app, metadata).await?;
    let scope = allow(&caller, action)?;
    Ok((caller, scope))
}

async fn caller(app: &App, metadata: &MetadataMap) -> Result<Caller> {
    let text = bearer(metadata).ok_or_else(stranger)?;
    let digest = Digest::of(text);
    if app.is_root(&digest) {
        return Ok(Caller { role: Role::Root, scope: installation_scope(), actor: Actor::Root });
    }
    if KeyText::parse(KeyKind::Admin, text).is_err() {
        return Err(stranger().into());
    }
    let token = store::tokens::find(&app.store, &digest).await?.ok_or_else(stranger)?;
    if token.revoked_at.is_some() {
        return Err(stranger().into());
    }
    Ok(Caller { role: token.role, scope: org_scope(token.org), actor: Actor::Token(token.id) })
}

fn bearer(metadata: &MetadataMap) -> Option<&str> {
    let value = metadata.get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// One face for no token, an unknown and a revoked one.
fn stranger() -> Fault {
    Fault::new(FaultCode::InvalidKey, "a valid admin token is needed: authorization: Bearer tg_adm_…")
}

fn allow(caller: &Caller, action: Action) -> Result<OrgScope, Fault> {
    let reaches = caller.role == Role::Root || action.reach() == Reach::Org || may(caller.role, action);
    if may(caller.role, action) && reaches {
        return Ok(caller.scope);
    }
    Err(Fault::new(
        FaultCode::Forbidden,
        format!("the role {} may not do this ({})", caller.role.name(), action.name()),
    ))
}

#[expect(clippy::disallowed_methods, reason = "this is the place where scopes are made, after a token was found")]
fn org_scope(org: OrgId) -> OrgScope {
    OrgScope::granted(org)
}

/// The scope of the installation's own tasks.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place where scopes are made, for the operator and for tasks"
)]
pub fn installation_scope() -> OrgScope {
    OrgScope::installation()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller_with(role: Role) -> Caller {
        Caller { role, scope: org_scope(OrgId::new(1, 1)), actor: Actor::Root }
    }

    #[test]
    fn an_organisation_token_stays_in_its_organisation() {
        let scope = allow(&caller_with(Role::Admin), Action::CreateKey).unwrap();
        assert!(scope.covers(OrgId::new(1, 1)) && !scope.covers(OrgId::new(1, 2)));
        assert!(allow(&caller_with(Role::Owner), Action::GrantCredits).is_err());
        assert!(allow(&caller_with(Role::Viewer), Action::CreateKey).is_err());
    }

    #[test]
    fn a_bearer_is_read_whatever_its_case() {
        let mut metadata = MetadataMap::new();
        assert_eq!(bearer(&metadata), None);
        metadata.insert("authorization", "bearer  abc ".parse().unwrap());
        assert_eq!(bearer(&metadata), Some("abc"));
        metadata.insert("authorization", "Basic abc".parse().unwrap());
        assert_eq!(bearer(&metadata), None);
    }
}
