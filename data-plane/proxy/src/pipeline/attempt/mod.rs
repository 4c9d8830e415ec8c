//! Tries the plan's endpoints one after another until one answers: bridge the request, sign, send, judge. All of it before
//! the first output, inside one deadline and a budget of attempts, each from the immutable original. A stream's head and
//! preamble are held back until there is output, so that an error inside a 200 can still fall over.
//! Never touches what the client already has. Rooms: `send` what an endpoint gets, `receive` what it answers. Next room:
//! `relay`.

mod receive;
mod send;

use std::{collections::VecDeque, pin::pin, rc::Rc, time::Duration};

use bytes::Bytes;
use codec::{Carry, Framing, Names, Receipt, StreamEnd, StreamPass, Tap, UpstreamError, Whole};
use domain::{
    catalog::PriceList,
    faults::{Fault, FaultCode},
    pricing,
    usage::TokenUsage,
};
use http::Response;
use runtime::telemetry::TRACE;
use tracing::{Span, field::Empty, info_span};

use self::send::Prepared;
use super::{
    Outflow, Refusal, Visit,
    admit::refused,
    answer,
    arrival::Arrival,
    judge::{self, Miss, Then, Trouble, Verdict},
    plan::Plan,
    relay::{self, Relay},
    reply::{is_identity, is_media, is_stream},
    settle::{Ending, Reached, Ticket},
    sound::{Begun, Sound},
};
use crate::{
    alarm::{Alarm, Tick, TimeUp},
    fair::{self, Crowded, Need, Pass},
    offers::Lane,
    telemetry::AttemptResult,
    upstream::{self, ReplyBody},
};

/// What an endpoint gave.
pub(crate) enum Answer {
    Whole { visit: Rc<Visit>, ticket: Ticket, whole: Box<Whole> },
    Flow(Box<Relay>),
    Sound(Box<Sound>),
}

/// A stream whose first output is there.
pub(crate) struct Flow {
    pub body: ReplyBody,
    pub pass: StreamPass,
    /// What came so far, ready for the client.
    pub held: VecDeque<Bytes>,
    /// How it ended, if it has.
    pub ended: Option<StreamEnd>,
}

/// How it ends.
pub(crate) type Ran = Result<Answer, Refusal>;

enum Got {
    Whole(Box<Whole>),
    Flow(Box<Flow>),
    Sound(Box<Begun>),
}

/// One request on its way along the plan.
pub(crate) struct Attempts {
    visit: Rc<Visit>,
    arrival: Arrival,
    plan: Plan,
    ticket: Ticket,
    alarm: Alarm,
    misses: Vec<Miss>,
    /// Of the present attempt: what binds sealed state, and tools' names that were changed.
    carry: Carry,
    names: Names,
}

/// Gets an answer, or says why there is none.
pub(crate) async fn attempt(
    visit: &Rc<Visit>,
    arrival: Arrival,
    plan: Plan,
    ticket: Ticket,
) -> Result<Response<Outflow>, Refusal> {
    let first_sign = visit.worker.gate.settings.keepalive.first.get();
    let is_events = arrival.scan.stream && visit.framing == Framing::Events;
    let patient = !is_events || arrival.no_keepalive || first_sign.is_zero();
    let alarm = visit.worker.alarms.alarm();
    let attempts = Attempts {
        visit: visit.clone(),
        arrival,
        plan,
        ticket,
        alarm,
        misses: Vec::new(),
        carry: Carry::default(),
        names: Names::default(),
    };
    // In a place of its own, since a stream may go on in the body of its answer.
    let mut run = visit.worker.runs.start(attempts);
    if patient {
        return Ok(answer::respond(run.await?));
    }
    let alarm = visit.worker.alarms.alarm();
    match alarm.limit(visit.worker.alarms.at(first_sign), &mut run).await {
        Ok(answer) => Ok(answer::respond(answer?)),
        // The first sign of life commits the answer to 200; the attempts go on inside its body.
        Err(TimeUp) => Ok(answer::committed(visit, relay::Waiting::new(visit, run, alarm))),
    }
}

/// Where to go after a failed attempt.
enum Next {
    Lane(usize),
    Again(Duration),
    Nowhere,
}

impl Attempts {
    /// Tries until there is an answer or nothing left to try.
    pub async fn run(mut self) -> Ran {
        let (mut place, mut repeats) = (0, 0);
        loop {
            let Some(lane) = self.plan.lanes.get(place).cloned() else { return Err(self.give_up()) };
            let miss = match self.try_once(&lane, place + 1 < self.plan.lanes.len()).await {
                Ok(got) => return Ok(self.answer(lane, got)),
                Err(miss) => miss,
            };
            let verdict = self.note(&lane, &miss);
            let next = self.next(&lane, place, repeats, &miss, verdict);
            self.visit.missed(&lane, &miss);
            self.misses.push(*miss);
            self.ticket.passes(None);
            match next {
                Next::Lane(next) => place = next,
                Next::Again(wait) => {
                    repeats += 1;
                    tokio::time::sleep(wait).await;
                }
                Next::Nowhere => return Err(self.give_up()),
            }
        }
    }

    /// Counts a failed attempt wherever it counts.
    fn note(&mut self, lane: &Lane, miss: &Miss) -> Verdict {
        let verdict = judge::judge(miss.trouble, &miss.error);
        if let Some(result) = verdict.result {
            lane.counters.count(result);
            tracing::debug!(
                request.id = %self.visit.id, provider = %miss.provider, trouble = ?miss.trouble,
                "an attempt at {} failed", miss.provider
            );
        }
        // Once there are keys of customers' own: what those meet says nothing of ours, and must not come here.
        let org = self.visit.purse().map(|purse| purse.org.id);
        if let Some(wait) = judge::cooling(miss) {
            self.visit.worker.gate.link.standings.cool(&lane.route, wait);
        }
        if judge::is_crush(miss) {
            lane.turnstile.overloaded(self.visit.worker.gate.now_ms());
        }
        if verdict.is_hard {
            lane.health.failed(org, &self.visit.worker.alarms);
        } else if judge::is_overload(miss) {
            lane.health.overloaded(org);
        }
        verdict
    }

    fn next(&self, lane: &Lane, place: usize, repeats: u32, miss: &Miss, verdict: Verdict) -> Next {
        let alarms = &self.visit.worker.alarms;
        let is_over = self.visit.attempts() >= domain::routing::ATTEMPTS_MOST || alarms.is_past(self.visit.deadline());
        if is_over || matches!(verdict.then, Then::Refuse(_)) {
            return Next::Nowhere;
        }
        let may_change = miss.trigger().is_some_and(|trigger| self.plan.triggers.has(trigger));
        if matches!(verdict.then, Then::OtherModel(_)) {
            let other = self.lane_behind(lane, place, |is_other| is_other && may_change);
            return other.map_or(Next::Nowhere, Next::Lane);
        }
        if let Some(next) = self.lane_behind(lane, place, |is_other| !is_other || may_change) {
            return Next::Lane(next);
        }
        let wait = judge::wait(miss, repeats, rand::random()).filter(|_| verdict.then == Then::Anywhere);
        match wait {
            Some(wait) if lane.health.spend_repeat(alarms.seconds()) => Next::Again(wait),
            _ => Next::Nowhere,
        }
    }

    /// The next lane that is wanted; `wants` is told whether it is one of another model.
    fn lane_behind(&self, lane: &Lane, place: usize, wants: impl Fn(bool) -> bool) -> Option<usize> {
        let is_other = |other: &Lane| other.route.endpoint.model != lane.route.endpoint.model;
        let mut behind = self.plan.lanes.iter().enumerate().skip(place + 1);
        behind.find(|(_, other)| wants(is_other(other))).map(|(place, _)| place)
    }

    /// The last word, and the record of a request that was admitted for nothing.
    fn give_up(self) -> Refusal {
        let (refusal, outcome) = judge::give_up(self.misses);
        // A client that was shown a sign of life has seen 200; the error reaches it within the stream.
        let status = self.visit.status().unwrap_or(refusal.fault.http_status());
        self.ticket.close(&Ending { outcome, tap: None, status });
        refusal
    }

    fn answer(self, lane: Rc<Lane>, got: Got) -> Answer {
        let Attempts { visit, plan, ticket, arrival, .. } = self;
        lane.counters.count(AttemptResult::Answered);
        match got {
            Got::Whole(whole) => Answer::Whole { visit, ticket, whole },
            Got::Flow(flow) => {
                let model = plan.public_name(&lane, &arrival);
                Answer::Flow(Box::new(Relay::new(visit, ticket, lane, model, *flow)))
            }
            Got::Sound(begun) => Answer::Sound(Box::new(Sound::new(visit, ticket, *begun))),
        }
    }

    /// `has_others`: nobody need wait for a turn here.
    async fn try_once(&mut self, lane: &Rc<Lane>, has_others: bool) -> Result<Got, Box<Miss>> {
        spared(lane, &self.visit)?;
        self.cover(lane).await?;
        let outgoing = self.prepare(lane).await?;
        self.go_through(lane, has_others).await?;
        // It may have waited for money, a token or its turn, and others have asked meanwhile.
        spared(lane, &self.visit)?;
        self.visit.goes_to(lane);
        self.ticket.goes_to(lane);
        if self.visit.attempts() == 1 {
            lane.health.earn_repeat();
        }
        lane.health.asked();
        let span = self.span(lane);
        let outcome = self.ask(lane, outgoing).await;
        match &outcome {
            Ok(_) => {
                let first_output_ms = self.ticket.first_output();
                let begun_ms = u64::try_from(self.visit.attempt_begun().as_millis()).unwrap_or(0);
                lane.health.answered(first_output_ms.saturating_sub(begun_ms), &self.visit.worker.alarms);
                lane.turnstile.answered();
            }
            Err(miss) if !span.is_disabled() => {
                span.record("error.type", tracing::field::debug(miss.trouble));
            }
            Err(_) => {}
        }
        outcome
    }

    /// Gets a pass to the account of this endpoint.
    async fn go_through(&mut self, lane: &Lane, has_others: bool) -> Result<(), Box<Miss>> {
        // The clock is only read where something counts by it.
        let now_ms = if lane.turnstile.counts() { self.visit.worker.gate.now_ms() } else { 0 };
        let tokens = self.ticket.tokens(lane);
        let pass = match lane.turnstile.try_pass(tokens, now_ms) {
            Some(pass) => pass,
            None => {
                let Some(need) = self.ticket.need(tokens, self.visit.worker.gate.now_ms()) else { return Ok(()) };
                Box::pin(self.wait_for_turn(lane, need, has_others)).await?
            }
        };
        self.ticket.passes(Some(pass));
        Ok(())
    }

    async fn wait_for_turn(&mut self, lane: &Lane, need: Need, has_others: bool) -> Result<Pass, Box<Miss>> {
        let due = self.due(fair::PATIENCE);
        let turnstile = &lane.turnstile;
        let passed = match has_others {
            true => self.alarm.limit(due, pin!(turnstile.pass_at_once(need))).await,
            false => self.alarm.limit(due, pin!(turnstile.pass(need))).await,
        };
        passed.unwrap_or_else(|TimeUp| Err(turnstile.crowded())).map_err(|crowded| {
            let wait = Some(crowded.retry_after);
            Box::new(Miss { retry_after: wait, refusal: Some(crowd(crowded)), ..*miss(lane, Trouble::Crowded) })
        })
    }

    /// Holds what this endpoint can cost beyond what is held already.
    async fn cover(&mut self, lane: &Lane) -> Result<(), Box<Miss>> {
        let (Some(sizing), output) = (self.ticket.sizing(), self.ticket.output()) else { return Ok(()) };
        let tokens = output.limit.unwrap_or_else(|| sizing.output(lane.max_output()));
        let needed = sizing.ceiling(tokens, lane.prices());
        let (held, Some(holds)) = (self.ticket.held(), self.ticket.holds()) else { return Ok(()) };
        match needed.minus(held).filter(|missing| missing.nano() > 0) {
            None => Ok(()),
            Some(missing) => holds.take_money(missing).await.map_err(|(pool, denied)| {
                let refusal = Some(refused(pool, denied, None));
                Box::new(Miss { refusal, ..*miss(lane, Trouble::Unaffordable) })
            }),
        }
    }

    fn span(&self, lane: &Lane) -> Span {
        if self.visit.span.is_disabled() {
            return Span::none();
        }
        info_span!(
            target: TRACE, parent: &self.visit.span, "attempt",
            otel.kind = "client",
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = lane.route.provider.id.as_str(),
            gen_ai.request.model = lane.route.endpoint.upstream_model.as_str(),
            tollgate.attempt = self.visit.attempts(),
            error.type = Empty,
        )
    }

    async fn ask(&mut self, lane: &Rc<Lane>, prepared: Prepared) -> Result<Got, Box<Miss>> {
        let reply = self.send(lane, prepared).await?;
        if lane.turnstile.counts() {
            self.heed(lane, &reply);
        }
        if !reply.status.is_success() {
            return Err(Box::pin(self.refusal_of(lane, reply)).await);
        }
        self.ticket.reached(Reached::Accepted);
        match (
            is_identity(&reply.fields),
            is_stream(&reply.fields, lane.dialect.stream_type()),
            self.arrival.scan.stream,
        ) {
            (true, is, asked) if is == asked => {}
            (true, false, true) => return Err(Box::pin(self.no_stream(lane, reply)).await),
            _ => return Err(self.miss(lane, Trouble::BadReply, None)),
        }
        match self.arrival.scan.stream {
            true => self.prime(lane, reply).await.map(Got::Flow),
            false if lane.dialect.is_opaque() && is_media(&reply.fields) => {
                Box::pin(self.listen(lane, reply)).await.map(Got::Sound)
            }
            false => self.collect(lane, reply).await.map(Got::Whole),
        }
    }

    /// The sooner of `patience` from now and the request's own deadline.
    fn due(&self, patience: Duration) -> Tick {
        self.visit.worker.alarms.at(patience).or_sooner(self.visit.deadline())
    }

    /// The attempt is given up; what the provider may bill for it is noted.
    fn miss(&mut self, lane: &Lane, trouble: Trouble, tap: Option<&Tap>) -> Box<Miss> {
        self.ticket.lost(tap);
        miss(lane, if trouble == Trouble::Slow && self.visit.is_late() { Trouble::Late } else { trouble })
    }

    fn lost(&mut self, lane: &Lane, error: upstream::UpstreamError) -> Box<Miss> {
        use upstream::UpstreamError::{ConnectTimeout, Protocol};
        if !error.was_sent() {
            self.ticket.reached(Reached::Nothing);
        }
        let trouble = match error {
            Protocol => Trouble::BadReply,
            _ if error.was_sent() => Trouble::Lost,
            ConnectTimeout => Trouble::Slow,
            _ => Trouble::Unreachable,
        };
        self.miss(lane, trouble, None)
    }
}

/// What is said when nothing else is left to try.
fn crowd(crowded: Crowded) -> Refusal {
    let message = "Too many requests wait for the provider of this model.";
    let wait = u64::try_from(crowded.retry_after.as_millis()).unwrap_or(u64::MAX);
    Fault::new(FaultCode::ProviderRateLimited, message).retry_after_ms(wait).into()
}

/// Refuses an endpoint that its provider wants left alone.
fn spared(lane: &Lane, visit: &Visit) -> Result<(), Box<Miss>> {
    match lane.cooling(&visit.worker) {
        None => Ok(()),
        left => Err(Box::new(Miss { retry_after: left, ..*miss(lane, Trouble::Cooling) })),
    }
}

/// Prices usage by this list.
pub(super) fn pricer(prices: &PriceList) -> impl FnMut(&TokenUsage) -> Receipt + '_ {
    |usage| Receipt { cost: pricing::cost(usage, prices), is_byok: false, upstream_cost: None }
}

fn miss(lane: &Lane, trouble: Trouble) -> Box<Miss> {
    let provider = lane.route.provider.id.clone();
    Box::new(Miss { provider, trouble, error: UpstreamError::default(), retry_after: None, refusal: None })
}
