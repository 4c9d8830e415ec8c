//! Tells the controller what this proxy met at providers: what is to be left alone at once, everything else every five
//! seconds. Never judges; that is the controller's view, and `standing` keeps what comes of it.

use std::time::Duration;

use proto::convert::{write_coolings, write_met};
use proto::sync as wire;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::standing::Standings;

/// How long a window is.
const WINDOW: Duration = Duration::from_secs(5);
/// How often what is over is forgotten.
const SWEEP: Duration = Duration::from_secs(1);

/// What one stream tells.
pub(super) struct Observer {
    standings: Standings,
    windows: Interval,
    window: u64,
}

impl Observer {
    /// What providers asked for before is told with the first window, at once.
    pub(super) fn new(standings: Standings) -> Observer {
        // What was met while nobody listened is not of the first window.
        drop(standings.collect());
        let mut windows = tokio::time::interval(WINDOW);
        windows.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Observer { standings, windows, window: 0 }
    }

    /// The next thing to tell.
    pub(super) async fn next(&mut self) -> wire::Observations {
        let is_window = tokio::select! {
            _ = self.windows.tick() => true,
            () = self.standings.news() => false,
        };
        self.window += u64::from(is_window);
        wire::Observations {
            window: if is_window { self.window } else { 0 },
            routes: if is_window { write_met(&self.standings.collect()) } else { Vec::new() },
            coolings: write_coolings(&self.standings.own_coolings()),
        }
    }
}

/// Forgets what is over, whether there is a controller or not.
pub(super) async fn keep(standings: Standings, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => standings.sweep(),
        }
    }
}
