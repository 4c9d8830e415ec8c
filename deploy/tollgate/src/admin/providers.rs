//! `admin providers`.

use clap::Subcommand;
use proto::admin::{ListProvidersRequest, Provider, SetProviderEnabledRequest, TestProviderRequest};
use serde_json::{Value, json};

use super::session::Session;
use super::{Error, Said, note};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// All providers.
    List,
    /// Take a provider out of routing.
    Disable { id: String },
    /// Put a provider back into routing.
    Enable { id: String },
    /// Call a provider with the installation's own credential and say what came back.
    Test { id: String },
}

pub async fn run(session: &mut Session, command: &Command) -> Result<Said, Error> {
    let mut providers = session.providers();
    match command {
        Command::List => {
            let listed = providers.list_providers(ListProvidersRequest {}).await?.into_inner().providers;
            Ok(Said::data(Value::Array(listed.iter().map(row).collect())))
        }
        Command::Disable { id } => set(session, id, false).await,
        Command::Enable { id } => set(session, id, true).await,
        Command::Test { id } => {
            let tested = providers.test_provider(TestProviderRequest { id: id.clone() }).await?.into_inner();
            let data = json!({ "ok": tested.ok, "status": tested.status, "latency_ms": tested.latency_ms, "detail": tested.detail });
            Ok(Said { data, ok: tested.ok })
        }
    }
}

async fn set(session: &mut Session, id: &str, enabled: bool) -> Result<Said, Error> {
    let request = SetProviderEnabledRequest { id: id.to_owned(), enabled };
    let provider = session.providers().set_provider_enabled(request).await?.into_inner();
    note(&provider.note);
    Ok(Said::data(row(&provider)))
}

fn row(provider: &Provider) -> Value {
    json!({
        "id": provider.id, "name": provider.name, "base_url": provider.base_url, "dialects": provider.dialects,
        "auth": provider.auth, "has_credential": provider.has_credential, "regions": provider.regions, "enabled": provider.enabled,
    })
}
