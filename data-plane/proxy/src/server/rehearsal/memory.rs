//! How often this worker's kind of server and pipeline copies a large image on its way through, and what it holds of a
//! stream: on the stage of a rehearsal, with client and provider on threads of their own, since the allocator counts
//! threads apart. A body is copied into one piece when it comes; nothing else may copy it but a translation, once.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
};

use allocation_counter::{AllocationInfo, measure};
use domain::{
    ids::Revision,
    snapshot::{Change, Resource},
};

use super::{
    stage::{self, Stage},
    tests::gate,
    *,
};

/// Letters of the image, which stands for 10 MB of body.
const IMAGE: usize = 10 * 1024 * 1024;
/// What everything but the body may cost, in bytes: mostly the buffer of the parser, which grows as more comes at once. Far
/// less than a copy.
const SLACK: u64 = 3 * 1024 * 1024;
/// What a stream may hold however long it is, in bytes: the same buffers, and what a client has not taken yet.
const STREAM: u64 = 1024 * 1024;
/// A piece of the image.
const LETTERS: &str = "iVBORw0KGgo/AAAN+SUhEUg/";

/// The dialects that clients speak, each of which is a provider's as well.
const DIALECTS: [&str; 4] = ["openai-chat", "openai-responses", "anthropic", "gemini"];

/// Where a client of a dialect asks for the stage's model, and under which name it sends its key.
fn door(client: &str) -> (&'static str, &'static str) {
    match client {
        "openai-chat" => ("/v1/chat/completions", "authorization: Bearer "),
        "openai-responses" => ("/v1/responses", "authorization: Bearer "),
        "anthropic" => ("/v1/messages", "x-api-key: "),
        _ => ("/v1beta/models/tollgate/rehearsal:generateContent", "x-goog-api-key: "),
    }
}

fn question(client: &str, image: &str) -> String {
    match client {
        "openai-chat" => format!(
            r#"{{"model":"tollgate/rehearsal","messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{image}"}}}}]}}]}}"#
        ),
        "openai-responses" => format!(
            r#"{{"model":"tollgate/rehearsal","input":[{{"role":"user","content":[{{"type":"input_image","image_url":"data:image/png;base64,{image}"}}]}}]}}"#
        ),
        "anthropic" => format!(
            r#"{{"model":"tollgate/rehearsal","max_tokens":64,"messages":[{{"role":"user","content":[{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{image}"}}}}]}}]}}"#
        ),
        _ => format!(
            r#"{{"contents":[{{"role":"user","parts":[{{"inlineData":{{"mimeType":"image/png","data":"{image}"}}}}]}}]}}"#
        ),
    }
}

/// What a provider says to it.
fn answer_of(provider: &str) -> String {
    let body = match provider {
        "openai-chat" => WHOLE,
        "openai-responses" => {
            r#"{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"rehearsal","output":[{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"It is.","annotations":[]}]}],"usage":{"input_tokens":3,"output_tokens":2,"total_tokens":5}}"#
        }
        "anthropic" => {
            r#"{"id":"msg_1","type":"message","role":"assistant","model":"rehearsal","content":[{"type":"text","text":"It is."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":2}}"#
        }
        _ => {
            r#"{"candidates":[{"content":{"parts":[{"text":"It is."}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"totalTokenCount":5},"modelVersion":"rehearsal","responseId":"r1"}"#
        }
    };
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A provider that takes one request and answers with this; what it was asked, at the end.
fn provider(says: Vec<u8>) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let mut socket = BufReader::new(listener.accept().unwrap().0);
        let (mut line, mut length) = (String::new(), 0);
        while socket.read_line(&mut line).unwrap() > 2 {
            if let Some(said) = line.strip_prefix("content-length: ") {
                length = said.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut asked = vec![0; length];
        socket.read_exact(&mut asked).unwrap();
        socket.get_mut().write_all(&says).unwrap();
        socket.get_ref().shutdown(Shutdown::Write).unwrap();
        asked
    });
    (address, serving)
}

/// A client that sends one request and reads its answer to the end.
fn client(door: SocketAddr, head: String, body: String) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut socket = TcpStream::connect(door).unwrap();
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(body.as_bytes()).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        answer
    })
}

/// A stage whose model takes images and is at a provider of this dialect.
fn set(worker: &Worker, address: SocketAddr, dialect: &str) -> Stage {
    let stage = Stage::set(worker, address).unwrap();
    let mut provider = stage::provider(address).unwrap();
    provider.dialects = vec![dialect.parse().unwrap()];
    let mut model = stage::model(worker.wall(worker.gate.clock.monotonic())).unwrap();
    model.input_modalities.push("image".to_owned());
    let revision = Revision(2);
    let changes = [Resource::Provider(provider), Resource::Model(model)];
    let changes = changes.map(|resource| Change::upsert(revision, resource)).to_vec();
    let (snapshot, refusals) = stage.gate.link.snapshot.load().apply(revision, changes);
    assert!(refusals.is_empty());
    stage.gate.link.snapshot.store(Arc::new(snapshot));
    stage
}

/// What one request took of the worker's thread.
struct Took {
    counted: AllocationInfo,
    /// What the provider was asked.
    asked: Vec<u8>,
    /// What the client was answered, head and all.
    answered: String,
}

/// One request of one client by one connection of its own.
fn run(from: &str, to: &str, body: String, says: Vec<u8>) -> Took {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (address, asked) = provider(says);
    let local = tokio::task::LocalSet::new();
    let (worker, stage, speech, listener) = runtime.block_on(local.run_until(async {
        let worker = Worker::new(Arc::new(gate()), Arc::default()).unwrap();
        let stage = set(&worker, address, to);
        let understudy = Worker::new(stage.gate.clone(), stage.load.clone()).unwrap();
        let speech = Speech::new(&understudy, None);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        (understudy, stage, speech, listener)
    }));
    let (path, key) = door(from);
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: tollgate\r\nconnection: close\r\n{key}{}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        stage.key,
        body.len()
    );
    let asking = client(listener.local_addr().unwrap(), head, body);
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        worker.load.connected();
        let connection = Connection::accepted(&worker.alarms, &worker.timeouts, worker.load.clone());
        http1(&worker, &speech, Socket::new(stream, &connection), &connection).await;
    };
    let counted = measure(|| runtime.block_on(local.run_until(serve)));
    let answered = String::from_utf8(asking.join().unwrap()).unwrap();
    Took { counted, asked: asked.join().unwrap(), answered }
}

fn check(from: &str, to: &str, image: &str, meant: &str, copies: u64) {
    let body = question(from, image);
    let most = copies * body.len() as u64 + SLACK;
    let took = run(from, to, body, answer_of(to).into_bytes());
    assert!(took.answered.starts_with("HTTP/1.1 200") && took.answered.contains("It is."), "{}", took.answered);
    assert_eq!(memchr::memmem::find_iter(&took.asked, meant.as_bytes()).count(), 1, "{from} to {to}");
    println!("{from} to {to}: {} bytes of {}", took.counted.bytes_total, most - SLACK);
    assert!(took.counted.bytes_total <= most, "{from} to {to}: {:?}", took.counted);
}

#[test]
fn a_large_image_is_copied_once_whether_bytes_pass_or_are_translated() {
    let image = LETTERS.repeat(IMAGE / LETTERS.len());
    for from in DIALECTS {
        for to in DIALECTS {
            check(from, to, &image, &image, 1);
        }
    }
}

#[test]
fn an_image_with_escapes_is_copied_twice_where_it_is_translated() {
    let letters = LETTERS.replace('/', "\\/").replace('+', "\\u002B");
    let times = IMAGE / letters.len();
    let (image, meant) = (letters.repeat(times), LETTERS.repeat(times));
    for (from, to) in DIALECTS.into_iter().zip(DIALECTS.into_iter().cycle().skip(1)) {
        check(from, from, &image, &image, 1);
        check(from, to, &image, &meant, 2);
    }
}

/// A chat's stream of so many pieces, as a provider sends it.
fn stream_of(pieces: usize) -> Vec<u8> {
    let piece = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"rehearsal","choices":[{"index":0,"delta":{"content":" over the lazy dog"},"finish_reason":null}]}"#;
    let end = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"rehearsal","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    format!("{head}{}{end}\n\ndata: [DONE]\n\n", format!("{piece}\n\n").repeat(pieces)).into_bytes()
}

#[test]
fn a_stream_is_not_gathered_whether_bytes_pass_or_are_translated() {
    for (from, question) in [
        ("openai-chat", r#"{"model":"tollgate/rehearsal","messages":[{"role":"user","content":"Hi"}],"stream":true}"#),
        (
            "anthropic",
            r#"{"model":"tollgate/rehearsal","max_tokens":64,"messages":[{"role":"user","content":"Hi"}],"stream":true}"#,
        ),
    ] {
        let took = run(from, "openai-chat", question.to_owned(), stream_of(60_000));
        assert_eq!(took.answered.matches(" over the lazy dog").count(), 60_000, "{from}");
        println!("{from}: {} bytes of {}", took.counted.bytes_max, took.answered.len());
        assert!(
            took.answered.len() as u64 > 6 * STREAM && took.counted.bytes_max <= STREAM,
            "{from}: {:?}",
            took.counted
        );
    }
}
