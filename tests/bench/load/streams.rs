//! Streams, one after the other on every connection, read to the end. Shows the time to the first chunk, how long a chunk
//! is on its way, and what a chunk costs. A stream counts only when every chunk and `[DONE]` came.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::ask::{Ask, Connection};
use super::stamps::Stamps;
use super::tally::{Summary, Tally, keep};
use super::{Aim, Window};
use crate::clock::now_ns;
use crate::pattern::Pattern;

/// The beginnings of the first streams are spread over one stream's length, but not over more than this.
const MAX_SPREAD: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(10);

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    aim: Aim,
    /// Streams open at any time.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    streams: u32,
}

pub async fn run(options: Options) -> anyhow::Result<Summary> {
    let pattern = Pattern::of_model(&options.aim.model).context("--model is not of the form bench-200x10ms")?;
    let ask = Arc::new(Ask::new(&options.aim, true)?);
    let spread = pattern.length().min(MAX_SPREAD);
    let window = Window::begin_after(spread, options.aim.seconds, pattern.length());
    let apart = spread / options.streams;
    let mut connections = JoinSet::new();
    for turn in 0..options.streams {
        connections.spawn(connection(Arc::clone(&ask), window, pattern, apart * turn));
    }
    let mut all = Tally::default();
    while let Some(tally) = connections.join_next().await {
        all.add(tally?);
    }
    Ok(all.summary("streams", window))
}

async fn connection(ask: Arc<Ask>, window: Window, pattern: Pattern, wait: Duration) -> Tally {
    let mut tally = Tally::default();
    let mut connection = Connection::to(ask.to);
    let asking = async {
        tokio::time::sleep(wait).await;
        while window.is_open() {
            if let Err(error) = stream(&mut connection, &ask, window, pattern, &mut tally).await {
                tally.failed(&error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    if timeout_at(window.give_up, asking).await.is_err() {
        tally.failed(&anyhow::anyhow!("a stream did not end within the time of the run"));
    }
    tally
}

async fn stream(
    connection: &mut Connection,
    ask: &Ask,
    window: Window,
    pattern: Pattern,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let sent = now_ns();
    let mut body = connection.begin(ask).await?;
    let (mut stamps, mut chunks) = (Stamps::of(ask.family), 0_u32);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.context("read the stream")?.into_data() else { continue };
        let now = now_ns();
        stamps.read(&data, |left| {
            if chunks == 0 && window.holds(sent, now) {
                keep(&mut tally.first_chunks_ns, now - sent);
            }
            chunks += 1;
            tally.chunks += 1;
            if window.holds(left, now) {
                tally.chunks_in_window += 1;
                keep(&mut tally.transits_ns, now.saturating_sub(left));
            }
        });
    }
    ensure!(stamps.done() && chunks == pattern.chunks, "a stream ended after {chunks} of {} chunks", pattern.chunks);
    tally.answered += 1;
    tally.opened += 1;
    Ok(())
}
