//! The worker threads: each has a runtime, connections and caches of its own, and shares nothing on the way of a request.
//! Never runs anything that talks to the controller.

use std::{
    io,
    rc::Rc,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use runtime::shutdown::Phase;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::mpsc,
};

use super::{
    listen::{Arriving, Hand},
    protocol::{Speech, serve},
    rehearsal::rehearse,
};
use crate::{
    Error,
    connection::{Connection, Load},
    gate::Gate,
    worker::Worker,
};

/// Connections that may wait for one worker.
const INBOX: usize = 4_096;
/// How often a worker looks after its caches.
const TIDY: Duration = Duration::from_secs(10);

/// The worker threads of one proxy.
pub(crate) struct Crew {
    threads: Vec<JoinHandle<()>>,
    hands: Vec<Hand>,
}

impl Crew {
    /// The workers as the acceptor knows them.
    pub fn hands(&self) -> Vec<Hand> {
        self.hands.clone()
    }

    /// Waits until every worker has ended; they do when the shutdown is over. Blocks.
    pub fn join(self) {
        drop(self.hands);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

/// Starts `count` workers, and returns when all of them are ready to take connections.
pub(crate) fn hire(count: usize, gate: &Arc<Gate>, tls: Option<&Arc<rustls::ServerConfig>>) -> Result<Crew, Error> {
    let mut crew = Crew { threads: Vec::with_capacity(count), hands: Vec::with_capacity(count) };
    let (ready, readiness) = std::sync::mpsc::channel();
    for number in 0..count {
        let load: Arc<Load> = Arc::default();
        let (inbox, connections) = mpsc::channel(INBOX);
        crew.hands.push(Hand { load: load.clone(), inbox });
        let post = Post { gate: gate.clone(), tls: tls.cloned(), load, connections, ready: ready.clone() };
        let name = format!("worker {number}");
        let thread = thread::Builder::new().name(name.clone()).spawn(move || work(post));
        crew.threads.push(thread.map_err(|source| Error::Thread { name, source })?);
    }
    drop(ready);
    for _ in 0..count {
        readiness.recv().map_err(|_| Error::Vanished)??;
    }
    Ok(crew)
}

/// What a worker is given.
struct Post {
    gate: Arc<Gate>,
    tls: Option<Arc<rustls::ServerConfig>>,
    load: Arc<Load>,
    connections: mpsc::Receiver<Arriving>,
    ready: std::sync::mpsc::Sender<Result<(), Error>>,
}

fn work(post: Post) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    match runtime {
        Ok(runtime) => runtime.block_on(serve_all(post)),
        Err(source) => drop(post.ready.send(Err(Error::Thread { name: "worker".to_owned(), source }))),
    }
}

async fn serve_all(post: Post) {
    let Post { gate, tls, load, mut connections, ready } = post;
    let worker = match Worker::new(gate, load) {
        Ok(worker) => worker,
        Err(error) => return drop(ready.send(Err(error.into()))),
    };
    let speech = Rc::new(Speech::new(&worker, tls));
    tokio::task::spawn_local(worker.alarms.clone().run());
    tokio::task::spawn_local(follow_phases(worker.clone()));
    tokio::task::spawn_local(prime(worker.clone(), speech.clone()));
    let _ = ready.send(Ok(()));
    drop(ready);
    let over = worker.gate.shutdown.clone();
    let over = over.reached(Phase::Over);
    tokio::pin!(over);
    let mut tidy = tokio::time::interval(TIDY);
    loop {
        tokio::select! {
            biased;
            () = &mut over => break,
            arriving = connections.recv() => match arriving {
                Some(arriving) => welcome(&worker, &speech, arriving),
                None => { over.as_mut().await; break }
            },
            _ = tidy.tick() => worker.tidy(),
        }
    }
    leave(&worker).await;
}

fn welcome(worker: &Rc<Worker>, speech: &Rc<Speech>, arriving: Arriving) {
    // Made first: it takes over the count of this connection.
    let connection = Connection::accepted(&worker.alarms, &worker.timeouts, worker.load.clone());
    let registered: io::Result<tokio::net::TcpStream> = tokio::net::TcpStream::from_std(arriving.stream);
    if let Ok(stream) = registered {
        tokio::task::spawn_local(serve(worker.clone(), speech.clone(), stream, connection, arriving.hold));
    }
}

/// Once the first snapshot is in: makes everything on offer ready, and walks the ways of a request once, so that the
/// first client does not pay for caches and code that nobody has touched yet.
async fn prime(worker: Rc<Worker>, speech: Rc<Speech>) {
    worker.gate.link.status.ready().await;
    rehearse(&worker, &speech).await;
    worker.gate.primed.send_modify(|primed| *primed += 1);
}

/// Tells the connections where the proxy is on its way down.
async fn follow_phases(worker: Rc<Worker>) {
    for phase in [Phase::LameDuck, Phase::Draining, Phase::Over] {
        worker.gate.shutdown.reached(phase).await;
        worker.phase.set(phase);
        worker.alarms.wake_all();
    }
}

/// Cuts what is left, and lets every request settle before the thread ends.
async fn leave(worker: &Worker) {
    worker.phase.set(Phase::Over);
    worker.alarms.wake_all();
    for _ in 0..100 {
        if worker.load.connections() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        worker.alarms.wake_all();
    }
}
