//! The two engines, and every difference between them:
//!
//! | what | SQLite | PostgreSQL | why |
//! | --- | --- | --- | --- |
//! | opening (`sqlite.rs`, `postgres.rs`) | one writer, four readers, WAL, FULL | one pool | SQLite has one writer at a time |
//! | a write begins | `begin immediate` | `begin` | SQLite must not discover at commit that another wrote |
//! | a consistent read | `begin` on a reader | `repeatable read, read only` | both give one moment |
//! | the edit lock, locks on books and marks | the writer is alone | `for update` | writers run side by side |
//! | bulk placeholders (`bulk.rs`) | `?` | `$n` | SQLite looks numbers up by name, one after the other |
//! | nudges (`nudges.rs`) | in this process | `notify` / `listen` | other controllers |
//! | append-only triggers | `raise` | a function | no common text |
//!
//! Everything else is one text with `$n` placeholders for both, in the portable subset: text, bigint, bytea, boolean.
//! Next room: the nouns.

mod arg;
mod bulk;
mod postgres;
mod row;
mod sqlite;

use std::time::Duration;

use sqlx::postgres::{PgPool, PgRow};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Postgres, SqlSafeStr as _, SqlStr, Sqlite, Transaction};

pub(crate) use arg::{Arg, Texts, args};
pub(crate) use bulk::{Bulk, in_list};
pub(crate) use row::{Cells, Row};

use crate::error::{Error, Result};
use crate::{Edit, Posting, Store};

/// Statements that a connection keeps prepared: all that this room has.
const PREPARED: usize = 256;

/// How long closing waits for connections that are in use.
const CLOSING: Duration = Duration::from_secs(3);

/// A database, by its own driver.
#[derive(Clone)]
pub(crate) enum Engine {
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    Postgres(PgPool),
}

/// An open transaction.
pub(crate) struct Tx {
    inner: Inner,
    /// A statement failed: PostgreSQL would refuse the rest, so SQLite must not go on either.
    failed: bool,
}

enum Inner {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// Where to read: a store, or an open write (whose own changes are then seen).
pub struct Read<'a>(Source<'a>);

enum Source<'a> {
    Engine(&'a Engine),
    Tx(&'a mut Tx),
}

impl<'a> From<&'a Store> for Read<'a> {
    fn from(store: &'a Store) -> Self {
        Read(Source::Engine(store.engine()))
    }
}

impl<'a> From<&'a mut Edit> for Read<'a> {
    fn from(edit: &'a mut Edit) -> Self {
        Read(Source::Tx(edit.tx()))
    }
}

impl<'a> From<&'a mut Posting> for Read<'a> {
    fn from(posting: &'a mut Posting) -> Self {
        Read(Source::Tx(posting.tx()))
    }
}

impl<'a> From<&'a mut Tx> for Read<'a> {
    fn from(tx: &'a mut Tx) -> Self {
        Read(Source::Tx(tx))
    }
}

/// A statement: its text, and whether connections should keep it prepared.
#[derive(Clone)]
pub(crate) struct Statement {
    text: SqlStr,
    keep: bool,
}

impl From<&'static str> for Statement {
    fn from(text: &'static str) -> Self {
        Statement { text: SqlStr::from_static(text), keep: true }
    }
}

impl Statement {
    /// A text put together at run time from constants and placeholders, never from values.
    fn made(text: String, keep: bool) -> Self {
        Statement { text: AssertSqlSafe(text).into_sql_str(), keep }
    }
}

/// Builds the statement for one driver and runs it. The two arms of every dispatch go through here.
macro_rules! run {
    ($driver:ident, $statement:expr, $arguments:expr, $how:ident, $on:expr) => {{
        let mut values = <$driver as sqlx::Database>::Arguments::default();
        values.reserve($arguments.len(), 0);
        let added = $arguments.into_iter().try_for_each(|argument| match argument {
            Arg::Int(value) => values.add(value),
            Arg::Text(value) => values.add(value),
            Arg::Bytes(value) => values.add(value),
            Arg::Bool(value) => values.add(value),
        });
        let query = sqlx::query_with::<$driver, _>($statement.text.clone(), values).persistent($statement.keep);
        match added {
            Ok(()) => query.$how($on).await,
            Err(source) => Err(sqlx::Error::Encode(source)),
        }
        .map_err(|source| Error::of($statement.text.as_str(), source))
    }};
}

impl Engine {
    pub(crate) async fn open(url: &str) -> Result<Engine> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            postgres::open(url).await.map(Engine::Postgres)
        } else {
            let (writer, readers) = sqlite::open(url).await?;
            Ok(Engine::Sqlite { writer, readers })
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self, Engine::Postgres(_))
    }

    /// Closes every connection. One that somebody still holds is not waited for: it ends with its holder.
    pub(crate) async fn close(&self) {
        let close = async {
            match self {
                Engine::Sqlite { writer, readers } => {
                    readers.close().await;
                    writer.close().await;
                }
                Engine::Postgres(pool) => pool.close().await,
            }
        };
        // Too late is no error here: the pools take no new work from the first moment on.
        let _ = tokio::time::timeout(CLOSING, close).await;
    }

    /// Begins a write.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        let inner = match self {
            Engine::Sqlite { writer, .. } => writer.begin_with("begin immediate").await.map(Inner::Sqlite),
            Engine::Postgres(pool) => pool.begin().await.map(Inner::Postgres),
        };
        Ok(Tx { inner: inner.map_err(|source| Error::of("begin", source))?, failed: false })
    }

    /// Begins a read that sees one moment, however long it takes.
    pub(crate) async fn begin_snapshot(&self) -> Result<Tx> {
        let inner = match self {
            Engine::Sqlite { readers, .. } => readers.begin_with("begin").await.map(Inner::Sqlite),
            Engine::Postgres(pool) => {
                // postgres
                pool.begin_with("begin isolation level repeatable read, read only").await.map(Inner::Postgres)
            }
        };
        Ok(Tx { inner: inner.map_err(|source| Error::of("begin", source))?, failed: false })
    }

    /// One write on its own.
    pub(crate) async fn execute(&self, statement: impl Into<Statement>, arguments: Vec<Arg>) -> Result<u64> {
        let statement = statement.into();
        check_binds(&statement, arguments.len())?;
        match self {
            Engine::Sqlite { writer, .. } => {
                run!(Sqlite, statement, arguments, execute, writer).map(|done| done.rows_affected())
            }
            Engine::Postgres(pool) => {
                run!(Postgres, statement, arguments, execute, pool).map(|done| done.rows_affected())
            }
        }
    }
}

impl Tx {
    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.inner, Inner::Postgres(_))
    }

    /// Runs a write and says how many rows it touched.
    pub(crate) async fn execute(&mut self, statement: impl Into<Statement>, arguments: Vec<Arg>) -> Result<u64> {
        let statement = statement.into();
        self.check(&statement, arguments.len())?;
        let done = match &mut self.inner {
            Inner::Sqlite(tx) => {
                run!(Sqlite, statement, arguments, execute, &mut **tx).map(|done| done.rows_affected())
            }
            Inner::Postgres(tx) => {
                run!(Postgres, statement, arguments, execute, &mut **tx).map(|done| done.rows_affected())
            }
        };
        self.failed |= done.is_err();
        done
    }

    pub(crate) async fn all(&mut self, statement: impl Into<Statement>, arguments: Vec<Arg>) -> Result<Vec<Row>> {
        let statement = statement.into();
        self.check(&statement, arguments.len())?;
        let rows = match &mut self.inner {
            Inner::Sqlite(tx) => run!(Sqlite, statement, arguments, fetch_all, &mut **tx).map(of_sqlite),
            Inner::Postgres(tx) => run!(Postgres, statement, arguments, fetch_all, &mut **tx).map(of_postgres),
        };
        self.failed |= rows.is_err();
        rows
    }

    pub(crate) async fn one(&mut self, statement: impl Into<Statement>, arguments: Vec<Arg>) -> Result<Option<Row>> {
        Ok(self.all(statement, arguments).await?.into_iter().next())
    }

    fn check(&self, statement: &Statement, given: usize) -> Result<()> {
        if self.failed {
            return Err(AFTER_FAILURE);
        }
        check_binds(statement, given)
    }

    /// Makes it all true at once.
    pub(crate) async fn commit(self) -> Result<()> {
        if self.failed {
            return Err(AFTER_FAILURE);
        }
        match self.inner {
            Inner::Sqlite(tx) => tx.commit().await,
            Inner::Postgres(tx) => tx.commit().await,
        }
        .map_err(|source| Error::of("commit", source))
    }
}

impl Read<'_> {
    pub(crate) async fn all(&mut self, statement: impl Into<Statement>, arguments: Vec<Arg>) -> Result<Vec<Row>> {
        let engine = match &mut self.0 {
            Source::Tx(tx) => return tx.all(statement, arguments).await,
            Source::Engine(engine) => *engine,
        };
        let statement = statement.into();
        check_binds(&statement, arguments.len())?;
        match engine {
            Engine::Sqlite { readers, .. } => run!(Sqlite, statement, arguments, fetch_all, readers).map(of_sqlite),
            Engine::Postgres(pool) => run!(Postgres, statement, arguments, fetch_all, pool).map(of_postgres),
        }
    }

    pub(crate) async fn one(&mut self, statement: impl Into<Statement>, arguments: Vec<Arg>) -> Result<Option<Row>> {
        Ok(self.all(statement, arguments).await?.into_iter().next())
    }
}

fn of_sqlite(rows: Vec<SqliteRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Sqlite).collect()
}

fn of_postgres(rows: Vec<PgRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Postgres).collect()
}

const AFTER_FAILURE: Error = Error::Misuse { what: "a write goes on after a statement that failed" };

/// SQLite takes a missing value for NULL and says nothing, so debug builds count.
fn check_binds(statement: &Statement, given: usize) -> Result<()> {
    if cfg!(debug_assertions) && placeholders(statement.text.as_str()) != given {
        return Err(Error::Misuse { what: "a statement got more or fewer values than it has placeholders" });
    }
    Ok(())
}

/// The highest `$n`, or the number of bare `?`.
fn placeholders(text: &str) -> usize {
    let numbered = text.split('$').skip(1).filter_map(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..digits)?.parse::<usize>().ok()
    });
    numbered.max().unwrap_or_else(|| text.matches('?').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_counted_by_the_highest() {
        assert_eq!(placeholders("select 1"), 0);
        assert_eq!(placeholders("select $2, $1 from t where a = $2"), 2);
        assert_eq!(placeholders("insert into t values ($1,$12)"), 12);
        assert_eq!(placeholders("insert into t values (?,?),(?,?)"), 4);
    }

    #[test]
    fn a_statement_with_too_few_values_is_refused() {
        assert!(check_binds(&Statement::from("select $1, $2"), 1).is_err());
        assert!(check_binds(&Statement::from("select $1, $2"), 2).is_ok());
    }
}
