//! What proxies ask of pools and are granted, and what they are told about pools unasked.

use domain::pools::PoolId;
use link::lease::{Ask, Batch, Grant, Reply, Verdict};

use super::invalid;
use crate::sync as wire;

invalid!(
    /// An ask for a pool that nobody can name.
    InvalidAsk,
    "Ask"
);
invalid!(
    /// A grant that cannot be understood.
    InvalidGrant,
    "Grant"
);
invalid!(
    /// A recall of a pool that nobody can name.
    InvalidRecall,
    "Recall"
);
invalid!(
    /// An event of a pool that nobody can name.
    InvalidPoolEvent,
    "PoolEvent"
);

impl From<&Ask> for wire::Ask {
    fn from(ask: &Ask) -> Self {
        wire::Ask {
            pool: ask.pool.to_string(),
            granted_total: ask.granted_total,
            returned_total: ask.returned_total,
            need: ask.need,
            want: ask.want,
            rate: ask.rate,
        }
    }
}

impl TryFrom<wire::Ask> for Ask {
    type Error = InvalidAsk;

    fn try_from(wire: wire::Ask) -> Result<Self, InvalidAsk> {
        let counts = [
            ("granted_total", wire.granted_total),
            ("returned_total", wire.returned_total),
            ("need", wire.need),
            ("want", wire.want),
            ("rate", wire.rate),
        ];
        if let Some((field, count)) = counts.into_iter().find(|(_, count)| *count < 0) {
            return Err(InvalidAsk::new(field, format!("{count} is below nothing")));
        }
        Ok(Ask {
            pool: wire.pool.parse().map_err(InvalidAsk::at("pool"))?,
            granted_total: wire.granted_total,
            returned_total: wire.returned_total,
            need: wire.need,
            want: wire.want,
            rate: wire.rate,
        })
    }
}

/// The message of a batch of asks, but for who sends it.
pub fn write_asks(batch: &Batch) -> wire::LeaseRequest {
    wire::LeaseRequest {
        sequence: batch.sequence,
        asks: batch.asks.iter().map(Into::into).collect(),
        ..wire::LeaseRequest::default()
    }
}

fn write_verdict(verdict: Verdict) -> wire::Verdict {
    match verdict {
        Verdict::Granted => wire::Verdict::Granted,
        Verdict::Recalling => wire::Verdict::Recalling,
        Verdict::Exhausted => wire::Verdict::Exhausted,
        Verdict::Unknown => wire::Verdict::Unknown,
        Verdict::Fenced => wire::Verdict::Fenced,
    }
}

fn read_verdict(wire: i32) -> Result<Verdict, InvalidGrant> {
    match wire::Verdict::try_from(wire) {
        Ok(wire::Verdict::Granted) => Ok(Verdict::Granted),
        Ok(wire::Verdict::Recalling) => Ok(Verdict::Recalling),
        Ok(wire::Verdict::Exhausted) => Ok(Verdict::Exhausted),
        Ok(wire::Verdict::Unknown) => Ok(Verdict::Unknown),
        Ok(wire::Verdict::Fenced) => Ok(Verdict::Fenced),
        Ok(wire::Verdict::Unspecified) | Err(_) => Err(InvalidGrant::new("verdict", format!("{wire} is none"))),
    }
}

impl From<&Grant> for wire::Grant {
    fn from(grant: &Grant) -> Self {
        wire::Grant {
            pool: grant.pool.to_string(),
            verdict: write_verdict(grant.verdict).into(),
            granted_total: grant.granted_total,
            admit_for_ms: grant.admit_for_ms,
            direct: grant.direct,
            affordable: grant.affordable,
            not_before_ms: grant.not_before_ms,
            limit: grant.limit,
            remaining: grant.remaining,
            reset_ms: grant.reset_ms,
        }
    }
}

impl TryFrom<wire::Grant> for Grant {
    type Error = InvalidGrant;

    fn try_from(wire: wire::Grant) -> Result<Self, InvalidGrant> {
        Ok(Grant {
            pool: wire.pool.parse().map_err(InvalidGrant::at("pool"))?,
            verdict: read_verdict(wire.verdict)?,
            granted_total: wire.granted_total,
            admit_for_ms: wire.admit_for_ms,
            direct: wire.direct,
            affordable: wire.affordable,
            not_before_ms: wire.not_before_ms,
            limit: wire.limit,
            remaining: wire.remaining,
            reset_ms: wire.reset_ms,
        })
    }
}

impl From<&Reply> for wire::LeaseResponse {
    fn from(reply: &Reply) -> Self {
        wire::LeaseResponse {
            grants: reply.grants.iter().map(Into::into).collect(),
            active_proxies: reply.active_proxies,
        }
    }
}

/// Reads an answer: what can be understood of it, and what cannot. A pool whose grant is left out counts as not
/// answered.
pub fn read_grants(wire: wire::LeaseResponse) -> (Reply, Vec<InvalidGrant>) {
    let (mut grants, mut invalid) = (Vec::with_capacity(wire.grants.len()), Vec::new());
    for grant in wire.grants {
        match grant.try_into() {
            Ok(grant) => grants.push(grant),
            Err(error) => invalid.push(error),
        }
    }
    (Reply { grants, active_proxies: wire.active_proxies }, invalid)
}

/// The message that recalls pools down to what is to be kept.
pub fn write_recall(pools: &[(PoolId, i64)]) -> wire::Recall {
    let pools = pools.iter().map(|(pool, keep)| wire::RecallPool { pool: pool.to_string(), keep: *keep });
    wire::Recall { pools: pools.collect() }
}

/// Reads a recall.
///
/// # Errors
/// [`InvalidRecall`] for a pool that cannot be named or a negative rest.
pub fn read_recall(wire: &wire::Recall) -> Result<Vec<(PoolId, i64)>, InvalidRecall> {
    let read = |one: &wire::RecallPool| {
        if one.keep < 0 {
            return Err(InvalidRecall::new("keep", format!("{} is below nothing", one.keep)));
        }
        Ok((one.pool.parse().map_err(InvalidRecall::at("pool"))?, one.keep))
    };
    wire.pools.iter().map(read).collect()
}

/// The message that makes proxies forget refusals of these pools.
pub fn write_pool_event(pools: &[PoolId]) -> wire::PoolEvent {
    wire::PoolEvent { pools: pools.iter().map(ToString::to_string).collect() }
}

/// Reads a pool event.
///
/// # Errors
/// [`InvalidPoolEvent`] for a pool that cannot be named.
pub fn read_pool_event(wire: &wire::PoolEvent) -> Result<Vec<PoolId>, InvalidPoolEvent> {
    wire.pools.iter().map(|pool| pool.parse().map_err(InvalidPoolEvent::at("pools"))).collect()
}
