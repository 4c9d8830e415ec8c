//! What may happen to providers: switching, credentials, and a test call that says what came back.

pub mod rpc;
mod status;

use std::time::{Duration, Instant};

use domain::audit::Actor;
use domain::ids::{ProviderId, Revision};
use domain::providers::Provider;
use runtime::Secret;

use crate::app::App;
use crate::error::Result;

/// How long a test call may take.
const TEST_DEADLINE: Duration = Duration::from_secs(10);

/// What a sealed credential is bound to, so that a row cannot be put in another's place.
pub fn binding(provider: &ProviderId, version: u64) -> Vec<u8> {
    runtime::seal::binding(&[b"provider-credential", provider.as_str().as_bytes(), &version.to_be_bytes()])
}

/// The platform's own credential at a provider, with its version.
pub async fn credential(app: &App, provider: &ProviderId) -> Result<Option<(u64, Secret)>> {
    let Some(row) = store::providers::credential(&app.store, provider).await? else { return Ok(None) };
    let secret = app.seal.open(&binding(provider, row.version), &row.sealed)?;
    Ok(Some((row.version, secret)))
}

/// Takes a provider out of routing or puts it back.
pub async fn set_enabled(app: &App, actor: Actor, id: &ProviderId, enabled: bool) -> Result<(Provider, Revision)> {
    let mut edit = app.store.edit(actor, app.now()).await?;
    store::providers::set_enabled(&mut edit, id, enabled).await?;
    let provider = store::providers::load(&mut edit, id).await?.provider;
    let revision = edit.commit().await?;
    Ok((provider, revision))
}

/// What a test call brought.
pub struct Tested {
    pub ok: bool,
    pub status: u16,
    pub latency_ms: u64,
    pub detail: String,
}

/// Asks a provider for its model list with the platform's credential.
pub async fn test(app: &App, id: &ProviderId) -> Result<Tested> {
    let provider = store::providers::load(&app.store, id).await?.provider;
    let credential = credential(app, id).await?.map(|(_, secret)| secret);
    if provider.base_url == "echo://local" {
        return Ok(Tested {
            ok: true,
            status: 200,
            latency_ms: 0,
            detail: "built in; there is nothing to reach".to_owned(),
        });
    }
    if credential.is_none() && !provider.auth.needs_no_credential() {
        return Ok(Tested { ok: false, status: 0, latency_ms: 0, detail: "it has no credential".to_owned() });
    }
    let started = Instant::now();
    let answer = call(&provider, credential.as_ref()).await;
    let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(match answer {
        Ok(status) => {
            let ok = status < 400;
            let detail = if ok { "it answered" } else { "it answered with an error" };
            Tested { ok, status, latency_ms, detail: detail.to_owned() }
        }
        // Without the address: it may carry a credential of somebody's making.
        Err(error) => Tested { ok: false, status: 0, latency_ms, detail: root_cause(&error.without_url()) },
    })
}

async fn call(provider: &Provider, credential: Option<&Secret>) -> Result<u16, reqwest::Error> {
    let client =
        reqwest::Client::builder().timeout(TEST_DEADLINE).redirect(reqwest::redirect::Policy::none()).build()?;
    let mut request = client.get(format!("{}/models", provider.base_url.trim_end_matches('/')));
    if let Some(text) = credential.and_then(Secret::expose_text) {
        request = match provider.auth.0.strip_prefix("header:") {
            Some(name) => request.header(name, text),
            None => request.bearer_auth(text),
        };
    }
    Ok(request.send().await?.status().as_u16())
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
