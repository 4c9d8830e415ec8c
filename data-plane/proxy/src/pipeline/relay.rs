//! Passes a stream on: provider bytes through the bridge to the client, counting as they pass, until the stream ends, the
//! client leaves, the hold is used up, or a limit is reached. Every end settles the ticket before the last byte goes out.
//! Never falls over to another endpoint: the client has seen output.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use codec::{Framing, InBand, StreamEnd, StreamPass};
use domain::{faults::FaultCode, usage::Outcome};
use link::cell::Denied;

use super::{
    Refusal, Visit,
    admit::refused,
    answer,
    attempt::{Answer, Attempts, Flow, Ran, pricer},
    judge,
    settle::{Ending, Ticket},
    trail,
};
use crate::{
    alarm::{Alarm, Tick, Ticks},
    offers::Lane,
    purse::{Holds, Pool},
    reuse::Reused,
    upstream::ReplyBody,
};

/// The family whose streams have room for fields of ours.
const CHAT: &str = "openai-chat";
/// Answer tokens that a hold is extended by at once.
const EXTENSION: u64 = 2_048;
/// How many tokens before its end an extension is asked for.
const MARGIN: u64 = 512;
/// How long and how far a provider's connection is read on after the stream said that it was done.
const REST_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
const REST_MOST: usize = 64 * 1024;

/// Attempts that go on.
pub(crate) type Run = Reused<Attempts, Ran>;
type Extension = Pin<Box<dyn Future<Output = Result<Holds, (Pool, Denied)>>>>;

/// A stream on its way to the client.
pub(crate) struct Relay {
    visit: Rc<Visit>,
    lane: Rc<Lane>,
    /// Gone once the request is settled.
    ticket: Option<Ticket>,
    /// Gone once nothing more of it is wanted.
    body: Option<ReplyBody>,
    pass: StreamPass,
    ended: Option<StreamEnd>,
    queue: VecDeque<Bytes>,
    /// The model as the client knows it.
    model: String,
    /// Bytes of the answer that may still come.
    room: u64,
    cover: Cover,
    alarm: Alarm,
    stall: Ticks,
    stall_due: Tick,
    comment_due: Tick,
}

/// How far the money reaches.
struct Cover {
    /// Estimated answer tokens that are paid for; without end where the provider was given a limit that the hold covers.
    tokens: u64,
    /// One that is on its way, and for how many tokens.
    extension: Option<(u64, Extension)>,
    /// Why there will be no more.
    denied: Option<Refusal>,
}

impl Relay {
    pub fn new(visit: Rc<Visit>, ticket: Ticket, lane: Rc<Lane>, model: String, flow: Flow) -> Relay {
        let Flow { body, pass, held, ended } = flow;
        if !held.is_empty() {
            visit.begins();
        }
        let worker = &visit.worker;
        let settings = &worker.gate.settings;
        let stall = Ticks::of(settings.timeouts.provider_stall.get());
        let mut relay = Relay {
            room: settings.limits.answer.get(),
            cover: Cover { tokens: covered(&ticket), extension: None, denied: None },
            alarm: worker.alarms.alarm(),
            stall,
            stall_due: worker.alarms.after(stall),
            comment_due: Tick::NEVER,
            lane,
            ticket: Some(ticket),
            body: Some(body),
            pass,
            ended,
            queue: held,
            model,
            visit,
        };
        let held = std::mem::take(&mut relay.queue);
        held.into_iter().for_each(|out| relay.forward(out));
        relay.schedule_comment();
        relay
    }

    /// Bytes for the client. Who wants to be told what was done is told before the end of a chat.
    fn forward(&mut self, out: Bytes) {
        if out.is_empty() {
            return;
        }
        let member = trail::is_end(&out).then(|| self.visit.trail(true)).flatten();
        let tap = self.pass.tap();
        self.queue.push_back(match member.filter(|_| self.visit.dialect.id == CHAT) {
            Some(member) => trail::before_end(&out, tap.upstream_id(), &self.model, tap.created(), &member),
            None => out,
        });
    }

    pub fn visit(&self) -> &Visit {
        &self.visit
    }

    /// The answer's id at the provider; empty when it has none.
    pub fn upstream_id(&self) -> &str {
        self.pass.tap().upstream_id()
    }

    /// The next bytes for the client; none at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.queue.pop_front() {
                return Poll::Ready(Some(bytes));
            }
            if self.ticket.is_none() {
                return Poll::Ready(None);
            }
            if let Some(end) = self.ended.take() {
                self.finish(end, cx);
            } else if self.poll_step(cx).is_pending() {
                std::task::ready!(self.poll_idle(cx));
            }
        }
    }

    /// Takes one piece from the provider, unless the money does not reach.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Err(refusal) = std::task::ready!(self.poll_cover(cx)) {
            self.fail(&refusal, Outcome::HoldExhausted);
            return Poll::Ready(());
        }
        let Some(body) = &mut self.body else {
            self.end();
            return Poll::Ready(());
        };
        match std::task::ready!(body.poll_data(cx)) {
            Some(Ok(data)) => self.take(data),
            // How it broke is not the client's business; what came before it is judged.
            Some(Err(_)) | None => self.end(),
        }
        Poll::Ready(())
    }

    fn take(&mut self, data: Bytes) {
        self.room = self.room.saturating_sub(data.len() as u64);
        let out = self.pass.push(data, &mut pricer(self.lane.prices()));
        self.forward(out);
        self.stall_due = self.visit.worker.alarms.after(self.stall);
        self.schedule_comment();
        if !self.pass.is_open() {
            self.end();
        } else if self.room == 0 {
            let message = "The answer is larger than the gateway passes on.";
            self.fail(&Refusal::new(FaultCode::StreamCut, message), Outcome::Capped);
        } else if self.visit.worker.alarms.is_past(self.visit.deadline()) {
            self.fail_late();
        }
    }

    fn schedule_comment(&mut self) {
        let keepalive = &self.visit.worker.gate.settings.keepalive;
        if !keepalive.first.get().is_zero() && self.visit.framing == Framing::Events {
            self.comment_due = self.visit.worker.alarms.after(self.visit.worker.comment_every);
        }
    }

    /// The provider's body is over: the last bytes, and the judgement.
    fn end(&mut self) {
        let (rest, end) = self.pass.end(&mut pricer(self.lane.prices()));
        self.forward(rest);
        self.ended = Some(end);
    }

    fn finish(&mut self, end: StreamEnd, cx: &mut Context<'_>) {
        match end {
            StreamEnd::Finished => {
                self.settle(outcome_of(&self.pass));
                self.let_go(cx);
            }
            StreamEnd::InBandError(error) => self.fail(&Refusal::within_stream(error), Outcome::UpstreamCut),
            // Charged: it was made and has been delivered.
            StreamEnd::Broken => self.fail(&judge::broken(FaultCode::StreamCut), Outcome::Finished),
            StreamEnd::Truncated | StreamEnd::Oversized | StreamEnd::Empty => {
                let message = "The provider stopped before the answer was finished.";
                self.fail(&Refusal::new(FaultCode::StreamCut, message), Outcome::UpstreamCut);
            }
        }
    }

    /// Nothing came from the provider and nothing is owed to the client: a sign of life, an end, or patience.
    fn poll_idle(&mut self, cx: &Context<'_>) -> Poll<()> {
        let alarms = self.visit.worker.alarms.clone();
        if alarms.is_past(self.visit.deadline()) {
            self.fail_late();
        } else if alarms.is_past(self.stall_due) {
            self.fail(&Refusal::new(FaultCode::StreamCut, "The provider went silent."), Outcome::UpstreamCut);
        } else if alarms.is_past(self.comment_due) {
            self.queue.push_back(self.visit.sign_of_life());
            self.schedule_comment();
        } else {
            self.alarm.set(self.visit.deadline().or_sooner(self.stall_due).or_sooner(self.comment_due));
            self.alarm.register(cx);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn fail_late(&mut self) {
        let message = "The answer took longer than a request may take.";
        self.fail(&Refusal::new(FaultCode::ProviderTimeout, message), Outcome::Capped);
    }

    /// Ends the stream with an error that the client can read.
    fn fail(&mut self, refusal: &Refusal, outcome: Outcome) {
        let tap = self.pass.tap();
        let place = InBand {
            id: tap.upstream_id(),
            model: &self.model,
            provider: self.lane.route.provider.id.as_str(),
            created: tap.created(),
            framing: self.visit.framing,
            is_first: !self.visit.has_begun(),
            sequence: self.pass.sequence(),
        };
        let event = answer::in_band(&self.visit, refusal, &place);
        self.queue.push_back(event);
        self.body = None;
        self.settle(outcome);
    }

    fn settle(&mut self, outcome: Outcome) {
        self.cover.extension = None;
        if let Some(ticket) = self.ticket.take() {
            let status = self.visit.status().unwrap_or(200);
            ticket.close(&Ending { outcome, tap: Some(self.pass.tap()), status });
        }
    }

    /// Reads the little that may follow the end, so that the connection can be used again.
    fn let_go(&mut self, cx: &mut Context<'_>) {
        let Some(mut body) = self.body.take() else { return };
        let mut room = REST_MOST;
        loop {
            match body.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => room = room.saturating_sub(data.len()),
                Poll::Ready(Some(Err(_)) | None) => return,
                Poll::Pending => break,
            }
            if room == 0 {
                return;
            }
        }
        let alarm = self.visit.worker.alarms.alarm();
        let due = self.visit.worker.alarms.at(REST_PATIENCE);
        tokio::task::spawn_local(async move {
            let rest = async {
                while let Some(Ok(data)) = body.data().await {
                    room = room.saturating_sub(data.len());
                    if room == 0 {
                        break;
                    }
                }
            };
            let _ = alarm.limit(due, rest).await;
        });
    }

    /// Ready while what has been relayed is paid for. More is asked for in time, so that it seldom waits.
    fn poll_cover(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        let used = self.pass.tap().estimated_output_tokens();
        if used.saturating_add(MARGIN) < self.cover.tokens && self.cover.extension.is_none() {
            return Poll::Ready(Ok(()));
        }
        // A piece may be longer than an extension, or come while one is on its way: only one that waits ends this.
        while self.extend(used, cx) && used >= self.cover.tokens {}
        if used < self.cover.tokens {
            return Poll::Ready(Ok(()));
        }
        match self.cover.denied.take() {
            Some(refusal) => Poll::Ready(Err(refusal)),
            None => Poll::Pending,
        }
    }

    /// Whether the money reaches further now.
    fn extend(&mut self, used: u64, cx: &mut Context<'_>) -> bool {
        let Some(ticket) = &mut self.ticket else { return false };
        let choices = ticket.sizing().map_or(1, |sizing| sizing.choices);
        let cover = &mut self.cover;
        let Some(holds) = ticket.holds() else { return false };
        if cover.extension.is_none() && cover.denied.is_none() {
            let missing = used.saturating_add(MARGIN).saturating_sub(cover.tokens);
            let tokens = EXTENSION.saturating_mul(choices).max(missing);
            let amount = domain::pricing::ceiling(0, tokens, self.lane.prices());
            if holds.extend_now(amount) {
                cover.tokens = cover.tokens.saturating_add(tokens);
                return true;
            }
            cover.extension = Some((tokens, Box::pin(holds.extension(amount))));
        }
        let Some((tokens, extension)) = &mut cover.extension else { return false };
        let tokens = *tokens;
        match extension.as_mut().poll(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ok(more)) => {
                holds.join(more);
                cover.tokens = cover.tokens.saturating_add(tokens);
            }
            Poll::Ready(Err((pool, denied))) => cover.denied = Some(refused(pool, denied, None)),
        }
        cover.extension = None;
        cover.denied.is_none()
    }
}

/// The answer tokens that a ticket's money pays for. A provider that was given a limit keeps to it by itself.
fn covered(ticket: &Ticket) -> u64 {
    let output = ticket.output();
    match ticket.sizing() {
        Some(sizing) if sizing.limit.is_none() && output.limit.is_none() => {
            output.tokens.saturating_mul(sizing.choices)
        }
        _ => u64::MAX,
    }
}

/// A finish that says "error" is none.
fn outcome_of(pass: &StreamPass) -> Outcome {
    if pass.tap().has_failed() { Outcome::UpstreamCut } else { Outcome::Finished }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            let outcome = Ticket::outcome_of_drop(&self.visit, self.pass.tap().has_output());
            self.settle(outcome);
        }
    }
}

/// A stream that was committed by a sign of life before there was output; the attempts go on in here.
pub(crate) struct Waiting {
    visit: Rc<Visit>,
    run: Run,
    alarm: Alarm,
}

/// What a waiting stream gives next.
pub(crate) enum Step {
    /// A sign of life.
    Comment(Bytes),
    /// The error that ends it.
    Last(Bytes),
    /// Output has come.
    Flow(Box<Relay>),
}

impl Waiting {
    /// A stream that owes its first sign of life now.
    pub fn new(visit: &Rc<Visit>, run: Run, alarm: Alarm) -> Waiting {
        alarm.set(alarm.clock().now());
        Waiting { visit: visit.clone(), run, alarm }
    }

    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.alarm.is_due() {
            self.alarm.set(self.alarm.clock().after(self.visit.worker.comment_every));
            return Poll::Ready(Step::Comment(self.visit.sign_of_life()));
        }
        match Pin::new(&mut self.run).poll(cx) {
            Poll::Ready(Ok(Answer::Flow(relay))) => Poll::Ready(Step::Flow(relay)),
            Poll::Ready(Ok(Answer::Whole { .. } | Answer::Sound(_))) => {
                Poll::Ready(Step::Last(self.last(&Refusal::new(FaultCode::Internal, "The answer is not a stream."))))
            }
            Poll::Ready(Err(refusal)) => Poll::Ready(Step::Last(self.last(&refusal))),
            Poll::Pending => {
                self.alarm.register(cx);
                Poll::Pending
            }
        }
    }

    fn last(&self, refusal: &Refusal) -> Bytes {
        let lane = self.visit.lane();
        let place = InBand {
            id: "",
            model: lane.as_ref().map_or("", |lane| lane.route.endpoint.model.as_str()),
            provider: lane.as_ref().map_or("", |lane| lane.route.provider.id.as_str()),
            created: u64::try_from(self.visit.started_at.seconds()).unwrap_or(0),
            framing: self.visit.framing,
            is_first: true,
            sequence: 0,
        };
        answer::in_band(&self.visit, refusal, &place)
    }
}
