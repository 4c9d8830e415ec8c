//! Providers: upstream account families. Rows, not code.

use serde::{Deserialize, Serialize};

use crate::catalog::DialectId;
use crate::ids::ProviderId;

/// An upstream account family: where it is, what it speaks, how requests are signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    pub id: ProviderId,
    pub name: String,
    /// The route of each operation is appended. `echo://local` is the built-in provider.
    pub base_url: String,
    pub dialects: Vec<DialectId>,
    /// `bearer`, `header:<name>` or `none`.
    pub auth: AuthScheme,
    /// Version of the platform's own credential, 0 when there is none. The secret itself never travels here.
    pub credential_version: u64,
    pub regions: Vec<String>,
    pub data_policy: DataPolicy,
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
#[error("`{0}` is not an auth scheme; known are bearer, header:<name>, none")]
pub struct UnknownScheme(String);

impl AuthScheme {
    /// A scheme by the name people write.
    pub fn parse(text: &str) -> Result<AuthScheme, UnknownScheme> {
        let header = text.strip_prefix("header:").is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        });
        if header || text == "bearer" || text == "none" {
            Ok(AuthScheme(text.to_owned()))
        } else {
            Err(UnknownScheme(text.chars().take(40).collect()))
        }
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

/// What is wrong with a provider's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    #[error("`{0}` is not an http or https address")]
    Shape(String),
    #[error("`{0}` is plain http beyond this machine; say insecure = true if that is meant")]
    Insecure(String),
}

/// Checks a base URL: https anywhere, http on loopback or when `insecure`, `echo://local` for the built-in provider.
pub fn check_base_url(url: &str, insecure: bool) -> Result<(), BadUrl> {
    let shape = || BadUrl::Shape(url.chars().take(120).collect());
    if url == "echo://local" {
        return Ok(());
    }
    if url.contains(['#', '?', ' ']) || url.contains('@') {
        return Err(shape());
    }
    if let Some(rest) = url.strip_prefix("https://") {
        return if rest.is_empty() || rest.starts_with('/') { Err(shape()) } else { Ok(()) };
    }
    let rest = url.strip_prefix("http://").ok_or_else(shape)?;
    let authority = rest.split('/').next().unwrap_or("");
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
    fn schemes_are_checked_names() {
        assert!(AuthScheme::parse("header:x-api-key").is_ok());
        assert!(AuthScheme::parse("header:").is_err());
        assert!(AuthScheme::parse("magic").is_err());
    }
}
