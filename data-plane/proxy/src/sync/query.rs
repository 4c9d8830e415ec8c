//! What only the controller's books can answer. Every question has a deadline; no inference ever waits for one.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::ids::{KeyId, OrgId};
use domain::money::Money;
use domain::usage::UsageRecord;
use proto::convert::{Answer, KeyUsage, Question};
use tokio::runtime::Handle;

use super::status::Status;
use super::wire::{Wire, traced, within};

/// The books cannot be asked, or not in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the controller's books cannot be reached")]
pub struct Unavailable;

/// An organisation's credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credits {
    /// All that was ever put in.
    pub funded: Money,
    /// Given back.
    pub refunded: Money,
    /// Charged so far.
    pub used: Money,
    /// Free to be spent.
    pub available: Money,
}

/// The way to the books, from any thread. Clones share it.
#[derive(Clone)]
pub struct Queries {
    way: Arc<OnceLock<Way>>,
    deadline: Duration,
}

struct Way {
    wire: Wire,
    status: Arc<Status>,
    control: Handle,
}

impl Queries {
    pub(super) fn new(deadline: Duration) -> Queries {
        Queries { way: Arc::default(), deadline }
    }

    /// To be called inside the control runtime, once.
    pub(super) fn connect(&self, wire: Wire, status: Arc<Status>) {
        let _ = self.way.set(Way { wire, status, control: Handle::current() });
    }

    /// Where an organisation's money is.
    ///
    /// # Errors
    /// [`Unavailable`] when the books cannot be asked.
    pub async fn credits(&self, org: OrgId) -> Result<Credits, Unavailable> {
        match self.ask(org, Question::Credits).await? {
            Answer::Credits { funded, refunded, used, available } => Ok(Credits { funded, refunded, used, available }),
            _ => Err(Unavailable),
        }
    }

    /// One request of an organisation, by its own id or the answer's.
    ///
    /// # Errors
    /// [`Unavailable`] when the books cannot be asked.
    pub async fn generation(&self, org: OrgId, id: &str) -> Result<Option<UsageRecord>, Unavailable> {
        match self.ask(org, Question::Generation(id.to_owned())).await? {
            Answer::Generation(record) => Ok(Some(*record)),
            Answer::NotFound => Ok(None),
            _ => Err(Unavailable),
        }
    }

    /// What a key of an organisation has used.
    ///
    /// # Errors
    /// [`Unavailable`] when the books cannot be asked.
    pub async fn key(&self, org: OrgId, key: KeyId) -> Result<Option<KeyUsage>, Unavailable> {
        match self.ask(org, Question::Key(key)).await? {
            Answer::Key(usage) => Ok(Some(usage)),
            Answer::NotFound => Ok(None),
            _ => Err(Unavailable),
        }
    }

    /// Handed to the control runtime: a worker's thread never speaks to the controller itself.
    async fn ask(&self, org: OrgId, question: Question) -> Result<Answer, Unavailable> {
        let way = self.way.get().ok_or(Unavailable)?;
        let (mut client, status, deadline) = (way.wire.bulk(), way.status.clone(), self.deadline);
        let request = traced(&tracing::Span::current(), question.about(org));
        let call = way.control.spawn(async move {
            let answer = within(deadline, client.query(request)).await;
            if answer.is_ok() {
                status.answered();
            }
            answer
        });
        let answer = call.await.map_err(|_| Unavailable)?;
        let message = answer.map_err(|status| {
            tracing::debug!(code = ?status.code(), "a question to the books was not answered");
            Unavailable
        })?;
        Answer::try_from(message).map_err(|error| {
            tracing::warn!(%error, "an answer of the books cannot be understood");
            Unavailable
        })
    }
}
