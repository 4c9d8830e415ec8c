//! Background tasks with names. Shutdown waits for them and can say which ones did not end; a task that panics is
//! logged by its name and does not take the process with it.
//! Never restarts a task: one that may fail loops inside itself, with a `Backoff`.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::task::AbortHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A task's name, for logs and for the readiness answer.
pub type Name = Cow<'static, str>;

/// The background tasks of one plane. Clones share the same tasks.
#[derive(Clone, Default)]
pub struct Tasks {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    tracker: TaskTracker,
    stop: CancellationToken,
    next: AtomicU64,
    running: Mutex<BTreeMap<u64, Running>>,
    panicked: Mutex<Vec<Name>>,
}

struct Running {
    name: Name,
    /// Absent for the moment between the entry and the spawn.
    abort: Option<AbortHandle>,
}

impl Tasks {
    /// Starts `work` on the current runtime. It should end soon after [`Tasks::stopping`] is cancelled.
    pub fn spawn(&self, name: impl Into<Name>, work: impl Future<Output = ()> + Send + 'static) {
        let (name, id) = (name.into(), self.inner.next.fetch_add(1, Ordering::Relaxed));
        locked(&self.inner.running).insert(id, Running { name: name.clone(), abort: None });
        let entry = Entry { inner: Arc::clone(&self.inner), id };
        let abort = self
            .inner
            .tracker
            .spawn(async move {
                if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                    // The panic hook says where; the message may hold a client's text and is not repeated.
                    tracing::error!(task = %name, "background task {name} panicked and is gone");
                    locked(&entry.inner.panicked).push(name);
                }
            })
            .abort_handle();
        // The task may have ended already; then its entry is gone and there is nothing to abort.
        if let Some(running) = locked(&self.inner.running).get_mut(&id) {
            running.abort = Some(abort);
        }
    }

    /// Cancelled when the tasks are asked to end; to be watched by every task that loops.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.inner.stop.clone()
    }

    /// Names of the tasks that are running now.
    #[must_use]
    pub fn running(&self) -> Vec<Name> {
        locked(&self.inner.running).values().map(|running| running.name.clone()).collect()
    }

    /// Names of the tasks that ended in a panic; a plane that needs them is not ready any more.
    #[must_use]
    pub fn panicked(&self) -> Vec<Name> {
        locked(&self.inner.panicked).clone()
    }

    /// Asks all tasks to end, waits at most `deadline`, then cuts the rest at their next await.
    /// Returns the names of those that were cut.
    pub async fn join(&self, deadline: Duration) -> Vec<Name> {
        self.inner.stop.cancel();
        self.inner.tracker.close();
        if tokio::time::timeout(deadline, self.inner.tracker.wait()).await.is_ok() {
            return Vec::new();
        }
        let cut: Vec<Name> = locked(&self.inner.running)
            .values()
            .map(|running| {
                if let Some(abort) = &running.abort {
                    abort.abort();
                }
                running.name.clone()
            })
            .collect();
        if !cut.is_empty() {
            tracing::warn!(tasks = %cut.join(", "), "background tasks did not end in time and were cut");
        }
        cut
    }
}

/// Takes the task off the list however it ends: done, panicked or aborted.
struct Entry {
    inner: Arc<Inner>,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        locked(&self.inner.running).remove(&self.id);
    }
}

/// No code panics while holding these locks, and a poisoned list is still a list.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn join_waits_for_tasks_that_heed_the_stop() {
        let tasks = Tasks::default();
        let stop = tasks.stopping();
        let (done, finished) = tokio::sync::oneshot::channel();
        tasks.spawn("publisher", async move {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            done.send(()).unwrap();
        });
        assert_eq!(tasks.running(), ["publisher"]);
        assert!(tasks.join(Duration::from_secs(5)).await.is_empty());
        finished.await.unwrap();
        assert!(tasks.running().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_cut_at_the_deadline_and_named() {
        let tasks = Tasks::default();
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn("quick", async {});
        tasks.spawn("stuck", async move {
            tokio::time::sleep(LONG).await;
            drop(held);
        });
        let start = tokio::time::Instant::now();
        assert_eq!(tasks.join(Duration::from_secs(5)).await, ["stuck"]);
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        // The future is really gone: what it owned is dropped long before its sleep would end.
        assert!(dropped.await.is_err());
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_panic_ends_only_its_own_task_and_is_remembered_by_name() {
        let tasks = Tasks::default();
        let (ask, asked) = tokio::sync::oneshot::channel::<()>();
        let (answer, answered) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn("survivor", async move {
            asked.await.unwrap();
            answer.send(()).unwrap();
        });
        tasks.spawn("books", async { panic!("on purpose") });
        while tasks.panicked().is_empty() {
            tokio::task::yield_now().await;
        }
        ask.send(()).unwrap();
        answered.await.unwrap();
        assert!(tasks.join(LONG).await.is_empty());
        assert_eq!(tasks.panicked(), ["books"]);
    }

    #[tokio::test]
    async fn a_thousand_finished_tasks_leave_nothing_behind() {
        let tasks = Tasks::default();
        for n in 0..1_000 {
            tasks.spawn(format!("task {n}"), async {});
        }
        assert!(tasks.join(LONG).await.is_empty());
        assert!(tasks.running().is_empty());
    }
}
