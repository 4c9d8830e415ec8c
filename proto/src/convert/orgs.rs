//! Organisations.

use domain::ids::OrgId;
use domain::orgs::{BillingMode, Org};
use domain::time::Timestamp;

use super::{id_bytes, invalid, optional, read_id, read_names, read_optional, read_rules, write_names, write_rules};
use crate::sync as wire;

invalid!(
    /// An organisation whose keys cannot be served.
    InvalidOrg,
    "Org"
);

/// `frozen` restricts.
const FROZEN: u64 = 1;
const ROUTING: u64 = 1 << 1;
/// Every restriction of an organisation that this build enforces.
pub const ORG_RESTRICTIONS: u64 = FROZEN | ROUTING;

/// The restrictions that a reader must understand to serve this organisation.
pub(super) fn must_understand(org: &Org) -> u64 {
    let used = [(org.frozen, FROZEN), (org.routing.is_some(), ROUTING)];
    used.iter().filter(|(is_used, _)| *is_used).fold(0, |bits, (_, bit)| bits | bit)
}

impl From<&Org> for wire::Org {
    fn from(org: &Org) -> Self {
        wire::Org {
            id: org.id.to_string(),
            slug: optional(org.slug.as_ref()),
            name: org.name.clone(),
            billing: org.billing.name().to_owned(),
            plan: org.plan.to_string(),
            frozen: org.frozen,
            created_at_us: org.created_at.us(),
            routing: write_rules(org.routing.as_ref()),
            names: write_names(org.names.as_ref()),
        }
    }
}

impl TryFrom<wire::Org> for Org {
    type Error = InvalidOrg;

    fn try_from(wire: wire::Org) -> Result<Self, InvalidOrg> {
        Ok(Org {
            id: wire.id.parse().map_err(InvalidOrg::at("id"))?,
            slug: read_optional(&wire.slug).map_err(InvalidOrg::at("slug"))?,
            name: wire.name,
            billing: BillingMode::parse(&wire.billing)
                .ok_or_else(|| InvalidOrg::new("billing", format!("`{}` is no billing mode", wire.billing)))?,
            plan: wire.plan.parse().map_err(InvalidOrg::at("plan"))?,
            frozen: wire.frozen,
            created_at: Timestamp::from_us(wire.created_at_us),
            routing: read_rules(&wire.routing).map_err(InvalidOrg::at("routing"))?,
            names: read_names(&wire.names).map_err(InvalidOrg::at("names"))?,
        })
    }
}

/// An organisation's id in messages of the hot kind.
pub(super) fn org_bytes(id: OrgId) -> bytes::Bytes {
    id_bytes(id.to_u128())
}

/// Reads what [`org_bytes`] wrote.
pub(super) fn read_org(bytes: &[u8]) -> Result<OrgId, String> {
    read_id(bytes).map(OrgId::from_u128)
}
