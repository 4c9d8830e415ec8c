//! What proxies of other controllers on the same database met: each controller writes what its own proxies told as rows, and
//! reads those of the others, so that all of them have the same view. Only PostgreSQL can have any; without others there is
//! nothing to do. A row is enough, since a message holds all that a proxy knows and a lost one is made up for by the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::ProxyId;
use domain::time::Timestamp;
use prost::Message as _;
use proto::sync as wire;
use runtime::tasks::Tasks;
use store::observations::Observation;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;
use crate::sync::Connection;

/// How often rows are looked at without a nudge.
const LOOK: Duration = Duration::from_secs(1);
/// What is older says nothing any more; clocks of controllers may differ by a part of it.
const LIVES: Duration = Duration::from_secs(15);
/// How often old rows are removed, in looks.
const FORGET_EVERY: u64 = 60;

/// Writes what a proxy of this controller told. What cannot be written is told again within seconds.
pub(super) async fn pass_on(app: &App, connection: &Connection, observed: wire::Observations) {
    if !app.store.is_postgres() {
        return;
    }
    let is_urgent = observed.window == 0;
    let (sequence, observed) = connection.observed(observed);
    let told = Observation {
        proxy: connection.proxy.clone(),
        controller: app.name.clone(),
        epoch: connection.epoch,
        sequence,
        body: observed.encode_to_vec(),
        told_at: app.now(),
    };
    if let Err(error) = store::observations::put(&app.store, &told, is_urgent).await {
        let error: &dyn std::error::Error = &error;
        tracing::debug!(error, "observations cannot be written now");
    }
}

/// Starts reading, where there can be others.
pub(super) fn start(app: &Arc<App>, tasks: &Tasks) {
    if !app.store.is_postgres() {
        return;
    }
    let (app, stop) = (app.clone(), tasks.stopping());
    tasks.spawn("health-elsewhere", async move {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut seen, mut count) = (Seen::default(), 0u64);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
                () = app.fleet.observed.notified() => {}
            }
            count += 1;
            if let Err(error) = look(&app, &mut seen, count % FORGET_EVERY == 0).await {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(error, "observations of other controllers cannot be read now");
            }
        }
    });
}

/// The last message of each proxy, so that none counts twice: whose it was, and the last window in it.
type Seen = HashMap<ProxyId, (String, u64, u64)>;

async fn look(app: &App, seen: &mut Seen, forgets: bool) -> store::Result<()> {
    let since = ago(app, LIVES);
    let rows = store::observations::list_others(&app.store, &app.name, since).await?;
    seen.retain(|proxy, _| rows.iter().any(|row| row.proxy == *proxy));
    for row in rows {
        take(app, seen, row);
    }
    if forgets {
        store::observations::forget(&app.store, ago(app, FORGET_AGE)).await?;
    }
    Ok(())
}

/// Rows that are as old are removed.
const FORGET_AGE: Duration = Duration::from_secs(600);

fn take(app: &App, seen: &mut Seen, row: Observation) {
    let life = format!("{} {}", row.controller, row.epoch);
    let last =
        seen.get(&row.proxy).filter(|(known, _, _)| *known == life).map(|(_, sequence, window)| (*sequence, *window));
    if last.is_some_and(|(sequence, _)| sequence >= row.sequence) {
        return;
    }
    let Ok(mut observed) = wire::Observations::decode(row.body.as_slice()) else { return };
    let window = observed.window;
    if last.is_some_and(|(_, last)| last == window) {
        // Only what cools is news: the window is the one that was there before.
        observed.window = 0;
    }
    // What cools was told a little while ago.
    let age_ms = u64::try_from(app.now().since_us(row.told_at) / 1_000).unwrap_or(0);
    for cooling in &mut observed.coolings {
        cooling.left_ms = cooling.left_ms.saturating_sub(age_ms);
    }
    super::take(app, &row.proxy, &observed);
    seen.insert(row.proxy, (life, row.sequence, window));
}

fn ago(app: &App, span: Duration) -> Timestamp {
    Timestamp::from_us(app.now().us().saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
}
