//! How much a pool wants, keeps and gives back, and when it is to be looked at again.

use super::Pool;

/// The controller outage that leased money should survive, in seconds of lately seen use.
const COVER_S: i64 = 900;
/// Before the use is known, and at least, so many requests of the size lately seen. A controller may be gone a moment
/// after a first request, and a burst finds its holds here.
const FIRST_REQUESTS: i64 = 64;
/// A lease is renewed when half of its 20 minutes are over.
const RENEW_MS: u64 = 600_000;
/// Money that nobody used for this long goes back, but for a float.
pub(super) const IDLE_MS: u64 = 60_000;
/// After this long the float goes back too.
pub(super) const PARKED_MS: u64 = 900_000;
/// After this long only the totals are kept.
pub(super) const FORGET_MS: u64 = 1_200_000;
/// Rate pools are cheap to ask for again.
pub(super) const FORGET_RATE_MS: u64 = 120_000;
/// The memory of the average use.
const AVERAGE_MS: u64 = 30_000;
/// At first the use is averaged over the time it has been seen for, but not over less than this: a request that has
/// just begun holds more than it will use.
const SEEN_MS: u64 = 3_000;
/// How often a pool in use is measured: in the first second, in the time of the average's memory, and later.
const LOOK_MS: [u64; 3] = [250, 1_000, 5_000];
/// A pool that was lent less than it wanted is not topped up again for this long, unless it runs low or something
/// happens to the pool: half of what is left, asked for again and again, would soon be all.
const CAPPED_MS: u64 = 60_000;

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
        if !self.id.is_money() || idle < IDLE_MS || free <= 0 || self.has_waiters() {
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
        self.cell.last_amount().saturating_mul(FIRST_REQUESTS)
    }

    /// What to have free, from the size of requests and the lately seen use.
    pub(super) fn target(&self) -> i64 {
        let first = self.waiters.front().map_or(0, |waiter| waiter.need);
        let some = self.size.max(self.cell.last_amount()).max(first).saturating_mul(FIRST_REQUESTS);
        some.max(self.rate.saturating_mul(COVER_S))
    }

    /// Measures the use, and notes whether what is free covers less than half of what it should.
    pub(in crate::borrower) fn look(&mut self, now_ms: u64) {
        if !self.id.is_money() {
            return;
        }
        self.sample(now_ms);
        let free = self.cell.free();
        let is_capped = self.capped_at.is_some_and(|at| now_ms < at.saturating_add(CAPPED_MS));
        let may_grow = self.in_use_since.is_some() && !self.keeps_nothing() && !is_capped;
        self.is_thin = may_grow && free > 0 && free < self.target() / 2;
    }

    /// A fifth of a second's worth of the limit, over the fleet.
    pub(super) fn chunk(&self, active: u32) -> i64 {
        self.told.map_or(0, |told| (told.limit / (300 * i64::from(active.max(1)))).max(1))
    }

    pub(super) fn sample(&mut self, now_ms: u64) {
        let used = self.granted.saturating_sub(self.returned).saturating_sub(self.cell.free());
        let (then, before) = std::mem::replace(&mut self.sampled, (now_ms, used));
        if now_ms.saturating_sub(self.cell.used_at()) >= IDLE_MS {
            (self.in_use_since, self.rate, self.size) = (None, 0, self.cell.last_amount());
            return;
        }
        // Use that begins anew began after the last look, and not long ago.
        let since = *self.in_use_since.get_or_insert(now_ms.saturating_sub(LOOK_MS[0]).max(then));
        let (seen, passed) = (then.saturating_sub(since), now_ms.saturating_sub(then.max(since)));
        let known = i128::from(seen.clamp(SEEN_MS, AVERAGE_MS));
        let whole = i128::from(seen.min(AVERAGE_MS).saturating_add(passed).max(SEEN_MS));
        let more = i128::from(used) - i128::from(before);
        let average = (i128::from(self.rate) * known + more * 1_000) / whole;
        self.rate = i64::try_from(average.max(0)).unwrap_or(i64::MAX);
        self.size = self.cell.last_amount().max(self.size - self.size / 8);
    }

    /// When the use is to be measured next.
    fn next_sample(&self, now_ms: u64) -> Option<u64> {
        let [first, second, later] = LOOK_MS;
        let age = now_ms.saturating_sub(self.in_use_since?);
        let pace = if age < second {
            first
        } else if age < AVERAGE_MS {
            second
        } else {
            later
        };
        Some(self.sampled.0.saturating_add(pace))
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
                (false, false) => missing(self.target().saturating_add(all)).max(1),
            };
            return (need, want);
        }
        // A debt may be larger than the bucket: it is paid off bucket by bucket.
        let need = self.told.map_or(need, |told| need.min(first.max(told.limit)));
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
            money.then(|| self.next_sample(now_ms)).flatten(),
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
