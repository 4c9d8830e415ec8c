//! Word that something was committed: from this process on SQLite, from every controller on PostgreSQL.
//!
//! A nudge carries no data and may be lost, so whoever listens also looks every second. Next room: the publisher.

use std::time::Duration;

use domain::ids::{OrgId, ProxyId};
use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::broadcast;

use crate::engine::{Engine, Read, Tx, args};
use crate::error::{Error, Result};
use crate::store::Store;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nudge {
    /// The revision moved.
    Settings,
    /// An organisation got credits: refusals for want of money are out of date.
    Credits(OrgId),
    /// Leases of this proxy were marked for recall.
    Recall(ProxyId),
    /// A proxy told something of endpoints that cannot wait.
    Observations,
    /// Something may have been missed: look at everything.
    Missed,
}

/// The one channel on PostgreSQL.
const CHANNEL: &str = "tollgate";
// postgres
const NOTIFY: &str = "select pg_notify('tollgate', $1)";
/// How long to wait before listening again after the connection failed.
const AGAIN: Duration = Duration::from_millis(500);

impl Nudge {
    fn word(&self) -> String {
        match self {
            Nudge::Settings => "settings".to_owned(),
            Nudge::Credits(org) => format!("credits:{org}"),
            Nudge::Recall(proxy) => format!("recall:{proxy}"),
            Nudge::Observations => "observations".to_owned(),
            Nudge::Missed => "missed".to_owned(),
        }
    }

    /// A word that a newer controller says and this one does not know is a reason to look.
    fn parse(word: &str) -> Nudge {
        let known = match word.split_once(':') {
            None => [Nudge::Settings, Nudge::Observations].into_iter().find(|nudge| nudge.word() == word),
            Some(("credits", org)) => org.parse().ok().map(Nudge::Credits),
            Some(("recall", proxy)) => proxy.parse().ok().map(Nudge::Recall),
            Some(_) => None,
        };
        known.unwrap_or(Nudge::Missed)
    }
}

/// The sending side within this process.
pub(crate) type Local = broadcast::Sender<Nudge>;

pub(crate) fn local() -> Local {
    broadcast::channel(1024).0
}

/// Puts nudges into the transaction, so that they are heard if and only if it commits.
pub(crate) async fn attach(tx: &mut Tx, nudges: &[Nudge]) -> Result<()> {
    if tx.is_postgres() {
        for nudge in nudges {
            tx.all(NOTIFY, args![nudge.word()]).await?;
        }
    }
    Ok(())
}

/// Says something outside of a transaction.
pub(crate) async fn say(store: &Store, nudge: Nudge) -> Result<()> {
    if store.is_postgres() {
        Read::from(store).all(NOTIFY, args![nudge.word()]).await?;
    } else {
        announce(false, store.local(), vec![nudge]);
    }
    Ok(())
}

/// Says after the commit what the transaction could not carry.
pub(crate) fn announce(on_postgres: bool, local: &Local, nudges: Vec<Nudge>) {
    if !on_postgres {
        for nudge in nudges {
            // Nobody listening is no error.
            let _ = local.send(nudge);
        }
    }
}

/// The listening side.
pub struct Nudges(Ear);

enum Ear {
    Local(broadcast::Receiver<Nudge>),
    /// None after its connection failed in a way that it does not mend itself.
    Postgres {
        pool: PgPool,
        listener: Option<Box<PgListener>>,
    },
}

impl Nudges {
    pub(crate) async fn listen(engine: &Engine, local: &Local) -> Result<Nudges> {
        match engine {
            Engine::Sqlite { .. } => Ok(Nudges(Ear::Local(local.subscribe()))),
            Engine::Postgres(pool) => {
                let listener = connect(pool).await.map_err(|error| Error::of("listen", error))?;
                Ok(Nudges(Ear::Postgres { pool: pool.clone(), listener: Some(listener) }))
            }
        }
    }

    /// The next nudge. Never fails: a lost connection gives [`Nudge::Missed`] and is made anew.
    pub async fn next(&mut self) -> Nudge {
        match &mut self.0 {
            Ear::Local(receiver) => match receiver.recv().await {
                Ok(nudge) => nudge,
                Err(broadcast::error::RecvError::Lagged(_)) => Nudge::Missed,
                // The store is gone, and with it every source of nudges.
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            },
            Ear::Postgres { pool, listener } => hear(pool, listener).await,
        }
    }
}

async fn connect(pool: &PgPool) -> sqlx::Result<Box<PgListener>> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    Ok(Box::new(listener))
}

async fn hear(pool: &PgPool, listener: &mut Option<Box<PgListener>>) -> Nudge {
    if let Some(ear) = listener {
        match ear.try_recv().await {
            Ok(Some(notification)) => return Nudge::parse(notification.payload()),
            // Lost, and listening again: what was said in between is missed.
            Ok(None) => return Nudge::Missed,
            // It would go on reading from a dead connection.
            Err(_) => *listener = None,
        }
    }
    match connect(pool).await {
        Ok(ear) => *listener = Some(ear),
        Err(_) => tokio::time::sleep(AGAIN).await,
    }
    Nudge::Missed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nudge_survives_its_word() {
        let proxy: ProxyId = "edge-1".parse().unwrap();
        for nudge in [Nudge::Settings, Nudge::Observations, Nudge::Credits(OrgId::new(1, 2)), Nudge::Recall(proxy)] {
            assert_eq!(Nudge::parse(&nudge.word()), nudge);
        }
        assert_eq!(Nudge::parse("credits:nobody"), Nudge::Missed);
        assert_eq!(Nudge::parse("news"), Nudge::Missed);
    }
}
