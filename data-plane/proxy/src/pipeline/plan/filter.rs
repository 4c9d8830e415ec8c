//! Which endpoints may serve a request at all. Each filter that drops one leaves its name, so that an empty plan can say
//! why it is empty. Pure: rows and a wish in, yes or a reason out.

use domain::{catalog::PriceList, money::Price, providers::Provider, snapshot::Route};

use super::wish::{DataCollection, MaxPrice, Wish};

/// Why this endpoint may not serve a request with this wish; none when it may. `lacks_parameter` is asked only when the
/// wish requires that every parameter is supported.
pub(super) fn excluded(wish: &Wish, route: &Route, lacks_parameter: impl Fn(&Route) -> bool) -> Option<&'static str> {
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
pub(super) fn is_named(provider: &Provider, name: &str) -> bool {
    match name.split_once('/') {
        Some((slug, region)) => {
            slug.eq_ignore_ascii_case(provider.id.as_str())
                && provider.regions.iter().any(|known| known.eq_ignore_ascii_case(region))
        }
        None => name.eq_ignore_ascii_case(provider.id.as_str()) || name.eq_ignore_ascii_case(&provider.name),
    }
}

/// Whether a provider works in this region, or in a part of it: `us-east` is in `us`.
pub(super) fn is_in(provider: &Provider, region: &str) -> bool {
    provider.regions.iter().any(|known| is_part(known, region))
}

/// Whether one region is another or a part of it.
pub(super) fn is_part(part: &str, whole: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::plan::tests::{provider, route};

    fn reason(json: &str, route: &Route) -> Option<&'static str> {
        let wish = Wish::read(Some(json.as_bytes())).unwrap();
        excluded(&wish, route, |_| true)
    }

    #[test]
    fn each_filter_names_itself() {
        let plain = route("acme", "1", "2");
        for (wish, expected) in [
            (r#"{}"#, None),
            (r#"{"ignore":["acme"]}"#, Some("ignored_providers")),
            (r#"{"ignore":["other"]}"#, None),
            (r#"{"only":["other"]}"#, Some("allowed_providers")),
            (r#"{"only":["Acme Inc","other"]}"#, None),
            (r#"{"only":["acme/us"]}"#, None),
            (r#"{"only":["acme/eu"]}"#, Some("allowed_providers")),
            (r#"{"order":["other"]}"#, None),
            (r#"{"order":["other"],"allow_fallbacks":false}"#, Some("allow_fallbacks")),
            (r#"{"region":"us"}"#, None),
            (r#"{"region":["eu","US"]}"#, None),
            (r#"{"region":"eu"}"#, Some("data_region")),
            (r#"{"region":"us-east"}"#, Some("data_region")),
            (r#"{"data_collection":"deny"}"#, Some("data_policy:training")),
            (r#"{"data_collection":"allow"}"#, None),
            (r#"{"zdr":true}"#, Some("data_policy:zdr")),
            (r#"{"zdr":false}"#, None),
            (r#"{"quantizations":["fp8"]}"#, Some("quantization")),
            (r#"{"quantizations":["fp8","unknown"]}"#, None),
            (r#"{"enforce_distillable_text":true}"#, Some("distillable_text")),
            (r#"{"max_price":{"prompt":0.99}}"#, Some("max_price")),
            (r#"{"max_price":{"prompt":1,"completion":"2"}}"#, None),
            (r#"{"max_price":{"completion":"1.5"}}"#, Some("max_price")),
            (r#"{"require_parameters":true}"#, Some("require_parameters")),
        ] {
            assert_eq!(reason(wish, &plain), expected, "{wish}");
        }
    }

    #[test]
    fn a_part_of_a_region_is_in_it() {
        for (part, whole, is) in [
            ("us", "us", true),
            ("us-east", "US", true),
            ("us", "us-east", false),
            ("use", "us", false),
            ("é", "e", false),
        ] {
            assert_eq!(is_part(part, whole), is, "{part} in {whole}");
        }
    }

    #[test]
    fn free_is_what_costs_nothing() {
        let free = Wish { free: true, ..Wish::default() };
        assert_eq!(excluded(&free, &route("acme", "0", "0"), |_| false), None);
        assert_eq!(excluded(&free, &route("acme", "0", "1"), |_| false), Some("max_price"));
    }

    #[test]
    fn a_provider_that_says_so_passes_the_data_filters() {
        let mut strict = provider("acme");
        strict.data_policy.training = Some(false);
        strict.data_policy.zdr = Some(true);
        let route = Route { provider: strict.into(), ..route("acme", "1", "2") };
        assert_eq!(reason(r#"{"data_collection":"deny","zdr":true}"#, &route), None);
    }
}
