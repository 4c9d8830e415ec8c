//! A provider that is dead from the first moment, beside one of the same price that is not: who asks notices nothing but
//! a little patience, and the dead one is not asked more than it would be alive.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate_tests::clients::{Ask, Client, Line};
use tollgate_tests::fake::Answer;
use tollgate_tests::house::{Catalogue, House, ODD, Setup};
use tollgate_tests::progress::Progress;
use tollgate_tests::{rounds, wait};

use super::apply;
use crate::load::percentile;
use crate::openai::scripted;

const PER_SECOND: usize = 500;
/// The time in which a little more may go wrong.
const FIRST: Duration = Duration::from_secs(10);

/// What one client met.
struct Met {
    /// When it was due, from the beginning.
    at: Duration,
    is_answered: bool,
    /// Attempts before the one that answered.
    in_vain: usize,
    /// From when it was due to the whole answer.
    took: Duration,
}

/// Asks so often, each at its moment and none waiting for another.
async fn press(client: &Client, model: &str, tag: &str, count: usize) -> Vec<Met> {
    let lines: Arc<Mutex<Vec<Line>>> = Arc::default();
    let (begun, mut tasks, mut all, mut progress) =
        (Instant::now(), JoinSet::new(), Vec::new(), Progress::of("requests"));
    for nth in 0..count {
        let at = Duration::from_secs(1) * u32::try_from(nth).unwrap() / u32::try_from(PER_SECOND).unwrap();
        tokio::time::sleep_until((begun + at).into()).await;
        progress.at(nth, count);
        let (lines, client, ask) =
            (Arc::clone(&lines), client.clone(), Ask::json("/v1/chat/completions", &body(model, tag, nth)));
        tasks.spawn(async move {
            let kept = lines.lock().unwrap().pop();
            let mut line = kept.unwrap_or_else(|| client.line());
            let answer = wait::within("an answer", wait::SOON * 2, line.send(ask)).await;
            let took = begun.elapsed().saturating_sub(at);
            let (is_answered, in_vain) = match &answer {
                Ok(reply) => {
                    (reply.status == 200, reply.header("x-tollgate-attempts").parse::<usize>().unwrap_or(1) - 1)
                }
                Err(_) => (false, 0),
            };
            lines.lock().unwrap().push(line);
            Met { at, is_answered, in_vain, took }
        });
    }
    while let Some(met) = tasks.join_next().await {
        all.push(met.expect("a client"));
    }
    all
}

/// Each is a conversation of its own, or all of them would be drawn as one.
fn body(model: &str, tag: &str, nth: usize) -> Value {
    let mut body = scripted(model, tag);
    body["session_id"] = json!(format!("{tag} {nth}"));
    body
}

fn p50<'a>(all: impl Iterator<Item = &'a Met>) -> Duration {
    percentile(&mut all.map(|met| met.took).collect::<Vec<_>>(), 0.5)
}

/// The share of errors among these, in parts of one.
fn errors<'a>(all: impl Iterator<Item = &'a Met>) -> f64 {
    let (mut count, mut failed) = (0_usize, 0_usize);
    for met in all {
        count += 1;
        failed += usize::from(!met.is_answered);
    }
    failed as f64 / count.max(1) as f64
}

/// `dead` is a provider of the lab that nobody reaches.
async fn nobody_notices(dead: &str) {
    let house = House::up(Setup::default()).await;
    let catalogue = Catalogue::default()
        .model("dead/none", &[("p000", ODD), ("p001", ODD)])
        .model("dead/one", &[(dead, ODD), ("p002", ODD)]);
    apply(&house, "dead", catalogue.text()).await;
    let org = house.org("1000.00").await;
    let client = house.client(0, &org.key);
    let tag = house.fake.script(Answer::of(12, 8));
    let healthy = press(&client, "dead/none", &tag, rounds(200, 5 * PER_SECOND)).await;
    assert_eq!(errors(healthy.iter()), 0.0, "an error though nobody was dead");

    let count = rounds(400, 20 * PER_SECOND);
    let all = press(&client, "dead/one", &tag, count).await;
    let early = || all.iter().filter(|met| met.at < FIRST);
    let late = || all.iter().filter(|met| met.at >= FIRST);
    let in_vain: usize = all.iter().map(|met| met.in_vain).sum();
    println!(
        "{dead}: {count} requests, {PER_SECOND} a second; errors {:.4} % in the first {FIRST:?}, {:.4} % after; p50 {:?} with \
         two healthy ones, {:?} in the first {FIRST:?}{}; the dead one was asked {in_vain} times, {:.3} of its share",
        100.0 * errors(early()),
        100.0 * errors(late()),
        p50(healthy.iter()),
        p50(early()),
        if late().next().is_some() { format!(", {:?} after", p50(late())) } else { String::new() },
        in_vain as f64 / (count as f64 / 2.0),
    );
    assert!(errors(early()) <= 0.005, "{} of {count} failed", all.iter().filter(|met| !met.is_answered).count());
    assert!(errors(late()) <= 0.000_1, "{} of {count} failed", all.iter().filter(|met| !met.is_answered).count());
    // Half of the requests are its share, and drawing lots adds four standard deviations at most.
    let share = count as f64 / 2.0;
    assert!((in_vain as f64) <= 1.1 * share + 2.0 * (count as f64).sqrt(), "the dead one was asked {in_vain} times");
    assert!(in_vain > 0, "the dead one was never asked, so nothing was shown");
    // Its share of the log is everything that was answered.
    assert_eq!(house.fake.tagged(&tag).len(), healthy.len() + count, "somebody was asked twice for one answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_a_provider_that_refuses_connections() {
    nobody_notices("refused").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_a_provider_that_swallows_packets() {
    nobody_notices("black-hole").await;
}
