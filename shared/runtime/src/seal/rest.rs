//! Secrets at rest. Each one is sealed by a data key of its own, which is sealed by the master key; to change the
//! master key is to seal the small data keys again.
//!
//! Envelope: version (1) | master key id (8) | nonce (12) | sealed data key (32 + 16) | nonce (12) | sealed secret (n + 16).
//! AES-256-GCM for both; the caller's binding is authenticated by both, so rows cannot be swapped or rolled back.

use std::{fmt, fs, os::unix::fs::PermissionsExt as _, path::PathBuf, str::FromStr};

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest,
    rand::{SecureRandom as _, SystemRandom},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::{Zeroize as _, Zeroizing};

use super::hex;
use crate::{Error, Result, Secret, files};

const VERSION: u8 = 1;
const KEY: usize = 32;
const ID: usize = 8;
const TAG: usize = 16;
const HEADER: usize = 1 + ID;
/// Bytes of an envelope beyond the secret itself.
const OVERHEAD: usize = HEADER + NONCE_LEN + KEY + TAG + NONCE_LEN + TAG;

/// Where the master key lives. In settings: `file:PATH` or `env:NAME`; in both it is 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file, best of mode 600.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

/// What to do when the master key's file is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMissing {
    /// Refuse to start: a new key could not open the old secrets.
    Refuse,
    /// Make a random key, for a fresh installation.
    Make,
}

impl KeySource {
    /// Reads the master key, or makes its file (mode 600) when that is asked for.
    ///
    /// # Errors
    /// When there is no key, or it is not 64 hexadecimal digits. The text that was read is never repeated.
    pub fn load(&self, if_missing: IfMissing) -> Result<MasterKey> {
        self.load_with(if_missing, |name| std::env::var(name).ok())
    }

    pub(super) fn load_with(
        &self,
        if_missing: IfMissing,
        variable: impl FnOnce(&str) -> Option<String>,
    ) -> Result<MasterKey> {
        let text = match self {
            Self::Env(name) => variable(name).ok_or_else(|| self.wrong("the environment variable is not set"))?,
            Self::File(path) => self.read_or_make(path, if_missing)?,
        };
        self.parse(&Zeroizing::new(text))
    }

    fn read_or_make(&self, path: &PathBuf, if_missing: IfMissing) -> Result<String> {
        if if_missing == IfMissing::Make && !path.exists() {
            let fresh = Zeroizing::new(hex(&*random_key()?));
            // Another process may be first; then its key is the key.
            files::create_once(path, fresh.as_bytes(), 0o600)?;
        }
        let text = fs::read_to_string(path).map_err(Error::file("read master key", path))?;
        let mode = fs::metadata(path).map_err(Error::file("read master key", path))?.permissions().mode();
        if mode & 0o007 != 0 {
            tracing::warn!(path = %path.display(), "the master key can be read by every user of this machine; use mode 600");
        }
        Ok(text)
    }

    fn parse(&self, text: &str) -> Result<MasterKey> {
        const SHAPE: &str = "64 hexadecimal digits are needed (openssl rand -hex 32)";
        let digits = text.trim().as_bytes();
        if digits.len() != 2 * KEY {
            return Err(self.wrong(SHAPE));
        }
        let mut key = Zeroizing::new([0; KEY]);
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'));
            *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(|| self.wrong(SHAPE))?;
        }
        if key.iter().all(|byte| *byte == 0) {
            return Err(self.wrong("all zeros is not a key"));
        }
        Ok(MasterKey::new(key))
    }

    fn wrong(&self, reason: &'static str) -> Error {
        Error::MasterKey { from: self.to_string(), reason }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
        }
    }
}

impl FromStr for KeySource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            // Not repeated: somebody may have put the key itself here.
            _ => Err("where the master key lives is written file:PATH or env:NAME"),
        }
    }
}

impl Serialize for KeySource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeySource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The installation's key; everything at rest is sealed under it.
pub struct MasterKey {
    key: Zeroizing<[u8; KEY]>,
    id: [u8; ID],
}

impl MasterKey {
    pub(super) fn new(key: Zeroizing<[u8; KEY]>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"tollgate master key id");
        context.update(&*key);
        let mut id = [0; ID];
        for (to, from) in id.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self { key, id }
    }

    /// A short name of the key, safe to show: a one-way digest of it.
    #[must_use]
    pub fn id(&self) -> String {
        hex(&self.id)
    }

    /// Seals `secret` so that it opens only with this key and the same `bound` bytes (see [`super::binding`]).
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn seal(&self, bound: &[u8], secret: &[u8]) -> Result<Vec<u8>> {
        let mut data_key = random_key()?;
        let mut envelope = Vec::with_capacity(OVERHEAD + secret.len());
        envelope.push(VERSION);
        envelope.extend_from_slice(&self.id);
        let header = envelope.clone();
        seal_part(&self.key, &wrap_aad(&header, bound), &*data_key, &mut envelope)?;
        seal_part(&data_key, &data_aad(bound), secret, &mut envelope)?;
        data_key.zeroize();
        Ok(envelope)
    }

    /// Opens an envelope that [`MasterKey::seal`] made for the same `bound` bytes.
    ///
    /// # Errors
    /// [`Error::OtherMasterKey`] when another key sealed it; [`Error::Open`] when it was altered, cut, or belongs to
    /// something else than `bound`.
    pub fn open(&self, bound: &[u8], envelope: &[u8]) -> Result<Secret> {
        if envelope.first() != Some(&VERSION) {
            return Err(Error::Open("unknown envelope version"));
        }
        let (header, rest) = envelope.split_at_checked(HEADER).ok_or(CUT)?;
        let sealed_under = header.get(1..).ok_or(CUT)?;
        if sealed_under != self.id {
            return Err(Error::OtherMasterKey { sealed_under: hex(sealed_under), ours: self.id() });
        }
        let (wrapped, sealed) = rest.split_at_checked(NONCE_LEN + KEY + TAG).ok_or(CUT)?;
        let unwrapped = Zeroizing::new(open_part(&self.key, &wrap_aad(header, bound), wrapped)?);
        let data_key = Zeroizing::new(<[u8; KEY]>::try_from(unwrapped.as_slice()).map_err(|_| CUT)?);
        open_part(&data_key, &data_aad(bound), sealed).map(Secret::from)
    }
}

const CUT: Error = Error::Open("the envelope is too short");

// The two layers are told apart by a label, and the outer one alone names the master key: it is the one that is
// made again when the master key changes.
fn wrap_aad(header: &[u8], bound: &[u8]) -> Vec<u8> {
    [b"tollgate seal: key\0".as_slice(), header, bound].concat()
}

fn data_aad(bound: &[u8]) -> Vec<u8> {
    [b"tollgate seal: data\0".as_slice(), &[VERSION], bound].concat()
}

/// Appends nonce, ciphertext and tag to `out`.
fn seal_part(key: &[u8; KEY], aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| Error::Seal("no randomness"))?;
    let mut sealed = Zeroizing::new(plaintext.to_vec());
    let tag = aead(key)
        .and_then(|aead| {
            aead.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut sealed)
        })
        .map_err(|_| Error::Seal("it is too long"))?;
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&sealed);
    out.extend_from_slice(tag.as_ref());
    Ok(())
}

/// Opens what [`seal_part`] appended.
fn open_part(key: &[u8; KEY], aad: &[u8], part: &[u8]) -> Result<Vec<u8>> {
    let (nonce, sealed) = part.split_first_chunk::<NONCE_LEN>().ok_or(CUT)?;
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let opened = aead(key)
        .and_then(|aead| aead.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut buffer))
        .map_err(|_| Error::Open("it was altered or belongs to something else"))?;
    Ok(opened.to_vec())
}

fn aead(key: &[u8; KEY]) -> Result<LessSafeKey, ring::error::Unspecified> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new)
}

fn random_key() -> Result<Zeroizing<[u8; KEY]>> {
    let mut key = Zeroizing::new([0; KEY]);
    SystemRandom::new().fill(&mut *key).map_err(|_| Error::Seal("no randomness"))?;
    Ok(key)
}
