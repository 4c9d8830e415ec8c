//! The wire side of usage.

use std::sync::Arc;

use domain::members::Action;
use proto::admin::{self, usage_service_server::UsageService};
use tonic::{Request, Response, Status};

use crate::access::admit;
use crate::app::App;
use crate::error::Error;
use crate::fault::invalid;
use crate::orgs::parse_id;

/// The service.
pub struct Rpc(pub Arc<App>);

#[tonic::async_trait]
impl UsageService for Rpc {
    async fn list_usage(
        &self,
        request: Request<admin::ListUsageRequest>,
    ) -> Result<Response<admin::ListUsageResponse>, Status> {
        let (_, scope) = admit(&self.0, request.metadata(), Action::ReadUsage).await?;
        let query = query(request.get_ref())?;
        store::orgs::load(&self.0.store, scope, query.org).await.map_err(Error::from)?;
        let records = store::usage::list(&self.0.store, scope, &query).await.map_err(Error::from)?;
        Ok(Response::new(admin::ListUsageResponse { records: records.iter().map(message).collect() }))
    }

    async fn get_usage(
        &self,
        request: Request<admin::GetUsageRequest>,
    ) -> Result<Response<admin::UsageRecord>, Status> {
        let (_, scope) = admit(&self.0, request.metadata(), Action::ReadUsage).await?;
        let wanted = request.into_inner();
        let org = parse_id("org", &wanted.org).map_err(Error::from)?;
        store::orgs::load(&self.0.store, scope, org).await.map_err(Error::from)?;
        let found = store::usage::find(&self.0.store, scope, org, &wanted.id).await.map_err(Error::from)?;
        let booked = found.ok_or(Error::Store(store::Error::NotFound { what: "usage record" }))?;
        Ok(Response::new(message(&booked)))
    }
}

fn query(wanted: &admin::ListUsageRequest) -> Result<store::usage::Query, Error> {
    let time = |field: &'static str, text: &str| {
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|error: domain::time::BadTime| invalid(field, error.to_string()))
    };
    let before_time = time("before_time", &wanted.before_time)?;
    let before = match before_time {
        Some(at) => Some((at, parse_id("before_request", &wanted.before_request)?)),
        None => None,
    };
    Ok(store::usage::Query {
        org: parse_id("org", &wanted.org)?,
        key: if wanted.key.is_empty() { None } else { Some(parse_id("key", &wanted.key)?) },
        since: time("since", &wanted.since)?,
        before,
        limit: crate::server::page_size(wanted.limit, 100, 10_000),
    })
}

fn message(booked: &store::usage::Booked) -> admin::UsageRecord {
    let text = |id: Option<String>| id.unwrap_or_default();
    admin::UsageRecord {
        request_id: booked.request.to_string(),
        attempt: booked.attempt,
        key: booked.key.to_string(),
        requested_model: booked.requested_model.clone(),
        model: text(booked.model.as_ref().map(ToString::to_string)),
        provider: text(booked.provider.as_ref().map(ToString::to_string)),
        endpoint: text(booked.endpoint.as_ref().map(ToString::to_string)),
        dialect_in: booked.dialect_in.to_string(),
        dialect_out: booked.dialect_out.to_string(),
        prompt_tokens: booked.usage.prompt_total(),
        completion_tokens: booked.usage.completion_total(),
        cached_tokens: booked.usage.cache_read,
        reasoning_tokens: booked.usage.reasoning,
        cost: booked.cost.to_string(),
        is_byok: booked.is_byok,
        outcome: booked.outcome.name().to_owned(),
        usage_source: booked.usage_source.name().to_owned(),
        status: u32::from(booked.status),
        started_at: booked.started_at.to_string(),
        latency_ms: booked.latency_ms,
        ttft_ms: booked.ttft_ms,
        streamed: booked.streamed,
        upstream_id: booked.upstream_id.clone(),
        finish_reason: booked.finish_reason.to_string(),
        org: booked.org.to_string(),
        billing: booked.billing.name().to_owned(),
        plan: booked.plan.to_string(),
        price_version: booked.price_version,
        proxy: booked.proxy.to_string(),
        written_off: booked.written_off.to_string(),
        routing: booked.trail.is_known().then(|| routing(booked)),
    }
}

fn routing(booked: &store::usage::Booked) -> admin::Routing {
    let attempts = booked.attempts().map(|attempt| admin::Attempt {
        endpoint: attempt.endpoint.to_string(),
        provider: attempt.endpoint.provider().to_owned(),
        model: attempt.endpoint.model().to_owned(),
        status: u32::from(attempt.status),
        code: attempt.code.to_owned(),
        trigger: attempt.trigger.to_owned(),
        latency_ms: attempt.ms,
    });
    admin::Routing {
        strategy: booked.trail.strategy().to_owned(),
        candidates: booked.trail.candidates,
        passed_over: booked.trail.passed_over,
        region: booked.trail.region.clone(),
        attempts: attempts.collect(),
    }
}
