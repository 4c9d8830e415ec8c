//! How the link to the controller stands, for readiness, metrics and whoever waits. Written by the tasks of this room,
//! read by anyone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use runtime::clock::Clock;
use tokio::sync::{Notify, watch};

/// How long a first connection is waited for before a cached snapshot alone makes a proxy ready.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a proxy that is connected waits until it has caught up with what the controller said is the newest.
const CATCH_UP: Duration = Duration::from_secs(2);
/// How long the secrets of a first snapshot are waited for.
const SECRETS: Duration = Duration::from_secs(3);

/// See the module's head.
pub struct Status {
    clock: Arc<dyn Clock>,
    revision: AtomicU64,
    head: AtomicU64,
    /// When the controller was last heard of, in milliseconds of the clock.
    heard_at: AtomicU64,
    stages: watch::Sender<Stages>,
    /// The controller answered somebody while the stream was down.
    reachable: Notify,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stages {
    /// A whole snapshot is in.
    whole: bool,
    /// The stream stands.
    connected: bool,
    /// On this stream the controller has said what the newest revision is.
    told: bool,
    /// Everything up to there is in.
    current: bool,
    /// The secrets that the snapshot names were asked for and answered.
    secrets: bool,
    ready: bool,
    /// The controller lends this life of the proxy nothing any more.
    fenced: bool,
}

impl Status {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Status> {
        let status = Status {
            clock,
            revision: AtomicU64::new(0),
            head: AtomicU64::new(0),
            heard_at: AtomicU64::new(0),
            stages: watch::Sender::new(Stages::default()),
            reachable: Notify::new(),
        };
        status.heard_at.store(status.now_ms(), Ordering::Relaxed);
        Arc::new(status)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    fn stages(&self) -> Stages {
        *self.stages.borrow()
    }

    /// Whether requests can be served: the first whole snapshot is in, from the cache or the controller; if the
    /// controller can be reached, with what has changed since the cache was written and with the secrets it names.
    pub fn is_ready(&self) -> bool {
        self.stages().ready
    }

    /// Returns once requests can be served.
    pub async fn ready(&self) {
        let mut stages = self.stages.subscribe();
        // The sender lives as long as `self`.
        let _ = stages.wait_for(|stages| stages.ready).await;
    }

    /// Whether the stream to the controller stands.
    pub fn connected(&self) -> bool {
        self.stages().connected
    }

    /// Everything up to this revision is served.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// The newest revision that the controller spoke of.
    pub fn head_revision(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }

    /// How long nothing has been heard from the controller.
    pub fn staleness(&self) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(self.heard_at.load(Ordering::Relaxed)))
    }

    /// Whether the controller has said that this life of the proxy is over: a newer process has its name, or what it
    /// was lent was given back while it was thought dead. It can finish what it holds, no more; a new life can begin.
    pub fn is_fenced(&self) -> bool {
        self.stages().fenced
    }

    /// Returns once that is so.
    pub async fn fenced(&self) {
        let mut stages = self.stages.subscribe();
        // The sender lives as long as `self`.
        let _ = stages.wait_for(|stages| stages.fenced).await;
    }

    pub(super) fn set_fenced(&self) {
        self.stages.send_modify(|stages| stages.fenced = true);
    }

    pub(super) fn set_revision(&self, revision: u64) {
        self.revision.store(revision, Ordering::Relaxed);
        self.head.fetch_max(revision, Ordering::Relaxed);
        self.note_progress(false);
    }

    /// The controller said what the newest revision is.
    pub(super) fn set_head(&self, revision: u64) {
        self.head.store(revision, Ordering::Relaxed);
        self.note_progress(true);
    }

    fn note_progress(&self, told: bool) {
        let reached = self.revision() >= self.head_revision();
        self.stages.send_if_modified(|stages| {
            let before = *stages;
            stages.told |= told;
            stages.current = stages.told && reached;
            *stages != before
        });
    }

    pub(super) fn set_whole(&self) {
        self.stages.send_modify(|stages| stages.whole = true);
    }

    pub(super) fn is_whole(&self) -> bool {
        self.stages().whole
    }

    pub(super) fn set_connected(&self, connected: bool) {
        self.stages.send_modify(|stages| {
            // A stream that begins or ends has told nothing.
            *stages = Stages { connected, told: false, current: false, ..*stages };
        });
        if connected {
            self.heard();
        }
    }

    pub(super) fn set_secrets(&self) {
        if self.stages().whole {
            self.stages.send_if_modified(|stages| !std::mem::replace(&mut stages.secrets, true));
        }
    }

    /// A message came on the stream.
    pub(super) fn heard(&self) {
        self.heard_at.store(self.now_ms(), Ordering::Relaxed);
    }

    /// The controller answered a call: if the stream is down, it need not stay down.
    pub(super) fn answered(&self) {
        if !self.connected() {
            self.reachable.notify_one();
        }
    }

    /// Returns when the controller answers somebody.
    pub(super) async fn reachable(&self) {
        self.reachable.notified().await;
    }

    /// Watches the stages until requests can be served.
    pub(super) async fn become_ready(self: Arc<Self>) {
        let mut stages = self.stages.subscribe();
        let _ = stages.wait_for(|stages| stages.whole).await;
        let connected = stages.wait_for(|stages| stages.connected);
        if tokio::time::timeout(PATIENCE, connected).await.is_ok() {
            // A cache may be old: keys made since are on their way, and keys revoked since are still served.
            let is_current = stages.wait_for(|stages| stages.current || !stages.connected);
            if tokio::time::timeout(CATCH_UP, is_current).await.is_err() {
                tracing::warn!("serving from an older state: the changes since have not all come yet");
            }
            let has_secrets = stages.wait_for(|stages| stages.secrets || !stages.connected);
            if tokio::time::timeout(SECRETS, has_secrets).await.is_err() {
                tracing::warn!("serving without all of the providers' secrets: the controller has not sent them yet");
            }
        }
        self.stages.send_modify(|stages| stages.ready = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::clock::ManualClock;

    #[tokio::test]
    async fn who_waits_for_the_fence_hears_of_it() {
        let status = Status::new(Arc::new(ManualClock::at(0)));
        assert!(!status.is_fenced());
        let waiting = tokio::spawn({
            let status = status.clone();
            async move { status.fenced().await }
        });
        status.set_fenced();
        waiting.await.unwrap();
        // A stream that begins or ends changes nothing about it.
        status.set_connected(true);
        status.set_connected(false);
        assert!(status.is_fenced());
    }
}
