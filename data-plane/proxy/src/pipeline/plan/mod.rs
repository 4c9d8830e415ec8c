//! Which endpoints may serve a request, in which order. Pure but for reading what the worker has measured: never sends a
//! byte, takes no hold, looks at no message text. Next room: `admit`.

mod filter;
mod order;
mod wish;

use std::rc::Rc;

use codec::Dialect;
use domain::{
    faults::{Fault, FaultCode},
    keys::Policy,
    snapshot::Route,
};
use serde_json::json;

use self::{order::Listing, wish::Wish};
use super::{Refusal, Visit, arrival::Arrival};
use crate::{
    offers::{Lane, Offer, View},
    purse::Purse,
    worker::Worker,
};

/// Models that one request may name; each costs a look-up.
const MODELS_MOST: usize = 16;
/// Sorting by price, which is how it is done anyway.
const FLOOR: &str = ":floor";

/// Endpoints in the order in which they are tried. Never empty.
pub(crate) struct Plan {
    pub lanes: Rc<[Rc<Lane>]>,
    /// Whether a translation may lose nothing.
    pub requires_parameters: bool,
    /// The first model that the request names.
    first: Rc<Offer>,
}

impl Plan {
    /// How the model is called in the answer: as the caller did, without a variant, where that model answered; else by
    /// its full id.
    pub fn public_name(&self, lane: &Lane, arrival: &Arrival) -> String {
        match lane.route.endpoint.model == self.first.entry.model.id {
            true => plain_name(arrival.requested()).to_owned(),
            false => lane.route.endpoint.model.to_string(),
        }
    }
}

fn plain_name(name: &str) -> &str {
    name.strip_suffix(FLOOR).unwrap_or(name)
}

/// Plans one request.
pub(crate) fn plan(visit: &Visit, view: &View, purse: &Purse, arrival: &Arrival) -> Result<Plan, Refusal> {
    let scan = &arrival.scan;
    let requested = arrival.requested();
    let others = scan.fallbacks.iter().skip(usize::from(scan.model.is_none())).map(String::as_str);
    if !visit.span.is_disabled() {
        visit.span.record("gen_ai.request.model", requested);
        visit.span.record("otel.name", format!("chat {requested}"));
    }
    let worker = &visit.worker;
    let first = usable((worker, visit.dialect), view, &purse.policy, requested)?;
    let raw = scan.provider.and_then(|span| arrival.body.get(span.start..span.end));
    let mut requires_parameters = false;
    let lanes = match raw.is_none() && scan.fallbacks.is_empty() && is_calm(worker, &first.lanes) {
        true => first.lanes.clone(),
        false => {
            let offers = offers((worker, visit.dialect), view, &purse.policy, &first, others)?;
            let wish = Wish::read(raw)?;
            requires_parameters = wish.require_parameters == Some(true);
            choose(worker, &offers, &wish, || visit.dialect.parameters(&arrival.body, scan))?
        }
    };
    if lanes.is_empty() {
        return Err(no_endpoints(first.closed.iter().copied()));
    }
    Ok(Plan { lanes, requires_parameters, first })
}

/// Whether any endpoint of the first model can be asked in the client's dialect. An unknown model and one that the key may
/// not use are refused.
pub(super) fn can_be_asked(visit: &Visit, view: &View, purse: &Purse, arrival: &Arrival) -> Result<bool, Refusal> {
    let first = usable((&visit.worker, visit.dialect), view, &purse.policy, arrival.requested())?;
    Ok(!first.lanes.is_empty())
}

/// The first model, and those of the others that exist and may be used.
fn offers<'a>(
    asked: (&Worker, &'static Dialect),
    view: &View,
    policy: &Policy,
    first: &Rc<Offer>,
    others: impl Iterator<Item = &'a str>,
) -> Result<Vec<Rc<Offer>>, Refusal> {
    let mut offers = vec![first.clone()];
    for (place, name) in others.enumerate() {
        if place + 1 >= MODELS_MOST {
            let message = format!("`models` names more than {MODELS_MOST} models.");
            return Err(Fault::new(FaultCode::InvalidRequest, message).param("models").into());
        }
        if let Ok(offer) = usable(asked, view, policy, name)
            && !offers.iter().any(|known| Rc::ptr_eq(known, &offer))
        {
            offers.push(offer);
        }
    }
    Ok(offers)
}

fn usable(
    (worker, dialect): (&Worker, &'static Dialect),
    view: &View,
    policy: &Policy,
    name: &str,
) -> Result<Rc<Offer>, Refusal> {
    let name = plain_name(name);
    let offer = worker.offer(view, dialect, name).ok_or_else(|| unknown_model(name))?;
    let id = offer.entry.model.id.as_str();
    if policy.allows_model(id) {
        return Ok(offer);
    }
    let message = format!("This key may not use the model `{id}`.");
    Err(Fault::new(FaultCode::ModelNotAllowed, message).param("model").into())
}

/// Whether the order by price, made when the snapshot came, needs no second look.
fn is_calm(worker: &Worker, lanes: &[Rc<Lane>]) -> bool {
    !lanes.iter().any(|lane| lane.health.is_shut(&worker.alarms))
}

fn choose(
    worker: &Worker,
    offers: &[Rc<Offer>],
    wish: &Wish,
    parameters: impl FnOnce() -> Vec<String>,
) -> Result<Rc<[Rc<Lane>]>, Refusal> {
    let wanted = if wish.require_parameters == Some(true) { parameters() } else { Vec::new() };
    let mut reasons: Vec<&'static str> = offers.iter().flat_map(|offer| offer.closed.iter().copied()).collect();
    let mut kept: Vec<(usize, &Rc<Lane>)> = Vec::new();
    for (place, offer) in offers.iter().enumerate() {
        let listed = &offer.entry.model.supported_parameters;
        let lacks = |_: &Route| wanted.iter().any(|name| !codec::parameters::is_listed(name, listed));
        for lane in offer.lanes.iter() {
            match filter::excluded(wish, &lane.route, lacks) {
                None => kept.push((place, lane)),
                Some(reason) => reasons.push(reason),
            }
        }
    }
    if kept.is_empty() {
        return Err(no_endpoints(reasons));
    }
    let listings: Vec<Listing<'_>> = kept.iter().map(|(place, lane)| listing(worker, *place, lane)).collect();
    let places = in_order(listings, wish);
    let mut lanes: Vec<Rc<Lane>> =
        places.into_iter().filter_map(|place| kept.get(place).map(|(_, lane)| Rc::clone(lane))).collect();
    if wish.allow_fallbacks == Some(false) && wish.order.is_none() {
        lanes.truncate(1);
    }
    Ok(lanes.into())
}

fn listing<'a>(worker: &Worker, model: usize, lane: &'a Lane) -> Listing<'a> {
    Listing {
        route: &lane.route,
        model,
        is_shut: lane.health.is_shut(&worker.alarms),
        first_output_ms: lane.health.first_output_ms(),
        speed: lane.health.speed(),
    }
}

/// The places of the listings in the order in which they are tried.
fn in_order(listings: Vec<Listing<'_>>, wish: &Wish) -> Vec<usize> {
    let mut sorted = listings.clone();
    order::sort(&mut sorted, wish);
    let place_of = |listing: &Listing<'_>| listings.iter().position(|known| std::ptr::eq(known.route, listing.route));
    sorted.iter().filter_map(place_of).collect()
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

    #[test]
    fn places_follow_the_order() {
        let (dear, cheap) = (route("dear", "3", "3"), route("cheap", "1", "1"));
        let listed = |route| Listing { route, model: 0, is_shut: false, first_output_ms: 0, speed: 0 };
        assert_eq!(in_order(vec![listed(&dear), listed(&cheap)], &Wish::default()), [1, 0]);
    }
}
