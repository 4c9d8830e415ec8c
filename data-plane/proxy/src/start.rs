//! Puts the rooms of one proxy together, and takes them apart in order: readiness off, lame duck, nothing new, streams to
//! their deadline, workers gone, leases returned and records reported. Everything but requests runs on the control runtime.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use domain::ids::ProxyId;
use runtime::{
    clock::{Clock, SystemClock},
    config::Span,
    files,
    health::{PrivatePort, Readiness},
    metrics::{Kind, Registry},
    shutdown::{Phase, Shutdown},
    tasks::Tasks,
    tls::{self, CertificateFiles},
};
use tokio::sync::{oneshot, watch};

use crate::{
    Error, Identity, Settings,
    config::{DrainSettings, TlsSettings},
    gate::Gate,
    server::{Crew, Listener, accept, hire},
    spool::{self, Spool},
    sync::{self, Link},
    telemetry::names,
    upstream,
};

/// How long background tasks may take to end.
const TASKS_PATIENCE: Duration = Duration::from_secs(2);
/// The file in the data folder that keeps the proxy's name.
const NAME_FILE: &str = "proxy-id";

/// How a proxy came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to leave.
    Left,
    /// The controller lends this life of the proxy nothing any more. A new one can begin: its process should end with a
    /// failure, so that it is started anew.
    Fenced,
}

/// A proxy that serves.
pub struct Running {
    address: SocketAddr,
    metrics_address: SocketAddr,
    is_tls: bool,
    identity: Identity,
    workers: usize,
    primed: watch::Receiver<usize>,
    leaving: Shutdown,
    finished: oneshot::Receiver<Ended>,
}

impl Running {
    /// Where inference is served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The private port.
    #[must_use]
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics_address
    }

    /// `https` where there is a certificate.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns once the first whole snapshot is in and every worker has made it ready.
    pub async fn ready(&self) {
        let mut primed = self.primed.clone();
        // Ended without having been ready: whoever waits learns that from `finished`.
        if primed.wait_for(|primed| *primed >= self.workers).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns once the proxy begins to leave, on demand or by itself.
    pub async fn leaving(&self) {
        self.leaving.signalled().await;
    }

    /// Returns once the proxy has left; it begins to when its shutdown is signalled, or when it is fenced.
    pub async fn finished(self) -> Ended {
        // An error means that it is gone already.
        self.finished.await.unwrap_or(Ended::Left)
    }
}

/// Starts a proxy. It leaves when `shutdown` is signalled, and walks that handle through its phases.
///
/// # Errors
/// When a setting, a port, a file or a folder cannot be used; nothing is left behind then but folders.
pub async fn start(settings: Settings, shutdown: Shutdown) -> Result<Running, Error> {
    let (started, starting) = oneshot::channel();
    let name = "control".to_owned();
    thread::Builder::new()
        .name(name.clone())
        .spawn(move || control(settings, shutdown, started))
        .map_err(|source| Error::Thread { name, source })?;
    starting.await.map_err(|_| Error::Vanished)?
}

/// The main thread of a proxy: everything that is not a request runs on the runtime it makes.
fn control(settings: Settings, shutdown: Shutdown, started: oneshot::Sender<Result<Running, Error>>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("control").enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(source) => return drop(started.send(Err(Error::Thread { name: "control".to_owned(), source }))),
    };
    runtime.block_on(async {
        match open(settings, shutdown).await {
            Ok((house, running, over)) => {
                // Whoever started it may be gone; the proxy then leaves with the process.
                let _ = started.send(Ok(running));
                let _ = over.send(house.run().await);
            }
            Err(error) => drop(started.send(Err(error))),
        }
    });
    runtime.shutdown_timeout(TASKS_PATIENCE);
}

/// Everything of a proxy that has to be taken apart.
struct House {
    gate: Arc<Gate>,
    /// Kept for the readiness check, which looks at the gate through it and must not keep the gate alive itself.
    _inside: Arc<OnceLock<Arc<Gate>>>,
    crew: Crew,
    acceptor: thread::JoinHandle<()>,
    tasks: Tasks,
}

async fn open(settings: Settings, shutdown: Shutdown) -> Result<(House, Running, oneshot::Sender<Ended>), Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let registry = Arc::new(Registry::new());
    registry.add_process(clock.now_us())?;
    let tasks = Tasks::default();
    // Ports first: one that is in use must be known before anything is written.
    let certificate = certificate(&settings.tls)?;
    let listener = Listener::bind(settings.listen)?;
    let inside: Arc<OnceLock<Arc<Gate>>> = Arc::default();
    let readiness = readiness(&inside, &shutdown);
    let private = PrivatePort::bind(settings.metrics_listen, readiness.clone(), registry.clone()).await?;
    let metrics_address = private.address();
    let over = shutdown.clone();
    tasks.spawn("private port", async move {
        if let Err(error) = private.serve(async move { over.reached(Phase::Over).await }).await {
            tracing::error!(%error, "the private port is gone");
        }
    });
    if let Some((files, _)) = &certificate {
        tasks.spawn("certificate", files.clone().watch(settings.tls.reload.get(), tasks.stopping()));
    }

    let (spool, replay) = open_spool(&settings, &clock)?;
    let identity = Identity {
        proxy: name(&settings)?,
        epoch: spool.epoch(),
        region: settings.region.clone(),
        build: env!("CARGO_PKG_VERSION"),
    };
    let (link, driver) = sync::prepare(&settings, &identity, clock.clone(), &registry)?;
    let workers = worker_count(settings.workers);
    let (primed, priming) = watch::channel(0);
    let gate = Arc::new(Gate {
        upstream: upstream::Shared::new(&settings.upstream)?,
        settings: Arc::new(settings),
        identity: identity.clone(),
        clock,
        link,
        spool: spool.clone(),
        metrics: registry,
        readiness,
        shutdown,
        primed,
    });
    let _ = inside.set(gate.clone());
    let (address, is_tls) = (listener.address(), certificate.is_some());
    let (crew, acceptor) = open_doors(&gate, listener, workers, certificate.map(|(_, config)| config))?;
    driver.start(spool, replay, &tasks);
    tasks.spawn("tokens", gate.upstream.clone().keep_tokens(gate.clock.clone(), tasks.stopping()));
    let (status, leaving) = (gate.link.status.clone(), gate.shutdown.clone());
    let stopping = tasks.stopping();
    tasks.spawn("fence", async move {
        tokio::select! {
            () = status.fenced() => leaving.trigger("the controller lends this process nothing any more"),
            () = stopping.cancelled() => {}
        }
    });
    tracing::info!(%address, proxy = %identity.proxy, epoch = %identity.epoch, workers, "serving inference on {address}");
    let (over, finished) = oneshot::channel();
    let running = Running {
        address,
        metrics_address,
        is_tls,
        identity,
        workers,
        primed: priming,
        leaving: gate.shutdown.clone(),
        finished,
    };
    Ok((House { gate, _inside: inside, crew, acceptor, tasks }, running, over))
}

/// The workers, and the acceptor that gives them connections.
fn open_doors(
    gate: &Arc<Gate>,
    listener: Listener,
    workers: usize,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Result<(Crew, thread::JoinHandle<()>), Error> {
    let crew = hire(workers, gate, tls.as_ref())?;
    show_load(gate, &crew)?;
    let (hands, most, shutdown) = (crew.hands(), gate.settings.limits.connections, gate.shutdown.clone());
    let mut primed = gate.primed.subscribe();
    let name = "acceptor".to_owned();
    let acceptor = thread::Builder::new().name(name.clone()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let ready = async move { drop(primed.wait_for(|primed| *primed >= workers).await) };
        let accepted = runtime.and_then(|runtime| runtime.block_on(accept(listener, hands, most, shutdown, ready)));
        if let Err(error) = accepted {
            tracing::error!(%error, "the inference port is gone");
        }
    });
    Ok((crew, acceptor.map_err(|source| Error::Thread { name, source })?))
}

fn show_load(gate: &Gate, crew: &Crew) -> Result<(), Error> {
    let loads: Vec<_> = crew.hands().into_iter().map(|hand| hand.load).collect();
    let also = loads.clone();
    let level = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    gate.metrics.collect(names::OPEN_CONNECTIONS, "Client connections.", Kind::Gauge, [], move |samples| {
        samples.level([], level(loads.iter().map(|load| load.connections()).sum()));
    })?;
    gate.metrics.collect(names::OPEN_REQUESTS, "Requests that are being served.", Kind::Gauge, [], move |samples| {
        samples.level([], level(also.iter().map(|load| load.requests()).sum()));
    })?;
    Ok(())
}

impl House {
    /// Serves until the shutdown is signalled, and then takes everything apart.
    async fn run(self) -> Ended {
        let House { gate, _inside, crew, acceptor, tasks } = self;
        gate.shutdown.signalled().await;
        // One that leaves is told the same at the very end, and that is no failure.
        let is_fenced = gate.link.status.is_fenced();
        let DrainSettings { lame_duck, deadline, report } = gate.settings.drain.clone();
        gate.shutdown.wind_down(lame_duck.get(), deadline.get()).await;
        let joined = tokio::task::spawn_blocking(move || {
            crew.join();
            acceptor.join().is_ok()
        });
        if !joined.await.unwrap_or(false) {
            tracing::error!("the acceptor panicked");
        }
        leave(&gate.link, report).await;
        tasks.join(TASKS_PATIENCE).await;
        tracing::info!(proxy = %gate.identity.proxy, "this proxy has left");
        if is_fenced { Ended::Fenced } else { Ended::Left }
    }
}

async fn leave(link: &Link, patience: Span) {
    link.drain(patience.get()).await;
}

fn open_spool(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<(Spool, spool::Replay), Error> {
    let dir = settings.data_dir.join("spool");
    let config = spool::Config {
        dir: dir.clone(),
        cap: settings.spool.cap.get(),
        segment: settings.spool.segment.get(),
        flush: settings.spool.flush.get(),
    };
    let disk = Arc::new(spool::RealDisk::new(&dir)?);
    Ok(Spool::open(config, disk, clock.clone())?)
}

/// The files, and what is made of them.
type Certificate = (Arc<CertificateFiles>, Arc<rustls::ServerConfig>);

/// The certificate, where one is set.
fn certificate(settings: &TlsSettings) -> Result<Option<Certificate>, Error> {
    let is_set = |path: &Path| !path.as_os_str().is_empty();
    match (is_set(&settings.cert), is_set(&settings.key)) {
        (false, false) => Ok(None),
        (true, true) => {
            let files = CertificateFiles::load(&settings.cert, &settings.key)?;
            let config = tls::server_config(files.clone(), &["h2", "http/1.1"])?;
            Ok(Some((files, config)))
        }
        _ => Err(Error::HalfCertificate),
    }
}

/// Ready: the first snapshot is in, the workers have made it ready, and the proxy is not about to leave.
fn readiness(inside: &Arc<OnceLock<Arc<Gate>>>, shutdown: &Shutdown) -> Readiness {
    let (inside, shutdown) = (Arc::downgrade(inside), shutdown.clone());
    Readiness::new(move || {
        let mut reasons = Vec::new();
        if shutdown.is_signalled() {
            reasons.push("this proxy is leaving".to_owned());
        }
        let inside = inside.upgrade();
        match inside.as_ref().and_then(|inside| inside.get()) {
            None => reasons.push("this proxy is starting".to_owned()),
            Some(gate) => reasons.extend(missing(gate)),
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    })
}

fn missing(gate: &Gate) -> Vec<String> {
    let mut reasons = Vec::new();
    if !gate.link.status.is_ready() {
        reasons.push("no whole snapshot has come from the controller yet".to_owned());
    } else if *gate.primed.borrow() < worker_count(gate.settings.workers) {
        reasons.push("the workers are making the first snapshot ready".to_owned());
    }
    if gate.link.status.is_fenced() {
        reasons
            .push("the controller lends this process nothing any more: it ends, and has to be started anew".to_owned());
    }
    if !gate.spool.vitals().admitting {
        reasons.push("the spool takes no more records".to_owned());
    }
    reasons
}

fn worker_count(asked: usize) -> usize {
    match asked {
        0 => thread::available_parallelism().map_or(1, usize::from),
        asked => asked,
    }
}

/// The proxy's name: from the settings, or made once and kept in the data folder.
fn name(settings: &Settings) -> Result<ProxyId, Error> {
    let refused = |from: String| move |source| Error::ProxyId { from, source };
    if !settings.proxy_id.is_empty() {
        return settings.proxy_id.parse().map_err(refused("setting proxy_id".to_owned()));
    }
    let path = settings.data_dir.join(NAME_FILE);
    let fresh = format!("proxy-{:016x}", rand::random::<u64>());
    files::create_once(&path, fresh.as_bytes(), 0o644)?;
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    kept.trim().parse().map_err(refused(path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_keeps_the_name_it_made() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: folder.path().to_owned(), ..Settings::default() };
        let made = name(&settings).unwrap();
        assert_eq!(name(&settings).unwrap(), made);
        let named = Settings { proxy_id: "edge-1".to_owned(), ..settings };
        assert_eq!(name(&named).unwrap().as_str(), "edge-1");
        let bad = Settings { proxy_id: "not a name".to_owned(), ..Settings::default() };
        assert!(matches!(name(&bad), Err(Error::ProxyId { .. })));
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let half = TlsSettings { cert: "cert.pem".into(), ..TlsSettings::default() };
        assert!(matches!(certificate(&half), Err(Error::HalfCertificate)));
        assert!(certificate(&TlsSettings::default()).unwrap().is_none());
    }
}
