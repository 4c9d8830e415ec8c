//! A client's socket under the HTTP parser: tells the connection what comes and goes, so that every wait has an end.
//! Never changes a byte.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{connection::Connection, gather};

/// Longest beginning that is read to tell the protocols apart: the preface of HTTP/2.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A socket, with what was read ahead of it.
pub(super) struct Socket<S> {
    inner: S,
    ahead: [u8; PREFACE.len()],
    ahead_from: usize,
    ahead_to: usize,
    connection: Rc<Connection>,
}

impl<S> Socket<S> {
    pub fn new(inner: S, connection: &Rc<Connection>) -> Socket<S> {
        Socket { inner, ahead: [0; PREFACE.len()], ahead_from: 0, ahead_to: 0, connection: connection.clone() }
    }
}

impl<S: AsyncRead + Unpin> Socket<S> {
    /// Whether the client begins with the preface of HTTP/2. What was read for that comes again.
    pub async fn begins_with_preface(&mut self) -> io::Result<bool> {
        loop {
            let read = self.ahead.get(..self.ahead_to).unwrap_or_default();
            if !PREFACE.starts_with(read) {
                return Ok(false);
            }
            if read.len() == PREFACE.len() {
                return Ok(true);
            }
            let room = self.ahead.get_mut(self.ahead_to..).unwrap_or_default();
            let n = tokio::io::AsyncReadExt::read(&mut self.inner, room).await?;
            if n == 0 {
                return Ok(false);
            }
            self.ahead_to += n;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let ahead = this.ahead.get(this.ahead_from..this.ahead_to).unwrap_or_default();
        let n = ahead.len().min(buf.remaining());
        buf.put_slice(ahead.get(..n).unwrap_or_default());
        this.ahead_from += n;
        // What was read ahead is given together with what follows: the parser would make its buffer larger for a second
        // read, and the connection would carry that for its whole life.
        match Pin::new(&mut this.inner).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {}
            _ if n > 0 => {}
            waiting_or_broken => return waiting_or_broken,
        }
        let came = buf.filled().get(before..).unwrap_or_default();
        if !came.is_empty() {
            this.connection.bytes_came(came);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> Socket<S> {
    fn noted(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => self.connection.write_blocked(),
            Poll::Ready(_) => self.connection.wrote(),
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = gather::poll_write(Pin::new(&mut self.inner), cx, bufs);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::{alarm::Alarms, config::TimeoutSettings, connection::Load};

    fn connection() -> Rc<Connection> {
        let load = Arc::new(Load::default());
        load.connected();
        Connection::accepted(&Alarms::new(), &Rc::new(TimeoutSettings::default()), load)
    }

    #[tokio::test]
    async fn the_protocol_is_told_by_the_first_bytes_and_none_is_lost() {
        for (sent, is_http2) in [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrest"[..], true),
            (b"PUT /x HTTP/1.1\r\n\r\n", false),
            (b"PRI * HTTP/2.0\r\n\r\nXX", false),
            (b"PRI", false),
            (b"", false),
        ] {
            let (mut client, server) = tokio::io::duplex(1024);
            client.write_all(sent).await.unwrap();
            drop(client);
            let mut socket = Socket::new(server, &connection());
            assert_eq!(socket.begins_with_preface().await.unwrap(), is_http2, "{sent:?}");
            let mut seen = Vec::new();
            socket.read_to_end(&mut seen).await.unwrap();
            assert_eq!(seen, sent);
        }
    }
}
