//! `bearer`: `Authorization: Bearer …`, as OpenAI and most that follow it ask for.

use http::{HeaderMap, header::AUTHORIZATION};
use runtime::Secret;

use super::{Sign, SignError, present, set};

pub(super) struct Bearer;

impl Sign for Bearer {
    fn sign(&self, _: Option<&str>, secret: Option<&Secret>, headers: &mut HeaderMap) -> Result<(), SignError> {
        let secret = present(secret)?;
        // Secret::from wipes this copy when it is dropped; the header's own copy lives as long as the request.
        let value = Secret::from([b"Bearer ", secret.expose()].concat());
        set(headers, AUTHORIZATION, value.expose())
    }

    fn accepts(&self, argument: Option<&str>) -> bool {
        argument.is_none()
    }
}
