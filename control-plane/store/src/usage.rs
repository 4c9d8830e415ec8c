//! Usage records: one row per finished request, and a sum per key and day that outlives the rows.
//!
//! Rows come in through a [`crate::Posting`], together with the money they cost. No prompt, no answer, no secret.

use std::collections::BTreeMap;
use std::ops::Deref;

use domain::ids::{BootEpoch, KeyId, OrgId, OrgScope, ProxyId, RequestId};
use domain::limits::Reset;
use domain::money::Money;
use domain::orgs::BillingMode;
use domain::time::Timestamp;
use domain::usage::{Outcome, TokenUsage, Trail, UsageRecord, UsageSource};

use crate::edit::within;
use crate::engine::{Arg, Bulk, Cells, Read, Row, Texts, Tx, args};
use crate::error::{Error, Result};
use crate::keys;

/// A usage record as it is booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    pub record: UsageRecord,
    pub proxy: ProxyId,
    pub epoch: BootEpoch,
    pub sequence: u64,
    pub recorded_at: Timestamp,
}

impl Deref for Booked {
    type Target = UsageRecord;
    fn deref(&self) -> &UsageRecord {
        &self.record
    }
}

/// Which records.
#[derive(Debug, Clone, Copy)]
pub struct Query {
    pub org: OrgId,
    pub key: Option<KeyId>,
    /// Started at or after.
    pub since: Option<Timestamp>,
    /// Older than this record.
    pub before: Option<(Timestamp, RequestId)>,
    pub limit: u32,
}

/// What a key spent, in the present periods of UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    pub total: Money,
    pub daily: Money,
    pub weekly: Money,
    pub monthly: Money,
}

macro_rules! columns {
    () => {
        "proxy, epoch, sequence, recorded_at, request_id, org_id, key_id, budget, billing, plan, requested_model, model, \
         provider, endpoint, dialect_in, dialect_out, attempt, upstream_id, prompt, cache_read, cache_write, \
         cache_write_1h, completion, reasoning, audio_input, audio_output, images, web_searches, characters, usage_source, cost, \
         held, written_off, price_version, is_byok, outcome, finish_reason, status, streamed, started_at, latency_ms, \
         ttft_ms, trail"
    };
}

static INSERT: Bulk = Bulk::new(43, concat!("insert into usage (", columns!(), ") values"), "");
static ADD_DAYS: Bulk = Bulk::new(
    5,
    "insert into usage_days (key_id, day, org_id, requests, cost) values",
    "on conflict (key_id, day) do update set requests = usage_days.requests + excluded.requests, \
           cost = usage_days.cost + excluded.cost",
);
const LIST: &str = concat!(
    "select ",
    columns!(),
    " from usage where org_id = $1 and started_at >= $2 and (started_at, request_id) < ($3, $4) \
     order by started_at desc, request_id desc limit $5"
);
const LIST_KEY: &str = concat!(
    "select ",
    columns!(),
    " from usage where key_id = $6 and org_id = $1 and started_at >= $2 and (started_at, request_id) < ($3, $4) \
     order by started_at desc, request_id desc limit $5"
);
const NEXT_ORG: &str = "select min(org_id) from usage where org_id > $1";
const FIND_REQUEST: &str = concat!("select ", columns!(), " from usage where request_id = $1 and org_id = $2 limit 1");
const FIND_UPSTREAM: &str = concat!(
    "select ",
    columns!(),
    " from usage where upstream_id = $1 and upstream_id <> '' and org_id = $2 order by started_at desc limit 1"
);
const SPENT: &str = "select cast(coalesce(sum(cost), 0) as bigint), \
    cast(coalesce(sum(case when day >= $2 then cost else 0 end), 0) as bigint), \
    cast(coalesce(sum(case when day >= $3 then cost else 0 end), 0) as bigint), \
    cast(coalesce(sum(case when day >= $4 then cost else 0 end), 0) as bigint) \
    from usage_days where key_id = $1";

const DAY_SECONDS: i64 = 86_400;

fn read(row: &Row) -> Result<Booked> {
    let mut cells = row.cells();
    let (proxy, epoch, sequence, recorded_at) = (cells.take()?, cells.take()?, cells.take()?, cells.take()?);
    let record = UsageRecord {
        request: cells.take()?,
        org: cells.take()?,
        key: cells.take()?,
        budget: cells.maybe()?,
        billing: cells.word(BillingMode::parse)?,
        plan: cells.take()?,
        requested_model: cells.take()?,
        model: cells.maybe()?,
        provider: cells.maybe()?,
        endpoint: cells.maybe()?,
        dialect_in: cells.take::<String>()?.into(),
        dialect_out: cells.take::<String>()?.into(),
        attempt: cells.take()?,
        upstream_id: cells.take()?,
        usage: read_tokens(&mut cells)?,
        usage_source: cells.word(UsageSource::parse)?,
        cost: cells.take()?,
        held: cells.take()?,
        written_off: cells.take()?,
        price_version: cells.take()?,
        is_byok: cells.take()?,
        outcome: cells.word(Outcome::parse)?,
        finish_reason: cells.take::<String>()?.into(),
        status: cells.take()?,
        streamed: cells.take()?,
        started_at: cells.take()?,
        latency_ms: cells.take()?,
        ttft_ms: cells.maybe()?,
        trail: read_trail(&cells.take::<String>()?)?,
    };
    Ok(Booked { record, proxy, epoch, sequence, recorded_at })
}

fn read_tokens(cells: &mut Cells<'_>) -> Result<TokenUsage> {
    Ok(TokenUsage {
        prompt: cells.take()?,
        cache_read: cells.take()?,
        cache_write: cells.take()?,
        cache_write_1h: cells.take()?,
        completion: cells.take()?,
        reasoning: cells.take()?,
        audio_input: cells.take()?,
        audio_output: cells.take()?,
        images: cells.take()?,
        web_searches: cells.take()?,
        characters: cells.take()?,
    })
}

fn read_trail(text: &str) -> Result<Trail> {
    match text {
        "" => Ok(Trail::default()),
        text => serde_json::from_str(text).map_err(|why| Error::Corrupt { what: why.to_string() }),
    }
}

/// A way as it is kept. Most are the same few.
fn trail(trail: &Trail, texts: &mut Texts) -> Arg {
    if *trail == Trail::default() {
        return texts.arg("");
    }
    // Numbers, words and lists: it can always be written.
    let text = serde_json::to_string(trail).unwrap_or_default();
    if trail.missed().is_empty() { texts.arg(&text) } else { Arg::from(text) }
}

fn row(origin: &Origin<'_>, sequence: u64, record: &UsageRecord, texts: &mut Texts) -> Vec<Arg> {
    let tokens = &record.usage;
    args![
        origin.proxy,
        origin.epoch,
        sequence,
        origin.now,
        record.request,
        texts.arg(record.org.write_text(&mut [0; OrgId::LEN])),
        texts.arg(record.key.write_text(&mut [0; KeyId::LEN])),
        record.budget,
        texts.arg(record.billing.name()),
        &record.plan,
        texts.arg(&record.requested_model),
        &record.model,
        &record.provider,
        &record.endpoint,
        texts.arg(&record.dialect_in),
        texts.arg(&record.dialect_out),
        record.attempt,
        record.upstream_id.as_str(),
        tokens.prompt,
        tokens.cache_read,
        tokens.cache_write,
        tokens.cache_write_1h,
        tokens.completion,
        tokens.reasoning,
        tokens.audio_input,
        tokens.audio_output,
        tokens.images,
        tokens.web_searches,
        tokens.characters,
        texts.arg(record.usage_source.name()),
        record.cost,
        record.held,
        record.written_off,
        record.price_version,
        record.is_byok,
        texts.arg(record.outcome.name()),
        texts.arg(&record.finish_reason),
        record.status,
        record.streamed,
        record.started_at,
        record.latency_ms,
        record.ttft_ms,
        trail(&record.trail, texts),
    ]
}

/// What the rows of one report have in common.
struct Origin<'a> {
    proxy: &'a ProxyId,
    epoch: BootEpoch,
    now: Timestamp,
}

/// What records add to each key's days.
pub(crate) type Days = BTreeMap<(KeyId, i64), Day>;

/// What one key used in one day of UTC.
pub(crate) struct Day {
    org: OrgId,
    requests: i64,
    cost: Money,
}

/// Adds records, the first of them under `first_sequence`.
pub(crate) async fn insert(
    tx: &mut Tx,
    proxy: &ProxyId,
    epoch: BootEpoch,
    first_sequence: u64,
    now: Timestamp,
    records: &[UsageRecord],
) -> Result<()> {
    let (origin, mut texts) = (Origin { proxy, epoch, now }, Texts::default());
    // A statement's rows are made when its turn comes: those of a whole report would fall out of the processor's cache.
    for (first, some) in (first_sequence..).step_by(Bulk::ROWS).zip(records.chunks(Bulk::ROWS)) {
        let rows = (first..).zip(some).map(|(sequence, record)| row(&origin, sequence, record, &mut texts)).collect();
        INSERT.run(tx, rows).await.map_err(|error| error.naming("usage record"))?;
    }
    Ok(())
}

/// Sums records up by key and day. A sum that does not fit stops at the end: what was used is written all the same.
pub(crate) fn count(days: &mut Days, records: &[UsageRecord]) {
    for record in records {
        let day = record.started_at.seconds().div_euclid(DAY_SECONDS);
        let sum = days.entry((record.key, day)).or_insert(Day { org: record.org, requests: 0, cost: Money::ZERO });
        sum.requests += 1;
        sum.cost = Money::from_nano(sum.cost.nano().saturating_add(record.cost.nano()));
    }
}

/// Adds what was summed up to the days' rows.
pub(crate) async fn add_days(tx: &mut Tx, days: &Days) -> Result<()> {
    let rows = days.iter().map(|((key, day), sum)| args![key, day, sum.org, sum.requests, sum.cost]);
    let rows = rows.collect();
    ADD_DAYS.run(tx, rows).await
}

/// An organisation's records, newest first.
pub async fn list(read_from: impl Into<Read<'_>>, scope: OrgScope, query: &Query) -> Result<Vec<Booked>> {
    within(scope, query.org, "organisation")?;
    let since = query.since.unwrap_or(Timestamp::from_us(i64::MIN));
    let (time, request) = match query.before {
        Some((time, request)) => (time, request.to_string()),
        None => (Timestamp::from_us(i64::MAX), String::new()),
    };
    let mut values = args![query.org, since, time, request, query.limit];
    let mut from = read_from.into();
    let rows = match query.key {
        Some(key) => {
            values.push(Arg::from(key));
            from.all(LIST_KEY, values).await?
        }
        None => from.all(LIST, values).await?,
    };
    rows.iter().map(read).collect()
}

/// The next organisation that has records, by the order of ids.
pub async fn next_org(read_from: impl Into<Read<'_>>, scope: OrgScope, after: Option<OrgId>) -> Result<Option<OrgId>> {
    if let Some(own) = scope.org() {
        return Ok(after.is_none().then_some(own));
    }
    let after = after.map_or(String::new(), |id| id.to_string());
    let row = read_from.into().one(NEXT_ORG, args![after]).await?.ok_or(Error::NotFound { what: "organisation" })?;
    row.cells().maybe()
}

/// The record of a request, by its own id or by the answer's id at the provider.
pub async fn find(read_from: impl Into<Read<'_>>, scope: OrgScope, org: OrgId, id: &str) -> Result<Option<Booked>> {
    within(scope, org, "organisation")?;
    let text = if id.parse::<RequestId>().is_ok() { FIND_REQUEST } else { FIND_UPSTREAM };
    read_from.into().one(text, args![id, org]).await?.as_ref().map(read).transpose()
}

/// What a key spent in all, and in the present day, week and month.
pub async fn spent(read_from: impl Into<Read<'_>>, scope: OrgScope, key: KeyId, now: Timestamp) -> Result<Spent> {
    let mut from = read_from.into();
    keys::load_from(&mut from, scope, key).await?;
    let day = |reset: Reset| reset.period(now).0.div_euclid(DAY_SECONDS);
    let values = args![key, day(Reset::Daily), day(Reset::Weekly), day(Reset::Monthly)];
    let row = from.one(SPENT, values).await?.ok_or(Error::NotFound { what: "sum" })?;
    let mut cells = row.cells();
    Ok(Spent { total: cells.take()?, daily: cells.take()?, weekly: cells.take()?, monthly: cells.take()? })
}
