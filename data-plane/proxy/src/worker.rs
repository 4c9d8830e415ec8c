//! What one worker thread has to itself. Nothing in here is shared with another thread but through the gate, so cells
//! and reference counts are the cheap kind.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use arc_swap::{ArcSwap, Cache};
use bytes::Bytes;
use codec::{AnswerEdits, Dialect, Receipt, RequestEdits};
use domain::{pricing::cost, snapshot::Snapshot, usage::TokenUsage};
use runtime::shutdown::Phase;

use crate::{
    alarm::{Alarms, Ticks},
    config::TimeoutSettings,
    connection::Load,
    gate::Gate,
    offers::{Offer, Shelf, View},
    purse::Purses,
    spool::SpoolWriter,
    telemetry::Tally,
    upstream::Upstream,
};

/// The state of one worker thread.
pub(crate) struct Worker {
    pub gate: Arc<Gate>,
    pub alarms: Rc<Alarms>,
    pub timeouts: Rc<TimeoutSettings>,
    pub spool: SpoolWriter,
    pub upstream: Upstream,
    pub tally: Rc<Tally>,
    pub load: Arc<Load>,
    /// The client-facing dialect of the routes that are served.
    pub dialect: &'static Dialect,
    /// A sign of life on a stream.
    pub comment: Bytes,
    /// How often one is sent.
    pub comment_every: Ticks,
    pub purses: RefCell<Purses>,
    /// Where the proxy is on its way down.
    pub phase: Cell<Phase>,
    snapshot: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    shelf: RefCell<Shelf>,
}

impl Worker {
    /// The worker of this thread; to be called inside its runtime.
    pub fn new(gate: Arc<Gate>, dialect: &'static Dialect, load: Arc<Load>) -> runtime::Result<Rc<Worker>> {
        let tally = Rc::new(Tally::register(&gate.metrics)?);
        let upstream = Upstream::new(gate.upstream.clone());
        let mut snapshot = Cache::new(gate.link.snapshot.clone());
        let first = snapshot.load().clone();
        Ok(Rc::new(Worker {
            alarms: Alarms::new(),
            timeouts: gate.timeouts(),
            spool: gate.spool.writer(),
            shelf: RefCell::new(Shelf::new(dialect, upstream.clone(), tally.clone(), first)),
            snapshot: RefCell::new(snapshot),
            upstream,
            tally,
            load,
            dialect,
            comment: dialect.encode_keep_alive(&gate.settings.keepalive.text),
            comment_every: Ticks::of(gate.settings.keepalive.interval.get()),
            purses: RefCell::default(),
            phase: Cell::new(Phase::Serving),
            gate,
        }))
    }

    /// The newest snapshot. To be called once for each request.
    pub fn view(&self) -> Rc<View> {
        let mut cache = self.snapshot.borrow_mut();
        self.shelf.borrow_mut().view(cache.load())
    }

    /// What `view` has on offer under this name.
    pub fn offer(&self, view: &View, name: &str) -> Option<Rc<Offer>> {
        self.shelf.borrow_mut().offer(view, name)
    }

    /// Whether answers should tell clients not to come back on the same connection.
    pub fn is_leaving(&self) -> bool {
        self.phase.get() >= Phase::LameDuck
    }

    /// Looks after the caches: old snapshots and unused pools are let go even when no request comes.
    pub fn tidy(&self) {
        self.purses.borrow_mut().tidy(self.gate.now_ms());
        drop(self.view());
    }

    /// Makes everything on offer ready, and reads and prices a small answer once.
    pub fn prime(&self) {
        let view = self.view();
        let entries = view.snapshot.catalogue().models().iter();
        let lane = entries
            .filter_map(|entry| self.offer(&view, entry.model.id.as_str()))
            .filter_map(|offer| offer.lanes.first().cloned())
            .last();
        let body = Bytes::from_static(br#"{"model":"a/b","messages":[{"role":"user","content":"hi"}],"stream":true}"#);
        let (Some(lane), Ok(scan)) = (lane, self.dialect.scan(&body)) else { return };
        let edits = RequestEdits {
            upstream_model: &lane.route.endpoint.upstream_model,
            token_limit: None,
            quirks: lane.quirks,
        };
        let segments = lane.bridge.request(&body, &scan, &edits);
        let mut pass = lane.bridge.stream(&AnswerEdits { public_model: "a/b".to_owned(), wants_usage: true });
        let mut pricer =
            |usage: &TokenUsage| Receipt { cost: cost(usage, lane.prices()), is_byok: false, upstream_cost: None };
        let chunk = Bytes::from_static(b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n");
        std::hint::black_box((segments, pass.push(chunk, &mut pricer), pass.end(&mut pricer)));
    }
}
