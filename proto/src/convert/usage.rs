//! Usage records and intents: what a spool keeps and a proxy reports.

use domain::ids::{KeyId, RequestId};
use domain::money::Money;
use domain::orgs::BillingMode;
use domain::time::Timestamp;
use domain::usage::{Intent, Outcome, Step, TokenUsage, Trail, UsageRecord, UsageSource};

use super::orgs::{org_bytes, read_org};
use super::{id_bytes, invalid, optional, read_id, read_optional};
use crate::sync as wire;

invalid!(
    /// A usage record that cannot be booked.
    InvalidUsageRecord,
    "UsageRecord"
);
invalid!(
    /// An intent that cannot be closed.
    InvalidIntent,
    "Intent"
);

impl From<&TokenUsage> for wire::TokenUsage {
    fn from(usage: &TokenUsage) -> Self {
        wire::TokenUsage {
            prompt: usage.prompt,
            cache_read: usage.cache_read,
            cache_write: usage.cache_write,
            cache_write_1h: usage.cache_write_1h,
            completion: usage.completion,
            reasoning: usage.reasoning,
            audio_input: usage.audio_input,
            audio_output: usage.audio_output,
            images: usage.images,
            web_searches: usage.web_searches,
            characters: usage.characters,
        }
    }
}

impl From<wire::TokenUsage> for TokenUsage {
    fn from(wire: wire::TokenUsage) -> Self {
        TokenUsage {
            prompt: wire.prompt,
            cache_read: wire.cache_read,
            cache_write: wire.cache_write,
            cache_write_1h: wire.cache_write_1h,
            completion: wire.completion,
            reasoning: wire.reasoning,
            audio_input: wire.audio_input,
            audio_output: wire.audio_output,
            images: wire.images,
            web_searches: wire.web_searches,
            characters: wire.characters,
        }
    }
}

impl From<&UsageRecord> for wire::UsageRecord {
    fn from(record: &UsageRecord) -> Self {
        record.clone().into()
    }
}

impl From<UsageRecord> for wire::UsageRecord {
    fn from(record: UsageRecord) -> Self {
        wire::UsageRecord {
            request: id_bytes(record.request.to_u128()),
            org: org_bytes(record.org),
            key: id_bytes(record.key.to_u128()),
            budget: optional(record.budget.as_ref()),
            billing: record.billing.name().to_owned(),
            plan: record.plan.to_string(),
            requested_model: record.requested_model,
            model: optional(record.model.as_ref()),
            provider: optional(record.provider.as_ref()),
            endpoint: optional(record.endpoint.as_ref()),
            dialect_in: record.dialect_in.into_owned(),
            dialect_out: record.dialect_out.into_owned(),
            attempt: record.attempt,
            upstream_id: record.upstream_id,
            usage: (record.usage != TokenUsage::default()).then(|| (&record.usage).into()),
            usage_source: record.usage_source.name().to_owned(),
            cost_nano: record.cost.nano(),
            held_nano: record.held.nano(),
            written_off_nano: record.written_off.nano(),
            price_version: record.price_version,
            is_byok: record.is_byok,
            outcome: record.outcome.name().to_owned(),
            finish_reason: record.finish_reason.into_owned(),
            status: u32::from(record.status),
            streamed: record.streamed,
            started_at_us: record.started_at.us(),
            latency_ms: record.latency_ms,
            ttft_ms: record.ttft_ms,
            trail: (record.trail != Trail::default()).then(|| (&record.trail).into()),
        }
    }
}

impl From<&Trail> for wire::Trail {
    fn from(trail: &Trail) -> Self {
        wire::Trail {
            strategy: trail.unusual_strategy().to_owned(),
            candidates: trail.candidates,
            passed_over: trail.passed_over,
            region: trail.region.clone(),
            begun_ms: trail.begun_ms,
            missed: trail.missed().iter().map(Into::into).collect(),
        }
    }
}

impl From<&Step> for wire::Step {
    fn from(step: &Step) -> Self {
        wire::Step {
            endpoint: step.endpoint.to_string(),
            status: u32::from(step.status),
            code: step.code.to_string(),
            trigger: step.trigger.to_string(),
            ms: step.ms,
        }
    }
}

impl From<wire::Trail> for Trail {
    /// A step that cannot be read is left out: what a request cost is booked whatever is said of its way.
    fn from(wire: wire::Trail) -> Self {
        let mut trail = Trail::new(wire.strategy.into(), wire.candidates, wire.region);
        (trail.passed_over, trail.begun_ms) = (wire.passed_over, wire.begun_ms);
        wire.missed.into_iter().filter_map(read_step).for_each(|step| trail.miss(step));
        trail
    }
}

fn read_step(wire: wire::Step) -> Option<Step> {
    Some(Step {
        endpoint: wire.endpoint.parse().ok()?,
        status: u16::try_from(wire.status).ok()?,
        code: wire.code.into(),
        trigger: wire.trigger.into(),
        ms: wire.ms,
    })
}

impl TryFrom<wire::UsageRecord> for UsageRecord {
    type Error = InvalidUsageRecord;

    fn try_from(wire: wire::UsageRecord) -> Result<Self, InvalidUsageRecord> {
        use InvalidUsageRecord as Invalid;
        Ok(UsageRecord {
            request: read_id(&wire.request).map(RequestId::from_u128).map_err(Invalid::at("request"))?,
            org: read_org(&wire.org).map_err(Invalid::at("org"))?,
            key: read_id(&wire.key).map(KeyId::from_u128).map_err(Invalid::at("key"))?,
            budget: read_optional(&wire.budget).map_err(Invalid::at("budget"))?,
            billing: BillingMode::parse(&wire.billing)
                .ok_or_else(|| Invalid::new("billing", format!("`{}` is no billing mode", wire.billing)))?,
            plan: wire.plan.parse().map_err(Invalid::at("plan"))?,
            requested_model: wire.requested_model,
            model: read_optional(&wire.model).map_err(Invalid::at("model"))?,
            provider: read_optional(&wire.provider).map_err(Invalid::at("provider"))?,
            endpoint: read_optional(&wire.endpoint).map_err(Invalid::at("endpoint"))?,
            dialect_in: wire.dialect_in.into(),
            dialect_out: wire.dialect_out.into(),
            attempt: wire.attempt,
            upstream_id: wire.upstream_id,
            usage: wire.usage.map(TokenUsage::from).unwrap_or_default(),
            usage_source: UsageSource::parse(&wire.usage_source)
                .ok_or_else(|| Invalid::new("usage_source", format!("`{}` is no source", wire.usage_source)))?,
            cost: read_amount(wire.cost_nano).map_err(Invalid::at("cost_nano"))?,
            held: read_amount(wire.held_nano).map_err(Invalid::at("held_nano"))?,
            written_off: read_amount(wire.written_off_nano).map_err(Invalid::at("written_off_nano"))?,
            price_version: wire.price_version,
            is_byok: wire.is_byok,
            outcome: Outcome::parse(&wire.outcome)
                .ok_or_else(|| Invalid::new("outcome", format!("`{}` is no outcome", wire.outcome)))?,
            finish_reason: wire.finish_reason.into(),
            status: u16::try_from(wire.status).map_err(Invalid::at("status"))?,
            streamed: wire.streamed,
            started_at: Timestamp::from_us(wire.started_at_us),
            latency_ms: wire.latency_ms,
            ttft_ms: wire.ttft_ms,
            trail: wire.trail.map(Trail::from).unwrap_or_default(),
        })
    }
}

impl From<&Intent> for wire::Intent {
    fn from(intent: &Intent) -> Self {
        wire::Intent {
            request: id_bytes(intent.request.to_u128()),
            org: org_bytes(intent.org),
            key: id_bytes(intent.key.to_u128()),
            budget: optional(intent.budget.as_ref()),
            billing: intent.billing.name().to_owned(),
            plan: intent.plan.to_string(),
            requested_model: intent.requested_model.clone(),
            held_nano: intent.held.nano(),
            started_at_us: intent.started_at.us(),
            streamed: intent.streamed,
        }
    }
}

impl TryFrom<wire::Intent> for Intent {
    type Error = InvalidIntent;

    fn try_from(wire: wire::Intent) -> Result<Self, InvalidIntent> {
        use InvalidIntent as Invalid;
        Ok(Intent {
            request: read_id(&wire.request).map(RequestId::from_u128).map_err(Invalid::at("request"))?,
            org: read_org(&wire.org).map_err(Invalid::at("org"))?,
            key: read_id(&wire.key).map(KeyId::from_u128).map_err(Invalid::at("key"))?,
            budget: read_optional(&wire.budget).map_err(Invalid::at("budget"))?,
            billing: BillingMode::parse(&wire.billing)
                .ok_or_else(|| Invalid::new("billing", format!("`{}` is no billing mode", wire.billing)))?,
            plan: wire.plan.parse().map_err(Invalid::at("plan"))?,
            requested_model: wire.requested_model,
            held: read_amount(wire.held_nano).map_err(Invalid::at("held_nano"))?,
            started_at: Timestamp::from_us(wire.started_at_us),
            streamed: wire.streamed,
        })
    }
}

/// An amount of a record; a negative one would give money away.
fn read_amount(nano: i64) -> Result<Money, String> {
    if nano < 0 { Err(format!("{nano} is below nothing")) } else { Ok(Money::from_nano(nano)) }
}
