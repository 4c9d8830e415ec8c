//! What may happen to an organisation's own names: aliases of models, and presets in versions.

pub mod rpc;

use std::sync::Arc;

use domain::audit::Actor;
use domain::faults::{Fault, FaultCode};
use domain::ids::{OrgId, OrgScope, Revision};
use domain::routing::{BadName, Names, Preset};

use crate::app::App;
use crate::error::Result;
use crate::fault::invalid;

/// The longest text of one preset, and of all names of an organisation, in bytes: proxies are sent them in one piece.
const PRESET_LONGEST: usize = 8 * 1024;
const NAMES_LONGEST: usize = 48 * 1024;

/// Changes the names of an organisation in one edit, and says what the change said.
pub async fn change<T>(
    app: &App,
    actor: Actor,
    scope: OrgScope,
    org: OrgId,
    change: impl FnOnce(&mut Names) -> Result<T, Fault>,
) -> Result<(T, Revision)> {
    let mut edit = app.store.edit(actor, app.now()).await?;
    let mut org = store::orgs::load(&mut edit, scope, org).await?;
    let mut names = org.names.as_deref().cloned().unwrap_or_default();
    let said = change(&mut names)?;
    org.names = (!names.is_empty()).then(|| Arc::new(names));
    if proto::convert::write_names(org.names.as_ref()).len() > NAMES_LONGEST {
        let message = "the organisation's names are too long in all: remove versions of presets that nobody names";
        return Err(Fault::new(FaultCode::InvalidRequest, message).into());
    }
    store::orgs::update(&mut edit, scope, &org).await?;
    Ok((said, edit.commit().await?))
}

/// Reads a preset as people write it.
pub fn parse_preset(text: &str) -> Result<Preset, Fault> {
    if text.len() > PRESET_LONGEST {
        return Err(invalid("content", format!("at most {PRESET_LONGEST} bytes")));
    }
    proto::convert::read_preset(text).map_err(|reason| invalid("content", reason))
}

/// Why a name is refused, as a fault.
pub fn refused(bad: BadName) -> Fault {
    let field = match bad {
        BadName::Shape(_) | BadName::TooMany | BadName::TooManyVersions(_) => "name",
        BadName::Model(_) | BadName::NoModel | BadName::TooManyModels | BadName::Itself(_) => "models",
    };
    invalid(field, bad.to_string())
}

/// Nothing has this name.
pub fn missing(what: &str) -> Fault {
    Fault::new(FaultCode::NotFound, format!("there is no such {what}"))
}
