//! What it cost: the ledger says what the provider's own classes of tokens cost, whatever families were in between, and
//! the client is told the same tokens in its own words.

use serde_json::{Value, json};
use tollgate_tests::clients::Ask;
use tollgate_tests::fake::strict::{Family, Seen, Truth};
use tollgate_tests::house::{House, rates};
use tollgate_tests::money::{nano_of, nano_of_number};
use tollgate_tests::wait;

use super::speak::Answered;
use super::{Pair, among, clock, everywhere};

/// The record of an answer against the truth.
async fn check(pair: &Pair, answered: &Answered, seen: &Seen) {
    let truth = seen.truth;
    let record = pair.house.usage_of(&pair.org.id, &answered.request_id()).await;
    let cost = rates(pair.model()).cost(&truth);
    assert_eq!(nano_of(&record["cost"]), cost, "{record:#} against {truth:?}");
    assert_eq!(record["prompt_tokens"].as_u64(), Some(truth.input()), "{record:#} against {truth:?}");
    assert_eq!(record["completion_tokens"].as_u64(), Some(truth.output()), "{record:#} against {truth:?}");
    assert_eq!(record["cached_tokens"].as_u64(), Some(truth.cache_read), "{record:#} against {truth:?}");
    assert_eq!(record["reasoning_tokens"].as_u64(), Some(truth.reasoning), "{record:#} against {truth:?}");
    assert_eq!(record["usage_source"], "provider_final", "{record:#}");
    assert_eq!((&record["outcome"], &record["streamed"]), (&Value::from("finished"), &Value::from(pair.is_stream)));
    assert_eq!(record["upstream_id"], seen.id.as_str(), "{record:#}");
    let told = answered.heard.told;
    assert_eq!(
        (told.input, told.output, told.cached),
        (truth.input(), truth.output(), truth.cache_read),
        "{:#}",
        answered.whole
    );
    if let Some(reasoning) = told.reasoning {
        assert_eq!(reasoning, truth.reasoning, "{:#}", answered.whole);
    }
    if pair.from == Family::Chat {
        assert_eq!(nano_of_number(&answered.whole["usage"]["cost"]), cost, "{:#}", answered.whole);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_answer_costs_what_it_costs() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking("how much is this?");
        let answered = speaker.hear().await;
        check(&pair, &answered, &pair.last()).await;
        // The second round reads from the cache.
        speaker.say("and this?");
        let answered = speaker.hear().await;
        let seen = pair.last();
        assert!(pair.to == Family::Anthropic || seen.truth.cache_read > 0);
        check(&pair, &answered, &seen).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thoughts_and_calls_cost_what_they_cost() {
    everywhere(async |pair: Pair| {
        let mut speaker = pair.asking("call get_time({})");
        speaker.tools(&[clock()]);
        speaker.think();
        let answered = speaker.hear().await;
        let seen = pair.last();
        assert!(seen.truth.reasoning > 0);
        check(&pair, &answered, &seen).await;
        speaker.give(&answered.heard, &["noon"]);
        let answered = speaker.hear().await;
        check(&pair, &answered, &pair.last()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_class_of_tokens_is_counted_once() {
    everywhere(async |pair: Pair| {
        for (at, usage) in [
            "prompt=1000,cache_read=200,cache_write=30,cache_write_1h=4,completion=50,reasoning=6,audio_input=7",
            "prompt=1,completion=1",
            "cache_read=12345,completion=7",
            "prompt=123456,reasoning=99,completion=1",
            "prompt=7,cache_write=1000,completion=3",
            "prompt=7,cache_write_1h=1000,completion=3",
        ]
        .iter()
        .enumerate()
        {
            let one = Pair { tag: format!("{}-{at}", pair.tag), ..pair.clone() };
            let answered = one.asking(&format!("hello !usage {usage}")).hear().await;
            let seen = one.last();
            assert_eq!(seen.truth, Truth::parse(usage).told(one.to));
            check(&one, &answered, &seen).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_pays_for_what_came_and_for_no_placeholder() {
    const PIECES: usize = 25;
    everywhere(async |pair: Pair| {
        if !pair.is_stream {
            return;
        }
        let gate = pair.house.fake.strict().gate(&pair.tag);
        gate.let_through(PIECES);
        let speaker = pair.asking(&format!("!long 400 !gate {}", pair.tag));
        let mut open = pair.house.client(0, &pair.org.key).open(speaker.ask()).await;
        assert_eq!(open.status, 200);
        let id = open.header("x-request-id").to_owned();
        let mut came = Vec::new();
        while !String::from_utf8_lossy(&came).contains("w15") {
            let next = wait::within("the next bytes", wait::SOON, open.bytes()).await;
            came.extend_from_slice(&next.expect("no end yet").expect("more bytes"));
        }
        drop(open);
        let seen = pair.last();
        wait::until_true("the provider is left", wait::SOON, async || seen.was_left()).await;
        let record = pair.house.usage_of(&pair.org.id, &id).await;
        assert_eq!(record["outcome"], "client_left", "{record:#}");
        let tokens = record["completion_tokens"].as_u64().unwrap();
        assert!((15..=2 * PIECES as u64).contains(&tokens), "{record:#}");
        let prompt = record["prompt_tokens"].as_u64().unwrap();
        let used = Truth { prompt, completion: tokens, ..Truth::default() };
        assert_eq!(nano_of(&record["cost"]), rates(pair.model()).cost(&used), "{record:#}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_cost_nothing() {
    everywhere(async |pair: Pair| {
        let failed = pair.asking("!error 500").try_hear().await.expect_err("an error was asked for");
        let record = pair.house.usage_of(&pair.org.id, failed.header("x-request-id")).await;
        assert_eq!(nano_of(&record["cost"]), 0, "{record:#}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_google_could_not_read_is_free_for_its_own_clients_too() {
    let house = House::strict().await;
    let org = house.org("5.00").await;
    let tools =
        json!([{"functionDeclarations": [{"name": "get_weather", "parametersJsonSchema": {"type": "object"}}]}]);
    let ask = "!badargs\ncall get_weather({\"city\":\"Oslo\"})";
    let body = json!({"contents": [{"role": "user", "parts": [{"text": ask}]}], "tools": tools});
    for verb in ["generateContent", "streamGenerateContent?alt=sse"] {
        let path = format!("/v1beta/models/strict/gemini:{verb}");
        let reply = house.client(0, &org.key).send(Ask::json(&path, &body)).await.expect(200);
        assert!(reply.text().contains("MALFORMED_FUNCTION_CALL"), "{}", reply.text());
        let record = house.usage_of(&org.id, reply.header("x-request-id")).await;
        assert_eq!(nano_of(&record["cost"]), 0, "{record:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_for_the_cache_reaches_the_provider_that_has_them() {
    among(|from, to| matches!(from, Family::Chat | Family::Anthropic) && to == Family::Anthropic, async |pair: Pair| {
        let mut speaker = pair.speaker();
        let marked = serde_json::json!([
            {"type": "text", "text": pair.tagged("a long text that is worth keeping"), "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "and a question"},
        ]);
        speaker.body["messages"] = serde_json::json!([{"role": "user", "content": marked}]);
        let answered = speaker.hear().await;
        let seen = pair.last();
        assert!(seen.truth.cache_write > 0, "{:#}", seen.body);
        check(&pair, &answered, &seen).await;
        speaker.say("next");
        let answered = speaker.hear().await;
        let seen = pair.last();
        assert!(seen.truth.cache_read > 0, "{:#}", seen.body);
        check(&pair, &answered, &seen).await;
    })
    .await;
}
