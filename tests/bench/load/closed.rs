//! Closed loop: every connection asks again as soon as it was answered. Shows what a request costs when there is no waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::ask::{Ask, Callers, Connection};
use super::tally::{Summary, Tally, keep};
use super::{Aim, Window};
use crate::clock::now_ns;

/// After a failure, so that a dead target is not asked in a tight loop.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    aim: Aim,
    #[command(flatten)]
    callers: Callers,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    connections: u32,
}

pub async fn run(options: Options) -> anyhow::Result<Summary> {
    let ask = Arc::new(Ask::new(&options.aim, false)?.by(&options.callers)?);
    let window = Window::begin(options.aim.seconds);
    let mut connections = JoinSet::new();
    for _ in 0..options.connections {
        connections.spawn(connection(Arc::clone(&ask), window));
    }
    let mut all = Tally::default();
    while let Some(tally) = connections.join_next().await {
        all.add(tally?);
    }
    Ok(all.summary("closed", window))
}

async fn connection(ask: Arc<Ask>, window: Window) -> Tally {
    let mut tally = Tally::default();
    let mut connection = Connection::to(ask.to);
    let asking = async {
        while window.is_open() {
            let sent = now_ns();
            match connection.answer(&ask).await {
                Ok(()) => answered(&mut tally, window, sent),
                Err(error) => {
                    tally.failed(&error);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    if timeout_at(window.give_up, asking).await.is_err() {
        tally.failed(&anyhow::anyhow!("no answer within the time of the run"));
    }
    tally
}

pub fn answered(tally: &mut Tally, window: Window, sent_ns: u64) {
    let now = now_ns();
    tally.answered += 1;
    if window.holds(sent_ns, now) {
        keep(&mut tally.latencies_ns, now - sent_ns);
    }
}
