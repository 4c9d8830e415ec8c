//! Which endpoint is asked first where price decides: each has a chance of one over the square of its price. Most requests
//! go to the cheapest, and every other is tried often enough to know how it does. Pure: randomness is handed in.

/// The weight of the least price, and so the most of all.
const WHOLE_BITS: u32 = 62;
/// Bits of a price's ratio to the least: squared they have a few more than the weight.
const RATIO_BITS: u32 = 40;

/// Chances of endpoints, in the order of their prices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Odds {
    /// The weights up to and including each; the last one is the whole.
    sums: Vec<u128>,
}

impl Odds {
    /// Chances by prices in any unit, none below zero.
    pub fn of(prices: impl IntoIterator<Item = i128>) -> Odds {
        let prices: Vec<i128> = prices.into_iter().collect();
        let least = prices.iter().copied().min().unwrap_or(0);
        let mut sum = 0;
        let sums = prices.into_iter().map(|price| {
            sum += u128::from(weight(least, price));
            sum
        });
        Odds { sums: sums.collect() }
    }

    /// The place that is drawn; all values of `aim` are as likely.
    pub fn draw(&self, aim: u64) -> usize {
        // 46 bits of the whole and 48 of the aim: what is lost is less than anything that is drawn can show.
        let aim = ((self.whole() >> 16) * u128::from(aim >> 16)) >> 32;
        self.sums.iter().position(|sum| aim < *sum).unwrap_or(0)
    }

    /// The weight of a place; its chance is its part in the [whole](Odds::whole).
    pub fn weight(&self, place: usize) -> u64 {
        let before = place.checked_sub(1).and_then(|place| self.sums.get(place)).copied().unwrap_or(0);
        self.sums.get(place).and_then(|sum| u64::try_from(sum - before).ok()).unwrap_or(0)
    }

    /// The weight of all places.
    pub fn whole(&self) -> u128 {
        self.sums.last().copied().unwrap_or(0)
    }
}

/// The most for the least price. Where something is free, what costs something is a fallback only.
fn weight(least: i128, price: i128) -> u64 {
    match (price <= least, least <= 0) {
        (true, _) => 1 << WHOLE_BITS,
        (false, true) => 0,
        (false, false) => {
            let ratio = least.checked_shl(RATIO_BITS).unwrap_or(0) / price;
            u64::try_from((ratio * ratio) >> (2 * RATIO_BITS - WHOLE_BITS)).unwrap_or(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of 100,000 evenly spread aims draw each place: give or take one at its borders.
    fn drawn(prices: &[i128], expected: &[u64]) {
        let odds = Odds::of(prices.iter().copied());
        let mut counts = vec![0u64; prices.len()];
        (0..100_000u64).for_each(|at| counts[odds.draw(at * (u64::MAX / 100_000))] += 1);
        let is_near = |(count, expected): (&u64, &u64)| count.abs_diff(*expected) <= 1;
        assert!(counts.iter().zip(expected).all(is_near) && counts.len() == expected.len(), "{prices:?}: {counts:?}");
    }

    #[test]
    fn the_first_is_drawn_by_one_over_the_square_of_its_price() {
        // 36 : 9 : 4 of 49.
        drawn(&[1, 2, 3], &[73_470, 18_367, 8_163]);
        drawn(&[5, 5], &[50_000, 50_000]);
        drawn(&[7], &[100_000]);
        let odds = Odds::of([1_000_000_000_000, 2_000_000_000_000]);
        assert_eq!(odds.weight(0), 4 * odds.weight(1));
        assert_eq!((odds.weight(2), odds.whole()), (0, 5 << 60));
    }

    #[test]
    fn what_is_free_always_comes_first() {
        drawn(&[0, 0, 1_000], &[50_000, 50_000, 0]);
        assert_eq!(Odds::of([]).draw(7), 0);
    }

    #[test]
    fn no_price_is_too_high() {
        let odds = Odds::of([i128::from(u64::MAX), 4 * i128::from(u64::MAX), i128::MAX]);
        assert_eq!((odds.weight(0), odds.weight(1), odds.weight(2)), (1 << 62, 1 << 58, 0));
        assert_eq!((odds.draw(0), odds.draw(u64::MAX)), (0, 1));
    }
}
