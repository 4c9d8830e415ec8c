//! In which order endpoints are tried. Pure: what is known about each and a random number in, an order out. Never drops one;
//! that is `domain::routing`.

use domain::{
    routing::{By, Strategy, Trigger, is_named, is_part, price_key},
    snapshot::Route,
};

use link::health::view::State;

use super::wish::Wish;
use crate::odds::Odds;

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
    /// What all proxies together say of it.
    pub state: State,
    /// Milliseconds to the first output; 0 when unknown.
    pub first_output_ms: u64,
    /// Output tokens a second; 0 when unknown.
    pub speed: u64,
}

/// Sorts by the wish; where it says nothing of the order, the first of the best is drawn. `random` is from 0 up to 1.
/// Endpoints that differ in nothing keep their order.
pub(super) fn sort(listings: &mut [Listing<'_>], wish: &Wish, random: f64) {
    let price = |listing: &Listing<'_>| price_key(&listing.route.endpoint.prices);
    listings.sort_by_cached_key(|listing| (group(listing, wish), merit(wish.book.by(), listing), price(listing)));
    if wish.book.strategy() == Strategy::Balanced {
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
    Odds::of(equals.map(weighed))
}

/// The price by which an endpoint is drawn: one that fails often is drawn as if it were so much dearer that three in ten
/// draws are left of ten. The root of ten thirds is 1.826.
fn weighed(listing: &Listing<'_>) -> i128 {
    let price = price_key(&listing.route.endpoint.prices);
    if listing.state == State::Degraded { price.saturating_mul(1_826) / 1_000 } else { price }
}

/// What comes before all merit: smaller is better. Who is shut comes last of all; where that may not lead to another model,
/// last of its own.
fn group(listing: &Listing<'_>, wish: &Wish) -> (bool, usize, bool, usize, bool, bool, bool) {
    let model = if wish.book.is_pooled() { 0 } else { listing.model };
    let place = wished_place(wish, listing);
    let is_last = listing.is_shut && wish.book.triggers().has(Trigger::ProviderError);
    (is_last, model, listing.is_shut, place, listing.is_aside, listing.is_slow, is_far(wish, listing))
}

/// The place in `order`; endpoints that are not named there come behind all that are.
fn wished_place(wish: &Wish, listing: &Listing<'_>) -> usize {
    let order = wish.book.order();
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
    use domain::routing::{Fallbacks, Rulebook, Rules};

    use super::*;
    use crate::pipeline::plan::{tests::route, wish::tests::wished};

    fn listed(place: usize, route: &Route) -> Listing<'_> {
        Listing {
            place,
            route,
            model: 0,
            is_shut: false,
            is_aside: false,
            is_slow: false,
            state: State::Healthy,
            first_output_ms: 0,
            speed: 0,
        }
    }

    fn sorted(wish: &str, random: f64, listings: &[Listing<'_>]) -> Vec<String> {
        let wish = wished(wish);
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
    fn what_is_shut_goes_behind_another_model_only_where_a_failure_may() {
        let (mine, other) = (route("mine", "1", "1"), route("other", "3", "3"));
        let all = [Listing { is_shut: true, ..listed(0, &mine) }, Listing { model: 1, ..listed(1, &other) }];
        for (triggers, first) in
            [(&[][..], "mine"), (&[Trigger::Timeout], "mine"), (&[Trigger::ProviderError], "other")]
        {
            let fallbacks = Fallbacks { triggers: Some(triggers.iter().copied().collect()), models: vec![] };
            let book = Rulebook::with(None, Rules { fallbacks, ..Rules::default() });
            let mut listings = all.to_vec();
            sort(&mut listings, &Wish { book, ..Wish::default() }, 0.5);
            assert_eq!(listings[0].route.provider.id.as_str(), first, "{triggers:?}");
        }
    }

    #[test]
    fn what_others_see_fail_is_drawn_three_times_in_ten() {
        let (one, other) = (route("one", "10000", "10000"), route("other", "10000", "10000"));
        let all = [Listing { state: State::Degraded, ..listed(0, &one) }, listed(1, &other)];
        let (odds, alone) = (odds(&all, &Wish::default()), odds(&all[..1], &Wish::default()));
        assert!((odds.chance(0) / odds.chance(1) - 0.3).abs() < 0.001, "{odds:?}");
        assert_eq!(alone.chance(0), 1.0);
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
