//! One HTTP/1 connection, driven by the request that uses it: no task of its own, so no second wake-up for each piece
//! of an answer. While it is polled, its own wake-ups are noted instead of scheduling the task again.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use http::Request;
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;

use super::UpstreamError;
use super::body::Segments;
use super::stream::Stream;

/// The largest head of an answer, and the largest read or unflushed write, in bytes.
const BUFFER: usize = 128 * 1024;
/// How often in one poll the connection may ask to be polled again.
const ROUNDS: usize = 4;

/// The waker that a connection sees: the same for its whole life, whoever drives it.
pub(super) struct Wakes {
    task: Mutex<Waker>,
    /// The driver is looking anyway.
    is_muted: AtomicBool,
    was_called: AtomicBool,
}

impl Wakes {
    fn new() -> Arc<Wakes> {
        Arc::new(Wakes {
            task: Mutex::new(Waker::noop().clone()),
            is_muted: AtomicBool::new(false),
            was_called: AtomicBool::new(false),
        })
    }

    /// For looking without waiting.
    pub(super) fn nobody() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn set_task(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.will_wake(waker) {
            task.clone_from(waker);
        }
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_muted.load(Ordering::Acquire) {
            self.was_called.store(true, Ordering::Release);
        } else {
            self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
        }
    }
}

/// Counts a connection for as long as it lives.
pub(super) struct Count(Arc<AtomicUsize>);

impl Count {
    /// One more, unless there are `limit` already.
    pub(super) fn take(count: &Arc<AtomicUsize>, limit: usize) -> Option<Count> {
        let counted = Count(count.clone());
        // Counted first: two workers at once may both be refused at the edge, never both let in.
        (count.fetch_add(1, Ordering::AcqRel) < limit).then_some(counted)
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One connection.
pub(super) struct Line {
    sender: SendRequest<Segments>,
    connection: Pin<Box<Connection<TokioIo<Stream>, Segments>>>,
    wakes: Arc<Wakes>,
    waker: Waker,
    /// The connection has ended and must not be polled again.
    is_over: bool,
    /// It has carried a request before.
    pub(super) is_used: bool,
    /// How long it has been idle, as far as the pool has looked.
    pub(super) idle_for: Duration,
    _count: Count,
}

/// What became of sending a request.
pub(super) struct NotSent {
    pub(super) error: UpstreamError,
    /// There when not a byte of it went out.
    pub(super) request: Option<Request<Segments>>,
}

impl Line {
    /// Speaks HTTP/1 over a connected stream.
    pub(super) async fn open(stream: Stream, count: Count) -> Result<Line, UpstreamError> {
        // The parser's own limit of 100 headers stays: with a limit of ours it would clear a table for each answer.
        let handshake = Builder::new().max_buf_size(BUFFER).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|_| UpstreamError::Protocol)?;
        let wakes = Wakes::new();
        let waker = Waker::from(wakes.clone());
        let connection = Box::pin(connection);
        Ok(Line {
            sender,
            connection,
            wakes,
            waker,
            is_over: false,
            is_used: false,
            idle_for: Duration::ZERO,
            _count: count,
        })
    }

    /// Polls something of this connection together with the connection. `poll` gets a function that drives it and says
    /// whether it has ended, and the context to poll with.
    pub(super) fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut dyn FnMut(&mut Context<'_>) -> bool, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.wakes.set_task(cx.waker());
        let (connection, is_over) = (&mut self.connection, &mut self.is_over);
        let mut drive = |cx: &mut Context<'_>| {
            if !*is_over && connection.as_mut().poll(cx).is_ready() {
                *is_over = true;
            }
            *is_over
        };
        let mut own = Context::from_waker(&self.waker);
        for _ in 0..ROUNDS {
            self.wakes.was_called.store(false, Ordering::Release);
            self.wakes.is_muted.store(true, Ordering::Release);
            let polled = poll(&mut drive, &mut own);
            self.wakes.is_muted.store(false, Ordering::Release);
            // A wake-up while it was muted came from what was just polled, and the next poll drives it anyway.
            if polled.is_ready() {
                return polled;
            }
            if !self.wakes.was_called.swap(false, Ordering::AcqRel) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(&mut self, request: Request<Segments>) -> Result<Response<Incoming>, NotSent> {
        let is_used = std::mem::replace(&mut self.is_used, true);
        let mut answer = std::pin::pin!(self.sender.try_send_request(request));
        let answered = std::future::poll_fn(|cx| {
            self.poll_with(cx, |drive, cx| {
                let is_over = drive(cx);
                match answer.as_mut().poll(cx) {
                    Poll::Ready(answered) => Poll::Ready(Some(answered)),
                    Poll::Pending if is_over => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            })
        });
        let lost = UpstreamError::Reset { sent: true, reused: is_used };
        let Some(answered) = answered.await else { return Err(NotSent { error: lost, request: None }) };
        answered.map_err(|mut error| {
            let request = error.take_message();
            let cause = error.error();
            let error = match &request {
                Some(_) => UpstreamError::Reset { sent: false, reused: is_used },
                None if cause.is_parse() => UpstreamError::Protocol,
                None => lost,
            };
            NotSent { error, request }
        })
    }

    /// Looks whether the other side has gone, and lets the connection come to rest after an answer.
    pub(super) fn is_free(&mut self) -> bool {
        let _ = self.poll_with(&mut Wakes::nobody(), |drive, cx| {
            drive(cx);
            Poll::<()>::Pending
        });
        !self.is_over && self.sender.is_ready()
    }
}

/// An answer that ended before it was whole.
pub(super) fn cut(error: &hyper::Error) -> UpstreamError {
    if error.is_parse() { UpstreamError::Protocol } else { UpstreamError::Cut }
}
