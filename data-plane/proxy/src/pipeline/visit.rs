//! One request as everybody along the corridor may know it: its id, its clock, its client, and what the headers of any
//! answer to it will say. Filled on the way; never decides anything.

use std::{
    cell::{Cell, OnceCell},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use codec::{Dialect, Framing, KeepAlive, Losses, Surface};
use domain::{
    ids::RequestId,
    routing::Trigger,
    time::Timestamp,
    usage::{self, Step},
};
use http::{HeaderMap, HeaderValue};
use runtime::telemetry::{TRACE, adopt};
use tracing::{Span, field::Empty, info_span};

use super::{judge::Miss, trail::Trail};
use crate::{alarm::Tick, connection::Connection, offers::Lane, purse::Purse, worker::Worker};

/// The code of an attempt that nobody waited for.
const UNFINISHED: &str = "unfinished";

/// One request.
pub(crate) struct Visit {
    pub worker: Rc<Worker>,
    pub connection: Rc<Connection>,
    pub id: RequestId,
    /// The family that the client speaks.
    pub dialect: &'static Dialect,
    /// Which spelling of errors the client's path asks for.
    pub surface: Surface,
    /// How a streamed answer is cut into pieces.
    pub framing: Framing,
    pub started_at: Timestamp,
    /// On the clock that does not jump.
    pub started: Duration,
    deadline: Cell<Tick>,
    /// Whether the client itself set that limit.
    is_limited: Cell<bool>,
    /// What to say to a web page that asks, if one does.
    pub allow_origin: Option<HeaderValue>,
    /// The span of the whole request; disabled while traces are off.
    pub span: Span,
    /// The key, once it is known.
    purse: OnceCell<Rc<Purse>>,
    /// When the client's body was complete.
    body_came: Cell<Duration>,
    /// What the gateway added before the first byte went upstream.
    added: Cell<Option<Duration>>,
    /// Where the last attempt went, and how many there were.
    lane: std::cell::RefCell<Option<Rc<Lane>>>,
    attempts: Cell<u32>,
    attempt_at: Cell<Duration>,
    /// The limit that the gateway had to set.
    token_limit: Cell<Option<u64>>,
    /// The status of the head that was made; 0 before.
    status: Cell<u16>,
    /// Whether the answer's text was mended.
    is_healed: Cell<bool>,
    /// The media type of the answer where it is not the usual one.
    kind: std::cell::RefCell<Option<HeaderValue>>,
    /// What the translation of the last attempt could not say.
    losses: Cell<Losses>,
    /// What was done, for the record.
    way: std::cell::RefCell<usage::Trail>,
    /// Whether the client wants to be told what was done, and what there is to tell.
    wants_trail: Cell<bool>,
    trail: std::cell::RefCell<Option<Box<Trail>>>,
    /// Whether bytes of the answer itself, and not only signs of life, have gone to the client.
    has_begun: Cell<bool>,
}

impl Visit {
    /// A request whose head has just come.
    pub fn begin(
        worker: &Rc<Worker>,
        connection: &Rc<Connection>,
        (dialect, surface): (&'static Dialect, Surface),
        framing: Framing,
        allow_origin: Option<HeaderValue>,
    ) -> Visit {
        let started = worker.gate.clock.monotonic();
        let started_at = worker.wall(started);
        Visit {
            id: RequestId::new(u64::try_from(started_at.ms()).unwrap_or(0), rand::random()),
            worker: worker.clone(),
            connection: connection.clone(),
            dialect,
            surface,
            framing,
            started_at,
            started,
            deadline: Cell::new(worker.alarms.at(worker.timeouts.request.get())),
            is_limited: Cell::new(false),
            allow_origin,
            span: Span::none(),
            purse: OnceCell::new(),
            body_came: Cell::new(started),
            added: Cell::new(None),
            lane: Default::default(),
            attempts: Cell::new(0),
            attempt_at: Cell::new(started),
            token_limit: Cell::new(None),
            status: Cell::new(0),
            is_healed: Cell::new(false),
            kind: Default::default(),
            losses: Cell::default(),
            way: Default::default(),
            wants_trail: Cell::new(false),
            trail: Default::default(),
            has_begun: Cell::new(false),
        }
    }

    /// When it must be over, all attempts together.
    pub fn deadline(&self) -> Tick {
        self.deadline.get()
    }

    /// The client waits so long for all of it, from its arrival on; never longer than the proxy does.
    pub fn limit(&self, time: Duration) {
        let before = self.deadline.get();
        let due = self.worker.alarms.at(time.saturating_sub(self.age())).or_sooner(before);
        self.is_limited.set(due != before);
        self.deadline.set(due);
    }

    /// Whether a limit of the client's own has passed: that says nothing against a provider.
    pub fn is_late(&self) -> bool {
        self.is_limited.get() && self.worker.alarms.is_past(self.deadline.get())
    }

    /// A sign of life on the stream, as far as it has come.
    pub fn sign_of_life(&self) -> Bytes {
        let text = &self.worker.gate.settings.keepalive.text;
        let sign = KeepAlive { text, framing: self.framing, has_begun: self.has_begun.get() };
        self.dialect.encode_keep_alive(&sign)
    }

    /// The answer's text was mended.
    pub fn heals(&self) {
        self.is_healed.set(true);
    }

    /// Whether it was.
    pub fn is_healed(&self) -> bool {
        self.is_healed.get()
    }

    /// The answer is of this media type, as its provider says.
    pub fn answers_with(&self, kind: &[u8]) {
        *self.kind.borrow_mut() = HeaderValue::from_bytes(kind).ok().filter(|kind| !kind.is_empty());
    }

    /// The media type of the answer where it is not the usual one.
    pub fn kind(&self) -> Option<HeaderValue> {
        self.kind.borrow().clone()
    }

    /// The client wants to be told what was done.
    pub fn wants_trail(&self) {
        self.wants_trail.set(true);
    }

    /// Begins to remember what is done, if anybody wants to be told.
    pub fn leaves_trail(&self, make: impl FnOnce() -> Trail) {
        if self.wants_trail.get() {
            *self.trail.borrow_mut() = Some(Box::new(make()));
        }
    }

    /// The plan is made.
    pub fn is_planned(&self, way: usage::Trail) {
        *self.way.borrow_mut() = way;
    }

    /// An attempt failed, or could not even begin.
    pub(super) fn missed(&self, lane: &Lane, miss: &Miss) {
        let way = &mut *self.way.borrow_mut();
        match is_open(way, self.attempts()) {
            true => way.miss(self.step(lane, miss.status(), miss.own_code(), miss.trigger())),
            false => way.passed_over = way.passed_over.saturating_add(1),
        }
        if let Some(trail) = &mut *self.trail.borrow_mut() {
            trail.miss(lane, miss);
        }
    }

    fn step(&self, lane: &Lane, status: u16, code: &'static str, trigger: Option<Trigger>) -> Step {
        let ms = u64::try_from(self.age().saturating_sub(self.attempt_begun()).as_millis()).unwrap_or(u64::MAX);
        let endpoint = lane.route.endpoint.id.clone();
        let trigger = trigger.map_or("", Trigger::name).into();
        Step { endpoint, status, code: code.into(), trigger, ms }
    }

    /// What was done, for the one record. `unanswered`: where the last attempt went, unless it was answered.
    pub fn trail_of(&self, unanswered: Option<&Lane>) -> usage::Trail {
        let mut way = self.way.take();
        way.begun_ms = u64::try_from(self.attempt_begun().as_millis()).unwrap_or(u64::MAX);
        // Whoever left, or was ended, while an attempt was under way.
        if let Some(lane) = unanswered.filter(|_| is_open(&way, self.attempts())) {
            way.miss(self.step(lane, 0, UNFINISHED, None));
        }
        way
    }

    /// What was done, as a member of a JSON object; none when nobody wants to be told, or nothing was done.
    pub fn trail(&self, is_answered: bool) -> Option<String> {
        let (trail, lane) = (self.trail.borrow(), self.lane.borrow());
        let answered = lane.as_deref().filter(|_| is_answered);
        Some(trail.as_ref()?.member(answered, self.attempts()))
    }

    /// The answer itself has begun.
    pub fn begins(&self) {
        self.has_begun.set(true);
    }

    /// Whether it has.
    pub fn has_begun(&self) -> bool {
        self.has_begun.get()
    }

    /// What the translation of this attempt could not say.
    pub fn loses(&self, losses: Losses) {
        self.losses.set(losses);
    }

    /// What was lost on the way that was taken.
    pub fn losses(&self) -> Losses {
        self.losses.get()
    }

    /// Opens the request's span, as a child of the caller's if the headers name one.
    pub fn trace(&mut self, headers: &HeaderMap) {
        let span = info_span!(
            target: TRACE, "chat",
            otel.name = Empty,
            otel.kind = "server",
            request.id = %self.id,
            client.request.id = Empty,
            org.id = Empty,
            key.id = Empty,
            gen_ai.operation.name = "chat",
            gen_ai.request.model = Empty,
            gen_ai.response.model = Empty,
            gen_ai.provider.name = Empty,
            gen_ai.response.id = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            http.response.status_code = Empty,
            tollgate.outcome = Empty,
            tollgate.cost_nano_usd = Empty,
            error.type = Empty,
        );
        if !span.is_disabled() {
            adopt(&span, headers);
            if let Some(text) = headers.get("x-request-id").and_then(|value| value.to_str().ok()) {
                // The client's own id is kept apart from ours; 64 letters are enough to find it again.
                span.record("client.request.id", text.get(..64).unwrap_or(text));
            }
            self.span = span;
        }
    }

    /// Remembers whose request it is.
    pub fn is_of(&self, purse: &Rc<Purse>) {
        if !self.span.is_disabled() {
            self.span.record("org.id", tracing::field::display(purse.org.id));
            self.span.record("key.id", tracing::field::display(purse.key));
        }
        let _ = self.purse.set(purse.clone());
    }

    /// Whose request it is, once that is known.
    pub fn purse(&self) -> Option<&Rc<Purse>> {
        self.purse.get()
    }

    /// The time since arrival.
    pub fn age(&self) -> Duration {
        self.worker.gate.clock.monotonic().saturating_sub(self.started)
    }

    /// The client's body is complete only now: what comes from here on is our time.
    pub fn body_came(&self) {
        self.body_came.set(self.worker.gate.clock.monotonic());
    }

    /// When the client's body was complete, on the clock that does not jump.
    pub fn body_was_there(&self) -> Duration {
        self.body_came.get()
    }

    /// An attempt begins. The first one ends the time that the gateway added.
    pub fn goes_to(&self, lane: &Rc<Lane>) {
        let now = self.worker.gate.clock.monotonic();
        self.attempts.set(self.attempts.get() + 1);
        self.attempt_at.set(now);
        *self.lane.borrow_mut() = Some(lane.clone());
        if self.added.get().is_none() {
            let added = now.saturating_sub(self.body_came.get());
            self.added.set(Some(added));
            self.worker.tally.overhead(added);
        }
    }

    /// What the gateway added; while nothing has gone upstream, what it has added so far.
    pub fn added(&self) -> Duration {
        self.added.get().unwrap_or_else(|| self.worker.gate.clock.monotonic().saturating_sub(self.body_came.get()))
    }

    /// From arrival to when the last attempt began.
    pub fn attempt_begun(&self) -> Duration {
        self.attempt_at.get().saturating_sub(self.started)
    }

    /// How many attempts were begun.
    pub fn attempts(&self) -> u32 {
        self.attempts.get()
    }

    /// Where the last attempt went.
    pub fn lane(&self) -> Option<Rc<Lane>> {
        self.lane.borrow().clone()
    }

    /// The answer was limited to so many tokens by us.
    pub fn limits_tokens(&self, limit: u64) {
        self.token_limit.set(Some(limit));
    }

    /// The limit that the gateway had to set.
    pub fn token_limit(&self) -> Option<u64> {
        self.token_limit.get()
    }

    /// The head of the answer is made.
    pub fn shows(&self, status: u16) {
        self.status.set(status);
    }

    /// The status that the client has been shown, if any.
    pub fn status(&self) -> Option<u16> {
        (self.status.get() != 0).then_some(self.status.get())
    }
}

/// Whether an attempt has begun of which the way does not say how it ended.
fn is_open(way: &usage::Trail, attempts: u32) -> bool {
    usize::try_from(attempts).is_ok_and(|attempts| attempts > way.missed().len())
}
