//! Which endpoints may serve a request at all. Each filter that drops one leaves its name, so that an empty plan can say
//! why it is empty. Pure: rows and a wish in, yes or a reason out.

use domain::{catalog::PriceList, money::Price, providers::Provider, snapshot::Route};

use super::wish::{DataCollection, MaxPrice, Wish};

/// Why this endpoint may not serve a request with this wish; none when it may. `lacks_parameter` is asked only when the
/// wish requires that every parameter is supported.
pub(super) fn excluded(wish: &Wish, route: &Route, lacks_parameter: impl Fn(&Route) -> bool) -> Option<&'static str> {
    let provider = &*route.provider;
    let names = |list: &Option<Vec<String>>| list.as_ref().map(|list| list.iter().any(|name| is_named(provider, name)));
    let rules: [(bool, &'static str); 9] = [
        (names(&wish.ignore) == Some(true), "ignored_providers"),
        (names(&wish.only) == Some(false), "allowed_providers"),
        (wish.allow_fallbacks == Some(false) && names(&wish.order) == Some(false), "allow_fallbacks"),
        (wish.data_collection == Some(DataCollection::Deny) && !keeps_nothing(provider), "data_policy:training"),
        (wish.zdr == Some(true) && provider.data_policy.zdr != Some(true), "data_policy:zdr"),
        // No row says that its answers may be used to train others, so none is known to.
        (wish.enforce_distillable_text == Some(true), "distillable_text"),
        // No row says how its model is quantized.
        (wish.quantizations.as_ref().is_some_and(|list| !list.iter().any(|name| name == "unknown")), "quantization"),
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

/// Fields of a chat request that say nothing about the model's abilities.
const PLAIN_FIELDS: [&str; 34] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "n",
    "user",
    "metadata",
    "store",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_options",
    "safety_identifier",
    "modalities",
    "provider",
    "provider_preferences",
    "models",
    "fallbacks",
    "route",
    "transforms",
    "plugins",
    "preset",
    "session_id",
    "trace",
    "tags",
    "priority",
    "timeout",
    "usage",
    "debug",
    "include_reasoning",
    "providerOptions",
    "cache_control",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
];

/// The parameters in a body that an endpoint must support when the wish says so.
pub(super) fn parameters(body: &[u8]) -> Vec<String> {
    struct Names(Vec<String>);
    impl<'de> serde::Deserialize<'de> for Names {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Names;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                    let mut names = Vec::new();
                    while let Some(name) = map.next_key::<String>()? {
                        let _: serde::de::IgnoredAny = map.next_value()?;
                        names.push(name);
                    }
                    Ok(Names(names))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    let names = serde_json::from_slice::<Names>(body).map(|names| names.0).unwrap_or_default();
    names.into_iter().filter(|name| !PLAIN_FIELDS.contains(&name.as_str())).collect()
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
    fn a_provider_that_says_so_passes_the_data_filters() {
        let mut strict = provider("acme");
        strict.data_policy.training = Some(false);
        strict.data_policy.zdr = Some(true);
        let route = Route { provider: strict.into(), ..route("acme", "1", "2") };
        assert_eq!(reason(r#"{"data_collection":"deny","zdr":true}"#, &route), None);
    }

    #[test]
    fn parameters_are_the_fields_that_ask_for_abilities() {
        let body = br#"{"model":"a/b","messages":[],"tools":[{}],"seed":1,"stream":true}"#;
        assert_eq!(parameters(body), ["tools", "seed"]);
    }
}
