//! The `provider` object, as requests and rules say it: what is wished of the endpoints. A field that nobody knows is
//! refused, since a wish that is dropped in silence is a promise broken. Next room: `filter`.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::decimal::{self, Micros};
use crate::money::Price;

/// Everything that can be wished for. The fields are those of OpenRouter, and `region`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preferences {
    /// Providers in this order; switches off every other order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore: Option<Vec<String>>,
    /// False: nothing beyond the first choice, or beyond `order` where that is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_fallbacks: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_parameters: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_collection: Option<DataCollection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zdr: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforce_distillable_text: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantizations: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<Sort>,
    /// Output tokens a second. Demotes and never excludes, as the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_min_throughput: Option<Threshold>,
    /// Seconds to the first output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preferred_max_latency: Option<Threshold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_price: Option<MaxPrice>,
    /// Only for routes that make media.
    #[serde(skip_serializing)]
    pub options: Option<Unread>,
    /// Only where the data stays in one of these regions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Regions>,
    /// Only what costs nothing; said by the variant of a model's name.
    #[serde(skip)]
    pub free: bool,
}

impl Preferences {
    /// The same without empty lists, which clients send for what they have no opinion on.
    pub fn without_empty_lists(mut self) -> Preferences {
        for list in [&mut self.order, &mut self.only, &mut self.ignore, &mut self.quantizations] {
            list.take_if(|names| names.is_empty());
        }
        self.region.take_if(|regions| regions.named().next().is_none());
        self
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

/// Something that is accepted and not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Unread;

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unread, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Unread)
    }
}

/// A value for the median, or values for several quantiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged, expecting = "a threshold is a number, or an object with numbers for `p50`, `p75`, `p90` and `p99`")]
pub enum Threshold {
    Median(Micros),
    Each(Quantiles),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quantiles {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<Micros>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p75: Option<Micros>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90: Option<Micros>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<Micros>,
}

impl Threshold {
    /// Quantiles in percent, with what is wished of each.
    pub fn each(self) -> impl Iterator<Item = (u8, Micros)> {
        let Quantiles { p50, p75, p90, p99 } = match self {
            Threshold::Median(value) => Quantiles { p50: Some(value), ..Quantiles::default() },
            Threshold::Each(values) => values,
        };
        [(50, p50), (75, p75), (90, p90), (99, p99)].into_iter().filter_map(|(at, value)| Some((at, value?)))
    }
}

/// One region or several.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged, expecting = "`region` is a text or a list of texts")]
pub enum Regions {
    One(String),
    Several(Vec<String>),
}

impl Regions {
    /// The regions that are meant; none when any will do.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.all().iter().map(String::as_str).filter(|region| !is_anywhere(region))
    }

    /// The regions as they were written.
    pub fn all(&self) -> &[String] {
        match self {
            Regions::One(one) => std::slice::from_ref(one),
            Regions::Several(several) => several,
        }
    }
}

/// Words for having no opinion on the region.
pub fn is_anywhere(region: &str) -> bool {
    region.is_empty() || ["auto", "global", "any"].iter().any(|word| word.eq_ignore_ascii_case(region))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataCollection {
    Allow,
    Deny,
}

/// What to sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    Price,
    Throughput,
    Latency,
    /// Quality of tool calls; without measurements of it this is the order by price.
    Exacto,
}

/// Whether the endpoints of several models are sorted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partition {
    #[default]
    Model,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sort {
    Word(By),
    Full(FullSort),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FullSort {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    #[serde(default)]
    pub partition: Partition,
}

/// The dearest prices that are acceptable: tokens per million, the rest per unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaxPrice {
    #[serde(with = "per_million", skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Price>,
    #[serde(with = "per_million", skip_serializing_if = "Option::is_none")]
    pub completion: Option<Price>,
    #[serde(with = "per_unit", skip_serializing_if = "Option::is_none")]
    pub request: Option<Price>,
    #[serde(with = "per_unit", skip_serializing_if = "Option::is_none")]
    pub image: Option<Price>,
    #[serde(with = "per_million", skip_serializing_if = "Option::is_none")]
    pub audio: Option<Price>,
}

macro_rules! priced {
    ($name:ident, $write:ident) => {
        mod $name {
            use super::{Deserializer, Price, Serializer, decimal};

            #[expect(clippy::ref_option, reason = "serde hands it in so")]
            pub fn serialize<S: Serializer>(price: &Option<Price>, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&price.unwrap_or_default().$write())
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Price>, D::Error> {
                decimal::price(deserializer, Price::$name)
            }
        }
    };
}
priced!(per_million, to_per_million);
priced!(per_unit, to_per_unit);
