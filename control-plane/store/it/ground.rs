//! A fresh database for each case, on either engine, and a way to break it behind the store's back.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _, SqliteConnection};
use store::Store;
use tempfile::TempDir;

pub const SERVER: &str = "TOLLGATE_TEST_POSTGRES";

/// Where a case stands.
pub struct Ground {
    pub store: Store,
    pub url: String,
    /// Of SQLite only: gone when the case ends.
    _folder: Option<TempDir>,
    /// Of PostgreSQL only: what to drop when the case ends.
    database: Option<(String, String)>,
}

/// Makes a test of each case for each engine.
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::ground::Ground::sqlite().await.run(super::$name).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(ground) = $crate::ground::Ground::postgres().await {
                    ground.run(super::$name).await;
                }
            })*
        }
    };
}

impl Ground {
    /// A migrated SQLite file.
    pub async fn sqlite() -> Ground {
        let ground = Ground::empty_sqlite().await;
        ground.store.migrate().await.unwrap();
        ground
    }

    /// A migrated PostgreSQL database; none when no server is named.
    pub async fn postgres() -> Option<Ground> {
        let ground = Ground::empty_postgres().await?;
        ground.store.migrate().await.unwrap();
        Some(ground)
    }

    pub async fn empty_sqlite() -> Ground {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("tollgate.db").display());
        let store = Store::open(&url).await.unwrap();
        Ground { store, url, _folder: Some(folder), database: None }
    }

    pub async fn empty_postgres() -> Option<Ground> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let Ok(server) = std::env::var(SERVER) else {
            eprintln!("{SERVER} is not set: PostgreSQL is left out");
            return None;
        };
        let name = format!("tollgate_it_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        on_server(&server, &format!("create database {name}")).await;
        let (base, _) = server.rsplit_once('/').unwrap();
        let url = format!("{base}/{name}");
        let store = Store::open(&url).await.unwrap();
        Some(Ground { store, url, _folder: None, database: Some((server, name)) })
    }

    /// Runs a case and cleans up.
    pub async fn run(self, case: impl AsyncFnOnce(&Ground)) {
        case(&self).await;
        self.end().await;
    }

    pub async fn end(self) {
        self.store.close().await;
        if let Some((server, name)) = &self.database {
            on_server(server, &format!("drop database {name} with (force)")).await;
        }
    }

    /// Does something to the tables that the store would not, with its guards off.
    pub async fn break_by(&self, sql: &str) {
        if self.database.is_some() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            // No triggers and no foreign keys in this session.
            connection.execute("set session_replication_role = replica").await.unwrap();
            connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
            connection.close().await.unwrap();
        } else {
            let mut connection = self.raw_sqlite().await;
            for trigger in ["entries_keep", "entries_stay", "legs_keep", "legs_stay"] {
                let drop = format!("drop trigger if exists {trigger}");
                connection.execute(AssertSqlSafe(drop)).await.unwrap();
            }
            connection.execute("pragma foreign_keys = off").await.unwrap();
            connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
            connection.close().await.unwrap();
        }
    }

    /// Tries a statement with all guards on.
    pub async fn attempt(&self, sql: &str) -> Result<(), sqlx::Error> {
        if self.database.is_some() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            connection.execute(AssertSqlSafe(sql.to_owned())).await.map(drop)
        } else {
            self.raw_sqlite().await.execute(AssertSqlSafe(sql.to_owned())).await.map(drop)
        }
    }

    /// The text of the first column of every row.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.database.is_some() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            connection.fetch_all(sql).await.unwrap().iter().map(|row| row.get(0)).collect()
        } else {
            self.raw_sqlite().await.fetch_all(sql).await.unwrap().iter().map(|row| row.get(0)).collect()
        }
    }

    async fn raw_sqlite(&self) -> SqliteConnection {
        SqliteConnection::connect(&self.url).await.unwrap()
    }
}

async fn on_server(server: &str, sql: &str) {
    let mut connection = PgConnection::connect(server).await.unwrap();
    connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}
