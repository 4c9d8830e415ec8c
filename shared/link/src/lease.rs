//! The words that borrower and lender exchange. They mirror the wire field by field and know nothing of it.
//!
//! Totals are cumulative within one boot epoch of a proxy, never differences: a message that is lost, doubled or
//! overtaken changes nothing that the next one does not set right.

use domain::pools::PoolId;

/// What a proxy says about one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    pub pool: PoolId,
    /// What the proxy has been granted in all, as it knows.
    pub granted_total: i64,
    /// What it has given back in all.
    pub returned_total: i64,
    /// What the first waiting request needs on top of what is free; 0 when nobody waits.
    pub need: i64,
    /// What it would like to have on top of what is free. For money 0 says more: nothing is kept here, all that was
    /// free is in `returned_total`. That is how a recall is answered; 1 says "I keep what I have and want no more".
    pub want: i64,
    /// Units a second that this proxy lately used.
    pub rate: i64,
}

/// One request of a proxy: asks for at most [`BATCH`] pools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Rises by one with each batch of a boot epoch; an older one than the last is not acted on.
    pub sequence: u64,
    pub asks: Vec<Ask>,
}

/// The most asks in one batch, so that a message stays far below a mebibyte.
pub const BATCH: usize = 1_000;

/// What became of an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Totals are up to date; what was needed was given.
    Granted,
    /// The need was not met and units are on their way back from others: ask again shortly.
    Recalling,
    /// The need was not met and nobody has more to give.
    Exhausted,
    /// There is no such pool: no such key, no limit, an older period.
    Unknown,
    /// A newer epoch of this proxy is known: this one may report but no longer borrow.
    Fenced,
}

/// What the controller says about one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub pool: PoolId,
    pub verdict: Verdict,
    /// What the proxy has been granted in all.
    pub granted_total: i64,
    /// How long what is free may be taken, counted from the moment the batch was sent.
    pub admit_for_ms: u64,
    /// Too small to share: one round trip for each request, keep nothing.
    pub direct: bool,
    /// What could be had at most right now, on top of what the proxy holds.
    pub affordable: i64,
    /// How long asking again is pointless; 0 when only a pool event can help.
    pub not_before_ms: u64,
    /// Rate pools: units a minute.
    pub limit: i64,
    /// Rate pools: what the bucket still holds.
    pub remaining: i64,
    /// Rate pools: how long until the bucket is full.
    pub reset_ms: u64,
}

/// The answer to one [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub grants: Vec<Grant>,
    /// How many proxies are alive, this one included.
    pub active_proxies: u32,
}
