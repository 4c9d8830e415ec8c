//! Sets aside the leases of proxies that have been silent for too long, and gives back what has been set aside for a day.
//! Where nothing is out nobody is waited for: such a lease is only closed after that day, so that rows do not pile up,
//! and lives on if its proxy comes back. A proxy whose stream stands is not silent.

use std::collections::BTreeSet;

use domain::audit::Actor;
use domain::ids::{BootEpoch, ProxyId};
use domain::money::Money;
use domain::time::Timestamp;
use link::lender::{DEAD_AFTER_MS, QUARANTINE_MS};
use store::{Lease, Whose};

use super::absence;
use crate::app::App;
use crate::error::Result;

/// Leases handled in one run; the next run takes the next ones.
const AT_ONCE: u32 = 1_000;

pub async fn run(app: &App) -> Result<()> {
    absence::note(app).await?;
    let now = app.now();
    let (dead_before, forgotten_before) = (before(now, DEAD_AFTER_MS), before(now, DEAD_AFTER_MS + QUARANTINE_MS));
    let mut living = BTreeSet::new();
    for lease in store::pools::leases_renewed_before(&app.store, dead_before, AT_ONCE).await? {
        move_lease(app, &lease, now, Step::SetAside, dead_before, &mut living).await?;
    }
    let mut forgotten = store::pools::quarantined(&app.store, AT_ONCE).await?;
    forgotten.retain(|lease| lease.renewed_at < forgotten_before);
    forgotten.extend(store::pools::used_up_before(&app.store, forgotten_before, AT_ONCE).await?);
    for lease in forgotten {
        move_lease(app, &lease, now, Step::GiveBack, forgotten_before, &mut living).await?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Step {
    SetAside,
    GiveBack,
}

fn before(now: Timestamp, ms: i64) -> Timestamp {
    now.plus_us(-ms.saturating_mul(1_000))
}

/// Does the step, unless the proxy lives, was heard of since `limit`, or something happened to the lease meanwhile.
async fn move_lease(
    app: &App,
    lease: &Lease,
    now: Timestamp,
    step: Step,
    limit: Timestamp,
    living: &mut BTreeSet<(ProxyId, BootEpoch)>,
) -> Result<()> {
    let (pool, proxy, epoch) = (lease.pool, &lease.proxy, lease.epoch);
    if living.contains(&(proxy.clone(), epoch)) {
        return Ok(());
    }
    let mut posting = app.store.post(Actor::Task("lease-expiry"), now).await?;
    let mark = posting.mark(proxy, epoch).await?;
    if app.fleet.is_alive(proxy, epoch) {
        living.insert((proxy.clone(), epoch));
        posting.renew();
        posting.commit().await?;
        return Ok(());
    }
    let pools = posting.pools(&[pool], Whose::Only(proxy, epoch)).await?;
    let present = pools.first().and_then(|loaded| loaded.leases.first());
    let is_same = |present: &Lease| (present.state, present.remaining()) == (lease.state, lease.remaining());
    if mark.renewed_at >= limit || !present.is_some_and(is_same) {
        return Ok(());
    }
    match step {
        Step::SetAside => {
            posting.quarantine(pool, proxy, epoch)?;
            tracing::warn!(%proxy, %pool, "a silent proxy's lease was set aside");
        }
        Step::GiveBack => {
            let amount = posting.release(pool, proxy, epoch)?;
            if amount > Money::ZERO {
                tracing::warn!(%proxy, %pool, "a lease that was set aside for a day was given back");
                app.fleet.pool_event(&[pool]);
            }
        }
    }
    posting.commit().await?;
    Ok(())
}
