//! Many slow streams at once, opened at a steady pace, held and then left. Shows what an open stream holds on to, and
//! whether every one of them still gets its chunks in time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::ask::{Ask, Connection};
use super::stamps::Stamps;
use super::tally::{Summary, Tally, keep};
use super::{Aim, Window, nanos};
use crate::clock::{NANOS_PER_SECOND, Ticker, now_ns};
use crate::pattern::Pattern;

/// New streams a second: slow enough for every backlog.
const OPENED_PER_SECOND: u64 = 500;

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    aim: Aim,
    /// Streams to hold open.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    streams: u32,
}

pub async fn run(options: Options) -> anyhow::Result<Summary> {
    let pattern = Pattern::of_model(&options.aim.model).context("--model is not of the form bench-600x1000ms")?;
    let apart_ns = NANOS_PER_SECOND / OPENED_PER_SECOND;
    let opening = Duration::from_nanos(apart_ns * u64::from(options.streams));
    let window = Window::begin_after(opening, options.aim.seconds, Duration::ZERO);
    let leave = Instant::now() + Duration::from_nanos(window.until_ns.saturating_sub(now_ns()));
    ensure!(pattern.length() > leave - Instant::now(), "the model's streams end before the run does");

    let ask = Arc::new(Ask::new(&options.aim, true)?);
    let mut ticker = Ticker::every(now_ns() + apart_ns, apart_ns)?;
    let (mut streams, mut due, mut started) = (JoinSet::new(), 0, 0);
    while started < options.streams {
        due += ticker.ticks().await?;
        while u64::from(started) < due && started < options.streams {
            streams.spawn(stream(Arc::clone(&ask), pattern, window, leave));
            started += 1;
        }
    }
    let mut all = Tally::default();
    while let Some(tally) = streams.join_next().await {
        all.add(tally?);
    }
    Ok(all.summary("idle", window))
}

/// Reads one stream until it is time to leave; that it ends before is an error.
async fn stream(ask: Arc<Ask>, pattern: Pattern, window: Window, leave: Instant) -> Tally {
    let mut tally = Tally::default();
    match timeout_at(leave, read(&ask, pattern, window, &mut tally)).await {
        Err(_time_to_leave) if tally.opened == 1 => tally.answered = 1,
        Err(_time_to_leave) => tally.failed(&anyhow::anyhow!("a stream had no chunk when the time was over")),
        Ok(Ok(())) => tally.failed(&anyhow::anyhow!("a stream ended while it should have been held open")),
        Ok(Err(error)) => tally.failed(&error),
    }
    tally
}

async fn read(ask: &Ask, pattern: Pattern, window: Window, tally: &mut Tally) -> anyhow::Result<()> {
    let mut connection = Connection::to(ask.to);
    let mut body = connection.begin(ask).await?;
    let (mut stamps, mut chunks, mut before) = (Stamps::of(ask.family), 0_u32, 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.context("read the stream")?.into_data() else { continue };
        let now = now_ns();
        stamps.read(&data, |left| {
            chunks += 1;
            tally.chunks += 1;
            // Only once all of them are open.
            if window.holds(left, now) {
                keep(&mut tally.transits_ns, now.saturating_sub(left));
            }
            // The mock shortens its first interval, so the first gap that can be judged is the one before the third chunk.
            if chunks > 2 {
                keep(&mut tally.gaps_ns, (now - before).saturating_sub(nanos(pattern.interval)));
            }
            before = now;
        });
        tally.opened = u64::from(chunks > 0);
    }
    Ok(())
}
