//! `google-service-account`: Vertex AI asks for OAuth access tokens, which a service account's key is exchanged for. A
//! worker finds the token of its account ready; it is fetched, and fetched anew before it ends, on the control runtime.
//! Next rooms: `tokens`, which keeps them, and `exchange`, which fetches one.

mod exchange;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::{Account, Prepared, Sign, SignError, hidden};
use tokens::{Slot, Token};

pub(in crate::upstream) use exchange::Exchange;
pub(in crate::upstream) use tokens::Tokens;
pub use tokens::Wait;

pub(super) struct ServiceAccount;

impl Sign for ServiceAccount {
    fn prepare(&self, account: &Account<'_>) -> Result<Prepared, SignError> {
        let slot = account.tokens.slot(account.secret()?, account.is_local).ok_or(SignError::Token)?;
        Ok(Prepared::Token(Bearer { slot, last: None }))
    }

    fn accepts(&self, argument: Option<&str>) -> bool {
        argument.is_none()
    }

    fn needs_token(&self) -> bool {
        true
    }
}

/// The token of one account, as one worker signs with it.
pub struct Bearer {
    slot: Arc<Slot>,
    /// The header that was made of the last token: a worker's own copy, for all of its requests.
    last: Option<(Arc<Token>, HeaderValue)>,
}

impl Bearer {
    pub(super) fn put(&mut self, headers: &mut HeaderMap) -> Result<(), SignError> {
        let token = self.slot.token();
        let Some(token) = &*token else {
            self.last = None;
            return Err(self.slot.why());
        };
        let value = match &self.last {
            Some((last, value)) if Arc::ptr_eq(last, token) => value.clone(),
            _ => {
                let value = hidden(token.header.expose())?;
                self.last = Some((token.clone(), value.clone()));
                value
            }
        };
        headers.insert(AUTHORIZATION, value);
        Ok(())
    }

    pub(super) fn wait(&self) -> Option<Wait> {
        self.slot.wait()
    }
}
