//! `admin orgs`.

use clap::Subcommand;
use proto::admin::{CreateOrgRequest, GetOrgRequest, ListOrgsRequest, Org, UpdateOrgRequest};
use serde_json::{Value, json};

use super::output::or_null;
use super::routing::{self, Deed};
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
        /// A slug; `high` and `low`, also as the end of it (`team-high`), say who goes first where a provider is scarce.
        #[arg(long)]
        plan: Option<String>,
    },
    /// Rules of where requests may go: they bind all keys of the organisation.
    #[command(subcommand)]
    Routing(routing::Command),
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
        Command::Update { id, name, freeze, thaw, plan } => {
            let frozen = if *freeze { Some(true) } else { thaw.then_some(false) };
            let (id, name, plan) = (id.clone(), name.clone(), plan.clone());
            let request = UpdateOrgRequest { id, name, frozen, plan, routing: None };
            let org = orgs.update_org(request).await?.into_inner();
            note(&org.note);
            Ok(Said::data(row(&org)))
        }
        Command::Routing(command) => {
            let (id, deed) = command.deed()?;
            let id = id.to_owned();
            let org = match deed {
                Deed::Show => orgs.get_org(GetOrgRequest { id }).await?.into_inner(),
                Deed::Write(text) => {
                    let request = UpdateOrgRequest { id, routing: Some(text), ..UpdateOrgRequest::default() };
                    orgs.update_org(request).await?.into_inner()
                }
            };
            note(&org.note);
            Ok(routing::said(&org.routing))
        }
    }
}

fn row(org: &Org) -> Value {
    json!({
        "id": org.id, "name": org.name, "slug": or_null(&org.slug), "billing": org.billing, "plan": org.plan,
        "frozen": org.frozen, "created_at": org.created_at,
        "routing": routing::shown(&org.routing),
    })
}
