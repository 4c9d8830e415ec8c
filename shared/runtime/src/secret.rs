//! Secret text and bytes: keys, tokens, passwords.
//! A `Secret` has no Debug, no Display, no Serialize and no Clone, and is wiped when it is dropped.
//! Moves in Rust may leave copies behind, so this is harm reduction and no promise. Next room: `seal`.

use std::{collections::BTreeMap, fmt};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use serde::{Deserialize, Deserializer, Serializer, de, ser::SerializeMap};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// What a set secret looks like when settings are printed. It is refused as a secret when read back.
pub const MASK: &str = "***set***";

/// Bytes that must not be shown. Empty means "not set".
#[derive(Default)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// The bytes. The name is long enough to be found in a review.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The text, or `None` when the bytes are not UTF-8.
    #[must_use]
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// A second copy, asked for by name.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares in constant time; only the lengths may be learnt from the time it takes.
    #[must_use]
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }

    fn wipe(&mut self) {
        self.0.zeroize();
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl From<Vec<u8>> for Secret {
    /// Takes an exact copy and wipes the original, whose spare capacity would otherwise keep parts of it.
    fn from(mut bytes: Vec<u8>) -> Self {
        let secret = Self(Box::from(bytes.as_slice()));
        bytes.zeroize();
        secret
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::from(text.into_bytes())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Box::from(text.as_bytes()))
    }
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Self {
        Self(Box::from(bytes))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret as text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                if text == MASK {
                    return Err(E::custom("this is the mask of a printed secret, not the secret"));
                }
                Ok(Secret::from(text))
            }

            fn visit_string<E: de::Error>(self, mut text: String) -> Result<Secret, E> {
                let secret = self.visit_str(&text);
                text.zeroize();
                secret
            }

            // The default refusal would quote a bare number, which may be somebody's pass code.
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom("a secret is text, in quotes"))
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
                Err(E::custom("a secret is text, in quotes"))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom("a secret is text, in quotes"))
            }
        }

        deserializer.deserialize_string(Text)
    }
}

/// Prints whether a secret is set; for `#[serde(serialize_with = "runtime::secret::mask")]` on a settings field.
///
/// # Errors
/// Only what the serializer itself reports.
pub fn mask<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(masked(secret))
}

/// The same for a table of named secrets: the names are printed, the values masked.
///
/// # Errors
/// Only what the serializer itself reports.
pub fn mask_map<S: Serializer>(secrets: &BTreeMap<String, Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(secrets.len()))?;
    for (name, secret) in secrets {
        map.serialize_entry(name, masked(secret))?;
    }
    map.end()
}

/// Keeps secrets out of core dumps and away from debuggers of the same user; for processes that hold customers' secrets.
/// It costs a non-root process the sight of its own open files in `/proc`, and with it that metric.
///
/// # Errors
/// When the system refuses.
pub fn forbid_dumps() -> crate::Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // The limit alone is not heeded when dumps are piped to a program, and the flag alone is reset by an exec.
    setrlimit(Resource::Core, none)
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
        .map_err(|error| crate::Error::Dumps(error.into()))
}

fn masked(secret: &Secret) -> &'static str {
    if secret.is_empty() { "" } else { MASK }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two blanket impls make `probe` ambiguous, and this file uncompilable, as soon as `Secret` gets the trait.
    macro_rules! never_implements {
        ($type:ty: $($name:ident = $bound:path),+) => {$(
            #[test]
            fn $name() {
                trait Probe<Choice> { fn probe() {} }
                struct Shown;
                impl<T: ?Sized> Probe<()> for T {}
                impl<T: ?Sized + $bound> Probe<Shown> for T {}
                <$type as Probe<_>>::probe();
            }
        )+};
    }

    never_implements!(Secret:
        a_secret_has_no_debug = fmt::Debug,
        a_secret_has_no_display = fmt::Display,
        a_secret_has_no_clone = Clone,
        a_secret_has_no_serialize = serde::Serialize
    );

    #[test]
    fn a_secret_gives_its_bytes_only_when_asked_by_name() {
        let secret = Secret::from("sk-live".to_owned());
        assert_eq!(secret.expose(), b"sk-live");
        assert_eq!(secret.expose_text(), Some("sk-live"));
        assert_eq!(secret.duplicate().expose(), b"sk-live");
        assert_eq!(Secret::from(vec![0xff]).expose_text(), None);
    }

    #[test]
    fn wiping_leaves_no_byte() {
        let mut secret = Secret::from(vec![7; 32]);
        secret.wipe();
        assert!(secret.expose().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn comparison_says_equal_only_for_equal_bytes() {
        let secret = Secret::from("token");
        assert!(secret.matches(b"token"));
        assert!(!secret.matches(b"tokem"));
        assert!(!secret.matches(b"token "));
        assert!(!secret.matches(b""));
    }

    const FORBID: &str = "TOLLGATE_TEST_SECRET_FORBID_DUMPS";

    /// Dumps are a property of the process, so this test starts its binary again for itself alone.
    #[test]
    fn dumps_can_be_forbidden() {
        if std::env::var_os(FORBID).is_some() {
            forbid_dumps().unwrap();
            assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
            assert_eq!(rustix::process::getrlimit(Resource::Core).maximum, Some(0));
            return;
        }
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "secret::tests::dumps_can_be_forbidden"])
            .env(FORBID, "1")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
    }

    #[derive(Deserialize, serde::Serialize)]
    struct Settings {
        #[serde(serialize_with = "mask")]
        token: Secret,
        #[serde(serialize_with = "mask_map")]
        headers: BTreeMap<String, Secret>,
    }

    #[test]
    fn printing_settings_shows_only_whether_a_secret_is_set() {
        let settings: Settings = toml::from_str("token = 'canary-1'\nheaders = { a = 'canary-2', b = '' }").unwrap();
        assert_eq!(settings.token.expose(), b"canary-1");
        let printed = toml::to_string(&settings).unwrap();
        assert!(!printed.contains("canary"), "{printed}");
        assert!(printed.contains("token = \"***set***\""), "{printed}");
        assert!(printed.contains("a = \"***set***\"") && printed.contains("b = \"\""), "{printed}");
    }

    #[test]
    fn a_printed_mask_is_not_taken_for_the_secret() {
        let refused = toml::from_str::<Settings>("token = '***set***'\nheaders = {}").err().unwrap();
        assert!(refused.message().contains("mask"), "{refused}");
    }

    #[test]
    fn a_refusal_does_not_quote_the_secret() {
        let refused = toml::from_str::<Settings>("token = 90210\nheaders = {}").err().unwrap();
        assert!(!refused.message().contains("90210"), "{}", refused.message());
    }
}
