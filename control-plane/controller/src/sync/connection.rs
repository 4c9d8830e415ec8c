//! One connected proxy, as the rest of the controller sees it: what is marked for it, recalled from it, and what it has
//! acknowledged. Everything others put in is a set, never a queue, so a slow proxy costs bounded memory.
//! Never waits and never sends: `stream.rs` takes from here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::ids::{BootEpoch, ProxyId, Revision};
use domain::pools::PoolId;
use domain::snapshot::{Kind, Refusal};
use domain::time::Timestamp;
use link::feed::{Feed, Frame};
use proto::sync as wire;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::flights::{Flights, Landed};
use super::publisher::Published;
use super::rows::Name;
use crate::health::News;

/// Most pools with news that wait for one proxy. One that falls behind further is made to connect again, which makes
/// it forget all refusals anyway.
const MOST_EVENTS: usize = 8_192;
/// Most refusals that are remembered of one proxy.
const MOST_REFUSALS: usize = 100;
/// Most revisions that are remembered as applied ahead of the bulk lane.
const MOST_AHEAD: usize = 4_096;
/// A delta that is not answered for this long means that the proxy does not keep up.
const SLOW_MS: u64 = 60_000;

/// Why a stream is ended from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A newer stream of the same proxy took its place.
    Replaced,
    /// It did not keep up; it resumes or gets a whole state when it connects again.
    Slow,
    /// The controller stops.
    Stopping,
}

impl From<End> for Status {
    fn from(end: End) -> Status {
        match end {
            End::Replaced => Status::aborted("a newer stream of this proxy took its place"),
            End::Slow => Status::resource_exhausted("too far behind: connect again and resync"),
            End::Stopping => super::busy("the controller is stopping", 500),
        }
    }
}

/// A connected proxy.
pub struct Connection {
    pub proxy: ProxyId,
    pub epoch: BootEpoch,
    /// Everything up to here was marked when the stream opened.
    from: Revision,
    state: Mutex<State>,
    /// Something was put in.
    pub wake: Notify,
    over: CancellationToken,
}

struct State {
    row: store::fleet::Proxy,
    /// The row differs from the one in the database.
    unwritten: bool,
    /// Applied by the urgent lane, above the contiguous revision.
    ahead: BTreeSet<Revision>,
    refusals: BTreeMap<Name, String>,
    /// A whole state is on its way: what was refused before it no longer counts.
    resyncing: bool,
    feed: Feed,
    flights: Flights,
    recalls: BTreeMap<PoolId, i64>,
    events: BTreeSet<PoolId>,
    advice: News,
    /// How often the proxy told what it met, and its last window.
    told: u64,
    window: wire::Observations,
    end: Option<End>,
}

/// What a proxy says it did with a delta. Nonce 0 answers none and only says where the proxy is.
pub struct Heard {
    pub nonce: u64,
    pub revision: Revision,
    pub refusals: Vec<Refusal>,
    pub ok: bool,
}

/// What a stream takes out to send.
#[derive(Default)]
pub struct Taken {
    pub frames: Vec<Frame>,
    pub recalls: Vec<(PoolId, i64)>,
    pub events: Vec<PoolId>,
    pub advice: News,
}

impl Connection {
    /// A proxy with its feed, which holds everything after what the proxy has up to `from`.
    pub fn new(row: store::fleet::Proxy, feed: Feed, flights: Flights, from: Revision) -> Connection {
        let (proxy, epoch) = (row.proxy.clone(), row.epoch);
        let state = State {
            row,
            unwritten: true,
            ahead: BTreeSet::new(),
            refusals: BTreeMap::new(),
            resyncing: false,
            feed,
            flights,
            recalls: BTreeMap::new(),
            events: BTreeSet::new(),
            advice: News::default(),
            told: 0,
            window: wire::Observations::default(),
            end: None,
        };
        Connection { proxy, epoch, from, state: Mutex::new(state), wake: Notify::new(), over: CancellationToken::new() }
    }

    /// Up to where everything was marked when the stream opened.
    pub fn from(&self) -> Revision {
        self.from
    }

    /// Moves the beginning of a stream that is still being prepared.
    pub fn begin_at(&mut self, from: Revision) {
        self.from = from;
    }

    /// Marks what was published.
    pub fn mark(&self, published: &Published, now_ms: u64) {
        {
            let mut state = self.lock();
            let state = &mut *state;
            published.mark(self.from, &mut state.feed, &mut state.flights, now_ms);
        }
        self.wake.notify_one();
    }

    /// Too much changed at once to be named: the proxy gets a whole state of `head` or later.
    pub fn resync(&self, head: Revision) {
        self.lock().feed.resync(head);
        self.wake.notify_one();
    }

    /// Asks for these pools back, down to what is to be kept.
    pub fn recall(&self, pools: &[(PoolId, i64)]) {
        self.lock().recalls.extend(pools.iter().copied());
        self.wake.notify_one();
    }

    /// Something happened to these pools.
    pub fn pool_event(&self, pools: &[PoolId]) {
        let mut state = self.lock();
        state.events.extend(pools.iter().copied());
        let crowded = state.events.len() > MOST_EVENTS;
        drop(state);
        if crowded {
            self.end(End::Slow);
        }
        self.wake.notify_one();
    }

    /// Numbers what the proxy tells, and gives all that it told last: its window, and what cools.
    pub fn observed(&self, observed: wire::Observations) -> (u64, wire::Observations) {
        let mut state = self.lock();
        state.told += 1;
        match observed.window {
            0 => state.window.coolings = observed.coolings,
            _ => state.window = observed,
        }
        (state.told, state.window.clone())
    }

    /// There is advice for it.
    pub fn advise(&self, news: News) {
        self.lock().advice.add(news);
        self.wake.notify_one();
    }

    /// Ends the stream.
    pub fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.over.cancel();
    }

    /// Waits until the stream is ended from this side.
    pub async fn over(&self) -> End {
        self.over.cancelled().await;
        self.lock().end.unwrap_or(End::Stopping)
    }

    /// What is to be sent now. Deltas count as under way from here on. Recalls and events stay where they are while the
    /// proxy has not taken the last ones (`news` is false).
    pub fn take(&self, news: bool, now_ms: u64) -> Taken {
        let mut state = self.lock();
        let state = &mut *state;
        let frames = state.feed.next(now_ms);
        for frame in &frames {
            match frame {
                Frame::Delta { nonce, urgent, names, .. } => state.flights.sent(*nonce, *urgent, names, now_ms),
                Frame::Resync { .. } => {
                    state.flights = Flights::default();
                    state.resyncing = true;
                }
            }
        }
        if !news {
            return Taken { frames, ..Taken::default() };
        }
        Taken {
            frames,
            recalls: std::mem::take(&mut state.recalls).into_iter().collect(),
            events: std::mem::take(&mut state.events).into_iter().collect(),
            advice: std::mem::take(&mut state.advice),
        }
    }

    /// When [`Connection::take`] must be called next at the latest, in milliseconds of the monotonic clock.
    pub fn next_wake(&self) -> Option<u64> {
        self.lock().feed.next_wake()
    }

    /// Whether the proxy leaves deltas unanswered for too long.
    pub fn is_slow(&self, now_ms: u64) -> bool {
        self.lock().flights.oldest_ms(now_ms) >= SLOW_MS
    }

    /// Takes note of an acknowledgement.
    pub fn heard(&self, heard: Heard, now: Timestamp) {
        let mut state = self.lock();
        state.row.last_seen = now;
        state.unwritten = true;
        if heard.nonce == 0 {
            state.placed(&heard);
        } else if let Some(landed) = state.flights.answered(heard.nonce, heard.ok) {
            state.feed.acked(heard.nonce, heard.ok);
            state.landed(landed);
        } else if !heard.ok && is_part(heard.nonce) {
            // Without one of its parts a frame is not whole, and its end may have been taken.
            let head = state.row.revision;
            state.feed.resync(head);
        }
        // Answers may overtake each other: an urgent one waits until the proxy has it on disk.
        state.row.revision = state.row.revision.max(heard.revision);
        state.flights.reached(heard.revision);
        state.ahead = state.ahead.split_off(&Revision(heard.revision.0.saturating_add(1)));
        state.refuse(heard.refusals);
    }

    /// Whether this proxy has applied `revision`.
    pub fn has_applied(&self, revision: Revision) -> bool {
        let state = self.lock();
        state.row.revision >= revision || state.ahead.contains(&revision)
    }

    /// The proxy as a row.
    pub fn row(&self) -> store::fleet::Proxy {
        self.lock().row.clone()
    }

    /// The row, if the database does not have it yet; it counts as written from here on.
    pub fn take_unwritten(&self) -> Option<store::fleet::Proxy> {
        let mut state = self.lock();
        std::mem::take(&mut state.unwritten).then(|| state.row.clone())
    }

    /// The row is to be written (again).
    pub fn must_write(&self, now: Timestamp) {
        let mut state = self.lock();
        state.row.last_seen = now;
        state.unwritten = true;
    }

    /// When the row was last seen to be true.
    pub fn last_seen(&self) -> Timestamp {
        self.lock().row.last_seen
    }

    // No code panics while it holds this lock, and sets remain sets.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The proxy says where it is without answering a delta: after a whole state, even one that is older by force. One
    /// that it could not take it asks for again by itself.
    fn placed(&mut self, heard: &Heard) {
        if !heard.ok {
            return;
        }
        self.row.revision = heard.revision;
        if std::mem::take(&mut self.resyncing) {
            self.refusals.clear();
        }
    }

    /// A delta was answered: its names are refused no longer, its urgent revisions are complete.
    fn landed(&mut self, landed: Landed) {
        if !self.refusals.is_empty() {
            for name in &landed.names {
                self.refusals.remove(name);
            }
        }
        for revision in landed.complete {
            if self.ahead.len() < MOST_AHEAD {
                self.ahead.insert(revision);
            }
        }
    }

    fn refuse(&mut self, refusals: Vec<Refusal>) {
        for refusal in refusals.into_iter().take(MOST_REFUSALS) {
            let name: (Kind, String) = (refusal.kind, short(refusal.name));
            if self.refusals.len() < MOST_REFUSALS || self.refusals.contains_key(&name) {
                self.refusals.insert(name, short(refusal.reason));
            }
        }
        let all = self.refusals.iter();
        self.row.refused = all
            .map(|((kind, name), reason)| Refusal { kind: *kind, name: name.clone(), reason: reason.clone() })
            .collect();
    }
}

/// Where the number of a part stands in its nonce. The last part of a frame bears the frame's own nonce.
const PART: u32 = 48;

/// The nonce of an earlier part of a frame.
pub fn part_nonce(nonce: u64, part: usize) -> u64 {
    nonce | (u64::try_from(part).unwrap_or(0) + 1) << PART
}

fn is_part(nonce: u64) -> bool {
    nonce >> PART != 0
}

/// Text of a proxy, cut to a readable length.
fn short(text: String) -> String {
    if text.len() <= 300 { text } else { text.chars().take(300).collect() }
}
