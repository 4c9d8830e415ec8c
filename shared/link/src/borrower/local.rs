//! What a proxy allows of a rate limit while the controller cannot be asked: its part of the bucket, by the number of
//! proxies, as full as the bucket was when the controller last spoke of it. All parts together hold no more than the
//! bucket did. It never touches money, and never the cells: every request passes here.

use crate::lease::Grant;

const NANO: i128 = 1_000_000_000;

/// What the controller last said of a rate pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    /// Units a minute.
    pub limit: i64,
    /// What the bucket held.
    remaining: i64,
    /// What it holds when it is full.
    burst: i128,
    at_ms: u64,
}

impl Told {
    pub(super) fn by(grant: &Grant, now_ms: u64) -> Told {
        let to_come = i128::from(grant.limit.max(0)) * i128::from(grant.reset_ms) / 60_000;
        let remaining = grant.remaining.max(0);
        Told { limit: grant.limit.max(0), remaining, burst: i128::from(remaining) + to_come, at_ms: now_ms }
    }

    /// What one of `active` proxies may save up a millisecond, in 10^-9 units.
    fn per_ms(&self, active: u32) -> i128 {
        i128::from(self.limit) * NANO / (60_000 * i128::from(active.max(1)))
    }

    /// What one of `active` proxies may save up at most: its part of the bucket, but a second of use and one unit.
    fn most(&self, active: u32) -> i128 {
        let part = self.burst * NANO / i128::from(active.max(1));
        part.max(self.per_ms(active) * 1_000).max(NANO)
    }
}

/// The share of one rate pool.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Share {
    /// Saved up, in 10^-9 units.
    saved: i128,
    /// Up to when it is saved up; none before an outage.
    at_ms: Option<u64>,
}

impl Share {
    /// Begins where the controller's last words ended.
    pub(super) fn begin(&mut self, told: &Told, active: u32) {
        if self.at_ms.is_none() {
            let saved = i128::from(told.remaining) * NANO / i128::from(active.max(1));
            *self = Share { saved, at_ms: Some(told.at_ms) };
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.at_ms.is_some()
    }

    /// The outage is over.
    pub(super) fn end(&mut self) {
        *self = Share::default();
    }

    /// Takes `need` units, or says how many whole ones there are and how long until there could be enough.
    pub(super) fn take(&mut self, need: i64, told: &Told, active: u32, now_ms: u64) -> Result<(), (i64, u64)> {
        let (per_ms, most) = (told.per_ms(active), told.most(active));
        let before = self.at_ms.unwrap_or(now_ms);
        self.at_ms = Some(now_ms.max(before));
        self.saved = (self.saved + per_ms * i128::from(now_ms.saturating_sub(before))).min(most);
        let cost = i128::from(need) * NANO;
        if cost <= self.saved {
            self.saved -= cost;
            return Ok(());
        }
        let missing = cost.min(most) - self.saved;
        let wait = if per_ms > 0 { (missing + per_ms - 1) / per_ms } else { 60_000 };
        let whole = i64::try_from(self.saved / NANO).unwrap_or(0);
        Err((whole, u64::try_from(wait.max(1)).unwrap_or(60_000)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(limit: i64, remaining: i64, burst: i64) -> Told {
        Told { limit, remaining, burst: burst.into(), at_ms: 1_000 }
    }

    #[test]
    fn a_share_is_the_limit_over_the_fleet() {
        let (mut share, told) = (Share::default(), told(600, 0, 0));
        share.begin(&told, 3);
        let taken = (0..60_000).filter(|ms| share.take(1, &told, 3, 1_000 + ms).is_ok()).count();
        assert!((195..=200).contains(&taken), "{taken} of 200 a minute");
    }

    #[test]
    fn the_parts_of_all_proxies_are_the_bucket_as_it_was() {
        let (mut share, told) = (Share::default(), told(600, 450, 600));
        share.begin(&told, 3);
        let at_once = (0..1_000).filter(|_| share.take(1, &told, 3, 1_000).is_ok()).count();
        assert_eq!(at_once, 150);
        let after_an_hour = (0..1_000).filter(|_| share.take(1, &told, 3, 3_600_000).is_ok()).count();
        assert_eq!(after_an_hour, 200);
        // A request that is larger than a second of the share, of tokens for example, passes once it is saved up.
        assert!(share.take(100, &told, 3, 3_620_000).is_err());
        assert!(share.take(100, &told, 3, 3_630_001).is_ok());
    }

    #[test]
    fn even_the_smallest_share_gets_its_one_request() {
        let (mut share, told) = (Share::default(), told(1, 0, 1));
        share.begin(&told, 3);
        assert_eq!(share.take(1, &told, 3, 1_000), Err((0, 180_019)));
        assert!(share.take(1, &told, 3, 181_100).is_ok());
        assert!(share.take(1, &told, 3, 181_101).is_err(), "an hour of silence saves up no more than one");
    }
}
