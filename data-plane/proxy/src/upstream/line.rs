//! One HTTP/1 connection to a provider, driven by the request that uses it: no task of its own, so no second wake-up for
//! each piece of an answer, and no buffer of its own, so that one that waits costs next to nothing.
//! Never reads what passes; that is for the codec. Next room: `reading`, for what comes back.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use codec::Segments;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::UpstreamError;
use super::reading::{Head, Reading};
use super::stream::Stream;
use crate::gather;

/// What is read at once at most, in bytes.
const ROOM: usize = 64 * 1024;
/// Pieces of a request that are written at once at most.
const SLICES: usize = 16;
/// Headers that say where a request goes and where it ends.
const OWN: [HeaderName; 3] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING];

thread_local! {
    /// Where the connections of a worker read to, each before it hands on what it found.
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; ROOM].into());
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
    stream: Stream,
    sending: Sending,
    reading: Reading,
    /// What broke behind data that was handed on.
    broken: Option<UpstreamError>,
    /// Something came that belongs to no answer.
    has_extra: bool,
    /// It has carried a request before.
    is_used: bool,
    /// How long it has been idle, as far as the pool has looked.
    pub(super) idle_for: Duration,
    _count: Count,
}

/// A request on its way out.
#[derive(Default)]
struct Sending {
    /// The head, and the body too where it is short: one plain write is cheaper than one of several pieces.
    head: Vec<u8>,
    /// The body, for as long as it may be needed again.
    body: Segments,
    is_joined: bool,
    /// Bytes of both that are written, and all of them.
    written: usize,
    length: usize,
    is_flushed: bool,
    /// The other side takes no more of it.
    is_refused: bool,
}

impl Sending {
    /// What is still to be written of a request in pieces.
    fn rest(&self) -> SmallVec<[IoSlice<'_>; SLICES]> {
        let mut skipped = self.written;
        let pieces = std::iter::once(&self.head[..]).chain(self.body.parts().iter().map(|part| &part[..]));
        let rest = pieces.filter_map(|piece| {
            let skips = skipped.min(piece.len());
            skipped -= skips;
            piece.get(skips..).filter(|piece| !piece.is_empty()).map(IoSlice::new)
        });
        rest.take(SLICES).collect()
    }
}

impl Line {
    /// A connection over a stream that was just connected.
    pub(super) fn new(stream: Stream, count: Count) -> Line {
        Line {
            stream,
            sending: Sending::default(),
            reading: Reading::default(),
            broken: None,
            has_extra: false,
            is_used: false,
            idle_for: Duration::ZERO,
            _count: count,
        }
    }

    /// Takes a request that is to be sent next. Host and length are set here, whatever the headers say of them: a second
    /// word on where a request ends is how one is smuggled.
    pub(super) fn load(
        &mut self,
        (method, path): (&Method, &str),
        host: &HeaderValue,
        headers: &HeaderMap,
        body: Segments,
    ) {
        let mut head = std::mem::take(&mut self.sending.head);
        head.clear();
        for part in [method.as_str(), " ", path, " HTTP/1.1\r\nhost: "] {
            head.extend_from_slice(part.as_bytes());
        }
        head.extend_from_slice(host.as_bytes());
        for (name, value) in headers.iter().filter(|(name, _)| !OWN.contains(name)) {
            for part in [b"\r\n", name.as_str().as_bytes(), b": ", value.as_bytes()] {
                head.extend_from_slice(part);
            }
        }
        let length = body.len();
        head.extend_from_slice(b"\r\ncontent-length: ");
        head.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        let length = head.len() + length;
        let is_joined = length <= gather::MOST;
        if is_joined {
            body.parts().iter().for_each(|part| head.extend_from_slice(part));
        }
        self.sending = Sending { head, body, is_joined, length, ..Sending::default() };
        self.reading = Reading::default();
    }

    /// Takes back the body of a request of which not a byte was written.
    pub(super) fn unload(&mut self) -> Option<Segments> {
        (self.sending.written == 0).then(|| std::mem::take(&mut self.sending.body))
    }

    /// Sends what was loaded and waits for the head of its answer.
    pub(super) async fn send(&mut self) -> Result<Opening, UpstreamError> {
        let reused = std::mem::replace(&mut self.is_used, true);
        let answer = std::future::poll_fn(|cx| self.poll_answer(cx)).await;
        answer.map_err(|lost| match lost {
            Lost::Malformed => UpstreamError::Protocol,
            Lost::Closed => UpstreamError::Reset { sent: self.sending.written > 0, reused },
        })
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Opening, Lost>> {
        loop {
            self.drive(cx);
            if self.sending.is_refused && self.sending.written == 0 {
                return Poll::Ready(Err(Lost::Closed));
            }
            let head = ready!(self.poll_read(cx, |line, came| match came {
                [] => Err(Lost::Closed),
                came => {
                    let Some((head, used)) = line.reading.head(came).map_err(|_| Lost::Malformed)? else {
                        return Ok(None);
                    };
                    Ok(Some(Opening { head, first: line.take(came.get(used..).unwrap_or_default()) }))
                }
            }));
            if let Some(opening) = head.unwrap_or(Err(Lost::Closed))? {
                return Poll::Ready(Ok(opening));
            }
        }
    }

    /// The next data of the answer; none when it is over.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UpstreamError>>> {
        loop {
            if let Some(error) = self.broken.take() {
                return Poll::Ready(Some(Err(error)));
            }
            if self.reading.is_over() {
                return Poll::Ready(None);
            }
            self.drive(cx);
            let data = ready!(self.poll_read(cx, |line, came| match came {
                [] if line.reading.close() => Bytes::new(),
                [] => {
                    line.broken = Some(UpstreamError::Cut);
                    Bytes::new()
                }
                came => line.take(came),
            }));
            match data {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(Some(Ok(data))),
                Err(_) => self.broken = Some(UpstreamError::Cut),
            }
        }
    }

    /// Takes bytes of the answer's body.
    fn take(&mut self, came: &[u8]) -> Bytes {
        if came.is_empty() {
            return Bytes::new();
        }
        let mut data = Vec::with_capacity(came.len());
        match self.reading.body(came, &mut data) {
            Ok(used) => self.has_extra |= used < came.len(),
            Err(_) => self.broken = Some(UpstreamError::Protocol),
        }
        data.into()
    }

    /// Writes what can be written of the request. One that is refused may all the same have been answered, with the reason.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.sending.is_flushed && !self.sending.is_refused {
            let sent = self.poll_send(cx);
            self.sending.is_refused = matches!(sent, Poll::Ready(Err(_)));
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sending.written < self.sending.length {
            let stream = Pin::new(&mut self.stream);
            let written = ready!(match self.sending.head.get(self.sending.written..) {
                Some(rest) if self.sending.is_joined => stream.poll_write(cx, rest),
                _ => stream.poll_write_vectored(cx, &self.sending.rest()),
            })?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sending.written += written;
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.sending.is_flushed = true;
        self.sending.body = Segments::default();
        Poll::Ready(Ok(()))
    }

    /// Reads once, and gives what came to `then`; nothing came when the other side has closed.
    fn poll_read<T>(&mut self, cx: &mut Context<'_>, then: impl FnOnce(&mut Self, &[u8]) -> T) -> Poll<io::Result<T>> {
        READ.with_borrow_mut(|room| {
            let mut room = ReadBuf::new(room);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
            Poll::Ready(Ok(then(self, room.filled())))
        })
    }

    /// Whether all of the answer was read.
    pub(super) fn is_over(&self) -> bool {
        self.reading.is_over() && self.broken.is_none()
    }

    /// Whether it can carry another request after this answer.
    pub(super) fn is_fit(&self) -> bool {
        self.is_over() && self.reading.is_kept() && self.sending.is_flushed && !self.has_extra
    }

    /// Whether it has carried a request before.
    pub(super) fn is_used(&self) -> bool {
        self.is_used
    }

    /// Looks whether the other side is still there and has said nothing since.
    pub(super) fn is_free(&mut self) -> bool {
        self.poll_read(&mut Context::from_waker(Waker::noop()), |_, _| ()).is_pending()
    }
}

/// The head of an answer, with the data that came with it.
pub(super) struct Opening {
    pub(super) head: Head,
    pub(super) first: Bytes,
}

/// Why there is no answer.
enum Lost {
    Malformed,
    Closed,
}
