//! Work that one controller does for all: a row that somebody holds until a time. Held again and again while it works,
//! free for others when it stops. Times are the callers' own clocks, so a claim should be long next to their skew.

use domain::time::Timestamp;

use crate::engine::{Read, Row, args};
use crate::error::{Error, Result};
use crate::store::Store;

/// Who does a piece of work now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub holder: String,
    /// When this holder got it: what another one lent before may still be out.
    pub since: Timestamp,
    pub until: Timestamp,
}

const TAKE: &str = "insert into claims (name, holder, since, holds_until) values ($1, $2, $3, $4) \
    on conflict (name) do update set holder = excluded.holder, holds_until = excluded.holds_until, \
    since = case when claims.holder = excluded.holder and claims.holds_until > excluded.since \
    then claims.since else excluded.since end \
    where claims.holder = excluded.holder or claims.holds_until <= excluded.since";
const LOAD: &str = "select holder, since, holds_until from claims where name = $1";
const DROP: &str = "delete from claims where name = $1 and holder = $2";

fn read(row: &Row) -> Result<Claim> {
    let mut cells = row.cells();
    Ok(Claim { holder: cells.take()?, since: cells.take()?, until: cells.take()? })
}

/// Takes or prolongs a claim until `until`, unless somebody else holds it. Gives the claim as it is then: the caller
/// compares the holder.
pub async fn take(store: &Store, name: &str, holder: &str, now: Timestamp, until: Timestamp) -> Result<Claim> {
    store.engine().execute(TAKE, args![name, holder, now, until]).await?;
    let row = Read::from(store).one(LOAD, args![name]).await?;
    read(&row.ok_or(Error::NotFound { what: "claim" })?)
}

/// Gives a claim up early.
pub async fn release(store: &Store, name: &str, holder: &str) -> Result<()> {
    store.engine().execute(DROP, args![name, holder]).await.map(drop)
}
