//! The way that a request took: the answer's headers, its usage record, `/v1/generation` and the provider's own log tell the
//! same story of it, and none of them in a provider's words.

use serde_json::{Value, json};
use tollgate_tests::actors::Org;
use tollgate_tests::clients::{Ask, Reply as Heard};
use tollgate_tests::fake::{Answer, End, Reply, Script};
use tollgate_tests::house::{House, ask_until};
use tollgate_tests::wait;

use crate::openai::{request_id, scripted};

/// What a provider says of itself in its errors. It must not get into our books.
const THEIRS: &str = "fake_code";

/// An attempt, told in short: who was asked, the status, and our code for what happened.
type Told<'a> = (&'a str, u16, &'a str);

/// What `/v1/generation` says of a request, once it does.
async fn generation(house: &House, org: &Org, request_id: &str) -> Value {
    let ask = Ask::get(&format!("/v1/generation?id={request_id}"));
    let found = ask_until("the generation", &house.client(0, &org.key), &ask, 200).await;
    assert!(!found.text().contains(THEIRS), "a provider's words are in the books: {}", found.text());
    found.json()["data"].clone()
}

/// Everything that is said of this request agrees, and its attempts are these.
async fn check(house: &House, org: &Org, reply: &Heard, tag: &str, expected: &[Told<'_>]) -> Value {
    let id = request_id(reply);
    let count = u64::try_from(expected.len()).unwrap();
    let told = generation(house, org, &id).await;
    let attempts = told["routing"]["attempts"].as_array().expect("attempts").clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let short: Vec<(String, u64, String)> = attempts
        .iter()
        .map(|attempt| (text(&attempt["provider"]), attempt["status"].as_u64().unwrap(), text(&attempt["code"])))
        .collect();
    let wanted: Vec<(String, u64, String)> =
        expected.iter().map(|(who, status, code)| ((*who).to_owned(), (*status).into(), (*code).to_owned())).collect();
    assert_eq!(short, wanted, "{told:#}");
    assert_eq!(reply.header("x-tollgate-attempts"), count.to_string(), "{told:#}");
    assert_eq!((&told["attempt"], &told["routing"]["attempt"]), (&json!(count), &json!(count)), "{told:#}");
    let record = house.usage_of(&org.id, &id).await;
    assert_eq!(record["attempt"], count, "{record}");
    for (response, attempt) in told["provider_responses"].as_array().expect("responses").iter().zip(&attempts) {
        assert_eq!(response["provider_name"], attempt["provider"], "{told:#}");
        assert_eq!((&response["status"], &response["latency"]), (&attempt["status"], &attempt["latency_ms"]));
    }
    let took: u64 = attempts.iter().map(|attempt| attempt["latency_ms"].as_u64().unwrap()).sum();
    assert!(took <= told["generation_time"].as_u64().unwrap() + count, "parts are longer than the whole: {told:#}");
    // Who could be reached was asked just so.
    let served = house.fake.tagged(tag);
    let reached: Vec<&Told<'_>> = expected.iter().filter(|(_, _, code)| *code != "unreachable").collect();
    assert_eq!(served.len(), reached.len(), "{told:#}");
    for (served, (who, status, code)) in served.iter().zip(reached) {
        assert_eq!(served.provider, **who, "{told:#}");
        if let (End::Refused(said), "provider_error") = (served.produced().end, *code) {
            assert_eq!(said, *status, "{told:#}");
        }
    }
    let shown = house.admin(&["usage", "show", "--org", &org.id, &id]).await;
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(expected.len()), "{shown:#}");
    assert_eq!(shown["strategy"], told["routing"]["strategy"], "{shown:#}");
    told
}

/// What the answer itself said of its way is what is said of it afterwards; only then the provider's own code is left out.
fn agrees(then: &Value, later: &Value) {
    for field in ["strategy", "region", "attempt"] {
        assert_eq!(then[field], later[field], "{field}: {then:#} {later:#}");
    }
    let short = |told: &Value| -> Vec<[Value; 4]> {
        let attempts = told["attempts"].as_array().expect("attempts").iter();
        attempts.map(|one| ["provider", "model", "status", "trigger"].map(|field| one[field].clone())).collect()
    };
    assert_eq!(short(then), short(later), "{then:#} {later:#}");
}

#[tokio::test]
async fn a_plain_request_has_a_plain_way() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let tag = house.fake.script(Answer::of(3, 2));
    let reply = house.client(0, &org.key).chat(&scripted("lab/plain", &tag)).await.expect(200);
    let told = check(&house, &org, &reply, &tag, &[("plain", 200, "")]).await;
    let routing = &told["routing"];
    assert_eq!((&routing["strategy"], &routing["region"]), (&json!("balanced"), &Value::Null), "{told:#}");
    assert_eq!(routing["endpoints"], json!({"candidates": 1, "passed_over": 0}), "{told:#}");
    assert_eq!(routing["summary"], "plain answered at attempt 1; 1 endpoint could serve the request.");
    assert_eq!(told["provider_responses"][0]["endpoint_id"], "lab/plain@plain", "{told:#}");
    // Nobody else is told.
    let (other, id) = (house.org("1.00").await, request_id(&reply));
    let asked = house.run(&["admin", "usage", "show", "--org", &other.id, &id]).await;
    assert_eq!((asked.code, asked.stdout.as_str()), (1, ""), "{}", asked.stderr);
    let stranger = house.operator().await.token(&other.id, "owner").await;
    let asked = house.run(&["admin", "--token", &stranger, "usage", "show", "--org", &org.id, &id]).await;
    assert_eq!((asked.code, asked.stdout.as_str()), (1, ""), "{}", asked.stderr);
}

#[tokio::test]
async fn fallbacks_repeats_and_failures_are_told_alike_everywhere() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    // The first fails and the other answers, whole and as a stream.
    for is_stream in [false, true] {
        let pair = house.pair();
        let (bad, good) = (&*pair.one.0, &*pair.other.0);
        let tag = house.fake.script(Script::from(Answer::of(12, 8)).at(bad, Reply::status(500)));
        let mut body = scripted(&pair.model, &tag);
        (body["stream"], body["provider"]) = (json!(is_stream), json!({"order": [bad]}));
        let ask = Ask::json("/v1/chat/completions", &body).header("x-openrouter-metadata", "enabled");
        let reply = client.send(ask).await.expect(200);
        let told = check(&house, &org, &reply, &tag, &[(bad, 500, "provider_error"), (good, 200, "")]).await;
        if !is_stream {
            agrees(&reply.json()["openrouter_metadata"], &told["routing"]);
        }
        assert_eq!((&told["routing"]["strategy"], &told["provider_name"]), (&json!("order"), &json!(good)));
        assert_eq!(told["routing"]["attempts"][0]["trigger"], "provider_error", "{told:#}");
        assert_eq!(told["routing"]["attempts"][1].get("trigger"), None, "{told:#}");
    }
    // The same one is asked again, which a worker may do once a second.
    let solo = house.solo();
    let who = &*solo.provider;
    let (tag, reply) = wait::until("a repeat", wait::SOON, async || {
        let tag = house.fake.script(Script::turns([Reply::status(529), Answer::of(5, 5).into()]));
        let reply = client.chat(&scripted(&solo.model, &tag)).await;
        (reply.status == 200).then_some((tag, reply))
    })
    .await;
    let told = check(&house, &org, &reply, &tag, &[(who, 529, "provider_error"), (who, 200, "")]).await;
    assert_eq!(told["routing"]["attempts"][0]["trigger"], "overload", "{told:#}");
    // Nobody answers.
    let pair = house.pair();
    let (one, other) = (&*pair.one.0, &*pair.other.0);
    let nonsense = Reply::json(200, "no JSON");
    let tag = house.fake.script(Script::from(nonsense).at(one, Reply::too_many(None)));
    let mut body = scripted(&pair.model, &tag);
    body["provider"] = json!({"order": [one, other]});
    let reply = client.chat(&body).await;
    assert!(reply.status >= 500, "{}", reply.text());
    let told = check(&house, &org, &reply, &tag, &[(one, 429, "provider_error"), (other, 502, "bad_reply")]).await;
    assert_eq!((&told["provider_name"], &told["total_cost"]), (&Value::Null, &json!(0)), "{told:#}");
    assert_eq!(told["routing"]["attempts"][0]["trigger"], "rate_limit", "{told:#}");
    assert!(told["routing"]["summary"].as_str().unwrap().starts_with("Nobody answered in 2 attempts"), "{told:#}");
    // The request itself is refused: that leads nowhere.
    let solo = house.solo();
    let tag = house.fake.script(Reply::status(422));
    let reply = client.chat(&scripted(&solo.model, &tag)).await.expect(422);
    let told = check(&house, &org, &reply, &tag, &[(&solo.provider, 422, "provider_error")]).await;
    assert_eq!(told["routing"]["attempts"][0].get("trigger"), None, "{told:#}");
    // It takes longer than the client will wait.
    let solo = house.solo();
    let tag = house.fake.script(Reply::Silence);
    let mut body = scripted(&solo.model, &tag);
    body["timeout"] = json!(0.3);
    let reply = client.chat(&body).await.expect(504);
    let told = check(&house, &org, &reply, &tag, &[(&solo.provider, 504, "client_timeout")]).await;
    assert!(told["routing"]["attempts"][0]["latency_ms"].as_u64().unwrap() >= 200, "{told:#}");
}

#[tokio::test]
async fn who_could_not_be_asked_is_no_attempt_and_is_counted() {
    let house = House::lab().await;
    // Enough for the cheap one, and not for the dear one.
    let org = house.org("0.000200000").await;
    let pair = house.pair();
    let (cheap, dear) = (&*pair.one.0, &*pair.other.0);
    let tag = house.fake.script(Script::from(Answer::of(1, 1)).at(cheap, Reply::status(500)));
    let mut body = scripted(&pair.model, &tag);
    (body["max_tokens"], body["provider"]) = (json!(10), json!({"order": [cheap, dear]}));
    let reply = house.client(0, &org.key).chat(&body).await;
    assert!(reply.status >= 500, "{}", reply.text());
    let told = check(&house, &org, &reply, &tag, &[(cheap, 500, "provider_error")]).await;
    assert_eq!(told["routing"]["endpoints"], json!({"candidates": 2, "passed_over": 1}), "{told:#}");
}

#[tokio::test]
async fn an_address_where_nobody_is_counts_as_an_attempt() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let tag = house.fake.script(Answer::of(1, 1));
    let reply = house.client(0, &org.key).chat(&scripted("lab/refused", &tag)).await;
    assert!(reply.status >= 500, "{}", reply.text());
    let count = reply.header("x-tollgate-attempts").parse().unwrap();
    assert!((1..=3).contains(&count), "{count} attempts");
    check(&house, &org, &reply, &tag, &vec![("refused", 503, "unreachable"); count]).await;
}

#[tokio::test]
async fn an_attempt_that_the_client_did_not_wait_for_is_told_as_such() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let solo = house.solo();
    let tag = house.fake.script(Reply::Silence);
    let ask = Ask::json("/v1/chat/completions", &scripted(&solo.model, &tag));
    let client = house.client(0, &org.key);
    let asking = tokio::spawn(async move { client.send(ask).await });
    wait::until_true("the provider is asked", wait::SOON, async || !house.fake.tagged(&tag).is_empty()).await;
    asking.abort();
    let operator = house.operator().await;
    let record = wait::until("the record", wait::SOON, async || operator.records(&org.id).await.pop()).await;
    let told = generation(&house, &org, &record.request_id).await;
    assert_eq!((&told["outcome"], &told["attempt"]), (&json!("client_left_early"), &json!(1)), "{told:#}");
    let attempts = &told["routing"]["attempts"];
    assert_eq!(attempts.as_array().map(Vec::len), Some(1), "{told:#}");
    assert_eq!((&attempts[0]["provider"], &attempts[0]["status"]), (&json!(solo.provider), &json!(0)), "{told:#}");
    assert_eq!(attempts[0]["code"], "unfinished", "{told:#}");
}

#[tokio::test]
async fn the_region_that_was_preferred_is_remembered() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let tag = house.fake.script(Answer::of(1, 1));
    let ask = Ask::json("/v1/chat/completions", &scripted("lab/routed", &tag));
    let reply = house.client(0, &org.key).send(ask.header("x-anyapi-region-preference", "us-west")).await.expect(200);
    let told = check(&house, &org, &reply, &tag, &[("west", 200, "")]).await;
    assert_eq!(told["routing"]["region"], "us-west", "{told:#}");
    assert_eq!(told["routing"]["endpoints"]["candidates"], 3, "{told:#}");
}
