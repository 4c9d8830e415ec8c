//! Sealed envelopes for secrets: at rest under the installation's master key (`rest`), and on the way to one proxy
//! under the key that it made at boot (`transport`). The one door through which secrets are stored or sent.
//! Never logs, never keeps a plaintext. Next room: the store, which sees only envelopes.

mod rest;
#[cfg(test)]
mod tests;
mod transport;

pub use rest::{IfMissing, KeySource, MasterKey};
pub use transport::{BootKey, PUBLIC_KEY_LEN, seal_to};

/// Joins the parts that an envelope is bound to (purpose, organisation, provider, id, version …), each with its
/// length in front, so that no two different lists of parts give the same bytes.
#[must_use]
pub fn binding(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
