//! What only the controller's books can say: a key's usage, the organisation's credits. With the controller out of reach
//! these answer 503, and inference goes on untouched. Never shows anything of another organisation. Next room: `generation`.

use domain::{
    faults::{Fault, FaultCode},
    limits::Reset,
    money::Money,
};
use http::{Response, StatusCode};
use proto::convert::KeyUsage;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{
    pipeline::{Outflow, Refusal, Visit, json},
    purse::Purse,
};

/// Dollars as a JSON number, digit for digit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Dollars(pub(super) Money);

impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.to_string();
        let text = text.trim_end_matches('0').trim_end_matches('.').to_owned();
        RawValue::from_string(text).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

#[derive(Serialize)]
struct Wrapped<T> {
    data: T,
}

/// An answer as all of these have it.
pub(super) fn answer(visit: &Visit, data: impl Serialize) -> Response<Outflow> {
    json(visit, StatusCode::OK, serde_json::to_vec(&Wrapped { data }).unwrap_or_default())
}

/// Why there is none while the controller is away.
pub(super) fn unreachable() -> Refusal {
    let message = "The books cannot be asked right now.";
    Fault::new(FaultCode::ControlPlaneUnavailable, message).retry_after_ms(1_000).into()
}

/// The books do not have it.
pub(super) fn not_found(message: &'static str) -> Refusal {
    Refusal::new(FaultCode::NotFound, message)
}

/// `GET key`.
pub(super) async fn key(visit: &Visit, purse: &Purse) -> Result<Response<Outflow>, Refusal> {
    let queries = &visit.worker.gate.link.queries;
    let usage = queries.key(purse.org.id, purse.key).await.map_err(|_| unreachable())?;
    let usage = usage.ok_or_else(|| not_found("The books do not know this key yet."))?;
    Ok(answer(visit, KeyCard::of(&usage, purse)))
}

/// What a key may and did spend. A key that has no budget has none of the limits.
#[derive(Serialize)]
struct KeyCard<'a> {
    label: &'a str,
    name: &'a str,
    limit: Option<Dollars>,
    limit_remaining: Option<Dollars>,
    limit_reset: Option<&'static str>,
    include_byok_in_limit: bool,
    usage: Dollars,
    usage_daily: Dollars,
    usage_weekly: Dollars,
    usage_monthly: Dollars,
    byok_usage: Dollars,
    byok_usage_daily: Dollars,
    byok_usage_weekly: Dollars,
    byok_usage_monthly: Dollars,
    is_free_tier: bool,
    is_management_key: bool,
    is_provisioning_key: bool,
    creator_user_id: Option<&'a str>,
    expires_at: Option<&'a str>,
    rate_limit: RateLimit,
    org_id: String,
    org_name: &'a str,
}

/// Kept for old clients: -1 says that there is none.
#[derive(Serialize)]
struct RateLimit {
    requests: i64,
    interval: &'static str,
    note: &'static str,
}

impl<'a> KeyCard<'a> {
    fn of(usage: &'a KeyUsage, purse: &Purse) -> KeyCard<'a> {
        let budget = purse.policy.budget;
        let per_minute = purse.policy.requests.and_then(|rate| i64::try_from(rate.per_minute).ok());
        let none = Dollars(Money::ZERO);
        KeyCard {
            label: &usage.hint,
            name: &usage.name,
            limit: budget.map(|budget| Dollars(budget.amount)),
            limit_remaining: budget.and(usage.limit_remaining).map(Dollars),
            limit_reset: budget.filter(|budget| budget.reset != Reset::Never).map(|budget| budget.reset.name()),
            include_byok_in_limit: false,
            usage: Dollars(usage.usage),
            usage_daily: Dollars(usage.usage_daily),
            usage_weekly: Dollars(usage.usage_weekly),
            usage_monthly: Dollars(usage.usage_monthly),
            byok_usage: none,
            byok_usage_daily: none,
            byok_usage_weekly: none,
            byok_usage_monthly: none,
            is_free_tier: false,
            is_management_key: false,
            is_provisioning_key: false,
            creator_user_id: None,
            expires_at: None,
            rate_limit: RateLimit {
                requests: per_minute.unwrap_or(-1),
                interval: "1m",
                note: "See the x-ratelimit headers.",
            },
            org_id: purse.org.id.to_string(),
            org_name: &usage.org_name,
        }
    }
}

/// `GET credits`.
pub(super) async fn credits(visit: &Visit, purse: &Purse) -> Result<Response<Outflow>, Refusal> {
    #[derive(Serialize)]
    struct Credits {
        total_credits: Dollars,
        total_usage: Dollars,
        available: Dollars,
    }
    let books = visit.worker.gate.link.queries.credits(purse.org.id).await.map_err(|_| unreachable())?;
    // What was given back was never there to be used.
    let total = books.funded.minus(books.refunded).unwrap_or(Money::ZERO);
    let credits = Credits {
        total_credits: Dollars(total),
        total_usage: Dollars(books.used),
        available: Dollars(books.available),
    };
    Ok(answer(visit, credits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_a_number_digit_for_digit() {
        for (nano, text) in [
            (412_500, "0.0004125"),
            (0, "0"),
            (25_000_000_000, "25"),
            (9_000_000_000_000_000_001, "9000000000.000000001"),
        ] {
            assert_eq!(serde_json::to_string(&Dollars(Money::from_nano(nano))).unwrap(), text);
        }
    }
}
