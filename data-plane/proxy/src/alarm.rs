//! Coarse timers of one worker: setting and clearing one is a store to a cell, not a trip to a timer wheel, since every
//! request has several and almost none ever fires. Good to a tenth of a second; what must be finer uses tokio's timers.
//! Never fires early.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// Length of a tick.
const TICK: Duration = Duration::from_millis(100);

/// A moment on a worker's coarse clock. 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u32);

/// A length of time on a worker's coarse clock, worked out once where it is needed often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticks(u32);

impl Ticks {
    /// At least this long.
    pub fn of(time: Duration) -> Ticks {
        Ticks(u32::try_from(time.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX))
    }
}

impl Tick {
    /// A moment that does not come.
    pub const NEVER: Tick = Tick(0);

    /// The sooner of two moments.
    pub fn or_sooner(self, other: Tick) -> Tick {
        match (self, other) {
            (Tick::NEVER, some) | (some, Tick::NEVER) => some,
            (one, other) => one.min(other),
        }
    }
}

/// All alarms of a worker.
pub(crate) struct Alarms {
    now: Cell<u32>,
    /// Every alarm there ever was; those that are free are used again.
    all: RefCell<Vec<Rc<Inner>>>,
    free: RefCell<Vec<Rc<Inner>>>,
    /// Since when it stands still for want of alarms.
    still_since: Cell<Option<Instant>>,
    begun: Notify,
}

#[derive(Default)]
struct Inner {
    due: Cell<Tick>,
    waker: RefCell<Option<Waker>>,
}

/// One alarm; gone when it is dropped.
pub(crate) struct Alarm {
    inner: Rc<Inner>,
    alarms: Rc<Alarms>,
}

/// The time was up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TimeUp;

impl Alarms {
    pub fn new() -> Rc<Alarms> {
        Rc::new(Alarms {
            now: Cell::new(1),
            all: RefCell::default(),
            free: RefCell::default(),
            still_since: Cell::default(),
            begun: Notify::new(),
        })
    }

    /// The moment `after` from now, or a little later.
    pub fn at(&self, after: Duration) -> Tick {
        self.after(Ticks::of(after))
    }

    /// The same for a length that is known in ticks.
    pub fn after(&self, ticks: Ticks) -> Tick {
        // The tick that is under way does not count.
        Tick(self.now.get().saturating_add(ticks.0).saturating_add(1))
    }

    /// This moment.
    pub fn now(&self) -> Tick {
        Tick(self.now.get())
    }

    /// Whole seconds since the clock began to tick.
    pub fn seconds(&self) -> u32 {
        self.now.get() / 10
    }

    /// Whether a moment has come.
    pub fn is_past(&self, tick: Tick) -> bool {
        tick != Tick::NEVER && tick.0 <= self.now.get()
    }

    /// A new alarm that is not set.
    pub fn alarm(self: &Rc<Self>) -> Alarm {
        if self.is_empty() {
            self.catch_up();
            self.begun.notify_one();
        }
        let inner = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let inner = Rc::<Inner>::default();
            self.all.borrow_mut().push(inner.clone());
            inner
        });
        Alarm { inner, alarms: self.clone() }
    }

    /// Wakes whoever waits on any alarm, for a change that concerns everybody.
    pub fn wake_all(&self) {
        self.wake(|_| true);
    }

    fn wake(&self, concerned: impl Fn(&Inner) -> bool) {
        for inner in self.all.borrow().iter().filter(|inner| concerned(inner)) {
            if let Some(waker) = inner.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Moves the clock on by the time it stood still: whoever was set aside for half a minute is not so for longer because
    /// nobody asked. No alarm is set then, so that none can fire early.
    fn catch_up(&self) {
        if let Some(since) = self.still_since.take() {
            let missed = u32::try_from(since.elapsed().as_millis() / TICK.as_millis()).unwrap_or(u32::MAX);
            self.now.set(self.now.get().saturating_add(missed));
        }
    }

    fn is_empty(&self) -> bool {
        self.all.borrow().len() == self.free.borrow().len()
    }

    /// A tick has passed.
    pub fn step(&self) {
        self.now.set(self.now.get().saturating_add(1));
        self.wake(|inner| self.is_past(inner.due.get()));
    }

    /// Moves the clock on; sleeps while there is no alarm at all, and catches up with that when the next one is made.
    pub async fn run(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if self.is_empty() {
                self.still_since.set(Some(Instant::now()));
                self.begun.notified().await;
                ticks.reset();
            }
            ticks.tick().await;
            self.step();
        }
    }
}

impl Alarm {
    /// Sets the alarm; `NEVER` clears it.
    pub fn set(&self, due: Tick) {
        self.inner.due.set(due);
    }

    /// Whether its moment has come.
    pub fn is_due(&self) -> bool {
        self.alarms.is_past(self.inner.due.get())
    }

    /// The clock it belongs to.
    pub fn clock(&self) -> &Rc<Alarms> {
        &self.alarms
    }

    /// Has the task of `cx` woken when the alarm is due.
    pub fn register(&self, cx: &Context<'_>) {
        let mut waker = self.inner.waker.borrow_mut();
        match &*waker {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
    }

    /// Ready once the alarm is due.
    pub fn poll_due(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_due() {
            return Poll::Ready(());
        }
        self.register(cx);
        Poll::Pending
    }

    /// `future`, unless `due` comes first. The future is looked at once in any case.
    pub async fn limit<F: Future>(&self, due: Tick, future: F) -> Result<F::Output, TimeUp> {
        let mut future = pin!(future);
        self.set(due);
        let outcome = poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll_due(cx).map(|()| Err(TimeUp)),
        })
        .await;
        self.set(Tick::NEVER);
        outcome
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.inner.due.set(Tick::NEVER);
        // Taken out first: dropping a waker may drop a task that owns other alarms.
        let waker = self.inner.waker.borrow_mut().take();
        drop(waker);
        self.alarms.free.borrow_mut().push(self.inner.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_passes_while_nobody_asks() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let alarms = Alarms::new();
                tokio::task::spawn_local(alarms.clone().run());
                // A second goes by in between.
                for (slept, whole) in [(30, 30), (300, 331)] {
                    tokio::time::sleep(Duration::from_secs(slept)).await;
                    let alarm = alarms.alarm();
                    assert!((whole - 1..=whole).contains(&alarms.seconds()), "{} of {whole}", alarms.seconds());
                    let start = tokio::time::Instant::now();
                    let late = alarm.limit(alarms.at(Duration::from_secs(1)), std::future::pending::<()>()).await;
                    assert_eq!(late, Err(TimeUp));
                    assert!(start.elapsed() >= Duration::from_secs(1), "it fired early");
                    drop(alarm);
                }
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_ends_what_takes_too_long_and_not_before() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let alarms = Alarms::new();
                tokio::task::spawn_local(alarms.clone().run());
                let alarm = alarms.alarm();
                let start = tokio::time::Instant::now();
                let late = alarm.limit(alarms.at(Duration::from_secs(1)), std::future::pending::<()>()).await;
                assert_eq!(late, Err(TimeUp));
                let took = start.elapsed();
                assert!(took >= Duration::from_secs(1) && took <= Duration::from_millis(1_300), "{took:?}");
                assert_eq!(alarm.limit(alarms.at(Duration::from_secs(1)), async { 7 }).await, Ok(7));
            })
            .await;
    }

    #[test]
    fn alarms_are_used_again() {
        let alarms = Alarms::new();
        let first = alarms.alarm();
        drop(alarms.alarm());
        let third = alarms.alarm();
        assert_eq!(alarms.all.borrow().len(), 2);
        drop((first, third));
        assert!(alarms.is_empty());
    }

    #[test]
    fn never_is_later_than_everything() {
        assert_eq!(Tick::NEVER.or_sooner(Tick(5)), Tick(5));
        assert_eq!(Tick(4).or_sooner(Tick::NEVER), Tick(4));
        assert_eq!(Tick(4).or_sooner(Tick(3)), Tick(3));
        assert!(!Alarms::new().is_past(Tick::NEVER));
    }
}
