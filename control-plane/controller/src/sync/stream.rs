//! One proxy's stream, from hello to its end: takes what is marked for it, loads the rows, sends frames of at most
//! 64 KiB, and hands acknowledgements back. Urgent frames pass bulk frames that are not yet sent.
//! Keeps nothing that grows: only the frames under way are here, everything else waits as a set in `connection.rs`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::Revision;
use domain::snapshot::Refusal;
use link::feed::Frame;
use prost::Message as _;
use proto::convert::{write_pool_event, write_recall};
use proto::sync::{self as wire, watch_request, watch_response};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::connection::{Connection, End, Heard, part_nonce};
use super::publisher::{now_ms, recall};
use super::{busy, hello};
use crate::app::App;
use crate::health::{self, News};

/// How often a proxy hears that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Messages between this task and the socket. Two bulk frames are under way at most, so this holds them all.
const BETWEEN: usize = 16;
/// Bytes of changes in one message.
const FRAME_BYTES: usize = 62 * 1024;
/// Most pools in one message.
const MOST_POOLS: usize = 500;
/// How long to wait before rows are loaded again after the database failed.
const AGAIN_MS: u64 = 250;
/// A proxy that takes nothing off the stream for this long is not kept.
const DEAF_MS: u64 = 60_000;

type Outbound = mpsc::Sender<Result<wire::WatchResponse, Status>>;

/// Opens the answer at once; what goes wrong later, even with the hello, ends the stream with a status.
pub fn serve(
    app: &Arc<App>,
    mut inbound: Streaming<wire::WatchRequest>,
) -> Result<ReceiverStream<Result<wire::WatchResponse, Status>>, Status> {
    let (outbound, answer) = mpsc::channel(BETWEEN);
    let app = app.clone();
    tokio::spawn(async move {
        let opened = tokio::select! {
            opened = hello::open(&app, &mut inbound) => opened,
            () = outbound.closed() => return,
        };
        let ended = match opened {
            Ok(connection) => talk(&app, connection, inbound, &outbound).await,
            Err(status) => Err(status),
        };
        if let Err(status) = ended {
            // A proxy that does not read is not told.
            let _ = outbound.try_send(Err(status));
        }
    });
    Ok(ReceiverStream::new(answer))
}

async fn talk(
    app: &Arc<App>,
    connection: Arc<Connection>,
    inbound: Streaming<wire::WatchRequest>,
    outbound: &Outbound,
) -> Result<(), Status> {
    let _present = Present { app: app.clone(), connection: connection.clone() };
    tracing::info!(proxy = %connection.proxy, epoch = %connection.epoch, "proxy {} connected", connection.proxy);
    let talk = Talk {
        app: app.clone(),
        connection: connection.clone(),
        outbound: outbound.clone(),
        frames: VecDeque::new(),
        first: VecDeque::new(),
        bulk: VecDeque::new(),
        load_at: 0,
        sent_at: now_ms(app),
    };
    let ended = tokio::select! {
        ended = talk.run(inbound) => ended,
        end = connection.over() => Err(end.into()),
    };
    let why = ended.as_ref().err().map_or("it left", Status::message);
    tracing::info!(proxy = %connection.proxy, why, "proxy {} disconnected: {why}", connection.proxy);
    ended
}

/// However a stream ends, the proxy is no longer connected then.
struct Present {
    app: Arc<App>,
    connection: Arc<Connection>,
}

impl Drop for Present {
    fn drop(&mut self) {
        self.app.fleet.leave(&self.connection);
    }
}

struct Talk {
    app: Arc<App>,
    connection: Arc<Connection>,
    outbound: Outbound,
    /// Frames whose rows are not loaded yet.
    frames: VecDeque<Frame>,
    /// Messages that are not yet taken by the socket: those that wait for nothing …
    first: VecDeque<wire::WatchResponse>,
    /// … and bulk deltas.
    bulk: VecDeque<wire::WatchResponse>,
    /// Not before this are rows loaded; after a failure it is a little later.
    load_at: u64,
    /// When the socket last took something, or had nothing to take.
    sent_at: u64,
}

impl Talk {
    async fn run(mut self, mut inbound: Streaming<wire::WatchRequest>) -> Result<(), Status> {
        if let Err(error) = recall(&self.app, &self.connection).await {
            let (proxy, error): (_, &dyn std::error::Error) = (&self.connection.proxy, &error);
            tracing::warn!(%proxy, error, "recalls cannot be read now");
            return Err(busy("the database is busy or away: try again", AGAIN_MS));
        }
        self.connection.advise(News::ALL);
        let mut beat = heartbeat();
        let (outbound, connection) = (self.outbound.clone(), self.connection.clone());
        loop {
            self.take()?;
            self.load().await;
            let pause = Duration::from_millis(self.pause_ms());
            tokio::select! {
                biased;
                permit = outbound.reserve(), if !self.is_idle() => {
                    let Ok(permit) = permit else { return Ok(()) };
                    if let Some(message) = self.first.pop_front().or_else(|| self.bulk.pop_front()) {
                        permit.send(Ok(message));
                    }
                    self.sent_at = now_ms(&self.app);
                }
                heard = inbound.message() => match heard {
                    Ok(Some(message)) => self.heard(message).await?,
                    // A proxy that goes away without a word is one that left.
                    Ok(None) | Err(_) => return Ok(()),
                },
                () = connection.wake.notified() => {}
                _ = beat.tick() => self.heartbeat()?,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Whether everything was taken by the socket.
    fn is_idle(&self) -> bool {
        self.first.is_empty() && self.bulk.is_empty()
    }

    /// Takes what is to be sent.
    fn take(&mut self) -> Result<(), Status> {
        let now = now_ms(&self.app);
        if self.connection.is_slow(now) {
            return Err(End::Slow.into());
        }
        let taken = self.connection.take(self.is_idle(), now);
        if taken.frames.iter().any(|frame| matches!(frame, Frame::Resync { .. })) {
            // What was not sent of the old state need not be: a whole one is coming.
            self.frames.clear();
            self.bulk.clear();
        }
        for frame in taken.frames {
            let passed = self.frames.iter().position(is_bulk).filter(|_| !is_bulk(&frame));
            self.frames.insert(passed.unwrap_or(self.frames.len()), frame);
        }
        let recalls =
            taken.recalls.chunks(MOST_POOLS).map(|pools| watch_response::Message::Recall(write_recall(pools)));
        let events =
            taken.events.chunks(MOST_POOLS).map(|pools| watch_response::Message::PoolEvent(write_pool_event(pools)));
        self.first.extend(recalls.chain(events).map(message));
        let advice = self.app.health.advice(taken.advice, now).into_iter();
        self.first.extend(advice.map(|advice| message(watch_response::Message::Advice(advice))));
        Ok(())
    }

    /// Turns frames into messages, as far as the database answers. A frame that cannot be loaded keeps its place.
    async fn load(&mut self) {
        while let Some(frame) = self.frames.front() {
            if now_ms(&self.app) < self.load_at {
                return;
            }
            let Frame::Delta { nonce, urgent, to_revision, names } = frame else {
                if let Some(Frame::Resync { revision }) = self.frames.pop_front() {
                    self.first
                        .push_back(message(watch_response::Message::Resync(wire::Resync { revision: revision.0 })));
                }
                continue;
            };
            let head = self.app.fleet.head().max(self.connection.from());
            match self.app.fleet.rows.load(&self.app.store, head, names).await {
                Ok(rows) => {
                    let lane = if *urgent { &mut self.first } else { &mut self.bulk };
                    lane.extend(deltas(*nonce, *urgent, *to_revision, rows));
                }
                Err(error) => {
                    let (proxy, error): (_, &dyn std::error::Error) = (&self.connection.proxy, &error);
                    tracing::warn!(%proxy, error, "changes cannot be loaded now; trying again");
                    self.load_at = now_ms(&self.app).saturating_add(AGAIN_MS);
                    return;
                }
            }
            self.frames.pop_front();
        }
    }

    /// How long nothing needs to be done unless something happens.
    fn pause_ms(&self) -> u64 {
        let now = now_ms(&self.app);
        let feed = self.connection.next_wake().unwrap_or(u64::MAX);
        let load = if self.frames.is_empty() { u64::MAX } else { self.load_at };
        let wake = feed.min(load).saturating_sub(now);
        wake.min(u64::try_from(HEARTBEAT.as_millis()).unwrap_or(u64::MAX)).max(1)
    }

    fn heartbeat(&mut self) -> Result<(), Status> {
        let now = now_ms(&self.app);
        if self.is_idle() {
            let head_revision = self.app.fleet.head().0;
            let beat = wire::Heartbeat { head_revision, server_time_us: self.app.clock.now_us() };
            self.first.push_back(message(watch_response::Message::Heartbeat(beat)));
            // Only what waits counts from here.
            self.sent_at = now;
        } else if now.saturating_sub(self.sent_at) > DEAF_MS {
            return Err(End::Slow.into());
        }
        Ok(())
    }

    async fn heard(&mut self, request: wire::WatchRequest) -> Result<(), Status> {
        let ack = match request.message {
            Some(watch_request::Message::Ack(ack)) => ack,
            Some(watch_request::Message::Observations(observed)) => {
                health::heard(&self.app, &self.connection, observed).await;
                return Ok(());
            }
            Some(watch_request::Message::Hello(_)) => return Err(Status::invalid_argument("a second hello")),
            // A message of a later contract.
            None => return Ok(()),
        };
        let ok = ack.error.is_empty();
        if !ok {
            let (proxy, problem) = (&self.connection.proxy, ack.error.chars().take(300).collect::<String>());
            let what = if ack.nonce == 0 { "a whole state" } else { "a delta" };
            tracing::warn!(%proxy, nonce = ack.nonce, problem, "proxy {proxy} could not take {what}");
        }
        let refusals = ack.refusals.into_iter().filter_map(|refusal| Refusal::try_from(refusal).ok()).collect();
        let heard = Heard { nonce: ack.nonce, revision: Revision(ack.revision), refusals, ok };
        self.connection.heard(heard, self.app.now());
        self.app.fleet.bump();
        Ok(())
    }
}

fn heartbeat() -> Interval {
    let mut beat = interval(HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

fn is_bulk(frame: &Frame) -> bool {
    matches!(frame, Frame::Delta { urgent: false, .. })
}

fn message(message: watch_response::Message) -> wire::WatchResponse {
    wire::WatchResponse { message: Some(message) }
}

/// The messages of one frame: additions in the order of publication, then removals in the opposite order. What does
/// not fit one message goes ahead in parts that move no revision; the last one bears the frame's nonce and revision.
fn deltas(nonce: u64, urgent: bool, to_revision: Revision, rows: Vec<wire::Change>) -> Vec<wire::WatchResponse> {
    let is_removal = |change: &wire::Change| matches!(change.content, Some(wire::change::Content::Removed(_)));
    let (removals, mut changes): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_removal);
    changes.extend(removals.into_iter().rev());
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for change in changes {
        // Each change has its length and a tag in front.
        let len = change.encoded_len() + 6;
        if bytes + len > FRAME_BYTES && bytes > 0 {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += len;
        if let Some(part) = parts.last_mut() {
            part.push(change);
        }
    }
    let last = parts.len() - 1;
    let parts = parts.into_iter().enumerate();
    let delta = |(at, changes)| {
        let (nonce, to_revision) = if at == last { (nonce, to_revision.0) } else { (part_nonce(nonce, at), 0) };
        message(watch_response::Message::Delta(wire::Delta { nonce, urgent, to_revision, changes }))
    };
    parts.map(delta).collect()
}
