//! Pools: what is lent to proxies so that a request needs no round trip. One mechanism for money, budgets and rates.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{KeyId, OrgId, ProviderId};
use crate::keys::Digest;
use crate::limits::Period;

/// A provider's account in few bytes: the head of the SHA-256 of the provider's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountTag(u64);

impl AccountTag {
    /// The tag of a provider's account.
    pub fn of(provider: &ProviderId) -> AccountTag {
        let head = Digest::of(provider.as_str()).as_bytes().first_chunk::<8>().copied().unwrap_or_default();
        AccountTag(u64::from_be_bytes(head))
    }
}

/// One pool. Units are nano-dollars for `Credits` and `Budget`, requests for `Requests` and `AccountRequests`, tokens for
/// the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PoolId {
    /// An organisation's prepaid credits.
    Credits(OrgId),
    /// What a key may spend in one period.
    Budget(KeyId, Period),
    /// Requests per minute of a key.
    Requests(KeyId),
    /// Tokens per minute of a key.
    Tokens(KeyId),
    /// Requests per minute of the platform's account at a provider.
    AccountRequests(AccountTag),
    /// Tokens per minute of the platform's account at a provider.
    AccountTokens(AccountTag),
}

impl PoolId {
    /// Whether units are money that the books know; rate pools live in the controller's memory only.
    pub fn is_money(&self) -> bool {
        matches!(self, PoolId::Credits(_) | PoolId::Budget(..))
    }
}

impl fmt::Display for PoolId {
    /// `credits:org_…`, `budget:key_…:1795219200`, `requests:key_…`, `tokens:key_…`, `account-requests:` and
    /// `account-tokens:` with 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolId::Credits(org) => write!(f, "credits:{org}"),
            PoolId::Budget(key, period) => write!(f, "budget:{key}:{}", period.0),
            PoolId::Requests(key) => write!(f, "requests:{key}"),
            PoolId::Tokens(key) => write!(f, "tokens:{key}"),
            PoolId::AccountRequests(AccountTag(tag)) => write!(f, "account-requests:{tag:016x}"),
            PoolId::AccountTokens(AccountTag(tag)) => write!(f, "account-tokens:{tag:016x}"),
        }
    }
}

/// A text that names no pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a pool")]
pub struct BadPool(String);

impl FromStr for PoolId {
    type Err = BadPool;
    fn from_str(text: &str) -> Result<Self, BadPool> {
        parse(text).ok_or_else(|| BadPool(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<PoolId> {
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "credits" => rest.parse().ok().map(PoolId::Credits),
        "budget" => {
            let (key, period) = rest.split_once(':')?;
            Some(PoolId::Budget(key.parse().ok()?, Period(period.parse().ok()?)))
        }
        "requests" => rest.parse().ok().map(PoolId::Requests),
        "tokens" => rest.parse().ok().map(PoolId::Tokens),
        "account-requests" => tag(rest).map(PoolId::AccountRequests),
        "account-tokens" => tag(rest).map(PoolId::AccountTokens),
        _ => None,
    }
}

fn tag(text: &str) -> Option<AccountTag> {
    let is_one = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(text, 16).ok().filter(|_| is_one).map(AccountTag)
}

impl Serialize for PoolId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PoolId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_survives_its_text_form() {
        let org = OrgId::new(1, 2);
        let key = KeyId::new(3, 4);
        let account = AccountTag::of(&"acme".parse().unwrap());
        for pool in [
            PoolId::Credits(org),
            PoolId::Budget(key, Period(86_400)),
            PoolId::Requests(key),
            PoolId::Tokens(key),
            PoolId::AccountRequests(account),
            PoolId::AccountTokens(account),
        ] {
            assert_eq!(pool.to_string().parse(), Ok(pool));
        }
        assert!("credits:key_0".parse::<PoolId>().is_err());
        assert!("account-tokens:+00000000000000f".parse::<PoolId>().is_err());
    }
}
