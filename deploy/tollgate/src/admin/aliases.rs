//! `admin aliases`.

use clap::Subcommand;
use proto::admin::{GetNamesRequest, RemoveAliasRequest, SetAliasRequest};
use serde_json::{Value, json};

use super::session::Session;
use super::{Error, Said, note};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Let a name stand for a model, or for several that are tried in turn.
    Set {
        name: String,
        #[arg(long)]
        org: String,
        /// A model; repeat for those to try after it.
        #[arg(long = "model", value_name = "MODEL", required = true)]
        models: Vec<String>,
    },
    /// An organisation's aliases.
    List {
        #[arg(long)]
        org: String,
    },
    /// Take an alias away.
    Remove {
        name: String,
        #[arg(long)]
        org: String,
    },
}

pub async fn run(session: &mut Session, command: &Command) -> Result<Said, Error> {
    let mut names = session.names();
    match command {
        Command::Set { name, org, models } => {
            let request = SetAliasRequest { org: org.clone(), name: name.clone(), models: models.clone() };
            let written = names.set_alias(request).await?.into_inner();
            note(&written.note);
            Ok(Said::data(json!({ "name": written.name, "models": models })))
        }
        Command::List { org } => {
            let listed = names.get_names(GetNamesRequest { org: org.clone() }).await?.into_inner();
            let rows = listed.aliases.iter().map(|alias| json!({ "name": alias.name, "models": alias.models }));
            Ok(Said::data(Value::Array(rows.collect())))
        }
        Command::Remove { name, org } => {
            let request = RemoveAliasRequest { org: org.clone(), name: name.clone() };
            let written = names.remove_alias(request).await?.into_inner();
            note(&written.note);
            Ok(Said::data(json!({ "name": written.name, "revision": written.revision })))
        }
    }
}
