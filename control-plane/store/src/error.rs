//! What can go wrong in this room. Names what was being done; carries the driver's own words as source.

use crate::migrations::SchemaState;

/// The result of every function here.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such row, or one that the scope does not cover.
    #[error("there is no such {what}")]
    NotFound { what: &'static str },
    /// The write does not fit what is there.
    #[error("{what}: this does not fit what is there")]
    Conflict { what: &'static str },
    /// The database is away, busy, or refused the statement.
    #[error("the database did not do `{statement}`")]
    Unavailable {
        /// The beginning of the statement. Values are never part of a text.
        statement: String,
        /// Whether the same may work a moment later without anyone doing anything.
        retry: bool,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A row that this program could not have written.
    #[error("a row cannot be read: {what}")]
    Corrupt { what: String },
    /// The tables are not those that this program knows.
    #[error("the database schema is {0}")]
    Schema(SchemaState),
    /// A migration did not go through.
    #[error("migrate the database")]
    Migrate { source: Box<dyn std::error::Error + Send + Sync> },
    /// The address names no database.
    #[error("`{url}` is not a database address: {why}")]
    BadUrl { url: String, why: String },
    /// A mistake of the calling code, such as locks in the wrong order.
    #[error("wrong use of the store: {what}")]
    Misuse { what: &'static str },
    /// A sum does not fit.
    #[error("{what} would not fit 64 bits")]
    Overflow { what: &'static str },
}

impl Error {
    /// Whether the same may work a moment later without anyone doing anything.
    pub fn may_retry(&self) -> bool {
        matches!(self, Error::Unavailable { retry: true, .. })
    }

    pub(crate) fn of(statement: &str, source: sqlx::Error) -> Error {
        let refused = source.as_database_error();
        if refused.is_some_and(|error| error.is_unique_violation() || error.is_foreign_key_violation()) {
            return Error::Conflict { what: "a row" };
        }
        // postgres: a sum that bigint does not hold
        if refused.and_then(|error| error.code()).is_some_and(|code| code == "22003") {
            return Error::Overflow { what: "a sum" };
        }
        // Deadlock, serialisation, lock and connection trouble of PostgreSQL; busy and locked of SQLite.
        let retry = match &source {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                ["40001", "40P01", "55P03", "57P01", "57P02", "57P03", "53300", "5", "6", "261", "262", "517"]
                    .contains(&code.as_ref())
            }),
            _ => false,
        };
        let statement = statement.split_whitespace().take(6).collect::<Vec<_>>().join(" ");
        Error::Unavailable { statement, retry, source: Box::new(source) }
    }

    /// Names what conflicts, where the database could not.
    pub(crate) fn naming(self, what: &'static str) -> Error {
        match self {
            Error::Conflict { .. } => Error::Conflict { what },
            other => other,
        }
    }
}
