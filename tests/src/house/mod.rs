//! A whole installation for one test, or for many: as `tollgate up`, or with each plane as a process of its own that can
//! be killed and started again on the same data. Talks to the product only through its ports and its command line.

mod catalogue;
mod database;
mod ports;
mod process;
pub mod program;
mod strict;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

pub use catalogue::{Catalogue, DEAR, ODD, lab};
pub use database::Database;
pub use ports::take as take_port;
pub use process::Process;
pub use strict::{Rates, rates, strict};

use crate::actors::{Operator, Org};
use crate::clients::{Ask, Client, Reply};
use crate::fake::Fake;
use crate::money::{Prices, nano_of};
use crate::wait;

/// Debug builds on a busy machine are slow to start; promises about starting have tests of their own.
const START_LIMIT: Duration = Duration::from_secs(60);
/// One call of the command line.
const CALL_LIMIT: Duration = Duration::from_secs(60);
/// Leaving: the lame duck, the drain and the last report.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// What kind of house is wanted.
#[derive(Clone)]
pub struct Setup {
    pub proxies: usize,
    /// The echo provider and the demo organisation of a first start.
    pub demo: bool,
    /// The models behind the strict provider, one for each family and operation.
    pub strict: bool,
    /// More apply files after the lab's.
    pub apply: Vec<String>,
    /// Settings for the control plane's file, where planes are apart.
    pub control: String,
    /// Settings for the proxies' files, where planes are apart.
    pub proxy: String,
    /// Whether both ports speak TLS, where planes are apart.
    pub is_tls: bool,
    /// The certificate that the admin port is known by then.
    pub ca: Option<PathBuf>,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            proxies: 1,
            demo: false,
            strict: false,
            apply: Vec::new(),
            control: String::new(),
            proxy: String::new(),
            is_tls: false,
            ca: None,
        }
    }
}

/// A running installation; dropping it ends it.
pub struct House {
    life: Life,
    database: Database,
    folder: TempDir,
    pub fake: Fake,
    token: String,
    ca: Option<PathBuf>,
    admin_url: String,
    doors: Vec<String>,
    metrics: Vec<String>,
    ready: Value,
    solos: AtomicUsize,
    pairs: AtomicUsize,
}

enum Life {
    Up(Process),
    Planes { control: Plane, proxies: Vec<Plane> },
}

/// A process and how to start it again.
struct Plane {
    name: String,
    noun: &'static str,
    config: PathBuf,
    process: Option<Process>,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A provider of the lab that a test has for itself.
pub struct Solo {
    pub provider: String,
    pub model: String,
    pub prices: Prices,
}

/// A model with two endpoints that a test has for itself.
pub struct Pair {
    pub model: String,
    pub one: (String, Prices),
    pub other: (String, Prices),
}

/// The books of one organisation, in nano-dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    pub funded: i64,
    pub available: i64,
    pub leased: i64,
    pub quarantined: i64,
    pub settled: i64,
    pub refunded: i64,
}

impl House {
    /// One house that many tests share: a proxy, the lab's catalogue, no demo. It stays as long as anybody holds it.
    /// Whoever breaks a provider takes a [`Solo`] or a [`Pair`] for that.
    pub async fn lab() -> Arc<House> {
        static SHARED: tokio::sync::Mutex<Weak<House>> = tokio::sync::Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(house) = shared.upgrade() {
            return house;
        }
        let house = Arc::new(House::up(Setup::default()).await);
        *shared = Arc::downgrade(&house);
        house
    }

    /// One house that all tests of translation share: the lab's catalogue and the strict provider's models. Whoever looks
    /// at what arrived there puts a `!tag` of its own into its conversations.
    pub async fn strict() -> Arc<House> {
        static SHARED: tokio::sync::Mutex<Weak<House>> = tokio::sync::Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(house) = shared.upgrade() {
            return house;
        }
        let house = Arc::new(House::up(Setup { strict: true, ..Setup::default() }).await);
        *shared = Arc::downgrade(&house);
        house
    }

    /// `tollgate up` with the lab's catalogue.
    pub async fn up(setup: Setup) -> House {
        let (folder, fake, database) = (new_folder(), Fake::start(), Database::of_environment());
        let mut command = up_command(&folder.path().join("data"));
        command.args(["--proxies", &setup.proxies.to_string()]);
        if !setup.demo {
            command.arg("--no-demo");
        }
        if let Some(url) = database.url() {
            command.args(["--database", &url]);
        }
        for file in write_apply_files(folder.path(), &fake, &setup) {
            command.arg("--apply").arg(file);
        }
        let mut process = Process::start("up", &command, folder.path());
        let ready = ready_line(&mut process).await;
        let texts = |name: &str| -> Vec<String> {
            let list = ready[name].as_array().unwrap_or_else(|| panic!("no {name} in {ready}"));
            list.iter().map(|url| url.as_str().expect("a URL").to_owned()).collect()
        };
        House {
            life: Life::Up(process),
            database,
            fake,
            ca: None,
            token: ready["admin_token"].as_str().expect("an admin token").to_owned(),
            admin_url: ready["admin_url"].as_str().expect("an admin URL").to_owned(),
            doors: texts("inference_urls"),
            // Said with the path; it is put on again when they are asked.
            metrics: texts("metrics_urls").iter().map(|url| url.trim_end_matches("/metrics").to_owned()).collect(),
            ready,
            folder,
            solos: AtomicUsize::new(0),
            pairs: AtomicUsize::new(0),
        }
    }

    /// Each plane as its own process with its own data folder, and the lab's catalogue.
    pub async fn planes(setup: Setup) -> House {
        let (folder, fake, database) = (new_folder(), Fake::start(), Database::of_environment());
        let (admin, sync, control_metrics) = (ports::take(), ports::take(), ports::take());
        let control = control_config(folder.path(), &database, [admin, sync, control_metrics], &setup.control);
        let scheme = if setup.is_tls { "https" } else { "http" };
        let mut doors = Vec::new();
        let mut metrics = vec![format!("http://{control_metrics}")];
        let mut proxies = Vec::new();
        for at in 0..setup.proxies {
            let (door, own_metrics) = (ports::take(), ports::take());
            let name = format!("proxy-{at}");
            let text = format!(
                "data_dir = {data:?}\nproxy_id = \"{name}\"\nlisten = \"{door}\"\nmetrics_listen = \"{own_metrics}\"\nsync_url = \"http://{sync}\"\n{more}\n",
                data = folder.path().join(&name),
                more = setup.proxy,
            );
            proxies.push(Plane::new(&name, "data-plane", folder.path(), &text));
            doors.push(format!("{scheme}://{door}"));
            metrics.push(format!("http://{own_metrics}"));
        }
        let mut house = House {
            life: Life::Planes { control, proxies },
            database,
            fake,
            token: format!("root-token-of-a-test-{:012}", std::process::id()),
            ca: setup.ca.clone(),
            admin_url: format!("{scheme}://{admin}"),
            doors,
            metrics,
            ready: Value::Null,
            folder,
            solos: AtomicUsize::new(0),
            pairs: AtomicUsize::new(0),
        };
        house.start_controller().await;
        for file in write_apply_files(house.folder.path(), &house.fake, &setup) {
            house.admin(&["apply", "-f", file.to_str().expect("a path in UTF-8")]).await;
        }
        for at in 0..setup.proxies {
            house.launch_proxy(at);
        }
        for at in 0..setup.proxies {
            house.proxy_is_ready(at).await;
        }
        house
    }

    /// The ready line of `up`.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// The root admin token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A client of the proxy at `at`.
    pub fn client(&self, at: usize, key: &str) -> Client {
        Client::new(&self.doors[at], key)
    }

    /// A client of each proxy.
    pub fn clients(&self, key: &str) -> Vec<Client> {
        self.doors.iter().map(|door| Client::new(door, key)).collect()
    }

    pub fn doors(&self) -> &[String] {
        &self.doors
    }

    /// What every process says about itself in numbers, one after the other.
    pub async fn metrics_text(&self) -> String {
        let mut text = String::new();
        for url in &self.metrics {
            text.push_str(&Client::new(url, "").get("/metrics").await.expect(200).text());
        }
        text
    }

    /// Everything that the processes wrote to stderr and stdout.
    pub fn logs(&self) -> String {
        let files = fs::read_dir(self.folder.path()).expect("the house's folder");
        let mut text = String::new();
        for file in files.map(|file| file.expect("a file").path()) {
            if file.extension().is_some_and(|suffix| suffix == "log" || suffix == "out") {
                text.push_str(&String::from_utf8_lossy(&fs::read(file).expect("a log file")));
            }
        }
        text
    }

    /// A provider and a model for the caller alone.
    pub fn solo(&self) -> Solo {
        let at = self.solos.fetch_add(1, Ordering::Relaxed);
        assert!(at < catalogue::SOLOS, "the lab has too few providers");
        Solo { provider: format!("p{at:03}"), model: format!("lab/m{at:03}"), prices: ODD }
    }

    /// A model on two providers for the caller alone.
    pub fn pair(&self) -> Pair {
        let at = self.pairs.fetch_add(1, Ordering::Relaxed);
        assert!(at < catalogue::PAIRS, "the lab has too few pairs");
        Pair { model: format!("lab/pair{at:03}"), one: (format!("a{at:03}"), ODD), other: (format!("b{at:03}"), DEAR) }
    }

    // The command line.

    /// A command of the product with this house's address and token.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program::command();
        command.args(arguments);
        if let (Some(ca), Some(&"admin")) = (&self.ca, arguments.first()) {
            command.arg("--ca").arg(ca);
        }
        command.env("TOLLGATE_ADMIN_URL", &self.admin_url).env("TOLLGATE_ADMIN_TOKEN", &self.token);
        command
    }

    /// Runs `tollgate …` to its end.
    pub async fn run(&self, arguments: &[&str]) -> Said {
        run(self.command(arguments)).await
    }

    /// Runs `tollgate admin … --json`, which must succeed.
    pub async fn admin(&self, arguments: &[&str]) -> Value {
        let said = self.run(&[&["admin"], arguments, &["--json"]].concat()).await;
        assert_eq!(said.code, 0, "tollgate admin {}: {}", arguments.join(" "), said.stderr);
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error} in {}", said.stdout))
    }

    // People.

    /// The operator, over the admin API. Bound to the runtime of the caller.
    pub async fn operator(&self) -> Operator {
        Operator::connect(&self.admin_url, &self.token, self.ca.as_deref()).await
    }

    /// An organisation with this much credit and a key without limits.
    pub async fn org(&self, usd: &str) -> Org {
        self.operator().await.org(usd).await
    }

    // The books.

    /// An organisation's books, which must add up.
    pub async fn balance(&self, org: &str) -> Balance {
        self.operator().await.balance(org).await
    }

    /// Every invariant of the books.
    pub async fn verify_ledger(&self) {
        let verified = self.admin(&["ledger", "verify"]).await;
        assert_eq!(verified["ok"], true, "{verified:#}");
        assert!(verified["checks"].as_array().is_some_and(|checks| checks.len() >= 6), "{verified:#}");
    }

    /// The usage record of a request, which must be there within the two seconds that are promised.
    pub async fn usage_of(&self, org: &str, reply: &str) -> Value {
        self.operator().await.usage_of(org, reply).await
    }

    // Processes.

    fn planes_mut(&mut self) -> (&mut Plane, &mut Vec<Plane>) {
        match &mut self.life {
            Life::Planes { control, proxies } => (control, proxies),
            Life::Up(_) => panic!("this house is one process"),
        }
    }

    /// The process of a house that is one.
    pub fn process(&mut self) -> &mut Process {
        match &mut self.life {
            Life::Up(process) => process,
            Life::Planes { .. } => panic!("this house is several processes"),
        }
    }

    /// Starts the controller and waits until it answers.
    pub async fn start_controller(&mut self) {
        let (folder, token) = (self.folder.path().to_owned(), self.token.clone());
        let (control, _) = self.planes_mut();
        control.start(&folder, &token);
        wait::until_true("the controller answers", START_LIMIT, async || {
            self.controller().check();
            Operator::try_connect(&self.admin_url, &self.token, self.ca.as_deref()).await.is_some()
        })
        .await;
    }

    fn controller(&mut self) -> &mut Process {
        self.planes_mut().0.process.as_mut().expect("a running controller")
    }

    pub fn kill_controller(&mut self) {
        self.controller().kill();
        self.planes_mut().0.process = None;
    }

    /// SIGTERM, and its exit code.
    pub async fn stop_controller(&mut self) -> i32 {
        let mut process = self.planes_mut().0.process.take().expect("a running controller");
        process.terminate();
        process.code(STOP_LIMIT).await
    }

    fn launch_proxy(&mut self, at: usize) {
        let (folder, token) = (self.folder.path().to_owned(), self.token.clone());
        self.planes_mut().1[at].start(&folder, &token);
    }

    /// Starts a proxy and waits until it is ready.
    pub async fn start_proxy(&mut self, at: usize) {
        self.launch_proxy(at);
        self.proxy_is_ready(at).await;
    }

    /// Starts a proxy and waits until it serves what it can: without a controller it is not ready.
    pub async fn start_proxy_alone(&mut self, at: usize) {
        self.launch_proxy(at);
        let door = self.client(at, "");
        wait::until_true("the proxy lives", START_LIMIT, async || {
            self.proxy(at).check();
            door.try_send(Ask::get("/livez")).await.is_ok_and(|reply| reply.status == 200)
        })
        .await;
    }

    async fn proxy_is_ready(&mut self, at: usize) {
        // On the private port, which never has TLS.
        let private = Client::new(&self.metrics[at + 1], "");
        wait::until_true(&format!("proxy {at} is ready"), START_LIMIT, async || {
            self.proxy(at).check();
            private.try_send(Ask::get("/readyz")).await.is_ok_and(|reply| reply.status == 200)
        })
        .await;
    }

    /// The process of the proxy at `at`.
    pub fn proxy(&mut self, at: usize) -> &mut Process {
        self.planes_mut().1[at].process.as_mut().expect("a running proxy")
    }

    pub fn kill_proxy(&mut self, at: usize) {
        self.proxy(at).kill();
        self.planes_mut().1[at].process = None;
    }

    /// SIGTERM, and its exit code.
    pub async fn stop_proxy(&mut self, at: usize) -> i32 {
        let mut process = self.take_proxy(at);
        process.terminate();
        process.code(STOP_LIMIT).await
    }

    /// Hands the proxy's process over, to be ended while others run on.
    pub fn take_proxy(&mut self, at: usize) -> Process {
        self.planes_mut().1[at].process.take().expect("a running proxy")
    }
}

impl Plane {
    fn new(name: &str, noun: &'static str, folder: &Path, text: &str) -> Plane {
        let config = folder.join(format!("{name}.toml"));
        fs::write(&config, text).expect("write a settings file");
        Plane { name: name.to_owned(), noun, config, process: None }
    }

    fn start(&mut self, folder: &Path, token: &str) {
        let mut command = program::command();
        command.arg(self.noun).arg("--config").arg(&self.config);
        if self.noun == "control-plane" {
            command.env("TOLLGATE_ADMIN_TOKEN", token);
        }
        self.process = Some(Process::start(&self.name, &command, folder));
    }
}

impl Balance {
    /// Whether every nano-dollar is on exactly one account.
    pub fn adds_up(&self) -> bool {
        self.funded == self.available + self.leased + self.quarantined + self.settled + self.refunded
    }

    /// Reads what `credits get` prints.
    pub fn read(row: &Value) -> Balance {
        let field = |name: &str| nano_of(&row[name]);
        Balance {
            funded: field("funded"),
            available: field("available"),
            leased: field("leased"),
            quarantined: field("quarantined"),
            settled: field("settled"),
            refunded: field("refunded"),
        }
    }
}

/// `tollgate up --json` on free ports.
pub fn up_command(data: &Path) -> Command {
    let mut command = program::command();
    command.args(["up", "--json", "--data"]).arg(data);
    for flag in ["--listen", "--admin-listen", "--sync-listen", "--metrics-listen"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    command
}

/// The JSON line that says where everything is.
pub async fn ready_line(process: &mut Process) -> Value {
    let line = process.line(START_LIMIT).await;
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in the ready line {line}"))
}

/// Runs a command to its end.
pub async fn run(command: Command) -> Said {
    let what = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    command.stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output =
        wait::within(&what, CALL_LIMIT, command.output()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("text on stdout"),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Asks until the answer is not of the kind that a moment's patience mends.
pub async fn ask_until(what: &str, client: &Client, ask: &Ask, wanted: u16) -> Reply {
    wait::until(what, wait::SOON, async || {
        let reply = client.send(ask.clone()).await;
        (reply.status == wanted).then_some(reply)
    })
    .await
}

pub fn new_folder() -> TempDir {
    tempfile::Builder::new().prefix("tollgate-it-").tempdir().expect("a temporary folder")
}

fn write_apply_files(folder: &Path, fake: &Fake, setup: &Setup) -> Vec<PathBuf> {
    let lab = lab(fake);
    let strict = setup.strict.then(|| strict::strict(fake));
    let own = std::iter::once(lab.text()).chain(strict.iter().map(Catalogue::text));
    let texts = own.chain(setup.apply.iter().map(String::as_str));
    let write = |(at, text): (usize, &str)| {
        let path = folder.join(format!("apply-{at}.toml"));
        fs::write(&path, text).expect("write an apply file");
        path
    };
    texts.enumerate().map(write).collect()
}

fn control_config(folder: &Path, database: &Database, ports: [std::net::SocketAddr; 3], more: &str) -> Plane {
    let [admin, sync, metrics] = ports;
    let text = format!(
        "data_dir = {data:?}\ndatabase = \"{database}\"\nadmin_listen = \"{admin}\"\nsync_listen = \"{sync}\"\nmetrics_listen = \"{metrics}\"\n{more}\n",
        data = folder.join("control"),
        database = database.url().unwrap_or_default(),
    );
    Plane::new("control", "control-plane", folder, &text)
}
