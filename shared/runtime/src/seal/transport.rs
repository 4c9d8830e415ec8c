//! Secrets on their way to one process: HPKE (RFC 9180) in base mode, X25519, HKDF-SHA256, ChaCha20-Poly1305.
//! The receiver makes a fresh key pair at boot and keeps the private half in memory only, so what was sent to it
//! cannot be opened after it ends.
//!
//! Sealed form: version (1) | encapsulated key (32) | sealed secret (n + 16).

use hpke::{
    Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256 as X25519, single_shot_open, single_shot_seal,
};
use zeroize::Zeroize as _;

use crate::{Error, Result, Secret};

const VERSION: u8 = 1;
const LABEL: &[u8] = b"tollgate boot key v1\0";

/// Bytes of a public key, and of the encapsulated key in front of a sealed secret.
pub const PUBLIC_KEY_LEN: usize = 32;

/// The key pair of one running process.
pub struct BootKey {
    private: <X25519 as hpke::Kem>::PrivateKey,
    public: [u8; PUBLIC_KEY_LEN],
}

impl BootKey {
    /// Makes a new pair from the system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        let (private, public) = X25519::gen_keypair();
        Self { private, public: public.to_bytes().into() }
    }

    /// The half that others may know.
    #[must_use]
    pub const fn public_key(&self) -> [u8; PUBLIC_KEY_LEN] {
        self.public
    }

    /// Opens what was sealed to this key for the same `info`.
    ///
    /// # Errors
    /// [`Error::Open`] when it was altered, sealed to another key, or made for another `info`.
    pub fn open(&self, info: &[u8], sealed: &[u8]) -> Result<Secret> {
        const CUT: Error = Error::Open("the sealed secret is too short");
        let (version, rest) = sealed.split_first().ok_or(CUT)?;
        if *version != VERSION {
            return Err(Error::Open("unknown version of a sealed secret"));
        }
        let (encapsulated, ciphertext) = rest.split_at_checked(PUBLIC_KEY_LEN).ok_or(CUT)?;
        let encapsulated =
            <X25519 as hpke::Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| Error::Open("malformed key"))?;
        single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519>(
            &OpModeR::Base,
            &self.private,
            &encapsulated,
            &labelled(info),
            ciphertext,
            &[],
        )
        .map(Secret::from)
        .map_err(|_| Error::Open("it was altered or belongs to another process"))
    }
}

/// Seals `secret` to the holder of `public_key`; `info` says what it is for (process, epoch, version …) and must be the
/// same when it is opened.
///
/// # Errors
/// [`Error::Seal`] when `public_key` is not one.
pub fn seal_to(public_key: &[u8], info: &[u8], secret: &[u8]) -> Result<Vec<u8>> {
    const BAD_KEY: Error = Error::Seal("the receiver's public key is malformed");
    let public = <X25519 as hpke::Kem>::PublicKey::from_bytes(public_key).map_err(|_| BAD_KEY)?;
    let (encapsulated, mut ciphertext) =
        single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519>(&OpModeS::Base, &public, &labelled(info), secret, &[])
            .map_err(|_| BAD_KEY)?;
    let mut sealed = Vec::with_capacity(1 + PUBLIC_KEY_LEN + ciphertext.len());
    sealed.push(VERSION);
    sealed.extend_from_slice(&encapsulated.to_bytes());
    sealed.append(&mut ciphertext);
    ciphertext.zeroize();
    Ok(sealed)
}

fn labelled(info: &[u8]) -> Vec<u8> {
    [LABEL, info].concat()
}
