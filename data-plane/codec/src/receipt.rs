//! What an answer says about its own cost. Must never know a price: the proxy's `Pricer` does.

use domain::money::Money;
use domain::usage::TokenUsage;

use crate::json::NewText;

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

impl Receipt {
    /// Writes the value of `cost`: dollars as a JSON number without needless zeros.
    pub(crate) fn write_cost(&self, out: &mut NewText) {
        write_dollars(self.cost, out);
    }

    /// Writes the value of `is_byok`.
    pub(crate) fn write_is_byok(&self, out: &mut NewText) {
        out.extend_from_slice(if self.is_byok { b"true" } else { b"false" });
    }

    /// Writes the value of `cost_details`.
    pub(crate) fn write_cost_details(&self, out: &mut NewText) {
        out.extend_from_slice(b"{\"upstream_inference_cost\":");
        match self.upstream_cost.filter(|_| self.is_byok) {
            Some(cost) => write_dollars(cost, out),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
}

fn write_dollars(amount: Money, out: &mut NewText) {
    out.extend_from_slice(amount.dollars().trimmed().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut NewText)) -> String {
        let mut out = NewText::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn dollars_are_json_numbers() {
        for (nano, text) in
            [(0, "0"), (412_500, "0.0004125"), (25_000_000_000, "25"), (1, "0.000000001"), (10_000_000_000, "10")]
        {
            assert_eq!(written(|out| write_dollars(Money::from_nano(nano), out)), text);
            assert!(serde_json::from_str::<f64>(text).is_ok());
        }
    }

    #[test]
    fn the_upstream_price_is_shown_for_own_keys_only() {
        let receipt = Receipt { cost: Money::ZERO, is_byok: false, upstream_cost: Some(Money::from_nano(5)) };
        assert_eq!(written(|out| receipt.write_cost_details(out)), r#"{"upstream_inference_cost":null}"#);
        let own = Receipt { is_byok: true, ..receipt };
        assert_eq!(written(|out| own.write_cost_details(out)), r#"{"upstream_inference_cost":0.000000005}"#);
        assert_eq!(written(|out| own.write_is_byok(out)), "true");
    }
}
