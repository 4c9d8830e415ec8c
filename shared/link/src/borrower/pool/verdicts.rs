//! What an answer, a deadline or an outage means for requests that still wait.

use super::{Pool, Waiter};
use crate::borrower::{ANSWER_DEADLINE_MS, Finished, REASK_MS, RECALL_DEADLINE_MS};
use crate::cell::Denied;
use crate::lease::{Grant, Verdict};

/// How long a refusal without a date stands if its event gets lost.
const OPEN_DENIAL_MS: u64 = 5_000;

impl Pool {
    pub(super) fn judge(
        &mut self,
        more: i64,
        grant: &Grant,
        is_news: bool,
        now_ms: u64,
        active: u32,
        finished: &mut Vec<Finished>,
    ) -> Option<u64> {
        self.verdict = Some(grant.verdict);
        let soon = now_ms.saturating_add(REASK_MS);
        if !is_news && matches!(grant.verdict, Verdict::Exhausted | Verdict::Unknown) {
            // A refusal that an event has overtaken: who still waits asks again.
            return self.has_reason(now_ms).then_some(now_ms);
        }
        match grant.verdict {
            Verdict::Granted => {
                self.cell.allow();
                // Waiters may have come after the ask, or workers were faster: ask again at once. But where an answer
                // brought nothing, or only the rest of a chunk is to go back, there is no hurry.
                let urgent = if self.has_waiters() { more > 0 } else { self.keeps_nothing() };
                self.has_reason(now_ms).then_some(if urgent { now_ms } else { soon })
            }
            Verdict::Recalling => self.wait_for_recall(grant, now_ms, active, finished),
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

    fn wait_for_recall(
        &mut self,
        grant: &Grant,
        now_ms: u64,
        active: u32,
        finished: &mut Vec<Finished>,
    ) -> Option<u64> {
        let again = now_ms.saturating_add(grant.not_before_ms.max(REASK_MS));
        // An owner that has just started does not know the bucket; this proxy's share of it as it was serves on.
        if self.share.has_begun() || (grant.not_before_ms > 0 && self.is_told_whole) {
            self.serve_from_share(now_ms, active, finished);
        } else if grant.not_before_ms > 0 {
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

    pub(super) fn deny_unaffordable(&mut self, now_ms: u64, finished: &mut Vec<Finished>) {
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

    pub(in crate::borrower) fn deny_waiters(&mut self, why: Denied, finished: &mut Vec<Finished>) {
        let pool = self.id;
        finished.extend(self.waiters.drain(..).map(|waiter| Finished {
            waiter: waiter.id,
            pool,
            need: waiter.need,
            result: Err(why),
        }));
        self.show_flags();
    }

    pub(super) fn deadline(&self, waiter: &Waiter) -> u64 {
        let patience = if self.verdict == Some(Verdict::Recalling) { RECALL_DEADLINE_MS } else { ANSWER_DEADLINE_MS };
        waiter.since.saturating_add(patience)
    }

    /// Sends away who has waited long enough.
    pub(in crate::borrower) fn expire(&mut self, now_ms: u64, lost: bool, finished: &mut Vec<Finished>) {
        while let Some(first) = self.waiters.front().filter(|first| self.deadline(first) <= now_ms) {
            let why = if lost || self.verdict.is_none() { Denied::Unreachable } else { Denied::Recalling };
            finished.push(Finished { waiter: first.id, pool: self.id, need: first.need, result: Err(why) });
            self.waiters.pop_front();
        }
        self.show_flags();
    }

    /// Refuses a request that would wait for a controller that is gone.
    pub(in crate::borrower) fn turn_away(&mut self, waiter: &Waiter) -> Finished {
        self.owed = true;
        Finished { waiter: waiter.id, pool: self.id, need: waiter.need, result: Err(Denied::Unreachable) }
    }

    /// Without the controller, rates fall to this proxy's share; money that is not here cannot be had, if it is known
    /// since when the controller is gone.
    pub(in crate::borrower) fn serve_in_outage(
        &mut self,
        lost_since: Option<u64>,
        now_ms: u64,
        active: u32,
        finished: &mut Vec<Finished>,
    ) {
        if !self.has_waiters() {
            return;
        }
        self.verdict = None;
        self.owed = true;
        if self.id.is_money() {
            if lost_since.is_some_and(|since| now_ms >= since.saturating_add(ANSWER_DEADLINE_MS)) {
                self.deny_waiters(Denied::Unreachable, finished);
            }
            return;
        }
        self.serve_from_share(now_ms, active, finished);
    }

    fn serve_from_share(&mut self, now_ms: u64, active: u32, finished: &mut Vec<Finished>) {
        let Some(told) = self.told else { return };
        self.share.begin(&told, active);
        while let Some(first) = self.waiters.pop_front() {
            let result = self
                .share
                .take(first.need, &told, active, now_ms)
                .map_err(|(affordable, retry_ms)| Denied::Exhausted { affordable, retry_ms });
            if result.is_ok() {
                self.cell.note_use(first.need, now_ms);
            }
            finished.push(Finished { waiter: first.id, pool: self.id, need: first.need, result });
        }
        self.show_flags();
    }
}
