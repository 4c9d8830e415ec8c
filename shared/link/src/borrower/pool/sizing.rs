//! How much a pool wants, keeps and gives back, and when it is to be looked at again.

use super::Pool;

/// The controller outage that leased money should survive, in seconds of lately seen use.
const COVER_S: i64 = 900;
/// A lease is renewed when half of its 20 minutes are over.
const RENEW_MS: u64 = 600_000;
/// Money that nobody used for this long goes back, but for a small float.
pub(super) const IDLE_MS: u64 = 60_000;
/// After this long the float goes back too.
pub(super) const PARKED_MS: u64 = 900_000;
/// After this long only the totals are kept.
pub(super) const FORGET_MS: u64 = 1_200_000;
/// Rate pools are cheap to ask for again.
pub(super) const FORGET_RATE_MS: u64 = 120_000;
/// The memory of the average use.
const AVERAGE_MS: i128 = 30_000;

impl Pool {
    pub(super) fn is_lapsed(&self, now_ms: u64) -> bool {
        !self.id.is_money() && now_ms >= self.admit_until
    }

    pub(super) fn is_due_for_renewal(&self, now_ms: u64) -> bool {
        self.id.is_money() && self.cell.free() > 0 && now_ms >= self.renewed_at.saturating_add(RENEW_MS)
    }

    /// What nobody has used for long: more than a float after a minute, the float after a quarter of an hour.
    pub(super) fn surplus(&self, now_ms: u64) -> i64 {
        let idle = now_ms.saturating_sub(self.cell.used_at());
        let free = self.cell.free();
        if !self.id.is_money() || idle < IDLE_MS || free <= 0 {
            return 0;
        }
        let float = self.float();
        if idle >= PARKED_MS {
            free
        } else if free > float.saturating_mul(2) {
            free - float
        } else {
            0
        }
    }

    pub(super) fn float(&self) -> i64 {
        self.cell.last_amount().saturating_mul(2)
    }

    /// What to have free, from the size of requests and the lately seen use.
    pub(super) fn target(&self) -> i64 {
        let first = self.waiters.front().map_or(0, |waiter| waiter.need);
        let some = self.cell.last_amount().max(first).saturating_mul(4);
        some.max(self.rate.saturating_mul(COVER_S))
    }

    /// A fifth of a second's worth of the limit, over the fleet.
    pub(super) fn chunk(&self, active: u32) -> i64 {
        self.limit.map_or(0, |limit| (limit / (300 * i64::from(active.max(1)))).max(1))
    }

    pub(super) fn sample(&mut self, now_ms: u64) {
        let used = self.granted - self.returned - self.cell.free();
        let (then, before) = self.sampled;
        let passed = i128::from(now_ms.saturating_sub(then));
        if passed == 0 {
            return;
        }
        let more = i128::from(used) - i128::from(before);
        let average = (i128::from(self.rate) * AVERAGE_MS + more * 1_000) / (AVERAGE_MS + passed);
        self.rate = i64::try_from(average.max(0)).unwrap_or(i64::MAX);
        self.sampled = (now_ms, used);
    }

    pub(super) fn wishes(&self, idle: bool, active: u32) -> (i64, i64) {
        let free = self.cell.free();
        let first = self.waiters.front().map_or(0, |waiter| waiter.need);
        let all = self.waiters.iter().fold(0i64, |sum, waiter| sum.saturating_add(waiter.need));
        let missing = |goal: i64| goal.saturating_sub(free);
        let need = if first > 0 { missing(first).max(0) } else { 0 };
        if self.id.is_money() {
            let want = match (self.keeps_nothing(), idle) {
                (true, _) => 0,
                (false, true) => 1,
                (false, false) => missing(self.target().max(all)).max(1),
            };
            return (need, want);
        }
        // A debt may be larger than the bucket: it is paid off bucket by bucket.
        let need = self.limit.map_or(need, |limit| need.min(first.max(limit)));
        let goal = match (self.has_waiters(), self.direct || self.leaving) {
            (false, _) if self.keeps_nothing() => return (need, 0),
            (_, true) => all,
            (_, false) => all.max(self.chunk(active)),
        };
        (need, missing(goal).max(0))
    }

    pub(super) fn set_low(&self, active: u32) {
        let goal = if self.id.is_money() { self.target() } else { self.chunk(active) };
        let free = self.cell.free();
        // What cannot get lower by taking needs no bell: whoever comes next asks anyway.
        self.cell.set_low(if self.keeps_nothing() || free <= 0 { i64::MIN } else { goal.min(free).max(0) / 2 });
    }

    /// When this pool should be looked at again.
    pub(in crate::borrower) fn next_look(&self, now_ms: u64) -> u64 {
        let free = self.cell.free();
        let used = self.cell.used_at();
        let money = self.id.is_money();
        let forget = used.saturating_add(if money { FORGET_MS } else { FORGET_RATE_MS });
        // What is due already is in the queue; only what is ahead needs a timer.
        let ahead = |at: &u64| *at > now_ms;
        let stages = [
            Some(now_ms.saturating_add(IDLE_MS)),
            self.waiters.front().map(|first| self.deadline(first)),
            (!money && free > 0).then_some(self.admit_until).filter(ahead),
            (money && free > 0).then(|| self.renewed_at.saturating_add(RENEW_MS)).filter(ahead),
            (money && free > 0).then(|| used.saturating_add(IDLE_MS)).filter(ahead),
            (money && free > 0).then(|| used.saturating_add(PARKED_MS)).filter(ahead),
            Some(forget).filter(ahead),
        ];
        let soonest = stages.into_iter().flatten().min().unwrap_or(now_ms.saturating_add(IDLE_MS));
        soonest.max(now_ms.saturating_add(1))
    }
}
