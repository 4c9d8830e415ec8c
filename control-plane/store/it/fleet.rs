//! Connected proxies.

use domain::ids::{BootEpoch, Revision};
use domain::snapshot::{Kind, Refusal};
use store::fleet::{self, Proxy};

use crate::ground::Ground;
use crate::samples::{self, NOW};

on_both_engines!(a_proxy_has_one_row_and_the_newest_connection_owns_it);

async fn a_proxy_has_one_row_and_the_newest_connection_owns_it(ground: &Ground) {
    let refusal = Refusal { kind: Kind::Key, name: "abc".into(), reason: "says \"no\"".into() };
    let first = Proxy {
        proxy: samples::proxy("edge-1"),
        controller: "one".into(),
        epoch: BootEpoch(5),
        connected_since: NOW,
        revision: Revision(3),
        refused: vec![refusal],
        build: "0.1.0".into(),
        region: "eu".into(),
        last_seen: NOW,
    };
    fleet::put(&ground.store, &first).await.unwrap();
    assert_eq!(fleet::list(&ground.store).await.unwrap(), std::slice::from_ref(&first));
    let acked = Proxy { revision: Revision(4), refused: vec![], last_seen: samples::later(1), ..first.clone() };
    fleet::put(&ground.store, &acked).await.unwrap();
    assert_eq!(fleet::list(&ground.store).await.unwrap(), std::slice::from_ref(&acked));
    let elsewhere = Proxy { controller: "two".into(), connected_since: samples::later(2), ..acked.clone() };
    fleet::put(&ground.store, &elsewhere).await.unwrap();
    fleet::put(&ground.store, &acked).await.unwrap();
    fleet::remove(&ground.store, &acked).await.unwrap();
    assert_eq!(
        fleet::list(&ground.store).await.unwrap(),
        std::slice::from_ref(&elsewhere),
        "a late word of the old connection"
    );
    let reborn = Proxy { epoch: BootEpoch(6), connected_since: samples::later(3), ..first.clone() };
    fleet::put(&ground.store, &reborn).await.unwrap();
    fleet::put(&ground.store, &elsewhere).await.unwrap();
    assert_eq!(
        fleet::list(&ground.store).await.unwrap(),
        std::slice::from_ref(&reborn),
        "a late word of the life before"
    );
    fleet::remove(&ground.store, &reborn).await.unwrap();
    assert!(fleet::list(&ground.store).await.unwrap().is_empty());
}
