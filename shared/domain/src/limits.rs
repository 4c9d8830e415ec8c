//! Limits as data: rates, budgets and the periods that budgets are counted in. Periods are those of UTC; weeks start
//! on Monday.

use serde::{Deserialize, Serialize};

use crate::money::Money;
use crate::time::Timestamp;

/// How often a key's budget starts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    Never,
    Daily,
    Weekly,
    Monthly,
}

impl Reset {
    /// The word people write.
    pub fn name(self) -> &'static str {
        match self {
            Reset::Never => "never",
            Reset::Daily => "daily",
            Reset::Weekly => "weekly",
            Reset::Monthly => "monthly",
        }
    }

    /// The reset with this name.
    pub fn parse(text: &str) -> Option<Reset> {
        [Reset::Never, Reset::Daily, Reset::Weekly, Reset::Monthly].into_iter().find(|reset| reset.name() == text)
    }

    /// The period that `now` falls into.
    pub fn period(self, now: Timestamp) -> Period {
        let date = now.civil().date();
        let start = match self {
            Reset::Never => return Period(0),
            Reset::Daily => date,
            Reset::Weekly => {
                let back = i64::from(date.weekday().to_monday_zero_offset());
                date.checked_sub(jiff::Span::new().days(back)).unwrap_or(date)
            }
            Reset::Monthly => date.first_of_month(),
        };
        Period(Timestamp::of_date(start).seconds())
    }

    /// When the period that `now` falls into ends; never for `Never`.
    pub fn next(self, now: Timestamp) -> Option<Timestamp> {
        let date = now.civil().date();
        let span = match self {
            Reset::Never => return None,
            Reset::Daily => jiff::Span::new().days(1),
            Reset::Weekly => jiff::Span::new().days(7 - i64::from(date.weekday().to_monday_zero_offset())),
            Reset::Monthly => {
                return date.first_of_month().checked_add(jiff::Span::new().months(1)).ok().map(Timestamp::of_date);
            }
        };
        date.checked_add(span).ok().map(Timestamp::of_date)
    }
}

/// One counting period, named by the unix second it starts at; 0 is "for ever".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Period(pub i64);

/// How much a key may spend, and how often that starts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Budget {
    pub amount: Money,
    pub reset: Reset,
}

/// A bucket of `burst` units that refills at `per_minute / 60` units a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    pub per_minute: u64,
    pub burst: u64,
}

impl Rate {
    /// A rate whose bucket holds one minute's worth.
    pub fn per_minute(units: u64) -> Rate {
        Rate { per_minute: units, burst: units }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn periods_follow_the_calendar_of_utc() {
        let now = at("2026-11-21T12:34:56Z"); // a Saturday
        assert_eq!(Reset::Daily.period(now), Period(at("2026-11-21T00:00:00Z").seconds()));
        assert_eq!(Reset::Weekly.period(now), Period(at("2026-11-16T00:00:00Z").seconds()));
        assert_eq!(Reset::Monthly.period(now), Period(at("2026-11-01T00:00:00Z").seconds()));
        assert_eq!(Reset::Never.period(now), Period(0));
        assert_eq!(Reset::Daily.next(now), Some(at("2026-11-22T00:00:00Z")));
        assert_eq!(Reset::Weekly.next(now), Some(at("2026-11-23T00:00:00Z")));
        assert_eq!(Reset::Monthly.next(now), Some(at("2026-12-01T00:00:00Z")));
        assert_eq!(Reset::Never.next(now), None);
    }
}
