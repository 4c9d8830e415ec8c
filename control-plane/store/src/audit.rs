//! Who changed what, as it was written with each edit. Nothing here writes: an edit does.

use domain::audit::AuditEntry;
use domain::ids::{OrgId, Revision};

use crate::engine::{Read, Row, args};
use crate::error::Result;

const LIST: &str = "select revision, at, actor, org_id, action, target, detail from audit \
    where revision < $1 order by revision desc, line desc limit $2";
const LIST_ORG: &str = "select revision, at, actor, org_id, action, target, detail from audit \
    where revision < $1 and org_id = $3 order by revision desc, line desc limit $2";

fn read(row: &Row) -> Result<AuditEntry> {
    let mut cells = row.cells();
    Ok(AuditEntry {
        revision: cells.take()?,
        at: cells.take()?,
        actor: cells.take()?,
        org: cells.maybe()?,
        action: cells.take()?,
        target: cells.take()?,
        detail: cells.take()?,
    })
}

/// Lines before a revision, newest first; of one organisation, or of all when none is named.
pub async fn list(
    read_from: impl Into<Read<'_>>,
    org: Option<OrgId>,
    before: Option<Revision>,
    limit: u32,
) -> Result<Vec<AuditEntry>> {
    let before = before.unwrap_or(Revision(u64::MAX));
    let mut from = read_from.into();
    let rows = match org {
        Some(org) => from.all(LIST_ORG, args![before, limit, org]).await?,
        None => from.all(LIST, args![before, limit]).await?,
    };
    rows.iter().map(read).collect()
}
