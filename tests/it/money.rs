//! The bank test: twenty organisations spend at three proxies at once, with clients that leave, providers that fail and
//! fallbacks; at every look each nano-dollar is on one account, and in the end every charge joins to the truth log.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proto::admin::UsageRecord;
use serde_json::json;
use tollgate_tests::actors::{Operator, Org};
use tollgate_tests::clients::{Ask, Client};
use tollgate_tests::fake::{Answer, End, Ending, Reply, Script, Served, Usage};
use tollgate_tests::house::{DEAR, House, ODD, Pair, Setup, Solo};
use tollgate_tests::money::{Prices, Tokens, nano};
use tollgate_tests::progress::Progress;
use tollgate_tests::{rounds, wait};

use crate::openai::scripted;

const PROXIES: usize = 3;
const ORGS: usize = 20;
const CLIENTS: usize = 12;

/// What one request is up to.
#[derive(Clone)]
struct Play {
    model: String,
    tag: String,
    is_stream: bool,
    /// Leaves after so many pieces.
    leaves_after: Option<usize>,
}

/// What the client saw of one request.
#[derive(Debug)]
struct Seen {
    org: usize,
    status: u16,
    request_id: String,
    /// Pieces of text that were read.
    pieces: usize,
    left: bool,
}

/// Good days and bad ones, and who meets which.
fn plays(house: &House) -> Vec<Play> {
    let mut plays = Vec::new();
    let mut add = |model: &str, script: Script, is_stream: bool, leaves_after: Option<usize>, weight: usize| {
        let play = Play { model: model.to_owned(), tag: house.fake.script(script), is_stream, leaves_after };
        plays.extend(std::iter::repeat_n(play, weight));
    };
    add("lab/plain", Answer::of(31, 17).into(), false, None, 20);
    add(
        "lab/dear",
        Answer::tokens(Tokens { prompt: 1_001, completion: 33, cached: 501, reasoning: 7 }).chunks(3).into(),
        false,
        None,
        10,
    );
    add("lab/plain", Answer::of(7, 9).into(), true, None, 20);
    add("lab/dear", Answer::of(19, 5).usage(Usage::Twice).into(), true, None, 5);
    add("lab/plain", Answer::of(5, 40).every(Duration::from_millis(2)).into(), true, Some(4), 10);
    add("lab/plain", Answer::of(5, 40).every(Duration::from_millis(2)).usage(Usage::Running).into(), true, Some(7), 5);
    for _ in 0..3 {
        let Pair { model, one, other } = house.pair();
        add(&model, Script::from(Answer::of(23, 29)).at(&one.0, Reply::status(500)), false, None, 3);
        add(&model, Script::from(Answer::of(23, 29)).at(&other.0, Reply::html_502()), true, None, 3);
    }
    for reply in [
        Reply::status(529),
        Reply::Reset,
        Answer::of(9, 6).ending(Ending::Reset).into(),
        Answer::of(9, 6).ending(Ending::Short).into(),
    ] {
        let Solo { model, .. } = house.solo();
        add(&model, reply.into(), true, None, 2);
    }
    plays
}

async fn one(client: &Client, org: usize, play: &Play) -> Seen {
    let mut body = scripted(&play.model, &play.tag);
    body["stream"] = json!(play.is_stream);
    let open = client.open(Ask::json("/v1/chat/completions", &body)).await;
    let mut seen =
        Seen { org, status: open.status, request_id: open.header("x-request-id").to_owned(), pieces: 0, left: false };
    if open.status != 200 || !play.is_stream {
        let reply = open.whole().await.expect("a whole answer");
        assert!(reply.json().is_object());
        return seen;
    }
    let mut stream = open.stream().await;
    while let Ok(Some(event)) = wait::within("an event", wait::SOON, stream.try_next()).await {
        seen.pieces += usize::from(
            event.data.is_some()
                && !event.is_done()
                && event.json()["choices"][0]["delta"]["content"].as_str().is_some_and(|text| !text.is_empty()),
        );
        if play.leaves_after.is_some_and(|most| seen.pieces >= most) {
            seen.left = true;
            break;
        }
    }
    seen
}

/// Keeps `CLIENTS` clients busy until `count` requests are done, and looks at the books all the while.
async fn run(house: &House, orgs: &[Org], plays: &[Play], count: usize) -> Vec<Seen> {
    let next = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (next, plays) = (Arc::clone(&next), plays.to_vec());
            let clients: Vec<Vec<Client>> = orgs.iter().map(|org| house.clients(&org.key)).collect();
            tokio::spawn(async move {
                let mut seen = Vec::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return seen;
                    }
                    // Spread by steps that share no divisor, so that every combination comes up.
                    let (org, door) = (at * 7 % ORGS, at * 5 % PROXIES);
                    seen.push(one(&clients[org][door], org, &plays[at * 11 % plays.len()]).await);
                }
            })
        })
        .collect();
    let operator = house.operator().await;
    let (mut looks, mut progress) = (0, Progress::of("requests"));
    while tasks.iter().any(|task| !task.is_finished()) {
        // Panics when a nano-dollar is on none of the accounts, or on two.
        operator.balance(&orgs[looks % ORGS].id).await;
        looks += 1;
        progress.at(next.load(Ordering::Relaxed).min(count), count);
        tokio::task::yield_now().await;
    }
    println!("{looks} looks at the books");
    let mut seen = Vec::new();
    for task in tasks {
        seen.extend(task.await.expect("a client"));
    }
    seen
}

fn prices(record: &UsageRecord) -> Prices {
    if record.provider.starts_with('b') || record.model == "lab/dear" { DEAR } else { ODD }
}

/// One charge against the truth.
fn join(record: &UsageRecord, seen: &Seen, truth: &HashMap<String, Arc<Served>>) {
    let cost = nano(&record.cost);
    let counted = Tokens {
        prompt: record.prompt_tokens,
        completion: record.completion_tokens,
        cached: record.cached_tokens,
        reasoning: record.reasoning_tokens,
    };
    match record.outcome.as_str() {
        "finished" => {
            let served = truth.get(&record.upstream_id).unwrap_or_else(|| panic!("nobody answered {record:?}"));
            let told = served.produced().usage.unwrap_or_else(|| panic!("usage from nowhere: {record:?}"));
            assert_eq!(counted, told, "{record:?}");
            assert_eq!(cost, prices(record).cost(told), "{record:?}");
            assert_eq!(served.provider, record.provider, "{record:?}");
        }
        "client_left" => {
            assert!(seen.left, "{record:?} but the client stayed");
            let served = truth.get(&record.upstream_id).unwrap_or_else(|| panic!("nobody answered {record:?}"));
            let produced = served.produced();
            let relayed = u64::try_from(seen.pieces).unwrap()..=u64::try_from(produced.chunks).unwrap();
            assert!(relayed.contains(&counted.completion), "{} tokens of {relayed:?}: {record:?}", counted.completion);
            assert_eq!(cost, prices(record).cost(counted), "{record:?}");
        }
        "upstream_error" | "upstream_cut" | "client_left_early" | "empty" => assert_eq!(cost, 0, "{record:?}"),
        other => panic!("no request should end as {other}: {record:?}"),
    }
}

/// Every admitted request has one record, and every record a request; returns what was charged by organisation.
async fn settle(operator: &Operator, orgs: &[Org], seen: &[Seen]) -> Vec<(String, Vec<UsageRecord>)> {
    let mut wanted: BTreeMap<usize, usize> = BTreeMap::new();
    for one in seen {
        assert!(matches!(one.status, 200 | 500..=504), "{one:?}");
        *wanted.entry(one.org).or_default() += 1;
    }
    let mut all = Vec::new();
    for (at, org) in orgs.iter().enumerate() {
        let count = wanted.get(&at).copied().unwrap_or(0);
        let records = wait::until(&format!("{count} records of {}", org.id), Duration::from_secs(60), async || {
            let records = operator.records(&org.id).await;
            assert!(records.len() <= count, "{} records for {count} requests", records.len());
            (records.len() == count).then_some(records)
        })
        .await;
        all.push((org.id.clone(), records));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_charge_joins_to_the_truth() {
    let house = House::up(Setup { proxies: PROXIES, ..Setup::default() }).await;
    let operator = house.operator().await;
    let mut orgs = Vec::new();
    for _ in 0..ORGS {
        orgs.push(operator.org("5000.00").await);
    }
    let started = Instant::now();
    let seen = run(&house, &orgs, &plays(&house), rounds(2_000, 200_000)).await;
    let took = started.elapsed();

    let truth: HashMap<String, Arc<Served>> =
        house.fake.served().into_iter().map(|served| (served.id.clone(), served)).collect();
    let by_request: HashMap<&str, &Seen> = seen.iter().map(|one| (one.request_id.as_str(), one)).collect();
    assert_eq!(by_request.len(), seen.len(), "two requests with one id");
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut charged_answers: HashMap<String, String> = HashMap::new();
    for (org, records) in settle(&operator, &orgs, &seen).await {
        for record in &records {
            let one =
                by_request.get(record.request_id.as_str()).unwrap_or_else(|| panic!("nobody asked for {record:?}"));
            join(record, one, &truth);
            *outcomes.entry(record.outcome.clone()).or_default() += 1;
            if nano(&record.cost) > 0
                && let Some(other) = charged_answers.insert(record.upstream_id.clone(), record.request_id.clone())
            {
                panic!("{} was charged for {other} and {}", record.upstream_id, record.request_id);
            }
        }
        let charged: i64 = records.iter().map(|record| nano(&record.cost)).sum();
        wait::until_true("the ledger has it all", wait::SOON, async || operator.balance(&org).await.settled == charged)
            .await;
    }
    house.verify_ledger().await;
    println!("{} requests in {took:?}: {outcomes:?}", seen.len());
    for outcome in ["finished", "client_left", "upstream_error", "upstream_cut"] {
        assert!(outcomes.contains_key(outcome), "no request ended as {outcome}: a run without faults proves nothing");
    }
    check_truth(&truth, &charged_answers);
}

/// The other way round: every answer that a provider finished and told the usage of was charged to somebody, unless it
/// failed for the client.
fn check_truth(truth: &HashMap<String, Arc<Served>>, charged: &HashMap<String, String>) {
    for served in truth.values() {
        let produced = served.produced();
        let was_good = produced.end == End::Finished && produced.usage.is_some();
        assert!(
            !was_good || charged.contains_key(&served.id),
            "{} was produced and never charged: {produced:?}",
            served.id
        );
    }
}
