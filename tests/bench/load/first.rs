//! The first requests of a proxy that has just started, each on a connection of its own, and then warm ones of the same
//! kinds. Waits itself until the proxy is ready, so that a millisecond at most lies between that moment and the first
//! request: time for the load and the mock to get warm again, so that only the proxy is not. The warm ones have the same
//! pause before them, so that a core that was left alone for that long is not taken for a proxy that is new.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::Aim;
use super::ask::{Ask, Connection};
use crate::clock::now_ns;
use crate::target::START_LIMIT;
use crate::tollgate::is_ready;

/// Requests to the mock itself before the proxy is ready: what the load and the mock do for the first time must not be in
/// the figures.
const PRACTICE: u32 = 20;
/// And before each request that is looked at.
const PRACTICE_AGAIN: u32 = 5;
const LIMIT: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(2);

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    aim: Aim,
    /// A model at the same provider that costs something; `--model` must be free.
    #[arg(long)]
    paid: String,
    /// A free model at another provider.
    #[arg(long)]
    elsewhere: String,
    /// The mock itself, to practise on.
    #[arg(long)]
    practice: SocketAddr,
    /// Begin with the model that costs something.
    #[arg(long)]
    paid_first: bool,
    /// Warm requests of the free and of the paid model, each.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    warm: u32,
}

/// What one start showed; times in microseconds from connecting to the last byte.
#[derive(Serialize, Deserialize)]
pub struct First {
    /// When the proxy was ready, on the clock that all processes share.
    pub ready_ns: u64,
    /// The very first request.
    pub first: f64,
    /// The first to another provider: it has to be connected to.
    pub elsewhere: f64,
    /// The first that costs something: credits have to be borrowed. Nothing when the very first one was of that kind.
    pub paid: Option<f64>,
    pub warm_free: Vec<f64>,
    pub warm_paid: Vec<f64>,
}

pub async fn run(options: Options) -> Result<First> {
    let ask = |model: &str| Ask::new(&Aim { model: model.to_owned(), ..options.aim.clone() }, false);
    let (free, elsewhere, paid) = (ask(&options.aim.model)?, ask(&options.elsewhere)?, ask(&options.paid)?);
    let practice = Ask::new(&Aim { to: options.practice, key: None, ..options.aim.clone() }, false)?;
    for _ in 0..PRACTICE {
        timed(&practice).await?;
    }
    let ready_ns = ready(options.aim.to)?;
    let rested = async |ask: &Ask| {
        for _ in 0..PRACTICE_AGAIN {
            timed(&practice).await?;
        }
        timed(ask).await
    };
    let first = rested(if options.paid_first { &paid } else { &free }).await.context("the first request")?;
    let elsewhere = rested(&elsewhere).await.context("the first request to another provider")?;
    let paid_first =
        if options.paid_first { None } else { Some(rested(&paid).await.context("the first paid request")?) };
    let (mut warm_free, mut warm_paid) = (Vec::new(), Vec::new());
    for _ in 0..options.warm {
        warm_free.push(rested(&free).await?);
        warm_paid.push(rested(&paid).await?);
    }
    Ok(First { ready_ns, first, elsewhere, paid: paid_first, warm_free, warm_paid })
}

/// Looks until the proxy says that it is ready. Blocks, which is fine: there is nothing else to do here.
fn ready(at: SocketAddr) -> Result<u64> {
    let until = Instant::now() + START_LIMIT;
    while !is_ready(at).unwrap_or(false) {
        ensure!(Instant::now() < until, "the proxy does not become ready");
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(now_ns())
}

/// One request on a connection of its own.
async fn timed(ask: &Ask) -> Result<f64> {
    let began = now_ns();
    tokio::time::timeout(LIMIT, Connection::to(ask.to).answer(ask)).await.context("no answer in time")??;
    Ok((now_ns() - began) as f64 / 1_000.0)
}
