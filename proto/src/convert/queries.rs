//! What a proxy asks the controller's books, and what it is told.

use domain::ids::{KeyId, OrgId};
use domain::money::Money;
use domain::usage::UsageRecord;

use super::orgs::{org_bytes, read_org};
use super::{id_bytes, invalid, read_id};
use crate::sync as wire;

invalid!(
    /// A query that asks nothing.
    InvalidQuery,
    "QueryRequest"
);
invalid!(
    /// An answer that cannot be shown.
    InvalidAnswer,
    "QueryResponse"
);

/// What is asked about one organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Its credits.
    Credits,
    /// One of its requests, by the request's id or by the answer's own id.
    Generation(String),
    /// The usage of one of its keys.
    Key(KeyId),
}

/// What the books say.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Credits {
        /// All that was ever put in.
        funded: Money,
        refunded: Money,
        /// Charged so far.
        used: Money,
        /// Free to be spent, wherever it is lent to.
        available: Money,
    },
    Generation(Box<UsageRecord>),
    Key(KeyUsage),
    /// There is no such thing in this organisation.
    NotFound,
}

/// What a key has used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUsage {
    pub name: String,
    /// The part of the key's text that tells keys apart.
    pub hint: String,
    pub usage: Money,
    pub usage_daily: Money,
    pub usage_weekly: Money,
    pub usage_monthly: Money,
    /// What the budget of the present period has left; none without a budget.
    pub limit_remaining: Option<Money>,
    pub org_name: String,
}

impl Question {
    /// The message that asks this about `org`.
    pub fn about(self, org: OrgId) -> wire::QueryRequest {
        use wire::query_request::Question as Body;
        let question = match self {
            Question::Credits => Body::Credits(true),
            Question::Generation(id) => Body::Generation(id),
            Question::Key(key) => Body::Key(id_bytes(key.to_u128())),
        };
        wire::QueryRequest { org: org_bytes(org), question: Some(question) }
    }

    /// Reads who asks what.
    ///
    /// # Errors
    /// [`InvalidQuery`] when there is no organisation or no question.
    pub fn read(wire: wire::QueryRequest) -> Result<(OrgId, Question), InvalidQuery> {
        use wire::query_request::Question as Body;
        let org = read_org(&wire.org).map_err(InvalidQuery::at("org"))?;
        let question = match wire.question {
            Some(Body::Credits(_)) => Question::Credits,
            Some(Body::Generation(id)) => Question::Generation(id),
            Some(Body::Key(key)) => {
                Question::Key(read_id(&key).map(KeyId::from_u128).map_err(InvalidQuery::at("key"))?)
            }
            None => return Err(InvalidQuery::new("question", "none that is known here")),
        };
        Ok((org, question))
    }
}

impl From<Answer> for wire::QueryResponse {
    fn from(answer: Answer) -> Self {
        use wire::query_response::Answer as Body;
        let answer = match answer {
            Answer::Credits { funded, refunded, used, available } => Body::Credits(wire::Credits {
                funded_nano: funded.nano(),
                refunded_nano: refunded.nano(),
                used_nano: used.nano(),
                available_nano: available.nano(),
            }),
            Answer::Generation(record) => Body::Generation(record.as_ref().into()),
            Answer::Key(key) => Body::Key(key.into()),
            Answer::NotFound => Body::NotFound(true),
        };
        wire::QueryResponse { answer: Some(answer) }
    }
}

impl TryFrom<wire::QueryResponse> for Answer {
    type Error = InvalidAnswer;

    fn try_from(wire: wire::QueryResponse) -> Result<Self, InvalidAnswer> {
        use wire::query_response::Answer as Body;
        Ok(match wire.answer {
            Some(Body::Credits(credits)) => Answer::Credits {
                funded: Money::from_nano(credits.funded_nano),
                refunded: Money::from_nano(credits.refunded_nano),
                used: Money::from_nano(credits.used_nano),
                available: Money::from_nano(credits.available_nano),
            },
            Some(Body::Generation(record)) => {
                Answer::Generation(Box::new(record.try_into().map_err(InvalidAnswer::at("generation"))?))
            }
            Some(Body::Key(key)) => Answer::Key(key.into()),
            Some(Body::NotFound(_)) => Answer::NotFound,
            None => return Err(InvalidAnswer::new("answer", "none that is known here")),
        })
    }
}

impl From<KeyUsage> for wire::KeyUsage {
    fn from(key: KeyUsage) -> Self {
        wire::KeyUsage {
            name: key.name,
            hint: key.hint,
            usage_nano: key.usage.nano(),
            usage_daily_nano: key.usage_daily.nano(),
            usage_weekly_nano: key.usage_weekly.nano(),
            usage_monthly_nano: key.usage_monthly.nano(),
            limit_remaining_nano: key.limit_remaining.map(Money::nano),
            org_name: key.org_name,
        }
    }
}

impl From<wire::KeyUsage> for KeyUsage {
    fn from(wire: wire::KeyUsage) -> Self {
        KeyUsage {
            name: wire.name,
            hint: wire.hint,
            usage: Money::from_nano(wire.usage_nano),
            usage_daily: Money::from_nano(wire.usage_daily_nano),
            usage_weekly: Money::from_nano(wire.usage_weekly_nano),
            usage_monthly: Money::from_nano(wire.usage_monthly_nano),
            limit_remaining: wire.limit_remaining_nano.map(Money::from_nano),
            org_name: wire.org_name,
        }
    }
}
