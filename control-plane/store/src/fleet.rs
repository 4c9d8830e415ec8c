//! Connected proxies, one row each: which controller holds the stream, what is applied, what was refused.
//!
//! Not a setting, so no edit: the caller says how often it writes.

use domain::ids::{BootEpoch, ProxyId, Revision};
use domain::snapshot::{Kind, Refusal};
use domain::time::Timestamp;

use crate::engine::{Read, Row, args};
use crate::error::{Error, Result};
use crate::store::Store;

/// One connected proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    pub proxy: ProxyId,
    /// The controller that holds its stream.
    pub controller: String,
    pub epoch: BootEpoch,
    pub connected_since: Timestamp,
    /// All changes up to here are applied.
    pub revision: Revision,
    pub refused: Vec<Refusal>,
    pub build: String,
    pub region: String,
    pub last_seen: Timestamp,
}

const PUT: &str = "insert into fleet (proxy, controller, epoch, connected_since, revision, refused, build, region, \
    last_seen) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (proxy) do update set \
    controller = excluded.controller, epoch = excluded.epoch, connected_since = excluded.connected_since, \
    revision = excluded.revision, refused = excluded.refused, build = excluded.build, region = excluded.region, \
    last_seen = excluded.last_seen \
    where (fleet.epoch, fleet.connected_since) <= (excluded.epoch, excluded.connected_since)";
const LIST: &str = "select proxy, controller, epoch, connected_since, revision, refused, build, region, last_seen \
    from fleet order by proxy";
const REMOVE: &str = "delete from fleet where proxy = $1 and controller = $2 and epoch = $3 and connected_since = $4";

/// Writes a proxy's row. The row of a newer life, or of a newer connection, of the same proxy stays.
pub async fn put(store: &Store, proxy: &Proxy) -> Result<()> {
    let values = args![
        &proxy.proxy,
        &proxy.controller,
        proxy.epoch,
        proxy.connected_since,
        proxy.revision,
        refusals_text(&proxy.refused)?,
        &proxy.build,
        &proxy.region,
        proxy.last_seen,
    ];
    store.engine().execute(PUT, values).await.map(drop)
}

/// Every proxy that has a row.
pub async fn list(read_from: impl Into<Read<'_>>) -> Result<Vec<Proxy>> {
    read_from.into().all(LIST, args![]).await?.iter().map(read).collect()
}

/// Removes the row of a connection that ended; a newer connection's stays.
pub async fn remove(store: &Store, proxy: &Proxy) -> Result<()> {
    let values = args![&proxy.proxy, &proxy.controller, proxy.epoch, proxy.connected_since];
    store.engine().execute(REMOVE, values).await.map(drop)
}

fn read(row: &Row) -> Result<Proxy> {
    let mut cells = row.cells();
    Ok(Proxy {
        proxy: cells.take()?,
        controller: cells.take()?,
        epoch: cells.take()?,
        connected_since: cells.take()?,
        revision: cells.take()?,
        refused: cells.word(refusals)?,
        build: cells.take()?,
        region: cells.take()?,
        last_seen: cells.take()?,
    })
}

fn refusals_text(refused: &[Refusal]) -> Result<String> {
    let rows: Vec<(&str, &str, &str)> =
        refused.iter().map(|refusal| (refusal.kind.name(), refusal.name.as_str(), refusal.reason.as_str())).collect();
    serde_json::to_string(&rows).map_err(|source| Error::Corrupt { what: source.to_string() })
}

fn refusals(text: &str) -> Option<Vec<Refusal>> {
    let rows: Vec<(String, String, String)> = serde_json::from_str(text).ok()?;
    rows.into_iter().map(|(kind, name, reason)| Kind::parse(&kind).map(|kind| Refusal { kind, name, reason })).collect()
}
