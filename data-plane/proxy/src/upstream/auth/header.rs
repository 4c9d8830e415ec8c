//! `header:<name>`: the credential alone in a header of that name, as Anthropic (`x-api-key`), Gemini (`x-goog-api-key`)
//! and Azure OpenAI (`api-key`) ask for.

use http::{HeaderMap, HeaderName};

use super::{Account, Prepared, Sign, SignError, hidden};

pub(super) struct Header;

impl Sign for Header {
    fn prepare(&self, account: &Account<'_>) -> Result<Prepared, SignError> {
        let name = account.argument.and_then(|name| HeaderName::try_from(name).ok()).ok_or(SignError::Scheme)?;
        let value = hidden(account.secret()?.expose())?;
        Ok(Prepared::Headers(HeaderMap::from_iter([(name, value)])))
    }

    fn accepts(&self, name: Option<&str>) -> bool {
        name.is_some_and(|name| HeaderName::try_from(name).is_ok())
    }
}
