//! Providers as they are on good and on bad days, in this process: a scripted OpenAI-compatible server that writes its
//! own truth log of what arrived, what it produced and what was relayed. Hand-written HTTP/1.1, so that it can break
//! every rule; uses nothing of the product.
//! `strict` beside it is the provider on good days only, which checks every request.
//! A request chooses its script by a field `"fake":"<tag>"`, which a byte-stable gateway brings along, or else by the
//! provider's name of its model, which every gateway does.

mod act;
pub mod fault;
mod script;
pub mod strict;
mod truth;
mod wire;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use tokio::sync::Notify;

pub use script::{Answer, Ending, Gate, Pace, Reply, Script, Usage};
pub use truth::{End, Produced, Served};

/// A running fake. Every path segment before `/v1` is a provider of its own.
pub struct Fake {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    black_hole: BlackHole,
    refused: SocketAddr,
}

#[derive(Default)]
pub(crate) struct Shared {
    /// By tag, or by the provider's name of a model.
    scripts: Mutex<HashMap<String, Script>>,
    /// What plays wait for, by the provider's name of a model.
    gates: Mutex<HashMap<String, Gate>>,
    /// How often each script was asked at each provider.
    turns: Mutex<HashMap<(String, String), usize>>,
    served: Mutex<Vec<Arc<Served>>>,
    sequence: AtomicU64,
    /// What the strict provider saw.
    journal: Arc<strict::Journal>,
    stop: Notify,
}

/// A port that takes connections into a full queue: to a client it is a machine that does not answer.
struct BlackHole {
    address: SocketAddr,
    _listener: socket2::Socket,
    _queued: Vec<socket2::Socket>,
}

impl BlackHole {
    fn dig() -> BlackHole {
        let new = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        let listener = new();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("bind");
        listener.listen(0).expect("listen");
        let address = listener.local_addr().expect("an address").as_socket().expect("an IP address");
        // One fits into the queue, the next ones wait for ever; non-blocking, so that this does not.
        let queued = (0..4).map(|_| new()).inspect(|socket| {
            socket.set_nonblocking(true).expect("non-blocking");
            let _ = socket.connect(&address.into());
        });
        let queued = queued.collect();
        BlackHole { address, _listener: listener, _queued: queued }
    }
}

impl Fake {
    /// Starts on a free port, on a thread of its own.
    pub fn start() -> Fake {
        Fake::start_at(0)
    }

    /// The same on this port.
    pub fn start_at(port: u16) -> Fake {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a free port");
        listener.set_nonblocking(true).expect("non-blocking");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let inner = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("fake-upstream".to_owned())
            .spawn(move || run(listener, inner))
            .expect("a thread");
        let refused =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|gone| gone.local_addr()).expect("a free port");
        Fake { address, shared, thread: Some(thread), black_hole: BlackHole::dig(), refused }
    }

    /// The base URL of a provider.
    pub fn url(&self, provider: &str) -> String {
        format!("http://{}/{provider}/v1", self.address)
    }

    /// The base URL of a provider whose port nobody listens on.
    pub fn refused_url(&self) -> String {
        format!("http://{}/v1", self.refused)
    }

    /// The base URL of a provider whose machine does not answer.
    pub fn black_hole_url(&self) -> String {
        format!("http://{}/v1", self.black_hole.address)
    }

    /// The provider on the same port that checks what it is asked and answers in all four families.
    pub fn strict(&self) -> strict::Strict {
        strict::Strict::new(self.address, Arc::clone(&self.shared.journal))
    }

    /// Registers a script; the tag goes into the request's field `fake`.
    pub fn script(&self, script: impl Into<Script>) -> String {
        let tag = format!("script-{}", self.shared.sequence.fetch_add(1, Ordering::Relaxed));
        lock(&self.shared.scripts).insert(tag.clone(), script.into());
        tag
    }

    /// Registers a script for whoever asks for the model that providers know by this name.
    pub fn plays(&self, model: &str, script: impl Into<Script>) {
        lock(&self.shared.scripts).insert(model.to_owned(), script.into());
    }

    /// What was asked of models with this name.
    pub fn asked_for(&self, model: &str) -> Vec<Arc<Served>> {
        self.served().into_iter().filter(|served| served.model == model).collect()
    }

    /// The client has seen what was sent for this model: plays that wait for that go on.
    pub fn was_seen(&self, model: &str) {
        self.shared.gate(model).let_through(1);
    }

    /// Everything that was asked so far, in order of arrival.
    pub fn served(&self) -> Vec<Arc<Served>> {
        lock(&self.shared.served).clone()
    }

    /// What was asked with this tag.
    pub fn tagged(&self, tag: &str) -> Vec<Arc<Served>> {
        self.served().into_iter().filter(|served| served.tag == tag).collect()
    }

    /// The request that was answered under this id.
    pub fn by_id(&self, id: &str) -> Arc<Served> {
        let found = lock(&self.shared.served).iter().rev().find(|served| served.id == id).cloned();
        found.unwrap_or_else(|| panic!("nothing was answered under the id {id}"))
    }

    /// Forgets the log, to keep long runs small.
    pub fn forget(&self) {
        lock(&self.shared.served).clear();
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn reply(&self, served: &Served) -> Reply {
        let scripts = lock(&self.scripts);
        let name = if scripts.contains_key(&served.tag) { &served.tag } else { &served.model };
        let Some(script) = scripts.get(name) else { return Reply::from(Answer::default()) };
        let mut turns = lock(&self.turns);
        let turn = turns.entry((name.clone(), served.provider.clone())).or_default();
        *turn += 1;
        script.reply(&served.provider, *turn - 1)
    }

    fn gate(&self, model: &str) -> Gate {
        lock(&self.gates).entry(model.to_owned()).or_default().clone()
    }

    fn begin(&self, asked: wire::Asked) -> Arc<Served> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let served = Arc::new(Served::new(sequence, asked));
        lock(&self.served).push(Arc::clone(&served));
        served
    }
}

fn run(listener: TcpListener, shared: Arc<Shared>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        loop {
            tokio::select! {
                () = shared.stop.notified() => return,
                accepted = listener.accept() => {
                    if let Ok((socket, _)) = accepted {
                        let _ = socket.set_nodelay(true);
                        tokio::spawn(act::connection(socket, Arc::clone(&shared)));
                    }
                }
            }
        }
    });
}

/// A panic in one test must not become a second one here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
