//! `admin version`.

use proto::admin::GetVersionRequest;
use serde_json::json;

use super::session::Session;
use super::{Error, Said};
use crate::VERSION;

pub async fn run(session: &mut Session) -> Result<Said, Error> {
    let server = session.fleet().get_version(GetVersionRequest {}).await?.into_inner().version;
    Ok(Said::data(json!({ "client": VERSION, "server": server })))
}
