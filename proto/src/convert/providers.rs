//! Providers. A dialect that this build does not know is left out; an address or auth scheme that it does not know
//! refuses the provider.

use domain::providers::{AccountLimits, AuthScheme, DataPolicy, Provider, check_base_url};

use super::invalid;
use crate::sync as wire;

invalid!(
    /// A provider that cannot be used.
    InvalidProvider,
    "Provider"
);

impl From<&Provider> for wire::Provider {
    fn from(provider: &Provider) -> Self {
        wire::Provider {
            id: provider.id.to_string(),
            name: provider.name.clone(),
            base_url: provider.base_url.clone(),
            dialects: provider.dialects.iter().map(ToString::to_string).collect(),
            auth: provider.auth.0.clone(),
            credential_version: provider.credential_version,
            regions: provider.regions.clone(),
            training: provider.data_policy.training,
            retention_days: provider.data_policy.retention_days,
            zdr: provider.data_policy.zdr,
            insecure: provider.insecure,
            enabled: provider.enabled,
            requests_per_minute: provider.limits.requests_per_minute,
            tokens_per_minute: provider.limits.tokens_per_minute,
        }
    }
}

impl TryFrom<wire::Provider> for Provider {
    type Error = InvalidProvider;

    fn try_from(wire: wire::Provider) -> Result<Self, InvalidProvider> {
        check_base_url(&wire.base_url, wire.insecure).map_err(InvalidProvider::at("base_url"))?;
        let dialects: Vec<_> = wire.dialects.iter().filter_map(|name| name.parse().ok()).collect();
        if dialects.is_empty() && !wire.dialects.is_empty() {
            return Err(InvalidProvider::new("dialects", format!("none known of {}", wire.dialects.join(", "))));
        }
        Ok(Provider {
            id: wire.id.parse().map_err(InvalidProvider::at("id"))?,
            name: wire.name,
            base_url: wire.base_url,
            dialects,
            auth: AuthScheme::parse(&wire.auth).map_err(InvalidProvider::at("auth"))?,
            credential_version: wire.credential_version,
            regions: wire.regions,
            data_policy: DataPolicy { training: wire.training, retention_days: wire.retention_days, zdr: wire.zdr },
            limits: AccountLimits {
                requests_per_minute: wire.requests_per_minute,
                tokens_per_minute: wire.tokens_per_minute,
            },
            insecure: wire.insecure,
            enabled: wire.enabled,
        })
    }
}
