//! Writes the rows of this controller's proxies, for other controllers and for whoever reads the table: at most once a
//! second, beside the streams, which never wait for it. Removes the rows of connections that ended.

use std::sync::Arc;
use std::time::Duration;

use runtime::tasks::Tasks;

use super::fleet::ROW_LIVES;
use crate::app::App;

/// Shortest time between two writes of the same row.
const PAUSE: Duration = Duration::from_secs(1);
/// An unchanged row is written again after this, as a sign of life.
const ALIVE: Duration = Duration::from_secs(5);
/// Rows of controllers that went without a word are removed after this.
const FORGOTTEN: Duration = Duration::from_secs(3_600);

/// Starts the task.
pub fn start(app: &Arc<App>, tasks: &Tasks) {
    let (app, stop) = (app.clone(), tasks.stopping());
    tasks.spawn("fleet-rows", async move {
        let work = async {
            let mut failing = note(false, forget_strangers(&app).await);
            loop {
                tokio::select! {
                    () = app.fleet.unwritten.notified() => {}
                    () = tokio::time::sleep(PAUSE) => {}
                }
                failing = note(failing, write(&app).await);
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
        // The streams end, and their rows go with them.
        app.fleet.close();
        for row in app.fleet.list().into_iter().chain(app.fleet.take_gone()) {
            if store::fleet::remove(&app.store, &row).await.is_err() {
                return;
            }
        }
    });
}

async fn write(app: &App) -> store::Result<()> {
    for row in app.fleet.take_gone() {
        store::fleet::remove(&app.store, &row).await?;
    }
    let now = app.now();
    for connection in app.fleet.connections() {
        if now.since_us(connection.last_seen()) > us(ALIVE) {
            connection.must_write(now);
        }
        let Some(row) = connection.take_unwritten() else { continue };
        if let Err(error) = store::fleet::put(&app.store, &row).await {
            connection.must_write(now);
            return Err(error);
        }
    }
    app.fleet.rows_elsewhere().await.map(drop)
}

/// Removes rows that nobody stands behind any more: on SQLite those of every other controller, since there can be none.
async fn forget_strangers(app: &App) -> store::Result<()> {
    let now = app.now();
    for row in store::fleet::list(&app.store).await? {
        let is_old = !app.store.is_postgres() || now.since_us(row.last_seen) > us(FORGOTTEN.max(ROW_LIVES));
        if row.controller != app.name && is_old {
            store::fleet::remove(&app.store, &row).await?;
        }
    }
    Ok(())
}

/// Says a failure when it begins, not each time; tells whether it goes on.
fn note(failing: bool, result: store::Result<()>) -> bool {
    let Err(error) = result else { return false };
    if !failing {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the fleet's rows cannot be written now; trying again"
        );
    }
    true
}

fn us(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
