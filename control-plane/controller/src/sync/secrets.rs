//! Provider credentials on their way to a proxy: opened from their form at rest and sealed to the key that the proxy
//! made at boot, for this life of it only. Never logs one, never keeps one.

use std::time::Duration;

use bytes::Bytes;
use domain::ids::{BootEpoch, ProviderId, ProxyId};
use proto::convert::secret_info;
use proto::sync as wire;
use runtime::seal::{PUBLIC_KEY_LEN, seal_to};

use super::who;
use crate::app::App;
use crate::error::{Error, Result};
use crate::fault::invalid;
use crate::providers;
use domain::faults::{Fault, FaultCode};

/// Most providers in one call.
const MOST: usize = 1_000;
/// How long the call waits for the proxy's stream, which may be opening at this moment.
const PATIENCE: Duration = Duration::from_secs(2);

/// Seals the credentials of the named providers. Providers that have none, or are not known, are left out.
pub async fn seal(app: &App, request: &wire::SecretsRequest) -> Result<wire::SecretsResponse> {
    let (proxy, epoch) = who(&request.proxy_id, request.boot_epoch)?;
    if request.boot_key.len() != PUBLIC_KEY_LEN {
        return Err(invalid("boot_key", format!("{PUBLIC_KEY_LEN} bytes are needed")).into());
    }
    if request.providers.len() > MOST {
        return Err(invalid("providers", format!("at most {MOST} in one call")).into());
    }
    if !app.fleet.knows(&proxy, epoch, PATIENCE).await {
        return Err(Fault::new(FaultCode::Forbidden, "open the watch stream first: this proxy is not connected").into());
    }
    let mut secrets = Vec::with_capacity(request.providers.len());
    for id in &request.providers {
        let id: ProviderId = id.parse().map_err(|error: domain::ids::BadId| invalid("providers", error.to_string()))?;
        secrets.extend(sealed(app, &proxy, epoch, id, &request.boot_key).await?);
    }
    Ok(wire::SecretsResponse { secrets })
}

async fn sealed(
    app: &App,
    proxy: &ProxyId,
    epoch: BootEpoch,
    provider: ProviderId,
    boot_key: &[u8],
) -> Result<Option<wire::SealedSecret>> {
    let (version, secret) = match providers::credential(app, &provider).await {
        Ok(Some(found)) => found,
        Ok(None) | Err(Error::Store(store::Error::NotFound { .. })) => return Ok(None),
        // One that cannot be opened is loud, and does not keep the others away.
        Err(Error::Runtime(error)) => {
            let error: &dyn std::error::Error = &error;
            tracing::error!(%provider, error, "the credential of {provider} cannot be opened");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let info = secret_info(proxy, epoch, &provider, version);
    let sealed = seal_to(boot_key, &info, secret.expose()).map_err(|error| invalid("boot_key", error.to_string()))?;
    Ok(Some(wire::SealedSecret { provider: provider.to_string(), version, sealed: Bytes::from(sealed) }))
}
