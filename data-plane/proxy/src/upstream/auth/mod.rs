//! How requests to a provider are signed: one table of schemes, by the name on the provider's row. A value that goes
//! into a header is marked sensitive, so that it is never printed. What waits for anybody else (a token) runs on the
//! control runtime; workers find it ready. Next room: `client`, which sends.

mod aws;
mod bearer;
mod google;
mod header;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use codec::Segments;
use domain::providers::AuthScheme;
use domain::time::Timestamp;
use http::{HeaderMap, HeaderValue, Method};
use runtime::Secret;

pub(super) use google::{Exchange, Tokens};

pub use google::Wait;

use super::{Route, Target};

/// One way to sign.
pub trait Sign: Sync {
    /// Makes an account ready to sign with: everything that is the same for all of its requests.
    ///
    /// # Errors
    /// [`SignError`] when there is no credential or it is not one of this scheme.
    fn prepare(&self, account: &Account<'_>) -> Result<Prepared, SignError>;

    /// Whether the scheme can be used with this argument.
    fn accepts(&self, argument: Option<&str>) -> bool;

    /// Whether it signs with tokens that have to be fetched first.
    fn needs_token(&self) -> bool {
        false
    }
}

/// Whom to sign for.
pub struct Account<'a> {
    /// What follows the colon of the scheme's name.
    argument: Option<&'a str>,
    secret: Option<&'a Arc<Secret>>,
    tokens: &'a Tokens,
    /// The provider is on this machine, in the clear.
    is_local: bool,
}

impl<'a> Account<'a> {
    fn secret(&self) -> Result<&'a Arc<Secret>, SignError> {
        self.secret.filter(|secret| !secret.is_empty()).ok_or(SignError::Missing)
    }
}

/// What an account signs with.
pub enum Prepared {
    /// The same headers on each request.
    Headers(HeaderMap),
    /// What depends on the request.
    Request(SignRequest),
    /// A token that comes and goes.
    Token(google::Bearer),
}

/// Signs one request.
pub type SignRequest = Box<dyn Fn(&Outgoing<'_>, &mut HeaderMap) -> Result<(), SignError>>;

/// A request as it is about to be sent, for the schemes that sign all of it.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// Of the request line.
    pub method: &'a Method,
    /// Whose host is asked.
    pub target: &'a Target,
    /// Of the request line.
    pub route: &'a Route,
    /// All of it.
    pub body: &'a Segments,
    /// The time on the wall.
    pub now: Timestamp,
}

/// Every scheme under the name that a provider's row calls it by, without the argument.
pub static SCHEMES: &[(&str, &dyn Sign)] = &[
    ("aws-sigv4", &aws::Aws),
    ("bearer", &bearer::Bearer),
    ("google-service-account", &google::ServiceAccount),
    ("header", &header::Header),
    ("none", &Unsigned),
];

/// Why a request cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The row names a scheme that this build does not know.
    #[error("the provider's auth scheme is not known")]
    Scheme,
    /// The provider's credential is not here.
    #[error("the provider's credential is not here")]
    Missing,
    /// The credential is not one of the scheme, or holds bytes that no header may hold.
    #[error("the provider's credential is malformed")]
    Malformed,
    /// The credential says that it is for a region other than the row's.
    #[error("the provider's credential is for another region")]
    Region,
    /// The scheme signs the whole request and was shown none.
    #[error("the provider's auth scheme signs whole requests")]
    NeedsRequest,
    /// The first access token is on its way.
    #[error("the provider's access token is not here yet")]
    Unready,
    /// There is no access token to be had.
    #[error("no access token for the provider can be had")]
    Token,
}

struct Unsigned;

impl Sign for Unsigned {
    fn prepare(&self, _: &Account<'_>) -> Result<Prepared, SignError> {
        Ok(Prepared::Headers(HeaderMap::new()))
    }

    fn accepts(&self, argument: Option<&str>) -> bool {
        argument.is_none()
    }
}

fn find(scheme: &AuthScheme) -> Option<(&'static dyn Sign, Option<&str>)> {
    let (name, argument) = match scheme.0.split_once(':') {
        Some((name, argument)) => (name, Some(argument)),
        None => (scheme.0.as_str(), None),
    };
    let (_, sign) = SCHEMES.iter().find(|(known, _)| *known == name)?;
    sign.accepts(argument).then_some((*sign, argument))
}

/// Whether this build can sign so; a provider with another scheme is absent.
pub fn knows(scheme: &AuthScheme) -> bool {
    find(scheme).is_some()
}

/// Signs for one provider, on one worker. Remembers what it made of the credential that it signed with last: that is the
/// same for every request, and a copy for each would lie about in memory that nobody wipes.
pub struct Signer {
    scheme: &'static dyn Sign,
    argument: Option<Box<str>>,
    tokens: Tokens,
    is_local: bool,
    ready: RefCell<Option<Ready>>,
}

struct Ready {
    /// Weak, so that a credential nobody else knows any more is wiped. Its place is not used again while this is here.
    secret: Option<Weak<Secret>>,
    prepared: Prepared,
}

impl Signer {
    /// A signer without access to tokens.
    #[cfg(test)]
    pub fn of(scheme: &AuthScheme) -> Option<Signer> {
        Signer::with(scheme, Tokens::default(), false)
    }

    pub(super) fn with(scheme: &AuthScheme, tokens: Tokens, is_local: bool) -> Option<Signer> {
        let (scheme, argument) = find(scheme)?;
        Some(Signer { scheme, argument: argument.map(Box::from), tokens, is_local, ready: RefCell::default() })
    }

    /// Signs a request, in place of what its headers say about accounts. To be called when all of them are there.
    ///
    /// # Errors
    /// [`SignError`]; the headers are then unchanged.
    pub fn sign(
        &self,
        secret: Option<&Arc<Secret>>,
        outgoing: &Outgoing<'_>,
        headers: &mut HeaderMap,
    ) -> Result<(), SignError> {
        self.put(secret, Some(outgoing), headers)
    }

    /// The same where the scheme does not look at requests.
    #[cfg(test)]
    pub fn sign_blindly(&self, secret: Option<&Arc<Secret>>, headers: &mut HeaderMap) -> Result<(), SignError> {
        self.put(secret, None, headers)
    }

    /// What has to be waited for before signing: the first token of an account. None in all other cases, also where signing
    /// will fail.
    pub fn wait(&self, secret: Option<&Arc<Secret>>) -> Option<Wait> {
        if !self.scheme.needs_token() {
            return None;
        }
        let mut ready = self.ready.borrow_mut();
        match &self.prepared(&mut ready, secret).ok()?.prepared {
            Prepared::Token(token) => token.wait(),
            _ => None,
        }
    }

    fn put(
        &self,
        secret: Option<&Arc<Secret>>,
        outgoing: Option<&Outgoing<'_>>,
        headers: &mut HeaderMap,
    ) -> Result<(), SignError> {
        let mut ready = self.ready.borrow_mut();
        match &mut self.prepared(&mut ready, secret)?.prepared {
            Prepared::Headers(made) => {
                for (name, value) in &*made {
                    headers.insert(name, value.clone());
                }
                Ok(())
            }
            Prepared::Request(sign) => sign(outgoing.ok_or(SignError::NeedsRequest)?, headers),
            Prepared::Token(token) => token.put(headers),
        }
    }

    fn prepared<'a>(
        &self,
        ready: &'a mut Option<Ready>,
        secret: Option<&Arc<Secret>>,
    ) -> Result<&'a mut Ready, SignError> {
        if ready.as_ref().is_some_and(|ready| !is_same(ready.secret.as_ref(), secret)) {
            *ready = None;
        }
        match ready {
            Some(ready) => Ok(ready),
            ready => {
                let (argument, tokens) = (self.argument.as_deref(), &self.tokens);
                let account = Account { argument, secret, tokens, is_local: self.is_local };
                let prepared = self.scheme.prepare(&account)?;
                Ok(ready.insert(Ready { secret: secret.map(Arc::downgrade), prepared }))
            }
        }
    }
}

fn is_same(one: Option<&Weak<Secret>>, other: Option<&Arc<Secret>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => std::ptr::eq(one.as_ptr(), Arc::as_ptr(other)),
        (None, None) => true,
        _ => false,
    }
}

/// The value of a header that is never printed.
fn hidden(value: &[u8]) -> Result<HeaderValue, SignError> {
    let mut value = HeaderValue::from_bytes(value).map_err(|_| SignError::Malformed)?;
    value.set_sensitive(true);
    Ok(value)
}
