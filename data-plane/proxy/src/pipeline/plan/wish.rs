//! The `provider` object of a request: what its sender wishes of the endpoints. A field that nobody knows is refused,
//! since a wish that is dropped in silence is a promise broken.

use domain::{faults::FaultCode, money::Price};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::pipeline::Refusal;

/// Everything that can be wished for. Fields are those of OpenRouter.
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
    /// Demotes and never excludes; what is measured decides the order anyway.
    pub preferred_min_throughput: Option<serde::de::IgnoredAny>,
    /// The same.
    pub preferred_max_latency: Option<serde::de::IgnoredAny>,
    pub max_price: Option<MaxPrice>,
    /// Only for routes that make media.
    pub options: Option<serde::de::IgnoredAny>,
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
    /// Reads the raw `provider` object; nothing at all wishes nothing.
    pub fn read(raw: Option<&[u8]>) -> Result<Wish, Refusal> {
        let Some(raw) = raw else { return Ok(Wish::default()) };
        let mut wish: Wish = serde_json::from_slice(raw).map_err(|error| refused(&error))?;
        // Clients send empty lists for what they have no opinion on.
        for list in [&mut wish.order, &mut wish.only, &mut wish.ignore, &mut wish.quantizations] {
            list.take_if(|names| names.is_empty());
        }
        Ok(wish)
    }

    pub fn by(&self) -> By {
        match self.sort {
            None => By::Price,
            Some(Sort::Word(by)) => by,
            Some(Sort::Full(full)) => full.by.unwrap_or(By::Price),
        }
    }

    pub fn is_pooled(&self) -> bool {
        matches!(self.sort, Some(Sort::Full(FullSort { partition: Partition::None, .. })))
    }
}

/// serde's words name fields and types; it quotes short values, which are the sender's own.
fn refused(error: &serde_json::Error) -> Refusal {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    let message: String = format!("`provider` cannot be read: {what}").chars().take(300).collect();
    let mut refusal = Refusal::new(FaultCode::InvalidRequest, message);
    refusal.fault.param = Some("provider".into());
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
            "preferred_max_latency":3,"max_price":{"prompt":"1","completion":2.5,"request":0.01},"options":{"x":{}}}"#,
        )
        .unwrap();
        assert_eq!(wish.by(), By::Throughput);
        assert!(wish.is_pooled());
        let most = wish.max_price.unwrap();
        assert_eq!(most.prompt, Price::per_million("1").ok());
        assert_eq!(most.completion, Price::per_million("2.5").ok());
        assert_eq!(most.request, Price::per_unit("0.01").ok());
        assert_eq!(read(r#"{"sort":"latency"}"#).unwrap().by(), By::Latency);
        assert_eq!(read(r#"{"order":null,"sort":null,"max_price":null}"#).unwrap().by(), By::Price);
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
