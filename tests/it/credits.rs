//! Credits: every charge exact to the nano-dollar, errors free, the winner alone paid, and every nano-dollar of an
//! organisation on exactly one account at every look.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollgate_tests::clients::{Ask, Reply};
use tollgate_tests::fake::{Answer, End, Ending, Gate, Reply as Played, Script, Usage};
use tollgate_tests::house::{Balance, DEAR, House, ODD};
use tollgate_tests::money::{Tokens, dollars, nano, nano_of, nano_of_number};
use tollgate_tests::wait;

use crate::openai::{hello, request_id, scripted, streamed};

const ONE_DOLLAR: i64 = 1_000_000_000;

/// A grant must be of use this soon.
const GRANT_WORKS_WITHIN: Duration = Duration::from_secs(1);

/// Waits until everything that was used is booked.
async fn settled(house: &House, org: &str, expected: i64) -> Balance {
    wait::until(&format!("{} settled", dollars(expected)), wait::SOON, async || {
        let balance = house.balance(org).await;
        assert!(balance.settled <= expected, "charged {} instead of {}", dollars(balance.settled), dollars(expected));
        (balance.settled == expected).then_some(balance)
    })
    .await
}

fn cost_in(reply: &Reply) -> i64 {
    nano_of_number(&reply.json()["usage"]["cost"])
}

#[tokio::test]
async fn every_charge_is_exact_to_the_nano_dollar() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let mut total = 0;
    for tokens in [
        Tokens { prompt: 1, completion: 1, ..Tokens::default() },
        Tokens { prompt: 3, completion: 0, ..Tokens::default() },
        Tokens { prompt: 1_234, completion: 77, cached: 1_000, reasoning: 0 },
        Tokens { prompt: 999, completion: 501, cached: 999, reasoning: 500 },
        Tokens { prompt: 7, completion: 13, cached: 3, reasoning: 13 },
    ] {
        for (model, prices) in [("lab/plain", ODD), ("lab/dear", DEAR)] {
            for is_stream in [false, true] {
                let tag = house.fake.script(Answer::tokens(tokens).chunks(2));
                let mut body = if is_stream { streamed(model, &tag) } else { scripted(model, &tag) };
                body["max_tokens"] = json!(1_000);
                body["stream_options"] = json!({"include_usage": true});
                let reply = client.chat(&body).await.expect(200);
                let expected = prices.cost(tokens);
                if tokens.completion == 0 {
                    // Nothing came out; it has a finish reason all the same, and is charged as the provider counts.
                    assert!(is_stream || cost_in(&reply) == expected);
                }
                if !is_stream {
                    assert_eq!(cost_in(&reply), expected, "{tokens:?} of {model}");
                }
                total += expected;
                let record = house.usage_of(&org.id, &request_id(&reply)).await;
                assert_eq!(nano_of(&record["cost"]), expected, "{tokens:?} of {model}: {record}");
                assert_eq!(
                    (&record["outcome"], &record["usage_source"]),
                    (&json!("finished"), &json!("provider_final")),
                    "{record}"
                );
                assert_eq!(record["prompt_tokens"], tokens.prompt, "{record}");
                assert_eq!(record["completion_tokens"], tokens.completion, "{record}");
                assert_eq!(record["cached_tokens"], tokens.cached, "{record}");
                assert_eq!(record["reasoning_tokens"], tokens.reasoning, "{record}");
            }
        }
    }
    settled(&house, &org.id, total).await;
    house.verify_ledger().await;
}

#[tokio::test]
async fn leaving_in_mid_stream_pays_for_what_was_produced() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let mut total = 0;
    for usage in [Usage::Last, Usage::Running, Usage::Missing] {
        let gate = Gate::default();
        let tag = house.fake.script(Answer::of(12, 50).gated(&gate).usage(usage));
        gate.let_through(10);
        let mut stream = client.stream(&streamed("lab/plain", &tag)).await;
        let id = stream.header("x-request-id").to_owned();
        for _ in 0..10 {
            stream.next_content().await;
        }
        drop(stream);
        let served = house.fake.tagged(&tag).remove(0);
        wait::until_true("the provider is left", wait::SOON, async || served.produced().end == End::Left).await;
        let record = house.usage_of(&org.id, &id).await;
        assert_eq!(record["outcome"], "client_left", "{usage:?}: {record}");
        assert_eq!(record["completion_tokens"], 10, "{usage:?}: {record}");
        let prompt = record["prompt_tokens"].as_u64().unwrap();
        assert!((1..200).contains(&prompt), "{usage:?}: {record}");
        if usage == Usage::Running {
            assert_eq!((prompt, &record["usage_source"]), (12, &json!("provider_partial")), "{record}");
        } else {
            assert_eq!(record["usage_source"], "estimated", "{record}");
        }
        let cost = ODD.cost(Tokens { prompt, completion: 10, ..Tokens::default() });
        assert_eq!(nano_of(&record["cost"]), cost, "{usage:?}: {record}");
        total += cost;
    }
    settled(&house, &org.id, total).await;
}

#[tokio::test]
async fn leaving_before_the_provider_accepted_is_free() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let solo = house.solo();
    let tag = house.fake.script(Answer::of(12, 8).first_byte(Duration::from_secs(30)));
    let client = house.client(0, &org.key);
    let body = streamed(&solo.model, &tag);
    let asking = tokio::spawn(async move { client.open(Ask::json("/v1/chat/completions", &body)).await.status });
    let served = wait::until("the provider is asked", wait::SOON, async || house.fake.tagged(&tag).pop()).await;
    asking.abort();
    wait::until_true("the provider is left", wait::SOON, async || served.produced().end == End::Left).await;
    let operator = house.operator().await;
    let record = wait::until("its record", wait::SOON, async || operator.records(&org.id).await.pop()).await;
    assert_eq!((record.cost.as_str(), record.outcome.as_str()), ("0.000000000", "client_left_early"), "{record:?}");
    let balance = house.balance(&org.id).await;
    assert_eq!((balance.settled, balance.funded), (0, ONE_DOLLAR));
}

#[tokio::test]
async fn what_a_provider_fails_is_free() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let mut failures: Vec<Played> = [500, 529, 400].into_iter().map(Played::status).collect();
    failures.extend([Played::html_502(), Played::Reset, Played::too_many(Some(1))]);
    failures.extend(
        [Ending::Reset, Ending::Torn, Ending::Short, Ending::Error]
            .map(|ending| Answer::of(12, 3).ending(ending).into()),
    );
    let count = failures.len();
    for failure in failures {
        let solo = house.solo();
        let tag = house.fake.script(failure);
        let open = client.open(Ask::json("/v1/chat/completions", &streamed(&solo.model, &tag))).await;
        if open.status == 200 {
            open.stream().await.rest().await;
        }
    }
    let operator = house.operator().await;
    let records = wait::until("a record of each", wait::SOON, async || {
        Some(operator.records(&org.id).await).filter(|records| records.len() == count)
    })
    .await;
    for record in records {
        assert_eq!(record.cost, "0.000000000", "{record:?}");
        assert!(["upstream_error", "upstream_cut"].contains(&record.outcome.as_str()), "{record:?}");
    }
    let balance = house.balance(&org.id).await;
    assert_eq!((balance.settled, balance.available + balance.leased), (0, ONE_DOLLAR));
}

#[tokio::test]
async fn nothing_produced_and_no_reason_is_free() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let solo = house.solo();
    let empty = json!({"id": "chatcmpl-empty", "object": "chat.completion", "created": 1, "model": "x",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": null}],
        "usage": {"prompt_tokens": 500, "completion_tokens": 0, "total_tokens": 500}});
    let tag = house.fake.script(Played::json(200, &empty.to_string()));
    let reply = house.client(0, &org.key).chat(&scripted(&solo.model, &tag)).await;
    let record = house.usage_of(&org.id, &request_id(&reply)).await;
    assert_eq!(record["cost"], "0.000000000", "{record}");
    assert_ne!(record["outcome"], "finished", "{record}");
}

#[tokio::test]
async fn a_fallback_charges_the_winner_alone() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let mut total = 0;
    for is_one_bad in [true, false] {
        let pair = house.pair();
        let (bad, good) = if is_one_bad { (&pair.one, &pair.other) } else { (&pair.other, &pair.one) };
        let tag = house.fake.script(Script::from(Answer::of(120, 80)).at(&bad.0, Played::status(500)));
        let reply = client.chat(&scripted(&pair.model, &tag)).await.expect(200);
        let expected = good.1.cost(Tokens { prompt: 120, completion: 80, ..Tokens::default() });
        assert_eq!(cost_in(&reply), expected);
        let record = house.usage_of(&org.id, &request_id(&reply)).await;
        assert_eq!((&record["provider"], nano_of(&record["cost"])), (&json!(good.0), expected), "{record}");
        total += expected;
    }
    settled(&house, &org.id, total).await;
    assert_eq!(house.operator().await.records(&org.id).await.len(), 2, "one request, one record");
}

#[tokio::test]
async fn the_books_add_up_at_every_look() {
    let house = House::lab().await;
    let org = house.org("0.02").await;
    let client = house.client(0, &org.key);
    let spending = tokio::spawn(async move {
        let mut refused = 0;
        while refused < 5 {
            let reply = client.chat(&hello("lab/dear")).await;
            assert!(matches!(reply.status, 200 | 402 | 429), "{}", reply.text());
            refused += usize::from(reply.status == 402);
        }
    });
    let mut looks = 0;
    while !spending.is_finished() || looks < 20 {
        // `balance` panics when a nano-dollar is missing.
        let balance = house.balance(&org.id).await;
        assert_eq!(balance.funded, 20_000_000);
        assert!(balance.available >= 0 && balance.leased >= 0 && balance.quarantined >= 0, "{balance:?}");
        looks += 1;
    }
    spending.await.unwrap();
    house.verify_ledger().await;
}

#[tokio::test]
async fn an_organisation_never_spends_more_than_it_has() {
    let house = House::lab().await;
    let org = house.org("0.005").await;
    let spend = (0..8).map(|_| {
        let client = house.client(0, &org.key);
        tokio::spawn(async move {
            let mut line = client.line();
            let mut served = 0;
            loop {
                let reply = line.send(Ask::json("/v1/chat/completions", &hello("lab/dear"))).await.unwrap();
                match reply.status {
                    200 => served += 1,
                    402 => return served,
                    429 => {}
                    status => panic!("{status}: {}", reply.text()),
                }
            }
        })
    });
    let mut served = 0;
    for task in spend.collect::<Vec<_>>() {
        served += wait::within("the end of the money", wait::SOON * 3, task).await.unwrap();
    }
    let each = DEAR.cost(Tokens { prompt: 12, completion: 8, ..Tokens::default() });
    let balance = settled(&house, &org.id, each * served).await;
    assert!(balance.settled <= balance.funded, "{balance:?}");
}

#[tokio::test]
async fn a_grant_after_a_402_works_within_a_second() {
    let house = House::lab().await;
    let org = house.org("").await;
    let client = house.client(0, &org.key);
    for _ in 0..3 {
        client.chat(&hello("lab/plain")).await.expect(402);
    }
    let operator = house.operator().await;
    operator.grant(&org.id, "1.00").await;
    let granted = Instant::now();
    wait::until_true("the grant works", GRANT_WORKS_WITHIN, async || {
        client.chat(&hello("lab/plain")).await.status == 200
    })
    .await;
    assert!(granted.elapsed() <= GRANT_WORKS_WITHIN, "{:?}", granted.elapsed());
}

#[tokio::test]
async fn a_grant_is_given_once_for_each_key() {
    let house = House::lab().await;
    let org = house.org("").await;
    let grant = ["credits", "grant", "--org", &org.id, "--amount", "2.500000001", "--idempotency-key", "once"];
    for _ in 0..2 {
        let row = house.admin(&grant).await;
        assert_eq!((&row["org"], &row["available"]), (&json!(org.id), &json!("2.500000001")));
    }
    let other = house
        .run(&["admin", "credits", "grant", "--org", &org.id, "--amount", "9", "--idempotency-key", "once", "--json"])
        .await;
    let balance = house.balance(&org.id).await;
    assert_eq!(balance.funded, nano("2.500000001"), "the same key gave twice: {other:?}");
    house.admin(&["credits", "grant", "--org", &org.id, "--amount", "1", "--idempotency-key", "twice"]).await;
    assert_eq!(house.balance(&org.id).await.funded, nano("3.500000001"));
    for bad in ["0", "-1", "many", "0.0000000001", "99999999999"] {
        let said =
            house.run(&["admin", "credits", "grant", "--org", &org.id, &format!("--amount={bad}"), "--json"]).await;
        assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{bad}: {said:?}");
    }
    assert_eq!(house.balance(&org.id).await.funded, nano("3.500000001"));
}

#[tokio::test]
async fn a_refund_takes_back_what_is_there_and_never_more() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    client.chat(&hello("lab/plain")).await.expect(200);
    let spent = ODD.cost(Tokens { prompt: 12, completion: 8, ..Tokens::default() });
    settled(&house, &org.id, spent).await;
    let refund = |usd: String, key: &'static str| {
        let (house, org) = (&house, org.id.clone());
        async move {
            house
                .run(&[
                    "admin",
                    "credits",
                    "refund",
                    "--org",
                    &org,
                    "--amount",
                    &usd,
                    "--idempotency-key",
                    key,
                    "--json",
                ])
                .await
        }
    };
    let too_much = refund("1.00".to_owned(), "too-much").await;
    assert_eq!(too_much.code, 1, "{too_much:?}");
    assert_eq!(house.balance(&org.id).await.refunded, 0);

    // What a proxy holds has to come back first.
    let rest = dollars(ONE_DOLLAR - spent);
    wait::until_true("the refund", wait::SOON, async || refund(rest.clone(), "rest").await.code == 0).await;
    assert_eq!(refund(rest.clone(), "rest").await.code, 0, "a repeated refund is answered like the first");
    let balance = house.balance(&org.id).await;
    assert_eq!((balance.refunded, balance.available, balance.leased), (ONE_DOLLAR - spent, 0, 0));
    wait::until_true("nothing is left to spend", wait::SOON, async || {
        client.chat(&hello("lab/plain")).await.status == 402
    })
    .await;
    house.verify_ledger().await;
    let entries = house.admin(&["credits", "ledger", "--org", &org.id]).await;
    for entry in entries.as_array().unwrap() {
        let sum: i64 = entry["legs"].as_object().unwrap().values().map(nano_of).sum();
        assert_eq!(sum, 0, "an entry that does not balance: {entry}");
    }
}

#[tokio::test]
async fn the_price_of_the_moment_of_admission_applies() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let gate = Gate::default();
    let tag = house.fake.script(Answer::of(12, 4).gated(&gate));
    let row = |price: &str| {
        format!(
            "[[models]]\nid = \"lab/moving\"\ncontext_length = 10000\n\n[[models.endpoints]]\nprovider = \"plain\"\n\
             upstream_model = \"m\"\nprices = {{ prompt = \"{price}\", completion = \"{price}\" }}\n"
        )
    };
    let apply = async |price: &str| {
        let file = house.folder().join("moving.toml");
        std::fs::write(&file, row(price)).unwrap();
        house.admin(&["apply", "-f", file.to_str().unwrap()]).await
    };
    apply("1").await;
    gate.let_through(1);
    let stream = client.stream(&streamed("lab/moving", &tag)).await;
    let id = stream.header("x-request-id").to_owned();
    apply("2").await;
    gate.open();
    assert!(stream.rest().await.is_done());
    assert_eq!(house.usage_of(&org.id, &id).await["cost"], "0.000016000");
    let after = client.chat(&scripted("lab/moving", &house.fake.script(Answer::of(12, 4)))).await.expect(200);
    assert_eq!(cost_in(&after), 32_000);

    // A slip of the hand by more than ten times is held up.
    let file = house.folder().join("moving.toml");
    std::fs::write(&file, row("200")).unwrap();
    let said = house.run(&["admin", "apply", "-f", file.to_str().unwrap(), "--json"]).await;
    assert_eq!(said.code, 1, "{said:?}");
    house.admin(&["apply", "-f", file.to_str().unwrap(), "--force"]).await;
}

#[tokio::test]
async fn a_limit_that_the_credits_cannot_pay_is_lowered_or_refused() {
    let house = House::lab().await;
    // Enough for the prompt and about 300 tokens of answer.
    let org = house.org("0.005").await;
    let mut body = hello("lab/dear");
    body.as_object_mut().unwrap().remove("max_tokens");
    let reply = house.client(0, &org.key).chat(&body).await;
    let record = match reply.status {
        200 => house.usage_of(&org.id, &request_id(&reply)).await,
        402 => return,
        status => panic!("{status}: {}", reply.text()),
    };
    let served = house.fake.by_id(reply.json()["id"].as_str().unwrap());
    let sent: Value = serde_json::from_slice(&served.body).unwrap();
    let limit = sent["max_tokens"].as_u64().unwrap_or_else(|| panic!("no limit was set: {sent}"));
    let most = DEAR.cost(Tokens { prompt: 12, completion: limit, ..Tokens::default() });
    assert!(limit > 0 && most <= nano("0.005"), "{limit} tokens cost {}", dollars(most));
    assert_eq!(record["outcome"], "finished");
}
