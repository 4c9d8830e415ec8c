//! `admin orgs`.

use clap::Subcommand;
use proto::admin::{CreateOrgRequest, ListOrgsRequest, Org, UpdateOrgRequest};
use serde_json::{Value, json};

use super::output::or_null;
use super::session::Session;
use super::{Error, Said, note};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an organisation.
    Create {
        #[arg(long)]
        name: String,
        /// A short unique name, as apply files use it.
        #[arg(long)]
        slug: Option<String>,
    },
    /// All organisations that the token may see.
    List,
    /// Change an organisation: freezing refuses all of its keys.
    Update {
        id: String,
        #[arg(long)]
        name: Option<String>,
        #[arg(long, conflicts_with = "thaw")]
        freeze: bool,
        #[arg(long)]
        thaw: bool,
    },
}

pub async fn run(session: &mut Session, command: &Command) -> Result<Said, Error> {
    let mut orgs = session.orgs();
    match command {
        Command::Create { name, slug } => {
            let request = CreateOrgRequest { name: name.clone(), slug: slug.clone().unwrap_or_default() };
            let org = orgs.create_org(request).await?.into_inner();
            note(&org.note);
            Ok(Said::data(row(&org)))
        }
        Command::List => {
            let mut rows = Vec::new();
            let mut after = String::new();
            loop {
                let page = orgs.list_orgs(ListOrgsRequest { limit: 1000, after }).await?.into_inner().orgs;
                let full = page.len() == 1000;
                after = page.last().map_or_else(String::new, |org| org.id.clone());
                rows.extend(page.iter().map(row));
                if !full {
                    return Ok(Said::data(Value::Array(rows)));
                }
            }
        }
        Command::Update { id, name, freeze, thaw } => {
            let frozen = if *freeze { Some(true) } else { thaw.then_some(false) };
            let org =
                orgs.update_org(UpdateOrgRequest { id: id.clone(), name: name.clone(), frozen }).await?.into_inner();
            note(&org.note);
            Ok(Said::data(row(&org)))
        }
    }
}

fn row(org: &Org) -> Value {
    json!({
        "id": org.id, "name": org.name, "slug": or_null(&org.slug), "billing": org.billing, "plan": org.plan,
        "frozen": org.frozen, "created_at": org.created_at,
    })
}
