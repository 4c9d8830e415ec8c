//! Behind a load balancer: three proxies behind a real HAProxy with health checks; one leaves in order and another joins
//! under load, with streams open, and nobody notices.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tollgate_tests::clients::{Ask, Client};
use tollgate_tests::fake::Answer;
use tollgate_tests::house::{House, Process, Setup};
use tollgate_tests::{rounds, wait};

use crate::load::Load;
use crate::openai::{hello, scripted};

/// Two of them fit into the lame duck, as the operator's guide asks.
const CHECK_EVERY_MS: u64 = 500;

/// Where HAProxy tells what it thinks of each proxy.
const STATS: &str = "haproxy.sock";

/// What HAProxy thinks of the proxy at `at`: `UP`, `DOWN`, and steps in between.
async fn opinion(folder: &Path, at: usize) -> Option<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::UnixStream::connect(folder.join(STATS)).await.ok()?;
    socket.write_all(b"show stat\n").await.ok()?;
    let mut table = String::new();
    socket.read_to_string(&mut table).await.ok()?;
    let mut lines = table.lines();
    let place = lines.next()?.split(',').position(|name| name == "status")?;
    let row = lines.find(|line| line.starts_with(&format!("proxies,proxy-{at},")))?;
    row.split(',').nth(place).map(str::to_owned)
}

/// HAProxy as the operator's guide sets it up.
fn balancer(folder: &Path, doors: &[String]) -> (Process, String) {
    let socket = folder.join(STATS).display().to_string();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut text = format!(
        "global\n  maxconn 2000\n  stats socket {socket}\n\
         defaults\n  mode http\n  timeout connect 3s\n  timeout client 60s\n  timeout server 60s\n  option redispatch\n  retries 3\n\
         frontend door\n  bind {port}\n  default_backend proxies\n\
         backend proxies\n  balance roundrobin\n  option httpchk GET /readyz\n  http-check expect status 200\n  \
         default-server check inter {CHECK_EVERY_MS} fall 2 rise 1\n"
    );
    for (at, door) in doors.iter().enumerate() {
        text.push_str(&format!("  server proxy-{at} {}\n", door.trim_start_matches("http://")));
    }
    let file = folder.join("haproxy.cfg");
    fs::write(&file, text).unwrap();
    let mut command = Command::new("haproxy");
    command.args(["-db", "-q", "-f"]).arg(&file);
    (Process::start("haproxy", &command, folder), format!("http://{port}"))
}

/// Streams of about two seconds, one after the other, until told to stop; each must come to its good end.
fn stream_on(client: Client, tag: String, stop: std::sync::Arc<std::sync::atomic::AtomicBool>) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let mut body = scripted("lab/plain", &tag);
        body["stream"] = json!(true);
        let mut streams = 0;
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            let told = client.open(Ask::json("/v1/chat/completions", &body)).await.stream().await.rest().await;
            assert!(told.is_done() && told.is_clean, "a stream was cut: {:?}", told.events.last());
            streams += 1;
        }
        streams
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_proxy_leaves_and_one_joins_and_nobody_notices() {
    if Command::new("haproxy").arg("-v").output().is_err() {
        panic!("haproxy is not installed: apt-get install haproxy (tests/run does it)");
    }
    // Four places behind the balancer; the last one is empty at first.
    let mut house = House::planes(Setup { proxies: 4, ..Setup::default() }).await;
    house.stop_proxy(3).await;
    let org = house.org("1000.00").await;
    let (mut haproxy, door) = balancer(house.folder(), house.doors());
    let client = Client::new(&door, &org.key);
    // It takes every place for good until it has looked twice.
    for (at, wanted) in [(0, "UP"), (1, "UP"), (2, "UP"), (3, "DOWN")] {
        wait::until_true("the balancer knows its proxies", wait::SOON, async || {
            haproxy.check();
            opinion(house.folder(), at).await.is_some_and(|opinion| opinion == wanted)
        })
        .await;
    }

    let load = Load::start(std::slice::from_ref(&client), 6, |_| hello("lab/plain"));
    let stop = std::sync::Arc::default();
    let tag = house.fake.script(Answer::of(12, 20).every(Duration::from_millis(100)));
    let streams: Vec<_> =
        (0..6).map(|_| stream_on(client.clone(), tag.clone(), std::sync::Arc::clone(&stop))).collect();
    load.more(100).await;
    for round in 0..rounds(1, 5) {
        let (leaves, joins) = (round % 4, (round + 3) % 4);
        let mut leaving = house.take_proxy(leaves);
        leaving.terminate();
        house.start_proxy(joins).await;
        wait::until_true("the balancer takes it in", wait::SOON, async || {
            opinion(house.folder(), joins).await.is_some_and(|opinion| opinion == "UP")
        })
        .await;
        load.more(100).await;
        assert_eq!(leaving.code(Duration::from_secs(45)).await, 0, "{}", leaving.log());
        load.more(100).await;
    }
    let before = served_by(&house, 3).await;
    load.more(100).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut whole = 0;
    for stream in streams {
        whole += stream.await.expect("no stream was cut");
    }
    let fates = load.stop().await;
    let failed: Vec<_> = fates.iter().filter(|fate| fate.status != 200).collect();
    println!("{} requests and {whole} streams, {} failed", fates.len(), failed.len());
    assert!(failed.is_empty(), "{} of {} failed: {:?}", failed.len(), fates.len(), failed[0]);
    assert!(whole >= 6);
    assert!(rounds(1, 5) > 1 || served_by(&house, 3).await > before, "the proxy that joined was given nothing to do");
    house.verify_ledger().await;
}

/// How many requests this proxy has served, as the books have it.
async fn served_by(house: &House, at: usize) -> usize {
    let name = format!("proxy-{at}");
    let operator = house.operator().await;
    let orgs = house.admin(&["orgs", "list"]).await;
    let mut count = 0;
    for org in orgs.as_array().unwrap() {
        count += operator
            .records(org["id"].as_str().unwrap())
            .await
            .iter()
            .filter(|record| record.proxy.contains(&name))
            .count();
    }
    count
}
