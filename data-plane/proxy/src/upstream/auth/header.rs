//! `header:<name>`: the credential alone in a header of that name, as Anthropic (`x-api-key`) and Gemini
//! (`x-goog-api-key`) ask for.

use http::{HeaderMap, HeaderName};
use runtime::Secret;

use super::{Sign, SignError, present, set};

pub(super) struct Header;

impl Sign for Header {
    fn sign(&self, name: Option<&str>, secret: Option<&Secret>, headers: &mut HeaderMap) -> Result<(), SignError> {
        let name = name.and_then(|name| HeaderName::try_from(name).ok()).ok_or(SignError::Scheme)?;
        set(headers, name, present(secret)?.expose())
    }

    fn accepts(&self, name: Option<&str>) -> bool {
        name.is_some_and(|name| HeaderName::try_from(name).is_ok())
    }
}
