//! Spoken text: its bytes reach the client as the provider makes them, no faster than the client takes them, and never
//! end well where the provider's did not.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;
use tollgate_tests::actors::Org;
use tollgate_tests::clients::{Ask, Open};
use tollgate_tests::fake::strict::Seen;
use tollgate_tests::house::{House, rates};
use tollgate_tests::money::nano_of;
use tollgate_tests::wait;

const MODEL: &str = "strict/speech";
/// Bytes of sound that the provider sends at once, and bytes for one letter.
const PIECE: usize = 90;
const LETTER: usize = 3;

/// What is to be said, long enough for several pieces; pieces wait at the gate of the same name.
fn text(name: &str, commands: &str) -> String {
    format!("{} !tag {name} !gate {name} {commands}", "la ".repeat(30))
}

async fn say(house: &House, org: &Org, text: &str, format: &str) -> Open {
    let body = json!({"model": MODEL, "input": text, "voice": "alloy", "response_format": format});
    let open = house.client(0, &org.key).open(Ask::json("/v1/audio/speech", &body)).await;
    assert_eq!(open.status, 200);
    open
}

/// At least so many bytes of the body.
async fn first(open: &mut Open, least: usize) -> Vec<u8> {
    let mut came = Vec::new();
    while came.len() < least {
        let next = wait::within("the next bytes", wait::SOON, open.bytes()).await;
        came.extend_from_slice(&next.expect("no end yet").expect("more bytes"));
    }
    came
}

fn seen(house: &House, name: &str) -> Arc<Seen> {
    house.fake.strict().expect_clean(name).pop().expect("a request")
}

fn price(text: &str) -> i64 {
    let truth = tollgate_tests::fake::strict::Truth { characters: text.chars().count() as u64, ..Default::default() };
    rates(MODEL).cost(&truth)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_arrives_as_it_is_made() {
    let house = House::strict().await;
    let org = house.org("5.00").await;
    for (format, kind) in [("mp3", "audio/mpeg"), ("wav", "audio/wav")] {
        let name = format!("speech-live-{format}");
        let text = text(&name, "!split 90");
        let gate = house.fake.strict().gate(&name);
        gate.let_through(1);
        let mut open = say(&house, &org, &text, format).await;
        assert_eq!((open.header("content-type"), open.header("x-tollgate-model")), (kind, MODEL));
        let id = open.header("x-request-id").to_owned();
        let mut whole = first(&mut open, PIECE).await;
        assert_eq!(whole.len(), PIECE, "{format}: more than was made");
        // The next piece is made only now, so the one before it cannot have waited for it.
        gate.let_through(1);
        whole.extend(first(&mut open, PIECE).await);
        assert_eq!(whole.len(), 2 * PIECE, "{format}");
        gate.open();
        whole.extend_from_slice(&open.whole().await.expect("a good end").body);
        assert_eq!(whole, [0xff, 0xfb, 0x90].repeat(text.len()), "{format}");
        let record = house.usage_of(&org.id, &id).await;
        assert_eq!((nano_of(&record["cost"]), &record["outcome"]), (price(&text), &json!("finished")), "{record:#}");
        assert_eq!((&record["usage_source"], &record["status"]), (&json!("provider_final"), &json!(200)), "{record:#}");
    }
    assert_eq!(house.operator().await.records(&org.id).await.len(), 2, "one record for each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_that_breaks_off_does_not_end_well_and_is_free() {
    let house = House::strict().await;
    let org = house.org("5.00").await;
    for format in ["mp3", "wav"] {
        let name = format!("speech-cut-{format}");
        let gate = house.fake.strict().gate(&name);
        gate.let_through(1);
        let mut open = say(&house, &org, &text(&name, "!cut !split 90"), format).await;
        let id = open.header("x-request-id").to_owned();
        assert_eq!(first(&mut open, PIECE).await.len(), PIECE);
        gate.open();
        let rest = open.whole().await;
        assert!(rest.is_err(), "{format}: half a sound passes for all of it: {rest:?}");
        let record = house.usage_of(&org.id, &id).await;
        assert_eq!((nano_of(&record["cost"]), &record["outcome"]), (0, &json!("upstream_cut")), "{record:#}");
        assert_eq!(record["attempt"], 1, "{format}: it was asked again behind the client's back");
    }
    assert_eq!(house.operator().await.records(&org.id).await.len(), 2, "one record for each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_that_breaks_off_ends_its_stream_alone_on_a_shared_connection() {
    let house = House::strict().await;
    let org = house.org("5.00").await;
    let client = house.client(0, "");
    let socket = TokioIo::new(TcpStream::connect(client.authority()).await.expect("a connection"));
    let shook = http2::Builder::new(TokioExecutor::new()).handshake(socket).await;
    let (mut sender, connection) = shook.expect("HTTP/2");
    let task = tokio::spawn(connection);
    let mut ask = |text: &str| {
        let body = json!({"model": MODEL, "input": text, "voice": "alloy"}).to_string();
        let request = Request::post(format!("{}/v1/audio/speech", client.base()))
            .header("authorization", format!("Bearer {}", org.key))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)));
        sender.send_request(request.expect("a request"))
    };
    let gate = house.fake.strict().gate("speech-cut-http2");
    gate.let_through(1);
    let mut broken = ask(&text("speech-cut-http2", "!cut")).await.expect("a head").into_body();
    let first = wait::within("the first piece", wait::SOON, broken.frame()).await.expect("a frame");
    assert_eq!(first.expect("data").into_data().expect("data").len(), PIECE);
    gate.open();
    let rest = wait::within("the end", wait::SOON, broken.collect()).await;
    assert!(rest.is_err(), "half a sound passes for all of it");
    let whole = ask("short").await.expect("a head").into_body().collect().await.expect("a good end").to_bytes();
    assert_eq!(whole.len(), LETTER * "short".len());
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_who_leaves_pays_for_what_was_asked_and_the_provider_is_let_go() {
    let house = House::strict().await;
    let org = house.org("5.00").await;
    let text = text("speech-left", "");
    let gate = house.fake.strict().gate("speech-left");
    gate.let_through(1);
    let mut open = say(&house, &org, &text, "mp3").await;
    let id = open.header("x-request-id").to_owned();
    first(&mut open, PIECE).await;
    drop(open);
    let seen = seen(&house, "speech-left");
    wait::until_true("the provider is left", wait::SOON, async || seen.was_left()).await;
    let record = house.usage_of(&org.id, &id).await;
    assert_eq!((nano_of(&record["cost"]), &record["outcome"]), (price(&text), &json!("client_left")), "{record:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_who_waits_makes_the_provider_wait() {
    let house = House::strict().await;
    let org = house.org("5.00").await;
    const LOUD: usize = 150_000;
    let gate = house.fake.strict().gate("speech-slow");
    gate.open();
    let text = text("speech-slow", &format!("!loud {LOUD}"));
    let whole = LETTER * text.len() * LOUD;
    let pieces = whole.div_ceil(PIECE * 700) as u64;
    let mut open = say(&house, &org, &text, "mp3").await;
    let mut came = first(&mut open, 1).await.len();
    let seen = seen(&house, "speech-slow");
    // It is held when nothing moves any more; a proxy that takes everything lets it go on to the end.
    let (mut sent, mut still) = (0, 0);
    while still < 10 && sent < pieces {
        tokio::time::sleep(Duration::from_millis(50)).await;
        still = if seen.pieces() == sent { still + 1 } else { 0 };
        sent = seen.pieces();
    }
    assert!(sent < pieces, "all {whole} bytes were taken from the provider for a client that took {came}");
    came += open.whole().await.expect("a good end").body.len();
    assert_eq!(came, whole);
}
