//! A proxy that has just started: is its first request as fast as any? The control plane stays up; only the data plane is
//! started again and again, on the folder that the one before left.
//!
//! A first request pays for three things: that it is the first, a connection to the provider, and credits from the
//! control plane, which are on its disk before they are lent. The last two are nobody's fault and far larger than a warm
//! request, so that taking them away by subtraction alone would leave nothing but their noise. Therefore the first
//! request asks for a free model, for which nothing is borrowed; the connection, some tens of microseconds, is what the
//! first request to another provider takes above a warm one, and is subtracted start by start; the lease is what the
//! first request that costs something takes above a warm one of its kind, and is shown. Some further starts begin with a
//! paid request and show the whole of it, as a client would see it.

use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::child::pinned;
use crate::clock::now_ns;
use crate::figures::{Figure, Values, median};
use crate::load::First;
use crate::steps::{Extent, finish};
use crate::target::Ground;
use crate::tollgate::{FREE, FREE_ELSEWHERE, Installation, PAID};

/// Of the starts, how many more begin with a paid request: one for each so many.
const PAID_FIRST_EVERY: u32 = 4;

/// One start.
struct Start {
    seen: First,
    /// From starting the process to ready.
    ready_ms: f64,
}

pub async fn measure(ground: &Ground, extent: &Extent) -> Result<Values> {
    let installation = Installation::start(ground)?;
    // The first start ever has no snapshot cache and no keys in it; it is not one of those that are looked at.
    drop(start(ground, &installation, extent, false).await?);
    let mut starts = Vec::new();
    for _ in 0..extent.starts {
        starts.push(start(ground, &installation, extent, false).await?);
    }
    let mut whole = Vec::new();
    for _ in 0..extent.starts.div_ceil(PAID_FIRST_EVERY) {
        whole.push(start(ground, &installation, extent, true).await?.seen.first);
    }
    figures(&starts, &whole).context("no start was looked at")
}

async fn start(ground: &Ground, installation: &Installation, extent: &Extent, paid_first: bool) -> Result<Start> {
    let began_ns = now_ns();
    let process = installation.start_data_plane()?;
    let mut command = Command::from(pinned(ground.load_core, &ground.bench));
    command.args(["load", "first", "--model", FREE, "--paid", PAID, "--elsewhere", FREE_ELSEWHERE]);
    command.args(["--to", &installation.address().to_string(), "--practice", &ground.upstream.to_string()]);
    command.args(["--warm", &extent.warm.to_string()]).env("BENCH_KEY", &installation.key);
    if paid_first {
        command.arg("--paid-first");
    }
    let command = command.stdin(Stdio::null());
    let seen: First =
        finish(command, f64::from(extent.warm)).await.inspect_err(|_| eprintln!("{}", process.log_end()))?;
    Ok(Start { ready_ms: seen.ready_ns.saturating_sub(began_ns) as f64 / 1e6, seen })
}

/// None without a start.
fn figures(starts: &[Start], whole: &[f64]) -> Option<Values> {
    let all =
        |pick: fn(&First) -> &[f64]| starts.iter().flat_map(|start| pick(&start.seen)).copied().collect::<Vec<_>>();
    let each = |pick: fn(&Start) -> f64| median(&starts.iter().map(pick).collect::<Vec<_>>());
    let warm = median(&all(|seen| &seen.warm_free))?;
    let warm_paid = median(&all(|seen| &seen.warm_paid))?;
    let paid: Vec<f64> = starts.iter().filter_map(|start| start.seen.paid).collect();
    // Start by start: what disturbs the machine for a moment disturbs neighbours alike.
    let own: Vec<f64> = starts.iter().map(|start| start.seen.first - (start.seen.elsewhere - warm)).collect();
    let own = median(&own)?;
    Some(Values::from([
        (Figure::ColdReadyMs, each(|start| start.ready_ms)?),
        (Figure::ColdWholeUs, median(whole)?),
        (Figure::ColdLeaseUs, median(&paid)? - warm_paid),
        (Figure::ColdConnectUs, each(|start| start.seen.elsewhere)? - warm),
        (Figure::ColdOwnUs, own),
        (Figure::ColdWarmUs, warm),
        (Figure::ColdOverWarm, own / warm),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(first: f64, elsewhere: f64, paid: f64) -> Start {
        let seen =
            First { ready_ns: 0, first, elsewhere, paid: Some(paid), warm_free: vec![100.0], warm_paid: vec![110.0] };
        Start { seen, ready_ms: 300.0 }
    }

    #[test]
    fn the_connection_is_taken_away_and_the_lease_is_shown() {
        let starts = [start(190.0, 160.0, 2_110.0), start(200.0, 160.0, 3_110.0), start(230.0, 170.0, 1_110.0)];
        let figures = figures(&starts, &[2_500.0]).unwrap();
        assert_eq!(figures[&Figure::ColdConnectUs], 60.0);
        assert_eq!(figures[&Figure::ColdLeaseUs], 2_000.0);
        assert_eq!(figures[&Figure::ColdOwnUs], 140.0);
        assert_eq!(figures[&Figure::ColdOverWarm], 1.4);
    }

    #[test]
    fn no_start_is_no_figure() {
        assert!(figures(&[], &[]).is_none());
    }
}
