//! What a proxy allows of a rate limit while the controller cannot be asked: its share of the limit, saved up for at
//! most a second (or one unit). It never touches money, and never the cells: every request passes here.

const NANO: i128 = 1_000_000_000;

/// The share of one rate pool.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Share {
    /// Saved up, in 10^-9 units.
    saved: i128,
    /// Up to when it is saved up; 0 before an outage.
    at_ms: u64,
}

impl Share {
    /// Starts saving at the beginning of an outage, with nothing.
    pub(super) fn begin(&mut self, now_ms: u64) {
        if self.at_ms == 0 {
            *self = Share { saved: 0, at_ms: now_ms.max(1) };
        }
    }

    /// The outage is over.
    pub(super) fn end(&mut self) {
        *self = Share::default();
    }

    /// Takes `need` units, or says how many whole ones there are and how long until there could be enough.
    pub(super) fn take(&mut self, need: i64, limit: i64, active: u32, now_ms: u64) -> Result<(), (i64, u64)> {
        let per_ms = i128::from(limit.max(0)) * NANO / (60_000 * i128::from(active.max(1)));
        let most = (per_ms * 1_000).max(NANO);
        let passed = i128::from(now_ms.saturating_sub(self.at_ms));
        self.at_ms = now_ms.max(self.at_ms);
        self.saved = (self.saved + per_ms * passed).min(most);
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

    #[test]
    fn a_share_is_the_limit_over_the_fleet() {
        let mut share = Share::default();
        share.begin(1_000);
        let taken = (0..60_000).filter(|ms| share.take(1, 600, 3, 1_000 + ms).is_ok()).count();
        assert!((195..=200).contains(&taken), "{taken} of 200 a minute");
    }

    #[test]
    fn even_the_smallest_share_gets_its_one_request() {
        let mut share = Share::default();
        share.begin(1);
        assert_eq!(share.take(1, 1, 3, 1), Err((0, 180_019)));
        assert!(share.take(1, 1, 3, 180_100).is_ok());
        assert!(share.take(1, 1, 3, 180_101).is_err(), "an hour of silence saves up no more than one");
    }
}
