//! The store itself: where it is, whether it can be used, and the doors to everything else.

use domain::audit::Actor;
use domain::time::Timestamp;

use crate::edit::Edit;
use crate::engine::{Engine, Read, args};
use crate::error::{Error, Result};
use crate::migrations::{self, SchemaState};
use crate::nudges::{Local, Nudges, local};
use crate::posting::{Once, Posting};

/// A database of one installation. Cheap to clone; all clones share connections.
#[derive(Clone)]
pub struct Store {
    engine: Engine,
    local: Local,
}

/// Which installation this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    pub id: String,
    pub created_at: Timestamp,
}

const FOUND: &str = "insert into installation (one, id, created_at) values (1, $1, $2) on conflict (one) do nothing";
const INSTALLATION: &str = "select id, created_at from installation where one = 1";

impl Store {
    /// Opens `postgres://…`, `sqlite:///path` or a bare path. A missing SQLite file is made; tables are not.
    pub async fn open(url: &str) -> Result<Store> {
        Ok(Store { engine: Engine::open(url).await?, local: local() })
    }

    /// Closes every connection after what it is doing; waits a few seconds for those that somebody still holds.
    pub async fn close(&self) {
        self.engine.close().await;
    }

    /// Whether PostgreSQL is behind this, so that other controllers may be, too.
    pub fn is_postgres(&self) -> bool {
        self.engine.is_postgres()
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        Read::from(self).one("select 1", args![]).await.map(drop)
    }

    /// Brings the tables up to this program's. A job of its own: a plane only asks [`Store::require_schema`].
    pub async fn migrate(&self) -> Result<()> {
        migrations::run(&self.engine).await
    }

    /// How the tables compare with this program's.
    pub async fn schema_state(&self) -> Result<SchemaState> {
        migrations::state(&self.engine).await
    }

    /// Refuses tables that are not exactly this program's.
    pub async fn require_schema(&self) -> Result<()> {
        match self.schema_state().await? {
            SchemaState::Current => Ok(()),
            other => Err(Error::Schema(other)),
        }
    }

    /// The installation's id and birthday. The first caller's candidate wins for ever.
    pub async fn installation(&self, candidate: &str, now: Timestamp) -> Result<Installation> {
        self.engine.execute(FOUND, args![candidate, now]).await?;
        let row = Read::from(self).one(INSTALLATION, args![]).await?.ok_or(Error::NotFound { what: "installation" })?;
        let mut cells = row.cells();
        Ok(Installation { id: cells.take()?, created_at: cells.take()? })
    }

    /// Opens a write to settings.
    pub async fn edit(&self, actor: Actor, now: Timestamp) -> Result<Edit> {
        Edit::open(self, actor, now).await
    }

    /// Opens a write to the books whose own marks (a high-water mark, cumulative totals) make it safe to repeat.
    pub async fn post(&self, actor: Actor, now: Timestamp) -> Result<Posting> {
        Posting::open(self, actor, now).await
    }

    /// Opens a write to the books under an idempotency key: the second time nothing is done.
    pub async fn post_once(&self, actor: Actor, idempotency_key: &str, now: Timestamp) -> Result<Once> {
        Posting::open_once(self, actor, idempotency_key, now).await
    }

    /// Listens for what is committed from now on.
    pub async fn nudges(&self) -> Result<Nudges> {
        Nudges::listen(&self.engine, &self.local).await
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn local(&self) -> &Local {
        &self.local
    }
}
