//! What may happen to the admin tokens of organisations.

pub mod rpc;

use domain::audit::Actor;
use domain::ids::{OrgId, OrgScope, Revision, TokenId};
use domain::keys::{Digest, KeyKind, generate};
use domain::members::Role;
use store::tokens::Token;

use crate::app::App;
use crate::error::Result;
use crate::fault::invalid;
use crate::keys::hint;
use crate::orgs::parse_name;

/// Makes a token; its text is known for this once.
pub async fn create(
    app: &App,
    actor: Actor,
    scope: OrgScope,
    org: OrgId,
    name: &str,
    role: &str,
) -> Result<(Token, String)> {
    let role = if role.is_empty() { Some(Role::Admin) } else { Role::parse(role) };
    let role = role.filter(|role| *role != Role::Root);
    let role = role.ok_or_else(|| invalid("role", "owner, admin, billing, member or viewer"))?;
    let text = generate(KeyKind::Admin, rand::random);
    let (ms, random) = app.fresh();
    let token = Token {
        id: TokenId::new(ms, random),
        org,
        name: parse_name("name", name)?,
        role,
        digest: Digest::of(&text),
        hint: hint(&text),
        created_at: app.now(),
        revoked_at: None,
    };
    let mut edit = app.store.edit(actor, app.now()).await?;
    store::orgs::load(&mut edit, scope, org).await?;
    store::tokens::insert(&mut edit, scope, &token).await?;
    edit.commit().await?;
    Ok((token, text))
}

/// Makes a token stop working.
pub async fn revoke(app: &App, actor: Actor, scope: OrgScope, id: TokenId) -> Result<Revision> {
    let mut edit = app.store.edit(actor, app.now()).await?;
    store::tokens::revoke(&mut edit, scope, id).await?;
    Ok(edit.commit().await?)
}
