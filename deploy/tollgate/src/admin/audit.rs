//! `admin audit`.

use clap::Subcommand;
use proto::admin::ListAuditRequest;
use serde_json::{Value, json};

use super::output::or_null;
use super::session::Session;
use super::{Error, Said};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Changes of settings, newest first.
    List {
        /// Only this organisation's.
        #[arg(long)]
        org: Option<String>,
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
}

pub async fn run(session: &mut Session, command: &Command) -> Result<Said, Error> {
    let Command::List { org, limit } = command;
    let request = ListAuditRequest { org: org.clone().unwrap_or_default(), limit: *limit, before: 0 };
    let entries = session.audit().list_audit(request).await?.into_inner().entries;
    let rows = entries.iter().map(|entry| {
        json!({
            "revision": entry.revision, "at": entry.at, "actor": entry.actor, "org": or_null(&entry.org),
            "action": entry.action, "target": entry.target, "detail": entry.detail,
        })
    });
    Ok(Said::data(Value::Array(rows.collect())))
}
