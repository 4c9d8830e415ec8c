//! What would be done with a request, and why, before anything is spent: which endpoints may serve it, in which order and at
//! which prices, and what keeps the others out. Never calls a provider, takes no hold, and leaves no record.

use std::rc::Rc;

use domain::{catalog::PriceList, money::Price, routing::Strategy, snapshot::Route};
use http::{Response, StatusCode};
use serde::Serialize;

use super::{
    Sifted,
    naming::Asker,
    order::{self, Listing},
    wish::Wish,
};
use crate::{
    offers::View,
    pipeline::{Outflow, Refusal, Visit, answer, arrival::Arrival},
    purse::Purse,
};

/// The whole explanation. Its order is the likeliest one.
#[derive(Serialize)]
struct Explanation<'a> {
    object: &'static str,
    requested: &'a str,
    strategy: &'static str,
    /// The region that is preferred.
    region: Option<&'a str>,
    summary: String,
    candidates: Vec<Candidate<'a>>,
    excluded: Vec<Excluded<'a>>,
}

/// An endpoint that may be asked.
#[derive(Serialize)]
struct Candidate<'a> {
    /// From 1.
    place: usize,
    model: &'a str,
    provider: &'a str,
    provider_name: &'a str,
    regions: &'a [String],
    /// How likely it is asked first, from 0 to 1.
    chance: f64,
    /// It has failed lately, or is slower than preferred: others go first.
    set_aside: bool,
    /// What all proxies together say of it: healthy, degraded or ejected.
    state: &'static str,
    slower_than_preferred: bool,
    /// As this proxy has measured it; null where it has not.
    latency_ms: Option<u64>,
    throughput: Option<u64>,
    pricing: Pricing,
}

/// An endpoint that may not.
#[derive(Serialize)]
struct Excluded<'a> {
    model: &'a str,
    provider: &'a str,
    excluded_by: &'static str,
}

/// Dollars per unit as decimal texts.
#[derive(Serialize)]
struct Pricing {
    prompt: String,
    completion: String,
    request: String,
}

/// Answers with the explanation. An unknown model and one that the key may not use are refused as ever.
pub(crate) fn explain(
    visit: &Rc<Visit>,
    view: &View,
    purse: &Purse,
    arrival: &Arrival,
) -> Result<Response<Outflow>, Refusal> {
    let worker = &visit.worker;
    let asker = Asker { worker, dialect: visit.dialect, view, purse };
    let first = asker.named(arrival.requested())?;
    let wish = Wish::of(arrival, first.wishes(), purse)?.unwrap_or_default();
    let offers = asker.offers(&first, arrival, &wish)?;
    let sifted = Sifted::of(worker, &offers, &wish, || visit.dialect.parameters(&arrival.body, &arrival.scan));
    let mut listings = sifted.listings(worker, &wish, |_| false);
    // The lowest number draws the cheapest, which is the likeliest.
    order::sort(&mut listings, &wish, 0.0);
    if wish.book.takes_one() {
        listings.truncate(1);
    }
    let strategy = wish.book.strategy();
    let explanation = Explanation {
        object: "route.explanation",
        requested: arrival.requested(),
        strategy: strategy.name(),
        region: wish.near.as_deref(),
        summary: summary(listings.len(), sifted.excluded.len(), strategy),
        candidates: candidates(&listings, &wish, strategy),
        excluded: sifted.excluded.iter().map(|(route, reason)| Excluded::of(route, reason)).collect(),
    };
    // Texts, numbers and lists: it can always be written.
    let body = serde_json::to_string(&explanation).unwrap_or_default();
    Ok(answer::json(visit, StatusCode::OK, body))
}

fn summary(kept: usize, excluded: usize, strategy: Strategy) -> String {
    let how = match strategy {
        Strategy::Balanced => "the first is drawn, cheaper ones more often",
        Strategy::Order => "in the order that is asked for",
        Strategy::Price => "the cheapest first",
        Strategy::Latency => "the soonest to begin first",
        Strategy::Throughput => "the fastest first",
        Strategy::Exacto => "by quality, else the cheapest first",
    };
    match kept {
        0 => format!("No endpoint may serve this request; {excluded} are excluded."),
        kept => format!("{kept} of {} endpoints may serve this request; {how}.", kept + excluded),
    }
}

fn candidates<'a>(listings: &[Listing<'a>], wish: &Wish, strategy: Strategy) -> Vec<Candidate<'a>> {
    let odds = order::odds(listings, wish);
    let chance = |place: usize| match strategy {
        Strategy::Balanced => odds.chance(place),
        _ if place == 0 => 1.0,
        _ => 0.0,
    };
    listings.iter().enumerate().map(|(place, listing)| Candidate::of(listing, place, chance(place))).collect()
}

impl<'a> Candidate<'a> {
    fn of(listing: &Listing<'a>, place: usize, chance: f64) -> Candidate<'a> {
        let Route { endpoint, provider } = listing.route;
        let known = |value: u64| Some(value).filter(|value| *value > 0);
        Candidate {
            place: place + 1,
            model: endpoint.model.as_str(),
            provider: provider.id.as_str(),
            provider_name: &provider.name,
            regions: &provider.regions,
            chance,
            set_aside: listing.is_shut || listing.is_aside,
            state: listing.state.name(),
            slower_than_preferred: listing.is_slow,
            latency_ms: known(listing.first_output_ms),
            throughput: known(listing.speed),
            pricing: Pricing::of(&endpoint.prices),
        }
    }
}

impl<'a> Excluded<'a> {
    fn of(route: &'a Route, reason: &'static str) -> Excluded<'a> {
        Excluded { model: route.endpoint.model.as_str(), provider: route.provider.id.as_str(), excluded_by: reason }
    }
}

impl Pricing {
    fn of(prices: &PriceList) -> Pricing {
        let text = |price: Option<Price>| price.unwrap_or(Price::ZERO).to_per_unit();
        Pricing { prompt: text(prices.prompt), completion: text(prices.completion), request: text(prices.request) }
    }
}
