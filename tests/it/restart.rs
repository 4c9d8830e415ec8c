//! Crashes: kill -9 of either plane under load loses no record that was on disk and doubles none; without the
//! controller, whoever has a lease is served.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use prost::Message as _;
use proto::admin::UsageRecord;
use proto::sync as wire;
use serde_json::{Value, json};
use tollgate_tests::actors::Org;
use tollgate_tests::clients::{Ask, Client};
use tollgate_tests::fake::{Answer, Usage};
use tollgate_tests::house::{House, ODD, Process, Setup};
use tollgate_tests::money::{Tokens, nano};
use tollgate_tests::{is_long, rounds, wait};

use crate::load::{Fate, Load};
use crate::openai::{hello, scripted};

/// What was answered this long before a crash is in the spool's files, though a sync may take its time on a shared disk:
/// a group is written some milliseconds after it came, whatever became of the one before.
const WRITTEN_AFTER: Duration = Duration::from_secs(2);
/// What a dead proxy had already sent may be read this long after its end.
const READ_AFTER: Duration = Duration::from_millis(150);
/// Everything must come back to rest this soon after the last fault, and what was kept back must be booked this fast.
const CONVERGED_WITHIN: Duration = Duration::from_secs(60);
const BOOKED_EACH_WITHIN: Duration = Duration::from_millis(1);

const TOKENS: Tokens = Tokens { prompt: 12, completion: 8, cached: 0, reasoning: 0 };

fn mixed(tag: String) -> impl Fn(usize) -> Value + Clone + Send + 'static {
    move |at| {
        let mut body = scripted("lab/plain", &tag);
        body["stream"] = json!(at.is_multiple_of(3));
        body
    }
}

fn setup() -> Setup {
    Setup { proxies: 2, proxy: "[drain]\nlame_duck = \"0s\"\n".to_owned(), ..Setup::default() }
}

/// A kill of a proxy, and what its spool held when it was dead.
struct Kill {
    door: usize,
    at: Instant,
    /// The terminals of all its epochs that are whole in a file, by request.
    spooled: BTreeMap<String, wire::UsageRecord>,
    /// When that was read; only then may the next process begin.
    read: Instant,
}

impl Kill {
    /// Ends the proxy at `door` and reads what it leaves.
    fn of(house: &mut House, door: usize) -> Kill {
        house.kill_proxy(door);
        let at = Instant::now();
        Kill { door, at, spooled: spooled(house, door), read: Instant::now() }
    }

    /// Whether an answer may have come from the process that this ended, or from one before it.
    fn is_behind(&self, fate: &Fate) -> bool {
        self.door == fate.door && self.at + READ_AFTER > fate.at
    }

    /// Whether it may as well have come from the next one, which is sometimes up before the last answers are read.
    fn may_be_before(&self, fate: &Fate) -> bool {
        self.door == fate.door && self.read < fate.at
    }
}

/// The terminals in the segments of a proxy's spool. From the outside: a header of 40 bytes, then records of a length,
/// a checksum and a body, which is kind 2, a sequence, the request and the message.
fn spooled(house: &House, door: usize) -> BTreeMap<String, wire::UsageRecord> {
    let mut found = BTreeMap::new();
    for file in std::fs::read_dir(house.folder().join(format!("proxy-{door}/spool"))).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|end| end != "spool") {
            continue;
        }
        let bytes = std::fs::read(path).unwrap();
        let mut rest = bytes.get(40..).unwrap_or_default();
        while let Some((len, behind)) = rest.split_first_chunk::<4>() {
            let len = usize::try_from(u32::from_le_bytes(*len)).unwrap();
            // The process may have died in mid-write.
            let Some(body) = behind.get(4..4 + len) else { break };
            if body[0] == 2 {
                let record = wire::UsageRecord::decode(&body[1 + 8 + 16..]).unwrap();
                found.insert(request_id(&record.request), record);
            }
            rest = &behind[4 + len..];
        }
    }
    found
}

/// The text of a request's id.
fn request_id(bytes: &[u8]) -> String {
    let id = u128::from_be_bytes(bytes.try_into().unwrap());
    let digit =
        |at: u32| char::from(b"0123456789abcdefghjkmnpqrstvwxyz"[usize::try_from((id >> (5 * at)) & 31).unwrap()]);
    format!("req_{}", (0..26).rev().map(digit).collect::<String>())
}

/// After the faults: every record that had to survive is there once, at its price, and the books agree with it.
async fn check_books(house: &House, org: &Org, fates: &[Fate], kills: &[Kill]) -> Vec<UsageRecord> {
    let operator = house.operator().await;
    let finished: Vec<&Fate> = fates.iter().filter(|fate| fate.status == 200 && !fate.upstream_id.is_empty()).collect();
    // What a killed proxy had not written is nowhere: it may be missing, or be closed as what it was, a cut request.
    let kill_of = |fate: &Fate| kills.iter().filter(|kill| kill.is_behind(fate)).min_by_key(|kill| kill.at);
    let is_unwritten = |fate: &Fate| kill_of(fate).is_some_and(|kill| !kill.spooled.contains_key(&fate.request_id));
    for fate in finished.iter().filter(|fate| is_unwritten(fate)) {
        let is_young = kills.iter().any(|kill| kill.is_behind(fate) && fate.at + WRITTEN_AFTER > kill.at);
        assert!(is_young, "{} was not in the spool: {:?}", fate.request_id, told(&[fate], kills));
    }
    let spooled: BTreeMap<&str, &wire::UsageRecord> =
        kills.iter().flat_map(|kill| &kill.spooled).map(|(id, record)| (id.as_str(), record)).collect();
    let written = finished.iter().filter(|fate| !is_unwritten(fate)).map(|fate| fate.request_id.as_str());
    let expected: BTreeSet<&str> = written.chain(spooled.keys().copied()).collect();
    let kept_back = u32::try_from(fates.len()).unwrap_or(u32::MAX);
    let until = Instant::now() + CONVERGED_WITHIN + BOOKED_EACH_WITHIN * kept_back;
    let records = loop {
        let records = operator.records(&org.id).await;
        let ids: BTreeSet<&str> = records.iter().map(|record| record.request_id.as_str()).collect();
        let missing: Vec<&&str> = expected.difference(&ids).collect();
        if missing.is_empty() {
            break records;
        }
        if Instant::now() > until {
            let lost: BTreeSet<&str> = missing.into_iter().copied().collect();
            let fates: Vec<&Fate> = fates.iter().filter(|fate| lost.contains(fate.request_id.as_str())).collect();
            panic!("never came: {lost:?}, {:?}", told(&fates, kills));
        }
        wait::moment().await;
    };
    let mut by_request = BTreeMap::new();
    let mut upstream_ids = BTreeSet::new();
    for record in &records {
        assert!(
            by_request.insert(record.request_id.as_str(), record).is_none(),
            "{} is there twice",
            record.request_id
        );
        if record.outcome == "finished" {
            assert!(upstream_ids.insert(record.upstream_id.as_str()), "{} was charged twice", record.upstream_id);
            assert_eq!(nano(&record.cost), ODD.cost(TOKENS), "{record:?}");
        }
    }
    for (id, spooled) in &spooled {
        let record = by_request[id];
        assert_eq!(
            (&record.outcome, &record.upstream_id, nano(&record.cost)),
            (&spooled.outcome, &spooled.upstream_id, spooled.cost_nano),
            "{id} was spooled"
        );
    }
    for fate in &finished {
        match by_request.get(fate.request_id.as_str()) {
            // Nothing is reported before it is written.
            Some(record) if is_unwritten(fate) => assert!(
                record.outcome == "aborted_by_gateway" || kill_of(fate).is_some_and(|kill| kill.may_be_before(fate)),
                "{record:?}"
            ),
            Some(record) => assert_eq!(
                (record.outcome.as_str(), record.upstream_id.as_str()),
                ("finished", fate.upstream_id.as_str())
            ),
            None => assert!(is_unwritten(fate), "{} is lost", fate.request_id),
        }
    }
    records
}

/// Which requests these are: where they were answered, and how long before the next kill there.
fn told(fates: &[&Fate], kills: &[Kill]) -> Vec<(String, usize, Option<Duration>)> {
    let before = |fate: &Fate| {
        let kills = kills.iter().filter(|kill| kill.is_behind(fate));
        kills.map(|kill| kill.at.saturating_duration_since(fate.at)).min()
    };
    fates.iter().map(|fate| (fate.request_id.clone(), fate.door, before(fate))).collect()
}

/// Once everybody has left in order, nothing is lent any more and the ledger is the sum of the records.
async fn check_rest(house: &mut House, org: &Org) {
    for at in 0..2 {
        assert_eq!(house.stop_proxy(at).await, 0, "{}", house.logs());
    }
    let operator = house.operator().await;
    let balance = wait::until("all leases are back", CONVERGED_WITHIN, async || {
        Some(operator.balance(&org.id).await).filter(|balance| balance.leased == 0 && balance.quarantined == 0)
    })
    .await;
    let charged: i64 = operator.records(&org.id).await.iter().map(|record| nano(&record.cost)).sum();
    assert_eq!(balance.settled, charged, "the ledger and the records differ");
    house.verify_ledger().await;
}

/// The least that a house spends in a round, so that no round is empty.
const REQUESTS_BETWEEN_FAULTS: usize = 60;
/// Leases are sized by what was lately used, so that somebody has to have used something before the controller may go.
const WARM_UP: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_proxy_loses_and_doubles_nothing() {
    let mut house = House::planes(setup()).await;
    let org = house.org("100000.00").await;
    let tag = house.fake.script(Answer::of(TOKENS.prompt, TOKENS.completion).usage(Usage::Last));
    let load = Load::start(&house.clients(&org.key), 3, mixed(tag));
    let mut kills = Vec::new();
    for round in 0..rounds(2, 50) {
        load.more(REQUESTS_BETWEEN_FAULTS).await;
        let door = round % 2;
        kills.push(Kill::of(&mut house, door));
        house.start_proxy(door).await;
        load.more(REQUESTS_BETWEEN_FAULTS / 2).await;
        house.balance(&org.id).await;
        house.verify_ledger().await;
    }
    load.more(REQUESTS_BETWEEN_FAULTS).await;
    let fates = load.stop().await;
    assert!(
        fates.iter().all(|fate| matches!(fate.status, 0 | 200 | 503 | 429)),
        "{:?}",
        odd(&fates, &[0, 200, 503, 429])
    );
    let records = check_books(&house, &org, &fates, &kills).await;
    let spooled = kills.last().map_or(0, |kill| kill.spooled.len());
    assert!(spooled >= REQUESTS_BETWEEN_FAULTS / 2, "a spool of {spooled} records says nothing");
    println!("{} rounds, {} requests, {} records", kills.len(), fates.len(), records.len());
    check_rest(&mut house, &org).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_controller_loses_and_doubles_nothing() {
    let mut house = House::planes(setup()).await;
    let org = house.org("100000.00").await;
    let tag = house.fake.script(Answer::of(TOKENS.prompt, TOKENS.completion));
    let load = Load::start(&house.clients(&org.key), 2, mixed(tag));
    load.more(WARM_UP).await;
    for _ in 0..rounds(2, 50) {
        load.more(REQUESTS_BETWEEN_FAULTS).await;
        house.kill_controller();
        load.more(REQUESTS_BETWEEN_FAULTS).await;
        house.start_controller().await;
        load.more(REQUESTS_BETWEEN_FAULTS / 2).await;
        house.balance(&org.id).await;
        house.verify_ledger().await;
    }
    let fates = load.stop().await;
    assert!(fates.iter().all(|fate| fate.status == 200), "{:?}", odd(&fates, &[200]));
    check_books(&house, &org, &fates, &[]).await;
    check_rest(&mut house, &org).await;
}

fn odd<'a>(fates: &'a [Fate], usual: &[u16]) -> Option<&'a Fate> {
    fates.iter().find(|fate| !usual.contains(&fate.status))
}

/// Spends a little at every door, so that each holds a lease.
async fn borrow(house: &House, org: &Org) {
    for client in house.clients(&org.key) {
        for _ in 0..3 {
            client.chat(&hello("lab/plain")).await.expect(200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_controller_whoever_has_a_lease_is_served() {
    let mut house = House::planes(setup()).await;
    let operator = house.operator().await;
    let (rich, newcomer) = (operator.org("100000.00").await, operator.org("100000.00").await);
    let load = Load::start(
        &house.clients(&rich.key),
        2,
        mixed(house.fake.script(Answer::of(TOKENS.prompt, TOKENS.completion))),
    );
    let away = Duration::from_secs(if is_long() { 120 } else { 5 });
    load.more(rounds(2, 10) * WARM_UP).await;
    house.kill_controller();

    let gone = Instant::now();
    let client = house.client(0, &newcomer.key);
    while gone.elapsed() < away {
        let reply = client.chat(&hello("lab/plain")).await;
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert_eq!(reply.code(), "control_plane_unavailable");
        assert!(!reply.header("retry-after").is_empty());
        let reply = house.client(1, &rich.key).get("/v1/credits").await.expect(503);
        assert_eq!(reply.json()["error"]["type"], "provider_error");
        house.client(1, &rich.key).get("/v1/models").await.expect(200);
        load.more(20).await;
    }
    house.start_controller().await;
    wait::until_true("the newcomer is served", wait::SOON, async || {
        client.chat(&hello("lab/plain")).await.status == 200
    })
    .await;
    load.more(20).await;
    let fates = load.stop().await;
    assert!(fates.iter().all(|fate| fate.status == 200), "{:?}", odd(&fates, &[200]));
    println!("{} requests, none failed, with the controller away for {away:?}", fates.len());
    check_books(&house, &rich, &fates, &[]).await;
    check_rest(&mut house, &rich).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_restarted_alone_knows_its_keys_and_cannot_spend() {
    let mut house = House::planes(setup()).await;
    let org = house.org("1.00").await;
    borrow(&house, &org).await;
    house.kill_controller();
    house.kill_proxy(0);
    house.start_proxy_alone(0).await;
    let client = house.client(0, &org.key);
    client.get("/v1/models").await.expect(200);
    house.client(0, "tg_live_nonsense").get("/v1/models").await.expect(401);
    let reply = client.chat(&hello("lab/plain")).await.expect(503);
    assert_eq!(reply.code(), "control_plane_unavailable");
    house.start_controller().await;
    wait::until_true("paid requests are served again", wait::SOON, async || {
        client.chat(&hello("lab/plain")).await.status == 200
    })
    .await;
    check_rest(&mut house, &org).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_revoked_before_a_crash_stays_revoked_without_the_controller() {
    let mut house = House::planes(setup()).await;
    let org = house.org("1.00").await;
    house.admin(&["keys", "revoke", &org.key_id, "--wait"]).await;
    house.kill_proxy(0);
    house.kill_controller();
    house.start_proxy_alone(0).await;
    house.client(0, &org.key).get("/v1/models").await.expect(401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_a_crash_cut_is_free_and_leaves_its_record() {
    let mut house = House::planes(setup()).await;
    let org = house.org("1.00").await;
    let gate = tollgate_tests::fake::Gate::default();
    let tag = house.fake.script(Answer::of(12, 50).gated(&gate));
    let mut body = scripted("lab/plain", &tag);
    body["stream"] = json!(true);
    gate.let_through(5);
    let empty = spool_bytes(&house);
    let mut stream = house.client(0, &org.key).stream(&body).await;
    let id = stream.header("x-request-id").to_owned();
    for _ in 0..5 {
        stream.next_content().await;
    }
    // The intent goes to disk with the next group, which is at most some milliseconds away.
    wait::until_true("the intent is on disk", wait::SOON, async || spool_bytes(&house) > empty).await;
    house.kill_proxy(0);
    drop(stream);
    house.start_proxy(0).await;
    let record = house.usage_of(&org.id, &id).await;
    assert_eq!(
        (&record["outcome"], &record["cost"]),
        (&json!("aborted_by_gateway"), &json!("0.000000000")),
        "{record}"
    );
    check_rest(&mut house, &org).await;
}

fn spool_bytes(house: &House) -> u64 {
    let files = std::fs::read_dir(house.folder().join("proxy-0/spool")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_in_order_finishes_streams_and_gives_everything_back() {
    let mut house = House::planes(Setup { proxies: 2, ..Setup::default() }).await;
    let org = house.org("1.00").await;
    let gate = tollgate_tests::fake::Gate::default();
    let tag = house.fake.script(Answer::of(12, 20).gated(&gate));
    let mut body = scripted("lab/plain", &tag);
    body["stream"] = json!(true);
    let client = house.client(0, &org.key);
    gate.let_through(1);
    let mut stream = client.stream(&body).await;
    stream.next_content().await;
    let mut leaving = house.take_proxy(0);
    leaving.terminate();
    wait::until_true("readiness is off", wait::SOON, async || {
        client.try_send(Ask::get("/readyz")).await.is_ok_and(|reply| reply.status == 503)
    })
    .await;
    // A lame duck still serves, and says that it is the last time.
    let reply = client.chat(&hello("lab/plain")).await.expect(200);
    assert_eq!(reply.header("connection"), "close");
    wait::until_true("nothing new is accepted", wait::SOON, async || {
        client.try_send(Ask::get("/livez")).await.is_err()
    })
    .await;
    gate.open();
    let told = stream.rest().await;
    assert!(told.is_clean && told.is_done(), "a stream was cut by an orderly leave");
    assert_eq!(leaving.code(wait::SOON * 3).await, 0, "{}", leaving.log());
    house.start_proxy(0).await;
    check_rest(&mut house, &org).await;
}

/// Two in the same second end it at once.
#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let mut house = House::planes(Setup::default()).await;
    let mut leaving = house.take_proxy(0);
    leaving.terminate();
    let door = house.client(0, "");
    wait::until_true("it is leaving", wait::SOON, async || {
        door.try_send(Ask::get("/readyz")).await.map_or(true, |reply| reply.status != 200)
    })
    .await;
    let second = Instant::now();
    leaving.terminate();
    leaving.code(Duration::from_secs(3)).await;
    assert!(second.elapsed() < Duration::from_secs(2), "{:?}", second.elapsed());
}

#[tokio::test]
async fn a_controller_that_left_in_order_finds_everything_again() {
    let mut house = House::planes(Setup { proxies: 0, ..Setup::default() }).await;
    let org = house.org("1.00").await;
    assert_eq!(house.stop_controller().await, 0, "{}", house.logs());
    house.start_controller().await;
    assert_eq!(house.balance(&org.id).await.funded, 1_000_000_000);
    house.verify_ledger().await;
}

#[tokio::test]
async fn a_proxy_whose_name_a_newer_one_bears_ends_with_a_failure() {
    let mut house = House::planes(Setup { proxies: 1, ..setup() }).await;
    let (org, other) = (house.org("1.00").await, house.org("1.00").await);
    let text = std::fs::read_to_string(house.folder().join("proxy-0.toml")).unwrap();
    let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let own = |line: &str| match line.split_once(" = ") {
        Some(("data_dir", _)) => format!("data_dir = {:?}", house.folder().join("twin")),
        Some(("listen", _)) => format!("listen = \"{door}\""),
        Some(("metrics_listen", _)) => "metrics_listen = \"127.0.0.1:0\"".to_owned(),
        _ => line.to_owned(),
    };
    let file = house.folder().join("twin.toml");
    std::fs::write(&file, text.lines().map(own).collect::<Vec<_>>().join("\n")).unwrap();
    let mut twin =
        Process::start("twin", &house.command(&["data-plane", "--config", file.to_str().unwrap()]), house.folder());
    let client = Client::new(&format!("http://{door}"), &org.key);
    wait::until_true("the newer one serves", wait::SOON, async || {
        let ask = Ask::json("/v1/chat/completions", &hello("lab/plain"));
        client.try_send(ask).await.is_ok_and(|reply| reply.status == 200)
    })
    .await;
    // The next thing that the older one asks for tells it.
    let reply = house.client(0, &other.key).chat(&hello("lab/plain")).await;
    assert!(matches!(reply.status, 402 | 503), "{}", reply.text());
    let code = house.proxy(0).code(wait::SOON).await;
    assert_eq!(code, 1, "{}", house.proxy(0).log());
    twin.terminate();
    assert_eq!(twin.code(wait::SOON).await, 0, "{}", twin.log());
}
