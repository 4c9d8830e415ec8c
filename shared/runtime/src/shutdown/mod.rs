//! How a process ends: a signal (or a word from the code), a lame-duck time in which it still accepts but says that it
//! is going, a drain in which it only finishes, and a deadline after which the rest is cut.
//! Never closes a socket itself: servers watch the phases. A second signal ends the process at once.

use std::{io, sync::Arc, thread, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use crate::{Error, Result};

#[cfg(test)]
mod tests;

/// Where a process is on its way down. Phases only move forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything is normal.
    Serving,
    /// Not ready any more, still accepting: load balancers get the time to notice.
    LameDuck,
    /// Accepts nothing new, finishes what is open.
    Draining,
    /// The deadline has passed or nothing is open; whatever remains is cut.
    Over,
}

/// The handle by which everybody learns that it is time to go. Clones share one state.
#[derive(Clone)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

struct Inner {
    signal: CancellationToken,
    phase: watch::Sender<Phase>,
    open: TaskTracker,
}

/// One piece of work that the drain waits for: a connection, a stream. Let go by dropping it.
#[must_use = "the drain waits only for as long as this is held"]
pub struct Hold {
    _token: TaskTrackerToken,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// A handle that only code can trigger.
    #[must_use]
    pub fn new() -> Self {
        Self::watching(CancellationToken::new())
    }

    fn watching(signal: CancellationToken) -> Self {
        let inner = Inner { signal, phase: watch::Sender::new(Phase::Serving), open: TaskTracker::new() };
        Self { inner: Arc::new(inner) }
    }

    /// A handle that SIGINT and SIGTERM trigger. A second signal ends the process at once, with status 130 or 143.
    /// A thread of its own listens, so that a stuck runtime can still be ended.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn on_signals() -> Result<Self> {
        let shutdown = Self::new();
        let listener = Listener::install().map_err(Error::Signals)?;
        let handle = shutdown.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || listener.run(&handle))
            .map_err(Error::Signals)?;
        Ok(shutdown)
    }

    /// A handle of its own for one part of the process: triggered when this one is, drained in its own time.
    #[must_use]
    pub fn child(&self) -> Self {
        Self::watching(self.inner.signal.child_token())
    }

    /// Starts the end; `why` goes to the log. Only the first call counts.
    pub fn trigger(&self, why: &str) {
        if !self.is_signalled() {
            tracing::info!(why, "shutting down: {why}");
        }
        self.inner.signal.cancel();
    }

    /// Returns once the end has begun.
    pub async fn signalled(&self) {
        self.inner.signal.cancelled().await;
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn is_signalled(&self) -> bool {
        self.inner.signal.is_cancelled()
    }

    /// The same as a token, for `select!` and for crates that want one.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.inner.signal.clone()
    }

    /// Where we are.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let phase = *self.inner.phase.borrow();
        if self.is_signalled() { phase.max(Phase::LameDuck) } else { phase }
    }

    /// Returns once `phase` is reached. An acceptor waits for `Draining`; whoever must be cut waits for `Over`.
    pub async fn reached(&self, phase: Phase) {
        match phase {
            Phase::Serving => {}
            Phase::LameDuck => self.signalled().await,
            Phase::Draining | Phase::Over => {
                // The sender lives in `self`, so this cannot end early.
                let _ = self.inner.phase.subscribe().wait_for(|now| *now >= phase).await;
            }
        }
    }

    /// Marks one piece of open work.
    pub fn hold(&self) -> Hold {
        Hold { _token: self.inner.open.token() }
    }

    /// How many holds are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.inner.open.len()
    }

    /// Walks through the phases: lame duck for `lame_duck`, then drain until nothing is held or `deadline` (counted from
    /// the start of the drain) has passed, then over. Returns how many holds were still open: 0 is a clean end.
    pub async fn wind_down(&self, lame_duck: Duration, deadline: Duration) -> usize {
        self.trigger("asked to wind down");
        self.enter(Phase::LameDuck);
        tokio::time::sleep(lame_duck).await;
        self.enter(Phase::Draining);
        self.inner.open.close();
        let drained = tokio::time::timeout(deadline, self.inner.open.wait()).await;
        let open = if drained.is_ok() { 0 } else { self.open() };
        if open > 0 {
            tracing::warn!(open, "the shutdown deadline has passed, cutting what is still open");
        }
        self.enter(Phase::Over);
        open
    }

    fn enter(&self, phase: Phase) {
        self.inner.phase.send_if_modified(|now| {
            let forward = phase > *now;
            if forward {
                *now = phase;
            }
            forward
        });
    }
}

/// The two signals and the small runtime that waits for them.
struct Listener {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
}

impl Listener {
    fn install() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let entered = runtime.enter();
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        drop(entered);
        Ok(Self { runtime, interrupt, terminate })
    }

    fn run(self, shutdown: &Shutdown) {
        let Self { runtime, mut interrupt, mut terminate } = self;
        runtime.block_on(async {
            let (first, _) = next(&mut interrupt, &mut terminate).await;
            shutdown.trigger(first);
            let (second, status) = next(&mut interrupt, &mut terminate).await;
            tracing::warn!("{second} again, ending at once");
            std::process::exit(status);
        });
    }
}

/// The next signal's name, and the status by which shells report a process that it ended.
async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> (&'static str, i32) {
    tokio::select! {
        _ = interrupt.recv() => ("SIGINT", 130),
        _ = terminate.recv() => ("SIGTERM", 143),
    }
}
