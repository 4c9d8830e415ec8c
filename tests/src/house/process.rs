//! A process that a test started: logged to files, ended by its own id whatever happens to the test.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// A running process. Dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    /// What it wrote to stderr.
    log: PathBuf,
    /// Lines on stdout that nobody has taken yet.
    lines: Arc<Mutex<VecDeque<String>>>,
    pub started: Instant,
}

impl Process {
    /// Starts `command` with stdout to `<folder>/<name>.out` and stderr to `<folder>/<name>.log`, both appended to.
    pub fn start(name: &str, command: &Command, folder: &Path) -> Process {
        let open = |suffix: &str| -> (PathBuf, File) {
            let path = folder.join(format!("{name}.{suffix}"));
            let file = File::options().create(true).append(true).open(&path).expect("a log file");
            (path, file)
        };
        let (log, errors) = open("log");
        let (_, mut out) = open("out");
        let mut kept = kept_alive(command);
        kept.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let started = Instant::now();
        let mut child = spawn(kept).unwrap_or_else(|error| panic!("start {name}: {error}"));
        let stdout = child.stdout.take().expect("a pipe");
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let sender = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = writeln!(out, "{line}");
                lock(&sender).push_back(line);
            }
        });
        Process { name: name.to_owned(), child, log, lines, started }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it wrote to stderr.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("look after a process")
    }

    /// The next line on stdout; panics with the log when the process ends without one.
    pub async fn line(&mut self, limit: Duration) -> String {
        let lines = Arc::clone(&self.lines);
        wait::until(&format!("a line of {}", self.name), limit, async || {
            let line = lock(&lines).pop_front();
            if line.is_none() {
                self.check();
            }
            line
        })
        .await
    }

    /// Panics with the log when the process is no longer there.
    pub fn check(&mut self) {
        if let Some(status) = self.ended() {
            panic!("{} ended by itself ({status})\n{}", self.name, self.log());
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        // It may have ended a moment ago.
        let _ = kill_process(pid, signal);
    }

    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// kill -9, and gone when this returns.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its exit code, which must come within `limit`; a process that a signal ended has 128 and the signal.
    pub async fn code(&mut self, limit: Duration) -> i32 {
        let what = format!("the end of {}", self.name);
        let status = wait::until(&what, limit, async || self.ended()).await;
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The same command, told to end when the tests do, however they end. `setpriv` is part of every Debian and replaces
/// itself by the program, so its id is the child's.
fn kept_alive(command: &Command) -> Command {
    let mut kept = Command::new("setpriv");
    kept.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        kept.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => kept.env(name, value),
            None => kept.env_remove(name),
        };
    }
    kept
}

type Job = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Spawns on a thread that lives as long as the tests: the death signal follows the thread, and those of tests end.
fn spawn(command: Command) -> std::io::Result<Child> {
    static NURSERY: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, answer) in jobs {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (answer, child) = mpsc::channel();
    let sender = lock(nursery).clone();
    sender.send((command, answer)).expect("the nursery");
    child.recv().expect("the nursery")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
