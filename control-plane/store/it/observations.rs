//! What proxies told of endpoints, for the other controllers.

use domain::ids::BootEpoch;
use domain::time::Timestamp;
use store::observations::{self, Observation};

use crate::ground::Ground;
use crate::samples::{NOW, later};

on_both_engines!(a_proxys_last_word_is_read_by_the_other_controllers_while_it_is_fresh);

fn told(proxy: &str, controller: &str, sequence: u64, told_at: Timestamp) -> Observation {
    let body = vec![0, 255, u8::try_from(sequence).unwrap()];
    Observation {
        proxy: proxy.parse().unwrap(),
        controller: controller.to_owned(),
        epoch: BootEpoch(7),
        sequence,
        body,
        told_at,
    }
}

async fn a_proxys_last_word_is_read_by_the_other_controllers_while_it_is_fresh(ground: &Ground) {
    let store = &ground.store;
    let (first, second) = (told("edge-1", "one", 1, NOW), told("edge-2", "two", 1, later(1)));
    observations::put(store, &first, false).await.unwrap();
    observations::put(store, &second, true).await.unwrap();
    let others = async |controller: &str, since| observations::list_others(store, controller, since).await.unwrap();
    assert_eq!(others("one", NOW).await, std::slice::from_ref(&second));
    assert_eq!(others("three", NOW).await, [first.clone(), second.clone()]);
    assert_eq!(others("three", later(1)).await, std::slice::from_ref(&second), "the first is too old");
    let newer = told("edge-1", "two", 2, later(2));
    observations::put(store, &newer, false).await.unwrap();
    assert_eq!(others("one", NOW).await, [newer.clone(), second], "one word for each proxy");
    observations::forget(store, later(2)).await.unwrap();
    assert_eq!(others("three", NOW).await, [newer]);
}
