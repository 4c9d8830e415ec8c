//! The counter and the change log: what was touched at which revision. Names only; `snapshot.rs` loads what they name.

use domain::ids::Revision;
use domain::snapshot::Kind;

use crate::engine::{Read, Row, args};
use crate::error::{Error, Result};

/// One entry of the change log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub revision: Revision,
    pub kind: Kind,
    /// A slug, an id, or a key's digest in hexadecimal.
    pub name: String,
    /// Takes rights away: it must not wait behind other changes.
    pub urgent: bool,
    pub removed: bool,
}

/// Whole revisions of the change log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangePage {
    pub changes: Vec<Named>,
    /// Every change up to and with this revision is in the page, or was before it.
    pub through: Revision,
    /// There is more after `through`.
    pub more: bool,
}

const HEAD: &str = "select head from revisions where one = 1";
const SINCE: &str = "select revision, kind, name, urgent, removed from changes where revision > $1 and revision <= $2 \
    order by revision, kind, name limit $3";
const AT: &str = "select revision, kind, name, urgent, removed from changes where revision = $1 order by kind, name";

fn read(row: &Row) -> Result<Named> {
    let mut cells = row.cells();
    Ok(Named {
        revision: cells.take()?,
        kind: cells.word(Kind::parse)?,
        name: cells.take()?,
        urgent: cells.take()?,
        removed: cells.take()?,
    })
}

/// The last committed revision.
pub async fn head(read_from: impl Into<Read<'_>>) -> Result<Revision> {
    let row = read_from.into().one(HEAD, args![]).await?;
    row.ok_or(Error::NotFound { what: "revision counter" })?.first()
}

/// What was touched after `after`, oldest first: about `limit` entries, but a revision is never cut in two.
pub async fn changes_since(read_from: impl Into<Read<'_>>, after: Revision, limit: u32) -> Result<ChangePage> {
    let mut from = read_from.into();
    // Read first: what commits in the meantime is for the next call.
    let head: Revision = from.one(HEAD, args![]).await?.ok_or(Error::NotFound { what: "revision counter" })?.first()?;
    let rows = from.all(SINCE, args![after, head, limit]).await?;
    let mut changes = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
    let full = changes.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let Some(last) = changes.last().map(|change| change.revision).filter(|_| full) else {
        return Ok(ChangePage { changes, through: head.max(after), more: false });
    };
    // The last revision of a full page may have been cut: take it whole.
    changes.retain(|change| change.revision < last);
    for row in &from.all(AT, args![last]).await? {
        changes.push(read(row)?);
    }
    Ok(ChangePage { changes, through: last, more: last < head })
}
