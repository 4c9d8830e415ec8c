//! Which endpoint is asked first where price decides: each has a chance of one over the square of its price. Most requests
//! go to the cheapest, and every other is tried often enough to know how it does. Pure: randomness is handed in.

/// Chances of endpoints, in the order of their prices.
#[derive(Debug, Default)]
pub(crate) struct Odds {
    /// The weights up to and including each; the last one is the whole.
    sums: Vec<f64>,
}

impl Odds {
    /// Chances by prices in any unit, none below zero.
    pub fn of(prices: impl IntoIterator<Item = i128>) -> Odds {
        let prices: Vec<i128> = prices.into_iter().collect();
        let least = prices.iter().copied().min().unwrap_or(0);
        let mut sum = 0.0;
        let sums = prices.into_iter().map(|price| {
            sum += weight(least, price);
            sum
        });
        Odds { sums: sums.collect() }
    }

    /// The place that is drawn; `random` is from 0 up to, but not including, 1.
    pub fn draw(&self, random: f64) -> usize {
        let aim = self.sums.last().copied().unwrap_or(0.0) * random;
        self.sums.iter().position(|sum| aim < *sum).unwrap_or(0)
    }

    /// The chance of a place, from 0 to 1.
    pub fn chance(&self, place: usize) -> f64 {
        let before = place.checked_sub(1).and_then(|place| self.sums.get(place)).copied().unwrap_or(0.0);
        match (self.sums.get(place), self.sums.last()) {
            (Some(sum), Some(whole)) => (sum - before) / whole,
            _ => 0.0,
        }
    }
}

/// 1 for the least price. Where something is free, what costs something is a fallback only.
fn weight(least: i128, price: i128) -> f64 {
    match (price <= least, least <= 0) {
        (true, _) => 1.0,
        (false, true) => 0.0,
        (false, false) => (least as f64 / price as f64).powi(2),
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    const DRAWS: usize = 100_000;

    fn drawn(prices: &[i128], seed: u64) -> Vec<f64> {
        let (odds, mut random) = (Odds::of(prices.iter().copied()), StdRng::seed_from_u64(seed));
        let mut counts = vec![0usize; prices.len()];
        for _ in 0..DRAWS {
            counts[odds.draw(random.random())] += 1;
        }
        counts.into_iter().map(|count| count as f64 / DRAWS as f64).collect()
    }

    #[test]
    fn the_first_is_drawn_by_one_over_the_square_of_its_price() {
        for (seed, prices) in [(1, &[1, 2, 3][..]), (2, &[5, 5]), (3, &[100, 110, 150, 400]), (4, &[7])] {
            let whole: f64 = prices.iter().map(|price| (*price as f64).powi(-2)).sum();
            for (place, share) in drawn(prices, seed).into_iter().enumerate() {
                let wanted = (prices[place] as f64).powi(-2) / whole;
                assert!((share - wanted).abs() < 0.01, "{prices:?}: {share} for {wanted}");
                assert!((Odds::of(prices.iter().copied()).chance(place) - wanted).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn what_is_free_always_comes_first() {
        let shares = drawn(&[0, 0, 1_000], 5);
        assert!((shares[0] - 0.5).abs() < 0.01 && shares[2] == 0.0);
        assert_eq!(Odds::of([]).draw(0.5), 0);
    }
}
