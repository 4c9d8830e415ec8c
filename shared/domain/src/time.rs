//! Time as the rooms share it: unix microseconds, handed in by a clock, never taken here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A moment, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// What is wrong with a text that should be a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time like 2026-11-21T12:00:00Z")]
pub struct BadTime(String);

impl Timestamp {
    /// A moment from unix microseconds.
    pub const fn from_us(us: i64) -> Self {
        Timestamp(us)
    }

    /// Unix microseconds.
    pub const fn us(self) -> i64 {
        self.0
    }

    /// Unix milliseconds, rounded down.
    pub const fn ms(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Unix seconds, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This moment and `us` microseconds, saturating.
    pub const fn plus_us(self, us: i64) -> Self {
        Timestamp(self.0.saturating_add(us))
    }

    /// Microseconds from `earlier` to here; negative when it is later.
    pub const fn since_us(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment on the calendar of UTC; the nearest representable one when out of range.
    pub(crate) fn civil(self) -> jiff::civil::DateTime {
        let stamp = jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        jiff::tz::Offset::UTC.to_datetime(stamp)
    }

    /// The moment of a calendar date of UTC at midnight.
    pub(crate) fn of_date(date: jiff::civil::Date) -> Self {
        let stamp = jiff::tz::Offset::UTC.to_timestamp(date.at(0, 0, 0, 0));
        Timestamp(stamp.map_or(i64::MAX, |stamp| stamp.as_microsecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(stamp) => write!(f, "{stamp:.6}"),
            Err(_) => write!(f, "{} us", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = BadTime;
    fn from_str(text: &str) -> Result<Self, BadTime> {
        let stamp: jiff::Timestamp = text.parse().map_err(|_| BadTime(text.chars().take(80).collect()))?;
        Ok(Timestamp(stamp.as_microsecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_and_read_as_rfc_3339() {
        let moment = Timestamp::from_us(1_795_262_400_123_456);
        assert_eq!(moment.to_string(), "2026-11-21T12:00:00.123456Z");
        assert_eq!("2026-11-21T13:00:00.123456+01:00".parse(), Ok(moment));
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
