//! Makes grants durable: rows in, the lender's decision, rows out, in one transaction for all asks of a call. Rate pools
//! are answered from memory. Decides nothing itself: `link::lender` and `link::rates` do.

use std::collections::HashMap;
use std::time::Duration;

use domain::audit::Actor;
use domain::ids::{BootEpoch, OrgId, ProxyId};
use domain::money::Money;
use domain::pools::PoolId;
use domain::time::Timestamp;
use link::lease::{Ask, Grant, Reply, Verdict};
use link::lender::{self, Asker, Decision, Fleet, LeaseLife, LeaseState, MoneyPool};
use store::{Posting, Whose};

use crate::app::App;
use crate::error::{Error, Result};

/// How long a refund waits for proxies to give back what they hold.
const CALL_BACK: Duration = Duration::from_millis(500);

/// One call of a proxy.
pub struct Call {
    pub proxy: ProxyId,
    pub epoch: BootEpoch,
    pub sequence: u64,
    pub asks: Vec<Ask>,
}

/// Answers one call.
pub async fn lease(app: &App, call: Call) -> Result<Reply> {
    let active = app.fleet.active();
    let (money, rates): (Vec<Ask>, Vec<Ask>) = call.asks.iter().partition(|ask| ask.pool.is_money());
    let asker = Asker { proxy: call.proxy, epoch: call.epoch, newest_epoch: call.epoch, sequence: call.sequence };
    let mut grants = if money.is_empty() { Vec::new() } else { lend_money(app, &asker, &money, active).await? };
    for ask in rates {
        match app.rates.ask(app, &asker, &ask, active).await {
            Ok(grant) => grants.push(grant),
            Err(error) => tracing::error!(pool = %ask.pool, proxy = %asker.proxy, %error, "a limit cannot be read"),
        }
    }
    app.metrics.grants(&grants);
    Ok(Reply { grants, active_proxies: active })
}

/// How often a transaction that others got in the way of is tried.
const TRIES: usize = 3;
/// So many failures of one call are looked into; what is not answered then is asked again by the proxy.
const MOST_FAILURES: usize = 32;

/// Why a transaction did not go through.
struct Failure {
    /// The pool whose movements could not be booked, where it is known.
    pool: Option<PoolId>,
    error: Error,
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure { pool: None, error: error.into() }
    }
}

impl Failure {
    /// Whether it may be one pool's, rather than everybody's.
    fn may_be_one_pools(&self) -> bool {
        matches!(&self.error, Error::Store(error) if !error.may_retry())
    }

    /// Whether it is about what is booked, and not about the database.
    fn is_of_the_books(&self) -> bool {
        !matches!(&self.error, Error::Store(store::Error::Unavailable { .. }))
    }
}

/// Lends of all pools in one transaction. A pool that cannot be booked is left out of the answer, so that the others
/// need not suffer for it: the proxy asks for it again.
async fn lend_money(app: &App, asker: &Asker, asks: &[Ask], active: u32) -> Result<Vec<Grant>> {
    let mut grants = Vec::with_capacity(asks.len());
    let (mut parts, mut failures) = (vec![asks.to_vec()], 0);
    while let Some(mut part) = parts.pop() {
        let failure = match lend_patiently(app, asker, &part, active).await {
            Ok(more) => {
                grants.extend(more);
                continue;
            }
            Err(failure) => failure,
        };
        failures += 1;
        if !failure.may_be_one_pools() || failures > MOST_FAILURES {
            // What was lent is booked, and must be told.
            return if grants.is_empty() { Err(failure.error) } else { Ok(grants) };
        }
        if let Some(broken) = failure.pool.or(part.first().filter(|_| part.len() == 1).map(|ask| ask.pool)) {
            if grants.is_empty() && parts.is_empty() && part.len() == 1 && !failure.is_of_the_books() {
                return Err(failure.error);
            }
            tracing::error!(pool = %broken, proxy = %asker.proxy, error = %failure.error, "a pool cannot be lent from");
            part.retain(|ask| ask.pool != broken);
        } else {
            parts.push(part.split_off(part.len() / 2));
        }
        if !part.is_empty() {
            parts.push(part);
        }
    }
    Ok(grants)
}

async fn lend_patiently(app: &App, asker: &Asker, asks: &[Ask], active: u32) -> Result<Vec<Grant>, Failure> {
    for _ in 1..TRIES {
        match lend_once(app, asker, asks, active).await {
            Err(Failure { error: Error::Store(error), .. }) if error.may_retry() => {}
            done => return done,
        }
    }
    lend_once(app, asker, asks, active).await
}

async fn lend_once(app: &App, asker: &Asker, asks: &[Ask], active: u32) -> Result<Vec<Grant>, Failure> {
    let now = app.now();
    let mut posting = app.store.post(Actor::Task("lender"), now).await?;
    let mark = posting.mark(&asker.proxy, asker.epoch).await?;
    // A life that has said it is over may not borrow again: a late ask would strand what it gets.
    let newest_epoch = if mark.drained { BootEpoch(asker.epoch.0.saturating_add(1)) } else { mark.newest_epoch };
    let asker = Asker { newest_epoch: newest_epoch.max(mark.newest_epoch), ..asker.clone() };
    let ids: Vec<PoolId> = asks.iter().map(|ask| ask.pool).collect();
    let pools: HashMap<PoolId, store::Pool> = posting
        .pools(&ids, Whose::All(&asker.proxy, asker.epoch))
        .await?
        .into_iter()
        .map(|pool| (pool.id, pool))
        .collect();
    let mut grants = Vec::with_capacity(asks.len());
    let mut nudged = Vec::new();
    let mut moved = Vec::new();
    for ask in asks {
        let Some(pool) = pools.get(&ask.pool) else {
            grants.push(unknown(ask.pool));
            continue;
        };
        let decision = lender::decide(&money_pool(pool, now), &asker, ask, Fleet { active }, now);
        write(&mut posting, &asker, ask, pool, &decision).map_err(|error| Failure { pool: Some(ask.pool), error })?;
        nudged.extend(decision.recalls().map(|(proxy, _, keep)| (proxy.clone(), pool.id, keep)));
        if decision.returned > 0 {
            moved.push(pool.id);
        }
        grants.push(decision.grant);
    }
    posting.renew();
    posting.commit().await?;
    for (proxy, pool, keep) in nudged {
        app.fleet.recall(&proxy, &[(pool, keep)]);
    }
    // Money that came back may be what others were refused for.
    app.rates.tell_the_refused(app, &grants, &moved);
    Ok(grants)
}

fn unknown(pool: PoolId) -> Grant {
    Grant {
        pool,
        verdict: Verdict::Unknown,
        granted_total: 0,
        admit_for_ms: 0,
        direct: false,
        affordable: 0,
        not_before_ms: 1_000,
        limit: 0,
        remaining: 0,
        reset_ms: 0,
    }
}

/// Writes a decision's movements: first what comes back, then what goes out, then the marks on others.
fn write(posting: &mut Posting, asker: &Asker, ask: &Ask, pool: &store::Pool, decision: &Decision) -> Result<()> {
    let (proxy, epoch) = (&asker.proxy, asker.epoch);
    let own = pool.leases.iter().find(|lease| lease.proxy == *proxy && lease.epoch == epoch);
    if own.is_some_and(|lease| lease.state != store::LeaseState::Active) && decision.lease.state == LeaseLife::Live {
        posting.revive(pool.id, proxy, epoch)?;
    }
    // A return that a charge overtook moves nothing and still changes the row.
    if own.is_some_and(|lease| decision.lease.returned_total > lease.returned_total.nano()) {
        posting.take_back(pool.id, proxy, epoch, Money::from_nano(decision.lease.returned_total))?;
    }
    if decision.granted > 0 {
        // What only the proxy knows of (the database came back from a backup) is booked as it is; the rest is lent.
        posting.acknowledge(pool.id, proxy, epoch, Money::from_nano(ask.granted_total))?;
        let wanted = Money::from_nano(decision.lease.granted_total);
        let rest = wanted.minus(posting.granted_total(pool.id, proxy, epoch)?).unwrap_or(Money::ZERO);
        if rest > Money::ZERO {
            posting.lend(pool.id, proxy, epoch, rest)?;
        }
    }
    posting.shape(pool.id, proxy, epoch, Money::from_nano(decision.lease.typical), decision.lease.direct)?;
    let has_row = own.is_some() || decision.granted > 0;
    if has_row && own.is_none_or(|lease| lease.last_sequence < asker.sequence) {
        posting.note_sequence(pool.id, proxy, epoch, asker.sequence)?;
    }
    if own.is_some_and(|lease| lease.recall.is_some()) && decision.lease.recall_keep.is_none() {
        posting.recall(pool.id, proxy, epoch, None)?;
    }
    for marked in &decision.marks {
        posting.recall(ask.pool, &marked.proxy, marked.epoch, marked.recall_keep.map(Money::from_nano))?;
    }
    Ok(())
}

/// A lease row as the lender sees it.
fn lease_state(lease: &store::Lease) -> LeaseState {
    LeaseState {
        proxy: lease.proxy.clone(),
        epoch: lease.epoch,
        granted_total: lease.granted_total.nano(),
        returned_total: lease.returned_total.nano(),
        settled_total: lease.settled_total.nano(),
        sequence: lease.last_sequence,
        typical: lease.typical.nano(),
        direct: lease.direct,
        recall_keep: lease.recall.as_ref().map(|recall| recall.keep.nano()),
        recalled_at: lease.recalled_at,
        state: match lease.state {
            store::LeaseState::Active => LeaseLife::Live,
            store::LeaseState::Quarantined => LeaseLife::Quarantined,
            store::LeaseState::Closed => LeaseLife::Released,
        },
    }
}

/// A pool with its leases as the lender sees it.
fn money_pool(pool: &store::Pool, now: Timestamp) -> MoneyPool {
    let older_period = match pool.id {
        PoolId::Budget(_, period) => pool.budget.is_none_or(|budget| budget.reset.period(now) != period),
        _ => false,
    };
    MoneyPool {
        id: pool.id,
        available: pool.available.nano(),
        closed: !pool.live || older_period,
        max_grant: None,
        leases: pool.leases.iter().map(lease_state).collect(),
    }
}

/// Asks every proxy to give back what it holds of an organisation's credits and does not need, and waits a moment for
/// it, if `amount` is not available already.
pub async fn call_back(app: &App, org: OrgId, amount: Money) -> Result<()> {
    let pool = PoolId::Credits(org);
    let now = app.now();
    let mut posting = app.store.post(Actor::Task("lender"), now).await?;
    let nobody: ProxyId = "controller".parse().map_err(|_| Error::Start("a proxy id".to_owned()))?;
    let pools = posting.pools(&[pool], Whose::All(&nobody, BootEpoch(0))).await?;
    let Some(loaded) = pools.first().filter(|loaded| loaded.available < amount) else { return Ok(()) };
    let marked = lender::recall_all(&money_pool(loaded, now).leases, now);
    for lease in &marked {
        posting.recall(pool, &lease.proxy, lease.epoch, lease.recall_keep.map(Money::from_nano))?;
    }
    posting.commit().await?;
    for lease in &marked {
        app.fleet.recall(&lease.proxy, &[(pool, lease.recall_keep.unwrap_or(0))]);
    }
    if !marked.is_empty() {
        tokio::time::sleep(CALL_BACK).await;
    }
    Ok(())
}
