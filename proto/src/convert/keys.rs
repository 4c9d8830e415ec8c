//! Keys as proxies know them: digest, ids and policy, no name and no text. Compact, since there may be a million.

use bytes::Bytes;
use domain::ids::KeyId;
use domain::keys::{Digest, Policy};
use domain::limits::{Budget, Rate, Reset};
use domain::money::Money;
use domain::snapshot::KeyGrant;
use domain::time::Timestamp;

use super::orgs::{org_bytes, read_org};
use super::{id_bytes, invalid, read_id, read_rules, write_rules};
use crate::sync as wire;

invalid!(
    /// A key that must be refused.
    InvalidKey,
    "Key"
);

const BUDGET: u64 = 1;
const REQUESTS: u64 = 1 << 1;
const TOKENS: u64 = 1 << 2;
const ALLOW_MODELS: u64 = 1 << 3;
const EXPIRES: u64 = 1 << 4;
const ROUTING: u64 = 1 << 5;
/// Every restriction of a key that this build enforces.
pub const KEY_RESTRICTIONS: u64 = BUDGET | REQUESTS | TOKENS | ALLOW_MODELS | EXPIRES | ROUTING;

/// The restrictions that a reader must understand to serve this key.
pub(super) fn must_understand(grant: &KeyGrant) -> u64 {
    let policy = &grant.policy;
    let used = [
        (policy.budget.is_some(), BUDGET),
        (policy.requests.is_some(), REQUESTS),
        (policy.tokens.is_some(), TOKENS),
        (!policy.allow_models.is_empty(), ALLOW_MODELS),
        (grant.expires_at.is_some(), EXPIRES),
        (policy.routing.is_some(), ROUTING),
    ];
    used.iter().filter(|(is_used, _)| *is_used).fold(policy.unknown_restrictions, |bits, (_, bit)| bits | bit)
}

impl From<&KeyGrant> for wire::Key {
    fn from(grant: &KeyGrant) -> Self {
        // Absent is 0 on the wire, so a key that expired in the first microsecond of 1970 is said to do so in the next.
        let expires_at_us = grant.expires_at.map_or(0, |at| if at.us() == 0 { 1 } else { at.us() });
        wire::Key {
            digest: Bytes::copy_from_slice(grant.digest.as_bytes()),
            id: id_bytes(grant.id.to_u128()),
            org: org_bytes(grant.org),
            expires_at_us,
            policy: (grant.policy != Policy::default()).then(|| (&grant.policy).into()),
        }
    }
}

impl TryFrom<wire::Key> for KeyGrant {
    type Error = InvalidKey;

    fn try_from(wire: wire::Key) -> Result<Self, InvalidKey> {
        Ok(KeyGrant {
            digest: read_digest(&wire.digest).ok_or_else(|| InvalidKey::new("digest", "not 32 bytes"))?,
            id: read_id(&wire.id).map(KeyId::from_u128).map_err(InvalidKey::at("id"))?,
            org: read_org(&wire.org).map_err(InvalidKey::at("org"))?,
            policy: wire.policy.map(Policy::try_from).transpose()?.unwrap_or_default(),
            expires_at: (wire.expires_at_us != 0).then(|| Timestamp::from_us(wire.expires_at_us)),
        })
    }
}

/// The digest of a key message, for naming one that is otherwise not understood.
pub(super) fn read_digest(bytes: &[u8]) -> Option<Digest> {
    <[u8; 32]>::try_from(bytes).ok().map(Digest::from_bytes)
}

impl From<&Policy> for wire::Policy {
    fn from(policy: &Policy) -> Self {
        wire::Policy {
            budget_nano: policy.budget.map(|budget| budget.amount.nano()),
            budget_reset: policy.budget.map(|budget| budget.reset.name().to_owned()).unwrap_or_default(),
            requests: policy.requests.map(write_rate),
            tokens: policy.tokens.map(write_rate),
            allow_models: policy.allow_models.clone(),
            routing: write_rules(policy.routing.as_ref()),
        }
    }
}

impl TryFrom<wire::Policy> for Policy {
    type Error = InvalidKey;

    fn try_from(wire: wire::Policy) -> Result<Self, InvalidKey> {
        Ok(Policy {
            budget: read_budget(wire.budget_nano, &wire.budget_reset)?,
            requests: wire.requests.map(read_rate),
            tokens: wire.tokens.map(read_rate),
            allow_models: wire.allow_models,
            routing: read_rules(&wire.routing).map_err(InvalidKey::at("policy.routing"))?,
            // Unknown bits refuse the whole key before this is reached.
            unknown_restrictions: 0,
        })
    }
}

fn read_budget(nano: Option<i64>, reset: &str) -> Result<Option<Budget>, InvalidKey> {
    let Some(nano) = nano else {
        // A reset without an amount is a budget that we would not enforce.
        return if reset.is_empty() { Ok(None) } else { Err(InvalidKey::new("policy.budget_nano", "missing")) };
    };
    if nano < 0 {
        return Err(InvalidKey::new("policy.budget_nano", format!("{nano} is below nothing")));
    }
    let reset =
        Reset::parse(reset).ok_or_else(|| InvalidKey::new("policy.budget_reset", format!("`{reset}` is no reset")))?;
    Ok(Some(Budget { amount: Money::from_nano(nano), reset }))
}

fn write_rate(rate: Rate) -> wire::Rate {
    wire::Rate { per_minute: rate.per_minute, burst: rate.burst }
}

fn read_rate(wire: wire::Rate) -> Rate {
    Rate { per_minute: wire.per_minute, burst: wire.burst }
}
