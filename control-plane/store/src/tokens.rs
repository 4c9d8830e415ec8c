//! Admin tokens of organisations. The operator's own token is no row. Proxies know nothing of them.

use domain::ids::{OrgId, OrgScope, TokenId};
use domain::keys::Digest;
use domain::members::Role;
use domain::time::Timestamp;

use crate::edit::{Edit, Written, within};
use crate::engine::{Read, Row, args};
use crate::error::{Error, Result};
use crate::orgs;

/// What is kept of an admin token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    pub org: OrgId,
    pub name: String,
    pub role: Role,
    pub digest: Digest,
    /// The beginning of the text, to tell tokens apart.
    pub hint: String,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

const INSERT: &str = "insert into tokens (id, org_id, name, role, digest, hint, created_at, revoked_at) \
    values ($1, $2, $3, $4, $5, $6, $7, $8)";
const FIND: &str = "select id, org_id, name, role, digest, hint, created_at, revoked_at from tokens \
    where digest = $1 and revoked_at is null";
const LOAD: &str = "select id, org_id, name, role, digest, hint, created_at, revoked_at from tokens where id = $1";
const LIST: &str = "select id, org_id, name, role, digest, hint, created_at, revoked_at from tokens \
    where org_id = $1 order by id";
const REVOKE: &str = "update tokens set revoked_at = $2 where id = $1";

fn read(row: &Row) -> Result<Token> {
    let mut cells = row.cells();
    Ok(Token {
        id: cells.take()?,
        org: cells.take()?,
        name: cells.take()?,
        role: cells.word(Role::parse)?,
        digest: cells.take()?,
        hint: cells.take()?,
        created_at: cells.take()?,
        revoked_at: cells.maybe()?,
    })
}

/// Adds a token.
pub async fn insert(edit: &mut Edit, scope: OrgScope, token: &Token) -> Result<()> {
    orgs::load(&mut *edit, scope, token.org).await?;
    let values = args![
        token.id,
        token.org,
        &token.name,
        token.role.name(),
        token.digest,
        &token.hint,
        token.created_at,
        token.revoked_at,
    ];
    edit.execute(INSERT, values).await.map_err(|error| error.naming("token"))?;
    let detail = format!("name {}, role {}, {}", token.name, token.role.name(), token.hint);
    edit.audit(Some(token.org), "tokens.create", token.id, detail);
    Ok(())
}

/// The token with this digest, unless it was revoked. Needs no scope: it is what scopes are made from.
pub async fn find(read_from: impl Into<Read<'_>>, digest: &Digest) -> Result<Option<Token>> {
    read_from.into().one(FIND, args![digest]).await?.as_ref().map(read).transpose()
}

/// The token with this id.
pub async fn load(read_from: impl Into<Read<'_>>, scope: OrgScope, id: TokenId) -> Result<Token> {
    let row = read_from.into().one(LOAD, args![id]).await?.ok_or(Error::NotFound { what: "token" })?;
    let token = read(&row)?;
    within(scope, token.org, "token")?;
    Ok(token)
}

/// An organisation's tokens by age, the revoked ones too.
pub async fn list(read_from: impl Into<Read<'_>>, scope: OrgScope, org: OrgId) -> Result<Vec<Token>> {
    within(scope, org, "organisation")?;
    read_from.into().all(LIST, args![org]).await?.iter().map(read).collect()
}

/// Ends a token for ever. The second time nothing happens.
pub async fn revoke(edit: &mut Edit, scope: OrgScope, id: TokenId) -> Result<Written> {
    let token = load(&mut *edit, scope, id).await?;
    if token.revoked_at.is_some() {
        return Ok(Written::Unchanged);
    }
    let now = edit.now();
    edit.execute(REVOKE, args![id, now]).await?;
    edit.audit(Some(token.org), "tokens.revoke", id, format!("name {}, {}", token.name, token.hint));
    Ok(Written::Changed)
}
