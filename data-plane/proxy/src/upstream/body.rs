//! The body of an answer, as it comes, driving its own connection. Never looks at what it carries.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::UpstreamError;
use super::echo::EchoBody;
use super::line::Line;
use super::pool::Pool;

/// An answer body. Read to its end, it gives its connection back; dropped before, it closes it.
pub enum ReplyBody {
    /// From a provider.
    Http(HttpBody),
    /// From the built-in provider.
    Echo(EchoBody),
}

impl ReplyBody {
    /// The next data; none at the end.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UpstreamError>>> {
        match self {
            ReplyBody::Http(body) => body.poll_data(cx),
            ReplyBody::Echo(body) => Poll::Ready(body.next().map(Ok)),
        }
    }

    /// The same, waited for.
    ///
    /// # Errors
    /// [`UpstreamError`] when the answer ends before it is whole.
    pub async fn data(&mut self) -> Option<Result<Bytes, UpstreamError>> {
        std::future::poll_fn(|cx| self.poll_data(cx)).await
    }
}

/// An answer that comes over a connection.
pub struct HttpBody {
    /// What came with the head.
    first: Bytes,
    /// Gone once the answer is over.
    line: Option<Box<Line>>,
    pool: Pool,
}

impl HttpBody {
    pub(super) fn new(first: Bytes, line: Box<Line>, pool: Pool) -> HttpBody {
        let mut body = HttpBody { first, line: Some(line), pool };
        body.finish_if_over();
        body
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UpstreamError>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.first))));
        }
        let Some(line) = &mut self.line else { return Poll::Ready(None) };
        let data = std::task::ready!(line.poll_data(cx));
        match &data {
            Some(Err(_)) => self.line = None,
            Some(Ok(_)) | None => self.finish_if_over(),
        }
        Poll::Ready(data)
    }

    fn finish_if_over(&mut self) {
        if let Some(line) = self.line.take_if(|line| line.is_over())
            && line.is_fit()
        {
            self.pool.give_back(line);
        }
    }
}

/// How much of an answer that nobody wants is read so that its connection can be kept: the end of a stream often lies
/// behind the last event already.
const REST_PIECES: usize = 8;
const REST_BYTES: usize = 16 * 1024;

impl Drop for HttpBody {
    fn drop(&mut self) {
        let mut bytes = 0;
        for _ in 0..REST_PIECES {
            if self.line.is_none() || bytes > REST_BYTES {
                break;
            }
            match self.poll_data(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Ok(data))) => bytes += data.len(),
                _ => break,
            }
        }
        // What is still here is closed with the line.
    }
}
