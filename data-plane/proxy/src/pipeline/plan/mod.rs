//! Which endpoints may serve a request, in which order. Pure but for reading what the worker has measured: never sends a
//! byte, takes no hold, looks at no message text. Next room: `admit`.

mod affinity;
mod explain;
mod filter;
mod order;
mod spelling;
mod variant;
mod wish;

use std::rc::Rc;

use codec::Dialect;
use domain::{
    faults::{Fault, FaultCode},
    keys::Policy,
    snapshot::Route,
};
use serde_json::json;

pub(super) use self::explain::explain;
use self::{
    order::{Listing, Strategy},
    variant::Variant,
    wish::Wish,
};
use super::{Refusal, Visit, arrival::Arrival, trail::Trail};
use crate::{
    offers::{Lane, Offer, View},
    purse::Purse,
    worker::Worker,
};

/// Models that one request may name; each costs a look-up.
const MODELS_MOST: usize = 16;

/// Endpoints in the order in which they are tried. Never empty.
pub(crate) struct Plan {
    pub lanes: Rc<[Rc<Lane>]>,
    /// Whether a translation may lose nothing.
    pub requires_parameters: bool,
    /// The first model that the request names.
    first: Named,
}

/// A model as somebody named it.
struct Named {
    offer: Rc<Offer>,
    variant: Option<Variant>,
    /// The letters of the name before the variant.
    plain: usize,
}

impl Plan {
    /// How the model is called in the answer: as the caller did, without a variant, where that model answered; else by
    /// its full id.
    pub fn public_name(&self, lane: &Lane, arrival: &Arrival) -> String {
        match lane.route.endpoint.model == self.first.offer.entry.model.id {
            true => arrival.requested().get(..self.first.plain).unwrap_or_default().to_owned(),
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
    let asker = Asker { worker: &visit.worker, dialect: visit.dialect, view, policy: &purse.policy };
    let first = asker.named(requested)?;
    let wish = Wish::of(arrival, first.variant)?;
    let is_calm = || !first.offer.lanes.iter().any(|lane| lane.health.is_aside());
    let chosen = match wish {
        // Nothing is wished and nothing is amiss: the lists that were made when the snapshot came will do.
        None if arrival.scan.fallbacks.is_empty() && is_calm() => Chosen::drawn(&first.offer, purse, arrival),
        wish => {
            let wish = wish.unwrap_or_default();
            if let Some(timeout) = wish.timeout {
                visit.limit(timeout);
            }
            let offers = asker.offers(&first.offer, arrival, &wish)?;
            let parameters = || visit.dialect.parameters(&arrival.body, &arrival.scan);
            Chosen::wished(&visit.worker, &offers, wish, || affinity::draw(&first.offer, purse, arrival), parameters)?
        }
    };
    if chosen.lanes.is_empty() {
        return Err(no_endpoints(first.offer.closed.iter().map(|(_, reason)| *reason)));
    }
    let Chosen { lanes, requires_parameters, strategy, near, total } = chosen;
    visit.leaves_trail(|| Trail::new(requested, strategy.name(), near, lanes.clone(), total));
    Ok(Plan { lanes, requires_parameters, first })
}

/// Whether any endpoint of the first model can be asked in the client's dialect. An unknown model and one that the key may
/// not use are refused.
pub(super) fn can_be_asked(visit: &Visit, view: &View, purse: &Purse, arrival: &Arrival) -> Result<bool, Refusal> {
    let asker = Asker { worker: &visit.worker, dialect: visit.dialect, view, policy: &purse.policy };
    Ok(!asker.named(arrival.requested())?.offer.lanes.is_empty())
}

/// The endpoints in their order, and how it was found.
struct Chosen {
    lanes: Rc<[Rc<Lane>]>,
    requires_parameters: bool,
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
        Chosen { lanes, requires_parameters: false, strategy: Strategy::Balanced, near: None, total }
    }

    /// What is left of these models after a wish, in the order that it asks for.
    fn wished(
        worker: &Worker,
        offers: &[Rc<Offer>],
        wish: Wish,
        draw: impl FnOnce() -> f64,
        parameters: impl FnOnce() -> Vec<String>,
    ) -> Result<Chosen, Refusal> {
        let sifted = Sifted::of(offers, &wish, parameters);
        if sifted.kept.is_empty() {
            return Err(no_endpoints(sifted.excluded.iter().map(|(_, reason)| *reason)));
        }
        let strategy = Strategy::of(&wish);
        let random = if strategy == Strategy::Balanced { draw() } else { 0.0 };
        let mut listings = sifted.listings(worker, &wish, |lane| lane.health.take_probe(&worker.alarms));
        order::sort(&mut listings, &wish, random);
        let most = if wish.takes_one() { 1 } else { listings.len() };
        let lanes = listings.iter().take(most).filter_map(|listing| sifted.kept.get(listing.place));
        Ok(Chosen {
            lanes: lanes.map(|(_, lane)| lane.clone()).collect(),
            requires_parameters: wish.require_parameters == Some(true),
            strategy,
            near: wish.near,
            total: offers.iter().map(|offer| offer.lanes.len() + offer.closed.len()).sum(),
        })
    }
}

/// Who asks, and what there is.
struct Asker<'a> {
    worker: &'a Worker,
    dialect: &'static Dialect,
    view: &'a View,
    policy: &'a Policy,
}

impl Asker<'_> {
    /// The model of this name, if it may be used. What looks like a variant may be part of a model's own name.
    fn named(&self, name: &str) -> Result<Named, Refusal> {
        let whole = self.worker.offer(self.view, self.dialect, name);
        let (plain, variant) = if whole.is_some() { (name, None) } else { variant::split(name) };
        let offer = whole.or_else(|| variant.and_then(|_| self.worker.offer(self.view, self.dialect, plain)));
        let offer = offer.ok_or_else(|| unknown_model(plain))?;
        let id = offer.entry.model.id.as_str();
        if self.policy.allows_model(id) {
            return Ok(Named { offer, variant, plain: plain.len() });
        }
        let message = format!("This key may not use the model `{id}`.");
        Err(Fault::new(FaultCode::ModelNotAllowed, message).param("model").into())
    }

    /// The first model, and those of the others that exist and may be used.
    fn offers(&self, first: &Rc<Offer>, arrival: &Arrival, wish: &Wish) -> Result<Vec<Rc<Offer>>, Refusal> {
        let scan = &arrival.scan;
        let named = scan.fallbacks.iter().skip(usize::from(scan.model.is_none()));
        let mut offers = vec![first.clone()];
        for (place, name) in named.chain(&wish.models).enumerate() {
            if place + 1 >= MODELS_MOST {
                let message = format!("`models` names more than {MODELS_MOST} models.");
                return Err(Fault::new(FaultCode::InvalidRequest, message).param("models").into());
            }
            if let Ok(Named { offer, .. }) = self.named(name)
                && !offers.iter().any(|known| Rc::ptr_eq(known, &offer))
            {
                offers.push(offer);
            }
        }
        Ok(offers)
    }
}

/// The endpoints that may serve a request, each with the place of its model, and those that may not, with the reason.
struct Sifted {
    kept: Vec<(usize, Rc<Lane>)>,
    excluded: Vec<(Route, &'static str)>,
}

impl Sifted {
    fn of(offers: &[Rc<Offer>], wish: &Wish, parameters: impl FnOnce() -> Vec<String>) -> Sifted {
        let wanted = if wish.require_parameters == Some(true) { parameters() } else { Vec::new() };
        let mut sifted = Sifted { kept: Vec::new(), excluded: Vec::new() };
        for (place, offer) in offers.iter().enumerate() {
            sifted.excluded.extend(offer.closed.iter().cloned());
            let listed = &offer.entry.model.supported_parameters;
            let lacks = |_: &Route| wanted.iter().any(|name| !codec::parameters::is_listed(name, listed));
            for lane in offer.lanes.iter() {
                match filter::excluded(wish, &lane.route, lacks) {
                    None => sifted.kept.push((place, lane.clone())),
                    Some(reason) => sifted.excluded.push((lane.route.clone(), reason)),
                }
            }
        }
        sifted
    }

    /// What is known of those that may serve it. Of an endpoint of which `probes` lets this request find out how it does, no
    /// ill is said.
    fn listings(&self, worker: &Worker, wish: &Wish, probes: impl Fn(&Lane) -> bool) -> Vec<Listing<'_>> {
        let kept = self.kept.iter().enumerate();
        let listings = kept.map(|(place, (model, lane))| Listing {
            place,
            route: &lane.route,
            model: *model,
            is_shut: lane.health.is_shut(&worker.alarms),
            is_aside: lane.health.is_aside() && !probes(lane),
            is_slow: is_slow(worker, lane, wish),
            first_output_ms: lane.health.first_output_ms(),
            speed: lane.health.speed(),
        });
        listings.collect()
    }
}

/// Whether an endpoint is known to miss what is preferred. Throughput is what this share of answers reaches at least.
fn is_slow(worker: &Worker, lane: &Lane, wish: &Wish) -> bool {
    let (health, alarms) = (&lane.health, &worker.alarms);
    let above =
        |(share, seconds): (f64, f64)| health.latency_at(share, alarms).is_some_and(|ms| ms as f64 > seconds * 1_000.0);
    let below = |(share, tokens): (f64, f64)| {
        health.throughput_at(1.0 - share, alarms).is_some_and(|speed| (speed as f64) < tokens)
    };
    wish.preferred_max_latency.is_some_and(|most| most.each().any(above))
        || wish.preferred_min_throughput.is_some_and(|least| least.each().any(below))
}

fn unknown_model(name: &str) -> Refusal {
    let shown: String = name.chars().take(100).collect();
    let message = format!("The model `{shown}` does not exist.");
    Fault::new(FaultCode::UnknownModel, message).param("model").into()
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
