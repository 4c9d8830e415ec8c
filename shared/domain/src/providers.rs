//! Providers: upstream account families. Rows, not code.

use serde::{Deserialize, Serialize};

use crate::catalog::DialectId;
use crate::ids::ProviderId;
use crate::limits::Rate;

/// An upstream account family: where it is, what it speaks, how requests are signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    pub id: ProviderId,
    pub name: String,
    /// The route of each operation is appended to its path; `{model}` in the path is the endpoint's upstream model, a
    /// query is kept. `echo://local` is the built-in provider.
    pub base_url: String,
    pub dialects: Vec<DialectId>,
    /// `bearer`, `header:<name>`, `google-service-account`, `aws-sigv4:<region>/<service>` or `none`.
    pub auth: AuthScheme,
    /// Version of the platform's own credential, 0 when there is none. The secret itself never travels here.
    pub credential_version: u64,
    pub regions: Vec<String>,
    pub data_policy: DataPolicy,
    pub limits: AccountLimits,
    /// Plain `http://` beyond loopback was asked for.
    pub insecure: bool,
    pub enabled: bool,
}

impl Provider {
    /// Whether a request can be signed: a credential is there or none is needed.
    pub fn can_sign(&self) -> bool {
        self.credential_version > 0 || self.auth.needs_no_credential()
    }
}

/// How requests to a provider are signed, by name. An unknown name disables the row at the proxy, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuthScheme(pub String);

/// An auth scheme that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an auth scheme; known are bearer, header:<name>, google-service-account, \
     aws-sigv4:<region>/<service>, none"
)]
pub struct UnknownScheme(String);

impl AuthScheme {
    /// A scheme by the name people write.
    pub fn parse(text: &str) -> Result<AuthScheme, UnknownScheme> {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let is_known = match text.split_once(':') {
            None => matches!(text, "bearer" | "google-service-account" | "none"),
            Some(("header", name)) => is_word(name),
            Some(("aws-sigv4", scope)) => {
                scope.split_once('/').is_some_and(|(region, service)| is_word(region) && is_word(service))
            }
            Some(_) => false,
        };
        if is_known { Ok(AuthScheme(text.to_owned())) } else { Err(UnknownScheme(text.chars().take(40).collect())) }
    }

    /// Whether requests go out unsigned.
    pub fn needs_no_credential(&self) -> bool {
        self.0 == "none"
    }
}

/// What a provider does with the data it sees, as far as it says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataPolicy {
    pub training: Option<bool>,
    pub retention_days: Option<u32>,
    pub zdr: Option<bool>,
}

/// What the platform's own account at a provider may be asked for in any minute, by the whole fleet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountLimits {
    pub requests_per_minute: Option<u64>,
    /// Prompt and answer together, as they are thought to be before they are counted.
    pub tokens_per_minute: Option<u64>,
}

impl AccountLimits {
    /// Whether there is any.
    pub fn is_some(&self) -> bool {
        self.requests_per_minute.is_some() || self.tokens_per_minute.is_some()
    }

    /// The pace that keeps the limit of requests in any window of a minute: a tenth may go at once, the rest is spread
    /// over it.
    pub fn requests(&self) -> Option<Rate> {
        self.requests_per_minute.map(|limit| pace(limit, limit.div_ceil(10)))
    }

    /// The same for tokens, where half may go at once: one request may need that many.
    pub fn tokens(&self) -> Option<Rate> {
        self.tokens_per_minute.map(|limit| pace(limit, limit.div_ceil(2)))
    }
}

/// What goes at once and what is spread over a minute are never more than the limit together.
fn pace(limit: u64, burst: u64) -> Rate {
    Rate { per_minute: limit.saturating_sub(burst).max(1), burst }
}

/// What stands for the endpoint's upstream model in the path of a base URL.
pub const MODEL_PLACEHOLDER: &str = "{model}";

/// What is wrong with a provider's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    #[error("`{0}` is not an http or https address")]
    Shape(String),
    #[error("`{0}` is plain http beyond this machine; say insecure = true if that is meant")]
    Insecure(String),
}

/// Checks a base URL: https anywhere, http on loopback or when `insecure`, `echo://local` for the built-in provider. Its
/// path may name the model, and a query may follow.
pub fn check_base_url(url: &str, insecure: bool) -> Result<(), BadUrl> {
    let shape = || BadUrl::Shape(url.chars().take(120).collect());
    if url == "echo://local" {
        return Ok(());
    }
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let is_odd = |text: &str| text.contains(['#', '?', ' ', '@', '{', '}']);
    if is_odd(&address.replace(MODEL_PLACEHOLDER, "")) || is_odd(query) {
        return Err(shape());
    }
    let (is_secure, rest) = match address.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, address.strip_prefix("http://").ok_or_else(shape)?),
    };
    let authority = rest.split('/').next().unwrap_or("");
    if authority.is_empty() || authority.contains(MODEL_PLACEHOLDER) {
        return Err(shape());
    }
    if is_secure {
        return Ok(());
    }
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    };
    if host.is_empty() {
        return Err(shape());
    }
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if loopback || insecure { Ok(()) } else { Err(BadUrl::Insecure(url.chars().take(120).collect())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine_unless_asked() {
        assert!(check_base_url("https://api.openai.com/v1", false).is_ok());
        assert!(check_base_url("http://127.0.0.1:4010/v1", false).is_ok());
        assert!(check_base_url("http://[::1]:4010/v1", false).is_ok());
        assert!(matches!(check_base_url("http://10.0.0.1/v1", false), Err(BadUrl::Insecure(_))));
        assert!(check_base_url("http://10.0.0.1/v1", true).is_ok());
        assert!(matches!(check_base_url("http://127.0.0.1.evil.example/v1", false), Err(BadUrl::Insecure(_))));
        assert!(matches!(check_base_url("http://127.0.0.1@evil.example/v1", false), Err(BadUrl::Shape(_))));
        assert!(matches!(check_base_url("ftp://x", false), Err(BadUrl::Shape(_))));
    }

    #[test]
    fn a_pace_keeps_its_limit_in_every_minute() {
        for limit in [2, 3, 10, 61, 500, 1_000_000] {
            let limits = AccountLimits { requests_per_minute: Some(limit), tokens_per_minute: Some(limit) };
            for Rate { per_minute, burst } in [limits.requests().unwrap(), limits.tokens().unwrap()] {
                assert!(per_minute + burst <= limit && burst >= 1 && per_minute >= 1, "{limit}");
            }
        }
    }

    #[test]
    fn schemes_are_checked_names() {
        for known in [
            "bearer",
            "none",
            "header:x-api-key",
            "header:api-key",
            "google-service-account",
            "aws-sigv4:us-east-1/bedrock",
        ] {
            assert_eq!(AuthScheme::parse(known), Ok(AuthScheme(known.to_owned())));
        }
        for unknown in [
            "header:",
            "header:X",
            "magic",
            "bearer:x",
            "google-service-account:x",
            "aws-sigv4",
            "aws-sigv4:us-east-1",
            "aws-sigv4:/bedrock",
            "aws-sigv4:us-east-1/",
            "aws-sigv4:us east/bedrock",
            "aws-sigv4:us/bedrock/x",
        ] {
            assert!(AuthScheme::parse(unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn an_address_may_name_the_model_in_its_path_and_keep_a_query() {
        for good in [
            "https://x.openai.azure.com/openai/deployments/{model}?api-version=2024-10-21",
            "https://x.openai.azure.com/openai/v1?api-version=preview",
            "https://api.example?a=b",
            "http://127.0.0.1:4010/model/{model}",
        ] {
            assert_eq!(check_base_url(good, false), Ok(()), "{good}");
        }
        for bad in [
            "https://{model}.example/v1",
            "https://api.example/{deployment}",
            "https://api.example/v1?m={model}",
            "https://api.example/v1?a?b",
            "https://api.example/v1#x",
            "https://?a=b",
            "https:///v1",
            "http://?127.0.0.1",
        ] {
            assert!(matches!(check_base_url(bad, false), Err(BadUrl::Shape(_))), "{bad}");
        }
        assert!(matches!(check_base_url("http://10.0.0.1?127.0.0.1", false), Err(BadUrl::Insecure(_))));
    }
}
