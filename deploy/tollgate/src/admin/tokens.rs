//! `admin tokens`.

use clap::Subcommand;
use proto::admin::{CreateTokenRequest, ListTokensRequest, RevokeTokenRequest};
use serde_json::{Value, json};

use super::output::or_null;
use super::session::Session;
use super::{Error, Said};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an admin token of one organisation. Its text is shown this once.
    Create {
        #[arg(long)]
        org: String,
        #[arg(long)]
        name: String,
        /// owner, admin, billing, member or viewer.
        #[arg(long, default_value = "admin")]
        role: String,
    },
    /// An organisation's admin tokens.
    List {
        #[arg(long)]
        org: String,
    },
    /// Make a token stop working.
    Revoke { id: String },
}

pub async fn run(session: &mut Session, command: &Command) -> Result<Said, Error> {
    let mut tokens = session.tokens();
    match command {
        Command::Create { org, name, role } => {
            let request = CreateTokenRequest { org: org.clone(), name: name.clone(), role: role.clone() };
            let made = tokens.create_token(request).await?.into_inner();
            let token = made.token.unwrap_or_default();
            Ok(Said::data(json!({ "id": token.id, "name": token.name, "role": token.role, "token": made.text })))
        }
        Command::List { org } => {
            let listed = tokens.list_tokens(ListTokensRequest { org: org.clone() }).await?.into_inner().tokens;
            let rows = listed.iter().map(|token| {
                json!({
                    "id": token.id, "name": token.name, "role": token.role, "hint": token.hint,
                    "created_at": token.created_at, "revoked_at": or_null(&token.revoked_at),
                })
            });
            Ok(Said::data(Value::Array(rows.collect())))
        }
        Command::Revoke { id } => {
            let revoked = tokens.revoke_token(RevokeTokenRequest { id: id.clone() }).await?.into_inner();
            Ok(Said::data(json!({ "id": revoked.id, "revision": revoked.revision })))
        }
    }
}
