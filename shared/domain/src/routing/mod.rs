//! Where a request may go: the words of the `provider` object, the rules of organisations and keys made of the same words,
//! and which endpoint they leave out. Pure: rows and words in, yes or a reason out.
//! Knows nothing of how endpoints are doing; a proxy adds that. Never reads a body.

mod decimal;
mod filter;
mod names;
mod odds;
mod preferences;
mod rulebook;
mod rules;

pub use decimal::Micros;
pub use filter::{excluded, is_in, is_named, is_part};
pub use names::{BadName, Names, PRESET, Preset};
pub use odds::Odds;
pub use preferences::{
    By, DataCollection, FullSort, MaxPrice, Partition, Preferences, Quantiles, Regions, Sort, Threshold, Unread,
    is_anywhere,
};
pub use rulebook::{Rulebook, Strategy};
pub use rules::{BadRules, Fallbacks, Rules, Trigger, Triggers};

use crate::catalog::PriceList;
use crate::money::Price;

/// Attempts that one request may cost, the first included.
pub const ATTEMPTS_MOST: u32 = 3;

/// What an endpoint costs, for comparing: three prompt tokens for each answer token, as chats have them. In pico-USD.
pub fn price_key(prices: &PriceList) -> i128 {
    let pico = |price: Option<Price>| i128::from(price.unwrap_or(Price::ZERO).pico());
    3 * pico(prices.prompt) + pico(prices.completion)
}

#[cfg(test)]
mod tests;
