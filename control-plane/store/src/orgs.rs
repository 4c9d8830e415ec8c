//! Organisations. A new one gets its books with it. Next room: `keys.rs`.

use std::collections::BTreeSet;

use domain::ids::{OrgId, OrgScope, Revision};
use domain::orgs::{BillingMode, Org};
use domain::snapshot::Kind;

use crate::edit::{Edit, Touch, Written, within};
use crate::engine::{Read, Row, args};
use crate::error::{Error, Result};
use crate::keys::json_text;

macro_rules! columns {
    () => {
        "id, slug, name, billing, plan, frozen, created_at, routing, names, revision"
    };
}
pub(crate) use columns;

const INSERT: &str = "insert into orgs (id, slug, name, billing, plan, frozen, created_at, routing, names, \
    revision) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
/// The chain of an organisation's entries starts from nothing.
const OPEN_BOOKS: &str = "insert into books (org_id, entries, head) values ($1, 0, $2)";
const LOAD: &str = concat!("select ", columns!(), " from orgs where id = $1");
const FIND_SLUG: &str = concat!("select ", columns!(), " from orgs where slug = $1");
const LIST: &str = concat!("select ", columns!(), " from orgs where id > $1 order by id limit $2");
const UPDATE: &str = "update orgs set slug = $2, name = $3, billing = $4, plan = $5, frozen = $6, routing = $7, \
    names = $8, revision = $9 where id = $1";

pub(crate) fn read(row: &Row) -> Result<(Org, Revision)> {
    let mut cells = row.cells();
    let org = Org {
        id: cells.take()?,
        slug: cells.maybe()?,
        name: cells.take()?,
        billing: cells.word(BillingMode::parse)?,
        plan: cells.take()?,
        frozen: cells.take()?,
        created_at: cells.take()?,
        routing: cells.json()?,
        names: cells.json()?,
    };
    Ok((org, cells.take()?))
}

fn org(row: &Row) -> Result<Org> {
    read(row).map(|(org, _)| org)
}

/// Adds an organisation.
pub async fn insert(edit: &mut Edit, org: &Org) -> Result<()> {
    slug_is_free(edit, org).await?;
    let revision = edit.revision();
    let mut values = args![org.id, &org.slug, &org.name, org.billing.name(), &org.plan, org.frozen, org.created_at];
    values.extend(args![json_text(org.routing.as_ref())?, json_text(org.names.as_ref())?, revision]);
    edit.execute(INSERT, values).await.map_err(|error| error.naming("organisation"))?;
    edit.execute(OPEN_BOOKS, args![org.id, [0u8; 32]]).await?;
    edit.touch(Kind::Org, org.id, Touch::UPSERT);
    edit.audit(Some(org.id), "orgs.create", org.id, format!("name {}", org.name));
    Ok(())
}

async fn slug_is_free(edit: &mut Edit, org: &Org) -> Result<()> {
    let Some(slug) = &org.slug else { return Ok(()) };
    let holder = edit.tx().one(FIND_SLUG, args![slug]).await?.as_ref().map(self::org).transpose()?;
    match holder {
        Some(other) if other.id != org.id => Err(Error::Conflict { what: "organisation slug" }),
        _ => Ok(()),
    }
}

/// The organisation with this id.
pub async fn load(read_from: impl Into<Read<'_>>, scope: OrgScope, id: OrgId) -> Result<Org> {
    within(scope, id, "organisation")?;
    let row = read_from.into().one(LOAD, args![id]).await?;
    org(&row.ok_or(Error::NotFound { what: "organisation" })?)
}

/// The organisation that apply files know by this name.
pub async fn find_slug(read_from: impl Into<Read<'_>>, scope: OrgScope, slug: &str) -> Result<Option<Org>> {
    let row = read_from.into().one(FIND_SLUG, args![slug]).await?;
    let org = row.as_ref().map(org).transpose()?;
    Ok(org.filter(|org| scope.covers(org.id)))
}

/// Organisations by age, after `after`. A scope of one organisation lists that one.
pub async fn list(
    read_from: impl Into<Read<'_>>,
    scope: OrgScope,
    after: Option<OrgId>,
    limit: u32,
) -> Result<Vec<Org>> {
    if let Some(own) = scope.org() {
        return if after.is_some_and(|after| after >= own) {
            Ok(vec![])
        } else {
            load(read_from, scope, own).await.map(|org| vec![org])
        };
    }
    let after = after.map_or(String::new(), |id| id.to_string());
    read_from.into().all(LIST, args![after, limit]).await?.iter().map(org).collect()
}

/// Makes an organisation's row what is given. Freezing is urgent.
pub async fn update(edit: &mut Edit, scope: OrgScope, org: &Org) -> Result<Written> {
    let before = load(&mut *edit, scope, org.id).await?;
    let after = Org { created_at: before.created_at, ..org.clone() };
    if before == after {
        return Ok(Written::Unchanged);
    }
    slug_is_free(edit, &after).await?;
    let revision = edit.revision();
    let mut values = args![after.id, &after.slug, &after.name, after.billing.name(), &after.plan, after.frozen];
    values.extend(args![json_text(after.routing.as_ref())?, json_text(after.names.as_ref())?, revision]);
    edit.execute(UPDATE, values).await?;
    let cut = after.frozen && !before.frozen;
    edit.touch(Kind::Org, after.id, if cut { Touch::CUT } else { Touch::UPSERT });
    let action = match (before.frozen, after.frozen) {
        (false, true) => "orgs.freeze",
        (true, false) => "orgs.thaw",
        _ if before.routing != after.routing => "orgs.routing",
        _ if before.names != after.names => "orgs.names",
        _ => "orgs.update",
    };
    edit.audit(Some(after.id), action, after.id, differences(&before, &after));
    Ok(Written::Changed)
}

fn differences(before: &Org, after: &Org) -> String {
    let routing = match (&before.routing, &after.routing) {
        (before, after) if before == after => "",
        (_, Some(_)) => ", routing set",
        (_, None) => ", routing cleared",
    };
    format!("name {}{routing}{}", after.name, new_names(before, after))
}

/// The aliases and the versions of presets that are new, or gone.
fn new_names(before: &Org, after: &Org) -> String {
    let all = |org: &Org| -> BTreeSet<String> {
        let names = org.names.as_deref().cloned().unwrap_or_default();
        let aliases = names.aliases().map(|(name, models)| format!("alias {name} for {}", models.join(" and ")));
        let presets = names.presets().map(|(slug, version, ..)| format!("preset {slug}@{version}"));
        aliases.chain(presets).collect()
    };
    let (before, after) = (all(before), all(after));
    let set = after.difference(&before).map(|name| format!(", {name} set"));
    set.chain(before.difference(&after).map(|name| format!(", {name} gone"))).collect()
}
