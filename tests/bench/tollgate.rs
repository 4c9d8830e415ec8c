//! Tollgate as an operator starts it: two processes, a provider and its models by an apply file, an organisation with credits, a key.
//! Everything goes through the command line of the product; nothing of its code is used here.
//! Only the data plane is pinned beside the other targets and counted; the control plane stands with the load.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::child::{Process, pinned};
use crate::family::Family;
use crate::run::MODELS;
use crate::target::{Ground, Kind, LOOK_EVERY, START_LIMIT, Target, free_port};

/// How the catalogue's models are called: `mock/bench-json`. The mock is asked for the name after the slash.
const AUTHOR: &str = "mock/";
/// Models that cost nothing, so that nothing has to be borrowed for them: at the mock, and at its double.
pub const FREE: &str = "mock/free";
pub const FREE_ELSEWHERE: &str = "mock/free-elsewhere";
/// What the free ones are answered with, and the priced model of the same answer.
pub const WHOLE: &str = "bench-json";
pub const PAID: &str = "mock/bench-json";
/// The model with this answer at the provider of this family.
pub fn model_of(family: Family, answer: &str) -> String {
    match family {
        Family::Chat => format!("{AUTHOR}{answer}"),
        family => format!("{}/{answer}", family.name()),
    }
}

/// Enough that no run ever comes near it, in US dollars.
const CREDITS: &str = "1000000.00";
/// One admin call, the migration included.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// The addresses of one installation.
struct Ports {
    inference: SocketAddr,
    metrics: SocketAddr,
    admin: SocketAddr,
    sync: SocketAddr,
    control_metrics: SocketAddr,
}

/// Both planes, ready to be asked.
pub async fn start(ground: &Ground) -> Result<Target> {
    let installation = Installation::start(ground)?;
    let mut data = installation.start_data_plane()?;
    wait_until_ready(&mut data, installation.address())?;
    Ok(Target {
        kind: Kind::Tollgate,
        address: installation.address(),
        process: Some(data),
        aside: Some(installation.control),
        author: AUTHOR,
        key: Some(installation.key),
    })
}

/// A running control plane with a catalogue, an organisation and its key, for which data planes can be started.
pub struct Installation {
    house: House,
    control: Process,
    pub key: String,
}

impl Installation {
    pub fn start(ground: &Ground) -> Result<Self> {
        let house = House::new(ground)?;
        house.run(&["migrate", "--config", &house.control_config], CALL_LIMIT).context("migrate")?;
        let control = Process::start("tollgate-control-plane", house.control_plane(), &house.folder)?;
        house.furnish().inspect_err(|_| eprintln!("{}", control.log_end()))?;
        let key = house.key().inspect_err(|_| eprintln!("{}", control.log_end()))?;
        Ok(Self { house, control, key })
    }

    /// A data plane on the installation's data folder, which is as the one before left it. Not ready yet.
    pub fn start_data_plane(&self) -> Result<Process> {
        Process::start("tollgate-data-plane", self.house.data_plane(), &self.house.folder)
    }

    pub fn address(&self) -> SocketAddr {
        self.house.ports.inference
    }
}

/// The settings of both planes. The one place to follow when a setting is renamed.
fn settings(ports: &Ports, folder: &Path) -> (String, String) {
    let Ports { inference, metrics, admin, sync, control_metrics } = ports;
    let control_data = folder.join("control-plane");
    let control = format!(
        "data_dir = {control_data:?}
admin_listen = \"{admin}\"
sync_listen = \"{sync}\"
metrics_listen = \"{control_metrics}\"
"
    );
    (control, proxy_settings(&folder.join("data-plane"), *inference, *metrics, *sync))
}

/// The settings of a data plane with one worker. No balancer stands before it, so nobody has to be told that it leaves.
pub fn proxy_settings(data: &Path, inference: SocketAddr, metrics: SocketAddr, sync: SocketAddr) -> String {
    format!(
        "data_dir = {data:?}
listen = \"{inference}\"
metrics_listen = \"{metrics}\"
sync_url = \"http://{sync}\"
workers = 1

[drain]
lame_duck = \"0s\"
"
    )
}

/// The mock as a provider, with one priced model for each of its answers, and free ones at it and at its double.
fn catalogue(upstream: SocketAddr, elsewhere: SocketAddr) -> String {
    let mut file = String::new();
    for (provider, address) in [("mock", upstream), ("elsewhere", elsewhere)] {
        file.push_str(&format!(
            "
[[providers]]
id = \"{provider}\"
name = \"{provider}\"
base_url = \"http://{address}/v1\"
dialects = [\"openai-chat\"]
auth = \"bearer\"
credential = {{ value = \"sk-bench-upstream\" }}
"
        ));
    }
    for family in Family::ALL.into_iter().filter(|family| *family != Family::Chat) {
        let version = if family == Family::Gemini { "v1beta" } else { "v1" };
        file.push_str(&format!(
            "
[[providers]]
id = \"{}\"
name = \"{}\"
base_url = \"http://{upstream}/{version}\"
dialects = [\"{}\"]
auth = \"bearer\"
credential = {{ value = \"sk-bench-upstream\" }}
",
            family.name(),
            family.name(),
            family.dialect()
        ));
    }
    let families = Family::ALL.into_iter().filter(|family| *family != Family::Chat);
    let others =
        families.flat_map(|family| MODELS.iter().map(move |model| (model_of(family, model), family.name(), *model)));
    let others = others.map(|(id, provider, model)| (id, provider, model, ["0.15", "0.60", "0.075"]));
    let priced = MODELS.iter().map(|model| (format!("{AUTHOR}{model}"), "mock", *model, ["0.15", "0.60", "0.075"]));
    let free = [(FREE, "mock"), (FREE_ELSEWHERE, "elsewhere")];
    let free = free.into_iter().map(|(id, provider)| (id.to_owned(), provider, WHOLE, ["0"; 3]));
    for (id, provider, model, [prompt, completion, cached]) in priced.chain(others).chain(free) {
        file.push_str(&format!(
            "
[[models]]
id = \"{id}\"
name = \"{id}\"
context_length = 1000000
max_output_tokens = 16384
input_modalities = [\"text\"]
output_modalities = [\"text\"]
supported_parameters = [\"temperature\", \"max_tokens\"]

[[models.endpoints]]
provider = \"{provider}\"
upstream_model = \"{model}\"
prices = {{ prompt = \"{prompt}\", completion = \"{completion}\", cache_read = \"{cached}\" }}
"
        ));
    }
    file
}

/// One installation in its own folder.
struct House {
    program: PathBuf,
    folder: PathBuf,
    ports: Ports,
    admin_token: String,
    control_config: String,
    data_config: String,
    providers: (SocketAddr, SocketAddr),
    control_core: usize,
    data_core: usize,
}

impl House {
    fn new(ground: &Ground) -> Result<Self> {
        let folder = ground.folder.join("tollgate");
        // A round begins with nothing: what the one before left would be replayed.
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).context("create the folder of Tollgate")?;
        let ports = Ports {
            inference: free_port()?,
            metrics: free_port()?,
            admin: free_port()?,
            sync: free_port()?,
            control_metrics: free_port()?,
        };
        let (control, data) = settings(&ports, &folder);
        let write = |name: &str, text: &str| -> Result<String> {
            let file = folder.join(name);
            fs::write(&file, text).with_context(|| format!("write {name}"))?;
            Ok(file.to_str().context("the bench's folder has an odd name")?.to_owned())
        };
        Ok(Self {
            control_config: write("control-plane.toml", &control)?,
            data_config: write("data-plane.toml", &data)?,
            program: ground.tollgate.clone(),
            admin_token: format!("bench-root-token-of-process-{:010}-on-loopback", std::process::id()),
            folder,
            ports,
            providers: (ground.upstream, ground.elsewhere),
            control_core: ground.load_core,
            data_core: ground.target_core,
        })
    }

    fn control_plane(&self) -> Command {
        let mut command = pinned(self.control_core, &self.program);
        clean(&mut command);
        command.env("TOLLGATE_ADMIN_TOKEN", &self.admin_token);
        command.args(["control-plane", "--config", &self.control_config]);
        command
    }

    fn data_plane(&self) -> Command {
        data_plane(self.data_core, &self.program, &self.data_config)
    }

    /// The catalogue, once the control plane answers.
    fn furnish(&self) -> Result<()> {
        let file = self.folder.join("catalogue.toml");
        fs::write(&file, catalogue(self.providers.0, self.providers.1)).context("write the apply file")?;
        let file = file.to_str().context("the bench's folder has an odd name")?;
        let until = Instant::now() + START_LIMIT;
        while let Err(error) = self.admin(&["orgs", "list"]) {
            ensure!(Instant::now() < until, "the control plane does not answer: {error:#}");
            std::thread::sleep(LOOK_EVERY * 5);
        }
        self.admin(&["apply", "-f", file]).map(drop)
    }

    /// An organisation with credits, and its key.
    fn key(&self) -> Result<String> {
        let org = text(&self.admin(&["orgs", "create", "--name", "Bench"])?, "id")?;
        self.admin(&["credits", "grant", "--org", &org, "--amount", CREDITS])?;
        text(&self.admin(&["keys", "create", "--org", &org, "--name", "bench"])?, "key")
    }

    fn admin(&self, call: &[&str]) -> Result<Value> {
        let output = self.run(&[&["admin"], call, &["--json"]].concat(), CALL_LIMIT)?;
        serde_json::from_str(&output).with_context(|| format!("`tollgate admin {}` printed no JSON", call.join(" ")))
    }

    /// Runs the program to its end and returns what it printed.
    fn run(&self, arguments: &[&str], limit: Duration) -> Result<String> {
        let mut command = pinned(self.control_core, &self.program);
        clean(&mut command);
        let mut child = command
            .args(arguments)
            .env("TOLLGATE_ADMIN_URL", format!("http://{}", self.ports.admin))
            .env("TOLLGATE_ADMIN_TOKEN", &self.admin_token)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start tollgate")?;
        let until = Instant::now() + limit;
        while child.try_wait().context("wait for tollgate")?.is_none() {
            if Instant::now() > until {
                drop(child.kill());
                drop(child.wait());
                bail!("`tollgate {}` took longer than {} s", arguments.join(" "), limit.as_secs());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let output = child.wait_with_output().context("read what tollgate printed")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`tollgate {}` failed: {}", arguments.join(" "), errors.trim());
        String::from_utf8(output.stdout).context("tollgate printed no text")
    }
}

/// A data plane on a core of its own.
pub fn data_plane(core: usize, program: &Path, config: &str) -> Command {
    let mut command = pinned(core, program);
    clean(&mut command);
    command.args(["data-plane", "--config", config]);
    command
}

/// Settings of whoever runs the bench must not reach what is measured.
fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("TOLLGATE_")) {
            command.env_remove(name);
        }
    }
}

pub fn wait_until_ready(data: &mut Process, address: SocketAddr) -> Result<()> {
    let until = Instant::now() + START_LIMIT;
    while !is_ready(address).unwrap_or(false) {
        data.check()?;
        ensure!(Instant::now() < until, "the data plane does not become ready\n{}", data.log_end());
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

fn text(json: &Value, field: &str) -> Result<String> {
    let value = json.get(field).and_then(Value::as_str);
    Ok(value.with_context(|| format!("the answer has no {field}"))?.to_owned())
}

pub fn is_ready(address: SocketAddr) -> Result<bool> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    write!(socket, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    socket.read_exact(&mut head)?;
    Ok(&head == b"HTTP/1.1 200")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_and_the_catalogue_are_toml_with_every_model_of_the_bench() {
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let ports =
            Ports { inference: address, metrics: address, admin: address, sync: address, control_metrics: address };
        let (control, data) = settings(&ports, Path::new("/odd \"folder"));
        control.parse::<toml::Table>().unwrap();
        assert_eq!(data.parse::<toml::Table>().unwrap()["workers"].as_integer(), Some(1));
        let file: toml::Table = catalogue(address, address).parse().unwrap();
        assert_eq!(file["models"].as_array().unwrap().len(), 4 * MODELS.len() + 2);
    }
}
