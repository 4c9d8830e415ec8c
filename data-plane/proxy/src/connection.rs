//! The state of one client's connection: what it is waiting for, until when, and why it is being cut. Filled by the
//! socket and the server, read by whoever settles a request whose client is gone.
//! Never touches the socket. Next rooms: `server`, `pipeline`.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Context,
};

use crate::{
    alarm::{Alarm, Alarms, Tick},
    config::TimeoutSettings,
    framing::HeadScan,
};

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has come since it was accepted, or since the last request.
    Waiting,
    /// A request head has begun.
    Head,
    /// Requests are being served.
    Busy,
}

/// Why we end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The client sent nothing, or too slowly.
    Silent,
    /// The client took nothing of an answer that was there.
    SlowReader,
    /// The proxy's shutdown deadline has passed.
    ShutDown,
}

/// How busy a worker is, as the acceptor sees it.
#[derive(Debug, Default)]
pub(crate) struct Load {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Load {
    /// Counts a connection that was given to the worker.
    pub fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that is gone.
    pub fn disconnected(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// For comparing workers: a request that is being served, most of all a stream, weighs more than a quiet connection.
    pub fn weight(&self) -> usize {
        self.connections() + 4 * self.requests()
    }
}

/// One client's connection.
pub(crate) struct Connection {
    alarm: Alarm,
    timeouts: Rc<TimeoutSettings>,
    load: Arc<Load>,
    phase: Cell<Phase>,
    phase_due: Cell<Tick>,
    write_due: Cell<Tick>,
    open: Cell<u32>,
    has_begun: Cell<bool>,
    cut: Cell<Option<Cut>>,
    http2: Cell<bool>,
    head: Cell<HeadScan>,
}

impl Connection {
    /// A connection that was just accepted, and counted in `load`.
    pub fn accepted(alarms: &Rc<Alarms>, timeouts: &Rc<TimeoutSettings>, load: Arc<Load>) -> Rc<Connection> {
        let connection = Connection {
            alarm: alarms.alarm(),
            timeouts: timeouts.clone(),
            load,
            phase: Cell::new(Phase::Waiting),
            phase_due: Cell::new(alarms.at(timeouts.first_byte.get())),
            write_due: Cell::new(Tick::NEVER),
            open: Cell::new(0),
            has_begun: Cell::new(false),
            cut: Cell::new(None),
            http2: Cell::new(false),
            head: Cell::new(HeadScan::default()),
        };
        connection.arm();
        Rc::new(connection)
    }

    fn arm(&self) {
        self.alarm.set(self.phase_due.get().or_sooner(self.write_due.get()));
    }

    /// Gives the connection until `after` from now, in place of what it had.
    pub fn expect_within(&self, after: std::time::Duration) {
        self.phase_due.set(self.alarm.clock().at(after));
        self.arm();
    }

    fn enter(&self, phase: Phase, due: Tick) {
        self.phase.set(phase);
        self.phase_due.set(due);
        self.arm();
    }

    /// The client speaks HTTP/2: its heads come in frames, and many requests share the connection.
    pub fn speaks_http2(&self) {
        self.http2.set(true);
    }

    /// Bytes came.
    pub fn bytes_came(&self, bytes: &[u8]) {
        if self.http2.get() {
            return;
        }
        match self.phase.get() {
            Phase::Waiting => {
                self.enter(Phase::Head, self.alarm.clock().at(self.timeouts.head.get()));
                self.head.set(HeadScan::begun().fed(bytes));
            }
            Phase::Head => self.head.set(self.head.get().fed(bytes)),
            Phase::Busy => {}
        }
    }

    /// What was seen of the head of the request that begins now.
    pub fn take_head(&self) -> HeadScan {
        self.head.take()
    }

    /// Until when bytes that are handed over now have to be taken.
    pub fn next_write_due(&self) -> Tick {
        self.alarm.clock().at(self.timeouts.write_stall.get())
    }

    /// Our bytes could not be written.
    pub fn write_blocked(&self) {
        if self.write_due.get() == Tick::NEVER {
            self.write_due.set(self.next_write_due());
            self.arm();
        }
    }

    /// Some could.
    pub fn wrote(&self) {
        if self.write_due.get() != Tick::NEVER {
            self.write_due.set(Tick::NEVER);
            self.arm();
        }
    }

    /// A request is being served for as long as what is returned lives.
    pub fn begin(self: &Rc<Self>) -> OpenRequest {
        self.open.set(self.open.get() + 1);
        self.has_begun.set(true);
        self.load.requests.fetch_add(1, Ordering::Relaxed);
        self.enter(Phase::Busy, Tick::NEVER);
        OpenRequest(self.clone())
    }

    /// Whether any request has come on it.
    pub fn has_begun(&self) -> bool {
        self.has_begun.get()
    }

    /// To be called whenever the connection's task runs: judges the deadlines and asks to be woken for the next.
    pub fn check(&self, cx: &Context<'_>) -> Option<Cut> {
        if self.cut.get().is_none() && self.alarm.is_due() {
            let slow = self.alarm.clock().is_past(self.write_due.get());
            self.cut.set(Some(if slow { Cut::SlowReader } else { Cut::Silent }));
        }
        self.alarm.register(cx);
        self.cut.get()
    }

    /// Ends the connection; the first reason stays.
    pub fn cut(&self, why: Cut) {
        if self.cut.get().is_none() {
            self.cut.set(Some(why));
        }
    }

    /// Why it is being ended by us, if it is.
    pub fn why_cut(&self) -> Option<Cut> {
        self.cut.get()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.load.disconnected();
    }
}

/// A request that is being served.
pub(crate) struct OpenRequest(Rc<Connection>);

impl OpenRequest {
    pub fn connection(&self) -> &Rc<Connection> {
        &self.0
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let connection = &self.0;
        connection.load.requests.fetch_sub(1, Ordering::Relaxed);
        connection.open.set(connection.open.get().saturating_sub(1));
        if connection.open.get() == 0 {
            connection.enter(Phase::Waiting, connection.alarm.clock().at(connection.timeouts.idle.get()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn new() -> (Rc<Alarms>, Rc<Connection>) {
        let alarms = Alarms::new();
        let load = Arc::new(Load::default());
        load.connected();
        let connection = Connection::accepted(&alarms, &Rc::new(TimeoutSettings::default()), load);
        (alarms, connection)
    }

    #[test]
    fn a_request_makes_a_connection_heavier_and_its_end_lighter() {
        let (_alarms, connection) = new();
        let load = connection.load.clone();
        assert_eq!(load.weight(), 1);
        let request = connection.begin();
        assert_eq!(load.weight(), 5);
        assert!(connection.has_begun());
        drop(request);
        assert_eq!(load.weight(), 1);
        drop(connection);
        assert_eq!(load.weight(), 0);
    }

    #[test]
    fn a_head_is_looked_at_only_where_one_begins() {
        let (_alarms, connection) = new();
        connection.bytes_came(b"POST / HTTP/1.1\r\ncontent-le");
        connection.bytes_came(b"ngth: 1\r\n\r\n");
        assert!(connection.take_head().has_length());
        let request = connection.begin();
        connection.bytes_came(b"a body, or a request that did not wait");
        assert!(!connection.take_head().was_seen());
        drop(request);
        connection.bytes_came(b"GET / HTTP/1.1\r\n\r\n");
        assert!(connection.take_head().was_seen());
    }

    #[test]
    fn the_first_reason_for_a_cut_stays() {
        let (_alarms, connection) = new();
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(connection.check(&cx), None);
        connection.cut(Cut::ShutDown);
        connection.cut(Cut::Silent);
        assert_eq!(connection.check(&cx), Some(Cut::ShutDown));
    }
}
