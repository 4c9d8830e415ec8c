//! One pool at the borrower: its totals, the requests that wait, what it says and how it books what it is told.

mod sizing;
mod verdicts;

use std::collections::VecDeque;
use std::sync::Arc;

use domain::pools::PoolId;

use super::local::{Share, Told};
use super::{Finished, REASK_MS, RETRY_MAX_MS, WaiterId};
use crate::cell::Cell;
use crate::lease::{Ask, Grant, Verdict};
use sizing::{FORGET_MS, FORGET_RATE_MS, IDLE_MS, PARKED_MS};

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
    want: i64,
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
    /// When something last happened to the pool: what was asked before that is no news.
    event_at: Option<u64>,
    /// Answers leave this pool out: not before this is it asked for again, and the pause grows.
    not_before: u64,
    pause_ms: u64,
    admit_until: u64,
    renewed_at: u64,
    /// Units a second, lately.
    rate: i64,
    /// The size of requests: the largest lately.
    size: i64,
    /// When the use was measured last, and how much had been used in all.
    sampled: (u64, i64),
    /// Since when the pool has been in use without a long pause.
    in_use_since: Option<u64>,
    /// What is free covers far too little of the use: a top-up is to be asked for.
    is_thin: bool,
    /// When an answer last brought less than was wanted.
    capped_at: Option<u64>,
    /// What the controller said of a rate pool; none before the first grant.
    told: Option<Told>,
    /// It was an owner who knew the bucket, not one that has just started.
    is_told_whole: bool,
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
            event_at: None,
            not_before: 0,
            pause_ms: 0,
            admit_until: 0,
            renewed_at: now_ms,
            rate: 0,
            size: 0,
            sampled: (now_ms, granted - returned),
            in_use_since: None,
            is_thin: false,
            capped_at: None,
            told: None,
            is_told_whole: false,
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

    /// Something happened to the pool, or the controller is back: refusals and short grants are forgotten.
    pub(super) fn forget_refusals(&mut self, now_ms: u64) {
        self.cell.allow();
        self.capped_at = None;
        self.event_at = Some(now_ms);
    }

    /// An answer did not speak of this pool, though it was asked about: it cannot be served now. Says when to ask again.
    pub(super) fn left_out(&mut self, now_ms: u64) -> u64 {
        self.pause_ms = (self.pause_ms * 2).clamp(REASK_MS, RETRY_MAX_MS);
        self.not_before = now_ms.saturating_add(self.pause_ms);
        self.not_before
    }

    /// When to ask, if there is a reason.
    pub(super) fn ask_at(&self, now_ms: u64) -> u64 {
        self.not_before.max(now_ms)
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
            || self.is_thin
            || (free > 0 && self.keeps_nothing())
            || (free > 0 && self.is_lapsed(now_ms))
            || (!self.keeps_nothing() && self.cell.is_low() && !self.is_lapsed(now_ms))
            || self.is_due_for_renewal(now_ms)
            || self.surplus(now_ms) > 0
    }

    /// The next ask. Everything that goes back leaves the cell here; of a rate that includes whatever does not suffice
    /// for who waits, so that the bucket's owner knows that nothing is left.
    pub(super) fn ask(&mut self, now_ms: u64, active: u32) -> (Ask, Asked) {
        self.sample(now_ms);
        self.is_thin = false;
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
        let note = Asked { pool: self.id, returned: self.returned, want, answers_recall: self.recalled.is_some() };
        (ask, note)
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
        self.heard = self.heard.max(asked.returned);
        (self.not_before, self.pause_ms) = (0, 0);
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
            if asked.want > 1 {
                self.capped_at = (more < asked.want).then_some(now_ms);
            }
            self.renewed_at = sent_at;
            self.admit_until = until;
            self.cell.admit_until(until);
            self.hand_out(more, 0, now_ms, finished);
        } else {
            // An owner that has just started knows nothing yet, and gives nothing: the share serves on until it does.
            let is_new_owner = grant.verdict == Verdict::Recalling && grant.not_before_ms > 0;
            if !is_new_owner {
                self.share.end();
            }
            if grant.verdict != Verdict::Unknown {
                if !is_new_owner || self.told.is_none() {
                    self.told = Some(Told::by(grant, now_ms));
                    self.is_told_whole = !is_new_owner;
                }
                self.cell.show_rate(grant.limit, grant.remaining, now_ms.saturating_add(grant.reset_ms));
            }
            self.take_chunk(more, until, now_ms, finished);
        }
        self.show_flags();
        self.set_low(active);
        // What happened after the question, or at the same time, the answer may not know of.
        let is_news = self.event_at.is_none_or(|event_at| event_at < sent_at);
        self.judge(more, grant, is_news, now_ms, active, finished)
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
}
