//! `aws-sigv4:<region>/<service>`: AWS Signature Version 4, as Bedrock asks for. The credential is JSON with
//! `accessKeyId`, `secretAccessKey` and perhaps `sessionToken`; anything that is no JSON object is a Bedrock API key and
//! goes as a bearer token. Signs the whole request, body included, so it comes last. Next room: `canonical`.

mod canonical;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use domain::time::Timestamp;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::{digest, hmac};
use runtime::Secret;
use serde::Deserialize;

use self::canonical::{Request, hex};
use super::{Account, Outgoing, Prepared, Sign, SignError, bearer, hidden};

static DATE: HeaderName = HeaderName::from_static("x-amz-date");
static SESSION_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
/// Headers of this kind are signed wherever they are.
const OWN: &str = "x-amz-";

pub(super) struct Aws;

impl Sign for Aws {
    fn prepare(&self, account: &Account<'_>) -> Result<Prepared, SignError> {
        let (region, service) = account.argument.and_then(scope).ok_or(SignError::Scheme)?;
        let secret = account.secret()?;
        if !secret.expose().trim_ascii_start().starts_with(b"{") {
            let value = bearer::value(secret)?;
            return Ok(Prepared::Headers(HeaderMap::from_iter([(AUTHORIZATION, value)])));
        }
        let key = Key::read(secret, region, service)?;
        Ok(Prepared::Request(Box::new(move |outgoing, headers| key.sign(outgoing, headers))))
    }

    fn accepts(&self, argument: Option<&str>) -> bool {
        argument.and_then(scope).is_some()
    }
}

/// Region and service of an argument.
fn scope(argument: &str) -> Option<(&str, &str)> {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    argument.split_once('/').filter(|(region, service)| is_word(region) && is_word(service))
}

/// A credential as people keep it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credential {
    #[serde(alias = "aws_access_key_id")]
    access_key_id: String,
    #[serde(alias = "aws_secret_access_key")]
    secret_access_key: Secret,
    #[serde(default, alias = "aws_session_token")]
    session_token: Option<Secret>,
    #[serde(default)]
    region: Option<String>,
}

/// Signs for one credential, in one region, to one service.
struct Key {
    access_key_id: Box<str>,
    secret: Secret,
    session_token: Option<HeaderValue>,
    region: Box<str>,
    service: Box<str>,
    today: RefCell<Option<Today>>,
}

/// What is derived anew each day.
struct Today {
    /// `YYYYMMDD`
    date: Box<str>,
    key: hmac::Key,
}

impl Key {
    fn read(secret: &Secret, region: &str, service: &str) -> Result<Key, SignError> {
        // What the parser says of it may quote it, and is dropped.
        let read: Credential = serde_json::from_slice(secret.expose()).map_err(|_| SignError::Malformed)?;
        let is_id = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_id(&read.access_key_id) || read.secret_access_key.is_empty() {
            return Err(SignError::Malformed);
        }
        if read.region.is_some_and(|own| own != region) {
            return Err(SignError::Region);
        }
        let session_token = read.session_token.filter(|token| !token.is_empty());
        Ok(Key {
            access_key_id: read.access_key_id.into(),
            secret: Secret::from([b"AWS4", read.secret_access_key.expose()].concat()),
            session_token: session_token.map(|token| hidden(token.expose())).transpose()?,
            region: region.into(),
            service: service.into(),
            today: RefCell::default(),
        })
    }

    fn sign(&self, outgoing: &Outgoing<'_>, headers: &mut HeaderMap) -> Result<(), SignError> {
        let now = stamp(outgoing.now);
        let stamped = HeaderValue::from_str(&now).map_err(|_| SignError::Malformed)?;
        let mut payload = digest::Context::new(&digest::SHA256);
        outgoing.body.parts().iter().for_each(|part| payload.update(part));
        let (path, query) = outgoing.route.as_str().split_once('?').unwrap_or((outgoing.route.as_str(), ""));
        // What our own headers replace is not signed.
        let is_signed = |name: &HeaderName| {
            *name == CONTENT_TYPE || name.as_str().starts_with(OWN) && *name != DATE && *name != SESSION_TOKEN
        };
        let mut signed: Vec<(&str, &[u8])> =
            vec![("host", outgoing.target.authority()), (DATE.as_str(), now.as_bytes())];
        signed.extend(self.session_token.iter().map(|token| (SESSION_TOKEN.as_str(), token.as_bytes())));
        signed
            .extend(headers.iter().filter(|(name, _)| is_signed(name)).map(|(name, v)| (name.as_str(), v.as_bytes())));
        let payload = hex(payload.finish().as_ref());
        let request = Request { method: outgoing.method.as_str(), path, query, headers: signed, payload: &payload };
        let authorization = hidden(self.authorization(request, &now).as_bytes())?;
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(&DATE, stamped);
        match &self.session_token {
            Some(token) => headers.insert(&SESSION_TOKEN, token.clone()),
            None => headers.remove(&SESSION_TOKEN),
        };
        Ok(())
    }

    /// What the Authorization header says for a request of this moment.
    fn authorization(&self, request: Request<'_>, now: &str) -> String {
        let date = now.get(..8).unwrap_or_default();
        let (canonical, names) = request.canonical();
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let signature = self.tag(date, &format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{hash}"));
        let id = &self.access_key_id;
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
    }

    fn tag(&self, date: &str, text: &str) -> String {
        let mut today = self.today.borrow_mut();
        if today.as_ref().is_none_or(|today| *today.date != *date) {
            *today = Some(Today { date: date.into(), key: self.derive(date) });
        }
        today.as_ref().map_or_else(String::new, |today| hex(hmac::sign(&today.key, text.as_bytes()).as_ref()))
    }

    fn derive(&self, date: &str) -> hmac::Key {
        let first = hmac::Key::new(hmac::HMAC_SHA256, self.secret.expose());
        [date, &self.region, &self.service, "aws4_request"]
            .iter()
            .fold(first, |key, part| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref()))
    }
}

/// A moment as AWS writes it: `20261121T120000Z`.
fn stamp(now: Timestamp) -> String {
    let text = now.to_string();
    let seconds = text.get(..19).unwrap_or_default();
    seconds.chars().filter(|letter| !matches!(letter, '-' | ':')).chain(['Z']).collect()
}
