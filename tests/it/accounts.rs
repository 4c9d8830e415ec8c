//! The platform's own accounts at providers: what they may be asked for in a minute the fleet keeps together, and while
//! they are scarce no organisation makes another one wait.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tollgate_tests::clients::{Ask, Client, Reply};
use tollgate_tests::fake::{self, Answer};
use tollgate_tests::house::{House, ODD, Setup};
use tollgate_tests::wait::{self, SOON};

use crate::openai::scripted;

/// For how long a granted piece of a rate may be spent.
const GRANT_LIFE: Duration = Duration::from_secs(1);

/// A house with a provider whose account has these limits, and `scarce/model` on it.
async fn house(proxies: usize, limits: &str) -> House {
    let house = House::up(Setup { proxies, ..Setup::default() }).await;
    apply(&house, limits, "").await.expect("an apply file");
    house
}

async fn apply(house: &House, limits: &str, more: &str) -> Result<(), String> {
    let path = house.folder().join("scarce.toml");
    let text = format!(
        "[[providers]]\nid = \"scarce\"\nbase_url = \"{}\"\ndialects = [\"openai-chat\"]\nauth = \"none\"\n{limits}\n\n\
         [[models]]\nid = \"scarce/model\"\ncontext_length = 100000\nmax_output_tokens = 1000\n\n\
         [[models.endpoints]]\nprovider = \"scarce\"\nupstream_model = \"model\"\nprices = {}\n\n{more}",
        house.fake.url("scarce"),
        ODD.table(),
    );
    std::fs::write(&path, text).expect("an apply file");
    let said = house.run(&["admin", "apply", "-f", &path.display().to_string()]).await;
    if said.code == 0 { Ok(()) } else { Err(said.stderr) }
}

fn body(tag: &str) -> Value {
    let mut body = scripted("scarce/model", tag);
    body["max_tokens"] = json!(100);
    body
}

async fn ask(client: &Client, tag: &str) -> Reply {
    client.chat(&body(tag)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fleet_keeps_the_limit_of_an_account_together() {
    const LIMIT: f64 = 300.0;
    let house = house(2, "limits = { requests_per_minute = 300 }").await;
    let org = house.org("100.00").await;
    let doors = house.clients(&org.key);
    let tag = house.fake.script(Answer::of(3, 1));
    let started = Instant::now();
    let replies = join_all((0..120).map(|at| ask(&doors[at % doors.len()], &tag))).await;
    let took = started.elapsed();
    let served = house.fake.tagged(&tag).len();

    // A tenth at once and the rest spread over the minute; a granted piece may be spent a second later.
    let bound = LIMIT / 10.0 + LIMIT * 0.9 / 60.0 * (took + GRANT_LIFE).as_secs_f64();
    println!("{served} of 120 requests went out in {took:?}, at most {bound:.0}");
    assert!(served as f64 <= bound, "{served} of at most {bound}");
    assert!(served >= 30, "what may go at once goes: {served}");
    for reply in &replies {
        match reply.status {
            200 => {}
            429 => {
                assert_eq!(reply.code(), "provider_rate_limited", "{}", reply.text());
                let wait: u64 = reply.header("retry-after").parse().expect("seconds");
                assert!((1..=60).contains(&wait), "{wait}");
            }
            status => panic!("{status}: {}", reply.text()),
        }
    }
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), served, "nothing was asked for in vain");
    house.verify_ledger().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_an_account_are_counted_as_they_were_used() {
    let house = house(1, "limits = { tokens_per_minute = 4000 }").await;
    let client = house.client(0, &house.org("100.00").await.key);
    // Each is held for more than a hundred tokens and uses four: many more of them fit than the holds alone would let.
    let tag = house.fake.script(Answer::of(3, 1));
    for _ in 0..40 {
        ask(&client, &tag).await.expect(200);
    }
    // Each uses half of what may go at once.
    let greedy = house.fake.script(Answer::of(1_000, 100));
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(ask(&client, &greedy).await.status);
    }
    assert_eq!(statuses.first(), Some(&200));
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_crowd_of_another_organisation() {
    let house = house(1, "limits = { requests_per_minute = 1200 }").await;
    let (crowd, other) = (house.org("100.00").await, house.org("100.00").await);
    let (crowd, other) = (house.client(0, &crowd.key), house.client(0, &other.key));
    let (many, few) = (house.fake.script(Answer::of(3, 1)), house.fake.script(Answer::of(3, 1)));
    let pressing = async { join_all((0..400).map(|_| ask(&crowd, &many))).await };
    let calm = async {
        let mut waits = Vec::new();
        // Once the crowd has used what may go at once.
        wait::until_true("the crowd has what may go at once", SOON, async || house.fake.tagged(&many).len() >= 120)
            .await;
        for _ in 0..20 {
            let begun = Instant::now();
            ask(&other, &few).await.expect(200);
            waits.push(begun.elapsed());
        }
        waits.sort();
        waits
    };
    let (replies, waits) = tokio::join!(pressing, calm);
    println!("the other one waited {:?} at most, {:?} mostly", waits.last(), waits.get(waits.len() / 2));
    let turns = house.fake.served().into_iter().filter(|served| served.tag == many || served.tag == few);
    let between: Vec<usize> = turns.collect::<Vec<_>>().split(|served| served.tag == few).map(<[_]>::len).collect();
    // The first stretch is the crowd's before the other one came, the last one the crowd's after it had gone.
    let longest = between.iter().skip(1).take(19).max();
    assert!(longest.is_some_and(|longest| *longest <= 8), "{between:?}");
    let refused = replies.iter().filter(|reply| reply.status == 429).count();
    assert!(refused > 0, "the crowd is larger than what the account can take");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_can_go_elsewhere_does_not_wait() {
    let house = house(1, "limits = { requests_per_minute = 10 }").await;
    let more =
        format!("[[models.endpoints]]\nprovider = \"plain\"\nupstream_model = \"model\"\nprices = {}\n", ODD.table());
    apply(&house, "limits = { requests_per_minute = 10 }", &more).await.expect("an apply file");
    let client = house.client(0, &house.org("100.00").await.key);
    let tag = house.fake.script(Answer::of(3, 1));
    let mut body = scripted("scarce/model", &tag);
    body["provider"] = json!({"order": ["scarce"]});
    for _ in 0..30 {
        client.chat(&body).await.expect(200);
    }
    let served = house.fake.tagged(&tag);
    let scarce = served.iter().filter(|served| served.provider == "scarce").count();
    assert_eq!(served.len(), 30);
    assert!((1..=4).contains(&scarce), "{scarce} went to the account with a limit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_provider_counts_slows_us_down_as_well() {
    let house = house(1, "limits = { requests_per_minute = 1000000 }").await;
    let client = house.client(0, &house.org("100.00").await.key);
    let words = [("limit", "100"), ("remaining", "0"), ("reset", "1m0s")];
    let said = words.map(|(word, value)| (format!("x-ratelimit-{word}-requests"), value.to_owned()));
    let whole = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    });
    let low = fake::Reply::json(200, &whole.to_string()).with(said);
    let tag = house.fake.script(Answer::of(3, 1));
    // One connection, and so one worker: others hear it with their own answers.
    let mut line = client.line();
    let mut send = async |tag: &str| line.send(Ask::json("/v1/chat/completions", &body(tag))).await.unwrap();
    send(&house.fake.script(low)).await.expect(200);
    let refused = send(&tag).await.expect(429);
    assert_eq!(refused.code(), "provider_rate_limited");
    // Ten are to be left for others: that takes six seconds, longer than anybody waits here.
    assert!(house.fake.tagged(&tag).is_empty(), "it was not asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_cannot_be_kept_is_refused_at_its_place() {
    let house = House::lab().await;
    let refused = apply(&house, "limits = { requests_per_minute = 1 }", "").await.unwrap_err();
    assert!(refused.contains("scarce.toml:6:10"), "{refused}");
    assert!(refused.contains("requests_per_minute must be 2 or more"), "{refused}");
    let refused = apply(&house, "limits = { rpm = 10 }", "").await.unwrap_err();
    assert!(refused.contains("unknown field `rpm`"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_operators_say_who_goes_first() {
    let house = House::lab().await;
    let operator = house.operator().await;
    let org = operator.org("1.00").await;
    let said = house.admin(&["orgs", "update", &org.id, "--plan", "team-high"]).await;
    assert_eq!(said["plan"], "team-high");
    let owner = operator.token(&org.id, "owner").await;
    let said = house.run(&["admin", "--token", &owner, "orgs", "update", &org.id, "--plan", "high"]).await;
    assert_eq!(said.code, 1, "{}", said.stderr);
    let said = house.run(&["admin", "orgs", "update", &org.id, "--plan", "No Slug"]).await;
    assert!(said.stderr.contains("plan"), "{}", said.stderr);
}
