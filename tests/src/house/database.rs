//! Where the controller keeps its rows in a test: the SQLite file of the data folder, or a database of its own on the
//! PostgreSQL server that `TOLLGATE_TEST_POSTGRES` names.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

/// A database for one house; dropped with it.
pub enum Database {
    Sqlite,
    Postgres(Postgres),
}

/// A database that was made for a test.
pub struct Postgres {
    server: String,
    name: String,
}

impl Database {
    /// What the environment asks for.
    pub fn of_environment() -> Database {
        match std::env::var("TOLLGATE_TEST_POSTGRES") {
            Ok(server) if !server.is_empty() => Database::Postgres(Postgres::create(&server)),
            _ => Database::Sqlite,
        }
    }

    /// The address for `--database`; none for the default.
    pub fn url(&self) -> Option<String> {
        match self {
            Database::Sqlite => None,
            Database::Postgres(postgres) => Some(postgres.url()),
        }
    }

    /// Everything in it as text; none for a file in the data folder.
    pub fn dump(&self) -> Option<Vec<u8>> {
        let Database::Postgres(postgres) = self else { return None };
        let dump = Command::new("pg_dump").arg(postgres.url()).output().expect("pg_dump runs");
        assert!(dump.status.success(), "pg_dump: {}", String::from_utf8_lossy(&dump.stderr));
        Some(dump.stdout)
    }
}

impl Postgres {
    fn create(server: &str) -> Postgres {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("tollgate_it_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let made = Postgres { server: server.to_owned(), name };
        made.run(&format!("create database {}", made.name)).unwrap_or_else(|why| panic!("{why}"));
        made
    }

    fn url(&self) -> String {
        let (base, options) =
            self.server.split_once('?').map_or((self.server.as_str(), ""), |(base, rest)| (base, rest));
        let host = base.rsplit_once('/').filter(|(left, _)| !left.ends_with('/')).map_or(base, |(left, _)| left);
        let options = if options.is_empty() { String::new() } else { format!("?{options}") };
        format!("{host}/{}{options}", self.name)
    }

    fn run(&self, sql: &str) -> Result<(), String> {
        let psql = Command::new("psql").args([&self.server, "-v", "ON_ERROR_STOP=1", "-qc", sql]).output();
        let psql = psql.map_err(|error| format!("psql: {error}"))?;
        if psql.status.success() { Ok(()) } else { Err(format!("psql: {}", String::from_utf8_lossy(&psql.stderr))) }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Err(why) = self.run(&format!("drop database if exists {} with (force)", self.name)) {
            eprintln!("{why}");
        }
    }
}
