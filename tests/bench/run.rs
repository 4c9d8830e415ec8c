//! The runner: starts the mock and the targets, measures them in turns, round after round, and ends what it started.
//! Nothing is measured here; `steps` does that, `figures` compares, `report` prints.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::signal::unix::{SignalKind, signal};

use crate::child::{Process, pinned};
use crate::figures::{Figure, Round, Values, add_differences};
use crate::limits::{Priority, raise_open_files};
use crate::report::{self, Report};
use crate::steps::{self, Extent, Step};
use crate::target::{Ground, Kind, START_LIMIT, Target, free_port};

pub use crate::steps::MODELS;

#[derive(clap::Args)]
pub struct Options {
    /// Rounds; the medians over them are shown [default: 5, with --quick 3].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Shorter windows and fewer streams: for trying things out, not for claims.
    #[arg(long)]
    quick: bool,
    /// The smallest of everything, and any failed request is an error: proves that the bench itself still works.
    #[arg(long, conflicts_with = "quick")]
    smoke: bool,
    /// Only these targets.
    #[arg(long, value_delimiter = ',', value_name = "TARGETS")]
    only: Vec<Kind>,
    /// Only these steps.
    #[arg(long, value_delimiter = ',', value_name = "STEPS")]
    steps: Vec<Step>,
    /// Also write everything that was measured to a file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Exit with an error when a bar was missed or could not be measured.
    #[arg(long)]
    check: bool,
    /// The program to measure [default: the `tollgate` beside this program].
    #[arg(long, value_name = "PATH")]
    tollgate: Option<PathBuf>,
    /// Where data and logs go while it runs; a folder on a real disk.
    #[arg(long, value_name = "DIR", default_value = "target")]
    folder: PathBuf,
    /// The core of the targets.
    #[arg(long, default_value_t = 1)]
    target_core: usize,
    /// The core of the mock, the load and everything else.
    #[arg(long, default_value_t = 0)]
    load_core: usize,
    /// Run at this priority (-10 needs root), for a machine that is not ours alone.
    #[arg(long, allow_hyphen_values = true, value_name = "N", value_parser = clap::value_parser!(i32).range(-20..=19))]
    nice: Option<i32>,
}

/// Ctrl-C, SIGTERM and every error leave by the same way: what was started is dropped, and dropping ends it.
pub async fn run(options: Options) -> Result<()> {
    let mut asked_to_end = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::select! {
        result = compare(options) => result,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = asked_to_end.recv() => bail!("asked to end"),
    }
}

async fn compare(options: Options) -> Result<()> {
    let folder = Folder::new(&options.folder)?;
    let ground = ground(&options, &folder)?;
    pin_to(ground.load_core).context("the bench needs two cores: one for the load, one for the targets")?;
    let _priority = options.nice.map(Priority::raise).transpose()?;
    raise_open_files();
    report::warn_about_the_machine(&ground.folder);

    let kinds = wanted(&options, &ground);
    let steps = if options.steps.is_empty() { Step::ALL } else { &options.steps };
    let extent = extent(&options);
    let _upstream = start_upstream(&ground)?;
    let count = options.rounds.unwrap_or(if options.quick { 3 } else { 5 });
    let (alone, in_turns): (Vec<Step>, Vec<Step>) = steps.iter().partition(|step| step.is_alone());
    let mut rounds = Vec::new();
    for number in 1..=count {
        // Tollgate's own steps come once; without any other there is nothing to do in turns.
        if !in_turns.is_empty() {
            rounds.push(round(number, count, &ground, &kinds, &in_turns, &extent).await?);
        }
    }
    measure_alone(&ground, &kinds, &alone, &extent, &mut rounds).await?;

    let report = Report { rounds: &rounds, kinds: &kinds, extent: &extent };
    print!("{}", report.text());
    if let Some(file) = &options.json {
        fs::write(file, report.json()?).with_context(|| format!("write {}", file.display()))?;
    }
    ensure!(!options.smoke || report.failed() == 0.0, "{} requests failed", report.failed());
    ensure!(!options.check || report.all_bars_hold(), "not every bar holds");
    Ok(())
}

fn extent(options: &Options) -> Extent {
    match options {
        Options { smoke: true, .. } => Extent::SMOKE,
        Options { quick: true, .. } => Extent::QUICK,
        _ => Extent::FULL,
    }
}

fn ground(options: &Options, folder: &Folder) -> Result<Ground> {
    ensure!(options.load_core != options.target_core, "the load and the targets need a core each");
    let bench = std::env::current_exe().context("find this program")?;
    let tollgate = options.tollgate.clone().unwrap_or_else(|| bench.with_file_name("tollgate"));
    Ok(Ground {
        bench,
        tollgate,
        folder: folder.path.clone(),
        upstream: free_port()?,
        elsewhere: free_port()?,
        target_core: options.target_core,
        load_core: options.load_core,
    })
}

/// The targets that are asked for and can be had.
fn wanted(options: &Options, ground: &Ground) -> Vec<Kind> {
    let asked = if options.only.is_empty() { Kind::ALL } else { &options.only };
    let had = |kind: &Kind| match kind.missing(ground) {
        None => true,
        Some(why) => {
            eprintln!("skipped {}: {why}", kind.name());
            false
        }
    };
    Kind::ALL.iter().copied().filter(|kind| asked.contains(kind)).filter(had).collect()
}

fn start_upstream(ground: &Ground) -> Result<Process> {
    let mut command = pinned(ground.load_core, &ground.bench);
    command.args(["upstream", "--listen", &ground.upstream.to_string(), "--listen", &ground.elsewhere.to_string()]);
    let mut upstream = Process::start("upstream", command, &ground.folder)?;
    let until = std::time::Instant::now() + START_LIMIT;
    while std::net::TcpStream::connect(ground.upstream).is_err() {
        upstream.check()?;
        ensure!(std::time::Instant::now() < until, "the mock does not accept connections");
        std::thread::sleep(crate::target::LOOK_EVERY);
    }
    Ok(upstream)
}

/// Takes the steps that are Tollgate's own, once, with nothing else running. Their figures stand in the last round.
async fn measure_alone(
    ground: &Ground,
    kinds: &[Kind],
    steps: &[Step],
    extent: &Extent,
    rounds: &mut Vec<Round>,
) -> Result<()> {
    if rounds.is_empty() {
        rounds.push(Round::new());
    }
    for step in steps {
        if !kinds.contains(&Kind::Tollgate) {
            eprintln!("skipped {step:?}: it is Tollgate's own, and Tollgate is not among the targets");
            continue;
        }
        eprintln!("once: {step:?}, tollgate");
        let values = steps::measure_alone(*step, ground, extent).await?;
        if let Some(round) = rounds.last_mut() {
            add(round, Kind::Tollgate, values);
        }
    }
    Ok(())
}

/// Starts every target afresh and takes each step with all of them, one after the other, before the next step: what
/// disturbs the machine for a while then disturbs all of them.
async fn round(
    number: u32,
    count: u32,
    ground: &Ground,
    kinds: &[Kind],
    steps: &[Step],
    extent: &Extent,
) -> Result<Round> {
    let mut targets = Vec::new();
    let mut round = Round::new();
    for kind in turned(kinds, number) {
        let target = kind.start(ground).await.with_context(|| format!("start {}", kind.name()))?;
        merge(&mut round, &target, steps::idle(&target)?);
        steps::warm_up(ground, &target).await.inspect_err(|_| eprintln!("{}", target.logs()))?;
        targets.push(target);
    }
    for step in steps {
        for target in &targets {
            eprintln!("round {number} of {count}: {step:?}, {}", target.kind.name());
            merge(&mut round, target, steps::measure(*step, ground, target, extent).await?);
        }
    }
    for target in &targets {
        merge(&mut round, target, steps::after(target)?);
    }
    add_differences(&mut round);
    Ok(round)
}

/// Nobody is always first: each round begins with the next target.
fn turned(kinds: &[Kind], number: u32) -> impl Iterator<Item = Kind> {
    kinds.iter().copied().cycle().skip(number as usize % kinds.len().max(1)).take(kinds.len())
}

/// Failed requests add up over the steps; every other figure belongs to one step.
fn merge(round: &mut Round, target: &Target, values: Values) {
    add(round, target.kind, values);
}

fn add(round: &mut Round, kind: Kind, values: Values) {
    let all = round.entry(kind.name()).or_default();
    for (figure, value) in values {
        match figure {
            Figure::Failed => *all.entry(figure).or_default() += value,
            _ => drop(all.insert(figure, value)),
        }
    }
}

fn pin_to(core: usize) -> Result<()> {
    ensure!(core < CpuSet::MAX_CPU, "there is no core {core}");
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("pin to core {core}"))
}

/// A folder of this run's own, removed at the end. While it is there no other run can begin beside it: two at once
/// would measure each other.
struct Folder {
    path: PathBuf,
    /// Held on the parent; the kernel gives it back whatever becomes of this process.
    _alone: File,
}

impl Folder {
    fn new(parent: &Path) -> Result<Self> {
        let path = parent.join(format!("bench-{}", std::process::id()));
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        let alone = File::open(parent).with_context(|| format!("open {}", parent.display()))?;
        alone.try_lock().with_context(|| format!("another bench is running in {}", parent.display()))?;
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path: fs::canonicalize(&path).context("the bench's folder")?, _alone: alone })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("bench: {} is left behind: {error}", self.path.display());
        }
    }
}
