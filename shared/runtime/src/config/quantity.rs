//! Durations and sizes as people write them: `20m`, `1h30m`, `250ms`; `16MiB`, `64KiB`.
//! What is printed reads back as the same value.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a duration or size was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuantity {
    /// Not a duration.
    #[error("a duration is a whole number with a unit, such as 250ms, 30s, 20m, 1h30m or 7d")]
    Span,
    /// Not a size.
    #[error("a size is a whole number of bytes, or one with a unit, such as 512B, 64KiB, 16MiB, 1GiB or 10MB")]
    Bytes,
    /// More than can be counted.
    #[error("the number is too large")]
    TooLarge,
}

/// A duration in settings. Units: `ns us ms s m h d`; several may follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

/// A size in settings, in bytes. Units: `B`, `KiB MiB GiB TiB` (powers of 1024), `kB MB GB TB` (powers of 1000).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

/// From large to small: printing takes the first that divides.
const SPAN_UNITS: &[(&str, u64)] = &[
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

const PRINTED_SIZES: &[(&str, u64)] =
    &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const DECIMAL_SIZES: &[(&str, u64)] =
    &[("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];

impl Span {
    /// A duration of whole milliseconds.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// A duration of whole seconds.
    #[must_use]
    pub const fn from_secs(s: u64) -> Self {
        Self(Duration::from_secs(s))
    }

    /// A duration of whole minutes.
    #[must_use]
    pub const fn from_mins(m: u64) -> Self {
        Self(Duration::from_secs(m * 60))
    }

    /// The duration.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Bytes {
    /// A size in bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A size of whole KiB.
    #[must_use]
    pub const fn from_kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// A size of whole MiB.
    #[must_use]
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// The size in bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The size in bytes, for buffers and slices; capped by what this machine can address.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl FromStr for Span {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Self::default());
        }
        let mut total_ns = 0_u64;
        loop {
            let (number, after) = split_number(rest).ok_or(BadQuantity::Span)?;
            let (unit, next) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
            let unit_ns = unit_of(unit.trim(), SPAN_UNITS).ok_or(BadQuantity::Span)?;
            let part_ns = number?.checked_mul(unit_ns).ok_or(BadQuantity::TooLarge)?;
            total_ns = total_ns.checked_add(part_ns).ok_or(BadQuantity::TooLarge)?;
            rest = next;
            if rest.is_empty() {
                return Ok(Self(Duration::from_nanos(total_ns)));
            }
        }
    }
}

impl FromStr for Bytes {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let (number, unit) = split_number(text.trim()).ok_or(BadQuantity::Bytes)?;
        let unit = match unit.trim() {
            "" => 1,
            unit => unit_of(unit, PRINTED_SIZES).or_else(|| unit_of(unit, DECIMAL_SIZES)).ok_or(BadQuantity::Bytes)?,
        };
        number?.checked_mul(unit).map(Self).ok_or(BadQuantity::TooLarge)
    }
}

/// Leading digits and the rest; `None` without a digit.
fn split_number(text: &str) -> Option<(Result<u64, BadQuantity>, &str)> {
    let (digits, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    (!digits.is_empty()).then(|| (digits.parse().map_err(|_| BadQuantity::TooLarge), rest))
}

fn unit_of(unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

/// The number in the largest unit that divides it.
fn print(f: &mut fmt::Formatter<'_>, number: u128, units: &[(&str, u64)]) -> fmt::Result {
    match units.iter().find(|(_, factor)| number.is_multiple_of(u128::from(*factor))) {
        Some((unit, factor)) => write!(f, "{}{unit}", number / u128::from(*factor)),
        None => write!(f, "{number}"),
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() { f.write_str("0s") } else { print(f, self.0.as_nanos(), SPAN_UNITS) }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("0B") } else { print(f, u128::from(self.0), PRINTED_SIZES) }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(BadQuantity::Span)).and_then(|text| text.parse().map_err(de::Error::custom))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A bare number can only mean bytes; a bare duration could mean anything and is refused.
        deserializer.deserialize_any(Text(BadQuantity::Bytes)).and_then(|text| text.parse().map_err(de::Error::custom))
    }
}

/// Takes text (and, for sizes, a bare number), and says what is wanted instead of anything else.
struct Text(BadQuantity);

impl de::Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "text ({})", self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        match (self.0, u64::try_from(number)) {
            (BadQuantity::Bytes, Ok(bytes)) => Ok(bytes.to_string()),
            (wanted, _) => Err(E::custom(wanted)),
        }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        if self.0 == BadQuantity::Bytes { Ok(number.to_string()) } else { Err(E::custom(self.0)) }
    }
}
