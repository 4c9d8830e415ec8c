//! How long one stream of an HTTP/2 connection may take nothing. The connection itself lives on, so its own deadlines say
//! nothing about a stream whose client leaves the window shut; and the parser, which asks the body for one piece ahead at
//! most, asks for nothing while it waits, so the body cannot see it either. Therefore the task of the stream is watched:
//! what it is woken for, it ends by. While there is no further piece, a shut window cannot be told from one that is open:
//! then the limits on the provider's silence end the stream. HTTP/1 has no use for this: there a stream is the connection.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use crate::alarm::{Alarm, Alarms, Tick};

thread_local! {
    /// The stream whose task is running.
    static RUNNING: RefCell<Option<Rc<Alarm>>> = const { RefCell::new(None) };
}

/// What a body knows of its stream's task.
pub(crate) struct Stall(Rc<Alarm>);

impl Stall {
    /// The stream whose task is running; none on HTTP/1.
    pub fn of_this_task() -> Option<Stall> {
        RUNNING.with_borrow(|running| running.clone().map(Stall))
    }

    /// Something was handed over: it must be taken until `due`.
    pub fn expect_until(&self, due: Tick) {
        self.0.set(due);
    }

    /// It was taken, or nothing is owed.
    pub fn is_over(&self) {
        self.0.set(Tick::NEVER);
    }
}

/// The task of one stream. Ends, and with it the stream, when what was handed over is not taken.
pub(crate) struct Watched<F> {
    task: Pin<Box<F>>,
    alarm: Rc<Alarm>,
}

impl<F> Watched<F> {
    pub fn new(task: F, alarms: &Rc<Alarms>) -> Watched<F> {
        Watched { task: Box::pin(task), alarm: Rc::new(alarms.alarm()) }
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.alarm.is_due() {
            return Poll::Ready(());
        }
        let before = RUNNING.replace(Some(self.alarm.clone()));
        let polled = self.task.as_mut().poll(cx);
        RUNNING.set(before);
        if polled.is_pending() {
            self.alarm.register(cx);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_ends_when_what_it_handed_over_is_not_taken() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let alarms = Alarms::new();
                tokio::task::spawn_local(alarms.clone().run());
                let start = tokio::time::Instant::now();
                let due = alarms.at(Duration::from_secs(1));
                let shut = async {
                    Stall::of_this_task().expect("a stream").expect_until(due);
                    std::future::pending::<()>().await;
                };
                Watched::new(shut, &alarms).await;
                assert!(start.elapsed() >= Duration::from_secs(1));
                let taken = async {
                    let stall = Stall::of_this_task().expect("a stream");
                    stall.expect_until(alarms.at(Duration::from_secs(1)));
                    stall.is_over();
                    tokio::time::sleep(Duration::from_secs(5)).await;
                };
                Watched::new(taken, &alarms).await;
                assert!(start.elapsed() >= Duration::from_secs(6));
                assert!(Stall::of_this_task().is_none());
            })
            .await;
    }
}
