//! Decimal numbers in JSON, as a number or as a text, kept as whole numbers.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::money::{BadAmount, Price};

/// A number in millionths: seconds are microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub i64);

const MILLION: i64 = 1_000_000;

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 % MILLION {
            0 => serializer.serialize_i64(self.0 / MILLION),
            _ => serializer.serialize_f64(self.0 as f64 / MILLION as f64),
        }
    }
}

impl<'de> Deserialize<'de> for Micros {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Micros, D::Error> {
        deserializer.deserialize_any(Number)
    }
}

struct Number;

impl Visitor<'_> for Number {
    type Value = Micros;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Micros, E> {
        number.checked_mul(MILLION).map(Micros).ok_or_else(|| E::custom("the number is too large"))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Micros, E> {
        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Micros, E> {
        // What is finer than a millionth is rounded.
        Price::per_million(&format!("{number:.6}")).map(|price| Micros(price.pico())).map_err(E::custom)
    }
}

/// How a price is read from its digits.
pub(super) type ReadPrice = fn(&str) -> Result<Price, BadAmount>;

/// Reads a price that may be absent; none is below nothing.
pub(super) fn price<'de, D: Deserializer<'de>>(deserializer: D, read: ReadPrice) -> Result<Option<Price>, D::Error> {
    deserializer.deserialize_any(Digits(read))
}

struct Digits(ReadPrice);

impl Visitor<'_> for Digits {
    type Value = Option<Price>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a price, as a number or as a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<Price>, E> {
        match (self.0)(text.trim()) {
            Ok(price) if price.pico() >= 0 => Ok(Some(price)),
            Ok(_) => Err(E::custom("a price is not below zero")),
            Err(error) => Err(E::custom(error)),
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<Price>, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<Price>, E> {
        self.visit_str(&number.to_string())
    }

    /// The shortest digits that mean the number: those that were written, of as many as a price can have.
    fn visit_f64<E: Error>(self, number: f64) -> Result<Option<Price>, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_unit<E: Error>(self) -> Result<Option<Price>, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Option<Price>, E> {
        Ok(None)
    }
}
