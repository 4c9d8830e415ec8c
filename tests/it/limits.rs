//! Limits over three proxies and traffic that leans on one of them: never above the bound, and at least 99 percent used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proto::admin::Limits;
use serde_json::{Value, json};
use tollgate_tests::clients::{Ask, Client};
use tollgate_tests::fake::Answer;
use tollgate_tests::house::{DEAR, House, ODD, Setup};
use tollgate_tests::money::{Prices, Tokens, dollars, nano};
use tollgate_tests::wait;

use crate::openai::scripted;

const PROXIES: usize = 3;
/// For how long a granted piece of a rate may be spent.
const GRANT_LIFE: Duration = Duration::from_secs(1);

async fn trio() -> House {
    House::up(Setup { proxies: PROXIES, ..Setup::default() }).await
}

/// Four fifths of the traffic go to one proxy, and it is another one every seven tenths of a second.
fn skewed(at: usize, started: Instant) -> usize {
    let favourite = usize::try_from(started.elapsed().as_millis() / 700).unwrap() % PROXIES;
    if at.is_multiple_of(5) { (favourite + 1 + at / 5 % 2) % PROXIES } else { favourite }
}

/// What an attack on a limit achieved.
struct Spent {
    accepted: usize,
    /// From the first request to the last accepted one.
    took: Duration,
}

/// Asks as fast as `clients` connections can until `enough` says so.
async fn press(
    doors: &[Client],
    body: &Value,
    clients: usize,
    enough: impl Fn(Duration) -> bool + Clone + Send + 'static,
) -> Spent {
    let started = Instant::now();
    let (accepted, asked, last) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicI64::new(0)));
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let (accepted, asked, last) = (Arc::clone(&accepted), Arc::clone(&asked), Arc::clone(&last));
            let (mut lines, body, enough) =
                (doors.iter().map(Client::line).collect::<Vec<_>>(), body.clone(), enough.clone());
            tokio::spawn(async move {
                while !enough(started.elapsed()) {
                    let door = skewed(asked.fetch_add(1, Ordering::Relaxed), started);
                    let reply = lines[door].send(Ask::json("/v1/chat/completions", &body)).await.unwrap();
                    match reply.status {
                        200 => {
                            accepted.fetch_add(1, Ordering::Relaxed);
                            last.fetch_max(i64::try_from(started.elapsed().as_micros()).unwrap(), Ordering::Relaxed);
                        }
                        429 => assert!(!reply.header("retry-after").is_empty(), "{}", reply.text()),
                        status => panic!("{status}: {}", reply.text()),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let took = Duration::from_micros(last.load(Ordering::Relaxed).unsigned_abs());
    Spent { accepted: accepted.load(Ordering::Relaxed), took }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_per_minute_hold_over_three_proxies_and_are_used() {
    const RPM: u64 = 600;
    let house = trio().await;
    let operator = house.operator().await;
    let org = operator.org("100.00").await;
    let key = operator.key(&org.id, Limits { rpm: Some(RPM), ..Limits::default() }).await;
    let limit = Duration::from_secs(tollgate_tests::rounds(12, 60) as u64);
    let body = scripted("lab/plain", &house.fake.script(Answer::of(3, 1)));
    let spent = press(&house.clients(&key.text), &body, 6, move |elapsed| elapsed > limit).await;

    // A bucket of N, refilled N/60 a second; a granted piece may be spent a second later.
    let bound = |time: Duration| RPM as f64 + RPM as f64 / 60.0 * time.as_secs_f64();
    let most = bound(spent.took + GRANT_LIFE).floor();
    let least = 0.99 * bound(limit.saturating_sub(GRANT_LIFE));
    println!("{} requests accepted in {:?}: at least {least:.0}, at most {most}", spent.accepted, spent.took);
    assert!(spent.accepted as f64 <= most, "{} of at most {most}", spent.accepted);
    assert!(spent.accepted as f64 >= least, "{} of at least {least:.0}", spent.accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_rate_is_not_lost_between_proxies() {
    let house = trio().await;
    let operator = house.operator().await;
    let org = operator.org("100.00").await;
    let key = operator.key(&org.id, Limits { rpm: Some(5), ..Limits::default() }).await;
    let body = scripted("lab/plain", "");
    let mut accepted = 0;
    // One door after the other: a fifth of the limit for each proxy would be none.
    for (at, client) in house.clients(&key.text).iter().cycle().take(9).enumerate() {
        let reply = client.chat(&body).await;
        assert!(matches!(reply.status, 200 | 429), "{}", reply.text());
        accepted += usize::from(reply.status == 200);
        assert!(at >= 5 || reply.status == 200, "request {} was refused: {}", at + 1, reply.text());
    }
    assert!((5..=6).contains(&accepted), "{accepted} of 5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_per_minute_hold_over_three_proxies_and_are_used() {
    const TPM: u64 = 60_000;
    let house = trio().await;
    let operator = house.operator().await;
    let org = operator.org("100.00").await;
    let key = operator.key(&org.id, Limits { tpm: Some(TPM), ..Limits::default() }).await;
    // What is asked for is what is used: 40 tokens in, 100 out.
    let mut body = scripted("lab/plain", &house.fake.script(Answer::of(40, 100)));
    body["max_tokens"] = json!(100);
    let limit = Duration::from_secs(tollgate_tests::rounds(10, 60) as u64);
    let spent = press(&house.clients(&key.text), &body, 6, move |elapsed| elapsed > limit).await;

    let used = spent.accepted as f64 * 140.0;
    let bound = |time: Duration| TPM as f64 + TPM as f64 / 60.0 * time.as_secs_f64();
    let most = bound(spent.took + GRANT_LIFE);
    // An estimate that is too high is carried, so a request or two on each proxy may be waiting for their credit.
    let least = 0.99 * bound(limit.saturating_sub(GRANT_LIFE)) - 3.0 * 140.0;
    println!("{used} tokens used in {:?}: at least {least:.0}, at most {most:.0}", spent.took);
    assert!(used <= most, "{used} of at most {most:.0}");
    assert!(used >= least, "{used} of at least {least:.0}");
}

/// Spends until every door has refused for good, then says how much went.
async fn drain(doors: &[Client], body: &Value, refusal: u16) -> usize {
    let is_empty = Arc::new((0..doors.len()).map(|_| AtomicBool::new(false)).collect::<Vec<_>>());
    let started = Instant::now();
    let tasks: Vec<_> = (0..6)
        .map(|first| {
            let (mut lines, body, is_empty) =
                (doors.iter().map(Client::line).collect::<Vec<_>>(), body.clone(), Arc::clone(&is_empty));
            tokio::spawn(async move {
                let mut accepted = 0;
                let mut at = first;
                while !is_empty.iter().all(|empty| empty.load(Ordering::Relaxed)) {
                    at += 1;
                    let mut door = skewed(at, started);
                    if is_empty[door].load(Ordering::Relaxed) {
                        door = is_empty.iter().position(|empty| !empty.load(Ordering::Relaxed)).unwrap_or(door);
                    }
                    let reply = lines[door].send(Ask::json("/v1/chat/completions", &body)).await.unwrap();
                    match reply.status {
                        200 => accepted += 1,
                        429 => tokio::time::sleep(Duration::from_millis(50)).await,
                        status if status == refusal => is_empty[door].store(true, Ordering::Relaxed),
                        status => panic!("{status}: {}", reply.text()),
                    }
                }
                accepted
            })
        })
        .collect();
    let mut accepted = 0;
    for task in tasks {
        accepted += wait::within("the end of the money", Duration::from_secs(120), task).await.unwrap();
    }
    accepted
}

/// The request of the money tests: its hold is close to its price, as the limit on its answer is met.
fn exact(house: &House, model: &str, completion: u64) -> (Value, Tokens) {
    let tokens = Tokens { prompt: 20, completion, ..Tokens::default() };
    let mut body = scripted(model, &house.fake.script(Answer::tokens(tokens)));
    body["max_tokens"] = json!(completion);
    (body, tokens)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_budget_holds_over_three_proxies_and_is_used() {
    let house = trio().await;
    let operator = house.operator().await;
    let org = operator.org("100.00").await;
    let key = operator
        .key(&org.id, Limits { limit: Some("0.50".to_owned()), reset: "daily".to_owned(), ..Limits::default() })
        .await;
    let (body, tokens) = exact(&house, "lab/plain", 200);
    let each = ODD.cost(tokens);
    let accepted = drain(&house.clients(&key.text), &body, 403).await;
    let used = each * i64::try_from(accepted).unwrap();
    println!("{} of 0.50 used", dollars(used));
    assert!(used <= nano("0.50"), "{} of 0.50", dollars(used));
    assert!(used >= nano("0.495"), "{} of 0.50", dollars(used));
    wait::until_true("all of it is booked", wait::SOON, async || operator.balance(&org.id).await.settled == used).await;
    house.verify_ledger().await;
}

async fn one_dollar_goes(each: fn(Tokens) -> i64, model: &str, completion: u64) {
    let house = trio().await;
    let operator = house.operator().await;
    let org = operator.org("1.00").await;
    let (body, tokens) = exact(&house, model, completion);
    let accepted = drain(&house.clients(&org.key), &body, 402).await;
    let used = each(tokens) * i64::try_from(accepted).unwrap();
    println!("{} of 1.00 used", dollars(used));
    assert!(used <= nano("1.00"), "{} of 1.00", dollars(used));
    assert!(used >= nano("0.99"), "{} of 1.00", dollars(used));
    wait::until_true("all of it is booked", wait::SOON, async || operator.balance(&org.id).await.settled == used).await;
    house.verify_ledger().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dollar_over_three_proxies_is_spendable() {
    const PRICES: Prices = ODD;
    one_dollar_goes(|tokens| PRICES.cost(tokens), "lab/plain", 400).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dollar_over_three_proxies_is_spendable_in_large_pieces() {
    one_dollar_goes(|tokens| DEAR.cost(tokens), "lab/dear", 500).await;
}
