//! Work that one controller does for all.

use store::claims;

use crate::ground::Ground;
use crate::samples::{NOW, later};

on_both_engines!(one_controller_holds_a_claim_until_it_lets_go_or_time_passes);

async fn one_controller_holds_a_claim_until_it_lets_go_or_time_passes(ground: &Ground) {
    let store = &ground.store;
    let first = claims::take(store, "rates", "one", NOW, later(10)).await.unwrap();
    assert_eq!((first.holder.as_str(), first.since, first.until), ("one", NOW, later(10)));
    let refused = claims::take(store, "rates", "two", later(9), later(20)).await.unwrap();
    assert_eq!(refused, first);
    let longer = claims::take(store, "rates", "one", later(5), later(15)).await.unwrap();
    assert_eq!((longer.since, longer.until), (NOW, later(15)), "the same hold, prolonged");
    let next = claims::take(store, "rates", "two", later(15), later(25)).await.unwrap();
    assert_eq!((next.holder.as_str(), next.since), ("two", later(15)));
    claims::release(store, "rates", "one").await.unwrap();
    assert_eq!(claims::take(store, "rates", "one", later(16), later(26)).await.unwrap(), next, "not one's to release");
    claims::release(store, "rates", "two").await.unwrap();
    let again = claims::take(store, "rates", "one", later(16), later(26)).await.unwrap();
    assert_eq!((again.holder.as_str(), again.since), ("one", later(16)));
    let lapsed = claims::take(store, "rates", "one", later(40), later(50)).await.unwrap();
    assert_eq!(lapsed.since, later(40), "a hold that lapsed is a new one");
    let other = claims::take(store, "expiry", "two", NOW, later(10)).await.unwrap();
    assert_eq!(other.holder, "two", "claims are apart");
}
