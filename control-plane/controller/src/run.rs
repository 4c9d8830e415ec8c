//! Starts and ends a control plane.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::audit::Actor;
use domain::ids::OrgId;
use domain::keys::{Digest, KeyKind, Policy, generate};
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
use crate::{catalog, keys, server, sync, tasks};

/// The shortest root admin token that is accepted.
const SHORTEST_TOKEN: usize = 32;
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

impl Running {
    /// Applies a file's wishes, as the operator's command would.
    pub async fn apply(&self, request: ApplyRequest) -> Result<()> {
        catalog::apply(&self.app, Actor::Root, installation_scope(), request).await?;
        Ok(())
    }

    /// Makes what a first look needs, where it is missing: the built-in provider, an organisation with credits, a key.
    pub async fn demo(&self, folder: &Path) -> Result<Demo> {
        let mut request = catalog::seed::echo()?;
        request.orgs.push(ApplyOrg {
            slug: DEMO.to_owned(),
            name: "Demo".to_owned(),
            credits: DEMO_CREDITS.to_owned(),
        });
        self.apply(request).await?;
        let scope = installation_scope();
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

/// Starts a control plane. `root_token` is what `TOLLGATE_ADMIN_TOKEN` says; it counts at the first start only.
pub async fn start(config: &Config, root_token: Option<String>) -> Result<Running> {
    make_folder(&config.data_dir)?;
    let lock = FolderLock::take(&config.data_dir)?;
    let admin_token = root_token_of(&config.data_dir, root_token)?;
    let (admin_listener, admin_address) = server::listen("the admin port", config.admin_listen).await?;
    let (sync_listener, sync_address) = listen_for_proxies(config.sync_listen).await?;
    let certificates = load_certificates(config)?;
    let store = open_store(config).await?;
    let registry = Arc::new(Registry::new());
    let app = build_app(config, store, registry.clone(), &admin_token)?;
    tasks::at_start(&app).await?;
    if config.seed {
        catalog::seed::merge(&app).await?;
    }
    let tasks = Tasks::default();
    let private = private_port(config, &tasks, registry).await?;
    let running = Running {
        admin_address,
        sync_address,
        metrics_address: private.address(),
        admin_is_tls: certificates.is_some(),
        admin_token,
        app: app.clone(),
        tasks: tasks.clone(),
        _lock: lock,
    };
    sync::start(&app, &tasks).await?;
    tasks::start(&app, &tasks, config.verify_every.get());
    serve(&app, &tasks, admin_listener, sync_listener, certificates, private);
    Ok(running)
}

fn serve(
    app: &Arc<App>,
    tasks: &Tasks,
    admin: TcpListener,
    sync: TcpListener,
    certificates: Option<Arc<CertificateFiles>>,
    private: PrivatePort,
) {
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

/// The root token: the file's when there is one, else the given one, else a new one. The file is for the operator.
fn root_token_of(folder: &Path, given: Option<String>) -> Result<runtime::Secret> {
    let path = folder.join("admin-token");
    if !path.exists() {
        let text = match given.filter(|text| !text.is_empty()) {
            Some(text) if text.len() < SHORTEST_TOKEN => {
                return Err(Error::Start(format!(
                    "TOLLGATE_ADMIN_TOKEN must have at least {SHORTEST_TOKEN} characters"
                )));
            }
            Some(text) => text,
            None => generate(KeyKind::Admin, rand::random),
        };
        create_once(&path, format!("{text}\n").as_bytes(), 0o600)?;
    }
    let text =
        std::fs::read_to_string(&path).map_err(|source| Error::Start(format!("read {}: {source}", path.display())))?;
    Ok(runtime::Secret::from(text.trim()))
}
