//! What is wished of the endpoints: the `provider` object, the slug's variant, and what other gateways have for it, as one;
//! and with it the rules of the key and its organisation. A field that nobody knows is refused, since a wish that is dropped
//! in silence is a promise broken. The words are `domain::routing`'s. Next room: `order`.

use std::time::Duration;

use domain::{
    faults::FaultCode,
    routing::{PRESET, Preferences, Rulebook, Rules, is_anywhere},
};

use super::{spelling, variant::Variant};
use crate::{
    pipeline::{Refusal, arrival::Arrival},
    purse::Purse,
};

/// What binds one request.
#[derive(Debug, Default)]
pub(super) struct Wish {
    /// Its own wishes and whatever rules its key and its organisation have.
    pub book: Rulebook,
    /// A region that is better than others.
    pub near: Option<String>,
    /// Models to try after the first, beside those of the `models` field.
    pub models: Vec<String>,
}

/// What a request itself wishes.
#[derive(Debug, Default)]
pub(super) struct Own {
    pub provider: Preferences,
    /// How long the whole request may take.
    pub timeout: Option<Duration>,
    /// Models to try after the first, beside those of the `models` field.
    pub models: Vec<String>,
    /// A preset of the organisation's, by its slug.
    pub preset: Option<String>,
}

impl Wish {
    /// Everything that is wished of a request, by its sender, by a preset that the model's name has in it, and by the rules
    /// of key and organisation; none when nothing is.
    pub fn of(
        arrival: &Arrival,
        (variant, named): (Option<Variant>, Option<&Rules>),
        purse: &Purse,
    ) -> Result<Option<Wish>, Refusal> {
        let own = Own::of(arrival, variant)?;
        if own.is_none() && named.is_none() && purse.rules.is_none() {
            return Ok(None);
        }
        let Own { provider, timeout, models, preset } = own.unwrap_or_default();
        let preset = preset.map(|slug| preset_of(purse, &slug)).transpose()?;
        let mut book = purse.rules.clone().unwrap_or_default();
        for rules in preset.into_iter().chain(named) {
            book = Rulebook::with(Some(&book), rules.clone());
        }
        let book = Rulebook::with(Some(&book), Rules { provider, timeout, ..Rules::default() });
        let near = arrival.near.clone().filter(|region| !is_anywhere(region));
        Ok(Some(Wish { book, near, models }))
    }
}

impl Own {
    /// Everything that a request wishes; none when it wishes nothing.
    fn of(arrival: &Arrival, variant: Option<Variant>) -> Result<Option<Own>, Refusal> {
        let scan = &arrival.scan;
        let mut preferences = scan.preferences(&arrival.body).peekable();
        if scan.provider.is_none() && variant.is_none() && arrival.near.is_none() && preferences.peek().is_none() {
            return Ok(None);
        }
        let raw = scan.provider.and_then(|span| arrival.body.get(span.start..span.end));
        let mut own = Own::read(raw)?;
        for (name, raw) in preferences {
            spelling::read(name, raw, &mut own)?;
        }
        if let Some(variant) = variant {
            variant.wishes(&mut own.provider);
        }
        Ok(Some(own))
    }

    /// Reads the raw `provider` object; nothing at all wishes nothing.
    pub fn read(raw: Option<&[u8]>) -> Result<Own, Refusal> {
        let Some(raw) = raw else { return Ok(Own::default()) };
        let read: Preferences = serde_json::from_slice(raw).map_err(|error| refused("provider", &error))?;
        Ok(Own { provider: read.without_empty_lists(), ..Own::default() })
    }
}

/// The rules of a preset that the sender names.
fn preset_of<'a>(purse: &'a Purse, slug: &str) -> Result<&'a Rules, Refusal> {
    let names = purse.org.names.as_deref();
    let preset = names.and_then(|names| names.preset(slug.strip_prefix(PRESET).unwrap_or(slug)));
    let shown: String = slug.chars().take(100).collect();
    preset.map(|preset| &preset.rules).ok_or_else(|| wrong("preset", &format!("There is no preset `{shown}`.")))
}

/// serde's words name fields and types; it quotes short values, which are the sender's own.
pub(super) fn refused(name: &'static str, error: &serde_json::Error) -> Refusal {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    wrong(name, &format!("`{name}` cannot be read: {what}"))
}

/// A wish that cannot be kept.
pub(super) fn wrong(name: &'static str, message: &str) -> Refusal {
    let mut refusal = Refusal::new(FaultCode::InvalidRequest, message.chars().take(300).collect::<String>());
    refusal.fault.param = Some(name.into());
    refusal
}

#[cfg(test)]
pub(super) mod tests {
    use domain::{
        money::Price,
        routing::{By, Micros, Threshold, excluded},
        snapshot::Route,
    };

    use super::*;
    use crate::pipeline::plan::tests::{provider, route};

    fn read(json: &str) -> Result<Preferences, String> {
        Own::read(Some(json.as_bytes())).map(|own| own.provider).map_err(|refusal| refusal.fault.message.into_owned())
    }

    /// The wish of a request that says nothing else.
    pub fn wished(json: &str) -> Wish {
        let book = Rulebook::with(None, Rules { provider: read(json).unwrap(), ..Rules::default() });
        Wish { book, near: None, models: vec![] }
    }

    #[test]
    fn an_empty_list_is_no_wish() {
        let wish = read(r#"{"order":[],"only":[],"ignore":[],"quantizations":[],"allow_fallbacks":false}"#).unwrap();
        assert!(wish.order.is_none() && wish.only.is_none() && wish.ignore.is_none() && wish.quantizations.is_none());
    }

    #[test]
    fn every_known_field_is_read() {
        let wish = read(
            r#"{"order":["a","b/us"],"only":["a"],"ignore":["c"],"allow_fallbacks":false,"require_parameters":true,
            "data_collection":"deny","zdr":true,"enforce_distillable_text":false,"quantizations":["fp8"],
            "sort":{"by":"throughput","partition":"none"},"preferred_min_throughput":{"p90":50},
            "preferred_max_latency":3,"region":["eu","auto"],"max_price":{"prompt":"1","completion":2.5,"request":0.01},"options":{"x":{}}}"#,
        )
        .unwrap();
        assert_eq!(wish.by(), Some(By::Throughput));
        assert!(wish.is_pooled());
        let each = |threshold: Option<Threshold>| threshold.unwrap().each().collect::<Vec<_>>();
        assert_eq!(each(wish.preferred_min_throughput), [(90, Micros(50_000_000))]);
        assert_eq!(each(wish.preferred_max_latency), [(50, Micros(3_000_000))]);
        assert_eq!(wish.region.as_ref().unwrap().named().collect::<Vec<_>>(), ["eu"]);
        let most = wish.max_price.unwrap();
        assert_eq!(most.prompt, Price::per_million("1").ok());
        assert_eq!(most.completion, Price::per_million("2.5").ok());
        assert_eq!(most.request, Price::per_unit("0.01").ok());
        assert_eq!(read(r#"{"sort":"latency"}"#).unwrap().by(), Some(By::Latency));
        assert_eq!(read(r#"{"order":null,"sort":null,"max_price":null}"#).unwrap().by(), None);
        assert!(read(r#"{"region":"auto"}"#).unwrap().region.is_none());
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (json, named) in [
            (r#"{"ordre":["a"]}"#, "ordre"),
            (r#"{"sort":"cheap"}"#, "provider"),
            (r#"{"max_price":{"token":1}}"#, "token"),
            (r#"{"max_price":{"prompt":-1}}"#, "below zero"),
            (r#"{"max_price":{"prompt":"1e-3"}}"#, "decimal"),
            (r#"{"max_price":{"prompt":1e-9}}"#, "after the point"),
            (r#"{"data_collection":"maybe"}"#, "maybe"),
            (r#"{"only":"a"}"#, "sequence"),
            (r#"{"preferred_max_latency":{"p95":1}}"#, "p90"),
            (r#"{"preferred_min_throughput":"fast"}"#, "number"),
            (r#"{"region":7}"#, "region"),
        ] {
            let message = read(json).unwrap_err();
            assert!(message.contains(named), "{json}: {message}");
        }
    }

    #[test]
    fn no_object_wishes_nothing() {
        assert_eq!(Own::read(None).unwrap().provider, Preferences::default());
    }

    fn reason(json: &str, route: &Route) -> Option<&'static str> {
        excluded(&read(json).unwrap(), route, |_| true)
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
    fn free_is_what_costs_nothing() {
        let free = Preferences { free: true, ..Preferences::default() };
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
