//! The stream to the controller: deltas and bases go through the replica into the one snapshot that workers load, then
//! into the cache, then are acknowledged. Recalls and pool events go to the borrower. Reconnects for ever, with jitter.
//! Never decides what a change means; that is `convert` and the replica.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use domain::ids::Revision;
use domain::snapshot::{Refusal, Snapshot};
use link::health::Advice;
use link::replica::{Delta, Replica};
use proto::convert::{read_advice, read_changes, read_pool_event, read_recall};
use proto::sync as wire;
use proto::sync::watch_request::Message as Up;
use proto::sync::watch_response::Message as Down;
use runtime::backoff::Backoff;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::base::{Piece, Transfer};
use super::cache::Cache;
use super::lease::Funds;
use super::observe::Observer;
use super::retired::Retired;
use super::secrets::Secrets;
use super::status::Status;
use super::wire::{Wire, retry_after, traced, within};
use crate::standing::Standings;

/// How long the stream may be silent; heartbeats come every two seconds.
pub(super) const SILENCE: Duration = Duration::from_secs(10);
/// How long opening the stream may take.
const OPEN: Duration = Duration::from_secs(10);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(30);
/// A stream that lived this long was healthy: the next reconnect is a quick one again.
const HEALTHY: Duration = Duration::from_secs(60);
/// How soon after the controller answered somebody else the stream is tried again, at the latest.
const SEEN: f64 = 0.5;
/// How often replaced snapshots are freed and the cache is looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Acknowledgements that wait to be sent; the controller has only a few deltas under way.
const ACKS: usize = 256;
/// Refusals named in one acknowledgement.
const REFUSALS: usize = 100;

/// The task that watches.
pub(super) struct Watcher {
    pub(super) wire: Wire,
    pub(super) status: Arc<Status>,
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(super) replica: Replica,
    pub(super) cache: Cache,
    pub(super) funds: Funds,
    pub(super) secrets: Secrets,
    pub(super) standings: Standings,
    pub(super) retired: Retired,
    /// A base may be much smaller than what is here.
    pub(super) force: bool,
    /// How long the stream may be silent before it is given up.
    pub(super) silence: Duration,
}

/// One life of the stream.
struct Session {
    acks: mpsc::Sender<wire::WatchRequest>,
    transfer: Option<Transfer>,
    /// When a base is asked for again.
    transfer_at: Option<Instant>,
    backoff: Backoff,
    heard_at: Instant,
}

type Ended = Result<(), tonic::Status>;

impl Watcher {
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LAST);
        loop {
            let begun = Instant::now();
            let ended = tokio::select! {
                () = stop.cancelled() => break,
                ended = self.session() => ended,
            };
            self.replica.base_failed();
            let was_connected = self.status.connected();
            self.status.set_connected(false);
            if begun.elapsed() >= HEALTHY {
                backoff.reset();
            }
            let pause = self.pause(&ended, was_connected, &mut backoff);
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
                () = self.status.reachable() => {
                    // It answers somebody: come back soon, but not all proxies at once.
                    tokio::time::sleep(pause.min(Duration::from_secs_f64(SEEN * rand::random::<f64>()))).await;
                }
            }
        }
        self.status.set_connected(false);
    }

    fn pause(&self, ended: &Ended, was_connected: bool, backoff: &mut Backoff) -> Duration {
        let pause = backoff.next_wait(rand::random);
        let Err(status) = ended else { return pause };
        let pause = retry_after(status).map_or(pause, |asked| asked.min(RETRY_LAST) + pause / 4);
        let (code, reason) = (status.code(), status.message());
        if was_connected || backoff.tries() <= 1 {
            tracing::warn!(?code, reason, ?pause, "the stream to the controller ended; serving goes on without it");
        } else {
            tracing::debug!(?code, reason, ?pause, "the controller is not reached yet");
        }
        pause
    }

    async fn session(&mut self) -> Ended {
        let (acks, outbox) = mpsc::channel(ACKS);
        let hello = self.hello();
        // A new channel has room.
        let _ = acks.send(wire::WatchRequest { message: Some(Up::Hello(hello)) }).await;
        let mut client = self.wire.urgent();
        // The span of opening: a stream that lives for days has no span of its own.
        let span = tracing::info_span!("watch");
        let mut stream = within(OPEN, client.watch(traced(&span, ReceiverStream::new(outbox)))).await?;
        let mut session = Session {
            acks,
            transfer: None,
            transfer_at: None,
            backoff: Backoff::new(RETRY_FIRST, RETRY_LAST),
            heard_at: Instant::now(),
        };
        self.status.set_connected(true);
        tracing::info!(revision = self.status.revision(), "connected to the controller");
        self.funds.connected();
        self.secrets.wake();
        let mut ticks = tokio::time::interval(HOUSEKEEPING);
        let mut observer = Observer::new(self.standings.clone());
        loop {
            tokio::select! {
                message = stream.message() => match message? {
                    Some(message) => self.message(&mut session, message).await?,
                    None => return Err(tonic::Status::unavailable("the controller closed the stream")),
                },
                () = tokio::time::sleep_until(session.heard_at + self.silence) => {
                    return Err(tonic::Status::deadline_exceeded("the stream was silent"));
                }
                piece = next_piece(&mut session.transfer) => self.piece(&mut session, piece)?,
                () = due(session.transfer_at) => self.begin_transfer(&mut session),
                observed = observer.next() => {
                    send(&session.acks, wire::WatchRequest { message: Some(Up::Observations(observed)) })?;
                }
                _ = ticks.tick() => self.keep_house(),
            }
        }
    }

    fn hello(&self) -> wire::Hello {
        let identity = self.wire.identity();
        // What is behind cannot be caught up with by deltas.
        let have = if self.replica.is_behind() { Revision::default() } else { self.replica.snapshot().revision() };
        wire::Hello {
            proxy_id: self.wire.proxy_id(),
            boot_epoch: identity.epoch.0,
            build: identity.build.to_owned(),
            schema: proto::SYNC_SCHEMA,
            have_revision: have.0,
            region: identity.region.clone(),
        }
    }

    fn keep_house(&mut self) {
        self.retired.sweep();
        if self.status.is_whole() && !self.replica.is_behind() && self.cache.wants_base() {
            self.cache.rewrite(self.replica.snapshot().clone());
        }
    }

    async fn message(&mut self, session: &mut Session, message: wire::WatchResponse) -> Ended {
        session.heard_at = Instant::now();
        self.status.heard();
        match message.message {
            Some(Down::Delta(delta)) => self.delta(session, delta),
            Some(Down::Resync(resync)) => {
                tracing::info!(revision = resync.revision, "a whole state is to be fetched");
                self.status.set_head(resync.revision.max(self.status.head_revision()));
                self.replica.resync();
                self.begin_transfer(session);
                Ok(())
            }
            Some(Down::Heartbeat(beat)) => {
                self.status.set_head(beat.head_revision);
                Ok(())
            }
            Some(Down::Recall(recall)) => {
                match read_recall(&recall) {
                    Ok(pools) => self.funds.recalled(&pools),
                    Err(error) => tracing::warn!(%error, "a recall cannot be understood"),
                }
                Ok(())
            }
            Some(Down::PoolEvent(event)) => {
                match read_pool_event(&event) {
                    Ok(pools) => self.funds.pool_event(&pools),
                    Err(error) => tracing::warn!(%error, "a pool event cannot be understood"),
                }
                Ok(())
            }
            Some(Down::Advice(advice)) => {
                match read_advice(&advice) {
                    Ok(advice) => self.take_advice(advice),
                    Err(error) => tracing::warn!(%error, "advice cannot be understood"),
                }
                Ok(())
            }
            // Of a later build.
            None => Ok(()),
        }
    }

    fn take_advice(&self, advice: Advice) {
        self.standings.learn(advice.coolings);
        self.standings.measured(advice.measures);
        if let Some((endpoints, ttl_ms)) = advice.endpoints {
            self.standings.advised(endpoints, Duration::from_millis(ttl_ms));
        }
    }

    fn delta(&mut self, session: &mut Session, delta: wire::Delta) -> Ended {
        let read = read_changes(delta.changes.clone());
        let applied = self.replica.delta(Delta {
            nonce: delta.nonce,
            urgent: delta.urgent,
            to_revision: Revision(delta.to_revision),
            changes: read.changes,
        });
        self.publish();
        let receipt = self.cache.append(&delta, delta.urgent);
        let ack = acknowledge(applied.nonce, applied.revision, &applied.refusals, read.strange);
        match receipt {
            None => send(&session.acks, ack),
            Some(kept) => {
                // What takes a right away is acknowledged once a restart cannot bring it back.
                let acks = session.acks.clone();
                tokio::spawn(async move {
                    if kept.await == Ok(true) {
                        let _ = acks.send(ack).await;
                    } else {
                        tracing::error!("an urgent change is applied, but cannot be kept: it is not acknowledged");
                    }
                });
                Ok(())
            }
        }
    }

    fn begin_transfer(&mut self, session: &mut Session) {
        session.transfer_at = None;
        self.replica.base_begin(self.force);
        session.transfer = Some(Transfer::begin(&self.wire, self.force));
    }

    fn piece(&mut self, session: &mut Session, piece: Piece) -> Ended {
        match piece {
            Piece::Changes(changes) => self.replica.base_changes(changes),
            Piece::End { revision, objects, strange, fits } => {
                session.transfer = None;
                match blocking(|| self.replica.base_end(revision, objects, fits)) {
                    Ok(refusals) => {
                        self.publish();
                        self.status.set_whole();
                        self.secrets.wake();
                        self.cache.rewrite(self.replica.snapshot().clone());
                        let reached = self.replica.snapshot().revision();
                        tracing::info!(revision = %reached, objects, "a whole state is in");
                        send(&session.acks, acknowledge(0, reached, &refusals, strange))?;
                    }
                    Err(refused) => {
                        tracing::error!(%revision, %refused, "a whole state is refused; the old one stays");
                        let mut ack = acknowledge(0, self.replica.snapshot().revision(), &[], strange);
                        if let Some(Up::Ack(ack)) = &mut ack.message {
                            ack.error = refused.to_string();
                        }
                        send(&session.acks, ack)?;
                        self.try_again(session, None);
                    }
                }
            }
            Piece::Failed(asked) => {
                session.transfer = None;
                self.replica.base_failed();
                self.try_again(session, asked);
            }
        }
        Ok(())
    }

    fn try_again(&self, session: &mut Session, asked: Option<Duration>) {
        let pause = session.backoff.next_wait(rand::random);
        let pause = asked.map_or(pause, |asked| asked.min(RETRY_LAST) + pause / 4);
        session.transfer_at = Some(Instant::now() + pause);
    }

    /// The one swap.
    fn publish(&mut self) {
        let next = self.replica.snapshot();
        self.status.set_revision(next.revision().0);
        let replaced = self.snapshot.swap(Arc::new(next.clone()));
        self.retired.push(replaced);
        self.secrets.wake();
    }
}

fn acknowledge(
    nonce: u64,
    revision: Revision,
    refusals: &[Refusal],
    strange: Vec<wire::Refusal>,
) -> wire::WatchRequest {
    for refusal in refusals.iter().take(REFUSALS) {
        let (kind, name, reason) = (refusal.kind.name(), &refusal.name, &refusal.reason);
        tracing::warn!(kind, name, reason, "a change is refused: the resource is denied");
    }
    let refusals = refusals.iter().map(Into::into).chain(strange).take(REFUSALS).collect();
    let ack = wire::Ack { nonce, revision: revision.0, refusals, error: String::new() };
    wire::WatchRequest { message: Some(Up::Ack(ack)) }
}

/// The controller takes acknowledgements as they come; when it does not, the stream is of no use.
fn send(acks: &mpsc::Sender<wire::WatchRequest>, ack: wire::WatchRequest) -> Ended {
    acks.try_send(ack).map_err(|_| tonic::Status::unavailable("the controller takes no acknowledgements"))
}

async fn next_piece(transfer: &mut Option<Transfer>) -> Piece {
    match transfer {
        Some(transfer) => transfer.next().await,
        None => std::future::pending().await,
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Work that takes long enough to hold up leases and heartbeats on the same thread.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}
