//! Passes an answer on that nobody here reads: a provider's bytes to the client as they come, one piece at a time, each
//! asked for only when the client has taken the one before. There is no place among them for a sign of life or an error,
//! so what breaks off at the provider breaks off at the client. Settles the ticket before the end goes out.
//! Never falls over to another endpoint: the client has the first bytes.

use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use codec::dialect::tasks::Opaque;
use domain::usage::Outcome;

use super::{
    Visit,
    outflow::BrokenOff,
    settle::{Ending, Ticket},
};
use crate::{
    alarm::{Alarm, Tick, Ticks},
    upstream::ReplyBody,
};

/// An answer whose first bytes are there.
pub(crate) struct Begun {
    pub first: Bytes,
    pub body: ReplyBody,
    pub told: Opaque,
}

/// Such an answer on its way to the client.
pub(crate) struct Sound {
    visit: Rc<Visit>,
    /// Gone once the request is settled.
    ticket: Option<Ticket>,
    /// Taken by the client before everything else.
    first: Option<Bytes>,
    /// Gone once nothing more of it is wanted.
    body: Option<ReplyBody>,
    told: Opaque,
    /// Bytes of the answer that may still come.
    room: u64,
    /// What was handed over may still be on this side of the client's connection.
    is_owed: bool,
    alarm: Alarm,
    stall: Ticks,
    stall_due: Tick,
}

impl Sound {
    pub fn new(visit: Rc<Visit>, mut ticket: Ticket, begun: Begun) -> Sound {
        ticket.flows();
        visit.begins();
        let Begun { first, body, told } = begun;
        let worker = &visit.worker;
        let settings = &worker.gate.settings;
        let stall = Ticks::of(settings.timeouts.provider_stall.get());
        Sound {
            room: settings.limits.answer.get(),
            is_owed: false,
            alarm: worker.alarms.alarm(),
            stall,
            stall_due: worker.alarms.after(stall),
            ticket: Some(ticket),
            first: Some(first),
            body: Some(body),
            told,
            visit,
        }
    }

    pub fn visit(&self) -> &Visit {
        &self.visit
    }

    /// The next bytes for the client; none at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BrokenOff>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Ok(Some(self.handed_over(first))));
        }
        match self.body.as_mut().map(|body| body.poll_data(cx)) {
            Some(Poll::Ready(Some(Ok(data)))) if self.has_room_for(&data) => {
                return Poll::Ready(Ok(Some(self.handed_over(data))));
            }
            Some(Poll::Ready(Some(Ok(_)))) => self.break_off(Outcome::Capped),
            Some(Poll::Ready(Some(Err(_)))) => self.break_off(Outcome::UpstreamCut),
            Some(Poll::Ready(None)) => {
                self.told.finish();
                self.settle(Outcome::Finished);
                return Poll::Ready(Ok(None));
            }
            Some(Poll::Pending) => ready!(self.poll_idle(cx)),
            None => {}
        }
        // An error throws away what the connection has not written yet; it gets one more chance to.
        if std::mem::take(&mut self.is_owed) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Err(BrokenOff))
    }

    fn handed_over(&mut self, data: Bytes) -> Bytes {
        self.room = self.room.saturating_sub(data.len() as u64);
        self.is_owed = true;
        self.stall_due = self.visit.worker.alarms.after(self.stall);
        data
    }

    fn has_room_for(&self, data: &Bytes) -> bool {
        data.len() as u64 <= self.room && !self.visit.worker.alarms.is_past(self.visit.deadline())
    }

    /// Nothing came from the provider: patience, or an end of it.
    fn poll_idle(&mut self, cx: &Context<'_>) -> Poll<()> {
        let alarms = self.visit.worker.alarms.clone();
        if alarms.is_past(self.visit.deadline()) {
            self.break_off(Outcome::Capped);
        } else if alarms.is_past(self.stall_due) {
            self.break_off(Outcome::UpstreamCut);
        } else {
            self.is_owed = false;
            self.alarm.set(self.visit.deadline().or_sooner(self.stall_due));
            self.alarm.register(cx);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Lets go of the provider; the client is told by the end of its body.
    fn break_off(&mut self, outcome: Outcome) {
        self.body = None;
        tracing::debug!(request.id = %self.visit.id, outcome = outcome.name(), "an answer broke off");
        self.settle(outcome);
    }

    fn settle(&mut self, outcome: Outcome) {
        if let Some(ticket) = self.ticket.take() {
            let status = self.visit.status().unwrap_or(200);
            ticket.close(&Ending { outcome, tap: Some(self.told.tap()), status });
        }
    }
}

impl Drop for Sound {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            let outcome = Ticket::outcome_of_drop(&self.visit, true);
            self.settle(outcome);
        }
    }
}
