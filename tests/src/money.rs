//! Money as the contract writes it, and a second opinion on what a request costs. Written from the price rules alone:
//! shares no code with the product, so that one mistake is not made twice.

use serde_json::Value;

/// Nano-dollars from a decimal text such as `0.000412500`.
pub fn nano(text: &str) -> i64 {
    scaled(text, 9)
}

/// Nano-dollars of a field that holds a decimal text.
pub fn nano_of(value: &Value) -> i64 {
    nano(value.as_str().unwrap_or_else(|| panic!("`{value}` is not an amount in text")))
}

/// Nano-dollars of a JSON number in dollars, as `usage.cost` is.
pub fn nano_of_number(value: &Value) -> i64 {
    let text = value.as_number().unwrap_or_else(|| panic!("`{value}` is not a number")).to_string();
    match text.split_once(['e', 'E']) {
        None => nano(&text),
        Some((digits, exponent)) => {
            let exponent: i32 = exponent.parse().expect("an exponent");
            let places = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            let shift = 9 + exponent - i32::try_from(places).unwrap();
            let whole: i64 = digits.replace('.', "").parse().expect("digits");
            assert!(shift >= 0, "{text} is finer than a nano-dollar");
            whole * 10i64.pow(shift.unsigned_abs())
        }
    }
}

/// A decimal text of nano-dollars.
pub fn dollars(nano: i64) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let size = nano.unsigned_abs();
    format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000)
}

fn scaled(text: &str, digits: usize) -> i64 {
    let (sign, body) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    assert!(fraction.len() <= digits, "`{text}` is finer than {digits} digits");
    let joined = format!("{whole}{fraction:0<digits$}");
    sign * joined.parse::<i64>().unwrap_or_else(|_| panic!("`{text}` is not an amount"))
}

/// The prices of an endpoint, as an apply file writes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// USD per million tokens.
    pub prompt: &'static str,
    pub completion: &'static str,
    /// None is the price of the prompt.
    pub cache_read: Option<&'static str>,
    /// None is the price of the completion.
    pub reasoning: Option<&'static str>,
    /// USD per request.
    pub request: Option<&'static str>,
}

/// Tokens as OpenAI counts them: cached ones are part of the prompt, reasoning is part of the completion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub prompt: u64,
    pub completion: u64,
    pub cached: u64,
    pub reasoning: u64,
}

impl Prices {
    /// The table for an apply file.
    pub fn table(&self) -> String {
        let mut fields = vec![("prompt", self.prompt), ("completion", self.completion)];
        let more = [("cache_read", self.cache_read), ("reasoning", self.reasoning), ("request", self.request)];
        fields.extend(more.into_iter().filter_map(|(name, price)| Some((name, price?))));
        let fields: Vec<String> = fields.iter().map(|(name, price)| format!("{name} = \"{price}\"")).collect();
        format!("{{ {} }}", fields.join(", "))
    }

    /// What `tokens` cost, in nano-dollars: exact, rounded half up once.
    pub fn cost(&self, tokens: Tokens) -> i64 {
        let each = |text: &str| i128::from(scaled(text, 6));
        let prompt = each(self.prompt);
        let completion = each(self.completion);
        let cached = self.cache_read.map_or(prompt, each);
        let reasoning = self.reasoning.map_or(completion, each);
        let request = self.request.map_or(0, |text| i128::from(scaled(text, 12)));
        let pico = i128::from(tokens.prompt - tokens.cached) * prompt
            + i128::from(tokens.cached) * cached
            + i128::from(tokens.completion - tokens.reasoning) * completion
            + i128::from(tokens.reasoning) * reasoning
            + request;
        i64::try_from((pico + 500).div_euclid(1_000)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_are_read_in_every_form() {
        assert_eq!(nano("0.000412500"), 412_500);
        assert_eq!(nano("-1"), -1_000_000_000);
        assert_eq!(nano_of_number(&json!(0.000_000_007)), 7);
        assert_eq!(nano_of_number(&json!(1.5e-6)), 1_500);
        assert_eq!(nano_of_number(&json!(0)), 0);
        assert_eq!(dollars(-412_500), "-0.000412500");
    }

    #[test]
    fn a_cost_is_rounded_once() {
        let prices = Prices { prompt: "0.123457", completion: "7.000001", ..Prices::default() };
        // 3 × 123457 + 5 × 7000001 pico-dollars
        assert_eq!(prices.cost(Tokens { prompt: 3, completion: 5, ..Tokens::default() }), 35_370);
        let odd = Prices { cache_read: Some("0.05"), request: Some("0.0001"), ..prices };
        // 2 × 123457 + 1 × 50000 + 0.0001 USD
        assert_eq!(odd.cost(Tokens { prompt: 3, cached: 1, ..Tokens::default() }), 100_297);
    }
}
