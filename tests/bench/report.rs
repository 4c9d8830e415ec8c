//! What was measured, as a table for people and as JSON for programs, and what about the machine makes it doubtful.
//! Shows medians with the range over the rounds; a ratio is taken round by round.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::figures::{BARS, FIGURES, Figure, Round, judge, median, ratios, samples};
use crate::nginx;
use crate::steps::Extent;
use crate::target::Kind;

/// Magic number of a file system that lives in memory.
const TMPFS: i64 = 0x0102_1994;
/// Above this share of the cores, the machine is busy with something else.
const BUSY: f64 = 0.25;
const TITLE_WIDTH: usize = 40;
const VALUE_WIDTH: usize = 26;
const RATIO_WIDTH: usize = 10;

pub struct Report<'a> {
    pub rounds: &'a [Round],
    pub kinds: &'a [Kind],
    pub extent: &'a Extent,
}

impl Report<'_> {
    /// The table, the bars and the machine.
    pub fn text(&self) -> String {
        let mut text = format!("\n{}\n\n", machine_line());
        text.push_str(&self.heading());
        for shown in FIGURES {
            if let Some(line) = self.line(shown.title, shown.figure, shown.decimals) {
                text.push_str(&line);
            }
        }
        text.push_str(&self.bars());
        text
    }

    fn heading(&self) -> String {
        let Extent { seconds, idle_streams, .. } = self.extent;
        let rounds = self.rounds.len();
        let mut line =
            format!("median of {rounds} rounds of {seconds} s, range in brackets; {idle_streams} idle streams\n\n");
        line.push_str(&" ".repeat(TITLE_WIDTH));
        for kind in self.kinds {
            line.push_str(&format!("{:>VALUE_WIDTH$}", kind.name()));
        }
        if self.kinds.contains(&Kind::Tollgate) {
            line.push_str(&format!("{:>RATIO_WIDTH$}{:>RATIO_WIDTH$}", "/floor", "/nginx"));
        }
        line.push('\n');
        line
    }

    /// One figure over all targets, if any target has it.
    fn line(&self, title: &str, figure: Figure, decimals: usize) -> Option<String> {
        let cells: Vec<Option<String>> = self.kinds.iter().map(|kind| self.cell(*kind, figure, decimals)).collect();
        cells.iter().any(Option::is_some).then(|| {
            let mut line = format!("{title:<TITLE_WIDTH$}");
            for cell in cells {
                line.push_str(&format!("{:>VALUE_WIDTH$}", cell.as_deref().unwrap_or("-")));
            }
            if self.kinds.contains(&Kind::Tollgate) {
                for against in ["floor", "nginx"] {
                    let ratio = median(&ratios(self.rounds, "tollgate", against, figure));
                    let ratio = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
                    line.push_str(&format!("{ratio:>RATIO_WIDTH$}"));
                }
            }
            line.push('\n');
            line
        })
    }

    fn cell(&self, kind: Kind, figure: Figure, decimals: usize) -> Option<String> {
        let mut samples = samples(self.rounds, kind.name(), figure);
        samples.sort_by(f64::total_cmp);
        let (middle, lowest, highest) = (median(&samples)?, samples.first()?, samples.last()?);
        Some(if samples.len() == 1 {
            format!("{middle:.decimals$}")
        } else {
            format!("{middle:.decimals$} ({lowest:.decimals$}-{highest:.decimals$})")
        })
    }

    fn bars(&self) -> String {
        let mut text = String::from("\n");
        for bar in BARS {
            let verdict = match judge(self.rounds, bar) {
                Some((value, holds)) => format!("{value:>8.2}  {}", if holds { "pass" } else { "FAIL" }),
                None => format!("{:>8}  not measured", "-"),
            };
            text.push_str(&format!("{:<TITLE_WIDTH$}<= {:<6}{verdict}\n", bar.title, bar.limit));
        }
        text
    }

    /// Failed requests of all targets and rounds.
    pub fn failed(&self) -> f64 {
        let failed = |kind: &Kind| samples(self.rounds, kind.name(), Figure::Failed).into_iter().sum::<f64>();
        self.kinds.iter().map(failed).sum()
    }

    pub fn all_bars_hold(&self) -> bool {
        BARS.iter().all(|bar| judge(self.rounds, bar).is_some_and(|(_, holds)| holds))
    }

    /// Everything, each round by itself.
    pub fn json(&self) -> Result<String> {
        let medians: serde_json::Map<String, Value> =
            self.kinds.iter().map(|kind| self.medians(*kind)).collect::<Result<_>>()?;
        let bars: Vec<Value> = BARS.iter().map(|bar| self.bar(bar)).collect();
        let report = json!({
            "machine": machine(),
            "nginx": nginx::version(),
            "debug_build": cfg!(debug_assertions),
            "window_seconds": self.extent.seconds,
            "idle_streams": self.extent.idle_streams,
            "starts": self.extent.starts,
            "keys": self.extent.keys,
            "rounds": serde_json::to_value(self.rounds).context("write the rounds")?,
            "medians": medians,
            "bars": bars,
        });
        serde_json::to_string_pretty(&report).context("write the report")
    }

    fn medians(&self, kind: Kind) -> Result<(String, Value)> {
        let of = |figure| median(&samples(self.rounds, kind.name(), figure)).map(|median| (figure, median));
        let medians: crate::figures::Values = FIGURES.iter().filter_map(|shown| of(shown.figure)).collect();
        Ok((kind.name().to_owned(), serde_json::to_value(medians).context("write the medians")?))
    }

    fn bar(&self, bar: &crate::figures::Bar) -> Value {
        let judged = judge(self.rounds, bar);
        json!({
            "title": bar.title,
            "figure": bar.figure,
            "against": bar.against,
            "limit": bar.limit,
            "value": judged.map(|(value, _)| value),
            "holds": judged.map(|(_, holds)| holds),
        })
    }
}

/// Says on stderr what would make the figures worth less.
pub fn warn_about_the_machine(folder: &Path) {
    if cfg!(debug_assertions) {
        eprintln!("warning: this is a debug build of the bench; build with --release before believing a figure");
    }
    if rustix::fs::statfs(folder).is_ok_and(|disk| disk.f_type == TMPFS) {
        eprintln!(
            "warning: {} is in memory; give --folder on a real disk, or the spool costs nothing",
            folder.display()
        );
    }
    let busy = load_average().unwrap_or_default();
    if busy > BUSY * cores() as f64 {
        eprintln!("warning: the machine is busy (load average {busy}); figures will move, tails most of all");
    }
}

fn machine_line() -> String {
    let machine = machine();
    let text = |field: &str| machine.get(field).and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let nginx = nginx::version().unwrap_or_else(|| "none".into());
    format!("{} x {}, kernel {}, nginx {nginx}", cores(), text("cpu"), text("kernel"))
}

fn machine() -> Value {
    let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned());
    json!({ "cpu": cpu, "cores": cores(), "kernel": kernel, "load_average_at_end": load_average() })
}

/// All cores of the machine, not those this process is pinned to.
fn cores() -> usize {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpuinfo.lines().filter(|line| line.starts_with("processor")).count().max(1)
}

/// Processes that wanted to run, over the last minute.
fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}
