//! `admin fleet`.

use clap::Subcommand;
use proto::admin::{ListProxiesRequest, WaitForRevisionRequest};
use serde_json::{Value, json};

use super::session::Session;
use super::{Error, Said};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Connected proxies and the revision each one runs.
    List,
}

pub async fn run(session: &mut Session, command: &Command) -> Result<Said, Error> {
    let Command::List = command;
    let proxies = session.fleet().list_proxies(ListProxiesRequest {}).await?.into_inner().proxies;
    let rows = proxies.iter().map(|proxy| {
        let refused: Vec<Value> = proxy
            .refused
            .iter()
            .map(|change| json!({ "kind": change.kind, "name": change.name, "reason": change.reason }))
            .collect();
        json!({
            "proxy": proxy.proxy, "connected_since": proxy.connected_since, "revision": proxy.revision,
            "head_revision": proxy.head_revision, "refused": refused, "build": proxy.build, "region": proxy.region,
        })
    });
    Ok(Said::data(Value::Array(rows.collect())))
}

/// Waits until every connected proxy runs `revision`, for a minute at most.
pub async fn wait(session: &mut Session, revision: u64) -> Result<(), Error> {
    let request = WaitForRevisionRequest { revision, timeout_ms: 60_000 };
    let answer = session.fleet().wait_for_revision(request).await?.into_inner();
    if answer.applied {
        return Ok(());
    }
    Err(Error::Refused(format!("revision {revision} is not yet applied by: {}", answer.laggards.join(", "))))
}
