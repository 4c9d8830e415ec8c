//! One client's connection from its first byte to its last: TLS where there is a certificate, HTTP/1.1 or HTTP/2, every
//! wait with an end, and a way out when the proxy leaves.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use http::Request;
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use runtime::shutdown::{Hold, Phase};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use super::{Answering, handle, socket::Socket};
use crate::{
    alarm::Alarms,
    connection::{Connection, Cut},
    stall::Watched,
    worker::Worker,
};

/// How often an HTTP/2 client that has requests open is asked whether it is still there, and how long it may take.
const PING_EVERY: std::time::Duration = std::time::Duration::from_secs(30);
const PING_PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Room above the limit of heads in which the parser can tell a long target (414) from long headers (431).
const LONG_TARGET: usize = 48 * 1024;

/// How long a connection that was queued when the drain began may take to ask for something.
const QUEUED_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// Starts the tasks of streams on the worker's own thread.
#[derive(Clone)]
pub(super) struct Local {
    alarms: Rc<Alarms>,
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Local {
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(Watched::new(stream, &self.alarms));
    }
}

/// What a worker needs to speak with clients.
pub(super) struct Speech {
    http1: http1::Builder,
    http2: http2::Builder<Local>,
    tls: Option<TlsAcceptor>,
}

impl Speech {
    pub fn new(worker: &Worker, tls: Option<Arc<rustls::ServerConfig>>) -> Speech {
        let limits = &worker.gate.settings.limits;
        let mut http1 = http1::Builder::new();
        // The connection's own alarm ends slow heads; it costs nothing while nobody is slow.
        http1.header_read_timeout(None).max_header_size(limits.head.as_usize().saturating_add(LONG_TARGET));
        let mut http2 = http2::Builder::new(Local { alarms: worker.alarms.clone() });
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.http2_streams)
            .max_header_list_size(u32::try_from(limits.head.get()).unwrap_or(u32::MAX))
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_PATIENCE);
        Speech { http1, http2, tls: tls.map(TlsAcceptor::from) }
    }
}

/// Serves one connection until it ends or is cut.
pub(super) async fn serve(
    worker: Rc<Worker>,
    speech: Rc<Speech>,
    stream: TcpStream,
    connection: Rc<Connection>,
    _hold: Hold,
) {
    let mut talk = pin!(talk(&worker, &speech, stream, &connection));
    poll_fn(|cx| {
        if worker.phase.get() == Phase::Over {
            connection.cut(Cut::ShutDown);
        }
        match connection.check(cx) {
            Some(_) => Poll::Ready(()),
            None => talk.as_mut().poll(cx),
        }
    })
    .await;
}

/// Boxed is what few connections are, so that the many carry no room for it.
async fn talk(worker: &Rc<Worker>, speech: &Speech, stream: TcpStream, connection: &Rc<Connection>) {
    if let Some(acceptor) = &speech.tls {
        return Box::pin(talk_secretly(worker, speech, acceptor, stream, connection)).await;
    }
    let mut socket = Socket::new(stream, connection);
    match socket.begins_with_preface().await {
        Ok(true) => Box::pin(http2(worker, speech, socket, connection)).await,
        Ok(false) => http1(worker, speech, socket, connection).await,
        Err(_) => {}
    }
}

async fn talk_secretly(
    worker: &Rc<Worker>,
    speech: &Speech,
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    connection: &Rc<Connection>,
) {
    connection.expect_within(worker.timeouts.handshake.get());
    let Ok(stream) = acceptor.accept(stream).await else { return };
    connection.expect_within(worker.timeouts.first_byte.get());
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let socket = Socket::new(stream, connection);
    match is_http2 {
        true => Box::pin(http2(worker, speech, socket, connection)).await,
        false => Box::pin(http1(worker, speech, socket, connection)).await,
    }
}

/// Answers requests of one connection.
fn answering(worker: &Rc<Worker>, connection: &Rc<Connection>) -> impl Fn(Request<Incoming>) -> Answering + use<> {
    let (worker, connection) = (worker.clone(), connection.clone());
    move |request| {
        let head = connection.take_head();
        handle(&worker, connection.begin(), head, request)
    }
}

pub(super) async fn http1<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: &Rc<Worker>,
    speech: &Speech,
    socket: Socket<S>,
    connection: &Rc<Connection>,
) {
    let service = service_fn(answering(worker, connection));
    let served = pin!(speech.http1.serve_connection(TokioIo::new(socket), service));
    until_drained(worker, connection, served, http1::Connection::graceful_shutdown).await;
}

async fn http2<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: &Rc<Worker>,
    speech: &Speech,
    socket: Socket<S>,
    connection: &Rc<Connection>,
) {
    connection.speaks_http2();
    let service = service_fn(answering(worker, connection));
    let served = pin!(speech.http2.serve_connection(TokioIo::new(socket), service));
    until_drained(worker, connection, served, http2::Connection::graceful_shutdown).await;
}

/// Drives a connection to its end. Once the proxy drains, no further request is taken on it; one that was still queued
/// when that began gets its first request answered.
async fn until_drained<C: Future>(
    worker: &Worker,
    connection: &Connection,
    mut served: Pin<&mut C>,
    graceful: fn(Pin<&mut C>),
) {
    let (mut told, mut hurried) = (false, false);
    let drive = |cx: &mut Context<'_>| {
        if !told && worker.phase.get() >= Phase::Draining {
            if connection.has_begun() {
                told = true;
                graceful(served.as_mut());
            } else if !hurried {
                hurried = true;
                connection.expect_within(QUEUED_PATIENCE);
            }
        }
        // How a client's connection broke is nobody's business: its requests are settled by being dropped.
        served.as_mut().poll(cx).map(drop)
    };
    poll_fn(drive).await;
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_without_a_request_is_small() {
        #[expect(clippy::type_complexity, reason = "the only way to name the size of a future that has no name")]
        fn size<F>(_: fn(Rc<Worker>, Rc<Speech>, TcpStream, Rc<Connection>, Hold) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(serve) <= 1_536, "{} bytes", size(serve));
    }
}
