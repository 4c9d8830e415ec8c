//! An open write to the books: money, leases, usage and marks move in one transaction, or not at all.
//!
//! Locks are taken in one order everywhere, and the order is checked: first the mark of one life of a proxy, then all
//! organisations at once, sorted; an organisation's lock covers its accounts, pools and leases. What is loaded under
//! the locks may be acted on. Nothing here makes a revision. Never decides: `leases.rs` moves what it is told to,
//! `ledger.rs` refuses what is not balanced.

mod leases;
pub(crate) mod ledger;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use domain::audit::Actor;
use domain::credits::{Balance, EntryKind, Leg};
use domain::ids::{BootEpoch, EntryId, KeyId, OrgId, OrgScope, ProxyId};
use domain::limits::{Budget, Period, Reset};
use domain::money::Money;
use domain::pools::PoolId;
use domain::time::Timestamp;
use domain::usage::UsageRecord;

use crate::credits;
use crate::edit::within;
use crate::engine::{Arg, Read, Tx, args, in_list};
use crate::error::{Error, Result};
use crate::nudges::{Local, Nudge};
use crate::pools::{BudgetState, Lease, Mark, Pool, Whose, lease_select, read_lease};
use crate::store::Store;
use crate::usage;
use ledger::{Book, Ledger};

/// An open write to the books. Dropping it undoes everything.
pub struct Posting {
    tx: Tx,
    local: Local,
    actor: String,
    now: Timestamp,
    key: Option<String>,
    note: String,
    mark: Option<Marked>,
    ledger: Ledger,
    pools: BTreeMap<PoolId, Loaded>,
    /// Leases that are to be written.
    moved: BTreeSet<(PoolId, ProxyId, BootEpoch)>,
    days: usage::Days,
    nudges: BTreeSet<Nudge>,
    /// A mistake of the calling code that could not be said at once: the commit refuses.
    misuse: Option<&'static str>,
}

/// What opening a write under an idempotency key gives.
#[expect(clippy::large_enum_variant, reason = "made once a call and taken apart at once")]
pub enum Once {
    New(Posting),
    /// It was done before: what was posted then. Nothing was done now.
    Replayed(Vec<credits::Entry>),
}

/// The mark that this posting holds.
struct Marked {
    proxy: ProxyId,
    epoch: BootEpoch,
    mark: Mark,
    changed: bool,
}

/// A pool under lock.
struct Loaded {
    org: OrgId,
    live: bool,
    funds: Funds,
    leases: BTreeMap<(ProxyId, BootEpoch), Lease>,
}

/// Where a pool's money is counted.
enum Funds {
    /// In the accounts of the organisation.
    Credits,
    /// In a row of its own.
    Budget { key: KeyId, period: Period, budget: Option<Budget>, state: BudgetState, changed: bool },
}

const USE_KEY: &str =
    "insert into postings (idempotency_key, actor, at) values ($1, $2, $3) on conflict (idempotency_key) do nothing";
const MAKE_MARK: &str = "insert into marks (proxy, epoch, last_sequence, digest, drained, pruned, renewed_at) \
    values ($1, $2, 0, $3, false, 0, $4) on conflict (proxy, epoch) do nothing";
macro_rules! mark_select {
    () => {
        "select last_sequence, digest, drained, renewed_at, (select max(n.epoch) from marks n where n.proxy = $1) \
         from marks where proxy = $1 and epoch = $2"
    };
}

const MARK: &str = mark_select!();
// postgres
const MARK_LOCKED: &str = concat!(mark_select!(), " for update");
const BOOKS: &str =
    "select b.org_id, b.entries, b.head, o.frozen from books b join orgs o on o.id = b.org_id where b.org_id in";
const BUDGET_KEYS: &str =
    "select id, org_id, budget_nano, budget_reset, not disabled and revoked_at is null from keys where id in";
const BUDGETS: &str = "select pool, settled, leased, quarantined from budgets where pool in";
const LEASES_OPEN: &str =
    concat!(lease_select!(), " where (l.state <> 'closed' or (l.proxy = $1 and l.epoch = $2)) and l.pool in");
const LEASES_OWN: &str = concat!(lease_select!(), " where l.proxy = $1 and l.epoch = $2 and l.pool in");

/// What a key says about its budget.
struct BudgetKey {
    org: OrgId,
    budget: Option<Budget>,
    live: bool,
}

impl Posting {
    pub(crate) async fn open(store: &Store, actor: Actor, now: Timestamp) -> Result<Posting> {
        Ok(Posting {
            tx: store.engine().begin().await?,
            local: store.local().clone(),
            actor: actor.to_string(),
            now,
            key: None,
            note: String::new(),
            mark: None,
            ledger: Ledger::default(),
            pools: BTreeMap::new(),
            moved: BTreeSet::new(),
            days: usage::Days::new(),
            nudges: BTreeSet::new(),
            misuse: None,
        })
    }

    pub(crate) async fn open_once(store: &Store, actor: Actor, key: &str, now: Timestamp) -> Result<Once> {
        let mut posting = Posting::open(store, actor, now).await?;
        let key = plain(key);
        // PostgreSQL waits here for another posting under the same key.
        if posting.tx.execute(USE_KEY, args![&key, &posting.actor, now]).await? == 0 {
            let entries = credits::entries_of(&mut Read::from(&mut posting.tx), &key).await?;
            return Ok(Once::Replayed(entries));
        }
        posting.key = Some(key);
        Ok(Once::New(posting))
    }

    pub(crate) fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    /// The moment of this posting.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// A sentence that this posting's entries carry.
    pub fn note(&mut self, text: &str) {
        self.note = plain(text);
    }

    /// Tells listeners after the commit.
    pub fn nudge(&mut self, nudge: Nudge) {
        self.nudges.insert(nudge);
    }

    /// Locks the mark of one life of a proxy, and makes it if this life is new.
    pub async fn mark(&mut self, proxy: &ProxyId, epoch: BootEpoch) -> Result<Mark> {
        if self.mark.is_some() || !self.ledger.is_unlocked() {
            return Err(Error::Misuse { what: "the mark is locked first, and only one" });
        }
        let text = if self.tx.is_postgres() { MARK_LOCKED } else { MARK };
        let row = match self.tx.one(text, args![proxy, epoch]).await? {
            Some(row) => row,
            None => {
                self.tx.execute(MAKE_MARK, args![proxy, epoch, [0u8; 32], self.now]).await?;
                self.tx.one(text, args![proxy, epoch]).await?.ok_or(Error::NotFound { what: "mark" })?
            }
        };
        let mut cells = row.cells();
        let mark = Mark {
            last_sequence: cells.take()?,
            digest: cells.take()?,
            drained: cells.take()?,
            renewed_at: cells.take()?,
            newest_epoch: cells.take()?,
        };
        self.mark = Some(Marked { proxy: proxy.clone(), epoch, mark: mark.clone(), changed: false });
        Ok(mark)
    }

    fn marked(&mut self) -> Result<&mut Marked> {
        self.mark.as_mut().ok_or(Error::Misuse { what: "no mark is locked" })
    }

    /// Moves the mark: everything up to `last_sequence` is booked with this posting.
    pub fn advance(&mut self, last_sequence: u64, digest: [u8; 32]) -> Result<()> {
        let marked = self.marked()?;
        if last_sequence < marked.mark.last_sequence {
            return Err(Error::Misuse { what: "a mark that moves back" });
        }
        marked.mark.last_sequence = last_sequence;
        marked.mark.digest = digest;
        marked.changed = true;
        Ok(())
    }

    /// Notes that the marked life will report nothing more. Without a mark the commit fails.
    pub fn drained(&mut self) {
        self.with_mark(|mark| mark.drained = true);
    }

    /// Notes that the marked life was heard of: all its leases live on from now. Without a mark the commit fails.
    pub fn renew(&mut self) {
        let now = self.now;
        self.with_mark(|mark| mark.renewed_at = mark.renewed_at.max(now));
    }

    fn with_mark(&mut self, change: impl FnOnce(&mut Mark)) {
        match &mut self.mark {
            Some(marked) => {
                change(&mut marked.mark);
                marked.changed = true;
            }
            None => self.misuse = Some("no mark is locked"),
        }
    }

    /// Adds usage records of the marked life, the first of them under `first_sequence`.
    pub async fn usage(&mut self, first_sequence: u64, records: &[UsageRecord]) -> Result<()> {
        let now = self.now;
        let Some(marked) = &self.mark else { return Err(Error::Misuse { what: "no mark is locked" }) };
        usage::count(&mut self.days, records);
        usage::insert(&mut self.tx, &marked.proxy, marked.epoch, first_sequence, now, records).await
    }

    /// Locks these organisations and says where their money is.
    pub async fn orgs(&mut self, scope: OrgScope, orgs: &[OrgId]) -> Result<BTreeMap<OrgId, Balance>> {
        for org in orgs {
            within(scope, *org, "organisation")?;
        }
        self.lock(&orgs.iter().copied().collect()).await?;
        orgs.iter()
            .map(|org| self.ledger.balance(*org).map(|balance| (*org, balance)))
            .collect::<Option<_>>()
            .ok_or(Error::NotFound { what: "organisation" })
    }

    /// Locks the organisations that these pools belong to and loads the pools. What is no money pool, or belongs to
    /// nobody, is left out.
    pub async fn pools(&mut self, ids: &[PoolId], whose: Whose<'_>) -> Result<Vec<Pool>> {
        let wanted: BTreeSet<PoolId> = ids.iter().copied().filter(PoolId::is_money).collect();
        let keys = self.budget_keys(&wanted).await?;
        let owner = |id: &PoolId| match id {
            PoolId::Credits(org) => Some(*org),
            PoolId::Budget(key, _) => keys.get(key).map(|key| key.org),
            PoolId::Requests(_) | PoolId::Tokens(_) | PoolId::AccountRequests(_) | PoolId::AccountTokens(_) => None,
        };
        let owners: BTreeMap<PoolId, OrgId> = wanted.iter().filter_map(|id| owner(id).map(|org| (*id, org))).collect();
        let orgs: BTreeSet<OrgId> = owners.values().copied().collect();
        self.lock(&orgs).await?;
        let states = self.budget_states(&owners).await?;
        for (id, org) in &owners {
            // A pool that was loaded before keeps what this posting did to it.
            let Some(frozen) = self.ledger.is_frozen(*org).filter(|_| !self.pools.contains_key(id)) else { continue };
            let mut live = !frozen;
            let funds = match id {
                PoolId::Budget(key, period) => {
                    let said = keys.get(key);
                    live &= said.is_some_and(|said| said.live);
                    let budget = said.and_then(|said| said.budget);
                    let state = states.get(id).copied().unwrap_or_default();
                    Funds::Budget { key: *key, period: *period, budget, state, changed: false }
                }
                _ => Funds::Credits,
            };
            self.pools.insert(*id, Loaded { org: *org, live, funds, leases: BTreeMap::new() });
        }
        self.load_leases(&owners, whose).await?;
        Ok(ids.iter().filter_map(|id| self.view(id)).collect())
    }

    /// Takes the locks of organisations, all at once and sorted. Those that do not exist stay unlocked.
    async fn lock(&mut self, orgs: &BTreeSet<OrgId>) -> Result<()> {
        if !self.ledger.is_unlocked() {
            let known = orgs.iter().all(|org| self.ledger.balance(*org).is_some());
            return if known { Ok(()) } else { Err(Error::Misuse { what: "organisations are locked all at once" }) };
        }
        let values: Vec<Arg> = orgs.iter().map(Arg::from).collect();
        // postgres
        let tail = if self.tx.is_postgres() { "order by b.org_id for update of b" } else { "order by b.org_id" };
        let mut read = Read::from(&mut self.tx);
        let mut books: BTreeMap<OrgId, Book> = BTreeMap::new();
        for row in in_list(&mut read, BOOKS, &values, tail, &[]).await? {
            let mut cells = row.cells();
            let org = cells.take()?;
            let (entries, head, frozen) = (cells.take()?, cells.take()?, cells.take()?);
            books.insert(org, Book { balance: Balance::default(), entries, head, frozen });
        }
        let locked: Vec<OrgId> = books.keys().copied().collect();
        let mut balances = credits::balances(&mut read, &locked).await?;
        for (org, book) in books {
            let balance = balances.remove(&org).unwrap_or_default();
            self.ledger.lock(org, Book { balance, ..book });
        }
        Ok(())
    }

    async fn budget_keys(&mut self, pools: &BTreeSet<PoolId>) -> Result<BTreeMap<KeyId, BudgetKey>> {
        let ids: BTreeSet<KeyId> = pools
            .iter()
            .filter_map(|pool| match pool {
                PoolId::Budget(key, _) => Some(*key),
                _ => None,
            })
            .collect();
        let values: Vec<Arg> = ids.iter().map(Arg::from).collect();
        let mut keys = BTreeMap::new();
        for row in in_list(&mut Read::from(&mut self.tx), BUDGET_KEYS, &values, "", &[]).await? {
            let mut cells = row.cells();
            let (id, org) = (cells.take()?, cells.take()?);
            let amount: Option<Money> = cells.maybe()?;
            let reset = cells.maybe_word(Reset::parse)?.unwrap_or(Reset::Never);
            let budget = amount.map(|amount| Budget { amount, reset });
            keys.insert(id, BudgetKey { org, budget, live: cells.take()? });
        }
        Ok(keys)
    }

    async fn budget_states(&mut self, owners: &BTreeMap<PoolId, OrgId>) -> Result<BTreeMap<PoolId, BudgetState>> {
        let values: Vec<Arg> =
            owners.keys().filter(|id| matches!(id, PoolId::Budget(..))).map(|id| Arg::from(*id)).collect();
        let mut states = BTreeMap::new();
        for row in in_list(&mut Read::from(&mut self.tx), BUDGETS, &values, "", &[]).await? {
            let mut cells = row.cells();
            let id = cells.take()?;
            let state = BudgetState { settled: cells.take()?, leased: cells.take()?, quarantined: cells.take()? };
            states.insert(id, state);
        }
        Ok(states)
    }

    async fn load_leases(&mut self, owners: &BTreeMap<PoolId, OrgId>, whose: Whose<'_>) -> Result<()> {
        let values: Vec<Arg> = owners.keys().map(|id| Arg::from(*id)).collect();
        let (text, fixed) = match whose {
            Whose::All(proxy, epoch) => (LEASES_OPEN, args![proxy, epoch]),
            Whose::Only(proxy, epoch) => (LEASES_OWN, args![proxy, epoch]),
        };
        for row in in_list(&mut Read::from(&mut self.tx), text, &values, "", &fixed).await? {
            let lease = read_lease(&row)?;
            if let Some(pool) = self.pools.get_mut(&lease.pool) {
                pool.leases.entry((lease.proxy.clone(), lease.epoch)).or_insert(lease);
            }
        }
        Ok(())
    }

    /// A loaded pool as it stands now, with what this posting did to it.
    fn view(&self, id: &PoolId) -> Option<Pool> {
        let loaded = self.pools.get(id)?;
        let credits = self.ledger.balance(loaded.org)?;
        let (budget, state) = match &loaded.funds {
            Funds::Credits => {
                let state =
                    BudgetState { settled: credits.settled, leased: credits.leased, quarantined: credits.quarantined };
                (None, state)
            }
            Funds::Budget { budget, state, .. } => (*budget, *state),
        };
        Some(Pool {
            id: *id,
            org: loaded.org,
            live: loaded.live,
            budget,
            available: self.available(id)?,
            leased: state.leased,
            quarantined: state.quarantined,
            settled: state.settled,
            leases: loaded.leases.values().cloned().collect(),
        })
    }

    /// Adds legs to an entry of this kind for a locked organisation. The rooms above use the named moves instead.
    pub fn legs(&mut self, org: OrgId, kind: EntryKind, legs: &[Leg]) -> Result<()> {
        self.ledger.add(org, kind, legs)
    }

    /// Makes it all true and gives the entries that were written. Goes on to the end even when the caller stops
    /// waiting.
    pub async fn commit(self) -> Result<Vec<EntryId>> {
        let task = tokio::spawn(write::commit(self));
        task.await.map_err(|_| Error::Misuse { what: "a posting was committed while the runtime stopped" })?
    }
}

/// Text as both engines keep it, so that what is hashed is what is stored.
fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
