//! The rules that bind one request together: its own wishes, its key's rules and its organisation's. What one of them
//! leaves out stays out, whatever the others say; what is only a matter of order is said by the nearest.
//! So no rule can be loosened by another, and nobody has to merge lists of names that mean the same in two spellings.

use std::sync::Arc;
use std::time::Duration;

use super::filter;
use super::preferences::{By, Preferences, Threshold};
use super::rules::{Rules, Triggers};
use crate::snapshot::Route;

/// How an order comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// The first is drawn by price, the others follow by price.
    Balanced,
    /// As the sender lists the providers.
    Order,
    Price,
    Latency,
    Throughput,
    Exacto,
}

impl Strategy {
    /// Its name for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Balanced => "balanced",
            Strategy::Order => "order",
            Strategy::Price => "price",
            Strategy::Latency => "latency",
            Strategy::Throughput => "throughput",
            Strategy::Exacto => "exacto",
        }
    }
}

/// Rules, the nearest first.
#[derive(Debug, Clone, Default)]
pub struct Rulebook {
    layers: Vec<Arc<Rules>>,
}

impl Rulebook {
    /// The rules of a key and its organisation; none where neither has any.
    pub fn of(key: Option<&Arc<Rules>>, org: Option<&Arc<Rules>>) -> Option<Rulebook> {
        let layers: Vec<_> = key.into_iter().chain(org).cloned().collect();
        (!layers.is_empty()).then_some(Rulebook { layers })
    }

    /// The same with what one request wishes, which is nearer than all else.
    pub fn with(standing: Option<&Rulebook>, request: impl Into<Arc<Rules>>) -> Rulebook {
        let standing = standing.map_or(&[][..], |book| &book.layers);
        Rulebook { layers: [request.into()].into_iter().chain(standing.iter().cloned()).collect() }
    }

    fn preferences(&self) -> impl Iterator<Item = &Preferences> {
        self.layers.iter().map(|rules| &rules.provider)
    }

    /// Why this endpoint may not serve the request; none when it may. `lacks_parameter` is asked only when it is required
    /// that every parameter is supported.
    pub fn excluded(&self, route: &Route, lacks_parameter: impl Fn(&Route) -> bool) -> Option<&'static str> {
        self.preferences().find_map(|preferences| filter::excluded(preferences, route, &lacks_parameter))
    }

    /// Whoever has a say in the order: the nearest that says anything of it says all of it.
    fn orders(&self) -> Option<&Preferences> {
        self.preferences().find(|preferences| preferences.order.is_some() || preferences.sort.is_some())
    }

    /// How the order comes about.
    pub fn strategy(&self) -> Strategy {
        match (self.orders().is_some_and(|orders| orders.order.is_some()), self.by()) {
            (true, _) => Strategy::Order,
            (false, None) => Strategy::Balanced,
            (false, Some(By::Price)) => Strategy::Price,
            (false, Some(By::Latency)) => Strategy::Latency,
            (false, Some(By::Throughput)) => Strategy::Throughput,
            (false, Some(By::Exacto)) => Strategy::Exacto,
        }
    }

    /// The providers that come first, in their order.
    pub fn order(&self) -> &[String] {
        self.orders().and_then(|orders| orders.order.as_deref()).unwrap_or_default()
    }

    /// What decides the order; none leaves it to the price and to chance.
    pub fn by(&self) -> Option<By> {
        self.orders().and_then(Preferences::by)
    }

    /// Whether the endpoints of several models are sorted together.
    pub fn is_pooled(&self) -> bool {
        self.orders().is_some_and(Preferences::is_pooled)
    }

    /// Whether nothing beyond the first choice may be asked.
    pub fn takes_one(&self) -> bool {
        self.preferences().any(Preferences::takes_one)
    }

    /// Whether an endpoint must support every parameter that is sent.
    pub fn requires_parameters(&self) -> bool {
        self.preferences().any(|preferences| preferences.require_parameters == Some(true))
    }

    /// Output tokens a second that are preferred.
    pub fn least_throughput(&self) -> Option<Threshold> {
        self.preferences().find_map(|preferences| preferences.preferred_min_throughput)
    }

    /// Seconds to the first output that are preferred.
    pub fn most_latency(&self) -> Option<Threshold> {
        self.preferences().find_map(|preferences| preferences.preferred_max_latency)
    }

    /// How long the request may take.
    pub fn timeout(&self) -> Option<Duration> {
        self.layers.iter().filter_map(|rules| rules.timeout).min()
    }

    /// The failures that may lead to another model.
    pub fn triggers(&self) -> Triggers {
        let said = self.layers.iter().filter_map(|rules| rules.fallbacks.triggers);
        said.fold(Triggers::ALL, Triggers::both)
    }

    /// Models to try after the first where the request names none.
    pub fn models(&self) -> &[String] {
        let named = self.layers.iter().map(|rules| &rules.fallbacks.models);
        named.into_iter().find(|models| !models.is_empty()).map_or(&[], Vec::as_slice)
    }
}
