//! The wire side of credits.

use std::sync::Arc;

use domain::credits::Balance;
use domain::ids::OrgId;
use domain::members::Action;
use proto::admin::{self, credits_service_server::CreditsService};
use tonic::{Request, Response, Status};

use super::{Written, parse_amount};
use crate::access::admit;
use crate::app::App;
use crate::error::Error;
use crate::orgs::parse_id;

/// The service.
pub struct Rpc(pub Arc<App>);

#[tonic::async_trait]
impl CreditsService for Rpc {
    async fn grant_credits(
        &self,
        request: Request<admin::GrantCreditsRequest>,
    ) -> Result<Response<admin::Balance>, Status> {
        let (caller, scope) = admit(&self.0, request.metadata(), Action::GrantCredits).await?;
        let wanted = request.get_ref();
        let org = parse_id("org", &wanted.org).map_err(Error::from)?;
        let amount = parse_amount(&wanted.amount).map_err(Error::from)?;
        let source = parse_source(&wanted.source)?;
        let written =
            super::grant(&self.0, caller.actor(), scope, org, amount, &wanted.idempotency_key, source).await?;
        Ok(Response::new(after_write(org, &written)))
    }

    async fn refund_credits(
        &self,
        request: Request<admin::RefundCreditsRequest>,
    ) -> Result<Response<admin::Balance>, Status> {
        let (caller, scope) = admit(&self.0, request.metadata(), Action::RefundCredits).await?;
        let wanted = request.get_ref();
        let org = parse_id("org", &wanted.org).map_err(Error::from)?;
        let amount = parse_amount(&wanted.amount).map_err(Error::from)?;
        let written = super::refund(&self.0, caller.actor(), scope, org, amount, &wanted.idempotency_key).await?;
        Ok(Response::new(after_write(org, &written)))
    }

    async fn get_balance(
        &self,
        request: Request<admin::GetBalanceRequest>,
    ) -> Result<Response<admin::Balance>, Status> {
        let (_, scope) = admit(&self.0, request.metadata(), Action::ReadCredits).await?;
        let org = parse_id("org", &request.get_ref().org).map_err(Error::from)?;
        let balance = store::credits::balance(&self.0.store, scope, org).await.map_err(Error::from)?;
        Ok(Response::new(message(org, &balance)))
    }

    async fn list_entries(
        &self,
        request: Request<admin::ListEntriesRequest>,
    ) -> Result<Response<admin::ListEntriesResponse>, Status> {
        let (_, scope) = admit(&self.0, request.metadata(), Action::ReadCredits).await?;
        let wanted = request.get_ref();
        let org = parse_id("org", &wanted.org).map_err(Error::from)?;
        let before = if wanted.before.is_empty() {
            None
        } else {
            Some(parse_id("before", &wanted.before).map_err(Error::from)?)
        };
        let limit = crate::server::page_size(wanted.limit, 100, 1_000);
        let entries = store::credits::entries(&self.0.store, scope, org, before, limit).await.map_err(Error::from)?;
        Ok(Response::new(admin::ListEntriesResponse { entries: entries.iter().map(entry).collect() }))
    }

    async fn verify_ledger(
        &self,
        request: Request<admin::VerifyLedgerRequest>,
    ) -> Result<Response<admin::VerifyLedgerResponse>, Status> {
        admit(&self.0, request.metadata(), Action::VerifyLedger).await?;
        let checks = store::books::verify(&self.0.store).await.map_err(Error::from)?;
        let ok = checks.iter().all(|check| check.ok);
        let checks = checks.into_iter().map(|check| admin::Check {
            name: check.name.to_owned(),
            promise: check.promise.to_owned(),
            ok: check.ok,
            detail: check.detail,
        });
        Ok(Response::new(admin::VerifyLedgerResponse { ok, checks: checks.collect() }))
    }

    async fn release_quarantine(
        &self,
        request: Request<admin::ReleaseQuarantineRequest>,
    ) -> Result<Response<admin::ReleaseQuarantineResponse>, Status> {
        let (caller, _) = admit(&self.0, request.metadata(), Action::ReleaseQuarantine).await?;
        let proxy = parse_id("proxy", &request.get_ref().proxy).map_err(Error::from)?;
        let released = super::release(&self.0, caller.actor(), &proxy).await?;
        Ok(Response::new(admin::ReleaseQuarantineResponse {
            released: released.amount.to_string(),
            leases: released.leases,
        }))
    }
}

fn parse_source(text: &str) -> Result<&str, Error> {
    let fits = text.len() <= 40 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits { Ok(text) } else { Err(crate::fault::invalid("source", "one word of a to z, digits and hyphens").into()) }
}

fn after_write(org: OrgId, written: &Written) -> admin::Balance {
    admin::Balance { replayed: written.replayed, ..message(org, &written.balance) }
}

fn message(org: OrgId, balance: &Balance) -> admin::Balance {
    admin::Balance {
        org: org.to_string(),
        funded: balance.funded().to_string(),
        available: balance.available.to_string(),
        leased: balance.leased.to_string(),
        quarantined: balance.quarantined.to_string(),
        settled: balance.settled.to_string(),
        refunded: balance.refunded.to_string(),
        replayed: false,
        note: String::new(),
    }
}

fn entry(entry: &store::credits::Entry) -> admin::Entry {
    let legs =
        entry.legs.iter().map(|leg| admin::Leg { account: leg.account.to_string(), amount: leg.amount.to_string() });
    admin::Entry {
        id: entry.id.to_string(),
        kind: entry.kind.name().to_owned(),
        at: entry.at.to_string(),
        actor: entry.actor.clone(),
        note: entry.note.clone(),
        legs: legs.collect(),
    }
}
