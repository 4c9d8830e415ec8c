//! Exchanges a service account's key for an access token, once: a signed statement goes to Google's token endpoint, a token
//! comes back. Goes nowhere else, whatever the credential says, and follows no redirect. What it says of failures holds
//! nothing of a credential, a statement or a token.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Uri};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use runtime::Secret;
use runtime::clock::Clock;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use super::super::hidden;
use crate::upstream::UpstreamError;
use crate::upstream::client::is_loopback;
use crate::upstream::connect::Connector;
use crate::upstream::line::{Count, Line, Opening};

/// Where tokens come from.
const ENDPOINT: &str = "https://oauth2.googleapis.com/token";
const HOST: &str = "oauth2.googleapis.com";
/// What they are good for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long a statement is good, in seconds; Google takes an hour at most.
const STATEMENT_SECONDS: i64 = 3600;
/// The longest lifetime of a token that is believed.
const LIFETIME_MOST: Duration = Duration::from_secs(12 * 3600);
/// For connecting, asking and answering together.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const ANSWER_MOST: usize = 64 * 1024;
const GRANT_TYPE: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";

/// Why there is no token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoToken {
    #[error("the credential is not the JSON key of a service account")]
    Credential,
    #[error("the credential's token_uri is not at {HOST}")]
    Endpoint,
    #[error("the token endpoint did not answer in time")]
    Slow,
    #[error("the token endpoint could not be asked: {0}")]
    Lost(#[from] UpstreamError),
    #[error("the token endpoint refuses with status {status}, code `{code}`")]
    Refused { status: u16, code: String },
    #[error("the token endpoint's answer holds no token")]
    Answer,
}

impl NoToken {
    /// Whether no further try with this credential can end otherwise.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, NoToken::Credential | NoToken::Endpoint)
    }
}

/// A token, and how long it is good from now on.
pub(super) struct Grant {
    /// As it stands in a header.
    pub(super) header: Secret,
    pub(super) lifetime: Duration,
}

/// Asks for tokens.
pub(in crate::upstream) struct Exchange {
    connector: Connector,
    clock: Arc<dyn Clock>,
    random: SystemRandom,
}

/// The parts of a service account's JSON key that matter.
#[derive(Deserialize)]
pub(super) struct Account {
    client_email: String,
    #[serde(default)]
    private_key_id: String,
    private_key: Secret,
    #[serde(default)]
    token_uri: Option<String>,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct Given {
    access_token: Secret,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// Where a token endpoint is.
struct Place {
    is_tls: bool,
    host: String,
    port: u16,
    authority: HeaderValue,
    path: String,
}

impl Exchange {
    pub(in crate::upstream) fn over(connector: Connector, clock: Arc<dyn Clock>) -> Exchange {
        Exchange { connector, clock, random: SystemRandom::new() }
    }

    /// Time that never goes back, and goes on while the machine sleeps.
    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// A fresh token for this account. An endpoint on this machine is asked only for a provider that is there too.
    pub(super) async fn fetch(&self, secret: &Secret, is_local: bool) -> Result<Grant, NoToken> {
        // What the parser says of a credential may quote it, and is dropped.
        let account: Account = serde_json::from_slice(secret.expose()).map_err(|_| NoToken::Credential)?;
        let uri = account.token_uri.as_deref().unwrap_or(ENDPOINT);
        let place = place(uri, is_local).ok_or(NoToken::Endpoint)?;
        let statement = account.state(uri, self.clock.now_us().div_euclid(1_000_000), &self.random)?;
        drop(account);
        tokio::time::timeout(DEADLINE, self.ask(&place, &statement)).await.map_err(|_| NoToken::Slow)?
    }

    async fn ask(&self, place: &Place, statement: &Secret) -> Result<Grant, NoToken> {
        let body = Bytes::from([GRANT_TYPE.as_bytes(), statement.expose()].concat());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let stream = self.connector.connect(&place.host, place.port, place.is_tls).await?;
        let count = Count::take(&Arc::new(AtomicUsize::new(0)), 1).ok_or(UpstreamError::Crowded)?;
        let mut line = Line::new(stream, count);
        line.load((&Method::POST, &place.path), &place.authority, &headers, body.into());
        let Opening { head, first } = line.send().await?;
        let answer = rest(&mut line, &first).await?;
        match head.status.as_u16() {
            200 => given(&answer),
            status => Err(NoToken::Refused { status, code: code(&answer) }),
        }
    }
}

impl Account {
    /// The statement that is exchanged: a JSON web token, signed with the account's key.
    pub(super) fn state(&self, audience: &str, now: i64, random: &SystemRandom) -> Result<Secret, NoToken> {
        let bad = |_| NoToken::Credential;
        let der = PrivateKeyDer::from_pem_slice(self.private_key.expose()).map_err(|_| NoToken::Credential)?;
        let key = match &der {
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(bad)?,
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).map_err(bad)?,
            _ => return Err(NoToken::Credential),
        };
        let header = Header { alg: "RS256", typ: "JWT", kid: &self.private_key_id };
        let (iss, exp) = (&*self.client_email, now + STATEMENT_SECONDS);
        let claims = Claims { iss, scope: SCOPE, aud: audience, iat: now, exp };
        let part = |json: serde_json::Result<Vec<u8>>| json.map(|json| URL_SAFE_NO_PAD.encode(json));
        let header = part(serde_json::to_vec(&header)).map_err(|_| NoToken::Credential)?;
        let claims = part(serde_json::to_vec(&claims)).map_err(|_| NoToken::Credential)?;
        let signed = format!("{header}.{claims}");
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, random, signed.as_bytes(), &mut signature).map_err(|_| NoToken::Credential)?;
        Ok(Secret::from(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

/// Google's token endpoint over TLS, or one on this machine where that is allowed.
fn place(uri: &str, is_local: bool) -> Option<Place> {
    let uri: Uri = uri.parse().ok()?;
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let (host, port) = (uri.host()?, uri.port_u16());
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_tls = match uri.scheme_str()? {
        "https" if host == HOST && matches!(port, None | Some(443)) => true,
        "http" if is_local && is_loopback(bare) => false,
        _ => return None,
    };
    Some(Place {
        is_tls,
        host: bare.to_owned(),
        port: port.unwrap_or(if is_tls { 443 } else { 80 }),
        authority: HeaderValue::from_str(authority.as_str()).ok()?,
        path: uri.path_and_query()?.as_str().to_owned(),
    })
}

/// All of an answer, in memory that is wiped.
async fn rest(line: &mut Line, first: &[u8]) -> Result<Secret, NoToken> {
    let mut answer = Vec::with_capacity(ANSWER_MOST);
    answer.extend_from_slice(first);
    while let Some(data) = std::future::poll_fn(|cx| line.poll_data(cx)).await {
        let data = data?;
        if answer.len() + data.len() > ANSWER_MOST {
            return Err(NoToken::Answer);
        }
        answer.extend_from_slice(&data);
    }
    Ok(Secret::from(answer))
}

fn given(answer: &Secret) -> Result<Grant, NoToken> {
    let given: Given = serde_json::from_slice(answer.expose()).map_err(|_| NoToken::Answer)?;
    let header = Secret::from([b"Bearer ", given.access_token.expose()].concat());
    let is_good = !given.access_token.is_empty() && given.expires_in > 0 && hidden(header.expose()).is_ok();
    let lifetime = Duration::from_secs(given.expires_in).min(LIFETIME_MOST);
    if is_good { Ok(Grant { header, lifetime }) } else { Err(NoToken::Answer) }
}

/// The word for what went wrong, if the answer has one; its sentences may quote what was sent.
fn code(answer: &Secret) -> String {
    let refusal = serde_json::from_slice::<Refusal>(answer.expose());
    let is_word = |word: &str| word.len() <= 40 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    refusal.map(|refusal| refusal.error).ok().filter(|word| is_word(word)).unwrap_or_else(|| "none".to_owned())
}
