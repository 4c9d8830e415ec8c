//! A controller with its database in memory: the lender's decisions, applied the way a store must.

use std::collections::BTreeMap;

use domain::credits::{Account, is_balanced};
use domain::ids::{BootEpoch, KeyId, OrgId, ProxyId};
use domain::limits::Period;
use domain::pools::PoolId;
use domain::time::Timestamp;
use link::lease::{Batch, Reply};
use link::lender::{Asker, Entry, Fleet, LeaseLife, LeaseState, MoneyPool, charge, decide, quarantine, release};
use link::reports::{Accept, accept};

pub fn org() -> OrgId {
    OrgId::new(1, 1)
}

pub fn credits() -> PoolId {
    PoolId::Credits(org())
}

pub fn budget() -> PoolId {
    PoolId::Budget(KeyId::new(1, 1), Period(0))
}

/// A life of a proxy.
pub type Life = (ProxyId, BootEpoch);

#[derive(Default)]
struct Seen {
    mark: u64,
    last_seen: Timestamp,
}

/// One report of a proxy: charges in the order of their sequence.
#[derive(Debug, Clone)]
pub struct Report {
    pub first: u64,
    pub charges: Vec<i64>,
    pub drained: bool,
}

/// Whom to tell that units are wanted back.
pub struct Nudge {
    pub life: Life,
    pub pool: PoolId,
    pub keep: i64,
}

pub struct Books {
    /// Balances by the entries that were posted; credits only.
    accounts: BTreeMap<Account, i64>,
    pub cap: i64,
    leases: BTreeMap<(PoolId, ProxyId, BootEpoch), LeaseState>,
    lives: BTreeMap<Life, Seen>,
    newest: BTreeMap<ProxyId, BootEpoch>,
    up_since: Timestamp,
    /// Charges that leases did not cover: the only thing that may take the pool below zero.
    pub beyond: i64,
    pub booked: i64,
}

impl Books {
    pub fn new(funded: i64, cap: i64) -> Self {
        let accounts = BTreeMap::from([(Account::Available(org()), funded)]);
        Books {
            accounts,
            cap,
            leases: BTreeMap::new(),
            lives: BTreeMap::new(),
            newest: BTreeMap::new(),
            up_since: Timestamp::default(),
            beyond: 0,
            booked: 0,
        }
    }

    pub fn account(&self, account: Account) -> i64 {
        self.accounts.get(&account).copied().unwrap_or(0)
    }

    pub fn available(&self, pool: PoolId) -> i64 {
        if pool == credits() {
            return self.account(Account::Available(org()));
        }
        let rows = self.rows(pool);
        self.cap - self.booked - rows.map(LeaseState::outstanding).sum::<i64>()
    }

    fn rows(&self, pool: PoolId) -> impl Iterator<Item = &LeaseState> {
        self.leases.iter().filter(move |((of, ..), _)| *of == pool).map(|(_, row)| row)
    }

    pub fn row(&self, pool: PoolId, life: &Life) -> Option<&LeaseState> {
        self.leases.get(&(pool, life.0.clone(), life.1))
    }

    pub fn restarted(&mut self, now: Timestamp) {
        self.up_since = now;
    }

    pub fn hello(&mut self, life: &Life) {
        let newest = self.newest.entry(life.0.clone()).or_default();
        *newest = life.1.max(*newest);
    }

    fn see(&mut self, life: &Life, now: Timestamp) -> &mut Seen {
        let seen = self.lives.entry(life.clone()).or_default();
        seen.last_seen = now.max(seen.last_seen);
        seen
    }

    fn post(&mut self, entry: Entry) {
        assert!(is_balanced(&entry.legs), "{entry:?}");
        for leg in entry.legs {
            *self.accounts.entry(leg.account).or_default() += leg.amount.nano();
        }
    }

    pub fn lease(&mut self, life: &Life, batch: &Batch, fleet: Fleet, now: Timestamp) -> (Reply, Vec<Nudge>) {
        self.hello(life);
        self.see(life, now);
        let mut nudges = Vec::new();
        let mut grants = Vec::new();
        for ask in &batch.asks {
            let asker = Asker {
                proxy: life.0.clone(),
                epoch: life.1,
                newest_epoch: self.newest[&life.0],
                sequence: batch.sequence,
            };
            let own = |row: &LeaseState| row.proxy == life.0 && row.epoch == life.1;
            let wanted = |row: &&LeaseState| own(row) || row.outstanding() > 0;
            let pool = MoneyPool {
                id: ask.pool,
                available: self.available(ask.pool),
                closed: false,
                max_grant: None,
                leases: self.rows(ask.pool).filter(wanted).cloned().collect(),
            };
            let decision = decide(&pool, &asker, ask, fleet, now);
            nudges.extend(decision.recalls().map(|(proxy, epoch, keep)| Nudge {
                life: (proxy.clone(), epoch),
                pool: ask.pool,
                keep,
            }));
            if ask.pool == credits() {
                decision.entries(org()).into_iter().for_each(|entry| self.post(entry));
            }
            for row in decision.marks.iter().chain([&decision.lease]) {
                self.leases.insert((ask.pool, row.proxy.clone(), row.epoch), row.clone());
            }
            assert_eq!(self.available(ask.pool), decision.available, "what is decided is what is posted");
            grants.push(decision.grant);
        }
        (Reply { grants, active_proxies: fleet.active }, nudges)
    }

    /// Books what is new and gives the mark.
    pub fn report(&mut self, life: &Life, report: &Report, now: Timestamp) -> u64 {
        let mark = self.see(life, now).mark;
        let Accept::Take { skip } = accept(mark, report.first, report.charges.len()) else { return mark };
        for amount in report.charges.iter().skip(skip) {
            self.book(life, *amount);
        }
        let mark = mark.max(report.first + report.charges.len() as u64 - 1);
        self.see(life, now).mark = mark;
        if report.drained {
            // A life that is over never borrows again, even if an ask of it is still on its way.
            self.hello(&(life.0.clone(), BootEpoch(life.1.0 + 1)));
            self.release(life);
        }
        mark
    }

    fn book(&mut self, life: &Life, amount: i64) {
        self.booked += amount;
        for pool in [budget(), credits()] {
            let key = (pool, life.0.clone(), life.1);
            let charge = charge(self.leases.get(&key).cloned(), amount);
            if pool == credits() {
                self.beyond += charge.from_available;
                charge.entry(org()).into_iter().for_each(|entry| self.post(entry));
            }
            if let Some(row) = charge.lease {
                self.leases.insert(key, row);
            }
        }
    }

    pub fn release(&mut self, life: &Life) {
        for pool in [budget(), credits()] {
            let key = (pool, life.0.clone(), life.1);
            let Some(row) = self.leases.get(&key).cloned().filter(|row| row.state != LeaseLife::Released) else {
                continue;
            };
            let moved = release(row);
            if pool == credits() {
                moved.entry(org()).into_iter().for_each(|entry| self.post(entry));
            }
            self.leases.insert(key, moved.lease);
        }
    }

    /// Sets dead proxies' leases aside; gives the lives that are set aside.
    pub fn sweep(&mut self, now: Timestamp) -> Vec<Life> {
        let keys: Vec<_> = self.leases.keys().cloned().collect();
        for key in keys {
            let life = (key.1.clone(), key.2);
            let last_seen = self.lives.get(&life).map_or(Timestamp::default(), |seen| seen.last_seen);
            if let Some(moved) = quarantine(self.leases[&key].clone(), last_seen, self.up_since, now) {
                if key.0 == credits() {
                    moved.entry(org()).into_iter().for_each(|entry| self.post(entry));
                }
                self.leases.insert(key, moved.lease);
            }
        }
        let aside = self.rows(credits()).filter(|row| row.state == LeaseLife::Quarantined);
        aside.filter(|row| row.outstanding() > 0).map(|row| (row.proxy.clone(), row.epoch)).collect()
    }

    /// The books add up, at every moment.
    pub fn verify(&self, funded: i64) {
        let sum =
            |state| -> i64 { self.rows(credits()).filter(|row| row.state == state).map(LeaseState::outstanding).sum() };
        assert!(self.leases.values().all(|row| row.outstanding() >= 0), "{:?}", self.leases);
        assert_eq!(self.account(Account::Leased(org())), sum(LeaseLife::Live), "leased");
        assert_eq!(self.account(Account::Quarantine(org())), sum(LeaseLife::Quarantined), "quarantined");
        assert_eq!(sum(LeaseLife::Released), 0, "released");
        assert_eq!(self.account(Account::Settled(org())), self.booked, "settled");
        assert_eq!(self.accounts.values().sum::<i64>(), funded, "conservation: {:?}", self.accounts);
        assert!(self.account(Account::Available(org())) >= -self.beyond, "overdrawn: {:?}", self.accounts);
    }
}
