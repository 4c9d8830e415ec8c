//! Values on their way out of a row, read in the order of the select list. What cannot be read is `Corrupt`.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use domain::ids::{
    BootEpoch, EndpointId, EntryId, KeyId, ModelId, OrgId, PlanId, ProviderId, ProxyId, RequestId, Revision, TokenId,
};
use domain::keys::Digest;
use domain::limits::Period;
use domain::money::{Money, Price};
use domain::pools::PoolId;
use domain::time::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use crate::error::{Error, Result};

/// One row, as its driver gave it.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

macro_rules! raw {
    ($($name:ident: $kind:ty;)*) => {
        $(fn $name(&self, at: usize) -> Result<Option<$kind>> {
            match self {
                Row::Sqlite(row) => row.try_get(at),
                Row::Postgres(row) => row.try_get(at),
            }
            .map_err(|source| Error::Corrupt { what: source.to_string() })
        })*
    };
}

impl Row {
    raw! {
        int: i64;
        text: &str;
        bytes: &[u8];
        boolean: bool;
    }

    /// The values from the first column on.
    pub(crate) fn cells(&self) -> Cells<'_> {
        Cells { row: self, at: 0 }
    }

    /// The value of the only, or first, column.
    pub(crate) fn first<T: Column>(&self) -> Result<T> {
        self.cells().take()
    }
}

/// The values of a row, one after the other.
pub(crate) struct Cells<'a> {
    row: &'a Row,
    at: usize,
}

impl Cells<'_> {
    /// The next value.
    pub(crate) fn take<T: Column>(&mut self) -> Result<T> {
        let value = T::read(self.row, self.at)?;
        self.at += 1;
        value.ok_or_else(|| Error::Corrupt { what: format!("column {} is null", self.at) })
    }

    /// The next value, which may be NULL.
    pub(crate) fn maybe<T: Column>(&mut self) -> Result<Option<T>> {
        let value = T::read(self.row, self.at)?;
        self.at += 1;
        Ok(value)
    }

    /// The next value, by a word's own parser.
    pub(crate) fn word<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let text = self.row.text(self.at)?.unwrap_or("");
        self.at += 1;
        parse(text).ok_or_else(|| Error::Corrupt { what: format!("the unknown word `{text}`") })
    }

    /// The next value, which may be NULL, by a word's own parser.
    pub(crate) fn maybe_word<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>> {
        if self.row.text(self.at)?.is_none() {
            self.at += 1;
            return Ok(None);
        }
        self.word(parse).map(Some)
    }

    /// The next value, something as JSON, which may be NULL.
    pub(crate) fn json<T: DeserializeOwned>(&mut self) -> Result<Option<Arc<T>>> {
        let text = self.row.text(self.at)?;
        self.at += 1;
        let value = text.map(serde_json::from_str::<T>).transpose();
        let value = value.map_err(|why| Error::Corrupt { what: format!("column {}: {why}", self.at) })?;
        Ok(value.map(Arc::new))
    }

    /// The next value, a JSON list of words.
    pub(crate) fn list<T: FromStr<Err: Display>>(&mut self) -> Result<Vec<T>> {
        let text = self.row.text(self.at)?.unwrap_or("");
        self.at += 1;
        if text == "[]" {
            return Ok(Vec::new());
        }
        let corrupt = |why: &dyn Display| Error::Corrupt { what: format!("a list: {why}") };
        let words: Vec<String> = serde_json::from_str(text).map_err(|why| corrupt(&why))?;
        words.into_iter().map(|word| word.parse().map_err(|why| corrupt(&why))).collect()
    }
}

/// What a column can be read as.
pub(crate) trait Column: Sized {
    fn read(row: &Row, at: usize) -> Result<Option<Self>>;
}

fn parse<T: FromStr<Err: Display>>(row: &Row, at: usize) -> Result<Option<T>> {
    let parsed = row.text(at)?.map(str::parse).transpose();
    parsed.map_err(|why: T::Err| Error::Corrupt { what: why.to_string() })
}

fn narrow<T: TryFrom<i64>>(row: &Row, at: usize) -> Result<Option<T>> {
    let value = row.int(at)?;
    value
        .map(|value| T::try_from(value).map_err(|_| Error::Corrupt { what: format!("{value} is out of range") }))
        .transpose()
}

macro_rules! column {
    ($($kind:ty => |$row:ident, $at:ident| $read:expr),* $(,)?) => {
        $(impl Column for $kind {
            fn read($row: &Row, $at: usize) -> Result<Option<Self>> { $read }
        })*
    };
}

column!(
    i64 => |row, at| row.int(at),
    u64 => |row, at| narrow(row, at),
    u32 => |row, at| narrow(row, at),
    u16 => |row, at| narrow(row, at),
    bool => |row, at| row.boolean(at),
    String => |row, at| Ok(row.text(at)?.map(str::to_owned)),
    Vec<u8> => |row, at| Ok(row.bytes(at)?.map(<[u8]>::to_vec)),
    Money => |row, at| Ok(row.int(at)?.map(Money::from_nano)),
    Price => |row, at| Ok(row.int(at)?.map(Price::from_pico)),
    Timestamp => |row, at| Ok(row.int(at)?.map(Timestamp::from_us)),
    Period => |row, at| Ok(row.int(at)?.map(Period)),
    Revision => |row, at| Ok(narrow(row, at)?.map(Revision)),
    BootEpoch => |row, at| Ok(narrow(row, at)?.map(BootEpoch)),
    Digest => |row, at| Ok(<[u8; 32]>::read(row, at)?.map(Digest::from_bytes)),
    [u8; 32] => |row, at| {
        let bytes = row.bytes(at)?.map(<[u8; 32]>::try_from).transpose();
        bytes.map_err(|_| Error::Corrupt { what: "a digest that has not 32 bytes".to_owned() })
    },
    OrgId => |row, at| parse(row, at),
    KeyId => |row, at| parse(row, at),
    TokenId => |row, at| parse(row, at),
    EntryId => |row, at| parse(row, at),
    RequestId => |row, at| parse(row, at),
    ProviderId => |row, at| parse(row, at),
    ModelId => |row, at| parse(row, at),
    EndpointId => |row, at| parse(row, at),
    ProxyId => |row, at| parse(row, at),
    PlanId => |row, at| parse(row, at),
    PoolId => |row, at| parse(row, at),
);
