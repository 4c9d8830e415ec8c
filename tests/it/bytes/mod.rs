//! Byte stability: what reaches the provider differs from what the client sent only in the declared edits, and what
//! reaches the client differs from what the provider sent only in the model's name and the cost. Checked byte for byte
//! against a reference of its own (`reference`).

mod odd;
mod reference;

use serde_json::Value;
use tollgate_tests::clients::{Ask, Client};
use tollgate_tests::fake::{Reply, Served};
use tollgate_tests::house::House;
use tollgate_tests::progress::Progress;
use tollgate_tests::{fixtures, lexical, rounds};

const CHAT: &str = "/v1/chat/completions";
/// As `lab/plain` is called at its provider.
const UPSTREAM: &str = "plain-at-plain";

/// The same body for one of our models, without a preference for providers that are not here.
fn with_model(body: &[u8], model: &str) -> Vec<u8> {
    let body = with_value(body, "model", &format!("\"{model}\"")).expect("a model in every recorded request");
    with_value(&body, "provider", r#"{"sort":"price"}"#).unwrap_or(body)
}

fn with_value(body: &[u8], name: &str, value: &str) -> Option<Vec<u8>> {
    let (members, _) = lexical::members(body, 0);
    let field = members.iter().find(|member| member.name == name)?;
    Some([&body[..field.value.start], value.as_bytes(), &body[field.value.end..]].concat())
}

/// Sends a body and checks what arrived. The answer's id says which arrival was its.
async fn passes(house: &House, client: &Client, name: &str, body: &[u8]) {
    let reply = client.send(Ask::post(CHAT, body.to_vec())).await;
    assert_eq!(reply.status, 200, "{name}: {}", reply.text());
    let text = reply.text();
    let json = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&text);
    let answer: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{name}: {error} in {json}"));
    arrived(name, body, &house.fake.by_id(answer["id"].as_str().unwrap()));
}

/// The same for a request that is answered with what was recorded for it: its answer has a shape to keep.
async fn passes_with(house: &House, client: &Client, case: &fixtures::Case, body: &[u8]) {
    let response = case.response.as_deref().unwrap_or_default();
    let tag = house.fake.script(Reply::replay(response, case.is_stream, usize::MAX));
    let body = String::from_utf8_lossy(body).replacen('{', &format!(r#"{{"fake":"{tag}","#), 1).into_bytes();
    let reply = client.send(Ask::post(CHAT, body.clone())).await;
    assert_eq!(reply.status, 200, "{}: {}", case.id, reply.text());
    arrived(&case.id, &body, &house.fake.tagged(&tag)[0]);
}

fn arrived(name: &str, body: &[u8], served: &Served) {
    if let Err(why) = reference::check_request(body, &served.body, UPSTREAM) {
        panic!("{name}: {why}\nsent:    {}\narrived: {}", shorten(body), shorten(&served.body));
    }
}

fn shorten(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(2_000)]).into_owned()
}

#[tokio::test]
async fn every_recorded_request_arrives_as_it_was_sent() {
    let house = House::lab().await;
    let org = house.org("1000.00").await;
    let client = house.client(0, &org.key);
    for case in fixtures::openai_chat() {
        if let Some(request) = &case.request {
            for model in ["lab/plain", "plain"] {
                let body = with_model(request, model);
                match memchr::memmem::find(&body, b"\"json_schema\"") {
                    Some(_) => passes_with(&house, &client, &case, &body).await,
                    None => passes(&house, &client, &case.id, &body).await,
                }
            }
        }
    }
}

#[tokio::test]
async fn odd_bodies_arrive_as_they_were_sent() {
    let house = House::lab().await;
    let org = house.org("100000.00").await;
    let client = house.client(0, &org.key);
    let seed = std::env::var("TOLLGATE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    let mut maker = odd::Maker::new(seed);
    let (count, mut progress) = (rounds(400, 10_000), Progress::of("odd bodies"));
    for round in 0..count {
        progress.at(round, count);
        let body = maker.body();
        passes(&house, &client, &format!("body {round} of seed {seed}"), &body).await;
        if round % 100 == 99 {
            house.fake.forget();
        }
    }
    println!("{count} odd bodies of seed {seed} arrived as they were sent");
}

/// Recorded answers that the gateway passes: not errors, and streams that ended well.
fn is_good(case: &fixtures::Case) -> bool {
    let Some(response) = &case.response else { return false };
    let text = String::from_utf8_lossy(response);
    case.status() == 200
        && !text.contains("\"error\":{")
        && !text.contains("\"error\": {")
        && (!case.is_stream || text.contains("[DONE]"))
}

#[tokio::test]
async fn every_recorded_answer_comes_back_as_it_was() {
    let house = House::lab().await;
    let org = house.org("1000.00").await;
    let client = house.client(0, &org.key);
    let mut checked = 0;
    for case in fixtures::openai_chat().into_iter().filter(is_good) {
        let response = case.response.clone().unwrap_or_default();
        for (wants_usage, piece) in [(false, 37), (true, usize::MAX)] {
            let tag = house.fake.script(Reply::replay(&response, case.is_stream, piece));
            let options = if wants_usage { r#","stream_options":{"include_usage":true}"# } else { "" };
            let stream = if case.is_stream { format!(r#","stream":true{options}"#) } else { String::new() };
            let body = format!(
                r#"{{"model":"lab/plain","messages":[{{"role":"user","content":"x"}}],"fake":"{tag}"{stream}}}"#
            );
            let reply = client.send(Ask::post(CHAT, body)).await;
            assert_eq!(reply.status, 200, "{}: {}", case.id, reply.text());
            let checked_as = if case.is_stream { reference::check_stream } else { reference::check_whole };
            if let Err(why) = checked_as(&response, &reply.body, "lab/plain", wants_usage) {
                panic!("{} (usage {wants_usage}): {why}", case.id);
            }
            checked += 1;
        }
    }
    assert!(checked == 0 || checked >= 100, "only {checked} answers were checked");
}
