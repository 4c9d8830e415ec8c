//! Carries a model's sealed state through clients of another dialect: the provider's signature travels inside a field, or
//! inside a call's id, that well-behaved clients send back. A short authentication code binds it to the organisation, the
//! provider and the model it came from, so that it is not replayed elsewhere. Never logged, never longer than it must be.

use std::borrow::Cow;
use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use memchr::memmem::Finder;
use sha2::Sha256;

use crate::model::Signature;

/// How everything that we carry begins.
pub(crate) const MARK: &str = "tgst1_";
/// Letters of the code: twelve bytes.
const CODE: usize = 16;
/// A signature longer than this does not go into an id: clients keep ids in columns and logs.
const ID_MOST: usize = 8 * 1024;
/// Stands between an id and what it carries.
const ID_MARK: &str = "-tgst1_";

/// Binds and checks the state of one endpoint for one organisation. The default one is nobody's: it is for ways on which
/// nothing is carried.
#[derive(Clone, Default)]
pub struct Carry {
    key: [u8; 32],
}

impl Carry {
    /// For state that `model` of `provider` makes for `org`. `secret` is something that all proxies have and no client knows,
    /// such as the provider's credential; without one the code still keeps honest clients apart.
    pub fn new(secret: &[u8], org: &str, provider: &str, model: &str) -> Carry {
        let mut mac = keyed(secret);
        for text in ["tollgate carry 1", org, provider, model] {
            mac.update(text.as_bytes());
            mac.update(&[0]);
        }
        Carry { key: mac.finalize().into_bytes().into() }
    }

    fn code(&self, value: &str) -> String {
        let mut mac = keyed(&self.key);
        mac.update(value.as_bytes());
        let code = mac.finalize().into_bytes();
        URL_SAFE_NO_PAD.encode(code.get(..12).unwrap_or_default())
    }

    /// A signature as a client of another dialect gets it: one word of the letters that the signature has, and `_`.
    pub(crate) fn wrap(&self, signature: &str) -> String {
        format!("{MARK}{}{signature}", self.code(signature))
    }

    /// What a client sent back in the place of a signature.
    pub(crate) fn unwrap<'a>(&self, text: Cow<'a, str>) -> Signature<'a> {
        let Some(rest) = text.strip_prefix(MARK) else { return Signature::Foreign(text) };
        match rest.split_at_checked(CODE) {
            Some((code, value)) if self.is_code(code, value) => Signature::Own(Cow::Owned(value.to_owned())),
            _ => Signature::Foreign(text),
        }
    }

    /// The same for fields that must be base64: the wrapped word, encoded.
    pub(crate) fn wrap_base64(&self, signature: &str) -> String {
        base64::engine::general_purpose::STANDARD.encode(self.wrap(signature))
    }

    /// What a client sent back in the place of a base64 signature.
    pub(crate) fn unwrap_base64<'a>(&self, text: Cow<'a, str>) -> Signature<'a> {
        let inner = base64::engine::general_purpose::STANDARD.decode(text.as_bytes()).ok();
        let inner = inner.and_then(|inner| String::from_utf8(inner).ok()).filter(|inner| inner.starts_with(MARK));
        match inner.map(|inner| self.unwrap(Cow::Owned(inner))) {
            Some(own @ Signature::Own(_)) => own,
            _ => Signature::Foreign(text),
        }
    }

    /// A call's id with its signature inside, of letters, digits, `-` and `_`; the id alone when that would be too long.
    pub(crate) fn wrap_id(&self, id: &str, signature: &str) -> String {
        let packed = URL_SAFE_NO_PAD.encode(signature);
        match packed.len() <= ID_MOST {
            true => format!("{id}{ID_MARK}{}{packed}", self.code(signature)),
            false => id.to_owned(),
        }
    }

    /// The id that the provider gave, and the signature inside, if it is there.
    pub(crate) fn unwrap_id<'a>(&self, text: Cow<'a, str>) -> (Cow<'a, str>, Option<Signature<'a>>) {
        let Some((id, rest)) = text.split_once(ID_MARK) else { return (text, None) };
        let own = rest.split_at_checked(CODE).and_then(|(code, packed)| {
            let value = String::from_utf8(URL_SAFE_NO_PAD.decode(packed).ok()?).ok()?;
            self.is_code(code, &value).then_some(Signature::Own(Cow::Owned(value)))
        });
        let id = Cow::Owned(id.to_owned());
        (id, Some(own.unwrap_or(Signature::Foreign(Cow::Borrowed("")))))
    }

    fn is_code(&self, code: &str, value: &str) -> bool {
        let mut mac = keyed(&self.key);
        mac.update(value.as_bytes());
        URL_SAFE_NO_PAD.decode(code).is_ok_and(|code| mac.verify_truncated_left(&code).is_ok())
    }
}

/// Whether a body carries anything of ours: then its signatures must be looked at, whatever dialect it is in.
pub(crate) fn is_in(body: &[u8]) -> bool {
    // The second form is the beginning of the first in base64.
    static MARKS: LazyLock<[Finder<'static>; 2]> = LazyLock::new(|| [MARK, "dGdzdDFf"].map(Finder::new));
    MARKS.iter().any(|mark| mark.find(body).is_some())
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // Keys of any length are taken; the fallback is for the compiler.
    Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::<Sha256>::new(&Default::default()))
}

impl std::fmt::Debug for Carry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Carry")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carry(org: &str, model: &str) -> Carry {
        Carry::new(b"a provider's credential", org, "lab", model)
    }

    #[test]
    fn state_comes_back_exactly_and_only_to_where_it_came_from() {
        let (home, other_org, other_model) = (carry("o1", "m1"), carry("o2", "m1"), carry("o1", "m2"));
        for value in ["", "EqQBCkYIARgCKkA+/=", "gAAAAAB-_x", "ä\n\"", &"A".repeat(3_000)] {
            let wrapped = home.wrap(value);
            assert_eq!(home.unwrap(wrapped.clone().into()), Signature::Own(value.to_owned().into()));
            let coded = home.wrap_base64(value);
            assert_eq!(home.unwrap_base64(coded.clone().into()), Signature::Own(value.to_owned().into()));
            assert!(is_in(wrapped.as_bytes()) && is_in(coded.as_bytes()));
            let id = home.wrap_id("call_1", value);
            assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            let (plain, inside) = home.unwrap_id(id.clone().into());
            assert_eq!((&*plain, inside), ("call_1", Some(Signature::Own(value.to_owned().into()))));
            for other in [&other_org, &other_model] {
                assert!(matches!(other.unwrap(wrapped.clone().into()), Signature::Foreign(_)));
                assert!(matches!(other.unwrap_base64(coded.clone().into()), Signature::Foreign(_)));
                let (plain, inside) = other.unwrap_id(id.clone().into());
                assert!(&*plain == "call_1" && matches!(inside, Some(Signature::Foreign(_))));
            }
        }
    }

    #[test]
    fn what_was_changed_on_the_way_is_not_ours() {
        let home = carry("o", "m");
        let wrapped = home.wrap("sealed");
        assert!(matches!(home.unwrap(format!("{wrapped}x").into()), Signature::Foreign(_)));
        assert!(matches!(home.unwrap("sealed".into()), Signature::Foreign(_)));
        assert!(matches!(home.unwrap(MARK.into()), Signature::Foreign(_)));
        assert_eq!(home.unwrap_id("call_2".into()), ("call_2".into(), None));
        assert!(!is_in(br#"{"model":"m","messages":[{"content":"tgst"}]}"#));
    }

    #[test]
    fn state_that_is_too_long_stays_out_of_ids() {
        assert_eq!(carry("o", "m").wrap_id("call_1", &"A".repeat(20_000)), "call_1");
    }
}
