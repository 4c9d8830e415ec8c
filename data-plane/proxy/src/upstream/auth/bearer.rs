//! `bearer`: `Authorization: Bearer …`, as OpenAI and most that follow it ask for.

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use runtime::Secret;

use super::{Account, Prepared, Sign, SignError, hidden};

pub(super) struct Bearer;

impl Sign for Bearer {
    fn prepare(&self, account: &Account<'_>) -> Result<Prepared, SignError> {
        let value = value(account.secret()?)?;
        Ok(Prepared::Headers(HeaderMap::from_iter([(AUTHORIZATION, value)])))
    }

    fn accepts(&self, argument: Option<&str>) -> bool {
        argument.is_none()
    }
}

/// What the header says for this token.
pub(super) fn value(token: &Secret) -> Result<HeaderValue, SignError> {
    // Secret::from wipes this copy when it is dropped; the header's own copy lives as long as the request.
    let value = Secret::from([b"Bearer ", token.expose()].concat());
    hidden(value.expose())
}
