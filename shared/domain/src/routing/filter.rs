//! Which endpoints may serve a request at all. Each filter that drops one leaves its name, so that an empty plan can say
//! why it is empty. Pure: rows and a wish in, yes or a reason out.

use super::preferences::{DataCollection, MaxPrice, Preferences};
use crate::catalog::PriceList;
use crate::money::Price;
use crate::providers::Provider;
use crate::snapshot::Route;

/// Why this endpoint may not serve a request with this wish; none when it may. `lacks_parameter` is asked only when the
/// wish requires that every parameter is supported.
pub fn excluded(wish: &Preferences, route: &Route, lacks_parameter: impl Fn(&Route) -> bool) -> Option<&'static str> {
    let provider = &*route.provider;
    let names = |list: &Option<Vec<String>>| list.as_ref().map(|list| list.iter().any(|name| is_named(provider, name)));
    let rules: [(bool, &'static str); 11] = [
        (names(&wish.ignore) == Some(true), "ignored_providers"),
        (names(&wish.only) == Some(false), "allowed_providers"),
        (wish.allow_fallbacks == Some(false) && names(&wish.order) == Some(false), "allow_fallbacks"),
        (
            wish.region.as_ref().is_some_and(|regions| !regions.named().any(|region| is_in(provider, region))),
            "data_region",
        ),
        (wish.data_collection == Some(DataCollection::Deny) && !keeps_nothing(provider), "data_policy:training"),
        (wish.zdr == Some(true) && provider.data_policy.zdr != Some(true), "data_policy:zdr"),
        // No row says that its answers may be used to train others, so none is known to.
        (wish.enforce_distillable_text == Some(true), "distillable_text"),
        // No row says how its model is quantized.
        (wish.quantizations.as_ref().is_some_and(|list| !list.iter().any(|name| name == "unknown")), "quantization"),
        (wish.free && !is_free(&route.endpoint.prices), "max_price"),
        (wish.max_price.as_ref().is_some_and(|most| is_dearer(&route.endpoint.prices, most)), "max_price"),
        (wish.require_parameters == Some(true) && lacks_parameter(route), "require_parameters"),
    ];
    rules.into_iter().find_map(|(excludes, reason)| excludes.then_some(reason))
}

/// Whether people mean this provider by `name`: its slug, its name, or `slug/region`.
pub fn is_named(provider: &Provider, name: &str) -> bool {
    match name.split_once('/') {
        Some((slug, region)) => {
            slug.eq_ignore_ascii_case(provider.id.as_str())
                && provider.regions.iter().any(|known| known.eq_ignore_ascii_case(region))
        }
        None => name.eq_ignore_ascii_case(provider.id.as_str()) || name.eq_ignore_ascii_case(&provider.name),
    }
}

/// Whether a provider works in this region, or in a part of it: `us-east` is in `us`.
pub fn is_in(provider: &Provider, region: &str) -> bool {
    provider.regions.iter().any(|known| is_part(known, region))
}

/// Whether one region is another or a part of it.
pub fn is_part(part: &str, whole: &str) -> bool {
    let (head, tail) = part.split_at_checked(whole.len()).unwrap_or((part, ""));
    head.eq_ignore_ascii_case(whole) && (tail.is_empty() || tail.starts_with('-'))
}

fn is_free(prices: &PriceList) -> bool {
    let all = [prices.prompt, prices.completion, prices.request, prices.image];
    all.into_iter().flatten().all(|price| price == Price::ZERO)
}

/// Whether a provider says that it does not train on what it sees. One that says nothing may.
fn keeps_nothing(provider: &Provider) -> bool {
    provider.data_policy.training == Some(false)
}

fn is_dearer(prices: &PriceList, most: &MaxPrice) -> bool {
    let above =
        |price: Option<Price>, most: Option<Price>| most.is_some_and(|most| price.unwrap_or(Price::ZERO) > most);
    above(prices.prompt, most.prompt)
        || above(prices.completion, most.completion)
        || above(prices.request, most.request)
        || above(prices.image, most.image)
        || above(prices.audio_input.or(prices.prompt), most.audio)
}
