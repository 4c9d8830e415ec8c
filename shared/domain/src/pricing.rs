//! The only place where tokens become money. The same function sizes a hold and prices the answer.

use crate::catalog::PriceList;
use crate::money::{Money, Price};
use crate::usage::TokenUsage;

/// What `usage` costs by `prices`: an exact sum in pico-dollars, rounded half up to nano-dollars once.
///
/// Fallbacks for missing prices: cache classes and audio input cost what the prompt costs, reasoning and audio output
/// what the completion costs; images, searches, letters and the request itself are free.
pub fn cost(usage: &TokenUsage, prices: &PriceList) -> Money {
    let prompt = prices.prompt.unwrap_or(Price::ZERO);
    let completion = prices.completion.unwrap_or(Price::ZERO);
    let terms = [
        (usage.prompt, prompt),
        (usage.cache_read, prices.cache_read.unwrap_or(prompt)),
        (usage.cache_write, prices.cache_write.unwrap_or(prompt)),
        (usage.cache_write_1h, prices.cache_write_1h.or(prices.cache_write).unwrap_or(prompt)),
        (usage.completion, completion),
        (usage.reasoning, prices.reasoning.unwrap_or(completion)),
        (usage.audio_input, prices.audio_input.unwrap_or(prompt)),
        (usage.audio_output, prices.audio_output.unwrap_or(completion)),
        (usage.images, prices.image.unwrap_or(Price::ZERO)),
        (usage.web_searches, prices.web_search.unwrap_or(Price::ZERO)),
        (usage.characters, prices.character.unwrap_or(Price::ZERO)),
        (1, prices.request.unwrap_or(Price::ZERO)),
    ];
    Money::round_pico(terms.into_iter().map(|(units, price)| i128::from(units) * i128::from(price.pico())).sum())
}

/// The dearest price a prompt token can have here: what a hold must assume.
pub fn dearest_prompt(prices: &PriceList) -> Price {
    [prices.prompt, prices.cache_read, prices.cache_write, prices.cache_write_1h, prices.audio_input]
        .into_iter()
        .flatten()
        .max()
        .unwrap_or(Price::ZERO)
}

/// The dearest price an answer token can have here.
pub fn dearest_completion(prices: &PriceList) -> Price {
    [prices.completion, prices.reasoning, prices.audio_output].into_iter().flatten().max().unwrap_or(Price::ZERO)
}

/// What so many images and letters cost, rounded up: what a hold needs on top of its tokens.
pub fn pieces(images: u64, characters: u64, prices: &PriceList) -> Money {
    let sum = i128::from(images) * i128::from(prices.image.unwrap_or(Price::ZERO).pico())
        + i128::from(characters) * i128::from(prices.character.unwrap_or(Price::ZERO).pico());
    Money::round_pico(sum.saturating_add(499))
}

/// What at most `prompt` and `completion` tokens can cost.
pub fn ceiling(prompt: u64, completion: u64, prices: &PriceList) -> Money {
    let sum = i128::from(prompt) * i128::from(dearest_prompt(prices).pico())
        + i128::from(completion) * i128::from(dearest_completion(prices).pico())
        + i128::from(prices.request.unwrap_or(Price::ZERO).pico());
    // Up, not half up: a hold is a promise that the money is there.
    Money::round_pico(sum.saturating_add(499))
}

/// How many answer tokens `money` pays for after a prompt of `prompt` tokens; none when the prompt alone is too dear.
/// `u64::MAX` when answers are free.
pub fn affordable(money: Money, prompt: u64, prices: &PriceList) -> Option<u64> {
    let left = money.minus(ceiling(prompt, 0, prices))?;
    let each = i128::from(dearest_completion(prices).pico());
    if each == 0 {
        return Some(u64::MAX);
    }
    u64::try_from(i128::from(left.nano()) * 1_000 / each).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mini() -> PriceList {
        PriceList {
            prompt: Price::per_million("0.15").ok(),
            completion: Price::per_million("0.60").ok(),
            cache_read: Price::per_million("0.075").ok(),
            ..PriceList::default()
        }
    }

    #[test]
    fn the_receipt_adds_up() {
        let usage = TokenUsage { prompt: 750, cache_read: 250, completion: 500, ..TokenUsage::default() };
        assert_eq!(cost(&usage, &mini()).to_string(), "0.000431250");
    }

    #[test]
    fn a_missing_cache_price_is_the_prompt_price() {
        let prices = PriceList { cache_read: None, ..mini() };
        let usage = TokenUsage { cache_read: 1_000_000, ..TokenUsage::default() };
        assert_eq!(cost(&usage, &prices).to_string(), "0.150000000");
    }

    #[test]
    fn letters_and_images_are_held_for_in_full() {
        let prices = PriceList {
            image: Price::per_unit("0.04").ok(),
            character: Price::per_unit("0.000015").ok(),
            ..PriceList::default()
        };
        let usage = TokenUsage { images: 3, characters: 1_001, ..TokenUsage::default() };
        assert_eq!(cost(&usage, &prices).to_string(), "0.135015000");
        assert_eq!(pieces(3, 1_001, &prices), cost(&usage, &prices));
        assert_eq!(pieces(9, 9, &mini()), Money::ZERO);
    }

    proptest! {
        #[test]
        fn a_hold_covers_what_it_was_sized_for(prompt in 0u64..10_000_000, cached in 0u64..10_000_000, out in 0u64..10_000_000, thought in 0u64..1_000_000) {
            let usage = TokenUsage { prompt, cache_read: cached, completion: out, reasoning: thought, ..TokenUsage::default() };
            prop_assert!(cost(&usage, &mini()) <= ceiling(prompt + cached, out + thought, &mini()));
        }

        #[test]
        fn what_is_called_affordable_is(money in 0i64..1_000_000_000_000, prompt in 0u64..1_000_000) {
            let money = Money::from_nano(money);
            if let Some(tokens) = affordable(money, prompt, &mini()) {
                prop_assert!(ceiling(prompt, tokens, &mini()).nano() <= money.nano() + 1);
            }
        }
    }
}
