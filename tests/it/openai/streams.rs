//! Streams: every chunk whole, usage for those who asked, and errors that a client can read.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tollgate_tests::clients::{Ask, Client};
use tollgate_tests::fake::{Answer, End, Ending, Gate, Usage};
use tollgate_tests::house::{House, ODD, Setup};
use tollgate_tests::money::{Tokens, nano_of_number};
use tollgate_tests::wait;

use super::{PREFIXES, hello, scripted, streamed};

const TOKENS: Tokens = Tokens { prompt: 12, completion: 8, cached: 0, reasoning: 0 };

#[tokio::test]
async fn every_chunk_is_whole_and_the_end_is_marked() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    for prefix in PREFIXES {
        let ask = Ask::json(&format!("{prefix}/chat/completions"), &streamed("lab/plain", ""));
        let told = house.client(0, &org.key).open(ask).await.stream().await.rest().await;
        assert!(told.is_clean && told.is_done(), "{prefix}");
        assert!(told.events.last().unwrap().is_done(), "{prefix}: something came after the end");
        assert_eq!(told.content(), "toll".repeat(8), "{prefix}");
        let chunks = told.chunks();
        let id = &chunks[0]["id"];
        for chunk in &chunks {
            assert_eq!((&chunk["id"], &chunk["object"]), (id, &json!("chat.completion.chunk")), "{prefix}: {chunk}");
            assert_eq!(chunk["model"], "lab/plain", "{prefix}: {chunk}");
            assert!(chunk["created"].is_i64(), "{prefix}: {chunk}");
        }
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant", "{prefix}");
    }
}

#[tokio::test]
async fn the_usage_chunk_goes_to_those_who_asked() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    for (prefix, extra, wanted) in [
        ("/v1", json!({}), false),
        ("/openai/v1", json!({}), false),
        ("/v1", json!({"stream_options": {"include_usage": false}}), false),
        ("/v1", json!({"stream_options": {"include_usage": true}}), true),
        ("/v1", json!({"usage": {"include": true}}), true),
        ("/api/v1", json!({}), true),
    ] {
        let mut body = streamed("lab/plain", "");
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let ask = Ask::json(&format!("{prefix}/chat/completions"), &body);
        let chunks = house.client(0, &org.key).open(ask).await.stream().await.rest().await.chunks();
        let with_usage: Vec<&Value> = chunks.iter().filter(|chunk| chunk["usage"].is_object()).collect();
        let upstream = house.fake.by_id(chunks[0]["id"].as_str().unwrap());
        assert!(upstream.produced().usage.is_some(), "upstream was not asked for usage: {prefix} {extra}");
        if !wanted {
            assert!(with_usage.is_empty(), "{prefix} {extra}: {with_usage:?}");
            assert!(chunks.iter().all(|chunk| !chunk["choices"].as_array().unwrap().is_empty()), "{prefix} {extra}");
            continue;
        }
        assert_eq!(with_usage.len(), 1, "{prefix} {extra}");
        let last = chunks.last().unwrap();
        assert_eq!(last["choices"], json!([]), "{prefix} {extra}");
        assert_eq!((&last["usage"]["prompt_tokens"], &last["usage"]["completion_tokens"]), (&json!(12), &json!(8)));
        assert_eq!(nano_of_number(&last["usage"]["cost"]), ODD.cost(TOKENS), "{prefix} {extra}");
        assert_eq!(last["usage"]["is_byok"], false);
    }
}

#[tokio::test]
async fn usage_that_rides_on_another_chunk_stays_and_has_the_cost() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    for usage in [Usage::WithFinish, Usage::Twice] {
        let tag = house.fake.script(Answer::of(12, 8).usage(usage));
        let chunks = house.client(0, &org.key).stream(&streamed("lab/plain", &tag)).await.rest().await.chunks();
        let finish = chunks.iter().find(|chunk| chunk["choices"][0]["finish_reason"] == "stop").expect("a finish");
        assert_eq!(nano_of_number(&finish["usage"]["cost"]), ODD.cost(TOKENS), "{usage:?}: {finish}");
        assert!(
            chunks.iter().all(|chunk| chunk["choices"] != json!([])),
            "{usage:?}: a usage-only chunk that nobody asked for"
        );
    }
}

#[tokio::test]
async fn chunks_arrive_as_they_are_made() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let gate = Gate::default();
    let tag = house.fake.script(Answer::of(12, 5).gated(&gate));
    // The head of the answer comes with the first piece: until then another provider could still take over.
    gate.let_through(1);
    let mut stream = house.client(0, &org.key).stream(&streamed("lab/plain", &tag)).await;
    for _ in 0..5 {
        assert_eq!(stream.next_content().await.content(), "toll");
        // The next piece is made only now, so the one before it cannot have waited for it.
        gate.let_through(1);
    }
    assert!(stream.rest().await.is_done());
}

#[tokio::test]
async fn a_stream_that_fails_ends_in_one_error_event() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    for ending in [Ending::Reset, Ending::Torn, Ending::Short, Ending::Error, Ending::HugeLine] {
        for prefix in ["/v1", "/api/v1"] {
            let solo = house.solo();
            let gate = Gate::default();
            let tag = house.fake.script(Answer::of(12, 5).ending(ending).gated(&gate));
            let ask = Ask::json(&format!("{prefix}/chat/completions"), &streamed(&solo.model, &tag));
            // What fails together with its first output is no stream yet: it fails over, and ends in a plain error.
            gate.let_through(2);
            let open = house.client(0, &org.key).open(ask).await;
            gate.open();
            let id = open.header("x-request-id").to_owned();
            let told = open.stream().await.rest().await;
            assert!(told.is_clean, "{ending:?} {prefix}: the HTTP body did not end as it should");
            assert!(!told.is_done(), "{ending:?} {prefix}: a failed stream is marked as done");
            let chunks = told.chunks();
            let errors = chunks.iter().filter(|chunk| chunk["error"].is_object()).count();
            assert_eq!(errors, 1, "{ending:?} {prefix}: {chunks:?}");
            let last = chunks.last().unwrap();
            assert!(last["error"]["message"].is_string(), "{ending:?} {prefix}: {last}");
            if prefix == "/api/v1" {
                assert_eq!(last["choices"][0]["finish_reason"], "error", "{ending:?}: {last}");
                assert_eq!(last["object"], "chat.completion.chunk", "{ending:?}: {last}");
            } else {
                assert_eq!(last.as_object().unwrap().len(), 1, "{ending:?}: more than an error: {last}");
                assert!(
                    chunks.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()),
                    "{ending:?}: a finish"
                );
            }
            let record = house.usage_of(&org.id, &id).await;
            assert_eq!(
                (&record["cost"], &record["outcome"]),
                (&json!("0.000000000"), &json!("upstream_cut")),
                "{ending:?}: {record}"
            );
        }
    }
}

#[tokio::test]
async fn an_endless_stream_stops_when_the_client_does() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let solo = house.solo();
    let tag = house.fake.script(Answer::of(12, 5).ending(Ending::Endless).every(Duration::from_millis(5)));
    let mut stream = house.client(0, &org.key).stream(&streamed(&solo.model, &tag)).await;
    let id = stream.header("x-request-id").to_owned();
    for _ in 0..10 {
        stream.next_content().await;
    }
    drop(stream);
    let served = house.fake.tagged(&tag).remove(0);
    wait::until_true("the provider is left", wait::SOON, async || served.produced().end == End::Left).await;
    let record = house.usage_of(&org.id, &id).await;
    assert_eq!(record["outcome"], "client_left", "{record}");
}

#[tokio::test]
async fn a_silent_provider_is_bridged_with_comments() {
    let proxy = "[keepalive]\nfirst = \"200ms\"\ninterval = \"100ms\"\n".to_owned();
    let house = House::planes(Setup { proxy, ..Setup::default() }).await;
    let org = house.org("1.00").await;
    let client = house.client(0, &org.key);
    let gate = Gate::default();
    let tag = house.fake.script(Answer::of(12, 3).gated(&gate));
    let mut stream = client.stream(&streamed("lab/plain", &tag)).await;
    let mut comments = 0;
    while comments < 3 {
        let event = stream.next().await;
        if let Some(comment) = &event.comment {
            assert_eq!(comment, "tollgate");
            comments += 1;
        }
    }
    gate.open();
    let told = stream.rest().await;
    assert!(told.is_done());
    assert_eq!(told.content(), "toll".repeat(3));

    // Asked to wait instead, it commits to nothing until there is something.
    let ask = Ask::json(
        "/v1/chat/completions",
        &streamed("lab/plain", &house.fake.script(Answer::of(12, 3).first_byte(Duration::from_millis(700)))),
    );
    let told = client.open(ask.header("x-tollgate-keepalive", "off")).await.stream().await.rest().await;
    assert!(told.events.iter().all(|event| event.comment.is_none()));

    // An answer that is no stream never gets one.
    let whole = scripted("lab/plain", &house.fake.script(Answer::of(12, 3).first_byte(Duration::from_millis(700))));
    let reply = client.chat(&whole).await.expect(200);
    assert!(reply.text().starts_with('{'), "{}", reply.text());
}

#[tokio::test]
async fn an_answer_in_one_array_of_json_gets_no_sign_of_life() {
    let proxy = "[keepalive]\nfirst = \"100ms\"\ninterval = \"50ms\"\n".to_owned();
    let house = House::planes(Setup { proxy, strict: true, ..Setup::default() }).await;
    let org = house.org("1.00").await;
    for model in ["strict/gemini", "strict/anthropic"] {
        let path = format!("/v1beta/models/{model}:streamGenerateContent");
        let body = json!({"contents": [{"role": "user", "parts": [{"text": "hello !slow 300"}]}]});
        let reply = house.client(0, &org.key).send(Ask::json(&path, &body)).await.expect(200);
        assert!(!reply.text().contains("\n\n"), "{}", reply.text());
    }
}

/// One connection over HTTP/2, with these bytes of room for each answer.
struct Http2 {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<hyper::Result<()>>,
    base: String,
    key: String,
}

impl Http2 {
    async fn to(client: &Client, key: &str, window: u32) -> Http2 {
        let socket = TokioIo::new(TcpStream::connect(client.authority()).await.unwrap());
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.initial_stream_window_size(window).handshake(socket).await.unwrap();
        Http2 { sender, task: tokio::spawn(connection), base: client.base().to_owned(), key: key.to_owned() }
    }

    fn chat(&mut self, body: &Value) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        let request = http::Request::post(format!("{}/v1/chat/completions", self.base))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        self.sender.send_request(request)
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn http_2_is_spoken_on_the_same_port() {
    let house = House::lab().await;
    let org = house.org("1.00").await;
    let mut line = Http2::to(&house.client(0, &org.key), &org.key, 1 << 16).await;
    let asks = (0..4).map(|_| line.chat(&hello("lab/plain")));
    for answer in asks.collect::<Vec<_>>() {
        let answer = wait::within("an answer over HTTP/2", wait::SOON, answer).await.unwrap();
        assert_eq!(answer.status(), 200);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["model"], "lab/plain");
    }
}

#[tokio::test]
async fn an_http_2_client_that_opens_no_window_does_not_keep_its_stream() {
    let proxy = "[drain]\nlame_duck = \"0s\"\n[timeouts]\nwrite_stall = \"300ms\"\n".to_owned();
    let house = House::planes(Setup { proxy, ..Setup::default() }).await;
    let org = house.org("1.00").await;
    let mut line = Http2::to(&house.client(0, &org.key), &org.key, 1).await;
    // One without end: an answer that is whole is finished, whoever reads it.
    let answer = Answer::of(TOKENS.prompt, TOKENS.completion).ending(Ending::Endless);
    let tag = house.fake.script(answer.every(Duration::from_millis(5)));
    // The head comes; of the body nothing is ever read.
    let answer = wait::within("the head", wait::SOON, line.chat(&streamed("lab/plain", &tag))).await.unwrap();
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let operator = house.operator().await;
    let record = operator.usage_of(&org.id, &id).await;
    assert_ne!(record["outcome"], "finished", "{record}");
    drop(answer);
}
