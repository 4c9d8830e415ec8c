//! The controller's half: windows of all proxies in, a state for each endpoint out.
//!
//! A window is judged by the weight of the proxies that report on an endpoint, which is what they sent there in the last
//! minute. A proxy that leaves an endpoint alone counts as failing whole, since it has nothing else to tell. What the one
//! organisation did that met most failures is left out, attempts and all, so that nobody can speak against an endpoint
//! alone; where nothing else is left, a proxy speaks for the endpoint. A few requests, proxies or organisations are no
//! evidence.
//!
//! Getting in is quick and getting out is slow: between what is bad (60 %) and what is good (30 %) lies a band in which
//! nothing changes, so that an endpoint that fails at random stays where it is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use domain::ids::{EndpointId, OrgId, ProxyId};

use super::buckets::Histogram;
use poll::{History, Poll};

mod poll;

/// How long a window is, in milliseconds.
pub const WINDOW_MS: u64 = 5_000;
/// How long advice counts.
pub const ADVICE_MS: u64 = 30_000;
/// The share of failure, in percent, that all good windows together may have.
const WELL: u64 = 10;
/// Windows that are looked back at, and how many of them must be bad.
const LOOK_BACK: usize = 3;
const BAD_WINDOWS: usize = 2;
/// Good windows in a row before an endpoint is healthy again, and the attempts that they must have had together.
const GOOD_WINDOWS: u32 = 3;
const GOOD_ATTEMPTS: u64 = 30;
/// The shortest stay, doubled with each flap; one flap in two is forgotten after a while.
const STAY_MS: u64 = 30_000;
const FLAPS_MOST: u32 = 6;
const FORGET_MS: u64 = 900_000;
/// A proxy that told nothing for this long is not there.
const ABSENT_MS: u64 = 15_000;
/// What is measured: half an hour in slots of five minutes.
const SLOT_MS: u64 = 300_000;
const SLOTS: usize = 6;
/// Most endpoints that are kept.
const MOST: usize = 10_000;

/// How all proxies together see an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing is known against it.
    #[default]
    Healthy,
    /// It fails often: it is drawn less.
    Degraded,
    /// It hardly ever answers: others go first.
    Ejected,
}

impl State {
    /// Its name on the wire and for people.
    pub fn name(self) -> &'static str {
        match self {
            State::Healthy => "healthy",
            State::Degraded => "degraded",
            State::Ejected => "ejected",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<State> {
        [State::Healthy, State::Degraded, State::Ejected].into_iter().find(|state| state.name() == name)
    }
}

/// What one proxy met at one endpoint in one window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Met {
    /// Tries of ours, with the platform's credential.
    pub attempts: u64,
    /// Those that speak against the endpoint.
    pub failures: u64,
    /// Those where it had too much to do.
    pub overloads: u64,
    /// How many of a hundred of the proxy's workers leave it alone after failures in a row, which callers of more than one
    /// organisation met in the last three windows.
    pub shut: u64,
    /// Organisations that met most of either, with their number.
    pub orgs: Vec<(OrgId, u64)>,
    /// How many organisations met any.
    pub org_count: u32,
    /// Milliseconds to the first output.
    pub latency: Histogram,
    /// Output tokens a second.
    pub throughput: Histogram,
}

impl Met {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.attempts == 0 && self.shut == 0 && self.throughput.is_empty()
    }

    fn add(&mut self, other: Met) {
        self.attempts = self.attempts.saturating_add(other.attempts);
        self.failures = self.failures.saturating_add(other.failures);
        self.overloads = self.overloads.saturating_add(other.overloads);
        self.shut = other.shut;
        self.orgs.extend(other.orgs);
        self.latency.merge(&other.latency);
        self.throughput.merge(&other.throughput);
    }

    /// Attempts that went badly for this organisation.
    fn troubles_of(&self, org: Option<OrgId>) -> u64 {
        let of_org = self.orgs.iter().filter(|(known, _)| Some(*known) == org);
        of_org.fold(0, |sum: u64, (_, count)| sum.saturating_add(*count)).min(self.troubles())
    }

    fn troubles(&self) -> u64 {
        self.failures.saturating_add(self.overloads).min(self.attempts)
    }
}

/// What was measured at an endpoint in the last half hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measures {
    /// Tries of ours.
    pub attempts: u64,
    /// Those that speak against the endpoint.
    pub failures: u64,
    /// Milliseconds to the first output.
    pub latency: Histogram,
    /// Output tokens a second.
    pub throughput: Histogram,
}

impl Measures {
    /// Of 1,000 attempts, how many it did not fail; none when there was none.
    pub fn uptime(&self) -> Option<u64> {
        let good = self.attempts.saturating_sub(self.failures);
        good.saturating_mul(1_000).checked_div(self.attempts)
    }
}

/// What was measured, as numbers for people and programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Where.
    pub endpoint: EndpointId,
    /// Of 1,000 attempts, how many it did not fail.
    pub uptime: Option<u64>,
    /// Milliseconds to the first output: p50, p75, p90, p99.
    pub latency: Option<[u64; 4]>,
    /// Output tokens a second: p50, p75, p90, p99.
    pub throughput: Option<[u64; 4]>,
}

impl Measured {
    /// The numbers of one endpoint.
    pub fn of(endpoint: EndpointId, measures: &Measures) -> Measured {
        let percentiles = |histogram: &Histogram| -> Option<[u64; 4]> {
            let at = |percent| histogram.percentile(percent);
            Some([at(50)?, at(75)?, at(90)?, at(99)?])
        };
        let (latency, throughput) = (percentiles(&measures.latency), percentiles(&measures.throughput));
        Measured { endpoint, uptime: measures.uptime(), latency, throughput }
    }
}

/// One endpoint for whoever looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// As it is advised: after the bounds of its model.
    pub state: State,
    /// What was measured.
    pub measures: Measures,
}

/// All endpoints as all proxies see them. Times are milliseconds of a clock that only goes forward.
#[derive(Debug, Default)]
pub struct View {
    endpoints: BTreeMap<EndpointId, Seen>,
    /// When each proxy told something last.
    proxies: BTreeMap<ProxyId, u64>,
    advice: BTreeMap<EndpointId, State>,
}

#[derive(Debug, Default)]
struct Seen {
    proxies: BTreeMap<ProxyId, History>,
    /// How many windows were judged.
    window: usize,
    state: State,
    since_ms: u64,
    /// What the last windows looked like.
    verdicts: VecDeque<State>,
    /// Good ones in a row, their attempts, and those of them that went badly.
    good_windows: u32,
    good_attempts: u64,
    good_troubles: u64,
    flaps: u32,
    flapped_ms: u64,
    slots: VecDeque<(u64, Measures)>,
}

impl View {
    /// A proxy tells what it met.
    pub fn told(&mut self, proxy: &ProxyId, routes: Vec<(EndpointId, Met)>, now_ms: u64) {
        self.proxies.insert(proxy.clone(), now_ms);
        for (endpoint, met) in routes {
            if self.endpoints.len() >= MOST && !self.endpoints.contains_key(&endpoint) {
                continue;
            }
            let seen = self.endpoints.entry(endpoint).or_default();
            seen.measure(&met, now_ms);
            seen.proxies.entry(proxy.clone()).or_default().pending.get_or_insert_default().add(met);
        }
    }

    /// Judges the window that ends now. `models` are the endpoints of each model that may be routed to; others are
    /// forgotten.
    pub fn judge(&mut self, models: &[Vec<EndpointId>], now_ms: u64) {
        self.proxies.retain(|_, told| now_ms.saturating_sub(*told) <= ABSENT_MS);
        let present: BTreeSet<&EndpointId> = models.iter().flatten().collect();
        self.endpoints.retain(|endpoint, _| present.contains(endpoint));
        let fleet = self.proxies.len();
        for seen in self.endpoints.values_mut() {
            seen.judge(fleet, now_ms);
        }
        self.advice = models.iter().flat_map(|endpoints| self.bounded(endpoints)).collect();
    }

    /// What to advise about the endpoints of one model: half of them may be ejected and so never the last; where all look
    /// bad, health says nothing and they share the load.
    fn bounded(&self, endpoints: &[EndpointId]) -> Vec<(EndpointId, State)> {
        let state = |endpoint: &EndpointId| self.endpoints.get(endpoint).map_or(State::Healthy, |seen| seen.state);
        if endpoints.iter().all(|endpoint| state(endpoint) != State::Healthy) {
            return Vec::new();
        }
        let mut bad: Vec<_> = endpoints.iter().filter(|endpoint| state(endpoint) != State::Healthy).collect();
        // Who was ejected first stays so.
        bad.sort_by_key(|endpoint| (state(endpoint) != State::Ejected, self.since(endpoint)));
        let most = endpoints.len() / 2;
        let bound = |(at, endpoint): (usize, &&EndpointId)| {
            let state = if at < most { state(endpoint) } else { State::Degraded };
            (EndpointId::clone(endpoint), state)
        };
        bad.iter().enumerate().map(bound).collect()
    }

    fn since(&self, endpoint: &EndpointId) -> u64 {
        self.endpoints.get(endpoint).map_or(0, |seen| seen.since_ms)
    }

    /// The endpoints that something is advised against.
    pub fn advice(&self) -> impl Iterator<Item = (&EndpointId, State)> {
        self.advice.iter().map(|(endpoint, state)| (endpoint, *state))
    }

    /// What is known of one endpoint.
    pub fn shown(&self, endpoint: &EndpointId, now_ms: u64) -> Shown {
        let state = self.advice.get(endpoint).copied().unwrap_or_default();
        let measures = self.endpoints.get(endpoint).map(|seen| seen.measures(now_ms)).unwrap_or_default();
        Shown { state, measures }
    }

    /// The endpoints of which anything is known.
    pub fn endpoints(&self) -> impl Iterator<Item = &EndpointId> {
        self.endpoints.keys()
    }
}

impl Seen {
    fn measure(&mut self, met: &Met, now_ms: u64) {
        let slot = now_ms / SLOT_MS;
        if self.slots.back().is_none_or(|(last, _)| *last < slot) {
            self.slots.push_back((slot, Measures::default()));
        }
        while self.slots.len() > SLOTS + 1 {
            self.slots.pop_front();
        }
        if let Some((_, measures)) = self.slots.back_mut() {
            measures.attempts = measures.attempts.saturating_add(met.attempts);
            measures.failures = measures.failures.saturating_add(met.failures);
            measures.latency.merge(&met.latency);
            measures.throughput.merge(&met.throughput);
        }
    }

    fn measures(&self, now_ms: u64) -> Measures {
        let oldest = (now_ms / SLOT_MS).saturating_sub(u64::try_from(SLOTS).unwrap_or(0));
        let mut all = Measures::default();
        for (_, slot) in self.slots.iter().filter(|(slot, _)| *slot >= oldest) {
            all.attempts = all.attempts.saturating_add(slot.attempts);
            all.failures = all.failures.saturating_add(slot.failures);
            all.latency.merge(&slot.latency);
            all.throughput.merge(&slot.throughput);
        }
        all
    }

    fn judge(&mut self, fleet: usize, now_ms: u64) {
        let poll = self.poll();
        let bad = poll.verdict(fleet);
        self.verdicts.push_back(bad);
        while self.verdicts.len() > LOOK_BACK {
            self.verdicts.pop_front();
        }
        self.count_good(&poll);
        self.forget_flaps(now_ms);
        let next = self.next(now_ms);
        if next != self.state {
            if self.state == State::Healthy {
                self.flaps = (self.flaps + 1).min(FLAPS_MOST);
                self.flapped_ms = now_ms;
            }
            self.state = next;
            self.since_ms = now_ms;
            self.count_anew();
        }
    }

    /// Takes what was told since the last window, and has everybody that told something vote.
    fn poll(&mut self) -> Poll {
        let loudest = self.loudest();
        let mut poll =
            Poll { weight: 0, failing: 0, straining: 0, present: 0, proxies: 0, orgs: 0, attempts: 0, troubles: 0 };
        let mut orgs = BTreeSet::new();
        self.window += 1;
        let window = self.window;
        self.proxies.retain(|_, history| {
            let told = history.pending.take();
            if let Some(met) = &told {
                // What a proxy leaves alone it sent something to before.
                poll.vote(met, history.weight().saturating_add(met.attempts), loudest);
            }
            let is_known = history.keep(window, told.as_deref());
            orgs.extend(history.troubles.iter().map(|(_, org, _)| *org));
            is_known
        });
        poll.orgs = orgs.len();
        poll
    }

    /// The organisation that met most failures, now and in the last minute.
    fn loudest(&self) -> Option<OrgId> {
        let mut failures: BTreeMap<OrgId, u64> = BTreeMap::new();
        for history in self.proxies.values() {
            let now = history.pending.iter().flat_map(|met| &met.orgs).map(|(org, count)| (*org, *count));
            for (org, count) in history.troubles.iter().map(|(_, org, count)| (*org, *count)).chain(now) {
                *failures.entry(org).or_default() += count;
            }
        }
        failures.into_iter().max_by_key(|(_, count)| *count).map(|(org, _)| org)
    }

    fn count_good(&mut self, poll: &Poll) {
        if poll.attempts == 0 {
            return;
        }
        match poll.is_good() {
            true => {
                self.good_windows = self.good_windows.saturating_add(1);
                self.good_attempts = self.good_attempts.saturating_add(poll.attempts);
                self.good_troubles = self.good_troubles.saturating_add(poll.troubles);
            }
            false => self.count_anew(),
        }
    }

    fn count_anew(&mut self) {
        (self.good_windows, self.good_attempts, self.good_troubles) = (0, 0, 0);
    }

    fn next(&self, now_ms: u64) -> State {
        let at_least = |state: State| self.verdicts.iter().filter(|verdict| **verdict >= state).count() >= BAD_WINDOWS;
        if at_least(State::Ejected) {
            return State::Ejected;
        }
        if self.state == State::Healthy {
            return if at_least(State::Degraded) { State::Degraded } else { State::Healthy };
        }
        let stay = STAY_MS << self.flaps.saturating_sub(1);
        let is_over = now_ms.saturating_sub(self.since_ms) >= stay;
        let is_well = self.good_windows >= GOOD_WINDOWS
            && self.good_attempts >= GOOD_ATTEMPTS
            && self.good_troubles.saturating_mul(100) < self.good_attempts.saturating_mul(WELL);
        if is_over && is_well { State::Healthy } else { self.state }
    }

    fn forget_flaps(&mut self, now_ms: u64) {
        while self.flaps > 0 && now_ms.saturating_sub(self.flapped_ms) >= FORGET_MS {
            self.flaps /= 2;
            self.flapped_ms = self.flapped_ms.saturating_add(FORGET_MS);
        }
    }
}

#[cfg(test)]
mod tests;
