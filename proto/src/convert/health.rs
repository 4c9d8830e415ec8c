//! What proxies meet at providers, and what comes of it.

use domain::ids::{EndpointId, OrgId, ProviderId};
use link::health::Advice;
use link::health::buckets::{BUCKETS, Histogram};
use link::health::coolings::{Cooling, Pool};
use link::health::view::{Measured, Met, State};

use super::{id_bytes, invalid, read_id};
use crate::sync as wire;

invalid!(
    /// A pool that cools cannot be understood.
    InvalidCooling,
    "Cooling"
);
invalid!(
    /// What a proxy met cannot be understood.
    InvalidRouteObservation,
    "RouteObservation"
);
invalid!(
    /// Advice cannot be understood.
    InvalidAdvice,
    "Advice"
);

/// Longest name of a model that is taken, in bytes.
const NAME_LONGEST: usize = 512;
/// Most organisations that are taken of one endpoint.
const MOST_ORGS: usize = 8;

/// Writes what cools.
pub fn write_coolings(coolings: &[Cooling]) -> Vec<wire::Cooling> {
    let write = |(pool, left_ms): &Cooling| wire::Cooling {
        provider: pool.provider.to_string(),
        credential_version: pool.credential_version,
        upstream_model: pool.upstream_model.clone(),
        left_ms: *left_ms,
    };
    coolings.iter().map(write).collect()
}

/// Reads what cools.
///
/// # Errors
/// When a pool in it cannot be understood.
pub fn read_coolings(coolings: &[wire::Cooling]) -> Result<Vec<Cooling>, InvalidCooling> {
    coolings.iter().map(read_cooling).collect()
}

fn read_cooling(cooling: &wire::Cooling) -> Result<Cooling, InvalidCooling> {
    let provider: ProviderId = cooling.provider.parse().map_err(InvalidCooling::at("provider"))?;
    if cooling.upstream_model.len() > NAME_LONGEST {
        return Err(InvalidCooling::new("upstream_model", &cooling.upstream_model));
    }
    let upstream_model = cooling.upstream_model.clone();
    Ok((Pool { provider, credential_version: cooling.credential_version, upstream_model }, cooling.left_ms))
}

/// Writes what a proxy met.
pub fn write_met(met: &[(EndpointId, Met)]) -> Vec<wire::RouteObservation> {
    let write = |(endpoint, met): &(EndpointId, Met)| wire::RouteObservation {
        endpoint: endpoint.to_string(),
        attempts: met.attempts,
        failures: met.failures,
        overloads: met.overloads,
        shut: u32::try_from(met.shut).unwrap_or(u32::MAX),
        orgs: met
            .orgs
            .iter()
            .map(|(org, failures)| wire::OrgFailures { org: id_bytes(org.to_u128()), failures: *failures })
            .collect(),
        org_count: met.org_count,
        latency: write_histogram(&met.latency),
        throughput: write_histogram(&met.throughput),
    };
    met.iter().map(write).collect()
}

fn write_histogram(histogram: &Histogram) -> Option<wire::Histogram> {
    let (buckets, counts) =
        histogram.iter().map(|(bucket, count)| (u32::try_from(bucket).unwrap_or(u32::MAX), count)).unzip();
    (!histogram.is_empty()).then_some(wire::Histogram { buckets, counts })
}

/// Reads what a proxy met.
///
/// # Errors
/// When one endpoint's part cannot be understood.
pub fn read_met(routes: &[wire::RouteObservation]) -> Result<Vec<(EndpointId, Met)>, InvalidRouteObservation> {
    routes.iter().map(read_route).collect()
}

fn read_route(route: &wire::RouteObservation) -> Result<(EndpointId, Met), InvalidRouteObservation> {
    let endpoint = route.endpoint.parse().map_err(InvalidRouteObservation::at("endpoint"))?;
    let org = |row: &wire::OrgFailures| {
        let id = read_id(&row.org).map_err(InvalidRouteObservation::at("orgs"))?;
        Ok((OrgId::from_u128(id), row.failures))
    };
    let met = Met {
        attempts: route.attempts,
        failures: route.failures.min(route.attempts),
        overloads: route.overloads.min(route.attempts),
        shut: u64::from(route.shut.min(100)),
        orgs: route.orgs.iter().take(MOST_ORGS).map(org).collect::<Result<_, _>>()?,
        org_count: route.org_count,
        latency: read_histogram(route.latency.as_ref()),
        throughput: read_histogram(route.throughput.as_ref()),
    };
    Ok((endpoint, met))
}

fn read_histogram(histogram: Option<&wire::Histogram>) -> Histogram {
    let mut read = Histogram::default();
    let Some(histogram) = histogram else { return read };
    for (bucket, count) in histogram.buckets.iter().zip(&histogram.counts).take(BUCKETS) {
        read.add(usize::try_from(*bucket).unwrap_or(usize::MAX), *count);
    }
    read
}

/// Writes advice.
pub fn write_advice(advice: &Advice) -> wire::Advice {
    let state = |(endpoint, state): &(EndpointId, State)| wire::EndpointAdvice {
        endpoint: endpoint.to_string(),
        state: state.name().to_owned(),
    };
    let (endpoints, ttl_ms) = match &advice.endpoints {
        Some((endpoints, ttl_ms)) => (endpoints.iter().map(state).collect(), *ttl_ms),
        None => (Vec::new(), 0),
    };
    let measured = |measured: &Measured| wire::EndpointMeasures {
        endpoint: measured.endpoint.to_string(),
        uptime: measured.uptime.and_then(|uptime| u32::try_from(uptime).ok()),
        latency: measured.latency.map(Vec::from).unwrap_or_default(),
        throughput: measured.throughput.map(Vec::from).unwrap_or_default(),
    };
    wire::Advice {
        ttl_ms,
        endpoints,
        coolings: write_coolings(&advice.coolings),
        measures: advice.measures.iter().map(measured).collect(),
    }
}

/// Reads advice. A state that is not known here is none.
///
/// # Errors
/// When an id in it cannot be understood.
pub fn read_advice(advice: &wire::Advice) -> Result<Advice, InvalidAdvice> {
    let endpoint = |text: &str| text.parse::<EndpointId>().map_err(InvalidAdvice::at("endpoint"));
    let state =
        |row: &wire::EndpointAdvice| Ok((endpoint(&row.endpoint)?, State::parse(&row.state).unwrap_or_default()));
    let measured = |row: &wire::EndpointMeasures| {
        Ok(Measured {
            endpoint: endpoint(&row.endpoint)?,
            uptime: row.uptime.map(u64::from),
            latency: row.latency.clone().try_into().ok(),
            throughput: row.throughput.clone().try_into().ok(),
        })
    };
    let endpoints = advice.endpoints.iter().map(state).collect::<Result<_, _>>()?;
    Ok(Advice {
        endpoints: (advice.ttl_ms > 0).then_some((endpoints, advice.ttl_ms)),
        coolings: read_coolings(&advice.coolings).map_err(InvalidAdvice::at("coolings"))?,
        measures: advice.measures.iter().map(measured).collect::<Result<_, _>>()?,
    })
}
