//! Starts and ends a control plane.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::audit::Actor;
use domain::ids::OrgId;
use domain::keys::{Digest, Policy};
use domain::time::Timestamp;
use proto::admin::{ApplyOrg, ApplyRequest};
use runtime::clock::{Clock, SystemClock};
use runtime::files::{FolderLock, create_once};
use runtime::health::{PrivatePort, Readiness};
use runtime::metrics::Registry;
use runtime::seal::{IfMissing, KeySource, MasterKey};
use runtime::tasks::Tasks;
use runtime::tls::CertificateFiles;
use store::Store;
use tokio::net::TcpListener;

use crate::access::installation_scope;
use crate::app::{App, Parts};
use crate::config::{Config, MasterKeySource};
use crate::error::{Error, Result};
use crate::root_token::{self, RootToken};
use crate::{catalog, health, keys, server, sync, tasks};

/// The slug of the organisation that a first start makes, and what it is granted once.
const DEMO: &str = "demo";
const DEMO_CREDITS: &str = "10.00";
/// How often certificate files are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(5);
/// How long background work may take to end.
const LAST_DEADLINE: Duration = Duration::from_secs(5);

/// A control plane that serves.
pub struct Running {
    pub admin_address: SocketAddr,
    pub sync_address: SocketAddr,
    pub metrics_address: SocketAddr,
    pub admin_is_tls: bool,
    /// The root admin token, as it lies in the data folder.
    pub admin_token: runtime::Secret,
    app: Arc<App>,
    tasks: Tasks,
    _lock: FolderLock,
}

/// An organisation with credits and a key, for a first look.
pub struct Demo {
    pub org: OrgId,
    /// The key's text. This one key alone is kept in the data folder, to be shown at every start.
    pub key: runtime::Secret,
}

/// What a start brings with it beside the settings.
#[derive(Default)]
pub struct First {
    /// What `TOLLGATE_ADMIN_TOKEN` says; it counts at the first start only.
    pub root_token: Option<OsString>,
    /// Whether the built-in provider and its model are wanted.
    pub echo: bool,
    /// Apply files, all in one edit, before anything is served.
    pub wish: ApplyRequest,
}

impl First {
    /// What the environment of this process says, and nothing else.
    pub fn of_environment() -> First {
        First { root_token: std::env::var_os("TOLLGATE_ADMIN_TOKEN"), ..First::default() }
    }

    /// Refuses what cannot work, as far as that is known before anything is made.
    pub fn check(&self, config: &Config) -> Result<()> {
        root_token::check(&config.data_dir, self.root_token.as_deref())?;
        let seeds = catalog::seed::Seeds { catalogue: config.seed, echo: self.echo };
        catalog::check_early(&self.wish, config.has_no_database_yet().then_some(seeds))
    }
}

impl Running {
    /// Makes what a first look needs beside the built-in provider, where it is missing: an organisation with credits
    /// and a key.
    pub async fn demo(&self, folder: &Path) -> Result<Demo> {
        let org = ApplyOrg { slug: DEMO.to_owned(), name: "Demo".to_owned(), credits: DEMO_CREDITS.to_owned() };
        let scope = installation_scope();
        let request = ApplyRequest { orgs: vec![org], ..ApplyRequest::default() };
        catalog::apply(&self.app, Actor::Root, scope, request).await?;
        let org = store::orgs::find_slug(&self.app.store, scope, DEMO).await?;
        let org = org.ok_or_else(|| Error::Start("the demo organisation vanished while it was made".to_owned()))?.id;
        let path = folder.join("demo-key");
        if !path.exists() {
            let made = keys::create(&self.app, Actor::Root, scope, org, "demo", Policy::default(), None).await?;
            create_once(&path, format!("{}\n", made.text).as_bytes(), 0o600)?;
        }
        let text = std::fs::read_to_string(&path)
            .map_err(|source| Error::Start(format!("read {}: {source}", path.display())))?;
        Ok(Demo { org, key: runtime::Secret::from(text.trim()) })
    }

    /// Ends background work and closes the database.
    pub async fn stop(self) {
        self.tasks.stopping().cancel();
        let cut = self.tasks.join(LAST_DEADLINE).await;
        if !cut.is_empty() {
            tracing::warn!(tasks = ?cut, "background work was cut at the end");
        }
        self.app.store.close().await;
    }
}

/// Brings the schema up to date: a job of its own.
pub async fn migrate(config: &Config) -> Result<()> {
    make_folder(&config.data_dir)?;
    Ok(store::migrate(&config.database_url()).await?)
}

/// The ports of this plane, open and not yet served.
struct Ports {
    admin: TcpListener,
    admin_address: SocketAddr,
    sync: TcpListener,
    sync_address: SocketAddr,
    private: PrivatePort,
}

impl Ports {
    async fn open(config: &Config, tasks: &Tasks, registry: Arc<Registry>) -> Result<Ports> {
        let (admin, admin_address) = server::listen("the admin port", config.admin_listen).await?;
        let (sync, sync_address) = listen_for_proxies(config.sync_listen).await?;
        let private = private_port(config, tasks, registry).await?;
        Ok(Ports { admin, admin_address, sync, sync_address, private })
    }
}

/// Starts a control plane.
pub async fn start(config: &Config, first: First) -> Result<Running> {
    first.check(config)?;
    let (tasks, registry) = (Tasks::default(), Arc::new(Registry::new()));
    // Ports first: one that is in use must be known before anything is written.
    let ports = Ports::open(config, &tasks, registry.clone()).await?;
    let certificates = load_certificates(config)?;
    make_folder(&config.data_dir)?;
    let lock = FolderLock::take(&config.data_dir)?;
    let token = RootToken::find(&config.data_dir, first.root_token.as_deref())?;
    let store = open_store(config).await?;
    let app = build_app(config, store, registry, token.text())?;
    if let Err(error) = fill(&app, config, first).await {
        app.store.close().await;
        return Err(error);
    }
    // Last, so that a first start that was refused leaves no token behind that nobody was told of.
    let admin_token = token.keep()?;
    let running = Running {
        admin_address: ports.admin_address,
        sync_address: ports.sync_address,
        metrics_address: ports.private.address(),
        admin_is_tls: certificates.is_some(),
        admin_token,
        app: app.clone(),
        tasks: tasks.clone(),
        _lock: lock,
    };
    sync::start(&app, &tasks).await?;
    health::start(&app, &tasks);
    tasks::start(&app, &tasks, config.verify_every.get());
    serve(&app, &tasks, ports, certificates);
    Ok(running)
}

/// Makes the database what it has to be before anything is served: time that was lost, the seeds, the operator's files.
async fn fill(app: &App, config: &Config, first: First) -> Result<()> {
    tasks::at_start(app).await?;
    if config.seed {
        catalog::seed::merge(app).await?;
    }
    if first.echo {
        catalog::seed::merge_echo(app).await?;
    }
    catalog::apply(app, Actor::Root, installation_scope(), first.wish).await?;
    Ok(())
}

fn serve(app: &Arc<App>, tasks: &Tasks, ports: Ports, certificates: Option<Arc<CertificateFiles>>) {
    let Ports { admin, sync, private, .. } = ports;
    if let Some(certificates) = certificates.clone() {
        let stopping = tasks.stopping();
        tasks.spawn("certificates", async move { certificates.watch(CERTIFICATES_EVERY, stopping).await });
    }
    let (stopping, served) = (tasks.stopping(), app.clone());
    tasks.spawn("admin-port", async move { log_end(server::serve_admin(served, admin, certificates, stopping).await) });
    let (stopping, served) = (tasks.stopping(), app.clone());
    tasks.spawn("sync-port", async move { log_end(server::serve_sync(served, sync, stopping).await) });
    let stopping = tasks.stopping();
    tasks.spawn("private-port", async move {
        log_end(private.serve(stopping.cancelled_owned()).await.map_err(Error::from))
    });
}

fn log_end(ended: Result<()>) {
    if let Err(error) = ended {
        tracing::error!(error = &error as &dyn std::error::Error, "a port ended");
    }
}

async fn private_port(config: &Config, tasks: &Tasks, registry: Arc<Registry>) -> Result<PrivatePort> {
    registry.add_process(SystemClock.now_us())?;
    let watched = tasks.clone();
    let readiness = Readiness::new(move || {
        let dead = watched.panicked();
        if dead.is_empty() {
            Ok(())
        } else {
            Err(dead.iter().map(|name| format!("the task {name} panicked")).collect())
        }
    });
    Ok(PrivatePort::bind(config.metrics_listen, readiness, registry).await?)
}

fn build_app(config: &Config, store: Store, registry: Arc<Registry>, token: &runtime::Secret) -> Result<Arc<App>> {
    let root = Digest::of(token.expose_text().unwrap_or_default());
    let parts = Parts {
        store,
        seal: master_key(&config.master_key, &config.data_dir)?,
        clock: Arc::new(SystemClock),
        registry,
        root,
        read_your_writes: config.read_your_writes.get(),
    };
    Ok(Arc::new(App::new(parts)?))
}

fn master_key(source: &MasterKeySource, folder: &Path) -> Result<MasterKey> {
    let source = if !source.env.is_empty() {
        KeySource::Env(source.env.clone())
    } else if source.file.as_os_str().is_empty() {
        KeySource::File(folder.join("master-key"))
    } else {
        KeySource::File(source.file.clone())
    };
    Ok(source.load(IfMissing::Make)?)
}

async fn open_store(config: &Config) -> Result<Store> {
    let url = config.database_url();
    if config.migrate_at_start {
        store::migrate(&url).await?;
    }
    let store = Store::open(&url).await?;
    store.require_schema().await?;
    let candidate = format!("{:032x}", rand::random::<u128>());
    store.installation(&candidate, Timestamp::from_us(SystemClock.now_us())).await?;
    Ok(store)
}

fn load_certificates(config: &Config) -> Result<Option<Arc<CertificateFiles>>> {
    if !config.admin_tls.is_set() {
        return Ok(None);
    }
    Ok(Some(CertificateFiles::load(&config.admin_tls.certificate, &config.admin_tls.key)?))
}

async fn listen_for_proxies(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    if !address.ip().is_loopback() {
        let what =
            format!("sync_listen {address}: the sync port listens on loopback only until the planes have mutual TLS");
        return Err(Error::Start(what));
    }
    server::listen("proxies", address).await
}

fn make_folder(folder: &Path) -> Result<()> {
    // Only its owner may look: the database and the tokens are in it.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| Error::Start(format!("make the data folder {}: {source}", folder.display())))
}
