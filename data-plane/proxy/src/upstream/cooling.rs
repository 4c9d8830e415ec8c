//! Credentials that a provider has asked us to leave alone for a while. All workers of a proxy know of it at once, since a
//! provider counts what all of them send. Never longer than ten minutes on one word of a provider's.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::ids::ProviderId;

/// The longest that one word is heeded.
const MOST: Duration = Duration::from_secs(600);
/// Credentials that are known at once; beyond that, those that wait for nothing are forgotten.
const KNOWN_MOST: usize = 4_096;

/// One credential.
#[derive(Debug, Default)]
pub(crate) struct Cooling {
    /// Milliseconds of the proxy's clock; 0 when it was never asked for.
    until_ms: AtomicU64,
}

impl Cooling {
    /// The provider wants `wait` from now. Of several words the latest end counts.
    pub fn heed(&self, wait: Duration, now_ms: u64) {
        let wait = u64::try_from(wait.min(MOST).as_millis()).unwrap_or(u64::MAX);
        self.until_ms.fetch_max(now_ms.saturating_add(wait), Ordering::Relaxed);
    }

    /// How long it is still to be left alone; none when it may be asked.
    pub fn left(&self, now_ms: u64) -> Option<Duration> {
        let left = self.until_ms.load(Ordering::Relaxed).saturating_sub(now_ms);
        (left > 0).then(|| Duration::from_millis(left))
    }
}

/// All of them: a new credential of the same provider starts anew.
#[derive(Debug, Default)]
pub(crate) struct Coolings {
    known: Mutex<HashMap<(ProviderId, u64), Arc<Cooling>>>,
}

impl Coolings {
    /// That of this version of a provider's credential.
    pub fn of(&self, provider: &ProviderId, version: u64) -> Arc<Cooling> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MOST {
            known.retain(|_, cooling| Arc::strong_count(cooling) > 1);
        }
        known.entry((provider.clone(), version)).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_words_the_latest_end_counts() {
        let cooling = Cooling::default();
        assert_eq!(cooling.left(0), None);
        cooling.heed(Duration::from_secs(30), 1_000);
        cooling.heed(Duration::from_secs(1), 1_000);
        assert_eq!(cooling.left(1_000), Some(Duration::from_secs(30)));
        assert_eq!(cooling.left(30_999), Some(Duration::from_millis(1)));
        assert_eq!(cooling.left(31_000), None);
        cooling.heed(Duration::MAX, 40_000);
        assert_eq!(cooling.left(40_000), Some(MOST));
    }

    #[test]
    fn a_new_credential_starts_anew() {
        let coolings = Coolings::default();
        let acme: ProviderId = "acme".parse().unwrap();
        coolings.of(&acme, 1).heed(Duration::from_secs(9), 0);
        assert!(coolings.of(&acme, 1).left(0).is_some());
        assert!(coolings.of(&acme, 2).left(0).is_none());
    }
}
