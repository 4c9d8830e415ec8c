//! The only doors between wire messages and the domain: one file per noun, one `Invalid…` error per message that names
//! the field and what was in it. No decisions here but one: what cannot be understood never turns into something weaker.
//! Next rooms: `link` plays with the domain values, the planes carry the messages.

mod catalog;
mod health;
mod keys;
mod leases;
mod names;
mod orgs;
mod providers;
mod queries;
mod routing;
mod secrets;
mod sync;
mod usage;

pub use catalog::{InvalidEndpoint, InvalidModel};
pub use health::{
    InvalidAdvice, InvalidCooling, InvalidRouteObservation, read_advice, read_coolings, read_met, write_advice,
    write_coolings, write_met,
};
pub use keys::{InvalidKey, KEY_RESTRICTIONS};
pub use leases::{
    InvalidAsk, InvalidGrant, InvalidPoolEvent, InvalidRecall, read_grants, read_pool_event, read_recall, write_asks,
    write_pool_event, write_recall,
};
pub use names::{read_names, read_preset, write_names, write_preset};
pub use orgs::{InvalidOrg, ORG_RESTRICTIONS};
pub use providers::InvalidProvider;
pub use queries::{Answer, InvalidAnswer, InvalidQuery, KeyUsage, Question};
pub use routing::{read_rules, write_rules};
pub use secrets::secret_info;
pub use sync::{InvalidChange, InvalidRefusal, ReadChanges, known_restrictions, read_changes};
pub use usage::{InvalidIntent, InvalidUsageRecord};

use bytes::Bytes;

/// Declares the error of one message: which field, and what was in it.
macro_rules! invalid {
    ($(#[$doc:meta])* $name:ident, $message:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            /// The field that cannot be understood.
            pub field: &'static str,
            /// What is wrong, with the content cut to a readable length.
            pub problem: String,
        }

        impl $name {
            #[allow(dead_code)]
            pub(crate) fn new(field: &'static str, problem: impl std::fmt::Display) -> Self {
                $name { field, problem: problem.to_string().chars().take(200).collect() }
            }

            /// For `map_err`: the cause's own words.
            #[allow(dead_code)]
            pub(crate) fn at<E: std::fmt::Display>(field: &'static str) -> impl FnOnce(E) -> Self {
                move |cause| Self::new(field, cause)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!("message ", $message, ", field {}: {}"), self.field, self.problem)
            }
        }

        impl std::error::Error for $name {}
    };
}
pub(crate) use invalid;

/// Bytes of a numbered id on the wire.
pub(crate) fn id_bytes(id: u128) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

/// Reads a numbered id: 16 bytes, big-endian.
pub(crate) fn read_id(bytes: &[u8]) -> Result<u128, String> {
    <[u8; 16]>::try_from(bytes)
        .map(u128::from_be_bytes)
        .map_err(|_| format!("{} bytes where an id has 16", bytes.len()))
}

/// Reads text that may be absent; absent is empty on the wire.
pub(crate) fn read_optional<T: std::str::FromStr>(text: &str) -> Result<Option<T>, T::Err> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

/// Writes a value that may be absent; absent is empty on the wire.
pub(crate) fn optional<T: std::fmt::Display>(value: Option<&T>) -> String {
    value.map(T::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests;
