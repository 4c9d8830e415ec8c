//! What may happen to credits: grants, refunds, looking, and the checks that the books add up.

pub mod lend;
pub mod rates;
pub mod rpc;

use domain::audit::Actor;
use domain::credits::Balance;
use domain::faults::Fault;
use domain::ids::{OrgId, OrgScope, ProxyId};
use domain::money::Money;
use domain::pools::PoolId;
use store::Once;

use crate::app::App;
use crate::error::Result;
use crate::fault::invalid;

/// The longest idempotency key, in bytes.
const LONGEST_KEY: usize = 200;

/// A balance after a write, and whether the write was a repetition that did nothing.
pub struct Written {
    pub balance: Balance,
    pub replayed: bool,
}

/// Gives an organisation credits.
pub async fn grant(
    app: &App,
    actor: Actor,
    scope: OrgScope,
    org: OrgId,
    amount: Money,
    key: &str,
    source: &str,
) -> Result<Written> {
    let key = idempotency_key(app, "grant", org, key)?;
    let replayed = match app.store.post_once(actor, &key, app.now()).await? {
        Once::Replayed(_) => true,
        Once::New(mut posting) => {
            posting.orgs(scope, &[org]).await?;
            posting.grant(org, if source.is_empty() { "grant" } else { source }, amount)?;
            posting.commit().await?;
            false
        }
    };
    app.fleet.pool_event(&[PoolId::Credits(org)]);
    Ok(Written { balance: store::credits::balance(&app.store, scope, org).await?, replayed })
}

/// Takes available credits back. What is out on leases is called back first, so that idle money can be refunded.
pub async fn refund(app: &App, actor: Actor, scope: OrgScope, org: OrgId, amount: Money, key: &str) -> Result<Written> {
    let key = idempotency_key(app, "refund", org, key)?;
    lend::call_back(app, org, amount).await?;
    let replayed = match app.store.post_once(actor, &key, app.now()).await? {
        Once::Replayed(_) => true,
        Once::New(mut posting) => {
            posting.orgs(scope, &[org]).await?;
            posting.refund(org, amount)?;
            posting.commit().await?;
            false
        }
    };
    Ok(Written { balance: store::credits::balance(&app.store, scope, org).await?, replayed })
}

/// What a dead proxy's leases gave back.
pub struct Released {
    pub amount: Money,
    pub leases: u32,
}

/// Gives back everything that a proxy holds and that no running process of it can still spend: the operator says that
/// its spool is lost.
pub async fn release(app: &App, actor: Actor, proxy: &ProxyId) -> Result<Released> {
    if app.fleet.is_connected(proxy) {
        return Err(invalid("proxy", "this proxy is connected: stop it first").into());
    }
    let leases = store::pools::leases_of(&app.store, proxy, None).await?;
    let mut released = Released { amount: Money::ZERO, leases: 0 };
    for lease in leases {
        let mut posting = app.store.post(actor, app.now()).await?;
        posting.mark(&lease.proxy, lease.epoch).await?;
        posting.pools(&[lease.pool], store::Whose::Only(&lease.proxy, lease.epoch)).await?;
        let amount = posting.release(lease.pool, &lease.proxy, lease.epoch)?;
        posting.commit().await?;
        if lease.pool.is_money() && matches!(lease.pool, PoolId::Credits(_)) {
            released.amount = released.amount.plus(amount).unwrap_or(released.amount);
        }
        released.leases += 1;
        app.fleet.pool_event(&[lease.pool]);
    }
    Ok(released)
}

/// An amount that moves: above nothing.
pub fn parse_amount(text: &str) -> Result<Money, Fault> {
    let amount: Money = text.parse().map_err(|error: domain::money::BadAmount| invalid("amount", error.to_string()))?;
    if amount > Money::ZERO { Ok(amount) } else { Err(invalid("amount", "it must be above nothing")) }
}

/// Keys are the caller's own, per kind of call and organisation; without one the call stands alone.
fn idempotency_key(app: &App, call: &str, org: OrgId, key: &str) -> Result<String, Fault> {
    if key.len() > LONGEST_KEY || key.contains('\0') {
        return Err(invalid("idempotency_key", format!("at most {LONGEST_KEY} bytes")));
    }
    if key.is_empty() {
        let (ms, random) = app.fresh();
        return Ok(format!("{call}:{org}:once:{ms}-{random:032x}"));
    }
    Ok(format!("{call}:{org}:{key}"))
}
