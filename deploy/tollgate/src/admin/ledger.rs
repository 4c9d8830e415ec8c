//! `admin ledger`.

use clap::Subcommand;
use proto::admin::{ReleaseQuarantineRequest, VerifyLedgerRequest};
use serde_json::json;

use super::session::Session;
use super::{Error, Said};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Re-add everything that must add up; exit 1 if anything does not.
    Verify,
    /// Give organisations back what a dead proxy still holds. Only when its data folder is lost for good.
    Release {
        #[arg(long)]
        proxy: String,
    },
}

pub async fn run(session: &mut Session, command: &Command) -> Result<Said, Error> {
    let mut credits = session.credits();
    match command {
        Command::Verify => {
            let verified = credits.verify_ledger(VerifyLedgerRequest {}).await?.into_inner();
            let checks: Vec<_> = verified
                .checks
                .iter()
                .map(|check| json!({ "name": check.name, "promise": check.promise, "ok": check.ok, "detail": check.detail }))
                .collect();
            Ok(Said { data: json!({ "ok": verified.ok, "checks": checks }), ok: verified.ok })
        }
        Command::Release { proxy } => {
            let released =
                credits.release_quarantine(ReleaseQuarantineRequest { proxy: proxy.clone() }).await?.into_inner();
            Ok(Said::data(json!({ "released": released.released, "leases": released.leases })))
        }
    }
}
