//! One pool at the borrower: totals, waiting requests, and how much to want.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::pools::PoolId;

use super::local::Share;
use super::{ANSWER_DEADLINE_MS, Finished, REASK_MS, RECALL_DEADLINE_MS, WaiterId};
use crate::cell::{Cell, Denied};
use crate::lease::{Ask, Grant, Verdict};

/// The controller outage that leased money should survive, in seconds of lately seen use.
const COVER_S: i64 = 900;
/// A lease is renewed when half of its 20 minutes are over.
const RENEW_MS: u64 = 600_000;
/// Money that nobody used for this long goes back, but for a small float.
const IDLE_MS: u64 = 60_000;
/// After this long the float goes back too.
const PARKED_MS: u64 = 900_000;
/// After this long only the totals are kept.
const FORGET_MS: u64 = 1_200_000;
/// Rate pools are cheap to ask for again.
const FORGET_RATE_MS: u64 = 120_000;
/// How long a refusal without a date stands if its event gets lost.
const OPEN_DENIAL_MS: u64 = 5_000;
/// The memory of the average use.
const AVERAGE_MS: i128 = 30_000;
/// A new life of a forgotten rate pool counts its totals from here on: above anything an earlier life can have
/// reached, unless it used a million units a millisecond.
const UNITS_PER_MS: i64 = 1_000_000;

pub(super) struct Waiter {
    pub id: WaiterId,
    pub need: i64,
    pub since: u64,
}

/// What was said about a pool in the batch under way.
pub(super) struct Asked {
    pub pool: PoolId,
    returned: i64,
    /// Whether a recall had come before, so that the ask is its answer.
    answers_recall: bool,
}

/// What is left of a pool that is forgotten.
pub(super) struct Remains {
    pub granted: i64,
    pub returned: i64,
    pub timer: Option<u64>,
}

pub(super) struct Pool {
    id: PoolId,
    pub cell: Arc<Cell>,
    granted: i64,
    returned: i64,
    /// What of `returned` the controller is known to have heard.
    heard: i64,
    waiters: VecDeque<Waiter>,
    /// The controller shares this pool by one round trip for each request.
    direct: bool,
    recalled: Option<i64>,
    /// The chunk ran out of time, or nobody has used the money for long.
    lapsed: bool,
    leaving: bool,
    /// Somebody was refused for want of the controller: ask it anyway, or nobody would learn that it is back.
    owed: bool,
    /// The last verdict while somebody waits.
    verdict: Option<Verdict>,
    admit_until: u64,
    renewed_at: u64,
    /// Units a second.
    rate: i64,
    sampled: (u64, i64),
    /// Units a minute of a rate pool; none before the first grant.
    limit: Option<i64>,
    share: Share,
    pub queued: Option<u64>,
    pub timer: Option<u64>,
}

impl Pool {
    pub(super) fn new(id: PoolId, cell: Arc<Cell>, totals: Option<(i64, i64)>, now_ms: u64) -> Self {
        let fresh = || {
            let floor = i64::try_from(now_ms).unwrap_or(i64::MAX).saturating_mul(UNITS_PER_MS);
            if id.is_money() { (0, 0) } else { (floor, floor) }
        };
        let (granted, returned) = totals.unwrap_or_else(fresh);
        Pool {
            id,
            cell,
            granted,
            returned,
            heard: returned,
            waiters: VecDeque::new(),
            direct: false,
            recalled: None,
            lapsed: false,
            leaving: false,
            owed: false,
            verdict: None,
            admit_until: 0,
            renewed_at: now_ms,
            rate: 0,
            sampled: (now_ms, granted - returned),
            limit: None,
            share: Share::default(),
            queued: None,
            timer: None,
        }
    }

    pub(super) fn totals(&self) -> (i64, i64) {
        (self.granted, self.returned)
    }

    pub(super) fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    pub(super) fn push(&mut self, waiter: Waiter) {
        self.cell.note_use(waiter.need, waiter.since);
        if self.waiters.is_empty() {
            self.verdict = None;
        }
        self.waiters.push_back(waiter);
        self.show_flags();
    }

    pub(super) fn remove(&mut self, waiter: WaiterId) {
        self.waiters.retain(|waiting| waiting.id != waiter);
        self.show_flags();
    }

    pub(super) fn recall(&mut self, keep: i64) {
        self.recalled = Some(keep.max(0));
        self.show_flags();
    }

    pub(super) fn leave(&mut self) {
        self.leaving = true;
        self.show_flags();
    }

    pub(super) fn is_settled(&self) -> bool {
        self.cell.free() <= 0 && self.heard == self.returned
    }

    pub(super) fn is_forgettable(&self, now_ms: u64) -> bool {
        let idle = now_ms.saturating_sub(self.cell.used_at());
        let long = if self.id.is_money() { FORGET_MS } else { FORGET_RATE_MS };
        idle >= long
            && self.waiters.is_empty()
            && self.cell.free() == 0
            && self.heard == self.returned
            && self.queued.is_none()
            && self.recalled.is_none()
    }

    /// Ends this pool's life unless somebody else still knows its cell.
    pub(super) fn retire(self) -> Result<Remains, Box<Pool>> {
        let Pool { cell, granted, returned, timer, .. } = self;
        match Arc::try_unwrap(cell) {
            Ok(cell) if cell.free() == 0 => Ok(Remains { granted, returned, timer }),
            Ok(cell) => Err(Box::new(Pool { cell: Arc::new(cell), granted, returned, timer, ..self })),
            Err(cell) => Err(Box::new(Pool { cell, granted, returned, timer, ..self })),
        }
    }

    fn keeps_nothing(&self) -> bool {
        self.direct || self.recalled.is_some() || self.lapsed || self.leaving
    }

    /// Tells the cell whether units that come back matter to somebody right now.
    fn show_flags(&self) {
        self.cell.set_keeps_nothing(self.keeps_nothing() || self.has_waiters());
    }

    /// Whether the controller has to hear of this pool.
    pub(super) fn has_reason(&self, now_ms: u64) -> bool {
        let free = self.cell.free();
        self.has_waiters()
            || self.heard != self.returned
            || self.recalled.is_some()
            || self.owed
            || (free > 0 && self.keeps_nothing())
            || (free > 0 && self.is_lapsed(now_ms))
            || (!self.keeps_nothing() && self.cell.is_low() && !self.is_lapsed(now_ms))
            || self.is_due_for_renewal(now_ms)
            || self.surplus(now_ms) > 0
    }

    fn is_lapsed(&self, now_ms: u64) -> bool {
        !self.id.is_money() && now_ms >= self.admit_until
    }

    fn is_due_for_renewal(&self, now_ms: u64) -> bool {
        self.id.is_money() && self.cell.free() > 0 && now_ms >= self.renewed_at.saturating_add(RENEW_MS)
    }

    /// What nobody has used for long: more than a float after a minute, the float after a quarter of an hour.
    fn surplus(&self, now_ms: u64) -> i64 {
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

    fn float(&self) -> i64 {
        self.cell.last_amount().saturating_mul(2)
    }

    /// What to have free, from the size of requests and the lately seen use.
    fn target(&self) -> i64 {
        let first = self.waiters.front().map_or(0, |waiter| waiter.need);
        let some = self.cell.last_amount().max(first).saturating_mul(4);
        some.max(self.rate.saturating_mul(COVER_S))
    }

    /// A fifth of a second's worth of the limit, over the fleet.
    fn chunk(&self, active: u32) -> i64 {
        self.limit.map_or(0, |limit| (limit / (300 * i64::from(active.max(1)))).max(1))
    }

    fn sample(&mut self, now_ms: u64) {
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

    /// The next ask. Everything that goes back leaves the cell here; of a rate that includes whatever does not suffice
    /// for who waits, so that the bucket's owner knows that nothing is left.
    pub(super) fn ask(&mut self, now_ms: u64, active: u32) -> (Ask, Asked) {
        self.sample(now_ms);
        let (money, waited) = (self.id.is_money(), self.has_waiters());
        self.lapsed = if money {
            let parked = now_ms.saturating_sub(self.cell.used_at()) >= PARKED_MS;
            !waited && (self.lapsed || parked)
        } else {
            self.lapsed || self.is_lapsed(now_ms)
        };
        self.show_flags();
        let idle = !waited && now_ms.saturating_sub(self.cell.used_at()) >= IDLE_MS;
        let back = if self.keeps_nothing() || (!money && waited) {
            self.cell.drain(self.recalled.unwrap_or(0))
        } else if self.surplus(now_ms) > 0 {
            self.cell.drain(self.float())
        } else {
            0
        };
        self.returned = self.returned.saturating_add(back);
        let (need, want) = self.wishes(idle, active);
        let ask = Ask {
            pool: self.id,
            granted_total: self.granted,
            returned_total: self.returned,
            need,
            want,
            rate: self.rate,
        };
        let note = Asked { pool: self.id, returned: self.returned, answers_recall: self.recalled.is_some() };
        (ask, note)
    }

    fn wishes(&self, idle: bool, active: u32) -> (i64, i64) {
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

    /// Books an answer, serves who waits, and says when to ask again, if at all.
    pub(super) fn settle(
        &mut self,
        asked: &Asked,
        grant: &Grant,
        sent_at: u64,
        now_ms: u64,
        active: u32,
        finished: &mut Vec<Finished>,
    ) -> Option<u64> {
        self.share.end();
        self.heard = self.heard.max(asked.returned);
        if grant.verdict == Verdict::Fenced {
            return None;
        }
        let more = grant.granted_total.saturating_sub(self.granted).max(0);
        self.granted = self.granted.saturating_add(more);
        let until = sent_at.saturating_add(grant.admit_for_ms);
        self.direct = grant.direct || grant.verdict == Verdict::Unknown;
        self.owed = false;
        if asked.answers_recall {
            self.recalled = None;
        }
        if self.id.is_money() {
            self.renewed_at = sent_at;
            self.admit_until = until;
            self.cell.admit_until(until);
            self.hand_out(more, 0, now_ms, finished);
        } else {
            self.limit = Some(grant.limit);
            self.cell.show_rate(grant.limit, grant.remaining, now_ms.saturating_add(grant.reset_ms));
            self.take_chunk(more, until, now_ms, finished);
        }
        self.show_flags();
        self.set_low(active);
        self.judge(more, grant, now_ms, finished)
    }

    /// A new chunk replaces the old one: what is left of that goes back, so that no unit lives longer than the
    /// controller thinks it does.
    fn take_chunk(&mut self, more: i64, until: u64, now_ms: u64, finished: &mut Vec<Finished>) {
        if more == 0 {
            return;
        }
        if now_ms >= until {
            self.returned = self.returned.saturating_add(more);
            return;
        }
        let left = self.cell.drain(0);
        let usable = if now_ms < self.admit_until { left } else { 0 };
        self.returned = self.returned.saturating_add(left - usable);
        self.lapsed = false;
        self.admit_until = until;
        self.cell.admit_until(until);
        self.hand_out(more, usable, now_ms, finished);
    }

    /// Gives to the waiters, in order, whoever can be served; `old` units may be used but not kept.
    fn hand_out(&mut self, more: i64, old: i64, now_ms: u64, finished: &mut Vec<Finished>) {
        let debt = self.cell.free().min(0).saturating_neg().min(more);
        self.cell.credit(debt);
        let new = more - debt;
        let mut purse = new.saturating_add(old);
        let (cell, pool) = (&self.cell, self.id);
        self.waiters.retain(|waiter| {
            let lacking = waiter.need.saturating_sub(purse).max(0);
            if lacking > 0 && cell.subtract(lacking).is_none() {
                return true;
            }
            purse -= waiter.need - lacking;
            cell.note_use(waiter.need, now_ms);
            finished.push(Finished { waiter: waiter.id, pool, need: waiter.need, result: Ok(()) });
            false
        });
        let kept = purse.min(new);
        self.returned = self.returned.saturating_add(purse - kept);
        self.cell.credit(kept);
    }

    /// Serves waiters from what has become free.
    pub(super) fn serve(&mut self, now_ms: u64, finished: &mut Vec<Finished>) {
        if self.has_waiters() && now_ms < self.admit_until {
            self.hand_out(0, 0, now_ms, finished);
            self.show_flags();
        }
    }

    fn set_low(&self, active: u32) {
        let goal = if self.id.is_money() { self.target() } else { self.chunk(active) };
        let free = self.cell.free();
        // What cannot get lower by taking needs no bell: whoever comes next asks anyway.
        self.cell.set_low(if self.keeps_nothing() || free <= 0 { i64::MIN } else { goal.min(free).max(0) / 2 });
    }

    fn judge(&mut self, more: i64, grant: &Grant, now_ms: u64, finished: &mut Vec<Finished>) -> Option<u64> {
        self.verdict = Some(grant.verdict);
        let soon = now_ms.saturating_add(REASK_MS);
        match grant.verdict {
            Verdict::Granted => {
                self.cell.allow();
                // Waiters may have come after the ask, or workers were faster: ask again at once. But where an answer
                // brought nothing, or only the rest of a chunk is to go back, there is no hurry.
                let urgent = if self.has_waiters() { more > 0 } else { self.keeps_nothing() };
                self.has_reason(now_ms).then_some(if urgent { now_ms } else { soon })
            }
            Verdict::Recalling => self.wait_for_recall(grant, now_ms, finished),
            Verdict::Exhausted => {
                let dated = grant.not_before_ms > 0;
                let stands = if dated { grant.not_before_ms } else { OPEN_DENIAL_MS };
                self.cell.deny(grant.affordable, now_ms.saturating_add(stands), dated);
                self.deny_unaffordable(now_ms, finished);
                self.has_reason(now_ms).then_some(soon)
            }
            Verdict::Unknown | Verdict::Fenced => {
                self.cell.deny_all(Denied::Unknown, now_ms.saturating_add(OPEN_DENIAL_MS));
                self.deny_waiters(Denied::Unknown, finished);
                self.has_reason(now_ms).then_some(now_ms)
            }
        }
    }

    fn wait_for_recall(&mut self, grant: &Grant, now_ms: u64, finished: &mut Vec<Finished>) -> Option<u64> {
        let again = now_ms.saturating_add(grant.not_before_ms.max(REASK_MS));
        if grant.not_before_ms > 0 {
            // A rate pool whose owner has just started says when: who cannot wait that long is told at once.
            let why = Denied::Exhausted { affordable: grant.affordable, retry_ms: grant.not_before_ms };
            let pool = self.id;
            self.waiters.retain(|waiter| {
                let can_wait = waiter.since.saturating_add(RECALL_DEADLINE_MS) > again;
                if !can_wait {
                    finished.push(Finished { waiter: waiter.id, pool, need: waiter.need, result: Err(why) });
                }
                can_wait
            });
            self.show_flags();
        }
        self.has_reason(now_ms).then_some(again)
    }

    fn deny_unaffordable(&mut self, now_ms: u64, finished: &mut Vec<Finished>) {
        let (cell, pool) = (&self.cell, self.id);
        self.waiters.retain(|waiter| match cell.denied(waiter.need, now_ms) {
            Some(why) => {
                finished.push(Finished { waiter: waiter.id, pool, need: waiter.need, result: Err(why) });
                false
            }
            None => true,
        });
        self.show_flags();
    }

    pub(super) fn deny_waiters(&mut self, why: Denied, finished: &mut Vec<Finished>) {
        let pool = self.id;
        finished.extend(self.waiters.drain(..).map(|waiter| Finished {
            waiter: waiter.id,
            pool,
            need: waiter.need,
            result: Err(why),
        }));
        self.show_flags();
    }

    fn deadline(&self, waiter: &Waiter) -> u64 {
        let patience = if self.verdict == Some(Verdict::Recalling) { RECALL_DEADLINE_MS } else { ANSWER_DEADLINE_MS };
        waiter.since.saturating_add(patience)
    }

    /// Sends away who has waited long enough.
    pub(super) fn expire(&mut self, now_ms: u64, lost: bool, finished: &mut Vec<Finished>) {
        while let Some(first) = self.waiters.front().filter(|first| self.deadline(first) <= now_ms) {
            let why = if lost || self.verdict.is_none() { Denied::Unreachable } else { Denied::Recalling };
            finished.push(Finished { waiter: first.id, pool: self.id, need: first.need, result: Err(why) });
            self.waiters.pop_front();
        }
        self.show_flags();
    }

    /// Without the controller, rates fall to this proxy's share; money that is not here cannot be had.
    pub(super) fn serve_in_outage(&mut self, lost_since: u64, now_ms: u64, active: u32, finished: &mut Vec<Finished>) {
        if !self.has_waiters() {
            return;
        }
        self.verdict = None;
        self.owed = true;
        if self.id.is_money() {
            if now_ms >= lost_since.saturating_add(ANSWER_DEADLINE_MS) {
                self.deny_waiters(Denied::Unreachable, finished);
            }
            return;
        }
        let Some(limit) = self.limit else { return };
        self.share.begin(lost_since);
        while let Some(first) = self.waiters.pop_front() {
            let result = self
                .share
                .take(first.need, limit, active, now_ms)
                .map_err(|(affordable, retry_ms)| Denied::Exhausted { affordable, retry_ms });
            finished.push(Finished { waiter: first.id, pool: self.id, need: first.need, result });
        }
        self.show_flags();
    }

    /// When this pool should be looked at again.
    pub(super) fn next_look(&self, now_ms: u64) -> u64 {
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
