//! Sets aside the leases of proxies that have been silent for too long, and gives back what has been set aside for a day.

use domain::audit::Actor;
use domain::time::Timestamp;
use link::lender::{DEAD_AFTER_MS, QUARANTINE_MS};
use store::{Lease, Whose};

use crate::app::App;
use crate::error::Result;

/// Leases handled in one run; the next run takes the next ones.
const AT_ONCE: u32 = 1_000;

pub async fn run(app: &App) -> Result<()> {
    let now = app.now();
    let dead_before = before(now, DEAD_AFTER_MS);
    for lease in store::pools::leases_renewed_before(&app.store, dead_before, AT_ONCE).await? {
        move_lease(app, &lease, now, Step::SetAside(dead_before)).await?;
    }
    let forgotten_before = before(now, DEAD_AFTER_MS + QUARANTINE_MS);
    for lease in store::pools::quarantined(&app.store, AT_ONCE).await? {
        if lease.renewed_at < forgotten_before {
            move_lease(app, &lease, now, Step::GiveBack(forgotten_before)).await?;
        }
    }
    Ok(())
}

enum Step {
    SetAside(Timestamp),
    GiveBack(Timestamp),
}

fn before(now: Timestamp, ms: i64) -> Timestamp {
    now.plus_us(-ms.saturating_mul(1_000))
}

async fn move_lease(app: &App, lease: &Lease, now: Timestamp, step: Step) -> Result<()> {
    let mut posting = app.store.post(Actor::Task("lease-expiry"), now).await?;
    let mark = posting.mark(&lease.proxy, lease.epoch).await?;
    posting.pools(&[lease.pool], Whose::Only(&lease.proxy, lease.epoch)).await?;
    // The proxy may have come back while we looked.
    match step {
        Step::SetAside(limit) if mark.renewed_at < limit => {
            posting.quarantine(lease.pool, &lease.proxy, lease.epoch)?;
            tracing::warn!(proxy = %lease.proxy, pool = %lease.pool, "a silent proxy's lease was set aside");
        }
        Step::GiveBack(limit) if mark.renewed_at < limit => {
            posting.release(lease.pool, &lease.proxy, lease.epoch)?;
            tracing::warn!(proxy = %lease.proxy, pool = %lease.pool, "a lease that was set aside for a day was given back");
            app.fleet.pool_event(&[lease.pool]);
        }
        Step::SetAside(_) | Step::GiveBack(_) => return Ok(()),
    }
    posting.commit().await?;
    Ok(())
}
