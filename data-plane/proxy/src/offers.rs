//! What a snapshot has to sell, made ready for one worker: for each model the endpoints that can be used, cheapest first,
//! with address, bridge, quirks and header values worked out once and not for each request.
//! Never chooses among them; `pipeline/plan` does. Next rooms: `health` and `odds`.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use codec::{Bridge, Dialect, Quirks, Surface};
use domain::{
    catalog::{Model, PriceList},
    ids::{EndpointId, ProviderId},
    keys::Policy,
    providers::Provider,
    routing::price_key,
    snapshot::{ModelEntry, Route, Snapshot},
};
use http::HeaderValue;
use link::health::view::State;

use crate::{
    fair::Turnstile,
    health::Health,
    odds::Odds,
    standing::{Standing, Standings},
    sync::{Funds, Link},
    telemetry::{AttemptCounters, Tally},
    upstream::{Target, Upstream, auth, auth::Signer},
    worker::Worker,
};

/// Model lists that are kept ready.
const LISTS_MOST: usize = 64;

/// An endpoint that can be used.
pub(crate) struct Lane {
    pub route: Route,
    pub model: Arc<Model>,
    /// The client's dialect.
    client: &'static Dialect,
    pub bridge: Bridge,
    /// The provider's dialect.
    pub dialect: &'static Dialect,
    pub quirks: Quirks,
    pub target: Target,
    pub signer: Signer,
    pub model_header: HeaderValue,
    pub provider_header: HeaderValue,
    pub counters: AttemptCounters,
    pub health: Rc<Health>,
    /// What goes beyond this worker.
    pub standing: Arc<Standing>,
    /// The way to the account at the provider.
    pub turnstile: Rc<Turnstile>,
}

impl Lane {
    fn is_of(&self, entry: &ModelEntry, route: &Route) -> bool {
        Arc::ptr_eq(&self.model, &entry.model)
            && Arc::ptr_eq(&self.route.endpoint, &route.endpoint)
            && Arc::ptr_eq(&self.route.provider, &route.provider)
    }

    /// How long it is still to be left alone, as its provider asked; none when it may be asked.
    pub fn cooling(&self, worker: &Worker) -> Option<Duration> {
        // One load, mostly; the clock is read only by who is told yes.
        self.standing.is_amiss().then(|| self.standing.cooling(worker.gate.now_ms())).flatten()
    }

    /// What all proxies together say of it.
    pub fn state(&self, worker: &Worker) -> State {
        if self.standing.is_amiss() { self.standing.state(worker.gate.now_ms()) } else { State::Healthy }
    }

    /// Whether a request may find out how it does, where it was set aside. Takes the chance.
    pub fn take_probe(&self, worker: &Worker) -> bool {
        match self.health.is_aside() {
            true => self.health.take_probe(&worker.alarms),
            false => self.state(worker) == State::Ejected && self.health.take_probe_for_others(&worker.alarms),
        }
    }

    pub fn prices(&self) -> &PriceList {
        &self.route.endpoint.prices
    }

    /// The most answer tokens it can give, if its maker says.
    pub fn max_output(&self) -> Option<u64> {
        self.route.endpoint.max_output_tokens.or(self.model.max_output_tokens)
    }
}

/// A model and its endpoints that can be used, cheapest first.
pub(crate) struct Offer {
    pub entry: Arc<ModelEntry>,
    pub lanes: Rc<[Rc<Lane>]>,
    /// The endpoints that cannot be used, and why.
    pub closed: Vec<(Route, &'static str)>,
    /// The chances of each endpoint to be asked first.
    pub odds: Odds,
    /// Whether a conversation is cheaper where it was before: some endpoint asks less for what it has in its cache.
    pub has_cache: bool,
    /// The endpoints with one of them in front, for each that ever came first.
    led: RefCell<HashMap<usize, Rc<[Rc<Lane>]>>>,
}

impl Offer {
    /// The endpoints with the one at this place in front, the others cheapest first.
    pub fn led_by(&self, place: usize) -> Rc<[Rc<Lane>]> {
        let Some(first) = self.lanes.get(place).filter(|_| place > 0) else { return self.lanes.clone() };
        let make = || {
            let others = self.lanes.iter().enumerate().filter(|(other, _)| *other != place);
            [first].into_iter().chain(others.map(|(_, lane)| lane)).cloned().collect()
        };
        self.led.borrow_mut().entry(place).or_insert_with(make).clone()
    }
}

/// One snapshot as a worker uses it.
pub(crate) struct View {
    pub snapshot: Arc<Snapshot>,
    offers: RefCell<Offers>,
    lists: RefCell<Vec<List>>,
}

/// What is on offer to the clients of each dialect, by name.
type Offers = Vec<(&'static Dialect, HashMap<Box<str>, Rc<Offer>>)>;

/// A ready answer to `GET models`.
struct List {
    policy: Arc<Policy>,
    dialect: &'static Dialect,
    surface: Surface,
    body: Bytes,
}

impl View {
    fn offer(&self, dialect: &'static Dialect, name: &str) -> Option<Rc<Offer>> {
        let offers = self.offers.borrow();
        offers.iter().find(|(known, _)| std::ptr::eq(*known, dialect))?.1.get(name).cloned()
    }

    fn remember(&self, dialect: &'static Dialect, name: &str, offer: Rc<Offer>) {
        let mut offers = self.offers.borrow_mut();
        let place = offers.iter().position(|(known, _)| std::ptr::eq(*known, dialect)).unwrap_or_else(|| {
            offers.push((dialect, HashMap::new()));
            offers.len() - 1
        });
        if let Some((_, names)) = offers.get_mut(place) {
            names.insert(name.into(), offer);
        }
    }

    /// The model list for this policy; `make` is called when it is not there yet.
    pub fn model_list(
        &self,
        policy: &Arc<Policy>,
        (dialect, surface): (&'static Dialect, Surface),
        make: impl FnOnce() -> Bytes,
    ) -> Bytes {
        let same = |list: &&List| {
            list.policy.allow_models == policy.allow_models && list.surface == surface && list.dialect == dialect
        };
        if let Some(list) = self.lists.borrow().iter().find(same) {
            return list.body.clone();
        }
        let body = make();
        let mut lists = self.lists.borrow_mut();
        if lists.len() >= LISTS_MOST {
            lists.clear();
        }
        lists.push(List { policy: policy.clone(), dialect, surface, body: body.clone() });
        body
    }
}

/// Makes views, and keeps what does not change from one to the next.
pub(crate) struct Shelf {
    upstream: Upstream,
    tally: Rc<Tally>,
    standings: Standings,
    funds: Funds,
    view: Rc<View>,
    /// For each endpoint, one for every dialect that it was asked in.
    lanes: HashMap<EndpointId, Vec<Rc<Lane>>>,
    health: HashMap<EndpointId, Rc<Health>>,
    turnstiles: HashMap<ProviderId, Rc<Turnstile>>,
}

impl Shelf {
    pub fn new(upstream: Upstream, tally: Rc<Tally>, link: &Link, snapshot: Arc<Snapshot>) -> Shelf {
        let view = Rc::new(View { snapshot, offers: RefCell::default(), lists: RefCell::default() });
        Shelf {
            upstream,
            tally,
            standings: link.standings.clone(),
            funds: link.funds.clone(),
            view,
            lanes: HashMap::new(),
            health: HashMap::new(),
            turnstiles: HashMap::new(),
        }
    }

    /// The view of this snapshot; the catalogue's part is made anew only when the catalogue changed.
    pub fn view(&mut self, snapshot: &Arc<Snapshot>) -> Rc<View> {
        if Arc::ptr_eq(&self.view.snapshot, snapshot) {
            return self.view.clone();
        }
        let same_catalogue = std::ptr::eq(self.view.snapshot.catalogue(), snapshot.catalogue());
        let (offers, lists) = match same_catalogue {
            true => (self.view.offers.take(), self.view.lists.take()),
            false => Default::default(),
        };
        if !same_catalogue {
            self.forget_removed(snapshot);
        }
        self.view =
            Rc::new(View { snapshot: snapshot.clone(), offers: RefCell::new(offers), lists: RefCell::new(lists) });
        self.view.clone()
    }

    fn forget_removed(&mut self, snapshot: &Snapshot) {
        let routes = || snapshot.catalogue().models().iter().flat_map(|entry| &entry.routes);
        let present: HashSet<&EndpointId> = routes().map(|route| &route.endpoint.id).collect();
        let providers: HashSet<&ProviderId> = routes().map(|route| &route.provider.id).collect();
        self.turnstiles.retain(|id, _| providers.contains(id));
        self.lanes.retain(|id, _| present.contains(id));
        self.health.retain(|id, _| present.contains(id));
    }

    /// What is on offer under this name (an id, or a bare slug that only one model has) to clients of this dialect.
    pub fn offer(&mut self, view: &View, dialect: &'static Dialect, name: &str) -> Option<Rc<Offer>> {
        if let Some(offer) = view.offer(dialect, name) {
            return Some(offer);
        }
        let entry = view.snapshot.catalogue().model(name)?;
        let offer = Rc::new(self.prepare(entry, dialect));
        view.remember(dialect, name, offer.clone());
        Some(offer)
    }

    fn prepare(&mut self, entry: &Arc<ModelEntry>, dialect: &'static Dialect) -> Offer {
        let (mut lanes, mut closed) = (Vec::new(), Vec::new());
        for route in &entry.routes {
            match self.lane(entry, route, dialect) {
                Ok(lane) => lanes.push(lane),
                Err(reason) => closed.push((route.clone(), reason)),
            }
        }
        lanes.sort_by_key(|lane| price_key(lane.prices()));
        let odds = Odds::of(lanes.iter().map(|lane| price_key(lane.prices())));
        let has_cache = lanes.iter().any(|lane| is_cheaper_cached(lane.prices()));
        Offer { entry: entry.clone(), lanes: lanes.into(), closed, odds, has_cache, led: RefCell::default() }
    }

    fn turnstile(&mut self, provider: &Provider) -> Rc<Turnstile> {
        let known = self.turnstiles.entry(provider.id.clone());
        let turnstile = known.or_insert_with(|| Rc::new(Turnstile::new(self.funds.clone()))).clone();
        turnstile.keep(&provider.id, provider.limits);
        turnstile
    }

    fn health(&mut self, id: &EndpointId) -> Rc<Health> {
        let make = || Rc::new(Health::counted(self.standings.sheet(id)));
        self.health.entry(id.clone()).or_insert_with(make).clone()
    }

    fn lane(&mut self, entry: &ModelEntry, route: &Route, dialect: &'static Dialect) -> Result<Rc<Lane>, &'static str> {
        let id = &route.endpoint.id;
        let known = self.lanes.get(id).into_iter().flatten();
        if let Some(known) = known.into_iter().find(|known| known.client == dialect && known.is_of(entry, route)) {
            return Ok(known.clone());
        }
        if let Some(reason) = why_closed(route) {
            return Err(reason);
        }
        let (provider_dialect, bridge) = joined(dialect, route).ok_or("dialect")?;
        let target = self.upstream.target(&route.provider.base_url).map_err(|_| "bad_address")?;
        let lane = Rc::new(Lane {
            route: route.clone(),
            model: entry.model.clone(),
            client: dialect,
            bridge,
            dialect: provider_dialect,
            quirks: provider_dialect.parse_quirks(&route.endpoint.quirks).map_err(|_| "unknown_quirk")?,
            signer: self.upstream.signer(&route.provider.auth, &target).ok_or("unknown_auth")?,
            target,
            model_header: text_header(entry.model.id.as_str()),
            provider_header: text_header(route.provider.id.as_str()),
            counters: self.tally.attempts(route.provider.id.as_str()),
            health: self.health(id),
            standing: self.standings.of(route),
            turnstile: self.turnstile(&route.provider),
        });
        let lanes = self.lanes.entry(id.clone()).or_default();
        lanes.retain(|known| known.client != dialect);
        lanes.push(lane.clone());
        Ok(lane)
    }
}

/// Why nothing can be sent to an endpoint on credits, if nothing can.
pub(crate) fn why_closed(route: &Route) -> Option<&'static str> {
    if !route.endpoint.enabled || !route.provider.enabled {
        return Some("disabled");
    }
    if !route.endpoint.prices.is_complete() {
        return Some("no_price");
    }
    if !auth::knows(&route.provider.auth) {
        return Some("unknown_auth");
    }
    (!route.provider.can_sign()).then_some("no_credential")
}

/// The client's own dialect where the provider speaks it, else the first of the provider's that there is a way to.
fn joined(client: &'static Dialect, route: &Route) -> Option<(&'static Dialect, Bridge)> {
    let dialects = || route.provider.dialects.iter().filter_map(|id| codec::dialect::find(id.as_str()));
    let mut ways = dialects().filter(|dialect| *dialect == client).chain(dialects());
    if route.provider.dialects.iter().any(|id| id.as_str() == client.row) && client.id != client.row {
        return Some((client, Bridge::between(client, client)?));
    }
    ways.find_map(|dialect| Some((dialect, Bridge::between(client, dialect)?)))
}

/// Whether any endpoint of the model can be used through this dialect.
pub(crate) fn is_reachable(entry: &ModelEntry, dialect: &'static Dialect) -> bool {
    entry.routes.iter().any(|route| why_closed(route).is_none() && joined(dialect, route).is_some())
}

fn is_cheaper_cached(prices: &PriceList) -> bool {
    prices.cache_read.is_some_and(|cached| prices.prompt.is_some_and(|prompt| cached < prompt))
}

/// Ids are checked to be visible ASCII; anything else would be left out rather than break an answer.
fn text_header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
