//! Which pools of the providers want to be left alone, and until when. The same table stands on each proxy, which reads it
//! for its requests, and on the controller, which passes on what one proxy was told.
//!
//! A pool is a credential at a provider and one of its models: most limits are per model. Where two models of one
//! credential cool at the same time, the limit was the account's, and all of that credential cools while both do.
//! A deadline only moves forward: who is told of a shorter wait still waits for the longer one.

use std::collections::BTreeMap;
use std::ops::Bound;

use domain::ids::ProviderId;

/// The longest that a provider may have us wait, in milliseconds.
pub const LONGEST_MS: u64 = 600_000;
/// Deadlines that differ by less are the same one, told over a network that takes time.
const SAME_MS: u64 = 500;
/// Most pools that are kept.
const MOST: usize = 4_096;

/// What a provider limits: one model, to one credential.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pool {
    /// Whose it is.
    pub provider: ProviderId,
    /// Which credential: a new one begins anew.
    pub credential_version: u64,
    /// The model's name at the provider.
    pub upstream_model: String,
}

impl Pool {
    fn is_of_account(&self, other: &Pool) -> bool {
        self.provider == other.provider && self.credential_version == other.credential_version
    }
}

/// A pool and how long it is to be left alone, in milliseconds from now.
pub type Cooling = (Pool, u64);

/// Every pool that cools. Times are milliseconds of a clock that only goes forward.
#[derive(Debug, Default)]
pub struct Coolings {
    until_ms: BTreeMap<Pool, u64>,
}

impl Coolings {
    /// A pool is to be left alone for so long. Says whether that is news.
    pub fn cool(&mut self, pool: Pool, wait_ms: u64, now_ms: u64) -> bool {
        let until = now_ms.saturating_add(wait_ms.min(LONGEST_MS));
        if self.until_ms.len() >= MOST && !self.until_ms.contains_key(&pool) {
            self.sweep(now_ms);
        }
        let (known, is_full) = (self.until_ms.get(&pool).copied(), self.until_ms.len() >= MOST);
        let is_news = match known {
            Some(known) => until > known.saturating_add(SAME_MS),
            None => wait_ms > 0 && !is_full,
        };
        if is_news {
            self.until_ms.insert(pool, until);
        }
        is_news
    }

    /// Until when a pool is to be left alone, by itself or with all of its account; none when it may be asked.
    pub fn until(&self, pool: &Pool, now_ms: u64) -> Option<u64> {
        let own = self.until_ms.get(pool).copied();
        own.max(self.account_until(pool)).filter(|until| *until > now_ms)
    }

    /// Until when two pools of this pool's account cool: the second latest deadline.
    fn account_until(&self, pool: &Pool) -> Option<u64> {
        let first = Pool { upstream_model: String::new(), ..pool.clone() };
        let pools = self.until_ms.range((Bound::Included(first), Bound::Unbounded));
        let of_account = pools.take_while(|(other, _)| other.is_of_account(pool)).map(|(_, until)| *until);
        let mut untils: Vec<u64> = of_account.collect();
        untils.sort_unstable();
        untils.iter().rev().nth(1).copied()
    }

    /// The pools that cool by themselves, each with the milliseconds that are left.
    pub fn live(&self, now_ms: u64) -> impl Iterator<Item = (&Pool, u64)> {
        let left = move |until: &u64| until.checked_sub(now_ms).filter(|left| *left > 0);
        self.until_ms.iter().filter_map(move |(pool, until)| left(until).map(|left| (pool, left)))
    }

    /// Forgets what is over.
    pub fn sweep(&mut self, now_ms: u64) {
        self.until_ms.retain(|_, until| *until > now_ms);
    }

    /// Whether nothing cools.
    pub fn is_empty(&self) -> bool {
        self.until_ms.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(provider: &str, version: u64, model: &str) -> Pool {
        Pool { provider: provider.parse().unwrap(), credential_version: version, upstream_model: model.to_owned() }
    }

    #[test]
    fn a_pool_cools_for_as_long_as_it_was_asked_and_no_longer() {
        let mut coolings = Coolings::default();
        let (one, other) = (pool("acme", 1, "large"), pool("acme", 1, "small"));
        assert!(coolings.cool(one.clone(), 30_000, 1_000));
        assert_eq!(coolings.until(&one, 1_000), Some(31_000));
        assert_eq!(coolings.until(&other, 1_000), None, "limits are per model");
        assert_eq!(coolings.until(&one, 31_000), None);
        assert!(coolings.cool(one.clone(), u64::MAX, 40_000));
        assert_eq!(coolings.until(&one, 40_000), Some(40_000 + LONGEST_MS));
    }

    #[test]
    fn the_longest_wait_counts_and_an_echo_is_no_news() {
        let mut coolings = Coolings::default();
        let one = pool("acme", 1, "large");
        assert!(coolings.cool(one.clone(), 30_000, 0));
        assert!(!coolings.cool(one.clone(), 5_000, 10), "shorter");
        // Told and told again over a network: it must not creep.
        for step in 1..1_000 {
            assert!(!coolings.cool(one.clone(), 30_000 - step, step + 3));
        }
        assert_eq!(coolings.until(&one, 0), Some(30_000));
        assert!(coolings.cool(one.clone(), 60_000, 1_000));
        assert_eq!(coolings.until(&one, 0), Some(61_000));
    }

    #[test]
    fn two_models_that_cool_at_once_cool_their_account_while_both_do() {
        let mut coolings = Coolings::default();
        let third = pool("acme", 1, "third");
        coolings.cool(pool("acme", 1, "large"), 30_000, 0);
        coolings.cool(pool("acme", 1, "small"), 10_000, 0);
        assert_eq!(coolings.until(&third, 0), Some(10_000));
        assert_eq!(coolings.until(&third, 10_000), None, "only one is left");
        assert_eq!(coolings.until(&pool("acme", 1, "large"), 10_000), Some(30_000));
        assert_eq!(coolings.until(&pool("acme", 1, "small"), 0), Some(10_000));
        for other in [pool("acme", 2, "third"), pool("acmf", 1, "third"), pool("acm", 1, "third")] {
            assert_eq!(coolings.until(&other, 0), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_over_is_forgotten_and_the_table_is_bounded() {
        let mut coolings = Coolings::default();
        for at in 0..2 * MOST {
            coolings.cool(pool("acme", 1, &format!("m{at}")), 10_000, 0);
        }
        assert_eq!(coolings.live(0).count(), MOST);
        assert!(coolings.cool(pool("acme", 1, "late"), 10_000, 10_000), "room is made");
        assert_eq!(coolings.live(10_000).count(), 1);
        coolings.sweep(20_000);
        assert!(coolings.is_empty());
    }
}
