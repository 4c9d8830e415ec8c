//! Providers on their worst days: every row of the table, played by providers of all four families for clients of all
//! four, streamed and whole, alone and beside a healthy provider. Each cell has a model of its own, so that what one
//! provider did is not held against another's.

mod cell;
mod dead;
mod table;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use proto::admin::UsageRecord;
use serde_json::Value;
use tollgate_tests::actors::Org;
use tollgate_tests::clients::Ask;
use tollgate_tests::fake::fault::Fault;
use tollgate_tests::fake::strict::Family;
use tollgate_tests::fake::{Fake, Reply, Script};
use tollgate_tests::house::{DEAR, House, ODD, Setup};
use tollgate_tests::money::Prices;
use tollgate_tests::{is_long, wait};

use cell::{Cell, Given, Story};
use table::{Place, ROWS, Row};

/// Short for a provider, long for a busy machine. The first sign of life would come after ten seconds.
const PATIENCE: &str = "[timeouts]\nprovider_first_byte = \"3s\"\nprovider_stall = \"3s\"\nrequest = \"8s\"\n\n\
                        [upstream]\nconnect_timeout = \"1s\"\n\n[limits]\nanswer = \"20MiB\"\n";
/// Two repeats are, and what a coarse clock adds.
const REPEATS_SAVED_UP: Duration = Duration::from_secs(3);
/// Requests that are under way at once.
const AT_ONCE: usize = 32;

/// The house of these tests, which stays as long as one of them runs.
async fn impatient_house() -> Arc<House> {
    static SHARED: tokio::sync::Mutex<Weak<House>> = tokio::sync::Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(house) = shared.upgrade() {
        return house;
    }
    let house = House::planes(Setup { proxy: PATIENCE.to_owned(), ..Setup::default() }).await;
    let text: String = Family::ALL
        .iter()
        .map(|family| format!("good-{}", family.dialect()))
        .zip(Family::ALL)
        .map(|(id, family)| provider(&id, family, &house.fake.url(&id)))
        .collect();
    apply(&house, "providers", &text).await;
    // Repeats are saved up by the second, and a proxy that has just started has none.
    tokio::time::sleep(REPEATS_SAVED_UP).await;
    let house = Arc::new(house);
    *shared = Arc::downgrade(&house);
    house
}

async fn apply(house: &House, name: &str, text: &str) {
    let path = house.folder().join(format!("faults-{name}.toml"));
    std::fs::write(&path, text).expect("write an apply file");
    house.admin(&["apply", "-f", path.to_str().expect("a path in UTF-8")]).await;
}

fn provider(id: &str, family: Family, url: &str) -> String {
    let dialect = family.dialect();
    format!("[[providers]]\nid = \"{id}\"\nbase_url = \"{url}\"\ndialects = [\"{dialect}\"]\nauth = \"none\"\n\n")
}

/// The provider and the models of one cell.
fn models(fake: &Fake, cell: &Cell) -> String {
    let (bad, name) = (cell.bad(), cell.bad());
    let url = match cell.row.place {
        Place::Fake => fake.url(&bad),
        Place::Refused => fake.refused_url(),
        Place::BlackHole => fake.black_hole_url(),
    };
    let mut text = [provider(&bad, cell.to, &url), model(&cell.model())].concat();
    endpoint(&mut text, &bad, &name, &ODD);
    if cell.has_other {
        if cell.is_other_model() {
            text.push_str(&model(&format!("{}-elsewhere", cell.model())));
        }
        endpoint(&mut text, &cell.good_provider(), &cell.good(), &DEAR);
    }
    text
}

fn model(id: &str) -> String {
    format!(
        "[[models]]\nid = \"{id}\"\nname = \"{id}\"\ncontext_length = 2000000\nmax_output_tokens = 16384\n\
         supported_parameters = [\"max_tokens\", \"temperature\"]\n\n"
    )
}

fn endpoint(text: &mut String, provider: &str, upstream: &str, prices: &Prices) {
    let prices = prices.table();
    write!(
        text,
        "[[models.endpoints]]\nprovider = \"{provider}\"\nupstream_model = \"{upstream}\"\nprices = {prices}\n\n"
    )
    .expect("a text grows");
}

/// Every cell of providers of this family. The clients' families take turns; the long form has all of them everywhere.
fn cells(to: Family) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (at, row) in ROWS.iter().enumerate() {
        for (form, (is_stream, has_other)) in
            [(true, false), (false, false), (true, true), (false, true)].into_iter().enumerate()
        {
            for (turn, from) in Family::ALL.into_iter().enumerate() {
                let is_its_turn = (at + form + to as usize) % 4 == turn;
                if let Some(fate) = row.fate(from, to, is_stream).filter(|_| is_long() || is_its_turn) {
                    cells.push(Cell { row, fate, from, to, is_stream, has_other });
                }
            }
        }
    }
    cells
}

fn script(row: &Row, family: Family) -> Script {
    Script::turns(row.turns.iter().map(|fault| Reply::from((family, *fault))))
}

/// Plays all cells of providers of this family; all of them are played, whatever fails, and every failure is told.
async fn every_cell(to: Family) {
    let house = impatient_house().await;
    let cells = cells(to);
    for cell in &cells {
        house.fake.plays(&cell.bad(), script(cell.row, to));
        house.fake.plays(&cell.good(), Reply::from((cell.other(), Fault::Healthy)));
    }
    let text: String = cells.iter().map(|cell| models(&house.fake, cell)).collect();
    apply(&house, to.dialect(), &text).await;
    let org = house.org("100000.00").await;
    wait::until_true("the proxy knows it all", wait::SOON, async || {
        let fleet = house.admin(&["fleet", "list"]).await;
        fleet.as_array().is_some_and(|proxies| proxies.iter().all(|one| one["revision"] == one["head_revision"]))
    })
    .await;
    let given = ask_all(&house, &org, &cells).await;
    let records = records(&house, &org, &given).await;
    let mut failed = Vec::new();
    for (cell, given) in cells.iter().zip(&given) {
        let told = tell(&house, &org, cell, given, &records).await;
        if let Err(why) = told {
            failed.push(format!("{}: {why}", cell.name()));
        }
    }
    println!("{} cells with providers of {}", cells.len(), to.dialect());
    assert!(failed.is_empty(), "{} of {} cells failed:\n{}", failed.len(), cells.len(), failed.join("\n"));
    house.verify_ledger().await;
}

async fn ask_all(house: &Arc<House>, org: &Org, cells: &[Cell]) -> Vec<Given> {
    let places = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let tasks: Vec<_> = cells
        .iter()
        .map(|cell| {
            let (house, key, cell, places) = (Arc::clone(house), org.key.clone(), cell.clone(), Arc::clone(&places));
            tokio::spawn(async move {
                let _place = places.acquire().await.expect("a place");
                cell.ask(&house.client(0, &key), &key, &house.fake).await
            })
        })
        .collect();
    let mut given = Vec::new();
    for task in tasks {
        given.push(task.await.expect("an answer"));
    }
    given
}

/// One record for each request, and none besides. Which one is missing is told with its cell.
async fn records(house: &House, org: &Org, given: &[Given]) -> HashMap<String, UsageRecord> {
    let operator = house.operator().await;
    let begun = Instant::now();
    let records = wait::until("a record of each request", wait::SOON * 2, async || {
        let records = operator.records(&org.id).await;
        assert!(records.len() <= given.len(), "{} records for {} requests", records.len(), given.len());
        (records.len() == given.len() || begun.elapsed() > wait::SOON).then_some(records)
    })
    .await;
    let count = records.len();
    let records: HashMap<String, UsageRecord> =
        records.into_iter().map(|record| (record.request_id.clone(), record)).collect();
    assert_eq!(records.len(), count, "two records of one request");
    records
}

/// What is wrong with a cell.
async fn tell(
    house: &Arc<House>,
    org: &Org,
    cell: &Cell,
    given: &Given,
    records: &HashMap<String, UsageRecord>,
) -> Result<(), String> {
    let id = given.header("x-request-id");
    let record = records.get(id).ok_or_else(|| format!("no record of `{id}`: {}", given.shown()))?.clone();
    let reply = house.client(0, &org.key).send(Ask::get(&format!("/v1/generation?id={id}"))).await;
    let generation: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let (bad, good) = (house.fake.asked_for(&cell.bad()), house.fake.asked_for(&cell.good()));
    let story = Story { cell, given, record: &record, generation: &generation, bad, good };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| story.check())).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic without words").chars().take(1_500).collect()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_an_openai_chat_provider_breaks_nobody_pays_for_it_or_waits() {
    every_cell(Family::Chat).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_responses_provider_breaks_nobody_pays_for_it_or_waits() {
    every_cell(Family::Responses).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_an_anthropic_provider_breaks_nobody_pays_for_it_or_waits() {
    every_cell(Family::Anthropic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_gemini_provider_breaks_nobody_pays_for_it_or_waits() {
    every_cell(Family::Gemini).await;
}

#[test]
fn the_table_has_forty_faults_and_more() {
    let faults = ROWS.iter().filter(|row| row.place != Place::Fake || row.turns != [Fault::Healthy]).count();
    assert!(faults >= 40, "{faults}");
    let mut names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ROWS.len(), "two rows with one name");
}
