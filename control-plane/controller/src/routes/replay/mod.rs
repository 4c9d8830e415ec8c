//! Recorded requests under other rules: for each model the endpoints that the rules keep, and what the same tokens cost at
//! each of them. Pure. Uses the reader, the filter and the odds that proxies use.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::ids::{EndpointId, ModelId};
use domain::money::Money;
use domain::routing::{ATTEMPTS_MOST, By, Odds, Rulebook, Rules, Strategy, is_named, price_key};
use domain::snapshot::{Catalogue, ModelEntry, Route};
use domain::usage::UsageRecord;
use domain::{catalog::PriceList, pricing};

use super::standing::{Fate, Standing, of_request};

/// The name of models that are not on offer any more, all of them together.
const GONE: &str = "(no longer on offer)";

/// A period as it goes by.
pub struct Replay<'a> {
    catalogue: &'a Catalogue,
    book: Rulebook,
    only: Option<&'a ModelId>,
    models: BTreeMap<Option<ModelId>, Seen<'a>>,
    standings: BTreeMap<EndpointId, Standing>,
}

/// What was seen of the requests for one model.
#[derive(Default)]
struct Seen<'a> {
    figures: Figures,
    candidates: Vec<Candidate<'a>>,
}

/// An endpoint that the rules keep.
struct Candidate<'a> {
    route: &'a Route,
    /// Place of its model among those that would be tried.
    model: usize,
    /// What all requests together would have cost here, in nano-USD.
    cost: i128,
}

#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    requests: u64,
    /// In nano-USD.
    cost: i128,
    would_cost: i128,
    without_endpoint: u64,
    answered: u64,
    failed: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Simulation {
    pub total: Outlook,
    /// By the name of the model that was asked for.
    pub models: Vec<(String, Outlook)>,
}

/// The figures of some requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    pub requests: u64,
    pub cost: Money,
    pub would_cost: Money,
    pub without_endpoint: u64,
    /// Parts from 0 to 1; none where nothing is known.
    pub availability: Option<f64>,
    pub would_be_available: Option<f64>,
}

impl<'a> Replay<'a> {
    pub fn new(catalogue: &'a Catalogue, rules: Arc<Rules>, only: Option<&'a ModelId>) -> Replay<'a> {
        let book = Rulebook::of(None, Some(&rules)).unwrap_or_default();
        Replay { catalogue, book, only, models: BTreeMap::new(), standings: BTreeMap::new() }
    }

    /// One more request.
    pub fn add(&mut self, record: &UsageRecord) {
        for attempt in record.attempts() {
            match self.standings.get_mut(attempt.endpoint) {
                Some(standing) => standing.count(record, &attempt),
                None => self.standings.entry(attempt.endpoint.clone()).or_default().count(record, &attempt),
            }
        }
        let model = asked_for(self.catalogue, record);
        if self.only.is_some_and(|only| model != Some(only)) {
            return;
        }
        let seen = match self.models.get_mut(&model.cloned()) {
            Some(seen) => seen,
            None => {
                let candidates = candidates(self.catalogue, &self.book, model);
                let seen = Seen { candidates, figures: Figures::default() };
                self.models.entry(model.cloned()).or_insert(seen)
            }
        };
        seen.add(record);
    }

    /// The figures.
    pub fn end(self) -> Simulation {
        let all = self.standings.values().copied().fold(Standing::default(), Standing::with);
        let ranking = Ranking { book: &self.book, standings: &self.standings, usual: all.failing() };
        let (mut total, mut models) = (Total::default(), Vec::new());
        for (model, seen) in self.models {
            let (figures, chance) = ranking.judge(seen);
            total.add(&figures, chance);
            models.push((model.map_or(GONE.to_owned(), |model| model.to_string()), figures.outlook(chance)));
        }
        Simulation { total: total.outlook(), models }
    }
}

/// The model that is meant by a name, with a variant or without.
pub fn named<'a>(catalogue: &'a Catalogue, name: &str) -> Option<&'a Arc<ModelEntry>> {
    let plain = || name.rsplit_once(':').and_then(|(plain, _)| catalogue.model(plain));
    catalogue.model(name).or_else(plain)
}

/// The model that a request asked for, if it is still on offer; else the one that answered.
fn asked_for<'a>(catalogue: &'a Catalogue, record: &UsageRecord) -> Option<&'a ModelId> {
    let answered = || record.model.as_ref().and_then(|model| catalogue.model(model.as_str()));
    named(catalogue, &record.requested_model).or_else(answered).map(|entry| &entry.model.id)
}

/// The endpoints that the rules keep: of the model itself, then of the others that the rules name.
fn candidates<'a>(catalogue: &'a Catalogue, book: &Rulebook, model: Option<&ModelId>) -> Vec<Candidate<'a>> {
    let mut entries: Vec<_> = model.and_then(|model| catalogue.model(model.as_str())).into_iter().collect();
    for name in book.models() {
        let known =
            named(catalogue, name).filter(|entry| !entries.iter().any(|known| known.model.id == entry.model.id));
        entries.extend(known);
    }
    let places = entries.into_iter().enumerate();
    let routes = places.flat_map(|(place, entry)| entry.routes.iter().map(move |route| (place, route)));
    // Which parameters a request had is not recorded.
    let is_kept = |route: &Route| route.is_open() && book.excluded(route, |_| false).is_none();
    let kept = routes.filter(|(_, route)| is_kept(route));
    kept.map(|(model, route)| Candidate { route, model, cost: 0 }).collect()
}

impl Seen<'_> {
    fn add(&mut self, record: &UsageRecord) {
        let figures = &mut self.figures;
        figures.requests += 1;
        figures.without_endpoint += u64::from(self.candidates.is_empty());
        figures.cost += i128::from(record.cost.nano());
        match of_request(record) {
            Some(Fate::Answered) => figures.answered += 1,
            Some(Fate::Failed) => figures.failed += 1,
            None => {}
        }
        if record.outcome.is_charged() && !record.is_byok {
            for candidate in &mut self.candidates {
                candidate.cost += i128::from(pricing::cost(&record.usage, candidate.prices()).nano());
            }
        }
    }
}

impl Candidate<'_> {
    fn prices(&self) -> &PriceList {
        &self.route.endpoint.prices
    }
}

/// In which order endpoints would be asked, and how likely they are to answer.
struct Ranking<'a> {
    book: &'a Rulebook,
    standings: &'a BTreeMap<EndpointId, Standing>,
    /// How often any endpoint fails, for those that nobody asked.
    usual: Option<f64>,
}

impl Ranking<'_> {
    /// What the requests for a model come to, and how likely one of them is answered.
    fn judge(&self, seen: Seen<'_>) -> (Figures, Option<f64>) {
        let Seen { mut figures, mut candidates } = seen;
        candidates.sort_by_cached_key(|one| (self.group(one), self.merit(one), price_key(one.prices())));
        let best = candidates.first().map(|one| self.group(one));
        let equals = candidates.iter().take_while(|one| Some(self.group(one)) == best);
        let odds = match self.book.strategy() {
            Strategy::Balanced => Odds::of(equals.map(|one| price_key(one.prices()))),
            _ => Odds::of(best.iter().map(|_| 1)),
        };
        figures.would_cost = expected_cost(&candidates, &odds);
        let chance = match candidates.is_empty() {
            true => Some(0.0),
            false => self.chance(&candidates, &odds),
        };
        (figures, chance)
    }

    /// As proxies group them, but for how they do.
    fn group(&self, one: &Candidate<'_>) -> (usize, usize) {
        let order = self.book.order();
        let place = order.iter().position(|name| is_named(&one.route.provider, name)).unwrap_or(order.len());
        (if self.book.is_pooled() { 0 } else { one.model }, place)
    }

    /// Smaller is better. What was never measured comes behind what was.
    fn merit(&self, one: &Candidate<'_>) -> u64 {
        let standing = self.standings.get(&one.route.endpoint.id);
        match self.book.by() {
            None | Some(By::Price | By::Exacto) => 0,
            Some(By::Latency) => standing.and_then(Standing::latency).unwrap_or(u64::MAX),
            Some(By::Throughput) => u64::MAX - standing.and_then(Standing::throughput).unwrap_or(0),
        }
    }

    /// How likely one of the first few answers; none where no attempt is recorded at all.
    fn chance(&self, candidates: &[Candidate<'_>], odds: &Odds) -> Option<f64> {
        let failing = |one: &Candidate<'_>| self.standings.get(&one.route.endpoint.id).and_then(Standing::failing);
        let failing: Option<Vec<f64>> = candidates.iter().map(|one| failing(one).or(self.usual)).collect();
        let failing = failing?;
        let most = if self.book.takes_one() { 1 } else { ATTEMPTS_MOST as usize };
        let all_fail = |first: usize| -> f64 {
            let others = failing.iter().enumerate().filter(|(place, _)| *place != first).map(|(_, part)| part);
            failing.get(first).into_iter().chain(others).take(most).product()
        };
        let fails: f64 =
            (0..failing.len()).map(|first| odds.weight(first) as f64 / odds.whole() as f64 * all_fail(first)).sum();
        Some(1.0 - fails)
    }
}

/// What the requests would cost on average over the draws, rounded half up.
fn expected_cost(candidates: &[Candidate<'_>], odds: &Odds) -> i128 {
    let Some(whole) = i128::try_from(odds.whole()).ok().filter(|whole| *whole > 0) else { return 0 };
    // Weights are cut so that the sums fit: a cost has 64 bits and often less, a weight 62.
    let shift = 16;
    let weighted =
        |(place, one): (usize, &Candidate<'_>)| one.cost.saturating_mul(i128::from(odds.weight(place) >> shift));
    let sum = candidates.iter().enumerate().map(weighted).fold(0i128, i128::saturating_add);
    let whole = (whole >> shift).max(1);
    sum.saturating_add(whole / 2) / whole
}

/// All models together.
#[derive(Default)]
struct Total {
    figures: Figures,
    /// Requests of models of which a chance is known, and how many of those would be answered.
    known: f64,
    answered: f64,
}

impl Total {
    fn add(&mut self, figures: &Figures, chance: Option<f64>) {
        let all = &mut self.figures;
        all.requests += figures.requests;
        all.cost += figures.cost;
        all.would_cost += figures.would_cost;
        all.without_endpoint += figures.without_endpoint;
        all.answered += figures.answered;
        all.failed += figures.failed;
        if let Some(chance) = chance {
            self.known += figures.requests as f64;
            self.answered += figures.requests as f64 * chance;
        }
    }

    fn outlook(&self) -> Outlook {
        self.figures.outlook((self.known > 0.0).then(|| self.answered / self.known))
    }
}

impl Figures {
    fn outlook(&self, chance: Option<f64>) -> Outlook {
        let money = |nano: i128| Money::from_nano(i64::try_from(nano).unwrap_or(i64::MAX));
        let judged = self.answered + self.failed;
        Outlook {
            requests: self.requests,
            cost: money(self.cost),
            would_cost: money(self.would_cost),
            without_endpoint: self.without_endpoint,
            availability: (judged > 0).then(|| self.answered as f64 / judged as f64),
            would_be_available: chance,
        }
    }
}

#[cfg(test)]
mod tests;
