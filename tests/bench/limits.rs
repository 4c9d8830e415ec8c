//! What a process of the bench asks of the system before it starts: open files, and (when wished) a higher priority.

use std::fs;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};

const AUTOGROUP: &str = "/proc/self/autogroup";

/// Thousands of idle streams are two descriptors each, more than the usual soft limit; returns what was reached.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // A refusal leaves the old limit, and the load then reports the streams it could not open.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// A raised priority, inherited by all children; the session's share is given back when this goes out of scope.
pub struct Priority {
    autogroup_before: Option<String>,
}

impl Priority {
    /// `nice` below zero needs root. Where the kernel groups processes by session, the group has to be raised as well,
    /// or the session shares the machine with the others one to one.
    pub fn raise(nice: i32) -> Result<Self> {
        setpriority_process(None, nice).with_context(|| format!("set priority {nice} (below zero needs root)"))?;
        let before =
            fs::read_to_string(AUTOGROUP).ok().and_then(|text| Some(text.trim().rsplit(' ').next()?.to_owned()));
        if before.is_some() {
            fs::write(AUTOGROUP, nice.to_string()).context("raise the session's scheduling group")?;
        }
        Ok(Self { autogroup_before: before })
    }
}

impl Drop for Priority {
    fn drop(&mut self) {
        if let Some(nice) = &self.autogroup_before
            && let Err(error) = fs::write(AUTOGROUP, nice)
        {
            eprintln!("bench: the session's scheduling group keeps its raised priority: {error}");
        }
    }
}
