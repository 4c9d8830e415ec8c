//! `admin usage`.

use clap::Subcommand;
use proto::admin::{Attempt, GetUsageRequest, ListUsageRequest, Routing, UsageRecord};
use serde_json::{Map, Value, json};

use super::output::or_null;
use super::session::Session;
use super::{Error, Said};

/// Records a call brings at most; more are fetched page by page.
const PAGE: u32 = 5_000;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// An organisation's requests, newest first.
    List {
        #[arg(long)]
        org: String,
        /// Only those that started then or later.
        #[arg(long, value_name = "RFC3339")]
        since: Option<String>,
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// Only this key's.
        #[arg(long)]
        key: Option<String>,
    },
    /// One request and the way it took, by its own id or the answer's.
    Show {
        #[arg(long)]
        org: String,
        id: String,
    },
}

pub async fn run(session: &mut Session, command: &Command) -> Result<Said, Error> {
    match command {
        Command::List { org, since, limit, key } => {
            let request = ListUsageRequest {
                org: org.clone(),
                since: since.clone().unwrap_or_default(),
                key: key.clone().unwrap_or_default(),
                ..ListUsageRequest::default()
            };
            list(session, request, *limit).await
        }
        Command::Show { org, id } => {
            let request = GetUsageRequest { org: org.clone(), id: id.clone() };
            let record = session.usage().get_usage(request).await?.into_inner();
            let mut shown = row(&record);
            if let (Some(fields), Some(routing)) = (shown.as_object_mut(), &record.routing) {
                fields.extend(way(routing));
            }
            Ok(Said::data(shown))
        }
    }
}

async fn list(session: &mut Session, mut request: ListUsageRequest, limit: u32) -> Result<Said, Error> {
    let mut usage = session.usage();
    let (mut rows, mut left) = (Vec::new(), limit);
    while left > 0 {
        request.limit = left.min(PAGE);
        let page = usage.list_usage(request.clone()).await?.into_inner().records;
        let count = u32::try_from(page.len()).unwrap_or(u32::MAX);
        if let Some(last) = page.last() {
            request.before_time = last.started_at.clone();
            request.before_request = last.request_id.clone();
        }
        rows.extend(page.iter().map(row));
        if count < request.limit {
            break;
        }
        left = left.saturating_sub(count);
    }
    Ok(Said::data(Value::Array(rows)))
}

fn row(record: &UsageRecord) -> Value {
    json!({
        "request_id": record.request_id, "attempt": record.attempt, "key": record.key,
        "requested_model": record.requested_model, "model": or_null(&record.model), "provider": or_null(&record.provider),
        "endpoint": or_null(&record.endpoint), "dialect_in": record.dialect_in, "dialect_out": or_null(&record.dialect_out),
        "prompt_tokens": record.prompt_tokens, "completion_tokens": record.completion_tokens,
        "cached_tokens": record.cached_tokens, "reasoning_tokens": record.reasoning_tokens, "cost": record.cost,
        "is_byok": record.is_byok, "outcome": record.outcome, "usage_source": record.usage_source, "status": record.status,
        "started_at": record.started_at, "latency_ms": record.latency_ms, "ttft_ms": record.ttft_ms,
        "streamed": record.streamed, "upstream_id": or_null(&record.upstream_id),
        "finish_reason": or_null(&record.finish_reason), "billing": record.billing, "plan": record.plan,
        "price_version": record.price_version, "proxy": record.proxy, "written_off": record.written_off,
    })
}

/// How it found its endpoint.
fn way(routing: &Routing) -> Map<String, Value> {
    let attempts: Vec<Value> = routing.attempts.iter().map(attempt).collect();
    let fields = [
        ("strategy", json!(routing.strategy)),
        ("candidates", json!(routing.candidates)),
        ("passed_over", json!(routing.passed_over)),
        ("region", or_null(&routing.region)),
        ("attempts", Value::Array(attempts)),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "provider": attempt.provider, "model": attempt.model, "endpoint": attempt.endpoint, "status": attempt.status,
        "code": or_null(&attempt.code), "trigger": or_null(&attempt.trigger), "latency_ms": attempt.latency_ms,
    })
}
