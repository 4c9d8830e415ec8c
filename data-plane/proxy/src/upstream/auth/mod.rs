//! How requests to a provider are signed: one table of schemes, by the name on the provider's row. A value that goes
//! into a header is marked sensitive, so that it is never printed. Next room: `client`, which sends.

mod bearer;
mod header;

use std::cell::RefCell;
use std::sync::Arc;

use domain::providers::AuthScheme;
use http::{HeaderMap, HeaderName, HeaderValue};
use runtime::Secret;

/// One way to sign.
pub trait Sign: Sync {
    /// Puts what proves the account into the headers. `argument` is what follows the colon of the scheme's name.
    ///
    /// # Errors
    /// [`SignError`] when there is no credential or it cannot stand in a header.
    fn sign(&self, argument: Option<&str>, secret: Option<&Secret>, headers: &mut HeaderMap) -> Result<(), SignError>;

    /// Whether the scheme can be used with this argument.
    fn accepts(&self, argument: Option<&str>) -> bool;
}

/// Every scheme under the name that a provider's row calls it by, without the argument.
pub static SCHEMES: &[(&str, &dyn Sign)] =
    &[("bearer", &bearer::Bearer), ("header", &header::Header), ("none", &Unsigned)];

/// Why a request cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The row names a scheme that this build does not know.
    #[error("the provider's auth scheme is not known")]
    Scheme,
    /// The provider's credential is not here.
    #[error("the provider's credential is not here")]
    Missing,
    /// The credential holds bytes that no header may hold.
    #[error("the provider's credential cannot stand in a header")]
    Malformed,
}

struct Unsigned;

impl Sign for Unsigned {
    fn sign(&self, _: Option<&str>, _: Option<&Secret>, _: &mut HeaderMap) -> Result<(), SignError> {
        Ok(())
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

/// Signs for one provider, on one worker. Remembers what it signed with last: what a scheme makes of a credential is the
/// same for every request, and a copy for each would lie about in memory that nobody wipes.
pub struct Signer {
    scheme: &'static dyn Sign,
    argument: Option<Box<str>>,
    last: RefCell<Option<Signed>>,
}

struct Signed {
    secret: Option<Arc<Secret>>,
    headers: HeaderMap,
}

impl Signer {
    /// The signer of a provider's row; none when this build does not know the scheme.
    pub fn of(scheme: &AuthScheme) -> Option<Signer> {
        let (scheme, argument) = find(scheme)?;
        Some(Signer { scheme, argument: argument.map(Box::from), last: RefCell::default() })
    }

    /// Signs a request, in place of what its headers say about accounts.
    ///
    /// # Errors
    /// [`SignError`]; the headers are then unchanged.
    pub fn sign(&self, secret: Option<&Arc<Secret>>, headers: &mut HeaderMap) -> Result<(), SignError> {
        let mut last = self.last.borrow_mut();
        let signed = match last.take().filter(|signed| is_same(signed.secret.as_ref(), secret)) {
            Some(signed) => signed,
            None => {
                let mut headers = HeaderMap::new();
                self.scheme.sign(self.argument.as_deref(), secret.map(AsRef::as_ref), &mut headers)?;
                Signed { secret: secret.cloned(), headers }
            }
        };
        for (name, value) in &signed.headers {
            headers.insert(name, value.clone());
        }
        *last = Some(signed);
        Ok(())
    }
}

fn is_same(one: Option<&Arc<Secret>>, other: Option<&Arc<Secret>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

/// Sets a header that is never printed, in place of any other with its name.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) -> Result<(), SignError> {
    let mut value = HeaderValue::from_bytes(value).map_err(|_| SignError::Malformed)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

fn present(secret: Option<&Secret>) -> Result<&Secret, SignError> {
    secret.filter(|secret| !secret.is_empty()).ok_or(SignError::Missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(scheme: &str, secret: Option<&str>) -> Result<HeaderMap, SignError> {
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", HeaderValue::from_static("the client's own"));
        let secret = secret.map(Secret::from).map(Arc::new);
        let signer = Signer::of(&AuthScheme(scheme.into())).ok_or(SignError::Scheme)?;
        signer.sign(secret.as_ref(), &mut headers).map(|()| headers)
    }

    #[test]
    fn a_new_credential_is_used_at_once_and_one_that_is_gone_no_more() {
        let signer = Signer::of(&AuthScheme("bearer".into())).unwrap();
        let signed = |secret: Option<&Arc<Secret>>| {
            let mut headers = HeaderMap::new();
            signer.sign(secret, &mut headers).map(|()| headers["authorization"].to_str().unwrap().to_owned())
        };
        let (old, new) = (Arc::new(Secret::from("old")), Arc::new(Secret::from("new")));
        for (secret, expected) in [
            (Some(&old), Ok("Bearer old")),
            (Some(&old), Ok("Bearer old")),
            (Some(&new), Ok("Bearer new")),
            (None, Err(SignError::Missing)),
            (Some(&new), Ok("Bearer new")),
        ] {
            assert_eq!(signed(secret), expected.map(str::to_owned));
        }
    }

    #[test]
    fn each_scheme_puts_the_credential_where_it_belongs_and_hides_it() {
        let bearer = signed("bearer", Some("canary-1")).unwrap();
        assert_eq!(bearer["authorization"], "Bearer canary-1");
        let header = signed("header:x-api-key", Some("canary-2")).unwrap();
        assert_eq!(header.get_all("x-api-key").iter().count(), 1);
        assert_eq!(header["x-api-key"], "canary-2");
        assert!(!format!("{bearer:?}{header:?}").contains("canary"));
        assert!(signed("none", None).unwrap().get("authorization").is_none());
    }

    #[test]
    fn what_cannot_be_signed_is_refused_and_leaves_the_headers_alone() {
        assert_eq!(signed("bearer", None).unwrap_err(), SignError::Missing);
        assert_eq!(signed("bearer", Some("")).unwrap_err(), SignError::Missing);
        assert_eq!(signed("bearer", Some("two\nlines")).unwrap_err(), SignError::Malformed);
        assert_eq!(signed("sigv4", Some("x")).unwrap_err(), SignError::Scheme);
        for (scheme, known) in [
            ("bearer", true),
            ("none", true),
            ("header:x-goog-api-key", true),
            ("header:", false),
            ("bearer:x", false),
            ("header", false),
            ("magic", false),
        ] {
            assert_eq!(knows(&AuthScheme(scheme.into())), known, "{scheme}");
        }
    }
}
