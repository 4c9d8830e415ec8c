//! Which endpoints may serve a request, in which order. Pure but for reading what the worker has measured: never sends a
//! byte, takes no hold, looks at no message text. Next room: `admit`.

mod affinity;
mod explain;
mod naming;
mod order;
mod spelling;
mod variant;
mod wish;

use std::{rc::Rc, time::Duration};

use domain::{
    faults::{Fault, FaultCode},
    routing::{Micros, Strategy, Trigger, Triggers},
    snapshot::Route,
};
use link::health::view::State;
use serde_json::json;

pub(super) use self::explain::explain;
use self::{naming::Asker, order::Listing, wish::Wish};
use super::{
    Refusal, Visit,
    arrival::Arrival,
    trail::{self, Trail},
};
use crate::{
    offers::{Lane, Offer, View},
    purse::Purse,
    worker::Worker,
};

/// Why an endpoint is left out that its provider wants to be left alone.
const COOLING: &str = "cooling";

/// Endpoints in the order in which they are tried. Never empty.
pub(crate) struct Plan {
    pub lanes: Rc<[Rc<Lane>]>,
    /// Whether a translation may lose nothing.
    pub requires_parameters: bool,
    /// The failures that may lead to another model.
    pub triggers: Triggers,
    /// The first model that the request names.
    first: Rc<Offer>,
    /// The letters of its name before the variant.
    plain: usize,
}

impl Plan {
    /// How the model is called in the answer: as the caller did, without a variant, where that model answered; else by
    /// its full id.
    pub fn public_name(&self, lane: &Lane, arrival: &Arrival) -> String {
        match lane.route.endpoint.model == self.first.entry.model.id {
            true => arrival.requested().get(..self.plain).unwrap_or_default().to_owned(),
            false => lane.route.endpoint.model.to_string(),
        }
    }
}

/// Plans one request.
pub(crate) fn plan(visit: &Visit, view: &View, purse: &Purse, arrival: &Arrival) -> Result<Plan, Refusal> {
    let requested = arrival.requested();
    if !visit.span.is_disabled() {
        visit.span.record("gen_ai.request.model", requested);
        visit.span.record("otel.name", format!("chat {requested}"));
    }
    let asker = Asker { worker: &visit.worker, dialect: visit.dialect, view, purse };
    let first = asker.named(requested)?;
    let wish = Wish::of(arrival, first.wishes(), purse)?;
    let is_calm = || !first.offer.lanes.iter().any(|lane| lane.health.is_aside() || lane.standing.is_amiss());
    let chosen = match wish {
        // Nothing is wished and nothing is amiss: the lists that were made when the snapshot came will do.
        None if arrival.scan.fallbacks.is_empty() && first.others().is_empty() && is_calm() => {
            Chosen::drawn(&first.offer, purse, arrival)
        }
        wish => {
            let wish = wish.unwrap_or_default();
            if let Some(timeout) = wish.book.timeout() {
                visit.limit(timeout);
            }
            let offers = asker.offers(&first, arrival, &wish)?;
            let parameters = || visit.dialect.parameters(&arrival.body, &arrival.scan);
            Chosen::wished(&visit.worker, &offers, wish, || affinity::draw(&first.offer, purse, arrival), parameters)?
        }
    };
    if chosen.lanes.is_empty() {
        return Err(no_endpoints(first.offer.closed.iter().map(|(_, reason)| *reason)));
    }
    let Chosen { lanes, requires_parameters, triggers, strategy, near, total } = chosen;
    visit.is_planned(trail::way(strategy.name(), lanes.len(), near.as_deref()));
    visit.leaves_trail(|| Trail::new(requested, strategy.name(), near, lanes.clone(), total));
    Ok(Plan { lanes, requires_parameters, triggers, first: first.offer, plain: first.plain })
}

/// Whether any endpoint of the first model can be asked in the client's dialect. An unknown model and one that the key may
/// not use are refused.
pub(super) fn can_be_asked(visit: &Visit, view: &View, purse: &Purse, arrival: &Arrival) -> Result<bool, Refusal> {
    let asker = Asker { worker: &visit.worker, dialect: visit.dialect, view, purse };
    Ok(!asker.named(arrival.requested())?.offer.lanes.is_empty())
}

/// The endpoints in their order, and how it was found.
struct Chosen {
    lanes: Rc<[Rc<Lane>]>,
    requires_parameters: bool,
    triggers: Triggers,
    strategy: Strategy,
    /// The region that was preferred.
    near: Option<String>,
    /// Endpoints of the models that were named, also those that were passed over.
    total: usize,
}

impl Chosen {
    /// All endpoints of a model, the first of them drawn by price.
    fn drawn(offer: &Offer, purse: &Purse, arrival: &Arrival) -> Chosen {
        let lanes = match offer.lanes.len() {
            0 | 1 => offer.lanes.clone(),
            _ => offer.led_by(offer.odds.draw(affinity::draw(offer, purse, arrival))),
        };
        let total = offer.lanes.len() + offer.closed.len();
        let (strategy, triggers) = (Strategy::Balanced, Triggers::ALL);
        Chosen { lanes, requires_parameters: false, triggers, strategy, near: None, total }
    }

    /// What is left of these models after a wish, in the order that it asks for.
    fn wished(
        worker: &Worker,
        offers: &[Rc<Offer>],
        wish: Wish,
        draw: impl FnOnce() -> f64,
        parameters: impl FnOnce() -> Vec<String>,
    ) -> Result<Chosen, Refusal> {
        let sifted = Sifted::of(worker, offers, &wish, parameters);
        if sifted.kept.is_empty() {
            return Err(sifted.refusal());
        }
        let strategy = wish.book.strategy();
        let random = if strategy == Strategy::Balanced { draw() } else { 0.0 };
        let mut listings = sifted.listings(worker, &wish, |lane| lane.take_probe(worker));
        order::sort(&mut listings, &wish, random);
        let most = if wish.book.takes_one() { 1 } else { listings.len() };
        let lanes = listings.iter().take(most).filter_map(|listing| sifted.kept.get(listing.place));
        Ok(Chosen {
            lanes: lanes.map(|(_, lane)| lane.clone()).collect(),
            requires_parameters: wish.book.requires_parameters(),
            triggers: wish.book.triggers(),
            strategy,
            near: wish.near,
            total: offers.iter().map(|offer| offer.lanes.len() + offer.closed.len()).sum(),
        })
    }
}

/// The endpoints that may serve a request, each with the place of its model, and those that may not, with the reason.
struct Sifted {
    kept: Vec<(usize, Rc<Lane>)>,
    excluded: Vec<(Route, &'static str)>,
    /// When the first of those that cool may be asked again.
    ready_in: Option<Duration>,
}

impl Sifted {
    fn of(worker: &Worker, offers: &[Rc<Offer>], wish: &Wish, parameters: impl FnOnce() -> Vec<String>) -> Sifted {
        let wanted = if wish.book.requires_parameters() { parameters() } else { Vec::new() };
        let mut sifted = Sifted { kept: Vec::new(), excluded: Vec::new(), ready_in: None };
        for (place, offer) in offers.iter().enumerate() {
            sifted.excluded.extend(offer.closed.iter().cloned());
            let listed = &offer.entry.model.supported_parameters;
            let lacks = |_: &Route| wanted.iter().any(|name| !codec::parameters::is_listed(name, listed));
            for lane in offer.lanes.iter() {
                match wish.book.excluded(&lane.route, lacks) {
                    None if place > 0 && wish.book.triggers().is_empty() => sifted.leave(lane.route.clone()),
                    None => sifted.take(place, lane, lane.cooling(worker)),
                    Some(reason) => sifted.excluded.push((lane.route.clone(), reason)),
                }
            }
        }
        if !wish.book.is_pooled() && !wish.book.triggers().has(sifted.missing(offers)) {
            sifted.keep_to_the_first();
        }
        sifted
    }

    /// What it would be, in the words of rules, to go past the first model where it has no endpoint left.
    fn missing(&self, offers: &[Rc<Offer>]) -> Trigger {
        let first = offers.first().map(|offer| &offer.entry.model.id);
        let is_cooling = |(route, reason): &(Route, &str)| *reason == COOLING && Some(&route.endpoint.model) == first;
        if self.excluded.iter().any(is_cooling) { Trigger::RateLimit } else { Trigger::ProviderError }
    }

    /// Leaves the other models out if nothing is left of the first.
    fn keep_to_the_first(&mut self) {
        if !self.kept.iter().any(|(place, _)| *place == 0) {
            let others = std::mem::take(&mut self.kept);
            others.into_iter().for_each(|(_, lane)| self.leave(lane.route.clone()));
        }
    }

    /// No failure may lead to this endpoint's model.
    fn leave(&mut self, route: Route) {
        self.excluded.push((route, "fallback_triggers"));
    }

    /// An endpoint may serve it, unless its provider wants to be left alone.
    fn take(&mut self, place: usize, lane: &Rc<Lane>, cooling: Option<Duration>) {
        match cooling {
            None => self.kept.push((place, lane.clone())),
            Some(left) => {
                self.excluded.push((lane.route.clone(), COOLING));
                self.ready_in = Some(self.ready_in.map_or(left, |soonest| soonest.min(left)));
            }
        }
    }

    /// Why nobody is left.
    fn refusal(&self) -> Refusal {
        let refusal = no_endpoints(self.excluded.iter().map(|(_, reason)| *reason));
        let Some(ready_in) = self.ready_in else { return refusal };
        let message = "Every provider that may serve this request is limiting us: try again later.";
        let ready_in = u64::try_from(ready_in.as_millis()).unwrap_or(u64::MAX);
        let fault = Fault::new(FaultCode::ProviderRateLimited, message).retry_after_ms(ready_in);
        Fault { metadata: refusal.fault.metadata, ..fault }.into()
    }

    /// What is known of those that may serve it. Of an endpoint of which `probes` lets this request find out how it does, no
    /// ill is said.
    fn listings(&self, worker: &Worker, wish: &Wish, probes: impl Fn(&Lane) -> bool) -> Vec<Listing<'_>> {
        let kept = self.kept.iter().enumerate();
        let is_aside = |lane: &Lane| lane.health.is_aside() || lane.state(worker) == State::Ejected;
        let listings = kept.map(|(place, (model, lane))| Listing {
            place,
            route: &lane.route,
            model: *model,
            is_shut: lane.health.is_shut(&worker.alarms),
            is_aside: is_aside(lane) && !probes(lane),
            is_slow: is_slow(worker, lane, wish),
            state: lane.state(worker),
            first_output_ms: lane.health.first_output_ms(),
            speed: lane.health.speed(),
        });
        listings.collect()
    }
}

/// Whether an endpoint is known to miss what is preferred. Throughput is what this share of answers reaches at least.
fn is_slow(worker: &Worker, lane: &Lane, wish: &Wish) -> bool {
    let (health, alarms) = (&lane.health, &worker.alarms);
    let share = |percent: u8| f64::from(percent) / 100.0;
    let latency = |(percent, seconds): (u8, Micros)| {
        health.latency_at(share(percent), alarms).is_some_and(|ms| i128::from(ms) * 1_000 > i128::from(seconds.0))
    };
    let throughput = |(percent, tokens): (u8, Micros)| {
        let speed = health.throughput_at(1.0 - share(percent), alarms);
        speed.is_some_and(|speed| i128::from(speed) * 1_000_000 < i128::from(tokens.0))
    };
    wish.book.most_latency().is_some_and(|most| most.each().any(latency))
        || wish.book.least_throughput().is_some_and(|least| least.each().any(throughput))
}

fn no_endpoints(reasons: impl IntoIterator<Item = &'static str>) -> Refusal {
    let mut excluded_by: Vec<&'static str> = reasons.into_iter().collect();
    excluded_by.sort_unstable();
    excluded_by.dedup();
    let message = match excluded_by.is_empty() {
        true => "No endpoint serves this model.".to_owned(),
        false => format!("No endpoint is left for this request; excluded by {}.", excluded_by.join(", ")),
    };
    let facts = json!({ "excluded_by": excluded_by }).to_string();
    Fault::new(FaultCode::NoEndpoints, message).metadata(facts).into()
}

#[cfg(test)]
pub(super) mod tests {
    use domain::{
        catalog::{Endpoint, PriceList},
        ids::EndpointId,
        money::Price,
        providers::{AuthScheme, DataPolicy, Provider},
    };

    use super::*;

    pub fn provider(id: &str) -> Provider {
        Provider {
            id: id.parse().unwrap(),
            name: "Acme Inc".to_owned(),
            base_url: "https://acme.example/v1".to_owned(),
            dialects: vec!["openai-chat".parse().unwrap()],
            auth: AuthScheme("bearer".to_owned()),
            credential_version: 1,
            regions: vec!["us".to_owned()],
            data_policy: DataPolicy::default(),
            limits: Default::default(),
            insecure: false,
            enabled: true,
        }
    }

    /// An endpoint of `a/model` at this provider; prices per million tokens.
    pub fn route(provider_id: &str, prompt: &str, completion: &str) -> Route {
        let provider = provider(provider_id);
        let model: domain::ids::ModelId = "a/model".parse().unwrap();
        let endpoint = Endpoint {
            id: EndpointId::of(&model, &provider.id),
            model,
            provider: provider.id.clone(),
            upstream_model: "m".to_owned(),
            prices: PriceList {
                prompt: Price::per_million(prompt).ok(),
                completion: Price::per_million(completion).ok(),
                ..PriceList::default()
            },
            context_length: None,
            max_output_tokens: None,
            quirks: vec![],
            enabled: true,
        };
        Route { endpoint: endpoint.into(), provider: provider.into() }
    }

    #[test]
    fn an_empty_plan_says_each_reason_once() {
        let refusal = no_endpoints(["no_credential", "max_price", "no_credential"]);
        assert_eq!(refusal.fault.http_status(), 404);
        assert_eq!(refusal.fault.metadata.as_deref(), Some(r#"{"excluded_by":["max_price","no_credential"]}"#));
    }
}
