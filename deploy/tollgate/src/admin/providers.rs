//! `admin providers`.

use clap::Subcommand;
use proto::admin::{
    EndpointStatus, GetProviderStatusRequest, ListProvidersRequest, Provider, SetProviderEnabledRequest,
    TestProviderRequest,
};
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
    /// How endpoints do, as all proxies together see them in the last 30 minutes.
    Status {
        /// One provider alone.
        id: Option<String>,
    },
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
        Command::Status { id } => {
            let request = GetProviderStatusRequest { provider: id.clone().unwrap_or_default() };
            let endpoints = providers.get_provider_status(request).await?.into_inner().endpoints;
            Ok(Said::data(Value::Array(endpoints.iter().map(status).collect())))
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

fn status(endpoint: &EndpointStatus) -> Value {
    json!({
        "endpoint": endpoint.endpoint, "provider": endpoint.provider, "state": endpoint.state,
        "attempts": endpoint.attempts,
        "uptime_percent": endpoint.uptime_per_mille.map(|uptime| f64::from(uptime) / 10.0),
        "latency_p50_ms": endpoint.latency_p50_ms, "latency_p95_ms": endpoint.latency_p95_ms,
        "throughput_p50": endpoint.throughput_p50, "cooling_ms": endpoint.cooling_ms,
    })
}

fn row(provider: &Provider) -> Value {
    json!({
        "id": provider.id, "name": provider.name, "base_url": provider.base_url, "dialects": provider.dialects,
        "auth": provider.auth, "has_credential": provider.has_credential, "regions": provider.regions, "enabled": provider.enabled,
        "requests_per_minute": provider.requests_per_minute, "tokens_per_minute": provider.tokens_per_minute,
    })
}
