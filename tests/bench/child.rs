//! The processes that the runner starts: pinned, logged to a file, and ended by their own ids whatever happens to the runner.
//! Ends nothing that it did not start.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::measure::{self, Stat};

/// How long a process may take to end when asked, before it is made to.
const GRACE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How much of a log is shown when something goes wrong.
const LOG_LINES: usize = 15;

/// A running process; dropping it ends it and what it started.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// A command that runs on one core and is told to end when the runner dies, however it dies.
///
/// `setpriv` and `taskset` are part of every Debian (util-linux) and replace themselves by the program, so its id is the child's.
pub fn pinned(core: usize, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "taskset", "-c"]).arg(core.to_string()).arg(program);
    command
}

impl Process {
    /// Output goes to `<folder>/<name>.log`.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("share the log file")?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error with the end of the log when the process is no longer there.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait().context("look after a process")? {
            None => Ok(()),
            Some(status) => Err(anyhow::anyhow!("{} ended by itself ({status})\n{}", self.name, self.log_end())),
        }
    }

    /// The last lines that the process wrote.
    pub fn log_end(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LOG_LINES);
        lines.get(from..).unwrap_or_default().join("\n")
    }

    fn ended_within(&mut self, grace: Duration) -> bool {
        let until = Instant::now() + grace;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < until => std::thread::sleep(LOOK_EVERY),
                Ok(None) => return false,
                Ok(Some(_)) | Err(_) => return true,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // Taken while the process still lives, since its children change parents when it ends.
        let family = measure::tree(self.pid()).unwrap_or_default();
        signal(self.pid(), Signal::TERM);
        if !self.ended_within(GRACE) {
            eprintln!("bench: {} did not end within {} s and is killed", self.name, GRACE.as_secs());
            signal(self.pid(), Signal::KILL);
            drop(self.child.wait());
        }
        for left in family.into_iter().filter(|stat| stat.pid != self.pid() && is_alive(stat)) {
            signal(left.pid, Signal::KILL);
        }
    }
}

/// Whether the very process that was seen still runs, and not another one under its number.
fn is_alive(seen: &Stat) -> bool {
    Stat::of(seen.pid).is_some_and(|now| now.started == seen.started)
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended a moment ago, which is what is wanted.
        let _ = kill_process(pid, signal);
    }
}
