//! Typed ids. Rows made by people or machines carry a prefix and 26 base-32 digits (time first, so they sort by age);
//! catalogue nouns carry the slug that people write. Never a bare string between rooms.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is wrong with a text that should be an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct BadId {
    /// What an id of this kind looks like.
    pub expected: &'static str,
    /// The text as it was given, cut to a readable length.
    pub text: String,
}

impl BadId {
    fn new(expected: &'static str, text: &str) -> Self {
        BadId { expected, text: text.chars().take(80).collect() }
    }
}

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn digit(byte: u8) -> Option<u128> {
    DIGITS.iter().position(|d| *d == byte).and_then(|at| u128::try_from(at).ok())
}

fn write_digits(value: u128, out: &mut [u8; 26]) {
    for (at, slot) in out.iter_mut().rev().enumerate() {
        let shift = 5 * u32::try_from(at).unwrap_or(0);
        let index = usize::try_from((value >> shift) & 31).unwrap_or(0);
        *slot = DIGITS.get(index).copied().unwrap_or(b'0');
    }
}

fn read_digits(text: &str) -> Option<u128> {
    if text.len() != 26 || !text.starts_with(['0', '1', '2', '3', '4', '5', '6', '7']) {
        return None;
    }
    text.bytes().try_fold(0u128, |value, byte| Some((value << 5) | digit(byte)?))
}

macro_rules! numbered_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// What every text form of this id starts with.
            pub const PREFIX: &'static str = $prefix;
            /// Length of the text form in bytes.
            pub const LEN: usize = $prefix.len() + 26;

            /// A new id from the time (unix milliseconds, lowest 48 bits count) and 80 random bits.
            pub fn new(unix_ms: u64, random: u128) -> Self {
                $name(((u128::from(unix_ms) & 0xffff_ffff_ffff) << 80) | (random & ((1 << 80) - 1)))
            }

            /// The id as a number, for compact records.
            pub fn to_u128(self) -> u128 {
                self.0
            }

            /// The id of a number that `to_u128` gave.
            pub fn from_u128(value: u128) -> Self {
                $name(value)
            }

            /// Writes the text form without allocating.
            pub fn write_text<'a>(&self, buffer: &'a mut [u8; Self::LEN]) -> &'a str {
                let mut digits = [0u8; 26];
                write_digits(self.0, &mut digits);
                let (head, tail) = buffer.split_at_mut($prefix.len());
                head.copy_from_slice($prefix.as_bytes());
                tail.copy_from_slice(&digits);
                std::str::from_utf8(buffer).unwrap_or($prefix)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.write_text(&mut [0u8; Self::LEN]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let expected = concat!("an id like ", $prefix, "0… with 26 digits");
                text.strip_prefix($prefix)
                    .and_then(read_digits)
                    .map($name)
                    .ok_or_else(|| BadId::new(expected, text))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.write_text(&mut [0u8; Self::LEN]))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

numbered_id!(
    /// An organisation: who pays.
    OrgId, "org_"
);
numbered_id!(
    /// An API key of an organisation (the row, not its text).
    KeyId, "key_"
);
numbered_id!(
    /// One inference request, from admission to its usage record.
    RequestId, "req_"
);
numbered_id!(
    /// An administrator's token (the row, not its text).
    TokenId, "tok_"
);
numbered_id!(
    /// One transaction of the ledger.
    EntryId, "ent_"
);

macro_rules! named_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The id as people write it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                if $check(text) { Ok($name(text.into())) } else { Err(BadId::new($expected, text)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl From<$name> for std::sync::Arc<str> {
            fn from(id: $name) -> std::sync::Arc<str> {
                id.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

fn is_slug(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_model_part(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_model(text: &str) -> bool {
    text.split_once('/').is_some_and(|(author, slug)| is_model_part(author) && is_model_part(slug))
}

fn is_endpoint(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(model, provider)| is_model(model) && is_slug(provider))
}

fn is_plan(text: &str) -> bool {
    is_slug(text)
}

fn is_proxy(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

named_id!(
    /// An upstream account family, such as `openai`.
    ProviderId, "a provider slug of [a-z0-9-]", is_slug
);
named_id!(
    /// A model, such as `openai/gpt-4o-mini`.
    ModelId, "a model id like author/slug", is_model
);
named_id!(
    /// One model at one provider, such as `openai/gpt-4o-mini@openai`.
    EndpointId, "an endpoint id like author/slug@provider", is_endpoint
);
named_id!(
    /// The price plan an organisation is on, such as `standard`.
    PlanId, "a plan slug of [a-z0-9-]", is_plan
);
named_id!(
    /// A proxy of the fleet. Stable over restarts when its data folder is kept.
    ProxyId, "a proxy name of [A-Za-z0-9._-]", is_proxy
);

impl ModelId {
    /// The part after the slash.
    pub fn slug(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, slug)| slug)
    }

    /// The part before the slash.
    pub fn author(&self) -> &str {
        self.0.split_once('/').map_or("", |(author, _)| author)
    }
}

impl EndpointId {
    /// The endpoint of a model at a provider.
    pub fn of(model: &ModelId, provider: &ProviderId) -> Self {
        EndpointId(format!("{model}@{provider}").into())
    }

    /// The id of its model, as text.
    pub fn model(&self) -> &str {
        self.0.rsplit_once('@').map_or(&self.0, |(model, _)| model)
    }

    /// The id of its provider, as text.
    pub fn provider(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, provider)| provider)
    }
}

impl PlanId {
    /// The plan of every organisation that has not been given another.
    pub fn standard() -> Self {
        PlanId("standard".into())
    }
}

/// The number of the last committed edit of the installation. 0 is the empty installation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One life of a proxy process: larger at each start (unix microseconds of the boot).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootEpoch(pub u64);

impl fmt::Display for BootEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The right to touch one organisation's rows, or every organisation's.
///
/// Only `access` may make one from a caller: the constructors are forbidden everywhere else by lint, so a store
/// function for a tenant's row cannot be reached with a bare id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrgScope(Scope);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    One(OrgId),
    All,
}

impl OrgScope {
    /// The scope of one organisation, after `access` has said yes.
    pub fn granted(org: OrgId) -> Self {
        OrgScope(Scope::One(org))
    }

    /// The scope of the installation's own tasks and its root administrator.
    pub fn installation() -> Self {
        OrgScope(Scope::All)
    }

    /// Whether rows of `org` may be touched.
    pub fn covers(&self, org: OrgId) -> bool {
        match self.0 {
            Scope::One(own) => own == org,
            Scope::All => true,
        }
    }

    /// The one organisation of this scope; none for the installation's.
    pub fn org(&self) -> Option<OrgId> {
        match self.0 {
            Scope::One(own) => Some(own),
            Scope::All => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numbered_id_survives_its_text_form() {
        let id = OrgId::new(1_790_000_000_000, u128::MAX);
        let text = id.to_string();
        assert_eq!(text.len(), OrgId::LEN);
        assert_eq!(text.parse::<OrgId>(), Ok(id));
        assert!(text.replace("org_", "key_").parse::<OrgId>().is_err());
    }

    #[test]
    fn younger_ids_sort_later() {
        assert!(RequestId::new(1, u128::MAX).to_string() < RequestId::new(2, 0).to_string());
    }

    #[test]
    fn slugs_are_checked() {
        assert!("openai".parse::<ProviderId>().is_ok());
        assert!("Open AI".parse::<ProviderId>().is_err());
        assert!("openai/gpt-4o".parse::<ModelId>().is_ok());
        assert!("gpt-4o".parse::<ModelId>().is_err());
        assert_eq!("openai/gpt-4o".parse::<ModelId>().map(|id| id.slug().to_owned()), Ok("gpt-4o".to_owned()));
        let endpoint: EndpointId = "openai/gpt-4o@azure".parse().unwrap();
        assert_eq!((endpoint.model(), endpoint.provider()), ("openai/gpt-4o", "azure"));
        assert!("org_7zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<OrgId>().is_ok());
        assert!("org_8zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<OrgId>().is_err(), "would not fit 128 bits");
    }
}
