//! Opening a SQLite file: one connection that writes, four that read, nothing lost when the power goes.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::error::{Error, Result};

const READERS: u32 = 4;
/// How long a write waits for the one before it, and for another process such as a backup.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn open(url: &str) -> Result<(SqlitePool, SqlitePool)> {
    let options = SqliteConnectOptions::new()
        .filename(file(url)?)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(PATIENCE)
        .statement_cache_capacity(super::PREPARED)
        .foreign_keys(true);
    // The writer comes first: it makes the file and sets its journal mode.
    let writer = pool(1).connect_with(writing(options.clone())).await.map_err(|source| Error::of("open", source))?;
    let readers = pool(READERS)
        .connect_with(options.pragma("query_only", "on"))
        .await
        .map_err(|source| Error::of("open", source))?;
    Ok((writer, readers))
}

/// What keeps a report of a thousand records from being written more than twice, to the log and to the tables.
fn writing(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        // What a statement may have to undo: it is kept for each statement, and by default in a file.
        .pragma("temp_store", "memory")
        // Pages in the log before they are copied to the tables, 16 MiB: pages that change with every report, such as
        // the ends of indexes, are copied once for many of them.
        .pragma("wal_autocheckpoint", "4000")
}

fn pool(size: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(size)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
}

fn file(url: &str) -> Result<&Path> {
    let path = match url.strip_prefix("sqlite:") {
        Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
        None => url,
    };
    let bad = |why: &str| Err(Error::BadUrl { url: url.chars().take(120).collect(), why: why.to_owned() });
    if path.is_empty() || path == ":memory:" {
        return bad("a file is needed");
    }
    if url.contains("://") && !url.starts_with("sqlite:") {
        return bad("known are sqlite:// and postgres://");
    }
    Ok(Path::new(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_a_file() {
        assert_eq!(file("sqlite:///var/lib/t.db").unwrap(), Path::new("/var/lib/t.db"));
        assert_eq!(file("sqlite:t.db").unwrap(), Path::new("t.db"));
        assert_eq!(file("data/t.db").unwrap(), Path::new("data/t.db"));
        for bad in ["", "sqlite://", ":memory:", "mysql://localhost/x"] {
            assert!(matches!(file(bad), Err(Error::BadUrl { .. })), "{bad}");
        }
    }
}
