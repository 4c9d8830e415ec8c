//! The promises of this room, by what is done: checking, healing, converting; then all of it on recorded traffic, on
//! anything at all, and under pressure.

mod bounds;
mod checking;
mod converting;
mod healing;
mod random;
mod recorded;

use super::*;

fn schema(raw: &str) -> Schema {
    Schema::parse(raw).unwrap_or_else(|fault| panic!("{raw}: {fault}"))
}
