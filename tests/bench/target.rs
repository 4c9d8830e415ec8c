//! A thing that is measured: where it listens, which processes are its bill, how it is asked. Starting them is one function each.
//! Never measures; see `measure` and `run`.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::child::{Process, pinned};
use crate::{nginx, tollgate};

/// How long anything may take until it accepts connections.
pub const START_LIMIT: Duration = Duration::from_secs(20);
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The ways through which the load can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Straight to the mock.
    Direct,
    /// The bare hyper proxy.
    Floor,
    /// Debian's nginx as a plain proxy.
    Nginx,
    /// Tollgate with everything on.
    Tollgate,
}

impl Kind {
    pub const ALL: &[Self] = &[Self::Direct, Self::Floor, Self::Nginx, Self::Tollgate];

    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Floor => "floor",
            Self::Nginx => "nginx",
            Self::Tollgate => "tollgate",
        }
    }

    /// Why this one cannot be measured here, if so.
    pub fn missing(self, ground: &Ground) -> Option<String> {
        match self {
            Self::Direct | Self::Floor => None,
            Self::Nginx => {
                nginx::find().is_none().then(|| "nginx is not installed (apt-get install nginx-light)".into())
            }
            Self::Tollgate => (!ground.tollgate.is_file()).then(|| {
                let path = ground.tollgate.display();
                format!("there is no {path} (cargo build --release --workspace, or --tollgate PATH)")
            }),
        }
    }

    pub async fn start(self, ground: &Ground) -> Result<Target> {
        let target = match self {
            Self::Direct => Target::plain(self, ground.upstream, None),
            Self::Floor => start_floor(ground)?,
            Self::Nginx => nginx::start(ground)?,
            Self::Tollgate => tollgate::start(ground).await?,
        };
        target.accepting()
    }
}

/// What every target stands on.
pub struct Ground {
    /// This very program, for its other parts.
    pub bench: PathBuf,
    pub tollgate: PathBuf,
    /// Where configurations, logs and data go; a real disk, or the spool is measured on memory.
    pub folder: PathBuf,
    /// The mock provider.
    pub upstream: SocketAddr,
    /// The same mock as another provider, whom nobody has connected to.
    pub elsewhere: SocketAddr,
    pub target_core: usize,
    /// Shared by the mock, the load, the runner and what stands beside a target.
    pub load_core: usize,
}

pub struct Target {
    pub kind: Kind,
    pub address: SocketAddr,
    /// The process whose CPU time and memory are counted; none on the direct way.
    pub process: Option<Process>,
    /// A process that belongs to the target but is not pinned beside it nor counted with it.
    pub aside: Option<Process>,
    /// Put before the model's name.
    pub author: &'static str,
    pub key: Option<String>,
}

impl Target {
    /// A proxy of Tollgate that nobody but the bench's own callers asks.
    pub fn proxy(address: SocketAddr, process: Process) -> Self {
        Self::plain(Kind::Tollgate, address, Some(process))
    }

    pub fn plain(kind: Kind, address: SocketAddr, process: Option<Process>) -> Self {
        Self { kind, address, process, aside: None, author: "", key: None }
    }

    /// Waits until the port answers.
    fn accepting(mut self) -> Result<Self> {
        let until = Instant::now() + START_LIMIT;
        while let Err(error) = TcpStream::connect(self.address) {
            if let Some(process) = &mut self.process {
                process.check()?;
            }
            anyhow::ensure!(Instant::now() < until, "{} does not accept connections: {error}", self.kind.name());
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(self)
    }

    /// What the target's processes wrote last, for error messages.
    pub fn logs(&self) -> String {
        [&self.process, &self.aside].into_iter().flatten().map(Process::log_end).collect::<Vec<_>>().join("\n---\n")
    }
}

fn start_floor(ground: &Ground) -> Result<Target> {
    let address = free_port()?;
    let mut command = pinned(ground.target_core, &ground.bench);
    command.args(["floor", "--listen", &address.to_string(), "--upstream", &ground.upstream.to_string()]);
    Ok(Target::plain(Kind::Floor, address, Some(Process::start("floor", command, &ground.folder)?)))
}

/// A loopback port that was free a moment ago.
pub fn free_port() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    listener.local_addr().context("read the free port")
}
