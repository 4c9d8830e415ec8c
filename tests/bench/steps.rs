//! The measurements, one step each: put a load on a target, read what it cost, name the figures.
//! A step knows nothing of rounds or of other targets; `run` puts them in turns.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use tokio::process::Command;

use crate::child::Process;
use crate::figures::{Figure, Values};
use crate::load::Summary;
use crate::measure::{Cpu, resident_bytes};
use crate::target::{Ground, Target};
use crate::tollgate::WHOLE;
use crate::{cold, families, scale};

/// The mock's answers that the steps ask for.
const STEADY: &str = "bench-200x10ms";
const SHORT: &str = "bench-20x5ms";
/// For the families, of which there are many ways.
pub const BRISK: &str = "bench-100x5ms";
const SLOW: &str = "bench-600x1000ms";
pub const MODELS: &[&str] = &[WHOLE, STEADY, SHORT, BRISK, SLOW];

/// After a load, so that work put off (records, pools) is in the bill of the load that caused it.
const SETTLE: Duration = Duration::from_millis(300);
/// Beyond its measuring time, what a load may take to warm up, open its streams and finish.
const LOAD_MARGIN: Duration = Duration::from_secs(60);
const LOOK_AT_MEMORY_EVERY: Duration = Duration::from_millis(100);

/// One measurement of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Step {
    /// Memory when idle and with many idle streams open. Comes first: later loads leave freed memory behind.
    Memory,
    /// CPU per request and requests a second, 32 connections.
    Requests,
    /// Latency at 200 requests a second.
    Latency,
    /// Time to the first chunk, 5 streams.
    FirstChunk,
    /// CPU per chunk, 50 streams.
    Chunks,
    /// CPU of a 100 kB prompt, 32 connections.
    Large,
    /// 2,000 slow streams at once: how long their chunks are on their way, and whether any is late or lost.
    SlowStreams,
    /// Every family beside the bare proxy, and every translation beside its family. Tollgate only, once, after all rounds.
    Families,
    /// The first request of a proxy that has just started, beside warm ones. Tollgate only, once, after all rounds.
    ColdStart,
    /// Memory, time to ready and the cost of finding a key with a million keys. Tollgate only, once, after all rounds.
    Scale,
}

impl Step {
    pub const ALL: &[Self] = &[
        Self::Memory,
        Self::Requests,
        Self::Latency,
        Self::FirstChunk,
        Self::Chunks,
        Self::Large,
        Self::SlowStreams,
        Self::Families,
        Self::ColdStart,
        Self::Scale,
    ];

    /// Whether the step is Tollgate's own: it starts what it needs by itself, and is not taken in turns.
    pub fn is_alone(self) -> bool {
        matches!(self, Self::Families | Self::ColdStart | Self::Scale)
    }
}

/// How much of it.
pub struct Extent {
    /// Length of every measured window, in seconds.
    pub seconds: f64,
    pub idle_streams: u32,
    /// Starts of a proxy that are looked at for its first request.
    pub starts: u32,
    /// Warm requests of each kind after each of them.
    pub warm: u32,
    /// Keys of a proxy that has many.
    pub keys: u64,
    /// Starts from its cache.
    pub restarts: u32,
    /// Turns in which every family's ways are taken.
    pub turns: u32,
    /// Pairs of loads that are compared for what finding a key costs.
    pub pairs: u32,
}

impl Extent {
    /// For claims.
    pub const FULL: Self = Self {
        seconds: 8.0,
        idle_streams: 2_000,
        starts: 20,
        warm: 100,
        keys: 1_000_000,
        restarts: 5,
        turns: 9,
        pairs: 5,
    };
    /// For trying things out.
    pub const QUICK: Self =
        Self { seconds: 3.0, idle_streams: 500, starts: 8, restarts: 3, turns: 5, pairs: 3, ..Self::FULL };
    /// For proving that every part still works.
    pub const SMOKE: Self =
        Self { seconds: 0.2, idle_streams: 20, starts: 2, warm: 5, keys: 2_000, restarts: 1, turns: 1, pairs: 1 };
}

/// What a load was and what it cost the target.
pub struct Loaded {
    pub summary: Summary,
    pub cpu: Option<Cpu>,
    control_cpu: Option<Cpu>,
    peak_bytes: u64,
}

/// Runs one of Tollgate's own steps.
pub async fn measure_alone(step: Step, ground: &Ground, extent: &Extent) -> Result<Values> {
    match step {
        Step::Families => families::measure(ground, extent).await,
        Step::ColdStart => cold::measure(ground, extent).await,
        Step::Scale => scale::measure(ground, extent).await,
        _ => bail!("{step:?} is taken in turns"),
    }
}

/// Runs one step against one target.
pub async fn measure(step: Step, ground: &Ground, target: &Target, extent: &Extent) -> Result<Values> {
    match step {
        Step::Memory => memory(ground, target, extent).await,
        Step::Requests => requests(ground, target, extent).await,
        Step::Latency => latency(ground, target, extent).await,
        Step::FirstChunk => first_chunk(ground, target, extent).await,
        Step::Chunks => chunks(ground, target, extent).await,
        Step::Large => large(ground, target, extent).await,
        Step::SlowStreams => slow_streams(ground, target, extent).await,
        Step::Families | Step::ColdStart | Step::Scale => bail!("{step:?} is not taken in turns"),
    }
}

/// Memory as it is right after the start; the caller takes it before the first request.
pub fn idle(target: &Target) -> Result<Values> {
    let mut values = Values::new();
    if let Some(process) = &target.process {
        values.insert(Figure::IdleMb, megabytes(resident_bytes(process.pid())?));
    }
    Ok(values)
}

/// Memory after everything, loads included.
pub fn after(target: &Target) -> Result<Values> {
    let mut values = Values::new();
    if let Some(process) = &target.process {
        values.insert(Figure::AfterMb, megabytes(resident_bytes(process.pid())?));
    }
    Ok(values)
}

/// A short load that must go without a fault: connections are made, caches are warm, and the target really answers.
pub async fn warm_up(ground: &Ground, target: &Target) -> Result<()> {
    let summary = load(ground, target, "closed", WHOLE, 0.5, &[]).await?;
    let fault = summary.first_error.unwrap_or_default();
    ensure!(summary.errors == 0 && summary.answered > 0, "{} does not answer well: {fault}", target.kind.name());
    Ok(())
}

async fn memory(ground: &Ground, target: &Target, extent: &Extent) -> Result<Values> {
    let before = target.process.as_ref().map_or(Ok(0), |process| resident_bytes(process.pid()))?;
    let streams = extent.idle_streams.to_string();
    let loaded = loaded(ground, target, "idle", SLOW, extent.seconds, &["--streams", &streams]).await?;
    let mut values = failed(&loaded);
    if target.process.is_some() && loaded.summary.opened > 0 {
        let grown = loaded.peak_bytes.saturating_sub(before);
        values.insert(Figure::StreamKb, grown as f64 / 1024.0 / loaded.summary.opened as f64);
    }
    if let Some(gap) = loaded.summary.gap_us {
        values.insert(Figure::StreamGapP99Ms, gap.p99 / 1_000.0);
        values.insert(Figure::StreamGapMaxMs, gap.max / 1_000.0);
    }
    Ok(values)
}

async fn requests(ground: &Ground, target: &Target, extent: &Extent) -> Result<Values> {
    let loaded = loaded(ground, target, "closed", WHOLE, extent.seconds, &["--connections", "32"]).await?;
    let mut values = failed(&loaded);
    per_piece(&mut values, loaded.summary.answered, loaded.cpu, Figure::RequestCpuUs, Cpu::micros);
    per_piece(&mut values, loaded.summary.answered, loaded.cpu, Figure::RequestKernelUs, Cpu::kernel_micros);
    per_piece(&mut values, loaded.summary.answered, loaded.control_cpu, Figure::RequestControlUs, Cpu::micros);
    values.insert(Figure::RequestsPerSecond, loaded.summary.rps);
    if let Some(latency) = loaded.summary.latency_us {
        values.insert(Figure::ClosedP50Us, latency.p50);
    }
    Ok(values)
}

async fn latency(ground: &Ground, target: &Target, extent: &Extent) -> Result<Values> {
    let arguments = ["--rate", "200", "--connections", "8"];
    let loaded = loaded(ground, target, "rate", WHOLE, extent.seconds, &arguments).await?;
    let mut values = failed(&loaded);
    per_piece(&mut values, loaded.summary.answered, loaded.cpu, Figure::RateCpuUs, Cpu::micros);
    if let Some(latency) = loaded.summary.latency_us {
        values.insert(Figure::RateP50Us, latency.p50);
        values.insert(Figure::RateP95Us, latency.p95);
    }
    Ok(values)
}

async fn first_chunk(ground: &Ground, target: &Target, extent: &Extent) -> Result<Values> {
    let loaded = loaded(ground, target, "streams", SHORT, extent.seconds, &["--streams", "5"]).await?;
    let mut values = failed(&loaded);
    if let Some(first) = loaded.summary.first_chunk_us {
        values.insert(Figure::FirstChunkP50Us, first.p50);
    }
    Ok(values)
}

async fn chunks(ground: &Ground, target: &Target, extent: &Extent) -> Result<Values> {
    let loaded = loaded(ground, target, "streams", STEADY, extent.seconds, &["--streams", "50"]).await?;
    let mut values = failed(&loaded);
    per_piece(&mut values, loaded.summary.chunks, loaded.cpu, Figure::ChunkCpuUs, Cpu::micros);
    values.insert(Figure::ChunksPerSecond, loaded.summary.chunks_per_second);
    if let Some(transit) = loaded.summary.transit_us {
        values.insert(Figure::TransitP50Us, transit.p50);
        values.insert(Figure::TransitP95Us, transit.p95);
    }
    Ok(values)
}

async fn large(ground: &Ground, target: &Target, extent: &Extent) -> Result<Values> {
    let arguments = ["--connections", "32", "--body-bytes", "100000"];
    let loaded = loaded(ground, target, "closed", WHOLE, extent.seconds, &arguments).await?;
    let mut values = failed(&loaded);
    per_piece(&mut values, loaded.summary.answered, loaded.cpu, Figure::LargeCpuUs, Cpu::micros);
    values.insert(Figure::LargePerSecond, loaded.summary.rps);
    Ok(values)
}

async fn slow_streams(ground: &Ground, target: &Target, extent: &Extent) -> Result<Values> {
    let streams = extent.idle_streams.to_string();
    let loaded = loaded(ground, target, "idle", SLOW, extent.seconds, &["--streams", &streams]).await?;
    let mut values = failed(&loaded);
    values.insert(Figure::SlowBroken, f64::from(extent.idle_streams) - loaded.summary.answered as f64);
    per_piece(&mut values, loaded.summary.chunks, loaded.cpu, Figure::SlowCpuUs, Cpu::micros);
    if let Some(transit) = loaded.summary.transit_us {
        values.insert(Figure::SlowP50Us, transit.p50);
        values.insert(Figure::SlowP99Us, transit.p99);
    }
    if let Some(gap) = loaded.summary.gap_us {
        values.insert(Figure::SlowLateMs, gap.max / 1_000.0);
    }
    Ok(values)
}

fn failed(loaded: &Loaded) -> Values {
    Values::from([(Figure::Failed, loaded.summary.errors as f64)])
}

fn per_piece(values: &mut Values, pieces: u64, cpu: Option<Cpu>, figure: Figure, micros: fn(Cpu) -> f64) {
    if let Some(cpu) = cpu.filter(|_| pieces > 0) {
        values.insert(figure, micros(cpu) / pieces as f64);
    }
}

pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

/// Puts a load on a target and takes the difference of its bills. The whole load counts, warming up and finishing
/// included, and so do all its answers; only the rates and the times are those of the window.
pub async fn loaded(
    ground: &Ground,
    target: &Target,
    mode: &str,
    model: &str,
    seconds: f64,
    arguments: &[&str],
) -> Result<Loaded> {
    let before = (bill(&target.process)?, bill(&target.aside)?);
    let load = load(ground, target, mode, model, seconds, arguments);
    let (summary, peak_bytes) = watching_memory(target, mode == "idle", load).await?;
    tokio::time::sleep(SETTLE).await;
    let after = (bill(&target.process)?, bill(&target.aside)?);
    if let Some(error) = &summary.first_error {
        eprintln!("  {}: {} failed, first: {error}", target.kind.name(), summary.errors);
    }
    Ok(Loaded {
        summary,
        cpu: after.0.zip(before.0).map(|(after, before)| after - before),
        control_cpu: after.1.zip(before.1).map(|(after, before)| after - before),
        peak_bytes,
    })
}

fn bill(process: &Option<Process>) -> Result<Option<Cpu>> {
    process.as_ref().map(|process| Cpu::of_tree(process.pid())).transpose()
}

/// Waits for the load; looks at the target's memory meanwhile only when asked to, since looking costs time on the load's core.
async fn watching_memory(
    target: &Target,
    wanted: bool,
    load: impl Future<Output = Result<Summary>>,
) -> Result<(Summary, u64)> {
    let mut load = std::pin::pin!(load);
    let Some(process) = target.process.as_ref().filter(|_| wanted) else { return Ok((load.await?, 0)) };
    let (mut looks, mut peak) = (tokio::time::interval(LOOK_AT_MEMORY_EVERY), 0);
    loop {
        tokio::select! {
            summary = &mut load => return Ok((summary?, peak)),
            _ = looks.tick() => peak = peak.max(resident_bytes(process.pid())?),
        }
    }
}

/// Runs the load in its own process and reads its line.
async fn load(
    ground: &Ground,
    target: &Target,
    mode: &str,
    model: &str,
    seconds: f64,
    arguments: &[&str],
) -> Result<Summary> {
    let mut command = Command::from(crate::child::pinned(ground.load_core, &ground.bench));
    command.args(["load", mode, "--to", &target.address.to_string()]);
    command.args(["--model", &format!("{}{model}", target.author), "--seconds", &seconds.to_string()]).args(arguments);
    // By the environment, so that the key does not show in the process list.
    match &target.key {
        Some(key) => command.env("BENCH_KEY", key),
        None => command.env_remove("BENCH_KEY"),
    };
    finish(&mut command, seconds).await
}

/// Runs a load to its end, which must come within its measuring time and a margin, and reads the line that it prints.
pub async fn finish<T: DeserializeOwned>(command: &mut Command, seconds: f64) -> Result<T> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).output();
    let limit = LOAD_MARGIN + Duration::from_secs_f64(seconds);
    let Ok(output) = tokio::time::timeout(limit, output).await else { bail!("the load did not end within {limit:?}") };
    let output = output.context("run the load")?;
    ensure!(output.status.success(), "the load failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    serde_json::from_slice(&output.stdout).context("the load printed no summary")
}
