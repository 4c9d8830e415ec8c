//! One request as the books have it, for the organisation that made it: what it was, what it cost, and the way it took. With
//! the controller out of reach this answers 503. Never shows anything of another organisation, nor a word of a provider.

use domain::{
    faults::{Fault, FaultCode},
    usage::{Attempt, UsageRecord},
};
use http::Response;
use serde::Serialize;

use super::{
    account::{Dollars, answer, not_found, unreachable},
    paths,
};
use crate::{
    pipeline::{Outflow, Refusal, Visit},
    purse::Purse,
};

/// `GET generation?id=`.
pub(super) async fn generation(
    visit: &Visit,
    purse: &Purse,
    query: Option<&str>,
) -> Result<Response<Outflow>, Refusal> {
    let id = paths::parameter(query, "id").filter(|id| id.len() <= 256);
    let missing = || Fault::new(FaultCode::InvalidRequest, "The parameter `id` is missing.").param("id");
    let id = id.ok_or_else(missing)?;
    let found = visit.worker.gate.link.queries.generation(purse.org.id, &id).await.map_err(|_| unreachable())?;
    let record = found.ok_or_else(|| not_found("There is no such generation in this organisation."))?;
    Ok(answer(visit, Generation::of(&record)))
}

/// A record as its organisation may see it.
#[derive(Serialize)]
struct Generation<'a> {
    id: String,
    upstream_id: &'a str,
    request_id: String,
    session_id: Option<&'a str>,
    created_at: String,
    model: Option<&'a str>,
    requested_model: &'a str,
    provider_name: Option<&'a str>,
    endpoint_id: Option<&'a str>,
    /// All attempts in order; null where they are not known.
    provider_responses: Option<Vec<ProviderResponse<'a>>>,
    routing: Option<Routing<'a>>,
    api_type: &'static str,
    total_cost: Dollars,
    usage: Dollars,
    upstream_inference_cost: Option<Dollars>,
    cache_discount: Option<Dollars>,
    is_byok: bool,
    tokens_prompt: u64,
    tokens_completion: u64,
    native_tokens_prompt: u64,
    native_tokens_completion: u64,
    native_tokens_reasoning: u64,
    native_tokens_cached: u64,
    latency: Option<u64>,
    generation_time: u64,
    finish_reason: &'a str,
    native_finish_reason: &'a str,
    streamed: bool,
    cancelled: bool,
    outcome: &'static str,
    usage_source: &'static str,
    attempt: u32,
    status: u16,
    key: String,
}

/// One attempt, in the words of other gateways.
#[derive(Serialize)]
struct ProviderResponse<'a> {
    endpoint_id: &'a str,
    provider_name: &'a str,
    model_permaslug: &'a str,
    status: u16,
    /// Milliseconds.
    latency: u64,
    is_byok: bool,
}

/// How the request found its endpoint.
#[derive(Serialize)]
struct Routing<'a> {
    strategy: &'a str,
    /// The region that was preferred.
    region: Option<&'a str>,
    summary: String,
    attempt: u32,
    endpoints: Endpoints,
    attempts: Vec<Step<'a>>,
}

#[derive(Serialize)]
struct Endpoints {
    /// Those that could have served it, and those of them that could not be asked when their turn came.
    candidates: u32,
    passed_over: u32,
}

#[derive(Serialize)]
struct Step<'a> {
    provider: &'a str,
    model: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    code: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    trigger: &'a str,
    latency_ms: u64,
}

impl<'a> Routing<'a> {
    fn of(record: &'a UsageRecord) -> Routing<'a> {
        let trail = &record.trail;
        Routing {
            strategy: trail.strategy(),
            region: Some(trail.region.as_str()).filter(|region| !region.is_empty()),
            summary: summary(record),
            attempt: record.attempt,
            endpoints: Endpoints { candidates: trail.candidates, passed_over: trail.passed_over },
            attempts: record.attempts().map(Step::of).collect(),
        }
    }
}

fn summary(record: &UsageRecord) -> String {
    let (attempt, candidates) = (record.attempt, record.trail.candidates);
    let could = match candidates {
        1 => "1 endpoint could serve the request".to_owned(),
        many => format!("{many} endpoints could serve the request"),
    };
    match (&record.provider, attempt) {
        (Some(provider), _) => format!("{provider} answered at attempt {attempt}; {could}."),
        (None, 1) => format!("Nobody answered in 1 attempt; {could}."),
        (None, _) => format!("Nobody answered in {attempt} attempts; {could}."),
    }
}

impl<'a> Step<'a> {
    fn of(attempt: Attempt<'a>) -> Step<'a> {
        Step {
            provider: attempt.endpoint.provider(),
            model: attempt.endpoint.model(),
            status: attempt.status,
            code: attempt.code,
            trigger: attempt.trigger,
            latency_ms: attempt.ms,
        }
    }
}

impl<'a> ProviderResponse<'a> {
    fn of(attempt: Attempt<'a>, is_byok: bool) -> ProviderResponse<'a> {
        ProviderResponse {
            endpoint_id: attempt.endpoint.as_str(),
            provider_name: attempt.endpoint.provider(),
            model_permaslug: attempt.endpoint.model(),
            status: attempt.status,
            latency: attempt.ms,
            is_byok,
        }
    }
}

impl<'a> Generation<'a> {
    fn of(record: &'a UsageRecord) -> Generation<'a> {
        use domain::usage::Outcome::{ClientLeft, ClientLeftEarly, SlowReader};
        let (usage, is_known) = (&record.usage, record.trail.is_known());
        let responses = record.attempts().map(|attempt| ProviderResponse::of(attempt, record.is_byok));
        Generation {
            id: record.request.to_string(),
            upstream_id: &record.upstream_id,
            request_id: record.request.to_string(),
            session_id: None,
            created_at: record.started_at.to_string(),
            model: record.model.as_ref().map(|model| model.as_str()),
            requested_model: &record.requested_model,
            provider_name: record.provider.as_ref().map(|provider| provider.as_str()),
            endpoint_id: record.endpoint.as_ref().map(|endpoint| endpoint.as_str()),
            provider_responses: is_known.then(|| responses.collect()),
            routing: is_known.then(|| Routing::of(record)),
            api_type: api_type(record),
            total_cost: Dollars(record.cost),
            usage: Dollars(record.cost),
            upstream_inference_cost: None,
            cache_discount: None,
            is_byok: record.is_byok,
            tokens_prompt: usage.prompt_total(),
            tokens_completion: usage.completion_total(),
            native_tokens_prompt: usage.prompt_total(),
            native_tokens_completion: usage.completion_total(),
            native_tokens_reasoning: usage.reasoning,
            native_tokens_cached: usage.cache_read,
            latency: record.ttft_ms,
            generation_time: record.latency_ms,
            finish_reason: &record.finish_reason,
            native_finish_reason: &record.finish_reason,
            streamed: record.streamed,
            cancelled: matches!(record.outcome, ClientLeft | ClientLeftEarly | SlowReader),
            outcome: record.outcome.name(),
            usage_source: record.usage_source.name(),
            attempt: record.attempt,
            status: record.status,
            key: record.key.to_string(),
        }
    }
}

/// What was asked for. Conversations are one kind, in whatever family they were held.
fn api_type(record: &UsageRecord) -> &'static str {
    match &*record.dialect_in {
        "openai-completions" => "completions",
        "openai-embeddings" | "gemini-embed" => "embeddings",
        "openai-images" => "images",
        "openai-moderations" => "moderations",
        "rerank" => "rerank",
        "anthropic-count" | "gemini-count" => "count_tokens",
        "openai-audio" => "audio",
        _ => "chat_completions",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_older_record_no_way_is_made_up() {
        let sent = proto::sync::UsageRecord {
            request: vec![1; 16].into(),
            org: vec![2; 16].into(),
            key: vec![3; 16].into(),
            billing: "prepaid".to_owned(),
            plan: "standard".to_owned(),
            model: "a/b".to_owned(),
            provider: "c".to_owned(),
            endpoint: "a/b@c".to_owned(),
            attempt: 2,
            usage_source: "none".to_owned(),
            outcome: "finished".to_owned(),
            ..Default::default()
        };
        let record = UsageRecord::try_from(sent).unwrap();
        let told = serde_json::to_value(Generation::of(&record)).unwrap();
        assert_eq!(
            (&told["routing"], &told["provider_responses"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
        assert_eq!((record.attempts().count(), &told["attempt"]), (0, &serde_json::json!(2)));
    }
}
