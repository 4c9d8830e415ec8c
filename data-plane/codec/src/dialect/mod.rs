//! The API families: one folder each, one value each in `DIALECTS`. Adding one touches its folder and this list.
//! Must never compare two dialects; that is `bridge`.

pub mod openai_chat;

use bytes::Bytes;

use crate::error::{BodyFault, UnknownQuirk};
use crate::fault::{self, FaultBody, InBand, Surface, UpstreamError};
use crate::frame::sse;
use crate::scan::{self, Fields, Scan};

/// Every dialect that can be served.
pub static DIALECTS: &[&Dialect] = &[&openai_chat::DIALECT];

/// The dialect of a name such as `openai-chat`; none when it is not served (yet).
pub fn find(id: &str) -> Option<&'static Dialect> {
    DIALECTS.iter().copied().find(|dialect| dialect.id == id)
}

/// One API family: its names and its own ways of saying things.
#[derive(Debug)]
pub struct Dialect {
    /// The name on rows, as in `domain::catalog::DIALECTS`.
    pub id: &'static str,
    /// Behind a provider's base URL, and behind the client-facing prefix.
    pub path: &'static str,
    /// The request fields that are acted on.
    pub fields: &'static Fields,
    /// Known small deviations of providers, by name; the place in this list is the bit in [`Quirks`].
    pub quirks: &'static [&'static str],
    pub(crate) write_fault: fn(Surface, &FaultBody<'_>) -> Bytes,
    pub(crate) write_in_band: fn(Surface, &FaultBody<'_>, &InBand<'_>) -> Bytes,
}

/// Two dialects are the same when their names are.
impl PartialEq for Dialect {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Dialect {}

impl Dialect {
    /// Reads a request body once and strictly.
    pub fn scan(&self, body: &[u8]) -> Result<Scan, BodyFault> {
        scan::scan(body, self.fields)
    }

    /// The quirks of an endpoint's row. An unknown one makes the row unusable, so that nothing is sent wrongly.
    pub fn parse_quirks<S: AsRef<str>>(&self, names: &[S]) -> Result<Quirks, UnknownQuirk> {
        names.iter().try_fold(Quirks::default(), |quirks, name| {
            let name = name.as_ref();
            match self.quirks.iter().position(|known| *known == name) {
                Some(bit) => Ok(Quirks(quirks.0 | (1u32 << bit.min(31)))),
                None => Err(UnknownQuirk {
                    quirk: name.chars().take(64).collect(),
                    dialect: self.id,
                    known: self.quirks.join(", "),
                }),
            }
        })
    }

    /// A whole error body.
    pub fn encode_fault(&self, surface: Surface, fault: &FaultBody<'_>) -> Bytes {
        (self.write_fault)(surface, fault)
    }

    /// An error within a stream: one event. Nothing may follow it, the mark of a good end least of all.
    pub fn encode_in_band(&self, surface: Surface, fault: &FaultBody<'_>, at: &InBand<'_>) -> Bytes {
        (self.write_in_band)(surface, fault, at)
    }

    /// What is sent while a client waits for a stream's next event. Only between events.
    pub fn encode_keep_alive(&self, text: &str) -> Bytes {
        sse::comment(text)
    }

    /// Reads a provider's error body, whatever it is.
    pub fn decode_error(&self, body: &[u8]) -> UpstreamError {
        fault::decode(body)
    }
}

/// Quirks of one endpoint, checked. Means something to the dialect that parsed it only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quirks(u32);

impl Quirks {
    /// Whether the quirk at this place of the dialect's list is on.
    pub(crate) fn has(self, place: u32) -> bool {
        self.0.checked_shr(place).unwrap_or(0) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_has_a_name_that_rows_may_carry() {
        for dialect in DIALECTS {
            assert!(domain::catalog::DIALECTS.contains(&dialect.id));
            assert_eq!(find(dialect.id), Some(*dialect));
            assert!(dialect.fields.len() <= 64 && dialect.quirks.len() <= 32);
        }
        assert_eq!(find("morse"), None);
    }

    #[test]
    fn an_unknown_quirk_is_named() {
        let dialect = &openai_chat::DIALECT;
        assert!(dialect.parse_quirks(&["no-stream-options", "max-completion-tokens"]).is_ok());
        let error = dialect.parse_quirks(&["sings"]).unwrap_err();
        assert!(error.to_string().starts_with("`sings` is no quirk of openai-chat; known are "));
    }
}
