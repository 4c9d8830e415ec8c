//! In which order endpoints are tried. Pure: what is known about each in, an order out. Never drops one; that is `filter`.

use domain::snapshot::Route;

use super::{
    filter::is_named,
    wish::{By, Wish},
};
use crate::offers::price_key;

/// One endpoint with what this worker has seen of it.
#[derive(Clone, Copy)]
pub(super) struct Listing<'a> {
    pub route: &'a Route,
    /// Place of its model among those that the request names.
    pub model: usize,
    /// Failed too often lately: goes last, but is not lost.
    pub is_shut: bool,
    /// Milliseconds to the first output; 0 when unknown.
    pub first_output_ms: u64,
    /// Output tokens a second; 0 when unknown.
    pub speed: u64,
}

/// Sorts by the wish. Endpoints that differ in nothing keep their order.
pub(super) fn sort(listings: &mut [Listing<'_>], wish: &Wish) {
    let by = wish.by();
    let pooled = wish.is_pooled();
    listings.sort_by_key(|listing| {
        let model = if pooled { 0 } else { listing.model };
        (
            model,
            wished_place(wish, listing),
            listing.is_shut,
            merit(by, listing),
            price_key(&listing.route.endpoint.prices),
        )
    });
}

/// The place in `order`; endpoints that are not named there come behind all that are.
fn wished_place(wish: &Wish, listing: &Listing<'_>) -> usize {
    let order = wish.order.as_deref().unwrap_or_default();
    order.iter().position(|name| is_named(&listing.route.provider, name)).unwrap_or(order.len())
}

/// Smaller is better. What was never measured comes behind what was.
fn merit(by: By, listing: &Listing<'_>) -> i128 {
    let known = |value: u64| value > 0;
    match by {
        By::Price | By::Exacto => price_key(&listing.route.endpoint.prices),
        By::Latency if known(listing.first_output_ms) => i128::from(listing.first_output_ms),
        By::Throughput if known(listing.speed) => -i128::from(listing.speed),
        By::Latency | By::Throughput => i128::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::plan::tests::route;

    fn sorted(wish: &str, listings: &[(&Route, usize, bool, u64, u64)]) -> Vec<String> {
        let wish = Wish::read(Some(wish.as_bytes())).unwrap();
        let mut listings: Vec<Listing<'_>> = listings
            .iter()
            .map(|(route, model, is_shut, first_output_ms, speed)| Listing {
                route,
                model: *model,
                is_shut: *is_shut,
                first_output_ms: *first_output_ms,
                speed: *speed,
            })
            .collect();
        sort(&mut listings, &wish);
        listings.iter().map(|listing| listing.route.provider.id.to_string()).collect()
    }

    #[test]
    fn endpoints_are_tried_as_wished() {
        let (cheap, mid, dear) = (route("cheap", "1", "1"), route("mid", "2", "2"), route("dear", "3", "3"));
        let all = [(&dear, 0, false, 10, 5), (&cheap, 0, false, 30, 9), (&mid, 0, false, 0, 0)];
        assert_eq!(sorted("{}", &all), ["cheap", "mid", "dear"]);
        assert_eq!(sorted(r#"{"sort":"latency"}"#, &all), ["dear", "cheap", "mid"]);
        assert_eq!(sorted(r#"{"sort":"throughput"}"#, &all), ["cheap", "dear", "mid"]);
        assert_eq!(sorted(r#"{"order":["mid"]}"#, &all), ["mid", "cheap", "dear"]);
        assert_eq!(sorted(r#"{"order":["dear","mid"]}"#, &all), ["dear", "mid", "cheap"]);
    }

    #[test]
    fn what_fails_goes_last_but_stays() {
        let (cheap, dear) = (route("cheap", "1", "1"), route("dear", "3", "3"));
        assert_eq!(sorted("{}", &[(&cheap, 0, true, 0, 0), (&dear, 0, false, 0, 0)]), ["dear", "cheap"]);
    }

    #[test]
    fn models_are_tried_in_turn_unless_they_are_pooled() {
        let (first, second) = (route("first", "5", "5"), route("second", "1", "1"));
        let both = [(&second, 1, false, 0, 0), (&first, 0, false, 0, 0)];
        assert_eq!(sorted("{}", &both), ["first", "second"]);
        assert_eq!(sorted(r#"{"sort":{"by":"price","partition":"none"}}"#, &both), ["second", "first"]);
    }
}
