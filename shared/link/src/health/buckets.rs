//! Values counted in buckets that grow with them, eight to a doubling, so that any value is right to about a tenth. Buckets
//! of many proxies can be added up, which quantiles cannot.

use std::collections::BTreeMap;

/// Buckets for each doubling, as a power of two.
const FINE: u32 = 3;
/// Doublings that are told apart: values up to about a million.
const DOUBLINGS: usize = 20;
/// How many buckets there are.
pub const BUCKETS: usize = DOUBLINGS << FINE;

/// The bucket of a value. Values below 8 have one each.
pub fn bucket(value: u64) -> usize {
    let doublings = value.max(1).ilog2().saturating_sub(FINE);
    let fine = usize::try_from(value >> doublings).unwrap_or(0);
    (usize::try_from(doublings).unwrap_or(0) * (1 << FINE) + fine).min(BUCKETS - 1)
}

/// A value in the middle of a bucket.
pub fn middle(bucket: usize) -> u64 {
    let doublings = (bucket >> FINE).saturating_sub(1);
    let fine = u64::try_from(bucket - (doublings << FINE)).unwrap_or(0);
    (fine << doublings) + ((1u64 << doublings) >> 1)
}

/// How many values fell into which bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram(BTreeMap<usize, u64>);

impl Histogram {
    /// Counts so many values of one bucket.
    pub fn add(&mut self, bucket: usize, count: u64) {
        if count > 0 {
            let place = self.0.entry(bucket.min(BUCKETS - 1)).or_default();
            *place = place.saturating_add(count);
        }
    }

    /// Counts everything that another one counted.
    pub fn merge(&mut self, other: &Histogram) {
        other.iter().for_each(|(bucket, count)| self.add(bucket, count));
    }

    /// Its buckets that are not empty.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0.iter().map(|(bucket, count)| (*bucket, *count))
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that so many of a hundred do not exceed; none when nothing was counted.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let all: u64 = self.0.values().fold(0, |sum, count| sum.saturating_add(*count));
        let wanted = (u128::from(all) * u128::from(percent.min(100))).div_ceil(100).max(1);
        let mut sum = 0u128;
        let found = self.iter().find(|(_, count)| {
            sum += u128::from(*count);
            sum >= wanted
        });
        found.map(|(bucket, _)| middle(bucket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_falls_into_a_bucket_near_it() {
        for value in (0..64).map(|shift| 1u64 << shift).chain([0, 3, 7, 9, 1_000, 65_537]) {
            let off = middle(bucket(value)).abs_diff(value);
            assert!(value > 1 << 20 || off * 10 <= value.max(5), "{value}: off by {off}");
        }
    }

    #[test]
    fn histograms_of_many_are_as_good_as_one() {
        let (mut one, mut many) = (Histogram::default(), [Histogram::default(), Histogram::default()]);
        assert_eq!(one.percentile(50), None);
        for value in 1..=1_000u64 {
            one.add(bucket(value), 1);
            many[usize::from(value > 900)].add(bucket(value), 1);
        }
        let mut merged = Histogram::default();
        many.iter().for_each(|part| merged.merge(part));
        assert_eq!(merged, one);
        for (percent, wanted) in [(1, 10u64), (50, 500), (90, 900), (99, 990), (100, 1_000)] {
            let off = one.percentile(percent).unwrap().abs_diff(wanted);
            assert!(off * 10 <= wanted, "{percent}: off by {off}");
        }
    }
}
