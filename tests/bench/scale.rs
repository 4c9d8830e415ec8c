//! A proxy that knows a million keys: what it keeps of them, how soon it is ready with them, what finding one costs.
//! Its control plane is the one of `stand_in`, so that the proxy is alone in the figures.
//!
//! What finding a key costs is taken from outside: keys of the right form that nobody was given are refused after they
//! were looked for among the million; the same keys with a typo are refused with the same answer before that. The
//! difference in CPU time is the key's digest and the search together; what the digest costs is measured here, with the
//! same crate on the same machine, and taken away. The two loads take turns, and the median of the differences counts.
//! A search without success is no shorter than one with.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::child::{Process, pinned};
use crate::clock::now_ns;
use crate::crowd;
use crate::figures::{Figure, Values, median};
use crate::measure::{Cpu, peak_resident_bytes, resident_bytes};
use crate::steps::{Extent, loaded, megabytes};
use crate::target::{Ground, LOOK_EVERY, START_LIMIT, Target, free_port};
use crate::tollgate::{data_plane, proxy_settings, wait_until_ready};

/// The one model of the stand-in's catalogue, and what the mock is asked for.
pub const MODEL: &str = "mock/bench-json";
pub const UPSTREAM_MODEL: &str = "bench-json";

/// What is compared with: a proxy that knows this many, all of whom ask.
const FEW: u64 = 1_000;
/// How many of a million ask; more than a proxy's own memory of its callers holds at once.
const CALLERS: u64 = 100_000;
/// After a start, so that what was only needed for it has been given back.
const SETTLE: Duration = Duration::from_millis(500);
/// How long the cache may take to be on disk.
const CACHED_WITHIN: Duration = Duration::from_secs(60);
const QUIET: Duration = Duration::from_secs(1);
const CONNECTIONS: &str = "32";

pub async fn measure(ground: &Ground, extent: &Extent) -> Result<Values> {
    let mut values = Values::new();
    let many = Stage::open(ground, "many", extent.keys)?;
    let (first, took_ms) = many.start_proxy()?;
    values.insert(Figure::ScaleFetchMs, took_ms);
    values.insert(Figure::ScaleFetchedMb, many.resident(&first)?);
    values.insert(Figure::ScalePeakMb, megabytes(peak_resident_bytes(first.pid())?));
    many.wait_for_the_cache()?;
    drop(first);

    let (mut ready, mut cached, mut last) = (Vec::new(), Vec::new(), None);
    for _ in 0..extent.restarts {
        drop(last.take());
        let (proxy, took_ms) = many.start_proxy()?;
        ready.push(took_ms);
        cached.push(many.resident(&proxy)?);
        last = Some(proxy);
    }
    ensure!(many.whole_states_sent()? == 1, "a proxy that should have started from its cache asked for a whole state");
    let proxy = many.target(last.context("no restart")?);
    values.insert(Figure::ScaleReadyMs, median(&ready).context("no restart")?);
    values.insert(Figure::ScaleCachedMb, median(&cached).context("no restart")?);
    let (both, digest) = (digest_and_search(ground, &proxy, extent).await?, digest_us(extent.keys));
    values.insert(Figure::ScaleDigestUs, digest);
    values.insert(Figure::ScaleLookupUs, both - digest);
    let callers = CALLERS.min(extent.keys);
    paid(ground, &proxy, extent, callers, Figure::ScaleManyCpuUs, &mut values).await?;
    if let Some(process) = &proxy.process {
        values.insert(Figure::ScaleAfterMb, megabytes(resident_bytes(process.pid())?));
    }
    drop(proxy);
    drop(many);

    let few = Stage::open(ground, "few", FEW)?;
    let proxy = few.target(few.start_proxy()?.0);
    paid(ground, &proxy, extent, FEW, Figure::ScaleFewCpuUs, &mut values).await?;
    Ok(values)
}

/// Microseconds of CPU for making a key's digest and looking for it.
async fn digest_and_search(ground: &Ground, proxy: &Target, extent: &Extent) -> Result<f64> {
    let mut differences = Vec::new();
    for _ in 0..extent.pairs {
        let searched = refused(ground, proxy, extent, &[]).await?;
        differences.push(searched - refused(ground, proxy, extent, &["--typo"]).await?);
    }
    median(&differences).context("no pair of loads")
}

/// Microseconds of a digest alone, over texts that are not all in the nearest cache, as a server finds them.
fn digest_us(keys: u64) -> f64 {
    let texts: Vec<String> = (0..CALLERS.min(keys)).map(crowd::text).collect();
    let round = || {
        let began_ns = now_ns();
        for text in &texts {
            std::hint::black_box(crowd::digest_of(text));
        }
        (now_ns() - began_ns) as f64 / 1_000.0 / texts.len() as f64
    };
    median(&[round(), round(), round()]).unwrap_or_default()
}

/// CPU of a request that is refused for its key.
async fn refused(ground: &Ground, proxy: &Target, extent: &Extent, more: &[&str]) -> Result<f64> {
    let callers = CALLERS.min(extent.keys).to_string();
    let arguments = ["--connections", CONNECTIONS, "--callers", &callers, "--strangers", "--expect", "401"];
    cpu_each(ground, proxy, extent.seconds, &[&arguments, more].concat()).await.map(|(cpu, _)| cpu)
}

/// CPU of a paid request that one of so many callers sends.
async fn paid(
    ground: &Ground,
    proxy: &Target,
    extent: &Extent,
    callers: u64,
    figure: Figure,
    values: &mut Values,
) -> Result<()> {
    let callers = callers.to_string();
    let arguments = ["--connections", CONNECTIONS, "--callers", &callers];
    // Everybody has asked once before it counts: leases are borrowed, and the proxy knows whom it has seen.
    let (_, failed_before) = cpu_each(ground, proxy, extent.seconds, &arguments).await?;
    let (cpu, failed) = cpu_each(ground, proxy, extent.seconds, &arguments).await?;
    values.insert(figure, cpu);
    *values.entry(Figure::Failed).or_default() += failed_before + failed;
    Ok(())
}

/// CPU of a request in microseconds, and how many failed.
async fn cpu_each(ground: &Ground, proxy: &Target, seconds: f64, arguments: &[&str]) -> Result<(f64, f64)> {
    let loaded = loaded(ground, proxy, "closed", MODEL, seconds, arguments).await?;
    let answered = loaded.summary.answered;
    ensure!(answered > 0, "nobody was answered: {}", loaded.summary.first_error.unwrap_or_default());
    let cpu = loaded.cpu.map_or(0.0, Cpu::micros);
    Ok((cpu / answered as f64, loaded.summary.errors as f64))
}

/// The stand-in control plane with so many keys, and the folder of one proxy.
struct Stage {
    folder: PathBuf,
    config: String,
    program: PathBuf,
    target_core: usize,
    keys: u64,
    inference: SocketAddr,
    metrics: SocketAddr,
    stand_in: Process,
}

impl Stage {
    fn open(ground: &Ground, name: &str, keys: u64) -> Result<Self> {
        let folder = ground.folder.join(name);
        fs::create_dir_all(&folder).context("create a folder for the step")?;
        let (sync, inference, metrics) = (free_port()?, free_port()?, free_port()?);
        let mut command = pinned(ground.load_core, &ground.bench);
        command.args(["stand-in", "--listen", &sync.to_string(), "--upstream", &ground.upstream.to_string()]);
        command.args(["--keys", &keys.to_string()]);
        let mut stand_in = Process::start("stand-in", command, &folder)?;
        // Making a million keys takes a while, in a debug build most of all.
        let until = Instant::now() + START_LIMIT * 6;
        while TcpStream::connect(sync).is_err() {
            stand_in.check()?;
            ensure!(Instant::now() < until, "the stand-in control plane does not accept connections");
            std::thread::sleep(LOOK_EVERY);
        }
        let file = folder.join("proxy.toml");
        fs::write(&file, proxy_settings(&folder.join("proxy"), inference, metrics, sync)).context("write settings")?;
        let config = file.to_str().context("the bench's folder has an odd name")?.to_owned();
        let (program, target_core) = (ground.tollgate.clone(), ground.target_core);
        Ok(Self { folder, config, program, target_core, keys, inference, metrics, stand_in })
    }

    /// A proxy with all keys, and how many milliseconds it took from starting the process to ready.
    fn start_proxy(&self) -> Result<(Process, f64)> {
        let began_ns = now_ns();
        let command = data_plane(self.target_core, &self.program, &self.config);
        let mut proxy = Process::start("proxy", command, &self.folder)?;
        wait_until_ready(&mut proxy, self.inference)?;
        let took_ms = (now_ns() - began_ns) as f64 / 1e6;
        let known = known_keys(self.metrics).context("read the proxy's metrics")?;
        ensure!(known == self.keys, "the proxy knows {known} of {} keys\n{}", self.keys, self.stand_in.log_end());
        Ok((proxy, took_ms))
    }

    fn target(&self, proxy: Process) -> Target {
        Target::proxy(self.inference, proxy)
    }

    fn resident(&self, proxy: &Process) -> Result<f64> {
        std::thread::sleep(SETTLE);
        resident_bytes(proxy.pid()).map(megabytes)
    }

    /// Returns once the proxy's folder has stopped growing.
    fn wait_for_the_cache(&self) -> Result<()> {
        let until = Instant::now() + CACHED_WITHIN;
        let (mut size, mut since) = (0, Instant::now());
        while size == 0 || since.elapsed() < QUIET {
            ensure!(Instant::now() < until, "the proxy's folder does not come to rest");
            std::thread::sleep(LOOK_EVERY);
            let now = folder_bytes(&self.folder.join("proxy"));
            if now != size {
                (size, since) = (now, Instant::now());
            }
        }
        Ok(())
    }

    fn whole_states_sent(&self) -> Result<usize> {
        let log = fs::read_to_string(self.folder.join("stand-in.log")).context("read the stand-in's log")?;
        Ok(log.matches("a whole state is sent").count())
    }
}

/// Bytes of all files below; what cannot be read just now is looked at again the next time.
fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => folder_bytes(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

/// What the proxy's metrics say.
fn known_keys(metrics: SocketAddr) -> Result<u64> {
    let mut socket = TcpStream::connect(metrics)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(socket, "GET /metrics HTTP/1.1\r\nhost: {metrics}\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    let line = text.lines().find_map(|line| line.strip_prefix("tollgate_snapshot_keys "));
    let value: f64 = line.context("there is no tollgate_snapshot_keys")?.trim().parse()?;
    Ok(value as u64)
}
