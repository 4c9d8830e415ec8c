//! Values on their way into a statement. Text never carries a NUL byte, which PostgreSQL refuses.

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
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Bool(Option<bool>),
}

/// The values of a statement, in the order of its placeholders.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::engine::Arg::from($value)),*] };
}
pub(crate) use args;

fn text(value: impl Into<String>) -> Arg {
    let value = value.into();
    Arg::Text(Some(if value.contains('\0') { value.replace('\0', "\u{fffd}") } else { value }))
}

/// Counts beyond the range of bigint stop at its end.
fn count(value: u64) -> Arg {
    Arg::Int(Some(i64::try_from(value).unwrap_or(i64::MAX)))
}

macro_rules! from {
    ($null:ident: $($kind:ty => |$value:ident| $make:expr),* $(,)?) => {
        $(
            impl From<$kind> for Arg {
                fn from($value: $kind) -> Arg { $make }
            }
            impl From<&$kind> for Arg {
                fn from(value: &$kind) -> Arg { Arg::from(value.clone()) }
            }
            impl From<Option<$kind>> for Arg {
                fn from(value: Option<$kind>) -> Arg { value.map_or(Arg::$null(None), Arg::from) }
            }
            impl From<&Option<$kind>> for Arg {
                fn from(value: &Option<$kind>) -> Arg { Arg::from(value.clone()) }
            }
        )*
    };
}

from!(Int:
    i64 => |value| Arg::Int(Some(value)),
    u64 => |value| count(value),
    u32 => |value| Arg::Int(Some(i64::from(value))),
    u16 => |value| Arg::Int(Some(i64::from(value))),
    usize => |value| count(u64::try_from(value).unwrap_or(u64::MAX)),
    Money => |value| Arg::Int(Some(value.nano())),
    Price => |value| Arg::Int(Some(value.pico())),
    Timestamp => |value| Arg::Int(Some(value.us())),
    Period => |value| Arg::Int(Some(value.0)),
    Revision => |value| count(value.0),
    BootEpoch => |value| count(value.0),
);
from!(Text:
    String => |value| text(value),
    OrgId => |value| text(value.to_string()),
    KeyId => |value| text(value.to_string()),
    TokenId => |value| text(value.to_string()),
    EntryId => |value| text(value.to_string()),
    RequestId => |value| text(value.to_string()),
    ProviderId => |value| text(value),
    ModelId => |value| text(value),
    EndpointId => |value| text(value),
    ProxyId => |value| text(value),
    PlanId => |value| text(value),
    PoolId => |value| text(value.to_string()),
);
from!(Bytes:
    Vec<u8> => |value| Arg::Bytes(Some(value)),
    Digest => |value| Arg::Bytes(Some(value.as_bytes().to_vec())),
    [u8; 32] => |value| Arg::Bytes(Some(value.to_vec())),
);
from!(Bool:
    bool => |value| Arg::Bool(Some(value)),
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
