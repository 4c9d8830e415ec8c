//! What the lender keeps in memory: rate pools of keys and of accounts at providers (their one owner is this controller),
//! and which pools somebody was refused.
//! Losing it costs a second of rate grants and no money.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::ids::KeyId;
use domain::limits::Rate;
use domain::pools::{AccountTag, PoolId};
use domain::providers::AccountLimits;
use link::lease::{Ask, Grant, Verdict};
use link::lender::Asker;
use link::rates::RatePools;

use crate::access::installation_scope;
use crate::app::App;
use crate::error::Result;

/// Most keys whose limits are remembered, and for how long.
const MOST_LIMITS: usize = 100_000;
const LIMITS_LIVE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
struct Limits {
    requests: Option<Rate>,
    tokens: Option<Rate>,
    read_at: Duration,
}

/// What every account at a provider may be asked for.
#[derive(Default)]
struct Accounts {
    limits: HashMap<AccountTag, AccountLimits>,
    read_at: Option<Duration>,
}

#[derive(Default)]
struct Memory {
    limits: HashMap<KeyId, Limits>,
    accounts: Accounts,
    /// Pools that some proxy was refused, to be told when something comes back.
    refused: BTreeSet<PoolId>,
}

/// The lender's memory.
pub struct Rates {
    pools: Mutex<RatePools>,
    memory: Mutex<Memory>,
}

fn open<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here is half done when a holder panics: each change is one insertion.
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ms(at: Duration) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX)
}

impl Rates {
    /// An empty memory of a controller that started at `started` on its monotonic clock.
    pub fn new(started: Duration) -> Rates {
        Rates { pools: Mutex::new(RatePools::new(ms(started))), memory: Mutex::default() }
    }

    /// No controller ever served this database: no proxy can hold anything, and nothing need be waited for.
    pub fn nothing_is_out(&self) {
        *open(&self.pools) = RatePools::first();
    }

    /// Answers an ask of a rate pool.
    pub async fn ask(&self, app: &App, asker: &Asker, ask: &Ask, active: u32) -> Result<Grant> {
        let rate = match ask.pool {
            PoolId::Requests(key) => self.limits(app, key).await?.requests,
            PoolId::Tokens(key) => self.limits(app, key).await?.tokens,
            PoolId::AccountRequests(tag) => self.account(app, tag).await?.requests(),
            PoolId::AccountTokens(tag) => self.account(app, tag).await?.tokens(),
            PoolId::Credits(_) | PoolId::Budget(..) => None,
        };
        let now = ms(app.clock.monotonic());
        let Some(rate) = rate else {
            return Ok(Grant { not_before_ms: 1_000, verdict: Verdict::Unknown, ..no_grant(ask) });
        };
        Ok(open(&self.pools).ask(rate, asker, ask, active, now))
    }

    async fn limits(&self, app: &App, key: KeyId) -> Result<Limits> {
        let now = app.clock.monotonic();
        if let Some(known) = open(&self.memory).limits.get(&key).filter(|known| now - known.read_at < LIMITS_LIVE) {
            return Ok(*known);
        }
        let limits = match store::keys::load(&app.store, installation_scope(), key).await {
            Ok(stored) => {
                let live = stored.key.revoked_at.is_none() && !stored.key.disabled;
                let policy = &stored.key.policy;
                Limits {
                    requests: policy.requests.filter(|_| live),
                    tokens: policy.tokens.filter(|_| live),
                    read_at: now,
                }
            }
            Err(store::Error::NotFound { .. }) => Limits { requests: None, tokens: None, read_at: now },
            Err(error) => return Err(error.into()),
        };
        let mut memory = open(&self.memory);
        if memory.limits.len() >= MOST_LIMITS {
            memory.limits.clear();
        }
        memory.limits.insert(key, limits);
        Ok(limits)
    }

    /// The limits of the account at a provider; of a provider that is gone or disabled, none.
    async fn account(&self, app: &App, tag: AccountTag) -> Result<AccountLimits> {
        let now = app.clock.monotonic();
        {
            let known = &open(&self.memory).accounts;
            if known.read_at.is_some_and(|read_at| now - read_at < LIMITS_LIVE) {
                return Ok(known.limits.get(&tag).copied().unwrap_or_default());
            }
        }
        let providers = store::providers::list(&app.store).await?;
        let enabled = providers.iter().filter(|stored| stored.enabled);
        let limits: HashMap<_, _> = enabled.map(|stored| (AccountTag::of(&stored.id), stored.limits)).collect();
        let found = limits.get(&tag).copied().unwrap_or_default();
        open(&self.memory).accounts = Accounts { limits, read_at: Some(now) };
        Ok(found)
    }

    /// Forgets a key's limits: they changed.
    pub fn forget(&self, key: KeyId) {
        open(&self.memory).limits.remove(&key);
    }

    /// Notes who was refused what, and tells everybody when units of a refused pool came back.
    pub fn tell_the_refused(&self, app: &App, grants: &[Grant], came_back: &[PoolId]) {
        let events: Vec<PoolId> = {
            let mut memory = open(&self.memory);
            let events = came_back.iter().filter(|pool| memory.refused.remove(pool)).copied().collect();
            for grant in grants.iter().filter(|grant| grant.verdict == Verdict::Exhausted) {
                if memory.refused.len() >= MOST_LIMITS {
                    memory.refused.clear();
                }
                memory.refused.insert(grant.pool);
            }
            events
        };
        if !events.is_empty() {
            app.fleet.pool_event(&events);
        }
    }

    /// Forgets what is idle; called about every second.
    pub fn sweep(&self, now: Duration) {
        open(&self.pools).sweep(ms(now));
        open(&self.memory).limits.retain(|_, limits| now.saturating_sub(limits.read_at) < LIMITS_LIVE);
    }
}

fn no_grant(ask: &Ask) -> Grant {
    Grant {
        pool: ask.pool,
        verdict: Verdict::Unknown,
        granted_total: ask.granted_total,
        admit_for_ms: 0,
        direct: false,
        affordable: 0,
        not_before_ms: 0,
        limit: 0,
        remaining: 0,
        reset_ms: 0,
    }
}
