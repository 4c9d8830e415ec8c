//! What an answer says about its own cost. Must never know a price: the proxy's `Pricer` does.

use domain::money::Money;
use domain::usage::TokenUsage;

/// What the caller is told about cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// What the account is charged.
    pub cost: Money,
    /// Whether the customer's own provider key paid.
    pub is_byok: bool,
    /// The provider's own price; shown only with `is_byok`, since clients add it to the cost.
    pub upstream_cost: Option<Money>,
}

/// Prices usage as it is read from an answer. May be asked several times for one answer; the last usage counts.
pub trait Pricer {
    fn price(&mut self, usage: &TokenUsage) -> Receipt;
}

impl<F: FnMut(&TokenUsage) -> Receipt> Pricer for F {
    fn price(&mut self, usage: &TokenUsage) -> Receipt {
        self(usage)
    }
}

/// Dollars as a JSON number without needless zeros.
pub(crate) fn dollars(amount: Money) -> String {
    let text = amount.to_string();
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The text of `cost_details`.
pub(crate) fn cost_details(receipt: &Receipt) -> String {
    let upstream = receipt.upstream_cost.filter(|_| receipt.is_byok).map_or("null".to_owned(), dollars);
    format!("{{\"upstream_inference_cost\":{upstream}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_json_numbers() {
        for (nano, text) in
            [(0, "0"), (412_500, "0.0004125"), (25_000_000_000, "25"), (1, "0.000000001"), (10_000_000_000, "10")]
        {
            assert_eq!(dollars(Money::from_nano(nano)), text);
            assert!(serde_json::from_str::<f64>(text).is_ok());
        }
    }

    #[test]
    fn the_upstream_price_is_shown_for_own_keys_only() {
        let receipt = Receipt { cost: Money::ZERO, is_byok: false, upstream_cost: Some(Money::from_nano(5)) };
        assert_eq!(cost_details(&receipt), r#"{"upstream_inference_cost":null}"#);
        let own = Receipt { is_byok: true, ..receipt };
        assert_eq!(cost_details(&own), r#"{"upstream_inference_cost":0.000000005}"#);
    }
}
