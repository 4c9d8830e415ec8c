//! What an organisation, or one of its keys, says of every request of its own: the `provider` object in the words of
//! requests, which failures may lead to another model, which models those are, and how long a request may take.
//! A value of these types keeps its bounds. Next room: `rulebook`, which puts the rules of several together.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Micros, Preferences};

/// The most names in one list, and the longest of them in bytes.
const NAMES_MOST: usize = 100;
const NAME_LONGEST: usize = 200;
/// Models to try after the first; a request may name as many.
const MODELS_MOST: usize = 15;
/// The longest time, in seconds.
const TIMEOUT_MOST: u64 = 86_400;

/// The rules of one organisation or key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Rules {
    #[serde(skip_serializing_if = "is_default")]
    pub provider: Preferences,
    #[serde(skip_serializing_if = "is_default")]
    pub fallbacks: Fallbacks,
    /// How long a request may take, all attempts together.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub timeout: Option<Duration>,
}

/// When another model is tried, and which.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fallbacks {
    /// The failures that may lead to another model; none is all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub triggers: Option<Triggers>,
    /// Tried in this order where a request names none of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
}

/// A kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The provider limits us.
    RateLimit,
    /// The provider is overloaded.
    Overload,
    /// Every other failure, also that of an endpoint that could not be asked at all.
    ProviderError,
    /// It took too long.
    Timeout,
    /// The prompt is longer than the model can read.
    ContextLength,
    /// The model's rules forbid the prompt.
    Moderation,
}

impl Trigger {
    /// All of them.
    pub const ALL: [Trigger; 6] = [
        Trigger::RateLimit,
        Trigger::Overload,
        Trigger::ProviderError,
        Trigger::Timeout,
        Trigger::ContextLength,
        Trigger::Moderation,
    ];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Trigger::RateLimit => "rate_limit",
            Trigger::Overload => "overload",
            Trigger::ProviderError => "provider_error",
            Trigger::Timeout => "timeout",
            Trigger::ContextLength => "context_length",
            Trigger::Moderation => "moderation",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Triggers(u8);

impl Triggers {
    /// Every failure.
    pub const ALL: Triggers = Triggers(0b11_1111);

    /// Whether it is one of them.
    pub fn has(self, trigger: Trigger) -> bool {
        self.0 & trigger.bit() != 0
    }

    /// Whether no failure is one of them.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in both.
    pub fn both(self, other: Triggers) -> Triggers {
        Triggers(self.0 & other.0)
    }
}

impl FromIterator<Trigger> for Triggers {
    fn from_iter<I: IntoIterator<Item = Trigger>>(triggers: I) -> Triggers {
        Triggers(triggers.into_iter().fold(0, |bits, trigger| bits | trigger.bit()))
    }
}

impl Serialize for Triggers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for trigger in Trigger::ALL.into_iter().filter(|trigger| self.has(*trigger)) {
            list.serialize_element(&trigger)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Triggers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Triggers, D::Error> {
        Vec::<Trigger>::deserialize(deserializer).map(Triggers::from_iter)
    }
}

/// Why rules are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRules {
    #[error("`{0}` is empty: leave it out to say nothing")]
    Empty(&'static str),
    #[error("`{field}` has more than {most} names")]
    TooMany { field: &'static str, most: usize },
    #[error("`{field}` has the name `{name}`: at most 200 bytes, and no control characters")]
    Name { field: &'static str, name: String },
    #[error("`options` is for single requests: rules cannot keep it")]
    Options,
    #[error("`timeout` is in seconds, above 0 and at most 86400")]
    Timeout,
}

impl Rules {
    fn check(&self) -> Result<(), BadRules> {
        let Preferences { order, only, ignore, quantizations, region, options, .. } = &self.provider;
        for (field, list) in [("order", order), ("only", only), ("ignore", ignore), ("quantizations", quantizations)] {
            list.as_ref().map_or(Ok(()), |names| names_fit(field, names, NAMES_MOST))?;
        }
        if let Some(regions) = region {
            names_fit("region", regions.all(), NAMES_MOST)?;
            regions.named().next().ok_or(BadRules::Empty("region"))?;
        }
        if options.is_some() {
            return Err(BadRules::Options);
        }
        match self.fallbacks.models.is_empty() {
            true => Ok(()),
            false => names_fit("models", &self.fallbacks.models, MODELS_MOST),
        }
    }
}

fn names_fit(field: &'static str, names: &[String], most: usize) -> Result<(), BadRules> {
    if names.is_empty() {
        return Err(BadRules::Empty(field));
    }
    if names.len() > most {
        return Err(BadRules::TooMany { field, most });
    }
    let is_odd =
        |name: &&String| name.trim().is_empty() || name.len() > NAME_LONGEST || name.contains(char::is_control);
    match names.iter().find(is_odd) {
        Some(name) => Err(BadRules::Name { field, name: name.chars().take(40).collect() }),
        None => Ok(()),
    }
}

/// The parts of a preset; rules have no models of their own beside the fallbacks.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PresetText {
    models: Option<Vec<String>>,
    provider: Object<Preferences>,
    fallbacks: Object<Fallbacks>,
    timeout: Option<Micros>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Text {
    provider: Object<Preferences>,
    fallbacks: Object<Fallbacks>,
    timeout: Option<Micros>,
}

/// What presets and rules are read from.
pub(super) struct Parts {
    pub models: Option<Vec<String>>,
    provider: Preferences,
    fallbacks: Fallbacks,
    timeout: Option<Micros>,
}

impl Parts {
    /// The rules among them, once they are known to keep their bounds.
    pub fn rules<E: Error>(self) -> Result<Rules, E> {
        let timeout = self.timeout.map(time).transpose().map_err(E::custom)?;
        let rules = Rules { provider: self.provider, fallbacks: self.fallbacks, timeout };
        rules.check().map_err(E::custom)?;
        Ok(rules)
    }
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Parts, D::Error> {
        let Object(PresetText { models, provider, fallbacks, timeout }) = Object::deserialize(deserializer)?;
        Ok(Parts { models, provider: provider.0, fallbacks: fallbacks.0, timeout })
    }
}

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rules, D::Error> {
        let Object(Text { provider, fallbacks, timeout }) = Object::deserialize(deserializer)?;
        Parts { models: None, provider: provider.0, fallbacks: fallbacks.0, timeout }.rules()
    }
}

fn time(Micros(micros): Micros) -> Result<Duration, BadRules> {
    let time = u64::try_from(micros).map(Duration::from_micros).unwrap_or_default();
    let fits = !time.is_zero() && time <= Duration::from_secs(TIMEOUT_MOST);
    fits.then_some(time).ok_or(BadRules::Timeout)
}

#[expect(clippy::ref_option, reason = "serde hands it in so")]
fn seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    Micros(i64::try_from(time.unwrap_or_default().as_micros()).unwrap_or(i64::MAX)).serialize(serializer)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What must be an object: a list would be taken for its fields in their order.
#[derive(Default)]
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        deserializer.deserialize_map(OfMap(PhantomData)).map(Object)
    }
}

struct OfMap<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OfMap<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}
