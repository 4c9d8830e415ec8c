//! The tables' history: one text for both engines, and the few that need two. Immutable once published.
//!
//! Running them is a job of its own; a plane that meets tables it does not know refuses to start.

use std::collections::BTreeMap;
use std::fmt;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::engine::{Engine, Read, Tx, args};
use crate::error::{Error, Result};

/// How the tables compare with this program's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// The same.
    Current,
    /// Migrations are missing: run the migrate job.
    Behind { missing: usize },
    /// A migration that this program does not know, or knows otherwise: use a newer program.
    Unknown { version: i64 },
}

impl fmt::Display for SchemaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaState::Current => f.write_str("current"),
            SchemaState::Behind { missing } => write!(f, "{missing} migrations behind: run `tollgate migrate` first"),
            SchemaState::Unknown { version } => {
                write!(
                    f,
                    "not known to this program (migration {version}): use the version that made it, or a newer one"
                )
            }
        }
    }
}

/// One migration: its number, its name, its text on SQLite and on PostgreSQL.
pub struct Text {
    pub version: i64,
    pub name: &'static str,
    pub sqlite: &'static str,
    pub postgres: &'static str,
}

macro_rules! both {
    ($version:literal, $name:literal, $file:literal) => {
        Text {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../migrations/", $file)),
            postgres: include_str!(concat!("../migrations/", $file)),
        }
    };
}

/// Every migration, in order.
pub const MIGRATIONS: &[Text] = &[
    both!(1, "revisions", "0001_revisions.sql"),
    both!(2, "orgs", "0002_orgs.sql"),
    both!(3, "keys", "0003_keys.sql"),
    both!(4, "tokens", "0004_tokens.sql"),
    both!(5, "providers", "0005_providers.sql"),
    both!(6, "catalog", "0006_catalog.sql"),
    both!(7, "credits", "0007_credits.sql"),
    both!(8, "pools", "0008_pools.sql"),
    both!(9, "usage", "0009_usage.sql"),
    both!(10, "fleet", "0010_fleet.sql"),
    Text {
        version: 11,
        name: "append_only",
        sqlite: include_str!("../migrations/sqlite/0011_append_only.sql"),
        postgres: include_str!("../migrations/postgres/0011_append_only.sql"),
    },
    both!(12, "usage", "0012_usage.sql"),
    both!(13, "routing", "0013_routing.sql"),
    both!(14, "usage_trail", "0014_usage_trail.sql"),
    both!(15, "health", "0015_health.sql"),
    both!(16, "provider_limits", "0016_provider_limits.sql"),
    both!(17, "names", "0017_names.sql"),
];

/// Brings the tables of the database at `url` up to date. Safe to repeat, and to run from two places at once.
pub async fn migrate(url: &str) -> Result<()> {
    let engine = Engine::open(url).await?;
    let done = run(&engine).await;
    engine.close().await;
    done
}

fn migrations(on_postgres: bool) -> Vec<Migration> {
    let make = |text: &Text| {
        let sql = SqlStr::from_static(if on_postgres { text.postgres } else { text.sqlite });
        Migration::new(text.version, text.name.into(), MigrationType::Simple, sql, false)
    };
    MIGRATIONS.iter().map(make).collect()
}

pub(crate) async fn run(engine: &Engine) -> Result<()> {
    if let SchemaState::Unknown { version } = state(engine).await? {
        return Err(Error::Schema(SchemaState::Unknown { version }));
    }
    let migrator = Migrator::with_migrations(migrations(engine.is_postgres()));
    match engine {
        // The driver takes an advisory lock and a transaction for each.
        Engine::Postgres(pool) => migrator.run(pool).await,
        // One write transaction around all is SQLite's lock, and leaves all or nothing.
        Engine::Sqlite { writer, .. } => {
            let mut tx = writer.begin_with("begin immediate").await.map_err(|source| Error::of("begin", source))?;
            match migrator.run_direct(None, &mut *tx, false).await {
                Ok(()) => tx.commit().await.map_err(Into::into),
                Err(error) => Err(error),
            }
        }
    }
    .map_err(|source| Error::Migrate { source: Box::new(source) })
}

// Both engines keep a list of their tables; this asks for one in a way that both understand.
const HAS_LIST_SQLITE: &str = "select name from sqlite_master where type = 'table' and name = '_sqlx_migrations'";
// postgres
const HAS_LIST_POSTGRES: &str = "select cast(table_name as text) from information_schema.tables where table_name = '_sqlx_migrations' and table_schema = any(current_schemas(false))";
const APPLIED: &str = "select version, success, checksum from _sqlx_migrations order by version";

pub(crate) async fn state(engine: &Engine) -> Result<SchemaState> {
    let mut tx: Tx = engine.begin_snapshot().await?;
    let mut read = Read::from(&mut tx);
    let list = if engine.is_postgres() { HAS_LIST_POSTGRES } else { HAS_LIST_SQLITE };
    if read.one(list, args![]).await?.is_none() {
        return Ok(SchemaState::Behind { missing: MIGRATIONS.len() });
    }
    let mut known: BTreeMap<i64, Vec<u8>> = migrations(engine.is_postgres())
        .into_iter()
        .map(|migration| (migration.version, migration.checksum.into_owned()))
        .collect();
    for row in read.all(APPLIED, args![]).await? {
        let mut cells = row.cells();
        let (version, success, checksum): (i64, bool, Vec<u8>) = (cells.take()?, cells.take()?, cells.take()?);
        if !success || known.remove(&version) != Some(checksum) {
            return Ok(SchemaState::Unknown { version });
        }
    }
    Ok(if known.is_empty() { SchemaState::Current } else { SchemaState::Behind { missing: known.len() } })
}
