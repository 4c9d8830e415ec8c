//! Money in nano-dollars and prices in pico-dollars per unit. Integers, checked arithmetic, one rounding rule:
//! sums are kept exact in pico-dollars and rounded half up to nano-dollars once per request. Their texts are written
//! without allocating.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An amount in nano-USD (10^-9 dollars). At most about 9.2 billion dollars either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

/// A price in pico-USD (10^-12 dollars) per unit: per token, image, request, second …
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(i64);

/// An amount or a price as decimal digits.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    /// Filled from its end.
    text: [u8; Decimal::WIDTH],
    start: usize,
}

/// What is wrong with a text that should be an amount or a price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAmount {
    /// Not a decimal number such as `12.50`.
    #[error("`{0}` is not a decimal amount like 12.50")]
    Shape(String),
    /// More digits after the point than the unit can hold.
    #[error("`{text}` has more than {digits} digits after the point")]
    TooFine { text: String, digits: u32 },
    /// Larger than the unit can hold.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);

    /// An amount from nano-dollars.
    pub const fn from_nano(nano: i64) -> Self {
        Money(nano)
    }

    /// The amount in nano-dollars.
    pub const fn nano(self) -> i64 {
        self.0
    }

    /// The amount in dollars.
    pub fn dollars(self) -> Decimal {
        Decimal::new(self.0, 9)
    }

    /// The sum, unless it would not fit.
    pub fn plus(self, other: Money) -> Option<Money> {
        self.0.checked_add(other.0).map(Money)
    }

    /// The difference, unless it would be below nothing.
    pub fn minus(self, other: Money) -> Option<Money> {
        self.0.checked_sub(other.0).filter(|left| *left >= 0).map(Money)
    }

    /// Rounds an exact sum in pico-dollars half up, away from nothing, saturating at the ends.
    pub fn round_pico(pico: i128) -> Money {
        let rounded = if pico >= 0 { (pico + 500) / 1_000 } else { (pico - 500) / 1_000 };
        Money(i64::try_from(rounded).unwrap_or(if rounded > 0 { i64::MAX } else { i64::MIN }))
    }
}

impl Price {
    /// Free.
    pub const ZERO: Price = Price(0);

    /// A price from pico-dollars per unit.
    pub const fn from_pico(pico: i64) -> Self {
        Price(pico)
    }

    /// The price in pico-dollars per unit.
    pub const fn pico(self) -> i64 {
        self.0
    }

    /// Reads USD per million units, as token prices are written: `0.15`. At most six digits after the point.
    pub fn per_million(text: &str) -> Result<Price, BadAmount> {
        parse_decimal(text, 6).map(Price)
    }

    /// Reads USD per unit, as prices of images and requests are written: `0.04`. At most twelve digits after the point.
    pub fn per_unit(text: &str) -> Result<Price, BadAmount> {
        parse_decimal(text, 12).map(Price)
    }

    /// USD per million units, without trailing zeros.
    pub fn to_per_million(self) -> String {
        Decimal::new(self.0, 6).trimmed().to_owned()
    }

    /// USD per unit, without trailing zeros.
    pub fn to_per_unit(self) -> String {
        Decimal::new(self.0, 12).trimmed().to_owned()
    }
}

fn parse_decimal(text: &str, digits: u32) -> Result<i64, BadAmount> {
    let shape = || BadAmount::Shape(text.chars().take(40).collect());
    let (negative, body) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || body.ends_with('.') {
        return Err(shape());
    }
    let fraction = fraction.trim_end_matches('0');
    let width = usize::try_from(digits).unwrap_or(0);
    if fraction.len() > width {
        return Err(BadAmount::TooFine { text: text.chars().take(40).collect(), digits });
    }
    let too_large = || BadAmount::TooLarge(text.chars().take(40).collect());
    let joined = format!("{whole}{fraction:0<width$}");
    let value: i64 = joined.parse().map_err(|_| too_large())?;
    Ok(if negative { -value } else { value })
}

impl Decimal {
    /// Room for the 19 digits of a 64-bit number, a point and a sign.
    const WIDTH: usize = 21;

    /// `value` with its last `digits` digits after the point, and at least one before it.
    fn new(value: i64, digits: usize) -> Decimal {
        let mut text = [b'0'; Decimal::WIDTH];
        let mut left = value.unsigned_abs();
        let mut len = 0;
        for place in text.iter_mut().rev() {
            if left == 0 && len > digits + 1 {
                break;
            }
            if len == digits {
                *place = b'.';
            } else {
                *place += (left % 10) as u8;
                left /= 10;
            }
            len += 1;
        }
        if value < 0
            && let Some(place) = text.iter_mut().nth_back(len)
        {
            *place = b'-';
            len += 1;
        }
        Decimal { text, start: Decimal::WIDTH.saturating_sub(len) }
    }

    /// All digits: `0.000412500`.
    pub fn as_str(&self) -> &str {
        self.upto(Decimal::WIDTH)
    }

    /// Without needless zeros: `0.0004125`.
    pub fn trimmed(&self) -> &str {
        let end = self.text.iter().rposition(|byte| *byte != b'0').unwrap_or(0);
        // A point with nothing behind it goes as well.
        let is_point = self.text.get(end) == Some(&b'.');
        self.upto(if is_point { end } else { end + 1 })
    }

    fn upto(&self, end: usize) -> &str {
        let text = self.text.get(self.start..end).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Display for Money {
    /// Dollars with nine digits after the point: `0.000412500`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.dollars().as_str())
    }
}

impl FromStr for Money {
    type Err = BadAmount;
    fn from_str(text: &str) -> Result<Self, BadAmount> {
        parse_decimal(text, 9).map(Money)
    }
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.dollars().as_str())
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_read_exactly() {
        assert_eq!("25.00".parse(), Ok(Money::from_nano(25_000_000_000)));
        assert_eq!("0.000412500".parse(), Ok(Money::from_nano(412_500)));
        assert_eq!("-1".parse(), Ok(Money::from_nano(-1_000_000_000)));
        for bad in ["", ".5", "5.", "1e3", "1,000", "0.0000000001", "99999999999", "--1", "+1", " 1"] {
            assert!(bad.parse::<Money>().is_err(), "{bad}");
        }
        assert_eq!(Money::from_nano(412_500).to_string(), "0.000412500");
        assert_eq!(Money::from_nano(-1).to_string(), "-0.000000001");
    }

    #[test]
    fn prices_are_pico_dollars() {
        assert_eq!(Price::per_million("0.15"), Ok(Price::from_pico(150_000)));
        assert_eq!(Price::per_unit("0.04"), Ok(Price::from_pico(40_000_000_000)));
        assert!(matches!(Price::per_million("0.0000001"), Err(BadAmount::TooFine { .. })));
        assert_eq!(Price::from_pico(150_000).to_per_million(), "0.15");
        assert_eq!(Price::from_pico(15_000_000).to_per_million(), "15");
        assert_eq!(Price::from_pico(150_000).to_per_unit(), "0.00000015");
    }

    #[test]
    fn half_a_nano_rounds_up() {
        assert_eq!(Money::round_pico(499), Money::ZERO);
        assert_eq!(Money::round_pico(500), Money::from_nano(1));
        assert_eq!(Money::round_pico(-500), Money::from_nano(-1));
    }

    /// A decimal by way of formatting, for comparison.
    fn formatted(value: i64, digits: usize) -> String {
        let unit = 10u64.pow(u32::try_from(digits).unwrap());
        let (sign, size) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
        format!("{sign}{}.{:0digits$}", size / unit, size % unit)
    }

    #[test]
    fn texts_at_the_ends_are_whole() {
        for (nano, all, trimmed) in [
            (0, "0.000000000", "0"),
            (25_000_000_000, "25.000000000", "25"),
            (-100_000_000, "-0.100000000", "-0.1"),
            (i64::MAX, "9223372036.854775807", "9223372036.854775807"),
            (i64::MIN, "-9223372036.854775808", "-9223372036.854775808"),
        ] {
            let text = Money::from_nano(nano).dollars();
            assert_eq!((text.as_str(), text.trimmed()), (all, trimmed));
        }
        assert_eq!(Price::from_pico(i64::MIN).to_per_million(), "-9223372036854.775808");
        assert_eq!(Price::from_pico(i64::MIN).to_per_unit(), "-9223372.036854775808");
        assert_eq!(format!("{:>12}|{:<12}|", Money::from_nano(1), Money::ZERO), " 0.000000001|0.000000000 |");
    }

    proptest! {
        #[test]
        fn any_amount_survives_its_text(nano in any::<i64>().prop_filter("no room for the sign", |n| *n != i64::MIN)) {
            prop_assert_eq!(Money::from_nano(nano).to_string().parse(), Ok(Money::from_nano(nano)));
        }

        #[test]
        fn a_text_is_the_one_that_formatting_gives(value in any::<i64>(), shift in 0u32..63) {
            let value = value >> shift;
            for digits in [6, 9, 12] {
                let text = Decimal::new(value, digits);
                prop_assert_eq!(text.as_str(), formatted(value, digits));
            }
        }
    }
}
