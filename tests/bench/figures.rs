//! What is measured, and the bars: two tables that the runner fills, the report prints and the JSON file spells out.
//! A new figure is a variant and a line here, and the step that fills it.

use std::collections::BTreeMap;

use serde::Serialize;

/// One measured quantity of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    RequestCpuUs,
    RequestKernelUs,
    RequestControlUs,
    RequestsPerSecond,
    ClosedP50Us,
    RateP50Us,
    RateP95Us,
    RateAddedP50Us,
    RateAddedP95Us,
    RateCpuUs,
    FirstChunkP50Us,
    FirstChunkAddedP50Us,
    ChunkCpuUs,
    ChunksPerSecond,
    TransitP50Us,
    TransitP95Us,
    LargeCpuUs,
    LargePerSecond,
    IdleMb,
    StreamKb,
    StreamGapP99Ms,
    StreamGapMaxMs,
    SlowP50Us,
    SlowAddedP50Us,
    SlowP99Us,
    SlowLateMs,
    SlowCpuUs,
    SlowBroken,
    FamilyRequest,
    FamilyChunk,
    CrossRequest,
    CrossChunk,
    ColdReadyMs,
    ColdWholeUs,
    ColdLeaseUs,
    ColdConnectUs,
    ColdOwnUs,
    ColdWarmUs,
    ColdOverWarm,
    ScaleFetchMs,
    ScaleFetchedMb,
    ScalePeakMb,
    ScaleReadyMs,
    ScaleCachedMb,
    ScaleDigestUs,
    ScaleLookupUs,
    ScaleManyCpuUs,
    ScaleFewCpuUs,
    ScaleAfterMb,
    AfterMb,
    Failed,
}

/// What one target showed in one round.
pub type Values = BTreeMap<Figure, f64>;

/// How a figure is shown.
pub struct Shown {
    pub figure: Figure,
    pub title: &'static str,
    pub decimals: usize,
}

const fn shown(figure: Figure, title: &'static str, decimals: usize) -> Shown {
    Shown { figure, title, decimals }
}

pub static FIGURES: &[Shown] = &[
    shown(Figure::RequestCpuUs, "CPU per request, us", 1),
    shown(Figure::RequestKernelUs, "  of which kernel, us", 1),
    shown(Figure::RequestControlUs, "  beside it, control plane, us", 1),
    shown(Figure::RequestsPerSecond, "requests/s, 32 connections", 0),
    shown(Figure::ClosedP50Us, "latency p50, 32 connections, us", 0),
    shown(Figure::RateP50Us, "latency p50 at 200/s, us", 0),
    shown(Figure::RateP95Us, "latency p95 at 200/s, us", 0),
    shown(Figure::RateAddedP50Us, "added p50 at 200/s, us", 0),
    shown(Figure::RateAddedP95Us, "added p95 at 200/s, us", 0),
    shown(Figure::RateCpuUs, "CPU per request at 200/s, us", 1),
    shown(Figure::FirstChunkP50Us, "first chunk p50, us", 0),
    shown(Figure::FirstChunkAddedP50Us, "added to the first chunk p50, us", 0),
    shown(Figure::ChunkCpuUs, "CPU per chunk, 50 streams, us", 1),
    shown(Figure::ChunksPerSecond, "chunks/s, 50 streams", 0),
    shown(Figure::TransitP50Us, "chunk on its way p50, us", 0),
    shown(Figure::TransitP95Us, "chunk on its way p95, us", 0),
    shown(Figure::LargeCpuUs, "CPU per 100 kB prompt, us", 1),
    shown(Figure::LargePerSecond, "100 kB prompts/s", 0),
    shown(Figure::IdleMb, "memory idle, MB", 1),
    shown(Figure::StreamKb, "memory per idle open stream, kB", 1),
    shown(Figure::StreamGapP99Ms, "late chunk p99, idle streams, ms", 1),
    shown(Figure::StreamGapMaxMs, "latest chunk, idle streams, ms", 1),
    shown(Figure::SlowP50Us, "slow streams, chunk on its way p50, us", 0),
    shown(Figure::SlowAddedP50Us, "  of which added, us", 0),
    shown(Figure::SlowP99Us, "slow streams, chunk on its way p99, us", 0),
    shown(Figure::SlowLateMs, "slow streams, latest chunk, ms", 1),
    shown(Figure::SlowCpuUs, "slow streams, CPU per chunk, us", 1),
    shown(Figure::SlowBroken, "slow streams broken", 0),
    shown(Figure::FamilyRequest, "worst family, request / bare proxy", 2),
    shown(Figure::FamilyChunk, "worst family, chunk / bare proxy", 2),
    shown(Figure::CrossRequest, "worst translation, request / same family", 2),
    shown(Figure::CrossChunk, "worst translation, chunk / same family", 2),
    shown(Figure::ColdReadyMs, "start to ready, ms", 0),
    shown(Figure::ColdWholeUs, "first paid request, all of it, us", 0),
    shown(Figure::ColdLeaseUs, "  of which the lease round trip, us", 0),
    shown(Figure::ColdConnectUs, "  of which connecting upstream, us", 0),
    shown(Figure::ColdOwnUs, "first request without these, us", 0),
    shown(Figure::ColdWarmUs, "warm request, us", 0),
    shown(Figure::ColdOverWarm, "first request / warm request", 2),
    shown(Figure::ScaleFetchMs, "1 M keys: ready without a cache, ms", 0),
    shown(Figure::ScaleFetchedMb, "1 M keys: memory then, MB", 1),
    shown(Figure::ScalePeakMb, "1 M keys: peak while fetching, MB", 1),
    shown(Figure::ScaleReadyMs, "1 M keys: ready from the cache, ms", 0),
    shown(Figure::ScaleCachedMb, "1 M keys: memory then, MB", 1),
    shown(Figure::ScaleLookupUs, "1 M keys: finding one, us", 2),
    shown(Figure::ScaleDigestUs, "  beside it, its digest, us", 2),
    shown(Figure::ScaleManyCpuUs, "CPU, 100,000 of 1 M keys ask, us", 1),
    shown(Figure::ScaleFewCpuUs, "CPU, 1,000 of 1,000 keys ask, us", 1),
    shown(Figure::ScaleAfterMb, "1 M keys: memory after the load, MB", 1),
    shown(Figure::AfterMb, "memory after the load, MB", 1),
    shown(Figure::Failed, "failed requests", 0),
];

/// A promise about Tollgate: its figure, or its ratio to another target's in the same round, stays at or under the limit.
pub struct Bar {
    pub title: &'static str,
    pub figure: Figure,
    pub against: Option<&'static str>,
    pub limit: f64,
}

pub static BARS: &[Bar] = &[
    Bar { title: "CPU per request / floor", figure: Figure::RequestCpuUs, against: Some("floor"), limit: 1.25 },
    Bar { title: "CPU per chunk / floor", figure: Figure::ChunkCpuUs, against: Some("floor"), limit: 1.25 },
    Bar { title: "added p50 at 200/s / nginx", figure: Figure::RateAddedP50Us, against: Some("nginx"), limit: 1.25 },
    Bar { title: "first chunk p50 / nginx", figure: Figure::FirstChunkP50Us, against: Some("nginx"), limit: 1.5 },
    Bar { title: "CPU per 100 kB prompt / nginx", figure: Figure::LargeCpuUs, against: Some("nginx"), limit: 1.5 },
    Bar { title: "memory idle, MB", figure: Figure::IdleMb, against: None, limit: 20.0 },
    Bar { title: "memory per idle stream / floor", figure: Figure::StreamKb, against: Some("floor"), limit: 1.3 },
    Bar { title: "slow chunk p50 / nginx", figure: Figure::SlowP50Us, against: Some("nginx"), limit: 1.5 },
    Bar { title: "slow chunk p99 / nginx", figure: Figure::SlowP99Us, against: Some("nginx"), limit: 1.5 },
    Bar { title: "latest slow chunk, ms", figure: Figure::SlowLateMs, against: None, limit: 250.0 },
    Bar { title: "slow streams broken", figure: Figure::SlowBroken, against: None, limit: 0.0 },
    Bar { title: "request of any family / bare proxy", figure: Figure::FamilyRequest, against: None, limit: 1.25 },
    Bar { title: "chunk of any family / bare proxy", figure: Figure::FamilyChunk, against: None, limit: 1.25 },
    Bar { title: "translated request / same family", figure: Figure::CrossRequest, against: None, limit: 2.0 },
    Bar { title: "translated chunk / same family", figure: Figure::CrossChunk, against: None, limit: 1.5 },
    Bar { title: "first request / warm request", figure: Figure::ColdOverWarm, against: None, limit: 1.5 },
    Bar { title: "memory, 1 M keys fetched, MB", figure: Figure::ScaleFetchedMb, against: None, limit: 200.0 },
    Bar { title: "memory, 1 M keys from the cache, MB", figure: Figure::ScaleCachedMb, against: None, limit: 200.0 },
    Bar { title: "ready from the cache, 1 M keys, ms", figure: Figure::ScaleReadyMs, against: None, limit: 3_000.0 },
    Bar { title: "finding one of 1 M keys, us", figure: Figure::ScaleLookupUs, against: None, limit: 1.0 },
    Bar { title: "failed requests", figure: Figure::Failed, against: None, limit: 0.0 },
];

/// The figures of one round, by target.
pub type Round = BTreeMap<&'static str, Values>;

/// Fills in what is a difference to the direct way, in the same round.
pub fn add_differences(round: &mut Round) {
    let Some(direct) = round.get("direct").cloned() else { return };
    for values in round.iter_mut().filter(|(target, _)| **target != "direct").map(|(_, values)| values) {
        for (difference, of) in [
            (Figure::RateAddedP50Us, Figure::RateP50Us),
            (Figure::RateAddedP95Us, Figure::RateP95Us),
            (Figure::FirstChunkAddedP50Us, Figure::FirstChunkP50Us),
            (Figure::SlowAddedP50Us, Figure::SlowP50Us),
        ] {
            if let (Some(here), Some(there)) = (values.get(&of).copied(), direct.get(&of)) {
                values.insert(difference, here - there);
            }
        }
    }
}

/// What a target showed over all rounds.
pub fn samples(rounds: &[Round], target: &str, figure: Figure) -> Vec<f64> {
    rounds.iter().filter_map(|round| round.get(target)?.get(&figure).copied()).collect()
}

/// One target's figure over another's, round by round: neighbours on the machine disturb both alike.
pub fn ratios(rounds: &[Round], target: &str, against: &str, figure: Figure) -> Vec<f64> {
    let ratio = |round: &Round| {
        let of = |name: &str| round.get(name)?.get(&figure).copied();
        of(against).filter(|below| *below > 0.0).and_then(|below| Some(of(target)? / below))
    };
    rounds.iter().filter_map(ratio).collect()
}

/// What Tollgate showed against a bar, and whether it holds; nothing when a side of it was not measured.
pub fn judge(rounds: &[Round], bar: &Bar) -> Option<(f64, bool)> {
    let shown = match bar.against {
        Some(against) => ratios(rounds, "tollgate", against, bar.figure),
        None => samples(rounds, "tollgate", bar.figure),
    };
    // What must never happen is judged by the worst round.
    let value = if bar.limit == 0.0 { shown.into_iter().reduce(f64::max)? } else { median(&shown)? };
    Some((value, value <= bar.limit))
}

pub fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(*sorted.get(middle - 1)?, upper) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(floor: f64, tollgate: f64) -> Round {
        let values = |value| Values::from([(Figure::RequestCpuUs, value), (Figure::RateP50Us, value)]);
        Round::from([("direct", values(10.0)), ("floor", values(floor)), ("tollgate", values(tollgate))])
    }

    #[test]
    fn a_bar_is_the_median_of_the_ratios_of_each_round() {
        // The medians alone would say 24 / 20 = 1.2; round by round it is 2.0, 1.2 and 0.5.
        let rounds = [round(10.0, 20.0), round(20.0, 24.0), round(100.0, 50.0)];
        assert_eq!(judge(&rounds, &BARS[0]), Some((1.2, true)));
        let rounds = [round(10.0, 20.0), round(20.0, 30.0), round(100.0, 50.0)];
        assert_eq!(judge(&rounds, &BARS[0]), Some((1.5, false)));
    }

    #[test]
    fn what_was_not_measured_is_neither_passed_nor_failed() {
        assert_eq!(judge(&[round(10.0, 10.0)], &BARS[3]), None);
    }

    #[test]
    fn one_bad_round_is_not_outvoted_where_nothing_may_fail() {
        let failed = |count| Round::from([("tollgate", Values::from([(Figure::Failed, count)]))]);
        let bar = BARS.iter().find(|bar| bar.figure == Figure::Failed).unwrap();
        assert_eq!(judge(&[failed(0.0), failed(3.0), failed(0.0)], bar), Some((3.0, false)));
        assert_eq!(judge(&[failed(0.0), failed(0.0)], bar), Some((0.0, true)));
    }

    #[test]
    fn added_time_is_the_difference_to_direct_in_the_same_round() {
        let mut measured = round(15.0, 22.0);
        add_differences(&mut measured);
        assert_eq!(measured["tollgate"][&Figure::RateAddedP50Us], 12.0);
        assert_eq!(measured["floor"][&Figure::RateAddedP50Us], 5.0);
        assert!(!measured["direct"].contains_key(&Figure::RateAddedP50Us));
    }

    #[test]
    fn every_figure_has_its_line() {
        for bar in BARS {
            assert!(FIGURES.iter().any(|shown| shown.figure == bar.figure), "{}", bar.title);
        }
        assert_eq!(median(&[3.0, 1.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }
}
