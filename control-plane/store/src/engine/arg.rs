//! Values on their way into a statement. Text never carries a NUL byte, which PostgreSQL refuses.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::sync::Arc;

use domain::ids::{
    BootEpoch, EndpointId, EntryId, KeyId, ModelId, OrgId, PlanId, ProviderId, ProxyId, RequestId, Revision, TokenId,
};
use domain::keys::Digest;
use domain::limits::Period;
use domain::money::{Money, Price};
use domain::pools::PoolId;
use domain::time::Timestamp;

/// One value. `None` is NULL, of the variant's type: PostgreSQL wants to know it.
#[derive(Clone)]
pub(crate) enum Arg {
    Int(Option<i64>),
    /// Shared, because most texts of a bulk write come again in every row, and drivers take it as it is.
    Text(Option<Arc<str>>),
    Bytes(Option<Vec<u8>>),
    Bool(Option<bool>),
}

/// The values of a statement, in the order of its placeholders.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::engine::Arg::from($value)),*] };
}
pub(crate) use args;

fn text(value: impl Borrow<str> + Into<Arc<str>>) -> Arg {
    let has_nul = value.borrow().as_bytes().contains(&0);
    Arg::Text(Some(if has_nul { value.borrow().replace('\0', "\u{fffd}").into() } else { value.into() }))
}

/// Counts beyond the range of bigint stop at its end.
fn count(value: u64) -> Arg {
    Arg::Int(Some(i64::try_from(value).unwrap_or(i64::MAX)))
}

macro_rules! from {
    ($null:ident: $($kind:ty => |$value:ident| $make:expr),* $(,)?) => {
        $(
            impl From<$kind> for Arg {
                fn from(value: $kind) -> Arg { Arg::from(&value) }
            }
            impl From<&$kind> for Arg {
                fn from($value: &$kind) -> Arg { $make }
            }
            impl From<Option<$kind>> for Arg {
                fn from(value: Option<$kind>) -> Arg { Arg::from(&value) }
            }
            impl From<&Option<$kind>> for Arg {
                fn from(value: &Option<$kind>) -> Arg { value.as_ref().map_or(Arg::$null(None), Arg::from) }
            }
        )*
    };
}

from!(Int:
    i64 => |value| Arg::Int(Some(*value)),
    u64 => |value| count(*value),
    u32 => |value| Arg::Int(Some(i64::from(*value))),
    u16 => |value| Arg::Int(Some(i64::from(*value))),
    usize => |value| count(u64::try_from(*value).unwrap_or(u64::MAX)),
    Money => |value| Arg::Int(Some(value.nano())),
    Price => |value| Arg::Int(Some(value.pico())),
    Timestamp => |value| Arg::Int(Some(value.us())),
    Period => |value| Arg::Int(Some(value.0)),
    Revision => |value| count(value.0),
    BootEpoch => |value| count(value.0),
);
from!(Text:
    String => |value| text(value.as_str()),
    OrgId => |value| text(value.write_text(&mut [0; OrgId::LEN])),
    KeyId => |value| text(value.write_text(&mut [0; KeyId::LEN])),
    TokenId => |value| text(value.write_text(&mut [0; TokenId::LEN])),
    EntryId => |value| text(value.write_text(&mut [0; EntryId::LEN])),
    RequestId => |value| text(value.write_text(&mut [0; RequestId::LEN])),
    ProviderId => |value| text(value.clone()),
    ModelId => |value| text(value.clone()),
    EndpointId => |value| text(value.clone()),
    ProxyId => |value| text(value.clone()),
    PlanId => |value| text(value.clone()),
    PoolId => |value| text(value.to_string()),
);
from!(Bytes:
    Vec<u8> => |value| Arg::Bytes(Some(value.clone())),
    Digest => |value| Arg::Bytes(Some(value.as_bytes().to_vec())),
    [u8; 32] => |value| Arg::Bytes(Some(value.to_vec())),
);
from!(Bool:
    bool => |value| Arg::Bool(Some(*value)),
);

impl From<&str> for Arg {
    fn from(value: &str) -> Arg {
        text(value)
    }
}

impl From<&[u8]> for Arg {
    fn from(value: &[u8]) -> Arg {
        Arg::Bytes(Some(value.to_vec()))
    }
}

/// Texts that come again and again in one write: each is made once, and its rows share it.
#[derive(Default)]
pub(crate) struct Texts(HashSet<Arc<str>>);

impl Texts {
    pub(crate) fn arg(&mut self, value: &str) -> Arg {
        if let Some(known) = self.0.get(value) {
            return Arg::Text(Some(known.clone()));
        }
        let made = text(value);
        // What had a NUL byte is made anew each time: it is not kept as it was asked for.
        if let Arg::Text(Some(kept)) = &made {
            self.0.insert(kept.clone());
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(arg: Arg) -> Arc<str> {
        match arg {
            Arg::Text(Some(text)) => text,
            _ => panic!("no text"),
        }
    }

    #[test]
    fn a_text_that_comes_again_is_the_same_one() {
        let mut texts = Texts::default();
        let (first, other, again) = (shared(texts.arg("a")), shared(texts.arg("b")), shared(texts.arg("a")));
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!((&*first, &*other), ("a", "b"));
    }

    #[test]
    fn no_text_carries_a_nul() {
        let mut texts = Texts::default();
        for _ in 0..2 {
            assert_eq!(&*shared(texts.arg("a\0b")), "a\u{fffd}b");
        }
        assert_eq!(&*shared(Arg::from(&"a\0b".to_owned())), "a\u{fffd}b");
    }
}
