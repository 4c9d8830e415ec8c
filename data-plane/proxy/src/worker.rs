//! What one worker thread has to itself. Nothing in here is shared with another thread but through the gate, so cells
//! and reference counts are the cheap kind.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use arc_swap::{ArcSwap, Cache};
use codec::Dialect;
use domain::{keys::Digest, snapshot::Snapshot, time::Timestamp};
use http::HeaderMap;
use runtime::{clock::Clock, shutdown::Phase};

use crate::{
    alarm::{Alarms, Ticks},
    config::TimeoutSettings,
    connection::Load,
    gate::Gate,
    ink::Ink,
    offers::{Offer, Shelf, View},
    pipeline::{Answered, Attempts, Chat, Ran},
    purse::Purses,
    reuse::Pool,
    spool::SpoolWriter,
    telemetry::Tally,
    upstream::Upstream,
};

/// Header maps that are kept for later, and the most room that one of them may have.
const SPARE: usize = 64;
const SPARE_ROOM: usize = 64;

/// The state of one worker thread.
pub(crate) struct Worker {
    pub gate: Arc<Gate>,
    pub alarms: Rc<Alarms>,
    pub timeouts: Rc<TimeoutSettings>,
    pub spool: SpoolWriter,
    pub upstream: Upstream,
    pub tally: Rc<Tally>,
    pub load: Arc<Load>,
    /// How often a sign of life is sent on a stream.
    pub comment_every: Ticks,
    pub purses: RefCell<Purses>,
    /// Places for chats and for their attempts.
    pub chats: Rc<Pool<Chat, Answered>>,
    pub runs: Rc<Pool<Attempts, Ran>>,
    /// Texts for headers.
    pub ink: Ink,
    spare_headers: RefCell<Vec<HeaderMap>>,
    /// What the wall clock is ahead of the other one, looked at from time to time: a request then needs to read one only.
    ahead_us: Cell<i64>,
    /// Where the proxy is on its way down.
    pub phase: Cell<Phase>,
    snapshot: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    shelf: RefCell<Shelf>,
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn ahead_us(clock: &dyn Clock) -> i64 {
    clock.now_us().saturating_sub(micros(clock.monotonic()))
}

impl Worker {
    /// The worker of this thread; to be called inside its runtime.
    pub fn new(gate: Arc<Gate>, load: Arc<Load>) -> runtime::Result<Rc<Worker>> {
        let tally = Rc::new(Tally::register(&gate.metrics)?);
        let upstream = Upstream::new(gate.upstream.clone());
        let mut snapshot = Cache::new(gate.link.snapshot.clone());
        let first = snapshot.load().clone();
        Ok(Rc::new(Worker {
            alarms: Alarms::new(),
            timeouts: gate.timeouts(),
            spool: gate.spool.writer(),
            shelf: RefCell::new(Shelf::new(upstream.clone(), tally.clone(), &gate.link, first)),
            snapshot: RefCell::new(snapshot),
            upstream,
            tally,
            load,
            comment_every: Ticks::of(gate.settings.keepalive.interval.get()),
            purses: RefCell::default(),
            chats: Pool::of(Chat::serve),
            runs: Pool::of(Attempts::run),
            ink: Ink::default(),
            spare_headers: RefCell::default(),
            ahead_us: Cell::new(ahead_us(&*gate.clock)),
            phase: Cell::new(Phase::Serving),
            gate,
        }))
    }

    /// The newest snapshot. To be called once for each request.
    pub fn view(&self) -> Rc<View> {
        let mut cache = self.snapshot.borrow_mut();
        self.shelf.borrow_mut().view(cache.load())
    }

    /// What `view` has on offer under this name for clients of this dialect.
    pub fn offer(&self, view: &View, dialect: &'static Dialect, name: &str) -> Option<Rc<Offer>> {
        self.shelf.borrow_mut().offer(view, dialect, name)
    }

    /// The time on the wall at a moment of the clock that does not jump.
    pub fn wall(&self, monotonic: Duration) -> Timestamp {
        Timestamp::from_us(micros(monotonic).saturating_add(self.ahead_us.get()))
    }

    /// An empty header map with room.
    pub fn spare_headers(&self) -> HeaderMap {
        self.spare_headers.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps a header map that has done its work, for the next one who needs room.
    pub fn keep_headers(&self, mut headers: HeaderMap) {
        headers.clear();
        let mut spare = self.spare_headers.borrow_mut();
        if spare.len() < SPARE && headers.capacity() <= SPARE_ROOM {
            spare.push(headers);
        }
    }

    /// Whether answers should tell clients not to come back on the same connection.
    pub fn is_leaving(&self) -> bool {
        self.phase.get() >= Phase::LameDuck
    }

    /// Looks after the caches: old snapshots and unused pools are let go even when no request comes.
    pub fn tidy(&self) {
        self.purses.borrow_mut().tidy(self.gate.now_ms());
        self.ahead_us.set(ahead_us(&*self.gate.clock));
        drop(self.view());
    }

    /// Makes everything on offer ready, and looks for a key.
    pub fn prime(&self) {
        let view = self.view();
        let nobody = Digest::of("");
        std::hint::black_box(view.snapshot.caller(&nobody, self.wall(self.gate.clock.monotonic())));
        for entry in view.snapshot.catalogue().models() {
            drop(self.offer(&view, &codec::dialect::openai_chat::DIALECT, entry.model.id.as_str()));
        }
    }
}
