//! The canary in every family: what is said through any pair is left nowhere.

use std::sync::Arc;

use serde_json::json;
use tollgate_tests::clients::Ask;
use tollgate_tests::fake::strict::Family;
use tollgate_tests::house::{House, Setup};

use super::speak::Part;
use super::{Pair, pairs, weather};
use crate::canary::{LOG, files};

const SAID: &str = "canarysaid4c1e";
const CALLED: &str = "canarycalled81bb";
const FOUND: &str = "canaryfound27d0";
const PICTURE: &str = "Y2FuYXJ5cGljdHVyZTkw";

/// One conversation with everything in it, and some that fail.
async fn sing(pair: &Pair) {
    let mut speaker = pair.speaker();
    speaker.system(&format!("system {SAID}"));
    let text = pair.tagged(&format!("{SAID} call get_weather({{\"city\":\"{CALLED}\"}})"));
    speaker.say_parts(&[Part::Text(text), Part::Image("image/png", PICTURE)]);
    speaker.tools(&[weather()]);
    speaker.think();
    let heard = speaker.hear().await.heard;
    speaker.give(&heard, &[FOUND]);
    assert_eq!(speaker.hear().await.heard.text, format!("results: {FOUND}"));
    for command in ["!error 400", "!error 500", "!html", "!inband", "!cut", "!refuse", "!length", "!badargs"] {
        let text = format!("{SAID} call get_weather({{\"city\":\"{CALLED}\"}}) {command}");
        let mut speaker = pair.asking(&text);
        speaker.tools(&[weather()]);
        let _ = pair.house.client(0, "").try_send(speaker.ask()).await;
    }
    let mut speaker = pair.asking(SAID);
    super::spoil(&mut speaker.body, pair.from);
    let _ = speaker.try_hear().await;
}

async fn sing_otherwise(house: &House, key: &str) {
    let client = house.client(0, key);
    for (path, body) in [
        ("embeddings", json!({"model": "strict/embed", "input": SAID})),
        ("images/generations", json!({"model": "strict/image", "prompt": SAID})),
        ("audio/speech", json!({"model": "strict/speech", "input": SAID, "voice": "alloy"})),
        ("moderations", json!({"model": "strict/moderate", "input": SAID})),
        ("rerank", json!({"model": "strict/rerank", "query": SAID, "documents": [FOUND]})),
        ("completions", json!({"model": "strict/complete", "prompt": SAID})),
        ("embeddings", json!({"model": "strict/embed", "input": {"wrong": SAID}})),
    ] {
        let _ = client.try_send(Ask::json(&format!("/v1/{path}"), &body)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_through_any_pair_is_left_nowhere() {
    let setup = Setup { strict: true, control: LOG.to_owned(), proxy: LOG.to_owned(), ..Setup::default() };
    let house = Arc::new(House::planes(setup).await);
    let org = house.org("50.00").await;
    for pair in pairs(&house, &org) {
        sing(&pair).await;
    }
    sing_otherwise(&house, &org.key).await;
    let strict = house.fake.strict();
    assert!(Family::ALL.iter().all(|family| strict.seen().iter().any(|seen| seen.family == *family)));
    let mut house = Arc::into_inner(house).expect("nobody else holds the house");
    let mut places = vec![("metrics".to_owned(), house.metrics_text().await.into_bytes())];
    for call in [&["usage", "list", "--org", org.id.as_str()][..], &["audit", "list"]] {
        places.push((call.join(" "), house.admin(call).await.to_string().into_bytes()));
    }
    assert_eq!(house.stop_proxy(0).await, 0);
    assert_eq!(house.stop_controller().await, 0);
    files(house.folder(), &mut places);
    places.extend(house.database().dump().map(|dump| ("the database".to_owned(), dump)));
    assert!(house.logs().len() > 1_000, "the logs are empty: nothing was looked at");
    for secret in [SAID, CALLED, FOUND, PICTURE] {
        for (place, bytes) in &places {
            assert!(memchr::memmem::find(bytes, secret.as_bytes()).is_none(), "{secret} is in {place}");
        }
    }
}
