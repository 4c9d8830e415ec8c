//! Who changed what: no setting changes without an actor.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{OrgId, Revision, TokenId};
use crate::time::Timestamp;

/// Who is behind a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// Whoever holds the root admin token.
    Root,
    /// An admin token of an organisation.
    Token(TokenId),
    /// A task of the installation itself, by name.
    Task(&'static str),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Root => f.write_str("root"),
            Actor::Token(id) => write!(f, "{id}"),
            Actor::Task(name) => write!(f, "task:{name}"),
        }
    }
}

/// One line of the audit log. Says what, never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub revision: Revision,
    pub at: Timestamp,
    pub actor: String,
    pub org: Option<OrgId>,
    /// Such as `keys.revoke`.
    pub action: String,
    /// The id of what was changed.
    pub target: String,
    /// A short sentence of what changed.
    pub detail: String,
}
