//! The controller's half of rate limits: one bucket per limited key, in the memory of whichever controller owns it.
//!
//! A bucket of `burst` units refills at `per_minute / 60` units a second. Proxies get chunks that live a second; each
//! unit is given once. What a proxy may still hold counts as if it were in the bucket, so the bucket never refills
//! beyond `burst` less that, and in any window of W seconds all proxies together admit at most `burst + W * rate`.
//! Known is the proxy's last chunk; how much of it is used it says by asking again.
//! After a change of owner nothing is granted for the life of a chunk; then the bucket is full, so a restart may cost
//! one extra burst. Money is `lender`'s.

use std::collections::{HashMap, VecDeque};

use domain::ids::{BootEpoch, ProxyId};
use domain::limits::Rate;
use domain::pools::PoolId;

use crate::lease::{Ask, Grant, Verdict};
use crate::lender::Asker;

/// The longest life of a chunk.
pub const CHUNK_MS: u64 = 1_000;
/// Below this life a chunk would die on its way: such pools are served request by request.
const CHUNK_MIN_MS: u64 = 200;
/// Leases that nobody asked about for this long are forgotten: longer than the longest request, whose unused tokens
/// come back at its end.
const IDLE_MS: u64 = 660_000;
/// Levels are kept in 1/60,000 units, so that a limit of one a minute refills by one each millisecond.
const SCALE: i64 = 60_000;
/// Larger limits than this are none.
const MOST: i64 = i64::MAX / SCALE / 16;

/// Units that a proxy may still take: granted until when.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    until_ms: u64,
    units: i64,
}

#[derive(Debug)]
struct RateLease {
    proxy: ProxyId,
    epoch: BootEpoch,
    sequence: u64,
    granted_total: i64,
    returned_total: i64,
    /// The last answer was direct: at the next ask nothing of it is left.
    direct: bool,
    /// What the proxy may still take, oldest first: its last chunk, and one that may not have reached it.
    chunks: VecDeque<Chunk>,
    asked_at: u64,
}

#[derive(Debug)]
struct Bucket {
    per_minute: i64,
    burst: i64,
    /// In 1/[`SCALE`] units.
    level: i64,
    at_ms: u64,
    leases: Vec<RateLease>,
}

/// Every bucket of one owner.
#[derive(Debug)]
pub struct RatePools {
    ready_ms: u64,
    buckets: HashMap<PoolId, Bucket>,
}

impl RatePools {
    /// The pools of an owner that starts now. Times are ms of a clock that only goes forward.
    pub fn new(started_ms: u64) -> Self {
        RatePools { ready_ms: started_ms.saturating_add(CHUNK_MS), buckets: HashMap::new() }
    }

    /// The pools of an owner before whom there was none: no chunk can be in use.
    pub fn first() -> Self {
        RatePools { ready_ms: 0, buckets: HashMap::new() }
    }

    /// Answers one ask for a rate pool whose limit is `rate` at the moment; `active`: proxies that are alive.
    pub fn ask(&mut self, rate: Rate, asker: &Asker, ask: &Ask, active: u32, now_ms: u64) -> Grant {
        if asker.epoch < asker.newest_epoch {
            return refusal(ask, Verdict::Fenced);
        }
        if now_ms < self.ready_ms {
            // Chunks of the owner before may still be in use.
            let limit = i64::try_from(rate.per_minute).unwrap_or(MOST).min(MOST);
            let wait = self.ready_ms - now_ms;
            let verdict = if ask.need > 0 { Verdict::Recalling } else { Verdict::Granted };
            return Grant { limit, not_before_ms: wait, reset_ms: wait, ..refusal(ask, verdict) };
        }
        let bucket = self.buckets.entry(ask.pool).or_insert_with(|| Bucket::full(rate, now_ms));
        bucket.set_rate(rate, now_ms);
        bucket.ask(asker, ask, i64::from(active.max(1)), now_ms)
    }

    /// Forgets what is full and idle. To be called every second or so.
    pub fn sweep(&mut self, now_ms: u64) {
        self.buckets.retain(|_, bucket| {
            bucket.advance(now_ms);
            bucket.leases.retain(|lease| !lease.chunks.is_empty() || !lease.is_idle(now_ms));
            !bucket.leases.is_empty() || bucket.level < bucket.burst * SCALE
        });
    }

    /// How many buckets are kept.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether no bucket is kept.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}

fn refusal(ask: &Ask, verdict: Verdict) -> Grant {
    Grant {
        pool: ask.pool,
        verdict,
        granted_total: ask.granted_total,
        admit_for_ms: 0,
        direct: false,
        affordable: 0,
        not_before_ms: 0,
        limit: 0,
        remaining: 0,
        reset_ms: 0,
    }
}

impl RateLease {
    fn is_idle(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.asked_at) >= IDLE_MS
    }

    fn out(&self) -> i64 {
        self.chunks.iter().fold(0, |sum, chunk| sum + chunk.units)
    }

    /// Takes units that never arrived out of the newest chunks.
    fn forget(&mut self, mut units: i64) {
        while let Some(last) = self.chunks.back_mut().filter(|_| units > 0) {
            let part = last.units.min(units);
            last.units -= part;
            units -= part;
            if last.units == 0 {
                self.chunks.pop_back();
            }
        }
    }
}

impl Bucket {
    fn full(rate: Rate, now_ms: u64) -> Self {
        let mut bucket = Bucket { per_minute: 0, burst: 0, level: 0, at_ms: now_ms, leases: Vec::new() };
        bucket.set_rate(rate, now_ms);
        bucket.level = bucket.burst * SCALE;
        bucket
    }

    fn set_rate(&mut self, rate: Rate, now_ms: u64) {
        self.advance(now_ms);
        let bounded = |units: u64| i64::try_from(units).unwrap_or(MOST).min(MOST);
        self.per_minute = bounded(rate.per_minute);
        self.burst = bounded(rate.burst);
        self.level = self.level.min(self.burst * SCALE);
    }

    fn out(&self) -> i64 {
        self.leases.iter().fold(0i64, |sum, lease| sum.saturating_add(lease.out()))
    }

    /// Lets time pass: chunks end one by one, and the bucket refills up to what is not with a proxy.
    fn advance(&mut self, now_ms: u64) {
        while self.at_ms < now_ms {
            let ends = self.leases.iter().filter_map(|lease| lease.chunks.front()).map(|chunk| chunk.until_ms);
            let next = ends.min().map_or(now_ms, |end| end.clamp(self.at_ms, now_ms));
            self.refill(next - self.at_ms);
            self.at_ms = next;
            for lease in &mut self.leases {
                while lease.chunks.front().is_some_and(|chunk| chunk.until_ms <= next) {
                    lease.chunks.pop_front();
                }
            }
        }
    }

    fn refill(&mut self, passed_ms: u64) {
        let more = i128::from(passed_ms) * i128::from(self.per_minute);
        self.raise(i64::try_from(more).unwrap_or(i64::MAX));
    }

    fn raise(&mut self, more: i64) {
        let most = (self.burst - self.out().min(self.burst)) * SCALE;
        if self.level < most {
            self.level = self.level.saturating_add(more).min(most);
        }
    }

    /// How long a chunk lives: a second, less where the bucket is small for its rate, so that what is out stays below
    /// half of it.
    fn life_ms(&self) -> u64 {
        let drained = i128::from(self.burst) * i128::from(SCALE) * 2 / (i128::from(self.per_minute.max(1)) * 5);
        u64::try_from(drained).unwrap_or(CHUNK_MS).min(CHUNK_MS)
    }

    fn is_direct(&self, active: i64) -> bool {
        let a_second = i128::from(self.per_minute) / 60;
        a_second < 4 * i128::from(active) || self.life_ms() < CHUNK_MIN_MS
    }

    fn ask(&mut self, asker: &Asker, ask: &Ask, active: i64, now_ms: u64) -> Grant {
        let direct = self.is_direct(active);
        let life_ms = if direct { CHUNK_MS } else { self.life_ms() };
        let at = self.lease_of(asker, ask);
        if !self.take_back(at, asker, ask, now_ms) {
            return self.answer(at, ask, Verdict::Granted, direct, 0);
        }
        let whole = self.level / SCALE;
        let need = ask.need.max(0);
        if need > whole {
            return self.refuse(at, ask, need, direct);
        }
        let share = (whole / (2 * active)).max(self.per_minute / (300 * active)).max(1);
        let want = ask.want.max(0);
        let extra = match (direct, need > 0) {
            (false, _) => want.min(share),
            (true, true) => want,
            (true, false) => 0,
        };
        let units = need.max(extra).min(whole);
        self.level -= units * SCALE;
        if let Some(lease) = self.leases.get_mut(at).filter(|_| units > 0) {
            lease.granted_total = lease.granted_total.saturating_add(units);
            lease.chunks.push_back(Chunk { until_ms: now_ms.saturating_add(life_ms), units });
            lease.direct = direct;
        }
        self.answer(at, ask, Verdict::Granted, direct, life_ms)
    }

    fn lease_of(&mut self, asker: &Asker, ask: &Ask) -> usize {
        let own = |lease: &RateLease| lease.proxy == asker.proxy && lease.epoch == asker.epoch;
        if let Some(at) = self.leases.iter().position(own) {
            return at;
        }
        // A proxy that is new here, or an owner that is: its totals are the beginning.
        self.leases.push(RateLease {
            proxy: asker.proxy.clone(),
            epoch: asker.epoch,
            sequence: 0,
            granted_total: ask.granted_total,
            returned_total: ask.returned_total,
            direct: false,
            chunks: VecDeque::new(),
            asked_at: 0,
        });
        self.leases.len() - 1
    }

    /// Books what the ask says has happened; false for a message that was overtaken or doubled.
    fn take_back(&mut self, at: usize, asker: &Asker, ask: &Ask, now_ms: u64) -> bool {
        let Some(lease) = self.leases.get_mut(at).filter(|lease| lease.sequence < asker.sequence) else { return false };
        lease.sequence = asker.sequence;
        lease.asked_at = now_ms;
        // Grants that the proxy has not seen by now it will never see: it hears only the answer to its last batch.
        let unseen = lease.granted_total.saturating_sub(ask.granted_total).max(0);
        lease.granted_total = ask.granted_total;
        lease.forget(unseen);
        // A chunk replaces the one before, whose rest is in `returned_total`; a proxy where somebody waits, or that
        // keeps nothing, has given back the last one too.
        let empty = std::mem::take(&mut lease.direct) || ask.need > 0;
        let kept = if empty { 0 } else { 1 };
        lease.chunks.drain(..lease.chunks.len().saturating_sub(kept));
        let back = ask.returned_total.saturating_sub(lease.returned_total).max(0);
        lease.returned_total = lease.returned_total.max(ask.returned_total);
        let units = unseen.saturating_add(back).min(self.burst);
        self.raise(units * SCALE);
        true
    }

    fn refuse(&self, at: usize, ask: &Ask, need: i64, direct: bool) -> Grant {
        let fits = need <= self.burst;
        let affordable = if fits { self.level / SCALE } else { self.burst };
        let not_before_ms = if fits { self.until(need).max(1) } else { 0 };
        Grant { affordable, not_before_ms, ..self.answer(at, ask, Verdict::Exhausted, direct, 0) }
    }

    fn answer(&self, at: usize, ask: &Ask, verdict: Verdict, direct: bool, admit_for_ms: u64) -> Grant {
        let whole = self.level / SCALE;
        Grant {
            granted_total: self.leases.get(at).map_or(ask.granted_total, |lease| lease.granted_total),
            admit_for_ms,
            direct,
            affordable: whole,
            limit: self.per_minute,
            remaining: whole,
            reset_ms: self.until(self.burst),
            ..refusal(ask, verdict)
        }
    }

    /// How long until the bucket holds `units`, if nobody takes any.
    fn until(&self, units: i64) -> u64 {
        let goal = units.min(self.burst).saturating_mul(SCALE);
        let mut chunks: Vec<Chunk> = self.leases.iter().flat_map(|lease| lease.chunks.iter().copied()).collect();
        chunks.sort_by_key(|chunk| chunk.until_ms);
        let mut out = chunks.iter().fold(0i64, |sum, chunk| sum.saturating_add(chunk.units));
        let (mut level, mut at) = (self.level, self.at_ms);
        let mut chunks = chunks.into_iter();
        loop {
            let most = (self.burst - out.min(self.burst)).saturating_mul(SCALE).max(level);
            let a_ms = self.per_minute.max(1).unsigned_abs();
            let fill_ms = |missing: i64| missing.max(0).unsigned_abs().div_ceil(a_ms);
            if goal <= most {
                return at.saturating_add(fill_ms(goal - level)).saturating_sub(self.at_ms);
            }
            let Some(end) = chunks.next() else { return at.saturating_sub(self.at_ms) };
            let passed = i64::try_from(end.until_ms.saturating_sub(at)).unwrap_or(i64::MAX);
            level = level.saturating_add(passed.saturating_mul(self.per_minute)).min(most);
            at = end.until_ms.max(at);
            out = out.saturating_sub(end.units);
        }
    }
}

#[cfg(test)]
mod tests;
