//! What every process has, under the names that Prometheus client libraries agree on.

use std::fs;

use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

use super::{Kind, Registry};
use crate::Result;

pub(super) fn register(registry: &Registry, started_us: i64) -> Result<()> {
    let gauge = Kind::Gauge;
    registry.collect("process_cpu_seconds_total", "CPU time of all threads.", Kind::Counter, [], |samples| {
        samples.number([], cpu_seconds());
    })?;
    registry.collect("process_resident_memory_bytes", "Memory in use.", gauge, [], |samples| {
        if let Some(bytes) = resident_bytes() {
            samples.count([], bytes);
        }
    })?;
    registry.collect("process_open_fds", "Open files and sockets.", gauge, [], |samples| {
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            samples.count([], entries.count() as u64);
        }
    })?;
    registry.collect("process_max_fds", "Most files and sockets that may be open.", gauge, [], |samples| {
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            samples.count([], limit);
        }
    })?;
    #[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 fit the 53 bits of a float until 2255")]
    let started = started_us as f64 / 1e6;
    registry.collect("process_start_time_seconds", "When the process started.", gauge, [], move |samples| {
        samples.number([], started);
    })
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "CPU seconds and nanoseconds are far below 2^53")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}

/// `VmRSS` of `/proc/self/status`, which unlike `statm` needs no page size.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
