//! How endpoints do, for people: what all proxies met in the last half hour, as the `health` room has it.

use link::health::coolings::{Coolings, Pool};
use link::health::view::Shown;
use proto::admin;
use store::providers::Stored;

use crate::app::App;
use crate::error::Result;
use crate::health::now_ms;

/// Every endpoint of a provider, or of all.
pub async fn list(app: &App, provider: &str) -> Result<Vec<admin::EndpointStatus>> {
    let providers = store::providers::list(&app.store).await?;
    let now_ms = now_ms(app);
    let mut coolings = Coolings::default();
    for (pool, left) in app.health.coolings(now_ms) {
        coolings.cool(pool, left, now_ms);
    }
    let mut rows = Vec::new();
    for listed in store::catalog::list_endpoints(&app.store).await? {
        let endpoint = listed.endpoint;
        let is_wanted =
            |row: &&Stored| row.id == endpoint.provider && (provider.is_empty() || row.id.as_str() == provider);
        let Some(row) = providers.iter().find(is_wanted) else { continue };
        let pool = Pool {
            provider: row.id.clone(),
            credential_version: row.credential_version,
            upstream_model: endpoint.upstream_model,
        };
        let cooling_ms = coolings.until(&pool, now_ms).map(|until| until.saturating_sub(now_ms));
        let shown = app.health.shown(&endpoint.id, now_ms);
        rows.push(message(endpoint.id.to_string(), row.id.to_string(), &shown, cooling_ms));
    }
    Ok(rows)
}

fn message(endpoint: String, provider: String, shown: &Shown, cooling_ms: Option<u64>) -> admin::EndpointStatus {
    let Shown { state, measures } = shown;
    admin::EndpointStatus {
        endpoint,
        provider,
        state: if cooling_ms.is_some() { "cooling" } else { state.name() }.to_owned(),
        attempts: measures.attempts,
        uptime_per_mille: measures.uptime().and_then(|uptime| u32::try_from(uptime).ok()),
        latency_p50_ms: measures.latency.percentile(50),
        latency_p95_ms: measures.latency.percentile(95),
        throughput_p50: measures.throughput.percentile(50),
        cooling_ms,
    }
}
