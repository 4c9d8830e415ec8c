//! What only the books can answer, for one organisation: the proxy has found the caller's key in its snapshot and asks
//! in the name of that key's organisation. Inference never waits for this.

use domain::ids::{KeyId, OrgId};
use domain::money::Money;
use proto::convert::{Answer, KeyUsage, Question};
use proto::sync as wire;

use crate::access::installation_scope;
use crate::app::App;
use crate::error::{Error, Result};
use crate::fault::invalid;

/// Answers one question.
pub async fn answer(app: &App, request: wire::QueryRequest) -> Result<wire::QueryResponse> {
    let (org, question) = Question::read(request).map_err(|error| invalid(error.field, error.problem))?;
    let answer = match question {
        Question::Credits => credits(app, org).await,
        Question::Generation(id) => generation(app, org, &id).await,
        Question::Key(key) => key_usage(app, org, key).await,
    };
    match answer {
        Err(Error::Store(store::Error::NotFound { .. })) => Ok(Answer::NotFound.into()),
        answer => Ok(answer?.into()),
    }
}

async fn credits(app: &App, org: OrgId) -> Result<Answer> {
    let balance = store::credits::balance(&app.store, installation_scope(), org).await?;
    // What is lent to a proxy can be spent there; what is in quarantine cannot be spent anywhere now.
    let available = balance.available.plus(balance.leased).unwrap_or(balance.available);
    Ok(Answer::Credits { funded: balance.funded(), refunded: balance.refunded, used: balance.settled, available })
}

async fn generation(app: &App, org: OrgId, id: &str) -> Result<Answer> {
    let found = store::usage::find(&app.store, installation_scope(), org, id).await?;
    Ok(found.map_or(Answer::NotFound, |booked| Answer::Generation(Box::new(booked.record))))
}

async fn key_usage(app: &App, org: OrgId, id: KeyId) -> Result<Answer> {
    let (scope, now) = (installation_scope(), app.now());
    let key = store::keys::load(&app.store, scope, id).await?.key;
    if key.org != org {
        return Ok(Answer::NotFound);
    }
    let spent = store::usage::spent(&app.store, scope, id, now).await?;
    let limit_remaining = match key.policy.budget {
        Some(budget) => {
            let state = store::pools::budget(&app.store, scope, id, budget.reset.period(now)).await?;
            Some(budget.amount.minus(state.settled).unwrap_or(Money::ZERO).max(Money::ZERO))
        }
        None => None,
    };
    let org = store::orgs::load(&app.store, scope, org).await?;
    Ok(Answer::Key(KeyUsage {
        name: key.name,
        hint: key.hint,
        usage: spent.total,
        usage_daily: spent.daily,
        usage_weekly: spent.weekly,
        usage_monthly: spent.monthly,
        limit_remaining,
        org_name: org.name,
    }))
}
