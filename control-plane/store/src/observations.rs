//! What each proxy last told of the endpoints it asks: one row each, read by the other controllers. The body is the proxy's
//! message as it came; this room does not look into it. Not a setting, so no edit.

use domain::ids::{BootEpoch, ProxyId};
use domain::time::Timestamp;

use crate::engine::{Read, Row, args};
use crate::error::Result;
use crate::nudges::{self, Nudge};
use crate::store::Store;

/// What one proxy told last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    pub proxy: ProxyId,
    /// The controller that holds its stream.
    pub controller: String,
    pub epoch: BootEpoch,
    /// Rises with each message of this stream.
    pub sequence: u64,
    pub body: Vec<u8>,
    pub told_at: Timestamp,
}

const PUT: &str = "insert into observations (proxy, controller, epoch, sequence, body, told_at) \
    values ($1, $2, $3, $4, $5, $6) on conflict (proxy) do update set controller = excluded.controller, \
    epoch = excluded.epoch, sequence = excluded.sequence, body = excluded.body, told_at = excluded.told_at";
const LIST: &str = "select proxy, controller, epoch, sequence, body, told_at from observations \
    where controller <> $1 and told_at >= $2 order by proxy";
const FORGET: &str = "delete from observations where told_at < $1";

/// Writes what a proxy told, and nudges the other controllers if it cannot wait for their next look.
pub async fn put(store: &Store, told: &Observation, is_urgent: bool) -> Result<()> {
    let values = args![&told.proxy, &told.controller, told.epoch, told.sequence, told.body.as_slice(), told.told_at];
    store.engine().execute(PUT, values).await?;
    if is_urgent { nudges::say(store, Nudge::Observations).await } else { Ok(()) }
}

/// What proxies of controllers other than this one told since then.
pub async fn list_others(
    read_from: impl Into<Read<'_>>,
    controller: &str,
    since: Timestamp,
) -> Result<Vec<Observation>> {
    read_from.into().all(LIST, args![controller, since]).await?.iter().map(read).collect()
}

/// Removes what was told before.
pub async fn forget(store: &Store, before: Timestamp) -> Result<()> {
    store.engine().execute(FORGET, args![before]).await.map(drop)
}

fn read(row: &Row) -> Result<Observation> {
    let mut cells = row.cells();
    Ok(Observation {
        proxy: cells.take()?,
        controller: cells.take()?,
        epoch: cells.take()?,
        sequence: cells.take()?,
        body: cells.take()?,
        told_at: cells.take()?,
    })
}
