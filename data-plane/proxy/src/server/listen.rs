//! The inference port: one acceptor for all workers, since the kernel's own spreading over several listeners is uneven and
//! loses queued connections when one closes. Each connection goes to the worker with the least to do.
//! Never reads from a connection.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use runtime::shutdown::{Hold, Phase, Shutdown};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc;

use crate::{Error, connection::Load};

/// Connections that may wait to be accepted; the kernel may allow fewer.
const BACKLOG: i32 = 4_096;
/// How long the acceptor rests when it can take no more.
const REST: Duration = Duration::from_millis(20);

/// How long clients are kept waiting while the proxy starts.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// The queue is empty when nothing came out of it for this long; and this is the longest that it is emptied.
const QUEUE_QUIET: Duration = Duration::from_millis(20);
const QUEUE_MOST: Duration = Duration::from_secs(1);

/// The open port.
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Opens the port; port 0 takes a free one.
    pub fn bind(address: SocketAddr) -> Result<Listener, Error> {
        let failed = |source| Error::Listen { address, source };
        let socket = open(address).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Listener { socket, address })
    }

    /// Where it listens, with the port that was really taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// One worker, as the acceptor knows it.
#[derive(Clone)]
pub(crate) struct Hand {
    pub load: Arc<Load>,
    pub inbox: mpsc::Sender<Arriving>,
}

/// A connection on its way to a worker. The drain waits for it from here on.
pub(crate) struct Arriving {
    pub stream: TcpStream,
    pub hold: Hold,
}

/// Accepts until the proxy drains; what is queued at that moment is still taken. Clients that come before `ready` wait
/// in the queue, but not for ever: a proxy that cannot get ready says so itself.
pub(crate) async fn accept(
    listener: Listener,
    hands: Vec<Hand>,
    most: usize,
    shutdown: Shutdown,
    ready: impl Future<Output = ()>,
) -> io::Result<()> {
    // The drain is not over before the queue is empty.
    let _hold = shutdown.hold();
    tokio::select! {
        _ = tokio::time::timeout(START_PATIENCE, ready) => {}
        () = shutdown.signalled() => {}
    }
    let socket = tokio::net::TcpListener::from_std(listener.socket)?;
    let draining = shutdown.reached(Phase::Draining);
    tokio::pin!(draining);
    loop {
        let taken = tokio::select! {
            biased;
            () = &mut draining => break,
            taken = socket.accept() => taken,
        };
        if !take(taken, &hands, &shutdown) || is_full(&hands, most) {
            tokio::time::sleep(REST).await;
        }
    }
    let end = tokio::time::Instant::now() + QUEUE_MOST;
    while let Ok(taken) = tokio::time::timeout(QUEUE_QUIET, socket.accept()).await {
        if !take(taken, &hands, &shutdown) || tokio::time::Instant::now() >= end {
            break;
        }
    }
    Ok(())
}

fn is_full(hands: &[Hand], most: usize) -> bool {
    hands.iter().map(|hand| hand.load.connections()).sum::<usize>() >= most
}

/// Hands an accepted connection on. False when there are none to be had for the moment.
fn take(taken: io::Result<(tokio::net::TcpStream, SocketAddr)>, hands: &[Hand], shutdown: &Shutdown) -> bool {
    let stream = match taken {
        Ok((stream, _)) => stream,
        // The client gave up while it was queued.
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
            return true;
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept connections");
            return false;
        }
    };
    if let Ok(stream) = stream.set_nodelay(true).and_then(|()| stream.into_std()) {
        hand_on(Arriving { stream, hold: shutdown.hold() }, hands);
    }
    true
}

/// Gives a connection to the worker with the least to do; one whose inbox is full is passed over.
fn hand_on(mut arriving: Arriving, hands: &[Hand]) {
    let mut order: Vec<&Hand> = hands.iter().collect();
    order.sort_by_key(|hand| hand.load.weight());
    for hand in order {
        hand.load.connected();
        match hand.inbox.try_send(arriving) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back)) => {
                hand.load.disconnected();
                arriving = back;
            }
        }
    }
    tracing::warn!("every worker is full: a connection was dropped");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hand(room: usize) -> (Hand, mpsc::Receiver<Arriving>) {
        let (inbox, receiver) = mpsc::channel(room);
        (Hand { load: Arc::default(), inbox }, receiver)
    }

    fn connected() -> (Arriving, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Arriving { stream, hold: Shutdown::new().hold() }, listener)
    }

    #[test]
    fn connections_go_to_the_worker_with_the_least_to_do() {
        let ((one, mut to_one), (other, mut to_other)) = (hand(8), hand(8));
        one.load.connected();
        let hands = [one, other];
        let mut keep = Vec::new();
        for _ in 0..3 {
            let (stream, listener) = connected();
            hand_on(stream, &hands);
            keep.push(listener);
        }
        let (mut at_one, mut at_other) = (0, 0);
        while to_one.try_recv().is_ok() {
            at_one += 1;
        }
        while to_other.try_recv().is_ok() {
            at_other += 1;
        }
        assert_eq!((at_one, at_other), (1, 2));
        assert_eq!(hands[0].load.connections(), hands[1].load.connections());
    }

    #[test]
    fn a_full_worker_is_passed_over() {
        let ((full, _to_full), (other, mut to_other)) = (hand(1), hand(8));
        let hands = [full, other];
        for _ in 0..4 {
            hands[1].load.connected();
        }
        let mut keep = Vec::new();
        for _ in 0..3 {
            let (stream, listener) = connected();
            hand_on(stream, &hands);
            keep.push(listener);
        }
        assert_eq!(hands[0].load.connections(), 1);
        assert!(to_other.try_recv().is_ok() && to_other.try_recv().is_ok());
    }

    #[tokio::test]
    async fn a_draining_port_still_takes_what_is_queued() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address();
        let queued: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(address).unwrap()).collect();
        let (hand, mut inbox) = hand(64);
        let shutdown = Shutdown::new();
        shutdown.wind_down(Duration::ZERO, Duration::ZERO).await;
        accept(listener, vec![hand], 1_000, shutdown, std::future::ready(())).await.unwrap();
        let mut taken = 0;
        while inbox.try_recv().is_ok() {
            taken += 1;
        }
        assert_eq!(taken, queued.len());
        assert!(TcpStream::connect(address).is_err(), "the port is closed");
    }
}
