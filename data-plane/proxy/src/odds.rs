//! The draw of [`domain::routing::Odds`] with the numbers that a worker has: random ones from 0 to 1. Decides nothing.

use domain::routing;

/// Chances of endpoints, in the order of their prices.
#[derive(Debug, Default)]
pub(crate) struct Odds(routing::Odds);

impl Odds {
    /// Chances by prices in any unit, none below zero.
    pub fn of(prices: impl IntoIterator<Item = i128>) -> Odds {
        Odds(routing::Odds::of(prices))
    }

    /// The place that is drawn; `random` is from 0 up to, but not including, 1.
    pub fn draw(&self, random: f64) -> usize {
        self.0.draw((random * 2f64.powi(64)) as u64)
    }

    /// The chance of a place, from 0 to 1.
    pub fn chance(&self, place: usize) -> f64 {
        match self.0.whole() {
            0 => 0.0,
            whole => self.0.weight(place) as f64 / whole as f64,
        }
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
