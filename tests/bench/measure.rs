//! What a process and its children cost, read from /proc: CPU time of all their threads, and resident memory.
//! Never estimates: a process that cannot be read is an error, not a zero.

use std::collections::HashMap;
use std::fs;
use std::ops::Sub;

use anyhow::{Context, Result};

/// CPU time of a process tree, in the kernel's ticks (usually 10 ms, so runs must last seconds).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cpu {
    user_ticks: u64,
    kernel_ticks: u64,
}

impl Cpu {
    pub fn of_tree(root: u32) -> Result<Self> {
        let mut sum = Self::default();
        for stat in tree(root)? {
            sum.user_ticks += stat.user_ticks;
            sum.kernel_ticks += stat.kernel_ticks;
        }
        Ok(sum)
    }

    /// Microseconds of user and kernel time together.
    pub fn micros(self) -> f64 {
        (self.user_ticks + self.kernel_ticks) as f64 * micros_per_tick()
    }

    /// Microseconds of kernel time: the kernel's own estimate.
    pub fn kernel_micros(self) -> f64 {
        self.kernel_ticks as f64 * micros_per_tick()
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            user_ticks: self.user_ticks.saturating_sub(before.user_ticks),
            kernel_ticks: self.kernel_ticks.saturating_sub(before.kernel_ticks),
        }
    }
}

fn micros_per_tick() -> f64 {
    1e6 / rustix::param::clock_ticks_per_second() as f64
}

/// Resident memory of a process tree in bytes; pages that its processes share are counted in each, kernel buffers in none.
pub fn resident_bytes(root: u32) -> Result<u64> {
    let pages: u64 = tree(root)?.iter().map(|stat| stat.resident_pages).sum();
    Ok(pages * rustix::param::page_size() as u64)
}

/// The most that one process has had resident since it started, in bytes.
pub fn peak_resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read a process's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak of resident memory")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().context("a peak in kB")?;
    Ok(kilobytes * 1024)
}

/// One process as /proc tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    pub pid: u32,
    parent: u32,
    user_ticks: u64,
    kernel_ticks: u64,
    /// Ticks since boot; with the pid it names one process for good.
    pub started: u64,
    resident_pages: u64,
}

impl Stat {
    pub fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name in parentheses may itself hold spaces and parentheses, so the fields are counted from the last one.
    fn parse(line: &str) -> Option<Self> {
        let (front, back) = line.rsplit_once(')')?;
        let fields: Vec<&str> = back.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            pid: front.split(' ').next()?.parse().ok()?,
            parent: number(1)?.try_into().ok()?,
            user_ticks: number(11)?,
            kernel_ticks: number(12)?,
            started: number(19)?,
            resident_pages: number(21)?,
        })
    }
}

/// A process and everything below it.
pub fn tree(root: u32) -> Result<Vec<Stat>> {
    let mut children: HashMap<u32, Vec<Stat>> = HashMap::new();
    for entry in fs::read_dir("/proc").context("read /proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(stat) = Stat::of(pid) {
            children.entry(stat.parent).or_default().push(stat);
        }
    }
    let mut found = vec![Stat::of(root).with_context(|| format!("process {root} is gone"))?];
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            parents.push(child.pid);
            found.push(child);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_even_when_the_name_has_parentheses() {
        let line = "42 (odd) name) S 7 42 42 0 -1 4194304 100 0 0 0 250 31 0 0 20 0 4 0 99887 1000000 640 18446744073709551615";
        let stat = Stat { pid: 42, parent: 7, user_ticks: 250, kernel_ticks: 31, started: 99887, resident_pages: 640 };
        assert_eq!(Stat::parse(line), Some(stat));
        assert_eq!(Stat::parse("42 (cut"), None);
    }

    #[test]
    fn this_process_is_in_its_own_tree_and_uses_memory() {
        let me = std::process::id();
        assert_eq!(tree(me).unwrap()[0].pid, me);
        assert!(resident_bytes(me).unwrap() > 100_000);
        assert!(peak_resident_bytes(me).unwrap() > 100_000);
        assert!(Cpu::of_tree(u32::MAX).is_err());
    }
}
