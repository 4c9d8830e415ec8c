//! A fixed rate, evenly spread over a few connections by a fine timer. Shows the latency of a gateway that is not busy.

use std::sync::Arc;

use anyhow::ensure;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::ask::{Ask, Connection};
use super::closed::answered;
use super::tally::{Summary, Tally};
use super::{Aim, Window};
use crate::clock::{NANOS_PER_SECOND, Ticker, now_ns};

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    aim: Aim,
    /// Requests a second, all connections together.
    #[arg(long, default_value_t = 200)]
    rate: u64,
    /// Keep-alive connections, asked in turn.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=256))]
    connections: u64,
}

pub async fn run(options: Options) -> anyhow::Result<Summary> {
    ensure!((1..=100_000).contains(&options.rate), "--rate is 1 to 100000");
    let ask = Arc::new(Ask::new(&options.aim, false)?);
    let window = Window::begin(options.aim.seconds);
    let apart_ns = NANOS_PER_SECOND / options.rate;
    let first_ns = now_ns() + apart_ns;
    let mut connections = JoinSet::new();
    for turn in 0..options.connections {
        let ticker = Ticker::every(first_ns + turn * apart_ns, apart_ns * options.connections)?;
        connections.spawn(connection(Arc::clone(&ask), window, ticker));
    }
    let mut all = Tally::default();
    while let Some(tally) = connections.join_next().await {
        all.add(tally?);
    }
    Ok(all.summary("rate", window))
}

async fn connection(ask: Arc<Ask>, window: Window, mut ticker: Ticker) -> Tally {
    let mut tally = Tally::default();
    let mut connection = Connection::to(ask.to);
    let asking = async {
        loop {
            tally.late += ticker.ticks().await?.saturating_sub(1);
            if !window.is_open() {
                return anyhow::Ok(());
            }
            let sent = now_ns();
            match connection.answer(&ask).await {
                Ok(()) => answered(&mut tally, window, sent),
                Err(error) => tally.failed(&error),
            }
        }
    };
    match timeout_at(window.give_up, asking).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tally.failed(&error),
        Err(_) => tally.failed(&anyhow::anyhow!("no answer within the time of the run")),
    }
    tally
}
