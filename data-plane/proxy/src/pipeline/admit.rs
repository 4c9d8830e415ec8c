//! Takes a hold in every pool that applies, money last, reserves a place in the spool and writes the intent there. Nothing
//! after this room can spend what was not held. Never sends a byte. Next room: `attempt`.

use std::rc::Rc;

use codec::Scan;
use domain::{
    catalog::PriceList,
    faults::{Fault, FaultCode},
    money::Money,
    pricing,
    routing::price_key,
    usage::TokenUsage,
};
use link::cell::Denied;

use super::{Refusal, Visit, arrival::Arrival, plan::Plan, settle::Ticket};
use crate::{
    offers::Lane,
    purse::{Holds, Pool, Purse},
};

/// Answer tokens that are expected where the request sets no limit; streams take more as they go.
const EXPECTED_OUTPUT: u64 = 4_096;
/// Below this an answer is not worth its prompt, and the request is refused instead.
const LEAST_OUTPUT: u64 = 16;
/// What a picture, a sound or a file is held for, in prompt tokens; providers count a few hundred to two thousand.
const MEDIA_TOKENS: u64 = 1_600;
/// How often a hold is made smaller before the request is refused.
const SHRINKS: usize = 3;

/// How large a request is thought to be, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizing {
    /// Prompt tokens that are held for: a third of the bytes and a tenth more.
    pub prompt: u64,
    /// Prompt tokens that are charged where the provider never said: a quarter of the bytes.
    pub likely_prompt: u64,
    /// The client's own limit for one answer.
    pub limit: Option<u64>,
    pub choices: u64,
    /// What is billed by the piece.
    pub images: u64,
    pub characters: u64,
}

impl Sizing {
    /// `units` is what is billed by the piece and known from the request alone.
    pub fn of(scan: &Scan, units: &TokenUsage) -> Sizing {
        let media = scan.media_parts.saturating_mul(MEDIA_TOKENS);
        let third = scan.text_bytes.div_ceil(3);
        Sizing {
            prompt: third.saturating_add(third.div_ceil(10)).saturating_add(media),
            likely_prompt: scan.text_bytes.div_ceil(4).saturating_add(media),
            limit: scan.output_limit(),
            choices: scan.choices.max(1),
            images: units.images,
            characters: units.characters,
        }
    }

    /// Answer tokens of one choice to hold for at an endpoint that gives at most `most`.
    pub fn output(&self, most: Option<u64>) -> u64 {
        let wanted = self.limit.unwrap_or(EXPECTED_OUTPUT);
        most.map_or(wanted, |most| wanted.min(most))
    }

    /// What the request can cost with `output` tokens for each choice.
    pub fn ceiling(&self, output: u64, prices: &PriceList) -> Money {
        let tokens = pricing::ceiling(self.prompt, output.saturating_mul(self.choices), prices);
        tokens.plus(self.pieces(prices)).unwrap_or(Money::from_nano(i64::MAX))
    }

    /// Answer tokens for each choice that `money` pays for; none when it does not even pay for the prompt.
    pub fn affordable(&self, money: Money, prices: &PriceList) -> Option<u64> {
        let left = money.minus(self.pieces(prices))?;
        pricing::affordable(left, self.prompt, prices).map(|tokens| tokens / self.choices)
    }

    fn pieces(&self, prices: &PriceList) -> Money {
        match (self.images, self.characters) {
            (0, 0) => Money::ZERO,
            (images, characters) => pricing::pieces(images, characters, prices),
        }
    }
}

/// Admits a request or says what is missing.
pub(crate) async fn admit(
    visit: &Rc<Visit>,
    purse: &Rc<Purse>,
    arrival: &Arrival,
    plan: &Plan,
) -> Result<Ticket, Refusal> {
    let units = plan.lanes.first().map(|lane| lane.bridge.units(&arrival.scan)).unwrap_or_default();
    let sizing = Sizing::of(&arrival.scan, &units);
    let mut holds = Holds::of(purse, &visit.worker, visit.started_at, visit.body_was_there());
    let [first, ..] = &*plan.lanes else { return Err(Refusal::new(FaultCode::NoEndpoints, "No endpoint is left.")) };
    take_rates(&mut holds, &sizing, purse, first).await?;
    let output = take_money(&mut holds, &sizing, plan).await?;
    if let Some(limit) = output.limit {
        visit.limits_tokens(limit);
    }
    let slot = visit.worker.spool.reserve().map_err(|full| {
        tracing::warn!(reason = %full, "not admitting: the spool has no room");
        Refusal::from(
            Fault::new(FaultCode::Overloaded, "The gateway cannot take requests right now.").retry_after_ms(1_000),
        )
    })?;
    Ok(Ticket::open(visit, purse, holds, slot, arrival, sizing, output))
}

async fn take_rates(holds: &mut Holds, sizing: &Sizing, purse: &Purse, lane: &Lane) -> Result<(), Refusal> {
    let output = sizing.output(lane.max_output()).saturating_mul(sizing.choices);
    // A request that is larger than the bucket takes a full one; what it used on top is carried over when it settles.
    let most = purse.policy.tokens.map_or(u64::MAX, |rate| rate.burst);
    let tokens = i64::try_from(sizing.prompt.saturating_add(output).min(most)).unwrap_or(i64::MAX);
    for (pool, amount) in [(Pool::Requests, 1), (Pool::Tokens, tokens)] {
        holds.take(pool, amount).await.map_err(|denied| refused(pool, denied, None))?;
    }
    Ok(())
}

/// What the money that was held pays for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// Answer tokens of one choice.
    pub tokens: u64,
    /// The limit that has to be set upstream, where the money made it necessary.
    pub limit: Option<u64>,
}

/// Holds money for the first endpoint, or for the cheapest where the first is too dear.
async fn take_money(holds: &mut Holds, sizing: &Sizing, plan: &Plan) -> Result<Output, Refusal> {
    let [first, others @ ..] = &*plan.lanes else { return Err(unavailable()) };
    let cheapest = others.iter().min_by_key(|lane| price_key(lane.prices()));
    let cheaper = cheapest.filter(|lane| price_key(lane.prices()) < price_key(first.prices()));
    match (take_for(holds, sizing, first).await, cheaper) {
        (Err(_), Some(lane)) => take_for(holds, sizing, lane).await,
        (result, _) => result,
    }
}

async fn take_for(holds: &mut Holds, sizing: &Sizing, lane: &Lane) -> Result<Output, Refusal> {
    let wanted = sizing.output(lane.max_output());
    let mut output = Output { tokens: wanted, limit: None };
    for _ in 0..SHRINKS {
        let (pool, denied) = match holds.take_money(sizing.ceiling(output.tokens, lane.prices())).await {
            Ok(()) => return Ok(output),
            Err(denied) => denied,
        };
        let affordable = affordable(denied, sizing, lane);
        match affordable.filter(|tokens| sizing.limit.is_none() && (LEAST_OUTPUT..output.tokens).contains(tokens)) {
            Some(tokens) => output = Output { tokens, limit: Some(tokens) },
            None => return Err(refused(pool, denied, affordable)),
        }
    }
    // What could be had shrank under our hands; others are spending it.
    Err(Fault::new(FaultCode::Recalling, "The last credits are being spent by other requests.")
        .retry_after_ms(1_000)
        .into())
}

fn affordable(denied: Denied, sizing: &Sizing, lane: &Lane) -> Option<u64> {
    match denied {
        Denied::Exhausted { affordable, .. } => sizing.affordable(Money::from_nano(affordable.max(0)), lane.prices()),
        _ => None,
    }
}

fn unavailable() -> Refusal {
    Fault::new(FaultCode::ControlPlaneUnavailable, "The gateway cannot confirm credits right now.")
        .retry_after_ms(1_000)
        .into()
}

/// What a client is told when a pool says no. `affordable` is the number of answer tokens that money would pay for.
pub(crate) fn refused(pool: Pool, denied: Denied, affordable: Option<u64>) -> Refusal {
    let (is_rate, retry_ms) = match (pool, denied) {
        (_, Denied::Unreachable | Denied::Unknown | Denied::Fenced) => return unavailable(),
        (Pool::Credits | Pool::Budget, Denied::Recalling) => {
            let message = "Credits are being collected from other proxies.";
            return Fault::new(FaultCode::Recalling, message).retry_after_ms(1_000).into();
        }
        (Pool::Requests | Pool::Tokens, Denied::Recalling) => (true, 1_000),
        (Pool::Requests | Pool::Tokens, Denied::Exhausted { retry_ms, .. }) => (true, retry_ms.max(1)),
        (Pool::Credits | Pool::Budget, Denied::Exhausted { .. }) => (false, 0),
    };
    if is_rate {
        let what = if pool == Pool::Requests { "requests" } else { "tokens" };
        let message = format!("This key's limit of {what} per minute is reached.");
        return Fault::new(FaultCode::RateLimited, message).retry_after_ms(retry_ms).into();
    }
    let (code, whose) = match pool {
        Pool::Budget => (FaultCode::KeyBudgetUsedUp, "The key's budget"),
        _ => (FaultCode::InsufficientCredits, "The organisation's credits"),
    };
    let left = match denied {
        Denied::Exhausted { affordable, .. } => Money::from_nano(affordable.max(0)),
        _ => Money::ZERO,
    };
    let message = match affordable {
        Some(tokens @ 1..) => {
            format!(
                "{whose} ({left} USD left) would pay for at most {tokens} answer tokens here: lower `max_tokens` to that."
            )
        }
        _ => format!("{whose} ({left} USD left) would pay for none of the answer here."),
    };
    Fault::new(code, message).into()
}

#[cfg(test)]
mod tests {
    use domain::money::Price;

    use super::*;

    fn sizing(limit: Option<u64>, choices: u64) -> Sizing {
        Sizing { prompt: 1_100, likely_prompt: 750, limit, choices, images: 0, characters: 0 }
    }

    fn prices() -> PriceList {
        PriceList {
            prompt: Price::per_million("1").ok(),
            completion: Price::per_million("2").ok(),
            ..PriceList::default()
        }
    }

    #[test]
    fn a_hold_is_sized_by_bytes_media_and_the_limit() {
        let body = br#"{"model":"a/b","messages":[{"role":"user","content":"hi"}],"max_tokens":10,"n":2}"#;
        let scan = codec::dialect::find("openai-chat").unwrap().scan(body).unwrap();
        let sizing = Sizing::of(&scan, &TokenUsage::default());
        let bytes = body.len() as u64;
        assert_eq!(sizing.prompt, bytes.div_ceil(3) + bytes.div_ceil(3).div_ceil(10));
        assert_eq!(sizing.likely_prompt, bytes.div_ceil(4));
        assert_eq!((sizing.limit, sizing.choices), (Some(10), 2));
    }

    #[test]
    fn output_is_the_least_of_limit_and_ability() {
        for (limit, most, expected) in [
            (Some(100), None, 100),
            (Some(100), Some(50), 50),
            (None, None, EXPECTED_OUTPUT),
            (None, Some(1_000), 1_000),
            (None, Some(1_000_000), EXPECTED_OUTPUT),
        ] {
            assert_eq!(sizing(limit, 1).output(most), expected, "{limit:?} {most:?}");
        }
    }

    #[test]
    fn what_is_affordable_is_shared_by_the_choices() {
        let sizing = sizing(None, 2);
        let money = sizing.ceiling(500, &prices());
        assert_eq!(sizing.affordable(money, &prices()), Some(500));
        assert_eq!(sizing.affordable(Money::from_nano(1), &prices()), None);
    }

    #[test]
    fn every_no_has_its_own_words() {
        let exhausted = Denied::Exhausted { affordable: 5, retry_ms: 2_500 };
        for (pool, denied, affordable, status, code) in [
            (Pool::Credits, exhausted, Some(100), 402, "insufficient_quota"),
            (Pool::Budget, exhausted, None, 403, "key_limit_exceeded"),
            (Pool::Requests, exhausted, None, 429, "rate_limit_exceeded"),
            (Pool::Tokens, Denied::Recalling, None, 429, "rate_limit_exceeded"),
            (Pool::Credits, Denied::Recalling, None, 429, "credits_recalling"),
            (Pool::Credits, Denied::Unreachable, None, 503, "control_plane_unavailable"),
            (Pool::Budget, Denied::Fenced, None, 503, "control_plane_unavailable"),
        ] {
            let refusal = refused(pool, denied, affordable);
            assert_eq!((refusal.fault.http_status(), refusal.code()), (status, code), "{pool:?} {denied:?}");
        }
        assert!(refused(Pool::Credits, exhausted, Some(100)).fault.message.contains("100 answer tokens"));
        assert_eq!(refused(Pool::Requests, exhausted, None).fault.retry_after_ms, Some(2_500));
        let message = refused(Pool::Budget, exhausted, None).fault.message;
        assert_eq!(message, "The key's budget (0.000000005 USD left) would pay for none of the answer here.");
    }
}
