//! Says that this controller is alive, and forgives leases the time in which no controller was: it was stopped or
//! suspended, its clock jumped, or the database was away. A proxy cannot be heard by nobody.

use crate::app::App;
use crate::error::Result;

/// A shorter silence of all controllers is not one: each says every second that it is alive.
const NOTICED_US: i64 = 60_000_000;

/// What must be done once before anything is served.
pub async fn at_start(app: &App) -> Result<()> {
    if store::pools::last_beat(&app.store).await?.is_none() {
        app.rates.nothing_is_out();
    }
    beat(app, 0).await
}

/// To be done every second, and before anybody is thought dead.
pub async fn note(app: &App) -> Result<()> {
    beat(app, NOTICED_US).await
}

async fn beat(app: &App, noticed_us: i64) -> Result<()> {
    let now = app.now();
    if let Some(last) = store::pools::last_beat(&app.store).await? {
        let away_us = now.since_us(last);
        if away_us > noticed_us {
            store::pools::forget_downtime(&app.store, away_us).await?;
        }
    }
    store::pools::beat(&app.store, &app.name, now).await?;
    Ok(())
}
