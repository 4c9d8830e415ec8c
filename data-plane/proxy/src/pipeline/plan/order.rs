//! In which order endpoints are tried. Pure: what is known about each and a random number in, an order out. Never drops one;
//! that is `filter`.

use domain::snapshot::Route;

use super::{
    filter::{is_named, is_part},
    wish::{By, Wish},
};
use crate::{odds::Odds, offers::price_key};

/// One endpoint with what this worker has seen of it.
#[derive(Clone, Copy)]
pub(super) struct Listing<'a> {
    /// Its place among all that are listed.
    pub place: usize,
    pub route: &'a Route,
    /// Place of its model among those that the request names.
    pub model: usize,
    /// Fails so often that it is left alone for a while: the last resort of all, whatever is wished.
    pub is_shut: bool,
    /// Failed lately: goes behind its equals, but is not lost.
    pub is_aside: bool,
    /// Misses a preferred throughput or latency.
    pub is_slow: bool,
    /// Milliseconds to the first output; 0 when unknown.
    pub first_output_ms: u64,
    /// Output tokens a second; 0 when unknown.
    pub speed: u64,
}

/// How an order comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
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
    /// The strategy that a wish asks for.
    pub fn of(wish: &Wish) -> Strategy {
        match (&wish.order, wish.by()) {
            (Some(_), _) => Strategy::Order,
            (None, None) => Strategy::Balanced,
            (None, Some(By::Price)) => Strategy::Price,
            (None, Some(By::Latency)) => Strategy::Latency,
            (None, Some(By::Throughput)) => Strategy::Throughput,
            (None, Some(By::Exacto)) => Strategy::Exacto,
        }
    }

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

/// Sorts by the wish; where it says nothing of the order, the first of the best is drawn. `random` is from 0 up to 1.
/// Endpoints that differ in nothing keep their order.
pub(super) fn sort(listings: &mut [Listing<'_>], wish: &Wish, random: f64) {
    let price = |listing: &Listing<'_>| price_key(&listing.route.endpoint.prices);
    listings.sort_by_cached_key(|listing| (group(listing, wish), merit(wish.by(), listing), price(listing)));
    if Strategy::of(wish) == Strategy::Balanced {
        let place = odds(listings, wish).draw(random);
        if let Some(drawn) = listings.get_mut(..=place) {
            drawn.rotate_right(1);
        }
    }
}

/// The chances to come first of those sorted listings that nothing but the price tells apart from the first.
pub(super) fn odds(sorted: &[Listing<'_>], wish: &Wish) -> Odds {
    let best = sorted.first().map(|listing| group(listing, wish));
    let equals = sorted.iter().take_while(|listing| Some(group(listing, wish)) == best);
    Odds::of(equals.map(|listing| price_key(&listing.route.endpoint.prices)))
}

/// What comes before all merit: smaller is better.
fn group(listing: &Listing<'_>, wish: &Wish) -> (bool, usize, usize, bool, bool, bool) {
    let model = if wish.is_pooled() { 0 } else { listing.model };
    let place = wished_place(wish, listing);
    (listing.is_shut, model, place, listing.is_aside, listing.is_slow, is_far(wish, listing))
}

/// The place in `order`; endpoints that are not named there come behind all that are.
fn wished_place(wish: &Wish, listing: &Listing<'_>) -> usize {
    let order = wish.order.as_deref().unwrap_or_default();
    order.iter().position(|name| is_named(&listing.route.provider, name)).unwrap_or(order.len())
}

/// Whether a region is preferred in which the provider is not. `us` and `us-east` are near each other.
fn is_far(wish: &Wish, listing: &Listing<'_>) -> bool {
    let is_near = |near: &str| {
        let regions = &listing.route.provider.regions;
        regions.iter().any(|known| is_part(known, near) || is_part(near, known))
    };
    wish.near.as_deref().is_some_and(|near| !is_near(near))
}

/// Smaller is better. What was never measured comes behind what was.
fn merit(by: Option<By>, listing: &Listing<'_>) -> i128 {
    let known = |value: u64| value > 0;
    match by {
        None | Some(By::Price | By::Exacto) => 0,
        Some(By::Latency) if known(listing.first_output_ms) => i128::from(listing.first_output_ms),
        Some(By::Throughput) if known(listing.speed) => -i128::from(listing.speed),
        Some(By::Latency | By::Throughput) => i128::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::plan::tests::route;

    fn listed(place: usize, route: &Route) -> Listing<'_> {
        Listing {
            place,
            route,
            model: 0,
            is_shut: false,
            is_aside: false,
            is_slow: false,
            first_output_ms: 0,
            speed: 0,
        }
    }

    fn sorted(wish: &str, random: f64, listings: &[Listing<'_>]) -> Vec<String> {
        let wish = Wish::read(Some(wish.as_bytes())).unwrap();
        let mut listings = listings.to_vec();
        sort(&mut listings, &wish, random);
        listings.iter().map(|listing| listing.route.provider.id.to_string()).collect()
    }

    #[test]
    fn endpoints_are_tried_as_wished() {
        let (cheap, mid, dear) = (route("cheap", "1", "1"), route("mid", "2", "2"), route("dear", "3", "3"));
        let all = [
            Listing { first_output_ms: 10, speed: 5, ..listed(0, &dear) },
            Listing { first_output_ms: 30, speed: 9, ..listed(1, &cheap) },
            listed(2, &mid),
        ];
        // The draw has no part in what is wished.
        for random in [0.0, 0.99] {
            assert_eq!(sorted(r#"{"sort":"price"}"#, random, &all), ["cheap", "mid", "dear"]);
            assert_eq!(sorted(r#"{"sort":"latency"}"#, random, &all), ["dear", "cheap", "mid"]);
            assert_eq!(sorted(r#"{"sort":"throughput"}"#, random, &all), ["cheap", "dear", "mid"]);
            assert_eq!(sorted(r#"{"order":["mid"]}"#, random, &all), ["mid", "cheap", "dear"]);
            assert_eq!(sorted(r#"{"order":["dear","mid"]}"#, random, &all), ["dear", "mid", "cheap"]);
        }
    }

    #[test]
    fn without_a_wish_the_first_is_drawn_and_the_others_follow_by_price() {
        let (cheap, mid, dear) = (route("cheap", "1", "1"), route("mid", "2", "2"), route("dear", "3", "3"));
        let all = [listed(0, &dear), listed(1, &cheap), listed(2, &mid)];
        assert_eq!(sorted("{}", 0.0, &all), ["cheap", "mid", "dear"]);
        assert_eq!(sorted("{}", 0.8, &all), ["mid", "cheap", "dear"]);
        assert_eq!(sorted("{}", 0.999, &all), ["dear", "cheap", "mid"]);
    }

    #[test]
    fn what_fails_goes_last_but_stays() {
        let (cheap, dear) = (route("cheap", "1", "1"), route("dear", "3", "3"));
        let all = [Listing { is_aside: true, ..listed(0, &cheap) }, listed(1, &dear)];
        for random in [0.0, 0.99] {
            assert_eq!(sorted("{}", random, &all), ["dear", "cheap"]);
            assert_eq!(sorted(r#"{"sort":"price"}"#, random, &all), ["dear", "cheap"]);
            assert_eq!(sorted(r#"{"order":["cheap"]}"#, random, &all), ["cheap", "dear"], "one accident is no reason");
        }
        let all = [Listing { is_shut: true, ..listed(0, &cheap) }, Listing { model: 1, ..listed(1, &dear) }];
        assert_eq!(sorted(r#"{"order":["cheap"]}"#, 0.5, &all), ["dear", "cheap"]);
    }

    #[test]
    fn what_is_slower_than_preferred_is_demoted() {
        let (cheap, dear) = (route("cheap", "1", "1"), route("dear", "3", "3"));
        let all = [Listing { is_slow: true, ..listed(0, &cheap) }, listed(1, &dear)];
        assert_eq!(sorted("{}", 0.0, &all), ["dear", "cheap"]);
    }

    #[test]
    fn a_preferred_region_comes_first_and_excludes_nothing() {
        let (here, there) = (route("here", "3", "3"), route("there", "1", "1"));
        let mut provider = (*there.provider).clone();
        provider.regions = vec!["eu-west".to_owned()];
        let there = Route { provider: provider.into(), ..there };
        let all = [listed(0, &there), listed(1, &here)];
        for (near, first) in [("us", "here"), ("us-east", "here"), ("eu", "there"), ("eu-west", "there")] {
            let wish = Wish { near: Some(near.to_owned()), ..Wish::default() };
            let mut listings = all.to_vec();
            sort(&mut listings, &wish, 0.0);
            assert_eq!(listings[0].route.provider.id.as_str(), first, "{near}");
            assert_eq!(listings.len(), 2);
        }
    }

    #[test]
    fn models_are_tried_in_turn_unless_they_are_pooled() {
        let (first, second) = (route("first", "5", "5"), route("second", "1", "1"));
        let both = [Listing { model: 1, ..listed(0, &second) }, listed(1, &first)];
        assert_eq!(sorted("{}", 0.5, &both), ["first", "second"]);
        assert_eq!(sorted(r#"{"sort":{"by":"price","partition":"none"}}"#, 0.5, &both), ["second", "first"]);
    }
}
