//! What is on offer: models, and the endpoints where they can be reached, with prices and abilities.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{EndpointId, ModelId, ProviderId};
use crate::money::Price;

/// Every dialect name that a row may carry, and whether its answers can be served today is the codec's business.
pub const DIALECTS: &[&str] = &[
    "openai-chat",
    "openai-responses",
    "openai-completions",
    "openai-embeddings",
    "openai-images",
    "openai-audio",
    "openai-moderations",
    "rerank",
    "anthropic",
    "gemini",
    "bedrock-converse",
];

/// The name of an API family on the wire. A checked name on a row, not an enum: a proxy that does not serve it leaves
/// the endpoint out and nothing else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DialectId(Arc<str>);

/// A name that is no dialect's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a dialect; known are {known}", known = DIALECTS.join(", "))]
pub struct UnknownDialect(String);

impl DialectId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DialectId {
    type Err = UnknownDialect;
    fn from_str(text: &str) -> Result<Self, UnknownDialect> {
        if DIALECTS.contains(&text) {
            Ok(DialectId(text.into()))
        } else {
            Err(UnknownDialect(text.chars().take(40).collect()))
        }
    }
}

impl TryFrom<String> for DialectId {
    type Error = UnknownDialect;
    fn try_from(text: String) -> Result<Self, UnknownDialect> {
        text.parse()
    }
}

impl From<DialectId> for String {
    fn from(id: DialectId) -> String {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for DialectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DialectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A model as customers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    pub id: ModelId,
    pub name: String,
    /// Tokens of prompt and answer together.
    pub context_length: u64,
    /// Tokens of answer at most; none when the makers state none.
    pub max_output_tokens: Option<u64>,
    pub input_modalities: Vec<String>,
    pub output_modalities: Vec<String>,
    pub supported_parameters: Vec<String>,
    /// Unix seconds of when the row was made, for lists.
    pub created: i64,
}

/// One model at one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub id: EndpointId,
    pub model: ModelId,
    pub provider: ProviderId,
    /// The model's name at this provider.
    pub upstream_model: String,
    pub prices: PriceList,
    /// Where it differs from the model's.
    pub context_length: Option<u64>,
    pub max_output_tokens: Option<u64>,
    /// Small deviations of this endpoint, by name; read by its dialect's egress half only.
    pub quirks: Vec<String>,
    /// Off means absent for routing.
    pub enabled: bool,
}

/// Prices of one endpoint, each per one unit. A missing price of a token class falls back as `pricing` says; an
/// endpoint without `prompt` and `completion` is not routable on credits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PriceList {
    /// Names these prices for ever: the revision at which they were written. Usage records carry it.
    pub version: u64,
    pub prompt: Option<Price>,
    pub completion: Option<Price>,
    pub cache_read: Option<Price>,
    pub cache_write: Option<Price>,
    pub cache_write_1h: Option<Price>,
    /// Only where reasoning is billed apart from the completion.
    pub reasoning: Option<Price>,
    pub audio_input: Option<Price>,
    pub audio_output: Option<Price>,
    pub image: Option<Price>,
    pub request: Option<Price>,
    pub web_search: Option<Price>,
    pub video_second: Option<Price>,
    pub megapixel: Option<Price>,
    pub character: Option<Price>,
}

/// One column of a price list: how people write it, and where it lives.
pub struct PriceColumn {
    pub name: &'static str,
    /// Written per million units (tokens) rather than per unit.
    pub per_million: bool,
    pub get: fn(&PriceList) -> Option<Price>,
    pub set: fn(&mut PriceList, Option<Price>),
}

macro_rules! columns {
    ($($name:ident $per_million:literal),* $(,)?) => {
        /// Every column, in the order people read them.
        pub static PRICE_COLUMNS: &[PriceColumn] = &[$(PriceColumn {
            name: stringify!($name),
            per_million: $per_million,
            get: |list| list.$name,
            set: |list, price| list.$name = price,
        }),*];
    };
}

columns! {
    prompt true, completion true, cache_read true, cache_write true, cache_write_1h true, reasoning true,
    audio_input true, audio_output true, image false, request false, web_search false, video_second false,
    megapixel false, character false,
}

impl PriceColumn {
    /// Reads a price as people write it in this column.
    pub fn parse(&self, text: &str) -> Result<Price, crate::money::BadAmount> {
        if self.per_million { Price::per_million(text) } else { Price::per_unit(text) }
    }

    /// Writes a price as people read it in this column.
    pub fn format(&self, price: Price) -> String {
        if self.per_million { price.to_per_million() } else { price.to_per_unit() }
    }
}

impl Serialize for Price {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.pico())
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Price::from_pico)
    }
}

impl PriceList {
    /// Whether requests can be charged at all: an explicit zero is a price, nothing is not.
    pub fn is_complete(&self) -> bool {
        self.prompt.is_some() && self.completion.is_some()
    }
}
