//! What a request's sender wishes of the endpoints: the `provider` object, the slug's variant, and what other gateways have
//! for it, as one. A field that nobody knows is refused, since a wish that is dropped in silence is a promise broken.
//! Next rooms: `filter` and `order`.

use std::time::Duration;

use domain::{faults::FaultCode, money::Price};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{spelling, variant::Variant};
use crate::pipeline::{Refusal, arrival::Arrival};

/// Everything that can be wished for. The fields of the object are those of OpenRouter, and `region`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wish {
    /// Providers in this order; switches off every other order.
    pub order: Option<Vec<String>>,
    pub only: Option<Vec<String>>,
    pub ignore: Option<Vec<String>>,
    /// False: nothing beyond the first choice, or beyond `order` where that is given.
    pub allow_fallbacks: Option<bool>,
    pub require_parameters: Option<bool>,
    pub data_collection: Option<DataCollection>,
    pub zdr: Option<bool>,
    pub enforce_distillable_text: Option<bool>,
    pub quantizations: Option<Vec<String>>,
    pub sort: Option<Sort>,
    /// Output tokens a second. Demotes and never excludes, as the next.
    pub preferred_min_throughput: Option<Threshold>,
    /// Seconds to the first output.
    pub preferred_max_latency: Option<Threshold>,
    pub max_price: Option<MaxPrice>,
    /// Only for routes that make media.
    pub options: Option<IgnoredAny>,
    /// Only where the data stays in one of these regions.
    pub region: Option<Regions>,
    /// Only what costs nothing.
    #[serde(skip)]
    pub free: bool,
    /// A region that is better than others.
    #[serde(skip)]
    pub near: Option<String>,
    /// How long the whole request may take.
    #[serde(skip)]
    pub timeout: Option<Duration>,
    /// Models to try after the first, beside those of the `models` field.
    #[serde(skip)]
    pub models: Vec<String>,
}

/// A value for the median, or values for several quantiles.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "a threshold is a number, or an object with numbers for `p50`, `p75`, `p90` and `p99`")]
pub(super) enum Threshold {
    Median(f64),
    Each(Quantiles),
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Quantiles {
    p50: Option<f64>,
    p75: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
}

impl Threshold {
    /// Quantiles, from 0 to 1, with what is wished of each.
    pub fn each(self) -> impl Iterator<Item = (f64, f64)> {
        let Quantiles { p50, p75, p90, p99 } = match self {
            Threshold::Median(value) => Quantiles { p50: Some(value), ..Quantiles::default() },
            Threshold::Each(values) => values,
        };
        [(0.5, p50), (0.75, p75), (0.9, p90), (0.99, p99)].into_iter().filter_map(|(at, value)| Some((at, value?)))
    }
}

/// One region or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "`region` is a text or a list of texts")]
pub(super) enum Regions {
    One(String),
    Several(Vec<String>),
}

impl Regions {
    /// The regions that are meant; none when any will do.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        let all = match self {
            Regions::One(one) => std::slice::from_ref(one),
            Regions::Several(several) => several,
        };
        all.iter().map(String::as_str).filter(|region| !is_anywhere(region))
    }
}

/// Words for having no opinion on the region.
pub(super) fn is_anywhere(region: &str) -> bool {
    region.is_empty() || ["auto", "global", "any"].iter().any(|word| word.eq_ignore_ascii_case(region))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum DataCollection {
    Allow,
    Deny,
}

/// What to sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum By {
    Price,
    Throughput,
    Latency,
    /// Quality of tool calls; without measurements of it this is the order by price.
    Exacto,
}

/// Whether the endpoints of several models are sorted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Partition {
    #[default]
    Model,
    None,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(super) enum Sort {
    Word(By),
    Full(FullSort),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FullSort {
    pub by: Option<By>,
    #[serde(default)]
    pub partition: Partition,
}

/// The dearest prices that are acceptable: tokens per million, the rest per unit.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MaxPrice {
    #[serde(deserialize_with = "per_million")]
    pub prompt: Option<Price>,
    #[serde(deserialize_with = "per_million")]
    pub completion: Option<Price>,
    #[serde(deserialize_with = "per_unit")]
    pub request: Option<Price>,
    #[serde(deserialize_with = "per_unit")]
    pub image: Option<Price>,
    #[serde(deserialize_with = "per_million")]
    pub audio: Option<Price>,
}

impl Wish {
    /// Everything that a request wishes; none when it wishes nothing.
    pub fn of(arrival: &Arrival, variant: Option<Variant>) -> Result<Option<Wish>, Refusal> {
        let scan = &arrival.scan;
        let mut preferences = scan.preferences(&arrival.body).peekable();
        if scan.provider.is_none() && variant.is_none() && arrival.near.is_none() && preferences.peek().is_none() {
            return Ok(None);
        }
        let raw = scan.provider.and_then(|span| arrival.body.get(span.start..span.end));
        let mut wish = Wish::read(raw)?;
        for (name, raw) in preferences {
            spelling::read(name, raw, &mut wish)?;
        }
        wish.near = arrival.near.clone().filter(|region| !is_anywhere(region));
        if let Some(variant) = variant {
            variant.wishes(&mut wish);
        }
        Ok(Some(wish))
    }

    /// Reads the raw `provider` object; nothing at all wishes nothing.
    pub fn read(raw: Option<&[u8]>) -> Result<Wish, Refusal> {
        let Some(raw) = raw else { return Ok(Wish::default()) };
        let mut wish: Wish = serde_json::from_slice(raw).map_err(|error| refused("provider", &error))?;
        // Clients send empty lists for what they have no opinion on.
        for list in [&mut wish.order, &mut wish.only, &mut wish.ignore, &mut wish.quantizations] {
            list.take_if(|names| names.is_empty());
        }
        wish.region.take_if(|regions| regions.named().next().is_none());
        Ok(wish)
    }

    /// What decides the order; none leaves it to the price and to chance.
    pub fn by(&self) -> Option<By> {
        match self.sort {
            None => None,
            Some(Sort::Word(by)) => Some(by),
            Some(Sort::Full(full)) => full.by,
        }
    }

    /// Whether nothing beyond the first choice is wanted.
    pub fn takes_one(&self) -> bool {
        self.allow_fallbacks == Some(false) && self.order.is_none()
    }

    /// Whether the endpoints of several models are sorted together.
    pub fn is_pooled(&self) -> bool {
        matches!(self.sort, Some(Sort::Full(FullSort { partition: Partition::None, .. })))
    }
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

fn per_million<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Price>, D::Error> {
    price(deserializer, Price::per_million)
}

fn per_unit<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Price>, D::Error> {
    price(deserializer, Price::per_unit)
}

/// A price as a text or as a number, read from its digits and never through a float.
fn price<'de, D: serde::Deserializer<'de>, E: std::fmt::Display>(
    deserializer: D,
    read: fn(&str) -> Result<Price, E>,
) -> Result<Option<Price>, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    let text = raw.get().trim().trim_matches('"');
    if text == "null" {
        return Ok(None);
    }
    match read(text) {
        Ok(price) if price.pico() >= 0 => Ok(Some(price)),
        Ok(_) => Err(serde::de::Error::custom("a price is not below zero")),
        Err(error) => Err(serde::de::Error::custom(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Wish, String> {
        Wish::read(Some(json.as_bytes())).map_err(|refusal| refusal.fault.message.into_owned())
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
        assert_eq!(each(wish.preferred_min_throughput), [(0.9, 50.0)]);
        assert_eq!(each(wish.preferred_max_latency), [(0.5, 3.0)]);
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
            (r#"{"max_price":{"prompt":1e-3}}"#, "decimal"),
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
        assert!(Wish::read(None).unwrap().order.is_none());
    }
}
