//! Books a proxy's report: records above the high-water mark become rows and charges, and the mark moves, in one
//! transaction. A replay finds nothing above the mark and changes nothing.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use domain::audit::Actor;
use domain::ids::{BootEpoch, OrgId, ProxyId};
use domain::money::Money;
use domain::pools::PoolId;
use domain::usage::{Outcome, TokenUsage, UsageRecord};
use link::reports::{Accept, MOST_COST, accept};
use sha2::{Digest as _, Sha256};
use store::{Posting, Whose};

use crate::app::App;
use crate::error::{Error, Result};

/// One report.
pub struct Report {
    pub proxy: ProxyId,
    pub epoch: BootEpoch,
    /// Sequence of the first record.
    pub first_sequence: u64,
    pub records: Vec<UsageRecord>,
    /// Nothing more will come of this epoch.
    pub drained: bool,
}

/// How often a transaction that others got in the way of is tried.
const TRIES: usize = 3;
/// The most that is written off for one request, in nano-USD: a thousand dollars. All organisations share the accounts
/// that these sums go to, and no prepaid credits bound them.
const MOST_WRITTEN_OFF: i64 = 1_000 * 1_000_000_000;
/// The most units of one kind that one request is said to have used.
const MOST_UNITS: u64 = 1_000_000_000_000;

/// Books a report and says up to which sequence everything of this epoch is booked.
pub async fn report(app: &App, mut report: Report) -> Result<u64> {
    match patiently(app, &mut report).await {
        Err(error) if is_of_the_records(&error) => in_parts(app, report).await,
        done => done,
    }
}

async fn patiently(app: &App, report: &mut Report) -> Result<u64> {
    for _ in 1..TRIES {
        match book(app, report).await {
            Err(Error::Store(error)) if error.may_retry() => {}
            done => return done,
        }
    }
    book(app, report).await
}

/// Whether it is about what is booked, and not about the database.
fn is_of_the_records(error: &Error) -> bool {
    matches!(error, Error::Store(error) if !matches!(error, store::Error::Unavailable { .. }))
}

/// Books a report that cannot be booked as a whole, part by part. A record that cannot be booked by itself is booked
/// without its amounts: it must not stop the ones behind it, which would be everything that this proxy ever reports.
async fn in_parts(app: &App, report: Report) -> Result<u64> {
    let (mut parts, mut booked) = (vec![report], 0);
    while let Some(mut part) = parts.pop() {
        match patiently(app, &mut part).await {
            Ok(mark) => booked = mark,
            Err(error) if !is_of_the_records(&error) => return Err(error),
            Err(error) => match part.records.as_slice() {
                [record] if !part.drained => {
                    if (record.cost, record.written_off) == (Money::ZERO, Money::ZERO) {
                        return Err(error);
                    }
                    let (request, error): (_, &dyn std::error::Error) = (record.request, &error);
                    tracing::error!(%request, error, "a usage record whose amounts cannot be booked was booked without them");
                    let record = UsageRecord { cost: Money::ZERO, written_off: Money::ZERO, ..record.clone() };
                    parts.push(Report { records: vec![record], ..part });
                }
                [] => return Err(error),
                _ => parts.extend(halves(part)),
            },
        }
    }
    Ok(booked)
}

/// A report as smaller ones, the first one last. The end of an epoch is told by itself, after everything.
fn halves(mut report: Report) -> Vec<Report> {
    let part = |first_sequence: u64, records: Vec<UsageRecord>, drained: bool| {
        let (proxy, epoch) = (report.proxy.clone(), report.epoch);
        Report { proxy, epoch, first_sequence, records, drained }
    };
    let after = |count: usize| report.first_sequence.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    let (whole, half) = (report.records.len(), report.records.len() / 2);
    let (middle, end) = (after(half), after(whole));
    let drained = report.drained.then(|| part(end, Vec::new(), true));
    let rest = report.records.split_off(half);
    let (first, second) = (part(report.first_sequence, report.records.clone(), false), part(middle, rest, false));
    drained.into_iter().chain([second, first]).filter(|part| part.drained || !part.records.is_empty()).collect()
}

async fn book(app: &App, report: &mut Report) -> Result<u64> {
    let mut posting = app.store.post(Actor::Task("ingest"), app.now()).await?;
    let mark = posting.mark(&report.proxy, report.epoch).await?;
    let skip = match accept(mark.last_sequence, report.first_sequence, report.records.len()) {
        Accept::Take { skip } => skip,
        Accept::Gap { wanted } => {
            tracing::warn!(proxy = %report.proxy, wanted, got = report.first_sequence, "a report left a gap and was not booked");
            return Ok(mark.last_sequence);
        }
    };
    let records = report.records.get_mut(skip..).unwrap_or_default();
    records.iter_mut().for_each(make_sane);
    let records = &*records;
    let last = mark.last_sequence + u64::try_from(records.len()).unwrap_or(0);
    let closing =
        if report.drained { open_pools(&mut posting, &report.proxy, report.epoch).await? } else { Vec::new() };
    let charges = charges(records);
    let pools: BTreeSet<PoolId> = charges.keys().chain(&closing).copied().collect();
    let pools: Vec<PoolId> = pools.into_iter().collect();
    let known: BTreeSet<PoolId> =
        posting.pools(&pools, Whose::Only(&report.proxy, report.epoch)).await?.iter().map(|pool| pool.id).collect();
    let records = with_budgets_of(records, &known);
    if !records.is_empty() {
        posting.usage(mark.last_sequence + 1, &records).await?;
        posting.advance(last, chain(&mark.digest, &records))?;
    }
    for (pool, amount) in charges.iter().filter(|(pool, amount)| known.contains(pool) && **amount > Money::ZERO) {
        posting.charge(*pool, &report.proxy, report.epoch, *amount)?;
    }
    for ((org, why), amount) in
        write_offs(&records).into_iter().filter(|((org, _), _)| known.contains(&PoolId::Credits(*org)))
    {
        posting.write_off(org, why, amount)?;
    }
    for pool in closing.iter().filter(|pool| known.contains(pool)) {
        posting.release(*pool, &report.proxy, report.epoch)?;
    }
    posting.renew();
    if report.drained {
        posting.drained();
    }
    posting.commit().await?;
    app.metrics.booked(records.len());
    if !closing.is_empty() {
        app.fleet.pool_event(&closing);
    }
    Ok(last)
}

async fn open_pools(posting: &mut Posting, proxy: &ProxyId, epoch: BootEpoch) -> Result<Vec<PoolId>> {
    let leases = store::pools::leases_of(&mut *posting, proxy, Some(epoch)).await?;
    Ok(leases.into_iter().map(|lease| lease.pool).collect())
}

/// Records whose budgets nobody knows are kept without them.
fn with_budgets_of<'a>(records: &'a [UsageRecord], known: &BTreeSet<PoolId>) -> Cow<'a, [UsageRecord]> {
    let is_known = |pool: &PoolId| known.contains(pool);
    if records.iter().all(|record| record.budget.as_ref().is_none_or(is_known)) {
        return Cow::Borrowed(records);
    }
    let budget = |record: &UsageRecord| record.budget.filter(is_known);
    records.iter().map(|record| UsageRecord { budget: budget(record), ..record.clone() }).collect()
}

/// A record whose amounts cannot be is kept, and charges nothing or no more than anything can cost: it must not stop the
/// ones behind it.
fn make_sane(record: &mut UsageRecord) {
    record.budget = record.budget.filter(|pool| matches!(pool, PoolId::Budget(key, _) if *key == record.key));
    let odd = record.cost < Money::ZERO
        || record.written_off < Money::ZERO
        || (record.cost > Money::ZERO && !record.outcome.is_charged());
    if odd {
        tracing::error!(request = %record.request, "a usage record with impossible amounts was booked without a charge");
        record.cost = Money::ZERO;
        record.written_off = Money::ZERO;
    }
    let (cost, written_off, usage) = (record.cost, record.written_off, record.usage);
    record.cost = cost.min(Money::from_nano(MOST_COST));
    record.written_off = written_off.min(Money::from_nano(MOST_WRITTEN_OFF));
    record.usage = usage_within(usage, MOST_UNITS);
    if (record.cost, record.written_off, record.usage) != (cost, written_off, usage) {
        tracing::error!(
            request = %record.request, provider = record.provider.as_ref().map(ToString::to_string),
            cost_nano = cost.nano(), written_off_nano = written_off.nano(), ?usage,
            "a usage record with absurd amounts was cut to what can be booked"
        );
    }
}

fn usage_within(usage: TokenUsage, most: u64) -> TokenUsage {
    TokenUsage {
        prompt: usage.prompt.min(most),
        cache_read: usage.cache_read.min(most),
        cache_write: usage.cache_write.min(most),
        cache_write_1h: usage.cache_write_1h.min(most),
        completion: usage.completion.min(most),
        reasoning: usage.reasoning.min(most),
        audio_input: usage.audio_input.min(most),
        audio_output: usage.audio_output.min(most),
        images: usage.images.min(most),
        web_searches: usage.web_searches.min(most),
        characters: usage.characters.min(most),
    }
}

/// A sum that does not fit: the posting refuses it, and the report is booked in parts.
const MOST: Money = Money::from_nano(i64::MAX);

fn charges(records: &[UsageRecord]) -> BTreeMap<PoolId, Money> {
    let mut sums: BTreeMap<PoolId, Money> = BTreeMap::new();
    for record in records {
        for pool in [Some(PoolId::Credits(record.org)), record.budget].into_iter().flatten() {
            let sum = sums.entry(pool).or_default();
            *sum = sum.plus(record.cost).unwrap_or(MOST);
        }
    }
    sums
}

fn write_offs(records: &[UsageRecord]) -> BTreeMap<(OrgId, &'static str), Money> {
    let mut sums: BTreeMap<(OrgId, &'static str), Money> = BTreeMap::new();
    for record in records.iter().filter(|record| record.written_off > Money::ZERO) {
        let why = match record.outcome {
            Outcome::AbortedByGateway => "crash",
            Outcome::ShutDown => "shutdown",
            _ => "error-free",
        };
        let sum = sums.entry((record.org, why)).or_default();
        *sum = sum.plus(record.written_off).unwrap_or(MOST);
    }
    sums
}

/// A running digest over everything booked of an epoch, so that silent divergence shows.
fn chain(before: &[u8; 32], records: &[UsageRecord]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(before);
    for record in records {
        hash.update(record.request.to_u128().to_be_bytes());
        hash.update(record.cost.nano().to_be_bytes());
    }
    hash.finalize().into()
}
